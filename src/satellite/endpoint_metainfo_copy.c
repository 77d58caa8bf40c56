/* Server-side copy and move, and metadata replaced in place (metainfo.md 5.15, 5.16). */
#include "base/cleanup.h"
#include "base/wire.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/endpoint_metainfo_upload.h"
#include "satellite/metainfo_internal.h"
#include "satellite/store_metainfo.h"

static enum err run_begin(struct call *call, struct db_tx *tx, void *arg)
{
	return object_begin_copy(call, tx, arg);
}

static enum err answer_keys(struct call *call, struct arena *a, const struct begin_copy *b,
			    size_t *ret_count, Metainfo__EncryptedKeyAndNonce ***ret)
{
	Metainfo__EncryptedKeyAndNonce **list = arena_array(a, b->segments_count, sizeof(*list));

	if (b->segments_count && !list)
		return call_fail(call, ERR_NO_MEMORY, "no room for segment keys");
	for (size_t i = 0; i < b->segments_count; i++) {
		list[i] = message_new(a, &metainfo__encrypted_key_and_nonce__descriptor);
		if (!list[i])
			return call_fail(call, ERR_NO_MEMORY, "no room for segment keys");
		list[i]->position = answer_position(a, b->segments[i].position);
		list[i]->encrypted_key_nonce = proto_view(b->segments[i].nonce);
		list[i]->encrypted_key = proto_view(b->segments[i].key);
	}
	*ret = list;
	*ret_count = b->segments_count;
	return OK;
}

/* The source as Finish will ask for it. */
static enum err source_id(struct call *call, struct mcall *mc, const struct begin_copy *b,
			  ProtobufCBinaryData *ret)
{
	struct stream s;
	struct bytes id;

	object_stream(&b->project, b->bucket, 0, &b->source, &s);
	TRY_PLAIN(stream_id_encode(call, mc->a, &mc->sat->id_key, &s, &id));
	*ret = proto_view(id);
	return OK;
}

METAINFO_METHOD(begin_copy_object, BeginCopyObject)
{
	struct begin_copy b = {
		.bucket = proto_bytes(req->bucket),
		.key = proto_bytes(req->encrypted_object_key),
		.new_bucket = proto_bytes(req->new_bucket),
		.has_version = req->object_version.len != 0,
		.now_ns = mc->now_ns,
	};
	struct bytes key, nonce;

	TRY_PLAIN(check_bucket_length(call, b.bucket));
	TRY_PLAIN(check_bucket_length(call, b.new_bucket));
	TRY_PLAIN(check_version_length(call, req->object_version));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_READ, b.bucket, b.key));
	TRY_PLAIN(auth_check(call, &mc->auth, ACTION_WRITE, b.new_bucket,
			     proto_bytes(req->new_encrypted_object_key)));
	if (b.has_version)
		b.version = object_version_get(proto_bytes(req->object_version));
	b.project = mc->auth.project.id;
	TRY_PLAIN(db_read(call, mc->sat->db, run_begin, &b));
	TRY_PLAIN(metainfo_check_upload(call, mc, b.source.encrypted_size, b.source.segment_count));
	TRY_PLAIN(source_id(call, mc, &b, &resp->stream_id));
	TRY_PLAIN(answer_keys(call, mc->a, &b, &resp->n_segment_keys, &resp->segment_keys));
	metadata_key(&b.source.data, &key, &nonce);
	resp->encrypted_metadata_key = proto_view(key);
	resp->encrypted_metadata_key_nonce = proto_view(nonce);
	resp->encryption_parameters = answer_encryption(mc->a, b.source.cipher,
							b.source.block_size);
	resp->checksum_algorithm =
		(Metainfo__ObjectChecksumAlgorithm)b.source.data.checksum_algorithm;
	return OK;
}

METAINFO_METHOD(begin_move_object, BeginMoveObject)
{
	struct begin_copy b = {
		.bucket = proto_bytes(req->bucket),
		.key = proto_bytes(req->encrypted_object_key),
		.new_bucket = proto_bytes(req->new_bucket),
		.now_ns = mc->now_ns,
	};
	struct bytes key, nonce;

	TRY_PLAIN(check_bucket_length(call, b.bucket));
	TRY_PLAIN(check_bucket_length(call, b.new_bucket));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_READ, b.bucket, b.key));
	TRY_PLAIN(auth_check(call, &mc->auth, ACTION_DELETE, b.bucket, b.key));
	TRY_PLAIN(auth_check(call, &mc->auth, ACTION_WRITE, b.new_bucket,
			     proto_bytes(req->new_encrypted_object_key)));
	b.project = mc->auth.project.id;
	TRY_PLAIN(db_read(call, mc->sat->db, run_begin, &b));
	TRY_PLAIN(source_id(call, mc, &b, &resp->stream_id));
	TRY_PLAIN(answer_keys(call, mc->a, &b, &resp->n_segment_keys, &resp->segment_keys));
	metadata_key(&b.source.data, &key, &nonce);
	resp->encrypted_metadata_key = proto_view(key);
	resp->encrypted_metadata_key_nonce = proto_view(nonce);
	resp->encryption_parameters = answer_encryption(mc->a, b.source.cipher,
							b.source.block_size);
	return OK;
}

