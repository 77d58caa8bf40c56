/* Peers that stall, send garbage or lie: bounded time, bounded memory, and others are served. */
#include "rpc/test/raw.h"

#include <stdlib.h>

#include "base/num.h"
#include "os/random.h"
#include "os/thread.h"
#include "rpc/test/service.h"

static struct os_sock *tcp(struct peers *p)
{
	struct os_sock *s = NULL;

	must(&p->call, os_sock_dial(&p->call, rpc_server_address(p->server), &s));
	return s;
}

static void write_all(struct peers *p, struct os_sock *s, struct bytes v)
{
	size_t n;

	must(&p->call, os_sock_write(&p->call, s, &v, 1, &n));
	assert_int_equal(n, v.len);
}

/* Waits until the server ends the connection; at most ns. */
static void expect_closed(struct os_sock *s, int64_t ns)
{
	struct call call;
	uint8_t buf[4096];
	unsigned ready;
	enum err e;
	size_t n;

	call_init(&call);
	os_call_limit(&call, ns);
	do {
		assert_int_equal(os_sock_wait(&call, s, OS_WANT_READ, &ready), OK);
		e = os_sock_read(&call, s, buf, sizeof(buf), &n);
	} while (e == OK || e == ERR_WOULD_BLOCK);
	assert_true(e == ERR_EOF || e == ERR_CLOSED);
	os_sock_close(s);
}

static void still_serves(struct peers *p)
{
	struct bytes hello = bytes_str("hello"), m;
	struct rpc_conn *c = peers_dial(p);
	struct rpc_stream *s;

	must(&p->call, rpc_open(&p->call, c, "/vector.Test/Echo", &s));
	must(&p->call, rpc_send(&p->call, s, &hello, 1));
	must(&p->call, rpc_recv(&p->call, s, &m));
	assert_true(bytes_equal(m, hello));
	rpc_stream_end(s);
	rpc_conn_close(c);
}

static void wrong_first_bytes_are_closed_at_once(void **state)
{
	static const char *const starts[] = { "GET / HTTP/1.1\r\n", "X", "DRPC!!!2", "DRPC!N!1",
					      "\x16\x03\x01\x02" };
	struct peers p;

	peers_start(&p, VECTOR_SERVICE);
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct os_sock *s = tcp(&p);
		write_all(&p, s, bytes_str(starts[i]));
		expect_closed(s, 5 * NS_PER_SEC);
	}
	/* A wrong byte is enough, however the bytes are cut; a good start is waited for. */
	struct os_sock *s = tcp(&p);
	write_all(&p, s, bytes_str("DRP"));
	struct call wait;
	call_init(&wait);
	assert_int_equal(os_sleep(&wait, 20 * NS_PER_MS), OK);
	write_all(&p, s, bytes_str("X"));
	expect_closed(s, 5 * NS_PER_SEC);
	still_serves(&p);
	peers_stop(&p);
}

static void garbage_after_the_magic(void **state)
{
	struct rpc_server_config config = VECTOR_SERVICE;
	uint8_t junk[3000];
	struct peers p;

	/* Some junk looks like the beginning of a longer record: that ends with the time. */
	config.handshake_ns_max = NS_PER_SEC;
	peers_start(&p, config);
	for (int i = 0; i < 30; i++) {
		struct os_sock *s = tcp(&p);
		os_random(junk, sizeof(junk));
		if (i % 2)
			memcpy(junk, "\x16\x03\x01\x04\x00\x01\x00\x03", 8);
		write_all(&p, s, bytes_str("DRPC!!!1"));
		write_all(&p, s, BYTES_OF(junk));
		expect_closed(s, 5 * NS_PER_SEC);
	}
	still_serves(&p);
	peers_stop(&p);
}

/* More silent peers than workers: each ends after the handshake time, and nobody else waits. */
static void silent_peers_hold_no_worker(void **state)
{
	enum { SILENT = 60 };
	struct rpc_server_config config = VECTOR_SERVICE;
	struct os_sock *s[SILENT];
	struct peers p;

	config.active_max = 2;
	config.handshake_ns_max = 700 * NS_PER_MS;
	peers_start(&p, config);
	for (int i = 0; i < SILENT; i++) {
		s[i] = tcp(&p);
		if (i % 3)
			write_all(&p, s[i],
				  bytes_str(i % 3 == 1 ? "DRPC" : "DRPC!!!1\x16\x03\x01"));
	}
	int64_t from = os_clock_mono_ns();
	still_serves(&p);
	/* Thirty handshake times if they did. */
	assert_true(os_clock_mono_ns() - from < 5 * NS_PER_SEC);
	for (int i = 0; i < SILENT; i++)
		expect_closed(s[i], 5 * NS_PER_SEC);
	still_serves(&p);
	peers_stop(&p);
}

