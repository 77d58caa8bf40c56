/* Compressed batches: a small input must not unfold beyond the limit, whatever it says. */
#include <stdlib.h>

#include "proto/zstd.h"

enum { LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf plain = BUF_INIT(2 * LIMIT), packed = BUF_INIT(2 * LIMIT),
		   back = BUF_INIT(2 * LIMIT);
	struct call call;

	call_init(&call);
	if (zstd_decompress(&call, BYTES(data, size), LIMIT, &plain) == OK) {
		if (plain.len > LIMIT || zstd_compress(&call, buf_bytes(&plain), &packed) != OK ||
		    zstd_decompress(&call, buf_bytes(&packed), plain.len, &back) != OK ||
		    !bytes_equal(buf_bytes(&plain), buf_bytes(&back)))
			abort();
	} else if (plain.len) {
		abort();
	}
	buf_free(&plain);
	buf_free(&packed);
	buf_free(&back);
	call_fini(&call);
	return 0;
}
