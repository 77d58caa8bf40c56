/* Connections: moving records between TLS in memory and the socket. */
#include <openssl/err.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/internal.h"

enum {
	RECORD_PLAIN = 16 << 10, /* the most that one record holds */
	RECORD_MAX = RECORD_PLAIN + 512,
};

static const char magic[NET_MAGIC_BYTES + 1] = "DRPC!!!1"; /* transport.md 2 */

DEFINE_AUTO_PTR(struct net_conn, net_conn_auto, net_close)

/* ---- socket side ---- */

/* Takes what the socket has, when all earlier bytes are used up. */
static enum err fill(struct call *call, struct net_conn *c)
{
	size_t n;

	if (c->in_eof)
		return call_fail(call, ERR_EOF, "connection closed by %s", os_sock_remote(c->sock));
	if (!net_buffer_reserve(&c->in, NET_IN_MAX - net_buffer_len(&c->in), NET_IN_MAX))
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	enum err e = os_sock_read(call, c->sock, c->in.data + c->in.end, c->in.cap - c->in.end, &n);
	if (e == ERR_EOF)
		c->in_eof = true;
	TRY_PLAIN(e);
	c->in.end += n;
	return OK;
}

enum err net_try_flush(struct call *call, struct net_conn *c)
{
	while (net_buffer_len(&c->out)) {
		struct bytes all = BYTES(c->out.data + c->out.at, net_buffer_len(&c->out));
		size_t n;
		enum err e = os_sock_write(call, c->sock, &all, 1, &n);
		if (e && e != ERR_WOULD_BLOCK) {
			c->failed = true;
			c->out.at = c->out.end = 0;
		}
		TRY_PLAIN(e);
		c->out.at += n;
	}
	c->out.at = c->out.end = 0;
	return OK;
}

enum err net_wait(struct call *call, struct net_conn *c, bool want_read, bool want_write)
{
	unsigned ready;

	return os_sock_wait(call, c->sock,
			    (want_read ? OS_WANT_READ : 0) | (want_write ? OS_WANT_WRITE : 0),
			    &ready);
}

/* ---- life ---- */

static enum err new_conn(struct call *call, const struct net_tls *tls, struct os_sock *sock,
			 bool server, struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		os_sock_close(sock);
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	}
	c->sock = sock;
	c->server = server;
	c->magic_pending = server;
	TRY_PLAIN(net_tls_attach(call, tls, c, server));
	*ret = take(&c);
	return OK;
}

void net_close(struct net_conn *c)
{
	if (!c)
		return;
	if (c->established && !c->failed) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		ERR_clear_error();
		/* The answer is not waited for; peers live without it (transport.md 3). */
		if (SSL_shutdown(c->ssl) < 0)
			ERR_clear_error();
		if (net_try_flush(&call, c))
			c->failed = true;
	}
	SSL_free(c->ssl);
	cert_chain_free(c->peer);
	net_buffer_free(&c->in);
	net_buffer_free(&c->out);
	os_sock_close(c->sock);
	free(c);
}

/* As far as it goes at once; its failure must not hide why there is an alert. */
static void send_alert(struct net_conn *c)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	if (net_try_flush(&call, c))
		c->failed = true;
}

/* Handshake until done or until the socket must become readable.  Flights of ours are small; the
 * rare one that the socket does not take at once waits for the next step. */
static enum err handshake_step(struct call *call, struct net_conn *c)
{
	for (;;) {
		enum err e = net_tls_handshake(call, c);
		/* The client's last flight goes out with the first request. */
		if (e == OK && !c->server)
			return OK;
		if (e && e != ERR_WOULD_BLOCK) {
			send_alert(c);
			return e;
		}
		enum err f = net_try_flush(call, c);
		if (e == OK || (f && f != ERR_WOULD_BLOCK))
			return f == ERR_WOULD_BLOCK ? OK : f;
		TRY_PLAIN(fill(call, c));
	}
}

static enum err handshake(struct call *call, struct net_conn *c)
{
	for (;;) {
		enum err e = c->server ? net_accept_step(call, c) : handshake_step(call, c);
		if (e != ERR_WOULD_BLOCK)
			return e;
		TRY_PLAIN(net_wait(call, c, true, net_buffer_len(&c->out) > 0));
	}
}

enum err net_dial(struct call *call, const struct net_tls *tls, const char *address,
		  const struct node_id *expected, struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = NULL;
	struct os_sock *sock;

	TRY(os_sock_dial(call, address, &sock), "dial %s", address);
	TRY_PLAIN(new_conn(call, tls, sock, false, &c));
	if (!net_buffer_reserve(&c->out, NET_MAGIC_BYTES, NET_OUT_MAX))
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	/* Goes out in one write with the ClientHello that TLS puts behind it. */
	memcpy(c->out.data, magic, NET_MAGIC_BYTES);
	c->out.end = NET_MAGIC_BYTES;
	TRY(handshake(call, c), "dial %s", address);
	TRY(cert_chain_check_dialed(call, c->peer, expected), "dial %s", address);
	*ret = take(&c);
	return OK;
}

