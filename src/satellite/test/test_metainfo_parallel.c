/*
 * Clients that meet at one key: `test_metainfo_parallel sqlite|postgres`.  One whole winner each
 * time, nothing left that belongs to nobody: after every scene the whole database is checked.
 */
#include "os/thread.h"
#include "satellite/check.h"
#include "satellite/store_metainfo.h"
#include "satellite/test/metainfo_requests.h"

enum { CLIENTS = 4, ROUNDS = 12 };

struct scene {
	struct world *w; /* the satellite's */
	void (*act)(struct scene *s, struct world *client, int number, int round);
	int wins[CLIENTS], losses[CLIENTS];
	/* for scenes that prepare something per round */
	Metainfo__BeginObjectResponse *begun[ROUNDS];
};

struct actor {
	struct scene *scene;
	int number;
};

static void actor_main(void *arg)
{
	struct actor *a = arg;
	struct world *client = world_client(a->scene->w);

	for (int round = 0; round < ROUNDS; round++) {
		a->scene->act(a->scene, client, a->number, round);
		call_clear_error(&client->call);
	}
	world_client_free(client);
}

static void check_database(struct world *w)
{
	struct check_report r;

	must(w, satellite_check(&w->call, w->sat.db, &r));
	for (size_t i = 0; i < r.count; i++)
		if (r.findings[i].count)
			fail_msg("not so: %s (%llu times, first %s)", r.findings[i].name,
				 (unsigned long long)r.findings[i].count, r.findings[i].example);
}

static void play(struct scene *s, int actors)
{
	struct actor list[CLIENTS];
	struct os_thread *threads[CLIENTS];

	for (int i = 0; i < actors; i++) {
		list[i] = (struct actor){ s, i };
		must(s->w,
		     os_thread_start(&s->w->call, "actor", actor_main, &list[i], &threads[i]));
	}
	for (int i = 0; i < actors; i++)
		os_thread_join(threads[i]);
	check_database(s->w);
}

/* An outcome that may be: counted; anything else is a failure of the test. */
static void outcome(struct scene *s, struct world *client, int number, enum err e, enum err loss)
{
	if (e && e != loss)
		fail_msg("client %d: %s (status %llu): %s", number, err_name(e),
			 (unsigned long long)client->call.status, client->call.error);
	if (e)
		s->losses[number]++;
	else
		s->wins[number]++;
	call_clear_error(&client->call);
}

static enum err begin(struct world *client, const char *key, Metainfo__BeginObjectResponse **ret)
{
	return ask(client, "BeginObject", begin_request(client, "bucket", key), ret);
}

static enum err add_segment(struct world *client, const Metainfo__BeginObjectResponse *b,
			    const char *data)
{
	Metainfo__MakeInlineSegmentRequest *req = inline_request(client, data);

	req->stream_id = b->stream_id;
	return ask(client, "MakeInlineSegment", req, NULL);
}

static enum err commit(struct world *client, const Metainfo__BeginObjectResponse *b, bool if_none)
{
	Metainfo__CommitObjectRequest *req = commit_request(client);
	char *star[] = { (char *)(uintptr_t) "*" };

	req->stream_id = b->stream_id;
	if (if_none) {
		req->n_if_none_match = 1;
		req->if_none_match = star;
	}
	return ask(client, "CommitObject", req, NULL);
}

/* Uploads in steps and in one, of different sizes, to one key. */
static void write_one_key(struct scene *s, struct world *client, int number, int round)
{
	const char *data = arena_printf(&client->call.scratch, "%0*d", 10 + number, round);
	Metainfo__BeginObjectResponse *b = NULL;

	if (number % 2) {
		outcome(s, client, number,
			put_object(client, FORM_ZSTD, "bucket", "key", data, NULL), OK);
		return;
	}
	must(client, begin(client, "key", &b));
	must(client, add_segment(client, b, data));
	outcome(s, client, number, commit(client, b, false), OK);
}

static size_t count_versions(struct world *w, const char *key, bool pending)
{
	Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;
	Metainfo__ListObjectsResponse *page = NULL;
	size_t n = 0;

	req.include_all_versions = true;
	req.recursive = true;
	if (pending)
		req.status = METAINFO__OBJECT__STATUS__UPLOADING;
	must(w, list_objects(w, "bucket", &req, &page));
	for (size_t i = 0; i < page->n_items; i++)
		n += !key ||
		     bytes_equal(proto_bytes(page->items[i]->encrypted_object_key), bytes_str(key));
	return n;
}

static void test_two_writers_of_one_key(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = write_one_key };
	Metainfo__DownloadObjectResponse *d = NULL;

	must(w, create_bucket(w, "bucket"));
	play(&s, CLIENTS);
	assert_int_equal(count_versions(w, "key", false), 1);
	assert_int_equal(count_versions(w, NULL, true), 0);
	must(w, download_object(w, "bucket", "key", &d));
	assert_int_equal(d->object->plain_size, d->segment_download[0]->encrypted_inline_data.len);
}

