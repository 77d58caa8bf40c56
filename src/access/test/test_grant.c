/* Grants of real clients: what they parse to, what sharing leaves of them, and root keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vectors.h"

#include "access/grant.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/base58check.h"

static const struct store_entry *find_entry(const struct grant *g, struct bytes bucket,
					    struct bytes plain)
{
	for (size_t i = 0; i < g->store.count; i++) {
		if (bytes_equal(g->store.entries[i].bucket, bucket) &&
		    bytes_equal(g->store.entries[i].plain, plain))
			return &g->store.entries[i];
	}
	fail_msg("no such entry");
	return NULL;
}

static void assert_grant(struct call *call, const struct grant *g, const json_t *v)
{
	struct arena *a = &call->scratch;
	struct buf key AUTO_BUF = BUF_INIT(GRANT_TEXT_MAX);
	const json_t *entries = json_object_get(v, "store_entries_after_parse");
	const json_t *default_key = json_object_get(v, "default_key_hex");

	assert_string_equal(g->satellite, vector_text(v, "satellite_address"));
	assert_int_equal(macaroon_add_text(&key, &g->key), OK);
	assert_string_equal(buf_cstr(&key), vector_text(v, "api_key"));
	assert_int_equal(g->store.default_cipher, vector_int(v, "default_path_cipher"));
	assert_int_equal(g->store.has_default, default_key != NULL);
	if (default_key)
		assert_bytes_equal(BYTES_OF(g->store.default_key.b),
				   vector_hex(a, v, "default_key_hex"));
	assert_int_equal(g->store.count, json_array_size(entries));
	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *e = json_array_get(entries, i);
		const struct store_entry *got =
			find_entry(g, bytes_str(vector_text(e, "bucket")),
				   bytes_str(vector_text(e, "unencrypted_path")));
		assert_bytes_equal(got->encrypted, vector_hex(a, e, "encrypted_path_hex"));
		assert_bytes_equal(BYTES_OF(got->key.b), vector_hex(a, e, "key_hex"));
		assert_int_equal(got->path_cipher, vector_int(e, "path_cipher"));
	}
}

static void grants_parse_and_print(void **state)
{
	json_t *root = vectors_load("access");
	const json_t *list = vector_get(root, "grants");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		struct grant g, again;
		struct buf text AUTO_BUF = BUF_INIT(GRANT_TEXT_MAX);
		call_init(&call);
		const char *given = vector_text(v, "grant");

		assert_int_equal(grant_parse(&call, &call.scratch, bytes_str(given), &g), OK);
		assert_grant(&call, &g, v);
		assert_int_equal(grant_add_text(&call, &text, &g), OK);
		if (g.store.count <= 1)
			assert_string_equal(buf_cstr(&text), given);
		assert_int_equal(grant_parse(&call, &call.scratch, buf_bytes(&text), &again), OK);
		assert_grant(&call, &again, v);
		/* As it comes out of a mail. */
		char *spaced = arena_printf(&call.scratch, " \t%s\r\n", given);
		assert_int_equal(grant_parse(&call, &call.scratch, bytes_str(spaced), &again), OK);
		grant_wipe(&again);
		assert_int_equal(again.store.count, 0);
	}
	json_decref(root);
}

static void broken_text_gets_advice(void **state)
{
	json_t *root = vectors_load("access");
	const json_t *list = vector_get(root, "invalid_grants");
	struct call call AUTO_CALL;
	struct grant g;
	call_init(&call);

	for (size_t i = 0; i < json_array_size(list); i++)
		assert_int_equal(grant_parse(&call, &call.scratch,
					     bytes_str(json_string_value(json_array_get(list, i))),
					     &g),
				 ERR_FORMAT);
	const json_t *v = json_array_get(vector_get(root, "grants"), 0);
	const char *text = vector_text(v, "grant");
	assert_int_equal(grant_parse(&call, &call.scratch, BYTES(text, strlen(text) - 1), &g),
			 ERR_FORMAT);
	assert_non_null(strstr(call.error, "cut short or mistyped"));
	assert_int_equal(
		grant_parse(&call, &call.scratch, bytes_str(vector_text(v, "api_key")), &g),
		ERR_FORMAT);
	assert_non_null(strstr(call.error, "this is an API key"));
	assert_int_equal(grant_parse(&call, &call.scratch, bytes_str("  "), &g), ERR_FORMAT);
	assert_non_null(strstr(call.error, "empty"));
	json_decref(root);
}

