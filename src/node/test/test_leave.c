/* Pieces that are given up: of a satellite the node does not work for any more, and damaged ones,
 * which are confessed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "network.h"
#include "node/leave.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/file.h"

#define OTHER "12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S@127.0.0.1:1"

enum { PIECES = 60, PIECE_BYTES = 150000 };

static struct network *net;

/* No two pieces share a part. */
static void fill(unsigned n, uint8_t *out, size_t len)
{
	uint32_t x = n * 7919 + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245 + 12345;
		out[i] = (uint8_t)(x >> 16);
	}
}

static void upload(unsigned n)
{
	AUTO_FREE uint8_t *data = malloc(PIECE_BYTES);
	uint64_t status = 0;

	fill(n, data, PIECE_BYTES);
	struct ticket *t = network_ticket(net, ORDERS__PIECE_ACTION__PUT, PIECE_BYTES, n);
	assert_int_equal(network_upload(net, t, BYTES(data, PIECE_BYTES), HASH_BLAKE3, &status),
			 OK);
}

static struct piece_space space(void)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct piece_space s;

	assert_int_equal(piece_store_space(&call, net->node->store, &s), OK);
	return s;
}

/* Bytes of the segment files, as the disk has them. */
static uint64_t on_disk(void)
{
	AUTO_CALL struct call call = CALL_INIT;
	const char **names = NULL;
	uint64_t sum = 0;
	size_t count = 0;
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/node/storage/pieces", net->dir);
	assert_int_equal(os_dir_list(&call, &call.scratch, dir, &names, &count), OK);
	for (size_t i = 0; i < count; i++) {
		struct os_stat st;
		assert_int_equal(os_stat(&call, os_path_join(&call, dir, names[i]), &st), OK);
		sum += st.size;
	}
	return sum;
}

static struct leave wait_state(enum leave_state state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct leave *list = NULL;
	size_t count = 0;

	os_call_limit(&call, 60 * NS_PER_SEC);
	for (;;) {
		assert_int_equal(leave_list(&call, net->node->dir, &call.scratch, &list, &count),
				 OK);
		if (count && list[0].state == state)
			return list[0];
		assert_int_equal(os_sleep(&call, 10 * NS_PER_MS), OK);
	}
}

static void request(enum leave_state what)
{
	AUTO_CALL struct call call = CALL_INIT;

	assert_int_equal(
		leave_request(&call, net->node->dir, identity_node_id(net->satellite_id), what),
		OK);
}

/* A satellite that is trusted is not forgotten; one that is not any more loses all its data, on
 * the disk, too, and the others nothing. */
static void test_forget(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	const char *other = OTHER;

	for (unsigned n = 0; n < PIECES; n++)
		upload(n);
	uint64_t before = on_disk();
	assert_true(before > PIECES * PIECE_BYTES);
	request(LEAVE_FORGET);
	struct leave refused = wait_state(LEAVE_REFUSED);
	assert_non_null(strstr(refused.text, "still works for that satellite"));
	assert_int_equal(space().pieces, PIECES);

	network_stop_node(net);
	net->config.satellites = (struct param_list){ &other, 1 };
	network_start_node(net);
	request(LEAVE_FORGET);
	(void)wait_state(LEAVE_FORGOTTEN);
	struct piece_space after = space();
	assert_int_equal(after.pieces, 0);
	assert_int_equal(after.live, 0);
	assert_int_equal(after.trash, 0);
	/* The files, too: at most the last of each kind stays, until it is full. */
	assert_int_equal(piece_store_maintain(&call, net->node->store), OK);
	assert_true(on_disk() < before / 2);
	assert_int_equal(space().used, on_disk());

	network_stop_node(net);
	net->config.satellites = (struct param_list){ &net->url_item, 1 };
	network_start_node(net);
	assert_int_equal(space().pieces, 0);
	upload(PIECES);
	assert_int_equal(space().pieces, 1);
}

static void wait_for(_Atomic unsigned *counter, unsigned value)
{
	AUTO_CALL struct call call = CALL_INIT;

	os_call_limit(&call, 60 * NS_PER_SEC);
	while (*counter < value)
		assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
}

static void lose(unsigned from, unsigned to)
{
	for (unsigned n = from; n < to; n++) {
		struct piece_id id = { { 0 } };
		put_be32(id.b, n + 1);
		node_piece_damaged(net->node, identity_node_id(net->satellite_id), &id);
	}
}

/* Reported in batches, again after failures, each once; a satellite that does not want to know is
 * not asked for ever. */
