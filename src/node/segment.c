/* Segment files of the piece log: names, creation, open files, shared syncs. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_log_internal.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/random.h"

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

const char *log_segment_path(struct call *call, const struct piece_log *log, uint32_t number)
{
	const char *path = arena_printf(&call->scratch, "%s/%08x.log", log->dir, number);

	return path ? path : "";
}

size_t log_lower_bound(const struct piece_log *log, uint32_t number)
{
	size_t low = 0, high = log->count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (log->segments[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct log_segment *log_find_segment(struct piece_log *log, uint32_t number)
{
	size_t i = log_lower_bound(log, number);

	return i < log->count && log->segments[i]->number == number ? log->segments[i] : NULL;
}

enum err log_add_segment(struct call *call, struct piece_log *log, uint32_t number,
			 struct log_segment **ret)
{
	if (log->count == log->cap) {
		size_t cap = log->cap ? log->cap * 2 : 16;
		struct log_segment **grown = realloc(log->segments, cap * sizeof(*grown));
		if (!grown)
			return call_fail(call, ERR_NO_MEMORY, "out of memory for segments");
		log->segments = grown;
		log->cap = cap;
	}
	struct log_segment *s = calloc(1, sizeof(*s));
	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for segments");
	size_t at = log_lower_bound(log, number);
	memmove(log->segments + at + 1, log->segments + at,
		(log->count - at) * sizeof(*log->segments));
	log->segments[at] = s;
	log->count++;
	s->number = number;
	s->tail = s->written = s->stable = s->durable = SEGMENT_HEADER_BYTES;
	log->used += s->tail;
	if (number >= log->next_number)
		log->next_number = number + 1;
	*ret = s;
	return OK;
}

static enum err write_header(struct call *call, struct piece_log *log, const char *path,
			     uint32_t number, uint32_t expiry_group)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	struct segment_header h = { .number = number,
				    .expiry_group = expiry_group,
				    .created_unix_ns = os_clock_unix_ns(),
				    .node = log->node };
	uint8_t wire[SEGMENT_HEADER_BYTES];
	struct bytes part = BYTES_OF(wire);

	os_random(h.key, sizeof(h.key));
	segment_header_encode(&h, wire);
	TRY_PLAIN(os_file_open(call, path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_EXCLUSIVE, &f));
	TRY_PLAIN(os_file_write_at(call, f, &part, 1, 0));
	/* Durable before the first record, so that a file with records has a good header. */
	TRY_PLAIN(os_file_sync(call, f));
	return os_dir_sync(call, log->dir);
}

enum err log_new_segment(struct call *call, struct piece_log *log, uint32_t expiry_group,
			 bool shared, struct log_segment **ret)
{
	os_mutex_lock(&log->lock);
	uint32_t number = log->next_number;
	bool full = number == UINT32_MAX || log->count >= CHECKPOINT_SEGMENTS_MAX;
	if (!full)
		log->next_number++;
	os_mutex_unlock(&log->lock);
	if (full)
		return call_fail(call, ERR_EXHAUSTED, "the piece log has too many segments");
	const char *path = log_segment_path(call, log, number);
	enum err e = write_header(call, log, path, number, expiry_group);
	if (e) {
		/* Without a trace, or a full disk fills up with empty segments. */
		AUTO_CALL struct call aside = { 0 };
		call_init(&aside);
		if (os_unlink(&aside, path))
			log_debug("a new segment that failed is left", F_STR("file", path));
		return call_wrap(call, e, "new segment");
	}

	OS_LOCKED(&log->lock);
	struct log_segment *s = NULL;
	TRY_PLAIN(log_add_segment(call, log, number, &s));
	s->busy = !shared;
	s->shared = shared;
	s->scanned = true;
	s->expiry_group = expiry_group;
	*ret = s;
	return OK;
}

static void free_file(struct log_file *f)
{
	os_file_close(f->file);
	free(f);
}

