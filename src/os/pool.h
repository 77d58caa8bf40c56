/*
 * Pool of worker threads: grows on demand up to a ceiling, threads that stay idle end.  Work above
 * the ceiling waits in a bounded queue; beyond that it is refused.
 */
#ifndef ACRE_OS_POOL_H
#define ACRE_OS_POOL_H

#include "base/call.h"

struct os_pool;

enum err os_pool_new(struct call *call, const char *name, unsigned threads_max, unsigned queue_max,
		     struct os_pool **ret_pool) MUST_USE;
/* Runs fn(arg) in a worker.  ERR_UNAVAILABLE "overloaded" when the queue is full or the pool stops;
 * fn is then never called. */
enum err os_pool_submit(struct call *call, struct os_pool *pool, void (*fn)(void *arg),
			void *arg) MUST_USE;
/* Waits until all submitted work is done, ends the threads, frees the pool; NULL is fine. */
void os_pool_free(struct os_pool *pool);

#endif
