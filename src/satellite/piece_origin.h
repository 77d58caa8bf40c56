/*
 * What a node shows with a whole piece (GET_REPAIR, orders.md 6.5): the hash that the uplink signed
 * and the order limit of ours it was uploaded with.  Together they prove which bytes belong there.
 */
#ifndef ACRE_SATELLITE_PIECE_ORIGIN_H
#define ACRE_SATELLITE_PIECE_ORIGIN_H

#include "crypto/hash.h"
#include "order/order.h"
#include "satellite/satellite.h"

/* The piece that is asked for. */
struct piece_wanted {
	struct node_id node;
	struct piece_id id;
	int64_t size;
};

struct piece_origin {
	enum hash_algorithm algorithm;
	uint8_t hash[HASH_BYTES];
};

/* Checks both messages as they came.  ERR_PROTOCOL, ERR_FORMAT, ERR_UNAUTHENTICATED: they are
 * absent, of another piece, or not signed well. */
enum err piece_origin_read(struct call *call, const struct satellite *sat,
			   const struct piece_wanted *wanted, struct bytes hash_wire,
			   struct bytes limit_wire, struct piece_origin *ret) MUST_USE;

#endif
