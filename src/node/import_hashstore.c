/*
 * Hashstores: logs, and a table that says what in them still counts (storagenode.md 6.2).
 *
 * A node that was killed leaves logs of which the table may not have all: those are read, too, from
 * their ends, where each piece is followed by its record.  Without a table all of them are.
 *
 * The table is in the order of hashes, and may be larger than the memory; the logs should be read
 * in their own order.  So it is read from end to end as often as it takes, each time for the next
 * so many pieces by their place.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/import_internal.h"
#include "os/cancel.h"
#include "os/log.h"

enum {
	LIST_MAX = 1 << 20, /* pieces a pass finds at most: 72 MiB */
	LIST_FIRST = 1 << 12,
	TABLE_READ_BYTES = 256 << 10,
	HINT_BYTES_MAX = 1 << 20,
	NAMES_BYTES_MAX = 64 << 20, /* of the logs of a store */
	TAIL_READ_BYTES = 256 << 10,
};

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

/* The place of a piece, and its number in the table. */
struct found {
	struct go_record record;
	uint64_t number;
};

struct log_name {
	uint64_t log;
	const char *path;
	bool complete; /* the table has all of it, or what it lacked was taken */
};

/* One of the two stores of a satellite. */
struct store {
	struct node_id satellite;
	const char *dir, *meta; /* of the logs, of the table */
	struct arena arena;
	struct log_name *logs; /* by number */
	size_t logs_count;
	struct os_file *table_file;
	struct go_table table;
	/* The pass: places from `from` on, below `to` if there is one. */
	struct found *list;
	size_t count, cap;
	struct found from, to;
	bool bounded;
	/* What the table has of logs that are not complete, sorted. */
	struct piece_id *known;
	size_t known_count, known_cap;
	bool incomplete; /* there are such logs */
	uint64_t lacked; /* pieces found in them */
	/* The log that is read: */
	struct os_file *log_file;
	struct log_name *log;
	bool log_safe; /* nothing of it is needed any more */
};

static int compare_place(const struct found *a, const struct found *b)
{
	if (a->record.log != b->record.log)
		return a->record.log < b->record.log ? -1 : 1;
	if (a->record.offset != b->record.offset)
		return a->record.offset < b->record.offset ? -1 : 1;
	return 0;
}

static int compare_found(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	int c = compare_place(x, y);

	return c ? c : (x->number > y->number) - (x->number < y->number);
}

static int compare_logs(const void *a, const void *b)
{
	const struct log_name *x = a, *y = b;

	return (x->log > y->log) - (x->log < y->log);
}

/* ---- finding the files ---- */

static enum err add_log(struct call *call, struct store *s, const char *dir, const char *name)
{
	uint64_t log;

	if (!go_log_name(bytes_str(name), &log))
		return OK;
	if (!(s->logs_count & (s->logs_count - 1))) { /* 0 and every power of two */
		size_t cap = MAX(2 * s->logs_count, (size_t)1);
		struct log_name *logs = realloc(s->logs, cap * sizeof(*logs));
		if (!logs)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		s->logs = logs;
	}
	const char *path = arena_printf(&s->arena, "%s/%s", dir, name);
	if (!path)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for the names of logs");
	s->logs[s->logs_count++] = (struct log_name){ log, path, false };
	return OK;
}

/* In directories by the last byte of their number; once they lay side by side. */
static enum err find_logs(struct call *call, struct store *s)
{
	const char **names = NULL, **inner = NULL;
	size_t count = 0, inner_count = 0;

	TRY_PLAIN(import_list(call, &call->scratch, s->dir, &names, &count));
	for (size_t i = 0; i < count; i++) {
		TRY_PLAIN(add_log(call, s, s->dir, names[i]));
		const char *dir = os_path_join(call, s->dir, names[i]);
		if (strlen(names[i]) != 2)
			continue;
		TRY_PLAIN(os_dir_list(call, &call->scratch, dir, &inner, &inner_count));
		for (size_t j = 0; j < inner_count; j++)
			TRY_PLAIN(add_log(call, s, dir, inner[j]));
	}
	if (s->logs_count)
		qsort(s->logs, s->logs_count, sizeof(*s->logs), compare_logs);
	return OK;
}

/* *ret stays as it is if there is none that can be read. */
static enum err read_hint(struct call *call, const char *path, struct go_hint *ret)
{
	AUTO_BUF struct buf text = BUF_INIT(HINT_BYTES_MAX);

	TRY_PLAIN(os_file_read_all(call, path, &text));
	go_hint_read(buf_bytes(&text), ret);
	return OK;
}

