/* Path encryption (encryption.md 2): components, keys, escape, prefixes. */
#ifndef ACRE_ACCESS_PATH_CIPHER_H
#define ACRE_ACCESS_PATH_CIPHER_H

#include "base/call.h"
#include "crypto/secret.h"

/* Numbers as in encryption.CipherSuite. */
enum cipher {
	CIPHER_UNSPECIFIED = 0,
	CIPHER_NULL = 1,
	CIPHER_AESGCM = 2,
	CIPHER_SECRETBOX = 3,
	CIPHER_NULL_BASE64URL = 4
};

/* Plain, and encrypted; satellites take encrypted keys of up to 4,000 bytes by default. */
enum { PATH_BYTES_MAX = 16 << 10, PATH_ENCRYPTED_MAX = 64 << 10 };

/* first 32 bytes of HMAC-SHA512(key, message) */
void derive_key(const struct secret_key *key, struct bytes message, struct secret_key *ret);

/* Encryption store (access.md 2.1). */
struct store_entry {
	struct bytes bucket;
	struct bytes plain; /* unencrypted path */
	struct bytes encrypted;
	struct secret_key key;
	enum cipher path_cipher;
};
struct store {
	bool has_default;
	struct secret_key default_key;
	enum cipher default_cipher;
	struct store_entry *entries;
	size_t count;
	size_t cap; /* store_add's; of copies of this struct only one may be added to */
};
/* Wipes the keys; the memory stays the arena's. */
void store_wipe(struct store *s);
/* Copies the entry's bytes into `a`, where the array lives too; the same path again replaces the
 * entry.  ERR_INVALID on component mismatch or conflict. */
enum err store_add(struct call *call, struct arena *a, struct store *s,
		   const struct store_entry *entry) MUST_USE;

/* Encrypts an object key or path; "" gives "". ERR_PERMISSION when the store has no key for it. */
enum err path_encrypt(struct call *call, const struct store *s, struct bytes bucket,
		      struct bytes plain, struct buf *out) MUST_USE;
/* ERR_CRYPTO / ERR_FORMAT when it was not made with this store's keys.  An empty component has no
 * tag (encryption.md 2.3): its place in a path is not authenticated. */
enum err path_decrypt(struct call *call, const struct store *s, struct bytes bucket,
		      struct bytes encrypted, struct buf *out) MUST_USE;
/* Key of a plain path: parent for listing, and base of the content key. */
enum err path_key(struct call *call, const struct store *s, struct bytes bucket, struct bytes plain,
		  struct secret_key *ret) MUST_USE;
/* derive(path key, "content") */
enum err content_key(struct call *call, const struct store *s, struct bytes bucket,
		     struct bytes plain, struct secret_key *ret) MUST_USE;
/* The cipher that applies at a plain path. */
enum err path_cipher_at(struct call *call, const struct store *s, struct bytes bucket,
			struct bytes plain, enum cipher *ret) MUST_USE;
/*
 * Listing below a prefix (encryption.md 2.6).  The satellite sees and returns keys relative to the
 * prefix; they are encrypted from the key of the prefix's parent, "a/b" for "a/b/", on.  Made once
 * per listing, so that the keys above are not derived again for each item.
 */
struct path_listing {
	struct secret_key key; /* of the parent */
	enum cipher cipher;
	bool arbitrary_prefix; /* to be set in the request: object keys are not encrypted */
};
/* Appends what goes into encrypted_prefix: the encrypted parent, without slash; with cipher null
 * the prefix as it is.  "" for "".  ERR_INVALID when the prefix of encrypted keys does not end
 * with '/', ERR_PERMISSION when the store has no key there. */
enum err path_listing_init(struct call *call, const struct store *s, struct bytes bucket,
			   struct bytes plain_prefix, struct path_listing *ret,
			   struct buf *ret_encrypted_prefix) MUST_USE;
void path_listing_fini(struct path_listing *l);
/* A returned key, relative to the prefix.  A listed prefix keeps its '/' at the end.  Fails for
 * objects of another passphrase; listings skip those. */
enum err path_listing_decrypt(struct call *call, const struct path_listing *l,
			      struct bytes encrypted, struct buf *out) MUST_USE;
/* A cursor, relative to the prefix.  (To go on with a listing send the last encrypted key back
 * as it came.) */
enum err path_listing_encrypt(struct call *call, const struct path_listing *l, struct bytes plain,
			      struct buf *out) MUST_USE;

#endif
