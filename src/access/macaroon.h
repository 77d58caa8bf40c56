/* API keys are macaroons: head, caveats, HMAC chain (access.md 1). */
#ifndef ACRE_ACCESS_MACAROON_H
#define ACRE_ACCESS_MACAROON_H

#include "base/call.h"
#include "crypto/secret.h"

enum {
	MACAROON_HEAD_BYTES = 32,
	MACAROON_TAIL_BYTES = 32,
	MACAROON_CAVEATS_MAX = 1000,
	MACAROON_BYTES_MAX = 64 << 10
};

/* Views into the arena it was parsed or built in. */
struct macaroon {
	struct bytes head;
	struct bytes *caveats; /* opaque, as received */
	size_t caveats_count;
	uint8_t tail[MACAROON_TAIL_BYTES];
};

/* A new key without caveats: random head, tail from the secret. */
enum err macaroon_new(struct call *call, struct arena *a, const struct secret_key *secret,
		      struct macaroon *ret) MUST_USE;
enum err macaroon_parse(struct call *call, struct arena *a, struct bytes binary,
			struct macaroon *ret) MUST_USE;
/* base58check text, version 0. */
enum err macaroon_parse_text(struct call *call, struct arena *a, struct bytes text,
			     struct macaroon *ret) MUST_USE;
void macaroon_add_binary(struct buf *out, const struct macaroon *m);
enum err macaroon_add_text(struct buf *out, const struct macaroon *m) MUST_USE;
/* Appends a caveat; the array is remade in `a`. */
enum err macaroon_restrict(struct call *call, struct arena *a, struct macaroon *m,
			   struct bytes caveat) MUST_USE;
/* Whether the chain is right for this secret, in constant time. */
bool macaroon_valid(const struct macaroon *m, const struct secret_key *secret);
/* All tails of the chain for a secret: tail_0 .. tail_n, count caveats_count + 1, each 32 bytes in
 * `out`; for revocation checks. */
void macaroon_tails(const struct macaroon *m, const struct secret_key *secret,
		    uint8_t (*out)[MACAROON_TAIL_BYTES]);

#endif
