/*
 * What a satellite counts of itself, for Prometheus and in the log: requests, their outcomes and
 * times, waiting for the database, nodes, segments.  Sums only: of nobody's, and nothing that
 * names anybody.  Counting never waits.
 */
#ifndef ACRE_SATELLITE_METRICS_H
#define ACRE_SATELLITE_METRICS_H

#include "satellite/satellite.h"

struct segment_loop;

/* Watches the database from then on; sat->metrics.  Before there is any other work. */
enum err metrics_open(struct call *call, struct satellite *sat) MUST_USE;
void metrics_free(struct metrics *m);

/* The methods that will be served: rpc_server_config.observe of a satellite is metrics_observe. */
enum err metrics_set_methods(struct call *call, struct metrics *m, const struct rpc_method *methods,
			     size_t count) MUST_USE;
void metrics_observe(void *service, const struct rpc_method *method, enum err e, int64_t ns);
/* One item of a batch; `item` is its number in metainfo_table, beyond: unknown. */
void metrics_batch_item(struct metrics *m, size_t item, enum err e);
/* Counts segments as they are shown. */
enum err metrics_watch_segments(struct call *call, struct satellite *sat,
				struct segment_loop *loop) MUST_USE;

/* All of it in Prometheus' text format; server may be NULL. */
void metrics_add(struct satellite *sat, const struct rpc_server *server, struct buf *out);

#endif
