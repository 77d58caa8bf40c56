/* Time.  Deadlines are monotonic; what peers and people see is Unix time.  Nanoseconds in both. */
#ifndef ACRE_OS_CLOCK_H
#define ACRE_OS_CLOCK_H

#include "base/call.h"
#include "base/num.h"

int64_t os_clock_mono_ns(void);
int64_t os_clock_unix_ns(void);
/* Minute of the day, 0 to 1439, of that time in the machine's time zone. */
unsigned os_clock_day_minute(int64_t unix_ns);
/* CPU time of the calling thread, for benches. */
int64_t os_clock_cpu_ns(void);

/* Waits; ERR_CANCELED or ERR_DEADLINE when the call ends first. */
enum err os_sleep(struct call *call, int64_t ns) MUST_USE;

/* Makes the call end ns from now, unless it ends earlier already. */
void os_call_limit(struct call *call, int64_t ns);
/* OK, ERR_CANCELED or ERR_DEADLINE, for loops that compute without waiting. */
enum err os_call_check(struct call *call) MUST_USE;

#endif
