/* Writers and readers of pieces. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/clock.h"

struct piece_writer {
	struct piece_store *store;
	struct piece_begin begin; /* its limit points to `limit` */
	struct hasher *hasher;
	struct log_append append;
	uint64_t size;
	uint64_t reserved, room;
	uint8_t *buffer; /* the first bytes, until they are too many */
	size_t buffered;
	bool streaming, failed;
	struct piece_record record; /* once it is written */
	uint32_t trashed_at;
	uint8_t limit[RECORD_LIMIT_MAX];
};

/* Promises room for the upload; the measure and the promise are not one step, so the promise is
 * checked again and may be taken back. */
static enum err reserve(struct call *call, struct piece_store *s, uint64_t bytes,
			uint64_t *ret_room)
{
	struct piece_space space;

	os_mutex_lock(&s->lock);
	s->reserved += bytes;
	os_mutex_unlock(&s->lock);
	enum err e = store_measure(call, s, &space);
	/* What was just promised is no longer in `available`; it ran out if nothing is left and
	 * the sums do not fit. */
	bool fits = !e && space.used + space.reserved <= store_allocated(s) &&
		    store_free_reserve(s) + space.reserved <= space.disk_free;
	if (fits) {
		*ret_room = space.available;
		return OK;
	}
	os_mutex_lock(&s->lock);
	s->reserved -= bytes;
	os_mutex_unlock(&s->lock);
	if (e)
		return e;
	return call_fail(call, ERR_ABORTED, "not enough available disk space: %llu bytes wanted",
			 (unsigned long long)bytes);
}

enum err piece_writer_begin(struct call *call, struct piece_store *s, const struct piece_begin *b,
			    struct piece_writer **ret)
{
	if (b->limit.len > RECORD_LIMIT_MAX)
		return call_fail(call, ERR_INVALID, "order limit of %zu bytes is too long",
				 b->limit.len);
	enum store_state state = piece_store_state(s);
	if (b->import ? state == STORE_OFFLINE : state != STORE_READY)
		return call_fail(call, ERR_UNAVAILABLE, "the disk takes no pieces at the moment");
	if (b->size_max > UINT32_MAX)
		return call_fail(call, ERR_INVALID, "pieces above 4 GiB are not taken");
	uint64_t bytes = record_len(record_header_len(b->limit.len), b->size_max);
	struct piece_writer *w = malloc(sizeof(*w));
	if (!w)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an upload");
	*w = (struct piece_writer){ .store = s, .begin = *b };
	w->hasher = hasher_new(b->algorithm);
	w->buffer = buffers_take(&s->buffers);
	enum err e = w->hasher && w->buffer
			     ? reserve(call, s, bytes, &w->room)
			     : call_fail(call, ERR_NO_MEMORY, "out of memory for an upload");
	if (e) {
		piece_writer_end(w);
		return e;
	}
	w->reserved = bytes;
	if (b->limit.len)
		memcpy(w->limit, b->limit.data, b->limit.len);
	w->begin.limit = BYTES(w->limit, b->limit.len);
	*ret = w;
	return OK;
}

/* From memory to a place of its own in the log: what is buffered and `data` go out together. */
static enum err begin_streaming(struct call *call, struct piece_writer *w, struct bytes data)
{
	struct bytes parts[2] = { BYTES(w->buffer, w->buffered), data };

	w->streaming = true;
	TRY_PLAIN(piece_log_append_begin(call, w->store->log, &w->append, w->begin.limit.len,
					 w->begin.expiration_unix_ns, !w->begin.import));
	TRY_PLAIN(piece_log_append_data(call, w->store->log, &w->append, parts, 2));
	buffers_put(&w->store->buffers, take(&w->buffer));
	return OK;
}

enum err piece_writer_add(struct call *call, struct piece_writer *w, struct bytes data)
{
	enum err e = OK;

	if (data.len > w->begin.size_max - w->size)
		return call_fail(call, ERR_OUT_OF_RANGE, "more than the %llu bytes reserved",
				 (unsigned long long)w->begin.size_max);
	hasher_update(w->hasher, data);
	if (w->streaming) {
		e = piece_log_append_data(call, w->store->log, &w->append, &data, 1);
	} else if (data.len <= STORE_BUFFER_BYTES - w->buffered) {
		if (data.len)
			memcpy(w->buffer + w->buffered, data.data, data.len);
		w->buffered += data.len;
	} else {
		e = begin_streaming(call, w, data);
	}
	if (e) {
		w->failed = true;
		store_note_trouble(w->store, e);
		return e;
	}
	w->size += data.len;
	return OK;
}

