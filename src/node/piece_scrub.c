/*
 * Bit rot: every piece is read and compared with its hash, segment after segment, slowly.  Where a
 * record should begin and none is found, the index is asked whether it has one there.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/log.h"

enum {
	GAPS_MAX = 64,	     /* in one segment; more are taken as one */
	SUSPECTS_MAX = 4096, /* damaged records found by the index at a time */
};

struct gap {
	uint64_t from, to;
};

struct scrub {
	struct piece_store *store;
	uint32_t segment;
	uint64_t pos, bytes_max;
	struct gap gaps[GAPS_MAX];
	size_t gaps_count;
	struct piece_entry *suspects; /* SUSPECTS_MAX */
	size_t suspects_count;
	struct store_scrubbed done;
};

static void add_gap(struct scrub *s, uint64_t from, uint64_t to)
{
	if (s->gaps_count == GAPS_MAX) {
		s->gaps[GAPS_MAX - 1].to = to;
		return;
	}
	s->gaps[s->gaps_count++] = (struct gap){ from, to };
}

static enum err mark(struct call *call, struct scrub *s, const struct piece_entry *e)
{
	s->done.damaged++;
	return store_mark_damaged(call, s->store, e);
}

/* A record whose bytes are wrong.  Only if the index has this very record does it matter. */
static enum err judge(struct call *call, struct scrub *s, const struct piece_record *r,
		      uint64_t offset)
{
	struct piece_key key = { .id = r->piece };
	struct piece_entry e;

	if (!piece_index_find_satellite(s->store->index, &r->satellite, &key.satellite))
		return OK;
	enum err err = piece_index_find(call, s->store->index, &key, &e);
	if (err == ERR_NOT_FOUND)
		return OK;
	TRY_PLAIN(err);
	if (e.segment != s->segment || piece_entry_offset(&e) != offset)
		return OK;
	return mark(call, s, &e);
}

/* From s->pos on, about bytes_max; *ret_end true when the segment is read to its end. */
static enum err read_segment(struct call *call, struct scrub *s, struct log_scan *scan,
			     uint64_t end, bool *ret_end)
{
	struct piece_record r;
	uint64_t at = 0;
	bool found = true, whole = true;

	while (s->done.bytes < s->bytes_max) {
		uint64_t from = s->pos;
		TRY_PLAIN(piece_log_scan_next(call, scan, &s->pos, &r, &at, &found));
		*ret_end = !found;
		if (!found && from < end)
			add_gap(s, from, end);
		if (!found)
			return OK;
		if (at > from)
			add_gap(s, from, at);
		s->done.records++;
		s->done.bytes += s->pos - from;
		if (r.type != RECORD_PIECE)
			continue;
		TRY_PLAIN(piece_log_scan_check(call, scan, &r, at, &whole));
		if (!whole)
			TRY_PLAIN(judge(call, s, &r, at));
	}
	return OK;
}

static bool collect(void *arg, const struct piece_entry *e)
{
	struct scrub *s = arg;

	if (e->segment != s->segment || (e->flags & PIECE_DAMAGED))
		return true;
	for (size_t i = 0; i < s->gaps_count; i++)
		if (piece_entry_offset(e) >= s->gaps[i].from &&
		    piece_entry_offset(e) < s->gaps[i].to) {
			s->suspects[s->suspects_count++] = *e;
			break;
		}
	return s->suspects_count < SUSPECTS_MAX;
}

/* Where no record was found the index may have one. */
static enum err ask_index(struct call *call, struct scrub *s)
{
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record r;

	if (!s->gaps_count)
		return OK;
	TRY_PLAIN(piece_index_scan(call, s->store->index, collect, s));
	for (size_t i = 0; i < s->suspects_count; i++) {
		enum err e = store_read_record(call, s->store, &s->suspects[i], head, &r);
		if (e == ERR_DATA_LOSS) {
			call_clear_error(call);
			e = mark(call, s, &s->suspects[i]);
		}
		TRY_PLAIN(e);
	}
	return OK;
}

static enum err run(struct call *call, struct scrub *s, uint64_t end, bool *ret_end)
{
	AUTO_FREE struct piece_entry *suspects = malloc(SUSPECTS_MAX * sizeof(*suspects));
	struct log_scan *scan = NULL;

	if (!suspects)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for scrubbing");
	s->suspects = suspects;
	TRY_PLAIN(piece_log_scan_begin(call, s->store->log, s->segment, &scan));
	enum err e = read_segment(call, s, scan, end, ret_end);
	piece_log_scan_end(scan);
	TRY_PLAIN(e);
	return ask_index(call, s);
}

enum err piece_store_scrub(struct call *call, struct piece_store *s, uint64_t bytes_max,
			   struct store_scrubbed *ret)
{
	struct scrub scrub = { .store = s, .bytes_max = MAX(bytes_max, UINT64_C(1)) };
	struct log_segment_info info = { 0 };
	bool found = false, end = true;

	*ret = (struct store_scrubbed){ 0 };
	os_mutex_lock(&s->lock);
	uint32_t from = s->scrub_segment;
	scrub.pos = MAX(s->scrub_offset, (uint64_t)SEGMENT_HEADER_BYTES);
	os_mutex_unlock(&s->lock);
	for (uint32_t at = from; !found && piece_log_segment(s->log, at, &info);
	     at = info.number + 1)
		/* One that is being written to waits for the next round. */
		found = info.complete && info.live;
	if (found) {
		if (info.number != from)
			scrub.pos = SEGMENT_HEADER_BYTES;
		scrub.segment = info.number;
		TRY(run(call, &scrub, info.bytes, &end), "scrub of segment %08x", info.number);
		*ret = scrub.done;
	}
	OS_LOCKED(&s->lock);
	s->scrub_offset = end ? 0 : scrub.pos;
	__atomic_store_n(&s->scrub_segment,
			 !found ? 0
			 : end	? info.number + 1
				: info.number,
			 __ATOMIC_RELAXED);
	return OK;
}
