/*
 * Settlement of orders, window by window (satellite.md 3, orders.md 8): entries are checked and
 * summed, then stored once.  The row of a node's window is the whole defence against settling
 * twice.
 */
#ifndef ACRE_SATELLITE_SETTLEMENT_H
#define ACRE_SATELLITE_SETTLEMENT_H

#include "proto/orders.pb-c.h"
#include "satellite/auth.h"

enum { SETTLEMENT_ACTIONS = 8, SETTLEMENT_ENTRIES_MAX = 4000000 };

struct settlement;

/* What one node sends in one stream; now is the time entries must not have expired at. */
enum err settlement_new(struct call *call, const struct satellite *sat, const struct node_id *node,
			struct settlement **ret) MUST_USE;
void settlement_free(struct settlement *s);
/* Counts an entry if it is valid; one that is not is skipped.  ERR_EXHAUSTED beyond all bounds. */
enum err settlement_add(struct call *call, struct settlement *s,
			const Orders__SettlementRequest *entry) MUST_USE;
/* Stores the sums.  *ret_accepted: new, or the same as were stored before. */
enum err settlement_finish(struct call *call, struct settlement *s, struct db *db,
			   bool *ret_accepted) MUST_USE;
/* Bytes per action, PieceAction as index. */
const int64_t *settlement_sums(const struct settlement *s);

#endif
