/* Opening the piece log: which segments there are, and the records a checkpoint does not cover. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_log_internal.h"
#include "os/log.h"

enum { WINDOW_BYTES = 256 << 10, JUMP_BYTES = 2 * RECORD_HEADER_MAX, NAME_DIGITS = 8 };

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

static const struct checkpoint_segment *find_known(const struct checkpoint *known, uint32_t number)
{
	size_t low = 0, high = known->segments_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (known->segments[mid].number == number)
			return &known->segments[mid];
		if (known->segments[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static enum err add_file(struct call *call, struct piece_log *log, const struct checkpoint *known,
			 uint32_t number)
{
	const char *path = log_segment_path(call, log, number);
	const struct checkpoint_segment *k = find_known(known, number);
	struct log_segment *s = NULL;
	struct os_stat st;

	TRY_PLAIN(os_stat(call, path, &st));
	if (!k && st.size <= SEGMENT_HEADER_BYTES) {
		/* Killed while it was made, or right after. */
		log_info("removing a segment that was never used", F_STR("file", path));
		return os_unlink(call, path);
	}
	if (k && st.size < k->stable) {
		if (!log->accept_loss)
			return call_fail(call, ERR_DATA_LOSS,
					 "%s has %llu bytes, %llu are known to have been there: "
					 "restore it, or start once with --accept-loss to go on "
					 "without those pieces",
					 path, (unsigned long long)st.size,
					 (unsigned long long)k->stable);
		log_error("segment is too short: pieces are lost", F_STR("file", path));
	}
	TRY_PLAIN(log_add_segment(call, log, number, &s));
	s->tail = k ? MIN(k->stable, round_up(st.size, RECORD_ALIGN)) : SEGMENT_HEADER_BYTES;
	log->used += s->tail - SEGMENT_HEADER_BYTES;
	s->stable = s->durable = s->tail;
	s->sealed = k && k->sealed;
	/* Sealed segments, and others that ended cleanly, are not even opened. */
	s->scanned = k && (k->sealed || st.size == k->stable);
	return OK;
}

static enum err check_missing(struct call *call, struct piece_log *log,
			      const struct checkpoint *known)
{
	for (size_t i = 0; i < known->segments_count; i++) {
		uint32_t number = known->segments[i].number;
		if (log_find_segment(log, number))
			continue;
		if (number >= log->next_number)
			log->next_number = number + 1;
		if (!log->accept_loss)
			return call_fail(call, ERR_DATA_LOSS,
					 "%s is missing: restore it, or start once with "
					 "--accept-loss to go on without its pieces",
					 log_segment_path(call, log, number));
		log_error("segment is missing: its pieces are lost",
			  F_STR("file", log_segment_path(call, log, number)));
	}
	return OK;
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
	log->segment_bytes = config->segment_bytes ? config->segment_bytes
						   : LOG_SEGMENT_BYTES_DEFAULT;
	log->accept_loss = config->accept_loss;
	log->next_number = 1;
	log->seq = MAX(known->seq, 1);
	enum err e = open_dir(call, log, known);
	if (e) {
		piece_log_close(log);
		return call_wrap(call, e, "piece log");
	}
	*ret = log;
	return OK;
}

/* One segment being read from front to back. */
struct scan {
	struct log_file *file;
	uint64_t size;	    /* of the file */
	uint8_t *window;    /* WINDOW_BYTES */
	uint64_t window_at; /* offset of its first byte */
	size_t window_len;
};

/* At least RECORD_HEADER_MAX bytes from pos on, or all up to the end of the file. */
static enum err scan_bytes(struct call *call, struct scan *s, uint64_t pos, struct bytes *ret)
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

/* The next whole record at or after *pos; *ret_found false at the end of the file. */
static enum err scan_next(struct call *call, struct scan *s, uint64_t *pos,
			  struct piece_record *ret, bool *ret_found)
{
	for (; *pos < s->size; *pos += RECORD_ALIGN) {
		struct record_place place = { s->file->key, s->file->segment, *pos };
		struct bytes some;
		TRY_PLAIN(scan_bytes(call, s, *pos, &some));
		if (piece_record_decode(some, &place, ret))
			continue;
		if (record_len(record_header_len(ret->limit.len), ret->size) > s->size - *pos)
			continue; /* its end was never written */
		*ret_found = true;
		return OK;
	}
	*ret_found = false;
	return OK;
}

