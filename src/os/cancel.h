/*
 * Cancellation.  Everything that waits with a call also waits for the call's cancel object, and
 * for that object's parents.  Setting it is one write; it stays set.
 */
#ifndef ACRE_OS_CANCEL_H
#define ACRE_OS_CANCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/call.h"

enum { OS_CANCEL_DEPTH_MAX = 4 };

struct os_cancel {
	_Atomic int set;
	int handle;		  /* of the body */
	struct os_cancel *parent; /* borrowed, may be NULL */
};

/* ERR_EXHAUSTED when the process has no file descriptor left. */
enum err os_cancel_init(struct call *call, struct os_cancel *c, struct os_cancel *parent) MUST_USE;
void os_cancel_fini(struct os_cancel *c);
/* Any thread, any number of times; also from a signal handler. */
void os_cancel_set(struct os_cancel *c);
/* This one or a parent. */
bool os_cancel_is_set(const struct os_cancel *c);

#endif
