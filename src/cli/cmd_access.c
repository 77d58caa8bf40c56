/* acre setup, acre access ..., acre share. */
#include "cli/cli.h"

#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "os/file.h"
#include "os/process.h"

static enum err parse_grant(struct cli *cli, const char *grant, UplinkAccess **ret)
{
	UplinkAccessResult r = uplink_parse_access(grant);

	TRY_PLAIN(cli_error(cli, r.error));
	*ret = r.access;
	return OK;
}

static void free_access(UplinkAccess *access)
{
	uplink_free_access_result((UplinkAccessResult){ .access = access });
}
DEFINE_AUTO_PTR(UplinkAccess, access_auto, free_access)

static enum err serialize(struct cli *cli, UplinkAccess *access, const char **ret)
{
	UplinkStringResult r = uplink_access_serialize(access);

	TRY_PLAIN(cli_error(cli, r.error));
	const char *text = arena_str(&cli->call.scratch, bytes_str(r.string));
	uplink_free_string_result(r);
	if (!text)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	*ret = text;
	return OK;
}

/* A grant looks like base58 of some length; names are shorter. */
static bool looks_like_grant(const char *text)
{
	return strlen(text) > 100;
}

enum err cli_access(struct cli *cli, UplinkAccess **ret)
{
	const char *given = cli->o.access, *grant = NULL;

	if (!given || !given[0])
		given = os_getenv("ACRE_ACCESS");
	if (!given || !given[0])
		given = os_getenv("UPLINK_ACCESS");
	if (given && !given[0])
		given = NULL;
	if (given && looks_like_grant(given)) {
		CLI_TRY(parse_grant(cli, given, ret), "the access grant given");
		return OK;
	}
	enum err e = access_store_get(cli, given, &grant);
	if (e == ERR_NOT_FOUND && given) {
		/* Neither a name nor long enough for a grant: say both, it may be a cut one. */
		return call_fail(
			&cli->call, ERR_NOT_FOUND,
			"\"%.40s%s\" is neither the name of a stored access nor a whole access "
			"grant (was it cut short?)",
			given, strlen(given) > 40 ? "..." : "");
	}
	TRY_PLAIN(e);
	CLI_TRY(parse_grant(cli, grant, ret), "stored access \"%s\"", given ? given : "default");
	return OK;
}

AcreConfig cli_config(const struct cli *cli)
{
	return (AcreConfig){
		.uplink = { .user_agent = "acre", .temp_directory = cli->o.temp_dir },
		.cancel = cli->cancel,
		.parallelism = (uint32_t)cli->o.parallelism,
		.segment_size = cli->o.segment_size,
		.connections_max = (uint32_t)cli->o.connections,
		.upload_rate_max = cli->o.limit_rate,
		.download_rate_max = cli->o.limit_rate,
		.unencrypted_object_keys = cli->o.unencrypted_object_keys,
	};
}

enum err cli_project(struct cli *cli, UplinkProject **ret)
{
	AUTO(access_auto) UplinkAccess *access = NULL;
	AcreConfig config = cli_config(cli);

	TRY_PLAIN(cli_access(cli, &access));
	UplinkProjectResult r = acre_open_project(&config, access);
	TRY_PLAIN(cli_error(cli, r.error));
	*ret = r.project;
	return OK;
}

/* ---- making grants ---- */

static enum err read_passphrase(struct cli *cli, struct buf *ret)
{
	const char *env = os_getenv("ACRE_PASSPHRASE");
	AUTO_SECRET_BUF struct buf again = BUF_INIT(1024);

