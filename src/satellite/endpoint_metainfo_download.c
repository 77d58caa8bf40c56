/* Stat, download, lists of segments (metainfo.md 5.8 to 5.11). */
#include "base/cleanup.h"
#include "os/log.h"
#include "os/random.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/metainfo_internal.h"
#include "satellite/overlay.h"
#include "satellite/segment_check.h"
#include "satellite/store_metainfo.h"

/* Objects of so few segments are read with their data in one go. */
enum { SEGMENTS_WITH_DATA_MAX = 2 };

struct download {
	struct find_object find;
	const Metainfo__Range *range_asked;
	size_t limit;
	bool with_segments;
	/* out */
	bool has_range;
	struct plain_range range;
	struct segment *segments;
	size_t count;
	bool more;
	struct segment first; /* with its data */
	bool small;	      /* read_small read it all */
};

/* Objects without a plain size have no offsets: all segments then. */
static enum err read_range(struct call *call, const Metainfo__Range *m, int64_t size, bool *ret_has,
			   struct plain_range *ret)
{
	*ret_has = false;
	if (!m || size <= 0)
		return OK;
	switch (m->range_case) {
	case METAINFO__RANGE__RANGE_START:
		*ret = (struct plain_range){ m->start->plain_start, size };
		break;
	case METAINFO__RANGE__RANGE_START_LIMIT:
		*ret = (struct plain_range){ m->start_limit->plain_start,
					     m->start_limit->plain_limit };
		break;
	case METAINFO__RANGE__RANGE_SUFFIX:
		if (__builtin_sub_overflow(size, m->suffix->plain_suffix, &ret->start))
			ret->start = 0;
		ret->limit = size;
		break;
	default:
		return OK;
	}
	if (ret->start > ret->limit)
		return call_fail(call, ERR_INVALID, "invalid range: %lld:%lld",
				 (long long)ret->start, (long long)ret->limit);
	*ret_has = true;
	return OK;
}

static enum err read_segments(struct call *call, struct db_tx *tx, struct download *d)
{
	const struct object *o = &d->find.result;
	bool data = o->segment_count <= SEGMENTS_WITH_DATA_MAX;
	int64_t from = 0;

	/* Equal segments: the first of the range is known. */
	if (d->has_range && o->fixed_segment_size > 0 && d->range.start > 0)
		from = d->range.start / o->fixed_segment_size;
	TRY_PLAIN(store_segment_list(call, tx, &o->stream, from, d->has_range ? &d->range : NULL,
				     data, (int64_t)d->limit + 1, &d->segments, &d->count));
	d->more = d->count > d->limit;
	if (d->more)
		d->count = d->limit;
	if (!d->count)
		return OK;
	if (data) {
		d->first = d->segments[0];
		return OK;
	}
	return store_segment_get(call, tx, &o->stream, d->segments[0].position, &d->first);
}

static enum err read_download(struct call *call, struct db_tx *tx, void *arg)
{
	struct download *d = arg;

	TRY_PLAIN(object_find(call, tx, &d->find));
	if (!d->with_segments)
		return OK;
	TRY_PLAIN(read_range(call, d->range_asked, d->find.result.plain_size, &d->has_range,
			     &d->range));
	return read_segments(call, tx, d);
}

/* An object of one segment is all there is to read, and most are: in one statement, then. */
static enum err read_small(struct call *call, struct db_tx *tx, void *arg)
{
	struct download *d = arg;
	const struct segment *s = &d->first;

	d->find.first = &d->first;
	TRY_PLAIN(object_find(call, tx, &d->find));
	TRY_PLAIN(read_range(call, d->range_asked, d->find.result.plain_size, &d->has_range,
			     &d->range));
	d->small = d->find.has_first && d->find.result.segment_count == 1 &&
		   (!d->has_range || (s->plain_offset < d->range.limit &&
				      d->range.start < s->plain_offset + s->plain_size));
	d->segments = &d->first;
	d->count = 1;
	d->more = false;
	return OK;
}

