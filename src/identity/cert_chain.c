/* Certificate chains: parse once, check as peers do (transport.md 5), derive the node ID (4.2). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/x509.h"
#include "identity/internal.h"

enum { CHAIN_MIN_FOR_ID = 2, LEAF = 0, CA = 1 };

struct cert_chain {
	uint8_t *der; /* all certificates, one behind the other; the views below point into it */
	size_t der_len;
	size_t count;
	struct x509 certs[CHAIN_CERTS_MAX];
	struct public_key *leaf_key;
	struct node_id id; /* valid with CHAIN_MIN_FOR_ID certificates */
};

DEFINE_AUTO_PTR(struct cert_chain, cert_chain_auto, cert_chain_free)
DEFINE_AUTO_PTR(struct public_key, public_key_auto, public_key_free)

void cert_chain_free(struct cert_chain *c)
{
	if (!c)
		return;
	public_key_free(c->leaf_key);
	free(c->der);
	free(c);
}

static enum err parse_all(struct call *call, struct cert_chain *c)
{
	struct bytes rest = BYTES(c->der, c->der_len);

	while (rest.len) {
		if (c->count == CHAIN_CERTS_MAX)
			return call_fail(call, ERR_FORMAT, "certificate chain longer than %d",
					 CHAIN_CERTS_MAX);
		TRY(x509_parse_next(call, rest, &c->certs[c->count], &rest), "certificate %zu",
		    c->count);
		c->count++;
	}
	if (!c->count)
		return call_fail(call, ERR_FORMAT, "empty certificate chain");
	return OK;
}

/* Each certificate is signed by the next one's key, the last by its own. */
static enum err check_links(struct call *call, struct cert_chain *c)
{
	AUTO(public_key_auto) struct public_key *issuer = NULL;

	TRY(x509_public_key(call, &c->certs[LEAF], &c->leaf_key), "leaf certificate");
	for (size_t i = 0; i < c->count; i++) {
		bool last = i + 1 == c->count;
		if (!last) {
			public_key_free(take(&issuer));
			TRY(x509_public_key(call, &c->certs[i + 1], &issuer), "certificate %zu",
			    i + 1);
		}
		TRY(x509_check_signature(call, &c->certs[i], issuer ? issuer : c->leaf_key),
		    "certificate %zu of the chain", i);
	}
	return OK;
}

static void compute_id(struct cert_chain *c)
{
	uint8_t once[HASH_BYTES];

	if (c->count < CHAIN_MIN_FOR_ID)
		return;
	hash_sha256(c->certs[CA].spki, once);
	hash_sha256(BYTES_OF(once), c->id.b);
	c->id.b[NODE_ID_BYTES - 1] = c->certs[CA].has_version ? c->certs[CA].version : 0;
}

enum err cert_chain_from_der(struct call *call, struct bytes der, struct cert_chain **ret)
{
	AUTO(cert_chain_auto) struct cert_chain *c = NULL;

	if (!der.len || der.len > CHAIN_DER_MAX)
		return call_fail(call, ERR_FORMAT, "certificate chain of %zu bytes (1 to %d)",
				 der.len, CHAIN_DER_MAX);
	c = calloc(1, sizeof(*c));
	if (c)
		c->der = malloc(der.len);
	if (!c || !c->der)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a certificate chain");
	memcpy(c->der, der.data, der.len);
	c->der_len = der.len;
	TRY_PLAIN(parse_all(call, c));
	TRY_PLAIN(check_links(call, c));
	compute_id(c);
	*ret = take(&c);
	return OK;
}

enum err cert_chain_from_certs(struct call *call, const struct bytes certs[], size_t count,
			       struct cert_chain **ret)
{
	AUTO(cert_chain_auto) struct cert_chain *c = NULL;
	AUTO_BUF struct buf all = BUF_INIT(CHAIN_DER_MAX);

	for (size_t i = 0; i < count; i++)
		buf_add_bytes(&all, certs[i]);
	if (all.failed)
		return call_fail(call, ERR_FORMAT, "certificate chain longer than %d bytes",
				 CHAIN_DER_MAX);
	TRY_PLAIN(cert_chain_from_der(call, buf_bytes(&all), &c));
	if (c->count != count)
		return call_fail(call, ERR_FORMAT, "certificate list with trailing bytes");
	*ret = take(&c);
	return OK;
}

size_t cert_chain_count(const struct cert_chain *c)
{
	return c->count;
}

struct bytes cert_chain_der(const struct cert_chain *c)
{
	return BYTES(c->der, c->der_len);
}

struct bytes cert_chain_cert(const struct cert_chain *c, size_t i)
{
	return i < c->count ? c->certs[i].der : BYTES_NONE;
}

struct bytes cert_chain_spki(const struct cert_chain *c, size_t i)
{
	return i < c->count ? c->certs[i].spki : BYTES_NONE;
}

enum err cert_chain_node_id(struct call *call, const struct cert_chain *c, struct node_id *ret)
{
	if (c->count < CHAIN_MIN_FOR_ID)
		return call_fail(call, ERR_UNAUTHENTICATED,
				 "the peer sent %zu certificates; an identity needs two", c->count);
	*ret = c->id;
	return OK;
}

const struct public_key *cert_chain_leaf_key(const struct cert_chain *c)
{
	return c->leaf_key;
}

enum err cert_chain_check_dialed(struct call *call, const struct cert_chain *c,
				 const struct node_id *expected)
{
	char want[NODE_ID_TEXT_MAX], got[NODE_ID_TEXT_MAX];
	struct node_id id;

	TRY_PLAIN(cert_chain_node_id(call, c, &id));
	/* The signature itself was checked when the chain was made. */
	if (!x509_may_sign(&c->certs[CA]))
		return call_fail(call, ERR_UNAUTHENTICATED,
				 "the peer's certificate authority may not sign certificates");
	if (expected && !node_id_equal(&id, expected)) {
		node_id_text(expected, want);
		node_id_text(&id, got);
		return call_fail(call, ERR_UNAUTHENTICATED,
				 "the peer is node %s, expected %s (wrong address?)", got, want);
	}
	return OK;
}
