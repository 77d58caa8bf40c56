/* Confessed pieces leave the lists of their segments. */
#include "satellite/amnesty.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/audit_internal.h"
#include "satellite/store_metainfo.h"

enum {
	/* Who confesses so many per cent of its pieces at once stands as after so many audits that
	 * found one damaged. */
	WHOLE = 100,
	TRIES = 2, /* to change a list that others change, too */
	MATCHES_FIRST = 64,
};

struct confessor {
	struct node_id id;
	uint64_t pieces, lost; /* seen in this pass; of them confessed */
};

struct match {
	struct audit_ref ref;
	struct piece_id piece;
	uint32_t number, alias, confessor;
	bool removed;
};

struct amnesty {
	struct satellite *sat;
	/* Of a pass; nothing without confessions. */
	struct arena arena;
	struct lost_piece *list; /* by piece */
	size_t count;
	struct confessor *nodes; /* by ID */
	size_t nodes_count;
	uint32_t *by_alias; /* index of the node + 1 */
	uint32_t aliases_count;
	struct match *matches;
	size_t matches_count, matches_cap;
	bool full; /* more matched than there is room for: they wait for the next pass */
};

enum err amnesty_take(struct call *call, struct satellite *sat, const struct node_id *node,
		      const struct piece_id *list, size_t count)
{
	return count ? store_lost_put(call, sat->db, node, list, count, os_clock_unix_ns()) : OK;
}

/* ---- the pass ---- */

static void give_back(struct amnesty *a)
{
	arena_free(&a->arena);
	free(a->matches);
	*a = (struct amnesty){ .sat = a->sat };
}

static int by_piece(const void *x, const void *y)
{
	const struct lost_piece *a = x, *b = y;

	return memcmp(a->piece.b, b->piece.b, PIECE_ID_BYTES);
}

static int by_id(const void *x, const void *y)
{
	const struct confessor *a = x, *b = y;

	return memcmp(a->id.b, b->id.b, sizeof(a->id.b));
}

/* The list comes ordered by node. */
static enum err list_nodes(struct call *call, struct amnesty *a, const struct segment_run *run)
{
	a->nodes = arena_array(&a->arena, a->count, sizeof(*a->nodes));
	a->by_alias = arena_array(&a->arena, (size_t)run->nodes_count + 1, sizeof(*a->by_alias));
	if (!a->nodes || !a->by_alias)
		return call_fail(call, ERR_NO_MEMORY, "no room for nodes that confess");
	for (size_t i = 0; i < a->count; i++)
		if (!i || !node_id_equal(&a->list[i].node, &a->list[i - 1].node))
			a->nodes[a->nodes_count++] = (struct confessor){ .id = a->list[i].node };
	qsort(a->list, a->count, sizeof(*a->list), by_piece);
	a->aliases_count = run->nodes_count;
	for (uint32_t i = 0; i < run->nodes_count; i++) {
		struct confessor key = { .id = run->nodes[i].id };
		const struct confessor *c = run->nodes[i].flags & NODE_KNOWN
						    ? bsearch(&key, a->nodes, a->nodes_count,
							      sizeof(*a->nodes), by_id)
						    : NULL;
		a->by_alias[i] = c ? (uint32_t)(c - a->nodes) + 1 : 0;
	}
	return OK;
}

static enum err begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct amnesty *a = arg;

	give_back(a);
	TRY_PLAIN(store_lost_list(call, a->sat->db, &a->arena, AMNESTY_PASS_MAX, &a->list,
				  &a->count));
	enum err e = a->count ? list_nodes(call, a, run) : OK;
	if (e)
		give_back(a);
	return e;
}

static enum err add_match(struct call *call, struct amnesty *a, const struct match *m)
{
	if (a->matches_count == AMNESTY_PASS_MAX) {
		a->full = true;
		return OK;
	}
	if (a->matches_count == a->matches_cap) {
		size_t cap = a->matches_cap ? a->matches_cap * 2 : MATCHES_FIRST;
		struct match *more = realloc(a->matches, cap * sizeof(*more));
		if (!more)
			return call_fail(call, ERR_NO_MEMORY, "no room for lost pieces");
		a->matches = more;
		a->matches_cap = cap;
	}
	a->matches[a->matches_count++] = *m;
	a->nodes[m->confessor].lost++;
	return OK;
}

static enum err look(struct call *call, struct amnesty *a, const struct loop_segment *s)
{
	struct piece_derive jobs[PIECE_LIST_MAX];
	struct match found[PIECE_LIST_MAX];
	struct piece_id ids[PIECE_LIST_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < s->pieces_count; i++) {
		const struct piece *p = &s->pieces[i];
		uint32_t at = p->alias < a->aliases_count ? a->by_alias[p->alias] : 0;
		if (!at)
			continue;
		a->nodes[at - 1].pieces++;
		jobs[n] = (struct piece_derive){ &s->root, &a->nodes[at - 1].id, p->number };
		found[n++] = (struct match){ .ref = { s->stream, s->position },
					     .number = p->number,
					     .alias = p->alias,
					     .confessor = at - 1 };
	}
	if (n)
		piece_ids_derive(jobs, n, ids);
	for (size_t i = 0; i < n; i++) {
		struct lost_piece key = { .piece = ids[i] };
		const struct lost_piece *l = bsearch(&key, a->list, a->count, sizeof(*a->list),
						     by_piece);
		/* Nobody can confess what is another's. */
		if (!l || !node_id_equal(&l->node, &a->nodes[found[i].confessor].id))
			continue;
		found[i].piece = ids[i];
		TRY_PLAIN(add_match(call, a, &found[i]));
	}
	return OK;
}

