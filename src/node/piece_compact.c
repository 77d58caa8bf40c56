/*
 * Compaction: what lives in mostly dead segments is copied to others, and the segment removed.  A
 * copy keeps its sequence number, so it is the same record in another place; until the index says
 * so durably, and the old file is gone, either may be found.  A kill at any point wastes copies at
 * most.
 *
 * A round is planned in one pass over the index and carried out in parts.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/cancel.h"
#include "os/log.h"

enum {
	ENTRIES_MAX = 32 << 10, /* of one pass over the index: 2 MiB */
	SEGMENTS_MAX = 64,
	BATCH_RECORDS = 32, /* copied, then synced together */
	BATCH_BYTES = 8 << 20,
	COPY_BYTES = 256 << 10,
	SOON_DAYS = 2, /* segments that end by themselves within that are left alone */
};

struct candidate {
	uint32_t number;
	uint64_t live;
};

struct moved {
	struct piece_entry from;
	struct log_append append;
	bool failed;
};

struct compaction {
	struct piece_store *store;
	const struct store_compaction *how;
	struct candidate chosen[SEGMENTS_MAX]; /* fewest live bytes first */
	size_t chosen_count;
	struct piece_entry *entries; /* by place */
	size_t entries_count, next;
	uint64_t copied; /* in this part */
	uint8_t *buffer; /* COPY_BYTES */
	struct moved batch[BATCH_RECORDS];
	size_t batch_count;
	uint64_t batch_bytes;
};

/* ---- choosing ---- */

static bool is_candidate(const struct compaction *c, const struct log_segment_info *s,
			 uint32_t today)
{
	uint64_t dead = s->bytes - MIN(s->live, s->bytes);

	return s->complete && s->sealed && !s->left_alone && s->live &&
	       dead * 100 >= s->bytes * c->how->dead_percent &&
	       (!s->expiry_group || s->expiry_group > today + SOON_DAYS);
}

static void choose(struct compaction *c, const struct log_segment_info *s)
{
	size_t at = c->chosen_count;

	if (at == SEGMENTS_MAX) {
		if (s->live >= c->chosen[--at].live)
			return;
	} else {
		c->chosen_count++;
	}
	for (; at && c->chosen[at - 1].live > s->live; at--)
		c->chosen[at] = c->chosen[at - 1];
	c->chosen[at] = (struct candidate){ s->number, s->live };
}

/* The best segments that together hold no more than one segment does, and for which there is
 * room. */
static enum err choose_segments(struct call *call, struct compaction *c)
{
	struct log_segment_info info;
	struct piece_space space;
	uint64_t sum = 0;

	for (uint32_t from = 0; piece_log_segment(c->store->log, from, &info);
	     from = info.number + 1)
		if (is_candidate(c, &info, store_today()))
			choose(c, &info);
	TRY_PLAIN(store_measure(call, c->store, &space));
	uint64_t reserve = store_free_reserve(c->store) / 2;
	uint64_t room = space.disk_free > reserve ? space.disk_free - reserve : 0;
	uint64_t segment = c->store->config.segment_bytes ? c->store->config.segment_bytes
							  : LOG_SEGMENT_BYTES_DEFAULT;
	room = MIN(room, segment);
	size_t n = 0;
	for (; n < c->chosen_count && sum + c->chosen[n].live <= room; n++)
		sum += c->chosen[n].live;
	c->chosen_count = n;
	return OK;
}

static bool is_chosen(const struct compaction *c, uint32_t segment)
{
	for (size_t i = 0; i < c->chosen_count; i++)
		if (c->chosen[i].number == segment)
			return true;
	return false;
}

static bool collect(void *arg, const struct piece_entry *e)
{
	struct compaction *c = arg;

	if (is_chosen(c, e->segment) && c->entries_count < ENTRIES_MAX)
		c->entries[c->entries_count++] = *e;
	return c->entries_count < ENTRIES_MAX;
}

static int compare_places(const void *a, const void *b)
{
	const struct piece_entry *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->offset64 < y->offset64 ? -1 : x->offset64 > y->offset64;
}

/* ---- copying ---- */

static enum err copy_whole(struct call *call, struct compaction *c, struct log_file *f,
			   struct moved *m, struct piece_record *r)
{
	TRY_PLAIN(piece_log_read(call, f, c->buffer, m->from.size, piece_entry_data(&m->from)));
	return piece_log_append_whole(call, c->store->log, &m->append, r,
				      BYTES(c->buffer, m->from.size));
}

static enum err copy_parts(struct call *call, struct compaction *c, struct log_file *f,
			   struct moved *m, struct piece_record *r)
{
	struct piece_log *log = c->store->log;

	TRY_PLAIN(piece_log_append_begin(call, log, &m->append, r->limit.len, r->expiration_unix_ns,
					 false));
	for (uint64_t at = 0; at < m->from.size;) {
		struct bytes part = BYTES(c->buffer,
					  (size_t)MIN(m->from.size - at, (uint64_t)COPY_BYTES));
		TRY_PLAIN(piece_log_read(call, f, c->buffer, part.len,
					 piece_entry_data(&m->from) + at));
		TRY_PLAIN(piece_log_append_data(call, log, &m->append, &part, 1));
		at += part.len;
	}
	return piece_log_append_finish(call, log, &m->append, r);
}

