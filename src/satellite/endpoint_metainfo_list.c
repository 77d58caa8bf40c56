/* ListObjects and what else shows uploads under way (metainfo.md 5.12, 5.13). */
#include "base/cleanup.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/listing.h"
#include "satellite/store_metainfo.h"

enum { UPLINK_LIST_KEYS = 9 }; /* from uplink 1.9 on keys and nonces of items are read */

struct list_query {
	struct project_id project;
	struct bytes bucket_name;
	struct listing listing; /* all but the bucket's id */
	struct bucket bucket;
	struct listing_page page;
};

static enum err read_page(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_query *q = arg;

	TRY_PLAIN(bucket_find(call, tx, &q->project, q->bucket_name, &q->bucket));
	q->listing.bucket_id = q->bucket.id;
	return listing_read(call, tx, &q->listing, &q->page);
}

static bool ends_with(struct bytes v, struct bytes end)
{
	return v.len >= end.len && bytes_equal(BYTES(v.data + v.len - end.len, end.len), end);
}

static enum err join(struct call *call, struct arena *a, struct bytes x, struct bytes y,
		     struct bytes *ret)
{
	uint8_t *p = arena_alloc(a, x.len + y.len + 1);

	if (!p)
		return call_fail(call, ERR_NO_MEMORY, "no room for a key");
	if (x.len)
		memcpy(p, x.data, x.len);
	if (y.len)
		memcpy(p + x.len, y.data, y.len);
	*ret = BYTES(p, x.len + y.len);
	return OK;
}

/* Prefix and cursor as the protocol means them: the cursor is relative to the prefix. */
static enum err read_where(struct call *call, struct mcall *mc,
			   const Metainfo__ListObjectsRequest *req, struct listing *l)
{
	struct bytes cursor = proto_bytes(req->encrypted_cursor);

	l->delimiter = req->delimiter.len ? proto_bytes(req->delimiter) : bytes_str("/");
	l->prefix = proto_bytes(req->encrypted_prefix);
	if (l->prefix.len && !req->arbitrary_prefix && !ends_with(l->prefix, l->delimiter))
		TRY_PLAIN(join(call, mc->a, l->prefix, l->delimiter, &l->prefix));
	if (cursor.len) {
		TRY_PLAIN(join(call, mc->a, l->prefix, cursor, &l->cursor_key));
		l->has_cursor = true;
	}
	if (req->version_cursor.len) {
		if (req->version_cursor.len != OBJECT_VERSION_BYTES)
			return call_fail(call, ERR_INVALID, "invalid stream version id");
		l->has_cursor_version = true;
		l->cursor_version = object_version_get(proto_bytes(req->version_cursor));
	}
	return OK;
}

static struct include read_include(const struct mcall *mc, const Metainfo__ListObjectsRequest *req,
				   bool pending, bool all)
{
	const Metainfo__ObjectListItemIncludes *m = req->object_includes;
	struct include i = include_all;

	i.version = all;
	if (!req->use_object_includes)
		return i;
	i.custom = m && m->metadata;
	/* Upload ids depend on it. */
	i.system = pending || !m || !m->exclude_system_metadata;
	i.etag = m && m->include_etag;
	i.etag_or_custom = m && m->include_etag_or_custom_metadata;
	i.checksum = m && m->include_checksum;
	/* Some know the fields for key and nonce, and some do not; without them they list nothing.
	 */
	i.legacy = mc->uplink_minor && mc->uplink_minor < UPLINK_LIST_KEYS;
	return i;
}

static enum err answer_page(struct call *call, struct mcall *mc, const struct list_query *q,
			    const struct include *include, Metainfo__ListObjectsResponse *resp)
{
	size_t n = q->page.count;
	Metainfo__ObjectListItem *items = arena_array(mc->a, n, sizeof(*items));

	resp->items = arena_array(mc->a, n, sizeof(*resp->items));
	if (n && (!items || !resp->items))
		return call_fail(call, ERR_NO_MEMORY, "no room for a listing");
	for (size_t i = 0; i < n; i++) {
		metainfo__object_list_item__init(&items[i]);
		TRY_PLAIN(answer_list_item(call, mc, q->bucket_name, q->bucket.placement,
					   q->listing.prefix, include, &q->page.items[i].object,
					   q->page.items[i].is_latest, &items[i]));
		resp->items[i] = &items[i];
	}
	resp->n_items = n;
	resp->more = q->page.more;
	return OK;
}

