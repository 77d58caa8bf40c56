/*
 * Authenticated encryption.  AES-256-GCM with 12-byte nonces and the 16-byte tag behind, no
 * additional data; SecretBox (XSalsa20-Poly1305) with 24-byte nonces and the tag in front
 * (encryption.md 1).  A struct aead keeps the expanded key; only the nonce is set per message.
 */
#ifndef ACRE_CRYPTO_AEAD_H
#define ACRE_CRYPTO_AEAD_H

#include "base/bytes.h"
#include "crypto/secret.h"

enum { AEAD_NONCE_BYTES = 12, AEAD_TAG_BYTES = 16, SECRETBOX_NONCE_BYTES = 24 };

struct aead;

/* One direction per object, not thread safe.  NULL without memory. */
struct aead *aead_new(const struct secret_key *key, bool seal);
void aead_free(struct aead *a);
/* out has plain.len + AEAD_TAG_BYTES; may not overlap plain unless equal. */
enum err aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes plain,
		   uint8_t *out) MUST_USE;
/* out has sealed.len - AEAD_TAG_BYTES.  ERR_CRYPTO when it does not authenticate (out is wiped). */
enum err aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes sealed,
		   uint8_t *out) MUST_USE;
enum err secretbox_seal(const struct secret_key *key, const uint8_t nonce[SECRETBOX_NONCE_BYTES],
			struct bytes plain, uint8_t *out) MUST_USE;
enum err secretbox_open(const struct secret_key *key, const uint8_t nonce[SECRETBOX_NONCE_BYTES],
			struct bytes sealed, uint8_t *out) MUST_USE;

#endif
