/* Metainfo without a database: names, ids, piece lists, batch rules, what a commit must show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/wire.h"
#include "os/clock.h"
#include "proto/proto.h"
#include "satellite/batch.h"
#include "satellite/bucket.h"
#include "satellite/listing.h"
#include "satellite/object.h"
#include "satellite/object_rate.h"
#include "satellite/piece_list.h"
#include "satellite/segment_check.h"
#include "satellite/stream_id.h"

#define NOW (INT64_C(1764000000) * NS_PER_SEC)

static void test_bucket_names(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} cases[] = {
		{ "abc", true },
		{ "a-b", true },
		{ "a.b.c", true },
		{ "0ab", true },
		{ "ab", false },
		{ "", false },
		{ "-ab", false },
		{ "ab-", false },
		{ "a..b", false },
		{ ".ab", false },
		{ "ab.", false },
		{ "aBc", false },
		{ "a_b", false },
		{ "a.-b", false },
		{ "192.168.1.1", false },
		{ "192.168.1.256", true },
		{ "192.168.1", true },
		{ "01.1.1.1", true },
		{ "1.1.1.1.1", true },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
	};
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum err e = bucket_name_check(&call, bytes_str(cases[i].name));
		if (e != (cases[i].ok ? OK : ERR_INVALID))
			fail_msg("%s: %s", cases[i].name, call_error(&call, e));
	}
}

static void test_versioning(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct bucket b = { .versioning = VERSIONING_OFF };

	call_init(&call);
	assert_int_equal(bucket_set_versioning(&call, &b, false), ERR_PRECONDITION);
	assert_int_equal(bucket_set_versioning(&call, &b, true), OK);
	assert_int_equal(b.versioning, VERSIONING_ON);
	assert_int_equal(bucket_set_versioning(&call, &b, false), OK);
	assert_int_equal(b.versioning, VERSIONING_SUSPENDED);
	assert_int_equal(bucket_set_versioning(&call, &b, false), OK);
	b = (struct bucket){ .versioning = VERSIONING_ON, .lock_enabled = true };
	assert_int_equal(bucket_set_versioning(&call, &b, false), ERR_PRECONDITION);
	assert_int_equal(call.status, STATUS_LOCK_BUCKET_STATE);
}

static void test_default_retention(void **state)
{
	/* 29 February 2024, 12:00 UTC, and a year: 1 March 2025, as Go's AddDate. */
	int64_t leap = INT64_C(1709208000) * NS_PER_SEC;
	struct bucket b = { .lock_enabled = true,
			    .lock_mode = RETENTION_COMPLIANCE,
			    .lock_years = 1 };
	struct retention r = bucket_default_retention(&b, leap);

	assert_int_equal(r.mode, RETENTION_COMPLIANCE);
	assert_true(r.until_ns == INT64_C(1740830400) * NS_PER_SEC);
	b.lock_years = 4;
	assert_true(bucket_default_retention(&b, leap).until_ns ==
		    INT64_C(1835438400) * NS_PER_SEC);
	b = (struct bucket){ .lock_enabled = true,
			     .lock_mode = RETENTION_GOVERNANCE,
			     .lock_days = 2 };
	assert_true(bucket_default_retention(&b, leap).until_ns == leap + 2 * 86400 * NS_PER_SEC);
	b.lock_enabled = false;
	assert_int_equal(bucket_default_retention(&b, leap).mode, RETENTION_NONE);
}

static void test_after_prefix(void **state)
{
	uint8_t out[8];

	assert_true(bytes_equal(listing_after_prefix(bytes_str("a/"), out), bytes_str("a0")));
	assert_true(bytes_equal(listing_after_prefix(BYTES("a\xff\xff", 3), out), bytes_str("b")));
	assert_int_equal(listing_after_prefix(BYTES("\xff\xff", 2), out).len, 0);
	assert_int_equal(listing_after_prefix(BYTES_NONE, out).len, 0);
	assert_int_equal(listing_fold(bytes_str("ab/c/d"), bytes_str("/")), 3);
	assert_int_equal(listing_fold(bytes_str("abc"), bytes_str("/")), 0);
	assert_int_equal(listing_fold(bytes_str("a--b"), bytes_str("--")), 3);
	assert_int_equal(listing_fold(BYTES_NONE, bytes_str("/")), 0);
}

