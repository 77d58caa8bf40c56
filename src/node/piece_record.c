/* Encoding of segment headers and piece records (little endian). */
#include "node/piece_record.h"

#include "base/num.h"
#include "base/wire.h"

enum {
	RECORD_MAGIC = 0x31525041, /* "APR1" */
	SEGMENT_CHECKSUM_BYTES = 16,
	CHECKED_FROM = RECORD_CHECKSUM_AT + RECORD_CHECKSUM_BYTES,
};

static const uint8_t segment_magic[8] = { 'A', 'C', 'R', 'E', 'P', 'L', 'O', 'G' };

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_BYTES])
{
	uint8_t sum[HASH_BYTES];

	memset(out, 0, SEGMENT_HEADER_BYTES);
	memcpy(out, segment_magic, sizeof(segment_magic));
	put_le32(out + 8, SEGMENT_FORMAT_VERSION);
	put_le32(out + 12, h->number);
	put_le64(out + 16, (uint64_t)h->created_unix_ns);
	put_le32(out + 24, h->expiry_group);
	memcpy(out + 32, h->key, RECORD_KEY_BYTES);
	memcpy(out + 64, h->node.b, NODE_ID_BYTES);
	hash_blake3(BYTES(out, SEGMENT_HEADER_BYTES - SEGMENT_CHECKSUM_BYTES), sum);
	memcpy(out + SEGMENT_HEADER_BYTES - SEGMENT_CHECKSUM_BYTES, sum, SEGMENT_CHECKSUM_BYTES);
}

enum err segment_header_decode(struct call *call, struct bytes wire, struct segment_header *ret)
{
	uint8_t sum[HASH_BYTES];

	if (wire.len < SEGMENT_HEADER_BYTES ||
	    memcmp(wire.data, segment_magic, sizeof(segment_magic)) != 0)
		return call_fail(call, ERR_FORMAT, "not a piece log segment");
	hash_blake3(BYTES(wire.data, SEGMENT_HEADER_BYTES - SEGMENT_CHECKSUM_BYTES), sum);
	if (memcmp(wire.data + SEGMENT_HEADER_BYTES - SEGMENT_CHECKSUM_BYTES, sum,
		   SEGMENT_CHECKSUM_BYTES) != 0)
		return call_fail(call, ERR_FORMAT, "segment header is damaged");
	if (get_le32(wire.data + 8) != SEGMENT_FORMAT_VERSION)
		return call_fail(call, ERR_FORMAT,
				 "segment has format %u, this program knows %d: use a newer one",
				 get_le32(wire.data + 8), SEGMENT_FORMAT_VERSION);
	ret->number = get_le32(wire.data + 12);
	ret->created_unix_ns = (int64_t)get_le64(wire.data + 16);
	ret->expiry_group = get_le32(wire.data + 24);
	memcpy(ret->key, wire.data + 32, RECORD_KEY_BYTES);
	memcpy(ret->node.b, wire.data + 64, NODE_ID_BYTES);
	return OK;
}

void piece_record_checksum(const struct record_place *place, struct bytes header,
			   uint8_t out[RECORD_CHECKSUM_BYTES])
{
	uint8_t sum[HASH_BYTES];
	uint8_t text[RECORD_KEY_BYTES + 12 + RECORD_HEADER_MAX];
	size_t n = header.len - CHECKED_FROM;

	memcpy(text, place->key, RECORD_KEY_BYTES);
	put_le32(text + RECORD_KEY_BYTES, place->segment);
	put_le64(text + RECORD_KEY_BYTES + 4, place->offset);
	memcpy(text + RECORD_KEY_BYTES + 12, header.data + CHECKED_FROM, n);
	/* Type, algorithm and lengths in front of the checksum decide how the rest is read. */
	for (size_t i = 0; i < RECORD_CHECKSUM_AT; i++)
		text[i] ^= header.data[i];
	hash_blake3(BYTES(text, RECORD_KEY_BYTES + 12 + n), sum);
	memcpy(out, sum, RECORD_CHECKSUM_BYTES);
}

