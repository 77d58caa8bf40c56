/* Server-side copy and move (metainfo.md 5.15): rows only, the pieces stay where they are. */
#include "base/cleanup.h"
#include "satellite/gc.h"
#include "satellite/object_internal.h"
#include "satellite/store_metainfo.h"

enum err object_find(struct call *call, struct db_tx *tx, struct find_object *f)
{
	struct bucket bucket;
	enum err e;

	if (f->has_version) {
		e = store_bucket_get(call, tx, &f->project, f->bucket, &bucket);
		if (!e)
			e = store_object_exact(call, tx, bucket.id, f->key, f->version, f->now_ns,
					       &f->result);
	} else if (f->first) {
		e = store_object_latest_segment(call, tx, &f->project, f->bucket, f->key, f->now_ns,
						&f->result, &f->has_first, f->first);
	} else {
		e = store_object_latest_named(call, tx, &f->project, f->bucket, f->key, f->now_ns,
					      &f->result);
	}
	if (e == ERR_NOT_FOUND)
		return fail_object_not_found(call, "no rows in result set");
	TRY_PLAIN(e);
	if (!status_is_marker(f->result.status))
		return OK;
	if (f->has_version)
		return call_fail(call, ERR_METHOD_NOT_ALLOWED, "method not allowed");
	return fail_object_not_found(call, "the latest version is a delete marker");
}

enum err object_begin_copy(struct call *call, struct db_tx *tx, struct begin_copy *b)
{
	struct find_object f = {
		.project = b->project,
		.bucket = b->bucket,
		.key = b->key,
		.has_version = b->has_version,
		.version = b->version,
		.now_ns = b->now_ns,
	};

	if (!bytes_equal(b->bucket, b->new_bucket)) {
		struct bucket from, to;
		TRY_PLAIN(bucket_find(call, tx, &b->project, b->bucket, &from));
		TRY_PLAIN(bucket_find(call, tx, &b->project, b->new_bucket, &to));
		if (from.placement != to.placement)
			return call_fail(call, ERR_INVALID,
					 "copying object to bucket with different placement "
					 "policy is not (yet) supported");
	}
	TRY_PLAIN(object_name_check(call, b->key, b->has_version, b->version));
	TRY_PLAIN(object_find(call, tx, &f));
	if (f.result.segment_count > LIMIT_COPY_SEGMENTS)
		return call_fail(call, ERR_INVALID,
				 "object has too many segments (%lld). Limit is %d.",
				 (long long)f.result.segment_count, LIMIT_COPY_SEGMENTS);
	b->source = f.result;
	return store_segment_list(call, tx, &f.result.stream, 0, NULL, false, INT64_MAX,
				  &b->segments, &b->segments_count);
}

/* The source as it is now; it must be the one that Begin saw. */
static enum err find_source(struct call *call, struct db_tx *tx, const struct finish_copy *f,
			    const char *what, struct object *ret)
{
	enum err e = store_object_exact(call, tx, f->source.bucket_id, f->source.key,
					f->source.version, f->now_ns, ret);

	if (e == ERR_NOT_FOUND)
		return fail_object_not_found(call, "source object not found");
	TRY_PLAIN(e);
	if (memcmp(ret->stream.b, f->source.uuid.b, STREAM_UUID_BYTES) != 0)
		return call_fail(call, ERR_NOT_FOUND,
				 "object not found: object was changed during %s", what);
	if (status_is_marker(ret->status))
		return call_fail(call, ERR_INTERNAL, "%s of a delete marker is not allowed", what);
	if ((int64_t)f->keys_count != ret->segment_count)
		return call_fail(call, ERR_INVALID,
				 "wrong number of segments keys received (received %zu, need %lld)",
				 f->keys_count, (long long)ret->segment_count);
	return OK;
}

static enum err find_target(struct call *call, struct db_tx *tx, const struct finish_copy *f,
			    const struct object *source, struct bucket *ret_bucket,
			    struct retention *ret_retention)
{
	TRY_PLAIN(bucket_find(call, tx, &f->source.project, f->new_bucket, ret_bucket));
	TRY_PLAIN(object_lock_check(call, ret_bucket, &f->retention, f->legal_hold));
	*ret_retention = f->retention.mode ? f->retention
					   : bucket_default_retention(ret_bucket, f->now_ns);
	if (source->expires_ns && (ret_retention->mode || f->legal_hold))
		return call_fail(call, ERR_INVALID,
				 "object expiration: Object Lock settings must not be placed on "
				 "an object with an expiration date");
	return OK;
}

