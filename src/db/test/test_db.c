/* Both drivers by one set of tests: `test_db sqlite|vfs|postgres` (vfs: SQLite on our own VFS). */
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "db/db_internal.h"
#include "db/postgres_gate.h"
#include "db/postgres_pool.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/random.h"
#include "os/socket.h"
#include "os/thread.h"

enum { THREADS = 8, ROUNDS = 100 };

static const char *kind = "sqlite";
static char dir[256];
static unsigned databases;

static bool is_postgres(void)
{
	return strcmp(kind, "postgres") == 0;
}

static const struct db_migration first_steps[] = {
	{ "things", "CREATE TABLE things (id BLOB NOT NULL PRIMARY KEY, n INTEGER, t TEXT, b BLOB);"
		    "CREATE INDEX things_n ON things (n)" },
	{ "children", "CREATE TABLE children (id INTEGER NOT NULL PRIMARY KEY,"
		      " thing BLOB NOT NULL REFERENCES things (id)) WITHOUT ROWID" },
};
static const struct db_migration all_steps[] = {
	{ "things", "never run again" },
	{ "children", "never run again" },
	{ "counter",
	  "CREATE TABLE counter (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL);"
	  "INSERT INTO counter (id, n) VALUES (1, 0); -- a comment; with a semicolon\n" },
};

/* Work that runs one statement after another of the list, by its own arg. */
struct none {
	int unused;
};

static enum err wipe(struct call *call, struct db_tx *tx, void *arg)
{
	return tx->db->driver->script(
		call, tx,
		"DROP TABLE IF EXISTS counter; DROP TABLE IF EXISTS children;"
		"DROP TABLE IF EXISTS things; DROP TABLE IF EXISTS schema_version");
}

static const char *sqlite_path(struct call *call)
{
	return arena_printf(&call->scratch, "%s/db%u", dir, databases);
}

static struct db *open_again(struct call *call)
{
	struct db *db = NULL;
	enum err e;

	if (is_postgres())
		e = db_open(call, os_getenv("ACRE_TEST_POSTGRES"), &db);
	else
		e = sqlite_open(call, sqlite_path(call), strcmp(kind, "vfs") == 0, &db);
	if (e)
		fail_msg("open: %s", call_error(call, e));
	return db;
}

/* A fresh, migrated database. */
static struct db *open_new(struct call *call)
{
	databases++;
	struct db *db = open_again(call);

	assert_int_equal(db_is_sqlite(db), !is_postgres());
	if (is_postgres())
		assert_int_equal(db_write(call, db, wipe, NULL), OK);
	enum err e = db_migrate(call, db, first_steps, ARRAY_LEN(first_steps));
	if (!e)
		e = db_migrate(call, db, all_steps, ARRAY_LEN(all_steps));
	if (e)
		fail_msg("migrate: %s", call_error(call, e));
	return db;
}

static void migrations(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(db_migrate(&call, db, all_steps, ARRAY_LEN(all_steps)), OK);
	db_close(db);
	db = open_again(&call);
	assert_int_equal(db_migrate(&call, db, all_steps, ARRAY_LEN(all_steps)), OK);
	assert_int_equal(db_migrate(&call, db, first_steps, ARRAY_LEN(first_steps)),
			 ERR_PRECONDITION);
	assert_non_null(strstr(call.error, "newer"));
	const struct db_migration foreign[] = { all_steps[0],
						all_steps[1],
						{ "other", "never run" } };
	assert_int_equal(db_migrate(&call, db, foreign, ARRAY_LEN(foreign)), ERR_PRECONDITION);
	assert_non_null(strstr(call.error, "another program"));
	/* A step that fails changes nothing and can be repeated when it is repaired. */
	const struct db_migration bad[] = {
		all_steps[0],
		all_steps[1],
		all_steps[2],
		{ "bad", "CREATE TABLE half (n INTEGER); SELECT * FROM nowhere" }
	};
	assert_int_not_equal(db_migrate(&call, db, bad, ARRAY_LEN(bad)), OK);
	assert_non_null(strstr(call.error, "bad"));
	const struct db_migration good[] = { all_steps[0],
					     all_steps[1],
					     all_steps[2],
					     { "good",
					       "CREATE TABLE half (n INTEGER); DROP TABLE half" } };
	assert_int_equal(db_migrate(&call, db, good, ARRAY_LEN(good)), OK);
	db_close(db);
}

static enum err write_values(struct call *call, struct db_tx *tx, void *arg)
{
	int64_t changed = 0;

	/* Out of order, and one used twice. */
	TRY_PLAIN(DB_EXEC(call, tx, "INSERT INTO things (b, id, n, t) VALUES ($4, $1, $2, $3)",
			  &changed, DB_V_BLOB(BYTES("a\0b", 3)), DB_V_INT(INT64_MIN),
			  DB_V_TEXT(bytes_str("gr\xc3\xbc\xc3\x9f")), DB_V_NULL));
	assert_int_equal(changed, 1);
	TRY_PLAIN(DB_EXEC(call, tx, "INSERT INTO things (id, n, t, b) VALUES ($1, $2, $3, $1)",
			  &changed, DB_V_BLOB(BYTES_NONE), DB_V_INT(INT64_MAX),
			  DB_V_TEXT(BYTES_NONE)));
	/* The same text with values of other kinds. */
	TRY_PLAIN(DB_EXEC(call, tx, "INSERT INTO things (id, n, t, b) VALUES ($1, $2, $3, $1)",
			  &changed, DB_V_BLOB(BYTES("\xff\xfe", 2)), DB_V_NULL, DB_V_NULL));
	TRY_PLAIN(DB_EXEC(call, tx, "UPDATE things SET t = $1 WHERE n = $2", &changed,
			  DB_V_TEXT(bytes_str("x")), DB_V_INT(4711)));
	assert_int_equal(changed, 0);
	return OK;
}

static enum err read_values(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT id, n, t, b FROM things ORDER BY id LIMIT $1", &rows,
			   DB_V_INT(10)));
	assert_int_equal(db_rows_next(call, rows), OK);
	assert_false(db_is_null(rows, 0));
	assert_int_equal(db_bytes(rows, 0).len, 0);
	assert_true(db_int(rows, 1) == INT64_MAX);
	assert_false(db_is_null(rows, 2));
	assert_false(db_is_null(rows, 3));
	assert_int_equal(db_rows_next(call, rows), OK);
	assert_true(bytes_equal(db_bytes(rows, 0), BYTES("a\0b", 3)));
	assert_true(db_int(rows, 1) == INT64_MIN);
	assert_true(bytes_equal(db_bytes(rows, 2), bytes_str("gr\xc3\xbc\xc3\x9f")));
	assert_true(db_is_null(rows, 3));
	assert_int_equal(db_bytes(rows, 3).len, 0);
	assert_int_equal(db_rows_next(call, rows), OK);
	assert_true(bytes_equal(db_bytes(rows, 3), BYTES("\xff\xfe", 2)));
	assert_true(db_is_null(rows, 1));
	assert_int_equal(db_int(rows, 1), 0);
	assert_int_equal(db_rows_next(call, rows), ERR_NOT_FOUND);
	assert_int_equal(db_rows_next(call, rows), ERR_NOT_FOUND);
	db_rows_free(rows);
	/* Sums and counts are numbers on both. */
	TRY_PLAIN(db_query(call, tx,
			   "SELECT SUM(v), COUNT(*), MAX(v) FROM (SELECT 5000000000 AS v UNION ALL "
			   "SELECT -20007) AS x",
			   NULL, 0, &rows));
	assert_int_equal(db_rows_next(call, rows), OK);
	assert_true(db_int(rows, 0) == INT64_C(5000000000) - 20007);
	assert_int_equal(db_int(rows, 1), 2);
	assert_true(db_int(rows, 2) == INT64_C(5000000000));
	db_rows_free(rows);
	return OK;
}

