/* Certificates taken apart and made by hand: only the parts that Storj looks at. */
#include "crypto/x509.h"

#include "base/cleanup.h"
#include "crypto/der.h"
#include "crypto/hash.h"
#include "os/random.h"

enum {
	EXTENSIONS_MAX = 64,
	SERIAL_BYTES = 16,
	SKI_BYTES = 20,
	SMALL_MAX = 1 << 10,
	CERT_MAX = 2 << 10
};

static const struct bytes oid_key_usage = BYTES("\x55\x1d\x0f", 3);
static const struct bytes oid_basic_constraints = BYTES("\x55\x1d\x13", 3);
static const struct bytes oid_version = BYTES("\x88\x37\x02\x01", 4); /* 2.999.2.1 */

/* ---- reading ---- */

static bool parse_constraints(struct bytes value, struct x509 *c)
{
	struct wire outer = wire_read(value);
	struct wire w = wire_read(der_take(&outer, DER_SEQUENCE, NULL));
	struct bytes ca = BYTES_NONE, path_length;

	if (der_take_optional(&w, DER_BOOLEAN, &ca)) {
		if (ca.len != 1 || (ca.data[0] != 0 && ca.data[0] != 0xff))
			return false;
		c->is_ca = ca.data[0] != 0;
	}
	der_take_optional(&w, DER_INTEGER, &path_length);
	return wire_ok(&outer) && wire_ok(&w) && !wire_left(&outer) && !wire_left(&w);
}

static bool parse_key_usage(struct bytes value, struct x509 *c)
{
	struct wire w = wire_read(value);
	struct bytes bits = der_take(&w, DER_BIT_STRING, NULL);

	if (!wire_ok(&w) || wire_left(&w) || bits.len == 0 || bits.len > 3 || bits.data[0] > 7)
		return false;
	for (unsigned i = 0; i < 8 * (bits.len - 1); i++)
		if (bits.data[1 + i / 8] & (0x80 >> i % 8))
			c->key_usage |= (uint16_t)(1u << i);
	return true;
}

static bool parse_extension(struct wire *list, struct x509 *c)
{
	struct wire w = wire_read(der_take(list, DER_SEQUENCE, NULL));
	struct bytes critical;
	struct bytes oid = der_take(&w, DER_OID, NULL);

	der_take_optional(&w, DER_BOOLEAN, &critical);
	struct bytes value = der_take(&w, DER_OCTET_STRING, NULL);
	if (!wire_ok(list) || !wire_ok(&w) || wire_left(&w))
		return false;
	bool *seen = bytes_equal(oid, oid_key_usage)	       ? &c->has_key_usage
		     : bytes_equal(oid, oid_basic_constraints) ? &c->has_constraints
		     : bytes_equal(oid, oid_version)	       ? &c->has_version
							       : NULL;
	if (!seen)
		return true;
	if (*seen)
		return false; /* twice the same */
	*seen = true;
	if (seen == &c->has_key_usage)
		return parse_key_usage(value, c);
	if (seen == &c->has_constraints)
		return parse_constraints(value, c);
	/* A bare byte, not wrapped in a DER type (transport.md 4.1). */
	if (value.len != 1)
		return false;
	c->version = value.data[0];
	return true;
}

static bool parse_extensions(struct bytes content, struct x509 *c)
{
	struct wire outer = wire_read(content);
	struct wire list = wire_read(der_take(&outer, DER_SEQUENCE, NULL));

	for (unsigned i = 0; wire_ok(&list) && wire_left(&list); i++)
		if (i == EXTENSIONS_MAX || !parse_extension(&list, c))
			return false;
	return wire_ok(&outer) && wire_ok(&list) && !wire_left(&outer);
}

static bool parse_edition(struct wire *w, struct x509 *c)
{
	struct bytes explicit;

	c->edition = 1;
	if (!der_take_optional(w, DER_CONTEXT_0_EXPLICIT, &explicit))
		return wire_ok(w);
	struct wire inner = wire_read(explicit);
	struct bytes number = der_take(&inner, DER_INTEGER, NULL);
	if (!wire_ok(&inner) || wire_left(&inner) || number.len != 1 || number.data[0] > 2)
		return false;
	c->edition = number.data[0] + 1;
	return true;
}

