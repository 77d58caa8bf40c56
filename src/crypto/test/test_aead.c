/* AEAD: known answers, both directions; every flipped bit is noticed and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/aead.h"
#include "crypto/algorithms.h"
#include "crypto/tls_vaes.h"
#include "os/random.h"
#include "vectors.h"

DEFINE_AUTO_PTR(struct aead, aead_auto, aead_free)

/* Content blocks of one block: what the reference encrypted with a given key and nonce. */
static void content_vectors_seal_and_open(void **state)
{
	json_t *root = vectors_load("content_encryption");
	struct arena a = { 0 };
	struct secret_key key;
	size_t i;
	json_t *v;
	unsigned used = 0;

	struct bytes k = vector_hex(&a, root, "content_key_hex");
	assert_int_equal(k.len, sizeof(key.b));
	memcpy(key.b, k.data, k.len);
	AUTO(aead_auto) struct aead *seal = aead_new(&key, true);
	AUTO(aead_auto) struct aead *open = aead_new(&key, false);
	assert_non_null(seal);
	assert_non_null(open);
	json_array_foreach(json_object_get(root, "inline"), i, v)
	{
		if (!json_object_get(v, "plain_hex") || !json_object_get(v, "encrypted_hex"))
			continue; /* the long ones are hashes only; access tests those */
		struct bytes plain = vector_hex(&a, v, "plain_hex");
		struct bytes want = vector_hex(&a, v, "encrypted_hex");
		uint8_t out[8192];
		uint8_t nonce[AEAD_NONCE_BYTES] = { 1 };

		if (want.len == 0)
			continue;
		assert_true(want.len <= sizeof(out));
		assert_int_equal(aead_seal(seal, nonce, plain, out), OK);
		assert_bytes_equal(BYTES(out, plain.len + AEAD_TAG_BYTES), want);
		assert_int_equal(aead_open(open, nonce, want, out), OK);
		assert_bytes_equal(BYTES(out, plain.len), plain);
		used++;
	}
	assert_true(used > 0);
	arena_free(&a);
	json_decref(root);
}

/* Test case 14 and 16 style answers of the GCM specification: empty text, zero key and nonce. */
static void gcm_known_answers(void **state)
{
	static const struct secret_key zero;
	static const uint8_t nonce[AEAD_NONCE_BYTES], plain[16];
	AUTO(aead_auto) struct aead *a = aead_new(&zero, true);
	uint8_t out[32];
	struct arena m = { 0 };

	assert_int_equal(aead_seal(a, nonce, BYTES_NONE, out), OK);
	assert_bytes_equal(BYTES(out, 16), vector_unhex(&m, "530f8afbc74536b9a963b4f1c4cb738b"));
	assert_int_equal(aead_seal(a, nonce, BYTES_OF(plain), out), OK);
	assert_bytes_equal(BYTES_OF(out), vector_unhex(&m, "cea7403d4d606b6e074ec5d3baf39d18"
							   "d0d1c8a799996bf0265b98b5d48ab919"));
	arena_free(&m);
}

/* OpenSSL is the oracle for whatever does it here. */
static void openssl_seal(const struct secret_key *key, const uint8_t *nonce, struct bytes ad,
			 struct bytes plain, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key->b, nonce), 1);
	if (ad.len)
		assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, ad.data, (int)ad.len), 1);
	if (plain.len)
		assert_int_equal(EVP_EncryptUpdate(c, out, &n, plain.data, (int)plain.len), 1);
	assert_int_equal(EVP_EncryptFinal_ex(c, out + plain.len, &n), 1);
	assert_int_equal(
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, out + plain.len), 1);
	EVP_CIPHER_CTX_free(c);
}

static void gcm_equals_openssl(void **state)
{
	enum { SIZE = 70000, AD = 300 };
	struct secret_key key;
	uint8_t nonce[AEAD_NONCE_BYTES];
	AUTO_FREE uint8_t *plain = malloc(SIZE + 1), *want = malloc(SIZE + AEAD_TAG_BYTES);
	AUTO_FREE uint8_t *got = malloc(SIZE + AEAD_TAG_BYTES + 1), *ad = malloc(AD);
	uint64_t x = 88172645463325252ULL;

	for (size_t round = 0; round < 400; round++) {
		for (size_t i = 0; i < SIZE; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			plain[i] = (uint8_t)x;
		}
		memcpy(key.b, plain + 100, sizeof(key.b));
		memcpy(nonce, plain + 200, sizeof(nonce));
		memcpy(ad, plain + 300, AD);
		size_t len = round < 300 ? round : round % 7 == 0 ? SIZE : x % SIZE;
		size_t ad_len = round % 3 ? 0 : x % AD;
		AUTO(aead_auto) struct aead *seal = aead_new(&key, true);
		AUTO(aead_auto) struct aead *open = aead_new(&key, false);
		struct bytes sealed = BYTES(got + round % 2, len + AEAD_TAG_BYTES);

		openssl_seal(&key, nonce, BYTES(ad, ad_len), BYTES(plain, len), want);
		assert_int_equal(aead_seal_ad(seal, nonce, BYTES(ad, ad_len), BYTES(plain, len),
					      got + round % 2),
				 OK);
		assert_bytes_equal(sealed, BYTES(want, len + AEAD_TAG_BYTES));
		/* In place, both ways. */
		assert_int_equal(
			aead_open_ad(open, nonce, BYTES(ad, ad_len), sealed, got + round % 2), OK);
		assert_memory_equal(got + round % 2, plain, len);
		assert_int_equal(aead_seal_ad(seal, nonce, BYTES(ad, ad_len),
					      BYTES(got + round % 2, len), got + round % 2),
				 OK);
		assert_bytes_equal(sealed, BYTES(want, len + AEAD_TAG_BYTES));
	}
}

