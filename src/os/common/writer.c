/* A few buffers: one is filled while the others are written. */
#include "os/writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/lock.h"
#include "os/pool.h"

enum {
	BUFFERS = 5,	/* several writes at once: a disk serves who waits in its queue */
	DIRECT_MAX = 2, /* so many past the cache */
	BUFFER_BYTES = OS_WRITER_RUN + OS_WRITER_ROOM,
};

struct part {
	struct os_writer *writer;
	struct os_run run;
	bool busy; /* it is a thread's */
};

struct os_writer {
	struct os_pool *pool;
	struct part parts[BUFFERS];
	unsigned at; /* the one that is filled */

	struct os_mutex lock; /* guards what follows and what is busy */
	struct os_cond news;
	enum err failed;
	char why[CALL_ERROR_MAX];
};

DEFINE_AUTO_PTR(struct os_writer, os_writer_auto, os_writer_free)

enum err os_writer_new(struct call *call, struct os_file *file, uint64_t offset,
		       struct os_writer **ret)
{
	struct os_writer *w AUTO(os_writer_auto) = calloc(1, sizeof(*w));

	if (!w)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (int i = 0; i < BUFFERS; i++) {
		uint8_t *buffer = os_file_buffer(BUFFER_BYTES);
		if (!buffer)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		w->parts[i].writer = w;
		os_run_begin(&w->parts[i].run, file, offset, buffer, BUFFER_BYTES);
	}
	TRY_PLAIN(os_pool_new(call, "write", BUFFERS - 1, BUFFERS, &w->pool));
	*ret = take(&w);
	return OK;
}

uint8_t *os_writer_room(struct os_writer *w, size_t *ret_cap)
{
	struct os_run *run = &w->parts[w->at].run;

	*ret_cap = run->cap - run->len;
	return run->buffer + run->len;
}

static void write_part(void *arg)
{
	struct part *p = arg;
	struct os_writer *w = p->writer;
	struct call call AUTO_CALL = CALL_INIT;

	call_init(&call);
	enum err e = os_run_flush(&call, &p->run);
	OS_LOCKED(&w->lock);
	if (e && !w->failed) {
		w->failed = e;
		snprintf(w->why, sizeof(w->why), "%s", call_error(&call, e));
	}
	p->busy = false;
	os_cond_signal(&w->news);
}

/* Waits until the parts are no thread's, and tells how it went so far. */
static enum err settle(struct call *call, struct os_writer *w, unsigned first, unsigned count)
{
	OS_LOCKED(&w->lock);
	for (unsigned i = 0; i < count; i++)
		while (w->parts[(first + i) % BUFFERS].busy)
			os_cond_wait_forever(&w->news, &w->lock);
	return w->failed ? call_fail(call, w->failed, "%s", w->why) : OK;
}

static unsigned count_busy(struct os_writer *w)
{
	unsigned count = 0;
	OS_LOCKED(&w->lock);

	for (int i = 0; i < BUFFERS; i++)
		count += w->parts[i].busy;
	return count;
}

/* Whole blocks go to a thread; the rest of the last one begins the next buffer. */
static enum err hand_over(struct call *call, struct os_writer *w)
{
	struct part *part = &w->parts[w->at];
	struct os_run *full = &part->run;
	unsigned at = (w->at + 1) % BUFFERS;
	struct os_run *next = &w->parts[at].run;
	size_t rest = full->len % OS_FILE_BLOCK;

	TRY_PLAIN(settle(call, w, at, 1));
	full->len -= rest;
	os_run_begin(next, full->file, full->base + full->len, next->buffer, next->cap);
	memcpy(next->buffer, full->buffer + full->len, rest);
	next->len = rest;
	w->at = at;
	/* Past the cache costs less, but only the cache takes it at once when the disk has enough.
	 */
	full->cached = count_busy(w) >= DIRECT_MAX;
	part->busy = true;
	enum err e = os_pool_submit(call, w->pool, write_part, part);
	if (e)
		part->busy = false;
	return e;
}

enum err os_writer_added(struct call *call, struct os_writer *w, size_t n)
{
	struct os_run *run = &w->parts[w->at].run;

	run->len += n;
	return run->len < OS_WRITER_RUN ? OK : hand_over(call, w);
}

enum err os_writer_flush(struct call *call, struct os_writer *w)
{
	TRY_PLAIN(settle(call, w, 0, BUFFERS));
	return os_run_flush(call, &w->parts[w->at].run);
}

void os_writer_free(struct os_writer *w)
{
	if (!w)
		return;
	os_pool_free(w->pool);
	for (int i = 0; i < BUFFERS; i++)
		free(w->parts[i].run.buffer);
	os_mutex_fini(&w->lock);
	os_cond_fini(&w->news);
	free(w);
}
