/* The front of both drivers. */
#include "db/db.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/num.h"
#include "db/db_internal.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"

#define FULL_TOLD_NS (60 * NS_PER_SEC)

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum err db_open(struct call *call, const char *url, struct db **ret)
{
	if (has_prefix(url, "postgres://") || has_prefix(url, "postgresql://"))
		return postgres_open(call, url, ret);
	const char *path = has_prefix(url, "sqlite:") ? url + strlen("sqlite:") : url;
	if (!path[0])
		return call_fail(
			call, ERR_CONFIG,
			"the database URL is empty (want sqlite:<path> or postgres://...)");
	if (path == url && strstr(url, "://"))
		return call_fail(call, ERR_CONFIG,
				 "database \"%s\": want sqlite:<path> or postgres://user@host/name",
				 url);
	return sqlite_open(call, path, os_simulated(), ret);
}

enum err db_keep_log(struct call *call, struct db *db)
{
	return db->driver->keep_log ? db->driver->keep_log(call, db) : OK;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	unsigned shares = db->shares;
	while (shares) {
		if (atomic_compare_exchange_weak(&db->shares, &shares, shares - 1))
			return;
	}
	db->driver->close(db);
}

struct db *db_share(struct db *db)
{
	db->shares++;
	return db;
}

bool db_is_sqlite(const struct db *db)
{
	return db->driver->is_sqlite;
}

/* ---- what is observed ---- */

void db_observe(struct db *db, const struct db_observer *observer)
{
	db->observer = *observer;
}

unsigned db_waiting(const struct db *db)
{
	return db->waiting;
}

static int64_t begin_wait(struct db *db)
{
	if (!db->observer.transaction)
		return 0;
	db->waiting++;
	return os_clock_mono_ns();
}

static void end_wait(struct db *db, bool writes, int64_t begun_ns)
{
	if (!db->observer.transaction)
		return;
	db->waiting--;
	db->observer.transaction(db->observer.arg, writes, os_clock_mono_ns() - begun_ns);
}

int64_t db_statement_begin(const struct db *db)
{
	return db->observer.statement ? os_clock_mono_ns() : 0;
}

void db_statement_end(const struct call *call, const struct db *db, const char *sql,
		      int64_t begun_ns)
{
	const struct db_observer *o = &db->observer;

	if (o->statement)
		o->statement(o->arg, call, sql, os_clock_mono_ns() - begun_ns);
}

/* ---- no room ---- */

/* Only what changed something proves that there is room. */
struct proof {
	db_work *work;
	void *arg;
	bool changed;
};

static enum err run_proof(struct call *call, struct db_tx *tx, void *arg)
{
	struct proof *p = arg;
	enum err e = p->work(call, tx, p->arg);

	p->changed = tx->changed;
	return e;
}

static void tell_full(struct call *call, struct db *db)
{
	int64_t now_ns = os_clock_mono_ns();

	/* On the edge it comes and goes. */
	if (!atomic_exchange(&db->full, true) &&
	    (!db->full_told_ns || now_ns - db->full_told_ns > FULL_TOLD_NS)) {
		db->full_told_ns = now_ns;
		log_error("the database has no room: reads are served, changes are refused until "
			  "there is some",
			  F_STR("error", call->error));
	}
}

static enum err write_full(struct call *call, struct db *db, db_work *work, void *arg)
{
	struct proof p = { work, arg, false };
	enum err e = db->driver->write(call, db, run_proof, &p);

	if (!e && p.changed && atomic_exchange(&db->full, false))
		log_info("the database has room again");
	return e;
}

/* ---- transactions ---- */

enum err db_write(struct call *call, struct db *db, db_work *work, void *arg)
{
	int64_t begun = begin_wait(db);
	enum err e = db->full ? write_full(call, db, work, arg)
			      : db->driver->write(call, db, work, arg);

	end_wait(db, true, begun);
	if (e == ERR_NO_SPACE)
		tell_full(call, db);
	return e;
}

