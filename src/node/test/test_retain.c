/* Garbage filters as the real library makes them, and how they wait on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "memdisk.h"
#include "node/garbage.h"
#include "node/retain.h"
#include "os/file.h"
#include "vectors.h"
#include "vectors_stream.h"

static void check_contains(struct call *call, json_t *filter)
{
	const char *label = vector_text(filter, "query_label");
	const char *want = vector_text(filter, "query_contains");
	size_t count = strlen(want);
	struct bytes ids = vector_stream(&call->scratch, label, count * PIECE_ID_BYTES);
	struct retain_filter f;

	assert_int_equal(
		retain_filter_parse(call, vector_hex(&call->scratch, filter, "filter_hex"), &f),
		OK);
	for (size_t i = 0; i < count; i++) {
		struct piece_id id;
		memcpy(id.b, ids.data + i * PIECE_ID_BYTES, PIECE_ID_BYTES);
		assert_int_equal(retain_filter_has(&f, &id), want[i] == '1');
	}
	/* What was put in is always there. */
	const char *elements = json_string_value(json_object_get(filter, "element_label"));
	size_t n = (size_t)vector_int(filter, "elements");
	if (!elements)
		return;
	ids = vector_stream(&call->scratch, elements, n * PIECE_ID_BYTES);
	for (size_t i = 0; i < n; i++) {
		struct piece_id id;
		memcpy(id.b, ids.data + i * PIECE_ID_BYTES, PIECE_ID_BYTES);
		assert_true(retain_filter_has(&f, &id));
	}
}

static void test_filters(void **state)
{
	json_t *file = vectors_load("bloomfilter"), *one;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(file, "filters"), i, one)
	{
		struct call call;
		call_init(&call);
		check_contains(&call, one);
		call_fini(&call);
	}
	assert_true(i >= 12);
	json_array_foreach(json_object_get(file, "parse"), i, one)
	{
		struct call call;
		struct retain_filter f;
		call_init(&call);
		enum err e = retain_filter_parse(&call, vector_hex(&call.scratch, one, "hex"), &f);
		assert_int_equal(e == OK, vector_bool(one, "reference_accepts"));
		assert_true(e == OK || e == ERR_INVALID);
		call_fini(&call);
	}
	assert_true(i >= 9);
	json_decref(file);
}

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
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
