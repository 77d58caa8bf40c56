/* Table objects. */
#include "base/cleanup.h"
#include "os/clock.h"
#include "satellite/store_metainfo.h"

enum {
	FLAG_MULTIPART = 1,
	FLAG_VERSIONED = 2,
	LOCK_MODE_MASK = 3,
	LOCK_LEGAL_HOLD = 4,
	CHECKSUM_COMPOSITE = 256,
};

/* OBJECT_COLUMNS without the table's short name, for INSERT. */
#define INSERT_COLUMNS                                                                             \
	"bucket_id, object_key, age, stream_id, status, flags, created_at, expires_at, "           \
	"zombie_at, segment_count, plain_size, encrypted_size, fixed_segment_size, cipher, "       \
	"block_size, metadata, metadata_nonce, metadata_key, etag, checksum_kind, checksum, "      \
	"lock_mode, retain_until, charged"
enum { OBJECT_COLUMNS_COUNT = 24 };

#define DB_V_TIME(ns) ((ns) ? DB_V_INT(ns) : DB_V_NULL)
#define DB_V_AGE(version) DB_V_INT(store_version_age(version))

static void to_values(const struct object *o, struct db_value v[OBJECT_COLUMNS_COUNT])
{
	const struct user_data *d = &o->data;
	int64_t flags = (o->multipart ? FLAG_MULTIPART : 0) | (o->versioned ? FLAG_VERSIONED : 0);
	int64_t checksum = d->checksum_algorithm | (d->checksum_composite ? CHECKSUM_COMPOSITE : 0);
	int64_t lock = (o->retention.mode & LOCK_MODE_MASK) | (o->legal_hold ? LOCK_LEGAL_HOLD : 0);
	const struct db_value values[OBJECT_COLUMNS_COUNT] = {
		DB_V_INT(o->bucket_id),
		DB_V_BLOB(o->key),
		DB_V_AGE(o->version),
		DB_V_BLOB(uuid_bytes(&o->stream)),
		DB_V_INT(o->status),
		DB_V_INT(flags),
		DB_V_INT(o->created_ns),
		DB_V_TIME(o->expires_ns),
		DB_V_TIME(o->zombie_ns),
		DB_V_INT(o->segment_count),
		DB_V_INT(o->plain_size),
		DB_V_INT(o->encrypted_size),
		DB_V_INT(o->fixed_segment_size),
		DB_V_INT(o->cipher),
		DB_V_INT(o->block_size),
		DB_V_BLOB_OR_NULL(d->metadata),
		DB_V_BLOB_OR_NULL(d->nonce),
		DB_V_BLOB_OR_NULL(d->key),
		DB_V_BLOB_OR_NULL(d->etag),
		DB_V_INT(checksum),
		DB_V_BLOB_OR_NULL(d->checksum),
		DB_V_INT(lock),
		DB_V_TIME(o->retention.until_ns),
		DB_V_BLOB_OR_NULL(o->charged),
	};

	memcpy(v, values, sizeof(values));
}

/* A copy of column i; *ok turns false without memory. */
static struct bytes blob(const struct db_rows *rows, struct arena *a, unsigned i, bool *ok)
{
	struct bytes v = db_bytes(rows, i);
	struct bytes copy = arena_bytes(a, v);

	if (v.len && !copy.data)
		*ok = false;
	return copy;
}

enum err store_object_read(struct call *call, const struct db_rows *rows, struct arena *a,
			   struct object *ret)
{
	bool ok = true;
	int64_t flags = db_int(rows, 5), checksum = db_int(rows, 19), lock = db_int(rows, 21);
	struct bytes stream = db_bytes(rows, 3);
	struct object o = {
		.bucket_id = db_int(rows, 0),
		.key = blob(rows, a, 1, &ok),
		.version = store_version_age(db_int(rows, 2)),
		.status = (enum object_status)db_int(rows, 4),
		.multipart = (flags & FLAG_MULTIPART) != 0,
		.versioned = (flags & FLAG_VERSIONED) != 0,
		.created_ns = db_int(rows, 6),
		.expires_ns = db_int(rows, 7),
		.zombie_ns = db_int(rows, 8),
		.segment_count = db_int(rows, 9),
		.plain_size = db_int(rows, 10),
		.encrypted_size = db_int(rows, 11),
		.fixed_segment_size = db_int(rows, 12),
		.cipher = (int32_t)db_int(rows, 13),
		.block_size = (int32_t)db_int(rows, 14),
		.data = {
			.metadata = blob(rows, a, 15, &ok),
			.nonce = blob(rows, a, 16, &ok),
			.key = blob(rows, a, 17, &ok),
			.etag = blob(rows, a, 18, &ok),
			.checksum_algorithm = (int32_t)(checksum & (CHECKSUM_COMPOSITE - 1)),
			.checksum_composite = (checksum & CHECKSUM_COMPOSITE) != 0,
			.checksum = blob(rows, a, 20, &ok),
		},
		.retention = { .mode = (int32_t)(lock & LOCK_MODE_MASK),
			       .until_ns = db_int(rows, 22) },
		.legal_hold = (lock & LOCK_LEGAL_HOLD) != 0,
		.charged = blob(rows, a, 23, &ok),
	};