	if (!env)
		env = os_getenv("UPLINK_PASSPHRASE");
	if (cli->o.passphrase_stdin) {
		for (;;) {
			char c;
			size_t n;
			TRY_PLAIN(os_file_read(&cli->call, os_stdin(), &c, 1, &n));
			if (n == 0 || c == '\n')
				break;
			buf_add_byte(ret, (uint8_t)c);
		}
		if (ret->len && ret->data[ret->len - 1] == '\r')
			ret->len--;
	} else if (env) {
		buf_add_str(ret, env);
	} else {
		TRY_PLAIN(os_ask_secret(&cli->call,
					"Passphrase (it encrypts your files; nobody can reset it)",
					ret));
		TRY_PLAIN(os_ask_secret(&cli->call, "The same again", &again));
		if (!bytes_equal(buf_bytes(ret), buf_bytes(&again)))
			return call_fail(&cli->call, ERR_INVALID, "the passphrases differ");
	}
	if (ret->len == 0)
		return call_fail(&cli->call, ERR_INVALID,
				 "the passphrase is empty: it is what keeps your files private");
	return buf_status(ret);
}

static enum err keep_grant(struct cli *cli, const char *grant, bool print)
{
	if (cli->o.export_to)
		TRY_PLAIN(os_file_write_all(&cli->call, cli->o.export_to, bytes_str(grant), true));
	if (cli->o.import_as) {
		TRY_PLAIN(access_store_put(cli, cli->o.import_as, grant, cli->o.force, false));
		cli_note("stored as \"%s\"", cli->o.import_as);
	}
	if (print && !cli->o.export_to && !cli->o.import_as)
		buf_printf(&cli->out, "%s\n", grant);
	return OK;
}

static enum err ask_line(struct cli *cli, const char *prompt, const char **ret)
{
	AUTO_BUF struct buf line = BUF_INIT(CLI_GRANT_MAX);
	char c;
	size_t n;

	if (!os_stdin_is_terminal())
		return call_fail(&cli->call, ERR_CONFIG, "%s is missing (see --help)", prompt);
	buf_printf(&cli->out, "%s: ", prompt);
	TRY_PLAIN(cli_flush(cli));
	for (;;) {
		TRY_PLAIN(os_file_read(&cli->call, os_stdin(), &c, 1, &n));
		if (n == 0 || c == '\n')
			break;
		buf_add_byte(&line, (uint8_t)c);
	}
	*ret = arena_str(&cli->call.scratch, bytes_str(buf_cstr(&line)));
	if (!*ret || !**ret)
		return call_fail(&cli->call, ERR_CONFIG, "%s is needed", prompt);
	return OK;
}

static enum err make_grant(struct cli *cli, const char **ret)
{
	AUTO_SECRET_BUF struct buf passphrase = BUF_INIT(1024);
	AUTO(access_auto) UplinkAccess *access = NULL;
	AcreConfig config = cli_config(cli);
	const char *env;

	if (!cli->o.satellite_address && (env = os_getenv("ACRE_SATELLITE")))
		cli->o.satellite_address = env;
	if (!cli->o.api_key && (env = os_getenv("ACRE_API_KEY")))
		cli->o.api_key = env;
	if (!cli->o.satellite_address)
		TRY_PLAIN(ask_line(cli, "Satellite address (id@host:port)",
				   &cli->o.satellite_address));
	if (!cli->o.api_key)
		TRY_PLAIN(ask_line(cli, "API key", &cli->o.api_key));
	TRY_PLAIN(read_passphrase(cli, &passphrase));
	UplinkAccessResult r = acre_request_access(&config, cli->o.satellite_address,
						   cli->o.api_key, buf_cstr(&passphrase));
	TRY_PLAIN(cli_error(cli, r.error));
	access = r.access;
	return serialize(cli, access, ret);
}

static enum err cmd_setup(struct cli *cli)
{
	const char *grant, *name = cli->o.import_as ? cli->o.import_as : "main";

	TRY_PLAIN(make_grant(cli, &grant));
	TRY_PLAIN(access_store_put(cli, name, grant, cli->o.force, true));
	cli_note("stored as \"%s\", which is used from now on.  Try: acre ls", name);
	return OK;
}

static enum err cmd_access_create(struct cli *cli)
{
	const char *grant;

	TRY_PLAIN(make_grant(cli, &grant));
	return keep_grant(cli, grant, true);
}

