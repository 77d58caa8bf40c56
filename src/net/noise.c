/* Noise_IK_25519_{ChaChaPoly,AESGCM}_BLAKE2b; the names h, ck and k are those of the Noise paper.
 */
#include "net/noise.h"

#include "base/cleanup.h"
#include "base/num.h"

enum { FIRST_BYTE = 0x80 };

/* ---- framing (noise.md 4) ---- */

void noise_put_header(uint8_t out[NOISE_HEADER_BYTES], size_t len)
{
	out[0] = FIRST_BYTE;
	out[1] = (uint8_t)(len >> 16);
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
}

enum err noise_parse_header(enum noise_message kind, struct bytes v, size_t *ret_len)
{
	static const size_t overhead[] = {
		[NOISE_FIRST] = NOISE_FIRST_OVERHEAD,
		[NOISE_SECOND] = NOISE_SECOND_OVERHEAD,
		[NOISE_RECORD] = AEAD_TAG_BYTES,
	};

	if (v.len && v.data[0] != FIRST_BYTE)
		return ERR_PROTOCOL;
	if (v.len < NOISE_HEADER_BYTES)
		return ERR_WOULD_BLOCK;
	size_t len = (size_t)v.data[1] << 16 | (size_t)v.data[2] << 8 | v.data[3];
	if (len < overhead[kind] || len > overhead[kind] + NOISE_PLAIN_MAX)
		return ERR_PROTOCOL;
	*ret_len = len;
	return OK;
}

/* ---- ciphers ---- */

static enum aead_algorithm aead_of(enum noise_suite suite)
{
	return suite == NOISE_AESGCM ? AEAD_AES_256_GCM : AEAD_CHACHA20_POLY1305;
}

static enum err cipher_init(struct noise_cipher *c, enum noise_suite suite,
			    const struct secret_key *key, bool seal)
{
	*c = (struct noise_cipher){ .suite = suite,
				    .aead = aead_new_with(aead_of(suite), key, seal) };
	return c->aead ? OK : ERR_NO_MEMORY;
}

void noise_cipher_free(struct noise_cipher *c)
{
	aead_free(c->aead);
	c->aead = NULL;
}

/* The counter's byte order is the suite's (noise.md 2). */
static enum err next_nonce(struct noise_cipher *c, uint8_t out[AEAD_NONCE_BYTES])
{
	if (c->counter == UINT64_MAX)
		return ERR_EXHAUSTED;
	memset(out, 0, 4);
	if (c->suite == NOISE_AESGCM)
		put_be64(out + 4, c->counter);
	else
		put_le64(out + 4, c->counter);
	c->counter++;
	return OK;
}

enum err noise_seal(struct noise_cipher *c, struct bytes plain, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_BYTES];

	TRY_PLAIN(next_nonce(c, nonce));
	return aead_seal(c->aead, nonce, plain, out);
}

enum err noise_open(struct noise_cipher *c, struct bytes sealed, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_BYTES];

	TRY_PLAIN(next_nonce(c, nonce));
	return aead_open(c->aead, nonce, sealed, out);
}

/* ---- steps of the handshake (noise.md 3) ---- */

enum err noise_key_init(struct noise_key *k, const struct secret_key *private)
{
	k->private = *private;
	return x25519_public(private, k->public);
}

void noise_handshake_wipe(struct noise_handshake *hs)
{
	secret_wipe(hs, sizeof(*hs));
}

static void mix_hash(struct noise_handshake *hs, struct bytes data)
{
	const struct bytes parts[] = { BYTES_OF(hs->h), data };

	hash_blake2b(parts, ARRAY_LEN(parts), hs->h);
}

/* Two outputs of HKDF with ck as salt: the first replaces ck. */
static void hkdf(struct noise_handshake *hs, struct bytes input, uint8_t second[NOISE_HASH_BYTES])
{
	uint8_t t[NOISE_HASH_BYTES], one = 1, two = 2;

	hmac_blake2b(BYTES_OF(hs->ck), &input, 1, t);
	const struct bytes first = BYTES(&one, 1);
	hmac_blake2b(BYTES_OF(t), &first, 1, hs->ck);
	const struct bytes parts[] = { BYTES_OF(hs->ck), BYTES(&two, 1) };
	hmac_blake2b(BYTES_OF(t), parts, ARRAY_LEN(parts), second);
	secret_wipe(t, sizeof(t));
}