	if (!ok)
		return call_fail(call, ERR_NO_MEMORY, "no room for an object");
	if (stream.len != STREAM_UUID_BYTES)
		return call_fail(call, ERR_DATA_LOSS, "an object row without a stream");
	memcpy(o.stream.b, stream.data, STREAM_UUID_BYTES);
	*ret = o;
	return OK;
}

static enum err read_one(struct call *call, struct db_rows *rows, struct object *ret)
{
	enum err e = db_rows_next(call, rows);

	if (e == OK)
		e = store_object_read(call, rows, &call->scratch, ret);
	db_rows_free(rows);
	return e;
}

static enum err read_many(struct call *call, struct db_rows *rows, size_t max, struct object **ret,
			  size_t *ret_count)
{
	struct object *list = arena_array(&call->scratch, max, sizeof(*list));
	size_t n = 0;
	enum err e = list ? OK : call_fail(call, ERR_NO_MEMORY, "no room for a list of objects");

	while (!e && n < max) {
		e = db_rows_next(call, rows);
		if (!e)
			e = store_object_read(call, rows, &call->scratch, &list[n]);
		if (!e)
			n++;
	}
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret = list;
	*ret_count = n;
	return OK;
}

enum err store_object_insert(struct call *call, struct db_tx *tx, const struct object *o)
{
	struct db_value v[OBJECT_COLUMNS_COUNT];

	to_values(o, v);
	return db_exec(call, tx,
		       "INSERT INTO objects (" INSERT_COLUMNS
		       ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
		       "$15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
		       v, OBJECT_COLUMNS_COUNT, NULL);
}

enum err store_object_pending(struct call *call, struct db_tx *tx, const struct stream *s,
			      struct object *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
			   "o.object_key = $2 AND o.age = $3 AND o.stream_id = $4 AND "
			   "o.status = 1",
			   &rows, DB_V_INT(s->bucket_id), DB_V_BLOB(s->key), DB_V_AGE(s->version),
			   DB_V_BLOB(uuid_bytes(&s->uuid))));
	return read_one(call, rows, ret);
}

enum err store_object_pending_exists(struct call *call, struct db_tx *tx, const struct stream *s,
				     bool *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT 1 FROM objects WHERE bucket_id = $1 AND object_key = $2 AND "
			   "age = $3 AND stream_id = $4 AND status = 1",
			   &rows, DB_V_INT(s->bucket_id), DB_V_BLOB(s->key), DB_V_AGE(s->version),
			   DB_V_BLOB(uuid_bytes(&s->uuid))));
	enum err e = db_rows_next(call, rows);
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret = e == OK;
	return OK;
}

enum err store_object_latest(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			     int64_t now_ns, struct object *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
			   "o.object_key = $2 AND " OBJECT_VISIBLE("$3") " ORDER BY o.age LIMIT 1",
			   &rows, DB_V_INT(bucket), DB_V_BLOB(key), DB_V_INT(now_ns)));
	return read_one(call, rows, ret);
}

enum err store_object_latest_named(struct call *call, struct db_tx *tx,
				   const struct project_id *project, struct bytes bucket,
				   struct bytes key, int64_t now_ns, struct object *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = "
			   "(SELECT id FROM buckets WHERE project_id = $1 AND name = $2) AND "
			   "o.object_key = $3 AND " OBJECT_VISIBLE("$4") " ORDER BY o.age LIMIT 1",
			   &rows, DB_V_BLOB(BYTES_OF(project->b)), DB_V_BLOB(bucket),
			   DB_V_BLOB(key), DB_V_INT(now_ns)));
	return read_one(call, rows, ret);
}

