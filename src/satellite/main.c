/* acre-satellite: finds the command, reads its flags, runs it, tells what went wrong. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/cancel.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"
#include "satellite/command.h"

enum { USAGE_WIDTH = 44, VERSION_MAX = 64 };

#define ACRE_VERSION "0.1.0"

#define OPTION(text, field, letter, type, fallback, doc)                                           \
	PARAM_NAMED(text, struct command_options, field, letter, type, fallback, doc)

static const struct param common_params[] = {
	OPTION("dir", dir, 'd', PARAM_STR, NULL, "the directory the satellite lives in"),
	OPTION("help", help, 'h', PARAM_BOOL, "false", "this text"),
};
static const struct param setup_params[] = {
	OPTION("nodes", nodes, 0, PARAM_U64, "10",
	       "how many nodes are expected, to propose a code"),
	OPTION("difficulty", difficulty, 0, PARAM_U64, "8",
	       "difficulty of the satellite's own identity; 36 is what Storj's own have"),
};
static const struct param json_params[] = {
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};
static const struct param project_params[] = {
	OPTION("name", name, 0, PARAM_STR, NULL, "name of the project"),
};
static const struct param key_params[] = {
	OPTION("project", project, 0, PARAM_STR, NULL, "name or ID of its project"),
	OPTION("name", name, 0, PARAM_STR, "default", "name of the key"),
	OPTION("auditable", auditable, 0, PARAM_BOOL, "false",
	       "keys made from it are refused until they were registered"),
};
static const struct param project_of_params[] = {
	OPTION("project", project, 0, PARAM_STR, NULL, "name or ID of the project"),
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};
static const struct param key_delete_params[] = {
	OPTION("project", project, 0, PARAM_STR, NULL, "name or ID of its project"),
	OPTION("name", name, 0, PARAM_STR, NULL, "name of the key"),
};
static const struct param key_set_params[] = {
	OPTION("project", project, 0, PARAM_STR, NULL, "name or ID of its project"),
	OPTION("name", name, 0, PARAM_STR, NULL, "name of the key"),
	OPTION("rate", set.rate, 0, PARAM_STR, NULL,
	       "requests a second with it and all made from it; default: none of its own"),
	OPTION("rate-burst", set.rate_burst, 0, PARAM_STR, NULL, "requests at once"),
};
/* Besides a number: "default" is what the satellite's settings say, for max-* "none" no limit. */
static const struct param project_set_params[] = {
	OPTION("project", project, 0, PARAM_STR, NULL, "name or ID of the project"),
	OPTION("max-buckets", set.max_buckets, 0, PARAM_STR, NULL, "buckets it may have"),
	OPTION("max-storage", set.max_storage, 0, PARAM_STR, NULL, "bytes it may store"),
	OPTION("max-bandwidth", set.max_bandwidth, 0, PARAM_STR, NULL,
	       "bytes it may download in a month"),
	OPTION("max-segments", set.max_segments, 0, PARAM_STR, NULL, "segments it may have"),
	OPTION("rate", set.rate, 0, PARAM_STR, NULL, "requests a second"),
	OPTION("rate-burst", set.rate_burst, 0, PARAM_STR, NULL, "requests at once"),
	OPTION("rate-head", set.rate_head, 0, PARAM_STR, NULL,
	       "head requests a second, counted for themselves"),
	OPTION("rate-head-burst", set.rate_head_burst, 0, PARAM_STR, NULL, "such requests at once"),
	OPTION("rate-get", set.rate_get, 0, PARAM_STR, NULL,
	       "get requests a second, counted for themselves"),
	OPTION("rate-get-burst", set.rate_get_burst, 0, PARAM_STR, NULL, "such requests at once"),
	OPTION("rate-put", set.rate_put, 0, PARAM_STR, NULL,
	       "put requests a second, counted for themselves"),
	OPTION("rate-put-burst", set.rate_put_burst, 0, PARAM_STR, NULL, "such requests at once"),
	OPTION("rate-list", set.rate_list, 0, PARAM_STR, NULL,
	       "list requests a second, counted for themselves"),
	OPTION("rate-list-burst", set.rate_list_burst, 0, PARAM_STR, NULL, "such requests at once"),
	OPTION("rate-delete", set.rate_delete, 0, PARAM_STR, NULL,
	       "delete requests a second, counted for themselves"),
	OPTION("rate-delete-burst", set.rate_delete_burst, 0, PARAM_STR, NULL,
	       "such requests at once"),
	OPTION("versioning", set.versioning, 0, PARAM_CHOICE, NULL,
	       "whether its new buckets keep versions"),
	OPTION("disabled", set.disabled, 0, PARAM_CHOICE, NULL, "whether it makes no new buckets"),
	OPTION("placement", placement, 0, PARAM_STR, NULL,
	       "number of the placement of its new buckets; 0: everywhere"),
};
static const struct param placement_set_params[] = {
	OPTION("placement", placement, 0, PARAM_STR, NULL, "its number, 1 to 65535"),
	OPTION("name", name, 0, PARAM_STR, NULL, "its name, that clients see as a location"),
	OPTION("countries", countries, 0, PARAM_STR, "",
	       "such as DE,FR or EU,!HU or !US (two letters, EU, EEA); default: everywhere"),
	OPTION("continents", continents, 0, PARAM_STR, "",
	       "such as EU,NA or !AS (AF, AN, AS, EU, NA, OC, SA), which has to hold, too"),
	OPTION("operators", operators, 0, PARAM_STR, "",
	       "wallets, or addresses of mail of those who tell none, such as 0x12ab,me@my.org or "
	       "!0x34cd"),
	OPTION("max-storage-price", max_storage_price, 0, PARAM_STR, "none",
	       "dollars that a terabyte kept 720 hours may cost at a node"),
	OPTION("max-egress-price", max_egress_price, 0, PARAM_STR, "none",
	       "dollars that a terabyte served may cost at a node"),
	OPTION("tags", tags, 0, PARAM_STR, "",
	       "such as tier=gold,!old=yes: what an authority has signed of a node, and has not"),
	OPTION("shared-networks", shared_networks, 0, PARAM_BOOL, "false",
	       "several pieces of a segment may lie in one network, as in a data centre of one's "
	       "own"),
};
static const struct param placement_params[] = {
	OPTION("placement", placement, 0, PARAM_STR, NULL, "its number"),
};
static const struct param bucket_set_params[] = {
	OPTION("project", project, 0, PARAM_STR, NULL, "name or ID of the project"),
	OPTION("bucket", bucket, 0, PARAM_STR, "", "name of the bucket, which is empty"),
	OPTION("placement", placement, 0, PARAM_STR, NULL,
	       "number of the placement it gets; 0: everywhere"),
};
static const struct param limit_params[] = {
	OPTION("project", project, 0, PARAM_STR, NULL, "name or ID of the project"),
	OPTION("apikey", apikey, 0, PARAM_STR, NULL, "name of the API key that is limited"),
	OPTION("bucket", bucket, 0, PARAM_STR, "", "name of the bucket that is limited"),
	OPTION("storage", storage, 0, PARAM_STR, "none", "bytes stored, as they are encrypted"),
	OPTION("egress", egress, 0, PARAM_STR, "none", "bytes served"),
	OPTION("downloads", downloads, 0, PARAM_STR, "none", "objects served"),
	OPTION("spend", spend, 0, PARAM_STR, "none",
	       "dollars, at storage-price and egress-price of the satellite's settings"),
	OPTION("monthly", monthly, 0, PARAM_BOOL, "false",
	       "all but what is stored begins anew each month"),
};
static const struct param statement_make_params[] = {
	OPTION("month", month, 0, PARAM_STR, "", "YYYY-MM; default: the one before this"),
	OPTION("surge", surge, 0, PARAM_U64, "0", "percent of the sum that is paid; 0: all of it"),
	OPTION("again", again, 0, PARAM_BOOL, "false", "anew, unless something was paid already"),
};
static const struct param statement_list_params[] = {
	OPTION("month", month, 0, PARAM_STR, "", "YYYY-MM; default: all"),
	OPTION("node", node, 0, PARAM_STR, "", "ID of the node; default: all"),
	OPTION("csv", csv, 0, PARAM_BOOL, "false", "print CSV"),
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};
static const struct param payment_params[] = {
	OPTION("month", month, 0, PARAM_STR, "", "YYYY-MM; default: the one before this"),
	OPTION("node", node, 0, PARAM_STR, "", "ID of the node"),
	OPTION("amount", amount, 0, PARAM_STR, "", "dollars"),
	OPTION("receipt", receipt, 0, PARAM_STR, "", "what proves it, such as a transaction"),
	OPTION("notes", notes, 0, PARAM_STR, "", "shown to the node, too"),
};
static const struct param usage_params[] = {
	OPTION("key", by_key, 0, PARAM_BOOL, "false", "by API key"),
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};
static const struct param report_params[] = {
	OPTION("key", by_key, 0, PARAM_BOOL, "false", "by API key instead of by bucket"),
	OPTION("month", month, 0, PARAM_STR, "", "YYYY-MM; default: this one so far"),
	OPTION("project", project, 0, PARAM_STR, "", "name or ID of the project; default: all"),
	OPTION("csv", csv, 0, PARAM_BOOL, "false", "print CSV"),
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};
static const struct param pieces_params[] = {
	OPTION("largest", largest, 0, PARAM_BOOL, "false",
	       "of the largest object instead of the newest"),
	OPTION("bucket", bucket, 0, PARAM_STR, "", "look only in this bucket"),
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};

