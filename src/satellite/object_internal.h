/* Shared by object.c, delete.c and copymove.c. */
#ifndef ACRE_SATELLITE_OBJECT_INTERNAL_H
#define ACRE_SATELLITE_OBJECT_INTERNAL_H

#include "satellite/object.h"

/* Where a new committed row shall go. */
struct object_place {
	int64_t bucket_id;
	struct bytes key;
	bool versioned, if_none_match, may_delete;
	const struct stream_uuid *except; /* a row that may stay, being moved onto itself */
	int64_t now_ns;
	struct freed freed; /* out */
};
/* Finds the version number for it and, without versions, removes the row before (metainfo.md 5.6):
 * PermissionDenied without the Delete right, 10005 when locked, FailedPrecondition for
 * if_none_match. */
enum err object_make_room(struct call *call, struct db_tx *tx, struct object_place *place,
			  int64_t *ret_version) MUST_USE;
/* What a new object in that bucket is counted in (struct object's charged). */
enum err object_charged(struct call *call, struct db_tx *tx, const struct charge *c,
			const struct project_id *project, int64_t bucket_id, int64_t now_ns,
			struct bytes *ret) MUST_USE;
/* 10003 when lock settings are asked for in a bucket without lock. */
enum err object_lock_check(struct call *call, const struct bucket *bucket,
			   const struct retention *retention, bool legal_hold) MUST_USE;

#endif
