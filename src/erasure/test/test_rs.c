/* The code: the reference's shares, any k back to the data, stripes, rebuilding, schemes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "erasure/internal.h"
#include "erasure/rs.h"
#include "erasure/scheme.h"
#include "vectors.h"

DEFINE_AUTO_PTR(struct rs, rs_auto, rs_free)
DEFINE_AUTO_PTR(struct rs_decoder, decoder_auto, rs_decoder_free)

static unsigned seed = 1;

/* n shares of len bytes in the arena; the first k are random when fill is set. */
static uint8_t **shares_new(struct arena *a, unsigned n, size_t len, unsigned k)
{
	uint8_t **s = arena_array(a, n, sizeof(*s));

	for (unsigned i = 0; i < n; i++) {
		s[i] = arena_alloc(a, len ? len : 1);
		for (size_t b = 0; b < len && i < k; b++)
			s[i][b] = (uint8_t)(rand_r(&seed) >> 7);
	}
	return s;
}

/* k distinct numbers below n, in any order. */
static void choose(unsigned k, unsigned n, unsigned numbers[])
{
	unsigned all[RS_TOTAL_MAX];

	for (unsigned i = 0; i < n; i++)
		all[i] = i;
	for (unsigned i = 0; i < k; i++) {
		unsigned j = i + (unsigned)rand_r(&seed) % (n - i), swap = all[i];
		numbers[i] = all[i] = all[j];
		all[j] = swap;
	}
}

static void parity_matrices(void **state)
{
	json_t *root = vectors_load("erasure");
	struct arena a = { 0 };
	size_t i, cases = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "matrices"), i, v)
	{
		unsigned k = (unsigned)vector_int(v, "k"), n = (unsigned)vector_int(v, "n");
		const json_t *rows = vector_get(v, "parity_rows_hex");
		AUTO(rs_auto) struct rs *rs = NULL;
		uint8_t **s = shares_new(&a, n, k, 0);

		assert_int_equal(rs_new(k, n, &rs), OK);
		/* Unit vectors in: the columns of the matrix out. */
		for (unsigned j = 0; j < k; j++)
			s[j][j] = 1;
		rs_encode(rs, k, s);
		assert_int_equal(json_array_size(rows), n - k);
		for (unsigned r = k; r < n; r++)
			assert_bytes_equal(
				BYTES(s[r], k),
				vector_unhex(&a, json_string_value(json_array_get(rows, r - k))));
		cases++;
	}
	assert_true(cases >= 4);
	arena_free(&a);
	json_decref(root);
}

static void shares_of_the_reference(void **state)
{
	json_t *root = vectors_load("erasure");
	struct arena a = { 0 };
	size_t i, cases = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "encode"), i, v)
	{
		unsigned k = (unsigned)vector_int(v, "k"), n = (unsigned)vector_int(v, "n");
		size_t len = (size_t)vector_int(v, "share_size");
		AUTO(rs_auto) struct rs *rs = NULL;

		if (!json_object_get(v, "shares_hex"))
			continue; /* hashes only: tests/unit */
		struct bytes data = vector_hex(&a, v, "input_hex");
		uint8_t **s = shares_new(&a, n, len, 0);
		assert_int_equal(data.len, k * len);
		assert_int_equal(rs_new(k, n, &rs), OK);
		rs_encode_stripes(rs, len, 1, data.data, s);
		for (unsigned j = 0; j < n; j++)
			assert_bytes_equal(
				BYTES(s[j], len),
				vector_unhex(&a, json_string_value(json_array_get(
							 vector_get(v, "shares_hex"), j))));
		/* And back, from the last k. */
		AUTO(decoder_auto) struct rs_decoder *d = NULL;
		unsigned numbers[RS_TOTAL_MAX];
		const uint8_t *in[RS_TOTAL_MAX];
		for (unsigned j = 0; j < k; j++) {
			numbers[j] = n - 1 - j;
			in[j] = s[n - 1 - j];
		}
		assert_int_equal(rs_decoder_new(rs, numbers, &d), OK);
		uint8_t *back = arena_alloc(&a, data.len);
		rs_decode_stripes(d, len, 1, in, back);
		assert_bytes_equal(BYTES(back, data.len), data);
		cases++;
	}
	assert_true(cases >= 5);
	arena_free(&a);
	json_decref(root);
}

