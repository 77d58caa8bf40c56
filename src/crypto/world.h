/* Where OpenSSL takes its randomness from. */
#ifndef ACRE_CRYPTO_WORLD_H
#define ACRE_CRYPTO_WORLD_H

#include "base/err.h"

/* From now on all of OpenSSL's randomness (keys, nonces of signatures, TLS) comes from os_random.
 * For the simulation, where os_random is the seed: equal seeds then make equal signatures and equal
 * handshakes.  Process-wide; call it before anything else of this room. */
enum err crypto_use_os_random(void) MUST_USE;

#endif
