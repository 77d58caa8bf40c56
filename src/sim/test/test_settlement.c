/*
 * Orders from the transfer to the books, on the virtual clock: what nodes moved in an hour is
 * settled when that hour is over, once, and the books agree with each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/world.h"
#include "db/test/number.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"
#include "os/random.h"
#include "sim/network.h"
#include "sim/test/renter.h"
#include "sim/world.h"

enum { NODES = 5, OBJECT_BYTES = 300000 };
/* An hour ends at most an hour from now, and is settled an hour later. */
#define SETTLED_NS (2 * 3600 * NS_PER_SEC + 300 * NS_PER_SEC)

static void transfers(struct sim_net *net)
{
	static uint8_t data[OBJECT_BYTES];
	struct renter r = renter_open(net);

	os_random(data, sizeof(data));
	renter_put(&r, "key", data, sizeof(data));
	renter_get(&r, "key", data, sizeof(data));
	renter_close(&r);
}

static int64_t number(struct sim_net *net, const char *sql)
{
	AUTO_CALL struct call call = CALL_INIT;
	int64_t value = -1;

	call_init(&call);
	enum err e = db_test_number(&call, sim_net_database(net), sql, &value);
	if (e)
		fail_msg("%s", call_error(&call, e));
	return value;
}

#define NODES_PAID(action)                                                                         \
	"SELECT CAST(COALESCE(SUM(settled), 0) AS INTEGER) FROM storagenode_bandwidth_rollups "    \
	"WHERE action = " action
#define BUCKETS_SETTLED(action)                                                                    \
	"SELECT CAST(COALESCE(SUM(settled), 0) AS INTEGER) FROM bucket_bandwidth_rollups WHERE "   \
	"action = " action

static void look(struct sim_net *net)
{
	AUTO_CALL struct call call = CALL_INIT;
	int64_t up = number(net, NODES_PAID("1")), down = number(net, NODES_PAID("2"));

	call_init(&call);
	/* The code is 2 of 5, so that an upload moves more than its size. */
	assert_true(up >= OBJECT_BYTES);
	assert_true(down >= OBJECT_BYTES);
	/* What clients are billed for is what nodes were paid. */
	assert_int_equal(up, number(net, BUCKETS_SETTLED("1")));
	assert_int_equal(down, number(net, BUCKETS_SETTLED("2")));
	assert_true(number(net, "SELECT CAST(SUM(allocated - settled - dead) AS INTEGER) FROM "
				"bucket_bandwidth_rollups") >= 0);
	/* It was counted what nodes and buckets keep. */
	assert_true(number(net, "SELECT CAST(COALESCE(SUM(byte_hours), 0) AS INTEGER) FROM "
				"node_storage") > OBJECT_BYTES);
	assert_true(number(net, "SELECT CAST(COALESCE(SUM(byte_hours), 0) AS INTEGER) FROM "
				"bucket_storage") > OBJECT_BYTES);
	if (sim_net_check(&call, net))
		fail_msg("%s", call.error);
}

static void world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	const struct sim_net_config config = { .nodes = NODES, .rs = "2/2/4/5" };
	struct sim_net *net;
	enum err e = sim_net_start(&call, &config, &net);

	if (e)
		fail_msg("%s", call_error(&call, e));
	transfers(net);
	assert_int_equal(number(net, NODES_PAID("1")), 0);
	assert_int_equal(os_sleep(&call, SETTLED_NS), OK);
	look(net);
	int64_t paid = number(net, NODES_PAID("1"));
	/* Nothing more comes of the same transfers. */
	assert_int_equal(os_sleep(&call, 1800 * NS_PER_SEC), OK);
	assert_int_equal(number(net, NODES_PAID("1")), paid);
	sim_net_stop(net);
}

static void orders_become_pay(void **state)
{
	struct sim_result r = sim_run(7, world, NULL);

	if (r.failure)
		fail_msg("%s", r.failure);
	print_message("%llu events in %.0f virtual seconds\n", (unsigned long long)r.events,
		      (double)r.virtual_ns / 1e9);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(orders_become_pay) };

	if (crypto_use_os_random())
		return 1;
	log_set_level(LOG_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
