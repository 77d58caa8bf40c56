/* The client's parts that need no network: cutting, pipes, encryption on the fly, metadata,
 * handles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "client/handle.h"
#include "client/metadata.h"
#include "client/outcome.h"
#include "client/pipe.h"
#include "client/segment_source.h"
#include "client/source_range.h"
#include "client/splitter.h"
#include "client/upload_id.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"
#include "vectors.h"
#include "vectors_stream.h"

/* ---- splitter ---- */

struct cut {
	uint64_t size;
	bool is_inline;
};

/* Feeds a stream in pieces of odd sizes; what comes out as segments. */
static size_t cut(uint64_t segment_size, uint64_t size, uint64_t piece, struct cut *out)
{
	struct splitter s = { .segment_size = segment_size };
	uint64_t left = size, remote = 0;
	size_t n = 0;

	while (left) {
		uint64_t take = splitter_take(&s, MIN(left, piece));
		assert_true(take > 0);
		left -= take;
		remote = s.in_segment + take;
		if (splitter_add(&s, take) == SPLITTER_FULL)
			out[n++] = (struct cut){ remote, false };
	}
	if (s.remote)
		out[n++] = (struct cut){ s.in_segment, false };
	else if (splitter_inline_tail(&s))
		out[n++] = (struct cut){ s.in_segment, true };
	return n;
}

static void splitting(void **state)
{
	json_t *root = vectors_load("splitting"), *stream;
	uint64_t split = (uint64_t)vector_int(root, "split");
	size_t i;

	assert_int_equal(vector_int(root, "inline_limit"), CONTENT_INLINE_MAX);
	json_array_foreach(json_object_get(root, "streams"), i, stream)
	{
		static const uint64_t pieces[] = { 1, 7, 4096, 4097, 65536 };
		json_t *segments = json_object_get(stream, "segments");
		for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
			struct cut got[8];
			size_t n = cut(split, (uint64_t)vector_int(stream, "stream_size"),
				       pieces[p], got);
			assert_int_equal(n, json_array_size(segments));
			for (size_t k = 0; k < n; k++) {
				const json_t *want = json_array_get(segments, k);
				assert_int_equal(got[k].size, vector_int(want, "plain_size"));
				assert_int_equal(got[k].is_inline, vector_bool(want, "inline"));
				if (!got[k].is_inline)
					assert_int_equal(content_encrypted_size(
								 got[k].size, CONTENT_BLOCK_BYTES),
							 vector_int(want, "encrypted_size"));
			}
		}
	}
	assert_true(i > 10);
	json_decref(root);
}

/* ---- pipe and source ---- */

struct writer {
	struct pipe *pipe;
	struct bytes data;
	size_t piece;
};

static void write_all(void *arg)
{
	struct writer *w = arg;
	struct call call AUTO_CALL = CALL_INIT;

	while (w->data.len) {
		size_t n = MIN(w->piece, w->data.len);
		assert_int_equal(pipe_write(&call, w->pipe, BYTES(w->data.data, n)), OK);
		w->data = bytes_from(w->data, n);
	}
	pipe_finish(w->pipe);
}

/* A segment through pipe and source in odd pieces, against the one-piece encryption of the vectors.
 */