/* TBSCertificate (RFC 5280 4.1); names and dates are stepped over. */
static bool parse_tbs(struct bytes content, struct x509 *c, struct bytes *ret_algorithm)
{
	struct wire w = wire_read(content);
	struct bytes skipped, extensions;

	if (!parse_edition(&w, c))
		return false;
	struct bytes serial = der_take(&w, DER_INTEGER, NULL);
	*ret_algorithm = der_take(&w, DER_SEQUENCE, NULL);
	der_take(&w, DER_SEQUENCE, NULL); /* issuer */
	der_take(&w, DER_SEQUENCE, NULL); /* validity */
	der_take(&w, DER_SEQUENCE, NULL); /* subject */
	der_take(&w, DER_SEQUENCE, &c->spki);
	der_take_optional(&w, DER_CONTEXT_1, &skipped);
	der_take_optional(&w, DER_CONTEXT_2, &skipped);
	if (der_take_optional(&w, DER_CONTEXT_3_EXPLICIT, &extensions) &&
	    (c->edition != 3 || !parse_extensions(extensions, c)))
		return false;
	return wire_ok(&w) && !wire_left(&w) && serial.len > 0;
}

enum err x509_parse_next(struct call *call, struct bytes der, struct x509 *ret,
			 struct bytes *ret_rest)
{
	struct x509 c = { 0 };
	struct bytes inner_algorithm = BYTES_NONE;
	struct wire all = wire_read(der);
	struct wire w = wire_read(der_take(&all, DER_SEQUENCE, &c.der));
	struct bytes tbs = der_take(&w, DER_SEQUENCE, &c.tbs);
	struct bytes algorithm = der_take(&w, DER_SEQUENCE, NULL);

	c.signature = der_take_bits(&w);
	if (!wire_ok(&all) || !wire_ok(&w) || wire_left(&w) || c.der.len > X509_DER_MAX ||
	    !parse_tbs(tbs, &c, &inner_algorithm) || !bytes_equal(algorithm, inner_algorithm))
		return call_fail(call, ERR_FORMAT, "malformed certificate");
	*ret_rest = bytes_from(der, c.der.len);
	*ret = c;
	return OK;
}

enum err x509_parse(struct call *call, struct bytes der, struct x509 *ret)
{
	struct bytes rest = BYTES_NONE;
	struct x509 c;

	TRY_PLAIN(x509_parse_next(call, der, &c, &rest));
	if (rest.len)
		return call_fail(call, ERR_FORMAT, "%zu bytes behind the certificate", rest.len);
	*ret = c;
	return OK;
}

enum err x509_public_key(struct call *call, const struct x509 *cert, struct public_key **ret)
{
	return public_key_from_der(call, cert->spki, ret);
}

enum err x509_check_signature(struct call *call, const struct x509 *cert,
			      const struct public_key *issuer)
{
	return public_key_verify(call, issuer, cert->tbs, cert->signature);
}

bool x509_may_sign(const struct x509 *ca)
{
	if (ca->has_constraints ? !ca->is_ca : ca->edition == 3)
		return false;
	return !ca->has_key_usage || ca->key_usage == 0 || (ca->key_usage & X509_USAGE_CERT_SIGN);
}

/* ---- writing ---- */

#define RAW(text) BYTES(text, sizeof(text) - 1)

static const struct bytes ecdsa_with_sha256 =
	RAW("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02");
/* O=Storj, for subject and issuer alike. */
static const struct bytes name_storj =
	RAW("\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x0a\x13\x05Storj");
/* The reference leaves Go's zero times in its templates. */
static const struct bytes validity_year_1 = RAW("\x30\x22\x18\x0f"
						"00010101000000Z"
						"\x18\x0f"
						"00010101000000Z");

/* Extensions, in the reference's order.  CA: key usage certSign, basic constraints CA:TRUE. */
static const struct bytes ca_extensions = RAW(
	"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x02\x04"
	"\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff");
