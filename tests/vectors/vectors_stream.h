/* Big inputs are named, not stored: SHA-256(label || counter) again and again, cut to size. */
#ifndef ACRE_TESTS_VECTORS_STREAM_H
#define ACRE_TESTS_VECTORS_STREAM_H

#include "base/arena.h"
#include "base/num.h"
#include "crypto/hash.h"

static inline struct bytes vector_stream(struct arena *a, const char *label, size_t size)
{
	size_t len = strlen(label);
	uint8_t *data = arena_alloc(a, size + HASH_BYTES), *block = arena_alloc(a, len + 8);

	assert_non_null(data);
	assert_non_null(block);
	memcpy(block, label, len);
	for (size_t c = 0; c * HASH_BYTES < size; c++) {
		put_be64(block + len, c);
		hash_sha256(BYTES(block, len + 8), data + c * HASH_BYTES);
	}
	return BYTES(data, size);
}

#endif
