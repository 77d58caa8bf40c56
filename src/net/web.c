/* Connections to services outside Storj's networks: TLS with host names and trusted roots as on the
 * web, or no encryption at all (a service on this machine). */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"

enum {
	ROOTS_BYTES_MAX = 8 << 20,
	ROOTS_MAX = 10000,
	WEB_CHAIN_BYTES_MAX = 100 << 10,
};

DEFINE_AUTO_PTR(struct net_conn, net_conn_auto, net_close)
DEFINE_AUTO_PTR(struct net_tls, net_tls_auto, net_tls_free)

/* ---- trusted roots ---- */

/* Where systems keep their bundle; the variable is OpenSSL's and Go's. */
static enum err read_system_roots(struct call *call, struct buf *pem)
{
	const char *const places[] = {
		os_getenv("SSL_CERT_FILE"),
		"/etc/ssl/certs/ca-certificates.crt",		     /* Debian */
		"/etc/pki/tls/certs/ca-bundle.crt",		     /* Fedora */
		"/etc/ssl/ca-bundle.pem",			     /* openSUSE */
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL */
		"/etc/ssl/cert.pem",				     /* Alpine */
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (!places[i] || !places[i][0])
			continue;
		if (os_file_read_all(call, places[i], pem) == OK)
			return OK;
		call_clear_error(call);
		buf_clear(pem);
	}
	return call_fail(call, ERR_UNAUTHENTICATED,
			 "no trusted certificates on this system (install ca-certificates)");
}

static enum err trust(struct call *call, SSL_CTX *ctx, struct bytes pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *mem = pem.len <= ROOTS_BYTES_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
	size_t count = 0;
	X509 *root;

	while (mem && count < ROOTS_MAX && (root = PEM_read_bio_X509(mem, NULL, NULL, NULL))) {
		count += X509_STORE_add_cert(store, root) == 1;
		X509_free(root);
	}
	BIO_free(mem);
	ERR_clear_error(); /* the end of the text is one */
	return count ? OK
		     : call_fail(call, ERR_UNAUTHENTICATED,
				 "no certificate is among the roots to trust (want PEM)");
}

enum err net_web_tls_new(struct call *call, struct bytes roots_pem, struct net_tls **ret)
{
	AUTO(net_tls_auto) struct net_tls *tls = NULL;
	AUTO_BUF struct buf system = BUF_INIT(ROOTS_BYTES_MAX);
	char groups[] = "X25519:P-256:P-384";

	TRY_PLAIN(net_tls_base(call, NULL, &tls));
	tls->web = true;
	SSL_CTX_set_cert_verify_callback(tls->ctx, NULL, NULL);
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_max_cert_list(tls->ctx, WEB_CHAIN_BYTES_MAX);
	if (SSL_CTX_set_cipher_list(tls->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
	    SSL_CTX_set1_groups_list(tls->ctx, groups) != 1)
		return call_fail(call, ERR_INTERNAL, "TLS settings");
	if (!roots_pem.len) {
		TRY_PLAIN(read_system_roots(call, &system));
		roots_pem = buf_bytes(&system);
	}
	TRY_PLAIN(trust(call, tls->ctx, roots_pem));
	*ret = take(&tls);
	return OK;
}

/* ---- whom we expect ---- */

/* The certificate must name the host (never by its common name), or the IP if that was dialed. */
static enum err expect_host(struct call *call, SSL *ssl, const char *address)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	const char *colon = strrchr(address, ':');
	uint8_t ip[OS_IP_BYTES_MAX];
	char host[OS_ADDRESS_MAX];
	size_t len = 0;
	bool ok;

	if (!colon || colon == address || (size_t)(colon - address) >= sizeof(host))
		return call_fail(call, ERR_INVALID, "address \"%s\" names no host", address);
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = 0;
	X509_VERIFY_PARAM_set_time(param, (time_t)(os_clock_unix_ns() / NS_PER_SEC));
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
						       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* A root may be the server's own certificate. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	if (os_ip_parse(address, ip, &len))
		ok = X509_VERIFY_PARAM_set1_ip(param, ip, len) == 1;
	else
		ok = X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
		     SSL_set_tlsext_host_name(ssl, host) == 1;
	ERR_clear_error();
	return ok ? OK : call_fail(call, ERR_INVALID, "host name \"%s\" cannot be", host);
}

/* ---- without encryption ---- */

static enum err plain_handshake(struct call *call, struct net_conn *c)
{
	c->established = true;
	return OK;
}

static enum err plain_read(struct call *call, struct net_conn *c, uint8_t *buf, size_t cap,
			   size_t *ret_n)
{
	size_t n = MIN(net_buffer_len(&c->in), cap);

	if (!n)
		return ERR_WOULD_BLOCK;
	memcpy(buf, c->in.data + c->in.at, n);
	c->in.at += n;
	if (c->in.at == c->in.end)
		c->in.at = c->in.end = 0;
	*ret_n = n;
	return OK;
}

static enum err plain_write(struct call *call, struct net_conn *c, struct bytes data, size_t *ret_n)
{
	size_t n = MIN(data.len, (size_t)NET_OUT_MAX - net_buffer_len(&c->out));

	if (!n)
		return ERR_WOULD_BLOCK;
	if (!net_buffer_reserve(&c->out, n, NET_OUT_MAX))
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	memcpy(c->out.data + c->out.end, data.data, n);
	c->out.end += n;
	*ret_n = n;
	return OK;
}

static bool plain_has_plain(const struct net_conn *c)
{
	return false;
}

static void plain_nothing(struct net_conn *c)
{
}

static const struct net_transport plain_transport = {
	.handshake = plain_handshake,
	.read = plain_read,
	.write = plain_write,
	.has_plain = plain_has_plain,
	.shut = plain_nothing,
	.free = plain_nothing,
	.in_max = NET_IN_MAX,
};

/* ---- dialing ---- */

static enum err attach(struct call *call, struct net_conn *c, const char *address)
{
	if (!c->tls) {
		c->transport = &plain_transport;
		return OK;
	}
	TRY_PLAIN(net_tls_attach(call, c));
	return expect_host(call, c->ssl, address);
}

enum err net_dial_web(struct call *call, const struct net_tls *web, const char *address,
		      struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = NULL;
	struct os_sock *sock;

	TRY(os_sock_dial(call, address, &sock), "dial %s", address);
	TRY_PLAIN(net_conn_new(call, web, sock, false, &c));
	TRY_PLAIN(attach(call, c, address));
	enum err e = net_conn_handshake(call, c);
	long why = c->ssl ? SSL_get_verify_result(c->ssl) : X509_V_OK;
	if (e == ERR_PROTOCOL && why != X509_V_OK)
		e = call_fail(call, ERR_UNAUTHENTICATED, "certificate: %s",
			      X509_verify_cert_error_string(why));
	TRY(e, "dial %s", address);
	*ret = take(&c);
	return OK;
}
