/* The one piece of process-wide state of this room: written once, then only read. */
#include "crypto/algorithms.h"

#include <openssl/crypto.h>
#include <sodium.h>

#include "crypto/gcm_vaes.h"
#include "crypto/tls_vaes.h"

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static struct algorithms fetched;
static int ready;

static void fetch(void)
{
	fetched.aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	fetched.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	fetched.chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	fetched.gcm_vaes = gcm_vaes_load();
	fetched.tls = fetched.gcm_vaes ? tls_vaes_context(fetched.gcm_vaes) : NULL;
	ready = fetched.aes_256_gcm && fetched.chacha20_poly1305 && fetched.sha256 &&
		sodium_init() >= 0;
}

const struct algorithms *algorithms(void)
{
	return CRYPTO_THREAD_run_once(&once, fetch) && ready ? &fetched : NULL;
}
