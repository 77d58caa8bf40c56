/*
 * BLAKE3 with AVX-512: sixteen inputs at a time.  The state stays in zmm0 to zmm15 and the message
 * in zmm16 to zmm31, so that no round touches memory; a compiler that may choose spills 40 vectors
 * a block.
 *
 * void blake3_lanes_avx512(const uint8_t *const inputs[16], size_t blocks,
 *                          struct blake3_job *job, uint32_t (*out)[8])
 */
#include "crypto/blake3_asm.h"

#define V(i) zmm##i
#define M(i) BLAKE3_PASTE(M_, i)
#define M_0 zmm16
#define M_1 zmm17
#define M_2 zmm18
#define M_3 zmm19
#define M_4 zmm20
#define M_5 zmm21
#define M_6 zmm22
#define M_7 zmm23
#define M_8 zmm24
#define M_9 zmm25
#define M_10 zmm26
#define M_11 zmm27
#define M_12 zmm28
#define M_13 zmm29
#define M_14 zmm30
#define M_15 zmm31

#define INPUTS rdi
#define BLOCKS rsi
#define JOB rdx
#define OUT rcx
#define OFFSET r8

/* Four quarter rounds side by side, each step on all of them (section 2.2). */
#define ADD(a, b) vpaddd V(a), V(a), V(b);
#define ADD_M(a, m) vpaddd V(a), V(a), M(m);
#define XOR(a, b) vpxord V(a), V(a), V(b);
#define ROR(a, by) vprord V(a), V(a), by;
#define HALF_ROUND(b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, x0, y0, x1, y1, x2, y2, x3, y3) \
	ADD_M(0, x0) ADD_M(1, x1) ADD_M(2, x2) ADD_M(3, x3)                                        \
	ADD(0, b0) ADD(1, b1) ADD(2, b2) ADD(3, b3)                                                \
	XOR(d0, 0) XOR(d1, 1) XOR(d2, 2) XOR(d3, 3)                                                \
	ROR(d0, 16) ROR(d1, 16) ROR(d2, 16) ROR(d3, 16)                                            \
	ADD(c0, d0) ADD(c1, d1) ADD(c2, d2) ADD(c3, d3)                                            \
	XOR(b0, c0) XOR(b1, c1) XOR(b2, c2) XOR(b3, c3)                                            \
	ROR(b0, 12) ROR(b1, 12) ROR(b2, 12) ROR(b3, 12)                                            \
	ADD_M(0, y0) ADD_M(1, y1) ADD_M(2, y2) ADD_M(3, y3)                                        \
	ADD(0, b0) ADD(1, b1) ADD(2, b2) ADD(3, b3)                                                \
	XOR(d0, 0) XOR(d1, 1) XOR(d2, 2) XOR(d3, 3)                                                \
	ROR(d0, 8) ROR(d1, 8) ROR(d2, 8) ROR(d3, 8)                                                \
	ADD(c0, d0) ADD(c1, d1) ADD(c2, d2) ADD(c3, d3)                                            \
	XOR(b0, c0) XOR(b1, c1) XOR(b2, c2) XOR(b3, c3)                                            \
	ROR(b0, 7) ROR(b1, 7) ROR(b2, 7) ROR(b3, 7)

#define ROUND(x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb, xc, xd, xe, xf)                      \
	HALF_ROUND(4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, x0, x1, x2, x3, x4, x5, x6, x7)       \
	HALF_ROUND(5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14, x8, x9, xa, xb, xc, xd, xe, xf)

/*
 * The sixteen words of sixteen inputs become sixteen vectors of one word each.  First four inputs
 * g .. g+3, within 128-bit lanes: word 4L + c of them is then in lane L of the c-th register.
 */
#define LOAD_FOUR(g, p0, p1, p2, p3, r0, r1, r2, r3)                                               \
	mov r9, [INPUTS + 8 * (g)];                                                                \
	mov r10, [INPUTS + 8 * (g) + 8];                                                           \
	mov r11, [INPUTS + 8 * (g) + 16];                                                          \
	mov rax, [INPUTS + 8 * (g) + 24];                                                          \
	vmovdqu32 zmm8, [r9 + OFFSET];                                                             \
	vmovdqu32 zmm9, [r11 + OFFSET];                                                            \
	vpunpckldq p0, zmm8, [r10 + OFFSET];                                                       \
	vpunpckhdq p1, zmm8, [r10 + OFFSET];                                                       \
	vpunpckldq p2, zmm9, [rax + OFFSET];                                                       \
	vpunpckhdq p3, zmm9, [rax + OFFSET];                                                       \
	vpunpcklqdq r0, p0, p2;                                                                    \
	vpunpckhqdq r1, p0, p2;                                                                    \
	vpunpcklqdq r2, p1, p3;                                                                    \
	vpunpckhqdq r3, p1, p3;

