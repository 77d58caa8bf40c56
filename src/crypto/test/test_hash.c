/* Hashes and HMAC: known answers of the standards and of real peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "crypto/hmac_many.h"
#include "crypto/sha512_kernel.h"
#include "vectors.h"
#include "vectors_stream.h"

DEFINE_AUTO_PTR(struct hasher, hasher_auto, hasher_free)

static void piece_hashes_of_the_reference(void **state)
{
	json_t *root = vectors_load("erasure");
	struct arena a = { 0 };
	size_t i, cases = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "hashes"), i, v)
	{
		struct bytes data = vector_stream(&a, vector_text(v, "stream_label"),
						  (size_t)vector_int(v, "size"));
		uint8_t out[HASH_BYTES];

		hash_sha256(data, out);
		assert_bytes_equal(BYTES_OF(out), vector_hex(&a, v, "sha256_hex"));
		hash_blake3(data, out);
		assert_bytes_equal(BYTES_OF(out), vector_hex(&a, v, "blake3_hex"));
		cases++;
	}
	assert_true(cases >= 7);
	arena_free(&a);
	json_decref(root);
}

static void hasher_equals_one_shot(enum hash_algorithm algorithm,
				   void (*one_shot)(struct bytes, uint8_t *))
{
	AUTO(hasher_auto) struct hasher *h = hasher_new(algorithm);
	uint8_t data[5000], out[HASH_BYTES], want[HASH_BYTES];
	unsigned seed = 3;

	assert_non_null(h);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rand_r(&seed);
	for (unsigned round = 0; round < 20; round++) {
		size_t at = 0;

		hasher_reset(h);
		while (at < sizeof(data)) {
			size_t n = (size_t)rand_r(&seed) % 700;
			if (n > sizeof(data) - at)
				n = sizeof(data) - at;
			hasher_update(h, BYTES(data + at, n));
			at += n;
			hasher_sum(h, out);
			one_shot(BYTES(data, at), want);
			assert_memory_equal(out, want, sizeof(want));
		}
	}
}

static void hashers(void **state)
{
	hasher_equals_one_shot(HASH_SHA256, hash_sha256);
	hasher_equals_one_shot(HASH_BLAKE3, hash_blake3);
	hasher_free(NULL);
}

/* RFC 4231. */
static void hmac_known_answers(void **state)
{
	static const struct {
		const char *key, *data, *sha256, *sha512;
	} cases[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
		  "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
		  "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854" },
		{ "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		  "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
		  "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737" },
	};
	struct arena a = { 0 };
	uint8_t out[64];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes key = vector_unhex(&a, cases[i].key);
		struct bytes data = vector_unhex(&a, cases[i].data);

		hmac_sha256(key, data, out);
		assert_bytes_equal(BYTES(out, 32), vector_unhex(&a, cases[i].sha256));
		hmac_sha512(key, data, out);
		assert_bytes_equal(BYTES(out, 64), vector_unhex(&a, cases[i].sha512));
		for (size_t cut = 0; cut <= data.len; cut++) {
			struct bytes parts[] = { BYTES(data.data, cut), BYTES_NONE,
						 bytes_from(data, cut) };

			hmac_sha512_parts(key, parts, ARRAY_LEN(parts), out);
			assert_bytes_equal(BYTES(out, 64), vector_unhex(&a, cases[i].sha512));
		}
	}
	arena_free(&a);
}

/* RFC 4231 cases 6: a key longer than the block (131 bytes of aa). */
/* Every kernel of this processor, against one at a time: all lengths, all counts around a vector.
 */
static void hmac_many_equals_hmac(void **state)
{
	static const uint8_t text[256] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 200, 201, 202 };
	static struct hmac_many_key keys[HMAC_MANY_MESSAGE_MAX + 1];
	static struct hmac_many jobs[HMAC_MANY_MESSAGE_MAX + 1];
	static uint8_t got[HMAC_MANY_MESSAGE_MAX + 1][HMAC_MANY_BYTES];
	struct bytes names[HMAC_MANY_MESSAGE_MAX + 1];

	for (size_t k = 0; k < sha512_kernel_count(); k++) {
		for (size_t i = 0; i <= HMAC_MANY_MESSAGE_MAX; i++) {
			names[i] = BYTES(text + i, i + 17 <= HMAC_MANY_KEY_MAX ? i + 17 : 128);
			jobs[i] = (struct hmac_many){ &keys[i], BYTES(text + 111 - i, i) };
		}
		hmac_many_keys_with(sha512_kernel(k), names, ARRAY_LEN(names), keys);
		for (size_t n = 1; n <= ARRAY_LEN(jobs); n += n < 20 ? 1 : 23) {
			memset(got, 0, sizeof(got));
			hmac_many_with(sha512_kernel(k), jobs, n, got);
			for (size_t i = 0; i < n; i++) {
				uint8_t want[64];
				hmac_sha512(names[i], jobs[i].message, want);
				assert_memory_equal(got[i], want, HMAC_MANY_BYTES);
			}
		}
	}
}

static void hmac_hashes_long_keys(void **state)
{
	struct arena a = { 0 };
	struct bytes text = bytes_str("Test Using Larger Than Block-Size Key - Hash Key First");
	uint8_t key[131], out[64];

	memset(key, 0xaa, sizeof(key));
	hmac_sha256(BYTES_OF(key), text, out);
	assert_bytes_equal(
		BYTES(out, 32),
		vector_unhex(&a,
			     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
	hmac_sha512(BYTES_OF(key), text, out);
	assert_bytes_equal(
		BYTES(out, 64),
		vector_unhex(&a,
			     "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
			     "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"));
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(piece_hashes_of_the_reference),
		cmocka_unit_test(hashers),
		cmocka_unit_test(hmac_known_answers),
		cmocka_unit_test(hmac_hashes_long_keys),
		cmocka_unit_test(hmac_many_equals_hmac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
