/*
 * The scheduler of chores: one thread (the keeper) looks at the clock and at table chores, renews
 * leases and wakes the chores' own threads, which run and wait for nothing but that.
 */
#include "satellite/chore.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/log.h"
#include "os/random.h"
#include "os/thread.h"
#include "satellite/chore_internal.h"

/* How soon a request through the database is seen. */
#define TICK_NS NS_PER_SEC
/* Longer than clocks of two machines differ, shorter than anyone likes to wait for a successor. */
#define LEASE_NS (60 * NS_PER_SEC)
#define RENEW_NS (15 * NS_PER_SEC)
/* A failed run is tried again after that at the latest. */
#define RETRY_NS (60 * NS_PER_SEC)
/* Writing down how it went, also while stopping. */
#define END_NS_MAX (5 * NS_PER_SEC)
#define GIVEN_UP "a chore is given up: its lease is lost"

struct chore {
	struct chore_spec spec;
	struct chores *all;
	struct os_thread *thread;
	struct os_cancel lost; /* the lease; below stop */
	bool has_lost;

	/* Under all->lock. */
	bool go, running, trigger;
	bool unlisted;	    /* its row could not be written yet; the keeper's */
	int64_t next_ns;    /* of one that runs everywhere; Unix */
	int64_t renewed_ns; /* monotonic */
	char note[CHORE_NOTE_MAX];
};

struct chores {
	struct db *db;
	uint8_t holder[CHORE_HOLDER_BYTES]; /* this process, since it started */
	struct os_cancel stop;
	bool has_stop;
	struct os_thread *keeper;
	int64_t started_ns; /* Unix */

	struct os_mutex lock;
	struct os_cond changed;
	struct chore list[CHORES_MAX];
	size_t count;
};

/* ---- runs ---- */

void chore_note(struct chore *chore, const char *fmt, ...)
{
	va_list ap;

	OS_LOCKED(&chore->all->lock);
	va_start(ap, fmt);
	vsnprintf(chore->note, sizeof(chore->note), fmt, ap);
	va_end(ap);
}

enum err chore_rest(struct call *call, int64_t busy_ns, unsigned percent)
{
	if (percent >= 100 || busy_ns <= 0)
		return os_call_check(call);
	return os_sleep(call, busy_ns * (100 - percent) / MAX(percent, 1));
}

enum err chore_fence(struct call *call, struct db_tx *tx, struct chore *chore)
{
	if (!chore || chore->spec.everywhere)
		return OK;
	enum err e = store_chore_held(call, tx, chore->spec.name, chore->all->holder);
	if (e != ERR_NOT_FOUND)
		return e;
	const char *why = "another process has this chore now";
	log_warn(GIVEN_UP, F_STR("chore", chore->spec.name), F_STR("error", why));
	os_cancel_set(&chore->lost);
	return call_fail(call, ERR_ABORTED, "%s", why);
}

static int64_t jittered(int64_t ns)
{
	int64_t tenth = ns / 10;

	return tenth > 0 ? ns - tenth + (int64_t)os_random_below(2 * (uint64_t)tenth + 1) : ns;
}

/* When it runs next: a failure is tried again soon, what was stopped at once. */
static int64_t next_after(const struct chore *c, bool stopped, enum err e, int64_t now_ns)
{
	if (stopped)
		return now_ns;
	if (e && (!c->spec.interval_ns || c->spec.interval_ns > RETRY_NS))
		return now_ns + jittered(RETRY_NS);
	return c->spec.interval_ns ? now_ns + jittered(c->spec.interval_ns) : INT64_MAX;
}

static bool claim(struct chore *c)
{
	AUTO_CALL struct call call = CALL_INIT;
	int64_t now_ns = os_clock_unix_ns();
	struct chore_claim claim = {
		.name = c->spec.name,
		.holder = c->all->holder,
		.now_ns = now_ns,
		.lease_until_ns = now_ns + LEASE_NS,
		/* One process per directory: an older lease is that of a dead one. */
		.take_over = db_is_sqlite(c->all->db),
	};

	call_init(&call);
	call.cancel = &c->all->stop;
	os_call_limit(&call, LEASE_NS / 2);
	if (c->spec.everywhere)
		return true;
	enum err e = store_chore_claim(&call, c->all->db, &claim);
	if (e)
		log_debug("a chore cannot begin", F_STR("chore", c->spec.name),
			  F_STR("error", call_error(&call, e)));
	return !e && claim.claimed;
}

