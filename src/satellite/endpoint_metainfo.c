/* Metainfo: the table of methods, how a request is served, checks that many share. */
#include "satellite/endpoint_metainfo.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/metainfo_internal.h"

#define REFUND_NS_MAX (10 * NS_PER_SEC)

/* name, C name of the method, C name of the messages, batch item, type of the messages */
#define METHODS(X)                                                                                 \
	X("CreateBucket", create_bucket, create_bucket, 1, CreateBucket)                           \
	X("GetBucket", get_bucket, get_bucket, 2, GetBucket)                                       \
	X("GetBucketLocation", get_bucket_location, get_bucket_location, 30, GetBucketLocation)    \
	X("GetBucketVersioning", get_bucket_versioning, get_bucket_versioning, 31,                 \
	  GetBucketVersioning)                                                                     \
	X("SetBucketVersioning", set_bucket_versioning, set_bucket_versioning, 32,                 \
	  SetBucketVersioning)                                                                     \
	X("GetBucketObjectLockConfiguration", get_bucket_lock,                                     \
	  get_bucket_object_lock_configuration, 33, GetBucketObjectLockConfiguration)              \
	X("SetBucketObjectLockConfiguration", set_bucket_lock,                                     \
	  set_bucket_object_lock_configuration, 38, SetBucketObjectLockConfiguration)              \
	X("GetBucketTagging", get_bucket_tagging, get_bucket_tagging, 0, GetBucketTagging)         \
	X("SetBucketTagging", set_bucket_tagging, set_bucket_tagging, 0, SetBucketTagging)         \
	X("GetBucketNotificationConfiguration", get_bucket_notification,                           \
	  get_bucket_notification_configuration, 0, GetBucketNotificationConfiguration)            \
	X("SetBucketNotificationConfiguration", set_bucket_notification,                           \
	  set_bucket_notification_configuration, 0, SetBucketNotificationConfiguration)            \
	X("DeleteBucket", delete_bucket, delete_bucket, 3, DeleteBucket)                           \
	X("ListBuckets", list_buckets, list_buckets, 4, ListBuckets)                               \
	X("BeginObject", begin_object, begin_object, 6, BeginObject)                               \
	X("CommitObject", commit_object, commit_object, 7, CommitObject)                           \
	X("GetObject", get_object, get_object, 8, GetObject)                                       \
	X("ListObjects", list_objects, list_objects, 9, ListObjects)                               \
	X("BeginDeleteObject", begin_delete_object, begin_delete_object, 10, BeginDeleteObject)    \
	X("DeleteObjects", delete_objects, delete_objects, 39, DeleteObjects)                      \
	X("GetObjectIPs", get_object_ips, get_object_ips, 0, GetObjectIPs)                         \
	X("ListPendingObjectStreams", list_pending_object_streams, list_pending_object_streams, 0, \
	  ListPendingObjectStreams)                                                                \
	X("DownloadObject", download_object, download_object, 23, DownloadObject)                  \
	X("GetPendingObjectMetadata", get_pending_object_metadata, get_pending_object_metadata, 0, \
	  GetPendingObjectMetadata)                                                                \
	X("UpdateObjectMetadata", update_object_metadata, update_object_metadata, 0,               \
	  UpdateObjectMetadata)                                                                    \
	X("GetObjectRetention", get_object_retention, get_object_retention, 34,                    \
	  GetObjectRetention)                                                                      \
	X("SetObjectRetention", set_object_retention, set_object_retention, 35,                    \
	  SetObjectRetention)                                                                      \
	X("GetObjectLegalHold", get_object_legal_hold, get_object_legal_hold, 0,                   \
	  GetObjectLegalHold)                                                                      \
	X("SetObjectLegalHold", set_object_legal_hold, set_object_legal_hold, 37,                  \
	  SetObjectLegalHold)                                                                      \
	X("BeginSegment", begin_segment, begin_segment, 12, BeginSegment)                          \
	X("RetryBeginSegmentPieces", retry_begin_segment_pieces, retry_begin_segment_pieces, 40,   \
	  RetryBeginSegmentPieces)                                                                 \
	X("CommitSegment", commit_segment, commit_segment, 13, CommitSegment)                      \
	X("MakeInlineSegment", make_inline_segment, make_inline_segment, 14, MakeInlineSegment)    \
	X("ListSegments", list_segments, list_segments, 17, ListSegments)                          \
	X("DownloadSegment", download_segment, download_segment, 18, DownloadSegment)              \
	X("DeletePart", delete_part, delete_part, 0, DeletePart)                                   \
	X("ProjectInfo", project_info, project_info, 0, ProjectInfo)                               \
	X("RevokeAPIKey", revoke_api_key, revoke_apikey, 19, RevokeAPIKey)                         \
	X("AccountLicenses", account_licenses, account_licenses, 0, AccountLicenses)               \
	X("BeginMoveObject", begin_move_object, begin_move_object, 0, BeginMoveObject)             \
	X("FinishMoveObject", finish_move_object, finish_move_object, 0, FinishMoveObject)         \
	X("BeginCopyObject", begin_copy_object, begin_copy_object, 0, BeginCopyObject)             \
	X("FinishCopyObject", finish_copy_object, finish_copy_object, 0, FinishCopyObject)         \
	X("Batch", batch, batch, 0, Batch)

