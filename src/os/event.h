/* A flag that a foreign event loop can watch by descriptor.  Not in the simulated world. */
#ifndef ACRE_OS_EVENT_H
#define ACRE_OS_EVENT_H

#include "base/call.h"

struct os_event {
	int fd; /* readable while the flag is set */
};

/* ERR_EXHAUSTED when the process has no file descriptor left. */
enum err os_event_init(struct call *call, struct os_event *e) MUST_USE;
void os_event_fini(struct os_event *e);
/* Neither waits; both may be called under a lock. */
void os_event_set(struct os_event *e);
void os_event_clear(struct os_event *e);
/* Waits until the flag is set or the descriptor of a foreign library is readable. */
enum err os_event_wait_or_fd(struct call *call, const struct os_event *e, int fd) MUST_USE;

#endif
