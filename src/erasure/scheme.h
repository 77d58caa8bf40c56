/* Redundancy schemes "k/m/o/n-e", padding and piece sizes (erasure.md 1, 2). */
#ifndef ACRE_ERASURE_SCHEME_H
#define ACRE_ERASURE_SCHEME_H

#include "base/bytes.h"

enum { SCHEME_SHARE_SIZE = 256 }; /* unless told otherwise */

struct scheme {
	uint16_t required;   /* k */
	uint16_t repair;     /* m */
	uint16_t success;    /* o */
	uint16_t total;	     /* n */
	uint32_t share_size; /* e, bytes */
};

/* 1 <= k <= m <= o <= n <= 256, 0 for m or o meaning n (as uplink); e > 0; else ERR_INVALID. */
enum err scheme_check(struct scheme *s) MUST_USE;
/* "4/6/8/10" or "4/6/8/10-256B" (256 when absent). */
enum err scheme_parse(struct bytes text, struct scheme *ret) MUST_USE;
void scheme_add_text(struct buf *out, const struct scheme *s);
/* The satellite's 64-bit form: bytes type, e (3, little endian), k, m, o, n. 256 wraps to 0.  What
 * comes out of a database goes through scheme_check before it is used. */
uint64_t scheme_pack(const struct scheme *s);
struct scheme scheme_unpack(uint64_t packed);
static inline uint32_t scheme_stripe_size(const struct scheme *s)
{
	return (uint32_t)s->required * s->share_size;
}
/* Size of every piece of a segment of encrypted_size bytes, padding included. */
uint64_t scheme_piece_size(const struct scheme *s, uint64_t encrypted_size);
/* Padding that follows `size` bytes to reach a multiple of `unit`: zeros, then its own length as
 * 4 bytes big endian; at least 4 (encryption.md 3.3, erasure.md 2.1). */
uint32_t pad_length(uint64_t size, uint32_t unit);

#endif