static void gcm_notices_every_flip(void **state)
{
	static const struct secret_key key = { { 1, 2, 3 } };
	AUTO(aead_auto) struct aead *seal = aead_new(&key, true);
	AUTO(aead_auto) struct aead *open = aead_new(&key, false);
	uint8_t nonce[AEAD_NONCE_BYTES] = { 9 };
	uint8_t plain[45], sealed[61], out[45], zero[45] = { 0 };

	memset(plain, 0x5a, sizeof(plain));
	assert_int_equal(aead_seal(seal, nonce, BYTES_OF(plain), sealed), OK);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(out, 1, sizeof(out));
		assert_int_equal(aead_open(open, nonce, BYTES_OF(sealed), out), ERR_CRYPTO);
		assert_memory_equal(out, zero, sizeof(out));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(aead_open(open, nonce, BYTES(sealed, 15), out), ERR_CRYPTO);
	assert_int_equal(aead_open(open, nonce, BYTES_NONE, out), ERR_CRYPTO);
	/* And it still works after failures. */
	assert_int_equal(aead_open(open, nonce, BYTES_OF(sealed), out), OK);
	assert_memory_equal(out, plain, sizeof(out));
	/* Each object has one direction. */
	assert_int_equal(aead_open(seal, nonce, BYTES_OF(sealed), out), ERR_INVALID);
	assert_int_equal(aead_seal(open, nonce, BYTES_OF(plain), sealed), ERR_INVALID);
}

static void gcm_in_place(void **state)
{
	static const struct secret_key key = { { 7 } };
	AUTO(aead_auto) struct aead *seal = aead_new(&key, true);
	AUTO(aead_auto) struct aead *open = aead_new(&key, false);
	uint8_t nonce[AEAD_NONCE_BYTES] = { 0 };
	uint8_t block[7408 + AEAD_TAG_BYTES], plain[7408];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = block[i] = (uint8_t)(i * 31);
	assert_int_equal(aead_seal(seal, nonce, BYTES(block, sizeof(plain)), block), OK);
	assert_memory_not_equal(block, plain, sizeof(plain));
	assert_int_equal(aead_open(open, nonce, BYTES_OF(block), block), OK);
	assert_memory_equal(block, plain, sizeof(plain));
}

static void secretbox_both_ways(void **state)
{
	static const struct secret_key key = { { 3 } };
	uint8_t nonce[SECRETBOX_NONCE_BYTES] = { 4 };
	uint8_t plain[100], sealed[116], out[100], zero[100] = { 0 };

	memset(plain, 0xa5, sizeof(plain));
	assert_int_equal(secretbox_seal(&key, nonce, BYTES_OF(plain), sealed), OK);
	assert_int_equal(secretbox_open(&key, nonce, BYTES_OF(sealed), out), OK);
	assert_memory_equal(out, plain, sizeof(out));
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 0x10;
		memset(out, 1, sizeof(out));
		assert_int_equal(secretbox_open(&key, nonce, BYTES_OF(sealed), out), ERR_CRYPTO);
		assert_memory_equal(out, zero, sizeof(out));
		sealed[i] ^= 0x10;
	}
	assert_int_equal(secretbox_open(&key, nonce, BYTES(sealed, 15), out), ERR_CRYPTO);
	assert_int_equal(secretbox_seal(&key, nonce, BYTES_NONE, sealed), OK);
	assert_int_equal(secretbox_open(&key, nonce, BYTES(sealed, 16), out), OK);
}

static void secrets_are_kept_and_compared(void **state)
{
	struct secret_key a = { { 1 } }, b = { { 1 } };
	uint8_t *p = secret_alloc(100);

	assert_non_null(p);
	memset(p, 7, 100);
	secret_free(p);
	secret_free(NULL);
	assert_true(secret_equal(&a, &b, sizeof(a)));
	b.b[31] = 1;
	assert_false(secret_equal(&a, &b, sizeof(a)));
	assert_false(secret_key_is_zero(&a));
	secret_key_wipe(&a);
	assert_true(secret_key_is_zero(&a));
}

