/*
 * The orders that Storj's node had not settled yet (storagenode.md 9): each of its windows becomes
 * one of ours, at once and whole, and is settled as if it had been ours.  Theirs stay.
 */
#include "base/cleanup.h"
#include "base/num.h"
#include "node/import.h"
#include "node/go_format.h"
#include "node/order_log.h"
#include "os/file.h"
#include "os/log.h"

enum { FILE_BYTES_MAX = 512 << 20 };

/* Their entries from `at` on as a window of ours; *ret of them. */
static enum err convert(struct bytes theirs, size_t at, const struct order_window *window,
			struct buf *ours, uint64_t *ret)
{
	uint8_t header[ORDER_FILE_HEADER_BYTES];
	struct order_entry entry;

	order_file_encode_header(window, header);
	buf_add(ours, header, sizeof(header));
	for (*ret = 0; go_orders_next(theirs, &at, &entry); ++*ret)
		order_file_encode_entry(ours, entry.limit, entry.order);
	return buf_status(ours);
}

static enum err take_window(struct call *call, const char *from, const char *to,
			    const struct order_window *window, uint64_t *ret_orders)
{
	AUTO_BUF struct buf theirs = BUF_INIT(FILE_BYTES_MAX), ours = BUF_INIT(FILE_BYTES_MAX);
	const char *path = order_window_path(call, to, window);
	struct order_window inside;
	struct os_stat st;
	uint64_t count = 0;
	size_t at = 0;

	if (os_stat(call, path, &st) == OK)
		return OK; /* taken before */
	call_clear_error(call);
	TRY_PLAIN(os_file_read_all(call, from, &theirs));
	TRY_PLAIN(go_orders_header(call, buf_bytes(&theirs), &inside, &at));
	if (inside.hour_unix != window->hour_unix ||
	    !node_id_equal(&inside.satellite, &window->satellite))
		return call_fail(call, ERR_FORMAT, "it is of another window than its name");
	TRY_PLAIN(convert(buf_bytes(&theirs), at, window, &ours, &count));
	if (!count)
		return OK;
	TRY_PLAIN(os_file_write_all(call, path, buf_bytes(&ours), false));
	*ret_orders += count;
	return OK;
}

enum err import_unsettled(struct call *call, const char *from, const char *to, uint64_t *ret_orders)
{
	AUTO(arena_free) struct arena a = { .max = 64 << 20 };
	const char *dir = os_path_join(call, from, "unsent"), **names = NULL;
	size_t count = 0;

	*ret_orders = 0;
	enum err e = os_dir_list(call, &a, dir, &names, &count);
	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	TRY_PLAIN(os_dir_make(call, to, true));
	for (size_t i = 0; i < count; i++) {
		AUTO_CALL struct call own = CALL_INIT;
		struct order_window window;
		call_init_child(&own, call);
		if (!go_orders_name(bytes_str(names[i]), &window))
			continue;
		const char *path = os_path_join(&own, dir, names[i]);
		e = take_window(&own, path, to, &window, ret_orders);
		/* Pay of an hour at most; the pieces matter more. */
		if (e == ERR_FORMAT || e == ERR_OUT_OF_RANGE) {
			log_warn("orders of Storj's node cannot be taken over", F_STR("file", path),
				 F_STR("why", call_error(&own, e)));
		} else if (e) {
			call_copy_error(call, &own);
			return e;
		}
	}
	return OK;
}
