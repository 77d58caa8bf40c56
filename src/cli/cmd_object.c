/* Buckets and objects: mb, rb, ls, stat, rm, mv; the table also holds cp and cat (cmd_cp.c). */
#include "cli/cmd_object_internal.h"

#include <string.h>

static void project_end(UplinkProject *project)
{
	uplink_free_error(uplink_close_project(project));
	uplink_free_project_result((UplinkProjectResult){ .project = project });
}
DEFINE_AUTO_PTR(UplinkProject, cli_project_auto_, project_end)

void cli_project_auto(UplinkProject **project)
{
	cli_project_auto_(project);
}

static enum err cmd_mb(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;
	struct location l;

	TRY_PLAIN(location_parse_remote(cli, cli->args[0], false, &l));
	TRY_PLAIN(cli_project(cli, &project));
	UplinkBucketResult r = uplink_create_bucket(project, l.bucket);
	uplink_free_bucket(r.bucket);
	TRY_PLAIN(cli_error(cli, r.error));
	if (!cli->json)
		buf_printf(&cli->out, "Bucket \"%s\" created.\n", l.bucket);
	return OK;
}

static enum err cmd_rb(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;
	struct location l;

	TRY_PLAIN(location_parse_remote(cli, cli->args[0], false, &l));
	TRY_PLAIN(cli_project(cli, &project));
	UplinkBucketResult r = cli->o.force ? uplink_delete_bucket_with_objects(project, l.bucket)
					    : uplink_delete_bucket(project, l.bucket);
	uplink_free_bucket(r.bucket);
	if (r.error && r.error->code == UPLINK_ERROR_BUCKET_NOT_EMPTY) {
		uplink_free_error(r.error);
		return call_fail(&cli->call, ERR_PRECONDITION,
				 "bucket \"%s\" is not empty (--force removes what is in it, too)",
				 l.bucket);
	}
	TRY_PLAIN(cli_error(cli, r.error));
	if (!cli->json)
		buf_printf(&cli->out, "Bucket \"%s\" removed.\n", l.bucket);
	return OK;
}

/* ---- ls ---- */

static enum err list_buckets(struct cli *cli, UplinkProject *project)
{
	UplinkBucketIterator *it = uplink_list_buckets(project, NULL);
	bool head = !cli->json;
	enum err e = OK;

	while (!e && uplink_bucket_iterator_next(it)) {
		UplinkBucket *b = uplink_bucket_iterator_item(it);
		if (cli->json) {
			buf_add_str(&cli->out, "{\"kind\":\"BKT\",\"created\":\"");
			cli_add_time(&cli->out, b->created);
			buf_printf(&cli->out, "\",\"name\":\"%s\"}\n", b->name);
		} else {
			if (head)
				buf_printf(&cli->out, "%-24s%s\n", "CREATED", "NAME");
			head = false;
			cli_add_time(&cli->out, b->created);
			buf_printf(&cli->out, "    %s\n", b->name);
		}
		uplink_free_bucket(b);
		e = cli_flush(cli);
	}
	if (!e)
		e = cli_error(cli, uplink_bucket_iterator_err(it));
	uplink_free_bucket_iterator(it);
	return e;
}

/* As uplink: whole keys in a recursive listing, else relative to the prefix. */
static const char *shown_key(struct cli *cli, const char *prefix, const UplinkObject *o)
{
	size_t n = strlen(prefix);

	return !cli->o.recursive && strncmp(o->key, prefix, n) == 0 ? o->key + n : o->key;
}

