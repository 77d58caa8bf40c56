/* acre-satellite setup: an identity, a database, a config file with every setting explained. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/file.h"
#include "os/process.h"
#include "satellite/admin.h"
#include "satellite/command.h"

enum { CONFIG_FILE_MAX = 64 << 10 };

/* The certificate authority's key goes here; the daemon never opens it. */
#define OFFLINE_DIR "keep-offline"

static bool flag_given(const struct command *c, const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; i < c->argc; i++)
		if (strncmp(c->argv[i], "--", 2) == 0 && strncmp(c->argv[i] + 2, name, n) == 0 &&
		    (c->argv[i][2 + n] == 0 || c->argv[i][2 + n] == '='))
			return true;
	return false;
}

static enum err check_new(struct command *c)
{
	const char *path = os_path_join(c->call, c->o.dir, "config");
	struct os_stat st;

	enum err e = os_stat(c->call, path, &st);
	if (e == OK)
		return call_fail(c->call, ERR_EXISTS,
				 "%s exists: there is a satellite in %s already; run it with "
				 "\"acre-satellite run --dir %s\", or choose another directory",
				 path, c->o.dir, c->o.dir);
	if (e != ERR_NOT_FOUND)
		return e;
	call_clear_error(c->call);
	return os_dir_make(c->call, c->o.dir, true);
}

/* Settings from the flags alone, over the development preset if that was asked for. */
static enum err settings(struct command *c)
{
	struct arena *a = &c->call->scratch;

	if (c->o.config.development) {
		TRY_PLAIN(satellite_config_development(c->call, a, c->set, &c->o));
		TRY_PLAIN(param_read_args(c->call, a, c->set, &c->o, c->argc, c->argv, &c->args,
					  &c->args_count));
	}
	if (c->o.nodes == 0)
		return call_fail(c->call, ERR_CONFIG, "nodes: at least one node is needed");
	return OK;
}

static enum err choose_code(struct command *c)
{
	struct code_choice choices[CODE_CHOICES];

	if (flag_given(c, "rs")) {
		struct scheme r;
		TRY_PLAIN(redundancy_parse(c->call, c->o.config.rs, &r));
		if (flag_given(c, "nodes") && r.total > c->o.nodes)
			command_note(
				"note: code %s places %u pieces, but only %llu nodes are expected; "
				"uploads will find too few nodes",
				c->o.config.rs, r.total, (unsigned long long)c->o.nodes);
		return OK;
	}
	code_propose(c->o.nodes, choices);
	const struct scheme *r = &choices[1].code;
	c->o.config.rs = arena_printf(&c->call->scratch, "%u/%u/%u/%u", r->required, r->repair,
				      r->success, r->total);
	if (!c->o.config.rs)
		return call_fail(c->call, ERR_NO_MEMORY, "out of memory");
	buf_printf(&c->out, "Code for %llu node%s (k/m/o/n: any k pieces give a file back):\n",
		   (unsigned long long)c->o.nodes, c->o.nodes == 1 ? "" : "s");
	for (unsigned i = 0; i < CODE_CHOICES; i++)
		code_describe(&c->out, &choices[i], c->o.nodes);
	buf_printf(&c->out,
		   "Taken: %s.  Another one: setting \"rs\" in the config file, or --rs.\n\n",
		   c->o.config.rs);
	return OK;
}

static void show_progress(void *arg, uint64_t tried, uint64_t expected)
{
	if (os_stderr_is_terminal())
		command_note("searching for an identity: %llu keys tried, about %llu expected",
			     (unsigned long long)tried, (unsigned long long)expected);
}

/* The leaf's files come out of the authority's directory into the satellite's. */
static enum err make_identity(struct command *c)
{
	static const char *const files[] = { "identity.key", "identity.cert" };
	const char *offline = os_path_join(c->call, c->o.dir, OFFLINE_DIR);
	struct identity_search search = { .difficulty = (unsigned)MIN(c->o.difficulty, 64U),
					  .progress = show_progress };
	struct node_id id;
	struct os_stat st;

	/* One that was brought along, or left by a setup that did not get to its end. */
	if (os_stat(c->call, os_path_join(c->call, c->o.dir, "identity.cert"), &st) == OK)
		return OK;
	call_clear_error(c->call);
	TRY_PLAIN(identity_create(c->call, offline, &search, &id));
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		TRY_PLAIN(os_rename(c->call, os_path_join(c->call, offline, files[i]),
				    os_path_join(c->call, c->o.dir, files[i])));
	TRY_PLAIN(os_dir_sync(c->call, offline));
	return os_dir_sync(c->call, c->o.dir);
}

static enum err write_config(struct command *c)
{
	AUTO_BUF struct buf text = BUF_INIT(CONFIG_FILE_MAX);
	const struct param_set all = { satellite_params, satellite_params_count };

	buf_add_str(&text,
		    "# Settings of this satellite.  A line that begins with # is a comment; each "
		    "setting shows its\n# default until the # in front is taken away.  "
		    "\"acre-satellite run\" takes the same as flags.\n\n");
	param_add_config(&text, all, &c->o);
	TRY_PLAIN(buf_status(&text));
	return os_file_write_all(c->call, os_path_join(c->call, c->o.dir, "config"),
				 buf_bytes(&text), true);
}

static enum err finish(struct command *c)
{
	struct satellite *sat = NULL;
	char id[NODE_ID_TEXT_MAX];

	/* Opening makes the database and its secrets, and shows that all of it works. */
	TRY_PLAIN(admin_token_make(c->call, c->o.dir));
	TRY_PLAIN(satellite_open(c->call, &c->o.config, &sat));
	node_id_text(&sat->id, id);
	satellite_close(sat);
	buf_printf(&c->out,
		   "Satellite %s is ready in %s.\n"
		   "  start it:        acre-satellite run --dir %s\n"
		   "  address for all: acre-satellite url --dir %s\n"
		   "  a project:       acre-satellite project create --dir %s --name NAME\n"
		   "  a key for it:    acre-satellite apikey create --dir %s --project NAME\n"
		   "Move %s/" OFFLINE_DIR
		   " to a safe place that is not this machine: its ca.key can make "
		   "this identity again, and the satellite never needs it.\n",
		   id, c->o.dir, c->o.dir, c->o.dir, c->o.dir, c->o.dir, c->o.dir);
	return OK;
}

enum err command_setup(struct command *c)
{
	struct command_options file;

	TRY_PLAIN(settings(c));
	TRY_PLAIN(choose_code(c));
	/* The file keeps what was said; what follows from it (the default database) is not in it.
	 */
	file = c->o;
	TRY_PLAIN(satellite_config_complete(c->call, &c->call->scratch, &c->o.config, c->o.dir));
	TRY_PLAIN(check_new(c));
	TRY_PLAIN(make_identity(c));
	TRY_PLAIN(finish(c));
	c->o = file;
	/* Last: without this file there is no satellite yet, and setup can be repeated. */
	return write_config(c);
}
