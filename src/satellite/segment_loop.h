/*
 * One pass over all segments, in the order of their key, feeding every observer (satellite.md 4):
 * the repair checker, the audit sampler, sums for accounting.  Batches are read one by one, so the
 * pass holds nothing of the database while it thinks, and rests between them (chore.h).
 *
 * It is no snapshot.  What exists during the whole pass is seen exactly once; what comes or goes
 * meanwhile may be seen or not.  A copy made during the pass may lie where the pass has been, and
 * its original be gone before the pass gets there: whoever concludes from a piece not being seen
 * that nobody needs it (garbage filters) has to think of that.
 */
#ifndef ACRE_SATELLITE_SEGMENT_LOOP_H
#define ACRE_SATELLITE_SEGMENT_LOOP_H

#include "satellite/chore.h"
#include "satellite/metainfo.h"
#include "satellite/piece_list.h"
#include "satellite/placement.h"

enum { SEGMENT_OBSERVERS_MAX = 16, SEGMENT_BATCH = 1024 };

/* A node as the overlay saw it not long ago.  Without NODE_KNOWN all else is 0. */
enum {
	NODE_KNOWN = 1,
	NODE_ONLINE = 2, /* heard of within the silence window */
	NODE_DISQUALIFIED = 4,
	NODE_SUSPENDED = 8, /* either way */
	NODE_EXITING = 16,
	NODE_VETTED = 32,
	NODE_AWAY = 64, /* silent, outside of the hours it declared; never with NODE_ONLINE */
};
struct loop_node {
	struct node_id id;
	uint32_t flags;
	uint32_t net;	     /* equal for nodes of one network; 0 for unknown nodes */
	uint64_t conditions; /* of the placements, which it fulfils */
	struct geo geo;
};

struct segment_run {
	int64_t started_ns;  /* Unix */
	struct chore *chore; /* whose run it is, for chore_fence; may be NULL */
	/* nodes[alias]; every alias of a batch is below nodes_count.  Both may change from batch to
	 * batch: they are made anew now and then, as nodes come and go. */
	const struct loop_node *nodes;
	uint32_t nodes_count;
	const struct placement_set *placements; /* as old as the nodes */
	uint32_t nets_count;			/* network numbers are below it */
	uint32_t nodes_known;	   /* nodes that are in the overlay, with pieces or not */
	uint64_t segments, pieces; /* seen so far, inline ones among the segments */
};

/* Everything in it lives until the observer returns. */
struct loop_segment {
	struct stream_uuid stream;
	int64_t position;			     /* part << 32 | index */
	int64_t created_ns, repaired_ns, expires_ns; /* 0: not; expired ones come, too */
	int64_t encrypted_size;
	int32_t placement;
	bool is_inline; /* no root, no redundancy, no pieces */
	/* The list of pieces cannot be read; it comes as empty. */
	bool damaged;
	struct scheme redundancy;
	struct piece_id root;
	const struct piece *pieces; /* numbers rising */
	uint32_t pieces_count;
};

/* Called in one thread, that of the pass; what they take of the call's scratch memory is gone after
 * the batch.  Who fails is left out of the rest of the pass; the
 * others go on.  end is called whenever begin went well; complete: all segments were shown. */
struct segment_observer {
	const char *name;
	void *arg;
	enum err (*begin)(struct call *call, void *arg, const struct segment_run *run);
	enum err (*segments)(struct call *call, void *arg, const struct segment_run *run,
			     const struct loop_segment *list, size_t count);
	enum err (*end)(struct call *call, void *arg, const struct segment_run *run, bool complete);
};

struct segment_loop;
struct satellite;

enum err segment_loop_new(struct call *call, struct satellite *sat,
			  struct segment_loop **ret) MUST_USE;
void segment_loop_free(struct segment_loop *loop);
/* Before the first pass.  Copied; names are static. */
enum err segment_loop_add(struct call *call, struct segment_loop *loop,
			  const struct segment_observer *observer) MUST_USE;
/* One pass with `percent` of the time for it.  The first failure of an observer comes back when the
 * others are done; one of the database or of the call at once.  chore may be NULL. */
enum err segment_loop_run(struct call *call, struct segment_loop *loop, unsigned percent,
			  struct chore *chore) MUST_USE;

#endif
