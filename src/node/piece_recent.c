/*
 * What uploads have stored last stays in memory, up to a bound, and is served from there: what is
 * new is asked for most.  The buffers are those in which a piece went to the disk, so that keeping
 * one costs nothing; the oldest becomes the next upload's.  In the system's page cache the same
 * bytes cost a quarter of all that an upload takes (bookkeeping of each 4 KiB, and a copy).
 */
#include <stdlib.h>

#include "base/num.h"
#include "node/piece_log_internal.h"
#include "os/clock.h"

enum { RECENT_IDLE_SECONDS = 3600 }; /* after it without an upload the memory is given back */

enum err log_recent_new(struct call *call, struct piece_log *log, uint64_t bytes)
{
	struct log_recent *r = &log->recent;
	size_t slots = (size_t)MIN(bytes / log->large->size, (uint64_t)RECENT_SLOTS_MAX);

	if (slots < RECENT_SLOTS_MIN)
		return OK;
	r->slots = calloc(slots, sizeof(*r->slots));
	if (!r->slots)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	r->count = slots;
	return OK;
}

void log_recent_fini(struct log_recent *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->slots[i].buffer);
	free(r->slots);
	os_mutex_fini(&r->lock);
}

/* The oldest slot that nobody reads. */
static struct recent_slot *oldest(struct log_recent *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct recent_slot *s = &r->slots[r->oldest];
		r->oldest = (r->oldest + 1) % r->count;
		if (!s->pins)
			return s;
	}
	return NULL;
}

/* The run's buffer, written up to `to` of the segment, becomes the newest slot; the run gets the
 * oldest's instead, or a new one.  Where that cannot be, it goes on with its own. */
static void keep(struct piece_log *log, struct log_append *a, uint64_t base, uint64_t to)
{
	struct log_recent *r = &log->recent;
	OS_LOCKED(&r->lock);
	struct recent_slot *s = oldest(r);

	if (!s)
		return;
	uint8_t *next = s->buffer ? s->buffer : buffers_take(log->large);
	if (!next)
		return;
	*s = (struct recent_slot){ .buffer = a->run.buffer,
				   .segment = a->number,
				   .from = MAX(base, a->offset + a->header_len),
				   .to = to };
	a->run.buffer = next;
	r->kept_mono_ns = os_clock_mono_ns();
}

enum err log_recent_data(struct call *call, struct piece_log *log, struct log_append *a,
			 const struct bytes *parts, size_t count)
{
	struct os_run *run = &a->run;

	for (size_t i = 0; i < count; i++) {
		struct bytes part = parts[i];
		while (part.len) {
			struct bytes some = BYTES(part.data, MIN(part.len, run->cap - run->len));
			uint64_t base = run->base;
			TRY_PLAIN(os_run_add(call, run, &some, 1));
			/* Full, and written: the run goes on with the next blocks. */
			if (run->base != base)
				keep(log, a, base, run->base);
			part = bytes_from(part, some.len);
		}
	}
	return OK;
}

void log_recent_end(struct piece_log *log, struct log_append *a)
{
	struct log_recent *r = &log->recent;
	uint64_t end = a->offset + a->header_len + a->size;

	if (a->written) {
		if (a->run.base < end)
			keep(log, a, a->run.base, end);
		return;
	}
	/* Cut off: others will write there. */
	OS_LOCKED(&r->lock);
	for (size_t i = 0; i < r->count; i++)
		if (r->slots[i].segment == a->number && r->slots[i].from >= a->offset)
			r->slots[i].to = r->slots[i].from = 0;
}

bool piece_log_recent(struct piece_log *log, uint32_t segment, uint64_t offset, size_t n,
		      size_t *slot, struct bytes *ret)
{
	struct log_recent *r = &log->recent;
	OS_LOCKED(&r->lock);

	for (size_t i = 0; i < r->count; i++) {
		size_t at = (*slot + i) % r->count;
		struct recent_slot *s = &r->slots[at];
		if (s->segment != segment || offset < s->from || offset >= s->to)
			continue;
		uint64_t base = s->from - s->from % OS_FILE_BLOCK;
		s->pins++;
		*slot = at;
		*ret = BYTES(s->buffer + (offset - base), (size_t)MIN((uint64_t)n, s->to - offset));
		return true;
	}
	return false;
}

void piece_log_recent_done(struct piece_log *log, size_t slot)
{
	OS_LOCKED(&log->recent.lock);
	log->recent.slots[slot].pins--;
}

void piece_log_recent_slim(struct piece_log *log)
{
	struct log_recent *r = &log->recent;
	OS_LOCKED(&r->lock);

	if (os_clock_mono_ns() - r->kept_mono_ns < RECENT_IDLE_SECONDS * NS_PER_SEC)
		return;
	for (size_t i = 0; i < r->count; i++) {
		struct recent_slot *s = &r->slots[i];
		if (s->pins)
			continue;
		free(s->buffer);
		*s = (struct recent_slot){ 0 };
	}
}