/* ---- finish ---- */

static enum err read_keys(struct call *call, struct arena *a,
			  Metainfo__EncryptedKeyAndNonce *const *list, size_t count,
			  struct finish_copy *f)
{
	if (count > LIMIT_COPY_SEGMENTS)
		return call_fail(call, ERR_INVALID, "too many segment keys");
	f->keys = arena_array(a, count, sizeof(*f->keys));
	if (count && !f->keys)
		return call_fail(call, ERR_NO_MEMORY, "no room for segment keys");
	for (size_t i = 0; i < count; i++) {
		const Metainfo__SegmentPosition *p = list[i]->position;
		TRY_PLAIN(check_segment_key(call, list[i]->encrypted_key,
					    list[i]->encrypted_key_nonce,
					    (ProtobufCBinaryData){ 0, NULL }));
		f->keys[i] = (struct segment_key){
			.position = p ? segment_position(p->part_number, p->index) : 0,
			.key = proto_bytes(list[i]->encrypted_key),
			.nonce = proto_bytes(list[i]->encrypted_key_nonce),
		};
	}
	f->keys_count = count;
	return OK;
}

/* Rights on the target. */
static enum err allow_finish(struct call *call, struct mcall *mc, const struct finish_copy *f)
{
	TRY_PLAIN(check_bucket_length(call, f->new_bucket));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_WRITE, f->new_bucket, f->new_key));
	if (f->retention.mode)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_PUT_RETENTION, f->new_bucket,
				     f->new_key));
	if (f->legal_hold)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_PUT_LEGAL_HOLD, f->new_bucket,
				     f->new_key));
	return check_object_key(call, mc, f->new_key);
}

static enum err run_copy(struct call *call, struct db_tx *tx, void *arg)
{
	return object_finish_copy(call, tx, arg);
}

static enum err read_source(struct call *call, struct db_tx *tx, void *arg)
{
	struct finish_copy *f = arg;
	const struct stream *s = &f->source;
	enum err e = store_object_exact(call, tx, s->bucket_id, s->key, s->version, f->now_ns,
					&f->result);

	if (e != ERR_NOT_FOUND)
		return e;
	f->result = (struct object){ 0 }; /* what is wrong with the source is told later */
	return OK;
}

/* What begins may fit, and not any more when it ends: copies count, and are counted, before they
 * are made. */
static enum err reserve_copy(struct call *call, struct mcall *mc, struct finish_copy *f,
			     struct object *ret_source)
{
	const struct project *p = &mc->auth.project;

	*ret_source = (struct object){ 0 };
	if (!p->max_storage && !p->max_segments)
		return OK;
	TRY_PLAIN(db_read_one(call, mc->sat->db, read_source, f));
	const struct object *o = &f->result;
	TRY_PLAIN(metainfo_check_upload(call, mc, o->encrypted_size, o->segment_count));
	usage_add_stored(mc->m->usage, p, o->encrypted_size, o->segment_count);
	*ret_source = *o;
	return OK;
}

static enum err run_move(struct call *call, struct db_tx *tx, void *arg)
{
	return object_finish_move(call, tx, arg);
}