/* Then the lanes of the four registers with the same c, in place. */
#define TURN_LANES(r0, r1, r2, r3, t0, t1, t2, t3)                                                 \
	vshufi32x4 t0, r0, r1, 0x88;                                                               \
	vshufi32x4 t1, r0, r1, 0xdd;                                                               \
	vshufi32x4 t2, r2, r3, 0x88;                                                               \
	vshufi32x4 t3, r2, r3, 0xdd;                                                               \
	vshufi32x4 r0, t0, t2, 0x88;                                                               \
	vshufi32x4 r1, t1, t3, 0x88;                                                               \
	vshufi32x4 r2, t0, t2, 0xdd;                                                               \
	vshufi32x4 r3, t1, t3, 0xdd;

/* Words 0 to 3 (at 0) or 4 to 7 (at 16) of all inputs to their places in out. */
#define STORE_WORDS(at, h0, h1, h2, h3)                                                            \
	vpunpckldq zmm8, h0, h1;                                                                   \
	vpunpckhdq zmm9, h0, h1;                                                                   \
	vpunpckldq zmm10, h2, h3;                                                                  \
	vpunpckhdq zmm11, h2, h3;                                                                  \
	vpunpcklqdq zmm12, zmm8, zmm10;                                                            \
	vpunpckhqdq zmm13, zmm8, zmm10;                                                            \
	vpunpcklqdq zmm14, zmm9, zmm11;                                                            \
	vpunpckhqdq zmm15, zmm9, zmm11;                                                            \
	STORE_LANES(at, 12) STORE_LANES(at + 32, 13) STORE_LANES(at + 64, 14)                      \
	STORE_LANES(at + 96, 15)
#define STORE_LANES(at, i)                                                                         \
	vmovdqu [OUT + at], BLAKE3_PASTE(xmm, i);                                                  \
	vextracti32x4 [OUT + at + 128], V(i), 1;                                                   \
	vextracti32x4 [OUT + at + 256], V(i), 2;                                                   \
	vextracti32x4 [OUT + at + 384], V(i), 3;

	BLAKE3_FUNCTION(blake3_lanes_avx512)
	vpbroadcastd zmm0, [JOB + BLAKE3_JOB_KEY]
	vpbroadcastd zmm1, [JOB + BLAKE3_JOB_KEY + 4]
	vpbroadcastd zmm2, [JOB + BLAKE3_JOB_KEY + 8]
	vpbroadcastd zmm3, [JOB + BLAKE3_JOB_KEY + 12]
	vpbroadcastd zmm4, [JOB + BLAKE3_JOB_KEY + 16]
	vpbroadcastd zmm5, [JOB + BLAKE3_JOB_KEY + 20]
	vpbroadcastd zmm6, [JOB + BLAKE3_JOB_KEY + 24]
	vpbroadcastd zmm7, [JOB + BLAKE3_JOB_KEY + 28]
	xor r8d, r8d
	shl BLOCKS, 6
	.p2align 5
.Lblock:
	LOAD_FOUR(0, zmm10, zmm11, zmm12, zmm13, M(0), M(1), M(2), M(3))
	LOAD_FOUR(4, zmm14, zmm15, zmm10, zmm11, M(4), M(5), M(6), M(7))
	LOAD_FOUR(8, zmm12, zmm13, zmm14, zmm15, M(8), M(9), M(10), M(11))
	LOAD_FOUR(12, zmm10, zmm11, zmm12, zmm13, M(12), M(13), M(14), M(15))
	TURN_LANES(M(0), M(4), M(8), M(12), zmm8, zmm9, zmm10, zmm11)
	TURN_LANES(M(1), M(5), M(9), M(13), zmm12, zmm13, zmm14, zmm15)
	TURN_LANES(M(2), M(6), M(10), M(14), zmm8, zmm9, zmm10, zmm11)
	TURN_LANES(M(3), M(7), M(11), M(15), zmm12, zmm13, zmm14, zmm15)
	BLAKE3_BLOCK_FLAGS(OFFSET, BLOCKS, JOB)
	vpbroadcastd zmm8, [rip + blake3_asm_constants]
	vpbroadcastd zmm9, [rip + blake3_asm_constants + 4]
	vpbroadcastd zmm10, [rip + blake3_asm_constants + 8]
	vpbroadcastd zmm11, [rip + blake3_asm_constants + 12]
	vmovdqa32 zmm12, [JOB + BLAKE3_JOB_COUNTER_LOW]
	vmovdqa32 zmm13, [JOB + BLAKE3_JOB_COUNTER_HIGH]
	vpbroadcastd zmm14, [rip + blake3_asm_constants + 16]
	vpbroadcastd zmm15, eax
	BLAKE3_ROUNDS(ROUND)
	XOR(0, 8) XOR(1, 9) XOR(2, 10) XOR(3, 11) XOR(4, 12) XOR(5, 13) XOR(6, 14) XOR(7, 15)
	add OFFSET, 64
	cmp OFFSET, BLOCKS
	jb .Lblock
	STORE_WORDS(0, zmm0, zmm1, zmm2, zmm3)
	STORE_WORDS(16, zmm4, zmm5, zmm6, zmm7)
	vzeroupper
	ret
	BLAKE3_FUNCTION_END(blake3_lanes_avx512)
