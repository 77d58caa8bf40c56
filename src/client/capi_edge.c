/* C API: edge services. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/capi.h"
#include "client/edge.h"

static EdgeCredentials *capi_credentials(const struct edge_credentials *c)
{
	EdgeCredentials *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->access_key_id = capi_string(bytes_str(c->access_key_id));
	r->secret_key = capi_string(bytes_str(c->secret_key));
	r->endpoint = capi_string(bytes_str(c->endpoint));
	if (r->access_key_id && r->secret_key && r->endpoint)
		return r;
	edge_free_credentials(r);
	return NULL;
}

EdgeCredentialsResult edge_register_access(EdgeConfig config, UplinkAccess *access,
					   EdgeRegisterAccessOptions *options)
{
	EdgeCredentialsResult r = { NULL, NULL };
	AUTO_CALL struct call call = CALL_INIT;
	AUTO(arena_free) struct arena answer = { 0 };
	struct edge_credentials credentials;
	struct access *a AUTO(capi_put) = capi_use(access, HANDLE_ACCESS, "access", &r.error);

	if (!a)
		return r;
	r.error = outcome_error(&call,
				edge_register(&call, &config, a, options && options->is_public,
					      &answer, &credentials));
	if (r.error)
		return r;
	r.credentials = capi_credentials(&credentials);
	if (!r.credentials)
		r.error = capi_no_memory(NULL);
	return r;
}

void edge_free_credentials_result(EdgeCredentialsResult result)
{
	uplink_free_error(result.error);
	edge_free_credentials(result.credentials);
}

void edge_free_credentials(EdgeCredentials *credentials)
{
	if (!credentials)
		return;
	free((void *)(uintptr_t)credentials->access_key_id);
	free((void *)(uintptr_t)credentials->secret_key);
	free((void *)(uintptr_t)credentials->endpoint);
	free(credentials);
}

UplinkStringResult edge_join_share_url(uplink_const_char *base_url,
				       uplink_const_char *access_key_id, uplink_const_char *bucket,
				       uplink_const_char *key, EdgeShareURLOptions *options)
{
	UplinkStringResult r = { NULL, NULL };
	AUTO_BUF struct buf url = BUF_INIT(EDGE_URL_MAX);
	AUTO_CALL struct call call = CALL_INIT;

	r.error = outcome_error(&call, edge_share_url(&call, base_url, access_key_id, bucket, key,
						      options && options->raw, &url));
	if (r.error)
		return r;
	r.string = capi_string(buf_bytes(&url));
	if (!r.string)
		r.error = capi_no_memory(NULL);
	return r;
}