METAINFO_METHOD(finish_copy_object, FinishCopyObject)
{
	const struct stream *source = NULL;
	struct object reserved;
	struct finish_copy f = {
		.new_bucket = proto_bytes(req->new_bucket),
		.new_key = proto_bytes(req->new_encrypted_object_key),
		.override_data = req->override_metadata,
		.data = {
			.metadata = proto_bytes(req->new_encrypted_metadata),
			.etag = proto_bytes(req->new_encrypted_etag),
			.nonce = nonce_or_none(req->new_encrypted_metadata_key_nonce),
			.key = proto_bytes(req->new_encrypted_metadata_key),
		},
		.legal_hold = req->legal_hold,
		.may_delete = true, /* as the reference: a copy may overwrite without Delete */
		.now_ns = mc->now_ns,
	};

	TRY_PLAIN(read_retention(call, req->retention, mc->now_ns, &f.retention));
	TRY_PLAIN(allow_finish(call, mc, &f));
	TRY_PLAIN(read_checksum(call, mc, false,
				(struct checksum_fields){ (int32_t)req->new_checksum_algorithm,
							  req->new_is_checksum_composite,
							  req->new_encrypted_checksum },
				&f.data));
	TRY_PLAIN(check_user_data_size(call, &f.data));
	TRY_PLAIN(read_if_none_match(call, req->if_none_match, req->n_if_none_match,
				     &f.if_none_match));
	TRY_PLAIN(metainfo_stream(call, mc, RATE_PUT, req->stream_id, &source));
	/* Begin asked for it, but stream ids are also given to keys that may only list. */
	TRY_PLAIN(auth_check(call, &mc->auth, ACTION_READ, source->bucket, source->key));
	TRY_PLAIN(read_keys(call, mc->a, req->new_segment_keys, req->n_new_segment_keys, &f));
	f.source = *source;
	f.charge = metainfo_charge(mc);
	stream_uuid_new(&f.new_uuid);
	TRY_PLAIN(reserve_copy(call, mc, &f, &reserved));
	enum err e = db_write(call, mc->sat->db, run_copy, &f);
	if (e) {
		usage_add_stored(mc->m->usage, &mc->auth.project, -reserved.encrypted_size,
				 -reserved.segment_count);
		return e;
	}
	usage_add_stored(mc->m->usage, &mc->auth.project,
			 f.result.encrypted_size - reserved.encrypted_size - f.freed.size,
			 f.result.segment_count - reserved.segment_count - f.freed.segments);
	TRY_PLAIN(answer_object(call, mc, f.new_bucket, 0, &f.result, &resp->object));
	return OK;
}

METAINFO_METHOD(finish_move_object, FinishMoveObject)
{
	const struct stream *source = NULL;
	struct finish_copy f = {
		.new_bucket = proto_bytes(req->new_bucket),
		.new_key = proto_bytes(req->new_encrypted_object_key),
		.data = {
			.nonce = nonce_or_none(req->new_encrypted_metadata_key_nonce),
			.key = proto_bytes(req->new_encrypted_metadata_key),
		},
		.legal_hold = req->legal_hold,
		.now_ns = mc->now_ns,
	};

	TRY_PLAIN(read_retention(call, req->retention, mc->now_ns, &f.retention));
	TRY_PLAIN(allow_finish(call, mc, &f));
	f.may_delete = auth_allows(&mc->auth, ACTION_DELETE, f.new_bucket, f.new_key);
	TRY_PLAIN(metainfo_stream(call, mc, RATE_PUT, req->stream_id, &source));
	TRY_PLAIN(auth_check(call, &mc->auth, ACTION_READ, source->bucket, source->key));
	TRY_PLAIN(auth_check(call, &mc->auth, ACTION_DELETE, source->bucket, source->key));
	TRY_PLAIN(read_keys(call, mc->a, req->new_segment_keys, req->n_new_segment_keys, &f));
	f.source = *source;
	f.charge = metainfo_charge(mc);
	TRY_PLAIN(db_write(call, mc->sat->db, run_move, &f));
	usage_add_stored(mc->m->usage, &mc->auth.project, -f.freed.size, -f.freed.segments);
	return OK;
}

/* ---- metadata ---- */

static enum err run_update(struct call *call, struct db_tx *tx, void *arg)
{
	return object_set_metadata(call, tx, arg);
}

METAINFO_METHOD(update_object_metadata, UpdateObjectMetadata)
{
	const struct stream *s = NULL;
	struct update_metadata u = {
		.bucket = proto_bytes(req->bucket),
		.key = proto_bytes(req->encrypted_object_key),
		.set_metadata = true,
		.set_etag = req->set_encrypted_etag,
		.old_client = !req->includes,
		.data = {
			.metadata = proto_bytes(req->encrypted_metadata),
			.nonce = nonce_or_none(req->encrypted_metadata_nonce),
			.key = proto_bytes(req->encrypted_metadata_encrypted_key),
			.etag = proto_bytes(req->encrypted_etag),
		},
		.now_ns = mc->now_ns,
	};

	TRY_PLAIN(check_bucket_length(call, u.bucket));
	TRY_PLAIN(check_version_length(call, req->object_version));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_WRITE, u.bucket, u.key));
	TRY_PLAIN(read_checksum(call, mc, false, CHECKSUM_OF(req), &u.data));
	if (req->includes) {
		u.set_metadata = req->includes->custom;
		u.set_etag = req->includes->etag;
		u.set_checksum = req->includes->checksum;
		if (!u.set_metadata && !u.set_etag && !u.set_checksum)
			return call_fail_status(call, ERR_INVALID, STATUS_METADATA_INCLUDES,
						"Includes must not be empty");
	}
	TRY_PLAIN(check_user_data_size(call, &u.data));
	TRY_PLAIN(metainfo_stream(call, mc, RATE_PUT, req->stream_id, &s));
	u.project = mc->auth.project.id;
	u.uuid = s->uuid;
	return db_write(call, mc->sat->db, run_update, &u);
}
