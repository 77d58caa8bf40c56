/*
 * A slot is: magic (8), key ID (8), salt (32), length (4, big endian), sealed fields, zeros.
 * K = HMAC-SHA512(content key, "acre-resume-v1")[:32]; key ID = HMAC-SHA512(K, "id")[:8]; a slot's
 * key = HMAC-SHA512(K, "slot" + salt)[:32], with the zero nonce.
 */
#include "client/resume_state.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "os/random.h"

enum {
	MAGIC_BYTES = 8,
	KEY_ID_BYTES = 8,
	SALT_BYTES = 32,
	HEAD_BYTES = MAGIC_BYTES + KEY_ID_BYTES + SALT_BYTES + 4,
	PLAIN_MAX = RESUME_SLOT_BYTES - HEAD_BYTES - AEAD_TAG_BYTES,
};

enum field {
	FIELD_KIND = 1,
	FIELD_SEQUENCE = 2,
	FIELD_SATELLITE = 3,
	FIELD_STREAM_ID = 4,
	FIELD_SOURCE = 5,
	FIELD_SEGMENT_SIZE = 6,
	FIELD_SEGMENTS = 7,
	FIELD_OBJECT = 8,
	FIELD_SIZE = 9,
	FIELD_OFFSET = 10,
	FIELD_GUARD = 11,
};

static const uint8_t magic[MAGIC_BYTES] = { 'A', 'C', 'R', 'E', 'R', 'E', 'S', '1' };

/* ---- fields ---- */

enum err resume_state_encode(const struct resume_state *s, struct buf *out)
{
	buf_add_field_varint(out, FIELD_KIND, s->kind);
	buf_add_field_varint(out, FIELD_SEQUENCE, s->sequence);
	buf_add_field_bytes(out, FIELD_SATELLITE, node_id_bytes(&s->satellite));
	buf_add_field_bytes(out, FIELD_STREAM_ID, s->stream_id);
	buf_add_field_bytes(out, FIELD_SOURCE, s->source);
	buf_add_field_varint(out, FIELD_SEGMENT_SIZE, s->segment_size);
	buf_add_field_varint(out, FIELD_SEGMENTS, s->segments);
	buf_add_field_bytes(out, FIELD_OBJECT, s->object);
	buf_add_field_varint(out, FIELD_SIZE, s->size);
	buf_add_field_varint(out, FIELD_OFFSET, s->offset);
	buf_add_field_bytes(out, FIELD_GUARD, s->guard);
	return buf_status(out);
}

/* A number no larger than max, or failure. */
static bool number(const struct wire_field *f, uint64_t max, uint64_t *ret)
{
	*ret = f->value;
	return f->type == WIRE_VARINT && f->value <= max;
}

static bool extent(const struct wire_field *f, size_t max, struct bytes *ret)
{
	*ret = f->bytes;
	return f->type == WIRE_BYTES && f->bytes.len <= max;
}

/* One field; fields of later versions are passed over. */
static bool take_field(const struct wire_field *f, struct resume_state *s)
{
	uint64_t v = 0;
	struct bytes id;
	bool good = true;

	switch (f->number) {
	case FIELD_KIND:
		good = number(f, RESUME_DOWNLOAD, &v);
		s->kind = (enum resume_kind)v;
		break;
	case FIELD_SEQUENCE:
		return number(f, UINT64_MAX - 1, &s->sequence);
	case FIELD_SATELLITE:
		good = extent(f, sizeof(s->satellite.b), &id) && id.len == sizeof(s->satellite.b);
		if (good)
			memcpy(s->satellite.b, id.data, id.len);
		break;
	case FIELD_STREAM_ID:
		return extent(f, RESUME_STREAM_ID_MAX, &s->stream_id);
	case FIELD_SOURCE:
		return extent(f, RESUME_SOURCE_BYTES_MAX, &s->source);
	case FIELD_SEGMENT_SIZE:
		return number(f, UINT32_MAX, &s->segment_size);
	case FIELD_SEGMENTS:
		good = number(f, RESUME_SEGMENTS_MAX, &v);
		s->segments = (uint32_t)v;
		break;
	case FIELD_OBJECT:
		return extent(f, RESUME_OBJECT_BYTES, &s->object);
	case FIELD_SIZE:
		return number(f, INT64_MAX, &s->size);
	case FIELD_OFFSET:
		return number(f, INT64_MAX, &s->offset);
	case FIELD_GUARD:
		return extent(f, RESUME_GUARD_BYTES_MAX, &s->guard);
	default:
		break;
	}
	return good;
}

enum err resume_state_parse(struct bytes in, struct resume_state *ret)
{
	struct resume_state s = { 0 };
	struct wire w = wire_read(in);
	struct wire_field f;

