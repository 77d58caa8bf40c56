/* Buckets (metainfo.md 4). */
#include "base/cleanup.h"
#include "os/random.h"
#include "satellite/bucket.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/metainfo_internal.h"
#include "satellite/placement.h"
#include "satellite/store_metainfo.h"

enum { DELETE_ALL_BATCH = 100, LIST_BUCKETS_PAGE = 256 };

static enum err answer_bucket(struct call *call, struct mcall *mc, const struct bucket *b,
			      Metainfo__Bucket **ret)
{
	const struct scheme *r = &satellite_live(mc->sat)->redundancy;
	Metainfo__Bucket *m = message_new(mc->a, &metainfo__bucket__descriptor);

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "no room for a bucket");
	m->name = proto_view(b->name);
	m->created_at = proto_time_new(mc->a, b->created_ns);
	m->path_cipher = ENCRYPTION__CIPHER_SUITE__ENC_AESGCM;
	m->default_segment_size = (int64_t)mc->sat->config.max_segment_size;
	m->default_redundancy_scheme = redundancy_message(mc->a, r);
	m->default_encryption_parameters = answer_encryption(
		mc->a, ENCRYPTION__CIPHER_SUITE__ENC_AESGCM, scheme_stripe_size(r));
	*ret = m;
	return OK;
}

/* ---- create ---- */

struct create_query {
	struct project project;
	struct bucket bucket;
	int64_t max_buckets;
};

static enum err create(struct call *call, struct db_tx *tx, void *arg)
{
	struct create_query *q = arg;
	struct bucket there;
	int64_t count = 0;
	enum err e = store_bucket_get(call, tx, &q->project.id, q->bucket.name, &there);

	if (e == OK)
		return call_fail(call, ERR_EXISTS, "bucket already exists");
	if (e != ERR_NOT_FOUND)
		return e;
	TRY_PLAIN(store_bucket_count(call, tx, &q->project.id, &count));
	if (q->max_buckets && count >= q->max_buckets)
		return call_fail(call, ERR_EXHAUSTED, "number of allocated buckets (%lld) exceeded",
				 (long long)q->max_buckets);
	return store_bucket_put(call, tx, &q->project.id, &q->bucket);
}

METAINFO_METHOD(create_bucket, CreateBucket)
{
	struct bytes name = proto_bytes(req->name);
	struct create_query q = { 0 };

	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_WRITE, name, BYTES_NONE));
	if (req->object_lock_enabled)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_PUT_BUCKET_LOCK_CONFIG, name,
				     BYTES_NONE));
	TRY_PLAIN(bucket_name_check(call, name));
	q.project = mc->auth.project;
	q.max_buckets = q.project.max_buckets;
	if (q.project.disabled)
		return call_fail(call, ERR_NOT_FOUND, "no such project");
	q.bucket = (struct bucket){
		.id = 1 + (int64_t)os_random_below(INT64_MAX),
		.name = name,
		.created_ns = time_us(mc->now_ns),
		.placement = q.project.placement,
		.versioning = req->object_lock_enabled || q.project.versioned_buckets
				      ? VERSIONING_ON
				      : VERSIONING_OFF,
		.lock_enabled = req->object_lock_enabled,
		.user_agent = user_agent_trim(mc->a, mc->user_agent),
	};
	enum err e = db_write(call, mc->sat->db, create, &q);
	if (e == ERR_EXISTS)
		return call_fail(call, ERR_EXISTS, "bucket already exists");
	TRY_PLAIN(e);
	return answer_bucket(call, mc, &q.bucket, &resp->bucket);
}

/* ---- look ---- */

struct bucket_query {
	struct project_id project;
	struct bytes name;
	struct bucket bucket;
};

static enum err read_bucket(struct call *call, struct db_tx *tx, void *arg)
{
	struct bucket_query *q = arg;

	return bucket_find(call, tx, &q->project, q->name, &q->bucket);
}

static enum err look(struct call *call, struct mcall *mc, struct bytes name, enum action_op op,
		     struct bucket *ret)
{
	TRY_PLAIN(metainfo_allow(call, mc, RATE_HEAD, op, name, BYTES_NONE));
	struct bucket_query q = { .project = mc->auth.project.id, .name = name };
	TRY_PLAIN(db_look_up(call, mc->sat->db, read_bucket, &q));
	*ret = q.bucket;
	return OK;
}

METAINFO_METHOD(get_bucket, GetBucket)
{
	struct bucket b;

	TRY_PLAIN(look(call, mc, proto_bytes(req->name), ACTION_READ, &b));
	return answer_bucket(call, mc, &b, &resp->bucket);
}

/* The name of its placement; everywhere has none. */
METAINFO_METHOD(get_bucket_location, GetBucketLocation)
{
	struct bucket b;
	struct placement p;

	TRY_PLAIN(look(call, mc, proto_bytes(req->name), ACTION_READ, &b));
	if (!overlay_placement(mc->sat, b.placement, &p))
		return OK;
	struct bytes name = arena_bytes(mc->a, bytes_str(p.name));
	if (!name.data)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	resp->location = proto_view(name);
	return OK;
}