static enum err cmd_access_import(struct cli *cli)
{
	AUTO(access_auto) UplinkAccess *access = NULL;
	AUTO_SECRET_BUF struct buf text = BUF_INIT(CLI_GRANT_MAX);
	const char *name = cli->args[0], *grant = cli->args[1];

	/* The grant itself, a file that holds it, or "-". */
	if (strcmp(grant, "-") == 0) {
		size_t n = 1;
		while (n && buf_reserve(&text, 4096)) {
			TRY_PLAIN(os_file_read(&cli->call, os_stdin(), text.data + text.len, 4096,
					       &n));
			text.len += n;
		}
		grant = NULL;
	} else if (!looks_like_grant(grant)) {
		CLI_TRY(os_file_read_all(&cli->call, grant, &text),
			"\"%.40s\" is no whole access grant, and as a file", grant);
		grant = NULL;
	}
	if (!grant) {
		while (text.len && strchr(" \r\n\t", text.data[text.len - 1]))
			text.len--;
		grant = buf_cstr(&text);
	}
	CLI_TRY(parse_grant(cli, grant, &access), "import");
	TRY_PLAIN(access_store_put(cli, name, grant, cli->o.force, false));
	cli_note("stored as \"%s\"", name);
	return OK;
}

static enum err cmd_access_export(struct cli *cli)
{
	const char *grant;

	TRY_PLAIN(access_store_get(cli, cli->args_count ? cli->args[0] : NULL, &grant));
	cli->o.import_as = NULL;
	return keep_grant(cli, grant, true);
}

static enum err cmd_access_list(struct cli *cli)
{
	struct access_store_list list;

	TRY_PLAIN(access_store_list(cli, &list));
	if (!cli->json && list.count)
		buf_printf(&cli->out, "%-8s%-24s%s\n", "CURRENT", "NAME", "SATELLITE");
	for (size_t i = 0; i < list.count; i++) {
		AUTO(access_auto) UplinkAccess *access = NULL;
		bool used = list.used && strcmp(list.used, list.names[i]) == 0;
		UplinkStringResult r = { 0 };
		const char *satellite = "(damaged)";
		if (parse_grant(cli, list.grants[i], &access) == OK) {
			r = uplink_access_satellite_address(access);
			if (r.string)
				satellite = r.string;
		}
		if (cli->json) {
			buf_printf(&cli->out, "{\"name\":\"%s\",\"used\":%s,", list.names[i],
				   used ? "true" : "false");
			cli_add_json_key(&cli->out, "satellite", satellite);
			buf_add_str(&cli->out, "}\n");
		} else {
			buf_printf(&cli->out, "%-8s%-24s", used ? "*" : "", list.names[i]);
			cli_add_safe(&cli->out, satellite);
			buf_add_byte(&cli->out, '\n');
		}
		uplink_free_string_result(r);
	}
	return OK;
}

static enum err cmd_access_inspect(struct cli *cli)
{
	AUTO(access_auto) UplinkAccess *access = NULL;

	if (cli->args_count)
		cli->o.access = cli->args[0];
	TRY_PLAIN(cli_access(cli, &access));
	UplinkStringResult r = acre_access_inspect(access);
	TRY_PLAIN(cli_error(cli, r.error));
	buf_printf(&cli->out, "%s\n", r.string);
	uplink_free_string_result(r);
	return OK;
}

static enum err cmd_access_use(struct cli *cli)
{
	TRY_PLAIN(access_store_use(cli, cli->args[0]));
	cli_note("\"%s\" is used from now on", cli->args[0]);
	return OK;
}

static enum err cmd_access_remove(struct cli *cli)
{
	return access_store_remove(cli, cli->args[0]);
}

static enum err cmd_access_revoke(struct cli *cli)
{
	AUTO(access_auto) UplinkAccess *revoked = NULL;
	UplinkProject *project;

