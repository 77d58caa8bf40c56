/* What a node says of itself and what satellites say of it: for people, as JSON, as metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node_status.h"
#include "node/test/network.h"
#include "os/clock.h"

static struct network network, *const net = &network;

static int setup(void **state)
{
	network_start(net);
	return 0;
}

static int teardown(void **state)
{
	network_stop(net);
	return 0;
}

static void write_status(enum status_format format, struct buf *out)
{
	AUTO(arena_free) struct arena a = { 0 };
	AUTO_CALL struct call call = CALL_INIT;
	struct node_view v = { .name = "n", .dir = "/d", .state = "running", .why = "" };
	const struct process_view p = { .dir = "/d", .pid = 1, .nodes = &v, .count = 1 };

	assert_int_equal(node_view_fill(&call, &a, net->node, &v), OK);
	assert_int_equal(node_status_write(&p, format, out), OK);
}

static json_t *wait_for_stats(void)
{
	AUTO_CALL struct call call = CALL_INIT;

	os_call_limit(&call, 60 * NS_PER_SEC);
	for (;;) {
		AUTO_BUF struct buf text = BUF_INIT(1 << 20);
		write_status(STATUS_JSON, &text);
		json_t *root = json_loads(buf_cstr(&text), 0, NULL);
		assert_non_null(root);
		json_t *node = json_array_get(json_object_get(root, "nodes"), 0);
		json_t *satellite = json_array_get(json_object_get(node, "satellites"), 0);
		if (json_integer_value(json_object_get(satellite, "stats-known")))
			return root;
		json_decref(root);
		assert_int_equal(os_sleep(&call, 20 * NS_PER_MS), OK);
	}
}

static int64_t number(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	assert_true(json_is_integer(v));
	return json_integer_value(v);
}

static void satellites_words_are_shown(void **state)
{
	json_t *root = wait_for_stats();
	json_t *node = json_array_get(json_object_get(root, "nodes"), 0);
	json_t *s = json_array_get(json_object_get(node, "satellites"), 0);

	assert_int_equal(number(s, "audits"), 100);
	assert_int_equal(number(s, "audits-passed"), 97);
	assert_true(json_real_value(json_object_get(s, "audit-score")) == 0.97);
	assert_true(json_real_value(json_object_get(s, "online-score")) == 0.5);
	assert_int_equal(number(s, "joined"), 1700000000);
	assert_int_equal(number(s, "suspended"), 1700086400);
	assert_int_equal(number(s, "disqualified"), 0);
	assert_int_equal(number(s, "paid"), 3000001);
	assert_int_equal(number(s, "paid-last"), 1500000);
	assert_int_equal(number(s, "sent"), 2400001);
	assert_string_equal(json_string_value(json_object_get(s, "receipt")),
			    "2023-11 eth:0xabc def");
	assert_int_equal(number(s, "disposed"), 250000);
	assert_int_equal(number(s, "held"), 750000);
	json_decref(root);

	/* A start shows what was known, though the satellite has said nothing yet. */
	network_stop_node(net);
	network_start_node(net);
	AUTO_BUF struct buf text = BUF_INIT(1 << 20), metrics = BUF_INIT(1 << 20);
	write_status(STATUS_TEXT, &text);
	assert_non_null(strstr(buf_cstr(&text), "audit score            0.9700"));
	assert_non_null(strstr(buf_cstr(&text), "paid so far            $3.00"));
	assert_non_null(
		strstr(buf_cstr(&text), "  by month             2023-11 $1.50, 2023-10 $1.50"));
	assert_non_null(strstr(buf_cstr(&text), "! 127.0.0.1:"));
	assert_non_null(strstr(buf_cstr(&text), "is suspended"));
	assert_non_null(strstr(buf_cstr(&text), "audits have failed"));
	write_status(STATUS_METRICS, &metrics);
	assert_non_null(strstr(buf_cstr(&metrics), "# TYPE acre_node_satellite_audits gauge\n"));
	assert_non_null(strstr(buf_cstr(&metrics), "} 0.970000\n"));
}

static void refusing_uploads_shows(void **state)
{
	AUTO_BUF struct buf notes = BUF_INIT(4096), text = BUF_INIT(1 << 20);
	AUTO_CALL struct call call = CALL_INIT;
	struct node_config config = net->config;

	config.space = 123456789;
	config.segment_size = 1 << 25;
	config.wallet = "0xnew";
	assert_int_equal(node_apply(&call, net->node, &config, "n", &notes), OK);
	assert_string_equal(buf_cstr(&notes),
			    "n: segment-size changes when the node is restarted\n");
	write_status(STATUS_JSON, &text);
	assert_non_null(strstr(buf_cstr(&text), "\"allocated\": 123456789,"));
	config.upload_hours = "nonsense";
	assert_int_equal(node_apply(&call, net->node, &config, "n", &notes), ERR_CONFIG);
}

/* A satellite that ends answers "canceled": the node goes on asking. */
static void canceled_by_the_satellite(void **state)
{
	net->check_in_cancels = 1;
	for (int i = 0; i < 1000 && net->check_in_cancels; i++)
		assert_int_equal(os_sleep(&net->call, 10 * NS_PER_MS), OK);
	assert_int_equal(net->check_in_cancels, 0);
	network_wait_check_in(net, net->check_ins + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(satellites_words_are_shown),
		cmocka_unit_test(refusing_uploads_shows),
		cmocka_unit_test(canceled_by_the_satellite),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