static enum err find_init(struct call *call, struct find_object *f, const struct mcall *mc,
			  struct bytes bucket, struct bytes key, ProtobufCBinaryData version)
{
	*f = (struct find_object){
		.project = mc->auth.project.id,
		.bucket = bucket,
		.key = key,
		.has_version = version.len != 0,
		.version = version.len ? object_version_get(proto_bytes(version)) : 0,
		.now_ns = mc->now_ns,
	};
	return object_name_check(call, key, f->has_version, f->version);
}

/* Read or List will do (metainfo.md 3.1). */
enum err metainfo_allow_look(struct call *call, struct mcall *mc, struct bytes bucket,
			     struct bytes key)
{
	TRY_PLAIN(metainfo_auth(call, mc, RATE_HEAD));
	if (auth_allows(&mc->auth, ACTION_READ, bucket, key))
		return OK;
	return auth_check(call, &mc->auth, ACTION_LIST, bucket, key);
}

static void remember_object(struct mcall *mc, struct bytes bucket, const struct object *o)
{
	struct stream *s = arena_alloc(mc->a, sizeof(*s));

	if (!s)
		return;
	object_stream(&mc->auth.project.id, bucket, 0, o, s);
	mc->last_stream = s;
}

static enum err read_first(struct call *call, struct db_tx *tx, void *arg)
{
	struct segment *s = arg;

	return store_segment_get(call, tx, &s->stream, 0, s);
}

/* Clients before 1.4.2 take the code of all segments from their object.  Objects whose first
 * segment is another have none, as in the reference. */
static enum err old_redundancy(struct call *call, struct mcall *mc, const struct object *o,
			       Metainfo__Object *m)
{
	struct segment first = { .stream = o->stream };
	enum err e = db_read_one(call, mc->sat->db, read_first, &first);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	m->redundancy_scheme =
		first.is_inline ? message_new(mc->a, &pointerdb__redundancy_scheme__descriptor)
				: redundancy_message(mc->a, &first.redundancy);
	return m->redundancy_scheme ? OK : call_fail(call, ERR_NO_MEMORY, "no room for an object");
}

METAINFO_METHOD(get_object, GetObject)
{
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);
	struct download d = { 0 };

	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(check_version_length(call, req->object_version));
	TRY_PLAIN(metainfo_allow_look(call, mc, bucket, key));
	TRY_PLAIN(object_rate_check(call, mc->m->download_rate, &mc->auth.project.id, bucket, key,
				    mc->now_ns));
	TRY_PLAIN(find_init(call, &d.find, mc, bucket, key, req->object_version));
	if (d.find.has_version)
		TRY_PLAIN(db_read(call, mc->sat->db, read_download, &d));
	else
		TRY_PLAIN(db_look_up(call, mc->sat->db, read_download, &d));
	TRY_PLAIN(answer_object(call, mc, bucket, 0, &d.find.result, &resp->object));
	hide_lock(mc, bucket, key, resp->object);
	if (!req->redundancy_scheme_per_segment && d.find.result.segment_count)
		TRY_PLAIN(old_redundancy(call, mc, &d.find.result, resp->object));
	remember_object(mc, bucket, &d.find.result);
	return OK;
}

/* ---- a segment to be read ---- */

struct offer {
	struct bytes bucket;
	const struct segment *segment;
	int64_t desired_nodes;
	int64_t limit; /* bytes of each piece; 0 = all */
};

/* k and a few more of the pieces whose nodes can be had, chosen at random. */
static enum err choose_pieces(struct call *call, struct mcall *mc, const struct offer *o,
			      const struct piece *pieces, struct node_place *nodes, size_t count)
{
	const struct scheme *r = &o->segment->redundancy;
	size_t want = segment_download_count(r, o->desired_nodes);
	size_t usable[PIECE_LIST_MAX], n = 0;

	for (size_t i = 0; i < count; i++) {
		if (nodes[i].online && nodes[i].address[0] && pieces[i].number < r->total)
			usable[n++] = i;
	}
	if (n < r->required) {
		log_warn("a segment cannot be read: too few of its nodes are online",
			 F_U64("online", n), F_U64("needed", r->required));
		return call_fail_status(call, ERR_INTERNAL, err_status(ERR_INTERNAL),
					"unable to create order limits");
	}
	while (n > want) {
		size_t drop = (size_t)os_random_below(n);
		nodes[usable[drop]].online = false;
		usable[drop] = usable[--n];
	}
	for (size_t i = 0; i < count; i++) {
		if (!nodes[i].address[0] || pieces[i].number >= r->total)
			nodes[i].online = false;
	}
	return OK;
}

