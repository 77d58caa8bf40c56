/* Key derivation from passphrases: Argon2id version 0x13 (access.md 3.1). */
#ifndef ACRE_CRYPTO_KDF_H
#define ACRE_CRYPTO_KDF_H

#include "base/bytes.h"
#include "base/call.h"
#include "crypto/secret.h"

/* 1 iteration, 65,536 KiB, `lanes` lanes (part of the result, not of the machine). */
enum err kdf_argon2id(struct call *call, struct bytes passphrase, struct bytes salt, uint32_t lanes,
		      struct secret_key *ret) MUST_USE;

#endif
