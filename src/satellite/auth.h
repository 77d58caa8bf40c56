/*
 * Who asks and what the key allows (metainfo.md 3.1, access.md 1).  A handler authenticates once,
 * then checks each action; both answer with the exact status and text the clients expect.
 */
#ifndef ACRE_SATELLITE_AUTH_H
#define ACRE_SATELLITE_AUTH_H

#include "access/macaroon.h"
#include "access/permission.h"
#include "satellite/limit.h"
#include "satellite/satellite.h"

enum { PROJECT_ID_BYTES = 16, PROJECT_SALT_BYTES = 32 };

struct project_id {
	uint8_t b[PROJECT_ID_BYTES];
};

/* Who a transfer is counted for.  Without a bucket (audits, repairs) nobody but the network; key 0:
 * none, or one of which nothing is known any more. */
struct payer {
	struct project_id project;
	struct bytes bucket; /* view */
	int64_t key;	     /* the number of the API key, with all made from it */
};

/* Kinds of request, for rates: those of the last kind count as PUT but never fail. */
enum rate_kind { RATE_HEAD, RATE_GET, RATE_PUT, RATE_LIST, RATE_DELETE, RATE_PUT_NO_ERROR };
enum { RATE_KINDS = RATE_PUT_NO_ERROR, PROJECT_VERSIONING_ON = 2 };

/* Requests per second and at once. */
struct rate {
	bool limited; /* false: as many as come */
	int64_t rate, burst;
	bool own; /* a kind's own rate is counted for itself */
};

struct project {
	struct project_id id;
	struct project_id public_id;
	uint8_t salt[PROJECT_SALT_BYTES];
	int64_t created_unix_ns;
	int64_t max_buckets, max_storage, max_bandwidth, max_segments; /* 0 = no limit */
	struct rate rates[RATE_KINDS];
	bool disabled;		/* makes no new buckets */
	bool versioned_buckets; /* new buckets keep versions */
	int32_t placement;	/* of new buckets (placement.h) */
	bool has_bucket_limits; /* some bucket has limits of its own (limit.h) */
};

struct auth {
	struct project project;
	struct macaroon key; /* views into the arena given */
	unsigned key_version;
	int64_t key_number;	 /* as in struct payer */
	struct limit_set limits; /* of the key and of the grants in it */
	int64_t now_unix_ns;	 /* the one time all checks of this request use */
};

/* Steps 2 to 6 without the caveats' verdict on an action: parses, finds the head, counts the
 * rate, checks the chain and every tail against the revoked ones.
 * InvalidArgument "Invalid API credentials", PermissionDenied "Unauthorized API credentials",
 * ResourceExhausted "Too Many Requests", PermissionDenied "All access disabled". */
enum err satellite_authenticate(struct call *call, struct satellite *sat, struct arena *a,
				struct bytes api_key, enum rate_kind kind,
				struct auth *ret) MUST_USE;
/* PermissionDenied "Unauthorized API credentials" unless all caveats and the key's version allow
 * it.  bucket and path (encrypted) may be empty. */
enum err auth_check(struct call *call, const struct auth *auth, enum action_op op,
		    struct bytes bucket, struct bytes path) MUST_USE;
/* The same as a question, for optional permissions; leaves the call's error alone. */
bool auth_allows(const struct auth *auth, enum action_op op, struct bytes bucket,
		 struct bytes path);
/* Smallest max_object_ttl of the key; 0 when none.  InvalidArgument when it is not positive. */
enum err auth_ttl(struct call *call, const struct auth *auth, int64_t *ret_ns) MUST_USE;
/* RevokeAPIKey (metainfo.md 6): stores the target's tail if `auth` is an ancestor of it. */
enum err satellite_revoke(struct call *call, struct satellite *sat, const struct auth *auth,
			  struct bytes target_key) MUST_USE;

/* ---- for setup and tests ---- */

struct key_cache *key_cache_new(void);
void key_cache_free(struct key_cache *c);
/* Forgets all, as after a revocation. */
void key_cache_clear(struct key_cache *c);

/* ERR_EXISTS when the name is taken. */
enum err project_create(struct call *call, struct db *db, struct bytes name,
			struct project *ret) MUST_USE;
/* By name, or by ID in its text form (hex with dashes). */
enum err project_find(struct call *call, struct db *db, struct bytes name_or_id,
		      struct project *ret) MUST_USE;
void project_id_text(const struct project_id *id, char out[37]);
/* A new key of version bits (access/permission.h); its macaroon lives in `a`. */
enum err api_key_create_version(struct call *call, struct db *db, struct arena *a,
				const struct project_id *project, struct bytes name,
				unsigned version, struct macaroon *ret) MUST_USE;
/* The same of the usual version: KEY_VERSION_OBJECT_LOCK. */
enum err api_key_create(struct call *call, struct db *db, struct arena *a,
			const struct project_id *project, struct bytes name,
			struct macaroon *ret) MUST_USE;

#endif
