/*
 * What buckets and API keys move, by hour and kind, for usage and limits: limits given out and
 * inline bytes, kept in memory and added to bucket_bandwidth_rollups and key_bandwidth once a
 * minute.  Settlement adds what nodes were paid for.  What was not yet written when a process dies
 * is lost, to the customer's favour.
 *
 * So that it is known when that happened, each process says in bandwidth_writers until when it has
 * written all; who is silent for ten minutes has died, and its hours are noted as gaps.
 */
#ifndef ACRE_SATELLITE_BANDWIDTH_H
#define ACRE_SATELLITE_BANDWIDTH_H

#include "db/db.h"
#include "satellite/auth.h"

struct bandwidth;

struct bandwidth *bandwidth_new(void);
void bandwidth_free(struct bandwidth *b);
/* action as in order limits.  allocated: sum of the limits of a segment's pieces. */
void bandwidth_add(struct bandwidth *b, const struct payer *payer, int action, int64_t allocated,
		   int64_t inline_bytes, int64_t now_ns);
/* Writes what there is; nothing is lost when that fails. */
enum err bandwidth_flush(struct call *call, struct bandwidth *b, struct db *db) MUST_USE;
/* The same, and says that all of it is written; ends: this process grants no more. */
enum err bandwidth_mark(struct call *call, struct bandwidth *b, struct db *db, bool ends) MUST_USE;

#endif
