/*
 * BLAKE3, written from its specification.  Full chunks are hashed many at a time in SIMD lanes; a
 * buffer of BLAKE3_BUFFER_BYTES collects what does not fill the lanes, so updates of any size and
 * alignment run at the speed of large ones.
 */
#ifndef ACRE_CRYPTO_BLAKE3_H
#define ACRE_CRYPTO_BLAKE3_H

#include "base/bytes.h"

enum {
	BLAKE3_KEY_BYTES = 32,
	BLAKE3_BLOCK_BYTES = 64,
	BLAKE3_CHUNK_BYTES = 1024,
	BLAKE3_BUFFER_BYTES = 16 * BLAKE3_CHUNK_BYTES,
	BLAKE3_DEPTH_MAX = 56, /* 2^64 bytes are 2^54 chunks; two lazy entries more */
};

struct blake3_kernel;

/* Subtrees of the input so far, left to right; see blake3.c. */
struct blake3_stack {
	unsigned count;
	uint32_t cv[BLAKE3_DEPTH_MAX][8];
};

struct blake3 {
	const struct blake3_kernel *kernel;
	uint32_t key[8];
	uint32_t flags;
	uint64_t chunks; /* hashed into the stack; what follows them is in the buffer */
	struct blake3_stack stack;
	size_t buffered;
	uint8_t buffer[BLAKE3_BUFFER_BYTES];
};

/* The three modes.  No clean-up is needed; wipe the struct when a key was secret. */
void blake3_init(struct blake3 *b);
void blake3_init_keyed(struct blake3 *b, const uint8_t key[BLAKE3_KEY_BYTES]);
void blake3_init_derive_key(struct blake3 *b, struct bytes context);
void blake3_update(struct blake3 *b, struct bytes data);
/* The first len bytes of the output of everything so far; b may go on being updated. */
void blake3_sum(const struct blake3 *b, uint8_t *out, size_t len);

/* Several inputs of one length, at most BLAKE3_MANY_BYTES_MAX, by a struct that was only made: what
 * is short for the lanes by itself fills them together. */
enum { BLAKE3_MANY_BYTES_MAX = 8 * BLAKE3_CHUNK_BYTES };
void blake3_many(const struct blake3 *b, const uint8_t *const inputs[], size_t count, size_t len,
		 uint8_t (*out)[32]);

/* The implementations this processor can run, best first; for tests and measurements. */
size_t blake3_kernel_count(void);
const char *blake3_kernel_name(size_t i);
/* After an init, before the first update. */
void blake3_use_kernel(struct blake3 *b, size_t i);

#endif