enum err store_object_latest_segment(struct call *call, struct db_tx *tx,
				     const struct project_id *project, struct bytes bucket,
				     struct bytes key, int64_t now_ns, struct object *ret,
				     bool *ret_has, struct segment *ret_first)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS ", " SEGMENT_COLUMNS_ALL
			   " FROM objects o LEFT JOIN segments s ON s.stream_id = o.stream_id AND "
			   "s.position = 0 WHERE o.bucket_id = "
			   "(SELECT id FROM buckets WHERE project_id = $1 AND name = $2) AND "
			   "o.object_key = $3 AND " OBJECT_VISIBLE("$4") " ORDER BY o.age LIMIT 1",
			   &rows, DB_V_BLOB(BYTES_OF(project->b)), DB_V_BLOB(bucket),
			   DB_V_BLOB(key), DB_V_INT(now_ns)));
	enum err e = db_rows_next(call, rows);
	if (!e)
		e = store_object_read(call, rows, &call->scratch, ret);
	*ret_has = !e && !db_is_null(rows, OBJECT_COLUMNS_COUNT);
	if (*ret_has)
		e = store_segment_read(call, rows, OBJECT_COLUMNS_COUNT, true, ret_first);
	db_rows_free(rows);
	return e;
}

enum err store_object_exact(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			    int64_t version, int64_t now_ns, struct object *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
			   "o.object_key = $2 AND o.age = $3 AND " OBJECT_VISIBLE("$4"),
			   &rows, DB_V_INT(bucket), DB_V_BLOB(key), DB_V_AGE(version),
			   DB_V_INT(now_ns)));
	return read_one(call, rows, ret);
}

enum err store_object_pending_version(struct call *call, struct db_tx *tx, int64_t bucket,
				      struct bytes key, int64_t version, struct object *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
			   "o.object_key = $2 AND o.age = $3 AND o.status = 1",
			   &rows, DB_V_INT(bucket), DB_V_BLOB(key), DB_V_AGE(version)));
	return read_one(call, rows, ret);
}

enum err store_object_highest(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			      struct object *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
			   "o.object_key = $2 AND o.age < 0 ORDER BY o.age LIMIT 1",
			   &rows, DB_V_INT(bucket), DB_V_BLOB(key)));
	return read_one(call, rows, ret);
}

enum err store_object_unversioned(struct call *call, struct db_tx *tx, int64_t bucket,
				  struct bytes key, struct object *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
			   "o.object_key = $2 AND o.age < 0 AND o.status IN (3, 6) "
			   "ORDER BY o.age LIMIT 1",
			   &rows, DB_V_INT(bucket), DB_V_BLOB(key)));
	return read_one(call, rows, ret);
}

enum err store_object_replace(struct call *call, struct db_tx *tx, int64_t bucket, struct bytes key,
			      int64_t version, const struct object *o)
{
	struct db_value v[OBJECT_COLUMNS_COUNT + 3];
	int64_t changed = 0;

	to_values(o, v);
	v[OBJECT_COLUMNS_COUNT] = DB_V_INT(bucket);
	v[OBJECT_COLUMNS_COUNT + 1] = DB_V_BLOB(key);
	v[OBJECT_COLUMNS_COUNT + 2] = DB_V_AGE(version);
	TRY_PLAIN(db_exec(call, tx,
			  "UPDATE objects SET bucket_id = $1, object_key = $2, age = $3, "
			  "status = $5, flags = $6, created_at = $7, expires_at = $8, "
			  "zombie_at = $9, segment_count = $10, plain_size = $11, "
			  "encrypted_size = $12, fixed_segment_size = $13, cipher = $14, "
			  "block_size = $15, metadata = $16, metadata_nonce = $17, "
			  "metadata_key = $18, etag = $19, checksum_kind = $20, checksum = $21, "
			  "lock_mode = $22, retain_until = $23, charged = $24 "
			  "WHERE bucket_id = $25 AND object_key = $26 AND age = $27 AND "
			  "stream_id = $4",
			  v, ARRAY_LEN(v), &changed));
	return changed == 1 ? OK : ERR_NOT_FOUND;
}

