/*
 * One upload and one download of the real client, node and satellite code in one process, from a
 * seed, twice, with identical traces: nothing above os/ takes time, randomness or order from
 * anywhere else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "crypto/world.h"
#include "os/log.h"
#include "os/process.h"
#include "os/random.h"
#include "sim/network.h"
#include "sim/test/renter.h"
#include "sim/world.h"

enum { NODES = 5, OBJECT_BYTES = 700000 };

static void transfers(struct sim_net *net)
{
	static uint8_t data[OBJECT_BYTES];
	struct renter r = renter_open(net);

	os_random(data, sizeof(data));
	renter_put(&r, "remote", data, sizeof(data));
	renter_put(&r, "inline", data, 100);
	renter_get(&r, "remote", data, sizeof(data));
	renter_get(&r, "inline", data, 100);
	renter_close(&r);
}

static void world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	const struct sim_net_config config = { .nodes = NODES, .rs = "2/2/3/5" };
	struct sim_net *net;
	enum err e = sim_net_start(&call, &config, &net);

	if (e)
		fail_msg("%s", call_error(&call, e));
	transfers(net);
	sim_net_stop(net);
}

static void an_upload_and_a_download_repeat_exactly(void **state)
{
	struct sim_result a = sim_run(42, world, NULL);

	assert_null(a.failure);
	struct sim_result b = sim_run(42, world, NULL);
	assert_null(b.failure);
	print_message("%llu events in %.3f virtual seconds, trace %016llx and %016llx\n",
		      (unsigned long long)a.events, (double)a.virtual_ns / 1e9,
		      (unsigned long long)a.trace, (unsigned long long)b.trace);
	assert_true(a.events > 1000);
	assert_true(a.events == b.events);
	assert_true(a.virtual_ns == b.virtual_ns);
	assert_true(a.trace == b.trace);
}

static void other_seeds_are_other_runs(void **state)
{
	struct sim_result a = sim_run(1, world, NULL), b = sim_run(2, world, NULL);

	assert_null(a.failure);
	assert_null(b.failure);
	assert_true(a.trace != b.trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upload_and_a_download_repeat_exactly),
		cmocka_unit_test(other_seeds_are_other_runs),
	};

	if (crypto_use_os_random())
		return 1;
	log_set_level(LOG_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
