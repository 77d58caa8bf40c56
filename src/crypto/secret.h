/* Secrets: types of their own, wiped, compared in constant time. */
#ifndef ACRE_CRYPTO_SECRET_H
#define ACRE_CRYPTO_SECRET_H

#include "base/bytes.h"

enum { SECRET_KEY_BYTES = 32 };

/* A 32-byte symmetric key.  Wipe with secret_key_wipe; AUTO(secret_key_wipe) at scope end. */
struct secret_key {
	uint8_t b[SECRET_KEY_BYTES];
};

void secret_wipe(void *p, size_t len);
void secret_key_wipe(struct secret_key *key);
/* Constant time in len. */
bool secret_equal(const void *a, const void *b, size_t len);
bool secret_key_is_zero(const struct secret_key *key);
/* Memory that is locked against swapping where the limit allows and wiped when freed. NULL ok.
 * Aligned for a type of that size.  Costs pages of its own: for what lives long. */
void *secret_alloc(size_t len);
void secret_free(void *p);

#endif
