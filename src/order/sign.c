/* Who signs what (orders.md 1): ECDSA by satellite and node, Ed25519 by the uplink's piece key. */
#include "order/order.h"

#include "base/cleanup.h"
#include "base/wire.h"
#include "proto/proto.h"

/* A signature that is not good is the peer's failure to authenticate, not damage of data. */
static enum err judge(struct call *call, enum err e, const char *what)
{
	if (e != ERR_CRYPTO && e != ERR_FORMAT)
		return e;
	return call_fail(call, ERR_UNAUTHENTICATED, "%s is not signed by the key it should be",
			 what);
}

static enum err verify_ecdsa(struct call *call, const struct public_key *key,
			     const struct buf *message, ProtobufCBinaryData signature,
			     const char *what)
{
	return judge(call, public_key_verify(call, key, buf_bytes(message), proto_bytes(signature)),
		     what);
}

static enum err sign_ecdsa(struct call *call, struct arena *a, const struct private_key *key,
			   const struct buf *message, ProtobufCBinaryData *ret)
{
	struct buf signature AUTO_BUF = BUF_INIT(SIGNATURE_MAX);

	TRY_PLAIN(private_key_sign(call, key, buf_bytes(message), &signature));
	ProtobufCBinaryData copy = proto_copy(a, buf_bytes(&signature));
	if (!copy.len)
		return call_fail(call, ERR_NO_MEMORY, "no memory for a signature");
	*ret = copy;
	return OK;
}

enum err order_limit_sign(struct call *call, struct arena *a, Orders__OrderLimit *limit,
			  const struct private_key *key)
{
	struct buf message AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	TRY(order_limit_signing(call, limit, &message), "signing an order limit");
	TRY(sign_ecdsa(call, a, key, &message, &limit->satellite_signature),
	    "signing an order limit");
	return OK;
}

enum err order_limit_verify(struct call *call, const Orders__OrderLimit *limit,
			    const struct public_key *satellite)
{
	struct buf message AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	TRY_PLAIN(order_limit_signing(call, limit, &message));
	return verify_ecdsa(call, satellite, &message, limit->satellite_signature, "order limit");
}

enum err piece_hash_sign_node(struct call *call, struct arena *a, Orders__PieceHash *hash,
			      const struct private_key *key)
{
	struct buf message AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	TRY(piece_hash_signing(call, hash, &message), "signing a piece hash");
	TRY(sign_ecdsa(call, a, key, &message, &hash->signature), "signing a piece hash");
	return OK;
}

enum err piece_hash_verify_node(struct call *call, const Orders__PieceHash *hash,
				const struct public_key *node)
{
	struct buf message AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	TRY_PLAIN(piece_hash_signing(call, hash, &message));
	return verify_ecdsa(call, node, &message, hash->signature, "piece hash");
}

enum err piece_hash_sign_uplink(struct call *call, struct arena *a, Orders__PieceHash *hash,
				const struct ed25519_signer *signer)
{
	struct buf message AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	TRY(piece_hash_signing(call, hash, &message), "signing a piece hash");
	uint8_t *signature = arena_alloc(a, ED25519_SIGNATURE_BYTES);
	if (!signature)
		return call_fail(call, ERR_NO_MEMORY, "no memory for a signature");
	TRY(ed25519_sign(call, signer, buf_bytes(&message), signature), "signing a piece hash");
	hash->signature = (ProtobufCBinaryData){ ED25519_SIGNATURE_BYTES, signature };
	return OK;
}

enum err piece_hash_verify_uplink(struct call *call, const Orders__PieceHash *hash,
				  const struct ed25519_verifier *verifier)
{
	struct buf message AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);

	TRY_PLAIN(piece_hash_signing(call, hash, &message));
	return judge(
		call,
		ed25519_verify(call, verifier, buf_bytes(&message), proto_bytes(hash->signature)),
		"piece hash");
}

/* At most ORDER_WIRE_MAX minus the signature: tags, serial, a varint. */
static size_t order_signed_part(const struct order *order, uint8_t *p)
{
	size_t n = 0;

	p[n++] = 1 << 3 | WIRE_BYTES;
	p[n++] = SERIAL_BYTES;
	memcpy(p + n, order->serial.b, SERIAL_BYTES);
	n += SERIAL_BYTES;
	if (order->amount) {
		p[n++] = 2 << 3 | WIRE_VARINT;
		n += wire_put_varint(p + n, (uint64_t)order->amount);
	}
	return n;
}

enum err order_sign(struct call *call, struct order *order, const struct ed25519_signer *signer)
{
	uint8_t message[ORDER_WIRE_MAX];

	TRY(ed25519_sign(call, signer, BYTES(message, order_signed_part(order, message)),
			 order->signature),
	    "signing an order");
	return OK;
}

enum err order_verify(struct call *call, const struct order *order,
		      const struct ed25519_verifier *verifier)
{
	uint8_t message[ORDER_WIRE_MAX];

	return judge(call,
		     ed25519_verify(call, verifier,
				    BYTES(message, order_signed_part(order, message)),
				    BYTES_OF(order->signature)),
		     "order");
}

size_t order_encode(const struct order *order, uint8_t *p)
{
	size_t n = order_signed_part(order, p);

	p[n++] = 3 << 3 | WIRE_BYTES;
	p[n++] = ED25519_SIGNATURE_BYTES;
	memcpy(p + n, order->signature, ED25519_SIGNATURE_BYTES);
	return n + ED25519_SIGNATURE_BYTES;
}

static bool take_order_field(const struct wire_field *f, struct order *order)
{
	switch (f->number) {
	case 1:
		if (f->type != WIRE_BYTES || f->bytes.len != SERIAL_BYTES)
			return false;
		memcpy(order->serial.b, f->bytes.data, SERIAL_BYTES);
		return true;
	case 2:
		order->amount = (int64_t)f->value;
		return f->type == WIRE_VARINT;
	case 3:
		if (f->type != WIRE_BYTES || f->bytes.len != ED25519_SIGNATURE_BYTES)
			return false;
		memcpy(order->signature, f->bytes.data, ED25519_SIGNATURE_BYTES);
		return true;
	default:
		return false;
	}
}

enum err order_decode(struct call *call, struct bytes wire, struct order *ret)
{
	struct wire w = wire_read(wire);
	struct order order = { 0 };
	struct wire_field f;
	bool has_signature = false;

	while (wire_field(&w, &f)) {
		if (!take_order_field(&f, &order))
			return call_fail(call, ERR_INVALID, "order has a bad field %u", f.number);
		has_signature = has_signature || f.number == 3;
	}
	if (!wire_ok(&w))
		return call_fail(call, ERR_INVALID, "malformed order");
	if (!has_signature)
		return call_fail(call, ERR_INVALID, "order without signature");
	*ret = order;
	return OK;
}
