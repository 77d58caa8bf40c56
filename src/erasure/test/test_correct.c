/* Wrong shares: the reference's cases, then every number of errors on many codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "erasure/rs.h"
#include "vectors.h"

DEFINE_AUTO_PTR(struct rs, rs_auto, rs_free)
DEFINE_AUTO_PTR(struct rs_decoder, decoder_auto, rs_decoder_free)

static unsigned seed = 7;

static unsigned below(unsigned n)
{
	return ((unsigned)rand_r(&seed) >> 4) % n;
}

/* count distinct numbers below n. */
static void choose(unsigned count, unsigned n, unsigned numbers[])
{
	bool seen[RS_TOTAL_MAX] = { false };

	for (unsigned i = 0; i < count;) {
		unsigned c = below(n);
		if (!seen[c]) {
			seen[c] = true;
			numbers[i++] = c;
		}
	}
}

static void cases_of_the_reference(void **state)
{
	json_t *root = vectors_load("erasure");
	struct arena a = { 0 };
	size_t i, corrected = 0, refused = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "correct"), i, v)
	{
		unsigned k = (unsigned)vector_int(v, "k"), n = (unsigned)vector_int(v, "n");
		const json_t *list = vector_get(v, "shares");
		unsigned count = (unsigned)json_array_size(list), numbers[RS_TOTAL_MAX];
		uint8_t *shares[RS_TOTAL_MAX];
		bool bad[RS_TOTAL_MAX];
		size_t len = 0;
		AUTO(rs_auto) struct rs *rs = NULL;

		for (unsigned j = 0; j < count; j++) {
			struct bytes b = vector_hex(&a, json_array_get(list, j), "hex");
			numbers[j] = (unsigned)vector_int(json_array_get(list, j), "number");
			shares[j] = arena_alloc(&a, b.len);
			memcpy(shares[j], b.data, b.len);
			len = b.len;
		}
		assert_int_equal(rs_new(k, n, &rs), OK);
		enum err e = rs_correct(rs, numbers, count, len, shares, bad);
		if (json_object_get(v, "error")) {
			assert_int_equal(e, count < k ? ERR_INVALID : ERR_DATA_LOSS);
			refused++;
			continue;
		}
		assert_int_equal(e, OK);
		AUTO(decoder_auto) struct rs_decoder *d = NULL;
		struct bytes want = vector_hex(&a, v, "decoded_hex");
		uint8_t *out = arena_alloc(&a, want.len);
		assert_int_equal(rs_decoder_new(rs, numbers, &d), OK);
		rs_decode_stripes(d, len, 1, (const uint8_t *const *)shares, out);
		assert_bytes_equal(BYTES(out, want.len), want);
		corrected++;
	}
	assert_true(corrected >= 4 && refused >= 3);
	arena_free(&a);
	json_decref(root);
}

struct trial {
	unsigned k, n, count;
	size_t len;
	unsigned numbers[RS_TOTAL_MAX];
	uint8_t *shares[RS_TOTAL_MAX], *right[RS_TOTAL_MAX];
};

/* A random codeword on `count` random shares. */
static void trial_init(struct trial *t, struct arena *a, struct rs *rs, unsigned count, size_t len)
{
	uint8_t *all[RS_TOTAL_MAX];

	*t = (struct trial){ rs_required(rs), rs_total(rs), count, len };
	for (unsigned i = 0; i < t->n; i++) {
		all[i] = arena_alloc(a, len);
		for (size_t b = 0; b < len && i < t->k; b++)
			all[i][b] = (uint8_t)below(256);
	}
	rs_encode(rs, len, all);
	choose(count, t->n, t->numbers);
	for (unsigned j = 0; j < count; j++) {
		t->right[j] = all[t->numbers[j]];
		t->shares[j] = arena_alloc(a, len);
		memcpy(t->shares[j], t->right[j], len);
	}
}

static const struct {
	unsigned k, n;
} codes[] = { { 1, 3 },	  { 2, 4 },   { 4, 10 },   { 5, 6 },
	      { 1, 256 }, { 29, 80 }, { 29, 110 }, { 200, 256 } };

/* Whole shares wrong, up to the limit: corrected, and the right ones are named. */
static void whole_shares(void **state)
{
	for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
		AUTO(rs_auto) struct rs *rs = NULL;

		assert_int_equal(rs_new(codes[c].k, codes[c].n, &rs), OK);
		for (unsigned round = 0; round < 8; round++) {
			struct arena a = { 0 };
			struct trial t;
			unsigned wrong[RS_TOTAL_MAX];
			bool bad[RS_TOTAL_MAX], is_wrong[RS_TOTAL_MAX] = { false };
			unsigned count = codes[c].k + below(codes[c].n - codes[c].k + 1);

			trial_init(&t, &a, rs, count, 1 + below(3000));
			unsigned errors = (count - t.k) / 2;
			errors = round ? below(errors + 1) : errors;
			choose(errors, count, wrong);
			for (unsigned i = 0; i < errors; i++) {
				is_wrong[wrong[i]] = true;
				for (size_t b = 0; b < t.len; b++)
					t.shares[wrong[i]][b] ^= (uint8_t)(1 + below(255));
			}
			assert_int_equal(rs_correct(rs, t.numbers, count, t.len, t.shares, bad),
					 OK);
			for (unsigned j = 0; j < count; j++) {
				assert_memory_equal(t.shares[j], t.right[j], t.len);
				assert_int_equal(bad[j], is_wrong[j]);
			}
			arena_free(&a);
		}
	}
}

