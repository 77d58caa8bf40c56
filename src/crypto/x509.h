/*
 * Certificates as Storj uses them (transport.md 4.1, 5).  No path building, no dates, no names:
 * a chain is a list in which each is signed by the next, and the check is always SHA-256 over the
 * TBS bytes, whatever the certificate declares.
 */
#ifndef ACRE_CRYPTO_X509_H
#define ACRE_CRYPTO_X509_H

#include "base/bytes.h"
#include "base/call.h"
#include "crypto/sign.h"

enum { X509_DER_MAX = 16 << 10 };

/* Bits of key_usage, numbered as in RFC 5280 4.2.1.3. */
enum {
	X509_USAGE_DIGITAL_SIGNATURE = 1 << 0,
	X509_USAGE_KEY_ENCIPHERMENT = 1 << 2,
	X509_USAGE_CERT_SIGN = 1 << 5,
};

/* A parsed certificate: views into the DER it was parsed from, which must outlive it. */
struct x509 {
	struct bytes der;	/* this certificate alone */
	struct bytes tbs;	/* what is signed, tag and length included */
	struct bytes signature; /* content of the bit string */
	struct bytes spki;	/* SubjectPublicKeyInfo, tag and length included */
	unsigned edition;	/* X.509 version: 1, 2 or 3 */
	bool has_constraints;	/* basic constraints present */
	bool is_ca;
	bool has_key_usage;
	uint16_t key_usage;
	bool has_version; /* extension 2.999.2.1 with exactly one raw byte */
	uint8_t version;
};

/* Parses the certificate at the front of der; *ret_rest is what follows (chains in messages are
 * concatenations).  ERR_FORMAT when it is none or longer than X509_DER_MAX. */
enum err x509_parse_next(struct call *call, struct bytes der, struct x509 *ret,
			 struct bytes *ret_rest) MUST_USE;
/* The same for exactly one certificate, nothing behind it. */
enum err x509_parse(struct call *call, struct bytes der, struct x509 *ret) MUST_USE;
/* The certificate's key.  ERR_FORMAT when it is none that public_key_from_der knows. */
enum err x509_public_key(struct call *call, const struct x509 *cert,
			 struct public_key **ret) MUST_USE;
/* transport.md 5 item 2: SHA-256 over TBS, ECDSA of any curve or RSA-PSS.  ERR_CRYPTO if not. */
enum err x509_check_signature(struct call *call, const struct x509 *cert,
			      const struct public_key *issuer) MUST_USE;
/* The further demands of item 3 on a CA: CA flag (an X.509 version 3 certificate must say so), and
 * certSign if there is a key usage. */
bool x509_may_sign(const struct x509 *ca);

/* Certificates of our own, made exactly as transport.md 4.1 says; the DER is appended to out. */
enum err x509_create_ca(struct call *call, const struct private_key *key, uint8_t version,
			struct buf *out) MUST_USE;
/* A CA certificate signed by a parent CA's key instead of its own. */
enum err x509_create_ca_signed(struct call *call, const struct private_key *key, uint8_t version,
			       const struct private_key *parent, struct buf *out) MUST_USE;
enum err x509_create_leaf(struct call *call, const struct private_key *key,
			  const struct private_key *ca_key, struct buf *out) MUST_USE;

#endif
