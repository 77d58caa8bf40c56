/*
 * Chores: what the satellite does by itself, again and again, each in a thread of its own: looking
 * at all segments, repairing, auditing, sending filters, removing what expired.
 * docs/design/chores.md
 *
 * A chore runs in one process of those that share a database: whoever holds its lease, a row of
 * table chores that is renewed while it runs and can be taken over when it is not.  That row also
 * says when it runs next, how it went, and whether somebody asks for it out of turn.
 */
#ifndef ACRE_SATELLITE_CHORE_H
#define ACRE_SATELLITE_CHORE_H

#include "db/db.h"

enum { CHORES_MAX = 32, CHORE_NAME_MAX = 32, CHORE_NOTE_MAX = 160, CHORE_STOPS_MAX = 8 };

struct chores; /* of one process */
struct chore;

struct chore_spec {
	const char *name; /* "segment-loop"; static */
	/* From the end of a run to the next one, a tenth more or less; 0: only when asked for. */
	int64_t interval_ns;
	int64_t first_ns; /* no run earlier than this after the start, unless asked for */
	/* In every process by itself: no lease, nobody elsewhere sees more than the last result. */
	bool everywhere;
	/* One run.  The call ends when the satellite stops or the lease is lost: between steps, ask
	 * os_call_check.  What it has begun must be safe to do again. */
	enum err (*run)(struct call *call, struct chore *chore, void *arg);
	void *arg;
};

/* No threads yet.  The database is borrowed. */
enum err satellite_chores_new(struct call *call, struct db *db, struct chores **ret) MUST_USE;
/* Before the start.  ERR_EXHAUSTED, ERR_EXISTS. */
enum err satellite_chores_add(struct call *call, struct chores *c,
			      const struct chore_spec *spec) MUST_USE;
enum err satellite_chores_start(struct call *call, struct chores *c) MUST_USE;
/* Cancels what runs, ends the threads, frees; NULL is fine. */
void satellite_chores_free(struct chores *c);

/* Asks for a run soon, in whatever process; never waits.  A run under way is followed by another.
 * An unknown name is ignored. */
void satellite_chores_trigger(struct chores *c, const char *name);
/* The same through the database, from any process; waits for that.  *ret_request (may be NULL) is
 * for chore_state.  ERR_NOT_FOUND: no satellite ever had that chore. */
enum err satellite_chores_request(struct call *call, struct db *db, const char *name,
				  int64_t *ret_request) MUST_USE;

/* ---- for a run ---- */

/* What it is at or has done, for people; shown by acre-satellite chores. */
void chore_note(struct chore *chore, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* After work that took busy_ns: rests so long that the work had `percent` of the time.  Ends as
 * the call does. */
enum err chore_rest(struct call *call, int64_t busy_ns, unsigned percent) MUST_USE;

/* In a transaction, before what must not be done by two: ERR_ABORTED when another process took the
 * lease over, as from one that was frozen for longer than that, and the run is over.  NULL, and one
 * that runs everywhere: fine. */
enum err chore_fence(struct call *call, struct db_tx *tx, struct chore *chore) MUST_USE;

/* ---- what the table says ---- */

struct chore_state {
	const char *name, *error, *note;       /* error "": the last run went well */
	bool running;			       /* now, in some process */
	int64_t started_ns, ended_ns, next_ns; /* Unix; 0 = never */
	int64_t runs, failures;
	int64_t requests, served; /* the run that began last answers all up to `served` */
};
/* By name; strings live in `a`. */
enum err satellite_chores_list(struct call *call, struct db *db, struct arena *a,
			       struct chore_state **ret, size_t *ret_count) MUST_USE;

#endif
