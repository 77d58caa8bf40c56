/*
 * Many P-256 keys quickly, for the search of a node ID (transport.md 4.2).  The first key is random
 * and each next one is its predecessor plus one, so a key costs an addition on the curve and a
 * share of one inversion: a tenth of generating it.  Whoever knows none of them learns nothing from
 * that.
 */
#ifndef ACRE_CRYPTO_KEY_SEARCH_H
#define ACRE_CRYPTO_KEY_SEARCH_H

#include "base/bytes.h"
#include "base/call.h"
#include "crypto/sign.h"

struct key_search; /* one thread at a time; each thread has its own */

enum err key_search_new(struct call *call, struct key_search **ret) MUST_USE;
void key_search_free(struct key_search *s);
/* The next key's SubjectPublicKeyInfo DER; the view is good until the next call. */
enum err key_search_next(struct call *call, struct key_search *s, struct bytes *ret_spki) MUST_USE;
/* The private key of the one that key_search_next gave last. */
enum err key_search_key(struct call *call, const struct key_search *s,
			struct private_key **ret) MUST_USE;

#endif
