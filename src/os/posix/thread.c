/* Threads over pthreads. */
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "os/lock.h"

struct os_thread {
	pthread_t handle;
	void (*fn)(void *arg);
	void *arg;
	char name[OS_THREAD_NAME_MAX + 1];
};

static void *thread_main(void *arg)
{
	struct os_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->arg);
	return NULL;
}

enum err os_thread_start(struct call *call, const char *name, void (*fn)(void *arg), void *arg,
			 struct os_thread **ret_thread)
{
	AUTO_FREE struct os_thread *t = calloc(1, sizeof(*t));
	pthread_attr_t attr;
	sigset_t all, old;

	if (!t)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a thread");
	t->fn = fn;
	t->arg = arg;
	snprintf(t->name, sizeof(t->name), "%s", name);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, OS_THREAD_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int r = pthread_create(&t->handle, &attr, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return call_fail(call, ERR_EXHAUSTED, "cannot start a thread: %s", strerror(r));
	*ret_thread = take(&t);
	return OK;
}

void os_thread_join(struct os_thread *t)
{
	if (!t)
		return;
	os_assert_no_lock(__func__);
	pthread_join(t->handle, NULL);
	free(t);
}

unsigned os_cpu_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	int n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}
