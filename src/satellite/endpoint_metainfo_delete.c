/* Deletes (metainfo.md 5.14). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/metainfo_internal.h"
#include "satellite/store_metainfo.h"

static void count_removed(struct mcall *mc, const struct delete_object *d)
{
	if (d->was_removed)
		usage_add_stored(mc->m->usage, &mc->auth.project, -d->removed.encrypted_size,
				 -d->removed.segment_count);
}

static enum err run_abort(struct call *call, struct db_tx *tx, void *arg)
{
	return object_abort(call, tx, arg);
}

static enum err abort_upload(struct call *call, struct mcall *mc,
			     const Metainfo__BeginDeleteObjectRequest *req,
			     Metainfo__BeginDeleteObjectResponse *resp)
{
	const struct stream *s = NULL;

	TRY_PLAIN(metainfo_stream(call, mc, RATE_DELETE, req->stream_id, &s));
	/* The right was checked for the key in the request; it must be the upload's. */
	TRY_PLAIN(auth_check(call, &mc->auth, ACTION_DELETE, s->bucket, s->key));
	struct stream copy = *s;
	TRY_PLAIN(db_write(call, mc->sat->db, run_abort, &copy));
	/* Which it was, and nothing of what was in it. */
	const struct object gone = {
		.key = s->key,
		.version = s->version,
		.stream = s->uuid,
		.status = OBJECT_PENDING,
	};
	return answer_object(call, mc, s->bucket, 0, &gone, &resp->object);
}

struct delete_query {
	struct project_id project;
	struct bytes bucket;
	struct delete_object d;
};

static enum err run_delete(struct call *call, struct db_tx *tx, void *arg)
{
	struct delete_query *q = arg;
	struct bucket bucket;
	enum err e = store_bucket_get(call, tx, &q->project, q->bucket, &bucket);

	if (e == ERR_NOT_FOUND) {
		q->d.was_removed = false;
		q->d.was_marked = false;
		return OK;
	}
	TRY_PLAIN(e);
	return object_remove(call, tx, &bucket, &q->d);
}

static enum err delete_one(struct call *call, struct mcall *mc,
			   const Metainfo__BeginDeleteObjectRequest *req,
			   Metainfo__BeginDeleteObjectResponse *resp)
{
	struct delete_query q = {
		.project = mc->auth.project.id,
		.bucket = proto_bytes(req->bucket),
		.d = {
			.key = proto_bytes(req->encrypted_object_key),
			.has_version = req->object_version.len != 0,
			.bypass_governance = req->bypass_governance_retention,
			.now_ns = mc->now_ns,
		},
	};

	if (q.d.has_version)
		q.d.version = object_version_get(proto_bytes(req->object_version));
	TRY_PLAIN(db_write(call, mc->sat->db, run_delete, &q));
	count_removed(mc, &q.d);
	const struct object *o = q.d.was_removed  ? &q.d.removed
				 : q.d.was_marked ? &q.d.marker
						  : NULL;
	if (!o)
		return OK;
	TRY_PLAIN(answer_object(call, mc, q.bucket, 0, o, &resp->object));
	if (!auth_allows(&mc->auth, ACTION_GET_RETENTION, q.bucket, q.d.key))
		resp->object->retention = NULL;
	return OK;
}

METAINFO_METHOD(begin_delete_object, BeginDeleteObject)
{
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);
	bool pending = req->status == OBJECT_PENDING;
	enum err e;

	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(check_version_length(call, req->object_version));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_DELETE, ACTION_DELETE, bucket, key));
	if (req->bypass_governance_retention)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_BYPASS_GOVERNANCE, bucket, key));
	if (pending && !req->stream_id.len)
		return call_fail(call, ERR_INVALID, "StreamID missing");
	e = pending ? abort_upload(call, mc, req, resp) : delete_one(call, mc, req, resp);
	/* Who may neither read nor list learns nothing. */
	if (!auth_allows(&mc->auth, ACTION_READ, bucket, key) &&
	    !auth_allows(&mc->auth, ACTION_LIST, bucket, key)) {
		call_clear_error(call);
		resp->object = NULL;
		e = OK;
	}
	mc->last_stream = NULL;
	return e;
}

/* Parts go with their upload; a no-op since long ago, not even authenticated. */
METAINFO_METHOD(delete_part, DeletePart)
{
	return OK;
}

/* ---- many at once ---- */

struct many_item {
	struct delete_object d;
	const struct many_item *by; /* the one that removed what this one names, too */
	struct bytes version;	    /* as requested; empty = none */
	Metainfo__DeleteObjectsResponseItem__Status status;
};

