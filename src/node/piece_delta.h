/*
 * Index entries that are newer than the index table on disk: a hash table in memory that only
 * grows.  Not thread safe.
 */
#ifndef ACRE_NODE_PIECE_DELTA_H
#define ACRE_NODE_PIECE_DELTA_H

#include "node/piece_entry.h"

struct piece_delta {
	struct piece_entry *slots;
	uint32_t cap, count;
};

void piece_delta_free(struct piece_delta *d); /* it is then empty and can be used again */
static inline uint64_t piece_delta_memory(const struct piece_delta *d)
{
	return (uint64_t)d->cap * sizeof(struct piece_entry);
}
/* NULL when absent; valid until the next put. */
struct piece_entry *piece_delta_find(const struct piece_delta *d, uint64_t hash,
				     const struct piece_key *key);
/* Makes the next `more` puts of new keys succeed.  Entries that come in the order of their slots
 * need the room of all at once: a table that grows under them would be searched from end to end. */
enum err piece_delta_reserve(struct call *call, struct piece_delta *d,
			     const struct piece_seed *seed, uint64_t more) MUST_USE;
/* Adds or replaces; after piece_delta_reserve. */
void piece_delta_put(struct piece_delta *d, uint64_t hash, const struct piece_entry *e);

/* The entries in the order of the index (piece_order). */
struct delta_item {
	uint64_t hash;
	const struct piece_entry *entry;
};
/* An array of d->count, to be freed by the caller; valid until d changes. */
enum err piece_delta_sorted(struct call *call, const struct piece_delta *d,
			    const struct piece_seed *seed, struct delta_item **ret) MUST_USE;

#endif
