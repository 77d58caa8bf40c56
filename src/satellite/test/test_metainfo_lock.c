/*
 * Object Lock, call by call: `test_metainfo_lock sqlite|postgres`.  After the cases of storj's
 * satellite/metainfo tests of the same names (docs/protocol/metainfo-coverage.md).
 */
#include "satellite/test/metainfo_requests.h"

#define HOUR (3600 * NS_PER_SEC)

static Metainfo__Retention *retention(struct world *w, int mode, int64_t in_ns)
{
	Metainfo__Retention *r = MESSAGE(w, Retention, retention);

	r->mode = (Metainfo__Retention__Mode)mode;
	if (in_ns)
		r->retain_until = proto_time_new(&w->call.scratch, os_clock_unix_ns() + in_ns);
	return r;
}

enum { COMPLIANCE = 1, GOVERNANCE = 2 };

static void create_locked(struct world *w, const char *name)
{
	Metainfo__CreateBucketRequest create = METAINFO__CREATE_BUCKET_REQUEST__INIT;

	create.name = VIEW(name);
	create.object_lock_enabled = true;
	must(w, ask(w, "CreateBucket", &create, NULL));
}

/* The same small object in steps or in one batch. */
static enum err upload(struct world *w, Metainfo__BeginObjectRequest *begin, bool in_one,
		       Metainfo__Object **ret)
{
	Metainfo__BatchResponse *batch = NULL;
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__CommitObjectResponse *committed = NULL;
	Metainfo__Object *unused = NULL;

	ret = ret ? ret : &unused;
	if (in_one) {
		Metainfo__BatchRequestItem *items[] = {
			batch_item(w, I_BEGIN, begin),
			batch_item(w, I_INLINE, inline_request(w, "data")),
			batch_item(w, I_COMMIT, commit_request(w))
		};
		TRY_PLAIN(ask_batch(w, FORM_ZSTD, items, 3, &batch));
		*ret = batch->responses[2]->object_commit->object;
		return OK;
	}
	TRY_PLAIN(ask(w, "BeginObject", begin, &begun));
	Metainfo__MakeInlineSegmentRequest *segment = inline_request(w, "data");
	Metainfo__CommitObjectRequest *commit = commit_request(w);
	segment->stream_id = commit->stream_id = begun->stream_id;
	TRY_PLAIN(ask(w, "MakeInlineSegment", segment, NULL));
	TRY_PLAIN(ask(w, "CommitObject", commit, &committed));
	*ret = committed->object;
	return OK;
}

static enum err set_retention(struct world *w, const char *bucket, const char *key,
			      ProtobufCBinaryData version, Metainfo__Retention *r, bool bypass)
{
	Metainfo__SetObjectRetentionRequest req = METAINFO__SET_OBJECT_RETENTION_REQUEST__INIT;

	req.bucket = VIEW(bucket);
	req.encrypted_object_key = VIEW(key);
	req.object_version = version;
	req.retention = r;
	req.bypass_governance_retention = bypass;
	return ask(w, "SetObjectRetention", &req, NULL);
}

static enum err get_retention(struct world *w, const char *bucket, const char *key,
			      ProtobufCBinaryData version,
			      Metainfo__GetObjectRetentionResponse **ret)
{
	Metainfo__GetObjectRetentionRequest req = METAINFO__GET_OBJECT_RETENTION_REQUEST__INIT;

	req.bucket = VIEW(bucket);
	req.encrypted_object_key = VIEW(key);
	req.object_version = version;
	return ask(w, "GetObjectRetention", &req, ret);
}

static enum err set_hold(struct world *w, const char *bucket, const char *key,
			 ProtobufCBinaryData version, bool on)
{
	Metainfo__SetObjectLegalHoldRequest req = METAINFO__SET_OBJECT_LEGAL_HOLD_REQUEST__INIT;

	req.bucket = VIEW(bucket);
	req.encrypted_object_key = VIEW(key);
	req.object_version = version;
	req.enabled = on;
	return ask(w, "SetObjectLegalHold", &req, NULL);
}

static enum err get_hold(struct world *w, const char *bucket, const char *key, bool *ret)
{
	Metainfo__GetObjectLegalHoldRequest req = METAINFO__GET_OBJECT_LEGAL_HOLD_REQUEST__INIT;
	Metainfo__GetObjectLegalHoldResponse *resp = NULL;

	req.bucket = VIEW(bucket);
	req.encrypted_object_key = VIEW(key);
	TRY_PLAIN(ask(w, "GetObjectLegalHold", &req, &resp));
	*ret = resp->enabled;
	return OK;
}

