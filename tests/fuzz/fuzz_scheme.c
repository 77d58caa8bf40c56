/* Redundancy schemes from configuration and databases. */
#include <stdlib.h>

#include "erasure/scheme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT(256);
	struct scheme s, again;

	if (scheme_parse(BYTES(data, size), &s) == OK) {
		scheme_add_text(&text, &s);
		if (scheme_parse(buf_bytes(&text), &again) != OK ||
		    scheme_pack(&s) != scheme_pack(&again))
			abort();
		s = scheme_unpack(scheme_pack(&s));
		if (scheme_check(&s) != OK || scheme_piece_size(&s, 1) == 0)
			abort();
	}
	buf_free(&text);
	return 0;
}
