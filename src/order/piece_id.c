/* Piece IDs and serials: derived, read, printed (orders.md 4). */
#include "order/order.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "crypto/hmac_many.h"
#include "proto/proto.h"

enum { DERIVE_BYTES = NODE_ID_BYTES + 4, DERIVE_AT_ONCE = 128 };

static void derive_message(const struct node_id *node, uint32_t number, uint8_t out[DERIVE_BYTES])
{
	memcpy(out, node->b, NODE_ID_BYTES);
	put_be32(out + NODE_ID_BYTES, number);
}

void piece_id_derive(const struct piece_id *root, const struct node_id *node, uint32_t number,
		     struct piece_id *ret)
{
	uint8_t data[DERIVE_BYTES], mac[64];

	derive_message(node, number, data);
	hmac_sha512(BYTES_OF(root->b), BYTES_OF(data), mac);
	memcpy(ret->b, mac, PIECE_ID_BYTES);
}

_Static_assert(sizeof(struct piece_id) == (size_t)HMAC_MANY_BYTES, "an ID is half a MAC");

static void derive_some(const struct piece_derive *jobs, size_t count, struct piece_id *ret)
{
	uint8_t messages[DERIVE_AT_ONCE][DERIVE_BYTES];
	struct hmac_many_key keys[DERIVE_AT_ONCE];
	struct bytes roots[DERIVE_AT_ONCE];
	struct hmac_many macs[DERIVE_AT_ONCE];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (i == 0 || jobs[i].root != jobs[i - 1].root)
			roots[n++] = BYTES_OF(jobs[i].root->b);
		derive_message(jobs[i].node, jobs[i].number, messages[i]);
		macs[i] = (struct hmac_many){ &keys[n - 1], BYTES_OF(messages[i]) };
	}
	hmac_many_keys(roots, n, keys);
	hmac_many(macs, count, (uint8_t(*)[HMAC_MANY_BYTES])ret);
}

void piece_ids_derive(const struct piece_derive *jobs, size_t count, struct piece_id *ret)
{
	for (size_t at = 0; at < count; at += DERIVE_AT_ONCE)
		derive_some(jobs + at, MIN(count - at, (size_t)DERIVE_AT_ONCE), ret + at);
}

static void id_text(struct bytes id, char *out, size_t room)
{
	struct buf text AUTO_BUF = BUF_INIT(room);

	text_base32(&text, id);
	snprintf(out, room, "%s", buf_cstr(&text));
}

void piece_id_text(const struct piece_id *id, char out[PIECE_ID_TEXT_MAX])
{
	id_text(BYTES_OF(id->b), out, PIECE_ID_TEXT_MAX);
}

void serial_text(const struct serial *serial, char out[SERIAL_TEXT_MAX])
{
	id_text(BYTES_OF(serial->b), out, SERIAL_TEXT_MAX);
}

enum err piece_id_parse(struct bytes text, struct piece_id *ret)
{
	struct buf id AUTO_BUF = BUF_INIT(PIECE_ID_BYTES);

	TRY_PLAIN(text_unbase32(&id, text));
	if (id.len != PIECE_ID_BYTES)
		return ERR_FORMAT;
	memcpy(ret->b, id.data, PIECE_ID_BYTES);
	return OK;
}

enum err order_limit_ids(struct call *call, const Orders__OrderLimit *limit,
			 struct order_limit_ids *ret)
{
	struct order_limit_ids ids;

	if (!proto_fixed(limit->serial_number, SERIAL_BYTES, ids.serial.b) ||
	    !proto_fixed(limit->satellite_id, NODE_ID_BYTES, ids.satellite.b) ||
	    !proto_fixed(limit->storage_node_id, NODE_ID_BYTES, ids.node.b) ||
	    !proto_fixed(limit->piece_id, PIECE_ID_BYTES, ids.piece.b))
		return call_fail(call, ERR_FORMAT, "order limit with an ID of the wrong length");
	*ret = ids;
	return OK;
}

enum err addressed_limit_read(struct call *call, const Metainfo__AddressedOrderLimit *addressed,
			      struct addressed_limit *ret)
{
	struct addressed_limit r = { .address = "" };
	const Node__NodeAddress *at = addressed->storage_node_address;

	if (addressed->limit) {
		TRY_PLAIN(order_limit_ids(call, addressed->limit, &r.ids));
		r.limit = addressed->limit;
	}
	if (at) {
		r.address = at->address;
		r.debounce_limit = at->debounce_limit;
		r.features = at->features;
		if (at->noise_info) {
			r.noise_proto = at->noise_info->proto;
			r.noise_key = proto_bytes(at->noise_info->public_key);
		}
	}
	*ret = r;
	return OK;
}
