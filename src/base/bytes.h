/*
 * Byte extents.  struct bytes is a view: it owns nothing and lives as long as what it points to.
 * struct buf grows, up to the maximum it was born with; its error is sticky and checked once.
 */
#ifndef ACRE_BASE_BYTES_H
#define ACRE_BASE_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct bytes {
	const uint8_t *data;
	size_t len;
};

#define BYTES(p, n) ((struct bytes){ (const uint8_t *)(p), (n) })
#define BYTES_NONE ((struct bytes){ NULL, 0 })
/* View of an array (not of a pointer). */
#define BYTES_OF(array) BYTES((array), sizeof(array))

static inline struct bytes bytes_str(const char *text)
{
	return BYTES(text, text ? strlen(text) : 0);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	if (a.len != b.len)
		return false;
	return !a.len || memcmp(a.data, b.data, a.len) == 0;
}

/* Bytewise order, shorter first when one is a prefix of the other: <0, 0, >0. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.data, b.data, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool bytes_has_prefix(struct bytes a, struct bytes prefix)
{
	return a.len >= prefix.len && bytes_equal(BYTES(a.data, prefix.len), prefix);
}

/* The part from `at` on; empty when at is beyond the end. */
static inline struct bytes bytes_from(struct bytes a, size_t at)
{
	return at >= a.len ? BYTES_NONE : BYTES(a.data + at, a.len - at);
}

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;  /* never grows beyond */
	bool failed; /* an append did not fit or memory ran out; sticky, data is then incomplete */
};

/* A buffer that may hold up to max bytes.  Free with buf_free; AUTO_BUF does it at scope end. */
#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })

void buf_free(struct buf *b);
/* Overwrites the content before freeing it. */
void buf_free_secret(struct buf *b);
/* Room for `more` further bytes; false (and sticky) beyond max or without memory. */
bool buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_bytes(struct buf *b, struct bytes v);
void buf_add_str(struct buf *b, const char *text);
void buf_add_byte(struct buf *b, uint8_t byte);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Removes the first n bytes (all when n is larger). */
void buf_drop_front(struct buf *b, size_t n);
/* The content as a C string: a zero byte is put behind it.  "" when failed or empty. */
const char *buf_cstr(struct buf *b);
/* OK, or ERR_NO_MEMORY when an append failed. */
enum err buf_status(const struct buf *b);

static inline struct bytes buf_bytes(const struct buf *b)
{
	return BYTES(b->data, b->len);
}

static inline void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

#endif