/* Every prefix of the binary form, and every byte of it changed, parses or is refused. */
static void damaged_binaries(void **state)
{
	json_t *root = vectors_load("access");
	const json_t *v = json_array_get(vector_get(root, "grants"), 3);
	struct arena a = { 0 };
	struct bytes wire = vector_hex(&a, v, "scope_pb_hex");

	for (size_t i = 0; i < 2 * wire.len; i++) {
		struct call call AUTO_CALL;
		struct buf text AUTO_BUF = BUF_INIT(GRANT_TEXT_MAX);
		struct grant g;
		uint8_t *bad = arena_alloc(&a, wire.len);
		call_init(&call);
		memcpy(bad, wire.data, wire.len);
		bad[i % wire.len] ^= i >= wire.len ? 1 << i % 8 : 0;
		assert_int_equal(base58check_add(&text, 0, BYTES(bad, i < wire.len ? i : wire.len)),
				 OK);
		enum err e = grant_parse(&call, &call.scratch, buf_bytes(&text), &g);
		assert_true(e == OK || e == ERR_FORMAT || e == ERR_INVALID);
		if (i < wire.len && e == OK)
			fail_msg("a grant of %zu of %zu bytes was taken", i, wire.len);
	}
	arena_free(&a);
	json_decref(root);
}

static void full_grant(struct call *call, const json_t *root, struct grant *ret)
{
	const json_t *v = json_array_get(vector_get(root, "grants"), 0);

	assert_int_equal(grant_parse(call, &call->scratch, bytes_str(vector_text(v, "grant")), ret),
			 OK);
}

static void new_grants(void **state)
{
	json_t *root = vectors_load("access");
	const json_t *list = vector_get(root, "grants");

	for (size_t i = 0; i < 2; i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		struct buf text AUTO_BUF = BUF_INIT(GRANT_TEXT_MAX);
		struct secret_key key;
		struct macaroon m;
		struct grant g;

		memcpy(key.b, vector_hex(a, root, "root_key_hex").data, sizeof(key.b));
		assert_int_equal(
			macaroon_parse_text(&call, a, bytes_str(vector_text(v, "api_key")), &m),
			OK);
		assert_int_equal(grant_new(&call, a, vector_text(v, "satellite_address"), &m, &key,
					   vector_int(v, "default_path_cipher") == CIPHER_AESGCM,
					   &g),
				 OK);
		assert_int_equal(grant_add_text(&call, &text, &g), OK);
		assert_string_equal(buf_cstr(&text), vector_text(v, "grant"));
		assert_int_equal(grant_new(&call, a, "", &m, &key, true, &g), ERR_INVALID);
	}
	json_decref(root);
}

/* Our restriction of the full grant has the store of the reference's. */
static void restrict_as(struct call *call, const json_t *root, size_t index,
			const struct grant_prefix *prefixes, size_t count)
{
	const json_t *v = json_array_get(vector_get(root, "grants"), index);
	const json_t *entries = vector_get(v, "store_entries_after_parse");
	struct grant_permission permission = { .download = true, .list = true };
	struct grant full, shared;

	full_grant(call, root, &full);
	assert_int_equal(
		grant_restrict(call, &call->scratch, &full, &permission, prefixes, count, &shared),
		OK);
	assert_false(shared.store.has_default);
	assert_int_equal(shared.store.count, json_array_size(entries));
	for (size_t i = 0; i < shared.store.count; i++) {
		const json_t *e = json_array_get(entries, i);
		const struct store_entry *got =
			find_entry(&shared, bytes_str(vector_text(e, "bucket")),
				   bytes_str(vector_text(e, "unencrypted_path")));
		assert_bytes_equal(got->encrypted,
				   vector_hex(&call->scratch, e, "encrypted_path_hex"));
		assert_bytes_equal(BYTES_OF(got->key.b), vector_hex(&call->scratch, e, "key_hex"));
	}
	/* The full grant is as it was. */
	assert_true(full.store.has_default);
	assert_int_equal(full.key.caveats_count + 1, shared.key.caveats_count);
}

