/* C API: projects, buckets, cancellation. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "client/capi.h"
#include "client/metainfo.h"
#include "os/process.h"
#include "proto/proto.h"

#ifndef ACRE_VERSION
#define ACRE_VERSION "0.0.0"
#endif

const char *acre_version(void)
{
	return ACRE_VERSION;
}

/* ---- cancellation ---- */

AcreCancel *acre_cancel_new(void)
{
	AUTO_CALL struct call call = CALL_INIT;
	AcreCancel *c = calloc(1, sizeof(*c));

	if (c && os_cancel_init(&call, &c->cancel, NULL)) {
		free(c);
		return NULL;
	}
	if (c)
		c->pid = os_pid();
	return c;
}

void acre_cancel_set(AcreCancel *cancel)
{
	if (cancel && cancel->pid == os_pid())
		os_cancel_set(&cancel->cancel);
}

bool acre_cancel_is_set(const AcreCancel *cancel)
{
	return cancel && os_cancel_is_set(&cancel->cancel);
}

void acre_cancel_free(AcreCancel *cancel)
{
	if (!cancel)
		return;
	os_cancel_fini(&cancel->cancel);
	free(cancel);
}

/* ---- projects ---- */

UplinkProjectResult acre_open_project(const AcreConfig *config, UplinkAccess *handle)
{
	static const AcreConfig defaults;
	UplinkProjectResult r = { NULL, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct project *project = NULL;
	struct access *access AUTO(capi_put) = capi_use(handle, HANDLE_ACCESS, "access", &r.error);

	if (!access)
		return r;
	r.error = outcome_error(&call,
				project_open(&call, config ? config : &defaults, access, &project));
	if (r.error)
		return r;
	r.project = handle_new(&project->handled);
	if (!r.project)
		r.error = capi_no_memory(NULL);
	return r;
}

UplinkProjectResult uplink_config_open_project(UplinkConfig config, UplinkAccess *access)
{
	AcreConfig c = { .uplink = config };

	return acre_open_project(&c, access);
}

UplinkProjectResult uplink_open_project(UplinkAccess *access)
{
	return acre_open_project(NULL, access);
}

UplinkProjectResult acre_project_limit(UplinkProject *project, int64_t timeout_ms)
{
	UplinkProjectResult r = { NULL, NULL };
	AUTO_CALL struct call call = CALL_INIT;
	struct project *limited = NULL;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p)
		return r;
	if (timeout_ms < 0 || timeout_ms > INT64_MAX / NS_PER_SEC)
		r.error = outcome_error(&call, call_fail(&call, ERR_INVALID,
							 "a limit of %lld ms cannot be",
							 (long long)timeout_ms));
	else
		r.error = outcome_error(&call,
					project_limit(&call, p, timeout_ms * NS_PER_MS, &limited));
	if (r.error)
		return r;
	r.project = handle_new(&limited->handled);
	if (!r.project)
		r.error = capi_no_memory(NULL);
	return r;
}

UplinkError *uplink_close_project(UplinkProject *handle)
{
	UplinkError *error = NULL;

	if (!handle)
		return NULL;
	struct project *p AUTO(capi_put) = capi_use(handle, HANDLE_PROJECT, "project", &error);
	if (p)
		project_close(p);
	return error;
}

void uplink_free_project_result(UplinkProjectResult result)
{
	uplink_free_error(result.error);
	if (!result.project)
		return;
	struct project *p = (void *)handle_end(result.project, HANDLE_PROJECT);
	if (p)
		project_close(p);
	handle_put((struct handled *)p);
}

static enum err revoke(struct call *call, struct project *p, struct access *access)
{
	struct arena a AUTO(arena_free) = { 0 };
	struct buf binary AUTO_SECRET_BUF = BUF_INIT(MACAROON_BYTES_MAX);
	Metainfo__RevokeAPIKeyRequest request = METAINFO__REVOKE_APIKEY_REQUEST__INIT;
	Metainfo__RevokeAPIKeyResponse *answer;

