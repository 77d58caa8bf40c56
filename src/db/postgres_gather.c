/* Who leads, who follows, and what happens when one of them has to go. */
#include "db/postgres_gather.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
	TOGETHER_MAX = 16,	 /* in one packet */
	VALUES_BYTES_MAX = 4096, /* of one look-up; a longer one goes by itself */
};
/* Whoever comes this long after the last turn began leads, however many do: the database is slow,
 * and several connections get more out of its disk than one.  (Not a timer of those who wait: to
 * set and stop one costs more than the look-up.) */
#define PATIENCE_NS (1 * NS_PER_MS)
/* How often those who wait look whether their own call has ended. */
#define CHECK_NS (250 * NS_PER_MS)

/* One look-up.  Its caller may have to go before its leader is through, so it has copies, and the
 * last of both frees it. */
struct gathered {
	struct os_flag changed;
	_Atomic unsigned holders;
	_Atomic enum { QUEUED, TAKEN, DONE } state; /* changed under the lock */
	/* Under the lock: */
	struct gathered *next;
	bool leads; /* a turn was left to it; one of g->leaders is this one */
	/* The leader's while it is taken: */
	struct pg_look_up look_up;
	struct db_value values[];
};

void pg_gather_init(struct pg_gather *g)
{
	*g = (struct pg_gather){ .leaders_max = MAX(1U, os_cpu_count() / 2) };
}

void pg_gather_fini(struct pg_gather *g)
{
	os_mutex_fini(&g->lock);
}

static struct gathered *gathered_new(const char *sql, const struct db_value *values, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += values[i].bytes.len;
	if (bytes > VALUES_BYTES_MAX)
		return NULL;
	struct gathered *q = malloc(sizeof(*q) + count * sizeof(q->values[0]) + bytes);
	if (!q)
		return NULL;
	*q = (struct gathered){ .holders = 1,
				.look_up = { .sql = sql, .values = q->values, .count = count } };
	uint8_t *at = (uint8_t *)(q->values + count);
	for (size_t i = 0; i < count; i++) {
		size_t len = values[i].bytes.len;
		q->values[i] = values[i];
		if (!len)
			continue;
		memcpy(at, values[i].bytes.data, len);
		q->values[i].bytes = BYTES(at, len);
		at += len;
	}
	return q;
}

static void gathered_put(struct gathered *q)
{
	if (!q || --q->holders)
		return;
	PQclear(q->look_up.result);
	os_flag_fini(&q->changed);
	free(q);
}

/* ---- the queue; under the lock ---- */

static void queue_add(struct pg_gather *g, struct gathered *q)
{
	*(g->first ? &g->last->next : &g->first) = q;
	g->last = q;
}

static struct gathered *queue_take(struct pg_gather *g)
{
	struct gathered *q = g->first;

	if (q) {
		g->first = q->next;
		q->next = NULL;
	}
	return q;
}

static void queue_remove(struct pg_gather *g, const struct gathered *q)
{
	struct gathered *before = NULL;

	for (struct gathered *at = g->first; at; before = at, at = at->next) {
		if (at != q)
			continue;
		*(before ? &before->next : &g->first) = at->next;
		if (g->last == at)
			g->last = before;
		return;
	}
}

/* ---- leading ---- */

static size_t take_all(struct pg_gather *g, struct gathered *list[TOGETHER_MAX])
{
	OS_LOCKED(&g->lock);
	size_t n = 0;

	g->turn_ns = os_clock_mono_ns();
	while (n < TOGETHER_MAX && g->first) {
		list[n] = queue_take(g);
		list[n]->state = TAKEN;
		/* A turn was left to it, which this is now. */
		if (list[n]->leads) {
			list[n]->leads = false;
			g->leaders--;
		}
		list[n]->holders++;
		n++;
	}
	return n;
}

