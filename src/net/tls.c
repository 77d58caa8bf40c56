/* TLS settings and the handshake (transport.md 3, 5); the BIO that keeps records in memory. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/algorithms.h"
#include "crypto/tls_vaes.h"
#include "net/internal.h"

enum {
	OUT_SLACK =
		20 << 10, /* one record and what a handshake or alert may add above NET_OUT_MAX */
	PEM_MAX = 8 << 10,
	RECORD_PLAIN = 16 << 10, /* the most that one record holds */
	RECORD_MAX = RECORD_PLAIN + 512,
};

DEFINE_AUTO_PTR(struct net_tls, net_tls_auto, net_tls_free)
DEFINE_AUTO_PTR(X509, cert_auto, X509_free)
DEFINE_AUTO_PTR(EVP_PKEY, pkey_auto, EVP_PKEY_free)

/* ---- the BIO: memory only ---- */

static int bio_read(BIO *bio, char *out, int cap)
{
	struct net_conn *c = BIO_get_data(bio);
	size_t n = net_buffer_len(&c->in);

	BIO_clear_retry_flags(bio);
	if (cap <= 0)
		return 0;
	if (!n) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (n > (size_t)cap)
		n = (size_t)cap;
	memcpy(out, c->in.data + c->in.at, n);
	c->in.at += n;
	if (c->in.at == c->in.end)
		c->in.at = c->in.end = 0;
	return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct net_conn *c = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (!net_buffer_reserve(&c->out, (size_t)len, NET_OUT_MAX + OUT_SLACK)) {
		/* Above NET_OUT_MAX nobody encrypts, so that only memory can be missing, or a
		 * peer makes us answer without ever reading: both end the connection. */
		c->out_of_memory = true;
		return -1;
	}
	memcpy(c->out.data + c->out.end, data, (size_t)len);
	c->out.end += (size_t)len;
	return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* ---- settings ---- */

static enum err tls_fail(struct call *call, enum err e, const char *what)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return call_fail(call, e, "%s: %s", what, reason ? reason : err_text(e));
}

/* Every chain is accepted here and checked by cert_chain_from_certs afterwards: OpenSSL's rules
 * cannot hold for Storj's certificates (transport.md 4.1). */
static int accept_any_chain(X509_STORE_CTX *store, void *arg)
{
	return 1;
}

static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return 0;
}

/* What Storj's connections are made of; NULL is OpenSSL's default. */
static OSSL_LIB_CTX *openssl_context(void)
{
	const struct algorithms *alg = algorithms();

	return alg ? alg->tls : NULL;
}

static enum err use_key(struct call *call, struct net_tls *tls)
{
	AUTO_SECRET_BUF struct buf pem = BUF_INIT(PEM_MAX);
	AUTO(pkey_auto) EVP_PKEY *key = NULL;

	TRY_PLAIN(private_key_to_pem(call, identity_key(tls->identity), &pem));
	TRY_PLAIN(buf_status(&pem));
	BIO *mem = BIO_new_mem_buf(pem.data, (int)pem.len);
	if (mem)
		key = PEM_read_bio_PrivateKey_ex(mem, NULL, no_password, NULL, openssl_context(),
						 NULL);
	BIO_free(mem);
	if (!key || SSL_CTX_use_PrivateKey(tls->ctx, key) != 1)
		return tls_fail(call, ERR_CRYPTO, "identity key");
	return OK;
}

/* Parsed once here; every handshake sends the same objects. */
static enum err use_chain(struct call *call, struct net_tls *tls)
{
	const struct cert_chain *chain = identity_chain(tls->identity);

	for (size_t i = 0; i < cert_chain_count(chain); i++) {
		struct bytes der = cert_chain_cert(chain, i);
		const unsigned char *p = der.data;
		AUTO(cert_auto) X509 *cert = d2i_X509(NULL, &p, (long)der.len);
		if (!cert || (i == 0 ? SSL_CTX_use_certificate(tls->ctx, cert)
				     : SSL_CTX_add1_chain_cert(tls->ctx, cert)) != 1)
			return tls_fail(call, ERR_CRYPTO, "identity chain");
	}
	return OK;
}

