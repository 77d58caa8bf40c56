/* /piecestore.Piecestore/Upload: the state machine of storagenode.md 4. */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "node/endpoint_piecestore.h"
#include "node/piece_request.h"
#include "os/clock.h"
#include "os/log.h"

struct upload {
	struct transfer t;
	struct piece_writer *writer;
	enum hash_algorithm algorithm;
};

enum { HASH_MESSAGE_MAX = 1024 };

/* Below this satellites choose the node for no upload, and are told at once. */
#define LOW_SPACE_BYTES (5 * GIB)

static enum err too_many(struct call *call, const struct node *n)
{
	uint64_t max_requests = node_get(n, max_requests);

	if (max_requests && n->live > max_requests)
		return call_fail(call, ERR_UNAVAILABLE,
				 "storage node overloaded, request limit: %llu",
				 (unsigned long long)max_requests);
	if (traffic_congested(n->traffic, TRAFFIC_RECEIVE))
		return call_fail(call, ERR_UNAVAILABLE,
				 "storage node overloaded: it receives as much as it may");
	return OK;
}

static enum err begin(struct call *call, struct upload *u, const struct upload_request *first)
{
	struct transfer *t = &u->t;
	struct node *n = t->node;

	if (!first->has_limit)
		return call_fail(call, ERR_INVALID, "expected order limit as the first message");
	TRY_PLAIN(limit_terms_read(call, &call->scratch, first->limit, &t->terms));
	if (t->terms.action != ORDERS__PIECE_ACTION__PUT &&
	    t->terms.action != ORDERS__PIECE_ACTION__PUT_REPAIR)
		return call_fail(call, ERR_INVALID, "expected put or put repair action got %d",
				 (int)t->terms.action);
	TRY_PLAIN(transfer_authorize(call, t));
	if (first->hash_algorithm != HASH_SHA256 && first->hash_algorithm != HASH_BLAKE3)
		return call_fail(call, ERR_INVALID, "unknown hash algorithm %llu",
				 (unsigned long long)first->hash_algorithm);
	u->algorithm = (enum hash_algorithm)first->hash_algorithm;
	struct piece_begin b = {
		.satellite = t->terms.satellite,
		.piece = t->terms.piece,
		.algorithm = u->algorithm,
		.expiration_unix_ns = t->terms.piece_expiration_unix_ns,
		.size_max = (uint64_t)t->terms.limit,
		.limit = t->terms.wire,
	};
	enum err e = piece_writer_begin(call, n->store, &b, &u->writer);
	if (e == ERR_ABORTED)
		log_warn("upload refused", F_STR("why", call_error(call, e)));
	if (e == ERR_ABORTED || (!e && piece_writer_room(u->writer) < LOW_SPACE_BYTES))
		node_contact_low_space(n);
	return e;
}

static enum err take_chunk(struct call *call, struct upload *u, const struct upload_request *r)
{
	uint64_t have = piece_writer_size(u->writer);

	if (r->offset < 0 || (uint64_t)r->offset != have)
		return call_fail(call, ERR_INVALID, "chunk out of order");
	if ((uint64_t)u->t.order.amount < have + r->data.len)
		return call_fail(
			call, ERR_INVALID, "not enough allocated, allocated=%lld writing=%llu",
			(long long)u->t.order.amount, (unsigned long long)have + r->data.len);
	/* Nothing more is read from the connection meanwhile. */
	TRY_PLAIN(traffic_wait(call, u->t.node->traffic, TRAFFIC_RECEIVE, r->data.len));
	enum err e = piece_writer_add(call, u->writer, r->data);
	if (e == ERR_NO_SPACE)
		log_error("the disk is full in the middle of an upload",
			  F_STR("why", call_error(call, e)));
	return e;
}

/* The answer: our own hash over what is now durable, signed; and our certificates, which peers that
 * came by Noise need (storagenode.md 4). */
static enum err answer(struct call *call, struct upload *u, const struct received_piece *received)
{
	const struct identity *me = u->t.node->identity;
	AUTO_BUF struct buf message = BUF_INIT(HASH_MESSAGE_MAX);
	Orders__PieceHash hash = ORDERS__PIECE_HASH__INIT;
	uint8_t head[2 * WIRE_VARINT_MAX], tail[2 * WIRE_VARINT_MAX];

