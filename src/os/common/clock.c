/* What both bodies share of clock, cancel and random. */
#include "os/clock.h"

#include "os/cancel.h"
#include "os/random.h"

void os_call_limit(struct call *call, int64_t ns)
{
	int64_t now = os_clock_mono_ns();
	int64_t end = ns > INT64_MAX - now ? CALL_NO_DEADLINE : now + ns;

	if (end < call->deadline_ns)
		call->deadline_ns = end;
}

enum err os_call_check(struct call *call)
{
	if (call->cancel && os_cancel_is_set(call->cancel))
		return call_fail(call, ERR_CANCELED, "canceled");
	if (call->deadline_ns != CALL_NO_DEADLINE && os_clock_mono_ns() >= call->deadline_ns)
		return call_fail(call, ERR_DEADLINE, "timed out");
	return OK;
}

bool os_cancel_is_set(const struct os_cancel *c)
{
	for (; c; c = c->parent)
		if (c->set)
			return true;
	return false;
}

uint64_t os_random_below(uint64_t n)
{
	/* Values above the last whole multiple of n are thrown away, so that none is preferred. */
	uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;

	do {
		os_random(&v, sizeof(v));
	} while (v >= limit);
	return v % n;
}
