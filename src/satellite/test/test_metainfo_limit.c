/*
 * Limits finer than a project's, through a server: `test_metainfo_limit sqlite|postgres`.  Sizes
 * here are those of inline data: what a segment takes is what was sent.
 */
#include "os/thread.h"
#include "satellite/test/metainfo_requests.h"

#define NO_LIMITS CAVEAT_LIMITS_NONE
static const struct prices free_of_charge;

static struct macaroon grant(struct world *w, struct caveat_limits limits)
{
	struct caveat c = { .has_limits = true, .limits = limits, .nonce = bytes_str("once") };

	return restricted(w, &c);
}

static enum err put(struct world *w, const char *key, size_t size)
{
	char *data = arena_alloc(&w->call.scratch, size + 1);

	memset(data, 'x', size);
	return put_object(w, FORM_ZSTD, "bucket", key, data, NULL);
}

static void remove_object(struct world *w, const char *key)
{
	must(w, delete_object(w, "bucket", key, NULL));
}

static void set_bucket(struct world *w, struct caveat_limits max, const struct prices *prices)
{
	must(w, limit_set_for_bucket(&w->call, w->sat.db, &w->project.id, bytes_str("bucket"), &max,
				     prices));
	key_cache_clear(w->sat.keys);
}

struct read_arg {
	struct project_id project;
	enum limit_kind kind;
	struct limit limit;
};

static enum err read_limit(struct call *call, struct db_tx *tx, void *arg)
{
	struct read_arg *r = arg;
	struct limit *list = NULL;
	size_t n = 0;

	TRY_PLAIN(limit_list(call, tx, &r->project, &list, &n));
	for (size_t i = 0; i < n; i++) {
		if (list[i].kind == r->kind) {
			r->limit = list[i];
			return OK;
		}
	}
	return call_fail(call, ERR_NOT_FOUND, "no limit of that kind");
}

static struct limit counted(struct world *w, enum limit_kind kind)
{
	struct read_arg r = { .project = w->project.id, .kind = kind };

	must(w, db_read(&w->call, w->sat.db, read_limit, &r));
	return r.limit;
}

/* A grant: to the byte, whoever deletes gives back, a parent's limits hold for its children. */
static void test_grant_storage(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;

	must(w, create_bucket(w, "bucket"));
	must(w, put(w, "before", 500));
	limits.storage = 1000;
	struct macaroon m = grant(w, limits);
	use_key(w, &m);
	must(w, put(w, "a", 600));
	refused(w, put(w, "b", 401), 8, "grant: Exceeded Storage Limit");
	must(w, put(w, "b", 400));
	assert_int_equal(counted(w, LIMIT_OF_GRANT).stored, 1000);
	refused(w, put(w, "c", 1), 8, "grant: Exceeded Storage Limit");
	/* The same key again frees first what was there. */
	must(w, put(w, "b", 400));
	use_key(w, &w->key);
	must(w, put(w, "d", 4000));
	remove_object(w, "a");
	assert_int_equal(counted(w, LIMIT_OF_GRANT).stored, 400);
	use_key(w, &m);
	struct caveat child = { .has_limits = true, .limits = NO_LIMITS };
	child.limits.storage = 5000;
	AUTO_BUF struct buf b = BUF_INIT(1000);
	caveat_encode(&b, &child);
	must(w, macaroon_restrict(&w->call, &w->call.scratch, &m,
				  arena_bytes(&w->call.scratch, buf_bytes(&b))));
	use_key(w, &m);
	refused(w, put(w, "e", 601), 8, "grant: Exceeded Storage Limit");
	must(w, put(w, "e", 600));
}

