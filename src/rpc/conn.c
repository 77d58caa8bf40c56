/*
 * A connection and its packets: gathering what is written into full records, sorting what is read.
 * Reading goes on while a write waits, so that Cancel is noticed and two senders never block each
 * other (transport.md 7.6).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "os/clock.h"
#include "os/cancel.h"
#include "rpc/internal.h"

enum {
	READ_WANT = 16 << 10,	/* one record fits at least */
	FINISH_SECONDS = 5,	/* to finish a frame for a peer that ended the stream */
	TAKE_ROUNDS_MAX = 64,	/* reads in a row between two writes */
	LISTEN_BYTES = 1 << 20, /* sent between two looks at what the peer says */
	/* What a server waits for a peer in one operation if its call has no deadline: to send as
	 * the reference node does (transport.md 10), to take a little of what is sent. */
	PEER_SENDS_SECONDS = 30 * 60,
	PEER_TAKES_SECONDS = 10 * 60,
};

void conn_init(struct rpc_conn *c, struct net_conn *net, bool server)
{
	c->net = net;
	c->server = server;
	packet_reader_init(&c->reader, RPC_PACKET_MAX);
	c->stream.conn = c;
}

void conn_fini(struct rpc_conn *c)
{
	net_close(c->net);
	packet_reader_fini(&c->reader);
	free(c->staging);
	free(c->pool.address);
}

enum err conn_break(struct call *call, struct rpc_conn *c, enum err e)
{
	if (!c->broken) {
		c->broken = e;
		snprintf(c->broken_text, sizeof(c->broken_text), "%.*s",
			 (int)sizeof(c->broken_text) - 1, call_error(call, e));
		if (c->cancel)
			os_cancel_set(c->cancel);
	}
	return e;
}

enum err conn_broken(struct call *call, const struct rpc_conn *c)
{
	return call_fail(call, c->broken, "%s", c->broken_text);
}

void conn_idle(struct rpc_conn *c)
{
	if (!c->staging_len) {
		free(c->staging);
		c->staging = NULL;
	}
	packet_reader_idle(&c->reader);
	net_idle(c->net);
}

/* ---- streams ---- */

static void clear_ready(struct rpc_conn *c)
{
	c->ready_first = c->ready_len = 0;
	c->ready_bytes = 0;
	c->reader.keep = UINT64_MAX;
	packet_reader_unpin(&c->reader);
}

void stream_begin(struct rpc_conn *c, uint64_t id)
{
	struct rpc_stream *s = &c->stream;

	s->id = id;
	s->message = 0;
	s->open = true;
	s->sent_close_send = s->got_close_send = s->answered = false;
	s->ended = END_NONE;
	c->finish_ns = 0;
	clear_ready(c);
	packet_reader_drop(&c->reader, id - 1);
	c->reader.live = id;
}

void stream_finish(struct rpc_conn *c)
{
	c->stream.open = false;
	clear_ready(c);
	packet_reader_drop(&c->reader, c->stream.id);
	if (c->has_invoke)
		c->reader.keep = c->invoke.at;
}

bool stream_is_over(const struct rpc_stream *s)
{
	return s->ended || (s->sent_close_send && s->got_close_send);
}

enum err stream_ended(struct call *call, const struct rpc_stream *s)
{
	switch (s->ended) {
	case END_ERROR:
		return call_fail_status(call, s->peer_err, s->peer_status, "%s", s->peer_text);
	case END_CANCELED:
		return call_fail(call, ERR_CANCELED, "canceled by the peer");
	case END_CLOSED:
	case END_NONE:
		break;
	}
	return call_fail(call, ERR_EOF, "the peer closed the stream");
}

/* A peer's words may end up on a terminal. */
static void copy_text(char *out, struct bytes text)
{
	size_t n = MIN(text.len, (size_t)RPC_TEXT_MAX - 1);

	for (size_t i = 0; i < n; i++) {
		uint8_t b = text.data[i];
		out[i] = (char)(b < ' ' || b == 0x7f ? (uint8_t)' ' : b);
	}
	out[n] = 0;
}

static void end_by_peer(struct rpc_conn *c, enum stream_end how)
{
	c->stream.ended = how;
	if (c->cancel && how != END_CLOSED)
		os_cancel_set(c->cancel);
}