METAINFO_METHOD(list_objects, ListObjects)
{
	struct bytes bucket = proto_bytes(req->bucket);
	struct list_query q = { .bucket_name = bucket };
	struct listing *l = &q.listing;

	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_LIST, ACTION_LIST, bucket,
				 proto_bytes(req->encrypted_prefix)));
	TRY_PLAIN(check_limit(call, req->limit, LIMIT_LIST_PAGE, &l->limit));
	TRY_PLAIN(read_where(call, mc, req, l));
	q.project = mc->auth.project.id;
	l->recursive = req->recursive;
	l->pending = req->status == METAINFO__OBJECT__STATUS__UPLOADING;
	l->all_versions = req->include_all_versions || l->pending;
	l->now_ns = mc->now_ns;
	struct include include = read_include(mc, req, l->pending, l->all_versions);
	TRY_PLAIN(db_read(call, mc->sat->db, read_page, &q));
	return answer_page(call, mc, &q, &include, resp);
}

/* ---- pending uploads ---- */

struct streams_query {
	struct project_id project;
	struct bytes bucket_name, key;
	const struct stream_uuid *cursor;
	int64_t now_ns;
	size_t limit;
	struct bucket bucket;
	struct object *list;
	size_t count;
};

static enum err read_streams(struct call *call, struct db_tx *tx, void *arg)
{
	struct streams_query *q = arg;

	TRY_PLAIN(bucket_find(call, tx, &q->project, q->bucket_name, &q->bucket));
	TRY_PLAIN(object_name_check(call, q->key, false, 0));
	return store_object_pending_streams(call, tx, q->bucket.id, q->key, q->cursor, q->now_ns,
					    (int64_t)q->limit + 1, &q->list, &q->count);
}

METAINFO_METHOD(list_pending_object_streams, ListPendingObjectStreams)
{
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);
	struct streams_query q = { .bucket_name = bucket, .key = key, .now_ns = mc->now_ns };
	const struct stream *cursor = NULL;

	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_LIST, ACTION_LIST, bucket, key));
	TRY_PLAIN(check_limit(call, req->limit, LIMIT_LIST_PAGE, &q.limit));
	if (req->stream_id_cursor.len) {
		TRY_PLAIN(metainfo_stream(call, mc, RATE_LIST, req->stream_id_cursor, &cursor));
		q.cursor = &cursor->uuid;
	}
	q.project = mc->auth.project.id;
	TRY_PLAIN(db_read(call, mc->sat->db, read_streams, &q));
	size_t n = MIN(q.count, q.limit);
	Metainfo__ObjectListItem *items = arena_array(mc->a, n, sizeof(*items));
	resp->items = arena_array(mc->a, n, sizeof(*resp->items));
	if (n && (!items || !resp->items))
		return call_fail(call, ERR_NO_MEMORY, "no room for a listing");
	for (size_t i = 0; i < n; i++) {
		metainfo__object_list_item__init(&items[i]);
		TRY_PLAIN(answer_list_item(call, mc, bucket, q.bucket.placement, BYTES_NONE,
					   &include_all, &q.list[i], false, &items[i]));
		resp->items[i] = &items[i];
	}
	resp->n_items = n;
	resp->more = q.count > q.limit;
	return OK;
}

struct pending_query {
	struct stream stream;
	int64_t now_ns;
	struct object object;
};

static enum err read_pending(struct call *call, struct db_tx *tx, void *arg)
{
	struct pending_query *q = arg;
	enum err e = store_object_pending(call, tx, &q->stream, &q->object);

	if (!e && q->object.expires_ns && q->object.expires_ns <= q->now_ns)
		e = ERR_NOT_FOUND;
	return e == ERR_NOT_FOUND ? fail_object_not_found(call, "no such pending object") : e;
}

METAINFO_METHOD(get_pending_object_metadata, GetPendingObjectMetadata)
{
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);
	const struct stream *s = NULL;
	Metainfo__Object *m = NULL;

	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(metainfo_allow_look(call, mc, bucket, key));
	enum err e = metainfo_stream(call, mc, RATE_HEAD, req->stream_id, &s);
	if (e == ERR_INVALID)
		return call_fail_status(call, e, STATUS_STREAM_ID_INVALID, "invalid stream ID");
	TRY_PLAIN(e);
	if (!bytes_equal(s->bucket, bucket) || !bytes_equal(s->key, key))
		return fail_object_not_found(call, "no such pending object");
	struct pending_query q = { .stream = *s, .now_ns = mc->now_ns };
	TRY_PLAIN(db_read_one(call, mc->sat->db, read_pending, &q));
	TRY_PLAIN(answer_object(call, mc, bucket, s->placement, &q.object, &m));
	resp->encrypted_metadata_nonce = m->encrypted_metadata_nonce;
	resp->encrypted_metadata_encrypted_key = m->encrypted_metadata_encrypted_key;
	resp->encrypted_metadata = m->encrypted_metadata;
	resp->encrypted_etag = m->encrypted_etag;
	resp->checksum_algorithm = m->checksum_algorithm;
	resp->is_checksum_composite = m->is_checksum_composite;
	resp->encrypted_checksum = m->encrypted_checksum;
	return OK;
}
