/* BLAKE3: the official vectors on every implementation, however the input is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/blake3.h"
#include "crypto/blake3_kernel.h"
#include "crypto/hash.h"
#include "vectors.h"

enum { INPUT_MAX = 300 << 10, OUTPUT_MAX = 256 };

static uint8_t input[INPUT_MAX];

static void check(struct blake3 *b, size_t len, size_t cut, struct bytes want)
{
	uint8_t out[OUTPUT_MAX];

	assert_true(want.len <= sizeof(out));
	for (size_t at = 0; at < len; at += cut)
		blake3_update(b, BYTES(input + at, len - at < cut ? len - at : cut));
	blake3_sum(b, out, want.len);
	assert_bytes_equal(BYTES(out, want.len), want);
	/* The default length is a prefix of the longer output. */
	blake3_sum(b, out, 32);
	assert_bytes_equal(BYTES(out, 32), BYTES(want.data, 32));
}

static void official_vectors(void **state)
{
	static const size_t cuts[] = { 1, 63, 64, 1000, 1024, 4096, 16384, 65536, INPUT_MAX };
	json_t *root = vectors_load("blake3");
	struct bytes key = bytes_str(vector_text(root, "key"));
	struct bytes context = bytes_str(vector_text(root, "context_string"));
	struct arena a = { 0 };
	size_t i, cases = 0;
	json_t *v;

	assert_int_equal(key.len, BLAKE3_KEY_BYTES);
	json_array_foreach(json_object_get(root, "cases"), i, v)
	{
		size_t len = (size_t)vector_int(v, "input_len");
		struct bytes plain = vector_hex(&a, v, "hash");
		struct bytes keyed = vector_hex(&a, v, "keyed_hash");
		struct bytes derived = vector_hex(&a, v, "derive_key");

		for (size_t k = 0; k < blake3_kernel_count(); k++) {
			for (size_t c = 0; c < ARRAY_LEN(cuts); c++) {
				struct blake3 b;

				blake3_init(&b);
				blake3_use_kernel(&b, k);
				check(&b, len, cuts[c], plain);
				blake3_init_keyed(&b, key.data);
				blake3_use_kernel(&b, k);
				check(&b, len, cuts[c], keyed);
				blake3_init_derive_key(&b, context);
				blake3_use_kernel(&b, k);
				check(&b, len, cuts[c], derived);
			}
		}
		cases++;
	}
	assert_true(cases >= 35);
	arena_free(&a);
	json_decref(root);
}

/* Lengths and cuts of every kind, with a sum taken in the middle: all implementations agree with
 * the portable one fed at once. */
static void all_kernels_agree(void **state)
{
	unsigned seed = 1;

	for (unsigned round = 0; round < 400; round++) {
		size_t len = (size_t)rand_r(&seed) % (round % 2 ? INPUT_MAX : 40000);
		struct blake3 whole;
		uint8_t want[32], out[32];

		if (round % 5 == 0)
			len = len / BLAKE3_CHUNK_BYTES * BLAKE3_CHUNK_BYTES;
		blake3_init(&whole);
		blake3_use_kernel(&whole, blake3_kernel_count() - 1);
		blake3_update(&whole, BYTES(input, len));
		blake3_sum(&whole, want, sizeof(want));
		for (size_t k = 0; k < blake3_kernel_count(); k++) {
			struct blake3 b;
			size_t at = 0;

			blake3_init(&b);
			blake3_use_kernel(&b, k);
			while (at < len) {
				size_t part = (size_t)rand_r(&seed) %
					      (rand_r(&seed) % 3 ? 70000 : 2000);

				if (part > len - at)
					part = len - at;
				blake3_update(&b, BYTES(input + at, part));
				at += part;
				if (rand_r(&seed) % 4 == 0)
					blake3_sum(&b, out, sizeof(out));
			}
			blake3_sum(&b, out, sizeof(out));
			assert_memory_equal(out, want, sizeof(want));
		}
	}
}

