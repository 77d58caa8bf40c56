/* Calls: life cycle and error text. */
#include "base/call.h"

#include <stdio.h>
#include <string.h>

void call_init(struct call *call)
{
	*call = (struct call)CALL_INIT;
}

void call_init_child(struct call *call, const struct call *parent)
{
	*call = (struct call){ .deadline_ns = parent->deadline_ns,
			       .cancel = parent->cancel,
			       .request = parent->request };
}

void call_fini(struct call *call)
{
	arena_free(&call->scratch);
}

void call_request_text(const struct call *call, char out[CALL_REQUEST_TEXT])
{
	out[0] = 0;
	if (call->request)
		snprintf(out, CALL_REQUEST_TEXT, "%016llx", (unsigned long long)call->request);
}

void call_clear_error(struct call *call)
{
	call->error[0] = 0;
	call->status = 0;
}

void call_copy_error(struct call *call, const struct call *from)
{
	if (call == from)
		return;
	memcpy(call->error, from->error, sizeof(call->error));
	call->status = from->status;
}

enum err(call_fail)(struct call *call, enum err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->error, sizeof(call->error), fmt, ap);
	va_end(ap);
	call->status = 0;
	return e;
}

enum err(call_fail_status)(struct call *call, enum err e, uint64_t status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->error, sizeof(call->error), fmt, ap);
	va_end(ap);
	call->status = status;
	return e;
}

enum err(call_wrap)(struct call *call, enum err e, const char *fmt, ...)
{
	char old[CALL_ERROR_MAX];
	va_list ap;

	snprintf(old, sizeof(old), "%s", call_error(call, e));
	va_start(ap, fmt);
	int n = vsnprintf(call->error, sizeof(call->error), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n + 3 > sizeof(call->error))
		return e;
	/* The innermost text is cut when the whole does not fit. */
	memcpy(call->error + n, ": ", 2);
	size_t room = sizeof(call->error) - (size_t)n - 2;
	size_t len = strnlen(old, room - 1);
	memcpy(call->error + n + 2, old, len);
	call->error[n + 2 + (int)len] = 0;
	return e;
}

const char *call_error(const struct call *call, enum err e)
{
	return call->error[0] ? call->error : err_text(e);
}
