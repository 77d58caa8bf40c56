/* Piece streams run in threads from a capped pool, over pooled connections. */
#include "transfer/fanout.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/pool.h"

/* Many small transfers at a time come back to the same nodes. */
enum { IDLE_PER_NODE = 16, TICK_MS = 100 /* how soon a cancellation is noticed */ };

struct buffer {
	void *data;
	size_t size;
};

struct fanout {
	struct rpc_pool *connections;
	struct os_pool *threads;
	struct pacer upload, download;
	struct shy_nodes shy;
	unsigned connections_max;
	bool noise;
	struct os_mutex lock; /* guards what follows */
	struct os_cond freed; /* leases */
	unsigned leased;
	struct buffer free_buffers[FANOUT_BUFFERS_MAX];
	struct os_file *free_files[FANOUT_FILES_MAX];
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
		.idle_per_key = IDLE_PER_NODE,
	};

	if (!f)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	f->connections_max = pool.total_max;
	f->noise = limits.noise;
	f->upload.rate = limits.upload_rate;
	f->download.rate = limits.download_rate;
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
	for (size_t i = 0; i < FANOUT_BUFFERS_MAX; i++)
		free(f->free_buffers[i].data);
	for (size_t i = 0; i < FANOUT_FILES_MAX; i++)
		os_file_close(f->free_files[i]);
	pacer_fini(&f->upload);
	pacer_fini(&f->download);
	shy_fini(&f->shy);
	os_mutex_fini(&f->lock);
	os_cond_fini(&f->freed);
	free(f);
}

struct rpc_pool *fanout_connections(struct fanout *f)
{
	return f->connections;
}

/* Lock held. */
static unsigned free_leases(const struct fanout *f)
{
	return f->connections_max - MIN(f->leased, f->connections_max);
}

/* Waits for leases to be given back, a tick at most.  Lock held, also on return. */
static enum err wait_freed(struct call *call, struct fanout *f)
{
	struct call tick;

	call_init(&tick);
	os_call_limit(&tick, TICK_MS * NS_PER_MS);
	enum err e = os_cond_wait(&tick, &f->freed, &f->lock);
	(void)e; /* a tick is no failure */
	call_fini(&tick);
	return os_call_check(call);
}

enum err fanout_lease(struct call *call, struct fanout *f, unsigned min, unsigned want, bool whole,
		      unsigned *ret_count)
{
	int64_t end = os_clock_mono_ns() + FANOUT_LEASE_MS * NS_PER_MS;

	if (!whole)
		min = MIN(min, f->connections_max);
	OS_LOCKED(&f->lock);
	while (free_leases(f) < min && f->leased && os_clock_mono_ns() < end)
		TRY_PLAIN(wait_freed(call, f));
	*ret_count = MAX(min, MIN(want, free_leases(f)));
	f->leased += *ret_count;
	return OK;
}

bool fanout_lease_one(struct fanout *f, bool beyond)
{
	OS_LOCKED(&f->lock);
	if (!beyond && !free_leases(f))
		return false;
	f->leased++;
	return true;
}

void fanout_unlease(struct fanout *f, unsigned count)
{
	OS_LOCKED(&f->lock);
	f->leased -= count;
	os_cond_broadcast(&f->freed);
}

bool fanout_has_leases(struct fanout *f, unsigned count)
{
	OS_LOCKED(&f->lock);
	return free_leases(f) >= count;
}

bool fanout_noise(const struct fanout *f)
{
	return f->noise;
}

struct pacer *fanout_upload_pacer(struct fanout *f)
{
	return &f->upload;
}

struct pacer *fanout_download_pacer(struct fanout *f)
{
	return &f->download;
}

struct shy_nodes *fanout_shy(struct fanout *f)
{
	return &f->shy;
}

enum err fanout_start(struct call *call, struct fanout *f, void (*fn)(void *arg), void *arg)
{
	return os_pool_submit(call, f->threads, fn, arg);
}

void *fanout_buffer(struct fanout *f, size_t size)
{
	os_mutex_lock(&f->lock);
	for (size_t i = 0; i < FANOUT_BUFFERS_MAX; i++) {
		struct buffer *b = &f->free_buffers[i];
		if (b->data && b->size == size) {
			void *data = take(&b->data);
			os_mutex_unlock(&f->lock);
			return data;
		}
	}
	os_mutex_unlock(&f->lock);
	return malloc(size);
}

void fanout_buffer_put(struct fanout *f, void *buffer, size_t size)
{
	if (!buffer)
		return;
	os_mutex_lock(&f->lock);
	struct buffer *to = &f->free_buffers[0];
	for (size_t i = 0; i < FANOUT_BUFFERS_MAX && to->data; i++)
		to = &f->free_buffers[i];
	struct buffer old = *to;
	*to = (struct buffer){ buffer, size };
	os_mutex_unlock(&f->lock);
	free(old.data);
}

struct os_file *fanout_file(struct fanout *f)
{
	OS_LOCKED(&f->lock);

	for (size_t i = 0; i < FANOUT_FILES_MAX; i++)
		if (f->free_files[i])
			return take(&f->free_files[i]);
	return NULL;
}

void fanout_file_put(struct fanout *f, struct os_file *file)
{
	os_mutex_lock(&f->lock);
	for (size_t i = 0; i < FANOUT_FILES_MAX && file; i++)
		if (!f->free_files[i])
			f->free_files[i] = take(&file);
	os_mutex_unlock(&f->lock);
	os_file_close(file);
}
