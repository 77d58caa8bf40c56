/*
 * The local HTTP API of a satellite that runs (docs/satellite-api.yaml): what the commands do, done
 * by the same functions, on its open database.  Whoever knows the token may do all of it.
 */
#ifndef ACRE_SATELLITE_ADMIN_H
#define ACRE_SATELLITE_ADMIN_H

#include "satellite/satellite.h"

struct admin;

struct admin_config {
	struct satellite *sat;		 /* borrowed */
	const struct rpc_server *server; /* for its figures; borrowed */
	/* Reads settings again; what it did, as JSON, to ret. */
	enum err (*reload)(struct call *call, void *arg, struct buf *ret);
	void *reload_arg;
};

/* Listens at the setting admin-address and reads the token of the satellite's directory, which is
 * made if there is none. */
enum err admin_start(struct call *call, const struct admin_config *config,
		     struct admin **ret) MUST_USE;
/* "ip:port" really bound. */
const char *admin_address(const struct admin *a);
/* Reads the token again; the old one holds on failure. */
enum err admin_reload_token(struct call *call, struct admin *a) MUST_USE;
void admin_stop(struct admin *a);

/* <dir>/admin-token, mode 0600: made unless it is there. */
enum err admin_token_make(struct call *call, const char *dir) MUST_USE;

#endif
