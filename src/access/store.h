/* Private to the room: which key of an encryption store a path begins with (access.md 2.1). */
#ifndef ACRE_ACCESS_STORE_H
#define ACRE_ACCESS_STORE_H

#include "access/path_cipher.h"

/* The components of a path, one after the other: "a/" has two, "" has none (encryption.md 2.1). */
struct path_iter {
	struct bytes rest;
	bool more;
};

static inline struct path_iter path_iter(struct bytes path)
{
	return (struct path_iter){ path, path.len > 0 };
}

/* False when there are no more. */
bool path_iter_next(struct path_iter *it, struct bytes *ret_component);

/* Where a path starts: the key there, and what remains below it. */
struct store_base {
	struct secret_key key; /* the bucket is mixed in already */
	enum cipher cipher;
	struct bytes plain; /* of the entry; "" for the default key */
	struct bytes encrypted;
	struct path_iter remaining;
};

enum side { SIDE_PLAIN, SIDE_ENCRYPTED };

/* The deepest entry above the path, else the default key.  ERR_PERMISSION when there is neither. */
enum err store_lookup(struct call *call, const struct store *s, struct bytes bucket,
		      struct bytes path, enum side side, struct store_base *ret) MUST_USE;
void store_base_wipe(struct store_base *base);

/* Key of the component below: K = derive(K, "path:" + component). */
void derive_component(struct secret_key *key, struct bytes component);

#endif
