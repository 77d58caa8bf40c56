/* Hash tables with linear probing in the order of the hash, so that growing is one ordered copy. */
#include "node/piece_index.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/random.h"

enum { SHARD_SLOTS_MIN = 8, SHARD_SLOTS_SMALL = 512 };

struct shard {
	struct piece_entry *slots;
	uint32_t cap;
	uint32_t count;
};

struct piece_index {
	uint64_t seed[2]; /* so that nobody can choose IDs that collide */
	struct shard shards[INDEX_SHARDS];
};

void piece_entry_encode(const struct piece_entry *e, uint8_t out[INDEX_ENTRY_BYTES])
{
	memcpy(out, e->id.b, PIECE_ID_BYTES);
	put_le32(out + 32, e->segment);
	put_le32(out + 36, e->offset64);
	put_le32(out + 40, e->size);
	put_le32(out + 44, e->stored_at);
	put_le32(out + 48, e->expires_at);
	put_le16(out + 52, e->satellite);
	out[54] = e->header64;
	out[55] = e->flags;
}

enum err piece_entry_decode(const uint8_t in[INDEX_ENTRY_BYTES], struct piece_entry *ret)
{
	struct piece_entry e = {
		.segment = get_le32(in + 32),
		.offset64 = get_le32(in + 36),
		.size = get_le32(in + 40),
		.stored_at = get_le32(in + 44),
		.expires_at = get_le32(in + 48),
		.satellite = get_le16(in + 52),
		.header64 = in[54],
		.flags = in[55],
	};

	memcpy(e.id.b, in, PIECE_ID_BYTES);
	if (e.header64 < RECORD_FIXED_BYTES / RECORD_ALIGN ||
	    e.header64 > RECORD_HEADER_MAX / RECORD_ALIGN ||
	    e.offset64 < SEGMENT_HEADER_BYTES / RECORD_ALIGN || e.flags != 0)
		return ERR_FORMAT;
	*ret = e;
	return OK;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash_key(const struct piece_index *x, const uint8_t id[PIECE_ID_BYTES],
			 uint16_t satellite)
{
	uint64_t h = fold(get_le64(id) ^ x->seed[0], get_le64(id + 8) ^ x->seed[1]);

	h ^= fold(get_le64(id + 16) ^ x->seed[1], get_le64(id + 24) ^ h);
	return fold(h ^ satellite, x->seed[0] | 1);
}

static struct shard *shard_of(struct piece_index *x, uint64_t hash)
{
	return &x->shards[hash % INDEX_SHARDS];
}

/* The slot a hash begins at: rises with the hash, which keeps a table ordered by hash. */
static uint32_t home(uint64_t hash, uint32_t cap)
{
	return (uint32_t)((unsigned __int128)hash * cap >> 64);
}

static bool slot_is(const struct piece_entry *s, const uint8_t id[PIECE_ID_BYTES],
		    uint16_t satellite)
{
	return s->satellite == satellite && memcmp(s->id.b, id, PIECE_ID_BYTES) == 0;
}

/* The slot of the key, or the free one where it would go.  The table is never full. */
static uint32_t probe(const struct shard *s, uint64_t hash, const uint8_t id[PIECE_ID_BYTES],
		      uint16_t satellite)
{
	uint32_t i = home(hash, s->cap);

	while (s->slots[i].header64 && !slot_is(&s->slots[i], id, satellite))
		i = i + 1 == s->cap ? 0 : i + 1;
	return i;
}

static enum err grow(struct call *call, const struct piece_index *x, struct shard *s)
{
	/* In small steps once it is large: the table is then 70 to 88 % full. */
	uint64_t more = s->cap < SHARD_SLOTS_SMALL ? s->cap : s->cap / 4;
	uint64_t cap = s->cap < SHARD_SLOTS_MIN ? SHARD_SLOTS_MIN : s->cap + more;
	struct shard bigger = { .count = s->count };

