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

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include "acre.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/world.h"
#include "os/log.h"
#include "os/process.h"
#include "os/random.h"
#include "sim/network.h"
#include "sim/world.h"

enum { NODES = 5, OBJECT_BYTES = 700000, SEGMENT_BYTES = 256 << 10 };

static void check(UplinkError *error)
{
	if (error)
		fail_msg("%s", error->message);
}

static void put(UplinkProject *project, const char *key, uint8_t *data, size_t len)
{
	UplinkUploadResult up = uplink_upload_object(project, "bucket", key, NULL);

	check(up.error);
	for (size_t at = 0; at < len;) {
		UplinkWriteResult w = uplink_upload_write(up.upload, data + at,
							  MIN(len - at, (size_t)100000));
		check(w.error);
		at += w.bytes_written;
	}
	check(uplink_upload_commit(up.upload));
	uplink_free_upload_result(up);
}

static void get(UplinkProject *project, const char *key, const uint8_t *want, size_t len)
{
	static uint8_t got[OBJECT_BYTES + 1];
	UplinkDownloadResult down = uplink_download_object(project, "bucket", key, NULL);
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
	assert_memory_equal(got, want, len);
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
	UplinkBucketResult bucket = uplink_create_bucket(project.project, "bucket");
	check(bucket.error);
	uplink_free_bucket_result(bucket);
	put(project.project, "remote", data, sizeof(data));
	put(project.project, "inline", data, 100);
	get(project.project, "remote", data, sizeof(data));
	get(project.project, "inline", data, 100);
	check(uplink_close_project(project.project));
	uplink_free_project_result(project);
	uplink_free_access_result(access);
}

static void world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct sim_net *net;
	enum err e = sim_net_start(&call, NODES, "2/2/3/5", &net);

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
