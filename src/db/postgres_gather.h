/*
 * Look-ups of several callers in one packet to PostgreSQL, answered in one.  Whoever comes while
 * fewer than `leaders_max` are under way leads: it takes what others left in the queue along with
 * its own; the others sleep until it has their results.  So the fuller the house, the less each
 * costs; a single caller waits for nobody.
 */
#ifndef ACRE_DB_POSTGRES_GATHER_H
#define ACRE_DB_POSTGRES_GATHER_H

#include "db/postgres_pool.h"

struct gathered;

struct pg_gather {
	unsigned leaders_max;
	struct os_mutex lock; /* over what follows */
	unsigned leaders;
	int64_t turn_ns;	       /* when the last of them took its turn */
	struct gathered *first, *last; /* waiting for a leader */
};

void pg_gather_init(struct pg_gather *g);
void pg_gather_fini(struct pg_gather *g);
/* A SELECT that finds few rows by a key; sql is static.  *ret is its result, to be PQcleared, or
 * NULL: it did not work this way, the caller runs it by itself, and learns why not.  Fails only
 * when the call ends. */
enum err pg_gather_run(struct call *call, struct pg_gather *g, struct pg_pool *pool,
		       const char *sql, const struct db_value *values, size_t count,
		       PGresult **ret) MUST_USE;

#endif