static void any_k_decode(void **state)
{
	static const struct {
		unsigned k, n;
	} codes[] = {
		{ 1, 1 },   { 1, 2 },	{ 1, 256 },  { 2, 4 },	  { 4, 10 },	{ 5, 5 },
		{ 16, 37 }, { 29, 80 }, { 29, 110 }, { 64, 128 }, { 255, 256 }, { 256, 256 }
	};
	static const size_t lengths[] = { 0, 1, 7, 31, 63, 64, 65, 256, 300, 4096, 5000 };

	for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
		unsigned k = codes[c].k, n = codes[c].n;
		AUTO(rs_auto) struct rs *rs = NULL;

		assert_int_equal(rs_new(k, n, &rs), OK);
		assert_int_equal(rs_required(rs), k);
		assert_int_equal(rs_total(rs), n);
		for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
			struct arena a = { 0 };
			size_t len = lengths[l];
			uint8_t **s = shares_new(&a, n, len, k);
			uint8_t **out = shares_new(&a, k, len, 0);
			unsigned numbers[RS_TOTAL_MAX];
			const uint8_t *in[RS_TOTAL_MAX];
			AUTO(decoder_auto) struct rs_decoder *d = NULL;

			rs_encode(rs, len, s);
			choose(k, n, numbers);
			for (unsigned j = 0; j < k; j++)
				in[j] = s[numbers[j]];
			assert_int_equal(rs_decoder_new(rs, numbers, &d), OK);
			rs_decode(d, len, in, out);
			for (unsigned j = 0; j < k && len; j++)
				assert_memory_equal(out[j], s[j], len);
			/* Any other share, too. */
			unsigned wanted = (unsigned)rand_r(&seed) % n;
			assert_int_equal(rs_rebuild(rs, numbers, len, in, wanted, out[0]), OK);
			if (len)
				assert_memory_equal(out[0], s[wanted], len);
			arena_free(&a);
		}
	}
}

/* Many shares at a time, among them some that are inputs; the tables serve any length. */
static void rebuilder_gives_any_shares(void **state)
{
	AUTO(rs_auto) struct rs *rs = NULL;
	struct rs_rebuilder *r = NULL;
	AUTO(arena_free) struct arena a = { 0 };
	enum { LEN = 10000, K = 29, N = 80 };
	uint8_t **s = shares_new(&a, N, LEN, K), **out = shares_new(&a, N, LEN, 0);
	const uint8_t *in[K];
	unsigned numbers[N], wanted[N];

	assert_int_equal(rs_new(K, N, &rs), OK);
	rs_encode(rs, LEN, s);
	choose(K, N, numbers);
	for (unsigned j = 0; j < K; j++)
		in[j] = s[numbers[j]];
	for (unsigned i = 0; i < N; i++)
		wanted[i] = N - 1 - i;
	assert_int_equal(rs_rebuilder_new(rs, numbers, wanted, N, &r), OK);
	for (size_t len = 1; len <= LEN; len = len * 7 + 3) {
		rs_rebuilder_apply(r, len, in, out);
		for (unsigned i = 0; i < N; i++)
			assert_memory_equal(out[i], s[wanted[i]], len);
	}
	rs_rebuilder_free(r);
	wanted[1] = wanted[0];
	assert_int_equal(rs_rebuilder_new(rs, numbers, wanted, 2, &r), ERR_INVALID);
	rs_rebuilder_free(NULL);
}