static void add_entry_json(struct cli *cli, const char *prefix, const UplinkObject *o)
{
	struct buf *out = &cli->out;

	buf_printf(out, "{\"kind\":\"%s\",", o->is_prefix ? "PRE" : "OBJ");
	if (!o->is_prefix) {
		buf_add_str(out, "\"created\":\"");
		cli_add_time(out, o->system.created);
		buf_printf(out, "\",\"size\":%lld,", (long long)o->system.content_length);
		if (o->system.expires) {
			buf_add_str(out, "\"expires\":\"");
			cli_add_time(out, o->system.expires);
			buf_add_str(out, "\",");
		}
		if (o->custom.count) {
			buf_add_str(out, "\"metadata\":");
			cli_add_json_metadata(out, &o->custom);
			buf_add_byte(out, ',');
		}
	}
	cli_add_json_key(out, "key", shown_key(cli, prefix, o));
	buf_add_str(out, "}\n");
}

static void add_entry_tab(struct cli *cli, const char *prefix, const UplinkObject *o)
{
	struct buf *out = &cli->out;

	if (o->is_prefix) {
		buf_printf(out, "%-7s %-23s %-15s", "PRE", "", "");
		if (cli->o.expanded)
			buf_printf(out, "%-23s", "");
	} else {
		buf_add_str(out, "OBJ     ");
		cli_add_time(out, o->system.created);
		buf_printf(out, "    %-15lld", (long long)o->system.content_length);
		if (cli->o.expanded) {
			size_t start = out->len;
			cli_add_time(out, o->system.expires);
			while (out->len - start < 23 && !out->failed)
				buf_add_byte(out, ' ');
		}
	}
	cli_add_safe(out, shown_key(cli, prefix, o));
	buf_add_byte(out, '\n');
}

/* The part of a key up to and with its last '/': what can be listed. */
static const char *listable_prefix(struct cli *cli, const char *key)
{
	const char *base = location_base(key);

	return arena_str(&cli->call.scratch, BYTES(key, (size_t)(base - key)));
}

/* An empty listing with another passphrase looks like an empty bucket; say what it is. */
static void note_unreadable(uint64_t names)
{
	if (names)
		cli_note("%llu name%s here cannot be read with this access: stored with another "
			 "passphrase?",
			 (unsigned long long)names, names == 1 ? "" : "s");
}

static enum err list_objects(struct cli *cli, UplinkProject *project, const struct location *l)
{
	const char *prefix = listable_prefix(cli, l->key);
	UplinkListObjectsOptions options = {
		.prefix = prefix, .recursive = cli->o.recursive, .system = true, .custom = cli->json
	};
	bool head = !cli->json, any = false;
	enum err e = OK;

	UplinkObjectIterator *it = uplink_list_objects(project, l->bucket, &options);
	while (!e && uplink_object_iterator_next(it)) {
		UplinkObject *o = uplink_object_iterator_item(it);
		/* "sj://b/pre" lists what begins so in its folder: the object and the prefix
		 * "pre/". */
		if (strncmp(o->key, l->key, strlen(l->key)) == 0) {
			any = true;
			if (head)
				buf_printf(&cli->out, "%-8s%-24s%-15s%s%s\n", "KIND", "CREATED",
					   "SIZE", cli->o.expanded ? "EXPIRES                " : "",
					   "KEY");
			head = false;
			if (cli->json)
				add_entry_json(cli, prefix, o);
			else
				add_entry_tab(cli, prefix, o);
		}
		uplink_free_object(o);
		if (cli->out.len > CLI_BUFFER_BYTES / 4)
			e = cli_flush(cli);
	}
	if (!e)
		e = cli_error(cli, uplink_object_iterator_err(it));
	note_unreadable(acre_object_iterator_skipped(it));
	uplink_free_object_iterator(it);
	if (!e && !any && !location_is_folder(l))
		return call_fail(&cli->call, ERR_NOT_FOUND, "nothing at %s", location_text(cli, l));
	return e;
}

static enum err list_pending(struct cli *cli, UplinkProject *project, const struct location *l)
{
	UplinkListUploadsOptions options = { .prefix = listable_prefix(cli, l->key),
					     .recursive = cli->o.recursive,
					     .system = true };
	enum err e = OK;

