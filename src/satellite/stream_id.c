/* Stream and segment ids: message || field 9: HMAC-SHA256(key, kind || message). */
#include "satellite/stream_id.h"

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "os/random.h"
#include "proto/proto.h"
#include "proto/sat_ids.pb-c.h"

/* Number and length of the field that the MAC is. */
static const uint8_t mac_header[] = { 9 << 3 | 2, ID_MAC_BYTES };
enum { ID_END_BYTES = sizeof(mac_header) + ID_MAC_BYTES };

void stream_uuid_new(struct stream_uuid *ret)
{
	os_random(ret->b, sizeof(ret->b));
	ret->b[6] = (uint8_t)((ret->b[6] & 0x0f) | 0x40);
	ret->b[8] = (uint8_t)((ret->b[8] & 0x3f) | 0x80);
}

void object_version_put(const struct object *o, uint8_t out[OBJECT_VERSION_BYTES])
{
	put_be64(out, (uint64_t)o->version);
	memcpy(out + 8, o->stream.b + 8, 8);
}

/* A segment id must not pass for a stream id: each kind has a key of its own. */
static void mac(const struct secret_key *key, const char *kind, struct bytes message,
		uint8_t out[ID_MAC_BYTES])
{
	struct secret_key kind_key;

	hmac_sha256(BYTES_OF(key->b), bytes_str(kind), kind_key.b);
	hmac_sha256(BYTES_OF(kind_key.b), message, out);
	secret_key_wipe(&kind_key);
}

static enum err seal(struct call *call, struct arena *a, const struct secret_key *key,
		     const char *kind, const ProtobufCMessage *message, size_t max,
		     struct bytes *ret)
{
	AUTO_BUF struct buf b = BUF_INIT(max);
	uint8_t tag[ID_MAC_BYTES];

	TRY(proto_encode(call, message, &b), "make a %s id", kind);
	mac(key, kind, buf_bytes(&b), tag);
	buf_add(&b, mac_header, sizeof(mac_header));
	buf_add(&b, tag, sizeof(tag));
	*ret = arena_bytes(a, buf_bytes(&b));
	if (b.failed || !ret->data)
		return call_fail(call, ERR_NO_MEMORY, "no room for a %s id", kind);
	return OK;
}

static enum err open_id(struct call *call, struct arena *a, const struct secret_key *key,
			const char *kind, struct bytes id, size_t max,
			const ProtobufCMessageDescriptor *type, void *ret_message)
{
	uint8_t tag[ID_MAC_BYTES];

	if (id.len <= ID_END_BYTES || id.len > max)
		return call_fail(call, ERR_INVALID, "invalid %s ID", kind);
	struct bytes message = BYTES(id.data, id.len - ID_END_BYTES);
	const uint8_t *end = id.data + message.len;
	mac(key, kind, message, tag);
	if (memcmp(end, mac_header, sizeof(mac_header)) != 0 ||
	    !secret_equal(tag, end + sizeof(mac_header), sizeof(tag)))
		return call_fail(call, ERR_INVALID, "invalid %s ID", kind);
	return proto_decode(call, a, type, message, ret_message);
}

/* Parts of a StreamID that are messages of their own. */
struct stream_parts {
	Encryption__EncryptionParameters encryption;
	Google__Protobuf__Timestamp created, expires;
};

static Google__Protobuf__Timestamp *date(Google__Protobuf__Timestamp *t, int64_t unix_ns)
{
	google__protobuf__timestamp__init(t);
	t->seconds = unix_ns / NS_PER_SEC;
	t->nanos = (int32_t)(unix_ns % NS_PER_SEC);
	return unix_ns ? t : NULL;
}

static void to_message(const struct stream *s, SatelliteIds__StreamID *m, struct stream_parts *p)
{
	encryption__encryption_parameters__init(&p->encryption);
	p->encryption.cipher_suite = (Encryption__CipherSuite)s->cipher;
	p->encryption.block_size = s->block_size;
	m->project_id = proto_view(BYTES_OF(s->project.b));
	m->bucket = proto_view(s->bucket);
	m->encrypted_object_key = proto_view(s->key);
	m->version = s->version;
	m->stream_id = proto_view(uuid_bytes(&s->uuid));
	m->creation_date = date(&p->created, s->created_ns);
	m->expiration_date = date(&p->expires, s->expires_ns);
	m->multipart = s->multipart;
	m->encryption_parameters = &p->encryption;
	m->placement = s->placement;
	m->versioned = s->versioned;
	m->bucket_id = s->bucket_id;
}

/* The MAC was good, so the message is ours; lengths are still checked. */
static enum err from_message(struct call *call, const SatelliteIds__StreamID *m, struct stream *ret)
{
	struct stream s = {
		.bucket = proto_bytes(m->bucket),
		.bucket_id = m->bucket_id,
		.key = proto_bytes(m->encrypted_object_key),
		.version = m->version,
		.created_ns = proto_time(m->creation_date),
		.expires_ns = proto_time(m->expiration_date),
		.multipart = m->multipart,
		.versioned = m->versioned,
		.placement = m->placement,
	};

	if (!proto_fixed(m->project_id, PROJECT_ID_BYTES, s.project.b) ||
	    !proto_fixed(m->stream_id, STREAM_UUID_BYTES, s.uuid.b))
		return call_fail(call, ERR_INVALID, "invalid stream ID");
	if (m->encryption_parameters) {
		s.cipher = (int32_t)m->encryption_parameters->cipher_suite;
		s.block_size = m->encryption_parameters->block_size;
	}
	*ret = s;
	return OK;
}

