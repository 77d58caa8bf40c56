/* Paths as real clients encrypt them, and listings below prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vectors.h"

#include "access/path_escape.h"
#include "access/store.h"
#include "base/cleanup.h"
#include "base/num.h"

static enum cipher cipher_of(const char *name)
{
	if (strcmp(name, "null") == 0)
		return CIPHER_NULL;
	if (strcmp(name, "aesgcm") == 0)
		return CIPHER_AESGCM;
	if (strcmp(name, "secretbox") == 0)
		return CIPHER_SECRETBOX;
	fail_msg("cipher %s", name);
	return CIPHER_UNSPECIFIED;
}

static struct store default_store(struct arena *a, const json_t *root, enum cipher cipher)
{
	struct store s = { .has_default = true, .default_cipher = cipher };

	memcpy(s.default_key.b, vector_hex(a, root, "root_key_hex").data, SECRET_KEY_BYTES);
	return s;
}

static void assert_key(struct arena *a, const struct secret_key *key, const json_t *v,
		       const char *name)
{
	assert_bytes_equal(BYTES_OF(key->b), vector_hex(a, v, name));
}

static void paths(void **state)
{
	json_t *root = vectors_load("path_encryption");
	const json_t *list = vector_get(root, "paths");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		struct store s = default_store(a, root, cipher_of(vector_text(v, "cipher")));
		struct bytes bucket = bytes_str(vector_text(v, "bucket"));
		struct bytes plain = vector_hex(a, v, "path_hex");
		struct buf encrypted AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
		struct buf back AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
		struct secret_key key;
		enum cipher at;

		const json_t *components = vector_get(v, "components_hex");
		struct path_iter it = path_iter(plain);
		struct bytes component;
		size_t n = 0;
		while (path_iter_next(&it, &component))
			assert_bytes_equal(component,
					   vector_unhex(a, json_string_value(json_array_get(
								   components, n++))));
		assert_int_equal(n, json_array_size(components));

		assert_int_equal(path_encrypt(&call, &s, bucket, plain, &encrypted), OK);
		assert_bytes_equal(buf_bytes(&encrypted), vector_hex(a, v, "encrypted_hex"));
		assert_int_equal(path_decrypt(&call, &s, bucket, buf_bytes(&encrypted), &back), OK);
		assert_bytes_equal(buf_bytes(&back), vector_hex(a, v, "decrypted_hex"));
		assert_int_equal(path_key(&call, &s, bucket, plain, &key), OK);
		assert_key(a, &key, v, "path_key_hex");
		assert_int_equal(content_key(&call, &s, bucket, plain, &key), OK);
		assert_key(a, &key, v, "content_key_hex");
		assert_int_equal(path_cipher_at(&call, &s, bucket, plain, &at), OK);
		assert_int_equal(at, s.default_cipher);
		/* The form with a plain slash at the end decrypts to the same. */
		buf_clear(&back);
		assert_int_equal(path_decrypt(&call, &s, bucket,
					      vector_hex(a, v, "encrypted_as_prefix_hex"), &back),
				 OK);
		assert_bytes_equal(buf_bytes(&back), plain);
	}
	json_decref(root);
}

static void damaged_paths_do_not_decrypt(void **state)
{
	json_t *root = vectors_load("path_encryption");
	const json_t *list = vector_get(root, "paths");
	unsigned tried = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		enum cipher cipher = cipher_of(vector_text(v, "cipher"));
		if (cipher == CIPHER_NULL || strcmp(vector_text(v, "path_hex"), "61") != 0)
			continue;
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		struct store s = default_store(a, root, cipher);
		struct bytes bucket = bytes_str(vector_text(v, "bucket"));
		struct buf back AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
		struct bytes good = vector_hex(a, v, "encrypted_hex");

		for (size_t at = 0; at < good.len; at++) {
			uint8_t *bad = arena_alloc(a, good.len);
			memcpy(bad, good.data, good.len);
			bad[at] ^= 0x40;
			buf_clear(&back);
			enum err e = path_decrypt(&call, &s, bucket, BYTES(bad, good.len), &back);
			assert_true(e == ERR_CRYPTO || e == ERR_FORMAT);
			assert_int_equal(back.len, 0);
			tried++;
		}
		/* Another bucket is another key. */
		assert_int_equal(path_decrypt(&call, &s, bytes_str("other"), good, &back),
				 ERR_CRYPTO);
	}
	assert_true(tried > 50);
	json_decref(root);
}