	UplinkUploadIterator *it = uplink_list_uploads(project, l->bucket, &options);
	while (!e && uplink_upload_iterator_next(it)) {
		UplinkUploadInfo *u = uplink_upload_iterator_item(it);
		if (cli->json) {
			buf_printf(&cli->out, "{\"kind\":\"%s\",\"created\":\"",
				   u->is_prefix ? "PRE" : "OBJ");
			cli_add_time(&cli->out, u->system.created);
			buf_printf(&cli->out, "\",\"upload_id\":\"%s\",",
				   u->upload_id ? u->upload_id : "");
			cli_add_json_key(&cli->out, "key", u->key);
			buf_add_str(&cli->out, "}\n");
		} else {
			buf_printf(&cli->out, "%-8s", u->is_prefix ? "PRE" : "OBJ");
			cli_add_time(&cli->out, u->system.created);
			buf_add_str(&cli->out, "    ");
			cli_add_safe(&cli->out, u->key);
			buf_add_byte(&cli->out, '\n');
		}
		uplink_free_upload_info(u);
		e = cli_flush(cli);
	}
	if (!e)
		e = cli_error(cli, uplink_upload_iterator_err(it));
	uplink_free_upload_iterator(it);
	return e;
}

static enum err cmd_ls(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;
	struct location l = { 0 };

	if (!cli->args_count) {
		TRY_PLAIN(cli_project(cli, &project));
		return list_buckets(cli, project);
	}
	TRY_PLAIN(location_parse_remote(cli, cli->args[0], false, &l));
	TRY_PLAIN(cli_project(cli, &project));
	return cli->o.pending ? list_pending(cli, project, &l) : list_objects(cli, project, &l);
}

/* ---- stat ---- */

static enum err cmd_stat(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;
	struct location l;
	struct buf *out = &cli->out;

	TRY_PLAIN(location_parse_remote(cli, cli->args[0], false, &l));
	TRY_PLAIN(cli_project(cli, &project));
	if (!l.key[0]) {
		UplinkBucketResult b = uplink_stat_bucket(project, l.bucket);
		TRY_PLAIN(cli_error(cli, b.error));
		buf_printf(out,
			   cli->json ? "{\"bucket\":\"%s\",\"created\":\""
				     : "bucket   %s\ncreated  ",
			   b.bucket->name);
		cli_add_time(out, b.bucket->created);
		buf_add_str(out, cli->json ? "\"}\n" : "\n");
		uplink_free_bucket(b.bucket);
		return OK;
	}
	UplinkObjectResult r = uplink_stat_object(project, l.bucket, l.key);
	TRY_PLAIN(cli_error(cli, r.error));
	UplinkObject *o = r.object;
	if (cli->json) {
		buf_printf(out, "{\"bucket\":\"%s\",", l.bucket);
		cli_add_json_key(out, "key", o->key);
		buf_add_str(out, ",\"created\":\"");
		cli_add_time(out, o->system.created);
		buf_add_str(out, "\",\"expires\":");
		if (o->system.expires) {
			buf_add_byte(out, '"');
			cli_add_time(out, o->system.expires);
			buf_add_byte(out, '"');
		} else {
			buf_add_str(out, "null");
		}
		buf_printf(out,
			   ",\"size\":%lld,\"metadata\":", (long long)o->system.content_length);
		cli_add_json_metadata(out, &o->custom);
		buf_add_str(out, "}\n");
	} else {
		buf_add_str(out, "object   ");
		cli_add_safe(out, o->key);
		buf_printf(out, "\nbucket   %s\nsize     %lld\ncreated  ", l.bucket,
			   (long long)o->system.content_length);
		cli_add_time(out, o->system.created);
		buf_add_str(out, "\nexpires  ");
		cli_add_time(out, o->system.expires);
		buf_add_byte(out, '\n');
		for (size_t i = 0; i < o->custom.count; i++) {
			buf_add_str(out, "meta     ");
			cli_add_safe(out, o->custom.entries[i].key);
			buf_add_str(out, " = ");
			cli_add_safe(out, o->custom.entries[i].value);
			buf_add_byte(out, '\n');
		}
	}
	uplink_free_object(o);
	return OK;
}

