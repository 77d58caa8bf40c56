/* Counters, histograms, and how Prometheus reads them. */
#include "satellite/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/overlay.h"
#include "satellite/repair.h"
#include "satellite/segment_loop.h"

enum { STATUS_COUNT = 18, BOUNDS = 15, ITEMS_MAX = 128 };

/* DRPC's status codes (transport.md 7.7). */
static const char *const status_names[STATUS_COUNT] = {
	"Unknown",	     "OK",
	"Canceled",	     "InvalidArgument",
	"DeadlineExceeded",  "NotFound",
	"AlreadyExists",     "PermissionDenied",
	"ResourceExhausted", "FailedPrecondition",
	"Aborted",	     "OutOfRange",
	"Unimplemented",     "Internal",
	"Unavailable",	     "DataLoss",
	"Unauthenticated",   "MethodNotAllowed",
};

/* Milliseconds. */
static const double bounds[BOUNDS] = { 0.2, 0.5, 1,   2,    5,	  10,	20,   50,
				       100, 200, 500, 1000, 2000, 5000, 30000 };

struct histogram {
	_Atomic uint64_t counts[BOUNDS + 1]; /* each its own; the last: longer than all */
	_Atomic uint64_t sum_ns;
};

struct rpc_figures {
	_Atomic uint64_t outcomes[STATUS_COUNT];
	struct histogram times;
};

/* Of one pass over all segments. */
struct segment_figures {
	uint64_t objects, remote, inlined, remote_bytes, inline_bytes, pieces, damaged;
	struct stream_uuid last;
	int64_t ended_ns; /* Unix; 0: no pass ended yet */
};

struct metrics {
	struct db *db;
	const struct satellite *sat;
	const struct rpc_method *methods;
	size_t methods_count;
	struct rpc_figures *rpc; /* one for each method, and one more for names it does not know */
	_Atomic uint64_t items[ITEMS_MAX + 1][STATUS_COUNT];
	struct histogram database[2]; /* reading, writing */
	_Atomic uint64_t slow;
	/* The pass under way belongs to its thread; what came of the last one is under the lock. */
	struct segment_figures pass, last;
	struct os_mutex lock;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void histogram_add(struct histogram *h, int64_t ns)
{
	double ms = (double)ns / (double)NS_PER_MS;
	unsigned i = 0;

	while (i < BOUNDS && ms > bounds[i])
		i++;
	add(&h->counts[i], 1);
	add(&h->sum_ns, (uint64_t)MAX(ns, 0));
}

static unsigned status_of(enum err e)
{
	uint32_t status = err_status(e);

	return status < STATUS_COUNT ? status : 0;
}

/* ---- the database ---- */

static void on_transaction(void *arg, bool writes, int64_t ns)
{
	struct metrics *m = arg;

	histogram_add(&m->database[writes], ns);
}

static void on_statement(void *arg, const struct call *call, const char *sql, int64_t ns)
{
	struct metrics *m = arg;
	int64_t most = satellite_live(m->sat)->slow_statement;
	char request[CALL_REQUEST_TEXT];

	if (most == 0 || ns < most)
		return;
	add(&m->slow, 1);
	call_request_text(call, request);
	log_warn("slow statement", F_NS("ms", ns), F_STR("request", request), F_STR("sql", sql));
}

enum err metrics_open(struct call *call, struct satellite *sat)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	m->db = sat->db;
	m->sat = sat;
	const struct db_observer observer = { on_transaction, on_statement, m };
	db_observe(sat->db, &observer);
	sat->metrics = m;
	return OK;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	os_mutex_fini(&m->lock);
	free(m->rpc);
	free(m);
}

/* ---- requests ---- */

enum err metrics_set_methods(struct call *call, struct metrics *m, const struct rpc_method *methods,
			     size_t count)
{
	m->rpc = calloc(count + 1, sizeof(*m->rpc));
	if (!m->rpc)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	m->methods = methods;
	m->methods_count = count;
	return OK;
}

void metrics_observe(void *service, const struct rpc_method *method, enum err e, int64_t ns)
{
	const struct satellite *sat = service;
	struct metrics *m = sat->metrics;
	struct rpc_figures *f = &m->rpc[method ? (size_t)(method - m->methods) : m->methods_count];

	add(&f->outcomes[status_of(e)], 1);
	histogram_add(&f->times, ns);
}

void metrics_batch_item(struct metrics *m, size_t item, enum err e)
{
	if (m)
		add(&m->items[MIN(item, (size_t)ITEMS_MAX)][status_of(e)], 1);
}