METAINFO_METHOD(get_bucket_versioning, GetBucketVersioning)
{
	struct bucket b;

	TRY_PLAIN(look(call, mc, proto_bytes(req->name), ACTION_READ, &b));
	resp->versioning = (int32_t)b.versioning;
	return OK;
}

METAINFO_METHOD(get_bucket_lock, GetBucketObjectLockConfiguration)
{
	struct bucket b;

	TRY_PLAIN(look(call, mc, proto_bytes(req->name), ACTION_GET_BUCKET_LOCK_CONFIG, &b));
	if (!b.lock_enabled)
		return call_fail_status(call, ERR_PRECONDITION, STATUS_LOCK_BUCKET_MISSING,
					"Object Lock is not enabled for this bucket");
	resp->configuration = message_new(mc->a, &metainfo__object_lock_configuration__descriptor);
	if (!resp->configuration)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	resp->configuration->enabled = true;
	if (!b.lock_mode)
		return OK;
	Metainfo__DefaultRetention *d = message_new(mc->a,
						    &metainfo__default_retention__descriptor);
	if (!d)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	d->mode = (Metainfo__Retention__Mode)b.lock_mode;
	if (b.lock_days) {
		d->duration_case = METAINFO__DEFAULT_RETENTION__DURATION_DAYS;
		d->days = b.lock_days;
	} else {
		d->duration_case = METAINFO__DEFAULT_RETENTION__DURATION_YEARS;
		d->years = b.lock_years;
	}
	resp->configuration->default_retention = d;
	return OK;
}

/* ---- change ---- */

struct change_query {
	struct project_id project;
	struct bytes name;
	bool versioning; /* else lock */
	bool on;
	const Metainfo__ObjectLockConfiguration *lock;
};

static enum err change(struct call *call, struct db_tx *tx, void *arg)
{
	struct change_query *q = arg;
	struct bucket b;

	TRY_PLAIN(bucket_find(call, tx, &q->project, q->name, &b));
	if (q->versioning) {
		TRY_PLAIN(bucket_set_versioning(call, &b, q->on));
	} else {
		if (b.versioning != VERSIONING_ON)
			return call_fail_status(call, ERR_PRECONDITION, STATUS_LOCK_BUCKET_STATE,
						"cannot specify Object Lock configuration for a "
						"bucket without Versioning enabled");
		TRY_PLAIN(
			bucket_read_lock(call, q->lock, &b.lock_mode, &b.lock_days, &b.lock_years));
		b.lock_enabled = true;
	}
	return store_bucket_update(call, tx, &b);
}

METAINFO_METHOD(set_bucket_versioning, SetBucketVersioning)
{
	struct bytes name = proto_bytes(req->name);

	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_WRITE, name, BYTES_NONE));
	struct change_query q = {
		.project = mc->auth.project.id,
		.name = name,
		.versioning = true,
		.on = req->versioning,
	};
	return db_write(call, mc->sat->db, change, &q);
}

METAINFO_METHOD(set_bucket_lock, SetBucketObjectLockConfiguration)
{
	struct bytes name = proto_bytes(req->name);
	struct change_query q = { .name = name, .lock = req->configuration };

	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_PUT_BUCKET_LOCK_CONFIG, name,
				 BYTES_NONE));
	q.project = mc->auth.project.id;
	return db_write(call, mc->sat->db, change, &q);
}

/* ---- delete ---- */

struct delete_query {
	struct project_id project;
	struct bytes name;
	struct bucket bucket;
	bool empty;
	int64_t deleted; /* objects of this batch */
};

static enum err delete_if_empty(struct call *call, struct db_tx *tx, void *arg)
{
	struct delete_query *q = arg;

	q->empty = false;
	TRY_PLAIN(bucket_find(call, tx, &q->project, q->name, &q->bucket));
	TRY_PLAIN(store_bucket_is_empty(call, tx, q->bucket.id, &q->empty));
	return q->empty ? store_bucket_delete(call, tx, q->bucket.id) : OK;
}

static enum err delete_some(struct call *call, struct db_tx *tx, void *arg)
{
	struct delete_query *q = arg;
	struct object *list = NULL;
	size_t count = 0;

	q->deleted = 0;
	TRY_PLAIN(store_object_some(call, tx, q->bucket.id, DELETE_ALL_BATCH, &list, &count));
	for (size_t i = 0; i < count; i++)
		TRY_PLAIN(store_object_delete(call, tx, &list[i]));
	q->deleted = (int64_t)count;
	return OK;
}

static enum err delete_all(struct call *call, struct mcall *mc, struct delete_query *q,
			   int64_t *ret_deleted)
{
	int64_t deleted = 0;

	do {
		/* Each round has memory of its own. */
		AUTO_CALL struct call round = CALL_INIT;
		call_init_child(&round, call);
		enum err e = db_write(&round, mc->sat->db, delete_some, q);
		if (e) {
			call_copy_error(call, &round);
			return e;
		}
		deleted += q->deleted;
	} while (q->deleted);
	enum err e = db_write(call, mc->sat->db, delete_if_empty, q);
	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		e = OK;
	} else if (!e && !q->empty) {
		e = call_fail(
			call, ERR_PRECONDITION,
			"cannot delete the bucket because it's being used by another process");
	}
	*ret_deleted = deleted;
	return e;
}

