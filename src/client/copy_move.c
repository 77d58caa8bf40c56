/* Copy and move: the satellite keeps the data, the client wraps its keys anew (encryption.md 5). */
#include "client/object.h"

#include "base/cleanup.h"
#include "client/metainfo.h"
#include "os/random.h"
#include "proto/proto.h"

/* Old and new place, and what wraps keys there. */
struct rewrap {
	struct place from, to;
	struct bytes from_encrypted, to_encrypted;
	struct secret_key from_key, to_key;
};

static void rewrap_wipe(struct rewrap *r)
{
	secret_key_wipe(&r->from_key);
	secret_key_wipe(&r->to_key);
}

static enum err prepare(struct call *call, struct project *p, struct arena *a, struct place from,
			struct place to, struct rewrap *r)
{
	r->from = from;
	r->to = to;
	TRY_PLAIN(check_key(call, from.bucket, from.key));
	TRY_PLAIN(check_key(call, to.bucket, to.key));
	TRY_PLAIN(encrypt_key(call, p, from.bucket, from.key, a, &r->from_encrypted));
	TRY_PLAIN(encrypt_key(call, p, to.bucket, to.key, a, &r->to_encrypted));
	TRY_PLAIN(object_content_key(call, p, from.bucket, from.key, &r->from_key));
	return object_content_key(call, p, to.bucket, to.key, &r->to_key);
}

static enum err rewrap_key(struct call *call, struct arena *a, const struct rewrap *r,
			   struct bytes wrapped, const struct content_nonce *old_nonce,
			   const struct content_nonce *new_nonce, struct bytes *ret)
{
	struct secret_key key AUTO(secret_key_wipe);
	struct buf out AUTO_BUF = BUF_INIT(CONTENT_WRAPPED_KEY_BYTES);

	TRY_PLAIN(content_unwrap_key(call, CIPHER_AESGCM, &r->from_key, old_nonce, wrapped, &key));
	TRY_PLAIN(content_wrap_key(call, CIPHER_AESGCM, &r->to_key, new_nonce, &key, &out));
	*ret = arena_bytes(a, buf_bytes(&out));
	return ret->data ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

/* The metadata key keeps its nonce; none stays none. */
static enum err rewrap_metadata(struct call *call, struct arena *a, const struct rewrap *r,
				ProtobufCBinaryData wrapped, ProtobufCBinaryData nonce_bytes,
				ProtobufCBinaryData *ret_wrapped, ProtobufCBinaryData *ret_nonce)
{
	struct content_nonce nonce;
	struct bytes fresh;

	if (!wrapped.len)
		return OK;
	if (!proto_fixed(nonce_bytes, CONTENT_NONCE_BYTES, nonce.b))
		return call_fail(call, ERR_FORMAT, "nonce of a wrong length");
	TRY(rewrap_key(call, a, r, proto_bytes(wrapped), &nonce, &nonce, &fresh), "metadata key");
	*ret_wrapped = proto_view(fresh);
	*ret_nonce = nonce_bytes;
	return OK;
}

/* Each segment's key gets a new random nonce. */
static enum err rewrap_segments(struct call *call, struct arena *a, const struct rewrap *r,
				Metainfo__EncryptedKeyAndNonce *const *old, size_t count,
				Metainfo__EncryptedKeyAndNonce ***ret)
{
	Metainfo__EncryptedKeyAndNonce **list = arena_array(a, count + 1, sizeof(*list));
	Metainfo__EncryptedKeyAndNonce *keys = arena_array(a, count + 1, sizeof(*keys));

	if (!list || !keys)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct content_nonce before, after;
		struct bytes fresh;
		if (!proto_fixed(old[i]->encrypted_key_nonce, CONTENT_NONCE_BYTES, before.b))
			return call_fail(call, ERR_FORMAT, "nonce of a wrong length");
		os_random(after.b, sizeof(after.b));
		TRY(rewrap_key(call, a, r, proto_bytes(old[i]->encrypted_key), &before, &after,
			       &fresh),
		    "key of segment %zu", i);
		keys[i] = (Metainfo__EncryptedKeyAndNonce)METAINFO__ENCRYPTED_KEY_AND_NONCE__INIT;
		keys[i].position = old[i]->position;
		keys[i].encrypted_key = proto_view(fresh);
		keys[i].encrypted_key_nonce = proto_copy(a, BYTES_OF(after.b));
		if (!keys[i].encrypted_key_nonce.data)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		list[i] = &keys[i];
	}
	*ret = list;
	return OK;
}

