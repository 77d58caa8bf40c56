/* Table chores. */
#include <stdio.h>

#include "base/cleanup.h"
#include "satellite/chore_internal.h"

/* ---- the keeper's look ---- */

struct rows_arg {
	struct chore_row *rows;
	size_t count;
};

static enum err select_rows(struct call *call, struct db_tx *tx, void *arg)
{
	struct rows_arg *r = arg;
	struct db_rows *rows = NULL;
	enum err e;

	r->count = 0;
	TRY_PLAIN(db_query(call, tx,
			   "SELECT name, holder, lease_until, next_at, requests - served FROM "
			   "chores ORDER BY name",
			   NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows)) && r->count < CHORES_MAX) {
		struct chore_row *row = &r->rows[r->count++];
		struct bytes name = db_bytes(rows, 0), holder = db_bytes(rows, 1);
		*row = (struct chore_row){ .lease_until_ns = db_int(rows, 2),
					   .next_ns = db_int(rows, 3),
					   .requested = db_int(rows, 4) > 0 };
		snprintf(row->name, sizeof(row->name), "%.*s", (int)name.len,
			 (const char *)name.data);
		if (holder.len == CHORE_HOLDER_BYTES)
			memcpy(row->holder, holder.data, CHORE_HOLDER_BYTES);
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err store_chore_rows(struct call *call, struct db *db, struct chore_row rows[CHORES_MAX],
			  size_t *ret_count)
{
	struct rows_arg r = { .rows = rows };

	TRY_PLAIN(db_read_one(call, db, select_rows, &r));
	*ret_count = r.count;
	return OK;
}

/* ---- a row's life ---- */

struct put_arg {
	const char *name;
	int64_t next_ns, latest_ns;
};

static enum err insert_row(struct call *call, struct db_tx *tx, void *arg)
{
	const struct put_arg *p = arg;

	return DB_EXEC(call, tx,
		       "INSERT INTO chores (name, lease_until, next_at, requests, served, "
		       "started_at, ended_at, runs, failures, error, note) "
		       "VALUES ($1, 0, $2, 0, 0, 0, 0, 0, 0, '', '') ON CONFLICT (name) DO UPDATE "
		       "SET next_at = CASE WHEN $3 = $4 OR chores.next_at > $3 THEN $3 ELSE "
		       "chores.next_at END",
		       NULL, DB_V_TEXT(bytes_str(p->name)), DB_V_INT(p->next_ns),
		       DB_V_INT(p->latest_ns), DB_V_INT(INT64_MAX));
}

enum err store_chore_put(struct call *call, struct db *db, const char *name, int64_t next_ns,
			 int64_t latest_ns)
{
	struct put_arg p = { name, next_ns, latest_ns };

	return db_write(call, db, insert_row, &p);
}

static enum err update_claim(struct call *call, struct db_tx *tx, void *arg)
{
	struct chore_claim *c = arg;
	int64_t changed = 0;

	/* A holder that is there without being one any more died in its run, or could not write how
	 * it ended: what it began is due. */
	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE chores SET holder = $2, lease_until = $3, started_at = $4, "
			  "served = requests WHERE name = $1 AND "
			  "(next_at <= $4 OR requests > served OR holder IS NOT NULL) "
			  "AND (holder IS NULL OR lease_until <= $4 OR $5 = 1)",
			  &changed, DB_V_TEXT(bytes_str(c->name)),
			  DB_V_BLOB(BYTES(c->holder, CHORE_HOLDER_BYTES)),
			  DB_V_INT(c->lease_until_ns), DB_V_INT(c->now_ns),
			  DB_V_INT(c->take_over)));
	c->claimed = changed == 1;
	return OK;
}

enum err store_chore_claim(struct call *call, struct db *db, struct chore_claim *claim)
{
	return db_write(call, db, update_claim, claim);
}

struct renew_arg {
	const char *name, *note;
	const uint8_t *holder;
	int64_t lease_until_ns;
};

static enum err update_lease(struct call *call, struct db_tx *tx, void *arg)
{
	const struct renew_arg *r = arg;
	int64_t changed = 0;

	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE chores SET lease_until = $3, note = $4 WHERE name = $1 AND "
			  "holder = $2",
			  &changed, DB_V_TEXT(bytes_str(r->name)),
			  DB_V_BLOB(BYTES(r->holder, CHORE_HOLDER_BYTES)),
			  DB_V_INT(r->lease_until_ns), DB_V_TEXT(bytes_str(r->note))));
	return changed == 1 ? OK : call_fail(call, ERR_NOT_FOUND, "another process has it now");
}

