/* Frames, packets, bodies: known answers of the reference, and joining under every cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "rpc/frame.h"
#include "vectors.h"

enum { MAX_PACKET = 4 << 20 };

static uint64_t number(const json_t *object, const char *key)
{
	const json_t *v = vector_get(object, key);
	uint64_t n = (uint64_t)json_integer_value(v);

	if (json_is_string(v))
		assert_int_equal(text_u64(bytes_str(json_string_value(v)), UINT64_MAX, &n), OK);
	return n;
}

static void frames(void **state)
{
	json_t *root = vectors_load("drpc"), *v;
	struct arena a = { 0 };
	size_t i;

	json_array_foreach(json_object_get(root, "frames"), i, v)
	{
		struct bytes want = vector_hex(&a, v, "frame_hex"),
			     data = vector_hex(&a, v, "data_hex");
		struct frame_header h = { number(v, "stream"),
					  number(v, "message"),
					  data.len,
					  (uint8_t)number(v, "kind"),
					  vector_bool(v, "control"),
					  vector_bool(v, "done") };
		struct frame_header back;
		uint8_t head[FRAME_HEADER_MAX];
		size_t n = frame_put_header(head, &h), m;
		assert_bytes_equal(BYTES(head, n), BYTES(want.data, want.len - data.len));
		assert_int_equal(frame_parse_header(want, &back, &m), OK);
		assert_int_equal(m, n);
		assert_true(back.stream == h.stream && back.message == h.message &&
			    back.length == h.length && back.kind == h.kind &&
			    back.control == h.control && back.done == h.done);
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(frame_parse_header(BYTES(want.data, cut), &back, &m),
					 ERR_WOULD_BLOCK);
	}
	assert_true(i >= 9);
	arena_free(&a);
	json_decref(root);
}

static void varints(void **state)
{
	json_t *root = vectors_load("drpc"), *v;
	struct arena a = { 0 };
	size_t i, n;
	struct frame_header h;

	json_array_foreach(json_object_get(root, "varints"), i, v)
	{
		struct bytes hex = vector_hex(&a, v, "hex");
		uint8_t frame[FRAME_HEADER_MAX] = { 5 };
		memcpy(frame + 1, hex.data, hex.len);
		frame[1 + hex.len] = 1;
		assert_int_equal(frame_parse_header(BYTES(frame, hex.len + 3), &h, &n), OK);
		assert_int_equal(h.stream, number(v, "value"));
	}
	struct bytes bad = vector_hex(&a, root, "bad_varint_hex");
	uint8_t frame[FRAME_HEADER_MAX] = { 5 };
	memcpy(frame + 1, bad.data, bad.len);
	assert_int_equal(frame_parse_header(BYTES(frame, 1 + bad.len), &h, &n), ERR_PROTOCOL);
	arena_free(&a);
	json_decref(root);
}

/* Feeds bytes in pieces of `step`; compares the packets; returns how it ended. */
static enum err read_all(struct bytes in, size_t step, const json_t *packets)
{
	struct packet_reader r;
	struct call call;
	size_t count = 0;
	enum err e = OK;

	call_init(&call);
	packet_reader_init(&r, MAX_PACKET);
	r.live = 1;
	for (size_t at = 0; !e; at += step) {
		struct packet p;
		while ((e = packet_reader_next(&call, &r, &p)) == OK) {
			const json_t *want = json_array_get(packets, count++);
			struct arena a = { 0 };
			assert_non_null(want);
			assert_int_equal(p.stream, number(want, "stream"));
			assert_int_equal(p.message, number(want, "message"));
			assert_int_equal(p.kind, number(want, "kind"));
			assert_int_equal(p.control, vector_bool(want, "control"));
			assert_bytes_equal(packet_reader_data(&r, &p),
					   vector_hex(&a, want, "data_hex"));
			arena_free(&a);
		}
		if (e != ERR_WOULD_BLOCK || at >= in.len)
			break;
		uint8_t *to;
		size_t room, n = MIN(step, in.len - at);
		assert_int_equal(packet_reader_space(&r, n, &to, &room), OK);
		memcpy(to, in.data + at, n);
		packet_reader_added(&r, n);
		e = OK;
	}
	assert_int_equal(count, json_array_size(packets));
	packet_reader_fini(&r);
	call_fini(&call);
	return e;
}

