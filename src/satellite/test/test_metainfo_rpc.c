/* Metainfo as a client sees it: `test_metainfo_rpc sqlite|postgres`. */
#include "satellite/test/metainfo_requests.h"

/* ---- buckets ---- */

static void test_buckets(void **state)
{
	struct world *w = *state;
	Metainfo__GetBucketRequest look = METAINFO__GET_BUCKET_REQUEST__INIT;
	Metainfo__GetBucketResponse *got = NULL;
	Metainfo__ListBucketsRequest req = METAINFO__LIST_BUCKETS_REQUEST__INIT;
	Metainfo__ListBucketsResponse *page = NULL;
	Metainfo__DeleteBucketRequest rm = METAINFO__DELETE_BUCKET_REQUEST__INIT;
	Metainfo__DeleteBucketResponse *gone = NULL;
	Metainfo__GetBucketVersioningRequest ask_state =
		METAINFO__GET_BUCKET_VERSIONING_REQUEST__INIT;
	Metainfo__GetBucketVersioningResponse *versioning = NULL;
	Metainfo__SetBucketVersioningRequest set = METAINFO__SET_BUCKET_VERSIONING_REQUEST__INIT;

	must(w, create_bucket(w, "bbb"));
	must(w, create_bucket(w, "aaa"));
	must(w, create_bucket(w, "ccc"));
	refused(w, create_bucket(w, "aaa"), 6, "bucket already exists");
	refused(w, create_bucket(w, "A"), 3, "bucket name must be");
	look.name = VIEW("aaa");
	must(w, ask(w, "GetBucket", &look, &got));
	assert_true(bytes_equal(proto_bytes(got->bucket->name), bytes_str("aaa")));
	assert_int_equal(got->bucket->default_redundancy_scheme->total, 5);
	look.name = VIEW("none");
	refused(w, ask(w, "GetBucket", &look, &got), 5, "bucket not found: none");
	refused(w, ask(w, "ListBuckets", &req, &page), 3, "unknown list direction");
	req.direction = METAINFO__LIST_DIRECTION__FORWARD;
	req.cursor = VIEW("bbb");
	req.limit = 1;
	must(w, ask(w, "ListBuckets", &req, &page));
	assert_true(page->n_items == 1 && page->more);
	assert_true(bytes_equal(proto_bytes(page->items[0]->name), bytes_str("bbb")));
	req.direction = METAINFO__LIST_DIRECTION__AFTER;
	must(w, ask(w, "ListBuckets", &req, &page));
	assert_true(page->n_items == 1 && !page->more);
	assert_true(bytes_equal(proto_bytes(page->items[0]->name), bytes_str("ccc")));
	set.name = VIEW("aaa");
	refused(w, ask(w, "SetBucketVersioning", &set, NULL), 9,
		"versioning can only be suspended");
	set_versioning(w, "aaa", true);
	ask_state.name = VIEW("aaa");
	must(w, ask(w, "GetBucketVersioning", &ask_state, &versioning));
	assert_int_equal(versioning->versioning, 2);
	for (int i = 0; i < 5; i++)
		must(w, put_object(w, FORM_ZSTD, "bbb", arena_printf(&w->call.scratch, "k%d", i),
				   "x", NULL));
	rm.name = VIEW("bbb");
	refused(w, ask(w, "DeleteBucket", &rm, &gone), 9, "bucket not empty");
	rm.delete_all = true;
	must(w, ask(w, "DeleteBucket", &rm, &gone));
	assert_int_equal(gone->deleted_objects_count, 5);
	refused(w, ask(w, "DeleteBucket", &rm, &gone), 5, "bucket not found: bbb");
}

/* ---- small objects, in every form ---- */

static void check_small(struct world *w, const char *key, const Metainfo__Object *committed)
{
	Metainfo__Object *o = NULL;
	Metainfo__DownloadObjectResponse *d = NULL;
	/* info, cipher 2, block size 7424, key and nonce, one segment (metainfo.md 5.7) */
	static const uint8_t meta_start[] = { 0x0a, 4,	  'i',	'n',  'f', 'o',	 0x10, 2,
					      0x18, 0x80, 0x3a, 0x22, 76,  0x0a, 48,   9 };
	static const uint8_t meta_end[] = { 0x28, 1 };

	assert_true(committed->bucket.len > 0);
	assert_int_equal(committed->object_version.len, 16);
	must(w, get_object(w, "bucket", key, &o));
	assert_int_equal(o->status, METAINFO__OBJECT__STATUS__COMMITTED_UNVERSIONED);
	assert_int_equal(o->plain_size, 5);
	assert_null(o->expires_at);
	assert_true(bytes_equal(proto_bytes(o->stream_id), proto_bytes(committed->stream_id)));
	struct bytes meta = proto_bytes(o->encrypted_metadata);
	assert_true(bytes_has_prefix(meta, BYTES_OF(meta_start)));
	assert_memory_equal(meta.data + meta.len - 2, meta_end, 2);
	assert_non_null(o->legal_hold);
	must(w, download_object(w, "bucket", key, &d));
	assert_int_equal(d->n_segment_download, 1);
	assert_int_equal(d->segment_list->n_items, 1);
	assert_true(bytes_equal(proto_bytes(d->segment_download[0]->encrypted_inline_data),
				bytes_str("hello")));
	assert_int_equal(d->segment_download[0]->plain_size, 5);
}

static void test_small_objects(void **state)
{
	struct world *w = *state;
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__CommitObjectResponse *committed = NULL;
	Metainfo__BatchResponse *batch = NULL;

	must(w, create_bucket(w, "bucket"));
	must(w, ask(w, "BeginObject", begin_request(w, "bucket", "direct"), &begun));
	Metainfo__MakeInlineSegmentRequest *segment = inline_request(w, "hello");
	Metainfo__CommitObjectRequest *commit = commit_request(w);
	segment->stream_id = commit->stream_id = begun->stream_id;
	must(w, ask(w, "MakeInlineSegment", segment, NULL));
	must(w, ask(w, "CommitObject", commit, &committed));
	check_small(w, "direct", committed->object);
	refused(w, ask(w, "CommitObject", commit, &committed), 5, "object not found: ");
	refused(w, ask(w, "MakeInlineSegment", segment, NULL), 5, "pending object missing");
	for (enum form f = 0; f < FORMS; f++) {
		const char *key = arena_printf(&w->call.scratch, "form%d", f);
		must(w, put_object(w, f, "bucket", key, "hello", &batch));
		assert_int_equal(batch->n_responses, 3);
		assert_true(batch->responses[0]->object_begin->stream_id.len > 0);
		check_small(w, key, batch->responses[2]->object_commit->object);
	}
	refused(w, put_object(w, FORM_ZSTD, "none", "k", "x", NULL), 5, "bucket not found: none");
	/* Same key again: the number is kept, the old row is gone. */
	must(w, put_object(w, FORM_ZSTD, "bucket", "direct", "again", &batch));
	Metainfo__Object *o = NULL;
	must(w, get_object(w, "bucket", "direct", &o));
	assert_int_equal(get_be64(o->object_version.data), 1);
	refused(w, get_object(w, "bucket", "nothing", NULL), 5, "object not found: ");
	refused(w, get_object(w, "ab", "nothing", NULL), 3, "bucket name must be");
}

