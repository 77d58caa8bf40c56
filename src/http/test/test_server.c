/* The HTTP server over real sockets: answers, limits, slow and silent peers, paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "http/http.h"
#include "os/clock.h"
#include "os/socket.h"

enum { BODY_MAX = 1000, CONNECTIONS = 4 };

/* Says what came; "/wait" takes until it is cancelled or its time is up. */
static void echo(struct call *call, void *arg, const struct http_request *req,
		 struct http_response *resp)
{
	const char *x = http_header(req, "X-Test");

	if (strcmp(req->path, "/wait") == 0 && os_sleep(call, 60 * NS_PER_SEC)) {
		resp->status = 504;
		return;
	}
	resp->type = "text/plain";
	buf_printf(&resp->body, "%s %s %s ", req->method, req->path, x ? x : "-");
	buf_add_bytes(&resp->body, req->body);
}

static struct http_server *start(struct call *call, int64_t work_ns, int64_t io_ns)
{
	const struct http_config config = {
		.address = "127.0.0.1:0",
		.handle = echo,
		.body_max = BODY_MAX,
		.answer_max = 64 << 10,
		.connections_max = CONNECTIONS,
		.workers_max = 2,
		.work_ns_max = work_ns,
		.io_ns_max = io_ns,
	};
	struct http_server *s = NULL;

	assert_int_equal(http_server_start(call, &config, &s), OK);
	return s;
}

static struct os_sock *dial_send(struct call *call, struct http_server *s, const char *text)
{
	const struct bytes parts[] = { bytes_str(text) };
	struct os_sock *sock = NULL;
	size_t n = 0;

	assert_int_equal(os_sock_dial(call, http_server_address(s), &sock), OK);
	if (text[0])
		assert_int_equal(os_sock_write(call, sock, parts, 1, &n), OK);
	return sock;
}

/* All that comes until the server closes. */
static void read_end(struct call *call, struct os_sock *sock, struct buf *out)
{
	char part[4096];
	unsigned ready;
	size_t n;
	enum err e;

	while ((e = os_sock_read(call, sock, part, sizeof(part), &n)) == OK ||
	       e == ERR_WOULD_BLOCK) {
		if (e == OK)
			buf_add(out, part, n);
		else
			assert_int_equal(os_sock_wait(call, sock, OS_WANT_READ, &ready), OK);
	}
	os_sock_close(sock);
}

static void ask(struct call *call, struct http_server *s, const char *text, const char *want)
{
	AUTO_BUF struct buf out = BUF_INIT(64 << 10);

	read_end(call, dial_send(call, s, text), &out);
	if (!strstr(buf_cstr(&out), want))
		fail_msg("no \"%s\" in: %s", want, buf_cstr(&out));
}

#define CLOSE "Host: a\r\nConnection: close\r\n"

static void answers(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf big = BUF_INIT(64 << 10);

	call_init(&call);
	os_call_limit(&call, 60 * NS_PER_SEC);
	struct http_server *s = start(&call, 10 * NS_PER_SEC, 2 * NS_PER_SEC);
	ask(&call, s, "GET /a%2fb?q=1 HTTP/1.1\r\n" CLOSE "x-test: y\r\n\r\n", "GET /a%2fb y ");
	ask(&call, s, "POST /p HTTP/1.1\r\n" CLOSE "Content-Length: 3\r\n\r\nabc", "POST /p - abc");
	ask(&call, s, "HEAD /p HTTP/1.1\r\n" CLOSE "\r\n", "200 OK");
	ask(&call, s, "nonsense\r\n\r\n", ""); /* closed without a word */
	buf_printf(&big, "POST /p HTTP/1.1\r\n" CLOSE "Content-Length: %d\r\n\r\n", BODY_MAX + 1);
	for (int i = 0; i <= BODY_MAX; i++)
		buf_add_byte(&big, 'x');
	ask(&call, s, buf_cstr(&big), "413 ");
	buf_clear(&big);
	buf_printf(&big, "GET /%0*d HTTP/1.1\r\n" CLOSE "\r\n", HTTP_PATH_MAX, 0);
	ask(&call, s, buf_cstr(&big), "414 ");
	buf_clear(&big);
	buf_printf(&big, "GET / HTTP/1.1\r\n" CLOSE "X: %0*d\r\n\r\n", HTTP_HEAD_MAX, 0);
	ask(&call, s, buf_cstr(&big), "431 ");
	http_server_stop(s);
}

