/*
 * A segment to n nodes (erasure.md 5): encrypted bytes come from a source as they are made, are
 * erasure coded batch by batch, and go out as streams of as many pieces as must succeed, of others
 * when some fail or lag, until enough of them are stored.
 * Memory is bounded by the ring of batches whatever the segment's size.
 */
#ifndef ACRE_TRANSFER_SEGMENT_UPLOAD_H
#define ACRE_TRANSFER_SEGMENT_UPLOAD_H

#include "crypto/hash.h"
#include "erasure/scheme.h"
#include "order/order.h"
#include "proto/metainfo.pb-c.h"
#include "transfer/fanout.h"

enum {
	SEGMENT_UPLOAD_ROUNDS_MAX = 10, /* asks for new nodes (erasure.md 5.3) */
	/* The ring of encoded batches: what stays in caches until it is sent. */
	SEGMENT_UPLOAD_MEMORY_DEFAULT = 4 << 20,
};

struct segment_upload {
	struct scheme scheme;
	/* scheme.total entries, index = piece number. */
	const Metainfo__AddressedOrderLimit *const *limits;
	struct ed25519_private piece_key;
	enum hash_algorithm algorithm;
	const Metainfo__CohortRequirements *requirements; /* NULL = scheme.success pieces */

	uint64_t size_max;    /* encrypted bytes the limits were made for */
	uint32_t block_bytes; /* the source likes room for whole blocks of that size; 0 = any */
	/* Up to cap encrypted bytes; fewer than cap only at the end of the segment. */
	enum err (*read)(struct call *call, void *arg, uint8_t *buf, size_t cap, size_t *ret_n);
	/* New limits for these pieces; the answer's limits live until the upload returns. */
	enum err (*renew)(struct call *call, void *arg, const unsigned numbers[], size_t count,
			  const Metainfo__AddressedOrderLimit *const **ret_limits);
	/* Encrypted bytes that have left for the nodes so far; may be NULL. */
	void (*progress)(void *arg, uint64_t encrypted);
	void *arg;

	/* NULL = what was sent is kept in a spool, for pieces that start over.  Else it is not:
	 * when something would have to be sent again the upload fails, and *again says that this is
	 * why. The caller begins the segment anew, with another key (nothing is encrypted twice).
	 */
	bool *again;
	const char *temp_dir; /* as for spool_new */
	size_t memory_max;    /* 0 = SEGMENT_UPLOAD_MEMORY_DEFAULT */
	int64_t stall_ns;     /* a node that does not move for so long has failed; 0 = 2 min */
};

struct segment_piece {
	unsigned number;
	struct node_id node;
	Orders__PieceHash *hash; /* signed by the node */
};

struct segment_upload_result {
	uint64_t encrypted_size;
	struct segment_piece *pieces; /* rising numbers */
	size_t count;
	bool smooth; /* no piece was needed beyond those it began with */
};

/* Results live in `a`.  ERR_UNAVAILABLE when not enough nodes took their pieces, with the reasons
 * of some; whatever read or renew failed with. */
enum err segment_upload(struct call *call, struct fanout *f, const struct segment_upload *params,
			struct arena *a, struct segment_upload_result *ret) MUST_USE;

#endif