static void test_batch_rules(void **state)
{
	struct world *w = *state;
	Metainfo__BatchResponse *batch = NULL;
	Metainfo__Object *o = NULL;

	must(w, create_bucket(w, "bucket"));
	/* A commit without any stream before it; and nothing of a failed group stays. */
	Metainfo__BatchRequestItem *lone[] = { batch_item(w, I_COMMIT, commit_request(w)) };
	refused(w, ask_batch(w, FORM_ZSTD, lone, 1, NULL), 3, "invalid stream ID");
	Metainfo__MakeInlineSegmentRequest *big = inline_request(w, "x");
	uint8_t *much = arena_alloc(&w->call.scratch, LIMIT_INLINE_CIPHER_BYTES + 1);
	big->encrypted_inline_data = proto_view(BYTES(much, LIMIT_INLINE_CIPHER_BYTES + 1));
	Metainfo__BatchRequestItem *late[] = {
		batch_item(w, I_BEGIN, begin_request(w, "bucket", "late")),
		batch_item(w, I_INLINE, big),
		batch_item(w, I_COMMIT, commit_request(w)),
	};
	refused(w, ask_batch(w, FORM_PLAIN, late, 3, NULL), 3,
		"inline segment size cannot be larger");
	Metainfo__ListObjectsRequest pending = METAINFO__LIST_OBJECTS_REQUEST__INIT;
	Metainfo__ListObjectsResponse *page = NULL;
	pending.status = METAINFO__OBJECT__STATUS__UPLOADING;
	pending.recursive = true;
	must(w, list_objects(w, "bucket", &pending, &page));
	assert_int_equal(page->n_items, 0);
	/* Headers of items are ignored: this one's key is nonsense. */
	Metainfo__RequestHeader bad = METAINFO__REQUEST_HEADER__INIT;
	bad.api_key = VIEW("nonsense");
	Metainfo__GetBucketRequest *look = MESSAGE(w, GetBucketRequest, get_bucket_request);
	look->name = VIEW("bucket");
	look->header = &bad;
	Metainfo__BatchRequestItem *one[] = { batch_item(w, I_GET_BUCKET, look) };
	must(w, ask_batch(w, FORM_BATCH, one, 1, &batch));
	assert_int_equal(batch->responses[0]->response_case, I_GET_BUCKET);
	/* Items that clients send alone. */
	Metainfo__BatchRequestItem *copy[] = { batch_item(
		w, 28, MESSAGE(w, BeginCopyObjectRequest, begin_copy_object_request)) };
	refused(w, ask_batch(w, FORM_ZSTD, copy, 1, NULL), 0, "unsupported request type");
	/* And those that are gone, as when they come alone. */
	Metainfo__BatchRequestItem *finish[] = { batch_item(
		w, METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_FINISH_DELETE,
		MESSAGE(w, FinishDeleteObjectRequest, finish_delete_object_request)) };
	refused(w, ask_batch(w, FORM_ZSTD, finish, 1, NULL), 12, "");
	/* Nothing goes into an upload that the same batch committed, and so none of it is done. */
	Metainfo__BatchRequestItem *after[] = {
		batch_item(w, I_BEGIN, begin_request(w, "bucket", "after")),
		batch_item(w, I_INLINE, inline_request(w, "x")),
		batch_item(w, I_INLINE, inline_request(w, "y")),
		batch_item(w, I_COMMIT, commit_request(w)),
		batch_item(w, I_INLINE, inline_request(w, "z")),
	};
	must(w, ask_batch(w, FORM_ZSTD, after, 4, NULL));
	refused(w, ask_batch(w, FORM_ZSTD, after, 5, NULL), 5, "pending object missing");
	/* Found objects are remembered: the segment needs no id. */
	must(w, put_object(w, FORM_ZSTD, "bucket", "found", "hello", NULL));
	Metainfo__GetObjectRequest *find = MESSAGE(w, GetObjectRequest, get_object_request);
	find->bucket = VIEW("bucket");
	find->encrypted_object_key = VIEW("found");
	Metainfo__DownloadSegmentRequest *first = MESSAGE(w, DownloadSegmentRequest,
							  download_segment_request);
	first->cursor_position = answer_position(&w->call.scratch, 0);
	Metainfo__BatchRequestItem *read[] = { batch_item(w, I_GET, find),
					       batch_item(w, I_SEGMENT_DOWNLOAD, first) };
	must(w, ask_batch(w, FORM_ZSTD, read, 2, &batch));
	assert_true(bytes_equal(
		proto_bytes(batch->responses[1]->segment_download->encrypted_inline_data),
		bytes_str("hello")));
	first->cursor_position = answer_position(&w->call.scratch, 1);
	refused(w, ask_batch(w, FORM_ZSTD, read, 2, &batch), 5, "segment not found: ");
	/* The last segment, as very old clients ask for it. */
	first->cursor_position = answer_position(&w->call.scratch, segment_position(0, -1));
	must(w, ask_batch(w, FORM_ZSTD, read, 2, &batch));
	must(w, ask_batch(w, FORM_ZSTD, NULL, 0, &batch));
	must(w, get_object(w, "bucket", "found", &o));
}

static void test_compressed_garbage(void **state)
{
	struct world *w = *state;
	Metainfo__CompressedBatchRequest req = METAINFO__COMPRESSED_BATCH_REQUEST__INIT;
	Metainfo__CompressedBatchResponse *resp = NULL;

	for (int selected = 0; selected < 3; selected++) {
		req.selected = (Metainfo__CompressedBatchRequest__CompressionType)selected;
		req.data = VIEW("\xff garbage");
		refused(w,
			rpc_invoke(&w->call, w->conn, "/metainfo.Metainfo/CompressedBatch",
				   &req.base, &w->call.scratch,
				   &metainfo__compressed_batch_response__descriptor, &resp),
			0, selected == 2 ? "unsupported compression" : "batch data cannot be");
	}
}

/* ---- remote segments ---- */

static void check_limits(struct world *w, Metainfo__AddressedOrderLimit **limits, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const Orders__OrderLimit *l = limits[i]->limit;
		must(w, order_limit_verify(&w->call, l,
					   cert_chain_leaf_key(identity_chain(w->sat.identity))));
		assert_true(bytes_equal(proto_bytes(l->serial_number),
					proto_bytes(limits[0]->limit->serial_number)));
		assert_true(strlen(limits[i]->storage_node_address->address) > 0);
		for (size_t k = 0; k < i; k++)
			assert_false(bytes_equal(proto_bytes(l->storage_node_id),
						 proto_bytes(limits[k]->limit->storage_node_id)));
	}
}

