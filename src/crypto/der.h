/* Distinguished encoding rules: the little that certificates and keys need. */
#ifndef ACRE_CRYPTO_DER_H
#define ACRE_CRYPTO_DER_H

#include "base/wire.h"

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_NULL = 0x05,
	DER_OID = 0x06,
	DER_PRINTABLE_STRING = 0x13,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	DER_CONTEXT_1 = 0x81, /* implicit, primitive */
	DER_CONTEXT_2 = 0x82,
	DER_CONTEXT_0_EXPLICIT = 0xa0,
	DER_CONTEXT_3_EXPLICIT = 0xa3,
};

/* The next element must have this tag: its content, and in *ret_whole (may be NULL) the element
 * with tag and length.  Lengths must be minimal.  Otherwise empty, and the sticky failure. */
struct bytes der_take(struct wire *w, uint8_t tag, struct bytes *ret_whole);
/* True, with the content, if the next element has this tag; false (no failure) if it has not. */
bool der_take_optional(struct wire *w, uint8_t tag, struct bytes *ret);
/* Content of a bit string of whole bytes. */
struct bytes der_take_bits(struct wire *w);

/* Appends tag, length and content. */
void der_add(struct buf *out, uint8_t tag, struct bytes content);

#endif
