/*
 * The nodes of one process: any number of identities, each with a directory, disk, quota and wallet
 * of its own.  They share the scheduler of chores and the threads of their servers, so that an
 * identity costs memory and descriptors, no threads.  A node that cannot go on is stopped and tried
 * again; the others do not notice.
 *
 * A directory with a "config" is one node.  A directory with "nodes" is a farm: each directory in
 * nodes/ with a config is a node, and the farm's own config, if there, holds the settings of the
 * process and what its nodes' configs do not say.
 */
#ifndef ACRE_NODE_FARM_H
#define ACRE_NODE_FARM_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/node_status.h"
#include "node/settings.h"

struct farm;

/* argv: the flags, kept (borrowed) for reloads.  A single node that cannot start is a failure;
 * those of a farm are tried again.  The call's cancel object, which must live longer, ends all
 * work. */
enum err farm_start(struct call *call, int argc, const char *const argv[],
		    struct farm **ret) MUST_USE;
/* Ends transfers (at most about 4 s for all), writes checkpoints, frees.  NULL is fine. */
void farm_stop(struct farm *f);

/* Reads settings and the list of nodes again.  Transfers go on; what needs a node's restart is told
 * line by line in notes. */
enum err farm_reload(struct call *call, struct farm *f, struct buf *notes) MUST_USE;
/* Stops a node (name; "" = all) and keeps it stopped, for ns or until it is ended: its disk can be
 * taken out.  ERR_NOT_FOUND. */
enum err farm_maintenance(struct call *call, struct farm *f, struct bytes name, bool on,
			  int64_t ns) MUST_USE;
/* Stops and starts one node, so that all its settings hold. */
enum err farm_restart(struct call *call, struct farm *f, struct bytes name) MUST_USE;
/* How they are: one node, or all ("").  ERR_NOT_FOUND. */
enum err farm_status(struct call *call, struct farm *f, struct bytes name,
		     enum status_format format, struct buf *out) MUST_USE;

#endif
