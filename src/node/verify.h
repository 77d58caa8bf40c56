/*
 * The rules for order limits, orders and piece hashes (storagenode.md 3 and 4), in the order and
 * with the status codes of the reference node.  Pure, apart from cryptography: who is trusted and
 * which serials were used is asked elsewhere.
 */
#ifndef ACRE_NODE_VERIFY_H
#define ACRE_NODE_VERIFY_H

#include "base/call.h"
#include "identity/identity.h"
#include "order/order.h"
#include "proto/orders.pb-c.h"

/* What an order limit says, read once. */
struct limit_terms {
	const Orders__OrderLimit *message;
	struct bytes wire; /* as it came: kept for settlement and repair */
	struct serial serial;
	struct node_id satellite, node;
	struct piece_id piece;
	int64_t limit;
	Orders__PieceAction action;
	int64_t piece_expiration_unix_ns, order_expiration_unix_ns, order_creation_unix_ns;
};
/* Decodes a limit; everything lives in `a`, the wire bytes too.  ERR_INVALID. */
enum err limit_terms_read(struct call *call, struct arena *a, struct bytes wire,
			  struct limit_terms *ret) MUST_USE;

/* The checks before trust, signature and serial.  ERR_INVALID. */
enum err verify_limit(struct call *call, const struct limit_terms *t, const struct node_id *me,
		      int64_t now_unix_ns) MUST_USE;
/* The next order of a request; largest is the amount of the one before (0 = none). */
enum err verify_order(struct call *call, const struct limit_terms *t, const struct order *order,
		      int64_t largest, const struct ed25519_verifier *uplink) MUST_USE;
/* The uplink's piece hash at the end of an upload, against what was received.  ERR_INTERNAL, and
 * ERR_INVALID for the size. */
struct received_piece {
	enum hash_algorithm algorithm;
	uint8_t hash[HASH_BYTES];
	uint64_t size;
};
enum err verify_piece_hash(struct call *call, const struct limit_terms *t,
			   const Orders__PieceHash *hash, const struct received_piece *received,
			   const struct ed25519_verifier *uplink) MUST_USE;

#endif
