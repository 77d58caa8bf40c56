/* Between the files of this room. */
#ifndef ACRE_IDENTITY_INTERNAL_H
#define ACRE_IDENTITY_INTERNAL_H

#include "identity/identity.h"

/* SubjectPublicKeyInfo of certificate i; empty beyond the end. */
struct bytes cert_chain_spki(const struct cert_chain *c, size_t i);
/* Appends the DER of all CERTIFICATE blocks. */
enum err identity_chain_from_pem(struct call *call, struct bytes pem, struct buf *der) MUST_USE;
/* A CA certificate for `ca` and a leaf for `leaf` signed by it, each appended to its buffer. */
enum err identity_chain_create(struct call *call, const struct private_key *ca,
			       const struct private_key *leaf, struct buf *ret_leaf,
			       struct buf *ret_ca) MUST_USE;

#endif
