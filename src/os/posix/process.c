/* Processes, signals, environment, terminal. */
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/num.h"
#include "os/clock.h"
#include "os/event.h"
#include "os/file.h"
#include "os/lock.h"

enum { MALLOC_KEEP_BYTES = 1 << 20, MALLOC_MAP_BYTES = 256 << 10, SLIM_SECONDS = 600 };

/* 110 pieces of some segments at a time, two descriptors each, and some to spare. */
enum { OPEN_FILES_MAX = 65536, STATUS_BYTES_MAX = 4096 };

const char *os_getenv(const char *name)
{
	return getenv(name);
}

int os_pid(void)
{
	return (int)getpid();
}

enum err os_program_dir(struct call *call, const char **ret_dir)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return call_fail(call, ERR_IO, "cannot find the running program's directory");
	path[n] = 0;
	*strrchr(path, '/') = 0;
	*ret_dir = arena_str(&call->scratch, bytes_str(path[0] ? path : "/"));
	return *ret_dir ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

enum err os_spawn(struct call *call, const char *const argv[], const char *log_path, int *ret_pid)
{
	int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int report[2];

	if (log < 0)
		return call_fail(call, ERR_IO, "open %s: %s", log_path, strerror(errno));
	/* The child reports a failed exec through a pipe that a successful one closes. */
	if (pipe2(report, O_CLOEXEC)) {
		close(log);
		return call_fail(call, ERR_EXHAUSTED, "no file descriptor left");
	}
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		setsid();
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		int error = errno;
		if (write(report[1], &error, sizeof(error)) < 0)
			_exit(126);
		_exit(127);
	}
	int spawn_errno = errno;
	close(report[1]);
	close(log);
	if (pid < 0) {
		close(report[0]);
		return call_fail(call, ERR_EXHAUSTED, "cannot start %s: %s", argv[0],
				 strerror(spawn_errno));
	}
	int error = 0;
	ssize_t n;
	do {
		n = read(report[0], &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == (ssize_t)sizeof(error)) {
		waitpid(pid, NULL, 0);
		return call_fail(call, error == ENOENT ? ERR_NOT_FOUND : ERR_IO,
				 "cannot run %s: %s", argv[0], strerror(error));
	}
	*ret_pid = (int)pid;
	return OK;
}

enum err os_run(struct call *call, const char *const argv[], struct buf *out, int *ret_status)
{
	int pipe_fds[2], status;

	os_assert_no_lock(__func__);
	if (pipe2(pipe_fds, O_CLOEXEC))
		return call_fail(call, ERR_EXHAUSTED, "no file descriptor left");
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(pipe_fds[1], 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return call_fail(call, ERR_EXHAUSTED, "cannot start %s", argv[0]);
	}
	for (;;) {
		uint8_t chunk[4096];
		ssize_t n = read(pipe_fds[0], chunk, sizeof(chunk));
		if (n > 0)
			buf_add(out, chunk, (size_t)n);
		else if (n == 0 || errno != EINTR)
			break;
	}
	close(pipe_fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (*ret_status == 127)
		return call_fail(call, ERR_NOT_FOUND, "cannot run %s", argv[0]);
	return buf_status(out);
}

enum err os_exec(struct call *call, const char *path, char *const argv[])
{
	execv(path, argv);
	return call_fail(call, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot run %s: %s", path,
			 strerror(errno));
}

uint64_t os_process_start_time(int pid)
{
	char path[64], text[1024], state;
	unsigned long long start;
	long threads;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	/* Fields follow the command in parentheses: state is field 3, threads 20, start time 22. */
	const char *p = strrchr(text, ')');
	if (!p || sscanf(p + 1,
			 " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld "
			 "%*s %llu",
			 &state, &threads, &start) != 3)
		return 0;
	/* A killed process's first thread may be gone while others still hold its files and locks.
	 */
	if ((state == 'Z' || state == 'X') && threads <= 1)
		return 0;
	return start;
}

bool os_process_alive(int pid)
{
	if (waitpid(pid, NULL, WNOHANG) == pid)
		return false;
	return os_process_start_time(pid) != 0;
}

enum err os_process_kill(struct call *call, int pid, bool hard)
{
	if (pid <= 1)
		return call_fail(call, ERR_INVALID, "no process has the id %d", pid);
	if (kill(pid, hard ? SIGKILL : SIGTERM) == 0)
		return OK;
	if (errno == ESRCH)
		return call_fail(call, ERR_NOT_FOUND, "process %d is gone", pid);
	return call_fail(call, ERR_PERMISSION, "cannot end process %d: %s", pid, strerror(errno));
}

static struct os_cancel *signal_target;
static void (*signal_also)(void);

static void on_signal(int number)
{
	(void)number;
	os_cancel_set(signal_target);
	if (signal_also)
		signal_also();
}

void os_raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	rlim_t want = MIN(limit.rlim_max, (rlim_t)OPEN_FILES_MAX);
	if (limit.rlim_cur >= want)
		return;
	limit.rlim_cur = want;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void os_signals_cancel(struct os_cancel *c, void (*also)(void))
{
	struct sigaction end = { .sa_handler = c ? on_signal : SIG_IGN };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	/* The old target is not forgotten: a signal may be in its handler just now. */
	if (c) {
		signal_target = c;
		signal_also = also;
	}
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	/* A limit on file sizes is a full disk, not an end. */
	sigaction(SIGXFSZ, &ignore, NULL);
}

static struct os_event *reload_target;

static void on_reload(int number)
{
	int saved = errno;

	(void)number;
	os_event_set(reload_target);
	errno = saved;
}

void os_signal_reload(struct os_event *e)
{
	struct sigaction action = { .sa_handler = e ? on_reload : SIG_IGN };

	if (e)
		reload_target = e;
	sigaction(SIGHUP, &action, NULL);
}

void os_memory_returns(void)
{
	/* glibc raises both by itself, up to 64 MiB for each of its arenas, when a large block is
	 * freed; not once they are set. */
	mallopt(M_MMAP_THRESHOLD, MALLOC_MAP_BYTES);
	mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP_BYTES);
}

