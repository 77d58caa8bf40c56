/* Growing byte buffers with a limit at birth. */
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUF_CAP_MIN = 64 };

void buf_free(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT(b->max);
}

void buf_free_secret(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_free(b);
}

bool buf_reserve(struct buf *b, size_t more)
{
	if (b->failed)
		return false;
	if (more > b->max || b->len > b->max - more) {
		b->failed = true;
		return false;
	}
	if (more <= b->cap - b->len)
		return true;
	size_t want = b->len + more;
	size_t cap = b->cap ? b->cap : BUF_CAP_MIN;
	while (cap < want)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	uint8_t *data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (len == 0 || !buf_reserve(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void buf_add_bytes(struct buf *b, struct bytes v)
{
	buf_add(b, v.data, v.len);
}

void buf_add_str(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_add_byte(struct buf *b, uint8_t byte)
{
	buf_add(b, &byte, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n >= 0 && (size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
	} else if (n < 0) {
		b->failed = true;
	} else {
		char *big = malloc((size_t)n + 1);
		if (big) {
			vsnprintf(big, (size_t)n + 1, fmt, again);
			buf_add(b, big, (size_t)n);
			free(big);
		} else {
			b->failed = true;
		}
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_drop_front(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		return;
	}
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

const char *buf_cstr(struct buf *b)
{
	if (b->failed)
		return "";
	if (b->len == b->cap) {
		/* The terminator is not content, so it does not count against the maximum. */
		uint8_t *data = realloc(b->data, b->cap + 1);
		if (!data) {
			b->failed = true;
			return "";
		}
		b->data = data;
		b->cap++;
	}
	b->data[b->len] = 0;
	return (const char *)b->data;
}

enum err buf_status(const struct buf *b)
{
	return b->failed ? ERR_NO_MEMORY : OK;
}
