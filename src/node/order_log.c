/* Appending to and reading the order files of a node. */
#include "node/order_log.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/log.h"

enum { OPEN_SECONDS = 2 * ORDER_WINDOW_SECONDS, WINDOW_BYTES = 256 << 10 };

_Static_assert(WINDOW_BYTES > 2 * ORDER_ENTRY_MAX, "an entry fits with room to go on");

struct window_file {
	struct order_window window;
	struct os_file *file;
	uint64_t tail;
	unsigned users;
	bool dirty;
	struct window_file *next;
};

struct order_log {
	struct os_mutex lock;
	struct os_cond opened;
	bool opening; /* one thread opens a file; files are opened a few times an hour */
	char *dir;
	struct window_file *files;
	struct order_use *uses;
};

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

const char *order_window_path(struct call *call, const char *dir, const struct order_window *window)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(&window->satellite, id);
	const char *path = arena_printf(&call->scratch, "%s/%s-%lld.orders", dir, id,
					(long long)window->hour_unix);
	return path ? path : "";
}

static const char *window_path(struct call *call, const struct order_log *log,
			       const struct order_window *w)
{
	return order_window_path(call, log->dir, w);
}

static bool parse_name(const char *name, struct order_window *ret)
{
	const char *dash = strchr(name, '-'), *dot = strchr(name, '.');
	uint64_t hour;

	if (!dash || !dot || dot < dash || strcmp(dot, ".orders") != 0 ||
	    node_id_parse(BYTES(name, (size_t)(dash - name)), &ret->satellite) ||
	    text_u64(BYTES(dash + 1, (size_t)(dot - dash - 1)), INT64_MAX, &hour))
		return false;
	ret->hour_unix = (int64_t)hour;
	return true;
}

enum err order_log_open(struct call *call, const char *dir, struct order_log **ret)
{
	struct order_log *log = calloc(1, sizeof(*log));

	if (!log || !(log->dir = strdup(dir))) {
		free(log);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	*ret = log;
	return OK;
}

void order_log_close(struct order_log *log)
{
	AUTO_CALL struct call call = CALL_INIT;

	if (!log)
		return;
	call_init(&call);
	for (struct window_file *f = log->files, *next; f; f = next) {
		next = f->next;
		if (f->dirty && os_file_sync(&call, f->file))
			log_warn("orders not synced", F_STR("why", call.error));
		os_file_close(f->file);
		free(f);
	}
	os_mutex_fini(&log->lock);
	os_cond_fini(&log->opened);
	free(log->dir);
	free(log);
}

/* A file being read from front to back, a window at a time. */
struct scan {
	struct os_file *file;
	uint8_t *window;
	uint64_t at;  /* of the window in the file */
	uint64_t end; /* of the last good entry */
};

static enum err scan_window(struct call *call, struct scan *s, const struct order_window *w,
			    order_visit *visit, void *arg, bool *ret_last)
{
	struct order_entry entry;
	size_t n = 0, pos = 0;

	TRY_PLAIN(os_file_read_at(call, s->file, s->window, WINDOW_BYTES, s->at, &n));
	*ret_last = n < WINDOW_BYTES;
	/* An entry that begins before this is whole in the window. */
	size_t until = *ret_last ? n : n - ORDER_ENTRY_MAX;
	while (order_file_next(BYTES(s->window, n), &pos, until, &entry)) {
		s->end = s->at + pos;
		if (visit)
			TRY_PLAIN(visit(call, arg, w, &entry));
	}
	s->at += pos;
	return OK;
}

/* Hands out the entries; *ret_end is the end of the last, 0 when there is not even a header. */
static enum err scan_file(struct call *call, struct os_file *f, const struct order_window *w,
			  order_visit *visit, void *arg, uint64_t *ret_end)
{
	uint8_t head[ORDER_FILE_HEADER_BYTES];
	struct order_window inside;
	size_t n = 0;
	bool last = false;

	TRY_PLAIN(os_file_read_at(call, f, head, sizeof(head), 0, &n));
	if (order_file_header(BYTES(head, n), &inside) || inside.hour_unix != w->hour_unix ||
	    !node_id_equal(&inside.satellite, &w->satellite)) {
		*ret_end = 0;
		return OK;
	}
	AUTO_FREE uint8_t *window = malloc(WINDOW_BYTES);
	struct scan s = { f, window, sizeof(head), sizeof(head) };
	if (!window)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	while (!last)
		TRY_PLAIN(scan_window(call, &s, w, visit, arg, &last));
	*ret_end = s.end;
	return OK;
}

static enum err start_file(struct call *call, const struct order_log *log,
			   const struct order_window *w, struct os_file *f)
{
	uint8_t head[ORDER_FILE_HEADER_BYTES];
	struct bytes part = BYTES_OF(head);

	order_file_encode_header(w, head);
	TRY_PLAIN(os_file_truncate(call, f, 0));
	TRY_PLAIN(os_file_write_at(call, f, &part, 1, 0));
	TRY_PLAIN(os_file_sync(call, f));
	return os_dir_sync(call, log->dir);
}

static enum err open_window(struct call *call, struct order_log *log, const struct order_window *w,
			    struct window_file **ret)
{
	const char *path = window_path(call, log, w);
	AUTO(os_file_auto) struct os_file *file = NULL;
	uint64_t tail = 0;

