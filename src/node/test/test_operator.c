/* What operators write: hours of the day, lists of satellites, tags, lines to the control socket,
 * chores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/chores.h"
#include "node/control.h"
#include "node/node_internal.h"
#include "base/day_hours.h"
#include "node/traffic.h"
#include "node/trust_sources.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"

static void hours_of_the_day(void **state)
{
	static const struct {
		const char *text;
		unsigned minute;
		bool has;
	} cases[] = {
		{ "", 0, true },
		{ "22-6", 22 * 60, true },
		{ "22-6", 6 * 60, false },
		{ "22-6", 5 * 60 + 59, true },
		{ "22-6", 12 * 60, false },
		{ "0-24", 1439, true },
		{ "9-17", 9 * 60, true },
		{ "9-17", 17 * 60, false },
		{ "9-17", 0, false },
		{ "0:30-5:45,12-13", 30, true },
		{ "0:30-5:45,12-13", 29, false },
		{ "0:30-5:45,12-13", 12 * 60 + 59, true },
	};
	static const char *const wrong[] = { "22",  "22-",  "-6",	"25-3",	  "1:60-2",
					     "a-b", "1-2,", "1-2,,3-4", "24:01-3" };
	AUTO_CALL struct call call = CALL_INIT;
	struct day_hours h;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(day_hours_parse(&call, cases[i].text, &h), OK);
		assert_int_equal(day_hours_has(&h, cases[i].minute), cases[i].has);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (i != 6) /* a comma at the end is no harm */
			assert_int_equal(day_hours_parse(&call, wrong[i], &h), ERR_CONFIG);
}

#define US1 "12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S@us1.storj.io:7777"
#define EU1 "12L9ZFwhzVpuEKMUNUqkaTLGzwY9G24tbiigLiXpmZWKwmcNDDs@eu1.storj.io:7777"

static size_t resolve(struct arena *a, const char *source, const char *exclude,
		      struct param_list *ret)
{
	AUTO_CALL struct call call = CALL_INIT;
	const char *sources[] = { source }, *excluded[] = { exclude };
	struct param_list out = { excluded, exclude ? 1 : 0 };

	*ret = (struct param_list){ sources, 1 };
	if (trust_sources_resolve(&call, a, &out, ret))
		return SIZE_MAX;
	return ret->count;
}

static void lists_of_satellites(void **state)
{
	AUTO(arena_free) struct arena a = { 0 };
	AUTO_CALL struct call call = CALL_INIT;
	char dir[] = "/tmp/acre-operator-XXXXXX";
	struct param_list list;

	assert_int_equal(resolve(&a, US1 "," EU1 ", " US1, NULL, &list), 2);
	assert_string_equal(list.items[1], EU1);
	assert_int_equal(resolve(&a, "https://static.storj.io/dcs-satellites", NULL, &list), 4);
	/* By host, by ID as Storj's node writes it, by URL. */
	assert_int_equal(resolve(&a, "storj", "us1.storj.io", &list), 3);
	assert_int_equal(resolve(&a, US1 "," EU1,
				 "12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S@", &list),
			 1);
	assert_string_equal(list.items[0], EU1);
	assert_int_equal(resolve(&a, US1 "," EU1, EU1, &list), 1);
	assert_int_equal(resolve(&a, "storj", "us1.storj.io, eu1.storj.io,,", &list), 2);
	assert_int_equal(resolve(&a, "https://example.com/list", NULL, &list), SIZE_MAX);
	assert_int_equal(resolve(&a, "nonsense", NULL, &list), SIZE_MAX);
	assert_non_null(mkdtemp(dir));
	const char *path = os_path_join(&call, dir, "list");
	assert_int_equal(resolve(&a, path, NULL, &list), SIZE_MAX);
	assert_int_equal(
		os_file_write_all(&call, path, bytes_str("# mine\n\n " US1 " \r\n" EU1), false),
		OK);
	assert_int_equal(resolve(&a, path, NULL, &list), 2);
	assert_string_equal(list.items[0], US1);
	assert_int_equal(os_unlink(&call, path), OK);
	assert_int_equal(os_dir_remove(&call, dir), OK);
}

