/* Segments of a path. */
#include "base/text.h"
#include "base/cleanup.h"
#include "http/http.h"

enum err http_unescape(struct bytes segment, struct buf *ret)
{
	size_t start = ret->len;

	for (size_t i = 0; i < segment.len; i++) {
		if (segment.data[i] != '%') {
			buf_add_byte(ret, segment.data[i]);
			continue;
		}
		if (segment.len - i < 3 || text_unhex(ret, BYTES(segment.data + i + 1, 2)))
			return ERR_FORMAT;
		i += 2;
	}
	if (ret->failed)
		return ERR_NO_MEMORY;
	for (size_t i = start, n; i < ret->len; i += n) {
		n = text_utf8_len(ret->data + i, ret->len - i);
		if (n == 0 || ret->data[i] == 0)
			return ERR_FORMAT;
	}
	return OK;
}
