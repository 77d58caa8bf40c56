/* Download of a piece range: the node sends as much as was ordered; orders grow as data arrives. */
#include "transfer/piece_download.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "os/clock.h"
#include "proto/proto.h"
#include "transfer/peer.h"
#include "transfer/piece_answer.h"

/* Field numbers of PieceDownloadRequest (orders.md 6). */
enum {
	FIELD_LIMIT = 1,
	FIELD_ORDER = 2,
	FIELD_CHUNK = 3,
	FIELD_CHUNK_OFFSET = 1,
	FIELD_CHUNK_SIZE = 2,
	FIELD_CHUNK_MAX = 4,
	REQUEST_MAX = 16 << 10,
	ORIGIN_MAX = 16 << 10,
};

struct piece_download {
	struct peer peer;
	const struct addressed_limit *limit;
	const struct ed25519_signer *signer;
	int64_t stall_ns;
	uint64_t offset, size; /* of the range */
	uint64_t received;     /* bytes of it */
	uint64_t ordered;
	int64_t step;
	struct buf hash, origin; /* of the uplink, for repair */
};

DEFINE_AUTO_PTR(struct piece_download, piece_download_auto, piece_download_close)

/* Signs for `amount` bytes of this range in all; appended as field 2 of a request. */
static enum err add_order(struct call *call, struct piece_download *d, struct buf *out)
{
	struct order order = { .serial = d->limit->ids.serial };
	uint8_t wire[ORDER_WIRE_MAX];

	order.amount = (int64_t)MIN(d->ordered + (uint64_t)d->step, d->size);
	TRY_PLAIN(order_sign(call, &order, d->signer));
	buf_add_field_bytes(out, FIELD_ORDER, BYTES(wire, order_encode(&order, wire)));
	d->ordered = (uint64_t)order.amount;
	d->step = order_step_next(d->step, ORDER_STEP_DOWNLOAD_MAX);
	return OK;
}

/* The request, with the first order in it when the node is known to take that (orders.md 6.1). */
static enum err send_request(struct call *call, struct piece_download *d, bool with_order)
{
	struct buf out AUTO_BUF = BUF_INIT(REQUEST_MAX);
	struct buf part AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	TRY_PLAIN(proto_encode(call, &d->limit->limit->base, &part));
	buf_add_field_bytes(&out, FIELD_LIMIT, buf_bytes(&part));
	buf_clear(&part);
	if (with_order)
		TRY_PLAIN(add_order(call, d, &out));
	if (d->offset)
		buf_add_field_varint(&part, FIELD_CHUNK_OFFSET, d->offset);
	buf_add_field_varint(&part, FIELD_CHUNK_SIZE, d->size);
	buf_add_field_bytes(&out, FIELD_CHUNK, buf_bytes(&part));
	buf_add_field_varint(&out, FIELD_CHUNK_MAX, PIECE_DOWNLOAD_CHUNK);
	TRY_PLAIN(buf_status(&part));
	TRY_PLAIN(buf_status(&out));
	struct bytes message = buf_bytes(&out);
	return rpc_send(call, d->peer.stream, &message, 1);
}

static enum err send_order(struct call *call, struct piece_download *d)
{
	struct buf out AUTO_BUF = BUF_INIT(2 * ORDER_WIRE_MAX);

	TRY_PLAIN(add_order(call, d, &out));
	TRY_PLAIN(buf_status(&out));
	struct bytes message = buf_bytes(&out);
	/* It goes out before the next wait for data; a flush here would take in all that the node
	 * has sent meanwhile, and with it memory. */
	return rpc_send(call, d->peer.stream, &message, 1);
}

static enum err download_new(struct call *call, const struct addressed_limit *limit,
			     const struct ed25519_signer *signer, uint64_t offset, uint64_t size,
			     int64_t stall_ns, struct piece_download **ret)
{
	if (!size || limit->limit->limit < 0 || size > (uint64_t)limit->limit->limit)
		return call_fail(call, ERR_OUT_OF_RANGE,
				 "the order limit allows %lld bytes, %llu are needed",
				 (long long)limit->limit->limit, (unsigned long long)size);
	struct piece_download *d = calloc(1, sizeof(*d));
	if (!d)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*d = (struct piece_download){ .limit = limit,
				      .signer = signer,
				      .stall_ns = stall_ns,
				      .offset = offset,
				      .size = size,
				      .step = ORDER_STEP_FIRST,
				      .hash = BUF_INIT(ORIGIN_MAX),
				      .origin = BUF_INIT(ORIGIN_MAX) };
	*ret = d;
	return OK;
}

