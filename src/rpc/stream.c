/* Streams, as both ends use them. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "rpc/internal.h"

enum { REQUEST_SECONDS = 60 }; /* a unary request is small: who takes longer is not sending it */

/* What the peer said about the stream explains a failure better than the failure itself. */
static enum err explain(struct call *call, struct rpc_stream *s, enum err e)
{
	if (e && e != ERR_WOULD_BLOCK && (s->ended == END_ERROR || s->ended == END_CANCELED))
		return stream_ended(call, s);
	return e;
}

static enum err may_send(struct call *call, const struct rpc_stream *s)
{
	if (!s->open)
		return call_fail(call, ERR_INVALID, "the stream has ended");
	if (s->ended)
		return stream_ended(call, s);
	if (s->sent_close_send)
		return call_fail(call, ERR_INVALID, "send after close");
	return OK;
}

enum err rpc_send(struct call *call, struct rpc_stream *s, const struct bytes *parts, size_t count)
{
	TRY_PLAIN(may_send(call, s));
	return explain(call, s, conn_packet(call, s->conn, PACKET_MESSAGE, false, parts, count));
}

enum err rpc_send_message(struct call *call, struct rpc_stream *s, const ProtobufCMessage *message)
{
	size_t len = message ? protobuf_c_message_get_packed_size(message) : 0;
	uint8_t small[1024];

	if (len > RPC_PACKET_MAX)
		return call_fail(call, ERR_INVALID, "message of %zu bytes is too large to send",
				 len);
	AUTO_FREE uint8_t *large = len > sizeof(small) ? malloc(len) : NULL;
	uint8_t *p = large ? large : small;
	if (len > sizeof(small) && !large)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a message");
	if (len)
		protobuf_c_message_pack(message, p);
	struct bytes part = BYTES(p, len);
	return rpc_send(call, s, &part, 1);
}

enum err rpc_flush(struct call *call, struct rpc_stream *s)
{
	if (s->ended)
		return stream_ended(call, s);
	TRY_PLAIN(explain(call, s, conn_flush(call, s->conn)));
	enum err e = s->conn->server ? net_try_answer(call, s->conn->net) : OK;
	if (e && e != ERR_WOULD_BLOCK)
		return conn_break(call, s->conn, e);
	/* So that who only sends hears of an Error or Cancel.  An end of the connection is told by
	 * the next receive, behind what came before it. */
	if (conn_take(call, s->conn) && !s->ended)
		call_clear_error(call);
	return s->ended ? stream_ended(call, s) : OK;
}

enum err rpc_close_send(struct call *call, struct rpc_stream *s)
{
	if (s->sent_close_send)
		return OK;
	TRY_PLAIN(may_send(call, s));
	TRY_PLAIN(explain(call, s, conn_packet(call, s->conn, PACKET_CLOSE_SEND, false, NULL, 0)));
	s->sent_close_send = true;
	/* When the peer was done already, nobody waits for this: it goes with the next flush. */
	return explain(call, s, conn_flush(call, s->conn));
}

static struct bytes pop_ready(struct rpc_conn *c)
{
	struct packet p = c->ready[c->ready_first];

	c->stream.answered = true;
	c->ready_first = (c->ready_first + 1) % RPC_READY_MAX;
	c->ready_len--;
	c->ready_bytes -= p.len;
	c->reader.pinned = true;
	c->reader.keep = c->ready_len	 ? c->ready[c->ready_first].at
			 : c->has_invoke ? c->invoke.at
					 : UINT64_MAX;
	return packet_reader_data(&c->reader, &p);
}

/* The next message if it is in hand, or how the stream ended; ERR_WOULD_BLOCK if neither. */
static enum err recv_in_hand(struct call *call, struct rpc_stream *s, struct bytes *ret)
{
	struct rpc_conn *c = s->conn;

	if (!s->open)
		return call_fail(call, ERR_INVALID, "the stream has ended");
	if (!c->ready_len && !c->broken) {
		enum err e = conn_pump(call, c);
		if (e && !c->ready_len)
			return e;
	}
	if (c->ready_len) {
		*ret = pop_ready(c);
		return OK;
	}
	if (s->ended)
		return stream_ended(call, s);
	if (s->got_close_send)
		return call_fail(call, ERR_EOF, "end of stream");
	if (c->broken)
		return conn_broken(call, c);
	return ERR_WOULD_BLOCK;
}

enum err rpc_try_recv(struct call *call, struct rpc_stream *s, struct bytes *ret)
{
	packet_reader_unpin(&s->conn->reader);
	for (;;) {
		enum err e = recv_in_hand(call, s, ret);
		if (e != ERR_WOULD_BLOCK)
			return e;
		/* A broken connection is told by the next round, behind what came before. */
		if (conn_fill(call, s->conn) == ERR_WOULD_BLOCK)
			return ERR_WOULD_BLOCK;
	}
}

enum err rpc_recv(struct call *call, struct rpc_stream *s, struct bytes *ret)
{
	struct rpc_conn *c = s->conn;

	packet_reader_unpin(&c->reader);
	if (c->staging_len && !c->broken)
		TRY_PLAIN(explain(call, s, conn_flush(call, c)));
	for (;;) {
		enum err e = recv_in_hand(call, s, ret);
		if (e != ERR_WOULD_BLOCK)
			return e;
		if (conn_fill(call, c) != ERR_WOULD_BLOCK)
			continue;
		e = conn_try_flush(call, c);
		if (e && e != ERR_WOULD_BLOCK)
			continue;
		TRY_PLAIN(explain(call, s, conn_wait(call, c, true, e == ERR_WOULD_BLOCK)));
	}
}

enum err rpc_recv_message(struct call *call, struct rpc_stream *s, struct arena *a,
			  const ProtobufCMessageDescriptor *type, void *ret_message)
{
	struct bytes wire = BYTES_NONE;

	TRY_PLAIN(rpc_recv(call, s, &wire));
	return proto_decode(call, a, type, wire, ret_message);
}

enum err rpc_request(struct call *call, struct rpc_stream *s, struct arena *a,
		     const ProtobufCMessageDescriptor *type, void *ret_message)
{
	int64_t deadline_ns = call->deadline_ns;
	struct bytes wire = BYTES_NONE;

	os_call_limit(call, REQUEST_SECONDS * NS_PER_SEC);
	enum err e = rpc_recv(call, s, &wire);
	call->deadline_ns = deadline_ns;
	if (e == ERR_EOF)
		return call_fail(call, ERR_INVALID, "the call has no request");
	TRY(e, "read request");
	return proto_decode(call, a, type, wire, ret_message);
}

const struct net_conn *rpc_stream_net(const struct rpc_stream *s)
{
	return s->conn->net;
}
