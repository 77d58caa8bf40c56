/* The old RAND_METHOD is the one door that all of OpenSSL 3's providers still go through. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/world.h"

#include <openssl/rand.h>

#include "os/random.h"

static int random_bytes(unsigned char *out, int len)
{
	if (len > 0)
		os_random(out, (size_t)len);
	return 1;
}

static int always_seeded(void)
{
	return 1;
}

static const RAND_METHOD from_os = {
	.bytes = random_bytes,
	.pseudorand = random_bytes,
	.status = always_seeded,
};

enum err crypto_use_os_random(void)
{
	return RAND_set_rand_method(&from_os) == 1 ? OK : ERR_INTERNAL;
}
