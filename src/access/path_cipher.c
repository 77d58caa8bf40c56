/*
 * Path encryption, component by component (encryption.md 2): each is sealed with the key of the one
 * above, under a nonce made of its own key; so equal paths look equal, and a satellite can list.
 */
#include "access/path_cipher.h"

#include "access/path_escape.h"
#include "access/store.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

/* A raw component: nonce, tag, bytes. */
enum { COMPONENT_MAX = PATH_ENCRYPTED_MAX + SECRETBOX_NONCE_BYTES + AEAD_TAG_BYTES };

DEFINE_AUTO_PTR(struct aead, aead_auto, aead_free)
#define AUTO_KEY AUTO(secret_key_wipe)
#define AUTO_BASE AUTO(store_base_wipe)

static size_t nonce_bytes(enum cipher cipher)
{
	return cipher == CIPHER_AESGCM ? AEAD_NONCE_BYTES : SECRETBOX_NONCE_BYTES;
}

static enum err unknown_cipher(struct call *call, enum cipher cipher)
{
	return call_fail(call, ERR_INVALID, "path cipher %d is not known", (int)cipher);
}

/* Appends nonce and sealed component.  Nothing is sealed to nothing: an empty component is its
 * nonce alone. */
static enum err seal_component(struct call *call, enum cipher cipher,
			       const struct secret_key *parent, const struct secret_key *own,
			       struct bytes plain, struct buf *raw)
{
	uint8_t nonce[64];

	hmac_sha512(BYTES_OF(own->b), bytes_str("nonce"), nonce);
	buf_add(raw, nonce, nonce_bytes(cipher));
	if (!buf_reserve(raw, plain.len + AEAD_TAG_BYTES))
		return call_fail(call, ERR_NO_MEMORY, "no memory for a path");
	if (plain.len == 0)
		return OK;
	uint8_t *out = raw->data + raw->len;
	if (cipher == CIPHER_SECRETBOX) {
		TRY(secretbox_seal(parent, nonce, plain, out), "encrypting a path");
	} else {
		struct aead *aead AUTO(aead_auto) = aead_new(parent, true);
		if (!aead)
			return call_fail(call, ERR_NO_MEMORY, "no memory for a path");
		TRY(aead_seal(aead, nonce, plain, out), "encrypting a path");
	}
	raw->len += plain.len + AEAD_TAG_BYTES;
	return OK;
}

/* The local view of stored bytes as text, backwards. */
static enum err add_unbase64url(struct call *call, struct bytes text, struct buf *out)
{
	struct buf standard AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);

	buf_add_bytes(&standard, text);
	TRY_PLAIN(buf_status(&standard));
	for (size_t i = 0; i < standard.len; i++) {
		uint8_t *b = &standard.data[i];
		if (*b == '+' || *b == '/')
			return call_fail(call, ERR_INVALID, "a path component is not base64url");
		*b = *b == '-' ? '+' : *b == '_' ? '/' : *b;
	}
	if (text_unbase64(out, buf_bytes(&standard)) != OK)
		return call_fail(call, ERR_INVALID, "a path component is not base64url");
	return OK;
}

/* `key` is the parent's and becomes the component's. */
static enum err encrypt_component(struct call *call, enum cipher cipher, struct secret_key *key,
				  struct bytes plain, struct buf *out)
{
	struct secret_key parent AUTO_KEY = *key;

	derive_component(key, plain);
	switch (cipher) {
	case CIPHER_NULL:
		buf_add_bytes(out, plain);
		return OK;
	case CIPHER_NULL_BASE64URL:
		return add_unbase64url(call, plain, out);
	case CIPHER_AESGCM:
	case CIPHER_SECRETBOX: {
		struct buf raw AUTO_BUF = BUF_INIT(COMPONENT_MAX);
		TRY_PLAIN(seal_component(call, cipher, &parent, key, plain, &raw));
		path_escape(out, buf_bytes(&raw));
		return OK;
	}
	case CIPHER_UNSPECIFIED:
		break;
	}
	return unknown_cipher(call, cipher);
}

