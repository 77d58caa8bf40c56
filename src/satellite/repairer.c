/*
 * One segment under repair: what it lacks now, where new pieces may go, and the new list of pieces,
 * which takes the old one's place only if nobody changed that meanwhile.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/metainfo_internal.h"
#include "satellite/repair_internal.h"
#include "satellite/store_metainfo.h"

enum {
	SPOOLS_MEMORY = 4 << 20, /* of a job, before it makes files */
	USED_MORE = 1024,	 /* nodes tried for its pieces */
};

/* ---- what there is ---- */

struct load_arg {
	struct repair_row *row;
	struct segment segment;
};

static enum err load(struct call *call, struct db_tx *tx, void *arg)
{
	struct load_arg *l = arg;

	return store_segment_get(call, tx, &l->row->stream, l->row->position, &l->segment);
}

/* The pieces with the states of their nodes. */
static enum err classify(struct call *call, struct repair_job *job)
{
	struct piece pieces[PIECE_LIST_MAX];
	struct node_id ids[PIECE_LIST_MAX];
	struct loop_node nodes[PIECE_LIST_MAX + 1] = { 0 };
	uint8_t states[PIECE_LIST_MAX];
	struct health_marks marks = { 0 };
	struct node_place *places = NULL;
	struct placement rule;
	bool ruled = false;
	size_t n = 0;

	TRY_PLAIN(piece_list_decode(call, job->segment.pieces, pieces, &n));
	TRY_PLAIN(
		node_aliases_find(call, job->sat->db, job->sat->metainfo->aliases, pieces, n, ids));
	TRY_PLAIN(satellite_lookup_nodes(call, job->sat, &call->scratch, ids, n, &places));
	for (size_t i = 0; i < n; i++) {
		nodes[i + 1].id = ids[i];
		pieces[i].alias = (uint32_t)i + 1;
	}
	TRY_PLAIN(overlay_states(call, job->sat, nodes, (uint32_t)n + 1, job->segment.placement,
				 &rule, &ruled));
	TRY_PLAIN(health_marks_size(call, &marks, (uint32_t)n + 1));
	segment_health(&marks, pieces, n, nodes, ruled ? &rule : NULL, states, &job->health);
	health_marks_free(&marks);
	job->listed = arena_array(&call->scratch, n + 1, sizeof(*job->listed));
	if (!job->listed)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++)
		job->listed[i] = (struct repair_piece){ .number = pieces[i].number,
							.node = ids[i],
							.place = places[i],
							.health = states[i] };
	job->listed_count = n;
	return OK;
}

static void note_health(const struct repair_job *job, struct repair_row *row,
			const struct segment_health *h)
{
	row->healthy = h->healthy;
	row->retrievable = h->retrievable;
	row->lost = segment_is_lost(&job->code, h);
	row->urgency = segment_urgency(&job->code, h, (uint32_t)overlay_count(job->sat).known);
}

/* ---- what is to be made ---- */

/* A number that no piece has comes first, then one whose piece cannot be read, then others that
 * are not healthy. */
static size_t free_numbers(const struct repair_job *job, unsigned out[PIECE_LIST_MAX])
{
	uint8_t rank[PIECE_LIST_MAX] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < job->listed_count; i++) {
		const struct repair_piece *p = &job->listed[i];
		rank[p->number] = !p->health ? 3 : p->health & PIECE_MISSING ? 1 : 2;
	}
	for (uint8_t r = 0; r < 3; r++)
		for (unsigned i = 0; i < job->code.total; i++)
			if (rank[i] == r)
				out[n++] = i;
	return n;
}

static enum err list_used(struct call *call, struct repair_job *job)
{
	struct node_id *silent = NULL;
	size_t count = 0;

	TRY_PLAIN(overlay_silent(call, job->sat, &call->scratch, &silent, &count));
	job->used_cap = job->listed_count + count + USED_MORE;
	job->used = arena_array(&call->scratch, job->used_cap, sizeof(*job->used));
	if (!job->used)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < job->listed_count; i++)
		job->used[job->used_count++] = job->listed[i].node;
	for (size_t i = 0; i < count; i++)
		job->used[job->used_count++] = silent[i];
	return OK;
}

