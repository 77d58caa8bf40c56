/* Fibres as threads, and locks that are never contended: the baton does not move under them. */
#include "os/thread.h"

#include "os/lock.h"
#include "sim/world_internal.h"

struct sim_mutex {
	uint64_t held;
};

/* A waiter is ready when a signal came after it began.  A signal wakes all of them: the contract
 * allows spurious wake-ups, and a waiter that timed out cannot swallow another one's signal. */
struct sim_cond {
	uint64_t signals;
};

struct cond_wait {
	const struct sim_cond *cond;
	uint64_t signals_before;
};

static _Thread_local unsigned locks_held;

static struct sim_mutex *mutex_of(struct os_mutex *m)
{
	return (struct sim_mutex *)(void *)m->body;
}

static struct sim_cond *cond_of(struct os_cond *c)
{
	return (struct sim_cond *)(void *)c->body;
}

void os_mutex_lock(struct os_mutex *m)
{
	if (mutex_of(m)->held)
		sim_bug("a lock is held across a wait, or taken twice");
	mutex_of(m)->held = 1;
	locks_held++;
}

void os_mutex_unlock(struct os_mutex *m)
{
	if (!mutex_of(m)->held)
		sim_bug("unlock of a free lock");
	mutex_of(m)->held = 0;
	locks_held--;
}

void os_mutex_fini(struct os_mutex *m)
{
	if (mutex_of(m)->held)
		sim_bug("end of a held lock");
}

void os_assert_no_lock(const char *where)
{
	if (locks_held)
		sim_bug(where);
}

static int64_t signalled_at(void *arg)
{
	const struct cond_wait *w = arg;

	return w->cond->signals != w->signals_before ? 0 : SIM_NEVER;
}

static enum err wait_signal(struct call *call, struct os_cond *c, struct os_mutex *m)
{
	struct cond_wait w = { cond_of(c), cond_of(c)->signals };

	os_mutex_unlock(m);
	enum err e = sim_block(call, signalled_at, &w);
	os_mutex_lock(m);
	return e;
}

enum err os_cond_wait(struct call *call, struct os_cond *c, struct os_mutex *m)
{
	/* Like the real body: only the deadline ends the wait, not the cancellation. */
	struct call timed = { .deadline_ns = call->deadline_ns };

	if (wait_signal(&timed, c, m) == ERR_DEADLINE)
		return call_fail(call, ERR_DEADLINE, "timed out");
	return OK;
}

void os_cond_wait_forever(struct os_cond *c, struct os_mutex *m)
{
	if (wait_signal(NULL, c, m))
		sim_bug("endless wait ended");
}

void os_cond_signal(struct os_cond *c)
{
	cond_of(c)->signals++;
}

void os_cond_broadcast(struct os_cond *c)
{
	cond_of(c)->signals++;
}

void os_cond_fini(struct os_cond *c)
{
}

static unsigned *flag_of(struct os_flag *f)
{
	return (unsigned *)(void *)f->body;
}

static int64_t flag_at(void *arg)
{
	return *(const unsigned *)arg ? 0 : SIM_NEVER;
}

enum err os_flag_wait(struct call *call, struct os_flag *f)
{
	struct call timed = { .deadline_ns = call->deadline_ns };

	if (sim_block(&timed, flag_at, flag_of(f)))
		return call_fail(call, ERR_DEADLINE, "timed out");
	--*flag_of(f);
	return OK;
}

void os_flag_set(struct os_flag *f)
{
	++*flag_of(f);
}

void os_flag_fini(struct os_flag *f)
{
}

enum err os_thread_start(struct call *call, const char *name, void (*fn)(void *arg), void *arg,
			 struct os_thread **ret_thread)
{
	*ret_thread = (struct os_thread *)(void *)sim_fibre_start(fn, arg);
	return OK;
}

void os_thread_join(struct os_thread *t)
{
	if (t)
		sim_fibre_join((struct sim_fibre *)(void *)t);
}

unsigned os_cpu_count(void)
{
	return 2;
}