/* Pending uploads count, too, a part that is sent again once, and an abort gives it all back. */
static void test_grant_multipart(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;
	Metainfo__BeginObjectResponse *begun = NULL;

	must(w, create_bucket(w, "bucket"));
	limits.storage = 10;
	struct macaroon m = grant(w, limits);
	use_key(w, &m);
	must(w, ask(w, "BeginObject", begin_request(w, "bucket", "k"), &begun));
	Metainfo__MakeInlineSegmentRequest *segment = inline_request(w, "1234567");
	segment->stream_id = begun->stream_id;
	segment->position = answer_position(&w->call.scratch, segment_position(1, 0));
	must(w, ask(w, "MakeInlineSegment", segment, NULL));
	must(w, ask(w, "MakeInlineSegment", segment, NULL));
	segment->position = answer_position(&w->call.scratch, segment_position(2, 0));
	refused(w, ask(w, "MakeInlineSegment", segment, NULL), 8, "grant: Exceeded Storage Limit");
	/* Not by another key of the project, either: it is this upload's size. */
	use_key(w, &w->key);
	refused(w, ask(w, "MakeInlineSegment", segment, NULL), 8, "grant: Exceeded Storage Limit");
	must(w, abort_upload(w, "k", begun->stream_id));
	assert_int_equal(counted(w, LIMIT_OF_GRANT).stored, 0);
}

static void test_grant_downloads(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;
	Metainfo__DownloadObjectResponse *d = NULL;

	must(w, create_bucket(w, "bucket"));
	must(w, put(w, "k", 100));
	limits.downloads = 2;
	struct macaroon m = grant(w, limits);
	use_key(w, &m);
	must(w, download_object(w, "bucket", "k", &d));
	must(w, download_object(w, "bucket", "k", &d));
	refused(w, download_object(w, "bucket", "k", &d), 8, "grant: Exceeded Usage Limit");
	must(w, get_object(w, "bucket", "k", NULL)); /* a stat is none */
	use_key(w, &w->key);
	must(w, download_object(w, "bucket", "k", &d));
	/* Another grant is counted for itself. */
	limits.downloads = CAVEAT_UNLIMITED;
	limits.egress = 250;
	m = grant(w, limits);
	use_key(w, &m);
	must(w, download_object(w, "bucket", "k", &d));
	must(w, download_object(w, "bucket", "k", &d));
	refused(w, download_object(w, "bucket", "k", &d), 8, "grant: Exceeded Usage Limit");
	/* By segment, with the id of a download that was allowed: the same. */
	Metainfo__DownloadSegmentRequest segment = METAINFO__DOWNLOAD_SEGMENT_REQUEST__INIT;
	segment.stream_id = d->object->stream_id;
	segment.cursor_position = answer_position(&w->call.scratch, 0);
	refused(w, ask(w, "DownloadSegment", &segment, NULL), 8, "grant: Exceeded Usage Limit");
}

static enum err all_offline(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(
		call, tx,
		"UPDATE nodes SET last_contact_success = 1, updated_at = updated_at + 1000000",
		NULL, 0, NULL);
}

/* What could not be served is not counted. */
static void test_failed_downloads(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;

	must(w, create_bucket(w, "bucket"));
	struct remote r = begin_remote(w, "k");
	must(w, ask(w, "CommitSegment",
		    commit_remote(w, r.segment->segment_id, r.segment->addressed_limits, 5, 20000),
		    NULL));
	Metainfo__CommitObjectRequest *commit = commit_request(w);
	commit->stream_id = r.object->stream_id;
	must(w, ask(w, "CommitObject", commit, NULL));
	limits.egress = 60000;
	struct macaroon m = grant(w, limits);
	use_key(w, &m);
	must(w, download_object(w, "bucket", "k", NULL));
	assert_int_equal(counted(w, LIMIT_OF_GRANT).egress, 20000);
	/* No node is online any more. */
	must(w, db_write(&w->call, w->sat.db, all_offline, NULL));
	w->sat.config.online_window = 1;
	refused(w, download_object(w, "bucket", "k", NULL), 13, "");
	assert_int_equal(counted(w, LIMIT_OF_GRANT).egress, 20000);
	assert_int_equal(counted(w, LIMIT_OF_GRANT).downloads, 1);
}

