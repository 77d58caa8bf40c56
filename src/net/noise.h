/*
 * Noise_IK between uplink and node (noise.md 2 to 4): handshake and records as functions over
 * memory.  Nothing here waits, allocates per record, or knows about sockets; randomness comes from
 * the caller.  A failed handshake or record is for good: the object must not be used again.
 */
#ifndef ACRE_NET_NOISE_H
#define ACRE_NET_NOISE_H

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"
#include "net/net.h"

enum {
	NOISE_HASH_BYTES = BLAKE2B_BYTES,
	NOISE_HEADER_BYTES = 4,
	NOISE_PLAIN_MAX = 65535, /* more makes a Go reader panic */
	/* What lies around the payload of a message; the tag is behind it. */
	NOISE_FIRST_BEFORE = X25519_BYTES + X25519_BYTES + AEAD_TAG_BYTES,
	NOISE_SECOND_BEFORE = X25519_BYTES,
	NOISE_FIRST_OVERHEAD = NOISE_FIRST_BEFORE + AEAD_TAG_BYTES,
	NOISE_SECOND_OVERHEAD = NOISE_SECOND_BEFORE + AEAD_TAG_BYTES,
};

enum noise_message { NOISE_FIRST, NOISE_SECOND, NOISE_RECORD };

/* The header in front of every message.  parse: OK with the length of what follows, ERR_WOULD_BLOCK
 * when cut off, ERR_PROTOCOL when it is none or its length is not possible for that message. */
void noise_put_header(uint8_t out[NOISE_HEADER_BYTES], size_t len);
enum err noise_parse_header(enum noise_message kind, struct bytes v, size_t *ret_len) MUST_USE;

/* A key pair. */
struct noise_key {
	struct secret_key private;
	uint8_t public[X25519_BYTES];
};
enum err noise_key_init(struct noise_key *k, const struct secret_key *private) MUST_USE;

/* One direction of an established session. */
struct noise_cipher {
	struct aead *aead;
	enum noise_suite suite;
	uint64_t counter;
};
void noise_cipher_free(struct noise_cipher *c);
/* out has plain.len + AEAD_TAG_BYTES and does not overlap plain unless equal; no header. */
enum err noise_seal(struct noise_cipher *c, struct bytes plain, uint8_t *out) MUST_USE;
/* out has room for sealed.len - AEAD_TAG_BYTES; may be sealed's own place.  ERR_CRYPTO. */
enum err noise_open(struct noise_cipher *c, struct bytes sealed, uint8_t *out) MUST_USE;

/* What a finished handshake leaves. */
struct noise_session {
	struct noise_cipher seal, open;
	uint8_t hash[NOISE_HASH_BYTES];
};

struct noise_handshake {
	enum noise_suite suite;
	uint8_t h[NOISE_HASH_BYTES], ck[NOISE_HASH_BYTES];
	struct secret_key k;
	struct noise_key ephemeral, own;
	uint8_t peer_ephemeral[X25519_BYTES], peer[X25519_BYTES];
	uint8_t first_h[NOISE_HASH_BYTES]; /* client: before the payload of the first message */
};
void noise_handshake_wipe(struct noise_handshake *hs);

/* Client: both private keys are fresh for this connection.  The order is start, write, read. */
enum err noise_client_start(struct noise_handshake *hs, enum noise_suite suite,
			    const uint8_t node[X25519_BYTES], const struct secret_key *ephemeral,
			    const struct secret_key *own) MUST_USE;
/* out has payload.len + NOISE_FIRST_OVERHEAD; the payload may lie at its place in there already. */
enum err noise_client_write(struct noise_handshake *hs, struct bytes payload,
			    uint8_t *out) MUST_USE;
/* Between write and read: opens the payload of our own first message again, for sending it by other
 * means.  `sealed` is what write put behind NOISE_FIRST_BEFORE. */
enum err noise_client_reopen(const struct noise_handshake *hs, struct bytes sealed,
			     uint8_t *out) MUST_USE;
/* The payload is decrypted in place. */
enum err noise_client_read(struct noise_handshake *hs, uint8_t *message, size_t len,
			   struct bytes *ret_payload, struct noise_session *ret) MUST_USE;

/* Server: start, read, write.  own is the attested key. */
enum err noise_server_start(struct noise_handshake *hs, enum noise_suite suite,
			    const struct noise_key *own) MUST_USE;
enum err noise_server_read(struct noise_handshake *hs, uint8_t *message, size_t len,
			   struct bytes *ret_payload) MUST_USE;
/* out has payload.len + NOISE_SECOND_OVERHEAD. */
enum err noise_server_write(struct noise_handshake *hs, const struct secret_key *ephemeral,
			    struct bytes payload, uint8_t *out, struct noise_session *ret) MUST_USE;

#endif
