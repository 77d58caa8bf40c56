/*
 * The invariants of the whole database, looked at in one snapshot: nothing belongs to nobody, sums
 * and counts are what they say, no key has two latest objects.  Reads only; the satellite may run.
 */
#ifndef ACRE_SATELLITE_CHECK_H
#define ACRE_SATELLITE_CHECK_H

#include "db/db.h"

/* One invariant: how often it was broken, and the first time in words (empty for none). */
struct check_finding {
	const char *name;
	uint64_t count;
	char example[160];
};
enum { CHECK_FINDINGS_MAX = 32 };

struct check_report {
	size_t count; /* of invariants looked at, in findings */
	struct check_finding findings[CHECK_FINDINGS_MAX];
	uint64_t broken; /* sum of all counts */
	uint64_t objects, segments, buckets, limits;
};

/* Memory is bounded but for a number per node that ever held a piece and one per finer limit. */
enum err satellite_check(struct call *call, struct db *db, struct check_report *ret) MUST_USE;

#endif