size_t repair_choose(struct call *call, struct repair_job *job, size_t count,
		     struct node_place **ret)
{
	count = MIN(count, job->used_cap - job->used_count);
	for (; count; count--) {
		if (!satellite_select_nodes(call, job->sat, &call->scratch, job->segment.placement,
					    count, job->used, job->used_count, ret))
			break;
		call_clear_error(call);
	}
	for (size_t i = 0; i < count; i++)
		job->used[job->used_count++] = (*ret)[i].id;
	return count;
}

static enum err plan(struct call *call, struct repair_job *job)
{
	unsigned numbers[PIECE_LIST_MAX];
	size_t want = segment_pieces_wanted(&job->segment.redundancy, &job->health);
	size_t count = free_numbers(job, numbers);
	struct node_place *places = NULL;

	TRY_PLAIN(list_used(call, job));
	count = repair_choose(call, job, MIN(want, count), &places);
	if (!count)
		return call_fail(
			call, ERR_PRECONDITION,
			"%u of %u pieces are healthy, %u are wanted: no node is left that "
			"could take one (online, with free space, in a network of its own)",
			job->health.healthy, job->health.pieces, job->code.success);
	job->made = arena_array(&call->scratch, count, sizeof(*job->made));
	if (!job->made)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		job->made[i] = (struct repair_piece){ .number = numbers[i],
						      .node = places[i].id,
						      .place = places[i] };
	job->made_count = count;
	job->spool_memory = SPOOLS_MEMORY / (job->listed_count + count);
	return OK;
}

/* ---- the new list ---- */

struct change {
	struct repair_job *job;
	const struct repair_piece *pieces[PIECE_LIST_MAX];
	struct node_id ids[PIECE_LIST_MAX];
	uint32_t aliases[PIECE_LIST_MAX];
	size_t count;
	struct segment_health health; /* by the new list */
};

static bool is_made(const struct repair_job *job, unsigned number)
{
	for (size_t i = 0; i < job->made_count; i++)
		if (job->made[i].state == REPAIR_OK && job->made[i].number == number)
			return true;
	return false;
}

