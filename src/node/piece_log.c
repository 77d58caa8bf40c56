/* Appending to the piece log, sealing, and what a checkpoint needs of it. */
#include "node/piece_log.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_log_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "proto/proto.h"

enum { DAY_SECONDS = 24 * 3600 };

void piece_log_close(struct piece_log *log)
{
	if (!log)
		return;
	for (struct log_file *f = log->files, *next; f; f = next) {
		next = f->next;
		os_file_close(f->file);
		free(f);
	}
	for (size_t i = 0; i < log->count; i++) {
		os_cond_fini(&log->segments[i]->synced_cond);
		free(log->segments[i]);
	}
	free(log->segments);
	free(log->losses);
	log_recent_fini(&log->recent);
	os_mutex_fini(&log->lock);
	free(log->dir);
	free(log);
}

bool piece_log_has(struct piece_log *log, uint32_t segment, uint64_t end)
{
	OS_LOCKED(&log->lock);
	const struct log_segment *s = log_find_segment(log, segment);

	return s && end <= s->tail;
}

const struct log_loss *piece_log_losses(const struct piece_log *log, size_t *ret_count)
{
	*ret_count = log->losses_count;
	return log->losses;
}

uint32_t piece_log_group(int64_t expiration_unix_ns, int64_t now_unix_ns)
{
	static const struct {
		int64_t within, span; /* days */
	} spans[] = { { 32, 1 }, { 366, 8 }, { 4000, 64 } };
	int64_t day_ns = DAY_SECONDS * NS_PER_SEC;

	if (expiration_unix_ns == TIME_NONE)
		return 0;
	/* Collected an hour after their end, so the day is that of the hour after. */
	int64_t end = expiration_unix_ns / NS_PER_SEC + 3600, today = now_unix_ns / day_ns;
	int64_t day = end < 0 ? 0 : end / DAY_SECONDS + 1;
	day = MAX(day, today + 1);
	for (size_t i = 0; i < ARRAY_LEN(spans); i++)
		if (day - today <= spans[i].within)
			return (uint32_t)round_up((uint64_t)day, (uint64_t)spans[i].span);
	return 0;
}

static bool takes_records(const struct piece_log *log, const struct log_segment *s)
{
	return s->scanned && !s->sealed && !s->failed && !s->retired &&
	       s->tail < log->segment_bytes;
}

/* The fullest segment without a writer, so that segments get full one after the other. */
static struct log_segment *pick_exclusive(struct piece_log *log, uint32_t group)
{
	struct log_segment *best = NULL;

	for (size_t i = log->sealed; i < log->count; i++) {
		struct log_segment *s = log->segments[i];
		if (takes_records(log, s) && s->expiry_group == group && !s->busy && !s->shared &&
		    (!best || s->tail > best->tail))
			best = s;
	}
	return best;
}

static struct log_segment *pick_shared(struct piece_log *log, uint32_t group)
{
	struct log_segment *spare = NULL;

	for (size_t i = log->sealed; i < log->count; i++) {
		struct log_segment *s = log->segments[i];
		if (!takes_records(log, s) || s->expiry_group != group || s->busy)
			continue;
		if (s->shared)
			return s;
		if (!spare || s->tail < spare->tail)
			spare = s;
	}
	/* After a start no segment is the shared one; the emptiest becomes it. */
	if (spare)
		spare->shared = true;
	return spare;
}

static void list_append(struct log_append *a, struct log_segment *s)
{
	a->segment = s;
	a->number = s->number;
	a->offset = s->tail;
	a->next = s->appends;
	s->appends = a;
}

static void unlist_append(struct log_append *a)
{
	for (struct log_append **p = &a->segment->appends; *p; p = &(*p)->next)
		if (*p == a) {
			*p = a->next;
			return;
		}
}

static void mark_failed(struct piece_log *log, struct log_segment *s)
{
	OS_LOCKED(&log->lock);
	s->failed = true;
}

/* Without an index the sequence numbers in use are not known before all has been read. */
static enum err check_rebuilt(struct call *call, struct piece_log *log)
{
	OS_LOCKED(&log->lock);

	if (log->rebuilding)
		return call_fail(call, ERR_UNAVAILABLE, "the index is being rebuilt from the log");
	return OK;
}

/* A place for a whole record of len bytes in the shared segment. */
static enum err reserve_shared(struct call *call, struct piece_log *log, struct log_append *a,
			       uint64_t len, uint32_t group)
{
	TRY_PLAIN(check_rebuilt(call, log));
	for (;;) {
		os_mutex_lock(&log->lock);
		struct log_segment *s = pick_shared(log, group);
		if (s) {
			list_append(a, s);
			s->tail += len;
			log->used += len;
		}
		os_mutex_unlock(&log->lock);
		if (s)
			return OK;
		TRY_PLAIN(log_new_segment(call, log, group, true, &s));
	}
}

