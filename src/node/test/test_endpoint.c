/* The node from outside: every rule of storagenode.md 3 to 5 tried over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "network.h"
#include "node/node_internal.h"
#include "node/node_status.h"
#include "node/order_file.h"
#include "os/clock.h"
#include "os/file.h"
#include "proto/piecestore2.pb-c.h"

#define PUT ORDERS__PIECE_ACTION__PUT
#define GET ORDERS__PIECE_ACTION__GET
#define UPLOAD "/piecestore.Piecestore/Upload"
#define DOWNLOAD "/piecestore.Piecestore/Download"

enum {
	STATUS_CANCELED = 2,
	STATUS_INVALID = 3,
	STATUS_NOT_FOUND = 5,
	STATUS_PERMISSION = 7,
	STATUS_ABORTED = 10,
	STATUS_UNIMPLEMENTED = 12,
	STATUS_INTERNAL = 13,
	STATUS_UNAVAILABLE = 14,
	STATUS_UNAUTHENTICATED = 16
};

static struct network *net;

static uint8_t *make_data(size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 31 + i / 251);
	return p;
}

static void store(unsigned piece, size_t len)
{
	AUTO_FREE uint8_t *data = make_data(len);
	uint64_t status = 0;
	struct ticket *t = network_ticket(net, PUT, (int64_t)MAX(len, (size_t)1), piece);

	assert_int_equal(network_upload(net, t, BYTES(data, len), HASH_BLAKE3, &status), OK);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = {
		1, 256, 65535, 65536, 65537, 131072, 131073, 900000, 2319872
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (int algorithm = 0; algorithm <= 1; algorithm++) {
			AUTO_FREE uint8_t *data = make_data(sizes[i]);
			AUTO_BUF struct buf got = BUF_INIT(4 << 20);
			uint64_t status = 0;
			unsigned piece = (unsigned)(i * 2) + (unsigned)algorithm;
			int64_t size = (int64_t)sizes[i];
			struct ticket *t = network_ticket(net, PUT, size + 300000, piece);
			assert_int_equal(
				network_upload(net, t, BYTES(data, sizes[i]), algorithm, &status),
				OK);
			t = network_ticket(net, GET, size, piece);
			assert_int_equal(network_download(net, t, 0, size, &got, &status), OK);
			assert_int_equal(got.len, sizes[i]);
			assert_memory_equal(got.data, data, sizes[i]);
			if (size < 100)
				continue;
			buf_clear(&got);
			t = network_ticket(net, ORDERS__PIECE_ACTION__GET_AUDIT, 50, piece);
			assert_int_equal(network_download(net, t, size - 60, 50, &got, &status),
					 OK);
			assert_int_equal(got.len, 50);
			assert_memory_equal(got.data, data + size - 60, 50);
		}
}

/* ---- limits ---- */

static void set_id(ProtobufCBinaryData *v, uint8_t byte)
{
	v->data = arena_alloc(&net->call.scratch, 32);
	memset(v->data, byte, 32);
	v->len = 32;
}

static Google__Protobuf__Timestamp *in_hours(double hours)
{
	return proto_time_new(&net->call.scratch,
			      os_clock_unix_ns() + (int64_t)(hours * 3600 * NS_PER_SEC));
}

static void bad_limit(struct ticket *t)
{
	t->limit.limit = -1;
}
static void bad_node(struct ticket *t)
{
	set_id(&t->limit.storage_node_id, 9);
}
static void bad_piece_expired(struct ticket *t)
{
	t->limit.piece_expiration = in_hours(-48.1);
}
static void bad_order_expired(struct ticket *t)
{
	t->limit.order_expiration = in_hours(-48.1);
}
static void bad_too_old(struct ticket *t)
{
	t->limit.order_creation = in_hours(-1.01);
}
static void bad_future(struct ticket *t)
{
	t->limit.order_creation = in_hours(1.01);
}
static void bad_no_creation(struct ticket *t)
{
	t->limit.order_creation = NULL;
}
static void bad_satellite_zero(struct ticket *t)
{
	set_id(&t->limit.satellite_id, 0);
}
static void bad_no_key(struct ticket *t)
{
	t->limit.uplink_public_key.len = 0;
}
static void bad_piece_zero(struct ticket *t)
{
	set_id(&t->limit.piece_id, 0);
}
static void bad_untrusted(struct ticket *t)
{
	set_id(&t->limit.satellite_id, 5);
}
static void good_piece_expired(struct ticket *t)
{
	t->limit.piece_expiration = in_hours(-47.9);
}
static void good_order_expired(struct ticket *t)
{
	t->limit.order_expiration = in_hours(-47.9);
}
static void good_old(struct ticket *t)
{
	t->limit.order_creation = in_hours(-0.99);
}
static void good_future(struct ticket *t)
{
	t->limit.order_creation = in_hours(0.99);
}

static const struct {
	const char *name;
	void (*change)(struct ticket *t);
	uint64_t status; /* 0 = fine */
} limit_cases[] = {
	{ "negative limit", bad_limit, STATUS_INVALID },
	{ "another node", bad_node, STATUS_INVALID },
	{ "piece expired", bad_piece_expired, STATUS_INVALID },
	{ "order expired", bad_order_expired, STATUS_INVALID },
	{ "too old", bad_too_old, STATUS_INVALID },
	{ "from the future", bad_future, STATUS_INVALID },
	{ "no creation time", bad_no_creation, STATUS_INVALID },
	{ "no satellite", bad_satellite_zero, STATUS_INVALID },
	{ "no key", bad_no_key, STATUS_INVALID },
	{ "no piece", bad_piece_zero, STATUS_INVALID },
	{ "untrusted satellite", bad_untrusted, STATUS_PERMISSION },
	{ "piece expired within the grace", good_piece_expired, 0 },
	{ "order expired within the grace", good_order_expired, 0 },
	{ "nearly too old", good_old, 0 },
	{ "nearly from the future", good_future, 0 },
};

