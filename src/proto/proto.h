/*
 * Protobuf messages in arenas, and the dialect of transport.md 8.1: zero times, fixed-size IDs.
 * Generated headers are proto/<file>.pb-c.h, one per .proto in this room.
 */
#ifndef ACRE_PROTO_PROTO_H
#define ACRE_PROTO_PROTO_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/call.h"
#include "proto/timestamp.pb-c.h"

enum {
	PROTO_MESSAGE_MAX = 4 << 20,  /* the largest message on the wire: one DRPC packet */
	PROTO_DECODED_MAX = 64 << 20, /* the same after a batch was decompressed (metainfo.md 2) */
};

/* Decodes into the arena (views into `wire` are copied).  The arena's max bounds what a message
 * may unfold to.  ERR_FORMAT names the message type; IDs, nonces and keys of a wrong length,
 * strings with a zero byte and absurd nesting are refused here (proto/dialect.h), so every bytes
 * field that has a fixed size is that long or absent (len 0, meaning zeros).  Unknown fields are
 * kept, and written last by proto_encode. */
enum err proto_decode(struct call *call, struct arena *a, const ProtobufCMessageDescriptor *type,
		      struct bytes wire, void *ret_message) MUST_USE; /* ret_message: T ** */
/* Appends; out's max is the limit. */
enum err proto_encode(struct call *call, const ProtobufCMessage *message, struct buf *out) MUST_USE;

static inline struct bytes proto_bytes(ProtobufCBinaryData v)
{
	return BYTES(v.data, v.len);
}
/* A view; the message must not be freed by protobuf-c (arena messages never are). */
static inline ProtobufCBinaryData proto_view(struct bytes v)
{
	return (ProtobufCBinaryData){ v.len, (uint8_t *)(uintptr_t)v.data };
}
/* Copies into the arena. */
ProtobufCBinaryData proto_copy(struct arena *a, struct bytes v);
/* A fixed-size field: its bytes, or zeros when it was absent.  False for any other length. */
bool proto_fixed(ProtobufCBinaryData v, size_t len, uint8_t *ret);

/* Times in this program are Unix nanoseconds, 0 = not set.  On the wire "not set" is an absent
 * message or year 1; a real 1970 reads as 1 ns, so that it stays "set, long past". */
#define TIME_NONE INT64_C(0)
int64_t proto_time(const Google__Protobuf__Timestamp *t);
/* Absent or year 1. */
bool proto_time_is_zero(const Google__Protobuf__Timestamp *t);
/* NULL for TIME_NONE (and without memory). */
Google__Protobuf__Timestamp *proto_time_new(struct arena *a, int64_t unix_ns);

#endif
