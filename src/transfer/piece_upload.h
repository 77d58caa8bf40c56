/* One piece to one node (orders.md 5).  Blocking; one thread per piece. */
#ifndef ACRE_TRANSFER_PIECE_UPLOAD_H
#define ACRE_TRANSFER_PIECE_UPLOAD_H

#include "crypto/hash.h"
#include "order/order.h"
#include "transfer/fanout.h"

enum {
	PIECE_CHUNK_MAX = 65536, /* data bytes of one message */
	PIECE_SLICES_MAX = 16,	 /* extents of one message */
	PIECE_HASH_AGE_SECONDS = 24 * 3600,
};

struct piece_upload;

/* Connects and announces the limit.  The limit and signer are borrowed until close.  Each step
 * that waits for the node may take stall_ns. */
enum err piece_upload_open(struct call *call, struct fanout *f, const struct addressed_limit *limit,
			   const struct ed25519_signer *signer, enum hash_algorithm algorithm,
			   int64_t stall_ns, struct piece_upload **ret) MUST_USE;
/* Sends the slices as one chunk: at most PIECE_CHUNK_MAX bytes, PIECE_SLICES_MAX slices.  With last
 * the piece ends with them (count may be 0 then).  flush: no more is ready, move it to the node. */
enum err piece_upload_write(struct call *call, struct piece_upload *u, const struct bytes *slices,
			    size_t count, bool last, bool flush) MUST_USE;
/* Waits for the node's signed answer and checks it; the hash lives in `a`. */
enum err piece_upload_finish(struct call *call, struct piece_upload *u, struct arena *a,
			     Orders__PieceHash **ret_hash) MUST_USE;
uint64_t piece_upload_sent(const struct piece_upload *u);
/* Unless finished the node is told to forget the piece (soft cancel, transport.md 7.6). */
void piece_upload_close(struct piece_upload *u);

#endif
