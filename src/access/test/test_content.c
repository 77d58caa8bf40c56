/* Segments, inline data, keys, ETags and metadata as real clients encrypt them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vectors.h"
#include "vectors_stream.h"

#include "access/content.h"
#include "base/cleanup.h"

static struct secret_key key_of(struct bytes v)
{
	struct secret_key key;

	assert_int_equal(v.len, sizeof(key));
	memcpy(key.b, v.data, sizeof(key));
	return key;
}

static struct content_nonce nonce_of(struct bytes v)
{
	struct content_nonce nonce;

	assert_int_equal(v.len, sizeof(nonce));
	memcpy(nonce.b, v.data, sizeof(nonce));
	return nonce;
}

static void assert_content(struct arena *a, struct bytes got, const json_t *v)
{
	uint8_t hash[HASH_BYTES];

	assert_int_equal(got.len, vector_int(v, "encrypted_size"));
	hash_sha256(got, hash);
	assert_bytes_equal(BYTES_OF(hash), vector_hex(a, v, "encrypted_sha256"));
}

/* Whole blocks at once or one by one, then the tail: the same bytes. */
static size_t seal_all(struct call *call, const json_t *v, const struct secret_key *key,
		       struct bytes plain, size_t blocks_per_call, uint8_t *out)
{
	uint32_t block = (uint32_t)vector_int(v, "block_size");
	enum cipher cipher = (enum cipher)vector_int(v, "cipher");
	struct content_nonce start = content_start_nonce((uint32_t)vector_int(v, "part"),
							 (uint32_t)vector_int(v, "index"));
	struct content_sealer *s = NULL;
	size_t step = content_block_plain(cipher, block), at = 0, len = 0, tail;

	assert_int_equal(content_sealer_new(call, cipher, key, &start, block, &s), OK);
	while (plain.len - at >= step) {
		size_t n = (plain.len - at) / step;
		if (n > blocks_per_call)
			n = blocks_per_call;
		assert_int_equal(
			content_seal_blocks(call, s, BYTES(plain.data + at, n * step), out + len),
			OK);
		at += n * step;
		len += n * block;
	}
	assert_int_equal(
		content_seal_tail(call, s, bytes_from(plain, at), plain.len, out + len, &tail), OK);
	content_sealer_free(s);
	return len + tail;
}

static void open_all(struct call *call, const json_t *v, const struct secret_key *key,
		     struct bytes sealed, struct bytes plain)
{
	uint32_t block = (uint32_t)vector_int(v, "block_size");
	enum cipher cipher = (enum cipher)vector_int(v, "cipher");
	struct content_nonce start = content_start_nonce((uint32_t)vector_int(v, "part"),
							 (uint32_t)vector_int(v, "index"));
	size_t step = content_block_plain(cipher, block), blocks = sealed.len / block;
	struct content_opener *o = NULL;
	uint8_t *out = arena_alloc(&call->scratch, blocks * step);

	assert_int_equal(content_opener_new(call, cipher, key, &start, block, &o), OK);
	assert_int_equal(content_open_blocks(call, o, 0, sealed, out), OK);
	assert_true(bytes_equal(BYTES(out, plain.len), plain));
	/* From the middle. */
	size_t first = blocks / 2;
	assert_int_equal(
		content_open_blocks(call, o, first, bytes_from(sealed, first * block), out), OK);
	struct bytes rest = bytes_from(plain, first * step);
	assert_true(bytes_equal(BYTES(out, rest.len), rest));
	/* A block in another's place. */
	if (blocks > 1)
		assert_int_equal(
			content_open_blocks(call, o, 0, BYTES(sealed.data + block, block), out),
			ERR_CRYPTO);
	assert_int_equal(content_open_blocks(call, o, 0, BYTES(sealed.data, block - 1), out),
			 ERR_INVALID);
	content_opener_free(o);
}