/* One record as TLS 1.3 has it sealed or opened. */
static bool record(EVP_CIPHER_CTX *ctx, bool seal, const uint8_t nonce[12], const uint8_t ad[5],
		   uint8_t *data, int len, uint8_t tag[16])
{
	int n = 0, rest = 0;

	return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, seal) == 1 &&
	       (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1) &&
	       EVP_CipherUpdate(ctx, NULL, &n, ad, 5) == 1 &&
	       EVP_CipherUpdate(ctx, data, &n, data, len) == 1 &&
	       EVP_CipherFinal_ex(ctx, data + n, &rest) == 1 && n + rest == len &&
	       (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1);
}

static EVP_CIPHER_CTX *tls_cipher(OSSL_LIB_CTX *from, const char *properties, const uint8_t key[16],
				  bool seal)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(from, "AES-128-GCM", properties);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	assert_non_null(cipher);
	assert_int_equal(EVP_CIPHER_get_mode(cipher), EVP_CIPH_GCM_MODE);
	assert_int_equal(EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, seal), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL), 1);
	assert_int_equal(EVP_CipherInit_ex(ctx, NULL, NULL, key, NULL, -1), 1);
	EVP_CIPHER_free(cipher);
	return ctx;
}

/* The provider for TLS makes the bytes that OpenSSL makes, and takes no others. */
static void tls_records_equal_openssl(void **state)
{
	enum { MAX_BYTES = 17 << 10 };
	uint8_t key[16], nonce[12], ad[5], ours_tag[16], tag[16];
	uint8_t *plain = malloc(MAX_BYTES), *ours = malloc(MAX_BYTES), *theirs = malloc(MAX_BYTES);
	int n;

	if (!algorithms()->tls)
		skip();
	os_random(key, sizeof(key));
	os_random(plain, MAX_BYTES);
	EVP_CIPHER_CTX *seal = tls_cipher(algorithms()->tls, TLS_VAES_PROPERTIES, key, true);
	EVP_CIPHER_CTX *open = tls_cipher(algorithms()->tls, TLS_VAES_PROPERTIES, key, false);
	EVP_CIPHER_CTX *other = tls_cipher(NULL, NULL, key, true);
	for (int len = 1; len <= MAX_BYTES; len += len < 70 ? 1 : 997) {
		os_random(nonce, sizeof(nonce));
		os_random(ad, sizeof(ad));
		memcpy(ours, plain, (size_t)len);
		memcpy(theirs, plain, (size_t)len);
		assert_true(record(seal, true, nonce, ad, ours, len, ours_tag));
		assert_true(record(other, true, nonce, ad, theirs, len, tag));
		assert_memory_equal(ours, theirs, (size_t)len);
		assert_memory_equal(ours_tag, tag, sizeof(tag));
		assert_true(record(open, false, nonce, ad, ours, len, ours_tag));
		assert_memory_equal(ours, plain, (size_t)len);
		memcpy(ours, theirs, (size_t)len);
		ours[len / 2] ^= 1;
		assert_false(record(open, false, nonce, ad, ours, len, tag));
		tag[15] ^= 0x80;
		assert_false(record(open, false, nonce, ad, theirs, len, tag));
	}
	/* A nonce serves once, and nothing is opened without a tag. */
	assert_int_equal(EVP_CipherInit_ex(seal, NULL, NULL, NULL, nonce, 1), 1);
	assert_int_equal(EVP_CipherUpdate(seal, ours, &n, plain, 16), 1);
	assert_int_equal(EVP_CipherUpdate(seal, ours, &n, plain, 16), 0);
	assert_int_equal(EVP_CipherInit_ex(open, NULL, NULL, NULL, nonce, 0), 1);
	assert_int_equal(EVP_CipherUpdate(open, ours, &n, plain, 16), 0);
	EVP_CIPHER_CTX_free(seal);
	EVP_CIPHER_CTX_free(open);
	EVP_CIPHER_CTX_free(other);
	free(plain);
	free(ours);
	free(theirs);
}

/* Whatever failed inside, the next TLS call of the thread must not find it. */
static int no_openssl_errors(void **state)
{
	return ERR_peek_error() == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(content_vectors_seal_and_open, no_openssl_errors),
		cmocka_unit_test_teardown(gcm_known_answers, no_openssl_errors),
		cmocka_unit_test_teardown(gcm_equals_openssl, no_openssl_errors),
		cmocka_unit_test_teardown(gcm_notices_every_flip, no_openssl_errors),
		cmocka_unit_test_teardown(gcm_in_place, no_openssl_errors),
		cmocka_unit_test_teardown(tls_records_equal_openssl, no_openssl_errors),
		cmocka_unit_test_teardown(secretbox_both_ways, no_openssl_errors),
		cmocka_unit_test_teardown(secrets_are_kept_and_compared, no_openssl_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