/* Whether the piece bytes behind the header are those that were hashed. */
static enum err data_is_whole(struct call *call, struct scan *s, const struct piece_record *r,
			      uint64_t offset, bool *ret)
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
		*ret = memcmp(sum, r->hash, sizeof(sum)) == 0;
	}
	hasher_free(h);
	return e;
}

/* First pass: how far later records say that everything before them is durable. */
static enum err find_durable(struct call *call, struct scan *s, uint64_t from,
			     uint64_t *ret_durable, uint64_t *ret_seq)
{
	uint64_t pos = from, durable = from;
	struct piece_record r;
	bool found = true;

	for (;;) {
		TRY_PLAIN(scan_next(call, s, &pos, &r, &found));
		if (!found)
			break;
		durable = MAX(durable, MIN(r.durable, pos));
		*ret_seq = MAX(*ret_seq, r.seq + 1);
		pos += record_len(record_header_len(r.limit.len), r.size);
	}
	*ret_durable = durable;
	return OK;
}

/* Second pass: hands out what is whole.  *ret_tail is the end of the last such record. */
static enum err visit_records(struct call *call, struct scan *s, uint64_t from, uint64_t durable,
			      log_visit *visit, void *arg, uint64_t *ret_tail, bool *ret_sealed)
{
	uint64_t pos = from, tail = from;
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record r;
	bool found = true, whole;

	for (;;) {
		TRY_PLAIN(scan_next(call, s, &pos, &r, &found));
		if (!found)
			break;
		uint64_t end = pos + record_len(record_header_len(r.limit.len), r.size);
		whole = true;
		if (end > durable && r.type == RECORD_PIECE)
			TRY_PLAIN(data_is_whole(call, s, &r, pos, &whole));
		if (!whole) {
			log_info("a piece that was not yet acknowledged is incomplete: dropped",
				 F_HEX("piece", BYTES_OF(r.piece.b)),
				 F_U64("segment", s->file->segment), F_U64("offset", pos));
			TRY_PLAIN(log_wipe_header(call, s->file, pos));
			/* Another record may begin inside what this one claimed. */
			pos += RECORD_ALIGN;
			continue;
		}
		/* The hash was taken in the same memory that the header was in. */
		TRY_PLAIN(piece_log_read_record(call, s->file, pos, head, &r));
		if (r.type == RECORD_PIECE)
			TRY_PLAIN(visit(call, arg, &r, s->file->segment, pos));
		*ret_sealed = r.type == RECORD_SEAL;
		tail = pos = end;
	}
	*ret_tail = tail;
	return OK;
}

static enum err scan_segment(struct call *call, struct piece_log *log, struct log_segment *seg,
			     struct scan *s, log_visit *visit, void *arg)
{
	uint64_t durable = 0, seq = 0, tail = 0;
	bool sealed = false;

	TRY_PLAIN(os_file_size(call, s->file->file, &s->size));
	TRY_PLAIN(find_durable(call, s, seg->stable, &durable, &seq));
	TRY_PLAIN(visit_records(call, s, seg->stable, durable, visit, arg, &tail, &sealed));
	if (tail < s->size) {
		log_info("cutting off an unfinished end", F_U64("segment", seg->number),
			 F_U64("bytes", s->size - tail));
		TRY_PLAIN(os_file_truncate(call, s->file->file, tail));
	}
	/* What is handed out as there may so far be in the kernel only (after a kill). */
	TRY_PLAIN(os_file_sync(call, s->file->file));

	OS_LOCKED(&log->lock);
	log->used += tail - seg->tail;
	seg->tail = seg->durable = tail;
	seg->sealed = sealed;
	seg->scanned = true;
	log->seq = MAX(log->seq, seq);
	return OK;
}

enum err piece_log_recover(struct call *call, struct piece_log *log, log_visit *visit, void *arg)
{
	AUTO_FREE uint8_t *window = malloc(WINDOW_BYTES);

	if (!window)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < log->count; i++) {
		struct log_segment *seg = log->segments[i];
		struct scan s = { .window = window, .window_at = UINT64_MAX };
		if (seg->scanned)
			continue;
		enum err e = piece_log_pin(call, log, seg->number, &s.file);
		if (e && log->accept_loss) {
			log_error("segment is damaged: its pieces are lost",
				  F_STR("why", call_error(call, e)));
			call_clear_error(call);
			seg->failed = seg->scanned = true;
			continue;
		}
		if (!e)
			e = scan_segment(call, log, seg, &s, visit, arg);
		piece_log_unpin(log, s.file);
		TRY(e, "recover segment %08x", seg->number);
	}
	return OK;
}
