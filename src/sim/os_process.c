/* Processes do not exist in the simulated world; programs are functions there. */
#include "os/process.h"

#include <unistd.h>

#include "sim/world_internal.h"

static enum err none(struct call *call)
{
	return call_fail(call, ERR_UNIMPLEMENTED, "the simulated world has no processes");
}

const char *os_getenv(const char *name)
{
	return NULL;
}

int os_pid(void)
{
	return 1;
}

enum err os_program_dir(struct call *call, const char **ret_dir)
{
	return none(call);
}

enum err os_spawn(struct call *call, const char *const argv[], const char *log_path, int *ret_pid)
{
	return none(call);
}

enum err os_run(struct call *call, const char *const argv[], struct buf *out, int *ret_status)
{
	return none(call);
}

enum err os_exec(struct call *call, const char *path, char *const argv[])
{
	return none(call);
}

bool os_process_alive(int pid)
{
	return pid == 1;
}

uint64_t os_process_start_time(int pid)
{
	return pid == 1;
}

enum err os_process_kill(struct call *call, int pid, bool hard)
{
	return none(call);
}

void os_memory_returns(void)
{
}

uint64_t os_memory_bytes(void)
{
	return 0;
}

void os_memory_slim(void)
{
}

void os_memory_trim(void)
{
}

void os_signals_cancel(struct os_cancel *c, void (*also)(void))
{
}

bool os_stderr_is_terminal(void)
{
	return false;
}

bool os_stdin_is_terminal(void)
{
	return false;
}

void os_stderr_line(struct bytes line)
{
	if (write(2, line.data, line.len) < 0)
		return;
}

unsigned os_terminal_width(void)
{
	return 80;
}

enum err os_ask_secret(struct call *call, const char *prompt, struct buf *ret)
{
	return none(call);
}

bool os_process_usage(struct os_usage *ret)
{
	return false;
}

bool os_simulated(void)
{
	return true;
}
