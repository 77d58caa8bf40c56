/* Merging the newer entries with the table into a new one; sweeps do it with a verdict on each. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_index_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"

/* A mark of deletion is kept that long: an upload that was under way when the piece was deleted,
 * and holds up what a checkpoint claims of its segment, has ended by then. */
enum { MARK_SECONDS = 3600 };

DEFINE_AUTO_PTR(struct table_writer, table_writer_auto, table_writer_free)

struct merge {
	struct piece_index *index;
	index_verdict *verdict;
	const void *arg;
	struct checkpoint c; /* of the new table; tables in `arena` */
	struct arena *arena;
	struct table_ref *old;
	uint32_t now;
	uint64_t restores;
	/* What verdicts did: */
	struct piece_figures *change; /* for each satellite of c; unsigned, but may be "negative" */
	uint64_t *dropped;	      /* bytes, for each segment of c */
	uint32_t *oldest, *newest;    /* in the trash afterwards, for each satellite of c */
	struct index_swept swept;
};

/* Moves the newer entries out of the way and notes what the new table will claim. */
static enum err begin(struct call *call, struct merge *m)
{
	struct piece_index *x = m->index;

	TRY_PLAIN(index_snapshot(call, x, m->arena, &m->c));
	m->change = arena_array(m->arena, m->c.satellites_count + 1, sizeof(*m->change));
	m->dropped = arena_array(m->arena, m->c.segments_count + 1, sizeof(*m->dropped));
	m->oldest = arena_array(m->arena, m->c.satellites_count + 1, sizeof(*m->oldest));
	m->newest = arena_array(m->arena, m->c.satellites_count + 1, sizeof(*m->newest));
	if (!m->change || !m->dropped || !m->oldest || !m->newest)
		return call_fail(call, ERR_NO_MEMORY, "out of memory to merge the piece index");
	m->c.generation = x->generation + 1;
	m->restores = x->restores;
	m->now = (uint32_t)(os_clock_unix_ns() / NS_PER_SEC);
	m->old = index_table_use(x);
	x->frozen = x->active;
	x->active = (struct piece_delta){ 0 };
	x->sweeping = m->verdict != NULL;
	x->replaced_count = 0;
	return OK;
}

/* After a failure: all newer entries are in one place again.  Memory may be short; then the frozen
 * part stays, is still found, and the next merge tries again. */
static enum err unfreeze(struct call *call, struct piece_index *x)
{
	if (x->frozen.count)
		TRY_PLAIN(piece_delta_reserve(call, &x->active, &x->seed, x->frozen.count));
	for (uint32_t i = 0; i < x->frozen.cap; i++) {
		const struct piece_entry *e = &x->frozen.slots[i];
		struct piece_key key = piece_entry_key(e);
		uint64_t hash = piece_hash(&x->seed, e->id.b, e->satellite);
		if (!e->header64 || piece_delta_find(&x->active, hash, &key))
			continue;
		piece_delta_put(&x->active, hash, e);
	}
	piece_delta_free(&x->frozen);
	return OK;
}

/* The verdict on one entry and what it changes in the figures (sign -1 takes that back). */
static bool judge(struct merge *m, struct piece_entry *e, int sign)
{
	struct piece_entry before;

	index_effective(m->c.satellites, e);
	before = *e;
	bool stays = m->verdict(m->arg, e);
	/* Not covered by a restore that was before it, whatever the clock says. */
	if (e->trashed_at && !before.trashed_at)
		e->trashed_at = MAX(e->trashed_at, m->c.satellites[e->satellite].restored_at + 1);
	struct piece_figures *f = &m->change[e->satellite];
	piece_figures_add(f, &before, -sign);
	if (stays) {
		piece_figures_add(f, e, sign);
		if (e->trashed_at && !before.trashed_at) {
			m->swept.trashed += (uint64_t)(int64_t)sign;
			m->swept.trash_bytes += (uint64_t)sign * piece_entry_len(e);
		}
		return true;
	}
	m->swept.dropped += (uint64_t)(int64_t)sign;
	m->swept.drop_bytes += (uint64_t)sign * piece_entry_len(&before);
	const struct checkpoint_segment *s = checkpoint_find(&m->c, before.segment);
	if (s)
		m->dropped[s - m->c.segments] += (uint64_t)sign * piece_entry_len(&before);
	return false;
}

