/* Where the plain bytes of a segment come from: what a pipe and a range of a file have in common.
 */
#ifndef ACRE_CLIENT_PLAIN_SOURCE_H
#define ACRE_CLIENT_PLAIN_SOURCE_H

#include "base/call.h"

struct plain_source {
	/* A contiguous extent of at least one whole block, or at the end what is left (perhaps
	 * nothing, with *ret_last).  It stays there until it is dropped. */
	enum err (*peek)(struct call *call, void *arg, struct bytes *ret, bool *ret_last);
	void (*drop)(void *arg, size_t n);
	void *arg;
};

#endif
