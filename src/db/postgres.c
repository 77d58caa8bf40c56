/*
 * The PostgreSQL driver: a pool of connections; each change a serializable transaction of its own,
 * run again after conflicts and after a connection lost before COMMIT.  A server that restarts
 * costs some retries.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "db/postgres_gate.h"
#include "db/postgres_gather.h"
#include "os/clock.h"
#include "os/random.h"

enum {
	/* Of several that meet at one row all but one lose each time; on a slow machine the same
	 * one loses often, and to its caller that would be a failure. */
	CONFLICT_TRIES_MAX = 30,
	OID_BOOL = 16,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_NUMERIC = 1700,
	NUMERIC_HEAD_BYTES = 8,
	NUMERIC_BASE = 10000,
};
#define BACKOFF_FIRST_NS (5 * NS_PER_MS)
#define BACKOFF_LOST_NS (100 * NS_PER_MS)
#define BACKOFF_NS_MAX (250 * NS_PER_MS)
#define BACKOFF_LOST_NS_MAX (1 * NS_PER_SEC)
/* More than the server gives a statement: the last ones may go with COMMIT. */
#define COMMIT_NS_MAX (150 * NS_PER_SEC)

struct pg_db {
	struct db db;
	struct pg_pool pool;
	struct pg_gather gather;
	struct pg_gate gate;
};

struct pg_tx {
	struct db_tx tx;
	struct pg_conn *conn; /* NULL: a look-up that goes with others */
	enum pg_fate fate;    /* of the statement that failed */
};

struct pg_rows {
	struct db_rows rows;
	PGresult *res;
	int at; /* -1 before the first */
};

static struct pg_db *pg_of(struct db *db)
{
	return (struct pg_db *)(void *)db;
}

static struct pg_tx *tx_of(struct db_tx *tx)
{
	return (struct pg_tx *)(void *)tx;
}

static struct pg_rows *rows_of(const struct db_rows *rows)
{
	return (struct pg_rows *)(uintptr_t)rows;
}

/* ---- transactions ---- */

/* COMMIT: its outcome is waited for even if the call ends meanwhile. */
static enum err commit(struct call *call, struct pg_tx *tx)
{
	AUTO_CALL struct call own = CALL_INIT;

	if (!pg_conn_has_begun(tx->conn))
		return OK; /* there was no statement */
	call_init(&own);
	os_call_limit(&own, COMMIT_NS_MAX);
	int64_t begun = db_statement_begin(tx->tx.db);
	enum err e = pg_conn_commit(&own, tx->conn, &tx->fate);
	db_statement_end(call, tx->tx.db, "COMMIT", begun);
	if (!e)
		return OK;
	call_copy_error(call, &own);
	if (tx->fate != PG_UNSURE)
		return e;
	tx->fate = PG_FINAL;
	return call_wrap(call, ERR_UNCERTAIN,
			 "the database did not say whether the change was made");
}

/* How a transaction is begun; one statement is a snapshot by itself. */
enum pg_kind { PG_WRITE, PG_READ, PG_READ_ONE, PG_LOOK_UP };

static bool has_transaction(enum pg_kind kind)
{
	return kind == PG_WRITE || kind == PG_READ;
}

/* What a transaction that gets no connection is to do. */
static enum err take_conn(struct call *call, struct pg_db *p, struct pg_tx *tx)
{
	enum err e = pg_pool_get(call, &p->pool, &tx->conn);

	if (e)
		tx->fate = e == ERR_UNAVAILABLE ? PG_LOST : PG_FINAL;
	return e;
}

static void begin(struct pg_tx *tx, enum pg_kind kind)
{
	if (has_transaction(kind))
		pg_conn_begin(tx->conn, kind == PG_READ
						? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
						: "BEGIN ISOLATION LEVEL SERIALIZABLE");
}

static enum err run_once(struct call *call, struct pg_db *p, enum pg_kind kind, db_work *work,
			 void *arg, enum pg_fate *ret_fate)
{
	struct pg_tx tx = {
		.tx = { .db = &p->db, .read_only = kind != PG_WRITE, .one = !has_transaction(kind) }
	};
	enum err e = kind == PG_LOOK_UP ? OK : take_conn(call, p, &tx);

	*ret_fate = tx.fate;
	if (e)
		return e;
	begin(&tx, kind);
	call_clear_error(call);
	e = work(call, &tx.tx, arg);
	/* A conflict counts even if work took it for something else. */
	if (!e && tx.tx.failed)
		e = call_wrap(call, ERR_ABORTED, "a statement of this transaction had failed");
	if (!e && kind == PG_WRITE)
		e = commit(call, &tx);
	else if (has_transaction(kind) && pg_conn_has_begun(tx.conn))
		pg_conn_abandon(tx.conn);
	*ret_fate = e ? tx.fate : PG_FINAL;
	if (*ret_fate == PG_LOST)
		pg_pool_drop_idle(&p->pool);
	if (tx.conn) {
		pg_conn_begin(tx.conn, NULL);
		pg_pool_put(&p->pool, tx.conn);
	}
	return e;
}

