/* The settings of acre-node: one table for flags, config file and help. */
#ifndef ACRE_NODE_SETTINGS_H
#define ACRE_NODE_SETTINGS_H

#include "base/param.h"
#include "node/node.h"

struct settings {
	const char *dir;
	uint64_t difficulty;
	bool json, help;
	struct node_config node;
};

/* All of them, for flags; and those that belong into the config file. */
struct param_set settings_all(void);
struct param_set settings_file(void);

/* Settings of a command: defaults, then <dir>/config if `with_file`, then the flags. */
enum err settings_read(struct call *call, struct arena *a, int argc, const char *const argv[],
		       bool with_file, struct settings *ret) MUST_USE;
/* Writes <dir>/config with every setting and its meaning. */
enum err settings_write(struct call *call, const struct settings *s) MUST_USE;

#endif
