/*
 * Buffers of one size that one transfer after another uses: an allocator keeps what each of many
 * threads once freed, and memory would be what all of them needed together.
 */
#ifndef ACRE_NODE_BUFFERS_H
#define ACRE_NODE_BUFFERS_H

#include "base/bytes.h"
#include "os/lock.h"

enum { BUFFERS_IDLE_MAX = 16 };

struct buffers {
	size_t size;
	struct os_mutex lock; /* guards what follows */
	uint8_t *idle[BUFFERS_IDLE_MAX];
	unsigned count, least; /* idle now; at least so many since the last buffers_slim */
};

void buffers_init(struct buffers *b, size_t size);
/* All have been put back; zeroed memory is fine. */
void buffers_fini(struct buffers *b);
/* As os_file_buffer; the content is undefined. */
uint8_t *buffers_take(struct buffers *b);
/* NULL is fine. */
void buffers_put(struct buffers *b, uint8_t *buffer);
/* Frees those that nobody has needed since the last time. */
void buffers_slim(struct buffers *b);

#endif