struct many_query {
	struct project_id project;
	struct bytes bucket;
	struct many_item *items;
	size_t count;
};

static int compare_short_first(struct bytes a, struct bytes b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return bytes_compare(a, b);
}

static int compare_items(const void *a, const void *b)
{
	const struct many_item *x = a, *y = b;
	int c = compare_short_first(x->d.key, y->d.key);

	return c ? c : compare_short_first(x->version, y->version);
}

/* A marker that this very request put is not removed by it again (it was not there before). */
static bool is_new_marker(const struct many_query *q, const struct many_item *item)
{
	for (size_t i = 0; i < q->count && item->d.has_version; i++) {
		const struct many_item *other = &q->items[i];
		if (!other->d.has_version && other->d.was_marked &&
		    other->d.marker.version == item->d.version &&
		    bytes_equal(other->d.key, item->d.key))
			return true;
	}
	return false;
}

/* An item without a version may have removed what another names by version: both did. */
static const struct many_item *removed_by(const struct many_query *q, const struct many_item *item)
{
	for (size_t i = 0; i < q->count && item->d.has_version; i++) {
		const struct many_item *other = &q->items[i];
		if (!other->d.has_version && other->d.was_removed &&
		    other->d.removed.version == item->d.version &&
		    bytes_equal(other->d.key, item->d.key))
			return other;
	}
	return NULL;
}

static enum err delete_item(struct call *call, struct db_tx *tx, const struct bucket *bucket,
			    const struct many_query *q, struct many_item *item)
{
	item->d.was_removed = false;
	item->d.was_marked = false;
	item->status = METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__NOT_FOUND;
	if (is_new_marker(q, item))
		return OK;
	item->by = removed_by(q, item);
	if (item->by) {
		item->status = METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__OK;
		return OK;
	}
	enum err e = object_remove(call, tx, bucket, &item->d);
	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	if (e && call->status == STATUS_LOCK_PROTECTED) {
		call_clear_error(call);
		item->status = METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__LOCKED;
		return OK;
	}
	if (!e && (item->d.was_removed || item->d.was_marked))
		item->status = METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__OK;
	return e;
}

static enum err run_many(struct call *call, struct db_tx *tx, void *arg)
{
	struct many_query *q = arg;
	struct bucket bucket;
	enum err e = store_bucket_get(call, tx, &q->project, q->bucket, &bucket);

	if (e == ERR_NOT_FOUND)
		return call_fail_status(call, ERR_NOT_FOUND, STATUS_BUCKET_NOT_FOUND,
					"The specified bucket was not found");
	TRY_PLAIN(e);
	/* Latest versions first: what an exact item names is looked at after them. */
	for (int exact = 0; exact < 2; exact++) {
		for (size_t i = 0; i < q->count; i++) {
			struct many_item *item = &q->items[i];
			if (item->d.has_version != (exact == 1) ||
			    item->status ==
				    METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__UNAUTHORIZED)
				continue;
			TRY_PLAIN(delete_item(call, tx, &bucket, q, item));
		}
	}
	return OK;
}

static enum err check_many(struct call *call, const struct mcall *mc,
			   const Metainfo__DeleteObjectsRequest *req)
{
	TRY_PLAIN(check_bucket_named(call, proto_bytes(req->bucket)));
	if (!req->n_items)
		return call_fail_status(call, ERR_INVALID, STATUS_DELETE_NO_ITEMS,
					"The list of objects must contain at least one item");
	if (req->n_items > LIMIT_DELETE_OBJECTS)
		return call_fail_status(call, ERR_INVALID, STATUS_DELETE_TOO_MANY,
					"The list of objects contains too many items");
	for (size_t i = 0; i < req->n_items; i++) {
		const Metainfo__DeleteObjectsRequestItem *m = req->items[i];
		if (!m->encrypted_object_key.len)
			return call_fail_status(call, ERR_INVALID, STATUS_KEY_MISSING,
						"An object key was not provided");
		if (m->encrypted_object_key.len > satellite_live(mc->sat)->max_key_length)
			return call_fail_status(call, ERR_INVALID, STATUS_KEY_TOO_LONG,
						"A provided object key is too long");
		struct bytes v = proto_bytes(m->object_version);
		if (v.len && (v.len != OBJECT_VERSION_BYTES || !object_version_get(v)))
			return call_fail_status(call, ERR_INVALID, STATUS_VERSION_INVALID,
						"A provided object version is invalid");
	}
	return OK;
}

