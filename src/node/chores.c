/* The scheduler of chores. */
#include "node/chores.h"

#include <stdlib.h>

#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/pool.h"
#include "os/thread.h"

enum { CHORES_QUEUE_MAX = 4096, CHORES_BUSY_MS = 100 };

struct chore {
	struct chores *owner;
	chore_fn *fn;
	void *arg;
	struct os_cancel *cancel;
	int64_t due_ns;
	bool running;
	struct chore *next;
};

struct chores {
	struct os_mutex lock;
	struct os_cond changed;
	struct os_thread *thread;
	struct os_pool *pool;
	struct chore *list;
	bool stop;
};

static int64_t due_in(int64_t ns)
{
	int64_t now = os_clock_mono_ns();

	return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

static void run_chore(void *arg)
{
	struct chore *chore = arg;
	struct chores *c = chore->owner;
	struct call call;

	call_init(&call);
	call.cancel = chore->cancel;
	int64_t next = chore->fn(&call, chore->arg);
	call_fini(&call);
	os_mutex_lock(&c->lock);
	/* chores_soon may have asked for an earlier time while it ran. */
	chore->due_ns = MIN(chore->due_ns, due_in(next));
	chore->running = false;
	os_cond_broadcast(&c->changed);
	os_mutex_unlock(&c->lock);
}

static struct chore *earliest(const struct chores *c)
{
	struct chore *best = NULL;

	for (struct chore *p = c->list; p; p = p->next)
		if (!p->running && (!best || p->due_ns < best->due_ns))
			best = p;
	return best;
}

/* Waits for a change, or until the time; lock held. */
static void wait_until(struct chores *c, int64_t due_ns)
{
	struct call call;

	call_init(&call);
	call.deadline_ns = due_ns;
	if (os_cond_wait(&call, &c->changed, &c->lock))
		call_clear_error(&call);
	call_fini(&call);
}

static void scheduler(void *arg)
{
	struct chores *c = arg;
	struct call call;

	call_init(&call);
	os_mutex_lock(&c->lock);
	while (!c->stop) {
		struct chore *chore = earliest(c);
		if (!chore || chore->due_ns > os_clock_mono_ns()) {
			wait_until(c, chore ? chore->due_ns : CALL_NO_DEADLINE);
			continue;
		}
		chore->running = true;
		chore->due_ns = INT64_MAX;
		os_mutex_unlock(&c->lock);
		enum err e = os_pool_submit(&call, c->pool, run_chore, chore);
		os_mutex_lock(&c->lock);
		if (e) { /* all threads are busy and the queue is full */
			chore->running = false;
			chore->due_ns = due_in(CHORES_BUSY_MS * NS_PER_MS);
			os_cond_broadcast(&c->changed);
		}
	}
	os_mutex_unlock(&c->lock);
	call_fini(&call);
}

enum err chores_new(struct call *call, unsigned threads_max, struct chores **ret)
{
	struct chores *c = calloc(1, sizeof(*c));

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	enum err e = os_pool_new(call, "chore", threads_max, CHORES_QUEUE_MAX, &c->pool);
	if (!e)
		e = os_thread_start(call, "chores", scheduler, c, &c->thread);
	if (e) {
		chores_free(c);
		return e;
	}
	*ret = c;
	return OK;
}

void chores_free(struct chores *c)
{
	if (!c)
		return;
	os_mutex_lock(&c->lock);
	c->stop = true;
	os_cond_broadcast(&c->changed);
	os_mutex_unlock(&c->lock);
	os_thread_join(c->thread);
	os_pool_free(c->pool);
	os_mutex_fini(&c->lock);
	os_cond_fini(&c->changed);
	free(c);
}

enum err chores_add(struct call *call, struct chores *c, chore_fn *fn, void *arg, int64_t first_ns,
		    struct os_cancel *cancel, struct chore **ret)
{
	struct chore *chore = calloc(1, sizeof(*chore));

	if (!chore)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*chore = (struct chore){ .owner = c, .fn = fn, .arg = arg, .cancel = cancel };
	os_mutex_lock(&c->lock);
	chore->due_ns = due_in(first_ns);
	chore->next = c->list;
	c->list = chore;
	*ret = chore;
	os_cond_broadcast(&c->changed);
	os_mutex_unlock(&c->lock);
	return OK;
}

void chores_remove(struct chores *c, struct chore *chore)
{
	if (!chore)
		return;
	os_mutex_lock(&c->lock);
	while (chore->running)
		os_cond_wait_forever(&c->changed, &c->lock);
	for (struct chore **p = &c->list; *p; p = &(*p)->next)
		if (*p == chore) {
			*p = chore->next;
			break;
		}
	os_mutex_unlock(&c->lock);
	free(chore);
}

void chores_soon(struct chores *c, struct chore *chore, int64_t ns)
{
	OS_LOCKED(&c->lock);
	int64_t due = due_in(ns);

	if (due < chore->due_ns) {
		chore->due_ns = due;
		os_cond_broadcast(&c->changed);
	}
}
