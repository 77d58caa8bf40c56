/* Between the files that make keys. */
#ifndef ACRE_CRYPTO_SIGN_INTERNAL_H
#define ACRE_CRYPTO_SIGN_INTERNAL_H

#include <openssl/evp.h>

#include "crypto/sign.h"

enum { P256_POINT_BYTES = 65, P256_SPKI_BYTES = 91 };

/* SubjectPublicKeyInfo of a P-256 key up to the uncompressed point. */
static const uint8_t p256_spki_head[P256_SPKI_BYTES - P256_POINT_BYTES] = {
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
	0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
};

/* Takes *pkey over (and clears it) on success. */
enum err private_key_wrap(struct call *call, EVP_PKEY **pkey, struct private_key **ret) MUST_USE;

#endif
