/* API keys as the database has them, cached by head; and which tails are revoked. */
#ifndef ACRE_SATELLITE_KEYS_H
#define ACRE_SATELLITE_KEYS_H

#include "satellite/auth.h"

enum { KEY_HEADS_MAX = 8192, KEY_TAILS_MAX = 16384 };
/* Numbers of keys: programs that read JSON keep no more than 53 bits. */
#define KEY_NUMBER_MAX (INT64_C(1) << 48)

struct key_info {
	struct project project;
	struct secret_key secret;
	unsigned version;
	int64_t number;	  /* what it is called in books, and in the metadata of orders */
	struct rate rate; /* of this key, besides its project's */
	bool has_limit;	  /* a row of its own in limits */
};

static inline void key_info_wipe(struct key_info *k)
{
	secret_key_wipe(&k->secret);
}

/* ERR_NOT_FOUND: no such head.  Others: the database's. */
enum err key_find(struct call *call, struct satellite *sat, struct bytes head,
		  struct key_info *ret) MUST_USE;
/* What is known of a key's tails; good ones are remembered for a while by the last one. */
enum tails_state { TAILS_GOOD, TAILS_REVOKED, TAILS_UNREGISTERED };
/* auditable: every tail but the first must have been registered (access.md 1.3). */
enum err key_check_tails(struct call *call, struct satellite *sat,
			 const uint8_t (*tails)[MACAROON_TAIL_BYTES], size_t count, bool auditable,
			 enum tails_state *ret) MUST_USE;
/* Stores a tail as revoked, durably. */
enum err key_revoke(struct call *call, struct satellite *sat, struct bytes head,
		    const uint8_t tail[MACAROON_TAIL_BYTES]) MUST_USE;

#endif
