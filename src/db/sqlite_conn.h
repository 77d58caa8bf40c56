/* One SQLite connection with its prepared statements, and its transactions. */
#ifndef ACRE_DB_SQLITE_CONN_H
#define ACRE_DB_SQLITE_CONN_H

#include <sqlite3.h>

#include "db/db_internal.h"

struct sqlite_conn;

struct sqlite_tx {
	struct db_tx tx;
	struct sqlite_conn *conn;
};

enum err sqlite_conn_open(struct call *call, const char *path, bool own_vfs,
			  struct sqlite_conn **ret) MUST_USE;
void sqlite_conn_close(struct sqlite_conn *c);
/* The log and its index outlive this connection (db_keep_log). */
enum err sqlite_conn_keep_log(struct call *call, struct sqlite_conn *c) MUST_USE;
sqlite3 *sqlite_conn_handle(struct sqlite_conn *c);
/* Statements running on c look at this call now and then; NULL = at none. */
void sqlite_conn_watch(struct sqlite_conn *c, struct call *call);
/* BEGIN, SAVEPOINT, COMMIT and the like, prepared once. */
enum err sqlite_conn_control(struct call *call, struct sqlite_conn *c, const char *sql) MUST_USE;
/* Statements without parameters or rows, read anew each time. */
enum err sqlite_conn_run(struct call *call, struct sqlite_conn *c, const char *sql) MUST_USE;
/* Whether SQLite itself rolled the transaction back. */
bool sqlite_conn_lost_tx(const struct sqlite_conn *c);
/* What a result code means, with its text in the call. */
enum err sqlite_error(struct call *call, sqlite3 *handle, int code);
#ifdef __clang_analyzer__ /* as in base/call.h */
#define sqlite_error(...) call_failure_((sqlite_error)(__VA_ARGS__))
#endif

enum err sqlite_exec(struct call *call, struct db_tx *tx, const char *sql,
		     const struct db_value *values, size_t count, int64_t *ret_changed);
enum err sqlite_query(struct call *call, struct db_tx *tx, const char *sql,
		      const struct db_value *values, size_t count, struct db_rows **ret);
enum err sqlite_next(struct call *call, struct db_rows *rows);
void sqlite_rows_free(struct db_rows *rows);
bool sqlite_is_null(const struct db_rows *rows, unsigned column);
int64_t sqlite_integer(const struct db_rows *rows, unsigned column);
struct bytes sqlite_bytes(const struct db_rows *rows, unsigned column);
enum err sqlite_script(struct call *call, struct db_tx *tx, const char *sql);

#endif
