/* API keys as the database has them, cached by head; and which tails are revoked. */
#ifndef ACRE_SATELLITE_KEYS_H
#define ACRE_SATELLITE_KEYS_H

#include "satellite/auth.h"

enum { KEY_HEADS_MAX = 8192, KEY_TAILS_MAX = 16384 };

struct key_info {
	struct project project;
	struct secret_key secret;
	unsigned version;
};

static inline void key_info_wipe(struct key_info *k)
{
	secret_key_wipe(&k->secret);
}

/* ERR_NOT_FOUND: no such head.  Others: the database's. */
enum err key_find(struct call *call, struct satellite *sat, struct bytes head,
		  struct key_info *ret) MUST_USE;
/* Whether any of the tails is revoked; remembered for a while by the last one. */
enum err key_is_revoked(struct call *call, struct satellite *sat,
			const uint8_t (*tails)[MACAROON_TAIL_BYTES], size_t count,
			bool *ret) MUST_USE;
/* Stores a tail as revoked, durably. */
enum err key_revoke(struct call *call, struct satellite *sat, struct bytes head,
		    const uint8_t tail[MACAROON_TAIL_BYTES]) MUST_USE;

#endif
