/*
 * A call: the first argument of everything that waits or can explain a failure.  It carries the
 * deadline, who may cancel it, the text of the error on its way up, and scratch memory that dies
 * with it.  A call belongs to one thread at a time; calls made on behalf of another (one piece of
 * a segment) are children: call_init_child.
 */
#ifndef ACRE_BASE_CALL_H
#define ACRE_BASE_CALL_H

#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"

struct os_cancel; /* os/cancel.h */

enum { CALL_ERROR_MAX = 512 };

#define CALL_NO_DEADLINE INT64_MAX

struct call {
	int64_t deadline_ns;	  /* monotonic clock of os/clock.h; CALL_NO_DEADLINE = none */
	struct os_cancel *cancel; /* borrowed; NULL = cannot be cancelled */
	struct arena scratch;	  /* freed by call_fini */
	uint64_t request;	  /* which one it serves, for the log and for who asked; 0: none */
	uint64_t status; /* DRPC status a peer gave or shall be given; 0 = follows from err */
	char error[CALL_ERROR_MAX]; /* text of the newest failure, cut when too long; "" = none */
};

/* For declarations: struct call c = CALL_INIT; */
#define CALL_INIT                                                                                  \
	{                                                                                          \
		.deadline_ns = CALL_NO_DEADLINE                                                    \
	}

/* A call without deadline or cancel. */
void call_init(struct call *call);
/* A call that ends no later than the parent and is cancelled with it; otherwise independent. */
void call_init_child(struct call *call, const struct call *parent);
void call_fini(struct call *call);
/* The request's number in 16 digits, empty without one. */
enum { CALL_REQUEST_TEXT = 17 };
void call_request_text(const struct call *call, char out[CALL_REQUEST_TEXT]);
/* Forgets error and status, for a call that goes on after a failure it could live with. */
void call_clear_error(struct call *call);
/* Takes error text and status over, e.g. from a child. */
void call_copy_error(struct call *call, const struct call *from);

/* Sets the text of a failure; returns e, so that `return call_fail(call, ERR_X, "...")` reads well.
 * Says what went wrong with what, and where it helps what the user can do. */
enum err call_fail(struct call *call, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* As call_fail, with an explicit DRPC status code for the peer. */
enum err call_fail_status(struct call *call, enum err e, uint64_t status, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Puts "what: " in front of the text; the text of e itself if there was none.  Returns e. */
enum err call_wrap(struct call *call, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__
/* A failure is never OK: without knowing that, clang's analyzer follows paths that do not exist. */
static inline enum err call_failure_(enum err e)
{
	if (e == OK)
		__builtin_unreachable();
	return e;
}
#define call_fail(...) call_failure_((call_fail)(__VA_ARGS__))
#define call_fail_status(...) call_failure_((call_fail_status)(__VA_ARGS__))
#define call_wrap(...) call_failure_((call_wrap)(__VA_ARGS__))
#endif
/* The text to show for a failure e of this call; never empty. */
const char *call_error(const struct call *call, enum err e);

/* The only guard macro: leaves the function on failure, with the context in front. */
#define TRY(expr, ...)                                                                             \
	do {                                                                                       \
		enum err try_err_ = (expr);                                                        \
		if (__builtin_expect(try_err_ != OK, 0))                                           \
			return call_wrap(call, try_err_, __VA_ARGS__);                             \
	} while (0)
/* The same without adding words, where the callee's text says it all. */
#define TRY_PLAIN(expr)                                                                            \
	do {                                                                                       \
		enum err try_err_ = (expr);                                                        \
		if (__builtin_expect(try_err_ != OK, 0))                                           \
			return try_err_;                                                           \
	} while (0)

#endif
