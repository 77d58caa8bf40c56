/*
 * ECDSA and RSA-PSS over OpenSSL.  Public keys are taken apart here and handed over as numbers:
 * OpenSSL 3.0's own decoder is ten times slower, and knows curves and key types that Storj's peers
 * refuse.
 */
#include "crypto/sign.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/algorithms.h"
#include "crypto/der.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/sign_internal.h"

/* The exponent's limit is Go's; a long one would make verification as slow as signing. */
enum { RSA_BITS_MIN = 1024, RSA_BITS_MAX = 8192, RSA_EXPONENT_BITS_MAX = 31, PEM_MAX = 64 << 10 };

struct private_key {
	EVP_PKEY *pkey; /* P-256, its point uncompressed */
};

struct public_key {
	EVP_PKEY *pkey;
	bool rsa;
};

DEFINE_AUTO_PTR(EVP_PKEY, pkey_auto, EVP_PKEY_free)
DEFINE_AUTO_PTR(EVP_PKEY_CTX, pkey_ctx_auto, EVP_PKEY_CTX_free)
DEFINE_AUTO_PTR(BIO, bio_auto, BIO_free_all)
DEFINE_AUTO_PTR(PKCS8_PRIV_KEY_INFO, pkcs8_auto, PKCS8_PRIV_KEY_INFO_free)

/* As call_fail, and leaves none of OpenSSL's own errors in the thread's queue, where the next TLS
 * call would find them. */
static enum err openssl_fail(struct call *call, enum err e, const char *text)
{
	ERR_clear_error();
	return call_fail(call, e, "%s", text);
}

enum err private_key_wrap(struct call *call, EVP_PKEY **pkey, struct private_key **ret)
{
	/* A file may hold the point compressed; node IDs are made of the long form. */
	if (EVP_PKEY_set_utf8_string_param(*pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
					   OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1)
		return openssl_fail(call, ERR_INTERNAL, "cannot set the form of a key");
	struct private_key *k = malloc(sizeof(*k));
	if (!k)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	k->pkey = take(pkey);
	*ret = k;
	return OK;
}

enum err private_key_generate(struct call *call, struct private_key **ret)
{
	AUTO(pkey_auto) EVP_PKEY *pkey = EVP_EC_gen(SN_X9_62_prime256v1);

	if (!pkey)
		return openssl_fail(call, ERR_INTERNAL, "cannot generate a P-256 key");
	return private_key_wrap(call, &pkey, ret);
}

/* The decoded block: PKCS#8 or SEC1. */
static EVP_PKEY *private_from_der(const char *label, const uint8_t *der, long len)
{
	if (strcmp(label, PEM_STRING_PKCS8INF) == 0) {
		AUTO(pkcs8_auto) PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &der, len);
		return p8 ? EVP_PKCS82PKEY(p8) : NULL;
	}
	return d2i_PrivateKey(EVP_PKEY_EC, NULL, &der, len);
}

static bool is_p256(const EVP_PKEY *pkey)
{
	char group[32] = "";

	return EVP_PKEY_is_a(pkey, "EC") &&
	       EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
	       strcmp(group, SN_X9_62_prime256v1) == 0;
}

enum err private_key_from_pem(struct call *call, struct bytes pem, struct private_key **ret)
{
	if (pem.len == 0 || pem.len > PEM_MAX)
		return call_fail(call, ERR_FORMAT, "the key file is empty or too long");
	AUTO(bio_auto) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	if (!bio)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	char *label = NULL, *header = NULL;
	uint8_t *der = NULL;
	long len = 0;
	if (PEM_read_bio(bio, &label, &header, &der, &len) != 1)
		return openssl_fail(call, ERR_FORMAT, "the key is not in PEM form");
	bool known = strcmp(label, PEM_STRING_PKCS8INF) == 0 ||
		     strcmp(label, PEM_STRING_ECPRIVATEKEY) == 0;
	bool plain = header[0] == 0;
	AUTO(pkey_auto) EVP_PKEY *pkey = known && plain ? private_from_der(label, der, len) : NULL;
	enum err e = OK;
	if (!known || !plain)
		e = call_fail(call, ERR_FORMAT,
			      "PEM block \"%.40s\"%s is no key of ours (want an "
			      "unencrypted PRIVATE KEY or EC PRIVATE KEY)",
			      label, plain ? "" : " (encrypted)");
	else if (!pkey)
		e = openssl_fail(call, ERR_FORMAT, "the private key is damaged");
	else if (!is_p256(pkey))
		e = call_fail(call, ERR_FORMAT, "the private key is not on the curve P-256");
	OPENSSL_free(label);
	OPENSSL_free(header);
	OPENSSL_clear_free(der, (size_t)len);
	return e ? e : private_key_wrap(call, &pkey, ret);
}

