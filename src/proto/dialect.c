/*
 * The check before decoding.  protobuf-c unpacks by recursion as deep as the bytes say, and one of
 * the messages contains itself; so the nesting is walked here first, with a stack of our own.
 */
#include "proto/dialect.h"

#include "base/wire.h"
#include "proto/contact.pb-c.h"
#include "proto/gracefulexit.pb-c.h"
#include "proto/heldamount.pb-c.h"
#include "proto/metainfo.pb-c.h"
#include "proto/nodestats.pb-c.h"
#include "proto/piecestore2.pb-c.h"

/* bytes fields that are IDs, nonces or keys: exactly this long where present; some may be empty.
 * Rows of a message stand together. */
struct fixed_field {
	const ProtobufCMessageDescriptor *type;
	uint32_t number;
	uint8_t len;
	bool may_be_empty;
};

static const struct fixed_field fixed_fields[] = {
	{ NULL, 0, 0, false },
};

struct frame {
	struct wire wire;
	const ProtobufCMessageDescriptor *type;
	const struct fixed_field *fixed; /* first row of this type, or the last row */
};

static struct frame frame_of(const ProtobufCMessageDescriptor *type, struct bytes wire)
{
	const struct fixed_field *row = fixed_fields;

	while (row->type && row->type != type)
		row++;
	return (struct frame){ wire_read(wire), type, row };
}

static enum err check_bytes(struct call *call, const struct frame *f,
			    const ProtobufCFieldDescriptor *field, struct bytes v)
{
	if (field->type == PROTOBUF_C_TYPE_STRING && v.len && memchr(v.data, 0, v.len))
		return call_fail(call, ERR_FORMAT, "%s.%s has a zero byte", f->type->name,
				 field->name);
	for (const struct fixed_field *row = f->fixed; row->type && row->type == f->type; row++) {
		if (row->number != field->id || v.len == row->len)
			continue;
		if (v.len || !row->may_be_empty)
			return call_fail(call, ERR_FORMAT, "%s.%s has %zu bytes, not %u",
					 f->type->name, field->name, v.len, row->len);
	}
	return OK;
}

enum err dialect_check(struct call *call, const ProtobufCMessageDescriptor *type, struct bytes wire)
{
	struct frame stack[PROTO_DEPTH_MAX];
	size_t depth = 1;

	stack[0] = frame_of(type, wire);
	while (depth) {
		struct frame *f = &stack[depth - 1];
		struct wire_field in;
		if (!wire_field(&f->wire, &in)) {
			if (!wire_ok(&f->wire))
				return call_fail(call, ERR_FORMAT, "malformed %s", f->type->name);
			depth--;
			continue;
		}
		if (in.type != WIRE_BYTES)
			continue;
		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field(f->type, in.number);
		if (!field)
			continue;
		if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
			TRY_PLAIN(check_bytes(call, f, field, in.bytes));
			continue;
		}
		if (depth == PROTO_DEPTH_MAX)
			return call_fail(call, ERR_FORMAT, "%s is nested too deeply", type->name);
		stack[depth++] = frame_of(field->descriptor, in.bytes);
	}
	return OK;
}
