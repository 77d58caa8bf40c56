/* The service: segments are drawn by the pass over all of them, and chores work them off. */
#include "satellite/audit.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/random.h"
#include "os/thread.h"

/* Besides being asked for when segments were drawn. */
#define POLL_NS (600 * NS_PER_SEC)
#define STANDING_NS (3600 * NS_PER_SEC)
#define RETRY_NS (10 * NS_PER_SEC)

struct audit {
	struct satellite *sat;
	struct audit_sampler *sampler;
	int64_t drawn_ns; /* monotonic; 0 = not yet */
	bool drawing;	  /* in this pass */
};

/* ---- drawing ---- */

static enum err begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct audit *a = arg;
	int64_t now_ns = os_clock_mono_ns(), waiting = 0;

	audit_sampler_reset(a->sampler);
	a->drawing = !a->drawn_ns || now_ns - a->drawn_ns >= a->sat->config.audit.interval;
	if (!a->drawing)
		return OK;
	TRY_PLAIN(store_audit_count(call, a->sat->db, &waiting));
	/* First what was drawn before. */
	a->drawing = waiting == 0;
	if (a->drawing)
		a->drawn_ns = now_ns;
	return OK;
}

static enum err see(struct call *call, void *arg, const struct segment_run *run,
		    const struct loop_segment *list, size_t count)
{
	struct audit *a = arg;

	for (size_t i = 0; a->drawing && i < count; i++) {
		const struct loop_segment *s = &list[i];
		struct audit_ref ref = { s->stream, s->position };
		if (s->is_inline || (s->expires_ns && s->expires_ns <= run->started_ns))
			continue;
		if (!audit_sampler_add(a->sampler, &ref, s->encrypted_size, s->pieces,
				       s->pieces_count))
			return call_fail(call, ERR_NO_MEMORY, "no room to draw segments");
	}
	return OK;
}

static enum err end(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	struct audit *a = arg;
	struct audit_ref *list = NULL;
	size_t count = 0;

	if (!a->drawing || !complete)
		return OK;
	TRY_PLAIN(audit_sampler_take(call, a->sampler, &list, &count));
	audit_sampler_reset(a->sampler);
	/* In random order, and no more than can be worked off. */
	for (size_t i = 0; i + 1 < count; i++) {
		size_t j = i + (size_t)os_random_below(count - i);
		struct audit_ref t = list[i];
		list[i] = list[j];
		list[j] = t;
	}
	TRY_PLAIN(store_audit_push(call, a->sat->db, list, MIN(count, (size_t)AUDIT_QUEUE_MAX),
				   os_clock_unix_ns()));
	satellite_chores_trigger(a->sat->chores, "audit");
	return OK;
}

/* ---- working it off ---- */

struct workers {
	struct satellite *sat;
	const struct call *call;
	_Atomic uint64_t done, failed;
};

/* Each audit has a call of its own; one that fails is not tried again: it will be drawn again. */
static void worker(void *arg)
{
	struct workers *w = arg;

	for (;;) {
		AUTO_CALL struct call call = CALL_INIT;
		struct audit_report report;
		call_init_child(&call, w->call);
		if (os_call_check(&call))
			return;
		enum err e = audit_next(&call, w->sat, &report);
		if (e == ERR_NOT_FOUND || e == ERR_CANCELED)
			return;
		w->done += e == OK;
		w->failed += e != OK;
		if (!e)
			continue;
		log_warn("audit not done", F_STR("error", call_error(&call, e)));
		if (os_sleep(&call, RETRY_NS))
			return;
	}
}

static enum err run_audits(struct call *call, struct chore *chore, void *arg)
{
	struct audit *a = arg;
	struct workers w = { .sat = a->sat, .call = call };
	struct os_thread *threads[AUDIT_WORKERS_MAX] = { 0 };
	size_t want = MIN(a->sat->config.audit.workers, (uint64_t)AUDIT_WORKERS_MAX), started = 0;
	enum err e = OK;

	while (!e && started < want) {
		e = os_thread_start(call, "audit", worker, &w, &threads[started]);
		started += e == OK;
	}
	for (size_t i = 0; i < started; i++)
		os_thread_join(threads[i]);
	if (w.done || w.failed)
		chore_note(chore, "%llu segments audited, %llu not", (unsigned long long)w.done,
			   (unsigned long long)w.failed);
	return e ? e : os_call_check(call);
}

static enum err run_reverify(struct call *call, struct chore *chore, void *arg)
{
	struct audit *a = arg;
	uint64_t done = 0;
	enum err e = OK;

	while (!e) {
		AUTO_CALL struct call own = CALL_INIT;
		struct reverify_report report;
		call_init_child(&own, call);
		e = os_call_check(&own);
		if (!e)
			e = audit_reverify_next(&own, a->sat, &report);
		done += e == OK;
		if (e && e != ERR_NOT_FOUND)
			call_copy_error(call, &own);
	}
	if (done)
		chore_note(chore, "%llu pieces asked for whole", (unsigned long long)done);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err run_standing(struct call *call, struct chore *chore, void *arg)
{
	struct audit *a = arg;
	size_t changed = 0;

	TRY_PLAIN(standing_age_all(call, a->sat, os_clock_unix_ns(), &changed));
	chore_note(chore, "%zu nodes changed", changed);
	return OK;
}

/* ---- the service ---- */

enum err audit_add_chores(struct call *call, struct satellite *sat)
{
	const struct audit_settings *s = &sat->config.audit;
	struct audit *a = calloc(1, sizeof(*a));

	if (!a)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	sat->audit = a;
	a->sat = sat;
	a->sampler = audit_sampler_new();
	if (!a->sampler)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	const struct segment_observer observer = { "audit", a, begin, see, end };
	const struct chore_spec chores[] = {
		{ .name = "audit", .interval_ns = POLL_NS, .run = run_audits, .arg = a },
		{ .name = "reverify",
		  .interval_ns = MIN(s->reverify_interval, POLL_NS),
		  .run = run_reverify,
		  .arg = a },
		{ .name = "standing",
		  .interval_ns = STANDING_NS,
		  .first_ns = 60 * NS_PER_SEC,
		  .run = run_standing,
		  .arg = a },
	};

	if (s->workers == 0)
		return OK;
	TRY_PLAIN(segment_loop_add(call, sat->loop, &observer));
	for (size_t i = 0; i < ARRAY_LEN(chores); i++)
		TRY_PLAIN(satellite_chores_add(call, sat->chores, &chores[i]));
	return OK;
}

void audit_close(struct satellite *sat)
{
	if (!sat->audit)
		return;
	audit_sampler_free(sat->audit->sampler);
	free(sat->audit);
	sat->audit = NULL;
}
