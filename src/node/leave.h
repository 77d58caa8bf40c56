/*
 * Leaving a satellite (storagenode.md 15) and forgetting one.  What the operator asked for and how
 * it stands is a small file per satellite in <dir>/leave, so that it survives restarts, and so that
 * commands need not find the running node: that one looks there now and then.
 */
#ifndef ACRE_NODE_LEAVE_H
#define ACRE_NODE_LEAVE_H

#include "base/call.h"
#include "identity/identity.h"

enum leave_state {
	LEAVE_EXIT,	 /* the satellite is to be asked */
	LEAVE_EXITING,	 /* it said: not yet */
	LEAVE_COMPLETED, /* with its receipt; the data is gone, or on its way */
	LEAVE_FAILED,	 /* with its receipt */
	LEAVE_REFUSED,	 /* it does not let the node go; why is in the text */
	LEAVE_FORGET,	 /* everything of it is to be freed */
	LEAVE_FORGOTTEN,
};

struct leave {
	struct node_id satellite;
	enum leave_state state;
	int64_t since_unix_ns; /* of this state */
	char text[256];
};
const char *leave_state_name(enum leave_state s);

/* The file, written whole. */
enum err leave_write(struct call *call, const char *dir, const struct leave *l) MUST_USE;
/* All of them, in `a`; none is fine. */
enum err leave_list(struct call *call, const char *dir, struct arena *a, struct leave **ret,
		    size_t *ret_count) MUST_USE;
/* ERR_FORMAT. */
enum err leave_parse(struct bytes text, struct leave *ret) MUST_USE;
void leave_format(struct buf *out, const struct leave *l);

/* The commands: ask for it.  ERR_NOT_FOUND without a node in dir; ERR_EXISTS when it stands already
 * as it is asked for. */
enum err leave_request(struct call *call, const char *dir, const struct node_id *satellite,
		       enum leave_state what) MUST_USE;

#endif
