/* acre-node: setup, run, and what asks a running one. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "node/control.h"
#include "node/farm.h"
#include "node/import.h"
#include "node/leave.h"
#include "node/node.h"
#include "node/service.h"
#include "node/settings.h"
#include "node/setup_ask.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/event.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"
#include "os/socket.h"

/* Of the node that the package's systemd unit runs. */

enum { OUTPUT_MAX = 1 << 20 };

/* Of a command: its flags, and what is none. */
struct args {
	int argc;
	const char *const *argv;
	const char **rest;
	size_t count;
};

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

/* Settings of the node that is to be: an operator may come with a file of Storj's node. */
static enum err setup_settings(struct call *call, struct arena *a, const char *dir,
			       const struct args *args, struct settings *ret, bool *ret_have_file)
{
	const struct settings_source source = {
		.argc = args->argc, .argv = args->argv, .node_dir = dir, .node_optional = true
	};
	struct os_stat st;

	*ret_have_file = os_stat(call, os_path_join(call, dir, "config.yaml"), &st) == OK;
	call_clear_error(call);
	return settings_load(call, a, &source, ret);
}

static bool wants_service(const struct settings *s)
{
	return strcmp(s->service, "yes") == 0;
}

static void tell_setup(struct buf *text, const struct settings *s, const struct node_id *id,
		       bool have_file)
{
	char id_text[NODE_ID_TEXT_MAX];

	node_id_text(id, id_text);
	buf_printf(text, "node %s\n", id_text);
	buf_printf(text, "settings: %s/%s\n", s->dir, have_file ? "config.yaml" : "config");
	buf_printf(text,
		   "keep %s/ca in a safe place, away from this machine: the node never needs "
		   "it\n",
		   s->dir);
	if (!s->node.external_address[0] &&
	    bytes_has_prefix(bytes_str(s->node.address), bytes_str("127.")))
		buf_printf(
			text,
			"it listens on %s, which only this machine reaches: for all the world set "
			"\"address = 0.0.0.0:28967\"\nand \"external-address = "
			"HOST:28967\" in its settings, with the name or address that others "
			"reach it by\n",
			s->node.address);
	if (wants_service(s))
		return;
	if (strcmp(s->dir, SETTINGS_PACKAGE_DIR) == 0)
		buf_add_str(text, "start it with: systemctl enable --now acre-node\n");
	else
		buf_printf(text, "start it with: acre-node run --dir %s\n", s->dir);
}

/* ---- import ---- */

struct import_progress {
	int64_t begun_ns, told_ns;
	bool told;
};

static void add_import_figures(struct buf *text, const struct import_figures *f)
{
	buf_printf(text, "%llu pieces taken over (", (unsigned long long)f->taken);
	text_add_size(text, f->bytes);
	buf_printf(text, "), %llu here before", (unsigned long long)f->present);
}

static void add_import_result(struct buf *text, const struct import_figures *f)
{
	add_import_figures(text, f);
	buf_printf(text,
		   "\nleft out: %llu expired, %llu of uploads that never ended, %llu damaged%s\n",
		   (unsigned long long)f->expired, (unsigned long long)f->partial,
		   (unsigned long long)f->damaged, f->damaged ? " (named above)" : "");
	if (!f->headless)
		return;
	buf_printf(text, "left where they are: %llu pieces of before 2019 (",
		   (unsigned long long)f->headless);
	text_add_size(text, f->headless_bytes);
	buf_add_str(text, "), which have neither hash nor signature; satellites that ask for them "
			  "will be told \"not found\"\n");
}

static void import_progress(void *arg, const struct import_figures *f, const char *where)
{
	AUTO_BUF struct buf line = BUF_INIT(OUTPUT_MAX);
	struct import_progress *p = arg;
	int64_t now = os_clock_mono_ns(), passed = MAX(now - p->begun_ns, NS_PER_SEC);

	if (!os_stderr_is_terminal() || now - p->told_ns < NS_PER_SEC)
		return;
	p->told_ns = now;
	p->told = true;
	buf_add_str(&line, "\r\033[K");
	add_import_figures(&line, f);
	buf_add_str(&line, ", ");
	text_add_size(&line, (uint64_t)((double)f->bytes / (double)passed * (double)NS_PER_SEC));
	buf_add_str(&line, "/s");
	os_stderr_line(buf_bytes(&line));
	(void)where;
}