static void key_of(const uint8_t half[NOISE_HASH_BYTES], struct secret_key *ret)
{
	memcpy(ret->b, half, sizeof(ret->b));
}

/* Mixes the shared secret of our key and theirs. */
static enum err mix_key(struct noise_handshake *hs, const struct noise_key *ours,
			const uint8_t theirs[X25519_BYTES])
{
	uint8_t second[NOISE_HASH_BYTES];
	struct secret_key shared;

	TRY_PLAIN(x25519_shared(&ours->private, theirs, &shared));
	hkdf(hs, BYTES_OF(shared.b), second);
	key_of(second, &hs->k);
	secret_wipe(second, sizeof(second));
	secret_key_wipe(&shared);
	return OK;
}

/* Every k of this pattern seals at most one thing, so the nonce is always zero. */
static const uint8_t zero_nonce[AEAD_NONCE_BYTES];

static enum err seal_and_hash(struct noise_handshake *hs, struct bytes plain, uint8_t *out)
{
	struct aead *a = aead_new_with(aead_of(hs->suite), &hs->k, true);

	if (!a)
		return ERR_NO_MEMORY;
	enum err e = aead_seal_ad(a, zero_nonce, BYTES_OF(hs->h), plain, out);
	aead_free(a);
	TRY_PLAIN(e);
	mix_hash(hs, BYTES(out, plain.len + AEAD_TAG_BYTES));
	return OK;
}

/* In place, so the hash is taken first; what does not authenticate ends the handshake anyway. */
static enum err open_and_hash(struct noise_handshake *hs, uint8_t *sealed, size_t len)
{
	uint8_t h[NOISE_HASH_BYTES];
	struct aead *a = aead_new_with(aead_of(hs->suite), &hs->k, false);

	if (!a)
		return ERR_NO_MEMORY;
	memcpy(h, hs->h, sizeof(h));
	mix_hash(hs, BYTES(sealed, len));
	enum err e = aead_open_ad(a, zero_nonce, BYTES_OF(h), BYTES(sealed, len), sealed);
	aead_free(a);
	return e;
}

static enum err split(struct noise_handshake *hs, bool client, struct noise_session *ret)
{
	uint8_t second[NOISE_HASH_BYTES];
	struct secret_key up, down;
	struct noise_session s = { 0 };

	hkdf(hs, BYTES_NONE, second);
	key_of(hs->ck, &up);
	key_of(second, &down);
	memcpy(s.hash, hs->h, sizeof(s.hash));
	enum err e = cipher_init(&s.seal, hs->suite, client ? &up : &down, true);
	if (!e)
		e = cipher_init(&s.open, hs->suite, client ? &down : &up, false);
	secret_wipe(second, sizeof(second));
	secret_key_wipe(&up);
	secret_key_wipe(&down);
	if (e) {
		noise_cipher_free(&s.seal);
		return e;
	}
	*ret = s;
	return OK;
}

static enum err start(struct noise_handshake *hs, enum noise_suite suite,
		      const uint8_t node[X25519_BYTES])
{
	const char *name = suite == NOISE_CHACHAPOLY ? "Noise_IK_25519_ChaChaPoly_BLAKE2b"
						     : "Noise_IK_25519_AESGCM_BLAKE2b";

	if (suite != NOISE_CHACHAPOLY && suite != NOISE_AESGCM)
		return ERR_INVALID;
	*hs = (struct noise_handshake){ .suite = suite };
	memcpy(hs->h, name, strlen(name));
	memcpy(hs->ck, hs->h, sizeof(hs->ck));
	mix_hash(hs, BYTES_NONE); /* the empty prologue */
	mix_hash(hs, BYTES(node, X25519_BYTES));
	return OK;
}

/* ---- client ---- */

enum err noise_client_start(struct noise_handshake *hs, enum noise_suite suite,
			    const uint8_t node[X25519_BYTES], const struct secret_key *ephemeral,
			    const struct secret_key *own)
{
	TRY_PLAIN(start(hs, suite, node));
	memcpy(hs->peer, node, X25519_BYTES);
	TRY_PLAIN(noise_key_init(&hs->ephemeral, ephemeral));
	return noise_key_init(&hs->own, own);
}

