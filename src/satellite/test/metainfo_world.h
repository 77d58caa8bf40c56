/* A satellite with made-up nodes behind a real server on loopback, and a client of it. */
#ifndef ACRE_SATELLITE_TEST_METAINFO_WORLD_H
#define ACRE_SATELLITE_TEST_METAINFO_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "order/order.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/random.h"
#include "proto/proto.h"
#include "proto/zstd.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/keys.h"
#include "satellite/metainfo_internal.h"
#include "satellite/overlay.h"
#include "satellite/ratelimit.h"
#include "satellite/test/explain.h"

enum { NODES = 7 }; /* the code is 2/3/4/5 */

struct world {
	struct call call;
	struct satellite sat;
	struct rpc_server *server;
	struct identity *client_id, *nodes[NODES];
	struct net_tls *client_tls;
	struct rpc_conn *conn;
	struct project project;
	struct macaroon key;
	struct bytes key_bytes;
	Metainfo__RequestHeader header;
	const char *path;
	_Atomic bool asking;
	struct sql_trace trace; /* of requests: each has to find its rows by an index */
};

extern const char *world_kind; /* "sqlite" or "postgres" */

int world_setup(void **state);
int world_teardown(void **state);

/* Another client of the same satellite with the key in use, for a thread of its own. */
struct world *world_client(struct world *w);
void world_client_free(struct world *client);

/* Every request of a world is made through one of these.  The failure's text and status are in the
 * call. */
enum err ask(struct world *w, const char *method, void *request, void *ret_response);
/* Uses another API key from now on. */
void use_key(struct world *w, const struct macaroon *key);
/* The world's key with a caveat. */
struct macaroon restricted(struct world *w, const struct caveat *c);

enum form { FORM_BATCH, FORM_PLAIN, FORM_ZSTD, FORMS };
enum err ask_batch(struct world *w, enum form form, Metainfo__BatchRequestItem *const *items,
		   size_t count, Metainfo__BatchResponse **ret);

#define MESSAGE(w, Type, c_name)                                                                   \
	((Metainfo__##Type *)message_new(&(w)->call.scratch, &metainfo__##c_name##__descriptor))
#define VIEW(text) proto_view(bytes_str(text))

static inline void must(struct world *w, enum err e)
{
	if (e)
		fail_msg("%s (status %llu): %s", err_name(e), (unsigned long long)w->call.status,
			 call_error(&w->call, e));
}

/* The request failed with that DRPC status and a text that begins so. */
static inline void refused(struct world *w, enum err e, uint64_t status, const char *text)
{
	if (!e || w->call.status != status || strncmp(w->call.error, text, strlen(text)) != 0)
		fail_msg("got %s (status %llu): %s; wanted %llu: %s", err_name(e),
			 (unsigned long long)w->call.status, w->call.error,
			 (unsigned long long)status, text);
	call_clear_error(&w->call);
}

#endif
