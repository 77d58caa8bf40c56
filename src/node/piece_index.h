/*
 * Where each piece lies in the log.  In memory for now: 56 bytes a piece in 64 hash tables that
 * grow one at a time.  Every function that an index on disk would wait in takes a call and can
 * fail, so that one can take this one's place.
 *
 * Not thread safe; the store's lock is around every call (none of them waits, so far).
 */
#ifndef ACRE_NODE_PIECE_INDEX_H
#define ACRE_NODE_PIECE_INDEX_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/piece_record.h"
#include "order/order.h"

enum {
	INDEX_SHARDS = 64,
	INDEX_ENTRY_BYTES = 56, /* on disk, too */
	INDEX_SATELLITES_MAX = 1024,
};

/* A piece is known by its satellite (a number the store gives out) and its ID. */
struct piece_key {
	struct piece_id id;
	uint16_t satellite;
};

struct piece_entry {
	struct piece_id id;
	uint32_t segment;
	uint32_t offset64;   /* of the record, in units of RECORD_ALIGN */
	uint32_t size;	     /* piece bytes */
	uint32_t stored_at;  /* Unix seconds, our clock: what garbage collection compares */
	uint32_t expires_at; /* Unix seconds, rounded up; 0 = never */
	uint16_t satellite;
	uint8_t header64; /* header length in units of RECORD_ALIGN; 0 = empty slot */
	uint8_t flags;	  /* none yet (trash) */
};
_Static_assert(sizeof(struct piece_entry) == INDEX_ENTRY_BYTES, "no padding");

static inline uint64_t piece_entry_offset(const struct piece_entry *e)
{
	return (uint64_t)e->offset64 * RECORD_ALIGN;
}
static inline uint64_t piece_entry_data(const struct piece_entry *e)
{
	return ((uint64_t)e->offset64 + e->header64) * RECORD_ALIGN;
}
/* Bytes of the log it takes. */
static inline uint64_t piece_entry_len(const struct piece_entry *e)
{
	return record_len((uint64_t)e->header64 * RECORD_ALIGN, e->size);
}

/* On disk: 56 bytes, little endian.  Decode refuses entries that no record can have. */
void piece_entry_encode(const struct piece_entry *e, uint8_t out[INDEX_ENTRY_BYTES]);
enum err piece_entry_decode(const uint8_t in[INDEX_ENTRY_BYTES], struct piece_entry *ret) MUST_USE;

struct piece_index;

enum err piece_index_new(struct call *call, struct piece_index **ret) MUST_USE;
void piece_index_free(struct piece_index *x); /* NULL is fine */
/* ERR_NOT_FOUND without text when absent. */
enum err piece_index_find(struct call *call, const struct piece_index *x,
			  const struct piece_key *key, struct piece_entry *ret) MUST_USE;
/* Adds or replaces; *ret_had says which, *ret_old is what was there (both may be NULL). */
enum err piece_index_put(struct call *call, struct piece_index *x, const struct piece_entry *e,
			 bool *ret_had, struct piece_entry *ret_old) MUST_USE;
/* Removes the piece if it is still exactly this entry; false when it is not. */
bool piece_index_remove(struct piece_index *x, const struct piece_entry *e);
uint64_t piece_index_count(const struct piece_index *x);
uint64_t piece_index_memory(const struct piece_index *x);

/* The entries of one of the INDEX_SHARDS parts, appended to out as an array of struct piece_entry.
 * A walk over all parts sees every entry that was there from its begin to its end. */
enum err piece_index_shard(struct call *call, const struct piece_index *x, unsigned shard,
			   struct buf *out) MUST_USE;

#endif