static void check_source(const json_t *v, const struct secret_key *key, struct arena *a,
			 size_t piece, size_t read_cap)
{
	struct call call AUTO_CALL = CALL_INIT;
	uint32_t block = (uint32_t)vector_int(v, "block_size");
	size_t size = (size_t)vector_int(v, "plain_size"),
	       total = (size_t)vector_int(v, "encrypted_size");
	struct bytes plain = json_object_get(v, "plain_stream_label")
				     ? vector_stream(a, vector_text(v, "plain_stream_label"), size)
				     : vector_hex(a, v, "plain_hex");
	struct content_nonce start = content_start_nonce((uint32_t)vector_int(v, "part"),
							 (uint32_t)vector_int(v, "index"));
	struct content_sealer *sealer;
	struct segment_source source;
	struct pipe *pipe;
	struct os_thread *thread;
	uint8_t *out = arena_alloc(a, total + 1), hash[HASH_BYTES];
	size_t have = 0, n = 1;

	assert_int_equal(pipe_new(&call, block - AEAD_TAG_BYTES, 3 * (block - 16), &pipe), OK);
	assert_int_equal(content_sealer_new(&call, CIPHER_AESGCM, key, &start, block, &sealer), OK);
	assert_int_equal(segment_source_init(&call, &source, pipe_plain(pipe), sealer, block), OK);
	struct writer writer = { pipe, plain, piece };
	assert_int_equal(os_thread_start(&call, "writer", write_all, &writer, &thread), OK);
	while (have < total) {
		size_t cap = MIN(read_cap, total - have);
		assert_int_equal(segment_source_read(&call, &source, out + have, cap, &n), OK);
		have += n;
		assert_int_equal(n, cap);
	}
	assert_int_equal(segment_source_read(&call, &source, out, 1, &n), OK);
	assert_int_equal(n, 0);
	assert_true(source.plain == size);
	hash_sha256(BYTES(out, total), hash);
	assert_bytes_equal(BYTES_OF(hash), vector_hex(a, v, "encrypted_sha256"));
	os_thread_join(thread);
	segment_source_fini(&source);
	content_sealer_free(sealer);
	pipe_free(pipe);
}

/* ---- a source that can be read at any place ---- */

struct file {
	uint64_t size, fails_at;
	size_t most; /* bytes of one read */
};

static int64_t read_file(void *arg, uint64_t offset, void *bytes, size_t length)
{
	const struct file *f = arg;
	size_t n = (size_t)MIN((uint64_t)MIN(length, f->most), f->size - MIN(offset, f->size));
	uint8_t *out = bytes;

	if (offset + n > f->fails_at)
		return -1;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)((offset + i) * 131 >> 3);
	return (int64_t)n;
}

/* Takes all of it block by block; the first failure, or OK after `want` bytes from `at`. */
static enum err take_all(struct call *call, struct plain_source from, size_t block, uint64_t at,
			 uint64_t want)
{
	bool last = false;
	uint64_t have = 0;

	while (!last) {
		struct bytes extent;
		TRY_PLAIN(from.peek(call, from.arg, &extent, &last));
		assert_true(extent.len >= block || last);
		size_t n = last ? extent.len : extent.len / block * block;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(extent.data[i], (uint8_t)((at + have + i) * 131 >> 3));
		from.drop(from.arg, n);
		have += n;
	}
	assert_true(have == want);
	return OK;
}

static void ranges_of_a_source(void **state)
{
	static const uint64_t sizes[] = { 1, 99, 100, 101, 300, 12345, 12400 };
	struct call call AUTO_CALL = CALL_INIT;
	struct file f = { .size = 20000, .fails_at = UINT64_MAX, .most = 77 };
	struct source_reader reader = { read_file, &f };
	struct source_range *r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(source_range_new(&call, &reader, 321, sizes[i], 100, 399, &r), OK);
		for (int round = 0; round < 2; round++) {
			struct plain_source from = source_range_plain(r);
			assert_int_equal(take_all(&call, from, 100, 321, sizes[i]), OK);
			source_range_rewind(r);
		}
		source_range_free(r);
	}
	/* One that ends too soon, and one that cannot be read. */
	assert_int_equal(source_range_new(&call, &reader, 321, 20000, 100, 399, &r), OK);
	assert_int_equal(take_all(&call, source_range_plain(r), 100, 321, 0), ERR_IO);
	assert_non_null(strstr(call.error, "ends at byte 20000"));
	call_clear_error(&call);
	f.fails_at = 1000;
	source_range_rewind(r);
	assert_int_equal(take_all(&call, source_range_plain(r), 100, 321, 0), ERR_IO);
	assert_non_null(strstr(call.error, "cannot be read at byte "));
	source_range_free(r);
}

