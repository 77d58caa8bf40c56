/*
 * Upload of a piece: limit, growing orders, chunks, signed hash, the node's signed answer. Messages
 * are put together from parts so that the data itself is never copied here.
 */
#include "transfer/piece_upload.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "os/clock.h"
#include "proto/piecestore2.pb-c.h"
#include "proto/proto.h"
#include "transfer/peer.h"

/* Field numbers of PieceUploadRequest (orders.md 5). */
enum {
	FIELD_LIMIT = 1,
	FIELD_ORDER = 2,
	FIELD_CHUNK = 3,
	FIELD_DONE = 4,
	FIELD_ALGORITHM = 5,
	FIELD_CHUNK_OFFSET = 1,
	FIELD_CHUNK_DATA = 2,
	HEAD_MAX = 16 << 10, /* a limit, an order and the start of a chunk */
	DONE_MAX = 1024,
};

struct piece_upload {
	struct peer peer;
	const struct addressed_limit *limit;
	const struct ed25519_signer *signer;
	enum hash_algorithm algorithm;
	struct hasher *hasher;
	struct buf head, tail; /* what goes around the data of the message being sent */
	int64_t stall_ns;
	int64_t sent, signed_amount, step;
	uint8_t hash[HASH_BYTES];
	bool done;
};

DEFINE_AUTO_PTR(struct piece_upload, piece_upload_auto, piece_upload_close)

static void add_limit(struct call *call, struct piece_upload *u, enum err *e)
{
	struct buf limit AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	*e = proto_encode(call, &u->limit->limit->base, &limit);
	buf_add_field_bytes(&u->head, FIELD_LIMIT, buf_bytes(&limit));
	/* SHA-256 is number 0 and left out (proto3). */
	if (u->algorithm)
		buf_add_field_varint(&u->head, FIELD_ALGORITHM, u->algorithm);
}

enum err piece_upload_open(struct call *call, struct fanout *f, const struct addressed_limit *limit,
			   const struct ed25519_signer *signer, enum hash_algorithm algorithm,
			   int64_t stall_ns, struct piece_upload **ret)
{
	struct piece_upload *u AUTO(piece_upload_auto) = calloc(1, sizeof(*u));
	enum err e;

	if (!u)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	u->limit = limit;
	u->signer = signer;
	u->algorithm = algorithm;
	u->stall_ns = stall_ns;
	u->step = ORDER_STEP_FIRST;
	u->head = BUF_INIT(HEAD_MAX);
	u->tail = BUF_INIT(DONE_MAX);
	u->hasher = hasher_new(algorithm);
	if (!u->hasher)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(peer_open(call, f, limit, "/piecestore.Piecestore/Upload", stall_ns, &u->peer));
	add_limit(call, u, &e);
	TRY_PLAIN(e);
	if (limit->debounce_limit > 0) {
		/* The node takes limit, order and chunk in one message (orders.md 5.1). */
		*ret = take(&u);
		return OK;
	}
	struct bytes first = buf_bytes(&u->head);
	TRY_PLAIN(buf_status(&u->head));
	TRY_PLAIN(rpc_send(call, u->peer.stream, &first, 1));
	buf_clear(&u->head);
	*ret = take(&u);
	return OK;
}

/* A chunk that would exceed the signed amount needs an order first (orders.md 5.3).  The last one
 * signs no more than the piece has. */
static enum err add_order(struct call *call, struct piece_upload *u, size_t len, bool last)
{
	struct order order = { .serial = u->limit->ids.serial };
	uint8_t wire[ORDER_WIRE_MAX];
	int64_t end = u->sent + (int64_t)len, most = u->limit->limit->limit;

	if (end <= u->signed_amount)
		return OK;
	if (end > most)
		return call_fail(call, ERR_OUT_OF_RANGE,
				 "the order limit allows %lld bytes, the piece has more",
				 (long long)most);
	order.amount = last ? end : MIN(MAX(u->sent + u->step, end), most);
	u->step = order_step_next(u->step, ORDER_STEP_UPLOAD_MAX);
	TRY_PLAIN(order_sign(call, &order, u->signer));
	u->signed_amount = order.amount;
	buf_add_field_bytes(&u->head, FIELD_ORDER, BYTES(wire, order_encode(&order, wire)));
	return OK;
}

/* The start of a chunk message: everything up to its data. */
static void add_chunk_head(struct piece_upload *u, size_t len)
{
	uint8_t chunk[2 * WIRE_VARINT_MAX + 2];
	size_t n = 0;

	if (u->sent) {
		chunk[n++] = FIELD_CHUNK_OFFSET << 3 | WIRE_VARINT;
		n += wire_put_varint(chunk + n, (uint64_t)u->sent);
	}
	chunk[n++] = FIELD_CHUNK_DATA << 3 | WIRE_BYTES;
	n += wire_put_varint(chunk + n, len);
	buf_add_byte(&u->head, FIELD_CHUNK << 3 | WIRE_BYTES);
	buf_add_varint(&u->head, n + len);
	buf_add(&u->head, chunk, n);
}