/* The end of a turn. */
static void give_results(struct pg_gather *g, struct gathered *const *list, size_t n,
			 const struct gathered *own)
{
	os_mutex_lock(&g->lock);
	for (size_t i = 0; i < n; i++)
		list[i]->state = DONE;
	os_mutex_unlock(&g->lock);
	for (size_t i = 0; i < n; i++) {
		if (list[i] != own)
			os_flag_set(&list[i]->changed);
		gathered_put(list[i]);
	}
}

/* To the first in the queue, if there is one: nobody else leads before it has woken up. */
static void pass_on(struct pg_gather *g)
{
	os_mutex_lock(&g->lock);
	struct gathered *next = g->first;
	if (next && !next->leads) {
		next->leads = true;
		next->holders++;
	} else {
		next = NULL;
		g->leaders--;
	}
	os_mutex_unlock(&g->lock);
	if (next)
		os_flag_set(&next->changed);
	gathered_put(next);
}

/* Begun with g->leaders counted, without the lock.  False: there is no connection, and nobody was
 * taken; who waits too long will see for himself. */
static bool lead(struct call *call, struct pg_gather *g, struct pg_pool *pool,
		 const struct gathered *own)
{
	struct gathered *list[TOGETHER_MAX];
	struct pg_look_up *look_ups[TOGETHER_MAX];
	struct pg_conn *conn = NULL;
	bool connected = pg_pool_get(call, pool, &conn) == OK;
	size_t n = connected ? take_all(g, list) : 0;

	for (size_t i = 0; i < n; i++)
		look_ups[i] = &list[i]->look_up;
	/* Who has no result then goes by itself. */
	if (n && pg_conn_look_up(call, conn, look_ups, n))
		call_clear_error(call);
	if (connected)
		pg_pool_put(pool, conn);
	/* The next leader first: the database waits for it. */
	pass_on(g);
	give_results(g, list, n, own);
	return connected;
}

/* ---- following ---- */

/* Whether it is for this one to lead now; counted then. */
static bool shall_lead(struct pg_gather *g, struct gathered *q, bool impatient)
{
	OS_LOCKED(&g->lock);
	bool leads = q->leads;

	q->leads = false;
	if (!leads && q->state == QUEUED &&
	    (impatient || g->leaders < g->leaders_max ||
	     os_clock_mono_ns() - g->turn_ns > PATIENCE_NS)) {
		g->leaders++;
		leads = true;
	}
	return leads;
}

/* For who goes without a result. */
static void leave(struct pg_gather *g, struct gathered *q)
{
	os_mutex_lock(&g->lock);
	bool leads = q->leads;
	if (q->state == QUEUED)
		queue_remove(g, q);
	os_mutex_unlock(&g->lock);
	if (leads)
		pass_on(g);
}

/* OK: it is done, or will not be. */
static enum err wait_done(struct call *call, struct pg_gather *g, struct pg_pool *pool,
			  struct gathered *q)
{
	bool impatient = false;

	while (q->state != DONE) {
		struct call until = { 0 }; /* only its deadline is looked at */
		bool queued = q->state == QUEUED;
		enum err e = os_call_check(call);
		bool connected = true;
		if (!e && shall_lead(g, q, impatient)) {
			connected = lead(call, g, pool, q);
			if (connected)
				continue;
			call_clear_error(call);
		}
		if (e || !connected) {
			leave(g, q);
			return e;
		}
		until.deadline_ns = MIN(call->deadline_ns, os_clock_mono_ns() + CHECK_NS);
		impatient = os_flag_wait(&until, &q->changed) && queued;
	}
	return OK;
}

enum err pg_gather_run(struct call *call, struct pg_gather *g, struct pg_pool *pool,
		       const char *sql, const struct db_value *values, size_t count, PGresult **ret)
{
	struct gathered *q = gathered_new(sql, values, count);

	*ret = NULL;
	if (!q)
		return OK;
	os_mutex_lock(&g->lock);
	queue_add(g, q);
	os_mutex_unlock(&g->lock);
	enum err e = wait_done(call, g, pool, q);
	if (!e && q->state == DONE)
		*ret = take(&q->look_up.result);
	gathered_put(q);
	return e;
}
