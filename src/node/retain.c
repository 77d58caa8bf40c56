/* Asking garbage filters. */
#include "node/retain.h"

#include "base/num.h"

enum { WINDOW_BYTES = 9 };

enum err retain_filter_parse(struct call *call, struct bytes wire, struct retain_filter *ret)
{
	static const uint8_t steps[4] = { 9, 13, 19, 23 };
	struct retain_filter f = { 0 };

	if (wire.len <= RETAIN_FILTER_HEAD_BYTES)
		return call_fail(call, ERR_INVALID, "filter of %zu bytes is too short", wire.len);
	if (wire.len > RETAIN_FILTER_MAX)
		return call_fail(call, ERR_INVALID, "filter of %zu bytes is too long", wire.len);
	if (wire.data[0] != RETAIN_FILTER_VERSION)
		return call_fail(call, ERR_INVALID, "filter has the unknown version %u",
				 wire.data[0]);
	if (wire.data[2] == 0)
		return call_fail(call, ERR_INVALID, "filter has no hash function");
	unsigned offset = wire.data[1] % PIECE_ID_BYTES, step = steps[wire.data[1] / 32 % 4];
	/* All steps being odd, offsets come again after 32. */
	f.probes = MIN((unsigned)wire.data[2], (unsigned)RETAIN_PROBES_MAX);
	for (unsigned i = 0; i < f.probes; i++) {
		f.offsets[i] = (uint8_t)offset;
		offset = (offset + step) % PIECE_ID_BYTES;
	}
	f.table = bytes_from(wire, RETAIN_FILTER_HEAD_BYTES);
	f.reciprocal = UINT64_MAX / f.table.len;
	*ret = f;
	return OK;
}

/* v modulo d, with UINT64_MAX / d at hand: the quotient is at most two too small. */
static uint64_t remainder_of(uint64_t v, uint64_t d, uint64_t reciprocal)
{
	uint64_t r = v - (uint64_t)((unsigned __int128)v * reciprocal >> 64) * d;

	while (r >= d)
		r -= d;
	return r;
}

bool retain_filter_has(const struct retain_filter *f, const struct piece_id *id)
{
	uint8_t twice[2 * PIECE_ID_BYTES];

	memcpy(twice, id->b, PIECE_ID_BYTES);
	memcpy(twice + PIECE_ID_BYTES, id->b, PIECE_ID_BYTES);
	for (unsigned i = 0; i < f->probes; i++) {
		const uint8_t *window = twice + f->offsets[i];
		uint64_t at = remainder_of(get_le64(window), f->table.len, f->reciprocal);
		if (!(f->table.data[at] & 1 << (window[WINDOW_BYTES - 1] & 7)))
			return false;
	}
	return true;
}
