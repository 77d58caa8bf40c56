/* Per hour of creation, a hash set of 64-bit fingerprints under a secret key. */
#include "node/serials.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "os/lock.h"
#include "os/random.h"

/* Limits of three hours can be accepted at any time: the one before, this one and the next. */
enum { SET_SLOTS_MIN = 64, KEY_BYTES = 32, SETS_MAX = 4 };

struct set {
	int64_t hour;
	uint64_t *slots; /* 0 = free */
	size_t cap;	 /* a power of two, or 0 */
	size_t count;
};

struct serials {
	struct os_mutex lock;
	uint8_t key[KEY_BYTES];
	size_t slots_max;	   /* of one set */
	struct set sets[SETS_MAX]; /* rising hours */
	size_t sets_count;
};

enum err serials_new(struct call *call, size_t memory_max, struct serials **ret)
{
	struct serials *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	s->slots_max = MAX(memory_max / SETS_MAX / sizeof(uint64_t), (size_t)SET_SLOTS_MIN);
	os_random(s->key, sizeof(s->key));
	*ret = s;
	return OK;
}

void serials_free(struct serials *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->sets_count; i++)
		free(s->sets[i].slots);
	os_mutex_fini(&s->lock);
	free(s);
}

static uint64_t fingerprint(const struct serials *s, const struct node_id *satellite,
			    const struct serial *serial)
{
	uint8_t text[KEY_BYTES + NODE_ID_BYTES + SERIAL_BYTES], sum[HASH_BYTES];

	memcpy(text, s->key, KEY_BYTES);
	memcpy(text + KEY_BYTES, satellite->b, NODE_ID_BYTES);
	memcpy(text + KEY_BYTES + NODE_ID_BYTES, serial->b, SERIAL_BYTES);
	hash_blake3(BYTES_OF(text), sum);
	uint64_t f = get_le64(sum);
	return f ? f : 1;
}

/* Index of the fingerprint, or of the free slot where it would go. */
static size_t probe(const struct set *set, uint64_t f)
{
	size_t i = (size_t)f & (set->cap - 1);

	while (set->slots[i] && set->slots[i] != f)
		i = (i + 1) & (set->cap - 1);
	return i;
}

static void erase(struct set *set, size_t hole)
{
	size_t mask = set->cap - 1;

	for (size_t i = hole;;) {
		i = (i + 1) & mask;
		if (!set->slots[i])
			break;
		size_t want = (size_t)set->slots[i] & mask;
		if (((i - want) & mask) >= ((i - hole) & mask)) {
			set->slots[hole] = set->slots[i];
			hole = i;
		}
	}
	set->slots[hole] = 0;
	set->count--;
}

static void evict(struct set *set)
{
	size_t at = (size_t)os_random_below(set->cap);

	while (!set->slots[at])
		at = (at + 1) & (set->cap - 1);
	erase(set, at);
}

/* Doubles the set, if it may have the memory. */
static bool grow(const struct serials *s, struct set *set)
{
	size_t cap = set->cap ? set->cap * 2 : SET_SLOTS_MIN;

	if (cap > s->slots_max)
		return false;
	struct set bigger = { .hour = set->hour, .cap = cap, .count = set->count };
	bigger.slots = calloc(cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < set->cap; i++)
		if (set->slots[i])
			bigger.slots[probe(&bigger, set->slots[i])] = set->slots[i];
	free(set->slots);
	*set = bigger;
	return true;
}

static int64_t hour_of(int64_t unix_ns)
{
	int64_t hour_ns = 3600 * NS_PER_SEC;

	return unix_ns / hour_ns - (unix_ns % hour_ns < 0);
}

static void drop_set(struct serials *s, size_t i)
{
	free(s->sets[i].slots);
	memmove(&s->sets[i], &s->sets[i + 1], (s->sets_count - i - 1) * sizeof(s->sets[i]));
	s->sets_count--;
}

/* The set of the hour.  Sets whose last limit is older than the grace are dropped on the way. */
static struct set *find_set(struct serials *s, int64_t hour, int64_t now_unix_ns)
{
	int64_t oldest = hour_of(now_unix_ns - SERIALS_GRACE_SECONDS * NS_PER_SEC);

	while (s->sets_count && s->sets[0].hour < oldest)
		drop_set(s, 0);
	size_t i = 0;
	while (i < s->sets_count && s->sets[i].hour < hour)
		i++;
	if (i < s->sets_count && s->sets[i].hour == hour)
		return &s->sets[i];
	/* More hours than limits can be accepted from: only a clock set back and forth does it. */
	if (s->sets_count == SETS_MAX) {
		drop_set(s, 0);
		i -= i > 0;
	}
	memmove(&s->sets[i + 1], &s->sets[i], (s->sets_count - i) * sizeof(s->sets[i]));
	s->sets[i] = (struct set){ .hour = hour };
	s->sets_count++;
	return &s->sets[i];
}

enum err serials_use(struct call *call, struct serials *s, const struct node_id *satellite,
		     const struct serial *serial, int64_t creation_unix_ns, int64_t now_unix_ns)
{
	uint64_t f = fingerprint(s, satellite, serial);
	OS_LOCKED(&s->lock);
	struct set *set = find_set(s, hour_of(creation_unix_ns), now_unix_ns);

	if (set->cap && set->slots[probe(set, f)] == f)
		return call_fail(call, ERR_UNAUTHENTICATED, "serial number is already used");
	if (set->count + 1 > set->cap - set->cap / 4 && !grow(s, set)) {
		if (!set->cap)
			return call_fail(call, ERR_NO_MEMORY, "no memory for serial numbers");
		if (set->count + 1 > set->cap - set->cap / 8)
			evict(set);
	}
	assert(set->slots);
	set->slots[probe(set, f)] = f;
	set->count++;
	return OK;
}

size_t serials_count(struct serials *s)
{
	OS_LOCKED(&s->lock);
	size_t n = 0;

	for (size_t i = 0; i < s->sets_count; i++)
		n += s->sets[i].count;
	return n;
}
