/* Edge services: hosted S3 gateways and link sharing, which work with a grant given to them. */
#ifndef ACRE_CLIENT_EDGE_H
#define ACRE_CLIENT_EDGE_H

#include "client/access.h"
#include "client/outcome.h"

enum { EDGE_URL_MAX = 64 << 10 };

/* Views into the arena given. */
struct edge_credentials {
	const char *access_key_id, *secret_key, *endpoint;
};

/* Gives the grant, all that it can do included, to the auth service.  EDGE_ERROR_*. */
enum err edge_register(struct call *call, const EdgeConfig *config, struct access *access,
		       bool is_public, struct arena *a, struct edge_credentials *ret) MUST_USE;

/* base "/s/" or "/raw/" key_id "/" bucket "/" key, escaped; bucket and key may be NULL or empty. */
enum err edge_share_url(struct call *call, const char *base, const char *key_id, const char *bucket,
			const char *key, bool raw, struct buf *out) MUST_USE;

#endif
