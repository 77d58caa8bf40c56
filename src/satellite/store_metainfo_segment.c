/* Table segments. */
#include "base/cleanup.h"
#include "satellite/piece_list.h"
#include "satellite/store_metainfo.h"

#define INSERT_COLUMNS                                                                             \
	"stream_id, position, created_at, repaired_at, expires_at, encrypted_key, key_nonce, "     \
	"encrypted_size, plain_size, plain_offset, etag, checksum, redundancy, placement, "        \
	"root_piece_id, pieces, inline_data"

#define DB_V_TIME(ns) ((ns) ? DB_V_INT(ns) : DB_V_NULL)

enum err redundancy_unpack(int64_t packed, struct scheme *ret)
{
	struct scheme s = scheme_unpack((uint64_t)packed);

	if (!packed)
		s = (struct scheme){ 0 };
	else if (scheme_check(&s))
		return ERR_DATA_LOSS;
	*ret = s;
	return OK;
}

enum err store_segment_put(struct call *call, struct db_tx *tx, const struct segment *s)
{
	return DB_EXEC(
		call, tx,
		"INSERT INTO segments (" INSERT_COLUMNS
		") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
		"$15, $16, $17) ON CONFLICT (stream_id, position) DO UPDATE SET "
		"created_at = excluded.created_at, repaired_at = excluded.repaired_at, "
		"expires_at = excluded.expires_at, "
		"encrypted_key = excluded.encrypted_key, key_nonce = excluded.key_nonce, "
		"encrypted_size = excluded.encrypted_size, "
		"plain_size = excluded.plain_size, plain_offset = excluded.plain_offset, "
		"etag = excluded.etag, checksum = excluded.checksum, "
		"redundancy = excluded.redundancy, placement = excluded.placement, "
		"root_piece_id = excluded.root_piece_id, pieces = excluded.pieces, "
		"inline_data = excluded.inline_data",
		NULL, DB_V_BLOB(uuid_bytes(&s->stream)), DB_V_INT(s->position),
		DB_V_INT(s->created_ns), DB_V_TIME(s->repaired_ns), DB_V_TIME(s->expires_ns),
		DB_V_BLOB(s->key), DB_V_BLOB(s->nonce), DB_V_INT(s->encrypted_size),
		DB_V_INT(s->plain_size), DB_V_INT(s->plain_offset), DB_V_BLOB_OR_NULL(s->etag),
		DB_V_BLOB_OR_NULL(s->checksum),
		DB_V_INT(s->is_inline ? 0 : (int64_t)scheme_pack(&s->redundancy)),
		DB_V_INT(s->placement), s->is_inline ? DB_V_NULL : DB_V_BLOB(BYTES_OF(s->root.b)),
		s->is_inline ? DB_V_NULL : DB_V_BLOB(s->pieces), DB_V_BLOB_OR_NULL(s->inline_data));
}

static struct bytes blob(const struct db_rows *rows, struct arena *a, unsigned i, bool *ok)
{
	struct bytes v = db_bytes(rows, i);
	struct bytes copy = arena_bytes(a, v);

	if (v.len && !copy.data)
		*ok = false;
	return copy;
}

enum err store_segment_read(struct call *call, const struct db_rows *rows, unsigned from, bool data,
			    struct segment *ret)
{
	struct arena *a = &call->scratch;
	bool ok = true;
	struct bytes stream = db_bytes(rows, from), root = db_bytes(rows, from + 14);
	int64_t packed = db_int(rows, from + 12);
	struct segment s = {
		.position = db_int(rows, from + 1),
		.created_ns = db_int(rows, from + 2),
		.repaired_ns = db_int(rows, from + 3),
		.expires_ns = db_int(rows, from + 4),
		.key = blob(rows, a, from + 5, &ok),
		.nonce = blob(rows, a, from + 6, &ok),
		.encrypted_size = db_int(rows, from + 7),
		.plain_size = db_int(rows, from + 8),
		.plain_offset = db_int(rows, from + 9),
		.etag = blob(rows, a, from + 10, &ok),
		.checksum = blob(rows, a, from + 11, &ok),
		.is_inline = packed == 0,
		.placement = (int32_t)db_int(rows, from + 13),
	};

