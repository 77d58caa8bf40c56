/* The order log: what was appended is there after a kill, and after a power cut what was synced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "memdisk.h"
#include "node/order_log.h"
#include "os/file.h"

enum { ORDERS = 40 };
#define HOUR_UNIX INT64_C(1800000000)

static const struct node_id satellites[2] = { { { 1 } }, { { 2 } } };

struct seen {
	unsigned times[ORDERS];
	size_t count;
};

static struct order order_of(unsigned n)
{
	struct order o = { .amount = 1000 + n };

	o.serial.b[0] = (uint8_t)n;
	return o;
}

static enum err append(struct call *call, struct order_log *log, unsigned n)
{
	struct order_window w = { satellites[n % 2], HOUR_UNIX + (n % 3) * ORDER_WINDOW_SECONDS };
	struct order o = order_of(n);
	uint8_t limit[300];

	memset(limit, (int)n, sizeof(limit));
	return order_log_append(call, log, &w, BYTES(limit, 200 + n), &o);
}

static enum err see(struct call *call, void *arg, const struct order_window *w,
		    const struct order_entry *e)
{
	struct seen *seen = arg;
	struct order o;

	assert_int_equal(order_decode(call, e->order, &o), OK);
	unsigned n = o.serial.b[0];
	assert_true(n < ORDERS);
	assert_int_equal(o.amount, 1000 + n);
	assert_int_equal(e->limit.len, 200 + n);
	assert_int_equal(e->limit.data[199 + n], n);
	assert_int_equal(w->hour_unix, HOUR_UNIX + (n % 3) * ORDER_WINDOW_SECONDS);
	assert_true(node_id_equal(&w->satellite, &satellites[n % 2]));
	seen->times[n]++;
	seen->count++;
	return OK;
}

static struct order_log *open_log(struct call *call)
{
	struct order_log *log = NULL;

	assert_int_equal(order_log_open(call, "/orders", &log), OK);
	return log;
}

static void begin(struct call *call, uint64_t seed)
{
	memdisk_reset(seed);
	call_init(call);
	assert_int_equal(os_dir_make(call, "/orders", false), OK);
}

static void test_append_and_read(void **state)
{
	struct call call;
	struct seen seen = { 0 }, late = { 0 };

	(void)state;
	begin(&call, 1);
	struct order_log *log = open_log(&call);
	for (unsigned n = 0; n < ORDERS; n++) {
		assert_int_equal(append(&call, log, n), OK);
		if (n % 7 == 0) { /* another life in between */
			order_log_close(log);
			log = open_log(&call);
		}
	}
	assert_int_equal(order_log_read(&call, log, 0, see, &seen), OK);
	for (unsigned n = 0; n < ORDERS; n++)
		assert_int_equal(seen.times[n], 1);
	assert_int_equal(order_log_read(&call, log, HOUR_UNIX + ORDER_WINDOW_SECONDS, see, &late),
			 OK);
	for (unsigned n = 0; n < ORDERS; n++)
		assert_int_equal(late.times[n], n % 3 != 0);
	/* Past hours are closed; they open again when something comes for them. */
	assert_int_equal(order_log_sync(&call, log, (HOUR_UNIX + 100000) * NS_PER_SEC), OK);
	assert_int_equal(append(&call, log, 0), OK);
	struct order_window none = { satellites[0], HOUR_UNIX + 9 * ORDER_WINDOW_SECONDS };
	struct order_window some = { satellites[0], HOUR_UNIX };
	assert_false(order_log_has(log, &none));
	assert_true(order_log_has(log, &some));
	order_log_close(log);
	call_fini(&call);
}

static void die_at(uint64_t operation, bool power_cut, uint64_t seed)
{
	struct call call;
	struct seen seen = { 0 };
	bool appended[ORDERS] = { false }, synced[ORDERS] = { false };

	begin(&call, seed);
	struct order_log *log = open_log(&call);
	memdisk_die_after(operation);
	for (unsigned n = 0; n < ORDERS - 5; n++) {
		appended[n] = append(&call, log, n) == OK;
		if (n % 5 == 4 && order_log_sync(&call, log, HOUR_UNIX * NS_PER_SEC) == OK)
			memcpy(synced, appended, sizeof(synced));
	}
	order_log_close(log);
	memdisk_restart(power_cut);
	log = open_log(&call);
	for (unsigned n = ORDERS - 5; n < ORDERS; n++)
		synced[n] = appended[n] = append(&call, log, n) == OK;
	assert_int_equal(order_log_read(&call, log, 0, see, &seen), OK);
	for (unsigned n = 0; n < ORDERS; n++) {
		assert_true(seen.times[n] <= 1);
		if (power_cut ? synced[n] : appended[n])
			assert_int_equal(seen.times[n], 1);
	}
	order_log_close(log);
	call_fini(&call);
}

static void test_die_everywhere(void **state)
{
	(void)state;
	for (uint64_t n = 1; n < 90; n++)
		for (uint64_t seed = 0; seed < 6; seed++)
			die_at(n, seed > 0, n * 8 + seed);
	memdisk_reset(0);
}

