/* /piecestore.Piecestore/Download: the state machine of storagenode.md 5, in one thread. */

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "node/endpoint_piecestore.h"
#include "node/piece_request.h"
#include "os/file.h"
#include "os/log.h"

enum {
	CHUNK_MAX = 1 << 20, /* of one message */
	CHUNK_MIN = 1 << 10,
	HASH_MESSAGE_MAX = 1024,
};

struct download {
	struct transfer t;
	struct piece_reader reader;
	uint64_t offset, size; /* the range */
	uint64_t sent;
	uint64_t chunk_max;
	struct piece_stream *in; /* the range */
	struct bytes data;	 /* of it, not sent yet */
};

static enum err begin(struct call *call, struct download *d, const struct download_request *r)
{
	struct transfer *t = &d->t;

	if (!r->has_limit || !r->has_chunk)
		return call_fail(call, ERR_INVALID,
				 "expected order limit and chunk as the first message");
	TRY_PLAIN(limit_terms_read(call, &call->scratch, r->limit, &t->terms));
	if (t->terms.action != ORDERS__PIECE_ACTION__GET &&
	    t->terms.action != ORDERS__PIECE_ACTION__GET_REPAIR &&
	    t->terms.action != ORDERS__PIECE_ACTION__GET_AUDIT)
		return call_fail(call, ERR_INVALID,
				 "expected get or get repair or audit action got %d",
				 (int)t->terms.action);
	if (r->size > t->terms.limit)
		return call_fail(
			call, ERR_INVALID,
			"requested more than order limit allows, limit=%lld requested=%lld",
			(long long)t->terms.limit, (long long)r->size);
	d->chunk_max = r->maximum_chunk_size > CHUNK_MIN && r->maximum_chunk_size < CHUNK_MAX
			       ? (uint64_t)r->maximum_chunk_size
			       : CHUNK_MAX;
	TRY_PLAIN(transfer_authorize(call, t));
	enum err e = piece_reader_open(call, t->node->store, &t->terms.satellite, &t->terms.piece,
				       &d->reader);
	if (e && e != ERR_NOT_FOUND && e != ERR_UNAVAILABLE && e != ERR_DATA_LOSS) {
		log_error("piece cannot be opened", F_HEX("piece", BYTES_OF(t->terms.piece.b)),
			  F_STR("why", call_error(call, e)));
		return ERR_INTERNAL;
	}
	return e;
}

/* The field restored_from_trash, when it was. */
static struct bytes restored(const struct download *d)
{
	static const uint8_t field[] = { 4 << 3 | WIRE_VARINT, 1 };

	return d->reader.restored ? BYTES_OF(field) : BYTES_NONE;
}

/* For a repair: the uplink's hash and the limit of the upload, as they came, so that the repairer
 * can see who made the piece (storagenode.md 5.4). */
static enum err send_origin(struct call *call, struct download *d)
{
	AUTO_BUF struct buf message = BUF_INIT(HASH_MESSAGE_MAX);
	uint8_t record_buf[RECORD_HEADER_MAX];
	uint8_t head[2 * WIRE_VARINT_MAX], middle[2 * WIRE_VARINT_MAX];
	Orders__PieceHash hash = ORDERS__PIECE_HASH__INIT;
	struct piece_record r;

	enum err e = piece_reader_record(call, &d->reader, record_buf, &r);
	if (e)
		return call_wrap(call, e == ERR_DATA_LOSS ? e : ERR_INTERNAL,
				 "hash and order limit");
	hash.piece_id = proto_view(BYTES_OF(r.piece.b));
	hash.hash = proto_view(BYTES_OF(r.hash));
	hash.hash_algorithm = (Orders__PieceHashAlgorithm)r.algorithm;
	hash.piece_size = (int64_t)r.size;
	hash.timestamp = proto_time_new(&call->scratch, r.created_unix_ns);
	hash.signature = proto_view(BYTES_OF(r.uplink_signature));
	TRY_PLAIN(proto_encode(call, &hash.base, &message));
	size_t n = wire_put_varint(head, 2 << 3 | WIRE_BYTES);
	n += wire_put_varint(head + n, message.len);
	size_t m = wire_put_varint(middle, 3 << 3 | WIRE_BYTES);
	m += wire_put_varint(middle + m, r.limit.len);
	struct bytes parts[] = { BYTES(head, n), buf_bytes(&message), BYTES(middle, m), r.limit,
				 restored(d) };
	transfer_limit_time(call);
	return rpc_send(call, d->t.stream, parts, ARRAY_LEN(parts));
}

