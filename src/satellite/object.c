/* Begin, segments, commit: how an upload becomes an object. */
#include "satellite/object.h"

#include "base/cleanup.h"
#include "os/random.h"
#include "satellite/calendar.h"
#include "satellite/object_internal.h"
#include "satellite/piece_list.h"
#include "satellite/store_metainfo.h"

enum err fail_bucket_not_found(struct call *call, struct bytes name)
{
	return call_fail(call, ERR_NOT_FOUND, "bucket not found: %.*s", (int)MIN(name.len, 100),
			 (const char *)name.data);
}

enum err fail_object_not_found(struct call *call, const char *what)
{
	return call_fail(call, ERR_NOT_FOUND, "object not found: %s", what);
}

enum err fail_object_locked(struct call *call)
{
	return call_fail_status(call, ERR_PERMISSION, STATUS_LOCK_PROTECTED,
				"object is protected by Object Lock settings");
}

enum err object_name_check(struct call *call, struct bytes key, bool has_version, int64_t version)
{
	if (!key.len)
		return call_fail(call, ERR_INVALID, "ObjectKey missing");
	if (has_version && !version)
		return call_fail(call, ERR_INVALID, "Version invalid: 0");
	return OK;
}

enum err bucket_find(struct call *call, struct db_tx *tx, const struct project_id *project,
		     struct bytes name, struct bucket *ret)
{
	enum err e = store_bucket_get(call, tx, project, name, ret);

	return e == ERR_NOT_FOUND ? fail_bucket_not_found(call, name) : e;
}

struct retention bucket_default_retention(const struct bucket *b, int64_t now_ns)
{
	struct retention r = { .mode = b->lock_mode };

	if (!b->lock_enabled || b->lock_mode == RETENTION_NONE)
		return (struct retention){ 0 };
	if (b->lock_days)
		r.until_ns = now_ns + b->lock_days * NS_PER_DAY;
	else
		r.until_ns = calendar_add_years(now_ns, b->lock_years);
	r.until_ns = time_us(r.until_ns);
	return r;
}

enum err user_data_check(struct call *call, const struct user_data *d)
{
	bool data = d->metadata.len || d->etag.len || d->checksum.len;

	if (!d->nonce.len != !d->key.len)
		return call_fail(call, ERR_INVALID,
				 "EncryptedMetadataNonce and EncryptedMetadataEncryptedKey must "
				 "always be set together");
	if (data && !d->key.len)
		return call_fail(call, ERR_INVALID,
				 "EncryptedMetadataNonce and EncryptedMetadataEncryptedKey must "
				 "be set when EncryptedMetadata or EncryptedETag are set");
	if (!data && d->key.len)
		return call_fail(call, ERR_INVALID,
				 "EncryptedMetadataNonce and EncryptedMetadataEncryptedKey must "
				 "be empty when EncryptedMetadata and EncryptedETag are empty");
	return OK;
}

enum err object_lock_check(struct call *call, const struct bucket *bucket,
			   const struct retention *retention, bool legal_hold)
{
	if ((retention->mode || legal_hold) &&
	    (bucket->versioning != VERSIONING_ON || !bucket->lock_enabled))
		return call_fail_status(call, ERR_PRECONDITION, STATUS_LOCK_BUCKET_MISSING,
					"cannot specify Object Lock settings when uploading into "
					"a bucket without Object Lock enabled");
	return OK;
}

static enum err default_retention(struct call *call, const struct bucket *bucket,
				  const struct begin_object *b, struct retention *ret)
{
	*ret = b->retention;
	if (ret->mode || !bucket->lock_enabled || !bucket->lock_mode)
		return OK;
	if (b->expiry_forced)
		return call_fail_status(call, ERR_INVALID, STATUS_LOCK_TTL_KEY_DEFAULT,
					"cannot upload into a bucket with default retention "
					"settings using an API key that enforces an object "
					"expiration time");
	if (b->expiry_asked)
		return call_fail_status(call, ERR_INVALID, STATUS_LOCK_TTL_DEFAULT,
					"cannot specify an object expiration time when uploading "
					"into a bucket with default retention settings");
	*ret = bucket_default_retention(bucket, b->now_ns);
	return OK;
}

enum err object_charged(struct call *call, struct db_tx *tx, const struct charge *c,
			const struct project_id *project, int64_t bucket_id, int64_t now_ns,
			struct bytes *ret)
{
	struct limit_set set = { 0 };
	bool bucket = false;

