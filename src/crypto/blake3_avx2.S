/*
 * BLAKE3 with AVX2: eight inputs at a time.  Fifteen words of the state stay in registers; v11 is
 * in memory, since rotating needs a register and a word of this row is used least.  The message is
 * transposed into memory and added from there.
 *
 * void blake3_lanes_avx2(const uint8_t *const inputs[8], size_t blocks,
 *                        struct blake3_job *job, uint32_t (*out)[8])
 */
#include "crypto/blake3_asm.h"

#define V(i) ymm##i
#define M(i) [JOB + BLAKE3_JOB_SCRATCH + 32 * (i)]
#define V11 [JOB + BLAKE3_JOB_SCRATCH + 512]
#define T ymm11

#define INPUTS rdi
#define BLOCKS rsi
#define JOB rdx
#define OUT rcx
#define OFFSET r8

/* The steps of a quarter round (section 2.2); those of row c know where v11 is. */
#define ADD(a, b) vpaddd V(a), V(a), V(b);
#define ADD_M(a, m) vpaddd V(a), V(a), M(m);
#define XOR(a, b) vpxor V(a), V(a), V(b);
#define ROR16(a) vpshufb V(a), V(a), [rip + rotate_16];
#define ROR8(a) vpshufb V(a), V(a), [rip + rotate_8];
#define ROR(a, by)                                                                                 \
	vpslld T, V(a), 32 - by;                                                                   \
	vpsrld V(a), V(a), by;                                                                     \
	vpor V(a), V(a), T;
#define ADD_C(b, c, d) BLAKE3_PASTE(ADD_C_, c)(b, c, d)
#define ADD_C_8(b, c, d) ADD(c, d) XOR(b, c)
#define ADD_C_9(b, c, d) ADD(c, d) XOR(b, c)
#define ADD_C_10(b, c, d) ADD(c, d) XOR(b, c)
#define ADD_C_11(b, c, d)                                                                          \
	vpaddd T, V(d), V11;                                                                       \
	vmovdqa V11, T;                                                                            \
	vpxor V(b), V(b), T;

#define HALF_ROUND(b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, x0, y0, x1, y1, x2, y2, x3, y3) \
	ADD_M(0, x0) ADD_M(1, x1) ADD_M(2, x2) ADD_M(3, x3)                                        \
	ADD(0, b0) ADD(1, b1) ADD(2, b2) ADD(3, b3)                                                \
	XOR(d0, 0) XOR(d1, 1) XOR(d2, 2) XOR(d3, 3)                                                \
	ROR16(d0) ROR16(d1) ROR16(d2) ROR16(d3)                                                    \
	ADD_C(b0, c0, d0) ADD_C(b1, c1, d1) ADD_C(b2, c2, d2) ADD_C(b3, c3, d3)                    \
	ROR(b0, 12) ROR(b1, 12) ROR(b2, 12) ROR(b3, 12)                                            \
	ADD_M(0, y0) ADD_M(1, y1) ADD_M(2, y2) ADD_M(3, y3)                                        \
	ADD(0, b0) ADD(1, b1) ADD(2, b2) ADD(3, b3)                                                \
	XOR(d0, 0) XOR(d1, 1) XOR(d2, 2) XOR(d3, 3)                                                \
	ROR8(d0) ROR8(d1) ROR8(d2) ROR8(d3)                                                        \
	ADD_C(b0, c0, d0) ADD_C(b1, c1, d1) ADD_C(b2, c2, d2) ADD_C(b3, c3, d3)                    \
	ROR(b0, 7) ROR(b1, 7) ROR(b2, 7) ROR(b3, 7)

#define ROUND(x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb, xc, xd, xe, xf)                      \
	HALF_ROUND(4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, x0, x1, x2, x3, x4, x5, x6, x7)       \
	HALF_ROUND(5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14, x8, x9, xa, xb, xc, xd, xe, xf)

/* Row r of the first four inputs and of the last four: words 4q .. 4q+3 of inputs r and r + 4. */
#define LOAD_ROW(reg, r, q)                                                                        \
	mov r9, [INPUTS + 8 * r];                                                                  \
	mov r10, [INPUTS + 8 * r + 32];                                                            \
	vmovdqu BLAKE3_PASTE(xmm, reg), [r9 + OFFSET + 16 * q];                                    \
	vinserti128 V(reg), V(reg), [r10 + OFFSET + 16 * q], 1;

