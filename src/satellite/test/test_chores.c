/* Chores: when they run, that one process runs them, what is written down: `test_chores
 * sqlite|postgres`. */
#include "chore_world.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"
#include "satellite/chore.h"

DEFINE_AUTO_PTR(struct chores, chores_auto, satellite_chores_free)

/* What a chore of these tests does, and what was seen of it. */
struct probe {
	_Atomic int runs, now, at_once_max;
	_Atomic bool fail, hold;
};

static enum err run_probe(struct call *call, struct chore *chore, void *arg)
{
	struct probe *p = arg;
	int now = ++p->now;
	enum err e = OK;

	if (now > p->at_once_max)
		p->at_once_max = now;
	chore_note(chore, "run %d", p->runs + 1);
	p->runs++;
	while (!e && p->hold)
		e = os_sleep(call, 5 * NS_PER_MS);
	p->now--;
	return !e && p->fail ? call_fail(call, ERR_UNKNOWN, "it went wrong") : e;
}

static struct chores *start(struct chore_world *w, struct chore_spec spec)
{
	struct chores *c = NULL;

	spec.name = "probe";
	spec.run = run_probe;
	must(w, satellite_chores_new(&w->call, w->sat.db, &c));
	must(w, satellite_chores_add(&w->call, c, &spec));
	assert_int_equal(satellite_chores_add(&w->call, c, &spec), ERR_EXISTS);
	must(w, satellite_chores_start(&w->call, c));
	return c;
}

static struct chore_state state_of(struct chore_world *w)
{
	struct chore_state *list = NULL;
	size_t count = 0;

	must(w, satellite_chores_list(&w->call, w->sat.db, &w->call.scratch, &list, &count));
	assert_int_equal(count, 1);
	assert_string_equal(list[0].name, "probe");
	return list[0];
}

static void test_again_and_again(void **state)
{
	struct chore_world *w = *state;
	struct probe p = { 0 };
	struct chores *c AUTO(chores_auto) =
		start(w, (struct chore_spec){ .interval_ns = 10 * NS_PER_MS, .arg = &p });

	EVENTUALLY(p.runs >= 2);
	EVENTUALLY(state_of(w).runs >= 2);
	struct chore_state s = state_of(w);
	assert_int_equal(s.failures, 0);
	assert_string_equal(s.error, "");
	assert_memory_equal(s.note, "run ", 4);
	assert_true(s.ended_ns > 0);
}

static void test_asked_for(void **state)
{
	struct chore_world *w = *state;
	struct probe p = { 0 };
	struct chores *c AUTO(chores_auto) = start(w, (struct chore_spec){ .arg = &p });
	int64_t request = 0;

	satellite_chores_trigger(c, "nobody");
	satellite_chores_trigger(c, "probe");
	EVENTUALLY(state_of(w).runs == 1);
	must(w, satellite_chores_request(&w->call, w->sat.db, "probe", &request));
	assert_int_equal(satellite_chores_request(&w->call, w->sat.db, "nobody", NULL),
			 ERR_NOT_FOUND);
	call_clear_error(&w->call);
	EVENTUALLY(state_of(w).served >= request && !state_of(w).running);
	assert_int_equal(p.runs, 2);
	/* What is asked for during a run is answered by another. */
	p.hold = true;
	satellite_chores_trigger(c, "probe");
	EVENTUALLY(p.runs == 3);
	satellite_chores_trigger(c, "probe");
	p.hold = false;
	EVENTUALLY(p.runs == 4);
	EVENTUALLY(state_of(w).runs == 4);
	assert_true(state_of(w).next_ns == INT64_MAX);
}

static void test_failure(void **state)
{
	struct chore_world *w = *state;
	struct probe p = { .fail = true };
	struct chores *c AUTO(chores_auto) =
		start(w, (struct chore_spec){ .interval_ns = 3600 * NS_PER_SEC, .arg = &p });

	EVENTUALLY(state_of(w).failures == 1);
	struct chore_state s = state_of(w);
	assert_string_equal(s.error, "it went wrong");
	assert_false(s.running);
	/* Tried again long before its time. */
	assert_in_range(s.next_ns - s.ended_ns, 1, 120 * NS_PER_SEC);
	p.fail = false;
	satellite_chores_trigger(c, "probe");
	EVENTUALLY(state_of(w).runs == 2);
	assert_string_equal(state_of(w).error, "");
	assert_true(state_of(w).next_ns - state_of(w).ended_ns >= 3000 * NS_PER_SEC);
}

