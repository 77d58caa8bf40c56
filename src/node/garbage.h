/*
 * Garbage filters that satellites sent and that are still to be applied: one file each, so that a
 * restart goes on with them.  Of a satellite only the newest counts.  Each is applied once: what
 * comes back out of the trash is not put there again by the same filter.  Thread safe.
 */
#ifndef ACRE_NODE_GARBAGE_H
#define ACRE_NODE_GARBAGE_H

#include "base/bytes.h"
#include "base/call.h"
#include "identity/identity.h"

enum { GARBAGE_HEAD_BYTES = 96 };

struct garbage;

/* dir is made if it is absent. */
enum err garbage_open(struct call *call, const char *dir, struct garbage **ret) MUST_USE;
void garbage_close(struct garbage *g); /* NULL is fine */

/* Keeps it, durably, unless a newer one of the satellite is waiting. */
enum err garbage_add(struct call *call, struct garbage *g, const struct node_id *satellite,
		     int64_t creation_unix_ns, struct bytes filter) MUST_USE;

struct garbage_filter {
	struct node_id satellite;
	int64_t creation_unix_ns;
	struct buf content;
	struct bytes filter; /* in content */
	char name[2 * NODE_ID_BYTES + 32];
};
/* One that waits; *ret_found false when there is none.  A file that is damaged is removed. */
enum err garbage_next(struct call *call, struct garbage *g, struct garbage_filter *ret,
		      bool *ret_found) MUST_USE;
/* It has been applied; or not, and stays. */
enum err garbage_done(struct call *call, struct garbage *g,
		      const struct garbage_filter *f) MUST_USE;
void garbage_filter_free(struct garbage_filter *f);

#endif
