/* Which items of a batch need what the batch remembers (metainfo.md 2); decides only. */
#ifndef ACRE_SATELLITE_BATCH_H
#define ACRE_SATELLITE_BATCH_H

#include <stdbool.h>

#include "proto/metainfo.pb-c.h"

/* object_begin directly followed by a segment: a regular upload, not a multipart one. */
bool batch_begins_upload(const Metainfo__BatchRequest *req, size_t i);
/* An item that runs in the work group instead of by itself. */
bool batch_is_work(Metainfo__BatchRequestItem__RequestCase item);
/* The stream id in an item, or NULL when it has none. */
ProtobufCBinaryData *batch_stream_id(Metainfo__BatchRequestItem *item);

#endif
