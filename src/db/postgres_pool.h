/* The connections to one PostgreSQL that nobody uses just now. */
#ifndef ACRE_DB_POSTGRES_POOL_H
#define ACRE_DB_POSTGRES_POOL_H

#include "db/postgres_conn.h"
#include "os/lock.h"

enum { PG_CONNS_MAX = 32 };

struct pg_pool {
	char *url;

	struct os_mutex lock; /* over what follows */
	struct os_cond came_back;
	unsigned conns; /* open or being opened */
	unsigned idle;
	struct pg_conn *idle_conns[PG_CONNS_MAX];
};

/* Zeroed memory with a copy of the URL is a pool. */
void pg_pool_fini(struct pg_pool *p);
enum err pg_pool_get(struct call *call, struct pg_pool *p, struct pg_conn **ret) MUST_USE;
/* Gives a connection back (NULL: only its place).  One that is not good is closed. */
void pg_pool_put(struct pg_pool *p, struct pg_conn *c);
/* After one was lost: the others have most likely gone with it. */
void pg_pool_drop_idle(struct pg_pool *p);

#endif
