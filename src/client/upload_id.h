/* Upload IDs: base58check, version 1, of a stream ID (encryption.md 6). */
#ifndef ACRE_CLIENT_UPLOAD_ID_H
#define ACRE_CLIENT_UPLOAD_ID_H

#include "base/bytes.h"
#include "base/call.h"

enum { UPLOAD_ID_TEXT_MAX = 16 << 10 };

enum err upload_id_add(struct buf *out, struct bytes stream_id) MUST_USE;
enum err upload_id_parse(struct call *call, struct arena *a, struct bytes text,
			 struct bytes *ret_stream_id) MUST_USE;

#endif
