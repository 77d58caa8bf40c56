/*
 * The metainfo tables (metainfo_schema.h), statement by statement.  All functions run inside a
 * transaction; rows are read into the call's scratch arena.  What a row means is decided above.
 */
#ifndef ACRE_SATELLITE_STORE_METAINFO_H
#define ACRE_SATELLITE_STORE_METAINFO_H

#include "db/db.h"
#include "satellite/limit.h"
#include "satellite/metainfo.h"

/* ---- buckets ---- */

/* ERR_NOT_FOUND without a text of its own. */
enum err store_bucket_get(struct call *call, struct db_tx *tx, const struct project_id *project,
			  struct bytes name, struct bucket *ret) MUST_USE;
/* ERR_EXISTS. */
enum err store_bucket_put(struct call *call, struct db_tx *tx, const struct project_id *project,
			  const struct bucket *b) MUST_USE;
/* Versioning and lock settings of b, by id. */
enum err store_bucket_update(struct call *call, struct db_tx *tx, const struct bucket *b) MUST_USE;
enum err store_bucket_set_user_agent(struct call *call, struct db_tx *tx, int64_t id,
				     struct bytes user_agent) MUST_USE;
/* The tags as SetBucketTagging stored them; empty when there are none.  ERR_NOT_FOUND. */
enum err store_bucket_tags(struct call *call, struct db_tx *tx, const struct project_id *project,
			   struct bytes name, struct bytes *ret) MUST_USE;
/* ERR_NOT_FOUND. */
enum err store_bucket_set_tags(struct call *call, struct db_tx *tx,
			       const struct project_id *project, struct bytes name,
			       struct bytes tags) MUST_USE;
enum err store_bucket_delete(struct call *call, struct db_tx *tx, int64_t id) MUST_USE;
enum err store_bucket_count(struct call *call, struct db_tx *tx, const struct project_id *project,
			    int64_t *ret) MUST_USE;
/* Any row of any kind in it. */
enum err store_bucket_is_empty(struct call *call, struct db_tx *tx, int64_t id, bool *ret) MUST_USE;
/* By name, from `cursor` (or behind it), at most `limit`; an array in scratch. */
enum err store_bucket_list(struct call *call, struct db_tx *tx, const struct project_id *project,
			   struct bytes cursor, bool inclusive, int64_t limit, struct bucket **ret,
			   size_t *ret_count) MUST_USE;

/* ---- objects ---- */

/* Column age for a version, and back. */
static inline int64_t store_version_age(int64_t v)
{
	return v == INT64_MIN ? INT64_MAX : -v;
}

/* The columns of every statement that reads whole objects, and the reader for them. */
#define OBJECT_COLUMNS                                                                             \
	"o.bucket_id, o.object_key, o.age, o.stream_id, o.status, o.flags, o.created_at, "         \
	"o.expires_at, o.zombie_at, o.segment_count, o.plain_size, o.encrypted_size, "             \
	"o.fixed_segment_size, o.cipher, o.block_size, o.metadata, o.metadata_nonce, "             \
	"o.metadata_key, o.etag, o.checksum_kind, o.checksum, o.lock_mode, o.retain_until, "       \
	"o.charged"
/* Committed and not expired at $now. */
#define OBJECT_VISIBLE(now) "o.age < 0 AND (o.expires_at IS NULL OR o.expires_at > " now ")"
/* Reads the current row; bytes are copied to the arena. */
enum err store_object_read(struct call *call, const struct db_rows *rows, struct arena *a,
			   struct object *ret) MUST_USE;

/* The columns of whole segments, and the reader for them, from column `from` on; without data the
 * list of pieces and inline data may be missing. */
#define SEGMENT_COLUMNS                                                                            \
	"s.stream_id, s.position, s.created_at, s.repaired_at, s.expires_at, s.encrypted_key, "    \
	"s.key_nonce, s.encrypted_size, s.plain_size, s.plain_offset, s.etag, s.checksum, "        \
	"s.redundancy, s.placement, s.root_piece_id"
#define SEGMENT_COLUMNS_ALL SEGMENT_COLUMNS ", s.pieces, s.inline_data"
enum err store_segment_read(struct call *call, const struct db_rows *rows, unsigned from, bool data,
			    struct segment *ret) MUST_USE;

/* ERR_EXISTS when the version is taken. */
enum err store_object_insert(struct call *call, struct db_tx *tx, const struct object *o) MUST_USE;
/* The pending row of an upload; ERR_NOT_FOUND without a text of its own. */
enum err store_object_pending(struct call *call, struct db_tx *tx, const struct stream *s,
			      struct object *ret) MUST_USE;
enum err store_object_pending_exists(struct call *call, struct db_tx *tx, const struct stream *s,
				     bool *ret) MUST_USE;
/* Newest visible version, marker or not.  ERR_NOT_FOUND. */
enum err store_object_latest(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			     int64_t now_ns, struct object *ret) MUST_USE;
/* The same by bucket name, in one statement. */
enum err store_object_latest_named(struct call *call, struct db_tx *tx,
				   const struct project_id *project, struct bytes bucket,
				   struct bytes key, int64_t now_ns, struct object *ret) MUST_USE;