/* Sums of prefixes taken from one hasher that goes on, against fresh ones. */
static void sum_does_not_disturb(void **state)
{
	struct blake3 running;
	uint8_t out[32], want[32];

	blake3_init(&running);
	for (size_t len = 0; len < 150 * BLAKE3_CHUNK_BYTES; len += BLAKE3_CHUNK_BYTES) {
		blake3_sum(&running, out, sizeof(out));
		hash_blake3(BYTES(input, len), want);
		assert_memory_equal(out, want, sizeof(want));
		blake3_update(&running, BYTES(input + len, BLAKE3_CHUNK_BYTES));
	}
}

static void lanes_agree(blake3_lanes_fn *fn, size_t lanes, size_t blocks, unsigned *seed)
{
	const uint8_t *inputs[BLAKE3_LANES_MAX];
	uint32_t want[BLAKE3_LANES_MAX][8], out[BLAKE3_LANES_MAX][8];
	struct blake3_job job, one;

	for (size_t i = 0; i < sizeof(job); i++)
		((uint8_t *)&job)[i] = (uint8_t)rand_r(seed);
	one = job;
	for (size_t i = 0; i < lanes; i++) {
		inputs[i] = input + (size_t)rand_r(seed) % (INPUT_MAX - blocks * 64);
		one.counter_low[0] = job.counter_low[i];
		one.counter_high[0] = job.counter_high[i];
		blake3_lanes_portable(&inputs[i], blocks, &one, &want[i]);
	}
	fn(inputs, blocks, &job, out);
	assert_memory_equal(out, want, lanes * sizeof(out[0]));
}

/* Every lane has its own counter, of which inputs that fit a test reach only the low half, and its
 * own place in memory. */
static void lanes_keep_apart(void **state)
{
	unsigned seed = 1;

	for (size_t blocks = 1; blocks <= 17; blocks++) {
		lanes_agree(blake3_lanes_portable, 1, blocks, &seed);
#ifdef ACRE_BLAKE3_X86
		if (blake3_kernel_count() >= 2)
			lanes_agree(blake3_lanes_avx2, 8, blocks, &seed);
		if (blake3_kernel_count() >= 3)
			lanes_agree(blake3_lanes_avx512, 16, blocks, &seed);
#endif
#ifdef ACRE_BLAKE3_NEON
		lanes_agree(blake3_lanes_neon, 4, blocks, &seed);
#endif
	}
}

static void names_are_known(void **state)
{
	assert_true(blake3_kernel_count() >= 1);
	assert_string_equal(blake3_kernel_name(blake3_kernel_count() - 1), "portable");
	for (size_t k = 0; k < blake3_kernel_count(); k++)
		print_message("implementation: %s\n", blake3_kernel_name(k));
}

/* Side by side as one by one, for every kernel, number and form of length. */
static void many_side_by_side(void **state)
{
	static const size_t lens[] = { 0,    1,	   64,	 65,   1023, 1024, 1025,
				       2048, 3073, 4088, 4096, 5120, 7169, 8192 };
	const uint8_t *inputs[40];
	uint8_t got[40][32], want[32];

	for (size_t i = 0; i < ARRAY_LEN(inputs); i++)
		inputs[i] = input + 13 * i;
	for (size_t k = 0; k < blake3_kernel_count(); k++)
		for (size_t l = 0; l < ARRAY_LEN(lens); l++)
			for (size_t count = 0; count <= ARRAY_LEN(inputs); count += 1 + count / 4) {
				struct blake3 b;
				blake3_init_keyed(&b, input);
				blake3_use_kernel(&b, k);
				blake3_many(&b, inputs, count, lens[l], got);
				for (size_t i = 0; i < count; i++) {
					blake3_init_keyed(&b, input);
					blake3_update(&b, BYTES(inputs[i], lens[l]));
					blake3_sum(&b, want, sizeof(want));
					assert_memory_equal(got[i], want, sizeof(want));
				}
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_known),   cmocka_unit_test(official_vectors),
		cmocka_unit_test(all_kernels_agree), cmocka_unit_test(sum_does_not_disturb),
		cmocka_unit_test(lanes_keep_apart),  cmocka_unit_test(many_side_by_side),
	};

	for (size_t i = 0; i < INPUT_MAX; i++)
		input[i] = (uint8_t)(i % 251);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
