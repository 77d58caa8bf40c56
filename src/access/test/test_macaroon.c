/* API keys of real peers: bytes, HMAC chain, caveats, and what they allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vectors.h"

#include "access/permission.h"
#include "base/cleanup.h"
#include "base/num.h"

static json_t *root; /* the vectors */

static struct secret_key key_of(struct bytes v)
{
	struct secret_key key;

	assert_int_equal(v.len, sizeof(key));
	memcpy(key.b, v.data, sizeof(key));
	return key;
}

static void keys_round_trip(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct arena *a = &call.scratch;
	struct secret_key secret = key_of(vector_hex(a, root, "secret_hex"));
	struct secret_key other = secret;
	const json_t *list = vector_get(root, "keys");

	other.b[31] ^= 1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct buf raw AUTO_BUF = BUF_INIT(MACAROON_BYTES_MAX);
		struct buf text AUTO_BUF = BUF_INIT(MACAROON_BYTES_MAX);
		struct macaroon m, again;

		assert_int_equal(
			macaroon_parse_text(&call, a, bytes_str(vector_text(v, "serialized")), &m),
			OK);
		assert_int_equal(macaroon_parse(&call, a, vector_hex(a, v, "raw_hex"), &again), OK);
		assert_bytes_equal(m.head, again.head);
		assert_bytes_equal(m.head, vector_hex(a, v, "head_hex"));
		assert_bytes_equal(BYTES_OF(m.tail), vector_hex(a, v, "tail_hex"));
		const json_t *caveats = vector_get(v, "caveats_pb_hex");
		assert_int_equal(m.caveats_count, json_array_size(caveats));
		for (size_t j = 0; j < m.caveats_count; j++)
			assert_bytes_equal(
				m.caveats[j],
				vector_unhex(a, json_string_value(json_array_get(caveats, j))));
		macaroon_add_binary(&raw, &m);
		assert_bytes_equal(buf_bytes(&raw), vector_hex(a, v, "raw_hex"));
		assert_int_equal(macaroon_add_text(&text, &m), OK);
		assert_string_equal(buf_cstr(&text), vector_text(v, "serialized"));

		assert_true(macaroon_valid(&m, &secret));
		assert_false(macaroon_valid(&m, &other));
		const json_t *tails = vector_get(v, "all_tails_hex");
		uint8_t got[8][MACAROON_TAIL_BYTES];
		assert_int_equal(json_array_size(tails), m.caveats_count + 1);
		macaroon_tails(&m, &secret, got);
		for (size_t j = 0; j <= m.caveats_count; j++)
			assert_bytes_equal(
				BYTES_OF(got[j]),
				vector_unhex(a, json_string_value(json_array_get(tails, j))));
	}
}

/* Each key of the file is the one before with one more caveat. */
static void restricting_makes_the_same_keys(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct arena *a = &call.scratch;
	const json_t *list = vector_get(root, "keys");
	struct macaroon m;

	assert_int_equal(
		macaroon_parse(&call, a, vector_hex(a, json_array_get(list, 0), "raw_hex"), &m),
		OK);
	for (size_t i = 1; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		const json_t *caveats = vector_get(v, "caveats_pb_hex");
		assert_int_equal(json_array_size(caveats), i);
		assert_int_equal(macaroon_restrict(&call, a, &m,
						   vector_unhex(a, json_string_value(json_array_get(
									   caveats, i - 1)))),
				 OK);
		assert_bytes_equal(BYTES_OF(m.tail), vector_hex(a, v, "tail_hex"));
	}
}

static void new_keys(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct secret_key secret = { { 1, 2, 3 } };
	struct macaroon m, n;

	assert_int_equal(macaroon_new(&call, &call.scratch, &secret, &m), OK);
	assert_int_equal(macaroon_new(&call, &call.scratch, &secret, &n), OK);
	assert_true(macaroon_valid(&m, &secret));
	assert_false(bytes_equal(m.head, n.head));
	for (unsigned i = 0; i < MACAROON_CAVEATS_MAX; i++)
		assert_int_equal(macaroon_restrict(&call, &call.scratch, &m, bytes_str("x")), OK);
	assert_true(macaroon_valid(&m, &secret));
	assert_int_equal(macaroon_restrict(&call, &call.scratch, &m, bytes_str("x")), ERR_INVALID);
}

