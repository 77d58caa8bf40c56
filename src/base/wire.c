/* Wire cursor: bounded reads with a sticky failure, and the matching appends. */
#include "base/wire.h"

#include "base/num.h"

struct bytes wire_take(struct wire *w, size_t n)
{
	if (w->failed || n > wire_left(w)) {
		w->failed = true;
		return BYTES_NONE;
	}
	struct bytes v = BYTES(w->at, n);
	w->at += n;
	return v;
}

#define DEFINE_FIXED(type, name)                                                                   \
	type wire_##name(struct wire *w)                                                           \
	{                                                                                          \
		struct bytes v = wire_take(w, sizeof(type));                                       \
		return v.len ? get_##name(v.data) : 0;                                             \
	}
DEFINE_FIXED(uint16_t, be16)
DEFINE_FIXED(uint32_t, be32)
DEFINE_FIXED(uint64_t, be64)
DEFINE_FIXED(uint16_t, le16)
DEFINE_FIXED(uint32_t, le32)
DEFINE_FIXED(uint64_t, le64)

uint8_t wire_byte(struct wire *w)
{
	struct bytes v = wire_take(w, 1);

	return v.len ? v.data[0] : 0;
}

uint64_t wire_varint(struct wire *w)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < WIRE_VARINT_MAX; i++) {
		uint8_t b = wire_byte(w);
		if (w->failed)
			return 0;
		v |= i == 9 ? (uint64_t)(b & 1) << 63 : (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80))
			return v;
	}
	w->failed = true;
	return 0;
}

bool wire_field(struct wire *w, struct wire_field *ret)
{
	if (w->failed || wire_left(w) == 0)
		return false;
	uint64_t tag = wire_varint(w);
	*ret = (struct wire_field){ .number = (uint32_t)(tag >> 3) };
	if (w->failed || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
		w->failed = true;
		return false;
	}
	switch (tag & 7) {
	case WIRE_VARINT:
		ret->type = WIRE_VARINT;
		ret->value = wire_varint(w);
		break;
	case WIRE_FIXED64:
		ret->type = WIRE_FIXED64;
		ret->value = wire_le64(w);
		break;
	case WIRE_FIXED32:
		ret->type = WIRE_FIXED32;
		ret->value = wire_le32(w);
		break;
	case WIRE_BYTES: {
		uint64_t n = wire_varint(w);
		ret->type = WIRE_BYTES;
		if (n > wire_left(w))
			w->failed = true;
		else
			ret->bytes = wire_take(w, (size_t)n);
		break;
	}
	default:
		w->failed = true;
	}
	return !w->failed;
}

size_t wire_put_varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	while (v >= 0x80) {
		p[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (uint8_t)v;
	return n;
}

size_t wire_varint_len(uint64_t v)
{
	return v ? (size_t)(63 - __builtin_clzll(v)) / 7 + 1 : 1;
}

void buf_add_varint(struct buf *b, uint64_t v)
{
	uint8_t tmp[WIRE_VARINT_MAX];

	buf_add(b, tmp, wire_put_varint(tmp, v));
}

void buf_add_field_varint(struct buf *b, uint32_t number, uint64_t v)
{
	buf_add_varint(b, (uint64_t)number << 3 | WIRE_VARINT);
	buf_add_varint(b, v);
}

void buf_add_field_bytes(struct buf *b, uint32_t number, struct bytes v)
{
	buf_add_varint(b, (uint64_t)number << 3 | WIRE_BYTES);
	buf_add_varint(b, v.len);
	buf_add_bytes(b, v);
}

void buf_add_be32(struct buf *b, uint32_t v)
{
	uint8_t t[4];

	put_be32(t, v);
	buf_add(b, t, 4);
}

void buf_add_be64(struct buf *b, uint64_t v)
{
	uint8_t t[8];

	put_be64(t, v);
	buf_add(b, t, 8);
}

void buf_add_le32(struct buf *b, uint32_t v)
{
	uint8_t t[4];

	put_le32(t, v);
	buf_add(b, t, 4);
}

void buf_add_le64(struct buf *b, uint64_t v)
{
	uint8_t t[8];

	put_le64(t, v);
	buf_add(b, t, 8);
}