/* Whoever has a key can make grants without end; rows for them have one. */
static void test_many_grants(void **state)
{
	struct world *w = *state;
	struct caveat c = { .has_limits = true, .limits = NO_LIMITS };

	w->sat.config.max_limited_grants = 3;
	must(w, create_bucket(w, "bucket"));
	must(w, put(w, "k", 1));
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5; i++) {
			c.nonce = bytes_str(arena_printf(&w->call.scratch, "%d", i));
			struct macaroon m = restricted(w, &c);
			use_key(w, &m);
			enum err e = download_object(w, "bucket", "k", NULL);
			if (i < 3)
				must(w, e);
			else
				refused(w, e, 8, "the project has too many grants with limits");
		}
	}
	use_key(w, &w->key);
	must(w, download_object(w, "bucket", "k", NULL));
}

/* Money: a dollar per terabyte served is a pico-dollar per byte. */
static void test_spending(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;

	w->sat.config.egress_price = 1000000;
	w->sat.config.storage_price = 0;
	must(w, create_bucket(w, "bucket"));
	must(w, put(w, "k", 1000));
	w->sat.config.egress_price = UINT64_C(1000000000000); /* a millionth of a dollar per byte */
	limits.spend = 2500;
	struct macaroon m = grant(w, limits);
	use_key(w, &m);
	must(w, download_object(w, "bucket", "k", NULL));
	must(w, download_object(w, "bucket", "k", NULL));
	refused(w, download_object(w, "bucket", "k", NULL), 8,
		"grant has spent what it may: Exceeded Usage Limit");
	assert_int_equal(counted(w, LIMIT_OF_GRANT).spent / 1000000, 2000);
	/* Nothing left at all: no uploads, either. */
	use_key(w, &w->key);
	limits.spend = 0;
	m = grant(w, limits);
	use_key(w, &m);
	refused(w, put(w, "x", 10), 8, "grant has spent what it may: Exceeded Storage Limit");
}

/* What time costs, and months. */
static void test_rolling(void **state)
{
	struct limit l = {
		.max = NO_LIMITS,
		.prices = { 4000000, 7000000 },
		.stored = INT64_C(1000000000000),
		.egress = 5,
		.month = 0,
		.updated_ns = 1000 * NS_PER_SEC,
	};

	(void)state;
	limit_roll(&l, 1000 * NS_PER_SEC + 720 * 3600 * NS_PER_SEC);
	assert_int_equal(l.spent, INT64_C(4000000000000)); /* four dollars for a terabyte-month */
	assert_int_equal(l.egress, 5);
	l.max.monthly = true;
	l.month--;
	int64_t spent = l.spent;
	limit_roll(&l, l.updated_ns + 3600 * NS_PER_SEC);
	assert_int_equal(l.egress, 0);
	assert_true(l.spent < spent && l.spent > 0);
	/* The smallest thing kept for the shortest time is not free. */
	l = (struct limit){ .max = NO_LIMITS, .prices = { 1, 1 }, .stored = 1, .updated_ns = 5 };
	limit_roll(&l, 6);
	assert_int_equal(l.spent, 1);
	/* Nor does anything overflow. */
	l = (struct limit){ .max = NO_LIMITS,
			    .prices = { INT64_MAX, INT64_MAX },
			    .stored = INT64_MAX,
			    .updated_ns = 0 };
	limit_roll(&l, INT64_MAX);
	assert_int_equal(l.spent, INT64_MAX);
}

