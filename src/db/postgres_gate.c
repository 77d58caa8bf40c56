/* Additive increase, multiplicative decrease, as of TCP's windows. */
#include "db/postgres_gate.h"

#include "base/num.h"
#include "db/postgres_pool.h"

enum {
	PARTS = 256,			  /* of one place */
	WIDTH_MAX = PG_CONNS_MAX * PARTS, /* more would wait for a connection */
	WIDTH_MIN = 3 * PARTS,		  /* a long change does not keep all others out */
	GAIN = PARTS / 16,		  /* for each that ended well */
	LOSS_SHARE = 8,			  /* for each that did not, of the width */
};

void pg_gate_init(struct pg_gate *g)
{
	*g = (struct pg_gate){ .width = WIDTH_MAX };
}

void pg_gate_fini(struct pg_gate *g)
{
	os_mutex_fini(&g->lock);
	os_cond_fini(&g->left);
}

static bool is_full(const struct pg_gate *g)
{
	return g->inside >= g->width / PARTS;
}

enum err pg_gate_enter(struct call *call, struct pg_gate *g)
{
	OS_LOCKED(&g->lock);
	while (is_full(g)) {
		enum err e = os_cond_wait(call, &g->left, &g->lock);
		if (e && is_full(g))
			return call_fail(call, e, "timed out waiting for the database");
	}
	g->inside++;
	return OK;
}

void pg_gate_leave(struct pg_gate *g, bool conflict)
{
	os_mutex_lock(&g->lock);
	unsigned before = g->width / PARTS;
	g->inside--;
	g->width = conflict ? MAX((unsigned)WIDTH_MIN, g->width - g->width / LOSS_SHARE)
			    : MIN((unsigned)WIDTH_MAX, g->width + GAIN);
	bool wider = g->width / PARTS > before;
	os_mutex_unlock(&g->lock);
	/* Who wakes up wants the lock. */
	os_cond_signal(&g->left);
	if (wider)
		os_cond_signal(&g->left);
}

unsigned pg_gate_width(struct pg_gate *g)
{
	OS_LOCKED(&g->lock);
	return g->width / PARTS;
}