static void values(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(db_write(&call, db, write_values, NULL), OK);
	enum err e = db_read(&call, db, read_values, NULL);
	if (e)
		fail_msg("%s", call_error(&call, e));
	db_close(db);
	db = open_again(&call);
	assert_int_equal(db_read(&call, db, read_values, NULL), OK);
	db_close(db);
}

static enum err insert_thing(struct call *call, struct db_tx *tx, void *arg)
{
	const char *id = arg;

	return DB_EXEC(call, tx, "INSERT INTO things (id) VALUES ($1)", NULL,
		       DB_V_BLOB(bytes_str(id)));
}

static enum err insert_child(struct call *call, struct db_tx *tx, void *arg)
{
	const char *thing = arg;

	return DB_EXEC(call, tx, "INSERT INTO children (id, thing) VALUES ($1, $2)", NULL,
		       DB_V_INT(1), DB_V_BLOB(bytes_str(thing)));
}

static enum err change_then_fail(struct call *call, struct db_tx *tx, void *arg)
{
	TRY_PLAIN(insert_thing(call, tx, (void *)(uintptr_t) "gone"));
	return call_fail(call, ERR_PERMISSION, "on second thoughts");
}

static enum err insert_counted(struct call *call, struct db_tx *tx, const char *id)
{
	int64_t changed = 0;

	return DB_EXEC(call, tx, "INSERT INTO things (id) VALUES ($1)", &changed,
		       DB_V_BLOB(bytes_str(id)));
}

/* A failed statement is the end of the transaction, whatever work makes of it. */
static enum err go_on_after_failure(struct call *call, struct db_tx *tx, void *arg)
{
	assert_int_equal(insert_counted(call, tx, "twice"), OK);
	assert_int_equal(insert_counted(call, tx, "twice"), ERR_EXISTS);
	assert_int_equal(insert_counted(call, tx, "other"), ERR_ABORTED);
	return OK;
}

static enum err count_things(struct call *call, struct db_tx *tx, void *arg)
{
	int64_t *n = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT COUNT(*) FROM things", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	*n = e ? -1 : db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static int64_t things(struct call *call, struct db *db)
{
	int64_t n = -1;

	assert_int_equal(db_read(call, db, count_things, &n), OK);
	return n;
}

static enum err write_in_read(struct call *call, struct db_tx *tx, void *arg)
{
	return insert_thing(call, tx, (void *)(uintptr_t) "sneaky");
}

static enum err bad_sql(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, "INSERT INTO nowhere (x) VALUES (1)", NULL, 0, NULL);
}

static enum err upsert(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	for (int64_t i = 1; i <= 2; i++) {
		TRY_PLAIN(DB_QUERY(call, tx,
				   "INSERT INTO things (id, n) VALUES ($1, $2) ON CONFLICT (id) DO "
				   "UPDATE SET n = things.n + excluded.n RETURNING n",
				   &rows, DB_V_BLOB(bytes_str("u")), DB_V_INT(i)));
		assert_int_equal(db_rows_next(call, rows), OK);
		assert_int_equal(db_int(rows, 0), i == 1 ? 1 : 3);
		db_rows_free(rows);
	}
	return OK;
}

static void failures(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(db_write(&call, db, insert_thing, (void *)(uintptr_t) "a"), OK);
	assert_int_equal(db_write(&call, db, insert_thing, (void *)(uintptr_t) "a"), ERR_EXISTS);
	assert_int_equal(db_write(&call, db, insert_child, (void *)(uintptr_t) "a"), OK);
	assert_int_equal(db_write(&call, db, insert_child, (void *)(uintptr_t) "none"), ERR_EXISTS);
	assert_int_equal(db_write(&call, db, change_then_fail, NULL), ERR_PERMISSION);
	assert_string_equal(call.error, "on second thoughts");
	assert_int_equal(db_write(&call, db, go_on_after_failure, NULL), ERR_ABORTED);
	assert_int_equal(db_write(&call, db, bad_sql, NULL), ERR_INTERNAL);
	assert_non_null(strstr(call.error, "nowhere"));
	assert_int_equal(db_read(&call, db, write_in_read, NULL), ERR_INTERNAL);
	assert_int_equal(things(&call, db), 1);
	assert_int_equal(db_write(&call, db, upsert, NULL), OK);
	assert_int_equal(things(&call, db), 2);
	db_close(db);
}

/* ---- statements without an answer, which may travel with others ---- */

enum { MANY = 100 };

static enum err insert_many(struct call *call, struct db_tx *tx, void *arg)
{
	const int *bad = arg; /* the one that is there already */

	for (int i = 0; i < MANY; i++) {
		char id[16];
		snprintf(id, sizeof(id), "many%d", i == *bad ? i - 1 : i);
		TRY_PLAIN(insert_thing(call, tx, id));
	}
	return OK;
}

static enum err count_after_twice(struct call *call, struct db_tx *tx, void *arg)
{
	int64_t n = 0;
	enum err e = insert_thing(call, tx, (void *)(uintptr_t) "twice");

	if (!e)
		e = insert_thing(call, tx, (void *)(uintptr_t) "twice");
	if (!e)
		e = count_things(call, tx, &n);
	assert_int_equal(e, ERR_EXISTS);
	assert_int_equal(count_things(call, tx, &n), ERR_ABORTED);
	return e;
}

static enum err twice_then_fail(struct call *call, struct db_tx *tx, void *arg)
{
	enum err e = insert_thing(call, tx, (void *)(uintptr_t) "twice");

	if (!e)
		e = insert_thing(call, tx, (void *)(uintptr_t) "twice");
	return call_fail(call, ERR_PERMISSION, "on second thoughts");
}

static enum err bad_then_good(struct call *call, struct db_tx *tx, void *arg)
{
	TRY_PLAIN(insert_thing(call, tx, (void *)(uintptr_t) "good"));
	TRY_PLAIN(db_exec(call, tx, "UPDATE things SET n = 1 / (length(id) - 4)", NULL, 0, NULL));
	return insert_thing(call, tx, (void *)(uintptr_t) "better");
}

