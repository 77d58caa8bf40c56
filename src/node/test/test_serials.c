/* Used serials: once, whatever the time of use, in bounded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/num.h"
#include "node/serials.h"

#define HOUR (3600 * NS_PER_SEC)
#define START (INT64_C(500000) * HOUR) /* on the full hour */

static const struct node_id satellite = { { 1 } }, other = { { 2 } };

static struct serial serial_of(uint64_t n)
{
	struct serial s;

	put_be64(s.b, 1800000000);
	put_be64(s.b + 8, n);
	return s;
}

static enum err use(struct serials *s, const struct node_id *sat, uint64_t n, int64_t created,
		    int64_t now)
{
	struct call call;
	struct serial serial = serial_of(n);

	call_init(&call);
	enum err e = serials_use(&call, s, sat, &serial, created, now);
	call_fini(&call);
	return e;
}

static void test_once(void **state)
{
	struct call call;
	struct serials *s = NULL;

	(void)state;
	call_init(&call);
	assert_int_equal(serials_new(&call, 1 << 20, &s), OK);
	assert_int_equal(use(s, &satellite, 1, START, START), OK);
	assert_int_equal(use(s, &satellite, 1, START, START), ERR_UNAUTHENTICATED);
	assert_int_equal(use(s, &other, 1, START, START), OK);
	assert_int_equal(use(s, &satellite, 2, START, START), OK);
	serials_free(s);
}

/* A limit made at any minute, used at any two moments within its hour (defect 4). */
static void test_any_time(void **state)
{
	struct call call;

	(void)state;
	call_init(&call);
	for (int64_t created = START; created < START + HOUR; created += HOUR / 12)
		for (int64_t first = created - HOUR; first <= created + HOUR; first += HOUR / 8)
			for (int64_t second = first; second <= created + HOUR; second += HOUR / 8) {
				struct serials *s = NULL;
				assert_int_equal(serials_new(&call, 1 << 16, &s), OK);
				assert_int_equal(use(s, &satellite, 1, created, first), OK);
				assert_int_equal(use(s, &satellite, 1, created, second),
						 ERR_UNAUTHENTICATED);
				serials_free(s);
			}
}

static void test_forgotten(void **state)
{
	struct call call;
	struct serials *s = NULL;

	(void)state;
	call_init(&call);
	assert_int_equal(serials_new(&call, 1 << 20, &s), OK);
	for (uint64_t n = 0; n < 100; n++)
		assert_int_equal(use(s, &satellite, n, START, START), OK);
	assert_int_equal(serials_count(s), 100);
	/* Two hours later no such limit is accepted any more, so it need not be known. */
	assert_int_equal(use(s, &satellite, 1000, START + 2 * HOUR, START + 2 * HOUR), OK);
	assert_int_equal(serials_count(s), 1);
	/* A clock that jumps about costs nothing but memory of old serials. */
	for (int64_t i = 0; i < 50; i++)
		assert_int_equal(use(s, &satellite, 2000 + (uint64_t)i,
				     START + (i % 2 ? -i : i) * HOUR, START - 100 * HOUR),
				 OK);
	serials_free(s);
}

static void test_bounded(void **state)
{
	enum { MEMORY = 64 << 10, MANY = 50000 };
	struct call call;
	struct serials *s = NULL;

	(void)state;
	call_init(&call);
	assert_int_equal(serials_new(&call, MEMORY, &s), OK);
	for (uint64_t n = 0; n < MANY; n++) {
		assert_int_equal(use(s, &satellite, n, START, START), OK);
		/* The newest is always known. */
		assert_int_equal(use(s, &satellite, n, START, START), ERR_UNAUTHENTICATED);
	}
	assert_true(serials_count(s) * sizeof(uint64_t) <= MEMORY / 4);
	assert_true(serials_count(s) * sizeof(uint64_t) > MEMORY / 8);
	/* A full hour does not take the room of the next. */
	for (uint64_t n = 0; n < 500; n++)
		assert_int_equal(use(s, &satellite, n, START + HOUR, START + HOUR), OK);
	for (uint64_t n = 0; n < 500; n++)
		assert_int_equal(use(s, &satellite, n, START + HOUR, START + HOUR),
				 ERR_UNAUTHENTICATED);
	serials_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_any_time),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