static enum err find_nodes(struct call *call, struct mcall *mc, const struct segment *s,
			   struct piece *pieces, size_t *ret_count, struct node_place **ret)
{
	struct node_id *ids = arena_array(mc->a, PIECE_LIST_MAX, sizeof(*ids));

	if (!ids)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment's nodes");
	TRY_PLAIN(piece_list_decode(call, s->pieces, pieces, ret_count));
	TRY_PLAIN(node_aliases_find(call, mc->sat->db, mc->m->aliases, pieces, *ret_count, ids));
	return satellite_lookup_nodes(call, mc->sat, mc->a, ids, *ret_count, ret);
}

/* One limit per piece number; blanks where none is offered (metainfo.md 5.10). */
static enum err offer_pieces(struct call *call, struct mcall *mc, const struct offer *o,
			     Metainfo__DownloadSegmentResponse *m)
{
	const struct segment *s = o->segment;
	const struct scheme *r = &s->redundancy;
	struct piece pieces[PIECE_LIST_MAX];
	struct node_place *nodes = NULL;
	size_t count = 0;
	int64_t whole = (int64_t)scheme_piece_size(r, (uint64_t)s->encrypted_size);
	struct ed25519_private *private = arena_alloc(mc->a, sizeof(*private));
	Metainfo__AddressedOrderLimit **list = arena_array(mc->a, r->total, sizeof(*list));
	struct order_batch batch = {
		.action = ORDERS__PIECE_ACTION__GET,
		.limit = o->limit > 0 && o->limit < whole ? o->limit : whole,
		.root = s->root,
		.payer = metainfo_payer(mc, o->bucket),
	};

	if (!private || !list)
		return call_fail(call, ERR_NO_MEMORY, "no room for order limits");
	TRY_PLAIN(find_nodes(call, mc, s, pieces, &count, &nodes));
	TRY_PLAIN(choose_pieces(call, mc, o, pieces, nodes, count));
	TRY(order_batch_begin(call, mc->sat, &batch, private), "make order limits");
	for (size_t i = 0; i < count; i++) {
		if (!nodes[i].online)
			continue;
		TRY_PLAIN(order_batch_limit(call, mc->sat, mc->a, &batch, &nodes[i],
					    pieces[i].number, &list[pieces[i].number]));
	}
	for (size_t i = 0; i < r->total; i++) {
		if (!list[i])
			list[i] = message_new(mc->a, &metainfo__addressed_order_limit__descriptor);
		if (!list[i])
			return call_fail(call, ERR_NO_MEMORY, "no room for order limits");
	}
	m->n_addressed_limits = r->total;
	m->addressed_limits = list;
	m->private_key = proto_view(BYTES_OF(private->b));
	m->redundancy_scheme = redundancy_message(mc->a, r);
	return OK;
}

static enum err answer_segment(struct call *call, struct mcall *mc, const struct offer *o,
			       Metainfo__DownloadSegmentResponse *m)
{
	const struct segment *s = o->segment;

	m->plain_offset = s->plain_offset;
	m->plain_size = s->plain_size;
	m->segment_size = s->encrypted_size;
	m->encrypted_key_nonce = proto_view(s->nonce);
	m->encrypted_key = proto_view(s->key);
	m->position = answer_position(mc->a, s->position);
	if (s->is_inline) {
		m->encrypted_inline_data = proto_view(s->inline_data);
		const struct payer payer = metainfo_payer(mc, o->bucket);
		bandwidth_add(mc->m->bandwidth, &payer, ORDERS__PIECE_ACTION__GET, 0,
			      s->encrypted_size, mc->now_ns);
		return OK;
	}
	return offer_pieces(call, mc, o, m);
}

/* ---- DownloadObject ---- */

