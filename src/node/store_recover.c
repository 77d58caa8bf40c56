/* What a start finds in the log beyond the last checkpoint is put into the index. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/log.h"

/* A change that was decided on what the index said a moment ago. */
struct decided {
	bool have; /* there was an entry then ... */
	struct piece_entry then;
	struct piece_entry now; /* ... and becomes this */
	bool stale;		/* the index says something else by now: decide again */
};

static bool apply_decided(void *arg, bool have, struct piece_entry *e)
{
	struct decided *d = arg;

	d->stale = have != d->have || (have && memcmp(e, &d->then, sizeof(*e)) != 0);
	if (d->stale)
		return false;
	*e = d->now;
	return true;
}

static enum err look(struct call *call, struct piece_store *s, const struct piece_key *key,
		     struct decided *d)
{
	enum err e = piece_index_look(call, s->index, key, &d->then);

	d->have = e == OK;
	return e == ERR_NOT_FOUND ? OK : e;
}

/* Compares with the record that the index has: <0 the one found is older, 0 it is a copy that was
 * moved as often, 1 it is a copy that was moved once more, 2 it is newer. */
static enum err compare(struct call *call, struct piece_store *s, const struct piece_record *r,
			const struct piece_entry *have, int *ret)
{
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record other;
	enum err e = store_read_record(call, s, have, head, &other);

	if (e == ERR_DATA_LOSS || e == ERR_NOT_FOUND) {
		call_clear_error(call);
		*ret = 2;
		return OK;
	}
	TRY_PLAIN(e);
	if (r->seq != other.seq)
		*ret = r->seq < other.seq ? -1 : 2;
	else
		*ret = r->moves < other.moves ? -1 : r->moves > other.moves;
	return OK;
}

static enum err take_piece(struct call *call, struct piece_store *s, const struct piece_record *r,
			   const struct piece_entry *e)
{
	struct piece_key key = piece_entry_key(e);
	struct decided d = { .stale = true };

	while (d.stale) {
		int order = 2;
		TRY_PLAIN(look(call, s, &key, &d));
		if (d.have && piece_entry_same_place(&d.then, e))
			return OK;
		if (d.have)
			TRY_PLAIN(compare(call, s, r, &d.then, &order));
		if (order <= 0 || (order == 2 && store_long_expired(e, store_now())))
			return OK;
		d.now = *e;
		if (order == 1) {
			/* Compaction moved it; its state is what it was. */
			d.now = d.then;
			d.now.segment = e->segment;
			d.now.offset64 = e->offset64;
			d.now.header64 = e->header64;
		}
		TRY_PLAIN(piece_index_change(call, s->index, &key, apply_decided, &d));
	}
	OS_LOCKED(&s->lock);
	s->new_bytes += piece_entry_len(e);
	return OK;
}

/* A piece was taken out of the trash.  If the sweep that was to drop it became durable meanwhile,
 * the note has the entry. */
static enum err take_revival(struct call *call, struct piece_store *s, const struct piece_record *r,
			     uint16_t satellite)
{
	struct piece_key key = { .id = r->piece, .satellite = satellite };
	struct decided d = { .stale = true };
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record other;
	struct piece_entry noted;

	if (r->limit.len != PIECE_ENTRY_BYTES || piece_entry_decode(r->limit.data, &noted) ||
	    memcmp(noted.id.b, r->piece.b, PIECE_ID_BYTES) != 0)
		return OK;
	noted.satellite = satellite;
	while (d.stale) {
		TRY_PLAIN(look(call, s, &key, &d));
		if (d.have && (d.then.flags & PIECE_DELETED))
			return OK;
		d.now = d.then;
		d.now.trashed_at = 0;
		d.now.stored_at = MAX(d.now.stored_at, noted.stored_at);
		if (!d.have) {
			if (!piece_log_has(s->log, noted.segment, piece_entry_end(&noted)) ||
			    store_read_record(call, s, &noted, head, &other) ||
			    memcmp(other.piece.b, r->piece.b, PIECE_ID_BYTES) != 0) {
				call_clear_error(call);
				return OK;
			}
			d.now = noted;
		} else if (d.then.trashed_at > noted.stored_at) {
			return OK; /* put there again since */
		}
		TRY_PLAIN(piece_index_change(call, s->index, &key, apply_decided, &d));
	}
	return OK;
}

static enum err take_deletion(struct call *call, struct piece_store *s,
			      const struct piece_record *r, const struct piece_entry *e)
{
	struct piece_key key = piece_entry_key(e);
	struct decided d = { .stale = true };

	while (d.stale) {
		int order = 2;
		TRY_PLAIN(look(call, s, &key, &d));
		if (d.have)
			TRY_PLAIN(compare(call, s, r, &d.then, &order));
		if (order <= 0)
			return OK;
		d.now = *e;
		d.now.flags = PIECE_DELETED;
		d.now.trashed_at = e->stored_at;
		TRY_PLAIN(piece_index_change(call, s->index, &key, apply_decided, &d));
	}
	return OK;
}

/* The bytes are not those of the hash.  If the index has this very record it was acknowledged, so
 * the disk damaged it. */
static enum err take_torn(struct call *call, struct piece_store *s, const struct piece_entry *e,
			  bool *ret_claimed)
{
	struct piece_key key = piece_entry_key(e);
	struct decided d;

	TRY_PLAIN(look(call, s, &key, &d));
	*ret_claimed = d.have && !(d.then.flags & PIECE_DELETED) &&
		       piece_entry_same_place(&d.then, e);
	return *ret_claimed ? store_mark_damaged(call, s, &d.then) : OK;
}

static enum err visit(struct call *call, void *arg, const struct piece_record *r, uint32_t segment,
		      uint64_t offset, bool whole, bool *ret_claimed)
{
	struct piece_store *s = arg;
	struct piece_entry e;
	uint16_t satellite = 0;

	TRY_PLAIN(piece_index_satellite(call, s->index, &r->satellite, &satellite));
	store_entry_of(r, satellite, segment, offset, &e);
	if (!whole)
		return take_torn(call, s, &e, ret_claimed);
	os_mutex_lock(&s->lock);
	s->found_records++;
	os_mutex_unlock(&s->lock);
	switch (r->type) {
	case RECORD_PIECE:
		TRY_PLAIN(take_piece(call, s, r, &e));
		if (s->config.recovered && !r->moves)
			return s->config.recovered(call, s->config.arg, r);
		return OK;
	case RECORD_REVIVE:
		return take_revival(call, s, r, satellite);
	case RECORD_DELETE:
		return take_deletion(call, s, r, &e);
	case RECORD_RESTORE:
		(void)piece_index_restore(s->index, satellite, e.stored_at);
		return OK;
	case RECORD_SEAL:
		return OK;
	}
	return OK;
}

enum err piece_store_recover(struct call *call, struct piece_store *s)
{
	if (s->recovered)
		return OK;
	TRY_PLAIN(piece_log_recover(call, s->log, visit, s));
	s->recovered = true;
	if (s->found_records)
		log_info("pieces found beyond the last checkpoint",
			 F_U64("records", s->found_records));
	return OK;
}
