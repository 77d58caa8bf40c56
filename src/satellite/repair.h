/*
 * Repair (satellite.md 6, docs/design/durability.md): an observer of the segment loop puts injured
 * segments into table repair_queue; workers take the most endangered one, fetch as many of its
 * pieces as give it back, each checked against what its uplink signed, make the missing ones, store
 * them on other nodes and change the segment's list of pieces.  Only ciphertext is seen.
 */
#ifndef ACRE_SATELLITE_REPAIR_H
#define ACRE_SATELLITE_REPAIR_H

#include "satellite/health.h"
#include "satellite/metainfo.h"
#include "satellite/satellite.h"

enum { REPAIR_ERROR_MAX = 400 };

struct repair; /* of one process: connections to nodes, workers */

/* Registers the observer and the chores "repair" (works off the queue, in every process) and
 * "repair-all" (one pass that takes every segment below its success threshold). */
enum err repair_open(struct call *call, struct satellite *sat) MUST_USE;
/* After the chores ended; NULL in sat->repair is fine. */
void repair_close(struct satellite *sat);

/* ---- the queue ---- */

struct repair_row {
	struct stream_uuid stream;
	int64_t position;
	int64_t urgency;	       /* segment_urgency */
	unsigned healthy, retrievable; /* when it was looked at */
	unsigned required, success;
	bool eager; /* wanted above the repair threshold, too */
	bool lost;  /* cannot be repaired now */
	int64_t added_ns, seen_ns;
	int64_t attempts;
	int64_t not_before_ns; /* no attempt before; while one runs, the end of its time */
	const char *error;     /* of the last attempt; "" */
};

/* What the last whole pass saw of the segments on nodes: by how many of their pieces may still be
 * lost before a segment cannot be read, counting those that can be read now. */
enum { REPAIR_SPARE_MAX = 64 };
struct repair_durability {
	int64_t ended_ns; /* Unix; 0: no pass ended yet */
	uint64_t injured, lost;
	uint64_t spare[REPAIR_SPARE_MAX + 1]; /* of the last one: so many or more */
};
struct repair_durability repair_durability(const struct satellite *sat);

/* Puts or refreshes; what is known about attempts stays, unless its health changed. */
enum err store_repair_put(struct call *call, struct db *db, const struct repair_row *rows,
			  size_t count) MUST_USE;
/* Removes what a complete pass that began then did not see injured; *ret_removed counts. */
enum err store_repair_clean(struct call *call, struct db *db, int64_t started_ns,
			    int64_t *ret_removed) MUST_USE;
/* Takes the most urgent one for claim_ns; ERR_NOT_FOUND without a text of its own. */
enum err store_repair_claim(struct call *call, struct db *db, int64_t now_ns, int64_t claim_ns,
			    struct repair_row *ret) MUST_USE;
/* Of a row that was claimed, as it came from that: another claim since then makes all three do
 * nothing.  Whoever has it needs longer; ERR_NOT_FOUND: it is gone, or another's. */
enum err store_repair_renew(struct call *call, struct db *db, const struct repair_row *row,
			    int64_t until_ns) MUST_USE;
/* It is repaired or gone. */
enum err store_repair_done(struct call *call, struct db *db, const struct repair_row *row) MUST_USE;
/* An attempt ended without success; error, not_before_ns, lost and the counts of row are stored. */
enum err store_repair_failed(struct call *call, struct db *db,
			     const struct repair_row *row) MUST_USE;
/* No worker is at work (the only process starts): all may be tried at once. */
enum err store_repair_reset(struct call *call, struct db *db) MUST_USE;

struct repair_count {
	int64_t waiting, lost, failing; /* failing: among the waiting, an attempt failed */
	int64_t urgency;		/* of the most urgent that is not lost; 0 without one */
};
enum err store_repair_count(struct call *call, struct db *db, struct repair_count *ret) MUST_USE;
/* Most urgent first, lost ones before all; at most `limit`; texts in `a`. */
enum err store_repair_list(struct call *call, struct db *db, struct arena *a, int64_t limit,
			   struct repair_row **ret, size_t *ret_count) MUST_USE;

/* ---- one segment ---- */

/* Repairs it and stores the new list.  OK: at least the success threshold is healthy, or the
 * segment needs nothing (any more).  Otherwise row->error's text is in the call, and row's counts
 * are what they are now; row->lost is set when too few pieces can be read. */
enum err repair_segment(struct call *call, struct satellite *sat, struct repair_row *row) MUST_USE;

#endif