static void take_error(struct rpc_conn *c, struct bytes body)
{
	struct rpc_stream *s = &c->stream;
	struct bytes text = error_body_parse(body, &s->peer_status);

	s->peer_err = err_from_status(s->peer_status);
	copy_text(s->peer_text, text.len ? text : bytes_str(err_text(s->peer_err)));
	end_by_peer(c, END_ERROR);
}

static enum err protocol_error(struct call *call, struct rpc_conn *c, const char *what)
{
	return conn_break(call, c,
			  call_fail(call, ERR_PROTOCOL, "%s broke the protocol: %s",
				    net_remote(c->net), what));
}

/* A packet of the live stream (transport.md 7.5). */
static enum err take_stream_packet(struct call *call, struct rpc_conn *c, const struct packet *p)
{
	struct rpc_stream *s = &c->stream;

	if (stream_is_over(s))
		return OK;
	switch (p->kind) {
	case PACKET_MESSAGE:
		if (s->got_close_send)
			return OK;
		if (!c->ready_len)
			c->reader.keep = p->at;
		c->ready[(c->ready_first + c->ready_len++) % RPC_READY_MAX] = *p;
		c->ready_bytes += p->len;
		return OK;
	case PACKET_ERROR:
		take_error(c, packet_reader_data(&c->reader, p));
		return OK;
	case PACKET_CANCEL:
		end_by_peer(c, END_CANCELED);
		return OK;
	case PACKET_CLOSE:
		end_by_peer(c, END_CLOSED);
		return OK;
	case PACKET_CLOSE_SEND:
		s->got_close_send = true;
		return OK;
	case PACKET_INVOKE:
		return protocol_error(call, c, "invoke on a live stream");
	default:
		return p->control ? OK : protocol_error(call, c, "unknown packet kind");
	}
}

/* A packet of a stream that we do not know: the next call, or a mistake. */
static enum err take_new_packet(struct call *call, struct rpc_conn *c, const struct packet *p)
{
	bool invokes = p->kind == PACKET_INVOKE || p->kind == PACKET_INVOKE_METADATA;

	if (!c->server || !invokes) {
		/* Enders of streams that never came are harmless. */
		bool ender = p->kind >= PACKET_ERROR && p->kind <= PACKET_CLOSE_SEND;
		if (p->control || (c->server && ender))
			return OK;
		return protocol_error(call, c, "packet of a stream that was never opened");
	}
	/* transport.md 7.6: whoever begins a new call gives the old one up. */
	if (c->stream.open && !stream_is_over(&c->stream))
		end_by_peer(c, END_CANCELED);
	if (p->kind == PACKET_INVOKE_METADATA) {
		if (metadata_parse(packet_reader_data(&c->reader, p), NULL, NULL))
			return protocol_error(call, c, "malformed metadata");
		return OK;
	}
	c->has_invoke = true;
	c->invoke = *p;
	if (!c->ready_len)
		c->reader.keep = p->at;
	return OK;
}

enum err conn_pump(struct call *call, struct rpc_conn *c)
{
	while (c->ready_len < RPC_READY_MAX && !c->has_invoke) {
		struct packet p;
		enum err e = packet_reader_next(call, &c->reader, &p);
		if (e == ERR_WOULD_BLOCK)
			return OK;
		if (e)
			return conn_break(call, c, e);
		TRY_PLAIN(c->stream.open && p.stream == c->stream.id
				  ? take_stream_packet(call, c, &p)
				  : take_new_packet(call, c, &p));
	}
	return OK;
}

/* ---- reading ---- */

enum err conn_fill(struct call *call, struct rpc_conn *c)
{
	uint8_t *p;
	size_t room, n;

	if (c->broken)
		return conn_broken(call, c);
	size_t want = MAX((size_t)READ_WANT, net_read_size(c->net));
	enum err e = packet_reader_space(&c->reader, want, &p, &room);
	if (e)
		return conn_break(call, c, call_fail(call, e, "out of memory for a connection"));
	e = net_try_read(call, c->net, p, room, &n);
	if (e == ERR_WOULD_BLOCK)
		return e;
	if (e == ERR_EOF)
		e = call_fail(call, ERR_CLOSED, "connection closed by %s", net_remote(c->net));
	if (e)
		return conn_break(call, c, e);
	packet_reader_added(&c->reader, n);
	return OK;
}