static void test_amnesty(void **state)
{
	bool seen[120] = { 0 };

	net->amnesty_failures = 1;
	net->amnesty_status = 17;
	lose(0, 120);
	chores_soon(net->node->chores, net->node->amnesty, 0);
	wait_for(&net->reports, 1);
	assert_int_equal(net->lost_count, 0);
	/* Sooner than the ten minutes it would wait. */
	while (net->reports < 4) {
		AUTO_CALL struct call call = CALL_INIT;
		chores_soon(net->node->chores, net->node->amnesty, 0);
		assert_int_equal(os_sleep(&call, 10 * NS_PER_MS), OK);
	}
	assert_int_equal(net->lost_count, 120);
	for (size_t i = 0; i < 120; i++) {
		uint32_t n = get_be32(net->lost[i].b) - 1;
		assert_true(n < 120 && !seen[n]);
		seen[n] = true;
	}
	assert_int_equal(net->node->lost_count, 0);

	net->amnesty_failures = 100;
	net->amnesty_status = 12; /* DRPC's Unimplemented */
	lose(0, 10);
	chores_soon(net->node->chores, net->node->amnesty, 0);
	wait_for(&net->reports, 5);
	AUTO_CALL struct call call = CALL_INIT;
	os_call_limit(&call, 60 * NS_PER_SEC);
	while (net->node->lost_count)
		assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
	assert_int_equal(net->reports, 5);
	net->amnesty_failures = 0;
}

/* A satellite that does not take them hears of them after a restart, and only once then. */
static void test_confessions_stay(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	os_call_limit(&call, 60 * NS_PER_SEC);
	net->amnesty_failures = 1000;
	net->amnesty_status = 14; /* DRPC's Unavailable */
	net->lost_count = 0;
	lose(500, 560);
	lose(500, 510); /* found again */
	unsigned before = net->reports;
	chores_soon(net->node->chores, net->node->amnesty, 0);
	wait_for(&net->reports, before + 1);
	network_stop_node(net);
	net->amnesty_failures = 0;
	network_start_node(net);
	assert_int_equal(net->node->lost_count, 60);
	chores_soon(net->node->chores, net->node->amnesty, 0);
	while (net->lost_count < 60)
		assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
	assert_int_equal(net->lost_count, 60);
	network_stop_node(net);
	network_start_node(net);
	assert_int_equal(net->node->lost_count, 0);
}

/* From the bytes on the disk to the satellite. */
static void test_rot_is_confessed(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	const char **names = NULL;
	size_t count = 0;
	char dir[128];
	struct os_file *f = NULL;
	struct store_scrubbed done = { 0 };

	net->lost_count = 0;
	upload(PIECES + 1);
	snprintf(dir, sizeof(dir), "%s/node/storage/pieces", net->dir);
	assert_int_equal(os_dir_list(&call, &call.scratch, dir, &names, &count), OK);
	uint8_t part[64], want[64];
	fill(PIECES + 1, want, sizeof(want));
	bool found = false;
	for (size_t i = 0; i < count && !found; i++) {
		assert_int_equal(
			os_file_open(&call, os_path_join(&call, dir, names[i]), OS_FILE_WRITE, &f),
			OK);
		size_t n = 0;
		for (uint64_t at = 0; !found; at++) {
			assert_int_equal(os_file_read_at(&call, f, part, sizeof(part), at, &n), OK);
			if (n < sizeof(part))
				break;
			if (memcmp(part, want, sizeof(part)) != 0)
				continue;
			part[5] ^= 1;
			struct bytes wrong = BYTES_OF(part);
			assert_int_equal(os_file_write_at(&call, f, &wrong, 1, at), OK);
			found = true;
		}
		os_file_close(f);
	}
	assert_true(found);
	do
		assert_int_equal(piece_store_scrub(&call, net->node->store, 1 << 20, &done), OK);
	while (done.bytes && !done.damaged);
	assert_int_equal(done.damaged, 1);
	assert_int_equal(space().damaged, 1);
	unsigned before = net->reports;
	chores_soon(net->node->chores, net->node->amnesty, 0);
	wait_for(&net->reports, before + 1);
	os_call_limit(&call, 60 * NS_PER_SEC);
	while (!net->lost_count)
		assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
	assert_int_equal(net->lost_count, 1);
}

static int setup_network(void **state)
{
	net = calloc(1, sizeof(*net));
	network_start(net);
	/* As the command would have it. */
	AUTO_CALL struct call call = CALL_INIT;
	return os_file_write_all(&call, os_path_join(&call, net->node->dir, "config"), BYTES_NONE,
				 false);
}

static int stop_network(void **state)
{
	network_stop(net);
	free(net);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_amnesty),
		cmocka_unit_test(test_confessions_stay),
		cmocka_unit_test(test_rot_is_confessed),
	};

	return cmocka_run_group_tests(tests, setup_network, stop_network);
}
