/* The wire cursor never reads beyond its extent and keeps its failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"

static void varints_round_trip(void **state)
{
	const uint64_t values[] = { 0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		uint8_t tmp[WIRE_VARINT_MAX];
		size_t n = wire_put_varint(tmp, values[i]);
		assert_int_equal(n, wire_varint_len(values[i]));
		struct wire w = wire_read(BYTES(tmp, n));
		assert_int_equal(wire_varint(&w), values[i]);
		assert_true(wire_ok(&w));
		assert_int_equal(wire_left(&w), 0);
		w = wire_read(BYTES(tmp, n - 1));
		wire_varint(&w);
		assert_false(wire_ok(&w));
	}
}

static void eleventh_continuation_fails(void **state)
{
	uint8_t bytes[11];

	memset(bytes, 0x80, sizeof(bytes));
	struct wire w = wire_read(BYTES_OF(bytes));
	wire_varint(&w);
	assert_false(wire_ok(&w));
	/* The tenth byte's upper bits fall off silently. */
	memset(bytes, 0xff, 9);
	bytes[9] = 0x7f;
	w = wire_read(BYTES(bytes, 10));
	assert_int_equal(wire_varint(&w), UINT64_MAX);
	assert_true(wire_ok(&w));
}

static void failure_is_sticky(void **state)
{
	uint8_t bytes[4] = { 1, 2, 3, 4 };
	struct wire w = wire_read(BYTES_OF(bytes));

	assert_int_equal(wire_be16(&w), 0x0102);
	assert_int_equal(wire_be32(&w), 0);
	assert_int_equal(wire_byte(&w), 0);
	assert_false(wire_ok(&w));
}

static void fields(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT(100);
	struct wire_field f;

	buf_add_field_varint(&b, 1, 150);
	buf_add_field_bytes(&b, 2, bytes_str("abc"));
	struct wire w = wire_read(buf_bytes(&b));
	assert_true(wire_field(&w, &f));
	assert_int_equal(f.number, 1);
	assert_int_equal(f.value, 150);
	assert_true(wire_field(&w, &f));
	assert_int_equal(f.type, WIRE_BYTES);
	assert_true(bytes_equal(f.bytes, bytes_str("abc")));
	assert_false(wire_field(&w, &f));
	assert_true(wire_ok(&w));
	/* A length beyond the end, and field number 0. */
	const uint8_t bad[][2] = { { 0x12, 0x05 }, { 0x00, 0x00 } };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		w = wire_read(BYTES_OF(bad[i]));
		assert_false(wire_field(&w, &f));
		assert_false(wire_ok(&w));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(varints_round_trip),
		cmocka_unit_test(eleventh_continuation_fails),
		cmocka_unit_test(failure_is_sticky),
		cmocka_unit_test(fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
