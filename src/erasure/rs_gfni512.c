/*
 * Multiplication in GF(2^8) with GFNI: one instruction multiplies 64 bytes with a coefficient,
 * given as the 8 x 8 bit matrix of the multiplication (the instruction's own product has another
 * polynomial).  Up to ROWS_MAX sums are kept in registers while the inputs stream by, so each
 * output byte is written once and no output is read.  Built with -mgfni -mavx512bw, run only where
 * the processor has both.
 */
#include <immintrin.h>

#include "erasure/internal.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROWS_MAX = 13, POLYNOMIAL = 0x11d, VECTOR = 64, XOR3 = 0x96 };

/* Row i of the bit matrix, in byte 7 - i: which bits of x make bit i of coefficient * x. */
static uint64_t bit_matrix(uint8_t coefficient)
{
	uint64_t matrix = 0;
	unsigned product = coefficient; /* coefficient * 2^bit */

	for (unsigned bit = 0; bit < 8; bit++) {
		for (unsigned i = 0; i < 8; i++)
			if (product >> i & 1)
				matrix |= UINT64_C(1) << (8 * (7 - i) + bit);
		product <<= 1;
		if (product & 0x100)
			product ^= POLYNOMIAL;
	}
	return matrix;
}

/* The matrix of a coefficient is the sum of those of its bits. */
static uint64_t sum_of_powers(const uint64_t powers[8], uint8_t coefficient)
{
	uint64_t sum = 0;

	for (unsigned bit = 0; bit < 8; bit++)
		sum ^= powers[bit] & -(uint64_t)(coefficient >> bit & 1);
	return sum;
}

/* Rows go in groups of nearly equal size, each with its tables in the order they are used. */
static unsigned group_rows(unsigned rows, unsigned group, unsigned *ret_first)
{
	unsigned groups = (rows + ROWS_MAX - 1) / ROWS_MAX;

	if (group == groups)
		return 0;
	*ret_first = rows * group / groups;
	return rows * (group + 1) / groups - *ret_first;
}

static void prepare(unsigned k, unsigned rows, const uint8_t *matrix, void *tables)
{
	uint64_t powers[8];
	uint64_t *t = tables;
	unsigned first = 0;

	for (unsigned bit = 0; bit < 8; bit++)
		powers[bit] = bit_matrix((uint8_t)(1 << bit));
	for (unsigned g = 0, n; (n = group_rows(rows, g, &first)) > 0; g++)
		for (unsigned j = 0; j < k; j++)
			for (unsigned r = 0; r < n; r++)
				*t++ = sum_of_powers(powers, matrix[(size_t)(first + r) * k + j]);
}

static inline __m512i multiply(__m512i data, uint64_t matrix)
{
	__m512i spread = _mm512_set1_epi64((long long)matrix);

	/* Into a register first: clang 14 can make the broadcast part of the multiplication, and
	 * then encodes its offset with the wrong scale. */
	__asm__("" : "+v"(spread));
	return _mm512_gf2p8affine_epi64_epi8(data, spread, 0);
}

/* rows is a constant wherever this is called, so that sum[] becomes registers. */
INLINE void apply_vector(const unsigned rows, unsigned k, const uint64_t *t, size_t at,
			 __mmask64 mask, const uint8_t *const in[], uint8_t *const out[])
{
	__m512i sum[ROWS_MAX];
	unsigned j = 0;

	for (unsigned r = 0; r < rows; r++)
		sum[r] = _mm512_setzero_si512();
	/* Two inputs at a time: one instruction then adds both products. */
	for (; j + 2 <= k; j += 2, t += 2 * rows) {
		__m512i a = _mm512_maskz_loadu_epi8(mask, in[j] + at);
		__m512i b = _mm512_maskz_loadu_epi8(mask, in[j + 1] + at);

		for (unsigned r = 0; r < rows; r++)
			sum[r] = _mm512_ternarylogic_epi64(sum[r], multiply(a, t[r]),
							   multiply(b, t[rows + r]), XOR3);
	}
	if (j < k) {
		__m512i a = _mm512_maskz_loadu_epi8(mask, in[j] + at);

		for (unsigned r = 0; r < rows; r++)
			sum[r] = _mm512_xor_si512(sum[r], multiply(a, t[r]));
	}
	for (unsigned r = 0; r < rows; r++)
		_mm512_mask_storeu_epi8(out[r] + at, mask, sum[r]);
}

INLINE void apply_rows(const unsigned rows, unsigned k, const uint64_t *t, size_t len,
		       const uint8_t *const in[], uint8_t *const out[])
{
	size_t at = 0;

	for (; at + VECTOR <= len; at += VECTOR)
		apply_vector(rows, k, t, at, ~UINT64_C(0), in, out);
	if (at < len)
		apply_vector(rows, k, t, at, (UINT64_C(1) << (len - at)) - 1, in, out);
}

static void apply_group(unsigned rows, unsigned k, const uint64_t *t, size_t len,
			const uint8_t *const in[], uint8_t *const out[])
{
	switch (rows) {
#define CASE(n)                                                                                    \
	case n:                                                                                    \
		apply_rows(n, k, t, len, in, out);                                                 \
		break;
		/* clang-format off */
	CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
	CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13)
		/* clang-format on */
#undef CASE
	}
}

static void apply(unsigned k, unsigned rows, const void *tables, size_t len,
		  const uint8_t *const in[], uint8_t *const out[])
{
	const uint64_t *t = tables;
	unsigned first = 0;

	for (unsigned g = 0, n; (n = group_rows(rows, g, &first)) > 0; g++) {
		apply_group(n, k, t, len, in, out + first);
		t += (size_t)n * k;
	}
}

const struct rs_kernel rs_kernel_gfni512 = {
	.name = "gfni512",
	.table_bytes = sizeof(uint64_t),
	.prepare = prepare,
	.apply = apply,
};
