/*
 * How failures leave the library: an outcome with its text becomes an UplinkError.  A failure with
 * a code of its own carries it in the call's status, in a range no peer uses.
 */
#ifndef ACRE_CLIENT_OUTCOME_H
#define ACRE_CLIENT_OUTCOME_H

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include "acre.h"

#include "base/call.h"

/* call->status of a failure that is UplinkError code `code`. */
#define OUTCOME_STATUS(code) (UINT64_C(0x4163726500000000) | (uint32_t)(code))

/* As call_fail, with the code for the caller of the library. */
#define outcome_fail(call, e, code, ...)                                                           \
	call_fail_status(call, e, OUTCOME_STATUS(code), __VA_ARGS__)

/* The satellite's answer in the words of the library (metainfo.md 3.3): buckets and objects that
 * are missing, limits, permissions.  Failures of another kind pass unchanged.  bucket and key may
 * be empty; what says what was tried.  Returns e or what it became. */
enum err outcome_of_satellite(struct call *call, enum err e, struct bytes bucket,
			      struct bytes key) MUST_USE;

/* UPLINK_ERROR_OBJECT_NOT_FOUND, and what may be the matter. */
enum err outcome_no_object(struct call *call, struct bytes bucket, struct bytes key);

#ifdef __clang_analyzer__
/* As in base/call.h: a failure stays one, OK stays OK. */
static inline enum err outcome_of_(enum err before, enum err after)
{
	if ((before == OK) != (after == OK))
		__builtin_unreachable();
	return after;
}
#define outcome_of_satellite(call, e, ...)                                                         \
	outcome_of_(e, (outcome_of_satellite)(call, e, __VA_ARGS__))
#define outcome_no_object(...) call_failure_((outcome_no_object)(__VA_ARGS__))
#endif

/* UPLINK_ERROR_* of the failure. */
int32_t outcome_code(const struct call *call, enum err e);
/* NULL for OK; else to be freed with uplink_free_error.  Never NULL on failure: without memory a
 * static error is returned, which uplink_free_error knows. */
UplinkError *outcome_error(const struct call *call, enum err e);
UplinkError *outcome_copy(const UplinkError *error);
/* The same for a wrong argument, before there is a call. */
UplinkError *outcome_null(const char *argument);
/* foreign: of the process this one was forked from. */
UplinkError *outcome_invalid_handle(const char *what, bool foreign);

#endif
