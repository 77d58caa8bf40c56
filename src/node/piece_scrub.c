/*
 * Bit rot: every piece is read and compared with its hash, segment after segment, slowly.  Where a
 * record should begin and none is found, the index is asked whether it has one there.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/clock.h"
#include "os/log.h"

enum {
	GAPS_MAX = 64,	     /* in one segment; more are taken as one */
	SUSPECTS_MAX = 4096, /* damaged records of one segment found by the index at a time */
	REST_BYTES = 1 << 20,
};

struct gap {
	uint64_t from, to;
};

struct scrub {
	struct piece_store *store;
	uint32_t segment;
	uint64_t bytes_per_second, owed; /* bytes read since the last rest */
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

static enum err rest(struct call *call, struct scrub *s, uint64_t bytes)
{
	s->done.bytes += bytes;
	s->owed += bytes;
	if (!s->bytes_per_second || s->owed < REST_BYTES)
		return OK;
	double seconds = (double)s->owed / (double)s->bytes_per_second;
	s->owed = 0;
	return os_sleep(call, (int64_t)(seconds * (double)NS_PER_SEC));
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

static enum err read_segment(struct call *call, struct scrub *s, struct log_scan *scan,
			     uint64_t end)
{
	uint64_t pos = SEGMENT_HEADER_BYTES, at = 0;
	struct piece_record r;
	bool found = true, whole = true;

	for (;;) {
		uint64_t from = pos;
		TRY_PLAIN(piece_log_scan_next(call, scan, &pos, &r, &at, &found));
		if (!found) {
			if (from < end)
				add_gap(s, from, end);
			return OK;
		}
		if (at > from)
			add_gap(s, from, at);
		s->done.records++;
		if (r.type != RECORD_PIECE)
			continue;
		TRY_PLAIN(piece_log_scan_check(call, scan, &r, at, &whole));
		if (!whole)
			TRY_PLAIN(judge(call, s, &r, at));
		TRY_PLAIN(rest(call, s, pos - at));
	}
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

static enum err run(struct call *call, struct scrub *s, uint64_t end)
{
	struct log_scan *scan = NULL;

	TRY_PLAIN(piece_log_scan_begin(call, s->store->log, s->segment, &scan));
	enum err e = read_segment(call, s, scan, end);
	piece_log_scan_end(scan);
	TRY_PLAIN(e);
	return ask_index(call, s);
}

enum err piece_store_scrub(struct call *call, struct piece_store *s, uint64_t bytes_per_second,
			   struct store_scrubbed *ret)
{
	struct scrub scrub = { .store = s, .bytes_per_second = bytes_per_second };
	struct log_segment_info info;
	bool found = false;

	*ret = (struct store_scrubbed){ 0 };
	os_mutex_lock(&s->lock);
	uint32_t from = s->scrub_segment;
	os_mutex_unlock(&s->lock);
	while (!found && piece_log_segment(s->log, from, &info)) {
		/* One that is being written to waits for the next round. */
		found = info.complete && info.live;
		from = info.number + 1;
	}
	if (found) {
		AUTO_FREE struct piece_entry *suspects = malloc(SUSPECTS_MAX * sizeof(*suspects));
		if (!suspects)
			return call_fail(call, ERR_NO_MEMORY, "out of memory for scrubbing");
		scrub.suspects = suspects;
		scrub.segment = info.number;
		TRY(run(call, &scrub, info.bytes), "scrub of segment %08x", info.number);
		*ret = scrub.done;
	}
	os_mutex_lock(&s->lock);
	__atomic_store_n(&s->scrub_segment, found ? from : 0, __ATOMIC_RELAXED);
	os_mutex_unlock(&s->lock);
	return OK;
}