#define LATEST ((ProtobufCBinaryData){ 0, NULL })

/* ---- uploads with a lock ---- */

static void test_UploadObjectWithRetentionLegalHold(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__BeginObjectRequest *b;
	struct caveat no_put = { .disallow_put_retention = true, .disallow_put_legal_hold = true };

	create_locked(w, "locked");
	must(w, create_bucket(w, "plain"));
	for (int in_one = 0; in_one < 2; in_one++) {
		b = begin_request(w, "locked", "k");
		b->retention = retention(w, GOVERNANCE, HOUR);
		b->legal_hold = true;
		must(w, upload(w, b, in_one, &o));
		assert_int_equal(o->retention->mode, GOVERNANCE);
		assert_true(o->legal_hold->value);
		b = begin_request(w, "locked", "k");
		must(w, upload(w, b, in_one, &o));
		assert_null(o->retention);
		assert_false(o->legal_hold->value);
		b = begin_request(w, "plain", "k");
		b->legal_hold = true;
		refused(w, upload(w, b, in_one, NULL), STATUS_LOCK_BUCKET_MISSING, "");
		b = begin_request(w, "locked", "k");
		b->retention = retention(w, 3, HOUR);
		refused(w, upload(w, b, in_one, NULL), 3, "invalid retention mode 3");
		b->retention = retention(w, COMPLIANCE, 0);
		refused(w, upload(w, b, in_one, NULL), 3,
			"retention period expiration time must be");
		b->retention = retention(w, COMPLIANCE, -HOUR);
		refused(w, upload(w, b, in_one, NULL), 3,
			"retention period expiration time must not be in the past");
		b->retention = retention(w, COMPLIANCE, HOUR);
		b->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() + 2 * HOUR);
		refused(w, upload(w, b, in_one, NULL), 3,
			"cannot specify Object Lock settings and an object expiration time");
		b->expires_at = NULL;
		struct macaroon m = restricted(w, &no_put);
		use_key(w, &m);
		refused(w, upload(w, b, in_one, NULL), 7, "Unauthorized API credentials");
		b->retention = NULL;
		b->legal_hold = true;
		refused(w, upload(w, b, in_one, NULL), 7, "Unauthorized API credentials");
		struct caveat ttl = { .has_ttl = true, .ttl_ns = HOUR };
		m = restricted(w, &ttl);
		use_key(w, &m);
		refused(w, upload(w, b, in_one, NULL), 3,
			"cannot specify Object Lock settings when using an API key");
		use_key(w, &w->key);
	}
}

static void default_retention(struct world *w, int mode, int days, int years)
{
	Metainfo__SetBucketObjectLockConfigurationRequest set =
		METAINFO__SET_BUCKET_OBJECT_LOCK_CONFIGURATION_REQUEST__INIT;
	Metainfo__ObjectLockConfiguration config = METAINFO__OBJECT_LOCK_CONFIGURATION__INIT;
	Metainfo__DefaultRetention d = METAINFO__DEFAULT_RETENTION__INIT;

	set.name = VIEW("locked");
	set.configuration = &config;
	config.enabled = true;
	if (mode)
		config.default_retention = &d;
	d.mode = (Metainfo__Retention__Mode)mode;
	d.duration_case = days ? METAINFO__DEFAULT_RETENTION__DURATION_DAYS
			       : METAINFO__DEFAULT_RETENTION__DURATION_YEARS;
	if (days)
		d.days = days;
	else
		d.years = years;
	must(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL));
}

