/* Upload IDs. */
#include "client/upload_id.h"

#include "base/cleanup.h"
#include "crypto/base58check.h"

enum { UPLOAD_ID_VERSION = 1 };

enum err upload_id_add(struct buf *out, struct bytes stream_id)
{
	return base58check_add(out, UPLOAD_ID_VERSION, stream_id);
}

enum err upload_id_parse(struct call *call, struct arena *a, struct bytes text, struct bytes *ret)
{
	struct buf out AUTO_BUF = BUF_INIT(UPLOAD_ID_TEXT_MAX);
	uint8_t version;

	if (!text.len || text.len > UPLOAD_ID_TEXT_MAX ||
	    base58check_decode(text, &version, &out) || version != UPLOAD_ID_VERSION || !out.len)
		return call_fail(call, ERR_INVALID,
				 "upload ID invalid; use the one that beginning the upload gave");
	*ret = arena_bytes(a, buf_bytes(&out));
	return ret->data ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}