enum err private_key_to_pem(struct call *call, const struct private_key *k, struct buf *out)
{
	AUTO(bio_auto) BIO *bio = BIO_new(BIO_s_secmem());
	AUTO(pkcs8_auto) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(k->pkey);
	char *data = NULL;

	if (!bio || !p8 || PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, p8) != 1)
		return openssl_fail(call, ERR_INTERNAL, "cannot write the private key");
	long len = BIO_get_mem_data(bio, &data);
	buf_add(out, data, len > 0 ? (size_t)len : 0);
	secret_wipe(data, len > 0 ? (size_t)len : 0);
	return buf_status(out);
}

enum err private_key_to_der(struct call *call, const struct private_key *k, struct buf *out)
{
	AUTO(pkcs8_auto) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(k->pkey);
	unsigned char *data = NULL;
	int len = p8 ? i2d_PKCS8_PRIV_KEY_INFO(p8, &data) : -1;

	if (len <= 0)
		return openssl_fail(call, ERR_INTERNAL, "cannot write the private key");
	buf_add(out, data, (size_t)len);
	OPENSSL_clear_free(data, (size_t)len);
	return buf_status(out);
}

void private_key_free(struct private_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey); /* wipes the number */
	free(k);
}

enum err private_key_public_der(struct call *call, const struct private_key *k, struct buf *out)
{
	uint8_t point[P256_POINT_BYTES];
	size_t len = 0;

	/* By hand: OpenSSL 3.0's encoder takes longer than three signatures. */
	if (EVP_PKEY_get_octet_string_param(k->pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
					    &len) != 1 ||
	    len != sizeof(point))
		return openssl_fail(call, ERR_INTERNAL, "cannot write the public key");
	buf_add(out, p256_spki_head, sizeof(p256_spki_head));
	buf_add(out, point, len);
	return buf_status(out);
}

enum err private_key_sign(struct call *call, const struct private_key *k, struct bytes message,
			  struct buf *out)
{
	AUTO(pkey_ctx_auto) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	uint8_t digest[HASH_BYTES], signature[SIGNATURE_MAX];
	size_t len = sizeof(signature);

	hash_sha256(message, digest);
	if (!ctx || EVP_PKEY_sign_init(ctx) != 1 ||
	    EVP_PKEY_sign(ctx, signature, &len, digest, sizeof(digest)) != 1)
		return openssl_fail(call, ERR_INTERNAL, "cannot sign");
	buf_add(out, signature, len);
	return buf_status(out);
}

/* What SubjectPublicKeyInfo says. */
struct spki {
	struct bytes algorithm; /* object identifiers, content only */
	struct bytes curve;
	struct bytes key;
	bool null_parameters;
};

static bool spki_parse(struct bytes der, struct spki *ret)
{
	struct spki s = { 0 };
	struct bytes none;
	struct wire outer = wire_read(der);
	struct wire w = wire_read(der_take(&outer, DER_SEQUENCE, NULL));
	struct wire alg = wire_read(der_take(&w, DER_SEQUENCE, NULL));

	s.algorithm = der_take(&alg, DER_OID, NULL);
	if (!der_take_optional(&alg, DER_OID, &s.curve))
		s.null_parameters = der_take_optional(&alg, DER_NULL, &none) && none.len == 0;
	s.key = der_take_bits(&w);
	*ret = s;
	return wire_ok(&outer) && wire_ok(&w) && wire_ok(&alg) && !wire_left(&outer) &&
	       !wire_left(&w) && !wire_left(&alg);
}

