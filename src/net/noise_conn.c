/*
 * Noise as a transport of a connection (noise.md 4).  Records are sealed from the caller's memory
 * into c->out and opened into the caller's buffer, or where they lie when that is too small.  Only
 * a client's first payload is gathered, at its place in c->out, and sealed there.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/internal.h"
#include "net/noise.h"
#include "os/random.h"

enum stage {
	STAGE_FIRST,  /* client: gathers the first payload; server: waits for it */
	STAGE_SECOND, /* client: waits for the answer; server: owes it */
	STAGE_OPEN,
};

enum {
	FIRST_BEFORE = NET_MAGIC_BYTES + NOISE_HEADER_BYTES + NOISE_FIRST_BEFORE,
	RECORD_OVERHEAD = NOISE_HEADER_BYTES + AEAD_TAG_BYTES,
	SECOND_OVERHEAD = NOISE_HEADER_BYTES + NOISE_SECOND_OVERHEAD,
	/* Longer data goes in records of this size: 64 KiB would leave a record of one byte. */
	RECORD_PLAIN = 32 << 10,
	RECORD_ROOM_MIN = 16 << 10, /* with less room than that for a longer record, none is made */
};

struct noise_conn {
	enum stage stage;
	struct noise_handshake handshake; /* wiped when done */
	struct noise_session session;
	size_t plain, behind; /* opened bytes at the front of c->in, and the tag behind them */
	size_t first_at;      /* client: where the sealed first payload lies in c->out */
	size_t first_len;
};

bool net_noise_must_read(const struct net_conn *c)
{
	return c->noise && !c->server && c->noise->stage == STAGE_SECOND;
}

static enum err noise_fail(struct call *call, struct net_conn *c, enum err e)
{
	c->failed = true;
	return call_fail(call, e == ERR_NO_MEMORY ? e : ERR_PROTOCOL, "Noise with %s: %s",
			 os_sock_remote(c->sock),
			 e == ERR_CRYPTO ? "a message does not authenticate" : err_text(e));
}

static enum err no_room(struct call *call, struct net_conn *c)
{
	c->failed = true;
	return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
}

static void random_key(struct secret_key *k)
{
	os_random(k->b, sizeof(k->b));
}

/* ---- reading ---- */

/* The next message if it is whole; *ret_len without header. */
static enum err whole_message(struct call *call, struct net_conn *c, enum noise_message kind,
			      size_t *ret_len)
{
	struct bytes in = BYTES(c->in.data + c->in.at, net_buffer_len(&c->in));
	size_t len = 0;
	enum err e = noise_parse_header(kind, in, &len);

	if (e && e != ERR_WOULD_BLOCK)
		return noise_fail(call, c, e);
	if (e || in.len - NOISE_HEADER_BYTES < len)
		return ERR_WOULD_BLOCK;
	*ret_len = len;
	return OK;
}

static void consume(struct net_conn *c, size_t len)
{
	c->in.at += len;
	if (c->in.at == c->in.end)
		c->in.at = c->in.end = 0;
}

/* Makes the opened bytes the front of c->in; they lie in the message, `behind` bytes before its
 * end. */
static void hold_plain(struct net_conn *c, struct bytes plain, size_t behind)
{
	c->in.at = (size_t)(plain.data - c->in.data);
	c->noise->plain = plain.len;
	c->noise->behind = behind;
	if (!plain.len)
		consume(c, behind);
}

static size_t take_plain(struct net_conn *c, uint8_t *buf, size_t cap)
{
	struct noise_conn *n = c->noise;
	size_t len = MIN(cap, n->plain);

	memcpy(buf, c->in.data + c->in.at, len);
	n->plain -= len;
	consume(c, n->plain ? len : len + n->behind);
	return len;
}

static enum err read_second(struct call *call, struct net_conn *c)
{
	struct noise_conn *n = c->noise;
	struct bytes payload = BYTES_NONE;
	size_t len = 0;

	TRY_PLAIN(whole_message(call, c, NOISE_SECOND, &len));
	enum err e = noise_client_read(&n->handshake, c->in.data + c->in.at + NOISE_HEADER_BYTES,
				       len, &payload, &n->session);
	if (e)
		return noise_fail(call, c, e);
	noise_handshake_wipe(&n->handshake);
	n->stage = STAGE_OPEN;
	free(c->redial);
	c->redial = NULL;
	hold_plain(c, payload, AEAD_TAG_BYTES);
	return OK;
}

static enum err read_record(struct call *call, struct net_conn *c, uint8_t *buf, size_t cap,
			    size_t *ret_n)
{
	struct noise_conn *n = c->noise;
	size_t len = 0;

	TRY_PLAIN(whole_message(call, c, NOISE_RECORD, &len));
	uint8_t *message = c->in.data + c->in.at + NOISE_HEADER_BYTES;
	size_t plain = len - AEAD_TAG_BYTES;
	bool direct = plain <= cap;
	enum err e = noise_open(&n->session.open, BYTES(message, len), direct ? buf : message);
	if (e)
		return noise_fail(call, c, e);
	if (direct) {
		consume(c, NOISE_HEADER_BYTES + len);
		*ret_n = plain;
	} else {
		hold_plain(c, BYTES(message, plain), AEAD_TAG_BYTES);
		*ret_n = take_plain(c, buf, cap);
	}
	return OK;
}

