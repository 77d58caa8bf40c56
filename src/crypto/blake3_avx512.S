/*
 * BLAKE3 with AVX-512: sixteen inputs at a time.  The state stays in zmm0 to zmm15; the rounds add
 * the message from memory, where it lies transposed.  The other half of the registers transposes the
 * next block meanwhile, a few instructions after each half round: shuffles alone would leave half of
 * the arithmetic units idle.
 *
 * void blake3_lanes_avx512(const uint8_t *const inputs[16], size_t blocks,
 *                          struct blake3_job *job, uint32_t (*out)[8])
 */
#include "crypto/blake3_asm.h"

#define V(i) zmm##i
#define M(i) [MESSAGE + 64 * i]

#define INPUTS rdi
#define BLOCKS rsi
#define JOB rdx
#define OUT rcx
#define OFFSET r8
#define MESSAGE r9
#define NEXT r10

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
	between;                                                                                   \
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
 * Transposition of half a block, words w to w+7, in seven steps.  A register takes these words of
 * two inputs; after unpacking, four registers hold word c of four inputs in one lane and word c+4 in
 * the next.  Inputs are paired so that the lanes end up in order.
 */
#define LOAD(reg, i, j, w)                                                                         \
	mov r11, [INPUTS + 8 * i];                                                                 \
	mov rax, [INPUTS + 8 * j];                                                                 \
	vmovdqu32 BLAKE3_PASTE(ymm, reg), [r11 + OFFSET + 4 * w];                                  \
	vinserti64x4 V(reg), V(reg), [rax + OFFSET + 4 * w], 1;
#define UNPACK(unit, to0, to1, a, b)                                                               \
	BLAKE3_PASTE(vpunpckl, unit) V(to0), V(a), V(b);                                           \
	BLAKE3_PASTE(vpunpckh, unit) V(to1), V(a), V(b);

#define TRANSPOSE_0(w) LOAD(16, 0, 4, w) LOAD(17, 1, 5, w)
#define TRANSPOSE_1(w) LOAD(18, 2, 6, w) LOAD(19, 3, 7, w)
#define TRANSPOSE_2(w) LOAD(20, 8, 12, w) LOAD(21, 9, 13, w) UNPACK(dq, 24, 25, 16, 17)
#define TRANSPOSE_3(w) LOAD(22, 10, 14, w) LOAD(23, 11, 15, w) UNPACK(dq, 26, 27, 18, 19)
#define TRANSPOSE_4(w)                                                                             \
	UNPACK(dq, 28, 29, 20, 21) UNPACK(dq, 30, 31, 22, 23)                                      \
	UNPACK(qdq, 16, 17, 24, 26) UNPACK(qdq, 18, 19, 25, 27)
#define TRANSPOSE_5(w)                                                                             \
	UNPACK(qdq, 20, 21, 28, 30) UNPACK(qdq, 22, 23, 29, 31)                                    \
	WORD(w, 0, 16, 20, 0x88) WORD(w, 1, 17, 21, 0x88)                                          \
	WORD(w, 2, 18, 22, 0x88) WORD(w, 3, 19, 23, 0x88)
#define TRANSPOSE_6(w)                                                                             \
	WORD(w, 4, 16, 20, 0xdd) WORD(w, 5, 17, 21, 0xdd)                                          \
	WORD(w, 6, 18, 22, 0xdd) WORD(w, 7, 19, 23, 0xdd)
#define WORD(w, c, a, b, lanes)                                                                    \
	vshufi32x4 zmm24, V(a), V(b), lanes;                                                       \
	vmovdqa32 [NEXT + 64 * (w + c)], zmm24;