/* Other readers are told in a message of its own, and only if there is something to tell. */
static enum err send_restored(struct call *call, struct download *d)
{
	struct bytes part = restored(d);

	if (!part.len)
		return OK;
	transfer_limit_time(call);
	return rpc_send(call, d->t.stream, &part, 1);
}

static enum err check_range(struct call *call, struct download *d, const struct download_request *r)
{
	uint64_t have = piece_reader_size(&d->reader);

	/* Never computed as offset + size, which may overflow (defect 2). */
	if (r->offset < 0 || r->size < 0 || (uint64_t)r->offset > have ||
	    (uint64_t)r->size > have - (uint64_t)r->offset)
		return call_fail(call, ERR_INVALID,
				 "requested more data than available, offset=%lld size=%lld "
				 "available=%llu",
				 (long long)r->offset, (long long)r->size,
				 (unsigned long long)have);
	d->offset = (uint64_t)r->offset;
	d->size = (uint64_t)r->size;
	return OK;
}

/* Sends the next message: n bytes, with the field heads in front (orders.md 6). */
static enum err send_chunk(struct call *call, struct download *d, struct bytes data)
{
	uint8_t head[6 * WIRE_VARINT_MAX], inner[3 * WIRE_VARINT_MAX];
	uint64_t offset = d->offset + d->sent;
	size_t n = 0, m = 0;

	if (offset) {
		inner[m++] = 1 << 3 | WIRE_VARINT;
		m += wire_put_varint(inner + m, offset);
	}
	inner[m++] = 2 << 3 | WIRE_BYTES;
	m += wire_put_varint(inner + m, data.len);
	head[n++] = 1 << 3 | WIRE_BYTES;
	n += wire_put_varint(head + n, m + data.len);
	memcpy(head + n, inner, m);
	struct bytes parts[] = { BYTES(head, n + m), data };
	transfer_limit_time(call);
	TRY_PLAIN(rpc_send(call, d->t.stream, parts, ARRAY_LEN(parts)));
	d->sent += data.len;
	return OK;
}

/* Who answers an audit late has failed it. */
static bool waits(const struct download *d)
{
	return d->t.terms.action != ORDERS__PIECE_ACTION__GET_AUDIT;
}

/* Audit and repair are about what the disk has. */
static bool asks_disk(const struct download *d)
{
	return d->t.terms.action != ORDERS__PIECE_ACTION__GET;
}

/* Bytes of the range from `sent` on, at most n. */
static enum err range_bytes(struct call *call, struct download *d, uint64_t n, struct bytes *ret)
{
	enum err e = OK;

	if (!d->in)
		TRY_PLAIN(piece_stream_open(call, &d->reader, d->offset, d->size, asks_disk(d),
					    &d->in));
	if (!d->data.len)
		e = piece_stream_next(call, d->in, &d->data);
	if (e) {
		log_error("piece cannot be read", F_HEX("piece", BYTES_OF(d->t.terms.piece.b)),
			  F_STR("why", call->error));
		return ERR_INTERNAL;
	}
	*ret = BYTES(d->data.data, (size_t)MIN(n, d->data.len));
	d->data = bytes_from(d->data, ret->len);
	return OK;
}

static enum err wait_turn(struct call *call, struct download *d, uint64_t n)
{
	struct traffic *t = d->t.node->traffic;

	if (waits(d))
		return traffic_wait(call, t, TRAFFIC_SEND, n);
	traffic_charge(t, TRAFFIC_SEND, n);
	return OK;
}

/* Sends what the orders so far pay for. */
static enum err send_credit(struct call *call, struct download *d)
{
	uint64_t paid = MIN((uint64_t)d->t.order.amount, d->size);

