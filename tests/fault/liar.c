/*
 * A renter that only wants the peer's memory: opens connections, makes each of them cost as much as
 * it can, says "ready" and keeps them until its standard input ends.
 *
 *   liar ADDRESS CONNECTIONS METHOD knock       TCP and half of a handshake
 *   liar ADDRESS CONNECTIONS METHOD idle        TLS, and nothing
 *   liar ADDRESS CONNECTIONS METHOD unfinished  a call, and all but the end of the largest message
 *   liar ADDRESS CONNECTIONS METHOD pile        a call, and messages that nobody asked for
 *   liar ADDRESS CONNECTIONS METHOD invoke      all but the end of a method's name, far too long
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "net/net.h"
#include "os/clock.h"
#include "rpc/frame.h"
#include "rpc/rpc.h"

enum {
	FRAME_BYTES = 64 << 10,
	UNFINISHED_BYTES = RPC_PACKET_MAX - FRAME_BYTES,
	PILE_BYTES = 8 << 20,
	PILE_MESSAGE = 16 << 10,
	INVOKE_BYTES = 256 << 10,
	GIVE_UP_SECONDS = 2, /* the peer takes no more, or has enough of us */
};

struct liar {
	const char *address, *method, *mode;
	struct net_tls *tls;
	uint8_t *noise;
};

static enum err write_all(struct call *call, struct net_conn *c, struct bytes data)
{
	while (data.len) {
		size_t n = 0;
		enum err e = net_try_write(call, c, data, &n);
		data = bytes_from(data, n);
		if (e == ERR_WOULD_BLOCK || !data.len) {
			e = net_try_flush(call, c);
			if (e == ERR_WOULD_BLOCK)
				e = net_wait(call, c, false, true);
		}
		TRY_PLAIN(e);
	}
	return OK;
}

static enum err frame(struct call *call, struct net_conn *c, const struct frame_header *h,
		      struct bytes data)
{
	uint8_t head[FRAME_HEADER_MAX];

	TRY_PLAIN(write_all(call, c, BYTES(head, frame_put_header(head, h))));
	return write_all(call, c, data);
}

/* Frames of one packet that never ends. */
static enum err unfinished(struct call *call, const struct liar *l, struct net_conn *c,
			   struct frame_header h, size_t bytes)
{
	h.length = FRAME_BYTES;
	for (size_t at = 0; at < bytes; at += FRAME_BYTES)
		TRY_PLAIN(frame(call, c, &h, BYTES(l->noise, FRAME_BYTES)));
	return OK;
}

static enum err pile(struct call *call, const struct liar *l, struct net_conn *c)
{
	struct frame_header h = {
		.stream = 1, .kind = PACKET_MESSAGE, .done = true, .length = PILE_MESSAGE
	};

	for (unsigned i = 0; i < PILE_BYTES / PILE_MESSAGE; i++) {
		h.message = i + 2;
		TRY_PLAIN(frame(call, c, &h, BYTES(l->noise, PILE_MESSAGE)));
	}
	return OK;
}

static enum err cost(struct call *call, const struct liar *l, struct net_conn *c)
{
	struct frame_header h = { .stream = 1, .message = 1, .kind = PACKET_INVOKE };

	if (strcmp(l->mode, "idle") == 0)
		return net_try_flush(call, c);
	if (strcmp(l->mode, "invoke") == 0)
		return unfinished(call, l, c, h, INVOKE_BYTES);
	h.length = strlen(l->method);
	h.done = true;
	TRY_PLAIN(frame(call, c, &h, bytes_str(l->method)));
	if (strcmp(l->mode, "pile") == 0)
		return pile(call, l, c);
	h = (struct frame_header){ .stream = 1, .message = 2, .kind = PACKET_MESSAGE };
	return unfinished(call, l, c, h, UNFINISHED_BYTES);
}

/* Magic and the first bytes of a ClientHello that says it is long. */
static enum err knock(struct call *call, const struct liar *l)
{
	static const char hello[] = "DRPC!!!1\x16\x03\x01\x3f\x00\x01\x00\x3e\xfc\x03\x03";
	struct bytes part = BYTES((const uint8_t *)hello, sizeof(hello) - 1);
	struct os_sock *sock;
	size_t n;

	TRY_PLAIN(os_sock_dial(call, l->address, &sock));
	return os_sock_write(call, sock, &part, 1, &n);
}

/* One more connection, kept for good; that the peer ends it is as well. */
static void connect_one(const struct liar *l, unsigned *ret_open)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct net_conn *c;

	os_call_limit(&call, GIVE_UP_SECONDS * NS_PER_SEC);
	if (strcmp(l->mode, "knock") == 0) {
		*ret_open += knock(&call, l) == OK;
		return;
	}
	if (net_dial(&call, l->tls, l->address, NULL, &c))
		return;
	*ret_open += cost(&call, l, c) == OK;
}

int main(int argc, char *argv[])
{
	AUTO_CALL struct call call = CALL_INIT;
	struct liar l = { 0 };
	struct identity *me;
	unsigned open = 0, count = 0;

	if (argc != 5 || sscanf(argv[2], "%u", &count) != 1) {
		fprintf(stderr, "usage: liar ADDRESS CONNECTIONS METHOD MODE\n");
		return 2;
	}
	l = (struct liar){ argv[1], argv[3], argv[4], NULL, calloc(1, FRAME_BYTES) };
	if (!l.noise || identity_ephemeral(&call, &me) || net_tls_new(&call, me, &l.tls)) {
		fprintf(stderr, "liar: %s\n", call_error(&call, ERR_NO_MEMORY));
		return 1;
	}
	for (unsigned i = 0; i < count; i++)
		connect_one(&l, &open);
	printf("ready %u\n", open);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
