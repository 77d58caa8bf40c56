/* Look-ups, changes, figures, checkpoints.  Merging is in index_merge.c, opening in index_open.c.
 */
#include "node/piece_index.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_index_internal.h"
#include "os/clock.h"

enum { ENTRY_MEMORY = 96 }; /* bytes of memory for a newer entry, with slack for growing */

/* ---- with the lock held ---- */

bool index_find_newer(const struct piece_index *x, uint64_t hash, const struct piece_key *key,
		      struct piece_entry *ret, bool *ret_active)
{
	const struct piece_entry *e = piece_delta_find(&x->active, hash, key);

	*ret_active = e != NULL;
	if (!e)
		e = piece_delta_find(&x->frozen, hash, key);
	if (e)
		*ret = *e;
	return e != NULL;
}

void index_effective(const struct checkpoint_satellite *satellites, struct piece_entry *e)
{
	uint32_t restored = satellites[e->satellite].restored_at;

	if (!e->trashed_at || (e->flags & PIECE_DELETED) || e->trashed_at > restored)
		return;
	e->trashed_at = 0;
	/* A filter made before the restore must not put it back. */
	e->stored_at = MAX(e->stored_at, restored);
}

struct table_ref *index_table_use(struct piece_index *x)
{
	if (x->table)
		x->table->users++;
	return x->table;
}

struct piece_table *index_table_drop(struct table_ref *t)
{
	if (!t || --t->users)
		return NULL;
	struct piece_table *table = t->table;

	free(t);
	return table;
}

/* One byte of sieve for an entry, as long as that is at most a quarter of the budget: while a merge
 * runs there are two sieves. */
uint64_t index_sieve_bytes(const struct piece_index *x, uint64_t entries)
{
	return MIN(entries, x->config.memory / 4);
}

enum err index_note(struct piece_index *x, enum err e)
{
	if (e == ERR_DATA_LOSS)
		x->damaged = true;
	return e;
}

void index_set_limit(struct piece_index *x)
{
	uint64_t entries = x->table ? piece_table_count(x->table->table) : 0;
	uint64_t tables = 2 * (index_sieve_bytes(x, entries) + entries / TABLE_PAGE_ENTRIES * 8);
	uint64_t rest = x->config.memory > tables ? x->config.memory - tables : 0;

	/* Two generations of newer entries: one being merged, one being filled. */
	x->changes_max = (uint32_t)MIN(MAX(rest / 2 / ENTRY_MEMORY, (uint64_t)INDEX_CHANGES_MIN),
				       (uint64_t)UINT32_MAX / 2);
}

enum err index_begin_busy(struct call *call, struct piece_index *x)
{
	while (x->busy)
		TRY(os_cond_wait(call, &x->calm, &x->lock), "the piece index is busy");
	if (x->broken)
		return call_fail(call, ERR_IO,
				 "the piece index could not be written: the node "
				 "must be started anew");
	x->busy = true;
	return OK;
}

void index_end_busy(struct piece_index *x)
{
	x->busy = false;
	os_cond_broadcast(&x->calm);
}

enum err index_snapshot(struct call *call, struct piece_index *x, struct arena *a,
			struct checkpoint *ret)
{
	struct checkpoint c = { .node = x->config.node,
				.created_unix_ns = os_clock_unix_ns(),
				.generation = x->generation,
				.seed = x->seed };

	TRY_PLAIN(x->config.snapshot(call, x->config.arg, a, &c));
	c.satellites = arena_array(a, x->satellites_count + 1, sizeof(*c.satellites));
	if (!c.satellites)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	if (x->satellites_count)
		memcpy(c.satellites, x->satellites, x->satellites_count * sizeof(*c.satellites));
	c.satellites_count = x->satellites_count;
	*ret = c;
	return OK;
}

static void account(struct piece_index *x, const struct piece_entry *e, int sign)
{
	struct checkpoint_satellite *s = &x->satellites[e->satellite];

	if (e->flags & PIECE_DELETED)
		return;
	piece_figures_add(&s->figures, e, sign);
	if (e->trashed_at && sign > 0) {
		s->newest_trash = MAX(s->newest_trash, e->trashed_at);
		if (!s->oldest_trash || e->trashed_at < s->oldest_trash)
			s->oldest_trash = e->trashed_at;
	}
	x->config.add_live(x->config.arg, e->segment, sign * (int64_t)piece_entry_len(e),
			   piece_entry_end(e));
}

/* ---- satellites ---- */