	TRY_PLAIN(os_file_open(call, path, OS_FILE_WRITE | OS_FILE_CREATE, &file));
	TRY_PLAIN(scan_file(call, file, w, NULL, NULL, &tail));
	if (tail) {
		TRY_PLAIN(os_file_truncate(call, file, tail));
	} else {
		TRY_PLAIN(start_file(call, log, w, file));
		tail = ORDER_FILE_HEADER_BYTES;
	}
	struct window_file *f = calloc(1, sizeof(*f));
	if (!f)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*f = (struct window_file){ .window = *w, .file = take(&file), .tail = tail };
	*ret = f;
	return OK;
}

static struct window_file *find_open(struct order_log *log, const struct order_window *w)
{
	for (struct window_file *f = log->files; f; f = f->next)
		if (f->window.hour_unix == w->hour_unix &&
		    node_id_equal(&f->window.satellite, &w->satellite))
			return f;
	return NULL;
}

/* The open file of the window, with one user more. */
static enum err use_window(struct call *call, struct order_log *log, const struct order_window *w,
			   struct window_file **ret)
{
	struct window_file *f;
	enum err e = OK;

	os_mutex_lock(&log->lock);
	while (!(f = find_open(log, w)) && log->opening)
		os_cond_wait_forever(&log->opened, &log->lock);
	if (!f) {
		log->opening = true;
		os_mutex_unlock(&log->lock);
		e = open_window(call, log, w, &f);
		os_mutex_lock(&log->lock);
		log->opening = false;
		os_cond_broadcast(&log->opened);
		if (!e) {
			f->next = log->files;
			log->files = f;
		}
	}
	if (!e)
		f->users++;
	os_mutex_unlock(&log->lock);
	if (!e)
		*ret = f;
	return e;
}

enum err order_log_append(struct call *call, struct order_log *log,
			  const struct order_window *window, struct bytes limit,
			  const struct order *order)
{
	AUTO_BUF struct buf entry = BUF_INIT(ORDER_ENTRY_MAX);
	uint8_t wire[ORDER_WIRE_MAX];
	struct window_file *f = NULL;

	if (limit.len > ORDER_ENTRY_LIMIT_MAX)
		return call_fail(call, ERR_INVALID, "order limit is too long to be kept");
	order_file_encode_entry(&entry, limit, BYTES(wire, order_encode(order, wire)));
	TRY(buf_status(&entry), "keep an order");
	TRY(use_window(call, log, window, &f), "keep an order");
	os_mutex_lock(&log->lock);
	uint64_t at = f->tail;
	bool full = at > ORDER_FILE_MAX - entry.len;
	if (!full)
		f->tail += entry.len;
	os_mutex_unlock(&log->lock);
	struct bytes part = buf_bytes(&entry);
	enum err e = full ? call_fail(call, ERR_EXHAUSTED, "too many orders in one hour")
			  : os_file_write_at(call, f->file, &part, 1, at);
	os_mutex_lock(&log->lock);
	f->users--;
	f->dirty = true;
	os_mutex_unlock(&log->lock);
	if (e)
		return call_wrap(call, e, "keep an order");
	return OK;
}

/* Takes a file that needs a sync, or that is of a past hour, out of the list or marks it. */
static struct window_file *next_to_sync(struct order_log *log)
{
	OS_LOCKED(&log->lock);

