/* Connections: moving records between the transport in memory and the socket. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/internal.h"

const char net_tls_magic[NET_MAGIC_BYTES + 1] = "DRPC!!!1";   /* transport.md 2 */
const char net_noise_magic[NET_MAGIC_BYTES + 1] = "DRPC!N!1"; /* noise.md 2 */

DEFINE_AUTO_PTR(struct net_conn, net_conn_auto, net_close)

/* ---- socket side ---- */

/* The node ended a connection by Noise without a word: the next net_wait tries TLS. */
static bool redial_instead(struct net_conn *c)
{
	if (!c->redial || net_buffer_len(&c->in))
		return false;
	c->redial->due = true;
	return true;
}

static bool redial_is_due(const struct net_conn *c)
{
	return c->redial && c->redial->due;
}

/* Takes what the socket has, when all earlier bytes are used up. */
static enum err fill(struct call *call, struct net_conn *c)
{
	size_t max = c->transport ? c->transport->in_max : NET_IN_MAX;
	size_t n;

	if (redial_is_due(c))
		return ERR_WOULD_BLOCK;
	if (c->in_eof)
		return call_fail(call, ERR_EOF, "connection closed by %s", os_sock_remote(c->sock));
	if (!net_buffer_reserve(&c->in, max - net_buffer_len(&c->in), max))
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	enum err e = os_sock_read(call, c->sock, c->in.data + c->in.end, c->in.cap - c->in.end, &n);
	if (e && e != ERR_WOULD_BLOCK && redial_instead(c))
		return ERR_WOULD_BLOCK;
	if (e == ERR_EOF)
		c->in_eof = true;
	TRY_PLAIN(e);
	c->in.end += n;
	return OK;
}

