/*
 * acre dev: a whole network in one directory, for trying and testing; acre identity.
 *
 * The directory holds satellite/, node1/ ... as their own programs keep them, and dev.json: which
 * processes were started, the ports they keep, and a grant.
 */
#include <jansson.h>
#include <string.h>

#include "base/num.h"
#include "cli/cli.h"
#include "crypto/secret.h"
#include "identity/identity.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/random.h"
#include "os/socket.h"

enum {
	NODES_MAX = 200,
	STATE_BYTES_MAX = 1 << 20,
	START_SECONDS_MAX = 60,
	STOP_SECONDS_MAX = 10,
	POLL_MS = 20,
	PASSPHRASE_BYTES = 16,
	ADDRESS_BYTES_MAX = 512,
	OUTPUT_BYTES_MAX = 1 << 20,
	RECENT_MEMORY_DIVISOR = 8, /* of the machine, for what all nodes have stored last */
	RECENT_MEMORY_MIB = 256,   /* for one, at most */
	LOG_BYTES_MAX = 64 << 20,
	PORT_FIRST = 15000,
	PORT_END = 32000,
	PORT_TRIES_MAX = 1000,
};

static void json_auto(json_t **j)
{
	json_decref(*j);
}

/* One process of the network, as dev.json keeps it. */
struct process {
	const char *name;    /* "satellite", "node1" */
	const char *program; /* "acre-satellite", "acre-node" */
	const char *dir;
	const char *address; /* it listens there, every time */
	int64_t pid;
	uint64_t start_time; /* of the pid, to tell a reused one */
};

struct network {
	struct cli *cli;
	const char *dir;
	struct process satellite, nodes[NODES_MAX];
	size_t nodes_count;
	const char *url, *api_key, *passphrase, *grant;
};

/* ---- dev.json ---- */

static const char *state_path(struct network *n)
{
	return os_path_join(&n->cli->call, n->dir, "dev.json");
}

static const char *get_text(struct network *n, json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? arena_str(&n->cli->call.scratch, bytes_str(text)) : NULL;
}

static void get_process(struct network *n, json_t *object, const char *program, struct process *ret)
{
	*ret = (struct process){
		.name = get_text(n, object, "name"),
		.program = program,
		.address = get_text(n, object, "address"),
		.pid = json_integer_value(json_object_get(object, "pid")),
		.start_time = (uint64_t)json_integer_value(json_object_get(object, "start_time")),
	};
	if (ret->name)
		ret->dir = os_path_join(&n->cli->call, n->dir, ret->name);
}

static enum err load_state(struct network *n)
{
	AUTO_SECRET_BUF struct buf text = BUF_INIT(STATE_BYTES_MAX);
	AUTO(json_auto) json_t *root = NULL;
	struct call *call = &n->cli->call;

	if (os_file_read_all(call, state_path(n), &text))
		return call_fail(call, ERR_NOT_FOUND,
				 "no network in %s (start one with \"acre dev up --dir %s\")",
				 n->dir, n->dir);
	root = json_loadb((const char *)text.data, text.len, 0, NULL);
	json_t *nodes = json_object_get(root, "nodes");
	get_process(n, json_object_get(root, "satellite"), "acre-satellite", &n->satellite);
	n->url = get_text(n, root, "url");
	n->api_key = get_text(n, root, "api_key");
	n->passphrase = get_text(n, root, "passphrase");
	n->grant = get_text(n, root, "access");
	n->nodes_count = MIN(json_array_size(nodes), (size_t)NODES_MAX);
	for (size_t i = 0; i < n->nodes_count; i++) {
		get_process(n, json_array_get(nodes, i), "acre-node", &n->nodes[i]);
		if (!n->nodes[i].name || !n->nodes[i].address)
			n->satellite.name = NULL;
	}
	if (!n->satellite.name || !n->satellite.address)
		return call_fail(call, ERR_FORMAT, "%s is damaged", state_path(n));
	return OK;
}