static enum err backend(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT CAST(pg_backend_pid() AS BIGINT)", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	*(int64_t *)arg = e ? -1 : db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static void without_answers(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	int64_t before = 0, after = 0;
	int none = -1, last = MANY - 1, middle = MANY / 2;

	call_init(&call);
	struct db *db = open_new(&call);
	if (is_postgres())
		assert_int_equal(db_read(&call, db, backend, &before), OK);
	assert_int_equal(db_write(&call, db, insert_many, &middle), ERR_EXISTS);
	assert_int_equal(db_write(&call, db, insert_many, &last), ERR_EXISTS);
	assert_int_equal(things(&call, db), 0);
	assert_int_equal(db_write(&call, db, insert_many, &none), OK);
	assert_int_equal(things(&call, db), MANY);
	assert_int_equal(db_write(&call, db, count_after_twice, NULL), ERR_EXISTS);
	assert_int_equal(db_write(&call, db, twice_then_fail, NULL), ERR_PERMISSION);
	assert_string_equal(call.error, "on second thoughts");
	assert_int_equal(things(&call, db), MANY);
	if (is_postgres()) {
		/* What failed says which it was, be it sent with what else. */
		assert_int_equal(db_write(&call, db, bad_then_good, NULL), ERR_INVALID);
		assert_int_equal(db_write(&call, db, bad_sql, NULL), ERR_INTERNAL);
		assert_non_null(strstr(call.error, "nowhere"));
		assert_int_equal(things(&call, db), MANY);
		/* And all this was one and the same connection. */
		assert_int_equal(db_read(&call, db, backend, &after), OK);
		assert_true(before == after);
	}
	db_close(db);
}

static enum err child_of_nobody(struct call *call, struct db_tx *tx, void *arg)
{
	return DB_EXEC(call, tx, "INSERT INTO children (id, thing) VALUES ($1, $2)", NULL,
		       DB_V_INT(9), DB_V_BLOB(bytes_str("nobody")));
}

static void foreign_keys(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(db_write(&call, db, child_of_nobody, NULL), ERR_PRECONDITION);
	db_close(db);
}

/* ---- the gate of changes ---- */

enum { GATE_MIN = 3, GATE_MAX = PG_CONNS_MAX };

static void gate_passed(struct call *call, struct pg_gate *g, unsigned times, bool conflict)
{
	for (unsigned i = 0; i < times; i++) {
		assert_int_equal(pg_gate_enter(call, g), OK);
		pg_gate_leave(g, conflict);
	}
}

static void gate_width(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct pg_gate g;

	call_init(&call);
	pg_gate_init(&g);
	assert_int_equal(pg_gate_width(&g), GATE_MAX);
	gate_passed(&call, &g, 1, true);
	assert_in_range(pg_gate_width(&g), GATE_MAX * 3 / 4, GATE_MAX - 1);
	gate_passed(&call, &g, 100, true);
	assert_int_equal(pg_gate_width(&g), GATE_MIN);
	/* One conflict of ten keeps it narrow, one of a thousand does not. */
	for (int i = 0; i < 1000; i++)
		gate_passed(&call, &g, 1, i % 10 == 0);
	assert_in_range(pg_gate_width(&g), GATE_MIN, GATE_MAX / 4);
	gate_passed(&call, &g, 1000, false);
	assert_int_equal(pg_gate_width(&g), GATE_MAX);
	for (int i = 0; i < 3000; i++)
		gate_passed(&call, &g, 1, i % 1000 == 999);
	assert_in_range(pg_gate_width(&g), GATE_MAX * 3 / 4, GATE_MAX);
	pg_gate_fini(&g);
}

struct visitor {
	struct pg_gate *g;
	struct os_thread *thread;
	_Atomic unsigned *inside;
	unsigned most;
};

static void visit(void *arg)
{
	struct visitor *v = arg;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, 60 * NS_PER_SEC);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(pg_gate_enter(&call, v->g), OK);
		unsigned now = ++*v->inside;
		v->most = MAX(v->most, now);
		assert_int_equal(os_sleep(&call, 10000), OK);
		--*v->inside;
		pg_gate_leave(v->g, i % 8 == 0);
	}
}

static void gate_holds(void **state)
{
	enum { VISITORS = 12 };
	AUTO_CALL struct call call = CALL_INIT;
	struct visitor v[VISITORS];
	_Atomic unsigned inside = 0;
	unsigned most = 0;
	struct pg_gate g;

	call_init(&call);
	pg_gate_init(&g);
	gate_passed(&call, &g, 100, true);
	for (int i = 0; i < VISITORS; i++) {
		v[i] = (struct visitor){ .g = &g, .inside = &inside };
		assert_int_equal(os_thread_start(&call, "visitor", visit, &v[i], &v[i].thread), OK);
	}
	for (int i = 0; i < VISITORS; i++) {
		os_thread_join(v[i].thread);
		most = MAX(most, v[i].most);
	}
	assert_int_equal(inside, 0);
	assert_in_range(most, 2, VISITORS - 1);
	/* Whoever finds no place waits as long as its call may. */
	gate_passed(&call, &g, 100, true);
	for (int i = 0; i < GATE_MIN; i++)
		assert_int_equal(pg_gate_enter(&call, &g), OK);
	AUTO_CALL struct call late = CALL_INIT;
	call_init(&late);
	os_call_limit(&late, 10 * NS_PER_MS);
	assert_int_equal(pg_gate_enter(&late, &g), ERR_DEADLINE);
	pg_gate_leave(&g, true);
	assert_int_equal(pg_gate_enter(&call, &g), OK);
	for (int i = 0; i < GATE_MIN; i++)
		pg_gate_leave(&g, true);
	pg_gate_fini(&g);
}

/* ---- many at once ---- */

struct worker {
	struct db *db;
	struct os_thread *thread;
	unsigned number;
	unsigned refused;
	enum err result;
	char error[CALL_ERROR_MAX];
};

/* Reads, then writes what it read plus one: lost updates would show. */
static enum err count_up(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT n FROM counter WHERE id = 1", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	int64_t n = e ? 0 : db_int(rows, 0);
	db_rows_free(rows);
	TRY_PLAIN(e);
	return DB_EXEC(call, tx, "UPDATE counter SET n = $1 WHERE id = 1", NULL, DB_V_INT(n + 1));
}

static enum err count_up_and_fail(struct call *call, struct db_tx *tx, void *arg)
{
	TRY_PLAIN(count_up(call, tx, arg));
	return call_fail(call, ERR_PRECONDITION, "not this one");
}

static void work_hard(void *arg)
{
	struct worker *w = arg;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	for (unsigned i = 0; i < ROUNDS && !w->result; i++) {
		/* Conflicts beyond all retries are the caller's: then it tries again. */
		for (unsigned tries = 0; tries < 50; tries++) {
			w->result = db_write(&call, w->db, count_up, NULL);
			if (w->result != ERR_ABORTED)
				break;
		}
		if (db_write(&call, w->db, count_up_and_fail, NULL) == ERR_PRECONDITION)
			w->refused++;
	}
	if (w->result)
		snprintf(w->error, sizeof(w->error), "%s", call_error(&call, w->result));
}

