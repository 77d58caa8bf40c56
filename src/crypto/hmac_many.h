/*
 * HMAC-SHA512 of many short messages: the first half of each result, side by side in the lanes of
 * the processor's vectors.  For what is derived by the million; one alone is hash.h's business.
 */
#ifndef ACRE_CRYPTO_HMAC_MANY_H
#define ACRE_CRYPTO_HMAC_MANY_H

#include "base/bytes.h"

enum {
	HMAC_MANY_LANES = 8, /* counts that are multiples of it waste nothing */
	HMAC_MANY_KEY_MAX = 128,
	HMAC_MANY_MESSAGE_MAX = 111, /* of one block */
	HMAC_MANY_BYTES = 32,
};

/* A key made ready; as secret as the key. */
struct hmac_many_key {
	uint64_t inner[8], outer[8];
};
/* Keys of at most HMAC_MANY_KEY_MAX bytes. */
void hmac_many_keys(const struct bytes keys[], size_t count, struct hmac_many_key *ret);

struct hmac_many {
	const struct hmac_many_key *key;
	struct bytes message;
};
void hmac_many(const struct hmac_many *jobs, size_t count, uint8_t (*ret)[HMAC_MANY_BYTES]);

#endif
