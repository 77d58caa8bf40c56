/* Fake nodes: the piecestore protocol from the other side, checked as a node checks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/random.h"
#include "proto/piecestore2.pb-c.h"
#include "proto/proto.h"
#include "transfer/test/fake_nodes.h"

static enum err hang(struct call *call, struct fake_node *node, struct rpc_stream *s)
{
	struct bytes more;

	/* Until the client (if this node listens to it) or the test ends it. */
	while (!os_cancel_is_set(&node->network->stop)) {
		TRY_PLAIN(os_sleep(call, 20 * NS_PER_MS));
		if (node->fault == FAULT_DEAF)
			continue;
		enum err e = rpc_try_recv(call, s, &more);
		if (e && e != ERR_WOULD_BLOCK)
			return e;
	}
	return call_fail(call, ERR_CANCELED, "stopped");
}

static enum err misbehave(struct call *call, struct fake_node *node, struct rpc_stream *s,
			  size_t done)
{
	switch ((enum fault)node->fault) {
	case FAULT_SLOW:
		return os_sleep(call, (int64_t)node->at * NS_PER_MS);
	case FAULT_STALL:
	case FAULT_DEAF:
		return done >= node->at ? hang(call, node, s) : OK;
	case FAULT_CLOSE:
		return done >= node->at ? call_fail(call, ERR_INTERNAL, "disk on fire") : OK;
	default:
		return OK;
	}
}

/* ---- upload ---- */

struct taken {
	const Orders__OrderLimit *limit;
	struct buf piece; /* the node's when it is whole: an earlier upload may still be ending */
	struct hasher *hasher;
	int64_t ordered;
	bool done;
	uint8_t hash[HASH_BYTES];
};

static enum err take_order(struct call *call, struct taken *t, const Orders__Order *order)
{
	struct ed25519_verifier *v = NULL;
	struct order o = { .amount = order->amount };

	TRY_PLAIN(ed25519_verifier_new(call, proto_bytes(t->limit->uplink_public_key), &v));
	memcpy(o.serial.b, order->serial_number.data, SERIAL_BYTES);
	memcpy(o.signature, order->uplink_signature.data, sizeof(o.signature));
	enum err e = order_verify(call, &o, v);
	ed25519_verifier_free(v);
	TRY(e, "order");
	if (order->amount < t->ordered || order->amount > t->limit->limit)
		return call_fail(call, ERR_INVALID, "order amount %lld", (long long)order->amount);
	t->ordered = order->amount;
	return OK;
}

static enum err take_chunk(struct call *call, struct taken *t,
			   const Piecestore__PieceUploadRequest__Chunk *chunk)
{
	if (chunk->offset != (int64_t)t->piece.len)
		return call_fail(call, ERR_INVALID, "chunk out of order");
	if (chunk->offset + (int64_t)chunk->data.len > t->ordered)
		return call_fail(call, ERR_INVALID, "more than was ordered");
	if (chunk->data.len > 65536)
		return call_fail(call, ERR_INVALID, "chunk of %zu bytes", chunk->data.len);
	buf_add_bytes(&t->piece, proto_bytes(chunk->data));
	hasher_update(t->hasher, proto_bytes(chunk->data));
	return buf_status(&t->piece);
}

static enum err take_done(struct call *call, struct fake_node *node, struct taken *t,
			  const Orders__PieceHash *hash)
{
	struct ed25519_verifier *v = NULL;

	hasher_sum(t->hasher, t->hash);
	if (!bytes_equal(proto_bytes(hash->hash), BYTES_OF(t->hash)) ||
	    hash->piece_size != (int64_t)t->piece.len ||
	    !bytes_equal(proto_bytes(hash->piece_id), proto_bytes(t->limit->piece_id)) ||
	    proto_time(hash->timestamp) != proto_time(t->limit->order_creation))
		return call_fail(call, ERR_INTERNAL, "piece hash does not fit");
	TRY_PLAIN(ed25519_verifier_new(call, proto_bytes(t->limit->uplink_public_key), &v));
	enum err e = piece_hash_verify_uplink(call, hash, v);
	ed25519_verifier_free(v);
	TRY(e, "piece hash");
	t->done = true;
	OS_LOCKED(&node->lock);
	memcpy(node->piece_id.b, t->limit->piece_id.data, PIECE_ID_BYTES);
	buf_clear(&node->piece);
	buf_add_bytes(&node->piece, buf_bytes(&t->piece));
	return buf_status(&node->piece);
}

