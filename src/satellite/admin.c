/* The API's server: who may, which route, how an outcome is told. */
#include "satellite/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/log.h"
#include "os/random.h"
#include "satellite/admin_internal.h"

enum {
	TOKEN_BYTES = 32,
	TOKEN_FILE_MAX = 1024,
	TOKEN_TEXT_MIN = 32, /* characters of one that was made by hand */
	BODY_MAX = 64 << 10,
	CONNECTIONS = 16,
	WORKERS = 4,
	SCRATCH_MAX = 64 << 20,
};
#define WORK_NS_MAX (600 * NS_PER_SEC) /* a check of a large database takes its time */
#define IO_NS_MAX (10 * NS_PER_SEC)
#define TOKEN_NAME "admin-token"

struct admin {
	struct admin_config config;
	struct http_server *http;
	struct os_mutex lock;
	uint8_t token[HASH_BYTES]; /* its hash; under the lock */
};

/* ---- the token ---- */

enum err admin_token_make(struct call *call, const char *dir)
{
	const char *path = os_path_join(call, dir, TOKEN_NAME);
	AUTO_SECRET_BUF struct buf text = BUF_INIT(TOKEN_FILE_MAX);
	uint8_t raw[TOKEN_BYTES];
	struct os_stat st;

	enum err e = os_stat(call, path, &st);
	if (e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	os_random(raw, sizeof(raw));
	text_hex(&text, BYTES_OF(raw));
	buf_add_byte(&text, '\n');
	secret_wipe(raw, sizeof(raw));
	TRY_PLAIN(buf_status(&text));
	return os_file_write_all(call, path, buf_bytes(&text), true);
}

static enum err read_token(struct call *call, const char *dir, uint8_t ret[HASH_BYTES])
{
	const char *path = os_path_join(call, dir, TOKEN_NAME);
	AUTO_SECRET_BUF struct buf text = BUF_INIT(TOKEN_FILE_MAX);
	struct os_stat st;

	TRY_PLAIN(os_stat(call, path, &st));
	if (!st.is_private)
		return call_fail(call, ERR_CONFIG,
				 "%s can be read by others: chmod 600 it, and put another token "
				 "there if somebody may have",
				 path);
	TRY_PLAIN(os_file_read_all(call, path, &text));
	while (text.len && text.data[text.len - 1] <= ' ')
		text.len--;
	if (text.len < TOKEN_TEXT_MIN)
		return call_fail(call, ERR_CONFIG, "%s: a token has at least %d characters", path,
				 TOKEN_TEXT_MIN);
	hash_sha256(buf_bytes(&text), ret);
	return OK;
}

enum err admin_reload_token(struct call *call, struct admin *a)
{
	uint8_t token[HASH_BYTES];

