/* Argon2id over the reference library. */
#include "crypto/kdf.h"

#include <argon2.h>

enum { ITERATIONS = 1, MEMORY_KIB = 65536, PASSPHRASE_MAX = 1 << 20 };

enum err kdf_argon2id(struct call *call, struct bytes passphrase, struct bytes salt, uint32_t lanes,
		      struct secret_key *ret)
{
	struct secret_key key;

	if (passphrase.len > PASSPHRASE_MAX || salt.len > PASSPHRASE_MAX)
		return call_fail(call, ERR_INVALID, "passphrase or salt too long");
	/* One thread works through all lanes: the result is the same and threads belong to os/. */
	argon2_context c = {
		.out = key.b,
		.outlen = sizeof(key.b),
		.pwd = (uint8_t *)(uintptr_t)passphrase.data,
		.pwdlen = (uint32_t)passphrase.len,
		.salt = (uint8_t *)(uintptr_t)salt.data,
		.saltlen = (uint32_t)salt.len,
		.t_cost = ITERATIONS,
		.m_cost = MEMORY_KIB,
		.lanes = lanes,
		.threads = 1,
		.version = ARGON2_VERSION_13,
		.flags = ARGON2_DEFAULT_FLAGS,
	};
	int r = argon2_ctx(&c, Argon2_id);
	if (r == ARGON2_MEMORY_ALLOCATION_ERROR)
		return call_fail(call, ERR_NO_MEMORY,
				 "deriving a key from the passphrase needs %d MiB of memory",
				 MEMORY_KIB / 1024);
	if (r != ARGON2_OK)
		return call_fail(call, ERR_INVALID, "cannot derive a key from the passphrase: %s",
				 argon2_error_message(r));
	*ret = key;
	secret_key_wipe(&key);
	return OK;
}