static void slow_peers_are_closed(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_sock *silent[CONNECTIONS];

	call_init(&call);
	os_call_limit(&call, 60 * NS_PER_SEC);
	struct http_server *s = start(&call, 10 * NS_PER_SEC, NS_PER_SEC / 4);
	ask(&call, s, "", "");
	ask(&call, s, "GET / HTTP/1.1\r\nHost: a\r\nX-", "");
	ask(&call, s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "");
	ask(&call, s, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / - ");
	/* All places taken by who says nothing: the next is let in when their time is up. */
	for (size_t i = 0; i < ARRAY_LEN(silent); i++)
		silent[i] = dial_send(&call, s, "");
	ask(&call, s, "GET / HTTP/1.1\r\n" CLOSE "\r\n", "GET / - ");
	for (size_t i = 0; i < ARRAY_LEN(silent); i++)
		os_sock_close(silent[i]);
	http_server_stop(s);
}

static void work_has_an_end(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_sock *socks[CONNECTIONS + 1];

	call_init(&call);
	os_call_limit(&call, 60 * NS_PER_SEC);
	struct http_server *s = start(&call, NS_PER_SEC / 10, 10 * NS_PER_SEC);
	ask(&call, s, "GET /wait HTTP/1.1\r\n" CLOSE "\r\n", "504 ");
	http_server_stop(s);

	/* As many as work, wait and are let in; one more has to wait; stopping ends them all. */
	s = start(&call, 60 * NS_PER_SEC, 60 * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(socks); i++)
		socks[i] = dial_send(&call, s, "GET /wait HTTP/1.1\r\n" CLOSE "\r\n");
	http_server_stop(s);
	for (size_t i = 0; i < ARRAY_LEN(socks); i++)
		os_sock_close(socks[i]);
}

/* Requests that come while it ends find nobody to work for them. */
static void requests_at_the_end(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_sock *socks[CONNECTIONS];

	call_init(&call);
	os_call_limit(&call, 60 * NS_PER_SEC);
	for (int round = 0; round < 30; round++) {
		struct http_server *s = start(&call, NS_PER_SEC, NS_PER_SEC);
		for (size_t i = 0; i < ARRAY_LEN(socks); i++)
			socks[i] = dial_send(&call, s, "GET / HTTP/1.1\r\n" CLOSE "\r\n");
		http_server_stop(s);
		for (size_t i = 0; i < ARRAY_LEN(socks); i++)
			os_sock_close(socks[i]);
	}
}

static void refuses_when_busy(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_sock *socks[3];
	unsigned refused = 0, ready;

	call_init(&call);
	os_call_limit(&call, 60 * NS_PER_SEC);
	const struct http_config config = { "127.0.0.1:0",  echo, NULL, BODY_MAX,
					    64 << 10,	    8,	  1,	60 * NS_PER_SEC,
					    60 * NS_PER_SEC };
	struct http_server *s = NULL;
	assert_int_equal(http_server_start(&call, &config, &s), OK);
	for (size_t i = 0; i < ARRAY_LEN(socks); i++)
		socks[i] = dial_send(&call, s, "GET /wait HTTP/1.1\r\n" CLOSE "\r\n");
	/* One works, one waits: the third is told. */
	while (!refused) {
		for (size_t i = 0; i < ARRAY_LEN(socks); i++) {
			char part[512];
			size_t n = 0;
			struct call brief = CALL_INIT;
			call_init(&brief);
			os_call_limit(&brief, NS_PER_SEC / 20);
			if (os_sock_wait(&brief, socks[i], OS_WANT_READ, &ready) == OK &&
			    os_sock_read(&brief, socks[i], part, sizeof(part) - 1, &n) == OK) {
				part[n] = 0;
				assert_non_null(strstr(part, "503 "));
				refused++;
			}
			call_fini(&brief);
		}
	}
	http_server_stop(s);
	for (size_t i = 0; i < ARRAY_LEN(socks); i++)
		os_sock_close(socks[i]);
}

static void unescape(const char *text, const char *want)
{
	AUTO_BUF struct buf out = BUF_INIT(100);
	enum err e = http_unescape(bytes_str(text), &out);

	assert_int_equal(e, want ? OK : ERR_FORMAT);
	if (want)
		assert_string_equal(buf_cstr(&out), want);
}

static void segments(void **state)
{
	unescape("", "");
	unescape("a%2Fb%c3%a4", "a/b\xc3\xa4");
	unescape("%4", NULL);
	unescape("%zz", NULL);
	unescape("%00", NULL);
	unescape("%ff", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),	     cmocka_unit_test(slow_peers_are_closed),
		cmocka_unit_test(work_has_an_end),   cmocka_unit_test(requests_at_the_end),
		cmocka_unit_test(refuses_when_busy), cmocka_unit_test(segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