static void test_UploadObjectWithDefaultRetention(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	struct caveat ttl = { .has_ttl = true, .ttl_ns = HOUR };

	create_locked(w, "locked");
	for (int in_one = 0; in_one < 2; in_one++) {
		default_retention(w, COMPLIANCE, 3, 0);
		must(w, upload(w, begin_request(w, "locked", "days"), in_one, &o));
		assert_int_equal(o->retention->mode, COMPLIANCE);
		int64_t left = proto_time(o->retention->retain_until) - os_clock_unix_ns();
		assert_true(left > 71 * HOUR && left <= 72 * HOUR);
		default_retention(w, GOVERNANCE, 0, 2);
		must(w, upload(w, begin_request(w, "locked", "years"), in_one, &o));
		assert_int_equal(o->retention->mode, GOVERNANCE);
		left = proto_time(o->retention->retain_until) - os_clock_unix_ns();
		assert_true(left > 729 * 24 * HOUR && left <= 732 * 24 * HOUR);
		/* What the upload says goes before it. */
		Metainfo__BeginObjectRequest *b = begin_request(w, "locked", "own");
		b->retention = retention(w, COMPLIANCE, HOUR);
		must(w, upload(w, b, in_one, &o));
		assert_true(proto_time(o->retention->retain_until) < os_clock_unix_ns() + 2 * HOUR);
		b = begin_request(w, "locked", "ttl");
		b->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() + HOUR);
		refused(w, upload(w, b, in_one, NULL), STATUS_LOCK_TTL_DEFAULT, "");
		struct macaroon m = restricted(w, &ttl);
		use_key(w, &m);
		b->expires_at = NULL;
		refused(w, upload(w, b, in_one, NULL), STATUS_LOCK_TTL_KEY_DEFAULT, "");
		use_key(w, &w->key);
	}
	default_retention(w, 0, 0, 0);
	must(w, upload(w, begin_request(w, "locked", "none"), true, &o));
	assert_null(o->retention);
}

/* ---- bucket configuration ---- */

static void test_SetBucketObjectLockConfiguration(void **state)
{
	struct world *w = *state;
	Metainfo__SetBucketObjectLockConfigurationRequest set =
		METAINFO__SET_BUCKET_OBJECT_LOCK_CONFIGURATION_REQUEST__INIT;
	Metainfo__ObjectLockConfiguration config = METAINFO__OBJECT_LOCK_CONFIGURATION__INIT;
	Metainfo__DefaultRetention d = METAINFO__DEFAULT_RETENTION__INIT;
	Metainfo__SetBucketVersioningRequest versioning =
		METAINFO__SET_BUCKET_VERSIONING_REQUEST__INIT;
	struct caveat no = { .disallow_put_bucket_lock_config = true };

	must(w, create_bucket(w, "plain"));
	create_locked(w, "locked");
	set.name = VIEW("none");
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL), 5,
		"bucket not found: none");
	set.name = VIEW("plain");
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL), STATUS_LOCK_BUCKET_STATE,
		"cannot specify Object Lock configuration");
	/* Lock can be switched on later. */
	set_versioning(w, "plain", true);
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL),
		STATUS_LOCK_BUCKET_CONFIG, "Object Lock configuration is required");
	set.configuration = &config;
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL),
		STATUS_LOCK_BUCKET_CONFIG, "Object Lock can't be disabled");
	config.enabled = true;
	must(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL));
	versioning.name = VIEW("plain");
	refused(w, ask(w, "SetBucketVersioning", &versioning, NULL), STATUS_LOCK_BUCKET_STATE, "");
	config.default_retention = &d;
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL),
		STATUS_LOCK_BUCKET_CONFIG, "Invalid retention mode");
	d.mode = METAINFO__RETENTION__MODE__COMPLIANCE;
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL),
		STATUS_LOCK_BUCKET_CONFIG, "Either days or years must be specified");
	static const struct {
		bool years;
		int n;
		const char *text;
	} cases[] = { { false, 0, "Days must be a positive" },
		      { false, -1, "Days must be a positive" },
		      { false, 36501, "Days must not exceed 36500" },
		      { true, 0, "Years must be a positive" },
		      { true, 11, "Years must not exceed 10" } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		d.duration_case = cases[i].years ? METAINFO__DEFAULT_RETENTION__DURATION_YEARS
						 : METAINFO__DEFAULT_RETENTION__DURATION_DAYS;
		d.days = cases[i].n; /* one of a union */
		refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL),
			STATUS_LOCK_BUCKET_CONFIG, cases[i].text);
	}
	struct macaroon m = restricted(w, &no);
	use_key(w, &m);
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL), 7, "Unauthorized");
}