enum err object_copy(struct call *call, struct project *p, struct arena *a, struct place from,
		     struct place to, struct object **ret)
{
	struct rewrap r AUTO(rewrap_wipe) = { 0 };
	Metainfo__BeginCopyObjectRequest begin = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	Metainfo__BeginCopyObjectResponse *begun;
	Metainfo__FinishCopyObjectRequest finish = METAINFO__FINISH_COPY_OBJECT_REQUEST__INIT;
	Metainfo__FinishCopyObjectResponse *finished;

	TRY_PLAIN(prepare(call, p, a, from, to, &r));
	begin.bucket = proto_view(from.bucket);
	begin.encrypted_object_key = proto_view(r.from_encrypted);
	begin.new_bucket = proto_view(to.bucket);
	begin.new_encrypted_object_key = proto_view(r.to_encrypted);
	enum err e = metainfo_ask(call, &p->satellite, "BeginCopyObject", &begin.base,
				  &begin.header, METAINFO_IDEMPOTENT, a,
				  &metainfo__begin_copy_object_response__descriptor, &begun);
	TRY_PLAIN(outcome_of_satellite(call, e, from.bucket, from.key));
	finish.stream_id = begun->stream_id;
	finish.new_bucket = proto_view(to.bucket);
	finish.new_encrypted_object_key = proto_view(r.to_encrypted);
	TRY_PLAIN(rewrap_metadata(
		call, a, &r, begun->encrypted_metadata_key, begun->encrypted_metadata_key_nonce,
		&finish.new_encrypted_metadata_key, &finish.new_encrypted_metadata_key_nonce));
	TRY_PLAIN(rewrap_segments(call, a, &r, begun->segment_keys, begun->n_segment_keys,
				  &finish.new_segment_keys));
	finish.n_new_segment_keys = begun->n_segment_keys;
	e = metainfo_ask(call, &p->satellite, "FinishCopyObject", &finish.base, &finish.header,
			 METAINFO_ONCE, a, &metainfo__finish_copy_object_response__descriptor,
			 &finished);
	TRY_PLAIN(outcome_of_satellite(call, e, to.bucket, to.key));
	return object_from_answer(call, p, a, to.bucket, to.key, finished->object, ret);
}

enum err object_move(struct call *call, struct project *p, struct place from, struct place to)
{
	struct arena a AUTO(arena_free) = { 0 };
	struct rewrap r AUTO(rewrap_wipe) = { 0 };
	Metainfo__BeginMoveObjectRequest begin = METAINFO__BEGIN_MOVE_OBJECT_REQUEST__INIT;
	Metainfo__BeginMoveObjectResponse *begun;
	Metainfo__FinishMoveObjectRequest finish = METAINFO__FINISH_MOVE_OBJECT_REQUEST__INIT;
	Metainfo__FinishMoveObjectResponse *finished;

	TRY_PLAIN(prepare(call, p, &a, from, to, &r));
	begin.bucket = proto_view(from.bucket);
	begin.encrypted_object_key = proto_view(r.from_encrypted);
	begin.new_bucket = proto_view(to.bucket);
	begin.new_encrypted_object_key = proto_view(r.to_encrypted);
	enum err e = metainfo_ask(call, &p->satellite, "BeginMoveObject", &begin.base,
				  &begin.header, METAINFO_IDEMPOTENT, &a,
				  &metainfo__begin_move_object_response__descriptor, &begun);
	TRY_PLAIN(outcome_of_satellite(call, e, from.bucket, from.key));
	finish.stream_id = begun->stream_id;
	finish.new_bucket = proto_view(to.bucket);
	finish.new_encrypted_object_key = proto_view(r.to_encrypted);
	TRY_PLAIN(rewrap_metadata(
		call, &a, &r, begun->encrypted_metadata_key, begun->encrypted_metadata_key_nonce,
		&finish.new_encrypted_metadata_key, &finish.new_encrypted_metadata_key_nonce));
	TRY_PLAIN(rewrap_segments(call, &a, &r, begun->segment_keys, begun->n_segment_keys,
				  &finish.new_segment_keys));
	finish.n_new_segment_keys = begun->n_segment_keys;
	e = metainfo_ask(call, &p->satellite, "FinishMoveObject", &finish.base, &finish.header,
			 METAINFO_ONCE, &a, &metainfo__finish_move_object_response__descriptor,
			 &finished);
	return outcome_of_satellite(call, e, to.bucket, to.key);
}
