/* Path encryption (encryption.md 2): components, keys, escape, prefixes. */
#ifndef ACRE_ACCESS_PATH_CIPHER_H
#define ACRE_ACCESS_PATH_CIPHER_H

#include "base/call.h"
#include "crypto/secret.h"

/* Numbers as in encryption.CipherSuite. */
enum cipher { CIPHER_UNSPECIFIED = 0, CIPHER_NULL = 1, CIPHER_AESGCM = 2, CIPHER_SECRETBOX = 3,
	      CIPHER_NULL_BASE64URL = 4 };

enum { PATH_BYTES_MAX = 16 << 10 };

/* first 32 bytes of HMAC-SHA512(key, message) */
void derive_key(const struct secret_key *key, struct bytes message, struct secret_key *ret);

/* Encryption store (access.md 2.1). */
struct store_entry {
	struct bytes bucket;
	struct bytes plain;     /* unencrypted path */
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
};
/* Entries and views live in `a`. ERR_INVALID on component mismatch or conflict. */
enum err store_add(struct call *call, struct arena *a, struct store *s,
		   const struct store_entry *entry) MUST_USE;

/* Encrypts an object key or path; "" gives "". ERR_PERMISSION when the store has no key for it. */
enum err path_encrypt(struct call *call, const struct store *s, struct bytes bucket,
		      struct bytes plain, struct buf *out) MUST_USE;
/* ERR_CRYPTO / ERR_FORMAT when it was not made with this store's keys. */
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
/* "a/b/" to the encrypted parent "enc(a)/enc(b)" for encrypted_prefix, and the parent's plain form
 * "a/b" (encryption.md 2.6).  "" for "". */
enum err path_encrypt_prefix(struct call *call, const struct store *s, struct bytes bucket,
			     struct bytes plain_prefix, struct buf *ret_encrypted,
			     struct bytes *ret_plain_parent) MUST_USE;
/* Keys relative to a plain parent path ("" = root of the bucket), as listings return and take them.
 * A trailing '/' (a listed prefix) is kept. */
enum err path_encrypt_relative(struct call *call, const struct store *s, struct bytes bucket,
			       struct bytes plain_parent, struct bytes plain, struct buf *out) MUST_USE;
enum err path_decrypt_relative(struct call *call, const struct store *s, struct bytes bucket,
			       struct bytes plain_parent, struct bytes encrypted, struct buf *out) MUST_USE;

#endif
