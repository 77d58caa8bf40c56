/* Buffers keep their limit and their error; arenas keep theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/call.h"
#include "base/cleanup.h"

static void buf_keeps_its_maximum(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT(10);

	buf_add_str(&b, "0123456789");
	assert_int_equal(buf_status(&b), OK);
	assert_string_equal(buf_cstr(&b), "0123456789");
	buf_add_byte(&b, 'x');
	assert_int_equal(buf_status(&b), ERR_NO_MEMORY);
	assert_int_equal(b.len, 10);
	buf_clear(&b);
	buf_printf(&b, "%d", 42);
	assert_string_equal(buf_cstr(&b), "42");
}

static void buf_printf_of_long_text(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT(2000);

	buf_printf(&b, "%1000d", 7);
	assert_int_equal(b.len, 1000);
	buf_drop_front(&b, 999);
	assert_string_equal(buf_cstr(&b), "7");
	buf_drop_front(&b, 5);
	assert_int_equal(b.len, 0);
}

static void arena_limits_and_zeroes(void **state)
{
	struct arena a = { .max = 1 << 20 };

	uint8_t *p = arena_alloc(&a, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	memset(p, 0xff, 100);
	assert_null(arena_alloc(&a, 2 << 20));
	size_t n = 0;
	while (arena_alloc(&a, 1000))
		n++;
	assert_in_range(n, 800, 1049);
	arena_reset(&a);
	p = arena_alloc(&a, 100);
	assert_non_null(p);
	assert_int_equal(p[5], 0);
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	arena_free(&a);
}

static enum err fail_deep(struct call *call)
{
	return call_fail(call, ERR_NOT_FOUND, "piece %d", 7);
}

static enum err fail_wrapped(struct call *call)
{
	TRY(fail_deep(call), "read %s", "it");
	return OK;
}

static void errors_are_wrapped_on_the_way_up(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	assert_int_equal(fail_wrapped(&call), ERR_NOT_FOUND);
	assert_string_equal(call_error(&call, ERR_NOT_FOUND), "read it: piece 7");
	call_clear_error(&call);
	assert_string_equal(call_error(&call, ERR_DEADLINE), "timed out");
}

static void status_numbers_round_trip(void **state)
{
	for (int e = ERR_UNKNOWN; e <= ERR_METHOD_NOT_ALLOWED; e++)
		assert_int_equal(err_from_status(err_status((enum err)e)), e);
	assert_int_equal(err_from_status(10019), ERR_NOT_FOUND);
	assert_int_equal(err_from_status(1), ERR_UNKNOWN);
	assert_int_equal(err_from_status(999), ERR_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_keeps_its_maximum),
		cmocka_unit_test(buf_printf_of_long_text),
		cmocka_unit_test(arena_limits_and_zeroes),
		cmocka_unit_test(errors_are_wrapped_on_the_way_up),
		cmocka_unit_test(status_numbers_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