static void escapes(void **state)
{
	json_t *root = vectors_load("path_encryption");
	struct arena a = { 0 };
	const json_t *list = vector_get(root, "escape");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct buf out AUTO_BUF = BUF_INIT(100), back AUTO_BUF = BUF_INIT(100);
		path_escape(&out, vector_hex(&a, v, "byte"));
		assert_bytes_equal(buf_bytes(&out), vector_hex(&a, v, "encoded"));
		assert_int_equal(path_unescape(&back, buf_bytes(&out)), OK);
		assert_bytes_equal(buf_bytes(&back), vector_hex(&a, v, "byte"));
	}
	const char *const refused[] = { "",	  "02",	  "0161",  "03ff",   "0200",
					"022f",	  "02ff", "022e",  "022e03", "0261fe",
					"02fe00", "0201", "020103" };
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct buf out AUTO_BUF = BUF_INIT(100);
		assert_int_equal(path_unescape(&out, vector_unhex(&a, refused[i])), ERR_FORMAT);
	}
	struct buf empty AUTO_BUF = BUF_INIT(100);
	assert_int_equal(path_unescape(&empty, vector_unhex(&a, "01")), OK);
	assert_int_equal(empty.len, 0);
	path_escape(&empty, BYTES_NONE);
	assert_bytes_equal(buf_bytes(&empty), BYTES("\1", 1));
	/* All two-byte strings there and back. */
	for (unsigned v = 0; v < 65536; v++) {
		uint8_t raw[2] = { (uint8_t)(v >> 8), (uint8_t)v };
		struct buf out AUTO_BUF = BUF_INIT(100), back AUTO_BUF = BUF_INIT(100);
		path_escape(&out, BYTES_OF(raw));
		assert_false(memchr(out.data, 0, out.len) || memchr(out.data, '/', out.len) ||
			     memchr(out.data, 0xff, out.len));
		assert_int_equal(path_unescape(&back, buf_bytes(&out)), OK);
		assert_true(bytes_equal(buf_bytes(&back), BYTES_OF(raw)));
	}
	arena_free(&a);
	json_decref(root);
}

static void listings(void **state)
{
	json_t *root = vectors_load("path_encryption");
	const json_t *list = vector_get(root, "prefix_info");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		struct store s = default_store(a, root, cipher_of(vector_text(v, "cipher")));
		struct bytes prefix = bytes_str(vector_text(v, "prefix"));
		struct bytes cursor = bytes_str(vector_text(v, "cursor"));
		struct buf encrypted AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
		struct buf out AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
		struct buf back AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
		struct path_listing l;

		enum err e = path_listing_init(&call, &s, bytes_str("photos"), prefix, &l,
					       &encrypted);
		if (s.default_cipher != CIPHER_NULL && prefix.len &&
		    prefix.data[prefix.len - 1] != '/') {
			assert_int_equal(e, ERR_INVALID);
			continue;
		}
		assert_int_equal(e, OK);
		assert_int_equal(l.arbitrary_prefix, s.default_cipher == CIPHER_NULL);
		if (l.arbitrary_prefix) {
			assert_bytes_equal(buf_bytes(&encrypted), prefix);
		} else {
			assert_bytes_equal(buf_bytes(&encrypted),
					   vector_hex(a, v, "parent_enc_hex"));
			assert_key(a, &l.key, v, "parent_key_hex");
		}
		assert_int_equal(path_listing_encrypt(&call, &l, cursor, &out), OK);
		assert_bytes_equal(buf_bytes(&out), vector_hex(a, v, "cursor_encrypted_hex"));
		/* A listed prefix: the slash at the end comes back. */
		buf_add_byte(&out, '/');
		assert_int_equal(path_listing_decrypt(&call, &l, buf_bytes(&out), &back), OK);
		buf_add_byte(&back, 0);
		assert_string_equal((char *)back.data, "cursor/");
		path_listing_fini(&l);
	}
	json_decref(root);
}

