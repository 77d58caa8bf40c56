/* Waiting for a descriptor, a deadline and a cancellation, whichever comes first. */
#include "os/posix/wait.h"

#include <errno.h>
#include <poll.h>

#include "os/cancel.h"
#include "os/clock.h"
#include "os/lock.h"

static bool deadline_timeout(int64_t deadline_ns, struct timespec *t)
{
	if (deadline_ns == CALL_NO_DEADLINE)
		return false;
	int64_t left = deadline_ns - os_clock_mono_ns();
	if (left < 0)
		left = 0;
	t->tv_sec = left / NS_PER_SEC;
	t->tv_nsec = left % NS_PER_SEC;
	return true;
}

enum err posix_wait(struct call *call, int fd, short events, short *ret_events)
{
	return posix_wait_two(call, fd, events, -1, ret_events);
}

enum err posix_wait_two(struct call *call, int fd, short events, int other, short *ret_events)
{
	/* poll leaves out what is negative. */
	struct pollfd fds[2 + OS_CANCEL_DEPTH_MAX] = { { .fd = fd, .events = events },
						       { .fd = other, .events = POLLIN } };
	nfds_t n = 2;

	os_assert_no_lock(__func__);
	for (struct os_cancel *c = call->cancel; c && n < 2 + OS_CANCEL_DEPTH_MAX; c = c->parent)
		fds[n++] = (struct pollfd){ .fd = c->handle, .events = POLLIN };
	for (;;) {
		struct timespec t;
		bool timed = deadline_timeout(call->deadline_ns, &t);
		if (call->cancel && os_cancel_is_set(call->cancel))
			return ERR_CANCELED;
		int r = ppoll(fds, n, timed ? &t : NULL, NULL);
		if (r < 0 && errno != EINTR)
			return ERR_INTERNAL;
		if (r > 0 && (fds[0].revents || fds[1].revents)) {
			if (ret_events)
				*ret_events = fds[0].revents;
			return OK;
		}
		if (call->cancel && os_cancel_is_set(call->cancel))
			return ERR_CANCELED;
		if (timed && os_clock_mono_ns() >= call->deadline_ns)
			return ERR_DEADLINE;
	}
}
