/* Worker pool on top of threads and locks of either body. */
#include "os/pool.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/thread.h"

enum { IDLE_SECONDS_MAX = 10 };

struct job {
	void (*fn)(void *arg);
	void *arg;
};

struct worker {
	struct os_pool *pool;
	struct os_thread *thread;
	struct worker *next;
};

struct os_pool {
	struct os_mutex lock;
	struct os_cond work;  /* a job came, or stop */
	struct os_cond ended; /* a worker ended */
	char name[OS_THREAD_NAME_MAX + 1];
	unsigned threads_max, threads, idle;
	struct worker *done; /* ended, to be joined */
	bool stop;
	struct job *queue; /* ring */
	unsigned queue_max, queue_first, queue_len;
};

/* Under the lock: the workers that have ended, to be joined outside of it. */
static struct worker *take_done(struct os_pool *pool)
{
	struct worker *w = pool->done;

	pool->done = NULL;
	return w;
}

static void reap(struct worker *w)
{
	while (w) {
		struct worker *next = w->next;
		os_thread_join(w->thread);
		free(w);
		w = next;
	}
}

static void worker_main(void *arg)
{
	struct worker *self = arg;
	struct os_pool *pool = self->pool;

	os_mutex_lock(&pool->lock);
	for (;;) {
		while (pool->queue_len) {
			struct job job = pool->queue[pool->queue_first];
			pool->queue_first = (pool->queue_first + 1) % pool->queue_max;
			pool->queue_len--;
			os_mutex_unlock(&pool->lock);
			job.fn(job.arg);
			os_mutex_lock(&pool->lock);
		}
		if (pool->stop)
			break;
		struct call wait;
		call_init(&wait);
		os_call_limit(&wait, IDLE_SECONDS_MAX * NS_PER_SEC);
		pool->idle++;
		enum err e = OK;
		while (!pool->queue_len && !pool->stop && !e)
			e = os_cond_wait(&wait, &pool->work, &pool->lock);
		pool->idle--;
		if (e && !pool->queue_len)
			break;
	}
	pool->threads--;
	self->next = pool->done;
	pool->done = self;
	os_cond_broadcast(&pool->ended);
	os_mutex_unlock(&pool->lock);
}

enum err os_pool_new(struct call *call, const char *name, unsigned threads_max, unsigned queue_max,
		     struct os_pool **ret_pool)
{
	struct os_pool *pool = calloc(1, sizeof(*pool));

	if (queue_max < 1)
		queue_max = 1;
	if (pool)
		pool->queue = calloc(queue_max, sizeof(*pool->queue));
	if (!pool || !pool->queue) {
		free(pool);
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a pool");
	}
	for (size_t i = 0; i < OS_THREAD_NAME_MAX && name[i]; i++)
		pool->name[i] = name[i];
	pool->threads_max = threads_max;
	pool->queue_max = queue_max;
	*ret_pool = pool;
	return OK;
}

/* Starts one more worker; the caller counted it already. */
static enum err add_worker(struct call *call, struct os_pool *pool)
{
	AUTO_FREE struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a worker");
	w->pool = pool;
	/* The worker may end, and be reaped by another thread, before start returns; the lock
	 * keeps it from listing itself until its thread handle is stored. */
	os_mutex_lock(&pool->lock);
	enum err e = os_thread_start(call, pool->name, worker_main, w, &w->thread);
	os_mutex_unlock(&pool->lock);
	if (!e)
		take(&w);
	return e;
}

enum err os_pool_submit(struct call *call, struct os_pool *pool, void (*fn)(void *arg), void *arg)
{
	os_mutex_lock(&pool->lock);
	struct worker *done = take_done(pool);
	if (pool->stop || pool->queue_len == pool->queue_max) {
		bool stop = pool->stop;
		os_mutex_unlock(&pool->lock);
		reap(done);
		return call_fail(call, ERR_UNAVAILABLE, stop ? "shutting down" : "overloaded");
	}
	pool->queue[(pool->queue_first + pool->queue_len) % pool->queue_max] = (struct job){ fn,
											     arg };
	pool->queue_len++;
	bool grow = pool->queue_len > pool->idle && pool->threads < pool->threads_max;
	if (grow)
		pool->threads++;
	os_mutex_unlock(&pool->lock);
	/* Not under the lock: who is woken would only wait for it. */
	if (!grow)
		os_cond_signal(&pool->work);
	reap(done);
	if (!grow)
		return OK;
	enum err e = add_worker(call, pool);
	if (!e)
		return OK;
	/* Without a thread the job stays queued as long as somebody is left to take it. */
	os_mutex_lock(&pool->lock);
	pool->threads--;
	bool lost = pool->threads == 0;
	if (lost)
		pool->queue_len--;
	os_cond_broadcast(&pool->ended);
	os_mutex_unlock(&pool->lock);
	return lost ? e : OK;
}

void os_pool_free(struct os_pool *pool)
{
	if (!pool)
		return;
	os_mutex_lock(&pool->lock);
	pool->stop = true;
	os_cond_broadcast(&pool->work);
	while (pool->threads)
		os_cond_wait_forever(&pool->ended, &pool->lock);
	struct worker *done = take_done(pool);
	os_mutex_unlock(&pool->lock);
	reap(done);
	os_mutex_fini(&pool->lock);
	os_cond_fini(&pool->work);
	os_cond_fini(&pool->ended);
	free(pool->queue);
	free(pool);
}
