/* Files: whole writes, limits, errors that name the path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/file.h"
#include "os/process.h"
#include "os/writer.h"

static void whole_files(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf b = BUF_INIT(100);
	const char **names;
	size_t count;

	call_init(&call);
	const char *dir = arena_printf(&call.scratch, "/tmp/acre-test-file-%d", os_pid());
	assert_int_equal(os_dir_make(&call, os_path_join(&call, dir, "a/b"), true), OK);
	const char *path = os_path_join(&call, dir, "a/b/x");
	assert_int_equal(os_file_write_all(&call, path, bytes_str("one"), true), OK);
	assert_int_equal(os_file_write_all(&call, path, bytes_str("two"), false), OK);
	assert_int_equal(os_file_read_all(&call, path, &b), OK);
	assert_string_equal(buf_cstr(&b), "two");
	struct buf small = BUF_INIT(2);
	assert_int_equal(os_file_read_all(&call, path, &small), ERR_OUT_OF_RANGE);
	assert_int_equal(
		os_dir_list(&call, &call.scratch, os_path_dir(&call, path), &names, &count), OK);
	assert_int_equal(count, 1);
	assert_string_equal(names[0], "x");
	assert_int_equal(os_unlink(&call, path), OK);
	assert_int_equal(os_unlink(&call, path), ERR_NOT_FOUND);
	assert_non_null(strstr(call.error, path));
	assert_int_equal(os_dir_remove(&call, os_path_join(&call, dir, "a/b")), OK);
	assert_int_equal(os_dir_remove(&call, os_path_join(&call, dir, "a")), OK);
	assert_int_equal(os_dir_remove(&call, dir), OK);
}

static void locks_exclude(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_file *a, *b;

	call_init(&call);
	const char *path = arena_printf(&call.scratch, "/tmp/acre-test-lock-%d", os_pid());
	assert_int_equal(os_file_open(&call, path, OS_FILE_WRITE | OS_FILE_CREATE, &a), OK);
	assert_int_equal(os_file_open(&call, path, OS_FILE_WRITE, &b), OK);
	assert_int_equal(os_file_lock(&call, a), OK);
	assert_int_equal(os_file_lock(&call, b), ERR_BUSY);
	os_file_close(a);
	assert_int_equal(os_file_lock(&call, b), OK);
	os_file_close(b);
	assert_int_equal(os_unlink(&call, path), OK);
}

static void full_disk(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_file *f;

	call_init(&call);
	assert_int_equal(os_file_open(&call, "/dev/full", OS_FILE_WRITE, &f), OK);
	assert_int_equal(os_file_write(&call, f, bytes_str("x")), ERR_NO_SPACE);
	os_file_close(f);
}

/* What runs write, in pieces and from offsets of any alignment, is what one write would have
 * written; with whole blocks past the page cache mixed with the rest. */
static void runs_write_all(void **state)
{
	enum { SIZE = 300000, CAP = 8 * OS_FILE_BLOCK };
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE uint8_t *want = malloc(SIZE), *got = os_file_buffer(SIZE);
	AUTO_FREE uint8_t *buffer = os_file_buffer(CAP);
	const size_t offsets[] = { 0, 1, 4095, 4096, 4097, 9999 }, steps[] = { 1000, 4096, 40000 };
	struct os_file *f;

	for (size_t i = 0; i < SIZE; i++)
		want[i] = (uint8_t)(i * 2654435761U >> 13);
	const char *path = arena_printf(&call.scratch, "/tmp/acre-test-run-%d", os_pid());
	for (size_t t = 0; t < 2 * 6 * 3; t++) {
		unsigned bulk = t % 2 ? OS_FILE_BULK : 0;
		size_t start = offsets[t / 2 % 6], step = steps[t / 12];
		struct os_run run;
		size_t n;
		assert_int_equal(
			os_file_open(&call, path,
				     OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE | bulk, &f),
			OK);
		struct bytes front = BYTES(want, start);
		assert_int_equal(os_file_write_at(&call, f, &front, 1, 0), OK);
		os_run_begin(&run, f, start, buffer, CAP);
		for (size_t at = start; at < SIZE; at += step) {
			size_t len = at + step < SIZE ? step : SIZE - at;
			struct bytes parts[2] = { BYTES(want + at, len / 3),
						  BYTES(want + at + len / 3, len - len / 3) };
			assert_int_equal(os_run_add(&call, &run, parts, 2), OK);
			if (at % 7 == 0)
				assert_int_equal(os_run_flush(&call, &run), OK);
		}
		assert_int_equal(os_run_flush(&call, &run), OK);
		memset(got, 0, SIZE);
		assert_int_equal(
			os_file_read_at(&call, f, got, SIZE / OS_FILE_BLOCK * OS_FILE_BLOCK, 0, &n),
			OK);
		assert_int_equal(os_file_read_at(&call, f, got + n, SIZE - n, n, &n), OK);
		assert_memory_equal(got, want, SIZE);
		os_file_close(f);
	}
	assert_int_equal(os_unlink(&call, path), OK);
}

