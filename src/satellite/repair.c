/* The service: its observers, its workers, its connections. */
#include "satellite/repair.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/thread.h"
#include "satellite/chore.h"
#include "satellite/repair_internal.h"

/* As Storj allows a job (satellite.md 6). */
#define JOB_NS_MAX (45 * 60 * NS_PER_SEC)
#define DIAL_NS_MAX (5 * NS_PER_SEC)
/* Writing down how a job went, also while stopping. */
#define SETTLE_NS_MAX (10 * NS_PER_SEC)

enum { WORKERS_MAX = 16, CONNECTIONS_MAX = 200, THREADS_MAX = 512 };

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
	char error[CALL_ERROR_MAX]; /* of whoever set result first */
};

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
static enum err work_once(struct shift *s)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct repair_row row;

	call_init_child(&call, s->parent);
	TRY_PLAIN(os_call_check(&call));
	enum err e = store_repair_claim(&call, s->sat->db, os_clock_unix_ns(), JOB_NS_MAX, &row);
	if (!e) {
		os_call_limit(&call, JOB_NS_MAX);
		enum err outcome = repair_segment(&call, s->sat, &row);
		e = settle(&call, s, &row, outcome);
	}
	if (e && e != ERR_NOT_FOUND)
		log_warn("the repair queue cannot be read", F_STR("error", call_error(&call, e)));
	return e;
}

static void worker_main(void *arg)
{
	struct shift *s = arg;
	enum err e;

	do
		e = work_once(s);
	while (!e);
	if (e != ERR_NOT_FOUND)
		s->result = e;
}

static enum err run_workers(struct call *call, struct chore *chore, void *arg)
{
	struct satellite *sat = arg;
	struct shift s = { .sat = sat, .parent = call };
	struct os_thread *threads[WORKERS_MAX] = { NULL };
	size_t n = (size_t)MIN(sat->config.repair_workers, (uint64_t)WORKERS_MAX);

	for (size_t i = 1; i < n; i++)
		if (os_thread_start(call, "repair", worker_main, &s, &threads[i]))
			call_clear_error(call); /* fewer do as well */
	worker_main(&s);
	for (size_t i = 1; i < n; i++)
		os_thread_join(threads[i]);
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
	/* Another process on the same file there is none: what a dead one held is free. */
	if (db_is_sqlite(sat->db))
		TRY_PLAIN(store_repair_reset(call, sat->db));
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
	free(r);
	sat->repair = NULL;
}