static void too_many_connections(void **state)
{
	struct rpc_server_config config = VECTOR_SERVICE;
	struct rpc_conn *c[4];
	struct peers p;

	config.connections_max = 4;
	peers_start(&p, config);
	for (int i = 0; i < 4; i++)
		c[i] = peers_dial(&p);
	expect_closed(tcp(&p), 5 * NS_PER_SEC);
	for (int i = 0; i < 4; i++)
		rpc_conn_close(c[i]);
	/* The ends are noticed, if not at once. */
	struct call wait;
	call_init(&wait);
	assert_int_equal(os_sleep(&wait, 200 * NS_PER_MS), OK);
	still_serves(&p);
	peers_stop(&p);
}

#define FRAME(...) ((struct frame_header){ __VA_ARGS__ })

static void expect_broken(struct peers *p, struct raw *r)
{
	struct packet got;
	enum err e;

	do {
		e = raw_packet(&p->call, r, &got);
	} while (!e);
	assert_true(e == ERR_EOF || e == ERR_CLOSED);
	raw_close(r);
}

static void protocol_errors_close(void **state)
{
	static const uint8_t bad_varint[12] = { 3,    0x80, 0x80, 0x80, 0x80, 0x80,
						0x80, 0x80, 0x80, 0x80, 0x80, 0x80 };
	struct bytes none = BYTES_NONE, echo = bytes_str("/vector.Test/Hang");
	struct peers p;
	struct raw r;

	peers_start(&p, VECTOR_SERVICE);
	raw_dial(&p, &r);
	raw_send(&p.call, &r, BYTES_OF(bad_varint));
	expect_broken(&p, &r);
	/* A length that would be 2^62 bytes. */
	raw_dial(&p, &r);
	raw_frame(&p.call, &r, FRAME(1, 1, 1ull << 62, PACKET_INVOKE, false, true), echo);
	expect_broken(&p, &r);
	/* Larger than an Invoke may be. */
	raw_dial(&p, &r);
	raw_frame(&p.call, &r, FRAME(1, 1, PACKET_INVOKE_MAX + 1, PACKET_INVOKE, false, true),
		  echo);
	expect_broken(&p, &r);
	/* A message of no call. */
	raw_dial(&p, &r);
	raw_frame(&p.call, &r, FRAME(1, 1, 0, PACKET_MESSAGE, false, true), bytes_str("x"));
	expect_broken(&p, &r);
	/* Bad metadata. */
	raw_dial(&p, &r);
	raw_frame(&p.call, &r, FRAME(1, 1, 0, PACKET_INVOKE_METADATA, false, true), bytes_str("x"));
	expect_broken(&p, &r);
	/* Invoke on the live stream; unknown kind; message id going back. */
	static const struct frame_header second[] = {
		{ 1, 2, 0, PACKET_INVOKE, false, true },
		{ 1, 2, 0, 9, false, true },
		{ 1, 2, 0, PACKET_INVOKE_METADATA, false, true },
		{ 1, 1, 0, PACKET_MESSAGE, false, true },
		{ 1, 2, RPC_PACKET_MAX + 1, PACKET_MESSAGE, false, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(second); i++) {
		raw_dial(&p, &r);
		raw_frame(&p.call, &r, FRAME(1, 1, 0, PACKET_INVOKE, false, true), echo);
		raw_frame(&p.call, &r, second[i], none);
		expect_broken(&p, &r);
	}
	still_serves(&p);
	peers_stop(&p);
}

static void what_must_be_ignored(void **state)
{
	struct bytes echo = bytes_str("/vector.Test/Echo");
	struct packet got;
	struct peers p;
	struct raw r;

	peers_start(&p, VECTOR_SERVICE);
	raw_dial(&p, &r);
	/* Unknown kinds with the control bit, enders of streams that never were, late packets. */
	raw_frame(&p.call, &r, FRAME(1, 1, 0, 40, true, true), bytes_str("future"));
	raw_frame(&p.call, &r, FRAME(1, 2, 0, PACKET_CANCEL, true, true), BYTES_NONE);
	raw_frame(&p.call, &r, FRAME(2, 1, 0, PACKET_INVOKE_METADATA, false, true), BYTES_NONE);
	raw_frame(&p.call, &r, FRAME(2, 2, 0, PACKET_INVOKE, false, true), echo);
	raw_frame(&p.call, &r, FRAME(2, 3, 0, 41, true, true), bytes_str("future"));
	raw_frame(&p.call, &r, FRAME(2, 4, 0, PACKET_MESSAGE, false, false), bytes_str("given "));
	raw_frame(&p.call, &r, FRAME(2, 5, 0, PACKET_MESSAGE, false, false), bytes_str("ta"));
	raw_frame(&p.call, &r, FRAME(2, 5, 0, PACKET_MESSAGE, false, false), BYTES_NONE);
	raw_frame(&p.call, &r, FRAME(2, 5, 0, PACKET_MESSAGE, false, true), bytes_str("ken"));
	r.reader.live = 2;
	must(&p.call, raw_packet(&p.call, &r, &got));
	assert_int_equal(got.kind, PACKET_MESSAGE);
	struct bytes m = packet_reader_data(&r.reader, &got);
	assert_true(bytes_equal(m, bytes_str("taken")));
	must(&p.call, raw_packet(&p.call, &r, &got));
	assert_int_equal(got.kind, PACKET_CLOSE_SEND);
	raw_frame(&p.call, &r, FRAME(2, 6, 0, PACKET_MESSAGE, false, true), bytes_str("late"));
	raw_frame(&p.call, &r, FRAME(2, 7, 0, PACKET_CLOSE_SEND, false, true), BYTES_NONE);
	raw_frame(&p.call, &r, FRAME(2, 8, 0, 9, false, true), bytes_str("late and unknown"));
	raw_frame(&p.call, &r, FRAME(9, 1, 0, PACKET_INVOKE, false, true), echo);
	/* Message id 0 is fine on a later stream only with a gap, so not here: 2. */
	raw_frame(&p.call, &r, FRAME(9, 2, 0, PACKET_MESSAGE, false, true), bytes_str("again"));
	r.reader.live = 9;
	must(&p.call, raw_packet(&p.call, &r, &got));
	assert_int_equal(got.stream, 9);
	raw_close(&r);
	peers_stop(&p);
}

/* An Invoke while a call is live cancels the call and is served. */
static void next_invoke_cancels(void **state)
{
	struct packet got;
	struct peers p;
	struct raw r;

	peers_start(&p, VECTOR_SERVICE);
	raw_dial(&p, &r);
	raw_frame(&p.call, &r, FRAME(1, 1, 0, PACKET_INVOKE, false, true),
		  bytes_str("/vector.Test/Hang"));
	raw_frame(&p.call, &r, FRAME(1, 2, 0, PACKET_MESSAGE, false, true), bytes_str("a"));
	raw_frame(&p.call, &r, FRAME(2, 1, 0, PACKET_INVOKE, false, true),
		  bytes_str("/vector.Test/Echo"));
	raw_frame(&p.call, &r, FRAME(2, 2, 0, PACKET_MESSAGE, false, true), bytes_str("b"));
	r.reader.live = 2;
	must(&p.call, raw_packet(&p.call, &r, &got));
	assert_int_equal(got.stream, 2);
	assert_int_equal(got.kind, PACKET_MESSAGE);
	raw_close(&r);
	peers_stop(&p);
}

/* A client that never reads its answer keeps nobody but itself waiting. */
static void peer_that_does_not_read(void **state)
{
	uint8_t *big = calloc(1, 1 << 20);
	struct packet got;
	struct peers p;
	struct raw r;

	peers_start(&p, VECTOR_SERVICE);
	raw_dial(&p, &r);
	raw_frame(&p.call, &r, FRAME(1, 1, 0, PACKET_INVOKE, false, true),
		  bytes_str("/vector.Test/Stream"));
	/* Until the server stops taking: its inbox is full because its answers go nowhere. */
	struct call slow;
	uint64_t sent = 0, message = 2;
	enum err e = OK;
	call_init(&slow);
	os_call_limit(&slow, 500 * NS_PER_MS);
	while (!e && sent < 256 << 20) {
		struct frame_header h = { 1, message++, 1 << 20, PACKET_MESSAGE, false, true };
		uint8_t head[FRAME_HEADER_MAX];
		struct bytes rest[2] = { BYTES(head, frame_put_header(head, &h)),
					 BYTES(big, 1 << 20) };
		for (int i = 0; i < 2; i++)
			while (!e && rest[i].len) {
				size_t n = 0;
				e = net_try_write(&slow, r.net, rest[i], &n);
				if (e == ERR_WOULD_BLOCK)
					e = net_wait(&slow, r.net, false, true);
				rest[i] = bytes_from(rest[i], n);
				sent += n;
				if (!e && net_try_flush(&slow, r.net) == ERR_CLOSED)
					e = ERR_CLOSED;
			}
	}
	assert_int_equal(e, ERR_DEADLINE);
	assert_true(sent < 64 << 20);
	still_serves(&p);
	/* Then it reads after all, and everything comes. */
	r.reader.live = 1;
	for (int i = 0; i < 3; i++) {
		must(&p.call, raw_packet(&p.call, &r, &got));
		assert_int_equal(got.len, 1 << 20);
	}
	raw_close(&r);
	peers_stop(&p);
	free(big);
}

/* ---- hostile servers ---- */

struct bad_server {
	struct peers *p;
	struct os_listener *listener;
	int how;
};

static void bad_server_main(void *arg)
{
	struct bad_server *b = arg;
	struct os_sock *sock;
	struct packet got;
	struct call call;
	struct raw r;
	struct net_conn *net;

	call_init(&call);
	os_call_limit(&call, 20 * NS_PER_SEC);
	must(&call, os_accept(&call, b->listener, &sock));
	if (b->how == 0) {
		/* Says nothing until the client gives up. */
		uint8_t buf[4096];
		unsigned ready;
		size_t n;
		enum err e;
		do {
			must(&call, os_sock_wait(&call, sock, OS_WANT_READ, &ready));
			e = os_sock_read(&call, sock, buf, sizeof(buf), &n);
		} while (e == OK || e == ERR_WOULD_BLOCK);
		os_sock_close(sock);
		return;
	}
	must(&call, net_accept(&call, b->p->server_tls, NULL, sock, &net));
	raw_init(&r, net);
	while (raw_packet(&call, &r, &got) == OK && got.kind != PACKET_CLOSE_SEND) {
	}
	struct bytes x = bytes_str("x");
	switch (b->how) {
	case 1: /* ends in the middle of a message */
		raw_frame(&call, &r, FRAME(1, 1, 100, PACKET_MESSAGE, false, true), x);
		break;
	case 2: /* ends without a word */
		break;
	case 3: /* a stream nobody asked for */
		raw_frame(&call, &r, FRAME(7, 1, 0, PACKET_MESSAGE, false, true), x);
		break;
	case 4: /* calls back */
		raw_frame(&call, &r, FRAME(1, 1, 0, PACKET_INVOKE, false, true), x);
		break;
	case 5: /* too large */
		raw_frame(&call, &r, FRAME(1, 1, RPC_PACKET_MAX + 1, PACKET_MESSAGE, false, true),
			  x);
		break;
	case 6: /* an error that says nothing, with bytes for the terminal */
		raw_frame(&call, &r, FRAME(1, 1, 0, PACKET_ERROR, false, true),
			  BYTES("\0\0\0\0\0\0\0\x05"
				"a\x1b[2Jb",
				14));
		break;
	case 7: /* closes instead of answering */
		raw_frame(&call, &r, FRAME(1, 1, 0, PACKET_CLOSE_SEND, false, true), BYTES_NONE);
		break;
	}
	raw_close(&r);
	call_fini(&call);
}

static void client_survives_bad_servers(void **state)
{
	static const enum err want[] = { ERR_DEADLINE, ERR_CLOSED,   ERR_CLOSED,    ERR_PROTOCOL,
					 ERR_PROTOCOL, ERR_PROTOCOL, ERR_NOT_FOUND, ERR_EOF };
	struct peers p;

	peers_start(&p, VECTOR_SERVICE);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct bad_server b = { &p, NULL, (int)i };
		struct os_thread *thread;
		struct rpc_conn *c = NULL;
		struct rpc_stream *s;
		struct bytes m;
		struct call call;
		call_init(&call);
		os_call_limit(&call, i ? 10 * NS_PER_SEC : 200 * NS_PER_MS);
		must(&call, os_listen(&call, "127.0.0.1:0", &b.listener));
		must(&call, os_thread_start(&call, "bad", bad_server_main, &b, &thread));
		enum err e = rpc_dial(&call, p.client_tls, os_listener_address(b.listener),
				      identity_node_id(p.server_id), &c);
		if (i) {
			must(&call, e);
			must(&call, rpc_open(&call, c, "/vector.Test/Echo", &s));
			must(&call, rpc_close_send(&call, s));
			e = rpc_recv(&call, s, &m);
			rpc_stream_end(s);
		}
		if (e != want[i])
			print_error("case %zu: %s (%s)\n", i, err_name(e), call.error);
		assert_int_equal(e, want[i]);
		for (const char *t = call.error; *t; t++)
			assert_true(*t >= ' ');
		rpc_conn_close(c);
		os_thread_join(thread);
		os_listener_close(b.listener);
		call_fini(&call);
	}
	peers_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_first_bytes_are_closed_at_once),
		cmocka_unit_test(garbage_after_the_magic),
		cmocka_unit_test(silent_peers_hold_no_worker),
		cmocka_unit_test(too_many_connections),
		cmocka_unit_test(protocol_errors_close),
		cmocka_unit_test(what_must_be_ignored),
		cmocka_unit_test(next_invoke_cancels),
		cmocka_unit_test(peer_that_does_not_read),
		cmocka_unit_test(client_survives_bad_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
