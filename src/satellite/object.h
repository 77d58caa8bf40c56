/*
 * What happens to objects (metainfo.md 5): begin, commit, delete, copy, move, metadata, locks.  All
 * functions are work inside one writing transaction (reading ones say so) and may be run again:
 * inputs stay as they are, results go to fields of their own.  Failures carry the texts and status
 * codes the clients look for (metainfo.md 3.3).
 */
#ifndef ACRE_SATELLITE_OBJECT_H
#define ACRE_SATELLITE_OBJECT_H

#include "db/db.h"
#include "satellite/metainfo.h"

/* "bucket not found: <name>" / "object not found: <what>" with NotFound. */
enum err fail_bucket_not_found(struct call *call, struct bytes name) MUST_USE;
enum err fail_object_not_found(struct call *call, const char *what) MUST_USE;
enum err fail_object_locked(struct call *call) MUST_USE;
/* Reads the bucket or fails so. */
enum err bucket_find(struct call *call, struct db_tx *tx, const struct project_id *project,
		     struct bytes name, struct bucket *ret) MUST_USE;

/* Whose limits new bytes count for, besides those of the bucket they go into. */
struct charge {
	const struct limit_set *limits; /* NULL: nobody's */
	bool has_bucket_limits;		/* some bucket of the project has limits */
	struct prices prices;
	int64_t grants_max; /* of a project, with limits; 0 = no end */
};

static inline bool charge_is_any(const struct charge *c)
{
	return (c->limits && c->limits->count) || c->has_bucket_limits;
}

/* What went for something new to be put in its place. */
struct freed {
	int64_t size, segments;
};

/* ---- upload ---- */

struct begin_object {
	/* All but bucket_id, placement and versioned, which come out of the bucket. */
	struct stream stream;
	struct user_data data;
	struct retention retention;
	bool legal_hold;
	bool expiry_asked, expiry_forced; /* by the request; by the key's max_object_ttl */
	struct charge charge;
	struct bytes user_agent; /* for a bucket that has none yet; empty: nobody */
	int64_t now_ns;
};
enum err object_begin(struct call *call, struct db_tx *tx, struct begin_object *b) MUST_USE;

struct put_segment {
	const struct stream
		*stream;	/* may still be filled by object_begin in the same transaction */
	struct segment segment; /* all but stream, expires, placement and pieces */
	/* remote */
	struct node_aliases *aliases;
	const struct node_id *nodes; /* of the pieces, in order of their numbers */
	const uint32_t *numbers;
	size_t count;
	uint32_t *aliases_found; /* room for count; for node_aliases_learn once it is durable */
	struct prices prices;
	int64_t now_ns;
};
/* The pending row of an upload, read once for all that a transaction does with it. */
struct pending {
	bool read;
	struct object row;
};
/* A segment of a pending upload, remote or inline.  p (may be NULL) is kept if it is of this
 * upload. */
enum err object_put_segment(struct call *call, struct db_tx *tx, const struct put_segment *s,
			    struct pending *p) MUST_USE;

struct commit_object {
	const struct stream *stream;
	bool set_data; /* otherwise what BeginObject stored is kept */
	struct user_data data;
	int32_t cipher, block_size; /* used when BeginObject named none */
	bool if_none_match, may_delete;
	uint64_t min_part_size;
	int64_t now_ns;
	struct object result;
	struct freed freed;
};
enum err object_commit(struct call *call, struct db_tx *tx, struct commit_object *c,
		       struct pending *p) MUST_USE;
/* All three at once for an object of one inline segment; no pending row in between. */
enum err object_put_inline(struct call *call, struct db_tx *tx, struct begin_object *b,
			   const struct put_segment *s, struct commit_object *c) MUST_USE;

/* ---- delete ---- */

struct delete_object {
	struct bytes key;
	bool has_version;
	int64_t version;
	bool check_suffix; /* also the stream's last 8 bytes must match */
	uint8_t suffix[8];
	bool bypass_governance;
	int64_t now_ns;
	bool was_removed, was_marked;
	struct object removed, marker;
};
/* The bucket was read in the same transaction.  Nothing there is no failure (but in a suspended
 * bucket); locked is. */
enum err object_remove(struct call *call, struct db_tx *tx, const struct bucket *bucket,
		       struct delete_object *d) MUST_USE;
/* Gives an upload up; its row and segments go at once. */
enum err object_abort(struct call *call, struct db_tx *tx, const struct stream *s) MUST_USE;

/* ---- copy and move ---- */

struct segment_key {
	int64_t position;
	struct bytes key, nonce;
};

struct begin_copy {
	struct project_id project;
	struct bytes bucket, key, new_bucket;
	bool has_version;
	int64_t version;
	int64_t now_ns;
	struct object source;
	struct segment *segments;
	size_t segments_count;
};
/* Reads only. */
enum err object_begin_copy(struct call *call, struct db_tx *tx, struct begin_copy *b) MUST_USE;

struct finish_copy {
	struct stream source;
	struct bytes new_bucket, new_key;
	struct segment_key *keys;
	size_t keys_count;
	bool override_data;
	struct user_data data; /* without override only key and nonce count */
	struct retention retention;
	bool legal_hold, if_none_match, may_delete;
	struct stream_uuid new_uuid; /* copies only */
	struct charge charge;
	int64_t now_ns;
	struct object result;
	struct freed freed;
};
enum err object_finish_copy(struct call *call, struct db_tx *tx, struct finish_copy *f) MUST_USE;
enum err object_finish_move(struct call *call, struct db_tx *tx, struct finish_copy *f) MUST_USE;

/* ---- change in place ---- */

struct update_metadata {
	struct project_id project;
	struct bytes bucket, key;
	struct stream_uuid uuid;
	bool set_metadata, set_etag, set_checksum;
	bool old_client; /* sent no includes: told "not found" instead of 10034 */
	struct user_data data;
	int64_t now_ns;
};
enum err object_set_metadata(struct call *call, struct db_tx *tx,
			     const struct update_metadata *u) MUST_USE;

/* ERR_INVALID for a key or a version that no object can have. */
enum err object_name_check(struct call *call, struct bytes key, bool has_version,
			   int64_t version) MUST_USE;

/* Latest, or the version asked for; a marker is NotFound or MethodNotAllowed (metainfo.md 5.8). */
struct find_object {
	struct project_id project;
	struct bytes bucket, key;
	bool has_version;
	int64_t version;
	int64_t now_ns;
	struct segment *first; /* of the latest version only; NULL: not wanted */
	bool has_first;	       /* out */
	struct object result;
};
enum err object_find(struct call *call, struct db_tx *tx, struct find_object *f) MUST_USE;

/* Retention that a bucket's default gives an object made now. */
struct retention bucket_default_retention(const struct bucket *b, int64_t now_ns);
/* ERR_INVALID unless nonce, key and data come together (metainfo.md 5.6). */
enum err user_data_check(struct call *call, const struct user_data *d) MUST_USE;

#endif