static bool find_satellite(const struct piece_index *x, const struct node_id *id, uint16_t *ret)
{
	for (size_t i = 0; i < x->satellites_count; i++)
		if (node_id_equal(&x->satellites[i].id, id)) {
			*ret = (uint16_t)i;
			return true;
		}
	return false;
}

bool piece_index_find_satellite(struct piece_index *x, const struct node_id *id, uint16_t *ret)
{
	OS_LOCKED(&x->lock);

	return find_satellite(x, id, ret);
}

enum err piece_index_satellite(struct call *call, struct piece_index *x, const struct node_id *id,
			       uint16_t *ret)
{
	OS_LOCKED(&x->lock);

	if (find_satellite(x, id, ret))
		return OK;
	if (x->satellites_count == PIECE_SATELLITES_MAX)
		return call_fail(call, ERR_EXHAUSTED, "pieces of too many satellites");
	if (x->satellites_count == x->satellites_cap) {
		size_t cap = x->satellites_cap ? x->satellites_cap * 2 : 4;
		struct checkpoint_satellite *grown = realloc(x->satellites, cap * sizeof(*grown));
		if (!grown)
			return call_fail(call, ERR_NO_MEMORY, "out of memory for a satellite");
		x->satellites = grown;
		x->satellites_cap = cap;
	}
	x->satellites[x->satellites_count] = (struct checkpoint_satellite){ .id = *id };
	*ret = (uint16_t)x->satellites_count++;
	return OK;
}

uint32_t piece_index_restore_time(struct piece_index *x, uint16_t satellite, uint32_t now)
{
	OS_LOCKED(&x->lock);
	const struct checkpoint_satellite *s = &x->satellites[satellite];
	uint32_t time = MAX(now, s->restored_at + 1);

	return MAX(time, s->newest_trash);
}

bool piece_index_restore(struct piece_index *x, uint16_t satellite, uint32_t time)
{
	OS_LOCKED(&x->lock);
	/* What a sweep is about to make durable would not know of it. */
	while (x->committing)
		os_cond_wait_forever(&x->calm, &x->lock);
	struct checkpoint_satellite *s = &x->satellites[satellite];

	if (time <= s->restored_at || time < s->newest_trash)
		return false;
	s->restored_at = time;
	s->figures.pieces += s->figures.trash_pieces;
	s->figures.bytes += s->figures.trash_bytes;
	s->figures.data += s->figures.trash_data;
	s->figures.trash_pieces = s->figures.trash_bytes = s->figures.trash_data = 0;
	s->oldest_trash = 0;
	x->restores++;
	return true;
}

/* ---- look-ups ---- */

enum err piece_index_look(struct call *call, struct piece_index *x, const struct piece_key *key,
			  struct piece_entry *ret)
{
	uint64_t hash = piece_hash(&x->seed, key->id.b, key->satellite);
	struct table_ref *t = NULL;
	struct piece_entry e;
	bool active;

	os_mutex_lock(&x->lock);
	bool found = index_find_newer(x, hash, key, &e, &active);
	if (!found && x->table && piece_table_may_have(x->table->table, hash))
		t = index_table_use(x);
	os_mutex_unlock(&x->lock);
	enum err result = found ? OK : ERR_NOT_FOUND;
	if (t)
		result = index_note(x, piece_table_find(call, t->table, hash, key, &e));
	os_mutex_lock(&x->lock);
	struct piece_table *old = index_table_drop(t);
	if (!result)
		index_effective(x->satellites, &e);
	os_mutex_unlock(&x->lock);
	piece_table_free(old);
	if (!result)
		*ret = e;
	return result;
}

enum err piece_index_find(struct call *call, struct piece_index *x, const struct piece_key *key,
			  struct piece_entry *ret)
{
	struct piece_entry e;

	TRY_PLAIN(piece_index_look(call, x, key, &e));
	if (e.flags & PIECE_DELETED)
		return ERR_NOT_FOUND;
	*ret = e;
	return OK;
}

/* ---- changes ---- */

/* Lock held, and again when it returns. */
static enum err make_room(struct call *call, struct piece_index *x)
{
	while (x->active.count >= x->changes_max) {
		if (x->busy) {
			TRY(os_cond_wait(call, &x->calm, &x->lock), "the piece index is busy");
			continue;
		}
		/* Who needs the room makes it. */
		struct index_swept swept;
		os_mutex_unlock(&x->lock);
		enum err e = piece_index_merge(call, x, NULL, NULL, &swept);
		os_mutex_lock(&x->lock);
		TRY_PLAIN(e);
	}
	return OK;
}