static void test_bucket_limit(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;
	Metainfo__BeginObjectResponse *begun = NULL;

	must(w, create_bucket(w, "bucket"));
	must(w, create_bucket(w, "other"));
	/* What was there before counts, an upload under way with it. */
	must(w, put(w, "a", 300));
	must(w, put(w, "b", 300));
	must(w, ask(w, "BeginObject", begin_request(w, "bucket", "pending"), &begun));
	Metainfo__MakeInlineSegmentRequest *segment = inline_request(w, "1234567890");
	segment->stream_id = begun->stream_id;
	must(w, ask(w, "MakeInlineSegment", segment, NULL));
	limits.storage = 1000;
	set_bucket(w, limits, &free_of_charge);
	assert_int_equal(counted(w, LIMIT_OF_BUCKET).stored, 610);
	refused(w, put(w, "c", 391), 8, "bucket: Exceeded Storage Limit");
	must(w, put(w, "c", 390));
	must(w, put_object(w, FORM_ZSTD, "other", "x", "free", NULL));
	/* Counting again changes nothing. */
	set_bucket(w, limits, &free_of_charge);
	assert_int_equal(counted(w, LIMIT_OF_BUCKET).stored, 1000);
	remove_object(w, "a");
	must(w, abort_upload(w, "pending", begun->stream_id));
	assert_int_equal(counted(w, LIMIT_OF_BUCKET).stored, 690);
	limits = NO_LIMITS;
	limits.egress = 400;
	set_bucket(w, limits, &free_of_charge);
	must(w, put(w, "d", 4000));
	must(w, download_object(w, "bucket", "b", NULL));
	refused(w, download_object(w, "bucket", "b", NULL), 8, "bucket: Exceeded Usage Limit");
	must(w, download_object(w, "other", "x", NULL));
	set_bucket(w, NO_LIMITS, &free_of_charge);
	must(w, download_object(w, "bucket", "b", NULL));
	Metainfo__DeleteBucketRequest rm = METAINFO__DELETE_BUCKET_REQUEST__INIT;
	rm.name = VIEW("bucket");
	rm.delete_all = true;
	must(w, ask(w, "DeleteBucket", &rm, NULL));
	must(w, create_bucket(w, "bucket"));
	must(w, put(w, "a", 300));
}

static void test_key_limit(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;

	must(w, create_bucket(w, "bucket"));
	must(w, put(w, "before", 300));
	limits.storage = 100;
	must(w, limit_set_for_key(&w->call, w->sat.db, &w->project.id, bytes_str("k"), &limits,
				  &free_of_charge));
	key_cache_clear(w->sat.keys);
	must(w, put(w, "a", 100));
	refused(w, put(w, "b", 1), 8, "API key: Exceeded Storage Limit");
	remove_object(w, "before"); /* was not counted */
	refused(w, put(w, "b", 1), 8, "API key: Exceeded Storage Limit");
	remove_object(w, "a");
	must(w, put(w, "b", 1));
	assert_int_equal(limit_set_for_key(&w->call, w->sat.db, &w->project.id, bytes_str("none"),
					   &limits, &free_of_charge),
			 ERR_NOT_FOUND);
	call_clear_error(&w->call);
}

/* ---- copies and moves ---- */

static void finish_init(struct world *w, Metainfo__FinishCopyObjectRequest *f,
			const Metainfo__BeginCopyObjectResponse *b, const char *bucket,
			const char *key)
{
	static const uint8_t nonce[24] = { 1 };
	static const uint8_t wrapped[48] = { 1 };

	metainfo__finish_copy_object_request__init(f);
	f->stream_id = b->stream_id;
	f->new_bucket = VIEW(bucket);
	f->new_encrypted_object_key = VIEW(key);
	f->new_segment_keys = b->segment_keys;
	f->n_new_segment_keys = b->n_segment_keys;
	f->new_encrypted_metadata_key = proto_view(BYTES_OF(wrapped));
	f->new_encrypted_metadata_key_nonce = proto_view(BYTES_OF(nonce));
}

static enum err copy(struct world *w, const char *from, const char *bucket, const char *to,
		     bool move)
{
	Metainfo__BeginCopyObjectRequest begin = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	Metainfo__BeginCopyObjectResponse *begun = NULL;
	Metainfo__FinishCopyObjectRequest finish;
	Metainfo__FinishMoveObjectRequest moved = METAINFO__FINISH_MOVE_OBJECT_REQUEST__INIT;

	begin.bucket = VIEW("bucket");
	begin.encrypted_object_key = VIEW(from);
	begin.new_bucket = VIEW(bucket);
	begin.new_encrypted_object_key = VIEW(to);
	TRY_PLAIN(ask(w, "BeginCopyObject", &begin, &begun));
	finish_init(w, &finish, begun, bucket, to);
	if (!move)
		return ask(w, "FinishCopyObject", &finish, NULL);
	moved.stream_id = begun->stream_id;
	moved.new_bucket = finish.new_bucket;
	moved.new_encrypted_object_key = finish.new_encrypted_object_key;
	moved.new_segment_keys = finish.new_segment_keys;
	moved.n_new_segment_keys = finish.n_new_segment_keys;
	moved.new_encrypted_metadata_key = finish.new_encrypted_metadata_key;
	moved.new_encrypted_metadata_key_nonce = finish.new_encrypted_metadata_key_nonce;
	return ask(w, "FinishMoveObject", &moved, NULL);
}

