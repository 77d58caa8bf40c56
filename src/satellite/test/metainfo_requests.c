/* The requests of the tests. */
#include "satellite/test/metainfo_requests.h"

static const uint8_t nonce_bytes[24] = { 1, 2, 3 };
static const uint8_t wrapped_key[48] = { 9 };

ProtobufCBinaryData nonce(void)
{
	return proto_view(BYTES_OF(nonce_bytes));
}

ProtobufCBinaryData key48(void)
{
	return proto_view(BYTES_OF(wrapped_key));
}

enum err create_bucket(struct world *w, const char *name)
{
	Metainfo__CreateBucketRequest req = METAINFO__CREATE_BUCKET_REQUEST__INIT;

	req.name = VIEW(name);
	return ask(w, "CreateBucket", &req, NULL);
}

Metainfo__BeginObjectRequest *begin_request(struct world *w, const char *bucket, const char *key)
{
	Metainfo__BeginObjectRequest *req = MESSAGE(w, BeginObjectRequest, begin_object_request);

	req->bucket = VIEW(bucket);
	req->encrypted_object_key = VIEW(key);
	req->encryption_parameters = answer_encryption(&w->call.scratch, 2, 7424);
	return req;
}

Metainfo__MakeInlineSegmentRequest *inline_request(struct world *w, const char *data)
{
	Metainfo__MakeInlineSegmentRequest *req = MESSAGE(w, MakeInlineSegmentRequest,
							  make_inline_segment_request);

	req->position = answer_position(&w->call.scratch, 0);
	req->encrypted_key_nonce = nonce();
	req->encrypted_key = key48();
	req->encrypted_inline_data = VIEW(data);
	req->plain_size = (int64_t)strlen(data);
	return req;
}

/* A StreamMeta with only the stream info, as clients store it. */
Metainfo__CommitObjectRequest *commit_request(struct world *w)
{
	Metainfo__CommitObjectRequest *req = MESSAGE(w, CommitObjectRequest, commit_object_request);

	req->encrypted_metadata = VIEW("\x0a\x04info");
	req->encrypted_metadata_nonce = nonce();
	req->encrypted_metadata_encrypted_key = key48();
	return req;
}

Metainfo__BatchRequestItem *batch_item(struct world *w, unsigned number, void *request)
{
	Metainfo__BatchRequestItem *m = MESSAGE(w, BatchRequestItem, batch_request_item);

	m->request_case = (Metainfo__BatchRequestItem__RequestCase)number;
	m->object_begin = request;
	return m;
}

/* A small object in one batch. */
enum err put_object(struct world *w, enum form form, const char *bucket, const char *key,
		    const char *data, Metainfo__BatchResponse **ret)
{
	Metainfo__BatchRequestItem *items[] = {
		batch_item(w, I_BEGIN, begin_request(w, bucket, key)),
		batch_item(w, I_INLINE, inline_request(w, data)),
		batch_item(w, I_COMMIT, commit_request(w)),
	};

	return ask_batch(w, form, items, 3, ret);
}

enum err get_object(struct world *w, const char *bucket, const char *key, Metainfo__Object **ret)
{
	Metainfo__GetObjectRequest req = METAINFO__GET_OBJECT_REQUEST__INIT;
	Metainfo__GetObjectResponse *resp = NULL;

	req.bucket = VIEW(bucket);
	req.encrypted_object_key = VIEW(key);
	req.redundancy_scheme_per_segment = true;
	enum err e = ask(w, "GetObject", &req, &resp);
	if (!e && ret)
		*ret = resp->object;
	return e;
}

enum err download_object(struct world *w, const char *bucket, const char *key,
			 Metainfo__DownloadObjectResponse **ret)
{
	Metainfo__DownloadObjectRequest req = METAINFO__DOWNLOAD_OBJECT_REQUEST__INIT;

	req.bucket = VIEW(bucket);
	req.encrypted_object_key = VIEW(key);
	return ask(w, "DownloadObject", &req, ret);
}

