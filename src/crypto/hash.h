/*
 * Hashes.  Piece hashes are SHA-256 or BLAKE3 (erasure.md 7); a hasher does either, incrementally.
 */
#ifndef ACRE_CRYPTO_HASH_H
#define ACRE_CRYPTO_HASH_H

#include "base/bytes.h"

enum { HASH_BYTES = 32 };

/* Numbers as in orders.PieceHashAlgorithm. */
enum hash_algorithm { HASH_SHA256 = 0, HASH_BLAKE3 = 1 };

struct hasher;

/* Never fails on known algorithms; NULL without memory.  Reusable after hasher_reset. */
struct hasher *hasher_new(enum hash_algorithm algorithm);
void hasher_free(struct hasher *h);
void hasher_reset(struct hasher *h);
void hasher_update(struct hasher *h, struct bytes data);
/* The hash of everything since reset; the hasher may go on being updated. */
void hasher_sum(const struct hasher *h, uint8_t out[HASH_BYTES]);

void hash_sha256(struct bytes data, uint8_t out[HASH_BYTES]);
void hash_blake3(struct bytes data, uint8_t out[HASH_BYTES]);
/* The same of several inputs of one length, side by side; short ones take half the time so. */
enum { HASH_MANY_BYTES_MAX = 8192 };
void hash_blake3_many(const uint8_t *const inputs[], size_t count, size_t len,
		      uint8_t (*out)[HASH_BYTES]);

/* BLAKE2b with 64 bytes of output, of several parts as if concatenated, and HMAC over it. */
enum { BLAKE2B_BYTES = 64 };
void hash_blake2b(const struct bytes *parts, size_t count, uint8_t out[BLAKE2B_BYTES]);
void hmac_blake2b(struct bytes key, const struct bytes *parts, size_t count,
		  uint8_t out[BLAKE2B_BYTES]);
/* HMAC of data under key. */
void hmac_sha256(struct bytes key, struct bytes data, uint8_t out[32]);
void hmac_sha512(struct bytes key, struct bytes data, uint8_t out[64]);
/* HMAC over several parts, as if concatenated. */
void hmac_sha512_parts(struct bytes key, const struct bytes *parts, size_t count, uint8_t out[64]);

#endif
