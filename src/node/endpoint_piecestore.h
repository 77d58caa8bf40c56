/* What the two piece streams share. */
#ifndef ACRE_NODE_ENDPOINT_PIECESTORE_H
#define ACRE_NODE_ENDPOINT_PIECESTORE_H

#include "node/node_internal.h"
#include "node/verify.h"

/* A transfer with its limit: what both directions begin and end with. */
struct transfer {
	struct node *node;
	struct rpc_stream *stream;
	struct limit_terms terms;
	struct ed25519_verifier *uplink;
	struct order order; /* the largest so far; amount 0 = none yet */
	bool order_kept;
	struct order_use window; /* of the order log, from the authorisation on */
};

/* The next message; each may take 30 minutes (storagenode.md 4). */
enum err transfer_recv(struct call *call, struct transfer *t, struct bytes *ret) MUST_USE;
void transfer_limit_time(struct call *call);
/* Rules, trust, signature, serial: in this order (storagenode.md 3). */
enum err transfer_authorize(struct call *call, struct transfer *t) MUST_USE;
/* Takes an order that is good and larger. */
enum err transfer_take_order(struct call *call, struct transfer *t, struct bytes wire) MUST_USE;
/* Keeps the largest order until settlement; once. */
void transfer_keep_order(struct transfer *t);
/* The same, whatever became of the transfer; frees. */
void transfer_end(struct transfer *t);
/* How a transfer that was cancelled ends: a node that stops says so, or it would look like the
 * client's own doing. */
enum err transfer_canceled(struct call *call, const struct transfer *t);

#endif
