/* Order limits: made and signed here, their metadata sealed and opened. */
#include "satellite/orders.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "crypto/aead.h"
#include "os/clock.h"
#include "os/random.h"
#include "proto/proto.h"
#include "satellite/metainfo_internal.h"

/* Of the sealed metadata: project and bucket in one (orders.md 7), and ours, the key's number. */
enum { FIELD_COMPACT_PREFIX = 3, FIELD_KEY_NUMBER = 100 };
enum { METADATA_BYTES_MAX = 256, ORDER_KEY_ID_BYTES = 8 };

void redundancy_fill_message(const struct scheme *s, Pointerdb__RedundancyScheme *m)
{
	m->type = POINTERDB__REDUNDANCY_SCHEME__SCHEME_TYPE__RS;
	m->min_req = s->required;
	m->total = s->total;
	m->repair_threshold = s->repair;
	m->success_threshold = s->success;
	m->erasure_share_size = (int32_t)s->share_size;
}

Pointerdb__RedundancyScheme *redundancy_message(struct arena *a, const struct scheme *s)
{
	Pointerdb__RedundancyScheme *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	pointerdb__redundancy_scheme__init(m);
	redundancy_fill_message(s, m);
	return m;
}

void order_batch_new_serial(struct order_batch *batch)
{
	put_be64(batch->serial.b, (uint64_t)(batch->expiration_ns / NS_PER_SEC));
	os_random(batch->serial.b + 8, SERIAL_BYTES - 8);
}

enum err order_batch_begin(struct call *call, struct satellite *sat, struct order_batch *batch,
			   struct ed25519_private *ret_private)
{
	/* What the database keeps are microseconds. */
	int64_t now = os_clock_unix_ns() / 1000 * 1000;

	batch->creation_ns = now;
	batch->expiration_ns = now + ORDER_EXPIRATION_NS;
	order_batch_new_serial(batch);
	return ed25519_generate(call, ret_private, batch->public_key);
}

/* The serial is the nonce: it is new for every batch, and all limits of a batch say the same. */
static void metadata_nonce(struct bytes serial, uint8_t nonce[SECRETBOX_NONCE_BYTES])
{
	memset(nonce, 0, SECRETBOX_NONCE_BYTES);
	memcpy(nonce, serial.data, SERIAL_BYTES);
}

static enum err seal_metadata(struct call *call, const struct satellite *sat, struct arena *a,
			      const struct order_batch *batch, ProtobufCBinaryData *ret)
{
	AUTO_BUF struct buf plain = BUF_INIT(METADATA_BYTES_MAX);
	AUTO_BUF struct buf prefix = BUF_INIT(METADATA_BYTES_MAX);
	uint8_t nonce[SECRETBOX_NONCE_BYTES];

	buf_add(&prefix, batch->payer.project.b, PROJECT_ID_BYTES);
	buf_add_bytes(&prefix, batch->payer.bucket);
	TRY_PLAIN(buf_status(&prefix));
	buf_add_field_bytes(&plain, FIELD_COMPACT_PREFIX, buf_bytes(&prefix));
	if (batch->payer.key)
		buf_add_field_varint(&plain, FIELD_KEY_NUMBER, (uint64_t)batch->payer.key);
	TRY_PLAIN(buf_status(&plain));
	uint8_t *out = arena_alloc(a, plain.len + AEAD_TAG_BYTES);
	if (!out)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	metadata_nonce(BYTES_OF(batch->serial.b), nonce);
	TRY(secretbox_seal(&sat->order_key, nonce, buf_bytes(&plain), out), "seal order metadata");
	*ret = proto_view(BYTES(out, plain.len + AEAD_TAG_BYTES));
	return OK;
}