static enum err read_counter(struct call *call, struct db_tx *tx, void *arg)
{
	int64_t *n = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT n FROM counter WHERE id = 1", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	*n = e ? -1 : db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static void concurrency(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct worker workers[THREADS] = { 0 };
	int64_t n = 0;

	call_init(&call);
	struct db *db = open_new(&call);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].db = db;
		workers[i].number = i;
		assert_int_equal(
			os_thread_start(&call, "w", work_hard, &workers[i], &workers[i].thread),
			OK);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		os_thread_join(workers[i].thread);
		if (workers[i].result)
			fail_msg("worker: %s", workers[i].error);
		if (!is_postgres())
			assert_int_equal(workers[i].refused, ROUNDS);
	}
	assert_int_equal(db_read(&call, db, read_counter, &n), OK);
	assert_int_equal(n, THREADS * ROUNDS);
	db_close(db);
}

/* A read sees one state although the writer goes on meanwhile (not with the single connection of
 * our own VFS, where they take turns). */
static enum err read_twice(struct call *call, struct db_tx *tx, void *arg)
{
	struct db *db = arg;
	int64_t before = 0, after = 0;
	AUTO_CALL struct call other = CALL_INIT;

	call_init(&other);
	TRY_PLAIN(read_counter(call, tx, &before));
	assert_int_equal(db_write(&other, db, count_up, NULL), OK);
	TRY_PLAIN(read_counter(call, tx, &after));
	assert_int_equal(before, after);
	return OK;
}

static void snapshots(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	int64_t n = 0;

	if (strcmp(kind, "vfs") == 0)
		return;
	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(db_read(&call, db, read_twice, db), OK);
	assert_int_equal(db_read(&call, db, read_counter, &n), OK);
	assert_int_equal(n, 1);
	db_close(db);
}

/* More texts than are kept; a query inside a query, of the same text, too. */
static enum err many_statements(struct call *call, struct db_tx *tx, void *arg)
{
	char sql[64];

	for (unsigned i = 0; i < DB_STATEMENTS_MAX + 50; i++) {
		struct db_rows *rows = NULL;
		snprintf(sql, sizeof(sql), "SELECT n + %u FROM counter WHERE id = $1", i);
		TRY_PLAIN(DB_QUERY(call, tx, sql, &rows, DB_V_INT(1)));
		assert_int_equal(db_rows_next(call, rows), OK);
		assert_int_equal(db_int(rows, 0), i);
		struct db_rows *inner = NULL;
		TRY_PLAIN(DB_QUERY(call, tx, sql, &inner, DB_V_INT(1)));
		assert_int_equal(db_rows_next(call, inner), OK);
		assert_int_equal(db_int(inner, 0), i);
		db_rows_free(inner);
		assert_int_equal(db_rows_next(call, rows), ERR_NOT_FOUND);
		db_rows_free(rows);
	}
	return OK;
}

static void statements(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	struct db *db = open_new(&call);
	for (unsigned i = 0; i < 2; i++) {
		enum err e = db_read(&call, db, many_statements, NULL);
		if (e)
			fail_msg("%s", call_error(&call, e));
	}
	db_close(db);
}

/* ---- deadlines ---- */

static enum err endless(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx,
			   "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE "
			   "n < 2000000000) SELECT COUNT(*) FROM r",
			   NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	db_rows_free(rows);
	return e;
}

struct single_arg {
	unsigned statements;
	int64_t got;
};

static enum err read_some(struct call *call, struct db_tx *tx, void *arg)
{
	struct single_arg *a = arg;

	for (unsigned i = 0; i < a->statements; i++) {
		struct db_rows *rows = NULL;
		TRY_PLAIN(DB_QUERY(call, tx, "SELECT CAST($1 AS INTEGER)", &rows, DB_V_INT(7)));
		TRY_PLAIN(db_rows_next(call, rows));
		a->got += db_int(rows, 0);
		db_rows_free(rows);
	}
	return OK;
}

static void on_trace(void *arg, const char *sql)
{
	assert_non_null(strstr(sql, "SELECT"));
	++*(unsigned *)arg;
}

/* One statement needs no transaction; two where one was announced are a mistake that shows. */
static void single_statements(void **state)
{
	struct call call AUTO_CALL;
	struct single_arg a = { .statements = 1 };
	unsigned traced = 0;

	call_init(&call);
	struct db *db = open_new(&call);
	db_trace(db, on_trace, &traced);
	for (int i = 0; i < 3; i++)
		assert_int_equal(db_read_one(&call, db, read_some, &a), OK);
	assert_int_equal(a.got, 21);
	a.statements = 2;
	assert_int_equal(db_read(&call, db, read_some, &a), OK);
	assert_int_equal(traced, 5);
	assert_int_equal(db_read_one(&call, db, read_some, &a), ERR_INTERNAL);
	call_clear_error(&call);
	/* The connection is as good as before. */
	a.statements = 1;
	assert_int_equal(db_read_one(&call, db, read_some, &a), OK);
	assert_int_equal(db_read(&call, db, read_some, &a), OK);
	db_close(db);
}

struct observed {
	unsigned reads, writes, statements;
	uint64_t request;
};

static void on_transaction(void *arg, bool writes, int64_t ns)
{
	struct observed *o = arg;

	assert_true(ns >= 0);
	*(writes ? &o->writes : &o->reads) += 1;
}

static void on_statement(void *arg, const struct call *call, const char *sql, int64_t ns)
{
	struct observed *o = arg;

	assert_true(ns >= 0 && sql[0]);
	o->statements++;
	o->request = call->request;
}

static void observed_and_shared(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct observed o = { 0 };
	const struct db_observer observer = { on_transaction, on_statement, &o };
	struct single_arg a = { .statements = 2 };

	call_init(&call);
	call.request = 77;
	struct db *db = open_new(&call);
	db_observe(db, &observer);
	struct db *other = db_share(db);
	assert_int_equal(db_read(&call, db, read_some, &a), OK);
	assert_int_equal(o.statements, 2);
	assert_int_equal(o.request, 77);
	/* The first of two holders closes nothing. */
	db_close(db);
	assert_int_equal(db_write(&call, other, read_some, &a), OK);
	assert_int_equal(o.reads, 1);
	assert_int_equal(o.writes, 1);
	assert_int_equal(db_waiting(other), 0);
	db_close(other);
}

struct nulls_arg {
	unsigned mask;
	int64_t i;
	size_t len;
	bool null_i, null_b;
};