static void same_leniency(void **state)
{
	const json_t *list = vector_get(root, "malformed");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL = CALL_INIT;
		struct macaroon m;
		enum err e = macaroon_parse(&call, &call.scratch,
					    vector_hex(&call.scratch, v, "raw_hex"), &m);
		assert_int_equal(e, vector_bool(v, "parses") ? OK : ERR_FORMAT);
	}
}

#define TAIL32                                                                                     \
	"20"                                                                                       \
	"0000000000000000000000000000000000000000000000000000000000000000"

static void sections(void **state)
{
	const struct {
		const char *hex;
		bool ok;
	} cases[] = {
		{ "02"
		  "0201aa"
		  "00"
		  "00"
		  "06" TAIL32,
		  true },
		{ "02"
		  "0200"
		  "00"
		  "00"
		  "06" TAIL32,
		  true }, /* empty head */
		{ "02"
		  "0101bb"
		  "0201aa"
		  "00"
		  "00"
		  "06" TAIL32,
		  true },
		{ "02"
		  "0201aa"
		  "0401cc"
		  "00"
		  "00"
		  "06" TAIL32,
		  false }, /* only caveats may */
		{ "02"
		  "0201aa"
		  "00"
		  "0201bb"
		  "0401cc"
		  "00"
		  "00"
		  "06" TAIL32,
		  true },
		{ "02"
		  "0201aa"
		  "00"
		  "0101dd"
		  "0201bb"
		  "0401cc"
		  "00"
		  "00"
		  "06" TAIL32,
		  true },
		{ "02"
		  "0201aa"
		  "00"
		  "0201bb"
		  "0501cc"
		  "00"
		  "00"
		  "06" TAIL32,
		  false },
		{ "02"
		  "0201aa"
		  "00"
		  "0201bb"
		  "0401cc"
		  "0501cc"
		  "00"
		  "00"
		  "06" TAIL32,
		  false },
		{ "02"
		  "0201aa"
		  "00"
		  "0401bb"
		  "0201cc"
		  "00"
		  "00"
		  "06" TAIL32,
		  false }, /* order */
		{ "02"
		  "0201aa"
		  "00"
		  "0101dd"
		  "00"
		  "00"
		  "06" TAIL32,
		  false },
		{ "02"
		  "0201aa"
		  "00"
		  "00"
		  "05" TAIL32,
		  false },
		{ "02"
		  "0201aa"
		  "00"
		  "00"
		  "0600",
		  false },
		{ "02"
		  "0201aa"
		  "00",
		  false },
		{ "02"
		  "00"
		  "00"
		  "06" TAIL32,
		  false },
		{ "02"
		  "0283"
		  "80808080808080807f",
		  false },
		{ "02"
		  "02818080808080808080"
		  "02aa"
		  "00"
		  "00"
		  "06" TAIL32,
		  false }, /* overflow */
		{ "02"
		  "0281808080808080808000"
		  "aa"
		  "00"
		  "00"
		  "06" TAIL32,
		  true },
		{ "02"
		  "028180808000"
		  "aa"
		  "00"
		  "00"
		  "06" TAIL32,
		  true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct call call AUTO_CALL = CALL_INIT;
		struct macaroon m;
		enum err e = macaroon_parse(&call, &call.scratch,
					    vector_unhex(&call.scratch, cases[i].hex), &m);
		if (e != (cases[i].ok ? OK : ERR_FORMAT))
			fail_msg("case %zu: %s", i, call_error(&call, e));
	}
}

static void text_errors_help(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct macaroon m;
	const char *text = vector_text(json_array_get(vector_get(root, "keys"), 1), "serialized");

	assert_int_equal(
		macaroon_parse_text(&call, &call.scratch, BYTES(text, strlen(text) - 3), &m),
		ERR_FORMAT);
	assert_non_null(strstr(call.error, "cut short or mistyped"));
}

static bool flag(const json_t *v, const char *name)
{
	return json_is_true(json_object_get(v, name));
}

static void assert_caveat(struct arena *a, const struct caveat *c, const json_t *v)
{
	assert_int_equal(c->disallow_reads, flag(v, "disallow_reads"));
	assert_int_equal(c->disallow_writes, flag(v, "disallow_writes"));
	assert_int_equal(c->disallow_lists, flag(v, "disallow_lists"));
	assert_int_equal(c->disallow_deletes, flag(v, "disallow_deletes"));
	assert_int_equal(c->disallow_locks, flag(v, "disallow_locks"));
	assert_int_equal(c->disallow_put_retention, flag(v, "disallow_put_retention"));
	assert_int_equal(c->disallow_get_retention, flag(v, "disallow_get_retention"));
	assert_int_equal(c->disallow_put_legal_hold, flag(v, "disallow_put_legal_hold"));
	assert_int_equal(c->disallow_get_legal_hold, flag(v, "disallow_get_legal_hold"));
	assert_int_equal(c->disallow_bypass_governance,
			 flag(v, "disallow_bypass_governance_retention"));
	assert_int_equal(c->disallow_put_bucket_lock_config,
			 flag(v, "disallow_put_bucket_object_lock_configuration"));
	assert_int_equal(c->disallow_get_bucket_lock_config,
			 flag(v, "disallow_get_bucket_object_lock_configuration"));
	assert_int_equal(c->disallow_put_bucket_notification,
			 flag(v, "disallow_put_bucket_notification_configuration"));
	assert_int_equal(c->disallow_get_bucket_notification,
			 flag(v, "disallow_get_bucket_notification_configuration"));
	const json_t *paths = json_object_get(v, "allowed_paths");
	assert_int_equal(c->paths_count, json_array_size(paths));
	for (size_t i = 0; i < c->paths_count; i++) {
		const json_t *p = json_array_get(paths, i);
		assert_bytes_equal(c->paths[i].bucket, vector_hex(a, p, "bucket_hex"));
		assert_bytes_equal(c->paths[i].prefix,
				   vector_hex(a, p, "encrypted_path_prefix_hex"));
	}
	assert_int_equal(c->has_not_after, json_object_get(v, "not_after") != NULL);
	if (c->has_not_after)
		assert_int_equal(c->not_after_ns, vector_time(v, "not_after"));
	assert_int_equal(c->has_not_before, json_object_get(v, "not_before") != NULL);
	if (c->has_not_before)
		assert_int_equal(c->not_before_ns, vector_time(v, "not_before"));
	assert_int_equal(c->has_ttl, json_object_get(v, "max_object_ttl_ns") != NULL);
	if (c->has_ttl)
		assert_int_equal(c->ttl_ns, vector_int(v, "max_object_ttl_ns"));
	if (json_object_get(v, "nonce_hex"))
		assert_bytes_equal(c->nonce, vector_hex(a, v, "nonce_hex"));
	else
		assert_int_equal(c->nonce.len, 0);
}

static void caveats_round_trip(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct arena *a = &call.scratch;
	const json_t *list = vector_get(root, "caveats");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct buf out AUTO_BUF = BUF_INIT(10000);
		struct bytes wire = vector_hex(a, v, "pb_hex");
		struct caveat c;
		assert_int_equal(caveat_decode(&call, a, wire, &c), OK);
		assert_caveat(a, &c, vector_get(v, "caveat"));
		caveat_encode(&out, &c);
		assert_bytes_equal(buf_bytes(&out), wire);
	}
}

