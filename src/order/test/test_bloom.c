/* Garbage filters as the real library makes and reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "order/bloom.h"
#include "vectors.h"
#include "vectors_stream.h"

static struct piece_id id_at(struct bytes ids, size_t i)
{
	struct piece_id id;

	memcpy(id.b, ids.data + i * PIECE_ID_BYTES, PIECE_ID_BYTES);
	return id;
}

static void check_contains(struct call *call, json_t *filter)
{
	const char *want = vector_text(filter, "query_contains");
	size_t count = strlen(want);
	struct bytes ids = vector_stream(&call->scratch, vector_text(filter, "query_label"),
					 count * PIECE_ID_BYTES);
	struct bloom f;

	assert_int_equal(bloom_parse(call, vector_hex(&call->scratch, filter, "filter_hex"), &f),
			 OK);
	for (size_t i = 0; i < count; i++) {
		struct piece_id id = id_at(ids, i);
		assert_int_equal(bloom_has(&f, &id), want[i] == '1');
	}
}

/* The elements of a vector, as a stream or one by one. */
static struct bytes elements_of(struct call *call, json_t *filter)
{
	size_t n = (size_t)vector_int(filter, "elements"), i;
	const char *label = json_string_value(json_object_get(filter, "element_label"));
	json_t *one;

	if (label)
		return vector_stream(&call->scratch, label, n * PIECE_ID_BYTES);
	struct buf all = BUF_INIT(PIECE_ID_BYTES * (n + 1));
	json_array_foreach(json_object_get(filter, "element_ids_hex"), i, one)
	{
		json_t *wrapped = json_pack("{s:O}", "id", one);
		buf_add_bytes(&all, vector_hex(&call->scratch, wrapped, "id"));
		json_decref(wrapped);
	}
	struct bytes ids = arena_bytes(&call->scratch, buf_bytes(&all));
	buf_free(&all);
	assert_int_equal(ids.len, n * PIECE_ID_BYTES);
	return ids;
}

static void check_built(struct call *call, json_t *filter)
{
	struct bytes want = vector_hex(&call->scratch, filter, "filter_hex");
	struct bytes ids = elements_of(call, filter);
	struct bloom_size size = { (uint8_t)vector_int(filter, "hash_count"),
				   (size_t)vector_int(filter, "table_bytes") };
	uint8_t *wire = malloc(BLOOM_HEAD_BYTES + size.table_bytes);
	struct bloom f;

	assert_non_null(wire);
	bloom_begin(wire, (uint8_t)vector_int(filter, "seed"), size, &f);
	for (size_t i = 0; i < ids.len / PIECE_ID_BYTES; i++) {
		struct piece_id id = id_at(ids, i);
		bloom_add(&f, wire, &id);
		assert_true(bloom_has(&f, &id));
	}
	assert_int_equal(want.len, BLOOM_HEAD_BYTES + size.table_bytes);
	assert_memory_equal(wire, want.data, want.len);
	free(wire);
}

static void each_filter(void (*check)(struct call *call, json_t *filter))
{
	json_t *file = vectors_load("bloomfilter"), *one;
	size_t i;

	json_array_foreach(json_object_get(file, "filters"), i, one)
	{
		struct call call;
		call_init(&call);
		check(&call, one);
		call_fini(&call);
	}
	assert_true(i >= 12);
	json_decref(file);
}

static void filters_are_read(void **state)
{
	each_filter(check_contains);
}

static void filters_are_built_byte_for_byte(void **state)
{
	each_filter(check_built);
}

static void damaged_ones_are_refused(void **state)
{
	json_t *file = vectors_load("bloomfilter"), *one;
	size_t i;

	json_array_foreach(json_object_get(file, "parse"), i, one)
	{
		struct call call;
		struct bloom f;
		call_init(&call);
		enum err e = bloom_parse(&call, vector_hex(&call.scratch, one, "hex"), &f);
		assert_int_equal(e == OK, vector_bool(one, "reference_accepts"));
		assert_true(e == OK || e == ERR_INVALID);
		call_fini(&call);
	}
	assert_true(i >= 9);
	json_decref(file);
}

static void sizes_are_the_references(void **state)
{
	json_t *file = vectors_load("bloomfilter"), *one;
	size_t i;

	json_array_foreach(json_object_get(file, "sizing"), i, one)
	{
		size_t max = (size_t)vector_int(one, "max_bytes");
		struct bloom_size s =
			bloom_size((uint64_t)vector_int(one, "elements"),
				   json_number_value(json_object_get(one, "false_positive_rate")),
				   max ? max : SIZE_MAX);
		assert_int_equal(s.hashes, vector_int(one, "hash_count"));
		assert_int_equal(s.table_bytes, vector_int(one, "table_bytes"));
	}
	assert_true(i >= 15);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_are_read),
		cmocka_unit_test(filters_are_built_byte_for_byte),
		cmocka_unit_test(damaged_ones_are_refused),
		cmocka_unit_test(sizes_are_the_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
