/* What clients store with objects and get back completed, piece lists, bucket names, folded keys.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "satellite/bucket.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/listing.h"
#include "satellite/piece_list.h"

/* The metadata of a listed and of a found object: taken apart and put together again. */
static void metadata(struct call *call, struct bytes v)
{
	struct satellite sat = { .id = { { 1 } } };
	struct mcall mc = { .sat = &sat, .a = &call->scratch };
	struct object o = {
		.key = bytes_str("key"),
		.version = 1,
		.status = OBJECT_COMMITTED,
		.segment_count = 1,
		.cipher = 2,
		.block_size = 7424,
		.data = { .metadata = v, .key = bytes_str("wrapped"), .etag = v },
	};
	Metainfo__Object *m = NULL;
	Metainfo__ObjectListItem item = METAINFO__OBJECT_LIST_ITEM__INIT;

	if (answer_object(call, &mc, bytes_str("bucket"), 0, &o, &m) ||
	    answer_list_item(call, &mc, bytes_str("bucket"), 0, BYTES_NONE, &include_all, &o, false,
			     &item))
		abort();
	/* What was completed once stays as it is. */
	o.data.metadata = proto_bytes(m->encrypted_metadata);
	Metainfo__Object *again = NULL;
	if (answer_object(call, &mc, bytes_str("bucket"), 0, &o, &again) ||
	    !bytes_equal(proto_bytes(again->encrypted_metadata), o.data.metadata))
		abort();
}

static void pieces(struct call *call, struct bytes v)
{
	struct piece list[PIECE_LIST_MAX];
	AUTO_BUF struct buf b = BUF_INIT(1 << 16);
	size_t count = 0;

	if (piece_list_decode(call, v, list, &count))
		return;
	for (size_t i = 1; i < count; i++) {
		if (list[i].number <= list[i - 1].number)
			abort();
	}
	piece_list_encode(&b, list, count);
	struct piece back[PIECE_LIST_MAX];
	size_t back_count = 0;
	if (piece_list_decode(call, buf_bytes(&b), back, &back_count) || back_count != count ||
	    memcmp(back, list, count * sizeof(*list)))
		abort();
}

static void keys(struct call *call, struct bytes v)
{
	uint8_t *next = arena_alloc(&call->scratch, v.len + 1);
	struct bytes after = listing_after_prefix(v, next);
	size_t fold = listing_fold(v, bytes_str("/"));

	if (fold > v.len || (fold && v.data[fold - 1] != '/'))
		abort();
	if (after.len && (bytes_compare(after, v) <= 0 || bytes_has_prefix(after, v)))
		abort();
	if (!bucket_name_check(call, v) && (v.len < 3 || v.len > 63))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CALL struct call call = CALL_INIT;

	if (!size)
		return 0;
	struct bytes v = BYTES(data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		metadata(&call, v);
		break;
	case 1:
		pieces(&call, v);
		break;
	default:
		keys(&call, v);
	}
	return 0;
}