/* Header of the record, with the sequence number and what is known to be durable. */
static size_t encode_header(struct piece_log *log, const struct log_append *a,
			    struct piece_record *r, uint8_t *out)
{
	struct record_place place = { .key = a->file->key,
				      .segment = a->segment->number,
				      .offset = a->offset };

	os_mutex_lock(&log->lock);
	if (!r->moves)
		r->seq = log->seq++;
	r->durable = MIN(a->segment->durable, a->offset);
	os_mutex_unlock(&log->lock);
	return piece_record_encode(r, &place, out);
}

static void note_written(struct piece_log *log, struct log_append *a)
{
	OS_LOCKED(&log->lock);
	a->written = true;
	a->segment->writes++;
	a->segment->written = MAX(a->segment->written,
				  a->offset + record_len(a->header_len, a->size));
}

enum err piece_log_append_whole(struct call *call, struct piece_log *log, struct log_append *a,
				struct piece_record *r, struct bytes data)
{
	static const uint8_t zeros[RECORD_ALIGN];
	uint8_t head[RECORD_HEADER_MAX];

	r->size = a->size = data.len;
	a->header_len = record_header_len(r->limit.len);
	uint64_t len = record_len(a->header_len, data.len);
	TRY_PLAIN(reserve_shared(call, log, a, len,
				 piece_log_group(r->expiration_unix_ns, os_clock_unix_ns())));
	TRY_PLAIN(piece_log_pin(call, log, a->segment->number, &a->file));
	size_t head_len = encode_header(log, a, r, head);
	struct bytes parts[3] = { BYTES(head, head_len), data,
				  BYTES(zeros, len - head_len - data.len) };
	enum err e = os_file_write_at(call, a->file->file, parts, 3, a->offset);
	if (e) {
		/* A full disk may have room again; anything else is not to be trusted. */
		AUTO_CALL struct call aside = CALL_INIT;
		call_init(&aside);
		if (e != ERR_NO_SPACE || log_wipe_header(&aside, a->file, a->offset))
			mark_failed(log, a->segment);
		return e;
	}
	note_written(log, a);
	return OK;
}

enum err piece_log_append_begin(struct call *call, struct piece_log *log, struct log_append *a,
				size_t limit_len, int64_t expiration_unix_ns, bool recent)
{
	uint32_t group = piece_log_group(expiration_unix_ns, os_clock_unix_ns());

	TRY_PLAIN(check_rebuilt(call, log));
	os_mutex_lock(&log->lock);
	struct log_segment *s = pick_exclusive(log, group);
	if (s)
		s->busy = true;
	os_mutex_unlock(&log->lock);
	if (!s)
		TRY_PLAIN(log_new_segment(call, log, group, false, &s));
	os_mutex_lock(&log->lock);
	list_append(a, s);
	os_mutex_unlock(&log->lock);
	a->exclusive = true;
	a->header_len = record_header_len(limit_len);
	TRY_PLAIN(piece_log_pin(call, log, s->number, &a->file));
	a->recent = recent && log->recent.count;
	uint8_t *buffer = buffers_take(log->large);
	if (!buffer)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a piece");
	os_run_begin(&a->run, a->file->file, a->offset + a->header_len, buffer, LOG_RUN_BYTES);
	return OK;
}

enum err piece_log_append_data(struct call *call, struct piece_log *log, struct log_append *a,
			       const struct bytes *parts, size_t count)
{
	enum err e = a->recent ? log_recent_data(call, log, a, parts, count)
			       : os_run_add(call, &a->run, parts, count);

	if (e) {
		if (e != ERR_NO_SPACE)
			mark_failed(log, a->segment);
		return e;
	}
	for (size_t i = 0; i < count; i++)
		a->size += parts[i].len;
	return OK;
}

/* Gives the segment to the next writer; its file is cut back to `tail` if that is behind. */
static void release_exclusive(struct piece_log *log, struct log_append *a, uint64_t tail)
{
	struct log_segment *s = a->segment;
	OS_LOCKED(&log->lock);

	log->used += tail - s->tail;
	s->tail = tail;
	s->busy = false;
	a->exclusive = false;
}

enum err piece_log_append_finish(struct call *call, struct piece_log *log, struct log_append *a,
				 struct piece_record *r)
{
	uint8_t head[RECORD_HEADER_MAX];
	uint64_t len = record_len(a->header_len, a->size);
	uint64_t end = a->header_len + a->size;
	static const uint8_t zeros[RECORD_ALIGN];
	struct bytes pad = BYTES(zeros, len - end);

