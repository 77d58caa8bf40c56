/* A pool of threads in front of a queue of events. */
#include "client/loop.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "os/event.h"
#include "os/lock.h"
#include "os/pool.h"

/* A piece of work and later the event of its end; or the event of some progress. */
struct job {
	struct loop *loop;
	AcreLoopFunc *work;
	AcreLoopEvent event;
	struct job *next;
};

struct loop {
	struct handled handled;
	struct os_pool *pool;
	struct os_event ready; /* set while there are events */
	struct os_mutex lock;  /* guards all below */
	struct os_cond given;  /* giving became less */
	unsigned giving;       /* calls that are handing work to the pool */
	bool stopped;
	struct job *first, **last;
};

static void free_loop(struct loop *l)
{
	os_pool_free(l->pool);
	while (l->first) {
		struct job *job = l->first;
		l->first = job->next;
		free(job);
	}
	if (l->ready.fd >= 0)
		os_event_fini(&l->ready);
	os_mutex_fini(&l->lock);
	os_cond_fini(&l->given);
	free(l);
}

static void release(struct handled *h)
{
	free_loop((struct loop *)(void *)h);
}

DEFINE_AUTO_PTR(struct loop, loop_auto, free_loop)

enum err loop_new(struct call *call, unsigned threads_max, struct loop **ret)
{
	AUTO(loop_auto) struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	l->handled = (struct handled){ HANDLE_LOOP, 1, release };
	l->ready.fd = -1;
	l->last = &l->first;
	if (threads_max > LOOP_THREADS_MAX)
		return call_fail(call, ERR_INVALID, "%u threads are more than %d", threads_max,
				 LOOP_THREADS_MAX);
	TRY_PLAIN(os_event_init(call, &l->ready));
	TRY_PLAIN(os_pool_new(call, "acre-loop", threads_max ? threads_max : LOOP_THREADS_DEFAULT,
			      LOOP_WAITING_MAX, &l->pool));
	*ret = take(&l);
	return OK;
}

struct handled *loop_handled(struct loop *l)
{
	return &l->handled;
}

int loop_fd(const struct loop *l)
{
	return l->ready.fd;
}

/* Lock held. */
static void append(struct loop *l, struct job *job)
{
	if (!l->first)
		os_event_set(&l->ready);
	job->next = NULL;
	*l->last = job;
	l->last = &job->next;
}

static void work_main(void *arg)
{
	struct job *job = arg;
	struct loop *l = job->loop;

	job->work(job->event.arg);
	OS_LOCKED(&l->lock);
	append(l, job);
}

static enum err give(struct call *call, struct loop *l, struct job *job)
{
	os_mutex_lock(&l->lock);
	bool stopped = l->stopped;
	l->giving += !stopped;
	os_mutex_unlock(&l->lock);
	if (stopped)
		return call_fail(call, ERR_CANCELED, "the loop is being freed");
	enum err e = os_pool_submit(call, l->pool, work_main, job);
	OS_LOCKED(&l->lock);
	l->giving--;
	os_cond_broadcast(&l->given);
	return e;
}

enum err loop_run(struct call *call, struct loop *l, AcreLoopFunc *work, void *arg)
{
	AUTO_FREE struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	job->loop = l;
	job->work = work;
	job->event = (AcreLoopEvent){ .kind = ACRE_LOOP_DONE, .arg = arg };
	TRY(give(call, l, job), "%d calls wait already", LOOP_WAITING_MAX);
	take(&job);
	return OK;
}

void loop_progress(struct loop *l, void *arg, const AcreProgress *progress)
{
	OS_LOCKED(&l->lock);
	for (struct job *job = l->first; job; job = job->next)
		if (job->event.kind == ACRE_LOOP_PROGRESS && job->event.arg == arg) {
			job->event.progress = *progress;
			return;
		}
	struct job *job = calloc(1, sizeof(*job));
	if (!job)
		return; /* the next one will tell */
	job->event = (AcreLoopEvent){ ACRE_LOOP_PROGRESS, arg, *progress };
	append(l, job);
}

bool loop_next(struct loop *l, AcreLoopEvent *ret)
{
	AUTO_FREE struct job *job = NULL;

	OS_LOCKED(&l->lock);
	job = l->first;
	if (!job)
		return false;
	l->first = job->next;
	if (!l->first) {
		l->last = &l->first;
		os_event_clear(&l->ready);
	}
	*ret = job->event;
	return true;
}

void loop_stop(struct loop *l)
{
	os_mutex_lock(&l->lock);
	l->stopped = true;
	while (l->giving)
		os_cond_wait_forever(&l->given, &l->lock);
	os_mutex_unlock(&l->lock);
	os_pool_free(take(&l->pool));
}
