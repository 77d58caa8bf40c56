/*
 * Faults of the test peers faulty-node and faulty-satellite.  A plan is a file of lines
 * "name percent [milliseconds]", named "fault" in the peer's directory and read at every request,
 * so that a test changes it while the peer runs; without it the peer is honest.  Which request gets
 * which fault follows from the seed ("seed N" in the plan) and the number of the request.
 */
#ifndef ACRE_TESTS_FAULT_H
#define ACRE_TESTS_FAULT_H

#include "base/call.h"
#include "rpc/rpc.h"

enum { FAULT_NAME_MAX = 32, FAULT_MS_DEFAULT = 15000 };

struct fault {
	char name[FAULT_NAME_MAX]; /* "" = honest */
	int ms;			   /* how long what waits waits */
	uint64_t random;	   /* for choices within it */
};

/* The fault for the next request of a kind: names of the plan that begin with `kind`.  Notes in the
 * file "faults" beside the plan what was chosen. */
void fault_choose(const char *kind, struct fault *ret);
bool fault_is(const struct fault *f, const char *name);
/* Waits without noticing anything: peers that went away, cancellation. */
void fault_wait(const struct fault *f);
/* The connection ends without a further byte when the handler returns. */
void fault_drop(const struct rpc_stream *s);
/* The process is gone, as with SIGKILL. */
void fault_exit(void) __attribute__((noreturn));

#endif
