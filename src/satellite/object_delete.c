/* Deleting: rows, markers, uploads given up (metainfo.md 5.14).  Nodes are not told; garbage
 * collection finds pieces that no row names. */
#include "satellite/object_internal.h"
#include "satellite/store_metainfo.h"

static bool is_protected(const struct object *o, bool bypass_governance, int64_t now_ns)
{
	/* What is only promised to an upload under way protects nothing yet. */
	if (o->status == OBJECT_PENDING)
		return false;
	if (o->legal_hold)
		return true;
	return retention_active(&o->retention, now_ns) &&
	       !(bypass_governance && o->retention.mode == RETENTION_GOVERNANCE);
}

static enum err remove_row(struct call *call, struct db_tx *tx, struct delete_object *d,
			   const struct object *o)
{
	if (is_protected(o, d->bypass_governance, d->now_ns))
		return fail_object_locked(call);
	TRY(store_object_delete(call, tx, o), "delete an object");
	d->removed = *o;
	d->was_removed = true;
	return OK;
}

static enum err delete_exact(struct call *call, struct db_tx *tx, const struct bucket *bucket,
			     struct delete_object *d)
{
	struct object o;
	enum err e = d->version < 0 ? store_object_pending_version(call, tx, bucket->id, d->key,
								   d->version, &o)
				    : store_object_exact(call, tx, bucket->id, d->key, d->version,
							 d->now_ns, &o);

	if (e == ERR_NOT_FOUND)
		return OK;
	TRY_PLAIN(e);
	if (d->check_suffix && memcmp(d->suffix, o.stream.b + 8, sizeof(d->suffix)) != 0)
		return OK;
	return remove_row(call, tx, d, &o);
}

static enum err delete_plain(struct call *call, struct db_tx *tx, const struct bucket *bucket,
			     struct delete_object *d)
{
	struct object o;
	enum err e = store_object_latest(call, tx, bucket->id, d->key, d->now_ns, &o);

	if (e == ERR_NOT_FOUND || (!e && o.status != OBJECT_COMMITTED))
		return OK;
	TRY_PLAIN(e);
	return remove_row(call, tx, d, &o);
}

static enum err put_marker(struct call *call, struct db_tx *tx, const struct bucket *bucket,
			   struct delete_object *d, enum object_status status, int64_t version)
{
	d->marker = (struct object){
		.bucket_id = bucket->id,
		.key = d->key,
		.version = version,
		.status = status,
		.created_ns = time_us(d->now_ns),
	};
	stream_uuid_new(&d->marker.stream);
	TRY(store_object_insert(call, tx, &d->marker), "put a delete marker");
	d->was_marked = true;
	return OK;
}

static enum err delete_versioned(struct call *call, struct db_tx *tx, const struct bucket *bucket,
				 struct delete_object *d)
{
	struct object highest;
	enum err e = store_object_highest(call, tx, bucket->id, d->key, &highest);

	if (e && e != ERR_NOT_FOUND)
		return e;
	return put_marker(call, tx, bucket, d, MARKER_VERSIONED, e ? 1 : highest.version + 1);
}

static enum err delete_suspended(struct call *call, struct db_tx *tx, const struct bucket *bucket,
				 struct delete_object *d)
{
	struct object highest, old;
	enum err e = store_object_highest(call, tx, bucket->id, d->key, &highest);

	if (e == ERR_NOT_FOUND)
		return fail_object_not_found(call, "unable to delete object");
	TRY_PLAIN(e);
	e = store_object_unversioned(call, tx, bucket->id, d->key, &old);
	if (e == OK)
		e = remove_row(call, tx, d, &old);
	else if (e == ERR_NOT_FOUND)
		e = OK;
	TRY_PLAIN(e);
	return put_marker(call, tx, bucket, d, MARKER_UNVERSIONED, highest.version + 1);
}

enum err object_remove(struct call *call, struct db_tx *tx, const struct bucket *bucket,
		       struct delete_object *d)
{
	d->was_removed = false;
	d->was_marked = false;
	TRY_PLAIN(object_name_check(call, d->key, d->has_version, d->version));
	if (d->has_version)
		return delete_exact(call, tx, bucket, d);
	switch (bucket->versioning) {
	case VERSIONING_UNSUPPORTED:
	case VERSIONING_OFF:
		return delete_plain(call, tx, bucket, d);
	case VERSIONING_ON:
		return delete_versioned(call, tx, bucket, d);
	case VERSIONING_SUSPENDED:
		return delete_suspended(call, tx, bucket, d);
	}
	return call_fail(call, ERR_DATA_LOSS, "a bucket of unknown versioning");
}

enum err object_abort(struct call *call, struct db_tx *tx, const struct stream *s)
{
	struct object o;
	enum err e = store_object_pending(call, tx, s, &o);

	if (e == ERR_NOT_FOUND)
		return fail_object_not_found(call, "no rows deleted");
	TRY_PLAIN(e);
	TRY(store_object_delete(call, tx, &o), "give an upload up");
	return OK;
}
