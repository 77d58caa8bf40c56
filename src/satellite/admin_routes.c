/* The API's table: which request is which command. */
#include "base/cleanup.h"
#include "base/text.h"
#include "satellite/admin_internal.h"
#include "satellite/check.h"
#include "satellite/metrics.h"

#define AT(field) offsetof(struct command_options, field)

const struct admin_path_name admin_path_names[] = {
	{ "{project}", AT(project) },
	{ "{apikey}", AT(apikey) },
	{ "{bucket}", AT(bucket) },
	{ "{name}", AT(name) },
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
	{ "GET", PROJECT "/limits", .command = command_limit_list },
	{ "PUT", PROJECT "/limits/apikeys/{apikey}", FIELDS(limit_fields),
	  .command = command_limit_set },
	{ "PUT", PROJECT "/limits/buckets/{bucket}", FIELDS(limit_fields),
	  .command = command_limit_set },
	{ "GET", "/v1/usage", .command = command_usage },
	{ "GET", "/v1/nodes", .command = command_nodes },
	{ "GET", "/v1/check", .run = run_check },
	{ "POST", "/v1/reload", .run = run_reload },
};
const size_t admin_routes_count = ARRAY_LEN(admin_routes);
