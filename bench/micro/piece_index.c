/*
 * The node's piece index with millions of pieces: memory, reads of a look-up, garbage collection,
 * starts.  The log is left out: entries point into segments that are not there.  It is filled with
 * a large budget, in few merges, and then opened with the one that is measured.
 *
 *	piece_index DIR [PIECES [MEMORY_MIB [SATELLITES]]]	default: 10 million, 32 MiB, 4
 *
 * DIR is made, and needs 700 MB of disk for 10 million pieces (twice that while merging).
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_index.h"
#include "order/bloom.h"
#include "os/clock.h"
#include "os/file.h"

enum {
	SATELLITES_MAX = 64,
	SEGMENTS = 1000,
	LOOKUPS = 200000,
	FILTER_BITS_PER_PIECE = 5,
	FILL_MEMORY_GIB = 1,
	MORE = 100000, /* put with the budget that is measured */
};

static struct {
	uint64_t live[SEGMENTS];
} fake_log;

static unsigned satellites = 4;

static void add_live(void *arg, uint32_t segment, int64_t bytes, uint64_t end)
{
	fake_log.live[segment] += (uint64_t)bytes;
}

static enum err snapshot(struct call *call, void *arg, struct arena *a, struct checkpoint *c)
{
	c->segments = arena_array(a, SEGMENTS, sizeof(*c->segments));
	if (!c->segments)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < SEGMENTS; i++)
		c->segments[i] = (struct checkpoint_segment){ .number = i,
							      .sealed = true,
							      .stable = GIB,
							      .end = UINT64_C(1) << 40,
							      .live = fake_log.live[i] };
	c->segments_count = SEGMENTS;
	c->seq = 1;
	c->next_segment = SEGMENTS;
	return OK;
}

static void must(struct call *call, enum err e)
{
	if (!e)
		return;
	fprintf(stderr, "%s\n", call_error(call, e));
	exit(1);
}

static uint64_t mix(uint64_t v)
{
	v += UINT64_C(0x9e3779b97f4a7c15);
	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	return v ^ v >> 31;
}

static struct piece_entry entry_of(uint64_t n)
{
	struct piece_entry e = { .segment = (uint32_t)(n % SEGMENTS),
				 .offset64 = 2 + (uint32_t)(n / SEGMENTS) * 1000,
				 .size = 40000,
				 .stored_at = 1700000000,
				 .satellite = (uint16_t)(n % satellites),
				 .header64 = 10 };