static void test_GetBucketObjectLockConfiguration(void **state)
{
	struct world *w = *state;
	Metainfo__GetBucketObjectLockConfigurationRequest get =
		METAINFO__GET_BUCKET_OBJECT_LOCK_CONFIGURATION_REQUEST__INIT;
	Metainfo__GetBucketObjectLockConfigurationResponse *got = NULL;
	struct caveat no = { .disallow_get_bucket_lock_config = true };

	must(w, create_bucket(w, "plain"));
	create_locked(w, "locked");
	get.name = VIEW("none");
	refused(w, ask(w, "GetBucketObjectLockConfiguration", &get, &got), 5, "bucket not found");
	get.name = VIEW("plain");
	refused(w, ask(w, "GetBucketObjectLockConfiguration", &get, &got),
		STATUS_LOCK_BUCKET_MISSING, "Object Lock is not enabled for this bucket");
	get.name = VIEW("locked");
	must(w, ask(w, "GetBucketObjectLockConfiguration", &get, &got));
	assert_true(got->configuration->enabled && !got->configuration->default_retention);
	default_retention(w, GOVERNANCE, 0, 2);
	must(w, ask(w, "GetBucketObjectLockConfiguration", &get, &got));
	const Metainfo__DefaultRetention *d = got->configuration->default_retention;
	assert_int_equal(d->mode, GOVERNANCE);
	assert_int_equal(d->duration_case, METAINFO__DEFAULT_RETENTION__DURATION_YEARS);
	assert_int_equal(d->years, 2);
	struct macaroon m = restricted(w, &no);
	use_key(w, &m);
	refused(w, ask(w, "GetBucketObjectLockConfiguration", &get, &got), 7, "Unauthorized");
}

/* ---- single objects ---- */

static void test_SetObjectRetention(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__GetObjectRetentionResponse *got = NULL;
	Metainfo__BeginDeleteObjectResponse *gone = NULL;
	Metainfo__BeginObjectResponse *begun = NULL;

	create_locked(w, "locked");
	must(w, create_bucket(w, "plain"));
	must(w, put_object(w, FORM_ZSTD, "plain", "k", "x", NULL));
	refused(w, set_retention(w, "none", "k", LATEST, retention(w, COMPLIANCE, HOUR), false), 5,
		"bucket not found: none");
	refused(w, set_retention(w, "locked", "k", LATEST, retention(w, COMPLIANCE, HOUR), false),
		5, "object not found: ");
	refused(w, set_retention(w, "plain", "k", LATEST, retention(w, COMPLIANCE, HOUR), false),
		STATUS_LOCK_BUCKET_MISSING, "");
	refused(w, set_retention(w, "locked", "k", LATEST, retention(w, 9, HOUR), false), 3,
		"invalid retention mode");
	must(w, ask(w, "BeginObject", begin_request(w, "locked", "pending"), &begun));
	refused(w,
		set_retention(w, "locked", "pending", LATEST, retention(w, COMPLIANCE, HOUR),
			      false),
		5, "object not found: ");
	/* Set, extended, shortened, changed, taken away. */
	must(w, upload(w, begin_request(w, "locked", "k"), true, &o));
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, GOVERNANCE, HOUR), false));
	must(w, set_retention(w, "locked", "k", o->object_version,
			      retention(w, GOVERNANCE, 2 * HOUR), false));
	refused(w, set_retention(w, "locked", "k", LATEST, retention(w, GOVERNANCE, HOUR), false),
		STATUS_LOCK_PROTECTED, "object is protected by Object Lock settings");
	refused(w,
		set_retention(w, "locked", "k", LATEST, retention(w, COMPLIANCE, 3 * HOUR), false),
		STATUS_LOCK_PROTECTED, "");
	refused(w, set_retention(w, "locked", "k", LATEST, NULL, false), STATUS_LOCK_PROTECTED, "");
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, GOVERNANCE, HOUR), true));
	must(w, set_retention(w, "locked", "k", LATEST, NULL, true));
	refused(w, get_retention(w, "locked", "k", LATEST, &got), STATUS_LOCK_OBJECT_MISSING, "");
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, COMPLIANCE, HOUR), false));
	/* Nobody gets around compliance. */
	refused(w, set_retention(w, "locked", "k", LATEST, NULL, true), STATUS_LOCK_PROTECTED, "");
	refused(w,
		set_retention(w, "locked", "k", LATEST, retention(w, GOVERNANCE, 2 * HOUR), true),
		STATUS_LOCK_PROTECTED, "");
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, COMPLIANCE, 2 * HOUR), false));
	must(w, delete_object(w, "locked", "k", &gone));
	refused(w, set_retention(w, "locked", "k", LATEST, retention(w, COMPLIANCE, HOUR), false),
		STATUS_LOCK_OBJECT_STATE, "");
	/* Objects that expire cannot be locked. */
	Metainfo__BeginObjectRequest *b = begin_request(w, "locked", "soon");
	b->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() + HOUR);
	must(w, upload(w, b, true, NULL));
	refused(w,
		set_retention(w, "locked", "soon", LATEST, retention(w, COMPLIANCE, HOUR), false),
		STATUS_LOCK_OBJECT_STATE, "");
	refused(w, set_retention(w, "locked", "soon", LATEST, NULL, false),
		STATUS_LOCK_OBJECT_STATE, "");
	refused(w, set_hold(w, "locked", "soon", LATEST, true), 3, "object expiration");
}

