/*
 * What the hot requests ask of the database: `test_metainfo_sql sqlite|postgres`.  How many
 * statements each takes, so that one more is noticed; and that every statement finds its rows by an
 * index.
 */
#include "satellite/amnesty.h"
#include "satellite/audit.h"
#include "satellite/bandwidth.h"
#include "satellite/repair.h"
#include "satellite/segment_loop.h"
#include "satellite/settlement.h"
#include "satellite/statement.h"
#include "satellite/store_metainfo.h"
#include "satellite/tally.h"
#include "satellite/test/explain.h"
#include "satellite/test/metainfo_requests.h"

static size_t counted(struct sql_trace *t)
{
	OS_LOCKED(&t->lock);
	size_t n = t->count;
	t->count = 0;
	return n;
}

static void trace_free(struct world *w, struct sql_trace *t)
{
	db_trace(w->sat.db, NULL, NULL);
	sql_trace_free(t);
}

#define EXPECT(t, n, what)                                                                         \
	do {                                                                                       \
		size_t got_ = counted(t);                                                          \
		if (got_ != (n))                                                                   \
			fail_msg("%s: %zu statements, not %zu", what, got_, (size_t)(n));          \
	} while (0)

static void list_all(struct world *w, bool recursive, bool pending, const char *prefix)
{
	Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;

	req.recursive = recursive;
	req.encrypted_prefix = VIEW(prefix);
	if (pending)
		req.status = METAINFO__OBJECT__STATUS__UPLOADING;
	must(w, list_objects(w, "bucket", &req, NULL));
}

/* One upload of a remote segment, as the client does it: two batches. */
static void remote(struct world *w, struct sql_trace *t, const char *key)
{
	struct remote r = begin_remote(w, key);

	if (t)
		EXPECT(t, 2, "begin object and segment");
	Metainfo__CommitSegmentRequest *segment =
		commit_remote(w, r.segment->segment_id, r.segment->addressed_limits, 5, 20000);
	Metainfo__CommitObjectRequest *object = commit_request(w);
	object->stream_id = r.object->stream_id;
	Metainfo__BatchRequestItem *items[] = { batch_item(w, I_SEGMENT_COMMIT, segment),
						batch_item(w, I_COMMIT, object) };
	must(w, ask_batch(w, FORM_ZSTD, items, 2, NULL));
	if (t)
		EXPECT(t, 5, "commit segment and object");
}

static void test_statements_per_request(void **state)
{
	struct world *w = *state;
	struct sql_trace t = { 0 };

	must(w, create_bucket(w, "bucket"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL)); /* the key is known now */
	db_trace(w->sat.db, sql_trace_add, &t);
	/* The bucket, the key's newest row, object and segment. */
	must(w, put_object(w, FORM_ZSTD, "bucket", "new", "x", NULL));
	EXPECT(&t, 4, "inline put");
	/* And the two that go. */
	must(w, put_object(w, FORM_ZSTD, "bucket", "new", "x", NULL));
	EXPECT(&t, 6, "inline put over another");
	must(w, get_object(w, "bucket", "k", NULL));
	EXPECT(&t, 1, "stat");
	must(w, download_object(w, "bucket", "k", NULL));
	EXPECT(&t, 1, "inline get");
	list_all(w, true, false, "");
	EXPECT(&t, 2, "list");
	must(w, delete_object(w, "bucket", "new", NULL));
	EXPECT(&t, 4, "delete");
	/* Until all nodes have numbers. */
	for (int i = 0; i < 12; i++)
		remote(w, NULL, arena_printf(&w->call.scratch, "warm%d", i));
	counted(&t);
	remote(w, &t, "remote");
	must(w, download_object(w, "bucket", "remote", NULL));
	EXPECT(&t, 1, "remote get");
	trace_free(w, &t);
}

/* ---- EXPLAIN ---- */