static void test_limit_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limit_cases); i++) {
		uint64_t status = 0;
		AUTO_BUF struct buf got = BUF_INIT(1000);
		struct ticket *t = network_ticket(net, PUT, 1000, 100 + (unsigned)i);
		limit_cases[i].change(t);
		network_sign(net, t);
		enum err e = network_upload(net, t, BYTES("abc", 3), HASH_BLAKE3, &status);
		if (status != limit_cases[i].status || !e != !limit_cases[i].status)
			fail_msg("upload, %s: status %llu", limit_cases[i].name,
				 (unsigned long long)status);
		store(500, 10);
		t = network_ticket(net, GET, limit_cases[i].change == bad_limit ? -1 : 10, 500);
		if (limit_cases[i].change != bad_limit)
			limit_cases[i].change(t);
		network_sign(net, t);
		e = network_download(net, t, 0, 0, &got, &status);
		if (limit_cases[i].status && status != limit_cases[i].status)
			fail_msg("download, %s: status %llu", limit_cases[i].name,
				 (unsigned long long)status);
	}
}

static void test_signature_and_serial(void **state)
{
	uint64_t status = 0;
	AUTO_BUF struct buf got = BUF_INIT(1000);

	(void)state;
	struct ticket *t = network_ticket(net, PUT, 1000, 200);
	t->limit.satellite_signature.data[10] ^= 1;
	assert_true(network_upload(net, t, BYTES("abc", 3), HASH_BLAKE3, &status) != OK);
	assert_int_equal(status, STATUS_UNAUTHENTICATED);
	t->limit.satellite_signature.len = 0;
	assert_true(network_upload(net, t, BYTES("abc", 3), HASH_BLAKE3, &status) != OK);
	assert_int_equal(status, STATUS_INVALID);
	/* Signed by somebody else. */
	t = network_ticket(net, PUT, 1000, 200);
	assert_int_equal(order_limit_sign(&net->call, &net->call.scratch, &t->limit,
					  identity_key(net->uplink_id)),
			 OK);
	assert_true(network_upload(net, t, BYTES("abc", 3), HASH_BLAKE3, &status) != OK);
	assert_int_equal(status, STATUS_UNAUTHENTICATED);
	/* A serial serves one request, whatever the action. */
	t = network_ticket(net, PUT, 1000, 200);
	assert_int_equal(network_upload(net, t, BYTES("abc", 3), HASH_BLAKE3, &status), OK);
	assert_true(network_upload(net, t, BYTES("abc", 3), HASH_BLAKE3, &status) != OK);
	assert_int_equal(status, STATUS_UNAUTHENTICATED);
	t->limit.action = GET;
	network_sign(net, t);
	assert_true(network_download(net, t, 0, 3, &got, &status) != OK);
	assert_int_equal(status, STATUS_UNAUTHENTICATED);
	/* Also after a restart: it is in the order log. */
	network_stop_node(net);
	network_start_node(net);
	assert_true(network_download(net, t, 0, 3, &got, &status) != OK);
	assert_int_equal(status, STATUS_UNAUTHENTICATED);
	t = network_ticket(net, GET, 3, 200);
	assert_int_equal(network_download(net, t, 0, 3, &got, &status), OK);
	assert_int_equal(got.len, 3);
}

/* ---- uploads ---- */

/* Sends the messages and returns the status of the answer, 0 for success. */
static uint64_t conversation(const char *method, const struct request *messages, size_t count,
			     bool half_close)
{
	struct talk t;
	struct bytes answer;
	enum err e = OK;

	talk_begin(net, &t, method);
	for (size_t i = 0; i < count && !e; i++)
		e = talk_send(net, &t, &messages[i]);
	if (!e && half_close)
		e = rpc_close_send(&t.call, t.stream);
	while ((e = rpc_recv(&t.call, t.stream, &answer)) == OK)
		;
	uint64_t status = e == ERR_EOF ? 0 : t.call.status ? t.call.status : err_status(e);
	talk_end(&t);
	return status;
}
#define TALK(method, ...)                                                                          \
	conversation(method, (const struct request[]){ __VA_ARGS__ },                              \
		     sizeof((const struct request[]){ __VA_ARGS__ }) / sizeof(struct request),     \
		     true)

