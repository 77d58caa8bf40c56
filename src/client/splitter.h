/*
 * Where a stream of plain bytes is cut (encryption.md 3.1): full segments, and a tail that is
 * inline when it is small.  Only counts; the bytes that are not decided yet are the caller's.
 */
#ifndef ACRE_CLIENT_SPLITTER_H
#define ACRE_CLIENT_SPLITTER_H

#include <stdbool.h>
#include <stdint.h>

#include "access/content.h"
#include "base/num.h"

struct splitter {
	uint64_t segment_size; /* plain, above CONTENT_INLINE_MAX */
	uint64_t in_segment;   /* bytes of the segment being written */
	uint32_t segments;     /* complete or remote ones so far; the current segment's index */
	bool remote;	       /* the current segment is known not to be inline */
};

/* How many of n further bytes belong to the current segment and the same decision about it: while
 * undecided those up to the inline limit plus one (then it is remote), else up to its end. */
static inline uint64_t splitter_take(const struct splitter *s, uint64_t n)
{
	uint64_t end = s->remote ? s->segment_size : CONTENT_INLINE_MAX + 1;

	return MIN(n, end - s->in_segment);
}

enum splitter_event { SPLITTER_GO_ON, SPLITTER_REMOTE, SPLITTER_FULL };

/* n bytes, as splitter_take allowed, were added.  REMOTE: what was held back begins a remote
 * segment of index s->segments.  FULL: that segment is complete (the next byte begins another). */
static inline enum splitter_event splitter_add(struct splitter *s, uint64_t n)
{
	s->in_segment += n;
	if (!s->remote && s->in_segment == CONTENT_INLINE_MAX + 1) {
		s->remote = true;
		return SPLITTER_REMOTE;
	}
	if (s->remote && s->in_segment == s->segment_size) {
		s->in_segment = 0;
		s->remote = false;
		s->segments++;
		return SPLITTER_FULL;
	}
	return SPLITTER_GO_ON;
}

/* At the end of the stream: whether an inline segment of s->in_segment bytes follows, 0 for an
 * empty stream.  A remote segment that was begun simply ends. */
static inline bool splitter_inline_tail(const struct splitter *s)
{
	return !s->remote && (s->in_segment || !s->segments);
}

#endif