	CLI_TRY(parse_grant(cli, cli->args[0], &revoked), "the grant to revoke");
	TRY_PLAIN(cli_project(cli, &project));
	enum err e = cli_error(cli, uplink_revoke_access(project, revoked));
	uplink_free_project_result((UplinkProjectResult){ .project = project });
	TRY_PLAIN(e);
	cli_note("revoked; it may take the satellite some minutes to forget what it remembered");
	return OK;
}

/* ---- restricting ---- */

/* What was said, else what the summary flags imply. */
static bool disallowed(enum param_choice said, bool implied)
{
	return said == PARAM_OPEN ? implied : said == PARAM_YES;
}

static enum err permission(struct cli *cli, AcrePermission *ret)
{
	const struct cli_options *o = &cli->o;
	/* Shares are read-only unless told otherwise; --writeonly alone tells otherwise for
	 * uploads. */
	bool no_writes = disallowed(o->readonly, !o->writeonly),
	     no_deletes = disallowed(o->readonly, true);

	*ret = (AcrePermission){
		.uplink = {
			.allow_download = !disallowed(o->disallow_reads, o->writeonly),
			.allow_list = !disallowed(o->disallow_lists, o->writeonly),
			.allow_upload = !disallowed(o->disallow_writes, no_writes),
			.allow_delete = !disallowed(o->disallow_deletes, no_deletes),
		},
		.max_object_ttl_seconds = o->max_object_ttl / NS_PER_SEC,
	};
	if (o->not_before)
		TRY_PLAIN(
			cli_parse_time(cli, "not-before", o->not_before, &ret->uplink.not_before));
	if (o->not_after)
		TRY_PLAIN(cli_parse_time(cli, "not-after", o->not_after, &ret->uplink.not_after));
	return OK;
}

/* Dollars to millionths of them. */
static enum err read_spend(struct cli *cli, const char *text, int64_t *ret)
{
	const char *point = strchr(text, '.');
	size_t whole = point ? (size_t)(point - text) : strlen(text);
	uint64_t dollars = 0, part = 0, unit = 1000000;

	if (text_u64(BYTES(text, whole), INT64_MAX / 10000000, &dollars) ||
	    (point && (strlen(point + 1) > 6 || text_u64(bytes_str(point + 1), 999999, &part))))
		return call_fail(&cli->call, ERR_CONFIG,
				 "--limit-spend: \"%s\" are no dollars, such as 2.50", text);
	for (size_t i = 0; point && i < strlen(point + 1); i++)
		unit /= 10;
	*ret = (int64_t)(dollars * 1000000 + part * unit);
	return OK;
}

/* The grant with the limits asked for, if any. */
static enum err limited(struct cli *cli, UplinkAccess **access)
{
	const struct cli_options *o = &cli->o;
	AcreLimits l = {
		.storage_bytes = (int64_t)MIN(o->limit_storage, (uint64_t)INT64_MAX),
		.egress_bytes = (int64_t)MIN(o->limit_egress, (uint64_t)INT64_MAX),
		.downloads = (int64_t)MIN(o->limit_downloads, (uint64_t)INT64_MAX),
		.monthly = o->limit_monthly,
	};

	if (o->limit_spend)
		TRY_PLAIN(read_spend(cli, o->limit_spend, &l.spend_micro_dollars));
	if (!l.storage_bytes && !l.egress_bytes && !l.downloads && !l.spend_micro_dollars)
		return l.monthly ? call_fail(&cli->call, ERR_CONFIG,
					     "--limit-monthly needs a limit beside it")
				 : OK;
	UplinkAccessResult r = acre_access_limit(*access, l);
	TRY_PLAIN(cli_error(cli, r.error));
	free_access(*access);
	*access = r.access;
	return OK;
}

