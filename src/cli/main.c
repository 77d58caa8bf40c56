/* acre: finds the command, reads its options, runs it, tells what went wrong. */
#include <string.h>

#include "base/num.h"
#include "cli/cli.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"

enum { USAGE_WIDTH = 44, PROGRAM_NAME_MAX = 64 };

static const struct cli_command *const tables[] = { cli_commands_object, cli_commands_access,
						    cli_commands_dev };

/* Words of the command at the front of argv: "access create" takes two. */
static const struct cli_command *find(int argc, const char *const argv[], int *ret_words)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct cli_command *c = tables[t]; c->name; c++) {
			const char *space = strchr(c->name, ' ');
			size_t n = space ? (size_t)(space - c->name) : strlen(c->name);
			if (strlen(argv[0]) != n || strncmp(c->name, argv[0], n) != 0)
				continue;
			if (space && (argc < 2 || strcmp(space + 1, argv[1]) != 0))
				continue;
			*ret_words = space ? 2 : 1;
			return c;
		}
	return NULL;
}

static void add_overview(struct buf *out, const char *group)
{
	buf_add_str(out, "usage: acre COMMAND [OPTIONS] [ARGUMENTS]\n\n");
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct cli_command *c = tables[t]; c->name; c++) {
			size_t start = out->len;
			if (group && strncmp(c->name, group, strlen(group)) != 0)
				continue;
			buf_printf(out, "  %s %s", c->name, c->usage);
			do {
				buf_add_byte(out, ' ');
			} while (out->len - start < USAGE_WIDTH && !out->failed);
			buf_printf(out, "%s\n", c->summary);
		}
	buf_add_str(out, "\nacre COMMAND --help tells more.  \"acre node ...\" and \"acre "
			 "satellite ...\" run "
			 "acre-node and acre-satellite.\n");
}

static enum err help(struct cli *cli, const struct cli_command *c)
{
	buf_printf(&cli->out, "usage: acre %s [OPTIONS] %s\n\n%s.\n\n", c->name, c->usage,
		   c->summary);
	param_add_help(&cli->out, c->params);
	return cli_flush(cli);
}

static enum err run(struct cli *cli, const struct cli_command *c, int argc,
		    const char *const argv[])
{
	struct arena *a = &cli->call.scratch;
	enum log_level level;

	cli->params = c->params;
	TRY_PLAIN(param_defaults(&cli->call, a, c->params, &cli->o));
	cli->o.progress = os_stderr_is_terminal();
	TRY_PLAIN(param_read_args(&cli->call, a, c->params, &cli->o, argc, argv, &cli->args,
				  &cli->args_count));
	if (cli->o.help)
		return help(cli, c);
	if (strcmp(cli->o.output, "json") != 0 && strncmp("tabbed", cli->o.output, 3) != 0)
		return call_fail(&cli->call, ERR_CONFIG, "output: \"%s\" is not tab or json",
				 cli->o.output);
	cli->json = strcmp(cli->o.output, "json") == 0;
	if (log_parse_level(cli->o.log_level, &level))
		return call_fail(&cli->call, ERR_CONFIG, "log-level: \"%s\" is no level",
				 cli->o.log_level);
	log_set_level(level);
	if (cli->args_count < c->args_min || cli->args_count > c->args_max)
		return call_fail(&cli->call, ERR_CONFIG, "usage: acre %s [OPTIONS] %s", c->name,
				 c->usage);
	enum err e = c->run(cli);
	/* What was printed so far is true even when the command then failed. */
	struct call flush;
	call_init(&flush);
	if (cli->out.len && !cli->out.failed &&
	    os_file_write(&flush, os_stdout(), buf_bytes(&cli->out)) && !e) {
		e = ERR_IO;
		call_copy_error(&cli->call, &flush);
	}
	call_fini(&flush);
	return e;
}

/* acre X runs the acre-X beside this program, and no other (DESIGN 2). */
static enum err run_beside(struct cli *cli, const char *name, int argc, char *argv[])
{
	const char *dir;
	size_t n = strlen(name);

	if (n > PROGRAM_NAME_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return call_fail(&cli->call, ERR_CONFIG,
				 "\"%.64s\" is no command (see acre --help)", name);
	TRY_PLAIN(os_program_dir(&cli->call, &dir));
	char *path = arena_printf(&cli->call.scratch, "%s/acre-%s", dir, name);
	char **args = arena_array(&cli->call.scratch, (size_t)argc + 1, sizeof(*args));
	if (!path || !args)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	args[0] = path;
	for (int i = 1; i < argc; i++)
		args[i] = argv[i];
	enum err e = os_exec(&cli->call, path, args);
	if (e == ERR_NOT_FOUND)
		return call_fail(&cli->call, ERR_CONFIG, "\"%s\" is no command (see acre --help)",
				 name);
	return e;
}

/* The cancel object the signal handler reaches; programs have one. */
static AcreCancel *interrupted;

static void on_interrupt(void)
{
	acre_cancel_set(interrupted);
}

static enum err dispatch(struct cli *cli, int argc, char *argv[])
{
	const char *const *words = (const char *const *)argv;
	int used = 0;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		add_overview(&cli->out, NULL);
		return cli_flush(cli);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
		buf_printf(&cli->out, "acre %s\n", acre_version());
		return cli_flush(cli);
	}
	const struct cli_command *c = find(argc - 1, words + 1, &used);
	if (c)
		return run(cli, c, argc - 1 - used, words + 1 + used);
	if (strcmp(argv[1], "access") == 0 || strcmp(argv[1], "dev") == 0 ||
	    strcmp(argv[1], "identity") == 0) {
		add_overview(&cli->out, argv[1]);
		TRY_PLAIN(cli_flush(cli));
		if (argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
			return OK;
		return call_fail(&cli->call, ERR_CONFIG,
				 "\"acre %s\" needs one of the commands above", argv[1]);
	}
	return run_beside(cli, argv[1], argc - 1, argv + 1);
}

int main(int argc, char *argv[])
{
	struct cli cli = { .out = BUF_INIT(CLI_OUT_MAX) };
	struct os_cancel signal_cancel;
	enum err e;

	os_memory_returns();
	call_init(&cli.call);
	cli.cancel = interrupted = acre_cancel_new();
	e = cli.cancel ? os_cancel_init(&cli.call, &signal_cancel, NULL) : ERR_NO_MEMORY;
	if (!e) {
		os_raise_file_limit();
		os_signals_cancel(&signal_cancel, on_interrupt);
		cli.call.cancel = &signal_cancel;
		e = dispatch(&cli, argc, argv);
		os_signals_cancel(NULL, NULL);
	}
	if (e) {
		AUTO_BUF struct buf safe = BUF_INIT(4096);
		cli_add_safe(&safe, call_error(&cli.call, e));
		cli_note("acre: %s", e == ERR_CANCELED ? "interrupted" : buf_cstr(&safe));
	}
	buf_free(&cli.out);
	call_fini(&cli.call);
	return err_exit_code(e);
}