static enum err import(struct call *call, const struct settings *flags, const struct args *args)
{
	AUTO(arena_free) struct arena a = { 0 };
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);
	const struct settings_source source = { .argc = args->argc,
						.argv = args->argv,
						.node_dir = flags->dir };
	struct import_progress progress = { .begun_ns = os_clock_mono_ns() };
	struct import_figures f = { 0 };
	uint64_t orders = 0;
	struct settings s;

	TRY_PLAIN(settings_load(call, &a, &source, &s));
	const struct node_import how = { .from = s.from,
					 .logs = s.from_logs,
					 .tables = s.from_tables,
					 .orders = s.from_orders,
					 .orders_taken = &orders,
					 .move = s.move,
					 .later = s.later,
					 .progress = import_progress,
					 .progress_arg = &progress };
	enum err e = node_import(call, s.dir, &s.node, &how, &f);
	if (progress.told)
		buf_add_byte(&text, '\n');
	if (orders)
		buf_printf(&text, "%llu orders taken over, to be settled\n",
			   (unsigned long long)orders);
	if (s.later && !e)
		buf_printf(&text, "\"acre-node run --dir %s\" takes them over while it serves\n",
			   s.dir);
	else
		add_import_result(&text, &f);
	TRY_PLAIN(print(call, &text));
	TRY(e, "not all is taken over (run it again to go on)");
	return OK;
}

/* Whose the node's files are to be, and who runs it. */
static enum err make_service(struct call *call, const struct settings *s, struct buf *text)
{
	const char *dir = s->dir, *programs = NULL;

	TRY_PLAIN(os_program_dir(call, &programs));
	const struct service service = {
		.dir = dir,
		.storage = s->node.storage[0] ? s->node.storage
					      : os_path_join(call, dir, "storage"),
		.identity = s->node.identity[0] ? s->node.identity
						: os_path_join(call, dir, "identity"),
		.user = s->user,
		.program = os_path_join(call, programs, "acre-node"),
		.root = s->root,
	};
	return wants_service(s) ? service_install(call, &service, text)
				: service_follow_owner(call, &service);
}

static enum err check_service(struct call *call, const struct settings *s)
{
	if (s->service[0] && !wants_service(s) && strcmp(s->service, "no") != 0)
		return call_fail(call, ERR_CONFIG, "service: want yes or no");
	if (!wants_service(s))
		return OK;
	if (!s->root[0] && !service_possible(call))
		return call_fail(call, ERR_CONFIG,
				 "service: that takes root, and systemd running this machine");
	if (s->dir[0] != '/')
		return call_fail(call, ERR_CONFIG, "service: give --dir as a whole path");
	return OK;
}

static enum err setup(struct call *call, const struct settings *flags, const struct args *args)
{
	AUTO(arena_free) struct arena a = { 0 };
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);
	bool told = false, have_file = false;
	struct settings s;
	struct node_id id;

	TRY_PLAIN(setup_settings(call, &a, flags->dir, args, &s, &have_file));
	if (!have_file && setup_can_ask())
		TRY_PLAIN(setup_ask(call, &a, args->argc, args->argv, &s));
	TRY_PLAIN(check_service(call, &s));
	struct node_setup how = { .difficulty = (unsigned)s.difficulty,
				  .progress = progress,
				  .progress_arg = &told };
	TRY_PLAIN(node_create(call, s.dir, &s.node, &how, &id));
	/* The config is written last: a directory with one is a whole node. */
	if (!have_file)
		TRY_PLAIN(settings_write(call, &s));
	if (told && os_stderr_is_terminal())
		buf_add_byte(&text, '\n');
	tell_setup(&text, &s, &id, have_file);
	enum err e = make_service(call, &s, &text);
	TRY_PLAIN(print(call, &text));
	TRY(e, "the node is made, but %s",
	    wants_service(&s) ? "not its service" : "its files are root's");
	return OK;
}

/* SIGHUP asks for a reload; everything else comes by the control socket. */
static void wait_for_end(struct call *call, struct farm *farm, struct os_event *reload)
{
	unsigned ready;

	while (os_fd_wait(call, reload->fd, OS_WANT_READ, &ready) == OK) {
		AUTO_CALL struct call own = CALL_INIT;
		AUTO_BUF struct buf notes = BUF_INIT(OUTPUT_MAX);
		os_event_clear(reload);
		enum err e = farm_reload(&own, farm, &notes);
		if (e)
			log_error("settings could not be read again, nothing changed",
				  F_STR("why", call_error(&own, e)));
		if (notes.len)
			log_warn("not all settings changed", F_STR("what", buf_cstr(&notes)));
	}
	call_clear_error(call);
}

static enum err serve(struct call *call, struct farm *farm, const struct settings *s)
{
	struct control *control = NULL;
	struct os_event reload;

	TRY_PLAIN(os_event_init(call, &reload));
	enum err e = control_start(call, os_path_join(call, s->dir, CONTROL_NAME), farm,
				   call->cancel, &control);
	if (!e) {
		os_signal_reload(&reload);
		wait_for_end(call, farm, &reload);
		os_signal_reload(NULL);
	}
	control_stop(control);
	os_event_fini(&reload);
	return e;
}