uint64_t os_memory_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

	return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

/* Nothing writes to such a part of a program or library, so its pages can be had again. */
static int forget_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	bool file = !info->dlpi_name[0] || info->dlpi_name[0] == '/'; /* not the kernel's page */

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type != PT_LOAD || p->p_flags & PF_W)
			continue;
		uintptr_t from = info->dlpi_addr + p->p_vaddr, to = from + p->p_filesz;
		from &= ~(page - 1);
		to &= ~(page - 1);
		if (file && to > from)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

/* A process with a thousand nodes asks for it a thousand times. */
static bool is_due(_Atomic int64_t *next_ns, int64_t seconds)
{
	int64_t now = os_clock_mono_ns();

	if (now < *next_ns)
		return false;
	*next_ns = now + seconds * NS_PER_SEC;
	return true;
}

void os_memory_slim(void)
{
	static _Atomic int64_t next_ns;

	if (is_due(&next_ns, SLIM_SECONDS))
		malloc_trim(0);
}

void os_memory_trim(void)
{
	static _Atomic int64_t next_ns;

	if (!is_due(&next_ns, 1))
		return;
	malloc_trim(0);
	dl_iterate_phdr(forget_code, NULL);
}

bool os_stderr_is_terminal(void)
{
	return isatty(2) == 1;
}

bool os_stdin_is_terminal(void)
{
	return isatty(0) == 1;
}

void os_stderr_line(struct bytes line)
{
	if (write(2, line.data, line.len) < 0)
		return;
}

unsigned os_terminal_width(void)
{
	struct winsize w;

	if (ioctl(2, TIOCGWINSZ, &w) || w.ws_col == 0)
		return 80;
	return w.ws_col;
}

enum err os_ask_secret(struct call *call, const char *prompt, struct buf *ret)
{
	struct termios old, quiet;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &old)) {
		if (fd >= 0)
			close(fd);
		return call_fail(call, ERR_INVALID,
				 "%s is needed, and there is no terminal to ask on", prompt);
	}
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &quiet);
	enum err e = OK;
	if (dprintf(fd, "%s: ", prompt) < 0)
		e = call_fail(call, ERR_IO, "cannot write to the terminal");
	while (!e) {
		char c;
		ssize_t n = read(fd, &c, 1);
		if (n == 1 && c != '\n' && c != '\r')
			buf_add_byte(ret, (uint8_t)c);
		else if (n == 1)
			break;
		else if (n < 0 && errno == EINTR)
			e = call_fail(call, ERR_CANCELED, "canceled");
		else
			e = call_fail(call, ERR_EOF, "end of input at the terminal");
	}
	tcsetattr(fd, TCSAFLUSH, &old);
	dprintf(fd, "\n");
	close(fd);
	return e ? e : buf_status(ret);
}

bool os_simulated(void)
{
	return false;
}

bool os_process_usage(struct os_usage *ret)
{
	struct rusage usage;
	char text[STATUS_BYTES_MAX];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0 || getrusage(RUSAGE_SELF, &usage))
		return false;
	text[n] = 0;
	const char *rss = strstr(text, "VmRSS:"), *threads = strstr(text, "Threads:");
	if (!rss || !threads)
		return false;
	*ret = (struct os_usage){
		.resident_bytes = strtoull(rss + strlen("VmRSS:"), NULL, 10) << 10,
		.cpu_ns = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_SEC +
			  (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000,
		.threads = (unsigned)strtoul(threads + strlen("Threads:"), NULL, 10),
	};
	return true;
}

/* ---- users ---- */

enum err os_user_find(struct call *call, const char *root, const char *name, struct os_user *ret)
{
	const struct passwd *p = NULL;

	if (!root[0]) {
		p = getpwnam(name);
	} else {
		FILE *f = fopen(os_path_join(call, root, "etc/passwd"), "re");
		while (f && (p = fgetpwent(f)) && strcmp(p->pw_name, name) != 0)
			;
		if (f)
			fclose(f);
	}
	if (!p)
		return call_fail(call, ERR_NOT_FOUND, "there is no user \"%s\"", name);
	*ret = (struct os_user){ p->pw_uid, p->pw_gid };
	return OK;
}

bool os_is_root(void)
{
	return geteuid() == 0;
}
