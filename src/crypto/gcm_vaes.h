/*
 * AES-GCM on processors with VAES, from Intel's libipsec-mb where it is installed: OpenSSL 3.0
 * has only the older instructions and takes two to three times as long.  A newer OpenSSL has them
 * itself; then this is not needed (docs/decisions/0006-vaes.md).
 */
#ifndef ACRE_CRYPTO_GCM_VAES_H
#define ACRE_CRYPTO_GCM_VAES_H

#include "base/bytes.h"
#include "base/err.h"

struct gcm_vaes; /* the library's functions */
struct gcm_vaes_key;

/* NULL when the processor or the library is not there.  Called once (crypto/algorithms.c). */
const struct gcm_vaes *gcm_vaes_load(void);
/* A key of 16 or 32 bytes.  NULL without memory. */
struct gcm_vaes_key *gcm_vaes_key_new(const struct gcm_vaes *gcm, struct bytes key);
void gcm_vaes_key_free(struct gcm_vaes_key *k); /* wipes it; NULL is fine */
/* out holds plain.len + 16 bytes, may be the input's place. */
void gcm_vaes_seal(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
		   struct bytes plain, uint8_t *out);
/* ERR_CRYPTO when it does not authenticate; out then holds what the caller must wipe. */
enum err gcm_vaes_open(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
		       struct bytes sealed, uint8_t *out) MUST_USE;
/* The same with the tag elsewhere; `open` gives the tag that would be right. */
enum { GCM_VAES_TAG_BYTES = 16 };
void gcm_vaes_seal_apart(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
			 struct bytes plain, uint8_t *out, uint8_t tag[GCM_VAES_TAG_BYTES]);
void gcm_vaes_open_apart(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
			 struct bytes sealed, uint8_t *out, uint8_t tag[GCM_VAES_TAG_BYTES]);

#endif
