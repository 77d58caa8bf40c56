/* Locks over pthreads; a thread-local count finds waits under a lock. */
#include "os/lock.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "os/clock.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct os_mutex), "mutex fits");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(struct os_cond), "condition fits");
_Static_assert(sizeof(sem_t) <= sizeof(struct os_flag), "flag fits");

static _Thread_local unsigned locks_held;

static pthread_mutex_t *mutex_of(struct os_mutex *m)
{
	return (pthread_mutex_t *)(void *)m->body;
}

static pthread_cond_t *cond_of(struct os_cond *c)
{
	return (pthread_cond_t *)(void *)c->body;
}

static sem_t *sem_of(struct os_flag *f)
{
	return (sem_t *)(void *)f->body;
}

void os_mutex_lock(struct os_mutex *m)
{
	if (pthread_mutex_lock(mutex_of(m)))
		abort();
	locks_held++;
}

void os_mutex_unlock(struct os_mutex *m)
{
	if (pthread_mutex_unlock(mutex_of(m)))
		abort();
	locks_held--;
}

void os_mutex_fini(struct os_mutex *m)
{
	pthread_mutex_destroy(mutex_of(m));
}

void os_assert_no_lock(const char *where)
{
	if (locks_held) {
		fprintf(stderr, "bug: %s waits while its thread holds a lock\n", where);
		abort();
	}
}

static struct timespec deadline_of(const struct call *call)
{
	int64_t ns = call->deadline_ns > 0 ? call->deadline_ns : 0;

	return (struct timespec){ .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };
}

enum err os_cond_wait(struct call *call, struct os_cond *c, struct os_mutex *m)
{
	if (call->deadline_ns == CALL_NO_DEADLINE) {
		os_cond_wait_forever(c, m);
		return OK;
	}
	struct timespec t = deadline_of(call);
	locks_held--;
	os_assert_no_lock(__func__);
	int r = pthread_cond_clockwait(cond_of(c), mutex_of(m), CLOCK_MONOTONIC, &t);
	locks_held++;
	if (r == ETIMEDOUT)
		return call_fail(call, ERR_DEADLINE, "timed out");
	return OK;
}

void os_cond_wait_forever(struct os_cond *c, struct os_mutex *m)
{
	locks_held--;
	os_assert_no_lock(__func__);
	pthread_cond_wait(cond_of(c), mutex_of(m));
	locks_held++;
}

void os_cond_signal(struct os_cond *c)
{
	pthread_cond_signal(cond_of(c));
}

void os_cond_broadcast(struct os_cond *c)
{
	pthread_cond_broadcast(cond_of(c));
}

void os_cond_fini(struct os_cond *c)
{
	pthread_cond_destroy(cond_of(c));
}

enum err os_flag_wait(struct call *call, struct os_flag *f)
{
	struct timespec t = deadline_of(call);
	bool timed = call->deadline_ns != CALL_NO_DEADLINE;
	int r;

	os_assert_no_lock(__func__);
	do {
		r = timed ? sem_clockwait(sem_of(f), CLOCK_MONOTONIC, &t) : sem_wait(sem_of(f));
	} while (r && errno == EINTR);
	return r ? call_fail(call, ERR_DEADLINE, "timed out") : OK;
}

void os_flag_set(struct os_flag *f)
{
	sem_post(sem_of(f));
}

void os_flag_fini(struct os_flag *f)
{
	sem_destroy(sem_of(f));
}
