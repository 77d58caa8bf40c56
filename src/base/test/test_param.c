/* Settings: flags, config lines, ranges, and errors that help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/param.h"

struct options {
	const char *dir;
	bool force;
	enum param_choice choice;
	uint64_t nodes;
	uint64_t space;
	int64_t every;
	double share;
	struct param_list hosts;
};

static const struct param table[] = {
	PARAM(struct options, dir, 'd', PARAM_STR, "here", "where"),
	PARAM(struct options, force, 'f', PARAM_BOOL, "false", "do it anyway"),
	PARAM(struct options, choice, 'c', PARAM_CHOICE, NULL, "left open"),
	{ .name = "nodes",
	  .type = PARAM_U64,
	  .offset = offsetof(struct options, nodes),
	  .default_text = "10",
	  .min = 1,
	  .max = 100,
	  .doc = "how many" },
	PARAM(struct options, space, 0, PARAM_SIZE, "1GiB", "how much"),
	PARAM(struct options, every, 0, PARAM_DURATION, "1h", "how often"),
	PARAM(struct options, share, 0, PARAM_REAL, "0.96", "which part"),
	PARAM(struct options, hosts, 0, PARAM_LIST, NULL, "whom"),
};

static void reads_flags(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct options o = { 0 };
	const char **rest;
	size_t n;
	const char *argv[] = { "--nodes=7", "a", "-d",	    "there", "-f", "--hosts", "x",
			       "--hosts",   "y", "--every", "5m",    "--", "-b" };

	call_init(&call);
	assert_int_equal(param_defaults(&call, &call.scratch, PARAM_SET(table), &o), OK);
	assert_string_equal(o.dir, "here");
	assert_int_equal(o.space, GIB);
	assert_true(o.share == 0.96);
	assert_int_equal(param_read_args(&call, &call.scratch, PARAM_SET(table), &o,
					 ARRAY_LEN(argv), argv, &rest, &n),
			 OK);
	assert_int_equal(o.nodes, 7);
	assert_string_equal(o.dir, "there");
	assert_true(o.force);
	assert_int_equal(o.hosts.count, 2);
	assert_string_equal(o.hosts.items[1], "y");
	assert_int_equal(o.every, 300 * NS_PER_SEC);
	assert_int_equal(o.choice, PARAM_OPEN);
	const char *choices[] = { "--choice", "x", "--choice=false" };
	assert_int_equal(
		param_read_args(&call, &call.scratch, PARAM_SET(table), &o, 2, choices, &rest, &n),
		OK);
	assert_int_equal(o.choice, PARAM_YES);
	assert_int_equal(n, 1);
	assert_int_equal(
		param_read_args(&call, &call.scratch, PARAM_SET(table), &o, 3, choices, &rest, &n),
		OK);
	assert_int_equal(o.choice, PARAM_NO);
	assert_int_equal(param_read_args(&call, &call.scratch, PARAM_SET(table), &o,
					 ARRAY_LEN(argv), argv, &rest, &n),
			 OK);
	assert_int_equal(n, 2);
	assert_string_equal(rest[0], "a");
	assert_string_equal(rest[1], "-b");
}

static void refuses_with_advice(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "node = 5", "did you mean \"nodes\"" }, { "nodes = 101", "out of range" },
		{ "nodes = many", "whole number" },	  { "space = big", "size such as" },
		{ "every = often", "duration such as" },  { "force = maybe", "true or false" },
		{ "nonsense", "name = value" },
	};
	AUTO_CALL struct call call = CALL_INIT;
	struct options o = { 0 };

	call_init(&call);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(param_read_config(&call, &call.scratch, PARAM_SET(table), &o,
						   bytes_str(cases[i].line)),
				 ERR_CONFIG);
		assert_non_null(strstr(call.error, cases[i].says));
	}
}

static void config_round_trip(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf text = BUF_INIT(10000);
	struct options o = { 0 }, again = { 0 };

	call_init(&call);
	assert_int_equal(param_defaults(&call, &call.scratch, PARAM_SET(table), &o), OK);
	o.nodes = 12;
	o.dir = "there";
	param_add_config(&text, PARAM_SET(table), &o);
	assert_non_null(strstr(buf_cstr(&text), "\nnodes = 12\n"));
	assert_non_null(strstr(buf_cstr(&text), "\n# every = 3600s\n"));
	assert_int_equal(
		param_read_config(&call, &call.scratch, PARAM_SET(table), &again, buf_bytes(&text)),
		OK);
	assert_int_equal(again.nodes, 12);
	assert_string_equal(again.dir, "there");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_flags),
		cmocka_unit_test(refuses_with_advice),
		cmocka_unit_test(config_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
