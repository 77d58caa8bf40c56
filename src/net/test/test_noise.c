/* Noise against transcripts of the reference, both directions, both suites; its reader's rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/noise.h"
#include "vectors.h"
#include "vectors_stream.h"

struct keys {
	struct secret_key client_e, client_s, server_e, server_s;
	uint8_t server_public[X25519_BYTES];
};

static void load_key(struct arena *a, const json_t *keys, const char *name, void *out)
{
	struct bytes v = vector_hex(a, keys, name);

	assert_int_equal(v.len, 32);
	memcpy(out, v.data, 32);
}

static void load_keys(struct arena *a, json_t *root, struct keys *k)
{
	const json_t *keys = vector_get(root, "keys");

	load_key(a, keys, "initiator_ephemeral_private_hex", &k->client_e);
	load_key(a, keys, "initiator_static_private_hex", &k->client_s);
	load_key(a, keys, "responder_ephemeral_private_hex", &k->server_e);
	load_key(a, keys, "responder_static_private_hex", &k->server_s);
	load_key(a, keys, "responder_static_public_hex", k->server_public);
}

static void public_keys(void **state)
{
	static const char *const names[] = { "initiator_ephemeral", "initiator_static",
					     "responder_ephemeral", "responder_static" };
	json_t *root = vectors_load("noise");
	struct arena a = { 0 };
	struct secret_key private;
	struct noise_key k;
	uint8_t want[X25519_BYTES];
	char name[64];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(name, sizeof(name), "%s_private_hex", names[i]);
		load_key(&a, vector_get(root, "keys"), name, &private);
		snprintf(name, sizeof(name), "%s_public_hex", names[i]);
		load_key(&a, vector_get(root, "keys"), name, want);
		assert_int_equal(noise_key_init(&k, &private), OK);
		assert_bytes_equal(BYTES_OF(k.public), BYTES_OF(want));
	}
	arena_free(&a);
	json_decref(root);
}

static struct bytes payload_of(struct arena *a, const json_t *m)
{
	return json_object_get(m, "payload_hex")
		       ? vector_hex(a, m, "payload_hex")
		       : vector_stream(a, vector_text(m, "payload_stream_label"),
				       (size_t)vector_int(m, "payload_size"));
}

static void check_wire(struct arena *a, const json_t *m, struct bytes got)
{
	const json_t *wire = vector_get(m, "wire");

	assert_int_equal(got.len, vector_int(wire, "size"));
	if (json_object_get(wire, "hex")) {
		assert_bytes_equal(got, vector_hex(a, wire, "hex"));
	} else {
		uint8_t sum[HASH_BYTES];
		hash_sha256(got, sum);
		const char *key = json_object_get(wire, "sha256") ? "sha256" : "sha256_hex";
		assert_bytes_equal(BYTES_OF(sum), vector_hex(a, wire, key));
	}
}

static void check_step(struct arena *a, const json_t *session, const char *name, const void *got,
		       size_t len)
{
	const json_t *steps = json_object_get(session, "intermediate");

	if (steps)
		assert_bytes_equal(BYTES(got, len), vector_hex(a, steps, name));
}

/* Both ends in memory; every byte that leaves one is the reference's, and the other reads it. */
struct ends {
	struct noise_handshake client, server;
	struct noise_session client_session, server_session;
};

static void first_message(struct arena *a, const struct keys *k, const json_t *session,
			  const json_t *m, struct ends *e)
{
	enum noise_suite suite = (enum noise_suite)vector_int(session, "noise_proto");
	struct bytes payload = payload_of(a, m), read;
	size_t len = payload.len + NOISE_FIRST_OVERHEAD, parsed;
	AUTO_FREE uint8_t *wire = malloc(NOISE_HEADER_BYTES + len);
	AUTO_FREE uint8_t *copy = malloc(payload.len + 1);
	uint8_t *message = wire + NOISE_HEADER_BYTES;
	struct noise_key own;

	assert_int_equal(
		noise_client_start(&e->client, suite, k->server_public, &k->client_e, &k->client_s),
		OK);
	check_step(a, session, "h_after_premessage_hex", e->client.h, NOISE_HASH_BYTES);
	/* Gathered at its place, as connections do. */
	if (payload.len)
		memcpy(message + NOISE_FIRST_BEFORE, payload.data, payload.len);
	noise_put_header(wire, len);
	assert_int_equal(noise_client_write(&e->client,
					    BYTES(message + NOISE_FIRST_BEFORE, payload.len),
					    message),
			 OK);
	check_step(a, session, "k_after_ss_hex", &e->client.k, 32);
	check_step(a, session, "h_after_message_1_hex", e->client.h, NOISE_HASH_BYTES);
	check_wire(a, m, BYTES(wire, NOISE_HEADER_BYTES + len));
	assert_int_equal(noise_client_reopen(
				 &e->client,
				 BYTES(message + NOISE_FIRST_BEFORE, payload.len + AEAD_TAG_BYTES),
				 copy),
			 OK);
	assert_bytes_equal(BYTES(copy, payload.len), payload);

	assert_int_equal(noise_parse_header(NOISE_FIRST, BYTES(wire, 4), &parsed), OK);
	assert_int_equal(parsed, len);
	assert_int_equal(noise_key_init(&own, &k->server_s), OK);
	assert_int_equal(noise_server_start(&e->server, suite, &own), OK);
	assert_int_equal(noise_server_read(&e->server, message, len, &read), OK);
	assert_bytes_equal(read, payload);
	check_step(a, session, "h_after_message_1_hex", e->server.h, NOISE_HASH_BYTES);
}