static void test_piece_list(void **state)
{
	const struct piece pieces[] = {
		{ 0, 7 }, { 1, 1 }, { 5, 300 }, { 109, 70000 }, { 254, 2 }
	};
	struct piece back[PIECE_LIST_MAX];
	size_t count = 0;
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf b = BUF_INIT(4096);

	call_init(&call);
	piece_list_encode(&b, pieces, ARRAY_LEN(pieces));
	assert_int_equal(b.len, 1 + 2 + 2 + 3 + 4 + 3);
	assert_int_equal(piece_list_decode(&call, buf_bytes(&b), back, &count), OK);
	assert_int_equal(count, ARRAY_LEN(pieces));
	assert_memory_equal(back, pieces, sizeof(pieces));
	for (size_t cut = 0; cut < b.len; cut++) {
		enum err e = piece_list_decode(&call, BYTES(b.data, cut), back, &count);
		assert_true(e == ERR_FORMAT || e == OK);
		assert_true(e == ERR_FORMAT || count < ARRAY_LEN(pieces));
	}
	static const uint8_t zero_alias[] = { 1, 0, 0 }, far[] = { 1, 0xff, 0x7f, 1 };
	assert_int_equal(piece_list_decode(&call, BYTES_OF(zero_alias), back, &count), ERR_FORMAT);
	assert_int_equal(piece_list_decode(&call, BYTES_OF(far), back, &count), ERR_FORMAT);
}

static struct stream a_stream(void)
{
	struct stream s = {
		.bucket = bytes_str("bucket"),
		.bucket_id = 77,
		.key = BYTES("key\0\xff", 5),
		.version = -12345678901234,
		.created_ns = NOW,
		.expires_ns = NOW + 5000,
		.multipart = true,
		.cipher = 2,
		.block_size = 7424,
		.placement = 3,
	};

	memset(s.project.b, 1, sizeof(s.project.b));
	memset(s.uuid.b, 2, sizeof(s.uuid.b));
	return s;
}

static void test_stream_id(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct secret_key key = { { 1, 2, 3 } }, other = { { 1, 2, 4 } };
	struct stream s = a_stream(), back;
	struct bytes id, again;

	call_init(&call);
	assert_int_equal(stream_id_encode(&call, &call.scratch, &key, &s, &id), OK);
	assert_int_equal(stream_id_encode(&call, &call.scratch, &key, &s, &again), OK);
	assert_true(bytes_equal(id, again));
	assert_true(id.len < 180);
	/* Old clients read it: a message whose field 5 is the date. */
	struct wire w = wire_read(id);
	struct wire_field f, seconds;
	bool dated = false;
	uint32_t last = 0;
	while (wire_field(&w, &f)) {
		last = f.number;
		struct wire date = wire_read(f.bytes);
		if (f.number == 5 && f.type == WIRE_BYTES && wire_field(&date, &seconds))
			dated = seconds.number == 1 && seconds.value == NOW / NS_PER_SEC;
	}
	assert_true(wire_ok(&w) && dated && last == 9);
	assert_int_equal(stream_id_decode(&call, &call.scratch, &key, id, &back), OK);
	assert_true(bytes_equal(back.key, s.key));
	assert_true(bytes_equal(back.bucket, s.bucket));
	assert_memory_equal(back.project.b, s.project.b, sizeof(s.project.b));
	assert_memory_equal(back.uuid.b, s.uuid.b, sizeof(s.uuid.b));
	assert_true(back.version == s.version && back.bucket_id == 77 && back.multipart &&
		    !back.versioned && back.created_ns == s.created_ns &&
		    back.expires_ns == s.expires_ns && back.block_size == 7424 &&
		    back.cipher == 2 && back.placement == 3);
	assert_int_equal(stream_id_decode(&call, &call.scratch, &other, id, &back), ERR_INVALID);
	for (size_t i = 0; i < id.len; i++) {
		uint8_t *bad = arena_alloc(&call.scratch, id.len);
		memcpy(bad, id.data, id.len);
		bad[i] ^= 1;
		assert_int_equal(
			stream_id_decode(&call, &call.scratch, &key, BYTES(bad, id.len), &back),
			ERR_INVALID);
		assert_int_equal(
			stream_id_decode(&call, &call.scratch, &key, BYTES(id.data, i), &back),
			ERR_INVALID);
	}
}

