/* Pages of objects, of pending uploads and of an upload's parts (metainfo.md 5.11 to 5.13). */
#ifndef ACRE_CLIENT_LISTING_H
#define ACRE_CLIENT_LISTING_H

#include "client/object.h"

struct listing_options {
	struct bytes prefix, cursor; /* plain; the cursor is relative to the prefix */
	bool recursive;
	bool system, custom; /* what to fill in */
	bool pending;	     /* uploads instead of objects */
};

/* A listing under way: one page at a time. */
struct listing;
/* The options' bytes are copied. */
enum err listing_new(struct call *call, struct project *p, struct bytes bucket,
		     const struct listing_options *options, struct listing **ret) MUST_USE;
void listing_free(struct listing *l);
/* The next item, with its full key; views until the next call.  ERR_EOF at the end. */
enum err listing_next(struct call *call, struct listing *l, const struct object **ret) MUST_USE;

/* Items that did not decrypt. */
uint64_t listing_skipped(const struct listing *l);

struct part {
	uint32_t number;
	uint64_t size;
	int64_t modified_ns;
	struct bytes etag;
};

struct part_listing;
enum err part_listing_new(struct call *call, struct project *p, struct bytes bucket,
			  struct bytes key, struct bytes stream_id, uint32_t cursor,
			  struct part_listing **ret) MUST_USE;
void part_listing_free(struct part_listing *l);
/* The next part; views until the next call.  ERR_EOF at the end. */
enum err part_listing_next(struct call *call, struct part_listing *l,
			   const struct part **ret) MUST_USE;

#endif
