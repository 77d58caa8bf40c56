/* Segments of an HTTP path: what comes out is UTF-8 without zero bytes, and never longer. */
#include <stdlib.h>

#include "base/text.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT(4096);

	if (http_unescape(BYTES(data, size), &text) == OK) {
		if (text.len > size)
			abort();
		for (size_t i = 0, n; i < text.len; i += n) {
			n = text_utf8_len(text.data + i, text.len - i);
			if (n == 0 || text.data[i] == 0)
				abort();
		}
	}
	buf_free(&text);
	return 0;
}
