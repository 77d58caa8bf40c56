/*
 * One piece in the index: where its record lies, and what state it is in.  60 bytes, in memory and
 * on disk (docs/design/piece-store.md).
 */
#ifndef ACRE_NODE_PIECE_ENTRY_H
#define ACRE_NODE_PIECE_ENTRY_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/piece_record.h"
#include "order/order.h"

enum {
	PIECE_ENTRY_BYTES = 60,
	PIECE_SATELLITES_MAX = 1024,
};

enum piece_flag {
	PIECE_DAMAGED = 1, /* its bytes are not what was stored: served to nobody */
	PIECE_DELETED =
		2, /* a mark that it is gone; its place is that of the record that says so */
};

/* A piece is known by its satellite (a number the index gives out) and its ID. */
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
	uint32_t trashed_at; /* Unix seconds; 0 = not in the trash; of a mark: when it was made */
	uint16_t satellite;
	uint8_t header64; /* header length in units of RECORD_ALIGN; 0 = empty slot */
	uint8_t flags;
};
_Static_assert(sizeof(struct piece_entry) == PIECE_ENTRY_BYTES, "no padding");

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
static inline uint64_t piece_entry_end(const struct piece_entry *e)
{
	return piece_entry_offset(e) + piece_entry_len(e);
}
static inline bool piece_entry_same_place(const struct piece_entry *a, const struct piece_entry *b)
{
	return a->segment == b->segment && a->offset64 == b->offset64;
}
static inline bool piece_entry_is(const struct piece_entry *e, const struct piece_key *key)
{
	return e->satellite == key->satellite && memcmp(e->id.b, key->id.b, PIECE_ID_BYTES) == 0;
}
static inline struct piece_key piece_entry_key(const struct piece_entry *e)
{
	return (struct piece_key){ e->id, e->satellite };
}

/* Little endian.  ERR_FORMAT: no record can have such an entry. */
void piece_entry_encode(const struct piece_entry *e, uint8_t out[PIECE_ENTRY_BYTES]);
enum err piece_entry_decode(const uint8_t in[PIECE_ENTRY_BYTES], struct piece_entry *ret) MUST_USE;

/* The order of pieces: by a hash whose seed is the node's secret, so that nobody can choose IDs
 * that fall into one place; of equal hashes by key. */
struct piece_seed {
	uint64_t v[2];
};
uint64_t piece_hash(const struct piece_seed *seed, const uint8_t id[PIECE_ID_BYTES],
		    uint16_t satellite);
/* Compares what lies at (hash, entry) positions: <0, 0 (the same piece), >0. */
int piece_order(uint64_t hash_a, const struct piece_entry *a, uint64_t hash_b,
		const struct piece_entry *b);

/* What pieces of one satellite there are. */
struct piece_figures {
	uint64_t pieces, bytes; /* that can be read; bytes of the log */
	uint64_t data;		/* of them: bytes of the pieces themselves */
	uint64_t trash_pieces, trash_bytes, trash_data; /* the same of what is in the trash */
	uint64_t damaged;				/* of all: pieces */
};
/* Adds (sign 1) or takes away (-1) one entry. */
void piece_figures_add(struct piece_figures *f, const struct piece_entry *e, int sign);
void piece_figures_sum(struct piece_figures *f, const struct piece_figures *more);

#endif