static json_t *process_json(const struct process *p)
{
	return json_pack("{s:s, s:s, s:I, s:I}", "name", p->name, "address", p->address, "pid",
			 (json_int_t)p->pid, "start_time", (json_int_t)p->start_time);
}

static enum err save_state(struct network *n)
{
	struct call *call = &n->cli->call;
	AUTO(json_auto)
	json_t *root = json_pack("{s:o, s:[]}", "satellite", process_json(&n->satellite), "nodes");

	for (size_t i = 0; i < n->nodes_count; i++)
		json_array_append_new(json_object_get(root, "nodes"), process_json(&n->nodes[i]));
	if (n->url)
		json_object_set_new(root, "url", json_string(n->url));
	if (n->api_key)
		json_object_set_new(root, "api_key", json_string(n->api_key));
	if (n->passphrase)
		json_object_set_new(root, "passphrase", json_string(n->passphrase));
	if (n->grant)
		json_object_set_new(root, "access", json_string(n->grant));
	char *text = json_dumps(root, JSON_INDENT(2));
	if (!text)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	enum err e = os_file_write_all(call, state_path(n), bytes_str(text), true);
	secret_wipe(text, strlen(text));
	free(text);
	return e;
}

/* ---- processes ---- */

static bool running(const struct process *p)
{
	return p->pid > 1 && os_process_start_time((int)p->pid) == p->start_time && p->start_time;
}

static enum err program_path(struct network *n, const char *program, const char **ret)
{
	const char *dir;

	TRY_PLAIN(os_program_dir(&n->cli->call, &dir));
	*ret = os_path_join(&n->cli->call, dir, program);
	return OK;
}

/* Runs a program to its end; its output (cut of the last newline) goes to *ret. */
static enum err run_tool(struct network *n, const char *const argv[], const char **ret)
{
	AUTO_BUF struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
	const char *args[24] = { 0 };
	struct call *call = &n->cli->call;
	int status;

	for (size_t i = 0; argv[i] && i + 1 < ARRAY_LEN(args); i++)
		args[i] = argv[i];
	TRY_PLAIN(program_path(n, argv[0], &args[0]));
	TRY_PLAIN(os_run(call, args, &out, &status));
	while (out.len && out.data[out.len - 1] == '\n')
		out.len--;
	if (ret) {
		*ret = arena_str(&call->scratch, buf_bytes(&out));
		if (!*ret)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	if (status)
		return call_fail(call, ERR_INTERNAL, "%s %s failed (its message is above)", argv[0],
				 argv[1]);
	return OK;
}

static enum err start(struct network *n, struct process *p)
{
	struct call *call = &n->cli->call;
	const char *path, *serving = os_path_join(call, p->dir, "address");
	const char *log = os_path_join(call, p->dir, "log");
	int pid;

	if (running(p))
		return OK;
	/* The file tells that it serves; a leftover would tell it too early. */
	if (os_unlink(call, serving))
		call_clear_error(call);
	TRY_PLAIN(program_path(n, p->program, &path));
	const char *const argv[] = { path, "run", "--dir", p->dir, NULL };
	TRY(os_spawn(call, argv, log, &pid), "start %s", p->name);
	p->pid = pid;
	p->start_time = os_process_start_time(pid);
	return save_state(n);
}

/* The last line a process wrote, which mostly says why it ended. */
static const char *last_words(struct network *n, const struct process *p)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf log = BUF_INIT(LOG_BYTES_MAX);

	if (os_file_read_all(&call, os_path_join(&call, p->dir, "log"), &log))
		return "";
	while (log.len && log.data[log.len - 1] == '\n')
		log.len--;
	size_t at = log.len;
	while (at && log.data[at - 1] != '\n')
		at--;
	const char *line = arena_str(&n->cli->call.scratch, bytes_from(buf_bytes(&log), at));
	return line ? line : "";
}

