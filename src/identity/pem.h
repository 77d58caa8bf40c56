/* PEM blocks (RFC 7468), as far as certificate files need them. */
#ifndef ACRE_IDENTITY_PEM_H
#define ACRE_IDENTITY_PEM_H

#include "base/bytes.h"

/* Finds the next block in *text and moves *text behind it; appends its bytes to `der` when the
 * label is the wanted one (*ret_matched tells).  ERR_NOT_FOUND at the end, ERR_FORMAT for a block
 * without end line or with bad base64. */
enum err pem_next(struct bytes *text, const char *label, struct buf *der,
		  bool *ret_matched) MUST_USE;
void pem_add(struct buf *out, const char *label, struct bytes der);

#endif
