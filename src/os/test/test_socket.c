/* Sockets: dial, transfer, end, deadline, port in use, parking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/socket.h"

static void pair(struct call *call, struct os_sock **a, struct os_sock **b)
{
	struct os_listener *l;

	assert_int_equal(os_listen(call, "127.0.0.1:0", &l), OK);
	assert_int_equal(os_sock_dial(call, os_listener_address(l), a), OK);
	assert_int_equal(os_accept(call, l, b), OK);
	os_listener_close(l);
}

static void transfer_and_end(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_sock *a, *b;
	char buf[100];
	size_t n;
	unsigned ready;

	call_init(&call);
	os_call_limit(&call, 10 * NS_PER_SEC);
	pair(&call, &a, &b);
	assert_int_equal(os_sock_read(&call, b, buf, sizeof(buf), &n), ERR_WOULD_BLOCK);
	const struct bytes parts[] = { bytes_str("ab"), BYTES_NONE, bytes_str("cd") };
	assert_int_equal(os_sock_write(&call, a, parts, 3, &n), OK);
	assert_int_equal(n, 4);
	assert_int_equal(os_sock_wait(&call, b, OS_WANT_READ, &ready), OK);
	assert_int_equal(os_sock_read(&call, b, buf, sizeof(buf), &n), OK);
	assert_memory_equal(buf, "abcd", 4);
	os_sock_close(a);
	assert_int_equal(os_sock_wait(&call, b, OS_WANT_READ, &ready), OK);
	assert_int_equal(os_sock_read(&call, b, buf, sizeof(buf), &n), ERR_EOF);
	os_sock_close(b);
}

static void local_sockets_of_any_path(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	char dir[] = "/tmp/acre-socket-XXXXXX", path[512] = "";
	struct os_listener *l, *again;
	struct os_sock *a, *b;
	const char *parts[2];

	call_init(&call);
	os_call_limit(&call, 10 * NS_PER_SEC);
	assert_non_null(mkdtemp(dir));
	/* Longer than the kernel's 108 bytes. */
	parts[0] = os_path_join(&call, dir,
				"a-directory-with-a-name-that-is-rather-long-as-such-go");
	parts[1] = os_path_join(&call, parts[0],
				"and-another-one-in-it-so-that-both-together-are-too-long");
	assert_int_equal(os_dir_make(&call, parts[1], true), OK);
	snprintf(path, sizeof(path), "%s/control", parts[1]);
	assert_true(strlen(path) > 108);
	assert_int_equal(os_sock_dial_local(&call, path, &a), ERR_CONNECT);
	assert_int_equal(os_listen_local(&call, path, &l), OK);
	assert_int_equal(os_listen_local(&call, path, &again), ERR_BUSY);
	call_clear_error(&call);
	assert_int_equal(os_sock_dial_local(&call, path, &a), OK);
	/* The first in line is the one of the failed attempt to listen. */
	assert_int_equal(os_try_accept(&call, l, &b), OK);
	os_sock_close(b);
	assert_int_equal(os_try_accept(&call, l, &b), OK);
	const struct bytes x = bytes_str("x");
	size_t n;
	char c;
	assert_int_equal(os_sock_write(&call, a, &x, 1, &n), OK);
	assert_int_equal(os_sock_read(&call, b, &c, 1, &n), OK);
	os_sock_close(a);
	os_sock_close(b);
	assert_int_equal(os_try_accept(&call, l, &b), ERR_WOULD_BLOCK);
	/* What a dead process left is no hindrance. */
	os_listener_close(l);
	assert_int_equal(os_listen_local(&call, path, &l), OK);
	os_listener_close(l);
	assert_int_equal(os_unlink(&call, path), OK);
	assert_int_equal(os_dir_remove(&call, parts[1]), OK);
	assert_int_equal(os_dir_remove(&call, parts[0]), OK);
	assert_int_equal(os_dir_remove(&call, dir), OK);
}

