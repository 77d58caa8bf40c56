/* A limit on bytes a second that many transfers share: each gets its turn in the order it asks. */
#ifndef ACRE_OS_PACER_H
#define ACRE_OS_PACER_H

#include "base/call.h"
#include "os/lock.h"

/* Zeroed memory is one without a limit. */
struct pacer {
	struct os_mutex lock;
	_Atomic uint64_t rate; /* bytes a second; 0 = no limit */
	int64_t free_ns;       /* when all that was asked for so far will have gone */
};

/* Waits until n bytes may go. */
enum err pacer_wait(struct call *call, struct pacer *p, uint64_t n) MUST_USE;
/* n bytes go without waiting: those that come later wait for them, too. */
void pacer_charge(struct pacer *p, uint64_t n);
/* How long who asks now has to wait, in nanoseconds. */
int64_t pacer_behind(struct pacer *p);
/* How much to ask for at a time so that the flow stays even. */
uint64_t pacer_step(const struct pacer *p);
/* Another limit; who waits already waits as long as he was told. */
void pacer_set_rate(struct pacer *p, uint64_t rate);
void pacer_fini(struct pacer *p);

#endif
