/*
 * ECDSA P-256 verification for many signatures of one key, with tables of multiples of the key and
 * the generator: two thirds of what OpenSSL takes.  Only public values: not in constant time.
 */
#ifndef ACRE_CRYPTO_P256_TABLE_H
#define ACRE_CRYPTO_P256_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { P256_SCALAR_BYTES = 32 };

/* Multiples of one point; immutable; 52 KiB. */
struct p256_table;

/* Of the point with these big-endian coordinates.  NULL if it is none of the curve's, or without
 * memory. */
struct p256_table *p256_table_new(const uint8_t x[P256_SCALAR_BYTES],
				  const uint8_t y[P256_SCALAR_BYTES]);
void p256_table_free(struct p256_table *t);
/* Of the generator. */
struct p256_table *p256_table_generator(void);
/* Whether the DER signature is one of the digest by the key.  Strict: what OpenSSL's
 * EVP_PKEY_verify refuses, this refuses. */
bool p256_verify(const struct p256_table *generator, const struct p256_table *key,
		 const uint8_t digest[P256_SCALAR_BYTES], struct bytes signature);

#endif
