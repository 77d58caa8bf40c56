/*
 * SQLite's files over os/file.h, for the simulated world (DESIGN 4.3): nothing in here waits, time
 * and randomness come from os/.  One connection has the database to itself, so the write-ahead log
 * needs no shared memory; temporary files stay in memory (temp_store, set by every connection).
 */
#include <sqlite3.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "db/db_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/random.h"

enum { VFS_PATH_MAX = 1024, SECTOR_BYTES = 4096 };

/* Julian day of 1970-01-01, in milliseconds. */
#define UNIX_EPOCH_JULIAN_MS INT64_C(210866760000000)

struct vfs_file {
	sqlite3_file base;
	struct os_file *file;
	int lock_level;
	bool locked;   /* with os_file_lock, until closed */
	bool sync_dir; /* new: its name must survive, too */
	char path[VFS_PATH_MAX + 1];
};

static struct vfs_file *file_of(sqlite3_file *f)
{
	return (struct vfs_file *)(void *)f;
}

static int code_of(enum err e, int otherwise)
{
	switch (e) {
	case OK:
		return SQLITE_OK;
	case ERR_NO_SPACE:
		return SQLITE_FULL;
	case ERR_NO_MEMORY:
		return SQLITE_NOMEM;
	case ERR_PERMISSION:
		return SQLITE_PERM;
	default:
		return otherwise;
	}
}

static int vfs_close(sqlite3_file *f)
{
	struct vfs_file *v = file_of(f);

	os_file_close(v->file);
	v->file = NULL;
	return SQLITE_OK;
}

static int vfs_read(sqlite3_file *f, void *buf, int amount, sqlite3_int64 offset)
{
	AUTO_CALL struct call call = CALL_INIT;
	size_t n = 0;

	call_init(&call);
	enum err e = os_file_read_at(&call, file_of(f)->file, buf, (size_t)amount, (uint64_t)offset,
				     &n);
	if (e)
		return code_of(e, SQLITE_IOERR_READ);
	if (n < (size_t)amount) {
		memset((uint8_t *)buf + n, 0, (size_t)amount - n);
		return SQLITE_IOERR_SHORT_READ;
	}
	return SQLITE_OK;
}

static int vfs_write(sqlite3_file *f, const void *data, int amount, sqlite3_int64 offset)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct bytes part = BYTES(data, (size_t)amount);

	call_init(&call);
	return code_of(os_file_write_at(&call, file_of(f)->file, &part, 1, (uint64_t)offset),
		       SQLITE_IOERR_WRITE);
}

static int vfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	return code_of(os_file_truncate(&call, file_of(f)->file, (uint64_t)size),
		       SQLITE_IOERR_TRUNCATE);
}

static int vfs_sync(sqlite3_file *f, int flags)
{
	struct vfs_file *v = file_of(f);
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	enum err e = os_file_sync(&call, v->file);
	if (!e && v->sync_dir) {
		e = os_dir_sync(&call, os_path_dir(&call, v->path));
		v->sync_dir = e != OK;
	}
	return code_of(e, SQLITE_IOERR_FSYNC);
}

static int vfs_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	AUTO_CALL struct call call = CALL_INIT;
	uint64_t size = 0;

	call_init(&call);
	enum err e = os_file_size(&call, file_of(f)->file, &size);
	*ret = (sqlite3_int64)size;
	return code_of(e, SQLITE_IOERR_FSTAT);
}

/* The whole file at once and until it is closed: nobody shares it. */
static int vfs_lock(sqlite3_file *f, int level)
{
	struct vfs_file *v = file_of(f);

	if (level > SQLITE_LOCK_NONE && !v->locked) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		enum err e = os_file_lock(&call, v->file);
		if (e)
			return e == ERR_BUSY ? SQLITE_BUSY : code_of(e, SQLITE_IOERR_LOCK);
		v->locked = true;
	}
	v->lock_level = MAX(v->lock_level, level);
	return SQLITE_OK;
}

static int vfs_unlock(sqlite3_file *f, int level)
{
	struct vfs_file *v = file_of(f);

	v->lock_level = MIN(v->lock_level, level);
	return SQLITE_OK;
}

static int vfs_check_reserved(sqlite3_file *f, int *ret)
{
	*ret = file_of(f)->lock_level >= SQLITE_LOCK_RESERVED;
	return SQLITE_OK;
}

