/*
 * SHA-2 through OpenSSL's own state structures: declared deprecated in favour of EVP, but they need
 * no allocation, so that hashing cannot fail, and short messages (keys of paths, macaroons, orders)
 * cost a third.  The block functions underneath are the same.  BLAKE2b is libsodium's.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hash.h"

#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>

#include "crypto/blake3.h"
#include "crypto/secret.h"

struct hasher {
	enum hash_algorithm algorithm;
	SHA256_CTX sha256;
	struct blake3 blake3[]; /* one, with its buffer, only for HASH_BLAKE3 */
};

struct hasher *hasher_new(enum hash_algorithm algorithm)
{
	size_t extra = algorithm == HASH_BLAKE3 ? sizeof(struct blake3) : 0;
	struct hasher *h = malloc(sizeof(*h) + extra);

	if (!h)
		return NULL;
	h->algorithm = algorithm;
	hasher_reset(h);
	return h;
}

void hasher_free(struct hasher *h)
{
	free(h);
}

void hasher_reset(struct hasher *h)
{
	if (h->algorithm == HASH_BLAKE3)
		blake3_init(h->blake3);
	else
		SHA256_Init(&h->sha256);
}

void hasher_update(struct hasher *h, struct bytes data)
{
	if (h->algorithm == HASH_BLAKE3)
		blake3_update(h->blake3, data);
	else if (data.len)
		SHA256_Update(&h->sha256, data.data, data.len);
}

void hasher_sum(const struct hasher *h, uint8_t out[HASH_BYTES])
{
	if (h->algorithm == HASH_BLAKE3) {
		blake3_sum(h->blake3, out, HASH_BYTES);
	} else {
		SHA256_CTX copy = h->sha256;
		SHA256_Final(out, &copy);
	}
}

void hash_sha256(struct bytes data, uint8_t out[HASH_BYTES])
{
	SHA256_CTX c;

	SHA256_Init(&c);
	if (data.len)
		SHA256_Update(&c, data.data, data.len);
	SHA256_Final(out, &c);
}

void hash_blake3(struct bytes data, uint8_t out[HASH_BYTES])
{
	struct blake3 b;

	blake3_init(&b);
	blake3_update(&b, data);
	blake3_sum(&b, out, HASH_BYTES);
}

_Static_assert((int)HASH_MANY_BYTES_MAX == (int)BLAKE3_MANY_BYTES_MAX, "one limit");

void hash_blake3_many(const uint8_t *const inputs[], size_t count, size_t len,
		      uint8_t (*out)[HASH_BYTES])
{
	struct blake3 b;

	blake3_init(&b);
	blake3_many(&b, inputs, count, len, out);
}

enum {
	SHA256_BLOCK = SHA256_CBLOCK,
	SHA512_BLOCK = SHA512_CBLOCK,
	BLAKE2B_BLOCK = 128,
	INNER_PAD = 0x36,
	OUTER_PAD = 0x5c
};

/* HMAC's first block (RFC 2104): the key, hashed when too long, exclusive-or pad. */
static void pad_key(uint8_t *block, size_t len, uint8_t pad)
{
	for (size_t i = 0; i < len; i++)
		block[i] ^= pad;
}

void hmac_sha256(struct bytes key, struct bytes data, uint8_t out[32])
{
	uint8_t block[SHA256_BLOCK] = { 0 };
	SHA256_CTX c;

	if (key.len > sizeof(block))
		hash_sha256(key, block);
	else if (key.len)
		memcpy(block, key.data, key.len);
	pad_key(block, sizeof(block), INNER_PAD);
	SHA256_Init(&c);
	SHA256_Update(&c, block, sizeof(block));
	if (data.len)
		SHA256_Update(&c, data.data, data.len);
	SHA256_Final(out, &c);
	pad_key(block, sizeof(block), INNER_PAD ^ OUTER_PAD);
	SHA256_Init(&c);
	SHA256_Update(&c, block, sizeof(block));
	SHA256_Update(&c, out, 32);
	SHA256_Final(out, &c);
	secret_wipe(block, sizeof(block));
	secret_wipe(&c, sizeof(c));
}

void hmac_sha512_parts(struct bytes key, const struct bytes *parts, size_t count, uint8_t out[64])
{
	uint8_t block[SHA512_BLOCK] = { 0 };
	SHA512_CTX c;

	SHA512_Init(&c);
	if (key.len > sizeof(block)) {
		SHA512_Update(&c, key.data, key.len);
		SHA512_Final(block, &c);
		SHA512_Init(&c);
	} else if (key.len) {
		memcpy(block, key.data, key.len);
	}
	pad_key(block, sizeof(block), INNER_PAD);
	SHA512_Update(&c, block, sizeof(block));
	for (size_t i = 0; i < count; i++)
		if (parts[i].len)
			SHA512_Update(&c, parts[i].data, parts[i].len);
	SHA512_Final(out, &c);
	pad_key(block, sizeof(block), INNER_PAD ^ OUTER_PAD);
	SHA512_Init(&c);
	SHA512_Update(&c, block, sizeof(block));
	SHA512_Update(&c, out, 64);
	SHA512_Final(out, &c);
	secret_wipe(block, sizeof(block));
	secret_wipe(&c, sizeof(c));
}

void hmac_sha512(struct bytes key, struct bytes data, uint8_t out[64])
{
	hmac_sha512_parts(key, &data, 1, out);
}

/* Its functions fail only for lengths out of range. */
static void blake2b_start(crypto_generichash_blake2b_state *s)
{
	(void)crypto_generichash_blake2b_init(s, NULL, 0, BLAKE2B_BYTES);
}

static void blake2b_add(crypto_generichash_blake2b_state *s, const void *data, size_t len)
{
	if (len)
		(void)crypto_generichash_blake2b_update(s, data, len);
}

static void blake2b_end(crypto_generichash_blake2b_state *s, uint8_t out[BLAKE2B_BYTES])
{
	(void)crypto_generichash_blake2b_final(s, out, BLAKE2B_BYTES);
}

void hash_blake2b(const struct bytes *parts, size_t count, uint8_t out[BLAKE2B_BYTES])
{
	crypto_generichash_blake2b_state s;

	blake2b_start(&s);
	for (size_t i = 0; i < count; i++)
		blake2b_add(&s, parts[i].data, parts[i].len);
	blake2b_end(&s, out);
}

void hmac_blake2b(struct bytes key, const struct bytes *parts, size_t count,
		  uint8_t out[BLAKE2B_BYTES])
{
	uint8_t block[BLAKE2B_BLOCK] = { 0 };
	crypto_generichash_blake2b_state s;

	if (key.len > sizeof(block))
		hash_blake2b(&key, 1, block);
	else if (key.len)
		memcpy(block, key.data, key.len);
	pad_key(block, sizeof(block), INNER_PAD);
	blake2b_start(&s);
	blake2b_add(&s, block, sizeof(block));
	for (size_t i = 0; i < count; i++)
		blake2b_add(&s, parts[i].data, parts[i].len);
	blake2b_end(&s, out);
	pad_key(block, sizeof(block), INNER_PAD ^ OUTER_PAD);
	blake2b_start(&s);
	blake2b_add(&s, block, sizeof(block));
	blake2b_add(&s, out, BLAKE2B_BYTES);
	blake2b_end(&s, out);
	secret_wipe(block, sizeof(block));
	secret_wipe(&s, sizeof(s));
}
