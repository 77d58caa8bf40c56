/* Connections by Noise over loopback: payloads in the handshake, the answer that is not waited
 * with, copies of a first message, wrong keys, and the way out by TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/net.h"
#include "net/noise.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/thread.h"

struct world {
	struct call call;
	struct identity *server_id, *client_id;
	struct net_tls *server_tls, *client_tls;
	struct net_noise *noise;
	struct noise_peer node;
	struct os_listener *listener;
	struct os_thread *thread;
	struct os_cancel stop;
	/* What the accepting thread does: hangs up on the first `drop` connections, then echoes. */
	unsigned drop;
	bool tls_only;
	_Atomic unsigned accepted, failed;
	_Atomic bool was_noise;
};

static void must(struct call *call, enum err e)
{
	if (e)
		print_error("%s: %s\n", err_name(e), call_error(call, e));
	assert_int_equal(e, OK);
}

/* Gives back what it gets, until the client goes. */
static void echo(struct call *call, struct net_conn *c)
{
	static uint8_t data[100 << 10];
	size_t n;

	while (net_read(call, c, data, sizeof(data), &n) == OK) {
		struct bytes v = BYTES(data, n);
		while (v.len) {
			if (net_try_write(call, c, v, &n) == OK)
				v = bytes_from(v, n);
			enum err e = net_try_flush(call, c);
			if (e == ERR_WOULD_BLOCK)
				e = net_wait(call, c, false, true);
			if (e)
				return;
		}
	}
}

static void accept_main(void *arg)
{
	struct world *w = arg;
	struct call call;

	for (;;) {
		struct net_conn *c = NULL;
		struct os_sock *sock;
		call_init(&call);
		call.cancel = &w->stop;
		enum err e = os_accept(&call, w->listener, &sock);
		if (e) {
			call_fini(&call);
			return;
		}
		if (w->accepted++ < w->drop) {
			os_sock_close(sock);
		} else if (net_accept(&call, w->server_tls, w->tls_only ? NULL : w->noise, sock,
				      &c) == OK) {
			w->was_noise = net_is_noise(c);
			echo(&call, c);
			net_close(c);
		} else {
			w->failed++;
		}
		call_fini(&call);
	}
}

static void world_start(struct world *w, enum noise_suite suite)
{
	*w = (struct world){ 0 };
	call_init(&w->call);
	os_call_limit(&w->call, 20 * NS_PER_SEC);
	must(&w->call, identity_ephemeral(&w->call, &w->server_id));
	must(&w->call, identity_ephemeral(&w->call, &w->client_id));
	must(&w->call, net_tls_new(&w->call, w->server_id, &w->server_tls));
	must(&w->call, net_tls_new(&w->call, w->client_id, &w->client_tls));
	must(&w->call, net_noise_new(&w->call, w->server_id, suite, &w->noise));
	w->node = net_noise_peer(w->noise);
	must(&w->call, os_cancel_init(&w->call, &w->stop, NULL));
	must(&w->call, os_listen(&w->call, "127.0.0.1:0", &w->listener));
}

static void serve(struct world *w)
{
	must(&w->call, os_thread_start(&w->call, "accept", accept_main, w, &w->thread));
}

static struct net_conn *dial(struct world *w)
{
	struct net_conn *c = NULL;

	must(&w->call, net_dial_noise(&w->call, w->client_tls, os_listener_address(w->listener),
				      identity_node_id(w->server_id), &w->node, &c));
	return c;
}

static void world_stop(struct world *w)
{
	os_cancel_set(&w->stop);
	os_thread_join(w->thread);
	os_cancel_fini(&w->stop);
	os_listener_close(w->listener);
	net_noise_free(w->noise);
	net_tls_free(w->server_tls);
	net_tls_free(w->client_tls);
	identity_free(w->server_id);
	identity_free(w->client_id);
	call_fini(&w->call);
}

/* Sends and reads the echo meanwhile: past the first message a client must have read the answer. */
static void exchange(struct world *w, struct net_conn *c, size_t len)
{
	AUTO_FREE uint8_t *data = malloc(len);
	AUTO_FREE uint8_t *got = malloc(len);
	size_t sent = 0, have = 0, n;
	unsigned seed = (unsigned)len;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)rand_r(&seed);
	while (have < len) {
		enum err e = sent < len ? net_try_write(&w->call, c, BYTES(data + sent, len - sent),
							&n)
					: ERR_WOULD_BLOCK;
		sent += e ? 0 : n;
		if (e && e != ERR_WOULD_BLOCK)
			must(&w->call, e);
		enum err f = net_try_flush(&w->call, c);
		if (f && f != ERR_WOULD_BLOCK)
			must(&w->call, f);
		if (!e)
			continue;
		e = net_try_read(&w->call, c, got + have, len - have, &n);
		if (e == ERR_WOULD_BLOCK)
			must(&w->call, net_wait(&w->call, c, true, f == ERR_WOULD_BLOCK));
		else
			must(&w->call, e);
		have += e ? 0 : n;
	}
	assert_memory_equal(got, data, len);
}

