/*
 * Hashstores: logs, and a table that says what in them still counts (storagenode.md 6.2).
 *
 * The table is in the order of hashes, and may be larger than the memory; the logs should be read
 * in their own order.  So it is read from end to end as often as it takes, each time for the next
 * so many pieces by their place.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/import_internal.h"
#include "os/log.h"

enum {
	LIST_MAX = 1 << 20, /* pieces a pass finds at most: 72 MiB */
	LIST_FIRST = 1 << 12,
	TABLE_READ_BYTES = 256 << 10,
	HINT_BYTES_MAX = 1 << 20,
	NAMES_BYTES_MAX = 64 << 20, /* of the logs of a store */
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
	/* The log that is read: */
	struct os_file *log_file;
	const struct log_name *log;
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
	s->logs[s->logs_count++] = (struct log_name){ log, path };
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

/* Its last lines name the logs that were being written to when the node did not end by itself: of
 * these the table may not have all. */
static enum err check_hint(struct call *call, const char *path)
{
	AUTO_BUF struct buf text = BUF_INIT(HINT_BYTES_MAX);

	TRY_PLAIN(os_file_read_all(call, path, &text));
	if (strstr(buf_cstr(&text), "writable:"))
		return call_fail(call, ERR_PRECONDITION,
				 "%s: Storj's node still runs, or did not end in order: start and "
				 "stop it once more, so that its tables are complete",
				 path);
	return OK;
}

static enum err find_table(struct call *call, struct store *s, const char **ret_path)
{
	const char *meta = s->meta, **names = NULL;
	uint64_t highest = 0, number;
	size_t count = 0;

	*ret_path = NULL;
	TRY_PLAIN(import_list(call, &call->scratch, meta, &names, &count));
	for (size_t i = 0; i < count; i++) {
		const char *path = os_path_join(call, meta, names[i]);
		if (bytes_has_prefix(bytes_str(names[i]), bytes_str("hint-")))
			TRY_PLAIN(check_hint(call, path));
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
	const char *path = NULL;
	uint8_t header[GO_TABLE_HEADER_BYTES];
	uint64_t size = 0;
	size_t n = 0;

	*ret_found = false;
	TRY_PLAIN(find_logs(call, s));
	TRY_PLAIN(find_table(call, s, &path));
	if (!path && s->logs_count)
		return call_fail(call, ERR_DATA_LOSS,
				 "%s has logs and no table: let Storj's node make one anew "
				 "(hashstore.store.reconstruct-table)",
				 s->dir);
	if (!path)
		return OK;
	TRY_PLAIN(os_file_open(call, path, OS_FILE_READ, &s->table_file));
	TRY_PLAIN(os_file_size(call, s->table_file, &size));
	TRY_PLAIN(os_file_read_at(call, s->table_file, header, sizeof(header), 0, &n));
	TRY(go_table_read(call, BYTES(header, n), size, &s->table), "%s", path);
	*ret_found = true;
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

static enum err read_table(struct call *call, struct store *s, uint8_t *buffer)
{
	uint64_t number = 0;

	s->count = 0;
	s->bounded = false;
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
				TRY_PLAIN(note(call, s, &f));
		}
	}
	if (s->count)
		qsort(s->list, s->count, sizeof(*s->list), compare_found);
	return OK;
}

/* ---- pieces ---- */

static enum err leave_log(struct call *call, struct import *im, struct store *s)
{
	const struct log_name *log = take(&s->log);

	os_file_close(take(&s->log_file));
	return log && s->log_safe ? import_obsolete(call, im, log->path) : OK;
}

static enum err enter_log(struct call *call, struct import *im, struct store *s, uint64_t number)
{
	const struct log_name key = { .log = number };

	if (s->log && s->log->log == number)
		return OK;
	TRY_PLAIN(leave_log(call, im, s));
	s->log = s->logs_count ? bsearch(&key, s->logs, s->logs_count, sizeof(key), compare_logs)
			       : NULL;
	s->log_safe = true;
	return OK;
}

static int64_t day_ns(uint32_t day)
{
	return (int64_t)day * 24 * 3600 * NS_PER_SEC;
}

static enum err take_record(struct call *call, struct import *im, struct store *s,
			    const struct go_record *r)
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
	};
	bool safe = false;

	if (r->trash)
		p.trashed_unix_ns = MAX(day_ns(r->expires_day) - STORE_TRASH_SECONDS * NS_PER_SEC,
					(int64_t)1);
	TRY_PLAIN(import_present(call, im, &p, &safe));
	if (safe)
		return OK;
	if (s->log && !s->log_file && os_file_open(call, s->log->path, OS_FILE_READ, &s->log_file))
		call_clear_error(call);
	p.file = r->length < GO_HEADER_BYTES ? NULL : s->log_file;
	TRY_PLAIN(import_take(call, im, &p, &safe));
	s->log_safe = s->log_safe && safe;
	return OK;
}

static enum err take_list(struct call *call, struct import *im, struct store *s)
{
	for (size_t i = 0; i < s->count; i++) {
		/* In an appended table the last of a place counts. */
		if (i + 1 < s->count && compare_place(&s->list[i], &s->list[i + 1]) == 0)
			continue;
		AUTO_CALL struct call own = CALL_INIT;
		call_init_child(&own, call);
		enum err e = enter_log(&own, im, s, s->list[i].record.log);
		if (!e)
			e = take_record(&own, im, s, &s->list[i].record);
		if (e) {
			call_copy_error(call, &own);
			return e;
		}
	}
	return OK;
}

static enum err take_all(struct call *call, struct import *im, struct store *s, uint8_t *buffer)
{
	do {
		TRY_PLAIN(read_table(call, s, buffer));
		TRY_PLAIN(take_list(call, im, s));
		s->from = s->to;
	} while (s->bounded);
	TRY_PLAIN(leave_log(call, im, s));
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
	bool open = false;

	TRY_PLAIN(open_store(call, s, &open));
	if (!open || s->table.appended)
		return OK;
	TRY_PLAIN(look_up(call, s, piece, &r, ret_found));
	if (!*ret_found)
		return OK;
	TRY_PLAIN(enter_log(call, im, s, r.log));
	return take_record(call, im, s, &r);
}

/* ---- stores and satellites ---- */

static void close_store(struct store *s)
{
	os_file_close(s->table_file);
	os_file_close(s->log_file);
	free(s->list);
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
