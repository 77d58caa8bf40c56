/* Verification by tables says what OpenSSL says, for any two scalars that a signature can lead to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "crypto/der.h"
#include "crypto/p256_table.h"
#include "crypto/sign.h"

struct curve {
	EC_GROUP *group;
	BN_CTX *ctx;
	const BIGNUM *n;
	struct p256_table *generator;
};

static int begin(void **state)
{
	struct curve *c = calloc(1, sizeof(*c));

	c->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	c->ctx = BN_CTX_new();
	c->n = EC_GROUP_get0_order(c->group);
	c->generator = p256_table_generator();
	*state = c;
	return c->generator ? 0 : -1;
}

static int end(void **state)
{
	struct curve *c = *state;

	p256_table_free(c->generator);
	BN_CTX_free(c->ctx);
	EC_GROUP_free(c->group);
	free(c);
	return ERR_peek_error() != 0;
}

/* A key: d times the generator. */
struct key {
	BIGNUM *d;
	uint8_t point[65];
	EVP_PKEY *pkey;
	struct p256_table *table;
};

static struct key key_new(const struct curve *c, const BIGNUM *d)
{
	struct key k = { .d = BN_dup(d) };
	EC_POINT *p = EC_POINT_new(c->group);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

	assert_int_equal(EC_POINT_mul(c->group, p, d, NULL, NULL, c->ctx), 1);
	assert_int_equal(
		EC_POINT_point2oct(c->group, p, POINT_CONVERSION_UNCOMPRESSED, k.point, 65, c->ctx),
		65);
	OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
	OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, k.point, 65);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &k.pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	EC_POINT_free(p);
	k.table = p256_table_new(k.point + 1, k.point + 33);
	assert_non_null(k.table);
	return k;
}

static void key_free(struct key *k)
{
	p256_table_free(k->table);
	EVP_PKEY_free(k->pkey);
	BN_free(k->d);
}

static bool openssl_says(const struct key *k, const uint8_t digest[32], struct bytes sig)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);

	assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
	bool good = EVP_PKEY_verify(ctx, sig.data, sig.len, digest, 32) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

static void add_integer(struct buf *out, const BIGNUM *v)
{
	uint8_t b[40] = { 0 };
	int n = BN_bn2bin(v, b + 1);

	der_add(out, DER_INTEGER,
		n == 0 || b[1] & 0x80 ? BYTES(b, (size_t)n + 1) : BYTES(b + 1, (size_t)n));
}

static void encode(struct buf *out, const BIGNUM *r, const BIGNUM *s)
{
	AUTO_BUF struct buf both = BUF_INIT(200);

	add_integer(&both, r);
	add_integer(&both, s);
	buf_clear(out);
	der_add(out, DER_SEQUENCE, buf_bytes(&both));
}

static bool agree(const struct curve *c, const struct key *k, const uint8_t digest[32],
		  struct bytes sig)
{
	bool theirs = openssl_says(k, digest, sig);

	assert_int_equal(p256_verify(c->generator, k->table, digest, sig), theirs);
	return theirs;
}

/* The signature and digest that lead to u1 and u2 (not 0): r is the x of u1 G + u2 Q, s = r / u2,
 * e = u1 s.  True if it is one. */
static bool scalars(const struct curve *c, const struct key *k, const BIGNUM *u1, const BIGNUM *u2)
{
	BIGNUM *r = BN_new(), *s = BN_new(), *e = BN_new(), *sum = BN_new();
	EC_POINT *p = EC_POINT_new(c->group);
	AUTO_BUF struct buf sig = BUF_INIT(200);
	uint8_t digest[32];

	BN_mod_mul(sum, u2, k->d, c->n, c->ctx);
	BN_mod_add(sum, sum, u1, c->n, c->ctx);
	assert_int_equal(EC_POINT_mul(c->group, p, sum, NULL, NULL, c->ctx), 1);
	if (EC_POINT_is_at_infinity(c->group, p))
		BN_set_word(r, 12345);
	else
		EC_POINT_get_affine_coordinates(c->group, p, r, NULL, c->ctx);
	BN_nnmod(r, r, c->n, c->ctx);
	BN_mod_inverse(s, u2, c->n, c->ctx);
	BN_mod_mul(s, s, r, c->n, c->ctx);
	BN_mod_mul(e, s, u1, c->n, c->ctx);
	assert_int_equal(BN_bn2binpad(e, digest, 32), 32);
	encode(&sig, r, s);
	bool good = agree(c, k, digest, buf_bytes(&sig));
	assert_int_equal(good, !EC_POINT_is_at_infinity(c->group, p));
	digest[31] ^= 1;
	assert_false(agree(c, k, digest, buf_bytes(&sig)));
	EC_POINT_free(p);
	BN_free(r);
	BN_free(s);
	BN_free(e);
	BN_free(sum);
	return good;
}

/* 0 to 40, powers of 2 around the digits, what is near the order, and chance. */
static void pick(const struct curve *c, unsigned i, BIGNUM *out)
{
	if (i < 41) {
		BN_set_word(out, i);
	} else if (i < 61) {
		BN_set_word(out, 1);
		BN_lshift(out, out, (int)(i - 41) * 13 + 4);
		if (i % 2)
			BN_sub_word(out, 1);
	} else if (i < 81) {
		BN_copy(out, c->n);
		BN_sub_word(out, i - 60);
	} else {
		BN_rand_range(out, c->n);
	}
}

