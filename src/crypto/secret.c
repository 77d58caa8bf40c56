/* Wiping, comparing and keeping secrets. */
#include "crypto/secret.h"

#include <sodium.h>

#include "crypto/algorithms.h"

void secret_wipe(void *p, size_t len)
{
	if (len)
		sodium_memzero(p, len);
}

void secret_key_wipe(struct secret_key *key)
{
	secret_wipe(key, sizeof(*key));
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

bool secret_key_is_zero(const struct secret_key *key)
{
	return sodium_is_zero(key->b, sizeof(key->b));
}

void *secret_alloc(size_t len)
{
	/* Guard pages around it; locked as far as RLIMIT_MEMLOCK lets it be. */
	return algorithms() ? sodium_malloc(len) : NULL;
}

void secret_free(void *p)
{
	sodium_free(p);
}
