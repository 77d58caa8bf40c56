/*
 * Garbage filters of satellites: Storj's Bloom filters (satellite.md 8), byte for byte.
 *
 *	version 1 | seed 1 | hash count 1 | table, at least one byte
 */
#ifndef ACRE_NODE_RETAIN_H
#define ACRE_NODE_RETAIN_H

#include "base/bytes.h"
#include "base/call.h"
#include "order/order.h"

enum {
	RETAIN_FILTER_VERSION = 1,
	RETAIN_FILTER_HEAD_BYTES = 3,
	RETAIN_FILTER_MAX = 64 << 20, /* bytes; 100 million pieces at the satellites' usual rate */
	RETAIN_PROBES_MAX = 32,	      /* offsets repeat after that */
};

struct retain_filter {
	unsigned probes;
	uint8_t offsets[RETAIN_PROBES_MAX]; /* where in the ID each window begins */
	struct bytes table;		    /* borrowed */
	uint64_t reciprocal;		    /* for the remainder by table.len */
};

/* wire must stay as long as the filter is used.  ERR_INVALID: no filter. */
enum err retain_filter_parse(struct call *call, struct bytes wire,
			     struct retain_filter *ret) MUST_USE;
/* Whether the piece is to be kept. */
bool retain_filter_has(const struct retain_filter *f, const struct piece_id *id);

#endif