METAINFO_METHOD(delete_bucket, DeleteBucket)
{
	struct bytes name = proto_bytes(req->name);
	struct bucket b;

	TRY_PLAIN(metainfo_allow(call, mc, RATE_DELETE, ACTION_DELETE, name, BYTES_NONE));
	if (req->bypass_governance_retention)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_BYPASS_GOVERNANCE, name, BYTES_NONE));
	bool can_read = auth_allows(&mc->auth, ACTION_READ, name, BYTES_NONE);
	bool can_list = auth_allows(&mc->auth, ACTION_LIST, name, BYTES_NONE);
	TRY_PLAIN(check_bucket_length(call, name));
	struct bucket_query look_up = { .project = mc->auth.project.id, .name = name };
	TRY_PLAIN(db_look_up(call, mc->sat->db, read_bucket, &look_up));
	b = look_up.bucket;
	if (b.lock_enabled && req->delete_all && !req->bypass_governance_retention)
		return call_fail(call, ERR_PERMISSION, "Unauthorized API credentials");
	struct delete_query q = { .project = mc->auth.project.id, .name = name };
	enum err e = db_write(call, mc->sat->db, delete_if_empty, &q);
	/* Who may neither read nor list learns nothing (metainfo.md 4). */
	if (!can_read && !can_list) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	if (!q.empty) {
		if (!req->delete_all || !can_list)
			return call_fail(call, ERR_PRECONDITION, "bucket not empty");
		TRY_PLAIN(delete_all(call, mc, &q, &resp->deleted_objects_count));
	}
	return answer_bucket(call, mc, &b, &resp->bucket);
}

/* ---- list ---- */

struct list_query {
	struct project_id project;
	struct bytes cursor;
	bool inclusive;
	struct bucket *list;
	size_t count;
};

static enum err read_list(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_query *q = arg;

	return store_bucket_list(call, tx, &q->project, q->cursor, q->inclusive, LIST_BUCKETS_PAGE,
				 &q->list, &q->count);
}

struct allowed {
	bool all;
	struct bytes *names;
	size_t count;
};

static bool is_allowed(const struct allowed *a, struct bytes name)
{
	for (size_t i = 0; !a->all && i < a->count; i++) {
		if (bytes_equal(a->names[i], name))
			return true;
	}
	return a->all;
}

static enum err add_bucket(struct call *call, struct mcall *mc, const struct bucket *b,
			   Metainfo__ListBucketsResponse *resp)
{
	Metainfo__BucketListItem *m = message_new(mc->a, &metainfo__bucket_list_item__descriptor);

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "no room for a list of buckets");
	m->name = proto_view(b->name);
	m->created_at = proto_time_new(mc->a, b->created_ns);
	m->user_agent = proto_view(b->user_agent);
	resp->items[resp->n_items++] = m;
	return OK;
}

METAINFO_METHOD(list_buckets, ListBuckets)
{
	struct allowed allowed = { 0 };
	size_t limit = req->limit < 1 || req->limit > LIMIT_LIST_BUCKETS ? LIMIT_LIST_BUCKETS
									 : (size_t)req->limit;

	TRY_PLAIN(metainfo_allow(call, mc, RATE_LIST, ACTION_READ, BYTES_NONE, BYTES_NONE));
	if (req->direction != METAINFO__LIST_DIRECTION__FORWARD &&
	    req->direction != METAINFO__LIST_DIRECTION__AFTER)
		return call_fail(call, ERR_INVALID, "unknown list direction %d",
				 (int)req->direction);
	TRY_PLAIN(permission_buckets(call, mc->a, &mc->auth.key, &allowed.all, &allowed.names,
				     &allowed.count));
	resp->items = arena_array(mc->a, limit, sizeof(*resp->items));
	if (!resp->items)
		return call_fail(call, ERR_NO_MEMORY, "no room for a list of buckets");
	struct list_query q = {
		.project = mc->auth.project.id,
		.cursor = proto_bytes(req->cursor),
		.inclusive = req->direction == METAINFO__LIST_DIRECTION__FORWARD,
	};
	do {
		TRY_PLAIN(db_read_one(call, mc->sat->db, read_list, &q));
		for (size_t i = 0; i < q.count; i++) {
			if (!is_allowed(&allowed, q.list[i].name))
				continue;
			if (resp->n_items == limit) {
				resp->more = true;
				return OK;
			}
			TRY_PLAIN(add_bucket(call, mc, &q.list[i], resp));
		}
		if (q.count)
			q.cursor = q.list[q.count - 1].name;
		q.inclusive = false;
	} while (q.count == LIST_BUCKETS_PAGE);
	return OK;
}
