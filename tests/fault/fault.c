#include "fault.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rpc/internal.h"

enum { PLAN_MAX = 4096, PATH_BYTES_MAX = 4096, NS_PER_MS_ = 1000000 };

/* The peer's directory, from its own command line: "--dir X". */
static const char *directory(void)
{
	static char line[PATH_BYTES_MAX];
	static const char *found;

	if (found)
		return found;
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (fd >= 0)
		close(fd);
	for (char *at = line; n > 0 && at < line + n; at += strlen(at) + 1)
		if (strcmp(at, "--dir") == 0)
			found = at + strlen(at) + 1;
	return found ? found : ".";
}

__attribute__((constructor)) static void find_directory(void)
{
	directory();
}

static bool read_plan(char text[PLAN_MAX])
{
	char path[PATH_BYTES_MAX + 16];

	snprintf(path, sizeof(path), "%s/fault", directory());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, PLAN_MAX - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

static void note(const char *name)
{
	char path[PATH_BYTES_MAX + 16], line[FAULT_NAME_MAX + 1];

	snprintf(path, sizeof(path), "%s/faults", directory());
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	int n = snprintf(line, sizeof(line), "%.30s\n", name);
	if (write(fd, line, (size_t)n) != n)
		perror("faults");
	close(fd);
}

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

void fault_choose(const char *kind, struct fault *ret)
{
	static _Atomic uint64_t requests;
	char plan[PLAN_MAX], name[FAULT_NAME_MAX];
	uint64_t seed = 0, number = requests++;
	int percent, ms, draw = -1;
	size_t prefix = strlen(kind);

	*ret = (struct fault){ .ms = FAULT_MS_DEFAULT };
	if (!read_plan(plan))
		return;
	char *save, *line = strtok_r(plan, "\n", &save);
	for (; line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long value;
		if (sscanf(line, "seed %llu", &value) == 1)
			seed = value;
		int fields = sscanf(line, "%31s %d %d", name, &percent, &ms);
		if (fields < 2 || strncmp(name, kind, prefix) != 0)
			continue;
		/* The plan's lines share one draw: each takes its part of a hundred. */
		if (draw < 0) {
			ret->random = mix(mix(seed) + number);
			draw = (int)(ret->random % 100);
		}
		draw -= percent;
		if (draw >= 0)
			continue;
		snprintf(ret->name, sizeof(ret->name), "%s", name);
		if (fields == 3)
			ret->ms = ms;
		note(name);
		return;
	}
}

bool fault_is(const struct fault *f, const char *name)
{
	return strcmp(f->name, name) == 0;
}

void fault_wait(const struct fault *f)
{
	struct timespec t = { .tv_sec = f->ms / 1000, .tv_nsec = f->ms % 1000 * NS_PER_MS_ };

	nanosleep(&t, NULL);
}

void fault_drop(const struct rpc_stream *s)
{
	s->conn->broken = ERR_CLOSED;
	snprintf(s->conn->broken_text, sizeof(s->conn->broken_text), "dropped by plan");
}

void fault_exit(void)
{
	_exit(137);
}