static enum err pass_nulls(struct call *call, struct db_tx *tx, void *arg)
{
	struct nulls_arg *a = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT CAST($1 AS INTEGER), CAST($2 AS BLOB)", &rows,
			   a->mask & 1 ? DB_V_NULL : DB_V_INT(5),
			   a->mask & 2 ? DB_V_NULL : DB_V_BLOB(bytes_str("abc"))));
	enum err e = db_rows_next(call, rows);
	if (!e) {
		a->null_i = db_is_null(rows, 0);
		a->null_b = db_is_null(rows, 1);
		a->i = db_int(rows, 0);
		a->len = db_bytes(rows, 1).len;
	}
	db_rows_free(rows);
	return e;
}

/* One text with values and with NULL in any order. */
static void nulls_in_any_order(void **state)
{
	static const unsigned orders[][6] = { { 0, 1, 2, 3, 0, 2 },
					      { 3, 2, 1, 0, 3, 1 },
					      { 1, 2, 0, 3, 2, 1 } };

	for (size_t o = 0; o < ARRAY_LEN(orders); o++) {
		struct call call AUTO_CALL;
		call_init(&call);
		struct db *db = open_new(&call);
		for (size_t i = 0; i < ARRAY_LEN(orders[o]); i++) {
			struct nulls_arg a = { .mask = orders[o][i] };
			assert_int_equal(db_read(&call, db, pass_nulls, &a), OK);
			assert_int_equal(a.null_i, (a.mask & 1) != 0);
			assert_int_equal(a.null_b, (a.mask & 2) != 0);
			assert_true(a.null_i || a.i == 5);
			assert_true(a.null_b || a.len == 3);
		}
		db_close(db);
	}
}

/* ---- look-ups, which travel together on PostgreSQL ---- */

struct look_up {
	const char *sql;
	int64_t n;
	uint8_t text[40];
	bool right;
};

static enum err look(struct call *call, struct db_tx *tx, void *arg)
{
	struct look_up *l = arg;
	struct db_rows *rows = NULL;

	memset(l->text, (int)(l->n % 256), sizeof(l->text));
	l->right = false;
	TRY_PLAIN(DB_QUERY(call, tx, l->sql, &rows, DB_V_INT(l->n),
			   DB_V_BLOB(BYTES(l->text, (size_t)l->n % sizeof(l->text)))));
	enum err e = db_rows_next(call, rows);
	if (!e)
		l->right = db_int(rows, 0) == l->n &&
			   bytes_equal(db_bytes(rows, 1),
				       BYTES(l->text, (size_t)l->n % sizeof(l->text)));
	db_rows_free(rows);
	return e;
}

struct looker {
	struct db *db;
	struct os_thread *thread;
	unsigned number, rounds;
	int64_t patience_ns; /* 0: none of the calls has a deadline */
	unsigned wrong, late, failed;
	char error[CALL_ERROR_MAX];
};

static void look_once(struct looker *w, const char *sql, int64_t n, bool fails)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct look_up l = { .sql = sql, .n = n };

	call_init(&call);
	if (w->patience_ns)
		os_call_limit(&call, (int64_t)os_random_below((uint64_t)w->patience_ns));
	enum err e = db_look_up(&call, w->db, look, &l);
	if (fails) {
		w->wrong += e != ERR_INVALID;
	} else if ((e == ERR_DEADLINE || e == ERR_UNAVAILABLE) && w->patience_ns) {
		w->late++;
	} else if (e) {
		snprintf(w->error, sizeof(w->error), "%.400s", call_error(&call, e));
		w->failed++;
	} else {
		w->wrong += !l.right;
	}
}

#define LOOK_UP "SELECT CAST($1 AS INTEGER), CAST($2 AS BLOB)"

static void look_around(void *arg)
{
	struct looker *w = arg;

	for (unsigned i = 0; i < w->rounds; i++) {
		int64_t n = w->number * 1000 + i;
		if (w->patience_ns)
			look_once(w, LOOK_UP " FROM pg_sleep(0.005)", n, false);
		else if (is_postgres() && i % 16 == 3)
			look_once(w, "SELECT 1 / (CAST($1 AS INTEGER) * 0), CAST($2 AS BLOB)", n,
				  true);
		else
			look_once(w, LOOK_UP, n, false);
	}
}

static enum err cut_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx,
			   "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
			   "pid <> pg_backend_pid() AND datname = current_database()",
			   NULL, 0, &rows));
	db_rows_free(rows);
	return OK;
}

static void look_with_many(struct db *db, unsigned rounds, int64_t patience_ns, unsigned cuts)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct looker w[THREADS] = { 0 };
	unsigned late = 0;

	call_init(&call);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct looker){
			.db = db, .number = i, .rounds = rounds, .patience_ns = patience_ns
		};
		assert_int_equal(os_thread_start(&call, "l", look_around, &w[i], &w[i].thread), OK);
	}
	for (unsigned i = 0; i < cuts; i++)
		assert_int_equal(db_write(&call, db, cut_all, NULL), OK);
	for (unsigned i = 0; i < THREADS; i++)
		os_thread_join(w[i].thread);
	for (unsigned i = 0; i < THREADS; i++) {
		if (w[i].failed)
			fail_msg("%u failed, %s", w[i].failed, w[i].error);
		assert_int_equal(w[i].wrong, 0);
		late += w[i].late;
	}
	assert_true(!patience_ns || late > 0);
}

/* Everybody gets his own answer, whoever else's statement fails in the same packet, whose call ends
 * while others wait for it, and whatever happens to the connections. */
static void look_ups(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	struct db *db = open_new(&call);
	look_with_many(db, 5 * ROUNDS, 0, 0);
	if (is_postgres()) {
		look_with_many(db, ROUNDS, 30 * NS_PER_MS, 0);
		look_with_many(db, 5 * ROUNDS, 0, 5);
	}
	db_close(db);
}

static enum err look_long(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT 1 FROM pg_sleep(30)", NULL, 0, &rows));
	db_rows_free(rows);
	return OK;
}

struct long_look {
	struct db *db;
	struct os_cancel cancel;
	enum err result;
};

static void look_for_long(void *arg)
{
	struct long_look *w = arg;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	call.cancel = &w->cancel;
	w->result = db_look_up(&call, w->db, look_long, NULL);
}

static enum err count_long(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx,
			   "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'active' AND "
			   "datname = current_database() AND query LIKE 'SELECT 1 FROM pg_sleep%'",
			   NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		*(int64_t *)arg = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

/* One that takes its time keeps no others waiting, nor does it outlive its call. */
static void slow_look_ups(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct long_look slow = { 0 };
	struct look_up l = { .sql = LOOK_UP, .n = 5 };
	struct os_thread *thread = NULL;

	if (!is_postgres())
		return;
	call_init(&call);
	slow.db = open_new(&call);
	assert_int_equal(os_cancel_init(&call, &slow.cancel, NULL), OK);
	assert_int_equal(os_thread_start(&call, "slow", look_for_long, &slow, &thread), OK);
	for (int64_t n = 0; !n;) {
		assert_int_equal(os_sleep(&call, 2 * NS_PER_MS), OK);
		assert_int_equal(db_read(&call, slow.db, count_long, &n), OK);
	}
	int64_t begun = os_clock_mono_ns();
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(db_look_up(&call, slow.db, look, &l), OK);
		assert_true(l.right);
	}
	os_cancel_set(&slow.cancel);
	os_thread_join(thread);
	assert_int_equal(slow.result, ERR_CANCELED);
	assert_true(os_clock_mono_ns() - begun < 20 * NS_PER_SEC);
	os_cancel_fini(&slow.cancel);
	db_close(slow.db);
}