/* ---- rm ---- */

static enum err remove_one(struct cli *cli, UplinkProject *project, const char *bucket,
			   const char *key)
{
	UplinkObjectResult r = uplink_delete_object(project, bucket, key);

	uplink_free_object(r.object);
	CLI_TRY(cli_error(cli, r.error), "remove sj://%s/%s", bucket, key);
	if (!cli->json) {
		buf_printf(&cli->out, "removed sj://%s/", bucket);
		cli_add_safe(&cli->out, key);
		buf_add_byte(&cli->out, '\n');
	}
	return cli_flush(cli);
}

enum err cli_each_object(struct cli *cli, UplinkProject *project, const struct location *l,
			 enum err (*each)(struct cli *cli, const UplinkObject *o, void *arg),
			 void *arg)
{
	UplinkListObjectsOptions options = { .prefix = listable_prefix(cli, l->key),
					     .recursive = true,
					     .system = true };
	size_t found = 0;
	enum err e = OK;

	UplinkObjectIterator *it = uplink_list_objects(project, l->bucket, &options);
	while (!e && uplink_object_iterator_next(it)) {
		UplinkObject *o = uplink_object_iterator_item(it);
		size_t n = strlen(l->key);
		/* "sj://b/dir" means dir and dir/..., not directory. */
		bool match = strncmp(o->key, l->key, n) == 0 &&
			     (n == 0 || l->key[n - 1] == '/' || o->key[n] == '/' || o->key[n] == 0);
		if (match) {
			found++;
			e = each(cli, o, arg);
		}
		uplink_free_object(o);
	}
	if (!e)
		e = cli_error(cli, uplink_object_iterator_err(it));
	uplink_free_object_iterator(it);
	if (!e && !found)
		return call_fail(&cli->call, ERR_NOT_FOUND, "nothing at %s", location_text(cli, l));
	return e;
}

struct removal {
	UplinkProject *project;
	const char *bucket;
};

static enum err remove_listed(struct cli *cli, const UplinkObject *o, void *arg)
{
	const struct removal *r = arg;

	if (cli->o.dry_run) {
		buf_printf(&cli->out, "would remove sj://%s/", r->bucket);
		cli_add_safe(&cli->out, o->key);
		buf_add_byte(&cli->out, '\n');
		return OK;
	}
	return remove_one(cli, r->project, r->bucket, o->key);
}

static enum err remove_pending(struct cli *cli, UplinkProject *project, const struct location *l)
{
	UplinkListUploadsOptions options = { .prefix = listable_prefix(cli, l->key),
					     .recursive = true };
	enum err e = OK;
	size_t n = 0;

	UplinkUploadIterator *it = uplink_list_uploads(project, l->bucket, &options);
	while (!e && uplink_upload_iterator_next(it)) {
		UplinkUploadInfo *u = uplink_upload_iterator_item(it);
		bool match = cli->o.recursive ? strncmp(u->key, l->key, strlen(l->key)) == 0
					      : strcmp(u->key, l->key) == 0;
		if (match && u->upload_id) {
			n++;
			e = cli_error(
				cli, uplink_abort_upload(project, l->bucket, u->key, u->upload_id));
		}
		uplink_free_upload_info(u);
	}
	if (!e)
		e = cli_error(cli, uplink_upload_iterator_err(it));
	uplink_free_upload_iterator(it);
	if (!e && !n)
		return call_fail(&cli->call, ERR_NOT_FOUND, "no pending upload at %s",
				 location_text(cli, l));
	if (!e && !cli->json)
		buf_printf(&cli->out, "%zu pending upload%s aborted\n", n, n == 1 ? "" : "s");
	return e;
}