static enum err noise_read(struct call *call, struct net_conn *c, uint8_t *buf, size_t cap,
			   size_t *ret_n)
{
	struct noise_conn *n = c->noise;
	size_t got = 0;

	if (!c->server && n->stage == STAGE_FIRST)
		return ERR_WOULD_BLOCK;
	if (!c->server && n->stage == STAGE_SECOND)
		TRY_PLAIN(read_second(call, c));
	if (n->plain) {
		*ret_n = take_plain(c, buf, cap);
		return OK;
	}
	while (!got) /* empty records are legal and mean nothing */
		TRY_PLAIN(read_record(call, c, buf, cap, &got));
	*ret_n = got;
	return OK;
}

static size_t noise_read_size(const struct net_conn *c)
{
	size_t len = 0;
	struct bytes in = BYTES(c->in.data + c->in.at, net_buffer_len(&c->in));

	if (c->noise->stage != STAGE_OPEN || c->noise->plain ||
	    noise_parse_header(NOISE_RECORD, in, &len))
		return c->noise->plain;
	return len - AEAD_TAG_BYTES;
}

static bool noise_has_plain(const struct net_conn *c)
{
	return c->noise->plain > 0;
}

/* ---- handshake ---- */

static enum err noise_handshake(struct call *call, struct net_conn *c)
{
	struct noise_conn *n = c->noise;
	struct bytes payload = BYTES_NONE;
	size_t len = 0;

	if (c->server) {
		TRY_PLAIN(whole_message(call, c, NOISE_FIRST, &len));
		uint8_t *message = c->in.data + c->in.at + NOISE_HEADER_BYTES;
		uint8_t digest[HASH_BYTES];
		hash_blake3(BYTES(message, len), digest);
		enum err e = noise_server_read(&n->handshake, message, len, &payload);
		if (e)
			return noise_fail(call, c, e);
		if (net_noise_seen(c->noise_server, digest)) {
			c->failed = true;
			return call_fail(call, ERR_CLOSED, "%s sent a first message again",
					 os_sock_remote(c->sock));
		}
		hold_plain(c, payload, AEAD_TAG_BYTES);
		n->stage = STAGE_SECOND;
	}
	c->established = true;
	return OK;
}

static size_t record_len(struct bytes data)
{
	return data.len > NOISE_PLAIN_MAX ? (size_t)RECORD_PLAIN : data.len;
}

/* The server's answer, with the front of data in it. */
static enum err write_second(struct call *call, struct net_conn *c, struct bytes data,
			     size_t *ret_n)
{
	struct noise_conn *n = c->noise;
	struct secret_key ephemeral;
	struct bytes payload = BYTES(data.data, record_len(data));
	size_t len = payload.len + SECOND_OVERHEAD;

	if (!net_buffer_reserve(&c->out, len, NET_OUT_MAX))
		return no_room(call, c);
	uint8_t *out = c->out.data + c->out.end;
	random_key(&ephemeral);
	noise_put_header(out, payload.len + NOISE_SECOND_OVERHEAD);
	enum err e = noise_server_write(&n->handshake, &ephemeral, payload,
					out + NOISE_HEADER_BYTES, &n->session);
	secret_key_wipe(&ephemeral);
	noise_handshake_wipe(&n->handshake);
	if (e)
		return noise_fail(call, c, e);
	c->out.end += len;
	n->stage = STAGE_OPEN;
	*ret_n = payload.len;
	return OK;
}

/* Whoever waits for the rest of a request must have answered before (noise.md 4). */
static enum err noise_before_wait(struct call *call, struct net_conn *c)
{
	size_t n;

	return c->server && c->noise->stage == STAGE_SECOND ? write_second(call, c, BYTES_NONE, &n)
							    : OK;
}

/* ---- writing ---- */

/* The client's first payload, at its place behind magic, header and keys. */
static enum err gather(struct call *call, struct net_conn *c, struct bytes data, size_t *ret_n)
{
	bool fresh = net_buffer_len(&c->out) == 0;
	size_t before = fresh ? FIRST_BEFORE : 0;
	size_t have = fresh ? 0 : net_buffer_len(&c->out) - FIRST_BEFORE;
	size_t len = MIN(data.len, NOISE_PLAIN_MAX - have);

	if (!len)
		return ERR_WOULD_BLOCK;
	if (!net_buffer_reserve(&c->out, before + len + AEAD_TAG_BYTES, NET_OUT_MAX))
		return no_room(call, c);
	memcpy(c->out.data + c->out.end + before, data.data, len);
	c->out.end += before + len;
	*ret_n = len;
	return OK;
}