static void control_lines(void **state)
{
	static const char *const good[] = {
		"acre-node 1 status text",
		"acre-node 1 status json n1",
		"acre-node 1 reload",
		"acre-node 1 maintenance on 90000ms n1",
		"acre-node 1 maintenance off -",
		"acre-node 1 restart n1",
		"acre-node 1 stop",
	};
	static const char *const bad[] = {
		"",
		"acre-node 1 ",
		"acre-node 2 stop",
		"acre-node 1 stop n1",
		"acre-node 1 restart",
		"acre-node 1 status",
		"acre-node 1 status xml",
		"acre-node 1 maintenance on",
		"acre-node 1 maintenance up -",
		"acre-node 1 status text a b",
		"acre-node 1 status text \x1b[2J",
	};
	AUTO_CALL struct call call = CALL_INIT;
	struct control_request r;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		AUTO_BUF struct buf line = BUF_INIT(CONTROL_LINE_MAX);
		assert_int_equal(control_parse(&call, bytes_str(good[i]), &r), OK);
		control_add(&line, &r);
		line.len--;
		assert_string_equal(buf_cstr(&line), good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(control_parse(&call, bytes_str(bad[i]), &r), ERR_FORMAT);
}

/* ---- chores ---- */

enum { CHORES = 300 };

struct log {
	struct os_mutex lock;
	struct os_cond changed;
	unsigned ran[CHORES], total;
};

struct mine {
	struct log *log;
	unsigned number;
	int64_t next_ns;
};

static int64_t note(struct call *call, void *arg)
{
	struct mine *m = arg;
	OS_LOCKED(&m->log->lock);

	m->log->ran[m->number]++;
	m->log->total++;
	os_cond_broadcast(&m->log->changed);
	return m->next_ns;
}

static void wait_total(struct log *log, unsigned total)
{
	OS_LOCKED(&log->lock);

	while (log->total < total)
		os_cond_wait_forever(&log->changed, &log->lock);
}

static void chores_in_any_order(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct chore *chores[CHORES];
	static struct mine mine[CHORES];
	struct log log = { 0 };
	struct chores *c = NULL;

	assert_int_equal(chores_new(&call, 3, &c), OK);
	for (unsigned i = 0; i < CHORES; i++) {
		mine[i] = (struct mine){ &log, i, CHORE_NEVER };
		int64_t first = i % 3 ? CHORE_NEVER : (int64_t)(i * 7919 % 50) * NS_PER_MS;
		assert_int_equal((i % 2 ? chores_add : chores_add_network)(&call, c, note, &mine[i],
									   first, NULL, &chores[i]),
				 OK);
	}
	wait_total(&log, CHORES / 3);
	for (unsigned i = 0; i < CHORES; i++)
		assert_int_equal(log.ran[i], i % 3 == 0);
	/* Sooner than they were due; every other one goes away first. */
	for (unsigned i = 0; i < CHORES; i += 2)
		chores_remove(c, chores[i]);
	for (unsigned i = 1; i < CHORES; i += 2)
		chores_soon(c, chores[i], 0);
	wait_total(&log, CHORES / 3 + CHORES / 2);
	for (unsigned i = 1; i < CHORES; i += 2)
		chores_remove(c, chores[i]);
	chores_free(c);
	for (unsigned i = 0; i < CHORES; i++)
		assert_int_equal(log.ran[i], (i % 3 == 0) + (i % 2));
	os_mutex_fini(&log.lock);
	os_cond_fini(&log.changed);
}

/* Limits by the hours of the day. */
static void rates(void **state)
{
	static const struct {
		const char *text;
		unsigned minute;
		uint64_t rate;
	} cases[] = {
		{ "", 0, 0 },
		{ "0", 700, 0 },
		{ "20MB", 1439, 20000000 },
		{ "20MB, 8-18=2MB", 479, 20000000 },
		{ "20MB, 8-18=2MB", 480, 2000000 },
		{ "20MB,8-18=2MB,12-13=0", 725, 0 },
		{ "8-18=1MiB", 60, 0 },
		{ "64KiB, 22-6:30 = 3MB", 389, 3000000 },
	};
	static const char *const wrong[] = {
		"x",
		"20MB 8-18",
		"=3",
		"8-18=",
		"8=3MB",
		"1,2-3=y",
		"1-2=1,1-2=1,1-2=1,1-2=1,1-2=1,1-2=1,1-2=1,1-2=1,1-2=1"
	};
	AUTO_CALL struct call call = CALL_INIT;
	uint64_t rate;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(traffic_rate_at(&call, cases[i].text, cases[i].minute, &rate), OK);
		assert_int_equal(rate, cases[i].rate);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(traffic_rate_at(&call, wrong[i], 0, &rate), ERR_CONFIG);
}

static void own_tags(void **state)
{
	static const char *const right[] = { "", " ", "storage_price=1.20, egress_price=5e-1",
					     "a=b=c", "a=b," };
	static const char *const wrong[] = {
		"a",	   "=b",	 "a=",	 ",",	   "a=b,,c=d",
		"hours=1", "software=x", "a=\n", "a=\x80", "upload-hours=1-2"
	};
	AUTO_CALL struct call call = CALL_INIT;
	char many[200] = "";

	assert_int_equal(node_own_tags_check(&call, NULL), OK);
	for (size_t i = 0; i < ARRAY_LEN(right); i++)
		assert_int_equal(node_own_tags_check(&call, right[i]), OK);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (node_own_tags_check(&call, wrong[i]) != ERR_CONFIG)
			fail_msg("\"%s\" is taken", wrong[i]);
	for (unsigned i = 0; i < 13; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "t%u=v,", i);
	assert_int_equal(node_own_tags_check(&call, many), OK);
	snprintf(many + strlen(many), sizeof(many) - strlen(many), "x=v");
	assert_int_equal(node_own_tags_check(&call, many), ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hours_of_the_day),    cmocka_unit_test(rates),
		cmocka_unit_test(lists_of_satellites), cmocka_unit_test(control_lines),
		cmocka_unit_test(chores_in_any_order), cmocka_unit_test(own_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