enum err net_try_flush(struct call *call, struct net_conn *c)
{
	if (redial_is_due(c))
		return OK;
	if (c->transport->before_flush && !c->failed)
		TRY_PLAIN(c->transport->before_flush(call, c));
	while (net_buffer_len(&c->out)) {
		struct bytes all = BYTES(c->out.data + c->out.at, net_buffer_len(&c->out));
		size_t n;
		enum err e = os_sock_write(call, c->sock, &all, 1, &n);
		if (e && e != ERR_WOULD_BLOCK && redial_instead(c))
			break;
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

enum err net_try_answer(struct call *call, struct net_conn *c)
{
	if (!c->transport || !c->transport->before_wait || c->failed)
		return OK;
	TRY_PLAIN(c->transport->before_wait(call, c));
	return net_try_flush(call, c);
}

static enum err redial(struct call *call, struct net_conn *c);

enum err net_wait(struct call *call, struct net_conn *c, bool want_read, bool want_write)
{
	unsigned ready;

	if (redial_is_due(c))
		return redial(call, c);
	if (want_read) {
		enum err e = net_try_answer(call, c);
		if (e && e != ERR_WOULD_BLOCK)
			return e;
		want_write |= e == ERR_WOULD_BLOCK;
	}
	return os_sock_wait(call, c->sock,
			    (want_read ? OS_WANT_READ : 0) | (want_write ? OS_WANT_WRITE : 0),
			    &ready);
}

/* ---- life ---- */

enum err net_conn_new(struct call *call, const struct net_tls *tls, struct os_sock *sock,
		      bool server, struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		os_sock_close(sock);
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	}
	c->sock = sock;
	c->tls = tls;
	c->server = server;
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
		c->transport->shut(c);
		if (net_try_flush(&call, c))
			c->failed = true;
	}
	if (c->transport)
		c->transport->free(c);
	cert_chain_free(c->peer);
	cert_chain_free(c->named);
	net_buffer_free(&c->in);
	net_buffer_free(&c->out);
	os_sock_close(c->sock);
	free(c->redial);
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
		enum err e = c->transport->handshake(call, c);
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

enum err net_conn_handshake(struct call *call, struct net_conn *c)
{
	for (;;) {
		enum err e = c->server ? net_accept_step(call, c) : handshake_step(call, c);
		if (e != ERR_WOULD_BLOCK)
			return e;
		TRY_PLAIN(net_wait(call, c, true, net_buffer_len(&c->out) > 0));
	}
}

static enum err shake_tls(struct call *call, struct net_conn *c, const struct node_id *expected)
{
	TRY_PLAIN(net_tls_attach(call, c));
	if (!net_buffer_reserve(&c->out, NET_MAGIC_BYTES, NET_OUT_MAX))
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	/* Goes out in one write with the ClientHello that TLS puts behind it. */
	memcpy(c->out.data, net_tls_magic, NET_MAGIC_BYTES);
	c->out.end = NET_MAGIC_BYTES;
	TRY_PLAIN(net_conn_handshake(call, c));
	return cert_chain_check_dialed(call, c->peer, expected);
}

enum err net_dial(struct call *call, const struct net_tls *tls, const char *address,
		  const struct node_id *expected, struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = NULL;
	struct os_sock *sock;

	TRY(os_sock_dial(call, address, &sock), "dial %s", address);
	TRY_PLAIN(net_conn_new(call, tls, sock, false, &c));
	TRY(shake_tls(call, c, expected), "dial %s", address);
	*ret = take(&c);
	return OK;
}

static enum err remember_address(struct call *call, struct net_conn *c, const char *address,
				 const struct node_id *expected)
{
	size_t len = strlen(address);

	c->redial = calloc(1, sizeof(*c->redial));
	if (!c->redial || len >= sizeof(c->redial->address))
		return call_fail(call, c->redial ? ERR_INVALID : ERR_NO_MEMORY, "cannot dial %s",
				 address);
	memcpy(c->redial->address, address, len + 1);
	c->redial->expected = *expected;
	return OK;
}

enum err net_dial_noise(struct call *call, const struct net_tls *tls, const char *address,
			const struct node_id *expected, const struct noise_peer *node,
			struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = NULL;
	struct os_sock *sock;

	TRY(os_sock_dial(call, address, &sock), "dial %s", address);
	TRY_PLAIN(net_conn_new(call, tls, sock, false, &c));
	TRY_PLAIN(remember_address(call, c, address, expected));
	TRY_PLAIN(net_noise_attach(call, c, node));
	TRY_PLAIN(c->transport->handshake(call, c));
	*ret = take(&c);
	return OK;
}

/* From here on c is a connection by TLS, with what Noise did not bring over in front. */
static enum err redial(struct call *call, struct net_conn *c)
{
	AUTO_FREE struct net_redial *r = take(&c->redial);
	AUTO_FREE uint8_t *data = NULL;
	size_t len = 0, done = 0;
	struct os_sock *sock;

