/* C API: uploads, parts, multipart uploads. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/capi.h"
#include "client/upload.h"
#include "client/upload_id.h"

/* Behind UplinkUpload and UplinkPartUpload. */
struct upload_handle {
	struct handled handled;
	struct upload *upload;
	uint32_t part_number;
};

static void upload_release(struct handled *h)
{
	struct upload_handle *u = (struct upload_handle *)(void *)h;

	upload_free(u->upload);
	free(u);
}

static int64_t expires_ns(const UplinkUploadOptions *options)
{
	return options && options->expires > 0 ? capi_seconds_to_ns(options->expires) : 0;
}

/* The upload becomes a handle of that type. */
static void *make_handle(struct upload *upload, enum handle_type type, uint32_t part_number,
			 UplinkError **error)
{
	struct upload_handle *u = calloc(1, sizeof(*u));

	if (!u) {
		upload_free(upload);
		*error = capi_no_memory(NULL);
		return NULL;
	}
	u->handled = (struct handled){ type, 1, upload_release };
	u->upload = upload;
	u->part_number = part_number;
	void *handle = handle_new(&u->handled);
	if (!handle)
		*error = capi_no_memory(NULL);
	return handle;
}

/* ---- uploads of objects ---- */

UplinkUploadResult acre_upload_object(UplinkProject *project, uplink_const_char *bucket_name,
				      uplink_const_char *object_key,
				      const UplinkUploadOptions *options,
				      const AcreTransferOptions *transfer)
{
	UplinkUploadResult r = { NULL, NULL };
	struct upload *upload = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", bucket_name, "object_key", object_key, NULL))
		return r;
	struct upload_options o = { .expires_ns = expires_ns(options), .transfer = transfer };
	r.error = outcome_error(&call, upload_new(&call, p, bytes_str(bucket_name),
						  bytes_str(object_key), &o, &upload));
	if (!r.error)
		r.upload = make_handle(upload, HANDLE_UPLOAD, 0, &r.error);
	return r;
}

UplinkUploadResult uplink_upload_object(UplinkProject *project, uplink_const_char *bucket_name,
					uplink_const_char *object_key, UplinkUploadOptions *options)
{
	return acre_upload_object(project, bucket_name, object_key, options, NULL);
}

static UplinkWriteResult write_call(const void *handle, enum handle_type type, const char *what,
				    void *bytes, size_t length)
{
	UplinkWriteResult r = { 0, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(handle, type, what, &r.error);

	if (!u || (length && !capi_given(&r.error, "bytes", bytes, NULL)))
		return r;
	upload_call(u->upload, &call);
	enum err e = upload_write(&call, u->upload, BYTES(bytes, length), &r.bytes_written);
	r.error = outcome_error(&call, e);
	return r;
}

UplinkWriteResult uplink_upload_write(UplinkUpload *upload, void *bytes, size_t length)
{
	return write_call(upload, HANDLE_UPLOAD, "upload", bytes, length);
}

AcreRoomResult acre_upload_room(UplinkUpload *upload)
{
	AcreRoomResult r = { NULL, 0, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_UPLOAD, "upload",
							  &r.error);
	uint8_t *room = NULL;

	if (!u)
		return r;
	upload_call(u->upload, &call);
	r.error = outcome_error(&call, upload_room(&call, u->upload, &room, &r.length));
	r.bytes = room;
	return r;
}

UplinkWriteResult acre_upload_filled(UplinkUpload *upload, size_t length)
{
	UplinkWriteResult r = { 0, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_UPLOAD, "upload",
							  &r.error);

	if (!u)
		return r;
	upload_call(u->upload, &call);
	r.error = outcome_error(&call, upload_filled(&call, u->upload, length));
	r.bytes_written = r.error ? 0 : length;
	return r;
}

UplinkWriteResult acre_upload_from(UplinkUpload *upload, AcreReadAtFunc *read, void *arg,
				   uint64_t size)
{
	UplinkWriteResult r = { 0, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_UPLOAD, "upload",
							  &r.error);
	struct source_reader reader = { read, arg };

	if (!u)
		return r;
	if (!read) {
		r.error = outcome_error(&call, call_fail(&call, ERR_INVALID, "read is NULL"));
		return r;
	}
	upload_call(u->upload, &call);
	r.error = outcome_error(&call, upload_from(&call, u->upload, &reader, size));
	r.bytes_written = r.error ? 0 : (size_t)size;
	return r;
}

typedef enum err upload_op(struct call *call, struct upload *u);

static UplinkError *end_call(const void *handle, enum handle_type type, const char *what,
			     upload_op *op)
{
	UplinkError *error = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(handle, type, what, &error);

	if (!u)
		return error;
	upload_call(u->upload, &call);
	return outcome_error(&call, op(&call, u->upload));
}

UplinkError *uplink_upload_commit(UplinkUpload *upload)
{
	return end_call(upload, HANDLE_UPLOAD, "upload", upload_commit);
}

UplinkError *uplink_upload_abort(UplinkUpload *upload)
{
	return end_call(upload, HANDLE_UPLOAD, "upload", upload_abort);
}

uint64_t acre_upload_resumed(UplinkUpload *upload)
{
	UplinkError *error = NULL;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_UPLOAD, "upload", &error);

	uplink_free_error(error);
	return u ? upload_resumed(u->upload) : 0;
}