static void all_scalars(void **state)
{
	enum { PICKS = 86 };
	const struct curve *c = *state;
	BIGNUM *d = BN_new(), *u1 = BN_new(), *u2 = BN_new();
	const unsigned keys[] = { 1, 2, 16, 61, 85 }; /* 61: the order less 1 */

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		pick(c, keys[i], d);
		struct key k = key_new(c, d);
		unsigned bad = 0;
		for (unsigned a = 0; a < PICKS; a++) {
			pick(c, a, u1);
			for (unsigned b = 1; b < PICKS; b += 4 + (a % 5)) {
				pick(c, b, u2);
				bad += !scalars(c, &k, u1, u2);
			}
		}
		/* With 1, 2 and -1 some sums are nothing. */
		assert_true(keys[i] == 85 || bad > 0);
		key_free(&k);
	}
	BN_free(d);
	BN_free(u1);
	BN_free(u2);
}

/* r and s that are no scalars, and every other way to write a signature. */
static void strange_signatures(void **state)
{
	const struct curve *c = *state;
	BIGNUM *v = BN_new(), *r = BN_new(), *s = BN_new();
	AUTO_BUF struct buf sig = BUF_INIT(200);
	uint8_t digest[32] = { 1, 2, 3 };

	BN_rand_range(v, c->n);
	struct key k = key_new(c, v);
	for (unsigned i = 0; i < 9; i++) {
		for (unsigned j = 0; j < 9; j++) {
			BIGNUM *each[] = { r, s };
			const unsigned which[] = { i, j };
			for (int e = 0; e < 2; e++) {
				BN_copy(each[e], c->n);
				if (which[e] < 3)
					BN_set_word(each[e], which[e]);
				else if (which[e] < 6)
					BN_add_word(each[e], which[e] - 3);
				else
					BN_lshift(each[e], each[e], (int)which[e] - 5);
			}
			encode(&sig, r, s);
			assert_false(agree(c, &k, digest, buf_bytes(&sig)));
		}
	}
	/* A good one, with each byte changed in each bit, cut, and continued. */
	BN_set_word(r, 5);
	BN_rand_range(s, c->n);
	assert_true(scalars(c, &k, r, s));
	EVP_PKEY *mine = EVP_EC_gen("P-256");
	uint8_t good[80];
	size_t len = sizeof(good), n = 0;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, mine, NULL);
	assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
	assert_int_equal(EVP_PKEY_sign(ctx, good, &len, digest, 32), 1);
	EVP_PKEY_CTX_free(ctx);
	key_free(&k);
	k = (struct key){ .pkey = mine };
	assert_int_equal(
		EVP_PKEY_get_octet_string_param(mine, OSSL_PKEY_PARAM_PUB_KEY, k.point, 65, &n), 1);
	k.table = p256_table_new(k.point + 1, k.point + 33);
	assert_true(agree(c, &k, digest, BYTES(good, len)));
	for (size_t i = 0; i < 8 * len; i++) {
		good[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(agree(c, &k, digest, BYTES(good, len)));
		good[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < len; i++)
		assert_false(agree(c, &k, digest, BYTES(good, i)));
	good[len] = 0;
	assert_false(agree(c, &k, digest, BYTES(good, len + 1)));
	/* Longer than it need be: BER, not DER. */
	uint8_t longer[90] = { 0x30, 0x81, good[1] };
	memcpy(longer + 3, good + 2, len - 2);
	assert_false(agree(c, &k, digest, BYTES(longer, len + 1)));
	uint8_t padded[90] = { 0x30, (uint8_t)(good[1] + 1), 2, (uint8_t)(good[3] + 1), 0 };
	memcpy(padded + 5, good + 4, len - 4);
	assert_false(agree(c, &k, digest, BYTES(padded, len + 1)));
	key_free(&k);
	BN_free(v);
	BN_free(r);
	BN_free(s);
}

static void points_off_the_curve(void **state)
{
	const struct curve *c = *state;
	BIGNUM *d = BN_new();
	uint8_t high[32];

	BN_set_word(d, 7);
	struct key k = key_new(c, d);
	k.point[64] ^= 1;
	assert_null(p256_table_new(k.point + 1, k.point + 33));
	k.point[64] ^= 1;
	memset(high, 0xff, sizeof(high));
	assert_null(p256_table_new(high, k.point + 33));
	assert_null(p256_table_new(k.point + 1, high));
	memset(high, 0, sizeof(high));
	assert_null(p256_table_new(high, high));
	key_free(&k);
	BN_free(d);
}

/* A key that has verified much goes on verifying the same. */
static void a_key_in_much_use(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf spki = BUF_INIT(200), sig = BUF_INIT(200);
	struct private_key *key = NULL;
	struct public_key *public = NULL;
	uint8_t text[2];
	struct bytes message = BYTES_OF(text);

	call_init(&call);
	assert_int_equal(private_key_generate(&call, &key), OK);
	assert_int_equal(private_key_public_der(&call, key, &spki), OK);
	assert_int_equal(public_key_from_der(&call, buf_bytes(&spki), &public), OK);
	for (unsigned i = 0; i < 1500; i++) {
		text[0] = (uint8_t)i;
		text[1] = (uint8_t)(i >> 8);
		buf_clear(&sig);
		assert_int_equal(private_key_sign(&call, key, message, &sig), OK);
		assert_int_equal(public_key_verify(&call, public, message, buf_bytes(&sig)), OK);
		text[1] ^= 0x80;
		assert_int_equal(public_key_verify(&call, public, message, buf_bytes(&sig)),
				 ERR_CRYPTO);
	}
	public_key_free(public);
	private_key_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_scalars, begin, end),
		cmocka_unit_test_setup_teardown(strange_signatures, begin, end),
		cmocka_unit_test_setup_teardown(points_off_the_curve, begin, end),
		cmocka_unit_test_setup_teardown(a_key_in_much_use, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