static enum err find_table(struct call *call, struct store *s, const char **ret_path,
			   const char **ret_hint)
{
	const char *meta = s->meta, **names = NULL;
	uint64_t highest = 0, highest_hint = 0, number;
	size_t count = 0;

	*ret_path = *ret_hint = NULL;
	TRY_PLAIN(import_list(call, &call->scratch, meta, &names, &count));
	for (size_t i = 0; i < count; i++) {
		const char *path = os_path_join(call, meta, names[i]);
		if (go_hint_name(bytes_str(names[i]), &number) &&
		    (!*ret_hint || number > highest_hint)) {
			highest_hint = number;
			*ret_hint = path;
		}
		if (!go_table_name(bytes_str(names[i]), &number) || (*ret_path && number < highest))
			continue;
		highest = number;
		*ret_path = path;
	}
	return OK;
}

/* *ret_found false: there is nothing. */
static enum err open_store(struct call *call, struct store *s, bool *ret_found)
{
	const char *path = NULL, *hint_path = NULL;
	uint8_t header[GO_TABLE_HEADER_BYTES];
	struct go_hint hint = { 0 };
	uint64_t size = 0;
	size_t n = 0;

	*ret_found = false;
	TRY_PLAIN(find_logs(call, s));
	TRY_PLAIN(find_table(call, s, &path, &hint_path));
	if (path && hint_path)
		TRY_PLAIN(read_hint(call, hint_path, &hint));
	for (size_t i = 0; i < s->logs_count; i++) {
		s->logs[i].complete = go_hint_complete(&hint, s->logs[i].log);
		s->incomplete |= !s->logs[i].complete;
	}
	*ret_found = path || s->logs_count;
	if (!path && s->logs_count)
		log_warn("a hashstore has no table: what its logs have is taken over, the trash as "
			 "what is not in the trash",
			 F_STR("directory", s->dir));
	if (!path)
		return OK;
	TRY_PLAIN(os_file_open(call, path, OS_FILE_READ, &s->table_file));
	TRY_PLAIN(os_file_size(call, s->table_file, &size));
	TRY_PLAIN(os_file_read_at(call, s->table_file, header, sizeof(header), 0, &n));
	TRY(go_table_read(call, BYTES(header, n), size, &s->table), "%s", path);
	return OK;
}

/* ---- a pass over the table ---- */

/* The list is full: the upper half is for a later pass. */
static void drop_upper_half(struct store *s)
{
	size_t half = s->count / 2;

	qsort(s->list, s->count, sizeof(*s->list), compare_found);
	/* What lies at one place stays together. */
	while (half < s->count && compare_place(&s->list[half - 1], &s->list[half]) == 0)
		half++;
	if (half == s->count) {
		s->list[0] = s->list[half - 1];
		s->count = 1;
		return;
	}
	s->to = s->list[half];
	s->bounded = true;
	s->count = half;
}

static enum err note(struct call *call, struct store *s, const struct found *f)
{
	if (compare_place(f, &s->from) < 0 || (s->bounded && compare_place(f, &s->to) >= 0))
		return OK;
	if (s->count == s->cap && s->cap < LIST_MAX) {
		size_t cap = s->cap ? 2 * s->cap : LIST_FIRST;
		struct found *list = realloc(s->list, cap * sizeof(*list));
		if (!list)
			return call_fail(call, ERR_NO_MEMORY, "out of memory for a table");
		s->list = list;
		s->cap = cap;
	}
	if (s->count == s->cap)
		drop_upper_half(s);
	if (s->count == s->cap || (s->bounded && compare_place(f, &s->to) >= 0))
		return OK;
	s->list[s->count++] = *f;
	return OK;
}

typedef enum err table_visit(struct call *call, struct store *s, const struct found *f);

static enum err walk_table(struct call *call, struct store *s, uint8_t *buffer, table_visit *visit)
{
	uint64_t number = 0;

	while (number < s->table.records) {
		size_t n = 0, want = (size_t)MIN(s->table.records - number,
						 (uint64_t)TABLE_READ_BYTES / GO_RECORD_BYTES) *
				     GO_RECORD_BYTES;
		TRY_PLAIN(os_file_read_at(call, s->table_file, buffer, want,
					  GO_TABLE_HEADER_BYTES + number * GO_RECORD_BYTES, &n));
		if (n != want)
			return call_fail(call, ERR_DATA_LOSS, "%s: the table ends early", s->dir);
		for (size_t at = 0; at < n; at += GO_RECORD_BYTES, number++) {
			struct found f = { .number = number };
			if (go_record_read(buffer + at, &f.record))
				TRY_PLAIN(visit(call, s, &f));
		}
	}
	return OK;
}

