/* zstd with both sides bounded: the window when writing, the output when reading. */
#include "proto/zstd.h"

#include <zstd.h>

#include "base/cleanup.h"
#include "base/num.h"

/* Most of what is compressed is cipher text: more effort finds nothing more. */
enum { LEVEL = 1, CHUNK = 64 << 10 };

DEFINE_AUTO_PTR(ZSTD_CCtx, cctx_auto, (void)ZSTD_freeCCtx)
DEFINE_AUTO_PTR(ZSTD_DCtx, dctx_auto, (void)ZSTD_freeDCtx)

static enum err compress(struct call *call, ZSTD_CCtx *c, struct bytes plain, struct buf *out)
{
	if (ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, ZSTD_WINDOW_LOG_MAX)))
		return call_fail(call, ERR_INTERNAL, "zstd refuses its parameters");
	size_t room = ZSTD_compressBound(plain.len);
	if (room > out->max - out->len)
		room = out->max - out->len;
	if (!buf_reserve(out, room))
		return call_fail(call, ERR_NO_MEMORY, "no memory to compress %zu bytes", plain.len);
	size_t n = ZSTD_compress2(c, out->data + out->len, room, plain.data, plain.len);
	if (ZSTD_isError(n))
		return call_fail(call, ERR_NO_MEMORY, "compressing %zu bytes: %s", plain.len,
				 ZSTD_getErrorName(n));
	out->len += n;
	return OK;
}

enum err zstd_compress(struct call *call, struct bytes plain, struct buf *out)
{
	ZSTD_CCtx *c AUTO(cctx_auto) = ZSTD_createCCtx();

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "no memory for zstd");
	return compress(call, c, plain, out);
}

/* The announced size of the frames is not believed; output grows as it comes.  At the limit one
 * spare byte tells "exactly at it" from "more". */
static enum err decompress(struct call *call, ZSTD_DCtx *d, struct bytes packed, size_t limit,
			   struct buf *out)
{
	ZSTD_inBuffer in = { packed.data, packed.len, 0 };
	size_t left = MIN(limit, out->max - out->len);
	size_t pending = 1;

	while (in.pos < in.size || pending) {
		size_t room = MIN(left, CHUNK), before = in.pos;
		uint8_t spare;
		if (!buf_reserve(out, room))
			return call_fail(call, ERR_NO_MEMORY, "no memory to unfold zstd data");
		ZSTD_outBuffer o = { &spare, 1, 0 };
		if (room)
			o = (ZSTD_outBuffer){ out->data + out->len, room, 0 };
		pending = ZSTD_decompressStream(d, &o, &in);
		if (ZSTD_isError(pending))
			return call_fail(call, ERR_FORMAT, "zstd data: %s",
					 ZSTD_getErrorName(pending));
		if (!room && o.pos)
			return call_fail(call, ERR_OUT_OF_RANGE,
					 "zstd data unfolds beyond the limit of %zu bytes", limit);
		out->len += o.pos;
		left -= room ? o.pos : 0;
		if (pending && in.pos == before && o.pos == 0)
			return call_fail(call, ERR_FORMAT, "zstd data is cut short");
	}
	return OK;
}

enum err zstd_decompress(struct call *call, struct bytes packed, size_t limit, struct buf *out)
{
	ZSTD_DCtx *d AUTO(dctx_auto) = ZSTD_createDCtx();
	size_t start = out->len;

	if (!d)
		return call_fail(call, ERR_NO_MEMORY, "no memory for zstd");
	if (ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_READ_WINDOW_LOG_MAX)))
		return call_fail(call, ERR_INTERNAL, "zstd refuses its parameters");
	enum err e = decompress(call, d, packed, limit, out);
	if (e != OK) {
		out->len = start;
		out->failed = false;
	}
	return e;
}
