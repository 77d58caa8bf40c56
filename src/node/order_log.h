/*
 * Orders kept until they are settled, in the files of node/order_file.h.
 *
 * An append returns when the bytes are with the kernel, so that a killed process loses nothing;
 * order_log_sync, called every second while there is something new, makes them survive a power
 * cut.  The order of an upload is durable earlier, with the record of its piece.
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

#endif
