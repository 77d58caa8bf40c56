/*
 * The nouns of the metainfo service (metainfo.md): buckets, objects, segments.  Views in them live
 * in the arena they were read into.  Times are Unix nanoseconds cut to microseconds, 0 = not set.
 */
#ifndef ACRE_SATELLITE_METAINFO_H
#define ACRE_SATELLITE_METAINFO_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/call.h"
#include "base/num.h"
#include "order/order.h"
#include "satellite/auth.h"
#include "satellite/config.h"

enum {
	STREAM_UUID_BYTES = 16,
	OBJECT_VERSION_BYTES = 16,
	METAINFO_NONCE_BYTES = 24,
	LIMIT_SEGMENT_KEY_BYTES = 256, /* wrapped content keys have 48 */
	LIMIT_USER_AGENT_BYTES = 500,
};

struct stream_uuid {
	uint8_t b[STREAM_UUID_BYTES];
};

/* Numbers as in metainfo.Object.Status. */
enum object_status {
	OBJECT_PENDING = 1,
	OBJECT_COMMITTED = 3,
	OBJECT_VERSIONED = 4,
	MARKER_VERSIONED = 5,
	MARKER_UNVERSIONED = 6,
	OBJECT_PREFIX = 7, /* listings only */
};

enum versioning {
	VERSIONING_UNSUPPORTED = 0,
	VERSIONING_OFF = 1,
	VERSIONING_ON = 2,
	VERSIONING_SUSPENDED = 3,
};

enum retention_mode { RETENTION_NONE = 0, RETENTION_COMPLIANCE = 1, RETENTION_GOVERNANCE = 2 };

/* Extended status codes (metainfo.md 3.3). */
enum {
	STATUS_LOCK_BUCKET_STATE = 10002,
	STATUS_LOCK_BUCKET_MISSING = 10003,
	STATUS_LOCK_OBJECT_MISSING = 10004,
	STATUS_LOCK_PROTECTED = 10005,
	STATUS_LOCK_OBJECT_STATE = 10006,
	STATUS_LOCK_BUCKET_CONFIG = 10007,
	STATUS_LOCK_TTL_DEFAULT = 10010,
	STATUS_LOCK_TTL_KEY_DEFAULT = 10011,
	STATUS_BUCKET_NAME_MISSING = 10014,
	STATUS_BUCKET_NAME_INVALID = 10015,
	STATUS_KEY_MISSING = 10016,
	STATUS_KEY_TOO_LONG = 10017,
	STATUS_VERSION_INVALID = 10018,
	STATUS_BUCKET_NOT_FOUND = 10019,
	STATUS_DELETE_NO_ITEMS = 10020,
	STATUS_DELETE_TOO_MANY = 10021,
	STATUS_TAGS_TOO_MANY = 10022,
	STATUS_TAG_KEY_INVALID = 10023,
	STATUS_TAG_KEY_DUPLICATE = 10024,
	STATUS_TAG_VALUE_INVALID = 10025,
	STATUS_TAGS_NOT_FOUND = 10026,
	STATUS_CHECKSUMS_UNSUPPORTED = 10027,
	STATUS_CHECKSUM_ALGORITHM = 10028,
	STATUS_CHECKSUM_TYPE = 10029,
	STATUS_CHECKSUM_MISSING = 10030,
	STATUS_CHECKSUM_UNEXPECTED = 10031,
	STATUS_METADATA_MISSING = 10032,
	STATUS_METADATA_INCLUDES = 10033,
	STATUS_METADATA_INCLUDES_FEW = 10034,
	STATUS_STREAM_ID_INVALID = 10035,
};

struct retention {
	int32_t mode; /* enum retention_mode */
	int64_t until_ns;
};

struct bucket {
	int64_t id;
	struct bytes name;
	int64_t created_ns;
	int32_t placement;
	enum versioning versioning;
	bool lock_enabled;
	int32_t lock_mode, lock_days, lock_years; /* default retention */
	struct bytes user_agent;
};

/* What the client keeps with an object; opaque here. */
struct user_data {
	struct bytes metadata; /* a serialized streams.StreamMeta */
	struct bytes nonce, key;
	struct bytes etag;
	int32_t checksum_algorithm;
	bool checksum_composite;
	struct bytes checksum;
};

struct object {
	int64_t bucket_id;
	struct bytes key;
	int64_t version; /* pending: random and negative; committed: positive */
	struct stream_uuid stream;
	enum object_status status;
	bool multipart, versioned; /* as BeginObject decided them */
	int64_t created_ns, expires_ns;
	int64_t zombie_ns; /* pending only: when it is given up */
	int64_t segment_count, plain_size, encrypted_size;
	int64_t fixed_segment_size; /* -1: segments differ */
	int32_t cipher, block_size;
	struct user_data data;
	struct retention retention;
	bool legal_hold;
	struct bytes charged; /* counters its size is in (limit.h) */
};

struct segment {
	struct stream_uuid stream;
	int64_t position; /* part << 32 | index */
	int64_t created_ns, repaired_ns, expires_ns;
	struct bytes key, nonce;
	int64_t encrypted_size, plain_size, plain_offset;
	struct bytes etag, checksum;
	bool is_inline;
	struct bytes inline_data;
	/* remote only */
	struct piece_id root;
	struct scheme redundancy;
	int32_t placement;
	struct bytes pieces; /* piece_list.h */
};

/* An upload or a found object, as a StreamID carries it (stream_id.h). */
struct stream {
	struct project_id project;
	struct bytes bucket;
	int64_t bucket_id;
	struct bytes key;
	int64_t version;
	struct stream_uuid uuid;
	int64_t created_ns, expires_ns;
	bool multipart, versioned;
	int32_t cipher;
	int64_t block_size;
	int32_t placement;
};

static inline int64_t segment_position(int32_t part, int32_t index)
{
	return (int64_t)(((uint64_t)(uint32_t)part << 32) | (uint32_t)index);
}
static inline int32_t position_part(int64_t position)
{
	return (int32_t)((uint64_t)position >> 32);
}
static inline int32_t position_index(int64_t position)
{
	return (int32_t)(uint32_t)position;
}

static inline int64_t time_us(int64_t ns)
{
	return ns - ns % 1000;
}
static inline bool status_is_marker(enum object_status s)
{
	return s == MARKER_VERSIONED || s == MARKER_UNVERSIONED;
}
static inline bool retention_active(const struct retention *r, int64_t now_ns)
{
	return r->mode != RETENTION_NONE && now_ns < r->until_ns;
}

static inline struct bytes uuid_bytes(const struct stream_uuid *u)
{
	return BYTES(u->b, STREAM_UUID_BYTES);
}
void stream_uuid_new(struct stream_uuid *ret);
/* 16 bytes: version big endian, last 8 bytes of the stream UUID (metainfo.md 3.2). */
void object_version_put(const struct object *o, uint8_t out[OBJECT_VERSION_BYTES]);
/* The version number of such bytes; they must be 16. */
static inline int64_t object_version_get(struct bytes v)
{
	return (int64_t)get_be64(v.data);
}

#endif
