/* The settings of acre-node: one table for flags, config file and help. */
#ifndef ACRE_NODE_SETTINGS_H
#define ACRE_NODE_SETTINGS_H

#include "base/param.h"
#include "node/node.h"
#include "os/log.h"

/* The node of the Debian package. */
#define SETTINGS_PACKAGE_DIR "/var/lib/acre-node"

struct settings {
	const char *dir;
	uint64_t difficulty;
	bool json, help;
	const char *listen;					  /* console */
	int64_t for_ns;						  /* maintenance; 0 = without end */
	const char *from, *from_logs, *from_tables, *from_orders; /* import */
	bool move, later;
	const char *service, *root; /* setup; "yes", "no" or "" = ask or no */
	struct param_list exclude;  /* satellites */
	struct param_list foreign;  /* settings of Storj's node that mean nothing here */
	/* Of the process: */
	uint64_t memory; /* 0 = as much as it takes */
	const char *user;
	bool sandbox;
	struct node_config node;
};

/* Where settings come from, the stronger the later: defaults, the config of process_dir (need not
 * be there) and of node_dir, flags.  Both may be NULL. */
struct settings_source {
	int argc;
	const char *const *argv;
	const char *process_dir, *node_dir;
	bool node_optional; /* its config need not be there, either */
};

/* All of them, for flags; and those that belong into the config file. */
struct param_set settings_all(void);
struct param_set settings_file(void);

/* The flags of a command; what is no flag goes to rest. */
enum err settings_flags(struct call *call, struct arena *a, int argc, const char *const argv[],
			struct settings *ret, const char ***ret_rest, size_t *ret_count) MUST_USE;
enum err settings_load(struct call *call, struct arena *a, const struct settings_source *source,
		       struct settings *ret) MUST_USE;
/* Those of a process: the flags say where its directory is, its config is a node's (single) or a
 * farm's. */
enum err settings_process(struct call *call, struct arena *a, const struct settings_source *flags,
			  bool single, struct settings *ret, enum log_level *ret_level) MUST_USE;
/* Logs which settings of Storj's node mean nothing here. */
void settings_tell(const struct settings *s);
/* What keeps the process within its memory: how much it takes on at a time. */
void settings_limits(const struct settings *s, struct rpc_host_config *ret);
/* Writes <dir>/config with every setting and its meaning. */
enum err settings_write(struct call *call, const struct settings *s) MUST_USE;

#endif
