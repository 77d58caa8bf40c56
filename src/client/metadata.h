/* What an object says about itself, and how it is encrypted (encryption.md 4). */
#ifndef ACRE_CLIENT_METADATA_H
#define ACRE_CLIENT_METADATA_H

#include "access/content.h"
#include "base/call.h"
#include "proto/meta.h"

enum { METADATA_ENTRIES_MAX = 1000 };

struct metadata {
	int64_t segments_size; /* plain bytes of all segments but the last; 0 = varied or unknown */
	int64_t last_segment_size;
	int64_t segments;	    /* as the satellite counts them */
	struct meta_entry *entries; /* sorted by key, each key once; UTF-8 without zero bytes
				     * when written here, whatever peers wrote otherwise */
	size_t count;
	struct bytes etag;
};

/* The four values that the satellite keeps. */
struct sealed_metadata {
	struct content_nonce nonce;
	struct bytes wrapped_key; /* all empty: there is no metadata */
	struct bytes metadata;
	struct bytes etag;
};

/* ERR_INVALID when a key is empty, or not UTF-8, or has a zero byte, or a value has.  Copies into
 * `a`, sorts, and keeps the last of equal keys. */
enum err metadata_set(struct call *call, struct arena *a, const struct meta_entry *entries,
		      size_t count, struct metadata *ret) MUST_USE;
/* With a new random key, wrapped under the object's content key. */
enum err metadata_seal(struct call *call, struct arena *a, enum cipher cipher,
		       const struct secret_key *object_key, const struct metadata *m,
		       struct sealed_metadata *ret) MUST_USE;
/* ERR_CRYPTO when it was made with another key; listings skip such objects.  *ret_cipher and
 * *ret_block: what StreamMeta says about content (fields 2, 3), 0 when nothing. */
enum err metadata_open(struct call *call, struct arena *a, const struct secret_key *object_key,
		       const struct sealed_metadata *sealed, struct metadata *ret,
		       enum cipher *ret_cipher, int32_t *ret_block) MUST_USE;

#endif
