/* A disk in memory.  Nothing here waits, so SQLite may call it under its own locks. */
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "sim/world_internal.h"

enum { FILES_MAX = 4096, FILE_BYTES_MAX = 1 << 30 };

struct inode {
	unsigned links; /* names and open files */
	bool is_dir;
	uint8_t *data;
	size_t len, cap;
	int64_t mtime_ns;
	struct os_file *lock;
};

struct os_file {
	struct inode *inode;
	uint64_t at;
	bool writable;
	char path[1];
};

static struct {
	char *path;
	struct inode *inode;
} names[FILES_MAX];
static size_t names_count;

static void inode_drop(struct inode *i)
{
	if (--i->links)
		return;
	free(i->data);
	free(i);
}

void sim_files_reset(void)
{
	for (size_t i = 0; i < names_count; i++) {
		free(names[i].path);
		inode_drop(names[i].inode);
	}
	names_count = 0;
}

static int find(const char *path)
{
	for (size_t i = 0; i < names_count; i++)
		if (strcmp(names[i].path, path) == 0)
			return (int)i;
	return -1;
}

static enum err absent(struct call *call, const char *what, const char *path)
{
	return call_fail(call, ERR_NOT_FOUND, "%s %s: no such file or directory", what, path);
}

static struct inode *inode_add(const char *path, bool is_dir)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (!i || names_count == FILES_MAX)
		sim_bug("too many files");
	i->links = 1;
	i->is_dir = is_dir;
	i->mtime_ns = os_clock_unix_ns();
	names[names_count].path = strdup(path);
	names[names_count++].inode = i;
	return i;
}

static void name_remove(int at)
{
	struct inode *i = names[at].inode;

	free(names[at].path);
	names_count--;
	memmove(&names[at], &names[at + 1], (names_count - (size_t)at) * sizeof(names[0]));
	inode_drop(i);
}

enum err os_file_open(struct call *call, const char *path, unsigned flags, struct os_file **ret)
{
	int at = find(path);

	if (at >= 0 && (flags & OS_FILE_EXCLUSIVE))
		return call_fail(call, ERR_EXISTS, "open %s: File exists", path);
	if (at < 0 && !(flags & OS_FILE_CREATE))
		return absent(call, "open", path);
	struct inode *i = at >= 0 ? names[at].inode : inode_add(path, false);
	if (i->is_dir && (flags & OS_FILE_WRITE))
		return call_fail(call, ERR_IO, "open %s: Is a directory", path);
	if (flags & OS_FILE_TRUNCATE)
		i->len = 0;
	struct os_file *f = calloc(1, sizeof(*f) + strlen(path));
	if (!f)
		sim_bug("out of memory");
	f->inode = i;
	f->writable = flags & OS_FILE_WRITE;
	memcpy(f->path, path, strlen(path) + 1);
	i->links++;
	*ret = f;
	return OK;
}

void os_file_close(struct os_file *f)
{
	if (!f)
		return;
	if (f->inode->lock == f)
		f->inode->lock = NULL;
	inode_drop(f->inode);
	free(f);
}

enum err os_file_read_at(struct call *call, struct os_file *f, void *buf, size_t cap,
			 uint64_t offset, size_t *ret_n)
{
	struct inode *i = f->inode;
	size_t n = offset >= i->len ? 0 : MIN(cap, i->len - (size_t)offset);

	if (n)
		memcpy(buf, i->data + offset, n);
	*ret_n = n;
	return OK;
}

static enum err resize(struct call *call, struct os_file *f, uint64_t size)
{
	struct inode *i = f->inode;

	if (size > FILE_BYTES_MAX)
		return call_fail(call, ERR_NO_SPACE, "write %s: no space left", f->path);
	if (size > i->cap) {
		size_t cap = MAX((size_t)size, i->cap * 2);
		uint8_t *data = realloc(i->data, cap);
		if (!data)
			sim_bug("out of memory");
		i->data = data;
		i->cap = cap;
	}
	if (size > i->len)
		memset(i->data + i->len, 0, (size_t)size - i->len);
	i->len = (size_t)size;
	i->mtime_ns = os_clock_unix_ns();
	return OK;
}

