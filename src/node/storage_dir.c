/* Verification of the storage directory. */
#include "node/storage_dir.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "os/file.h"

enum { FORMAT_VERSION = 1, VERIFICATION_MAX = 1024 };

#define VERIFICATION_NAME "storage-dir-verification"
#define VERIFICATION_HEAD "acre-node storage "

struct storage_dir {
	char *path;
	struct node_id node;
	struct os_file *lock;
};

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

/* "acre-node storage 1\nnode <id>\n", with what else a later version may write below. */
static void add_verification(struct buf *out, const struct node_id *node)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(node, id);
	buf_printf(out, VERIFICATION_HEAD "%d\nnode %s\n", FORMAT_VERSION, id);
	buf_add_str(out, "This directory holds the pieces of that node and of no other.  Do not "
			 "copy this file.\n");
}

static struct bytes take_line(struct bytes *text)
{
	const uint8_t *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
	struct bytes line = BYTES(text->data, end ? (size_t)(end - text->data) : text->len);

	*text = bytes_from(*text, line.len + 1);
	return line;
}

static enum err check_verification(struct call *call, const char *path, const struct node_id *node)
{
	AUTO_BUF struct buf content = BUF_INIT(VERIFICATION_MAX);
	AUTO_BUF struct buf want = BUF_INIT(64);
	char id[NODE_ID_TEXT_MAX], mine[NODE_ID_TEXT_MAX];
	struct node_id other;
	const char *file = os_path_join(call, path, VERIFICATION_NAME);
	enum err e = os_file_read_all(call, file, &content);

	if (e == ERR_NOT_FOUND)
		return call_fail(call, ERR_PRECONDITION,
				 "%s is not there: is the disk of the storage directory mounted? "
				 "(\"acre-node setup\" makes a new one)",
				 file);
	TRY(e, "storage directory");
	struct bytes rest = buf_bytes(&content);
	struct bytes first = take_line(&rest), second = take_line(&rest);
	buf_printf(&want, VERIFICATION_HEAD "%d", FORMAT_VERSION);
	if (!bytes_has_prefix(first, bytes_str(VERIFICATION_HEAD)) ||
	    !bytes_has_prefix(second, bytes_str("node ")) ||
	    node_id_parse(bytes_from(second, 5), &other))
		return call_fail(call, ERR_PRECONDITION,
				 "%s is damaged: this is no storage directory", file);
	if (!bytes_equal(first, buf_bytes(&want)))
		return call_fail(
			call, ERR_PRECONDITION,
			"%s is of another format (\"%.*s\"): use the program that wrote it", path,
			(int)first.len, (const char *)first.data);
	if (node_id_equal(&other, node))
		return OK;
	node_id_text(&other, id);
	node_id_text(node, mine);
	return call_fail(call, ERR_PRECONDITION,
			 "storage directory %s belongs to another node (%s, this is %s): mount the "
			 "right disk",
			 path, id, mine);
}

enum err storage_dir_create(struct call *call, const char *path, const struct node_id *node)
{
	AUTO_BUF struct buf content = BUF_INIT(VERIFICATION_MAX);
	struct os_stat st;

	TRY_PLAIN(os_dir_make(call, path, true));
	const char *file = os_path_join(call, path, VERIFICATION_NAME);
	if (os_stat(call, file, &st) == OK) {
		if (check_verification(call, path, node))
			return call_wrap(call, ERR_EXISTS, "%s is in use already", path);
		return OK;
	}
	call_clear_error(call);
	add_verification(&content, node);
	TRY(buf_status(&content), "storage directory");
	return os_file_write_all(call, file, buf_bytes(&content), false);
}

enum err storage_dir_open(struct call *call, const char *path, const struct node_id *node,
			  struct storage_dir **ret)
{
	AUTO(os_file_auto) struct os_file *lock = NULL;

	TRY_PLAIN(check_verification(call, path, node));
	TRY(os_file_open(call, os_path_join(call, path, "lock"), OS_FILE_WRITE | OS_FILE_CREATE,
			 &lock),
	    "storage directory is not writable");
	TRY(os_file_lock(call, lock), "storage directory");
	struct storage_dir *d = calloc(1, sizeof(*d));
	if (!d || !(d->path = strdup(path))) {
		free(d);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	d->node = *node;
	d->lock = take(&lock);
	enum err e = storage_dir_check_writable(call, d);
	if (e) {
		storage_dir_close(d);
		return e;
	}
	*ret = d;
	return OK;
}

void storage_dir_close(struct storage_dir *d)
{
	if (!d)
		return;
	os_file_close(d->lock);
	free(d->path);
	free(d);
}

const char *storage_dir_path(const struct storage_dir *d)
{
	return d->path;
}

enum err storage_dir_check_readable(struct call *call, const struct storage_dir *d)
{
	return check_verification(call, d->path, &d->node);
}

enum err storage_dir_check_writable(struct call *call, const struct storage_dir *d)
{
	const char *path = os_path_join(call, d->path, "write-test");
	AUTO(os_file_auto) struct os_file *f = NULL;
	struct bytes part = bytes_str("acre-node writes this file to see whether it can\n");

	TRY(os_file_open(call, path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE, &f),
	    "storage directory is not writable");
	enum err e = os_file_write_at(call, f, &part, 1, 0);
	/* A full disk is no broken disk: what is stored there can still be served. */
	if (e && e != ERR_NO_SPACE)
		return call_wrap(call, e, "storage directory is not writable");
	e = os_file_sync(call, f);
	if (e && e != ERR_NO_SPACE)
		return call_wrap(call, e, "storage directory is not writable");
	call_clear_error(call);
	return OK;
}
