/* User, Landlock and seccomp. */
#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/file.h"

/* Tools that watch the program need what it does not. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WATCHED = true };
#else
enum { WATCHED = false };
#endif

/* ---- user ---- */

static enum err become(struct call *call, const char *name)
{
	const struct passwd *p = getpwnam(name);

	if (!p)
		return call_fail(call, ERR_CONFIG, "user: there is no user \"%s\"", name);
	if (p->pw_uid == geteuid())
		return OK;
	if (setgroups(0, NULL) || setgid(p->pw_gid) || setuid(p->pw_uid))
		return call_fail(call, ERR_PERMISSION, "cannot become user \"%s\": %s", name,
				 strerror(errno));
	return OK;
}

/* ---- Landlock ---- */

/* Access rights by the version of the kernel's interface, for headers that know fewer. */
#define ACCESS_REFER (UINT64_C(1) << 13)
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)
#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_OF_FILES                                                                            \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                            \
	 LANDLOCK_ACCESS_FS_EXECUTE | ACCESS_TRUNCATE)
#define ACCESS_WRITE                                                                               \
	(ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |             \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                            \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                              \
	 LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_REFER | ACCESS_TRUNCATE)
#define ACCESS_ALL                                                                                 \
	(ACCESS_WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

/* The first directory up from path that is there. */
static int open_nearest(struct call *call, const char *path)
{
	for (;;) {
		int fd = open(path, O_PATH | O_CLOEXEC);
		const char *up = os_path_dir(call, path);
		if (fd >= 0 || strcmp(up, path) == 0)
			return fd;
		path = up;
	}
}

static enum err allow(struct call *call, int ruleset, int fd, uint64_t access, const char *path)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
	struct stat st;

	if (fd < 0)
		return call_fail(call, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
	if (!fstat(fd, &st) && !S_ISDIR(st.st_mode))
		rule.allowed_access &= ACCESS_OF_FILES;
	long r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	int error = errno;
	close(fd);
	return r ? call_fail(call, ERR_IO, "sandbox of %s: %s", path, strerror(error)) : OK;
}

static enum err add_rules(struct call *call, int ruleset, uint64_t handled,
			  const struct os_sandbox *s)
{
	for (size_t i = 0; i < s->directories_count; i++) {
		const char *path = s->directories[i];
		TRY_PLAIN(allow(call, ruleset, open_nearest(call, path), ACCESS_WRITE & handled,
				path));
	}
	for (size_t i = 0; i < s->readable_count; i++) {
		int fd = open(s->readable[i], O_PATH | O_CLOEXEC);
		if (fd >= 0)
			TRY_PLAIN(allow(call, ruleset, fd, ACCESS_READ, s->readable[i]));
	}
	return OK;
}

static enum err lock_directories(struct call *call, const struct os_sandbox *s, bool *ret)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { .handled_access_fs = ACCESS_ALL };

	if (version < 1)
		return OK; /* not in this kernel, or switched off */
	if (version < 2)
		attr.handled_access_fs &= ~ACCESS_REFER;
	if (version < 3)
		attr.handled_access_fs &= ~ACCESS_TRUNCATE;
	long ruleset = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return call_fail(call, ERR_IO, "sandbox: %s", strerror(errno));
	enum err e = add_rules(call, (int)ruleset, attr.handled_access_fs, s);
	if (!e && syscall(SYS_landlock_restrict_self, (int)ruleset, 0))
		e = call_fail(call, ERR_IO, "sandbox: %s", strerror(errno));
	close((int)ruleset);
	*ret = !e;
	return e;
}

/* ---- seccomp ---- */

/* What a server with threads, files and sockets calls.  Everything else is "not in this kernel",
 * for which the C library has other ways; what only an intruder would call ends the process. */
