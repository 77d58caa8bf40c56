/* Cancel objects are event descriptors, so that poll can see them. */
#include "os/cancel.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum err os_cancel_init(struct call *call, struct os_cancel *c, struct os_cancel *parent)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return call_fail(call, ERR_EXHAUSTED,
				 "no file descriptor left (raise the limit with ulimit -n)");
	*c = (struct os_cancel){ .handle = fd, .parent = parent };
	return OK;
}

void os_cancel_fini(struct os_cancel *c)
{
	close(c->handle);
	c->handle = -1;
}

void os_cancel_set(struct os_cancel *c)
{
	uint64_t one = 1;
	int saved = errno;

	c->set = 1;
	if (write(c->handle, &one, sizeof(one)) < 0) {
		/* Full means that it is set already. */
	}
	errno = saved;
}