static bool has_user_data(const struct user_data *d)
{
	return d->metadata.len || d->etag.len || d->checksum.len;
}

/* Key and nonce are made anew for the new key; the rest as told. */
static enum err new_user_data(struct call *call, const struct finish_copy *f,
			      const struct user_data *old, struct user_data *ret)
{
	struct user_data d = *old;

	if (f->override_data) {
		d = f->data;
	} else if (has_user_data(old)) {
		d.key = f->data.key;
		d.nonce = f->data.nonce;
	}
	TRY_PLAIN(user_data_check(call, &d));
	*ret = d;
	return OK;
}

static enum err copy_segments(struct call *call, struct db_tx *tx, const struct finish_copy *f,
			      struct segment *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		list[i].stream = f->new_uuid;
		list[i].key = f->keys[i].key;
		list[i].nonce = f->keys[i].nonce;
		list[i].created_ns = time_us(f->now_ns);
		list[i].repaired_ns = 0;
		TRY(store_segment_put(call, tx, &list[i]), "copy a segment");
	}
	return OK;
}

/* A copy counts for whoever makes it. */
static enum err charge_copy(struct call *call, struct db_tx *tx, const struct finish_copy *f,
			    struct object *o)
{
	const struct limit_use use = { .stored = o->encrypted_size };

	o->charged = BYTES_NONE;
	if (!charge_is_any(&f->charge))
		return OK;
	TRY_PLAIN(object_charged(call, tx, &f->charge, &f->source.project, o->bucket_id, f->now_ns,
				 &o->charged));
	return limit_charge(call, tx, &f->charge.prices, o->charged, &use, f->now_ns);
}

/* What was moved counts for whom it did, but for its bucket, if that is another one. */
static enum err charge_move(struct call *call, struct db_tx *tx, const struct finish_copy *f,
			    const struct object *source, struct object *o)
{
	const struct charge to_bucket = { .has_bucket_limits = f->charge.has_bucket_limits,
					  .prices = f->charge.prices };
	struct limit_use use = { .stored = -o->encrypted_size };
	struct limit_id left;
	struct bytes entered = BYTES_NONE;
	uint8_t *kept = arena_alloc(&call->scratch, source->charged.len + LIMIT_ID_BYTES);
	size_t n = 0;

	if (source->bucket_id == o->bucket_id)
		return OK;
	if (!kept)
		return call_fail(call, ERR_NO_MEMORY, "no room for limits");
	limit_id_of_bucket(source->bucket_id, &left);
	for (size_t i = 0; i + LIMIT_ID_BYTES <= source->charged.len; i += LIMIT_ID_BYTES) {
		struct bytes id = BYTES(source->charged.data + i, LIMIT_ID_BYTES);
		if (bytes_equal(id, BYTES_OF(left.b))) {
			TRY_PLAIN(limit_charge(call, tx, NULL, id, &use, f->now_ns));
		} else {
			memcpy(kept + n, id.data, id.len);
			n += id.len;
		}
	}
	if (f->charge.has_bucket_limits)
		TRY_PLAIN(object_charged(call, tx, &to_bucket, &f->source.project, o->bucket_id,
					 f->now_ns, &entered));
	use.stored = o->encrypted_size;
	TRY_PLAIN(limit_charge(call, tx, &f->charge.prices, entered, &use, f->now_ns));
	if (entered.len)
		memcpy(kept + n, entered.data, entered.len);
	o->charged = BYTES(kept, n + entered.len);
	return OK;
}

enum err object_finish_copy(struct call *call, struct db_tx *tx, struct finish_copy *f)
{
	struct object source, o;
	struct bucket bucket;
	struct segment *list = NULL;
	size_t count = 0;
	int64_t version = 0;

