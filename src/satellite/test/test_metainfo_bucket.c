/* Buckets, call by call: `test_metainfo_bucket sqlite|postgres`.  Named after the calls. */
#include "satellite/test/metainfo_requests.h"

static Metainfo__SetBucketTaggingRequest *tagging(struct world *w, const char *bucket,
						  const char *const *pairs)
{
	Metainfo__SetBucketTaggingRequest *req = MESSAGE(w, SetBucketTaggingRequest,
							 set_bucket_tagging_request);

	req->name = VIEW(bucket);
	req->tags = arena_array(&w->call.scratch, 64, sizeof(*req->tags));
	for (; *pairs; pairs += 2) {
		Metainfo__BucketTag *t = MESSAGE(w, BucketTag, bucket_tag);
		t->key = VIEW(pairs[0]);
		t->value = VIEW(pairs[1]);
		req->tags[req->n_tags++] = t;
	}
	return req;
}

static enum err get_tags(struct world *w, const char *bucket,
			 Metainfo__GetBucketTaggingResponse **ret)
{
	Metainfo__GetBucketTaggingRequest req = METAINFO__GET_BUCKET_TAGGING_REQUEST__INIT;

	req.name = VIEW(bucket);
	return ask(w, "GetBucketTagging", &req, ret);
}

#define TAGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SET_TAGS(w, bucket, ...) ask(w, "SetBucketTagging", tagging(w, bucket, __VA_ARGS__), NULL)

