/* Building garbage filters and seeing them sent. */
#include "satellite/gc.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "order/bloom.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/log.h"
#include "os/pool.h"
#include "os/random.h"
#include "satellite/overlay.h"
#include "satellite/satellite.h"
#include "satellite/segment_loop.h"

enum {
	GC_NODES_MAX = 1000000,
	JOBS_MAX = 8192,
	SENDERS = 8,
	NODE_BYTES = 256, /* of memory besides the table, roughly */
};
/* Clocks of satellites that share a database differ by less than that. */
#define CLOCKS_NS (600 * NS_PER_SEC)
/* Longer than any pass takes. */
#define JOURNAL_NS (14 * 24 * 3600 * NS_PER_SEC)

struct gc_node {
	struct node_id id;
	uint32_t alias;
	uint64_t expected; /* pieces, when they were last counted */
	uint64_t pieces;   /* seen in this pass */
	const char *address;
	uint8_t *wire; /* NULL: not in this pass */
	struct bloom filter;
	enum { GC_WAITS, GC_IN_PASS, GC_SENT, GC_FAILED, GC_HELD_BACK } state;
};

struct gc {
	struct satellite *sat;
	struct segment_loop *loop;
	struct gc_report last;
	/* Of a run. */
	struct arena arena;
	struct gc_node *nodes;
	size_t nodes_count;
	uint32_t *by_alias; /* index of the node + 1 */
	uint32_t aliases_count;
	/* Of a pass. */
	struct piece_derive *jobs;
	uint32_t *job_nodes;
	struct piece_id *ids;
	size_t jobs_count;
	int64_t started_ns, newest_ns;
	bool complete;
	struct chore *chore; /* of the run */
};

/* ---- adding pieces ---- */

static void derive(struct gc *gc)
{
	piece_ids_derive(gc->jobs, gc->jobs_count, gc->ids);
	for (size_t i = 0; i < gc->jobs_count; i++) {
		struct gc_node *n = &gc->nodes[gc->job_nodes[i]];
		bloom_add(&n->filter, n->wire, &gc->ids[i]);
	}
	gc->jobs_count = 0;
}

/* The pieces of a segment that lie on nodes of this pass.  root must stay until derive. */
static void add_pieces(struct gc *gc, const struct piece_id *root, const struct piece *pieces,
		       size_t count, bool counted)
{
	if (gc->jobs_count + count > JOBS_MAX)
		derive(gc);
	for (size_t i = 0; i < count; i++) {
		uint32_t alias = pieces[i].alias;
		uint32_t at = alias < gc->aliases_count ? gc->by_alias[alias] : 0;
		if (!at || !gc->nodes[at - 1].wire)
			continue;
		struct gc_node *n = &gc->nodes[at - 1];
		gc->jobs[gc->jobs_count] = (struct piece_derive){ root, &n->id, pieces[i].number };
		gc->job_nodes[gc->jobs_count++] = at - 1;
		n->pieces += counted;
	}
}

static enum err gc_begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct gc *gc = arg;

	gc->started_ns = run->started_ns;
	gc->newest_ns = 0;
	gc->jobs_count = 0;
	gc->complete = false;
	return OK;
}

static enum err gc_segments(struct call *call, void *arg, const struct segment_run *run,
			    const struct loop_segment *list, size_t count)
{
	struct gc *gc = arg;

	for (size_t i = 0; i < count; i++) {
		const struct loop_segment *s = &list[i];
		if (s->damaged)
			return call_fail(call, ERR_DATA_LOSS,
					 "a segment's list of pieces is damaged: no filter is sent "
					 "that might lack them");
		if (s->is_inline)
			continue;
		gc->newest_ns = MAX(gc->newest_ns, s->created_ns);
		add_pieces(gc, &s->root, s->pieces, s->pieces_count, true);
	}
	derive(gc);
	return OK;
}

