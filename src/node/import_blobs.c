/* Blobs: a file for each piece, in 1024 directories for each satellite (storagenode.md 6.1). */
#include "base/cleanup.h"
#include "base/text.h"
#include "node/import_internal.h"
#include "os/log.h"

enum { PATH_BYTES_MAX = 4096 };

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

static enum err open_blob(struct call *call, struct import_piece *p, struct os_file **ret)
{
	struct os_stat st;

	TRY_PLAIN(os_stat(call, p->path, &st));
	TRY_PLAIN(os_file_open(call, p->path, OS_FILE_READ, ret));
	p->stored_unix_ns = st.mtime_unix_ns;
	p->header_at = 0;
	p->data_at = GO_HEADER_BYTES;
	p->size = st.size < GO_HEADER_BYTES ? 0 : st.size - GO_HEADER_BYTES;
	return OK;
}

static enum err take_blob(struct call *call, struct import *im, struct import_piece *p)
{
	AUTO(os_file_auto) struct os_file *file = NULL;
	bool safe = false;

	TRY_PLAIN(import_present(call, im, p, &safe));
	if (!safe) {
		/* What cannot be opened is as good as missing: it is told, and looked into. */
		if (open_blob(call, p, &file))
			call_clear_error(call);
		p->file = file;
		TRY_PLAIN(import_take(call, im, p, &safe));
	}
	return safe ? import_obsolete(call, im, p->path) : OK;
}

enum err import_one_blob(struct call *call, struct import *im, const struct node_id *satellite,
			 const struct piece_id *piece, bool *ret_found)
{
	struct import_piece p = { .satellite = *satellite, .piece = *piece };
	AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX), name = BUF_INIT(PATH_BYTES_MAX);
	struct os_stat st;

	buf_printf(&path, "%s/blobs/", im->config->from);
	text_base32_lower(&path, node_id_bytes(satellite));
	text_base32_lower(&name, BYTES_OF(piece->b));
	buf_printf(&path, "/%.*s/%s.sj1", GO_BLOB_PREFIX, buf_cstr(&name),
		   buf_cstr(&name) + GO_BLOB_PREFIX);
	TRY(buf_status(&path), "path of a blob");
	p.path = buf_cstr(&path);
	*ret_found = os_stat(call, p.path, &st) == OK;
	call_clear_error(call);
	return *ret_found ? take_blob(call, im, &p) : OK;
}

/* What is no blob of today.  Pieces of before 2019 (FormatV0: no suffix, no header) are counted. */
static void pass_over(struct call *call, struct import *im, struct import_piece *p,
		      const char *path, const char *prefix, const char *name)
{
	struct os_stat st;

	if (!go_headless_blob_name(bytes_str(prefix), bytes_str(name), &p->piece) ||
	    os_stat(call, path, &st)) {
		call_clear_error(call);
		log_info("passed over: no piece", F_STR("file", path));
		return;
	}
	im->figures.headless++;
	im->figures.headless_bytes += st.size;
	log_debug("passed over: a piece of before 2019", F_STR("file", path));
}

/* The blobs of one directory; p says whose they are. */
static enum err take_directory(struct call *call, struct import *im, const char *dir,
			       const char *prefix, const struct import_piece *of)
{
	AUTO_CALL struct call own = CALL_INIT;
	const char **names = NULL;
	size_t count = 0;

	call_init_child(&own, call);
	enum err e = os_dir_list(&own, &own.scratch, dir, &names, &count);
	for (size_t i = 0; !e && i < count; i++) {
		struct import_piece p = *of;
		if (!go_blob_name(bytes_str(prefix), bytes_str(names[i]), &p.piece)) {
			pass_over(&own, im, &p, os_path_join(&own, dir, names[i]), prefix,
				  names[i]);
			continue;
		}
		p.path = os_path_join(&own, dir, names[i]);
		e = take_blob(&own, im, &p);
	}
	if (e)
		call_copy_error(call, &own);
	return e;
}

/* The directories of blobs below dir. */
static enum err take_tree(struct call *call, struct import *im, const char *dir,
			  struct import_piece *of)
{
	const char **names = NULL;
	size_t count = 0;

	TRY_PLAIN(import_list(call, &call->scratch, dir, &names, &count));
	for (size_t i = 0; i < count; i++)
		if (strlen(names[i]) == GO_BLOB_PREFIX)
			TRY_PLAIN(take_directory(call, im, os_path_join(call, dir, names[i]),
						 names[i], of));
	return OK;
}

/* ---- satellites ---- */

typedef enum err take_satellite(struct call *call, struct import *im, const char *dir,
				struct import_piece *of);

static enum err each_satellite(struct call *call, struct import *im, const char *dir,
			       take_satellite *fn)
{
	const char **names = NULL;
	size_t count = 0;

	TRY_PLAIN(import_list(call, &call->scratch, dir, &names, &count));
	for (size_t i = 0; i < count; i++) {
		AUTO_CALL struct call own = CALL_INIT;
		struct import_piece of = { 0 };
		if (!go_blob_satellite(bytes_str(names[i]), &of.satellite))
			continue;
		call_init_child(&own, call);
		enum err e = fn(&own, im, os_path_join(&own, dir, names[i]), &of);
		if (!e)
			e = import_flush(&own, im, dir);
		if (e) {
			call_copy_error(call, &own);
			return e;
		}
	}
	return OK;
}

enum err import_blobs(struct call *call, struct import *im)
{
	const char *dir = os_path_join(call, im->config->from, "blobs");

	return each_satellite(call, im, dir, take_tree);
}

/* By the day on which they were put there. */
static enum err take_days(struct call *call, struct import *im, const char *dir,
			  struct import_piece *of)
{
	const char **names = NULL;
	size_t count = 0;

	TRY_PLAIN(import_list(call, &call->scratch, dir, &names, &count));
	for (size_t i = 0; i < count; i++) {
		if (text_time(bytes_str(names[i]), &of->trashed_unix_ns))
			continue; /* Storj's node sorts such heaps into days when it starts */
		TRY_PLAIN(take_tree(call, im, os_path_join(call, dir, names[i]), of));
	}
	return OK;
}

enum err import_trash(struct call *call, struct import *im)
{
	return each_satellite(call, im, os_path_join(call, im->config->from, "trash"), take_days);
}