static enum err write_record(struct call *call, struct net_conn *c, struct bytes data,
			     size_t *ret_n)
{
	size_t used = net_buffer_len(&c->out) + RECORD_OVERHEAD;
	size_t room = used < NET_OUT_MAX ? NET_OUT_MAX - used : 0;
	size_t len = record_len(data);

	if (len > room) {
		if (room < RECORD_ROOM_MIN)
			return ERR_WOULD_BLOCK;
		len = room;
	}
	if (!net_buffer_reserve(&c->out, len + RECORD_OVERHEAD, NET_OUT_MAX))
		return no_room(call, c);
	uint8_t *out = c->out.data + c->out.end;
	noise_put_header(out, len + AEAD_TAG_BYTES);
	enum err e = noise_seal(&c->noise->session.seal, BYTES(data.data, len),
				out + NOISE_HEADER_BYTES);
	if (e)
		return noise_fail(call, c, e);
	c->out.end += len + RECORD_OVERHEAD;
	*ret_n = len;
	return OK;
}

static enum err noise_write(struct call *call, struct net_conn *c, struct bytes data, size_t *ret_n)
{
	switch (c->noise->stage) {
	case STAGE_FIRST:
		return gather(call, c, data, ret_n);
	case STAGE_SECOND:
		return c->server ? write_second(call, c, data, ret_n) : ERR_WOULD_BLOCK;
	case STAGE_OPEN:
		break;
	}
	return write_record(call, c, data, ret_n);
}

static enum err noise_before_flush(struct call *call, struct net_conn *c)
{
	struct noise_conn *n = c->noise;
	size_t len = net_buffer_len(&c->out);

	if (c->server || n->stage != STAGE_FIRST || !len)
		return OK;
	len -= FIRST_BEFORE;
	uint8_t *out = c->out.data + c->out.at;
	memcpy(out, net_noise_magic, NET_MAGIC_BYTES);
	noise_put_header(out + NET_MAGIC_BYTES, len + NOISE_FIRST_OVERHEAD);
	enum err e = noise_client_write(&n->handshake, BYTES(out + FIRST_BEFORE, len),
					out + NET_MAGIC_BYTES + NOISE_HEADER_BYTES);
	if (e)
		return noise_fail(call, c, e);
	n->first_at = c->out.at + FIRST_BEFORE;
	n->first_len = len + AEAD_TAG_BYTES;
	c->out.end += AEAD_TAG_BYTES;
	n->stage = STAGE_SECOND;
	return OK;
}

enum err net_noise_unsent(struct call *call, struct net_conn *c, uint8_t **ret_data,
			  size_t *ret_len)
{
	struct noise_conn *n = c->noise;
	bool gathering = n->stage == STAGE_FIRST;
	size_t len = gathering ? net_buffer_len(&c->out) : n->first_len;
	size_t around = gathering ? FIRST_BEFORE : AEAD_TAG_BYTES;
	size_t plain = len > around ? len - around : 0;
	AUTO_FREE uint8_t *copy = malloc(plain + 1);

	if (!copy)
		return no_room(call, c);
	/* Since it was sealed nothing else was put into c->out. */
	if (gathering && plain)
		memcpy(copy, c->out.data + c->out.at + FIRST_BEFORE, plain);
	else if (!gathering)
		TRY_PLAIN(noise_client_reopen(&n->handshake, BYTES(c->out.data + n->first_at, len),
					      copy));
	*ret_data = take(&copy);
	*ret_len = plain;
	return OK;
}

/* ---- life ---- */

/* Noise has no word for it; what was gathered for nobody is not sent. */
static void noise_shut(struct net_conn *c)
{
	if (!c->server && c->noise->stage == STAGE_FIRST)
		c->out.at = c->out.end = 0;
}

static void noise_free(struct net_conn *c)
{
	if (!c->noise)
		return;
	noise_handshake_wipe(&c->noise->handshake);
	noise_cipher_free(&c->noise->session.seal);
	noise_cipher_free(&c->noise->session.open);
	free(c->noise);
	c->noise = NULL;
}

static const struct net_transport noise_transport = {
	.handshake = noise_handshake,
	.read = noise_read,
	.write = noise_write,
	.before_flush = noise_before_flush,
	.before_wait = noise_before_wait,
	.read_size = noise_read_size,
	.has_plain = noise_has_plain,
	.shut = noise_shut,
	.free = noise_free,
	.in_max = NET_NOISE_IN_MAX,
};

enum err net_noise_attach(struct call *call, struct net_conn *c, const struct noise_peer *node)
{
	struct secret_key ephemeral, own;
	enum err e;

	c->noise = calloc(1, sizeof(*c->noise));
	c->transport = &noise_transport;
	if (!c->noise)
		return no_room(call, c);
	if (c->server) {
		e = net_noise_server_start(c->noise_server, &c->noise->handshake);
	} else {
		random_key(&ephemeral);
		random_key(&own);
		e = noise_client_start(&c->noise->handshake, node->suite, node->key, &ephemeral,
				       &own);
		secret_key_wipe(&ephemeral);
		secret_key_wipe(&own);
	}
	return e ? noise_fail(call, c, e) : OK;
}