static int64_t backoff_ns(unsigned tries, enum pg_fate fate)
{
	bool lost = fate == PG_LOST;
	int64_t ns = lost ? BACKOFF_LOST_NS : BACKOFF_FIRST_NS;

	/* The first lost connection is mostly an idle one that a restart cut. */
	if (lost && tries == 0)
		return 0;
	ns = MIN(ns << MIN(tries, 8U), lost ? BACKOFF_LOST_NS_MAX : BACKOFF_NS_MAX);
	return ns / 2 + (int64_t)os_random_below((uint64_t)ns);
}

/* Changes go through the gate. */
static enum err run_in_turn(struct call *call, struct pg_db *p, enum pg_kind kind, db_work *work,
			    void *arg, enum pg_fate *ret_fate)
{
	if (kind != PG_WRITE)
		return run_once(call, p, kind, work, arg, ret_fate);
	*ret_fate = PG_FINAL;
	TRY_PLAIN(pg_gate_enter(call, &p->gate));
	enum err e = run_once(call, p, kind, work, arg, ret_fate);
	pg_gate_leave(&p->gate, *ret_fate == PG_AGAIN);
	return e;
}

static enum err run(struct call *call, struct db *db, enum pg_kind kind, db_work *work, void *arg)
{
	struct pg_db *p = pg_of(db);
	unsigned lost = 0;

	for (unsigned tries = 0;; tries++) {
		enum pg_fate fate;
		enum err e = run_in_turn(call, p, kind, work, arg, &fate);
		lost += fate == PG_LOST;
		if (!e || fate == PG_FINAL || lost >= DB_TRIES_MAX ||
		    tries + 1 >= CONFLICT_TRIES_MAX)
			return e;
		AUTO_CALL struct call probe = CALL_INIT;
		call_init_child(&probe, call);
		/* What went wrong says more than that the time is up. */
		if (os_sleep(&probe, backoff_ns(tries, fate)))
			return e;
	}
}

static enum err pg_write(struct call *call, struct db *db, db_work *work, void *arg)
{
	return run(call, db, PG_WRITE, work, arg);
}

static enum err pg_read(struct call *call, struct db *db, enum db_reading how, db_work *work,
			void *arg)
{
	static const enum pg_kind kinds[] = {
		[DB_READ] = PG_READ, [DB_READ_ONE] = PG_READ_ONE, [DB_LOOK_UP] = PG_LOOK_UP
	};

	return run(call, db, kinds[how], work, arg);
}

/* ---- statements ---- */

static enum err failed(struct pg_tx *tx, enum err e, enum pg_fate fate)
{
	tx->tx.failed = true;
	tx->fate = fate;
	return e;
}

static enum err pg_exec(struct call *call, struct db_tx *dtx, const char *sql,
			const struct db_value *values, size_t count, int64_t *ret_changed)
{
	struct pg_tx *tx = tx_of(dtx);
	AUTO(result_auto) PGresult *res = NULL;
	enum pg_fate fate = PG_FINAL;
	enum err e = ret_changed ? pg_conn_exec(call, tx->conn, sql, values, count, &fate, &res)
				 : pg_conn_queue(call, tx->conn, sql, values, count, &fate);

	if (e)
		return failed(tx, e, fate);
	uint64_t n = 0;
	if (ret_changed && text_u64(bytes_str(PQcmdTuples(res)), INT64_MAX, &n))
		n = 0; /* a statement that counts nothing */
	if (ret_changed)
		*ret_changed = (int64_t)n;
	return OK;
}

/* Together with those of others; without a result the transaction has a connection of its own. */
static enum err look_up(struct call *call, struct pg_tx *tx, const char *sql,
			const struct db_value *values, size_t count, PGresult **ret)
{
	struct pg_db *p = pg_of(tx->tx.db);
	enum err e = pg_gather_run(call, &p->gather, &p->pool, sql, values, count, ret);

	if (e)
		return failed(tx, e, PG_FINAL);
	if (*ret)
		return OK;
	e = take_conn(call, p, tx);
	return e ? failed(tx, e, tx->fate) : OK;
}

static enum err pg_query(struct call *call, struct db_tx *dtx, const char *sql,
			 const struct db_value *values, size_t count, struct db_rows **ret)
{
	struct pg_tx *tx = tx_of(dtx);
	AUTO_FREE struct pg_rows *rows = calloc(1, sizeof(*rows));
	enum pg_fate fate = PG_FINAL;

	if (!rows)
		return failed(tx, call_fail(call, ERR_NO_MEMORY, "out of memory"), fate);
	rows->rows.tx = dtx;
	rows->at = -1;
	if (!tx->conn) {
		TRY_PLAIN(look_up(call, tx, sql, values, count, &rows->res));
		if (rows->res) {
			*ret = &take(&rows)->rows;
			return OK;
		}
	}
	enum err e = pg_conn_exec(call, tx->conn, sql, values, count, &fate, &rows->res);
	if (e)
		return failed(tx, e, fate);
	*ret = &take(&rows)->rows;
	return OK;
}

