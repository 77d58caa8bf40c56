/* Virtual time, seeded randomness, cancellation. */
#include "os/clock.h"

#include "os/cancel.h"
#include "os/random.h"
#include "sim/world_internal.h"

/* Unix time at which every world begins: 2026-01-01T00:00:00Z. */
#define WORLD_BEGINS_UNIX_NS (INT64_C(1767225600) * NS_PER_SEC)

int64_t os_clock_mono_ns(void)
{
	return sim_now();
}

int64_t os_clock_unix_ns(void)
{
	return WORLD_BEGINS_UNIX_NS + sim_now();
}

unsigned os_clock_day_minute(int64_t unix_ns)
{
	return (unsigned)(unix_ns / NS_PER_SEC / 60 % (24 * 60));
}

int64_t os_clock_cpu_ns(void)
{
	return sim_now();
}

static int64_t at_time(void *arg)
{
	return *(int64_t *)arg;
}

enum err os_sleep(struct call *call, int64_t ns)
{
	int64_t until = sim_now() + (ns > 0 ? ns : 0);
	enum err e = sim_block(call, at_time, &until);

	if (e)
		return call_fail(call, e, "%s while sleeping", err_text(e));
	return OK;
}

enum err os_cancel_init(struct call *call, struct os_cancel *c, struct os_cancel *parent)
{
	*c = (struct os_cancel){ .handle = -1, .parent = parent };
	return OK;
}

void os_cancel_fini(struct os_cancel *c)
{
}

void os_cancel_set(struct os_cancel *c)
{
	c->set = 1;
}

void os_random(void *out, size_t len)
{
	uint8_t *p = out;

	while (len) {
		uint64_t v = sim_random();
		size_t n = MIN(len, sizeof(v));
		memcpy(p, &v, n);
		p += n;
		len -= n;
	}
}
