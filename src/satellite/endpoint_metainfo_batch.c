/* Batch and CompressedBatch (metainfo.md 2): items in order, the first failure fails the whole. */
#include "base/cleanup.h"
#include "proto/zstd.h"
#include "satellite/batch.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/metrics.h"

enum {
	BATCH_DECODED_MAX = PROTO_MESSAGE_MAX, /* as much as may come without compression */
	ZSTD_SLACK = 1 << 20,		       /* what does not shrink grows a little */
	/* Smaller answers go as they are: every client takes that, most of what is in them is
	 * cipher text, and a compressor costs more than all else of a small request. */
	COMPRESS_MIN = 4 << 10,
};

static const struct metainfo_method *find_method(unsigned item)
{
	for (size_t i = 0; i < metainfo_table_count; i++) {
		if (item && metainfo_table[i].item == item)
			return &metainfo_table[i];
	}
	return NULL;
}

/* All members of the union are pointers to messages. */
static void *request_of(const Metainfo__BatchRequestItem *item)
{
	return item->object_begin;
}

static enum err answer_item(struct call *call, struct mcall *mc, unsigned number, void *response,
			    Metainfo__BatchResponse *resp)
{
	Metainfo__BatchResponseItem *m = message_new(mc->a,
						     &metainfo__batch_response_item__descriptor);

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	m->response_case = (Metainfo__BatchResponseItem__ResponseCase)number;
	m->object_begin = response;
	resp->responses[resp->n_responses++] = m;
	return OK;
}

/* What later items of the batch may leave out. */
static void remember(struct mcall *mc, const Metainfo__BatchRequestItem *item, void *response)
{
	if (item->request_case == METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN)
		mc->last_segment =
			proto_bytes(((Metainfo__BeginSegmentResponse *)response)->segment_id);
}

/* What no satellite has done since long ago is told so, as it is outside of a batch. */
static enum err unsupported(struct call *call, const Metainfo__BatchRequestItem *item)
{
	switch ((int)item->request_case) {
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_FINISH_DELETE:
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN_DELETE:
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_FINISH_DELETE:
		return call_fail(call, ERR_UNIMPLEMENTED, "Unimplemented");
	default:
		return call_fail(call, ERR_UNKNOWN, "unsupported request type");
	}
}

static enum err run_item(struct call *call, struct mcall *mc, Metainfo__BatchRequest *req, size_t i,
			 Metainfo__BatchResponse *resp)
{
	Metainfo__BatchRequestItem *item = req->requests[i];
	const struct metainfo_method *m = find_method((unsigned)item->request_case);

	if (!m)
		return unsupported(call, item);
	void *response = message_new(mc->a, m->response);
	if (!response)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	if (!batch_is_work(item->request_case))
		TRY_PLAIN(metainfo_flush(call, mc));
	const ProtobufCBinaryData *id = batch_stream_id(item);
	mc->begins_upload = batch_begins_upload(req, i);
	mc->stream_just_made = id && !id->len && mc->last_stream;
	enum err e = m->run(call, mc, request_of(item), response);
	metrics_batch_item(mc->sat->metrics, (size_t)(m - metainfo_table), e);
	TRY_PLAIN(e);
	remember(mc, item, response);
	return answer_item(call, mc, (unsigned)item->request_case, response, resp);
}

METAINFO_METHOD(batch, Batch)
{
	if (req->n_requests > BATCH_ITEMS_MAX)
		return call_fail(call, ERR_INVALID, "too many requests in a batch");
	resp->responses = arena_array(mc->a, req->n_requests, sizeof(*resp->responses));
	if (req->n_requests && !resp->responses)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	mcall_header(mc, req->header);
	mc->in_batch = true;
	for (size_t i = 0; i < req->n_requests; i++)
		TRY_PLAIN(run_item(call, mc, (Metainfo__BatchRequest *)(uintptr_t)req, i, resp));
	return metainfo_flush(call, mc);
}

static enum err decode(struct call *call, struct arena *a,
		       const Metainfo__CompressedBatchRequest *req, Metainfo__BatchRequest **ret)
{
	AUTO_BUF struct buf plain = BUF_INIT(BATCH_DECODED_MAX);
	struct bytes data = proto_bytes(req->data);

	switch (req->selected) {
	case METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__NONE:
		break;
	case METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD:
		if (zstd_decompress(call, data, BATCH_DECODED_MAX, &plain))
			return call_fail(call, ERR_UNKNOWN, "batch data cannot be decompressed");
		data = buf_bytes(&plain);
		break;
	default:
		return call_fail(call, ERR_UNKNOWN, "unsupported compression");
	}
	if (proto_decode(call, a, &metainfo__batch_request__descriptor, data, ret))
		return call_fail(call, ERR_UNKNOWN, "batch data cannot be decoded");
	return OK;
}

static bool takes_zstd(const Metainfo__CompressedBatchRequest *req)
{
	for (size_t i = 0; i < req->n_supported; i++) {
		if (req->supported[i] == METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD)
			return true;
	}
	return false;
}

static enum err encode(struct call *call, struct arena *a, const Metainfo__BatchResponse *m,
		       bool zstd, Metainfo__CompressedBatchResponse *resp)
{
	AUTO_BUF struct buf plain = BUF_INIT(ZSTD_DECODED_MAX);
	AUTO_BUF struct buf packed = BUF_INIT(ZSTD_DECODED_MAX + ZSTD_SLACK);

	TRY_PLAIN(proto_encode(call, &m->base, &plain));
	struct bytes data = buf_bytes(&plain);
	if (zstd && plain.len >= COMPRESS_MIN) {
		TRY_PLAIN(zstd_compress(call, data, &packed));
		if (packed.len < plain.len) {
			data = buf_bytes(&packed);
			resp->selected = METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD;
		}
	}
	resp->data = proto_copy(a, data);
	if (data.len && !resp->data.data)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	return OK;
}

METAINFO_METHOD(compressed_batch, CompressedBatch)
{
	Metainfo__BatchRequest *batch = NULL;
	Metainfo__BatchResponse *answer = message_new(mc->a, &metainfo__batch_response__descriptor);

	if (!answer)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	TRY_PLAIN(decode(call, mc->a, req, &batch));
	if (!batch->n_requests)
		return OK;
	TRY_PLAIN(metainfo_batch(call, mc, batch, answer));
	return encode(call, mc->a, answer, takes_zstd(req), resp);
}
