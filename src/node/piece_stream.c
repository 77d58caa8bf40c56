/* A range of a piece in order: while one part is sent the next is read. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/pool.h"

struct part {
	uint8_t *buffer; /* NULL until the disk is needed */
	struct bytes data;
	bool recent; /* data is a view of the log's slot */
	size_t slot;
};

struct piece_stream {
	struct piece_reader *reader;
	uint64_t next, end; /* of the piece; what nobody has begun to read */
	struct part parts[2];
	size_t slot; /* where the log found the last bytes that it had in memory */
	bool from_disk;
	bool large;  /* the parts' buffers are the store's large ones */
	unsigned at; /* the part handed out last; the other is read ahead */

	struct os_mutex lock; /* guards what follows; while reading, the other part is the pool's */
	struct os_cond done;
	bool ahead, reading;
	enum err failed;
	char why[CALL_ERROR_MAX];
};

DEFINE_AUTO_PTR(struct piece_stream, piece_stream_auto, piece_stream_close)

enum err piece_stream_open(struct call *call, struct piece_reader *r, uint64_t offset,
			   uint64_t size, bool from_disk, struct piece_stream **ret)
{
	struct piece_stream *s AUTO(piece_stream_auto) = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a download");
	s->reader = r;
	s->next = offset;
	s->end = offset + size;
	s->large = size > PIECE_STREAM_BYTES;
	s->from_disk = from_disk;
	*ret = take(&s);
	return OK;
}

static size_t next_len(const struct piece_stream *s)
{
	return (size_t)MIN(s->end - s->next, (uint64_t)PIECE_STREAM_BYTES);
}

static void let_go(struct piece_stream *s, struct part *p)
{
	if (p->recent)
		piece_log_recent_done(s->reader->store->log, p->slot);
	p->recent = false;
}

/* The next part is a view of what is in memory, as far as that goes.  False: it is not. */
static bool find_part(struct piece_stream *s, unsigned number)
{
	const struct piece_entry *e = &s->reader->entry;
	struct part *p = &s->parts[number];

	let_go(s, p);
	if (s->from_disk)
		return false;
	p->recent = piece_log_recent(s->reader->store->log, e->segment,
				     piece_entry_data(e) + s->next, next_len(s), &s->slot,
				     &p->data);
	p->slot = s->slot;
	if (p->recent)
		s->next += p->data.len;
	return p->recent;
}

/* The next part into parts[number]. */
static enum err read_part(struct call *call, struct piece_stream *s, unsigned number)
{
	struct part *p = &s->parts[number];
	size_t n = next_len(s);

	if (!p->buffer)
		p->buffer = s->large ? buffers_take(&s->reader->store->large)
				     : os_file_buffer(n + PIECE_BULK_SLACK);
	if (!p->buffer)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a download");
	TRY_PLAIN(piece_reader_bulk(call, s->reader, p->buffer, n, s->next, &p->data));
	s->next += n;
	return OK;
}

static void read_ahead(void *arg)
{
	struct piece_stream *s = arg;
	struct call call AUTO_CALL = CALL_INIT;

	call_init(&call);
	enum err e = read_part(&call, s, !s->at);
	OS_LOCKED(&s->lock);
	s->failed = e;
	if (e)
		snprintf(s->why, sizeof(s->why), "%s", call_error(&call, e));
	s->reading = false;
	os_cond_signal(&s->done);
}

static void wait_read(struct piece_stream *s)
{
	OS_LOCKED(&s->lock);
	while (s->reading)
		os_cond_wait_forever(&s->done, &s->lock);
}

/* Without a free thread the part is read when its turn comes. */
static void begin_ahead(struct piece_stream *s)
{
	struct call call AUTO_CALL = CALL_INIT;

	if (s->next == s->end)
		return;
	call_init(&call);
	s->ahead = true;
	if (find_part(s, !s->at))
		return;
	s->reading = true;
	if (os_pool_submit(&call, s->reader->store->readers, read_ahead, s))
		s->ahead = s->reading = false;
}

enum err piece_stream_next(struct call *call, struct piece_stream *s, struct bytes *ret)
{
	unsigned other = !s->at;

	if (s->ahead) {
		wait_read(s);
		s->ahead = false;
		if (s->failed)
			return call_fail(call, s->failed, "%s", s->why);
	} else if (!find_part(s, other)) {
		TRY_PLAIN(read_part(call, s, other));
	}
	s->at = other;
	*ret = s->parts[other].data;
	begin_ahead(s);
	return OK;
}

void piece_stream_close(struct piece_stream *s)
{
	if (!s)
		return;
	wait_read(s);
	for (unsigned i = 0; i < ARRAY_LEN(s->parts); i++) {
		let_go(s, &s->parts[i]);
		if (s->large)
			buffers_put(&s->reader->store->large, s->parts[i].buffer);
		else
			free(s->parts[i].buffer);
	}
	os_mutex_fini(&s->lock);
	os_cond_fini(&s->done);
	free(s);
}