static void test_upload_rules(void **state)
{
	uint8_t data[1000] = { 1, 2, 3 }, hash[HASH_BYTES], sha[HASH_BYTES],
		wrong[HASH_BYTES] = { 0 };
	unsigned piece = 300;
	struct ticket *t;

	(void)state;
	hash_blake3(BYTES_OF(data), hash);
	hash_sha256(BYTES_OF(data), sha);
	struct bytes all = BYTES_OF(data), half = BYTES(data, 500), rest = BYTES(data + 500, 500);
#define NEW (t = network_ticket(net, PUT, 2000, ++piece))
#define ORDER(n) .order_by = t, .order_amount = (n)
#define CHUNK(at, bytes_) .has_chunk = true, .offset = (at), .data = (bytes_)
#define DONE(h, n)                                                                                 \
	.done = true, .done_by = t, .done_hash = (h), .done_size = (n), .done_algorithm = 1

	NEW; /* all in one message */
	assert_int_equal(
		TALK(UPLOAD,
		     { .limit = t, .algorithm = 1, ORDER(1000), CHUNK(0, all), DONE(hash, 1000) }),
		0);
	NEW; /* an order may exceed the data, orders may repeat */
	assert_int_equal(TALK(UPLOAD, { .limit = t, .algorithm = 1 }, { ORDER(1000) },
			      { ORDER(1000), CHUNK(0, half) }, { ORDER(2000), CHUNK(500, rest) },
			      { DONE(hash, 1000) }),
			 0);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .algorithm = 1 }), STATUS_INVALID);
	assert_int_equal(TALK(UPLOAD, { .order_by = t, .order_amount = 5 }), STATUS_INVALID);
	assert_int_equal(conversation(UPLOAD, NULL, 0, true), STATUS_CANCELED);
	t->limit.action = GET;
	network_sign(net, t);
	assert_int_equal(TALK(UPLOAD, { .limit = t }), STATUS_INVALID);
	NEW; /* chunk without an order, beyond it, out of order, twice */
	assert_int_equal(TALK(UPLOAD, { .limit = t }, { CHUNK(0, all) }), STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(999) }, { CHUNK(0, all) }),
			 STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(1000) }, { CHUNK(1, half) }),
			 STATUS_INVALID);
	NEW;
	assert_int_equal(
		TALK(UPLOAD, { .limit = t, ORDER(1000) }, { CHUNK(0, half) }, { CHUNK(0, half) }),
		STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(1000) }, { CHUNK(-1, half) }),
			 STATUS_INVALID);
	NEW; /* orders: smaller, above the limit, other serial, bad signature, negative */
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(1000) }, { ORDER(999) }), STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(2001) }), STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(-1) }), STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(5), .other_order_serial = true }),
			 STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(5), .bad_order_signature = true }),
			 STATUS_UNAUTHENTICATED);
	NEW; /* a later one as well, and at once: who sent it may wait for that */
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(5) },
			      { ORDER(1000), .bad_order_signature = true }),
			 STATUS_UNAUTHENTICATED);
	/* the end: algorithm, piece, hash, signature are Internal; the size is InvalidArgument */
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(1000), CHUNK(0, all), DONE(sha, 1000) }),
			 STATUS_INTERNAL);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t,
					.algorithm = 1,
					ORDER(1000),
					CHUNK(0, all),
					DONE(hash, 1000),
					.other_done_piece = true }),
			 STATUS_INTERNAL);
	NEW;
	assert_int_equal(
		TALK(UPLOAD,
		     { .limit = t, .algorithm = 1, ORDER(1000), CHUNK(0, all), DONE(wrong, 1000) }),
		STATUS_INTERNAL);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t,
					.algorithm = 1,
					ORDER(1000),
					CHUNK(0, all),
					DONE(hash, 1000),
					.bad_done_signature = true }),
			 STATUS_INTERNAL);
	NEW;
	assert_int_equal(
		TALK(UPLOAD,
		     { .limit = t, .algorithm = 1, ORDER(1000), CHUNK(0, all), DONE(hash, 999) }),
		STATUS_INVALID);
	NEW;
	assert_int_equal(TALK(UPLOAD, { .limit = t, .algorithm = 7 }), STATUS_INVALID);
	NEW; /* ended before it is done: nothing remains */
	assert_int_equal(TALK(UPLOAD, { .limit = t, .algorithm = 1, ORDER(1000), CHUNK(0, all) }),
			 STATUS_ABORTED);
	AUTO_BUF struct buf got = BUF_INIT(4000);
	uint64_t status = 0;
	t = network_ticket(net, GET, 10, piece);
	assert_int_equal(network_download(net, t, 0, 10, &got, &status), ERR_NOT_FOUND);
	assert_int_equal(status, STATUS_NOT_FOUND);
	/* no room */
	t = network_ticket(net, PUT, INT64_C(1) << 31, ++piece);
	assert_int_equal(TALK(UPLOAD, { .limit = t }), STATUS_ABORTED);
}

/* A piece is there when it was acknowledged, and an unfinished second upload of it changes nothing
 * (defect 1). */
static void test_upload_visibility(void **state)
{
	AUTO_FREE uint8_t *data = make_data(300000);
	AUTO_BUF struct buf got = BUF_INIT(1 << 20);
	struct talk talk;
	uint64_t status = 0;

	(void)state;
	store(400, 200000);
	struct ticket *t = network_ticket(net, PUT, 300000, 400);
	talk_begin(net, &talk, UPLOAD);
	assert_int_equal(
		talk_send(net, &talk,
			  &(struct request){ .limit = t, .order_by = t, .order_amount = 300000 }),
		OK);
	for (size_t at = 0; at < 300000; at += 50000)
		assert_int_equal(talk_send(net, &talk,
					   &(struct request){ .has_chunk = true,
							      .offset = (int64_t)at,
							      .data = BYTES(data + at, 50000) }),
				 OK);
	assert_int_equal(rpc_flush(&talk.call, talk.stream), OK);
	struct ticket *g = network_ticket(net, GET, 200000, 400);
	assert_int_equal(network_download(net, g, 0, 200000, &got, &status), OK);
	assert_int_equal(got.len, 200000);
	talk_end(&talk);
	buf_clear(&got);
	g = network_ticket(net, GET, 200000, 400);
	assert_int_equal(network_download(net, g, 0, 200000, &got, &status), OK);
	assert_memory_equal(got.data, data, 200000);
	/* A second upload that is finished replaces it. */
	store(400, 300000);
	buf_clear(&got);
	g = network_ticket(net, GET, 300000, 400);
	assert_int_equal(network_download(net, g, 0, 300000, &got, &status), OK);
	assert_int_equal(got.len, 300000);
}

