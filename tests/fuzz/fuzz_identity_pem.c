/* Identity files: certificates, a zero byte, the key. */
#include <stdlib.h>

#include "identity/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
	size_t n = zero ? (size_t)(zero - data) : size;
	struct identity *id = NULL;
	struct call call;

	call_init(&call);
	if (identity_from_pem(&call, BYTES(data, n), bytes_from(BYTES(data, size), n + 1), &id) ==
	    OK) {
		if (cert_chain_count(identity_chain(id)) < 2)
			abort();
	} else if (!call.error[0]) {
		abort();
	}
	identity_free(id);
	call_fini(&call);
	return 0;
}