static enum err read_table(struct call *call, struct store *s, uint8_t *buffer)
{
	s->count = 0;
	s->bounded = false;
	TRY_PLAIN(walk_table(call, s, buffer, note));
	if (s->count)
		qsort(s->list, s->count, sizeof(*s->list), compare_found);
	return OK;
}

/* ---- pieces ---- */

static struct log_name *find_log(const struct store *s, uint64_t number)
{
	const struct log_name key = { .log = number };

	return s->logs_count ? bsearch(&key, s->logs, s->logs_count, sizeof(key), compare_logs)
			     : NULL;
}

static int64_t day_ns(uint32_t day)
{
	return (int64_t)day * 24 * 3600 * NS_PER_SEC;
}

static enum err take_record(struct call *call, struct import *im, struct store *s,
			    const struct go_record *r, bool guessed, bool *ret_safe)
{
	struct import_piece p = {
		.satellite = s->satellite,
		.piece = r->piece,
		.path = s->log ? s->log->path : s->dir,
		.data_at = r->offset,
		.size = r->length - GO_HEADER_BYTES,
		.header_at = r->offset + r->length - GO_HEADER_BYTES,
		/* It was stored some time that day. */
		.stored_unix_ns = day_ns(r->created_day + 1),
		.guessed = guessed,
	};

	if (r->trash)
		p.trashed_unix_ns = MAX(day_ns(r->expires_day) - STORE_TRASH_SECONDS * NS_PER_SEC,
					(int64_t)1);
	TRY_PLAIN(import_present(call, im, &p, ret_safe));
	if (*ret_safe)
		return OK;
	if (s->log && !s->log_file && os_file_open(call, s->log->path, OS_FILE_READ, &s->log_file))
		call_clear_error(call);
	p.file = r->length < GO_HEADER_BYTES ? NULL : s->log_file;
	return import_take(call, im, &p, ret_safe);
}

/* ---- what the table lacks ---- */

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, PIECE_ID_BYTES);
}

static enum err note_known(struct call *call, struct store *s, const struct found *f)
{
	const struct log_name *log = find_log(s, f->record.log);

	if (!log || log->complete)
		return OK;
	if (s->known_count == s->known_cap) {
		size_t cap = s->known_cap ? 2 * s->known_cap : LIST_FIRST;
		if (cap > LIST_MAX)
			return call_fail(call, ERR_PRECONDITION,
					 "%s: Storj's node did not end in order, and says of too "
					 "many logs that they must be read: start and stop it once "
					 "more",
					 s->dir);
		struct piece_id *known = realloc(s->known, cap * sizeof(*known));
		if (!known)
			return call_fail(call, ERR_NO_MEMORY, "out of memory for a table");
		s->known = known;
		s->known_cap = cap;
	}
	s->known[s->known_count++] = f->record.piece;
	return OK;
}

static enum err read_known(struct call *call, struct store *s, uint8_t *buffer)
{
	if (!s->incomplete)
		return OK;
	TRY_PLAIN(walk_table(call, s, buffer, note_known));
	if (s->known_count)
		qsort(s->known, s->known_count, sizeof(*s->known), compare_ids);
	return OK;
}

/* A window on a file that is read from its end. */
struct tail {
	uint8_t *data;
	uint64_t at;
	size_t len;
};

static enum err tail_move(struct call *call, const struct store *s, uint64_t at, struct tail *t)
{
	uint64_t end = at + GO_RECORD_BYTES;

	if (t->len && at >= t->at && end <= t->at + t->len)
		return OK;
	if (call->cancel && os_cancel_is_set(call->cancel))
		return call_fail(call, ERR_CANCELED, "stopped");
	t->at = end > TAIL_READ_BYTES ? end - TAIL_READ_BYTES : 0;
	TRY_PLAIN(
		os_file_read_at(call, s->log_file, t->data, (size_t)(end - t->at), t->at, &t->len));
	if (t->len != end - t->at)
		return call_fail(call, ERR_DATA_LOSS, "%s: the log ends early", s->log->path);
	return OK;
}