	TRY_PLAIN(read_token(call, a->config.sat->config.dir, token));
	os_mutex_lock(&a->lock);
	memcpy(a->token, token, sizeof(token));
	os_mutex_unlock(&a->lock);
	return OK;
}

/* Hashes are compared: neither the length nor the place of a difference shows in the time. */
static bool may(struct admin *a, const struct http_request *req)
{
	static const char scheme[] = "Bearer ";
	const char *given = http_header(req, "Authorization");
	uint8_t hash[HASH_BYTES];

	if (!given || strncasecmp(given, scheme, strlen(scheme)) != 0)
		return false;
	hash_sha256(bytes_str(given + strlen(scheme)), hash);
	OS_LOCKED(&a->lock);
	return secret_equal(hash, a->token, sizeof(hash));
}

/* ---- routes ---- */

/* The route, or which methods the path has; no path of the table: *ret_allow empty. */
static const struct admin_route *find_route(const struct http_request *req, struct buf *ret_allow)
{
	for (size_t i = 0; i < admin_routes_count; i++) {
		const struct admin_route *r = &admin_routes[i];
		if (!admin_path_matches(r->path, req->path))
			continue;
		if (!strcmp(r->method, req->method))
			return r;
		buf_printf(ret_allow, "%s%s", ret_allow->len ? ", " : "", r->method);
	}
	return NULL;
}

static unsigned http_status(enum err e)
{
	switch (e) {
	case ERR_INVALID:
	case ERR_CONFIG:
	case ERR_FORMAT:
	case ERR_OUT_OF_RANGE:
		return 400;
	case ERR_UNAUTHENTICATED:
		return 401;
	case ERR_PERMISSION:
		return 403;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_METHOD_NOT_ALLOWED:
		return 405;
	case ERR_EXISTS:
	case ERR_PRECONDITION:
		return 409;
	case ERR_NO_SPACE:
		return 507;
	case ERR_UNAVAILABLE:
	case ERR_BUSY:
	case ERR_CANCELED:
		return 503;
	case ERR_DEADLINE:
		return 504;
	default:
		return 500;
	}
}

static void tell_error(struct http_response *resp, unsigned status, const char *text)
{
	buf_clear(&resp->body);
	resp->status = status;
	resp->type = "application/json";
	resp->authenticate = status == 401;
	buf_add_str(&resp->body, "{\"error\":");
	text_add_json(&resp->body, bytes_str(text));
	buf_add_str(&resp->body, "}\n");
}

static bool is_json(const struct http_request *req)
{
	const char *type = http_header(req, "Content-Type");

	return type && strncasecmp(type, "application/json", strlen("application/json")) == 0;
}

static enum err run_route(struct call *call, struct admin *a, const struct admin_route *r,
			  const struct http_request *req, struct http_response *resp)
{
	struct admin_call *ac = arena_alloc(&call->scratch, sizeof(*ac));

	if (!ac)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ac = (struct admin_call){ .sat = a->config.sat, .config = &a->config };
	ac->c.call = call;
	ac->c.db = a->config.sat->db;
	ac->c.o.config = *satellite_live(a->config.sat);
	ac->c.o.dir = a->config.sat->config.dir;
	ac->c.o.json = true;
	ac->c.out = resp->body; /* moved there and back */
	enum err e = admin_read_path(ac, r->path, req->path);
	if (!e && r->fields)
		e = admin_read_body(ac, r, req->body);
	if (!e)
		e = r->run ? r->run(ac) : r->command(&ac->c);
	resp->body = ac->c.out;
	if (!e && resp->body.failed)
		e = call_fail(call, ERR_NO_MEMORY, "the answer is too long");
	return e;
}

static void serve_route(struct call *call, struct admin *a, const struct admin_route *r,
			const struct http_request *req, struct http_response *resp)
{
	if (r->fields && !is_json(req)) {
		tell_error(resp, 415, "send a JSON object, as Content-Type: application/json");
		return;
	}
	enum err e = run_route(call, a, r, req, resp);
	if (e) {
		tell_error(resp, http_status(e), call_error(call, e));
		return;
	}
	resp->status = r->status ? r->status : resp->body.len ? 200 : 204;
	if (resp->body.len)
		resp->type = r->type ? r->type : "application/json";
}

static void handle(struct call *call, void *arg, const struct http_request *req,
		   struct http_response *resp)
{
	struct admin *a = arg;
	AUTO_BUF struct buf allow = BUF_INIT(HTTP_ALLOW_MAX);
	const struct admin_route *r = find_route(req, &allow);

	call->scratch.max = SCRATCH_MAX;
	if (r && r->open) {
		serve_route(call, a, r, req, resp);
		return;
	}
	/* Who has no token does not learn what there is. */
	if (!may(a, req)) {
		tell_error(resp, 401,
			   "say \"Authorization: Bearer TOKEN\", with the token of the "
			   "file " TOKEN_NAME " in the satellite's directory");
	} else if (r) {
		serve_route(call, a, r, req, resp);
		if (strcmp(r->method, "GET") != 0)
			log_info("asked to by the API", F_STR("method", r->method),
				 F_STR("path", r->path), F_U64("status", resp->status));
	} else if (allow.len) {
		tell_error(resp, 405, "this path has other methods");
		snprintf(resp->allow, sizeof(resp->allow), "%s", buf_cstr(&allow));
	} else {
		tell_error(resp, 404, "there is no such path");
	}
}

/* ---- start and stop ---- */

static void admin_free(struct admin *a)
{
	http_server_stop(a->http);
	os_mutex_fini(&a->lock);
	secret_wipe(a->token, sizeof(a->token));
	free(a);
}

DEFINE_AUTO_PTR(struct admin, admin_auto, admin_free)

enum err admin_start(struct call *call, const struct admin_config *config, struct admin **ret)
{
	AUTO(admin_auto) struct admin *a = calloc(1, sizeof(*a));
	const struct satellite_config *settings = &config->sat->config;
	struct http_config http = {
		.address = settings->admin_address,
		.handle = handle,
		.arg = a,
		.body_max = BODY_MAX,
		.answer_max = COMMAND_OUTPUT_MAX,
		.connections_max = CONNECTIONS,
		.workers_max = WORKERS,
		.work_ns_max = WORK_NS_MAX,
		.io_ns_max = IO_NS_MAX,
	};

	if (!a)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	a->config = *config;
	if (http.address[0] == ':') /* loopback unless told otherwise */
		http.address = arena_printf(&call->scratch, "127.0.0.1%s", http.address);
	if (!http.address)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(admin_token_make(call, settings->dir));
	TRY_PLAIN(admin_reload_token(call, a));
	TRY(http_server_start(call, &http, &a->http), "admin-address");
	*ret = take(&a);
	return OK;
}

const char *admin_address(const struct admin *a)
{
	return http_server_address(a->http);
}

void admin_stop(struct admin *a)
{
	if (a)
		admin_free(a);
}