	for (uint64_t i = 0; i < 4; i++)
		put_le64(e.id.b + 8 * i, mix(n * 4 + i));
	return e;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double wall_seconds(void)
{
	return (double)os_clock_mono_ns() / (double)NS_PER_SEC;
}

/* A number of a file in /proc/self. */
static uint64_t proc_number(const char *file, const char *key)
{
	char line[256], *at;
	uint64_t v = 0;
	FILE *f = fopen(file, "r");

	while (f && fgets(line, sizeof(line), f))
		if ((at = strstr(line, key)) == line)
			v = strtoull(at + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return v;
}

/* Forgets the peak so far, and what the allocator keeps of the filling. */
static void reset_peak(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	malloc_trim(0);
	if (f) {
		fputs("5", f);
		fclose(f);
	}
}

static void print_memory(const char *when, struct piece_index *x)
{
	struct index_status s;

	piece_index_status(x, &s);
	printf("%-34s index %5.1f MiB, anonymous resident %5.1f MiB, peak resident %5.1f MiB\n",
	       when, (double)s.memory / MIB,
	       (double)proc_number("/proc/self/status", "RssAnon:") / 1024,
	       (double)proc_number("/proc/self/status", "VmHWM:") / 1024);
}

static struct piece_index *open_index(struct call *call, const char *dir, uint64_t memory)
{
	struct piece_index_config config = {
		.dir = dir, .memory = memory, .add_live = add_live, .snapshot = snapshot
	};
	struct piece_index *x = NULL;
	struct checkpoint known;

	must(call, piece_index_open(call, &config, &call->scratch, &known, &x));
	for (uint8_t i = 0; i < satellites; i++) {
		struct node_id id = { { (uint8_t)(i + 1) } };
		uint16_t number;
		must(call, piece_index_satellite(call, x, &id, &number));
	}
	return x;
}

static void put(struct call *call, struct piece_index *x, uint64_t from, uint64_t to,
		const char *what)
{
	double cpu = cpu_seconds(), wall = wall_seconds();
	struct index_status s;

	for (uint64_t n = from; n < to; n++) {
		struct piece_entry e = entry_of(n);
		must(call, piece_index_put(call, x, &e));
	}
	piece_index_status(x, &s);
	printf("%-34s %.1f s (CPU %.1f s), %llu merges so far, %u changes at most in memory\n",
	       what, wall_seconds() - wall, cpu_seconds() - cpu, (unsigned long long)s.generation,
	       s.changes_max);
}

static void look_up(struct call *call, struct piece_index *x, uint64_t pieces, bool there)
{
	uint64_t reads = proc_number("/proc/self/io", "syscr:"), found = 0;
	double cpu = cpu_seconds();

	for (uint64_t i = 0; i < LOOKUPS; i++) {
		struct piece_entry e, probe = entry_of(mix(i) % pieces + (there ? 0 : pieces));
		struct piece_key key = piece_entry_key(&probe);
		enum err err = piece_index_find(call, x, &key, &e);
		if (err != ERR_NOT_FOUND)
			must(call, err);
		found += !err;
	}
	cpu = cpu_seconds() - cpu;
	reads = proc_number("/proc/self/io", "syscr:") - reads;
	printf("%-34s %.3f reads and %.1f us CPU each, %llu of %d found\n",
	       there ? "look-ups of pieces that are there" : "look-ups of others",
	       (double)reads / LOOKUPS, 1e6 * cpu / LOOKUPS, (unsigned long long)found, LOOKUPS);
}

/* A filter of one satellite that keeps nine of ten pieces. */
static uint8_t *make_filter(uint64_t pieces, size_t *ret_len)
{
	size_t table = (size_t)(pieces / satellites * FILTER_BITS_PER_PIECE / 8 + 1);
	uint8_t *wire = calloc(1, table + 3);

	if (!wire)
		exit(1);
	wire[0] = 1;
	wire[2] = 4;
	for (uint64_t n = 0; n < pieces; n += satellites) {
		struct piece_entry e = entry_of(n);
		uint8_t twice[64];
		if (n / satellites % 10 == 0)
			continue;
		memcpy(twice, e.id.b, 32);
		memcpy(twice + 32, e.id.b, 32);
		for (unsigned i = 0, at = 0; i < 4; i++, at = (at + 9) % 32)
			wire[3 + get_le64(twice + at) % table] |= (uint8_t)(1
									    << (twice[at + 8] & 7));
	}
	*ret_len = table + 3;
	return wire;
}

static bool verdict(const void *arg, struct piece_entry *e)
{
	const struct bloom *f = arg;

	if (e->satellite == 0 && !e->trashed_at && !bloom_has(f, &e->id))
		e->trashed_at = 1700000100;
	return true;
}

static void collect(struct call *call, struct piece_index *x, uint64_t pieces)
{
	AUTO_FREE uint8_t *wire = NULL;
	struct bloom filter;
	struct index_swept swept;
	size_t len = 0;

	wire = make_filter(pieces, &len);
	must(call, bloom_parse(call, BYTES(wire, len), &filter));
	double cpu = cpu_seconds(), wall = wall_seconds();
	must(call, piece_index_merge(call, x, verdict, &filter, &swept));
	cpu = cpu_seconds() - cpu;
	printf("%-34s %.2f million pieces a second of CPU (%.1f s CPU, %.1f s), %llu trashed\n",
	       "garbage collection", (double)swept.seen / 1e6 / cpu, cpu, wall_seconds() - wall,
	       (unsigned long long)swept.trashed);
	cpu = cpu_seconds();
	uint64_t kept = 0;
	for (uint64_t n = 0; n < pieces; n += satellites) {
		struct piece_entry e = entry_of(n);
		kept += bloom_has(&filter, &e.id);
	}
	cpu = cpu_seconds() - cpu;
	printf("%-34s %.1f million IDs a second, %zu bytes of filter, %llu kept\n",
	       "  the filter alone", (double)pieces / satellites / 1e6 / cpu, len,
	       (unsigned long long)kept);
}

static void start(struct call *call, const char *dir, uint64_t memory, const char *what)
{
	reset_peak();
	double cpu = cpu_seconds(), wall = wall_seconds();
	struct piece_index *x = open_index(call, dir, memory);

	printf("%-34s %.3f s (CPU %.3f s)\n", what, wall_seconds() - wall, cpu_seconds() - cpu);
	print_memory("  memory after it", x);
	piece_index_close(x);
}

int main(int argc, char **argv)
{
	AUTO_CALL struct call call = CALL_INIT;
	uint64_t pieces = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	uint64_t memory = (argc > 3 ? strtoull(argv[3], NULL, 10) : 32) * MIB;

	if (argc > 4)
		satellites = (unsigned)strtoul(argv[4], NULL, 10);
	if (argc < 2 || !pieces || !satellites || satellites > SATELLITES_MAX) {
		fprintf(stderr, "usage: piece_index DIR [PIECES [MEMORY_MIB [SATELLITES]]]\n");
		return 2;
	}
	must(&call, os_dir_make(&call, argv[1], true));
	struct piece_index *x = open_index(&call, argv[1], FILL_MEMORY_GIB * GIB);
	printf("%llu pieces, %.0f MiB of memory for the index\n", (unsigned long long)pieces,
	       (double)memory / MIB);
	put(&call, x, 0, pieces, "filled");
	struct index_swept swept;
	must(&call, piece_index_merge(&call, x, NULL, NULL, &swept));
	piece_index_close(x);
	call_fini(&call);
	call_init(&call);
	reset_peak();
	x = open_index(&call, argv[1], memory);
	print_memory("opened", x);
	put(&call, x, pieces, pieces + MORE, "more pieces");
	pieces += MORE;
	print_memory("memory", x);
	look_up(&call, x, pieces, true);
	look_up(&call, x, pieces, false);
	collect(&call, x, pieces);
	print_memory("memory", x);
	/* As after a kill: changes beyond the table are in the checkpoint. */
	put(&call, x, pieces, pieces + MORE / 2, "more pieces");
	double wall = wall_seconds();
	must(&call, piece_index_checkpoint(&call, x));
	printf("%-34s %.3f s\n", "checkpoint", wall_seconds() - wall);
	piece_index_close(x);
	start(&call, argv[1], memory, "start");
	return 0;
}
