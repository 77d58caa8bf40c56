/*
 * Signatures.  ECDSA P-256 (and RSA-PSS for foreign chains) over SHA-256 of the message, DER form
 * (orders.md 1); Ed25519 over the message itself for orders and piece hashes.
 */
#ifndef ACRE_CRYPTO_SIGN_H
#define ACRE_CRYPTO_SIGN_H

#include "base/bytes.h"
#include "base/call.h"

struct private_key; /* ECDSA P-256; owned */
struct public_key;  /* ECDSA of any curve OpenSSL knows, or RSA; owned; usable by many threads */

enum {
	SIGNATURE_MAX = 512,
	ED25519_PUBLIC_BYTES = 32,
	ED25519_PRIVATE_BYTES = 64,
	ED25519_SIGNATURE_BYTES = 64,
	PRIVATE_KEY_DER_MAX = 4096
};

enum err private_key_generate(struct call *call, struct private_key **ret) MUST_USE;
/* PEM "PRIVATE KEY" (PKCS#8) or "EC PRIVATE KEY" (SEC1); only the first block is looked at. */
enum err private_key_from_pem(struct call *call, struct bytes pem,
			      struct private_key **ret) MUST_USE;
/* PKCS#8 PEM; `out` should be a buffer freed with buf_free_secret. */
enum err private_key_to_pem(struct call *call, const struct private_key *k,
			    struct buf *out) MUST_USE;
/* PKCS#8 DER, as to_pem's content: the same bytes Go writes. */
enum err private_key_to_der(struct call *call, const struct private_key *k,
			    struct buf *out) MUST_USE;
void private_key_free(struct private_key *k);
/* SubjectPublicKeyInfo DER of the public half. */
enum err private_key_public_der(struct call *call, const struct private_key *k,
				struct buf *out) MUST_USE;
/* Appends the DER signature over SHA-256(message). */
enum err private_key_sign(struct call *call, const struct private_key *k, struct bytes message,
			  struct buf *out) MUST_USE;

/* From SubjectPublicKeyInfo DER. */
enum err public_key_from_der(struct call *call, struct bytes spki,
			     struct public_key **ret) MUST_USE;
void public_key_free(struct public_key *k);
/* ERR_CRYPTO if the signature is not good.  ECDSA DER, or RSA-PSS when the key is RSA. */
enum err public_key_verify(struct call *call, const struct public_key *k, struct bytes message,
			   struct bytes signature) MUST_USE;

/* Ed25519; private = seed || public, as in metainfo answers. */
struct ed25519_private {
	uint8_t b[ED25519_PRIVATE_BYTES];
};
enum err ed25519_generate(struct call *call, struct ed25519_private *ret_private,
			  uint8_t ret_public[ED25519_PUBLIC_BYTES]) MUST_USE;
/* A prepared signer, for many signatures with one key. */
struct ed25519_signer;
enum err ed25519_signer_new(struct call *call, const struct ed25519_private *key,
			    struct ed25519_signer **ret) MUST_USE;
void ed25519_signer_free(struct ed25519_signer *s);
enum err ed25519_sign(struct call *call, const struct ed25519_signer *s, struct bytes message,
		      uint8_t out[ED25519_SIGNATURE_BYTES]) MUST_USE;
/* A prepared verifier, for many checks against one key. */
struct ed25519_verifier;
enum err ed25519_verifier_new(struct call *call, struct bytes public_key,
			      struct ed25519_verifier **ret) MUST_USE;
void ed25519_verifier_free(struct ed25519_verifier *v);
enum err ed25519_verify(struct call *call, const struct ed25519_verifier *v, struct bytes message,
			struct bytes signature) MUST_USE;

#endif
