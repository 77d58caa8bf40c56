/*
 * Tallies: what nodes, buckets and keys hold, times how long (satellite.md 10,
 * docs/design/books.md). Nodes are counted by the pass over the segments, buckets by their objects,
 * keys by their limits' counters (limit.h), if they have any: no object says which key made it. The
 * sums are byte-hours by the hour; days that are over become one row each, so that the tables stay
 * small.
 */
#ifndef ACRE_SATELLITE_TALLY_H
#define ACRE_SATELLITE_TALLY_H

#include "satellite/chore.h"

struct satellite;
struct segment_loop;
struct tally;

enum err tally_new(struct call *call, struct satellite *sat, struct tally **ret) MUST_USE;
void tally_free(struct tally *t);
/* As an observer of the pass; the tally must live longer than the loop. */
enum err tally_observe(struct call *call, struct tally *t, struct segment_loop *loop) MUST_USE;
/* A chore: counts the buckets and the keys. */
enum err tally_buckets(struct call *call, struct chore *chore, void *sat) MUST_USE;
/* A chore: the hours of every day that was over ROLLUP_DAYS ago become one row, that of its first
 * hour.  Sums over whole days stay what they are. */
enum { ROLLUP_DAYS = 3 };
enum err tally_roll_up(struct call *call, struct chore *chore, void *sat) MUST_USE;

/* Amount times the time from..to (Unix ns), hour by hour; days once it is more than two of them. */
typedef enum err tally_part(struct call *call, void *arg, int64_t interval_start_ns, int64_t hours);
enum err tally_split(struct call *call, int64_t amount, int64_t from_ns, int64_t to_ns,
		     tally_part *part, void *arg) MUST_USE;

#endif
