/* The service: its observers, its workers, its connections. */
#include "satellite/repair.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/log.h"
#include "os/thread.h"
#include "satellite/chore.h"
#include "satellite/repair_internal.h"

/* As Storj allows a job (satellite.md 6). */
#define JOB_NS_MAX (45 * 60 * NS_PER_SEC)
/* A dead worker's segment comes free so soon; a living one renews its claim. */
#define CLAIM_NS (60 * NS_PER_SEC)
#define RENEW_NS (15 * NS_PER_SEC)
#define DIAL_NS_MAX (5 * NS_PER_SEC)
/* Writing down how a job went, also while stopping. */
#define SETTLE_NS_MAX (10 * NS_PER_SEC)

enum { CONNECTIONS_MAX = 200, THREADS_MAX = 512 };

struct fanout *repair_fanout(const struct satellite *sat)
{
	return sat->repair->fanout;
}

/* ---- workers ---- */

struct shift {
	struct satellite *sat;
	const struct call *parent;
	_Atomic unsigned repaired, failed;
	_Atomic enum err result;

	struct os_mutex lock; /* of what follows */
	struct os_cond over_changed;
	bool renewing, over;
	struct os_thread *renewer;		      /* of the worker that set renewing */
	struct repair_row claims[REPAIR_WORKERS_MAX]; /* of the worker with that number */
	bool claimed[REPAIR_WORKERS_MAX];
};

struct worker {
	struct shift *shift;
	unsigned number;
};

static void renew_claims(struct shift *s)
{
	for (unsigned i = 0; i < REPAIR_WORKERS_MAX; i++) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init_child(&call, s->parent);
		os_call_limit(&call, RENEW_NS);
		os_mutex_lock(&s->lock);
		bool claimed = s->claimed[i];
		const struct repair_row row = s->claims[i];
		os_mutex_unlock(&s->lock);
		enum err e = claimed ? store_repair_renew(&call, s->sat->db, &row,
							  os_clock_unix_ns() + CLAIM_NS)
				     : OK;
		if (e)
			log_debug("a repair goes on without its claim",
				  F_STR("error", call_error(&call, e)));
	}
}

/* False when the shift is over. */
static bool wait_to_renew(struct shift *s)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, RENEW_NS);
	OS_LOCKED(&s->lock);
	while (!s->over)
		if (os_cond_wait(&call, &s->over_changed, &s->lock))
			break;
	return !s->over;
}

static void renewer_main(void *arg)
{
	struct shift *s = arg;

	while (wait_to_renew(s))
		renew_claims(s);
}

/* Nobody needs it while nothing is repaired, which is nearly always. */
static void start_renewer(struct call *call, struct shift *s)
{
	os_mutex_lock(&s->lock);
	bool first = !s->renewing;
	s->renewing = true;
	os_mutex_unlock(&s->lock);
	/* Without it another process may begin the same, and one of the two repairs is in vain. */
	if (first && os_thread_start(call, "repair-claims", renewer_main, s, &s->renewer))
		call_clear_error(call);
}

static void note_claim(const struct worker *w, const struct repair_row *row)
{
	OS_LOCKED(&w->shift->lock);
	w->shift->claimed[w->number] = row != NULL;
	if (row)
		w->shift->claims[w->number] = *row;
}

static enum err settle(struct call *call, struct shift *s, struct repair_row *row, enum err e)
{
	AUTO_CALL struct call own = CALL_INIT;

	call_init(&own);
	os_call_limit(&own, SETTLE_NS_MAX);
	if (!e) {
		s->repaired++;
		return store_repair_done(&own, s->sat->db, row);
	}
	s->failed++;
	/* Stopped on the way: whoever comes next may have it at once. */
	bool stopped = call->cancel && os_cancel_is_set(call->cancel);
	row->not_before_ns = stopped ? 0 : os_clock_unix_ns() + s->sat->config.repair_retry;
	row->error = stopped ? "" : call_error(call, e);
	if (!stopped)
		log_warn("a segment is not repaired", F_HEX("stream", uuid_bytes(&row->stream)),
			 F_I64("position", row->position), F_STR("error", row->error));
	return store_repair_failed(&own, s->sat->db, row);
}

/* One segment; ERR_NOT_FOUND when nothing waits. */
static enum err work_once(const struct worker *w)
{
	struct shift *s = w->shift;
	AUTO_CALL struct call call = CALL_INIT;
	struct repair_row row;

	call_init_child(&call, s->parent);
	TRY_PLAIN(os_call_check(&call));
	enum err e = store_repair_claim(&call, s->sat->db, os_clock_unix_ns(), CLAIM_NS, &row);
	if (!e) {
		os_call_limit(&call, JOB_NS_MAX);
		note_claim(w, &row);
		start_renewer(&call, s);
		enum err outcome = repair_segment(&call, s->sat, &row);
		note_claim(w, NULL);
		e = settle(&call, s, &row, outcome);
	}
	if (e && e != ERR_NOT_FOUND)
		log_warn("the repair queue cannot be read", F_STR("error", call_error(&call, e)));
	return e;
}