static void note_oldest(uint32_t *oldest, const struct piece_entry *e)
{
	if (e->trashed_at && (!*oldest || e->trashed_at < *oldest))
		*oldest = e->trashed_at;
}

static enum err take_in(struct call *call, struct merge *m, struct table_writer *w, uint64_t hash,
			struct piece_entry e)
{
	m->swept.seen++;
	if (e.flags & PIECE_DELETED) {
		if (m->now >= e.trashed_at && m->now - e.trashed_at >= MARK_SECONDS)
			return OK;
	} else if (m->verdict) {
		if (!judge(m, &e, 1))
			return OK;
		note_oldest(&m->oldest[e.satellite], &e);
		m->newest[e.satellite] = MAX(m->newest[e.satellite], e.trashed_at);
	}
	return table_writer_add(call, w, hash, &e);
}

/* Two sorted sequences into one; of a piece that is in both the newer entry counts. */
static enum err merge_entries(struct call *call, struct merge *m, struct table_writer *w,
			      struct table_cursor *cursor, const struct delta_item *items,
			      size_t count)
{
	const struct piece_seed *seed = &m->index->seed;
	struct piece_entry e;
	bool found = true;
	size_t i = 0;

	for (;;) {
		TRY_PLAIN(table_cursor_next(call, cursor, &e, &found));
		if (!found)
			break;
		uint64_t hash = piece_hash(seed, e.id.b, e.satellite);
		int order = -1;
		while (i < count &&
		       (order = piece_order(items[i].hash, items[i].entry, hash, &e)) < 0) {
			TRY_PLAIN(take_in(call, m, w, items[i].hash, *items[i].entry));
			i++;
		}
		if (i < count && order == 0) {
			e = *items[i].entry;
			i++;
		}
		TRY_PLAIN(take_in(call, m, w, hash, e));
	}
	for (; i < count; i++)
		TRY_PLAIN(take_in(call, m, w, items[i].hash, *items[i].entry));
	return OK;
}

static enum err write_entries(struct call *call, struct merge *m, struct table_writer *w)
{
	AUTO_FREE struct delta_item *items = NULL;
	struct table_cursor cursor = { 0 };

	/* Frozen: nobody changes it any more, so no lock is needed. */
	TRY_PLAIN(piece_delta_sorted(call, &m->index->frozen, &m->index->seed, &items));
	enum err e = table_cursor_begin(call, &cursor, m->old ? m->old->table : NULL);
	if (!e)
		e = merge_entries(call, m, w, &cursor, items, m->index->frozen.count);
	table_cursor_end(&cursor);
	return e;
}

/* What the new table says of itself: the figures when the merge began, and what verdicts did. */
static void settle_block(struct merge *m)
{
	for (size_t i = 0; i < m->c.satellites_count; i++) {
		struct checkpoint_satellite *s = &m->c.satellites[i];
		piece_figures_sum(&s->figures, &m->change[i]);
		if (m->verdict)
			s->oldest_trash = m->oldest[i];
		s->newest_trash = MAX(s->newest_trash, m->newest[i]);
	}
	for (size_t i = 0; i < m->c.segments_count; i++)
		m->c.segments[i].live -= m->dropped[i];
}

static enum err write_table(struct call *call, struct merge *m, const char *tmp)
{
	AUTO(table_writer_auto) struct table_writer *w = NULL;
	uint64_t entries = m->index->frozen.count + (m->old ? piece_table_count(m->old->table) : 0);

	TRY_PLAIN(table_writer_new(call, tmp, index_sieve_bytes(m->index, entries), &w));
	TRY_PLAIN(write_entries(call, m, w));
	settle_block(m);
	return table_writer_end(call, w, &m->c);
}

/* Before a sweep is durable: a restore that came since it began would be undone by it. */
static enum err begin_commit(struct call *call, struct merge *m)
{
	OS_LOCKED(&m->index->lock);

	if (!m->verdict)
		return OK;
	if (m->index->restores != m->restores)
		return call_fail(call, ERR_BUSY, "trash was restored meanwhile");
	m->index->committing = true;
	return OK;
}

