/* State files of transfers: what is written comes back, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "client/resume_file.h"
#include "os/file.h"
#include "os/process.h"
#include "os/random.h"

static const struct secret_key key = { { 1, 2, 3 } }, other_key = { { 1, 2, 4 } };

static struct resume_state upload_state(void)
{
	return (struct resume_state){
		.kind = RESUME_UPLOAD,
		.satellite = { { 7, 8 } },
		.stream_id = BYTES("stream", 6),
		.source = BYTES("size and times", 14),
		.segment_size = 64 << 20,
		.segments = 17,
	};
}

static struct resume_state download_state(void)
{
	static const uint8_t object[RESUME_OBJECT_BYTES] = { 9 };

	return (struct resume_state){
		.kind = RESUME_DOWNLOAD,
		.object = BYTES_OF(object),
		.size = 1000,
		.offset = 1000,
		.guard = BYTES("guard", 5),
	};
}

static void expect_same(const struct resume_state *a, const struct resume_state *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_true(node_id_equal(&a->satellite, &b->satellite));
	assert_true(bytes_equal(a->stream_id, b->stream_id));
	assert_true(bytes_equal(a->source, b->source));
	assert_true(bytes_equal(a->object, b->object));
	assert_true(bytes_equal(a->guard, b->guard));
	assert_int_equal(a->segment_size, b->segment_size);
	assert_int_equal(a->segments, b->segments);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->offset, b->offset);
}

static void fields(void **state)
{
	struct resume_state states[] = { upload_state(), download_state() }, back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		struct buf wire AUTO_BUF = BUF_INIT(RESUME_SLOT_BYTES);
		assert_int_equal(resume_state_encode(&states[i], &wire), OK);
		assert_int_equal(resume_state_parse(buf_bytes(&wire), &back), OK);
		expect_same(&states[i], &back);
		/* No part of it is a state. */
		for (size_t n = 0; n < wire.len; n++)
			if (resume_state_parse(BYTES(wire.data, n), &back) == OK)
				assert_true(n > 20); /* only optional fields were cut off */
	}
}

static void impossible_fields(void **state)
{
	struct resume_state s, back;

	(void)state;
	for (int i = 0; i < 6; i++) {
		struct buf wire AUTO_BUF = BUF_INIT(64 << 10);
		static const uint8_t large[RESUME_STREAM_ID_MAX + 1];
		s = i < 4 ? upload_state() : download_state();
		if (i == 0)
			s.stream_id = BYTES_NONE;
		else if (i == 1)
			s.segment_size = 0;
		else if (i == 2)
			s.segments = RESUME_SEGMENTS_MAX + 1;
		else if (i == 3)
			s.stream_id = BYTES_OF(large);
		else if (i == 4)
			s.offset = s.size + 1;
		else
			s.object.len--;
		assert_int_equal(resume_state_encode(&s, &wire), OK);
		assert_int_equal(resume_state_parse(buf_bytes(&wire), &back), ERR_FORMAT);
	}
}

static void slots(void **state)
{
	static uint8_t slot[RESUME_SLOT_BYTES], again[RESUME_SLOT_BYTES];
	struct call call AUTO_CALL = CALL_INIT;
	struct buf room AUTO_BUF = BUF_INIT(RESUME_SLOT_BYTES);
	struct resume_state s = upload_state(), back;

	(void)state;
	assert_int_equal(resume_open(&call, &key, slot, &room, &back), ERR_NOT_FOUND);
	assert_int_equal(resume_seal(&call, &key, &s, slot), OK);
	assert_int_equal(resume_open(&call, &key, slot, &room, &back), OK);
	expect_same(&s, &back);
	assert_int_equal(resume_open(&call, &other_key, slot, &room, &back), ERR_PERMISSION);
	/* The same state never gives the same bytes: each slot has a key of its own. */
	assert_int_equal(resume_seal(&call, &key, &s, again), OK);
	assert_memory_not_equal(slot + 48, again + 48, 32);
	/* Nothing of it can be read. */
	assert_null(memmem(slot, sizeof(slot), "stream", 6));
	assert_null(memmem(slot, sizeof(slot), "size and times", 14));
	/* Every bit that means something is guarded. */
	for (size_t i = 0; i < 140; i++) {
		memcpy(again, slot, sizeof(slot));
		again[i] ^= (uint8_t)(1 << (i % 8));
		assert_int_not_equal(resume_open(&call, &key, again, &room, &back), OK);
	}
}

/* ---- files ---- */

