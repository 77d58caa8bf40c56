/*
 * acre cp and acre cat.  The sources become a list of single copies first, so that the total is
 * known; then up to --transfers of them run at a time, each with a call of its own.  One that fails
 * does not stop the others; the worst outcome is the command's.
 */
#include "cli/cmd_object_internal.h"
#include "cli/cp_file.h"

#include <jansson.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/pool.h"
#include "os/process.h"

enum { DEPTH_MAX = 64, FILES_MAX = 10000000 };

struct copy {
	struct copy *next;
	struct location from, to;
	uint64_t size;
};

struct copying {
	struct cli *cli;
	struct cp cp;
	struct copy *first, **last;
	size_t count;
	uint64_t bytes;
	/* Running: */
	struct os_mutex lock; /* protects what follows, and the cli's output */
	struct copy *todo;
	size_t done, failed;
	enum err worst;
	char worst_text[CALL_ERROR_MAX];
};

static void copying_end(struct copying *c)
{
	os_mutex_fini(&c->lock);
}

/* ---- options ---- */

/* An HTTP byte range: "bytes=0-99", "bytes=100-", "bytes=-50"; the word may be left out. */
static enum err parse_range(struct cli *cli, const char *text, UplinkDownloadOptions *ret)
{
	uint64_t first, last;

	if (strncmp(text, "bytes=", 6) == 0)
		text += 6;
	const char *dash = strchr(text, '-');
	if (!dash)
		goto wrong;
	struct bytes a = BYTES(text, (size_t)(dash - text)), b = bytes_str(dash + 1);
	if (a.len == 0) {
		if (text_u64(b, INT64_MAX, &last) || last == 0)
			goto wrong;
		*ret = (UplinkDownloadOptions){ .offset = -(int64_t)last, .length = -1 };
		return OK;
	}
	if (text_u64(a, INT64_MAX - 1, &first))
		goto wrong;
	*ret = (UplinkDownloadOptions){ .offset = (int64_t)first, .length = -1 };
	if (b.len == 0)
		return OK;
	if (text_u64(b, INT64_MAX - 1, &last) || last < first)
		goto wrong;
	ret->length = (int64_t)(last - first + 1);
	return OK;
wrong:
	return call_fail(&cli->call, ERR_CONFIG,
			 "range: \"%s\" is no range (want bytes=0-99, bytes=100- or bytes=-50)",
			 text);
}

static void json_auto(json_t **j)
{
	json_decref(*j);
}

static enum err parse_metadata(struct cli *cli, const char *text, UplinkCustomMetadata *ret)
{
	AUTO(json_auto) json_t *root = json_loads(text, 0, NULL);
	struct arena *a = &cli->call.scratch;
	const char *key;
	json_t *value;
	size_t i = 0;

	if (!json_is_object(root))
		return call_fail(
			&cli->call, ERR_CONFIG,
			"metadata: want one JSON object of strings, such as {\"type\":\"a\"}");
	ret->entries = arena_array(a, json_object_size(root) + 1, sizeof(*ret->entries));
	json_object_foreach(root, key, value)
	{
		if (!json_is_string(value))
			return call_fail(&cli->call, ERR_CONFIG, "metadata: \"%s\" is not a string",
					 key);
		if (!ret->entries)
			return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
		ret->entries[i++] = (UplinkCustomMetadataEntry){
			arena_str(a, bytes_str(key)),
			strlen(key),
			arena_str(a, BYTES(json_string_value(value), json_string_length(value))),
			json_string_length(value),
		};
	}
	ret->count = i;
	return OK;
}

static enum err parse_options(struct cli *cli, struct copying *c)
{
	c->cp.download = (UplinkDownloadOptions){ .offset = 0, .length = -1 };
	c->cp.whole = !cli->o.range;
	c->cp.expires_text = cli->o.expires;
	if (cli->o.range)
		TRY_PLAIN(parse_range(cli, cli->o.range, &c->cp.download));
	if (cli->o.metadata)
		TRY_PLAIN(parse_metadata(cli, cli->o.metadata, &c->cp.metadata));
	if (cli->o.expires) {
		TRY_PLAIN(cli_parse_time(cli, "expires", cli->o.expires, &c->cp.upload.expires));
		if (c->cp.upload.expires && c->cp.upload.expires <= os_clock_unix_ns() / NS_PER_SEC)
			return call_fail(&cli->call, ERR_CONFIG, "expires: \"%s\" is past",
					 cli->o.expires);
	}
	return OK;
}