UplinkObjectResult uplink_upload_info(UplinkUpload *upload)
{
	UplinkObjectResult r = { NULL, NULL };
	struct object info;
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_UPLOAD, "upload",
							  &r.error);

	if (!u)
		return r;
	r.error = outcome_error(&call, upload_info(&call, u->upload, &call.scratch, &info));
	if (r.error)
		return r;
	r.object = capi_object(&info);
	if (!r.object)
		r.error = capi_no_memory(NULL);
	return r;
}

UplinkError *uplink_upload_set_custom_metadata(UplinkUpload *upload, UplinkCustomMetadata custom)
{
	UplinkError *error = NULL;
	struct meta_entry *entries;
	size_t count;
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_UPLOAD, "upload", &error);

	if (!u)
		return error;
	enum err e = capi_entries(&call, &custom, &entries, &count);
	if (!e)
		e = upload_set_metadata(&call, u->upload, entries, count);
	return outcome_error(&call, e);
}

void uplink_free_write_result(UplinkWriteResult result)
{
	uplink_free_error(result.error);
}

void uplink_free_upload_result(UplinkUploadResult result)
{
	uplink_free_error(result.error);
	if (result.upload)
		handle_put(handle_end(result.upload, HANDLE_UPLOAD));
}

/* ---- multipart uploads ---- */

UplinkUploadInfo *capi_upload_info(const struct object *o)
{
	struct buf id AUTO_BUF = BUF_INIT(UPLOAD_ID_TEXT_MAX);
	UplinkUploadInfo *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (o->stream_id.len && upload_id_add(&id, o->stream_id))
		goto fail;
	r->upload_id = capi_string(buf_bytes(&id));
	r->key = capi_string(o->key);
	r->is_prefix = o->is_prefix;
	r->system = capi_system(o);
	if (r->upload_id && r->key && capi_custom(&o->metadata, &r->custom))
		return r;
fail:
	uplink_free_upload_info(r);
	return NULL;
}

UplinkUploadInfoResult uplink_begin_upload(UplinkProject *project, uplink_const_char *bucket_name,
					   uplink_const_char *object_key,
					   UplinkUploadOptions *options)
{
	UplinkUploadInfoResult r = { NULL, NULL };
	struct object info = { 0 };
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", bucket_name, "object_key", object_key, NULL))
		return r;
	info.key = bytes_str(object_key);
	info.expires_ns = expires_ns(options);
	r.error = outcome_error(&call,
				multipart_begin(&call, p, &call.scratch, bytes_str(bucket_name),
						info.key, info.expires_ns, &info.stream_id));
	if (r.error)
		return r;
	r.info = capi_upload_info(&info);
	if (!r.info)
		r.error = capi_no_memory(NULL);
	return r;
}

void uplink_free_upload_info_result(UplinkUploadInfoResult result)
{
	uplink_free_error(result.error);
	uplink_free_upload_info(result.info);
}

void uplink_free_upload_info(UplinkUploadInfo *info)
{
	if (!info)
		return;
	free(info->upload_id);
	free(info->key);
	capi_free_custom(&info->custom);
	free(info);
}

static enum err commit_multipart(struct call *call, struct project *p, const char *bucket,
				 const char *key, const char *upload_id,
				 const UplinkCommitUploadOptions *options, struct object **ret)
{
	static const UplinkCustomMetadata none;
	struct meta_entry *entries;
	size_t count;
	struct bytes stream_id;

	TRY_PLAIN(upload_id_parse(call, &call->scratch, bytes_str(upload_id), &stream_id));
	TRY_PLAIN(
		capi_entries(call, options ? &options->custom_metadata : &none, &entries, &count));
	return multipart_commit(call, p, &call->scratch, bytes_str(bucket), bytes_str(key),
				stream_id, entries, count, ret);
}

UplinkCommitUploadResult uplink_commit_upload(UplinkProject *project,
					      uplink_const_char *bucket_name,
					      uplink_const_char *object_key,
					      uplink_const_char *upload_id,
					      UplinkCommitUploadOptions *options)
{
	UplinkCommitUploadResult r = { NULL, NULL };
	struct object *o = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", bucket_name, "object_key", object_key,
			      "upload_id", upload_id, NULL))
		return r;
	r.error = outcome_error(
		&call, commit_multipart(&call, p, bucket_name, object_key, upload_id, options, &o));
	if (r.error || !o)
		return r;
	r.object = capi_object(o);
	if (!r.object)
		r.error = capi_no_memory(NULL);
	return r;
}

void uplink_free_commit_upload_result(UplinkCommitUploadResult result)
{
	uplink_free_error(result.error);
	uplink_free_object(result.object);
}