static enum err read_some(struct call *call, struct db *db, enum db_reading how, db_work *work,
			  void *arg)
{
	int64_t begun = begin_wait(db);
	enum err e = db->driver->read(call, db, how, work, arg);

	end_wait(db, false, begun);
	return e;
}

enum err db_read(struct call *call, struct db *db, db_work *work, void *arg)
{
	return read_some(call, db, DB_READ, work, arg);
}

enum err db_read_one(struct call *call, struct db *db, db_work *work, void *arg)
{
	return read_some(call, db, DB_READ_ONE, work, arg);
}

enum err db_look_up(struct call *call, struct db *db, db_work *work, void *arg)
{
	return read_some(call, db, DB_LOOK_UP, work, arg);
}

void db_trace(struct db *db, db_trace_fn *fn, void *arg)
{
	db->trace_arg = arg;
	db->trace = fn;
}

static enum err check(struct call *call, struct db_tx *tx, const char *sql, size_t count)
{
	if (tx->failed)
		return call_wrap(call, ERR_ABORTED, "a statement of this transaction had failed");
	assert(count <= DB_VALUES_MAX);
	if (tx->one && tx->statements) {
		tx->failed = true;
		return call_fail(call, ERR_INTERNAL, "a second statement where one was announced");
	}
	tx->statements++;
	if (tx->db->trace)
		tx->db->trace(tx->db->trace_arg, sql);
	return OK;
}

enum err db_exec(struct call *call, struct db_tx *tx, const char *sql,
		 const struct db_value *values, size_t count, int64_t *ret_changed)
{
	TRY_PLAIN(check(call, tx, sql, count));
	if (tx->read_only) {
		tx->failed = true;
		return call_fail(call, ERR_INTERNAL, "a change in a reading transaction");
	}
	int64_t begun = db_statement_begin(tx->db);
	int64_t changed = 0;
	/* Whether there is room again is told by what changed. */
	bool counted = ret_changed || tx->db->full;
	enum err e = tx->db->driver->exec(call, tx, sql, values, count, counted ? &changed : NULL);
	db_statement_end(call, tx->db, sql, begun);
	tx->changed |= changed > 0;
	if (!e && ret_changed)
		*ret_changed = changed;
	return e;
}

enum err db_query(struct call *call, struct db_tx *tx, const char *sql,
		  const struct db_value *values, size_t count, struct db_rows **ret)
{
	TRY_PLAIN(check(call, tx, sql, count));
	int64_t begun = db_statement_begin(tx->db);
	enum err e = tx->db->driver->query(call, tx, sql, values, count, ret);
	if (e) {
		db_statement_end(call, tx->db, sql, begun);
		return e;
	}
	(*ret)->call = call;
	(*ret)->sql = sql;
	(*ret)->begun_ns = begun;
	return OK;
}

enum err db_rows_next(struct call *call, struct db_rows *rows)
{
	return rows->tx->db->driver->next(call, rows);
}

void db_rows_free(struct db_rows *rows)
{
	if (!rows)
		return;
	db_statement_end(rows->call, rows->tx->db, rows->sql, rows->begun_ns);
	rows->tx->db->driver->rows_free(rows);
}

bool db_is_null(const struct db_rows *rows, unsigned column)
{
	return rows->tx->db->driver->is_null(rows, column);
}

int64_t db_int(const struct db_rows *rows, unsigned column)
{
	return rows->tx->db->driver->integer(rows, column);
}

struct bytes db_bytes(const struct db_rows *rows, unsigned column)
{
	return rows->tx->db->driver->bytes(rows, column);
}

enum err db_backup(struct call *call, struct db *db, const char *path)
{
	return db->driver->backup(call, db, path);
}

uint64_t db_sql_hash(const char *sql)
{
	uint64_t h = 14695981039346656037U; /* FNV-1a, of eight bytes at a time */
	size_t len = strlen(sql);

	for (; len >= 8; sql += 8, len -= 8) {
		h = (h ^ get_le64((const uint8_t *)sql)) * 1099511628211U;
		h ^= h >> 32;
	}
	for (; *sql; sql++)
		h = (h ^ (uint8_t)*sql) * 1099511628211U;
	return h;
}
