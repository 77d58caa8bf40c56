/* Flat buffers that empty from the front. */
#include <stdlib.h>

#include "base/num.h"
#include "net/internal.h"

enum { BUFFER_MIN = 4 << 10 };

bool net_buffer_reserve(struct net_buffer *b, size_t more, size_t max)
{
	size_t len = net_buffer_len(b);

	if (b->cap - b->end >= more)
		return true;
	if (more > max || len > max - more)
		return false;
	/* Moved only when at least half is free, or when it may not grow: the cost stays linear. */
	if (len + more <= b->cap && (len <= b->cap / 2 || b->cap == max)) {
		memmove(b->data, b->data + b->at, len);
		b->at = 0;
		b->end = len;
		return true;
	}
	size_t cap = b->cap ? MIN(b->cap * 2, max) : (size_t)BUFFER_MIN;
	while (cap < len + more)
		cap = MIN(cap * 2, max);
	/* One step less: what is left behind on the way is not given back to the system. */
	if (cap > max / 2)
		cap = max;
	uint8_t *data = malloc(cap);
	if (!data)
		return false;
	if (len)
		memcpy(data, b->data + b->at, len);
	free(b->data);
	*b = (struct net_buffer){ .data = data, .cap = cap, .end = len };
	return true;
}

void net_buffer_free(struct net_buffer *b)
{
	free(b->data);
	*b = (struct net_buffer){ 0 };
}
