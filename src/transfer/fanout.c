/* Piece streams run in threads from a capped pool, over pooled connections. */
#include "transfer/fanout.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "os/pool.h"

struct fanout {
	struct rpc_pool *connections;
	struct os_pool *threads;
};

DEFINE_AUTO_PTR(struct fanout, fanout_auto, fanout_free)

enum err fanout_new(struct call *call, const struct net_tls *tls, struct fanout_limits limits,
		    struct fanout **ret)
{
	struct fanout *f AUTO(fanout_auto) = calloc(1, sizeof(*f));
	unsigned threads = limits.threads_max ? limits.threads_max : FANOUT_THREADS_MAX;
	struct rpc_pool_limits pool = {
		.total_max = limits.connections_max ? limits.connections_max
						    : FANOUT_CONNECTIONS_DEFAULT,
		.dial_ns_max = limits.dial_ns_max,
	};

	if (!f)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(rpc_pool_new(call, tls, pool, &f->connections));
	/* A queue as long as the pool is wide: work above the cap is refused, not forgotten. */
	TRY_PLAIN(os_pool_new(call, "piece", threads, threads, &f->threads));
	*ret = take(&f);
	return OK;
}

void fanout_free(struct fanout *f)
{
	if (!f)
		return;
	os_pool_free(f->threads);
	if (f->connections)
		rpc_pool_free(f->connections);
	free(f);
}

struct rpc_pool *fanout_connections(struct fanout *f)
{
	return f->connections;
}

enum err fanout_start(struct call *call, struct fanout *f, void (*fn)(void *arg), void *arg)
{
	return os_pool_submit(call, f->threads, fn, arg);
}