static void check_remote_download(struct world *w, const char *key)
{
	Metainfo__DownloadObjectRequest req = METAINFO__DOWNLOAD_OBJECT_REQUEST__INIT;
	Metainfo__DownloadObjectResponse *d = NULL;
	Metainfo__Range range = METAINFO__RANGE__INIT;
	Metainfo__RangeStartLimit part = METAINFO__RANGE_START_LIMIT__INIT;

	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW(key);
	for (int all = 0; all < 2; all++) {
		size_t offered = 0;
		req.desired_nodes = all ? INT32_MAX : 0;
		must(w, ask(w, "DownloadObject", &req, &d));
		const Metainfo__DownloadSegmentResponse *s = d->segment_download[0];
		assert_int_equal(s->n_addressed_limits, 5);
		assert_int_equal(s->private_key.len, 64);
		for (size_t i = 0; i < 5; i++) {
			const Orders__OrderLimit *l = s->addressed_limits[i]->limit;
			offered += l != NULL;
			if (l)
				assert_int_equal(l->limit, (int64_t)scheme_piece_size(
								   &w->sat.config.redundancy,
								   (uint64_t)20000));
		}
		assert_int_equal(offered, all ? 5 : 3);
	}
	part.plain_start = 0;
	part.plain_limit = 10;
	range.range_case = METAINFO__RANGE__RANGE_START_LIMIT;
	range.start_limit = &part;
	req.range = &range;
	must(w, ask(w, "DownloadObject", &req, &d));
	int64_t limit = 0;
	for (size_t i = 0; i < 5; i++) {
		if (d->segment_download[0]->addressed_limits[i]->limit)
			limit = d->segment_download[0]->addressed_limits[i]->limit->limit;
	}
	assert_int_equal(limit, 15 * 256); /* one block of 7424 in stripes of 512 */
	part.plain_start = 20;
	refused(w, ask(w, "DownloadObject", &req, &d), 3, "invalid range");
	part.plain_start = 30000;
	part.plain_limit = 40000;
	must(w, ask(w, "DownloadObject", &req, &d));
	assert_int_equal(d->n_segment_download, 0);
	assert_non_null(d->segment_list);
}

/* No node is left that has none of the pieces: the same ones again, with a serial they have not
 * seen, or a link that broke would be the end of an upload in a small network. */
static void check_retry_without_nodes(struct world *w, const struct remote *r)
{
	Metainfo__RetryBeginSegmentPiecesRequest retry =
		METAINFO__RETRY_BEGIN_SEGMENT_PIECES_REQUEST__INIT;
	Metainfo__RetryBeginSegmentPiecesResponse *again = NULL;
	Metainfo__AddressedOrderLimit **old = r->segment->addressed_limits;
	int32_t numbers[] = { 0, 1, 2, 3, 4 };
	unsigned same_node = 0;

	retry.segment_id = r->segment->segment_id;
	retry.retry_piece_numbers = numbers;
	retry.n_retry_piece_numbers = 5;
	must(w, ask(w, "RetryBeginSegmentPieces", &retry, &again));
	check_limits(w, again->addressed_limits, 5);
	for (int i = 0; i < 5; i++) {
		const Orders__OrderLimit *l = again->addressed_limits[i]->limit;
		assert_false(bytes_equal(proto_bytes(l->serial_number),
					 proto_bytes(old[i]->limit->serial_number)));
		same_node += bytes_equal(proto_bytes(l->piece_id),
					 proto_bytes(old[i]->limit->piece_id));
	}
	assert_int_equal(same_node, 2 * 5 - NODES);
}

static void test_remote(void **state)
{
	struct world *w = *state;
	Metainfo__RetryBeginSegmentPiecesRequest retry =
		METAINFO__RETRY_BEGIN_SEGMENT_PIECES_REQUEST__INIT;
	Metainfo__RetryBeginSegmentPiecesResponse *again = NULL;
	Metainfo__BatchResponse *batch = NULL;
	int32_t numbers[] = { 1, 3 };

	must(w, create_bucket(w, "bucket"));
	struct remote r = begin_remote(w, "remote");
	assert_int_equal(r.segment->n_addressed_limits, 5);
	assert_int_equal(r.segment->private_key.len, 64);
	assert_int_equal(r.segment->redundancy_scheme->success_threshold, 4);
	check_limits(w, r.segment->addressed_limits, 5);
	/* Retry: the same serial, fresh nodes where asked, the others as they were. */
	retry.segment_id = r.segment->segment_id;
	retry.retry_piece_numbers = numbers;
	retry.n_retry_piece_numbers = 2;
	must(w, ask(w, "RetryBeginSegmentPieces", &retry, &again));
	check_limits(w, again->addressed_limits, 5);
	assert_true(bytes_equal(proto_bytes(again->addressed_limits[0]->limit->serial_number),
				proto_bytes(r.segment->addressed_limits[0]->limit->serial_number)));
	for (int i = 0; i < 5; i++) {
		bool same =
			bytes_equal(proto_bytes(again->addressed_limits[i]->limit->piece_id),
				    proto_bytes(r.segment->addressed_limits[i]->limit->piece_id));
		assert_int_equal(same, i != 1 && i != 3);
	}
	numbers[1] = 1;
	refused(w, ask(w, "RetryBeginSegmentPieces", &retry, &again), 3,
		"piece number 1 is duplicated");
	numbers[1] = 5;
	refused(w, ask(w, "RetryBeginSegmentPieces", &retry, &again), 3, "piece number 5 must be");
	numbers[1] = 2;
	must(w,
	     ask(w, "RetryBeginSegmentPieces", &retry, &again)); /* all nodes but the two others */
	check_retry_without_nodes(w, &r);
	/* Commit what the first id promised. */
	Metainfo__CommitSegmentRequest *commit =
		commit_remote(w, r.segment->segment_id, r.segment->addressed_limits, 5, 20000);
	Metainfo__CommitObjectRequest *object = commit_request(w);
	object->stream_id = r.object->stream_id;
	Metainfo__BatchRequestItem *items[] = { batch_item(w, I_SEGMENT_COMMIT, commit),
						batch_item(w, I_COMMIT, object) };
	must(w, ask_batch(w, FORM_ZSTD, items, 2, &batch));
	assert_int_equal(batch->responses[0]->segment_commit->successful_pieces, 5);
	assert_int_equal(batch->responses[1]->object_commit->object->plain_size, 19900);
	check_remote_download(w, "remote");
	/* Signatures of other nodes: two pieces too few.  Then one: enough. */
	r = begin_remote(w, "forged");
	commit = commit_remote(w, r.segment->segment_id, r.segment->addressed_limits, 5, 20000);
	ProtobufCBinaryData good = commit->upload_result[0]->hash->signature;
	commit->upload_result[0]->hash->signature = commit->upload_result[2]->hash->signature;
	commit->upload_result[1]->hash->signature = commit->upload_result[2]->hash->signature;
	refused(w, ask(w, "CommitSegment", commit, NULL), 3, "Number of valid pieces (3)");
	commit->upload_result[0]->hash->signature = good;
	must(w, ask(w, "CommitSegment", commit, NULL));
	commit->segment_id = VIEW("nonsense that is long enough for a MAC");
	refused(w, ask(w, "CommitSegment", commit, NULL), 3, "invalid segment ID");
	/* More nodes than there are. */
	w->sat.config.redundancy = (struct scheme){ 2, 3, 4, NODES + 1, 256 };
	Metainfo__BeginSegmentRequest *more = MESSAGE(w, BeginSegmentRequest,
						      begin_segment_request);
	more->max_order_limit = 1000;
	more->stream_id = r.object->stream_id;
	refused(w, ask(w, "BeginSegment", more, NULL), 9, "not enough nodes");
}

/* ---- pending uploads ---- */

