/* A node's limits on bytes a second, by a clock that is not the machine's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/traffic.h"
#include "os/clock.h"
#include "os/thread.h"
#include "sim/world.h"

enum { RATE = 1000000, TRANSFERS = 7, PARTS = 20, PART = 50000 };

struct run {
	struct traffic *traffic;
	int64_t end_ns[TRANSFERS], begun_ns;
	int64_t audit_ns, none_ns, congested_after_ns;
	bool congested, calm;
};

struct transfer {
	struct run *run;
	unsigned n;
};

static void transfer(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct transfer *t = arg;

	for (int i = 0; i < PARTS; i++)
		if (traffic_wait(&call, t->run->traffic, TRAFFIC_SEND, PART))
			return;
	t->run->end_ns[t->n] = os_clock_mono_ns() - t->run->begun_ns;
}

static void world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct run *r = arg;
	struct transfer transfers[TRANSFERS];
	struct os_thread *threads[TRANSFERS] = { 0 };

	if (traffic_new(&call, NULL, &r->traffic) || traffic_set(&call, r->traffic, "5", "1MB"))
		return;
	r->calm = !traffic_congested(r->traffic, TRAFFIC_RECEIVE);
	r->begun_ns = os_clock_mono_ns();
	for (unsigned i = 0; i < TRANSFERS; i++) {
		transfers[i] = (struct transfer){ r, i };
		if (os_thread_start(&call, "transfer", transfer, &transfers[i], &threads[i]))
			return;
	}
	/* An audit is not kept waiting. */
	traffic_charge(r->traffic, TRAFFIC_SEND, PART);
	r->audit_ns = os_clock_mono_ns() - r->begun_ns;
	for (unsigned i = 0; i < TRANSFERS; i++)
		os_thread_join(threads[i]);
	traffic_charge(r->traffic, TRAFFIC_RECEIVE, 26);
	r->congested = traffic_congested(r->traffic, TRAFFIC_RECEIVE);
	/* A limit that is lifted holds at once. */
	if (traffic_set(&call, r->traffic, "0", ""))
		return;
	r->calm = r->calm && !traffic_congested(r->traffic, TRAFFIC_RECEIVE);
	int64_t before = os_clock_mono_ns();
	if (traffic_wait(&call, r->traffic, TRAFFIC_SEND, UINT64_C(1) << 40) ||
	    traffic_wait(&call, r->traffic, TRAFFIC_SEND, 1))
		return;
	r->none_ns = os_clock_mono_ns() - before;
	traffic_free(r->traffic);
}

static void test_limits(void **state)
{
	struct run r = { .none_ns = -1 };
	struct sim_result result = sim_run(11, world, &r);
	double all = (double)TRANSFERS * PARTS * PART + PART, last = 0, first = 1e30;

	assert_null(result.failure);
	assert_true(r.calm);
	assert_true(r.congested);
	assert_int_equal(r.audit_ns, 0);
	assert_int_equal(r.none_ns, 0);
	for (unsigned i = 0; i < TRANSFERS; i++) {
		double end = (double)r.end_ns[i] / (double)NS_PER_SEC;
		last = end > last ? end : last;
		first = end < first ? end : first;
	}
	/* As much as may be, no more, and shared alike. */
	assert_true(last > (all - PART) / RATE - 0.2 && last < all / RATE + 0.01);
	assert_true(first > last - TRANSFERS * 2.0 * PART / RATE);
}

/* Seconds that PARTS parts take by one of a process's nodes. */
static double seconds_of(struct call *call, struct traffic *t)
{
	int64_t begun_ns = os_clock_mono_ns();

	for (int i = 0; i < PARTS; i++)
		if (traffic_wait(call, t, TRAFFIC_SEND, PART))
			return -1;
	return (double)(os_clock_mono_ns() - begun_ns) / (double)NS_PER_SEC;
}

struct nodes {
	double slow, fast;
	uint64_t slow_step, fast_step;
	bool congested, calm;
};

static void world_of_nodes(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct traffic *process = NULL, *slow = NULL, *fast = NULL;
	struct nodes *r = arg;

	if (traffic_new(&call, NULL, &process) || traffic_new(&call, process, &slow) ||
	    traffic_new(&call, process, &fast) || traffic_set(&call, process, "5", "4MB") ||
	    traffic_set(&call, slow, "0", "1MB") || traffic_set(&call, fast, "", ""))
		return;
	r->slow = seconds_of(&call, slow);
	r->fast = seconds_of(&call, fast);
	r->slow_step = traffic_step(slow, TRAFFIC_SEND);
	r->fast_step = traffic_step(fast, TRAFFIC_SEND);
	r->calm = !traffic_congested(slow, TRAFFIC_RECEIVE);
	traffic_charge(fast, TRAFFIC_RECEIVE, 26);
	r->congested = traffic_congested(slow, TRAFFIC_RECEIVE);
	traffic_free(slow);
	traffic_free(fast);
	traffic_free(process);
}

/* A node's limit is its own; the process's is for all of them together. */
static void test_nodes(void **state)
{
	struct nodes r = { 0 };
	struct sim_result result = sim_run(12, world_of_nodes, &r);

	assert_null(result.failure);
	assert_true(r.slow > 0.9 && r.slow < 1.01);
	assert_true(r.fast > 0.2 && r.fast < 0.26);
	assert_true(r.slow_step < r.fast_step);
	assert_true(r.calm);
	assert_true(r.congested);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_limits),
					    cmocka_unit_test(test_nodes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