static enum err open_component(struct call *call, enum cipher cipher,
			       const struct secret_key *parent, struct bytes raw, struct buf *out)
{
	size_t n = nonce_bytes(cipher);

	if (raw.len < n)
		return call_fail(call, ERR_FORMAT, "an encrypted path component is too short");
	struct bytes sealed = bytes_from(raw, n);
	if (sealed.len == 0)
		return OK;
	if (sealed.len < AEAD_TAG_BYTES)
		return call_fail(call, ERR_FORMAT, "an encrypted path component is too short");
	size_t len = sealed.len - AEAD_TAG_BYTES;
	/* One more, so that there is a place to point to for nothing. */
	if (!buf_reserve(out, len + 1))
		return call_fail(call, ERR_NO_MEMORY, "no room for a decrypted path");
	enum err e;
	if (cipher == CIPHER_SECRETBOX) {
		e = secretbox_open(parent, raw.data, sealed, out->data + out->len);
	} else {
		struct aead *aead AUTO(aead_auto) = aead_new(parent, false);
		if (!aead)
			return call_fail(call, ERR_NO_MEMORY, "no memory for a path");
		e = aead_open(aead, raw.data, sealed, out->data + out->len);
	}
	if (e != OK)
		return call_fail(call, e, "the path was encrypted with another passphrase");
	out->len += len;
	return OK;
}

/* `key` is the parent's and becomes the component's. */
static enum err decrypt_component(struct call *call, enum cipher cipher, struct secret_key *key,
				  struct bytes encrypted, struct buf *out)
{
	size_t start = out->len;

	if (encrypted.len == 0 || cipher == CIPHER_NULL) {
		buf_add_bytes(out, encrypted);
	} else if (cipher == CIPHER_NULL_BASE64URL) {
		text_base64url(out, encrypted);
	} else if (cipher == CIPHER_AESGCM || cipher == CIPHER_SECRETBOX) {
		struct buf raw AUTO_BUF = BUF_INIT(COMPONENT_MAX);
		TRY(path_unescape(&raw, encrypted), "an encrypted path component");
		TRY_PLAIN(open_component(call, cipher, key, buf_bytes(&raw), out));
	} else {
		return unknown_cipher(call, cipher);
	}
	TRY_PLAIN(buf_status(out));
	derive_component(key, bytes_from(buf_bytes(out), start));
	return OK;
}

/* What a failed function has appended goes away again; listings skip foreign entries. */
static enum err settle(struct buf *out, size_t start, enum err e)
{
	if (e != OK)
		out->len = start;
	return e;
}

typedef enum err component_fn(struct call *, enum cipher, struct secret_key *, struct bytes,
			      struct buf *);

/* All components with slashes between; `key` ends as that of the last one. */
static enum err each_component(struct call *call, component_fn *fn, enum cipher cipher,
			       struct secret_key *key, struct path_iter it, struct buf *out)
{
	struct bytes component;

	for (bool first = true; path_iter_next(&it, &component); first = false) {
		if (!first)
			buf_add_byte(out, '/');
		TRY_PLAIN(fn(call, cipher, key, component, out));
	}
	if (out->failed)
		return call_fail(call, ERR_INVALID, "the path is too long");
	return OK;
}

static enum err check_path(struct call *call, struct bytes path, size_t max)
{
	if (path.len > max)
		return call_fail(call, ERR_INVALID,
				 "the path is too long: %zu bytes of at most %zu", path.len, max);
	return OK;
}

/* The other form of the entry's path, then what remains below it. */
static enum err convert(struct call *call, component_fn *fn, struct store_base *base,
			struct bytes above, struct buf *out)
{
	buf_add_bytes(out, above);
	if (above.len && base->remaining.more)
		buf_add_byte(out, '/');
	return each_component(call, fn, base->cipher, &base->key, base->remaining, out);
}

enum err path_encrypt(struct call *call, const struct store *s, struct bytes bucket,
		      struct bytes plain, struct buf *out)
{
	struct store_base base AUTO_BASE = { 0 };
	size_t start = out->len;

	if (plain.len == 0)
		return OK;
	TRY_PLAIN(check_path(call, plain, PATH_BYTES_MAX));
	TRY_PLAIN(store_lookup(call, s, bucket, plain, SIDE_PLAIN, &base));
	return settle(out, start, convert(call, encrypt_component, &base, base.encrypted, out));
}

enum err path_decrypt(struct call *call, const struct store *s, struct bytes bucket,
		      struct bytes encrypted, struct buf *out)
{
	struct store_base base AUTO_BASE = { 0 };
	size_t start = out->len;