static enum err pg_next(struct call *call, struct db_rows *rows)
{
	struct pg_rows *r = rows_of(rows);

	if (r->at + 1 >= PQntuples(r->res))
		return ERR_NOT_FOUND;
	r->at++;
	return OK;
}

static void pg_rows_free(struct db_rows *rows)
{
	struct pg_rows *r = rows_of(rows);

	PQclear(r->res);
	free(r);
}

static bool pg_is_null(const struct db_rows *rows, unsigned column)
{
	return PQgetisnull(rows_of(rows)->res, rows_of(rows)->at, (int)column) != 0;
}

static struct bytes pg_bytes(const struct db_rows *rows, unsigned column)
{
	struct pg_rows *r = rows_of(rows);

	return BYTES(PQgetvalue(r->res, r->at, (int)column),
		     (size_t)PQgetlength(r->res, r->at, (int)column));
}

/* Binary NUMERIC, which SUM over INTEGER gives: digits of base 10000 from weight downwards. */
static int64_t numeric(struct bytes v)
{
	int64_t sum = 0;

	if (v.len < NUMERIC_HEAD_BYTES)
		return 0;
	unsigned digits = get_be16(v.data);
	int weight = (int16_t)get_be16(v.data + 2);
	bool negative = get_be16(v.data + 4) != 0;
	for (int i = 0; i <= weight; i++) {
		size_t at = NUMERIC_HEAD_BYTES + 2 * (size_t)i;
		int64_t digit = (unsigned)i < digits && at + 2 <= v.len ? get_be16(v.data + at) : 0;
		if (__builtin_mul_overflow(sum, NUMERIC_BASE, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return negative ? INT64_MIN : INT64_MAX;
	}
	return negative ? -sum : sum;
}

static int64_t pg_integer(const struct db_rows *rows, unsigned column)
{
	struct bytes v = pg_bytes(rows, column);

	switch (PQftype(rows_of(rows)->res, (int)column)) {
	case OID_NUMERIC:
		return numeric(v);
	case OID_INT2:
		return v.len == 2 ? (int16_t)get_be16(v.data) : 0;
	case OID_INT4:
		return v.len == 4 ? (int32_t)get_be32(v.data) : 0;
	case OID_BOOL:
		return v.len == 1 ? v.data[0] : 0;
	default:
		return v.len == 8 ? (int64_t)get_be64(v.data) : 0;
	}
}

static enum err pg_script(struct call *call, struct db_tx *dtx, const char *sql)
{
	struct pg_tx *tx = tx_of(dtx);
	enum pg_fate fate = PG_FINAL;
	enum err e = pg_conn_run(call, tx->conn, sql, &fate, NULL);

	return e ? failed(tx, e, fate) : OK;
}

/* Before the transaction's snapshot is taken, so that it sees what the last one did.  Building an
 * index may take its time. */
static enum err pg_lock_schema(struct call *call, struct db_tx *tx)
{
	return pg_script(call, tx,
			 "SET LOCAL statement_timeout = 0;"
			 "LOCK TABLE schema_version IN EXCLUSIVE MODE");
}

static enum err pg_backup(struct call *call, struct db *db, const char *path)
{
	return call_fail(
		call, ERR_UNIMPLEMENTED,
		"the database is PostgreSQL: back it up with pg_dump, or with your server's "
		"own tools");
}

static void pg_close(struct db *db)
{
	struct pg_db *p = pg_of(db);

	pg_gather_fini(&p->gather);
	pg_gate_fini(&p->gate);
	pg_pool_fini(&p->pool);
	free(p);
}

static const struct db_driver pg_driver = {
	.close = pg_close,
	.write = pg_write,
	.read = pg_read,
	.exec = pg_exec,
	.query = pg_query,
	.next = pg_next,
	.rows_free = pg_rows_free,
	.is_null = pg_is_null,
	.integer = pg_integer,
	.bytes = pg_bytes,
	.script = pg_script,
	.lock_schema = pg_lock_schema,
	.backup = pg_backup,
};

enum err postgres_open(struct call *call, const char *url, struct db **ret)
{
	struct pg_conn *c = NULL;
	struct pg_db *p = calloc(1, sizeof(*p));

	if (!p || !(p->pool.url = strdup(url))) {
		free(p);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	p->db.driver = &pg_driver;
	pg_gather_init(&p->gather);
	pg_gate_init(&p->gate);
	/* A wrong URL shows at once. */
	enum err e = pg_pool_get(call, &p->pool, &c);
	if (e) {
		pg_close(&p->db);
		return e;
	}
	pg_pool_put(&p->pool, c);
	*ret = &p->db;
	return OK;
}
