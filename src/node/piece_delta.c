/* Linear probing in the order of the hash. */
#include "node/piece_delta.h"

#include <stdlib.h>

#include "base/num.h"

enum { SLOTS_MIN = 8, SLOTS_SMALL = 4096 };

void piece_delta_free(struct piece_delta *d)
{
	free(d->slots);
	*d = (struct piece_delta){ 0 };
}

static uint32_t home(uint64_t hash, uint32_t cap)
{
	return (uint32_t)((unsigned __int128)hash * cap >> 64);
}

/* The slot of the key, or the free one where it would go; there is always a free one. */
static uint32_t probe(const struct piece_delta *d, uint64_t hash, const struct piece_key *key)
{
	uint32_t i = home(hash, d->cap);

	while (d->slots[i].header64 && !piece_entry_is(&d->slots[i], key))
		i = i + 1 == d->cap ? 0 : i + 1;
	return i;
}

struct piece_entry *piece_delta_find(const struct piece_delta *d, uint64_t hash,
				     const struct piece_key *key)
{
	if (!d->count)
		return NULL;
	struct piece_entry *e = &d->slots[probe(d, hash, key)];

	return e->header64 ? e : NULL;
}

enum err piece_delta_reserve(struct call *call, struct piece_delta *d,
			     const struct piece_seed *seed, uint64_t more)
{
	/* At most seven eighths full; in small steps once it is large. */
	if (d->count + more <= d->cap - d->cap / 8)
		return OK;
	uint64_t step = d->cap < SLOTS_SMALL ? d->cap : d->cap / 4;
	uint64_t need = (d->count + more) * 8 / 7 + 2;
	uint64_t cap = MAX(MAX(d->cap + step, need), (uint64_t)SLOTS_MIN);
	struct piece_delta bigger = { .count = d->count };

	if (cap > UINT32_MAX)
		return call_fail(call, ERR_EXHAUSTED, "the piece index is full");
	bigger.cap = (uint32_t)cap;
	bigger.slots = calloc(cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
	for (uint32_t i = 0; i < d->cap; i++) {
		const struct piece_entry *e = &d->slots[i];
		struct piece_key key = piece_entry_key(e);
		if (e->header64)
			bigger.slots[probe(&bigger, piece_hash(seed, e->id.b, e->satellite),
					   &key)] = *e;
	}
	free(d->slots);
	*d = bigger;
	return OK;
}

void piece_delta_put(struct piece_delta *d, uint64_t hash, const struct piece_entry *e)
{
	struct piece_key key = piece_entry_key(e);
	struct piece_entry *slot = &d->slots[probe(d, hash, &key)];

	d->count += !slot->header64;
	*slot = *e;
}

static int compare_items(const void *a, const void *b)
{
	const struct delta_item *x = a, *y = b;

	return piece_order(x->hash, x->entry, y->hash, y->entry);
}

enum err piece_delta_sorted(struct call *call, const struct piece_delta *d,
			    const struct piece_seed *seed, struct delta_item **ret)
{
	struct delta_item *items = malloc(((size_t)d->count + 1) * sizeof(*items));
	size_t n = 0;

	if (!items)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
	for (uint32_t i = 0; i < d->cap; i++) {
		const struct piece_entry *e = &d->slots[i];
		if (e->header64)
			items[n++] = (struct delta_item){ piece_hash(seed, e->id.b, e->satellite),
							  e };
	}
	if (n)
		qsort(items, n, sizeof(*items), compare_items);
	*ret = items;
	return OK;
}
