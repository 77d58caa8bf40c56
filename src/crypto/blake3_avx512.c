/* BLAKE3 with AVX-512: sixteen inputs at a time.  Built with -mavx512f -mavx512vl, run only where
 * the processor has them. */
#include <immintrin.h>

#include <stdint.h>

#define VEC __m512i
#define LANES 16
#define REGISTERS 32
#define HASH_MANY blake3_hash_many_avx512
#define ADD _mm512_add_epi32
#define XOR _mm512_xor_si512
#define SET1(x) _mm512_set1_epi32((int)(x))
#define ROT16(x) _mm512_ror_epi32(x, 16)
#define ROT12(x) _mm512_ror_epi32(x, 12)
#define ROT8(x) _mm512_ror_epi32(x, 8)
#define ROT7(x) _mm512_ror_epi32(x, 7)

static inline __m512i load_words(const uint32_t *p)
{
	return _mm512_loadu_si512(p);
}

/* Rows become columns, in place: within 128-bit lanes first, then the lanes among each other. */
static inline void transpose(__m512i r[16])
{
	__m512i a[16], b[16];

	for (int i = 0; i < 16; i += 2) {
		a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (int i = 0; i < 16; i += 4) {
		b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	/* b[4g + c] holds column c of rows 4g .. 4g+3 in lane 0, column 4 + c in lane 1, and so on.
	 */
	for (int c = 0; c < 4; c++) {
		a[c] = _mm512_shuffle_i32x4(b[c], b[c + 4], 0x88);
		a[c + 4] = _mm512_shuffle_i32x4(b[c], b[c + 4], 0xdd);
		a[c + 8] = _mm512_shuffle_i32x4(b[c + 8], b[c + 12], 0x88);
		a[c + 12] = _mm512_shuffle_i32x4(b[c + 8], b[c + 12], 0xdd);
	}
	for (int c = 0; c < 4; c++) {
		r[c] = _mm512_shuffle_i32x4(a[c], a[c + 8], 0x88);
		r[c + 8] = _mm512_shuffle_i32x4(a[c], a[c + 8], 0xdd);
		r[c + 4] = _mm512_shuffle_i32x4(a[c + 4], a[c + 12], 0x88);
		r[c + 12] = _mm512_shuffle_i32x4(a[c + 4], a[c + 12], 0xdd);
	}
}

static inline void load_block(const uint8_t *const inputs[], size_t offset, __m512i m[16])
{
	for (int i = 0; i < 16; i++)
		m[i] = _mm512_loadu_si512(inputs[i] + offset);
	transpose(m);
}

static inline void store_words(__m512i h[8], uint32_t (*out)[8])
{
	__m512i r[16];

	for (int i = 0; i < 8; i++)
		r[i] = r[i + 8] = h[i]; /* the upper half is not looked at */
	transpose(r);
	for (int i = 0; i < 16; i++)
		_mm256_storeu_si256((__m256i *)(void *)out[i], _mm512_castsi512_si256(r[i]));
}

#include "crypto/blake3_lanes.h"
