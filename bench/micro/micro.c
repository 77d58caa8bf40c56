/*
 * Micro benchmarks: one thread, CPU time of that thread, so that what else runs on the machine
 * disturbs little.  Prints the median and the best of the rounds.
 *
 *	micro [--json] [--seconds S] [NAME...]     only benches whose name contains one of NAME
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "micro.h"

#include "base/num.h"
#include "os/clock.h"

enum { BENCHES_MAX = 256, ROUNDS = 11 };

static struct bench benches[BENCHES_MAX];
static size_t benches_count;

void must(enum err e)
{
	if (e != OK) {
		fprintf(stderr, "micro: %s\n", err_text(e));
		exit(1);
	}
}

void *must_alloc(size_t size)
{
	void *p = aligned_alloc(64, round_up(size ? size : 1, 64));

	must(p ? OK : ERR_NO_MEMORY);
	memset(p, 0, size);
	return p;
}

void fill(void *out, size_t len)
{
	uint8_t *p = out;
	uint64_t x = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(x >> 32);
	}
}

const char *name_of(const char *fmt, ...)
{
	char *name = must_alloc(128);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, 128, fmt, ap);
	va_end(ap);
	return name;
}

static void add(struct bench b)
{
	must(benches_count < BENCHES_MAX ? OK : ERR_EXHAUSTED);
	benches[benches_count++] = b;
}

static double seconds_of(const struct bench *b, uint64_t runs)
{
	int64_t start = os_clock_cpu_ns();

	for (uint64_t i = 0; i < runs; i++)
		b->run(b->arg);
	return (double)(os_clock_cpu_ns() - start) / (double)NS_PER_SEC;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Seconds of one run: the rounds in ascending order. */
static void measure(const struct bench *b, double round_seconds, double rounds[ROUNDS])
{
	uint64_t runs = 1;
	double t;

	/* Also warms up. */
	while ((t = seconds_of(b, runs)) < round_seconds / 4)
		runs *= 2;
	runs = (uint64_t)((double)runs * round_seconds / t) + 1;
	for (unsigned i = 0; i < ROUNDS; i++)
		rounds[i] = seconds_of(b, runs) / (double)runs;
	qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
}

static void print(const struct bench *b, const double rounds[ROUNDS], bool json, bool first)
{
	double median = rounds[ROUNDS / 2], best = rounds[0];

	if (json) {
		printf("%s\n {\"name\": \"%s\", \"bytes\": %zu, \"ns_median\": %.1f, "
		       "\"ns_best\": %.1f",
		       first ? "[" : ",", b->name, b->bytes, median * 1e9, best * 1e9);
		if (b->bytes)
			printf(", \"gb_per_s\": %.3f", (double)b->bytes / median / 1e9);
		printf("}");
	} else if (b->bytes) {
		printf("%-58s %8.2f GB/s  (best %.2f)\n", b->name, (double)b->bytes / median / 1e9,
		       (double)b->bytes / best / 1e9);
	} else {
		printf("%-58s %8.2f us    (best %.2f), %.0f /s\n", b->name, median * 1e6,
		       best * 1e6, 1 / median);
	}
	fflush(stdout);
}

static bool wanted(const char *name, char *const names[], int count)
{
	for (int i = 0; i < count; i++)
		if (strstr(name, names[i]))
			return true;
	return count == 0;
}

int main(int argc, char *argv[])
{
	double round_seconds = 0.1;
	bool json = false, first = true;
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[at], "--seconds") == 0 && at + 1 < argc) {
			round_seconds = strtod(argv[++at], NULL) / ROUNDS;
		} else {
			fprintf(stderr, "usage: micro [--json] [--seconds S] [NAME...]\n");
			return 2;
		}
	}
	bench_crypto(add);
	bench_erasure(add);
	bench_access(add);
	bench_rpc(add);
	for (size_t i = 0; i < benches_count; i++) {
		double rounds[ROUNDS];

		if (!wanted(benches[i].name, argv + at, argc - at))
			continue;
		measure(&benches[i], round_seconds, rounds);
		print(&benches[i], rounds, json, first);
		first = false;
	}
	if (json)
		printf("%s]\n", first ? "[" : "\n");
	return 0;
}