	while (d->sent < paid) {
		struct bytes data = BYTES_NONE;
		uint64_t n = MIN(paid - d->sent, d->chunk_max);
		if (waits(d))
			n = MIN(n, traffic_step(d->t.node->traffic, TRAFFIC_SEND));
		TRY_PLAIN(range_bytes(call, d, n, &data));
		TRY_PLAIN(wait_turn(call, d, data.len));
		TRY_PLAIN(send_chunk(call, d, data));
		/* Further orders may have come meanwhile; one that is bad ends the download now. */
		struct bytes wire;
		struct download_request r;
		enum err e = rpc_try_recv(call, d->t.stream, &wire);
		if (e == ERR_WOULD_BLOCK)
			continue;
		TRY_PLAIN(e);
		TRY_PLAIN(download_request_parse(call, wire, &r));
		if (!r.has_order)
			return call_fail(call, ERR_INTERNAL, "expected order as the message");
		TRY_PLAIN(transfer_take_order(call, &d->t, r.order));
		paid = MIN((uint64_t)d->t.order.amount, d->size);
	}
	return OK;
}

/* After the last byte nothing can come that matters: the client has no reason to sign more. */
static enum err serve(struct call *call, struct download *d, const struct download_request *first)
{
	struct download_request r = *first;
	struct bytes wire;

	if (r.has_order)
		TRY_PLAIN(transfer_take_order(call, &d->t, r.order));
	for (;;) {
		TRY_PLAIN(send_credit(call, d));
		if (d->sent == d->size)
			return rpc_flush(call, d->t.stream);
		TRY_PLAIN(transfer_recv(call, &d->t, &wire));
		TRY_PLAIN(download_request_parse(call, wire, &r));
		if (!r.has_order)
			return call_fail(call, ERR_INTERNAL, "expected order as the message");
		TRY_PLAIN(transfer_take_order(call, &d->t, r.order));
	}
}

/* A client that goes away has what it wanted; everything else that goes wrong in the middle reaches
 * it as Internal (storagenode.md 3, 5). */
static enum err judge(struct call *call, struct download *d, enum err e)
{
	if (e == ERR_CANCELED)
		e = transfer_canceled(call, &d->t);
	switch (e) {
	case OK:
	case ERR_EOF:
	case ERR_CLOSED:
	case ERR_CANCELED:
		return OK;
	case ERR_UNAVAILABLE:
		return e;
	default:
		return ERR_INTERNAL;
	}
}

static enum err run(struct call *call, struct download *d)
{
	struct download_request r;
	struct bytes wire;
	enum err e = transfer_recv(call, &d->t, &wire);

	if (e)
		return call_wrap(call, e == ERR_CANCELED ? e : ERR_INTERNAL, "first message");
	TRY_PLAIN(download_request_parse(call, wire, &r));
	/* What points into the message must not be used after the next one came; the first order is
	 * taken before that. */
	TRY_PLAIN(begin(call, d, &r));
	if (d->t.terms.action == ORDERS__PIECE_ACTION__GET_REPAIR)
		TRY_PLAIN(send_origin(call, d));
	else
		TRY_PLAIN(send_restored(call, d));
	TRY_PLAIN(check_range(call, d, &r));
	return judge(call, d, serve(call, d, &r));
}

enum err endpoint_download(struct call *call, void *service, struct rpc_stream *stream)
{
	struct node *n = service;
	struct download d = { .t = { .node = n, .stream = stream } };

	n->live++;
	enum err e = run(call, &d);
	piece_stream_close(d.in);
	piece_reader_close(&d.reader);
	transfer_end(&d.t);
	n->live--;
	n->counters.download_bytes += d.sent;
	if (e) {
		n->counters.downloads_failed++;
		log_debug("download failed", F_HEX("piece", BYTES_OF(d.t.terms.piece.b)),
			  F_STR("why", call_error(call, e)));
		node_look_at_disk(n);
	} else {
		n->counters.downloads++;
		log_debug("downloaded", F_HEX("piece", BYTES_OF(d.t.terms.piece.b)),
			  F_U64("size", d.sent));
	}
	return e;
}
