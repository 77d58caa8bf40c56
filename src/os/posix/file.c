/* Files over the kernel's. */
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/posix/wait.h"

enum { WRITE_PARTS_MAX = 64 };

struct os_file {
	int fd;
	int bulk_fd; /* the same file past the page cache; -1 if that cannot be had */
	char *path;
};

static enum err file_error(struct call *call, int error, const char *what, const char *path)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return call_fail(call, ERR_NOT_FOUND, "%s %s: no such file or directory", what,
				 path);
	case EEXIST:
	case ENOTEMPTY:
		return call_fail(call, ERR_EXISTS, "%s %s: %s", what, path, strerror(error));
	case EACCES:
	case EPERM:
	case EROFS:
		return call_fail(call, ERR_PERMISSION, "%s %s: %s", what, path, strerror(error));
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return call_fail(call, ERR_NO_SPACE, "%s %s: %s (free some space and try again)",
				 what, path, strerror(error));
	case EMFILE:
	case ENFILE:
		return call_fail(call, ERR_EXHAUSTED,
				 "%s %s: too many open files (raise the limit with ulimit -n)",
				 what, path);
	case EPIPE:
		return call_fail(call, ERR_CLOSED, "%s %s: the reader has gone", what, path);
	default:
		return call_fail(call, ERR_IO, "%s %s: %s", what, path, strerror(error));
	}
}

