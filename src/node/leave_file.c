/* The files of leaving. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "node/leave.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"

enum { LEAVE_FILE_MAX = 1024 };

static const char *const names[] = { "exit",	"exiting", "completed", "failed",
				     "refused", "forget",  "forgotten" };

const char *leave_state_name(enum leave_state s)
{
	return names[s];
}

/* state, seconds, text: one line each. */
void leave_format(struct buf *out, const struct leave *l)
{
	buf_printf(out, "%s\n%lld\n", leave_state_name(l->state),
		   (long long)(l->since_unix_ns / NS_PER_SEC));
	for (const char *p = l->text; *p; p++)
		/* Partly the satellite's words, and shown on a terminal. */
		buf_add_byte(out, (uint8_t)*p < ' ' || *p == 0x7f ? ' ' : (uint8_t)*p);
	buf_add_byte(out, '\n');
}

static struct bytes take_line(struct bytes *text)
{
	const uint8_t *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
	struct bytes line = BYTES(text->data, end ? (size_t)(end - text->data) : text->len);

	*text = bytes_from(*text, MIN(line.len + 1, text->len));
	return line;
}

enum err leave_parse(struct bytes text, struct leave *ret)
{
	struct bytes state = take_line(&text), since = take_line(&text), words = take_line(&text);
	uint64_t seconds = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!bytes_equal(state, bytes_str(names[i])))
			continue;
		if (text_u64(since, (uint64_t)(INT64_MAX / NS_PER_SEC), &seconds))
			return ERR_FORMAT;
		ret->state = (enum leave_state)i;
		ret->since_unix_ns = (int64_t)seconds * NS_PER_SEC;
		snprintf(ret->text, sizeof(ret->text), "%.*s", (int)MIN(words.len, 200u),
			 words.len ? (const char *)words.data : "");
		return OK;
	}
	return ERR_FORMAT;
}

static const char *leave_dir(struct call *call, const char *dir)
{
	return os_path_join(call, dir, "leave");
}

enum err leave_write(struct call *call, const char *dir, const struct leave *l)
{
	AUTO_BUF struct buf text = BUF_INIT(LEAVE_FILE_MAX);
	char id[NODE_ID_TEXT_MAX];

	node_id_text(&l->satellite, id);
	leave_format(&text, l);
	TRY(buf_status(&text), "leaving");
	TRY_PLAIN(os_dir_make(call, leave_dir(call, dir), false));
	return os_file_write_all(call, os_path_join(call, leave_dir(call, dir), id),
				 buf_bytes(&text), false);
}

enum err leave_list(struct call *call, const char *dir, struct arena *a, struct leave **ret,
		    size_t *ret_count)
{
	const char **found = NULL;
	size_t count = 0, n = 0;
	enum err e = os_dir_list(call, &call->scratch, leave_dir(call, dir), &found, &count);

	if (e && e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	count = e ? 0 : count;
	struct leave *list = arena_array(a, count + 1, sizeof(*list));
	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		AUTO_BUF struct buf text = BUF_INIT(LEAVE_FILE_MAX);
		struct leave l = { 0 };
		if (node_id_parse(bytes_str(found[i]), &l.satellite))
			continue; /* a receipt */
		if (os_file_read_all(call, os_path_join(call, leave_dir(call, dir), found[i]),
				     &text) ||
		    leave_parse(buf_bytes(&text), &l)) {
			log_warn("a file in the directory leave is damaged: left alone",
				 F_STR("file", found[i]));
			call_clear_error(call);
			continue;
		}
		list[n++] = l;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

enum err leave_request(struct call *call, const char *dir, const struct node_id *satellite,
		       enum leave_state what)
{
	struct leave *list = NULL;
	struct leave l = { .satellite = *satellite,
			   .state = what,
			   .since_unix_ns = os_clock_unix_ns() };
	size_t count = 0;
	struct os_stat st;

	if (os_stat(call, os_path_join(call, dir, "config"), &st))
		return call_fail(call, ERR_NOT_FOUND,
				 "no node in %s (\"acre-node setup --dir %s\" makes one)", dir,
				 dir);
	TRY_PLAIN(leave_list(call, dir, &call->scratch, &list, &count));
	for (size_t i = 0; i < count; i++) {
		enum leave_state is = list[i].state;
		if (!node_id_equal(&list[i].satellite, satellite))
			continue;
		if (is == what ||
		    (what == LEAVE_EXIT && (is == LEAVE_EXITING || is == LEAVE_COMPLETED)))
			return call_fail(call, ERR_EXISTS, "that is asked for already: it is %s",
					 leave_state_name(is));
	}
	return leave_write(call, dir, &l);
}