static void deadlines(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	if (strcmp(kind, "vfs") == 0)
		return;
	call_init(&call);
	struct db *db = open_new(&call);
	struct call late;
	call_init_child(&late, &call);
	os_call_limit(&late, 200 * NS_PER_MS);
	int64_t start = os_clock_mono_ns();
	assert_int_equal(db_read(&late, db, endless, NULL), ERR_DEADLINE);
	assert_true(os_clock_mono_ns() - start < 20 * NS_PER_SEC);
	call_fini(&late);
	assert_int_equal(things(&call, db), 0);
	db_close(db);
}

/* ---- SQLite only ---- */

static void backups(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct worker w = { 0 };
	int64_t n = 0;

	if (strcmp(kind, "sqlite") != 0)
		return;
	call_init(&call);
	struct db *db = open_new(&call);
	const char *path = arena_printf(&call.scratch, "%s/backup", dir);
	/* As another process would: with a handle of its own, while changes are made. */
	struct db *other = open_again(&call);
	w.db = db;
	assert_int_equal(os_thread_start(&call, "w", work_hard, &w, &w.thread), OK);
	assert_int_equal(db_backup(&call, other, path), OK);
	assert_int_equal(db_backup(&call, other, path), ERR_EXISTS);
	os_thread_join(w.thread);
	assert_int_equal(w.result, OK);
	db_close(other);
	db_close(db);
	struct db *copy = NULL;
	assert_int_equal(db_open(&call, path, &copy), OK);
	assert_int_equal(db_migrate(&call, copy, all_steps, ARRAY_LEN(all_steps)), OK);
	assert_int_equal(db_read(&call, copy, read_counter, &n), OK);
	assert_in_range(n, 0, ROUNDS);
	assert_int_equal(db_write(&call, copy, count_up, NULL), OK);
	db_close(copy);
}

static enum err add_much(struct call *call, struct db_tx *tx, void *arg)
{
	static const uint8_t much[1 << 20];

	return DB_EXEC(call, tx, "INSERT INTO things (id, b) VALUES ($1, $2)", NULL,
		       DB_V_BLOB(bytes_str(arg)), DB_V_BLOB(BYTES_OF(much)));
}

/* A limit of the process, as a quota of its user, is no fault of the disk. */
static void files_may_not_grow(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct rlimit before, small = { 0 };

	if (strcmp(kind, "sqlite") != 0)
		return;
	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	small = (struct rlimit){ 512 << 10, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	char id[] = "much";
	enum err e = db_write(&call, db, add_much, id);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(e, ERR_NO_SPACE);
	assert_non_null(strstr(call.error, "quota"));
	assert_int_equal(things(&call, db), 0);
	assert_int_equal(db_write(&call, db, add_much, id), OK);
	assert_int_equal(things(&call, db), 1);
	db_close(db);
}

static void two_processes(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct worker w[2] = { { 0 }, { 0 } };
	int64_t n = 0;

	if (strcmp(kind, "sqlite") != 0)
		return;
	call_init(&call);
	w[0].db = open_new(&call);
	w[1].db = open_again(&call);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(os_thread_start(&call, "w", work_hard, &w[i], &w[i].thread), OK);
	for (unsigned i = 0; i < 2; i++) {
		os_thread_join(w[i].thread);
		if (w[i].result)
			fail_msg("%s", w[i].error);
	}
	assert_int_equal(db_read(&call, w[0].db, read_counter, &n), OK);
	assert_int_equal(n, 2 * ROUNDS);
	db_close(w[0].db);
	db_close(w[1].db);
}

static void bad_urls(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct db *db = NULL;

	call_init(&call);
	assert_int_equal(db_open(&call, "", &db), ERR_CONFIG);
	assert_int_equal(db_open(&call, "sqlite:", &db), ERR_CONFIG);
	assert_int_equal(db_open(&call, "mysql://x", &db), ERR_CONFIG);
	assert_int_equal(db_open(&call, "/nonexistent/dir/db", &db), ERR_NOT_FOUND);
	assert_int_equal(db_open(&call, "postgres://nobody@127.0.0.1:1/x", &db), ERR_UNAVAILABLE);
	assert_null(strstr(call.error, "nobody@"));
	assert_int_equal(db_open(&call, "postgres://a b:c%zz@[", &db), ERR_UNAVAILABLE);
}

static void not_a_database(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct db *db = NULL;

	if (is_postgres())
		return;
	call_init(&call);
	databases++;
	const char *path = sqlite_path(&call);
	assert_int_equal(
		os_file_write_all(&call, path,
				  bytes_str("this is certainly not a database, though long "
					    "enough to have a header of a hundred bytes, "
					    "which SQLite looks at"),
				  false),
		OK);
	assert_int_equal(sqlite_open(&call, path, strcmp(kind, "vfs") == 0, &db), ERR_DATA_LOSS);
	assert_non_null(strstr(call.error, path));
}

/* ---- PostgreSQL only ---- */

static enum err cut_own_connection(struct call *call, struct db_tx *tx, void *arg)
{
	unsigned *runs = arg;

	TRY_PLAIN(count_up(call, tx, NULL));
	if ((*runs)++ == 0) {
		struct db_rows *rows = NULL;
		TRY_PLAIN(db_query(call, tx, "SELECT pg_terminate_backend(pg_backend_pid())", NULL,
				   0, &rows));
		db_rows_free(rows);
	}
	return OK;
}

/* Loses as many times as it is told, as if another had changed what it read. */
static enum err lose(struct call *call, struct db_tx *tx, void *arg)
{
	unsigned *left = arg;

	TRY_PLAIN(count_up(call, tx, NULL));
	if (!*left)
		return OK;
	--*left;
	return tx->db->driver->script(
		call, tx, "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$");
}

static void many_conflicts(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	unsigned losses = 15;
	int64_t n = 0;

	if (!is_postgres())
		return;
	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(db_write(&call, db, lose, &losses), OK);
	assert_int_equal(losses, 0);
	assert_int_equal(db_read(&call, db, read_counter, &n), OK);
	assert_int_equal(n, 1);
	/* Not for ever. */
	losses = UINT_MAX;
	assert_int_equal(db_write(&call, db, lose, &losses), ERR_ABORTED);
	assert_non_null(strstr(call.error, "conflict"));
	db_close(db);
}

static void lost_connections(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	unsigned runs = 0;
	int64_t n = 0;

	if (!is_postgres())
		return;
	call_init(&call);
	struct db *db = open_new(&call);
	assert_int_equal(db_write(&call, db, cut_own_connection, &runs), OK);
	assert_int_equal(runs, 2);
	assert_int_equal(db_read(&call, db, read_counter, &n), OK);
	assert_int_equal(n, 1);
	/* A restart between transactions, and one in the midst of many. */
	const char *restart = os_getenv("ACRE_TEST_POSTGRES_RESTART");
	assert_non_null(restart);
	const char *quiet = arena_printf(&call.scratch, "%s >/dev/null", restart);
	assert_int_equal(system(quiet), 0);
	assert_int_equal(db_write(&call, db, count_up, NULL), OK);
	struct worker workers[4] = { 0 };
	for (unsigned i = 0; i < 4; i++) {
		workers[i].db = db;
		assert_int_equal(
			os_thread_start(&call, "w", work_hard, &workers[i], &workers[i].thread),
			OK);
	}
	assert_int_equal(system(quiet), 0);
	for (unsigned i = 0; i < 4; i++) {
		os_thread_join(workers[i].thread);
		if (workers[i].result && workers[i].result != ERR_UNCERTAIN)
			fail_msg("%s", workers[i].error);
	}
	/* Down altogether: a clear answer in bounded time, and life goes on afterwards. */
	assert_int_equal(system(arena_printf(&call.scratch, "%s >/dev/null",
					     os_getenv("ACRE_TEST_POSTGRES_STOP"))),
			 0);
	struct call soon;
	call_init_child(&soon, &call);
	os_call_limit(&soon, NS_PER_SEC);
	assert_int_equal(db_write(&soon, db, count_up, NULL), ERR_UNAVAILABLE);
	assert_non_null(strstr(soon.error, "cannot reach the database"));
	call_fini(&soon);
	assert_int_equal(system(arena_printf(&call.scratch, "%s >/dev/null",
					     os_getenv("ACRE_TEST_POSTGRES_START"))),
			 0);
	assert_int_equal(db_write(&call, db, count_up, NULL), OK);
	db_close(db);
}

/* ---- a connection that breaks around COMMIT ---- */

/* What stands between the database and its server, and does its worst with the next COMMIT. */
struct proxy {
	struct os_listener *listener;
	struct os_poller *poller;
	struct os_thread *thread;
	const char *server;
	_Atomic bool stop;
	_Atomic enum { PASS, CUT_REQUEST, CUT_ANSWER, SPOIL_ANSWER, CUT_IDLE } next;
	size_t at; /* bytes that still go through */
	/* The proxy's own: */
	struct os_sock *client, *upstream;
	bool answering; /* COMMIT went through */
};

static void proxy_send(struct call *call, struct os_sock *to, struct bytes b)
{
	while (b.len) {
		size_t n = 0;
		unsigned ready = 0;
		enum err e = os_sock_write(call, to, &b, 1, &n);
		if (e == ERR_WOULD_BLOCK)
			e = os_sock_wait(call, to, OS_WANT_WRITE, &ready);
		if (e)
			return; /* its reader finds out */
		b = BYTES(b.data + n, b.len - n);
	}
}

static void proxy_hang_up(struct proxy *p)
{
	struct os_sock **both[] = { &p->client, &p->upstream };

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		if (*both[i]) {
			os_poller_remove(p->poller, *both[i]);
			os_sock_close(*both[i]);
		}
		*both[i] = NULL;
	}
	p->answering = false;
}

