/*
 * What many piece streams share: connections to nodes, and the threads that run one blocking piece
 * stream each (style-models.md 5 e).  Nothing outside this room and rpc knows how streams are run.
 */
#ifndef ACRE_TRANSFER_FANOUT_H
#define ACRE_TRANSFER_FANOUT_H

#include "base/call.h"
#include "net/net.h"
#include "os/file.h"
#include "rpc/rpc.h"
#include "os/pacer.h"
#include "transfer/shy.h"

struct fanout;

enum {
	FANOUT_THREADS_MAX = 4096,
	FANOUT_CONNECTIONS_DEFAULT = 200,
	FANOUT_BUFFERS_MAX = 8, /* kept for the next transfer */
	FANOUT_FILES_MAX = 4,	/* the same of spools' files */
};

struct fanout_limits {
	unsigned connections_max; /* to nodes; 0 = FANOUT_CONNECTIONS_DEFAULT */
	unsigned threads_max;	  /* 0 = FANOUT_THREADS_MAX */
	int64_t dial_ns_max;	  /* 0 = 10 s (transport.md 10) */
	/* Bytes a second to and from nodes of all transfers together; 0 = no limit. */
	uint64_t upload_rate, download_rate;
	bool noise; /* nodes that offer it are called by Noise (noise.md), others by TLS */
};

/* tls is borrowed and must live longer. */
enum err fanout_new(struct call *call, const struct net_tls *tls, struct fanout_limits limits,
		    struct fanout **ret) MUST_USE;
/* Waits for what was started; NULL is fine. */
void fanout_free(struct fanout *f);
struct rpc_pool *fanout_connections(struct fanout *f);
/*
 * Streams to nodes, and so connections, are bounded for all transfers together: each stream has a
 * lease.  fanout_lease waits for `min` at least and takes up to `want`; who could wait for ever (he
 * may hold up those he waits for) gets min beyond the bound after FANOUT_LEASE_MS.  min is cut to
 * the bound unless `whole`: a download cannot do with fewer than it needs.
 */
enum { FANOUT_LEASE_MS = 10000 };
enum err fanout_lease(struct call *call, struct fanout *f, unsigned min, unsigned want, bool whole,
		      unsigned *ret_count) MUST_USE;
/* One, if that is possible at once; with `beyond` in any case. */
bool fanout_lease_one(struct fanout *f, bool beyond);
void fanout_unlease(struct fanout *f, unsigned count);
/* Whether so many could be had at once. */
bool fanout_has_leases(struct fanout *f, unsigned count);

bool fanout_noise(const struct fanout *f);
/* What goes to nodes waits for one, what comes from them for the other. */
struct pacer *fanout_upload_pacer(struct fanout *f);
struct pacer *fanout_download_pacer(struct fanout *f);
struct shy_nodes *fanout_shy(struct fanout *f);
/* Runs fn(arg) in a thread of its own.  When it fails fn is never called. */
enum err fanout_start(struct call *call, struct fanout *f, void (*fn)(void *arg),
		      void *arg) MUST_USE;

/* Large buffers that one transfer after another uses, so that memory stays what one needs (an
 * allocator keeps what each of many threads once freed).  The content is undefined.  NULL without
 * memory. */
void *fanout_buffer(struct fanout *f, size_t size);
void fanout_buffer_put(struct fanout *f, void *buffer, size_t size);
/* The same for temporary files without a name: NULL when there is none, and nothing to put. */
struct os_file *fanout_file(struct fanout *f);
void fanout_file_put(struct fanout *f, struct os_file *file);

#endif
