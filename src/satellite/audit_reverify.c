/*
 * Nodes that took a request and gave no answer, and those that gave a share which an audit could
 * tell neither right nor wrong: asked again, alone and for the whole piece, which they have to
 * prove (satellite.md 5).
 */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/audit_internal.h"
#include "satellite/metainfo_internal.h"
#include "transfer/piece_download.h"

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)
DEFINE_AUTO_PTR(struct piece_download, download_auto, piece_download_close)
DEFINE_AUTO_PTR(struct ed25519_signer, signer_auto, ed25519_signer_free)
DEFINE_AUTO_PTR(struct hasher, hasher_auto, hasher_free)

/* What one attempt came to. */
enum attempt {
	ATTEMPT_OK,
	ATTEMPT_FAILED,	   /* not there, or not what was stored */
	ATTEMPT_DAMAGED,   /* the node says so */
	ATTEMPT_UNKNOWN,   /* an error that says nothing */
	ATTEMPT_OFFLINE,   /* stays in the queue */
	ATTEMPT_TIMED_OUT, /* the same, until it was tried often enough */
	ATTEMPT_NEEDLESS,  /* the piece is not on that node any more */
};

struct reverify {
	struct satellite *sat;
	struct reverify_job job;
	struct audit_job audit;
	struct audit_piece *piece;
	struct piece_wanted wanted;
	bool wrong; /* what came is not what was stored */
	char detail[AUDIT_DETAIL_MAX];
};

/* Of data, which is at `at` in the piece, the part that is of the share. */
static struct bytes part_of_share(const struct reverify_job *j, int64_t at, struct bytes data)
{
	int64_t len = (int64_t)data.len;
	int64_t from = MIN(MAX(j->share.offset - at, 0), len);
	int64_t to = MIN(MAX(j->share.offset + j->share.size - at, 0), len);

	return BYTES(data.data + from, (size_t)(to - from));
}

/* As bad as bytes that are missing, and not the node's own word. */
static enum err not_stored(struct call *call, struct reverify *v, const char *why)
{
	v->wrong = true;
	return why == call->error ? ERR_DATA_LOSS : call_fail(call, ERR_DATA_LOSS, "%s", why);
}

static enum err check_sums(struct call *call, struct reverify *v, struct hasher *piece,
			   const struct piece_origin *origin, struct hasher *share)
{
	uint8_t sum[HASH_BYTES];

	hasher_sum(piece, sum);
	if (memcmp(sum, origin->hash, HASH_BYTES) != 0)
		return not_stored(call, v, "the bytes are not those that were stored");
	hasher_sum(share, sum);
	if (v->job.share.size && memcmp(sum, v->job.share.hash, HASH_BYTES) != 0)
		return not_stored(call, v,
				  "the piece is right, but not what an audit was given of it");
	return OK;
}

static enum err read_piece(struct call *call, struct reverify *v, struct piece_download *d)
{
	AUTO(hasher_auto) struct hasher *hasher = NULL;
	AUTO(hasher_auto) struct hasher *share = hasher_new(HASH_SHA256);
	struct bytes data, hash, limit;
	struct piece_origin origin;
	int64_t at = 0;
	enum err e;

	if (!share)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	while (!(e = piece_download_read(call, d, &data))) {
		if (!hasher) {
			piece_download_origin(d, &hash, &limit);
			/* What it shows being wrong is as bad as bytes that are. */
			if (piece_origin_read(call, v->sat, &v->wanted, hash, limit, &origin))
				return not_stored(call, v, call->error);
			hasher = hasher_new(origin.algorithm);
			if (!hasher)
				return call_fail(call, ERR_NO_MEMORY, "out of memory");
		}
		hasher_update(hasher, data);
		hasher_update(share, part_of_share(&v->job, at, data));
		at += (int64_t)data.len;
	}
	if (e != ERR_EOF)
		return e;
	if (!hasher)
		return not_stored(call, v, "it sent nothing");
	return check_sums(call, v, hasher, &origin, share);
}

static enum attempt attempt_of(const struct reverify *v, enum err e)
{
	if (e == OK)
		return ATTEMPT_OK;
	if (e == ERR_NOT_FOUND || v->wrong)
		return ATTEMPT_FAILED;
	if (e == ERR_DATA_LOSS)
		return ATTEMPT_DAMAGED;
	return e == ERR_DEADLINE ? ATTEMPT_TIMED_OUT : ATTEMPT_UNKNOWN;
}

/* Fails only where it is our own fault. */
static enum err fetch(struct call *call, struct reverify *v, enum attempt *ret)
{
	AUTO(signer_auto) struct ed25519_signer *signer = NULL;
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	AUTO(download_auto) struct piece_download *d = NULL;
	struct order_batch batch = { .action = ORDERS__PIECE_ACTION__GET_REPAIR,
				     .limit = v->wanted.size,
				     .root = v->audit.segment.root };
	int64_t timeout = audit_timeout_ns(v->sat, v->wanted.size);
	Metainfo__AddressedOrderLimit *m = NULL;
	struct addressed_limit limit;
	struct ed25519_private key;

