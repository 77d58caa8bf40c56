/*
 * Garbage collection (satellite.md 8, docs/design/books.md): from time to time every node is told,
 * by a Bloom filter, which pieces it has to keep; what it holds besides goes into its trash.
 *
 * A filter that lacks a piece in use costs a customer that piece.  So it is built from a whole pass
 * over the segments or not sent at all; together with it goes a date, and the node keeps whatever
 * is younger: pieces of uploads and repairs that had not been committed when the pass began. Copies
 * share pieces with their originals and may come to lie where the pass has been: those made since
 * it began are in a journal, which is added at the end.
 */
#ifndef ACRE_SATELLITE_GC_H
#define ACRE_SATELLITE_GC_H

#include "identity/identity.h"
#include "satellite/chore.h"

struct satellite;
struct gc;

enum err gc_new(struct call *call, struct satellite *sat, struct gc **ret) MUST_USE;
void gc_free(struct gc *gc);
/* The chore: filters for all nodes that are online, hold pieces and are neither disqualified nor
 * leaving; as many nodes in a pass as gc-memory allows, those that waited longest first. */
enum err gc_run(struct call *call, struct chore *chore, void *gc) MUST_USE;

struct gc_report {
	unsigned passes;
	size_t nodes;		/* that were to get a filter */
	size_t sent, failed;	/* of them */
	size_t held_back;	/* fewer pieces were seen than is plausible */
	uint64_t pieces, bytes; /* in the filters sent */
};
/* Of the last run. */
struct gc_report gc_last(const struct gc *gc);

/* Its passes, for who wants to watch them. */
struct segment_loop *gc_loop(struct gc *gc);

/* A filter goes to a node, by Retain or RetainBig. */
struct gc_filter {
	struct node_id node;
	const char *address; /* ip:port */
	struct bytes wire;
	int64_t created_before_ns; /* Unix */
};
enum { GC_RETAIN_MAX = 4100050 }; /* bytes of a filter that go in one message */
enum err gc_send(struct call *call, struct satellite *sat, const struct gc_filter *f) MUST_USE;

/* In the transaction of a copy: its segments name pieces of others. */
struct db_tx;
enum err gc_note_copy(struct call *call, struct db_tx *tx, struct bytes stream,
		      int64_t now_ns) MUST_USE;
/* The copies that no pass can miss any more are forgotten. */
enum err gc_forget_copies(struct call *call, struct satellite *sat) MUST_USE;

#endif
