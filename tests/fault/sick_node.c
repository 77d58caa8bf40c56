/*
 * The real node on a machine that is not well, for test_sick_machine.py: its clock is off, its disk
 * slow or read-only.  What is wrong stands in the file that ACRE_SICK names, one line each, and may
 * change at any time:
 *
 *	clock SECONDS		that much ahead (or, negative, behind)
 *	slow MILLISECONDS	every read of a file takes so much longer
 *	read-only 1		the file system was remounted by the kernel, as after an error
 *
 * Linked around the functions of os/ (--wrap); the shipped programs have nothing of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "os/file.h"

struct sickness {
	long clock, slow, read_only;
};

/* Read anew each time: the test waits for what it does. */
static struct sickness sickness(void)
{
	const char *path = getenv("ACRE_SICK");
	struct sickness s = { 0 };
	char text[256] = "", *p = text;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return s;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	for (text[n > 0 ? n : 0] = '\0'; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : p) {
		(void)(sscanf(p, "clock %ld", &s.clock) || sscanf(p, "slow %ld", &s.slow) ||
		       sscanf(p, "read-only %ld", &s.read_only));
	}
	return s;
}

int64_t __real_os_clock_unix_ns(void);
int64_t __wrap_os_clock_unix_ns(void);
int64_t __wrap_os_clock_unix_ns(void)
{
	return __real_os_clock_unix_ns() + sickness().clock * NS_PER_SEC;
}

enum err __real_os_file_read_at(struct call *call, struct os_file *f, void *buf, size_t cap,
				uint64_t offset, size_t *ret_n);
enum err __wrap_os_file_read_at(struct call *call, struct os_file *f, void *buf, size_t cap,
				uint64_t offset, size_t *ret_n);
enum err __wrap_os_file_read_at(struct call *call, struct os_file *f, void *buf, size_t cap,
				uint64_t offset, size_t *ret_n)
{
	long ms = sickness().slow;
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	if (ms)
		nanosleep(&t, NULL);
	return __real_os_file_read_at(call, f, buf, cap, offset, ret_n);
}

static enum err read_only(struct call *call)
{
	return call_fail(call, ERR_PERMISSION, "Read-only file system");
}

enum err __real_os_file_open(struct call *call, const char *path, unsigned flags,
			     struct os_file **ret);
enum err __wrap_os_file_open(struct call *call, const char *path, unsigned flags,
			     struct os_file **ret);
enum err __wrap_os_file_open(struct call *call, const char *path, unsigned flags,
			     struct os_file **ret)
{
	if (flags & OS_FILE_WRITE && sickness().read_only)
		return read_only(call);
	return __real_os_file_open(call, path, flags, ret);
}

enum err __real_os_file_write_at(struct call *call, struct os_file *f, const struct bytes *parts,
				 size_t count, uint64_t offset);
enum err __wrap_os_file_write_at(struct call *call, struct os_file *f, const struct bytes *parts,
				 size_t count, uint64_t offset);
enum err __wrap_os_file_write_at(struct call *call, struct os_file *f, const struct bytes *parts,
				 size_t count, uint64_t offset)
{
	return sickness().read_only ? read_only(call)
				    : __real_os_file_write_at(call, f, parts, count, offset);
}

enum err __real_os_file_sync(struct call *call, struct os_file *f);
enum err __wrap_os_file_sync(struct call *call, struct os_file *f);
enum err __wrap_os_file_sync(struct call *call, struct os_file *f)
{
	return sickness().read_only ? read_only(call) : __real_os_file_sync(call, f);
}

enum err __real_os_rename(struct call *call, const char *from, const char *to);
enum err __wrap_os_rename(struct call *call, const char *from, const char *to);
enum err __wrap_os_rename(struct call *call, const char *from, const char *to)
{
	return sickness().read_only ? read_only(call) : __real_os_rename(call, from, to);
}