static struct log_file *find_file(struct piece_log *log, uint32_t segment)
{
	for (struct log_file *f = log->files; f; f = f->next)
		if (f->segment == segment && !f->gone)
			return f;
	return NULL;
}

/* Takes an idle file out of the list. */
static struct log_file *take_idle(struct piece_log *log, struct log_file *f)
{
	for (struct log_file **p = &log->files; *p; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			log->files_idle--;
			return f;
		}
	return NULL;
}

/* The same for the one that was used least recently. */
static struct log_file *oldest_idle(struct piece_log *log)
{
	struct log_file *pick = NULL;

	for (struct log_file *f = log->files; f; f = f->next)
		if (!f->users && (!pick || f->last_use < pick->last_use))
			pick = f;
	return pick ? take_idle(log, pick) : NULL;
}

static void use_file(struct piece_log *log, struct log_file *f)
{
	if (!f->users++)
		log->files_idle--;
	f->last_use = ++log->clock;
}

static enum err open_file(struct call *call, struct piece_log *log, uint32_t segment,
			  struct log_file **ret)
{
	const char *path = log_segment_path(call, log, segment);
	AUTO(os_file_auto) struct os_file *file = NULL;
	uint8_t wire[SEGMENT_HEADER_BYTES];
	struct segment_header h;
	size_t n = 0;

	enum err e = os_file_open(call, path, OS_FILE_WRITE | OS_FILE_BULK, &file);
	if (e == ERR_PERMISSION) {
		/* What a disk that turned read-only holds can still be served. */
		call_clear_error(call);
		e = os_file_open(call, path, OS_FILE_READ | OS_FILE_BULK, &file);
	}
	TRY_PLAIN(e);
	TRY_PLAIN(os_file_read_at(call, file, wire, sizeof(wire), 0, &n));
	if (segment_header_decode(call, BYTES(wire, n), &h))
		return call_wrap(call, ERR_DATA_LOSS, "%s", path);
	if (h.number != segment)
		return call_fail(call, ERR_DATA_LOSS, "%s is segment %08x under another name", path,
				 h.number);
	if (!node_id_equal(&h.node, &log->node))
		return call_fail(call, ERR_PRECONDITION, "%s belongs to another node", path);
	struct log_file *f = calloc(1, sizeof(*f));
	if (!f)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	f->file = take(&file);
	f->segment = segment;
	memcpy(f->key, h.key, sizeof(f->key));
	*ret = f;
	return OK;
}

enum err piece_log_pin(struct call *call, struct piece_log *log, uint32_t segment,
		       struct log_file **ret)
{
	struct log_file *mine = NULL, *found;

	os_mutex_lock(&log->lock);
	found = find_file(log, segment);
	if (found)
		use_file(log, found);
	os_mutex_unlock(&log->lock);
	if (found) {
		*ret = found;
		return OK;
	}
	TRY_PLAIN(open_file(call, log, segment, &mine));
	os_mutex_lock(&log->lock);
	found = find_file(log, segment);
	if (!found) {
		const struct log_segment *seg = log_find_segment(log, segment);
		mine->gone = !seg || seg->retired;
		mine->next = log->files;
		log->files = found = mine;
		log->files_idle++;
		mine = NULL;
	}
	use_file(log, found);
	os_mutex_unlock(&log->lock);
	if (mine)
		free_file(mine); /* another thread was faster */
	*ret = found;
	return OK;
}

void piece_log_unpin(struct piece_log *log, struct log_file *f)
{
	struct log_file *old = NULL;

	if (!f)
		return;
	os_mutex_lock(&log->lock);
	if (!--f->users) {
		log->files_idle++;
		if (f->gone)
			old = take_idle(log, f);
		else if (log->files_idle > LOG_FILES_IDLE_MAX)
			old = oldest_idle(log);
	}
	os_mutex_unlock(&log->lock);
	if (old)
		free_file(old);
}

