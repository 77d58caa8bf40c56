/*
 * A storage node that misbehaves by plan (fault.h).  It is acre-node, linked with --wrap around
 * the piece streams; nothing of this is in the shipped program.
 *
 *   up.refuse up.stall up.pause up.truncate up.die up.exit      before or in the middle of an
 * upload up.silent up.late up.forge up.other up.empty up.forget      at its end down.refuse
 * down.missing down.stall down.truncate down.die down.exit down.pause down.drip down.wrong
 * down.garbage down.overrun down.empty down.flood down.bulk down.text
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fault.h"
#include "node/endpoint_piecestore.h"

enum {
	DRIP_MS = 300,
	BULK_BYTES = RPC_PACKET_MAX - 64,
	FLOODS_MAX = 20000,
	FLOOD_BYTES = 60 << 10
};

/* A call runs in one thread from begin to end. */
static _Thread_local struct fault now;
static _Thread_local unsigned received, sent;

enum err __real_endpoint_upload(struct call *call, void *service, struct rpc_stream *s);
enum err __real_endpoint_download(struct call *call, void *service, struct rpc_stream *s);
enum err __real_rpc_recv(struct call *call, struct rpc_stream *s, struct bytes *ret);
enum err __real_rpc_send(struct call *call, struct rpc_stream *s, const struct bytes *parts,
			 size_t count);
enum err __real_piece_writer_commit(struct call *call, struct piece_writer *w,
				    const struct piece_commit *c);
enum err __wrap_endpoint_upload(struct call *call, void *service, struct rpc_stream *s);
enum err __wrap_endpoint_download(struct call *call, void *service, struct rpc_stream *s);
enum err __wrap_rpc_recv(struct call *call, struct rpc_stream *s, struct bytes *ret);
enum err __wrap_rpc_send(struct call *call, struct rpc_stream *s, const struct bytes *parts,
			 size_t count);
enum err __wrap_piece_writer_commit(struct call *call, struct piece_writer *w,
				    const struct piece_commit *c);

static enum err gone(struct call *call, struct rpc_stream *s)
{
	fault_drop(s);
	return call_fail(call, ERR_ABORTED, "dropped by plan");
}

enum err __wrap_endpoint_upload(struct call *call, void *service, struct rpc_stream *s)
{
	fault_choose("up.", &now);
	received = sent = 0;
	if (fault_is(&now, "up.refuse"))
		return call_fail(call, ERR_UNAVAILABLE, "storage node overloaded, by plan");
	if (fault_is(&now, "up.stall")) {
		fault_wait(&now);
		return gone(call, s);
	}
	enum err e = __real_endpoint_upload(call, service, s);
	if (fault_is(&now, "up.truncate") || fault_is(&now, "up.empty"))
		e = OK; /* a clean end without an answer */
	now.name[0] = 0;
	return e;
}

enum err __wrap_endpoint_download(struct call *call, void *service, struct rpc_stream *s)
{
	fault_choose("down.", &now);
	received = sent = 0;
	if (fault_is(&now, "down.refuse"))
		return call_fail(call, ERR_INTERNAL, "disk trouble, by plan");
	if (fault_is(&now, "down.missing"))
		return call_fail(call, ERR_NOT_FOUND, "file does not exist, by plan");
	if (fault_is(&now, "down.stall")) {
		fault_wait(&now);
		return gone(call, s);
	}
	enum err e = __real_endpoint_download(call, service, s);
	if (fault_is(&now, "down.truncate"))
		e = OK;
	now.name[0] = 0;
	return e;
}

/* The middle of an upload: a message or some of them after the limit. */
enum err __wrap_rpc_recv(struct call *call, struct rpc_stream *s, struct bytes *ret)
{
	if (++received == 2 + now.random % 3) {
		if (fault_is(&now, "up.pause"))
			fault_wait(&now);
		if (fault_is(&now, "up.truncate"))
			return call_fail(call, ERR_ABORTED, "ended by plan");
		if (fault_is(&now, "up.die"))
			return gone(call, s);
		if (fault_is(&now, "up.exit"))
			fault_exit();
	}
	return __real_rpc_recv(call, s, ret);
}

enum err __wrap_piece_writer_commit(struct call *call, struct piece_writer *w,
				    const struct piece_commit *c)
{
	return fault_is(&now, "up.forget") ? OK : __real_piece_writer_commit(call, w, c);
}

