/*
 * Parts of a pending upload, put together from its segments (metainfo.md 5.11): sizes add up, the
 * newest time counts, the ETag sits on the last segment.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "client/listing.h"
#include "client/metainfo.h"
#include "proto/proto.h"

struct part_listing {
	struct project *project;
	struct arena arena;
	struct bytes stream_id;
	struct secret_key object_key;
	struct bytes bucket, key;
	int32_t cursor_part, cursor_index;
	bool more;
	struct arena page;
	Metainfo__ListSegmentsResponse *answer;
	size_t at;
	struct part part; /* being put together, then handed out */
	struct buf etag;
};

DEFINE_AUTO_PTR(struct part_listing, part_listing_auto, part_listing_free)

enum err part_listing_new(struct call *call, struct project *p, struct bytes bucket,
			  struct bytes key, struct bytes stream_id, uint32_t cursor,
			  struct part_listing **ret)
{
	struct part_listing *l AUTO(part_listing_auto) = calloc(1, sizeof(*l));

	TRY_PLAIN(check_key(call, bucket, key));
	if (!l)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	l->etag = BUF_INIT(CONTENT_METADATA_MAX);
	l->project = handle_ref(&p->handled);
	l->bucket = arena_bytes(&l->arena, bucket);
	l->key = arena_bytes(&l->arena, key);
	l->stream_id = arena_bytes(&l->arena, stream_id);
	if (!l->bucket.data || !l->key.data || !l->stream_id.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	/* Behind the last segment of the cursor's part; 0/0 is the start, inclusive. */
	if (cursor) {
		l->cursor_part = (int32_t)MIN(cursor, (uint32_t)INT32_MAX);
		l->cursor_index = INT32_MAX;
	}
	l->more = true;
	TRY_PLAIN(object_content_key(call, p, bucket, key, &l->object_key));
	*ret = take(&l);
	return OK;
}

void part_listing_free(struct part_listing *l)
{
	if (!l)
		return;
	secret_key_wipe(&l->object_key);
	buf_free(&l->etag);
	arena_free(&l->page);
	arena_free(&l->arena);
	if (l->project)
		handle_put(&l->project->handled);
	free(l);
}

static enum err load_page(struct call *call, struct part_listing *l)
{
	Metainfo__ListSegmentsRequest request = METAINFO__LIST_SEGMENTS_REQUEST__INIT;
	Metainfo__SegmentPosition cursor = METAINFO__SEGMENT_POSITION__INIT;

	arena_reset(&l->page);
	l->answer = NULL;
	l->at = 0;
	cursor.part_number = l->cursor_part;
	cursor.index = l->cursor_index;
	request.stream_id = proto_view(l->stream_id);
	request.cursor_position = &cursor;
	enum err e = metainfo_ask(call, &l->project->satellite, "ListSegments", &request.base,
				  &request.header, METAINFO_IDEMPOTENT, &l->page,
				  &metainfo__list_segments_response__descriptor, &l->answer);
	TRY_PLAIN(outcome_of_satellite(call, e, l->bucket, l->key));
	l->more = l->answer->more && l->answer->n_items;
	if (!l->more)
		return OK;
	const Metainfo__SegmentListItem *last = l->answer->items[l->answer->n_items - 1];
	if (!last->position)
		return call_fail(call, ERR_PROTOCOL, "segment without position");
	l->cursor_part = last->position->part_number;
	l->cursor_index = last->position->index;
	return OK;
}

/* The next segment, not yet taken; NULL at the end. */
static enum err peek(struct call *call, struct part_listing *l,
		     const Metainfo__SegmentListItem **ret)
{
	while (!l->answer || l->at == l->answer->n_items) {
		if (!l->more) {
			*ret = NULL;
			return OK;
		}
		TRY_PLAIN(load_page(call, l));
	}
	*ret = l->answer->items[l->at];
	return OK;
}

static enum err open_etag(struct call *call, struct part_listing *l,
			  const Metainfo__SegmentListItem *item)
{
	static const struct content_nonce zero;
	const Encryption__EncryptionParameters *e = l->answer->encryption_parameters;
	enum cipher cipher = e && e->cipher_suite ? (enum cipher)e->cipher_suite : CIPHER_AESGCM;
	struct secret_key segment_key AUTO(secret_key_wipe), etag_key AUTO(secret_key_wipe);
	struct content_nonce nonce;

	buf_clear(&l->etag);
	if (!item->encrypted_e_tag.len)
		return OK;
	if (!proto_fixed(item->encrypted_key_nonce, sizeof(nonce.b), nonce.b))
		return call_fail(call, ERR_FORMAT, "nonce of a wrong length");
	TRY(content_unwrap_key(call, cipher, &l->object_key, &nonce,
			       proto_bytes(item->encrypted_key), &segment_key),
	    "key of a part");
	content_etag_key(&segment_key, &etag_key);
	TRY(content_open(call, cipher, &etag_key, &zero, proto_bytes(item->encrypted_e_tag),
			 &l->etag),
	    "ETag of a part");
	return OK;
}

enum err part_listing_next(struct call *call, struct part_listing *l, const struct part **ret)
{
	const Metainfo__SegmentListItem *item;
	bool any = false;

	l->part = (struct part){ 0 };
	for (;;) {
		TRY_PLAIN(peek(call, l, &item));
		if (!item)
			break;
		if (!item->position || item->position->part_number < 0 || item->plain_size < 0)
			return call_fail(call, ERR_PROTOCOL, "segment with impossible numbers");
		if (any && (uint32_t)item->position->part_number != l->part.number)
			break;
		any = true;
		l->part.number = (uint32_t)item->position->part_number;
		l->part.size += (uint64_t)item->plain_size;
		l->part.modified_ns = MAX(l->part.modified_ns, proto_time(item->created_at));
		TRY_PLAIN(open_etag(call, l, item));
		l->at++;
	}
	if (!any)
		return ERR_EOF;
	l->part.etag = buf_bytes(&l->etag);
	*ret = &l->part;
	return OK;
}
