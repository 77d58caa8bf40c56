/* acre-satellite node list, show, reinstate, disqualify: scores, states, and why. */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "proto/acre_node.pb-c.h"
#include "satellite/command.h"
#include "satellite/overlay_internal.h"
#include "satellite/standing.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)

struct known_nodes {
	struct node_id *ids; /* in the call's scratch */
	int64_t *seen_ns;
	const char **addresses;
	size_t count, cap;
};

static enum err keep_node(struct call *call, void *arg, const struct node_row *row)
{
	struct known_nodes *k = arg;
	struct arena *a = &call->scratch;

	if (k->count == k->cap) {
		size_t cap = k->cap ? k->cap * 2 : 64;
		struct node_id *ids = arena_array(a, cap, sizeof(*ids));
		int64_t *seen = arena_array(a, cap, sizeof(*seen));
		const char **addresses = arena_array(a, cap, sizeof(*addresses));
		if (!ids || !seen || !addresses)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		if (k->count) {
			memcpy(ids, k->ids, k->count * sizeof(*ids));
			memcpy(seen, k->seen_ns, k->count * sizeof(*seen));
			memcpy(addresses, k->addresses, k->count * sizeof(*addresses));
		}
		k->ids = ids;
		k->seen_ns = seen;
		k->addresses = addresses;
		k->cap = cap;
	}
	k->ids[k->count] = row->node.id;
	k->seen_ns[k->count] = row->node.last_success_ns;
	const char *address = arena_str(a, bytes_str(row->node.address));
	k->addresses[k->count++] = address ? address : "";
	return OK;
}

static const char *state_of(const struct reputation *r)
{
	if (r->disqualified_ns)
		return "disqualified";
	if (reputation_suspended_ns(r))
		return "suspended";
	return r->vetted_ns ? "vetted" : "new";
}

/* Why it is in that state; "" where there is nothing to say. */
static const char *reason_of(const struct reputation *r)
{
	if (r->disqualified_ns)
		return disqualification_text(r->disqualified_reason);
	if (r->audit_suspended_ns)
		return "failed audits";
	if (r->unknown_suspended_ns)
		return "errors in audits";
	return r->offline_suspended_ns ? "offline in audits" : "";
}

static void add_time_json(struct buf *out, const char *name, int64_t ns)
{
	if (!ns)
		return;
	buf_printf(out, ",\"%s\":\"", name);
	text_add_time(out, ns, false);
	buf_add_byte(out, '"');
}

static void add_json(struct command *c, const struct known_nodes *k, size_t i,
		     const struct reputation *r)
{
	char id[NODE_ID_TEXT_MAX];
	bool online = os_clock_unix_ns() - k->seen_ns[i] < c->o.config.online_window;

	node_id_text(&k->ids[i], id);
	buf_printf(&c->out, "{\"id\":\"%s\",\"address\":", id);
	text_add_json(&c->out, bytes_str(k->addresses[i]));
	buf_printf(&c->out,
		   ",\"online\":%s,\"state\":\"%s\",\"reason\":\"%s\",\"audits\":%llu,"
		   "\"audits_passed\":%llu,\"audit_score\":%.6f,\"unknown_score\":%.6f,"
		   "\"online_score\":%.6f",
		   online ? "true" : "false", state_of(r), reason_of(r),
		   (unsigned long long)r->total, (unsigned long long)r->success,
		   reputation_score(r), reputation_unknown_score(r), r->online_score);
	add_time_json(&c->out, "vetted_at", r->vetted_ns);
	add_time_json(&c->out, "suspended_at", reputation_suspended_ns(r));
	add_time_json(&c->out, "disqualified_at", r->disqualified_ns);
	add_time_json(&c->out, "audit_review_since", r->audit_review_ns);
	add_time_json(&c->out, "offline_review_since", r->offline_review_ns);
}

static void add_line(struct command *c, const struct known_nodes *k, size_t i,
		     const struct reputation *r)
{
	char id[NODE_ID_TEXT_MAX];
	bool online = os_clock_unix_ns() - k->seen_ns[i] < c->o.config.online_window;

	node_id_text(&k->ids[i], id);
	buf_printf(&c->out, "%s  %-7s  audits %5llu  score %.4f  unknown %.4f  online %.4f  %s", id,
		   online ? "online" : "offline", (unsigned long long)r->total, reputation_score(r),
		   reputation_unknown_score(r), r->online_score, state_of(r));
	if (reason_of(r)[0])
		buf_printf(&c->out, " (%s)", reason_of(r));
	buf_add_byte(&c->out, '\n');
}

enum err command_node_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct known_nodes k = { 0 };
	struct reputation r;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(store_nodes_since(c->call, db, 0, keep_node, &k));
	if (c->o.json)
		buf_add_byte(&c->out, '[');
	for (size_t i = 0; i < k.count; i++) {
		TRY_PLAIN(standing_get(c->call, db, &c->o.config.reputation, &k.ids[i], &r));
		if (!c->o.json) {
			add_line(c, &k, i, &r);
			continue;
		}
		if (i)
			buf_add_str(&c->out, ",\n ");
		add_json(c, &k, i, &r);
		buf_add_byte(&c->out, '}');
	}
	if (c->o.json)
		buf_add_str(&c->out, "]\n");
	return OK;
}

