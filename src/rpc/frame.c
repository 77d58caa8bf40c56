/* Frame headers and the bodies of small packets. */
#include "rpc/frame.h"

#include "base/num.h"
#include "base/wire.h"

enum { ERROR_CODE_BYTES = 8, METADATA_ENTRY_TAG = 0x0a, METADATA_VALUE_TAG = 0x12 };

size_t frame_put_header(uint8_t *p, const struct frame_header *h)
{
	uint8_t *at = p;

	*at++ = (uint8_t)((h->done ? 0x01 : 0) | h->kind << 1 | (h->control ? 0x80 : 0));
	at += wire_put_varint(at, h->stream);
	at += wire_put_varint(at, h->message);
	at += wire_put_varint(at, h->length);
	return (size_t)(at - p);
}

/* transport.md 7.1: at most 10 bytes, the tenth's upper bits fall off. */
static enum err take_varint(struct bytes *v, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < WIRE_VARINT_MAX; i++) {
		if (i == v->len)
			return ERR_WOULD_BLOCK;
		uint8_t b = v->data[i];
		value |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			*v = BYTES(v->data + i + 1, v->len - i - 1);
			*ret = value;
			return OK;
		}
	}
	return ERR_PROTOCOL;
}

enum err frame_parse_header(struct bytes v, struct frame_header *ret, size_t *ret_len)
{
	struct bytes rest = bytes_from(v, 1);

	if (!v.len)
		return ERR_WOULD_BLOCK;
	struct frame_header h = { .done = v.data[0] & 0x01,
				  .kind = v.data[0] >> 1 & PACKET_KIND_MAX,
				  .control = v.data[0] & 0x80 };
	TRY_PLAIN(take_varint(&rest, &h.stream));
	TRY_PLAIN(take_varint(&rest, &h.message));
	TRY_PLAIN(take_varint(&rest, &h.length));
	*ret_len = v.len - rest.len;
	*ret = h;
	return OK;
}

struct bytes error_body_parse(struct bytes body, uint64_t *ret_code)
{
	if (body.len < ERROR_CODE_BYTES) {
		*ret_code = 0;
		return body;
	}
	*ret_code = get_be64(body.data);
	return BYTES(body.data + ERROR_CODE_BYTES, body.len - ERROR_CODE_BYTES);
}

static struct bytes take_tagged(struct wire *w, uint8_t tag)
{
	if (wire_byte(w) != tag)
		w->failed = true;
	uint64_t n = wire_varint(w);
	if (n > wire_left(w))
		w->failed = true;
	return w->failed ? BYTES_NONE : wire_take(w, (size_t)n);
}

enum err metadata_parse(struct bytes body,
			void (*each)(void *arg, struct bytes key, struct bytes value), void *arg)
{
	struct wire w = wire_read(body);

	while (wire_left(&w) && wire_ok(&w)) {
		struct bytes entry = take_tagged(&w, METADATA_ENTRY_TAG);
		struct wire in = wire_read(entry);
		struct bytes key = take_tagged(&in, METADATA_ENTRY_TAG);
		struct bytes value = take_tagged(&in, METADATA_VALUE_TAG);
		if (!wire_ok(&w) || !wire_ok(&in) || wire_left(&in))
			return ERR_PROTOCOL;
		if (each)
			each(arg, key, value);
	}
	return OK;
}

void metadata_add(struct buf *out, struct bytes key, struct bytes value)
{
	size_t inner = 1 + wire_varint_len(key.len) + key.len + 1 + wire_varint_len(value.len) +
		       value.len;

	buf_add_byte(out, METADATA_ENTRY_TAG);
	buf_add_varint(out, inner);
	buf_add_byte(out, METADATA_ENTRY_TAG);
	buf_add_varint(out, key.len);
	buf_add_bytes(out, key);
	buf_add_byte(out, METADATA_VALUE_TAG);
	buf_add_varint(out, value.len);
	buf_add_bytes(out, value);
}