/* The curves Storj's Go peers parse. */
static const char *curve_name(struct bytes oid, size_t *ret_point_bytes)
{
	static const struct {
		struct bytes oid;
		const char *name;
		size_t point_bytes; /* uncompressed */
	} curves[] = {
		{ BYTES("\x2a\x86\x48\xce\x3d\x03\x01\x07", 8), "prime256v1", 65 },
		{ BYTES("\x2b\x81\x04\x00\x22", 5), "secp384r1", 97 },
		{ BYTES("\x2b\x81\x04\x00\x23", 5), "secp521r1", 133 },
		{ BYTES("\x2b\x81\x04\x00\x21", 5), "secp224r1", 57 },
	};

	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		if (bytes_equal(oid, curves[i].oid)) {
			*ret_point_bytes = curves[i].point_bytes;
			return curves[i].name;
		}
	}
	return NULL;
}

static EVP_PKEY *ec_public(const char *curve, struct bytes point)
{
	AUTO(pkey_ctx_auto) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
						 (char *)(uintptr_t)curve, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
						  (void *)(uintptr_t)point.data, point.len),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *pkey = NULL;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL; /* also when the point is not on the curve */
	return pkey;
}

static EVP_PKEY *rsa_public(struct bytes spki)
{
	const uint8_t *at = spki.data;
	AUTO(pkey_auto) EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.len);

	if (!pkey || at != spki.data + spki.len || !EVP_PKEY_is_a(pkey, "RSA"))
		return NULL;
	BIGNUM *exponent = NULL;
	int bits = EVP_PKEY_get_bits(pkey);
	bool fine = bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX &&
		    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
		    BN_num_bits(exponent) >= 2 && BN_num_bits(exponent) <= RSA_EXPONENT_BITS_MAX;
	BN_free(exponent);
	return fine ? take(&pkey) : NULL;
}

enum err public_key_from_der(struct call *call, struct bytes spki, struct public_key **ret)
{
	static const struct bytes id_ec = BYTES("\x2a\x86\x48\xce\x3d\x02\x01", 7);
	static const struct bytes id_rsa = BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 9);
	AUTO(pkey_auto) EVP_PKEY *pkey = NULL;
	struct spki s;
	size_t point_bytes = 0;
	bool rsa = false;

	if (spki.len > PRIVATE_KEY_DER_MAX || !spki_parse(spki, &s))
		return call_fail(call, ERR_FORMAT, "the public key is malformed");
	if (bytes_equal(s.algorithm, id_ec)) {
		const char *curve = curve_name(s.curve, &point_bytes);
		if (!curve)
			return call_fail(call, ERR_FORMAT, "the public key is on an unknown curve");
		if (s.key.len == point_bytes && s.key.data[0] == POINT_CONVERSION_UNCOMPRESSED)
			pkey = ec_public(curve, s.key);
	} else if (bytes_equal(s.algorithm, id_rsa) && s.null_parameters) {
		rsa = true;
		pkey = rsa_public(spki);
	} else {
		return call_fail(call, ERR_FORMAT, "the public key is neither ECDSA nor RSA");
	}
	if (!pkey)
		return openssl_fail(call, ERR_FORMAT, "the public key is not valid");
	struct public_key *k = malloc(sizeof(*k));
	if (!k)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*k = (struct public_key){ take(&pkey), rsa };
	*ret = k;
	return OK;
}

void public_key_free(struct public_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

static bool use_pss(EVP_PKEY_CTX *ctx)
{
	const struct algorithms *alg = algorithms();

	return alg && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_signature_md(ctx, alg->sha256) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_AUTO) == 1;
}

enum err public_key_verify(struct call *call, const struct public_key *k, struct bytes message,
			   struct bytes signature)
{
	AUTO(pkey_ctx_auto) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	uint8_t digest[HASH_BYTES];

	if (!ctx || EVP_PKEY_verify_init(ctx) != 1 || (k->rsa && !use_pss(ctx)))
		return openssl_fail(call, ERR_INTERNAL, "cannot set up signature verification");
	hash_sha256(message, digest);
	if (EVP_PKEY_verify(ctx, signature.data, signature.len, digest, sizeof(digest)) != 1)
		return openssl_fail(call, ERR_CRYPTO, "the signature does not match");
	return OK;
}