/* *ret_next: where the record in front of this one may be. */
static enum err take_candidate(struct call *call, struct import *im, struct store *s, uint64_t at,
			       const uint8_t *wire, uint64_t *ret_next)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct go_record r;
	bool safe = false;

	*ret_next = at - 1;
	if (!go_record_read(wire, &r) || r.log != s->log->log || r.offset + r.length != at ||
	    r.length < GO_HEADER_BYTES)
		return OK;
	if (s->known_count &&
	    bsearch(&r.piece, s->known, s->known_count, sizeof(r.piece), compare_ids)) {
		*ret_next = r.offset - GO_RECORD_BYTES;
		return OK;
	}
	call_init_child(&own, call);
	enum err e = take_record(&own, im, s, &r, true, &safe);
	if (e) {
		call_copy_error(call, &own);
		return e;
	}
	/* What is not right may be a piece's bytes that look like a record. */
	if (safe) {
		*ret_next = r.offset - GO_RECORD_BYTES;
		s->lacked++;
	}
	return OK;
}

/* From its end on: there is what was written last, and each piece says where it begins. */
static enum err take_tail(struct call *call, struct import *im, struct store *s, uint8_t *window)
{
	struct tail t = { .data = window };
	uint64_t size = 0;

	s->log->complete = true;
	/* So that all that the table has is here. */
	TRY_PLAIN(import_flush(call, im, s->log->path));
	if (!s->log_file)
		TRY_PLAIN(os_file_open(call, s->log->path, OS_FILE_READ, &s->log_file));
	TRY_PLAIN(os_file_size(call, s->log_file, &size));
	/* Below 0 it wraps around. */
	for (uint64_t at = size - GO_RECORD_BYTES; at < size;) {
		TRY_PLAIN(tail_move(call, s, at, &t));
		TRY_PLAIN(take_candidate(call, im, s, at, t.data + (at - t.at), &at));
	}
	return OK;
}

/* ---- logs ---- */

static enum err leave_log(struct call *call, struct import *im, struct store *s)
{
	enum err e = OK;

	if (s->log && !s->log->complete) {
		AUTO_FREE uint8_t *window = malloc(TAIL_READ_BYTES);
		e = window ? take_tail(call, im, s, window)
			   : call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	const struct log_name *log = take(&s->log);
	os_file_close(take(&s->log_file));
	TRY_PLAIN(e);
	return log && s->log_safe ? import_obsolete(call, im, log->path) : OK;
}

static enum err enter_log(struct call *call, struct import *im, struct store *s, uint64_t number)
{
	if (s->log && s->log->log == number)
		return OK;
	TRY_PLAIN(leave_log(call, im, s));
	s->log = find_log(s, number);
	s->log_safe = true;
	return OK;
}

/* Logs of which the table has nothing at all. */
static enum err take_rest(struct call *call, struct import *im, struct store *s)
{
	for (size_t i = 0; i < s->logs_count; i++)
		if (!s->logs[i].complete)
			TRY_PLAIN(enter_log(call, im, s, s->logs[i].log));
	TRY_PLAIN(leave_log(call, im, s));
	if (s->lacked)
		log_info("pieces found that the table of a hashstore lacked",
			 F_STR("directory", s->dir), F_U64("pieces", s->lacked));
	return OK;
}

static enum err take_list(struct call *call, struct import *im, struct store *s)
{
	for (size_t i = 0; i < s->count; i++) {
		/* In an appended table the last of a place counts. */
		if (i + 1 < s->count && compare_place(&s->list[i], &s->list[i + 1]) == 0)
			continue;
		AUTO_CALL struct call own = CALL_INIT;
		bool safe = false;
		call_init_child(&own, call);
		enum err e = enter_log(&own, im, s, s->list[i].record.log);
		if (!e)
			e = take_record(&own, im, s, &s->list[i].record, false, &safe);
		s->log_safe = s->log_safe && safe;
		if (e) {
			call_copy_error(call, &own);
			return e;
		}
	}
	return OK;
}

static enum err take_all(struct call *call, struct import *im, struct store *s, uint8_t *buffer)
{
	TRY_PLAIN(read_known(call, s, buffer));
	do {
		TRY_PLAIN(read_table(call, s, buffer));
		TRY_PLAIN(take_list(call, im, s));
		s->from = s->to;
	} while (s->bounded);
	TRY_PLAIN(take_rest(call, im, s));
	return import_flush(call, im, s->dir);
}

/* ---- one piece ---- */

/* Where a piece may be in a table by hashes: from its slot on, up to an empty one (a page that was
 * lost leaves few: the first ones prove nothing). */
static enum err look_up(struct call *call, struct store *s, const struct piece_id *piece,
			struct go_record *ret, bool *ret_found)
{
	enum { AT_ONCE = 64, NO_PROOF = 16, LOOK_MAX = 4096 };
	uint8_t wire[AT_ONCE * GO_RECORD_BYTES];
	uint64_t slot = go_table_slot(&s->table, piece);