static const char *repeated(struct world *w, const char *what, size_t n)
{
	char *out = arena_alloc(&w->call.scratch, n * strlen(what) + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(out + i * strlen(what), what, strlen(what));
	return out;
}

static void test_SetBucketTagging(void **state)
{
	struct world *w = *state;
	Metainfo__GetBucketTaggingResponse *got = NULL;

	must(w, create_bucket(w, "bucket"));
	refused(w, SET_TAGS(w, "none", TAGS("a", "b")), 5, "bucket not found: none");
	refused(w, SET_TAGS(w, "", TAGS("a", "b")), STATUS_BUCKET_NAME_MISSING, "A bucket name is");
	refused(w, SET_TAGS(w, "x", TAGS("a", "b")), STATUS_BUCKET_NAME_INVALID, "");
	refused(w, SET_TAGS(w, "bucket", TAGS("a", "b", "a", "c")), STATUS_TAG_KEY_DUPLICATE, "");
	refused(w, SET_TAGS(w, "bucket", TAGS("", "b")), STATUS_TAG_KEY_INVALID,
		"A tag key was not provided");
	refused(w, SET_TAGS(w, "bucket", TAGS("\xff", "b")), STATUS_TAG_KEY_INVALID,
		"A provided tag key is not a valid");
	refused(w, SET_TAGS(w, "bucket", TAGS("a!", "b")), STATUS_TAG_KEY_INVALID,
		"A provided tag key contains");
	refused(w, SET_TAGS(w, "bucket", TAGS("a", "\xe2\x82\xac")), STATUS_TAG_VALUE_INVALID,
		"A provided tag value contains");
	refused(w, SET_TAGS(w, "bucket", TAGS("a", "\xc0\x80")), STATUS_TAG_VALUE_INVALID,
		"A provided tag value is not");
	refused(w, SET_TAGS(w, "bucket", TAGS(repeated(w, "\xc3\xa9", 129), "b")),
		STATUS_TAG_KEY_INVALID, "A provided tag key is too long");
	refused(w, SET_TAGS(w, "bucket", TAGS("a", repeated(w, "v", 257))),
		STATUS_TAG_VALUE_INVALID, "A provided tag value is too long");
	must(w, SET_TAGS(w, "bucket",
			 TAGS(repeated(w, "\xc3\xa9", 128), repeated(w, "\xe6\x97\xa5", 256),
			      "a+b -./:=@_9", "")));
	must(w, get_tags(w, "bucket", &got));
	assert_int_equal(got->n_tags, 2);
	assert_int_equal(got->tags[0]->value.len, 3 * 256);
	assert_int_equal(got->tags[1]->value.len, 0);
	/* One more than fifty. */
	Metainfo__SetBucketTaggingRequest *many = tagging(w, "bucket", TAGS("k", "v"));
	for (int i = 0; i < 50; i++) {
		Metainfo__BucketTag *t = MESSAGE(w, BucketTag, bucket_tag);
		t->key = VIEW(arena_printf(&w->call.scratch, "k%d", i));
		many->tags[many->n_tags++] = t;
	}
	refused(w, ask(w, "SetBucketTagging", many, NULL), STATUS_TAGS_TOO_MANY, "");
	many->n_tags--;
	must(w, ask(w, "SetBucketTagging", many, NULL));
	/* None at all takes them away. */
	many->n_tags = 0;
	must(w, ask(w, "SetBucketTagging", many, NULL));
	refused(w, get_tags(w, "bucket", &got), STATUS_TAGS_NOT_FOUND, "No tags are set");
}

static void test_GetBucketTagging(void **state)
{
	struct world *w = *state;
	struct allowed_path path = { bytes_str("other"), BYTES_NONE };
	struct caveat elsewhere = { .paths = &path, .paths_count = 1 };
	struct caveat no_write = { .disallow_writes = true };

	must(w, create_bucket(w, "bucket"));
	refused(w, get_tags(w, "none", NULL), 5, "bucket not found: none");
	refused(w, get_tags(w, "", NULL), STATUS_BUCKET_NAME_MISSING, "");
	refused(w, get_tags(w, "bucket", NULL), STATUS_TAGS_NOT_FOUND, "");
	must(w, SET_TAGS(w, "bucket", TAGS("a", "b")));
	struct macaroon m = restricted(w, &no_write);
	use_key(w, &m);
	must(w, get_tags(w, "bucket", NULL));
	refused(w, SET_TAGS(w, "bucket", TAGS("a", "b")), 7, "Unauthorized API credentials");
	m = restricted(w, &elsewhere);
	use_key(w, &m);
	refused(w, get_tags(w, "bucket", NULL), 7, "Unauthorized API credentials");
	w->sat.config.bucket_tagging = false;
	refused(w, get_tags(w, "bucket", NULL), 12, "Unimplemented");
	refused(w, SET_TAGS(w, "bucket", TAGS("a", "b")), 12, "Unimplemented");
}

struct version_arg {
	unsigned version;
};

static enum err set_key_version(struct call *call, struct db_tx *tx, void *arg)
{
	const struct version_arg *v = arg;

	return DB_EXEC(call, tx, "UPDATE api_keys SET version = $1", NULL, DB_V_INT(v->version));
}

static void key_version(struct world *w, unsigned version)
{
	struct version_arg v = { version };

	must(w, db_write(&w->call, w->sat.db, set_key_version, &v));
	key_cache_clear(w->sat.keys);
}

static void test_BucketNotificationConfiguration(void **state)
{
	struct world *w = *state;
	Metainfo__GetBucketNotificationConfigurationRequest get =
		METAINFO__GET_BUCKET_NOTIFICATION_CONFIGURATION_REQUEST__INIT;
	Metainfo__GetBucketNotificationConfigurationResponse *got = NULL;
	Metainfo__SetBucketNotificationConfigurationRequest set =
		METAINFO__SET_BUCKET_NOTIFICATION_CONFIGURATION_REQUEST__INIT;

	must(w, create_bucket(w, "bucket"));
	get.name = set.name = VIEW("bucket");
	refused(w, ask(w, "GetBucketNotificationConfiguration", &get, &got), 7, "Unauthorized");
	key_version(w, KEY_VERSION_OBJECT_LOCK | KEY_VERSION_EVENTING);
	must(w, ask(w, "GetBucketNotificationConfiguration", &get, &got));
	assert_null(got->configuration);
	refused(w, ask(w, "SetBucketNotificationConfiguration", &set, NULL), 9,
		"Bucket eventing requires");
	get.name = VIEW("none");
	refused(w, ask(w, "GetBucketNotificationConfiguration", &get, &got), 5, "bucket not found");
	get.name = set.name = VIEW("");
	refused(w, ask(w, "GetBucketNotificationConfiguration", &get, &got), 3, "bucket name is");
	refused(w, ask(w, "SetBucketNotificationConfiguration", &set, NULL), 3, "bucket name is");
}

static enum err change_project(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, arg, NULL, 0, NULL);
}