static enum err ask(struct call *call, struct piece_download *d)
{
	int64_t deadline = peer_step(call, d->stall_ns);
	/* Whoever offers Noise takes all in one message, over TLS, too (noise.md 4). */
	bool combined = d->limit->noise_proto != 0;
	enum err e = send_request(call, d, combined);

	if (!e && !combined)
		e = send_order(call, d);
	call->deadline_ns = deadline;
	return e;
}

static const char download_method[] = "/piecestore.Piecestore/Download";

enum err piece_download_open(struct call *call, struct fanout *f,
			     const struct addressed_limit *limit,
			     const struct ed25519_signer *signer, uint64_t offset, uint64_t size,
			     int64_t stall_ns, struct piece_download **ret)
{
	struct piece_download *d AUTO(piece_download_auto) = NULL;

	TRY_PLAIN(download_new(call, limit, signer, offset, size, stall_ns, &d));
	TRY_PLAIN(peer_open(call, f, limit, download_method, stall_ns, &d->peer));
	TRY_PLAIN(ask(call, d));
	*ret = take(&d);
	return OK;
}

enum err piece_download_open_on(struct call *call, struct rpc_conn *conn,
				const struct addressed_limit *limit,
				const struct ed25519_signer *signer, uint64_t offset, uint64_t size,
				int64_t stall_ns, struct piece_download **ret)
{
	struct piece_download *d AUTO(piece_download_auto) = NULL;

	TRY_PLAIN(download_new(call, limit, signer, offset, size, stall_ns, &d));
	TRY_PLAIN(peer_open_on(call, conn, download_method, stall_ns, &d->peer));
	TRY_PLAIN(ask(call, d));
	*ret = take(&d);
	return OK;
}

static enum err keep(struct buf *to, struct bytes from)
{
	if (!from.len)
		return OK;
	buf_clear(to);
	buf_add_bytes(to, from);
	return buf_status(to);
}

/* One answer; *ret stays empty when it carries no data. */
static enum err take_answer(struct call *call, struct piece_download *d, struct bytes message,
			    struct bytes *ret)
{
	struct piece_answer a;

	if (piece_answer_parse(message, &a))
		return call_fail(call, ERR_FORMAT, "the node's answer is damaged");
	if (a.data.len &&
	    (a.offset != d->offset + d->received || a.data.len > d->ordered - d->received))
		return call_fail(call, ERR_PROTOCOL, "the node sent bytes that were not ordered");
	TRY_PLAIN(keep(&d->hash, a.hash));
	TRY_PLAIN(keep(&d->origin, a.limit));
	*ret = a.data;
	return OK;
}

static enum err read_step(struct call *call, struct piece_download *d, struct bytes *ret)
{
	struct bytes message;

	/* Enough stays ordered that the node need never wait for us (orders.md 6.3). */
	while (d->ordered < d->size && d->ordered - d->received < (uint64_t)d->step)
		TRY_PLAIN(send_order(call, d));
	do {
		enum err e = rpc_recv(call, d->peer.stream, &message);
		if (e == ERR_EOF)
			return call_fail(call, ERR_CLOSED, "the node ended the download early");
		TRY_PLAIN(e);
		TRY_PLAIN(take_answer(call, d, message, ret));
	} while (!ret->len);
	return OK;
}

enum err piece_download_read(struct call *call, struct piece_download *d, struct bytes *ret)
{
	struct bytes data;

	if (d->received == d->size)
		return ERR_EOF;
	int64_t deadline = peer_step(call, d->stall_ns);
	enum err e = read_step(call, d, &data);
	call->deadline_ns = deadline;
	TRY_PLAIN(e);
	peer_moved(&d->peer);
	d->received += data.len;
	*ret = data;
	return OK;
}

void piece_download_origin(const struct piece_download *d, struct bytes *ret_hash,
			   struct bytes *ret_limit)
{
	*ret_hash = buf_bytes(&d->hash);
	*ret_limit = buf_bytes(&d->origin);
}

/* All is here: a plain end, so that the node sees no cancellation. */
static void end_complete(struct piece_download *d)
{
	struct call call AUTO_CALL = CALL_INIT;

	os_call_limit(&call, NS_PER_SEC);
	d->peer.finished = rpc_close_send(&call, d->peer.stream) == OK;
}

void piece_download_close(struct piece_download *d)
{
	if (!d)
		return;
	if (d->peer.stream && d->received == d->size)
		end_complete(d);
	peer_close(&d->peer);
	buf_free(&d->hash);
	buf_free(&d->origin);
	free(d);
}
