/* C API: event loops. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/capi.h"
#include "client/loop.h"

AcreLoopResult acre_loop_new(uint32_t threads_max)
{
	AcreLoopResult r = { NULL, NULL };
	AUTO_CALL struct call call = CALL_INIT;
	struct loop *l = NULL;

	r.error = outcome_error(&call, loop_new(&call, threads_max, &l));
	if (r.error)
		return r;
	r.loop = handle_new(loop_handled(l));
	if (!r.loop)
		r.error = capi_no_memory(NULL);
	return r;
}

int acre_loop_fd(AcreLoop *loop)
{
	struct loop *l AUTO(capi_put) = capi_peek(loop, HANDLE_LOOP);

	return l ? loop_fd(l) : -1;
}

UplinkError *acre_loop_run(AcreLoop *loop, AcreLoopFunc *work, void *arg)
{
	UplinkError *error = NULL;
	AUTO_CALL struct call call = CALL_INIT;
	struct loop *l AUTO(capi_put) = capi_use(loop, HANDLE_LOOP, "loop", &error);

	if (!l)
		return error;
	if (!work)
		return outcome_null("work");
	return outcome_error(&call, loop_run(&call, l, work, arg));
}

bool acre_loop_next(AcreLoop *loop, AcreLoopEvent *event)
{
	struct loop *l AUTO(capi_put) = capi_peek(loop, HANDLE_LOOP);

	return l && event && loop_next(l, event);
}

void acre_loop_progress(void *source, const AcreProgress *progress)
{
	const AcreLoopSource *s = source;
	struct loop *l AUTO(capi_put) = capi_peek(s->loop, HANDLE_LOOP);

	if (l)
		loop_progress(l, s->arg, progress);
}

void acre_free_loop_result(AcreLoopResult result)
{
	uplink_free_error(result.error);
	if (!result.loop)
		return;
	struct loop *l = (struct loop *)(void *)handle_end(result.loop, HANDLE_LOOP);
	if (!l)
		return;
	loop_stop(l);
	handle_put(loop_handled(l));
}