/* What a half round does besides: its step of the transposition, counted by the assembler. */
	.macro between
	.if step == 0
	TRANSPOSE_0(0)
	.elseif step == 1
	TRANSPOSE_1(0)
	.elseif step == 2
	TRANSPOSE_2(0)
	.elseif step == 3
	TRANSPOSE_3(0)
	.elseif step == 4
	TRANSPOSE_4(0)
	.elseif step == 5
	TRANSPOSE_5(0)
	.elseif step == 6
	TRANSPOSE_6(0)
	.elseif step == 7
	TRANSPOSE_0(8)
	.elseif step == 8
	TRANSPOSE_1(8)
	.elseif step == 9
	TRANSPOSE_2(8)
	.elseif step == 10
	TRANSPOSE_3(8)
	.elseif step == 11
	TRANSPOSE_4(8)
	.elseif step == 12
	TRANSPOSE_5(8)
	.elseif step == 13
	TRANSPOSE_6(8)
	.endif
	.set step, step + 1
	.endm
	.set NO_STEP, 100 /* and on: nothing besides */

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

/* The compression of a block whose flags are in r11d; the state's first half becomes the chaining
 * value. */
#define COMPRESS                                                                                   \
	vpbroadcastd zmm8, [rip + blake3_asm_constants];                                           \
	vpbroadcastd zmm9, [rip + blake3_asm_constants + 4];                                       \
	vpbroadcastd zmm10, [rip + blake3_asm_constants + 8];                                      \
	vpbroadcastd zmm11, [rip + blake3_asm_constants + 12];                                     \
	vmovdqa32 zmm12, [JOB + BLAKE3_JOB_COUNTER_LOW];                                           \
	vmovdqa32 zmm13, [JOB + BLAKE3_JOB_COUNTER_HIGH];                                          \
	vpbroadcastd zmm14, [rip + blake3_asm_constants + 16];                                     \
	vpbroadcastd zmm15, r11d;                                                                  \
	BLAKE3_ROUNDS(ROUND)                                                                       \
	XOR(0, 8) XOR(1, 9) XOR(2, 10) XOR(3, 11) XOR(4, 12) XOR(5, 13) XOR(6, 14) XOR(7, 15)

	BLAKE3_FUNCTION(blake3_lanes_avx512)
	vpbroadcastd zmm0, [JOB + BLAKE3_JOB_KEY]
	vpbroadcastd zmm1, [JOB + BLAKE3_JOB_KEY + 4]
	vpbroadcastd zmm2, [JOB + BLAKE3_JOB_KEY + 8]
	vpbroadcastd zmm3, [JOB + BLAKE3_JOB_KEY + 12]
	vpbroadcastd zmm4, [JOB + BLAKE3_JOB_KEY + 16]
	vpbroadcastd zmm5, [JOB + BLAKE3_JOB_KEY + 20]
	vpbroadcastd zmm6, [JOB + BLAKE3_JOB_KEY + 24]
	vpbroadcastd zmm7, [JOB + BLAKE3_JOB_KEY + 28]
	lea MESSAGE, [JOB + BLAKE3_JOB_SCRATCH + 1024]
	lea NEXT, [JOB + BLAKE3_JOB_SCRATCH]
	xor r8d, r8d
	shl BLOCKS, 6
	.set step, 0
	.rept 14
	between
	.endr
	add OFFSET, 64
	mov r11d, [JOB + BLAKE3_JOB_FLAGS]
	or r11d, [JOB + BLAKE3_JOB_FLAGS_START]
	cmp OFFSET, BLOCKS
	je .Llast
	.p2align 5
.Lblock: /* the one before OFFSET, while the one at OFFSET is transposed */
	xchg MESSAGE, NEXT
	.set step, 0
	COMPRESS
	mov r11d, [JOB + BLAKE3_JOB_FLAGS]
	add OFFSET, 64
	cmp OFFSET, BLOCKS
	jb .Lblock
.Llast:
	xchg MESSAGE, NEXT
	or r11d, [JOB + BLAKE3_JOB_FLAGS_END]
	.set step, NO_STEP
	COMPRESS
	STORE_WORDS(0, zmm0, zmm1, zmm2, zmm3)
	STORE_WORDS(16, zmm4, zmm5, zmm6, zmm7)
	vzeroupper
	ret
	BLAKE3_FUNCTION_END(blake3_lanes_avx512)
