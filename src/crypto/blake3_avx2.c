/* BLAKE3 with AVX2: eight inputs at a time.  Built with -mavx2, run only where the processor has
 * it. */
#include <immintrin.h>

#include <stdint.h>

#define VEC __m256i
#define LANES 8
#define REGISTERS 16
#define HASH_MANY blake3_hash_many_avx2
#define ADD _mm256_add_epi32
#define XOR _mm256_xor_si256
#define SET1(x) _mm256_set1_epi32((int)(x))
#define ROTATE(x, by) _mm256_or_si256(_mm256_srli_epi32(x, by), _mm256_slli_epi32(x, 32 - (by)))
#define ROT16(x) _mm256_shuffle_epi8(x, rotate_16())
#define ROT12(x) ROTATE(x, 12)
#define ROT8(x) _mm256_shuffle_epi8(x, rotate_8())
#define ROT7(x) ROTATE(x, 7)

static inline __m256i rotate_16(void)
{
	return _mm256_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6,
				7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}

static inline __m256i rotate_8(void)
{
	return _mm256_setr_epi8(1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5,
				6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
}

static inline __m256i load_words(const uint32_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Rows become columns, in place. */
static inline void transpose(__m256i r[8])
{
	__m256i a[8], b[8];

	for (int i = 0; i < 8; i += 2) {
		a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
		a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (int i = 0; i < 8; i += 4) {
		b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	for (int i = 0; i < 4; i++) {
		r[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
		r[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
	}
}

static inline void load_block(const uint8_t *const inputs[], size_t offset, __m256i m[16])
{
	for (int i = 0; i < 8; i++) {
		m[i] = load_words((const uint32_t *)(const void *)(inputs[i] + offset));
		m[i + 8] = load_words((const uint32_t *)(const void *)(inputs[i] + offset + 32));
	}
	transpose(m);
	transpose(m + 8);
}

static inline void store_words(__m256i h[8], uint32_t (*out)[8])
{
	transpose(h);
	for (int i = 0; i < 8; i++)
		_mm256_storeu_si256((__m256i *)(void *)out[i], h[i]);
}

#include "crypto/blake3_lanes.h"
