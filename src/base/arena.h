/*
 * Arena: memory that is freed all at once.  Chunks double up to a limit; nothing is freed singly.
 * Not thread safe; belongs to one call.
 */
#ifndef ACRE_BASE_ARENA_H
#define ACRE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *head;
	size_t used;  /* bytes taken in head */
	size_t total; /* bytes held in all chunks */
	size_t max;   /* limit of total; 0 means ARENA_MAX_DEFAULT */
};

enum { ARENA_MAX_DEFAULT = 256 << 20 };

/* Zeroed memory aligned for any type; NULL when the limit or memory is exhausted. */
void *arena_alloc(struct arena *a, size_t size);
/* As arena_alloc for count elements, checked for overflow. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* Room for one more after n of an array: `list` itself while n < *cap, else a copy with more room.
 * Begins with list NULL and *cap 0; NULL when the arena is full. */
void *arena_grow(struct arena *a, void *list, size_t *cap, size_t n, size_t size);
/* A zero-terminated copy; NULL like arena_alloc. */
char *arena_str(struct arena *a, struct bytes text);
/* A copy of the bytes; data is NULL (len 0) when memory is exhausted or v is empty. */
struct bytes arena_bytes(struct arena *a, struct bytes v);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Frees everything; the arena can be used again. */
void arena_free(struct arena *a);
/* Forgets everything but keeps the newest chunk, for a loop that serves one message after another.
 */
void arena_reset(struct arena *a);

#endif