static enum err run(struct call *call, const struct settings *s, const struct args *args)
{
	struct farm *farm = NULL;

	TRY_PLAIN(farm_start(call, args->argc, args->argv, &farm));
	enum err e = serve(call, farm, s);
	farm_stop(farm);
	if (!e)
		log_info("stopped");
	return e;
}

/* ---- what asks a running process ---- */

static enum err ask(struct call *call, const struct settings *s, const struct control_request *r)
{
	AUTO_BUF struct buf text = BUF_INIT(CONTROL_ANSWER_MAX);

	TRY_PLAIN(control_ask(call, s->dir, r, &text));
	return print(call, &text);
}

static enum err not_running(struct call *call, const struct settings *s)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);
	struct os_stat st;

	call_clear_error(call);
	enum err e = os_stat(call, os_path_join(call, s->dir, "config"), &st);
	if (e == ERR_PERMISSION)
		return call_wrap(call, e,
				 "only root and the user that the node runs as may ask it "
				 "(sudo acre-node ...)");
	if (e && os_stat(call, os_path_join(call, s->dir, "nodes"), &st))
		return call_fail(call, ERR_NOT_FOUND,
				 "no node in %s (\"acre-node setup --dir %s\" makes one)", s->dir,
				 s->dir);
	if (s->json)
		buf_printf(&text, "{\n  \"version\": %d,\n  \"running\": false\n}\n",
			   STATUS_VERSION);
	else
		buf_printf(&text,
			   "no node runs in %s: start it with \"acre-node run --dir %s\" "
			   "or \"systemctl start acre-node\";\nif it ended by itself, its log says "
			   "why (journalctl -u acre-node)\n",
			   s->dir, s->dir);
	return print(call, &text);
}

static enum err status(struct call *call, const struct settings *s, const struct args *args)
{
	const struct control_request r = { .command = CONTROL_STATUS,
					   .format = s->json ? STATUS_JSON : STATUS_TEXT,
					   .node = bytes_str(args->count ? args->rest[0] : "") };
	enum err e = ask(call, s, &r);

	return e == ERR_CONNECT ? not_running(call, s) : e;
}

static enum err reload(struct call *call, const struct settings *s, const struct args *args)
{
	const struct control_request r = { .command = CONTROL_RELOAD };
	AUTO_BUF struct buf text = BUF_INIT(CONTROL_ANSWER_MAX);

	TRY_PLAIN(control_ask(call, s->dir, &r, &text));
	if (!text.len)
		buf_add_str(&text, "settings are read again, and hold\n");
	return print(call, &text);
}

static enum err stop(struct call *call, const struct settings *s, const struct args *args)
{
	return ask(call, s, &(struct control_request){ .command = CONTROL_STOP });
}

static enum err restart(struct call *call, const struct settings *s, const struct args *args)
{
	const char *node = args->count ? args->rest[0] : "node";

	return ask(
		call, s,
		&(struct control_request){ .command = CONTROL_RESTART, .node = bytes_str(node) });
}

/* maintenance on|off [NODE], for as long as --for says. */
static enum err maintenance(struct call *call, const struct settings *s, const struct args *args)
{
	const char *what = args->count ? args->rest[0] : "";
	struct control_request r = { .command = CONTROL_MAINTENANCE,
				     .on = strcmp(what, "on") == 0,
				     .ns = s->for_ns ? s->for_ns : INT64_MAX,
				     .node = bytes_str(args->count > 1 ? args->rest[1] : "") };

	if (!r.on && strcmp(what, "off") != 0)
		return call_fail(call, ERR_CONFIG, "want maintenance on|off [NODE] [--for 2h]");
	return ask(call, s, &r);
}

/* A satellite, as node ID or node URL. */
static enum err read_satellite(struct call *call, const char *satellite, struct node_id *ret)
{
	struct bytes text = bytes_str(satellite);
	const uint8_t *at = text.len ? memchr(text.data, '@', text.len) : NULL;

	if (at)
		text.len = (size_t)(at - text.data);
	if (node_id_parse(text, ret))
		return call_fail(call, ERR_CONFIG,
				 "which satellite?  \"%.80s\" is no node ID (nor a node URL)",
				 satellite);
	return OK;
}

/* What was asked for before, and how it stands. */
static enum err print_leaving(struct call *call, const struct settings *s)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);
	struct leave *list = NULL;
	size_t count = 0;

	TRY_PLAIN(leave_list(call, s->dir, &call->scratch, &list, &count));
	for (size_t i = 0; i < count; i++) {
		char id[NODE_ID_TEXT_MAX];
		node_id_text(&list[i].satellite, id);
		buf_printf(&text, "%s  %s since ", id, leave_state_name(list[i].state));
		text_add_time(&text, list[i].since_unix_ns, false);
		buf_printf(&text, "%s%s\n", list[i].text[0] ? ": " : "", list[i].text);
	}
	if (!count)
		buf_add_str(&text, "no satellite is being left\n");
	return print(call, &text);
}