static void all_the_rest(struct world *w)
{
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__ListSegmentsRequest parts = METAINFO__LIST_SEGMENTS_REQUEST__INIT;
	Metainfo__ListPendingObjectStreamsRequest streams =
		METAINFO__LIST_PENDING_OBJECT_STREAMS_REQUEST__INIT;
	Metainfo__GetBucketRequest look = METAINFO__GET_BUCKET_REQUEST__INIT;
	Metainfo__ListBucketsRequest buckets = METAINFO__LIST_BUCKETS_REQUEST__INIT;
	Metainfo__BeginCopyObjectRequest copy = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	struct caveat no_write = { .disallow_writes = true };
	size_t gone = 0;

	look.name = VIEW("bucket");
	must(w, ask(w, "GetBucket", &look, NULL));
	buckets.direction = METAINFO__LIST_DIRECTION__FORWARD;
	must(w, ask(w, "ListBuckets", &buckets, NULL));
	must(w, ask(w, "BeginObject", begin_request(w, "bucket", "part"), &begun));
	Metainfo__MakeInlineSegmentRequest *segment = inline_request(w, "part");
	segment->stream_id = parts.stream_id = begun->stream_id;
	must(w, ask(w, "MakeInlineSegment", segment, NULL));
	must(w, ask(w, "ListSegments", &parts, NULL));
	streams.bucket = VIEW("bucket");
	streams.encrypted_object_key = VIEW("part");
	must(w, ask(w, "ListPendingObjectStreams", &streams, NULL));
	list_all(w, false, false, "");
	list_all(w, false, false, "dir/");
	list_all(w, true, true, "");
	list_all(w, true, true, "dir/");
	must(w, abort_upload(w, "part", begun->stream_id));
	copy.bucket = copy.new_bucket = VIEW("bucket");
	copy.encrypted_object_key = VIEW("k");
	copy.new_encrypted_object_key = VIEW("k2");
	must(w, ask(w, "BeginCopyObject", &copy, NULL));
	/* A key that nobody remembers. */
	key_cache_clear(w->sat.keys);
	struct macaroon m = restricted(w, &no_write);
	use_key(w, &m);
	must(w, get_object(w, "bucket", "k", NULL));
	use_key(w, &w->key);
	must(w, metainfo_delete_expired(&w->call, &w->sat, os_clock_unix_ns(), &gone));
	must(w, bandwidth_flush(&w->call, w->sat.metainfo->bandwidth, w->sat.db));
}

/* What repair asks for each segment. */
static void with_repair(struct world *w)
{
	struct repair_row row = { .stream = { { 1 } }, .error = "" };

	must(w, store_repair_put(&w->call, w->sat.db, &row, 1));
	must(w, store_repair_claim(&w->call, w->sat.db, 1, 1, &row));
	must(w, store_repair_renew(&w->call, w->sat.db, &row, 2));
	must(w, store_repair_failed(&w->call, w->sat.db, &row));
	must(w, repair_segment(&w->call, &w->sat, &row));
	must(w, store_repair_done(&w->call, w->sat.db, &row));
}

/* What limits ask, of a bucket and of a grant. */
static void with_limits(struct world *w)
{
	struct caveat c = { .has_limits = true, .limits = CAVEAT_LIMITS_NONE };
	const struct prices prices = { 1, 1 };

	c.limits.storage = 1000000;
	must(w, limit_set_for_bucket(&w->call, w->sat.db, &w->project.id, bytes_str("bucket"),
				     &c.limits, &prices));
	key_cache_clear(w->sat.keys);
	struct macaroon m = restricted(w, &c);
	use_key(w, &m);
	must(w, put_object(w, FORM_ZSTD, "bucket", "limited", "x", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "limited", "x", NULL));
	must(w, download_object(w, "bucket", "limited", NULL));
	use_key(w, &w->key);
}