static enum err remember_replaced(struct call *call, struct piece_index *x,
				  const struct piece_entry *e)
{
	if (x->replaced_count == x->replaced_cap) {
		size_t cap = x->replaced_cap ? x->replaced_cap * 2 : 64;
		struct piece_entry *grown = realloc(x->replaced, cap * sizeof(*grown));
		if (!grown)
			return call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
		x->replaced = grown;
		x->replaced_cap = cap;
	}
	x->replaced[x->replaced_count++] = *e;
	return OK;
}

/* Lock held.  `old` is what is there now (have), in the active part or below it. */
static enum err apply(struct call *call, struct piece_index *x, uint64_t hash, bool have,
		      bool active, const struct piece_entry *old, index_change *change, void *arg)
{
	struct piece_entry before = { 0 };

	if (have) {
		before = *old;
		index_effective(x->satellites, &before);
	}
	struct piece_entry after = before;
	if (!change(arg, have, &after))
		return OK;
	TRY_PLAIN(piece_delta_reserve(call, &x->active, &x->seed, 1));
	if (x->sweeping && have && !active)
		TRY_PLAIN(remember_replaced(call, x, old));
	if (have)
		account(x, &before, -1);
	account(x, &after, 1);
	piece_delta_put(&x->active, hash, &after);
	if (x->config.full_soon && x->active.count == x->changes_max / 4 * 3)
		x->config.full_soon(x->config.arg);
	return OK;
}

enum err piece_index_change(struct call *call, struct piece_index *x, const struct piece_key *key,
			    index_change *change, void *arg)
{
	uint64_t hash = piece_hash(&x->seed, key->id.b, key->satellite);
	enum err e;

	os_mutex_lock(&x->lock);
	for (;;) {
		struct piece_entry old = { 0 };
		bool active = false;
		e = make_room(call, x);
		if (e)
			break;
		bool have = index_find_newer(x, hash, key, &old, &active);
		if (have || !x->table || !piece_table_may_have(x->table->table, hash)) {
			e = apply(call, x, hash, have, active, &old, change, arg);
			break;
		}
		struct table_ref *t = index_table_use(x);
		os_mutex_unlock(&x->lock);
		e = index_note(x, piece_table_find(call, t->table, hash, key, &old));
		os_mutex_lock(&x->lock);
		bool same = t == x->table;
		struct piece_table *unused = index_table_drop(t);
		struct piece_entry newer;
		if (same && !index_find_newer(x, hash, key, &newer, &active)) {
			if (e == OK || e == ERR_NOT_FOUND)
				e = apply(call, x, hash, e == OK, false, &old, change, arg);
			break;
		}
		/* Somebody was faster, or the table is another one: look again. */
		os_mutex_unlock(&x->lock);
		piece_table_free(unused);
		os_mutex_lock(&x->lock);
	}
	os_mutex_unlock(&x->lock);
	return e;
}

static bool put_entry(void *arg, bool have, struct piece_entry *e)
{
	(void)have;
	*e = *(const struct piece_entry *)arg;
	return true;
}

enum err piece_index_put(struct call *call, struct piece_index *x, const struct piece_entry *e)
{
	struct piece_key key = piece_entry_key(e);
	struct piece_entry copy = *e;

	return piece_index_change(call, x, &key, put_entry, &copy);
}

/* ---- checkpoints ---- */

static enum err copy_newer(struct call *call, struct piece_index *x, struct arena *a,
			   struct checkpoint *c, struct piece_entry **ret, size_t *ret_count)
{
	struct piece_entry *entries;
	size_t n = 0;

	if (x->frozen.count)
		return call_fail(call, ERR_NO_MEMORY, "a merge failed for want of memory");
	TRY_PLAIN(index_snapshot(call, x, a, c));
	entries = malloc(((size_t)x->active.count + 1) * sizeof(*entries));
	if (!entries)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	for (uint32_t i = 0; i < x->active.cap; i++)
		if (x->active.slots[i].header64)
			entries[n++] = x->active.slots[i];
	*ret = entries;
	*ret_count = n;
	return OK;
}

enum err piece_index_checkpoint(struct call *call, struct piece_index *x)
{
	AUTO_CALL struct call own = CALL_INIT;
	AUTO_FREE struct piece_entry *entries = NULL;
	struct checkpoint c;
	size_t count = 0;

