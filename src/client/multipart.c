/* Multipart uploads as a whole: begun, committed, aborted.  Parts are uploads of their own. */
#include "base/cleanup.h"
#include "base/num.h"
#include "client/metainfo.h"
#include "client/upload.h"
#include "proto/proto.h"

enum err multipart_begin(struct call *call, struct project *p, struct arena *a, struct bytes bucket,
			 struct bytes key, int64_t expires_ns, struct bytes *ret_stream_id)
{
	Metainfo__BeginObjectRequest request = METAINFO__BEGIN_OBJECT_REQUEST__INIT;
	Encryption__EncryptionParameters encryption = ENCRYPTION__ENCRYPTION_PARAMETERS__INIT;
	Metainfo__BeginObjectResponse *answer;
	struct bytes encrypted;

	TRY_PLAIN(check_key(call, bucket, key));
	TRY_PLAIN(encrypt_key(call, p, bucket, key, a, &encrypted));
	encryption.cipher_suite = ENCRYPTION__CIPHER_SUITE__ENC_AESGCM;
	encryption.block_size = CONTENT_BLOCK_BYTES;
	request.bucket = proto_view(bucket);
	request.encrypted_object_key = proto_view(encrypted);
	request.encryption_parameters = &encryption;
	if (expires_ns) {
		request.expires_at = proto_time_new(a, expires_ns);
		if (!request.expires_at)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	enum err e = metainfo_ask(call, &p->satellite, "BeginObject", &request.base,
				  &request.header, METAINFO_ONCE, a,
				  &metainfo__begin_object_response__descriptor, &answer);
	TRY_PLAIN(outcome_of_satellite(call, e, bucket, key));
	*ret_stream_id = proto_bytes(answer->stream_id);
	if (!ret_stream_id->len)
		return call_fail(call, ERR_PROTOCOL, "satellite %s gave no stream ID",
				 p->satellite.address);
	return OK;
}

/* Without metadata all four fields stay empty (encryption.md 4). */
static enum err seal(struct call *call, struct project *p, struct arena *a, struct bytes bucket,
		     struct bytes key, const struct meta_entry *entries, size_t count,
		     struct sealed_metadata *ret)
{
	struct secret_key object_key AUTO(secret_key_wipe);
	struct metadata m = { 0 };

	*ret = (struct sealed_metadata){ { { 0 } } };
	if (!count)
		return OK;
	TRY_PLAIN(metadata_set(call, a, entries, count, &m));
	TRY_PLAIN(object_content_key(call, p, bucket, key, &object_key));
	return metadata_seal(call, a, CIPHER_AESGCM, &object_key, &m, ret);
}

enum err multipart_commit(struct call *call, struct project *p, struct arena *a,
			  struct bytes bucket, struct bytes key, struct bytes stream_id,
			  const struct meta_entry *entries, size_t count, struct object **ret)
{
	Metainfo__CommitObjectRequest request = METAINFO__COMMIT_OBJECT_REQUEST__INIT;
	Metainfo__CommitObjectResponse *answer;
	struct sealed_metadata sealed;

	TRY_PLAIN(check_key(call, bucket, key));
	TRY_PLAIN(seal(call, p, a, bucket, key, entries, count, &sealed));
	request.stream_id = proto_view(stream_id);
	if (count) {
		request.encrypted_metadata_nonce = proto_view(BYTES_OF(sealed.nonce.b));
		request.encrypted_metadata_encrypted_key = proto_view(sealed.wrapped_key);
		request.encrypted_metadata = proto_view(sealed.metadata);
		request.encrypted_etag = proto_view(sealed.etag);
	}
	enum err e = metainfo_ask(call, &p->satellite, "CommitObject", &request.base,
				  &request.header, METAINFO_ONCE, a,
				  &metainfo__commit_object_response__descriptor, &answer);
	TRY_PLAIN(outcome_of_satellite(call, e, bucket, key));
	return object_from_answer(call, p, a, bucket, key, answer->object, ret);
}

enum err multipart_abort(struct call *call, struct project *p, struct bytes bucket,
			 struct bytes key, struct bytes stream_id)
{
	struct arena a AUTO(arena_free) = { 0 };
	Metainfo__BeginDeleteObjectRequest request = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	Metainfo__BeginDeleteObjectResponse *answer;
	struct bytes encrypted;

	TRY_PLAIN(check_key(call, bucket, key));
	TRY_PLAIN(encrypt_key(call, p, bucket, key, &a, &encrypted));
	request.bucket = proto_view(bucket);
	request.encrypted_object_key = proto_view(encrypted);
	request.stream_id = proto_view(stream_id);
	request.status = METAINFO__OBJECT__STATUS__UPLOADING;
	enum err e = metainfo_ask(call, &p->satellite, "BeginDeleteObject", &request.base,
				  &request.header, METAINFO_ONCE, &a,
				  &metainfo__begin_delete_object_response__descriptor, &answer);
	return outcome_of_satellite(call, e, bucket, key);
}