static enum err restrict_to(struct cli *cli, const char *const *prefixes, size_t count,
			    AcrePermission *ret_permission, const char **ret_grant)
{
	AUTO(access_auto) UplinkAccess *access = NULL, *shared = NULL;
	UplinkSharePrefix *list = arena_array(&cli->call.scratch, count + 1, sizeof(*list));

	if (!list)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct location l;
		TRY_PLAIN(location_parse_remote(cli, prefixes[i], false, &l));
		list[i] = (UplinkSharePrefix){ .bucket = l.bucket, .prefix = l.key };
	}
	TRY_PLAIN(permission(cli, ret_permission));
	TRY_PLAIN(cli_access(cli, &access));
	UplinkAccessResult r = acre_access_share(access, *ret_permission, list, count);
	TRY_PLAIN(cli_error(cli, r.error));
	shared = r.access;
	TRY_PLAIN(limited(cli, &shared));
	return serialize(cli, shared, ret_grant);
}

static enum err cmd_access_restrict(struct cli *cli)
{
	AcrePermission p;
	const char *grant;

	TRY_PLAIN(restrict_to(cli, cli->o.prefix.items, cli->o.prefix.count, &p, &grant));
	return keep_grant(cli, grant, true);
}

static void describe(struct cli *cli, const AcrePermission *p)
{
	struct buf *out = &cli->out;

	buf_printf(out, "Shared with this access grant:\n");
	for (size_t i = 0; i < cli->args_count; i++)
		buf_printf(out, "  %s\n", cli->args[i]);
	buf_printf(out, "  download %s, upload %s, list %s, delete %s\n",
		   p->uplink.allow_download ? "yes" : "no", p->uplink.allow_upload ? "yes" : "no",
		   p->uplink.allow_list ? "yes" : "no", p->uplink.allow_delete ? "yes" : "no");
	if (p->uplink.not_before) {
		buf_add_str(out, "  from  ");
		cli_add_time(out, p->uplink.not_before);
		buf_add_byte(out, '\n');
	}
	if (p->uplink.not_after) {
		buf_add_str(out, "  until ");
		cli_add_time(out, p->uplink.not_after);
		buf_add_byte(out, '\n');
	}
	buf_add_str(out, "Whoever has it can do this and no more.  Made on this machine; no one "
			 "was asked.\n\n");
}

static enum err cmd_share(struct cli *cli)
{
	AcrePermission p;
	const char *grant;

	TRY_PLAIN(restrict_to(cli, cli->args, cli->args_count, &p, &grant));
	if (cli->json) {
		buf_printf(&cli->out, "{\"access\":\"%s\"}\n", grant);
		return OK;
	}
	if (!cli->o.export_to && !cli->o.import_as)
		describe(cli, &p);
	return keep_grant(cli, grant, true);
}

#define OPTIONS_KEEP                                                                               \
	OPTION("import-as", import_as, 0, PARAM_STR, NULL, "store the access under this name"),    \
		OPTION("export-to", export_to, 0, PARAM_STR, NULL,                                 \
		       "write the access to this file (mode 0600)"),                               \
		OPTION("force", force, 'f', PARAM_BOOL, NULL,                                      \
		       "replace a stored access of that name")
#define OPTIONS_MAKE                                                                               \
	OPTION("satellite-address", satellite_address, 0, PARAM_STR, NULL,                         \
	       "node URL of the satellite, id@host:port (else $ACRE_SATELLITE)"),                  \
		OPTION("api-key", api_key, 0, PARAM_STR, NULL,                                     \
		       "API key from the satellite (else $ACRE_API_KEY)"),                         \
		OPTION("passphrase-stdin", passphrase_stdin, 0, PARAM_BOOL, NULL,                  \
		       "read the passphrase from standard input (else $ACRE_PASSPHRASE, or "       \
		       "asked)"),                                                                  \
		OPTION("unencrypted-object-keys", unencrypted_object_keys, 0, PARAM_BOOL, NULL,    \
		       "leave object names readable to the satellite (content stays encrypted)")
