/* Text that people paste: what decodes must encode to the same text again. */
#include <stdlib.h>

#include "crypto/base58check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf payload = BUF_INIT(1 << 16), text = BUF_INIT(1 << 16);
	uint8_t version = 0;

	if (size > 4096) /* quadratic */
		return 0;
	if (base58check_decode(BYTES(data, size), &version, &payload) == OK) {
		if (base58check_add(&text, version, buf_bytes(&payload)) != OK ||
		    !bytes_equal(buf_bytes(&text), BYTES(data, size)))
			abort();
	}
	buf_free(&payload);
	buf_free(&text);
	return 0;
}
