/*
 * BLAKE3 over many inputs at once, one input per vector lane.  Included by each blake3_<feature>.c,
 * which defines before:
 *	VEC, LANES        a vector of LANES 32-bit words
 *	ADD XOR SET1      on vectors; ROT16 ROT12 ROT8 ROT7 rotate each word right
 *	load_words(ptr)   a vector of LANES words from memory
 *	load_block(inputs, offset, m[16])   the 64 bytes at offset of every input, transposed
 *	store_words(h[8], out)              transposed back, eight words per lane
 *	HASH_MANY         the name of the function to define
 */
#include "crypto/blake3_kernel.h"

#define G(a, b, c, d, x, y)                                                                        \
	v[a] = ADD(ADD(v[a], m[x]), v[b]);                                                         \
	v[d] = ROT16(XOR(v[d], v[a]));                                                             \
	v[c] = ADD(v[c], v[d]);                                                                    \
	v[b] = ROT12(XOR(v[b], v[c]));                                                             \
	v[a] = ADD(ADD(v[a], m[y]), v[b]);                                                         \
	v[d] = ROT8(XOR(v[d], v[a]));                                                              \
	v[c] = ADD(v[c], v[d]);                                                                    \
	v[b] = ROT7(XOR(v[b], v[c]));

#define ROUND(...) BLAKE3_ROUND(G, __VA_ARGS__)

/* Exactly LANES inputs. */
static inline void hash_lanes(const uint8_t *const inputs[], size_t blocks, const uint32_t key[8],
			      uint64_t counter, uint64_t step, uint32_t flags,
			      uint32_t flags_start, uint32_t flags_end, uint32_t (*out)[8])
{
	static const uint32_t iv[4] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a };
	uint32_t counters[2][LANES];
	VEC h[8];

	for (unsigned i = 0; i < LANES; i++) {
		counters[0][i] = (uint32_t)(counter + i * step);
		counters[1][i] = (uint32_t)((counter + i * step) >> 32);
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] = SET1(key[i]);
	for (size_t b = 0; b < blocks; b++) {
		uint32_t f = flags | (b == 0 ? flags_start : 0) | (b == blocks - 1 ? flags_end : 0);
		VEC m[16];
		VEC v[16] = {
			h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7],
			SET1(iv[0]), SET1(iv[1]), SET1(iv[2]), SET1(iv[3]),
			load_words(counters[0]), load_words(counters[1]), SET1(64), SET1(f),
		};

		load_block(inputs, 64 * b, m);
		BLAKE3_ROUNDS(ROUND)
		for (unsigned i = 0; i < 8; i++)
			h[i] = XOR(v[i], v[i + 8]);
	}
	store_words(h, out);
}

void HASH_MANY(const uint8_t *const inputs[], size_t count, size_t blocks, const uint32_t key[8],
	       uint64_t counter, uint64_t step, uint32_t flags, uint32_t flags_start,
	       uint32_t flags_end, uint32_t (*out)[8])
{
	for (; count >= LANES; count -= LANES) {
		hash_lanes(inputs, blocks, key, counter, step, flags, flags_start, flags_end, out);
		inputs += LANES;
		out += LANES;
		counter += LANES * step;
	}
	if (count == 0)
		return;
	if (count == 1) {
		blake3_hash_many_portable(inputs, 1, blocks, key, counter, step, flags, flags_start,
					  flags_end, out);
		return;
	}
	/* The idle lanes repeat the last input, and their results are dropped. */
	const uint8_t *padded[LANES];
	uint32_t all[LANES][8];
	for (size_t i = 0; i < LANES; i++)
		padded[i] = inputs[i < count ? i : count - 1];
	hash_lanes(padded, blocks, key, counter, step, flags, flags_start, flags_end, all);
	for (size_t i = 0; i < count; i++)
		for (size_t w = 0; w < 8; w++)
			out[i][w] = all[i][w];
}
