/*
 * How metainfo requests are served: directly, or as items of a batch.  A method decodes nothing and
 * sends nothing itself: it gets its request, fills its response, both in the call's scratch arena.
 *
 * The four items an upload is made of (begin, inline segment, commit segment, commit) prepare and
 * check outside of the database and put their statements into a work group; the group of a batch
 * runs in one writing transaction, so a small upload costs one.
 */
#ifndef ACRE_SATELLITE_ENDPOINT_METAINFO_H
#define ACRE_SATELLITE_ENDPOINT_METAINFO_H

#include "proto/metainfo.pb-c.h"
#include "proto/proto.h"
#include "satellite/auth.h"
#include "satellite/object.h"
#include "satellite/stream_id.h"
#include "satellite/usage.h"

struct metainfo; /* what the service keeps in memory */

enum { WORK_GROUP_MAX = 32, BATCH_ITEMS_MAX = 1000, METAINFO_MEMORY_MAX = 64 << 20 };

enum work_kind { WORK_BEGIN, WORK_INLINE, WORK_SEGMENT, WORK_COMMIT };

struct mcall;

/* Statements to run together, and what to answer once they are durable. */
struct work {
	enum work_kind kind;
	void *arg;
	ProtobufCMessage *response;
};

struct mcall {
	struct satellite *sat;
	struct metainfo *m;
	struct arena *a;	   /* the call's scratch */
	struct rpc_stream *stream; /* for the peer's identity */
	struct bytes api_key, user_agent;
	unsigned uplink_minor; /* of the uplink 1.x that asks; 0: 1.0 or another client */
	struct auth auth;
	bool authenticated; /* a batch asks once */
	int64_t now_ns;
	/* batch only */
	bool in_batch;
	bool begins_upload;    /* this object_begin is followed by a segment (metainfo.md 2) */
	bool stream_just_made; /* this segment_begin takes the stream the batch began */
	const struct stream *last_stream;
	struct bytes last_segment;
	struct work works[WORK_GROUP_MAX];
	size_t works_count;
};

/* A method: name, batch item number (0: never in a batch), types. */
struct metainfo_method {
	const char *name;
	unsigned item; /* in BatchRequestItem and BatchResponseItem alike */
	const ProtobufCMessageDescriptor *request, *response;
	size_t header_offset; /* of Metainfo__RequestHeader * in the request */
	enum err (*run)(struct call *call, struct mcall *mc, const void *request, void *response);
};
extern const struct metainfo_method metainfo_table[];
extern const size_t metainfo_table_count;

/* Who asks, by the request's header; NULL: it has none. */
void mcall_header(struct mcall *mc, const Metainfo__RequestHeader *header);
/* A new response of arena memory, initialised; NULL without memory. */
void *message_new(struct arena *a, const ProtobufCMessageDescriptor *type);

/* Authenticates (once per batch). */
enum err metainfo_auth(struct call *call, struct mcall *mc, enum rate_kind kind) MUST_USE;
/* As metainfo_auth, then one action. */
enum err metainfo_allow(struct call *call, struct mcall *mc, enum rate_kind kind, enum action_op op,
			struct bytes bucket, struct bytes path) MUST_USE;
/* Unauthenticated unless the peer has an identity. */
enum err metainfo_need_peer(struct call *call, struct mcall *mc) MUST_USE;
/* The stream an item speaks of: its own id, or the batch's last.  InvalidArgument; PermissionDenied
 * when it is of another project.  Authenticates first: the project must be known. */
enum err metainfo_stream(struct call *call, struct mcall *mc, enum rate_kind kind,
			 ProtobufCBinaryData id, const struct stream **ret) MUST_USE;
/* Puts work into the group; runs it at once outside of a batch. */
enum err metainfo_work(struct call *call, struct mcall *mc, enum work_kind kind, void *arg,
		       ProtobufCMessage *response) MUST_USE;
