/* Names, texts and status numbers of outcomes; all of it from ERR_TABLE. */
#include "base/err.h"

#include <stddef.h>

static const struct {
	const char *name;
	const char *text;
	uint32_t status;
	bool retry;
} table[ERR_COUNT] = {
#define X(n, t, s, r) [n] = { #n, t, s, r },
	ERR_TABLE(X)
#undef X
};

static size_t row(enum err e)
{
	return (size_t)e < ERR_COUNT ? (size_t)e : (size_t)ERR_UNKNOWN;
}

const char *err_name(enum err e)
{
	return table[row(e)].name;
}

const char *err_text(enum err e)
{
	return table[row(e)].text;
}

uint32_t err_status(enum err e)
{
	return table[row(e)].status;
}

bool err_retryable(enum err e)
{
	return table[row(e)].retry;
}

enum err err_from_status(uint64_t status)
{
	switch (status) {
	case 10019: /* BucketNotFound */
	case 10026: /* TagsNotFound */
		return ERR_NOT_FOUND;
	case 10012: /* PlacementInvalidValue */
	case 10013: /* PlacementConflictingValues */
	case 10014: /* BucketNameMissing */
	case 10015: /* BucketNameInvalid */
	case 10016: /* ObjectKeyMissing */
	case 10017: /* ObjectKeyTooLong */
	case 10018: /* ObjectVersionInvalid */
	case 10020: /* DeleteObjectsNoItems */
	case 10021: /* DeleteObjectsTooManyItems */
	case 10035: /* StreamIDInvalid */
		return ERR_INVALID;
	default:
		break;
	}
	if (status >= 10000)
		return ERR_PRECONDITION;
	/* The first rows of the table are the wire's own codes; later rows reuse them. */
	for (size_t i = 0; i <= ERR_METHOD_NOT_ALLOWED; i++)
		if (table[i].status == status)
			/* A peer that reports OK as an error made no sense. */
			return i == OK ? ERR_UNKNOWN : (enum err)i;
	return ERR_UNKNOWN;
}

int err_exit_code(enum err e)
{
	switch (e) {
	case OK:
		return 0;
	case ERR_CONFIG:
		return 2;
	case ERR_NOT_FOUND:
		return 3;
	case ERR_PERMISSION:
	case ERR_UNAUTHENTICATED:
		return 4;
	case ERR_CONNECT:
	case ERR_UNAVAILABLE:
	case ERR_DEADLINE:
		return 5;
	case ERR_CANCELED:
		return 130;
	default:
		return 1;
	}
}
