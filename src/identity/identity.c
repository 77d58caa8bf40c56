/* Our own identity: files, PEM, throw-away ones. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/x509.h"
#include "identity/identity.h"
#include "identity/internal.h"
#include "identity/pem.h"
#include "os/file.h"

enum { PEM_FILE_MAX = 128 << 10 };

struct identity {
	struct cert_chain *chain;
	struct private_key *key;
	struct node_id id;
};

DEFINE_AUTO_PTR(struct identity, identity_auto, identity_free)
DEFINE_AUTO_PTR(struct private_key, private_key_auto, private_key_free)

void identity_free(struct identity *id)
{
	if (!id)
		return;
	cert_chain_free(id->chain);
	private_key_free(id->key);
	free(id);
}

/* Takes the key over. */
static enum err from_parts(struct call *call, struct bytes chain_der, struct private_key **key,
			   struct identity **ret)
{
	AUTO(identity_auto) struct identity *id = calloc(1, sizeof(*id));
	AUTO_BUF struct buf spki = BUF_INIT(PRIVATE_KEY_DER_MAX);

	if (!id)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an identity");
	TRY_PLAIN(cert_chain_from_der(call, chain_der, &id->chain));
	TRY_PLAIN(cert_chain_node_id(call, id->chain, &id->id));
	TRY_PLAIN(private_key_public_der(call, *key, &spki));
	if (!bytes_equal(buf_bytes(&spki), cert_chain_spki(id->chain, 0)))
		return call_fail(call, ERR_INVALID,
				 "the key does not belong to the first certificate");
	id->key = take(key);
	*ret = take(&id);
	return OK;
}

enum err identity_chain_from_pem(struct call *call, struct bytes pem, struct buf *der)
{
	for (;;) {
		bool matched;
		enum err e = pem_next(&pem, "CERTIFICATE", der, &matched);
		if (e == ERR_NOT_FOUND)
			break;
		if (e)
			return call_fail(call, e, "damaged PEM block");
	}
	return der->len ? OK : call_fail(call, ERR_FORMAT, "no CERTIFICATE block");
}

enum err identity_from_pem(struct call *call, struct bytes cert_pem, struct bytes key_pem,
			   struct identity **ret)
{
	AUTO(private_key_auto) struct private_key *key = NULL;
	AUTO_BUF struct buf der = BUF_INIT(CHAIN_DER_MAX);

	TRY(identity_chain_from_pem(call, cert_pem, &der), "identity certificate");
	TRY(private_key_from_pem(call, key_pem, &key), "identity key");
	TRY(from_parts(call, buf_bytes(&der), &key, ret), "identity");
	return OK;
}

enum err identity_load(struct call *call, const char *cert_path, const char *key_path,
		       struct identity **ret)
{
	AUTO_BUF struct buf cert = BUF_INIT(PEM_FILE_MAX);
	AUTO_SECRET_BUF struct buf key = BUF_INIT(PEM_FILE_MAX);

	TRY(os_file_read_all(call, cert_path, &cert), "load identity");
	TRY(os_file_read_all(call, key_path, &key), "load identity");
	TRY(identity_from_pem(call, buf_bytes(&cert), buf_bytes(&key), ret), "%s and %s", cert_path,
	    key_path);
	return OK;
}

enum err cert_chain_load(struct call *call, const char *path, struct cert_chain **ret)
{
	AUTO_BUF struct buf pem = BUF_INIT(PEM_FILE_MAX), der = BUF_INIT(CHAIN_DER_MAX);

	TRY_PLAIN(os_file_read_all(call, path, &pem));
	TRY(identity_chain_from_pem(call, buf_bytes(&pem), &der), "%s", path);
	TRY(cert_chain_from_der(call, buf_bytes(&der), ret), "%s", path);
	return OK;
}

enum err identity_chain_create(struct call *call, const struct private_key *ca,
			       const struct private_key *leaf, struct buf *ret_leaf,
			       struct buf *ret_ca)
{
	TRY(x509_create_ca(call, ca, 0, ret_ca), "create certificate authority");
	TRY(x509_create_leaf(call, leaf, ca, ret_leaf), "create leaf certificate");
	return OK;
}

enum err identity_ephemeral(struct call *call, struct identity **ret)
{
	AUTO(private_key_auto) struct private_key *ca = NULL;
	AUTO(private_key_auto) struct private_key *leaf = NULL;
	AUTO_BUF struct buf der = BUF_INIT(CHAIN_DER_MAX);
	AUTO_BUF struct buf ca_der = BUF_INIT(CHAIN_DER_MAX);

	TRY_PLAIN(private_key_generate(call, &ca));
	TRY_PLAIN(private_key_generate(call, &leaf));
	TRY_PLAIN(identity_chain_create(call, ca, leaf, &der, &ca_der));
	buf_add_bytes(&der, buf_bytes(&ca_der));
	TRY_PLAIN(buf_status(&der));
	return from_parts(call, buf_bytes(&der), &leaf, ret);
}

const struct node_id *identity_node_id(const struct identity *id)
{
	return &id->id;
}

const struct cert_chain *identity_chain(const struct identity *id)
{
	return id->chain;
}

const struct private_key *identity_key(const struct identity *id)
{
	return id->key;
}
