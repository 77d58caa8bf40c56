/* Remote segments: begin, retry, commit (metainfo.md 5.2 to 5.4). */
#include "base/cleanup.h"
#include "os/random.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/endpoint_metainfo_upload.h"
#include "satellite/metainfo_internal.h"
#include "satellite/overlay.h"
#include "satellite/segment_check.h"
#include "satellite/store_metainfo.h"

struct pending_query {
	const struct stream *stream;
	bool found;
};

static enum err find_pending(struct call *call, struct db_tx *tx, void *arg)
{
	struct pending_query *q = arg;

	return store_object_pending_exists(call, tx, q->stream, &q->found);
}

/* Regular uploads were just begun, by one batch or the one before; a multipart upload may be gone.
 */
static enum err check_upload_lives(struct call *call, struct mcall *mc, const struct stream *s)
{
	struct pending_query q = { .stream = s };

	if (mc->stream_just_made)
		return OK;
	TRY_PLAIN(metainfo_check_limits(call, mc, s->bucket_id));
	if (!s->multipart)
		return OK;
	TRY_PLAIN(metainfo_check_upload(call, mc, 1, 1));
	TRY_PLAIN(db_look_up(call, mc->sat->db, find_pending, &q));
	return q.found ? OK : call_fail(call, ERR_NOT_FOUND, "pending object missing");
}

/* A signed limit for every piece, in order. */
static enum err make_limits(struct call *call, struct mcall *mc, struct segment_ticket *t,
			    const struct node_place *nodes, size_t *ret_count,
			    Metainfo__AddressedOrderLimit ***ret)
{
	size_t n = t->redundancy.total;
	Metainfo__AddressedOrderLimit **list = arena_array(mc->a, n, sizeof(*list));

	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "no room for order limits");
	t->orders.payer = metainfo_payer(mc, t->stream.bucket);
	for (size_t i = 0; i < n; i++)
		TRY_PLAIN(order_batch_limit(call, mc->sat, mc->a, &t->orders, &nodes[i],
					    (uint32_t)i, &list[i]));
	*ret = list;
	*ret_count = n;
	return OK;
}

static enum err begin_ticket(struct call *call, struct mcall *mc,
			     const Metainfo__BeginSegmentRequest *req, const struct stream *s,
			     struct segment_ticket *t, struct ed25519_private *ret_private)
{
	const struct scheme *r = &satellite_live(mc->sat)->redundancy;

	*t = (struct segment_ticket){
		.stream = *s,
		.part = req->position ? req->position->part_number : 0,
		.index = req->position ? req->position->index : 0,
		.redundancy = *r,
		.orders = {
			.action = ORDERS__PIECE_ACTION__PUT,
			.limit = (int64_t)scheme_piece_size(r, (uint64_t)req->max_order_limit),
			.piece_expiration_ns = s->expires_ns,
		},
	};
	os_random(t->orders.root.b, sizeof(t->orders.root.b));
	TRY(order_batch_begin(call, mc->sat, &t->orders, ret_private), "make order limits");
	/* As the segment id keeps them, so that a retry gives the same. */
	t->orders.creation_ns = time_us(t->orders.creation_ns);
	t->orders.expiration_ns = time_us(t->orders.expiration_ns);
	return OK;
}

