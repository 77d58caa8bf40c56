/* Compression comes back; what unfolds too far, or is damaged, does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "proto/zstd.h"

static struct bytes pattern(struct arena *a, size_t n)
{
	uint8_t *p = arena_alloc(a, n ? n : 1);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i % 251 ^ i >> 12);
	return BYTES(p, n);
}

static void round_trips(void **state)
{
	const size_t sizes[] = { 0, 1, 1000, 65535, 65536, 65537, 3000000 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct call call AUTO_CALL;
		struct buf packed AUTO_BUF = BUF_INIT(4 << 20), plain AUTO_BUF = BUF_INIT(4 << 20);
		call_init(&call);
		struct bytes in = pattern(&call.scratch, sizes[i]);
		assert_int_equal(zstd_compress(&call, in, &packed), OK);
		assert_int_equal(zstd_decompress(&call, buf_bytes(&packed), sizes[i], &plain), OK);
		assert_true(bytes_equal(buf_bytes(&plain), in));
		if (sizes[i] == 0)
			continue;
		buf_clear(&plain);
		assert_int_equal(zstd_decompress(&call, buf_bytes(&packed), sizes[i] - 1, &plain),
				 ERR_OUT_OF_RANGE);
		assert_int_equal(plain.len, 0);
	}
}

static void bombs_do_not_unfold(void **state)
{
	struct call call AUTO_CALL;
	struct buf packed AUTO_BUF = BUF_INIT(4 << 20), plain AUTO_BUF = BUF_INIT(1 << 20);
	const size_t n = 50 << 20;

	call_init(&call);
	struct bytes in = BYTES(arena_alloc(&call.scratch, n), n);
	assert_int_equal(zstd_compress(&call, in, &packed), OK);
	assert_true(packed.len < 10000);
	assert_int_equal(zstd_decompress(&call, buf_bytes(&packed), ZSTD_DECODED_MAX, &plain),
			 ERR_OUT_OF_RANGE);
	assert_true(plain.cap <= 1 << 20);
	assert_int_equal(plain.len, 0);
}

static void damage_is_noticed(void **state)
{
	struct call call AUTO_CALL;
	struct buf packed AUTO_BUF = BUF_INIT(4 << 20), plain AUTO_BUF = BUF_INIT(4 << 20);

	call_init(&call);
	struct bytes in = pattern(&call.scratch, 100000);
	assert_int_equal(zstd_compress(&call, in, &packed), OK);
	for (size_t cut = 0; cut < packed.len; cut += cut < 30 ? 1 : 97) {
		buf_clear(&plain);
		buf_add_str(&plain, "kept");
		assert_int_equal(zstd_decompress(&call, BYTES(packed.data, cut), 1 << 20, &plain),
				 ERR_FORMAT);
		assert_int_equal(plain.len, 4);
	}
	assert_int_equal(zstd_decompress(&call, bytes_str("not zstd at all"), 100, &plain),
			 ERR_FORMAT);
}

/* Peers decode with a window of 1 MiB; the frame says how much it wants (RFC 8878 3.1.1.1). */
static void window_is_small(void **state)
{
	enum { SINGLE_SEGMENT = 1 << 5 };
	struct call call AUTO_CALL;
	struct buf packed AUTO_BUF = BUF_INIT(4 << 20);

	call_init(&call);
	assert_int_equal(zstd_compress(&call, pattern(&call.scratch, 3 << 20), &packed), OK);
	assert_true(packed.len > 6);
	assert_false(packed.data[4] & SINGLE_SEGMENT);
	assert_true(10 + (packed.data[5] >> 3) <= ZSTD_WINDOW_LOG_MAX);
	assert_true((packed.data[5] & 7) == 0);
}

static void no_room_to_compress(void **state)
{
	struct call call AUTO_CALL;
	struct buf packed AUTO_BUF = BUF_INIT(10);

	call_init(&call);
	assert_int_equal(zstd_compress(&call, pattern(&call.scratch, 100000), &packed),
			 ERR_NO_MEMORY);
	assert_int_equal(packed.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),	       cmocka_unit_test(bombs_do_not_unfold),
		cmocka_unit_test(damage_is_noticed),   cmocka_unit_test(window_is_small),
		cmocka_unit_test(no_room_to_compress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