/* Whether a packet could be taken in beyond what is there. */
static bool inbox_has_room(const struct rpc_conn *c)
{
	return c->ready_len < RPC_READY_MAX && c->ready_bytes < RPC_INBOX_MAX && !c->has_invoke;
}

enum err conn_take(struct call *call, struct rpc_conn *c)
{
	for (unsigned i = 0; i < TAKE_ROUNDS_MAX; i++) {
		TRY_PLAIN(conn_pump(call, c));
		if (!inbox_has_room(c))
			return OK;
		enum err e = conn_fill(call, c);
		if (e == ERR_WOULD_BLOCK)
			return OK;
		TRY_PLAIN(e);
	}
	return conn_pump(call, c);
}

enum err conn_wait(struct call *call, struct rpc_conn *c, bool read, bool write)
{
	struct call limited;
	int64_t seconds = write ? PEER_TAKES_SECONDS : PEER_SENDS_SECONDS;

	if (!c->server || call->deadline_ns != CALL_NO_DEADLINE)
		return net_wait(call, c->net, read, write);
	call_init_child(&limited, call);
	os_call_limit(&limited, seconds * NS_PER_SEC);
	enum err e = net_wait(&limited, c->net, read, write);
	if (e)
		call_copy_error(call, &limited);
	call_fini(&limited);
	return e;
}

/* ---- writing ---- */

/* Waits for the socket.  A frame that is begun is finished even when the peer ended the stream,
 * or the connection would be lost to the next call; but not for long. */
static enum err wait_socket(struct call *call, struct rpc_conn *c, bool read, bool write)
{
	enum err e = conn_wait(call, c, read, write);

	if (e == ERR_CANCELED && c->cancel && c->stream.ended && c->mid_frame) {
		struct call finish;
		call_init(&finish);
		if (!c->finish_ns)
			c->finish_ns = os_clock_mono_ns() + FINISH_SECONDS * NS_PER_SEC;
		finish.deadline_ns = MIN(call->deadline_ns, c->finish_ns);
		e = net_wait(&finish, c->net, read, write);
		call_fini(&finish);
	}
	return e;
}

/* One round of getting rid of encrypted bytes, taking in what comes meanwhile. */
static enum err wait_writable(struct call *call, struct rpc_conn *c)
{
	enum err e = net_try_flush(call, c->net);

	if (e && e != ERR_WOULD_BLOCK)
		return conn_break(call, c, e);
	if (!e)
		return OK;
	bool read = inbox_has_room(c);
	TRY_PLAIN(wait_socket(call, c, read, true));
	return read ? conn_take(call, c) : OK;
}

/* For room to encrypt into. */
static enum err wait_room(struct call *call, struct rpc_conn *c)
{
	TRY_PLAIN(wait_writable(call, c));
	if (c->broken || !net_must_read(c->net) || net_out_pending(c->net))
		return OK;
	TRY_PLAIN(wait_socket(call, c, true, false));
	return conn_take(call, c);
}

/* Encrypts all of data.  On failure *ret_done tells how much was taken. */
static enum err encrypt(struct call *call, struct rpc_conn *c, struct bytes data, size_t *ret_done)
{
	*ret_done = 0;
	while (*ret_done < data.len) {
		size_t n;
		if (c->broken)
			return conn_broken(call, c);
		enum err e = net_try_write(call, c->net, bytes_from(data, *ret_done), &n);
		if (e == ERR_WOULD_BLOCK) {
			TRY_PLAIN(wait_room(call, c));
			continue;
		}
		if (e)
			return conn_break(call, c, e);
		*ret_done += n;
		c->unheard += n;
		if (net_out_pending(c->net) < NET_OUT_GATHER)
			continue;
		e = net_try_flush(call, c->net);
		if (e && e != ERR_WOULD_BLOCK)
			return conn_break(call, c, e);
		/* A peer that takes all as fast as it comes must be heard as well. */
		if (c->unheard >= LISTEN_BYTES && inbox_has_room(c)) {
			c->unheard = 0;
			TRY_PLAIN(conn_take(call, c));
		}
	}
	return OK;
}