static int vfs_control(sqlite3_file *f, int op, void *arg)
{
	return SQLITE_NOTFOUND;
}

static int vfs_sector(sqlite3_file *f)
{
	return SECTOR_BYTES;
}

static int vfs_traits(sqlite3_file *f)
{
	return 0;
}

static const sqlite3_io_methods vfs_methods = {
	.iVersion = 1, /* without shared memory */
	.xClose = vfs_close,
	.xRead = vfs_read,
	.xWrite = vfs_write,
	.xTruncate = vfs_truncate,
	.xSync = vfs_sync,
	.xFileSize = vfs_size,
	.xLock = vfs_lock,
	.xUnlock = vfs_unlock,
	.xCheckReservedLock = vfs_check_reserved,
	.xFileControl = vfs_control,
	.xSectorSize = vfs_sector,
	.xDeviceCharacteristics = vfs_traits,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct vfs_file *v = file_of(f);
	AUTO_CALL struct call call = CALL_INIT;
	struct os_stat st;
	unsigned how = OS_FILE_SECRET;

	*v = (struct vfs_file){ 0 };
	if (!name || strlen(name) > VFS_PATH_MAX)
		return SQLITE_CANTOPEN;
	call_init(&call);
	snprintf(v->path, sizeof(v->path), "%s", name);
	if (flags & SQLITE_OPEN_READWRITE)
		how |= OS_FILE_WRITE;
	if (flags & SQLITE_OPEN_CREATE) {
		how |= OS_FILE_CREATE;
		v->sync_dir = os_stat(&call, name, &st) == ERR_NOT_FOUND;
	}
	if (flags & SQLITE_OPEN_EXCLUSIVE)
		how |= OS_FILE_EXCLUSIVE;
	enum err e = os_file_open(&call, name, how, &v->file);
	if (e)
		return code_of(e, SQLITE_CANTOPEN);
	v->base.pMethods = &vfs_methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	enum err e = os_unlink(&call, name);
	if (e == ERR_NOT_FOUND)
		return SQLITE_IOERR_DELETE_NOENT;
	if (!e && sync_dir)
		e = os_dir_sync(&call, os_path_dir(&call, name));
	return code_of(e, SQLITE_IOERR_DELETE);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_stat st;

	call_init(&call);
	enum err e = os_stat(&call, name, &st);
	/* As SQLite's own: an empty journal does not exist. */
	*ret = e == OK && (flags != SQLITE_ACCESS_EXISTS || st.size > 0 || st.is_dir);
	return e && e != ERR_NOT_FOUND ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
	int n = snprintf(out, (size_t)cap, "%s", name);

	return n < 0 || n >= cap ? SQLITE_CANTOPEN : SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	os_random(out, (size_t)len);
	return len;
}

/* Nobody else has the database, so there is nothing to wait for. */
static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
	return 0;
}

static int vfs_now_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	*ret = UNIX_EPOCH_JULIAN_MS + os_clock_unix_ns() / NS_PER_MS;
	return SQLITE_OK;
}

static int vfs_now(sqlite3_vfs *vfs, double *ret)
{
	sqlite3_int64 ms;

	vfs_now_ms(vfs, &ms);
	*ret = (double)ms / 86400000.0;
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int cap, char *out)
{
	return 0;
}

enum err db_vfs_register(struct call *call)
{
	/* SQLite links the list through it; registering twice is fine. */
	static sqlite3_vfs vfs = {
		.iVersion = 2,
		.szOsFile = sizeof(struct vfs_file),
		.mxPathname = VFS_PATH_MAX,
		.zName = DB_VFS_NAME,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_path,
		.xRandomness = vfs_randomness,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_now,
		.xCurrentTimeInt64 = vfs_now_ms,
		.xGetLastError = vfs_last_error,
	};
	/* SQLite seeds its randomness (log salts) from the default VFS; ours has the world's seed.
	 */
	int r = sqlite3_vfs_register(&vfs, os_simulated());

	if (r != SQLITE_OK)
		return call_fail(call, ERR_INTERNAL, "SQLite: %s", sqlite3_errstr(r));
	if (os_simulated())
		sqlite3_randomness(0, NULL);
	return OK;
}
