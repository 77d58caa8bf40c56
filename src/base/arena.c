/* Bump allocation in chunks. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_MIN = 4 << 10, CHUNK_MAX = 1 << 20, GROW_FIRST = 4 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* of data */
	_Alignas(max_align_t) uint8_t data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	size_t max = a->max ? a->max : ARENA_MAX_DEFAULT;
	size_t align = _Alignof(max_align_t);

	if (size > max)
		return NULL;
	size = size ? (size + align - 1) & ~(align - 1) : align;
	if (!a->head || size > a->head->size - a->used) {
		size_t want = a->head ? a->head->size * 2 : CHUNK_MIN;
		if (want > CHUNK_MAX)
			want = CHUNK_MAX;
		if (want < size)
			want = size;
		if (want > max - (a->total < max ? a->total : max)) {
			want = size;
			if (a->total > max || want > max - a->total)
				return NULL;
		}
		struct arena_chunk *c = malloc(sizeof(*c) + want);
		if (!c)
			return NULL;
		c->next = a->head;
		c->size = want;
		a->head = c;
		a->used = 0;
		a->total += want;
	}
	void *p = a->head->data + a->used;
	a->used += size;
	memset(p, 0, size);
	return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		return NULL;
	return arena_alloc(a, count * size);
}

void *arena_grow(struct arena *a, void *list, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? *cap * 2 : GROW_FIRST;

	if (n < *cap)
		return list;
	void *bigger = arena_array(a, more, size);
	if (bigger && n)
		memcpy(bigger, list, n * size);
	*cap = more;
	return bigger;
}

char *arena_str(struct arena *a, struct bytes text)
{
	char *s = text.len < SIZE_MAX ? arena_alloc(a, text.len + 1) : NULL;

	if (s && text.len)
		memcpy(s, text.data, text.len);
	return s;
}

struct bytes arena_bytes(struct arena *a, struct bytes v)
{
	void *p = v.len ? arena_alloc(a, v.len) : NULL;

	if (!p)
		return BYTES_NONE;
	memcpy(p, v.data, v.len);
	return BYTES(p, v.len);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	char *s = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
	if (s)
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return s;
}

static void free_list(struct arena_chunk *c)
{
	while (c) {
		struct arena_chunk *next = c->next;
		free(c);
		c = next;
	}
}

void arena_free(struct arena *a)
{
	free_list(a->head);
	a->head = NULL;
	a->used = a->total = 0;
}

void arena_reset(struct arena *a)
{
	if (!a->head)
		return;
	free_list(a->head->next);
	a->head->next = NULL;
	a->total = a->head->size;
	a->used = 0;
}