static void segments(void **state)
{
	json_t *root = vectors_load("content_encryption");
	const json_t *list = vector_get(root, "content");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		struct secret_key key = key_of(vector_hex(a, root, "content_key_hex"));
		size_t n = (size_t)vector_int(v, "plain_size");
		struct bytes plain = vector_stream(a, vector_text(v, "plain_stream_label"), n);
		uint64_t size = content_encrypted_size(n, (uint32_t)vector_int(v, "block_size"));
		uint8_t *out = arena_alloc(a, size);

		assert_int_equal(size, vector_int(v, "encrypted_size"));
		assert_int_equal(seal_all(&call, v, &key, plain, SIZE_MAX, out), size);
		assert_content(a, BYTES(out, size), v);
		if (json_object_get(v, "encrypted_hex"))
			assert_bytes_equal(BYTES(out, size), vector_hex(a, v, "encrypted_hex"));
		memset(out, 0, size);
		assert_int_equal(seal_all(&call, v, &key, plain, 1, out), size);
		assert_content(a, BYTES(out, size), v);
		open_all(&call, v, &key, BYTES(out, size), plain);
	}
	json_decref(root);
}

static void damage_names_the_block(void **state)
{
	struct call call AUTO_CALL;
	struct secret_key key = { { 7 } };
	struct content_nonce start = content_start_nonce(0, 0);
	struct content_sealer *s;
	struct content_opener *o;
	uint8_t plain[3 * 48] = { 1 }, sealed[3 * 64], out[3 * 48];

	call_init(&call);
	assert_int_equal(content_sealer_new(&call, CIPHER_AESGCM, &key, &start, 64, &s), OK);
	assert_int_equal(content_seal_blocks(&call, s, BYTES_OF(plain), sealed), OK);
	sealed[2 * 64 + 5] ^= 1;
	assert_int_equal(content_opener_new(&call, CIPHER_AESGCM, &key, &start, 64, &o), OK);
	assert_int_equal(content_open_blocks(&call, o, 0, BYTES_OF(sealed), out), ERR_CRYPTO);
	assert_non_null(strstr(call.error, "block 2 "));
	size_t len;
	assert_int_equal(content_seal_blocks(&call, s, BYTES(plain, 47), sealed), ERR_INVALID);
	assert_int_equal(content_seal_tail(&call, s, BYTES(plain, 48), 48, sealed, &len),
			 ERR_INVALID);
	assert_int_equal(content_seal_tail(&call, s, BYTES(plain, 3), 4, sealed, &len),
			 ERR_INVALID);
	content_sealer_free(s);
	content_opener_free(o);
	s = NULL;
	assert_int_equal(content_sealer_new(&call, CIPHER_NULL, &key, &start, 64, &s), ERR_INVALID);
	assert_int_equal(content_sealer_new(&call, CIPHER_AESGCM, &key, &start, 16, &s),
			 ERR_INVALID);
	assert_int_equal(content_opener_new(&call, CIPHER_AESGCM, &key, &start, UINT32_MAX, &o),
			 ERR_INVALID);
	assert_int_equal(content_opener_new(&call, (enum cipher)9, &key, &start, 64, &o),
			 ERR_INVALID);
	assert_null(s);
}

static void nonces(void **state)
{
	json_t *root = vectors_load("content_encryption");
	struct arena a = { 0 };
	const json_t *list = vector_get(root, "position_nonces");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct content_nonce n = content_start_nonce((uint32_t)vector_int(v, "part"),
							     (uint32_t)vector_int(v, "index"));
		assert_bytes_equal(BYTES_OF(n.b), vector_hex(&a, v, "nonce24_hex"));
	}
	list = vector_get(root, "block_nonces");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct content_nonce n = content_start_nonce(0, 0);
		if (strcmp(vector_text(v, "start"), "all 0xff") == 0) {
			memset(n.b, 0xff, sizeof(n.b));
			content_nonce_add(&n, (uint64_t)vector_int(v, "add"));
			assert_bytes_equal(BYTES_OF(n.b), vector_hex(&a, v, "nonce24_hex"));
			continue;
		}
		assert_string_equal(vector_text(v, "start"), "part 0 index 0");
		content_nonce_add(&n, (uint64_t)vector_int(v, "block"));
		assert_bytes_equal(BYTES(n.b, AEAD_NONCE_BYTES),
				   vector_hex(&a, v, "gcm_nonce12_hex"));
	}
	arena_free(&a);
	json_decref(root);
}

