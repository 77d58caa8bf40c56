/* Events are event descriptors, which hold a count: anything but zero is readable. */
#include "os/event.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/posix/wait.h"

enum err os_event_init(struct call *call, struct os_event *e)
{
	e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->fd < 0)
		return call_fail(call, ERR_EXHAUSTED,
				 "no file descriptor left (raise the limit with ulimit -n)");
	return OK;
}

void os_event_fini(struct os_event *e)
{
	close(e->fd);
	e->fd = -1;
}

void os_event_set(struct os_event *e)
{
	uint64_t one = 1;

	if (write(e->fd, &one, sizeof(one)) < 0) {
		/* Full means that it is set already. */
	}
}

void os_event_clear(struct os_event *e)
{
	uint64_t count;

	if (read(e->fd, &count, sizeof(count)) < 0) {
		/* It was not set. */
	}
}

enum err os_event_wait_or_fd(struct call *call, const struct os_event *e, int fd)
{
	enum err r = posix_wait_two(call, fd, POLLIN, e->fd, NULL);

	return r ? call_fail(call, r, "%s", err_text(r)) : OK;
}