enum err order_metadata_open(struct call *call, const struct satellite *sat, struct arena *a,
			     const Orders__OrderLimit *limit, struct payer *ret)
{
	struct payer payer = { 0 };
	bool found = false;
	struct bytes sealed = proto_bytes(limit->encrypted_metadata);
	uint8_t nonce[SECRETBOX_NONCE_BYTES];
	struct wire_field f;

	if (limit->serial_number.len != SERIAL_BYTES || sealed.len < AEAD_TAG_BYTES ||
	    sealed.len > METADATA_BYTES_MAX + AEAD_TAG_BYTES ||
	    !bytes_equal(proto_bytes(limit->encrypted_metadata_key_id),
			 BYTES_OF(sat->order_key_id)))
		return call_fail(call, ERR_FORMAT, "order metadata is not ours");
	uint8_t *plain = arena_alloc(a, sealed.len);
	if (!plain)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	metadata_nonce(proto_bytes(limit->serial_number), nonce);
	TRY(secretbox_open(&sat->order_key, nonce, sealed, plain), "open order metadata");
	struct wire w = wire_read(BYTES(plain, sealed.len - AEAD_TAG_BYTES));
	while (wire_field(&w, &f)) {
		if (f.number == FIELD_KEY_NUMBER && f.type == WIRE_VARINT) {
			payer.key = (int64_t)f.value;
		} else if (f.number == FIELD_COMPACT_PREFIX && f.type == WIRE_BYTES &&
			   f.bytes.len >= PROJECT_ID_BYTES) {
			memcpy(payer.project.b, f.bytes.data, PROJECT_ID_BYTES);
			payer.bucket = bytes_from(f.bytes, PROJECT_ID_BYTES);
			found = true;
		}
	}
	if (!found)
		return call_fail(call, ERR_FORMAT, "order metadata without a project");
	*ret = payer;
	return OK;
}

static enum err fill_limit(struct call *call, const struct satellite *sat, struct arena *a,
			   const struct order_batch *batch, const struct node_place *node,
			   uint32_t number, Orders__OrderLimit *m)
{
	struct piece_id piece;

	piece_id_derive(&batch->root, &node->id, number, &piece);
	m->serial_number = proto_copy(a, BYTES_OF(batch->serial.b));
	m->satellite_id = proto_copy(a, node_id_bytes(&sat->id));
	m->uplink_public_key = proto_copy(a, BYTES_OF(batch->public_key));
	m->storage_node_id = proto_copy(a, node_id_bytes(&node->id));
	m->piece_id = proto_copy(a, BYTES_OF(piece.b));
	m->limit = batch->limit;
	m->action = batch->action;
	m->piece_expiration = proto_time_new(a, batch->piece_expiration_ns);
	m->order_creation = proto_time_new(a, batch->creation_ns);
	m->order_expiration = proto_time_new(a, batch->expiration_ns);
	m->encrypted_metadata_key_id = proto_copy(a, BYTES_OF(sat->order_key_id));
	TRY_PLAIN(seal_metadata(call, sat, a, batch, &m->encrypted_metadata));
	if (!m->serial_number.len || !m->satellite_id.len || !m->uplink_public_key.len ||
	    !m->storage_node_id.len || !m->piece_id.len || !m->order_creation ||
	    !m->order_expiration || !m->encrypted_metadata_key_id.len ||
	    (batch->piece_expiration_ns && !m->piece_expiration))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

/* Without Noise information clients use TLS (metainfo.md 5.2). */
static enum err fill_address(struct call *call, struct arena *a, const struct node_place *node,
			     Node__NodeAddress *ret)
{
	const struct noise_peer *noise = &node->dial.noise;

	ret->address = arena_str(a, bytes_str(node->address));
	if (!ret->address)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	ret->debounce_limit = node->dial.debounce_limit;
	ret->features = node->dial.features;
	if (!noise->suite)
		return OK;
	ret->noise_info = arena_alloc(a, sizeof(*ret->noise_info));
	if (!ret->noise_info)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	noise__noise_info__init(ret->noise_info);
	ret->noise_info->proto = (Noise__NoiseProtocol)noise->suite;
	ret->noise_info->public_key = proto_copy(a, BYTES_OF(noise->key));
	return ret->noise_info->public_key.len ? OK
					       : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

enum err order_batch_limit(struct call *call, struct satellite *sat, struct arena *a,
			   const struct order_batch *batch, const struct node_place *node,
			   uint32_t number, Metainfo__AddressedOrderLimit **ret)
{
	Metainfo__AddressedOrderLimit *m = arena_alloc(a, sizeof(*m));
	Orders__OrderLimit *limit = arena_alloc(a, sizeof(*limit));
	Node__NodeAddress *address = arena_alloc(a, sizeof(*address));

	if (!m || !limit || !address)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	metainfo__addressed_order_limit__init(m);
	orders__order_limit__init(limit);
	node__node_address__init(address);
	TRY_PLAIN(fill_limit(call, sat, a, batch, node, number, limit));
	TRY_PLAIN(order_limit_sign(call, a, limit, identity_key(sat->identity)));
	/* By the hour that it is settled in; what is granted and what is paid must agree (check.c).
	 */
	if (sat->metainfo)
		bandwidth_add(sat->metainfo->bandwidth, &batch->payer, batch->action, batch->limit,
			      0, batch->creation_ns);
	TRY_PLAIN(fill_address(call, a, node, address));
	m->limit = limit;
	m->storage_node_address = address;
	*ret = m;
	return OK;
}