static enum err ended(struct network *n, const struct process *p)
{
	return call_fail(&n->cli->call, ERR_UNAVAILABLE,
			 "%s ended at once (its log, %s/log, ends with: %s)", p->name, p->dir,
			 last_words(n, p));
}

static enum err wait_serving(struct network *n, const struct process *p)
{
	struct call *call = &n->cli->call;
	int64_t end = os_clock_mono_ns() + START_SECONDS_MAX * NS_PER_SEC;
	const char *serving = os_path_join(call, p->dir, "address");
	struct os_stat st;

	while (os_stat(call, serving, &st)) {
		call_clear_error(call);
		if (!os_process_alive((int)p->pid))
			return ended(n, p);
		if (os_clock_mono_ns() > end)
			return call_fail(call, ERR_DEADLINE,
					 "%s does not serve after %d s; see %s/log", p->name,
					 START_SECONDS_MAX, p->dir);
		TRY_PLAIN(os_sleep(call, POLL_MS * NS_PER_MS));
	}
	return OK;
}

static enum err stop(struct network *n, struct process *p, bool hard)
{
	struct call *call = &n->cli->call;
	int64_t end = os_clock_mono_ns() + STOP_SECONDS_MAX * NS_PER_SEC;

	if (!running(p))
		return OK;
	if (os_process_kill(call, (int)p->pid, hard) && running(p))
		return call_wrap(call, ERR_PERMISSION, "stop %s", p->name);
	call_clear_error(call);
	while (running(p)) {
		if (os_clock_mono_ns() > end) {
			TRY_PLAIN(os_process_kill(call, (int)p->pid, true));
			end += STOP_SECONDS_MAX * NS_PER_SEC;
		}
		TRY_PLAIN(os_sleep(call, POLL_MS * NS_PER_MS));
	}
	p->pid = 0;
	p->start_time = 0;
	return save_state(n);
}

/* ---- making a network ---- */

static bool address_taken(const struct network *n, const char *address)
{
	if (n->satellite.address && strcmp(n->satellite.address, address) == 0)
		return true;
	for (size_t i = 0; i < n->nodes_count; i++)
		if (n->nodes[i].address && strcmp(n->nodes[i].address, address) == 0)
			return true;
	return false;
}

/* A free loopback port, kept from then on so that addresses survive restarts.  Below the range from
 * which the system takes ports for outgoing connections: one of those could sit on it later. */
static enum err free_address(struct network *n, const char **ret)
{
	struct call *call = &n->cli->call;
	struct os_listener *l;

	for (int tries = 0; tries < PORT_TRIES_MAX; tries++) {
		unsigned port = PORT_FIRST + (unsigned)os_random_below(PORT_END - PORT_FIRST);
		const char *address = arena_printf(&call->scratch, "127.0.0.1:%u", port);
		if (!address)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		if (address_taken(n, address) || os_listen(call, address, &l))
			continue;
		os_listener_close(l);
		call_clear_error(call);
		*ret = address;
		return OK;
	}
	return call_wrap(call, ERR_EXHAUSTED, "no free port");
}

static enum err new_process(struct network *n, const char *name, const char *program,
			    struct process *ret)
{
	*ret = (struct process){ .name = name, .program = program };
	if (!name)
		return call_fail(&n->cli->call, ERR_NO_MEMORY, "out of memory");
	ret->dir = os_path_join(&n->cli->call, n->dir, name);
	return free_address(n, &ret->address);
}

static enum err make_satellite(struct network *n)
{
	struct cli *cli = n->cli;
	const char *nodes = arena_printf(&cli->call.scratch, "%llu",
					 (unsigned long long)cli->o.nodes);
	const char *database = cli->o.database && cli->o.database[0] ? cli->o.database : NULL;
	const struct process *p = &n->satellite;

