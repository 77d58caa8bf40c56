/* The control socket's side of the nodes: one thread, one asker at a time. */
#include "node/control.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/farm.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/log.h"
#include "os/socket.h"
#include "os/thread.h"

enum { READ_SECONDS = 2, WRITE_SECONDS = 10, ACCEPT_RETRY_MS = 200 };

struct control {
	struct farm *farm;
	struct os_cancel *stop; /* borrowed */
	struct os_cancel cancel;
	bool cancel_made;
	struct os_listener *listener;
	struct os_thread *thread;
	char *path;
};

DEFINE_AUTO_PTR(struct os_sock, sock_auto, os_sock_close)

/* Up to and without the first end of line. */
static enum err read_line(struct call *call, struct os_sock *s, uint8_t *buf, size_t *ret_len)
{
	size_t len = 0;

	while (len < CONTROL_LINE_MAX) {
		size_t n = 0;
		unsigned ready;
		enum err e = os_sock_read(call, s, buf + len, CONTROL_LINE_MAX - len, &n);
		if (e == ERR_WOULD_BLOCK) {
			TRY_PLAIN(os_sock_wait(call, s, OS_WANT_READ, &ready));
			continue;
		}
		TRY_PLAIN(e);
		const uint8_t *end = memchr(buf + len, '\n', n);
		len += n;
		if (!end)
			continue;
		*ret_len = (size_t)(end - buf);
		return OK;
	}
	return call_fail(call, ERR_FORMAT, "the line is too long");
}

static enum err write_all(struct call *call, struct os_sock *s, struct bytes head,
			  struct bytes body)
{
	while (head.len || body.len) {
		const struct bytes parts[] = { head, body };
		size_t n = 0;
		unsigned ready;
		enum err e = os_sock_write(call, s, parts, ARRAY_LEN(parts), &n);
		if (e == ERR_WOULD_BLOCK) {
			TRY_PLAIN(os_sock_wait(call, s, OS_WANT_WRITE, &ready));
			continue;
		}
		TRY_PLAIN(e);
		size_t of_head = MIN(n, head.len);
		head = bytes_from(head, of_head);
		body = bytes_from(body, n - of_head);
	}
	return OK;
}

static enum err obey(struct call *call, struct control *c, const struct control_request *r,
		     struct buf *out)
{
	switch (r->command) {
	case CONTROL_STATUS:
		return farm_status(call, c->farm, r->node, r->format, out);
	case CONTROL_RELOAD:
		return farm_reload(call, c->farm, out);
	case CONTROL_MAINTENANCE:
		return farm_maintenance(call, c->farm, r->node, r->on, r->ns);
	case CONTROL_RESTART:
		return farm_restart(call, c->farm, r->node);
	case CONTROL_STOP:
		log_info("asked to stop");
		os_cancel_set(c->stop);
		return OK;
	}
	return ERR_UNIMPLEMENTED;
}

static void serve(struct control *c, struct os_sock *sock)
{
	AUTO(sock_auto) struct os_sock *s = sock;
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_CALL struct call writing = CALL_INIT;
	AUTO_BUF struct buf head = BUF_INIT(CALL_ERROR_MAX + 64),
			    body = BUF_INIT(CONTROL_ANSWER_MAX);
	uint8_t line[CONTROL_LINE_MAX];
	struct control_request r;
	size_t len = 0;

	call.cancel = writing.cancel = &c->cancel;
	os_call_limit(&call, READ_SECONDS * NS_PER_SEC);
	enum err e = read_line(&call, s, line, &len);
	if (!e)
		e = control_parse(&call, BYTES(line, len), &r);
	call.deadline_ns = CALL_NO_DEADLINE;
	if (!e)
		e = obey(&call, c, &r, &body);
	if (e) {
		buf_clear(&body);
		buf_printf(&head, "error %s %s\n", err_name(e), call_error(&call, e));
	} else {
		buf_printf(&head, "ok %zu\n", body.len);
	}
	os_call_limit(&writing, WRITE_SECONDS * NS_PER_SEC);
	if (write_all(&writing, s, buf_bytes(&head), buf_bytes(&body)))
		log_debug("who asked did not wait for the answer");
}

static void control_main(void *arg)
{
	struct control *c = arg;

	for (;;) {
		AUTO_CALL struct call call = CALL_INIT;
		struct os_sock *sock = NULL;
		call.cancel = &c->cancel;
		enum err e = os_accept(&call, c->listener, &sock);
		if (!e)
			serve(c, sock);
		else if (e == ERR_CANCELED ||
			 os_sleep(&call, ACCEPT_RETRY_MS * NS_PER_MS) == ERR_CANCELED)
			return;
	}
}

enum err control_start(struct call *call, const char *path, struct farm *farm,
		       struct os_cancel *stop, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c || !(c->path = strdup(path))) {
		free(c);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	c->farm = farm;
	c->stop = stop;
	enum err e = os_cancel_init(call, &c->cancel, NULL);
	c->cancel_made = !e;
	if (!e)
		e = os_listen_local(call, path, &c->listener);
	if (!e)
		e = os_thread_start(call, "control", control_main, c, &c->thread);
	if (e)
		control_stop(c);
	else
		*ret = c;
	return e;
}

void control_stop(struct control *c)
{
	AUTO_CALL struct call call = CALL_INIT;

	if (!c)
		return;
	if (c->cancel_made)
		os_cancel_set(&c->cancel);
	os_thread_join(c->thread);
	if (c->listener && os_unlink(&call, c->path))
		log_debug("the control socket was not removed");
	os_listener_close(c->listener);
	if (c->cancel_made)
		os_cancel_fini(&c->cancel);
	free(c->path);
	free(c);
}
