/* Building and asking garbage filters. */
#include "order/bloom.h"

#include "base/num.h"

enum { WINDOW_BYTES = 9 };

static void set_probes(struct bloom *f, uint8_t seed, unsigned hashes)
{
	static const uint8_t steps[4] = { 9, 13, 19, 23 };
	unsigned offset = seed % PIECE_ID_BYTES, step = steps[seed / 32 % 4];

	/* All steps being odd, offsets come again after 32. */
	f->probes = MIN(hashes, (unsigned)BLOOM_PROBES_MAX);
	for (unsigned i = 0; i < f->probes; i++) {
		f->offsets[i] = (uint8_t)offset;
		offset = (offset + step) % PIECE_ID_BYTES;
	}
}

enum err bloom_parse(struct call *call, struct bytes wire, struct bloom *ret)
{
	struct bloom f = { .table = bytes_from(wire, BLOOM_HEAD_BYTES) };

	if (!f.table.len)
		return call_fail(call, ERR_INVALID, "filter of %zu bytes is too short", wire.len);
	if (wire.len > BLOOM_MAX)
		return call_fail(call, ERR_INVALID, "filter of %zu bytes is too long", wire.len);
	if (wire.data[0] != BLOOM_VERSION)
		return call_fail(call, ERR_INVALID, "filter has the unknown version %u",
				 wire.data[0]);
	if (wire.data[2] == 0)
		return call_fail(call, ERR_INVALID, "filter has no hash function");
	set_probes(&f, wire.data[1], wire.data[2]);
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

/* The windows of an ID wrap. */
static void double_id(const struct piece_id *id, uint8_t twice[2 * PIECE_ID_BYTES])
{
	memcpy(twice, id->b, PIECE_ID_BYTES);
	memcpy(twice + PIECE_ID_BYTES, id->b, PIECE_ID_BYTES);
}

/* Byte of the table and bit in it. */
static uint64_t probe(const struct bloom *f, const uint8_t *twice, unsigned i, uint8_t *ret_mask)
{
	const uint8_t *window = twice + f->offsets[i];

	*ret_mask = (uint8_t)(1 << (window[WINDOW_BYTES - 1] & 7));
	return remainder_of(get_le64(window), f->table.len, f->reciprocal);
}

bool bloom_has(const struct bloom *f, const struct piece_id *id)
{
	uint8_t twice[2 * PIECE_ID_BYTES], mask;

	double_id(id, twice);
	for (unsigned i = 0; i < f->probes; i++) {
		uint64_t at = probe(f, twice, i, &mask);
		if (!(f->table.data[at] & mask))
			return false;
	}
	return true;
}

void bloom_begin(uint8_t *wire, uint8_t seed, struct bloom_size size, struct bloom *ret)
{
	struct bloom f = { 0 };

	wire[0] = BLOOM_VERSION;
	wire[1] = seed;
	wire[2] = size.hashes;
	memset(wire + BLOOM_HEAD_BYTES, 0, size.table_bytes);
	set_probes(&f, seed, size.hashes);
	f.table = BYTES(wire + BLOOM_HEAD_BYTES, size.table_bytes);
	f.reciprocal = UINT64_MAX / size.table_bytes;
	*ret = f;
}

void bloom_add(const struct bloom *f, uint8_t *wire, const struct piece_id *id)
{
	uint8_t twice[2 * PIECE_ID_BYTES], mask;

	double_id(id, twice);
	for (unsigned i = 0; i < f->probes; i++) {
		uint64_t at = probe(f, twice, i, &mask);
		wire[BLOOM_HEAD_BYTES + at] |= mask;
	}
}