static enum err answer_segment_list(struct call *call, struct arena *a, const struct segment *list,
				    size_t count, bool more, Metainfo__ListSegmentsResponse *m)
{
	Metainfo__SegmentListItem *items = arena_array(a, count, sizeof(*items));

	m->items = arena_array(a, count, sizeof(*m->items));
	if (count && (!items || !m->items))
		return call_fail(call, ERR_NO_MEMORY, "no room for a list of segments");
	for (size_t i = 0; i < count; i++) {
		metainfo__segment_list_item__init(&items[i]);
		items[i].position = answer_position(a, list[i].position);
		items[i].plain_size = list[i].plain_size;
		items[i].plain_offset = list[i].plain_offset;
		items[i].created_at = proto_time_new(a, list[i].created_ns);
		items[i].encrypted_e_tag = proto_view(list[i].etag);
		items[i].encrypted_checksum = proto_view(list[i].checksum);
		items[i].encrypted_key_nonce = proto_view(list[i].nonce);
		items[i].encrypted_key = proto_view(list[i].key);
		m->items[i] = &items[i];
	}
	m->n_items = count;
	m->more = more;
	return OK;
}

/* Bytes of each piece that the range needs within the first segment. */
static int64_t first_limit(const struct download *d)
{
	const struct segment *s = &d->first;
	const struct object *o = &d->find.result;

	if (!d->has_range || s->is_inline)
		return 0;
	int64_t end = s->plain_offset + s->plain_size;
	int64_t start = MAX(d->range.start, s->plain_offset), limit = MIN(d->range.limit, end);
	return segment_range_limit(&s->redundancy, o->cipher, o->block_size,
				   start - s->plain_offset, limit - s->plain_offset);
}

static enum err answer_download(struct call *call, struct mcall *mc,
				const Metainfo__DownloadObjectRequest *req, struct download *d,
				Metainfo__DownloadObjectResponse *resp)
{
	struct bytes bucket = proto_bytes(req->bucket);
	struct offer offer = {
		.bucket = bucket,
		.segment = &d->first,
		.desired_nodes = req->desired_nodes,
		.limit = first_limit(d),
	};

	resp->segment_list = message_new(mc->a, &metainfo__list_segments_response__descriptor);
	if (!resp->segment_list)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	TRY_PLAIN(answer_segment_list(call, mc->a, d->segments, d->count, d->more,
				      resp->segment_list));
	TRY_PLAIN(answer_object(call, mc, bucket, 0, &d->find.result, &resp->object));
	hide_lock(mc, bucket, d->find.key, resp->object);
	if (!d->count)
		return OK;
	resp->segment_download = arena_alloc(mc->a, sizeof(*resp->segment_download));
	Metainfo__DownloadSegmentResponse *m =
		message_new(mc->a, &metainfo__download_segment_response__descriptor);
	if (!resp->segment_download || !m)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	int64_t size = offer.limit ? MIN(offer.limit * d->first.redundancy.required,
					 d->first.encrypted_size)
				   : d->first.encrypted_size;
	TRY_PLAIN(metainfo_charge_download(call, mc, d->find.result.bucket_id, size, 1));
	enum err e = answer_segment(call, mc, &offer, m);
	if (e) {
		metainfo_refund_download(mc, d->find.result.bucket_id, size, 1);
		return e;
	}
	usage_add_downloaded(mc->m->usage, &mc->auth.project, size);
	resp->segment_download[0] = m;
	resp->n_segment_download = 1;
	return OK;
}

static enum err check_server_side_copy(struct call *call, bool asked)
{
	if (asked)
		return call_fail(call, ERR_INVALID,
				 "ServerSideCopy flag is only allowed for trusted uplink clients");
	return OK;
}

METAINFO_METHOD(download_object, DownloadObject)
{
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);
	struct download d = { .range_asked = req->range, .with_segments = true };

	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(check_version_length(call, req->object_version));
	TRY_PLAIN(metainfo_need_peer(call, mc));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_GET, ACTION_READ, bucket, key));
	TRY_PLAIN(check_server_side_copy(call, req->server_side_copy));
	TRY_PLAIN(check_limit(call, req->limit, LIMIT_LIST_PAGE, &d.limit));
	TRY_PLAIN(usage_check_download(call, mc->sat->db, mc->m->usage, &mc->auth.project,
				       mc->now_ns));
	TRY_PLAIN(object_rate_check(call, mc->m->download_rate, &mc->auth.project.id, bucket, key,
				    mc->now_ns));
	TRY_PLAIN(find_init(call, &d.find, mc, bucket, key, req->object_version));
	if (!d.find.has_version)
		TRY_PLAIN(db_look_up(call, mc->sat->db, read_small, &d));
	d.find.first = NULL;
	if (!d.small)
		TRY_PLAIN(db_read(call, mc->sat->db, read_download, &d));
	TRY_PLAIN(answer_download(call, mc, req, &d, resp));
	remember_object(mc, bucket, &d.find.result);
	return OK;
}

