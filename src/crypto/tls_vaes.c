/* A provider for OpenSSL 3 with one cipher. */
#include "crypto/tls_vaes.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/secret.h"

enum { TLS_KEY_BYTES = 16, NONCE_BYTES = 12, AD_MAX = 64, TAG_BYTES = GCM_VAES_TAG_BYTES };

struct cipher {
	const struct gcm_vaes *gcm;
	struct gcm_vaes_key *key;
	bool sealing;
	/* Of one message: */
	uint8_t nonce[NONCE_BYTES], ad[AD_MAX], tag[TAG_BYTES];
	size_t ad_len;
	bool has_nonce, has_tag, good;
};

static void *cipher_new(void *provider)
{
	struct cipher *c = calloc(1, sizeof(*c));

	if (c)
		c->gcm = provider;
	return c;
}

static void cipher_free(void *ctx)
{
	struct cipher *c = ctx;

	if (c)
		gcm_vaes_key_free(c->key);
	free(c);
}

static int set_params(void *ctx, const OSSL_PARAM params[])
{
	struct cipher *c = ctx;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_IVLEN);
	size_t len = 0;

	if (p && (!OSSL_PARAM_get_size_t(p, &len) || len != NONCE_BYTES))
		return 0;
	p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_KEYLEN);
	if (p && (!OSSL_PARAM_get_size_t(p, &len) || len != TLS_KEY_BYTES))
		return 0;
	if (OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD) ||
	    OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED))
		return 0; /* of TLS 1.2 */
	p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TAG);
	if (!p)
		return 1;
	if (c->sealing || p->data_size != TAG_BYTES || !p->data)
		return 0;
	memcpy(c->tag, p->data, TAG_BYTES);
	c->has_tag = true;
	return 1;
}

static int init(struct cipher *c, bool sealing, struct bytes key, struct bytes nonce,
		const OSSL_PARAM params[])
{
	c->sealing = sealing;
	c->ad_len = 0;
	c->has_tag = c->good = false;
	if (key.data) {
		gcm_vaes_key_free(c->key);
		c->key = key.len == TLS_KEY_BYTES ? gcm_vaes_key_new(c->gcm, key) : NULL;
		c->has_nonce = false;
		if (!c->key)
			return 0;
	}
	if (nonce.data) {
		if (nonce.len != NONCE_BYTES)
			return 0;
		memcpy(c->nonce, nonce.data, NONCE_BYTES);
		c->has_nonce = true;
	}
	return params ? set_params(c, params) : 1;
}

static int seal_init(void *ctx, const unsigned char *key, size_t key_len,
		     const unsigned char *nonce, size_t nonce_len, const OSSL_PARAM params[])
{
	return init(ctx, true, BYTES(key, key_len), BYTES(nonce, nonce_len), params);
}

static int open_init(void *ctx, const unsigned char *key, size_t key_len,
		     const unsigned char *nonce, size_t nonce_len, const OSSL_PARAM params[])
{
	return init(ctx, false, BYTES(key, key_len), BYTES(nonce, nonce_len), params);
}

/* Without `out` it is additional data.  A nonce serves once. */
static int update(void *ctx, unsigned char *out, size_t *ret_len, size_t cap,
		  const unsigned char *in, size_t len)
{
	struct cipher *c = ctx;
	uint8_t tag[TAG_BYTES];

	if (!c->key || !c->has_nonce)
		return 0;
	if (!out) {
		if (len > AD_MAX - c->ad_len)
			return 0;
		memcpy(c->ad + c->ad_len, in, len);
		c->ad_len += len;
		*ret_len = len;
		return 1;
	}
	if (cap < len || (!c->sealing && !c->has_tag))
		return 0;
	struct bytes ad = BYTES(c->ad, c->ad_len);
	c->has_nonce = false;
	if (c->sealing) {
		gcm_vaes_seal_apart(c->key, c->nonce, ad, BYTES(in, len), out, c->tag);
		c->good = c->has_tag = true;
	} else {
		gcm_vaes_open_apart(c->key, c->nonce, ad, BYTES(in, len), out, tag);
		c->good = secret_equal(tag, c->tag, TAG_BYTES);
		if (!c->good)
			secret_wipe(out, len);
	}
	*ret_len = c->good ? len : 0;
	return c->good;
}

static int final(void *ctx, unsigned char *out, size_t *ret_len, size_t cap)
{
	const struct cipher *c = ctx;

	(void)out;
	(void)cap;
	*ret_len = 0;
	return c->good;
}

