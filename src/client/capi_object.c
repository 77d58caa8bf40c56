/* C API: single objects. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/capi.h"

/* The result of an object that may be absent. */
static UplinkObjectResult object_result(struct call *call, enum err e, const struct object *o)
{
	UplinkObjectResult r = { NULL, outcome_error(call, e) };

	if (r.error || !o)
		return r;
	r.object = capi_object(o);
	if (!r.object)
		r.error = capi_no_memory(NULL);
	return r;
}

UplinkObjectResult uplink_stat_object(UplinkProject *project, uplink_const_char *bucket_name,
				      uplink_const_char *object_key)
{
	UplinkObjectResult r = { NULL, NULL };
	struct object *o = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", bucket_name, "object_key", object_key, NULL))
		return r;
	enum err e = object_stat(&call, p, &call.scratch, bytes_str(bucket_name),
				 bytes_str(object_key), &o);
	return object_result(&call, e, o);
}

UplinkObjectResult uplink_delete_object(UplinkProject *project, uplink_const_char *bucket_name,
					uplink_const_char *object_key)
{
	UplinkObjectResult r = { NULL, NULL };
	struct object *o = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", bucket_name, "object_key", object_key, NULL))
		return r;
	enum err e = object_delete(&call, p, &call.scratch, bytes_str(bucket_name),
				   bytes_str(object_key), &o);
	return object_result(&call, e, o);
}

UplinkError *uplink_update_object_metadata(UplinkProject *project, uplink_const_char *bucket_name,
					   uplink_const_char *object_key,
					   UplinkCustomMetadata new_metadata,
					   UplinkUploadObjectMetadataOptions *options)
{
	UplinkError *error = NULL;
	struct meta_entry *entries;
	size_t count;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &error);

	if (!p || !capi_given(&error, "bucket_name", bucket_name, "object_key", object_key, NULL))
		return error;
	enum err e = capi_entries(&call, &new_metadata, &entries, &count);
	if (!e)
		e = object_update_metadata(&call, p, bytes_str(bucket_name), bytes_str(object_key),
					   entries, count);
	return outcome_error(&call, e);
}

UplinkObjectResult uplink_copy_object(UplinkProject *project, uplink_const_char *old_bucket_name,
				      uplink_const_char *old_object_key,
				      uplink_const_char *new_bucket_name,
				      uplink_const_char *new_object_key,
				      UplinkCopyObjectOptions *options)
{
	UplinkObjectResult r = { NULL, NULL };
	struct object *o = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "old_bucket_name", old_bucket_name, "old_object_key",
			      old_object_key, "new_bucket_name", new_bucket_name, "new_object_key",
			      new_object_key, NULL))
		return r;
	struct place from = { bytes_str(old_bucket_name), bytes_str(old_object_key) };
	struct place to = { bytes_str(new_bucket_name), bytes_str(new_object_key) };
	enum err e = object_copy(&call, p, &call.scratch, from, to, &o);
	return object_result(&call, e, o);
}

UplinkError *uplink_move_object(UplinkProject *project, uplink_const_char *old_bucket_name,
				uplink_const_char *old_object_key,
				uplink_const_char *new_bucket_name,
				uplink_const_char *new_object_key, UplinkMoveObjectOptions *options)
{
	UplinkError *error = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &error);

	if (!p || !capi_given(&error, "old_bucket_name", old_bucket_name, "old_object_key",
			      old_object_key, "new_bucket_name", new_bucket_name, "new_object_key",
			      new_object_key, NULL))
		return error;
	struct place from = { bytes_str(old_bucket_name), bytes_str(old_object_key) };
	struct place to = { bytes_str(new_bucket_name), bytes_str(new_object_key) };
	return outcome_error(&call, object_move(&call, p, from, to));
}

void uplink_free_object_result(UplinkObjectResult obj)
{
	uplink_free_error(obj.error);
	uplink_free_object(obj.object);
}

void uplink_free_object(UplinkObject *obj)
{
	if (!obj)
		return;
	free(obj->key);
	capi_free_custom(&obj->custom);
	free(obj);
}
