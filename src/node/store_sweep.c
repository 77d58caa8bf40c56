/* What becomes of pieces without an upload: trash, garbage, expiry, deletion, damage. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "order/bloom.h"
#include "os/clock.h"
#include "os/log.h"

enum {
	SWEEP_TRIES = 3,
	SWEEP_SECONDS = 6 * 3600, /* at most so often for little */
};

/* ---- sweeps ---- */

static bool is_lost(const struct store_sweep *o, const struct piece_entry *e)
{
	for (size_t i = 0; i < o->losses_count; i++)
		if (o->losses[i].segment == e->segment)
			return piece_entry_end(e) > o->losses[i].end;
	return false;
}

/* Pure: the index asks again when it corrects its figures. */
static bool verdict(const void *arg, struct piece_entry *e)
{
	const struct store_sweep *o = arg;

	if (store_long_expired(e, o->now) || (o->losses_count && is_lost(o, e)))
		return false;
	if (e->trashed_at && o->now >= (uint64_t)e->trashed_at + STORE_TRASH_SECONDS)
		return false;
	if (e->satellite != o->satellite)
		return true;
	if (o->forget)
		return false;
	if (o->filter && !e->trashed_at && e->stored_at < o->created_before &&
	    !bloom_has(o->filter, &e->id))
		e->trashed_at = o->now;
	return true;
}

enum err store_sweep(struct call *call, struct piece_store *s, struct store_sweep *order,
		     struct index_swept *ret)
{
	enum err e = ERR_BUSY;

	for (int i = 0; e == ERR_BUSY && i < SWEEP_TRIES; i++)
		e = piece_index_merge(call, s->index, verdict, order, ret);
	TRY_PLAIN(e);
	OS_LOCKED(&s->lock);
	s->sweep_mono_ns = os_clock_mono_ns();
	return OK;
}

enum err piece_store_expire(struct call *call, struct piece_store *s, uint64_t *ret_count)
{
	struct store_sweep order = { .now = store_now(), .satellite = UINT16_MAX };
	struct piece_log_space log;
	struct index_status index;
	struct index_swept swept;

	*ret_count = 0;
	piece_log_space(s->log, order.now / (24 * 3600), &log);
	piece_index_status(s->index, &index);
	bool trash = index.oldest_trash &&
		     order.now >= (uint64_t)index.oldest_trash + STORE_TRASH_SECONDS;
	os_mutex_lock(&s->lock);
	int64_t since = os_clock_mono_ns() - s->sweep_mono_ns;
	bool recent = s->sweep_mono_ns && since < SWEEP_SECONDS * NS_PER_SEC;
	os_mutex_unlock(&s->lock);
	if ((!log.ended && !trash) || recent)
		return OK;
	TRY_PLAIN(store_sweep(call, s, &order, &swept));
	*ret_count = swept.dropped;
	return store_tidy(call, s);
}

enum err piece_store_retain(struct call *call, struct piece_store *s,
			    const struct node_id *satellite, uint32_t created_before,
			    const struct bloom *filter, struct index_swept *ret)
{
	struct store_sweep order = { .now = store_now(),
				     .filter = filter,
				     .created_before = created_before };

	*ret = (struct index_swept){ 0 };
	if (!piece_index_find_satellite(s->index, satellite, &order.satellite))
		return OK;
	return store_sweep(call, s, &order, ret);
}

enum err piece_store_forget(struct call *call, struct piece_store *s,
			    const struct node_id *satellite, struct index_swept *ret)
{
	struct store_sweep order = { .now = store_now(), .forget = true };

	*ret = (struct index_swept){ 0 };
	if (!piece_index_find_satellite(s->index, satellite, &order.satellite))
		return OK;
	TRY_PLAIN(store_sweep(call, s, &order, ret));
	return store_tidy(call, s);
}

/* ---- single pieces, and restoring ---- */

