/* Names: a name server that hangs costs a call no more than its time, and nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/socket.h"
#include "os/thread.h"

enum { WAIT_MS = 100, MANY = 70 };

static struct os_mutex lock;
static struct os_cond changed;
static bool hang;
static int made, freed, asked;

/* In place of the C library's. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	struct both {
		struct addrinfo info;
		struct sockaddr_in address;
	} * b;

	(void)port;
	if (hints->ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	os_mutex_lock(&lock);
	asked++;
	while (hang)
		os_cond_wait_forever(&changed, &lock);
	os_mutex_unlock(&lock);
	if (strcmp(host, "good.example") != 0)
		return EAI_NONAME;
	b = calloc(1, sizeof(*b));
	b->address.sin_family = AF_INET;
	b->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	b->info.ai_addr = (struct sockaddr *)&b->address;
	b->info.ai_addrlen = sizeof(b->address);
	os_mutex_lock(&lock);
	made++;
	os_mutex_unlock(&lock);
	*ret = &b->info;
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	if (!list)
		return;
	os_mutex_lock(&lock);
	freed++;
	os_cond_broadcast(&changed);
	os_mutex_unlock(&lock);
	free(list);
}

static void set_hang(bool on)
{
	OS_LOCKED(&lock);
	hang = on;
	os_cond_broadcast(&changed);
}

/* What was abandoned answers at last, into nothing. */
static void expect_all_freed(int n)
{
	OS_LOCKED(&lock);
	while (freed < n)
		os_cond_wait_forever(&changed, &lock);
	assert_int_equal(made, freed);
}

static void answers(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	char out[OS_ADDRESS_MAX];

	(void)state;
	assert_int_equal(os_resolve(&call, "good.example:7777", out), OK);
	assert_int_equal(os_resolve(&call, "bad.example:7777", out), ERR_CONNECT);
	assert_non_null(strstr(call.error, "bad.example"));
	expect_all_freed(1);
}

static void deadline(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	char out[OS_ADDRESS_MAX];
	int64_t begin = os_clock_mono_ns();

	(void)state;
	set_hang(true);
	os_call_limit(&call, WAIT_MS * NS_PER_MS);
	assert_int_equal(os_resolve(&call, "good.example:7777", out), ERR_DEADLINE);
	assert_non_null(strstr(call.error, "good.example"));
	assert_true(os_clock_mono_ns() - begin >= WAIT_MS * NS_PER_MS);
	set_hang(false);
	expect_all_freed(2);
}

static void cancel_later(void *arg)
{
	os_cancel_set(arg);
}

static void cancellation(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct os_cancel cancel;
	struct os_thread *t;
	char out[OS_ADDRESS_MAX];

	(void)state;
	set_hang(true);
	assert_int_equal(os_cancel_init(&call, &cancel, NULL), OK);
	call.cancel = &cancel;
	assert_int_equal(os_thread_start(&call, "cancel", cancel_later, &cancel, &t), OK);
	assert_int_equal(os_resolve(&call, "good.example:7777", out), ERR_CANCELED);
	os_thread_join(t);
	os_cancel_fini(&cancel);
	set_hang(false);
}

/* More names than may be asked for at a time: the others wait, and end in time all the same. */
static void bounded(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	char out[OS_ADDRESS_MAX];
	int begun;

	(void)state;
	set_hang(true);
	os_mutex_lock(&lock);
	begun = asked;
	os_mutex_unlock(&lock);
	for (int i = 0; i < MANY; i++) {
		struct call one AUTO_CALL = CALL_INIT;
		os_call_limit(&one, NS_PER_MS);
		assert_int_equal(os_resolve(&one, "good.example:7777", out), ERR_DEADLINE);
	}
	os_mutex_lock(&lock);
	assert_true(asked - begun <= 64);
	os_mutex_unlock(&lock);
	set_hang(false);
	os_call_limit(&call, 10 * NS_PER_SEC);
	assert_int_equal(os_resolve(&call, "good.example:7777", out), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(deadline),
		cmocka_unit_test(cancellation),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