	if (data) {
		s.pieces = blob(rows, a, from + 15, &ok);
		s.inline_data = blob(rows, a, from + 16, &ok);
	}
	if (!ok)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment");
	if (stream.len != STREAM_UUID_BYTES || redundancy_unpack(packed, &s.redundancy) ||
	    (!s.is_inline && root.len != PIECE_ID_BYTES))
		return call_fail(call, ERR_DATA_LOSS, "a damaged segment row");
	memcpy(s.stream.b, stream.data, STREAM_UUID_BYTES);
	if (!s.is_inline)
		memcpy(s.root.b, root.data, PIECE_ID_BYTES);
	*ret = s;
	return OK;
}

static enum err read_one(struct call *call, struct db_rows *rows, struct segment *ret)
{
	enum err e = db_rows_next(call, rows);

	if (e == OK)
		e = store_segment_read(call, rows, 0, true, ret);
	db_rows_free(rows);
	return e;
}

enum err store_segment_get(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			   int64_t position, struct segment *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " SEGMENT_COLUMNS_ALL
			   " FROM segments s WHERE stream_id = $1 AND position = $2",
			   &rows, DB_V_BLOB(uuid_bytes(stream)), DB_V_INT(position)));
	return read_one(call, rows, ret);
}

enum err store_segment_last(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			    struct segment *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " SEGMENT_COLUMNS_ALL
			   " FROM segments s WHERE stream_id = $1 ORDER BY position DESC LIMIT 1",
			   &rows, DB_V_BLOB(uuid_bytes(stream))));
	return read_one(call, rows, ret);
}

/* Room for row n; doubled, since most streams have few segments.  NULL without memory. */
static enum err read_many(struct call *call, struct db_rows *rows, bool data, struct segment **ret,
			  size_t *ret_count)
{
	struct segment *list = NULL;
	size_t n = 0, cap = 0;
	enum err e;

	while (!(e = db_rows_next(call, rows))) {
		list = arena_grow(&call->scratch, list, &cap, n, sizeof(*list));
		if (!list)
			e = call_fail(call, ERR_NO_MEMORY, "no room for a list of segments");
		else
			e = store_segment_read(call, rows, 0, data, &list[n]);
		if (e)
			break;
		n++;
	}
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret = list;
	*ret_count = n;
	return OK;
}

enum err store_segment_list(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			    int64_t position, const struct plain_range *range, bool data,
			    int64_t limit, struct segment **ret, size_t *ret_count)
{
	const char *sql = data ? "SELECT " SEGMENT_COLUMNS_ALL " FROM segments s "
				 "WHERE stream_id = $1 AND position >= $2 AND plain_offset < $3 "
				 "AND $4 < plain_offset + plain_size ORDER BY position LIMIT $5"
			       : "SELECT " SEGMENT_COLUMNS " FROM segments s "
				 "WHERE stream_id = $1 AND position >= $2 AND plain_offset < $3 "
				 "AND $4 < plain_offset + plain_size ORDER BY position LIMIT $5";
	struct db_rows *rows = NULL;

	/* No range: -1 < 0 + 0 keeps the empty segment of an empty object, too. */
	TRY_PLAIN(DB_QUERY(call, tx, sql, &rows, DB_V_BLOB(uuid_bytes(stream)), DB_V_INT(position),
			   DB_V_INT(range ? range->limit : INT64_MAX),
			   DB_V_INT(range ? range->start : -1), DB_V_INT(limit)));
	return read_many(call, rows, data, ret, ret_count);
}

enum err store_segment_sizes(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			     struct segment_size **ret, size_t *ret_count)
{
	struct segment_size *list = NULL;
	struct db_rows *rows = NULL;
	size_t n = 0, cap = 0;
	enum err e;

	TRY_PLAIN(
		DB_QUERY(call, tx,
			 "SELECT position, encrypted_size, plain_size, plain_offset FROM segments "
			 "WHERE stream_id = $1 ORDER BY position",
			 &rows, DB_V_BLOB(uuid_bytes(stream))));
	while (!(e = db_rows_next(call, rows))) {
		list = arena_grow(&call->scratch, list, &cap, n, sizeof(*list));
		if (!list) {
			e = call_fail(call, ERR_NO_MEMORY, "no room for a list of segments");
			break;
		}
		list[n++] = (struct segment_size){ db_int(rows, 0), db_int(rows, 1),
						   db_int(rows, 2), db_int(rows, 3) };
	}
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret = list;
	*ret_count = n;
	return OK;
}