static void sizes(void **state)
{
	json_t *root = vectors_load("content_encryption");
	const json_t *list = vector_get(root, "encrypted_sizes");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		assert_int_equal(content_encrypted_size((uint64_t)vector_int(v, "plain_size"),
							(uint32_t)vector_int(v, "block_size")),
				 vector_int(v, "encrypted_size"));
	}
	json_decref(root);
	root = vectors_load("splitting");
	list = vector_get(root, "streams");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *parts = vector_get(json_array_get(list, i), "segments");
		for (size_t j = 0; j < json_array_size(parts); j++) {
			const json_t *v = json_array_get(parts, j);
			uint64_t n = (uint64_t)vector_int(v, "plain_size");
			uint64_t sealed = n ? n + AEAD_TAG_BYTES : 0;
			if (!vector_bool(v, "inline"))
				sealed = content_encrypted_size(n, CONTENT_BLOCK_BYTES);
			assert_int_equal(sealed, vector_int(v, "encrypted_size"));
		}
	}
	json_decref(root);
}

static void inline_segments(void **state)
{
	json_t *root = vectors_load("content_encryption");
	const json_t *list = vector_get(root, "inline");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		struct secret_key key = key_of(vector_hex(a, root, "content_key_hex"));
		struct content_nonce start = content_start_nonce(0, 0);
		struct bytes plain = vector_stream(a, vector_text(v, "plain_stream_label"),
						   (size_t)vector_int(v, "plain_size"));
		struct buf sealed AUTO_BUF = BUF_INIT(10000), back AUTO_BUF = BUF_INIT(10000);

		assert_int_equal(content_seal(&call, CIPHER_AESGCM, &key, &start, plain, &sealed),
				 OK);
		assert_content(a, buf_bytes(&sealed), v);
		assert_int_equal(
			content_open(&call, CIPHER_AESGCM, &key, &start, buf_bytes(&sealed), &back),
			OK);
		assert_true(bytes_equal(buf_bytes(&back), plain));
		if (!sealed.len)
			continue;
		sealed.data[sealed.len - 1] ^= 1;
		buf_clear(&back);
		assert_int_equal(
			content_open(&call, CIPHER_AESGCM, &key, &start, buf_bytes(&sealed), &back),
			ERR_CRYPTO);
		assert_int_equal(content_open(&call, CIPHER_AESGCM, &key, &start,
					      BYTES(sealed.data, 15), &back),
				 ERR_FORMAT);
		assert_int_equal(back.len, 0);
	}
	json_decref(root);
}

static void keys_and_etags(void **state)
{
	json_t *root = vectors_load("content_encryption");
	const json_t *v = vector_get(root, "segment");
	struct call call AUTO_CALL;
	call_init(&call);
	struct arena *a = &call.scratch;
	struct secret_key object = key_of(vector_hex(a, v, "derived_content_key_hex"));
	struct secret_key segment = key_of(vector_hex(a, v, "segment_key_hex")), back, etag_key;
	struct content_nonce nonce = nonce_of(vector_hex(a, v, "encrypted_key_nonce_hex"));
	struct content_nonce zero = { { 0 } };
	struct buf wrapped AUTO_BUF = BUF_INIT(100), etag AUTO_BUF = BUF_INIT(100);

	assert_int_equal(
		content_wrap_key(&call, CIPHER_AESGCM, &object, &nonce, &segment, &wrapped), OK);
	assert_int_equal(wrapped.len, CONTENT_WRAPPED_KEY_BYTES);
	assert_bytes_equal(buf_bytes(&wrapped), vector_hex(a, v, "encrypted_key_hex"));
	assert_int_equal(content_unwrap_key(&call, CIPHER_AESGCM, &object, &nonce,
					    buf_bytes(&wrapped), &back),
			 OK);
	assert_memory_equal(back.b, segment.b, sizeof(back.b));
	content_etag_key(&segment, &etag_key);
	assert_bytes_equal(BYTES_OF(etag_key.b), vector_hex(a, v, "etag_key_hex"));
	assert_int_equal(content_seal(&call, CIPHER_AESGCM, &etag_key, &zero,
				      bytes_str(vector_text(v, "etag_plain")), &etag),
			 OK);
	assert_bytes_equal(buf_bytes(&etag), vector_hex(a, v, "encrypted_etag_hex"));

	wrapped.data[0] ^= 1;
	assert_int_equal(content_unwrap_key(&call, CIPHER_AESGCM, &object, &nonce,
					    buf_bytes(&wrapped), &back),
			 ERR_CRYPTO);
	assert_int_equal(
		content_unwrap_key(&call, CIPHER_AESGCM, &object, &nonce, BYTES_NONE, &back),
		ERR_FORMAT);
	wrapped.data[0] ^= 1;
	buf_add_byte(&wrapped, 0);
	assert_int_equal(content_unwrap_key(&call, CIPHER_AESGCM, &object, &nonce,
					    buf_bytes(&wrapped), &back),
			 ERR_FORMAT);
	json_decref(root);
}

