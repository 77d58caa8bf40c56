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
	{ &contact__lost_piece__descriptor, 1, 32, false },
	{ &gracefulexit__delete_piece__descriptor, 1, 32, false },
	{ &gracefulexit__exit_completed__descriptor, 2, 32, false },
	{ &gracefulexit__exit_completed__descriptor, 3, 32, false },
	{ &gracefulexit__exit_failed__descriptor, 3, 32, false },
	{ &gracefulexit__exit_failed__descriptor, 4, 32, false },
	{ &gracefulexit__transfer_failed__descriptor, 1, 32, false },
	{ &gracefulexit__transfer_piece__descriptor, 1, 32, false },
	{ &gracefulexit__transfer_piece__descriptor, 2, 64, true },
	{ &gracefulexit__transfer_succeeded__descriptor, 4, 32, false },
	{ &heldamount__get_held_amount_response__descriptor, 2, 32, false },
	{ &heldamount__get_payment_response__descriptor, 1, 32, false },
	{ &metainfo__begin_copy_object_response__descriptor, 2, 24, false },
	{ &metainfo__begin_delete_segment_response__descriptor, 3, 64, true },
	{ &metainfo__begin_move_object_response__descriptor, 2, 24, false },
	{ &metainfo__begin_object_request__descriptor, 9, 24, false },
	{ &metainfo__begin_segment_response__descriptor, 3, 64, true },
	{ &metainfo__commit_object_request__descriptor, 2, 24, false },
	{ &metainfo__commit_segment_request__descriptor, 2, 24, false },
	{ &metainfo__download_segment_response__descriptor, 3, 64, true },
	{ &metainfo__download_segment_response__descriptor, 6, 24, false },
	{ &metainfo__encrypted_key_and_nonce__descriptor, 2, 24, false },
	{ &metainfo__finish_copy_object_request__descriptor, 4, 24, false },
	{ &metainfo__finish_move_object_request__descriptor, 3, 24, false },
	{ &metainfo__get_pending_object_metadata_response__descriptor, 1, 24, false },
	{ &metainfo__make_inline_segment_request__descriptor, 3, 24, false },
	{ &metainfo__object__descriptor, 9, 24, false },
	{ &metainfo__object_list_item__descriptor, 7, 24, false },
	{ &metainfo__piece__descriptor, 2, 32, false },
	{ &metainfo__segment__descriptor, 3, 24, false },
	{ &metainfo__segment_list_item__descriptor, 6, 24, false },
	{ &metainfo__segment_piece_delete_result__descriptor, 2, 32, false },
	{ &metainfo__segment_piece_upload_result__descriptor, 2, 32, false },
	{ &metainfo__update_object_metadata_request__descriptor, 4, 24, false },
	{ &node__node__descriptor, 1, 32, false },
	{ &nodestats__daily_storage_usage_response__descriptor, 1, 32, false },
	{ &noise__noise_key_attestation__descriptor, 1, 32, false },
	{ &noise__noise_session_attestation__descriptor, 1, 32, false },
	{ &orders__order__descriptor, 1, 16, false },
	{ &orders__order_limit__descriptor, 1, 16, false },
	{ &orders__order_limit__descriptor, 2, 32, false },
	{ &orders__order_limit__descriptor, 3, 32, false },
	{ &orders__order_limit__descriptor, 13, 32, true },
	{ &orders__order_limit__descriptor, 4, 32, false },
	{ &orders__order_limit__descriptor, 5, 32, false },
	{ &orders__piece_hash__descriptor, 1, 32, false },
	{ &piecestore__delete_pieces_request__descriptor, 1, 32, false },
	{ &piecestore__exists_request__descriptor, 1, 32, false },
	{ &pointerdb__remote_piece__descriptor, 2, 32, false },
	{ &pointerdb__remote_segment__descriptor, 2, 32, false },
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