/* One part with a byte changed. */
static enum err send_changed(struct call *call, struct rpc_stream *s, const struct bytes *parts,
			     size_t count, size_t which, size_t at)
{
	struct bytes changed[8];

	if (count > ARRAY_LEN(changed) || parts[which].len == 0)
		return __real_rpc_send(call, s, parts, count);
	memcpy(changed, parts, count * sizeof(*parts));
	uint8_t *copy = malloc(parts[which].len);
	if (!copy)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	memcpy(copy, parts[which].data, parts[which].len);
	copy[at % parts[which].len] ^= 0x40;
	changed[which] = BYTES(copy, parts[which].len);
	enum err e = __real_rpc_send(call, s, changed, count);
	free(copy);
	return e;
}

/* The answer: head, the node's piece hash, tail, certificates. */
static enum err send_answer(struct call *call, struct rpc_stream *s, const struct bytes *parts,
			    size_t count)
{
	if (fault_is(&now, "up.silent")) {
		fault_wait(&now);
		return gone(call, s);
	}
	if (fault_is(&now, "up.empty"))
		return call_fail(call, ERR_ABORTED, "no answer, by plan");
	if (fault_is(&now, "up.late"))
		fault_wait(&now);
	if (fault_is(&now, "up.forge")) /* the signature is behind piece ID and hash */
		return send_changed(call, s, parts, count, 1, 80);
	if (fault_is(&now, "up.other"))
		return send_changed(call, s, parts, count, 1, 10);
	return __real_rpc_send(call, s, parts, count);
}

/* `times` messages of one field that no client can want, n bytes each; stops when the client is
 * gone. */
static enum err send_useless(struct call *call, struct rpc_stream *s, size_t n, unsigned times)
{
	uint8_t head[] = { 15 << 3 | 2, (uint8_t)(n | 0x80), (uint8_t)(n >> 7 | 0x80),
			   (uint8_t)(n >> 14 | 0x80), (uint8_t)(n >> 21) };
	uint8_t *data = calloc(1, n + 1);
	struct bytes parts[] = { BYTES_OF(head), BYTES(data, n) };
	enum err e = data ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");

	for (unsigned i = 0; !e && i < times; i++)
		e = __real_rpc_send(call, s, parts, ARRAY_LEN(parts));
	free(data);
	return e;
}

static enum err send_text(struct call *call)
{
	char text[CALL_ERROR_MAX];

	memset(text, 'x', sizeof(text));
	memcpy(text, "\x1b[2J\n\r", 6);
	text[sizeof(text) - 1] = 0;
	return call_fail(call, ERR_INTERNAL, "%s", text);
}

/* A message of a download: head and data. */
static enum err send_data(struct call *call, struct rpc_stream *s, const struct bytes *parts,
			  size_t count)
{
	static const uint8_t garbage[] = { 0x0a, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3 };
	const struct bytes bad = BYTES_OF(garbage), none = BYTES_NONE;
	struct fault drip = { .ms = DRIP_MS };

	if (fault_is(&now, "down.wrong"))
		return send_changed(call, s, parts, count, count - 1, (size_t)now.random);
	if (fault_is(&now, "down.garbage"))
		return __real_rpc_send(call, s, &bad, 1);
	if (fault_is(&now, "down.overrun")) {
		enum err e = __real_rpc_send(call, s, parts, count);
		return e ? e : __real_rpc_send(call, s, parts, count);
	}
	if (fault_is(&now, "down.drip"))
		fault_wait(&drip);
	if (fault_is(&now, "down.empty"))
		for (unsigned i = 0; i < FLOODS_MAX; i++)
			if (__real_rpc_send(call, s, &none, 1))
				return gone(call, s);
	if (fault_is(&now, "down.flood"))
		return send_useless(call, s, FLOOD_BYTES, FLOODS_MAX);
	if (fault_is(&now, "down.bulk"))
		return send_useless(call, s, BULK_BYTES, 64);
	if (fault_is(&now, "down.text"))
		return send_text(call);
	if (sent > now.random % 2) {
		if (fault_is(&now, "down.pause"))
			fault_wait(&now);
		if (fault_is(&now, "down.truncate"))
			return call_fail(call, ERR_ABORTED, "ended by plan");
		if (fault_is(&now, "down.die"))
			return gone(call, s);
		if (fault_is(&now, "down.exit"))
			fault_exit();
	}
	sent++;
	return __real_rpc_send(call, s, parts, count);
}

enum err __wrap_rpc_send(struct call *call, struct rpc_stream *s, const struct bytes *parts,
			 size_t count)
{
	if (strncmp(now.name, "up.", 3) == 0)
		return send_answer(call, s, parts, count);
	if (strncmp(now.name, "down.", 5) == 0)
		return send_data(call, s, parts, count);
	return __real_rpc_send(call, s, parts, count);
}