/* The uplink's signed hash; its time is the creation of the limit (orders.md 5.4). */
static enum err add_done(struct call *call, struct piece_upload *u, size_t len)
{
	struct arena a AUTO(arena_free) = { 0 };
	struct buf wire AUTO_BUF = BUF_INIT(DONE_MAX);
	Orders__PieceHash hash = ORDERS__PIECE_HASH__INIT;
	const Orders__OrderLimit *limit = u->limit->limit;

	hasher_sum(u->hasher, u->hash);
	hash.piece_id = limit->piece_id;
	hash.hash = proto_view(BYTES_OF(u->hash));
	hash.piece_size = u->sent + (int64_t)len;
	if (!proto_time_is_zero(limit->order_creation))
		hash.timestamp = limit->order_creation;
	hash.hash_algorithm = (Orders__PieceHashAlgorithm)u->algorithm;
	TRY_PLAIN(piece_hash_sign_uplink(call, &a, &hash, u->signer));
	TRY_PLAIN(proto_encode(call, &hash.base, &wire));
	buf_add_field_bytes(&u->tail, FIELD_DONE, buf_bytes(&wire));
	return OK;
}

enum err piece_upload_write(struct call *call, struct piece_upload *u, const struct bytes *slices,
			    size_t count, bool last, bool flush)
{
	struct bytes parts[PIECE_SLICES_MAX + 2];
	size_t n = 0, len = 0;

	if (count > PIECE_SLICES_MAX || u->done)
		return call_fail(call, ERR_INVALID, "piece written in a wrong way");
	for (size_t i = 0; i < count; i++) {
		hasher_update(u->hasher, slices[i]);
		len += slices[i].len;
	}
	if (len > PIECE_CHUNK_MAX)
		return call_fail(call, ERR_INVALID, "piece written in chunks too large");
	if (len) {
		TRY_PLAIN(add_order(call, u, len, last));
		add_chunk_head(u, len);
	}
	if (last) {
		TRY_PLAIN(add_done(call, u, len));
		u->done = true;
	}
	if (buf_status(&u->head) || buf_status(&u->tail))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	parts[n++] = buf_bytes(&u->head);
	for (size_t i = 0; i < count; i++)
		parts[n++] = slices[i];
	parts[n++] = buf_bytes(&u->tail);
	int64_t deadline = peer_step(call, u->stall_ns);
	enum err e = rpc_send(call, u->peer.stream, parts, n);
	if (!e && last)
		e = rpc_close_send(call, u->peer.stream);
	else if (!e && flush)
		e = rpc_flush(call, u->peer.stream);
	call->deadline_ns = deadline;
	buf_clear(&u->head);
	buf_clear(&u->tail);
	u->sent += (int64_t)len;
	if (!e)
		peer_moved(&u->peer);
	return e;
}

/* The node's answer must be about this piece and signed by the node of the limit (orders.md 5.5).
 */
static enum err check_answer(struct call *call, struct piece_upload *u,
			     const Piecestore__PieceUploadResponse *answer)
{
	const Orders__PieceHash *hash = answer->done;

	if (!hash)
		return call_fail(call, ERR_PROTOCOL, "the node answered without a piece hash");
	if (!bytes_equal(proto_bytes(hash->piece_id), BYTES_OF(u->limit->ids.piece.b)))
		return call_fail(call, ERR_PROTOCOL, "the node answered for another piece");
	if ((int)hash->hash_algorithm != (int)u->algorithm ||
	    !bytes_equal(proto_bytes(hash->hash), BYTES_OF(u->hash)))
		return call_fail(call, ERR_DATA_LOSS,
				 "the node received other bytes than were sent");
	int64_t age = os_clock_unix_ns() - proto_time(hash->timestamp);
	if (age > PIECE_HASH_AGE_SECONDS * NS_PER_SEC)
		return call_fail(call, ERR_PROTOCOL,
				 "the node's piece hash is older than 24 hours");
	return peer_verify_hash(call, &u->peer, &u->limit->ids.node,
				proto_bytes(answer->node_certchain), hash);
}

enum err piece_upload_finish(struct call *call, struct piece_upload *u, struct arena *a,
			     Orders__PieceHash **ret_hash)
{
	Piecestore__PieceUploadResponse *answer;

	if (!u->done)
		return call_fail(call, ERR_INVALID, "piece finished before its last chunk");
	int64_t deadline = peer_step(call, u->stall_ns);
	enum err e = rpc_recv_message(call, u->peer.stream, a,
				      &piecestore__piece_upload_response__descriptor, &answer);
	call->deadline_ns = deadline;
	if (e == ERR_EOF)
		return call_fail(call, ERR_CLOSED, "the node ended the upload without an answer");
	TRY_PLAIN(e);
	TRY_PLAIN(check_answer(call, u, answer));
	peer_finished(call, &u->peer, u->stall_ns);
	*ret_hash = answer->done;
	return OK;
}

uint64_t piece_upload_sent(const struct piece_upload *u)
{
	return (uint64_t)u->sent;
}

void piece_upload_close(struct piece_upload *u)
{
	if (!u)
		return;
	peer_close(&u->peer);
	hasher_free(u->hasher);
	buf_free(&u->head);
	buf_free(&u->tail);
	free(u);
}