	r->size = a->size;
	size_t head_len = encode_header(log, a, r, head);
	struct bytes part = BYTES(head, head_len);
	/* The padding makes the file as long as the record, which recovery asks for. */
	enum err e = OK;
	if (a->run.buffer) {
		e = os_run_add(call, &a->run, &pad, 1);
		if (!e)
			e = os_run_flush(call, &a->run);
	} else if (pad.len) { /* the seal */
		e = os_file_write_at(call, a->file->file, &pad, 1, a->offset + end);
	}
	if (!e)
		e = os_file_write_at(call, a->file->file, &part, 1, a->offset);
	if (e) {
		/* Half a header may be there; the end of the append cuts it off. */
		if (e != ERR_NO_SPACE)
			mark_failed(log, a->segment);
		return e;
	}
	release_exclusive(log, a, a->offset + len);
	note_written(log, a);
	return OK;
}

enum err piece_log_sync(struct call *call, struct piece_log *log, struct log_append *a)
{
	return log_sync_segment(call, log, a->segment, a->file);
}

void piece_log_append_end(struct call *call, struct piece_log *log, struct log_append *a)
{
	if (!a->segment)
		return;
	/* Before another writer gets the place of what was cancelled. */
	if (a->recent)
		log_recent_end(log, a);
	if (a->exclusive) {
		/* Cancelled: what was written never gets to the disk if this is quick enough. */
		if (a->file && a->size) {
			AUTO_CALL struct call aside = CALL_INIT;
			call_init(&aside);
			enum err e = os_file_truncate(&aside, a->file->file, a->offset);
			if (e) {
				mark_failed(log, a->segment);
				log_warn("cannot cut off a cancelled piece",
					 F_STR("error", call_error(&aside, e)));
			}
		}
		release_exclusive(log, a, a->offset);
	}
	os_mutex_lock(&log->lock);
	unlist_append(a);
	os_mutex_unlock(&log->lock);
	piece_log_unpin(log, a->file);
	buffers_put(log->large, a->run.buffer);
	*a = (struct log_append){ 0 };
	(void)call;
}

void piece_log_add_live(struct piece_log *log, uint32_t segment, int64_t bytes, uint64_t end)
{
	OS_LOCKED(&log->lock);
	struct log_segment *s = log_find_segment(log, segment);

	if (!s)
		return;
	s->live += (uint64_t)bytes;
	s->end = MAX(s->end, end);
	log->live += (uint64_t)bytes;
}

static bool has_ended(const struct log_segment *s, uint32_t today)
{
	return s->expiry_group && s->expiry_group < today;
}

void piece_log_space(struct piece_log *log, uint32_t today, struct piece_log_space *ret)
{
	OS_LOCKED(&log->lock);

	*ret = (struct piece_log_space){ .segments = log->count,
					 .used = log->used,
					 .live = log->live };
	for (size_t i = 0; i < log->count; i++)
		if (has_ended(log->segments[i], today))
			ret->ended += log->segments[i]->live;
}

bool piece_log_segment(struct piece_log *log, uint32_t from, struct log_segment_info *ret)
{
	OS_LOCKED(&log->lock);

	for (size_t i = log_lower_bound(log, from); i < log->count; i++) {
		const struct log_segment *s = log->segments[i];
		if (s->retired)
			continue;
		*ret = (struct log_segment_info){
			.number = s->number,
			.expiry_group = s->expiry_group,
			.complete = s->scanned && !s->busy && !s->appends,
			.sealed = s->sealed,
			.left_alone = s->left_alone,
			.bytes = s->tail,
			.live = s->live,
		};
		return true;
	}
	return false;
}

uint32_t piece_log_next_number(struct piece_log *log)
{
	OS_LOCKED(&log->lock);

	return log->next_number;
}

void piece_log_leave_alone(struct piece_log *log, uint32_t segment)
{
	OS_LOCKED(&log->lock);
	struct log_segment *s = log_find_segment(log, segment);

	if (s)
		s->left_alone = true;
}

/* ---- removal ---- */

/* Holds nothing and will not: complete, or its pieces have ended. */
static bool is_dead(const struct log_segment *s, uint32_t today)
{
	return s->scanned && !s->live && !s->busy && !s->appends && !s->retired && !s->syncing &&
	       (s->sealed || s->failed || has_ended(s, today));
}

bool piece_log_retire(struct piece_log *log, uint32_t today)
{
	OS_LOCKED(&log->lock);
	bool any = false;

	for (size_t i = 0; i < log->count; i++) {
		struct log_segment *s = log->segments[i];
		if (is_dead(s, today))
			s->retired = true;
		any |= s->retired;
	}
	return any;
}

