/* Asking a running process of nodes. */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "node/control.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/socket.h"

enum { ANSWER_SECONDS = 60, CHUNK = 64 << 10 };

DEFINE_AUTO_PTR(struct os_sock, sock_auto, os_sock_close)

static enum err send_request(struct call *call, struct os_sock *s, const struct control_request *r)
{
	AUTO_BUF struct buf line = BUF_INIT(CONTROL_LINE_MAX);
	size_t n = 0;

	control_add(&line, r);
	TRY(buf_status(&line), "the node's name is too long");
	struct bytes part = buf_bytes(&line);
	/* A fresh socket takes a line at once. */
	TRY_PLAIN(os_sock_write(call, s, &part, 1, &n));
	return n == part.len ? OK : call_fail(call, ERR_CLOSED, "the node does not listen");
}

static enum err read_all(struct call *call, struct os_sock *s, struct buf *out)
{
	for (;;) {
		size_t n = 0;
		unsigned ready;
		if (!buf_reserve(out, CHUNK))
			return call_fail(call, ERR_OUT_OF_RANGE, "an answer without end");
		enum err e = os_sock_read(call, s, out->data + out->len, CHUNK, &n);
		if (e == ERR_EOF)
			return OK;
		if (e == ERR_WOULD_BLOCK)
			e = os_sock_wait(call, s, OS_WANT_READ, &ready);
		TRY_PLAIN(e);
		out->len += n;
	}
}

/* "ok LENGTH\n" and the text, or "error NAME TEXT\n". */
static enum err take_answer(struct call *call, struct bytes answer, struct buf *out)
{
	const uint8_t *end = answer.len ? memchr(answer.data, '\n', answer.len) : NULL;
	struct bytes head = BYTES(answer.data, end ? (size_t)(end - answer.data) : 0);
	struct bytes body = bytes_from(answer, head.len + 1);
	uint64_t len = 0;

	if (bytes_has_prefix(head, bytes_str("error "))) {
		head = bytes_from(head, 6);
		const uint8_t *space = head.len ? memchr(head.data, ' ', head.len) : NULL;
		struct bytes text = bytes_from(head, space ? (size_t)(space - head.data) + 1 : 0);
		return call_fail(call, ERR_PRECONDITION, "%.*s", (int)MIN(text.len, 4096u),
				 (const char *)text.data);
	}
	if (!bytes_has_prefix(head, bytes_str("ok ")) ||
	    text_u64(bytes_from(head, 3), CONTROL_ANSWER_MAX, &len) || len != body.len)
		return call_fail(call, ERR_PROTOCOL,
				 "the node's answer is cut off or of another release");
	buf_add_bytes(out, body);
	return buf_status(out);
}

/* A node's own socket, or that of the farm it is in (dir = FARM/nodes/NAME). */
static enum err dial(struct call *call, const char *dir, struct control_request *r,
		     struct os_sock **ret)
{
	enum err e = os_sock_dial_local(call, os_path_join(call, dir, CONTROL_NAME), ret);
	const char *name = strrchr(dir, '/');

	if (!e || e == ERR_PERMISSION || !name || !name[1])
		return e;
	const char *nodes = os_path_dir(call, dir);
	const char *last = strrchr(nodes, '/');
	if (strcmp(last ? last + 1 : nodes, "nodes") != 0)
		return e;
	const char *farm = last ? os_path_dir(call, nodes) : ".";
	call_clear_error(call);
	TRY_PLAIN(os_sock_dial_local(call, os_path_join(call, farm, CONTROL_NAME), ret));
	if (!r->node.len)
		r->node = bytes_str(name + 1);
	return OK;
}

enum err control_ask(struct call *call, const char *dir, const struct control_request *request,
		     struct buf *out)
{
	AUTO_BUF struct buf answer = BUF_INIT(CONTROL_ANSWER_MAX + CHUNK);
	AUTO(sock_auto) struct os_sock *s = NULL;
	struct control_request r = *request;
	enum err e = dial(call, dir, &r, &s);

	if (e == ERR_CONNECT || e == ERR_NOT_FOUND)
		return call_wrap(call, ERR_CONNECT, "no node runs in %s", dir);
	if (e == ERR_PERMISSION)
		return call_wrap(call, e,
				 "only root and the user that the node runs as may ask it "
				 "(sudo acre-node ...)");
	TRY_PLAIN(e);
	os_call_limit(call, ANSWER_SECONDS * NS_PER_SEC);
	TRY_PLAIN(send_request(call, s, &r));
	TRY_PLAIN(read_all(call, s, &answer));
	return take_answer(call, buf_bytes(&answer), out);
}
