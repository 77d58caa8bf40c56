/* The table of settings, and the config file. */
#include "node/settings.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "node/trust_sources.h"
#include "os/file.h"

enum {
	CONFIG_MAX = 1 << 20,
	/* What a transfer and an idle connection may take of the memory budget. */
	CALL_BYTES = 3 << 19,
	CONNECTION_BYTES = 128 << 10,
	ACTIVE_MIN = 4,
	ACTIVE_MAX = 512,
	CONNECTIONS_MIN = 64,
	CONNECTIONS_MAX = 5000,
};

#define FIELD(f) .offset = offsetof(struct settings, f)

/* Names of Storj's node that mean the same are accepted as aliases.  First those of the file. */
static const struct param table[] = {
	{ .name = "satellite",
	  .alias = "storage2.trust.sources",
	  .type = PARAM_LIST,
	  FIELD(node.satellites),
	  .doc = "satellites this node works for and trusts: node URLs id@host:port, files with "
		 "one "
		 "on each line, or \"storj\" for those of Storj Inc." },
	{ .name = "exclude",
	  .alias = "storage2.trust.exclusions",
	  .type = PARAM_LIST,
	  FIELD(exclude),
	  .doc = "satellites of a list that this node does not work for: node IDs, host names or "
		 "node URLs" },
	{ .name = "address",
	  .alias = "server.address",
	  .type = PARAM_STR,
	  FIELD(node.address),
	  .default_text = "127.0.0.1:28967",
	  .doc = "where the node listens; 0.0.0.0:28967 for all the world" },
	{ .name = "external-address",
	  .alias = "contact.external-address",
	  .type = PARAM_STR,
	  FIELD(node.external_address),
	  .default_text = "",
	  .doc = "host:port that satellites and renters reach the node by; empty = address" },
	{ .name = "identity",
	  .alias = "identity-dir",
	  .type = PARAM_STR,
	  FIELD(node.identity),
	  .default_text = "",
	  .doc = "directory with identity.cert and identity.key; empty = identity in the node's "
		 "directory" },
	{ .name = "space",
	  .alias = "storage.allocated-disk-space",
	  .type = PARAM_SIZE,
	  FIELD(node.space),
	  .default_text = "1TB",
	  .doc = "disk space to rent out" },
	{ .name = "storage",
	  .alias = "storage.path",
	  .type = PARAM_STR,
	  FIELD(node.storage),
	  .default_text = "",
	  .doc = "directory of the pieces; empty = storage in the node's directory" },
	{ .name = "free-reserve",
	  .type = PARAM_SIZE,
	  FIELD(node.free_reserve),
	  .default_text = "256MiB",
	  .doc = "space of the disk that is left free whatever happens" },
	{ .name = "max-requests",
	  .alias = "storage2.max-concurrent-requests",
	  .type = PARAM_U64,
	  FIELD(node.max_requests),
	  .default_text = "0",
	  .doc = "transfers at a time above which uploads are refused; 0 = no limit" },
	{ .name = "segment-size",
	  .type = PARAM_SIZE,
	  FIELD(node.segment_size),
	  .default_text = "1GiB",
	  .min = 1 << 20,
	  .max = UINT64_C(1) << 36,
	  .doc = "size of the log files in which pieces are kept" },
	{ .name = "index-memory",
	  .type = PARAM_SIZE,
	  FIELD(node.index_memory),
	  .default_text = "32MiB",
	  .min = 1 << 20,
	  .max = UINT64_C(1) << 34,
	  .doc = "memory for the index of pieces, most of it used only when there are millions; "
		 "less makes more work for the disk" },
	{ .name = "recent-memory",
	  .type = PARAM_SIZE,
	  FIELD(node.recent_memory),
	  .default_text = "0",
	  .doc = "memory for pieces stored last, which are then served without the disk; given "
		 "back "
		 "after an hour without an upload; at most an eighth of the machine's for all "
		 "nodes "
		 "of a process; 0 = none" },
	{ .name = "compact-rate",
	  .type = PARAM_SIZE,
	  FIELD(node.compact_rate),
	  .default_text = "16MiB",
	  .doc = "bytes a second copied to free the space of deleted pieces; 0 = none is freed" },
	{ .name = "scrub-rate",
	  .type = PARAM_SIZE,
	  FIELD(node.scrub_rate),
	  .default_text = "1MiB",
	  .doc = "bytes a second read to find damaged pieces; 0 = none" },
	{ .name = "retain-skew",
	  .alias = "retain.max-time-skew",
	  .type = PARAM_DURATION,
	  FIELD(node.retain_skew_ns),
	  .default_text = "72h",
	  .doc = "pieces younger than a satellite's garbage filter less this are kept" },
	{ .name = "email",
	  .alias = "operator.email",
	  .type = PARAM_STR,
	  FIELD(node.email),
	  .default_text = "",
	  .doc = "told to the satellites, so that they can write to you" },
	{ .name = "wallet",
	  .alias = "operator.wallet",
	  .type = PARAM_STR,
	  FIELD(node.wallet),
	  .default_text = "",
	  .doc = "told to the satellites, so that they can pay you" },
	{ .name = "upload-hours",
	  .type = PARAM_STR,
	  FIELD(node.upload_hours),
	  .default_text = "",
	  .doc = "hours of the day, in local time, in which pieces are taken: 22-6, or "
		 "0:30-5,12-13; empty = always.  Pieces stored are always served" },
	{ .name = "online-hours",
	  .type = PARAM_STR,
	  FIELD(node.online_hours),
	  .default_text = "",
	  .doc = "hours of the day, in local time, in which the machine is on, likewise; empty = "
		 "always.  Satellites of this kind are told and hold nothing against it if they "
		 "are ten hours a day at least; Storj's know no such hours" },
	{ .name = "self-signed-tags",
	  .alias = "contact.self-signed-tags",
	  .type = PARAM_STR,
	  FIELD(node.own_tags),
	  .default_text = "",
	  .doc = "what the node says of itself, signed by itself, such as "
		 "storage_price=1.20,egress_price=2: dollars for a terabyte kept 720 hours and "
		 "for one served, if you ask for less than a satellite pays" },
	{ .name = "signed-tags",
	  .alias = "contact.tags",
	  .type = PARAM_STR,
	  FIELD(node.signed_tags),
	  .default_text = "",
	  .doc = "what an authority of a satellite has signed of this node, in base64; of several, "
		 "separated by commas" },
	{ .name = "receive-rate",
	  .type = PARAM_STR,
	  FIELD(node.receive_rate),
	  .default_text = "0",
	  .doc = "bytes a second of pieces that the node takes, with other limits for spans of "
		 "hours in local time: \"20MB\", \"20MB, 8-18=2MB\"; 0 = no limit.  In a farm's "
		 "config: all its nodes together" },
	{ .name = "send-rate",
	  .type = PARAM_STR,
	  FIELD(node.send_rate),
	  .default_text = "0",
	  .doc = "bytes a second of pieces that the node serves, likewise; audits do not wait, or "
		 "they "
		 "would fail" },
	{ .name = "user",
	  .type = PARAM_STR,
	  FIELD(user),
	  .default_text = "",
	  .doc = "user to become when started as root; empty = none" },
	{ .name = "sandbox",
	  .type = PARAM_BOOL,
	  FIELD(sandbox),
	  .default_text = "true",
	  .doc = "once started, no other directories than the node's, no other programs, no new "
		 "rights (Landlock and seccomp, as far as the kernel has them)" },
	{ .name = "memory",
	  .type = PARAM_SIZE,
	  FIELD(memory),
	  .default_text = "0",
	  .doc = "about as much memory as the process may use (of a farm: set it in the farm's "
		 "config): it takes on fewer transfers and connections at a time; 0 = no limit" },
	{ .name = "log-level",
	  .alias = "log.level",
	  .type = PARAM_STR,
	  FIELD(node.log_level),
	  .default_text = "info",
	  .doc = "debug, info, warn, error or none" },
	{ .name = "noise",
	  .type = PARAM_BOOL,
	  FIELD(node.noise),
	  .default_text = "true",
	  .doc = "let renters send and fetch pieces over Noise as well as TLS: faster to connect, "
		 "less work for both" },
	{ .name = "development",
	  .type = PARAM_BOOL,
	  FIELD(node.development),
	  .default_text = "false",
	  .doc = "for a network on one machine: checks in every other second, so that it is "
		 "noticed "
		 "soon when it is gone" },
	{ .name = "settle-early",
	  .type = PARAM_DURATION,
	  FIELD(node.settle_early_ns),
	  .default_text = "0s",
	  .doc = "for tests: orders are sent that much too early; those of the same hour that come "
		 "later are not paid" },
	{ .name = "from-logs",
	  .alias = "hashstore.logs-path",
	  .type = PARAM_STR,
	  FIELD(from_logs),
	  .default_text = "hashstore",
	  .doc = "import: directory of the logs of Storj's hashstores, in its storage directory or "
		 "a whole path" },
	{ .name = "from-tables",
	  .alias = "hashstore.table-path",
	  .type = PARAM_STR,
	  FIELD(from_tables),
	  .default_text = "hashstore",
	  .doc = "import: directory of their tables, likewise" },
	{ .name = "from-orders",
	  .alias = "storage2.orders.path",
	  .type = PARAM_STR,
	  FIELD(from_orders),
	  .default_text = "",
	  .doc = "import: directory of the orders that Storj's node did not settle; empty = orders "
		 "in the node's directory, or beside or in that storage directory" },
	/* Of commands only. */
	{ .name = "dir",
	  .alias = "config-dir",
	  .letter = 'd',
	  .type = PARAM_STR,
	  FIELD(dir),
	  .default_text = "",
	  .doc = "the node's directory; empty = this one if there is a node in it, else "
		 "/var/lib/acre-node if the package is installed, else this one" },
	{ .name = "difficulty",
	  .type = PARAM_U64,
	  FIELD(difficulty),
	  .default_text = "16",
	  .min = 8,
	  .max = 60,
	  .doc = "setup: zero bits of the node ID; a satellite may ask for more, Storj's ask for "
		 "36" },
	{ .name = "service",
	  .type = PARAM_STR,
	  FIELD(service),
	  .default_text = "",
	  .doc = "setup: \"yes\" makes it a service of systemd that runs from now on (as root "
		 "only); "
		 "\"no\" does not ask" },
	{ .name = "root",
	  .type = PARAM_STR,
	  FIELD(root),
	  .default_text = "",
	  .doc = "setup: directory of the system that gets the service, if it is not this one; it "
		 "is not started there" },
	{ .name = "accept-loss",
	  .type = PARAM_BOOL,
	  FIELD(node.accept_loss),
	  .default_text = "false",
	  .doc = "run: start though files of the piece log are missing or damaged; their pieces "
		 "are given up" },
	{ .name = "for",
	  .type = PARAM_DURATION,
	  FIELD(for_ns),
	  .default_text = "0s",
	  .doc = "maintenance: ends by itself after so long; 0 = when it is switched off" },
	{ .name = "from",
	  .type = PARAM_STR,
	  FIELD(from),
	  .default_text = "",
	  .doc = "import: the storage directory of Storj's node; empty = storage" },
	{ .name = "move",
	  .type = PARAM_BOOL,
	  FIELD(move),
	  .default_text = "false",
	  .doc = "import: remove there what is safe here, piece by piece" },
	{ .name = "later",
	  .type = PARAM_BOOL,
	  FIELD(later),
	  .default_text = "false",
	  .doc = "import: only say so; \"run\" does it while it serves" },
	{ .name = "listen",
	  .type = PARAM_STR,
	  FIELD(listen),
	  .default_text = "127.0.0.1:9091",
	  .doc = "console: where it answers HTTP" },
	{ .name = "json",
	  .type = PARAM_BOOL,
	  FIELD(json),
	  .default_text = "false",
	  .doc = "status: as JSON" },
	{ .name = "help",
	  .letter = 'h',
	  .type = PARAM_BOOL,
	  FIELD(help),
	  .default_text = "false",
	  .doc = "this text" },
};