UplinkError *uplink_abort_upload(UplinkProject *project, uplink_const_char *bucket_name,
				 uplink_const_char *object_key, uplink_const_char *upload_id)
{
	UplinkError *error = NULL;
	struct bytes stream_id;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &error);

	if (!p || !capi_given(&error, "bucket_name", bucket_name, "object_key", object_key,
			      "upload_id", upload_id, NULL))
		return error;
	enum err e = upload_id_parse(&call, &call.scratch, bytes_str(upload_id), &stream_id);
	if (!e)
		e = multipart_abort(&call, p, bytes_str(bucket_name), bytes_str(object_key),
				    stream_id);
	return outcome_error(&call, e);
}

static enum err new_part(struct call *call, struct project *p, const char *bucket, const char *key,
			 const char *upload_id, uint32_t number,
			 const AcreTransferOptions *transfer, struct upload **ret)
{
	struct upload_options o = { .transfer = transfer, .part_number = number };

	TRY_PLAIN(check_key(call, bytes_str(bucket), bytes_str(key)));
	if (number >= INT32_MAX)
		return call_fail(call, ERR_INVALID, "part number %u is too large", number);
	TRY_PLAIN(upload_id_parse(call, &call->scratch, bytes_str(upload_id), &o.stream_id));
	return upload_new(call, p, bytes_str(bucket), bytes_str(key), &o, ret);
}

UplinkPartUploadResult acre_upload_part(UplinkProject *project, uplink_const_char *bucket_name,
					uplink_const_char *object_key, uplink_const_char *upload_id,
					uint32_t part_number, const AcreTransferOptions *transfer)
{
	UplinkPartUploadResult r = { NULL, NULL };
	struct upload *upload = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", bucket_name, "object_key", object_key,
			      "upload_id", upload_id, NULL))
		return r;
	r.error = outcome_error(&call, new_part(&call, p, bucket_name, object_key, upload_id,
						part_number, transfer, &upload));
	if (!r.error)
		r.part_upload = make_handle(upload, HANDLE_PART_UPLOAD, part_number, &r.error);
	return r;
}

UplinkPartUploadResult uplink_upload_part(UplinkProject *project, uplink_const_char *bucket_name,
					  uplink_const_char *object_key,
					  uplink_const_char *upload_id, uint32_t part_number)
{
	return acre_upload_part(project, bucket_name, object_key, upload_id, part_number, NULL);
}

UplinkWriteResult uplink_part_upload_write(UplinkPartUpload *upload, void *bytes, size_t length)
{
	return write_call(upload, HANDLE_PART_UPLOAD, "part upload", bytes, length);
}

UplinkError *uplink_part_upload_commit(UplinkPartUpload *upload)
{
	return end_call(upload, HANDLE_PART_UPLOAD, "part upload", upload_commit);
}

UplinkError *uplink_part_upload_abort(UplinkPartUpload *upload)
{
	return end_call(upload, HANDLE_PART_UPLOAD, "part upload", upload_abort);
}

UplinkError *uplink_part_upload_set_etag(UplinkPartUpload *upload, uplink_const_char *etag)
{
	UplinkError *error = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_PART_UPLOAD, "part upload",
							  &error);

	if (!u)
		return error;
	return outcome_error(&call, upload_set_etag(&call, u->upload, bytes_str(etag)));
}

UplinkPart *capi_part(uint32_t number, uint64_t size, int64_t modified_ns, struct bytes etag)
{
	UplinkPart *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->part_number = number;
	r->size = (size_t)size;
	r->modified = capi_ns_to_seconds(modified_ns);
	r->etag = capi_string(etag);
	r->etag_length = etag.len;
	if (r->etag)
		return r;
	free(r);
	return NULL;
}

UplinkPartResult uplink_part_upload_info(UplinkPartUpload *upload)
{
	UplinkPartResult r = { NULL, NULL };
	struct object info;
	struct call call AUTO_CALL = CALL_INIT;
	struct upload_handle *u AUTO(capi_put) = capi_use(upload, HANDLE_PART_UPLOAD, "part upload",
							  &r.error);

	if (!u)
		return r;
	r.error = outcome_error(&call, upload_info(&call, u->upload, &call.scratch, &info));
	if (r.error)
		return r;
	r.part = capi_part(u->part_number, (uint64_t)info.size, info.created_ns,
			   info.metadata.etag);
	if (!r.part)
		r.error = capi_no_memory(NULL);
	return r;
}

void uplink_free_part_result(UplinkPartResult result)
{
	uplink_free_error(result.error);
	uplink_free_part(result.part);
}

void uplink_free_part_upload_result(UplinkPartUploadResult result)
{
	uplink_free_error(result.error);
	if (result.part_upload)
		handle_put(handle_end(result.part_upload, HANDLE_PART_UPLOAD));
}

void uplink_free_part(UplinkPart *part)
{
	if (!part)
		return;
	free(part->etag);
	free(part);
}
