/* SHA-512 compression of eight independent inputs, within crypto: word by word, lane by lane. */
#ifndef ACRE_CRYPTO_SHA512_KERNEL_H
#define ACRE_CRYPTO_SHA512_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SHA512_LANES = 8 };

/* FIPS 180-4, 4.2.3. */
extern const uint64_t sha512_constants[80];

/* state[word][lane], 8 words; block[word][lane], 16 words as numbers. */
typedef void sha512_compress(uint64_t (*state)[SHA512_LANES],
			     const uint64_t (*block)[SHA512_LANES]);
sha512_compress sha512_compress_portable, sha512_compress_avx2, sha512_compress_avx512;

/* Those that this processor can run, the quickest first. */
size_t sha512_kernel_count(void);
sha512_compress *sha512_kernel(size_t i);

/* hmac_many.h with one of them. */
struct hmac_many;
struct hmac_many_key;
struct bytes;
void hmac_many_keys_with(sha512_compress *compress, const struct bytes *keys, size_t count,
			 struct hmac_many_key *ret);
void hmac_many_with(sha512_compress *compress, const struct hmac_many *jobs, size_t count,
		    uint8_t (*ret)[32]);

#endif