	const char *const setup[] = {
		"acre-satellite", "setup",
		"--dir",	  p->dir,
		"--address",	  p->address,
		"--rs",		  cli->o.rs,
		"--nodes",	  nodes,
		"--difficulty",	  "8",
		"--development",  database ? "--database" : NULL,
		database,	  NULL,
	};
	TRY_PLAIN(run_tool(n, setup, NULL));
	const char *const url[] = { "acre-satellite", "url", "--dir", p->dir, NULL };
	return run_tool(n, url, &n->url);
}

static enum err make_node(struct network *n, struct process *p)
{
	/* The nodes are processes that do not know of each other. */
	uint64_t recent =
		os_memory_bytes() / RECENT_MEMORY_DIVISOR / MAX(n->cli->o.nodes, (uint64_t)1) >> 20;
	const char *const setup[] = {
		"acre-node",
		"setup",
		"--dir",
		p->dir,
		"--satellite",
		n->url,
		"--address",
		p->address,
		"--space",
		"1TB",
		"--difficulty",
		"8",
		"--development",
		"--recent-memory",
		arena_printf(&n->cli->call.scratch, "%lluMiB",
			     (unsigned long long)MIN(recent, (uint64_t)RECENT_MEMORY_MIB)),
		NULL,
	};

	return run_tool(n, setup, NULL);
}

static enum err make_grant(struct network *n)
{
	struct cli *cli = n->cli;
	uint8_t random[PASSPHRASE_BYTES];
	AcreConfig config = cli_config(cli);
	const char *const project[] = { "acre-satellite", "project", "create", "--dir",
					n->satellite.dir, "--name",  "dev",    NULL };
	const char *const key[] = { "acre-satellite", "apikey", "create", "--dir", n->satellite.dir,
				    "--project",      "dev",	"--name", "dev",   NULL };

	TRY_PLAIN(run_tool(n, project, NULL));
	TRY_PLAIN(run_tool(n, key, &n->api_key));
	os_random(random, sizeof(random));
	n->passphrase = arena_printf(&cli->call.scratch, "dev-%016llx%016llx",
				     (unsigned long long)get_be64(random),
				     (unsigned long long)get_be64(random + 8));
	UplinkAccessResult r = acre_request_access(&config, n->url, n->api_key, n->passphrase);
	TRY_PLAIN(cli_error(cli, r.error));
	UplinkStringResult text = uplink_access_serialize(r.access);
	enum err e = cli_error(cli, text.error);
	if (!e)
		n->grant = arena_str(&cli->call.scratch, bytes_str(text.string));
	uplink_free_string_result((UplinkStringResult){ .string = text.string });
	uplink_free_access_result((UplinkAccessResult){ .access = r.access });
	TRY_PLAIN(e);
	return save_state(n);
}

static enum err make_network(struct network *n)
{
	struct cli *cli = n->cli;

	TRY_PLAIN(os_dir_make(&cli->call, n->dir, true));
	TRY_PLAIN(new_process(n, "satellite", "acre-satellite", &n->satellite));
	TRY_PLAIN(make_satellite(n));
	n->nodes_count = (size_t)cli->o.nodes;
	for (size_t i = 0; i < n->nodes_count; i++) {
		const char *name = arena_printf(&cli->call.scratch, "node%zu", i + 1);
		TRY_PLAIN(new_process(n, name, "acre-node", &n->nodes[i]));
		TRY_PLAIN(make_node(n, &n->nodes[i]));
	}
	return save_state(n);
}

/* How many nodes the satellite would use now: "online" entries of its own list. */
static enum err nodes_online(struct network *n, size_t *ret)
{
	const char *const argv[] = { "acre-satellite", "nodes",	 "--dir",
				     n->satellite.dir, "--json", NULL };
	const char *text;
	json_t *item;
	size_t i;

	TRY_PLAIN(run_tool(n, argv, &text));
	AUTO(json_auto) json_t *list = json_loads(text, 0, NULL);
	*ret = 0;
	json_array_foreach(list, i, item)
	{
		if (json_is_true(json_object_get(item, "online")))
			(*ret)++;
	}
	return OK;
}