	for (struct window_file *f = log->files; f; f = f->next)
		if (f->dirty) {
			f->dirty = false;
			f->users++;
			return f;
		}
	return NULL;
}

static struct window_file *take_past(struct order_log *log, int64_t now_unix_ns)
{
	OS_LOCKED(&log->lock);

	for (struct window_file **p = &log->files; *p; p = &(*p)->next) {
		struct window_file *f = *p;
		if (f->users || f->dirty ||
		    f->window.hour_unix + OPEN_SECONDS > now_unix_ns / NS_PER_SEC)
			continue;
		*p = f->next;
		return f;
	}
	return NULL;
}

enum err order_log_sync(struct call *call, struct order_log *log, int64_t now_unix_ns)
{
	struct window_file *f;

	while ((f = next_to_sync(log))) {
		enum err e = os_file_sync(call, f->file);
		os_mutex_lock(&log->lock);
		f->users--;
		f->dirty |= e != OK;
		os_mutex_unlock(&log->lock);
		TRY(e, "sync orders");
	}
	while ((f = take_past(log, now_unix_ns))) {
		os_file_close(f->file);
		free(f);
	}
	return OK;
}

static enum err read_window(struct call *call, struct order_log *log, const struct order_window *w,
			    order_visit *visit, void *arg)
{
	AUTO(os_file_auto) struct os_file *file = NULL;
	const char *path = window_path(call, log, w);
	uint64_t end = 0;

	TRY_PLAIN(os_file_open(call, path, OS_FILE_READ, &file));
	TRY_PLAIN(scan_file(call, file, w, visit, arg, &end));
	if (!end)
		log_warn("not an order file: left alone", F_STR("file", path));
	return OK;
}

static int compare_windows(const void *a, const void *b)
{
	const struct order_window *x = a, *y = b;

	if (x->hour_unix != y->hour_unix)
		return x->hour_unix < y->hour_unix ? -1 : 1;
	return memcmp(x->satellite.b, y->satellite.b, NODE_ID_BYTES);
}

enum err order_log_list(struct call *call, struct order_log *log, struct arena *a,
			struct order_window **ret, size_t *ret_count)
{
	AUTO_CALL struct call own = CALL_INIT;
	const char **names = NULL;
	size_t names_count = 0, count = 0;

	call_init_child(&own, call);
	enum err e = os_dir_list(&own, &own.scratch, log->dir, &names, &names_count);
	if (e) {
		call_copy_error(call, &own);
		return e;
	}
	struct order_window *list = arena_array(a, names_count + 1, sizeof(*list));
	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < names_count; i++)
		count += parse_name(names[i], &list[count]);
	if (count)
		qsort(list, count, sizeof(*list), compare_windows);
	*ret = list;
	*ret_count = count;
	return OK;
}

enum err order_log_visit(struct call *call, struct order_log *log,
			 const struct order_window *window, order_visit *visit, void *arg)
{
	return read_window(call, log, window, visit, arg);
}

enum err order_log_read(struct call *call, struct order_log *log, int64_t since_unix,
			order_visit *visit, void *arg)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct order_window *list = NULL;
	size_t count = 0;

	call_init_child(&own, call);
	enum err e = order_log_list(&own, log, &own.scratch, &list, &count);
	for (size_t i = 0; !e && i < count; i++)
		if (list[i].hour_unix >= since_unix)
			e = read_window(&own, log, &list[i], visit, arg);
	if (e)
		call_copy_error(call, &own);
	return e;
}