enum { TOTAL = 5 };

static struct segment_ticket a_ticket(struct node_id nodes[TOTAL])
{
	struct segment_ticket t = {
		.stream = a_stream(),
		.part = 1,
		.index = 2,
		.redundancy = { 2, 3, 4, TOTAL, 256 },
		.orders = { .limit = 1 << 20,
			    .creation_ns = NOW,
			    .expiration_ns = NOW + NS_PER_SEC },
		.nodes = nodes,
	};

	for (int i = 0; i < TOTAL; i++)
		memset(nodes[i].b, i + 1, NODE_ID_BYTES);
	memset(t.orders.root.b, 9, PIECE_ID_BYTES);
	memset(t.orders.serial.b, 8, SERIAL_BYTES);
	memset(t.orders.public_key, 7, ED25519_PUBLIC_BYTES);
	return t;
}

static void test_segment_id(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct secret_key key = { { 5 } };
	struct node_id nodes[TOTAL];
	struct segment_ticket t = a_ticket(nodes), back;
	struct bytes id, stream;

	call_init(&call);
	assert_int_equal(segment_id_encode(&call, &call.scratch, &key, &t, &id), OK);
	assert_int_equal(segment_id_decode(&call, &call.scratch, &key, id, NOW, &back), OK);
	assert_int_equal(back.part, 1);
	assert_int_equal(back.index, 2);
	assert_memory_equal(&back.redundancy, &t.redundancy, sizeof(t.redundancy));
	assert_memory_equal(back.nodes, nodes, sizeof(nodes));
	assert_memory_equal(&back.orders.root, &t.orders.root, PIECE_ID_BYTES);
	assert_memory_equal(&back.orders.serial, &t.orders.serial, SERIAL_BYTES);
	assert_memory_equal(back.orders.public_key, t.orders.public_key, ED25519_PUBLIC_BYTES);
	assert_true(back.orders.limit == t.orders.limit && back.orders.creation_ns == NOW);
	int64_t last = NOW + SEGMENT_ID_LIFETIME_NS;
	assert_int_equal(segment_id_decode(&call, &call.scratch, &key, id, last, &back), OK);
	assert_int_equal(segment_id_decode(&call, &call.scratch, &key, id, last + 1, &back),
			 ERR_INVALID);
	assert_string_equal(call.error, "segment ID expired");
	/* One kind of id does not pass for the other. */
	assert_int_equal(stream_id_encode(&call, &call.scratch, &key, &t.stream, &stream), OK);
	assert_int_equal(segment_id_decode(&call, &call.scratch, &key, stream, NOW, &back),
			 ERR_INVALID);
	assert_int_equal(stream_id_decode(&call, &call.scratch, &key, id, &back.stream),
			 ERR_INVALID);
}

/* A commit request whose results can be spoilt. */
struct commit {
	Metainfo__CommitSegmentRequest req;
	Metainfo__SegmentPieceUploadResult results[TOTAL], *list[TOTAL];
	Orders__PieceHash hashes[TOTAL];
	struct piece_id ids[TOTAL];
	Google__Protobuf__Timestamp time;
	struct node_id bad_signature; /* zero = none */
};

static enum err verify(struct call *call, void *arg, const struct node_id *node,
		       const Orders__PieceHash *hash)
{
	const struct commit *c = arg;

	return node_id_equal(&c->bad_signature, node) ? ERR_UNAUTHENTICATED : OK;
}

