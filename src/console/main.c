/* acre-node-console: the figures of a running node over HTTP, for Prometheus. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "http/http.h"
#include "node/control.h"
#include "node/settings.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"

enum { CONNECTIONS_MAX = 32, WORKERS_MAX = 2, WORK_SECONDS = 60, IO_SECONDS = 30 };

static void say(struct http_response *resp, unsigned status, const char *text)
{
	resp->status = status;
	resp->type = "text/plain; charset=utf-8";
	buf_clear(&resp->body);
	buf_add_str(&resp->body, text);
}

static void metrics(struct call *call, const char *dir, struct http_response *resp)
{
	static const struct control_request request = { .command = CONTROL_STATUS,
							.format = STATUS_METRICS };
	enum err e = control_ask(call, dir, &request, &resp->body);

	if (!e) {
		resp->type = "text/plain; version=0.0.4; charset=utf-8";
		return;
	}
	log_warn("the node did not answer", F_STR("why", call_error(call, e)));
	say(resp, 503, "the node does not answer\n");
}

static void handle(struct call *call, void *arg, const struct http_request *req,
		   struct http_response *resp)
{
	snprintf(resp->allow, sizeof(resp->allow), "GET");
	if (strcmp(req->method, "GET") != 0)
		say(resp, 405, "GET only\n");
	else if (strcmp(req->path, "/metrics") == 0)
		metrics(call, arg, resp);
	else if (strcmp(req->path, "/") == 0)
		say(resp, 200, "acre-node-console: /metrics is for Prometheus\n");
	else
		say(resp, 404, "not found\n");
}

static enum err serve(struct call *call, int argc, const char *const argv[])
{
	AUTO(arena_free) struct arena a = { 0 };
	struct http_server *server = NULL;
	struct settings s;
	const char **rest = NULL;
	size_t count = 0;

	TRY_PLAIN(settings_flags(call, &a, argc, argv, &s, &rest, &count));
	if (count || s.help)
		return call_fail(call, ERR_CONFIG,
				 "want: acre-node console --dir DIR [--listen 127.0.0.1:9091]");
	const struct http_config config = { .address = s.listen,
					    .handle = handle,
					    .arg = (void *)(uintptr_t)s.dir,
					    .answer_max = CONTROL_ANSWER_MAX,
					    .connections_max = CONNECTIONS_MAX,
					    .workers_max = WORKERS_MAX,
					    .work_ns_max = WORK_SECONDS * NS_PER_SEC,
					    .io_ns_max = IO_SECONDS * NS_PER_SEC };
	log_set_level(LOG_INFO);
	TRY_PLAIN(http_server_start(call, &config, &server));
	log_info("console serves", F_STR("address", http_server_address(server)));
	enum err e;
	do
		e = os_sleep(call, INT64_MAX / 2);
	while (!e);
	http_server_stop(server);
	return e == ERR_CANCELED ? OK : e;
}

int main(int argc, char *argv[])
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_cancel cancel;

	enum err e = os_cancel_init(&call, &cancel, NULL);
	if (!e) {
		os_signals_cancel(&cancel, NULL);
		call.cancel = &cancel;
		e = serve(&call, argc - 1, (const char *const *)argv + 1);
		os_signals_cancel(NULL, NULL);
	}
	if (!e)
		return 0;
	AUTO_BUF struct buf line = BUF_INIT(CALL_ERROR_MAX + 64);
	buf_printf(&line, "acre-node-console: %s\n", call_error(&call, e));
	os_stderr_line(buf_bytes(&line));
	return 1;
}