static enum err wait_nodes(struct network *n)
{
	struct call *call = &n->cli->call;
	int64_t end = os_clock_mono_ns() + START_SECONDS_MAX * NS_PER_SEC;
	size_t online;

	for (;;) {
		TRY_PLAIN(nodes_online(n, &online));
		if (online >= n->nodes_count)
			return OK;
		if (os_clock_mono_ns() > end)
			return call_fail(
				call, ERR_DEADLINE,
				"only %zu of %zu nodes reached the satellite; see %s/node*/log",
				online, n->nodes_count, n->dir);
		TRY_PLAIN(os_sleep(call, 5 * POLL_MS * NS_PER_MS));
	}
}

static enum err cmd_up(struct cli *cli)
{
	struct network n = { .cli = cli, .dir = cli->o.dir };
	struct os_stat st;
	bool fresh = os_stat(&cli->call, state_path(&n), &st) != OK;

	call_clear_error(&cli->call);
	if (fresh)
		CLI_TRY(make_network(&n), "set up");
	else
		TRY_PLAIN(load_state(&n));
	TRY_PLAIN(start(&n, &n.satellite));
	TRY_PLAIN(wait_serving(&n, &n.satellite));
	for (size_t i = 0; i < n.nodes_count; i++)
		TRY_PLAIN(start(&n, &n.nodes[i]));
	for (size_t i = 0; i < n.nodes_count; i++)
		TRY_PLAIN(wait_serving(&n, &n.nodes[i]));
	if (!n.grant)
		TRY_PLAIN(make_grant(&n));
	TRY_PLAIN(wait_nodes(&n));
	for (size_t i = 0; i < n.nodes_count; i++)
		if (!running(&n.nodes[i]))
			return ended(&n, &n.nodes[i]);
	if (!cli->json)
		buf_printf(&cli->out,
			   "A satellite and %zu nodes serve on 127.0.0.1.  To use them here:\n"
			   "  eval \"$(acre dev env --dir %s)\"\n",
			   n.nodes_count, n.dir);
	return OK;
}

static enum err cmd_down(struct cli *cli)
{
	struct network n = { .cli = cli, .dir = cli->o.dir };

	TRY_PLAIN(load_state(&n));
	/* All are asked first, so that they end at the same time. */
	for (size_t i = 0; i < n.nodes_count; i++)
		if (running(&n.nodes[i]) && os_process_kill(&cli->call, (int)n.nodes[i].pid, false))
			call_clear_error(&cli->call);
	for (size_t i = 0; i < n.nodes_count; i++)
		TRY_PLAIN(stop(&n, &n.nodes[i], false));
	return stop(&n, &n.satellite, false);
}

static struct process *find_process(struct network *n, const char *name)
{
	if (strcmp(name, "satellite") == 0)
		return &n->satellite;
	for (size_t i = 0; i < n->nodes_count; i++)
		if (strcmp(n->nodes[i].name, name) == 0)
			return &n->nodes[i];
	return NULL;
}

static enum err named_process(struct network *n, const char *name, struct process **ret)
{
	*ret = find_process(n, name);
	if (!*ret)
		return call_fail(&n->cli->call, ERR_NOT_FOUND,
				 "no \"%s\" in %s (node1 to node%zu, satellite)", name, n->dir,
				 n->nodes_count);
	return OK;
}

static enum err cmd_kill(struct cli *cli)
{
	struct network n = { .cli = cli, .dir = cli->o.dir };
	struct process *p;

	TRY_PLAIN(load_state(&n));
	for (size_t i = 0; i < cli->args_count; i++) {
		TRY_PLAIN(named_process(&n, cli->args[i], &p));
		TRY_PLAIN(stop(&n, p, true));
	}
	return OK;
}

static enum err cmd_start(struct cli *cli)
{
	struct network n = { .cli = cli, .dir = cli->o.dir };
	struct process *p;