static void unwanted_outputs_are_skipped(void **state)
{
	AUTO(rs_auto) struct rs *rs = NULL;
	AUTO(decoder_auto) struct rs_decoder *d = NULL;
	struct arena a = { 0 };
	enum { LEN = 9000 };
	uint8_t **s = shares_new(&a, 10, LEN, 4), **some = shares_new(&a, 10, LEN, 0);

	assert_int_equal(rs_new(4, 10, &rs), OK);
	rs_encode(rs, LEN, s);
	uint8_t *shares[10];
	memcpy(shares, some, sizeof(shares));
	for (unsigned i = 0; i < 4; i++)
		shares[i] = s[i];
	shares[5] = shares[9] = NULL;
	rs_encode(rs, LEN, shares);
	for (unsigned i = 4; i < 10; i++)
		if (shares[i])
			assert_memory_equal(shares[i], s[i], LEN);

	const unsigned numbers[] = { 9, 2, 7, 4 };
	const uint8_t *in[] = { s[9], s[2], s[7], s[4] };
	assert_int_equal(rs_decoder_new(rs, numbers, &d), OK);
	/* Block 1 is not wanted; block 2 stays where it is. */
	uint8_t *out[] = { some[0], NULL, s[2], some[3] };
	rs_decode(d, LEN, in, out);
	assert_memory_equal(some[0], s[0], LEN);
	assert_memory_equal(some[3], s[3], LEN);
	arena_free(&a);
}

/* Stripes must equal shares cut by hand (erasure.md 2). */
static void stripes_equal_shares(void **state)
{
	static const struct {
		unsigned k, n;
		size_t share_size, stripes;
	} cases[] = { { 2, 4, 4, 3 },	   { 4, 10, 256, 50 }, { 29, 80, 256, 33 },
		      { 29, 110, 256, 3 }, { 1, 3, 100, 9 },   { 4, 6, 10000, 4 },
		      { 3, 3, 17, 5 },	   { 4, 10, 256, 0 } };

	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		unsigned k = cases[c].k, n = cases[c].n;
		size_t e = cases[c].share_size, stripes = cases[c].stripes;
		struct arena a = { 0 };
		AUTO(rs_auto) struct rs *rs = NULL;
		uint8_t *data = shares_new(&a, 1, k * e * stripes, 1)[0];
		uint8_t **pieces = shares_new(&a, n, e * stripes, 0);
		uint8_t **s = shares_new(&a, n, e, 0);

		assert_int_equal(rs_new(k, n, &rs), OK);
		rs_encode_stripes(rs, e, stripes, data, pieces);
		for (size_t t = 0; t < stripes; t++) {
			for (unsigned j = 0; j < k; j++)
				memcpy(s[j], data + (t * k + j) * e, e);
			rs_encode(rs, e, s);
			for (unsigned j = 0; j < n; j++)
				assert_memory_equal(pieces[j] + t * e, s[j], e);
		}
		unsigned numbers[RS_TOTAL_MAX];
		const uint8_t *in[RS_TOTAL_MAX];
		for (unsigned round = 0; round < 5; round++) {
			AUTO(decoder_auto) struct rs_decoder *d = NULL;
			uint8_t *back = arena_alloc(&a, k * e * stripes + 1);

			choose(k, n, numbers);
			for (unsigned j = 0; j < k; j++)
				in[j] = pieces[numbers[j]];
			assert_int_equal(rs_decoder_new(rs, numbers, &d), OK);
			rs_decode_stripes(d, e, stripes, in, back);
			assert_memory_equal(back, data, k * e * stripes);
		}
		/* Some pieces are already lost: NULL. */
		uint8_t **fewer = shares_new(&a, n, e * stripes, 0);
		uint8_t *part[RS_TOTAL_MAX];
		for (unsigned j = 0; j < n; j++)
			part[j] = j % 2 ? fewer[j] : NULL;
		rs_encode_stripes(rs, e, stripes, data, part);
		for (unsigned j = 1; j < n; j += 2)
			assert_memory_equal(fewer[j], pieces[j], e * stripes);
		/* One alone is needed again. */
		uint8_t *alone = shares_new(&a, 1, e * stripes, 0)[0];
		memset(part, 0, sizeof(part));
		part[n - 1] = alone;
		rs_encode_stripes(rs, e, stripes, data, part);
		assert_memory_equal(alone, pieces[n - 1], e * stripes);
		arena_free(&a);
	}
}

