/* Client side: one connection, one call at a time (transport.md 7.4 to 7.6). */
#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "rpc/internal.h"

enum err rpc_conn_new(struct call *call, struct net_conn *net, struct rpc_conn **ret)
{
	struct rpc_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		net_close(net);
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	}
	conn_init(c, net, false);
	*ret = c;
	return OK;
}

enum err rpc_dial(struct call *call, const struct net_tls *tls, const char *address,
		  const struct node_id *expected, struct rpc_conn **ret)
{
	struct net_conn *net;

	TRY_PLAIN(net_dial(call, tls, address, expected, &net));
	return rpc_conn_new(call, net, ret);
}

enum err rpc_dial_noise(struct call *call, const struct net_tls *tls, const char *address,
			const struct node_id *expected, const struct noise_peer *node,
			struct rpc_conn **ret)
{
	struct net_conn *net;

	TRY_PLAIN(net_dial_noise(call, tls, address, expected, node, &net));
	return rpc_conn_new(call, net, ret);
}

void rpc_conn_close(struct rpc_conn *c)
{
	if (!c)
		return;
	conn_fini(c);
	free(c);
}

const struct net_conn *rpc_conn_net(const struct rpc_conn *c)
{
	return c->net;
}

void rpc_conn_keep_chain(struct rpc_conn *c, struct cert_chain *named)
{
	net_keep_chain(c->net, named);
}

enum { LATE_ROUNDS_MAX = 512 }; /* reads of a cancelled call's answer, up to 16 MiB */

/* Late packets of ended streams are read and forgotten here; an end is noticed.  A peer that does
 * not stop sending is not waited for. */
static bool is_free(struct call *call, struct rpc_conn *c)
{
	if (c->broken || c->stream.open || c->mid_frame)
		return false;
	for (unsigned i = 0; i < LATE_ROUNDS_MAX; i++) {
		if (conn_pump(call, c))
			return false;
		enum err e = conn_fill(call, c);
		if (e)
			return e == ERR_WOULD_BLOCK;
	}
	return false;
}

bool rpc_conn_reusable(struct rpc_conn *c)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	if (!is_free(&call, c))
		return false;
	/* What the peer did not take yet of an ended stream may go out later. */
	enum err e = conn_try_flush(&call, c);
	return e == OK || e == ERR_WOULD_BLOCK;
}

bool conn_is_idle(struct rpc_conn *c)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	return is_free(&call, c) && conn_try_flush(&call, c) == OK;
}

enum err rpc_open(struct call *call, struct rpc_conn *c, const char *method,
		  struct rpc_stream **ret)
{
	struct bytes name = bytes_str(method);

	if (c->broken)
		return conn_broken(call, c);
	if (c->stream.open)
		return call_fail(call, ERR_INVALID, "the connection has a live stream");
	stream_begin(c, c->stream.id + 1);
	enum err e = conn_packet(call, c, PACKET_INVOKE, false, &name, 1);
	if (e) {
		stream_finish(c);
		return e;
	}
	*ret = &c->stream;
	return OK;
}

/* Tells the peer that we are done, if that is possible without waiting.  A call given up before its
 * answer is cancelled: to be closed is an error for a peer that is still at work
 * (transport.md 7.6). */
static void send_end(struct rpc_conn *c)
{
	AUTO_CALL struct call call = CALL_INIT;
	bool cancel = !c->stream.sent_close_send || !c->stream.answered;
	enum err e = ERR_WOULD_BLOCK;

	call_init(&call);
	/* A record fits in any case, so this does not wait. */
	if (conn_try_flush(&call, c) == OK && !net_must_read(c->net))
		e = conn_packet(&call, c, cancel ? PACKET_CANCEL : PACKET_CLOSE, cancel, NULL, 0);
	if (!e)
		e = conn_try_flush(&call, c);
	if (e)
		conn_break(&call, c, e);
}

void rpc_stream_end(struct rpc_stream *s)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct rpc_conn *c = s->conn;

	if (!s->open)
		return;
	/* The peer's CloseSend is often there already. */
	if (!c->broken && !stream_is_over(s) && conn_take(&call, c))
		call_clear_error(&call);
	if (!c->broken && !stream_is_over(s) && !c->mid_frame)
		send_end(c);
	stream_finish(c);
}

/* The request and what ends it, as one write. */
static enum err send_request(struct call *call, struct rpc_stream *s,
			     const ProtobufCMessage *request)
{
	TRY_PLAIN(rpc_send_message(call, s, request));
	TRY_PLAIN(conn_packet(call, s->conn, PACKET_CLOSE_SEND, false, NULL, 0));
	s->sent_close_send = true;
	return OK;
}

enum err rpc_invoke(struct call *call, struct rpc_conn *c, const char *method,
		    const ProtobufCMessage *request, struct arena *a,
		    const ProtobufCMessageDescriptor *reply_type, void *ret_reply)
{
	struct rpc_stream *s = NULL;
	struct bytes wire = BYTES_NONE;

	TRY_PLAIN(rpc_open(call, c, method, &s));
	assert(s);
	enum err e = send_request(call, s, request);
	if (!e || (e == ERR_EOF && s->ended))
		e = rpc_recv(call, s, &wire);
	if (e == ERR_EOF)
		e = call_fail(call, ERR_PROTOCOL, "%s: the peer ended the call without an answer",
			      method);
	if (e) {
		rpc_stream_end(s);
		return e;
	}
	e = proto_decode(call, a, reply_type, wire, ret_reply);
	/* The answer is here: both sides are done, whether or not their CloseSend is. */
	stream_finish(c);
	return e;
}