/* The same with the segment at position 0, in one statement; *ret_has: there is one. */
enum err store_object_latest_segment(struct call *call, struct db_tx *tx,
				     const struct project_id *project, struct bytes bucket,
				     struct bytes key, int64_t now_ns, struct object *ret,
				     bool *ret_has, struct segment *ret_first) MUST_USE;
/* That version if visible.  ERR_NOT_FOUND. */
enum err store_object_exact(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			    int64_t version, int64_t now_ns, struct object *ret) MUST_USE;
/* The upload under way that has that version.  ERR_NOT_FOUND. */
enum err store_object_pending_version(struct call *call, struct db_tx *tx, int64_t bucket,
				      struct bytes key, int64_t version,
				      struct object *ret) MUST_USE;
/* Highest committed version, expired or not; ERR_NOT_FOUND when there is none. */
enum err store_object_highest(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			      struct object *ret) MUST_USE;
/* The one row without a version (status 3 or 6), expired or not; ERR_NOT_FOUND. */
enum err store_object_unversioned(struct call *call, struct db_tx *tx, int64_t bucket,
				  struct bytes key, struct object *ret) MUST_USE;
/* Replaces row (bucket, key, version, stream) by `o`, which may have another key and version.
 * ERR_NOT_FOUND when that row is not there any more; ERR_EXISTS when the new place is taken. */
enum err store_object_replace(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			      int64_t version, const struct object *o) MUST_USE;
/* The row and its segments; its size is given back to what it was counted in. */
enum err store_object_delete(struct call *call, struct db_tx *tx, const struct object *o) MUST_USE;
/* What a row's segments take; a pending row does not know by itself. */
enum err store_object_stored(struct call *call, struct db_tx *tx, const struct object *o,
			     int64_t *ret) MUST_USE;
/* All rows of a bucket in order, behind (key, age) unless key is NULL. */
enum err store_object_from(struct call *call, struct db_tx *tx, int64_t bucket,
			   const struct bytes *key, int64_t age, int64_t limit, struct object **ret,
			   size_t *ret_count) MUST_USE;
/* Some rows of a bucket, for emptying it. */
enum err store_object_some(struct call *call, struct db_tx *tx, int64_t bucket, int64_t limit,
			   struct object **ret, size_t *ret_count) MUST_USE;
/* Rows whose time has come: expired, or pending beyond its deadline and without a new segment for
 * a day (satellite.md 7). */
enum err store_object_due(struct call *call, struct db_tx *tx, int64_t now_ns, int64_t limit,
			  struct object **ret, size_t *ret_count) MUST_USE;
/* Pending uploads of one key by stream UUID, after `cursor` (may be NULL). */
enum err store_object_pending_streams(struct call *call, struct db_tx *tx, int64_t bucket,
				      struct bytes key, const struct stream_uuid *cursor,
				      int64_t now_ns, int64_t limit, struct object **ret,
				      size_t *ret_count) MUST_USE;

/* ---- segments ---- */

/* What column redundancy says; 0 is an inline segment, all zeros.  ERR_DATA_LOSS: no code. */
enum err redundancy_unpack(int64_t packed, struct scheme *ret) MUST_USE;

/* Inserts or overwrites. */
enum err store_segment_put(struct call *call, struct db_tx *tx, const struct segment *s) MUST_USE;
/* ERR_NOT_FOUND without a text of its own. */
enum err store_segment_get(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			   int64_t position, struct segment *ret) MUST_USE;
enum err store_segment_last(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			    struct segment *ret) MUST_USE;
/* From `position` on, at most `limit`.  Without data, the columns inline_data and pieces are left
 * out.  A range (NULL = all) keeps those with plain_offset < limit and start < end. */
struct plain_range {
	int64_t start, limit;
};
enum err store_segment_list(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			    int64_t position, const struct plain_range *range, bool data,
			    int64_t limit, struct segment **ret, size_t *ret_count) MUST_USE;
/* All of a stream, sizes only: a 10 TB object has 160,000 segments. */
struct segment_size {
	int64_t position, encrypted_size, plain_size, plain_offset;
};
enum err store_segment_sizes(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			     struct segment_size **ret, size_t *ret_count) MUST_USE;
/* 0 when it is not there. */
enum err store_segment_size(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			    int64_t position, int64_t *ret) MUST_USE;
enum err store_segment_set_offset(struct call *call, struct db_tx *tx,
				  const struct stream_uuid *stream, int64_t position,
				  int64_t plain_offset) MUST_USE;
/* ERR_NOT_FOUND. */
enum err store_segment_set_key(struct call *call, struct db_tx *tx,
			       const struct stream_uuid *stream, int64_t position, struct bytes key,
			       struct bytes nonce) MUST_USE;
/* Another list of pieces, if the list is still `old`; else ERR_ABORTED.  repaired_ns 0: it was no
 * repair. */
enum err store_segment_swap_pieces(struct call *call, struct db_tx *tx,
				   const struct stream_uuid *stream, int64_t position,
				   struct bytes old, struct bytes pieces,
				   int64_t repaired_ns) MUST_USE;
/* The same list without some numbers, in a transaction of its own. */
enum err store_segment_remove_pieces(struct call *call, struct db *db,
				     const struct stream_uuid *stream, int64_t position,
				     struct bytes old, const uint32_t *numbers,
				     size_t count) MUST_USE;
enum err store_segment_delete_all(struct call *call, struct db_tx *tx,
				  const struct stream_uuid *stream) MUST_USE;

#endif
