/* One PostgreSQL connection: never blocks in libpq, waits for its descriptor with the call. */
#ifndef ACRE_DB_POSTGRES_CONN_H
#define ACRE_DB_POSTGRES_CONN_H

#include <libpq-fe.h>

#include "base/cleanup.h"
#include "db/db_internal.h"

struct pg_conn;
DEFINE_AUTO_PTR(PGresult, result_auto, PQclear)

/* What a failed statement means for the transaction around it. */
enum pg_fate {
	PG_FINAL,  /* the caller's business */
	PG_AGAIN,  /* serialization failure or deadlock: the transaction may be run again */
	PG_LOST,   /* the connection is gone, or of no use any more */
	PG_UNSURE, /* it went while COMMIT was under way */
};

enum err pg_conn_open(struct call *call, const char *url, struct pg_conn **ret) MUST_USE;
void pg_conn_close(struct pg_conn *c);
/* Whether it can be used for another transaction. */
bool pg_conn_good(const struct pg_conn *c);
/* Begins a transaction with the next statement, in the same packets.  sql is static. */
void pg_conn_begin(struct pg_conn *c, const char *sql);
/* Whether it was begun: a statement came. */
bool pg_conn_has_begun(const struct pg_conn *c);
/* Rolls it back without waiting for the answer: the next statement takes that first. */
void pg_conn_abandon(struct pg_conn *c);
/* Statements without parameters, by the simple protocol; *ret (may be NULL) is the last result. */
enum err pg_conn_run(struct call *call, struct pg_conn *c, const char *sql, enum pg_fate *ret_fate,
		     PGresult **ret) MUST_USE;
/* A prepared statement with its values; *ret is to be PQcleared.  What was queued goes with it, and
 * a failure may be that of what was queued. */
enum err pg_conn_exec(struct call *call, struct pg_conn *c, const char *sql,
		      const struct db_value *values, size_t count, enum pg_fate *ret_fate,
		      PGresult **ret) MUST_USE;

/* The same without an answer: it goes with the next one, or with COMMIT.  Values are copied. */
enum err pg_conn_queue(struct call *call, struct pg_conn *c, const char *sql,
		       const struct db_value *values, size_t count,
		       enum pg_fate *ret_fate) MUST_USE;
/* COMMIT, with what was queued.  After a failure nothing of the transaction is left, or, with
 * PG_UNSURE, nobody knows. */
enum err pg_conn_commit(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate) MUST_USE;

enum { PG_NAME_BYTES = 16 };

/* A SELECT without a transaction. */
struct pg_look_up {
	const char *sql;
	const struct db_value *values;
	size_t count;
	PGresult *result;	  /* out, NULL: it did not work, for whatever reason */
	char name[PG_NAME_BYTES]; /* ours */
};
/* Several in one packet, each with a snapshot of its own, answered in one.  One that fails takes
 * those behind it along. */
enum err pg_conn_look_up(struct call *call, struct pg_conn *c, struct pg_look_up *const *list,
			 size_t n) MUST_USE;

#endif