static void test_copy_and_move(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;

	must(w, create_bucket(w, "bucket"));
	must(w, create_bucket(w, "other"));
	must(w, put(w, "k", 300));
	limits.storage = 500;
	struct macaroon m = grant(w, limits);
	use_key(w, &m);
	/* A copy counts for who makes it. */
	must(w, copy(w, "k", "bucket", "copy", false));
	assert_int_equal(counted(w, LIMIT_OF_GRANT).stored, 300);
	refused(w, copy(w, "k", "bucket", "copy 2", false), 8, "grant: Exceeded Storage Limit");
	must(w, copy(w, "k", "bucket", "copy", false));
	/* What is moved goes on counting for whom it did, and for the bucket it is in. */
	set_bucket(w, NO_LIMITS, &free_of_charge);
	assert_int_equal(counted(w, LIMIT_OF_BUCKET).stored, 600);
	must(w, copy(w, "copy", "other", "copy", true));
	assert_int_equal(counted(w, LIMIT_OF_BUCKET).stored, 300);
	assert_int_equal(counted(w, LIMIT_OF_GRANT).stored, 300);
	must(w, delete_object(w, "other", "copy", NULL));
	assert_int_equal(counted(w, LIMIT_OF_GRANT).stored, 0);
	assert_int_equal(counted(w, LIMIT_OF_BUCKET).stored, 300);
}

/* ---- many at once ---- */

enum { CLIENTS = 4, TRIES = 12, PIECE = 100, ROOM = 20 };

struct client {
	struct world *w;
	int number, stored, served;
};

static void client_main(void *arg)
{
	struct client *c = arg;
	struct world *w = world_client(c->w);

	for (int i = 0; i < TRIES; i++) {
		const char *key = arena_printf(&w->call.scratch, "%d-%d", c->number, i);
		enum err e = put(w, key, PIECE);
		c->stored += e == OK;
		if (e && e != ERR_EXHAUSTED)
			fail_msg("%s", w->call.error);
		call_clear_error(&w->call);
		e = download_object(w, "bucket", "first", NULL);
		c->served += e == OK;
		if (e && e != ERR_EXHAUSTED)
			fail_msg("%s", w->call.error);
		call_clear_error(&w->call);
	}
	world_client_free(w);
}

/* Exact, however many ask at the same time. */
static void test_exact_in_parallel(void **state)
{
	struct world *w = *state;
	struct caveat_limits limits = NO_LIMITS;
	struct client clients[CLIENTS] = { 0 };
	struct os_thread *threads[CLIENTS];
	int stored = 0, served = 0;

	must(w, create_bucket(w, "bucket"));
	must(w, put(w, "first", 1));
	limits.storage = PIECE * ROOM;
	limits.egress = ROOM;
	struct macaroon m = grant(w, limits);
	use_key(w, &m);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){ w, i, 0, 0 };
		must(w, os_thread_start(&w->call, "client", client_main, &clients[i], &threads[i]));
	}
	for (int i = 0; i < CLIENTS; i++) {
		os_thread_join(threads[i]);
		stored += clients[i].stored;
		served += clients[i].served;
	}
	assert_int_equal(stored, ROOM);
	assert_int_equal(served, ROOM);
	struct limit l = counted(w, LIMIT_OF_GRANT);
	assert_int_equal(l.stored, PIECE * ROOM);
	assert_int_equal(l.egress, ROOM);
	assert_int_equal(l.downloads, ROOM);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_grant_storage),     TEST(test_grant_multipart),
		TEST(test_grant_downloads),   TEST(test_failed_downloads),
		TEST(test_many_grants),	      TEST(test_spending),
		TEST(test_rolling),	      TEST(test_bucket_limit),
		TEST(test_key_limit),	      TEST(test_copy_and_move),
		TEST(test_exact_in_parallel),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