static enum err request(struct call *call, const struct settings *s, const struct args *args,
			enum leave_state what, const char *said)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);
	struct node_id id;

	TRY_PLAIN(read_satellite(call, args->count ? args->rest[0] : "", &id));
	TRY_PLAIN(leave_request(call, s->dir, &id, what));
	buf_add_str(&text, said);
	return print(call, &text);
}

static enum err leave_satellite(struct call *call, const struct settings *s,
				const struct args *args)
{
	if (!args->count)
		return print_leaving(call, s);
	return request(call, s, args, LEAVE_EXIT,
		       "The running node asks the satellite, and goes on serving what it has until "
		       "the satellite\nsays that it may go: \"acre-node exit\" shows how it "
		       "stands.\n");
}

static enum err forget_satellite(struct call *call, const struct settings *s,
				 const struct args *args)
{
	return request(call, s, args, LEAVE_FORGET,
		       "The running node frees everything of it, if it does not work for it any "
		       "more.  \"acre-node exit\"\nshows how it stands.\n");
}

/* HTTP stays out of the process that holds disks and keys, and out of this program. */
static enum err console(struct call *call, const struct settings *s, const struct args *args)
{
	const char *dir = NULL;

	TRY_PLAIN(os_program_dir(call, &dir));
	const char *path = os_path_join(call, dir, "acre-node-console");
	const char **argv = arena_array(&call->scratch, (size_t)args->argc + 2, sizeof(*argv));
	if (!argv)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	argv[0] = path;
	for (int i = 0; i < args->argc; i++)
		argv[i + 1] = args->argv[i];
	return os_exec(call, path, (char *const *)(uintptr_t)argv);
}

static const struct {
	const char *name;
	enum err (*run)(struct call *call, const struct settings *s, const struct args *args);
	size_t rest_max;
	const char *doc;
} commands[] = {
	{ "setup", setup, 0,
	  "makes a node: identity, settings, storage directory; asks for what it was not told" },
	{ "run", run, 0, "runs it, or all nodes in DIR/nodes, until SIGTERM" },
	{ "import", import, 0,
	  "takes over the pieces of Storj's node with this identity, which must not run" },
	{ "status", status, 1, "[NODE]: how it is, what to worry about and what to do" },
	{ "reload", reload, 0, "reads settings (and the list of nodes) again; transfers go on" },
	{ "maintenance", maintenance, 2,
	  "on|off [NODE] [--for 2h]: stops a node in the process, so that its disk can be taken "
	  "out" },
	{ "restart", restart, 1, "NODE: stops and starts one node of the process" },
	{ "stop", stop, 0, "ends the process" },
	{ "exit", leave_satellite, 1, "[SATELLITE]: leaves it in grace; how leaving stands" },
	{ "forget", forget_satellite, 1,
	  "SATELLITE: frees the data of one that the node worked for" },
	{ "console", console, 0,
	  "serves figures for Prometheus over HTTP (a program of its own: acre-node-console)" },
};

static enum err version(struct call *call)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);

	buf_printf(&text, "%s\n", node_software());
	return print(call, &text);
}

static enum err help(struct call *call)
{
	AUTO_BUF struct buf text = BUF_INIT(OUTPUT_MAX);

	buf_add_str(&text, "usage: acre-node COMMAND [--dir DIR] [settings]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		buf_printf(&text, "  %-11s %s\n", commands[i].name, commands[i].doc);
	buf_add_str(&text, "\nsettings (in DIR/config, or as flags):\n");
	param_add_help(&text, settings_all());
	return print(call, &text);
}

static enum err dispatch(struct call *call, int argc, const char *const argv[])
{
	AUTO(arena_free) struct arena a = { 0 };
	struct settings s;

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
		struct args args = { .argc = argc - 2, .argv = argv + 2 };
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		TRY_PLAIN(settings_flags(call, &a, args.argc, args.argv, &s, &args.rest,
					 &args.count));
		if (args.count > commands[i].rest_max)
			return call_fail(call, ERR_CONFIG, "what is \"%s\"? (see acre-node --help)",
					 args.rest[commands[i].rest_max]);
		return s.help ? help(call) : commands[i].run(call, &s, &args);
	}
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
			 strcmp(argv[1], "help") == 0))
		return help(call);
	if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0))
		return version(call);
	return call_fail(call, ERR_CONFIG,
			 "want a command: setup, run, status, ... (acre-node --help)");
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
		os_signal_reload(NULL); /* until there is something to reload */
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
