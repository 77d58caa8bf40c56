/*
 * SHA-512 of several inputs at once, one per vector lane.  Included by each sha512_<feature>.c,
 *built with the flags of that feature, which defines before: WIDTH              64-bit words of a
 *vector SHA512_COMPRESS    the name of the function to define The vectors are the compiler's own,
 *so the same text serves every processor.
 */
#include "crypto/sha512_kernel.h"

typedef uint64_t vec __attribute__((vector_size(8 * WIDTH)));

#define ROTR(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define BIG0(x) (ROTR(x, 28) ^ ROTR(x, 34) ^ ROTR(x, 39))
#define BIG1(x) (ROTR(x, 14) ^ ROTR(x, 18) ^ ROTR(x, 41))
#define SMALL0(x) (ROTR(x, 1) ^ ROTR(x, 8) ^ (x) >> 7)
#define SMALL1(x) (ROTR(x, 19) ^ ROTR(x, 61) ^ (x) >> 6)
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))

static inline vec load(const uint64_t *p)
{
	vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The names of the eight words move on instead of the words. */
#define STEP(a, b, c, d, e, f, g, h, i)                                                            \
	do {                                                                                       \
		vec t = h + BIG1(e) + CHOOSE(e, f, g) + sha512_constants[r + (i)] + w[i];          \
		d += t;                                                                            \
		h = t + BIG0(a) + MAJORITY(a, b, c);                                               \
	} while (0)
#define EIGHT(i)                                                                                   \
	STEP(a, b, c, d, e, f, g, h, (i) + 0);                                                     \
	STEP(h, a, b, c, d, e, f, g, (i) + 1);                                                     \
	STEP(g, h, a, b, c, d, e, f, (i) + 2);                                                     \
	STEP(f, g, h, a, b, c, d, e, (i) + 3);                                                     \
	STEP(e, f, g, h, a, b, c, d, (i) + 4);                                                     \
	STEP(d, e, f, g, h, a, b, c, (i) + 5);                                                     \
	STEP(c, d, e, f, g, h, a, b, (i) + 6);                                                     \
	STEP(b, c, d, e, f, g, h, a, (i) + 7)

static inline void compress(uint64_t (*state)[SHA512_LANES], const uint64_t (*block)[SHA512_LANES],
			    unsigned lane)
{
	vec w[16];
	vec a = load(&state[0][lane]), b = load(&state[1][lane]), c = load(&state[2][lane]);
	vec d = load(&state[3][lane]), e = load(&state[4][lane]), f = load(&state[5][lane]);
	vec g = load(&state[6][lane]), h = load(&state[7][lane]);

	for (unsigned i = 0; i < 16; i++)
		w[i] = load(&block[i][lane]);
	for (unsigned r = 0;; r += 16) {
		EIGHT(0);
		EIGHT(8);
		if (r == 64)
			break;
		for (unsigned i = 0; i < 16; i++)
			w[i] += SMALL1(w[(i + 14) % 16]) + w[(i + 9) % 16] +
				SMALL0(w[(i + 1) % 16]);
	}
	const vec out[8] = { a, b, c, d, e, f, g, h };
	for (unsigned i = 0; i < 8; i++) {
		vec v = load(&state[i][lane]) + out[i];
		memcpy(&state[i][lane], &v, sizeof(v));
	}
}

void SHA512_COMPRESS(uint64_t (*state)[SHA512_LANES], const uint64_t (*block)[SHA512_LANES])
{
	for (unsigned lane = 0; lane < SHA512_LANES; lane += WIDTH)
		compress(state, block, lane);
}
