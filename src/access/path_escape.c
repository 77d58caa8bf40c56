/* The escape of encrypted path components: no 00, 2f or ff in what is sent (encryption.md 2.4). */
#include "access/path_escape.h"

enum { MARK_EMPTY = 1, MARK_DATA = 2 };

/* The byte an escaped one starts with; 0 for those that stand for themselves. */
static uint8_t escape_lead(uint8_t b)
{
	switch (b) {
	case 0x2e:
	case 0x2f:
		return 0x2e;
	case 0xfe:
	case 0xff:
		return 0xfe;
	case 0x00:
	case 0x01:
		return 0x01;
	default:
		return 0;
	}
}

void path_escape(struct buf *out, struct bytes raw)
{
	if (raw.len == 0) {
		buf_add_byte(out, MARK_EMPTY);
		return;
	}
	if (!buf_reserve(out, 1 + 2 * raw.len))
		return;
	uint8_t *p = out->data + out->len;
	*p++ = MARK_DATA;
	for (size_t i = 0; i < raw.len; i++) {
		uint8_t b = raw.data[i], lead = escape_lead(b);
		if (!lead) {
			*p++ = b;
			continue;
		}
		*p++ = lead;
		/* 00 and 01 have the lead 01 above them, the other pairs begin with theirs. */
		*p++ = (uint8_t)(lead == 0x01 ? b + 1 : b - lead + 1);
	}
	out->len = (size_t)(p - out->data);
}

enum err path_unescape(struct buf *out, struct bytes escaped)
{
	if (escaped.len == 1 && escaped.data[0] == MARK_EMPTY)
		return OK;
	if (escaped.len < 2 || escaped.data[0] != MARK_DATA)
		return ERR_FORMAT;
	if (!buf_reserve(out, escaped.len - 1))
		return ERR_NO_MEMORY;
	uint8_t *p = out->data + out->len;
	for (size_t i = 1; i < escaped.len; i++) {
		uint8_t b = escaped.data[i], lead = escape_lead(b);
		if (!lead) {
			*p++ = b;
			continue;
		}
		if (b != lead || i + 1 == escaped.len)
			return ERR_FORMAT;
		uint8_t which = escaped.data[++i];
		if (which != 1 && which != 2)
			return ERR_FORMAT;
		*p++ = (uint8_t)(lead == 0x01 ? which - 1 : lead + which - 1);
	}
	out->len = (size_t)(p - out->data);
	return OK;
}