static void write_end(struct chore *c, const struct chore_end *end)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, END_NS_MAX);
	enum err e = store_chore_end(&call, c->all->db, end);
	if (e)
		log_warn("the end of a chore is not written", F_STR("chore", c->spec.name),
			 F_STR("error", call_error(&call, e)));
}

static void run_once(struct chore *c)
{
	AUTO_CALL struct call call = CALL_INIT;
	char note[CHORE_NOTE_MAX];

	call_init(&call);
	call.cancel = &c->lost;
	struct chore_end end = { .name = c->spec.name,
				 .holder = c->spec.everywhere ? NULL : c->all->holder,
				 .started_ns = os_clock_unix_ns() };
	enum err e = c->spec.run(&call, c, c->spec.arg);
	bool stopped = e && os_cancel_is_set(&c->lost);
	if (e && !stopped)
		log_warn("a chore failed", F_STR("chore", c->spec.name),
			 F_STR("error", call_error(&call, e)));
	end.ended_ns = os_clock_unix_ns();
	end.next_ns = next_after(c, stopped, e, end.ended_ns);
	end.error = e && !stopped ? call_error(&call, e) : "";
	end.counts = !stopped;
	os_mutex_lock(&c->all->lock);
	c->next_ns = end.next_ns;
	memcpy(note, c->note, sizeof(note));
	os_mutex_unlock(&c->all->lock);
	end.note = note;
	write_end(c, &end);
}

/* false when stopping. */
static bool wait_for_go(struct chore *c)
{
	OS_LOCKED(&c->all->lock);
	while (!c->go && !os_cancel_is_set(&c->all->stop))
		os_cond_wait_forever(&c->all->changed, &c->all->lock);
	c->go = false;
	c->trigger = c->trigger && !c->spec.everywhere; /* others pass theirs on */
	c->running = true;
	c->renewed_ns = os_clock_mono_ns();
	return !os_cancel_is_set(&c->all->stop);
}

static void set_running(struct chore *c, bool running)
{
	OS_LOCKED(&c->all->lock);
	c->running = running;
	c->renewed_ns = os_clock_mono_ns();
	os_cond_broadcast(&c->all->changed);
}

static enum err renew_lost(struct chore *c)
{
	AUTO_CALL struct call call = CALL_INIT;

	/* A lost lease ended one run; the next has a fresh one. */
	if (!c->has_lost || !os_cancel_is_set(&c->lost))
		return OK;
	call_init(&call);
	os_cancel_fini(&c->lost);
	enum err e = os_cancel_init(&call, &c->lost, &c->all->stop);
	c->has_lost = !e;
	return e;
}

static void chore_main(void *arg)
{
	struct chore *c = arg;

	while (wait_for_go(c)) {
		if (claim(c)) {
			set_running(c, true);
			run_once(c);
		}
		set_running(c, false);
		if (!os_cancel_is_set(&c->all->stop) && renew_lost(c))
			return; /* no descriptor left: the process has other worries */
	}
}

/* ---- the keeper ---- */

/* With the lock held: the chore's thread is told, unless it is at work. */
static void wake(struct chore *c)
{
	if (c->running || c->go)
		return;
	c->go = true;
	os_cond_broadcast(&c->all->changed);
}

