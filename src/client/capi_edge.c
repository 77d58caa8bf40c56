/* C API: edge services.  Links are put together; registering an access is not built yet. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/capi.h"

enum { URL_MAX = 64 << 10 };

EdgeCredentialsResult edge_register_access(EdgeConfig config, UplinkAccess *access,
					   EdgeRegisterAccessOptions *options)
{
	EdgeCredentialsResult r = { NULL, NULL };
	struct call call;
	struct access *a AUTO(capi_put) = capi_use(access, HANDLE_ACCESS, "access", &r.error);

	call_init(&call);
	if (!a)
		return r;
	r.error = outcome_error(
		&call, outcome_fail(&call, ERR_UNIMPLEMENTED, EDGE_ERROR_REGISTER_ACCESS_FAILED,
				    "registering an access at an auth service is not "
				    "implemented by this library"));
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

/* Path segments keep their slashes; all but unreserved characters are escaped. */
static void add_escaped(struct buf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-_.~/$&+:=@", *p);
		if (plain)
			buf_add_byte(out, *p);
		else
			buf_printf(out, "%%%02X", *p);
	}
}

static enum err join_url(struct call *call, const char *base, const char *key_id,
			 const char *bucket, const char *key, bool raw, struct buf *out)
{
	size_t len = base ? strlen(base) : 0;

	if (!len || !key_id || !key_id[0])
		return call_fail(call, ERR_INVALID,
				 "a share URL needs a base URL and an access key ID");
	if ((!bucket || !bucket[0]) && key && key[0])
		return call_fail(call, ERR_INVALID, "a share URL with a key needs a bucket, too");
	if (raw && (!key || !key[0] || key[strlen(key) - 1] == '/'))
		return call_fail(call, ERR_INVALID,
				 "a raw link needs the key of an object, no prefix");
	while (len && base[len - 1] == '/')
		len--;
	buf_add(out, base, len);
	buf_add_str(out, raw ? "/raw/" : "/s/");
	add_escaped(out, key_id);
	if (bucket && bucket[0]) {
		buf_add_str(out, "/");
		add_escaped(out, bucket);
	}
	if (key && key[0]) {
		buf_add_str(out, "/");
		add_escaped(out, key);
	}
	return buf_status(out);
}

UplinkStringResult edge_join_share_url(uplink_const_char *base_url,
				       uplink_const_char *access_key_id, uplink_const_char *bucket,
				       uplink_const_char *key, EdgeShareURLOptions *options)
{
	UplinkStringResult r = { NULL, NULL };
	struct buf url AUTO_BUF = BUF_INIT(URL_MAX);
	struct call call AUTO_CALL = CALL_INIT;

	call_init(&call);
	r.error = outcome_error(&call, join_url(&call, base_url, access_key_id, bucket, key,
						options && options->raw, &url));
	if (r.error)
		return r;
	r.string = capi_string(buf_bytes(&url));
	if (!r.string)
		r.error = capi_no_memory(NULL);
	return r;
}