static void encryption_on_the_fly(void **state)
{
	json_t *root = vectors_load("content_encryption"), *v;
	struct arena a = { 0 };
	struct secret_key key;
	size_t i, checked = 0;

	memcpy(key.b, vector_hex(&a, root, "content_key_hex").data, sizeof(key.b));
	json_array_foreach(json_object_get(root, "content"), i, v)
	{
		if (vector_int(v, "cipher") != CIPHER_AESGCM ||
		    vector_int(v, "plain_size") > 1 << 20)
			continue;
		check_source(v, &key, &a, 13, 1000003);
		check_source(v, &key, &a, 100000, 37);
		check_source(v, &key, &a, 7408, 7424);
		checked++;
	}
	assert_true(checked >= 5);
	arena_free(&a);
	json_decref(root);
}

static void pipe_ends(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct os_cancel cancel;
	struct pipe *pipe;
	struct bytes v;
	uint8_t data[100] = { 0 };
	bool last;

	assert_int_equal(pipe_new(&call, 10, 40, &pipe), OK);
	assert_int_equal(pipe_write(&call, pipe, BYTES(data, 40)), OK);
	/* Full: a writer waits until its deadline, or until the reader is gone. */
	os_call_limit(&call, 50 * NS_PER_MS);
	assert_int_equal(pipe_write(&call, pipe, BYTES(data, 1)), ERR_DEADLINE);
	call.deadline_ns = CALL_NO_DEADLINE;
	pipe_break(pipe);
	assert_int_equal(pipe_write(&call, pipe, BYTES(data, 1)), ERR_ABORTED);
	pipe_free(pipe);
	/* Empty: a reader waits until it is cancelled. */
	assert_int_equal(pipe_new(&call, 10, 40, &pipe), OK);
	assert_int_equal(os_cancel_init(&call, &cancel, NULL), OK);
	os_cancel_set(&cancel);
	call.cancel = &cancel;
	assert_int_equal(pipe_peek(&call, pipe, &v, &last), ERR_CANCELED);
	call.cancel = NULL;
	pipe_finish(pipe);
	assert_int_equal(pipe_peek(&call, pipe, &v, &last), OK);
	assert_true(last && v.len == 0);
	os_cancel_fini(&cancel);
	pipe_free(pipe);
}

/* ---- metadata ---- */

static struct secret_key vector_key(struct arena *a, const json_t *v, const char *name)
{
	struct secret_key key;
	struct bytes b = vector_hex(a, v, name);

	assert_int_equal(b.len, sizeof(key.b));
	memcpy(key.b, b.data, sizeof(key.b));
	return key;
}