static void test_pending(void **state)
{
	struct world *w = *state;
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;
	Metainfo__ListObjectsResponse *page = NULL;
	Metainfo__ListPendingObjectStreamsRequest streams =
		METAINFO__LIST_PENDING_OBJECT_STREAMS_REQUEST__INIT;
	Metainfo__ListPendingObjectStreamsResponse *found = NULL;
	Metainfo__GetPendingObjectMetadataRequest meta =
		METAINFO__GET_PENDING_OBJECT_METADATA_REQUEST__INIT;
	Metainfo__GetPendingObjectMetadataResponse *metadata = NULL;
	Metainfo__ListSegmentsRequest parts = METAINFO__LIST_SEGMENTS_REQUEST__INIT;
	Metainfo__ListSegmentsResponse *segments = NULL;

	must(w, create_bucket(w, "bucket"));
	Metainfo__BeginObjectRequest *begin = begin_request(w, "bucket", "dir/multi");
	begin->expires_at = proto_time_new(&w->call.scratch,
					   os_clock_unix_ns() + 3600 * NS_PER_SEC);
	begin->encrypted_metadata = VIEW("\x0a\x04info");
	begin->encrypted_metadata_nonce = nonce();
	begin->encrypted_metadata_encrypted_key = key48();
	must(w, ask(w, "BeginObject", begin, &begun));
	/* The id is the same however it is come by (metainfo.md 1.2). */
	req.status = METAINFO__OBJECT__STATUS__UPLOADING;
	req.encrypted_prefix = VIEW("dir");
	must(w, list_objects(w, "bucket", &req, &page));
	assert_int_equal(page->n_items, 1);
	assert_true(
		bytes_equal(proto_bytes(page->items[0]->encrypted_object_key), bytes_str("multi")));
	assert_true(
		bytes_equal(proto_bytes(page->items[0]->stream_id), proto_bytes(begun->stream_id)));
	streams.bucket = VIEW("bucket");
	streams.encrypted_object_key = VIEW("dir/multi");
	must(w, ask(w, "ListPendingObjectStreams", &streams, &found));
	assert_int_equal(found->n_items, 1);
	assert_true(bytes_equal(proto_bytes(found->items[0]->stream_id),
				proto_bytes(begun->stream_id)));
	streams.stream_id_cursor = begun->stream_id;
	must(w, ask(w, "ListPendingObjectStreams", &streams, &found));
	assert_int_equal(found->n_items, 0);
	meta.bucket = VIEW("bucket");
	meta.encrypted_object_key = VIEW("dir/multi");
	meta.stream_id = begun->stream_id;
	must(w, ask(w, "GetPendingObjectMetadata", &meta, &metadata));
	assert_int_equal(metadata->encrypted_metadata_encrypted_key.len, 48);
	meta.stream_id = VIEW("x");
	refused(w, ask(w, "GetPendingObjectMetadata", &meta, &metadata), STATUS_STREAM_ID_INVALID,
		"");
	/* Parts of it are shown before it is committed; a small one cannot be followed by another.
	 */
	for (int32_t part = 1; part <= 2; part++) {
		Metainfo__MakeInlineSegmentRequest *segment = inline_request(w, "part");
		segment->stream_id = begun->stream_id;
		segment->position = answer_position(&w->call.scratch, segment_position(part, 0));
		segment->encrypted_e_tag = VIEW("etag");
		must(w, ask(w, "MakeInlineSegment", segment, NULL));
	}
	parts.stream_id = begun->stream_id;
	must(w, ask(w, "ListSegments", &parts, &segments));
	assert_int_equal(segments->n_items, 2);
	parts.cursor_position = answer_position(&w->call.scratch, segment_position(1, INT32_MAX));
	must(w, ask(w, "ListSegments", &parts, &segments));
	assert_int_equal(segments->n_items, 1);
	assert_int_equal(segments->items[0]->position->part_number, 2);
	assert_int_equal(segments->encryption_parameters->block_size, 7424);
	Metainfo__CommitObjectRequest *commit = commit_request(w);
	commit->stream_id = begun->stream_id;
	refused(w, ask(w, "CommitObject", commit, NULL), 9, "size of part number 1 is below");
	must(w, abort_upload(w, "dir/multi", begun->stream_id));
	refused(w, abort_upload(w, "dir/multi", begun->stream_id), 5, "object not found: ");
	refused(w, abort_upload(w, "dir/multi", (ProtobufCBinaryData){ 0, NULL }), 3,
		"StreamID missing");
	must(w, ask(w, "ListSegments", &parts, &segments));
	assert_int_equal(segments->n_items, 0);
}

/* ---- listings ---- */

static void test_list_fields(void **state)
{
	struct world *w = *state;
	Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;
	Metainfo__ObjectListItemIncludes includes = METAINFO__OBJECT_LIST_ITEM_INCLUDES__INIT;
	Metainfo__ListObjectsResponse *page = NULL;

	must(w, create_bucket(w, "bucket"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "a", "x", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "dir/b", "x", NULL));
	must(w, list_objects(w, "bucket", &req, &page));
	assert_int_equal(page->n_items, 2);
	const Metainfo__ObjectListItem *m = page->items[0];
	assert_true(m->encrypted_metadata.len > 60 && m->created_at && m->plain_size == 1);
	assert_int_equal(m->object_version.len, 0);
	assert_int_equal(page->items[1]->status, METAINFO__OBJECT__STATUS__PREFIX);
	assert_true(
		bytes_equal(proto_bytes(page->items[1]->encrypted_object_key), bytes_str("dir/")));
	req.use_object_includes = true;
	req.object_includes = &includes;
	includes.exclude_system_metadata = true;
	req.recursive = true;
	must(w, list_objects(w, "bucket", &req, &page));
	m = page->items[0];
	assert_true(!m->encrypted_metadata.len && !m->created_at && !m->plain_size);
	includes.include_etag_or_custom_metadata = true;
	must(w, list_objects(w, "bucket", &req, &page));
	assert_true(page->items[1]->encrypted_metadata.len > 0);
	assert_int_equal(page->items[1]->encrypted_metadata_encrypted_key.len, 48);
	/* uplink 1.5 to 1.8 looks for the key inside; 1.8 takes the version for something else. */
	size_t modern = page->items[1]->encrypted_metadata.len;
	req.include_all_versions = true;
	w->header.user_agent = VIEW("rclone/v1.59 uplink/v1.8.1 (drpc/v0.0.20)");
	must(w, list_objects(w, "bucket", &req, &page));
	assert_true(page->items[1]->encrypted_metadata.len >= modern + 48 + 24);
	assert_int_equal(page->items[1]->object_version.len, 0);
	w->header.user_agent = VIEW("uplink/v1.10.0");
	must(w, list_objects(w, "bucket", &req, &page));
	assert_int_equal(page->items[1]->encrypted_metadata.len, modern);
	assert_int_equal(page->items[1]->object_version.len, 16);
	req.include_all_versions = false;
	req.limit = 1;
	must(w, list_objects(w, "bucket", &req, &page));
	assert_true(page->more && page->n_items == 1);
	req.encrypted_cursor = page->items[0]->encrypted_object_key;
	must(w, list_objects(w, "bucket", &req, &page));
	assert_true(!page->more && page->n_items == 1);
	req.limit = -1;
	refused(w, list_objects(w, "bucket", &req, &page), 3, "limit is negative");
	req.limit = 0;
	refused(w, list_objects(w, "none", &req, &page), 5, "bucket not found: none");
}

/* ---- versions and deletes ---- */

