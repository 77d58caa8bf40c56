/* User metadata: zero bytes survive, the last of equal keys counts, the peers' bytes come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vectors.h"

#include "base/cleanup.h"
#include "base/wire.h"
#include "proto/meta.h"

static void the_peers_bytes_come_back(void **state)
{
	json_t *root = vectors_load("content_encryption");
	const json_t *v = vector_get(root, "metadata");
	struct call call AUTO_CALL;
	struct buf out AUTO_BUF = BUF_INIT(1000);
	struct meta m;

	call_init(&call);
	struct bytes wire = vector_hex(&call.scratch, v, "serializable_meta_pb_hex");
	assert_int_equal(meta_decode(&call, &call.scratch, wire, &m), OK);
	assert_int_equal(m.count, 1);
	assert_bytes_equal(m.entries[0].key, bytes_str("content-type"));
	assert_bytes_equal(m.entries[0].value, bytes_str("image/jpeg"));
	meta_encode(&out, &m);
	assert_bytes_equal(buf_bytes(&out), wire);
	json_decref(root);
}

static void any_byte_survives(void **state)
{
	struct call call AUTO_CALL;
	struct buf out AUTO_BUF = BUF_INIT(10000);
	uint8_t long_value[300] = { 0, 1, 2 };
	struct meta_entry entries[] = {
		{ BYTES("k\0ey", 4), BYTES("\0v", 2) },
		{ BYTES_NONE, BYTES_NONE },
		{ bytes_str("long"), BYTES_OF(long_value) },
	};
	struct meta m = { bytes_str("text/plain"), entries, 3 }, back;

	call_init(&call);
	meta_encode(&out, &m);
	assert_int_equal(meta_decode(&call, &call.scratch, buf_bytes(&out), &back), OK);
	assert_int_equal(back.count, 3);
	assert_bytes_equal(back.content_type, m.content_type);
	for (size_t i = 0; i < 3; i++) {
		assert_bytes_equal(back.entries[i].key, entries[i].key);
		assert_bytes_equal(back.entries[i].value, entries[i].value);
	}
	for (size_t cut = 0; cut < out.len; cut++) {
		enum err e = meta_decode(&call, &call.scratch, BYTES(out.data, cut), &back);
		assert_true(e == OK || e == ERR_FORMAT);
	}
}

static void last_of_equal_keys(void **state)
{
	struct call call AUTO_CALL;
	struct buf out AUTO_BUF = BUF_INIT(10000);
	struct meta_entry entries[] = {
		{ bytes_str("b"), bytes_str("1") }, { bytes_str("a"), bytes_str("2") },
		{ bytes_str("b"), bytes_str("3") }, { bytes_str("c"), bytes_str("4") },
		{ bytes_str("b"), bytes_str("5") },
	};
	struct meta m = { BYTES_NONE, entries, 5 }, back;

	call_init(&call);
	meta_encode(&out, &m);
	assert_int_equal(meta_decode(&call, &call.scratch, buf_bytes(&out), &back), OK);
	assert_int_equal(back.count, 3);
	assert_bytes_equal(back.entries[0].key, bytes_str("b"));
	assert_bytes_equal(back.entries[0].value, bytes_str("5"));
	assert_bytes_equal(back.entries[1].value, bytes_str("2"));
	assert_bytes_equal(back.entries[2].value, bytes_str("4"));
	assert_int_equal(meta_decode(&call, &call.scratch, BYTES("\x10\x01", 2), &back),
			 ERR_FORMAT);
	assert_int_equal(meta_decode(&call, &call.scratch, BYTES("\x12\x02\x08\x01", 4), &back),
			 ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_peers_bytes_come_back),
		cmocka_unit_test(any_byte_survives),
		cmocka_unit_test(last_of_equal_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
