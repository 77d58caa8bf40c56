/* The real clock. */
#include "os/clock.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "os/cancel.h"
#include "os/lock.h"
#include "os/posix/wait.h"

static int64_t now(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

int64_t os_clock_mono_ns(void)
{
	return now(CLOCK_MONOTONIC);
}

int64_t os_clock_unix_ns(void)
{
	return now(CLOCK_REALTIME);
}

unsigned os_clock_day_minute(int64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / NS_PER_SEC);
	struct tm t = { 0 };

	localtime_r(&seconds, &t);
	return (unsigned)(t.tm_hour * 60 + t.tm_min);
}

int64_t os_clock_cpu_ns(void)
{
	return now(CLOCK_THREAD_CPUTIME_ID);
}

enum err os_sleep(struct call *call, int64_t ns)
{
	int64_t until = os_clock_mono_ns() + (ns > 0 ? ns : 0);
	struct call nap = *call;

	if (until < nap.deadline_ns)
		nap.deadline_ns = until;
	enum err e = posix_wait(&nap, -1, 0, NULL);
	if (e == ERR_DEADLINE && nap.deadline_ns < call->deadline_ns)
		return OK;
	return call_fail(call, e, "%s while sleeping", err_text(e));
}