static void test_versioned(void **state)
{
	struct world *w = *state;
	Metainfo__BatchResponse *first = NULL, *second = NULL;
	Metainfo__BeginDeleteObjectResponse *gone = NULL;
	Metainfo__GetObjectRequest req = METAINFO__GET_OBJECT_REQUEST__INIT;
	Metainfo__GetObjectResponse *got = NULL;
	Metainfo__ListObjectsRequest all = METAINFO__LIST_OBJECTS_REQUEST__INIT;
	Metainfo__ListObjectsResponse *page = NULL;

	must(w, create_bucket(w, "bucket"));
	set_versioning(w, "bucket", true);
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "one", &first));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "two", &second));
	must(w, delete_object(w, "bucket", "k", &gone));
	assert_int_equal(gone->object->status, METAINFO__OBJECT__STATUS__DELETE_MARKER_VERSIONED);
	refused(w, get_object(w, "bucket", "k", NULL), 5, "object not found: ");
	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW("k");
	req.object_version = first->responses[2]->object_commit->object->object_version;
	must(w, ask(w, "GetObject", &req, &got));
	assert_int_equal(got->object->plain_size, 3);
	req.object_version = gone->object->object_version;
	refused(w, ask(w, "GetObject", &req, &got), 17, "method not allowed");
	req.object_version = VIEW("short");
	refused(w, ask(w, "GetObject", &req, &got), 3, "invalid object version length");
	must(w, list_objects(w, "bucket", &all, &page));
	assert_int_equal(page->n_items, 0);
	all.include_all_versions = true;
	must(w, list_objects(w, "bucket", &all, &page));
	assert_int_equal(page->n_items, 3);
	assert_true(page->items[0]->is_latest && !page->items[1]->is_latest);
	/* By page, one at a time. */
	all.limit = 1;
	for (int i = 0; i < 3; i++) {
		must(w, list_objects(w, "bucket", &all, &page));
		assert_int_equal(page->n_items, 1);
		assert_int_equal(page->more, i < 2);
		assert_int_equal(page->items[0]->is_latest, i == 0);
		all.encrypted_cursor = page->items[0]->encrypted_object_key;
		all.version_cursor = page->items[0]->object_version;
	}
	/* Suspended: a new object without a version takes the place of a marker without one. */
	set_versioning(w, "bucket", false);
	must(w, delete_object(w, "bucket", "k", &gone));
	assert_int_equal(gone->object->status, METAINFO__OBJECT__STATUS__DELETE_MARKER_UNVERSIONED);
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "three", NULL));
	all = (Metainfo__ListObjectsRequest)METAINFO__LIST_OBJECTS_REQUEST__INIT;
	all.include_all_versions = true;
	must(w, list_objects(w, "bucket", &all, &page));
	assert_int_equal(page->n_items, 4);
	refused(w, delete_object(w, "bucket", "never", &gone), 5, "object not found: ");
}

static void test_delete_objects(void **state)
{
	struct world *w = *state;
	Metainfo__DeleteObjectsRequest req = METAINFO__DELETE_OBJECTS_REQUEST__INIT;
	Metainfo__DeleteObjectsResponse *resp = NULL;
	Metainfo__DeleteObjectsRequestItem items[4], *list_of[4];
	static const char *const keys[] = { "b", "aa", "none", "b" };

	must(w, create_bucket(w, "bucket"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "aa", "x", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "b", "x", NULL));
	for (int i = 0; i < 4; i++) {
		metainfo__delete_objects_request_item__init(&items[i]);
		items[i].encrypted_object_key = VIEW(keys[i]);
		list_of[i] = &items[i];
	}
	req.bucket = VIEW("bucket");
	req.items = list_of;
	refused(w, ask(w, "DeleteObjects", &req, &resp), STATUS_DELETE_NO_ITEMS, "");
	req.n_items = 4;
	must(w, ask(w, "DeleteObjects", &req, &resp));
	assert_int_equal(resp->n_items, 3);
	assert_true(bytes_equal(proto_bytes(resp->items[0]->encrypted_object_key), bytes_str("b")));
	assert_int_equal(resp->items[0]->status,
			 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__OK);
	assert_non_null(resp->items[0]->removed);
	assert_int_equal(resp->items[2]->status,
			 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__NOT_FOUND);
	req.quiet = true;
	req.bucket = VIEW("none");
	refused(w, ask(w, "DeleteObjects", &req, &resp), STATUS_BUCKET_NOT_FOUND, "");
	items[1].object_version = VIEW("0123");
	refused(w, ask(w, "DeleteObjects", &req, &resp), STATUS_VERSION_INVALID, "");
}

/* ---- copy and move ---- */

static void test_copy(void **state)
{
	struct world *w = *state;
	Metainfo__BeginCopyObjectRequest begin = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	Metainfo__BeginCopyObjectResponse *begun = NULL;
	Metainfo__FinishCopyObjectRequest finish = METAINFO__FINISH_COPY_OBJECT_REQUEST__INIT;
	Metainfo__FinishCopyObjectResponse *copied = NULL;
	Metainfo__BeginMoveObjectRequest move = METAINFO__BEGIN_MOVE_OBJECT_REQUEST__INIT;
	Metainfo__BeginMoveObjectResponse *moving = NULL;
	Metainfo__FinishMoveObjectRequest moved = METAINFO__FINISH_MOVE_OBJECT_REQUEST__INIT;
	char *star[] = { (char *)(uintptr_t) "*" };

	must(w, create_bucket(w, "bucket"));
	must(w, create_bucket(w, "other"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "from", "hello", NULL));
	begin.bucket = VIEW("bucket");
	begin.encrypted_object_key = VIEW("from");
	begin.new_bucket = VIEW("nowhere");
	begin.new_encrypted_object_key = VIEW("to");
	refused(w, ask(w, "BeginCopyObject", &begin, &begun), 5, "bucket not found: nowhere");
	begin.new_bucket = VIEW("other");
	must(w, ask(w, "BeginCopyObject", &begin, &begun));
	assert_int_equal(begun->n_segment_keys, 1);
	assert_int_equal(begun->encrypted_metadata_key.len, 48);
	finish.stream_id = begun->stream_id;
	finish.new_bucket = VIEW("other");
	finish.new_encrypted_object_key = VIEW("to");
	finish.new_encrypted_metadata_key = key48();
	finish.new_encrypted_metadata_key_nonce = nonce();
	refused(w, ask(w, "FinishCopyObject", &finish, &copied), 3,
		"wrong number of segments keys");
	finish.n_new_segment_keys = 1;
	finish.new_segment_keys = begun->segment_keys;
	must(w, ask(w, "FinishCopyObject", &finish, &copied));
	assert_true(copied->object && copied->object->bucket.len);
	finish.if_none_match = star;
	finish.n_if_none_match = 1;
	refused(w, ask(w, "FinishCopyObject", &finish, &copied), 9, "object already exists");
	move.bucket = VIEW("other");
	move.encrypted_object_key = VIEW("to");
	move.new_bucket = VIEW("bucket");
	move.new_encrypted_object_key = VIEW("moved");
	must(w, ask(w, "BeginMoveObject", &move, &moving));
	moved.stream_id = moving->stream_id;
	moved.new_bucket = VIEW("bucket");
	moved.new_encrypted_object_key = VIEW("moved");
	moved.new_segment_keys = moving->segment_keys;
	moved.n_new_segment_keys = moving->n_segment_keys;
	moved.new_encrypted_metadata_key = key48();
	moved.new_encrypted_metadata_key_nonce = nonce();
	must(w, ask(w, "FinishMoveObject", &moved, NULL));
	refused(w, get_object(w, "other", "to", NULL), 5, "object not found: ");
	must(w, get_object(w, "bucket", "moved", NULL));
	refused(w, ask(w, "FinishMoveObject", &moved, NULL), 5, "object not found: ");
	must(w, ask(w, "BeginCopyObject", &begin, &begun));
	must(w, put_object(w, FORM_ZSTD, "bucket", "from", "newer", NULL));
	finish.stream_id = begun->stream_id;
	finish.n_if_none_match = 0;
	refused(w, ask(w, "FinishCopyObject", &finish, &copied), 5,
		"object not found: object was changed during copy");
}

