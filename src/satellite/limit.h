/*
 * Limits finer than a project's: of an API key, of a bucket, of a grant (access/permission.h).  A
 * row for each says how much there may be and counts bytes stored, bytes and objects served, and
 * money.  What a request takes is counted in the transaction that does its work, so no limit is
 * passed by as much as one segment, however many processes serve one database.
 *
 * An object's row names in `charged` the counters its size is in: whoever deletes it gives back.
 */
#ifndef ACRE_SATELLITE_LIMIT_H
#define ACRE_SATELLITE_LIMIT_H

#include "access/permission.h"
#include "db/db.h"

struct project_id;

enum limit_kind { LIMIT_OF_KEY = 1, LIMIT_OF_BUCKET, LIMIT_OF_GRANT };
enum { LIMIT_ID_BYTES = 16, LIMITS_MAX = 8 };

/* The kind, then bits of a hash of what is limited. */
struct limit_id {
	uint8_t b[LIMIT_ID_BYTES];
};

/* All that a request is counted for. */
struct limit_set {
	size_t count;
	struct limit_id ids[LIMITS_MAX];
	struct caveat_limits grants[LIMITS_MAX]; /* of those of kind LIMIT_OF_GRANT */
};

/* Micro-dollars per terabyte (10^12): stored for 720 hours, served. */
struct prices {
	int64_t storage, egress;
};

struct limit {
	struct limit_id id;
	enum limit_kind kind;
	struct bytes subject; /* what is limited: a key's head, a bucket's number, a grant's tail */
	struct caveat_limits max;
	struct prices prices;
	int64_t stored, egress, downloads;
	int64_t spent; /* 10^-12 dollars, up to updated_ns */
	int64_t month, updated_ns;
};

/* subject: a key's head, a bucket's number, the tail behind a grant's caveat. */
void limit_id_of(enum limit_kind kind, struct bytes subject, struct limit_id *ret);
void limit_id_of_bucket(int64_t bucket_id, struct limit_id *ret);
/* The limits in the caveats of a key that was found valid, with all its tails, and the key's own.
 * PermissionDenied when there are more than LIMITS_MAX - 1: a bucket's may still come to them. */
enum err limit_set_read(struct call *call, const struct macaroon *m,
			const uint8_t (*tails)[MACAROON_TAIL_BYTES], bool key_has,
			struct limit_set *ret) MUST_USE;

struct limit_use {
	int64_t stored, egress, downloads;
};

/* ---- inside a transaction ---- */

/* Rows for the grants of a set that were not seen before.  ResourceExhausted when the project has
 * grants_max of them (0: no end): whoever has a key can make any number of grants from it. */
enum err limit_ensure(struct call *call, struct db_tx *tx, const struct project_id *project,
		      const struct prices *prices, int64_t grants_max, const struct limit_set *set,
		      int64_t now_ns) MUST_USE;
/* Whether a bucket has limits of its own. */
enum err limit_of_bucket_exists(struct call *call, struct db_tx *tx, int64_t bucket_id,
				bool *ret) MUST_USE;
/* Counts for each of the ids (LIMIT_ID_BYTES each, one behind the other) that has a row.
 * ResourceExhausted "... Exceeded Storage Limit" or "... Exceeded Usage Limit", as the clients look
 * for, when one would be passed.  Negative gives back.  prices NULL: those of the row. */
enum err limit_charge(struct call *call, struct db_tx *tx, const struct prices *prices,
		      struct bytes ids, const struct limit_use *use, int64_t now_ns) MUST_USE;
/* The same without counting. */
enum err limit_check(struct call *call, struct db_tx *tx, struct bytes ids,
		     const struct limit_use *use, int64_t now_ns) MUST_USE;

/* ---- for admin commands ---- */

/* Brings what depends on time up to now. */
void limit_roll(struct limit *l, int64_t now_ns);
/* ERR_NOT_FOUND without a text of its own.  Views in scratch. */
enum err limit_get(struct call *call, struct db_tx *tx, const struct limit_id *id,
		   struct limit *ret) MUST_USE;
/* Inserts, or changes what may be and leaves what was counted. */
enum err limit_put(struct call *call, struct db_tx *tx, const struct project_id *project,
		   const struct limit *l) MUST_USE;
enum err limit_write_counts(struct call *call, struct db_tx *tx, const struct limit *l) MUST_USE;
enum err limit_list(struct call *call, struct db_tx *tx, const struct project_id *project,
		    struct limit **ret, size_t *ret_count) MUST_USE;

/* ---- limit_admin.c: transactions of their own ---- */

/* Gives a key of a project limits, or other ones; all CAVEAT_UNLIMITED: none, but goes on counting.
 * Counted is what comes from now on.  ERR_NOT_FOUND.  Other processes hear of it within 30 s. */
enum err limit_set_for_key(struct call *call, struct db *db, const struct project_id *project,
			   struct bytes name, const struct caveat_limits *max,
			   const struct prices *prices) MUST_USE;
/* The same for a bucket; what is in it counts, too.  Setting it again counts what other processes
 * had let in before they heard of it. */
enum err limit_set_for_bucket(struct call *call, struct db *db, const struct project_id *project,
			      struct bytes name, const struct caveat_limits *max,
			      const struct prices *prices) MUST_USE;

#endif