static void caveat_decoder_leniency(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct arena *a = &call.scratch;
	const json_t *list = vector_get(root, "caveat_decode");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct caveat c;
		enum err e = caveat_decode(&call, a, vector_hex(a, v, "pb_hex"), &c);
		assert_int_equal(e, vector_bool(v, "ok") ? OK : ERR_FORMAT);
		if (e != OK)
			continue;
		/* The one difference: we stay on the safe side (access.md 1.2). */
		if (strcmp(vector_text(v, "pb_hex"), "0802") == 0)
			assert_true(c.disallow_reads);
		else
			assert_caveat(a, &c, vector_get(v, "caveat"));
	}
}

static void caveat_times_of_all_signs(void **state)
{
	const int64_t times[] = { 0, 1, -1, -NS_PER_SEC, NS_PER_SEC - 1, INT64_MAX, INT64_MIN };
	struct call call AUTO_CALL = CALL_INIT;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct caveat c = { .has_not_after = true,
				    .not_after_ns = times[i],
				    .has_ttl = true,
				    .ttl_ns = times[i] },
			      back;
		struct buf out AUTO_BUF = BUF_INIT(1000);
		caveat_encode(&out, &c);
		assert_int_equal(caveat_decode(&call, &call.scratch, buf_bytes(&out), &back), OK);
		assert_true(back.has_not_after && back.has_ttl);
		assert_int_equal(back.not_after_ns, times[i]);
		assert_int_equal(back.ttl_ns, times[i]);
	}
	/* Seconds that no int64 of nanoseconds holds: far future, not overflow. */
	struct caveat c;
	assert_int_equal(caveat_decode(&call, &call.scratch,
				       vector_unhex(&call.scratch, "a2010a08ffffffffffffffff7f"),
				       &c),
			 OK);
	assert_int_equal(c.not_after_ns, INT64_MAX);
}

