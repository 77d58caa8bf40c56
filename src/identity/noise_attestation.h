/* A node's word that a Noise key is its own (noise.md 6): signed by its leaf key, at check-in. */
#ifndef ACRE_IDENTITY_NOISE_ATTESTATION_H
#define ACRE_IDENTITY_NOISE_ATTESTATION_H

#include "identity/identity.h"
#include "proto/noise.pb-c.h"

/* Attests the key; the message lives in `a`. */
enum err noise_attestation_new(struct call *call, struct arena *a, const struct identity *identity,
			       int32_t suite, struct bytes public_key, int64_t now_unix_ns,
			       Noise__NoiseKeyAttestation **ret) MUST_USE;
/* ERR_UNAUTHENTICATED (and what chains fail with) unless node `expected` signed it.  As in the
 * reference, age, suite and length of the key are not looked at. */
enum err noise_attestation_verify(struct call *call, const Noise__NoiseKeyAttestation *m,
				  const struct node_id *expected) MUST_USE;

#endif
