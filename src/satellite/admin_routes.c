/* The API's table: which request is which command. */
#include "base/cleanup.h"
#include "base/text.h"
#include "satellite/admin_internal.h"
#include "satellite/check.h"
#include "satellite/metrics.h"

/* Audits of one request, which waits for them. */
enum { AUDITS_AT_ONCE_MAX = 100 };

#define AT(field) offsetof(struct command_options, field)

const struct admin_path_name admin_path_names[] = {
	{ "{project}", AT(project) },	  { "{apikey}", AT(apikey) }, { "{bucket}", AT(bucket) },
	{ "{name}", AT(name) },		  { "{node}", AT(node) },     { "{month}", AT(month) },
	{ "{placement}", AT(placement) },
};
const size_t admin_path_names_count = ARRAY_LEN(admin_path_names);

static const struct admin_field project_fields[] = {
	{ "name", FIELD_TEXT, AT(name), NULL, true },
};
static const struct admin_field project_set_fields[] = {
#define X(option, field, size) { #field, FIELD_COUNT, AT(set.field), "default", false },
	PROJECT_SETTINGS(X)
#undef X
		{ "versioning", FIELD_CHOICE, AT(set.versioning), NULL, false },
	{ "disabled", FIELD_CHOICE, AT(set.disabled), NULL, false },
	{ "placement", FIELD_COUNT, AT(placement), NULL, false },
};
static const struct admin_field bucket_set_fields[] = {
	{ "placement", FIELD_COUNT, AT(placement), NULL, true },
};
static const struct admin_field placement_fields[] = {
	{ "name", FIELD_TEXT, AT(name), NULL, true },
	{ "countries", FIELD_TEXT, AT(countries), NULL, false },
	{ "continents", FIELD_TEXT, AT(continents), NULL, false },
	{ "operators", FIELD_TEXT, AT(operators), NULL, false },
	{ "max_storage_price_micro_dollars", FIELD_MICRO, AT(max_storage_price), "none", false },
	{ "max_egress_price_micro_dollars", FIELD_MICRO, AT(max_egress_price), "none", false },
	{ "tags", FIELD_TEXT, AT(tags), NULL, false },
	{ "shared_networks", FIELD_BOOL, AT(shared_networks), NULL, false },
};
static const struct admin_field key_fields[] = {
	{ "name", FIELD_TEXT, AT(name), NULL, true },
	{ "auditable", FIELD_BOOL, AT(auditable), NULL, false },
};
static const struct admin_field key_set_fields[] = {
	{ "rate", FIELD_COUNT, AT(set.rate), "default", true },
	{ "rate_burst", FIELD_COUNT, AT(set.rate_burst), "default", false },
};
static const struct admin_field key_text_fields[] = {
	{ "api_key", FIELD_TEXT, AT(apikey), NULL, true },
};
static const struct admin_field limit_fields[] = {
	{ "storage", FIELD_COUNT, AT(storage), "none", false },
	{ "egress", FIELD_COUNT, AT(egress), "none", false },
	{ "downloads", FIELD_COUNT, AT(downloads), "none", false },
	{ "spend_micro_dollars", FIELD_MICRO, AT(spend), "none", false },
	{ "monthly", FIELD_BOOL, AT(monthly), NULL, false },
};

static const struct admin_field audit_fields[] = {
	{ "segments", FIELD_NUMBER, AT(segments), NULL, true, AUDITS_AT_ONCE_MAX },
};
static const struct admin_field repair_fields[] = {
	{ "all", FIELD_BOOL, AT(all), NULL, false },
};
static const struct admin_field statement_fields[] = {
	{ "surge_percent", FIELD_NUMBER, AT(surge), NULL, false, SURGE_PERCENT_MAX },
	{ "again", FIELD_BOOL, AT(again), NULL, false },
};
static const struct admin_field payment_fields[] = {
	{ "amount_micro_dollars", FIELD_MICRO, AT(amount), NULL, true },
	{ "receipt", FIELD_TEXT, AT(receipt), NULL, false },
	{ "notes", FIELD_TEXT, AT(notes), NULL, false },
};

static enum err run_health(struct admin_call *ac)
{
	buf_add_str(&ac->c.out, "{\"status\":\"ok\"}\n");
	return OK;
}

static enum err run_api(struct admin_call *ac)
{
	buf_add(&ac->c.out, satellite_api_yaml, satellite_api_yaml_len);
	return OK;
}

static enum err run_metrics(struct admin_call *ac)
{
	metrics_add(ac->sat, ac->config->server, &ac->c.out);
	return OK;
}

/* The commands take the key as an argument without a flag.  What is no key at all is not one of
 * this satellite's either. */
static enum err with_key(struct admin_call *ac, enum err (*command)(struct command *c))
{
	ac->c.args = &ac->c.o.apikey;
	ac->c.args_count = 1;
	enum err e = command(&ac->c);
	return e == ERR_CONFIG ? ERR_NOT_FOUND : e;
}

static enum err run_revoke(struct admin_call *ac)
{
	return with_key(ac, command_apikey_revoke);
}

static enum err run_register(struct admin_call *ac)
{
	return with_key(ac, command_apikey_register);
}

/* What is no ID of a node is not one of this satellite's either. */
static enum err with_node(struct admin_call *ac, enum err (*command)(struct command *c))
{
	struct node_id id;

	if (node_id_parse(bytes_str(ac->c.o.node), &id))
		return call_fail(ac->c.call, ERR_NOT_FOUND, "there is no such node");
	ac->c.args = &ac->c.o.node;
	ac->c.args_count = 1;
	return command(&ac->c);
}

static enum err run_node(struct admin_call *ac)
{
	return with_node(ac, command_node_show);
}

