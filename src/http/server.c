/*
 * One thread runs libmicrohttpd, which never waits itself: it is asked to go on when its epoll
 * descriptor is readable.  A whole request is suspended, answered by a worker, and resumed.
 * All of libmicrohttpd's callbacks come in that one thread, so that only the hand-over to a worker
 * and back needs care: between submit and MHD_resume_connection the exchange is the worker's.
 */
#include <microhttpd.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "http/http.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/event.h"
#include "os/pool.h"
#include "os/socket.h"
#include "os/thread.h"

enum { TICK_MS = 1000, MS_PER_NS_UNIT = 1000000 };

struct http_conn {
	struct http_server *server;
	int fd;
	int64_t since_ns; /* opened, or got its last answer ready */
	bool working;	  /* its request is with a worker */
	struct http_conn *prev, *next;
};

/* One request and its answer. */
struct exchange {
	struct http_conn *conn;
	struct MHD_Connection *mhd;
	struct http_request req;
	struct http_response resp;
	struct buf body;
	bool too_large, done;
};

struct http_server {
	struct http_config config;
	struct os_listener *listener;
	struct MHD_Daemon *mhd;
	int epoll;
	struct os_pool *pool; /* NULL at the end */
	struct os_thread *thread;
	struct os_event answered; /* something was resumed: libmicrohttpd wakes nobody */
	struct os_cancel stop;	  /* of the thread, and of all handlers */
	bool has_stop, has_answered;
	struct http_conn *conns;
	unsigned conns_count;
};

const char *http_header(const struct http_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->head, MHD_HEADER_KIND, name);
}

/* ---- connections ---- */

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = arg;
	struct http_conn *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		c = calloc(1, sizeof(*c));
		*context = c;
		if (!c)
			return; /* its first request is refused */
		c->server = s;
		c->fd = info ? info->connect_fd : -1;
		c->since_ns = os_clock_mono_ns();
		c->next = s->conns;
		if (c->next)
			c->next->prev = c;
		s->conns = c;
		s->conns_count++;
	} else if (c) {
		s->conns_count--;
		*(c->prev ? &c->prev->next : &s->conns) = c->next;
		if (c->next)
			c->next->prev = c->prev;
		free(c);
		*context = NULL;
	}
}

/* Those that are too slow, or have nothing more to ask. */
static void close_late(struct http_server *s)
{
	int64_t now = os_clock_mono_ns();

	for (struct http_conn *c = s->conns; c; c = c->next) {
		if (!c->working && now - c->since_ns > s->config.io_ns_max)
			os_fd_shutdown(c->fd);
	}
}

/* ---- answers ---- */

static enum MHD_Result send_response(struct exchange *x)
{
	struct http_response *r = &x->resp;
	size_t len = r->body.len;
	struct MHD_Response *m = MHD_create_response_from_buffer(len, r->body.data,
								 MHD_RESPMEM_PERSISTENT);
	bool ok = m != NULL;

	if (ok && r->type)
		ok = MHD_add_response_header(m, "Content-Type", r->type) == MHD_YES;
	if (ok && r->allow[0])
		ok = MHD_add_response_header(m, "Allow", r->allow) == MHD_YES;
	if (ok && r->authenticate)
		ok = MHD_add_response_header(m, "WWW-Authenticate", "Bearer") == MHD_YES;
	ok = ok && MHD_add_response_header(m, "Cache-Control", "no-store") == MHD_YES &&
	     MHD_queue_response(x->mhd, r->status, m) == MHD_YES;
	if (m)
		MHD_destroy_response(m);
	return ok ? MHD_YES : MHD_NO;
}

static enum MHD_Result refuse(struct exchange *x, unsigned status, const char *text)
{
	x->resp.status = status;
	x->resp.type = "application/json";
	buf_clear(&x->resp.body);
	buf_printf(&x->resp.body, "{\"error\":\"%s\"}\n", text);
	return send_response(x);
}

/* In a worker. */
static void work(void *arg)
{
	struct exchange *x = arg;
	struct http_server *s = x->conn->server;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, s->config.work_ns_max);
	call.cancel = &s->stop;
	x->req.body = buf_bytes(&x->body);
	s->config.handle(&call, s->config.arg, &x->req, &x->resp);
	if (x->resp.body.failed) {
		buf_clear(&x->resp.body);
		x->resp.status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	}
	x->done = true;
	MHD_resume_connection(x->mhd); /* x is not ours any more */
	os_event_set(&s->answered);
}

static enum MHD_Result hand_over(struct exchange *x)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	if (!x->conn->server->pool)
		return refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE, "the server ends");
	x->conn->working = true;
	MHD_suspend_connection(x->mhd);
	if (os_pool_submit(&call, x->conn->server->pool, work, x) == OK)
		return MHD_YES;
	refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests at a time, try again");
	x->done = true;
	MHD_resume_connection(x->mhd);
	os_event_set(&x->conn->server->answered);
	return MHD_YES;
}

