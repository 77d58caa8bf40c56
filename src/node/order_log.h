/*
 * Orders kept until they are settled, in the files of node/order_file.h.
 *
 * An append returns when the bytes are with the kernel, so that a killed process loses nothing;
 * order_log_sync, called every second while there is something new, makes them survive a power
 * cut.  The order of an upload is durable earlier, with the record of its piece.
 *
 * A window that was settled moves to the archive, a directory beside the files, under a name that
 * says when and with which outcome; there is never a second window of that hour.
 * Thread safe; no lock is held while the disk works.
 */
#ifndef ACRE_NODE_ORDER_LOG_H
#define ACRE_NODE_ORDER_LOG_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/order_file.h"

/* A window of more orders than this holds is not to be expected (80 a millisecond). */
#define ORDER_FILE_MAX (UINT64_C(1) << 37)

struct order_log;

/* The file of a window, in the call's scratch. */
const char *order_window_path(struct call *call, const char *dir,
			      const struct order_window *window);

/* dir exists. */
enum err order_log_open(struct call *call, const char *dir, struct order_log **ret) MUST_USE;
/* Syncs and closes; NULL is fine. */
void order_log_close(struct order_log *log);
enum err order_log_append(struct call *call, struct order_log *log,
			  const struct order_window *window, struct bytes limit,
			  const struct order *order) MUST_USE;
/* Makes all appended so far survive a power cut, and closes files of past hours. */
enum err order_log_sync(struct call *call, struct order_log *log, int64_t now_unix_ns) MUST_USE;

/* Called with every entry of the windows that begin at or after since_unix; views die with the
 * call of it. */
typedef enum err order_visit(struct call *call, void *arg, const struct order_window *window,
			     const struct order_entry *entry);
enum err order_log_read(struct call *call, struct order_log *log, int64_t since_unix,
			order_visit *visit, void *arg) MUST_USE;
/* Whether there is a file of the window. */
bool order_log_has(struct order_log *log, const struct order_window *window);

/* ---- settlement ---- */

/* A transfer that may still bring an order of the window: until all have left, the window is not
 * complete.  Part of the transfer. */
struct order_use {
	struct order_window window;
	struct order_use *next, **back; /* back = NULL: not in the list */
};
void order_log_enter(struct order_log *log, struct order_use *use,
		     const struct order_window *window);
void order_log_leave(struct order_log *log, struct order_use *use); /* twice is fine */
bool order_log_in_use(struct order_log *log, const struct order_window *window);

/* The windows there are, oldest first, in `a`. */
enum err order_log_list(struct call *call, struct order_log *log, struct arena *a,
			struct order_window **ret, size_t *ret_count) MUST_USE;
/* Every entry of one window.  ERR_NOT_FOUND. */
enum err order_log_visit(struct call *call, struct order_log *log,
			 const struct order_window *window, order_visit *visit, void *arg) MUST_USE;

enum order_outcome {
	ORDERS_ACCEPTED,
	ORDERS_REJECTED,
	ORDERS_UNSENT, /* given up: nobody would pay for them any more */
};
const char *order_outcome_name(enum order_outcome o);
/* Out of the way, durably.  ERR_BUSY while somebody writes to it. */
enum err order_log_archive(struct call *call, struct order_log *log,
			   const struct order_window *window, int64_t now_unix_ns,
			   enum order_outcome outcome) MUST_USE;
/* Removes what was archived before then; *ret_count files. */
enum err order_log_prune(struct call *call, struct order_log *log, int64_t before_unix_ns,
			 size_t *ret_count) MUST_USE;

#endif
