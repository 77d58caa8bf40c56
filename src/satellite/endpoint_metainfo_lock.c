/* Object Lock of single objects (metainfo.md 5.17). */
#include "base/cleanup.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/store_metainfo.h"

struct lock_query {
	struct project_id project;
	struct bytes bucket_name, key;
	bool has_version;
	int64_t version, now_ns;
	/* change */
	bool set_retention, set_hold;
	struct retention retention;
	bool bypass, hold;
	struct object object;
};

static enum err invalid_state(struct call *call)
{
	return call_fail_status(call, ERR_PRECONDITION, STATUS_LOCK_OBJECT_STATE,
				"The operation is not permitted for this object");
}

static enum err find_locked(struct call *call, struct db_tx *tx, struct lock_query *q)
{
	struct bucket b;
	enum err e;

	TRY_PLAIN(bucket_find(call, tx, &q->project, q->bucket_name, &b));
	if (!b.lock_enabled)
		return call_fail_status(call, ERR_PRECONDITION, STATUS_LOCK_BUCKET_MISSING,
					"Object Lock is not enabled for this bucket");
	TRY_PLAIN(object_name_check(call, q->key, q->has_version, q->version));
	if (q->has_version)
		e = store_object_exact(call, tx, b.id, q->key, q->version, q->now_ns, &q->object);
	else
		e = store_object_latest(call, tx, b.id, q->key, q->now_ns, &q->object);
	if (e == ERR_NOT_FOUND)
		return fail_object_not_found(call, "no rows in result set");
	TRY_PLAIN(e);
	return status_is_marker(q->object.status) ? invalid_state(call) : OK;
}

static enum err run_look(struct call *call, struct db_tx *tx, void *arg)
{
	return find_locked(call, tx, arg);
}

/* Extending is always fine; taking away is for governance with the bypass right only. */
static enum err check_retention(struct call *call, const struct lock_query *q)
{
	const struct retention *old = &q->object.retention;
	bool weaker = q->retention.mode != old->mode || q->retention.until_ns < old->until_ns;

	if (!retention_active(old, q->now_ns) || !weaker)
		return OK;
	if (old->mode == RETENTION_GOVERNANCE && q->bypass)
		return OK;
	return fail_object_locked(call);
}

static enum err run_change(struct call *call, struct db_tx *tx, void *arg)
{
	struct lock_query *q = arg;

	TRY_PLAIN(find_locked(call, tx, q));
	struct object *o = &q->object;
	if (o->expires_ns && q->set_hold)
		return call_fail(call, ERR_INVALID,
				 "object expiration: Object Lock settings must not be placed on "
				 "an object with an expiration date");
	if (o->expires_ns)
		return invalid_state(call);
	if (q->set_hold)
		o->legal_hold = q->hold;
	if (q->set_retention) {
		TRY_PLAIN(check_retention(call, q));
		o->retention = q->retention;
	}
	TRY(store_object_replace(call, tx, o->bucket_id, o->key, o->version, o), "change a lock");
	return OK;
}

static enum err init(struct call *call, struct mcall *mc, enum rate_kind kind, enum action_op op,
		     ProtobufCBinaryData bucket, ProtobufCBinaryData key,
		     ProtobufCBinaryData version, struct lock_query *ret)
{
	TRY_PLAIN(check_bucket_length(call, proto_bytes(bucket)));
	TRY_PLAIN(check_version_length(call, version));
	TRY_PLAIN(metainfo_allow(call, mc, kind, op, proto_bytes(bucket), proto_bytes(key)));
	*ret = (struct lock_query){
		.project = mc->auth.project.id,
		.bucket_name = proto_bytes(bucket),
		.key = proto_bytes(key),
		.has_version = version.len != 0,
		.version = version.len ? object_version_get(proto_bytes(version)) : 0,
		.now_ns = mc->now_ns,
	};
	return OK;
}

METAINFO_METHOD(get_object_retention, GetObjectRetention)
{
	struct lock_query q;

	TRY_PLAIN(init(call, mc, RATE_HEAD, ACTION_GET_RETENTION, req->bucket,
		       req->encrypted_object_key, req->object_version, &q));
	TRY_PLAIN(db_read(call, mc->sat->db, run_look, &q));
	if (!q.object.retention.mode)
		return call_fail_status(call, ERR_PRECONDITION, STATUS_LOCK_OBJECT_MISSING,
					"object does not have a retention configuration");
	resp->retention = message_new(mc->a, &metainfo__retention__descriptor);
	if (!resp->retention)
		return call_fail(call, ERR_NO_MEMORY, "no room for an answer");
	resp->retention->mode = (Metainfo__Retention__Mode)q.object.retention.mode;
	resp->retention->retain_until = proto_time_new(mc->a, q.object.retention.until_ns);
	return OK;
}

METAINFO_METHOD(set_object_retention, SetObjectRetention)
{
	struct lock_query q;
	struct retention retention;

	TRY_PLAIN(read_retention(call, req->retention, mc->now_ns, &retention));
	TRY_PLAIN(init(call, mc, RATE_PUT, ACTION_PUT_RETENTION, req->bucket,
		       req->encrypted_object_key, req->object_version, &q));
	if (req->bypass_governance_retention)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_BYPASS_GOVERNANCE, q.bucket_name,
				     q.key));
	q.set_retention = true;
	q.retention = retention;
	q.bypass = req->bypass_governance_retention;
	return db_write(call, mc->sat->db, run_change, &q);
}

METAINFO_METHOD(get_object_legal_hold, GetObjectLegalHold)
{
	struct lock_query q;

	TRY_PLAIN(init(call, mc, RATE_HEAD, ACTION_GET_LEGAL_HOLD, req->bucket,
		       req->encrypted_object_key, req->object_version, &q));
	TRY_PLAIN(db_read(call, mc->sat->db, run_look, &q));
	resp->enabled = q.object.legal_hold;
	return OK;
}

METAINFO_METHOD(set_object_legal_hold, SetObjectLegalHold)
{
	struct lock_query q;

	TRY_PLAIN(init(call, mc, RATE_PUT, ACTION_PUT_LEGAL_HOLD, req->bucket,
		       req->encrypted_object_key, req->object_version, &q));
	q.set_hold = true;
	q.hold = req->enabled;
	return db_write(call, mc->sat->db, run_change, &q);
}