	for (unsigned looked = 0; looked < LOOK_MAX && looked < s->table.records;) {
		size_t n = 0, want = (size_t)MIN((uint64_t)AT_ONCE, s->table.records - slot);
		TRY_PLAIN(os_file_read_at(call, s->table_file, wire, want * GO_RECORD_BYTES,
					  GO_TABLE_HEADER_BYTES + slot * GO_RECORD_BYTES, &n));
		for (size_t i = 0; i < n / GO_RECORD_BYTES; i++, looked++) {
			bool used = go_record_read(wire + i * GO_RECORD_BYTES, ret);
			if (!used && looked >= NO_PROOF)
				return OK;
			if (used && memcmp(ret->piece.b, piece->b, PIECE_ID_BYTES) == 0) {
				*ret_found = true;
				return OK;
			}
		}
		if (n != want * GO_RECORD_BYTES)
			return call_fail(call, ERR_DATA_LOSS, "%s: the table ends early", s->dir);
		slot = (slot + want) % s->table.records;
	}
	return OK;
}

static enum err take_one(struct call *call, struct import *im, struct store *s,
			 const struct piece_id *piece, bool *ret_found)
{
	struct go_record r;
	bool open = false, safe = false;

	TRY_PLAIN(open_store(call, s, &open));
	if (!open || !s->table_file || s->table.appended)
		return OK;
	TRY_PLAIN(look_up(call, s, piece, &r, ret_found));
	if (!*ret_found)
		return OK;
	s->log = find_log(s, r.log);
	return take_record(call, im, s, &r, false, &safe);
}

/* ---- stores and satellites ---- */

static void close_store(struct store *s)
{
	os_file_close(s->table_file);
	os_file_close(s->log_file);
	free(s->list);
	free(s->known);
	free(s->logs);
	arena_free(&s->arena);
}

/* Storj's node holds this while it runs. */
static enum err lock_store(struct call *call, const char *meta, struct os_file **ret)
{
	enum err e = os_file_open(call, os_path_join(call, meta, "lock"), OS_FILE_READ, ret);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	if (os_file_lock(call, *ret))
		return call_fail(call, ERR_PRECONDITION, "Storj's node still runs: stop it first");
	return OK;
}

static enum err take_store(struct call *call, struct import *im, struct store *s)
{
	AUTO(os_file_auto) struct os_file *lock = NULL;
	AUTO_FREE uint8_t *buffer = malloc(TABLE_READ_BYTES);
	bool found = false;

	if (!buffer)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(lock_store(call, s->meta, &lock));
	TRY_PLAIN(open_store(call, s, &found));
	return found ? take_all(call, im, s, buffer) : OK;
}

static const char *const stores[] = { "s0", "s1" };

static const char *below(struct call *call, const char *dir, const char *path)
{
	return path[0] == '/' ? path : os_path_join(call, dir, path);
}

static void describe(struct call *call, const struct import *im, const struct node_id *satellite,
		     const char *name, struct store *ret)
{
	const struct import_config *c = im->config;
	char id[NODE_ID_TEXT_MAX];

	node_id_text(satellite, id);
	const char *logs = os_path_join(call, below(call, c->from, c->logs), id);
	const char *tables = os_path_join(call, below(call, c->from, c->tables), id);
	*ret = (struct store){ .satellite = *satellite,
			       .dir = os_path_join(call, logs, name),
			       .meta = os_path_join(call, os_path_join(call, tables, name), "meta"),
			       .arena = { .max = NAMES_BYTES_MAX } };
}

enum err import_one_record(struct call *call, struct import *im, const struct node_id *satellite,
			   const struct piece_id *piece, bool *ret_found)
{
	for (size_t i = 0; !*ret_found && i < ARRAY_LEN(stores); i++) {
		struct store s;
		describe(call, im, satellite, stores[i], &s);
		enum err e = take_one(call, im, &s, piece, ret_found);
		close_store(&s);
		TRY_PLAIN(e);
	}
	return OK;
}

enum err import_hashstores(struct call *call, struct import *im)
{
	const char *top = below(call, im->config->from, im->config->logs), **names = NULL;
	struct node_id satellite;
	size_t count = 0;

	TRY_PLAIN(import_list(call, &call->scratch, top, &names, &count));
	for (size_t i = 0; i < ARRAY_LEN(stores) * count; i++) {
		struct store s;
		if (node_id_parse(bytes_str(names[i / ARRAY_LEN(stores)]), &satellite))
			continue;
		describe(call, im, &satellite, stores[i % ARRAY_LEN(stores)], &s);
		enum err e = take_store(call, im, &s);
		close_store(&s);
		TRY_PLAIN(e);
	}
	return OK;
}
