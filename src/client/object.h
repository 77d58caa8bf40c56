/* Objects: what the satellite says, decrypted; stat, delete, new metadata, copy, move. */
#ifndef ACRE_CLIENT_OBJECT_H
#define ACRE_CLIENT_OBJECT_H

#include "client/metadata.h"
#include "client/project.h"
#include "proto/metainfo.pb-c.h"

/* Lives in the arena it was made in. */
struct object {
	struct bytes key;
	bool is_prefix;
	int64_t created_ns, expires_ns; /* 0 = none */
	int64_t size;			/* plain bytes */
	struct metadata metadata;
	enum cipher cipher; /* of the content */
	uint32_t block;	    /* encrypted block size */
	struct bytes stream_id;
	struct bytes version;
};

/* *ret NULL for an answer without an object (metainfo.md 1.2 item 1). */
enum err object_from_answer(struct call *call, const struct project *p, struct arena *a,
			    struct bytes bucket, struct bytes key, const Metainfo__Object *answer,
			    struct object **ret) MUST_USE;
enum err object_stat(struct call *call, struct project *p, struct arena *a, struct bytes bucket,
		     struct bytes key, struct object **ret) MUST_USE;
/* *ret NULL when there was nothing, or the grant may not know. */
enum err object_delete(struct call *call, struct project *p, struct arena *a, struct bytes bucket,
		       struct bytes key, struct object **ret) MUST_USE;
enum err object_update_metadata(struct call *call, struct project *p, struct bytes bucket,
				struct bytes key, const struct meta_entry *entries,
				size_t count) MUST_USE;

struct place {
	struct bytes bucket, key;
};
enum err object_copy(struct call *call, struct project *p, struct arena *a, struct place from,
		     struct place to, struct object **ret) MUST_USE;
enum err object_move(struct call *call, struct project *p, struct place from,
		     struct place to) MUST_USE;

#endif