static void metadata_of_the_reference(void **state)
{
	json_t *root = vectors_load("content_encryption");
	const json_t *v = vector_get(root, "metadata");
	struct call call AUTO_CALL = CALL_INIT;
	struct arena a = { 0 };
	struct secret_key key = vector_key(&a, v, "derived_content_key_hex");
	struct sealed_metadata sealed = {
		.wrapped_key = vector_hex(&a, v, "encrypted_metadata_encrypted_key_hex"),
		.metadata = vector_hex(&a, v, "encrypted_metadata_as_returned_by_satellite_hex"),
		.etag = vector_hex(&a, v, "object_encrypted_etag_hex"),
	};
	struct metadata m;
	enum cipher cipher;
	int32_t block;

	memcpy(sealed.nonce.b, vector_hex(&a, v, "encrypted_metadata_nonce_hex").data,
	       sizeof(sealed.nonce.b));
	assert_int_equal(metadata_open(&call, &a, &key, &sealed, &m, &cipher, &block), OK);
	assert_int_equal(cipher, CIPHER_AESGCM);
	assert_int_equal(m.count, 1);
	assert_bytes_equal(m.entries[0].key, bytes_str("content-type"));
	assert_bytes_equal(m.entries[0].value, bytes_str("image/jpeg"));
	assert_bytes_equal(m.etag, bytes_str(vector_text(v, "object_etag_plain")));
	assert_true(m.segments_size == 64 << 20 && m.segments == 1);
	/* The key inside, as old satellites give it (encryption.md 4). */
	sealed.wrapped_key = BYTES_NONE;
	assert_int_equal(metadata_open(&call, &a, &key, &sealed, &m, &cipher, &block), OK);
	assert_int_equal(m.count, 1);
	/* As committed it lacks the cipher: that is what a satellite must add. */
	sealed.metadata = vector_hex(&a, v, "encrypted_metadata_as_committed_hex");
	assert_int_not_equal(metadata_open(&call, &a, &key, &sealed, &m, &cipher, &block), OK);
	key.b[0] ^= 1;
	sealed.metadata = vector_hex(&a, v, "encrypted_metadata_as_returned_by_satellite_hex");
	assert_int_equal(metadata_open(&call, &a, &key, &sealed, &m, &cipher, &block), ERR_CRYPTO);
	arena_free(&a);
	json_decref(root);
}

/* StreamMeta as a satellite returns it: with the cipher (field 2) and block size (field 3). */
static struct bytes as_returned(struct arena *a, struct bytes committed)
{
	struct buf b AUTO_BUF = BUF_INIT(1 << 20);

	buf_add_bytes(&b, committed);
	buf_add(&b, (uint8_t[]){ 0x10, CIPHER_AESGCM, 0x18, 64 }, 4);
	return arena_bytes(a, buf_bytes(&b));
}

static void metadata_there_and_back(void **state)
{
	static const struct meta_entry list[] = {
		{ { (const uint8_t *)"b", 1 }, { (const uint8_t *)"1", 1 } },
		{ { (const uint8_t *)"a", 1 }, { (const uint8_t *)"\xc3\xa4", 2 } },
		{ { (const uint8_t *)"b", 1 }, { NULL, 0 } },
	};
	struct call call AUTO_CALL = CALL_INIT;
	struct arena a = { 0 };
	struct secret_key key;
	struct metadata m = { .segments_size = 1000, .last_segment_size = 5 }, back;
	struct sealed_metadata one, two;
	enum cipher cipher;
	int32_t block;

	os_random(key.b, sizeof(key.b));
	assert_int_equal(metadata_set(&call, &a, list, 3, &m), OK);
	/* Sorted, and the last of equal keys. */
	assert_int_equal(m.count, 2);
	assert_bytes_equal(m.entries[0].key, bytes_str("a"));
	assert_int_equal(m.entries[1].value.len, 0);
	assert_int_equal(metadata_seal(&call, &a, CIPHER_AESGCM, &key, &m, &one), OK);
	assert_int_equal(metadata_seal(&call, &a, CIPHER_AESGCM, &key, &m, &two), OK);
	assert_false(bytes_equal(one.metadata, two.metadata));
	assert_int_equal(one.etag.len, 0);
	one.metadata = as_returned(&a, one.metadata);
	assert_int_equal(metadata_open(&call, &a, &key, &one, &back, &cipher, &block), OK);
	assert_int_equal(back.count, 2);
	assert_bytes_equal(back.entries[0].value, list[1].value);
	assert_true(back.segments_size == 1000 && back.last_segment_size == 5 && block == 64);
	arena_free(&a);
}