/* ---- segments ---- */

static enum err loop_begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct metrics *m = arg;

	m->pass = (struct segment_figures){ 0 };
	return OK;
}

static enum err loop_segments(struct call *call, void *arg, const struct segment_run *run,
			      const struct loop_segment *list, size_t count)
{
	struct metrics *m = arg;
	struct segment_figures *p = &m->pass;

	for (size_t i = 0; i < count; i++) {
		const struct loop_segment *s = &list[i];
		uint64_t size = (uint64_t)MAX(s->encrypted_size, 0);
		/* They come by stream. */
		p->objects += memcmp(&p->last, &s->stream, sizeof(p->last)) != 0;
		p->last = s->stream;
		*(s->is_inline ? &p->inlined : &p->remote) += 1;
		*(s->is_inline ? &p->inline_bytes : &p->remote_bytes) += size;
		p->pieces += s->pieces_count;
		p->damaged += s->damaged;
	}
	return OK;
}

static enum err loop_end(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	struct metrics *m = arg;

	if (!complete)
		return OK;
	m->pass.ended_ns = os_clock_unix_ns();
	OS_LOCKED(&m->lock);
	m->last = m->pass;
	return OK;
}

enum err metrics_watch_segments(struct call *call, struct satellite *sat, struct segment_loop *loop)
{
	const struct segment_observer observer = { "metrics", sat->metrics, loop_begin,
						   loop_segments, loop_end };

	/* Tests put a satellite together without figures. */
	return sat->metrics ? segment_loop_add(call, loop, &observer) : OK;
}

/* ---- Prometheus' text format, version 0.0.4 ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
	head(out, name, "gauge", help);
	buf_printf(out, "%s %.17g\n", name, value);
}

static void counter(struct buf *out, const char *name, const char *help, double value)
{
	head(out, name, "counter", help);
	buf_printf(out, "%s %.17g\n", name, value);
}

/* label: `rpc="..."`. */
static void histogram_print(struct buf *out, const char *name, const char *label,
			    const struct histogram *h)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < BOUNDS; i++) {
		sum += get(&h->counts[i]);
		buf_printf(out, "%s_bucket{%s,le=\"%g\"} %llu\n", name, label, bounds[i] / 1000,
			   (unsigned long long)sum);
	}
	sum += get(&h->counts[BOUNDS]);
	buf_printf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, label, (unsigned long long)sum);
	buf_printf(out, "%s_sum{%s} %.9f\n", name, label,
		   (double)get(&h->sum_ns) / (double)NS_PER_SEC);
	buf_printf(out, "%s_count{%s} %llu\n", name, label, (unsigned long long)sum);
}

static void add_outcomes(struct buf *out, const char *name, const char *rpc,
			 const _Atomic uint64_t outcomes[STATUS_COUNT])
{
	for (unsigned i = 0; i < STATUS_COUNT; i++) {
		uint64_t n = get(&outcomes[i]);
		if (n)
			buf_printf(out, "%s{rpc=\"%s\",outcome=\"%s\"} %llu\n", name, rpc,
				   status_names[i], (unsigned long long)n);
	}
}

/* "metainfo.Metainfo/GetObject"; names that came from outside are not told. */
static const char *rpc_name(const struct metrics *m, size_t i)
{
	return i < m->methods_count ? m->methods[i].name + 1 : "unknown";
}

static bool was_called(const struct rpc_figures *f)
{
	for (unsigned i = 0; i <= BOUNDS; i++)
		if (get(&f->times.counts[i]))
			return true;
	return false;
}

static void add_rpcs(struct metrics *m, struct buf *out)
{
	char label[RPC_METHOD_MAX];

	if (!m->rpc)
		return;
	head(out, "acre_rpc_requests_total", "counter", "Requests that ended, by outcome.");
	for (size_t i = 0; i <= m->methods_count; i++)
		add_outcomes(out, "acre_rpc_requests_total", rpc_name(m, i), m->rpc[i].outcomes);
	head(out, "acre_rpc_seconds", "histogram", "How long they took.");
	for (size_t i = 0; i <= m->methods_count; i++) {
		if (!was_called(&m->rpc[i]))
			continue;
		snprintf(label, sizeof(label), "rpc=\"%s\"", rpc_name(m, i));
		histogram_print(out, "acre_rpc_seconds", label, &m->rpc[i].times);
	}
	head(out, "acre_batch_items_total", "counter", "Items of batches that ended, by outcome.");
	for (size_t i = 0; i <= ITEMS_MAX; i++) {
		snprintf(label, sizeof(label), "metainfo.Metainfo/%s",
			 i < metainfo_table_count ? metainfo_table[i].name : "unknown");
		add_outcomes(out, "acre_batch_items_total", label, m->items[i]);
	}
}