enum err store_segment_size(struct call *call, struct db_tx *tx, const struct stream_uuid *stream,
			    int64_t position, int64_t *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT encrypted_size FROM segments WHERE stream_id = $1 AND "
			   "position = $2",
			   &rows, DB_V_BLOB(uuid_bytes(stream)), DB_V_INT(position)));
	enum err e = db_rows_next(call, rows);
	*ret = e ? 0 : db_int(rows, 0);
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err store_segment_set_offset(struct call *call, struct db_tx *tx,
				  const struct stream_uuid *stream, int64_t position,
				  int64_t plain_offset)
{
	return DB_EXEC(call, tx,
		       "UPDATE segments SET plain_offset = $3 WHERE stream_id = $1 AND "
		       "position = $2",
		       NULL, DB_V_BLOB(uuid_bytes(stream)), DB_V_INT(position),
		       DB_V_INT(plain_offset));
}

enum err store_segment_set_key(struct call *call, struct db_tx *tx,
			       const struct stream_uuid *stream, int64_t position, struct bytes key,
			       struct bytes nonce)
{
	int64_t changed = 0;

	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE segments SET encrypted_key = $3, key_nonce = $4 "
			  "WHERE stream_id = $1 AND position = $2",
			  &changed, DB_V_BLOB(uuid_bytes(stream)), DB_V_INT(position),
			  DB_V_BLOB(key), DB_V_BLOB(nonce)));
	return changed == 1 ? OK : ERR_NOT_FOUND;
}

enum err store_segment_swap_pieces(struct call *call, struct db_tx *tx,
				   const struct stream_uuid *stream, int64_t position,
				   struct bytes old, struct bytes pieces, int64_t repaired_ns)
{
	int64_t changed = 0;

	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE segments SET pieces = $4, repaired_at = CASE WHEN $5 = 0 THEN "
			  "repaired_at ELSE $5 END "
			  "WHERE stream_id = $1 AND position = $2 AND pieces = $3",
			  &changed, DB_V_BLOB(uuid_bytes(stream)), DB_V_INT(position),
			  DB_V_BLOB(old), DB_V_BLOB(pieces), DB_V_INT(repaired_ns)));
	return changed == 1 ? OK
			    : call_fail(call, ERR_ABORTED,
					"the segment was changed or deleted meanwhile");
}

struct swap_work {
	const struct stream_uuid *stream;
	int64_t position;
	struct bytes old, now;
};

static enum err swap_pieces(struct call *call, struct db_tx *tx, void *arg)
{
	const struct swap_work *w = arg;

	return store_segment_swap_pieces(call, tx, w->stream, w->position, w->old, w->now, 0);
}

enum err store_segment_remove_pieces(struct call *call, struct db *db,
				     const struct stream_uuid *stream, int64_t position,
				     struct bytes old, const uint32_t *numbers, size_t count)
{
	struct piece pieces[PIECE_LIST_MAX];
	AUTO_BUF struct buf now = BUF_INIT(PIECE_LIST_BYTES_MAX);
	size_t n = 0, kept = 0;

	TRY_PLAIN(piece_list_decode(call, old, pieces, &n));
	for (size_t i = 0; i < n; i++) {
		bool gone = false;
		for (size_t j = 0; j < count; j++)
			gone = gone || pieces[i].number == numbers[j];
		if (!gone)
			pieces[kept++] = pieces[i];
	}
	piece_list_encode(&now, pieces, kept);
	TRY_PLAIN(buf_status(&now));
	struct swap_work w = { stream, position, old, buf_bytes(&now) };
	return db_write(call, db, swap_pieces, &w);
}

enum err store_segment_delete_all(struct call *call, struct db_tx *tx,
				  const struct stream_uuid *stream)
{
	return DB_EXEC(call, tx, "DELETE FROM segments WHERE stream_id = $1", NULL,
		       DB_V_BLOB(uuid_bytes(stream)));
}