/* What a node's hour of orders asks, the first time and again. */
static void with_settlement(struct world *w)
{
	struct remote r = begin_remote(w, "settled");
	const Orders__OrderLimit *limit = r.segment->addressed_limits[0]->limit;
	struct ed25519_signer *signer = NULL;
	struct ed25519_private key;
	struct order order = { .amount = 1000 };
	struct node_id node;
	Orders__Order o = ORDERS__ORDER__INIT;
	Orders__SettlementRequest entry = ORDERS__SETTLEMENT_REQUEST__INIT;

	assert_int_equal(r.segment->private_key.len, sizeof(key.b));
	memcpy(key.b, r.segment->private_key.data, sizeof(key.b));
	memcpy(node.b, limit->storage_node_id.data, sizeof(node.b));
	memcpy(order.serial.b, limit->serial_number.data, sizeof(order.serial.b));
	must(w, ed25519_signer_new(&w->call, &key, &signer));
	must(w, order_sign(&w->call, &order, signer));
	ed25519_signer_free(signer);
	o.serial_number = limit->serial_number;
	o.amount = order.amount;
	o.uplink_signature = proto_view(BYTES_OF(order.signature));
	entry.limit = r.segment->addressed_limits[0]->limit;
	entry.order = &o;
	for (int again = 0; again < 2; again++) {
		struct settlement *s = NULL;
		bool accepted = false;
		must(w, settlement_new(&w->call, &w->sat, &node, &s));
		must(w, settlement_add(&w->call, s, &entry));
		must(w, settlement_finish(&w->call, s, w->sat.db, &accepted));
		settlement_free(s);
		assert_true(accepted);
	}
}

/* What a node asks about its pay, and what would note a payment. */
static void with_pay(struct world *w)
{
	const struct node_id node = *identity_node_id(w->nodes[0]);
	struct payment payment = { .node = node, .month = "2026-01", .receipt = "", .notes = "" };
	struct payment *payments = NULL;
	struct paystub *stubs = NULL;
	size_t n = 0;

	assert_int_equal(payment_store(&w->call, w->sat.db, &payment), ERR_NOT_FOUND);
	call_clear_error(&w->call);
	for (int all = 0; all < 2; all++) {
		const char *month = all ? "" : payment.month;
		must(w, paystubs_list(&w->call, w->sat.db, &w->call.scratch, month, &node, &stubs,
				      &n));
		must(w, payments_list(&w->call, w->sat.db, &w->call.scratch, month, &node,
				      &payments, &n));
		assert_int_equal(n, 0);
	}
}

/* What one audit asks, with pieces that failed. */
static void audits(struct world *w)
{
	struct audit_ref ref;
	struct reverify_job job = { .node = *identity_node_id(w->nodes[0]), .number = 1 };
	struct audit_record record = { .node = job.node,
				       .outcome = AUDIT_FAILURE,
				       .detail = "gone" };
	const uint32_t number = 1;
	int64_t now = os_clock_unix_ns();

	must(w, store_audit_random(&w->call, w->sat.db, &ref));
	must(w, store_audit_push(&w->call, w->sat.db, &ref, 1, now));
	must(w, store_audit_take(&w->call, w->sat.db, &job.ref));
	must(w, store_reverify_put(&w->call, w->sat.db, &job, 1, now));
	must(w, store_reverify_take(&w->call, w->sat.db, now, now, &job));
	must(w, store_reverify_drop(&w->call, w->sat.db, &job));
	struct lost_piece lost, *list = NULL;
	size_t count = 0;
	lost = (struct lost_piece){ .node = job.node };
	must(w, store_lost_put(&w->call, w->sat.db, &lost.node, &lost.piece, 1, now));
	must(w, store_lost_list(&w->call, w->sat.db, &w->call.scratch, 10, &list, &count));
	assert_int_equal(count, 1);
	must(w, store_lost_drop(&w->call, w->sat.db, list, count));
	w->sat.config.reputation.audit_grace = 0;
	w->sat.config.reputation.initial_alpha = 0.01;
	must(w, standing_record(&w->call, &w->sat, &record, 1, now));
	assert_int_equal(store_segment_remove_pieces(&w->call, w->sat.db, &ref.stream, ref.position,
						     BYTES("\1", 1), &number, 1),
			 ERR_ABORTED);
	call_clear_error(&w->call);
}

/* ---- the books ---- */

static enum err run_text(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, arg, NULL, 0, NULL);
}

static void run_sql(struct world *w, const char *sql)
{
	must(w, db_write(&w->call, w->sat.db, run_text, (void *)(uintptr_t)sql));
}

/* Rows that the books are made of, and old hours, so that every statement of tallies and sums has
 * something to do. */