/* What new bytes of this request count for; after authentication. */
struct charge metainfo_charge(const struct mcall *mc);
/* Whose bandwidth it is. */
struct payer metainfo_payer(const struct mcall *mc, struct bytes bucket);
/* Refused when a finer limit leaves no room for anything more in that bucket. */
enum err metainfo_check_limits(struct call *call, struct mcall *mc, int64_t bucket_id) MUST_USE;
/* Counts what is served for all finer limits there are, or refuses it. */
enum err metainfo_charge_download(struct call *call, struct mcall *mc, int64_t bucket_id,
				  int64_t bytes, int64_t downloads) MUST_USE;
/* Gives that back, as nothing could be served. */
void metainfo_refund_download(struct mcall *mc, int64_t bucket_id, int64_t bytes,
			      int64_t downloads);
/* Runs what is in the group and fills the responses. */
enum err metainfo_flush(struct call *call, struct mcall *mc) MUST_USE;

/* Requests that name a bucket: its length (metainfo.md 4). */
enum err check_bucket_length(struct call *call, struct bytes name) MUST_USE;
/* The same with status codes of their own, 10014 and 10015. */
enum err check_bucket_named(struct call *call, struct bytes name) MUST_USE;
/* 0 or 16 bytes. */
enum err check_version_length(struct call *call, ProtobufCBinaryData version) MUST_USE;
enum err check_limit(struct call *call, int32_t limit, size_t max, size_t *ret) MUST_USE;
/* Sizes of what the client keeps with an object (metainfo.md 3.4). */
enum err check_user_data_size(struct call *call, const struct user_data *d) MUST_USE;
/* The three fields an object's checksum comes in; begin: the value may follow with the commit. */
struct checksum_fields {
	int32_t algorithm;
	bool composite;
	ProtobufCBinaryData value;
};
#define CHECKSUM_OF(req)                                                                           \
	((struct checksum_fields){ (int32_t)(req)->checksum_algorithm,                             \
				   (req)->is_checksum_composite, (req)->encrypted_checksum })
enum err read_checksum(struct call *call, const struct mcall *mc, bool begin,
		       struct checksum_fields f, struct user_data *d) MUST_USE;
enum err check_segment_checksum(struct call *call, const struct mcall *mc,
				ProtobufCBinaryData value) MUST_USE;
/* Absent: none. */
enum err read_retention(struct call *call, const Metainfo__Retention *m, int64_t now_ns,
			struct retention *ret) MUST_USE;
/* Empty for the all-zero nonce that Go sends for none. */
struct bytes nonce_or_none(ProtobufCBinaryData nonce);

/* ---- answers ---- */

/* Object.encrypted_metadata: what the client stored, completed (metainfo.md 5.7). */
enum err answer_object(struct call *call, struct mcall *mc, struct bytes bucket, int32_t placement,
		       const struct object *o, Metainfo__Object **ret) MUST_USE;
/* Read or List will do (metainfo.md 3.1). */
enum err metainfo_allow_look(struct call *call, struct mcall *mc, struct bytes bucket,
			     struct bytes key) MUST_USE;
/* Leaves out what the key may not see. */
void hide_lock(const struct mcall *mc, struct bytes bucket, struct bytes key, Metainfo__Object *o);
struct include {
	bool system, custom, etag, etag_or_custom, checksum, legacy, version;
};
extern const struct include include_all;
enum err answer_list_item(struct call *call, struct mcall *mc, struct bytes bucket,
			  int32_t placement, struct bytes prefix, const struct include *include,
			  const struct object *o, bool is_latest,
			  Metainfo__ObjectListItem *ret) MUST_USE;
Encryption__EncryptionParameters *answer_encryption(struct arena *a, int32_t cipher,
						    int64_t block_size);
Metainfo__SegmentPosition *answer_position(struct arena *a, int64_t position);
/* A stream id for a committed or pending row. */
void object_stream(const struct project_id *project, struct bytes bucket, int32_t placement,
		   const struct object *o, struct stream *ret);

/* ---- methods ---- */

#define METAINFO_METHOD(c_name, Type)                                                              \
	enum err metainfo_##c_name(struct call *call, struct mcall *mc,                            \
				   const Metainfo__##Type##Request *req,                           \
				   Metainfo__##Type##Response *resp)