static void poller_watches_listeners(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_listener *l;
	struct os_poller *p;
	struct os_sock *a, *b;
	void *tags[4];
	size_t n;
	int tag;

	call_init(&call);
	os_call_limit(&call, 10 * NS_PER_SEC);
	assert_int_equal(os_listen(&call, "127.0.0.1:0", &l), OK);
	assert_int_equal(os_poller_new(&call, &p), OK);
	assert_int_equal(os_poller_add_listener(&call, p, l, &tag), OK);
	assert_int_equal(os_sock_dial(&call, os_listener_address(l), &a), OK);
	assert_int_equal(os_poller_wait(&call, p, tags, 4, &n), OK);
	assert_int_equal(n, 1);
	assert_ptr_equal(tags[0], &tag);
	assert_int_equal(os_try_accept(&call, l, &b), OK);
	os_poller_remove_listener(p, l);
	os_poller_free(p);
	os_listener_close(l);
	os_sock_close(a);
	os_sock_close(b);
}

static void port_in_use_says_so(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_listener *l, *again;

	call_init(&call);
	assert_int_equal(os_listen(&call, "127.0.0.1:0", &l), OK);
	assert_int_equal(os_listen(&call, os_listener_address(l), &again), ERR_EXISTS);
	assert_non_null(strstr(call.error, "in use"));
	os_listener_close(l);
}

static void bad_addresses(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_sock *s;

	call_init(&call);
	assert_int_equal(os_sock_dial(&call, "localhost", &s), ERR_INVALID);
	assert_int_equal(os_sock_dial(&call, "::1:80", &s), ERR_INVALID);
	assert_int_equal(os_sock_dial(&call, "127.0.0.1:1", &s), ERR_CONNECT);
}

static void poller_fires_once(void **state)
{
	AUTO_CALL struct call call = CALL_INIT, soon = CALL_INIT;
	struct os_sock *a, *b;
	struct os_poller *p;
	void *tags[4];
	size_t n;
	int tag;

	call_init(&call);
	os_call_limit(&call, 10 * NS_PER_SEC);
	pair(&call, &a, &b);
	assert_int_equal(os_poller_new(&call, &p), OK);
	assert_int_equal(os_poller_add(&call, p, b, &tag), OK);
	os_poller_wake(p);
	assert_int_equal(os_poller_wait(&call, p, tags, 4, &n), OK);
	assert_int_equal(n, 0);
	const struct bytes x = bytes_str("x");
	assert_int_equal(os_sock_write(&call, a, &x, 1, &n), OK);
	assert_int_equal(os_poller_wait(&call, p, tags, 4, &n), OK);
	assert_int_equal(n, 1);
	assert_ptr_equal(tags[0], &tag);
	call_init(&soon);
	os_call_limit(&soon, 20 * NS_PER_MS);
	assert_int_equal(os_poller_wait(&soon, p, tags, 4, &n), ERR_DEADLINE);
	os_poller_free(p);
	os_sock_close(a);
	os_sock_close(b);
}

/* getaddrinfo would take it for another port. */
static void no_such_port(void **state)
{
	static const char *const bad[] = { "127.0.0.1:65536", "127.0.0.1:99999", "127.0.0.1:x",
					   "127.0.0.1:-1", "127.0.0.1:" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_CALL struct call call = CALL_INIT;
		struct os_listener *l = NULL;
		struct os_sock *sock = NULL;
		call_init(&call);
		assert_int_equal(os_listen(&call, bad[i], &l), ERR_INVALID);
		assert_non_null(strstr(call.error, "port"));
		assert_int_equal(os_sock_dial(&call, bad[i], &sock), ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_such_port),
		cmocka_unit_test(transfer_and_end),
		cmocka_unit_test(local_sockets_of_any_path),
		cmocka_unit_test(poller_watches_listeners),
		cmocka_unit_test(port_in_use_says_so),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(poller_fires_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