/* Copies one record.  One that cannot be read stays where it is, and its segment with it. */
static enum err copy_record(struct call *call, struct compaction *c, struct log_file *f,
			    const struct piece_entry *e)
{
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record r;
	struct moved *m = &c->batch[c->batch_count];
	enum err err = piece_log_read_record(call, f, piece_entry_offset(e), head, &r);

	if (err == ERR_DATA_LOSS || (!err && (r.type != RECORD_PIECE || r.size != e->size))) {
		call_clear_error(call);
		piece_log_leave_alone(c->store->log, e->segment);
		return store_mark_damaged(call, c->store, e);
	}
	TRY_PLAIN(err);
	*m = (struct moved){ .from = *e };
	r.moves = (uint16_t)MIN(r.moves + 1, UINT16_MAX);
	c->batch_count++;
	c->batch_bytes += piece_entry_len(e);
	err = e->size <= STORE_BUFFER_BYTES ? copy_whole(call, c, f, m, &r)
					    : copy_parts(call, c, f, m, &r);
	m->failed = err != OK;
	return err;
}

static bool move_entry(void *arg, bool have, struct piece_entry *e)
{
	const struct moved *m = arg;

	if (!have || (e->flags & PIECE_DELETED) || !piece_entry_same_place(e, &m->from))
		return false;
	e->segment = m->append.number;
	e->offset64 = (uint32_t)(m->append.offset / RECORD_ALIGN);
	e->header64 = (uint8_t)(m->append.header_len / RECORD_ALIGN);
	return true;
}

/* What was copied is synced and becomes what is read. */
static enum err end_batch(struct call *call, struct compaction *c, enum err e)
{
	struct piece_store *s = c->store;

	for (size_t i = 0; i < c->batch_count; i++) {
		struct moved *m = &c->batch[i];
		if (!e && !m->failed)
			e = piece_log_sync(call, s->log, &m->append);
	}
	for (size_t i = 0; i < c->batch_count; i++) {
		struct moved *m = &c->batch[i];
		struct piece_key key = piece_entry_key(&m->from);
		if (!e && !m->failed)
			e = piece_index_change(call, s->index, &key, move_entry, m);
		piece_log_append_end(call, s->log, &m->append);
	}
	os_mutex_lock(&s->lock);
	s->new_bytes += c->batch_bytes;
	os_mutex_unlock(&s->lock);
	c->copied += c->batch_bytes;
	c->batch_count = 0;
	c->batch_bytes = 0;
	return e;
}

/* The rest of the segment that the next entry is in, or as much as this part takes. */
static enum err copy_segment(struct call *call, struct compaction *c)
{
	uint32_t segment = c->entries[c->next].segment;
	struct log_file *f = NULL;
	enum err e = piece_log_pin(call, c->store->log, segment, &f);

	while (!e && c->next < c->entries_count && c->entries[c->next].segment == segment &&
	       c->copied + c->batch_bytes < c->how->bytes_max) {
		if (call->cancel && os_cancel_is_set(call->cancel))
			e = call_fail(call, ERR_CANCELED, "canceled");
		else
			e = copy_record(call, c, f, &c->entries[c->next++]);
		if (e || c->batch_count == BATCH_RECORDS || c->batch_bytes >= BATCH_BYTES)
			e = end_batch(call, c, e);
	}
	e = end_batch(call, c, e);
	piece_log_unpin(c->store->log, f);
	TRY(e, "compaction of segment %08x", segment);
	/* A segment that is done goes now, so that there is never more than one twice. */
	bool done = c->next == c->entries_count || c->entries[c->next].segment != segment;
	return done ? store_tidy(call, c->store) : OK;
}

void store_compaction_free(struct compaction *c)
{
	if (!c)
		return;
	free(c->entries);
	free(c->buffer);
	free(c);
}

static enum err plan(struct call *call, struct compaction *c)
{
	TRY_PLAIN(choose_segments(call, c));
	if (!c->chosen_count)
		return OK;
	c->entries = malloc(ENTRIES_MAX * sizeof(*c->entries));
	c->buffer = malloc(COPY_BYTES);
	if (!c->entries || !c->buffer)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for compaction");
	TRY_PLAIN(piece_index_scan(call, c->store->index, collect, c));
	if (c->entries_count)
		qsort(c->entries, c->entries_count, sizeof(*c->entries), compare_places);
	return OK;
}

static enum err begin_round(struct call *call, struct piece_store *s,
			    const struct store_compaction *how)
{
	struct compaction *c = calloc(1, sizeof(*c));

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for compaction");
	c->store = s;
	c->how = how;
	enum err e = plan(call, c);
	if (!e && c->entries_count)
		s->compaction = take(&c);
	store_compaction_free(c);
	return e;
}

enum err piece_store_compact(struct call *call, struct piece_store *s,
			     const struct store_compaction *how, struct store_compacted *ret)
{
	struct piece_log_space before, after;
	enum err e = OK;

	*ret = (struct store_compacted){ 0 };
	/* Before everything is known a dead record could be one that is not yet found. */
	if (!piece_store_recovered(s))
		return OK;
	piece_log_space(s->log, 0, &before);
	if (!s->compaction)
		TRY_PLAIN(begin_round(call, s, how));
	struct compaction *c = s->compaction;
	if (!c)
		return OK;
	c->how = how;
	c->copied = 0;
	while (!e && c->next < c->entries_count && c->copied < how->bytes_max)
		e = copy_segment(call, c);
	piece_log_space(s->log, 0, &after);
	ret->copied = c->copied;
	ret->freed = before.used + c->copied > after.used ? before.used + c->copied - after.used
							  : 0;
	ret->more = !e;
	if (e || c->next == c->entries_count)
		store_compaction_free(take(&s->compaction));
	return e;
}
