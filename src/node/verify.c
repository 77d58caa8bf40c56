/* Verification rules of the piece store. */
#include "node/verify.h"

#include "base/num.h"
#include "node/serials.h"
#include "proto/proto.h"

#define EXPIRATION_GRACE_NS (INT64_C(48) * 3600 * NS_PER_SEC)
#define CREATION_GRACE_NS (SERIALS_GRACE_SECONDS * NS_PER_SEC)

static void fixed(ProtobufCBinaryData v, uint8_t *out, size_t len)
{
	memset(out, 0, len);
	/* The decoder let nothing but the exact length or nothing through (transport.md 8.1). */
	if (v.len == len)
		memcpy(out, v.data, len);
}

enum err limit_terms_read(struct call *call, struct arena *a, struct bytes wire,
			  struct limit_terms *ret)
{
	Orders__OrderLimit *m = NULL;
	struct limit_terms t = { .wire = arena_bytes(a, wire) };

	if (wire.len && !t.wire.len)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (proto_decode(call, a, &orders__order_limit__descriptor, t.wire, &m))
		return call_wrap(call, ERR_INVALID, "order limit");
	fixed(m->serial_number, t.serial.b, SERIAL_BYTES);
	fixed(m->satellite_id, t.satellite.b, NODE_ID_BYTES);
	fixed(m->storage_node_id, t.node.b, NODE_ID_BYTES);
	fixed(m->piece_id, t.piece.b, PIECE_ID_BYTES);
	t.message = m;
	t.limit = m->limit;
	t.action = m->action;
	t.piece_expiration_unix_ns = proto_time(m->piece_expiration);
	t.order_expiration_unix_ns = proto_time(m->order_expiration);
	t.order_creation_unix_ns = proto_time(m->order_creation);
	*ret = t;
	return OK;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	uint8_t all = 0;

	for (size_t i = 0; i < len; i++)
		all |= p[i];
	return all == 0;
}

static bool expired(int64_t expiration_unix_ns, int64_t now_unix_ns)
{
	return expiration_unix_ns != TIME_NONE &&
	       expiration_unix_ns < now_unix_ns - EXPIRATION_GRACE_NS;
}

enum err verify_limit(struct call *call, const struct limit_terms *t, const struct node_id *me,
		      int64_t now_unix_ns)
{
	if (t->limit < 0)
		return call_fail(call, ERR_INVALID, "order limit is negative");
	if (!node_id_equal(&t->node, me))
		return call_fail(call, ERR_INVALID, "order intended for another storage node");
	if (expired(t->piece_expiration_unix_ns, now_unix_ns))
		return call_fail(call, ERR_INVALID, "piece expired");
	if (expired(t->order_expiration_unix_ns, now_unix_ns))
		return call_fail(call, ERR_INVALID, "order expired");
	if (t->order_creation_unix_ns < now_unix_ns - CREATION_GRACE_NS)
		return call_fail(call, ERR_INVALID,
				 "order created too long ago (or this node's clock is ahead)");
	if (t->order_creation_unix_ns > now_unix_ns + CREATION_GRACE_NS)
		return call_fail(call, ERR_INVALID,
				 "order created too far in the future (or this node's clock is "
				 "behind)");
	if (node_id_is_zero(&t->satellite))
		return call_fail(call, ERR_INVALID, "missing satellite id");
	if (t->message->uplink_public_key.len == 0)
		return call_fail(call, ERR_INVALID, "missing uplink public key");
	if (t->message->satellite_signature.len == 0)
		return call_fail(call, ERR_INVALID, "missing satellite signature");
	if (is_zero(t->piece.b, PIECE_ID_BYTES))
		return call_fail(call, ERR_INVALID, "missing piece id");
	return OK;
}

enum err verify_order(struct call *call, const struct limit_terms *t, const struct order *order,
		      int64_t largest, const struct ed25519_verifier *uplink)
{
	if (memcmp(order->serial.b, t->serial.b, SERIAL_BYTES) != 0)
		return call_fail(call, ERR_INVALID, "order serial number changed");
	if (order->amount < largest)
		return call_fail(call, ERR_INVALID,
				 "order contained smaller amount=%lld, previous=%lld",
				 (long long)order->amount, (long long)largest);
	if (order->amount > t->limit)
		return call_fail(call, ERR_INVALID,
				 "order exceeded allowed amount=%lld, limit=%lld",
				 (long long)order->amount, (long long)t->limit);
	return order_verify(call, order, uplink);
}

/* The timestamp is kept in nanoseconds; one that does not survive that would break the signature
 * when a repair asks for it. */
static bool time_survives(const Google__Protobuf__Timestamp *t)
{
	if (proto_time_is_zero(t))
		return true;
	int64_t ns = proto_time(t), nanos = ns % NS_PER_SEC;
	int64_t seconds = ns / NS_PER_SEC - (nanos < 0);

	return t->seconds == seconds && t->nanos == (nanos < 0 ? nanos + NS_PER_SEC : nanos);
}

enum err verify_piece_hash(struct call *call, const struct limit_terms *t,
			   const Orders__PieceHash *hash, const struct received_piece *received,
			   const struct ed25519_verifier *uplink)
{
	struct piece_id id;

	fixed(hash->piece_id, id.b, PIECE_ID_BYTES);
	if ((unsigned)hash->hash_algorithm != (unsigned)received->algorithm)
		return call_fail(call, ERR_INTERNAL,
				 "hash algorithms of the first and last message differ");
	if (memcmp(id.b, t->piece.b, PIECE_ID_BYTES) != 0)
		return call_fail(call, ERR_INTERNAL, "piece id changed");
	if (!bytes_equal(proto_bytes(hash->hash), BYTES_OF(received->hash)))
		return call_fail(call, ERR_INTERNAL, "hashes don't match");
	if (piece_hash_verify_uplink(call, hash, uplink) ||
	    hash->signature.len != ED25519_SIGNATURE_BYTES)
		return call_fail(call, ERR_INTERNAL, "invalid piece hash signature");
	if (!time_survives(hash->timestamp))
		return call_fail(call, ERR_INTERNAL, "piece hash has an impossible timestamp");
	if (hash->piece_size < 0 || (uint64_t)hash->piece_size != received->size)
		return call_fail(call, ERR_INVALID,
				 "size of finished piece does not match size declared by uplink: "
				 "%lld, %llu",
				 (long long)hash->piece_size, (unsigned long long)received->size);
	return OK;
}