uint64_t piece_writer_size(const struct piece_writer *w)
{
	return w->size;
}

uint64_t piece_writer_room(const struct piece_writer *w)
{
	return w->room;
}

void piece_writer_hash(const struct piece_writer *w, uint8_t out[HASH_BYTES])
{
	hasher_sum(w->hasher, out);
}

enum err piece_writer_write(struct call *call, struct piece_writer *w, const struct piece_commit *c)
{
	struct piece_log *log = w->store->log;
	struct piece_record *r = &w->record;

	if (w->failed)
		return call_fail(call, ERR_INTERNAL, "the upload failed before");
	*r = (struct piece_record){
		.type = RECORD_PIECE,
		.algorithm = w->begin.algorithm,
		.stored_unix_ns = c->stored_unix_ns ? c->stored_unix_ns : os_clock_unix_ns(),
		.created_unix_ns = c->created_unix_ns,
		.expiration_unix_ns = w->begin.expiration_unix_ns,
		.piece = w->begin.piece,
		.satellite = w->begin.satellite,
		.order_amount = c->order_amount,
		.limit = w->begin.limit,
	};
	hasher_sum(w->hasher, r->hash);
	memcpy(r->uplink_signature, c->uplink_signature, sizeof(r->uplink_signature));
	memcpy(r->order_signature, c->order_signature, sizeof(r->order_signature));
	w->trashed_at = c->trashed_unix_ns ? store_seconds(c->trashed_unix_ns) : 0;
	enum err e = w->streaming ? piece_log_append_finish(call, log, &w->append, r)
				  : piece_log_append_whole(call, log, &w->append, r,
							   BYTES(w->buffer, w->buffered));
	if (e) {
		w->failed = true;
		store_note_trouble(w->store, e);
		return e;
	}
	buffers_put(&w->store->buffers, take(&w->buffer));
	hasher_free(take(&w->hasher));
	return OK;
}

enum err piece_writer_publish(struct call *call, struct piece_writer *w)
{
	struct piece_store *s = w->store;
	struct piece_entry entry;
	uint16_t satellite = 0;
	enum err e = piece_log_sync(call, s->log, &w->append);

	if (e) {
		w->failed = true;
		store_note_trouble(s, e);
		return e;
	}
	TRY_PLAIN(piece_index_satellite(call, s->index, &w->record.satellite, &satellite));
	store_entry_of(&w->record, satellite, w->append.number, w->append.offset, &entry);
	entry.trashed_at = w->trashed_at;
	return store_put(call, s, &entry);
}

enum err piece_writer_commit(struct call *call, struct piece_writer *w,
			     const struct piece_commit *c)
{
	TRY_PLAIN(piece_writer_write(call, w, c));
	return piece_writer_publish(call, w);
}

void piece_writer_end(struct piece_writer *w)
{
	AUTO_CALL struct call call = CALL_INIT;

	if (!w)
		return;
	call_init(&call);
	piece_log_append_end(&call, w->store->log, &w->append);
	os_mutex_lock(&w->store->lock);
	w->store->reserved -= w->reserved;
	os_mutex_unlock(&w->store->lock);
	buffers_put(&w->store->buffers, w->buffer);
	hasher_free(w->hasher);
	free(w);
}

enum err piece_store_find(struct call *call, struct piece_store *s, const struct node_id *satellite,
			  const struct piece_id *piece, struct piece_entry *ret)
{
	struct piece_key key = { .id = *piece };

	return piece_index_find_satellite(s->index, satellite, &key.satellite)
		       ? piece_index_find(call, s->index, &key, ret)
		       : ERR_NOT_FOUND;
}

static enum err find_piece(struct call *call, struct piece_store *s,
			   const struct node_id *satellite, const struct piece_id *piece,
			   struct piece_entry *ret)
{
	bool all_known = piece_store_recovered(s), incomplete = s->incomplete;

