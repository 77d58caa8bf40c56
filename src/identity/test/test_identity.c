/* Node IDs, node URLs, chains, identity files: known answers of the reference; creating our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "identity/identity.h"
#include "identity/pem.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/file.h"
#include "vectors.h"

static void must(struct call *call, enum err e)
{
	if (e)
		print_error("%s: %s\n", err_name(e), call_error(call, e));
	assert_int_equal(e, OK);
}

static struct node_id id_of(struct arena *a, const json_t *v, const char *key)
{
	struct node_id id;

	assert_int_equal(node_id_from_bytes(vector_hex(a, v, key), &id), OK);
	return id;
}

static void node_ids(void **state)
{
	static const char *const lists[] = { "ids", "known_production_ids" };
	json_t *root = vectors_load("node_id"), *v;
	struct arena a = { 0 };
	char text[NODE_ID_TEXT_MAX];
	struct node_id back;
	size_t i;

	for (size_t l = 0; l < ARRAY_LEN(lists); l++)
		json_array_foreach(json_object_get(root, lists[l]), i, v)
		{
			struct node_id id = id_of(&a, v, "bytes_hex");
			node_id_text(&id, text);
			assert_string_equal(text, vector_text(v, "string"));
			assert_int_equal(node_id_parse(bytes_str(text), &back), OK);
			if (json_object_get(v, "string_decodes_to_hex"))
				id = id_of(&a, v, "string_decodes_to_hex");
			assert_true(node_id_equal(&back, &id));
			if (json_object_get(v, "difficulty"))
				assert_int_equal(node_id_difficulty(&id),
						 vector_int(v, "difficulty"));
			else
				assert_true(node_id_is_zero(&id));
		}
	json_array_foreach(json_object_get(root, "invalid_strings"), i, v)
		assert_int_equal(node_id_parse(bytes_str(json_string_value(v)), &back), ERR_FORMAT);
	assert_int_equal(node_id_from_bytes(bytes_str("short"), &back), ERR_FORMAT);
	arena_free(&a);
	json_decref(root);
}

static void node_urls(void **state)
{
	json_t *root = vectors_load("node_id"), *v;
	struct arena a = { 0 };
	struct node_url url;
	struct call call;
	size_t i;

	call_init(&call);
	json_array_foreach(json_object_get(root, "node_urls"), i, v)
	{
		AUTO_BUF struct buf out = BUF_INIT(NODE_URL_MAX);
		struct node_id id = id_of(&a, v, "id_hex");
		must(&call, node_url_parse(&call, &a, bytes_str(vector_text(v, "input")), &url));
		assert_true(node_id_equal(&url.id, &id));
		assert_int_equal(url.has_id, !node_id_is_zero(&id));
		assert_string_equal(url.address, vector_text(v, "address"));
		assert_int_equal(url.debounce, vector_int(v, "debounce"));
		assert_int_equal(url.features, vector_int(v, "features"));
		assert_int_equal(url.noise_proto, vector_int(v, "noise_proto"));
		assert_bytes_equal(url.noise_pub, vector_hex(&a, v, "noise_pub_hex"));
		node_url_add(&out, &url);
		assert_string_equal(buf_cstr(&out), vector_text(v, "canonical"));
	}
	json_array_foreach(json_object_get(root, "invalid_node_urls"), i, v)
	{
		assert_int_equal(node_url_parse(&call, &a, bytes_str(json_string_value(v)), &url),
				 ERR_FORMAT);
		assert_true(call.error[0]);
	}
	static const char *const bad[] = {
		"@host:1",
		"host:7777x",
		"storj://host:1?debounce=x",
		"host:1?f=1ffffffffffffffff",
		"host:1?noise_pub=0OIl",
		"STORJ://host:1",
		"h\x01st:1",
	};
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(node_url_parse(&call, &a, bytes_str(bad[i]), &url), ERR_FORMAT);
	must(&call, node_url_parse(&call, &a, BYTES_NONE, &url));
	assert_string_equal(url.address, "");
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

static void check_identity(struct call *call, struct arena *a, const json_t *v)
{
	struct cert_chain *chain;
	struct identity *id;
	struct node_id got, want = id_of(a, v, "node_id_hex");
	char text[NODE_ID_TEXT_MAX];

	must(call, identity_from_pem(call, bytes_str(vector_text(v, "identity_cert_pem")),
				     bytes_str(vector_text(v, "identity_key_pem")), &id));
	assert_true(node_id_equal(identity_node_id(id), &want));
	assert_int_equal(node_id_difficulty(&want), vector_int(v, "difficulty"));
	node_id_text(&want, text);
	assert_string_equal(text, vector_text(v, "node_id_string"));
	assert_int_equal(cert_chain_count(identity_chain(id)), vector_int(v, "chain_length"));
	assert_bytes_equal(cert_chain_der(identity_chain(id)),
			   vector_hex(a, v, "peer_certchain_blob_hex"));

	struct bytes blob = vector_hex(a, v, "peer_certchain_blob_hex");
	must(call, cert_chain_from_der(call, blob, &chain));
	must(call, cert_chain_node_id(call, chain, &got));
	assert_true(node_id_equal(&got, &want));
	must(call, cert_chain_check_dialed(call, chain, &want));
	must(call, cert_chain_check_dialed(call, chain, NULL));
	got.b[3] ^= 1;
	assert_int_equal(cert_chain_check_dialed(call, chain, &got), ERR_UNAUTHENTICATED);
	assert_non_null(strstr(call->error, text));

	const json_t *sample = vector_get(v, "signature_sample");
	struct bytes message = vector_hex(a, sample, "message_hex");
	struct bytes signature = vector_hex(a, sample, "ecdsa_der_signature_by_leaf_hex");
	must(call, public_key_verify(call, cert_chain_leaf_key(chain), message, signature));
	AUTO_BUF struct buf mine = BUF_INIT(SIGNATURE_MAX);
	must(call, private_key_sign(call, identity_key(id), message, &mine));
	must(call, public_key_verify(call, cert_chain_leaf_key(chain), message, buf_bytes(&mine)));
	cert_chain_free(chain);

	/* Not one byte of the chain may change; a cut is noticed as well. */
	struct buf changed = BUF_INIT(CHAIN_DER_MAX);
	buf_add_bytes(&changed, blob);
	for (size_t i = 0; i < blob.len; i += 7) {
		changed.data[i] ^= 0x10;
		if (cert_chain_from_der(call, buf_bytes(&changed), &chain) == OK) {
			/* An outer algorithm field nobody looks at, as in the reference. */
			must(call, cert_chain_node_id(call, chain, &got));
			assert_true(node_id_equal(&got, &want));
			cert_chain_free(chain);
		}
		changed.data[i] ^= 0x10;
	}
	assert_int_not_equal(cert_chain_from_der(call, BYTES(blob.data, blob.len - 1), &chain), OK);
	buf_free(&changed);
	identity_free(id);
}

