/* Content encryption (encryption.md 3, 4): wrapped keys, nonces, padding, blocks, metadata. */
#ifndef ACRE_ACCESS_CONTENT_H
#define ACRE_ACCESS_CONTENT_H

#include "access/path_cipher.h"
#include "crypto/aead.h"

enum {
	CONTENT_BLOCK_MIN = 32, /* what we accept from others */
	CONTENT_BLOCK_MAX = 16 << 20,
	CONTENT_NONCE_BYTES = 24,
	CONTENT_BLOCK_BYTES = 7424, /* encrypted; 7408 plain */
	CONTENT_SEGMENT_BYTES = 64 << 20,
	CONTENT_INLINE_MAX = 4096,
	CONTENT_WRAPPED_KEY_BYTES = 48,
	CONTENT_METADATA_MAX = 2 << 10,
};

struct content_nonce {
	uint8_t b[CONTENT_NONCE_BYTES];
};

/* Little-endian integer (part << 32) | (index + 1). */
struct content_nonce content_start_nonce(uint32_t part, uint32_t index);
/* Little-endian addition with carry. */
void content_nonce_add(struct content_nonce *n, uint64_t by);
/* Wraps a 32-byte key with AES-GCM (or the cipher) under the object's content key. */
enum err content_wrap_key(struct call *call, enum cipher cipher,
			  const struct secret_key *object_key, const struct content_nonce *nonce,
			  const struct secret_key *key, struct buf *out) MUST_USE;
enum err content_unwrap_key(struct call *call, enum cipher cipher,
			    const struct secret_key *object_key, const struct content_nonce *nonce,
			    struct bytes wrapped, struct secret_key *ret) MUST_USE;
/* Plain bytes in a block of `block` encrypted ones; without cipher they are the same. */
uint32_t content_block_plain(enum cipher cipher, uint32_t block);
/* Size after padding and block encryption of n plain bytes; block = encrypted block size. */
uint64_t content_encrypted_size(uint64_t plain, uint32_t block);

/* Streams a segment: feed plain bytes, get whole encrypted blocks; finish adds the padding.  Only
 * ciphers AES-GCM and SecretBox: nothing is written in the clear.  ERR_INVALID for a block size
 * outside of CONTENT_BLOCK_MIN and _MAX. */
struct content_sealer;
enum err content_sealer_new(struct call *call, enum cipher cipher, const struct secret_key *key,
			    const struct content_nonce *start, uint32_t block,
			    struct content_sealer **ret) MUST_USE;
void content_sealer_free(struct content_sealer *s);
/* Encrypts blocks of block-16 plain bytes: plain.len must be a multiple; out has the blocks. */
enum err content_seal_blocks(struct call *call, struct content_sealer *s, struct bytes plain,
			     uint8_t *out) MUST_USE;
/* The padded tail (0..block-17 plain bytes, total plain size n) as one or two blocks in out
 * (2*block room); *ret_len says how many bytes. */
enum err content_seal_tail(struct call *call, struct content_sealer *s, struct bytes tail,
			   uint64_t n, uint8_t *out, size_t *ret_len) MUST_USE;
/* Decrypts whole blocks beginning with block number `first`; out has the plain bytes (padding
 * included), content_block_plain() of each.  ERR_CRYPTO names the block. */
struct content_opener;
enum err content_opener_new(struct call *call, enum cipher cipher, const struct secret_key *key,
			    const struct content_nonce *start, uint32_t block,
			    struct content_opener **ret) MUST_USE;
void content_opener_free(struct content_opener *o);
enum err content_open_blocks(struct call *call, struct content_opener *o, uint64_t first,
			     struct bytes sealed, uint8_t *out) MUST_USE;

/* One-shot forms: inline segments, metadata, ETags (n bytes <-> n + 16; 0 <-> 0). */
enum err content_seal(struct call *call, enum cipher cipher, const struct secret_key *key,
		      const struct content_nonce *nonce, struct bytes plain,
		      struct buf *out) MUST_USE;
enum err content_open(struct call *call, enum cipher cipher, const struct secret_key *key,
		      const struct content_nonce *nonce, struct bytes sealed,
		      struct buf *out) MUST_USE;
/* derive(segment key, "storj-etag-v1") */
void content_etag_key(const struct secret_key *segment_key, struct secret_key *ret);

#endif
