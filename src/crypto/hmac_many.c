/* HMAC-SHA512 of short messages, eight at a time (RFC 2104; the blocks of FIPS 180-4). */
#include "crypto/hmac_many.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/secret.h"
#include "crypto/sha512_kernel.h"

enum { BLOCK_BYTES = 128, BLOCK_WORDS = 16, STATE_WORDS = 8 };

_Static_assert((int)HMAC_MANY_LANES == (int)SHA512_LANES, "one lane for each");

const uint64_t sha512_constants[80] = {
	UINT64_C(0x428a2f98d728ae22), UINT64_C(0x7137449123ef65cd), UINT64_C(0xb5c0fbcfec4d3b2f),
	UINT64_C(0xe9b5dba58189dbbc), UINT64_C(0x3956c25bf348b538), UINT64_C(0x59f111f1b605d019),
	UINT64_C(0x923f82a4af194f9b), UINT64_C(0xab1c5ed5da6d8118), UINT64_C(0xd807aa98a3030242),
	UINT64_C(0x12835b0145706fbe), UINT64_C(0x243185be4ee4b28c), UINT64_C(0x550c7dc3d5ffb4e2),
	UINT64_C(0x72be5d74f27b896f), UINT64_C(0x80deb1fe3b1696b1), UINT64_C(0x9bdc06a725c71235),
	UINT64_C(0xc19bf174cf692694), UINT64_C(0xe49b69c19ef14ad2), UINT64_C(0xefbe4786384f25e3),
	UINT64_C(0x0fc19dc68b8cd5b5), UINT64_C(0x240ca1cc77ac9c65), UINT64_C(0x2de92c6f592b0275),
	UINT64_C(0x4a7484aa6ea6e483), UINT64_C(0x5cb0a9dcbd41fbd4), UINT64_C(0x76f988da831153b5),
	UINT64_C(0x983e5152ee66dfab), UINT64_C(0xa831c66d2db43210), UINT64_C(0xb00327c898fb213f),
	UINT64_C(0xbf597fc7beef0ee4), UINT64_C(0xc6e00bf33da88fc2), UINT64_C(0xd5a79147930aa725),
	UINT64_C(0x06ca6351e003826f), UINT64_C(0x142929670a0e6e70), UINT64_C(0x27b70a8546d22ffc),
	UINT64_C(0x2e1b21385c26c926), UINT64_C(0x4d2c6dfc5ac42aed), UINT64_C(0x53380d139d95b3df),
	UINT64_C(0x650a73548baf63de), UINT64_C(0x766a0abb3c77b2a8), UINT64_C(0x81c2c92e47edaee6),
	UINT64_C(0x92722c851482353b), UINT64_C(0xa2bfe8a14cf10364), UINT64_C(0xa81a664bbc423001),
	UINT64_C(0xc24b8b70d0f89791), UINT64_C(0xc76c51a30654be30), UINT64_C(0xd192e819d6ef5218),
	UINT64_C(0xd69906245565a910), UINT64_C(0xf40e35855771202a), UINT64_C(0x106aa07032bbd1b8),
	UINT64_C(0x19a4c116b8d2d0c8), UINT64_C(0x1e376c085141ab53), UINT64_C(0x2748774cdf8eeb99),
	UINT64_C(0x34b0bcb5e19b48a8), UINT64_C(0x391c0cb3c5c95a63), UINT64_C(0x4ed8aa4ae3418acb),
	UINT64_C(0x5b9cca4f7763e373), UINT64_C(0x682e6ff3d6b2b8a3), UINT64_C(0x748f82ee5defb2fc),
	UINT64_C(0x78a5636f43172f60), UINT64_C(0x84c87814a1f0ab72), UINT64_C(0x8cc702081a6439ec),
	UINT64_C(0x90befffa23631e28), UINT64_C(0xa4506cebde82bde9), UINT64_C(0xbef9a3f7b2c67915),
	UINT64_C(0xc67178f2e372532b), UINT64_C(0xca273eceea26619c), UINT64_C(0xd186b8c721c0c207),
	UINT64_C(0xeada7dd6cde0eb1e), UINT64_C(0xf57d4f7fee6ed178), UINT64_C(0x06f067aa72176fba),
	UINT64_C(0x0a637dc5a2c898a6), UINT64_C(0x113f9804bef90dae), UINT64_C(0x1b710b35131c471b),
	UINT64_C(0x28db77f523047d84), UINT64_C(0x32caab7b40c72493), UINT64_C(0x3c9ebe0a15c9bebc),
	UINT64_C(0x431d67c49c100d4c), UINT64_C(0x4cc5d4becb3e42b6), UINT64_C(0x597f299cfc657e2a),
	UINT64_C(0x5fcb6fab3ad6faec), UINT64_C(0x6c44198c4a475817),
};

static const uint64_t initial[STATE_WORDS] = {
	UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b), UINT64_C(0x3c6ef372fe94f82b),
	UINT64_C(0xa54ff53a5f1d36f1), UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f),
	UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179),
};

static sha512_compress *const kernels[] = {
#ifdef ACRE_SHA512_X86
	sha512_compress_avx512,
	sha512_compress_avx2,
#endif
	sha512_compress_portable,
};