/* A full disk loses the order, tells so, and harms no other. */
static void test_full_disk(void **state)
{
	struct call call;
	struct seen seen = { 0 };

	(void)state;
	begin(&call, 1);
	struct order_log *log = open_log(&call);
	for (unsigned n = 0; n < 6; n++)
		assert_int_equal(append(&call, log, n), OK);
	memdisk_set_free(100);
	for (unsigned n = 6; n < 12; n++)
		assert_int_equal(append(&call, log, n), ERR_NO_SPACE);
	memdisk_set_free(UINT64_MAX);
	for (unsigned n = 12; n < 18; n++)
		assert_int_equal(append(&call, log, n), OK);
	assert_int_equal(order_log_read(&call, log, 0, see, &seen), OK);
	for (unsigned n = 0; n < 18; n++)
		assert_int_equal(seen.times[n], n < 6 || n >= 12);
	order_log_close(log);
	call_fini(&call);
	memdisk_reset(0);
}

/* ---- settlement ---- */

static void test_windows_are_listed(void **state)
{
	struct call call;
	struct order_window *list = NULL;
	size_t count = 0;

	begin(&call, 1);
	struct order_log *log = open_log(&call);
	for (unsigned n = 0; n < ORDERS; n++)
		assert_int_equal(append(&call, log, n), OK);
	assert_int_equal(order_log_list(&call, log, &call.scratch, &list, &count), OK);
	assert_int_equal(count, 6);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(list[i].hour_unix, HOUR_UNIX + (int64_t)(i / 2) * 3600);
	order_log_close(log);
	call_fini(&call);
}

/* A window is complete when no transfer may add to it any more. */
static void test_windows_in_use(void **state)
{
	struct call call;
	struct order_window a = { satellites[0], HOUR_UNIX }, b = { satellites[1], HOUR_UNIX };
	struct order_use one = { 0 }, two = { 0 }, other = { 0 };

	begin(&call, 1);
	struct order_log *log = open_log(&call);
	assert_false(order_log_in_use(log, &a));
	order_log_enter(log, &one, &a);
	order_log_enter(log, &other, &b);
	order_log_enter(log, &two, &a);
	order_log_leave(log, &one);
	order_log_leave(log, &one);
	assert_true(order_log_in_use(log, &a));
	order_log_leave(log, &two);
	assert_false(order_log_in_use(log, &a));
	assert_true(order_log_in_use(log, &b));
	order_log_leave(log, &other);
	assert_false(order_log_in_use(log, &b));
	order_log_close(log);
	call_fini(&call);
}

static void test_archive(void **state)
{
	struct call call;
	struct seen seen = { 0 };
	struct order_window w = { satellites[0], HOUR_UNIX };
	const int64_t now = (HOUR_UNIX + 8000) * NS_PER_SEC;
	size_t removed = 0;

	begin(&call, 1);
	struct order_log *log = open_log(&call);
	assert_int_equal(order_log_prune(&call, log, now, &removed), OK);
	for (unsigned n = 0; n < ORDERS; n++)
		assert_int_equal(append(&call, log, n), OK);
	assert_int_equal(order_log_archive(&call, log, &w, now, ORDERS_ACCEPTED), OK);
	assert_false(order_log_has(log, &w));
	assert_int_equal(order_log_archive(&call, log, &w, now, ORDERS_ACCEPTED), ERR_NOT_FOUND);
	assert_int_equal(order_log_visit(&call, log, &w, see, &seen), ERR_NOT_FOUND);
	/* It is out of sight for a start, too. */
	order_log_close(log);
	memdisk_restart(true);
	log = open_log(&call);
	assert_false(order_log_has(log, &w));
	assert_int_equal(order_log_read(&call, log, 0, see, &seen), OK);
	for (unsigned n = 0; n < ORDERS; n++)
		assert_true(n % 6 ? seen.times[n] <= 1 : seen.times[n] == 0);
	assert_int_equal(order_log_prune(&call, log, now, &removed), OK);
	assert_int_equal(removed, 0);
	assert_int_equal(order_log_prune(&call, log, now + NS_PER_SEC, &removed), OK);
	assert_int_equal(removed, 1);
	order_log_close(log);
	call_fini(&call);
}

/* A death while a window is archived leaves it in one place or in the other. */
static void test_archive_dies(void **state)
{
	const char *names[] = { "/orders", "/orders/archive" };
	struct order_window w = { satellites[0], HOUR_UNIX };

	for (uint64_t n = 1; n < 12; n++) {
		struct call call;
		struct seen seen = { 0 };
		begin(&call, n);
		struct order_log *log = open_log(&call);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(append(&call, log, i * 6), OK);
		assert_int_equal(order_log_sync(&call, log, HOUR_UNIX * NS_PER_SEC), OK);
		memdisk_die_after(n);
		bool done = order_log_archive(&call, log, &w, HOUR_UNIX * NS_PER_SEC,
					      ORDERS_REJECTED) == OK;
		order_log_close(log);
		memdisk_restart(true);
		call_clear_error(&call);
		log = open_log(&call);
		size_t found = 0;
		for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
			const char **list = NULL;
			size_t count = 0;
			enum err e = os_dir_list(&call, &call.scratch, names[i], &list, &count);
			for (size_t k = 0; !e && k < count; k++)
				found += strstr(list[k], ".orders") != NULL;
			call_clear_error(&call);
		}
		assert_true(found >= 1);
		bool there = order_log_has(log, &w);
		assert_true(!done || !there);
		if (there) {
			assert_int_equal(order_log_visit(&call, log, &w, see, &seen), OK);
			assert_int_equal(seen.count, 2);
		}
		order_log_close(log);
		call_fini(&call);
	}
	memdisk_reset(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_read), cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_die_everywhere),	cmocka_unit_test(test_windows_are_listed),
		cmocka_unit_test(test_windows_in_use),	cmocka_unit_test(test_archive),
		cmocka_unit_test(test_archive_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
