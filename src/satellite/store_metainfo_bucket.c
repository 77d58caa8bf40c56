/* Table buckets. */
#include "base/cleanup.h"
#include "satellite/store_metainfo.h"

#define BUCKET_COLUMNS                                                                             \
	"id, name, created_at, placement, versioning, lock_enabled, lock_mode, lock_days, "        \
	"lock_years, user_agent"

static enum err read_bucket(struct call *call, const struct db_rows *rows, struct bucket *ret)
{
	struct bucket b = {
		.id = db_int(rows, 0),
		.name = arena_bytes(&call->scratch, db_bytes(rows, 1)),
		.created_ns = db_int(rows, 2),
		.placement = (int32_t)db_int(rows, 3),
		.versioning = (enum versioning)db_int(rows, 4),
		.lock_enabled = db_int(rows, 5) != 0,
		.lock_mode = (int32_t)db_int(rows, 6),
		.lock_days = (int32_t)db_int(rows, 7),
		.lock_years = (int32_t)db_int(rows, 8),
		.user_agent = arena_bytes(&call->scratch, db_bytes(rows, 9)),
	};

	if (!b.name.data)
		return call_fail(call, ERR_NO_MEMORY, "no room for a bucket");
	*ret = b;
	return OK;
}

enum err store_bucket_get(struct call *call, struct db_tx *tx, const struct project_id *project,
			  struct bytes name, struct bucket *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " BUCKET_COLUMNS
			   " FROM buckets WHERE project_id = $1 AND name = $2",
			   &rows, DB_V_BLOB(BYTES_OF(project->b)), DB_V_BLOB(name)));
	enum err e = db_rows_next(call, rows);
	if (e == OK)
		e = read_bucket(call, rows, ret);
	db_rows_free(rows);
	return e;
}

enum err store_bucket_put(struct call *call, struct db_tx *tx, const struct project_id *project,
			  const struct bucket *b)
{
	return DB_EXEC(call, tx,
		       "INSERT INTO buckets (project_id, " BUCKET_COLUMNS
		       ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
		       NULL, DB_V_BLOB(BYTES_OF(project->b)), DB_V_INT(b->id), DB_V_BLOB(b->name),
		       DB_V_INT(b->created_ns), DB_V_INT(b->placement), DB_V_INT(b->versioning),
		       DB_V_INT(b->lock_enabled), DB_V_INT(b->lock_mode), DB_V_INT(b->lock_days),
		       DB_V_INT(b->lock_years), DB_V_BLOB_OR_NULL(b->user_agent));
}

enum err store_bucket_update(struct call *call, struct db_tx *tx, const struct bucket *b)
{
	return DB_EXEC(call, tx,
		       "UPDATE buckets SET versioning = $2, lock_enabled = $3, lock_mode = $4, "
		       "lock_days = $5, lock_years = $6 WHERE id = $1",
		       NULL, DB_V_INT(b->id), DB_V_INT(b->versioning), DB_V_INT(b->lock_enabled),
		       DB_V_INT(b->lock_mode), DB_V_INT(b->lock_days), DB_V_INT(b->lock_years));
}

enum err store_bucket_set_user_agent(struct call *call, struct db_tx *tx, int64_t id,
				     struct bytes user_agent)
{
	return DB_EXEC(call, tx, "UPDATE buckets SET user_agent = $2 WHERE id = $1", NULL,
		       DB_V_INT(id), DB_V_BLOB(user_agent));
}

enum err store_bucket_tags(struct call *call, struct db_tx *tx, const struct project_id *project,
			   struct bytes name, struct bytes *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT tags FROM buckets WHERE project_id = $1 AND name = $2",
			   &rows, DB_V_BLOB(BYTES_OF(project->b)), DB_V_BLOB(name)));
	enum err e = db_rows_next(call, rows);
	struct bytes tags = BYTES_NONE;
	if (e == OK && db_bytes(rows, 0).len) {
		tags = arena_bytes(&call->scratch, db_bytes(rows, 0));
		if (!tags.data)
			e = call_fail(call, ERR_NO_MEMORY, "no room for a bucket's tags");
	}
	db_rows_free(rows);
	if (e == OK)
		*ret = tags;
	return e;
}

enum err store_bucket_set_tags(struct call *call, struct db_tx *tx,
			       const struct project_id *project, struct bytes name,
			       struct bytes tags)
{
	int64_t changed = 0;

	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE buckets SET tags = $3 WHERE project_id = $1 AND name = $2",
			  &changed, DB_V_BLOB(BYTES_OF(project->b)), DB_V_BLOB(name),
			  DB_V_BLOB_OR_NULL(tags)));
	return changed ? OK : ERR_NOT_FOUND;
}

enum err store_bucket_delete(struct call *call, struct db_tx *tx, int64_t id)
{
	struct limit_id limit;

	limit_id_of_bucket(id, &limit);
	TRY_PLAIN(DB_EXEC(call, tx, "DELETE FROM limits WHERE id = $1", NULL,
			  DB_V_BLOB(BYTES_OF(limit.b))));
	return DB_EXEC(call, tx, "DELETE FROM buckets WHERE id = $1", NULL, DB_V_INT(id));
}

static enum err one_int(struct call *call, struct db_rows *rows, int64_t *ret)
{
	enum err e = db_rows_next(call, rows);

	if (e == OK)
		*ret = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

enum err store_bucket_count(struct call *call, struct db_tx *tx, const struct project_id *project,
			    int64_t *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT COUNT(*) FROM buckets WHERE project_id = $1", &rows,
			   DB_V_BLOB(BYTES_OF(project->b))));
	return one_int(call, rows, ret);
}

enum err store_bucket_is_empty(struct call *call, struct db_tx *tx, int64_t id, bool *ret)
{
	struct db_rows *rows = NULL;
	int64_t one = 0;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT 1 FROM objects WHERE bucket_id = $1 LIMIT 1", &rows,
			   DB_V_INT(id)));
	enum err e = one_int(call, rows, &one);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret = e == ERR_NOT_FOUND;
	return OK;
}

enum err store_bucket_list(struct call *call, struct db_tx *tx, const struct project_id *project,
			   struct bytes cursor, bool inclusive, int64_t limit, struct bucket **ret,
			   size_t *ret_count)
{
	const char *sql = inclusive ? "SELECT " BUCKET_COLUMNS
				      " FROM buckets WHERE project_id = $1 AND "
				      "name >= $2 ORDER BY name LIMIT $3"
				    : "SELECT " BUCKET_COLUMNS
				      " FROM buckets WHERE project_id = $1 AND "
				      "name > $2 ORDER BY name LIMIT $3";
	struct bucket *list = arena_array(&call->scratch, (size_t)limit, sizeof(*list));
	struct db_rows *rows = NULL;
	size_t n = 0;
	enum err e;

	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "no room for a list of buckets");
	TRY_PLAIN(DB_QUERY(call, tx, sql, &rows, DB_V_BLOB(BYTES_OF(project->b)), DB_V_BLOB(cursor),
			   DB_V_INT(limit)));
	while (!(e = db_rows_next(call, rows)) && n < (size_t)limit) {
		e = read_bucket(call, rows, &list[n++]);
		if (e)
			break;
	}
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret = list;
	*ret_count = n;
	return OK;
}