/* ---- DownloadSegment, ListSegments ---- */

struct segment_query {
	struct stream_uuid uuid;
	bool last;
	int64_t position, now_ns;
	struct segment segment;
};

static enum err read_segment(struct call *call, struct db_tx *tx, void *arg)
{
	struct segment_query *q = arg;
	enum err e = q->last ? store_segment_last(call, tx, &q->uuid, &q->segment)
			     : store_segment_get(call, tx, &q->uuid, q->position, &q->segment);

	if (e == ERR_NOT_FOUND ||
	    (!e && q->segment.expires_ns && q->segment.expires_ns <= q->now_ns))
		return call_fail(call, ERR_NOT_FOUND, "segment not found: segment missing");
	return e;
}

METAINFO_METHOD(download_segment, DownloadSegment)
{
	const struct stream *s = NULL;
	int32_t part = req->cursor_position ? req->cursor_position->part_number : 0;
	int32_t index = req->cursor_position ? req->cursor_position->index : 0;

	TRY_PLAIN(metainfo_need_peer(call, mc));
	TRY_PLAIN(metainfo_stream(call, mc, RATE_GET, req->stream_id, &s));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_GET, ACTION_READ, s->bucket, s->key));
	TRY_PLAIN(check_server_side_copy(call, req->server_side_copy));
	TRY_PLAIN(usage_check_download(call, mc->sat->db, mc->m->usage, &mc->auth.project,
				       mc->now_ns));
	struct segment_query q = {
		.uuid = s->uuid,
		.last = part == 0 && index == -1,
		.position = segment_position(part, index),
		.now_ns = mc->now_ns,
	};
	if (q.last && s->multipart)
		return call_fail(call, ERR_UNIMPLEMENTED,
				 "Used uplink version cannot download multipart objects.");
	TRY_PLAIN(db_read_one(call, mc->sat->db, read_segment, &q));
	struct offer offer = {
		.bucket = s->bucket,
		.segment = &q.segment,
		.desired_nodes = req->desired_nodes,
	};
	TRY_PLAIN(metainfo_charge_download(call, mc, s->bucket_id, q.segment.encrypted_size, 0));
	enum err e = answer_segment(call, mc, &offer, resp);
	if (e) {
		metainfo_refund_download(mc, s->bucket_id, q.segment.encrypted_size, 0);
		return e;
	}
	usage_add_downloaded(mc->m->usage, &mc->auth.project, q.segment.encrypted_size);
	mc->last_segment = BYTES_NONE;
	return OK;
}

struct list_query {
	struct stream_uuid uuid;
	int64_t from;
	size_t limit;
	struct segment *list;
	size_t count;
};

static enum err read_segment_list(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_query *q = arg;

	return store_segment_list(call, tx, &q->uuid, q->from, NULL, false, (int64_t)q->limit + 1,
				  &q->list, &q->count);
}

METAINFO_METHOD(list_segments, ListSegments)
{
	const struct stream *s = NULL;
	struct list_query q = { 0 };

	TRY_PLAIN(metainfo_stream(call, mc, RATE_LIST, req->stream_id, &s));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_LIST, ACTION_READ, s->bucket, s->key));
	TRY_PLAIN(check_limit(call, req->limit, LIMIT_LIST_PAGE, &q.limit));
	q.uuid = s->uuid;
	/* Behind the last index of a part is its next, and 0/0 is the begin (metainfo.md 5.11). */
	if (req->cursor_position &&
	    (req->cursor_position->part_number || req->cursor_position->index))
		q.from = segment_position(req->cursor_position->part_number,
					  req->cursor_position->index) +
			 1;
	TRY_PLAIN(db_read_one(call, mc->sat->db, read_segment_list, &q));
	bool more = q.count > q.limit;
	TRY_PLAIN(answer_segment_list(call, mc->a, q.list, more ? q.limit : q.count, more, resp));
	resp->encryption_parameters = answer_encryption(mc->a, s->cipher, s->block_size);
	return OK;
}

