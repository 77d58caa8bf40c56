/*
 * What a node is told about itself: /nodestats.NodeStats/GetStats (satellite.md 11), and, of ours,
 * /acre.NodeAudits/List: the audits that did not succeed, signed, and what followed.
 */
#include "base/cleanup.h"
#include "base/num.h"
#include "proto/acre_node.pb-c.h"
#include "proto/nodestats.pb-c.h"
#include "satellite/standing.h"

static enum err peer(struct call *call, struct rpc_stream *stream, struct node_id *ret)
{
	TRY(net_peer_id(call, rpc_stream_net(stream), ret), "node stats");
	return OK;
}

struct joined_query {
	const struct node_id *id;
	int64_t created_ns;
};

static enum err find_joined(struct call *call, struct db_tx *tx, void *arg)
{
	struct joined_query *q = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT created_at FROM nodes WHERE id = $1", &rows,
			   DB_V_BLOB(node_id_bytes(q->id))));
	enum err e = db_rows_next(call, rows);
	if (!e)
		q->created_ns = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static Google__Protobuf__Timestamp *time_or_none(struct arena *a, int64_t ns)
{
	return ns ? proto_time_new(a, ns) : NULL;
}

static Nodestats__AuditHistory *history(struct arena *a, const struct reputation *r)
{
	Nodestats__AuditHistory *h = arena_alloc(a, sizeof(*h));
	Nodestats__AuditWindow **list = arena_array(a, r->windows_count + 1, sizeof(*list));
	Nodestats__AuditWindow *windows = arena_array(a, r->windows_count + 1, sizeof(*windows));

	if (!h || !list || !windows)
		return NULL;
	nodestats__audit_history__init(h);
	for (size_t i = 0; i < r->windows_count; i++) {
		nodestats__audit_window__init(&windows[i]);
		windows[i].window_start = proto_time_new(a, r->windows[i].start_ns);
		windows[i].online_count = (int32_t)MIN(r->windows[i].online, (uint32_t)INT32_MAX);
		windows[i].total_count = (int32_t)MIN(r->windows[i].total, (uint32_t)INT32_MAX);
		list[i] = &windows[i];
	}
	h->windows = list;
	h->n_windows = r->windows_count;
	h->score = r->online_score;
	return h;
}

static void fill_audits(Nodestats__ReputationStats *s, const struct reputation *r)
{
	s->total_count = (int64_t)r->total;
	s->success_count = (int64_t)r->success;
	s->reputation_alpha = r->alpha;
	s->reputation_beta = r->beta;
	s->reputation_score = reputation_score(r);
	s->unknown_reputation_alpha = r->unknown_alpha;
	s->unknown_reputation_beta = r->unknown_beta;
	s->unknown_reputation_score = reputation_unknown_score(r);
}

static enum err get_stats(struct call *call, void *service, struct rpc_stream *stream)
{
	struct satellite *sat = service;
	struct arena *a = &call->scratch;
	Nodestats__GetStatsRequest *req = NULL;
	Nodestats__GetStatsResponse resp = NODESTATS__GET_STATS_RESPONSE__INIT;
	Nodestats__ReputationStats audits = NODESTATS__REPUTATION_STATS__INIT;
	struct joined_query joined = { 0 };
	struct reputation r;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, a, &nodestats__get_stats_request__descriptor, &req));
	TRY_PLAIN(peer(call, stream, &id));
	joined.id = &id;
	TRY(standing_get(call, sat->db, &sat->config.reputation, &id, &r), "node stats");
	TRY_PLAIN(db_read_one(call, sat->db, find_joined, &joined));
	fill_audits(&audits, &r);
	resp.audit_check = &audits;
	resp.disqualified = time_or_none(a, r.disqualified_ns);
	/* A node knows one field for it; why is in the list of audits. */
	resp.suspended = time_or_none(a, r.audit_suspended_ns ? r.audit_suspended_ns
							      : r.unknown_suspended_ns);
	resp.joined_at = time_or_none(a, joined.created_ns);
	resp.offline_suspended = time_or_none(a, r.offline_suspended_ns);
	resp.online_score = r.online_score;
	resp.offline_under_review = time_or_none(a, r.offline_review_ns);
	resp.vetted_at = time_or_none(a, r.vetted_ns);
	resp.audit_history = history(a, &r);
	if (!resp.audit_history)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return rpc_send_message(call, stream, &resp.base);
}

/* ---- the list ---- */

static enum err fill_results(struct call *call, const struct audit_result *list, size_t count,
			     Acre__ListAuditsResponse *resp)
{
	struct arena *a = &call->scratch;
	Acre__SignedAuditResult **refs = arena_array(a, count + 1, sizeof(*refs));
	Acre__SignedAuditResult *results = arena_array(a, count + 1, sizeof(*results));

	if (!refs || !results)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		acre__signed_audit_result__init(&results[i]);
		results[i].result = proto_view(list[i].result);
		results[i].signature = proto_view(list[i].signature);
		refs[i] = &results[i];
	}
	resp->results = refs;
	resp->n_results = count;
	return OK;
}

static enum err fill_events(struct call *call, const struct node_event *list, size_t count,
			    Acre__ListAuditsResponse *resp)
{
	struct arena *a = &call->scratch;
	Acre__NodeEvent **refs = arena_array(a, count + 1, sizeof(*refs));
	Acre__NodeEvent *events = arena_array(a, count + 1, sizeof(*events));

	if (!refs || !events)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		acre__node_event__init(&events[i]);
		events[i].at_unix_ns = list[i].at_ns;
		events[i].text = (char *)(uintptr_t)list[i].text;
		refs[i] = &events[i];
	}
	resp->events = refs;
	resp->n_events = count;
	return OK;
}

static enum err list_audits(struct call *call, void *service, struct rpc_stream *stream)
{
	struct satellite *sat = service;
	struct arena *a = &call->scratch;
	Acre__ListAuditsRequest *req = NULL;
	Acre__ListAuditsResponse resp = ACRE__LIST_AUDITS_RESPONSE__INIT;
	struct audit_result *results = NULL;
	struct node_event *events = NULL;
	size_t results_count = 0, events_count = 0;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, a, &acre__list_audits_request__descriptor, &req));
	TRY_PLAIN(peer(call, stream, &id));
	TRY_PLAIN(standing_results(call, sat->db, a, &id, req->after_unix_ns, &results,
				   &results_count));
	TRY_PLAIN(
		standing_events(call, sat->db, a, &id, req->after_unix_ns, &events, &events_count));
	TRY_PLAIN(fill_results(call, results, results_count, &resp));
	TRY_PLAIN(fill_events(call, events, events_count, &resp));
	return rpc_send_message(call, stream, &resp.base);
}

const struct rpc_method node_service_methods[] = {
	{ "/nodestats.NodeStats/GetStats", get_stats },
	{ "/acre.NodeAudits/List", list_audits },
};
const size_t node_service_methods_count = ARRAY_LEN(node_service_methods);
