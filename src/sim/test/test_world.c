/* The world repeats itself by its seed, and finds locks held across waits and deadlocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/pool.h"
#include "os/random.h"
#include "os/socket.h"
#include "os/thread.h"
#include "sim/world.h"

static void echo_server(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_sock *s;
	char buf[1000];

	call_init(&call);
	assert_int_equal(os_accept(&call, arg, &s), OK);
	for (;;) {
		size_t n;
		unsigned ready;
		enum err e = os_sock_read(&call, s, buf, sizeof(buf), &n);
		if (e == ERR_EOF)
			break;
		if (e == ERR_WOULD_BLOCK) {
			assert_int_equal(os_sock_wait(&call, s, OS_WANT_READ, &ready), OK);
			continue;
		}
		struct bytes back = BYTES(buf, n);
		assert_int_equal(os_sock_write(&call, s, &back, 1, &n), OK);
	}
	os_sock_close(s);
}

static void echo_world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_listener *l;
	struct os_thread *t;
	struct os_sock *s;
	char buf[64], got[64];
	size_t n, done = 0;
	unsigned ready;

	call_init(&call);
	os_call_limit(&call, 60 * NS_PER_SEC);
	assert_int_equal(os_listen(&call, "127.0.0.1:0", &l), OK);
	assert_int_equal(os_thread_start(&call, "echo", echo_server, l, &t), OK);
	assert_int_equal(os_sock_dial(&call, os_listener_address(l), &s), OK);
	os_random(buf, sizeof(buf));
	struct bytes out = BYTES_OF(buf);
	assert_int_equal(os_sock_write(&call, s, &out, 1, &n), OK);
	while (done < sizeof(got)) {
		enum err e = os_sock_read(&call, s, got + done, sizeof(got) - done, &n);
		if (e == ERR_WOULD_BLOCK)
			assert_int_equal(os_sock_wait(&call, s, OS_WANT_READ, &ready), OK);
		else
			done += n;
	}
	assert_memory_equal(buf, got, sizeof(got));
	os_sock_close(s);
	os_thread_join(t);
	os_listener_close(l);
}

static void same_seed_same_trace(void **state)
{
	struct sim_result a = sim_run(7, echo_world, NULL), b = sim_run(7, echo_world, NULL),
			  c = sim_run(8, echo_world, NULL);

	assert_null(a.failure);
	assert_true(a.events > 5);
	assert_true(a.trace == b.trace && a.events == b.events && a.virtual_ns == b.virtual_ns);
	assert_true(a.trace != c.trace);
}

static _Atomic int ran;

static void count(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	assert_int_equal(os_sleep(&call, NS_PER_SEC), OK);
	ran++;
}

static void pool_world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_pool *pool;

	call_init(&call);
	assert_int_equal(os_pool_new(&call, "p", 8, 100, &pool), OK);
	for (int i = 0; i < 50; i++)
		assert_int_equal(os_pool_submit(&call, pool, count, NULL), OK);
	os_pool_free(pool);
}

static void pools_work_in_virtual_time(void **state)
{
	ran = 0;
	struct sim_result r = sim_run(1, pool_world, NULL);

	assert_null(r.failure);
	assert_int_equal(ran, 50);
	assert_true(r.virtual_ns >= 6 * NS_PER_SEC && r.virtual_ns < 60 * NS_PER_SEC);
}

static void file_world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf b = BUF_INIT(100);

	call_init(&call);
	assert_int_equal(os_dir_make(&call, "d", true), OK);
	assert_int_equal(os_file_write_all(&call, "d/x", bytes_str("one"), true), OK);
	assert_int_equal(os_file_write_all(&call, "d/x", bytes_str("two"), true), OK);
	assert_int_equal(os_file_read_all(&call, "d/x", &b), OK);
	assert_string_equal(buf_cstr(&b), "two");
	assert_int_equal(os_unlink(&call, "d/x"), OK);
	assert_int_equal(os_unlink(&call, "d/x"), ERR_NOT_FOUND);
}

static void files_are_in_memory(void **state)
{
	struct sim_result r = sim_run(1, file_world, NULL);

	assert_null(r.failure);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed_same_trace),
		cmocka_unit_test(pools_work_in_virtual_time),
		cmocka_unit_test(files_are_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