static void reader_rules(void **state)
{
	json_t *root = vectors_load("drpc"), *v;
	struct arena a = { 0 };
	size_t i;

	json_array_foreach(json_object_get(root, "reader"), i, v)
	{
		struct bytes in = vector_hex(&a, v, "bytes_hex");
		bool ends = strcmp(vector_text(v, "end"), "eof") == 0;
		for (size_t step = 1; step <= in.len; step++)
			assert_int_equal(read_all(in, step, vector_get(v, "packets")),
					 ends ? ERR_WOULD_BLOCK : ERR_PROTOCOL);
	}
	assert_true(i >= 10);
	arena_free(&a);
	json_decref(root);
}

static void error_bodies(void **state)
{
	json_t *root = vectors_load("drpc"), *v;
	struct arena a = { 0 };
	uint64_t code;
	size_t i;

	json_array_foreach(json_object_get(root, "error_bodies"), i, v)
	{
		struct bytes text = error_body_parse(vector_hex(&a, v, "hex"), &code);
		assert_int_equal(code, number(v, "code"));
		assert_bytes_equal(text, bytes_str(vector_text(v, "message")));
	}
	/* Too short for a code: all of it is the text (transport.md 7.1). */
	struct bytes text = error_body_parse(bytes_str("short"), &code);
	assert_int_equal(code, 0);
	assert_bytes_equal(text, bytes_str("short"));
	arena_free(&a);
	json_decref(root);
}

static void compare_pair(void *arg, struct bytes key, struct bytes value)
{
	json_t *pairs = arg;
	const json_t *want = json_object_getn(pairs, (const char *)key.data, key.len);

	assert_non_null(want);
	assert_bytes_equal(value, bytes_str(json_string_value(want)));
}

static void metadata(void **state)
{
	json_t *root = vectors_load("drpc"), *v;
	struct arena a = { 0 };
	size_t i;

	json_array_foreach(json_object_get(root, "metadata"), i, v)
	{
		AUTO_BUF struct buf out = BUF_INIT(4096);
		json_t *pairs = json_object_get(v, "pairs"), *value;
		struct bytes hex = vector_hex(&a, v, "hex");
		const char *key;
		assert_int_equal(metadata_parse(hex, compare_pair, pairs), OK);
		json_object_foreach(pairs, key, value)
			metadata_add(&out, bytes_str(key), bytes_str(json_string_value(value)));
		assert_bytes_equal(buf_bytes(&out), hex);
		/* Nothing cut short is accepted, nor anything behind an entry. */
		for (size_t cut = 1; cut < hex.len; cut++)
			assert_int_equal(metadata_parse(BYTES(hex.data, cut), NULL, NULL),
					 ERR_PROTOCOL);
	}
	static const char *const bad[] = { "120a",	     "0a021200",   "0a0612001200",
					   "0a050a00120000", "0a040a0112", "0a0a0a036b6579" };
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(metadata_parse(vector_unhex(&a, bad[i]), NULL, NULL),
				 ERR_PROTOCOL);
	assert_int_equal(metadata_parse(BYTES_NONE, NULL, NULL), OK);
	arena_free(&a);
	json_decref(root);
}

static void put(struct packet_reader *r, const void *data, size_t len)
{
	uint8_t *to;
	size_t room;

	assert_int_equal(packet_reader_space(r, len, &to, &room), OK);
	memcpy(to, data, len);
	packet_reader_added(r, len);
}

static void put_frame(struct packet_reader *r, uint64_t stream, uint64_t message, uint8_t kind,
		      bool done, const void *data, size_t len)
{
	struct frame_header h = { stream, message, len, kind, false, done };
	uint8_t head[FRAME_HEADER_MAX];

	put(r, head, frame_put_header(head, &h));
	if (len)
		put(r, data, len);
}