/* What was uploaded before the bucket had versions can be locked, and is protected then. */
static void test_SetObjectRetention_unversioned(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__GetObjectRetentionResponse *got = NULL;
	Metainfo__BeginDeleteObjectRequest delete = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	bool held = false;

	must(w, create_bucket(w, "locked"));
	must(w, put_object(w, FORM_ZSTD, "locked", "k", "x", NULL));
	must(w, get_object(w, "locked", "k", &o));
	set_versioning(w, "locked", true);
	default_retention(w, 0, 0, 0);
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, COMPLIANCE, HOUR), false));
	must(w, get_retention(w, "locked", "k", o->object_version, &got));
	assert_int_equal(got->retention->mode, COMPLIANCE);
	must(w, set_hold(w, "locked", "k", o->object_version, true));
	must(w, get_hold(w, "locked", "k", &held));
	assert_true(held);
	delete.bucket = VIEW("locked");
	delete.encrypted_object_key = VIEW("k");
	delete.object_version = o->object_version;
	refused(w, ask(w, "BeginDeleteObject", &delete, NULL), STATUS_LOCK_PROTECTED, "");
}

static void test_SetObjectRetention_rights(void **state)
{
	struct world *w = *state;
	struct caveat no_put = { .disallow_put_retention = true };
	struct caveat no_bypass = { .disallow_bypass_governance = true };

	create_locked(w, "locked");
	must(w, upload(w, begin_request(w, "locked", "k"), true, NULL));
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, GOVERNANCE, HOUR), false));
	struct macaroon m = restricted(w, &no_put);
	use_key(w, &m);
	refused(w,
		set_retention(w, "locked", "k", LATEST, retention(w, GOVERNANCE, 2 * HOUR), false),
		7, "Unauthorized API credentials");
	m = restricted(w, &no_bypass);
	use_key(w, &m);
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, GOVERNANCE, 2 * HOUR), false));
	refused(w, set_retention(w, "locked", "k", LATEST, NULL, true), 7,
		"Unauthorized API credentials");
}

static void test_GetObjectRetention(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__GetObjectRetentionResponse *got = NULL;
	struct caveat no = { .disallow_get_retention = true, .disallow_put_retention = true };

	create_locked(w, "locked");
	must(w, create_bucket(w, "plain"));
	must(w, put_object(w, FORM_ZSTD, "plain", "k", "x", NULL));
	refused(w, get_retention(w, "none", "k", LATEST, &got), 5, "bucket not found: none");
	refused(w, get_retention(w, "locked", "k", LATEST, &got), 5, "object not found: ");
	refused(w, get_retention(w, "plain", "k", LATEST, &got), STATUS_LOCK_BUCKET_MISSING, "");
	must(w, upload(w, begin_request(w, "locked", "k"), true, &o));
	refused(w, get_retention(w, "locked", "k", LATEST, &got), STATUS_LOCK_OBJECT_MISSING,
		"object does not have a retention configuration");
	must(w, set_retention(w, "locked", "k", LATEST, retention(w, COMPLIANCE, HOUR), false));
	must(w, get_retention(w, "locked", "k", o->object_version, &got));
	assert_int_equal(got->retention->mode, COMPLIANCE);
	refused(w, get_retention(w, "locked", "k", VIEW("x"), &got), 3, "invalid object version");
	must(w, delete_object(w, "locked", "k", NULL));
	refused(w, get_retention(w, "locked", "k", LATEST, &got), STATUS_LOCK_OBJECT_STATE, "");
	must(w, get_retention(w, "locked", "k", o->object_version, &got));
	struct macaroon m = restricted(w, &no);
	use_key(w, &m);
	refused(w, get_retention(w, "locked", "k", o->object_version, &got), 7, "Unauthorized");
}

