/*
 * BLAKE3 over many inputs at once, one input per vector lane.  Included by each blake3_<feature>.c,
 * which defines before:
 *	VEC, LANES        a vector of LANES 32-bit words; REGISTERS vector registers
 *	ADD XOR SET1      on vectors; ROT16 ROT12 ROT8 ROT7 rotate each word right
 *	load_words(ptr)   a vector of LANES words from memory
 *	load_block(inputs, offset, m[16])   the 64 bytes at offset of every input, transposed
 *	store_words(h[8], out)              transposed back, eight words per lane
 *	HASH_MANY         the name of the function to define
 */
#include "crypto/blake3_kernel.h"

/* One step of a quarter round; column i meets the rows b, c and d turned by 0 (columns) or by 1, 2
 * and 3 (diagonals). */
#define ROW_B(i) v[4 + ((i) + TURN) % 4]
#define ROW_C(i) v[8 + ((i) + 2 * TURN) % 4]
#define ROW_D(i) v[12 + ((i) + 3 * TURN) % 4]
#define STEP_A1(i) v[i] = ADD(ADD(v[i], mx[i]), ROW_B(i));
#define STEP_A2(i) v[i] = ADD(ADD(v[i], my[i]), ROW_B(i));
#define STEP_D16(i) ROW_D(i) = ROT16(XOR(ROW_D(i), v[i]));
#define STEP_D8(i) ROW_D(i) = ROT8(XOR(ROW_D(i), v[i]));
#define STEP_C(i) ROW_C(i) = ADD(ROW_C(i), ROW_D(i));
#define STEP_B12(i) ROW_B(i) = ROT12(XOR(ROW_B(i), ROW_C(i)));
#define STEP_B7(i) ROW_B(i) = ROT7(XOR(ROW_B(i), ROW_C(i)));

#define FOUR(step) step(0) step(1) step(2) step(3)
#if REGISTERS >= 32
/* The four quarter rounds side by side: more is in flight, and it all fits. */
/* clang-format off */
#define QUARTERS                                                                                   \
	FOUR(STEP_A1) FOUR(STEP_D16) FOUR(STEP_C) FOUR(STEP_B12)                                   \
	FOUR(STEP_A2) FOUR(STEP_D8) FOUR(STEP_C) FOUR(STEP_B7)
/* clang-format on */
#else
#define QUARTER(i)                                                                                 \
	STEP_A1(i) STEP_D16(i) STEP_C(i) STEP_B12(i) STEP_A2(i) STEP_D8(i) STEP_C(i) STEP_B7(i)
#define QUARTERS FOUR(QUARTER)
#endif

#define HALF_ROUND(turn, x0, y0, x1, y1, x2, y2, x3, y3)                                           \
	do {                                                                                       \
		const VEC mx[4] = { m[x0], m[x1], m[x2], m[x3] };                                  \
		const VEC my[4] = { m[y0], m[y1], m[y2], m[y3] };                                  \
		enum { TURN = (turn) };                                                            \
		QUARTERS                                                                           \
	} while (0);
#define ROUND(x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb, xc, xd, xe, xf)                      \
	HALF_ROUND(0, x0, x1, x2, x3, x4, x5, x6, x7)                                              \
	HALF_ROUND(1, x8, x9, xa, xb, xc, xd, xe, xf)

/* Exactly LANES inputs. */
static inline void hash_lanes(const uint8_t *const inputs[], size_t blocks, const uint32_t key[8],
			      uint64_t counter, uint64_t step, uint32_t flags, uint32_t flags_start,
			      uint32_t flags_end, uint32_t (*out)[8])
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
	for (size_t block = 0; block < blocks; block++) {
		uint32_t f = flags | (block == 0 ? flags_start : 0) |
			     (block == blocks - 1 ? flags_end : 0);
		VEC m[16];
		/* clang-format off */
		VEC v[16] = {
			h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7],
			SET1(iv[0]), SET1(iv[1]), SET1(iv[2]), SET1(iv[3]),
			load_words(counters[0]), load_words(counters[1]), SET1(64), SET1(f),
		};
		/* clang-format on */

		load_block(inputs, 64 * block, m);
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
