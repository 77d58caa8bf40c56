/* Which statements a database was asked, and whether each finds its rows by an index. */
#ifndef ACRE_SATELLITE_TEST_EXPLAIN_H
#define ACRE_SATELLITE_TEST_EXPLAIN_H

#include "db/db.h"
#include "os/lock.h"

enum { SQL_STATEMENTS_MAX = 300 };

/* All zero at first. */
struct sql_trace {
	struct os_mutex lock;
	size_t count, distinct;
	char *sql[SQL_STATEMENTS_MAX];
};

/* For db_trace, of any thread. */
void sql_trace_add(void *trace, const char *sql);
void sql_trace_free(struct sql_trace *t);
/* *ret_fault is NULL, or the first statement that reads a table from end to end and the line of its
 * plan; it lives in the call's scratch memory. */
enum err sql_explain(struct call *call, struct db *db, const struct sql_trace *t,
		     const char **ret_fault);

#endif