enum { OF_COMMANDS = 10 };

/* Sections of Storj's node (its config.yaml is flat).  Ours have no dots. */
static const char *const foreign[] = {
	"bandwidth.", "collector.",   "console.",	   "contact.",
	"debug.",     "filestore.",   "forget-satellite.", "graceful-exit.",
	"hashstore.", "healthcheck.", "identity.",	   "log.",
	"metrics.",   "monkit.",      "nodestats.",	   "operator.",
	"pieces.",    "preflight.",   "reputation.",	   "retain.",
	"server.",    "storage.",     "storage2.",	   "storage2-migration.",
	"storj.",     "tracing.",     "version.",	   "defaults",
	"metainfo.",  NULL,
};

struct param_set settings_all(void)
{
	return (struct param_set){ table, ARRAY_LEN(table), foreign,
				   offsetof(struct settings, foreign) };
}

struct param_set settings_file(void)
{
	return (struct param_set){ table, ARRAY_LEN(table) - OF_COMMANDS, foreign,
				   offsetof(struct settings, foreign) };
}

static enum err read_file(struct call *call, struct arena *a, const char *dir, bool optional,
			  struct settings *s)
{
	AUTO_BUF struct buf text = BUF_INIT(CONFIG_MAX);
	const char *path = os_path_join(call, dir, "config");
	enum err e = os_file_read_all(call, path, &text);