/* False: that was the end of the connection. */
static bool proxy_forward(struct call *call, struct proxy *p, struct bytes b, bool up)
{
	static const char commit[] = "COMMIT";
	bool is_commit = up && memmem(b.data, b.len, commit, sizeof(commit));

	if (is_commit && p->next == CUT_REQUEST) {
		proxy_send(call, p->upstream, BYTES(b.data, MIN(b.len, p->at)));
		p->next = PASS;
		return false;
	}
	p->answering |= is_commit;
	if (p->next != CUT_ANSWER && p->next != SPOIL_ANSWER)
		p->answering = false; /* the answer before was shorter than that */
	if (up || !p->answering) {
		proxy_send(call, up ? p->upstream : p->client, b);
		return true;
	}
	size_t n = MIN(b.len, p->at);
	proxy_send(call, p->client, BYTES(b.data, n));
	p->at -= n;
	if (p->at)
		return true;
	if (p->next == SPOIL_ANSWER)
		proxy_send(call, p->client, BYTES("\xff\xff\xff\xff\xff", 5));
	p->next = PASS;
	return false;
}

static void proxy_event(struct call *call, struct proxy *p, void *tag)
{
	uint8_t bytes[4096];
	size_t n = 0;

	if (tag == p->listener) {
		proxy_hang_up(p);
		assert_int_equal(os_try_accept(call, p->listener, &p->client), OK);
		assert_int_equal(os_sock_dial_local(call, p->server, &p->upstream), OK);
		assert_int_equal(os_poller_add_listener(call, p->poller, p->listener, tag), OK);
		assert_int_equal(os_poller_add(call, p->poller, p->upstream, p->upstream), OK);
		tag = p->client;
	} else if (tag == p->client || tag == p->upstream) {
		struct os_sock *from = tag;
		enum err e = os_sock_read(call, from, bytes, sizeof(bytes), &n);
		if ((e && e != ERR_WOULD_BLOCK) ||
		    !proxy_forward(call, p, BYTES(bytes, n), from == p->client)) {
			proxy_hang_up(p);
			return;
		}
	} else {
		return;
	}
	assert_int_equal(os_poller_add(call, p->poller, tag, tag), OK);
}

static void proxy_run(void *arg)
{
	struct proxy *p = arg;

	while (!p->stop) {
		AUTO_CALL struct call call = CALL_INIT;
		void *tags[4];
		size_t n = 0;
		call_init(&call);
		assert_int_equal(os_poller_wait(&call, p->poller, tags, ARRAY_LEN(tags), &n), OK);
		for (size_t i = 0; i < n; i++)
			proxy_event(&call, p, tags[i]);
		if (p->next == CUT_IDLE) {
			proxy_hang_up(p);
			p->next = PASS;
		}
	}
	proxy_hang_up(p);
}

/* Three statements and COMMIT go in one packet. */
static enum err add_111(struct call *call, struct db_tx *tx, void *arg)
{
	TRY_PLAIN(DB_EXEC(call, tx, "UPDATE counter SET n = n + 100 WHERE id = $1", NULL,
			  DB_V_INT(1)));
	TRY_PLAIN(DB_EXEC(call, tx, "UPDATE counter SET n = n + 10 WHERE id = $1", NULL,
			  DB_V_INT(1)));
	return DB_EXEC(call, tx, "UPDATE counter SET n = n + 1 WHERE id = $1", NULL, DB_V_INT(1));
}

