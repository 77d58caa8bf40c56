/* The scheduler of chores: a heap of what waits, by its time, and pools that run what is due. */
#include "node/chores.h"

#include <stdlib.h>

#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/pool.h"
#include "os/thread.h"

enum {
	QUEUE_MAX = 4096,
	BUSY_MS = 100,
	CHORES_MAX = 1 << 20,
	NETWORK_THREADS_PER_THREAD = 4, /* they mostly wait for satellites */
};

struct chore {
	struct chores *owner;
	chore_fn *fn;
	void *arg;
	struct os_cancel *cancel;
	int64_t due_ns;
	size_t at; /* in the heap, if not running */
	bool network, running;
};

struct chores {
	struct os_mutex lock;
	struct os_cond changed;
	struct os_thread *thread;
	struct os_pool *pool, *network_pool;
	struct chore **heap; /* those that do not run; the earliest first */
	size_t waiting, count, cap;
	bool stop;
};

/* ---- the heap ---- */

static void place(struct chores *c, struct chore *chore, size_t at)
{
	c->heap[at] = chore;
	chore->at = at;
}

/* The chore at `at` may be too early or too late for its place. */
static void settle(struct chores *c, size_t at)
{
	struct chore *chore = c->heap[at];

	while (at && c->heap[(at - 1) / 2]->due_ns > chore->due_ns) {
		place(c, c->heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;
		if (child + 1 < c->waiting && c->heap[child + 1]->due_ns < c->heap[child]->due_ns)
			child++;
		if (child >= c->waiting || c->heap[child]->due_ns >= chore->due_ns)
			break;
		place(c, c->heap[child], at);
		at = child;
	}
	place(c, chore, at);
}

static void heap_add(struct chores *c, struct chore *chore)
{
	place(c, chore, c->waiting++);
	settle(c, chore->at);
}

static void heap_remove(struct chores *c, struct chore *chore)
{
	size_t at = chore->at;
	struct chore *last = c->heap[--c->waiting];

	if (last == chore)
		return;
	place(c, last, at);
	settle(c, at);
}

/* Room for every chore there is, so that none can fail to come back. */
static enum err make_room(struct call *call, struct chores *c)
{
	size_t cap = c->cap ? 2 * c->cap : 64;

	if (c->count < c->cap)
		return OK;
	struct chore **heap = cap <= CHORES_MAX ? realloc(c->heap, cap * sizeof(struct chore *))
						: NULL;
	if (!heap)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for chores");
	c->heap = heap;
	c->cap = cap;
	return OK;
}

/* ---- running ---- */

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
	heap_add(c, chore);
	os_cond_broadcast(&c->changed);
	os_mutex_unlock(&c->lock);
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
		struct chore *chore = c->waiting ? c->heap[0] : NULL;
		if (!chore || chore->due_ns > os_clock_mono_ns()) {
			wait_until(c, chore ? chore->due_ns : CALL_NO_DEADLINE);
			continue;
		}
		heap_remove(c, chore);
		chore->running = true;
		chore->due_ns = INT64_MAX;
		os_mutex_unlock(&c->lock);
		struct os_pool *pool = chore->network ? c->network_pool : c->pool;
		enum err e = os_pool_submit(&call, pool, run_chore, chore);
		os_mutex_lock(&c->lock);
		if (e) { /* all threads are busy and the queue is full */
			call_clear_error(&call);
			chore->running = false;
			chore->due_ns = due_in(BUSY_MS * NS_PER_MS);
			heap_add(c, chore);
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
	enum err e = os_pool_new(call, "chore", threads_max, QUEUE_MAX, &c->pool);
	if (!e)
		e = os_pool_new(call, "chore-net", threads_max * NETWORK_THREADS_PER_THREAD,
				QUEUE_MAX, &c->network_pool);
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
	os_pool_free(c->network_pool);
	free(c->heap);
	os_mutex_fini(&c->lock);
	os_cond_fini(&c->changed);
	free(c);
}

static enum err add(struct call *call, struct chores *c, const struct chore *like, int64_t first_ns,
		    struct chore **ret)
{
	struct chore *chore = calloc(1, sizeof(*chore));

	if (!chore)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*chore = *like;
	os_mutex_lock(&c->lock);
	enum err e = make_room(call, c);
	if (!e) {
		chore->due_ns = due_in(first_ns);
		c->count++;
		heap_add(c, chore);
		*ret = chore;
		os_cond_broadcast(&c->changed);
	}
	os_mutex_unlock(&c->lock);
	if (e)
		free(chore);
	return e;
}

enum err chores_add(struct call *call, struct chores *c, chore_fn *fn, void *arg, int64_t first_ns,
		    struct os_cancel *cancel, struct chore **ret)
{
	const struct chore chore = { .owner = c, .fn = fn, .arg = arg, .cancel = cancel };

	return add(call, c, &chore, first_ns, ret);
}

enum err chores_add_network(struct call *call, struct chores *c, chore_fn *fn, void *arg,
			    int64_t first_ns, struct os_cancel *cancel, struct chore **ret)
{
	const struct chore chore = {
		.owner = c, .fn = fn, .arg = arg, .cancel = cancel, .network = true
	};

	return add(call, c, &chore, first_ns, ret);
}

void chores_remove(struct chores *c, struct chore *chore)
{
	if (!chore)
		return;
	os_mutex_lock(&c->lock);
	while (chore->running)
		os_cond_wait_forever(&c->changed, &c->lock);
	heap_remove(c, chore);
	c->count--;
	os_mutex_unlock(&c->lock);
	free(chore);
}

void chores_soon(struct chores *c, struct chore *chore, int64_t ns)
{
	OS_LOCKED(&c->lock);
	int64_t due = due_in(ns);

	if (due >= chore->due_ns)
		return;
	chore->due_ns = due;
	if (!chore->running)
		settle(c, chore->at);
	os_cond_broadcast(&c->changed);
}