static void project(struct world *w, const char *set)
{
	must(w, db_write(&w->call, w->sat.db, change_project,
			 arena_printf(&w->call.scratch, "UPDATE projects SET %s", set)));
	key_cache_clear(w->sat.keys);
}

static void test_GetBucketLocation(void **state)
{
	struct world *w = *state;
	Metainfo__GetBucketLocationRequest req = METAINFO__GET_BUCKET_LOCATION_REQUEST__INIT;
	Metainfo__GetBucketLocationResponse *got = NULL;
	struct placement p;

	must(w, create_bucket(w, "bucket"));
	req.name = VIEW("bucket");
	must(w, ask(w, "GetBucketLocation", &req, &got));
	assert_int_equal(got->location.len, 0);
	/* New buckets have their project's placement. */
	assert_int_equal(placement_parse(&w->call, 7, bytes_str("home"), bytes_str("DE"), &p), OK);
	must(w, store_placement_set(&w->call, w->sat.db, &p));
	must(w, overlay_refresh(&w->call, &w->sat));
	project(w, "placement = 7");
	must(w, create_bucket(w, "placed"));
	must(w, ask(w, "GetBucketLocation", &req, &got));
	assert_int_equal(got->location.len, 0);
	req.name = VIEW("placed");
	must(w, ask(w, "GetBucketLocation", &req, &got));
	assert_true(bytes_equal(proto_bytes(got->location), bytes_str("home")));
	assert_int_equal(store_placement_remove(&w->call, w->sat.db, 7), ERR_PRECONDITION);
	call_clear_error(&w->call);
	req.name = VIEW("none");
	refused(w, ask(w, "GetBucketLocation", &req, &got), 5, "bucket not found: none");
}

static void test_CreateBucket(void **state)
{
	struct world *w = *state;
	Metainfo__CreateBucketRequest req = METAINFO__CREATE_BUCKET_REQUEST__INIT;
	Metainfo__GetBucketVersioningRequest look = METAINFO__GET_BUCKET_VERSIONING_REQUEST__INIT;
	Metainfo__GetBucketVersioningResponse *versioning = NULL;
	struct caveat no_lock = { .disallow_put_bucket_lock_config = true };

	/* A wish for a placement is not heard: none is offered (metainfo.md 4). */
	req.name = VIEW("bucket");
	req.placement = VIEW("eu");
	must(w, ask(w, "CreateBucket", &req, NULL));
	refused(w, ask(w, "CreateBucket", &req, NULL), 6, "bucket already exists");
	struct macaroon m = restricted(w, &no_lock);
	use_key(w, &m);
	req.name = VIEW("locked");
	req.object_lock_enabled = true;
	refused(w, ask(w, "CreateBucket", &req, NULL), 7, "Unauthorized API credentials");
	use_key(w, &w->key);
	must(w, ask(w, "CreateBucket", &req, NULL));
	look.name = VIEW("locked");
	must(w, ask(w, "GetBucketVersioning", &look, &versioning));
	assert_int_equal(versioning->versioning, VERSIONING_ON);
	w->sat.config.max_buckets = 2;
	key_cache_clear(w->sat.keys);
	refused(w, create_bucket(w, "third"), 8, "number of allocated buckets (2) exceeded");
}

static void test_CreateBucket_project(void **state)
{
	struct world *w = *state;
	Metainfo__GetBucketVersioningRequest look = METAINFO__GET_BUCKET_VERSIONING_REQUEST__INIT;
	Metainfo__GetBucketVersioningResponse *versioning = NULL;

	project(w, "default_versioning = 2");
	must(w, create_bucket(w, "bucket"));
	look.name = VIEW("bucket");
	must(w, ask(w, "GetBucketVersioning", &look, &versioning));
	assert_int_equal(versioning->versioning, VERSIONING_ON);
	project(w, "disabled_at = 1");
	refused(w, create_bucket(w, "another"), 5, "no such project");
	must(w, ask(w, "GetBucketVersioning", &look, &versioning));
}