static void limits(void **state)
{
	static uint8_t big[MAX_PACKET];
	struct packet_reader r;
	struct packet p;
	struct call call;

	call_init(&call);
	/* Exactly the maximum, in two frames, passes; one byte more does not. */
	packet_reader_init(&r, MAX_PACKET);
	r.live = 1;
	put_frame(&r, 1, 1, PACKET_MESSAGE, false, big, MAX_PACKET / 2);
	put_frame(&r, 1, 1, PACKET_MESSAGE, true, big, MAX_PACKET / 2);
	assert_int_equal(packet_reader_next(&call, &r, &p), OK);
	assert_int_equal(p.len, MAX_PACKET);
	put_frame(&r, 1, 2, PACKET_MESSAGE, false, big, MAX_PACKET);
	put_frame(&r, 1, 2, PACKET_MESSAGE, true, big, 1);
	assert_int_equal(packet_reader_next(&call, &r, &p), ERR_PROTOCOL);
	packet_reader_fini(&r);

	/* A stream that is not live gets little; a dropped one nothing, however much comes. */
	packet_reader_init(&r, MAX_PACKET);
	put_frame(&r, 1, 1, PACKET_INVOKE, true, big, PACKET_INVOKE_MAX);
	assert_int_equal(packet_reader_next(&call, &r, &p), OK);
	packet_reader_drop(&r, 1);
	for (int i = 0; i < 64; i++) {
		put_frame(&r, 1, 2, PACKET_MESSAGE, false, big, 50000);
		assert_int_equal(packet_reader_next(&call, &r, &p), ERR_WOULD_BLOCK);
	}
	assert_true(r.cap < 256 << 10);
	put_frame(&r, 2, 1, PACKET_INVOKE, true, big, PACKET_INVOKE_MAX + 1);
	assert_int_equal(packet_reader_next(&call, &r, &p), ERR_PROTOCOL);
	/* For good. */
	assert_int_equal(packet_reader_next(&call, &r, &p), ERR_PROTOCOL);
	packet_reader_fini(&r);
	call_fini(&call);
}

/* A view given out stays where it is, whatever comes behind it. */
static void pinned_view_stays(void **state)
{
	static uint8_t big[100000];
	struct packet_reader r;
	struct packet p, q;
	struct call call;

	call_init(&call);
	packet_reader_init(&r, MAX_PACKET);
	r.live = 1;
	put_frame(&r, 1, 1, PACKET_MESSAGE, true, "first", 5);
	assert_int_equal(packet_reader_next(&call, &r, &p), OK);
	struct bytes view = packet_reader_data(&r, &p);
	r.pinned = true;
	memset(big, 7, sizeof(big));
	put_frame(&r, 1, 2, PACKET_MESSAGE, false, big, sizeof(big));
	assert_int_equal(packet_reader_next(&call, &r, &q), ERR_WOULD_BLOCK);
	put_frame(&r, 1, 2, PACKET_MESSAGE, true, big, sizeof(big));
	assert_int_equal(packet_reader_next(&call, &r, &q), OK);
	r.keep = q.at;
	put_frame(&r, 1, 3, PACKET_MESSAGE, true, big, sizeof(big));
	assert_bytes_equal(view, bytes_str("first"));
	struct bytes second = packet_reader_data(&r, &q);
	assert_int_equal(second.len, 2 * sizeof(big));
	for (size_t i = 0; i < second.len; i++)
		assert_int_equal(second.data[i], 7);
	packet_reader_unpin(&r);
	packet_reader_fini(&r);
	call_fini(&call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames),
		cmocka_unit_test(varints),
		cmocka_unit_test(reader_rules),
		cmocka_unit_test(error_bodies),
		cmocka_unit_test(metadata),
		cmocka_unit_test(limits),
		cmocka_unit_test(pinned_view_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