static void test_download_rules(void **state)
{
	struct ticket *t;

	(void)state;
	store(410, 1000);
#define GET_NEW (t = network_ticket(net, GET, 1000, 410))
#define RANGE(at, n) .has_chunk = true, .offset = (at), .size = (n)
	GET_NEW;
	assert_int_equal(TALK(DOWNLOAD, { .has_chunk = true, .size = 5 }), STATUS_INVALID);
	assert_int_equal(TALK(DOWNLOAD, { .limit = t }), STATUS_INVALID);
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 1001) }), STATUS_INVALID);
	/* Ranges: beyond the end, negative, overflowing (defect 2). */
	static const int64_t bad[][2] = { { 1, 1000 },	   { 1001, 0 },		{ -1, 10 },
					  { 0, -1 },	   { INT64_MAX, 1000 }, { INT64_MIN, 1 },
					  { 5, INT64_MIN } };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		GET_NEW;
		assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(bad[i][0], bad[i][1]) }),
				 STATUS_INVALID);
	}
	GET_NEW;
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(1000, 0) }), 0);
	GET_NEW;
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 1000), ORDER(1000) }), 0);
	t = network_ticket(net, PUT, 1000, 410);
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 10) }), STATUS_INVALID);
	t = network_ticket(net, GET, 1000, 499);
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 10) }), STATUS_NOT_FOUND);
	/* Orders: all that is wrong with them is Internal here. */
	GET_NEW;
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 1000), ORDER(1001) }),
			 STATUS_INTERNAL);
	GET_NEW;
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 1000), ORDER(500) }, { ORDER(400) }),
			 STATUS_INTERNAL);
	GET_NEW;
	assert_int_equal(
		TALK(DOWNLOAD, { .limit = t, RANGE(0, 1000), ORDER(500) }, { .has_chunk = true }),
		STATUS_INTERNAL);
	GET_NEW;
	assert_int_equal(
		TALK(DOWNLOAD,
		     { .limit = t, RANGE(0, 1000), ORDER(500), .bad_order_signature = true }),
		STATUS_INTERNAL);
	/* Half closed before all was paid for: no error, and no more than was paid. */
	GET_NEW;
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 1000), ORDER(500) }), 0);
}

/* Counts the bytes of chunks in an answer. */
static size_t chunk_bytes(struct bytes answer)
{
	struct wire w = wire_read(answer), chunk;
	struct wire_field f, g;
	size_t n = 0;

	while (wire_field(&w, &f)) {
		if (f.number != 1)
			continue;
		chunk = wire_read(f.bytes);
		while (wire_field(&chunk, &g))
			n += g.number == 2 ? g.bytes.len : 0;
	}
	return n;
}

/* Nothing is sent beyond what was ordered, however long the node waits. */
static void test_download_credit(void **state)
{
	struct talk talk;
	struct bytes answer;
	size_t got = 0;

	(void)state;
	store(420, 500000);
	struct ticket *t = network_ticket(net, GET, 500000, 420);
	talk_begin(net, &talk, DOWNLOAD);
	assert_int_equal(talk_send(net, &talk,
				   &(struct request){ .limit = t,
						      RANGE(0, 500000),
						      .maximum_chunk_size = 16384 }),
			 OK);
	assert_int_equal(talk_send(net, &talk, &(struct request){ ORDER(100000) }), OK);
	while (got < 100000) {
		assert_int_equal(rpc_recv(&talk.call, talk.stream, &answer), OK);
		assert_true(chunk_bytes(answer) <= 16384);
		got += chunk_bytes(answer);
	}
	assert_int_equal(got, 100000);
	assert_int_equal(os_sleep(&talk.call, 200 * NS_PER_MS), OK);
	assert_int_equal(rpc_try_recv(&talk.call, talk.stream, &answer), ERR_WOULD_BLOCK);
	assert_int_equal(talk_send(net, &talk, &(struct request){ ORDER(500000) }), OK);
	while (got < 500000) {
		assert_int_equal(rpc_recv(&talk.call, talk.stream, &answer), OK);
		got += chunk_bytes(answer);
	}
	assert_int_equal(rpc_recv(&talk.call, talk.stream, &answer), ERR_EOF);
	talk_end(&talk);
}

/* A repairer gets the uplink's hash and the original limit, complete, before the data. */
static void test_repair(void **state)
{
	AUTO_FREE uint8_t *data = make_data(70000);
	struct talk talk;
	struct bytes answer, hash = BYTES_NONE, limit = BYTES_NONE;
	uint64_t status = 0;
	struct wire_field f;
	Orders__PieceHash *h = NULL;
	Orders__OrderLimit *m = NULL;

	(void)state;
	struct ticket *put = network_ticket(net, PUT, 70000, 430);
	assert_int_equal(network_upload(net, put, BYTES(data, 70000), HASH_SHA256, &status), OK);
	struct ticket *t = network_ticket(net, ORDERS__PIECE_ACTION__GET_REPAIR, 70000, 430);
	talk_begin(net, &talk, DOWNLOAD);
	assert_int_equal(talk_send(net, &talk,
				   &(struct request){ .limit = t, RANGE(0, 70000), ORDER(70000) }),
			 OK);
	assert_int_equal(rpc_recv(&talk.call, talk.stream, &answer), OK);
	struct wire w = wire_read(answer);
	while (wire_field(&w, &f)) {
		assert_int_not_equal(f.number, 1);
		if (f.number == 2)
			hash = f.bytes;
		if (f.number == 3)
			limit = f.bytes;
	}
	struct arena *a = &net->call.scratch;
	assert_int_equal(proto_decode(&net->call, a, &orders__piece_hash__descriptor, hash, &h),
			 OK);
	assert_int_equal(proto_decode(&net->call, a, &orders__order_limit__descriptor, limit, &m),
			 OK);
	struct ed25519_verifier *v = NULL;
	assert_int_equal(ed25519_verifier_new(&net->call, BYTES_OF(put->public_key), &v), OK);
	assert_int_equal(piece_hash_verify_uplink(&net->call, h, v), OK);
	ed25519_verifier_free(v);
	assert_int_equal(h->piece_size, 70000);
	assert_int_equal(order_limit_verify(&net->call, m,
					    cert_chain_leaf_key(identity_chain(net->satellite_id))),
			 OK);
	assert_true(bytes_equal(proto_bytes(m->serial_number), BYTES_OF(put->serial.b)));
	size_t got = 0;
	while (rpc_recv(&talk.call, talk.stream, &answer) == OK)
		got += chunk_bytes(answer);
	assert_int_equal(got, 70000);
	talk_end(&talk);
}