/* Every kernel this processor can run gives the bytes that ISA-L gives, and writes no others. */
static void kernels_agree(void **state)
{
	static const struct {
		unsigned k, n;
	} codes[] = { { 1, 2 },	 { 1, 256 }, { 2, 4 },	  { 3, 16 },	{ 3, 17 },
		      { 4, 10 }, { 29, 80 }, { 29, 110 }, { 100, 256 }, { 255, 256 } };

	for (size_t kernel = 0; kernel < rs_kernel_count(); kernel++) {
		print_message("kernel: %s\n", rs_kernel_get(kernel)->name);
		for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
			unsigned k = codes[c].k, n = codes[c].n;
			AUTO(rs_auto) struct rs *rs = NULL, *isal = NULL;

			assert_int_equal(rs_new_with(rs_kernel_get(kernel), k, n, &rs), OK);
			assert_int_equal(rs_new_with(&rs_kernel_isal, k, n, &isal), OK);
			for (size_t len = 0; len < 300; len += len < 70 ? 1 : 23) {
				enum { GUARD = 64 };
				struct arena a = { 0 };
				uint8_t **s = shares_new(&a, n, len + GUARD, k);
				uint8_t **t = shares_new(&a, n, len + GUARD, 0);

				for (unsigned i = 0; i < n; i++) {
					if (i < k)
						memcpy(t[i], s[i], len);
					memset(t[i] + len, 0xee, GUARD);
					memset(s[i] + len, 0xee, GUARD);
				}
				rs_encode(rs, len, s);
				rs_encode(isal, len, t);
				for (unsigned i = 0; i < n; i++)
					assert_memory_equal(s[i], t[i], len + GUARD);
				arena_free(&a);
			}
		}
	}
}

/* GF(2^8) itself: each of the 65,536 products, through codes with one input. */
static void products_of_all_kernels(void **state)
{
	uint8_t all[256], out[256], want[256];
	const uint8_t *in[] = { all };

	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	for (size_t kernel = 0; kernel < rs_kernel_count(); kernel++) {
		const struct rs_kernel *x = rs_kernel_get(kernel);
		uint8_t table[32], *to = out;

		for (unsigned c = 0; c < 256; c++) {
			uint8_t coefficient = (uint8_t)c;

			x->prepare(1, 1, &coefficient, table);
			x->apply(1, 1, table, sizeof(all), in, &to);
			for (unsigned i = 0; i < 256; i++) {
				unsigned product = 0, a = i;
				for (unsigned b = c; b;
				     b >>= 1, a = a << 1 ^ (a & 0x80 ? 0x11d : 0))
					product ^= b & 1 ? a : 0;
				want[i] = (uint8_t)product;
			}
			assert_memory_equal(out, want, sizeof(want));
		}
	}
}

static void wrong_arguments(void **state)
{
	AUTO(rs_auto) struct rs *rs = NULL;
	struct rs_decoder *d = NULL;
	const unsigned twice[] = { 1, 2, 2, 5 }, high[] = { 0, 1, 2, 10 };
	uint8_t byte[4] = { 0 };
	const uint8_t *in[] = { byte, byte + 1, byte + 2, byte + 3 };
	uint8_t out = 7;

	assert_int_equal(rs_new(0, 4, &rs), ERR_INVALID);
	assert_int_equal(rs_new(5, 4, &rs), ERR_INVALID);
	assert_int_equal(rs_new(4, 257, &rs), ERR_INVALID);
	assert_int_equal(rs_new(4, 10, &rs), OK);
	assert_int_equal(rs_decoder_new(rs, twice, &d), ERR_INVALID);
	assert_int_equal(rs_decoder_new(rs, high, &d), ERR_INVALID);
	assert_int_equal(rs_rebuild(rs, twice, 1, in, 0, &out), ERR_INVALID);
	assert_int_equal(rs_rebuild(rs, (unsigned[]){ 0, 1, 2, 3 }, 1, in, 10, &out), ERR_INVALID);
	assert_null(d);
	assert_int_equal(out, 7);
	rs_free(NULL);
	rs_decoder_free(NULL);
}