static void test_writers_of_versions(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = write_one_key };

	must(w, create_bucket(w, "bucket"));
	set_versioning(w, "bucket", true);
	play(&s, CLIENTS);
	assert_int_equal(count_versions(w, "key", false), CLIENTS * ROUNDS);
}

static void write_if_none(struct scene *s, struct world *client, int number, int round)
{
	const char *key = arena_printf(&client->call.scratch, "key%d", round);
	Metainfo__BeginObjectResponse *b = NULL;

	must(client, begin(client, key, &b));
	must(client, add_segment(client, b, "data"));
	outcome(s, client, number, commit(client, b, true), ERR_PRECONDITION);
}

static void test_if_none_match(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = write_if_none };
	int wins = 0;

	must(w, create_bucket(w, "bucket"));
	play(&s, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		wins += s.wins[i];
	assert_int_equal(wins, ROUNDS);
	assert_int_equal(count_versions(w, NULL, false), ROUNDS);
}

static void write_and_delete(struct scene *s, struct world *client, int number, int round)
{
	if (number % 2)
		outcome(s, client, number, delete_object(client, "bucket", "key", NULL), OK);
	else
		write_one_key(s, client, number, round);
}

static void test_delete_during_upload(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = write_and_delete };

	must(w, create_bucket(w, "bucket"));
	play(&s, CLIENTS);
	assert_true(count_versions(w, "key", false) <= 1);
}

/* Both commit or abort the same upload at the same time: one of them does it. */
static void commit_or_abort(struct scene *s, struct world *client, int number, int round)
{
	Metainfo__BeginDeleteObjectRequest rm = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;

	if (number % 2 == 0) {
		outcome(s, client, number, commit(client, s->begun[round], false), ERR_NOT_FOUND);
		return;
	}
	rm.bucket = VIEW("bucket");
	rm.encrypted_object_key = s->begun[round]->encrypted_object_key;
	rm.status = 1;
	rm.stream_id = s->begun[round]->stream_id;
	outcome(s, client, number, ask(client, "BeginDeleteObject", &rm, NULL), ERR_NOT_FOUND);
}

static void test_abort_during_commit(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = commit_or_abort };
	int wins = 0, committed = 0;

	must(w, create_bucket(w, "bucket"));
	for (int i = 0; i < ROUNDS; i++) {
		must(w, begin(w, arena_printf(&w->call.scratch, "key%d", i), &s.begun[i]));
		must(w, add_segment(w, s.begun[i], "data"));
	}
	play(&s, CLIENTS);
	for (int i = 0; i < CLIENTS; i++) {
		wins += s.wins[i];
		committed += i % 2 ? 0 : s.wins[i];
	}
	assert_int_equal(wins, ROUNDS);
	assert_int_equal(count_versions(w, NULL, false), committed);
	assert_int_equal(count_versions(w, NULL, true), 0);
}

/* ---- copies and moves ---- */

static enum err move(struct world *client, const char *from, const char *to, bool copy)
{
	static const uint8_t nonce[24] = { 1 };
	static const uint8_t wrapped[48] = { 1 };
	Metainfo__BeginCopyObjectRequest req = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	Metainfo__BeginCopyObjectResponse *begun = NULL;
	Metainfo__FinishCopyObjectRequest finish = METAINFO__FINISH_COPY_OBJECT_REQUEST__INIT;
	Metainfo__FinishMoveObjectRequest moved = METAINFO__FINISH_MOVE_OBJECT_REQUEST__INIT;

	req.bucket = req.new_bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW(from);
	req.new_encrypted_object_key = VIEW(to);
	TRY_PLAIN(ask(client, "BeginCopyObject", &req, &begun));
	finish.stream_id = moved.stream_id = begun->stream_id;
	finish.new_bucket = moved.new_bucket = VIEW("bucket");
	finish.new_encrypted_object_key = moved.new_encrypted_object_key = VIEW(to);
	finish.new_segment_keys = moved.new_segment_keys = begun->segment_keys;
	finish.n_new_segment_keys = moved.n_new_segment_keys = begun->n_segment_keys;
	finish.new_encrypted_metadata_key = moved.new_encrypted_metadata_key =
		proto_view(BYTES_OF(wrapped));
	finish.new_encrypted_metadata_key_nonce = moved.new_encrypted_metadata_key_nonce =
		proto_view(BYTES_OF(nonce));
	return copy ? ask(client, "FinishCopyObject", &finish, NULL)
		    : ask(client, "FinishMoveObject", &moved, NULL);
}

/* Everybody moves his own object onto the one key that another writes. */
static void move_onto(struct scene *s, struct world *client, int number, int round)
{
	const char *mine = arena_printf(&client->call.scratch, "mine%d", number);

	if (number % 2) {
		write_one_key(s, client, number, round);
		return;
	}
	must(client, put_object(client, FORM_ZSTD, "bucket", mine, "moved", NULL));
	outcome(s, client, number, move(client, mine, "key", false), ERR_NOT_FOUND);
}