static int by_number(const void *a, const void *b)
{
	const struct repair_piece *const *x = a, *const *y = b;

	return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

/* Who stays: healthy pieces and new ones; others only while the segment needs every piece it can
 * get (in a wrong place: as long as it would have to be repaired without), and none whose number is
 * taken or that is no piece of it (satellite.md 6). */
static bool may_leave(const struct repair_job *job, const struct segment_health *now,
		      const struct repair_piece *p)
{
	return p->health && (now->healthy >= job->code.success ||
			     (p->health & PIECE_MISPLACED && now->healthy > job->code.repair));
}

static void make_list(struct repair_job *job, struct change *c)
{
	struct segment_health *h = &c->health;

	for (size_t i = 0; i < job->made_count; i++)
		h->healthy += job->made[i].state == REPAIR_OK;
	for (size_t i = 0; i < job->listed_count; i++)
		h->healthy += !job->listed[i].health && job->listed[i].state != REPAIR_BAD;
	for (size_t i = 0; i < job->listed_count; i++) {
		const struct repair_piece *p = &job->listed[i];
		if (p->state == REPAIR_BAD || is_made(job, p->number) || may_leave(job, h, p))
			continue;
		h->misplaced += (p->health & PIECE_MISPLACED) != 0;
		h->retrievable += !(p->health & PIECE_MISSING);
		c->pieces[c->count++] = p;
	}
	for (size_t i = 0; i < job->made_count; i++) {
		if (job->made[i].state != REPAIR_OK)
			continue;
		h->retrievable++;
		c->pieces[c->count++] = &job->made[i];
	}
	h->pieces = (unsigned)c->count;
	if (c->count)
		qsort(c->pieces, c->count, sizeof(c->pieces[0]), by_number);
	for (size_t i = 0; i < c->count; i++)
		c->ids[i] = c->pieces[i]->node;
}

static enum err swap_list(struct call *call, struct db_tx *tx, void *arg)
{
	struct change *c = arg;
	const struct segment *s = &c->job->segment;
	struct node_aliases *aliases = c->job->sat->metainfo->aliases;
	struct piece pieces[PIECE_LIST_MAX];
	AUTO_BUF struct buf list = BUF_INIT(PIECE_LIST_BYTES_MAX);

	TRY_PLAIN(node_aliases_assign(call, tx, aliases, c->ids, c->count, c->aliases));
	for (size_t i = 0; i < c->count; i++)
		pieces[i] = (struct piece){ c->pieces[i]->number, c->aliases[i] };
	piece_list_encode(&list, pieces, c->count);
	TRY_PLAIN(buf_status(&list));
	return store_segment_swap_pieces(call, tx, &s->stream, s->position, s->pieces,
					 buf_bytes(&list), os_clock_unix_ns());
}

static enum err store_list(struct call *call, struct repair_job *job, struct change *c)
{
	struct node_aliases *aliases = job->sat->metainfo->aliases;

	TRY_PLAIN(node_aliases_ensure(call, job->sat->db, aliases, c->ids, c->count));
	TRY_PLAIN(db_write(call, job->sat->db, swap_list, c));
	node_aliases_learn(aliases, c->ids, c->aliases, c->count);
	return OK;
}

/* ---- all together ---- */

static void log_repair(const struct repair_job *job, const struct change *c)
{
	size_t made = 0, bad = 0;

	for (size_t i = 0; i < job->made_count; i++)
		made += job->made[i].state == REPAIR_OK;
	for (size_t i = 0; i < job->listed_count; i++)
		bad += job->listed[i].state == REPAIR_BAD;
	log_info("segment repaired", F_HEX("stream", uuid_bytes(&job->segment.stream)),
		 F_I64("position", job->segment.position), F_U64("healthy", job->health.healthy),
		 F_U64("made", made), F_U64("bad", bad), F_U64("healthy_now", c->health.healthy));
}

/* Fetches, makes and stores; what it learnt about bad pieces counts also if it fails. */
static enum err work(struct call *call, struct repair_job *job)
{
	/* Nothing but pieces to leave out. */
	if (!segment_pieces_wanted(&job->segment.redundancy, &job->health))
		return OK;
	TRY_PLAIN(plan(call, job));
	TRY(repair_download(call, job), "read its pieces");
	TRY(repair_rebuild(call, job), "make its pieces");
	return repair_upload(call, job);
}

static enum err finish(struct call *call, struct repair_job *job, struct repair_row *row)
{
	struct change c = { .job = job };

	make_list(job, &c);
	TRY(store_list(call, job, &c), "change its list of pieces");
	note_health(job, row, &c.health);
	log_repair(job, &c);
	if (segment_is_injured(&job->segment.redundancy, &c.health, row->eager))
		return call_fail(call, ERR_PRECONDITION,
				 "%u pieces are healthy now, %u are wanted: more nodes are needed "
				 "(online, with free space, in networks of their own)",
				 c.health.healthy, job->code.success);
	return OK;
}

/* When it could not be repaired: pieces that are none leave the list all the same, if enough are
 * left that the segment can be given back from what is listed. */
static void drop_bad(struct repair_job *job, struct repair_row *row)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct change c = { .job = job };

	make_list(job, &c);
	if (c.count == job->listed_count || c.health.retrievable < job->code.required)
		return;
	call_init(&call);
	if (store_list(&call, job, &c))
		return; /* somebody else changed it */
	note_health(job, row, &c.health);
}

static void job_fini(struct repair_job *job)
{
	for (size_t i = 0; i < job->listed_count; i++)
		spool_free(job->listed[i].spool);
	for (size_t i = 0; i < job->made_count; i++)
		spool_free(job->made[i].spool);
}

enum err repair_segment(struct call *call, struct satellite *sat, struct repair_row *row)
{
	AUTO(job_fini) struct repair_job job = { .sat = sat, .fanout = repair_fanout(sat) };
	struct load_arg l = { .row = row };
	enum err e = db_read_one(call, sat->db, load, &l);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK; /* deleted */
	}
	TRY(e, "read the segment");
	job.segment = l.segment;
	if (job.segment.is_inline ||
	    (job.segment.expires_ns && job.segment.expires_ns <= os_clock_unix_ns()))
		return OK;
	job.code = health_thresholds(&job.segment.redundancy);
	job.piece_size = (int64_t)scheme_piece_size(&job.segment.redundancy,
						    (uint64_t)job.segment.encrypted_size);
	TRY_PLAIN(classify(call, &job));
	note_health(&job, row, &job.health);
	if (!segment_is_injured(&job.segment.redundancy, &job.health, row->eager))
		return OK;
	if (row->lost)
		return call_fail(call, ERR_DATA_LOSS,
				 "%u pieces are needed, %u of %u are on nodes that can be reached",
				 job.code.required, job.health.retrievable, job.health.pieces);
	e = work(call, &job);
	if (!e)
		return finish(call, &job, row);
	drop_bad(&job, row);
	return e;
}