static enum err take_message(struct call *call, struct fake_node *node, struct taken *t,
			     const Piecestore__PieceUploadRequest *m, struct arena *a)
{
	if (m->limit) {
		struct buf copy AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
		Orders__OrderLimit *limit;
		if (t->limit)
			return call_fail(call, ERR_INVALID, "second limit");
		TRY_PLAIN(proto_encode(call, &m->limit->base, &copy));
		TRY_PLAIN(proto_decode(call, a, &orders__order_limit__descriptor, buf_bytes(&copy),
				       &limit));
		t->limit = limit;
		t->hasher = hasher_new(m->hash_algorithm ? HASH_BLAKE3 : HASH_SHA256);
	}
	if (!t->limit)
		return call_fail(call, ERR_INVALID, "no limit");
	if (m->order)
		TRY_PLAIN(take_order(call, t, m->order));
	if (m->chunk)
		TRY_PLAIN(take_chunk(call, t, m->chunk));
	if (m->done)
		TRY_PLAIN(take_done(call, node, t, m->done));
	return OK;
}

static enum err answer_upload(struct call *call, struct fake_node *node, struct rpc_stream *s,
			      struct taken *t, struct arena *a)
{
	Piecestore__PieceUploadResponse answer = PIECESTORE__PIECE_UPLOAD_RESPONSE__INIT;
	Orders__PieceHash hash = ORDERS__PIECE_HASH__INIT;
	const struct fake_node *signer = node;

	if (node->fault == FAULT_NO_ANSWER)
		return hang(call, node, s);
	if (node->fault == FAULT_WRONG_HASH)
		t->hash[3] ^= 1;
	if (node->fault == FAULT_FOREIGN_SIGNATURE)
		signer = node == node->network->nodes ? node + 1 : node->network->nodes;
	hash.piece_id = t->limit->piece_id;
	hash.hash = proto_view(BYTES_OF(t->hash));
	hash.piece_size = (int64_t)t->piece.len;
	hash.timestamp = proto_time_new(a, os_clock_unix_ns());
	hash.hash_algorithm = ORDERS__PIECE_HASH_ALGORITHM__BLAKE3;
	TRY_PLAIN(piece_hash_sign_node(call, a, &hash, identity_key(signer->identity)));
	answer.done = &hash;
	answer.node_certchain = proto_view(cert_chain_der(identity_chain(signer->identity)));
	return rpc_send_message(call, s, &answer.base);
}

static enum err upload_messages(struct call *call, struct fake_node *node, struct rpc_stream *s,
				struct taken *t, struct arena *limit_arena)
{
	while (!t->done) {
		struct arena a AUTO(arena_free) = { 0 };
		Piecestore__PieceUploadRequest *m;
		enum err e = rpc_recv_message(call, s, &a,
					      &piecestore__piece_upload_request__descriptor, &m);
		if (e)
			node->cancelled++;
		TRY_PLAIN(e);
		TRY_PLAIN(take_message(call, node, t, m, limit_arena));
		node->ordered = t->ordered;
		TRY_PLAIN(misbehave(call, node, s, t->piece.len));
	}
	return OK;
}

static enum err handle_upload(struct call *call, void *service, struct rpc_stream *s)
{
	struct fake_node *node = service;
	struct arena a AUTO(arena_free) = { 0 };
	struct taken t = { .piece = BUF_INIT(FAKE_PIECE_MAX) };

	node->uploads++;
	if (node->fault == FAULT_REFUSE)
		return call_fail(call, ERR_UNAVAILABLE, "storage node overloaded");
	enum err e = upload_messages(call, node, s, &t, &a);
	if (!e)
		e = answer_upload(call, node, s, &t, &a);
	hasher_free(t.hasher);
	buf_free(&t.piece);
	return e;
}

/* ---- download ---- */

static size_t piece_size(struct fake_node *node)
{
	OS_LOCKED(&node->lock);
	return node->piece.len;
}

static bool has_piece(struct fake_node *node, struct bytes id)
{
	OS_LOCKED(&node->lock);
	return bytes_equal(id, BYTES_OF(node->piece_id.b));
}