/* Four rows become four columns within both 128-bit lanes, by way of ymm12 to ymm15. */
#define TURN(r0, r1, r2, r3)                                                                       \
	vpunpckldq ymm12, r0, r1;                                                                  \
	vpunpckhdq ymm13, r0, r1;                                                                  \
	vpunpckldq ymm14, r2, r3;                                                                  \
	vpunpckhdq ymm15, r2, r3;                                                                  \
	vpunpcklqdq r0, ymm12, ymm14;                                                              \
	vpunpckhqdq r1, ymm12, ymm14;                                                              \
	vpunpcklqdq r2, ymm13, ymm15;                                                              \
	vpunpckhqdq r3, ymm13, ymm15;

#define LOAD_QUARTER(q)                                                                            \
	LOAD_ROW(8, 0, q) LOAD_ROW(9, 1, q) LOAD_ROW(10, 2, q) LOAD_ROW(11, 3, q)                  \
	TURN(ymm8, ymm9, ymm10, ymm11)                                                             \
	vmovdqa M(4 * q), ymm8;                                                                    \
	vmovdqa M(4 * q + 1), ymm9;                                                                \
	vmovdqa M(4 * q + 2), ymm10;                                                               \
	vmovdqa M(4 * q + 3), ymm11;

/* Inputs i and i + 4: words 0 to 3 are in low, 4 to 7 in high. */
#define STORE_INPUTS(i, low, high)                                                                 \
	vmovdqu [OUT + 32 * i], BLAKE3_PASTE(xmm, low);                                            \
	vmovdqu [OUT + 32 * i + 16], BLAKE3_PASTE(xmm, high);                                      \
	vextracti128 [OUT + 32 * i + 128], V(low), 1;                                              \
	vextracti128 [OUT + 32 * i + 144], V(high), 1;

	.p2align 5
rotate_16:
	.byte 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
	.byte 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
rotate_8:
	.byte 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12
	.byte 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12

	BLAKE3_FUNCTION(blake3_lanes_avx2)
	vpbroadcastd ymm0, [JOB + BLAKE3_JOB_KEY]
	vpbroadcastd ymm1, [JOB + BLAKE3_JOB_KEY + 4]
	vpbroadcastd ymm2, [JOB + BLAKE3_JOB_KEY + 8]
	vpbroadcastd ymm3, [JOB + BLAKE3_JOB_KEY + 12]
	vpbroadcastd ymm4, [JOB + BLAKE3_JOB_KEY + 16]
	vpbroadcastd ymm5, [JOB + BLAKE3_JOB_KEY + 20]
	vpbroadcastd ymm6, [JOB + BLAKE3_JOB_KEY + 24]
	vpbroadcastd ymm7, [JOB + BLAKE3_JOB_KEY + 28]
	xor r8d, r8d
	shl BLOCKS, 6
	.p2align 5
.Lblock:
	LOAD_QUARTER(0)
	LOAD_QUARTER(1)
	LOAD_QUARTER(2)
	LOAD_QUARTER(3)
	BLAKE3_BLOCK_FLAGS(OFFSET, BLOCKS, JOB)
	vpbroadcastd ymm8, [rip + blake3_asm_constants]
	vpbroadcastd ymm9, [rip + blake3_asm_constants + 4]
	vpbroadcastd ymm10, [rip + blake3_asm_constants + 8]
	vpbroadcastd T, [rip + blake3_asm_constants + 12]
	vmovdqa V11, T
	vmovdqa ymm12, [JOB + BLAKE3_JOB_COUNTER_LOW]
	vmovdqa ymm13, [JOB + BLAKE3_JOB_COUNTER_HIGH]
	vpbroadcastd ymm14, [rip + blake3_asm_constants + 16]
	vmovd xmm15, eax
	vpbroadcastd ymm15, xmm15
	BLAKE3_ROUNDS(ROUND)
	XOR(0, 8) XOR(1, 9) XOR(2, 10) XOR(4, 12) XOR(5, 13) XOR(6, 14) XOR(7, 15)
	vpxor ymm3, ymm3, V11
	add OFFSET, 64
	cmp OFFSET, BLOCKS
	jb .Lblock
	TURN(ymm0, ymm1, ymm2, ymm3)
	TURN(ymm4, ymm5, ymm6, ymm7)
	STORE_INPUTS(0, 0, 4)
	STORE_INPUTS(1, 1, 5)
	STORE_INPUTS(2, 2, 6)
	STORE_INPUTS(3, 3, 7)
	vzeroupper
	ret
	BLAKE3_FUNCTION_END(blake3_lanes_avx2)
