/* Rules of composition. */
#include "satellite/batch.h"

bool batch_begins_upload(const Metainfo__BatchRequest *req, size_t i)
{
	if (i + 1 >= req->n_requests)
		return false;
	Metainfo__BatchRequestItem__RequestCase next = req->requests[i + 1]->request_case;
	return next == METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN ||
	       next == METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_MAKE_INLINE;
}

bool batch_is_work(Metainfo__BatchRequestItem__RequestCase item)
{
	return item == METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_BEGIN ||
	       item == METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_COMMIT ||
	       item == METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_COMMIT ||
	       item == METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_MAKE_INLINE;
}

ProtobufCBinaryData *batch_stream_id(Metainfo__BatchRequestItem *item)
{
	switch ((int)item->request_case) {
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_COMMIT:
		return &item->object_commit->stream_id;
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN:
		return &item->segment_begin->stream_id;
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_MAKE_INLINE:
		return &item->segment_make_inline->stream_id;
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_LIST:
		return &item->segment_list->stream_id;
	case METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_DOWNLOAD:
		return &item->segment_download->stream_id;
	default:
		return NULL;
	}
}
