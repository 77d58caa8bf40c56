/*
 * A satellite that misbehaves by plan (fault.h) toward renters; its nodes are served honestly.  It
 * is acre-satellite, linked with --wrap around the receiving and sending of unary messages.
 *
 *   before it does what was asked: ask.deaf ask.refuse ask.die ask.exit
 *   afterwards (so it was done):   answer.mute answer.slow answer.refuse answer.die answer.exit
 *   answers that lie:              answer.garbage answer.bomb answer.wide answer.long
 */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "proto/metainfo.pb-c.h"
#include "proto/zstd.h"

enum { WIDE_BYTES = 60 << 20, BOMB_BYTES = 8 << 20, BOMB_FRAMES = 256, PACKED_MAX = 3 << 20 };

enum err __real_rpc_request(struct call *call, struct rpc_stream *s, struct arena *a,
			    const ProtobufCMessageDescriptor *type, void *ret_message);
enum err __real_rpc_send_message(struct call *call, struct rpc_stream *s,
				 const ProtobufCMessage *message);
enum err __wrap_rpc_request(struct call *call, struct rpc_stream *s, struct arena *a,
			    const ProtobufCMessageDescriptor *type, void *ret_message);
enum err __wrap_rpc_send_message(struct call *call, struct rpc_stream *s,
				 const ProtobufCMessage *message);

static bool renters(const ProtobufCMessageDescriptor *type)
{
	return strcmp(type->package_name, "metainfo") == 0;
}

static enum err gone(struct call *call, struct rpc_stream *s)
{
	fault_drop(s);
	return call_fail(call, ERR_ABORTED, "dropped by plan");
}

enum err __wrap_rpc_request(struct call *call, struct rpc_stream *s, struct arena *a,
			    const ProtobufCMessageDescriptor *type, void *ret_message)
{
	struct fault f;

	enum err e = __real_rpc_request(call, s, a, type, ret_message);
	if (e || !renters(type))
		return e;
	fault_choose("ask.", &f);
	if (fault_is(&f, "ask.deaf")) {
		fault_wait(&f);
		return gone(call, s);
	}
	if (fault_is(&f, "ask.die"))
		return gone(call, s);
	if (fault_is(&f, "ask.exit"))
		fault_exit();
	if (fault_is(&f, "ask.refuse"))
		return call_fail(call, ERR_UNAVAILABLE, "overloaded, by plan");
	return OK;
}

/* A frame a few KiB long that holds much: `unit` again and again. */
static enum err pack(struct call *call, struct bytes unit, size_t plain_bytes, unsigned times,
		     struct buf *out)
{
	uint8_t *plain = malloc(plain_bytes);
	enum err e = plain ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");

	for (size_t i = 0; plain && i < plain_bytes; i++)
		plain[i] = unit.data[i % unit.len];
	for (unsigned i = 0; !e && i < times; i++)
		e = zstd_compress(call, BYTES(plain, plain_bytes), out);
	free(plain);
	return e;
}

/* A compressed batch that decodes to more than any client may want (many frames; or one frame of
 * empty items, two bytes each on the wire and a whole struct in memory). */
static enum err send_packed(struct call *call, struct rpc_stream *s, bool wide)
{
	static const uint8_t item[] = { 1 << 3 | 2, 0 }, zero[1];
	Metainfo__CompressedBatchResponse r = METAINFO__COMPRESSED_BATCH_RESPONSE__INIT;
	struct buf out = BUF_INIT(PACKED_MAX);
	enum err e = wide ? pack(call, BYTES_OF(item), WIDE_BYTES, 1, &out)
			  : pack(call, BYTES_OF(zero), BOMB_BYTES, BOMB_FRAMES, &out);

	r.selected = METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD;
	r.data = (ProtobufCBinaryData){ out.len, out.data };
	if (!e)
		e = __real_rpc_send_message(call, s, &r.base);
	buf_free(&out);
	return e;
}

static enum err send_lie(struct call *call, struct rpc_stream *s, const struct fault *f,
			 const ProtobufCMessage *message)
{
	static uint8_t noise[RPC_PACKET_MAX - 64];
	struct bytes part = BYTES(noise, 64 + f->random % 256);

	if (message->descriptor == &metainfo__compressed_batch_response__descriptor &&
	    (fault_is(f, "answer.bomb") || fault_is(f, "answer.wide")))
		return send_packed(call, s, fault_is(f, "answer.wide"));
	if (fault_is(f, "answer.long"))
		part.len = sizeof(noise);
	memset(noise, (int)(f->random >> 32 | 1), 64);
	return rpc_send(call, s, &part, 1);
}

enum err __wrap_rpc_send_message(struct call *call, struct rpc_stream *s,
				 const ProtobufCMessage *message)
{
	struct fault f;

	if (!message || !renters(message->descriptor)) /* NULL: an empty message */
		return __real_rpc_send_message(call, s, message);
	fault_choose("answer.", &f);
	if (fault_is(&f, "answer.mute") || fault_is(&f, "answer.slow"))
		fault_wait(&f);
	if (fault_is(&f, "answer.mute") || fault_is(&f, "answer.die"))
		return gone(call, s);
	if (fault_is(&f, "answer.exit"))
		fault_exit();
	if (fault_is(&f, "answer.refuse"))
		return call_fail(call, ERR_UNAVAILABLE, "done, but nobody will know, by plan");
	if (fault_is(&f, "answer.garbage") || fault_is(&f, "answer.bomb") ||
	    fault_is(&f, "answer.wide") || fault_is(&f, "answer.long"))
		return send_lie(call, s, &f, message);
	return __real_rpc_send_message(call, s, message);
}
