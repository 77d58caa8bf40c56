/*
 * Audits (satellite.md 5, docs/design/audit.md): segments are drawn during the pass over all of
 * them, a random stripe of each is asked from all its nodes and checked by the code itself; nodes
 * that took a request and gave no answer are asked again, alone, for the whole piece.
 */
#ifndef ACRE_SATELLITE_AUDIT_H
#define ACRE_SATELLITE_AUDIT_H

#include "satellite/satellite.h"
#include "satellite/segment_loop.h"
#include "satellite/standing.h"

enum {
	AUDIT_SLOTS = 3,    /* segments drawn per node and pass */
	AUDIT_THREADS = 32, /* nodes asked at a time for one segment */
	AUDIT_QUEUE_MAX = 100000,
	/* More pieces failing together than this look like a fault of ours, so they stay listed. */
	AUDIT_REMOVE_MAX = 6,
	AUDIT_REVERIFY_MAX = 3,	      /* attempts that time out */
	AUDIT_BYTES_PER_SEC = 150000, /* a node that is slower is given up */
};

struct audit_ref {
	struct stream_uuid stream;
	int64_t position;
};

/* What an audit of one segment came to. */
enum audit_verdict {
	AUDIT_DONE,
	AUDIT_GONE,	  /* deleted, expired, inline, or changed meanwhile: nobody is to blame */
	AUDIT_NOT_ENOUGH, /* fewer nodes than pieces needed: nothing could be compared */
	AUDIT_UNCERTAIN,  /* too many shares differ to say which are wrong */
};
const char *audit_verdict_text(enum audit_verdict v);

struct audit_report {
	enum audit_verdict verdict;
	struct audit_ref ref;
	struct audit_record *records; /* in the call's scratch; what is to be counted */
	size_t count;
	size_t removed;	 /* pieces taken off the segment's list */
	size_t suspects; /* pieces that will be asked for whole */
};

/* Asks, compares, counts, removes what failed.  Waits for the nodes. */
enum err audit_segment(struct call *call, struct satellite *sat, const struct audit_ref *ref,
		       struct audit_report *ret) MUST_USE;
/* The oldest segment in the queue; ERR_NOT_FOUND when it is empty. */
enum err audit_next(struct call *call, struct satellite *sat, struct audit_report *ret) MUST_USE;
/* One contained or suspect piece that is due; ERR_NOT_FOUND when there is none. */
struct reverify_report {
	struct audit_record record;
	bool counted; /* the outcome says something */
	bool stays;   /* it will be asked again */
};
enum err audit_reverify_next(struct call *call, struct satellite *sat,
			     struct reverify_report *ret) MUST_USE;

/* ---- drawing (audit_sampler.c) ---- */

/* A reservoir of AUDIT_SLOTS segments per node, drawn with a chance that grows with their size. */
struct audit_sampler;
struct audit_sampler *audit_sampler_new(void);
void audit_sampler_free(struct audit_sampler *s);
void audit_sampler_reset(struct audit_sampler *s);
/* false without memory. */
bool audit_sampler_add(struct audit_sampler *s, const struct audit_ref *ref, int64_t size,
		       const struct piece *pieces, size_t count) MUST_USE;
/* The drawn segments, each once, in no order; an array in scratch. */
enum err audit_sampler_take(struct call *call, struct audit_sampler *s, struct audit_ref **ret,
			    size_t *ret_count) MUST_USE;

/* ---- the service ---- */

/* Observer and chores: "audit", "reverify", "standing".  Called by satellite_start_chores. */
enum err audit_add_chores(struct call *call, struct satellite *sat) MUST_USE;
void audit_close(struct satellite *sat);

/* ---- store_audit.c ---- */

enum err store_audit_push(struct call *call, struct db *db, const struct audit_ref *list,
			  size_t count, int64_t now_ns) MUST_USE;
enum err store_audit_count(struct call *call, struct db *db, int64_t *ret) MUST_USE;
/* Takes it out: whoever has it audits it, or nobody.  ERR_NOT_FOUND. */
enum err store_audit_take(struct call *call, struct db *db, struct audit_ref *ret) MUST_USE;
/* The next remote segment by key, in place; { .position = -1 } begins.  ERR_NOT_FOUND. */
enum err store_audit_after(struct call *call, struct db *db, struct audit_ref *at) MUST_USE;
/* A segment behind a random point of the key; ERR_NOT_FOUND when there is none. */
enum err store_audit_random(struct call *call, struct db *db, struct audit_ref *ret) MUST_USE;

struct reverify_job {
	struct node_id node;
	struct audit_ref ref;
	uint32_t number;
	int64_t inserted_ns, attempted_ns;
	int64_t count; /* attempts, this one included */
	/* The share that an audit could tell neither right nor wrong, to be compared with the
	 * whole piece; size 0: there was none, the node did not answer. */
	struct {
		int64_t offset, size;
		uint8_t hash[HASH_BYTES];
	} share;
};
/* The first attempt at a suspect (share.size > 0) is due at once.  A piece that is listed stays as
 * it is. */
enum err store_reverify_put(struct call *call, struct db *db, const struct reverify_job *list,
			    size_t count, int64_t now_ns) MUST_USE;
/* Claims one that was not tried since due_ns.  ERR_NOT_FOUND. */
enum err store_reverify_take(struct call *call, struct db *db, int64_t now_ns, int64_t due_ns,
			     struct reverify_job *ret) MUST_USE;
enum err store_reverify_drop(struct call *call, struct db *db,
			     const struct reverify_job *job) MUST_USE;
/* All of them, or a node's; an array in `a`. */
enum err store_reverify_list(struct call *call, struct db *db, struct arena *a,
			     const struct node_id *node, struct reverify_job **ret,
			     size_t *ret_count) MUST_USE;

#endif
