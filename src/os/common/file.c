/* Whole files and paths, on top of either body. */
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

enum err os_file_read_all(struct call *call, const char *path, struct buf *b)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	uint64_t size;
	size_t n;

	TRY_PLAIN(os_file_open(call, path, OS_FILE_READ, &f));
	TRY_PLAIN(os_file_size(call, f, &size));
	if (size > b->max - b->len)
		return call_fail(call, ERR_OUT_OF_RANGE, "%s is larger than expected (%llu bytes)",
				 path, (unsigned long long)size);
	if (!buf_reserve(b, (size_t)size))
		return call_fail(call, ERR_NO_MEMORY, "out of memory for %s", path);
	if (size) {
		TRY_PLAIN(os_file_read_at(call, f, b->data + b->len, (size_t)size, 0, &n));
		b->len += n;
	}
	return OK;
}

enum err os_file_write_all(struct call *call, const char *path, struct bytes content, bool secret)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	const char *tmp = arena_printf(&call->scratch, "%s.tmp", path);
	unsigned flags = OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_EXCLUSIVE;

	if (!tmp)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	/* A file left by a killed predecessor; made anew so that its mode is ours. */
	enum err gone = os_unlink(call, tmp);
	if (gone && gone != ERR_NOT_FOUND)
		return gone;
	call_clear_error(call);
	TRY_PLAIN(os_file_open(call, tmp, flags | (secret ? OS_FILE_SECRET : 0), &f));
	TRY_PLAIN(os_file_write_at(call, f, &content, 1, 0));
	TRY_PLAIN(os_file_sync(call, f));
	TRY_PLAIN(os_rename(call, tmp, path));
	return os_dir_sync(call, os_path_dir(call, path));
}

const char *os_path_join(struct call *call, const char *dir, const char *name)
{
	const char *joined = arena_printf(&call->scratch, "%s/%s", dir, name);

	return joined ? joined : "";
}

const char *os_path_dir(struct call *call, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return ".";
	if (slash == path)
		return "/";
	const char *dir = arena_str(&call->scratch, BYTES(path, (size_t)(slash - path)));
	return dir ? dir : ".";
}

enum err os_exists(struct call *call, const char *path, bool *ret)
{
	struct os_stat st;
	enum err e = os_stat(call, path, &st);

	if (e && e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	*ret = !e;
	return OK;
}

void *os_file_buffer(size_t size)
{
	return aligned_alloc(OS_FILE_BLOCK, round_up(size, OS_FILE_BLOCK));
}

/* ---- runs ---- */

void os_run_begin(struct os_run *run, struct os_file *file, uint64_t offset, uint8_t *buffer,
		  size_t cap)
{
	size_t into = (size_t)(offset % OS_FILE_BLOCK);

	*run = (struct os_run){ .file = file,
				.buffer = buffer,
				.cap = cap,
				.base = offset - into,
				.from = into,
				.len = into };
}

/* Bytes [from, to) of the buffer, through to the file. */
static enum err write_span(struct call *call, struct os_run *run, size_t to)
{
	struct bytes part = BYTES(run->buffer + run->from, to - run->from);

	if (!part.len)
		return OK;
	uint64_t at = run->base + run->from;
	TRY_PLAIN(run->cached ? os_file_write_cached_at(call, run->file, &part, 1, at)
			      : os_file_write_at(call, run->file, &part, 1, at));
	run->from = to;
	return OK;
}

/* A broken block in front and one at the end go on their own, so that the rest is whole blocks. */
enum err os_run_flush(struct call *call, struct os_run *run)
{
	size_t whole_from = round_up(run->from, OS_FILE_BLOCK);
	size_t whole_to = run->len - run->len % OS_FILE_BLOCK;

	if (whole_from < whole_to) {
		TRY_PLAIN(write_span(call, run, whole_from));
		TRY_PLAIN(write_span(call, run, whole_to));
	}
	TRY_PLAIN(write_span(call, run, run->len));
	if (run->len < run->cap)
		return OK;
	run->base += run->cap;
	run->from = run->len = 0;
	return OK;
}

enum err os_run_add(struct call *call, struct os_run *run, const struct bytes *parts,
		    size_t parts_count)
{
	for (size_t i = 0; i < parts_count; i++) {
		struct bytes part = parts[i];
		while (part.len) {
			size_t n = MIN(part.len, run->cap - run->len);
			memcpy(run->buffer + run->len, part.data, n);
			run->len += n;
			part = bytes_from(part, n);
			if (run->len == run->cap)
				TRY_PLAIN(os_run_flush(call, run));
		}
	}
	return OK;
}