	while (wire_field(&w, &f))
		if (!take_field(&f, &s))
			return ERR_FORMAT;
	if (!wire_ok(&w))
		return ERR_FORMAT;
	switch (s.kind) {
	case RESUME_UPLOAD:
		if (!s.stream_id.len || !s.segment_size)
			return ERR_FORMAT;
		break;
	case RESUME_DOWNLOAD:
		if (s.object.len != RESUME_OBJECT_BYTES || s.offset > s.size)
			return ERR_FORMAT;
		break;
	default:
		return ERR_FORMAT;
	}
	*ret = s;
	return OK;
}

/* ---- slots ---- */

static void derive(const struct secret_key *key, const char *label, struct bytes more,
		   struct secret_key *ret)
{
	uint8_t mac[64];
	struct bytes parts[2] = { bytes_str(label), more };

	hmac_sha512_parts(BYTES_OF(key->b), parts, 2, mac);
	memcpy(ret->b, mac, sizeof(ret->b));
	secret_wipe(mac, sizeof(mac));
}

void resume_key(const struct secret_key *content_key, struct secret_key *ret)
{
	derive(content_key, "acre-resume-v1", BYTES_NONE, ret);
}

/* Not secret: tells a foreign state from a damaged one. */
static void key_id(const struct secret_key *key, uint8_t out[KEY_ID_BYTES])
{
	struct secret_key all AUTO(secret_key_wipe);

	derive(key, "id", BYTES_NONE, &all);
	memcpy(out, all.b, KEY_ID_BYTES);
}

static struct aead *slot_aead(const struct secret_key *key, struct bytes salt, bool seal)
{
	struct secret_key own AUTO(secret_key_wipe);

	derive(key, "slot", salt, &own);
	return aead_new(&own, seal);
}

DEFINE_AUTO_PTR(struct aead, aead_auto, aead_free)

static const uint8_t zero_nonce[AEAD_NONCE_BYTES];

enum err resume_seal(struct call *call, const struct secret_key *key, const struct resume_state *s,
		     uint8_t slot[RESUME_SLOT_BYTES])
{
	struct buf plain AUTO_SECRET_BUF = BUF_INIT(PLAIN_MAX);
	struct aead *aead AUTO(aead_auto) = NULL;
	uint8_t *at = slot + MAGIC_BYTES, *salt;

	if (resume_state_encode(s, &plain))
		return call_fail(call, ERR_OUT_OF_RANGE, "the state of a transfer is too large");
	memset(slot, 0, RESUME_SLOT_BYTES);
	memcpy(slot, magic, MAGIC_BYTES);
	key_id(key, at);
	salt = at + KEY_ID_BYTES;
	os_random(salt, SALT_BYTES);
	put_be32(salt + SALT_BYTES, (uint32_t)(plain.len + AEAD_TAG_BYTES));
	aead = slot_aead(key, BYTES(salt, SALT_BYTES), true);
	if (!aead)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (aead_seal(aead, zero_nonce, buf_bytes(&plain), slot + HEAD_BYTES))
		return call_fail(call, ERR_CRYPTO, "the state of a transfer cannot be encrypted");
	return OK;
}

enum err resume_open(struct call *call, const struct secret_key *key,
		     const uint8_t slot[RESUME_SLOT_BYTES], struct buf *room,
		     struct resume_state *ret)
{
	struct wire w = wire_read(BYTES(slot, RESUME_SLOT_BYTES));
	struct bytes head = wire_take(&w, MAGIC_BYTES), id = wire_take(&w, KEY_ID_BYTES);
	struct bytes salt = wire_take(&w, SALT_BYTES);
	struct bytes sealed = wire_take(&w, wire_be32(&w));
	struct aead *aead AUTO(aead_auto) = NULL;
	static const uint8_t empty[MAGIC_BYTES];
	uint8_t own[KEY_ID_BYTES];

	if (bytes_equal(head, BYTES_OF(empty)))
		return ERR_NOT_FOUND;
	if (!bytes_equal(head, BYTES_OF(magic)) || !wire_ok(&w) || sealed.len < AEAD_TAG_BYTES)
		return ERR_CRYPTO;
	key_id(key, own);
	if (!bytes_equal(id, BYTES_OF(own)))
		return ERR_PERMISSION;
	aead = slot_aead(key, salt, false);
	buf_clear(room);
	if (!aead || !buf_reserve(room, sealed.len))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(aead_open(aead, zero_nonce, sealed, room->data));
	room->len = sealed.len - AEAD_TAG_BYTES;
	return resume_state_parse(buf_bytes(room), ret) ? ERR_CRYPTO : OK;
}
