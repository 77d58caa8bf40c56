/*
 * How well a segment is: which of its pieces count, whether it is to be repaired, how urgently
 * (satellite.md 6, docs/design/durability.md).  Computes only.
 */
#ifndef ACRE_SATELLITE_HEALTH_H
#define ACRE_SATELLITE_HEALTH_H

#include "satellite/config.h"
#include "satellite/piece_list.h"
#include "satellite/segment_loop.h"

/* Why a piece is not healthy; several may hold. */
enum {
	PIECE_MISSING = 1,   /* the node is offline, unknown or disqualified: it cannot be read */
	PIECE_SUSPENDED = 2, /* readable, but who knows for how long */
	PIECE_CLUMPED = 4,   /* another piece of the segment is in that network */
	PIECE_EXITING = 8,
	PIECE_MISPLACED = 16, /* readable, on a node where its placement allows none */
	/* Its node is away in the hours it declared: healthy as long as enough others are. */
	PIECE_AWAY = 32,
};

struct segment_health {
	unsigned pieces, healthy, retrievable; /* retrievable: now */
	unsigned missing, suspended, clumped, exiting, misplaced;
	unsigned away; /* of the healthy ones */
};

/* Room to mark networks in, for one thread; zeroed at first, freed with health_marks_free. */
struct health_marks {
	uint32_t *nets;
	uint32_t count, round;
};
enum err health_marks_size(struct call *call, struct health_marks *m, uint32_t nets_count) MUST_USE;
void health_marks_free(struct health_marks *m);

/* nodes[alias] for every piece; marks sized for their networks; rule of its placement (placement.h;
 * NULL: everywhere, also when the number has no rule: pieces stay then).  states (may be NULL): a
 * set of the values above for each piece. */
void segment_health(struct health_marks *m, const struct piece *pieces, size_t count,
		    const struct loop_node *nodes, const struct placement *rule, uint8_t *states,
		    struct segment_health *ret);

/* The code with success above repair and total not below that (satellite.md 6). */
struct scheme health_thresholds(const struct scheme *r);
/* To be repaired: no more than the repair threshold are healthy; eager: fewer than the success
 * threshold; or some lie where they must not.  Those away count only while the others are above the
 * repair threshold without them. */
bool segment_is_injured(const struct scheme *r, const struct segment_health *h, bool eager);
/* Fewer pieces can be read than give the segment back. */
static inline bool segment_is_lost(const struct scheme *r, const struct segment_health *h)
{
	return h->retrievable < r->required;
}
/* Days until nodes that fail one after another have taken one healthy piece too many, in
 * thousandths; less is more urgent, 0 = it is too late. */
int64_t segment_urgency(const struct scheme *r, const struct segment_health *h,
			uint32_t nodes_known);
/* How many pieces a repair makes (satellite.md 6). */
unsigned segment_pieces_wanted(const struct scheme *r, const struct segment_health *h);

#endif