static void second_message(struct arena *a, const struct keys *k, const json_t *session,
			   const json_t *m, struct ends *e)
{
	struct bytes payload = payload_of(a, m), read;
	size_t len = payload.len + NOISE_SECOND_OVERHEAD, parsed;
	AUTO_FREE uint8_t *wire = malloc(NOISE_HEADER_BYTES + len);
	uint8_t *message = wire + NOISE_HEADER_BYTES;

	noise_put_header(wire, len);
	assert_int_equal(
		noise_server_write(&e->server, &k->server_e, payload, message, &e->server_session),
		OK);
	check_wire(a, m, BYTES(wire, NOISE_HEADER_BYTES + len));
	check_step(a, session, "h_after_message_2_hex", e->server.h, NOISE_HASH_BYTES);
	assert_int_equal(noise_parse_header(NOISE_SECOND, BYTES(wire, 4), &parsed), OK);
	assert_int_equal(noise_client_read(&e->client, message, len, &read, &e->client_session),
			 OK);
	assert_bytes_equal(read, payload);
	struct bytes hash = vector_hex(a, session, "handshake_hash_hex");
	assert_bytes_equal(BYTES_OF(e->client_session.hash), hash);
	assert_bytes_equal(BYTES_OF(e->server_session.hash), hash);
}

static void records(struct arena *a, const json_t *m, struct ends *e)
{
	bool up = strcmp(vector_text(m, "from"), "client") == 0;
	struct noise_session *from = up ? &e->client_session : &e->server_session;
	struct noise_session *to = up ? &e->server_session : &e->client_session;
	struct bytes payload = payload_of(a, m);
	AUTO_FREE uint8_t *wire = malloc(payload.len + 4096);
	AUTO_FREE uint8_t *plain = malloc(NOISE_PLAIN_MAX);
	size_t at = 0, len;

	for (size_t done = 0, n; done < payload.len; done += n, at += n + 20) {
		n = MIN(payload.len - done, (size_t)NOISE_PLAIN_MAX);
		noise_put_header(wire + at, n + AEAD_TAG_BYTES);
		assert_int_equal(noise_seal(&from->seal, BYTES(payload.data + done, n),
					    wire + at + NOISE_HEADER_BYTES),
				 OK);
	}
	check_wire(a, m, BYTES(wire, at));
	for (size_t done = 0, to_at = 0; to_at < at; to_at += len) {
		struct bytes rest = BYTES(wire + to_at, at - to_at);
		assert_int_equal(noise_parse_header(NOISE_RECORD, rest, &len), OK);
		to_at += NOISE_HEADER_BYTES;
		assert_int_equal(noise_open(&to->open, BYTES(wire + to_at, len), plain), OK);
		assert_memory_equal(plain, payload.data + done, len - AEAD_TAG_BYTES);
		done += len - AEAD_TAG_BYTES;
	}
}

static void transcripts_of_the_reference(void **state)
{
	json_t *root = vectors_load("noise"), *session, *m;
	struct arena a = { 0 };
	struct keys k;
	size_t i, at, sessions = 0;

	load_keys(&a, root, &k);
	json_array_foreach(json_object_get(root, "sessions"), i, session)
	{
		struct ends e = { 0 };
		json_array_foreach(json_object_get(session, "wire_messages"), at, m)
		{
			if (at == 0)
				first_message(&a, &k, session, m, &e);
			else if (at == 1)
				second_message(&a, &k, session, m, &e);
			else
				records(&a, m, &e);
		}
		assert_true(at >= 4);
		noise_cipher_free(&e.client_session.seal);
		noise_cipher_free(&e.client_session.open);
		noise_cipher_free(&e.server_session.seal);
		noise_cipher_free(&e.server_session.open);
		sessions++;
	}
	assert_int_equal(sessions, 6);
	arena_free(&a);
	json_decref(root);
}

/* Reads a client's bytes to the end as a server; what it got of them, and how they ended. */
static const char *read_all(struct noise_handshake *hs, const struct keys *k, struct bytes in,
			    struct buf *plain, bool *ret_answered)
{
	uint8_t data[1024], answer[NOISE_SECOND_OVERHEAD];
	struct noise_session s = { 0 };
	struct bytes payload;
	size_t at = 0, len;
	const char *end = NULL;