METAINFO_METHOD(begin_segment, BeginSegment)
{
	const struct stream *s = NULL;
	struct segment_ticket t;
	struct node_place *nodes = NULL;
	struct ed25519_private *private = arena_alloc(mc->a, sizeof(*private));
	struct bytes id;

	if (!private)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment");
	TRY_PLAIN(metainfo_need_peer(call, mc));
	TRY_PLAIN(metainfo_stream(call, mc, RATE_PUT_NO_ERROR, req->stream_id, &s));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT_NO_ERROR, ACTION_WRITE, s->bucket, s->key));
	if (req->position && (req->position->index < 0 || req->position->part_number < 0))
		return call_fail(call, ERR_INVALID, "segment index must be greater then 0");
	if (req->max_order_limit <= 0 || req->max_order_limit > LIMIT_SEGMENT_CIPHER_BYTES)
		return call_fail(call, ERR_INVALID, "max order limit %lld is out of range",
				 (long long)req->max_order_limit);
	TRY_PLAIN(check_upload_lives(call, mc, s));
	TRY_PLAIN(begin_ticket(call, mc, req, s, &t, private));
	TRY_PLAIN(satellite_select_nodes(call, mc->sat, mc->a, s->placement, t.redundancy.total,
					 NULL, 0, &nodes));
	t.nodes = arena_array(mc->a, t.redundancy.total, sizeof(*t.nodes));
	if (!t.nodes)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment");
	for (size_t i = 0; i < t.redundancy.total; i++)
		t.nodes[i] = nodes[i].id;
	TRY_PLAIN(make_limits(call, mc, &t, nodes, &resp->n_addressed_limits,
			      &resp->addressed_limits));
	TRY_PLAIN(segment_id_encode(call, mc->a, &mc->sat->id_key, &t, &id));
	resp->segment_id = proto_view(id);
	resp->private_key = proto_view(BYTES_OF(private->b));
	resp->redundancy_scheme = redundancy_message(mc->a, &t.redundancy);
	return OK;
}

/* The ticket of a segment id, the batch's last when there is none, and the Write right. */
static enum err open_ticket(struct call *call, struct mcall *mc, ProtobufCBinaryData id,
			    struct segment_ticket *ret)
{
	struct bytes bytes = id.len ? proto_bytes(id) : mc->last_segment;

	TRY_PLAIN(metainfo_need_peer(call, mc));
	TRY_PLAIN(segment_id_decode(call, mc->a, &mc->sat->id_key, bytes, mc->now_ns, ret));
	const struct stream *s = &ret->stream;
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT_NO_ERROR, ACTION_WRITE, s->bucket, s->key));
	if (memcmp(s->project.b, mc->auth.project.id.b, PROJECT_ID_BYTES) != 0)
		return call_fail(call, ERR_PERMISSION, "Unauthorized API credentials");
	return OK;
}

static enum err check_retry(struct call *call, const int32_t *numbers, size_t count, size_t total)
{
	bool seen[LIMIT_SHARES_TOTAL] = { false };

	if (!count)
		return call_fail(call, ERR_INVALID, "piece numbers to exchange cannot be empty");
	for (size_t i = 0; i < count; i++) {
		if (numbers[i] < 0 || (size_t)numbers[i] >= total)
			return call_fail(call, ERR_INVALID,
					 "piece number %d must be within range [0,%zu]", numbers[i],
					 total - 1);
		if (seen[numbers[i]])
			return call_fail(call, ERR_INVALID, "piece number %d is duplicated",
					 numbers[i]);
		seen[numbers[i]] = true;
	}
	return OK;
}

/* As many fresh nodes as there are, up to `want`: a client that gets some of what it asked for may
 * reach the success threshold, and asks again if not. */
static enum err select_fresh(struct call *call, struct mcall *mc, const struct segment_ticket *t,
			     size_t want, struct node_place **ret, size_t *ret_count)
{
	enum err e = satellite_select_nodes(call, mc->sat, mc->a, t->stream.placement, want,
					    t->nodes, t->redundancy.total, ret);

	*ret_count = want;
	while (e == ERR_PRECONDITION && --*ret_count)
		e = satellite_select_nodes(call, mc->sat, mc->a, t->stream.placement, *ret_count,
					   t->nodes, t->redundancy.total, ret);
	if (e == ERR_PRECONDITION)
		e = OK;
	if (!e)
		call_clear_error(call);
	return e;
}

