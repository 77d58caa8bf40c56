/* XXH3, 64 bits, seed 0: a checksum against accidents, no protection against anybody. */
#ifndef ACRE_CRYPTO_XXH3_H
#define ACRE_CRYPTO_XXH3_H

#include "base/bytes.h"

uint64_t xxh3_64(struct bytes v);

#endif
