/* acre-satellite audit run, list: audits by hand, also while the satellite runs. */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "proto/acre_node.pb-c.h"
#include "satellite/audit.h"
#include "satellite/command.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)
DEFINE_AUTO_PTR(struct satellite, satellite_auto, satellite_close)

/* ---- run ---- */

static void add_record(struct command *c, const struct audit_record *r, bool first)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(&r->node, id);
	if (c->o.json) {
		buf_printf(&c->out,
			   "%s{\"node\":\"%s\",\"piece\":%u,\"outcome\":\"%s\",\"detail\":",
			   first ? "" : ",", id, r->number, audit_outcome_text(r->outcome));
		text_add_json(&c->out, bytes_str(r->detail));
		buf_add_byte(&c->out, '}');
	} else if (r->outcome != AUDIT_SUCCESS) {
		buf_printf(&c->out, "  %-9s  node %s, piece %u: %s\n",
			   audit_outcome_text(r->outcome), id, r->number, r->detail);
	}
}

static void add_report(struct command *c, const struct audit_report *r, bool first)
{
	size_t good = 0;

	for (size_t i = 0; i < r->count; i++)
		good += r->records[i].outcome == AUDIT_SUCCESS;
	if (c->o.json) {
		buf_printf(&c->out, "%s{\"segment\":\"", first ? "[" : ",\n ");
		text_hex(&c->out, uuid_bytes(&r->ref.stream));
		buf_printf(&c->out,
			   "\",\"position\":%lld,\"verdict\":\"%s\",\"removed\":%zu,\"nodes\":[",
			   (long long)r->ref.position, audit_verdict_text(r->verdict), r->removed);
	} else {
		buf_add_str(&c->out, "segment ");
		text_hex(&c->out, uuid_bytes(&r->ref.stream));
		buf_printf(&c->out, "/%lld: %s, %zu of %zu nodes passed\n",
			   (long long)r->ref.position, audit_verdict_text(r->verdict), good,
			   r->count);
	}
	for (size_t i = 0; i < r->count; i++)
		add_record(c, &r->records[i], i == 0);
	if (c->o.json)
		buf_add_str(&c->out, "]}");
}

static enum err audit_one(struct command *c, struct satellite *sat, const struct audit_ref *ref,
			  bool first)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct audit_report report;

	call_init_child(&own, c->call);
	enum err e = audit_segment(&own, sat, ref, &report);
	if (e)
		call_copy_error(c->call, &own);
	else
		add_report(c, &report, first);
	return e;
}

enum err command_audit_segments(struct command *c, struct satellite *sat)
{
	struct audit_ref ref = { .position = -1 };
	enum err e = OK;
	uint64_t i = 0;

	for (; c->o.all || i < c->o.segments; i++) {
		e = c->o.all ? store_audit_after(c->call, sat->db, &ref)
			     : store_audit_random(c->call, sat->db, &ref);
		if (e)
			break;
		TRY_PLAIN(audit_one(c, sat, &ref, i == 0));
	}
	if (e && e != ERR_NOT_FOUND)
		return e;
	call_clear_error(c->call);
	if (c->o.json)
		buf_add_str(&c->out, i ? "]\n" : "[]\n");
	else if (!i)
		buf_add_str(&c->out, "There is no segment on nodes yet.\n");
	return OK;
}

static enum err run_contained(struct command *c, struct satellite *sat)
{
	struct reverify_job *jobs = NULL;
	size_t count = 0, shown = 0;

