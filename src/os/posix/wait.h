/* The one place of this body where threads wait for descriptors. */
#ifndef ACRE_OS_POSIX_WAIT_H
#define ACRE_OS_POSIX_WAIT_H

#include "base/call.h"

/* Waits for events (poll.h) on fd (none if negative), the call's deadline or cancellation.
 * OK with *ret_events, ERR_DEADLINE or ERR_CANCELED; sets no error text. */
enum err posix_wait(struct call *call, int fd, short events, short *ret_events);
/* The same, and for another one to become readable: *ret_events may be 0 then. */
enum err posix_wait_two(struct call *call, int fd, short events, int other, short *ret_events);

#endif
