/* InvokeMetadata bodies: what is accepted survives being written and read again. */
#include <stdlib.h>

#include "rpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(void *arg, struct bytes key, struct bytes value)
{
	metadata_add(arg, key, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);
	uint64_t code;

	if (metadata_parse(BYTES(data, size), again, &out) == OK && !out.failed) {
		if (out.len > size || metadata_parse(buf_bytes(&out), again, &twice) != OK ||
		    !bytes_equal(buf_bytes(&out), buf_bytes(&twice)))
			abort();
	}
	struct bytes text = error_body_parse(BYTES(data, size), &code);
	if (text.len > size)
		abort();
	buf_free(&out);
	buf_free(&twice);
	return 0;
}