static struct grant_prefix prefix(const char *bucket, const char *path)
{
	return (struct grant_prefix){ bytes_str(bucket), bytes_str(path) };
}

static void sharing(void **state)
{
	json_t *root = vectors_load("access");
	struct call call AUTO_CALL;
	call_init(&call);
	const struct grant_prefix june[] = { prefix("photos", "2026/june/") };
	const struct grant_prefix bucket[] = { prefix("photos", "") };

	restrict_as(&call, root, 3, june, 1);
	restrict_as(&call, root, 4, bucket, 1);
	json_decref(root);
}

static void shared_grants_read_what_they_should(void **state)
{
	json_t *root = vectors_load("access");
	struct call call AUTO_CALL;
	call_init(&call);
	struct arena *a = &call.scratch;
	const struct grant_prefix two[] = { prefix("b", "x/y"), prefix("c", "") };
	const struct grant_prefix deeper[] = { prefix("b", "x/y/z/") };
	const struct grant_prefix elsewhere[] = { prefix("b", "x/w/") };
	struct grant_permission p = { .download = true };
	struct grant full, shared, again, text_again;
	struct buf one AUTO_BUF = BUF_INIT(1000), other AUTO_BUF = BUF_INIT(1000);

	full_grant(&call, root, &full);
	assert_int_equal(grant_restrict(&call, a, &full, &p, two, 2, &shared), OK);
	assert_int_equal(path_encrypt(&call, &full.store, bytes_str("b"), bytes_str("x/y/f"), &one),
			 OK);
	assert_int_equal(
		path_encrypt(&call, &shared.store, bytes_str("b"), bytes_str("x/y/f"), &other), OK);
	assert_bytes_equal(buf_bytes(&one), buf_bytes(&other));
	assert_int_equal(
		path_encrypt(&call, &shared.store, bytes_str("b"), bytes_str("x/q"), &other),
		ERR_PERMISSION);
	assert_int_equal(path_encrypt(&call, &shared.store, bytes_str("d"), bytes_str("x"), &other),
			 ERR_PERMISSION);
	assert_int_equal(grant_restrict(&call, a, &shared, &p, deeper, 1, &again), OK);
	assert_int_equal(again.store.count, 1);
	assert_bytes_equal(again.store.entries[0].plain, bytes_str("x/y/z"));
	/* Outside of what one has: there is no key to encrypt the prefix with. */
	assert_int_equal(grant_restrict(&call, a, &shared, &p, elsewhere, 1, &again),
			 ERR_PERMISSION);
	/* A grant with too much in it shrinks when it is read. */
	struct grant fat = { shared.satellite, shared.key, full.store };
	struct buf text AUTO_BUF = BUF_INIT(GRANT_TEXT_MAX);
	assert_int_equal(grant_add_text(&call, &text, &fat), OK);
	assert_int_equal(grant_parse(&call, a, buf_bytes(&text), &text_again), OK);
	assert_false(text_again.store.has_default);
	assert_int_equal(text_again.store.count, 2);
	json_decref(root);
}

