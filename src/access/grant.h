/* Access grants (access.md 2, 3): satellite, API key and what decrypts. */
#ifndef ACRE_ACCESS_GRANT_H
#define ACRE_ACCESS_GRANT_H

#include "access/macaroon.h"
#include "access/path_cipher.h"
#include "access/permission.h"

/* As much as base58 is decoded of. */
enum { GRANT_TEXT_MAX = 16 << 10 };

struct grant {
	const char *satellite; /* node URL */
	struct macaroon key;
	struct store store;
};

/* Wipes the keys it holds. */
void grant_wipe(struct grant *g);

/* Everything lives in `a`.  The store is limited to what the key allows, as on every parse.
 * ERR_FORMAT with advice for a grant cut short by copy and paste. */
enum err grant_parse(struct call *call, struct arena *a, struct bytes text,
		     struct grant *ret) MUST_USE;
enum err grant_add_text(struct call *call, struct buf *out, const struct grant *g) MUST_USE;

/* From passphrase and the project's salt (access.md 3.1): root key with 8 lanes. */
enum err grant_root_key(struct call *call, struct bytes passphrase, struct bytes project_salt,
			struct secret_key *ret) MUST_USE;
/* The same recipe with one lane and any salt: uplink's DeriveEncryptionKey, for applications that
 * keep data of several users under keys of their own (grant_override_key). */
enum err grant_encryption_key(struct call *call, struct bytes passphrase, struct bytes salt,
			      struct secret_key *ret) MUST_USE;
/* encrypt_paths false = path cipher null. */
enum err grant_new(struct call *call, struct arena *a, const char *satellite,
		   const struct macaroon *key, const struct secret_key *root, bool encrypt_paths,
		   struct grant *ret) MUST_USE;

struct grant_permission {
	bool download, upload, list, remove;
	bool lock; /* all object lock permissions */
	bool put_retention, get_retention, put_legal_hold, get_legal_hold, bypass_governance;
	bool put_bucket_lock_config, get_bucket_lock_config;
	int64_t not_before_ns, not_after_ns; /* 0 = none */
	int64_t ttl_ns;			     /* 0 = none */
};
struct grant_prefix {
	struct bytes bucket;
	struct bytes prefix; /* plain */
};
/* The same grant with limits that a satellite of ours counts for it, and every other refuses. */
enum err grant_limit(struct call *call, struct arena *a, const struct grant *g,
		     const struct caveat_limits *limits, struct grant *ret) MUST_USE;
/* A grant that can do at most that (access.md 3.2). */
enum err grant_restrict(struct call *call, struct arena *a, const struct grant *g,
			const struct grant_permission *permission,
			const struct grant_prefix *prefixes, size_t count,
			struct grant *ret) MUST_USE;
/* Keys under the prefix, which ends with '/', are encrypted with that key from now on; remade in
 * place, memory from `a`. */
enum err grant_override_key(struct call *call, struct arena *a, struct grant *g,
			    struct bytes bucket, struct bytes prefix,
			    const struct secret_key *key) MUST_USE;

#endif