#define OPTIONS_RESTRICT                                                                           \
	OPTION("readonly", readonly, 0, PARAM_CHOICE, NULL,                                        \
	       "no uploads, no deletes (the default)"),                                            \
		OPTION("writeonly", writeonly, 0, PARAM_BOOL, NULL, "uploads only"),               \
		OPTION("disallow-reads", disallow_reads, 0, PARAM_CHOICE, NULL, "no downloads"),   \
		OPTION("disallow-writes", disallow_writes, 0, PARAM_CHOICE, NULL, "no uploads"),   \
		OPTION("disallow-lists", disallow_lists, 0, PARAM_CHOICE, NULL, "no listings"),    \
		OPTION("disallow-deletes", disallow_deletes, 0, PARAM_CHOICE, NULL,                \
		       "no removals"),                                                             \
		OPTION("not-before", not_before, 0, PARAM_STR, NULL,                               \
		       "valid from then on: +2h, now, a date"),                                    \
		OPTION("not-after", not_after, 0, PARAM_STR, NULL,                                 \
		       "valid until then: +24h, a date, none"),                                    \
		OPTION("max-object-ttl", max_object_ttl, 0, PARAM_DURATION, NULL,                  \
		       "objects uploaded with it end after this time at the latest"),              \
		OPTION("limit-storage", limit_storage, 0, PARAM_SIZE, NULL,                        \
		       "bytes it may store at a time; these limits need an Acre satellite"),       \
		OPTION("limit-egress", limit_egress, 0, PARAM_SIZE, NULL,                          \
		       "bytes it may download"),                                                   \
		OPTION("limit-downloads", limit_downloads, 0, PARAM_U64, NULL,                     \
		       "objects it may download"),                                                 \
		OPTION("limit-spend", limit_spend, 0, PARAM_STR, NULL,                             \
		       "dollars it may cost, at the satellite's prices"),                          \
		OPTION("limit-monthly", limit_monthly, 0, PARAM_BOOL, NULL,                        \
		       "the limits but storage begin anew each month")

static const struct param params_common[] = { OPTIONS_COMMON };
static const struct param params_setup[] = { OPTIONS_COMMON, OPTIONS_MAKE, OPTIONS_KEEP };
static const struct param params_keep[] = { OPTIONS_COMMON, OPTIONS_KEEP };
static const struct param params_share[] = { OPTIONS_COMMON, OPTIONS_RESTRICT, OPTIONS_KEEP };
static const struct param params_restrict[] = {
	OPTIONS_COMMON,
	OPTIONS_RESTRICT,
	OPTIONS_KEEP,
	OPTION("prefix", prefix, 0, PARAM_LIST, NULL, "limit to sj://bucket/prefix; may repeat"),
};

const struct cli_command cli_commands_access[] = {
	{ "setup", "", "ask what is needed and store a first access", PARAM_SET(params_setup),
	  cmd_setup, 0, 0 },
	{ "share", "sj://BUCKET[/PREFIX]...", "make a restricted access grant to give away",
	  PARAM_SET(params_share), cmd_share, 1, 100 },
	{ "access create", "", "make an access grant from API key and passphrase",
	  PARAM_SET(params_setup), cmd_access_create, 0, 0 },
	{ "access import", "NAME GRANT|FILE|-", "store an access grant", PARAM_SET(params_keep),
	  cmd_access_import, 2, 2 },
	{ "access export", "[NAME]", "print a stored access grant (it is a secret)",
	  PARAM_SET(params_keep), cmd_access_export, 0, 1 },
	{ "access list", "", "the stored accesses", PARAM_SET(params_common), cmd_access_list, 0,
	  0 },
	{ "access inspect", "[NAME|GRANT]", "what an access allows (no secrets are shown)",
	  PARAM_SET(params_common), cmd_access_inspect, 0, 1 },
	{ "access restrict", "", "make a restricted access grant", PARAM_SET(params_restrict),
	  cmd_access_restrict, 0, 0 },
	{ "access revoke", "GRANT", "end a grant that was derived from yours",
	  PARAM_SET(params_common), cmd_access_revoke, 1, 1 },
	{ "access use", "NAME", "make a stored access the default", PARAM_SET(params_common),
	  cmd_access_use, 1, 1 },
	{ "access remove", "NAME", "forget a stored access", PARAM_SET(params_common),
	  cmd_access_remove, 1, 1 },
	{ 0 },
};
