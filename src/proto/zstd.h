/* One-shot zstd for CompressedBatch (metainfo.md 2). */
#ifndef ACRE_PROTO_ZSTD_H
#define ACRE_PROTO_ZSTD_H

#include "base/bytes.h"
#include "base/call.h"

enum {
	ZSTD_WINDOW_LOG_MAX = 20,      /* what we write: a window of 1 MiB */
	ZSTD_READ_WINDOW_LOG_MAX = 26, /* what we read: no window beyond the largest answer */
	ZSTD_DECODED_MAX = 64 << 20,   /* clients refuse more; so do we */
};

/* Appends one frame holding `plain` to out.  ERR_NO_MEMORY when it does not fit there. */
enum err zstd_compress(struct call *call, struct bytes plain, struct buf *out) MUST_USE;
/* Appends what the frames in `packed` hold.  ERR_OUT_OF_RANGE when that is more than `limit`
 * bytes (or a frame wants a window beyond ZSTD_READ_WINDOW_LOG_MAX), ERR_FORMAT when it is damaged
 * or cut short; out->len is then as before. */
enum err zstd_decompress(struct call *call, struct bytes packed, size_t limit,
			 struct buf *out) MUST_USE;

#endif