/* ---- keys ---- */

static void test_keys(void **state)
{
	struct world *w = *state;
	Metainfo__BeginDeleteObjectResponse *gone = NULL;
	Metainfo__ProjectInfoRequest info = METAINFO__PROJECT_INFO_REQUEST__INIT;
	Metainfo__ProjectInfoResponse *salt = NULL;
	Metainfo__AccountLicensesRequest licenses = METAINFO__ACCOUNT_LICENSES_REQUEST__INIT;
	Metainfo__ListBucketsRequest buckets = METAINFO__LIST_BUCKETS_REQUEST__INIT;
	Metainfo__ListBucketsResponse *page = NULL;
	Metainfo__RevokeAPIKeyRequest revoke = METAINFO__REVOKE_APIKEY_REQUEST__INIT;
	struct allowed_path path = { bytes_str("bucket"), bytes_str("mine/") };
	struct caveat no_read = { .disallow_reads = true, .disallow_lists = true };
	struct caveat no_delete = { .disallow_deletes = true };
	struct caveat mine = { .paths = &path, .paths_count = 1 };
	struct caveat ttl = { .has_ttl = true, .ttl_ns = 3600 * NS_PER_SEC };
	struct macaroon m;

	must(w, create_bucket(w, "bucket"));
	must(w, create_bucket(w, "other"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	must(w, ask(w, "ProjectInfo", &info, &salt));
	assert_int_equal(salt->project_salt.len, 32);
	must(w, ask(w, "AccountLicenses", &licenses, NULL));
	/* Neither Read nor List: deletes say nothing. */
	m = restricted(w, &no_read);
	use_key(w, &m);
	must(w, delete_object(w, "bucket", "k", &gone));
	assert_null(gone->object);
	refused(w, get_object(w, "bucket", "k", NULL), 7, "Unauthorized API credentials");
	/* No Delete: what is there cannot be overwritten; new keys can be written. */
	m = restricted(w, &no_delete);
	use_key(w, &m);
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	refused(w, put_object(w, FORM_ZSTD, "bucket", "k", "y", NULL), 7,
		"no permissions to delete");
	refused(w, delete_object(w, "bucket", "k", &gone), 7, "Unauthorized API credentials");
	/* One prefix of one bucket. */
	m = restricted(w, &mine);
	use_key(w, &m);
	must(w, put_object(w, FORM_ZSTD, "bucket", "mine/k", "x", NULL));
	refused(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL), 7,
		"Unauthorized API credentials");
	refused(w, get_object(w, "other", "mine/k", NULL), 7, "Unauthorized API credentials");
	buckets.direction = METAINFO__LIST_DIRECTION__AFTER;
	must(w, ask(w, "ListBuckets", &buckets, &page));
	assert_true(page->n_items == 1 && !page->more);
	/* The key's time to live is the default and the most. */
	m = restricted(w, &ttl);
	use_key(w, &m);
	must(w, put_object(w, FORM_ZSTD, "bucket", "short", "x", NULL));
	Metainfo__Object *o = NULL;
	must(w, get_object(w, "bucket", "short", &o));
	assert_true(proto_time(o->expires_at) > os_clock_unix_ns());
	Metainfo__BeginObjectRequest *begin = begin_request(w, "bucket", "long");
	begin->expires_at = proto_time_new(&w->call.scratch,
					   os_clock_unix_ns() + 7200 * NS_PER_SEC);
	refused(w, ask(w, "BeginObject", begin, NULL), 3,
		"invalid expiration time, cannot be longer");
	begin->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() - 1);
	refused(w, ask(w, "BeginObject", begin, NULL), 3,
		"invalid expiration time, cannot be in the past");
	/* A key that was taken back, by its parent. */
	struct bytes child = w->key_bytes;
	use_key(w, &w->key);
	revoke.api_key = proto_view(child);
	must(w, ask(w, "RevokeAPIKey", &revoke, NULL));
	use_key(w, &m);
	refused(w, get_object(w, "bucket", "short", NULL), 7, "Unauthorized API credentials");
	w->header.api_key = VIEW("nonsense");
	refused(w, get_object(w, "bucket", "short", NULL), 3, "Invalid API credentials");
}

static void test_other_project(void **state)
{
	struct world *w = *state;
	struct project p;
	struct macaroon key;
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__ListSegmentsRequest parts = METAINFO__LIST_SEGMENTS_REQUEST__INIT;

	must(w, create_bucket(w, "bucket"));
	must(w, ask(w, "BeginObject", begin_request(w, "bucket", "k"), &begun));
	must(w, project_create(&w->call, w->sat.db, bytes_str("stranger"), &p));
	must(w, api_key_create(&w->call, w->sat.db, &w->call.scratch, &p.id, bytes_str("k"), &key));
	use_key(w, &key);
	parts.stream_id = begun->stream_id;
	refused(w, ask(w, "ListSegments", &parts, NULL), 7, "Unauthorized API credentials");
	Metainfo__CommitObjectRequest *commit = commit_request(w);
	commit->stream_id = begun->stream_id;
	refused(w, ask(w, "CommitObject", commit, NULL), 7, "Unauthorized API credentials");
	refused(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL), 5,
		"bucket not found: bucket");
}

/* ---- expiry ---- */

struct db_call_arg {
	const char *sql;
};

static enum err run_statement(struct call *call, struct db_tx *tx, void *arg)
{
	const struct db_call_arg *a = arg;

	return db_exec(call, tx, a->sql, NULL, 0, NULL);
}

