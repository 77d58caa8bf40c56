/*
 * When a segment upload is done (erasure.md 5.4): enough pieces, or what the satellite's cohort
 * requirements ask for.  The tree of requirements is a conjunction, so it is kept as a flat list.
 */
#ifndef ACRE_TRANSFER_COHORT_H
#define ACRE_TRANSFER_COHORT_H

#include "base/call.h"
#include "proto/metainfo.pb-c.h"

enum { COHORT_RULES_MAX = 64, COHORT_PIECES_MAX = 256 };

struct cohort;

/* requirements NULL: `success` pieces are enough.  The message is borrowed.  ERR_PROTOCOL when the
 * satellite asks for more than COHORT_RULES_MAX things. */
enum err cohort_new(struct call *call, const Metainfo__CohortRequirements *requirements,
		    unsigned success, struct cohort **ret) MUST_USE;
void cohort_free(struct cohort *c);
/* The node that holds piece `number` has these tags (borrowed). */
void cohort_set_tags(struct cohort *c, unsigned number, const Metainfo__AddressedOrderLimit *node);
/* Whether the set of piece numbers is enough. */
bool cohort_enough(const struct cohort *c, const bool have[COHORT_PIECES_MAX]);

#endif