enum err store_object_stored(struct call *call, struct db_tx *tx, const struct object *o,
			     int64_t *ret)
{
	struct segment_size *list = NULL;
	size_t count = 0;

	*ret = o->encrypted_size;
	if (o->status != OBJECT_PENDING)
		return OK;
	TRY_PLAIN(store_segment_sizes(call, tx, &o->stream, &list, &count));
	for (size_t i = 0; i < count; i++)
		*ret += list[i].encrypted_size;
	return OK;
}

enum err store_object_delete(struct call *call, struct db_tx *tx, const struct object *o)
{
	struct limit_use back = { 0 };

	if (o->charged.len) {
		TRY_PLAIN(store_object_stored(call, tx, o, &back.stored));
		back.stored = -back.stored;
		TRY_PLAIN(limit_charge(call, tx, NULL, o->charged, &back, os_clock_unix_ns()));
	}
	TRY_PLAIN(DB_EXEC(call, tx,
			  "DELETE FROM objects WHERE bucket_id = $1 AND object_key = $2 AND "
			  "age = $3",
			  NULL, DB_V_INT(o->bucket_id), DB_V_BLOB(o->key), DB_V_AGE(o->version)));
	/* Markers have no segments. */
	return status_is_marker(o->status) ? OK : store_segment_delete_all(call, tx, &o->stream);
}

enum err store_object_from(struct call *call, struct db_tx *tx, int64_t bucket,
			   const struct bytes *key, int64_t age, int64_t limit, struct object **ret,
			   size_t *ret_count)
{
	struct db_rows *rows = NULL;

	if (key)
		TRY_PLAIN(DB_QUERY(
			call, tx,
			"SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 "
			"AND o.object_key >= $2 AND (o.object_key > $2 OR o.age > $3) "
			"ORDER BY o.object_key, o.age LIMIT $4",
			&rows, DB_V_INT(bucket), DB_V_BLOB(*key), DB_V_INT(age), DB_V_INT(limit)));
	else
		TRY_PLAIN(DB_QUERY(call, tx,
				   "SELECT " OBJECT_COLUMNS
				   " FROM objects o WHERE o.bucket_id = $1 "
				   "ORDER BY o.object_key, o.age LIMIT $2",
				   &rows, DB_V_INT(bucket), DB_V_INT(limit)));
	return read_many(call, rows, (size_t)limit, ret, ret_count);
}

enum err store_object_some(struct call *call, struct db_tx *tx, int64_t bucket, int64_t limit,
			   struct object **ret, size_t *ret_count)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 "
			   "ORDER BY o.object_key, o.age LIMIT $2",
			   &rows, DB_V_INT(bucket), DB_V_INT(limit)));
	return read_many(call, rows, (size_t)limit, ret, ret_count);
}

enum err store_object_due(struct call *call, struct db_tx *tx, int64_t now_ns, int64_t limit,
			  struct object **ret, size_t *ret_count)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE "
			   "o.expires_at IS NOT NULL AND o.expires_at <= $1 LIMIT $2",
			   &rows, DB_V_INT(now_ns), DB_V_INT(limit)));
	TRY_PLAIN(read_many(call, rows, (size_t)limit, ret, ret_count));
	if (*ret_count)
		return OK;
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE "
			   "o.zombie_at IS NOT NULL AND o.zombie_at <= $1 AND NOT EXISTS (SELECT 1 "
			   "FROM segments s WHERE s.stream_id = o.stream_id AND s.created_at > $3) "
			   "LIMIT $2",
			   &rows, DB_V_INT(now_ns), DB_V_INT(limit),
			   DB_V_INT(now_ns - ZOMBIE_DEADLINE_NS)));
	return read_many(call, rows, (size_t)limit, ret, ret_count);
}

enum err store_object_pending_streams(struct call *call, struct db_tx *tx, int64_t bucket,
				      struct bytes key, const struct stream_uuid *cursor,
				      int64_t now_ns, int64_t limit, struct object **ret,
				      size_t *ret_count)
{
	struct bytes from = cursor ? uuid_bytes(cursor) : BYTES("", 0);
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
			   "o.object_key = $2 AND o.age > 0 AND o.status = 1 AND "
			   "o.stream_id > $3 AND (o.expires_at IS NULL OR o.expires_at > $4) "
			   "ORDER BY o.stream_id LIMIT $5",
			   &rows, DB_V_INT(bucket), DB_V_BLOB(key), DB_V_BLOB(from),
			   DB_V_INT(now_ns), DB_V_INT(limit)));
	return read_many(call, rows, (size_t)limit, ret, ret_count);
}
