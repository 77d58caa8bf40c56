/*
 * Files and directories.  Paths are UTF-8 C strings.  Errors name the path and what the user can
 * do: ERR_NOT_FOUND, ERR_EXISTS, ERR_PERMISSION, ERR_NO_SPACE, ERR_IO.
 */
#ifndef ACRE_OS_FILE_H
#define ACRE_OS_FILE_H

#include "base/bytes.h"
#include "base/call.h"

struct os_file;

enum {
	OS_FILE_READ = 0,      /* must exist */
	OS_FILE_WRITE = 1,     /* read and write; must exist unless CREATE */
	OS_FILE_CREATE = 2,    /* made if absent */
	OS_FILE_EXCLUSIVE = 4, /* with CREATE: ERR_EXISTS if present */
	OS_FILE_TRUNCATE = 8,
	OS_FILE_SECRET = 16, /* with CREATE: mode 0600 instead of 0644 */
	/* For bulk that will not be read again soon: what is read or written at whole blocks of
	 * OS_FILE_BLOCK (offset, length and memory) goes past the page cache where the file system
	 * can do that.  Filling the cache costs several times what the disk's own copy does. */
	OS_FILE_BULK = 32,
};
enum { OS_FILE_BLOCK = 4096 };

enum err os_file_open(struct call *call, const char *path, unsigned flags,
		      struct os_file **ret) MUST_USE;
/* Closes without syncing; NULL is fine. */
void os_file_close(struct os_file *f);
/* Fewer than cap bytes only at the end of the file; *ret_n may be 0. */
enum err os_file_read_at(struct call *call, struct os_file *f, void *buf, size_t cap,
			 uint64_t offset, size_t *ret_n) MUST_USE;
/* All parts, in order, or an error (then an unknown part was written). */
enum err os_file_write_at(struct call *call, struct os_file *f, const struct bytes *parts,
			  size_t parts_count, uint64_t offset) MUST_USE;
/* The same through the page cache, a bulk file's too. */
enum err os_file_write_cached_at(struct call *call, struct os_file *f, const struct bytes *parts,
				 size_t parts_count, uint64_t offset) MUST_USE;
/* Memory for whole blocks, to be freed with free(); NULL without memory. */
void *os_file_buffer(size_t size);

/* A run of bytes written in order through one buffer, so that a bulk file gets whole blocks. */
struct os_run {
	struct os_file *file; /* borrowed */
	uint8_t *buffer;      /* borrowed, from os_file_buffer */
	size_t cap;	      /* of it, whole blocks */
	uint64_t base;	      /* where in the file the buffer begins: whole blocks */
	size_t from, len;     /* bytes [from, len) of the buffer are not written yet */
	bool cached;	      /* may be set: what is written goes through the page cache */
};
void os_run_begin(struct os_run *run, struct os_file *file, uint64_t offset, uint8_t *buffer,
		  size_t cap);
/* Takes all parts; writes when the buffer is full.  After a failure an unknown part is written. */
enum err os_run_add(struct call *call, struct os_run *run, const struct bytes *parts,
		    size_t parts_count) MUST_USE;
/* Writes what is left.  The run can go on afterwards. */
enum err os_run_flush(struct call *call, struct os_run *run) MUST_USE;

/* Sequential forms, for pipes and standard input and output.  Read returns what is there,
 * *ret_n == 0 only at the end. */
enum err os_file_read(struct call *call, struct os_file *f, void *buf, size_t cap,
		      size_t *ret_n) MUST_USE;
enum err os_file_write(struct call *call, struct os_file *f, struct bytes data) MUST_USE;
/* Content survives a power cut afterwards (fdatasync). */
enum err os_file_sync(struct call *call, struct os_file *f) MUST_USE;
enum err os_file_size(struct call *call, struct os_file *f, uint64_t *ret) MUST_USE;
enum err os_file_truncate(struct call *call, struct os_file *f, uint64_t size) MUST_USE;
/* Grows it to `size` and finds the room for all of it now, so that several writes within it can be
 * under way at once.  ERR_NO_SPACE; where the file system cannot, nothing happens. */
enum err os_file_reserve(struct call *call, struct os_file *f, uint64_t size) MUST_USE;
/* Exclusive advisory lock of the whole file, without waiting: ERR_BUSY when another process has it.
 */
enum err os_file_lock(struct call *call, struct os_file *f) MUST_USE;
/* Borrowed; never close them. */
struct os_file *os_stdin(void);
struct os_file *os_stdout(void);
struct os_file *os_stderr(void);

struct os_stat {
	uint64_t size;
	int64_t mtime_unix_ns;
	int64_t changed_unix_ns; /* content or attributes; nobody can set it back */
	bool is_dir;
	bool is_regular;
	bool is_private; /* nobody but its owner may read or write it */
};
/* Follows symbolic links. */
enum err os_stat(struct call *call, const char *path, struct os_stat *ret) MUST_USE;
/* Whether there is anything of that name; only what cannot be told is an error. */
enum err os_exists(struct call *call, const char *path, bool *ret) MUST_USE;
enum err os_rename(struct call *call, const char *from, const char *to) MUST_USE;
enum err os_unlink(struct call *call, const char *path) MUST_USE;
/* One directory with mode 0700 (parents too when asked); fine if it exists. */
enum err os_dir_make(struct call *call, const char *path, bool parents) MUST_USE;
enum err os_dir_remove(struct call *call, const char *path) MUST_USE;
/* Makes the directory's entries survive a power cut. */
enum err os_dir_sync(struct call *call, const char *path) MUST_USE;
/* Names in the directory, sorted bytewise, without "." and ".."; the array belongs to a. */
enum err os_dir_list(struct call *call, struct arena *a, const char *path, const char ***ret_names,
		     size_t *ret_count) MUST_USE;
/* Free (for this user) and total bytes of the file system that holds path. */
enum err os_space(struct call *call, const char *path, uint64_t *ret_free,
		  uint64_t *ret_total) MUST_USE;

/* Whole files.  read: ERR_OUT_OF_RANGE above b->max.  write: to a temporary name, synced, renamed,
 * directory synced: afterwards either the old or the new content is there, whole. */
enum err os_file_read_all(struct call *call, const char *path, struct buf *b) MUST_USE;
enum err os_file_write_all(struct call *call, const char *path, struct bytes content,
			   bool secret) MUST_USE;
/* dir + "/" + name in the call's scratch. */
const char *os_path_join(struct call *call, const char *dir, const char *name);
/* The directory part of path ("." if none), in the call's scratch. */
const char *os_path_dir(struct call *call, const char *path);

#endif