	/* An operator who moves here from Storj's node may keep its file. */
	if (e == ERR_NOT_FOUND) {
		path = os_path_join(call, dir, "config.yaml");
		e = os_file_read_all(call, path, &text);
	}
	if (e == ERR_NOT_FOUND && optional) {
		call_clear_error(call);
		return OK;
	}
	if (e == ERR_NOT_FOUND)
		return call_fail(call, e, "no node in %s (\"acre-node setup --dir %s\" makes one)",
				 dir, dir);
	TRY_PLAIN(e);
	TRY(param_read_config(call, a, settings_file(), s, buf_bytes(&text)), "%s", path);
	return OK;
}

static enum err has(struct call *call, const char *path, bool *ret)
{
	bool found = false;

	TRY_PLAIN(os_exists(call, path, &found));
	*ret = *ret || found;
	return OK;
}

/* The directory, when none was given. */
static enum err choose_dir(struct call *call, struct settings *s)
{
	bool node = false, package = false;

	if (s->dir[0])
		return OK;
	TRY_PLAIN(has(call, "config", &node));
	TRY_PLAIN(has(call, "config.yaml", &node));
	TRY_PLAIN(has(call, "nodes", &node));
	TRY_PLAIN(has(call, SETTINGS_PACKAGE_DIR, &package));
	s->dir = package && !node ? SETTINGS_PACKAGE_DIR : ".";
	return OK;
}

