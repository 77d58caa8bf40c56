/* BLAKE3 with NEON: four inputs at a time.  Part of every 64-bit ARM processor. */
#include <arm_neon.h>

#include <stddef.h>
#include <stdint.h>

#include "crypto/blake3_kernel.h"

#define VEC uint32x4_t
#define LANES 4
#define ADD vaddq_u32
#define XOR veorq_u32
#define SET1(x) vdupq_n_u32(x)
#define ROTATE(x, by) vsriq_n_u32(vshlq_n_u32(x, 32 - (by)), x, by)
#define ROT16(x) vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(x)))
#define ROT12(x) ROTATE(x, 12)
#define ROT8(x) ROTATE(x, 8)
#define ROT7(x) ROTATE(x, 7)

/* Rows become columns, in place. */
static inline void transpose(uint32x4_t r[4])
{
	uint32x4x2_t a = vtrnq_u32(r[0], r[1]);
	uint32x4x2_t b = vtrnq_u32(r[2], r[3]);

	r[0] = vcombine_u32(vget_low_u32(a.val[0]), vget_low_u32(b.val[0]));
	r[1] = vcombine_u32(vget_low_u32(a.val[1]), vget_low_u32(b.val[1]));
	r[2] = vcombine_u32(vget_high_u32(a.val[0]), vget_high_u32(b.val[0]));
	r[3] = vcombine_u32(vget_high_u32(a.val[1]), vget_high_u32(b.val[1]));
}

static inline void load_block(const uint8_t *const inputs[], size_t offset, uint32x4_t m[16])
{
	for (int q = 0; q < 4; q++) {
		for (int i = 0; i < 4; i++)
			m[4 * q + i] =
				vreinterpretq_u32_u8(vld1q_u8(inputs[i] + offset + 16 * (size_t)q));
		transpose(m + 4 * q);
	}
}

static inline void store_words(uint32x4_t h[8], uint32_t (*out)[8])
{
	transpose(h);
	transpose(h + 4);
	for (int i = 0; i < 4; i++) {
		vst1q_u32(out[i], h[i]);
		vst1q_u32(out[i] + 4, h[i + 4]);
	}
}

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
/* The four quarter rounds side by side: more is in flight, and it all fits. */
/* clang-format off */
#define QUARTERS                                                                                   \
	FOUR(STEP_A1) FOUR(STEP_D16) FOUR(STEP_C) FOUR(STEP_B12)                                   \
	FOUR(STEP_A2) FOUR(STEP_D8) FOUR(STEP_C) FOUR(STEP_B7)
/* clang-format on */

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

void blake3_lanes_neon(const uint8_t *const inputs[], size_t blocks, struct blake3_job *job,
		       uint32_t (*out)[8])
{
	static const uint32_t iv[8] = BLAKE3_IV;
	VEC h[8];

	for (unsigned i = 0; i < 8; i++)
		h[i] = SET1(job->key[i]);
	for (size_t block = 0; block < blocks; block++) {
		uint32_t f = job->flags | (block == 0 ? job->flags_start : 0) |
			     (block == blocks - 1 ? job->flags_end : 0);
		VEC m[16];
		/* clang-format off */
		VEC v[16] = {
			h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7],
			SET1(iv[0]), SET1(iv[1]), SET1(iv[2]), SET1(iv[3]),
			vld1q_u32(job->counter_low), vld1q_u32(job->counter_high), SET1(64), SET1(f),
		};
		/* clang-format on */

		load_block(inputs, 64 * block, m);
		BLAKE3_ROUNDS(ROUND)
		for (unsigned i = 0; i < 8; i++)
			h[i] = XOR(v[i], v[i + 8]);
	}
	store_words(h, out);
}