static bool set_options(SSL_CTX *ctx)
{
	char groups[] = "X25519:P-256"; /* OpenSSL's macro wants it writable */

	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, CHAIN_DER_MAX);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_any_chain, NULL);
	return SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
	       SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"drpc", 4) == 1 &&
	       SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
					     "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
	       /* Without AES-128, which is TLS 1.3's only (crypto/tls_vaes.h). */
	       SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES256-GCM-SHA384:"
					    "ECDHE-ECDSA-CHACHA20-POLY1305") == 1 &&
	       SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

enum err net_tls_base(struct call *call, OSSL_LIB_CTX *context, struct net_tls **ret)
{
	AUTO(net_tls_auto) struct net_tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for TLS");
	tls->ctx = SSL_CTX_new_ex(context, context ? TLS_VAES_PROPERTIES : NULL, TLS_method());
	tls->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "memory of a connection");
	if (!tls->ctx || !tls->bio)
		return tls_fail(call, ERR_NO_MEMORY, "TLS");
	BIO_meth_set_read(tls->bio, bio_read);
	BIO_meth_set_write(tls->bio, bio_write);
	BIO_meth_set_ctrl(tls->bio, bio_ctrl);
	BIO_meth_set_create(tls->bio, bio_create);
	if (!set_options(tls->ctx))
		return tls_fail(call, ERR_INTERNAL, "TLS settings");
	*ret = take(&tls);
	return OK;
}

enum err net_tls_new(struct call *call, const struct identity *identity, struct net_tls **ret)
{
	AUTO(net_tls_auto) struct net_tls *tls = NULL;

	TRY_PLAIN(net_tls_base(call, openssl_context(), &tls));
	tls->identity = identity;
	TRY_PLAIN(use_chain(call, tls));
	TRY_PLAIN(use_key(call, tls));
	*ret = take(&tls);
	return OK;
}

void net_tls_free(struct net_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->ctx);
	BIO_meth_free(tls->bio);
	free(tls);
}

const struct identity *net_tls_identity(const struct net_tls *tls)
{
	return tls->identity;
}

/* ---- handshake ---- */

/* The peer's certificates, leaf first; on the server OpenSSL's list lacks the leaf. */
static enum err list_peer_certs(struct call *call, struct net_conn *c, X509 *list[CHAIN_CERTS_MAX],
				size_t *ret_count)
{
	STACK_OF(X509) *rest = SSL_get_peer_cert_chain(c->ssl);
	X509 *leaf = SSL_get0_peer_certificate(c->ssl);
	size_t count = 0;

	if (!leaf)
		return call_fail(call, ERR_UNAUTHENTICATED, "the peer sent no certificate");
	list[count++] = leaf;
	for (int i = c->server ? 0 : 1; i < sk_X509_num(rest); i++) {
		if (count == CHAIN_CERTS_MAX)
			return call_fail(call, ERR_UNAUTHENTICATED, "more than %d certificates",
					 CHAIN_CERTS_MAX);
		list[count++] = sk_X509_value(rest, i);
	}
	*ret_count = count;
	return OK;
}

static enum err take_peer_chain(struct call *call, struct net_conn *c)
{
	unsigned char *ders[CHAIN_CERTS_MAX] = { NULL };
	struct bytes certs[CHAIN_CERTS_MAX];
	X509 *list[CHAIN_CERTS_MAX];
	size_t count = 0;
	enum err e = OK;

	TRY_PLAIN(list_peer_certs(call, c, list, &count));
	for (size_t i = 0; i < count && !e; i++) {
		int n = i2d_X509(list[i], &ders[i]);
		if (n <= 0)
			e = tls_fail(call, ERR_UNAUTHENTICATED, "a certificate");
		certs[i] = BYTES(ders[i], n > 0 ? (size_t)n : 0);
	}
	if (!e)
		e = cert_chain_from_certs(call, certs, count, &c->peer);
	for (size_t i = 0; i < count; i++)
		OPENSSL_free(ders[i]);
	return e;
}