static void test_ObjectLegalHold(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__BeginDeleteObjectRequest rm = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	Metainfo__BeginObjectResponse *begun = NULL;
	struct caveat no = { .disallow_get_legal_hold = true, .disallow_put_legal_hold = true };
	bool on = false;

	create_locked(w, "locked");
	must(w, create_bucket(w, "plain"));
	must(w, put_object(w, FORM_ZSTD, "plain", "k", "x", NULL));
	refused(w, get_hold(w, "none", "k", &on), 5, "bucket not found: none");
	refused(w, set_hold(w, "none", "k", LATEST, true), 5, "bucket not found: none");
	refused(w, get_hold(w, "locked", "k", &on), 5, "object not found: ");
	refused(w, set_hold(w, "locked", "k", LATEST, true), 5, "object not found: ");
	refused(w, get_hold(w, "plain", "k", &on), STATUS_LOCK_BUCKET_MISSING, "");
	refused(w, set_hold(w, "plain", "k", LATEST, true), STATUS_LOCK_BUCKET_MISSING, "");
	must(w, ask(w, "BeginObject", begin_request(w, "locked", "pending"), &begun));
	refused(w, set_hold(w, "locked", "pending", LATEST, true), 5, "object not found: ");
	refused(w, get_hold(w, "locked", "pending", &on), 5, "object not found: ");
	must(w, upload(w, begin_request(w, "locked", "k"), true, &o));
	must(w, get_hold(w, "locked", "k", &on));
	assert_false(on);
	must(w, set_hold(w, "locked", "k", o->object_version, true));
	must(w, get_hold(w, "locked", "k", &on));
	assert_true(on);
	rm.bucket = VIEW("locked");
	rm.encrypted_object_key = VIEW("k");
	rm.object_version = o->object_version;
	rm.bypass_governance_retention = true;
	refused(w, ask(w, "BeginDeleteObject", &rm, NULL), STATUS_LOCK_PROTECTED, "");
	/* A marker may be put in front of it; it has no hold of its own. */
	must(w, delete_object(w, "locked", "k", NULL));
	refused(w, get_hold(w, "locked", "k", &on), STATUS_LOCK_OBJECT_STATE, "");
	refused(w, set_hold(w, "locked", "k", LATEST, true), STATUS_LOCK_OBJECT_STATE, "");
	must(w, set_hold(w, "locked", "k", o->object_version, false));
	struct macaroon m = restricted(w, &no);
	use_key(w, &m);
	refused(w, get_hold(w, "locked", "k", &on), 7, "Unauthorized");
	refused(w, set_hold(w, "locked", "k", LATEST, true), 7, "Unauthorized");
}

static void test_GetObjectWithLockConfiguration(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__DownloadObjectResponse *d = NULL;
	struct caveat no = { .disallow_get_retention = true,
			     .disallow_put_retention = true,
			     .disallow_get_legal_hold = true,
			     .disallow_put_legal_hold = true };

	create_locked(w, "locked");
	Metainfo__BeginObjectRequest *b = begin_request(w, "locked", "k");
	b->retention = retention(w, COMPLIANCE, HOUR);
	b->legal_hold = true;
	must(w, upload(w, b, true, NULL));
	must(w, get_object(w, "locked", "k", &o));
	assert_true(o->retention && o->legal_hold->value);
	must(w, download_object(w, "locked", "k", &d));
	assert_true(d->object->retention && d->object->legal_hold->value);
	struct macaroon m = restricted(w, &no);
	use_key(w, &m);
	must(w, get_object(w, "locked", "k", &o));
	assert_true(!o->retention && !o->legal_hold);
	must(w, download_object(w, "locked", "k", &d));
	assert_true(!d->object->retention && !d->object->legal_hold);
}

/* ---- deletes ---- */

static enum err delete_version(struct world *w, const char *key, ProtobufCBinaryData version,
			       bool bypass)
{
	Metainfo__BeginDeleteObjectRequest rm = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;

	rm.bucket = VIEW("locked");
	rm.encrypted_object_key = VIEW(key);
	rm.object_version = version;
	rm.bypass_governance_retention = bypass;
	return ask(w, "BeginDeleteObject", &rm, NULL);
}