/* ---- what real uplinks send ---- */

static json_int_t get(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static int64_t largest_order(const json_t *messages)
{
	int64_t most = 0;
	size_t i;
	json_t *m;

	json_array_foreach(messages, i, m)
		most = MAX(most, get(json_object_get(m, "fields"), "order_amount"));
	return most;
}

static void replay_message(struct talk *talk, const struct ticket *t, const json_t *m, bool upload,
			   const uint8_t *data, int algorithm, bool *half_closed)
{
	const json_t *f = json_object_get(m, "fields");
	const char *kind = json_string_value(json_object_get(m, "kind"));
	uint8_t hash[HASH_BYTES] = { 0 };

	if (strcmp(kind, "CloseSend") == 0 && !*half_closed) {
		assert_int_equal(rpc_close_send(&talk->call, talk->stream), OK);
		*half_closed = true;
	}
	if (strcmp(kind, "Message") != 0)
		return;
	struct request r = { 0 };
	int64_t size = get(f, "chunk_size"), done = get(f, "done_piece_size");
	if (json_object_get(f, "limit"))
		r.limit = t;
	r.algorithm = (int)get(f, "hash_algorithm");
	r.maximum_chunk_size = get(f, "maximum_chunk_size");
	r.order_amount = get(f, "order_amount");
	r.order_by = r.order_amount ? t : NULL;
	r.has_chunk = json_object_get(f, "chunk_size") != NULL;
	r.offset = get(f, "chunk_offset");
	if (upload && size)
		r.data = BYTES(data + r.offset, (size_t)size);
	else
		r.size = size;
	if (done) {
		if (algorithm)
			hash_blake3(BYTES(data, (size_t)done), hash);
		else
			hash_sha256(BYTES(data, (size_t)done), hash);
		r.done = true;
		r.done_by = t;
		r.done_hash = hash;
		r.done_size = done;
		r.done_algorithm = algorithm;
	}
	assert_int_equal(talk_send(net, talk, &r), OK);
}

static void replay(const json_t *session, unsigned piece)
{
	const json_t *sent = json_object_get(session, "client_to_node");
	const json_t *answers = json_object_get(session, "node_to_client");
	const json_t *first = json_object_get(json_array_get(sent, 1), "fields");
	const char *method = json_string_value(json_object_get(json_array_get(sent, 0), "rpc"));
	bool upload = strcmp(method, UPLOAD) == 0, half_closed = false;
	AUTO_FREE uint8_t *data = make_data(2 << 20);
	struct bytes answer;
	struct talk talk;
	json_t *m;
	size_t i, got = 0, count = 0;

	if (!upload)
		store(piece, (size_t)(get(first, "chunk_offset") + get(first, "chunk_size")));
	struct ticket *t = network_ticket(net, upload ? PUT : GET, largest_order(sent), piece);
	talk_begin(net, &talk, method);
	json_array_foreach(sent, i, m) replay_message(
		&talk, t, m, upload, data, (int)get(first, "hash_algorithm"), &half_closed);
	while (rpc_recv(&talk.call, talk.stream, &answer) == OK) {
		const json_t *want = json_array_get(answers, count++);
		const json_t *f = json_object_get(want, "fields");
		size_t n = chunk_bytes(answer);
		if (upload) {
			assert_true(json_is_true(json_object_get(f, "done")));
			continue;
		}
		/* The same bytes in the same messages, as far as orders do not cut them. */
		if (get(f, "chunk_offset") == get(first, "chunk_offset") + (json_int_t)got &&
		    get(f, "chunk_size") == (json_int_t)n)
			assert_int_equal(answer.len, get(want, "size"));
		got += n;
	}
	talk_end(&talk);
	assert_true(count > 0);
	if (!upload)
		assert_int_equal(got, get(first, "chunk_size"));
}

static void test_recorded_streams(void **state)
{
	json_t *file = json_load_file(VECTORS_DIR "/piecestore_streams.json", 0, NULL), *session;
	size_t i;

	(void)state;
	assert_non_null(file);
	json_array_foreach(json_object_get(file, "sessions"), i, session)
		replay(session, 600 + (unsigned)i);
	assert_true(i >= 6);
	json_decref(file);
}

/* ---- the rest ---- */

static void test_other_calls(void **state)
{
	static const char *const names[] = { "Delete", "DeletePieces", "Exists" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char method[64];
		snprintf(method, sizeof(method), "/piecestore.Piecestore/%s", names[i]);
		assert_int_equal(TALK(method, { 0 }), STATUS_UNIMPLEMENTED);
	}
	/* Only satellites may ask whether this is a node. */
	assert_int_equal(TALK("/contact.Contact/PingNode", { 0 }), STATUS_UNAUTHENTICATED);
}

/* ---- garbage ---- */

#define PIECESTORE "/piecestore.Piecestore/"

struct retain_part {
	int64_t creation_unix_ns; /* 0 = not sent */
	struct bytes filter;
	bool hash, wrong_hash; /* with the hash of all so far */
};

/* One Retain, or a RetainBig of several messages, by the satellite or somebody else. */
static uint64_t retain(const struct net_tls *who, const char *method,
		       const struct retain_part *parts, size_t count)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf all = BUF_INIT(1 << 20);
	struct rpc_conn *conn = NULL;
	struct rpc_stream *stream = NULL;
	struct bytes answer;
	enum err e = OK;

	call_init(&call);
	os_call_limit(&call, 20 * NS_PER_SEC);
	assert_int_equal(rpc_dial(&call, who, node_address(net->node), &net->node_id, &conn), OK);
	assert_int_equal(rpc_open(&call, conn, method, &stream), OK);
	for (size_t i = 0; !e && i < count; i++) {
		Piecestore__RetainRequest r = PIECESTORE__RETAIN_REQUEST__INIT;
		uint8_t sum[HASH_BYTES];
		buf_add_bytes(&all, parts[i].filter);
		hash_blake3(buf_bytes(&all), sum);
		sum[0] ^= parts[i].wrong_hash;
		if (parts[i].creation_unix_ns)
			r.creation_date = proto_time_new(&call.scratch, parts[i].creation_unix_ns);
		r.filter = proto_view(parts[i].filter);
		if (parts[i].hash) {
			r.hash = proto_view(BYTES_OF(sum));
			r.hash_algorithm = ORDERS__PIECE_HASH_ALGORITHM__BLAKE3;
		}
		e = rpc_send_message(&call, stream, &r.base);
	}
	if (!e)
		e = rpc_close_send(&call, stream);
	/* A refusal may be heard while sending. */
	enum err got = OK;
	while (got == OK)
		got = rpc_recv(&call, stream, &answer);
	uint64_t status = got == ERR_EOF ? 0 : call.status ? call.status : err_status(got);
	rpc_stream_end(stream);
	rpc_conn_close(conn);
	return status;
}
#define RETAIN(who, method, ...)                                                                   \
	retain(who, PIECESTORE method, (const struct retain_part[]){ __VA_ARGS__ },                \
	       sizeof((const struct retain_part[]){ __VA_ARGS__ }) / sizeof(struct retain_part))

