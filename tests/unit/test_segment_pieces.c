/* Segments to pieces and back across rooms, against the reference: padding, shares, piece hashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "erasure/rs.h"
#include "erasure/scheme.h"
#include "vectors.h"
#include "vectors_stream.h"

DEFINE_AUTO_PTR(struct rs, rs_auto, rs_free)
DEFINE_AUTO_PTR(struct rs_decoder, decoder_auto, rs_decoder_free)

static void assert_hash(struct bytes data, const char *hex, void (*hash)(struct bytes, uint8_t *))
{
	struct arena a = { 0 };
	uint8_t h[HASH_BYTES];

	hash(data, h);
	assert_bytes_equal(BYTES_OF(h), vector_unhex(&a, hex));
	arena_free(&a);
}

static uint8_t **pieces_new(struct arena *a, unsigned n, size_t len)
{
	uint8_t **p = arena_array(a, n, sizeof(*p));
	uint8_t *all = arena_alloc(a, n * len + 1);

	for (unsigned i = 0; i < n; i++)
		p[i] = all + i * len;
	return p;
}

static void shares_by_hash(void **state)
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
		struct bytes data = vector_stream(&a, vector_text(v, "input_stream_label"),
						  k * len);
		uint8_t **pieces = pieces_new(&a, n, len);
		const json_t *hashes = json_object_get(v, "share_sha256");

		assert_hash(data, vector_text(v, "input_sha256"), hash_sha256);
		assert_int_equal(rs_new(k, n, &rs), OK);
		rs_encode_stripes(rs, len, 1, data.data, pieces);
		/* pieces_new laid them one behind the other. */
		assert_hash(BYTES(pieces[0], n * len),
			    vector_text(v, "all_shares_concatenated_sha256"), hash_sha256);
		for (unsigned j = 0; hashes && j < n; j++)
			assert_hash(BYTES(pieces[j], len),
				    json_string_value(json_array_get(hashes, j)), hash_sha256);
		cases++;
	}
	assert_true(cases >= 8);
	arena_free(&a);
	json_decref(root);
}

static void segment_to_pieces(void **state)
{
	json_t *root = vectors_load("erasure");
	struct arena a = { 0 };
	size_t i, cases = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "segment_to_pieces"), i, v)
	{
		uint16_t k = (uint16_t)vector_int(v, "k"), n = (uint16_t)vector_int(v, "n");
		struct scheme s = { k, 0, 0, n, (uint32_t)vector_int(v, "share_size") };
		struct bytes segment = vector_hex(&a, v, "encrypted_segment_hex");
		AUTO_BUF struct buf padded = BUF_INIT(1 << 20);
		AUTO(rs_auto) struct rs *rs = NULL;

		assert_int_equal(scheme_check(&s), OK);
		uint32_t stripe = scheme_stripe_size(&s), pad = pad_length(segment.len, stripe);
		buf_add_bytes(&padded, segment);
		for (uint32_t z = 4; z < pad; z++)
			buf_add_byte(&padded, 0);
		for (int shift = 24; shift >= 0; shift -= 8)
			buf_add_byte(&padded, (uint8_t)(pad >> shift));
		assert_bytes_equal(buf_bytes(&padded), vector_hex(&a, v, "padded_hex"));

		size_t size = (size_t)scheme_piece_size(&s, segment.len);
		uint8_t **pieces = pieces_new(&a, n, size);
		assert_int_equal(size * k, padded.len);
		assert_int_equal(rs_new(k, n, &rs), OK);
		rs_encode_stripes(rs, s.share_size, padded.len / stripe, padded.data, pieces);
		for (unsigned j = 0; j < n; j++) {
			struct bytes piece = BYTES(pieces[j], size);
			assert_bytes_equal(
				piece, vector_unhex(&a, json_string_value(json_array_get(
								vector_get(v, "pieces_hex"), j))));
			assert_hash(
				piece,
				json_string_value(json_array_get(vector_get(v, "piece_sha256"), j)),
				hash_sha256);
			assert_hash(
				piece,
				json_string_value(json_array_get(vector_get(v, "piece_blake3"), j)),
				hash_blake3);
		}
		/* Back from the last k pieces. */
		AUTO(decoder_auto) struct rs_decoder *d = NULL;
		unsigned numbers[RS_TOTAL_MAX];
		for (unsigned j = 0; j < k; j++)
			numbers[j] = n - k + j;
		assert_int_equal(rs_decoder_new(rs, numbers, &d), OK);
		uint8_t *back = arena_alloc(&a, padded.len);
		rs_decode_stripes(d, s.share_size, padded.len / stripe,
				  (const uint8_t *const *)pieces + n - k, back);
		assert_bytes_equal(BYTES(back, segment.len), segment);
		cases++;
	}
	assert_true(cases >= 4);
	arena_free(&a);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_by_hash),
		cmocka_unit_test(segment_to_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