size_t piece_record_encode(const struct piece_record *r, const struct record_place *place,
			   uint8_t *out)
{
	size_t len = record_header_len(r->limit.len);

	memset(out, 0, len);
	put_le32(out, RECORD_MAGIC);
	put_le16(out + 4, (uint16_t)len);
	out[6] = (uint8_t)r->type;
	out[7] = (uint8_t)r->algorithm;
	put_le64(out + 24, r->seq);
	put_le64(out + 32, r->durable);
	put_le64(out + 40, r->size);
	put_le64(out + 48, (uint64_t)r->stored_unix_ns);
	put_le64(out + 56, (uint64_t)r->created_unix_ns);
	put_le64(out + 64, (uint64_t)r->expiration_unix_ns);
	put_le64(out + 72, (uint64_t)r->order_amount);
	memcpy(out + 80, r->piece.b, PIECE_ID_BYTES);
	memcpy(out + 112, r->satellite.b, NODE_ID_BYTES);
	memcpy(out + 144, r->hash, HASH_BYTES);
	memcpy(out + 176, r->uplink_signature, ED25519_SIGNATURE_BYTES);
	memcpy(out + 240, r->order_signature, ED25519_SIGNATURE_BYTES);
	put_le16(out + 304, (uint16_t)r->limit.len);
	put_le16(out + 306, r->moves);
	if (r->limit.len)
		memcpy(out + RECORD_FIXED_BYTES, r->limit.data, r->limit.len);
	piece_record_checksum(place, BYTES(out, len), out + RECORD_CHECKSUM_AT);
	return len;
}

enum err piece_record_decode(struct bytes wire, const struct record_place *place,
			     struct piece_record *ret)
{
	uint8_t sum[RECORD_CHECKSUM_BYTES];

	if (wire.len < RECORD_ALIGN || get_le32(wire.data) != RECORD_MAGIC)
		return ERR_FORMAT;
	size_t len = get_le16(wire.data + 4);
	if (len < RECORD_FIXED_BYTES || len > RECORD_HEADER_MAX || len % RECORD_ALIGN)
		return ERR_FORMAT;
	if (wire.len < len)
		return ERR_OUT_OF_RANGE;
	piece_record_checksum(place, BYTES(wire.data, len), sum);
	if (memcmp(wire.data + RECORD_CHECKSUM_AT, sum, sizeof(sum)) != 0)
		return ERR_FORMAT;
	const uint8_t *p = wire.data;
	size_t limit_len = get_le16(p + 304);
	/* Only a writer of another version could have made these; the checksum was right. */
	if (p[6] < RECORD_PIECE || p[6] > RECORD_RESTORE ||
	    (p[6] != RECORD_PIECE && get_le64(p + 40)) ||
	    (p[7] != HASH_SHA256 && p[7] != HASH_BLAKE3) || record_header_len(limit_len) != len ||
	    get_le64(p + 40) > UINT32_MAX)
		return ERR_FORMAT;
	*ret = (struct piece_record){
		.type = (enum record_type)p[6],
		.algorithm = (enum hash_algorithm)p[7],
		.seq = get_le64(p + 24),
		.moves = get_le16(p + 306),
		.durable = get_le64(p + 32),
		.size = get_le64(p + 40),
		.stored_unix_ns = (int64_t)get_le64(p + 48),
		.created_unix_ns = (int64_t)get_le64(p + 56),
		.expiration_unix_ns = (int64_t)get_le64(p + 64),
		.order_amount = (int64_t)get_le64(p + 72),
		.limit = BYTES(p + RECORD_FIXED_BYTES, limit_len),
	};
	memcpy(ret->piece.b, p + 80, PIECE_ID_BYTES);
	memcpy(ret->satellite.b, p + 112, NODE_ID_BYTES);
	memcpy(ret->hash, p + 144, HASH_BYTES);
	memcpy(ret->uplink_signature, p + 176, ED25519_SIGNATURE_BYTES);
	memcpy(ret->order_signature, p + 240, ED25519_SIGNATURE_BYTES);
	return OK;
}
