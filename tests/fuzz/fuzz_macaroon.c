/* API keys as they come with every request, from anybody. */
#include <stdlib.h>

#include "access/macaroon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct secret_key secret = { { 1 } };
	struct buf binary = BUF_INIT(MACAROON_BYTES_MAX);
	struct call call;
	struct macaroon m, again;

	call_init(&call);
	if (macaroon_parse(&call, &call.scratch, BYTES(data, size), &m) == OK) {
		macaroon_add_binary(&binary, &m);
		if (macaroon_parse(&call, &call.scratch, buf_bytes(&binary), &again) != OK ||
		    !bytes_equal(m.head, again.head) || m.caveats_count != again.caveats_count)
			abort();
		for (size_t i = 0; i < m.caveats_count; i++) {
			if (!bytes_equal(m.caveats[i], again.caveats[i]))
				abort();
		}
		if (macaroon_valid(&m, &secret))
			abort();
	}
	buf_free(&binary);
	call_fini(&call);
	return 0;
}