/* Lock held.  Entries that were replaced meanwhile are in the figures as what replaced them. */
static void apply_figures(struct merge *m)
{
	struct piece_index *x = m->index;

	for (size_t i = 0; i < x->replaced_count; i++) {
		struct piece_entry e = x->replaced[i];
		if (!(e.flags & PIECE_DELETED))
			(void)judge(m, &e, -1);
	}
	for (size_t i = 0; i < m->c.satellites_count; i++) {
		struct checkpoint_satellite *s = &x->satellites[i];
		piece_figures_sum(&s->figures, &m->change[i]);
		s->oldest_trash = m->oldest[i];
		s->newest_trash = MAX(s->newest_trash, m->newest[i]);
	}
	for (uint32_t i = 0; i < x->active.cap; i++) {
		struct piece_entry e = x->active.slots[i];
		if (!e.header64 || (e.flags & PIECE_DELETED))
			continue;
		index_effective(x->satellites, &e);
		note_oldest(&x->satellites[e.satellite].oldest_trash, &e);
	}
	for (size_t i = 0; i < m->c.segments_count; i++)
		if (m->dropped[i])
			x->config.add_live(x->config.arg, m->c.segments[i].number,
					   -(int64_t)m->dropped[i], 0);
}

static enum err install(struct call *call, struct merge *m, const char *path)
{
	struct piece_index *x = m->index;
	struct table_ref *ref = calloc(1, sizeof(*ref));
	struct checkpoint again;

	if (!ref)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	enum err e = piece_table_open(call, m->arena, path, &again, &ref->table);
	if (e) {
		free(ref);
		return e;
	}
	ref->users = 1;
	os_mutex_lock(&x->lock);
	struct table_ref *old = x->table;
	x->table = ref;
	x->generation = m->c.generation;
	if (m->verdict)
		apply_figures(m);
	piece_delta_free(&x->frozen);
	index_set_limit(x);
	struct piece_table *unused = index_table_drop(old);
	os_mutex_unlock(&x->lock);
	piece_table_free(unused);
	return OK;
}

static enum err run(struct call *call, struct merge *m)
{
	const char *path = index_table_path(call, m->index, m->c.generation);
	const char *tmp = arena_printf(&call->scratch, "%s.tmp", path);

	if (!tmp)
		return call_fail(call, ERR_NO_MEMORY, "out of memory to merge the piece index");
	TRY_PLAIN(write_table(call, m, tmp));
	TRY_PLAIN(begin_commit(call, m));
	enum err e = os_rename(call, tmp, path);
	if (!e)
		e = os_dir_sync(call, m->index->dir);
	if (!e)
		e = install(call, m, path);
	if (e) {
		/* A start may find the new table or not: nothing may be built on the old one. */
		os_mutex_lock(&m->index->lock);
		m->index->broken = true;
		os_mutex_unlock(&m->index->lock);
		return e;
	}
	if (m->old && os_unlink(call, index_table_path(call, m->index, m->c.generation - 1))) {
		log_debug("an old index table is left", F_STR("why", call->error));
		call_clear_error(call);
	}
	return OK;
}

static void end(struct call *call, struct merge *m, enum err e)
{
	struct piece_index *x = m->index;

	os_mutex_lock(&x->lock);
	if (e && unfreeze(call, x))
		log_warn("the piece index is short of memory");
	free(x->replaced);
	x->replaced = NULL;
	x->replaced_count = x->replaced_cap = 0;
	x->sweeping = x->committing = false;
	struct piece_table *unused = index_table_drop(m->old);
	index_end_busy(x);
	os_mutex_unlock(&x->lock);
	piece_table_free(unused);
}

enum err piece_index_merge(struct call *call, struct piece_index *x, index_verdict *verdict,
			   const void *arg, struct index_swept *ret)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct merge m = { .index = x, .verdict = verdict, .arg = arg, .arena = &own.scratch };

	call_init_child(&own, call);
	os_mutex_lock(&x->lock);
	enum err e = index_begin_busy(&own, x);
	if (!e) {
		e = unfreeze(&own, x);
		if (!e)
			e = begin(&own, &m);
		if (e)
			index_end_busy(x);
	}
	os_mutex_unlock(&x->lock);
	if (!e) {
		e = index_note(x, run(&own, &m));
		end(&own, &m, e);
	}
	if (!e) {
		*ret = m.swept;
		return OK;
	}
	call_copy_error(call, &own);
	return call_wrap(call, e, "merge of the piece index");
}
