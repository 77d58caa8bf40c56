/* Downloads: an object or a range of it, read in order. */
#ifndef ACRE_CLIENT_DOWNLOAD_H
#define ACRE_CLIENT_DOWNLOAD_H

#include "client/object.h"
#include "client/project.h"

struct download;

/* offset negative: so many bytes from the end, length must then be negative (to the end). */
enum err download_new(struct call *call, struct project *p, struct bytes bucket, struct bytes key,
		      int64_t offset, int64_t length, const AcreTransferOptions *transfer,
		      struct download **ret) MUST_USE;
/* Readies a call for an operation on it. */
void download_call(struct download *d, struct call *call);
/* 1 to cap bytes (cap > 0), or ERR_EOF. */
enum err download_read(struct call *call, struct download *d, uint8_t *buf, size_t cap,
		       size_t *ret_n) MUST_USE;
/* Lives as long as the download. */
const struct object *download_info(const struct download *d);
/* Ends what runs; nothing is read afterwards. */
void download_stop(struct download *d);
void download_free(struct download *d);

#endif
