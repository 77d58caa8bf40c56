/*
 * Locks and conditions.  Zeroed memory is a valid unlocked mutex and a valid condition.
 * No lock is held across a wait: every waiting function asserts it (os_assert_no_lock), except
 * os_cond_wait, which releases the one lock it is given.
 */
#ifndef ACRE_OS_LOCK_H
#define ACRE_OS_LOCK_H

#include "base/call.h"

struct os_mutex {
	_Alignas(16) unsigned char body[64];
};

struct os_cond {
	_Alignas(16) unsigned char body[64];
};

void os_mutex_lock(struct os_mutex *m);
void os_mutex_unlock(struct os_mutex *m);
void os_mutex_fini(struct os_mutex *m);

/* Waits for a signal or until the call's deadline: OK (maybe spurious: test the condition again) or
 * ERR_DEADLINE.  Does not notice cancellation by itself: who cancels also broadcasts. */
enum err os_cond_wait(struct call *call, struct os_cond *c, struct os_mutex *m) MUST_USE;
/* As os_cond_wait, without a call: waits as long as it takes. */
void os_cond_wait_forever(struct os_cond *c, struct os_mutex *m);
void os_cond_signal(struct os_cond *c);
void os_cond_broadcast(struct os_cond *c);
void os_cond_fini(struct os_cond *c);

/* One thread waits until another says go; without a lock, so neither gets in the other's way.
 * Zeroed memory is a flag that is not set. */
struct os_flag {
	_Alignas(16) unsigned char body[32];
};

/* Takes the flag back: OK when it was set, ERR_DEADLINE.  Does not notice cancellation. */
enum err os_flag_wait(struct call *call, struct os_flag *f) MUST_USE;
/* Who waited may go and free it at once. */
void os_flag_set(struct os_flag *f);
void os_flag_fini(struct os_flag *f);

/* Aborts if the calling thread holds a lock; what waits calls it first. */
void os_assert_no_lock(const char *where);

static inline void os_mutex_unlock_auto(struct os_mutex **m)
{
	os_mutex_unlock(*m);
}

/* Holds m until the end of the scope. */
#define OS_LOCKED(m)                                                                               \
	__attribute__((cleanup(os_mutex_unlock_auto))) struct os_mutex *os_locked_ = (m);          \
	os_mutex_lock(os_locked_)

#endif
