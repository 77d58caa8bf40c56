/*
 * The directory that holds a node's data, and the proof that it is the right one: a verification
 * file with the node's ID, written by setup only.  A disk that is not mounted has no such file, so
 * the node does not start, or stops, instead of answering "not found" for what it holds
 * (storagenode.md 1, 11).
 */
#ifndef ACRE_NODE_STORAGE_DIR_H
#define ACRE_NODE_STORAGE_DIR_H

#include "base/call.h"
#include "identity/identity.h"

struct storage_dir;

/* Makes the directory (and its parents) and the verification file.  ERR_EXISTS when there is one
 * already, unless it is of this very node. */
enum err storage_dir_create(struct call *call, const char *path,
			    const struct node_id *node) MUST_USE;
/* ERR_PRECONDITION: missing, of another node, of a later format.  ERR_BUSY: another process has it.
 * ERR_PERMISSION: read-only. */
enum err storage_dir_open(struct call *call, const char *path, const struct node_id *node,
			  struct storage_dir **ret) MUST_USE;
void storage_dir_close(struct storage_dir *d); /* NULL is fine */
const char *storage_dir_path(const struct storage_dir *d);

/* Whether it is still there and ours; whether it can be written to. */
enum err storage_dir_check_readable(struct call *call, const struct storage_dir *d) MUST_USE;
enum err storage_dir_check_writable(struct call *call, const struct storage_dir *d) MUST_USE;

/* Storj's node left its own directory there, and ours is one in it. */
#define STORAGE_DIR_INNER "acre"

#endif
