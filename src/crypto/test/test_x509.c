/* Certificates: real chains, every kind of key, our own, and damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/x509.h"
#include "vectors.h"

DEFINE_AUTO_PTR(struct private_key, private_key_auto, private_key_free)
DEFINE_AUTO_PTR(struct public_key, public_key_auto, public_key_free)

enum { CHAIN_MAX = 4 };

struct chain {
	struct call call;
	size_t count;
	struct x509 certs[CHAIN_MAX];
	struct public_key *keys[CHAIN_MAX];
};

static void chain_parse(struct chain *c, struct bytes der)
{
	call_init(&c->call);
	c->count = 0;
	while (der.len) {
		assert_true(c->count < CHAIN_MAX);
		struct x509 *x = &c->certs[c->count];
		assert_int_equal(x509_parse_next(&c->call, der, x, &der), OK);
		assert_int_equal(x509_public_key(&c->call, x, &c->keys[c->count]), OK);
		c->count++;
	}
}

static void chain_free(struct chain *c)
{
	for (size_t i = 0; i < c->count; i++)
		public_key_free(c->keys[i]);
	call_fini(&c->call);
}

static void chains_of_the_reference(void **state)
{
	json_t *root = vectors_load("identity");
	struct arena a = { 0 };
	size_t i, cases = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "identities"), i, v)
	{
		struct chain c;

		chain_parse(&c, vector_hex(&a, v, "peer_certchain_blob_hex"));
		assert_int_equal(c.count, vector_int(v, "chain_length"));
		assert_bytes_equal(c.certs[1].spki, vector_hex(&a, v, "ca_spki_der_hex"));
		for (size_t j = 0; j < c.count; j++) {
			/* Each is signed by the next, the last by itself, and by no other. */
			size_t signer = j + 1 < c.count ? j + 1 : j;
			for (size_t k = 0; k < c.count; k++)
				assert_int_equal(
					x509_check_signature(&c.call, &c.certs[j], c.keys[k]),
					k == signer ? OK : ERR_CRYPTO);
			assert_int_equal(c.certs[j].edition, 3);
			assert_int_equal(c.certs[j].is_ca, j > 0);
			assert_int_equal(x509_may_sign(&c.certs[j]), j > 0);
			assert_true(c.certs[j].has_key_usage);
			assert_int_equal(c.certs[j].key_usage,
					 j > 0 ? X509_USAGE_CERT_SIGN
					       : X509_USAGE_DIGITAL_SIGNATURE |
							 X509_USAGE_KEY_ENCIPHERMENT);
		}
		assert_false(c.certs[0].has_version);
		assert_true(c.certs[1].has_version);
		assert_int_equal(c.certs[1].version, 0);
		chain_free(&c);
		cases++;
	}
	assert_true(cases >= 3);
	arena_free(&a);
	json_decref(root);
}