static void commit_init(struct commit *c, const struct segment_ticket *t)
{
	memset(c, 0, sizeof(*c));
	metainfo__commit_segment_request__init(&c->req);
	google__protobuf__timestamp__init(&c->time);
	c->time.seconds = NOW / NS_PER_SEC;
	c->req.size_encrypted_data = 7424;
	c->req.plain_size = 7000;
	for (int i = 0; i < TOTAL; i++) {
		metainfo__segment_piece_upload_result__init(&c->results[i]);
		orders__piece_hash__init(&c->hashes[i]);
		piece_id_derive(&t->orders.root, &t->nodes[i], (uint32_t)i, &c->ids[i]);
		c->hashes[i].piece_id = proto_view(BYTES_OF(c->ids[i].b));
		c->hashes[i].piece_size = (int64_t)scheme_piece_size(&t->redundancy,
								     (uint64_t)7424);
		c->hashes[i].timestamp = &c->time;
		c->results[i].piece_num = i;
		c->results[i].node_id = proto_view(node_id_bytes(&t->nodes[i]));
		c->results[i].hash = &c->hashes[i];
		c->list[TOTAL - 1 - i] = &c->results[i]; /* order does not matter */
	}
	c->req.upload_result = c->list;
	c->req.n_upload_result = TOTAL;
}

static enum err check(struct call *call, struct commit *c, const struct segment_ticket *t,
		      int64_t now_ns, size_t *ret_count)
{
	struct node_id nodes[TOTAL];
	uint32_t numbers[TOTAL];
	struct segment_check k = {
		.ticket = t,
		.now_ns = now_ns,
		.verify = verify,
		.verify_arg = c,
		.nodes = nodes,
		.numbers = numbers,
	};

	TRY_PLAIN(segment_check_sizes(call, &k, &c->req));
	TRY_PLAIN(segment_check_pieces(call, &k, &c->req));
	for (size_t i = 1; i < k.count; i++)
		assert_true(numbers[i] > numbers[i - 1]);
	*ret_count = k.count;
	return OK;
}

static void test_commit_checks(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct node_id nodes[TOTAL];
	struct segment_ticket t = a_ticket(nodes);
	struct commit c;
	size_t n = 0;

	call_init(&call);
	commit_init(&c, &t);
	assert_int_equal(check(&call, &c, &t, NOW, &n), OK);
	assert_int_equal(n, TOTAL);
	/* One invalid piece is dropped; two leave too few. */
	c.bad_signature = nodes[2];
	assert_int_equal(check(&call, &c, &t, NOW, &n), OK);
	assert_int_equal(n, TOTAL - 1);
	c.results[0].piece_num = TOTAL;
	assert_int_equal(check(&call, &c, &t, NOW, &n), ERR_INVALID);
	assert_non_null(strstr(call.error, "Number of valid pieces (3)"));

	commit_init(&c, &t);
	c.ids[1].b[0] ^= 1;
	assert_int_equal(check(&call, &c, &t, NOW, &n), OK);
	assert_int_equal(n, TOTAL - 1);
	commit_init(&c, &t);
	c.results[1].piece_num = 0; /* another piece's number: its ID does not fit */
	assert_int_equal(check(&call, &c, &t, NOW, &n), OK);
	assert_int_equal(n, TOTAL - 1);
	commit_init(&c, &t);
	c.results[3].hash = NULL;
	assert_int_equal(check(&call, &c, &t, NOW, &n), OK);
	assert_int_equal(n, TOTAL - 1);

	commit_init(&c, &t);
	c.hashes[3].piece_size++;
	assert_int_equal(check(&call, &c, &t, NOW, &n), ERR_INVALID);
	commit_init(&c, &t);
	c.req.size_encrypted_data = 70000;
	assert_int_equal(check(&call, &c, &t, NOW, &n), ERR_INVALID);
	commit_init(&c, &t);
	c.req.plain_size = 7425;
	assert_int_equal(check(&call, &c, &t, NOW, &n), ERR_INVALID);
	commit_init(&c, &t);
	c.req.n_upload_result = 3;
	assert_int_equal(check(&call, &c, &t, NOW, &n), ERR_INVALID);
	commit_init(&c, &t);
	c.results[0].node_id = c.results[1].node_id; /* says another node than its limit */
	assert_int_equal(check(&call, &c, &t, NOW, &n), ERR_INVALID);
	commit_init(&c, &t);
	assert_int_equal(check(&call, &c, &t, NOW + LIMIT_PIECE_HASH_AGE_NS + NS_PER_SEC, &n),
			 ERR_INVALID);
}

