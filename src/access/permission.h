/* What a key allows: caveats decoded and evaluated (access.md 1.2, 1.3). */
#ifndef ACRE_ACCESS_PERMISSION_H
#define ACRE_ACCESS_PERMISSION_H

#include "access/macaroon.h"

/* Numbers as the reference's. */
enum action_op {
	ACTION_READ = 1,
	ACTION_WRITE,
	ACTION_LIST,
	ACTION_DELETE,
	ACTION_PROJECT_INFO,
	ACTION_LOCK,
	ACTION_PUT_RETENTION,
	ACTION_GET_RETENTION,
	ACTION_PUT_LEGAL_HOLD,
	ACTION_GET_LEGAL_HOLD,
	ACTION_BYPASS_GOVERNANCE,
	ACTION_PUT_BUCKET_LOCK_CONFIG,
	ACTION_GET_BUCKET_LOCK_CONFIG,
	ACTION_PUT_BUCKET_NOTIFICATION,
	ACTION_GET_BUCKET_NOTIFICATION,
};

struct action {
	enum action_op op;
	struct bytes bucket;
	struct bytes path; /* encrypted */
	int64_t now_unix_ns;
};

/* Key version bits (access.md 1.3 item 2). */
enum { KEY_VERSION_OBJECT_LOCK = 1, KEY_VERSION_AUDITABLE = 2, KEY_VERSION_EVENTING = 4 };

struct allowed_path {
	struct bytes bucket;
	struct bytes prefix; /* encrypted path prefix */
};

/*
 * Limits that travel with a grant; a satellite of ours keeps count per caveat.  Not in Storj's
 * protocol: field 1000, beside a not_after in 1970, so that a satellite that does not know the
 * field refuses the key instead of giving without limit, and ours reads the field instead of that
 * time.
 */
enum { CAVEAT_UNLIMITED = -1 };
struct caveat_limits {
	int64_t storage;   /* bytes stored at a time */
	int64_t egress;	   /* bytes served */
	int64_t downloads; /* objects served */
	int64_t spend;	   /* micro-dollars, at the satellite's prices */
	bool monthly;	   /* all but storage begin anew with each month (UTC) */
};
#define CAVEAT_LIMITS_NONE                                                                         \
	((struct caveat_limits){ CAVEAT_UNLIMITED, CAVEAT_UNLIMITED, CAVEAT_UNLIMITED,             \
				 CAVEAT_UNLIMITED, false })

struct caveat {
	bool disallow_reads, disallow_writes, disallow_lists, disallow_deletes, disallow_locks;
	bool disallow_put_retention, disallow_get_retention;
	bool disallow_put_legal_hold, disallow_get_legal_hold, disallow_bypass_governance;
	bool disallow_put_bucket_lock_config, disallow_get_bucket_lock_config;
	bool disallow_put_bucket_notification, disallow_get_bucket_notification;
	struct allowed_path *paths;
	size_t paths_count;
	bool has_not_after, has_not_before, has_ttl;
	int64_t not_after_ns, not_before_ns, ttl_ns; /* Unix ns; clamped to int64 */
	struct bytes nonce;
	bool has_limits; /* then there is no not_after: it needs a caveat of its own */
	struct caveat_limits limits;
};

enum err caveat_decode(struct call *call, struct arena *a, struct bytes wire,
		       struct caveat *ret) MUST_USE;
void caveat_encode(struct buf *out, const struct caveat *c);
/* Whether a caveat, valid or not, has limits, without decoding the rest of it. */
bool caveat_limits_find(struct bytes wire, struct caveat_limits *ret);
bool caveat_allows(const struct caveat *c, const struct action *action);

/* All caveats AND the key's version bits; not the HMAC chain, not revocation.  ERR_PERMISSION, also
 * for a caveat that cannot be decoded. */
enum err permission_check(struct call *call, const struct macaroon *m, unsigned key_version,
			  const struct action *action) MUST_USE;
/* Intersection of the caveats' bucket sets, in order, each once; *ret_all when nothing restricts.
 * The views are into the macaroon. */
enum err permission_buckets(struct call *call, struct arena *a, const struct macaroon *m,
			    bool *ret_all, struct bytes **ret_buckets, size_t *ret_count) MUST_USE;
/* The smallest max_object_ttl; *ret_ns 0 when none; ERR_INVALID when one is not positive. */
enum err permission_ttl(struct call *call, const struct macaroon *m, int64_t *ret_ns) MUST_USE;

#endif