/* Sorted, each once. */
static enum err read_many(struct call *call, struct mcall *mc,
			  const Metainfo__DeleteObjectsRequest *req, struct many_query *q)
{
	struct many_item *items = arena_array(mc->a, req->n_items, sizeof(*items));
	size_t n = 0;

	if (!items)
		return call_fail(call, ERR_NO_MEMORY, "no room for the items");
	for (size_t i = 0; i < req->n_items; i++) {
		struct delete_object *d = &items[i].d;
		d->key = proto_bytes(req->items[i]->encrypted_object_key);
		d->bypass_governance = req->bypass_governance_retention;
		d->now_ns = mc->now_ns;
		items[i].version = proto_bytes(req->items[i]->object_version);
		if (items[i].version.len) {
			d->has_version = true;
			d->version = object_version_get(items[i].version);
			memcpy(d->suffix, items[i].version.data + 8, sizeof(d->suffix));
			/* Who knows the number only says nothing of the stream. */
			d->check_suffix = get_be64(d->suffix) != 0;
		}
	}
	qsort(items, req->n_items, sizeof(*items), compare_items);
	for (size_t i = 0; i < req->n_items; i++) {
		if (!n || compare_items(&items[n - 1], &items[i]))
			items[n++] = items[i];
	}
	q->items = items;
	q->count = n;
	return OK;
}

/* Returns whether any item may be deleted. */
static bool authorize_many(struct mcall *mc, struct bytes bucket, bool bypass, struct many_query *q)
{
	bool bucket_seen = auth_allows(&mc->auth, ACTION_READ, bucket, BYTES_NONE), any = false;

	for (size_t i = 0; i < q->count; i++) {
		struct bytes key = q->items[i].d.key;
		if (bucket_seen && auth_allows(&mc->auth, ACTION_DELETE, bucket, key) &&
		    (!bypass || auth_allows(&mc->auth, ACTION_BYPASS_GOVERNANCE, bucket, key)))
			any = true;
		else
			q->items[i].status =
				METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__UNAUTHORIZED;
	}
	return any;
}

static enum err answer_info(struct call *call, struct arena *a, const struct object *o,
			    Metainfo__DeleteObjectsResponseItemInfo **ret)
{
	Metainfo__DeleteObjectsResponseItemInfo *m =
		message_new(a, &metainfo__delete_objects_response_item_info__descriptor);
	uint8_t *version = arena_alloc(a, OBJECT_VERSION_BYTES);

	if (!m || !version)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	object_version_put(o, version);
	m->object_version = proto_view(BYTES(version, OBJECT_VERSION_BYTES));
	m->status = (Metainfo__Object__Status)o->status;
	*ret = m;
	return OK;
}

static enum err answer_many(struct call *call, struct mcall *mc, const struct many_query *q,
			    bool quiet, Metainfo__DeleteObjectsResponse *resp)
{
	resp->items = arena_array(mc->a, q->count, sizeof(*resp->items));
	if (!resp->items)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	for (size_t i = 0; i < q->count; i++) {
		const struct many_item *item = &q->items[i];
		if (quiet && item->status == METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__OK)
			continue;
		Metainfo__DeleteObjectsResponseItem *m =
			message_new(mc->a, &metainfo__delete_objects_response_item__descriptor);
		if (!m)
			return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
		m->encrypted_object_key = proto_view(item->d.key);
		m->requested_object_version = proto_view(item->version);
		m->status = item->status;
		const struct delete_object *removed = item->by ? &item->by->d : &item->d;
		if (removed->was_removed)
			TRY_PLAIN(answer_info(call, mc->a, &removed->removed, &m->removed));
		if (item->d.was_marked)
			TRY_PLAIN(answer_info(call, mc->a, &item->d.marker, &m->marker));
		resp->items[resp->n_items++] = m;
	}
	return OK;
}

METAINFO_METHOD(delete_objects, DeleteObjects)
{
	struct bytes bucket = proto_bytes(req->bucket);
	struct many_query q = { .bucket = bucket };

	TRY_PLAIN(check_many(call, mc, req));
	TRY_PLAIN(metainfo_auth(call, mc, RATE_DELETE));
	q.project = mc->auth.project.id;
	TRY_PLAIN(read_many(call, mc, req, &q));
	if (authorize_many(mc, bucket, req->bypass_governance_retention, &q))
		TRY_PLAIN(db_write(call, mc->sat->db, run_many, &q));
	for (size_t i = 0; i < q.count; i++)
		count_removed(mc, &q.items[i].d);
	return answer_many(call, mc, &q, req->quiet, resp);
}