/* Stopping ends a run, which is then due again at once and counts neither way. */
static void test_stopped(void **state)
{
	struct chore_world *w = *state;
	struct probe p = { .hold = true };
	const struct chore_spec spec = { .interval_ns = 3600 * NS_PER_SEC, .arg = &p };
	struct chores *c = start(w, spec);

	EVENTUALLY(p.runs == 1);
	assert_true(state_of(w).running);
	satellite_chores_free(c);
	assert_false(state_of(w).running);
	assert_int_equal(state_of(w).runs, 0);
	p.hold = false;
	c = start(w, spec);
	EVENTUALLY(state_of(w).runs == 1);
	satellite_chores_free(c);
	/* A later start does not run again what ran not long ago ... */
	c = start(w, spec);
	satellite_chores_trigger(c, "probe");
	EVENTUALLY(state_of(w).runs == 2);
	satellite_chores_free(c);
	assert_int_equal(p.runs, 3);
}

/* A lease that a dead process left. */
static void test_dead_holder(void **state)
{
	struct chore_world *w = *state;
	struct probe p = { 0 };
	const struct chore_spec spec = { .arg = &p };
	bool one_process = db_is_sqlite(w->sat.db);

	satellite_chores_free(start(w, spec));
	chore_world_sql(w, one_process ? "UPDATE chores SET holder = x'01', "
					 "lease_until = 9000000000000000000, requests = 1"
				       : "UPDATE chores SET holder = '\\x01', "
					 "lease_until = 9000000000000000000, requests = 1");
	struct chores *c AUTO(chores_auto) = start(w, spec);
	if (one_process) {
		EVENTUALLY(p.runs == 1);
		return;
	}
	must(w, os_sleep(&w->call, 1500 * NS_PER_MS));
	assert_int_equal(p.runs, 0);
	chore_world_sql(w, "UPDATE chores SET lease_until = 1");
	EVENTUALLY(p.runs == 1);
}

/* Killed in the middle of a run that was asked for: what it began is due again, whatever the row's
 * next time says. */
static void test_killed_in_a_run(void **state)
{
	struct chore_world *w = *state;
	struct probe p = { 0 };
	const struct chore_spec spec = { .interval_ns = 3600 * NS_PER_SEC,
					 .first_ns = 3600 * NS_PER_SEC,
					 .arg = &p };

	satellite_chores_free(start(w, spec));
	chore_world_sql(
		w, db_is_sqlite(w->sat.db)
			   ? "UPDATE chores SET holder = x'0102030405060708090a0b0c0d0e0f10', "
			     "lease_until = 1, requests = 1, served = 1"
			   : "UPDATE chores SET holder = '\\x0102030405060708090a0b0c0d0e0f10', "
			     "lease_until = 1, requests = 1, served = 1");
	struct chores *c AUTO(chores_auto) = start(w, spec);
	EVENTUALLY(p.runs == 1);
	EVENTUALLY(state_of(w).runs == 1);
	assert_false(state_of(w).running);
}

/* Several processes on one PostgreSQL: one of them at a time. */
static void test_one_leader(void **state)
{
	struct chore_world *w = *state;
	struct probe p[2] = { { .hold = true }, { .hold = true } };
	struct chores *c[2];

	if (db_is_sqlite(w->sat.db))
		return;
	for (size_t i = 0; i < 2; i++)
		c[i] = start(w, (struct chore_spec){ .interval_ns = NS_PER_MS, .arg = &p[i] });
	EVENTUALLY(p[0].runs + p[1].runs == 1);
	/* Long enough for the other to have looked. */
	must(w, os_sleep(&w->call, 2500 * NS_PER_MS));
	assert_int_equal(p[0].runs + p[1].runs, 1);
	size_t leader = p[1].runs == 1;
	satellite_chores_free(c[leader]);
	EVENTUALLY(p[!leader].runs == 1);
	satellite_chores_free(c[!leader]);
}

static void test_everywhere(void **state)
{
	struct chore_world *w = *state;
	struct probe p = { .hold = true };
	const struct chore_spec spec = { .interval_ns = 3600 * NS_PER_SEC,
					 .everywhere = true,
					 .arg = &p };
	struct chores *a = start(w, spec);
	struct chores *b = start(w, spec);

	EVENTUALLY(p.at_once_max == 2);
	p.hold = false;
	EVENTUALLY(state_of(w).runs == 2);
	satellite_chores_trigger(a, "probe");
	EVENTUALLY(p.runs == 3);
	satellite_chores_free(a);
	satellite_chores_free(b);
}

static void test_rest(void **state)
{
	struct chore_world *w = *state;
	int64_t start_ns = os_clock_mono_ns();

	must(w, chore_rest(&w->call, 10 * NS_PER_MS, 100));
	must(w, chore_rest(&w->call, 10 * NS_PER_MS, 25));
	assert_true(os_clock_mono_ns() - start_ns >= 30 * NS_PER_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, chore_world_setup, chore_world_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_again_and_again), TEST(test_asked_for),   TEST(test_failure),
		TEST(test_stopped),	    TEST(test_dead_holder), TEST(test_killed_in_a_run),
		TEST(test_one_leader),	    TEST(test_everywhere),  TEST(test_rest),
	};

	if (argc > 1)
		chore_world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