static enum err gc_end(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	struct gc *gc = arg;

	gc->complete = complete;
	return OK;
}

/* ---- copies ---- */

enum err gc_note_copy(struct call *call, struct db_tx *tx, struct bytes stream, int64_t now_ns)
{
	return DB_EXEC(call, tx,
		       "INSERT INTO copied_streams (stream_id, copied_at) VALUES ($1, $2)", NULL,
		       DB_V_BLOB(stream), DB_V_INT(now_ns));
}

static enum err forget_copies(struct call *call, struct db_tx *tx, void *arg)
{
	return DB_EXEC(call, tx, "DELETE FROM copied_streams WHERE copied_at < $1", NULL,
		       DB_V_INT(os_clock_unix_ns() - JOURNAL_NS));
}

enum err gc_forget_copies(struct call *call, struct satellite *sat)
{
	return db_write(call, sat->db, forget_copies, NULL);
}

static enum err add_copy(struct call *call, struct gc *gc, const struct db_rows *rows)
{
	struct piece pieces[PIECE_LIST_MAX];
	struct piece_id root;
	size_t count = 0;

	if (db_bytes(rows, 0).len != PIECE_ID_BYTES)
		return call_fail(call, ERR_DATA_LOSS, "a copied segment is damaged");
	memcpy(root.b, db_bytes(rows, 0).data, PIECE_ID_BYTES);
	TRY_PLAIN(piece_list_decode(call, db_bytes(rows, 1), pieces, &count));
	add_pieces(gc, &root, pieces, count, false);
	derive(gc);
	return OK;
}

/* In one snapshot: what is copied later has an original that the pass saw, or one that is here. */
static enum err add_copies(struct call *call, struct db_tx *tx, void *arg)
{
	struct gc *gc = arg;
	struct db_rows *rows = NULL;
	enum err e;

	/* Filters go to nodes next, and nodes have no fence. */
	TRY_PLAIN(chore_fence(call, tx, gc->chore));
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT s.root_piece_id, s.pieces FROM copied_streams c JOIN segments s "
			   "ON s.stream_id = c.stream_id WHERE c.copied_at >= $1 AND "
			   "s.redundancy <> 0",
			   &rows, DB_V_INT(gc->started_ns - CLOCKS_NS)));
	while (!(e = db_rows_next(call, rows))) {
		e = add_copy(call, gc, rows);
		if (e)
			break;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- choosing nodes ---- */

static enum err read_candidates(struct call *call, struct db_tx *tx, void *arg)
{
	struct gc *gc = arg;
	struct db_rows *rows = NULL;
	size_t room = 0;
	enum err e;

	gc->nodes_count = 0;
	TRY_PLAIN(db_query(call, tx, "SELECT COUNT(*) FROM node_tallies", NULL, 0, &rows));
	e = db_rows_next(call, rows);
	if (!e)
		room = (size_t)MIN(db_int(rows, 0), (int64_t)GC_NODES_MAX);
	db_rows_free(rows);
	TRY_PLAIN(e);
	arena_reset(&gc->arena);
	gc->nodes = arena_array(&gc->arena, room + 1, sizeof(*gc->nodes));
	if (!gc->nodes)
		return call_fail(call, ERR_NO_MEMORY, "no room for the nodes");
	TRY_PLAIN(db_query(call, tx,
			   "SELECT n.id, a.alias, t.pieces FROM node_tallies t JOIN node_aliases a "
			   "ON a.node_id = t.node_id JOIN nodes n ON n.id = t.node_id LEFT JOIN "
			   "node_filters f ON f.node_id = t.node_id WHERE t.pieces > 0 AND "
			   "COALESCE(n.disqualified_at, 0) = 0 AND "
			   "COALESCE(n.exit_initiated_at, 0) = 0 ORDER BY COALESCE(f.sent_at, 0), "
			   "a.alias",
			   NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows)) && gc->nodes_count < room) {
		struct gc_node *n = &gc->nodes[gc->nodes_count];
		*n = (struct gc_node){ .alias = (uint32_t)db_int(rows, 1),
				       .expected = (uint64_t)db_int(rows, 2) };
		gc->nodes_count += node_id_from_bytes(db_bytes(rows, 0), &n->id) == OK;
	}
	db_rows_free(rows);
	return e && e != ERR_NOT_FOUND ? e : OK;
}