/* ---- server ---- */

enum err net_accept_start(struct call *call, const struct net_tls *tls, struct os_sock *sock,
			  struct net_conn **ret)
{
	return new_conn(call, tls, sock, true, ret);
}

static enum err read_magic(struct call *call, struct net_conn *c)
{
	while (c->magic_pending) {
		size_t n = MIN(net_buffer_len(&c->in), (size_t)NET_MAGIC_BYTES);
		/* A wrong start is refused without waiting for its end. */
		if (n && memcmp(c->in.data + c->in.at, magic, n) != 0)
			return call_fail(call, ERR_PROTOCOL, "%s does not speak DRPC over TLS",
					 os_sock_remote(c->sock));
		if (n == NET_MAGIC_BYTES) {
			c->in.at += NET_MAGIC_BYTES;
			if (c->in.at == c->in.end)
				c->in.at = c->in.end = 0;
			c->magic_pending = false;
		} else {
			TRY_PLAIN(fill(call, c));
		}
	}
	return OK;
}

enum err net_accept_step(struct call *call, struct net_conn *c)
{
	TRY_PLAIN(read_magic(call, c));
	return handshake_step(call, c);
}

enum err net_accept_tls(struct call *call, const struct net_tls *tls, struct os_sock *sock,
			struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = NULL;

	TRY_PLAIN(net_accept_start(call, tls, sock, &c));
	TRY(handshake(call, c), "accept");
	*ret = take(&c);
	return OK;
}

/* ---- data ---- */

static enum err read_failed(struct call *call, struct net_conn *c, int r)
{
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

enum err net_try_read(struct call *call, struct net_conn *c, void *buf, size_t cap, size_t *ret_n)
{
	uint8_t *at = buf;
	size_t got = 0;

	while (got < cap) {
		size_t n;
		ERR_clear_error();
		int r = c->failed ? 0 : SSL_read_ex(c->ssl, at + got, cap - got, &n);
		if (r == 1) {
			got += n;
			continue;
		}
		/* What was had already comes first; the failure is met again next time. */
		enum err e = c->failed ? call_fail(call, ERR_CLOSED, "connection to %s is broken",
						   os_sock_remote(c->sock))
				       : read_failed(call, c, r);
		if (e == ERR_WOULD_BLOCK && !got)
			e = fill(call, c);
		else if (e == ERR_WOULD_BLOCK)
			break;
		if (e && !got)
			return e;
		if (e)
			break;
	}
	*ret_n = got;
	return OK;
}

enum err net_read(struct call *call, struct net_conn *c, void *buf, size_t cap, size_t *ret_n)
{
	for (;;) {
		enum err e = net_try_read(call, c, buf, cap, ret_n);
		if (e != ERR_WOULD_BLOCK)
			return e;
		e = net_try_flush(call, c);
		if (e && e != ERR_WOULD_BLOCK)
			return e;
		TRY_PLAIN(net_wait(call, c, true, net_buffer_len(&c->out) > 0));
	}
}

enum err net_try_write(struct call *call, struct net_conn *c, struct bytes data, size_t *ret_n)
{
	size_t done = 0;

	while (done < data.len) {
		size_t n;
		if (c->failed)
			return call_fail(call, ERR_CLOSED, "connection to %s is broken",
					 os_sock_remote(c->sock));
		if (net_buffer_len(&c->out) + RECORD_MAX > NET_OUT_MAX) {
			if (!done)
				return ERR_WOULD_BLOCK;
			break;
		}
		ERR_clear_error();
		if (SSL_write_ex(c->ssl, data.data + done,
				 MIN(data.len - done, (size_t)RECORD_PLAIN), &n) != 1) {
			c->failed = true;
			ERR_clear_error();
			return call_fail(call, c->out_of_memory ? ERR_NO_MEMORY : ERR_CLOSED,
					 "TLS to %s is broken", os_sock_remote(c->sock));
		}
		done += n;
	}
	*ret_n = done;
	return OK;
}

/* ---- questions ---- */

const struct cert_chain *net_peer_chain(const struct net_conn *c)
{
	return c->peer && cert_chain_count(c->peer) > 1 ? c->peer : NULL;
}

enum err net_peer_id(struct call *call, const struct net_conn *c, struct node_id *ret)
{
	if (!c->peer)
		return call_fail(call, ERR_UNAUTHENTICATED, "the peer sent no certificate");
	return cert_chain_node_id(call, c->peer, ret);
}

const char *net_remote(const struct net_conn *c)
{
	return os_sock_remote(c->sock);
}

struct os_sock *net_sock(struct net_conn *c)
{
	return c->sock;
}

size_t net_out_pending(const struct net_conn *c)
{
	return net_buffer_len(&c->out);
}

bool net_has_input(const struct net_conn *c)
{
	return net_buffer_len(&c->in) > 0 || SSL_pending(c->ssl) > 0;
}

void net_idle(struct net_conn *c)
{
	if (!net_buffer_len(&c->in))
		net_buffer_free(&c->in);
	if (!net_buffer_len(&c->out))
		net_buffer_free(&c->out);
}
