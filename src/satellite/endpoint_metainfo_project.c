/* Project-level calls (metainfo.md 6). */
#include "base/cleanup.h"
#include "satellite/endpoint_metainfo.h"

METAINFO_METHOD(project_info, ProjectInfo)
{
	TRY_PLAIN(metainfo_allow(call, mc, RATE_HEAD, ACTION_PROJECT_INFO, BYTES_NONE, BYTES_NONE));
	const struct project *p = &mc->auth.project;
	/* The clients' encryption hangs on the salt: it never changes. */
	resp->project_salt = proto_view(BYTES_OF(p->salt));
	resp->project_public_id = proto_view(BYTES_OF(p->public_id.b));
	resp->project_created_at = proto_time_new(mc->a, p->created_unix_ns);
	return OK;
}

METAINFO_METHOD(revoke_api_key, RevokeAPIKey)
{
	TRY_PLAIN(metainfo_auth(call, mc, RATE_PUT));
	return satellite_revoke(call, mc->sat, &mc->auth, proto_bytes(req->api_key));
}

METAINFO_METHOD(account_licenses, AccountLicenses)
{
	return metainfo_allow(call, mc, RATE_HEAD, ACTION_PROJECT_INFO, BYTES_NONE, BYTES_NONE);
}
