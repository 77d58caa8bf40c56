/* AES-128-GCM with VAES for OpenSSL's TLS 1.3 (docs/decisions/0006-vaes.md). */
#ifndef ACRE_CRYPTO_TLS_VAES_H
#define ACRE_CRYPTO_TLS_VAES_H

#include <openssl/types.h>

#include "crypto/gcm_vaes.h"

/* With these properties a context of OpenSSL's prefers what is here to its own. */
#define TLS_VAES_PROPERTIES "?provider=acre"

/*
 * A context of OpenSSL with that cipher and all else of the default provider; lives as long as the
 * process.  NULL when it is not needed (OpenSSL 3.1 and later have VAES) or cannot be had.
 * The cipher does what records of TLS 1.3 ask of it: one nonce, one run of additional data, one of
 * text.  TLS 1.2 and others cannot use it.
 */
OSSL_LIB_CTX *tls_vaes_context(const struct gcm_vaes *gcm);

#endif
