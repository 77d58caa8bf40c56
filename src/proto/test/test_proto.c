/* Decoding is bounded in depth and memory, keeps what it does not know, and reads times our way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "proto/dialect.h"
#include "proto/metainfo.pb-c.h"
#include "proto/proto.h"

/* CohortRequirements inside of Withhold inside of CohortRequirements ... */
static void add_nested(struct buf *out, unsigned steps)
{
	struct buf inner AUTO_BUF = BUF_INIT(8 << 20);

	for (unsigned i = 0; i < steps; i++) {
		struct buf outer = BUF_INIT(8 << 20);
		buf_add_field_bytes(&outer, 3, buf_bytes(&inner));
		buf_free(&inner);
		inner = outer;
	}
	buf_add_bytes(out, buf_bytes(&inner));
}

static void nesting_is_bounded(void **state)
{
	const unsigned steps[] = { 1, PROTO_DEPTH_MAX - 1, PROTO_DEPTH_MAX, 1000, 20000 };

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct call call AUTO_CALL;
		struct buf wire AUTO_BUF = BUF_INIT(8 << 20);
		ProtobufCMessage *m;
		call_init(&call);
		add_nested(&wire, steps[i]);
		enum err e = proto_decode(&call, &call.scratch,
					  &metainfo__cohort_requirements__descriptor,
					  buf_bytes(&wire), &m);
		assert_int_equal(e, steps[i] < PROTO_DEPTH_MAX ? OK : ERR_FORMAT);
	}
}

static void memory_is_bounded(void **state)
{
	struct call call AUTO_CALL;
	struct buf wire AUTO_BUF = BUF_INIT(4 << 20);
	Metainfo__BatchResponse *m = NULL;

	call_init(&call);
	call.scratch.max = 1 << 20;
	/* Empty items: two bytes each on the wire, a struct each in memory. */
	for (unsigned i = 0; i < 100000; i++)
		buf_add_field_bytes(&wire, 1, BYTES_NONE);
	assert_int_equal(proto_decode(&call, &call.scratch, &metainfo__batch_response__descriptor,
				      buf_bytes(&wire), &m),
			 ERR_FORMAT);
	assert_null(m);
	assert_true(call.scratch.total <= 1 << 20);
}

static void unknown_fields_are_kept_at_the_end(void **state)
{
	struct call call AUTO_CALL;
	struct buf wire AUTO_BUF = BUF_INIT(1000), out AUTO_BUF = BUF_INIT(1000);
	Metainfo__RequestHeader *m;

	call_init(&call);
	buf_add_field_varint(&wire, 1000, 7);
	buf_add_field_bytes(&wire, 2, bytes_str("agent"));
	buf_add_field_bytes(&wire, 1001, bytes_str("x"));
	assert_int_equal(proto_decode(&call, &call.scratch, &metainfo__request_header__descriptor,
				      buf_bytes(&wire), &m),
			 OK);
	assert_int_equal(m->base.n_unknown_fields, 2);
	assert_int_equal(proto_encode(&call, &m->base, &out), OK);
	assert_int_equal(out.len, wire.len);
	struct wire w = wire_read(buf_bytes(&out));
	struct wire_field f;
	assert_true(wire_field(&w, &f));
	assert_int_equal(f.number, 2);
	assert_true(wire_field(&w, &f));
	assert_int_equal(f.number, 1000);
	assert_int_equal(f.value, 7);
	assert_true(wire_field(&w, &f));
	assert_int_equal(f.number, 1001);
	assert_true(bytes_equal(f.bytes, bytes_str("x")));
}

static void strings_with_zero_bytes_are_refused(void **state)
{
	struct call call AUTO_CALL;
	struct buf wire AUTO_BUF = BUF_INIT(1000);
	Node__NodeAddress *m;

	call_init(&call);
	buf_add_field_bytes(&wire, 2, BYTES("a\0b", 3));
	assert_int_equal(proto_decode(&call, &call.scratch, &node__node_address__descriptor,
				      buf_bytes(&wire), &m),
			 ERR_FORMAT);
}

static void encoding_respects_the_buffer(void **state)
{
	struct call call AUTO_CALL;
	struct buf out AUTO_BUF = BUF_INIT(10);
	Metainfo__RequestHeader m = METAINFO__REQUEST_HEADER__INIT;

	call_init(&call);
	m.api_key = proto_view(bytes_str("more than ten bytes"));
	assert_int_equal(proto_encode(&call, &m.base, &out), ERR_NO_MEMORY);
	assert_int_equal(out.len, 0);
}

static int64_t read_time(int64_t seconds, int32_t nanos)
{
	Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

	t.seconds = seconds;
	t.nanos = nanos;
	return proto_time(&t);
}

static void times(void **state)
{
	struct arena a = { 0 };

	assert_int_equal(proto_time(NULL), TIME_NONE);
	assert_int_equal(read_time(-62135596800, 0), TIME_NONE);
	assert_int_equal(read_time(0, 0), 1);
	assert_int_equal(read_time(0, 5), 5);
	assert_int_equal(read_time(-1, 999999999), -1);
	assert_int_equal(read_time(1, -5), NS_PER_SEC);
	assert_int_equal(read_time(INT64_MAX, 0), INT64_MAX);
	assert_int_equal(read_time(INT64_MIN, 0), INT64_MIN);
	assert_int_equal(read_time(9223372036, 999999999), INT64_MAX);
	assert_null(proto_time_new(&a, TIME_NONE));
	const int64_t values[] = { 1,
				   -1,
				   NS_PER_SEC,
				   -NS_PER_SEC,
				   -NS_PER_SEC - 1,
				   INT64_C(1790000000123456789),
				   INT64_MAX,
				   INT64_MIN + 1 };
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const Google__Protobuf__Timestamp *t = proto_time_new(&a, values[i]);
		assert_true(t->nanos >= 0 && t->nanos < NS_PER_SEC);
		assert_int_equal(proto_time(t), values[i]);
	}
	arena_free(&a);
}

static void fixed_fields(void **state)
{
	uint8_t id[4] = { 9, 9, 9, 9 };

	assert_true(proto_fixed(proto_view(BYTES("abcd", 4)), 4, id));
	assert_memory_equal(id, "abcd", 4);
	assert_true(proto_fixed(proto_view(BYTES_NONE), 4, id));
	assert_memory_equal(id, "\0\0\0\0", 4);
	assert_false(proto_fixed(proto_view(BYTES("abc", 3)), 4, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(unknown_fields_are_kept_at_the_end),
		cmocka_unit_test(strings_with_zero_bytes_are_refused),
		cmocka_unit_test(encoding_respects_the_buffer),
		cmocka_unit_test(times),
		cmocka_unit_test(fixed_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