static int get_ctx_params(void *ctx, OSSL_PARAM params[])
{
	struct cipher *c = ctx;
	OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_KEYLEN);

	if (p && !OSSL_PARAM_set_size_t(p, TLS_KEY_BYTES))
		return 0;
	p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_IVLEN);
	if (p && !OSSL_PARAM_set_size_t(p, NONCE_BYTES))
		return 0;
	p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_AEAD_TAG);
	return !p || (c->sealing && c->good && p->data_size == TAG_BYTES &&
		      OSSL_PARAM_set_octet_string(p, c->tag, TAG_BYTES));
}

static int get_params(OSSL_PARAM params[])
{
	static const struct {
		const char *name;
		unsigned value;
	} constants[] = {
		{ OSSL_CIPHER_PARAM_KEYLEN, TLS_KEY_BYTES },
		{ OSSL_CIPHER_PARAM_IVLEN, NONCE_BYTES },
		{ OSSL_CIPHER_PARAM_BLOCK_SIZE, 1 },
		{ OSSL_CIPHER_PARAM_AEAD, 1 },
		{ OSSL_CIPHER_PARAM_CUSTOM_IV, 1 },
		{ OSSL_CIPHER_PARAM_MODE, EVP_CIPH_GCM_MODE },
	};

	for (size_t i = 0; i < ARRAY_LEN(constants); i++) {
		OSSL_PARAM *p = OSSL_PARAM_locate(params, constants[i].name);
		if (p && !OSSL_PARAM_set_uint(p, constants[i].value))
			return 0;
	}
	return 1;
}

static const OSSL_PARAM *gettable(void *ctx, void *provider)
{
	static const OSSL_PARAM known[] = {
		OSSL_PARAM_DEFN(OSSL_CIPHER_PARAM_KEYLEN, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
		OSSL_PARAM_DEFN(OSSL_CIPHER_PARAM_IVLEN, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
		OSSL_PARAM_DEFN(OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provider;
	return known;
}

static const OSSL_PARAM *settable(void *ctx, void *provider)
{
	static const OSSL_PARAM known[] = {
		OSSL_PARAM_DEFN(OSSL_CIPHER_PARAM_KEYLEN, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
		OSSL_PARAM_DEFN(OSSL_CIPHER_PARAM_AEAD_IVLEN, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
		OSSL_PARAM_DEFN(OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provider;
	return known;
}

#define FUNCTION(number, fn)                                                                       \
	{                                                                                          \
		OSSL_FUNC_CIPHER_##number, (void (*)(void))(fn)                                    \
	}
static const OSSL_DISPATCH cipher_functions[] = {
	FUNCTION(NEWCTX, cipher_new),
	FUNCTION(FREECTX, cipher_free),
	FUNCTION(ENCRYPT_INIT, seal_init),
	FUNCTION(DECRYPT_INIT, open_init),
	FUNCTION(UPDATE, update),
	FUNCTION(FINAL, final),
	FUNCTION(GET_PARAMS, get_params),
	FUNCTION(GET_CTX_PARAMS, get_ctx_params),
	FUNCTION(SET_CTX_PARAMS, set_params),
	FUNCTION(GETTABLE_CTX_PARAMS, gettable),
	FUNCTION(SETTABLE_CTX_PARAMS, settable),
	{ 0, NULL },
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM ciphers[] = {
		{ "AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", "provider=acre",
		  cipher_functions, "AES-128-GCM with VAES" },
		{ NULL, NULL, NULL, NULL },
	};

	(void)provider;
	*no_cache = 0;
	return operation == OSSL_OP_CIPHER ? ciphers : NULL;
}

static const struct gcm_vaes *library; /* set before the provider is loaded, once */

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
			 const OSSL_DISPATCH **out, void **ret_provider)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
		{ 0, NULL },
	};

	(void)handle;
	(void)in;
	*out = functions;
	*ret_provider = (void *)(uintptr_t)library;
	return 1;
}

OSSL_LIB_CTX *tls_vaes_context(const struct gcm_vaes *gcm)
{
	OSSL_LIB_CTX *ctx;

	if (OPENSSL_version_major() != 3 || OPENSSL_version_minor() != 0)
		return NULL;
	library = gcm;
	ctx = OSSL_LIB_CTX_new();
	if (ctx && OSSL_PROVIDER_add_builtin(ctx, "acre", provider_init) == 1 &&
	    OSSL_PROVIDER_load(ctx, "default") && OSSL_PROVIDER_load(ctx, "acre"))
		return ctx;
	OSSL_LIB_CTX_free(ctx);
	return NULL;
}