bool order_log_has(struct order_log *log, const struct order_window *window)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_stat st;

	call_init(&call);
	return os_stat(&call, window_path(&call, log, window), &st) == OK;
}

/* ---- settlement ---- */

void order_log_enter(struct order_log *log, struct order_use *use,
		     const struct order_window *window)
{
	OS_LOCKED(&log->lock);
	use->window = *window;
	use->next = log->uses;
	if (use->next)
		use->next->back = &use->next;
	use->back = &log->uses;
	log->uses = use;
}

void order_log_leave(struct order_log *log, struct order_use *use)
{
	OS_LOCKED(&log->lock);
	if (!use->back)
		return;
	*use->back = use->next;
	if (use->next)
		use->next->back = use->back;
	use->back = NULL;
}

bool order_log_in_use(struct order_log *log, const struct order_window *window)
{
	OS_LOCKED(&log->lock);
	for (struct order_use *u = log->uses; u; u = u->next)
		if (compare_windows(&u->window, window) == 0)
			return true;
	return false;
}

static const char *const outcome_names[] = { "ACCEPTED", "REJECTED", "UNSENT" };

const char *order_outcome_name(enum order_outcome o)
{
	return outcome_names[o];
}

/* Takes the window's file out of the list of open ones: *ret is NULL when it is not in it. */
static enum err take_open(struct call *call, struct order_log *log, const struct order_window *w,
			  struct window_file **ret)
{
	OS_LOCKED(&log->lock);

	*ret = NULL;
	for (struct window_file **p = &log->files; *p; p = &(*p)->next) {
		if (compare_windows(&(*p)->window, w) != 0)
			continue;
		if ((*p)->users)
			return call_fail(call, ERR_BUSY, "the window is still being written to");
		*ret = *p;
		*p = (*ret)->next;
		break;
	}
	return OK;
}

static const char *archive_dir(struct call *call, const struct order_log *log)
{
	return os_path_join(call, log->dir, "archive");
}

enum err order_log_archive(struct call *call, struct order_log *log,
			   const struct order_window *window, int64_t now_unix_ns,
			   enum order_outcome outcome)
{
	const char *dir = archive_dir(call, log);
	struct window_file *f = NULL;
	char id[NODE_ID_TEXT_MAX];

	TRY_PLAIN(take_open(call, log, window, &f));
	if (f)
		os_file_close(f->file);
	free(f);
	node_id_text(&window->satellite, id);
	const char *to = arena_printf(
		&call->scratch, "%s/%s-%lld-%lld-%s.orders", dir, id, (long long)window->hour_unix,
		(long long)(now_unix_ns / NS_PER_SEC), order_outcome_name(outcome));
	if (!to)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(os_dir_make(call, dir, false));
	TRY(os_rename(call, window_path(call, log, window), to), "archive orders");
	/* The new name first: a power cut may leave both, never none. */
	TRY_PLAIN(os_dir_sync(call, dir));
	return os_dir_sync(call, log->dir);
}

/* <satellite>-<hour>-<archived at>-<outcome>.orders */
static bool parse_archived(const char *name, uint64_t *ret_seconds)
{
	const char *p = strchr(name, '-');
	const char *from = p ? strchr(p + 1, '-') : NULL;
	const char *to = from ? strchr(from + 1, '-') : NULL;

	return to &&
	       text_u64(BYTES(from + 1, (size_t)(to - from - 1)), INT64_MAX, ret_seconds) == OK;
}

enum err order_log_prune(struct call *call, struct order_log *log, int64_t before_unix_ns,
			 size_t *ret_count)
{
	const char *dir = archive_dir(call, log), **names = NULL;
	size_t count = 0, removed = 0;
	uint64_t at;
	enum err e = os_dir_list(call, &call->scratch, dir, &names, &count);

	if (e && e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	for (size_t i = 0; !e && i < count; i++) {
		if (!parse_archived(names[i], &at) || (int64_t)at >= before_unix_ns / NS_PER_SEC)
			continue;
		TRY_PLAIN(os_unlink(call, os_path_join(call, dir, names[i])));
		removed++;
	}
	*ret_count = removed;
	return OK;
}