static void test_download_counts(void **state)
{
	struct scheme r = { 29, 35, 80, 110, 256 };

	assert_int_equal(segment_download_count(&r, 0), 39); /* metainfo.md 5.10 */
	assert_int_equal(segment_download_count(&r, 50), 50);
	assert_int_equal(segment_download_count(&r, INT32_MAX), 110);
	r = (struct scheme){ 1, 1, 1, 1, 256 };
	assert_int_equal(segment_download_count(&r, 0), 1);
	r = (struct scheme){ 4, 6, 8, 10, 256 };
	assert_int_equal(segment_download_count(&r, 0), 5);
	/* 7408 plain bytes a block; a block is 7.25 stripes. */
	assert_int_equal(segment_range_limit(&r, 2, 7424, 0, 1), 8 * 256);
	assert_int_equal(segment_range_limit(&r, 2, 7424, 7408, 7409), (15 - 7) * 256);
	assert_int_equal(segment_range_limit(&r, 2, 7424, 0, 7408 * 4), 29 * 256);
	assert_int_equal(segment_range_limit(&r, 0, 7424, 0, 1), 0);
	assert_int_equal(segment_range_limit(&r, 2, 16, 0, 1), 0);
	assert_int_equal(segment_range_limit(&r, 2, 7424, 5, 5), 0);
}

static void test_batch_rules(void **state)
{
	Metainfo__BatchRequest req = METAINFO__BATCH_REQUEST__INIT;
	Metainfo__BatchRequestItem items[3], *list[3] = { &items[0], &items[1], &items[2] };

	for (int i = 0; i < 3; i++)
		metainfo__batch_request_item__init(&items[i]);
	req.requests = list;
	req.n_requests = 3;
	items[0].request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_BEGIN;
	items[1].request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN;
	assert_true(batch_begins_upload(&req, 0));
	assert_false(batch_begins_upload(&req, 2));
	items[1].request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_MAKE_INLINE;
	assert_true(batch_begins_upload(&req, 0));
	items[1].request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_COMMIT;
	assert_false(batch_begins_upload(&req, 0));
	assert_true(batch_is_work(items[1].request_case));
	assert_false(batch_is_work(METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN));
}

static void test_object_rate(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct object_rate *r = object_rate_new(NS_PER_SEC, 3);
	struct project_id p = { { 1 } };
	struct bytes b = bytes_str("bucket"), k = bytes_str("key");

	call_init(&call);
	for (int i = 0; i < 3; i++)
		assert_int_equal(object_rate_check(&call, r, &p, b, k, NOW), OK);
	assert_int_equal(object_rate_check(&call, r, &p, b, k, NOW), ERR_EXHAUSTED);
	assert_string_equal(call.error, "Too Many Requests");
	assert_int_equal(object_rate_check(&call, r, &p, b, bytes_str("other"), NOW), OK);
	assert_int_equal(object_rate_check(&call, r, &p, b, k, NOW + NS_PER_SEC), OK);
	assert_int_equal(object_rate_check(&call, r, &p, b, k, NOW + NS_PER_SEC), ERR_EXHAUSTED);
	assert_int_equal(object_rate_check(&call, NULL, &p, b, k, NOW), OK);
	object_rate_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket_names),	  cmocka_unit_test(test_versioning),
		cmocka_unit_test(test_default_retention), cmocka_unit_test(test_after_prefix),
		cmocka_unit_test(test_piece_list),	  cmocka_unit_test(test_stream_id),
		cmocka_unit_test(test_segment_id),	  cmocka_unit_test(test_commit_checks),
		cmocka_unit_test(test_download_counts),	  cmocka_unit_test(test_batch_rules),
		cmocka_unit_test(test_object_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
