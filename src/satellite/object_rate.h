/*
 * How often one and the same object may be asked for (metainfo.md 3.4): a token bucket per object
 * in a table of fixed size; each object has three slots and is refused when all of them say so, so
 * a stranger in one slot does no harm.
 */
#ifndef ACRE_SATELLITE_OBJECT_RATE_H
#define ACRE_SATELLITE_OBJECT_RATE_H

#include "satellite/auth.h"

struct object_rate;

/* One per interval, `burst` at once.  NULL when interval_ns is 0 (no limit) or without memory. */
struct object_rate *object_rate_new(int64_t interval_ns, uint64_t burst);
void object_rate_free(struct object_rate *r);
/* ResourceExhausted "Too Many Requests".  r may be NULL. */
enum err object_rate_check(struct call *call, struct object_rate *r,
			   const struct project_id *project, struct bytes bucket, struct bytes key,
			   int64_t now_ns) MUST_USE;

#endif