/* An object key that begins with '/' is below the empty component. */
static void listing_below_an_empty_component(void **state)
{
	json_t *root = vectors_load("path_encryption");
	struct call call AUTO_CALL;
	call_init(&call);
	struct store s = default_store(&call.scratch, root, CIPHER_AESGCM);
	struct buf prefix AUTO_BUF = BUF_INIT(1000), whole AUTO_BUF = BUF_INIT(1000);
	struct buf relative AUTO_BUF = BUF_INIT(1000), back AUTO_BUF = BUF_INIT(1000);
	struct path_listing l;

	assert_int_equal(path_listing_init(&call, &s, bytes_str("b"), bytes_str("/"), &l, &prefix),
			 OK);
	assert_int_equal(path_encrypt(&call, &s, bytes_str("b"), bytes_str("/file"), &whole), OK);
	assert_true(bytes_has_prefix(buf_bytes(&whole), buf_bytes(&prefix)));
	buf_add_bytes(&relative, bytes_from(buf_bytes(&whole), prefix.len + 1));
	assert_int_equal(path_listing_decrypt(&call, &l, buf_bytes(&relative), &back), OK);
	assert_bytes_equal(buf_bytes(&back), bytes_str("file"));
	/* Foreign entries leave nothing behind. */
	assert_int_equal(path_listing_decrypt(&call, &l, bytes_str("\2nothing of ours"), &back),
			 ERR_FORMAT);
	assert_int_equal(back.len, 4);
	json_decref(root);
}

static void restricted_store(void **state)
{
	json_t *root = vectors_load("path_encryption");
	const json_t *v = vector_get(root, "restricted_store"), *e = vector_get(v, "entry");
	struct call call AUTO_CALL;
	call_init(&call);
	struct arena *a = &call.scratch;
	struct store s = { .default_cipher = CIPHER_AESGCM };
	struct store_entry entry = {
		.bucket = bytes_str(vector_text(e, "bucket")),
		.plain = bytes_str(vector_text(e, "unencrypted_path")),
		.encrypted = vector_hex(a, e, "encrypted_path_hex"),
		.path_cipher = CIPHER_AESGCM,
	};
	struct buf out AUTO_BUF = BUF_INIT(10000), prefix AUTO_BUF = BUF_INIT(10000);
	struct secret_key key;
	struct path_listing l;

	memcpy(entry.key.b, vector_hex(a, e, "key_hex").data, SECRET_KEY_BYTES);
	assert_int_equal(store_add(&call, a, &s, &entry), OK);
	struct bytes path = bytes_str(vector_text(v, "path"));
	assert_int_equal(path_encrypt(&call, &s, entry.bucket, path, &out), OK);
	assert_bytes_equal(buf_bytes(&out), vector_hex(a, v, "encrypted_hex"));
	assert_int_equal(content_key(&call, &s, entry.bucket, path, &key), OK);
	assert_key(a, &key, v, "content_key_hex");
	struct buf back AUTO_BUF = BUF_INIT(10000);
	assert_int_equal(path_decrypt(&call, &s, entry.bucket, buf_bytes(&out), &back), OK);
	assert_bytes_equal(buf_bytes(&back), path);
	assert_int_equal(path_encrypt(&call, &s, entry.bucket,
				      bytes_str(vector_text(v, "path_outside_fails")), &out),
			 ERR_PERMISSION);
	assert_int_equal(path_encrypt(&call, &s, bytes_str("other"), path, &out), ERR_PERMISSION);
	/* "2026/junebug" is no child of "2026/june". */
	assert_int_equal(path_encrypt(&call, &s, entry.bucket, bytes_str("2026/junebug"), &out),
			 ERR_PERMISSION);

	assert_int_equal(
		path_listing_init(&call, &s, entry.bucket, bytes_str("2026/june/"), &l, &prefix),
		OK);
	assert_bytes_equal(buf_bytes(&prefix), entry.encrypted);
	assert_memory_equal(l.key.b, entry.key.b, SECRET_KEY_BYTES);
	assert_int_equal(
		path_listing_init(&call, &s, entry.bucket, bytes_str("2026/june"), &l, &prefix),
		ERR_PERMISSION);
	assert_int_equal(path_listing_init(&call, &s, entry.bucket, BYTES_NONE, &l, &prefix),
			 ERR_PERMISSION);
	store_wipe(&s);
	assert_int_equal(s.count, 0);
	json_decref(root);
}

static enum err add(struct call *call, struct store *s, const char *plain, const char *encrypted)
{
	struct store_entry e = { bytes_str("b"),
				 bytes_str(plain),
				 bytes_str(encrypted),
				 { { (uint8_t)strlen(plain) } },
				 CIPHER_AESGCM };

	return store_add(call, &call->scratch, s, &e);
}