	hash.piece_id = proto_view(BYTES_OF(u->t.terms.piece.b));
	hash.hash = proto_view(BYTES_OF(received->hash));
	hash.hash_algorithm = (Orders__PieceHashAlgorithm)received->algorithm;
	hash.piece_size = (int64_t)received->size;
	hash.timestamp = proto_time_new(&call->scratch, os_clock_unix_ns());
	if (!hash.timestamp)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(piece_hash_sign_node(call, &call->scratch, &hash, identity_key(me)));
	TRY_PLAIN(proto_encode(call, &hash.base, &message));
	struct bytes chain = cert_chain_der(identity_chain(me));
	size_t n = wire_put_varint(head, 1 << 3 | WIRE_BYTES);
	n += wire_put_varint(head + n, message.len);
	size_t m = wire_put_varint(tail, 2 << 3 | WIRE_BYTES);
	m += wire_put_varint(tail + m, chain.len);
	struct bytes parts[] = { BYTES(head, n), buf_bytes(&message), BYTES(tail, m), chain };
	transfer_limit_time(call);
	return rpc_send(call, u->t.stream, parts, ARRAY_LEN(parts));
}

static enum err finish(struct call *call, struct upload *u, struct bytes wire)
{
	Orders__PieceHash *hash = NULL;
	struct received_piece received = { .algorithm = u->algorithm,
					   .size = piece_writer_size(u->writer) };
	struct piece_commit c = { .order_amount = u->t.order.amount };

	if (proto_decode(call, &call->scratch, &orders__piece_hash__descriptor, wire, &hash))
		return call_wrap(call, ERR_INVALID, "piece hash");
	piece_writer_hash(u->writer, received.hash);
	TRY_PLAIN(verify_piece_hash(call, &u->t.terms, hash, &received, u->t.uplink));
	c.created_unix_ns = proto_time(hash->timestamp);
	memcpy(c.uplink_signature, hash->signature.data, sizeof(c.uplink_signature));
	memcpy(c.order_signature, u->t.order.signature, sizeof(c.order_signature));
	enum err e = piece_writer_commit(call, u->writer, &c);
	if (e) {
		log_error("piece not stored", F_STR("why", call_error(call, e)));
		return e == ERR_NO_SPACE ? e : ERR_INTERNAL;
	}
	/* Kept before the reply: a kill in between must not cost the pay (defect 5). */
	transfer_keep_order(&u->t);
	return answer(call, u, &received);
}

static enum err take_message(struct call *call, struct upload *u, const struct upload_request *r,
			     bool *ret_done)
{
	if (r->has_order)
		TRY_PLAIN(transfer_take_order(call, &u->t, r->order));
	if (r->has_chunk)
		TRY_PLAIN(take_chunk(call, u, r));
	*ret_done = r->has_done;
	return r->has_done ? finish(call, u, r->done) : OK;
}

static enum err run(struct call *call, struct upload *u)
{
	struct upload_request r;
	struct bytes wire;
	bool done = false;
	enum err e = transfer_recv(call, &u->t, &wire);

	if (e == ERR_EOF)
		return call_fail(call, ERR_CANCELED, "the upload ended before it began");
	TRY_PLAIN(e);
	TRY_PLAIN(upload_request_parse(call, wire, &r));
	TRY_PLAIN(begin(call, u, &r));
	for (;;) {
		TRY_PLAIN(take_message(call, u, &r, &done));
		if (done)
			return OK;
		e = transfer_recv(call, &u->t, &wire);
		if (e == ERR_EOF || e == ERR_CLOSED)
			return call_fail(call, ERR_ABORTED, "unexpected EOF");
		TRY_PLAIN(e);
		TRY_PLAIN(upload_request_parse(call, wire, &r));
	}
}

enum err endpoint_upload(struct call *call, void *service, struct rpc_stream *stream)
{
	struct node *n = service;
	struct upload u = { .t = { .node = n, .stream = stream } };
	uint64_t size = 0;

	n->live++;
	enum err e = too_many(call, n);
	if (!e)
		e = run(call, &u);
	if (e == ERR_CANCELED)
		e = transfer_canceled(call, &u.t);
	if (u.writer)
		size = piece_writer_size(u.writer);
	piece_writer_end(u.writer);
	transfer_end(&u.t);
	n->live--;
	/* Losing the race to faster nodes is normal (storagenode.md 4). */
	if (e) {
		n->counters.uploads_failed++;
		log_debug("upload ended", F_HEX("piece", BYTES_OF(u.t.terms.piece.b)),
			  F_U64("size", size), F_STR("why", call_error(call, e)));
		if (e != ERR_CANCELED)
			node_look_at_disk(n);
	} else {
		n->counters.uploads++;
		n->counters.upload_bytes += size;
		log_debug("uploaded", F_HEX("piece", BYTES_OF(u.t.terms.piece.b)),
			  F_U64("size", size));
	}
	return e;
}