	c->failed = true; /* until it is not */
	TRY_PLAIN(net_noise_unsent(call, c, &data, &len));
	TRY(os_sock_dial(call, r->address, &sock), "dial %s again", r->address);
	os_sock_close(c->sock);
	c->sock = sock;
	c->transport->free(c);
	c->in.at = c->in.end = c->out.at = c->out.end = 0;
	c->established = c->failed = false;
	enum err e = shake_tls(call, c, &r->expected);
	while (!e && done < len) {
		size_t n = 0;
		e = net_try_write(call, c, BYTES(data + done, len - done), &n);
		done += n;
	}
	if (!e)
		e = net_try_flush(call, c);
	if (e == ERR_WOULD_BLOCK)
		return OK;
	if (e)
		c->failed = true;
	TRY(e, "dial %s again, by TLS", r->address);
	return OK;
}

/* ---- server ---- */

enum err net_accept_start(struct call *call, const struct net_tls *tls, struct net_noise *noise,
			  struct os_sock *sock, struct net_conn **ret)
{
	TRY_PLAIN(net_conn_new(call, tls, sock, true, ret));
	(*ret)->noise_server = noise;
	return OK;
}

static bool begins(struct bytes v, const char *magic)
{
	return memcmp(v.data, magic, v.len) == 0;
}

static enum err read_magic(struct call *call, struct net_conn *c)
{
	while (!c->transport) {
		struct bytes v = BYTES(c->in.data + c->in.at,
				       MIN(net_buffer_len(&c->in), (size_t)NET_MAGIC_BYTES));
		if (!v.len) {
			TRY_PLAIN(fill(call, c));
			continue;
		}
		bool tls = begins(v, net_tls_magic);
		/* A wrong start is refused without waiting for its end. */
		if (!tls && !(c->noise_server && begins(v, net_noise_magic)))
			return call_fail(call, ERR_PROTOCOL, "%s does not speak DRPC over TLS%s",
					 os_sock_remote(c->sock),
					 c->noise_server ? " or Noise" : "");
		if (v.len < NET_MAGIC_BYTES) {
			TRY_PLAIN(fill(call, c));
			continue;
		}
		c->in.at += NET_MAGIC_BYTES;
		if (c->in.at == c->in.end)
			c->in.at = c->in.end = 0;
		TRY_PLAIN(tls ? net_tls_attach(call, c) : net_noise_attach(call, c, NULL));
	}
	return OK;
}

enum err net_accept_step(struct call *call, struct net_conn *c)
{
	TRY_PLAIN(read_magic(call, c));
	return handshake_step(call, c);
}

enum err net_accept(struct call *call, const struct net_tls *tls, struct net_noise *noise,
		    struct os_sock *sock, struct net_conn **ret)
{
	AUTO(net_conn_auto) struct net_conn *c = NULL;

	TRY_PLAIN(net_accept_start(call, tls, noise, sock, &c));
	TRY(net_conn_handshake(call, c), "accept");
	*ret = take(&c);
	return OK;
}

/* ---- data ---- */

static enum err broken(struct call *call, const struct net_conn *c)
{
	return call_fail(call, ERR_CLOSED, "connection to %s is broken", os_sock_remote(c->sock));
}

enum err net_try_read(struct call *call, struct net_conn *c, void *buf, size_t cap, size_t *ret_n)
{
	uint8_t *at = buf;
	size_t got = 0;

	while (got < cap) {
		size_t n;
		if (got && c->transport->read_size && c->transport->read_size(c) > cap - got)
			break;
		enum err e = c->failed ? broken(call, c)
				       : c->transport->read(call, c, at + got, cap - got, &n);
		if (!e) {
			got += n;
			continue;
		}
		/* What was had already comes first; the failure is met again next time. */
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
			return broken(call, c);
		enum err e = c->transport->write(call, c, bytes_from(data, done), &n);
		if (e == ERR_WOULD_BLOCK && done)
			break;
		if (e && e != ERR_WOULD_BLOCK)
			c->failed = true;
		TRY_PLAIN(e);
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

void net_keep_chain(struct net_conn *c, struct cert_chain *named)
{
	cert_chain_free(c->named);
	c->named = named;
}

const struct cert_chain *net_kept_chain(const struct net_conn *c)
{
	return c->named;
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
	return redial_is_due(c) ? 0 : net_buffer_len(&c->out);
}

bool net_has_input(const struct net_conn *c)
{
	return net_buffer_len(&c->in) > 0 || c->transport->has_plain(c);
}

bool net_is_noise(const struct net_conn *c)
{
	return c->noise != NULL;
}

bool net_must_read(const struct net_conn *c)
{
	return net_noise_must_read(c) || redial_is_due(c);
}

size_t net_read_size(const struct net_conn *c)
{
	return c->transport->read_size ? c->transport->read_size(c) : 0;
}

void net_idle(struct net_conn *c)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	enum err e = net_try_answer(&call, c);
	if (e && e != ERR_WOULD_BLOCK)
		c->failed = true;
	if (c->redial)
		return; /* its first bytes are in there */
	if (c->established && c->transport->idle)
		c->transport->idle(c);
	if (!net_buffer_len(&c->in))
		net_buffer_free(&c->in);
	if (!net_buffer_len(&c->out))
		net_buffer_free(&c->out);
}