static enum err send_chunk(struct call *call, struct fake_node *node, struct rpc_stream *s,
			   size_t offset, size_t n)
{
	Piecestore__PieceDownloadResponse answer = PIECESTORE__PIECE_DOWNLOAD_RESPONSE__INIT;
	Piecestore__PieceDownloadResponse__Chunk chunk =
		PIECESTORE__PIECE_DOWNLOAD_RESPONSE__CHUNK__INIT;
	AUTO_FREE uint8_t *data = malloc(n + 1);

	os_mutex_lock(&node->lock);
	memcpy(data, node->piece.data + offset, n);
	os_mutex_unlock(&node->lock);
	if (node->fault == FAULT_LIE && n > 7)
		data[7] ^= 0x55;
	chunk.offset = (int64_t)offset;
	chunk.data = proto_view(BYTES(data, n));
	answer.chunk = &chunk;
	TRY_PLAIN(rpc_send_message(call, s, &answer.base));
	return rpc_flush(call, s);
}

static enum err send_ordered(struct call *call, struct fake_node *node, struct rpc_stream *s,
			     size_t begin, size_t *sent, size_t to)
{
	while (*sent < to) {
		size_t n = MIN(to - *sent, (size_t)65536);
		if (node->fault == FAULT_STALL || node->fault == FAULT_DEAF ||
		    node->fault == FAULT_CLOSE)
			n = MIN(n, MAX((size_t)node->at, (size_t)1));
		TRY_PLAIN(misbehave(call, node, s, *sent));
		TRY_PLAIN(send_chunk(call, node, s, begin + *sent, n));
		*sent += n;
	}
	return OK;
}

static enum err handle_download(struct call *call, void *service, struct rpc_stream *s)
{
	struct fake_node *node = service;
	struct arena a AUTO(arena_free) = { 0 };
	struct taken t = { 0 };
	size_t begin = 0, size = 0, sent = 0;

	node->downloads++;
	if (node->fault == FAULT_REFUSE)
		return call_fail(call, ERR_NOT_FOUND, "piece not found");
	for (;;) {
		Piecestore__PieceDownloadRequest *m;
		enum err e = rpc_recv_message(call, s, &a,
					      &piecestore__piece_download_request__descriptor, &m);
		if (e == ERR_EOF)
			return OK;
		TRY_PLAIN(e);
		if (m->limit) {
			t.limit = m->limit;
			if (!has_piece(node, proto_bytes(m->limit->piece_id)))
				return call_fail(call, ERR_NOT_FOUND, "piece not found");
			begin = (size_t)m->chunk->offset;
			size = (size_t)m->chunk->chunk_size;
			if (begin + size > piece_size(node))
				return call_fail(call, ERR_INVALID, "range beyond the piece");
		}
		if (!t.limit)
			return call_fail(call, ERR_INVALID, "no limit");
		if (m->order)
			TRY_PLAIN(take_order(call, &t, m->order));
		node->ordered = t.ordered;
		if (node->fault == FAULT_SHORT && t.ordered)
			return OK;
		size_t to = MIN((size_t)t.ordered, size);
		if (node->fault == FAULT_MORE)
			to = MIN((size_t)t.ordered + 1000, piece_size(node) - begin);
		TRY_PLAIN(send_ordered(call, node, s, begin, &sent, to));
	}
}

/* ---- the network ---- */

static const struct rpc_method methods[] = {
	{ "/piecestore.Piecestore/Upload", handle_upload, .anonymous = true },
	{ "/piecestore.Piecestore/Download", handle_download, .anonymous = true },
};

static void node_start(struct fake_network *n, struct fake_node *node)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct rpc_server_config config = {
		.address = "127.0.0.1:0",
		.methods = methods,
		.methods_count = ARRAY_LEN(methods),
		.service = node,
		.active_max = 16,
	};

	node->network = n;
	node->piece = BUF_INIT(FAKE_PIECE_MAX);
	assert_int_equal(identity_ephemeral(&call, &node->identity), OK);
	assert_int_equal(net_tls_new(&call, node->identity, &node->tls), OK);
	config.tls = node->tls;
	/* Both suites. */
	enum noise_suite suite = (node - n->nodes) % 2 ? NOISE_AESGCM : NOISE_CHACHAPOLY;
	if (FAKE_NOISE)
		assert_int_equal(net_noise_new(&call, node->identity, suite, &node->noise), OK);
	config.noise = node->noise;
	assert_int_equal(rpc_server_start(&call, &config, &node->server), OK);
	snprintf(node->address, sizeof(node->address), "%s", rpc_server_address(node->server));
}