/* Limits in field 1000: without the field the key has long run out, with it that time is none. */
static void caveat_with_limits(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct caveat c = { .has_limits = true, .limits = CAVEAT_LIMITS_NONE }, back;
	struct action read = { ACTION_READ, bytes_str("b"), bytes_str("p"),
			       1800000000 * NS_PER_SEC };

	for (int i = 0; i < 3; i++) {
		struct buf out AUTO_BUF = BUF_INIT(1000);
		c.limits.egress = i == 0 ? 0 : i == 1 ? INT64_MAX : CAVEAT_UNLIMITED;
		c.limits.monthly = i == 2;
		caveat_encode(&out, &c);
		assert_int_equal(caveat_decode(&call, &call.scratch, buf_bytes(&out), &back), OK);
		assert_true(back.has_limits && !back.has_not_after);
		assert_memory_equal(&back.limits.storage, &c.limits.storage,
				    4 * sizeof(back.limits.storage));
		assert_int_equal(back.limits.monthly, i == 2);
		assert_true(caveat_allows(&back, &read));
	}
	/* As everybody else reads it: 20 {1: 1}, a second of 1970. */
	assert_int_equal(caveat_decode(&call, &call.scratch,
				       vector_unhex(&call.scratch, "a201020801"), &back),
			 OK);
	assert_false(caveat_allows(&back, &read));
	/* With the limits {2: 5} behind it, in either order. */
	static const char *const good[] = { "a201020801c23e021005", "c23e021005a201020801" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(caveat_decode(&call, &call.scratch,
					       vector_unhex(&call.scratch, good[i]), &back),
				 OK);
		assert_true(caveat_allows(&back, &read));
		assert_int_equal(back.limits.egress, 5);
	}
	/* A limit nobody knows yet, one below nothing, one of another type. */
	static const char *const bad[] = { "c23e023005", "c23e0b10ffffffffffffffffff01",
					   "c23e03120105", "c03e05" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(caveat_decode(&call, &call.scratch,
					       vector_unhex(&call.scratch, bad[i]), &back),
				 ERR_FORMAT);
}

static void evaluation_as_the_reference(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct arena *a = &call.scratch;
	const json_t *caveats = vector_get(root, "caveats");
	const json_t *list = vector_get(root, "evaluate");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct bytes wire = vector_hex(
			a, json_array_get(caveats, (size_t)vector_int(v, "caveat")), "pb_hex");
		struct action action = {
			.op = (enum action_op)vector_int(v, "op"),
			.bucket = bytes_str(vector_text(v, "bucket")),
			.path = vector_hex(a, v, "encrypted_path_hex"),
			.now_unix_ns = vector_time(v, "time"),
		};
		struct caveat c;
		assert_int_equal(caveat_decode(&call, a, wire, &c), OK);
		assert_int_equal(caveat_allows(&c, &action), vector_bool(v, "allowed"));
		struct macaroon m = { .caveats = &wire, .caveats_count = 1 };
		assert_int_equal(permission_check(&call, &m, 7, &action),
				 vector_bool(v, "allowed") ? OK : ERR_PERMISSION);
	}
}