static enum err see(struct call *call, void *arg, const struct segment_run *run,
		    const struct loop_segment *list, size_t count)
{
	struct amnesty *a = arg;

	for (size_t i = 0; a->count && i < count; i++)
		if (!list[i].is_inline)
			TRY_PLAIN(look(call, a, &list[i]));
	return OK;
}

/* ---- what follows ---- */

static enum err get_segment(struct call *call, struct db_tx *tx, void *arg)
{
	struct audit_job *job = arg;

	return store_segment_get(call, tx, &job->ref.stream, job->ref.position, &job->segment);
}

/* The list as it is now; the piece may have left it. */
static enum err remove_once(struct call *call, struct satellite *sat, const struct match *m,
			    bool *ret_listed, size_t *ret_removed)
{
	struct audit_job job = { .sat = sat, .ref = m->ref };
	struct piece list[PIECE_LIST_MAX];

	*ret_listed = false;
	*ret_removed = 0;
	TRY_PLAIN(db_read_one(call, sat->db, get_segment, &job));
	TRY_PLAIN(piece_list_decode(call, job.segment.pieces, list, &job.count));
	for (size_t i = 0; i < job.count; i++)
		*ret_listed |= list[i].number == m->number && list[i].alias == m->alias;
	return *ret_listed ? audit_remove(call, &job, &m->number, 1, ret_removed) : OK;
}

static enum err remove_piece(struct call *call, struct satellite *sat, struct match *m)
{
	bool listed = true;
	size_t removed = 0;

	for (int i = 0; i < TRIES && listed && !removed; i++) {
		AUTO_CALL struct call own = CALL_INIT;
		call_init_child(&own, call);
		enum err e = remove_once(&own, sat, m, &listed, &removed);
		if (e == ERR_NOT_FOUND) /* deleted meanwhile */
			return OK;
		if (e)
			call_copy_error(call, &own);
		TRY_PLAIN(e);
	}
	m->removed = removed;
	return OK;
}

/* What a node confessed in this pass, as audits of some of the pieces. */
static enum err count_node(struct call *call, struct amnesty *a, uint32_t confessor)
{
	const struct confessor *c = &a->nodes[confessor];
	uint64_t want = MIN(MAX(c->lost * WHOLE / c->pieces, 1), c->lost);
	struct audit_record *records = arena_array(&call->scratch, want, sizeof(*records));
	char id[NODE_ID_TEXT_MAX];
	size_t n = 0, removed = 0;

	if (!records)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < a->matches_count; i++) {
		const struct match *m = &a->matches[i];
		if (m->confessor != confessor)
			continue;
		removed += m->removed;
		if (n < want)
			records[n++] = (struct audit_record){ .node = c->id,
							      .outcome = AUDIT_DAMAGED,
							      .stream = m->ref.stream,
							      .position = m->ref.position,
							      .number = m->number,
							      .piece = m->piece,
							      .detail = "confessed by the node" };
	}
	TRY_PLAIN(standing_record(call, a->sat, records, n, os_clock_unix_ns()));
	node_id_text(&c->id, id);
	log_info("pieces that a node confessed", F_STR("node", id), F_U64("lost", c->lost),
		 F_U64("of", c->pieces), F_U64("removed", removed));
	return OK;
}

static enum err conclude(struct call *call, struct amnesty *a)
{
	for (size_t i = 0; i < a->matches_count; i++)
		TRY_PLAIN(remove_piece(call, a->sat, &a->matches[i]));
	for (uint32_t i = 0; i < a->nodes_count; i++)
		if (a->nodes[i].lost)
			TRY_PLAIN(count_node(call, a, i));
	/* What matched nothing is on no list, or came onto one meanwhile: then audits find it. */
	return a->full ? OK : store_lost_drop(call, a->sat->db, a->list, a->count);
}

static enum err end(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	struct amnesty *a = arg;
	enum err e = complete && a->count ? conclude(call, a) : OK;

	give_back(a);
	return e;
}

enum err amnesty_open(struct call *call, struct satellite *sat)
{
	struct amnesty *a = calloc(1, sizeof(*a));

	if (!a)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	sat->amnesty = a;
	a->sat = sat;
	const struct segment_observer observer = { "amnesty", a, begin, see, end };
	return segment_loop_add(call, sat->loop, &observer);
}

void amnesty_close(struct satellite *sat)
{
	if (!sat->amnesty)
		return;
	give_back(sat->amnesty);
	free(sat->amnesty);
	sat->amnesty = NULL;
}