static void sizes_of_the_reference(void **state)
{
	json_t *root = vectors_load("erasure");
	size_t i, cases = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "padding"), i, v)
	{
		uint16_t k = (uint16_t)vector_int(v, "k");
		struct scheme s = { k, k, k, k, (uint32_t)vector_int(v, "share_size") };
		uint64_t size = (uint64_t)vector_int(v, "encrypted_size");

		assert_int_equal(scheme_check(&s), OK);
		assert_int_equal(scheme_stripe_size(&s), vector_int(v, "stripe_size"));
		assert_int_equal(scheme_piece_size(&s, size), vector_int(v, "piece_size"));
		if (json_object_get(v, "padding_length"))
			assert_int_equal(pad_length(size, scheme_stripe_size(&s)),
					 vector_int(v, "padding_length"));
		assert_int_equal((size + pad_length(size, scheme_stripe_size(&s))) %
					 scheme_stripe_size(&s),
				 0);
		cases++;
	}
	assert_true(cases >= 14);
	json_decref(root);
}

static void schemes(void **state)
{
	json_t *root = vectors_load("erasure");
	const json_t *v = vector_get(root, "scheme_29_35_80_110_256");
	AUTO_BUF struct buf text = BUF_INIT(100);
	struct scheme s, back;

	assert_int_equal(scheme_parse(bytes_str("29/35/80/110-256B"), &s), OK);
	assert_int_equal(s.required, 29);
	assert_int_equal(s.repair, 35);
	assert_int_equal(s.success, 80);
	assert_int_equal(s.total, 110);
	assert_int_equal(s.share_size, 256);
	assert_int_equal(scheme_pack(&s), vector_int(v, "packed_int64"));
	back = scheme_unpack((uint64_t)vector_int(v, "packed_int64"));
	assert_memory_equal(&back, &s, sizeof(s));
	scheme_add_text(&text, &s);
	assert_string_equal(buf_cstr(&text), "29/35/80/110-256B");

	assert_int_equal(scheme_parse(bytes_str("4/6/8/10"), &s), OK);
	assert_int_equal(s.share_size, 256);
	assert_int_equal(scheme_parse(bytes_str("4/6/8/10-1KiB"), &s), OK);
	assert_int_equal(s.share_size, 1024);
	assert_int_equal(scheme_parse(bytes_str("4/0/0/10"), &s), OK);
	assert_int_equal(s.repair, 10);
	assert_int_equal(s.success, 10);
	assert_int_equal(scheme_parse(bytes_str("256/256/256/256"), &s), OK);
	back = scheme_unpack(scheme_pack(&s));
	assert_memory_equal(&back, &s, sizeof(s));

	static const char *const wrong[] = {
		"",	   "4",		"4/6/8",     "4/6/8/10/12",	   "4/6/8/x",
		"4/6/8/",  "/6/8/10",	"0/6/8/10",  "4/3/8/10",	   "4/6/5/10",
		"4/6/8/7", "4/6/8/257", "4/6/8/10-", "4/6/8/10-0B",	   "4/6/8/10-32MiB",
		"-256B",   "4/6/8/-10", " 4/6/8/10", "4/6/8/10-256B-256B",
	};
	s.required = 99;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_not_equal(scheme_parse(bytes_str(wrong[i]), &s), OK);
		assert_int_equal(s.required, 99);
	}
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parity_matrices),
		cmocka_unit_test(shares_of_the_reference),
		cmocka_unit_test(any_k_decode),
		cmocka_unit_test(rebuilder_gives_any_shares),
		cmocka_unit_test(unwanted_outputs_are_skipped),
		cmocka_unit_test(stripes_equal_shares),
		cmocka_unit_test(kernels_agree),
		cmocka_unit_test(products_of_all_kernels),
		cmocka_unit_test(wrong_arguments),
		cmocka_unit_test(sizes_of_the_reference),
		cmocka_unit_test(schemes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
