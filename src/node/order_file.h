/*
 * The bytes of order files: per satellite and hour of the limits' creation (the settlement window,
 * orders.md 8) one file of pairs of limit and largest order, both as they came.
 *
 *	header 64 | entry | entry | ...
 *	entry = magic, lengths (16) | limit | order | checksum (8)
 *
 * Writers append at offsets of their own, so an unfinished entry may be followed by good ones: a
 * reader looks for the next good entry behind a bad one.  (Foreign bytes could be taken for an
 * entry there; what settles is checked by its signatures anyway.)
 */
#ifndef ACRE_NODE_ORDER_FILE_H
#define ACRE_NODE_ORDER_FILE_H

#include "base/bytes.h"
#include "identity/identity.h"
#include "order/order.h"

enum {
	ORDER_FILE_HEADER_BYTES = 64,
	ORDER_ENTRY_FRAME_BYTES = 24, /* around limit and order */
	ORDER_ENTRY_LIMIT_MAX = 32 << 10,
	ORDER_ENTRY_MAX = ORDER_ENTRY_FRAME_BYTES + ORDER_ENTRY_LIMIT_MAX + ORDER_WIRE_MAX,
	ORDER_WINDOW_SECONDS = 3600,
};

struct order_window {
	struct node_id satellite;
	int64_t hour_unix; /* its first second */
};

/* The first second of the window of a limit. */
static inline int64_t order_window_hour(int64_t creation_unix_ns)
{
	int64_t s = creation_unix_ns / 1000000000;

	return s - s % ORDER_WINDOW_SECONDS;
}

struct order_entry {
	struct bytes limit; /* views */
	struct bytes order;
};

void order_file_encode_header(const struct order_window *w, uint8_t out[ORDER_FILE_HEADER_BYTES]);
/* Appends one entry to out; limit and order within their limits. */
void order_file_encode_entry(struct buf *out, struct bytes limit, struct bytes order);
/* ERR_FORMAT: no order file. */
enum err order_file_header(struct bytes file, struct order_window *ret) MUST_USE;
/* The next good entry that begins at or after *pos and before `until`.  *pos moves behind it; false
 * when there is none, *pos is then `until`. */
bool order_file_next(struct bytes file, size_t *pos, size_t until, struct order_entry *ret);

#endif