/* ---- the list of copies ---- */

static enum err add_copy(struct copying *c, struct location from, struct location to, uint64_t size)
{
	struct copy *copy = arena_alloc(&c->cli->call.scratch, sizeof(*copy));

	if (!copy || c->count == FILES_MAX)
		return call_fail(&c->cli->call, ERR_EXHAUSTED, "too many files for one command");
	*copy = (struct copy){ .from = from, .to = to, .size = size };
	*c->last = copy;
	c->last = &copy->next;
	c->count++;
	c->bytes += size;
	return OK;
}

/* dir/name, or bucket/prefix/name, with one slash between. */
static enum err below(struct cli *cli, const struct location *dir, const char *name,
		      struct location *ret)
{
	const char *base = dir->kind == LOCATION_REMOTE ? dir->key : dir->path;
	const char *slash = location_is_folder(dir) ? "" : "/";
	const char *joined = arena_printf(&cli->call.scratch, "%s%s%s", base, slash, name);

	if (!joined)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	*ret = *dir;
	if (dir->kind == LOCATION_REMOTE)
		ret->key = joined;
	else
		ret->path = joined;
	return OK;
}

/* Keys that would leave the target directory, or that no file system can hold. */
static enum err check_local_name(struct cli *cli, const char *name)
{
	for (const char *p = name; *p; p = strchr(p, '/') ? strchr(p, '/') + 1 : "") {
		size_t n = strcspn(p, "/");
		bool dots = (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
		if (n == 0 || dots)
			return call_fail(
				&cli->call, ERR_INVALID,
				"\"%s\" cannot be a file name here (copy it alone, giving a name)",
				name);
	}
	if (!name[0] || name[strlen(name) - 1] == '/')
		return call_fail(&cli->call, ERR_INVALID, "\"%s\" cannot be a file name here",
				 name);
	return OK;
}

/* Walks a directory without recursion: the stack holds what is still to be read. */
static enum err add_directory(struct copying *c, const struct location *from,
			      const struct location *to)
{
	struct dir {
		struct dir *next;
		const char *path, *name; /* name relative to the source */
		unsigned depth;
	};
	struct cli *cli = c->cli;
	struct arena *a = &cli->call.scratch;
	struct dir *stack = arena_alloc(a, sizeof(*stack));

	if (!stack)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	*stack = (struct dir){ NULL, from->path, "", 0 };
	while (stack) {
		struct dir *d = stack;
		const char **names;
		size_t count;
		stack = d->next;
		if (d->depth > DEPTH_MAX)
			return call_fail(&cli->call, ERR_INVALID,
					 "%s is nested too deep (a circle of links?)", d->path);
		TRY_PLAIN(os_dir_list(&cli->call, a, d->path, &names, &count));
		for (size_t i = 0; i < count; i++) {
			const char *path = os_path_join(&cli->call, d->path, names[i]);
			const char *name = d->name[0] ? os_path_join(&cli->call, d->name, names[i])
						      : names[i];
			struct os_stat st;
			struct location l, target;
			if (os_stat(&cli->call, path, &st)) {
				cli_note("skipped: %s", call_error(&cli->call, ERR_IO));
				call_clear_error(&cli->call);
				continue;
			}
			if (st.is_dir) {
				struct dir *sub = arena_alloc(a, sizeof(*sub));
				if (!sub)
					return call_fail(&cli->call, ERR_NO_MEMORY,
							 "out of memory");
				*sub = (struct dir){ stack, path, name, d->depth + 1 };
				stack = sub;
			} else if (st.is_regular) {
				TRY_PLAIN(location_parse(cli, path, &l));
				l = (struct location){ LOCATION_LOCAL, path, "", "" };
				TRY_PLAIN(below(cli, to, name, &target));
				TRY_PLAIN(add_copy(c, l, target, st.size));
			} else {
				cli_note("skipped: %s is no regular file", path);
			}
		}
	}
	return OK;
}

struct listing {
	struct copying *c;
	const struct location *from, *to;
};

static enum err add_listed(struct cli *cli, const UplinkObject *o, void *arg)
{
	struct listing *l = arg;
	struct location from = *l->from, to;
	const char *rest = o->key + strlen(l->from->key);