enum err piece_store_restore_trash(struct call *call, struct piece_store *s,
				   const struct node_id *satellite)
{
	uint16_t number = 0;
	bool done = false;

	if (!piece_index_find_satellite(s->index, satellite, &number))
		return OK;
	while (!done) {
		struct log_append a = { 0 };
		uint32_t time = piece_index_restore_time(s->index, number, store_now());
		struct piece_record r = { .type = RECORD_RESTORE,
					  .satellite = *satellite,
					  .stored_unix_ns = (int64_t)time * NS_PER_SEC };
		enum err e = store_write_note(call, s, &r, &a);
		if (!e)
			done = piece_index_restore(s->index, number, time);
		piece_log_append_end(call, s->log, &a);
		TRY(e, "restore trash");
	}
	return OK;
}

struct place_change {
	const struct piece_entry *at; /* the record it is about */
	struct piece_entry after;
	bool done;
};

static bool change_at(void *arg, bool have, struct piece_entry *e)
{
	struct place_change *c = arg;

	if (!have || (e->flags & PIECE_DELETED) || !piece_entry_same_place(e, c->at))
		return false;
	c->done = true;
	*e = c->after;
	return true;
}

static enum err change_place(struct call *call, struct piece_store *s, struct place_change *c)
{
	struct piece_key key = piece_entry_key(c->at);

	return piece_index_change(call, s->index, &key, change_at, c);
}

enum err piece_store_delete(struct call *call, struct piece_store *s,
			    const struct node_id *satellite, const struct piece_id *piece)
{
	struct piece_key key = { .id = *piece };
	struct piece_entry e;
	struct log_append a = { 0 };
	struct piece_record r = { .type = RECORD_DELETE, .satellite = *satellite, .piece = *piece };

	if (!piece_index_find_satellite(s->index, satellite, &key.satellite))
		return call_fail(call, ERR_NOT_FOUND, "piece not found");
	enum err err = piece_index_find(call, s->index, &key, &e);
	if (err == ERR_NOT_FOUND)
		return call_fail(call, err, "piece not found");
	TRY_PLAIN(err);
	struct place_change c = { .at = &e };
	err = store_write_note(call, s, &r, &a);
	if (!err) {
		store_entry_of(&r, key.satellite, a.number, a.offset, &c.after);
		c.after.flags = PIECE_DELETED;
		c.after.trashed_at = c.after.stored_at;
		err = change_place(call, s, &c);
	}
	piece_log_append_end(call, s->log, &a);
	return err;
}

void store_revive(struct call *call, struct piece_store *s, const struct node_id *satellite,
		  struct piece_entry *e)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct piece_entry was = *e;
	struct place_change c = { .at = &was, .after = *e };
	struct piece_record r = { .type = RECORD_REVIVE, .satellite = *satellite, .piece = e->id };
	struct log_append a = { 0 };
	uint8_t wire[PIECE_ENTRY_BYTES];

	call_init_child(&own, call);
	c.after.trashed_at = 0;
	/* The filter that put it there must not do so again. */
	c.after.stored_at = MAX(store_now(), was.trashed_at);
	piece_entry_encode(&c.after, wire);
	r.limit = BYTES_OF(wire);
	enum err err = store_write_note(&own, s, &r, &a);
	if (err)
		log_warn("a piece was read from the trash, and the disk did not take note of it",
			 F_STR("why", call_error(&own, err)));
	call_clear_error(&own);
	if (change_place(&own, s, &c))
		log_warn("a piece was read from the trash and is still in it",
			 F_STR("why", own.error));
	piece_log_append_end(&own, s->log, &a);
	*e = c.after;
}

enum err store_mark_damaged(struct call *call, struct piece_store *s, const struct piece_entry *e)
{
	struct place_change c = { .at = e, .after = *e };
	struct index_satellite satellite;

	if (e->flags & PIECE_DAMAGED)
		return OK;
	c.after.flags |= PIECE_DAMAGED;
	TRY_PLAIN(change_place(call, s, &c));
	if (!c.done)
		return OK;
	os_mutex_lock(&s->lock);
	s->new_bytes += PIECE_ENTRY_BYTES; /* a checkpoint is due */
	os_mutex_unlock(&s->lock);
	log_error("a stored piece is damaged", F_HEX("piece", BYTES_OF(e->id.b)),
		  F_U64("segment", e->segment), F_U64("offset", piece_entry_offset(e)));
	if (s->config.damaged && piece_index_satellite_status(s->index, e->satellite, &satellite))
		s->config.damaged(s->config.arg, &satellite.id, &e->id);
	return OK;
}