	if (c->limits)
		set = *c->limits;
	if (c->has_bucket_limits)
		TRY_PLAIN(limit_of_bucket_exists(call, tx, bucket_id, &bucket));
	TRY_PLAIN(limit_ensure(call, tx, project, &c->prices, c->grants_max, &set, now_ns));
	if (bucket)
		limit_id_of_bucket(bucket_id, &set.ids[set.count++]);
	*ret = arena_bytes(&call->scratch, BYTES(set.ids[0].b, set.count * LIMIT_ID_BYTES));
	if (set.count && !ret->data)
		return call_fail(call, ERR_NO_MEMORY, "no room for limits");
	return OK;
}

/* The row of an upload that begins; what the bucket decides goes into the stream, too. */
static enum err begin_row(struct call *call, struct db_tx *tx, struct begin_object *b,
			  struct object *ret)
{
	struct bucket bucket;
	struct stream *s = &b->stream;
	struct retention retention;
	struct bytes charged = BYTES_NONE;

	TRY_PLAIN(bucket_find(call, tx, &s->project, s->bucket, &bucket));
	TRY_PLAIN(object_lock_check(call, &bucket, &b->retention, b->legal_hold));
	TRY_PLAIN(default_retention(call, &bucket, b, &retention));
	if (!bucket.user_agent.len && b->user_agent.len)
		TRY_PLAIN(store_bucket_set_user_agent(call, tx, bucket.id, b->user_agent));
	if (charge_is_any(&b->charge))
		TRY_PLAIN(object_charged(call, tx, &b->charge, &s->project, bucket.id, b->now_ns,
					 &charged));
	s->bucket_id = bucket.id;
	s->placement = bucket.placement;
	s->versioned = bucket.versioning == VERSIONING_ON;
	*ret = (struct object){
		.bucket_id = s->bucket_id,
		.key = s->key,
		.version = s->version,
		.stream = s->uuid,
		.status = OBJECT_PENDING,
		.multipart = s->multipart,
		.versioned = s->versioned,
		.created_ns = s->created_ns,
		.expires_ns = s->expires_ns,
		.zombie_ns = s->created_ns + ZOMBIE_DEADLINE_NS,
		.fixed_segment_size = -1,
		.cipher = s->cipher,
		.block_size = (int32_t)s->block_size,
		.data = b->data,
		.retention = retention,
		.legal_hold = b->legal_hold,
		.charged = charged,
	};
	return OK;
}

enum err object_begin(struct call *call, struct db_tx *tx, struct begin_object *b)
{
	struct object o;

	const struct limit_use one = { .stored = 1 };

	TRY_PLAIN(begin_row(call, tx, b, &o));
	if (o.charged.len)
		TRY_PLAIN(limit_check(call, tx, o.charged, &one, b->now_ns));
	TRY(store_object_insert(call, tx, &o), "begin an object");
	return OK;
}

/* What the stream decides about a segment, and its pieces as a column. */
static enum err complete_segment(struct call *call, struct db_tx *tx, const struct put_segment *s,
				 struct segment *ret)
{
	AUTO_BUF struct buf list = BUF_INIT(PIECE_LIST_MAX * 8);
	struct piece pieces[PIECE_LIST_MAX];

	*ret = s->segment;
	ret->stream = s->stream->uuid;
	ret->expires_ns = s->stream->expires_ns;
	ret->placement = s->stream->placement;
	if (ret->is_inline)
		return OK;
	if (s->count > PIECE_LIST_MAX)
		return call_fail(call, ERR_INTERNAL, "too many pieces");
	TRY_PLAIN(node_aliases_assign(call, tx, s->aliases, s->nodes, s->count, s->aliases_found));
	for (size_t i = 0; i < s->count; i++)
		pieces[i] = (struct piece){ s->numbers[i], s->aliases_found[i] };
	piece_list_encode(&list, pieces, s->count);
	ret->pieces = arena_bytes(&call->scratch, buf_bytes(&list));
	if (list.failed || !ret->pieces.data)
		return call_fail(call, ERR_NO_MEMORY, "no room for a piece list");
	return OK;
}

/* ERR_NOT_FOUND without a text of its own. */
static enum err find_pending(struct call *call, struct db_tx *tx, const struct stream *s,
			     struct pending *p)
{
	if (p->read && !memcmp(p->row.stream.b, s->uuid.b, STREAM_UUID_BYTES) &&
	    p->row.version == s->version)
		return OK;
	p->read = false;
	TRY_PLAIN(store_object_pending(call, tx, s, &p->row));
	p->read = true;
	return OK;
}

