/* Opening the piece log: which segments there are, and the records a checkpoint does not cover. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_log_internal.h"
#include "os/cancel.h"
#include "os/log.h"

enum { WINDOW_BYTES = 256 << 10, JUMP_BYTES = 2 * RECORD_HEADER_MAX, NAME_DIGITS = 8 };
#define SEQ_JUMP (UINT64_C(1) << 32) /* more records than are ever beyond a checkpoint */

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

static bool parse_name(const char *name, uint32_t *ret_number)
{
	uint32_t number = 0;

	for (int i = 0; i < NAME_DIGITS; i++) {
		char c = name[i];
		if (c >= '0' && c <= '9')
			number = number << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			number = number << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret_number = number;
	return strcmp(name + NAME_DIGITS, ".log") == 0;
}

/* Of a segment the index knows nothing of, its header says to which group it belongs. */
static enum err read_group(struct call *call, const char *path, uint32_t *ret)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	uint8_t wire[SEGMENT_HEADER_BYTES];
	struct segment_header h;
	size_t n = 0;

	TRY_PLAIN(os_file_open(call, path, OS_FILE_READ, &f));
	TRY_PLAIN(os_file_read_at(call, f, wire, sizeof(wire), 0, &n));
	if (segment_header_decode(call, BYTES(wire, n), &h)) {
		/* Recovery will say what is wrong with it, if that is to be said. */
		call_clear_error(call);
		*ret = 0;
		return OK;
	}
	*ret = h.expiry_group;
	return OK;
}

static enum err note_loss(struct call *call, struct piece_log *log, uint32_t number, uint64_t end)
{
	struct log_loss *grown = realloc(log->losses,
					 (log->losses_count + 1) * sizeof(*log->losses));

	if (!grown)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for segments");
	log->losses = grown;
	log->losses[log->losses_count++] = (struct log_loss){ number, end };
	return OK;
}

static enum err check_size(struct call *call, struct piece_log *log,
			   const struct checkpoint_segment *k, const char *path, uint64_t size)
{
	uint64_t known = MAX(k->stable, k->end);

	if (size >= known)
		return OK;
	if (!log->accept_loss)
		return call_fail(call, ERR_DATA_LOSS,
				 "%s has %llu bytes, %llu are known to have been there: restore "
				 "it, or start once with --accept-loss to go on without those "
				 "pieces",
				 path, (unsigned long long)size, (unsigned long long)known);
	log_error("segment is too short: pieces are lost", F_STR("file", path));
	return note_loss(call, log, k->number, size);
}

static enum err add_file(struct call *call, struct piece_log *log, const struct checkpoint *known,
			 uint32_t number)
{
	const char *path = log_segment_path(call, log, number);
	const struct checkpoint_segment *k = checkpoint_find(known, number);
	struct log_segment *s = NULL;
	struct os_stat st = { .size = k ? MAX(k->stable, k->end) : 0 };
	uint32_t group = k ? k->expiry_group : 0;

	if (k && k->removed)
		return os_unlink(call, path);
	/* Of complete segments not even the size is looked at: there may be very many. */
	if (!k || !k->sealed)
		TRY_PLAIN(os_stat(call, path, &st));
	if (!k && st.size <= SEGMENT_HEADER_BYTES) {
		/* Killed while it was made, or right after. */
		log_info("removing a segment that was never used", F_STR("file", path));
		return os_unlink(call, path);
	}
	if (k)
		TRY_PLAIN(check_size(call, log, k, path, st.size));
	else
		TRY_PLAIN(read_group(call, path, &group));
	TRY_PLAIN(log_add_segment(call, log, number, &s));
	s->tail = k ? MIN(k->stable, round_up(st.size, RECORD_ALIGN)) : SEGMENT_HEADER_BYTES;
	log->used += s->tail - SEGMENT_HEADER_BYTES;
	s->written = s->stable = s->durable = s->tail;
	s->expiry_group = group;
	if (k) {
		s->sealed = k->sealed;
		s->live = k->live;
		s->end = MIN(k->end, st.size);
		log->live += k->live;
	}
	/* Sealed segments, and others that ended cleanly, are not even opened. */
	s->scanned = k && (k->sealed || st.size == k->stable);
	return OK;
}

