/* What a node sends in a download stream. */
#include <stdlib.h>

#include "transfer/piece_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(struct bytes v, const uint8_t *data, size_t size)
{
	if (v.len && (v.data < data || v.len > size || v.data + v.len > data + size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct piece_answer a;

	if (piece_answer_parse(BYTES(data, size), &a) != OK)
		return 0;
	within(a.data, data, size);
	within(a.hash, data, size);
	within(a.limit, data, size);
	return 0;
}