static void add_database(struct metrics *m, struct buf *out)
{
	head(out, "acre_database_seconds", "histogram",
	     "How long requests and chores waited for a transaction, queueing included.");
	histogram_print(out, "acre_database_seconds", "kind=\"read\"", &m->database[0]);
	histogram_print(out, "acre_database_seconds", "kind=\"write\"", &m->database[1]);
	gauge(out, "acre_database_waiting", "Who waits for the database now.",
	      (double)db_waiting(m->db));
	counter(out, "acre_database_slow_statements_total",
		"Statements that took longer than the setting slow-statement.",
		(double)get(&m->slow));
}

static void add_nodes(struct satellite *sat, struct buf *out)
{
	struct overlay_count n = overlay_count(sat);

	head(out, "acre_nodes", "gauge", "Nodes: known, online, and taken for new pieces.");
	buf_printf(out,
		   "acre_nodes{state=\"known\"} %zu\nacre_nodes{state=\"online\"} %zu\n"
		   "acre_nodes{state=\"selectable\"} %zu\n",
		   n.known, n.online, n.selectable);
	gauge(out, "acre_node_networks", "Networks they are in.", (double)n.networks);
}

static void add_durability(struct metrics *m, struct buf *out)
{
	struct repair_durability d = repair_durability(m->sat);

	if (!d.ended_ns)
		return;
	gauge(out, "acre_segments_injured", "Segments to be repaired.", (double)d.injured);
	gauge(out, "acre_segments_lost", "Segments with too few pieces that can be read now.",
	      (double)d.lost);
	head(out, "acre_segments_by_spare_pieces", "gauge",
	     "Segments on nodes, by how many more pieces may be lost before they cannot be read.");
	for (unsigned i = 0; i <= REPAIR_SPARE_MAX; i++)
		if (d.spare[i])
			buf_printf(out, "acre_segments_by_spare_pieces{spare=\"%u\"} %llu\n", i,
				   (unsigned long long)d.spare[i]);
}

static void add_segments(struct metrics *m, struct buf *out)
{
	os_mutex_lock(&m->lock);
	struct segment_figures s = m->last;
	os_mutex_unlock(&m->lock);
	if (!s.ended_ns)
		return;
	gauge(out, "acre_segment_loop_end_time_seconds",
	      "When the last pass over all segments ended: what the next five are of.",
	      (double)s.ended_ns / (double)NS_PER_SEC);
	gauge(out, "acre_objects", "Objects with segments.", (double)s.objects);
	head(out, "acre_segments", "gauge", "Segments, on nodes and in the database.");
	buf_printf(out,
		   "acre_segments{kind=\"remote\"} %llu\nacre_segments{kind=\"inline\"} %llu\n",
		   (unsigned long long)s.remote, (unsigned long long)s.inlined);
	head(out, "acre_segment_bytes", "gauge", "Their encrypted bytes, without redundancy.");
	buf_printf(out,
		   "acre_segment_bytes{kind=\"remote\"} %llu\n"
		   "acre_segment_bytes{kind=\"inline\"} %llu\n",
		   (unsigned long long)s.remote_bytes, (unsigned long long)s.inline_bytes);
	gauge(out, "acre_pieces", "Pieces that segments name.", (double)s.pieces);
	gauge(out, "acre_segments_damaged", "Segments whose list of pieces cannot be read.",
	      (double)s.damaged);
}

static void add_process(struct buf *out)
{
	struct os_usage u;

	if (!os_process_usage(&u))
		return;
	gauge(out, "process_resident_memory_bytes", "Memory of the process.",
	      (double)u.resident_bytes);
	counter(out, "process_cpu_seconds_total", "User and system time.",
		(double)u.cpu_ns / (double)NS_PER_SEC);
	gauge(out, "process_threads", "Its threads.", (double)u.threads);
}

void metrics_add(struct satellite *sat, const struct rpc_server *server, struct buf *out)
{
	struct metrics *m = sat->metrics;

	add_rpcs(m, out);
	if (server)
		gauge(out, "acre_connections", "Open connections of clients and nodes.",
		      (double)rpc_server_connections(server));
	add_database(m, out);
	add_nodes(sat, out);
	add_segments(m, out);
	add_durability(m, out);
	add_process(out);
}
