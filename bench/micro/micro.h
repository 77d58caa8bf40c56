/* What a topic file gives to micro.c: things to measure. */
#ifndef ACRE_BENCH_MICRO_H
#define ACRE_BENCH_MICRO_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct bench {
	const char *name;
	size_t bytes; /* user bytes of one run; 0: count runs instead */
	void (*run)(void *arg);
	void *arg;
};

/* Each adds its benches; what they allocate lives until the program ends. */
void bench_crypto(void (*add)(struct bench));
void bench_erasure(void (*add)(struct bench));
void bench_access(void (*add)(struct bench));
void bench_rpc(void (*add)(struct bench));

/* Ends the program when a step of a bench fails: what is measured must have worked. */
void must(enum err e);
void *must_alloc(size_t size);
/* The same pseudo-random bytes on every run. */
void fill(void *out, size_t len);
/* A name that lives until the program ends. */
const char *name_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
