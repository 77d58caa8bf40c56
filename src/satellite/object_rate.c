/* Same-object rates: each slot keeps when its bucket would be full again. */
#include "satellite/object_rate.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "os/lock.h"
#include "os/random.h"

enum { RATE_SLOTS = 1 << 18, RATE_HASHES = 3 };

struct object_rate {
	struct os_mutex lock;
	int64_t interval_ns, burst_ns;
	uint8_t secret[16]; /* so that nobody can aim at another's slots */
	int64_t full_at[RATE_SLOTS];
};

struct object_rate *object_rate_new(int64_t interval_ns, uint64_t burst)
{
	struct object_rate *r = interval_ns > 0 ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return NULL;
	r->interval_ns = interval_ns;
	r->burst_ns = interval_ns * (int64_t)MIN(MAX(burst, 1u), 1000u);
	os_random(r->secret, sizeof(r->secret));
	return r;
}

void object_rate_free(struct object_rate *r)
{
	if (!r)
		return;
	os_mutex_fini(&r->lock);
	free(r);
}

static void slots_of(const struct object_rate *r, const struct project_id *project,
		     struct bytes bucket, struct bytes key, uint32_t slots[RATE_HASHES])
{
	AUTO_BUF struct buf b = BUF_INIT(8192);
	uint8_t hash[HASH_BYTES];

	buf_add(&b, project->b, sizeof(project->b));
	buf_add_bytes(&b, bucket);
	buf_add_byte(&b, '/');
	buf_add_bytes(&b, key);
	hmac_sha256(BYTES_OF(r->secret), buf_bytes(&b), hash);
	for (size_t i = 0; i < RATE_HASHES; i++)
		slots[i] = get_le32(hash + 4 * i) % RATE_SLOTS;
}

enum err object_rate_check(struct call *call, struct object_rate *r,
			   const struct project_id *project, struct bytes bucket, struct bytes key,
			   int64_t now_ns)
{
	uint32_t slots[RATE_HASHES];
	bool allowed = false;

	if (!r)
		return OK;
	slots_of(r, project, bucket, key, slots);
	OS_LOCKED(&r->lock);
	for (size_t i = 0; i < RATE_HASHES; i++)
		allowed |= r->full_at[slots[i]] + r->interval_ns <= now_ns + r->burst_ns;
	if (!allowed)
		return call_fail(call, ERR_EXHAUSTED, "Too Many Requests");
	for (size_t i = 0; i < RATE_HASHES; i++)
		r->full_at[slots[i]] = MAX(r->full_at[slots[i]], now_ns) + r->interval_ns;
	return OK;
}
