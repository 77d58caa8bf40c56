/* PostgreSQL connections between two transactions. */
#include "db/postgres_pool.h"

#include <stdlib.h>

#include "base/cleanup.h"

static enum err take_place(struct call *call, struct pg_pool *p, struct pg_conn **ret)
{
	OS_LOCKED(&p->lock);
	while (p->idle == 0 && p->conns >= PG_CONNS_MAX) {
		enum err e = os_cond_wait(call, &p->came_back, &p->lock);
		if (e && p->idle == 0 && p->conns >= PG_CONNS_MAX)
			return call_fail(call, e, "timed out waiting for the database");
	}
	if (p->idle) {
		*ret = p->idle_conns[--p->idle];
		return OK;
	}
	p->conns++;
	*ret = NULL;
	return OK;
}

void pg_pool_put(struct pg_pool *p, struct pg_conn *c)
{
	bool good = c && pg_conn_good(c);

	if (!good)
		pg_conn_close(c);
	os_mutex_lock(&p->lock);
	if (good)
		p->idle_conns[p->idle++] = c;
	else
		p->conns--;
	os_mutex_unlock(&p->lock);
	/* Who wakes up wants the lock. */
	os_cond_signal(&p->came_back);
}

void pg_pool_drop_idle(struct pg_pool *p)
{
	struct pg_conn *gone[PG_CONNS_MAX];
	unsigned n;

	os_mutex_lock(&p->lock);
	n = p->idle;
	for (unsigned i = 0; i < n; i++)
		gone[i] = p->idle_conns[i];
	p->idle = 0;
	p->conns -= n;
	os_cond_broadcast(&p->came_back);
	os_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < n; i++)
		pg_conn_close(gone[i]);
}

enum err pg_pool_get(struct call *call, struct pg_pool *p, struct pg_conn **ret)
{
	TRY_PLAIN(take_place(call, p, ret));
	if (*ret)
		return OK;
	enum err e = pg_conn_open(call, p->url, ret);
	if (e)
		pg_pool_put(p, NULL);
	return e;
}

void pg_pool_fini(struct pg_pool *p)
{
	pg_pool_drop_idle(p);
	os_mutex_fini(&p->lock);
	os_cond_fini(&p->came_back);
	/* It may have a password in it. */
	if (p->url)
		buf_free_secret(&(struct buf){ .data = (uint8_t *)p->url, .cap = strlen(p->url) });
	p->url = NULL;
}