/* How many at the front of kernels[] this processor cannot run. */
static size_t kernels_unusable(void)
{
#ifdef ACRE_SHA512_X86
	if (__builtin_cpu_supports("avx512f"))
		return 0;
	return __builtin_cpu_supports("avx2") ? 1 : 2;
#else
	return 0;
#endif
}

size_t sha512_kernel_count(void)
{
	return ARRAY_LEN(kernels) - kernels_unusable();
}

sha512_compress *sha512_kernel(size_t i)
{
	return kernels[kernels_unusable() + i];
}

static void spread_key(struct bytes key, uint8_t pad, unsigned lane,
		       uint64_t (*block)[SHA512_LANES])
{
	uint8_t padded[BLOCK_BYTES];

	memset(padded, pad, sizeof(padded));
	for (size_t i = 0; i < key.len; i++)
		padded[i] ^= key.data[i];
	for (unsigned i = 0; i < BLOCK_WORDS; i++)
		block[i][lane] = get_be64(padded + 8 * (size_t)i);
	secret_wipe(padded, sizeof(padded));
}

static void start(uint64_t (*state)[SHA512_LANES])
{
	for (unsigned i = 0; i < STATE_WORDS; i++)
		for (unsigned lane = 0; lane < SHA512_LANES; lane++)
			state[i][lane] = initial[i];
}

void hmac_many_keys_with(sha512_compress *compress, const struct bytes keys[], size_t count,
			 struct hmac_many_key *ret)
{
	_Alignas(64) uint64_t inner[STATE_WORDS][SHA512_LANES], outer[STATE_WORDS][SHA512_LANES];
	_Alignas(64) uint64_t block[BLOCK_WORDS][SHA512_LANES] = { 0 };

	for (size_t at = 0; at < count; at += SHA512_LANES) {
		unsigned n = (unsigned)MIN(count - at, (size_t)SHA512_LANES);
		for (unsigned i = 0; i < n; i++)
			spread_key(keys[at + i], 0x36, i, block);
		start(inner);
		compress(inner, block);
		for (unsigned i = 0; i < n; i++)
			spread_key(keys[at + i], 0x5c, i, block);
		start(outer);
		compress(outer, block);
		for (unsigned i = 0; i < n; i++)
			for (unsigned word = 0; word < STATE_WORDS; word++) {
				ret[at + i].inner[word] = inner[word][i];
				ret[at + i].outer[word] = outer[word][i];
			}
	}
	secret_wipe(block, sizeof(block));
}

/* The last block of a message that comes behind one block, the padded key. */
static void spread_message(struct bytes message, unsigned lane, uint64_t (*block)[SHA512_LANES])
{
	uint8_t padded[BLOCK_BYTES] = { 0 };

	memcpy(padded, message.data, message.len);
	padded[message.len] = 0x80;
	put_be64(padded + BLOCK_BYTES - 8, 8 * (BLOCK_BYTES + message.len));
	for (unsigned i = 0; i < BLOCK_WORDS; i++)
		block[i][lane] = get_be64(padded + 8 * (size_t)i);
}

/* Up to eight. */
static void eight(sha512_compress *compress, const struct hmac_many *jobs, unsigned count,
		  uint8_t (*ret)[HMAC_MANY_BYTES])
{
	_Alignas(64) uint64_t state[STATE_WORDS][SHA512_LANES] = { 0 };
	_Alignas(64) uint64_t block[BLOCK_WORDS][SHA512_LANES] = { 0 };

	for (unsigned i = 0; i < count; i++) {
		spread_message(jobs[i].message, i, block);
		for (unsigned word = 0; word < STATE_WORDS; word++)
			state[word][i] = jobs[i].key->inner[word];
	}
	compress(state, block);
	memcpy(block, state, sizeof(state));
	memset(block[STATE_WORDS], 0, sizeof(block) - sizeof(state));
	for (unsigned i = 0; i < SHA512_LANES; i++) {
		block[STATE_WORDS][i] = UINT64_C(1) << 63;
		block[BLOCK_WORDS - 1][i] = 8 * (BLOCK_BYTES + 64);
	}
	for (unsigned i = 0; i < count; i++)
		for (unsigned word = 0; word < STATE_WORDS; word++)
			state[word][i] = jobs[i].key->outer[word];
	compress(state, block);
	for (unsigned i = 0; i < count; i++)
		for (unsigned word = 0; word < HMAC_MANY_BYTES / 8; word++)
			put_be64(ret[i] + 8 * (size_t)word, state[word][i]);
}

void hmac_many_with(sha512_compress *compress, const struct hmac_many *jobs, size_t count,
		    uint8_t (*ret)[HMAC_MANY_BYTES])
{
	for (size_t at = 0; at < count; at += SHA512_LANES)
		eight(compress, jobs + at, (unsigned)MIN(count - at, (size_t)SHA512_LANES),
		      ret + at);
}

void hmac_many_keys(const struct bytes keys[], size_t count, struct hmac_many_key *ret)
{
	hmac_many_keys_with(sha512_kernel(0), keys, count, ret);
}

void hmac_many(const struct hmac_many *jobs, size_t count, uint8_t (*ret)[HMAC_MANY_BYTES])
{
	hmac_many_with(sha512_kernel(0), jobs, count, ret);
}