static void identities(void **state)
{
	json_t *root = vectors_load("identity"), *v;
	struct arena a = { 0 };
	struct call call;
	size_t i;

	call_init(&call);
	json_array_foreach(json_object_get(root, "identities"), i, v) check_identity(&call, &a, v);
	assert_int_equal(i, 3);
	json_array_foreach(json_object_get(root, "invalid"), i, v)
	{
		AUTO_BUF struct buf der = BUF_INIT(CHAIN_DER_MAX);
		struct bytes pem = bytes_str(vector_text(v, "chain_pem"));
		struct cert_chain *chain;
		bool matched;
		while (pem_next(&pem, "CERTIFICATE", &der, &matched) == OK)
			assert_true(matched);
		assert_int_equal(cert_chain_from_der(&call, buf_bytes(&der), &chain), ERR_CRYPTO);
	}
	/* A key that is not the leaf's. */
	json_t *list = json_object_get(root, "identities");
	struct identity *id;
	assert_int_equal(
		identity_from_pem(
			&call, bytes_str(vector_text(json_array_get(list, 0), "identity_cert_pem")),
			bytes_str(vector_text(json_array_get(list, 1), "identity_key_pem")), &id),
		ERR_INVALID);
	call_fini(&call);
	arena_free(&a);
	json_decref(root);
}

static void one_certificate_has_no_id(void **state)
{
	json_t *root = vectors_load("identity");
	AUTO_BUF struct buf der = BUF_INIT(CHAIN_DER_MAX);
	struct cert_chain *chain;
	struct node_id id;
	struct call call;
	bool matched;

	call_init(&call);
	json_t *v = json_array_get(json_object_get(root, "identities"), 0);
	struct bytes pem = bytes_str(vector_text(v, "ca_cert_pem"));
	assert_int_equal(pem_next(&pem, "CERTIFICATE", &der, &matched), OK);
	must(&call, cert_chain_from_der(&call, buf_bytes(&der), &chain));
	assert_int_equal(cert_chain_node_id(&call, chain, &id), ERR_UNAUTHENTICATED);
	cert_chain_free(chain);
	/* The leaf alone is not signed by itself. */
	struct buf leaf = BUF_INIT(CHAIN_DER_MAX);
	pem = bytes_str(vector_text(v, "identity_cert_pem"));
	assert_int_equal(pem_next(&pem, "CERTIFICATE", &leaf, &matched), OK);
	assert_int_equal(cert_chain_from_der(&call, buf_bytes(&leaf), &chain), ERR_CRYPTO);
	buf_free(&leaf);
	call_fini(&call);
	json_decref(root);
}

