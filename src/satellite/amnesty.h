/*
 * Pieces that their nodes confess to have lost (docs/design/audit.md).  A piece ID does not say
 * whose it is, so confessions wait for the next pass over all segments, which derives the IDs of
 * the confessing nodes' pieces, takes those off their lists, and lets repair do the rest.
 */
#ifndef ACRE_SATELLITE_AMNESTY_H
#define ACRE_SATELLITE_AMNESTY_H

#include "order/order.h"
#include "satellite/satellite.h"

enum {
	AMNESTY_REPORT_MAX = 1000, /* pieces of one report; Storj's nodes send 50 */
	AMNESTY_NODE_MAX = 10000,  /* of a node, waiting */
	AMNESTY_PASS_MAX = 50000,  /* taken into one pass */
};

/* Keeps what `node` says about itself; what waits already counts once.  ERR_EXHAUSTED: too many of
 * it wait. */
enum err amnesty_take(struct call *call, struct satellite *sat, const struct node_id *node,
		      const struct piece_id *list, size_t count) MUST_USE;

/* The observer, for sat->loop. */
struct amnesty;
enum err amnesty_open(struct call *call, struct satellite *sat) MUST_USE;
void amnesty_close(struct satellite *sat);

/* ---- store_amnesty.c ---- */

struct lost_piece {
	struct node_id node;
	struct piece_id piece;
};
enum err store_lost_put(struct call *call, struct db *db, const struct node_id *node,
			const struct piece_id *list, size_t count, int64_t now_ns) MUST_USE;
/* Up to `max`; an array in `a`. */
enum err store_lost_list(struct call *call, struct db *db, struct arena *a, size_t max,
			 struct lost_piece **ret, size_t *ret_count) MUST_USE;
enum err store_lost_drop(struct call *call, struct db *db, const struct lost_piece *list,
			 size_t count) MUST_USE;

#endif