static enum err cmd_rm(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;

	TRY_PLAIN(cli_project(cli, &project));
	for (size_t i = 0; i < cli->args_count; i++) {
		struct location l;
		TRY_PLAIN(location_parse_remote(cli, cli->args[i], !cli->o.recursive, &l));
		if (cli->o.pending) {
			TRY_PLAIN(remove_pending(cli, project, &l));
		} else if (cli->o.recursive) {
			struct removal r = { project, l.bucket };
			TRY_PLAIN(cli_each_object(cli, project, &l, remove_listed, &r));
		} else {
			TRY_PLAIN(remove_one(cli, project, l.bucket, l.key));
		}
	}
	return OK;
}

/* ---- mv ---- */

struct moving {
	UplinkProject *project;
	struct location from, to;
};

static enum err move_one(struct cli *cli, UplinkProject *project, const char *from_bucket,
			 const char *from_key, const char *to_bucket, const char *to_key)
{
	if (!cli->json)
		buf_printf(&cli->out, "%s sj://%s/%s to sj://%s/%s\n",
			   cli->o.dry_run ? "would move" : "move", from_bucket, from_key, to_bucket,
			   to_key);
	if (cli->o.dry_run)
		return OK;
	return cli_error(
		cli, uplink_move_object(project, from_bucket, from_key, to_bucket, to_key, NULL));
}

static enum err move_listed(struct cli *cli, const UplinkObject *o, void *arg)
{
	const struct moving *m = arg;
	const char *rest = o->key + strlen(m->from.key);

	while (rest[0] == '/' && !location_is_folder(&m->from))
		rest++;
	const char *key = arena_printf(&cli->call.scratch, "%s%s%s", m->to.key,
				       location_is_folder(&m->to) || !rest[0] ? "" : "/", rest);
	return move_one(cli, m->project, m->from.bucket, o->key, m->to.bucket, key);
}

static enum err cmd_mv(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;
	struct moving m = { 0 };

	TRY_PLAIN(location_parse_remote(cli, cli->args[0], !cli->o.recursive, &m.from));
	TRY_PLAIN(location_parse_remote(cli, cli->args[1], false, &m.to));
	TRY_PLAIN(cli_project(cli, &project));
	m.project = project;
	if (cli->o.recursive)
		return cli_each_object(cli, project, &m.from, move_listed, &m);
	const char *key = m.to.key;
	if (location_is_folder(&m.to))
		key = arena_printf(&cli->call.scratch, "%s%s", m.to.key, location_base(m.from.key));
	return move_one(cli, project, m.from.bucket, m.from.key, m.to.bucket, key);
}

/* ---- table ---- */

#define OPTION_RECURSIVE                                                                           \
	OPTION("recursive", recursive, 'r', PARAM_BOOL, NULL, "everything below, too")
#define OPTION_DRY_RUN                                                                             \
	OPTION("dry-run", dry_run, 0, PARAM_BOOL, NULL, "only say what would be done")
#define OPTIONS_TRANSFER                                                                           \
	OPTION("progress", progress, 0, PARAM_BOOL, NULL,                                          \
	       "show how far it is (on a terminal always)"),                                       \
		{ .name = "parallelism",                                                           \
		  .letter = 'p',                                                                   \
		  .type = PARAM_U64,                                                               \
		  .offset = offsetof(struct cli_options, parallelism),                             \
		  .default_text = "0",                                                             \
		  .max = 16,                                                                       \
		  .doc = "segments of one file under way at a time (0 = as it pays)" },            \
		OPTION("limit-rate", limit_rate, 0, PARAM_SIZE, NULL,                              \
		       "bytes a second to and from nodes, redundancy included (0 = no limit)"),    \
		{ .name = "connections",                                                           \
		  .type = PARAM_U64,                                                               \
		  .offset = offsetof(struct cli_options, connections),                             \
		  .default_text = "200",                                                           \
		  .min = 1,                                                                        \
		  .max = 4096,                                                                     \
		  .doc = "connections to nodes at a time (fewer for a small router)" },            \
		OPTION("segment-size", segment_size, 0, PARAM_SIZE, NULL,                          \
		       "cut uploads into segments of this size (for tests; 0 = 64MiB)"),           \
		OPTION("temp-dir", temp_dir, 0, PARAM_STR, NULL,                                   \
		       "where uploads keep encrypted data to send again")