/* ---- one node ---- */

static enum err node_argument(struct command *c, struct node_id *ret)
{
	if (c->args_count != 1 || node_id_parse(bytes_str(c->args[0]), ret))
		return call_fail(c->call, ERR_CONFIG,
				 "say which node: its ID, as acre-satellite node list prints it");
	return OK;
}

static enum err no_such_node(struct call *call, enum err e)
{
	return e == ERR_NOT_FOUND ? call_fail(call, e, "there is no such node") : e;
}

static void add_result(struct command *c, const struct audit_result *r, bool first)
{
	const char *detail = "";
	Acre__AuditResult *m = NULL;

	if (!proto_decode(c->call, &c->call->scratch, &acre__audit_result__descriptor, r->result,
			  (void *)&m) &&
	    m->detail)
		detail = m->detail;
	if (c->o.json) {
		buf_add_str(&c->out, first ? "{\"at\":\"" : ",{\"at\":\"");
		text_add_time(&c->out, r->at_ns, true);
		buf_printf(&c->out, "\",\"outcome\":\"%s\",\"piece\":%u,\"detail\":",
			   audit_outcome_text(r->outcome), r->number);
		text_add_json(&c->out, bytes_str(detail));
		buf_add_byte(&c->out, '}');
		return;
	}
	buf_add_str(&c->out, "  ");
	text_add_time(&c->out, r->at_ns, false);
	buf_printf(&c->out, "  %-9s  piece %u of ", audit_outcome_text(r->outcome), r->number);
	text_hex(&c->out, uuid_bytes(&r->stream));
	buf_printf(&c->out, "/%lld: %s\n", (long long)r->position, detail);
}

static void add_event(struct command *c, const struct node_event *e, bool first)
{
	if (c->o.json) {
		buf_add_str(&c->out, first ? "{\"at\":\"" : ",{\"at\":\"");
		text_add_time(&c->out, e->at_ns, true);
		buf_add_str(&c->out, "\",\"event\":");
		text_add_json(&c->out, bytes_str(e->text));
		buf_add_byte(&c->out, '}');
		return;
	}
	buf_add_str(&c->out, "  ");
	text_add_time(&c->out, e->at_ns, false);
	buf_printf(&c->out, "  %s\n", e->text);
}

static enum err add_history(struct command *c, struct db *db, const struct node_id *id)
{
	struct node_event *events = NULL;
	struct audit_result *results = NULL;
	size_t events_count = 0, results_count = 0;
	struct arena *a = &c->call->scratch;

	TRY_PLAIN(standing_events(c->call, db, a, id, 0, &events, &events_count));
	TRY_PLAIN(standing_results(c->call, db, a, id, 0, &results, &results_count));
	buf_add_str(&c->out, c->o.json ? ",\"events\":[" : "events:\n");
	for (size_t i = 0; i < events_count; i++)
		add_event(c, &events[i], i == 0);
	buf_add_str(&c->out,
		    c->o.json ? "],\"failed_audits\":[" : "audits that did not succeed:\n");
	for (size_t i = 0; i < results_count; i++)
		add_result(c, &results[i], i == 0);
	if (c->o.json)
		buf_add_str(&c->out, "]}\n");
	return OK;
}

enum err command_node_show(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct known_nodes k = { 0 };
	struct node_id id;
	struct reputation r;
	size_t at = 0;

	TRY_PLAIN(node_argument(c, &id));
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(
		no_such_node(c->call, standing_get(c->call, db, &c->o.config.reputation, &id, &r)));
	TRY_PLAIN(store_nodes_since(c->call, db, 0, keep_node, &k));
	while (at < k.count && !node_id_equal(&k.ids[at], &id))
		at++;
	if (at == k.count)
		return no_such_node(c->call, ERR_NOT_FOUND);
	if (c->o.json)
		add_json(c, &k, at, &r);
	else
		add_line(c, &k, at, &r);
	return add_history(c, db, &id);
}

static enum err change(struct command *c, bool reinstate)
{
	AUTO(db_auto) struct db *db = NULL;
	const struct reputation_rules *rules = &c->o.config.reputation;
	int64_t now_ns = os_clock_unix_ns();
	struct node_id id;

	TRY_PLAIN(node_argument(c, &id));
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(reinstate ? standing_reinstate(c->call, db, rules, &id, now_ns)
			    : standing_disqualify(c->call, db, rules, &id, now_ns));
	if (c->o.json)
		return OK;
	buf_printf(&c->out, "%s is %s; a running satellite takes it up within seconds.\n",
		   c->args[0], reinstate ? "taken back" : "disqualified");
	return OK;
}

enum err command_node_reinstate(struct command *c)
{
	return change(c, true);
}

enum err command_node_disqualify(struct command *c)
{
	return change(c, false);
}