	TRY_PLAIN(load_state(&n));
	for (size_t i = 0; i < cli->args_count; i++) {
		TRY_PLAIN(named_process(&n, cli->args[i], &p));
		TRY_PLAIN(start(&n, p));
		TRY_PLAIN(wait_serving(&n, p));
	}
	return OK;
}

static void add_status(struct cli *cli, const struct process *p, bool comma)
{
	bool up = running(p);

	if (cli->json)
		buf_printf(&cli->out,
			   "%s{\"name\":\"%s\",\"running\":%s,\"pid\":%lld,\"address\":\"%s\"}",
			   comma ? "," : "", p->name, up ? "true" : "false",
			   (long long)(up ? p->pid : 0), p->address);
	else
		buf_printf(&cli->out, "%-12s%-10s%-10lld%s\n", p->name, up ? "running" : "stopped",
			   (long long)(up ? p->pid : 0), p->address);
}

static enum err cmd_status(struct cli *cli)
{
	struct network n = { .cli = cli, .dir = cli->o.dir };

	TRY_PLAIN(load_state(&n));
	buf_add_str(&cli->out,
		    cli->json ? "{\"satellite\":" : "NAME        STATE     PID       ADDRESS\n");
	add_status(cli, &n.satellite, false);
	if (cli->json)
		buf_add_str(&cli->out, ",\"nodes\":[");
	for (size_t i = 0; i < n.nodes_count; i++)
		add_status(cli, &n.nodes[i], i > 0);
	if (cli->json)
		buf_add_str(&cli->out, "]}\n");
	return OK;
}

/* The satellite's own command does it and says on standard error how far it is. */
static enum err cmd_repair(struct cli *cli)
{
	struct network n = { .cli = cli, .dir = cli->o.dir };
	const char *text = "";

	TRY_PLAIN(load_state(&n));
	const char *const argv[] = { "acre-satellite",
				     "repair",
				     "run",
				     "--dir",
				     n.satellite.dir,
				     "--all",
				     cli->o.wait ? "--wait" : NULL,
				     NULL };
	/* What could not be repaired is on its standard output. */
	enum err e = run_tool(&n, argv, &text);
	if (text[0])
		buf_printf(&cli->out, "%s\n", text);
	enum err flushed = e ? cli_flush(cli) : OK;
	return e ? e : flushed;
}

static enum err cmd_env(struct cli *cli)
{
	struct network n = { .cli = cli, .dir = cli->o.dir };
	const char *port;

	TRY_PLAIN(load_state(&n));
	if (!n.grant || !n.url || !n.api_key || !n.passphrase)
		return call_fail(&cli->call, ERR_PRECONDITION,
				 "the network in %s never came up (acre dev up)", n.dir);
	buf_printf(&cli->out,
		   "export ACRE_ACCESS='%s'\nexport ACRE_SATELLITE='%s'\nexport ACRE_API_KEY='%s'\n"
		   "export ACRE_PASSPHRASE='%s'\n",
		   n.grant, n.url, n.api_key, n.passphrase);
	port = strrchr(n.satellite.address, ':');
	buf_printf(&cli->out, "export ACRE_SATELLITE_PORT=%s\n", port ? port + 1 : "");
	for (size_t i = 0; i < n.nodes_count; i++) {
		port = strrchr(n.nodes[i].address, ':');
		buf_printf(&cli->out, "export ACRE_NODE%zu_PORT=%s\n", i + 1, port ? port + 1 : "");
	}
	return OK;
}

/* ---- identity ---- */

static void on_search(void *arg, uint64_t tried, uint64_t expected)
{
	struct progress *p = arg;

	progress_set(p, (int64_t)tried);
}

