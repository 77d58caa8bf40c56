/* Signatures of real peers verify, ours verify, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/key_search.h"
#include "crypto/sign.h"
#include "vectors.h"

DEFINE_AUTO_PTR(struct private_key, private_key_auto, private_key_free)
DEFINE_AUTO_PTR(struct public_key, public_key_auto, public_key_free)
DEFINE_AUTO_PTR(struct ed25519_signer, signer_auto, ed25519_signer_free)
DEFINE_AUTO_PTR(struct ed25519_verifier, verifier_auto, ed25519_verifier_free)

/* The samples in identity.json: signatures of the Go library with the leaf's key. */
static void leaf_signatures_of_the_reference(void **state)
{
	json_t *root = vectors_load("identity");
	struct arena a = { 0 };
	struct call call;
	size_t i, cases = 0;
	json_t *v;

	call_init(&call);
	json_array_foreach(json_object_get(root, "identities"), i, v)
	{
		const json_t *sample = vector_get(v, "signature_sample");
		struct bytes message = vector_hex(&a, sample, "message_hex");
		struct bytes signature = vector_hex(&a, sample, "ecdsa_der_signature_by_leaf_hex");
		struct bytes pem = bytes_str(vector_text(v, "identity_key_pem"));
		struct bytes sec1 = vector_hex(&a, sample, "leaf_key_sec1_der_hex");
		AUTO(private_key_auto) struct private_key *key = NULL, *key_sec1 = NULL;
		AUTO(public_key_auto) struct public_key *public = NULL;
		AUTO_BUF struct buf spki = BUF_INIT(4096), again = BUF_INIT(4096);
		AUTO_BUF struct buf out = BUF_INIT(4096), text = BUF_INIT(4096);
		uint8_t digest[HASH_BYTES];

		hash_sha256(message, digest);
		assert_bytes_equal(BYTES_OF(digest), vector_hex(&a, sample, "digest_sha256_hex"));
		assert_int_equal(private_key_from_pem(&call, pem, &key), OK);
		assert_int_equal(private_key_public_der(&call, key, &spki), OK);
		assert_int_equal(public_key_from_der(&call, buf_bytes(&spki), &public), OK);
		assert_int_equal(public_key_verify(&call, public, message, signature), OK);
		/* Ours. */
		assert_int_equal(private_key_sign(&call, key, message, &out), OK);
		assert_int_equal(public_key_verify(&call, public, message, buf_bytes(&out)), OK);
		/* What we write is what Go wrote. */
		assert_int_equal(private_key_to_pem(&call, key, &text), OK);
		assert_bytes_equal(buf_bytes(&text), pem);
		/* The old file form. */
		buf_clear(&text);
		buf_add_str(&text, "-----BEGIN EC PRIVATE KEY-----\n");
		text_base64(&text, sec1);
		buf_add_str(&text, "\n-----END EC PRIVATE KEY-----\n");
		assert_int_equal(private_key_from_pem(&call, buf_bytes(&text), &key_sec1), OK);
		assert_int_equal(private_key_public_der(&call, key_sec1, &again), OK);
		assert_bytes_equal(buf_bytes(&again), buf_bytes(&spki));
		cases++;
	}
	assert_true(cases >= 3);
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

static void ecdsa_refuses_the_rest(void **state)
{
	AUTO(private_key_auto) struct private_key *key = NULL, *other = NULL;
	AUTO(public_key_auto) struct public_key *public = NULL, *public_other = NULL;
	AUTO_BUF struct buf spki = BUF_INIT(4096), sig = BUF_INIT(4096);
	struct bytes message = bytes_str("order");
	struct call call;

	call_init(&call);
	assert_int_equal(private_key_generate(&call, &key), OK);
	assert_int_equal(private_key_generate(&call, &other), OK);
	assert_int_equal(private_key_public_der(&call, key, &spki), OK);
	assert_int_equal(spki.len, 91);
	assert_int_equal(public_key_from_der(&call, buf_bytes(&spki), &public), OK);
	buf_clear(&spki);
	assert_int_equal(private_key_public_der(&call, other, &spki), OK);
	assert_int_equal(public_key_from_der(&call, buf_bytes(&spki), &public_other), OK);
	assert_int_equal(private_key_sign(&call, key, message, &sig), OK);
	assert_int_equal(public_key_verify(&call, public, message, buf_bytes(&sig)), OK);
	assert_int_equal(public_key_verify(&call, public_other, message, buf_bytes(&sig)),
			 ERR_CRYPTO);
	assert_int_equal(public_key_verify(&call, public, bytes_str("Order"), buf_bytes(&sig)),
			 ERR_CRYPTO);
	assert_int_equal(public_key_verify(&call, public, message, BYTES_NONE), ERR_CRYPTO);
	assert_int_equal(public_key_verify(&call, public, message, BYTES(sig.data, sig.len - 1)),
			 ERR_CRYPTO);
	for (size_t i = 0; i < sig.len; i++) {
		sig.data[i] ^= 4;
		assert_int_equal(public_key_verify(&call, public, message, buf_bytes(&sig)),
				 ERR_CRYPTO);
		sig.data[i] ^= 4;
	}
	buf_add_byte(&sig, 0);
	assert_int_equal(public_key_verify(&call, public, message, buf_bytes(&sig)), ERR_CRYPTO);
	call_fini(&call);
}

static void damaged_keys_are_refused(void **state)
{
	AUTO(private_key_auto) struct private_key *key = NULL;
	AUTO_BUF struct buf spki = BUF_INIT(4096);
	struct call call;

	call_init(&call);
	assert_int_equal(private_key_generate(&call, &key), OK);
	assert_int_equal(private_key_public_der(&call, key, &spki), OK);
	/* Any single change: still a key on the curve, or refused; never accepted with rest. */
	for (size_t len = 0; len < spki.len; len++) {
		struct public_key *p = NULL;
		assert_int_equal(public_key_from_der(&call, BYTES(spki.data, len), &p), ERR_FORMAT);
		assert_null(p);
	}
	buf_add_byte(&spki, 0);
	struct public_key *p = NULL;
	assert_int_equal(public_key_from_der(&call, buf_bytes(&spki), &p), ERR_FORMAT);
	spki.len--;
	spki.data[spki.len - 1] ^= 1; /* off the curve */
	assert_int_equal(public_key_from_der(&call, buf_bytes(&spki), &p), ERR_FORMAT);

	struct private_key *k = NULL;
	assert_int_equal(private_key_from_pem(&call, BYTES_NONE, &k), ERR_FORMAT);
	assert_int_equal(private_key_from_pem(&call, bytes_str("hello"), &k), ERR_FORMAT);
	assert_int_equal(
		private_key_from_pem(
			&call,
			bytes_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
			&k),
		ERR_FORMAT);
	assert_int_equal(
		private_key_from_pem(
			&call,
			bytes_str("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
			&k),
		ERR_FORMAT);
	assert_null(k);
	call_fini(&call);
}

/* Made with `openssl ec -conv_form compressed`: same key, point in the short form. */
static void compressed_points_are_spread(void **state)
{
	static const char pem[] =
		"-----BEGIN EC PRIVATE KEY-----\n"
		"MFcCAQEEIKFgQjzLYjXL6oRn+Fzx6KHhkZ2ko8XCE/7u0ne1XBBToAoGCCqGSM49\n"
		"AwEHoSQDIgADB3pPEclkoz8acwti7Jff4kH7QqdK3gJszImAimVjlXc=\n"
		"-----END EC PRIVATE KEY-----\n";
	AUTO(private_key_auto) struct private_key *key = NULL;
	AUTO(public_key_auto) struct public_key *public = NULL;
	AUTO_BUF struct buf spki = BUF_INIT(4096);
	struct call call;

	call_init(&call);
	assert_int_equal(private_key_from_pem(&call, bytes_str(pem), &key), OK);
	assert_int_equal(private_key_public_der(&call, key, &spki), OK);
	assert_int_equal(spki.len, 91);
	assert_int_equal(public_key_from_der(&call, buf_bytes(&spki), &public), OK);
	call_fini(&call);
}

/* Searched keys are good keys: they sign, differ, and belong to the points given. */
static void searched_keys(void **state)
{
	struct key_search *search = NULL;
	AUTO_BUF struct buf seen = BUF_INIT(1 << 20);
	struct call call;

	call_init(&call);
	buf_add_byte(&seen, 0); /* memmem wants a buffer */
	assert_int_equal(key_search_new(&call, &search), OK);
	for (unsigned i = 0; i < 600; i++) { /* over the ends of batches */
		AUTO(private_key_auto) struct private_key *key = NULL;
		AUTO(public_key_auto) struct public_key *public = NULL;
		AUTO_BUF struct buf der = BUF_INIT(4096), sig = BUF_INIT(4096);
		struct bytes spki = BYTES_NONE;

		assert_int_equal(key_search_next(&call, search, &spki), OK);
		assert_int_equal(spki.len, 91);
		assert_null(memmem(seen.data, seen.len, spki.data + 27, 32));
		buf_add(&seen, spki.data + 27, 32);
		if (i % 50 && i != 255 && i != 256 && i != 257)
			continue;
		assert_int_equal(public_key_from_der(&call, spki, &public), OK);
		assert_int_equal(key_search_key(&call, search, &key), OK);
		assert_int_equal(private_key_public_der(&call, key, &der), OK);
		assert_bytes_equal(buf_bytes(&der), spki);
		assert_int_equal(private_key_sign(&call, key, bytes_str("x"), &sig), OK);
		assert_int_equal(public_key_verify(&call, public, bytes_str("x"), buf_bytes(&sig)),
				 OK);
		/* And so they do after a way through a file. */
		AUTO(private_key_auto) struct private_key *again = NULL;
		AUTO_SECRET_BUF struct buf pem = BUF_INIT(4096);
		assert_int_equal(private_key_to_pem(&call, key, &pem), OK);
		assert_int_equal(private_key_from_pem(&call, buf_bytes(&pem), &again), OK);
		buf_clear(&sig);
		assert_int_equal(private_key_sign(&call, again, bytes_str("y"), &sig), OK);
		assert_int_equal(public_key_verify(&call, public, bytes_str("y"), buf_bytes(&sig)),
				 OK);
	}
	key_search_free(search);
	key_search_free(NULL);
	call_fini(&call);
}

/* Ed25519 is deterministic: the reference's order signatures are ours, byte for byte. */
static void orders_of_the_reference(void **state)
{
	json_t *root = vectors_load("orders");
	struct arena a = { 0 };
	struct call call;
	size_t i, cases = 0;
	json_t *v;

	call_init(&call);
	const json_t *piece_key = vector_get(root, "piece_key");
	struct bytes private = vector_hex(&a, piece_key, "private_hex");
	struct ed25519_private key;
	AUTO(signer_auto) struct ed25519_signer *signer = NULL;
	AUTO(verifier_auto) struct ed25519_verifier *verifier = NULL;

	assert_int_equal(private.len, sizeof(key.b));
	memcpy(key.b, private.data, sizeof(key.b));
	assert_int_equal(ed25519_signer_new(&call, &key, &signer), OK);
	assert_int_equal(
		ed25519_verifier_new(&call, vector_hex(&a, piece_key, "public_hex"), &verifier),
		OK);
	json_array_foreach(json_object_get(root, "orders"), i, v)
	{
		struct bytes message = vector_hex(&a, v, "signing_bytes_hex");
		struct bytes want = vector_hex(&a, v, "uplink_signature_hex");
		uint8_t out[ED25519_SIGNATURE_BYTES];

		assert_int_equal(ed25519_sign(&call, signer, message, out), OK);
		assert_bytes_equal(BYTES_OF(out), want);
		assert_int_equal(ed25519_verify(&call, verifier, message, want), OK);
		out[i] ^= 1;
		assert_int_equal(ed25519_verify(&call, verifier, message, BYTES_OF(out)),
				 ERR_CRYPTO);
		cases++;
	}
	assert_true(cases >= 4);
	/* Halves that do not belong together. */
	struct ed25519_signer *wrong = NULL;
	key.b[40] ^= 1;
	assert_int_equal(ed25519_signer_new(&call, &key, &wrong), ERR_INVALID);
	assert_null(wrong);
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

static void ed25519_round_trip(void **state)
{
	AUTO(signer_auto) struct ed25519_signer *signer = NULL;
	AUTO(verifier_auto) struct ed25519_verifier *verifier = NULL;
	struct ed25519_private key;
	uint8_t public[ED25519_PUBLIC_BYTES], sig[ED25519_SIGNATURE_BYTES];
	struct call call;

	call_init(&call);
	assert_int_equal(ed25519_generate(&call, &key, public), OK);
	assert_memory_equal(key.b + 32, public, sizeof(public));
	assert_int_equal(ed25519_signer_new(&call, &key, &signer), OK);
	assert_int_equal(ed25519_verifier_new(&call, BYTES_OF(public), &verifier), OK);
	assert_int_equal(ed25519_sign(&call, signer, BYTES_NONE, sig), OK);
	assert_int_equal(ed25519_verify(&call, verifier, BYTES_NONE, BYTES_OF(sig)), OK);
	assert_int_equal(ed25519_verify(&call, verifier, BYTES_NONE, BYTES(sig, 63)), ERR_CRYPTO);
	assert_int_equal(ed25519_verify(&call, verifier, BYTES_NONE, BYTES_NONE), ERR_CRYPTO);
	struct ed25519_verifier *none = NULL;
	assert_int_equal(ed25519_verifier_new(&call, BYTES(public, 31), &none), ERR_FORMAT);
	assert_null(none);
	call_fini(&call);
}

/* Whatever failed inside, the next TLS call of the thread must not find it. */
static int no_openssl_errors(void **state)
{
	return ERR_peek_error() == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(leaf_signatures_of_the_reference, no_openssl_errors),
		cmocka_unit_test_teardown(ecdsa_refuses_the_rest, no_openssl_errors),
		cmocka_unit_test_teardown(damaged_keys_are_refused, no_openssl_errors),
		cmocka_unit_test_teardown(compressed_points_are_spread, no_openssl_errors),
		cmocka_unit_test_teardown(searched_keys, no_openssl_errors),
		cmocka_unit_test_teardown(orders_of_the_reference, no_openssl_errors),
		cmocka_unit_test_teardown(ed25519_round_trip, no_openssl_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