	while (rest[0] == '/' && !location_is_folder(l->from))
		rest++;
	if (!rest[0])
		rest = location_base(o->key);
	if (l->to->kind == LOCATION_LOCAL)
		TRY_PLAIN(check_local_name(cli, rest));
	from.key = arena_str(&cli->call.scratch, bytes_str(o->key));
	if (!from.key)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(below(cli, l->to, rest, &to));
	return add_copy(l->c, from, to, (uint64_t)o->system.content_length);
}

/* The target of one source: itself, or a name below it when it is a folder. */
static enum err single_target(struct copying *c, const struct location *from, bool many,
			      const struct location *to, struct location *ret)
{
	struct cli *cli = c->cli;
	struct os_stat st;
	bool folder = location_is_folder(to);
	const char *base = from->kind == LOCATION_REMOTE  ? location_base(from->key)
			   : from->kind == LOCATION_LOCAL ? location_base(from->path)
							  : "";

	if (to->kind == LOCATION_LOCAL && !folder) {
		folder = os_stat(&cli->call, to->path, &st) == OK && st.is_dir;
		call_clear_error(&cli->call);
	}
	*ret = *to;
	if (to->kind == LOCATION_STD || (!folder && !many))
		return OK;
	if (!folder)
		return call_fail(
			&cli->call, ERR_CONFIG,
			"with several sources the target must be a folder (end it with /)");
	if (!base[0])
		return call_fail(&cli->call, ERR_CONFIG,
				 "what should %s be called in %s? give the whole name",
				 location_text(cli, from), location_text(cli, to));
	return below(cli, to, base, ret);
}

static enum err add_source(struct copying *c, const char *text, bool many,
			   const struct location *to)
{
	struct cli *cli = c->cli;
	struct location from, target;
	struct os_stat st = { 0 };

	TRY_PLAIN(location_parse(cli, text, &from));
	if (from.kind == LOCATION_LOCAL) {
		TRY_PLAIN(os_stat(&cli->call, from.path, &st));
		if (st.is_dir && !cli->o.recursive)
			return call_fail(&cli->call, ERR_CONFIG, "%s is a directory (give -r)",
					 from.path);
		if (st.is_dir)
			return add_directory(c, &from, to);
	} else if (from.kind == LOCATION_REMOTE && cli->o.recursive) {
		struct listing l = { c, &from, to };
		if (to->kind == LOCATION_STD)
			return call_fail(&cli->call, ERR_CONFIG,
					 "many objects do not fit into standard output");
		return cli_each_object(cli, c->cp.project, &from, add_listed, &l);
	} else if (from.kind == LOCATION_REMOTE && !from.key[0]) {
		return call_fail(&cli->call, ERR_CONFIG, "%s is a bucket (give -r for all in it)",
				 text);
	}
	TRY_PLAIN(single_target(c, &from, many, to, &target));
	return add_copy(c, from, target, st.size);
}

/* ---- one copy ---- */

static enum err copy_remote(struct copying *c, struct cli *own, const struct copy *copy)
{
	UplinkObjectResult r = uplink_copy_object(c->cp.project, copy->from.bucket, copy->from.key,
						  copy->to.bucket, copy->to.key, NULL);