METAINFO_METHOD(retry_begin_segment_pieces, RetryBeginSegmentPieces)
{
	struct segment_ticket t;
	struct node_place *fresh = NULL, *nodes = NULL;
	size_t fresh_count = 0;
	struct bytes id;

	TRY_PLAIN(open_ticket(call, mc, req->segment_id, &t));
	TRY_PLAIN(check_retry(call, req->retry_piece_numbers, req->n_retry_piece_numbers,
			      t.redundancy.total));
	TRY_PLAIN(metainfo_check_upload(call, mc, 1, 1));
	TRY_PLAIN(metainfo_check_limits(call, mc, t.stream.bucket_id));
	TRY_PLAIN(select_fresh(call, mc, &t, req->n_retry_piece_numbers, &fresh, &fresh_count));
	/* In a small network pieces may have to go to the node where they failed, which may have
	 * seen the serial (a link that broke): there they need a new one (the reference, which has
	 * nodes enough, refuses). */
	if (fresh_count < req->n_retry_piece_numbers)
		order_batch_new_serial(&t.orders);
	for (size_t i = 0; i < fresh_count; i++)
		t.nodes[req->retry_piece_numbers[i]] = fresh[i].id;
	TRY_PLAIN(
		satellite_lookup_nodes(call, mc->sat, mc->a, t.nodes, t.redundancy.total, &nodes));
	TRY_PLAIN(make_limits(call, mc, &t, nodes, &resp->n_addressed_limits,
			      &resp->addressed_limits));
	TRY_PLAIN(segment_id_encode(call, mc->a, &mc->sat->id_key, &t, &id));
	resp->segment_id = proto_view(id);
	return OK;
}

static enum err verify_hash(struct call *call, void *arg, const struct node_id *node,
			    const Orders__PieceHash *hash)
{
	return satellite_verify_piece_hash(call, arg, node, hash);
}

static enum err check_pieces(struct call *call, struct mcall *mc,
			     const Metainfo__CommitSegmentRequest *req,
			     const struct segment_ticket *t, struct put_segment *s)
{
	size_t n = t->redundancy.total;
	struct segment_check c = {
		.ticket = t,
		.now_ns = mc->now_ns,
		.verify = verify_hash,
		.verify_arg = mc->sat,
		.nodes = arena_array(mc->a, n, sizeof(*c.nodes)),
		.numbers = arena_array(mc->a, n, sizeof(*c.numbers)),
	};

	s->aliases_found = arena_array(mc->a, n, sizeof(*s->aliases_found));
	if (!c.nodes || !c.numbers || !s->aliases_found)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment's pieces");
	TRY_PLAIN(segment_check_sizes(call, &c, req));
	TRY(satellite_load_node_keys(call, mc->sat, t->nodes, n), "load the nodes' keys");
	TRY_PLAIN(segment_check_pieces(call, &c, req));
	TRY_PLAIN(node_aliases_ensure(call, mc->sat->db, mc->m->aliases, c.nodes, c.count));
	satellite_count_upload(mc->sat, t->nodes, n, c.nodes, c.count);
	s->aliases = mc->m->aliases;
	s->nodes = c.nodes;
	s->numbers = c.numbers;
	s->count = c.count;
	return OK;
}

METAINFO_METHOD(commit_segment, CommitSegment)
{
	struct put_segment *s = arena_alloc(mc->a, sizeof(*s));
	struct segment_ticket *t = arena_alloc(mc->a, sizeof(*t));

	if (!s || !t)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment");
	TRY_PLAIN(open_ticket(call, mc, req->segment_id, t));
	TRY_PLAIN(check_segment_checksum(call, mc, req->encrypted_checksum));
	TRY_PLAIN(check_pieces(call, mc, req, t, s));
	TRY_PLAIN(metainfo_check_upload(call, mc, 1, 1));
	TRY_PLAIN(check_segment_key(call, req->encrypted_key, req->encrypted_key_nonce,
				    req->encrypted_e_tag));
	if (req->size_encrypted_data <= 0)
		return call_fail(call, ERR_INVALID, "EncryptedSize negative or zero");
	s->stream = &t->stream;
	s->segment = (struct segment){
		.position = segment_position(t->part, t->index),
		.created_ns = time_us(mc->now_ns),
		.key = proto_bytes(req->encrypted_key),
		.nonce = proto_bytes(req->encrypted_key_nonce),
		.encrypted_size = req->size_encrypted_data,
		.plain_size = req->plain_size,
		.plain_offset = likely_offset(mc, segment_position(t->part, t->index)),
		.etag = proto_bytes(req->encrypted_e_tag),
		.checksum = proto_bytes(req->encrypted_checksum),
		.root = t->orders.root,
		.redundancy = t->redundancy,
	};
	s->prices = metainfo_charge(mc).prices;
	s->now_ns = mc->now_ns;
	return metainfo_work(call, mc, WORK_SEGMENT, s, &resp->base);
}
