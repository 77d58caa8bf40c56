/*
 * Content encryption (encryption.md 3): what is in the blocks of a segment, and what wraps their
 * key.  One cipher context lives as long as a segment; a block only sets its nonce.
 */
#include "access/content.h"

#include "base/cleanup.h"
#include "base/num.h"

enum { PADDING_MIN = 4 }; /* the big-endian count of padding bytes, itself included */

struct content_nonce content_start_nonce(uint32_t part, uint32_t index)
{
	struct content_nonce n = { { 0 } };

	/* Index 2^32 - 1 carries into the part, as the reference's sum does. */
	put_le64(n.b, ((uint64_t)part << 32) + (uint64_t)index + 1);
	return n;
}

void content_nonce_add(struct content_nonce *n, uint64_t by)
{
	for (size_t i = 0; i < sizeof(n->b) && by; i += 8) {
		uint64_t word = get_le64(n->b + i);
		bool carry = __builtin_add_overflow(word, by, &word);
		put_le64(n->b + i, word);
		by = carry;
	}
}

/* A cipher ready for many messages under one key. */
struct cipher_context {
	enum cipher cipher;
	struct aead *aead;     /* AES-GCM */
	struct secret_key key; /* SecretBox */
};

static enum err context_init(struct call *call, struct cipher_context *c, enum cipher cipher,
			     const struct secret_key *key, bool seal)
{
	*c = (struct cipher_context){ .cipher = cipher };
	switch (cipher) {
	case CIPHER_NULL:
		return OK;
	case CIPHER_AESGCM:
		c->aead = aead_new(key, seal);
		return c->aead ? OK : call_fail(call, ERR_NO_MEMORY, "no memory for a cipher");
	case CIPHER_SECRETBOX:
		c->key = *key;
		return OK;
	case CIPHER_UNSPECIFIED:
	case CIPHER_NULL_BASE64URL:
		break;
	}
	return call_fail(call, ERR_INVALID, "content cipher %d is not known", (int)cipher);
}

static void context_fini(struct cipher_context *c)
{
	aead_free(c->aead);
	secret_key_wipe(&c->key);
}

static size_t context_overhead(const struct cipher_context *c)
{
	return c->cipher == CIPHER_NULL ? 0 : AEAD_TAG_BYTES;
}

static enum err context_seal(struct cipher_context *c, const struct content_nonce *nonce,
			     struct bytes plain, uint8_t *out)
{
	if (c->cipher == CIPHER_AESGCM)
		return aead_seal(c->aead, nonce->b, plain, out);
	if (c->cipher == CIPHER_SECRETBOX)
		return secretbox_seal(&c->key, nonce->b, plain, out);
	memcpy(out, plain.data, plain.len);
	return OK;
}

static enum err context_open(struct cipher_context *c, const struct content_nonce *nonce,
			     struct bytes sealed, uint8_t *out)
{
	if (c->cipher == CIPHER_AESGCM)
		return aead_open(c->aead, nonce->b, sealed, out);
	if (c->cipher == CIPHER_SECRETBOX)
		return secretbox_open(&c->key, nonce->b, sealed, out);
	memcpy(out, sealed.data, sealed.len);
	return OK;
}

static enum err check_block(struct call *call, uint32_t block)
{
	if (block < CONTENT_BLOCK_MIN || block > CONTENT_BLOCK_MAX)
		return call_fail(call, ERR_INVALID, "encryption block of %u bytes", block);
	return OK;
}

uint32_t content_block_plain(enum cipher cipher, uint32_t block)
{
	return cipher == CIPHER_NULL ? block : block - AEAD_TAG_BYTES;
}

uint64_t content_encrypted_size(uint64_t plain, uint32_t block)
{
	return div_up(plain + PADDING_MIN, block - AEAD_TAG_BYTES) * block;
}

struct content_sealer {
	struct cipher_context context;
	struct content_nonce next;
	uint32_t block;
	uint8_t *tail; /* two plain blocks, for the padded end */
};

static void sealer_auto(struct content_sealer **s)
{
	content_sealer_free(*s);
}

enum err content_sealer_new(struct call *call, enum cipher cipher, const struct secret_key *key,
			    const struct content_nonce *start, uint32_t block,
			    struct content_sealer **ret)
{
	if (cipher == CIPHER_NULL)
		return call_fail(call, ERR_INVALID, "content is not written without encryption");
	TRY_PLAIN(check_block(call, block));
	struct content_sealer *s AUTO(sealer_auto) = calloc(1, sizeof(*s));
	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "no memory for a cipher");
	s->next = *start;
	s->block = block;
	s->tail = malloc(2 * (size_t)(block - AEAD_TAG_BYTES));
	if (!s->tail)
		return call_fail(call, ERR_NO_MEMORY, "no memory for a cipher");
	TRY_PLAIN(context_init(call, &s->context, cipher, key, true));
	*ret = take(&s);
	return OK;
}

void content_sealer_free(struct content_sealer *s)
{
	if (!s)
		return;
	context_fini(&s->context);
	if (s->tail)
		secret_wipe(s->tail, 2 * (size_t)(s->block - AEAD_TAG_BYTES));
	free(s->tail);
	free(s);
}

enum err content_seal_blocks(struct call *call, struct content_sealer *s, struct bytes plain,
			     uint8_t *out)
{
	size_t step = s->block - AEAD_TAG_BYTES;

	if (plain.len % step)
		return call_fail(call, ERR_INVALID, "%zu bytes are not whole blocks of %zu",
				 plain.len, step);
	for (size_t at = 0; at < plain.len; at += step) {
		TRY(context_seal(&s->context, &s->next, BYTES(plain.data + at, step), out),
		    "encrypting content");
		content_nonce_add(&s->next, 1);
		out += s->block;
	}
	return OK;
}

