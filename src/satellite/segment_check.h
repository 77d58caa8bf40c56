/*
 * What CommitSegment believes and what not (metainfo.md 5.4): sizes, hashes, signatures of the
 * nodes, derived piece IDs.  Decides only; nothing here touches the database.
 */
#ifndef ACRE_SATELLITE_SEGMENT_CHECK_H
#define ACRE_SATELLITE_SEGMENT_CHECK_H

#include "proto/metainfo.pb-c.h"
#include "satellite/stream_id.h"

/* ERR_OK when the hash carries that node's signature. */
typedef enum err piece_hash_verify(struct call *call, void *arg, const struct node_id *node,
				   const Orders__PieceHash *hash);

struct segment_check {
	const struct segment_ticket *ticket;
	int64_t now_ns;
	piece_hash_verify *verify;
	void *verify_arg;
	/* The valid pieces, numbers rising; room for redundancy.total each. */
	struct node_id *nodes;
	uint32_t *numbers;
	size_t count;
};

/* InvalidArgument, with the reason. */
enum err segment_check_sizes(struct call *call, const struct segment_check *c,
			     const Metainfo__CommitSegmentRequest *req) MUST_USE;
/* Drops invalid pieces; fewer valid ones than the success threshold is a failure that lists why. */
enum err segment_check_pieces(struct call *call, struct segment_check *c,
			      const Metainfo__CommitSegmentRequest *req) MUST_USE;

/* Pieces to offer for a download: k and some more (metainfo.md 5.10). */
size_t segment_download_count(const struct scheme *r, int64_t desired);
/* Bytes of a piece that the plain range [start, limit) of a segment needs: whole encryption blocks,
 * whole stripes (metainfo.md 5.9).  0 when it cannot be told. */
int64_t segment_range_limit(const struct scheme *r, int32_t cipher, int64_t block_size,
			    int64_t start, int64_t limit);

#endif