/* Requests without a header of their own, and names that are answered "not implemented". */
#define METHODS_MISSING(X)                                                                         \
	X("FinishDeleteObject", finish_delete_object)                                              \
	X("BeginDeleteSegment", begin_delete_segment)                                              \
	X("FinishDeleteSegment", finish_delete_segment)

#define RUN(name, c_name, m_name, item, Type)                                                      \
	static enum err run_##c_name(struct call *call, struct mcall *mc, const void *request,     \
				     void *response)                                               \
	{                                                                                          \
		return metainfo_##c_name(call, mc, request, response);                             \
	}
METHODS(RUN)
#undef RUN
static enum err run_compressed_batch(struct call *call, struct mcall *mc, const void *request,
				     void *response)
{
	return metainfo_compressed_batch(call, mc, request, response);
}

#define ENTRY(name_, c_name, m_name, item_, Type)                                                  \
	{ .name = name_,                                                                           \
	  .item = (item_),                                                                         \
	  .request = &metainfo__##m_name##_request__descriptor,                                    \
	  .response = &metainfo__##m_name##_response__descriptor,                                  \
	  .header_offset = offsetof(Metainfo__##Type##Request, header),                            \
	  .run = run_##c_name },
const struct metainfo_method metainfo_table[] = { METHODS(ENTRY) };
#undef ENTRY
const size_t metainfo_table_count = ARRAY_LEN(metainfo_table);

#define INDEX(name, c_name, m_name, item, Type) M_##c_name,
enum method_index { METHODS(INDEX) };
#undef INDEX

/* Its header is that of the batch inside. */
static const struct metainfo_method compressed_batch_method = {
	.name = "CompressedBatch",
	.request = &metainfo__compressed_batch_request__descriptor,
	.response = &metainfo__compressed_batch_response__descriptor,
	.run = run_compressed_batch,
};

void *message_new(struct arena *a, const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *m = arena_alloc(a, type->sizeof_message);

	if (m)
		protobuf_c_message_init(type, m);
	return m;
}

/* What a database or a bug has to say is for our log, not for the peer. */
static enum err hide_internal(struct call *call, const char *method, enum err e)
{
	bool internal = err_status(e) == err_status(ERR_INTERNAL);

	if (e == OK || call->status ||
	    (!internal && e != ERR_NO_SPACE && err_status(e) != err_status(ERR_UNAVAILABLE)))
		return e;
	return satellite_trouble(call, e, "metainfo request failed", method,
				 internal ? "internal error"
					  : "the satellite's database is busy, try again");
}

static unsigned uplink_minor(struct bytes user_agent)
{
	static const char name[] = "uplink/v1.";
	const uint8_t *at = user_agent.len ? memmem(user_agent.data, user_agent.len, name,
						    sizeof(name) - 1)
					   : NULL;
	unsigned minor = 0;

	if (!at)
		return 0;
	at += sizeof(name) - 1;
	for (const uint8_t *end = user_agent.data + user_agent.len;
	     at < end && *at >= '0' && *at <= '9' && minor < 1000; at++)
		minor = minor * 10 + (unsigned)(*at - '0');
	return minor;
}

void mcall_header(struct mcall *mc, const Metainfo__RequestHeader *header)
{
	if (!header)
		return;
	mc->api_key = proto_bytes(header->api_key);
	mc->user_agent = proto_bytes(header->user_agent);
	mc->uplink_minor = uplink_minor(mc->user_agent);
}

static enum err serve_in(struct call *call, struct mcall *mc, const struct metainfo_method *m,
			 ProtobufCMessage *request)
{
	const Metainfo__RequestHeader *header =
		m->header_offset ? *(Metainfo__RequestHeader *const *)((const char *)request +
								       m->header_offset)
				 : NULL;
	ProtobufCMessage *response = message_new(mc->a, m->response);

	if (!response)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	mcall_header(mc, header);
	TRY_PLAIN(hide_internal(call, m->name, m->run(call, mc, request, response)));
	return rpc_send_message(call, mc->stream, response);
}

static enum err serve(struct call *call, void *service, struct rpc_stream *stream,
		      const struct metainfo_method *m)
{
	struct satellite *sat = service;
	struct mcall mc = {
		.sat = sat,
		.m = sat->metainfo,
		.a = &call->scratch,
		.stream = stream,
		.now_ns = os_clock_unix_ns(),
	};
	ProtobufCMessage *request = NULL;

	/* Requests are decoded before anybody knows who sent them. */
	call->scratch.max = METAINFO_MEMORY_MAX;
	TRY_PLAIN(rpc_request(call, stream, &call->scratch, m->request, &request));
	return serve_in(call, &mc, m, request);
}

#define HANDLE(name, c_name, m_name, item, Type)                                                   \
	static enum err handle_##c_name(struct call *call, void *service,                          \
					struct rpc_stream *stream)                                 \
	{                                                                                          \
		return serve(call, service, stream, &metainfo_table[M_##c_name]);                  \
	}
METHODS(HANDLE)
#undef HANDLE
static enum err handle_compressed_batch(struct call *call, void *service, struct rpc_stream *stream)
{
	return serve(call, service, stream, &compressed_batch_method);
}
#define MISSING(name, c_name)                                                                      \
	static enum err handle_##c_name(struct call *call, void *service,                          \
					struct rpc_stream *stream)                                 \
	{                                                                                          \
		return call_fail(call, ERR_UNIMPLEMENTED,                                          \
				 name " is not implemented by this satellite");                    \
	}
METHODS_MISSING(MISSING)
#undef MISSING

#define METHOD(name, c_name, m_name, item, Type) { "/metainfo.Metainfo/" name, handle_##c_name },
#define METHOD_MISSING(name, c_name) { "/metainfo.Metainfo/" name, handle_##c_name },
const struct rpc_method metainfo_methods[] = {
	METHODS(METHOD) METHODS_MISSING(METHOD_MISSING){ "/metainfo.Metainfo/CompressedBatch",
							 handle_compressed_batch },
};
#undef METHOD
#undef METHOD_MISSING
const size_t metainfo_methods_count = ARRAY_LEN(metainfo_methods);

enum err metainfo_auth(struct call *call, struct mcall *mc, enum rate_kind kind)
{
	if (mc->authenticated)
		return OK;
	TRY_PLAIN(satellite_authenticate(call, mc->sat, mc->a, mc->api_key, kind, &mc->auth));
	mc->authenticated = true;
	return OK;
}

enum err metainfo_allow(struct call *call, struct mcall *mc, enum rate_kind kind, enum action_op op,
			struct bytes bucket, struct bytes path)
{
	TRY_PLAIN(metainfo_auth(call, mc, kind));
	return auth_check(call, &mc->auth, op, bucket, path);
}

enum err metainfo_need_peer(struct call *call, struct mcall *mc)
{
	struct node_id id;

	if (net_peer_id(call, rpc_stream_net(mc->stream), &id))
		return call_fail(call, ERR_UNAUTHENTICATED, "unable to get peer identity");
	return OK;
}

enum err metainfo_stream(struct call *call, struct mcall *mc, enum rate_kind kind,
			 ProtobufCBinaryData id, const struct stream **ret)
{
	if (!id.len && mc->last_stream) {
		TRY_PLAIN(metainfo_auth(call, mc, kind));
		*ret = mc->last_stream;
		return OK;
	}
	struct stream *s = arena_alloc(mc->a, sizeof(*s));
	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "no room for a stream");
	TRY_PLAIN(stream_id_decode(call, mc->a, &mc->sat->id_key, proto_bytes(id), s));
	TRY_PLAIN(metainfo_auth(call, mc, kind));
	if (memcmp(s->project.b, mc->auth.project.id.b, PROJECT_ID_BYTES) != 0)
		return call_fail(call, ERR_PERMISSION, "Unauthorized API credentials");
	*ret = s;
	return OK;
}

struct charge metainfo_charge(const struct mcall *mc)
{
	const struct satellite_config *c = satellite_live(mc->sat);

	return (struct charge){
		.limits = &mc->auth.limits,
		.has_bucket_limits = mc->auth.project.has_bucket_limits,
		.prices = { (int64_t)c->storage_price, (int64_t)c->egress_price },
		.grants_max = (int64_t)MIN(c->max_limited_grants, (uint64_t)INT32_MAX),
	};
}

struct payer metainfo_payer(const struct mcall *mc, struct bytes bucket)
{
	return (struct payer){ mc->auth.project.id, bucket, mc->auth.key_number };
}

struct charge_query {
	const struct mcall *mc;
	int64_t bucket_id;
	struct limit_use use;
	bool only_check;
};

static enum err run_charge(struct call *call, struct db_tx *tx, void *arg)
{
	const struct charge_query *q = arg;
	const struct mcall *mc = q->mc;
	struct charge c = metainfo_charge(mc);
	struct limit_set set = *c.limits;

	if (!q->only_check)
		TRY_PLAIN(limit_ensure(call, tx, &mc->auth.project.id, &c.prices, c.grants_max,
				       &set, mc->now_ns));
	/* Nothing is there of a bucket without limits, and nothing counted. */
	if (c.has_bucket_limits)
		limit_id_of_bucket(q->bucket_id, &set.ids[set.count++]);
	struct bytes ids = BYTES(set.ids[0].b, set.count * LIMIT_ID_BYTES);
	return q->only_check ? limit_check(call, tx, ids, &q->use, mc->now_ns)
			     : limit_charge(call, tx, &c.prices, ids, &q->use, mc->now_ns);
}

static bool has_limits(const struct mcall *mc)
{
	return mc->auth.limits.count || mc->auth.project.has_bucket_limits;
}

enum err metainfo_check_limits(struct call *call, struct mcall *mc, int64_t bucket_id)
{
	struct charge_query q = { mc, bucket_id, { .stored = 1 }, true };

	return has_limits(mc) ? db_read(call, mc->sat->db, run_charge, &q) : OK;
}

enum err metainfo_charge_download(struct call *call, struct mcall *mc, int64_t bucket_id,
				  int64_t bytes, int64_t downloads)
{
	struct charge_query q = {
		mc, bucket_id, { .egress = bytes, .downloads = downloads }, false
	};

	return has_limits(mc) ? db_write(call, mc->sat->db, run_charge, &q) : OK;
}

void metainfo_refund_download(struct mcall *mc, int64_t bucket_id, int64_t bytes, int64_t downloads)
{
	/* The call has a failure to tell already. */
	AUTO_CALL struct call own = CALL_INIT;

	call_init(&own);
	os_call_limit(&own, REFUND_NS_MAX);
	if (metainfo_charge_download(&own, mc, bucket_id, -bytes, -downloads))
		log_warn("a download that failed stays counted", F_STR("error", own.error));
}

enum err check_bucket_length(struct call *call, struct bytes name)
{
	if (!name.len)
		return call_fail(call, ERR_INVALID, "no bucket specified");
	if (name.len < LIMIT_BUCKET_NAME_MIN || name.len > LIMIT_BUCKET_NAME_MAX)
		return call_fail(
			call, ERR_INVALID,
			"bucket name must be at least %d and no more than %d characters long",
			LIMIT_BUCKET_NAME_MIN, LIMIT_BUCKET_NAME_MAX);
	return OK;
}

enum err check_version_length(struct call *call, ProtobufCBinaryData version)
{
	if (version.len && version.len != OBJECT_VERSION_BYTES)
		return call_fail(call, ERR_INVALID, "invalid object version length");
	return OK;
}

enum err check_limit(struct call *call, int32_t limit, size_t max, size_t *ret)
{
	if (limit < 0)
		return call_fail(call, ERR_INVALID, "limit is negative");
	*ret = limit == 0 || (size_t)limit > max ? max : (size_t)limit;
	return OK;
}

enum err check_user_data_size(struct call *call, const struct user_data *d)
{
	size_t size = d->metadata.len + d->etag.len + d->checksum.len;

	if (size > LIMIT_METADATA_BYTES)
		return call_fail(call, ERR_INVALID,
				 "Encrypted metadata is too large, got %zu B, maximum allowed is "
				 "%d B",
				 size, LIMIT_METADATA_BYTES);
	if (d->key.len && d->key.len != LIMIT_METADATA_KEY_BYTES)
		return call_fail(call, ERR_INVALID,
				 "Encrypted metadata key size is invalid, got %zu, expected %d",
				 d->key.len, LIMIT_METADATA_KEY_BYTES);
	return OK;
}

enum err read_checksum(struct call *call, const struct mcall *mc, bool begin,
		       struct checksum_fields f, struct user_data *d)
{
	if (!f.algorithm && !f.composite && !f.value.len)
		return OK;
	if (!satellite_live(mc->sat)->checksums)
		return call_fail_status(call, ERR_UNIMPLEMENTED, STATUS_CHECKSUMS_UNSUPPORTED,
					"Checksums are not supported by this satellite");
	if (f.algorithm < 0 || f.algorithm > METAINFO__OBJECT_CHECKSUM_ALGORITHM__SHA256)
		return call_fail_status(call, ERR_INVALID, STATUS_CHECKSUM_ALGORITHM,
					"The checksum algorithm is invalid");
	if (!f.algorithm && f.composite)
		return call_fail_status(call, ERR_INVALID, STATUS_CHECKSUM_TYPE,
					"A checksum type must not be provided if a checksum "
					"algorithm is not provided");
	if (!f.algorithm)
		return call_fail_status(call, ERR_INVALID, STATUS_CHECKSUM_UNEXPECTED,
					"A checksum must not be provided if a checksum algorithm "
					"is not provided");
	if (!begin && !f.value.len)
		return call_fail_status(
			call, ERR_INVALID, STATUS_CHECKSUM_MISSING,
			"A checksum must be provided if a checksum algorithm is provided");
	d->checksum_algorithm = f.algorithm;
	d->checksum_composite = f.composite;
	d->checksum = proto_bytes(f.value);
	return OK;
}

enum err check_segment_checksum(struct call *call, const struct mcall *mc,
				ProtobufCBinaryData value)
{
	if (value.len && !satellite_live(mc->sat)->checksums)
		return call_fail_status(call, ERR_UNIMPLEMENTED, STATUS_CHECKSUMS_UNSUPPORTED,
					"Checksums are not supported by this satellite");
	if (value.len > LIMIT_METADATA_BYTES)
		return call_fail(call, ERR_INVALID, "EncryptedChecksum is too large");
	return OK;
}

enum err read_retention(struct call *call, const Metainfo__Retention *m, int64_t now_ns,
			struct retention *ret)
{
	*ret = (struct retention){ 0 };
	if (!m)
		return OK;
	int64_t until = proto_time(m->retain_until);
	switch (m->mode) {
	case METAINFO__RETENTION__MODE__COMPLIANCE:
	case METAINFO__RETENTION__MODE__GOVERNANCE:
		if (!until)
			return call_fail(call, ERR_INVALID,
					 "retention period expiration time must be set if "
					 "retention is set");
		if (until < now_ns)
			return call_fail(
				call, ERR_INVALID,
				"retention period expiration time must not be in the past");
		*ret = (struct retention){ (int32_t)m->mode, time_us(until) };
		return OK;
	default:
		return call_fail(call, ERR_INVALID, "invalid retention mode %d", (int)m->mode);
	}
}

struct bytes nonce_or_none(ProtobufCBinaryData nonce)
{
	for (size_t i = 0; i < nonce.len; i++) {
		if (nonce.data[i])
			return proto_bytes(nonce);
	}
	return BYTES_NONE;
}