static const struct param repair_run_params[] = {
	OPTION("all", all, 0, PARAM_BOOL, "false",
	       "every segment that has fewer pieces than a new one, not only those at their "
	       "threshold"),
	OPTION("wait", wait, 0, PARAM_BOOL, "false",
	       "until all is repaired; what cannot be is printed with the reason, and the command "
	       "fails"),
};
static const struct param audit_run_params[] = {
	OPTION("segments", segments, 0, PARAM_U64, "1", "how many, drawn by chance"),
	OPTION("all", all, 0, PARAM_BOOL, "false", "every segment once instead"),
	OPTION("contained", contained, 0, PARAM_BOOL, "false",
	       "ask contained nodes and suspects for their whole pieces instead, due or not"),
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};
static const struct param audit_list_params[] = {
	OPTION("node", node, 0, PARAM_STR, "", "only of the node with this ID"),
	OPTION("json", json, 0, PARAM_BOOL, "false", "print JSON"),
};

#define PARAMS(table) table, ARRAY_LEN(table)

static const struct command_entry commands[] = {
	{ "setup", "--dir DIR [SETTINGS]", "make a new satellite in a directory",
	  PARAMS(setup_params), true, 0, command_setup },
	{ "run", "--dir DIR [SETTINGS]", "serve until told to stop", NULL, 0, true, 0,
	  command_run },
	{ "url", "--dir DIR", "print what nodes and clients need to find it", NULL, 0, false, 0,
	  command_url },
	{ "project create", "--dir DIR --name NAME", "make a project and print its ID",
	  PARAMS(project_params), false, 0, command_project_create },
	{ "project list", "--dir DIR [--json]", "print the projects", PARAMS(json_params), false, 0,
	  command_project_list },
	{ "project set", "--dir DIR --project PROJECT SETTINGS", "change what a project may",
	  PARAMS(project_set_params), false, 0, command_project_set },
	{ "apikey create", "--dir DIR --project PROJECT [--name NAME]",
	  "make an API key and print it", PARAMS(key_params), false, 0, command_apikey_create },
	{ "apikey list", "--dir DIR --project PROJECT [--json]", "print a project's keys by name",
	  PARAMS(project_of_params), false, 0, command_apikey_list },
	{ "apikey set", "--dir DIR --project PROJECT --name NAME --rate N",
	  "give a key a rate of its own", PARAMS(key_set_params), false, 0, command_apikey_set },
	{ "apikey delete", "--dir DIR --project PROJECT --name NAME",
	  "delete a key and all made from it", PARAMS(key_delete_params), false, 0,
	  command_apikey_delete },
	{ "apikey revoke", "--dir DIR KEY", "revoke a key as it is, with its restrictions", NULL, 0,
	  false, 1, command_apikey_revoke },
	{ "apikey register", "--dir DIR KEY", "let a restricted auditable key be used", NULL, 0,
	  false, 1, command_apikey_register },
	{ "bucket list", "--dir DIR --project PROJECT [--json]",
	  "print a project's buckets and what is in them", PARAMS(project_of_params), false, 0,
	  command_bucket_list },
	{ "bucket set", "--dir DIR --project PROJECT --bucket NAME --placement N",
	  "say where the pieces of an empty bucket may lie", PARAMS(bucket_set_params), false, 0,
	  command_bucket_set },
	{ "placement list", "--dir DIR [--json]", "print the places that buckets may have",
	  PARAMS(json_params), false, 0, command_placement_list },
	{ "placement set", "--dir DIR --placement N --name NAME [RULES]",
	  "make or change one; pieces that lie elsewhere are moved", PARAMS(placement_set_params),
	  false, 0, command_placement_set },
	{ "placement remove", "--dir DIR --placement N", "remove one that no bucket has",
	  PARAMS(placement_params), false, 0, command_placement_remove },
	{ "limit set", "--dir DIR --project PROJECT --apikey NAME|--bucket NAME LIMITS",
	  "limit what a key or a bucket may", PARAMS(limit_params), false, 0, command_limit_set },
	{ "limit list", "--dir DIR --project PROJECT [--json]",
	  "print the limits of keys, buckets and grants, and what was counted",
	  PARAMS(project_of_params), false, 0, command_limit_list },
	{ "usage", "--dir DIR [--key] [--json]",
	  "print what each project, or each key, stores and was served", PARAMS(usage_params),
	  false, 0, command_usage },
	{ "report", "--dir DIR [--month YYYY-MM] [--project PROJECT] [--key] [--csv|--json]",
	  "print what buckets, or keys, kept and moved in a month", PARAMS(report_params), false, 0,
	  command_report },
	{ "statement make", "--dir DIR [--month YYYY-MM]",
	  "reckon what each node is owed for a month", PARAMS(statement_make_params), true, 0,
	  command_statement_make },
	{ "statement list", "--dir DIR [--month YYYY-MM] [--node ID] [--csv|--json]",
	  "print these statements", PARAMS(statement_list_params), false, 0,
	  command_statement_list },
	{ "payment record", "--dir DIR --node ID --amount DOLLARS [--month YYYY-MM]",
	  "note that a node was paid", PARAMS(payment_params), false, 0, command_payment_record },
	{ "nodes", "--dir DIR [--json]", "print the nodes it knows", PARAMS(json_params), false, 0,
	  command_nodes },
	{ "node list", "--dir DIR [--json]", "print the nodes with their scores and states",
	  PARAMS(json_params), false, 0, command_node_list },
	{ "node show", "--dir DIR [--json] ID", "print all about a node, and why it is as it is",
	  PARAMS(json_params), false, 1, command_node_show },
	{ "node reinstate", "--dir DIR ID",
	  "take a node back: states lifted, scores as a new one's", NULL, 0, false, 1,
	  command_node_reinstate },
	{ "node disqualify", "--dir DIR ID", "give a node up for good, and its pieces", NULL, 0,
	  false, 1, command_node_disqualify },
	{ "node tag", "--dir DIR ID NAME=VALUE...",
	  "sign tags of a node, for its setting signed-tags", NULL, 0, false, 17,
	  command_node_tag },
	{ "audit run", "--dir DIR [--segments N|--all|--contained] [--json]",
	  "audit segments now and count what comes of it", PARAMS(audit_run_params), false, 0,
	  command_audit_run },
	{ "audit list", "--dir DIR [--node ID] [--json]",
	  "print audits that did not succeed, and contained pieces", PARAMS(audit_list_params),
	  false, 0, command_audit_list },
	{ "pieces", "--dir DIR [--bucket NAME] [--largest] [--json]",
	  "print where the pieces of an object lie, the newest or the largest",
	  PARAMS(pieces_params), false, 0, command_pieces },
	{ "repair list", "--dir DIR [--json]",
	  "print the segments that lack pieces, most endangered first", PARAMS(json_params), false,
	  0, command_repair_list },
	{ "repair run", "--dir DIR [--all] [--wait]",
	  "look for segments that lack pieces now, and repair them", PARAMS(repair_run_params),
	  false, 0, command_repair_run },
	{ "chores", "--dir DIR [--json]", "print what it does by itself, and how that went",
	  PARAMS(json_params), false, 0, command_chores },
	{ "backup", "--dir DIR FILE", "copy the database, also while it runs", NULL, 0, false, 1,
	  command_backup },
	{ "restore", "--dir DIR FILE", "bring such a copy back, checked", NULL, 0, false, 1,
	  command_restore },
	{ "check", "--dir DIR [--json]", "check the whole database, also while it runs",
	  PARAMS(json_params), false, 0, command_check },
};

