/* Table repair_queue. */
#include "base/cleanup.h"
#include "satellite/repair.h"

/* ---- what the checker writes ---- */

struct put_arg {
	const struct repair_row *rows;
	size_t count;
};

static enum err put_row(struct call *call, struct db_tx *tx, const struct repair_row *r)
{
	/* Another health is another chance, and so is being asked for; a worker that has the row
	 * keeps it. */
	return DB_EXEC(
		call, tx,
		"INSERT INTO repair_queue (stream_id, position, urgency, healthy, retrievable, "
		"required, success, eager, lost, added_at, seen_at, claimed_until, not_before, "
		"attempts, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, 0, 0, 0, "
		"'') "
		"ON CONFLICT (stream_id, position) DO UPDATE SET urgency = excluded.urgency, "
		"not_before = CASE WHEN repair_queue.healthy = excluded.healthy AND "
		"repair_queue.retrievable = excluded.retrievable AND excluded.eager = 0 THEN "
		"repair_queue.not_before ELSE 0 END, "
		"error = CASE WHEN excluded.eager = 1 THEN '' ELSE repair_queue.error END, "
		"healthy = excluded.healthy, retrievable = excluded.retrievable, "
		"required = excluded.required, success = excluded.success, "
		"eager = CASE WHEN excluded.eager > repair_queue.eager THEN excluded.eager ELSE "
		"repair_queue.eager END, lost = excluded.lost, seen_at = excluded.seen_at",
		NULL, DB_V_BLOB(uuid_bytes(&r->stream)), DB_V_INT(r->position),
		DB_V_INT(r->urgency), DB_V_INT(r->healthy), DB_V_INT(r->retrievable),
		DB_V_INT(r->required), DB_V_INT(r->success), DB_V_INT(r->eager), DB_V_INT(r->lost),
		DB_V_INT(r->seen_ns));
}

static enum err put_rows(struct call *call, struct db_tx *tx, void *arg)
{
	const struct put_arg *p = arg;

	for (size_t i = 0; i < p->count; i++)
		TRY_PLAIN(put_row(call, tx, &p->rows[i]));
	return OK;
}

enum err store_repair_put(struct call *call, struct db *db, const struct repair_row *rows,
			  size_t count)
{
	struct put_arg p = { rows, count };

	return db_write(call, db, put_rows, &p);
}

struct clean_arg {
	int64_t started_ns, removed;
};

static enum err delete_unseen(struct call *call, struct db_tx *tx, void *arg)
{
	struct clean_arg *c = arg;

	/* A pass only sees what is at its threshold; what was asked for beyond that stays until a
	 * worker looks at it, which it does not while the segment is lost. */
	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE repair_queue SET lost = 0 WHERE seen_at < $1 AND lost = 1", NULL,
			  DB_V_INT(c->started_ns)));
	return DB_EXEC(call, tx, "DELETE FROM repair_queue WHERE seen_at < $1 AND eager = 0",
		       &c->removed, DB_V_INT(c->started_ns));
}

enum err store_repair_clean(struct call *call, struct db *db, int64_t started_ns,
			    int64_t *ret_removed)
{
	struct clean_arg c = { .started_ns = started_ns };

	TRY_PLAIN(db_write(call, db, delete_unseen, &c));
	*ret_removed = c.removed;
	return OK;
}

/* ---- what workers do with it ---- */

#define QUEUE_COLUMNS                                                                              \
	"stream_id, position, urgency, healthy, retrievable, required, success, eager, lost, "     \
	"added_at, seen_at, attempts, not_before, error, claimed_until"

static enum err read_row(struct call *call, const struct db_rows *rows, struct arena *a,
			 struct repair_row *ret)
{
	struct bytes stream = db_bytes(rows, 0);
	struct repair_row r = {
		.position = db_int(rows, 1),
		.urgency = db_int(rows, 2),
		.healthy = (unsigned)db_int(rows, 3),
		.retrievable = (unsigned)db_int(rows, 4),
		.required = (unsigned)db_int(rows, 5),
		.success = (unsigned)db_int(rows, 6),
		.eager = db_int(rows, 7) != 0,
		.lost = db_int(rows, 8) != 0,
		.added_ns = db_int(rows, 9),
		.seen_ns = db_int(rows, 10),
		.attempts = db_int(rows, 11),
		.not_before_ns = db_int(rows, 12),
		.error = "",
	};

	if (a)
		r.error = arena_str(a, db_bytes(rows, 13));
	if (stream.len != STREAM_UUID_BYTES)
		return call_fail(call, ERR_DATA_LOSS, "a damaged row of the repair queue");
	if (!r.error)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	memcpy(r.stream.b, stream.data, STREAM_UUID_BYTES);
	*ret = r;
	return OK;
}

struct claim_arg {
	int64_t now_ns, until_ns;
	struct repair_row row;
};

static enum err update_claim(struct call *call, struct db_tx *tx, void *arg)
{
	struct claim_arg *c = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "UPDATE repair_queue SET claimed_until = $2, attempts = attempts + 1 "
			   "WHERE (stream_id, position) = (SELECT stream_id, position FROM "
			   "repair_queue WHERE lost = 0 AND claimed_until <= $1 AND "
			   "not_before <= $1 ORDER BY urgency LIMIT 1) RETURNING " QUEUE_COLUMNS,
			   &rows, DB_V_INT(c->now_ns), DB_V_INT(c->until_ns)));
	enum err e = db_rows_next(call, rows);
	if (!e)
		e = read_row(call, rows, NULL, &c->row);
	db_rows_free(rows);
	return e;
}