static enum err run_reinstate(struct admin_call *ac)
{
	return with_node(ac, command_node_reinstate);
}

static enum err run_disqualify(struct admin_call *ac)
{
	return with_node(ac, command_node_disqualify);
}

static enum err run_node_audits(struct admin_call *ac)
{
	return with_node(ac, command_audit_list);
}

static enum err run_node_statements(struct admin_call *ac)
{
	return with_node(ac, command_statement_list);
}

static enum err run_payment(struct admin_call *ac)
{
	ac->c.o.receipt = ac->c.o.receipt ? ac->c.o.receipt : "";
	ac->c.o.notes = ac->c.o.notes ? ac->c.o.notes : "";
	return with_node(ac, command_payment_record);
}

static enum err run_key_usage(struct admin_call *ac)
{
	ac->c.o.by_key = true;
	return command_usage(&ac->c);
}

static enum err run_key_report(struct admin_call *ac)
{
	ac->c.o.by_key = true;
	return command_report(&ac->c);
}

/* By the satellite that runs, not by another one as the command has it. */
static enum err run_audits(struct admin_call *ac)
{
	return command_audit_segments(&ac->c, ac->sat);
}

/* A database with errors is an answer here, no failure. */
static enum err run_check(struct admin_call *ac)
{
	struct check_report report;

	TRY_PLAIN(satellite_check(ac->c.call, ac->sat->db, &report));
	command_add_report(&ac->c, &report);
	return OK;
}

static enum err run_reload(struct admin_call *ac)
{
	return ac->config->reload(ac->c.call, ac->config->reload_arg, &ac->c.out);
}

#define FIELDS(table) .fields = (table), .fields_count = ARRAY_LEN(table)
#define PROJECT "/v1/projects/{project}"

const struct admin_route admin_routes[] = {
	{ "GET", "/health", .run = run_health, .open = true },
	{ "GET", "/openapi.yaml", .run = run_api, .open = true, .type = "application/yaml" },
	{ "GET", "/metrics", .run = run_metrics, .type = "text/plain; version=0.0.4" },
	{ "GET", "/v1/projects", .command = command_project_list },
	{ "POST", "/v1/projects", FIELDS(project_fields), .status = 201,
	  .command = command_project_create },
	{ "PATCH", PROJECT, FIELDS(project_set_fields), .command = command_project_set },
	{ "GET", PROJECT "/apikeys", .command = command_apikey_list },
	{ "POST", PROJECT "/apikeys", FIELDS(key_fields), .status = 201,
	  .command = command_apikey_create },
	{ "PATCH", PROJECT "/apikeys/{name}", FIELDS(key_set_fields),
	  .command = command_apikey_set },
	{ "DELETE", PROJECT "/apikeys/{name}", .command = command_apikey_delete },
	{ "POST", "/v1/apikeys/revoke", FIELDS(key_text_fields), .run = run_revoke },
	{ "POST", "/v1/apikeys/register", FIELDS(key_text_fields), .run = run_register },
	{ "GET", PROJECT "/buckets", .command = command_bucket_list },
	{ "PATCH", PROJECT "/buckets/{bucket}", FIELDS(bucket_set_fields),
	  .command = command_bucket_set },
	{ "GET", "/v1/placements", .command = command_placement_list },
	{ "PUT", "/v1/placements/{placement}", FIELDS(placement_fields),
	  .command = command_placement_set },
	{ "DELETE", "/v1/placements/{placement}", .command = command_placement_remove },
	{ "GET", PROJECT "/limits", .command = command_limit_list },
	{ "PUT", PROJECT "/limits/apikeys/{apikey}", FIELDS(limit_fields),
	  .command = command_limit_set },
	{ "PUT", PROJECT "/limits/buckets/{bucket}", FIELDS(limit_fields),
	  .command = command_limit_set },
	{ "GET", "/v1/usage", .command = command_usage },
	{ "GET", "/v1/usage/apikeys", .run = run_key_usage },
	{ "GET", "/v1/nodes", .command = command_nodes },
	{ "GET", "/v1/nodes/{node}", .run = run_node },
	{ "POST", "/v1/nodes/{node}/reinstate", .run = run_reinstate },
	{ "POST", "/v1/nodes/{node}/disqualify", .run = run_disqualify },
	{ "GET", "/v1/nodes/{node}/audits", .run = run_node_audits },
	{ "GET", "/v1/nodes/{node}/statements", .run = run_node_statements },
	{ "POST", "/v1/nodes/{node}/payments/{month}", FIELDS(payment_fields), .status = 201,
	  .run = run_payment },
	{ "GET", "/v1/standing", .command = command_node_list },
	{ "GET", "/v1/audits", .command = command_audit_list },
	{ "POST", "/v1/audits", FIELDS(audit_fields), .run = run_audits },
	{ "GET", "/v1/repairs", .command = command_repair_list },
	{ "POST", "/v1/repairs", FIELDS(repair_fields), .status = 202,
	  .command = command_repair_run },
	{ "GET", "/v1/chores", .command = command_chores },
	{ "GET", "/v1/statements", .command = command_statement_list },
	{ "GET", "/v1/statements/{month}", .command = command_statement_list },
	{ "POST", "/v1/statements/{month}", FIELDS(statement_fields), .status = 201,
	  .command = command_statement_make },
	{ "GET", "/v1/reports/{month}", .command = command_report },
	{ "GET", PROJECT "/reports/{month}", .command = command_report },
	{ "GET", "/v1/reports/{month}/apikeys", .run = run_key_report },
	{ "GET", PROJECT "/reports/{month}/apikeys", .run = run_key_report },
	{ "GET", "/v1/check", .run = run_check },
	{ "POST", "/v1/reload", .run = run_reload },
};
const size_t admin_routes_count = ARRAY_LEN(admin_routes);
