/*
 * Several clients at the same few keys in one simulated network: they write, write in parts, give
 * up, delete, move and copy, each by its own choice out of the seed.  Whatever comes out is whole:
 * every object that can be listed can be read and is one that somebody wrote, and every invariant
 * of the satellite's database holds.  `test_sim_contention [SEED]` repeats one run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include "acre.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/world.h"
#include "os/log.h"
#include "os/random.h"
#include "os/thread.h"
#include "sim/network.h"
#include "sim/world.h"

enum {
	NODES = 5,
	ACTORS = 4,
	ACTS = 14,
	KEYS = 2,
	SMALL_BYTES = 100, /* inline */
	LARGE_BYTES = 20000,
};

struct actor {
	struct sim_net *net;
	UplinkAccess *access;
	int number;
	char failure[300];
};

static const AcreConfig config = { .segment_size = 16 << 10,
				   .parallelism = 2,
				   .uplink = { .temp_directory = "inmemory" } };

static const char *const keys[KEYS] = { "one", "two" };

/* What is not there any more, or has changed meanwhile, may fail; nothing else may. */
static void account(struct actor *a, const char *what, UplinkError *error)
{
	if (error && error->code != UPLINK_ERROR_OBJECT_NOT_FOUND &&
	    error->code != UPLINK_ERROR_UPLOAD_DONE && !a->failure[0])
		snprintf(a->failure, sizeof(a->failure), "actor %d: %s: %s (%#x)", a->number, what,
			 error->message, (unsigned)error->code);
	uplink_free_error(error);
}

/* An object is one byte over and over, so that a mixture of two would be seen. */
static void upload(struct actor *a, UplinkProject *p, const char *key, bool give_up)
{
	uint8_t data[LARGE_BYTES];
	size_t len = os_random_below(2) ? LARGE_BYTES : SMALL_BYTES;

	memset(data, 'a' + (int)os_random_below(26), len);
	UplinkUploadResult up = uplink_upload_object(p, "bucket", key, NULL);
	account(a, "begin", up.error);
	if (!up.upload)
		return;
	UplinkWriteResult w = uplink_upload_write(up.upload, data, len);
	account(a, "write", w.error);
	account(a, give_up ? "abort" : "commit",
		give_up ? uplink_upload_abort(up.upload) : uplink_upload_commit(up.upload));
	up.error = NULL;
	uplink_free_upload_result(up);
}

static void act(struct actor *a, UplinkProject *p)
{
	const char *key = keys[os_random_below(KEYS)], *other = keys[os_random_below(KEYS)];

	switch (os_random_below(7)) {
	case 0: {
		UplinkObjectResult r = uplink_delete_object(p, "bucket", key);
		account(a, "delete", r.error);
		r.error = NULL;
		uplink_free_object_result(r);
		return;
	}
	case 1:
		account(a, "move", uplink_move_object(p, "bucket", key, "bucket", other, NULL));
		return;
	case 2: {
		UplinkObjectResult r = uplink_copy_object(p, "bucket", key, "bucket", other, NULL);
		account(a, "copy", r.error);
		r.error = NULL;
		uplink_free_object_result(r);
		return;
	}
	case 3:
		upload(a, p, key, true);
		return;
	default:
		upload(a, p, key, false);
	}
}

static void actor_main(void *arg)
{
	struct actor *a = arg;
	UplinkProjectResult p = acre_open_project(&config, a->access);

	account(a, "open", p.error);
	for (int i = 0; i < ACTS && p.project; i++)
		act(a, p.project);
	if (p.project)
		account(a, "close", uplink_close_project(p.project));
	p.error = NULL;
	uplink_free_project_result(p);
}

static void read_whole(UplinkProject *p, const char *key)
{
	static uint8_t got[LARGE_BYTES + 1];
	UplinkDownloadResult down = uplink_download_object(p, "bucket", key, NULL);
	size_t n = 0;

	if (down.error && down.error->code == UPLINK_ERROR_OBJECT_NOT_FOUND) {
		uplink_free_download_result(down);
		return;
	}
	if (down.error)
		fail_msg("%s: %s", key, down.error->message);
	for (;;) {
		UplinkReadResult r = uplink_download_read(down.download, got + n, sizeof(got) - n);
		n += r.bytes_read;
		if (!r.error)
			continue;
		if (r.error->code != EOF)
			fail_msg("%s: %s", key, r.error->message);
		uplink_free_error(r.error);
		break;
	}
	assert_true(n == SMALL_BYTES || n == LARGE_BYTES);
	for (size_t i = 1; i < n; i++)
		assert_int_equal(got[i], got[0]);
	uplink_free_error(uplink_close_download(down.download));
	uplink_free_download_result(down);
}

static void play(struct call *call, struct sim_net *net)
{
	struct actor actors[ACTORS] = { 0 };
	struct os_thread *threads[ACTORS];
	UplinkAccessResult access = acre_request_access(&config, sim_net_url(net),
							sim_net_api_key(net), "passphrase");

	assert_null(access.error);
	UplinkProjectResult p = acre_open_project(&config, access.access);
	assert_null(p.error);
	uplink_free_bucket_result(uplink_create_bucket(p.project, "bucket"));
	for (int i = 0; i < ACTORS; i++) {
		actors[i] = (struct actor){ net, access.access, i, "" };
		assert_int_equal(
			os_thread_start(call, "actor", actor_main, &actors[i], &threads[i]), OK);
	}
	for (int i = 0; i < ACTORS; i++) {
		os_thread_join(threads[i]);
		if (actors[i].failure[0])
			fail_msg("%s", actors[i].failure);
	}
	for (int i = 0; i < KEYS; i++)
		read_whole(p.project, keys[i]);
	uplink_free_error(uplink_close_project(p.project));
	uplink_free_project_result(p);
	uplink_free_access_result(access);
}

static void world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	const struct sim_net_config shape = { .nodes = NODES, .rs = "2/2/3/5" };
	struct sim_net *net;
	enum err e = sim_net_start(&call, &shape, &net);

	if (e)
		fail_msg("%s", call_error(&call, e));
	play(&call, net);
	e = sim_net_check(&call, net);
	if (e)
		fail_msg("%s", call_error(&call, e));
	sim_net_stop(net);
}

static uint64_t first_seed = 1, seeds = 4;

static void whatever_comes_out_is_whole(void **state)
{
	for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
		struct sim_result r = sim_run(seed, world, NULL);
		if (r.failure)
			fail_msg("seed %llu: %s", (unsigned long long)seed, r.failure);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whatever_comes_out_is_whole) };

	if (argc > 1) {
		first_seed = strtoull(argv[1], NULL, 10);
		seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	}
	if (crypto_use_os_random())
		return 1;
	log_set_level(LOG_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
