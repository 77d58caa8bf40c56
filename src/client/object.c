/* Single objects: stat, delete, update of metadata. */
#include "client/object.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "client/metainfo.h"
#include "proto/proto.h"

enum err object_from_answer(struct call *call, const struct project *p, struct arena *a,
			    struct bytes bucket, struct bytes key, const Metainfo__Object *answer,
			    struct object **ret)
{
	struct secret_key object_key AUTO(secret_key_wipe);
	struct sealed_metadata sealed = { { { 0 } } };
	enum cipher cipher;
	int32_t block;

	if (!answer || !answer->bucket.len) {
		*ret = NULL;
		return OK;
	}
	struct object *o = arena_alloc(a, sizeof(*o));
	if (!o)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (!proto_fixed(answer->encrypted_metadata_nonce, CONTENT_NONCE_BYTES, sealed.nonce.b))
		return call_fail(call, ERR_FORMAT, "nonce of a wrong length");
	sealed.wrapped_key = proto_bytes(answer->encrypted_metadata_encrypted_key);
	sealed.metadata = proto_bytes(answer->encrypted_metadata);
	sealed.etag = proto_bytes(answer->encrypted_etag);
	TRY_PLAIN(object_content_key(call, p, bucket, key, &object_key));
	TRY(metadata_open(call, a, &object_key, &sealed, &o->metadata, &cipher, &block),
	    "object \"%.*s\"", (int)key.len, (const char *)key.data);
	o->cipher = cipher;
	o->block = block > 0 ? (uint32_t)block : 0;
	if (answer->encryption_parameters && answer->encryption_parameters->cipher_suite) {
		o->cipher = (enum cipher)answer->encryption_parameters->cipher_suite;
		o->block = (uint32_t)MAX(MIN(answer->encryption_parameters->block_size, INT32_MAX),
					 0);
	}
	o->key = arena_bytes(a, key);
	o->created_ns = proto_time(answer->created_at);
	o->expires_ns = proto_time(answer->expires_at);
	o->size = MAX(answer->plain_size, 0);
	/* Objects from before satellites knew plain sizes (encryption.md 3.6). */
	const struct metadata *m = &o->metadata;
	if (!o->size && m->segments > 0 && m->segments_size >= 0 && m->segments < INT32_MAX &&
	    m->segments_size <= CONTENT_SEGMENT_BYTES)
		o->size = (m->segments - 1) * m->segments_size + m->last_segment_size;
	o->stream_id = arena_bytes(a, proto_bytes(answer->stream_id));
	o->version = arena_bytes(a, proto_bytes(answer->object_version));
	*ret = o;
	return OK;
}

/* Any NotFound here means the object (metainfo.md 3.3). */
static enum err object_missing(struct call *call, enum err e, struct bytes bucket, struct bytes key)
{
	e = outcome_of_satellite(call, e, bucket, key);
	if (e == ERR_NOT_FOUND && call->status == err_status(ERR_NOT_FOUND))
		return outcome_no_object(call, bucket, key);
	return e;
}

/* GetObject's answer, as the satellite gave it. */
static enum err get_object(struct call *call, struct project *p, struct arena *a,
			   struct bytes bucket, struct bytes key, const Metainfo__Object **ret)
{
	Metainfo__GetObjectRequest get = METAINFO__GET_OBJECT_REQUEST__INIT;
	Metainfo__BatchRequestItem item = METAINFO__BATCH_REQUEST_ITEM__INIT, *items[] = { &item };
	Metainfo__BatchResponseItem **answers;
	struct bytes encrypted;

	TRY_PLAIN(check_key(call, bucket, key));
	TRY_PLAIN(encrypt_key(call, p, bucket, key, a, &encrypted));
	get.bucket = proto_view(bucket);
	get.encrypted_object_key = proto_view(encrypted);
	get.redundancy_scheme_per_segment = true;
	item.request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_GET;
	item.object_get = &get;
	enum err e = metainfo_send_batch(call, &p->satellite, items, 1, METAINFO_IDEMPOTENT, a,
					 &answers);
	TRY_PLAIN(object_missing(call, e, bucket, key));
	*ret = answers[0]->object_get->object;
	return OK;
}

enum err object_stat(struct call *call, struct project *p, struct arena *a, struct bytes bucket,
		     struct bytes key, struct object **ret)
{
	const Metainfo__Object *answer;

	TRY_PLAIN(get_object(call, p, a, bucket, key, &answer));
	return object_from_answer(call, p, a, bucket, key, answer, ret);
}

enum err object_delete(struct call *call, struct project *p, struct arena *a, struct bytes bucket,
		       struct bytes key, struct object **ret)
{
	Metainfo__BeginDeleteObjectRequest request = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	Metainfo__BeginDeleteObjectResponse *answer;
	struct bytes encrypted;

	TRY_PLAIN(check_key(call, bucket, key));
	TRY_PLAIN(encrypt_key(call, p, bucket, key, a, &encrypted));
	request.bucket = proto_view(bucket);
	request.encrypted_object_key = proto_view(encrypted);
	enum err e = metainfo_ask(call, &p->satellite, "BeginDeleteObject", &request.base,
				  &request.header, METAINFO_ONCE, a,
				  &metainfo__begin_delete_object_response__descriptor, &answer);
	TRY_PLAIN(object_missing(call, e, bucket, key));
	return object_from_answer(call, p, a, bucket, key, answer->object, ret);
}

enum err object_update_metadata(struct call *call, struct project *p, struct bytes bucket,
				struct bytes key, const struct meta_entry *entries, size_t count)
{
	struct arena a AUTO(arena_free) = { 0 };
	struct secret_key object_key AUTO(secret_key_wipe);
	Metainfo__UpdateObjectMetadataRequest request =
		METAINFO__UPDATE_OBJECT_METADATA_REQUEST__INIT;
	Metainfo__UpdateObjectMetadataResponse *answer;
	const Metainfo__Object *old;
	struct object *object;
	struct sealed_metadata sealed;
	struct bytes encrypted;

	/* The segment sizes in the old metadata must survive, so it is read first. */
	TRY_PLAIN(get_object(call, p, &a, bucket, key, &old));
	TRY_PLAIN(object_from_answer(call, p, &a, bucket, key, old, &object));
	if (!object)
		return outcome_no_object(call, bucket, key);
	TRY_PLAIN(metadata_set(call, &a, entries, count, &object->metadata));
	object->metadata.etag = BYTES_NONE;
	TRY_PLAIN(encrypt_key(call, p, bucket, key, &a, &encrypted));
	TRY_PLAIN(object_content_key(call, p, bucket, key, &object_key));
	TRY_PLAIN(metadata_seal(call, &a, object->cipher ? object->cipher : CIPHER_AESGCM,
				&object_key, &object->metadata, &sealed));
	request.bucket = proto_view(bucket);
	request.encrypted_object_key = proto_view(encrypted);
	request.stream_id = proto_view(object->stream_id);
	request.encrypted_metadata_nonce = proto_view(BYTES_OF(sealed.nonce.b));
	request.encrypted_metadata_encrypted_key = proto_view(sealed.wrapped_key);
	request.encrypted_metadata = proto_view(sealed.metadata);
	request.encrypted_etag = proto_view(sealed.etag);
	enum err e = metainfo_ask(call, &p->satellite, "UpdateObjectMetadata", &request.base,
				  &request.header, METAINFO_IDEMPOTENT, &a,
				  &metainfo__update_object_metadata_response__descriptor, &answer);
	return object_missing(call, e, bucket, key);
}
