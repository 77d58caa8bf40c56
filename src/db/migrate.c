/* Migrations: each step once, in a transaction of its own, whoever comes first. */
#include "db/db_internal.h"
#include "os/clock.h"
#include "os/log.h"

struct step {
	const struct db_migration *list;
	size_t count;
	int64_t applied; /* steps done so far; out */
	bool did_one;	 /* out */
};

static enum err make_table(struct call *call, struct db_tx *tx, void *arg)
{
	return tx->db->driver->script(call, tx,
				      "CREATE TABLE IF NOT EXISTS schema_version ("
				      " version INTEGER NOT NULL PRIMARY KEY,"
				      " name TEXT NOT NULL,"
				      " applied_at INTEGER NOT NULL)");
}

/* Steps done so far; the last one must be of this list, or the database is somebody else's. */
static enum err read_version(struct call *call, struct db_tx *tx, const struct step *s,
			     int64_t *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx,
			   "SELECT version, name FROM schema_version ORDER BY version DESC LIMIT 1",
			   NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	*ret = e ? 0 : db_int(rows, 0);
	if (!e && *ret >= 1 && *ret <= (int64_t)s->count &&
	    !bytes_equal(db_bytes(rows, 1), bytes_str(s->list[*ret - 1].name)))
		e = call_fail(
			call, ERR_PRECONDITION,
			"the database is of another program: its step %lld is \"%.*s\", not \"%s\"",
			(long long)*ret, (int)db_bytes(rows, 1).len,
			(const char *)db_bytes(rows, 1).data, s->list[*ret - 1].name);
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* Does the next step, if there is one. */
static enum err migrate_one(struct call *call, struct db_tx *tx, void *arg)
{
	struct step *s = arg;

	s->did_one = false;
	TRY_PLAIN(tx->db->driver->lock_schema(call, tx));
	TRY_PLAIN(read_version(call, tx, s, &s->applied));
	if (s->applied > (int64_t)s->count)
		return call_fail(
			call, ERR_PRECONDITION,
			"the database is of a newer program (schema %lld, this one knows %zu); "
			"use the newer program",
			(long long)s->applied, s->count);
	if (s->applied == (int64_t)s->count)
		return OK;
	const struct db_migration *m = &s->list[s->applied];
	TRY(tx->db->driver->script(call, tx, m->sql), "migration \"%s\"", m->name);
	TRY_PLAIN(DB_EXEC(
		call, tx,
		"INSERT INTO schema_version (version, name, applied_at) VALUES ($1, $2, $3)", NULL,
		DB_V_INT(s->applied + 1), DB_V_TEXT(bytes_str(m->name)),
		DB_V_INT(os_clock_unix_ns())));
	s->did_one = true;
	return OK;
}

enum err db_migrate(struct call *call, struct db *db, const struct db_migration *list, size_t count)
{
	struct step s = { .list = list, .count = count };
	enum err e = ERR_EXISTS;

	/* Two that make the table at the same moment: one of them finds it made (PostgreSQL). */
	for (unsigned tries = 0; e == ERR_EXISTS && tries < DB_TRIES_MAX; tries++)
		e = db_write(call, db, make_table, NULL);
	TRY(e, "prepare the database");
	do {
		TRY(db_write(call, db, migrate_one, &s), "migrate the database");
		if (s.did_one)
			log_debug("migrated", F_STR("step", list[s.applied].name));
	} while (s.did_one);
	call_clear_error(call);
	return OK;
}
