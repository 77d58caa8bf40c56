/* AES-256-GCM and ChaCha20-Poly1305 over EVP with the key schedule kept, SecretBox over libsodium.
 */
#include "crypto/aead.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "base/cleanup.h"
#include "crypto/algorithms.h"
#include "crypto/gcm_vaes.h"

struct aead {
	struct gcm_vaes_key *key; /* NULL = ctx does it */
	EVP_CIPHER_CTX *ctx;
	bool seal;
};

bool aead_aes_is_fast(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
	unsigned long has = getauxval(AT_HWCAP);

	return (has & HWCAP_AES) && (has & HWCAP_PMULL);
#else
	return false;
#endif
}

struct aead *aead_new_with(enum aead_algorithm algorithm, const struct secret_key *key, bool seal)
{
	const struct algorithms *alg = algorithms();
	struct aead *a = alg ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return NULL;
	const EVP_CIPHER *cipher = algorithm == AEAD_AES_256_GCM ? alg->aes_256_gcm
								 : alg->chacha20_poly1305;
	a->seal = seal;
	if (algorithm == AEAD_AES_256_GCM && alg->gcm_vaes) {
		a->key = gcm_vaes_key_new(alg->gcm_vaes, BYTES_OF(key->b));
		if (!a->key)
			aead_free(take(&a));
		return a;
	}
	a->ctx = EVP_CIPHER_CTX_new();
	if (!a->ctx || EVP_CipherInit_ex2(a->ctx, cipher, key->b, NULL, seal, NULL) != 1) {
		aead_free(a);
		return NULL;
	}
	return a;
}

struct aead *aead_new(const struct secret_key *key, bool seal)
{
	return aead_new_with(AEAD_AES_256_GCM, key, seal);
}

void aead_free(struct aead *a)
{
	if (!a)
		return;
	gcm_vaes_key_free(a->key);
	EVP_CIPHER_CTX_free(a->ctx); /* wipes the key schedule */
	free(a);
}

enum err aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes plain,
		   uint8_t *out)
{
	return aead_seal_ad(a, nonce, BYTES_NONE, plain, out);
}

enum err aead_seal_ad(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes ad,
		      struct bytes plain, uint8_t *out)
{
	int n = 0;

	if (!a->seal || plain.len > INT_MAX - AEAD_TAG_BYTES || ad.len > INT_MAX)
		return ERR_INVALID;
	if (a->key) {
		gcm_vaes_seal(a->key, nonce, ad, plain, out);
		return OK;
	}
	if (EVP_EncryptInit_ex2(a->ctx, NULL, NULL, nonce, NULL) != 1)
		return ERR_INTERNAL;
	if (ad.len && EVP_EncryptUpdate(a->ctx, NULL, &n, ad.data, (int)ad.len) != 1)
		return ERR_INTERNAL;
	if (plain.len && EVP_EncryptUpdate(a->ctx, out, &n, plain.data, (int)plain.len) != 1)
		return ERR_INTERNAL;
	if (EVP_EncryptFinal_ex(a->ctx, out + plain.len, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, out + plain.len) !=
		    1)
		return ERR_INTERNAL;
	return OK;
}

enum err aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes sealed,
		   uint8_t *out)
{
	return aead_open_ad(a, nonce, BYTES_NONE, sealed, out);
}

enum err aead_open_ad(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes ad,
		      struct bytes sealed, uint8_t *out)
{
	uint8_t tag[AEAD_TAG_BYTES];
	int n = 0;

	if (a->seal || sealed.len > INT_MAX || ad.len > INT_MAX)
		return ERR_INVALID;
	if (sealed.len < AEAD_TAG_BYTES)
		return ERR_CRYPTO;
	size_t len = sealed.len - AEAD_TAG_BYTES;
	if (a->key) {
		enum err e = gcm_vaes_open(a->key, nonce, ad, sealed, out);
		if (e)
			secret_wipe(out, len);
		return e;
	}
	/* Copied first: out may be the input's place. */
	memcpy(tag, sealed.data + len, sizeof(tag));
	if (EVP_DecryptInit_ex2(a->ctx, NULL, NULL, nonce, NULL) != 1)
		return ERR_INTERNAL;
	if (ad.len && EVP_DecryptUpdate(a->ctx, NULL, &n, ad.data, (int)ad.len) != 1)
		return ERR_INTERNAL;
	if ((len && EVP_DecryptUpdate(a->ctx, out, &n, sealed.data, (int)len) != 1) ||
	    EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1 ||
	    EVP_DecryptFinal_ex(a->ctx, tag, &n) != 1) {
		secret_wipe(out, len);
		ERR_clear_error(); /* or the thread's next TLS call would find it */
		return ERR_CRYPTO;
	}
	return OK;
}

enum err secretbox_seal(const struct secret_key *key, const uint8_t nonce[SECRETBOX_NONCE_BYTES],
			struct bytes plain, uint8_t *out)
{
	if (!algorithms())
		return ERR_INTERNAL;
	if (plain.len > SIZE_MAX - AEAD_TAG_BYTES)
		return ERR_INVALID;
	return crypto_secretbox_easy(out, plain.data, plain.len, nonce, key->b) == 0 ? OK
										     : ERR_INTERNAL;
}

enum err secretbox_open(const struct secret_key *key, const uint8_t nonce[SECRETBOX_NONCE_BYTES],
			struct bytes sealed, uint8_t *out)
{
	if (!algorithms())
		return ERR_INTERNAL;
	if (sealed.len < AEAD_TAG_BYTES)
		return ERR_CRYPTO;
	if (crypto_secretbox_open_easy(out, sealed.data, sealed.len, nonce, key->b) != 0) {
		secret_wipe(out, sealed.len - AEAD_TAG_BYTES);
		return ERR_CRYPTO;
	}
	return OK;
}