static enum err check_missing(struct call *call, struct piece_log *log,
			      const struct checkpoint *known)
{
	log->next_number = MAX(log->next_number, known->next_segment);
	for (size_t i = 0; i < known->segments_count; i++) {
		const struct checkpoint_segment *k = &known->segments[i];
		if (k->removed || log_find_segment(log, k->number))
			continue;
		if (!log->accept_loss)
			return call_fail(call, ERR_DATA_LOSS,
					 "%s is missing: restore it, or start once with "
					 "--accept-loss to go on without its pieces",
					 log_segment_path(call, log, k->number));
		log_error("segment is missing: its pieces are lost",
			  F_STR("file", log_segment_path(call, log, k->number)));
		TRY_PLAIN(note_loss(call, log, k->number, 0));
	}
	/* What a checkpoint called removed is now, for good. */
	return known->segments_count ? os_dir_sync(call, log->dir) : OK;
}

static enum err open_dir(struct call *call, struct piece_log *log, const struct checkpoint *known)
{
	AUTO_CALL struct call names_call = CALL_INIT;
	const char **names = NULL;
	size_t count = 0;

	call_init(&names_call);
	enum err e = os_dir_list(&names_call, &names_call.scratch, log->dir, &names, &count);
	if (e)
		return call_fail(call, e, "%s", call_error(&names_call, e));
	for (size_t i = 0; i < count; i++) {
		uint32_t number;
		if (!parse_name(names[i], &number))
			log_warn("not a segment: left alone", F_STR("file", names[i]));
		else
			TRY_PLAIN(add_file(call, log, known, number));
	}
	return check_missing(call, log, known);
}

