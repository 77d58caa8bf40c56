/* base58check and passphrase keys, against the reference's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "crypto/base58check.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "vectors.h"

static void base58check_vectors(void **state)
{
	json_t *root = vectors_load("node_id");
	struct arena a = { 0 };
	size_t i, cases = 0;
	json_t *v;

	json_array_foreach(json_object_get(root, "base58check"), i, v)
	{
		struct bytes payload = vector_hex(&a, v, "payload_hex");
		const char *text = vector_text(v, "base58check");
		AUTO_BUF struct buf out = BUF_INIT(4096), back = BUF_INIT(4096);
		uint8_t version = 99;

		assert_int_equal(base58check_add(&out, (uint8_t)vector_int(v, "version"), payload),
				 OK);
		assert_string_equal(buf_cstr(&out), text);
		assert_int_equal(base58check_decode(bytes_str(text), &version, &back), OK);
		assert_int_equal(version, vector_int(v, "version"));
		assert_bytes_equal(buf_bytes(&back), payload);
		/* Cut short, as by copy and paste, or with a letter changed. */
		for (size_t n = 0; n < strlen(text); n++)
			assert_int_equal(base58check_decode(BYTES(text, n), &version, &back),
					 ERR_FORMAT);
		AUTO_BUF struct buf changed = BUF_INIT(4096);
		buf_add_str(&changed, text);
		changed.data[changed.len / 2] = changed.data[changed.len / 2] == 'z' ? 'y' : 'z';
		assert_int_equal(base58check_decode(buf_bytes(&changed), &version, &back),
				 ERR_FORMAT);
		changed.data[changed.len / 2] = '0';
		assert_int_equal(base58check_decode(buf_bytes(&changed), &version, &back),
				 ERR_FORMAT);
		cases++;
	}
	assert_true(cases >= 10);
	arena_free(&a);
	json_decref(root);
}

static void base58check_is_bounded(void **state)
{
	AUTO_BUF struct buf text = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20), small = BUF_INIT(1);
	uint8_t version;

	assert_true(buf_reserve(&text, 100000));
	memset(text.data, '2', 100000);
	text.len = 100000;
	assert_int_not_equal(base58check_decode(buf_bytes(&text), &version, &out), OK);
	assert_int_equal(out.len, 0);
	assert_int_not_equal(base58check_add(&out, 0, buf_bytes(&text)), OK);
	assert_int_equal(base58check_decode(bytes_str("112edB6q"), &version, &small), OK);
}

static void root_keys_of_the_reference(void **state)
{
	json_t *root = vectors_load("access");
	struct arena a = { 0 };
	struct call call;
	size_t i, cases = 0;
	json_t *v;

	call_init(&call);
	json_array_foreach(json_object_get(root, "root_keys"), i, v)
	{
		struct bytes passphrase = vector_hex(&a, v, "passphrase_hex");
		struct secret_key key;
		uint8_t salt[HASH_BYTES];

		/* access.md 3.1 item 2 */
		hmac_sha256(passphrase, vector_hex(&a, v, "salt_hex"), salt);
		hmac_sha256(BYTES_OF(salt), bytes_str(vector_text(v, "path")), salt);
		assert_int_equal(kdf_argon2id(&call, passphrase, BYTES_OF(salt),
					      (uint32_t)vector_int(v, "argon2_parallelism"), &key),
				 OK);
		assert_bytes_equal(BYTES_OF(key.b), vector_hex(&a, v, "key_hex"));
		cases++;
	}
	assert_true(cases >= 6);
	struct secret_key key = { { 5 } };
	assert_int_equal(kdf_argon2id(&call, bytes_str("x"), bytes_str("short"), 8, &key),
			 ERR_INVALID);
	assert_int_equal(key.b[0], 5);
	assert_int_equal(kdf_argon2id(&call, bytes_str("x"), bytes_str("long enough"), 0, &key),
			 ERR_INVALID);
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base58check_vectors),
		cmocka_unit_test(base58check_is_bounded),
		cmocka_unit_test(root_keys_of_the_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