static void stores_are_consistent(void **state)
{
	struct call call AUTO_CALL;
	struct store s = { 0 };

	call_init(&call);
	assert_int_equal(add(&call, &s, "a/b", "x"), ERR_INVALID);
	assert_int_equal(add(&call, &s, "", "x"), ERR_INVALID);
	assert_int_equal(add(&call, &s, "a/b", "x/y"), OK);
	assert_int_equal(add(&call, &s, "a/c", "x/y"), ERR_INVALID);
	assert_int_equal(add(&call, &s, "a/c", "z/w"), ERR_INVALID);
	assert_int_equal(add(&call, &s, "q/c", "x/w"), ERR_INVALID);
	assert_int_equal(add(&call, &s, "a/c", "x/w"), OK);
	assert_int_equal(add(&call, &s, "a", "x"), OK);
	assert_int_equal(add(&call, &s, "d/b", "v/y"), OK);
	assert_int_equal(add(&call, &s, "", ""), OK);
	assert_int_equal(s.count, 5);
	assert_int_equal(add(&call, &s, "a/c", "x/w"), OK);
	assert_int_equal(s.count, 5);
	struct store_base base;
	const struct {
		const char *path, *entry;
	} found[] = {
		{ "a/c/d", "a/c" }, { "a/x", "a" }, { "a", "a" }, { "a/", "a" },
		{ "ab", "" },	    { "", "" },	    { "d", "" },  { "d/b", "d/b" },
	};
	for (size_t i = 0; i < ARRAY_LEN(found); i++) {
		assert_int_equal(store_lookup(&call, &s, bytes_str("b"), bytes_str(found[i].path),
					      SIDE_PLAIN, &base),
				 OK);
		assert_bytes_equal(base.plain, bytes_str(found[i].entry));
	}
	assert_int_equal(
		store_lookup(&call, &s, bytes_str("b"), bytes_str("x/w/1"), SIDE_ENCRYPTED, &base),
		OK);
	assert_bytes_equal(base.plain, bytes_str("a/c"));
	/* The key of a whole bucket listed at its root, and refused elsewhere. */
	assert_int_equal(store_lookup(&call, &s, bytes_str("c"), bytes_str("a"), SIDE_PLAIN, &base),
			 ERR_PERMISSION);
}

static void bypass_view(void **state)
{
	json_t *root = vectors_load("path_encryption");
	const json_t *list = vector_get(root, "base64_bypass");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		struct store s = default_store(a, root, CIPHER_NULL_BASE64URL);
		struct buf view AUTO_BUF = BUF_INIT(10000), back AUTO_BUF = BUF_INIT(10000);
		struct bytes encrypted = vector_hex(a, v, "encrypted_hex");
		assert_int_equal(path_decrypt(&call, &s, bytes_str("photos"), encrypted, &view),
				 OK);
		assert_bytes_equal(buf_bytes(&view), bytes_str(vector_text(v, "bypass_view")));
		assert_int_equal(
			path_encrypt(&call, &s, bytes_str("photos"), buf_bytes(&view), &back), OK);
		assert_bytes_equal(buf_bytes(&back), encrypted);
	}
	json_decref(root);
}

static void limits(void **state)
{
	struct call call AUTO_CALL;
	struct store s = { .has_default = true, .default_cipher = CIPHER_AESGCM };
	struct buf out AUTO_BUF = BUF_INIT(100);

	call_init(&call);
	uint8_t *path = arena_alloc(&call.scratch, PATH_BYTES_MAX + 1);
	memset(path, 'x', PATH_BYTES_MAX + 1);
	assert_int_equal(
		path_encrypt(&call, &s, bytes_str("b"), BYTES(path, PATH_BYTES_MAX + 1), &out),
		ERR_INVALID);
	assert_int_equal(path_encrypt(&call, &s, bytes_str("b"), BYTES(path, 200), &out),
			 ERR_INVALID);
	assert_int_equal(out.len, 0);
	s.default_cipher = CIPHER_UNSPECIFIED;
	buf_clear(&out);
	assert_int_equal(path_encrypt(&call, &s, bytes_str("b"), bytes_str("x"), &out),
			 ERR_INVALID);
	assert_int_equal(path_decrypt(&call, &s, bytes_str("b"), bytes_str("x"), &out),
			 ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(damaged_paths_do_not_decrypt),
		cmocka_unit_test(escapes),
		cmocka_unit_test(listings),
		cmocka_unit_test(listing_below_an_empty_component),
		cmocka_unit_test(restricted_store),
		cmocka_unit_test(stores_are_consistent),
		cmocka_unit_test(bypass_view),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