/* ---- GetObjectIPs ---- */

struct ips_query {
	struct find_object find;
	int32_t placement;
	struct segment *list;
	size_t count;
};

static enum err read_pieces(struct call *call, struct db_tx *tx, void *arg)
{
	struct ips_query *q = arg;
	struct bucket bucket;

	TRY_PLAIN(object_find(call, tx, &q->find));
	TRY_PLAIN(bucket_find(call, tx, &q->find.project, q->find.bucket, &bucket));
	q->placement = bucket.placement;
	return store_segment_list(call, tx, &q->find.result.stream, 0, NULL, true, LIMIT_PARTS,
				  &q->list, &q->count);
}

static int compare_piece_alias(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return (x->alias > y->alias) - (x->alias < y->alias);
}

/* All pieces of all segments, by node. */
static enum err collect_pieces(struct call *call, struct arena *a, const struct ips_query *q,
			       struct piece **ret, size_t *ret_count)
{
	struct piece *all = arena_array(a, q->count * PIECE_LIST_MAX, sizeof(*all));
	size_t n = 0;

	if (q->count && !all)
		return call_fail(call, ERR_NO_MEMORY, "no room for pieces");
	for (size_t i = 0; i < q->count; i++) {
		size_t count = 0;
		if (q->list[i].is_inline)
			continue;
		TRY_PLAIN(piece_list_decode(call, q->list[i].pieces, all + n, &count));
		n += count;
	}
	if (n)
		qsort(all, n, sizeof(*all), compare_piece_alias);
	*ret = all;
	*ret_count = n;
	return OK;
}

static enum err answer_ips(struct call *call, struct mcall *mc, const struct piece *all, size_t n,
			   Metainfo__GetObjectIPsResponse *resp)
{
	struct node_place *places = NULL;
	size_t distinct = 0, count = 0;

	for (size_t i = 0; i < n; i++)
		distinct += i == 0 || all[i - 1].alias != all[i].alias;
	struct piece *nodes = arena_array(mc->a, distinct, sizeof(*nodes));
	uint32_t *held = arena_array(mc->a, distinct, sizeof(*held));
	struct node_id *ids = arena_array(mc->a, distinct, sizeof(*ids));
	resp->ips = arena_array(mc->a, distinct, sizeof(*resp->ips));
	if (n && (!nodes || !held || !ids || !resp->ips))
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	for (size_t i = 0; i < n; i++) {
		if (!count || nodes[count - 1].alias != all[i].alias)
			nodes[count++] = all[i];
		held[count - 1]++;
	}
	TRY_PLAIN(node_aliases_find(call, mc->sat->db, mc->m->aliases, nodes, count, ids));
	TRY_PLAIN(satellite_lookup_nodes(call, mc->sat, mc->a, ids, count, &places));
	for (size_t i = 0; i < count; i++) {
		if (!places[i].online)
			continue;
		resp->ips[resp->n_ips++] = proto_view(bytes_str(places[i].address));
		resp->reliable_piece_count += held[i];
	}
	resp->piece_count = (int64_t)n;
	return OK;
}

METAINFO_METHOD(get_object_ips, GetObjectIPs)
{
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);
	struct ips_query q = { 0 };
	struct piece *all = NULL;
	size_t n = 0;

	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(check_version_length(call, req->object_version));
	TRY_PLAIN(metainfo_allow_look(call, mc, bucket, key));
	TRY_PLAIN(find_init(call, &q.find, mc, bucket, key, (ProtobufCBinaryData){ 0, NULL }));
	TRY_PLAIN(db_read(call, mc->sat->db, read_pieces, &q));
	TRY_PLAIN(collect_pieces(call, mc->a, &q, &all, &n));
	resp->segment_count = q.find.result.segment_count;
	resp->placement_constraint = (uint32_t)q.placement;
	return answer_ips(call, mc, all, n, resp);
}