static void test_DeleteLockedObject(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__DeleteBucketRequest drop = METAINFO__DELETE_BUCKET_REQUEST__INIT;
	Metainfo__DeleteBucketResponse *dropped = NULL;
	struct caveat no_bypass = { .disallow_bypass_governance = true };

	create_locked(w, "locked");
	Metainfo__BeginObjectRequest *b = begin_request(w, "locked", "g");
	b->retention = retention(w, GOVERNANCE, HOUR);
	must(w, upload(w, b, true, &o));
	refused(w, delete_version(w, "g", o->object_version, false), STATUS_LOCK_PROTECTED, "");
	struct macaroon m = restricted(w, &no_bypass);
	use_key(w, &m);
	refused(w, delete_version(w, "g", o->object_version, true), 7, "Unauthorized");
	use_key(w, &w->key);
	must(w, delete_version(w, "g", o->object_version, true));
	b = begin_request(w, "locked", "c");
	b->retention = retention(w, COMPLIANCE, HOUR);
	must(w, upload(w, b, true, &o));
	refused(w, delete_version(w, "c", o->object_version, true), STATUS_LOCK_PROTECTED, "");
	/* Uploads under way are not locked yet. */
	b = begin_request(w, "locked", "pending");
	b->retention = retention(w, COMPLIANCE, HOUR);
	must(w, ask(w, "BeginObject", b, &begun));
	Metainfo__BeginDeleteObjectRequest rm = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	rm.bucket = VIEW("locked");
	rm.encrypted_object_key = VIEW("pending");
	rm.status = 1;
	rm.stream_id = begun->stream_id;
	must(w, ask(w, "BeginDeleteObject", &rm, NULL));
	/* The bucket with all that is in it only by who may bypass. */
	drop.name = VIEW("locked");
	refused(w, ask(w, "DeleteBucket", &drop, NULL), 9, "bucket not empty");
	drop.delete_all = true;
	refused(w, ask(w, "DeleteBucket", &drop, NULL), 7, "Unauthorized API credentials");
	drop.bypass_governance_retention = true;
	must(w, ask(w, "DeleteBucket", &drop, &dropped));
	assert_int_equal(dropped->deleted_objects_count, 1);
}

static void test_DeleteObjects_locked(void **state)
{
	struct world *w = *state;
	Metainfo__DeleteObjectsRequest req = METAINFO__DELETE_OBJECTS_REQUEST__INIT;
	Metainfo__DeleteObjectsResponse *resp = NULL;
	Metainfo__DeleteObjectsRequestItem items[3], *list[3];
	Metainfo__Object *o = NULL;
	struct caveat no_bypass = { .disallow_bypass_governance = true };

	create_locked(w, "locked");
	for (int i = 0; i < 3; i++) {
		const char *key = i == 0 ? "governance" : i == 1 ? "compliance-" : "open-object-";
		Metainfo__BeginObjectRequest *b = begin_request(w, "locked", key);
		if (i < 2)
			b->retention = retention(w, i ? COMPLIANCE : GOVERNANCE, HOUR);
		must(w, upload(w, b, true, &o));
		metainfo__delete_objects_request_item__init(&items[i]);
		items[i].encrypted_object_key = VIEW(key);
		items[i].object_version = o->object_version;
		list[i] = &items[i];
	}
	req.bucket = VIEW("locked");
	req.items = list;
	req.n_items = 2;
	must(w, ask(w, "DeleteObjects", &req, &resp));
	for (int i = 0; i < 2; i++)
		assert_int_equal(resp->items[i]->status,
				 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__LOCKED);
	struct macaroon m = restricted(w, &no_bypass);
	use_key(w, &m);
	req.bypass_governance_retention = true;
	must(w, ask(w, "DeleteObjects", &req, &resp));
	assert_int_equal(resp->items[0]->status,
			 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__UNAUTHORIZED);
	use_key(w, &w->key);
	req.n_items = 3;
	must(w, ask(w, "DeleteObjects", &req, &resp));
	assert_int_equal(resp->items[0]->status,
			 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__OK);
	assert_int_equal(resp->items[1]->status,
			 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__LOCKED);
	assert_int_equal(resp->items[2]->status,
			 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__OK);
}

/* ---- copies and moves ---- */

struct carry {
	const char *from_bucket, *from, *to_bucket, *to;
	Metainfo__Retention *retention;
	bool hold, move;
};

static enum err carry(struct world *w, const struct carry *c, Metainfo__Object **ret)
{
	Metainfo__BeginCopyObjectRequest begin = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	Metainfo__BeginCopyObjectResponse *begun = NULL;
	Metainfo__FinishCopyObjectRequest f = METAINFO__FINISH_COPY_OBJECT_REQUEST__INIT;
	Metainfo__FinishMoveObjectRequest m = METAINFO__FINISH_MOVE_OBJECT_REQUEST__INIT;
	Metainfo__FinishCopyObjectResponse *done = NULL;

