/* X25519 (RFC 7748).  Private keys are any 32 bytes, clamped when used. */
#ifndef ACRE_CRYPTO_X25519_H
#define ACRE_CRYPTO_X25519_H

#include "base/bytes.h"
#include "crypto/secret.h"

enum { X25519_BYTES = 32 };

enum err x25519_public(const struct secret_key *k, uint8_t ret_public[X25519_BYTES]) MUST_USE;
/* The shared secret with the owner of `peer`.  ERR_CRYPTO when it is zero: the peer's key is a
 * point of low order. */
enum err x25519_shared(const struct secret_key *k, const uint8_t peer[X25519_BYTES],
		       struct secret_key *ret) MUST_USE;

#endif
