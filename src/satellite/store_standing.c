/* Tables reputations, node_events, audit_results, and the states in nodes. */
#include "base/cleanup.h"
#include "satellite/standing.h"

#define DB_V_TIME(ns) ((ns) ? DB_V_INT(ns) : DB_V_NULL)

static struct db_value real_value(double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return DB_V_INT(bits);
}

static double real_of(const struct db_rows *rows, unsigned column)
{
	int64_t bits = db_int(rows, column);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static enum err read_scores(struct call *call, const struct db_rows *rows, struct reputation *r)
{
	r->created_ns = db_int(rows, 6);
	r->total = (uint64_t)db_int(rows, 7);
	r->success = (uint64_t)db_int(rows, 8);
	r->alpha = real_of(rows, 9);
	r->beta = real_of(rows, 10);
	r->unknown_alpha = real_of(rows, 11);
	r->unknown_beta = real_of(rows, 12);
	r->online_score = real_of(rows, 13);
	if (audit_windows_decode(db_bytes(rows, 14), r))
		return call_fail(call, ERR_DATA_LOSS, "a node's online windows are damaged");
	r->audit_review_ns = db_int(rows, 15);
	r->offline_review_ns = db_int(rows, 16);
	return OK;
}

enum err standing_load(struct call *call, struct db_tx *tx, const struct reputation_rules *rules,
		       const struct node_id *id, struct reputation *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(
		call, tx,
		"SELECT n.vetted_at, n.disqualified_at, n.disqualification_reason,"
		" n.unknown_audit_suspended_at, n.offline_suspended_at, n.audit_suspended_at,"
		" r.created_at, r.total, r.success, r.alpha, r.beta, r.unknown_alpha,"
		" r.unknown_beta, r.online_score, r.windows, r.audit_review_at, "
		"r.offline_review_at,"
		" n.exit_finished_at FROM nodes n LEFT JOIN reputations r ON r.node_id = n.id "
		"WHERE n.id = $1",
		&rows, DB_V_BLOB(node_id_bytes(id))));
	enum err e = db_rows_next(call, rows);
	if (!e) {
		reputation_init(rules, ret);
		ret->vetted_ns = db_int(rows, 0);
		ret->disqualified_ns = db_int(rows, 1);
		ret->disqualified_reason = db_int(rows, 2);
		ret->unknown_suspended_ns = db_int(rows, 3);
		ret->offline_suspended_ns = db_int(rows, 4);
		ret->audit_suspended_ns = db_int(rows, 5);
		ret->left_ns = db_int(rows, 17);
		if (!db_is_null(rows, 6))
			e = read_scores(call, rows, ret);
	}
	db_rows_free(rows);
	return e;
}

enum err store_reputation_put(struct call *call, struct db_tx *tx, const struct node_id *id,
			      const struct reputation *r)
{
	AUTO_BUF struct buf windows = BUF_INIT(AUDIT_WINDOWS_MAX * 24);

	audit_windows_encode(&windows, r);
	TRY_PLAIN(buf_status(&windows));
	return DB_EXEC(
		call, tx,
		"INSERT INTO reputations (node_id, created_at, total, success, alpha, beta,"
		" unknown_alpha, unknown_beta, online_score, windows, audit_review_at,"
		" offline_review_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
		" ON CONFLICT (node_id) DO UPDATE SET created_at = excluded.created_at,"
		" total = excluded.total, success = excluded.success, alpha = excluded.alpha,"
		" beta = excluded.beta, unknown_alpha = excluded.unknown_alpha,"
		" unknown_beta = excluded.unknown_beta, online_score = excluded.online_score,"
		" windows = excluded.windows, audit_review_at = excluded.audit_review_at,"
		" offline_review_at = excluded.offline_review_at",
		NULL, DB_V_BLOB(node_id_bytes(id)), DB_V_INT(r->created_ns),
		DB_V_INT((int64_t)r->total), DB_V_INT((int64_t)r->success), real_value(r->alpha),
		real_value(r->beta), real_value(r->unknown_alpha), real_value(r->unknown_beta),
		real_value(r->online_score), DB_V_BLOB(buf_bytes(&windows)),
		DB_V_TIME(r->audit_review_ns), DB_V_TIME(r->offline_review_ns));
}