enum err list_objects(struct world *w, const char *bucket, Metainfo__ListObjectsRequest *req,
		      Metainfo__ListObjectsResponse **ret)
{
	req->bucket = VIEW(bucket);
	return ask(w, "ListObjects", req, ret);
}

enum err delete_object(struct world *w, const char *bucket, const char *key,
		       Metainfo__BeginDeleteObjectResponse **ret)
{
	Metainfo__BeginDeleteObjectRequest req = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;

	req.bucket = VIEW(bucket);
	req.encrypted_object_key = VIEW(key);
	return ask(w, "BeginDeleteObject", &req, ret);
}

void set_versioning(struct world *w, const char *bucket, bool on)
{
	Metainfo__SetBucketVersioningRequest req = METAINFO__SET_BUCKET_VERSIONING_REQUEST__INIT;

	req.name = VIEW(bucket);
	req.versioning = on;
	must(w, ask(w, "SetBucketVersioning", &req, NULL));
}

/* ---- remote segments ---- */

struct remote begin_remote(struct world *w, const char *key)
{
	Metainfo__BeginSegmentRequest *req = MESSAGE(w, BeginSegmentRequest, begin_segment_request);
	Metainfo__BatchResponse *batch = NULL;

	req->position = answer_position(&w->call.scratch, 0);
	req->max_order_limit = 67254016;
	Metainfo__BatchRequestItem *items[] = { batch_item(w, I_BEGIN,
							   begin_request(w, "bucket", key)),
						batch_item(w, I_SEGMENT_BEGIN, req) };
	must(w, ask_batch(w, FORM_ZSTD, items, 2, &batch));
	return (struct remote){ batch->responses[0]->object_begin,
				batch->responses[1]->segment_begin };
}

static struct identity *identity_of(struct world *w, ProtobufCBinaryData id)
{
	for (int i = 0; i < NODES; i++) {
		if (bytes_equal(proto_bytes(id), node_id_bytes(identity_node_id(w->nodes[i]))))
			return w->nodes[i];
	}
	fail_msg("an order limit for nobody");
	return NULL;
}

/* What the nodes of these limits answer for a segment of that size. */
Metainfo__CommitSegmentRequest *commit_remote(struct world *w, ProtobufCBinaryData id,
					      Metainfo__AddressedOrderLimit **limits, size_t count,
					      int64_t size)
{
	struct call *call = &w->call;
	Metainfo__CommitSegmentRequest *req = MESSAGE(w, CommitSegmentRequest,
						      commit_segment_request);

	req->segment_id = id;
	req->encrypted_key_nonce = nonce();
	req->encrypted_key = key48();
	req->size_encrypted_data = size;
	req->plain_size = size - 100;
	req->n_upload_result = count;
	req->upload_result = arena_array(&call->scratch, count, sizeof(*req->upload_result));
	for (size_t i = 0; i < count; i++) {
		const Orders__OrderLimit *l = limits[i]->limit;
		Metainfo__SegmentPieceUploadResult *r = MESSAGE(w, SegmentPieceUploadResult,
								segment_piece_upload_result);
		Orders__PieceHash *h = message_new(&call->scratch, &orders__piece_hash__descriptor);
		h->piece_id = l->piece_id;
		h->hash = VIEW("01234567890123456789012345678901");
		h->piece_size = (int64_t)scheme_piece_size(&w->sat.config.redundancy,
							   (uint64_t)size);
		h->timestamp = proto_time_new(&call->scratch, os_clock_unix_ns());
		h->hash_algorithm = ORDERS__PIECE_HASH_ALGORITHM__BLAKE3;
		must(w, piece_hash_sign_node(call, &call->scratch, h,
					     identity_key(identity_of(w, l->storage_node_id))));
		r->piece_num = (int32_t)i;
		r->node_id = l->storage_node_id;
		r->hash = h;
		req->upload_result[i] = r;
	}
	return req;
}

enum err abort_upload(struct world *w, const char *key, ProtobufCBinaryData id)
{
	Metainfo__BeginDeleteObjectRequest req = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;

	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW(key);
	req.status = 1;
	req.stream_id = id;
	return ask(w, "BeginDeleteObject", &req, NULL);
}
