/* Windows of orders reach the satellite whole, once, also after failures and restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "network.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"

enum { PIECES = 4, PIECE_BYTES = 5000, HOURS_EARLY = 3 };

static struct network net;

static void upload(unsigned number)
{
	static uint8_t data[PIECE_BYTES];
	uint64_t status = 0;
	struct ticket *t = network_ticket(&net, ORDERS__PIECE_ACTION__PUT, sizeof(data), number);

	assert_int_equal(network_upload(&net, t, BYTES_OF(data), 1, &status), OK);
}

/* Files in the directory of orders (or "archive" in it) whose names hold that. */
static size_t count_files(const char *sub, const char *what)
{
	struct call call;
	const char **names = NULL;
	size_t count = 0, found = 0;
	char path[256];

	call_init(&call);
	snprintf(path, sizeof(path), "%s/node/storage/orders/%s", net.dir, sub);
	if (os_dir_list(&call, &call.scratch, path, &names, &count) == OK)
		for (size_t i = 0; i < count; i++)
			found += strstr(names[i], what) != NULL;
	call_fini(&call);
	return found;
}

static void wait_files(const char *sub, const char *what, size_t want)
{
	for (int i = 0; i < 2000 && count_files(sub, what) != want; i++)
		assert_int_equal(os_sleep(&net.call, 10 * NS_PER_MS), OK);
	assert_int_equal(count_files(sub, what), want);
}

static void restart_settling(bool settling)
{
	network_stop_node(&net);
	net.config.settle_early_ns = settling ? HOURS_EARLY * 3600 * NS_PER_SEC : 0;
	network_start_node(&net);
}

/* A test's orders are of one hour: one that is about to end is waited for. */
static void avoid_the_turn_of_the_hour(void)
{
	int64_t left = 3600 - os_clock_unix_ns() / NS_PER_SEC % 3600;

	if (left < 30)
		assert_int_equal(os_sleep(&net.call, left * NS_PER_SEC), OK);
}

static int start(void **state)
{
	network_start(&net);
	avoid_the_turn_of_the_hour();
	network_wait_check_in(&net, 1);
	return 0;
}

static int stop(void **state)
{
	network_stop(&net);
	return 0;
}

/* Orders lie until their hour is over; the tests' clock is the real one. */
static void a_window_is_sent_once_and_archived(void **state)
{
	for (unsigned i = 0; i < PIECES; i++)
		upload(i);
	assert_int_equal(net.settlements, 0);
	restart_settling(true);
	network_wait_settlements(&net, 1);
	wait_files("archive", "ACCEPTED", 1);
	assert_int_equal(net.settle_entries, PIECES);
	assert_int_equal(net.settle_amount, PIECES * PIECE_BYTES);
	assert_int_equal(count_files("", ".orders"), 0);
	/* Nothing is sent twice, and a start does not bring it back. */
	restart_settling(true);
	assert_int_equal(os_sleep(&net.call, 2500 * NS_PER_MS), OK);
	assert_int_equal(net.settlements, 1);
}

static void a_failure_is_repeated_with_the_same_window(void **state)
{
	for (unsigned i = 0; i < PIECES; i++)
		upload(i);
	net.settle_failures = 2;
	restart_settling(true);
	network_wait_settlements(&net, 1);
	assert_int_equal(net.settle_failures, 0);
	assert_int_equal(net.settle_entries, PIECES);
	wait_files("archive", "ACCEPTED", 1);
}

static void a_refused_window_is_archived_as_such(void **state)
{
	upload(0);
	net.settle_reject = true;
	restart_settling(true);
	network_wait_settlements(&net, 1);
	wait_files("archive", "REJECTED", 1);
	assert_int_equal(count_files("", ".orders"), 0);
}

/* An upload that is still going on holds its window back. */
static void a_running_transfer_holds_its_window(void **state)
{
	struct ticket *t = network_ticket(&net, ORDERS__PIECE_ACTION__PUT, PIECE_BYTES, 100);
	struct talk talk;

	network_stop_node(&net);
	net.config.settle_early_ns = HOURS_EARLY * 3600 * NS_PER_SEC;
	network_start_node(&net);
	talk_begin(&net, &talk, "/piecestore.Piecestore/Upload");
	struct request r = { .limit = t, .order_by = t, .order_amount = 1000, .algorithm = 1 };
	assert_int_equal(talk_send(&net, &talk, &r), OK);
	assert_int_equal(rpc_flush(&talk.call, talk.stream), OK);
	assert_int_equal(os_sleep(&net.call, 2500 * NS_PER_MS), OK);
	assert_int_equal(net.settlements, 0);
	talk_end(&talk);
	network_wait_settlements(&net, 1);
	assert_int_equal(net.settle_entries, 1);
	assert_int_equal(net.settle_amount, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_window_is_sent_once_and_archived, start, stop),
		cmocka_unit_test_setup_teardown(a_failure_is_repeated_with_the_same_window, start,
						stop),
		cmocka_unit_test_setup_teardown(a_refused_window_is_archived_as_such, start, stop),
		cmocka_unit_test_setup_teardown(a_running_transfer_holds_its_window, start, stop),
	};

	log_set_level(LOG_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
