/* Garbage filters, and the remainder they are asked with. */
#include <stdlib.h>

#include "base/num.h"
#include "order/bloom.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As the reference writes it down: no tables, no reciprocals. */
static bool has_plainly(struct bytes wire, const struct piece_id *id)
{
	static const unsigned steps[4] = { 9, 13, 19, 23 };
	unsigned offset = wire.data[1] % 32, step = steps[wire.data[1] / 32 % 4];
	uint8_t twice[64];

	memcpy(twice, id->b, 32);
	memcpy(twice + 32, id->b, 32);
	for (unsigned i = 0; i < wire.data[2]; i++, offset = (offset + step) % 32) {
		uint64_t at = get_le64(twice + offset) % (wire.len - 3);
		if (!(wire.data[3 + at] & 1 << twice[offset + 8] % 8))
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bloom f;
	struct piece_id id;
	struct call call;

	if (size < PIECE_ID_BYTES)
		return 0;
	memcpy(id.b, data, PIECE_ID_BYTES);
	struct bytes wire = BYTES(data + PIECE_ID_BYTES, size - PIECE_ID_BYTES);
	call_init(&call);
	if (bloom_parse(&call, wire, &f) == OK && bloom_has(&f, &id) != has_plainly(wire, &id))
		abort();
	call_fini(&call);
	return 0;
}
