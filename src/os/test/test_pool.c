/* The pool runs everything it took, refuses what it cannot hold, and never runs what it refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/pool.h"

static struct os_mutex lock;
static struct os_cond gate;
static bool open_gate;
static _Atomic int ran;

static void count(void *arg)
{
	ran++;
}

static void wait_for_gate(void *arg)
{
	os_mutex_lock(&lock);
	while (!open_gate)
		os_cond_wait_forever(&gate, &lock);
	os_mutex_unlock(&lock);
	ran++;
}

static void runs_everything(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_pool *pool;

	call_init(&call);
	ran = 0;
	assert_int_equal(os_pool_new(&call, "test", 4, 1000, &pool), OK);
	for (int i = 0; i < 500; i++)
		assert_int_equal(os_pool_submit(&call, pool, count, NULL), OK);
	os_pool_free(pool);
	assert_int_equal(ran, 500);
}

static void refuses_when_full(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_pool *pool;
	int taken = 0;

	call_init(&call);
	ran = 0;
	open_gate = false;
	assert_int_equal(os_pool_new(&call, "test", 2, 3, &pool), OK);
	for (int i = 0; i < 100; i++) {
		enum err e = os_pool_submit(&call, pool, wait_for_gate, NULL);
		if (e == OK)
			taken++;
		else
			assert_int_equal(e, ERR_UNAVAILABLE);
	}
	assert_in_range(taken, 3, 5);
	os_mutex_lock(&lock);
	open_gate = true;
	os_cond_broadcast(&gate);
	os_mutex_unlock(&lock);
	os_pool_free(pool);
	assert_int_equal(ran, taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_everything),
		cmocka_unit_test(refuses_when_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
