/*
 * Graceful exit (satellite.md 9, docs/design/books.md): a node that wants to leave gets no new data
 * and goes on serving what it has, while repair makes its pieces anew elsewhere.  After a while it
 * is judged, once, and gets a signed receipt: with a good one what was held back of its pay is paid
 * out.
 */
#ifndef ACRE_SATELLITE_EXIT_H
#define ACRE_SATELLITE_EXIT_H

#include "db/db.h"
#include "identity/identity.h"
#include "proto/gracefulexit.pb-c.h"
#include "satellite/config.h"

/* A node's row; times are Unix, 0 = not. */
struct exit_node {
	struct node_id id;
	int64_t created_ns, disqualified_ns, unknown_suspended_ns, offline_suspended_ns;
	int64_t initiated_ns, finished_ns;
	bool success;
	double online_score;
};

enum exit_step {
	EXIT_REFUSED,  /* with why, in the call */
	EXIT_BEGIN,    /* now */
	EXIT_WAIT,     /* under way */
	EXIT_FINISH,   /* now, with `success` and `reason` */
	EXIT_FINISHED, /* long ago */
};
struct exit_decision {
	enum exit_step step;
	bool success;
	Gracefulexit__ExitFailed__Reason reason;
	bool fail_now; /* refused, and a running exit ends with it */
};
/* Pure. */
struct exit_decision exit_decide(struct call *call, const struct satellite_config *config,
				 const struct exit_node *n, int64_t now_ns);

struct satellite;
/* What a node hears that asks: decided and stored; the message is signed, memory from `a`.
 * ERR_PRECONDITION with why, ERR_INTERNAL for a node nobody knows. */
enum err exit_process(struct call *call, struct satellite *sat, const struct node_id *id,
		      struct arena *a, Gracefulexit__SatelliteMessage *ret) MUST_USE;
/* The row of a node.  ERR_NOT_FOUND. */
enum err exit_read(struct call *call, struct db *db, const struct node_id *id,
		   struct exit_node *ret) MUST_USE;
/* From when on it may leave. */
int64_t exit_allowed_ns(const struct satellite_config *config, const struct exit_node *n);

#endif