static void proxy_start(struct call *call, struct proxy *p, struct db **ret)
{
	const char *host = strstr(os_getenv("ACRE_TEST_POSTGRES"), "host=");

	assert_non_null(host);
	p->server = arena_printf(&call->scratch, "%s/.s.PGSQL.5432", host + strlen("host="));
	assert_int_equal(os_listen_local(call,
					 arena_printf(&call->scratch, "%s/.s.PGSQL.5432", dir),
					 &p->listener),
			 OK);
	assert_int_equal(os_poller_new(call, &p->poller), OK);
	assert_int_equal(os_poller_add_listener(call, p->poller, p->listener, p->listener), OK);
	assert_int_equal(os_thread_start(call, "proxy", proxy_run, p, &p->thread), OK);
	enum err e = db_open(
		call, arena_printf(&call->scratch, "postgres://acre@/acre?host=%s", dir), ret);
	if (e)
		fail_msg("open: %s", call_error(call, e));
}

static void proxy_stop(struct proxy *p)
{
	p->stop = true;
	os_poller_wake(p->poller);
	os_thread_join(p->thread);
	os_poller_remove_listener(p->poller, p->listener);
	os_poller_free(p->poller);
	os_listener_close(p->listener);
}

/* One change with that fault: made once, or not at all, as it says. */
static enum err add_with(struct call *call, struct proxy *p, struct db *db, struct db *direct,
			 unsigned fault, size_t at)
{
	int64_t before = 0, after = 0;

	/* Statements that are not prepared yet are not queued. */
	assert_int_equal(db_write(call, db, add_111, NULL), OK);
	assert_int_equal(db_read(call, direct, read_counter, &before), OK);
	p->at = at;
	p->next = fault;
	if (fault == CUT_IDLE)
		os_poller_wake(p->poller);
	while (p->next == CUT_IDLE)
		assert_int_equal(os_sleep(call, NS_PER_MS), OK);
	enum err e = db_write(call, db, add_111, NULL);
	p->next = PASS;
	/* The server may still be at it. */
	assert_int_equal(db_write(call, direct, count_up, NULL), OK);
	assert_int_equal(db_read(call, direct, read_counter, &after), OK);
	int64_t added = after - before - 1;
	if ((e && e != ERR_UNCERTAIN) || (added != 111 && (!e || added != 0)))
		fail_msg("fault %u at %zu: %d added, said: %s", fault, at, (int)added,
			 e ? call_error(call, e) : "done");
	call_clear_error(call);
	return e;
}

static void broken_commits(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct proxy p = { 0 };
	struct db *db = NULL;

	if (!is_postgres())
		return;
	call_init(&call);
	struct db *direct = open_new(&call);
	proxy_start(&call, &p, &db);
	for (size_t at = 0; at < 300; at += 11) {
		add_with(&call, &p, db, direct, CUT_REQUEST, at);
		enum err e = add_with(&call, &p, db, direct, CUT_ANSWER, at + 1);
		if (at < 100)
			assert_int_equal(e, ERR_UNCERTAIN);
		add_with(&call, &p, db, direct, SPOIL_ANSWER, at + 1);
	}
	/* Nothing was sent yet. */
	assert_int_equal(add_with(&call, &p, db, direct, CUT_IDLE, 0), OK);
	db_close(db);
	proxy_stop(&p);
	db_close(direct);
}

struct killing {
	struct db *direct;
	unsigned runs;
};

static enum err terminate(struct call *call, struct db_tx *tx, void *arg)
{
	const int64_t *pid = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT pg_terminate_backend(CAST($1 AS int), 5000)", &rows,
			   DB_V_INT(*pid)));
	db_rows_free(rows);
	return OK;
}

static enum err terminated_with_queue(struct call *call, struct db_tx *tx, void *arg)
{
	struct killing *k = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT pg_backend_pid()", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	int64_t pid = e ? 0 : db_int(rows, 0);
	db_rows_free(rows);
	TRY_PLAIN(add_111(call, tx, NULL));
	return k->runs++ ? OK : db_read(call, k->direct, terminate, &pid);
}

/* The server's last words come before what was queued: nothing of it was done. */
static void terminated_before_commit(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	int64_t n = 0;

	if (!is_postgres())
		return;
	call_init(&call);
	struct db *direct = open_new(&call);
	struct db *db = open_again(&call);
	struct killing k = { direct, 1 };
	assert_int_equal(db_write(&call, db, terminated_with_queue, &k), OK);
	k.runs = 0;
	assert_int_equal(db_write(&call, db, terminated_with_queue, &k), OK);
	assert_int_equal(k.runs, 2);
	assert_int_equal(db_read(&call, direct, read_counter, &n), OK);
	assert_int_equal(n, 222);
	db_close(db);
	db_close(direct);
}

static void dialect(void **state)
{
	AUTO_BUF struct buf out = BUF_INIT(4096);

	db_rewrite_postgres(&out,
			    "CREATE TABLE x (a BLOB, b INTEGER DEFAULT 1, \"BLOB\" TEXT, "
			    "BLOBS INTEGER) WITHOUT ROWID; -- BLOB\nSELECT 'BLOB''s', $1BLOB");
	assert_string_equal(buf_cstr(&out),
			    "CREATE TABLE x (a BYTEA, b BIGINT DEFAULT 1, \"BLOB\" TEXT, "
			    "BLOBS BIGINT) ; -- BLOB\nSELECT 'BLOB''s', $1BLOB");
}

static void remove_dir(void)
{
	AUTO_CALL struct call call = CALL_INIT;
	const char **names;
	size_t count;

	call_init(&call);
	if (os_dir_list(&call, &call.scratch, dir, &names, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (os_unlink(&call, os_path_join(&call, dir, names[i])))
			return;
	if (os_dir_remove(&call, dir))
		return;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrations),
		cmocka_unit_test(values),
		cmocka_unit_test(failures),
		cmocka_unit_test(without_answers),
		cmocka_unit_test(gate_width),
		cmocka_unit_test(gate_holds),
		cmocka_unit_test(foreign_keys),
		cmocka_unit_test(concurrency),
		cmocka_unit_test(snapshots),
		cmocka_unit_test(statements),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(single_statements),
		cmocka_unit_test(look_ups),
		cmocka_unit_test(slow_look_ups),
		cmocka_unit_test(observed_and_shared),
		cmocka_unit_test(nulls_in_any_order),
		cmocka_unit_test(backups),
		cmocka_unit_test(files_may_not_grow),
		cmocka_unit_test(two_processes),
		cmocka_unit_test(bad_urls),
		cmocka_unit_test(not_a_database),
		cmocka_unit_test(lost_connections),
		cmocka_unit_test(broken_commits),
		cmocka_unit_test(terminated_before_commit),
		cmocka_unit_test(dialect),
		cmocka_unit_test(many_conflicts),
	};
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	if (argc > 1)
		kind = argv[1];
	if (is_postgres() && !os_getenv("ACRE_TEST_POSTGRES")) {
		fprintf(stderr,
			"SKIPPED: no ACRE_TEST_POSTGRES (run by tests/pg.sh with-postgres)\n");
		return 77;
	}
	snprintf(dir, sizeof(dir), "/tmp/acre-test-db-%s-%d", kind, os_pid());
	if (os_dir_make(&call, dir, false))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	remove_dir();
	return r;
}