/* Those that cannot be reached now have to wait. */
static enum err keep_online(struct call *call, struct gc *gc)
{
	struct node_place *places = NULL;
	size_t kept = 0;

	struct node_id *ids = arena_array(&call->scratch, gc->nodes_count + 1, sizeof(*ids));
	if (!ids)
		return call_fail(call, ERR_NO_MEMORY, "no room for the nodes");
	for (size_t i = 0; i < gc->nodes_count; i++)
		ids[i] = gc->nodes[i].id;
	TRY_PLAIN(satellite_lookup_nodes(call, gc->sat, &gc->arena, ids, gc->nodes_count, &places));
	for (size_t i = 0; i < gc->nodes_count; i++) {
		if (!places[i].online || !places[i].address[0])
			continue;
		gc->nodes[kept] = gc->nodes[i];
		gc->nodes[kept++].address = places[i].address;
	}
	gc->nodes_count = kept;
	return OK;
}

static enum err index_aliases(struct call *call, struct gc *gc)
{
	gc->aliases_count = 0;
	for (size_t i = 0; i < gc->nodes_count; i++)
		gc->aliases_count = MAX(gc->aliases_count, gc->nodes[i].alias + 1);
	gc->by_alias = arena_array(&gc->arena, (size_t)gc->aliases_count + 1, sizeof(uint32_t));
	if (!gc->by_alias)
		return call_fail(call, ERR_NO_MEMORY, "no room for the nodes");
	memset(gc->by_alias, 0, ((size_t)gc->aliases_count + 1) * sizeof(uint32_t));
	for (size_t i = 0; i < gc->nodes_count; i++)
		gc->by_alias[gc->nodes[i].alias] = (uint32_t)i + 1;
	return OK;
}

/* As many waiting nodes as the memory for filters allows, but one. */
static enum err open_filters(struct call *call, struct gc *gc, size_t *ret_count)
{
	const struct satellite_config *c = &gc->sat->config;
	uint8_t seed = (uint8_t)os_random_below(BLOOM_SEED_MAX + 1);
	uint64_t used = 0;
	size_t count = 0;

	for (size_t i = 0; i < gc->nodes_count; i++) {
		struct gc_node *n = &gc->nodes[i];
		if (n->state != GC_WAITS)
			continue;
		struct bloom_size size = bloom_size(n->expected, (double)c->gc_false_percent / 100,
						    (size_t)MIN(c->gc_filter_max, c->gc_memory));
		if (count && used + size.table_bytes + NODE_BYTES > c->gc_memory)
			break;
		n->wire = malloc(BLOOM_HEAD_BYTES + size.table_bytes);
		if (!n->wire)
			return call_fail(call, ERR_NO_MEMORY, "no room for a garbage filter");
		bloom_begin(n->wire, seed, size, &n->filter);
		n->state = GC_IN_PASS;
		n->pieces = 0;
		used += size.table_bytes + NODE_BYTES;
		count++;
	}
	*ret_count = count;
	return OK;
}

static void close_filters(struct gc *gc)
{
	for (size_t i = 0; i < gc->nodes_count; i++) {
		free(gc->nodes[i].wire);
		gc->nodes[i].wire = NULL;
	}
}

/* ---- sending ---- */

/* Of several threads; each touches a node of its own. */
struct sending {
	struct call *call;
	struct gc *gc;
	struct gc_node *node;
	int64_t created_before_ns;
};

