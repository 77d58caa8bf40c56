/* Between blake3.c and its implementations, one file per processor feature. */
#ifndef ACRE_CRYPTO_BLAKE3_KERNEL_H
#define ACRE_CRYPTO_BLAKE3_KERNEL_H

/* The seven rounds: which message words each takes, in order (the permutation of table 2 applied
 * again and again). */
#define BLAKE3_ROUNDS(ROUND)                                                                       \
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)                                \
	ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)                                \
	ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1)                                \
	ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6)                                \
	ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4)                                \
	ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7)                                \
	ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)

/* One round on the state v[16] with message m[16]: columns, then diagonals (section 2.2). */
#define BLAKE3_ROUND(G, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)                            \
	G(0, 4, 8, 12, a, b)                                                                       \
	G(1, 5, 9, 13, c, d)                                                                       \
	G(2, 6, 10, 14, e, f)                                                                      \
	G(3, 7, 11, 15, g, h)                                                                      \
	G(0, 5, 10, 15, i, j)                                                                      \
	G(1, 6, 11, 12, k, l)                                                                      \
	G(2, 7, 8, 13, m, n)                                                                       \
	G(3, 4, 9, 14, o, p)

/* Where the assembler finds what is in struct blake3_job. */
#define BLAKE3_JOB_COUNTER_LOW 0
#define BLAKE3_JOB_COUNTER_HIGH 64
#define BLAKE3_JOB_KEY 128
#define BLAKE3_JOB_FLAGS 160
#define BLAKE3_JOB_FLAGS_START 164
#define BLAKE3_JOB_FLAGS_END 168
#define BLAKE3_JOB_SCRATCH 192

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/* Domain flags of the specification, table 3. */
enum {
	BLAKE3_CHUNK_START = 1 << 0,
	BLAKE3_CHUNK_END = 1 << 1,
	BLAKE3_PARENT = 1 << 2,
	BLAKE3_ROOT = 1 << 3,
	BLAKE3_KEYED_HASH = 1 << 4,
	BLAKE3_DERIVE_KEY_CONTEXT = 1 << 5,
	BLAKE3_DERIVE_KEY_MATERIAL = 1 << 6,
};

/* clang-format off */
#define BLAKE3_IV                                                                                  \
	{ 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,                                          \
	  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 }
/* clang-format on */

enum { BLAKE3_LANES_MAX = 16 };

/* How a set of inputs is compressed: input i with counter i, flags_start added for the first block,
 * flags_end for the last. */
struct blake3_job {
	_Alignas(64) uint32_t counter_low[BLAKE3_LANES_MAX];
	uint32_t counter_high[BLAKE3_LANES_MAX];
	uint32_t key[8];
	uint32_t flags, flags_start, flags_end;
	_Alignas(64) uint8_t scratch[2 * 1024]; /* the implementation's own */
};

/* Hashes as many inputs as the implementation has lanes, of `blocks` blocks each (not none), to
 * chaining values out[][8], which may lie where the inputs are. */
typedef void blake3_lanes_fn(const uint8_t *const inputs[], size_t blocks, struct blake3_job *job,
			     uint32_t (*out)[8]);

struct blake3_kernel {
	const char *name;
	size_t lanes;
	blake3_lanes_fn *hash;
};

/* One compression; all sixteen words, of which a chaining value is the first eight. */
void blake3_compress(const uint32_t cv[8], const uint8_t block[64], uint64_t counter,
		     uint32_t block_len, uint32_t flags, uint32_t out[16]);

blake3_lanes_fn blake3_lanes_portable; /* one lane */
#ifdef ACRE_BLAKE3_X86
blake3_lanes_fn blake3_lanes_avx2;
blake3_lanes_fn blake3_lanes_avx512;
#endif
#ifdef ACRE_BLAKE3_NEON
blake3_lanes_fn blake3_lanes_neon;
#endif
#endif

#endif