enum err noise_client_write(struct noise_handshake *hs, struct bytes payload, uint8_t *out)
{
	if (payload.len > NOISE_PLAIN_MAX)
		return ERR_INVALID;
	memcpy(out, hs->ephemeral.public, X25519_BYTES);
	mix_hash(hs, BYTES(out, X25519_BYTES));
	TRY_PLAIN(mix_key(hs, &hs->ephemeral, hs->peer));
	TRY_PLAIN(seal_and_hash(hs, BYTES_OF(hs->own.public), out + X25519_BYTES));
	TRY_PLAIN(mix_key(hs, &hs->own, hs->peer));
	memcpy(hs->first_h, hs->h, sizeof(hs->h));
	return seal_and_hash(hs, payload, out + NOISE_FIRST_BEFORE);
}

enum err noise_client_reopen(const struct noise_handshake *hs, struct bytes sealed, uint8_t *out)
{
	struct aead *a = aead_new_with(aead_of(hs->suite), &hs->k, false);

	if (!a)
		return ERR_NO_MEMORY;
	enum err e = aead_open_ad(a, zero_nonce, BYTES_OF(hs->first_h), sealed, out);
	aead_free(a);
	return e;
}

enum err noise_client_read(struct noise_handshake *hs, uint8_t *message, size_t len,
			   struct bytes *ret_payload, struct noise_session *ret)
{
	if (len < NOISE_SECOND_OVERHEAD)
		return ERR_PROTOCOL;
	memcpy(hs->peer_ephemeral, message, X25519_BYTES);
	mix_hash(hs, BYTES(message, X25519_BYTES));
	TRY_PLAIN(mix_key(hs, &hs->ephemeral, hs->peer_ephemeral));
	TRY_PLAIN(mix_key(hs, &hs->own, hs->peer_ephemeral));
	TRY_PLAIN(open_and_hash(hs, message + NOISE_SECOND_BEFORE, len - NOISE_SECOND_BEFORE));
	TRY_PLAIN(split(hs, true, ret));
	*ret_payload = BYTES(message + NOISE_SECOND_BEFORE, len - NOISE_SECOND_OVERHEAD);
	return OK;
}

/* ---- server ---- */

enum err noise_server_start(struct noise_handshake *hs, enum noise_suite suite,
			    const struct noise_key *own)
{
	TRY_PLAIN(start(hs, suite, own->public));
	hs->own = *own;
	return OK;
}

enum err noise_server_read(struct noise_handshake *hs, uint8_t *message, size_t len,
			   struct bytes *ret_payload)
{
	if (len < NOISE_FIRST_OVERHEAD)
		return ERR_PROTOCOL;
	memcpy(hs->peer_ephemeral, message, X25519_BYTES);
	mix_hash(hs, BYTES(message, X25519_BYTES));
	TRY_PLAIN(mix_key(hs, &hs->own, hs->peer_ephemeral));
	TRY_PLAIN(open_and_hash(hs, message + X25519_BYTES, X25519_BYTES + AEAD_TAG_BYTES));
	memcpy(hs->peer, message + X25519_BYTES, X25519_BYTES);
	TRY_PLAIN(mix_key(hs, &hs->own, hs->peer));
	TRY_PLAIN(open_and_hash(hs, message + NOISE_FIRST_BEFORE, len - NOISE_FIRST_BEFORE));
	*ret_payload = BYTES(message + NOISE_FIRST_BEFORE, len - NOISE_FIRST_OVERHEAD);
	return OK;
}

enum err noise_server_write(struct noise_handshake *hs, const struct secret_key *ephemeral,
			    struct bytes payload, uint8_t *out, struct noise_session *ret)
{
	if (payload.len > NOISE_PLAIN_MAX)
		return ERR_INVALID;
	TRY_PLAIN(noise_key_init(&hs->ephemeral, ephemeral));
	memcpy(out, hs->ephemeral.public, X25519_BYTES);
	mix_hash(hs, BYTES(out, X25519_BYTES));
	TRY_PLAIN(mix_key(hs, &hs->ephemeral, hs->peer_ephemeral));
	TRY_PLAIN(mix_key(hs, &hs->ephemeral, hs->peer));
	TRY_PLAIN(seal_and_hash(hs, payload, out + NOISE_SECOND_BEFORE));
	return split(hs, false, ret);
}