static struct piece_space space_now(void)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct piece_space space;

	call_init(&call);
	assert_int_equal(piece_store_space(&call, net->node->store, &space), OK);
	return space;
}

static void wait_for_collection(void)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, 20 * NS_PER_SEC);
	while (space_now().pieces)
		assert_int_equal(os_sleep(&call, 10 * NS_PER_MS), OK);
}

static void test_garbage(void **state)
{
	const struct net_tls *satellite = net->satellite_tls;
	static const uint8_t nothing[] = { 1, 0, 4, 0, 0 }, everything[] = { 1, 0, 4, 0xff };
	const int64_t now = os_clock_unix_ns();
	struct retain_part good = { .creation_unix_ns = now, .filter = BYTES_OF(nothing) };
	AUTO_BUF struct buf got = BUF_INIT(4 << 20);
	uint64_t status = 0;
	struct talk talk;
	struct bytes answer;

	(void)state;
	store(900, 1000);
	store(901, 200000);
	/* Only a satellite this node works for may. */
	assert_int_equal(RETAIN(net->uplink_tls, "Retain", good), STATUS_PERMISSION);
	assert_int_equal(RETAIN(net->uplink_tls, "RetainBig", good), STATUS_PERMISSION);
	assert_int_equal(RETAIN(net->uplink_tls, "RestoreTrash", { 0 }), STATUS_PERMISSION);
	/* Filters that cannot be one (defect 3 of storagenode.md), or that were changed. */
	struct retain_part bad = good;
	for (size_t len = 0; len <= 3; len++) {
		bad.filter = BYTES(nothing, len);
		assert_int_equal(RETAIN(satellite, "Retain", bad), STATUS_INVALID);
	}
	bad = good;
	bad.hash = bad.wrong_hash = true;
	assert_int_equal(RETAIN(satellite, "Retain", bad), STATUS_INTERNAL);
	assert_int_equal(RETAIN(satellite, "RetainBig", bad), STATUS_INTERNAL);
	/* A big one ends with a hash. */
	assert_int_equal(RETAIN(satellite, "RetainBig", good), STATUS_INTERNAL);
	assert_int_equal(space_now().trash_pieces, 0);

	assert_int_equal(RETAIN(satellite, "Retain", good), 0);
	wait_for_collection();
	uint64_t pieces = space_now().trash_pieces;
	assert_true(pieces >= 2);
	/* A read takes a piece out again and says so; the same filter does not put it back. */
	struct ticket *t = network_ticket(net, GET, 1000, 900);
	talk_begin(net, &talk, DOWNLOAD);
	assert_int_equal(talk_send(net, &talk,
				   &(struct request){ .limit = t,
						      .has_chunk = true,
						      .size = 1000,
						      .order_by = t,
						      .order_amount = 1000 }),
			 OK);
	assert_int_equal(rpc_recv(&talk.call, talk.stream, &answer), OK);
	assert_true(bytes_equal(answer, BYTES("\x20\x01", 2)));
	assert_int_equal(rpc_recv(&talk.call, talk.stream, &answer), OK);
	assert_true(answer.len > 1000);
	talk_end(&talk);
	assert_int_equal(space_now().pieces, 1);
	assert_int_equal(RETAIN(satellite, "Retain",
				{ .creation_unix_ns = now - 7200 * NS_PER_SEC,
				  .filter = BYTES_OF(nothing) }),
			 0);
	assert_int_equal(RETAIN(satellite, "RestoreTrash", { 0 }), 0);
	assert_int_equal(space_now().pieces, pieces);
	assert_int_equal(space_now().trash_pieces, 0);
	t = network_ticket(net, GET, 200000, 901);
	assert_int_equal(network_download(net, t, 0, 200000, &got, &status), OK);
	assert_int_equal(got.len, 200000);
	/* In parts, and everything is kept. */
	struct retain_part first = { .creation_unix_ns = now, .filter = BYTES(everything, 2) };
	struct retain_part last = { .filter = BYTES(everything + 2, 2), .hash = true };
	assert_int_equal(RETAIN(satellite, "RetainBig", first, last), 0);
	network_stop_node(net);
	network_start_node(net);
	assert_int_equal(space_now().pieces, pieces);
}

