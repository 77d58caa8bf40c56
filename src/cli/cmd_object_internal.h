/* Shared by the object commands. */
#ifndef ACRE_CLI_CMD_OBJECT_INTERNAL_H
#define ACRE_CLI_CMD_OBJECT_INTERNAL_H

#include "cli/cli.h"

enum { CLI_SOURCES_MAX = 100000 };

enum err cmd_cp(struct cli *cli);
enum err cmd_cat(struct cli *cli);

/* Closes and frees, for AUTO(). */
void cli_project_auto(UplinkProject **project);

/* Calls each for every object at or below a remote location; ERR_NOT_FOUND when there is none. */
enum err cli_each_object(struct cli *cli, UplinkProject *project, const struct location *l,
			 enum err (*each)(struct cli *cli, const UplinkObject *o, void *arg),
			 void *arg) MUST_USE;

#endif
