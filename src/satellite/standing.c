/* Audits counted, states kept, events written, results signed. */
#include "satellite/standing.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/log.h"
#include "proto/acre_node.pb-c.h"
#include "satellite/overlay.h"

enum { RESULT_BYTES_MAX = 1024 };

/* ---- what a node is told ---- */

static enum err sign_result(struct call *call, const struct satellite *sat,
			    const struct audit_record *r, int64_t now_ns, struct audit_result *ret)
{
	Acre__AuditResult m = ACRE__AUDIT_RESULT__INIT;
	AUTO_BUF struct buf bytes = BUF_INIT(RESULT_BYTES_MAX);
	AUTO_BUF struct buf signature = BUF_INIT(SIGNATURE_MAX);

	m.satellite_id = proto_view(node_id_bytes(&sat->id));
	m.node_id = proto_view(node_id_bytes(&r->node));
	m.piece_id = proto_view(BYTES_OF(r->piece.b));
	m.outcome = (Acre__AuditResult__Outcome)r->outcome;
	m.at_unix_ns = now_ns;
	m.offset = r->offset;
	m.size = r->size;
	m.detail = arena_str(&call->scratch,
			     BYTES(r->detail, strnlen(r->detail, AUDIT_DETAIL_MAX)));
	if (!m.detail)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(proto_encode(call, &m.base, &bytes));
	TRY(private_key_sign(call, identity_key(sat->identity), buf_bytes(&bytes), &signature),
	    "sign an audit's result");
	*ret = (struct audit_result){
		.node = r->node,
		.at_ns = now_ns,
		.stream = r->stream,
		.position = r->position,
		.number = r->number,
		.outcome = r->outcome,
		.result = arena_bytes(&call->scratch, buf_bytes(&bytes)),
		.signature = arena_bytes(&call->scratch, buf_bytes(&signature)),
	};
	if (!ret->result.data || !ret->signature.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

/* ---- changes of state ---- */

static bool states_equal(const struct reputation *a, const struct reputation *b)
{
	return a->vetted_ns == b->vetted_ns && a->disqualified_ns == b->disqualified_ns &&
	       a->unknown_suspended_ns == b->unknown_suspended_ns &&
	       a->offline_suspended_ns == b->offline_suspended_ns &&
	       a->audit_suspended_ns == b->audit_suspended_ns;
}

static enum err tell(struct call *call, struct db_tx *tx, const struct node_id *id, int64_t now_ns,
		     const char *text)
{
	if (!text)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return store_node_event(call, tx, id, now_ns, text);
}

static enum err tell_suspension(struct call *call, struct db_tx *tx, const struct node_id *id,
				int64_t now_ns, int64_t was, int64_t is, const char *why,
				double score)
{
	if (!was == !is)
		return OK;
	return tell(call, tx, id, now_ns,
		    arena_printf(&call->scratch, "%s: %s (score %.4f)",
				 is ? "suspended" : "suspension lifted", why, score));
}

static enum err tell_changes(struct call *call, struct db_tx *tx, const struct node_id *id,
			     const struct reputation *was, const struct reputation *is,
			     int64_t now_ns)
{
	if (!was->vetted_ns && is->vetted_ns)
		TRY_PLAIN(tell(call, tx, id, now_ns, "vetted"));
	if (!was->disqualified_ns && is->disqualified_ns)
		return tell(call, tx, id, now_ns,
			    arena_printf(&call->scratch, "disqualified: %s",
					 disqualification_text(is->disqualified_reason)));
	if (was->disqualified_ns && !is->disqualified_ns)
		TRY_PLAIN(tell(call, tx, id, now_ns, "reinstated"));
	TRY_PLAIN(tell_suspension(call, tx, id, now_ns, was->audit_suspended_ns,
				  is->audit_suspended_ns, "failed audits", reputation_score(is)));
	TRY_PLAIN(tell_suspension(call, tx, id, now_ns, was->unknown_suspended_ns,
				  is->unknown_suspended_ns, "errors in audits",
				  reputation_unknown_score(is)));
	return tell_suspension(call, tx, id, now_ns, was->offline_suspended_ns,
			       is->offline_suspended_ns, "offline in audits", is->online_score);
}

/* Writes what a node came to; *changed is set when its states did. */
static enum err keep(struct call *call, struct db_tx *tx, const struct node_id *id,
		     const struct reputation *was, const struct reputation *is, int64_t now_ns,
		     bool *changed)
{
	TRY_PLAIN(store_reputation_put(call, tx, id, is));
	if (states_equal(was, is))
		return OK;
	*changed = true;
	TRY_PLAIN(tell_changes(call, tx, id, was, is, now_ns));
	return store_node_states(call, tx, id, is, now_ns);
}

/* ---- audits ---- */

struct record_work {
	const struct reputation_rules *rules;
	const struct audit_record **list; /* by node */
	size_t count;
	const struct audit_result *results;
	size_t results_count;
	int64_t now_ns;
	bool changed;
};

static enum err count_one(struct call *call, struct db_tx *tx, struct record_work *w,
			  const struct audit_record *rec)
{
	struct reputation was, is;
	enum err e = standing_load(call, tx, w->rules, &rec->node, &was);

	if (e == ERR_NOT_FOUND)
		return OK;
	TRY_PLAIN(e);
	if (was.disqualified_ns || was.left_ns)
		return OK;
	is = was;
	reputation_apply(w->rules, &is, rec->outcome, w->now_ns);
	return keep(call, tx, &rec->node, &was, &is, w->now_ns, &w->changed);
}

static enum err record(struct call *call, struct db_tx *tx, void *arg)
{
	struct record_work *w = arg;

	w->changed = false;
	for (size_t i = 0; i < w->count; i++)
		if (w->list[i]->outcome != AUDIT_CONTAINED)
			TRY_PLAIN(count_one(call, tx, w, w->list[i]));
	for (size_t i = 0; i < w->results_count; i++)
		TRY_PLAIN(store_audit_result(call, tx, &w->results[i]));
	return OK;
}

static int by_node(const void *a, const void *b)
{
	const struct audit_record *const *x = a, *const *y = b;

	return memcmp((*x)->node.b, (*y)->node.b, sizeof((*x)->node.b));
}

/* Other nodes learn of it within seconds; this process at once. */
static void after_change(struct call *call, struct satellite *sat, bool changed)
{
	AUTO_CALL struct call own = CALL_INIT;

	if (!changed || !sat->overlay)
		return;
	call_init_child(&own, call);
	if (overlay_refresh(&own, sat))
		log_warn("the nodes are not refreshed", F_STR("error", own.error));
}

enum err standing_record(struct call *call, struct satellite *sat, const struct audit_record *list,
			 size_t count, int64_t now_ns)
{
	struct audit_result *results = arena_array(&call->scratch, count + 1, sizeof(*results));
	const struct audit_record **order = arena_array(&call->scratch, count + 1, sizeof(*order));
	struct record_work w = { .rules = &sat->config.reputation,
				 .list = order,
				 .count = count,
				 .results = results,
				 .now_ns = now_ns };

	if (!results || !order)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	/* All audits lock nodes in the same order, else two that have some in common wait for each
	 * other until PostgreSQL notices, a second later. */
	for (size_t i = 0; i < count; i++)
		order[i] = &list[i];
	qsort(order, count, sizeof(*order), by_node);
	for (size_t i = 0; i < count; i++)
		if (list[i].outcome != AUDIT_SUCCESS)
			TRY_PLAIN(sign_result(call, sat, &list[i], now_ns,
					      &results[w.results_count++]));
	TRY(db_write(call, sat->db, record, &w), "record audits");
	after_change(call, sat, w.changed);
	return OK;
}

/* ---- time ---- */

struct age_work {
	const struct reputation_rules *rules;
	int64_t now_ns;
	size_t changed;
};

/* Whether it was away for too long; the last contact is not in a reputation. */
static enum err is_stray(struct call *call, struct db_tx *tx, const struct node_id *id,
			 int64_t since_ns, bool *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT 1 FROM nodes WHERE id = $1 AND last_contact_success < $2"
			   " AND created_at < $2",
			   &rows, DB_V_BLOB(node_id_bytes(id)), DB_V_INT(since_ns)));
	enum err e = db_rows_next(call, rows);
	db_rows_free(rows);
	*ret = e == OK;
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err age(struct call *call, struct db_tx *tx, void *arg)
{
	struct age_work *w = arg;
	int64_t since = w->rules->stray ? w->now_ns - w->rules->stray : 0;
	struct node_id *list = NULL;
	size_t count = 0;

	w->changed = 0;
	TRY_PLAIN(store_nodes_aging(call, tx, since, &list, &count));
	for (size_t i = 0; i < count; i++) {
		struct reputation was, is;
		bool stray = false, changed = false;
		TRY_PLAIN(standing_load(call, tx, w->rules, &list[i], &was));
		is = was;
		reputation_age(w->rules, &is, w->now_ns);
		TRY_PLAIN(is_stray(call, tx, &list[i], since, &stray));
		if (stray && !is.disqualified_ns) {
			is.disqualified_ns = w->now_ns;
			is.disqualified_reason = DISQUALIFIED_OFFLINE;
		}
		if (states_equal(&was, &is) && was.audit_review_ns == is.audit_review_ns &&
		    was.offline_review_ns == is.offline_review_ns)
			continue;
		TRY_PLAIN(keep(call, tx, &list[i], &was, &is, w->now_ns, &changed));
		w->changed += changed;
	}
	return OK;
}

enum err standing_age_all(struct call *call, struct satellite *sat, int64_t now_ns,
			  size_t *ret_changed)
{
	struct age_work w = { .rules = &sat->config.reputation, .now_ns = now_ns };

	TRY(db_write(call, sat->db, age, &w), "look at nodes under review");
	after_change(call, sat, w.changed > 0);
	*ret_changed = w.changed;
	return OK;
}

/* ---- by the operator ---- */

struct decision {
	const struct reputation_rules *rules;
	const struct node_id *id;
	int64_t now_ns;
	bool reinstate;
};

static enum err decide(struct call *call, struct db_tx *tx, void *arg)
{
	const struct decision *d = arg;
	struct reputation was, is;
	bool changed = false;
	enum err e = standing_load(call, tx, d->rules, d->id, &was);

	if (e == ERR_NOT_FOUND)
		return call_fail(call, ERR_NOT_FOUND, "there is no such node");
	TRY_PLAIN(e);
	is = was;
	if (d->reinstate) {
		reputation_reinstate(d->rules, &is);
	} else if (!is.disqualified_ns) {
		is.disqualified_ns = d->now_ns;
		is.disqualified_reason = DISQUALIFIED_UNKNOWN;
	}
	return keep(call, tx, d->id, &was, &is, d->now_ns, &changed);
}

enum err standing_reinstate(struct call *call, struct db *db, const struct reputation_rules *rules,
			    const struct node_id *id, int64_t now_ns)
{
	struct decision d = { rules, id, now_ns, true };

	return db_write(call, db, decide, &d);
}

enum err standing_disqualify(struct call *call, struct db *db, const struct reputation_rules *rules,
			     const struct node_id *id, int64_t now_ns)
{
	struct decision d = { rules, id, now_ns, false };

	return db_write(call, db, decide, &d);
}

struct get_work {
	const struct reputation_rules *rules;
	const struct node_id *id;
	struct reputation *ret;
};

static enum err get(struct call *call, struct db_tx *tx, void *arg)
{
	struct get_work *w = arg;

	return standing_load(call, tx, w->rules, w->id, w->ret);
}

enum err standing_get(struct call *call, struct db *db, const struct reputation_rules *rules,
		      const struct node_id *id, struct reputation *ret)
{
	struct reputation r;
	struct get_work w = { rules, id, &r };

	TRY_PLAIN(db_read(call, db, get, &w));
	*ret = r;
	return OK;
}