/* A disk that does not answer, or takes nothing: unavailable, never "not found". */
static void test_disk_state(void **state)
{
	AUTO_BUF struct buf got = BUF_INIT(1 << 20);
	struct piece_store *s = net->node->store;
	uint8_t data[10] = { 0 };
	uint64_t status = 0;

	(void)state;
	store(910, 100);
	piece_store_set_state(s, STORE_READ_ONLY);
	assert_int_equal(space_now().available, 0);
	assert_true(network_upload(net, network_ticket(net, PUT, 10, 911), BYTES_OF(data),
				   HASH_BLAKE3, &status));
	assert_int_equal(status, STATUS_UNAVAILABLE);
	assert_int_equal(
		network_download(net, network_ticket(net, GET, 100, 910), 0, 100, &got, &status),
		OK);
	piece_store_set_state(s, STORE_OFFLINE);
	for (unsigned piece = 910; piece <= 912; piece++) {
		assert_true(network_download(net, network_ticket(net, GET, 100, piece), 0, 100,
					     &got, &status));
		assert_int_equal(status, STATUS_UNAVAILABLE);
	}
	piece_store_set_state(s, STORE_READY);
	buf_clear(&got);
	assert_int_equal(
		network_download(net, network_ticket(net, GET, 100, 910), 0, 100, &got, &status),
		OK);
	assert_int_equal(got.len, 100);
}

static void test_check_in(void **state)
{
	(void)state;
	network_wait_check_in(net, 1);
	assert_true(net->pings_ok >= 1);
	assert_string_equal(net->address, node_address(net->node));
	assert_int_equal(net->version[0], 'v');
	assert_int_equal(strncmp(net->software, "acre/", 5), 0);
	assert_true(net->release);
	assert_true(net->free_disk > 0 && net->free_disk < 1 << 30);
}

static void test_noise(void **state)
{
	struct talk talk;
	struct bytes m;

	(void)state;
	network_wait_check_in(net, 1);
	assert_int_equal(net->noise.suite, noise_best_suite());
	assert_int_equal(net->debounce_limit, 2);
	/* Who comes so is nobody in particular: for anything but transfers there is nothing here.
	 */
	talk_begin_noise(net, &talk, "/piecestore.Piecestore/Exists");
	assert_int_equal(rpc_recv(&talk.call, talk.stream, &m), ERR_UNKNOWN);
	assert_non_null(strstr(talk.call.error, "unknown rpc: \"/piecestore.Piecestore/Exists\""));
	assert_true(net_is_noise(rpc_conn_net(talk.conn)));
	talk_end(&talk);
}

/* Every order with an amount is in the order log, of cancelled transfers too. */
static void test_orders_kept(void **state)
{
	AUTO_BUF struct buf file = BUF_INIT(1 << 20);
	const char **names = NULL;
	size_t count = 0, found = 0;
	char dir[128];

	(void)state;
	struct ticket *up = network_ticket(net, PUT, 100, 700), *t = up;
	uint64_t status = 0;
	assert_int_equal(network_upload(net, up, BYTES("hello", 5), HASH_BLAKE3, &status), OK);
	struct ticket *down = t = network_ticket(net, GET, 5, 700);
	assert_int_equal(TALK(DOWNLOAD, { .limit = t, RANGE(0, 5), ORDER(3) }), 0);
	struct ticket *gone = t = network_ticket(net, PUT, 100, 701);
	assert_int_equal(TALK(UPLOAD, { .limit = t, ORDER(10) }, { ORDER(70) }), STATUS_ABORTED);
	network_stop_node(net);
	snprintf(dir, sizeof(dir), "%s/node/storage/orders", net->dir);
	assert_int_equal(os_dir_list(&net->call, &net->call.scratch, dir, &names, &count), OK);
	for (size_t i = 0; i < count; i++) {
		struct order_entry e;
		size_t pos = ORDER_FILE_HEADER_BYTES;
		buf_clear(&file);
		assert_int_equal(os_file_read_all(&net->call,
						  os_path_join(&net->call, dir, names[i]), &file),
				 OK);
		while (order_file_next(buf_bytes(&file), &pos, file.len, &e)) {
			struct order order;
			assert_int_equal(order_decode(&net->call, e.order, &order), OK);
			const struct ticket *all[] = { up, down, gone };
			const int64_t amounts[] = { 100, 3, 70 };
			for (size_t k = 0; k < 3; k++)
				if (memcmp(order.serial.b, all[k]->serial.b, SERIAL_BYTES) == 0) {
					assert_int_equal(order.amount, amounts[k]);
					found++;
				}
		}
	}
	assert_int_equal(found, 3);
	network_start_node(net);
}

/* Above the limit uploads are refused and downloads are not. */
static void test_overload(void **state)
{
	struct talk talk;
	AUTO_BUF struct buf got = BUF_INIT(100);
	uint64_t status = 0;

	(void)state;
	store(810, 10);
	network_stop_node(net);
	net->config.max_requests = 1;
	network_start_node(net);
	struct ticket *t = network_ticket(net, PUT, 1000, 811);
	talk_begin(net, &talk, UPLOAD);
	assert_int_equal(talk_send(net, &talk, &(struct request){ .limit = t }), OK);
	assert_int_equal(rpc_flush(&talk.call, talk.stream), OK);
	assert_int_equal(os_sleep(&talk.call, 100 * NS_PER_MS), OK);
	t = network_ticket(net, PUT, 1000, 812);
	assert_int_equal(TALK(UPLOAD, { .limit = t }), STATUS_UNAVAILABLE);
	t = network_ticket(net, GET, 10, 810);
	assert_int_equal(network_download(net, t, 0, 10, &got, &status), OK);
	talk_end(&talk);
	network_stop_node(net);
	net->config.max_requests = 0;
	network_start_node(net);
}