void command_note(const char *fmt, ...)
{
	AUTO_BUF struct buf line = BUF_INIT(16 << 10);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	buf_add_byte(&line, '\n');
	os_stderr_line(buf_bytes(&line));
}

void command_say(struct command *c, const char *text)
{
	if (!c->o.json)
		buf_add_str(&c->out, text);
}

enum err command_flush(struct command *c)
{
	if (c->out.failed)
		return call_fail(c->call, ERR_NO_MEMORY, "the output is too long");
	enum err e = c->out.len ? os_file_write(c->call, os_stdout(), buf_bytes(&c->out)) : OK;
	buf_clear(&c->out);
	return e;
}

/* ---- flags and file ---- */

static enum err make_set(struct command *c, const struct command_entry *entry, bool settings)
{
	size_t count = ARRAY_LEN(common_params) + entry->params_count +
		       (settings ? satellite_params_count : 0);
	struct param *all = arena_array(&c->call->scratch, count, sizeof(*all));

	if (!all)
		return call_fail(c->call, ERR_NO_MEMORY, "out of memory");
	c->set = (struct param_set){ all, count };
	memcpy(all, common_params, sizeof(common_params));
	all += ARRAY_LEN(common_params);
	if (entry->params_count)
		memcpy(all, entry->params, entry->params_count * sizeof(*all));
	if (settings)
		memcpy(all + entry->params_count, satellite_params,
		       satellite_params_count * sizeof(*all));
	return OK;
}

