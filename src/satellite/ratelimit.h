/*
 * Rates per key: a token bucket for each of many keys in bounded memory.  When the table is full,
 * the key that has waited longest is forgotten (its bucket would be the fullest anyway).
 */
#ifndef ACRE_SATELLITE_RATELIMIT_H
#define ACRE_SATELLITE_RATELIMIT_H

#include "base/bytes.h"

struct rate_limiter;

/* Room for about `keys` keys; NULL without memory. */
struct rate_limiter *rate_limiter_new(size_t keys);
void rate_limiter_free(struct rate_limiter *r);
/* Takes a token of `key`: one comes back every interval_ns, `burst` (at least 1) at most lie there.
 * interval_ns 0 = no limit.  now_ns is monotonic. */
bool rate_limiter_take(struct rate_limiter *r, struct bytes key, int64_t interval_ns,
		       uint64_t burst, int64_t now_ns);
/* Gives the last token back, when what it was taken for did not happen. */
void rate_limiter_give_back(struct rate_limiter *r, struct bytes key, int64_t interval_ns);

#endif
