/* Buckets. */
#ifndef ACRE_CLIENT_BUCKET_H
#define ACRE_CLIENT_BUCKET_H

#include "client/project.h"

/* Lives in the arena it was made in. */
struct bucket {
	struct bytes name;
	int64_t created_ns; /* 0 = not known */
};

enum err bucket_stat(struct call *call, struct project *p, struct arena *a, struct bytes name,
		     struct bucket *ret) MUST_USE;
/* ERR_EXISTS (UPLINK_ERROR_BUCKET_ALREADY_EXISTS), and *ret set nevertheless. */
enum err bucket_create(struct call *call, struct project *p, struct arena *a, struct bytes name,
		       struct bucket *ret) MUST_USE;
enum err bucket_delete(struct call *call, struct project *p, struct arena *a, struct bytes name,
		       bool with_objects, struct bucket *ret) MUST_USE;
/* A page of buckets behind the cursor. */
enum err bucket_list(struct call *call, struct project *p, struct arena *a, struct bytes cursor,
		     struct bucket **ret, size_t *ret_count, bool *ret_more) MUST_USE;

#endif