static void metadata(void **state)
{
	json_t *root = vectors_load("content_encryption");
	const json_t *v = vector_get(root, "metadata");
	struct call call AUTO_CALL;
	call_init(&call);
	struct arena *a = &call.scratch;
	struct secret_key object = key_of(vector_hex(a, v, "derived_content_key_hex"));
	struct content_nonce nonce = nonce_of(vector_hex(a, v, "encrypted_metadata_nonce_hex"));
	struct content_nonce zero = { { 0 } }, one = { { 1 } };
	struct buf info AUTO_BUF = BUF_INIT(1000), etag AUTO_BUF = BUF_INIT(1000);
	struct secret_key key;

	assert_int_equal(
		content_unwrap_key(&call, CIPHER_AESGCM, &object, &nonce,
				   vector_hex(a, v, "encrypted_metadata_encrypted_key_hex"), &key),
		OK);
	assert_bytes_equal(BYTES_OF(key.b), vector_hex(a, v, "metadata_key_hex"));
	assert_int_equal(content_open(&call, CIPHER_AESGCM, &key, &zero,
				      vector_hex(a, v, "encrypted_stream_info_hex"), &info),
			 OK);
	assert_bytes_equal(buf_bytes(&info), vector_hex(a, v, "stream_info_pb_hex"));
	buf_clear(&info);
	assert_int_equal(content_seal(&call, CIPHER_AESGCM, &key, &zero,
				      vector_hex(a, v, "stream_info_pb_hex"), &info),
			 OK);
	assert_bytes_equal(buf_bytes(&info), vector_hex(a, v, "encrypted_stream_info_hex"));
	assert_int_equal(content_seal(&call, CIPHER_AESGCM, &key, &one,
				      bytes_str(vector_text(v, "object_etag_plain")), &etag),
			 OK);
	assert_bytes_equal(buf_bytes(&etag), vector_hex(a, v, "object_encrypted_etag_hex"));
	json_decref(root);
}

static void old_unencrypted_content_is_read(void **state)
{
	struct call call AUTO_CALL;
	struct secret_key key = { { 0 } };
	struct content_nonce start = content_start_nonce(0, 0);
	struct content_opener *o;
	uint8_t in[128] = { 1, 2, 3 }, out[128];

	call_init(&call);
	assert_int_equal(content_opener_new(&call, CIPHER_NULL, &key, &start, 64, &o), OK);
	assert_int_equal(content_block_plain(CIPHER_NULL, 64), 64);
	assert_int_equal(content_open_blocks(&call, o, 0, BYTES_OF(in), out), OK);
	assert_memory_equal(in, out, sizeof(in));
	content_opener_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments),
		cmocka_unit_test(damage_names_the_block),
		cmocka_unit_test(nonces),
		cmocka_unit_test(sizes),
		cmocka_unit_test(inline_segments),
		cmocka_unit_test(keys_and_etags),
		cmocka_unit_test(metadata),
		cmocka_unit_test(old_unencrypted_content_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