enum err store_node_states(struct call *call, struct db_tx *tx, const struct node_id *id,
			   const struct reputation *r, int64_t now_ns)
{
	return DB_EXEC(call, tx,
		       "UPDATE nodes SET vetted_at = $2, disqualified_at = $3,"
		       " disqualification_reason = $4, unknown_audit_suspended_at = $5,"
		       " offline_suspended_at = $6, audit_suspended_at = $7, updated_at = $8"
		       " WHERE id = $1",
		       NULL, DB_V_BLOB(node_id_bytes(id)), DB_V_TIME(r->vetted_ns),
		       DB_V_TIME(r->disqualified_ns),
		       r->disqualified_ns ? DB_V_INT(r->disqualified_reason) : DB_V_NULL,
		       DB_V_TIME(r->unknown_suspended_ns), DB_V_TIME(r->offline_suspended_ns),
		       DB_V_TIME(r->audit_suspended_ns), DB_V_INT(now_ns));
}

enum err store_node_event(struct call *call, struct db_tx *tx, const struct node_id *id,
			  int64_t at_ns, const char *text)
{
	TRY_PLAIN(DB_EXEC(call, tx,
			  "INSERT INTO node_events (node_id, at, event) VALUES ($1, $2, $3)"
			  " ON CONFLICT (node_id, at, event) DO NOTHING",
			  NULL, DB_V_BLOB(node_id_bytes(id)), DB_V_INT(at_ns),
			  DB_V_TEXT(bytes_str(text))));
	return DB_EXEC(call, tx,
		       "DELETE FROM node_events WHERE node_id = $1 AND at < COALESCE((SELECT at"
		       " FROM node_events WHERE node_id = $1 ORDER BY at DESC LIMIT 1 OFFSET $2),"
		       " 0)",
		       NULL, DB_V_BLOB(node_id_bytes(id)), DB_V_INT(NODE_EVENTS_KEPT - 1));
}

enum err store_audit_result(struct call *call, struct db_tx *tx, const struct audit_result *r)
{
	TRY_PLAIN(DB_EXEC(call, tx,
			  "INSERT INTO audit_results (node_id, at, stream_id, position, number,"
			  " outcome, result, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
			  " ON CONFLICT (node_id, at, stream_id, position) DO NOTHING",
			  NULL, DB_V_BLOB(node_id_bytes(&r->node)), DB_V_INT(r->at_ns),
			  DB_V_BLOB(uuid_bytes(&r->stream)), DB_V_INT(r->position),
			  DB_V_INT(r->number), DB_V_INT(r->outcome), DB_V_BLOB(r->result),
			  DB_V_BLOB(r->signature)));
	return DB_EXEC(call, tx,
		       "DELETE FROM audit_results WHERE node_id = $1 AND at < COALESCE((SELECT at"
		       " FROM audit_results WHERE node_id = $1 ORDER BY at DESC LIMIT 1 OFFSET $2),"
		       " 0)",
		       NULL, DB_V_BLOB(node_id_bytes(&r->node)), DB_V_INT(AUDIT_RESULTS_KEPT - 1));
}

/* Room for entry n of a list that doubles; NULL without memory. */
static void *grown(struct arena *a, void *list, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return list;
	size_t more = *cap ? *cap * 2 : 16;
	void *bigger = arena_array(a, more, size);
	if (bigger && n)
		memcpy(bigger, list, n * size);
	*cap = more;
	return bigger;
}

enum err store_nodes_aging(struct call *call, struct db_tx *tx, int64_t stray_since_ns,
			   struct node_id **ret, size_t *ret_count)
{
	struct db_rows *rows = NULL;
	struct node_id *list = NULL;
	size_t n = 0, cap = 0;
	enum err e;

	/* Nodes are few, and this is asked once an hour. */
	TRY_PLAIN(DB_QUERY(
		call, tx,
		"SELECT n.id FROM nodes n LEFT JOIN reputations r ON r.node_id = n.id"
		" WHERE COALESCE(n.disqualified_at, 0) = 0 AND COALESCE(n.exit_finished_at, 0) = 0"
		" AND (r.audit_review_at IS NOT NULL OR r.offline_review_at IS NOT NULL"
		" OR n.unknown_audit_suspended_at IS NOT NULL"
		" OR (n.last_contact_success < $1 AND n.created_at < $1))",
		&rows, DB_V_INT(stray_since_ns)));
	while (!(e = db_rows_next(call, rows))) {
		list = grown(&call->scratch, list, n, &cap, sizeof(*list));
		if (!list)
			e = call_fail(call, ERR_NO_MEMORY, "no room for a list of nodes");
		else
			e = node_id_from_bytes(db_bytes(rows, 0), &list[n]);
		if (e)
			break;
		n++;
	}
	db_rows_free(rows);
	if (e != ERR_NOT_FOUND)
		return e;
	*ret = list;
	*ret_count = n;
	return OK;
}

