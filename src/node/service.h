/* A systemd unit for a node that was just made: the set-up's last step, and only when asked for. */
#ifndef ACRE_NODE_SERVICE_H
#define ACRE_NODE_SERVICE_H

#include "base/bytes.h"
#include "base/call.h"

struct service {
	const char *dir; /* of the node, a whole path; below another's "nodes" it is run by that */
	const char *storage;  /* whole path; may be below dir */
	const char *identity; /* whole path; may be below dir */
	const char *user;     /* who runs it; "" = acre-node, who is made if he is not there */
	const char *program;  /* whole path of acre-node */
	const char *root;     /* of another system's files, mounted there; "" = of this one */
};

/* Whether it could be: root, and systemd runs this machine. */
bool service_possible(struct call *call);
/* What root has just made in a directory of another user's, as the package's is, is his from now
 * on, but for the CA; user, program and root do not matter. */
enum err service_follow_owner(struct call *call, const struct service *s) MUST_USE;
/* Gives the node's files, but not its CA, to its user, writes the unit and switches it on; on this
 * system it is started, too.  What was done is added to ret_text.  A unit that is there and is
 * another is never touched: ERR_EXISTS.  ERR_CONFIG: it cannot be, with the reason. */
enum err service_install(struct call *call, const struct service *s, struct buf *ret_text) MUST_USE;

#endif