enum err store_repair_claim(struct call *call, struct db *db, int64_t now_ns, int64_t claim_ns,
			    struct repair_row *ret)
{
	struct claim_arg c = { .now_ns = now_ns, .until_ns = now_ns + claim_ns };

	TRY_PLAIN(db_write(call, db, update_claim, &c));
	*ret = c.row;
	return OK;
}

struct renew_arg {
	const struct repair_row *row;
	int64_t until_ns;
};

/* Each claim is an attempt of its own: who was frozen while another took the row over changes
 * nothing of it any more. */
static enum err update_renewed(struct call *call, struct db_tx *tx, void *arg)
{
	const struct renew_arg *r = arg;
	int64_t changed = 0;

	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE repair_queue SET claimed_until = $3 WHERE stream_id = $1 AND "
			  "position = $2 AND claimed_until > 0 AND attempts = $4",
			  &changed, DB_V_BLOB(uuid_bytes(&r->row->stream)),
			  DB_V_INT(r->row->position), DB_V_INT(r->until_ns),
			  DB_V_INT(r->row->attempts)));
	return changed ? OK : call_fail(call, ERR_NOT_FOUND, "another worker has it now");
}

enum err store_repair_renew(struct call *call, struct db *db, const struct repair_row *row,
			    int64_t until_ns)
{
	struct renew_arg r = { row, until_ns };

	return db_write(call, db, update_renewed, &r);
}

static enum err delete_row(struct call *call, struct db_tx *tx, void *arg)
{
	const struct repair_row *r = arg;

	return DB_EXEC(call, tx,
		       "DELETE FROM repair_queue WHERE stream_id = $1 AND position = $2 AND "
		       "attempts = $3",
		       NULL, DB_V_BLOB(uuid_bytes(&r->stream)), DB_V_INT(r->position),
		       DB_V_INT(r->attempts));
}

enum err store_repair_done(struct call *call, struct db *db, const struct repair_row *row)
{
	return db_write(call, db, delete_row, (void *)(uintptr_t)row);
}

static enum err update_failed(struct call *call, struct db_tx *tx, void *arg)
{
	const struct repair_row *r = arg;

	return DB_EXEC(call, tx,
		       "UPDATE repair_queue SET claimed_until = 0, not_before = $3, error = $4, "
		       "lost = $5, healthy = $6, retrievable = $7, urgency = $8 "
		       "WHERE stream_id = $1 AND position = $2 AND attempts = $9",
		       NULL, DB_V_BLOB(uuid_bytes(&r->stream)), DB_V_INT(r->position),
		       DB_V_INT(r->not_before_ns), DB_V_TEXT(bytes_str(r->error)),
		       DB_V_INT(r->lost), DB_V_INT(r->healthy), DB_V_INT(r->retrievable),
		       DB_V_INT(r->urgency), DB_V_INT(r->attempts));
}

enum err store_repair_failed(struct call *call, struct db *db, const struct repair_row *row)
{
	return db_write(call, db, update_failed, (void *)(uintptr_t)row);
}

static enum err update_reset(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, "UPDATE repair_queue SET claimed_until = 0, not_before = 0", NULL,
		       0, NULL);
}

enum err store_repair_reset(struct call *call, struct db *db)
{
	return db_write(call, db, update_reset, NULL);
}

/* ---- for people ---- */

static enum err select_count(struct call *call, struct db_tx *tx, void *arg)
{
	struct repair_count *c = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(
		call, tx,
		"SELECT CAST(COALESCE(SUM(1 - lost), 0) AS INTEGER), "
		"CAST(COALESCE(SUM(lost), 0) AS INTEGER), "
		"CAST(COALESCE(SUM(CASE WHEN lost = 0 AND error <> '' THEN 1 ELSE 0 END), 0) AS "
		"INTEGER), "
		"CAST(COALESCE(MIN(CASE WHEN lost = 0 THEN urgency END), 0) AS INTEGER) FROM "
		"repair_queue",
		NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		*c = (struct repair_count){ db_int(rows, 0), db_int(rows, 1), db_int(rows, 2),
					    db_int(rows, 3) };
	db_rows_free(rows);
	return e;
}

enum err store_repair_count(struct call *call, struct db *db, struct repair_count *ret)
{
	struct repair_count c = { 0 };

	TRY_PLAIN(db_read_one(call, db, select_count, &c));
	*ret = c;
	return OK;
}

struct list_arg {
	struct arena *a;
	int64_t limit;
	struct repair_row *rows;
	size_t count;
};

static enum err select_list(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_arg *l = arg;
	struct db_rows *rows = NULL;
	enum err e;

	l->count = 0;
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " QUEUE_COLUMNS " FROM repair_queue "
			   "ORDER BY lost DESC, urgency, stream_id, position LIMIT $1",
			   &rows, DB_V_INT(l->limit)));
	while (!(e = db_rows_next(call, rows)) && l->count < (size_t)l->limit) {
		e = read_row(call, rows, l->a, &l->rows[l->count]);
		if (e)
			break;
		l->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err store_repair_list(struct call *call, struct db *db, struct arena *a, int64_t limit,
			   struct repair_row **ret, size_t *ret_count)
{
	struct list_arg l = { .a = a, .limit = limit };

	l.rows = arena_array(a, (size_t)limit, sizeof(*l.rows));
	if (!l.rows)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(db_read_one(call, db, select_list, &l));
	*ret = l.rows;
	*ret_count = l.count;
	return OK;
}
