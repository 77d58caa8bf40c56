/* Plain bytes of one segment, encrypted block by block (encryption.md 3.3). */
#ifndef ACRE_CLIENT_SEGMENT_SOURCE_H
#define ACRE_CLIENT_SEGMENT_SOURCE_H

#include "access/content.h"
#include "client/plain_source.h"

struct segment_source {
	struct plain_source from;
	struct content_sealer *sealer; /* borrowed */
	uint32_t block;		       /* encrypted bytes of a block */
	uint64_t plain;		       /* bytes taken so far; at the end the segment's size */
	bool ended;
	uint8_t *carry; /* up to two encrypted blocks that did not fit */
	size_t carry_at, carry_len;
};

enum err segment_source_init(struct call *call, struct segment_source *s, struct plain_source from,
			     struct content_sealer *sealer, uint32_t block) MUST_USE;
void segment_source_fini(struct segment_source *s);
/* Up to cap encrypted bytes; fewer than cap only at the end. */
enum err segment_source_read(struct call *call, struct segment_source *s, uint8_t *buf, size_t cap,
			     size_t *ret_n) MUST_USE;

#endif