static void test_move_onto_object_being_written(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = move_onto };

	must(w, create_bucket(w, "bucket"));
	play(&s, CLIENTS);
	assert_int_equal(count_versions(w, NULL, false), 1);
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(s.losses[i], 0);
}

/* Two move and copy the same source away while another writes it anew. */
static void move_away(struct scene *s, struct world *client, int number, int round)
{
	if (number == 0)
		outcome(s, client, number,
			put_object(client, FORM_ZSTD, "bucket", "key", "source", NULL), OK);
	else
		outcome(s, client, number, move(client, "key", "target", number == 1),
			ERR_NOT_FOUND);
}

static void test_source_changes_during_move(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = move_away };

	must(w, create_bucket(w, "bucket"));
	play(&s, CLIENTS);
	assert_true(count_versions(w, NULL, false) <= 2);
	assert_int_equal(s.losses[0], 0);
}

/* ---- buckets ---- */

static void delete_bucket_while_writing(struct scene *s, struct world *client, int number,
					int round)
{
	Metainfo__DeleteBucketRequest rm = METAINFO__DELETE_BUCKET_REQUEST__INIT;
	Metainfo__BeginObjectResponse *b = NULL;
	enum err e;

	rm.name = VIEW("bucket");
	rm.delete_all = true;
	if (number == 0) {
		e = ask(client, "DeleteBucket", &rm, NULL);
		if (e == ERR_PRECONDITION)
			e = ERR_NOT_FOUND; /* somebody wrote meanwhile */
		outcome(s, client, number, e, ERR_NOT_FOUND);
	} else if (number == 1) {
		outcome(s, client, number, create_bucket(client, "bucket"), ERR_EXISTS);
	} else {
		e = begin(client, arena_printf(&client->call.scratch, "%d-%d", number, round), &b);
		if (!e)
			e = add_segment(client, b, "data");
		if (!e)
			e = commit(client, b, false);
		outcome(s, client, number, e, ERR_NOT_FOUND);
	}
}

static void test_bucket_deleted_while_written(void **state)
{
	struct world *w = *state;
	struct scene s = { .w = w, .act = delete_bucket_while_writing };

	must(w, create_bucket(w, "bucket"));
	play(&s, CLIENTS);
}

/* The check itself can fail: what it finds when rows are pulled from under it. */
static enum err damage(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, arg, NULL, 0, NULL);
}

static void test_check_finds(void **state)
{
	static const struct {
		const char *sql, *name;
	} cases[] = {
		{ "UPDATE objects SET plain_size = plain_size + 1",
		  "an object's segments are as many and as large as it says" },
		{ "UPDATE segments SET plain_offset = 5",
		  "segments of an object lie one behind the other" },
		{ "UPDATE objects SET status = 1",
		  "a state is one there is, and its version has the sign of it" },
		{ "DELETE FROM objects", "every segment has an object" },
		{ "DELETE FROM buckets", "every object has a bucket" },
		{ "UPDATE segments SET redundancy = 288230376168751360",
		  "a segment is inline or has pieces" },
		{ "UPDATE limits SET stored = stored + 1",
		  "what is counted for a limit is what is stored" },
		{ "UPDATE projects SET has_bucket_limits = NULL",
		  "a bucket with limits is known to its project" },
	};
	struct world *w = *state;
	struct check_report r;
	const struct caveat_limits none = CAVEAT_LIMITS_NONE;
	const struct prices prices = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *bucket = arena_printf(&w->call.scratch, "bucket%zu", i);
		uint64_t found = 0;
		must(w, create_bucket(w, bucket));
		must(w, put_object(w, FORM_ZSTD, bucket, "k", "data", NULL));
		must(w, limit_set_for_bucket(&w->call, w->sat.db, &w->project.id, bytes_str(bucket),
					     &none, &prices));
		check_database(w);
		must(w, db_write(&w->call, w->sat.db, damage, (void *)(uintptr_t)cases[i].sql));
		must(w, satellite_check(&w->call, w->sat.db, &r));
		for (size_t k = 0; k < r.count; k++)
			if (!strcmp(r.findings[k].name, cases[i].name))
				found = r.findings[k].count;
		if (!found)
			fail_msg("not found: %s", cases[i].name);
		must(w, db_write(&w->call, w->sat.db, damage,
				 (void *)(uintptr_t) "DELETE FROM segments"));
		must(w, db_write(&w->call, w->sat.db, damage,
				 (void *)(uintptr_t) "DELETE FROM objects"));
		must(w, db_write(&w->call, w->sat.db, damage,
				 (void *)(uintptr_t) "DELETE FROM limits"));
		must(w, db_write(&w->call, w->sat.db, damage,
				 (void *)(uintptr_t) "DELETE FROM buckets"));
	}
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_two_writers_of_one_key),
		TEST(test_writers_of_versions),
		TEST(test_if_none_match),
		TEST(test_delete_during_upload),
		TEST(test_abort_during_commit),
		TEST(test_move_onto_object_being_written),
		TEST(test_source_changes_during_move),
		TEST(test_bucket_deleted_while_written),
		TEST(test_check_finds),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