static void test_stop_is_quick(void **state)
{
	struct talk talk;

	(void)state;
	/* An upload that would go on for half an hour. */
	struct ticket *t = network_ticket(net, PUT, 1000, 800);
	talk_begin(net, &talk, UPLOAD);
	assert_int_equal(talk_send(net, &talk, &(struct request){ .limit = t }), OK);
	assert_int_equal(rpc_flush(&talk.call, talk.stream), OK);
	assert_int_equal(os_sleep(&talk.call, 100 * NS_PER_MS), OK);
	int64_t start = os_clock_mono_ns();
	network_stop_node(net);
	assert_true(os_clock_mono_ns() - start < 5 * NS_PER_SEC);
	talk_end(&talk);
	network_start_node(net);
}

/* The disk is exchanged under the running node: it stops by itself, with the reason. */
static void test_refusals(void **state)
{
	struct call call;
	char dir[128], storage[160], aside[160];
	struct node *node = NULL;
	struct chores *chores = NULL;

	(void)state;
	call_init(&call);
	snprintf(dir, sizeof(dir), "%s/node", net->dir);
	snprintf(storage, sizeof(storage), "%s/storage", dir);
	snprintf(aside, sizeof(aside), "%s/aside", dir);
	assert_int_equal(chores_new(&call, 2, &chores), OK);
	const struct node_host host = { .chores = chores };
	/* While it runs, nobody else gets the directory. */
	assert_int_equal(node_open(&call, dir, &net->config, &host, &node), ERR_BUSY);
	network_stop_node(net);
	assert_int_equal(os_rename(&call, storage, aside), OK);
	assert_int_equal(node_open(&call, dir, &net->config, &host, &node), ERR_PRECONDITION);
	assert_non_null(strstr(call.error, "mounted"));
	/* Another node's disk. */
	struct node_setup setup = { .difficulty = 8 };
	struct node_config config = net->config;
	struct node_id id;
	char other[128];
	snprintf(other, sizeof(other), "%s/other", net->dir);
	config.storage = storage;
	assert_int_equal(node_create(&call, other, &config, &setup, &id), OK);
	assert_int_equal(node_open(&call, dir, &net->config, &host, &node), ERR_PRECONDITION);
	assert_non_null(strstr(call.error, "another node"));
	assert_int_equal(os_unlink(&call, os_path_join(&call, storage, "storage-dir-verification")),
			 OK);
	assert_int_equal(os_dir_remove(&call, storage), OK);
	assert_int_equal(os_rename(&call, aside, storage), OK);
	chores_free(chores);
	call_fini(&call);
	network_start_node(net);
}

static void test_wrong_clock(void **state)
{
	(void)state;
	network_stop_node(net);
	net->clock_ns = 31 * 60 * NS_PER_SEC;
	network_start_node(net);
	/* The node stays, serves nothing, and says why. */
	struct ticket *t = network_ticket(net, GET, 100, 910);
	AUTO_BUF struct buf got = BUF_INIT(100);
	uint64_t status = 0;
	struct node_view v = { 0 };
	struct arena a = { 0 };
	struct call call;
	call_init(&call);
	while (!net->node->clock_wrong)
		assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
	assert_true(network_download(net, t, 0, 100, &got, &status) != OK);
	assert_int_equal(status, STATUS_UNAVAILABLE);
	assert_int_equal(node_view_fill(&call, &a, net->node, &v), OK);
	assert_true(v.worries_count >= 1);
	assert_non_null(strstr(v.worries[0].what, "clock is wrong"));
	while (!v.satellites[0].error[0]) {
		assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
		assert_int_equal(node_view_fill(&call, &a, net->node, &v), OK);
	}
	assert_non_null(strstr(v.satellites[0].error, "31 minutes behind"));
	/* Once it is right it goes on by itself. */
	net->clock_ns = 0;
	unsigned seen = net->check_ins;
	node_contact_all(net->node);
	network_wait_check_in(net, seen + 1);
	assert_false(net->node->clock_wrong);
	assert_int_equal(node_failure(&call, net->node), OK);
	arena_free(&a);
	call_fini(&call);
	network_stop_node(net);
	/* A quarter of an hour is only worth a warning. */
	net->clock_ns = -15 * 60 * NS_PER_SEC;
	network_start_node(net);
	unsigned before = net->check_ins;
	network_wait_check_in(net, before + 1);
	net->clock_ns = 0;
}

static int setup_network(void **state)
{
	net = calloc(1, sizeof(*net));
	network_start(net);
	return 0;
}

static int stop_network(void **state)
{
	network_stop(net);
	free(net);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_limit_rules),
		cmocka_unit_test(test_signature_and_serial),
		cmocka_unit_test(test_upload_rules),
		cmocka_unit_test(test_upload_visibility),
		cmocka_unit_test(test_download_rules),
		cmocka_unit_test(test_download_credit),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_recorded_streams),
		cmocka_unit_test(test_other_calls),
		cmocka_unit_test(test_check_in),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_orders_kept),
		cmocka_unit_test(test_overload),
		cmocka_unit_test(test_stop_is_quick),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_disk_state),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_wrong_clock),
	};

	return cmocka_run_group_tests(tests, setup_network, stop_network);
}