static const struct param params_mb[] = { OPTIONS_COMMON };
static const struct param params_rb[] = {
	OPTIONS_COMMON,
	OPTION("force", force, 'f', PARAM_BOOL, NULL, "remove the objects in it, too"),
};
static const struct param params_ls[] = {
	OPTIONS_COMMON,
	OPTION_RECURSIVE,
	OPTION("expanded", expanded, 'x', PARAM_BOOL, NULL, "show when objects expire"),
	OPTION("pending", pending, 0, PARAM_BOOL, NULL, "uploads that are not committed"),
	OPTION("utc", utc, 0, PARAM_BOOL, "true", "times are always in UTC"),
};
static const struct param params_rm[] = {
	OPTIONS_COMMON,
	OPTION_RECURSIVE,
	OPTION_DRY_RUN,
	OPTION("pending", pending, 0, PARAM_BOOL, NULL, "abort uploads that are not committed"),
};
static const struct param params_mv[] = { OPTIONS_COMMON, OPTION_RECURSIVE, OPTION_DRY_RUN };
static const struct param params_cp[] = {
	OPTIONS_COMMON,
	OPTION_RECURSIVE,
	OPTION_DRY_RUN,
	OPTIONS_TRANSFER,
	{ .name = "transfers",
	  .letter = 't',
	  .type = PARAM_U64,
	  .offset = offsetof(struct cli_options, transfers),
	  .default_text = "1",
	  .min = 1,
	  .max = 64,
	  .doc = "files under way at a time" },
	OPTION("resume", resume, 0, PARAM_CHOICE, NULL,
	       "continue an interrupted transfer, and let this one be continued (else above "
	       "64MiB)"),
	OPTION("no-resume", no_resume, 0, PARAM_BOOL, NULL, "begin anew, keep nothing"),
	OPTION("range", range, 0, PARAM_STR, NULL,
	       "part of an object: bytes=0-99, bytes=100-, bytes=-50"),
	OPTION("expires", expires, 0, PARAM_STR, NULL, "the object ends then: +24h, a date"),
	OPTION("metadata", metadata, 0, PARAM_STR, NULL,
	       "JSON object of strings, kept with the object"),
};
static const struct param params_cat[] = {
	OPTIONS_COMMON,
	OPTIONS_TRANSFER,
	OPTION("range", range, 0, PARAM_STR, NULL,
	       "part of the object: bytes=0-99, bytes=100-, bytes=-50"),
};

const struct cli_command cli_commands_object[] = {
	{ "mb", "sj://BUCKET", "make a bucket", PARAM_SET(params_mb), cmd_mb, 1, 1 },
	{ "rb", "sj://BUCKET", "remove a bucket", PARAM_SET(params_rb), cmd_rb, 1, 1 },
	{ "ls", "[sj://BUCKET[/PREFIX]]", "list buckets or objects", PARAM_SET(params_ls), cmd_ls,
	  0, 1 },
	{ "cp", "FROM... TO",
	  "copy files: sj://bucket/key, a path, or - for standard input or output",
	  PARAM_SET(params_cp), cmd_cp, 2, CLI_SOURCES_MAX },
	{ "mv", "sj://BUCKET/KEY sj://BUCKET/KEY", "move or rename objects, nothing is transferred",
	  PARAM_SET(params_mv), cmd_mv, 2, 2 },
	{ "rm", "sj://BUCKET/KEY...", "remove objects", PARAM_SET(params_rm), cmd_rm, 1,
	  CLI_SOURCES_MAX },
	{ "cat", "sj://BUCKET/KEY...", "write objects to standard output", PARAM_SET(params_cat),
	  cmd_cat, 1, CLI_SOURCES_MAX },
	{ "stat", "sj://BUCKET[/KEY]", "what is known of an object or bucket", PARAM_SET(params_mb),
	  cmd_stat, 1, 1 },
	{ 0 },
};