	os_mutex_lock(&access->lock);
	macaroon_add_binary(&binary, &access->grant.key);
	os_mutex_unlock(&access->lock);
	TRY_PLAIN(buf_status(&binary));
	request.api_key = proto_view(buf_bytes(&binary));
	enum err e = metainfo_ask(call, &p->satellite, "RevokeAPIKey", &request.base,
				  &request.header, METAINFO_IDEMPOTENT, &a,
				  &metainfo__revoke_apikey_response__descriptor, &answer);
	return outcome_of_satellite(call, e, BYTES_NONE, BYTES_NONE);
}

UplinkError *uplink_revoke_access(UplinkProject *project, UplinkAccess *handle)
{
	UplinkError *error = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct access *access AUTO(capi_put) = NULL;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &error);

	if (!p)
		return error;
	access = capi_use(handle, HANDLE_ACCESS, "access", &error);
	if (!access)
		return error;
	return outcome_error(&call, revoke(&call, p, access));
}

/* ---- buckets ---- */

enum bucket_op { BUCKET_STAT, BUCKET_CREATE, BUCKET_ENSURE, BUCKET_DELETE, BUCKET_DELETE_ALL };

static enum err bucket_do(struct call *call, struct project *p, enum bucket_op op,
			  struct bytes name, struct bucket *ret)
{
	struct arena *a = &call->scratch;
	enum err e;

	switch (op) {
	case BUCKET_STAT:
		return bucket_stat(call, p, a, name, ret);
	case BUCKET_CREATE:
		return bucket_create(call, p, a, name, ret);
	case BUCKET_ENSURE:
		e = bucket_create(call, p, a, name, ret);
		return e == ERR_EXISTS && ret->name.len ? OK : e;
	case BUCKET_DELETE:
		return bucket_delete(call, p, a, name, false, ret);
	case BUCKET_DELETE_ALL:
		return bucket_delete(call, p, a, name, true, ret);
	}
	return ERR_INTERNAL;
}

static UplinkBucketResult bucket_call(UplinkProject *project, const char *name, enum bucket_op op)
{
	UplinkBucketResult r = { NULL, NULL };
	struct bucket bucket = { 0 };
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", name, NULL))
		return r;
	r.error = outcome_error(&call, bucket_do(&call, p, op, bytes_str(name), &bucket));
	/* A bucket that exists already comes with its error. */
	if (bucket.name.len) {
		r.bucket = capi_bucket(&bucket);
		if (!r.bucket)
			r.error = capi_no_memory(r.error);
	}
	return r;
}

UplinkBucketResult uplink_stat_bucket(UplinkProject *project, uplink_const_char *bucket_name)
{
	return bucket_call(project, bucket_name, BUCKET_STAT);
}

UplinkBucketResult uplink_create_bucket(UplinkProject *project, uplink_const_char *bucket_name)
{
	return bucket_call(project, bucket_name, BUCKET_CREATE);
}

UplinkBucketResult uplink_ensure_bucket(UplinkProject *project, uplink_const_char *bucket_name)
{
	return bucket_call(project, bucket_name, BUCKET_ENSURE);
}

UplinkBucketResult uplink_delete_bucket(UplinkProject *project, uplink_const_char *bucket_name)
{
	return bucket_call(project, bucket_name, BUCKET_DELETE);
}

UplinkBucketResult uplink_delete_bucket_with_objects(UplinkProject *project,
						     uplink_const_char *bucket_name)
{
	return bucket_call(project, bucket_name, BUCKET_DELETE_ALL);
}

void uplink_free_bucket_result(UplinkBucketResult result)
{
	uplink_free_error(result.error);
	uplink_free_bucket(result.bucket);
}

void uplink_free_bucket(UplinkBucket *bucket)
{
	if (!bucket)
		return;
	free(bucket->name);
	free(bucket);
}
