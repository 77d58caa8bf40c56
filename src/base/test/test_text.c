/* Text forms: both directions and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"

typedef void encode_fn(struct buf *b, struct bytes v);
typedef enum err decode_fn(struct buf *b, struct bytes text);

static void encode58(struct buf *b, struct bytes v)
{
	assert_int_equal(text_base58(b, v), OK);
}

static void check(encode_fn *encode, decode_fn *decode, struct bytes v, const char *text)
{
	AUTO_BUF struct buf b = BUF_INIT(1000);

	encode(&b, v);
	assert_string_equal(buf_cstr(&b), text);
	buf_clear(&b);
	assert_int_equal(decode(&b, bytes_str(text)), OK);
	assert_true(bytes_equal(buf_bytes(&b), v));
}

static void refuse(decode_fn *decode, const char *text)
{
	AUTO_BUF struct buf b = BUF_INIT(1000);

	assert_int_equal(decode(&b, bytes_str(text)), ERR_FORMAT);
}

static void encodings(void **state)
{
	check(text_hex, text_unhex, BYTES("\x00\xff\x10", 3), "00ff10");
	check(text_base32, text_unbase32, bytes_str("foobar"), "MZXW6YTBOI");
	check(text_base32, text_unbase32, bytes_str("f"), "MY");
	check(text_base64, text_unbase64, bytes_str("fooba"), "Zm9vYmE=");
	check(text_base64url, text_unbase64, BYTES("\xff\xfe", 2), "__4=");
	check(encode58, text_unbase58, bytes_str("Hello World!"), "2NEpo7TZRRrLZSi2U");
	check(encode58, text_unbase58, BYTES("\0\0\x28\x7f\xb4\xcd", 6), "11233QC4");
	check(encode58, text_unbase58, BYTES_NONE, "");
	refuse(text_unhex, "0");
	refuse(text_unhex, "0g");
	refuse(text_unbase32, "MZXW6YTBO1");
	refuse(text_unbase32, "MZ");
	refuse(text_unbase64, "Zm9vYmE*");
	refuse(text_unbase58, "0OIl");
}

static void numbers(void **state)
{
	uint64_t v = 0;
	int64_t ns = 0;

	assert_int_equal(text_u64(bytes_str("18446744073709551615"), UINT64_MAX, &v), OK);
	assert_int_equal(v, UINT64_MAX);
	assert_int_equal(text_u64(bytes_str("18446744073709551616"), UINT64_MAX, &v),
			 ERR_OUT_OF_RANGE);
	assert_int_equal(text_u64(bytes_str(" 1"), 10, &v), ERR_FORMAT);
	assert_int_equal(text_u64(bytes_str("11"), 10, &v), ERR_OUT_OF_RANGE);
	double d = 7;
	assert_int_equal(text_real(bytes_str("0.999"), &d), OK);
	assert_true(d == 0.999);
	assert_int_equal(text_real(bytes_str("1000"), &d), OK);
	assert_true(d == 1000);
	static const char *const unreal[] = { "",      ".",   "1.",  ".5",  "-1",
					      "1.2.3", "0x1", "1e3", "nan", " 1" };
	for (size_t i = 0; i < sizeof(unreal) / sizeof(unreal[0]); i++)
		assert_int_equal(text_real(bytes_str(unreal[i]), &d), ERR_FORMAT);
	assert_int_equal(text_real(bytes_str("0.1234567890123456"), &d), ERR_OUT_OF_RANGE);
	assert_true(d == 1000);
	assert_int_equal(text_size(bytes_str("64MiB"), &v), OK);
	assert_int_equal(v, 64 * MIB);
	assert_int_equal(text_size(bytes_str("1.5 kb"), &v), OK);
	assert_int_equal(v, 1500);
	assert_int_equal(text_size(bytes_str("1.5q"), &v), ERR_FORMAT);
	assert_int_equal(text_duration(bytes_str("1h30m"), &ns), OK);
	assert_int_equal(ns, 5400 * NS_PER_SEC);
	assert_int_equal(text_duration(bytes_str("250ms"), &ns), OK);
	assert_int_equal(ns, 250 * NS_PER_MS);
	assert_int_equal(text_duration(bytes_str("5"), &ns), ERR_FORMAT);
	assert_int_equal(text_duration(bytes_str(""), &ns), ERR_FORMAT);
}

static void times(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT(100);
	int64_t ns = 0;

	assert_int_equal(text_time(bytes_str("2026-11-26T04:26:41.5+01:00"), &ns), OK);
	text_add_time(&b, ns, true);
	assert_string_equal(buf_cstr(&b), "2026-11-26T03:26:41.500Z");
	assert_int_equal(text_time(bytes_str("1970-01-01"), &ns), OK);
	assert_int_equal(ns, 0);
	assert_int_equal(text_time(bytes_str("2024-02-29T00:00:00Z"), &ns), OK);
	assert_int_equal(ns / NS_PER_SEC, 1709164800);
	assert_int_equal(text_time(bytes_str("2023-02-29"), &ns), ERR_FORMAT);
	assert_int_equal(text_time(bytes_str("2026-11-26T25:00:00Z"), &ns), ERR_FORMAT);
	assert_int_equal(text_time(bytes_str("2026-11-26T01:00:00"), &ns), ERR_FORMAT);
	assert_int_equal(text_time(bytes_str("9999-01-01"), &ns), ERR_OUT_OF_RANGE);
}

static void json(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT(100);

	text_add_json(&b, BYTES("a\"\n\xc3\xa9\xff", 6));
	assert_string_equal(buf_cstr(&b), "\"a\\\"\\u000a\xc3\xa9\\ufffd\"");
}

static void addresses(void **state)
{
	static const char *const good[] = { "a:1", "127.0.0.1:65535", "[::1]:7777" };
	static const char *const bad[] = { "",	"a",   ":7777", "a:",	"a:0",
					   ":", "a:x", "a:-1",	"a: 1", "a:65536" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(text_is_address(bytes_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(text_is_address(bytes_str(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodings), cmocka_unit_test(numbers),	  cmocka_unit_test(times),
		cmocka_unit_test(json),	     cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
