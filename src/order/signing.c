/*
 * The bytes that are signed (orders.md 3).  They are not the bytes on the wire: there a zero time
 * is year 1, here it is absent; there an unset key is an empty field, here it is absent.
 */
#include "order/order.h"

#include "base/cleanup.h"
#include "base/wire.h"
#include "proto/proto.h"

/* An ID of the message: always written, zeros when it was absent. */
static enum err add_id(struct call *call, struct buf *out, uint32_t number, ProtobufCBinaryData v,
		       size_t len, const char *what)
{
	uint8_t id[NODE_ID_BYTES];

	if (len > sizeof(id) || !proto_fixed(v, len, id))
		return call_fail(call, ERR_FORMAT, "%s has %zu bytes, not %zu", what, v.len, len);
	buf_add_field_bytes(out, number, BYTES(id, len));
	return OK;
}

static void add_number(struct buf *out, uint32_t number, int64_t v)
{
	if (v)
		buf_add_field_varint(out, number, (uint64_t)v);
}

static void add_bytes(struct buf *out, uint32_t number, ProtobufCBinaryData v)
{
	if (v.len)
		buf_add_field_bytes(out, number, proto_bytes(v));
}

static void add_time(struct buf *out, uint32_t number, const Google__Protobuf__Timestamp *t)
{
	uint8_t body[2 * (1 + WIRE_VARINT_MAX)];
	size_t n = 0;

	if (proto_time_is_zero(t))
		return;
	if (t->seconds) {
		body[n++] = 1 << 3 | WIRE_VARINT;
		n += wire_put_varint(body + n, (uint64_t)t->seconds);
	}
	if (t->nanos) {
		body[n++] = 2 << 3 | WIRE_VARINT;
		n += wire_put_varint(body + n, (uint64_t)(int64_t)t->nanos);
	}
	buf_add_field_bytes(out, number, BYTES(body, n));
}

/* Field 3 is written only when set and not all zero. */
static enum err add_uplink_id(struct call *call, struct buf *out, ProtobufCBinaryData v)
{
	static const uint8_t zero[NODE_ID_BYTES];

	if (v.len == 0 || (v.len == sizeof(zero) && memcmp(v.data, zero, sizeof(zero)) == 0))
		return OK;
	return add_id(call, out, 3, v, NODE_ID_BYTES, "uplink ID");
}

static enum err add_satellite_address(struct call *call, struct buf *out,
				      const Node__NodeAddress *address)
{
	struct buf body AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	if (!address)
		return OK;
	TRY_PLAIN(proto_encode(call, &address->base, &body));
	buf_add_field_bytes(out, 11, buf_bytes(&body));
	return OK;
}

/* In the form they came in; data has the length in front where the wire type has one. */
static void add_unknown(struct buf *out, const ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
		buf_add_varint(out, (uint64_t)u->tag << 3 | u->wire_type);
		buf_add(out, u->data, u->len);
	}
}

static enum err signing_status(struct call *call, const struct buf *out, const char *what)
{
	if (out->failed)
		return call_fail(call, ERR_INVALID, "%s is too large to be signed", what);
	return OK;
}

enum err order_limit_signing(struct call *call, const Orders__OrderLimit *limit, struct buf *out)
{
	TRY_PLAIN(add_id(call, out, 1, limit->serial_number, SERIAL_BYTES, "serial number"));
	TRY_PLAIN(add_id(call, out, 2, limit->satellite_id, NODE_ID_BYTES, "satellite ID"));
	TRY_PLAIN(add_uplink_id(call, out, limit->deprecated_uplink_id));
	TRY_PLAIN(add_id(call, out, 4, limit->storage_node_id, NODE_ID_BYTES, "node ID"));
	TRY_PLAIN(add_id(call, out, 5, limit->piece_id, PIECE_ID_BYTES, "piece ID"));
	add_number(out, 6, limit->limit);
	add_number(out, 7, limit->action);
	add_time(out, 8, limit->piece_expiration);
	add_time(out, 9, limit->order_expiration);
	TRY_PLAIN(add_satellite_address(call, out, limit->deprecated_satellite_address));
	add_time(out, 12, limit->order_creation);
	if (limit->uplink_public_key.len)
		TRY_PLAIN(add_id(call, out, 13, limit->uplink_public_key, ED25519_PUBLIC_BYTES,
				 "uplink public key"));
	add_bytes(out, 14, limit->encrypted_metadata_key_id);
	add_bytes(out, 15, limit->encrypted_metadata);
	add_unknown(out, &limit->base);
	return signing_status(call, out, "order limit");
}

/* Acre and its peers put nothing of their own into what the uplink signs. */
static enum err refuse_unknown(struct call *call, const ProtobufCMessage *m, const char *what)
{
	if (m->n_unknown_fields)
		return call_fail(call, ERR_INVALID, "%s has the unknown field %u", what,
				 m->unknown_fields[0].tag);
	return OK;
}

enum err order_signing(struct call *call, const Orders__Order *order, struct buf *out)
{
	TRY_PLAIN(refuse_unknown(call, &order->base, "order"));
	TRY_PLAIN(add_id(call, out, 1, order->serial_number, SERIAL_BYTES, "serial number"));
	add_number(out, 2, order->amount);
	return signing_status(call, out, "order");
}

enum err piece_hash_signing(struct call *call, const Orders__PieceHash *hash, struct buf *out)
{
	TRY_PLAIN(refuse_unknown(call, &hash->base, "piece hash"));
	TRY_PLAIN(add_id(call, out, 1, hash->piece_id, PIECE_ID_BYTES, "piece ID"));
	add_bytes(out, 2, hash->hash);
	add_number(out, 4, hash->piece_size);
	add_time(out, 5, hash->timestamp);
	add_number(out, 6, hash->hash_algorithm);
	return signing_status(call, out, "piece hash");
}