	TRY_PLAIN(order_batch_begin(call, v->sat, &batch, &key));
	enum err e = ed25519_signer_new(call, &key, &signer);
	secret_wipe(&key, sizeof(key));
	TRY_PLAIN(e);
	TRY_PLAIN(order_batch_limit(call, v->sat, &call->scratch, &batch, &v->piece->place,
				    v->piece->number, &m));
	TRY_PLAIN(addressed_limit_read(call, m, &limit));
	AUTO_CALL struct call own = CALL_INIT;
	call_init_child(&own, call);
	os_call_limit(&own, timeout);
	e = audit_dial(&own, v->sat, &v->piece->place, &conn);
	bool dialled = e == OK;
	if (!e)
		e = piece_download_open_on(&own, conn, &limit, signer, 0, (uint64_t)v->wanted.size,
					   timeout, &d);
	if (!e)
		e = read_piece(&own, v, d);
	TRY_PLAIN(os_call_check(call));
	if (e)
		snprintf(v->detail, sizeof(v->detail), "%s", call_error(&own, e));
	*ret = attempt_of(v, e);
	/* Here, too, a time-out says that it may only be slow (satellite.md 5). */
	if (!dialled && e != ERR_DEADLINE)
		*ret = ATTEMPT_OFFLINE;
	return OK;
}

static enum err try_piece(struct call *call, struct reverify *v, enum attempt *ret)
{
	const struct reverify_job *j = &v->job;
	bool same = false;

	v->audit = (struct audit_job){ .sat = v->sat, .ref = j->ref };
	*ret = ATTEMPT_NEEDLESS;
	enum err e = audit_load(call, &v->audit);
	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	for (size_t i = 0; i < v->audit.count; i++)
		if (v->audit.pieces[i].number == j->number &&
		    node_id_equal(&v->audit.pieces[i].place.id, &j->node))
			v->piece = &v->audit.pieces[i];
	if (!v->piece || v->piece->place.gone)
		return OK;
	v->wanted.node = j->node;
	v->wanted.size = (int64_t)scheme_piece_size(&v->audit.segment.redundancy,
						    (uint64_t)v->audit.segment.encrypted_size);
	piece_id_derive(&v->audit.segment.root, &j->node, j->number, &v->wanted.id);
	*ret = ATTEMPT_OFFLINE;
	snprintf(v->detail, sizeof(v->detail), "no contact lately");
	if (!v->piece->place.online)
		return OK;
	v->detail[0] = '\0';
	TRY_PLAIN(fetch(call, v, ret));
	TRY_PLAIN(audit_unchanged(call, &v->audit, &same));
	if (!same && (*ret == ATTEMPT_FAILED || *ret == ATTEMPT_DAMAGED))
		*ret = ATTEMPT_NEEDLESS;
	return OK;
}

static void decide(const struct reverify *v, enum attempt a, struct reverify_report *r)
{
	r->counted = true;
	r->stays = false;
	switch (a) {
	case ATTEMPT_OK:
		r->record.outcome = AUDIT_SUCCESS;
		break;
	case ATTEMPT_FAILED:
		r->record.outcome = AUDIT_FAILURE;
		break;
	case ATTEMPT_DAMAGED:
		r->record.outcome = AUDIT_DAMAGED;
		break;
	case ATTEMPT_UNKNOWN:
		r->record.outcome = AUDIT_UNKNOWN;
		break;
	case ATTEMPT_OFFLINE:
		r->record.outcome = AUDIT_OFFLINE;
		r->stays = true;
		/* Nobody is there at an hour that it declared to be away. */
		r->counted = !(v->piece && v->piece->place.away);
		break;
	case ATTEMPT_TIMED_OUT:
		r->stays = r->counted = v->job.count < AUDIT_REVERIFY_MAX;
		r->record.outcome = AUDIT_CONTAINED;
		if (r->stays)
			break;
		/* Slow is not lost, unless that is the rule. */
		r->counted = true;
		r->record.outcome = v->sat->config.reputation.slow_fails ? AUDIT_FAILURE
									 : AUDIT_UNKNOWN;
		break;
	case ATTEMPT_NEEDLESS:
		r->counted = false;
		break;
	}
}

static enum err settle(struct call *call, struct reverify *v, const struct reverify_report *r)
{
	if (r->counted)
		TRY_PLAIN(standing_record(call, v->sat, &r->record, 1, os_clock_unix_ns()));
	if (r->counted && audit_outcome_lost(r->record.outcome)) {
		size_t removed = 0;
		TRY_PLAIN(audit_remove(call, &v->audit, &v->job.number, 1, &removed));
	}
	return r->stays ? OK : store_reverify_drop(call, v->sat->db, &v->job);
}

enum err audit_reverify_next(struct call *call, struct satellite *sat, struct reverify_report *ret)
{
	struct reverify v = { .sat = sat };
	int64_t now_ns = os_clock_unix_ns();
	enum attempt a = ATTEMPT_NEEDLESS;
	char text[NODE_ID_TEXT_MAX];

	TRY_PLAIN(store_reverify_take(call, sat->db, now_ns,
				      now_ns - sat->config.audit.reverify_interval, &v.job));
	TRY_PLAIN(try_piece(call, &v, &a));
	struct reverify_report r = { .record = { .node = v.job.node,
						 .stream = v.job.ref.stream,
						 .position = v.job.ref.position,
						 .number = v.job.number,
						 .piece = v.wanted.id,
						 .size = v.wanted.size } };
	r.record.detail = arena_str(&call->scratch, bytes_str(v.detail));
	if (!r.record.detail)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	decide(&v, a, &r);
	TRY_PLAIN(settle(call, &v, &r));
	node_id_text(&v.job.node, text);
	log_info(v.job.share.size ? "audit of a suspect" : "audit of a contained node",
		 F_STR("node", text),
		 F_STR("outcome", r.counted ? audit_outcome_text(r.record.outcome) : "needless"),
		 F_I64("attempt", v.job.count), F_STR("detail", v.detail));
	*ret = r;
	return OK;
}
