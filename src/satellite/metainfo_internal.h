/* What the metainfo service keeps in memory. */
#ifndef ACRE_SATELLITE_METAINFO_INTERNAL_H
#define ACRE_SATELLITE_METAINFO_INTERNAL_H

#include "os/cancel.h"
#include "os/thread.h"
#include "satellite/bandwidth.h"
#include "satellite/object_rate.h"
#include "satellite/piece_list.h"
#include "satellite/usage.h"

struct metainfo {
	struct node_aliases *aliases;
	struct object_rate *upload_rate, *download_rate; /* NULL: no limit */
	struct usage *usage;
	struct bandwidth *bandwidth;
	struct os_cancel stop;
	bool has_stop;
	struct os_thread *chore;
};

/* Removes objects expired and uploads given up at that time. */
enum err metainfo_delete_expired(struct call *call, struct satellite *sat, int64_t now_ns,
				 size_t *ret_deleted) MUST_USE;

#endif