static enum err read_flags(struct command *c)
{
	return param_read_args(c->call, &c->call->scratch, c->set, &c->o, c->argc, c->argv,
			       &c->args, &c->args_count);
}

enum err command_config(struct command *c)
{
	const struct param_set all = { satellite_params, satellite_params_count };
	struct arena *a = &c->call->scratch;
	const char *dir = c->o.dir;

	/* Once to see whether it is a development network, then over that one's defaults. */
	TRY_PLAIN(param_defaults(c->call, a, all, &c->o));
	TRY_PLAIN(satellite_config_read_file(c->call, a, all, dir, &c->o));
	TRY_PLAIN(read_flags(c));
	if (c->o.config.development) {
		TRY_PLAIN(satellite_config_development(c->call, a, all, &c->o));
		TRY_PLAIN(satellite_config_read_file(c->call, a, all, dir, &c->o));
		TRY_PLAIN(read_flags(c));
	}
	return satellite_config_complete(c->call, a, &c->o.config, dir);
}

enum err command_database(struct command *c, struct db **ret)
{
	struct db *db = NULL;

	if (c->db) {
		*ret = db_share(c->db);
		return OK;
	}
	TRY_PLAIN(command_config(c));
	TRY_PLAIN(db_open(c->call, c->o.config.database, &db));
	enum err e = db_keep_log(c->call, db);
	if (!e)
		e = db_migrate(c->call, db, satellite_migrations, satellite_migrations_count);
	if (e) {
		db_close(db);
		return e;
	}
	*ret = db;
	return OK;
}