enum err content_seal_tail(struct call *call, struct content_sealer *s, struct bytes tail,
			   uint64_t n, uint8_t *out, size_t *ret_len)
{
	size_t step = s->block - AEAD_TAG_BYTES;

	if (tail.len >= step || n % step != tail.len)
		return call_fail(call, ERR_INVALID, "%zu bytes are not the tail of a segment",
				 tail.len);
	size_t padded = round_up(tail.len + PADDING_MIN, step);
	if (tail.len)
		memcpy(s->tail, tail.data, tail.len);
	memset(s->tail + tail.len, 0, padded - tail.len);
	put_be32(s->tail + padded - PADDING_MIN, (uint32_t)(padded - tail.len));
	TRY_PLAIN(content_seal_blocks(call, s, BYTES(s->tail, padded), out));
	*ret_len = padded / step * s->block;
	return OK;
}

struct content_opener {
	struct cipher_context context;
	struct content_nonce start;
	uint32_t block;
};

static void opener_auto(struct content_opener **o)
{
	content_opener_free(*o);
}

enum err content_opener_new(struct call *call, enum cipher cipher, const struct secret_key *key,
			    const struct content_nonce *start, uint32_t block,
			    struct content_opener **ret)
{
	TRY_PLAIN(check_block(call, block));
	struct content_opener *o AUTO(opener_auto) = calloc(1, sizeof(*o));
	if (!o)
		return call_fail(call, ERR_NO_MEMORY, "no memory for a cipher");
	o->start = *start;
	o->block = block;
	TRY_PLAIN(context_init(call, &o->context, cipher, key, false));
	*ret = take(&o);
	return OK;
}

void content_opener_free(struct content_opener *o)
{
	if (!o)
		return;
	context_fini(&o->context);
	free(o);
}

enum err content_open_blocks(struct call *call, struct content_opener *o, uint64_t first,
			     struct bytes sealed, uint8_t *out)
{
	struct content_nonce nonce = o->start;
	size_t step = content_block_plain(o->context.cipher, o->block);

	if (sealed.len % o->block)
		return call_fail(call, ERR_INVALID, "%zu bytes are not whole blocks of %u",
				 sealed.len, o->block);
	content_nonce_add(&nonce, first);
	for (size_t at = 0; at < sealed.len; at += o->block) {
		enum err e = context_open(&o->context, &nonce, BYTES(sealed.data + at, o->block),
					  out);
		if (e != OK)
			return call_fail(call, e,
					 "block %llu of the segment is damaged or not of this key",
					 (unsigned long long)first + at / o->block);
		content_nonce_add(&nonce, 1);
		out += step;
	}
	return OK;
}

enum err content_seal(struct call *call, enum cipher cipher, const struct secret_key *key,
		      const struct content_nonce *nonce, struct bytes plain, struct buf *out)
{
	struct cipher_context c AUTO(context_fini) = { 0 };

	TRY_PLAIN(context_init(call, &c, cipher, key, true));
	if (plain.len == 0)
		return OK;
	size_t len = plain.len + context_overhead(&c);
	if (len < plain.len || !buf_reserve(out, len))
		return call_fail(call, ERR_NO_MEMORY, "no room for %zu encrypted bytes", plain.len);
	TRY(context_seal(&c, nonce, plain, out->data + out->len), "encrypting");
	out->len += len;
	return OK;
}

enum err content_open(struct call *call, enum cipher cipher, const struct secret_key *key,
		      const struct content_nonce *nonce, struct bytes sealed, struct buf *out)
{
	struct cipher_context c AUTO(context_fini) = { 0 };

	TRY_PLAIN(context_init(call, &c, cipher, key, false));
	if (sealed.len == 0)
		return OK;
	if (sealed.len < context_overhead(&c))
		return call_fail(call, ERR_FORMAT, "encrypted data is too short");
	size_t len = sealed.len - context_overhead(&c);
	/* One more, so that there is a place to point to for nothing. */
	if (!buf_reserve(out, len + 1))
		return call_fail(call, ERR_NO_MEMORY, "no room for %zu decrypted bytes", len);
	if (context_open(&c, nonce, sealed, out->data + out->len) != OK)
		return call_fail(call, ERR_CRYPTO, "the data is damaged or not of this key");
	out->len += len;
	return OK;
}

enum err content_wrap_key(struct call *call, enum cipher cipher,
			  const struct secret_key *object_key, const struct content_nonce *nonce,
			  const struct secret_key *key, struct buf *out)
{
	TRY(content_seal(call, cipher, object_key, nonce, BYTES_OF(key->b), out), "wrapping a key");
	return OK;
}

enum err content_unwrap_key(struct call *call, enum cipher cipher,
			    const struct secret_key *object_key, const struct content_nonce *nonce,
			    struct bytes wrapped, struct secret_key *ret)
{
	/* One more than a key: content_open asks for it. */
	struct buf key AUTO_SECRET_BUF = BUF_INIT(SECRET_KEY_BYTES + 1);

	if (wrapped.len > CONTENT_WRAPPED_KEY_BYTES)
		return call_fail(call, ERR_FORMAT, "a wrapped key of %zu bytes", wrapped.len);
	TRY(content_open(call, cipher, object_key, nonce, wrapped, &key),
	    "the key of the object cannot be unwrapped");
	if (key.len != SECRET_KEY_BYTES)
		return call_fail(call, ERR_FORMAT, "a wrapped key of %zu bytes", wrapped.len);
	memcpy(ret->b, key.data, SECRET_KEY_BYTES);
	return OK;
}

void content_etag_key(const struct secret_key *segment_key, struct secret_key *ret)
{
	derive_key(segment_key, bytes_str("storj-etag-v1"), ret);
}