static void metadata_that_is_refused(void **state)
{
	static const char *const bad[] = { "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
					   "\xc3", "\xe2\x82", "a\x80" };
	struct call call AUTO_CALL = CALL_INIT;
	struct arena a = { 0 };
	struct metadata m;
	struct meta_entry e = { bytes_str("k"), bytes_str("v") };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = (struct meta_entry){ bytes_str("k"), bytes_str(bad[i]) };
		assert_int_equal(metadata_set(&call, &a, &e, 1, &m), ERR_INVALID);
		e = (struct meta_entry){ bytes_str(bad[i]), bytes_str("v") };
		assert_int_equal(metadata_set(&call, &a, &e, 1, &m), ERR_INVALID);
	}
	e = (struct meta_entry){ BYTES_NONE, bytes_str("v") };
	assert_int_equal(metadata_set(&call, &a, &e, 1, &m), ERR_INVALID);
	e = (struct meta_entry){ BYTES("a\0b", 3), bytes_str("v") };
	assert_int_equal(metadata_set(&call, &a, &e, 1, &m), ERR_INVALID);
	e = (struct meta_entry){ bytes_str("\xf0\x9f\x90\x8c"), bytes_str("") };
	assert_int_equal(metadata_set(&call, &a, &e, 1, &m), OK);
	arena_free(&a);
}

/* ---- upload IDs, handles, outcomes ---- */

static void upload_ids(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct buf text AUTO_BUF = BUF_INIT(UPLOAD_ID_TEXT_MAX);
	struct bytes id;
	uint8_t stream[150];

	os_random(stream, sizeof(stream));
	assert_int_equal(upload_id_add(&text, BYTES_OF(stream)), OK);
	assert_int_equal(upload_id_parse(&call, &call.scratch, buf_bytes(&text), &id), OK);
	assert_bytes_equal(id, BYTES_OF(stream));
	text.data[3] ^= 1;
	assert_int_equal(upload_id_parse(&call, &call.scratch, buf_bytes(&text), &id), ERR_INVALID);
	assert_int_equal(upload_id_parse(&call, &call.scratch, BYTES_NONE, &id), ERR_INVALID);
	assert_int_equal(upload_id_parse(&call, &call.scratch, bytes_str("0OIl"), &id),
			 ERR_INVALID);
}

static int released;

static void release(struct handled *h)
{
	released++;
	free(h);
}

static void handles(void **state)
{
	enum { COUNT = 1000 };
	void *list[COUNT];
	struct {
		size_t number;
	} made_up = { 12345678 };

	released = 0;
	assert_true(handle_none());
	for (int i = 0; i < COUNT; i++) {
		struct handled *h = calloc(1, sizeof(*h));
		*h = (struct handled){ HANDLE_OBJECTS, 1, release };
		list[i] = handle_new(h);
		assert_non_null(list[i]);
	}
	assert_null(handle_get(&made_up, HANDLE_OBJECTS));
	assert_null(handle_get(list[5], HANDLE_PARTS));
	struct handled *held = handle_get(list[7], HANDLE_OBJECTS);
	/* In another order, so that the table's gaps are closed in all ways. */
	for (int i = 0; i < COUNT; i++)
		handle_put(handle_end(list[(i * 389) % COUNT], HANDLE_OBJECTS));
	assert_true(handle_none());
	assert_int_equal(released, COUNT - 1);
	handle_put(held);
	assert_int_equal(released, COUNT);
	assert_null(handle_get(&made_up, HANDLE_OBJECTS));
}

static void expect(enum err e, uint64_t status, const char *text, int32_t code)
{
	struct call call AUTO_CALL = CALL_INIT;

	(void)call_fail_status(&call, e, status, "%s", text);
	e = outcome_of_satellite(&call, e, bytes_str("b"), bytes_str("k"));
	UplinkError *error = outcome_error(&call, e);
	if (error->code != code)
		fail_msg("%s: code %d, want %d", text, error->code, code);
	assert_true(error->message && error->message[0]);
	uplink_free_error(error);
}

