/*
 * What a running node says about itself: a file of lines "name value" in its directory, written
 * when something changed.  `acre-node status` reads it; the node answers nobody.
 */
#ifndef ACRE_NODE_NODE_STATUS_H
#define ACRE_NODE_NODE_STATUS_H

#include "base/bytes.h"
#include "base/call.h"

/* Prints the status of the node in dir to out, for people or as JSON.  A node that does not run is
 * told so; ERR_NOT_FOUND when there is no node in dir. */
enum err node_status_print(struct call *call, const char *dir, bool json, struct buf *out) MUST_USE;

#endif