static enum err list_retired(struct call *call, struct piece_log *log, uint32_t **ret,
			     size_t *ret_count)
{
	OS_LOCKED(&log->lock);
	uint32_t *numbers = arena_array(&call->scratch, log->count + 1, sizeof(*numbers));
	size_t n = 0;

	if (!numbers)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for segments");
	for (size_t i = 0; i < log->count; i++)
		if (log->segments[i]->retired)
			numbers[n++] = log->segments[i]->number;
	*ret = numbers;
	*ret_count = n;
	return OK;
}

static void drop_segment(struct piece_log *log, uint32_t number)
{
	OS_LOCKED(&log->lock);
	size_t at = log_lower_bound(log, number);
	struct log_segment *s = log->segments[at];

	log->used -= s->tail;
	memmove(log->segments + at, log->segments + at + 1,
		(log->count - at - 1) * sizeof(*log->segments));
	log->count--;
	if (at < log->sealed)
		log->sealed--;
	os_cond_fini(&s->synced_cond);
	free(s);
}

enum err piece_log_remove_retired(struct call *call, struct piece_log *log)
{
	uint32_t *numbers = NULL;
	size_t count = 0;

	TRY_PLAIN(list_retired(call, log, &numbers, &count));
	for (size_t i = 0; i < count; i++) {
		log_forget_file(log, numbers[i]);
		TRY_PLAIN(os_unlink(call, log_segment_path(call, log, numbers[i])));
	}
	/* Only then a checkpoint may forget that they are gone. */
	if (count)
		TRY_PLAIN(os_dir_sync(call, log->dir));
	for (size_t i = 0; i < count; i++)
		drop_segment(log, numbers[i]);
	return OK;
}

/* ---- sealing ---- */

/* A segment that is full and that nobody writes to, claimed for sealing. */
static struct log_segment *claim_full(struct piece_log *log)
{
	OS_LOCKED(&log->lock);

	while (log->sealed < log->count && log->segments[log->sealed]->sealed)
		log->sealed++;
	for (size_t i = log->sealed; i < log->count; i++) {
		struct log_segment *s = log->segments[i];
		if (s->scanned && !s->sealed && !s->failed && !s->busy && !s->appends &&
		    !s->retired && s->tail >= log->segment_bytes) {
			s->busy = true;
			return s;
		}
	}
	return NULL;
}

static enum err seal(struct call *call, struct piece_log *log, struct log_segment *s)
{
	struct log_append a = { .segment = s, .offset = s->tail, .exclusive = true };
	struct piece_record r = { .type = RECORD_SEAL };

	os_mutex_lock(&log->lock);
	a.next = s->appends;
	s->appends = &a;
	os_mutex_unlock(&log->lock);
	a.header_len = record_header_len(0);
	enum err e = piece_log_pin(call, log, s->number, &a.file);
	/* All before the seal is durable first, so that the seal can say so. */
	if (!e)
		e = log_sync_segment(call, log, s, a.file);
	if (!e)
		e = piece_log_append_finish(call, log, &a, &r);
	if (!e)
		e = piece_log_sync(call, log, &a);
	os_mutex_lock(&log->lock);
	if (e)
		s->failed = true;
	else
		s->sealed = true;
	os_mutex_unlock(&log->lock);
	piece_log_append_end(call, log, &a);
	return e;
}

enum err piece_log_seal_full(struct call *call, struct piece_log *log)
{
	struct log_segment *s;

	while ((s = claim_full(log)))
		TRY(seal(call, log, s), "seal segment %08x", s->number);
	return OK;
}

enum err piece_log_stable(struct call *call, struct piece_log *log, struct arena *a,
			  struct checkpoint *c)
{
	OS_LOCKED(&log->lock);
	struct checkpoint_segment *rows = arena_array(a, log->count + 1, sizeof(*rows));

	if (!rows)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	for (size_t i = 0; i < log->count; i++) {
		const struct log_segment *s = log->segments[i];
		uint64_t stable = MIN(s->tail, s->written);
		for (const struct log_append *p = s->appends; p; p = p->next)
			stable = MIN(stable, p->offset);
		/* What was written to a failed segment is for the next start to find out. */
		if (s->failed)
			stable = MIN(stable, s->durable);
		rows[i] = (struct checkpoint_segment){ .number = s->number,
						       .sealed = s->sealed,
						       .removed = s->retired,
						       .expiry_group = s->expiry_group,
						       .stable = stable,
						       .end = s->end,
						       .live = s->live };
	}
	c->segments = rows;
	c->segments_count = log->count;
	c->seq = log->seq;
	c->rebuilding = log->rebuilding;
	c->next_segment = log->next_number;
	return OK;
}
