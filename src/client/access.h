/* An access grant behind a handle.  Overriding a key changes it, so users take copies. */
#ifndef ACRE_CLIENT_ACCESS_H
#define ACRE_CLIENT_ACCESS_H

#include "access/grant.h"
#include "client/handle.h"
#include "os/lock.h"

struct access {
	struct handled handled;
	struct os_mutex lock;
	struct arena arena;
	struct grant grant;
};

/* An empty one; handled with handle_new or released with handle_put. */
struct access *access_new(struct call *call);
/* Copies the grant; all of it lives in `a`. */
enum err access_copy_grant(struct call *call, struct access *from, struct arena *a,
			   struct grant *ret) MUST_USE;

struct encryption_key {
	struct handled handled;
	struct secret_key key;
};

#endif
