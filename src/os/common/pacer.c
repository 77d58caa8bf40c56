/* Time is handed out in the order of the questions; nobody saves up what he did not use. */
#include "os/pacer.h"

#include "base/num.h"
#include "os/clock.h"

enum { STEPS_PER_SECOND = 8 };

/* Takes the time that n bytes need; returns how long it is until then. */
static int64_t take_turn(struct pacer *p, uint64_t n)
{
	uint64_t rate = p->rate;
	OS_LOCKED(&p->lock);
	int64_t now = os_clock_mono_ns();

	if (!rate)
		return 0;
	int64_t turn = MAX(now, p->free_ns);
	p->free_ns = turn + (int64_t)((double)n / (double)rate * (double)NS_PER_SEC);
	return turn - now;
}

enum err pacer_wait(struct call *call, struct pacer *p, uint64_t n)
{
	int64_t ns = p->rate ? take_turn(p, n) : 0;

	return ns ? os_sleep(call, ns) : OK;
}

void pacer_charge(struct pacer *p, uint64_t n)
{
	if (p->rate)
		(void)take_turn(p, n);
}

int64_t pacer_behind(struct pacer *p)
{
	if (!p->rate)
		return 0;
	OS_LOCKED(&p->lock);
	return MAX(p->free_ns - os_clock_mono_ns(), (int64_t)0);
}

uint64_t pacer_step(const struct pacer *p)
{
	uint64_t rate = p->rate;

	return rate ? MAX(rate / STEPS_PER_SECOND, (uint64_t)1) : UINT64_MAX;
}

void pacer_set_rate(struct pacer *p, uint64_t rate)
{
	OS_LOCKED(&p->lock);

	if (p->rate == rate)
		return;
	/* What was promised at the old rate is no debt at the new one. */
	p->rate = rate;
	p->free_ns = 0;
}

void pacer_fini(struct pacer *p)
{
	os_mutex_fini(&p->lock);
}
