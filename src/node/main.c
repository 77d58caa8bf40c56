/* acre-node: setup, run, status. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node.h"
#include "node/node_status.h"
#include "node/settings.h"
#include "os/cancel.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"

enum { OUTPUT_MAX = 1 << 20, CHORE_THREADS_MAX = 8 };

static enum err print(struct call *call, const struct buf *text)
{
	TRY(buf_status(text), "output");
	return os_file_write(call, os_stdout(), buf_bytes(text));
}

static void progress(void *arg, uint64_t tried, uint64_t expected)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "\r%llu keys tried, about %llu are needed ",
			 (unsigned long long)tried, (unsigned long long)expected);

	if (n > 0 && os_stderr_is_terminal())
		os_stderr_line(BYTES(line, (size_t)n));
	*(bool *)arg = true;
}

static enum err setup(struct call *call, const struct settings *s)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);
	bool told = false;
	struct node_setup how = { .difficulty = (unsigned)s->difficulty,
				  .progress = progress,
				  .progress_arg = &told };
	struct node_id id;
	char id_text[NODE_ID_TEXT_MAX];

	TRY_PLAIN(node_create(call, s->dir, &s->node, &how, &id));
	/* The config is written last: a directory with one is a whole node. */
	TRY_PLAIN(settings_write(call, s));
	node_id_text(&id, id_text);
	if (told && os_stderr_is_terminal())
		buf_add_byte(&text, '\n');
	buf_printf(&text, "node %s\n", id_text);
	buf_printf(&text, "settings: %s/config\n", s->dir);
	buf_printf(&text,
		   "keep %s/ca in a safe place, away from this machine: the node never needs "
		   "it\n",
		   s->dir);
	buf_printf(&text, "start it with: acre-node run --dir %s\n", s->dir);
	return print(call, &text);
}

static enum err run(struct call *call, const struct settings *s)
{
	struct chores *chores = NULL;
	struct node *node = NULL;
	enum log_level level;

	if (log_parse_level(s->node.log_level, &level))
		return call_fail(call, ERR_CONFIG,
				 "log-level: \"%s\" is not debug, info, warn, error or none",
				 s->node.log_level);
	log_set_level(level);
	TRY_PLAIN(chores_new(call, CHORE_THREADS_MAX, &chores));
	enum err e = node_open(call, s->dir, &s->node, chores, &node);
	if (!e)
		e = node_start(call, node);
	if (!e)
		e = node_wait(call, node);
	node_stop(node);
	chores_free(chores);
	if (!e)
		log_info("node stopped");
	return e;
}

static enum err status(struct call *call, const struct settings *s)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);

	TRY_PLAIN(node_status_print(call, s->dir, s->json, &text));
	return print(call, &text);
}

static const struct {
	const char *name;
	enum err (*run)(struct call *call, const struct settings *s);
	bool with_file;
	const char *doc;
} commands[] = {
	{ "setup", setup, false, "makes a node: identity, settings, storage directory" },
	{ "run", run, true, "runs it until SIGTERM" },
	{ "status", status, false, "shows how it is" },
};

static enum err help(struct call *call)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);

	buf_add_str(&text, "usage: acre-node setup|run|status --dir DIR [settings]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		buf_printf(&text, "  %-8s %s\n", commands[i].name, commands[i].doc);
	buf_add_str(&text, "\nsettings (in DIR/config, or as flags):\n");
	param_add_help(&text, settings_all());
	return print(call, &text);
}

static enum err dispatch(struct call *call, int argc, const char *const argv[])
{
	AUTO(arena_free) struct arena a = { 0 };
	struct settings s;

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		TRY_PLAIN(settings_read(call, &a, argc - 2, argv + 2, commands[i].with_file, &s));
		return s.help ? help(call) : commands[i].run(call, &s);
	}
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
			 strcmp(argv[1], "help") == 0))
		return help(call);
	return call_fail(call, ERR_CONFIG,
			 "want a command: setup, run or status (acre-node --help)");
}

int main(int argc, char *argv[])
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_cancel cancel;

	os_memory_returns();
	call_init(&call);
	enum err e = os_cancel_init(&call, &cancel, NULL);
	if (!e) {
		os_raise_file_limit();
		os_signals_cancel(&cancel, NULL);
		call.cancel = &cancel;
		e = dispatch(&call, argc, (const char *const *)argv);
		os_signals_cancel(NULL, NULL);
	}
	if (!e)
		return 0;
	AUTO_BUF struct buf line = BUF_INIT(CALL_ERROR_MAX + 64);
	buf_printf(&line, "acre-node: %s\n", call_error(&call, e));
	os_stderr_line(buf_bytes(&line));
	return 1;
}
