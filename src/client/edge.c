/* What storj.io/uplink's package edge does. */
#include "client/edge.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/net.h"
#include "os/clock.h"
#include "proto/edgeauth.pb-c.h"
#include "proto/proto.h"
#include "rpc/rpc.h"

enum {
	DIAL_SECONDS_MAX = 20,	/* as the Go library */
	CALL_SECONDS_MAX = 120, /* the service may check the grant with its satellite */
	ANSWER_BYTES_MAX = 1 << 20,
};

DEFINE_AUTO_PTR(struct rpc_conn, rpc_conn_auto, rpc_conn_close)
DEFINE_AUTO_PTR(struct net_tls, net_tls_auto, net_tls_free)

/* ---- registering ---- */

static enum err grant_text(struct call *call, struct access *access, struct buf *out)
{
	os_mutex_lock(&access->lock);
	enum err e = grant_add_text(call, out, &access->grant);
	os_mutex_unlock(&access->lock);
	return e ? e : buf_status(out);
}

static enum err dial(struct call *call, const EdgeConfig *config, const struct net_tls *tls,
		     struct rpc_conn **ret)
{
	AUTO_CALL struct call child = CALL_INIT;
	struct net_conn *net;

	call_init_child(&child, call);
	os_call_limit(&child, DIAL_SECONDS_MAX * NS_PER_SEC);
	enum err e = net_dial_web(&child, tls, config->auth_service_address, &net);
	if (e) {
		call_copy_error(call, &child);
		return e;
	}
	return rpc_conn_new(call, net, ret);
}

static enum err ask(struct call *call, const EdgeConfig *config, const char *grant, bool is_public,
		    struct arena *a, EdgeRegisterAccessResponse **ret)
{
	AUTO(rpc_conn_auto) struct rpc_conn *conn = NULL;
	AUTO(net_tls_auto) struct net_tls *tls = NULL;
	EdgeRegisterAccessRequest request = EDGE_REGISTER_ACCESS_REQUEST__INIT;
	struct bytes roots = config->certificate_pem ? bytes_str(config->certificate_pem)
						     : BYTES_NONE;

	if (!config->insecure_unencrypted_connection)
		TRY_PLAIN(net_web_tls_new(call, roots, &tls));
	TRY_PLAIN(dial(call, config, tls, &conn));
	request.access_grant = (char *)(uintptr_t)grant;
	request.public_ = is_public;
	return rpc_invoke(call, conn, "/EdgeAuth/RegisterAccess", &request.base, a,
			  &edge_register_access_response__descriptor, ret);
}

enum err edge_register(struct call *call, const EdgeConfig *config, struct access *access,
		       bool is_public, struct arena *a, struct edge_credentials *ret)
{
	AUTO_SECRET_BUF struct buf grant = BUF_INIT(GRANT_TEXT_MAX + 1);
	EdgeRegisterAccessResponse *answer = NULL;

	if (!config->auth_service_address || !config->auth_service_address[0])
		return call_fail(call, ERR_INVALID, "auth_service_address is missing");
	/* uplink-c dials when it asks, so that only an address that cannot be is a failed dial. */
	if (!strrchr(config->auth_service_address, ':'))
		return outcome_fail(call, ERR_INVALID, EDGE_ERROR_AUTH_DIAL_FAILED,
				    "dial to auth service failed: address \"%s\" has no port "
				    "(want host:port)",
				    config->auth_service_address);
	TRY_PLAIN(grant_text(call, access, &grant));
	buf_add_byte(&grant, 0);
	TRY_PLAIN(buf_status(&grant));
	a->max = ANSWER_BYTES_MAX;
	os_call_limit(call, CALL_SECONDS_MAX * NS_PER_SEC);
	enum err e = ask(call, config, (const char *)grant.data, is_public, a, &answer);
	if (e == ERR_CANCELED)
		return e;
	if (e) {
		AUTO_CALL struct call cause = CALL_INIT;
		call_copy_error(&cause, call);
		return outcome_fail(call, e, EDGE_ERROR_REGISTER_ACCESS_FAILED,
				    "register access for edge services failed: %s",
				    call_error(&cause, e));
	}
	*ret = (struct edge_credentials){ answer->access_key_id, answer->secret_key,
					  answer->endpoint };
	return OK;
}

/* ---- links ---- */

/* Paths keep their slashes and what RFC 3986 lets stand in a path; the rest is escaped. */
static void add_escaped(struct buf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-_.~/$&+,:;=@", *p);
		if (plain)
			buf_add_byte(out, *p);
		else
			buf_printf(out, "%%%02X", *p);
	}
}

static bool is_url(const char *base)
{
	const char *colon = strstr(base, "://");

	for (const char *p = base; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	if (!colon)
		return base[0] == '/';
	return colon != base && colon[3];
}

enum err edge_share_url(struct call *call, const char *base, const char *key_id, const char *bucket,
			const char *key, bool raw, struct buf *out)
{
	size_t len = base ? strlen(base) : 0;

	if (!key_id || !key_id[0])
		return call_fail(call, ERR_INVALID, "a share URL needs an access key ID");
	if ((!bucket || !bucket[0]) && key && key[0])
		return call_fail(call, ERR_INVALID, "a share URL with a key needs a bucket, too");
	if (raw && (!key || !key[0] || key[strlen(key) - 1] == '/'))
		return call_fail(call, ERR_INVALID,
				 "a raw link needs the key of an object, no prefix");
	if (!len || !is_url(base))
		return call_fail(call, ERR_INVALID, "invalid base URL: \"%s\"", base ? base : "");
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