	if (encrypted.len == 0)
		return OK;
	TRY_PLAIN(check_path(call, encrypted, PATH_ENCRYPTED_MAX));
	TRY_PLAIN(store_lookup(call, s, bucket, encrypted, SIDE_ENCRYPTED, &base));
	return settle(out, start, convert(call, decrypt_component, &base, base.plain, out));
}

enum err path_key(struct call *call, const struct store *s, struct bytes bucket, struct bytes plain,
		  struct secret_key *ret)
{
	struct store_base base AUTO_BASE = { 0 };
	struct bytes component;

	TRY_PLAIN(check_path(call, plain, PATH_BYTES_MAX));
	TRY_PLAIN(store_lookup(call, s, bucket, plain, SIDE_PLAIN, &base));
	while (path_iter_next(&base.remaining, &component))
		derive_component(&base.key, component);
	*ret = base.key;
	return OK;
}

enum err content_key(struct call *call, const struct store *s, struct bytes bucket,
		     struct bytes plain, struct secret_key *ret)
{
	struct secret_key key AUTO_KEY = { 0 };

	TRY_PLAIN(path_key(call, s, bucket, plain, &key));
	derive_key(&key, bytes_str("content"), ret);
	return OK;
}

enum err path_cipher_at(struct call *call, const struct store *s, struct bytes bucket,
			struct bytes plain, enum cipher *ret)
{
	struct store_base base AUTO_BASE = { 0 };

	TRY_PLAIN(store_lookup(call, s, bucket, plain, SIDE_PLAIN, &base));
	*ret = base.cipher;
	return OK;
}

/* Everything but the last component, which is "" for a prefix that ends with '/'. */
static enum err parent_of(struct call *call, struct store_base *base, struct buf *out)
{
	struct path_iter it = base->remaining;
	struct bytes component;
	bool any = base->encrypted.len > 0;

	buf_add_bytes(out, base->encrypted);
	while (path_iter_next(&it, &component) && it.more) {
		if (any)
			buf_add_byte(out, '/');
		any = true;
		TRY_PLAIN(encrypt_component(call, base->cipher, &base->key, component, out));
	}
	return buf_status(out);
}

enum err path_listing_init(struct call *call, const struct store *s, struct bytes bucket,
			   struct bytes plain_prefix, struct path_listing *ret,
			   struct buf *ret_encrypted_prefix)
{
	struct store_base base AUTO_BASE = { 0 };
	struct bytes p = plain_prefix;
	size_t start = ret_encrypted_prefix->len;

	TRY_PLAIN(check_path(call, p, PATH_BYTES_MAX));
	TRY_PLAIN(store_lookup(call, s, bucket, p, SIDE_PLAIN, &base));
	if (p.len && !base.remaining.more)
		return call_fail(call, ERR_PERMISSION,
				 "this access begins below that prefix: it ends without '/'");
	if (base.cipher != CIPHER_NULL) {
		if (p.len && p.data[p.len - 1] != '/')
			return call_fail(
				call, ERR_INVALID,
				"a prefix has to end with '/' as object keys are encrypted");
		TRY_PLAIN(settle(ret_encrypted_prefix, start,
				 parent_of(call, &base, ret_encrypted_prefix)));
	} else {
		buf_add_bytes(ret_encrypted_prefix, p);
	}
	*ret = (struct path_listing){ base.key, base.cipher, base.cipher == CIPHER_NULL };
	return OK;
}

void path_listing_fini(struct path_listing *l)
{
	secret_key_wipe(&l->key);
}

enum err path_listing_decrypt(struct call *call, const struct path_listing *l,
			      struct bytes encrypted, struct buf *out)
{
	struct secret_key key AUTO_KEY = l->key;
	size_t start = out->len;

	TRY_PLAIN(check_path(call, encrypted, PATH_ENCRYPTED_MAX));
	return settle(out, start,
		      each_component(call, decrypt_component, l->cipher, &key, path_iter(encrypted),
				     out));
}

enum err path_listing_encrypt(struct call *call, const struct path_listing *l, struct bytes plain,
			      struct buf *out)
{
	struct secret_key key AUTO_KEY = l->key;
	size_t start = out->len;

	TRY_PLAIN(check_path(call, plain, PATH_BYTES_MAX));
	return settle(
		out, start,
		each_component(call, encrypt_component, l->cipher, &key, path_iter(plain), out));
}
