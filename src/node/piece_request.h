/*
 * Requests of the two piece streams, read in place: views into the message, nothing copied
 * (orders.md 5, 6).  What is missing is told by has_*; unknown fields are skipped.
 */
#ifndef ACRE_NODE_PIECE_REQUEST_H
#define ACRE_NODE_PIECE_REQUEST_H

#include "base/bytes.h"
#include "base/call.h"

struct upload_request {
	bool has_limit, has_order, has_chunk, has_done;
	struct bytes limit; /* orders.OrderLimit */
	struct bytes order; /* orders.Order */
	struct bytes done;  /* orders.PieceHash */
	int64_t offset;	    /* of the chunk */
	struct bytes data;
	uint64_t hash_algorithm;
};
/* ERR_INVALID when it is not such a message. */
enum err upload_request_parse(struct call *call, struct bytes wire,
			      struct upload_request *ret) MUST_USE;

struct download_request {
	bool has_limit, has_order, has_chunk;
	struct bytes limit;
	struct bytes order;
	int64_t offset, size;
	int64_t maximum_chunk_size; /* int32 on the wire */
};
enum err download_request_parse(struct call *call, struct bytes wire,
				struct download_request *ret) MUST_USE;

#endif