	begin.bucket = VIEW(c->from_bucket);
	begin.encrypted_object_key = VIEW(c->from);
	begin.new_bucket = VIEW(c->to_bucket);
	begin.new_encrypted_object_key = VIEW(c->to);
	TRY_PLAIN(ask(w, "BeginCopyObject", &begin, &begun));
	f.stream_id = m.stream_id = begun->stream_id;
	f.new_bucket = m.new_bucket = begin.new_bucket;
	f.new_encrypted_object_key = m.new_encrypted_object_key = begin.new_encrypted_object_key;
	f.new_segment_keys = m.new_segment_keys = begun->segment_keys;
	f.n_new_segment_keys = m.n_new_segment_keys = begun->n_segment_keys;
	f.new_encrypted_metadata_key = m.new_encrypted_metadata_key = key48();
	f.new_encrypted_metadata_key_nonce = m.new_encrypted_metadata_key_nonce = nonce();
	f.retention = m.retention = c->retention;
	f.legal_hold = m.legal_hold = c->hold;
	if (c->move) {
		TRY_PLAIN(ask(w, "FinishMoveObject", &m, NULL));
		return get_object(w, c->to_bucket, c->to, ret);
	}
	TRY_PLAIN(ask(w, "FinishCopyObject", &f, &done));
	*ret = done->object;
	return OK;
}

static void test_CopyAndMoveObjectWithRetention(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	struct caveat no_put = { .disallow_put_retention = true, .disallow_put_legal_hold = true };

	create_locked(w, "locked");
	must(w, create_bucket(w, "plain"));
	for (int move = 0; move < 2; move++) {
		struct carry c = { "plain", "k", "locked", "to", NULL, false, move };
		must(w, put_object(w, FORM_ZSTD, "plain", "k", "x", NULL));
		c.retention = retention(w, COMPLIANCE, HOUR);
		c.hold = true;
		struct macaroon m = restricted(w, &no_put);
		use_key(w, &m);
		refused(w, carry(w, &c, &o), 7, "Unauthorized");
		use_key(w, &w->key);
		must(w, carry(w, &c, &o));
		assert_int_equal(o->retention->mode, COMPLIANCE);
		assert_true(o->legal_hold->value);
		must(w, put_object(w, FORM_ZSTD, "plain", "k", "x", NULL));
		c.to_bucket = "plain";
		c.to = "other";
		refused(w, carry(w, &c, &o), STATUS_LOCK_BUCKET_MISSING, "");
		c.to_bucket = "locked";
		c.retention = retention(w, 5, HOUR);
		refused(w, carry(w, &c, &o), 3, "invalid retention mode");
		c.retention = retention(w, COMPLIANCE, -HOUR);
		refused(w, carry(w, &c, &o), 3, "retention period expiration time must not be");
		c.retention = NULL;
		c.hold = false;
		must(w, carry(w, &c, &o));
		assert_true(!o->retention && !o->legal_hold->value);
		/* What expires cannot be locked. */
		Metainfo__BeginObjectRequest *b = begin_request(w, "plain", "soon");
		b->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() + HOUR);
		must(w, upload(w, b, true, NULL));
		c.from = "soon";
		c.retention = retention(w, COMPLIANCE, HOUR);
		refused(w, carry(w, &c, &o), 3, "object expiration");
		/* The bucket's default, if nothing is said. */
		default_retention(w, GOVERNANCE, 2, 0);
		must(w, put_object(w, FORM_ZSTD, "plain", "k", "x", NULL));
		c.from = "k";
		c.retention = NULL;
		must(w, carry(w, &c, &o));
		assert_int_equal(o->retention->mode, GOVERNANCE);
		default_retention(w, 0, 0, 0);
	}
	/* A locked object stays where it is. */
	struct carry away = { "locked", "to", "plain", "away", NULL, false, true };
	Metainfo__BeginObjectRequest *b = begin_request(w, "locked", "to");
	b->retention = retention(w, COMPLIANCE, HOUR);
	must(w, upload(w, b, true, NULL));
	refused(w, carry(w, &away, &o), STATUS_LOCK_PROTECTED, "");
	away.move = false;
	must(w, carry(w, &away, &o));
	assert_null(o->retention);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_UploadObjectWithRetentionLegalHold),
		TEST(test_UploadObjectWithDefaultRetention),
		TEST(test_SetBucketObjectLockConfiguration),
		TEST(test_GetBucketObjectLockConfiguration),
		TEST(test_SetObjectRetention),
		TEST(test_SetObjectRetention_unversioned),
		TEST(test_SetObjectRetention_rights),
		TEST(test_GetObjectRetention),
		TEST(test_ObjectLegalHold),
		TEST(test_GetObjectWithLockConfiguration),
		TEST(test_DeleteLockedObject),
		TEST(test_DeleteObjects_locked),
		TEST(test_CopyAndMoveObjectWithRetention),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