/* One of the next requests is too many; of a rate of one a second a slow machine gets a few more.
 */
static void soon_refused(struct world *w, enum err (*request)(struct world *w, int i))
{
	enum err e = OK;

	for (int i = 0; !e && i < 30; i++)
		e = request(w, i);
	refused(w, e, 8, "Too Many Requests");
}

static enum err make_one(struct world *w, int i)
{
	return create_bucket(w, arena_printf(&w->call.scratch, "more%d", i));
}

static enum err look_at_one(struct world *w, int i)
{
	Metainfo__GetBucketRequest look = METAINFO__GET_BUCKET_REQUEST__INIT;

	look.name = VIEW("bucket");
	return ask(w, "GetBucket", &look, NULL);
}

/* Rates by kind of request (metainfo.md 3.4). */
static void test_rates(void **state)
{
	struct world *w = *state;

	project(w, "rate_put = 1, rate_put_burst = 2");
	must(w, create_bucket(w, "bucket"));
	must(w, create_bucket(w, "second"));
	soon_refused(w, make_one);
	/* Others are not counted with it. */
	for (int i = 0; i < 5; i++)
		must(w, look_at_one(w, i));
	project(w, "rate_put = NULL, rate_put_burst = NULL, rate_head = 0");
	refused(w, look_at_one(w, 0), 7, "All access disabled");
	must(w, create_bucket(w, "third"));
	project(w, "rate_head = 0, rate_head_burst = 1");
	must(w, look_at_one(w, 0));
	soon_refused(w, look_at_one);
	project(w, "rate_head = NULL, rate_head_burst = NULL");
	must(w, db_write(&w->call, w->sat.db, change_project,
			 (void *)(uintptr_t) "UPDATE api_keys SET rate = 1"));
	key_cache_clear(w->sat.keys);
	must(w, look_at_one(w, 0));
	soon_refused(w, look_at_one);
	/* Another key of the project has a rate of its own. */
	struct macaroon other;
	must(w, api_key_create(&w->call, w->sat.db, &w->call.scratch, &w->project.id,
			       bytes_str("other"), &other));
	use_key(w, &other);
	for (int i = 0; i < 3; i++)
		must(w, look_at_one(w, i));
}

/* Every tail of an auditable key must have been registered (access.md 1.3). */
static enum err register_tail(struct call *call, struct db_tx *tx, void *arg)
{
	const struct macaroon *m = arg;

	return DB_EXEC(call, tx,
		       "INSERT INTO api_key_tails (tail, head, caveat, registered_at) "
		       "VALUES ($1, $2, $3, 1)",
		       NULL, DB_V_BLOB(BYTES_OF(m->tail)), DB_V_BLOB(m->head),
		       DB_V_BLOB(m->caveats[0]));
}

static void test_auditable_keys(void **state)
{
	struct world *w = *state;
	Metainfo__GetBucketRequest look = METAINFO__GET_BUCKET_REQUEST__INIT;
	struct caveat no_write = { .disallow_writes = true };
	struct macaroon m = restricted(w, &no_write);

	look.name = VIEW("bucket");
	must(w, create_bucket(w, "bucket"));
	key_version(w, KEY_VERSION_OBJECT_LOCK | KEY_VERSION_AUDITABLE);
	must(w, ask(w, "GetBucket", &look, NULL));
	use_key(w, &m);
	refused(w, ask(w, "GetBucket", &look, NULL), 7,
		"unregistered tail not allowed for auditable API key");
	must(w, db_write(&w->call, w->sat.db, register_tail, &m));
	must(w, ask(w, "GetBucket", &look, NULL));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_SetBucketTagging),
		TEST(test_GetBucketTagging),
		TEST(test_BucketNotificationConfiguration),
		TEST(test_GetBucketLocation),
		TEST(test_CreateBucket),
		TEST(test_CreateBucket_project),
		TEST(test_rates),
		TEST(test_auditable_keys),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
