/*
 * The plain bytes of one segment out of a source that can be read at any place, as a file: read by
 * the thread that encrypts them, from the start again if need be.
 */
#ifndef ACRE_CLIENT_SOURCE_RANGE_H
#define ACRE_CLIENT_SOURCE_RANGE_H

#include "client/plain_source.h"

/* As AcreReadAtFunc of acre.h: bytes read, fewer than asked only at the end, or negative. */
struct source_reader {
	int64_t (*read)(void *arg, uint64_t offset, void *bytes, size_t length);
	void *arg;
};

enum { SOURCE_RANGE_BYTES = 256 << 10 };

struct source_range;

/* [at, at + size) of the source; extents of about `bytes`, a multiple of block. */
enum err source_range_new(struct call *call, const struct source_reader *reader, uint64_t at,
			  uint64_t size, size_t block, size_t bytes,
			  struct source_range **ret) MUST_USE;
void source_range_free(struct source_range *r);
/* peek fails with ERR_IO where the source fails or ends too soon. */
struct plain_source source_range_plain(struct source_range *r);
void source_range_rewind(struct source_range *r);
/* All of a short piece of the source. */
enum err source_read(struct call *call, const struct source_reader *reader, uint64_t at,
		     uint8_t *buf, size_t len) MUST_USE;

#endif
