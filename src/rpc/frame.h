/*
 * DRPC on the wire: frame headers, packets joined from frames, bodies of Error and InvokeMetadata
 * (transport.md 7.1 to 7.3).  Nothing here waits or knows about connections.
 */
#ifndef ACRE_RPC_FRAME_H
#define ACRE_RPC_FRAME_H

#include "base/bytes.h"
#include "base/call.h"

enum packet_kind {
	PACKET_RESERVED = 0,
	PACKET_INVOKE = 1,
	PACKET_MESSAGE = 2,
	PACKET_ERROR = 3,
	PACKET_CANCEL = 4,
	PACKET_CLOSE = 5,
	PACKET_CLOSE_SEND = 6,
	PACKET_INVOKE_METADATA = 7,
};

enum {
	FRAME_HEADER_MAX = 1 + 3 * 10,
	PACKET_KIND_MAX = 63,
	PACKET_INVOKE_MAX = 16 << 10, /* data of a packet that belongs to no live stream */
};

struct frame_header {
	uint64_t stream, message, length;
	uint8_t kind;
	bool control, done;
};

/* Writes a header at p (room for FRAME_HEADER_MAX); returns its length. */
size_t frame_put_header(uint8_t *p, const struct frame_header *h);
/* Parses the header at the front: OK, ERR_WOULD_BLOCK when cut off, ERR_PROTOCOL for a bad varint.
 */
enum err frame_parse_header(struct bytes v, struct frame_header *ret, size_t *ret_len) MUST_USE;

/* Body of an Error packet.  The text is a view. */
struct bytes error_body_parse(struct bytes body, uint64_t *ret_code);
/* Strict check of an InvokeMetadata body; `each` (may be NULL) gets the pairs in order. */
enum err metadata_parse(struct bytes body,
			void (*each)(void *arg, struct bytes key, struct bytes value),
			void *arg) MUST_USE;
void metadata_add(struct buf *out, struct bytes key, struct bytes value);

struct packet {
	uint64_t stream, message;
	uint64_t at; /* position of the data, for packet_reader_data */
	uint32_t len;
	uint8_t kind;
	bool control;
};

/*
 * Joins frames into packets inside the one buffer that bytes are decrypted into.  Frame data that
 * follows other data of its packet is moved down over the header between them, so a packet is
 * always contiguous, and one that came in one frame is never copied.
 *
 * Positions are absolute: data may move in memory, positions stay.  Kept when room is made are the
 * packet being joined, unparsed bytes, everything from `keep` on, and, in place, a pinned view.
 */
struct packet_reader {
	uint8_t *data;
	size_t cap;
	uint64_t base;	     /* position of data[0] */
	uint64_t parse, end; /* unparsed bytes: [parse, end) */
	uint64_t keep;	     /* first packet given out and not yet used; UINT64_MAX = none */
	bool pinned;	     /* a packet before `keep` is in a caller's hands as a view */
	uint8_t *held;	     /* former buffer that the pinned view lies in */

	uint64_t max;	       /* data bytes of one packet of the live stream */
	uint64_t live;	       /* other streams' packets may have PACKET_INVOKE_MAX bytes */
	uint64_t drop_through; /* packets of streams up to here are read and forgotten */

	uint64_t next_stream, next_message; /* the lowest id that may come */
	struct packet packet;		    /* being joined */
	uint64_t packet_len;
	uint64_t frame_left; /* data bytes of the present frame that are still to come */
	bool joining, dropping, in_frame, frame_done;
	enum err broken; /* sticky */
};

void packet_reader_init(struct packet_reader *r, uint64_t max);
void packet_reader_fini(struct packet_reader *r);
/* Room to put bytes into, at least `want`. */
enum err packet_reader_space(struct packet_reader *r, size_t want, uint8_t **ret_p,
			     size_t *ret_n) MUST_USE;
void packet_reader_added(struct packet_reader *r, size_t n);
/* The next whole packet: OK, ERR_WOULD_BLOCK (more bytes needed), ERR_PROTOCOL (for good). */
enum err packet_reader_next(struct call *call, struct packet_reader *r,
			    struct packet *ret) MUST_USE;
struct bytes packet_reader_data(const struct packet_reader *r, const struct packet *p);
/* No view is in anybody's hands any more. */
void packet_reader_unpin(struct packet_reader *r);
/* From now on packets of streams up to this one are forgotten, a half joined one included. */
void packet_reader_drop(struct packet_reader *r, uint64_t stream);
/* Gives memory back if nothing is held. */
void packet_reader_idle(struct packet_reader *r);

#endif
