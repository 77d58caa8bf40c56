/* Time is handed out in the order of the questions; nobody saves up what he did not use. */
#include "transfer/pacer.h"

#include "base/num.h"
#include "os/clock.h"

enum { STEPS_PER_SECOND = 8 };

enum err pacer_wait(struct call *call, struct pacer *p, uint64_t n)
{
	if (!p->rate)
		return OK;
	os_mutex_lock(&p->lock);
	int64_t now = os_clock_mono_ns(), turn = MAX(now, p->free_ns);
	p->free_ns = turn + (int64_t)((double)n / (double)p->rate * (double)NS_PER_SEC);
	os_mutex_unlock(&p->lock);
	return turn > now ? os_sleep(call, turn - now) : OK;
}

uint64_t pacer_step(const struct pacer *p)
{
	return p->rate ? MAX(p->rate / STEPS_PER_SECOND, (uint64_t)1) : UINT64_MAX;
}

void pacer_fini(struct pacer *p)
{
	os_mutex_fini(&p->lock);
}
