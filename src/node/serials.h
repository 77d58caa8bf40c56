/*
 * Serial numbers of order limits that were used: each serves one request (storagenode.md 3).
 *
 * A limit is accepted only within an hour of its creation, before and after.  Serials are kept by
 * the hour of that creation, which the satellite signed: so a serial is looked for where it was put
 * whatever the time of use, and a set is forgotten whole when none of its limits can be accepted
 * any more.  Memory is bounded; an hour that used up its share forgets at random.
 * Thread safe.
 */
#ifndef ACRE_NODE_SERIALS_H
#define ACRE_NODE_SERIALS_H

#include "base/call.h"
#include "identity/identity.h"
#include "order/order.h"

struct serials;

enum {
	SERIALS_MEMORY_DEFAULT = 8 << 20,
	SERIALS_GRACE_SECONDS = 3600, /* how far from its creation a limit is accepted */
};

enum err serials_new(struct call *call, size_t memory_max, struct serials **ret) MUST_USE;
void serials_free(struct serials *s); /* NULL is fine */
/* ERR_UNAUTHENTICATED when the satellite's serial was used before. */
enum err serials_use(struct call *call, struct serials *s, const struct node_id *satellite,
		     const struct serial *serial, int64_t creation_unix_ns,
		     int64_t now_unix_ns) MUST_USE;
size_t serials_count(struct serials *s);

#endif
