/* What the two drivers implement, and what they share. */
#ifndef ACRE_DB_DB_INTERNAL_H
#define ACRE_DB_DB_INTERNAL_H

#include "db/db.h"

enum {
	DB_VALUES_MAX = 64,	 /* parameters of one statement */
	DB_SQL_MAX = 64 << 10,	 /* bytes of one statement's text */
	DB_STATEMENTS_MAX = 512, /* prepared statements kept per connection */
	DB_TRIES_MAX = 10,	 /* of one transaction */
};

/* db_read, db_read_one (no transaction is needed around it), db_look_up. */
enum db_reading { DB_READ, DB_READ_ONE, DB_LOOK_UP };

struct db_driver {
	bool is_sqlite;
	void (*close)(struct db *db);
	enum err (*write)(struct call *call, struct db *db, db_work *work, void *arg);
	enum err (*read)(struct call *call, struct db *db, enum db_reading how, db_work *work,
			 void *arg);
	/* Without ret_changed it may be done with the next statement, or with COMMIT. */
	enum err (*exec)(struct call *call, struct db_tx *tx, const char *sql,
			 const struct db_value *values, size_t count, int64_t *ret_changed);
	enum err (*query)(struct call *call, struct db_tx *tx, const char *sql,
			  const struct db_value *values, size_t count, struct db_rows **ret);
	enum err (*next)(struct call *call, struct db_rows *rows);
	void (*rows_free)(struct db_rows *rows);
	bool (*is_null)(const struct db_rows *rows, unsigned column);
	int64_t (*integer)(const struct db_rows *rows, unsigned column);
	struct bytes (*bytes)(const struct db_rows *rows, unsigned column);
	/* Runs statements separated by ';', without parameters. */
	enum err (*script)(struct call *call, struct db_tx *tx, const char *sql);
	/* Keeps other processes from migrating until the transaction ends. */
	enum err (*lock_schema)(struct call *call, struct db_tx *tx);
	enum err (*backup)(struct call *call, struct db *db, const char *path);
	enum err (*keep_log)(struct call *call, struct db *db); /* NULL: it is kept anyway */
};

/* Drivers put these first in their own structs. */
struct db {
	const struct db_driver *driver;
	_Atomic unsigned shares; /* holders besides the first */
	db_trace_fn *trace;	 /* NULL: none */
	void *trace_arg;
	struct db_observer observer; /* without functions: none */
	_Atomic unsigned waiting;
	_Atomic bool full;	      /* the last change found no room */
	_Atomic int64_t full_told_ns; /* monotonic */
};
struct db_tx {
	struct db *db;
	bool read_only;
	bool one;	     /* a second statement is a mistake */
	unsigned statements; /* run so far */
	bool changed;	     /* rows, by db_exec */
	/* A statement failed.  The whole transaction has, then, on both databases alike. */
	bool failed;
};
struct db_rows {
	struct db_tx *tx;
	/* For the observer: the rows' call is the transaction's. */
	const struct call *call;
	const char *sql;
	int64_t begun_ns;
};

/* Tells the observer how long a statement took. */
int64_t db_statement_begin(const struct db *db);
void db_statement_end(const struct call *call, const struct db *db, const char *sql,
		      int64_t begun_ns);

enum err sqlite_open(struct call *call, const char *path, bool own_vfs, struct db **ret) MUST_USE;
enum err postgres_open(struct call *call, const char *url, struct db **ret) MUST_USE;

/* SQLite's text as PostgreSQL wants it: BLOB is BYTEA, INTEGER is BIGINT, WITHOUT ROWID goes;
 * quoted text, names and comments stay. */
void db_rewrite_postgres(struct buf *out, const char *sql);
uint64_t db_sql_hash(const char *sql);

/* A VFS over os/file.h, registered under its name; for the simulated world and tests of it. */
#define DB_VFS_NAME "acre"
enum err db_vfs_register(struct call *call) MUST_USE;

#endif