	uplink_free_object(r.object);
	TRY_PLAIN(cli_error(own, r.error));
	progress_add(c->cp.progress, (int64_t)copy->size);
	return OK;
}

static enum err copy_one(struct copying *c, struct cli *own, const struct copy *copy,
			 uint8_t *block)
{
	const char *name = copy->from.kind == LOCATION_REMOTE ? copy->from.key : copy->from.path;

	progress_name(c->cp.progress,
		      copy->from.kind == LOCATION_STD ? "standard input" : location_base(name));
	if (copy->from.kind == LOCATION_REMOTE && copy->to.kind == LOCATION_REMOTE)
		return copy_remote(c, own, copy);
	if (copy->to.kind == LOCATION_REMOTE)
		return cp_upload(own, &c->cp, &copy->from, &copy->to);
	return cp_download(own, &c->cp, &copy->from, &copy->to, block);
}

static void run_copies(void *arg)
{
	struct copying *c = arg;
	/* A cli of its own, for the call and its error text; options are shared and constant. */
	struct cli own = { .o = c->cli->o, .cancel = c->cli->cancel, .out = BUF_INIT(0) };
	uint8_t *block = malloc(CP_BLOCK_BYTES);

	for (;;) {
		os_mutex_lock(&c->lock);
		struct copy *copy = block ? c->todo : NULL;
		if (copy)
			c->todo = copy->next;
		os_mutex_unlock(&c->lock);
		if (!copy)
			break;
		call_init_child(&own.call, &c->cli->call);
		enum err e = copy_one(c, &own, copy, block);
		os_mutex_lock(&c->lock);
		if (!e) {
			c->done++;
		} else {
			c->failed++;
			const char *from = location_text(&own, &copy->from);
			call_wrap(&own.call, e, "%s", from);
			if (c->count > 1 && e != ERR_CANCELED)
				cli_note("failed: %s", own.call.error);
			if (!c->worst)
				memcpy(c->worst_text, own.call.error, sizeof(c->worst_text));
			c->worst = c->worst ? c->worst : e;
			if (e == ERR_CANCELED)
				c->todo = NULL;
		}
		os_mutex_unlock(&c->lock);
		call_fini(&own.call);
	}
	free(block);
}

static void describe(struct copying *c)
{
	struct cli *cli = c->cli;

	for (struct copy *copy = c->first; copy; copy = copy->next) {
		buf_add_str(&cli->out, "would copy ");
		cli_add_safe(&cli->out, location_text(cli, &copy->from));
		buf_add_str(&cli->out, " to ");
		cli_add_safe(&cli->out, location_text(cli, &copy->to));
		buf_add_byte(&cli->out, '\n');
	}
}

static enum err run_all(struct copying *c, const char *title)
{
	struct cli *cli = c->cli;
	struct os_pool *pool;
	size_t workers = MIN((size_t)cli->o.transfers, c->count);

	if (cli->o.dry_run) {
		describe(c);
		return OK;
	}
	c->todo = c->first;
	c->cp.progress = progress_new(cli, title, c->bytes);
	if (workers <= 1) {
		run_copies(c);
	} else {
		TRY_PLAIN(os_pool_new(&cli->call, "copy", (unsigned)workers, (unsigned)workers,
				      &pool));
		enum err e = OK;
		for (size_t i = 0; i < workers && !e; i++)
			e = os_pool_submit(&cli->call, pool, run_copies, c);
		os_pool_free(pool);
		if (e && !c->done && !c->failed)
			return e;
	}
	progress_end(c->cp.progress, !c->failed);
	if (!c->failed)
		return OK;
	if (c->count > 1)
		return call_fail(&cli->call, c->worst, "%zu of %zu failed; the first: %s",
				 c->failed, c->count, c->worst_text);
	return call_fail(&cli->call, c->worst, "%s", c->worst_text);
}

enum err cmd_cp(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;
	AUTO(copying_end) struct copying c = { .cli = cli, .last = &c.first };
	struct location to;
	size_t sources = cli->args_count - 1;

	TRY_PLAIN(location_parse(cli, cli->args[sources], &to));
	TRY_PLAIN(parse_options(cli, &c));
	/* What is wrong with the arguments is said before anybody is asked. */
	for (size_t i = 0; i < sources; i++) {
		struct location from;
		TRY_PLAIN(location_parse(cli, cli->args[i], &from));
		if (from.kind != LOCATION_REMOTE && to.kind != LOCATION_REMOTE)
			return call_fail(&cli->call, ERR_CONFIG,
					 "one side must be remote (sj://bucket/key); to copy files "
					 "here, use cp");
	}
	TRY_PLAIN(cli_project(cli, &project));
	c.cp.project = project;
	TRY_PLAIN(cp_resume_init(cli, &c.cp));
	for (size_t i = 0; i < sources; i++)
		TRY_PLAIN(add_source(&c, cli->args[i], sources > 1, &to));
	if (to.kind == LOCATION_STD)
		cli->o.progress = false;
	return run_all(&c, to.kind == LOCATION_REMOTE ? "upload" : "download");
}

enum err cmd_cat(struct cli *cli)
{
	AUTO(cli_project_auto) UplinkProject *project = NULL;
	AUTO(copying_end) struct copying c = { .cli = cli, .last = &c.first };
	struct location to = { LOCATION_STD, "-", "", "" };

	cli->o.transfers = 1;
	cli->o.progress = false;
	TRY_PLAIN(parse_options(cli, &c));
	for (size_t i = 0; i < cli->args_count; i++) {
		struct location from;
		TRY_PLAIN(location_parse_remote(cli, cli->args[i], true, &from));
		TRY_PLAIN(add_copy(&c, from, to, 0));
	}
	TRY_PLAIN(cli_project(cli, &project));
	c.cp.project = project;
	return run_all(&c, "cat");
}
