/* Processes, signals, environment and the terminal: what programs (not the library) need. */
#ifndef ACRE_OS_PROCESS_H
#define ACRE_OS_PROCESS_H

#include "base/bytes.h"
#include "base/call.h"
#include "os/cancel.h"

/* NULL when unset. */
const char *os_getenv(const char *name);
int os_pid(void);
/* Absolute path of the directory of the running program, in the call's scratch. */
enum err os_program_dir(struct call *call, const char **ret_dir) MUST_USE;
/* Starts argv[0] (a path) in a session of its own, output appended to log_path, input empty. */
enum err os_spawn(struct call *call, const char *const argv[], const char *log_path,
		  int *ret_pid) MUST_USE;
/* Runs argv[0] to its end, input empty, its standard output appended to out (up to out->max),
 * standard error ours; *ret_status is its exit status. */
enum err os_run(struct call *call, const char *const argv[], struct buf *out,
		int *ret_status) MUST_USE;
/* Replaces this process; returns only on failure. */
enum err os_exec(struct call *call, const char *path, char *const argv[]) MUST_USE;
bool os_process_alive(int pid);
/* Kernel start time of the process, to tell a reused pid; 0 when gone. */
uint64_t os_process_start_time(int pid);
/* SIGKILL if hard, else SIGTERM. */
enum err os_process_kill(struct call *call, int pid, bool hard) MUST_USE;

/* From now on SIGINT and SIGTERM set the cancel object and call `also` (if not NULL; it may do only
 * what a signal handler may).  SIGPIPE and SIGXFSZ are ignored.  Programs only.
 * With NULL the two are ignored: to be called before the object's memory goes, as main ends. */
void os_signals_cancel(struct os_cancel *c, void (*also)(void));

/* From now on SIGHUP sets the event; NULL: it is ignored.  Programs only. */
struct os_event;
void os_signal_reload(struct os_event *e);

/* Memory that is freed goes back to the system, instead of staying for ever with the thread that
 * once needed much (a peer that lies can make it so).  Programs only: it is the process's. */
void os_memory_returns(void);
/* The holes that long work leaves in the heaps of many threads go back to the system, too (glibc
 * has eight for each core, and a node that used 3 MiB had 12 after an hour); called every minute or
 * so, done every ten.  Programs only. */
void os_memory_slim(void);
/* What is free now goes back to the system, and code that has run is forgotten until it runs again
 * (from the page cache): after something that is done once in a while; at most once a second.
 * Programs only. */
void os_memory_trim(void);

/* The machine's; 0 where the system does not say. */
uint64_t os_memory_bytes(void);

/* As many open files as the system lets this process have, up to 65536.  Programs only. */
void os_raise_file_limit(void);

/* Whether standard error is a terminal, and its width in columns (80 if unknown). */
bool os_stderr_is_terminal(void);
bool os_stdin_is_terminal(void);
/* One write of a whole log line; failures have nowhere to go.  Allowed under a lock. */
void os_stderr_line(struct bytes line);
unsigned os_terminal_width(void);
/* Asks on the terminal without echo; ERR_INVALID without a terminal.  The answer is appended. */
enum err os_ask_secret(struct call *call, const char *prompt, struct buf *ret) MUST_USE;

struct os_user {
	uint32_t uid, gid;
};
/* By name; with `root` not "", as the passwd file of the system below it says.  ERR_NOT_FOUND. */
enum err os_user_find(struct call *call, const char *root, const char *name,
		      struct os_user *ret) MUST_USE;
/* Makes it the owner of what the path leads to.  For root, where others may write: a link in the
 * path counts only if this user or root made it, and a file that has other names, too, is refused
 * unless it is theirs already (ERR_PERMISSION). */
enum err os_give(struct call *call, const char *path, const struct os_user *who) MUST_USE;
/* Whose it is; links in the path as in os_give. */
enum err os_owner(struct call *call, const char *path, struct os_user *ret) MUST_USE;
/* Of all that is below, too; of links there, not of what they lead to.  At most 32 levels. */
enum err os_give_tree(struct call *call, const char *top, const struct os_user *who) MUST_USE;
bool os_is_root(void);

/* What this process uses; false where the system does not say. */
struct os_usage {
	uint64_t resident_bytes;
	int64_t cpu_ns; /* user and system */
	unsigned threads;
};
bool os_process_usage(struct os_usage *ret);

/* True in the simulated world. */
bool os_simulated(void);

#endif
