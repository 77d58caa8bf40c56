/* X25519 over libsodium: no allocation, and faster than OpenSSL 3.0's way through EVP. */
#include "crypto/x25519.h"

#include <sodium.h>

#include "crypto/algorithms.h"

enum err x25519_public(const struct secret_key *k, uint8_t ret_public[X25519_BYTES])
{
	if (!algorithms() || crypto_scalarmult_base(ret_public, k->b) != 0)
		return ERR_INTERNAL;
	return OK;
}

enum err x25519_shared(const struct secret_key *k, const uint8_t peer[X25519_BYTES],
		       struct secret_key *ret)
{
	struct secret_key shared;

	if (!algorithms())
		return ERR_INTERNAL;
	if (crypto_scalarmult(shared.b, k->b, peer) != 0) {
		secret_key_wipe(&shared);
		return ERR_CRYPTO;
	}
	*ret = shared;
	secret_key_wipe(&shared);
	return OK;
}
