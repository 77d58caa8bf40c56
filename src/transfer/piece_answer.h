/* A node's message in a download stream, read in place (orders.md 6). */
#ifndef ACRE_TRANSFER_PIECE_ANSWER_H
#define ACRE_TRANSFER_PIECE_ANSWER_H

#include "base/bytes.h"

/* Views into the message; what is absent is empty. */
struct piece_answer {
	uint64_t offset; /* of data, in the piece */
	struct bytes data;
	struct bytes hash; /* for repair: the uplink's piece hash and order limit, as messages */
	struct bytes limit;
};

/* ERR_FORMAT when it is damaged; unknown fields are passed over. */
enum err piece_answer_parse(struct bytes message, struct piece_answer *ret) MUST_USE;

#endif