static enum err tls_handshake(struct call *call, struct net_conn *c)
{
	ERR_clear_error();
	int r = SSL_do_handshake(c->ssl);
	if (r == 1) {
		/* From here on they are given back when it is idle, not after each record. */
		SSL_clear_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
		if (!c->tls->web)
			TRY(take_peer_chain(call, c), "peer's certificates");
		c->established = true;
		return OK;
	}
	int why = SSL_get_error(c->ssl, r);
	if (why == SSL_ERROR_WANT_READ && !c->out_of_memory)
		return ERR_WOULD_BLOCK;
	c->failed = true;
	if (c->out_of_memory)
		return call_fail(call, ERR_NO_MEMORY, "out of memory in a TLS handshake");
	return tls_fail(call, ERR_PROTOCOL, "TLS handshake");
}

/* ---- data ---- */

static enum err tls_read(struct call *call, struct net_conn *c, uint8_t *buf, size_t cap,
			 size_t *ret_n)
{
	ERR_clear_error();
	int r = SSL_read_ex(c->ssl, buf, cap, ret_n);
	if (r == 1)
		return OK;
	int why = SSL_get_error(c->ssl, r);
	if (why == SSL_ERROR_ZERO_RETURN) {
		c->in_eof = true;
		return call_fail(call, ERR_EOF, "connection closed by %s", os_sock_remote(c->sock));
	}
	if (why == SSL_ERROR_WANT_READ && !c->out_of_memory)
		return ERR_WOULD_BLOCK;
	c->failed = true;
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	return call_fail(call, c->out_of_memory ? ERR_NO_MEMORY : ERR_CLOSED, "TLS from %s: %s",
			 os_sock_remote(c->sock), reason ? reason : "broken");
}

static enum err tls_write(struct call *call, struct net_conn *c, struct bytes data, size_t *ret_n)
{
	if (net_buffer_len(&c->out) + RECORD_MAX > NET_OUT_MAX)
		return ERR_WOULD_BLOCK;
	ERR_clear_error();
	if (SSL_write_ex(c->ssl, data.data, MIN(data.len, (size_t)RECORD_PLAIN), ret_n) == 1)
		return OK;
	ERR_clear_error();
	return call_fail(call, c->out_of_memory ? ERR_NO_MEMORY : ERR_CLOSED, "TLS to %s is broken",
			 os_sock_remote(c->sock));
}

static bool tls_has_plain(const struct net_conn *c)
{
	return SSL_pending(c->ssl) > 0;
}

/* Not while it holds part of a record: before 3.0.14 OpenSSL freed that, too (CVE-2024-4741), where
 * it waits for the body ("RB", not "RH") or has bytes that nobody read. */
static void tls_idle(struct net_conn *c)
{
	if (SSL_has_pending(c->ssl) || strcmp(SSL_rstate_string(c->ssl), "RH") != 0)
		return;
	ERR_clear_error();
	if (!SSL_free_buffers(c->ssl))
		ERR_clear_error();
}

/* The answer is not waited for; peers live without it (transport.md 3). */
static void tls_shut(struct net_conn *c)
{
	ERR_clear_error();
	if (SSL_shutdown(c->ssl) < 0)
		ERR_clear_error();
}

static void tls_free(struct net_conn *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
}

static const struct net_transport tls_transport = {
	.handshake = tls_handshake,
	.read = tls_read,
	.write = tls_write,
	.has_plain = tls_has_plain,
	.idle = tls_idle,
	.shut = tls_shut,
	.free = tls_free,
	.in_max = NET_IN_MAX,
};

enum err net_tls_attach(struct call *call, struct net_conn *c)
{
	BIO *bio = BIO_new(c->tls->bio);

	c->ssl = SSL_new(c->tls->ctx);
	c->transport = &tls_transport;
	if (!bio || !c->ssl) {
		BIO_free(bio);
		return tls_fail(call, ERR_NO_MEMORY, "TLS connection");
	}
	BIO_set_data(bio, c);
	SSL_set_bio(c->ssl, bio, bio);
	if (c->server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	return OK;
}