/* ---- finding and running ---- */

/* Words of the command at the front of argv: "project create" takes two. */
static const struct command_entry *find(int argc, char *argv[], int *ret_words)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const char *name = commands[i].name, *space = strchr(name, ' ');
		size_t n = space ? (size_t)(space - name) : strlen(name);
		if (strlen(argv[0]) != n || strncmp(name, argv[0], n) != 0)
			continue;
		if (space && (argc < 2 || strcmp(space + 1, argv[1]) != 0))
			continue;
		*ret_words = space ? 2 : 1;
		return &commands[i];
	}
	return NULL;
}

static void add_overview(struct buf *out)
{
	buf_add_str(out, "usage: acre-satellite COMMAND [FLAGS]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		size_t start = out->len;
		buf_printf(out, "  %s %s", commands[i].name, commands[i].usage);
		if (out->len - start >= USAGE_WIDTH) {
			buf_add_byte(out, '\n');
			start = out->len;
		}
		do {
			buf_add_byte(out, ' ');
		} while (out->len - start < USAGE_WIDTH && !out->failed);
		buf_printf(out, "%s\n", commands[i].summary);
	}
	buf_add_str(out, "\nacre-satellite COMMAND --help tells more.\n");
}

/* "project" alone: which there are. */
static enum err no_command(struct call *call, const char *word)
{
	AUTO_BUF struct buf names = BUF_INIT(1 << 10);
	size_t n = strlen(word);

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strncmp(commands[i].name, word, n) && commands[i].name[n] == ' ')
			buf_printf(&names, "%s \"%s\"", names.len ? "," : "", commands[i].name);
	if (names.len)
		return call_fail(call, ERR_CONFIG, "say more than \"%.64s\": there is%s", word,
				 buf_cstr(&names));
	return call_fail(call, ERR_CONFIG, "\"%.64s\" is no command (see acre-satellite --help)",
			 word);
}