void log_forget_file(struct piece_log *log, uint32_t number)
{
	struct log_file *idle = NULL;

	os_mutex_lock(&log->lock);
	struct log_file *f = find_file(log, number);
	if (f) {
		f->gone = true;
		if (!f->users)
			idle = take_idle(log, f);
	}
	os_mutex_unlock(&log->lock);
	if (idle)
		free_file(idle);
}

enum err piece_log_read(struct call *call, struct log_file *f, void *out, size_t n, uint64_t offset)
{
	size_t got = 0;

	TRY_PLAIN(os_file_read_at(call, f->file, out, n, offset, &got));
	if (got != n)
		return call_fail(call, ERR_DATA_LOSS, "segment %08x ends early (at %llu)",
				 f->segment, (unsigned long long)offset + got);
	return OK;
}

enum err piece_log_read_bulk(struct call *call, struct log_file *f, uint8_t *buffer, size_t cap,
			     size_t n, uint64_t offset, struct bytes *ret)
{
	size_t into = (size_t)(offset % OS_FILE_BLOCK), got = 0;

	TRY_PLAIN(os_file_read_at(call, f->file, buffer,
				  MIN(cap, round_up(into + n, OS_FILE_BLOCK)), offset - into,
				  &got));
	if (got < into + n)
		return call_fail(call, ERR_DATA_LOSS, "segment %08x ends early (at %llu)",
				 f->segment, (unsigned long long)(offset - into + got));
	*ret = BYTES(buffer + into, n);
	return OK;
}

enum err piece_log_read_record(struct call *call, struct log_file *f, uint64_t offset, uint8_t *buf,
			       struct piece_record *ret)
{
	struct record_place place = { .key = f->key, .segment = f->segment, .offset = offset };
	size_t n = 0;

	TRY_PLAIN(os_file_read_at(call, f->file, buf, RECORD_HEADER_MAX, offset, &n));
	if (piece_record_decode(BYTES(buf, n), &place, ret))
		return call_fail(call, ERR_DATA_LOSS, "segment %08x: the record at %llu is damaged",
				 f->segment, (unsigned long long)offset);
	return OK;
}

enum err log_wipe_header(struct call *call, struct log_file *f, uint64_t offset)
{
	static const uint8_t zeros[RECORD_ALIGN];
	struct bytes part = BYTES_OF(zeros);

	return os_file_write_at(call, f->file, &part, 1, offset);
}

/* Where the first byte that is not yet written may be; lock held. */
static uint64_t written_until(const struct log_segment *s)
{
	uint64_t end = s->tail;

	for (const struct log_append *a = s->appends; a; a = a->next)
		if (!a->written && a->offset < end)
			end = a->offset;
	return end;
}

enum err log_sync_segment(struct call *call, struct piece_log *log, struct log_segment *s,
			  struct log_file *f)
{
	os_mutex_lock(&log->lock);
	uint64_t mine = s->writes;
	while (s->synced < mine && !s->sync_failed) {
		if (s->syncing) {
			os_cond_wait_forever(&s->synced_cond, &log->lock);
			continue;
		}
		uint64_t covers = s->writes, durable = written_until(s);
		s->syncing = true;
		os_mutex_unlock(&log->lock);
		enum err e = os_file_sync(call, f->file);
		os_mutex_lock(&log->lock);
		s->syncing = false;
		if (e) {
			s->failed = s->sync_failed = true;
		} else {
			s->synced = MAX(s->synced, covers);
			s->durable = MAX(s->durable, durable);
		}
		os_cond_broadcast(&s->synced_cond);
		if (e) {
			os_mutex_unlock(&log->lock);
			return e;
		}
	}
	bool ok = s->synced >= mine;
	os_mutex_unlock(&log->lock);
	if (!ok)
		return call_fail(call, ERR_IO, "segment %08x could not be synced", s->number);
	return OK;
}