	if (cap > UINT32_MAX)
		return call_fail(call, ERR_EXHAUSTED, "the piece index is full");
	bigger.cap = (uint32_t)cap;
	bigger.slots = calloc(cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
	for (uint32_t i = 0; i < s->cap; i++) {
		const struct piece_entry *e = &s->slots[i];
		if (e->header64)
			bigger.slots[probe(&bigger, hash_key(x, e->id.b, e->satellite), e->id.b,
					   e->satellite)] = *e;
	}
	free(s->slots);
	*s = bigger;
	return OK;
}

enum err piece_index_new(struct call *call, struct piece_index **ret)
{
	struct piece_index *x = calloc(1, sizeof(*x));

	if (!x)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
	os_random(x->seed, sizeof(x->seed));
	*ret = x;
	return OK;
}

void piece_index_free(struct piece_index *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < INDEX_SHARDS; i++)
		free(x->shards[i].slots);
	free(x);
}

enum err piece_index_find(struct call *call, const struct piece_index *x,
			  const struct piece_key *key, struct piece_entry *ret)
{
	uint64_t hash = hash_key(x, key->id.b, key->satellite);
	const struct shard *s = &x->shards[hash % INDEX_SHARDS];

	(void)call;
	if (!s->count)
		return ERR_NOT_FOUND;
	const struct piece_entry *e = &s->slots[probe(s, hash, key->id.b, key->satellite)];
	if (!e->header64)
		return ERR_NOT_FOUND;
	*ret = *e;
	return OK;
}

enum err piece_index_put(struct call *call, struct piece_index *x, const struct piece_entry *e,
			 bool *ret_had, struct piece_entry *ret_old)
{
	uint64_t hash = hash_key(x, e->id.b, e->satellite);
	struct shard *s = shard_of(x, hash);

	/* At most seven eighths full. */
	if (s->count + 1 > s->cap - s->cap / 8)
		TRY_PLAIN(grow(call, x, s));
	struct piece_entry *slot = &s->slots[probe(s, hash, e->id.b, e->satellite)];
	bool had = slot->header64 != 0;
	if (had && ret_old)
		*ret_old = *slot;
	if (ret_had)
		*ret_had = had;
	*slot = *e;
	s->count += !had;
	return OK;
}

bool piece_index_remove(struct piece_index *x, const struct piece_entry *e)
{
	uint64_t hash = hash_key(x, e->id.b, e->satellite);
	struct shard *s = shard_of(x, hash);

	if (!s->count)
		return false;
	uint32_t hole = probe(s, hash, e->id.b, e->satellite);
	if (!s->slots[hole].header64 || memcmp(&s->slots[hole], e, sizeof(*e)) != 0)
		return false;
	/* Entries behind that probed over the hole move up, so that no mark of it is needed. */
	for (uint32_t i = hole;;) {
		i = i + 1 == s->cap ? 0 : i + 1;
		const struct piece_entry *next = &s->slots[i];
		if (!next->header64)
			break;
		uint32_t want = home(hash_key(x, next->id.b, next->satellite), s->cap);
		uint32_t from_want = (i + s->cap - want) % s->cap;
		uint32_t from_hole = (i + s->cap - hole) % s->cap;
		if (from_want >= from_hole) {
			s->slots[hole] = *next;
			hole = i;
		}
	}
	memset(&s->slots[hole], 0, sizeof(s->slots[hole]));
	s->count--;
	return true;
}

uint64_t piece_index_count(const struct piece_index *x)
{
	uint64_t n = 0;

	for (size_t i = 0; i < INDEX_SHARDS; i++)
		n += x->shards[i].count;
	return n;
}

uint64_t piece_index_memory(const struct piece_index *x)
{
	uint64_t n = sizeof(*x);

	for (size_t i = 0; i < INDEX_SHARDS; i++)
		n += (uint64_t)x->shards[i].cap * sizeof(struct piece_entry);
	return n;
}

enum err piece_index_shard(struct call *call, const struct piece_index *x, unsigned shard,
			   struct buf *out)
{
	const struct shard *s = &x->shards[shard];

	if (!buf_reserve(out, s->count * sizeof(struct piece_entry)))
		return call_fail(call, ERR_NO_MEMORY, "out of memory to copy the piece index");
	for (uint32_t i = 0; i < s->cap; i++)
		if (s->slots[i].header64)
			buf_add(out, &s->slots[i], sizeof(s->slots[i]));
	return buf_status(out);
}