static enum err cmd_identity_create(struct cli *cli)
{
	struct identity_search search = {
		.difficulty = (unsigned)cli->o.difficulty,
		.threads = (unsigned)cli->o.threads,
	};
	char text[NODE_ID_TEXT_MAX];
	struct node_id id;
	uint64_t expected = UINT64_C(1) << (search.difficulty > 8 ? search.difficulty - 8 : 0);
	struct progress *p = progress_new(cli, "searching", expected);

	if (p) {
		progress_count_keys(p);
		search.progress = on_search;
		search.progress_arg = p;
	}
	enum err e = identity_create(&cli->call, cli->o.dir, &search, &id);
	progress_end(p, e == OK);
	TRY_PLAIN(e);
	node_id_text(&id, text);
	if (cli->json)
		buf_printf(&cli->out, "{\"id\":\"%s\",\"difficulty\":%u,\"dir\":\"%s\"}\n", text,
			   node_id_difficulty(&id), cli->o.dir);
	else
		buf_printf(&cli->out, "%s\n", text);
	if (!cli->json)
		cli_note("made in %s: keep ca.key elsewhere, no program that runs needs it",
			 cli->o.dir);
	return OK;
}

#define OPTION_DIR OPTION("dir", dir, 'd', PARAM_STR, "acre-dev", "directory of the network")

static const struct param params_dev[] = { OPTIONS_COMMON, OPTION_DIR };
static const struct param params_repair[] = {
	OPTIONS_COMMON,
	OPTION_DIR,
	OPTION("wait", wait, 0, PARAM_BOOL, "false", "until all is repaired, or say what stops it"),
};
static const struct param params_up[] = {
	OPTIONS_COMMON,
	OPTION_DIR,
	{ .name = "nodes",
	  .type = PARAM_U64,
	  .offset = offsetof(struct cli_options, nodes),
	  .default_text = "10",
	  .min = 1,
	  .max = NODES_MAX,
	  .doc = "storage nodes" },
	OPTION("rs", rs, 0, PARAM_STR, "4/6/8/10", "code: needed/repair/success/total pieces"),
	OPTION("database", database, 0, PARAM_STR, NULL,
	       "database of the satellite (else SQLite in its directory)"),
};
static const struct param params_identity[] = {
	OPTIONS_COMMON,
	OPTION("dir", dir, 'd', PARAM_STR, "identity", "where the files go"),
	{ .name = "difficulty",
	  .type = PARAM_U64,
	  .offset = offsetof(struct cli_options, difficulty),
	  .default_text = "16",
	  .min = 0,
	  .max = 64,
	  .doc = "zero bits wanted; each doubles the work (Storj's satellites ask 36)" },
	{ .name = "threads",
	  .type = PARAM_U64,
	  .offset = offsetof(struct cli_options, threads),
	  .default_text = "0",
	  .max = 1024,
	  .doc = "0 = all cores" },
	OPTION("progress", progress, 0, PARAM_BOOL, NULL,
	       "show how far it is (on a terminal always)"),
};

const struct cli_command cli_commands_dev[] = {
	{ "dev up", "", "make and start a network on this machine", PARAM_SET(params_up), cmd_up, 0,
	  0 },
	{ "dev down", "", "stop it", PARAM_SET(params_dev), cmd_down, 0, 0 },
	{ "dev status", "", "its processes", PARAM_SET(params_dev), cmd_status, 0, 0 },
	{ "dev kill", "NODE...", "end processes with SIGKILL, as a crash would",
	  PARAM_SET(params_dev), cmd_kill, 1, NODES_MAX },
	{ "dev start", "NODE...", "start them again", PARAM_SET(params_dev), cmd_start, 1,
	  NODES_MAX },
	{ "dev repair", "", "make the pieces that dead nodes took with them anew, on others",
	  PARAM_SET(params_repair), cmd_repair, 0, 0 },
	{ "dev env", "", "shell assignments for using it", PARAM_SET(params_dev), cmd_env, 0, 0 },
	{ "identity create", "", "make a node identity", PARAM_SET(params_identity),
	  cmd_identity_create, 0, 0 },
	{ 0 },
};