/* ---- lists ---- */

struct list_query {
	struct arena *a;
	const struct node_id *id;
	int64_t after_ns;
	struct node_event *events;
	struct audit_result *results;
	size_t count;
};

static enum err select_events(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_query *q = arg;
	struct db_rows *rows = NULL;
	size_t cap = 0;
	enum err e;

	q->count = 0;
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT at, event FROM node_events WHERE node_id = $1 AND at > $2"
			   " ORDER BY at",
			   &rows, DB_V_BLOB(node_id_bytes(q->id)), DB_V_INT(q->after_ns)));
	while (!(e = db_rows_next(call, rows))) {
		q->events = grown(q->a, q->events, q->count, &cap, sizeof(*q->events));
		const char *text = q->events ? arena_str(q->a, db_bytes(rows, 1)) : NULL;
		if (!text) {
			e = call_fail(call, ERR_NO_MEMORY, "no room for a list of events");
			break;
		}
		q->events[q->count++] = (struct node_event){ db_int(rows, 0), text };
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err standing_events(struct call *call, struct db *db, struct arena *a,
			 const struct node_id *id, int64_t after_ns, struct node_event **ret,
			 size_t *ret_count)
{
	struct list_query q = { .a = a, .id = id, .after_ns = after_ns };

	TRY_PLAIN(db_read(call, db, select_events, &q));
	*ret = q.events;
	*ret_count = q.count;
	return OK;
}

static enum err read_result(struct call *call, struct arena *a, const struct db_rows *rows,
			    struct audit_result *ret)
{
	struct audit_result r = {
		.at_ns = db_int(rows, 1),
		.position = db_int(rows, 3),
		.number = (uint32_t)db_int(rows, 4),
		.outcome = (enum audit_outcome)db_int(rows, 5),
		.result = arena_bytes(a, db_bytes(rows, 6)),
		.signature = arena_bytes(a, db_bytes(rows, 7)),
	};

	if (!r.result.data || !r.signature.data)
		return call_fail(call, ERR_NO_MEMORY, "no room for a list of audits");
	if (node_id_from_bytes(db_bytes(rows, 0), &r.node) ||
	    db_bytes(rows, 2).len != STREAM_UUID_BYTES)
		return call_fail(call, ERR_DATA_LOSS, "a damaged row of audit results");
	memcpy(r.stream.b, db_bytes(rows, 2).data, STREAM_UUID_BYTES);
	*ret = r;
	return OK;
}

#define RESULTS_QUERY                                                                              \
	"SELECT node_id, at, stream_id, position, number, outcome, result, signature"              \
	" FROM audit_results WHERE "

static enum err select_results(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_query *q = arg;
	struct db_rows *rows = NULL;
	size_t cap = 0;
	enum err e;

	q->count = 0;
	if (q->id)
		e = DB_QUERY(call, tx, RESULTS_QUERY "node_id = $2 AND at > $1 ORDER BY at", &rows,
			     DB_V_INT(q->after_ns), DB_V_BLOB(node_id_bytes(q->id)));
	else
		e = DB_QUERY(call, tx, RESULTS_QUERY "at > $1 ORDER BY at", &rows,
			     DB_V_INT(q->after_ns));
	TRY_PLAIN(e);
	while (!(e = db_rows_next(call, rows))) {
		q->results = grown(q->a, q->results, q->count, &cap, sizeof(*q->results));
		if (!q->results)
			e = call_fail(call, ERR_NO_MEMORY, "no room for a list of audits");
		else
			e = read_result(call, q->a, rows, &q->results[q->count]);
		if (e)
			break;
		q->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err standing_results(struct call *call, struct db *db, struct arena *a,
			  const struct node_id *id, int64_t after_ns, struct audit_result **ret,
			  size_t *ret_count)
{
	struct list_query q = { .a = a, .id = id, .after_ns = after_ns };

	TRY_PLAIN(db_read(call, db, select_results, &q));
	*ret = q.results;
	*ret_count = q.count;
	return OK;
}
