/*
 * One thin layer over SQLite and PostgreSQL (DESIGN 4.6).  SQL is written once: $1 parameters,
 * ON CONFLICT, RETURNING; types BLOB, TEXT, INTEGER (64 bit).
 *
 * Work is a function that gets a transaction.  On SQLite, writes of many callers are run one after
 * another by one writer thread and made durable in one commit (each inside a savepoint of its own);
 * on PostgreSQL each is a serializable transaction of its own.  Either way the function may run
 * more than once (conflict, lost connection before commit), so it keeps its results in `arg` and
 * starts from scratch each time, touches nothing else and does not wait.
 *
 * The one SQL text: types BLOB, TEXT and INTEGER in capitals; tables may be WITHOUT ROWID (dropped
 * for PostgreSQL); what is compared or ordered bytewise is BLOB, since TEXT follows the server's
 * collation; an untyped NULL or number in a SELECT list is CAST.  After a statement failed the
 * transaction has failed (as PostgreSQL does it), so expected conflicts are ON CONFLICT DO NOTHING.
 */
#ifndef ACRE_DB_DB_H
#define ACRE_DB_DB_H

#include "base/bytes.h"
#include "base/call.h"

struct db;
struct db_tx;
struct db_rows;

/* url: "sqlite:<path>" or "postgres://..."; a bare path is SQLite. */
enum err db_open(struct call *call, const char *url, struct db **ret) MUST_USE;
/* For a database that must open and be read on a full disk, too.  On SQLite the log and its index,
 * which could not be made anew then, stay when it is closed, the log emptied; on PostgreSQL nothing
 * is to be done.  To be asked for before there is any work. */
enum err db_keep_log(struct call *call, struct db *db) MUST_USE;
/* No work may be under way.  With several holders, the last one closes. */
void db_close(struct db *db);
/* The same once more, for somebody who will close it, too. */
struct db *db_share(struct db *db);
bool db_is_sqlite(const struct db *db);

typedef enum err db_work(struct call *call, struct db_tx *tx, void *arg);

/* Runs work in a writing transaction; OK means durable.  What work returns other than OK rolls its
 * changes back and comes back.  ERR_UNCERTAIN: the commit was sent and its answer lost.
 * ERR_NO_SPACE: nothing changed, and nothing will until there is room, which is logged; reads work.
 */
enum err db_write(struct call *call, struct db *db, db_work *work, void *arg) MUST_USE;
/* Runs work in a read-only snapshot, beside other readers and the writer. */
enum err db_read(struct call *call, struct db *db, db_work *work, void *arg) MUST_USE;

/* The same for work that runs one statement: less to and fro.  A second one fails. */
enum err db_read_one(struct call *call, struct db *db, db_work *work, void *arg) MUST_USE;
/* The same for a statement that finds few rows by a key and whose text is static.  On PostgreSQL
 * those of several callers travel together. */
enum err db_look_up(struct call *call, struct db *db, db_work *work, void *arg) MUST_USE;

/* For tests: told of every statement before it runs, in whatever thread that is.  To be set before
 * there is any work. */
typedef void db_trace_fn(void *arg, const char *sql);
void db_trace(struct db *db, db_trace_fn *fn, void *arg);

/* Told how long things took, in whatever thread that was; does not wait. */
struct db_observer {
	/* All that a caller waited for db_read or db_write. */
	void (*transaction)(void *arg, bool writes, int64_t ns);
	/* From its start until it was done, or its rows were freed.  sql has no values in it. */
	void (*statement)(void *arg, const struct call *call, const char *sql, int64_t ns);
	void *arg;
};
/* Copied.  To be set before there is any work. */
void db_observe(struct db *db, const struct db_observer *observer);
/* Callers in db_read and db_write now; counted with an observer only. */
unsigned db_waiting(const struct db *db);

struct db_value {
	enum { DB_NULL, DB_INT, DB_TEXT, DB_BLOB } kind;
	int64_t i;
	struct bytes bytes;
};
#define DB_V_NULL ((struct db_value){ .kind = DB_NULL })
#define DB_V_INT(v) ((struct db_value){ .kind = DB_INT, .i = (v) })
#define DB_V_TEXT(v) ((struct db_value){ .kind = DB_TEXT, .bytes = (v) })
#define DB_V_BLOB(v) ((struct db_value){ .kind = DB_BLOB, .bytes = (v) })
/* NULL when the view is empty. */
#define DB_V_BLOB_OR_NULL(v) ((v).len ? DB_V_BLOB(v) : DB_V_NULL)

/* Changes rows; *ret_changed (may be NULL) counts them.  Statements are prepared once per
 * connection, keyed by the address-independent text of sql.  ERR_EXISTS: unique constraint.
 * Without ret_changed a statement on PostgreSQL travels with the next one, or with the end of the
 * transaction, and so does its failure. */
enum err db_exec(struct call *call, struct db_tx *tx, const char *sql,
		 const struct db_value *values, size_t count, int64_t *ret_changed) MUST_USE;
/* Rows come one at a time; end with db_rows_free before the next statement. */
enum err db_query(struct call *call, struct db_tx *tx, const char *sql,
		  const struct db_value *values, size_t count, struct db_rows **ret) MUST_USE;
/* OK with a current row, ERR_NOT_FOUND after the last. */
enum err db_rows_next(struct call *call, struct db_rows *rows) MUST_USE;
void db_rows_free(struct db_rows *rows);
bool db_is_null(const struct db_rows *rows, unsigned column);
int64_t db_int(const struct db_rows *rows, unsigned column);
/* View until the next row; text and blob alike; empty for NULL. */
struct bytes db_bytes(const struct db_rows *rows, unsigned column);

#define DB_EXEC(call, tx, sql, ret_changed, ...)                                                   \
	db_exec(call, tx, sql, (const struct db_value[]){ __VA_ARGS__ },                           \
		sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value),        \
		ret_changed)
#define DB_QUERY(call, tx, sql, ret_rows, ...)                                                     \
	db_query(call, tx, sql, (const struct db_value[]){ __VA_ARGS__ },                          \
		 sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value),       \
		 ret_rows)

/* Migrations: an append-only list; step i is applied once, in its own transaction, recorded in
 * table schema_version.  ERR_PRECONDITION when the database is newer than the program. */
struct db_migration {
	const char *name;
	const char *sql; /* statements separated by ';' */
};
enum err db_migrate(struct call *call, struct db *db, const struct db_migration *list,
		    size_t count) MUST_USE;
/* A consistent copy to a new file while in use (SQLite only; ERR_UNIMPLEMENTED otherwise with
 * advice). */
enum err db_backup(struct call *call, struct db *db, const char *path) MUST_USE;

#endif