/* Every position wrong in shares of its own: the suspects change all the time. */
static void scattered_bytes(void **state)
{
	for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
		AUTO(rs_auto) struct rs *rs = NULL;
		struct arena a = { 0 };
		struct trial t;
		bool bad[RS_TOTAL_MAX];

		assert_int_equal(rs_new(codes[c].k, codes[c].n, &rs), OK);
		trial_init(&t, &a, rs, codes[c].n, 60);
		for (size_t b = 0; b < t.len; b++) {
			unsigned wrong[RS_TOTAL_MAX], errors = below((t.n - t.k) / 2 + 1);

			choose(errors, t.n, wrong);
			for (unsigned i = 0; i < errors; i++)
				t.shares[wrong[i]][b] ^= (uint8_t)(1 + below(255));
		}
		assert_int_equal(rs_correct(rs, t.numbers, t.n, t.len, t.shares, bad), OK);
		for (unsigned j = 0; j < t.n; j++)
			assert_memory_equal(t.shares[j], t.right[j], t.len);
		arena_free(&a);
	}
}

/* One more than can be corrected, in the last position only: noticed, and nothing is touched. */
static void too_many(void **state)
{
	for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
		AUTO(rs_auto) struct rs *rs = NULL;

		assert_int_equal(rs_new(codes[c].k, codes[c].n, &rs), OK);
		for (unsigned count = codes[c].k + 1; count <= codes[c].n;
		     count += 1 + count / 10) {
			struct arena a = { 0 };
			struct trial t;
			unsigned wrong[RS_TOTAL_MAX], errors = (count - codes[c].k) / 2 + 1;
			uint8_t *before[RS_TOTAL_MAX];
			bool bad[RS_TOTAL_MAX];

			/* Further errors may lead to another codeword (k = 1 with half of them
			 * wrong); an odd distance leaves one that is certainly noticed. */
			if ((count - codes[c].k) % 2 == 0) {
				count--;
				errors = (count - codes[c].k) / 2 + 1;
				if (count == codes[c].k) {
					count++;
					continue;
				}
			}
			trial_init(&t, &a, rs, count, 2500);
			choose((count - t.k) / 2, count, wrong);
			for (unsigned i = 0; i < (count - t.k) / 2; i++)
				t.shares[wrong[i]][3] ^= 1;
			choose(errors, count, wrong);
			for (unsigned i = 0; i < errors; i++)
				t.shares[wrong[i]][t.len - 1] ^= (uint8_t)(1 + below(255));
			for (unsigned j = 0; j < count; j++) {
				before[j] = arena_alloc(&a, t.len);
				memcpy(before[j], t.shares[j], t.len);
			}
			assert_int_equal(rs_correct(rs, t.numbers, count, t.len, t.shares, bad),
					 ERR_DATA_LOSS);
			for (unsigned j = 0; j < count; j++)
				assert_memory_equal(t.shares[j], before[j], t.len);
			count++;
			arena_free(&a);
		}
	}
}

static void wrong_arguments(void **state)
{
	AUTO(rs_auto) struct rs *rs = NULL;
	uint8_t byte[5] = { 1, 2, 3, 4, 5 };
	uint8_t *shares[] = { byte, byte + 1, byte + 2, byte + 3, byte + 4 };
	bool bad[5] = { true, true, true, true, true };

	assert_int_equal(rs_new(4, 5, &rs), OK);
	assert_int_equal(rs_correct(rs, (unsigned[]){ 0, 1, 2 }, 3, 1, shares, bad), ERR_INVALID);
	assert_int_equal(rs_correct(rs, (unsigned[]){ 0, 1, 2, 2 }, 4, 1, shares, bad),
			 ERR_INVALID);
	assert_int_equal(rs_correct(rs, (unsigned[]){ 0, 1, 2, 5 }, 4, 1, shares, bad),
			 ERR_INVALID);
	assert_true(bad[0]);
	/* With k shares there is nothing to find. */
	assert_int_equal(rs_correct(rs, (unsigned[]){ 0, 1, 2, 3 }, 4, 1, shares, bad), OK);
	assert_false(bad[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases_of_the_reference), cmocka_unit_test(whole_shares),
		cmocka_unit_test(scattered_bytes),	  cmocka_unit_test(too_many),
		cmocka_unit_test(wrong_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
