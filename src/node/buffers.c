/* Buffers that transfers share. */
#include "node/buffers.h"

#include <stdlib.h>

#include "base/num.h"
#include "os/file.h"

void buffers_init(struct buffers *b, size_t size)
{
	*b = (struct buffers){ .size = size };
}

void buffers_fini(struct buffers *b)
{
	while (b->count)
		free(b->idle[--b->count]);
	os_mutex_fini(&b->lock);
}

uint8_t *buffers_take(struct buffers *b)
{
	uint8_t *buffer = NULL;

	os_mutex_lock(&b->lock);
	if (b->count)
		buffer = b->idle[--b->count];
	b->least = MIN(b->least, b->count);
	os_mutex_unlock(&b->lock);
	return buffer ? buffer : os_file_buffer(b->size);
}

void buffers_put(struct buffers *b, uint8_t *buffer)
{
	os_mutex_lock(&b->lock);
	if (buffer && b->count < BUFFERS_IDLE_MAX) {
		b->idle[b->count++] = buffer;
		buffer = NULL;
	}
	os_mutex_unlock(&b->lock);
	free(buffer);
}

void buffers_slim(struct buffers *b)
{
	uint8_t *unused[BUFFERS_IDLE_MAX];
	unsigned n = 0;

	os_mutex_lock(&b->lock);
	while (n < b->least)
		unused[n++] = b->idle[--b->count];
	b->least = b->count;
	os_mutex_unlock(&b->lock);
	while (n)
		free(unused[--n]);
}
