/*
 * Piece IDs by HMAC-SHA512 and garbage filters over them, as a satellite makes them for its nodes:
 * pieces a second of processor time, one thread.
 *
 *	piece_ids [PIECES [PIECES_PER_SEGMENT [NODES]]]		default: 4 million, 80, 200
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/num.h"
#include "order/bloom.h"
#include "os/random.h"

enum { BATCH_SEGMENTS = 128 };

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void *must(void *p)
{
	if (!p) {
		fputs("out of memory\n", stderr);
		exit(1);
	}
	return p;
}

static uint64_t argument(int argc, char *argv[], int i, uint64_t otherwise)
{
	return argc > i ? strtoull(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char *argv[])
{
	uint64_t pieces = argument(argc, argv, 1, 4000000);
	uint64_t each = argument(argc, argv, 2, 80), nodes = argument(argc, argv, 3, 200);
	const struct bloom_size size = bloom_size(pieces / nodes + 1, 0.1, BLOOM_MAX);
	struct node_id *ids = must(calloc(nodes, sizeof(*ids)));
	uint8_t **wires = must(calloc(nodes, sizeof(*wires)));
	struct bloom *filters = must(calloc(nodes, sizeof(*filters)));
	struct piece_id roots[BATCH_SEGMENTS];
	size_t batch = BATCH_SEGMENTS * each;
	struct piece_derive *jobs = must(calloc(batch, sizeof(*jobs)));
	struct piece_id *made = must(calloc(batch, sizeof(*made)));
	double derive = 0, add = 0;
	uint64_t done = 0;

	os_random(ids, nodes * sizeof(*ids));
	for (uint64_t i = 0; i < nodes; i++) {
		wires[i] = must(malloc(BLOOM_HEAD_BYTES + size.table_bytes));
		bloom_begin(wires[i], 77, size, &filters[i]);
	}
	while (done < pieces) {
		os_random(roots, sizeof(roots));
		for (size_t i = 0; i < batch; i++)
			jobs[i] = (struct piece_derive){ &roots[i / each],
							 &ids[(done + i * 7) % nodes],
							 (uint32_t)(i % each) };
		double t0 = cpu_seconds();
		piece_ids_derive(jobs, batch, made);
		double t1 = cpu_seconds();
		for (size_t i = 0; i < batch; i++) {
			size_t node = (size_t)(jobs[i].node - ids);
			bloom_add(&filters[node], wires[node], &made[i]);
		}
		add += cpu_seconds() - t1;
		derive += t1 - t0;
		done += batch;
	}
	printf("%llu pieces, %llu a segment, %llu nodes, filters of %zu bytes\n",
	       (unsigned long long)done, (unsigned long long)each, (unsigned long long)nodes,
	       size.table_bytes);
	printf("derived:         %10.0f a second\n", (double)done / derive);
	printf("put in filters:  %10.0f a second\n", (double)done / add);
	printf("both:            %10.0f a second\n", (double)done / (derive + add));
	return 0;
}
