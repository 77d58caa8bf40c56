/*
 * Authenticated encryption.  AES-256-GCM and ChaCha20-Poly1305 with 12-byte nonces and the 16-byte
 * tag behind; SecretBox (XSalsa20-Poly1305) with 24-byte nonces and the tag in front
 * (encryption.md 1).  A struct aead keeps the expanded key; only the nonce is set per message.
 */
#ifndef ACRE_CRYPTO_AEAD_H
#define ACRE_CRYPTO_AEAD_H

#include "base/bytes.h"
#include "crypto/secret.h"

enum { AEAD_NONCE_BYTES = 12, AEAD_TAG_BYTES = 16, SECRETBOX_NONCE_BYTES = 24 };

struct aead;

enum aead_algorithm { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };

/* Whether this processor has instructions for AES-GCM (then it is the faster of the two). */
bool aead_aes_is_fast(void);
/* One direction per object, not thread safe.  NULL without memory. */
struct aead *aead_new_with(enum aead_algorithm algorithm, const struct secret_key *key, bool seal);
/* The same for AES-256-GCM. */
struct aead *aead_new(const struct secret_key *key, bool seal);
void aead_free(struct aead *a);
/* out has plain.len + AEAD_TAG_BYTES; may not overlap plain unless equal. */
enum err aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes plain,
		   uint8_t *out) MUST_USE;
/* out has sealed.len - AEAD_TAG_BYTES.  ERR_CRYPTO when it does not authenticate (out is wiped). */
enum err aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes sealed,
		   uint8_t *out) MUST_USE;
/* The same with additional data, which is authenticated and not sent. */
enum err aead_seal_ad(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes ad,
		      struct bytes plain, uint8_t *out) MUST_USE;
enum err aead_open_ad(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes ad,
		      struct bytes sealed, uint8_t *out) MUST_USE;
enum err secretbox_seal(const struct secret_key *key, const uint8_t nonce[SECRETBOX_NONCE_BYTES],
			struct bytes plain, uint8_t *out) MUST_USE;
enum err secretbox_open(const struct secret_key *key, const uint8_t nonce[SECRETBOX_NONCE_BYTES],
			struct bytes sealed, uint8_t *out) MUST_USE;

#endif
