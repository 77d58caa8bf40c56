/* Algorithms fetched from OpenSSL once per process: a fetch per call costs more than the hash. */
#ifndef ACRE_CRYPTO_ALGORITHMS_H
#define ACRE_CRYPTO_ALGORITHMS_H

#include <openssl/evp.h>

struct algorithms {
	EVP_CIPHER *aes_256_gcm, *chacha20_poly1305;
	EVP_MD *sha256;
	const struct gcm_vaes *gcm_vaes; /* NULL = not on this machine */
	OSSL_LIB_CTX *tls;		 /* what TLS is to be made of; NULL = OpenSSL's own */
};

/* Immutable after the first call; NULL when OpenSSL or libsodium cannot be set up. */
const struct algorithms *algorithms(void);

#endif