enum err stream_id_encode(struct call *call, struct arena *a, const struct secret_key *key,
			  const struct stream *s, struct bytes *ret)
{
	SatelliteIds__StreamID m = SATELLITE_IDS__STREAM_ID__INIT;
	struct stream_parts p;

	to_message(s, &m, &p);
	return seal(call, a, key, "stream", &m.base, STREAM_ID_MAX, ret);
}

enum err stream_id_decode(struct call *call, struct arena *a, const struct secret_key *key,
			  struct bytes id, struct stream *ret)
{
	SatelliteIds__StreamID *m = NULL;

	TRY_PLAIN(open_id(call, a, key, "stream", id, STREAM_ID_MAX,
			  &satellite_ids__stream_id__descriptor, &m));
	return from_message(call, m, ret);
}

enum err segment_id_encode(struct call *call, struct arena *a, const struct secret_key *key,
			   const struct segment_ticket *t, struct bytes *ret)
{
	SatelliteIds__SegmentID m = SATELLITE_IDS__SEGMENT_ID__INIT;
	SatelliteIds__StreamID stream = SATELLITE_IDS__STREAM_ID__INIT;
	struct stream_parts p;
	Pointerdb__RedundancyScheme scheme = POINTERDB__REDUNDANCY_SCHEME__INIT;
	size_t n = t->redundancy.total;
	SatelliteIds__SegmentID__Piece *pieces = arena_array(a, n, sizeof(*pieces));
	SatelliteIds__SegmentID__Piece **list = arena_array(a, n, sizeof(*list));

	if (!pieces || !list)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment id");
	for (size_t i = 0; i < n; i++) {
		satellite_ids__segment_id__piece__init(&pieces[i]);
		pieces[i].number = (int32_t)i;
		pieces[i].node_id = proto_view(node_id_bytes(&t->nodes[i]));
		list[i] = &pieces[i];
	}
	to_message(&t->stream, &stream, &p);
	redundancy_fill_message(&t->redundancy, &scheme);
	m.stream = &stream;
	m.part = t->part;
	m.index = t->index;
	m.root_piece_id = proto_view(BYTES_OF(t->orders.root.b));
	m.n_pieces = n;
	m.pieces = list;
	m.uplink_public_key = proto_view(BYTES_OF(t->orders.public_key));
	m.piece_limit = t->orders.limit;
	m.created_us = t->orders.creation_ns / 1000;
	m.order_expires_us = t->orders.expiration_ns / 1000;
	m.redundancy_scheme = &scheme;
	m.serial_number = proto_view(BYTES_OF(t->orders.serial.b));
	return seal(call, a, key, "segment", &m.base, SEGMENT_ID_MAX, ret);
}

static bool scheme_from_message(const Pointerdb__RedundancyScheme *m, struct scheme *ret)
{
	if (!m || m->min_req < 1 || m->total < m->min_req || m->total > LIMIT_SHARES_TOTAL ||
	    m->erasure_share_size < 1)
		return false;
	struct scheme s = {
		.required = (uint16_t)m->min_req,
		.repair = (uint16_t)m->repair_threshold,
		.success = (uint16_t)m->success_threshold,
		.total = (uint16_t)m->total,
		.share_size = (uint32_t)m->erasure_share_size,
	};
	if (scheme_check(&s))
		return false;
	*ret = s;
	return true;
}

static enum err ticket_from_message(struct call *call, struct arena *a,
				    const SatelliteIds__SegmentID *m, struct segment_ticket *ret)
{
	struct segment_ticket t = { .part = m->part, .index = m->index };
	struct order_batch *o = &t.orders;

	if (!m->stream || !scheme_from_message(m->redundancy_scheme, &t.redundancy) ||
	    m->n_pieces != t.redundancy.total)
		return call_fail(call, ERR_INVALID, "invalid segment ID");
	TRY_PLAIN(from_message(call, m->stream, &t.stream));
	t.nodes = arena_array(a, m->n_pieces, sizeof(*t.nodes));
	if (!t.nodes)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment's nodes");
	for (size_t i = 0; i < m->n_pieces; i++) {
		if (m->pieces[i]->number != (int32_t)i ||
		    !proto_fixed(m->pieces[i]->node_id, NODE_ID_BYTES, t.nodes[i].b))
			return call_fail(call, ERR_INVALID, "invalid segment ID");
	}
	if (!proto_fixed(m->root_piece_id, PIECE_ID_BYTES, o->root.b) ||
	    !proto_fixed(m->uplink_public_key, ED25519_PUBLIC_BYTES, o->public_key) ||
	    !proto_fixed(m->serial_number, SERIAL_BYTES, o->serial.b))
		return call_fail(call, ERR_INVALID, "invalid segment ID");
	o->action = ORDERS__PIECE_ACTION__PUT;
	o->limit = m->piece_limit;
	o->creation_ns = m->created_us * 1000;
	o->expiration_ns = m->order_expires_us * 1000;
	o->piece_expiration_ns = t.stream.expires_ns;
	*ret = t;
	return OK;
}

enum err segment_id_decode(struct call *call, struct arena *a, const struct secret_key *key,
			   struct bytes id, int64_t now_ns, struct segment_ticket *ret)
{
	SatelliteIds__SegmentID *m = NULL;
	struct segment_ticket t;

	if (!id.len)
		return call_fail(call, ERR_INVALID, "segment ID missing");
	TRY_PLAIN(open_id(call, a, key, "segment", id, SEGMENT_ID_MAX,
			  &satellite_ids__segment_id__descriptor, &m));
	TRY_PLAIN(ticket_from_message(call, a, m, &t));
	if (t.orders.creation_ns < now_ns - SEGMENT_ID_LIFETIME_NS)
		return call_fail(call, ERR_INVALID, "segment ID expired");
	*ret = t;
	return OK;
}
