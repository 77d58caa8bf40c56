/*
 * The local Unix socket of a process of nodes (docs/design/control.md): one line asks, one answer
 * comes, the connection ends.  Only the user that runs the nodes can connect.
 */
#ifndef ACRE_NODE_CONTROL_H
#define ACRE_NODE_CONTROL_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/node_status.h"

#define CONTROL_HELLO "acre-node 1 "
#define CONTROL_NAME "control" /* in the directory of the node, or of the farm */

enum { CONTROL_LINE_MAX = 512, CONTROL_ANSWER_MAX = 32 << 20 };

struct control_request {
	enum control_command {
		CONTROL_STATUS,
		CONTROL_RELOAD,
		CONTROL_MAINTENANCE,
		CONTROL_RESTART,
		CONTROL_STOP,
	} command;
	enum status_format format;
	bool on;	   /* maintenance */
	int64_t ns;	   /* of maintenance; INT64_MAX = until it is ended */
	struct bytes node; /* name; empty = all */
};

/* The line without its end; the node's name is a view of it.  ERR_FORMAT, with a text for the
 * asker. */
enum err control_parse(struct call *call, struct bytes line, struct control_request *ret) MUST_USE;
void control_add(struct buf *out, const struct control_request *r);

/* ---- the server's side ---- */

struct farm;
struct control;

/* `stop` is set when somebody asks for the end. */
enum err control_start(struct call *call, const char *path, struct farm *farm,
		       struct os_cancel *stop, struct control **ret) MUST_USE;
void control_stop(struct control *c); /* NULL is fine */

/* ---- the asker's ---- */

/* Asks the process of the node or farm in dir; for a node of a farm, its farm.  ERR_CONNECT when it
 * does not run.  The answer's text is appended to out. */
enum err control_ask(struct call *call, const char *dir, const struct control_request *r,
		     struct buf *out) MUST_USE;

#endif