static void add_help(struct command *c, const struct command_entry *entry)
{
	buf_printf(&c->out, "usage: acre-satellite %s %s\n\n%s.\n\n", entry->name, entry->usage,
		   entry->summary);
	param_add_help(&c->out, c->set);
}

static enum err run(struct command *c, const struct command_entry *entry)
{
	struct arena *a = &c->call->scratch;

	TRY_PLAIN(make_set(c, entry, entry->settings));
	TRY_PLAIN(param_defaults(c->call, a, c->set, &c->o));
	TRY_PLAIN(read_flags(c));
	if (c->o.help) {
		add_help(c, entry);
		return command_flush(c);
	}
	if (!c->o.dir || !c->o.dir[0])
		return call_fail(
			c->call, ERR_CONFIG,
			"say where the satellite lives: --dir DIR (usage: acre-satellite %s %s)",
			entry->name, entry->usage);
	if (c->args_count > entry->args_max)
		return call_fail(c->call, ERR_CONFIG,
				 "\"%s\" is too much (usage: acre-satellite %s %s)",
				 c->args[entry->args_max], entry->name, entry->usage);
	TRY_PLAIN(entry->run(c));
	return command_flush(c);
}

static enum err dispatch(struct command *c, int argc, char *argv[])
{
	int words = 0;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		add_overview(&c->out);
		return command_flush(c);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
		buf_add_str(&c->out, "acre-satellite " ACRE_VERSION "\n");
		return command_flush(c);
	}
	const struct command_entry *entry = find(argc - 1, argv + 1, &words);
	if (!entry)
		return no_command(c->call, argv[1]);
	c->argc = argc - 1 - words;
	c->argv = (const char *const *)argv + 1 + words;
	return run(c, entry);
}

int main(int argc, char *argv[])
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_cancel cancel;
	struct command c = { .call = &call, .out = BUF_INIT(COMMAND_OUTPUT_MAX) };

	os_memory_returns();
	call_init(&call);
	enum err e = os_cancel_init(&call, &cancel, NULL);
	if (!e) {
		os_raise_file_limit();
		os_signals_cancel(&cancel, NULL);
		call.cancel = &cancel;
		e = dispatch(&c, argc, argv);
		os_signals_cancel(NULL, NULL);
	}
	if (e)
		command_note("acre-satellite: %s", call_error(&call, e));
	buf_free_secret(&c.out);
	return err_exit_code(e);
}