static void caveat_of_a_share(void **state)
{
	json_t *root = vectors_load("access");
	struct call call AUTO_CALL;
	call_init(&call);
	struct grant_permission p = { .download = true,
				      .get_retention = true,
				      .not_after_ns = 5 * NS_PER_SEC,
				      .ttl_ns = NS_PER_SEC };
	struct grant full, shared;
	struct caveat c;

	full_grant(&call, root, &full);
	assert_int_equal(grant_restrict(&call, &call.scratch, &full, &p, NULL, 0, &shared), OK);
	assert_true(shared.store.has_default);
	assert_int_equal(caveat_decode(&call, &call.scratch,
				       shared.key.caveats[shared.key.caveats_count - 1], &c),
			 OK);
	assert_false(c.disallow_reads || c.disallow_get_retention);
	assert_true(c.disallow_writes && c.disallow_lists && c.disallow_deletes &&
		    c.disallow_locks && c.disallow_put_retention && c.disallow_put_legal_hold &&
		    c.disallow_get_legal_hold && c.disallow_bypass_governance &&
		    c.disallow_put_bucket_lock_config && c.disallow_get_bucket_lock_config &&
		    c.disallow_put_bucket_notification && c.disallow_get_bucket_notification);
	assert_true(c.has_not_after && !c.has_not_before && c.has_ttl);
	assert_int_equal(c.nonce.len, 4);

	struct grant_permission nothing = { 0 };
	struct grant_permission backwards = { .list = true, .not_before_ns = 2, .not_after_ns = 1 };
	struct grant_permission dead = { .upload = true, .ttl_ns = -1 };
	assert_int_equal(grant_restrict(&call, &call.scratch, &full, &nothing, NULL, 0, &shared),
			 ERR_INVALID);
	assert_int_equal(grant_restrict(&call, &call.scratch, &full, &backwards, NULL, 0, &shared),
			 ERR_INVALID);
	assert_int_equal(grant_restrict(&call, &call.scratch, &full, &dead, NULL, 0, &shared),
			 ERR_INVALID);
	json_decref(root);
}

static void own_keys_below_a_prefix(void **state)
{
	json_t *root = vectors_load("access");
	struct call call AUTO_CALL;
	call_init(&call);
	struct secret_key own = { { 42 } }, key;
	struct grant g;

	full_grant(&call, root, &g);
	assert_int_equal(grant_override_key(&call, &call.scratch, &g, bytes_str("b"),
					    bytes_str("alice/"), &own),
			 OK);
	assert_int_equal(path_key(&call, &g.store, bytes_str("b"), bytes_str("alice"), &key), OK);
	assert_memory_equal(key.b, own.b, sizeof(key.b));
	assert_int_equal(path_key(&call, &g.store, bytes_str("b"), bytes_str("bob"), &key), OK);
	assert_int_equal(grant_override_key(&call, &call.scratch, &g, bytes_str("b"),
					    bytes_str("alice"), &own),
			 ERR_INVALID);
	json_decref(root);
}

static void root_keys(void **state)
{
	json_t *root = vectors_load("access");
	const json_t *list = vector_get(root, "root_keys");
	unsigned checked = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct arena *a = &call.scratch;
		int64_t lanes = vector_int(v, "argon2_parallelism");
		struct bytes passphrase = vector_hex(a, v, "passphrase_hex");
		struct bytes salt = vector_hex(a, v, "salt_hex");
		struct secret_key key;

		if (vector_text(v, "path")[0])
			continue; /* nobody derives keys of paths from passphrases */
		assert_true(lanes == 8 || lanes == 1);
		if (lanes == 8)
			assert_int_equal(grant_root_key(&call, passphrase, salt, &key), OK);
		else
			assert_int_equal(grant_encryption_key(&call, passphrase, salt, &key), OK);
		assert_bytes_equal(BYTES_OF(key.b), vector_hex(a, v, "key_hex"));
		checked++;
	}
	assert_true(checked >= 5);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_parse_and_print),
		cmocka_unit_test(broken_text_gets_advice),
		cmocka_unit_test(damaged_binaries),
		cmocka_unit_test(new_grants),
		cmocka_unit_test(sharing),
		cmocka_unit_test(shared_grants_read_what_they_should),
		cmocka_unit_test(caveat_of_a_share),
		cmocka_unit_test(own_keys_below_a_prefix),
		cmocka_unit_test(root_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
