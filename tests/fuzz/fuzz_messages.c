/* Messages of all services; the first byte chooses the type.  Batches are unpacked as a satellite
 * does: the outer message, zstd, the inner one. */
#include <stdlib.h>

#include "proto/contact.pb-c.h"
#include "proto/gracefulexit.pb-c.h"
#include "proto/heldamount.pb-c.h"
#include "proto/metainfo.pb-c.h"
#include "proto/nodestats.pb-c.h"
#include "proto/piecestore2.pb-c.h"
#include "proto/proto.h"
#include "proto/sat_ids.pb-c.h"
#include "proto/zstd.h"

static const ProtobufCMessageDescriptor *const types[] = {
	&metainfo__compressed_batch_request__descriptor,
	&metainfo__batch_request__descriptor,
	&metainfo__batch_response__descriptor,
	&metainfo__object__descriptor,
	&metainfo__cohort_requirements__descriptor,
	&piecestore__piece_upload_request__descriptor,
	&piecestore__piece_download_request__descriptor,
	&piecestore__piece_download_response__descriptor,
	&piecestore__exists_response__descriptor,
	&contact__check_in_request__descriptor,
	&orders__settlement_request__descriptor,
	&orders__settlement_with_window_response__descriptor,
	&nodestats__get_stats_response__descriptor,
	&heldamount__get_all_paystubs_response__descriptor,
	&gracefulexit__satellite_message__descriptor,
	&satellite_ids__segment_id__descriptor,
	&node__node_tag_set__descriptor,
	&node__signed_node_tag_sets__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decoded, written, decoded: there is nothing we read but cannot write. */
static ProtobufCMessage *round_trip(struct call *call, const ProtobufCMessageDescriptor *type,
				    struct bytes wire)
{
	struct buf out = BUF_INIT(PROTO_DECODED_MAX);
	ProtobufCMessage *m, *again;

	if (proto_decode(call, &call->scratch, type, wire, &m) != OK)
		return NULL;
	if (proto_encode(call, m, &out) != OK ||
	    proto_decode(call, &call->scratch, type, buf_bytes(&out), &again) != OK)
		abort();
	buf_free(&out);
	return m;
}

static void unpack_batch(struct call *call, const Metainfo__CompressedBatchRequest *m)
{
	struct buf plain = BUF_INIT(PROTO_MESSAGE_MAX);
	struct bytes packed = proto_bytes(m->data);

	if (m->selected == METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD) {
		if (zstd_decompress(call, packed, PROTO_MESSAGE_MAX, &plain) == OK)
			round_trip(call, &metainfo__batch_request__descriptor, buf_bytes(&plain));
	} else {
		round_trip(call, &metainfo__batch_request__descriptor, packed);
	}
	buf_free(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct call call;

	if (size == 0)
		return 0;
	call_init(&call);
	/* Twice what one message may take: a decoded and a reread copy. */
	call.scratch.max = 256 << 20;
	size_t which = data[0] % (sizeof(types) / sizeof(types[0]));
	ProtobufCMessage *m = round_trip(&call, types[which], BYTES(data + 1, size - 1));
	if (m && which == 0)
		unpack_batch(&call, (const Metainfo__CompressedBatchRequest *)m);
	call_fini(&call);
	return 0;
}
