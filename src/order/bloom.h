/*
 * Garbage filters: Storj's Bloom filters over piece IDs (satellite.md 8), byte for byte. Satellites
 * build them, nodes ask them.
 *
 *	version 1 | seed 1 | hash count 1 | table, at least one byte
 */
#ifndef ACRE_ORDER_BLOOM_H
#define ACRE_ORDER_BLOOM_H

#include "base/bytes.h"
#include "base/call.h"
#include "order/order.h"

enum {
	BLOOM_VERSION = 1,
	BLOOM_HEAD_BYTES = 3,
	BLOOM_MAX = 64 << 20,  /* bytes; 100 million pieces at the satellites' usual rate */
	BLOOM_PROBES_MAX = 32, /* offsets repeat after that */
	BLOOM_SEED_MAX = 254,
};

struct bloom {
	unsigned probes;
	uint8_t offsets[BLOOM_PROBES_MAX]; /* where in the ID each window begins */
	struct bytes table;		   /* borrowed */
	uint64_t reciprocal;		   /* for the remainder by table.len */
};

/* wire must stay as long as the filter is used.  ERR_INVALID: no filter. */
enum err bloom_parse(struct call *call, struct bytes wire, struct bloom *ret) MUST_USE;
/* Whether the piece is to be kept. */
bool bloom_has(const struct bloom *f, const struct piece_id *id);

/* ---- building ---- */

struct bloom_size {
	uint8_t hashes;	    /* 1 to 32 */
	size_t table_bytes; /* 1 to table_max */
};
/* For so many elements, of which a share of p others passes for one of them; the hash count is not
 * changed when table_max cuts the table. */
struct bloom_size bloom_size(uint64_t elements, double p, size_t table_max);
/* An empty filter into wire, which has BLOOM_HEAD_BYTES + table_bytes; ret borrows it. */
void bloom_begin(uint8_t *wire, uint8_t seed, struct bloom_size size, struct bloom *ret);
/* Into the table of that wire. */
void bloom_add(const struct bloom *f, uint8_t *wire, const struct piece_id *id);

#endif
