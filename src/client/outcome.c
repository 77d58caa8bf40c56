/* Outcomes to UplinkError, and the satellite's texts to codes. */
#include "client/outcome.h"

#include <stdlib.h>

#include "base/num.h"
#include "os/clock.h"

static UplinkError no_memory = {
	.code = UPLINK_ERROR_INTERNAL,
	.message = (char[]){ "out of memory" },
};

#define SATELLITE_SAYS "the satellite answered"

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && memcmp(text + n - m, end, m) == 0;
}

/* A limit of the project, named by the satellite's text (metainfo.md 3.3). */
static enum err exhausted(struct call *call, enum err e)
{
	const char *text = call->error;

	if (ends_with(text, "Exceeded Usage Limit"))
		return outcome_fail(call, e, UPLINK_ERROR_BANDWIDTH_LIMIT_EXCEEDED,
				    "the project's bandwidth limit is used up; raise it at the "
				    "satellite or wait for the next month");
	if (ends_with(text, "Too Many Requests"))
		return outcome_fail(call, e, UPLINK_ERROR_TOO_MANY_REQUESTS,
				    "too many requests; wait a moment and try again");
	if (strstr(text, "Exceeded Storage Limit"))
		return outcome_fail(call, e, UPLINK_ERROR_STORAGE_LIMIT_EXCEEDED,
				    "the project's storage limit is used up; delete something or "
				    "raise it at the satellite");
	if (strstr(text, "Exceeded Segments Limit"))
		return outcome_fail(call, e, UPLINK_ERROR_SEGMENTS_LIMIT_EXCEEDED,
				    "the project's limit of segments is used up; delete something "
				    "or raise it at the satellite");
	return e;
}

enum err(outcome_no_object)(struct call *call, struct bytes bucket, struct bytes key)
{
	return outcome_fail(call, ERR_NOT_FOUND, UPLINK_ERROR_OBJECT_NOT_FOUND,
			    "object not found: \"%.*s\" in bucket \"%.*s\" (nor would one be that "
			    "was stored with another passphrase)",
			    (int)MIN(key.len, (size_t)200), (const char *)key.data, (int)bucket.len,
			    (const char *)bucket.data);
}

enum err(outcome_of_satellite)(struct call *call, enum err e, struct bytes bucket, struct bytes key)
{
	char text[CALL_ERROR_MAX];

	if (e == OK || call->status == 0 || call->status >= OUTCOME_STATUS(0))
		return e;
	snprintf(text, sizeof(text), "%s", call->error);
	if (call->status == err_status(ERR_EXHAUSTED))
		return exhausted(call, e);
	if (call->status == 10019 ||
	    (call->status == err_status(ERR_NOT_FOUND) && strstr(text, "bucket not found")))
		return outcome_fail(call, ERR_NOT_FOUND, UPLINK_ERROR_BUCKET_NOT_FOUND,
				    "bucket not found: \"%.*s\"", (int)bucket.len,
				    (const char *)bucket.data);
	if (call->status == err_status(ERR_NOT_FOUND) && strstr(text, "object not found"))
		return outcome_no_object(call, bucket, key);
	if (call->status == err_status(ERR_PERMISSION))
		return outcome_fail(
			call, ERR_PERMISSION, UPLINK_ERROR_PERMISSION_DENIED,
			"permission denied by the satellite (%s); the access grant does "
			"not allow this here, has expired or was revoked",
			text);
	/* Its own words, and that they are its own; once, also when they come by here again. */
	return strstr(text, SATELLITE_SAYS) ? e : call_wrap(call, e, SATELLITE_SAYS);
}

int32_t outcome_code(const struct call *call, enum err e)
{
	if (call->status >= OUTCOME_STATUS(0) && call->status <= OUTCOME_STATUS(UINT32_MAX))
		return (int32_t)(uint32_t)call->status;
	if (e == ERR_CANCELED)
		return UPLINK_ERROR_CANCELED;
	if (e == ERR_PERMISSION)
		return UPLINK_ERROR_PERMISSION_DENIED;
	/* The caller's own limit; the library's are restored when a question is answered. */
	if (e == ERR_DEADLINE && call->deadline_ns <= os_clock_mono_ns())
		return ACRE_ERROR_DEADLINE;
	return UPLINK_ERROR_INTERNAL;
}

/* Texts come from peers, too; none of them gets to write control characters to a terminal. */
static void make_printable(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < ' ' || *p == 0x7f)
			*p = '?';
}

static UplinkError *new_error(int32_t code, const char *message)
{
	UplinkError *error = calloc(1, sizeof(*error));

	if (!error)
		return &no_memory;
	error->code = code;
	error->message = strdup(message);
	if (!error->message) {
		free(error);
		return &no_memory;
	}
	make_printable(error->message);
	return error;
}

UplinkError *outcome_error(const struct call *call, enum err e)
{
	if (e == OK)
		return NULL;
	if (e == ERR_EOF && call->status == OUTCOME_STATUS(EOF)) {
		UplinkError *error = calloc(1, sizeof(*error));
		if (!error)
			return &no_memory;
		error->code = EOF;
		return error;
	}
	return new_error(outcome_code(call, e), call_error(call, e));
}

UplinkError *outcome_copy(const UplinkError *error)
{
	return new_error(error->code, error->message);
}

UplinkError *outcome_null(const char *argument)
{
	char text[128];

	snprintf(text, sizeof(text), "%s is NULL", argument);
	return new_error(UPLINK_ERROR_INTERNAL, text);
}

UplinkError *outcome_invalid_handle(const char *what, bool foreign)
{
	char text[160];

	snprintf(text, sizeof(text),
		 foreign ? "invalid handle: this %s belongs to the process that this one was "
			   "forked from; make a new one here"
			 : "invalid handle: this %s was freed or never made",
		 what);
	return new_error(UPLINK_ERROR_INVALID_HANDLE, text);
}

void uplink_free_error(UplinkError *err)
{
	if (!err || err == &no_memory)
		return;
	free(err->message);
	free(err);
}