	TRY_PLAIN(store_reverify_list(c->call, sat->db, &c->call->scratch, NULL, &jobs, &count));
	sat->config.audit.reverify_interval = 0;
	if (c->o.json)
		buf_add_byte(&c->out, '[');
	for (size_t i = 0; i < count; i++) {
		AUTO_CALL struct call own = CALL_INIT;
		struct reverify_report r;
		call_init_child(&own, c->call);
		enum err e = audit_reverify_next(&own, sat, &r);
		if (e == ERR_NOT_FOUND)
			break;
		if (e) {
			call_copy_error(c->call, &own);
			return e;
		}
		add_record(c, &r.record, shown++ == 0);
	}
	buf_add_str(&c->out, c->o.json ? "]\n" : "");
	if (!c->o.json)
		buf_printf(&c->out, "%zu pieces were asked for whole\n", shown);
	return OK;
}

enum err command_audit_run(struct command *c)
{
	AUTO(satellite_auto) struct satellite *sat = NULL;

	TRY_PLAIN(command_config(c));
	TRY_PLAIN(satellite_open(c->call, &c->o.config, &sat));
	return c->o.contained ? run_contained(c, sat) : command_audit_segments(c, sat);
}

/* ---- list ---- */

static void add_result(struct command *c, const struct audit_result *r, bool first)
{
	char id[NODE_ID_TEXT_MAX];
	const char *detail = "";
	Acre__AuditResult *m = NULL;

	node_id_text(&r->node, id);
	if (!proto_decode(c->call, &c->call->scratch, &acre__audit_result__descriptor, r->result,
			  (void *)&m) &&
	    m->detail)
		detail = m->detail;
	if (!c->o.json) {
		text_add_time(&c->out, r->at_ns, false);
		buf_printf(&c->out, "  %-9s  node %s, piece %u: %s\n",
			   audit_outcome_text(r->outcome), id, r->number, detail);
		return;
	}
	buf_printf(&c->out, "%s{\"node\":\"%s\",\"at\":\"", first ? "" : ",\n", id);
	text_add_time(&c->out, r->at_ns, true);
	buf_printf(&c->out,
		   "\",\"outcome\":\"%s\",\"piece\":%u,\"detail\":", audit_outcome_text(r->outcome),
		   r->number);
	text_add_json(&c->out, bytes_str(detail));
	buf_add_str(&c->out, ",\"result\":\"");
	text_base64(&c->out, r->result);
	buf_add_str(&c->out, "\",\"signature\":\"");
	text_base64(&c->out, r->signature);
	buf_add_str(&c->out, "\"}");
}

static void add_job(struct command *c, const struct reverify_job *j, bool first)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(&j->node, id);
	if (c->o.json)
		buf_printf(&c->out,
			   "%s{\"node\":\"%s\",\"piece\":%u,\"attempts\":%lld,\"suspect\":%s}",
			   first ? "" : ",", id, j->number, (long long)j->count,
			   j->share.size ? "true" : "false");
	else
		buf_printf(&c->out, "%-9s  node %s, piece %u, asked %lld times\n",
			   j->share.size ? "suspect" : "contained", id, j->number,
			   (long long)j->count);
}

enum err command_audit_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct arena *a = &c->call->scratch;
	struct audit_result *results = NULL;
	struct reverify_job *jobs = NULL;
	size_t results_count = 0, jobs_count = 0;
	struct node_id id, *only = NULL;

	if (c->o.node && c->o.node[0]) {
		if (node_id_parse(bytes_str(c->o.node), &id))
			return call_fail(c->call, ERR_CONFIG, "\"%s\" is no node ID", c->o.node);
		only = &id;
	}
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(standing_results(c->call, db, a, only, 0, &results, &results_count));
	TRY_PLAIN(store_reverify_list(c->call, db, a, only, &jobs, &jobs_count));
	if (c->o.json)
		buf_add_str(&c->out, "{\"results\":[");
	for (size_t i = 0; i < results_count; i++)
		add_result(c, &results[i], i == 0);
	if (c->o.json)
		buf_add_str(&c->out, "],\"contained\":[");
	for (size_t i = 0; i < jobs_count; i++)
		add_job(c, &jobs[i], i == 0);
	if (c->o.json)
		buf_add_str(&c->out, "]}\n");
	return OK;
}