static void sizes_around_the_limits(void **state)
{
	static const size_t sizes[] = { 1, 100, 65534, 65535, 65536, 65537, 100000, 131072 };

	for (unsigned s = NOISE_CHACHAPOLY; s <= NOISE_AESGCM; s++) {
		struct world w;
		world_start(&w, (enum noise_suite)s);
		serve(&w);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			struct net_conn *c = dial(&w);
			exchange(&w, c, sizes[i]);
			assert_true(net_is_noise(c));
			/* And on, as records. */
			exchange(&w, c, sizes[i]);
			net_close(c);
		}
		world_stop(&w);
		assert_true(w.was_noise);
		assert_int_equal(w.failed, 0);
	}
}

/* The node hangs up: the same bytes go by TLS, and the node is who it should be. */
static void hung_up_on_dials_by_tls(void **state)
{
	static const size_t sizes[] = { 10, 65535, 90000 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct node_id id;
		struct world w;
		world_start(&w, NOISE_AESGCM);
		w.drop = 1;
		serve(&w);
		struct net_conn *c = dial(&w);
		exchange(&w, c, sizes[i]);
		assert_false(net_is_noise(c));
		must(&w.call, net_peer_id(&w.call, c, &id));
		assert_true(node_id_equal(&id, identity_node_id(w.server_id)));
		net_close(c);
		world_stop(&w);
	}
}

static void a_node_without_noise_is_reached(void **state)
{
	struct world w;

	world_start(&w, NOISE_CHACHAPOLY);
	w.tls_only = true;
	serve(&w);
	struct net_conn *c = dial(&w);
	exchange(&w, c, 5000);
	assert_false(net_is_noise(c));
	net_close(c);
	world_stop(&w);
	assert_int_equal(w.failed, 1);
}

static void another_key_or_suite_is_not_answered(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct world w;
		world_start(&w, NOISE_CHACHAPOLY);
		serve(&w);
		if (i)
			w.node.suite = NOISE_AESGCM;
		else
			w.node.key[5] ^= 1;
		struct net_conn *c = dial(&w);
		exchange(&w, c, 100);
		assert_false(net_is_noise(c));
		net_close(c);
		world_stop(&w);
		assert_int_equal(w.failed, 1);
	}
}

/* noise.md 9: of copies of one first message every second is closed without an answer. */
static void copies_are_answered_once(void **state)
{
	uint8_t wire[NET_MAGIC_BYTES + NOISE_HEADER_BYTES + NOISE_FIRST_OVERHEAD + 2];
	uint8_t *message = wire + NET_MAGIC_BYTES + NOISE_HEADER_BYTES;
	static const struct secret_key a = { { 1 } }, b = { { 2 } };
	struct noise_handshake hs;
	struct world w;

	world_start(&w, NOISE_AESGCM);
	serve(&w);
	memcpy(wire, "DRPC!N!1", NET_MAGIC_BYTES);
	noise_put_header(wire + NET_MAGIC_BYTES, NOISE_FIRST_OVERHEAD + 2);
	assert_int_equal(noise_client_start(&hs, w.node.suite, w.node.key, &a, &b), OK);
	assert_int_equal(noise_client_write(&hs, bytes_str("hi"), message), OK);
	for (unsigned i = 0; i < 4; i++) {
		struct bytes v = BYTES_OF(wire);
		struct os_sock *sock;
		unsigned ready;
		uint8_t answer[256];
		size_t n;
		must(&w.call, os_sock_dial(&w.call, os_listener_address(w.listener), &sock));
		must(&w.call, os_sock_write(&w.call, sock, &v, 1, &n));
		assert_int_equal(n, sizeof(wire));
		must(&w.call, os_sock_wait(&w.call, sock, OS_WANT_READ, &ready));
		enum err e = os_sock_read(&w.call, sock, answer, sizeof(answer), &n);
		assert_int_equal(e == OK, i % 2 == 0);
		os_sock_close(sock);
	}
	world_stop(&w);
	assert_int_equal(w.failed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_around_the_limits),
		cmocka_unit_test(hung_up_on_dials_by_tls),
		cmocka_unit_test(a_node_without_noise_is_reached),
		cmocka_unit_test(another_key_or_suite_is_not_answered),
		cmocka_unit_test(copies_are_answered_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
