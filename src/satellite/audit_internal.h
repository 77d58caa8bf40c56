/* What the files of audits share. */
#ifndef ACRE_SATELLITE_AUDIT_INTERNAL_H
#define ACRE_SATELLITE_AUDIT_INTERNAL_H

#include "satellite/audit.h"
#include "satellite/orders.h"
#include "satellite/piece_origin.h"

/* One piece of a segment under audit. */
struct audit_piece {
	uint32_t number;
	struct node_place place;
	struct addressed_limit limit; /* blank: the node is not asked */
	bool contained; /* it owes an answer already, or is away as it said: left alone */
	bool asked;
	bool connected;
	bool wrong; /* its share differs from what the others say */
	enum audit_outcome outcome;
	char detail[AUDIT_DETAIL_MAX];
	uint8_t *share; /* room for it */
};

struct audit_job {
	struct satellite *sat;
	struct audit_ref ref;
	struct segment segment;
	struct audit_piece *pieces;
	size_t count;
	uint32_t stripe;
	struct ed25519_signer *signer;
};

/* The segment with its places, and who is contained.  ERR_NOT_FOUND: nothing to audit there. */
enum err audit_load(struct call *call, struct audit_job *job) MUST_USE;
/* Whether the list of pieces is still the one that was loaded. */
enum err audit_unchanged(struct call *call, const struct audit_job *job, bool *ret) MUST_USE;
/* Pieces off the list, if it is still the one that was loaded, and not too many at once.  *ret is
 * how many: all or none. */
enum err audit_remove(struct call *call, const struct audit_job *job, const uint32_t *numbers,
		      size_t count, size_t *ret) MUST_USE;

/* ---- asking (audit_share.c) ---- */

/* Limits for all nodes that can be asked; *ret_count says how many. */
enum err audit_make_limits(struct call *call, struct audit_job *job, size_t *ret_count) MUST_USE;
/* Asks them all, AUDIT_THREADS at a time; each piece has its outcome then.  Fails only when the
 * call ends or a thread cannot be started. */
enum err audit_fetch_shares(struct call *call, struct audit_job *job) MUST_USE;
/* A fresh connection to a node, as resolved at its last check-in. */
enum err audit_dial(struct call *call, struct satellite *sat, const struct node_place *place,
		    struct rpc_conn **ret) MUST_USE;
/* How long `size` bytes may take. */
int64_t audit_timeout_ns(const struct satellite *sat, int64_t size);

#endif