enum err object_put_segment(struct call *call, struct db_tx *tx, const struct put_segment *s,
			    struct pending *p)
{
	struct segment segment;
	struct pending own = { 0 };
	enum err e = find_pending(call, tx, s->stream, p ? p : &own);

	if (e == ERR_NOT_FOUND)
		return call_fail(call, ERR_NOT_FOUND, "pending object missing");
	TRY_PLAIN(e);
	struct bytes charged = (p ? p : &own)->row.charged;
	TRY_PLAIN(complete_segment(call, tx, s, &segment));
	if (charged.len) {
		int64_t before = 0;
		TRY_PLAIN(store_segment_size(call, tx, &segment.stream, segment.position, &before));
		const struct limit_use use = { .stored = segment.encrypted_size - before };
		TRY_PLAIN(limit_charge(call, tx, &s->prices, charged, &use, s->now_ns));
	}
	TRY(store_segment_put(call, tx, &segment), "store a segment");
	return OK;
}

/* Whether the key's row without a version may go for a new one, and which it is. */
static enum err find_unversioned(struct call *call, struct db_tx *tx, int64_t bucket,
				 struct bytes key, const struct object *highest, struct object *ret)
{
	if (highest->status == OBJECT_COMMITTED || highest->status == MARKER_UNVERSIONED) {
		*ret = *highest;
		return OK;
	}
	return store_object_unversioned(call, tx, bucket, key, ret);
}

enum err object_make_room(struct call *call, struct db_tx *tx, struct object_place *place,
			  int64_t *ret_version)
{
	struct object highest, old;
	enum err e = store_object_highest(call, tx, place->bucket_id, place->key, &highest);

	place->freed = (struct freed){ 0 };
	if (e == ERR_NOT_FOUND) {
		*ret_version = 1;
		return OK;
	}
	TRY_PLAIN(e);
	if (place->if_none_match && !status_is_marker(highest.status))
		return call_fail(call, ERR_PRECONDITION, "object already exists");
	*ret_version = highest.version + 1;
	if (place->versioned)
		return OK;
	e = find_unversioned(call, tx, place->bucket_id, place->key, &highest, &old);
	if (e == ERR_NOT_FOUND)
		return OK;
	TRY_PLAIN(e);
	if (old.version == highest.version)
		*ret_version = old.version;
	if (place->except && !memcmp(place->except->b, old.stream.b, STREAM_UUID_BYTES))
		return OK;
	if (!place->may_delete)
		return call_fail(call, ERR_PERMISSION, "no permissions to delete existing object");
	if (old.legal_hold || retention_active(&old.retention, place->now_ns))
		return fail_object_locked(call);
	TRY(store_object_delete(call, tx, &old), "remove the object before");
	place->freed = (struct freed){ old.encrypted_size, old.segment_count };
	return OK;
}

/* Parts but the last have a least size; sums go into the object (metainfo.md 5.6). */
static enum err check_parts(struct call *call, const struct segment_size *list, size_t count,
			    uint64_t min_part_size)
{
	size_t parts = 0;

	for (size_t i = 0; i < count;) {
		int32_t part = position_part(list[i].position);
		uint64_t size = 0;
		for (; i < count && position_part(list[i].position) == part; i++)
			size += (uint64_t)list[i].plain_size;
		if (++parts > LIMIT_PARTS)
			return call_fail(call, ERR_PRECONDITION,
					 "exceeded maximum number of parts: %d", LIMIT_PARTS);
		if (i < count && size < min_part_size)
			return call_fail(call, ERR_PRECONDITION,
					 "size of part number %d is below minimum threshold, got: "
					 "%llu, min: %llu",
					 part, (unsigned long long)size,
					 (unsigned long long)min_part_size);
	}
	return OK;
}

/* Equal sizes in part 0 without gaps, but for the last segment: then offsets can be computed. */
static int64_t fixed_segment_size(const struct segment_size *list, size_t count)
{
	if (!count)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (list[i].position != (int64_t)i)
			return -1;
		if (i + 1 < count && list[i].plain_size != list[0].plain_size)
			return -1;
	}
	return list[0].plain_size;
}

