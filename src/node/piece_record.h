/*
 * The bytes of the piece log: segment headers and piece records.  Pure: nothing here touches disk.
 *
 * A segment is a file of records, each at a multiple of 64 bytes:
 *
 *	segment header (128) | record | record | ...
 *	record = header (fixed part, original order limit, zeros to 64) | piece bytes, zeros to 64
 *
 * A record header is written last, after all bytes of its piece, in one write.  Its checksum is
 * keyed with the segment's random key and covers segment number and offset: what an uplink stores
 * in a piece can never pass for a record, and neither can a record of another place or segment.
 * So a reader may look for the next record at any multiple of 64 after a damaged or never finished
 * one.
 */
#ifndef ACRE_NODE_PIECE_RECORD_H
#define ACRE_NODE_PIECE_RECORD_H

#include "base/bytes.h"
#include "base/call.h"
#include "crypto/hash.h"
#include "identity/identity.h"
#include "order/order.h"

enum {
	RECORD_ALIGN = 64,
	RECORD_KEY_BYTES = 32,
	SEGMENT_HEADER_BYTES = 128,
	RECORD_FIXED_BYTES = 320,
	RECORD_LIMIT_MAX = 4096,  /* bytes of an order limit; real ones have 250 to 400 */
	RECORD_HEADER_MAX = 4416, /* both together, a multiple of RECORD_ALIGN */
	RECORD_CHECKSUM_AT = 8,
	RECORD_CHECKSUM_BYTES = 16,
	SEGMENT_FORMAT_VERSION = 1,
};

_Static_assert(RECORD_HEADER_MAX % RECORD_ALIGN == 0 &&
		       RECORD_HEADER_MAX >= RECORD_FIXED_BYTES + RECORD_LIMIT_MAX,
	       "a header with the largest limit fits");

struct segment_header {
	uint32_t number;
	int64_t created_unix_ns;
	uint32_t expiry_group; /* day (since 1970) its pieces end; 0 = pieces without an end */
	uint8_t key[RECORD_KEY_BYTES];
	struct node_id node;
};

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_BYTES]);
/* ERR_FORMAT: not a segment, damaged, or of a later format. */
enum err segment_header_decode(struct call *call, struct bytes wire,
			       struct segment_header *ret) MUST_USE;

/* RECORD_SEAL ends a segment that takes no more records; of its fields only `seq` and `durable`
 * count.  The others are notes about what happened to a piece, or to all of a satellite, when the
 * index on disk did not know it yet: they have no piece bytes, and stored_unix_ns is when it
 * happened. */
enum record_type {
	RECORD_PIECE = 1,
	RECORD_SEAL = 2,
	RECORD_REVIVE = 3,  /* out of the trash; `limit` is the index entry afterwards */
	RECORD_DELETE = 4,  /* gone */
	RECORD_RESTORE = 5, /* everything of the satellite is out of the trash */
};

struct piece_record {
	enum record_type type;
	enum hash_algorithm algorithm;
	/* Rises over all segments; of two records of a piece the higher counts.  A copy that
	 * compaction made keeps the number, and has been moved once more often. */
	uint64_t seq;
	uint16_t moves;
	/* All bytes of this segment before it were synced when this was written. */
	uint64_t durable;
	uint64_t size;		    /* piece bytes that follow the header */
	int64_t stored_unix_ns;	    /* our clock */
	int64_t created_unix_ns;    /* timestamp in the uplink's piece hash */
	int64_t expiration_unix_ns; /* TIME_NONE = never */
	struct piece_id piece;
	struct node_id satellite;
	uint8_t hash[HASH_BYTES];
	uint8_t uplink_signature[ED25519_SIGNATURE_BYTES];
	/* The largest order of the upload: durable with the piece, so that no second sync is needed
	 * before the answer; put into the order log again after a crash. */
	int64_t order_amount;
	uint8_t order_signature[ED25519_SIGNATURE_BYTES];
	struct bytes limit; /* the order limit as received; a view when decoded */
};

/* Where a record is: part of its checksum. */
struct record_place {
	const uint8_t *key; /* RECORD_KEY_BYTES of its segment */
	uint32_t segment;
	uint64_t offset;
};

/* Length of the header with its padding: piece bytes begin there. */
static inline size_t record_header_len(size_t limit_len)
{
	return (RECORD_FIXED_BYTES + limit_len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

/* Bytes of the log that a record takes. */
static inline uint64_t record_len(uint64_t header_len, uint64_t size)
{
	return header_len + (size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

/* Writes the header, padding included, to out (RECORD_HEADER_MAX bytes); returns its length.
 * limit.len <= RECORD_LIMIT_MAX. */
size_t piece_record_encode(const struct piece_record *r, const struct record_place *place,
			   uint8_t *out);
/* What the checksum of a whole header must be: keyed, over the place and all but itself. */
void piece_record_checksum(const struct record_place *place, struct bytes header,
			   uint8_t out[RECORD_CHECKSUM_BYTES]);
/* Reads the header at the front of wire, which may be longer; ret->limit points into wire.
 * ERR_FORMAT: no record there (or a damaged one).  ERR_OUT_OF_RANGE: the front of one, but wire is
 * too short; more bytes may show it. */
enum err piece_record_decode(struct bytes wire, const struct record_place *place,
			     struct piece_record *ret) MUST_USE;

#endif
