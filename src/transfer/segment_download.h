/*
 * A range of a segment from any k of its nodes (erasure.md 6): piece streams run ahead of the
 * reader into a bounded window, a batch is decoded as soon as k pieces have it, slow and failed
 * nodes are replaced by others of the satellite's list.
 */
#ifndef ACRE_TRANSFER_SEGMENT_DOWNLOAD_H
#define ACRE_TRANSFER_SEGMENT_DOWNLOAD_H

#include "erasure/scheme.h"
#include "order/order.h"
#include "proto/metainfo.pb-c.h"
#include "transfer/fanout.h"

enum { SEGMENT_DOWNLOAD_MEMORY_DEFAULT = 8 << 20 };

struct segment_download_params {
	struct scheme scheme;
	/* scheme.total entries, index = piece number, blank ones are no candidates; all borrowed
	 * until the download is closed. */
	const Metainfo__AddressedOrderLimit *const *limits;
	struct ed25519_private piece_key;
	uint64_t encrypted_size; /* of the segment, without the erasure padding */
	uint64_t offset, length; /* wanted part of it; length > 0 */
	/* Collects more pieces than needed and corrects wrong ones (erasure.md 4): slower, for data
	 * that did not authenticate. */
	bool verify;
	bool ahead;		     /* of its turn: ERR_BUSY instead of waiting for connections */
	const struct node_id *avoid; /* nodes to ask last */
	size_t avoid_count;
	size_t memory_max; /* 0 = SEGMENT_DOWNLOAD_MEMORY_DEFAULT */
	int64_t stall_ns;  /* nothing arrives for so long: given up; 0 = 30 s */
};

struct segment_download;

/* Starts the streams.  The call's cancel object is borrowed until close. */
enum err segment_download_open(struct call *call, struct fanout *f,
			       const struct segment_download_params *params,
			       struct segment_download **ret) MUST_USE;
/* The next bytes in order; a view that lives until the next call.  ERR_EOF at the end of the range.
 * ERR_UNAVAILABLE: fewer than k nodes delivered, with the reasons of some.  ERR_DATA_LOSS (verify):
 * too many pieces are wrong. */
enum err segment_download_read(struct call *call, struct segment_download *d,
			       struct bytes *ret) MUST_USE;
/* Nodes that sent wrong bytes (verify); returns their number, at most max. */
size_t segment_download_liars(struct segment_download *d, struct node_id *ret, size_t max);
/* Ends all streams; NULL is fine. */
void segment_download_close(struct segment_download *d);

#endif