/* Past the page cache and through it, in any order: what was written last is what is read. */
static void cache_and_disk(void **state)
{
	enum { BLOCKS = 256, SIZE = BLOCKS * OS_FILE_BLOCK, STEPS = 3000 };
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE uint8_t *want = calloc(1, SIZE), *buffer = os_file_buffer(SIZE);
	uint64_t random = 7;
	struct os_file *f;
	size_t n;

	(void)state;
	const char *path = arena_printf(&call.scratch, "/tmp/acre-test-cache-%d", os_pid());
	assert_int_equal(
		os_file_open(&call, path,
			     OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE | OS_FILE_BULK, &f),
		OK);
	assert_int_equal(os_file_reserve(&call, f, SIZE), OK);
	for (unsigned i = 0; i < STEPS; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		bool whole = random >> 20 & 1;
		size_t at = (random >> 32) % BLOCKS * OS_FILE_BLOCK + (whole ? 0 : 100);
		size_t len = MIN((1 + (random >> 24) % 16) * OS_FILE_BLOCK, SIZE - at);
		struct bytes part = BYTES(buffer, len);
		switch (random >> 60) {
		case 0:
			assert_int_equal(os_file_sync(&call, f), OK);
			break;
		case 1:
		case 2:
		case 3:
		case 4:
		case 5:
		case 6:
			memset(buffer, (int)i, len);
			memset(want + at, (int)i, len);
			assert_int_equal(os_file_write_at(&call, f, &part, 1, at), OK);
			break;
		case 7:
		case 8:
		case 9:
			memset(buffer, (int)i, len);
			memset(want + at, (int)i, len);
			assert_int_equal(os_file_write_cached_at(&call, f, &part, 1, at), OK);
			break;
		default:
			assert_int_equal(os_file_read_at(&call, f, buffer, len, at, &n), OK);
			assert_int_equal(n, len);
			assert_memory_equal(buffer, want + at, len);
		}
	}
	os_file_close(f);
	assert_int_equal(os_unlink(&call, path), OK);
}

/* Steps of any size, flushes in between: the file is what was put in. */
static void writer_writes_all(void **state)
{
	enum { SIZE = 9 << 20 };
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE uint8_t *want = malloc(SIZE), *got = malloc(SIZE);
	const size_t offsets[] = { 0, 1, 4096, 70001 }, steps[] = { 777, 65536, 258048, 1 << 20 };
	struct os_file *f;
	size_t n;

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		want[i] = (uint8_t)(i * 2654435761U >> 13);
	const char *path = arena_printf(&call.scratch, "/tmp/acre-test-writer-%d", os_pid());
	for (size_t t = 0; t < 2 * 4 * 4; t++) {
		unsigned flags = OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE;
		size_t at = offsets[t / 2 % 4], step = steps[t / 8];
		struct bytes front = BYTES(want, at);
		struct os_writer *w;
		assert_int_equal(os_file_open(&call, path, flags | (t % 2 ? OS_FILE_BULK : 0), &f),
				 OK);
		assert_int_equal(os_file_write_at(&call, f, &front, 1, 0), OK);
		assert_int_equal(os_writer_new(&call, f, at, &w), OK);
		for (unsigned round = 0; at < SIZE; round++) {
			uint8_t *room = os_writer_room(w, &n);
			assert_true(n >= OS_WRITER_ROOM);
			n = n < step ? n : step;
			n = n < SIZE - at ? n : SIZE - at;
			memcpy(room, want + at, n);
			at += n;
			assert_int_equal(os_writer_added(&call, w, n), OK);
			if (round % 50 != 49)
				continue;
			uint64_t size;
			assert_int_equal(os_writer_flush(&call, w), OK);
			assert_int_equal(os_file_size(&call, f, &size), OK);
			assert_int_equal(size, at);
		}
		assert_int_equal(os_writer_flush(&call, w), OK);
		os_writer_free(w);
		assert_int_equal(os_file_read_at(&call, f, got, SIZE, 0, &n), OK);
		assert_int_equal(n, SIZE);
		assert_memory_equal(got, want, SIZE);
		os_file_close(f);
	}
	assert_int_equal(os_unlink(&call, path), OK);
}

/* What the thread beside met is told, with its reason, and stays. */
static void writer_tells_of_failures(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_writer *w;
	struct os_file *f;
	enum err e = OK;
	size_t n;

	(void)state;
	assert_int_equal(os_file_open(&call, "/dev/full", OS_FILE_WRITE, &f), OK);
	assert_int_equal(os_writer_new(&call, f, 0, &w), OK);
	for (int i = 0; i < 40 && !e; i++) {
		memset(os_writer_room(w, &n), i, OS_WRITER_ROOM);
		call_clear_error(&call);
		e = os_writer_added(&call, w, OS_WRITER_ROOM);
	}
	assert_int_equal(e, ERR_NO_SPACE);
	assert_non_null(strstr(call.error, "/dev/full"));
	call_clear_error(&call);
	assert_int_equal(os_writer_flush(&call, w), ERR_NO_SPACE);
	os_writer_free(w);
	os_file_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_files),
		cmocka_unit_test(locks_exclude),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(runs_write_all),
		cmocka_unit_test(cache_and_disk),
		cmocka_unit_test(writer_writes_all),
		cmocka_unit_test(writer_tells_of_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