enum err settings_flags(struct call *call, struct arena *a, int argc, const char *const argv[],
			struct settings *ret, const char ***ret_rest, size_t *ret_count)
{
	struct settings s = { 0 };

	TRY_PLAIN(param_defaults(call, a, settings_all(), &s));
	TRY_PLAIN(param_read_args(call, a, settings_all(), &s, argc, argv, ret_rest, ret_count));
	TRY_PLAIN(choose_dir(call, &s));
	TRY_PLAIN(trust_sources_resolve(call, a, &s.exclude, &s.node.satellites));
	*ret = s;
	return OK;
}

/* Storj's node writes $CONFDIR for its own directory. */
static enum err expand_directory(struct call *call, struct arena *a, const char *dir,
				 const char **path)
{
	static const char *const names[] = { "$CONFDIR", "${CONFDIR}" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i]);
		if (strncmp(*path, names[i], n) != 0)
			continue;
		*path = arena_printf(a, "%s%s", dir, *path + n);
		return *path ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	return OK;
}

enum err settings_load(struct call *call, struct arena *a, const struct settings_source *source,
		       struct settings *ret)
{
	struct settings s = { 0 };

	TRY_PLAIN(param_defaults(call, a, settings_all(), &s));
	if (source->process_dir)
		TRY_PLAIN(read_file(call, a, source->process_dir, true, &s));
	if (source->node_dir)
		TRY_PLAIN(read_file(call, a, source->node_dir, source->node_optional, &s));
	const char **rest = NULL;
	size_t count = 0;
	TRY_PLAIN(param_read_args(call, a, settings_all(), &s, source->argc, source->argv, &rest,
				  &count));
	TRY_PLAIN(choose_dir(call, &s));
	TRY_PLAIN(trust_sources_resolve(call, a, &s.exclude, &s.node.satellites));
	if (source->node_dir)
		TRY_PLAIN(expand_directory(call, a, source->node_dir, &s.node.storage));
	*ret = s;
	return OK;
}

enum err settings_process(struct call *call, struct arena *a, const struct settings_source *flags,
			  bool single, struct settings *ret, enum log_level *ret_level)
{
	struct settings_source source = *flags;
	struct settings s;

	TRY_PLAIN(settings_load(call, a, &source, &s));
	source.process_dir = single ? NULL : s.dir;
	source.node_dir = single ? s.dir : NULL;
	TRY_PLAIN(settings_load(call, a, &source, &s));
	if (log_parse_level(s.node.log_level, ret_level))
		return call_fail(call, ERR_CONFIG,
				 "log-level: \"%s\" is not debug, info, warn, error or none",
				 s.node.log_level);
	*ret = s;
	return OK;
}

void settings_tell(const struct settings *s)
{
	AUTO_BUF struct buf names = BUF_INIT(CONFIG_MAX);

	for (size_t i = 0; i < s->foreign.count; i++)
		buf_printf(&names, "%s%s", i ? " " : "", s->foreign.items[i]);
	if (names.len)
		log_info("settings of Storj's node that mean nothing here",
			 F_STR("names", buf_cstr(&names)));
}

void settings_limits(const struct settings *s, struct rpc_host_config *ret)
{
	*ret = (struct rpc_host_config){ 0 };
	if (!s->memory)
		return;
	ret->active_max = (unsigned)MIN(MAX(s->memory / CALL_BYTES, (uint64_t)ACTIVE_MIN),
					(uint64_t)ACTIVE_MAX);
	ret->connections_max =
		(unsigned)MIN(MAX(s->memory / CONNECTION_BYTES, (uint64_t)CONNECTIONS_MIN),
			      (uint64_t)CONNECTIONS_MAX);
}

enum err settings_write(struct call *call, const struct settings *s)
{
	AUTO_BUF struct buf text = BUF_INIT(CONFIG_MAX);

	buf_add_str(&text,
		    "# Settings of this storage node.  Each is also a flag of \"acre-node run\""
		    " (--name value).\n# Lines that begin with # are defaults.\n\n");
	param_add_config(&text, settings_file(), s);
	TRY(buf_status(&text), "config");
	return os_file_write_all(call, os_path_join(call, s->dir, "config"), buf_bytes(&text),
				 false);
}
