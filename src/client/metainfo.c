/*
 * One way to ask the satellite.  A lost connection is tried again where asking twice does no harm,
 * with growing pauses (metainfo.md 3.3); an answer, whatever it says, is never asked for twice.
 */
#include "client/metainfo.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "os/clock.h"
#include "proto/proto.h"
#include "proto/zstd.h"

enum { PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 3000, METHOD_MAX = 96 };

int64_t metainfo_limit(struct call *call, const struct satellite *s)
{
	int64_t deadline = call->deadline_ns;

	os_call_limit(call, s->call_ns);
	return deadline;
}

static enum err ask_once(struct call *call, struct satellite *s, const char *path,
			 const ProtobufCMessage *request, struct arena *a,
			 const ProtobufCMessageDescriptor *type, void *ret_reply)
{
	struct rpc_pool *pool = fanout_connections(s->fanout);
	struct rpc_conn *conn = NULL;

	/* A question that needs no wait would not notice. */
	TRY_PLAIN(os_call_check(call));
	TRY_PLAIN(rpc_pool_get(call, pool, &s->id, s->address, NULL, &conn));
	enum err e = rpc_invoke(call, conn, path, request, a, type, ret_reply);
	rpc_pool_put(pool, conn);
	return e;
}

/* Whether the question never arrived, or its answer may be asked for again. */
static bool may_retry(const struct call *call, enum err e, enum metainfo_retry retry)
{
	if (call->status)
		return false;
	switch ((int)e) {
	case ERR_CONNECT:
		return true;
	case ERR_EOF:
	case ERR_CLOSED:
	case ERR_UNAVAILABLE:
		return retry == METAINFO_IDEMPOTENT;
	default:
		return false;
	}
}

static enum err ask(struct call *call, struct satellite *s, const char *method,
		    const ProtobufCMessage *request, enum metainfo_retry retry, struct arena *a,
		    const ProtobufCMessageDescriptor *type, void *ret_reply)
{
	char path[METHOD_MAX];
	int64_t pause = PAUSE_FIRST_MS;

	snprintf(path, sizeof(path), "/metainfo.Metainfo/%s", method);
	for (;;) {
		call_clear_error(call);
		enum err e = ask_once(call, s, path, request, a, type, ret_reply);
		if (e == OK || call->status)
			return e;
		if (!may_retry(call, e, retry) || pause > PAUSE_MAX_MS)
			return call_wrap(call, e, "satellite %s%s", s->address,
					 e == ERR_CONNECT
						 ? " cannot be reached (is it running, and "
						   "is this machine online?)"
						 : "");
		if (os_sleep(call, pause * NS_PER_MS))
			return call_wrap(call, e, "satellite %s", s->address);
		pause = pause < PAUSE_MAX_MS ? MIN(pause * 2, (int64_t)PAUSE_MAX_MS) : pause + 1;
	}
}

enum err metainfo_ask(struct call *call, struct satellite *s, const char *method,
		      ProtobufCMessage *request, Metainfo__RequestHeader **header,
		      enum metainfo_retry retry, struct arena *a,
		      const ProtobufCMessageDescriptor *type, void *ret_reply)
{
	Metainfo__RequestHeader head = METAINFO__REQUEST_HEADER__INIT;

	head.api_key = proto_view(s->api_key);
	head.user_agent = proto_view(s->user_agent);
	*header = &head;
	int64_t deadline = metainfo_limit(call, s);
	enum err e = ask(call, s, method, request, retry, a, type, ret_reply);
	call->deadline_ns = deadline;
	*header = NULL;
	return e;
}

/* The plain bytes of the answer: as sent, or unpacked. */
static enum err unpack_answer(struct call *call, const Metainfo__CompressedBatchResponse *packed,
			      struct buf *room, struct bytes *ret)
{
	switch (packed->selected) {
	case METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__NONE:
		*ret = proto_bytes(packed->data);
		return OK;
	case METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD:
		if (packed->data.len)
			TRY_PLAIN(zstd_decompress(call, proto_bytes(packed->data),
						  PROTO_DECODED_MAX, room));
		*ret = buf_bytes(room);
		return OK;
	default:
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite compresses in a way that was not offered");
	}
}

/* Before they are decoded: an empty answer takes two bytes here and a whole struct in memory. */
static enum err check_count(struct call *call, struct bytes data, size_t count)
{
	struct wire w = wire_read(data);
	struct wire_field f;
	size_t found = 0;

	while (found <= count && wire_field(&w, &f))
		found += f.number == 1;
	if (found > count)
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite gave more answers than the %zu that were asked for",
				 count);
	return OK;
}

static enum err check_answers(struct call *call, Metainfo__BatchRequestItem *const items[],
			      size_t count, const Metainfo__BatchResponse *answer)
{
	if (answer->n_responses != count)
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite gave %zu answers to %zu questions",
				 answer->n_responses, count);
	for (size_t i = 0; i < count; i++)
		if ((int)answer->responses[i]->response_case != (int)items[i]->request_case)
			return call_fail(call, ERR_PROTOCOL,
					 "the satellite answered another question than was asked");
	return OK;
}

enum err metainfo_send_batch(struct call *call, struct satellite *s,
			     Metainfo__BatchRequestItem *const items[], size_t count,
			     enum metainfo_retry retry, struct arena *a,
			     Metainfo__BatchResponseItem ***ret_answers)
{
	Metainfo__RequestHeader head = METAINFO__REQUEST_HEADER__INIT;
	Metainfo__BatchRequest batch = METAINFO__BATCH_REQUEST__INIT;
	Metainfo__CompressedBatchRequest outer = METAINFO__COMPRESSED_BATCH_REQUEST__INIT;
	Metainfo__CompressedBatchRequest__CompressionType zstd =
		METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD;
	struct buf wire AUTO_SECRET_BUF = BUF_INIT(PROTO_MESSAGE_MAX);
	struct buf plain AUTO_BUF = BUF_INIT(PROTO_DECODED_MAX);
	struct arena scratch AUTO(arena_free) = { 0 };
	Metainfo__CompressedBatchResponse *packed;
	Metainfo__BatchResponse *answer;
	struct bytes data;

	head.api_key = proto_view(s->api_key);
	head.user_agent = proto_view(s->user_agent);
	batch.header = &head;
	batch.n_requests = count;
	batch.requests = (Metainfo__BatchRequestItem **)(uintptr_t)items;
	TRY(proto_encode(call, &batch.base, &wire), "request too large");
	outer.n_supported = 1;
	outer.supported = &zstd;
	outer.data = proto_view(buf_bytes(&wire));
	int64_t deadline = metainfo_limit(call, s);
	enum err e = ask(call, s, "CompressedBatch", &outer.base, retry, &scratch,
			 &metainfo__compressed_batch_response__descriptor, &packed);
	call->deadline_ns = deadline;
	TRY_PLAIN(e);
	TRY(unpack_answer(call, packed, &plain, &data), "satellite %s", s->address);
	TRY(check_count(call, data, count), "satellite %s", s->address);
	TRY(proto_decode(call, a, &metainfo__batch_response__descriptor, data, &answer),
	    "satellite %s", s->address);
	TRY(check_answers(call, items, count, answer), "satellite %s", s->address);
	*ret_answers = answer->responses;
	return OK;
}
