/* How garbage filters wait on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "memdisk.h"
#include "node/garbage.h"
#include "os/file.h"

static void test_waiting(void **state)
{
	struct call call;
	struct garbage *g = NULL;
	struct garbage_filter f = { 0 };
	const struct node_id one = { { 1 } }, two = { { 2 } };
	const uint8_t wire[] = { 1, 0, 4, 0xff };
	bool found = true;

	(void)state;
	memdisk_reset(1);
	call_init(&call);
	assert_int_equal(garbage_open(&call, "/retain", &g), OK);
	assert_int_equal(garbage_next(&call, g, &f, &found), OK);
	assert_false(found);
	/* Of a satellite the newest counts, in whatever order they come. */
	assert_int_equal(garbage_add(&call, g, &one, 100, BYTES(wire, 3)), OK);
	assert_int_equal(garbage_add(&call, g, &one, 300, BYTES_OF(wire)), OK);
	assert_int_equal(garbage_add(&call, g, &one, 200, BYTES(wire, 2)), OK);
	assert_int_equal(garbage_add(&call, g, &two, 50, BYTES(wire, 1)), OK);
	garbage_close(g);
	memdisk_restart(true);
	assert_int_equal(garbage_open(&call, "/retain", &g), OK);
	assert_int_equal(garbage_next(&call, g, &f, &found), OK);
	assert_true(found);
	assert_memory_equal(&f.satellite, &one, sizeof(one));
	assert_int_equal(f.creation_unix_ns, 300);
	assert_true(bytes_equal(f.filter, BYTES_OF(wire)));
	/* One that comes meanwhile is not done with. */
	assert_int_equal(garbage_add(&call, g, &one, 400, BYTES(wire, 3)), OK);
	assert_int_equal(garbage_done(&call, g, &f), OK);
	garbage_filter_free(&f);
	assert_int_equal(garbage_next(&call, g, &f, &found), OK);
	assert_int_equal(f.creation_unix_ns, 400);
	assert_int_equal(garbage_done(&call, g, &f), OK);
	garbage_filter_free(&f);
	/* A damaged one is removed. */
	const char **names = NULL;
	size_t count = 0;
	assert_int_equal(os_dir_list(&call, &call.scratch, "/retain", &names, &count), OK);
	assert_int_equal(count, 1);
	assert_true(memdisk_damage(os_path_join(&call, "/retain", names[0]), 60));
	assert_int_equal(garbage_next(&call, g, &f, &found), OK);
	assert_false(found);
	assert_int_equal(os_dir_list(&call, &call.scratch, "/retain", &names, &count), OK);
	assert_int_equal(count, 0);
	garbage_close(g);
	call_fini(&call);
	memdisk_reset(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