/* transport.md 5 item 2: what counts is SHA-256 over the TBS with ECDSA or RSA-PSS. */
static void kinds_of_keys(void **state)
{
	json_t *root = vectors_load("x509");
	struct arena a = { 0 };
	struct call call;
	size_t i, cases = 0;
	json_t *v;

	call_init(&call);
	json_array_foreach(json_object_get(root, "certificates"), i, v)
	{
		AUTO(public_key_auto) struct public_key *key = NULL;
		struct x509 x;

		print_message("%s\n", vector_text(v, "name"));
		assert_int_equal(x509_parse(&call, vector_hex(&a, v, "der_hex"), &x), OK);
		assert_int_equal(x509_public_key(&call, &x, &key),
				 vector_bool(v, "key_accepted") ? OK : ERR_FORMAT);
		if (key)
			assert_int_equal(x509_check_signature(&call, &x, key),
					 vector_bool(v, "own_signature_good") ? OK : ERR_CRYPTO);
		cases++;
	}
	assert_true(cases >= 15);
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

static void ours(void **state)
{
	AUTO(private_key_auto) struct private_key *root = NULL, *ca = NULL, *leaf = NULL;
	AUTO_BUF struct buf der = BUF_INIT(1 << 16), spki = BUF_INIT(4096);
	struct call call;
	struct chain c;

	call_init(&call);
	assert_int_equal(private_key_generate(&call, &root), OK);
	assert_int_equal(private_key_generate(&call, &ca), OK);
	assert_int_equal(private_key_generate(&call, &leaf), OK);
	/* Often, since serial numbers and signatures differ in length. */
	for (unsigned round = 0; round < 100; round++) {
		buf_clear(&der);
		buf_clear(&spki);
		assert_int_equal(x509_create_leaf(&call, leaf, ca, &der), OK);
		assert_int_equal(x509_create_ca_signed(&call, ca, 7, root, &der), OK);
		assert_int_equal(x509_create_ca(&call, root, 0, &der), OK);
		chain_parse(&c, buf_bytes(&der));
		assert_int_equal(c.count, 3);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(x509_check_signature(&c.call, &c.certs[i],
							      c.keys[i < 2 ? i + 1 : 2]),
					 OK);
		assert_int_equal(x509_check_signature(&c.call, &c.certs[0], c.keys[0]), ERR_CRYPTO);
		assert_int_equal(c.certs[1].version, 7);
		assert_true(x509_may_sign(&c.certs[1]));
		assert_false(x509_may_sign(&c.certs[0]));
		assert_int_equal(private_key_public_der(&call, ca, &spki), OK);
		assert_bytes_equal(c.certs[1].spki, buf_bytes(&spki));
		chain_free(&c);
	}
	call_fini(&call);
}

/* The same bytes as the reference around the parts that are random or depend on the key. */
static void ours_look_like_the_reference(void **state)
{
	json_t *root = vectors_load("identity");
	const json_t *v = json_array_get(json_object_get(root, "identities"), 0);
	AUTO(private_key_auto) struct private_key *key = NULL;
	AUTO_BUF struct buf der = BUF_INIT(1 << 16);
	struct arena a = { 0 };
	struct call call;
	struct chain theirs;

	call_init(&call);
	chain_parse(&theirs, vector_hex(&a, v, "peer_certchain_blob_hex"));
	assert_int_equal(private_key_generate(&call, &key), OK);
	assert_int_equal(x509_create_leaf(&call, key, key, &der), OK);
	assert_int_equal(x509_create_ca(&call, key, 0, &der), OK);
	struct bytes rest = buf_bytes(&der);
	for (size_t i = 0; i < 2; i++) {
		const struct x509 *t = &theirs.certs[i];
		struct x509 x;

		assert_int_equal(x509_parse_next(&call, rest, &x, &rest), OK);
		/* From behind the serial number to the key, and what follows the key. */
		size_t head = 1 + 1 + 8 + 2 + 12 + 18 + 36 + 18 - 30; /* back from the key */
		assert_memory_equal(x.spki.data - head, t->spki.data - head, head);
		struct bytes x_tail = bytes_from(x.tbs, (size_t)(x.spki.data - x.tbs.data) + 91);
		struct bytes t_tail = bytes_from(t->tbs, (size_t)(t->spki.data - t->tbs.data) + 91);
		assert_int_equal(x_tail.len, t_tail.len);
		if (i == 0)
			assert_bytes_equal(x_tail, t_tail);
	}
	chain_free(&theirs);
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

static void damaged_ones(void **state)
{
	json_t *root = vectors_load("identity");
	const json_t *v = json_array_get(json_object_get(root, "identities"), 0);
	struct arena a = { 0 };
	struct bytes chain = vector_hex(&a, v, "peer_certchain_blob_hex");
	struct bytes rest = BYTES_NONE;
	struct call call;
	struct x509 leaf, x = { .edition = 77 };

	call_init(&call);
	assert_int_equal(x509_parse_next(&call, chain, &leaf, &rest), OK);
	assert_int_equal(x509_parse(&call, chain, &x), ERR_FORMAT);
	for (size_t n = 0; n < leaf.der.len; n++)
		assert_int_equal(x509_parse(&call, BYTES(chain.data, n), &x), ERR_FORMAT);
	assert_int_equal(x.edition, 77); /* untouched */
	/* A flipped bit breaks the form, the key or the signature. */
	AUTO(public_key_auto) struct public_key *ca_key = NULL;
	AUTO_BUF struct buf copy = BUF_INIT(1 << 16);
	assert_int_equal(x509_parse(&call, rest, &x), OK);
	assert_int_equal(x509_public_key(&call, &x, &ca_key), OK);
	buf_add_bytes(&copy, leaf.der);
	for (size_t i = 0; i < copy.len; i++) {
		copy.data[i] ^= 0x20;
		if (x509_parse(&call, buf_bytes(&copy), &x) == OK)
			assert_int_equal(x509_check_signature(&call, &x, ca_key), ERR_CRYPTO);
		copy.data[i] ^= 0x20;
	}
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

/* Whatever failed inside, the next TLS call of the thread must not find it. */
static int no_openssl_errors(void **state)
{
	return ERR_peek_error() == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(chains_of_the_reference, no_openssl_errors),
		cmocka_unit_test_teardown(kinds_of_keys, no_openssl_errors),
		cmocka_unit_test_teardown(ours, no_openssl_errors),
		cmocka_unit_test_teardown(ours_look_like_the_reference, no_openssl_errors),
		cmocka_unit_test_teardown(damaged_ones, no_openssl_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
