/*
 * Orders from the transfer to the books, on the virtual clock: what nodes moved in an hour is
 * settled when that hour is over, once, and the books agree with each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include "acre.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/world.h"
#include "db/db.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"
#include "os/random.h"
#include "satellite/check.h"
#include "sim/network.h"
#include "sim/world.h"

enum { NODES = 5, OBJECT_BYTES = 300000, SEGMENT_BYTES = 256 << 10 };
/* An hour ends at most an hour from now, and is settled an hour later. */
#define SETTLED_NS (2 * 3600 * NS_PER_SEC + 300 * NS_PER_SEC)

static void check(UplinkError *error)
{
	if (error)
		fail_msg("%s", error->message);
}

static void put(UplinkProject *project, uint8_t *data, size_t len)
{
	UplinkUploadResult up = uplink_upload_object(project, "bucket", "key", NULL);

	check(up.error);
	for (size_t at = 0; at < len;) {
		UplinkWriteResult w = uplink_upload_write(up.upload, data + at, len - at);
		check(w.error);
		at += w.bytes_written;
	}
	check(uplink_upload_commit(up.upload));
	uplink_free_upload_result(up);
}

static void get(UplinkProject *project, size_t len)
{
	static uint8_t got[OBJECT_BYTES + 1];
	UplinkDownloadResult down = uplink_download_object(project, "bucket", "key", NULL);
	size_t n = 0;

	check(down.error);
	for (;;) {
		UplinkReadResult r = uplink_download_read(down.download, got + n, sizeof(got) - n);
		n += r.bytes_read;
		if (r.error) {
			assert_int_equal(r.error->code, EOF);
			uplink_free_error(r.error);
			break;
		}
	}
	assert_int_equal(n, len);
	check(uplink_close_download(down.download));
	uplink_free_download_result(down);
}

static void transfers(struct sim_net *net)
{
	static uint8_t data[OBJECT_BYTES];
	AcreConfig config = { .segment_size = SEGMENT_BYTES,
			      .parallelism = 2,
			      .uplink = { .temp_directory = "inmemory" } };

	os_random(data, sizeof(data));
	UplinkAccessResult access = acre_request_access(&config, sim_net_url(net),
							sim_net_api_key(net), "passphrase");
	check(access.error);
	UplinkProjectResult project = acre_open_project(&config, access.access);
	check(project.error);
	UplinkBucketResult bucket = uplink_ensure_bucket(project.project, "bucket");
	check(bucket.error);
	uplink_free_bucket_result(bucket);
	put(project.project, data, sizeof(data));
	get(project.project, sizeof(data));
	check(uplink_close_project(project.project));
	uplink_free_project_result(project);
	uplink_free_access_result(access);
}

struct number {
	const char *sql;
	int64_t value;
};

static enum err read_number(struct call *call, struct db_tx *tx, void *arg)
{
	struct number *n = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, n->sql, NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		n->value = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static int64_t number(struct sim_net *net, const char *sql)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct number n = { .sql = sql };

	call_init(&call);
	enum err e = db_read(&call, sim_net_database(net), read_number, &n);
	if (e)
		fail_msg("%s", call_error(&call, e));
	return n.value;
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
	struct check_report report;
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
	if (satellite_check(&call, sim_net_database(net), &report))
		fail_msg("%s", call.error);
	for (size_t i = 0; i < report.count; i++)
		if (report.findings[i].count)
			fail_msg("not so: %s (%s)", report.findings[i].name,
				 report.findings[i].example);
}

static void world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct sim_net *net;
	enum err e = sim_net_start(&call, NODES, "2/2/4/5", &net);

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