static void send_filter(void *arg)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct sending *s = arg;
	struct gc_node *n = s->node;
	const struct gc_filter f = { n->id, n->address,
				     BYTES(n->wire, BLOOM_HEAD_BYTES + n->filter.table.len),
				     s->created_before_ns };
	char id[NODE_ID_TEXT_MAX];

	call_init_child(&own, s->call);
	enum err e = gc_send(&own, s->gc->sat, &f);
	n->state = e ? GC_FAILED : GC_SENT;
	if (!e)
		return;
	node_id_text(&n->id, id);
	log_info("a garbage filter could not be sent", F_STR("node", id),
		 F_STR("why", call_error(&own, e)));
}

/* A pass that saw far fewer pieces of a node than were counted before may have missed some. */
static bool plausible(const struct gc *gc, const struct gc_node *n)
{
	uint64_t least = n->expected - n->expected / 100 * MIN(gc->sat->config.gc_drop_max, 100);
	char id[NODE_ID_TEXT_MAX];

	if (n->expected < 100 || n->pieces >= least)
		return true;
	node_id_text(&n->id, id);
	log_warn("a garbage filter is held back: many pieces fewer than were counted last",
		 F_STR("node", id), F_U64("pieces", n->pieces), F_U64("counted", n->expected));
	return false;
}

static enum err send_all(struct call *call, struct gc *gc)
{
	/* Nothing younger than what the pass saw, nor than its own begin. */
	int64_t before = MIN(gc->newest_ns, gc->started_ns) - gc->sat->config.gc_margin;
	struct sending *list = arena_array(&call->scratch, gc->nodes_count + 1, sizeof(*list));
	struct os_pool *pool = NULL;
	enum err e = OK;

	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "no room for sending");
	TRY_PLAIN(os_pool_new(call, "gc-send", SENDERS, (unsigned)gc->nodes_count + 1, &pool));
	for (size_t i = 0; i < gc->nodes_count && !e; i++) {
		struct gc_node *n = &gc->nodes[i];
		if (n->state != GC_IN_PASS)
			continue;
		if (!plausible(gc, n)) {
			n->state = GC_HELD_BACK;
			continue;
		}
		list[i] = (struct sending){ call, gc, n, before };
		e = os_pool_submit(call, pool, send_filter, &list[i]);
	}
	os_pool_free(pool);
	return e;
}

static enum err store_sent(struct call *call, struct db_tx *tx, void *arg)
{
	struct gc *gc = arg;

	for (size_t i = 0; i < gc->nodes_count; i++) {
		const struct gc_node *n = &gc->nodes[i];
		if (!n->wire || n->state != GC_SENT)
			continue;
		TRY_PLAIN(DB_EXEC(
			call, tx,
			"INSERT INTO node_filters (node_id, sent_at, pieces, bytes) VALUES ($1, "
			"$2, $3, $4) ON CONFLICT (node_id) DO UPDATE SET sent_at = "
			"excluded.sent_at, pieces = excluded.pieces, bytes = excluded.bytes",
			NULL, DB_V_BLOB(node_id_bytes(&n->id)), DB_V_INT(gc->started_ns),
			DB_V_INT((int64_t)n->pieces), DB_V_INT((int64_t)n->filter.table.len)));
	}
	return OK;
}

static void count_states(struct gc *gc)
{
	struct gc_report *r = &gc->last;

	r->sent = r->failed = r->held_back = 0;
	r->nodes = gc->nodes_count;
	for (size_t i = 0; i < gc->nodes_count; i++) {
		const struct gc_node *n = &gc->nodes[i];
		r->sent += n->state == GC_SENT;
		r->failed += n->state == GC_FAILED;
		r->held_back += n->state == GC_HELD_BACK;
		if (!n->wire || n->state != GC_SENT)
			continue;
		r->pieces += n->pieces;
		r->bytes += BLOOM_HEAD_BYTES + n->filter.table.len;
	}
}

/* ---- a run ---- */