/* -1 when the file system cannot do it (EINVAL) or the name means another file by now. */
static int open_bulk(int fd, const char *path, unsigned flags)
{
	int bulk = open(path, O_CLOEXEC | O_DIRECT | (flags & OS_FILE_WRITE ? O_RDWR : O_RDONLY));
	struct stat a, b;

	if (bulk < 0)
		return -1;
	if (!fstat(fd, &a) && !fstat(bulk, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
	    S_ISREG(a.st_mode))
		return bulk;
	close(bulk);
	return -1;
}

enum err os_file_open(struct call *call, const char *path, unsigned flags, struct os_file **ret)
{
	int mode = O_CLOEXEC | (flags & OS_FILE_WRITE ? O_RDWR : O_RDONLY) |
		   (flags & OS_FILE_CREATE ? O_CREAT : 0) |
		   (flags & OS_FILE_EXCLUSIVE ? O_EXCL : 0) |
		   (flags & OS_FILE_TRUNCATE ? O_TRUNC : 0);
	AUTO_FREE struct os_file *f = calloc(1, sizeof(*f));

	if (!f || !(f->path = strdup(path)))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	do {
		f->fd = open(path, mode, flags & OS_FILE_SECRET ? 0600 : 0644);
	} while (f->fd < 0 && errno == EINTR);
	if (f->fd < 0 && errno == EACCES && (flags & OS_FILE_WRITE) &&
	    !(flags & OS_FILE_EXCLUSIVE)) {
		/* Write-only targets such as /dev/full or a fifo without read permission. */
		f->fd = open(path, (mode & ~O_ACCMODE) | O_WRONLY, 0644);
	}
	if (f->fd < 0) {
		int error = errno;
		free(f->path);
		return file_error(call, error, "open", path);
	}
	f->bulk_fd = flags & OS_FILE_BULK ? open_bulk(f->fd, path, flags) : -1;
	*ret = take(&f);
	return OK;
}

void os_file_close(struct os_file *f)
{
	if (!f)
		return;
	close(f->fd);
	if (f->bulk_fd >= 0)
		close(f->bulk_fd);
	free(f->path);
	free(f);
}

/* The descriptor for a transfer: past the page cache needs whole blocks of file and memory. */
static int fd_for(const struct os_file *f, const void *memory, size_t len, uint64_t offset)
{
	bool whole = ((uintptr_t)memory | len | offset) % OS_FILE_BLOCK == 0;

	return f->bulk_fd >= 0 && whole ? f->bulk_fd : f->fd;
}

enum err os_file_read_at(struct call *call, struct os_file *f, void *buf, size_t cap,
			 uint64_t offset, size_t *ret_n)
{
	size_t done = 0;

	if (offset > INT64_MAX || cap > INT64_MAX - offset)
		return call_fail(call, ERR_OUT_OF_RANGE, "read %s: offset too large", f->path);
	while (done < cap) {
		uint8_t *at = (uint8_t *)buf + done;
		int fd = fd_for(f, at, cap - done, offset + done);
		ssize_t n = pread(fd, at, cap - done, (off_t)(offset + done));
		/* A disk with larger blocks than ours. */
		if (n < 0 && errno == EINVAL && fd != f->fd)
			n = pread(f->fd, at, cap - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_error(call, errno, "read", f->path);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_n = done;
	return OK;
}

static enum err write_at(struct call *call, struct os_file *f, const struct bytes *parts,
			 size_t parts_count, uint64_t offset, bool cached)
{
	size_t i = 0, skip = 0;

	while (i < parts_count) {
		struct iovec iov[WRITE_PARTS_MAX];
		int n_iov = 0;
		for (size_t j = i; j < parts_count && n_iov < WRITE_PARTS_MAX; j++) {
			size_t from = j == i ? skip : 0;
			iov[n_iov++] = (struct iovec){ (void *)(uintptr_t)(parts[j].data + from),
						       parts[j].len - from };
		}
		int fd = n_iov == 1 && !cached ? fd_for(f, iov[0].iov_base, iov[0].iov_len, offset)
					       : f->fd;
		ssize_t n = pwritev(fd, iov, n_iov, (off_t)offset);
		if (n < 0 && errno == EINVAL && fd != f->fd)
			n = pwritev(f->fd, iov, n_iov, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_error(call, errno, "write", f->path);
		offset += (uint64_t)n;
		size_t left = (size_t)n;
		while (i < parts_count && left >= parts[i].len - skip) {
			left -= parts[i].len - skip;
			skip = 0;
			i++;
		}
		skip += left;
	}
	return OK;
}

enum err os_file_write_at(struct call *call, struct os_file *f, const struct bytes *parts,
			  size_t parts_count, uint64_t offset)
{
	return write_at(call, f, parts, parts_count, offset, false);
}

enum err os_file_write_cached_at(struct call *call, struct os_file *f, const struct bytes *parts,
				 size_t parts_count, uint64_t offset)
{
	return write_at(call, f, parts, parts_count, offset, true);
}

enum err os_file_read(struct call *call, struct os_file *f, void *buf, size_t cap, size_t *ret_n)
{
	for (;;) {
		enum err e = posix_wait(call, f->fd, POLLIN, NULL);
		if (e)
			return call_fail(call, e, "%s while reading %s", err_text(e), f->path);
		ssize_t n = read(f->fd, buf, cap);
		if (n >= 0) {
			*ret_n = (size_t)n;
			return OK;
		}
		if (errno != EINTR && errno != EAGAIN)
			return file_error(call, errno, "read", f->path);
	}
}

enum err os_file_write(struct call *call, struct os_file *f, struct bytes data)
{
	while (data.len) {
		enum err e = posix_wait(call, f->fd, POLLOUT, NULL);
		if (e)
			return call_fail(call, e, "%s while writing %s", err_text(e), f->path);
		ssize_t n = write(f->fd, data.data, data.len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return file_error(call, errno, "write", f->path);
		if (n > 0)
			data = bytes_from(data, (size_t)n);
	}
	return OK;
}

enum err os_file_sync(struct call *call, struct os_file *f)
{
	if (fdatasync(f->fd))
		return file_error(call, errno, "sync", f->path);
	return OK;
}

enum err os_file_size(struct call *call, struct os_file *f, uint64_t *ret)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return file_error(call, errno, "stat", f->path);
	*ret = (uint64_t)st.st_size;
	return OK;
}

enum err os_file_truncate(struct call *call, struct os_file *f, uint64_t size)
{
	if (ftruncate(f->fd, (off_t)size))
		return file_error(call, errno, "truncate", f->path);
	return OK;
}

enum err os_file_reserve(struct call *call, struct os_file *f, uint64_t size)
{
	if (size && fallocate(f->fd, 0, 0, (off_t)size) && errno != EOPNOTSUPP && errno != ENOSYS)
		return file_error(call, errno, "make room in", f->path);
	return OK;
}

enum err os_file_lock(struct call *call, struct os_file *f)
{
	if (flock(f->fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	if (errno == EWOULDBLOCK)
		return call_fail(call, ERR_BUSY, "%s is in use by another process", f->path);
	return file_error(call, errno, "lock", f->path);
}

static struct os_file standard[3] = {
	{ 0, -1, (char *)(uintptr_t) "standard input" },
	{ 1, -1, (char *)(uintptr_t) "standard output" },
	{ 2, -1, (char *)(uintptr_t) "standard error" },
};

struct os_file *os_stdin(void)
{
	return &standard[0];
}

struct os_file *os_stdout(void)
{
	return &standard[1];
}

struct os_file *os_stderr(void)
{
	return &standard[2];
}

enum err os_stat(struct call *call, const char *path, struct os_stat *ret)
{
	struct stat st;

	if (stat(path, &st))
		return file_error(call, errno, "stat", path);
	*ret = (struct os_stat){
		.size = (uint64_t)st.st_size,
		.mtime_unix_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec,
		.changed_unix_ns = st.st_ctim.tv_sec * NS_PER_SEC + st.st_ctim.tv_nsec,
		.is_dir = S_ISDIR(st.st_mode),
		.is_regular = S_ISREG(st.st_mode),
		.is_private = (st.st_mode & (S_IRWXG | S_IRWXO)) == 0,
	};
	return OK;
}

enum err os_rename(struct call *call, const char *from, const char *to)
{
	if (rename(from, to))
		return file_error(call, errno, "rename", from);
	return OK;
}

enum err os_unlink(struct call *call, const char *path)
{
	if (unlink(path))
		return file_error(call, errno, "remove", path);
	return OK;
}

enum err os_dir_make(struct call *call, const char *path, bool parents)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return OK;
	if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return OK;
	if (errno == ENOENT && parents) {
		const char *parent = os_path_dir(call, path);
		if (strcmp(parent, path) != 0) {
			TRY_PLAIN(os_dir_make(call, parent, true));
			return os_dir_make(call, path, false);
		}
	}
	return file_error(call, errno, "make directory", path);
}

enum err os_dir_remove(struct call *call, const char *path)
{
	if (rmdir(path))
		return file_error(call, errno, "remove directory", path);
	return OK;
}

enum err os_dir_sync(struct call *call, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return file_error(call, errno, "open", path);
	int r = fsync(fd), error = errno;
	close(fd);
	if (r)
		return file_error(call, error, "sync", path);
	return OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum err os_dir_list(struct call *call, struct arena *a, const char *path, const char ***ret_names,
		     size_t *ret_count)
{
	DIR *dir = opendir(path);
	const char **names = NULL;
	size_t count = 0, cap = 0;

	if (!dir)
		return file_error(call, errno, "list", path);
	for (struct dirent *d; (d = readdir(dir));) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (count == cap) {
			size_t more = cap ? cap * 2 : 64;
			const char **grown = arena_array(a, more, sizeof(*grown));
			if (!grown)
				break;
			if (count)
				memcpy(grown, names, count * sizeof(*grown));
			names = grown;
			cap = more;
		}
		names[count] = arena_str(a, bytes_str(d->d_name));
		if (!names[count])
			break;
		count++;
	}
	closedir(dir);
	if (cap && count == cap && !names[count - 1])
		return call_fail(call, ERR_NO_MEMORY, "list %s: too many entries", path);
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return OK;
}

enum err os_space(struct call *call, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
	struct statvfs st;

	if (statvfs(path, &st))
		return file_error(call, errno, "stat file system of", path);
	*ret_free = (uint64_t)st.f_bavail * st.f_frsize;
	*ret_total = (uint64_t)st.f_blocks * st.f_frsize;
	return OK;
}