static enum err push_staging(struct call *call, struct rpc_conn *c)
{
	struct bytes data = BYTES(c->staging + c->staging_at, c->staging_len - c->staging_at);
	size_t done;
	enum err e = data.len ? encrypt(call, c, data, &done) : OK;

	if (data.len)
		c->staging_at += done;
	if (!e)
		c->staging_at = c->staging_len = 0;
	return e;
}

/* Gathers small pieces; large ones go to the cipher from the caller's memory, behind a short record
 * if need be: that costs less than copying to fill it. */
static enum err write_bytes(struct call *call, struct rpc_conn *c, struct bytes data)
{
	if (!c->staging && !(c->staging = malloc(RPC_STAGING)))
		return conn_break(call, c, call_fail(call, ERR_NO_MEMORY, "out of memory"));
	if (data.len >= RPC_STAGING) {
		size_t done;
		TRY_PLAIN(push_staging(call, c));
		return encrypt(call, c, data, &done);
	}
	while (data.len) {
		size_t n = MIN(data.len, (size_t)RPC_STAGING - c->staging_len);
		memcpy(c->staging + c->staging_len, data.data, n);
		c->staging_len += n;
		if (c->staging_len == RPC_STAGING)
			TRY_PLAIN(push_staging(call, c));
		data = bytes_from(data, n);
	}
	return OK;
}

/* One frame with `len` bytes taken from *parts, which are moved on. */
static enum err write_frame(struct call *call, struct rpc_conn *c, struct frame_header *h,
			    const struct bytes **parts, size_t *offset)
{
	uint8_t head[FRAME_HEADER_MAX];
	size_t left = (size_t)h->length;

	TRY_PLAIN(write_bytes(call, c, BYTES(head, frame_put_header(head, h))));
	while (left) {
		struct bytes part = bytes_from(**parts, *offset);
		if (!part.len) {
			(*parts)++;
			*offset = 0;
			continue;
		}
		part.len = MIN(part.len, left);
		TRY_PLAIN(write_bytes(call, c, part));
		*offset += part.len;
		left -= part.len;
	}
	return OK;
}

enum err conn_packet(struct call *call, struct rpc_conn *c, enum packet_kind kind, bool control,
		     const struct bytes *parts, size_t count)
{
	struct frame_header h = { .stream = c->stream.id,
				  .message = ++c->stream.message,
				  .kind = kind,
				  .control = control };
	size_t left = 0, offset = 0;

	if (c->broken)
		return conn_broken(call, c);
	for (size_t i = 0; i < count; i++)
		left += parts[i].len;
	do {
		/* The rest of a packet that the peer does not want any more is not sent: the
		 * next id makes it forget the front (transport.md 7.2). */
		if (c->stream.ended)
			return stream_ended(call, &c->stream);
		h.length = MIN(left, (size_t)RPC_FRAME_MAX);
		left -= h.length;
		h.done = !left;
		c->mid_frame = true;
		enum err e = write_frame(call, c, &h, &parts, &offset);
		if (e) {
			/* Half a frame cannot be taken back. */
			conn_break(call, c, e);
			return c->stream.ended ? stream_ended(call, &c->stream) : e;
		}
		c->mid_frame = false;
	} while (left);
	return OK;
}

enum err conn_try_flush(struct call *call, struct rpc_conn *c)
{
	size_t n;

	if (c->broken)
		return conn_broken(call, c);
	while (c->staging_at < c->staging_len) {
		struct bytes data = BYTES(c->staging + c->staging_at,
					  c->staging_len - c->staging_at);
		enum err e = net_try_write(call, c->net, data, &n);
		if (e && e != ERR_WOULD_BLOCK)
			return conn_break(call, c, e);
		TRY_PLAIN(e);
		c->staging_at += n;
	}
	c->staging_at = c->staging_len = 0;
	enum err e = net_try_flush(call, c->net);
	return e && e != ERR_WOULD_BLOCK ? conn_break(call, c, e) : e;
}

enum err conn_flush(struct call *call, struct rpc_conn *c)
{
	if (c->broken)
		return conn_broken(call, c);
	TRY_PLAIN(push_staging(call, c));
	while (net_out_pending(c->net)) {
		TRY_PLAIN(wait_writable(call, c));
		if (c->broken)
			return conn_broken(call, c);
	}
	return OK;
}