static const struct bytes ski_head = RAW("\x30\x1d\x06\x03\x55\x1d\x0e\x04\x16\x04\x14");
static const struct bytes version_head = RAW("\x30\x09\x06\x04\x88\x37\x02\x01\x04\x01");
/* Leaf: digitalSignature and keyEncipherment, serverAuth and clientAuth, CA:FALSE. */
static const struct bytes leaf_extensions = RAW(
	"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x05\xa0"
	"\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"
	"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
	"\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00");

/* Random, below 2^128, as the shortest positive DER integer. */
static void add_serial(struct buf *out)
{
	uint8_t serial[1 + SERIAL_BYTES] = { 0 };
	size_t at = 0;

	os_random(serial + 1, SERIAL_BYTES);
	serial[SERIAL_BYTES] |= 1; /* never zero */
	while (serial[at] == 0 && !(serial[at + 1] & 0x80))
		at++;
	der_add(out, DER_INTEGER, BYTES(serial + at, sizeof(serial) - at));
}

/* Certificate for spki, signed by signer; extensions is the content of their list. */
static enum err create(struct call *call, struct bytes spki, struct bytes extensions,
		       const struct private_key *signer, struct buf *out)
{
	AUTO_BUF struct buf list = BUF_INIT(SMALL_MAX);
	AUTO_BUF struct buf content = BUF_INIT(SMALL_MAX);
	AUTO_BUF struct buf cert = BUF_INIT(CERT_MAX);
	AUTO_BUF struct buf bits = BUF_INIT(SMALL_MAX);

	der_add(&list, DER_SEQUENCE, extensions);
	buf_add_bytes(&content, RAW("\xa0\x03\x02\x01\x02")); /* version 3 */
	add_serial(&content);
	buf_add_bytes(&content, ecdsa_with_sha256);
	buf_add_bytes(&content, name_storj);
	buf_add_bytes(&content, validity_year_1);
	buf_add_bytes(&content, name_storj);
	buf_add_bytes(&content, spki);
	der_add(&content, DER_CONTEXT_3_EXPLICIT, buf_bytes(&list));
	der_add(&cert, DER_SEQUENCE, buf_bytes(&content));

	buf_add_byte(&bits, 0); /* no unused bits */
	TRY(private_key_sign(call, signer, buf_bytes(&cert), &bits), "sign a certificate");
	buf_add_bytes(&cert, ecdsa_with_sha256);
	der_add(&cert, DER_BIT_STRING, buf_bytes(&bits));
	TRY(buf_status(&list), "certificate");
	TRY(buf_status(&content), "certificate");
	TRY(buf_status(&cert), "certificate");
	der_add(out, DER_SEQUENCE, buf_bytes(&cert));
	return buf_status(out);
}

enum err x509_create_ca_signed(struct call *call, const struct private_key *key, uint8_t version,
			       const struct private_key *parent, struct buf *out)
{
	AUTO_BUF struct buf spki = BUF_INIT(SMALL_MAX);
	AUTO_BUF struct buf extensions = BUF_INIT(SMALL_MAX);
	uint8_t ski[HASH_BYTES];

	TRY_PLAIN(private_key_public_der(call, key, &spki));
	hash_sha256(buf_bytes(&spki), ski);
	buf_add_bytes(&extensions, ca_extensions);
	buf_add_bytes(&extensions, ski_head);
	buf_add(&extensions, ski, SKI_BYTES); /* any identifier will do (RFC 7093) */
	buf_add_bytes(&extensions, version_head);
	buf_add_byte(&extensions, version);
	TRY(buf_status(&extensions), "certificate");
	return create(call, buf_bytes(&spki), buf_bytes(&extensions), parent, out);
}

enum err x509_create_ca(struct call *call, const struct private_key *key, uint8_t version,
			struct buf *out)
{
	return x509_create_ca_signed(call, key, version, key, out);
}

enum err x509_create_leaf(struct call *call, const struct private_key *key,
			  const struct private_key *ca_key, struct buf *out)
{
	AUTO_BUF struct buf spki = BUF_INIT(SMALL_MAX);

	TRY_PLAIN(private_key_public_der(call, key, &spki));
	return create(call, buf_bytes(&spki), leaf_extensions, ca_key, out);
}