static void pem_blocks(void **state)
{
	AUTO_BUF struct buf text = BUF_INIT(4096), der = BUF_INIT(4096);
	bool matched;

	buf_add_str(&text, "words before\r\n");
	pem_add(&text, "OTHER", bytes_str("x"));
	pem_add(&text, "CERTIFICATE",
		bytes_str("fifty bytes of something longer than one line of it"));
	struct bytes at = buf_bytes(&text);
	assert_int_equal(pem_next(&at, "CERTIFICATE", &der, &matched), OK);
	assert_false(matched);
	assert_int_equal(pem_next(&at, "CERTIFICATE", &der, &matched), OK);
	assert_true(matched);
	assert_bytes_equal(buf_bytes(&der),
			   bytes_str("fifty bytes of something longer than one line of it"));
	assert_int_equal(pem_next(&at, "CERTIFICATE", &der, &matched), ERR_NOT_FOUND);
	static const char *const bad[] = {
		"-----BEGIN A-----\nQQ==\n",
		"-----BEGIN A-----\nQQ==\n-----END B-----\n",
		"-----BEGIN A-----\n!!!!\n-----END A-----\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		at = bytes_str(bad[i]);
		assert_int_equal(pem_next(&at, "A", &der, &matched), ERR_FORMAT);
	}
}

static void count_ticks(void *arg, uint64_t tried, uint64_t expected)
{
	uint64_t *last = arg;

	assert_true(tried >= *last);
	assert_int_equal(expected, 4);
	*last = tried;
}

static mode_t mode_of(const char *dir, const char *name)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void create_and_load(void **state)
{
	char tmp[] = "/tmp/acre-identity-XXXXXX", dir[100], cert[200], key[200];
	uint64_t tried = 0;
	struct identity_search search = {
		.difficulty = 10, .threads = 2, .progress = count_ticks, .progress_arg = &tried
	};
	struct identity *id;
	struct node_id made;
	struct call call;

	call_init(&call);
	umask(022);
	assert_non_null(mkdtemp(tmp));
	snprintf(dir, sizeof(dir), "%s/a/b", tmp);
	snprintf(cert, sizeof(cert), "%s/identity.cert", dir);
	snprintf(key, sizeof(key), "%s/identity.key", dir);
	must(&call, identity_create(&call, dir, &search, &made));
	assert_true(tried >= 1);
	assert_true(node_id_difficulty(&made) >= 10);
	must(&call, identity_load(&call, cert, key, &id));
	assert_true(node_id_equal(identity_node_id(id), &made));
	assert_int_equal(cert_chain_count(identity_chain(id)), 2);
	must(&call, cert_chain_check_dialed(&call, identity_chain(id), &made));
	identity_free(id);
	assert_int_equal(mode_of(dir, "ca.key"), 0600);
	assert_int_equal(mode_of(dir, "ca.cert"), 0644);
	assert_int_equal(mode_of(dir, "identity.key"), 0600);
	assert_int_equal(mode_of(dir, "identity.cert"), 0644);

	/* Nothing is overwritten, even when only one file is there; nothing is left half done. */
	assert_int_equal(identity_create(&call, dir, &search, &made), ERR_EXISTS);
	assert_int_equal(unlink(cert), 0);
	assert_int_equal(unlink(key), 0);
	assert_int_equal(identity_create(&call, dir, &search, &made), ERR_EXISTS);
	assert_int_equal(access(cert, F_OK), -1);
	assert_int_equal(identity_load(&call, cert, key, &id), ERR_NOT_FOUND);
	call_fini(&call);
}

static void search_can_be_stopped(void **state)
{
	char tmp[] = "/tmp/acre-identity-XXXXXX";
	struct identity_search search = { .difficulty = 60, .threads = 2 };
	struct node_id id;
	struct call call;

	call_init(&call);
	assert_non_null(mkdtemp(tmp));
	os_call_limit(&call, 100 * NS_PER_MS);
	assert_int_equal(identity_create(&call, tmp, &search, &id), ERR_DEADLINE);
	search.difficulty = 250;
	assert_int_equal(identity_create(&call, tmp, &search, &id), ERR_INVALID);
	assert_int_equal(rmdir(tmp), 0);
	call_fini(&call);
}

static void ephemeral(void **state)
{
	struct identity *id, *other;
	struct call call;

	call_init(&call);
	must(&call, identity_ephemeral(&call, &id));
	must(&call, identity_ephemeral(&call, &other));
	assert_false(node_id_equal(identity_node_id(id), identity_node_id(other)));
	must(&call, cert_chain_check_dialed(&call, identity_chain(id), identity_node_id(id)));
	identity_free(id);
	identity_free(other);
	call_fini(&call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(node_ids),
		cmocka_unit_test(node_urls),
		cmocka_unit_test(identities),
		cmocka_unit_test(one_certificate_has_no_id),
		cmocka_unit_test(pem_blocks),
		cmocka_unit_test(create_and_load),
		cmocka_unit_test(search_can_be_stopped),
		cmocka_unit_test(ephemeral),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