static const struct chore_row *find_row(const struct chore_row *rows, size_t count,
					const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static bool is_due(const struct chores *all, const struct chore *c, const struct chore_row *row,
		   int64_t now_ns)
{
	bool held = row && memcmp(row->holder, (uint8_t[CHORE_HOLDER_BYTES]){ 0 },
				  CHORE_HOLDER_BYTES) != 0;
	bool asked = c->trigger || (row && row->requested) || held;

	if (!asked && now_ns - all->started_ns < c->spec.first_ns)
		return false;
	if (c->spec.everywhere)
		return asked || c->next_ns <= now_ns;
	if (!row)
		return false;
	bool free = !held || row->lease_until_ns <= now_ns || db_is_sqlite(all->db);
	/* Held and free: whoever had it died in the middle. */
	return free && (held || row->requested || row->next_ns <= now_ns);
}

static void wake_due(struct chores *all, const struct chore_row *rows, size_t count)
{
	int64_t now_ns = os_clock_unix_ns();

	OS_LOCKED(&all->lock);
	for (size_t i = 0; i < all->count; i++) {
		struct chore *c = &all->list[i];
		if (is_due(all, c, find_row(rows, count, c->spec.name), now_ns))
			wake(c);
	}
}

/* Of one that runs here, if it is time; false when there is nothing to do. */
static bool needs_renewal(struct chore *c, char note[CHORE_NOTE_MAX])
{
	int64_t now_ns = os_clock_mono_ns();

	OS_LOCKED(&c->all->lock);
	if (!c->running || c->spec.everywhere || now_ns - c->renewed_ns < RENEW_NS)
		return false;
	memcpy(note, c->note, CHORE_NOTE_MAX);
	return true;
}

static void renew(struct call *call, struct chore *c)
{
	char note[CHORE_NOTE_MAX];

	if (!needs_renewal(c, note))
		return;
	enum err e = store_chore_renew(call, c->all->db, c->spec.name, c->all->holder,
				       os_clock_unix_ns() + LEASE_NS, note);
	OS_LOCKED(&c->all->lock);
	int64_t now_ns = os_clock_mono_ns();
	if (!e) {
		c->renewed_ns = now_ns;
		return;
	}
	/* Between two runs the row says nobody; a run that begins just now renewed it itself. */
	if (c->running && ((e == ERR_NOT_FOUND && now_ns - c->renewed_ns >= RENEW_NS) ||
			   now_ns - c->renewed_ns >= LEASE_NS)) {
		log_warn(GIVEN_UP, F_STR("chore", c->spec.name),
			 F_STR("error", call_error(call, e)));
		os_cancel_set(&c->lost);
	}
}

/* Triggers of this process become requests that every process sees. */
static void pass_triggers(struct call *call, struct chores *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct chore *c = &all->list[i];
		os_mutex_lock(&all->lock);
		bool pass = c->trigger && !c->spec.everywhere;
		if (pass)
			c->trigger = false;
		os_mutex_unlock(&all->lock);
		if (pass && satellite_chores_request(call, all->db, c->spec.name, NULL))
			log_debug("a chore is not asked for", F_STR("chore", c->spec.name),
				  F_STR("error", call->error));
	}
}

/* A database that takes no changes now, full or otherwise, may do so later. */
static bool may_pass(enum err e)
{
	return e == ERR_NO_SPACE || e == ERR_IO || e == ERR_UNCERTAIN || e == ERR_PERMISSION ||
	       err_retryable(e);
}

static enum err list_one(struct call *call, struct chore *c)
{
	int64_t next_ns = c->all->started_ns + c->spec.first_ns, latest_ns = INT64_MAX;

	if (c->spec.interval_ns > 0)
		latest_ns = next_ns + c->spec.interval_ns;
	else
		next_ns = INT64_MAX;
	enum err e = store_chore_put(call, c->all->db, c->spec.name, next_ns, latest_ns);
	c->unlisted = e != OK;
	return e;
}

static void list_rest(struct call *call, struct chores *all)
{
	for (size_t i = 0; i < all->count; i++) {
		if (!all->list[i].unlisted || !list_one(call, &all->list[i]))
			continue;
		log_debug("a chore is not entered yet", F_STR("error", call->error));
		return;
	}
}

/* Until the next tick, the next local date, or a trigger; false when stopping. */
static bool keeper_wait(struct chores *all)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, TICK_NS);
	OS_LOCKED(&all->lock);
	for (;;) {
		if (os_cancel_is_set(&all->stop))
			return false;
		for (size_t i = 0; i < all->count; i++)
			if (all->list[i].trigger && !all->list[i].running && !all->list[i].go)
				return true;
		if (os_cond_wait(&call, &all->changed, &all->lock))
			return !os_cancel_is_set(&all->stop);
	}
}

