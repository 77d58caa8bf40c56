/* User metadata of objects others have uploaded. */
#include <stdlib.h>

#include "proto/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = BUF_INIT(8 << 20), twice = BUF_INIT(8 << 20);
	struct meta m, again;
	struct call call;

	call_init(&call);
	if (meta_decode(&call, &call.scratch, BYTES(data, size), &m) == OK) {
		meta_encode(&once, &m);
		if (meta_decode(&call, &call.scratch, buf_bytes(&once), &again) != OK ||
		    m.count != again.count)
			abort();
		meta_encode(&twice, &again);
		if (!bytes_equal(buf_bytes(&once), buf_bytes(&twice)))
			abort();
	}
	buf_free(&once);
	buf_free(&twice);
	call_fini(&call);
	return 0;
}
