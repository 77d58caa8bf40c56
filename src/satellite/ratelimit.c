/*
 * A bucket is one number: the time at which it will be full again.  Taking a token moves that time
 * by one interval; the bucket is empty when it lies burst intervals ahead.
 */
#include "satellite/ratelimit.h"

#include <stdlib.h>

#include "base/num.h"
#include "os/lock.h"
#include "os/random.h"

enum { WAYS = 4 };

struct bucket_slot {
	uint64_t hash; /* 0 = free */
	int64_t full_at_ns;
};

struct rate_limiter {
	struct os_mutex lock;
	uint64_t seed;
	size_t sets;
	struct bucket_slot *slots; /* sets of WAYS */
};

struct rate_limiter *rate_limiter_new(size_t keys)
{
	struct rate_limiter *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->sets = keys / WAYS + 1;
	r->slots = calloc(r->sets * WAYS, sizeof(*r->slots));
	if (!r->slots) {
		free(r);
		return NULL;
	}
	os_random(&r->seed, sizeof(r->seed));
	return r;
}

void rate_limiter_free(struct rate_limiter *r)
{
	if (!r)
		return;
	os_mutex_fini(&r->lock);
	free(r->slots);
	free(r);
}

/* Seeded, so that nobody outside can aim keys at a set. */
static uint64_t hash_key(const struct rate_limiter *r, struct bytes key)
{
	uint64_t h = r->seed ^ key.len;
	size_t at = 0;

	for (; at + 8 <= key.len; at += 8) {
		h = (h ^ get_le64(key.data + at)) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	for (; at < key.len; at++)
		h = (h ^ key.data[at]) * UINT64_C(0xbf58476d1ce4e5b9);
	h ^= h >> 32;
	h *= UINT64_C(0x94d049bb133111eb);
	return (h ^ (h >> 29)) | 1;
}

/* The key's slot; with make, the one that is free or longest full if there is none. */
static struct bucket_slot *find(struct rate_limiter *r, uint64_t hash, bool make)
{
	struct bucket_slot *set = &r->slots[(hash >> 8) % r->sets * WAYS];
	struct bucket_slot *oldest = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
		if (set[i].hash == 0 || (oldest->hash && set[i].full_at_ns < oldest->full_at_ns))
			oldest = &set[i];
	}
	if (!make)
		return NULL;
	*oldest = (struct bucket_slot){ .hash = hash };
	return oldest;
}

bool rate_limiter_take(struct rate_limiter *r, struct bytes key, int64_t interval_ns,
		       uint64_t burst, int64_t now_ns)
{
	int64_t ahead;

	if (interval_ns <= 0)
		return true;
	/* Ahead of now by at most burst intervals. */
	if (__builtin_mul_overflow(interval_ns, (int64_t)MIN(MAX(burst, 1U), (uint64_t)INT32_MAX),
				   &ahead))
		return true;
	uint64_t hash = hash_key(r, key);
	OS_LOCKED(&r->lock);
	struct bucket_slot *s = find(r, hash, true);
	int64_t full_at = MAX(s->full_at_ns, now_ns);
	if (full_at - now_ns > ahead - interval_ns)
		return false;
	s->full_at_ns = full_at + interval_ns;
	return true;
}

void rate_limiter_give_back(struct rate_limiter *r, struct bytes key, int64_t interval_ns)
{
	uint64_t hash = hash_key(r, key);

	OS_LOCKED(&r->lock);
	struct bucket_slot *s = find(r, hash, false);
	if (s)
		s->full_at_ns -= interval_ns;
}
