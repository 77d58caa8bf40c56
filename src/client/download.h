/* Downloads: an object or a range of it, read in order. */
#ifndef ACRE_CLIENT_DOWNLOAD_H
#define ACRE_CLIENT_DOWNLOAD_H

#include "client/object.h"
#include "client/project.h"

struct download;

/* offset negative: so many bytes from the end, length must then be negative (to the end).  A whole
 * object with transfer->resume_file goes on where an earlier try was (download_resumed). */
enum err download_new(struct call *call, struct project *p, struct bytes bucket, struct bytes key,
		      int64_t offset, int64_t length, const AcreTransferOptions *transfer,
		      struct download **ret) MUST_USE;
/* Readies a call for an operation on it. */
void download_call(struct download *d, struct call *call);
/* 1 to cap bytes (cap > 0), or ERR_EOF. */
enum err download_read(struct call *call, struct download *d, uint8_t *buf, size_t cap,
		       size_t *ret_n) MUST_USE;
/* What was told to the last checkpoint of an earlier try; offset 0 = nothing. */
struct download_resumed {
	uint64_t offset;
	struct bytes guard; /* lives as long as the download */
};
struct download_resumed download_resumed(const struct download *d);
/* ERR_PRECONDITION when the download has no resume file. */
enum err download_checkpoint(struct call *call, struct download *d, uint64_t offset,
			     struct bytes guard) MUST_USE;
/* The state is not needed any more. */
void download_done(struct download *d);
/* Lives as long as the download. */
const struct object *download_info(const struct download *d);
/* Ends what runs; nothing is read afterwards. */
void download_stop(struct download *d);
void download_free(struct download *d);

#endif