static void key_versions(void **state)
{
	const json_t *list = vector_get(root, "key_version_gate");
	struct call call AUTO_CALL = CALL_INIT;
	struct macaroon m = { 0 };

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct action action = { .op = (enum action_op)vector_int(v, "op"),
					 .bucket = bytes_str("b"),
					 .path = bytes_str("p") };
		enum err e = permission_check(&call, &m, (unsigned)vector_int(v, "key_version"),
					      &action);
		assert_int_equal(e, vector_bool(v, "allowed") ? OK : ERR_PERMISSION);
	}
}

static struct bytes encoded(struct arena *a, const struct caveat *c)
{
	struct buf out AUTO_BUF = BUF_INIT(10000);

	caveat_encode(&out, c);
	return arena_bytes(a, buf_bytes(&out));
}

static void an_undecodable_caveat_fails_the_key(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct bytes bad = BYTES("\x08", 1);
	struct macaroon m = { .caveats = &bad, .caveats_count = 1 };
	struct action action = { .op = ACTION_PROJECT_INFO };

	assert_int_equal(permission_check(&call, &m, 7, &action), ERR_PERMISSION);
}

static void buckets_and_ttl(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct arena *a = &call.scratch;
	struct allowed_path first[] = { { bytes_str("c"), BYTES_NONE },
					{ bytes_str("a"), BYTES_NONE },
					{ bytes_str("c"), bytes_str("x") } };
	struct allowed_path second[] = { { bytes_str("b"), BYTES_NONE },
					 { bytes_str("c"), BYTES_NONE } };
	struct bytes caveats[] = {
		encoded(a, &(struct caveat){ .has_ttl = true, .ttl_ns = 9 * NS_PER_SEC }),
		encoded(a, &(struct caveat){ .paths = first, .paths_count = 3 }),
		encoded(a, &(struct caveat){ .paths = second,
					     .paths_count = 2,
					     .has_ttl = true,
					     .ttl_ns = 5 * NS_PER_SEC + 1 }),
		encoded(a, &(struct caveat){ .has_ttl = true, .ttl_ns = 0 }),
	};
	struct macaroon m = { .caveats = caveats, .caveats_count = 1 };
	struct bytes *buckets;
	size_t count;
	bool all;
	int64_t ttl;

	assert_int_equal(permission_buckets(&call, a, &m, &all, &buckets, &count), OK);
	assert_true(all);
	m.caveats_count = 2;
	assert_int_equal(permission_buckets(&call, a, &m, &all, &buckets, &count), OK);
	assert_false(all);
	assert_int_equal(count, 2);
	assert_bytes_equal(buckets[0], bytes_str("a"));
	assert_bytes_equal(buckets[1], bytes_str("c"));
	m.caveats_count = 3;
	assert_int_equal(permission_buckets(&call, a, &m, &all, &buckets, &count), OK);
	assert_int_equal(count, 1);
	assert_bytes_equal(buckets[0], bytes_str("c"));
	assert_int_equal(permission_ttl(&call, &m, &ttl), OK);
	assert_int_equal(ttl, 5 * NS_PER_SEC + 1);
	m.caveats_count = 4;
	assert_int_equal(permission_ttl(&call, &m, &ttl), ERR_INVALID);
	m.caveats_count = 0;
	assert_int_equal(permission_ttl(&call, &m, &ttl), OK);
	assert_int_equal(ttl, 0);
}

static int load(void **state)
{
	root = vectors_load("macaroon");
	return 0;
}

static int unload(void **state)
{
	json_decref(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_round_trip),
		cmocka_unit_test(restricting_makes_the_same_keys),
		cmocka_unit_test(new_keys),
		cmocka_unit_test(same_leniency),
		cmocka_unit_test(sections),
		cmocka_unit_test(text_errors_help),
		cmocka_unit_test(caveats_round_trip),
		cmocka_unit_test(caveat_decoder_leniency),
		cmocka_unit_test(caveat_times_of_all_signs),
		cmocka_unit_test(caveat_with_limits),
		cmocka_unit_test(evaluation_as_the_reference),
		cmocka_unit_test(key_versions),
		cmocka_unit_test(an_undecodable_caveat_fails_the_key),
		cmocka_unit_test(buckets_and_ttl),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