/* The satellite's texts, metainfo.md 3.3. */
static void codes(void **state)
{
	expect(ERR_NOT_FOUND, 5, "bucket not found: b", UPLINK_ERROR_BUCKET_NOT_FOUND);
	expect(ERR_NOT_FOUND, 10019, "x", UPLINK_ERROR_BUCKET_NOT_FOUND);
	expect(ERR_NOT_FOUND, 5, "object not found: metabase: ...", UPLINK_ERROR_OBJECT_NOT_FOUND);
	expect(ERR_NOT_FOUND, 5, "segment not found: x", UPLINK_ERROR_INTERNAL);
	expect(ERR_EXHAUSTED, 8, "Exceeded Usage Limit", UPLINK_ERROR_BANDWIDTH_LIMIT_EXCEEDED);
	expect(ERR_EXHAUSTED, 8, "Too Many Requests", UPLINK_ERROR_TOO_MANY_REQUESTS);
	expect(ERR_EXHAUSTED, 8, "Exceeded Storage Limit: x", UPLINK_ERROR_STORAGE_LIMIT_EXCEEDED);
	expect(ERR_EXHAUSTED, 8, "Exceeded Segments Limit", UPLINK_ERROR_SEGMENTS_LIMIT_EXCEEDED);
	expect(ERR_EXHAUSTED, 8, "number of allocated buckets (100) exceeded",
	       UPLINK_ERROR_INTERNAL);
	expect(ERR_PERMISSION, 7, "Unauthorized API credentials", UPLINK_ERROR_PERMISSION_DENIED);
	expect(ERR_CANCELED, 0, "canceled", UPLINK_ERROR_CANCELED);
	expect(ERR_DEADLINE, 0, "timed out", UPLINK_ERROR_INTERNAL);
}

static void wrong_arguments(void **state)
{
	UplinkProject made_up = { 77 };
	UplinkBucketResult b = uplink_stat_bucket(NULL, "x");

	assert_int_equal(b.error->code, UPLINK_ERROR_INTERNAL);
	uplink_free_bucket_result(b);
	b = uplink_stat_bucket(&made_up, "x");
	assert_int_equal(b.error->code, UPLINK_ERROR_INVALID_HANDLE);
	uplink_free_bucket_result(b);
	UplinkObjectIterator *it = uplink_list_objects(NULL, "b", NULL);
	assert_non_null(it);
	assert_false(uplink_object_iterator_next(it));
	assert_null(uplink_object_iterator_item(it));
	UplinkError *e = uplink_object_iterator_err(it);
	assert_non_null(e);
	uplink_free_error(e);
	uplink_free_object_iterator(it);
	UplinkAccessResult a = uplink_parse_access("not a grant");
	assert_int_equal(a.error->code, UPLINK_ERROR_INTERNAL);
	uplink_free_access_result(a);
	assert_null(uplink_close_project(NULL));
	uplink_free_project_result((UplinkProjectResult){ NULL, NULL });
	uplink_free_error(NULL);
	assert_true(uplink_internal_UniverseIsEmpty());
}

static void share_urls(void **state)
{
	EdgeShareURLOptions raw = { .raw = true };
	UplinkStringResult r = edge_join_share_url("https://link.example/", "key", "buc", "a b/c?",
						   NULL);

	assert_string_equal(r.string, "https://link.example/s/key/buc/a%20b/c%3F");
	uplink_free_string_result(r);
	r = edge_join_share_url("https://link.example", "key", "buc", "p/", &raw);
	assert_non_null(r.error);
	uplink_free_string_result(r);
	r = edge_join_share_url("https://link.example", "key", "", "p", NULL);
	assert_non_null(r.error);
	uplink_free_string_result(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splitting),
		cmocka_unit_test(ranges_of_a_source),
		cmocka_unit_test(encryption_on_the_fly),
		cmocka_unit_test(pipe_ends),
		cmocka_unit_test(metadata_of_the_reference),
		cmocka_unit_test(metadata_there_and_back),
		cmocka_unit_test(metadata_that_is_refused),
		cmocka_unit_test(upload_ids),
		cmocka_unit_test(handles),
		cmocka_unit_test(codes),
		cmocka_unit_test(wrong_arguments),
		cmocka_unit_test(share_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
