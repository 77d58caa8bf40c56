/* Points one after another, brought to affine form in batches: one inversion for all of a batch. */
#define OPENSSL_SUPPRESS_DEPRECATED /* EC_POINTs_make_affine has no successor */
#include "crypto/key_search.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/sign_internal.h"

enum { BATCH = 256 };

struct key_search {
	EC_GROUP *group;
	BN_CTX *ctx;
	BIGNUM *first; /* secret: the scalar of points[0] */
	EC_POINT *points[BATCH];
	unsigned given; /* of this batch */
	uint8_t spki[P256_SPKI_BYTES];
};

static enum err fail(struct call *call, const char *what)
{
	ERR_clear_error();
	return call_fail(call, ERR_INTERNAL, "cannot %s", what);
}

/* The points that follow points[0]. */
static bool fill(struct key_search *s)
{
	const EC_POINT *one = EC_GROUP_get0_generator(s->group);

	for (unsigned i = 1; i < BATCH; i++)
		if (!EC_POINT_add(s->group, s->points[i], s->points[i - 1], one, s->ctx))
			return false;
	s->given = 0;
	return EC_POINTs_make_affine(s->group, BATCH, s->points, s->ctx);
}

static bool start(struct key_search *s)
{
	s->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	s->ctx = BN_CTX_secure_new();
	s->first = BN_secure_new();
	if (!s->group || !s->ctx || !s->first)
		return false;
	for (unsigned i = 0; i < BATCH; i++)
		if (!(s->points[i] = EC_POINT_new(s->group)))
			return false;
	/* Zero has no point; it comes out as such and is refused below, never in practice. */
	BN_set_flags(s->first, BN_FLG_CONSTTIME);
	return BN_priv_rand_range(s->first, EC_GROUP_get0_order(s->group)) &&
	       EC_POINT_mul(s->group, s->points[0], s->first, NULL, NULL, s->ctx) && fill(s);
}

enum err key_search_new(struct call *call, struct key_search **ret)
{
	struct key_search *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	memcpy(s->spki, p256_spki_head, sizeof(p256_spki_head));
	if (!start(s)) {
		key_search_free(s);
		return fail(call, "start a search for keys");
	}
	*ret = s;
	return OK;
}

void key_search_free(struct key_search *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < BATCH; i++)
		EC_POINT_free(s->points[i]);
	BN_clear_free(s->first);
	BN_CTX_free(s->ctx);
	EC_GROUP_free(s->group);
	free(s);
}

/* The batch behind this one: its first point follows the last. */
static bool next_batch(struct key_search *s)
{
	return EC_POINT_add(s->group, s->points[0], s->points[BATCH - 1],
			    EC_GROUP_get0_generator(s->group), s->ctx) &&
	       BN_add_word(s->first, BATCH) &&
	       (BN_cmp(s->first, EC_GROUP_get0_order(s->group)) < 0 ||
		BN_sub(s->first, s->first, EC_GROUP_get0_order(s->group))) &&
	       fill(s);
}

enum err key_search_next(struct call *call, struct key_search *s, struct bytes *ret_spki)
{
	uint8_t *point = s->spki + sizeof(p256_spki_head);

	if (s->given == BATCH && !next_batch(s))
		return fail(call, "go on searching for keys");
	if (EC_POINT_point2oct(s->group, s->points[s->given], POINT_CONVERSION_UNCOMPRESSED, point,
			       P256_POINT_BYTES, s->ctx) != P256_POINT_BYTES)
		return fail(call, "go on searching for keys");
	s->given++;
	*ret_spki = BYTES_OF(s->spki);
	return OK;
}

enum err key_search_key(struct call *call, const struct key_search *s, struct private_key **ret)
{
	BIGNUM *scalar = BN_secure_new();
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;
	const BIGNUM *order = EC_GROUP_get0_order(s->group);
	bool ok = s->given && scalar && build && ctx && BN_copy(scalar, s->first) &&
		  BN_add_word(scalar, s->given - 1) &&
		  (BN_cmp(scalar, order) < 0 || BN_sub(scalar, scalar, order)) &&
		  OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME,
						  SN_X9_62_prime256v1, 0) &&
		  OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY,
						   s->spki + sizeof(p256_spki_head),
						   P256_POINT_BYTES) &&
		  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) &&
		  (params = OSSL_PARAM_BLD_to_param(build)) != NULL &&
		  EVP_PKEY_fromdata_init(ctx) == 1 &&
		  EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) == 1;

	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_clear_free(scalar);
	enum err e = ok ? private_key_wrap(call, &pkey, ret) : fail(call, "make the key found");
	EVP_PKEY_free(pkey);
	return e;
}