	if (piece_store_state(s) == STORE_OFFLINE)
		return call_fail(call, ERR_UNAVAILABLE, "the disk does not answer");
	enum err e = piece_store_find(call, s, satellite, piece, ret);

	if (e == ERR_NOT_FOUND && !all_known)
		return call_fail(call, ERR_UNAVAILABLE,
				 "the piece may be among those that are still being read from the "
				 "log after a crash");
	if (e == ERR_NOT_FOUND && incomplete) {
		/* It may also have been brought meanwhile. */
		enum err missing = s->config.missing(call, s->config.arg, satellite, piece);
		e = piece_store_find(call, s, satellite, piece, ret);
		if (e)
			return call_wrap(call, missing ? ERR_UNAVAILABLE : e,
					 "the piece may be among those not yet taken over");
		call_clear_error(call);
	}
	if (e == ERR_NOT_FOUND)
		return call_fail(call, e, "piece not found");
	TRY_PLAIN(e);
	if (ret->flags & PIECE_DAMAGED)
		return call_fail(call, ERR_DATA_LOSS, "the disk damaged this piece");
	return OK;
}

/* Compaction may move the piece between the look-up and the opening of its file: looked up again
 * then. */
static enum err find_and_pin(struct call *call, struct piece_store *s,
			     const struct node_id *satellite, const struct piece_id *piece,
			     struct piece_reader *r)
{
	struct piece_entry again;

	TRY_PLAIN(find_piece(call, s, satellite, piece, &r->entry));
	for (;;) {
		enum err e = piece_log_pin(call, s->log, r->entry.segment, &r->file);
		if (e != ERR_NOT_FOUND)
			return e;
		enum err found = find_piece(call, s, satellite, piece, &again);
		if (found) {
			r->entry = (struct piece_entry){ 0 }; /* gone meanwhile */
			return found;
		}
		if (piece_entry_same_place(&again, &r->entry))
			return e;
		r->entry = again;
	}
}

enum err piece_reader_open(struct call *call, struct piece_store *s,
			   const struct node_id *satellite, const struct piece_id *piece,
			   struct piece_reader *ret)
{
	struct piece_reader r = { .store = s };
	enum err e = find_and_pin(call, s, satellite, piece, &r);

	if (e == ERR_NOT_FOUND && r.entry.header64) {
		/* The piece is known: that its file cannot be had is never "not found". */
		store_note_trouble(s, e);
		return ERR_IO;
	}
	if (e && e != ERR_NOT_FOUND)
		store_note_trouble(s, e);
	TRY_PLAIN(e);
	if (r.entry.trashed_at) {
		store_revive(call, s, satellite, &r.entry);
		r.restored = true;
	}
	*ret = r;
	return OK;
}

void piece_reader_close(struct piece_reader *r)
{
	if (r->store)
		piece_log_unpin(r->store->log, r->file);
	*r = (struct piece_reader){ 0 };
}

enum err piece_reader_read(struct call *call, struct piece_reader *r, void *out, size_t n,
			   uint64_t offset)
{
	enum err e = piece_log_read(call, r->file, out, n, piece_entry_data(&r->entry) + offset);

	if (e)
		store_note_trouble(r->store, e);
	return e;
}

enum err piece_reader_bulk(struct call *call, struct piece_reader *r, uint8_t *buffer, size_t n,
			   uint64_t offset, struct bytes *ret)
{
	/* A piece that was appended whole is small, and likely still in the page cache. */
	if (n < PIECE_BULK_MIN || r->entry.size <= STORE_BUFFER_BYTES) {
		TRY_PLAIN(piece_reader_read(call, r, buffer, n, offset));
		*ret = BYTES(buffer, n);
		return OK;
	}
	enum err e = piece_log_read_bulk(call, r->file, buffer, n + PIECE_BULK_SLACK, n,
					 piece_entry_data(&r->entry) + offset, ret);
	if (e)
		store_note_trouble(r->store, e);
	return e;
}

enum err piece_reader_record(struct call *call, struct piece_reader *r, uint8_t *buf,
			     struct piece_record *ret)
{
	enum err e = piece_log_read_record(call, r->file, piece_entry_offset(&r->entry), buf, ret);

	if (e)
		store_note_trouble(r->store, e);
	if (e == ERR_DATA_LOSS && store_mark_damaged(call, r->store, &r->entry))
		call_clear_error(call);
	return e;
}
