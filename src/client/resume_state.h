/*
 * What an interrupted transfer leaves behind, as bytes: fields, sealed under a key of the grant.
 * Two slots of a file hold the two newest states (resume_file.h).  docs/design/transfers.md.
 */
#ifndef ACRE_CLIENT_RESUME_STATE_H
#define ACRE_CLIENT_RESUME_STATE_H

#include "base/call.h"
#include "crypto/secret.h"
#include "identity/identity.h"

enum resume_kind { RESUME_UPLOAD = 1, RESUME_DOWNLOAD = 2 };

enum {
	RESUME_SLOT_BYTES = 16 << 10,
	RESUME_STREAM_ID_MAX = 8 << 10,
	RESUME_SOURCE_BYTES_MAX = 256,
	RESUME_GUARD_BYTES_MAX = 64,
	RESUME_OBJECT_BYTES = 32,
	RESUME_SEGMENTS_MAX = 1 << 20,
};

struct resume_state {
	enum resume_kind kind;
	uint64_t sequence; /* rises from one state to the next */
	struct node_id satellite;
	/* Upload. */
	struct bytes stream_id; /* of the pending object; views, as all bytes here */
	struct bytes source;	/* what must not have changed */
	uint64_t segment_size;	/* plain */
	uint32_t segments;	/* from the first on, stored and committed */
	/* Download. */
	struct bytes object; /* RESUME_OBJECT_BYTES that change when the object does */
	uint64_t size, offset;
	struct bytes guard; /* the caller's */
};

/* As fields (protobuf wire format). */
enum err resume_state_encode(const struct resume_state *s, struct buf *out) MUST_USE;
/* ERR_FORMAT: not such bytes, or numbers that cannot be.  Views into the input. */
enum err resume_state_parse(struct bytes in, struct resume_state *ret) MUST_USE;

/* The key for the states of one object under one grant, from its content key. */
void resume_key(const struct secret_key *content_key, struct secret_key *ret);
/* A slot: every one is sealed under a key of its own (a random salt), so that no state shares key
 * and nonce with another. */
enum err resume_seal(struct call *call, const struct secret_key *key, const struct resume_state *s,
		     uint8_t slot[RESUME_SLOT_BYTES]) MUST_USE;
/* ERR_NOT_FOUND: an empty slot.  ERR_PERMISSION: sealed under another key.  ERR_CRYPTO: damaged.
 * Views into `room`. */
enum err resume_open(struct call *call, const struct secret_key *key,
		     const uint8_t slot[RESUME_SLOT_BYTES], struct buf *room,
		     struct resume_state *ret) MUST_USE;

#endif