static void test_expiry(void **state)
{
	struct world *w = *state;
	size_t deleted = 0;
	int64_t now = os_clock_unix_ns();

	must(w, create_bucket(w, "bucket"));
	Metainfo__BeginObjectRequest *begin = begin_request(w, "bucket", "soon");
	begin->expires_at = proto_time_new(&w->call.scratch, now + 600 * NS_PER_SEC);
	Metainfo__BatchRequestItem *items[] = { batch_item(w, I_BEGIN, begin),
						batch_item(w, I_INLINE, inline_request(w, "x")),
						batch_item(w, I_COMMIT, commit_request(w)) };
	must(w, ask_batch(w, FORM_ZSTD, items, 3, NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "stays", "x", NULL));
	must(w, ask(w, "BeginObject", begin_request(w, "bucket", "given up"), NULL));
	/* One that is slow: its last segment came a moment ago (here: will have come a day from
	 * now). */
	Metainfo__BatchRequestItem *slow[] = { batch_item(w, I_BEGIN,
							  begin_request(w, "bucket", "slow")),
					       batch_item(w, I_INLINE, inline_request(w, "x")) };
	must(w, ask_batch(w, FORM_ZSTD, slow, 2, NULL));
	struct db_call_arg later = { "UPDATE segments SET created_at = created_at + "
				     "86400000000000 WHERE stream_id IN (SELECT stream_id FROM "
				     "objects WHERE age > 0)" };
	must(w, db_write(&w->call, w->sat.db, run_statement, &later));
	must(w, metainfo_delete_expired(&w->call, &w->sat, now, &deleted));
	assert_int_equal(deleted, 0);
	must(w, metainfo_delete_expired(&w->call, &w->sat, now + 601 * NS_PER_SEC, &deleted));
	assert_int_equal(deleted, 1);
	refused(w, get_object(w, "bucket", "soon", NULL), 5, "object not found: ");
	must(w, metainfo_delete_expired(&w->call, &w->sat,
					now + ZOMBIE_DEADLINE_NS + 60 * NS_PER_SEC, &deleted));
	assert_int_equal(deleted, 1);
	must(w, metainfo_delete_expired(&w->call, &w->sat,
					now + 2 * ZOMBIE_DEADLINE_NS + 60 * NS_PER_SEC, &deleted));
	assert_int_equal(deleted, 1);
	must(w, get_object(w, "bucket", "stays", NULL));
}

/* ---- locks ---- */

static void test_locks(void **state)
{
	struct world *w = *state;
	Metainfo__CreateBucketRequest create = METAINFO__CREATE_BUCKET_REQUEST__INIT;
	Metainfo__SetBucketObjectLockConfigurationRequest set =
		METAINFO__SET_BUCKET_OBJECT_LOCK_CONFIGURATION_REQUEST__INIT;
	Metainfo__ObjectLockConfiguration config = METAINFO__OBJECT_LOCK_CONFIGURATION__INIT;
	Metainfo__DefaultRetention days = METAINFO__DEFAULT_RETENTION__INIT;
	Metainfo__SetObjectLegalHoldRequest hold = METAINFO__SET_OBJECT_LEGAL_HOLD_REQUEST__INIT;
	Metainfo__SetObjectRetentionRequest retain = METAINFO__SET_OBJECT_RETENTION_REQUEST__INIT;
	Metainfo__BeginDeleteObjectRequest rm = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	Metainfo__BatchResponse *batch = NULL;
	Metainfo__Object *o = NULL;

	create.name = VIEW("locked");
	create.object_lock_enabled = true;
	must(w, ask(w, "CreateBucket", &create, NULL));
	must(w, create_bucket(w, "plain"));
	set.name = VIEW("locked");
	refused(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL),
		STATUS_LOCK_BUCKET_CONFIG, "");
	set.configuration = &config;
	config.enabled = true;
	config.default_retention = &days;
	days.mode = METAINFO__RETENTION__MODE__GOVERNANCE;
	days.duration_case = METAINFO__DEFAULT_RETENTION__DURATION_DAYS;
	days.days = 1;
	must(w, ask(w, "SetBucketObjectLockConfiguration", &set, NULL));
	must(w, put_object(w, FORM_ZSTD, "locked", "k", "x", &batch));
	must(w, get_object(w, "locked", "k", &o));
	assert_int_equal(o->retention->mode, METAINFO__RETENTION__MODE__GOVERNANCE);
	rm.bucket = VIEW("locked");
	rm.encrypted_object_key = VIEW("k");
	rm.object_version = o->object_version;
	refused(w, ask(w, "BeginDeleteObject", &rm, NULL), STATUS_LOCK_PROTECTED,
		"object is protected");
	retain.bucket = VIEW("locked");
	retain.encrypted_object_key = VIEW("k");
	refused(w, ask(w, "SetObjectRetention", &retain, NULL), STATUS_LOCK_PROTECTED, "");
	hold.bucket = VIEW("locked");
	hold.encrypted_object_key = VIEW("k");
	hold.enabled = true;
	must(w, ask(w, "SetObjectLegalHold", &hold, NULL));
	rm.bypass_governance_retention = true;
	refused(w, ask(w, "BeginDeleteObject", &rm, NULL), STATUS_LOCK_PROTECTED,
		"object is protected");
	hold.enabled = false;
	must(w, ask(w, "SetObjectLegalHold", &hold, NULL));
	must(w, ask(w, "BeginDeleteObject", &rm, NULL));
	hold.bucket = VIEW("plain");
	refused(w, ask(w, "SetObjectLegalHold", &hold, NULL), STATUS_LOCK_BUCKET_MISSING, "");
	Metainfo__BeginObjectRequest *begin = begin_request(w, "plain", "k");
	begin->legal_hold = true;
	refused(w, ask(w, "BeginObject", begin, NULL), STATUS_LOCK_BUCKET_MISSING, "");
}

/* ---- limits ---- */

static void test_limits(void **state)
{
	struct world *w = *state;
	Metainfo__BeginObjectRequest *begin;
	char *long_key = arena_alloc(&w->call.scratch, 4002);

	must(w, create_bucket(w, "bucket"));
	memset(long_key, 'k', 4001);
	begin = begin_request(w, "bucket", long_key);
	refused(w, ask(w, "BeginObject", begin, NULL), 3, "key length is too big");
	begin = begin_request(w, "bucket", "");
	refused(w, ask(w, "BeginObject", begin, NULL), 3, "ObjectKey missing");
	begin = begin_request(w, "bucket", "k");
	begin->encrypted_metadata = proto_view(BYTES(long_key, 2049));
	begin->encrypted_metadata_nonce = nonce();
	begin->encrypted_metadata_encrypted_key = key48();
	refused(w, ask(w, "BeginObject", begin, NULL), 3, "Encrypted metadata is too large");
	begin->encrypted_metadata = VIEW("m");
	begin->encrypted_metadata_encrypted_key = VIEW("short");
	refused(w, ask(w, "BeginObject", begin, NULL), 3, "Encrypted metadata key size is invalid");
	begin->encrypted_metadata_encrypted_key = (ProtobufCBinaryData){ 0, NULL };
	refused(w, ask(w, "BeginObject", begin, NULL), 3, "EncryptedMetadataNonce and");
	begin->encrypted_metadata = (ProtobufCBinaryData){ 0, NULL };
	begin->encrypted_metadata_nonce = begin->encrypted_metadata;
	/* The one after the last bucket, segment, byte. */
	enum err missing = rpc_invoke(
		&w->call, w->conn, "/metainfo.Metainfo/FinishDeleteObject", NULL, &w->call.scratch,
		&metainfo__finish_delete_object_response__descriptor, &(void *){ NULL });
	refused(w, missing, 12, "FinishDeleteObject is not implemented");
}

