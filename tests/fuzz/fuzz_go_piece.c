/* The header of a piece as Storj's node keeps it, and the limit in it. */
#include <stdlib.h>

#include "node/go_format.h"
#include "node/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct bytes v, const uint8_t *area)
{
	return !v.len || (v.data >= area && v.data + v.len <= area + GO_HEADER_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t area[GO_HEADER_BYTES] = { 0 };
	struct go_piece p;
	struct limit_terms t;
	struct call call;

	call_init(&call);
	if (size)
		memcpy(area, data, size < sizeof(area) ? size : sizeof(area));
	if (go_piece_read(&call, BYTES_OF(area), &p) == OK) {
		if (!within(p.limit, area) || !within(p.signature, area) || !p.limit.len ||
		    p.limit.len > GO_HEADER_BYTES ||
		    (p.signature.len && p.signature.len != ED25519_SIGNATURE_BYTES))
			abort();
		if (limit_terms_read(&call, &call.scratch, p.limit, &t) == OK &&
		    t.wire.len != p.limit.len)
			abort();
	}
	if (go_piece_read(&call, BYTES(area, size % GO_HEADER_BYTES), &p) == OK)
		abort(); /* too short */
	call_fini(&call);
	return 0;
}
