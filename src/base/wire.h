/*
 * One reader and one writer for all wire bytes.  The reader never goes beyond its extent and its
 * error is sticky: read everything, then ask wire_ok() once.
 */
#ifndef ACRE_BASE_WIRE_H
#define ACRE_BASE_WIRE_H

#include "base/bytes.h"

struct wire {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline struct wire wire_read(struct bytes v)
{
	return (struct wire){ v.data, v.data ? v.data + v.len : v.data, false };
}

static inline size_t wire_left(const struct wire *w)
{
	return (size_t)(w->end - w->at);
}

static inline bool wire_ok(const struct wire *w)
{
	return !w->failed;
}

/* The next n bytes, or an empty view (and the sticky failure) when fewer are left. */
struct bytes wire_take(struct wire *w, size_t n);
uint8_t wire_byte(struct wire *w);
uint16_t wire_be16(struct wire *w);
uint32_t wire_be32(struct wire *w);
uint64_t wire_be64(struct wire *w);
uint16_t wire_le16(struct wire *w);
uint32_t wire_le32(struct wire *w);
uint64_t wire_le64(struct wire *w);
/* Unsigned LEB128 of at most 10 bytes; bits above 64 fall off, as in protobuf and DRPC. */
uint64_t wire_varint(struct wire *w);

/* Protobuf fields, for hot messages parsed in place and for caveats kept as opaque bytes.
 * wire_field reads the next tag; false at the end or on failure.  Wire types as in protobuf. */
enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
struct wire_field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;	    /* VARINT, FIXED64, FIXED32 */
	struct bytes bytes; /* BYTES: view into the input */
};
bool wire_field(struct wire *w, struct wire_field *ret);

enum { WIRE_VARINT_MAX = 10 };
/* Writes v at p (room for WIRE_VARINT_MAX bytes); returns the length. */
size_t wire_put_varint(uint8_t *p, uint64_t v);
size_t wire_varint_len(uint64_t v);
void buf_add_varint(struct buf *b, uint64_t v);
/* Protobuf fields appended to b. */
void buf_add_field_varint(struct buf *b, uint32_t number, uint64_t v);
void buf_add_field_bytes(struct buf *b, uint32_t number, struct bytes v);
void buf_add_be32(struct buf *b, uint32_t v);
void buf_add_be64(struct buf *b, uint64_t v);
void buf_add_le32(struct buf *b, uint32_t v);
void buf_add_le64(struct buf *b, uint64_t v);

#endif