static void put_books(struct world *w)
{
	const struct caveat_limits none = CAVEAT_LIMITS_NONE;
	const struct prices prices = { 0 };

	must(w, limit_set_for_key(&w->call, w->sat.db, &w->project.id, bytes_str("k"), &none,
				  &prices));
	run_sql(w, "UPDATE limits SET stored = 1000000");
	run_sql(w, "DELETE FROM tally_times");
	run_sql(w, "INSERT INTO tally_times (name, at) VALUES ('nodes', 0), ('buckets', 0)");
	run_sql(w, "UPDATE tally_times SET at = (SELECT MAX(created_at) FROM segments) - "
		   "36000000000000");
	run_sql(w, "INSERT INTO node_storage (node_id, interval_start, byte_hours) SELECT node_id, "
		   "3600000000000, 1 FROM node_aliases");
	run_sql(w, "INSERT INTO bucket_storage (project_id, bucket_name, interval_start, "
		   "byte_hours, segment_hours, object_hours) SELECT id, id, 3600000000000, 1, 1, 1 "
		   "FROM projects");
	run_sql(w, "INSERT INTO storagenode_bandwidth_rollups (node_id, interval_start, action, "
		   "settled) SELECT node_id, 3600000000000, 2, 1 FROM node_aliases");
	run_sql(w, "INSERT INTO bucket_bandwidth_rollups (project_id, bucket_name, "
		   "interval_start, action, allocated, settled, inline, dead) SELECT id, id, "
		   "3600000000000, 2, 1, 1, 1, 0 FROM projects");
	run_sql(w, "INSERT INTO key_storage (project_id, key_number, interval_start, byte_hours) "
		   "SELECT id, 1, 3600000000000, 1 FROM projects");
	run_sql(w, "INSERT INTO key_bandwidth (project_id, key_number, interval_start, action, "
		   "allocated, settled, inline) SELECT id, 1, 3600000000000, 2, 1, 1, 1 FROM "
		   "projects");
}

/* A pass over the segments, the tallies of buckets and keys, days that are summed up. */
static void books(struct world *w)
{
	must(w, segment_loop_run(&w->call, w->sat.loop, 100, NULL));
	must(w, tally_buckets(&w->call, NULL, &w->sat));
	must(w, tally_roll_up(&w->call, NULL, &w->sat));
}

static void test_every_statement_uses_an_index(void **state)
{
	struct world *w = *state;
	struct sql_trace t = { 0 };
	const char *fault = NULL;

	must(w, create_bucket(w, "bucket"));
	/* What runs once at the start may look at everything. */
	must(w, satellite_make_chores(&w->call, &w->sat));
	db_trace(w->sat.db, sql_trace_add, &t);
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	must(w, get_object(w, "bucket", "k", NULL));
	must(w, download_object(w, "bucket", "k", NULL));
	must(w, delete_object(w, "bucket", "k", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	remote(w, NULL, "remote");
	must(w, download_object(w, "bucket", "remote", NULL));
	set_versioning(w, "bucket", true);
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	must(w, delete_object(w, "bucket", "k", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	set_versioning(w, "bucket", false);
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	must(w, delete_object(w, "bucket", "k", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	all_the_rest(w);
	with_limits(w);
	with_repair(w);
	with_settlement(w);
	with_pay(w);
	audits(w);
	db_trace(w->sat.db, NULL, NULL);
	put_books(w);
	db_trace(w->sat.db, sql_trace_add, &t);
	books(w);
	db_trace(w->sat.db, NULL, NULL);
	satellite_stop_chores(&w->sat);
	assert_true(t.distinct > 25 && t.distinct < SQL_STATEMENTS_MAX);
	must(w, sql_explain(&w->call, w->sat.db, &t, &fault));
	if (fault)
		fail_msg("%s", fault);
	/* It would have been found. */
	t.sql[t.distinct++] = strdup("SELECT 1 FROM objects WHERE plain_size = $1");
	must(w, sql_explain(&w->call, w->sat.db, &t, &fault));
	assert_non_null(fault);
	trace_free(w, &t);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_statements_per_request),
		TEST(test_every_statement_uses_an_index),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
