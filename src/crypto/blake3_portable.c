/* BLAKE3's compression function in plain C. */
#include <string.h>

#include "base/num.h"
#include "crypto/blake3_kernel.h"

static inline uint32_t rotate_right(uint32_t x, unsigned by)
{
	return (x >> by) | (x << (32 - by));
}

#define G(a, b, c, d, x, y)                                                                        \
	v[a] += v[b] + m[x];                                                                       \
	v[d] = rotate_right(v[d] ^ v[a], 16);                                                      \
	v[c] += v[d];                                                                              \
	v[b] = rotate_right(v[b] ^ v[c], 12);                                                      \
	v[a] += v[b] + m[y];                                                                       \
	v[d] = rotate_right(v[d] ^ v[a], 8);                                                       \
	v[c] += v[d];                                                                              \
	v[b] = rotate_right(v[b] ^ v[c], 7);

#define ROUND(...) BLAKE3_ROUND(G, __VA_ARGS__)

void blake3_compress(const uint32_t cv[8], const uint8_t block[64], uint64_t counter,
		     uint32_t block_len, uint32_t flags, uint32_t out[16])
{
	static const uint32_t iv[8] = BLAKE3_IV;
	uint32_t v[16], m[16];

	for (int i = 0; i < 16; i++)
		m[i] = get_le32(block + 4 * (size_t)i);
	memcpy(v, cv, 32);
	memcpy(v + 8, iv, 16);
	v[12] = (uint32_t)counter;
	v[13] = (uint32_t)(counter >> 32);
	v[14] = block_len;
	v[15] = flags;
	BLAKE3_ROUNDS(ROUND)
	for (int i = 0; i < 8; i++) {
		uint32_t high = v[i + 8];
		out[i + 8] = high ^ cv[i];
		out[i] = v[i] ^ high;
	}
}

void blake3_lanes_portable(const uint8_t *const inputs[], size_t blocks, struct blake3_job *job,
			   uint32_t (*out)[8])
{
	uint64_t counter = job->counter_low[0] | (uint64_t)job->counter_high[0] << 32;
	uint32_t state[16];

	memcpy(state, job->key, 32);
	for (size_t b = 0; b < blocks; b++)
		blake3_compress(state, inputs[0] + 64 * b, counter, 64,
				job->flags | (b == 0 ? job->flags_start : 0) |
					(b == blocks - 1 ? job->flags_end : 0),
				state);
	memcpy(out[0], state, 32);
}