static enum err pass(struct call *call, struct gc *gc, struct chore *chore)
{
	gc->chore = chore;
	TRY_PLAIN(segment_loop_run(call, gc->loop,
				   (unsigned)satellite_live(gc->sat)->segment_loop_share, chore));
	if (!gc->complete)
		return call_fail(call, ERR_ABORTED, "the pass over the segments was not whole");
	TRY(db_read(call, gc->sat->db, add_copies, gc), "look at copies");
	TRY_PLAIN(send_all(call, gc));
	return db_write(call, gc->sat->db, store_sent, gc);
}

static enum err run(struct call *call, struct gc *gc, struct chore *chore)
{
	size_t count = 0;

	TRY(db_read(call, gc->sat->db, read_candidates, gc), "choose nodes");
	TRY_PLAIN(keep_online(call, gc));
	TRY_PLAIN(index_aliases(call, gc));
	for (;;) {
		AUTO_CALL struct call own = CALL_INIT;
		call_init_child(&own, call);
		enum err e = open_filters(&own, gc, &count);
		if (!e && !count)
			return OK;
		if (!e)
			e = pass(&own, gc, chore);
		gc->last.passes++;
		count_states(gc);
		close_filters(gc);
		if (e) {
			call_copy_error(call, &own);
			return e;
		}
	}
}

static enum err make_room(struct call *call, struct gc *gc)
{
	gc->jobs = calloc(JOBS_MAX, sizeof(*gc->jobs));
	gc->job_nodes = calloc(JOBS_MAX, sizeof(*gc->job_nodes));
	gc->ids = calloc(JOBS_MAX, sizeof(*gc->ids));
	return gc->jobs && gc->job_nodes && gc->ids
		       ? OK
		       : call_fail(call, ERR_NO_MEMORY, "no room for garbage collection");
}

/* Between runs it holds next to nothing. */
static void give_back(struct gc *gc)
{
	free(gc->jobs);
	free(gc->job_nodes);
	free(gc->ids);
	gc->jobs = NULL;
	gc->job_nodes = NULL;
	gc->ids = NULL;
	gc->nodes = NULL;
	gc->nodes_count = 0;
	arena_free(&gc->arena);
}

enum err gc_run(struct call *call, struct chore *chore, void *arg)
{
	struct gc *gc = arg;
	const struct gc_report *r = &gc->last;

	gc->last = (struct gc_report){ 0 };
	enum err e = make_room(call, gc);
	if (!e)
		e = run(call, gc, chore);
	give_back(gc);
	if (!e)
		e = gc_forget_copies(call, gc->sat);
	if (chore)
		chore_note(chore, "filters for %zu of %zu nodes, %llu pieces, %u passes", r->sent,
			   r->nodes, (unsigned long long)r->pieces, r->passes);
	if (r->nodes)
		log_info("garbage filters sent", F_U64("nodes", r->sent), F_U64("of", r->nodes),
			 F_U64("pieces", r->pieces), F_U64("bytes", r->bytes));
	return e;
}

struct gc_report gc_last(const struct gc *gc)
{
	return gc->last;
}

struct segment_loop *gc_loop(struct gc *gc)
{
	return gc->loop;
}

enum err gc_new(struct call *call, struct satellite *sat, struct gc **ret)
{
	struct gc *gc = calloc(1, sizeof(*gc));

	if (!gc)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	const struct segment_observer observer = { "garbage", gc, gc_begin, gc_segments, gc_end };
	gc->sat = sat;
	enum err e = segment_loop_new(call, sat, &gc->loop);
	if (!e)
		e = segment_loop_add(call, gc->loop, &observer);
	if (e) {
		gc_free(gc);
		return e;
	}
	*ret = gc;
	return OK;
}

void gc_free(struct gc *gc)
{
	if (!gc)
		return;
	segment_loop_free(gc->loop);
	arena_free(&gc->arena);
	free(gc);
}
