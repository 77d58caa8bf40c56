/* A limit on bytes a second that many transfers share: each gets its turn in the order it asks. */
#ifndef ACRE_TRANSFER_PACER_H
#define ACRE_TRANSFER_PACER_H

#include "base/call.h"
#include "os/lock.h"

struct pacer {
	struct os_mutex lock;
	uint64_t rate;	 /* bytes a second; 0 = no limit */
	int64_t free_ns; /* when all that was asked for so far will have gone */
};

/* Waits until n bytes may go. */
enum err pacer_wait(struct call *call, struct pacer *p, uint64_t n) MUST_USE;
/* How much to ask for at a time so that the flow stays even. */
uint64_t pacer_step(const struct pacer *p);
void pacer_fini(struct pacer *p);

#endif