static char path[64];

static struct resume_file *open_file(const struct secret_key *k, enum err expected)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct resume_file *f = NULL;

	assert_int_equal(resume_file_open(&call, path, k, &f), expected);
	return f;
}

static void write_segments(struct resume_file *f, uint32_t segments)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct resume_state s = upload_state();

	s.segments = segments;
	assert_int_equal(resume_file_write(&call, f, &s), OK);
}

/* Reads with a fresh handle; segments of the state. */
static uint32_t read_segments(const struct secret_key *k, enum err expected)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct resume_file *f = open_file(k, OK);
	struct resume_state s = { 0 };

	assert_int_equal(resume_file_read(&call, f, &s), expected);
	uint32_t n = s.segments;
	resume_file_close(f);
	return n;
}

static void damage(uint64_t at, size_t len)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct os_file *f;
	uint8_t noise[512];

	os_random(noise, sizeof(noise));
	struct bytes part = BYTES(noise, len);
	assert_int_equal(os_file_open(&call, path, OS_FILE_WRITE, &f), OK);
	assert_int_equal(os_file_write_at(&call, f, &part, 1, at), OK);
	os_file_close(f);
}

static int new_path(void **state)
{
	uint64_t n;

	(void)state;
	os_random(&n, sizeof(n));
	snprintf(path, sizeof(path), "/tmp/acre-test-resume-%016llx", (unsigned long long)n);
	return 0;
}

static int remove_path(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;

	(void)state;
	enum err e = os_unlink(&call, path);
	return e && e != ERR_NOT_FOUND;
}

static void newest_state_counts(void **state)
{
	struct resume_file *f = open_file(&key, OK);
	struct call call AUTO_CALL = CALL_INIT;
	struct resume_state s;
	struct os_stat st;

	(void)state;
	/* Nothing is made before there is something to keep. */
	assert_int_equal(resume_file_read(&call, f, &s), ERR_NOT_FOUND);
	assert_int_equal(os_stat(&call, path, &st), ERR_NOT_FOUND);
	for (uint32_t i = 1; i <= 5; i++)
		write_segments(f, i);
	open_file(&key, ERR_BUSY);
	resume_file_close(f);
	assert_int_equal(read_segments(&key, OK), 5);
	/* A later process goes on with the sequence. */
	f = open_file(&key, OK);
	assert_int_equal(resume_file_read(&call, f, &s), OK);
	write_segments(f, 6);
	resume_file_close(f);
	assert_int_equal(read_segments(&key, OK), 6);
	f = open_file(&key, OK);
	resume_file_remove(f);
	resume_file_close(f);
	assert_int_equal(os_stat(&call, path, &st), ERR_NOT_FOUND);
}

static void torn_write_leaves_the_state_before(void **state)
{
	struct resume_file *f = open_file(&key, OK);

	(void)state;
	for (uint32_t i = 1; i <= 3; i++)
		write_segments(f, i);
	resume_file_close(f);
	/* The third is in the first slot again. */
	damage(60, 100);
	assert_int_equal(read_segments(&key, OK), 2);
	damage(RESUME_SLOT_BYTES + 60, 100);
	read_segments(&key, ERR_CRYPTO);
}

static void foreign_and_strange_files(void **state)
{
	struct resume_file *f = open_file(&key, OK);
	struct call call AUTO_CALL = CALL_INIT;

	(void)state;
	write_segments(f, 1);
	resume_file_close(f);
	read_segments(&other_key, ERR_PERMISSION);
	damage(0, 512);
	read_segments(&key, ERR_CRYPTO);
	assert_int_equal(os_unlink(&call, path), OK);
	assert_int_equal(os_file_write_all(&call, path, BYTES_NONE, true), OK);
	read_segments(&key, ERR_NOT_FOUND);
	assert_int_equal(os_file_write_all(&call, path, BYTES("ACRE", 4), true), OK);
	read_segments(&key, ERR_CRYPTO);
	/* Taken over in any case. */
	f = open_file(&key, OK);
	write_segments(f, 3);
	resume_file_close(f);
	assert_int_equal(read_segments(&key, OK), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(impossible_fields),
		cmocka_unit_test(slots),
		cmocka_unit_test_setup_teardown(newest_state_counts, new_path, remove_path),
		cmocka_unit_test_setup_teardown(torn_write_leaves_the_state_before, new_path,
						remove_path),
		cmocka_unit_test_setup_teardown(foreign_and_strange_files, new_path, remove_path),
	};

	return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