	call_init_child(&own, call);
	os_mutex_lock(&x->lock);
	enum err e = index_begin_busy(&own, x);
	if (!e) {
		e = copy_newer(&own, x, &own.scratch, &c, &entries, &count);
		if (e)
			index_end_busy(x);
	}
	os_mutex_unlock(&x->lock);
	if (!e) {
		e = checkpoint_save(&own, index_checkpoint_path(&own, x), &c, entries, count);
		os_mutex_lock(&x->lock);
		index_end_busy(x);
		os_mutex_unlock(&x->lock);
	}
	if (!e)
		return OK;
	call_copy_error(call, &own);
	return call_wrap(call, e, "checkpoint");
}

/* ---- scans ---- */

static bool visit_delta(const struct piece_index *x, const struct piece_delta *d,
			const struct piece_delta *newer, index_visit *visit, void *arg)
{
	for (uint32_t i = 0; i < d->cap; i++) {
		struct piece_entry e = d->slots[i];
		if (!e.header64 || (e.flags & PIECE_DELETED))
			continue;
		struct piece_key key = piece_entry_key(&e);
		if (newer &&
		    piece_delta_find(newer, piece_hash(&x->seed, e.id.b, e.satellite), &key))
			continue;
		index_effective(x->satellites, &e);
		if (!visit(arg, &e))
			return false;
	}
	return true;
}

static enum err visit_table(struct call *call, struct piece_index *x, struct table_cursor *c,
			    index_visit *visit, void *arg)
{
	struct piece_entry e;
	bool found = true;

	for (;;) {
		TRY_PLAIN(table_cursor_next(call, c, &e, &found));
		if (!found)
			return OK;
		if (e.flags & PIECE_DELETED)
			continue;
		struct piece_key key = piece_entry_key(&e);
		uint64_t hash = piece_hash(&x->seed, e.id.b, e.satellite);
		struct piece_entry newer;
		bool active;
		OS_LOCKED(&x->lock);
		if (index_find_newer(x, hash, &key, &newer, &active))
			continue;
		index_effective(x->satellites, &e);
		if (!visit(arg, &e))
			return OK;
	}
}

enum err piece_index_scan(struct call *call, struct piece_index *x, index_visit *visit, void *arg)
{
	struct table_cursor c;

	os_mutex_lock(&x->lock);
	bool more = visit_delta(x, &x->active, NULL, visit, arg) &&
		    visit_delta(x, &x->frozen, &x->active, visit, arg);
	struct table_ref *t = more ? index_table_use(x) : NULL;
	os_mutex_unlock(&x->lock);
	if (!t)
		return OK;
	enum err e = table_cursor_begin(call, &c, t->table);
	if (!e)
		e = index_note(x, visit_table(call, x, &c, visit, arg));
	table_cursor_end(&c);
	os_mutex_lock(&x->lock);
	struct piece_table *old = index_table_drop(t);
	os_mutex_unlock(&x->lock);
	piece_table_free(old);
	return e;
}

/* ---- figures ---- */

void piece_index_status(struct piece_index *x, struct index_status *ret)
{
	OS_LOCKED(&x->lock);
	struct index_status s = { .satellites = x->satellites_count,
				  .changes = x->active.count,
				  .changes_max = x->changes_max,
				  .generation = x->generation,
				  .damaged = x->damaged,
				  .broken = x->broken };

	for (size_t i = 0; i < x->satellites_count; i++) {
		const struct checkpoint_satellite *one = &x->satellites[i];
		piece_figures_sum(&s.figures, &one->figures);
		if (one->oldest_trash && (!s.oldest_trash || one->oldest_trash < s.oldest_trash))
			s.oldest_trash = one->oldest_trash;
	}
	s.memory = sizeof(*x) + piece_delta_memory(&x->active) + piece_delta_memory(&x->frozen) +
		   x->satellites_cap * sizeof(*x->satellites);
	if (x->table) {
		s.memory += piece_table_memory(x->table->table);
		s.file_bytes = piece_table_file_bytes(x->table->table);
	}
	*ret = s;
}

bool piece_index_satellite_status(struct piece_index *x, size_t i, struct index_satellite *ret)
{
	OS_LOCKED(&x->lock);

	if (i >= x->satellites_count)
		return false;
	*ret = (struct index_satellite){ .id = x->satellites[i].id,
					 .figures = x->satellites[i].figures,
					 .oldest_trash = x->satellites[i].oldest_trash };
	return true;
}