static void worker_main(void *arg)
{
	const struct worker *w = arg;
	enum err e;

	do
		e = work_once(w);
	while (!e);
	if (e != ERR_NOT_FOUND)
		w->shift->result = e;
}

static void end_renewer(struct shift *s)
{
	os_mutex_lock(&s->lock);
	s->over = true;
	os_cond_broadcast(&s->over_changed);
	os_mutex_unlock(&s->lock);
	os_thread_join(s->renewer);
	os_cond_fini(&s->over_changed);
	os_mutex_fini(&s->lock);
}

/* No other process works on the same file (commands only look): what a dead one held is free. */
static enum err free_claims(struct call *call, struct satellite *sat)
{
	if (sat->repair->fresh || !db_is_sqlite(sat->db))
		return OK;
	TRY_PLAIN(store_repair_reset(call, sat->db));
	sat->repair->fresh = true;
	return OK;
}

static enum err run_workers(struct call *call, struct chore *chore, void *arg)
{
	struct satellite *sat = arg;
	struct shift s = { .sat = sat, .parent = call };
	struct os_thread *threads[REPAIR_WORKERS_MAX] = { NULL };
	struct worker workers[REPAIR_WORKERS_MAX];
	size_t n = (size_t)MIN(sat->config.repair_workers, (uint64_t)REPAIR_WORKERS_MAX);

	if (!n)
		return OK;
	TRY_PLAIN(free_claims(call, sat));
	for (size_t i = 0; i < n; i++)
		workers[i] = (struct worker){ &s, (unsigned)i };
	for (size_t i = 1; i < n; i++)
		if (os_thread_start(call, "repair", worker_main, &workers[i], &threads[i]))
			call_clear_error(call); /* fewer do as well */
	worker_main(&workers[0]);
	for (size_t i = 1; i < n; i++)
		os_thread_join(threads[i]);
	end_renewer(&s);
	if (s.repaired || s.failed)
		chore_note(chore, "%u repaired, %u not", s.repaired, s.failed);
	TRY_PLAIN(os_call_check(call));
	return s.result ? call_fail(call, s.result, "the repair queue cannot be read") : OK;
}

static enum err run_eager(struct call *call, struct chore *chore, void *arg)
{
	struct satellite *sat = arg;

	return segment_loop_run(call, sat->repair->all, 100, chore);
}

/* ---- put together, taken apart ---- */

static void checker_init(struct repair_checker *c, struct satellite *sat, bool eager,
			 struct segment_observer *ret)
{
	c->sat = sat;
	c->eager = eager;
	*ret = (struct segment_observer){ "repair checker", c, repair_checker_begin,
					  repair_checker_segments, repair_checker_end };
}

static enum err add_chores(struct call *call, struct satellite *sat)
{
	const struct chore_spec work = { .name = "repair",
					 .interval_ns = sat->config.repair_interval,
					 .everywhere = true,
					 .run = run_workers,
					 .arg = sat };
	const struct chore_spec all = { .name = "repair-all", .run = run_eager, .arg = sat };

	if (!sat->config.repair_workers)
		return OK;
	TRY_PLAIN(satellite_chores_add(call, sat->chores, &work));
	return satellite_chores_add(call, sat->chores, &all);
}

static enum err open_all(struct call *call, struct satellite *sat, struct repair *r)
{
	const struct fanout_limits limits = {
		.connections_max = CONNECTIONS_MAX,
		.threads_max = THREADS_MAX,
		.dial_ns_max = DIAL_NS_MAX,
		.upload_rate = sat->config.repair_rate,
		.download_rate = sat->config.repair_rate,
	};
	struct segment_observer o;

	TRY_PLAIN(fanout_new(call, sat->tls, limits, &r->fanout));
	checker_init(&r->checker, sat, false, &o);
	TRY_PLAIN(segment_loop_add(call, sat->loop, &o));
	TRY_PLAIN(segment_loop_new(call, sat, &r->all));
	checker_init(&r->eager, sat, true, &o);
	TRY_PLAIN(segment_loop_add(call, r->all, &o));
	return add_chores(call, sat);
}

enum err repair_open(struct call *call, struct satellite *sat)
{
	struct repair *r = calloc(1, sizeof(*r));

	if (!r)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	r->sat = sat;
	sat->repair = r;
	return open_all(call, sat, r);
}

void repair_close(struct satellite *sat)
{
	struct repair *r = sat->repair;

	if (!r)
		return;
	segment_loop_free(r->all);
	fanout_free(r->fanout);
	os_mutex_fini(&r->checker.lock);
	os_mutex_fini(&r->eager.lock);
	free(r);
	sat->repair = NULL;
}

struct repair_durability repair_durability(const struct satellite *sat)
{
	struct repair *r = sat->repair;

	if (!r)
		return (struct repair_durability){ 0 };
	OS_LOCKED(&r->checker.lock);
	return r->checker.last;
}
