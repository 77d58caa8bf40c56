/*
 * The standing of nodes: audits are counted (reputation.h), what follows goes into the node's row,
 * is written down as an event, and what did not succeed is kept, signed, for the node to see.
 */
#ifndef ACRE_SATELLITE_STANDING_H
#define ACRE_SATELLITE_STANDING_H

#include "db/db.h"
#include "satellite/metainfo.h"
#include "satellite/reputation.h"
#include "satellite/satellite.h"

enum {
	AUDIT_DETAIL_MAX = 200,
	AUDIT_RESULTS_KEPT = 100, /* per node */
	NODE_EVENTS_KEPT = 100,
	STANDING_RECORDS_MAX = 256,
};

/* One audit of one node. */
struct audit_record {
	struct node_id node;
	enum audit_outcome outcome;
	/* What was asked for. */
	struct stream_uuid stream;
	int64_t position;
	uint32_t number;
	struct piece_id piece;
	int64_t offset, size;
	const char *detail; /* what was wrong; "" = nothing */
};

/* Counts them in one transaction; nodes that are disqualified, have left or are not known are
 * passed over.  Waits. */
enum err standing_record(struct call *call, struct satellite *sat, const struct audit_record *list,
			 size_t count, int64_t now_ns) MUST_USE;
/* What follows from time alone: graces that ended, nodes without contact for too long.  For a
 * chore; *ret_changed counts nodes. */
enum err standing_age_all(struct call *call, struct satellite *sat, int64_t now_ns,
			  size_t *ret_changed) MUST_USE;
/* A way back, by the operator's decision: states lifted, scores as a new node's.  ERR_NOT_FOUND. */
enum err standing_reinstate(struct call *call, struct db *db, const struct reputation_rules *rules,
			    const struct node_id *id, int64_t now_ns) MUST_USE;
/* And the way out.  ERR_NOT_FOUND. */
enum err standing_disqualify(struct call *call, struct db *db, const struct reputation_rules *rules,
			     const struct node_id *id, int64_t now_ns) MUST_USE;

/* ---- reading ---- */

/* Of a node that was never audited: a new one's.  ERR_NOT_FOUND: no such node. */
enum err standing_get(struct call *call, struct db *db, const struct reputation_rules *rules,
		      const struct node_id *id, struct reputation *ret) MUST_USE;
/* The same within a transaction. */
enum err standing_load(struct call *call, struct db_tx *tx, const struct reputation_rules *rules,
		       const struct node_id *id, struct reputation *ret) MUST_USE;

struct node_event {
	int64_t at_ns;
	const char *text;
};
struct audit_result {
	struct node_id node;
	int64_t at_ns;
	struct stream_uuid stream;
	int64_t position;
	uint32_t number;
	enum audit_outcome outcome;
	struct bytes result, signature; /* an acre.AuditResult and what is under it */
};
/* Newer than after_ns, oldest first; of all nodes when id is NULL.  Memory from `a`. */
enum err standing_events(struct call *call, struct db *db, struct arena *a,
			 const struct node_id *id, int64_t after_ns, struct node_event **ret,
			 size_t *ret_count) MUST_USE;
enum err standing_results(struct call *call, struct db *db, struct arena *a,
			  const struct node_id *id, int64_t after_ns, struct audit_result **ret,
			  size_t *ret_count) MUST_USE;

/* ---- store_standing.c, within a transaction ---- */

enum err store_reputation_put(struct call *call, struct db_tx *tx, const struct node_id *id,
			      const struct reputation *r) MUST_USE;
/* The states in the node's row. */
enum err store_node_states(struct call *call, struct db_tx *tx, const struct node_id *id,
			   const struct reputation *r, int64_t now_ns) MUST_USE;
enum err store_node_event(struct call *call, struct db_tx *tx, const struct node_id *id,
			  int64_t at_ns, const char *text) MUST_USE;
enum err store_audit_result(struct call *call, struct db_tx *tx,
			    const struct audit_result *r) MUST_USE;
/* Nodes under review or without contact since then: those that standing_age_all looks at. */
enum err store_nodes_aging(struct call *call, struct db_tx *tx, int64_t stray_since_ns,
			   struct node_id **ret, size_t *ret_count) MUST_USE;

#endif