/* Bytes served in a month; what was written down counts after a restart. */
static void test_project_bandwidth(void **state)
{
	struct world *w = *state;
	struct metainfo *m = w->sat.metainfo;
	char hundred[101];

	memset(hundred, 'x', 100);
	hundred[100] = 0;
	w->sat.config.max_bandwidth = 250;
	key_cache_clear(w->sat.keys);
	must(w, create_bucket(w, "bucket"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", hundred, NULL));
	/* Room for a byte is room for one more, as in the reference. */
	for (int i = 0; i < 3; i++)
		must(w, download_object(w, "bucket", "k", NULL));
	refused(w, download_object(w, "bucket", "k", NULL), 8, "Exceeded Usage Limit");
	must(w, get_object(w, "bucket", "k", NULL));
	must(w, bandwidth_flush(&w->call, m->bandwidth, w->sat.db));
	usage_free(m->usage);
	m->usage = usage_new();
	refused(w, download_object(w, "bucket", "k", NULL), 8, "Exceeded Usage Limit");
	w->sat.config.max_bandwidth = 350;
	key_cache_clear(w->sat.keys);
	must(w, download_object(w, "bucket", "k", NULL));
	refused(w, download_object(w, "bucket", "k", NULL), 8, "Exceeded Usage Limit");
}

/* metainfo.md 3.3: 10027 to 10032. */
static void test_checksums(void **state)
{
	struct world *w = *state;
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__Object *o = NULL;
	Metainfo__ListSegmentsRequest parts = METAINFO__LIST_SEGMENTS_REQUEST__INIT;
	Metainfo__ListSegmentsResponse *segments = NULL;

	must(w, create_bucket(w, "bucket"));
	Metainfo__BeginObjectRequest *begin = begin_request(w, "bucket", "k");
	begin->checksum_algorithm = (Metainfo__ObjectChecksumAlgorithm)99;
	refused(w, ask(w, "BeginObject", begin, NULL), STATUS_CHECKSUM_ALGORITHM, "");
	begin->checksum_algorithm = METAINFO__OBJECT_CHECKSUM_ALGORITHM__NONE;
	begin->is_checksum_composite = true;
	refused(w, ask(w, "BeginObject", begin, NULL), STATUS_CHECKSUM_TYPE, "");
	begin->is_checksum_composite = false;
	begin->encrypted_checksum = VIEW("sum");
	refused(w, ask(w, "BeginObject", begin, NULL), STATUS_CHECKSUM_UNEXPECTED, "");
	/* What BeginObject promises the commit must keep. */
	begin->checksum_algorithm = METAINFO__OBJECT_CHECKSUM_ALGORITHM__SHA256;
	begin->encrypted_checksum = VIEW("");
	must(w, ask(w, "BeginObject", begin, &begun));
	Metainfo__MakeInlineSegmentRequest *segment = inline_request(w, "hello");
	segment->encrypted_checksum = VIEW("segment sum");
	Metainfo__CommitObjectRequest *commit = commit_request(w);
	segment->stream_id = commit->stream_id = begun->stream_id;
	must(w, ask(w, "MakeInlineSegment", segment, NULL));
	Metainfo__CommitObjectRequest empty = METAINFO__COMMIT_OBJECT_REQUEST__INIT;
	empty.stream_id = begun->stream_id;
	refused(w, ask(w, "CommitObject", &empty, NULL), STATUS_METADATA_MISSING, "");
	commit->checksum_algorithm = METAINFO__OBJECT_CHECKSUM_ALGORITHM__SHA256;
	refused(w, ask(w, "CommitObject", commit, NULL), STATUS_CHECKSUM_MISSING, "");
	commit->encrypted_checksum = VIEW("sum");
	commit->is_checksum_composite = true;
	must(w, ask(w, "CommitObject", commit, NULL));
	must(w, get_object(w, "bucket", "k", &o));
	assert_int_equal(o->checksum_algorithm, METAINFO__OBJECT_CHECKSUM_ALGORITHM__SHA256);
	assert_true(o->is_checksum_composite);
	assert_true(bytes_equal(proto_bytes(o->encrypted_checksum), bytes_str("sum")));
	parts.stream_id = o->stream_id;
	must(w, ask(w, "ListSegments", &parts, &segments));
	assert_true(bytes_equal(proto_bytes(segments->items[0]->encrypted_checksum),
				bytes_str("segment sum")));
	w->sat.config.checksums = false;
	refused(w, ask(w, "BeginObject", begin, NULL), STATUS_CHECKSUMS_UNSUPPORTED, "");
	refused(w, ask(w, "MakeInlineSegment", segment, NULL), STATUS_CHECKSUMS_UNSUPPORTED, "");
	begin = begin_request(w, "bucket", "plain");
	must(w, ask(w, "BeginObject", begin, NULL));
}

static void test_project_limits(void **state)
{
	struct world *w = *state;

	w->sat.config.max_segments = 2;
	key_cache_clear(w->sat.keys);
	must(w, create_bucket(w, "bucket"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "a", "x", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "b", "x", NULL));
	refused(w, put_object(w, FORM_ZSTD, "bucket", "c", "x", NULL), 8,
		"Exceeded Segments Limit");
	must(w, delete_object(w, "bucket", "a", NULL));
	must(w, put_object(w, FORM_ZSTD, "bucket", "c", "x", NULL));
	w->sat.config.max_segments = 0;
	w->sat.config.max_storage = 1;
	key_cache_clear(w->sat.keys);
	refused(w, put_object(w, FORM_ZSTD, "bucket", "d", "x", NULL), 8, "Exceeded Storage Limit");
}

/* Two copies begin while there is room for one. */
static void test_project_limits_copy(void **state)
{
	struct world *w = *state;
	Metainfo__BeginCopyObjectRequest begin = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	Metainfo__BeginCopyObjectResponse *begun = NULL;
	Metainfo__FinishCopyObjectRequest finish = METAINFO__FINISH_COPY_OBJECT_REQUEST__INIT;

	w->sat.config.max_segments = 2;
	w->sat.config.max_storage = 100;
	key_cache_clear(w->sat.keys);
	must(w, create_bucket(w, "bucket"));
	must(w, put_object(w, FORM_ZSTD, "bucket", "from", "x", NULL));
	begin.bucket = begin.new_bucket = finish.new_bucket = VIEW("bucket");
	begin.encrypted_object_key = VIEW("from");
	begin.new_encrypted_object_key = finish.new_encrypted_object_key = VIEW("a");
	must(w, ask(w, "BeginCopyObject", &begin, &begun));
	finish.stream_id = begun->stream_id;
	finish.new_segment_keys = begun->segment_keys;
	finish.new_encrypted_metadata_key = key48();
	finish.new_encrypted_metadata_key_nonce = nonce();
	/* What fails has taken no room. */
	refused(w, ask(w, "FinishCopyObject", &finish, NULL), 3, "wrong number of segments keys");
	finish.n_new_segment_keys = begun->n_segment_keys;
	must(w, ask(w, "FinishCopyObject", &finish, NULL));
	finish.new_encrypted_object_key = VIEW("b");
	refused(w, ask(w, "FinishCopyObject", &finish, NULL), 8, "Exceeded Segments Limit");
	refused(w, get_object(w, "bucket", "b", NULL), 5, "object not found: ");
	must(w, delete_object(w, "bucket", "a", NULL));
	must(w, ask(w, "FinishCopyObject", &finish, NULL));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_buckets),
		TEST(test_small_objects),
		TEST(test_batch_rules),
		TEST(test_compressed_garbage),
		TEST(test_remote),
		TEST(test_pending),
		TEST(test_list_fields),
		TEST(test_versioned),
		TEST(test_delete_objects),
		TEST(test_copy),
		TEST(test_keys),
		TEST(test_other_project),
		TEST(test_expiry),
		TEST(test_locks),
		TEST(test_limits),
		TEST(test_project_limits),
		TEST(test_project_limits_copy),
		TEST(test_checksums),
		TEST(test_project_bandwidth),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
