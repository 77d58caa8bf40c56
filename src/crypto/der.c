/* DER elements over the wire cursor. */
#include "crypto/der.h"

enum { LONG_FORM = 0x80, LENGTH_BYTES_MAX = 3, SHORT_MAX = 0x7f };

static size_t take_length(struct wire *w)
{
	uint8_t first = wire_byte(w);
	size_t len = 0;

	if (first <= SHORT_MAX)
		return first;
	unsigned n = first - LONG_FORM; /* 0 would be BER's indefinite form */
	if (n == 0 || n > LENGTH_BYTES_MAX) {
		w->failed = true;
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		len = len << 8 | wire_byte(w);
	if (len <= SHORT_MAX || len >> (8 * (n - 1)) == 0)
		w->failed = true; /* not the shortest form */
	return len;
}

struct bytes der_take(struct wire *w, uint8_t tag, struct bytes *ret_whole)
{
	const uint8_t *start = w->at;

	if (wire_byte(w) != tag)
		w->failed = true;
	size_t len = take_length(w);
	struct bytes content = wire_take(w, w->failed ? 0 : len);
	if (w->failed)
		return BYTES_NONE;
	if (ret_whole)
		*ret_whole = BYTES(start, (size_t)(w->at - start));
	return content;
}

bool der_take_optional(struct wire *w, uint8_t tag, struct bytes *ret)
{
	if (w->failed || wire_left(w) == 0 || *w->at != tag)
		return false;
	*ret = der_take(w, tag, NULL);
	return !w->failed;
}

struct bytes der_take_bits(struct wire *w)
{
	struct bytes v = der_take(w, DER_BIT_STRING, NULL);

	if (v.len == 0 || v.data[0] != 0) {
		w->failed = true;
		return BYTES_NONE;
	}
	return bytes_from(v, 1);
}

void der_add(struct buf *out, uint8_t tag, struct bytes content)
{
	size_t len = content.len;

	buf_add_byte(out, tag);
	if (len > 0xffff) {
		buf_add_byte(out, LONG_FORM + 3);
		buf_add_byte(out, (uint8_t)(len >> 16));
		buf_add_byte(out, (uint8_t)(len >> 8));
	} else if (len > 0xff) {
		buf_add_byte(out, LONG_FORM + 2);
		buf_add_byte(out, (uint8_t)(len >> 8));
	} else if (len > SHORT_MAX) {
		buf_add_byte(out, LONG_FORM + 1);
	}
	buf_add_byte(out, (uint8_t)len);
	buf_add_bytes(out, content);
}