METAINFO_METHOD(create_bucket, CreateBucket) MUST_USE;
METAINFO_METHOD(get_bucket, GetBucket) MUST_USE;
METAINFO_METHOD(get_bucket_location, GetBucketLocation) MUST_USE;
METAINFO_METHOD(get_bucket_versioning, GetBucketVersioning) MUST_USE;
METAINFO_METHOD(set_bucket_versioning, SetBucketVersioning) MUST_USE;
METAINFO_METHOD(get_bucket_lock, GetBucketObjectLockConfiguration) MUST_USE;
METAINFO_METHOD(set_bucket_lock, SetBucketObjectLockConfiguration) MUST_USE;
METAINFO_METHOD(get_bucket_tagging, GetBucketTagging) MUST_USE;
METAINFO_METHOD(set_bucket_tagging, SetBucketTagging) MUST_USE;
METAINFO_METHOD(get_bucket_notification, GetBucketNotificationConfiguration) MUST_USE;
METAINFO_METHOD(set_bucket_notification, SetBucketNotificationConfiguration) MUST_USE;
METAINFO_METHOD(delete_bucket, DeleteBucket) MUST_USE;
METAINFO_METHOD(list_buckets, ListBuckets) MUST_USE;
METAINFO_METHOD(begin_object, BeginObject) MUST_USE;
METAINFO_METHOD(commit_object, CommitObject) MUST_USE;
METAINFO_METHOD(get_object, GetObject) MUST_USE;
METAINFO_METHOD(list_objects, ListObjects) MUST_USE;
METAINFO_METHOD(begin_delete_object, BeginDeleteObject) MUST_USE;
METAINFO_METHOD(delete_objects, DeleteObjects) MUST_USE;
METAINFO_METHOD(get_object_ips, GetObjectIPs) MUST_USE;
METAINFO_METHOD(list_pending_object_streams, ListPendingObjectStreams) MUST_USE;
METAINFO_METHOD(download_object, DownloadObject) MUST_USE;
METAINFO_METHOD(get_pending_object_metadata, GetPendingObjectMetadata) MUST_USE;
METAINFO_METHOD(update_object_metadata, UpdateObjectMetadata) MUST_USE;
METAINFO_METHOD(get_object_retention, GetObjectRetention) MUST_USE;
METAINFO_METHOD(set_object_retention, SetObjectRetention) MUST_USE;
METAINFO_METHOD(get_object_legal_hold, GetObjectLegalHold) MUST_USE;
METAINFO_METHOD(set_object_legal_hold, SetObjectLegalHold) MUST_USE;
METAINFO_METHOD(begin_segment, BeginSegment) MUST_USE;
METAINFO_METHOD(retry_begin_segment_pieces, RetryBeginSegmentPieces) MUST_USE;
METAINFO_METHOD(commit_segment, CommitSegment) MUST_USE;
METAINFO_METHOD(make_inline_segment, MakeInlineSegment) MUST_USE;
METAINFO_METHOD(list_segments, ListSegments) MUST_USE;
METAINFO_METHOD(download_segment, DownloadSegment) MUST_USE;
METAINFO_METHOD(delete_part, DeletePart) MUST_USE;
METAINFO_METHOD(project_info, ProjectInfo) MUST_USE;
METAINFO_METHOD(revoke_api_key, RevokeAPIKey) MUST_USE;
METAINFO_METHOD(account_licenses, AccountLicenses) MUST_USE;
METAINFO_METHOD(begin_move_object, BeginMoveObject) MUST_USE;
METAINFO_METHOD(finish_move_object, FinishMoveObject) MUST_USE;
METAINFO_METHOD(begin_copy_object, BeginCopyObject) MUST_USE;
METAINFO_METHOD(finish_copy_object, FinishCopyObject) MUST_USE;
METAINFO_METHOD(compressed_batch, CompressedBatch) MUST_USE;
METAINFO_METHOD(batch, Batch) MUST_USE;

#endif