enum err os_file_write_at(struct call *call, struct os_file *f, const struct bytes *parts,
			  size_t parts_count, uint64_t offset)
{
	if (!f->writable)
		return call_fail(call, ERR_PERMISSION, "write %s: read only", f->path);
	for (size_t i = 0; i < parts_count; i++) {
		if (parts[i].len == 0)
			continue;
		if (offset + parts[i].len > f->inode->len)
			TRY_PLAIN(resize(call, f, offset + parts[i].len));
		memcpy(f->inode->data + offset, parts[i].data, parts[i].len);
		sim_trace(SIM_FILE_WRITE, offset, parts[i]);
		offset += parts[i].len;
	}
	return OK;
}

enum err os_file_write_cached_at(struct call *call, struct os_file *f, const struct bytes *parts,
				 size_t parts_count, uint64_t offset)
{
	return os_file_write_at(call, f, parts, parts_count, offset);
}

enum err os_file_read(struct call *call, struct os_file *f, void *buf, size_t cap, size_t *ret_n)
{
	TRY_PLAIN(os_file_read_at(call, f, buf, cap, f->at, ret_n));
	f->at += *ret_n;
	return OK;
}

enum err os_file_write(struct call *call, struct os_file *f, struct bytes data)
{
	TRY_PLAIN(os_file_write_at(call, f, &data, 1, f->at));
	f->at += data.len;
	return OK;
}

enum err os_file_sync(struct call *call, struct os_file *f)
{
	sim_trace(SIM_FILE_SYNC, f->inode->len, BYTES_NONE);
	return OK;
}

enum err os_file_size(struct call *call, struct os_file *f, uint64_t *ret)
{
	*ret = f->inode->len;
	return OK;
}

enum err os_file_truncate(struct call *call, struct os_file *f, uint64_t size)
{
	return resize(call, f, size);
}

enum err os_file_reserve(struct call *call, struct os_file *f, uint64_t size)
{
	return size > f->inode->len ? resize(call, f, size) : OK;
}

enum err os_file_lock(struct call *call, struct os_file *f)
{
	if (f->inode->lock && f->inode->lock != f)
		return call_fail(call, ERR_BUSY, "%s is in use by another process", f->path);
	f->inode->lock = f;
	return OK;
}

static struct os_file *standard_file(void)
{
	sim_bug("the simulated world has no standard streams");
}

struct os_file *os_stdin(void)
{
	return standard_file();
}

struct os_file *os_stdout(void)
{
	return standard_file();
}

struct os_file *os_stderr(void)
{
	return standard_file();
}

enum err os_stat(struct call *call, const char *path, struct os_stat *ret)
{
	int at = find(path);

	if (at < 0)
		return absent(call, "stat", path);
	const struct inode *i = names[at].inode;
	*ret = (struct os_stat){ .size = i->len,
				 .mtime_unix_ns = i->mtime_ns,
				 .changed_unix_ns = i->mtime_ns,
				 .is_dir = i->is_dir,
				 .is_regular = !i->is_dir,
				 .is_private = true };
	return OK;
}

enum err os_rename(struct call *call, const char *from, const char *to)
{
	int at = find(from), target = find(to);

	if (at < 0)
		return absent(call, "rename", from);
	if (target >= 0 && target != at) {
		name_remove(target);
		at = find(from);
	}
	free(names[at].path);
	names[at].path = strdup(to);
	return OK;
}

enum err os_unlink(struct call *call, const char *path)
{
	int at = find(path);

	if (at < 0)
		return absent(call, "remove", path);
	name_remove(at);
	return OK;
}

enum err os_dir_make(struct call *call, const char *path, bool parents)
{
	if (find(path) < 0)
		inode_add(path, true);
	return OK;
}

enum err os_dir_remove(struct call *call, const char *path)
{
	return os_unlink(call, path);
}

enum err os_dir_sync(struct call *call, const char *path)
{
	return OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum err os_dir_list(struct call *call, struct arena *a, const char *path, const char ***ret_names,
		     size_t *ret_count)
{
	const char **list = arena_array(a, names_count + 1, sizeof(*list));
	size_t n = 0, len = strlen(path);

	if (!list || find(path) < 0)
		return absent(call, "list", path);
	for (size_t i = 0; i < names_count; i++) {
		const char *p = names[i].path;
		if (strncmp(p, path, len) == 0 && p[len] == '/' && !strchr(p + len + 1, '/'))
			list[n++] = arena_str(a, bytes_str(p + len + 1));
	}
	qsort(list, n, sizeof(*list), compare_names);
	*ret_names = list;
	*ret_count = n;
	return OK;
}

enum err os_space(struct call *call, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
	*ret_free = UINT64_C(1) << 40;
	*ret_total = UINT64_C(1) << 41;
	return OK;
}
