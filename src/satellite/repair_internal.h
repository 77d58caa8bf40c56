/* What the files of repair share. */
#ifndef ACRE_SATELLITE_REPAIR_INTERNAL_H
#define ACRE_SATELLITE_REPAIR_INTERNAL_H

#include "os/cancel.h"
#include "os/lock.h"
#include "satellite/orders.h"
#include "satellite/repair.h"
#include "transfer/fanout.h"
#include "transfer/spool.h"

/* ---- the observer (repair_checker.c) ---- */

struct repair_seen {
	uint64_t remote, injured, lost;
	uint64_t misplaced;  /* pieces */
	uint32_t margin_min; /* healthy pieces above k, of the worst segment */
	struct repair_durability durability;
};

struct repair_checker {
	struct satellite *sat;
	bool eager;
	struct health_marks marks;
	struct repair_seen seen;
	struct os_mutex lock; /* of what follows */
	struct repair_durability last;
	struct repair_row rows[SEGMENT_BATCH];
	size_t rows_count;
};

enum err repair_checker_begin(struct call *call, void *arg, const struct segment_run *run) MUST_USE;
enum err repair_checker_segments(struct call *call, void *arg, const struct segment_run *run,
				 const struct loop_segment *list, size_t count) MUST_USE;
enum err repair_checker_end(struct call *call, void *arg, const struct segment_run *run,
			    bool complete) MUST_USE;

struct fanout *repair_fanout(const struct satellite *sat);

struct repair {
	struct satellite *sat;
	struct fanout *fanout;
	struct repair_checker checker, eager;
	struct segment_loop *all; /* with the eager checker alone */
	bool fresh;		  /* no claim in the queue is older than this process; SQLite */
};

/* ---- one segment under repair ---- */

enum repair_state {
	REPAIR_UNTRIED,
	REPAIR_OK,     /* download: verified, in the spool; upload: stored */
	REPAIR_FAILED, /* this time: not reached, too slow */
	REPAIR_BAD,    /* the node has no such piece, or another: it leaves the list */
};

/* A piece that is listed, or one to be made. */
struct repair_piece {
	unsigned number;
	struct node_id node;
	struct node_place place;
	uint8_t health; /* of a listed one, PIECE_* */
	enum repair_state state;
	struct spool *spool; /* its bytes, once they are here */
};

struct repair_job {
	struct satellite *sat;
	struct fanout *fanout;
	struct segment segment;
	struct scheme code; /* health_thresholds */
	int64_t piece_size;
	struct segment_health health;
	struct repair_piece *listed; /* numbers rising, as in the segment's row */
	size_t listed_count;
	struct repair_piece *made;
	size_t made_count;
	uint64_t spool_memory; /* of each piece, before a file is made */
	/* Nodes that get none: those that have one, were tried, or are dead. */
	struct node_id *used;
	size_t used_count, used_cap;
};

/* Nodes for `count` pieces, as many as there are up to that; they count as used from then on.
 * Returns how many; places live in the call's scratch. */
size_t repair_choose(struct call *call, struct repair_job *job, size_t count,
		     struct node_place **ret);

/* Fetches until k verified pieces are in their spools (repair_download.c).  ERR_UNAVAILABLE with
 * the reasons of some. */
enum err repair_download(struct call *call, struct repair_job *job) MUST_USE;
/* Computes the made pieces into spools of their own from k verified ones. */
enum err repair_rebuild(struct call *call, struct repair_job *job) MUST_USE;
/* Stores the made pieces on their nodes (repair_upload.c); each piece's state says how it went. */
enum err repair_upload(struct call *call, struct repair_job *job) MUST_USE;

/* Runs fn for the pieces in threads of the fan-out, at most `threads` at a time, in order, until
 * `enough` are REPAIR_OK or all were tried; what is under way then is cancelled.  The reasons of
 * some failures are appended to `why`. */
typedef enum err repair_piece_fn(struct call *call, struct repair_job *job,
				 struct repair_piece *piece, void *arg);
enum err repair_each(struct call *call, struct repair_job *job, struct repair_piece *const *pieces,
		     size_t count, size_t threads, size_t enough, repair_piece_fn *fn, void *arg,
		     struct buf *why) MUST_USE;

#endif