enum err store_chore_renew(struct call *call, struct db *db, const char *name,
			   const uint8_t *holder, int64_t lease_until_ns, const char *note)
{
	struct renew_arg r = { name, note, holder, lease_until_ns };

	return db_write(call, db, update_lease, &r);
}

enum err store_chore_held(struct call *call, struct db_tx *tx, const char *name,
			  const uint8_t *holder)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT 1 FROM chores WHERE name = $1 AND holder = $2", &rows,
			   DB_V_TEXT(bytes_str(name)),
			   DB_V_BLOB(BYTES(holder, CHORE_HOLDER_BYTES))));
	enum err e = db_rows_next(call, rows);
	db_rows_free(rows);
	return e;
}

static enum err update_end(struct call *call, struct db_tx *tx, void *arg)
{
	const struct chore_end *e = arg;

	return DB_EXEC(call, tx,
		       "UPDATE chores SET holder = NULL, lease_until = 0, started_at = $2, "
		       "ended_at = $3, next_at = $4, runs = runs + $5, failures = failures + $6, "
		       "error = $7, note = $8 WHERE name = $1 AND "
		       "(holder = $9 OR $10 = 1)",
		       NULL, DB_V_TEXT(bytes_str(e->name)), DB_V_INT(e->started_ns),
		       DB_V_INT(e->ended_ns), DB_V_INT(e->next_ns), DB_V_INT(e->counts),
		       DB_V_INT(e->counts && e->error[0]), DB_V_TEXT(bytes_str(e->error)),
		       DB_V_TEXT(bytes_str(e->note)),
		       DB_V_BLOB(BYTES(e->holder, e->holder ? CHORE_HOLDER_BYTES : 0)),
		       DB_V_INT(!e->holder));
}

enum err store_chore_end(struct call *call, struct db *db, const struct chore_end *end)
{
	return db_write(call, db, update_end, (void *)(uintptr_t)end);
}

/* ---- asked from outside ---- */

struct request_arg {
	const char *name;
	int64_t request;
};

static enum err update_request(struct call *call, struct db_tx *tx, void *arg)
{
	struct request_arg *r = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "UPDATE chores SET requests = requests + 1 WHERE name = $1 "
			   "RETURNING requests",
			   &rows, DB_V_TEXT(bytes_str(r->name))));
	enum err e = db_rows_next(call, rows);
	if (!e)
		r->request = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

enum err satellite_chores_request(struct call *call, struct db *db, const char *name,
				  int64_t *ret_request)
{
	struct request_arg r = { .name = name };
	enum err e = db_write(call, db, update_request, &r);

	if (e == ERR_NOT_FOUND)
		return call_fail(call, e, "no chore \"%s\": has a satellite run on this database?",
				 name);
	TRY_PLAIN(e);
	if (ret_request)
		*ret_request = r.request;
	return OK;
}

struct list_arg {
	struct arena *a;
	struct chore_state *list;
	size_t count;
};

static enum err select_states(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_arg *l = arg;
	struct db_rows *rows = NULL;
	enum err e;

	l->count = 0;
	TRY_PLAIN(db_query(call, tx,
			   "SELECT name, error, note, holder, started_at, ended_at, next_at, runs, "
			   "failures, requests, served FROM chores ORDER BY name",
			   NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows)) && l->count < CHORES_MAX) {
		struct chore_state *s = &l->list[l->count++];
		*s = (struct chore_state){
			.name = arena_str(l->a, db_bytes(rows, 0)),
			.error = arena_str(l->a, db_bytes(rows, 1)),
			.note = arena_str(l->a, db_bytes(rows, 2)),
			.running = !db_is_null(rows, 3),
			.started_ns = db_int(rows, 4),
			.ended_ns = db_int(rows, 5),
			.next_ns = db_int(rows, 6),
			.runs = db_int(rows, 7),
			.failures = db_int(rows, 8),
			.requests = db_int(rows, 9),
			.served = db_int(rows, 10),
		};
		if (!s->name || !s->error || !s->note)
			e = call_fail(call, ERR_NO_MEMORY, "out of memory");
		if (e)
			break;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err satellite_chores_list(struct call *call, struct db *db, struct arena *a,
			       struct chore_state **ret, size_t *ret_count)
{
	struct list_arg l = { .a = a, .list = arena_array(a, CHORES_MAX, sizeof(*l.list)) };

	if (!l.list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(db_read_one(call, db, select_states, &l));
	*ret = l.list;
	*ret_count = l.count;
	return OK;
}