static const int allowed[] = {
#define CALLS(...) __VA_ARGS__
	CALLS(SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev)),
	CALLS(SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev)),
	CALLS(SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(sendfile), SCMP_SYS(splice)),
	CALLS(SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(close_range)),
	CALLS(SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat)),
	CALLS(SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access)),
	CALLS(SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat)),
	CALLS(SCMP_SYS(lseek), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fadvise64)),
	CALLS(SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(syncfs)),
	CALLS(SCMP_SYS(copy_file_range), SCMP_SYS(flock), SCMP_SYS(fcntl), SCMP_SYS(dup)),
	CALLS(SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe2), SCMP_SYS(getcwd)),
	CALLS(SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink)),
	CALLS(SCMP_SYS(unlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir)),
	CALLS(SCMP_SYS(getdents64), SCMP_SYS(fchmod), SCMP_SYS(link), SCMP_SYS(linkat)),
	CALLS(SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mprotect), SCMP_SYS(mremap)),
	CALLS(SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mlock), SCMP_SYS(munlock)),
	CALLS(SCMP_SYS(msync), SCMP_SYS(mincore), SCMP_SYS(mlock2), SCMP_SYS(membarrier)),
	CALLS(SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list)),
	CALLS(SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(arch_prctl), SCMP_SYS(exit)),
	CALLS(SCMP_SYS(exit_group), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity)),
	CALLS(SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(getpriority)),
	CALLS(SCMP_SYS(sched_getscheduler), SCMP_SYS(setpriority), SCMP_SYS(ioprio_set)),
	CALLS(SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid)),
	CALLS(SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(tgkill)),
	CALLS(SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn)),
	CALLS(SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigtimedwait)),
	CALLS(SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep)),
	CALLS(SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom)),
	CALLS(SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6)),
	CALLS(SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait)),
	CALLS(SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2)),
	CALLS(SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4)),
	CALLS(SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername)),
	CALLS(SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(sendto), SCMP_SYS(recvfrom)),
	CALLS(SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg)),
	CALLS(SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrlimit), SCMP_SYS(prlimit64)),
	CALLS(SCMP_SYS(getrusage), SCMP_SYS(times), SCMP_SYS(prctl), SCMP_SYS(ioctl)),
#undef CALLS
};

static const int fatal[] = {
	SCMP_SYS(execve),	SCMP_SYS(execveat),	 SCMP_SYS(ptrace),
	SCMP_SYS(mount),	SCMP_SYS(umount2),	 SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),	SCMP_SYS(init_module),	 SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),	SCMP_SYS(bpf),		 SCMP_SYS(userfaultfd),
	SCMP_SYS(add_key),	SCMP_SYS(request_key),	 SCMP_SYS(keyctl),
	SCMP_SYS(unshare),	SCMP_SYS(setns),	 SCMP_SYS(perf_event_open),
	SCMP_SYS(swapon),	SCMP_SYS(reboot),	 SCMP_SYS(process_vm_readv),
	SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(process_vm_writev),
};

static int add_calls(scmp_filter_ctx ctx)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; !r && i < ARRAY_LEN(fatal); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, fatal[i], 0);
	/* Names are resolved with netlink's help. */
	for (size_t i = 0; !r && i < ARRAY_LEN(families); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	/* Threads, but no processes.  What clone3 would do cannot be seen: it is "not there". */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	return r;
}

static enum err filter_calls(struct call *call, bool *ret)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));

	if (!ctx)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	int r = add_calls(ctx);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	/* A kernel without filters (or one that runs this under another filter) is no failure. */
	if (r == -EINVAL || r == -ENOSYS || r == -ECANCELED || r == -EFAULT)
		return OK;
	if (r)
		return call_fail(call, ERR_IO, "sandbox: system calls cannot be filtered: %s",
				 strerror(-r));
	*ret = true;
	return OK;
}

enum err os_sandbox_enter(struct call *call, const struct os_sandbox *s, struct os_sandboxed *ret)
{
	struct os_sandboxed done = { 0 };

	tzset(); /* reads its file now */
	if (s->user && s->user[0])
		TRY_PLAIN(become(call, s->user));
	done.user = geteuid() != 0;
	if (!WATCHED) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
			return call_fail(call, ERR_IO, "sandbox: %s", strerror(errno));
		TRY_PLAIN(lock_directories(call, s, &done.landlock));
		TRY_PLAIN(filter_calls(call, &done.seccomp));
	}
	*ret = done;
	return OK;
}
