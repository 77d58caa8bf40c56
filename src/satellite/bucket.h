/* Rules for buckets (metainfo.md 4); nothing here touches the database. */
#ifndef ACRE_SATELLITE_BUCKET_H
#define ACRE_SATELLITE_BUCKET_H

#include "proto/metainfo.pb-c.h"
#include "satellite/metainfo.h"

/* 3 to 63 bytes; labels between dots begin and end with a letter or digit, hyphens inside; no IPv4
 * address.  InvalidArgument. */
enum err bucket_name_check(struct call *call, struct bytes name) MUST_USE;
/* On, or suspended if it ever was on: FailedPrecondition otherwise, 10002 with a lock. */
enum err bucket_set_versioning(struct call *call, struct bucket *b, bool on) MUST_USE;
/* The tools of a user agent, "product/version" each: without comments and the libraries that all
 * have in common (metainfo.md 5.1); empty when nothing is left.  Memory from `a`. */
struct bytes user_agent_trim(struct arena *a, struct bytes user_agent);
/* 10007 when the configuration says nothing useful.  No default retention: all zero. */
enum err bucket_read_lock(struct call *call, const Metainfo__ObjectLockConfiguration *m,
			  int32_t *ret_mode, int32_t *ret_days, int32_t *ret_years) MUST_USE;

#endif