static struct exchange *exchange_new(struct http_server *s, struct MHD_Connection *mhd,
				     const char *method, const char *path)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_conn *c = info ? info->socket_context : NULL;
	struct exchange *x = c ? calloc(1, sizeof(*x)) : NULL;

	if (!x)
		return NULL;
	x->conn = c;
	x->mhd = mhd;
	x->req.method = strcmp(method, "HEAD") == 0 ? "GET" : method;
	x->req.path = path;
	x->req.head = mhd;
	x->resp.status = MHD_HTTP_OK;
	x->resp.body.max = s->config.answer_max;
	x->body.max = s->config.body_max;
	return x;
}

/* Called for the head, for each part of the body, for its end, and when a worker is done. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **context)
{
	struct exchange *x = *context;

	if (!x) {
		x = *context = exchange_new(arg, mhd, method, url);
		return x ? MHD_YES : MHD_NO;
	}
	if (*data_len) {
		buf_add(&x->body, data, *data_len);
		x->too_large = x->too_large || x->body.failed;
		*data_len = 0;
		return MHD_YES;
	}
	if (x->done) {
		x->conn->working = false;
		x->conn->since_ns = os_clock_mono_ns();
		return send_response(x);
	}
	if (x->too_large)
		return refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too large");
	if (strlen(url) > HTTP_PATH_MAX)
		return refuse(x, MHD_HTTP_URI_TOO_LONG, "the path is too long");
	return hand_over(x);
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *context;

	if (!x)
		return;
	x->conn->since_ns = os_clock_mono_ns();
	buf_free_secret(&x->body);
	buf_free_secret(&x->resp.body);
	free(x);
	*context = NULL;
}

/* Paths stay as they came: http_unescape is for one segment of them. */
static size_t leave_escaped(void *arg, struct MHD_Connection *mhd, char *text)
{
	return strlen(text);
}

/* ---- the thread ---- */

/* At its limit of connections libmicrohttpd listens no more, and begins again only in a run after
 * the one in which some ended. */
static void run(struct http_server *s)
{
	unsigned before;

	do {
		before = s->conns_count;
		MHD_run(s->mhd);
	} while (s->conns_count < before);
}

static void serve(struct call *call, struct http_server *s)
{
	enum err e = OK;

	while (!os_cancel_is_set(&s->stop) && (e == OK || e == ERR_DEADLINE)) {
		MHD_UNSIGNED_LONG_LONG ms = TICK_MS;
		bool waits = MHD_get_timeout(s->mhd, &ms) == MHD_YES;
		if (s->conns)
			ms = waits ? MIN(ms, (MHD_UNSIGNED_LONG_LONG)TICK_MS) : TICK_MS;
		call->deadline_ns = CALL_NO_DEADLINE;
		if (s->conns || waits)
			os_call_limit(call, (int64_t)ms * MS_PER_NS_UNIT);
		e = os_event_wait_or_fd(call, &s->answered, s->epoll);
		os_event_clear(&s->answered);
		call_clear_error(call);
		close_late(s);
		run(s);
	}
}

static void thread_main(void *arg)
{
	struct http_server *s = arg;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	call.cancel = &s->stop;
	serve(&call, s);
}

/* ---- start and stop ---- */

static void server_free(struct http_server *s)
{
	/* The listener is ours to close: libmicrohttpd lets go of it first. */
	if (s->mhd)
		MHD_quiesce_daemon(s->mhd);
	os_pool_free(s->pool);
	s->pool = NULL;
	if (s->mhd) {
		/* Takes the resumed ones up: none may be suspended at the end.  Requests that it
		 * reads meanwhile are refused. */
		MHD_run(s->mhd);
		MHD_stop_daemon(s->mhd);
	}
	os_listener_close(s->listener);
	if (s->has_answered)
		os_event_fini(&s->answered);
	if (s->has_stop)
		os_cancel_fini(&s->stop);
	free(s);
}

DEFINE_AUTO_PTR(struct http_server, server_auto, server_free)

static enum err start_daemon(struct call *call, struct http_server *s)
{
	s->mhd = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s,
		MHD_OPTION_LISTEN_SOCKET, os_listener_fd(s->listener), MHD_OPTION_CONNECTION_LIMIT,
		s->config.connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_HEAD_MAX, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_UNESCAPE_CALLBACK,
		leave_escaped, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		s->mhd ? MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return call_fail(call, ERR_INTERNAL, "the HTTP server at %s does not start",
				 s->config.address);
	s->epoll = info->epoll_fd;
	return OK;
}

enum err http_server_start(struct call *call, const struct http_config *config,
			   struct http_server **ret)
{
	AUTO(server_auto) struct http_server *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a server");
	s->config = *config;
	TRY_PLAIN(os_cancel_init(call, &s->stop, NULL));
	s->has_stop = true;
	TRY_PLAIN(os_event_init(call, &s->answered));
	s->has_answered = true;
	TRY_PLAIN(os_listen(call, config->address, &s->listener));
	TRY_PLAIN(os_pool_new(call, "http", config->workers_max, config->workers_max, &s->pool));
	TRY_PLAIN(start_daemon(call, s));
	TRY_PLAIN(os_thread_start(call, "http", thread_main, s, &s->thread));
	*ret = take(&s);
	return OK;
}

const char *http_server_address(const struct http_server *s)
{
	return os_listener_address(s->listener);
}

void http_server_stop(struct http_server *s)
{
	if (!s)
		return;
	os_cancel_set(&s->stop);
	os_thread_join(s->thread);
	server_free(s);
}
