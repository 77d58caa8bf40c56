/*
 * What uploads have stored last stays in the system's page cache, up to a bound, so that it is
 * served from memory: what is new is asked for most.  The oldest makes room while new bytes come,
 * so that they get its pages.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_log_internal.h"

enum { RECENT_STEP = 1 << 20 }; /* room is made, and the disk set to work, for so much at a time */

enum err log_recent_new(struct call *call, struct log_recent *r, uint64_t bytes)
{
	if (bytes < RECENT_BYTES_MIN)
		return OK;
	r->ranges = calloc(RECENT_RANGES, sizeof(*r->ranges));
	if (!r->ranges)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	r->max = bytes;
	return OK;
}

/* The oldest range, while there is more than the bound; log's lock held. */
static bool take_oldest(struct log_recent *r, struct recent_range *ret)
{
	if (!r->count || (r->bytes <= r->max && r->count < RECENT_RANGES))
		return false;
	*ret = r->ranges[r->first];
	r->first = (r->first + 1) % RECENT_RANGES;
	r->count--;
	r->bytes -= ret->len;
	return true;
}

/* Counts `bytes` more and lets the oldest go for them. */
static void make_room(struct piece_log *log, uint64_t bytes)
{
	AUTO_CALL struct call aside = CALL_INIT;
	struct recent_range old;

	call_init(&aside);
	os_mutex_lock(&log->lock);
	log->recent.bytes += bytes;
	while (take_oldest(&log->recent, &old)) {
		os_mutex_unlock(&log->lock);
		struct log_file *f = NULL;
		/* A segment that is gone has nothing in the cache. */
		if (piece_log_pin(&aside, log, old.segment, &f))
			call_clear_error(&aside);
		else
			piece_log_uncache(f, old.offset, old.len);
		piece_log_unpin(log, f);
		os_mutex_lock(&log->lock);
	}
	os_mutex_unlock(&log->lock);
}

enum err log_recent_data(struct call *call, struct piece_log *log, struct log_append *a,
			 const struct bytes *parts, size_t count)
{
	uint64_t at = a->header_len + a->size, end = at;

	for (size_t i = 0; i < count; i++)
		end += parts[i].len;
	if (round_up(end, RECENT_STEP) > a->recent_bytes) {
		uint64_t more = round_up(end, RECENT_STEP) - a->recent_bytes;
		make_room(log, more);
		a->recent_bytes += more;
	}
	TRY_PLAIN(os_file_write_cached_at(call, a->file->file, parts, count, a->offset + at));
	/* What is behind the last whole step waits for its rest. */
	uint64_t from = at / RECENT_STEP * RECENT_STEP, to = end / RECENT_STEP * RECENT_STEP;
	if (from < to)
		os_file_write_back(a->file->file, a->offset + from, to - from);
	return OK;
}

void log_recent_end(struct piece_log *log, struct log_append *a)
{
	struct log_recent *r = &log->recent;
	uint64_t len = a->header_len + a->size;
	OS_LOCKED(&log->lock);

	r->bytes -= a->recent_bytes;
	if (!a->written || r->count == RECENT_RANGES)
		return;
	r->bytes += len;
	r->ranges[(r->first + r->count++) % RECENT_RANGES] = (struct recent_range){
		.segment = a->number,
		.offset = a->offset,
		.len = len,
	};
}