void fake_network_start(struct fake_network *n, unsigned count)
{
	struct call call AUTO_CALL = CALL_INIT;

	n->count = count;
	assert_int_equal(os_cancel_init(&call, &n->stop, NULL), OK);
	assert_int_equal(identity_ephemeral(&call, &n->client_identity), OK);
	assert_int_equal(net_tls_new(&call, n->client_identity, &n->client_tls), OK);
	assert_int_equal(fanout_new(&call, n->client_tls,
				    (struct fanout_limits){ .noise = FAKE_NOISE }, &n->fanout),
			 OK);
	for (unsigned i = 0; i < count; i++)
		node_start(n, &n->nodes[i]);
}

void fake_network_stop(struct fake_network *n)
{
	os_cancel_set(&n->stop);
	fanout_free(n->fanout);
	for (unsigned i = 0; i < n->count; i++) {
		struct fake_node *node = &n->nodes[i];
		rpc_server_stop(node->server, NS_PER_SEC);
		net_noise_free(node->noise);
		net_tls_free(node->tls);
		identity_free(node->identity);
		buf_free(&node->piece);
		os_mutex_fini(&node->lock);
	}
	net_tls_free(n->client_tls);
	identity_free(n->client_identity);
	os_cancel_fini(&n->stop);
	memset(n, 0, sizeof(*n));
}

/* ---- order limits ---- */

Metainfo__AddressedOrderLimit *fake_limit(struct fake_network *n, struct arena *a, int node,
					  unsigned piece, int64_t most, Orders__PieceAction action,
					  const struct fake_limits *keys)
{
	Metainfo__AddressedOrderLimit *r = arena_alloc(a, sizeof(*r));
	Orders__OrderLimit *l = arena_alloc(a, sizeof(*l));
	Node__NodeAddress *at = arena_alloc(a, sizeof(*at));
	struct piece_id id = { { 0 } };
	uint8_t serial[SERIAL_BYTES];

	metainfo__addressed_order_limit__init(r);
	if (node < 0)
		return r;
	orders__order_limit__init(l);
	node__node_address__init(at);
	os_random(serial, sizeof(serial));
	put_be32(id.b, piece);
	l->serial_number = proto_copy(a, BYTES_OF(serial));
	l->satellite_id = proto_copy(a, node_id_bytes(identity_node_id(n->client_identity)));
	l->storage_node_id = proto_copy(a,
					node_id_bytes(identity_node_id(n->nodes[node].identity)));
	l->piece_id = proto_copy(a, BYTES_OF(id.b));
	l->limit = most;
	l->action = action;
	l->order_creation = proto_time_new(a, os_clock_unix_ns());
	l->order_expiration = proto_time_new(a, os_clock_unix_ns() + 3600 * NS_PER_SEC);
	l->uplink_public_key = proto_copy(a, BYTES_OF(keys->public_key));
	at->address = arena_str(a, bytes_str(n->nodes[node].address));
	r->limit = l;
	r->storage_node_address = at;
	if (FAKE_NOISE) {
		struct noise_peer key = net_noise_peer(n->nodes[node].noise);
		at->debounce_limit = 2;
		at->noise_info = arena_alloc(a, sizeof(*at->noise_info));
		noise__noise_info__init(at->noise_info);
		at->noise_info->proto = (Noise__NoiseProtocol)key.suite;
		at->noise_info->public_key = proto_copy(a, BYTES_OF(key.key));
	}
	return r;
}

void fake_limits_make(struct fake_network *n, struct arena *a, const int nodes[], unsigned count,
		      int64_t limit, Orders__PieceAction action, struct fake_limits *ret)
{
	struct call call AUTO_CALL = CALL_INIT;

	assert_int_equal(ed25519_generate(&call, &ret->key, ret->public_key), OK);
	ret->list = arena_array(a, count, sizeof(*ret->list));
	for (unsigned i = 0; i < count; i++)
		ret->list[i] = fake_limit(n, a, nodes[i], i, limit, action, ret);
}
