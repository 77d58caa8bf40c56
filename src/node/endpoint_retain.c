/* Retain, RetainBig, RestoreTrash: what a satellite asks of the pieces it has here
 * (storagenode.md 5).  Only those this node works for may. */
#include "base/cleanup.h"
#include "node/node_internal.h"
#include "order/bloom.h"
#include "os/clock.h"
#include "os/log.h"
#include "proto/piecestore2.pb-c.h"

static enum err check_satellite(struct call *call, struct node *n, struct rpc_stream *stream,
				struct node_id *ret)
{
	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), ret));
	if (!trust_has(n->trust, ret))
		return call_fail(call, ERR_PERMISSION, "called with untrusted ID");
	return OK;
}

static enum err check_hash(struct call *call, const Piecestore__RetainRequest *r,
			   struct bytes filter)
{
	uint8_t sum[HASH_BYTES];

	if (r->hash_algorithm == ORDERS__PIECE_HASH_ALGORITHM__BLAKE3)
		hash_blake3(filter, sum);
	else
		hash_sha256(filter, sum);
	if (!bytes_equal(proto_bytes(r->hash), BYTES_OF(sum)))
		return call_fail(call, ERR_INTERNAL, "hash mismatch");
	return OK;
}

/* Kept on disk and applied soon; the satellite does not wait for that. */
static enum err take_filter(struct call *call, struct node *n, const struct node_id *satellite,
			    int64_t creation_unix_ns, struct bytes wire)
{
	struct bloom filter;
	char id[NODE_ID_TEXT_MAX];

	TRY_PLAIN(bloom_parse(call, wire, &filter));
	if (creation_unix_ns == TIME_NONE)
		return call_fail(call, ERR_INVALID, "filter without a creation date");
	if (garbage_add(call, n->garbage, satellite, creation_unix_ns, wire)) {
		log_error("a garbage filter could not be kept", F_STR("why", call->error));
		return ERR_INTERNAL;
	}
	node_id_text(satellite, id);
	log_info("garbage filter received", F_STR("satellite", id), F_U64("bytes", wire.len));
	node_storage_garbage(n);
	return OK;
}

static enum err answer(struct call *call, struct rpc_stream *stream)
{
	Piecestore__RetainResponse response = PIECESTORE__RETAIN_RESPONSE__INIT;

	return rpc_send_message(call, stream, &response.base);
}

enum err endpoint_retain(struct call *call, void *service, struct rpc_stream *stream)
{
	struct node *n = service;
	Piecestore__RetainRequest *r = NULL;
	struct node_id satellite;

	TRY_PLAIN(check_satellite(call, n, stream, &satellite));
	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &piecestore__retain_request__descriptor,
			      &r));
	if (r->hash.len)
		TRY_PLAIN(check_hash(call, r, proto_bytes(r->filter)));
	TRY_PLAIN(take_filter(call, n, &satellite, proto_time(r->creation_date),
			      proto_bytes(r->filter)));
	return answer(call, stream);
}

enum err endpoint_retain_big(struct call *call, void *service, struct rpc_stream *stream)
{
	struct node *n = service;
	AUTO_BUF struct buf filter = BUF_INIT(BLOOM_MAX);
	int64_t creation = TIME_NONE;
	struct node_id satellite;

	TRY_PLAIN(check_satellite(call, n, stream, &satellite));
	for (bool last = false; !last;) {
		AUTO_CALL struct call part = CALL_INIT;
		Piecestore__RetainRequest *r = NULL;
		call_init_child(&part, call);
		enum err e = rpc_recv_message(&part, stream, &part.scratch,
					      &piecestore__retain_request__descriptor, &r);
		if (e) {
			call_copy_error(call, &part);
			return call_wrap(call, e == ERR_CANCELED ? e : ERR_INTERNAL, "filter");
		}
		if (creation == TIME_NONE)
			creation = proto_time(r->creation_date);
		buf_add_bytes(&filter, proto_bytes(r->filter));
		if (buf_status(&filter))
			return call_fail(call, ERR_INVALID, "filter is too long");
		last = r->hash.len != 0;
		if (last)
			TRY_PLAIN(check_hash(call, r, buf_bytes(&filter)));
	}
	TRY_PLAIN(take_filter(call, n, &satellite, creation, buf_bytes(&filter)));
	return answer(call, stream);
}

enum err endpoint_restore_trash(struct call *call, void *service, struct rpc_stream *stream)
{
	struct node *n = service;
	Piecestore__RestoreTrashRequest *r = NULL;
	Piecestore__RestoreTrashResponse response = PIECESTORE__RESTORE_TRASH_RESPONSE__INIT;
	struct node_id satellite;
	char id[NODE_ID_TEXT_MAX];

	TRY_PLAIN(check_satellite(call, n, stream, &satellite));
	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &piecestore__restore_trash_request__descriptor, &r));
	node_id_text(&satellite, id);
	if (piece_store_restore_trash(call, n->store, &satellite)) {
		log_error("trash could not be restored", F_STR("satellite", id),
			  F_STR("why", call->error));
		node_look_at_disk(n);
		return ERR_INTERNAL;
	}
	log_info("trash restored", F_STR("satellite", id));
	return rpc_send_message(call, stream, &response.base);
}
