/* Messages in arenas, and times between the wire and the program. */
#include "proto/proto.h"

#include "base/num.h"
#include "proto/dialect.h"

enum { NANOS_MAX = 999999999 };
/* Seconds of the reference's zero time, 1 January of year 1. */
#define ZERO_TIME_SECONDS INT64_C(-62135596800)

static void *proto_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void proto_free(void *arena, void *p)
{
}

enum err proto_decode(struct call *call, struct arena *a, const ProtobufCMessageDescriptor *type,
		      struct bytes wire, void *ret_message)
{
	ProtobufCAllocator allocator = { proto_alloc, proto_free, a };

	if (wire.len > PROTO_DECODED_MAX)
		return call_fail(call, ERR_OUT_OF_RANGE, "%s of %zu bytes is too large", type->name,
				 wire.len);
	TRY_PLAIN(dialect_check(call, type, wire));
	ProtobufCMessage *m = protobuf_c_message_unpack(
		type, &allocator, wire.len, wire.data ? wire.data : (const uint8_t *)"");
	if (!m)
		return call_fail(call, ERR_FORMAT, "malformed %s", type->name);
	*(ProtobufCMessage **)ret_message = m;
	return OK;
}

enum err proto_encode(struct call *call, const ProtobufCMessage *message, struct buf *out)
{
	size_t size = protobuf_c_message_get_packed_size(message);

	if (size > PROTO_DECODED_MAX)
		return call_fail(call, ERR_OUT_OF_RANGE, "%s of %zu bytes is too large",
				 message->descriptor->name, size);
	if (!buf_reserve(out, size))
		return call_fail(call, ERR_NO_MEMORY, "no room for a %s of %zu bytes",
				 message->descriptor->name, size);
	if (size)
		out->len += protobuf_c_message_pack(message, out->data + out->len);
	return OK;
}

ProtobufCBinaryData proto_copy(struct arena *a, struct bytes v)
{
	return proto_view(arena_bytes(a, v));
}

bool proto_fixed(ProtobufCBinaryData v, size_t len, uint8_t *ret)
{
	if (v.len != 0 && v.len != len)
		return false;
	if (v.len)
		memcpy(ret, v.data, len);
	else
		memset(ret, 0, len);
	return true;
}

bool proto_time_is_zero(const Google__Protobuf__Timestamp *t)
{
	return !t || (t->seconds == ZERO_TIME_SECONDS && t->nanos == 0);
}

int64_t proto_time(const Google__Protobuf__Timestamp *t)
{
	if (proto_time_is_zero(t))
		return TIME_NONE;
	int32_t nanos = t->nanos < 0 ? 0 : t->nanos > NANOS_MAX ? NANOS_MAX : t->nanos;
	__int128 ns = (__int128)t->seconds * NS_PER_SEC + nanos;
	if (ns < INT64_MIN || ns > INT64_MAX)
		return ns < 0 ? INT64_MIN : INT64_MAX;
	return ns == TIME_NONE ? 1 : (int64_t)ns;
}

Google__Protobuf__Timestamp *proto_time_new(struct arena *a, int64_t unix_ns)
{
	if (unix_ns == TIME_NONE)
		return NULL;
	Google__Protobuf__Timestamp *t = arena_alloc(a, sizeof(*t));
	if (!t)
		return NULL;
	google__protobuf__timestamp__init(t);
	int64_t nanos = unix_ns % NS_PER_SEC;
	t->seconds = unix_ns / NS_PER_SEC - (nanos < 0);
	t->nanos = (int32_t)(nanos < 0 ? nanos + NS_PER_SEC : nanos);
	return t;
}