static enum err sum_segments(struct call *call, struct db_tx *tx, struct commit_object *c,
			     struct object *o)
{
	struct segment_size *list = NULL;
	size_t count = 0;
	int64_t offset = 0;

	TRY(store_segment_sizes(call, tx, &o->stream, &list, &count), "read the segments");
	TRY_PLAIN(check_parts(call, list, count, c->min_part_size));
	o->encrypted_size = 0;
	for (size_t i = 0; i < count; i++) {
		if (list[i].plain_offset != offset)
			TRY(store_segment_set_offset(call, tx, &o->stream, list[i].position,
						     offset),
			    "place a segment");
		offset += list[i].plain_size;
		o->encrypted_size += list[i].encrypted_size;
	}
	o->segment_count = (int64_t)count;
	o->plain_size = offset;
	o->fixed_segment_size = fixed_segment_size(list, count);
	return OK;
}

/* The committed form of a pending row, sizes aside. */
static void to_committed(struct object *o, const struct commit_object *c, int64_t version)
{
	o->version = version;
	o->status = o->versioned ? OBJECT_VERSIONED : OBJECT_COMMITTED;
	o->zombie_ns = 0;
	if (c->set_data)
		o->data = c->data;
	if (!o->cipher && !o->block_size) {
		o->cipher = c->cipher;
		o->block_size = c->block_size;
	}
}

/* What no committed object may lack. */
static enum err check_committed(struct call *call, const struct object *o)
{
	if (o->data.checksum_algorithm && !o->data.checksum.len)
		return call_fail_status(call, ERR_INVALID, STATUS_METADATA_MISSING,
					"checksum missing: a checksum value is required");
	if (!o->cipher && !o->block_size)
		return call_fail(call, ERR_INVALID, "Encryption is missing");
	return OK;
}

enum err object_commit(struct call *call, struct db_tx *tx, struct commit_object *c,
		       struct pending *p)
{
	struct pending own = { 0 };
	enum err e = find_pending(call, tx, c->stream, p ? p : &own);
	struct object o = (p ? p : &own)->row;
	int64_t version = 0;

	if (e == ERR_NOT_FOUND)
		return fail_object_not_found(
			call, "object with specified version and pending status is missing");
	TRY_PLAIN(e);
	struct object_place place = {
		.bucket_id = o.bucket_id,
		.key = o.key,
		.versioned = o.versioned,
		.if_none_match = c->if_none_match,
		.may_delete = c->may_delete,
		.now_ns = c->now_ns,
	};
	TRY_PLAIN(sum_segments(call, tx, c, &o));
	TRY_PLAIN(object_make_room(call, tx, &place, &version));
	int64_t pending = o.version;
	to_committed(&o, c, version);
	TRY_PLAIN(check_committed(call, &o));
	TRY(store_object_replace(call, tx, o.bucket_id, o.key, pending, &o), "commit an object");
	if (p)
		p->read = false; /* it is no upload any more */
	c->result = o;
	c->freed = place.freed;
	return OK;
}

enum err object_put_inline(struct call *call, struct db_tx *tx, struct begin_object *b,
			   const struct put_segment *s, struct commit_object *c)
{
	struct object o;
	struct segment segment;
	int64_t version = 0;

	TRY_PLAIN(begin_row(call, tx, b, &o));
	TRY_PLAIN(complete_segment(call, tx, s, &segment));
	struct object_place place = {
		.bucket_id = o.bucket_id,
		.key = o.key,
		.versioned = o.versioned,
		.if_none_match = c->if_none_match,
		.may_delete = c->may_delete,
		.now_ns = c->now_ns,
	};
	TRY_PLAIN(object_make_room(call, tx, &place, &version));
	to_committed(&o, c, version);
	TRY_PLAIN(check_committed(call, &o));
	o.segment_count = 1;
	o.plain_size = segment.plain_size;
	o.encrypted_size = segment.encrypted_size;
	o.fixed_segment_size = segment.position == 0 ? segment.plain_size : -1;
	segment.plain_offset = 0;
	if (o.charged.len) {
		const struct limit_use use = { .stored = segment.encrypted_size };
		TRY_PLAIN(limit_charge(call, tx, &s->prices, o.charged, &use, c->now_ns));
	}
	TRY(store_object_insert(call, tx, &o), "store an object");
	TRY(store_segment_put(call, tx, &segment), "store a segment");
	c->result = o;
	c->freed = place.freed;
	return OK;
}
