/* Threads. */
#ifndef ACRE_OS_THREAD_H
#define ACRE_OS_THREAD_H

#include "base/call.h"

struct os_thread;

enum { OS_THREAD_STACK_BYTES = 256 << 10, OS_THREAD_NAME_MAX = 15 };

/* Runs fn(arg) in a thread of its own.  Signals are blocked in it.  Ends with os_thread_join. */
enum err os_thread_start(struct call *call, const char *name, void (*fn)(void *arg), void *arg,
			 struct os_thread **ret_thread) MUST_USE;
/* Waits until fn returned and frees the thread; NULL is fine. */
void os_thread_join(struct os_thread *t);
/* Cores this process may use, at least 1. */
unsigned os_cpu_count(void);

#endif