enum err piece_log_open(struct call *call, const struct piece_log_config *config,
			const struct checkpoint *known, struct piece_log **ret)
{
	struct piece_log *log = calloc(1, sizeof(*log));

	if (!log || !(log->dir = strdup(config->dir))) {
		free(log);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	log->node = config->node;
	log->large = config->large;
	log->segment_bytes = config->segment_bytes ? config->segment_bytes
						   : LOG_SEGMENT_BYTES_DEFAULT;
	log->accept_loss = config->accept_loss;
	log->next_number = 1;
	enum err e = log_recent_new(call, log, config->recent_bytes);
	if (!e)
		e = open_dir(call, log, known);
	bool recovered = piece_log_recovered(log);
	/* Records that are not taken in yet have numbers that are not known yet. */
	log->seq = MAX(known->seq, 1) + (recovered ? 0 : SEQ_JUMP);
	log->rebuilding = !recovered && (known->seq == 0 || known->rebuilding);
	if (e) {
		piece_log_close(log);
		return call_wrap(call, e, "piece log");
	}
	*ret = log;
	return OK;
}

/* ---- reading segments from front to back ---- */

struct log_scan {
	struct piece_log *log;
	struct log_file *file;
	uint64_t size;	    /* of the file */
	uint8_t *window;    /* WINDOW_BYTES */
	uint64_t window_at; /* offset of its first byte */
	size_t window_len;
};

enum err piece_log_scan_begin(struct call *call, struct piece_log *log, uint32_t segment,
			      struct log_scan **ret)
{
	struct log_scan *s = calloc(1, sizeof(*s));

	if (!s || !(s->window = malloc(WINDOW_BYTES))) {
		free(s);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	s->log = log;
	s->window_at = UINT64_MAX;
	enum err e = piece_log_pin(call, log, segment, &s->file);
	if (!e)
		e = os_file_size(call, s->file->file, &s->size);
	if (e) {
		piece_log_scan_end(s);
		return e;
	}
	*ret = s;
	return OK;
}

void piece_log_scan_end(struct log_scan *s)
{
	if (!s)
		return;
	piece_log_unpin(s->log, s->file);
	free(s->window);
	free(s);
}

/* At least RECORD_HEADER_MAX bytes from pos on, or all up to the end of the file. */
static enum err scan_bytes(struct call *call, struct log_scan *s, uint64_t pos, struct bytes *ret)
{
	uint64_t end = s->window_at + s->window_len;

	if (pos < s->window_at || (pos + RECORD_HEADER_MAX > end && end < s->size)) {
		/* After the jump over a large piece a header is wanted, not what follows it. */
		size_t want = pos <= end ? WINDOW_BYTES : JUMP_BYTES;
		TRY_PLAIN(
			os_file_read_at(call, s->file->file, s->window, want, pos, &s->window_len));
		s->window_at = pos;
		end = pos + s->window_len;
	}
	*ret = pos < end ? BYTES(s->window + (pos - s->window_at), (size_t)(end - pos))
			 : BYTES_NONE;
	return OK;
}

static uint64_t whole_len(const struct piece_record *r)
{
	return record_len(record_header_len(r->limit.len), r->size);
}

enum err piece_log_scan_next(struct call *call, struct log_scan *s, uint64_t *pos,
			     struct piece_record *ret, uint64_t *ret_offset, bool *ret_found)
{
	for (uint64_t at = *pos; at < s->size; at += RECORD_ALIGN) {
		struct record_place place = { s->file->key, s->file->segment, at };
		struct bytes some;
		TRY_PLAIN(scan_bytes(call, s, at, &some));
		if (piece_record_decode(some, &place, ret))
			continue;
		if (whole_len(ret) > s->size - at)
			continue; /* its end was never written */
		*ret_offset = at;
		*pos = at + whole_len(ret);
		*ret_found = true;
		return OK;
	}
	*pos = s->size;
	*ret_found = false;
	return OK;
}

enum err piece_log_scan_check(struct call *call, struct log_scan *s, const struct piece_record *r,
			      uint64_t offset, bool *ret_whole)
{
	struct hasher *h = hasher_new(r->algorithm);
	uint64_t at = offset + record_header_len(r->limit.len), left = r->size;
	uint8_t sum[HASH_BYTES];
	enum err e = h ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");

	/* The window is overwritten; r->limit, which points into it, is not used any more. */
	s->window_len = 0;
	s->window_at = UINT64_MAX;
	while (!e && left) {
		size_t n = (size_t)MIN(left, (uint64_t)WINDOW_BYTES);
		e = piece_log_read(call, s->file, s->window, n, at);
		if (!e)
			hasher_update(h, BYTES(s->window, n));
		at += n;
		left -= n;
	}
	if (!e) {
		hasher_sum(h, sum);
		*ret_whole = memcmp(sum, r->hash, sizeof(sum)) == 0;
	}
	hasher_free(h);
	return e;
}

/* ---- recovery ---- */

struct recovery {
	struct piece_log *log;
	struct log_segment *segment;
	struct log_scan *scan;
	log_visit *visit;
	void *arg;
	uint64_t durable, seq, tail;
	bool sealed;
};

/* First pass: how far later records say that everything before them is durable. */
static enum err find_durable(struct call *call, struct recovery *v)
{
	uint64_t pos = v->segment->stable, at = 0;
	struct piece_record r;
	bool found = true;

	v->durable = pos;
	for (;;) {
		TRY_PLAIN(piece_log_scan_next(call, v->scan, &pos, &r, &at, &found));
		if (!found)
			return OK;
		v->durable = MAX(v->durable, MIN(r.durable, at));
		v->seq = MAX(v->seq, r.seq + 1);
	}
}

/* A record whose piece is not what was hashed: *pos goes on behind it, or inside. */
static enum err visit_torn(struct call *call, struct recovery *v, struct piece_record *r,
			   uint64_t offset, uint64_t *pos)
{
	uint32_t segment = v->segment->number;
	bool claimed = false;

	TRY_PLAIN(v->visit(call, v->arg, r, segment, offset, false, &claimed));
	if (claimed)
		return OK;
	log_info("a piece that was not yet acknowledged is incomplete: dropped",
		 F_HEX("piece", BYTES_OF(r->piece.b)), F_U64("segment", segment),
		 F_U64("offset", offset));
	/* Another record may begin inside what this one claimed. */
	*pos = offset + RECORD_ALIGN;
	return log_wipe_header(call, v->scan->file, offset);
}

/* Second pass: hands out what is whole.  v->tail is the end of the last such record. */
static enum err visit_records(struct call *call, struct recovery *v)
{
	uint64_t pos = v->segment->stable, at = 0;
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record r;
	bool found = true, whole, claimed;

	v->tail = pos;
	for (;;) {
		if (call->cancel && os_cancel_is_set(call->cancel))
			return call_fail(call, ERR_CANCELED, "canceled");
		TRY_PLAIN(piece_log_scan_next(call, v->scan, &pos, &r, &at, &found));
		if (!found)
			return OK;
		whole = true;
		if (pos > v->durable && r.type == RECORD_PIECE)
			TRY_PLAIN(piece_log_scan_check(call, v->scan, &r, at, &whole));
		if (!whole) {
			TRY_PLAIN(visit_torn(call, v, &r, at, &pos));
			if (pos > at + RECORD_ALIGN)
				v->tail = pos;
			continue;
		}
		/* The hash was taken in the same memory that the header was in. */
		TRY_PLAIN(piece_log_read_record(call, v->scan->file, at, head, &r));
		v->sealed = r.type == RECORD_SEAL;
		if (!v->sealed)
			TRY_PLAIN(
				v->visit(call, v->arg, &r, v->segment->number, at, true, &claimed));
		v->tail = pos;
	}
}

static enum err recover_segment(struct call *call, struct recovery *v)
{
	struct log_segment *seg = v->segment;

	TRY_PLAIN(find_durable(call, v));
	TRY_PLAIN(visit_records(call, v));
	/* Never below what the index has, even if the disk damaged the last of it. */
	v->tail = MAX(v->tail, seg->end);
	if (v->tail < v->scan->size) {
		log_info("cutting off an unfinished end", F_U64("segment", seg->number),
			 F_U64("bytes", v->scan->size - v->tail));
		TRY_PLAIN(os_file_truncate(call, v->scan->file->file, v->tail));
	}
	/* What is handed out as there may so far be in the kernel only (after a kill). */
	TRY_PLAIN(os_file_sync(call, v->scan->file->file));

	OS_LOCKED(&v->log->lock);
	v->log->used += v->tail - seg->tail;
	seg->tail = seg->written = seg->durable = v->tail;
	seg->sealed = v->sealed;
	seg->scanned = true;
	v->log->seq = MAX(v->log->seq, v->seq);
	return OK;
}

static struct log_segment *next_unscanned(struct piece_log *log)
{
	OS_LOCKED(&log->lock);

	for (size_t i = 0; i < log->count; i++)
		if (!log->segments[i]->scanned)
			return log->segments[i];
	return NULL;
}

bool piece_log_recovered(struct piece_log *log)
{
	return next_unscanned(log) == NULL;
}

enum err piece_log_recover(struct call *call, struct piece_log *log, log_visit *visit, void *arg)
{
	struct recovery v = { .log = log, .visit = visit, .arg = arg };

	while ((v.segment = next_unscanned(log))) {
		uint32_t number = v.segment->number;
		v.sealed = false;
		v.seq = 0;
		enum err e = piece_log_scan_begin(call, log, number, &v.scan);
		if (e && log->accept_loss) {
			log_error("segment is damaged: its pieces are lost",
				  F_STR("why", call_error(call, e)));
			call_clear_error(call);
			os_mutex_lock(&log->lock);
			v.segment->failed = v.segment->scanned = true;
			os_mutex_unlock(&log->lock);
			continue;
		}
		if (!e)
			e = recover_segment(call, &v);
		piece_log_scan_end(take(&v.scan));
		TRY(e, "recover segment %08x", number);
	}
	OS_LOCKED(&log->lock);
	log->rebuilding = false;
	return OK;
}
