/*
 * Order limits: made and signed for PUT and GET (orders.md 2, metainfo.md 5.2, 5.10), and the
 * metadata in them that lets settlement bill a bucket without a row per serial (orders.md 7).
 */
#ifndef ACRE_SATELLITE_ORDERS_H
#define ACRE_SATELLITE_ORDERS_H

#include "crypto/sign.h"
#include "order/order.h"
#include "proto/metainfo.pb-c.h"
#include "satellite/auth.h"
#include "satellite/overlay.h"
#include "satellite/satellite.h"

/* What all limits of one segment operation share.  Plain values: a segment ID may keep it and a
 * retry rebuild it. */
struct order_batch {
	Orders__PieceAction action;
	struct serial serial;
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	int64_t limit; /* bytes each piece may move */
	int64_t creation_ns, expiration_ns;
	int64_t piece_expiration_ns; /* 0 = never */
	struct piece_id root;	     /* root piece ID */
	struct payer payer;	     /* in the encrypted metadata */
};

/* Fills serial, keys and times; the caller has set action, limit, piece expiration, root and
 * payer. */
enum err order_batch_begin(struct call *call, struct satellite *sat, struct order_batch *batch,
			   struct ed25519_private *ret_private) MUST_USE;
/* For limits of the batch that go to nodes which may have seen its serial. */
void order_batch_new_serial(struct order_batch *batch);
/* One signed limit for piece `number` at a node, memory from `a`; counted as granted to the payer.
 */
enum err order_batch_limit(struct call *call, struct satellite *sat, struct arena *a,
			   const struct order_batch *batch, const struct node_place *node,
			   uint32_t number, Metainfo__AddressedOrderLimit **ret) MUST_USE;
/* Who pays for a limit of ours; ERR_CRYPTO / ERR_FORMAT when it cannot be read. */
enum err order_metadata_open(struct call *call, const struct satellite *sat, struct arena *a,
			     const Orders__OrderLimit *limit, struct payer *ret) MUST_USE;
void redundancy_fill_message(const struct scheme *s, Pointerdb__RedundancyScheme *m);
Pointerdb__RedundancyScheme *redundancy_message(struct arena *a, const struct scheme *s);

#endif