	assert_true(in.len <= sizeof(data));
	memcpy(data, in.data, in.len);
	while (!end && at < in.len) {
		enum noise_message kind = s.seal.aead ? NOISE_RECORD : NOISE_FIRST;
		enum err e = noise_parse_header(kind, BYTES(data + at, in.len - at), &len);
		at += NOISE_HEADER_BYTES;
		if (e == ERR_WOULD_BLOCK || (!e && len > in.len - at)) {
			end = "unexpected eof";
		} else if (!e && kind == NOISE_FIRST) {
			e = noise_server_read(hs, data + at, len, &payload);
			if (!e)
				e = noise_server_write(hs, &k->server_e, BYTES_NONE, answer, &s);
		} else if (!e) {
			e = noise_open(&s.open, BYTES(data + at, len), data + at);
			payload = BYTES(data + at, len - AEAD_TAG_BYTES);
		}
		if (e && !end)
			end = "error";
		if (!end)
			buf_add_bytes(plain, payload);
		at += len;
	}
	*ret_answered = s.seal.aead != NULL;
	noise_cipher_free(&s.seal);
	noise_cipher_free(&s.open);
	return end ? end : "eof";
}

static void reader_rules_of_the_reference(void **state)
{
	json_t *root = vectors_load("noise"), *v;
	const json_t *reader = vector_get(root, "reader");
	struct arena a = { 0 };
	struct noise_handshake hs;
	struct noise_key own;
	struct keys k;
	size_t i;

	load_keys(&a, root, &k);
	assert_int_equal(noise_key_init(&own, &k.server_s), OK);
	json_array_foreach(json_object_get(reader, "cases"), i, v)
	{
		AUTO_BUF struct buf plain = BUF_INIT(1024);
		bool answered;
		assert_int_equal(noise_server_start(&hs, NOISE_CHACHAPOLY, &own), OK);
		const char *end = read_all(&hs, &k, vector_hex(&a, v, "client_to_server_hex"),
					   &plain, &answered);
		if (strcmp(end, vector_text(v, "end")) != 0)
			fail_msg("%s: %s", vector_text(v, "name"), end);
		assert_bytes_equal(buf_bytes(&plain), vector_hex(&a, v, "plaintext_hex"));
		assert_int_equal(answered, vector_bool(v, "server_answered"));
	}
	assert_int_equal(i, 17);
	arena_free(&a);
	json_decref(root);
}

static void header_limits(void **state)
{
	static const size_t most[] = { 65631, 65583, 65551 }, least[] = { 96, 48, 16 };
	uint8_t header[NOISE_HEADER_BYTES];
	size_t len;

	for (enum noise_message kind = NOISE_FIRST; kind <= NOISE_RECORD; kind++) {
		for (int over = -1; over <= 1; over++) {
			noise_put_header(header, most[kind] + (size_t)over);
			assert_int_equal(noise_parse_header(kind, BYTES_OF(header), &len),
					 over > 0 ? ERR_PROTOCOL : OK);
			noise_put_header(header, least[kind] + (size_t)over);
			assert_int_equal(noise_parse_header(kind, BYTES_OF(header), &len),
					 over < 0 ? ERR_PROTOCOL : OK);
		}
		assert_int_equal(noise_parse_header(kind, BYTES(header, 3), &len), ERR_WOULD_BLOCK);
	}
	header[0] = 0x81;
	assert_int_equal(noise_parse_header(NOISE_RECORD, BYTES(header, 1), &len), ERR_PROTOCOL);
}

static void suites_and_points_that_are_none(void **state)
{
	static const struct secret_key a = { { 1 } }, b = { { 2 } };
	uint8_t zero[X25519_BYTES] = { 0 }, out[NOISE_FIRST_OVERHEAD];
	struct noise_handshake hs;

	assert_int_equal(noise_client_start(&hs, NOISE_UNSET, zero, &a, &b), ERR_INVALID);
	assert_int_equal(noise_client_start(&hs, (enum noise_suite)3, zero, &a, &b), ERR_INVALID);
	assert_int_equal(noise_client_start(&hs, NOISE_AESGCM, zero, &a, &b), OK);
	assert_int_equal(noise_client_write(&hs, BYTES_NONE, out), ERR_CRYPTO);
	assert_int_equal(noise_peer_from(1, BYTES_OF(zero)).suite, NOISE_CHACHAPOLY);
	assert_int_equal(noise_peer_from(2, BYTES_OF(zero)).suite, NOISE_AESGCM);
	assert_int_equal(noise_peer_from(0, BYTES_OF(zero)).suite, NOISE_UNSET);
	assert_int_equal(noise_peer_from(3, BYTES_OF(zero)).suite, NOISE_UNSET);
	assert_int_equal(noise_peer_from((1LL << 32) + 1, BYTES_OF(zero)).suite, NOISE_UNSET);
	assert_int_equal(noise_peer_from(1, BYTES(zero, 31)).suite, NOISE_UNSET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_keys),
		cmocka_unit_test(transcripts_of_the_reference),
		cmocka_unit_test(reader_rules_of_the_reference),
		cmocka_unit_test(header_limits),
		cmocka_unit_test(suites_and_points_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
