/*
 * Outcomes.  Every function that can fail returns enum err; OK is zero.  Human detail goes to the
 * call (base/call.h).  The numbers that travel between peers are DRPC status codes, a different
 * space: err_status() and err_from_status() map the two (protocol: transport.md 7.7).
 */
#ifndef ACRE_BASE_ERR_H
#define ACRE_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
/*      name                     text                        status  retry  */
#define ERR_TABLE(X)                                                                              \
	X(OK,                    "ok",                            1, false)                       \
	X(ERR_UNKNOWN,           "unknown error",                 0, false)                       \
	X(ERR_CANCELED,          "canceled",                      2, false)                       \
	X(ERR_INVALID,           "invalid argument",              3, false)                       \
	X(ERR_DEADLINE,          "timed out",                     4, true)                        \
	X(ERR_NOT_FOUND,         "not found",                     5, false)                       \
	X(ERR_EXISTS,            "already exists",                6, false)                       \
	X(ERR_PERMISSION,        "permission denied",             7, false)                       \
	X(ERR_EXHAUSTED,         "a limit is exhausted",          8, false)                       \
	X(ERR_PRECONDITION,      "precondition failed",           9, false)                       \
	X(ERR_ABORTED,           "aborted",                      10, false)                       \
	X(ERR_OUT_OF_RANGE,      "out of range",                 11, false)                       \
	X(ERR_UNIMPLEMENTED,     "not implemented",              12, false)                       \
	X(ERR_INTERNAL,          "internal error",               13, false)                       \
	X(ERR_UNAVAILABLE,       "unavailable",                  14, true)                        \
	X(ERR_DATA_LOSS,         "data is damaged",              15, false)                       \
	X(ERR_UNAUTHENTICATED,   "not authenticated",            16, false)                       \
	X(ERR_METHOD_NOT_ALLOWED, "method not allowed",          17, false)                       \
	X(ERR_EOF,               "end of stream",                14, true)                        \
	X(ERR_CLOSED,            "closed",                       14, true)                        \
	X(ERR_CONNECT,           "cannot connect",               14, true)                        \
	X(ERR_IO,                "input/output error",           13, false)                       \
	X(ERR_NO_SPACE,          "no space left",                10, false)                       \
	X(ERR_NO_MEMORY,         "out of memory",                 8, false)                       \
	X(ERR_WOULD_BLOCK,       "would block",                  13, true)                        \
	X(ERR_FORMAT,            "malformed",                     3, false)                       \
	X(ERR_PROTOCOL,          "peer broke the protocol",      13, false)                       \
	X(ERR_CRYPTO,            "authentication of data failed", 13, false)                      \
	X(ERR_BUSY,              "busy, try again",              14, true)                        \
	X(ERR_UNCERTAIN,         "outcome unknown",              13, false)                       \
	X(ERR_CONFIG,            "bad configuration",             3, false)
/* clang-format on */

enum err {
#define X(name, text, status, retry) name,
	ERR_TABLE(X)
#undef X
		ERR_COUNT
};

#define MUST_USE __attribute__((warn_unused_result))

/* The name, e.g. "ERR_NOT_FOUND"; the text, e.g. "not found".  Static strings. */
const char *err_name(enum err e);
const char *err_text(enum err e);

/* DRPC status code to answer with, and the outcome a peer's code means.  Extended codes (10000 and
 * up) come back as the plain outcome nearest to them; struct call keeps the number itself. */
uint32_t err_status(enum err e);
enum err err_from_status(uint64_t status);

/* What a program ends with, so that scripts can tell: 2 wrong flags or settings, 3 not found,
 * 4 not allowed, 5 unreachable, 130 interrupted, 1 all else. */
int err_exit_code(enum err e);

/* Whether the same request may succeed later or elsewhere without any change. */
bool err_retryable(enum err e);

#endif
