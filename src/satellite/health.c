/* The classes of pieces and the formulas. */
#include "satellite/health.h"

#include <stdlib.h>

#include "base/num.h"

enum { NODES_UNKNOWN = 10000 /* what is assumed of a network without any */ };
/* Share of the nodes that fail in a day (satellite.md 6). */
#define FAILURES_PER_DAY 5.435e-5
#define URGENCY_MAX 1e15

enum err health_marks_size(struct call *call, struct health_marks *m, uint32_t nets_count)
{
	if (nets_count <= m->count)
		return OK;
	uint32_t *nets = calloc(nets_count, sizeof(*nets));
	if (!nets)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	free(m->nets);
	*m = (struct health_marks){ .nets = nets, .count = nets_count };
	return OK;
}

void health_marks_free(struct health_marks *m)
{
	free(m->nets);
	*m = (struct health_marks){ 0 };
}

static uint32_t next_round(struct health_marks *m)
{
	if (++m->round == 0) {
		memset(m->nets, 0, m->count * sizeof(*m->nets));
		m->round = 1;
	}
	return m->round;
}

static unsigned state_of(const struct loop_node *n, const struct placement *rule, uint32_t *mark,
			 uint32_t round)
{
	/* What cannot be read takes no other piece's place in a network. */
	if (n->flags & NODE_DISQUALIFIED || !(n->flags & (NODE_ONLINE | NODE_AWAY)))
		return PIECE_MISSING;
	unsigned state = n->flags & NODE_AWAY ? PIECE_AWAY : 0;
	if (*mark == round && !(rule && rule->shared_networks))
		state |= PIECE_CLUMPED;
	*mark = round;
	if (n->flags & NODE_SUSPENDED)
		state |= PIECE_SUSPENDED;
	if (n->flags & NODE_EXITING)
		state |= PIECE_EXITING;
	if (!placement_allows(rule, n->geo, n->conditions))
		state |= PIECE_MISPLACED;
	return state;
}

void segment_health(struct health_marks *m, const struct piece *pieces, size_t count,
		    const struct loop_node *nodes, const struct placement *rule, uint8_t *states,
		    struct segment_health *ret)
{
	struct segment_health h = { .pieces = (unsigned)count };
	uint32_t round = next_round(m);
	unsigned unreadable = 0;

	for (size_t i = 0; i < count; i++) {
		const struct loop_node *n = &nodes[pieces[i].alias];
		unsigned state = state_of(n, rule, &m->nets[n->net], round);
		if (states)
			states[i] = (uint8_t)state;
		if (!state)
			continue;
		h.missing += (state & PIECE_MISSING) != 0;
		h.suspended += (state & PIECE_SUSPENDED) != 0;
		h.clumped += (state & PIECE_CLUMPED) != 0;
		h.exiting += (state & PIECE_EXITING) != 0;
		h.misplaced += (state & PIECE_MISPLACED) != 0;
		unreadable += (state & (PIECE_MISSING | PIECE_AWAY)) != 0;
		h.away += state == PIECE_AWAY;
		h.healthy += state != PIECE_AWAY; /* those that are not, for now */
	}
	h.healthy = h.pieces - h.healthy;
	h.retrievable = h.pieces - unreadable;
	*ret = h;
}

struct scheme health_thresholds(const struct scheme *r)
{
	struct scheme t = *r;

	t.success = MAX(t.success, (uint16_t)(t.repair + 1));
	t.total = MAX(t.total, t.success);
	return t;
}

bool segment_is_injured(const struct scheme *r, const struct segment_health *h, bool eager)
{
	struct scheme t = health_thresholds(r);

	return h->misplaced || h->healthy - h->away <= t.repair ||
	       (eager && h->healthy < t.success);
}

/*
 * Negative hypergeometric: of N nodes n hold a healthy piece; nodes fail in random order; on
 * average r·K/(N-K+1) + r of them have failed when the r-th of the n has, with r = n-k+1 and
 * K = N-n.
 */
int64_t segment_urgency(const struct scheme *r, const struct segment_health *h,
			uint32_t nodes_known)
{
	double healthy = h->healthy - h->away, required = r->required;
	double nodes = nodes_known ? nodes_known : NODES_UNKNOWN;

	if (healthy < required)
		return 0;
	nodes = MAX(nodes, healthy);
	double too_many = healthy - required + 1, others = nodes - healthy;
	double failures = too_many * others / (nodes - others + 1) + too_many;
	return (int64_t)MIN(1000 * failures / (nodes * FAILURES_PER_DAY), URGENCY_MAX);
}

unsigned segment_pieces_wanted(const struct scheme *r, const struct segment_health *h)
{
	struct scheme t = health_thresholds(r);
	/* A twentieth more than success, rounded up: some will fail. */
	unsigned goal = MIN((unsigned)t.total, (t.success * 21U + 19) / 20);

	/* When it is repaired, it is for those that are there. */
	unsigned there = h->healthy - h->away;

	return goal > there ? goal - there : 0;
}