	TRY_PLAIN(find_source(call, tx, f, "copy", &source));
	o = source;
	TRY_PLAIN(find_target(call, tx, f, &source, &bucket, &o.retention));
	TRY_PLAIN(new_user_data(call, f, &source.data, &o.data));
	TRY(store_segment_list(call, tx, &source.stream, 0, NULL, true, INT64_MAX, &list, &count),
	    "read the segments");
	if (count != f->keys_count)
		return call_fail(call, ERR_INTERNAL, "segments of the source are missing");
	for (size_t i = 0; i < count; i++) {
		if (list[i].position != f->keys[i].position)
			return call_fail(call, ERR_INTERNAL, "missing new segment keys");
	}
	struct object_place place = {
		.bucket_id = bucket.id,
		.key = f->new_key,
		.versioned = bucket.versioning == VERSIONING_ON,
		.if_none_match = f->if_none_match,
		.may_delete = f->may_delete,
		.now_ns = f->now_ns,
	};
	TRY_PLAIN(object_make_room(call, tx, &place, &version));
	o.bucket_id = bucket.id;
	o.key = f->new_key;
	o.version = version;
	o.stream = f->new_uuid;
	o.versioned = place.versioned;
	o.status = place.versioned ? OBJECT_VERSIONED : OBJECT_COMMITTED;
	o.created_ns = time_us(f->now_ns);
	o.legal_hold = f->legal_hold;
	TRY_PLAIN(charge_copy(call, tx, f, &o));
	TRY(store_object_insert(call, tx, &o), "copy an object");
	TRY_PLAIN(copy_segments(call, tx, f, list, count));
	TRY(gc_note_copy(call, tx, uuid_bytes(&o.stream), f->now_ns), "copy an object");
	f->result = o;
	f->freed = place.freed;
	return OK;
}

enum err object_finish_move(struct call *call, struct db_tx *tx, struct finish_copy *f)
{
	struct object source, o;
	struct bucket bucket;
	int64_t version = 0;

	TRY_PLAIN(find_source(call, tx, f, "move", &source));
	o = source;
	TRY_PLAIN(find_target(call, tx, f, &source, &bucket, &o.retention));
	TRY_PLAIN(new_user_data(call, f, &source.data, &o.data));
	if (source.legal_hold || retention_active(&source.retention, f->now_ns))
		return fail_object_locked(call);
	struct object_place place = {
		.bucket_id = bucket.id,
		.key = f->new_key,
		.versioned = bucket.versioning == VERSIONING_ON,
		.may_delete = f->may_delete,
		.except = &source.stream,
		.now_ns = f->now_ns,
	};
	TRY_PLAIN(object_make_room(call, tx, &place, &version));
	o.bucket_id = bucket.id;
	o.key = f->new_key;
	o.version = version;
	o.versioned = place.versioned;
	o.status = place.versioned ? OBJECT_VERSIONED : OBJECT_COMMITTED;
	o.legal_hold = f->legal_hold;
	TRY_PLAIN(charge_move(call, tx, f, &source, &o));
	TRY(store_object_replace(call, tx, source.bucket_id, source.key, source.version, &o),
	    "move an object");
	for (size_t i = 0; i < f->keys_count; i++) {
		enum err e = store_segment_set_key(call, tx, &o.stream, f->keys[i].position,
						   f->keys[i].key, f->keys[i].nonce);
		if (e == ERR_NOT_FOUND)
			return call_fail(call, ERR_INTERNAL, "segment is missing");
		TRY_PLAIN(e);
	}
	f->result = o;
	f->freed = place.freed;
	return OK;
}

enum err object_set_metadata(struct call *call, struct db_tx *tx, const struct update_metadata *u)
{
	struct find_object f = {
		.project = u->project,
		.bucket = u->bucket,
		.key = u->key,
		.now_ns = u->now_ns,
	};

	TRY_PLAIN(object_name_check(call, u->key, false, 0));
	TRY_PLAIN(object_find(call, tx, &f));
	struct object *o = &f.result;
	if (memcmp(o->stream.b, u->uuid.b, STREAM_UUID_BYTES) != 0)
		return fail_object_not_found(call, "object with specified version is missing");
	struct user_data d = o->data;
	if ((d.metadata.len && !u->set_metadata) || (d.etag.len && !u->set_etag) ||
	    ((d.checksum.len || d.checksum_algorithm) && !u->set_checksum)) {
		if (u->old_client)
			return fail_object_not_found(call, "");
		return call_fail_status(call, ERR_PRECONDITION, STATUS_METADATA_INCLUDES_FEW,
					"insufficient metadata includes");
	}
	if (u->set_metadata)
		d.metadata = u->data.metadata;
	if (u->set_etag)
		d.etag = u->data.etag;
	if (u->set_checksum) {
		d.checksum = u->data.checksum;
		d.checksum_algorithm = u->data.checksum_algorithm;
		d.checksum_composite = u->data.checksum_composite;
	}
	d.key = u->data.key;
	d.nonce = u->data.nonce;
	TRY_PLAIN(user_data_check(call, &d));
	o->data = d;
	TRY(store_object_replace(call, tx, o->bucket_id, o->key, o->version, o), "change metadata");
	return OK;
}