static void keeper_main(void *arg)
{
	struct chores *all = arg;
	struct chore_row rows[CHORES_MAX];
	size_t count = 0;
	bool warned = false;

	do {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		call.cancel = &all->stop;
		os_call_limit(&call, RENEW_NS);
		list_rest(&call, all);
		pass_triggers(&call, all);
		for (size_t i = 0; i < all->count; i++)
			renew(&call, &all->list[i]);
		enum err e = store_chore_rows(&call, all->db, rows, &count);
		if (e && !warned && !os_cancel_is_set(&all->stop))
			log_warn("chores wait for the database",
				 F_STR("error", call_error(&call, e)));
		warned = e != OK;
		if (e)
			count = 0;
		wake_due(all, rows, count);
	} while (keeper_wait(all));
}

/* ---- put together, taken apart ---- */

enum err satellite_chores_new(struct call *call, struct db *db, struct chores **ret)
{
	struct chores *all = calloc(1, sizeof(*all));

	if (!all)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	all->db = db;
	os_random(all->holder, sizeof(all->holder));
	enum err e = os_cancel_init(call, &all->stop, NULL);
	if (e) {
		free(all);
		return e;
	}
	all->has_stop = true;
	*ret = all;
	return OK;
}

enum err satellite_chores_add(struct call *call, struct chores *all, const struct chore_spec *spec)
{
	if (all->count == CHORES_MAX || strlen(spec->name) > CHORE_NAME_MAX)
		return call_fail(call, ERR_EXHAUSTED, "no room for chore %s", spec->name);
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->list[i].spec.name, spec->name) == 0)
			return call_fail(call, ERR_EXISTS, "chore %s is there", spec->name);
	struct chore *c = &all->list[all->count];
	TRY_PLAIN(os_cancel_init(call, &c->lost, &all->stop));
	c->has_lost = true;
	c->spec = *spec;
	c->all = all;
	all->count++;
	return OK;
}

static enum err start_one(struct call *call, struct chore *c, int64_t now_ns, bool *warned)
{
	char name[OS_THREAD_NAME_MAX + 1];

	c->next_ns = c->spec.interval_ns > 0 ? now_ns + c->spec.first_ns : INT64_MAX;
	enum err e = list_one(call, c);
	if (e && !may_pass(e))
		return e;
	if (e && !*warned)
		log_error("the database takes no changes: reads are served, chores wait until it "
			  "does",
			  F_STR("error", call_error(call, e)));
	*warned |= e != OK;
	call_clear_error(call);
	snprintf(name, sizeof(name), "%.*s", OS_THREAD_NAME_MAX, c->spec.name);
	return os_thread_start(call, name, chore_main, c, &c->thread);
}

enum err satellite_chores_start(struct call *call, struct chores *all)
{
	bool warned = false;

	all->started_ns = os_clock_unix_ns();
	for (size_t i = 0; i < all->count; i++)
		TRY(start_one(call, &all->list[i], all->started_ns, &warned), "start chore %s",
		    all->list[i].spec.name);
	return os_thread_start(call, "chores", keeper_main, all, &all->keeper);
}

void satellite_chores_trigger(struct chores *all, const char *name)
{
	OS_LOCKED(&all->lock);
	for (size_t i = 0; i < all->count; i++) {
		struct chore *c = &all->list[i];
		if (strcmp(c->spec.name, name) != 0)
			continue;
		c->trigger = true;
		os_cond_broadcast(&all->changed);
	}
}

void satellite_chores_free(struct chores *all)
{
	if (!all)
		return;
	os_cancel_set(&all->stop);
	os_mutex_lock(&all->lock);
	os_cond_broadcast(&all->changed);
	os_mutex_unlock(&all->lock);
	os_thread_join(all->keeper);
	for (size_t i = 0; i < all->count; i++)
		os_thread_join(all->list[i].thread);
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i].has_lost)
			os_cancel_fini(&all->list[i].lost);
	os_cancel_fini(&all->stop);
	os_mutex_fini(&all->lock);
	os_cond_fini(&all->changed);
	free(all);
}
