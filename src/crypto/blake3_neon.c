/* BLAKE3 with NEON: four inputs at a time.  Part of every 64-bit ARM processor. */
#include <arm_neon.h>

#include <stddef.h>
#include <stdint.h>

#define VEC uint32x4_t
#define LANES 4
#define REGISTERS 32
#define HASH_MANY blake3_hash_many_neon
#define ADD vaddq_u32
#define XOR veorq_u32
#define SET1(x) vdupq_n_u32(x)
#define ROTATE(x, by) vsriq_n_u32(vshlq_n_u32(x, 32 - (by)), x, by)
#define ROT16(x) vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(x)))
#define ROT12(x) ROTATE(x, 12)
#define ROT8(x) ROTATE(x, 8)
#define ROT7(x) ROTATE(x, 7)

static inline uint32x4_t load_words(const uint32_t *p)
{
	return vld1q_u32(p);
}

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

#include "crypto/blake3_lanes.h"
