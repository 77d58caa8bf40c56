/* Waiting ends at the deadline, at a cancellation, at a parent's cancellation. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/process.h"
#include "os/random.h"
#include "os/thread.h"

static void set(void *arg)
{
	os_cancel_set(arg);
}

static void cancel_ends_a_sleep(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_cancel parent, child;
	struct os_thread *t;

	call_init(&call);
	assert_int_equal(os_cancel_init(&call, &parent, NULL), OK);
	assert_int_equal(os_cancel_init(&call, &child, &parent), OK);
	call.cancel = &child;
	assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
	assert_int_equal(os_thread_start(&call, "t", set, &parent, &t), OK);
	assert_int_equal(os_sleep(&call, 60 * NS_PER_SEC), ERR_CANCELED);
	os_thread_join(t);
	assert_int_equal(os_call_check(&call), ERR_CANCELED);
	os_cancel_fini(&child);
	os_cancel_fini(&parent);
}

static void deadline_ends_a_sleep(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, 5 * NS_PER_MS);
	os_call_limit(&call, 60 * NS_PER_SEC);
	assert_int_equal(os_sleep(&call, 60 * NS_PER_SEC), ERR_DEADLINE);
}

static void condition_has_a_deadline(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_mutex m = { 0 };
	struct os_cond c = { 0 };

	call_init(&call);
	os_call_limit(&call, 5 * NS_PER_MS);
	OS_LOCKED(&m);
	enum err e;
	do {
		e = os_cond_wait(&call, &c, &m);
	} while (!e);
	assert_int_equal(e, ERR_DEADLINE);
}

struct flags {
	struct os_flag there, back;
	unsigned count;
};

static void answer_flags(void *arg)
{
	struct flags *f = arg;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	for (int i = 0; i < 100; i++) {
		if (os_flag_wait(&call, &f->there))
			return;
		f->count++;
		os_flag_set(&f->back);
	}
}

static void flags_wake(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct flags f = { 0 };
	struct os_thread *thread = NULL;

	call_init(&call);
	assert_int_equal(os_thread_start(&call, "flags", answer_flags, &f, &thread), OK);
	for (unsigned i = 1; i <= 100; i++) {
		os_flag_set(&f.there);
		assert_int_equal(os_flag_wait(&call, &f.back), OK);
		assert_int_equal(f.count, i);
	}
	os_thread_join(thread);
	os_call_limit(&call, 5 * NS_PER_MS);
	assert_int_equal(os_flag_wait(&call, &f.back), ERR_DEADLINE);
	os_flag_fini(&f.there);
	os_flag_fini(&f.back);
}

/* A second SIGTERM comes when main has ended, with its frame. */
static void signal_forgets_its_target(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_cancel cancel;

	call_init(&call);
	assert_int_equal(os_cancel_init(&call, &cancel, NULL), OK);
	os_signals_cancel(&cancel, NULL);
	assert_int_equal(raise(SIGTERM), 0);
	assert_true(os_cancel_is_set(&cancel));
	os_signals_cancel(NULL, NULL);
	os_cancel_fini(&cancel);
	cancel = (struct os_cancel){ .handle = -1 };
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(raise(SIGINT), 0);
	assert_false(os_cancel_is_set(&cancel));
}

static void random_is_in_range(void **state)
{
	for (int i = 0; i < 1000; i++)
		assert_in_range(os_random_below(3), 0, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cancel_ends_a_sleep),
		cmocka_unit_test(deadline_ends_a_sleep),
		cmocka_unit_test(condition_has_a_deadline),
		cmocka_unit_test(flags_wake),
		cmocka_unit_test(signal_forgets_its_target),
		cmocka_unit_test(random_is_in_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
