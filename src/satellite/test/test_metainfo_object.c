/*
 * Objects, call by call: `test_metainfo_object sqlite|postgres`.  After the cases of storj's
 * satellite/metainfo tests of the same names (docs/protocol/metainfo-coverage.md).
 */
#include "base/wire.h"
#include "satellite/bucket.h"
#include "satellite/test/metainfo_requests.h"

#define HOUR (3600 * NS_PER_SEC)
#define NONE ((ProtobufCBinaryData){ 0, NULL })

static ProtobufCBinaryData filled(struct world *w, size_t n)
{
	uint8_t *p = arena_alloc(&w->call.scratch, n + 1);

	memset(p, 'f', n);
	return proto_view(BYTES(p, n));
}

static Metainfo__BeginObjectResponse *begin(struct world *w, const char *key)
{
	Metainfo__BeginObjectResponse *b = NULL;

	must(w, ask(w, "BeginObject", begin_request(w, "bucket", key), &b));
	return b;
}

static enum err commit_as(struct world *w, ProtobufCBinaryData id, Metainfo__CommitObjectRequest *c,
			  Metainfo__Object **ret)
{
	Metainfo__CommitObjectResponse *resp = NULL;

	c->stream_id = id;
	TRY_PLAIN(ask(w, "CommitObject", c, &resp));
	if (ret)
		*ret = resp->object;
	return OK;
}

/* ---- begin and commit ---- */

static void test_BeginObject(void **state)
{
	struct world *w = *state;
	Metainfo__BeginObjectRequest *b;

	b = begin_request(w, "", "k");
	refused(w, ask(w, "BeginObject", b, NULL), 3, "no bucket specified");
	b = begin_request(w, "missing", "k");
	refused(w, ask(w, "BeginObject", b, NULL), 5, "bucket not found: missing");
	b = begin_request(w, "bucket", "k");
	b->encrypted_object_key = filled(w, 4000);
	must(w, ask(w, "BeginObject", b, NULL));
	b->encrypted_object_key = filled(w, 4001);
	refused(w, ask(w, "BeginObject", b, NULL), 3, "key length is too big, got 4001, maximum");
	b = begin_request(w, "bucket", "k");
	b->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() - HOUR);
	refused(w, ask(w, "BeginObject", b, NULL), 3,
		"invalid expiration time, cannot be in the past");
	b->expires_at = NULL;
	b->encrypted_metadata_nonce = nonce();
	b->encrypted_metadata_encrypted_key = key48();
	b->encrypted_metadata = filled(w, 1500);
	b->encrypted_etag = filled(w, 548);
	must(w, ask(w, "BeginObject", b, NULL));
	b->encrypted_etag = filled(w, 549);
	refused(w, ask(w, "BeginObject", b, NULL), 3, "Encrypted metadata is too large");
	b->encrypted_etag = NONE;
	b->encrypted_metadata_encrypted_key = filled(w, 47);
	refused(w, ask(w, "BeginObject", b, NULL), 3, "Encrypted metadata key size is invalid");
}

static void test_BeginObject_MaxObjectTTL(void **state)
{
	struct world *w = *state;
	struct caveat ttl = { .has_ttl = true, .ttl_ns = HOUR };
	struct caveat negative = { .has_ttl = true, .ttl_ns = -HOUR };

	struct macaroon m = restricted(w, &ttl);
	use_key(w, &m);
	Metainfo__BeginObjectRequest *b = begin_request(w, "bucket", "k");
	b->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() + 2 * HOUR);
	refused(w, ask(w, "BeginObject", b, NULL), 3, "invalid expiration time, cannot be longer");
	b->expires_at = proto_time_new(&w->call.scratch, os_clock_unix_ns() + HOUR / 2);
	must(w, ask(w, "BeginObject", b, NULL));
	Metainfo__Object *o = NULL;
	must(w, put_object(w, FORM_ZSTD, "bucket", "short", "x", NULL));
	must(w, get_object(w, "bucket", "short", &o));
	int64_t left = proto_time(o->expires_at) - os_clock_unix_ns();
	assert_true(left > HOUR - 60 * NS_PER_SEC && left <= HOUR);
	m = restricted(w, &negative);
	use_key(w, &m);
	refused(w, ask(w, "BeginObject", begin_request(w, "bucket", "k"), NULL), 3,
		"invalid MaxObjectTTL in API key");
}

static void test_CommitObject(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	Metainfo__BeginObjectRequest *b;
	Metainfo__BeginObjectResponse *begun = NULL;

	/* What BeginObject brought stays if the commit brings nothing ... */
	b = begin_request(w, "bucket", "kept");
	b->encrypted_metadata = VIEW("\x0a\x05"
				     "first");
	b->encrypted_metadata_nonce = nonce();
	b->encrypted_metadata_encrypted_key = key48();
	b->encrypted_etag = VIEW("etag");
	must(w, ask(w, "BeginObject", b, &begun));
	Metainfo__CommitObjectRequest empty = METAINFO__COMMIT_OBJECT_REQUEST__INIT;
	must(w, commit_as(w, begun->stream_id, &empty, &o));
	assert_true(bytes_has_prefix(proto_bytes(o->encrypted_metadata), bytes_str("\x0a\x05"
										   "first")));
	assert_true(bytes_equal(proto_bytes(o->encrypted_etag), bytes_str("etag")));
	assert_int_equal(o->plain_size, 0);
	/* ... key and nonce alone are nothing ... */
	b->encrypted_object_key = VIEW("kept too");
	must(w, ask(w, "BeginObject", b, &begun));
	empty = (Metainfo__CommitObjectRequest)METAINFO__COMMIT_OBJECT_REQUEST__INIT;
	empty.encrypted_metadata_nonce = nonce();
	empty.encrypted_metadata_encrypted_key = key48();
	must(w, commit_as(w, begun->stream_id, &empty, &o));
	assert_true(bytes_equal(proto_bytes(o->encrypted_etag), bytes_str("etag")));
	/* ... and is replaced if it brings something, an ETag as well as metadata. */
	b->encrypted_object_key = VIEW("replaced");
	must(w, ask(w, "BeginObject", b, &begun));
	must(w, commit_as(w, begun->stream_id, commit_request(w), &o));
	assert_true(
		bytes_has_prefix(proto_bytes(o->encrypted_metadata), bytes_str("\x0a\x04info")));
	assert_int_equal(o->encrypted_etag.len, 0);
	Metainfo__CommitObjectRequest *etag = commit_request(w);
	etag->encrypted_metadata = NONE;
	etag->encrypted_etag = VIEW("only");
	must(w, commit_as(w, begin(w, "etag")->stream_id, etag, &o));
	assert_true(bytes_equal(proto_bytes(o->encrypted_etag), bytes_str("only")));
	/* Too large, incomplete, of a wrong key. */
	begun = begin(w, "refused");
	Metainfo__CommitObjectRequest *c = commit_request(w);
	c->encrypted_metadata = filled(w, 2049);
	refused(w, commit_as(w, begun->stream_id, c, NULL), 3, "Encrypted metadata is too large");
	c = commit_request(w);
	c->encrypted_metadata_encrypted_key = filled(w, 10);
	refused(w, commit_as(w, begun->stream_id, c, NULL), 3, "Encrypted metadata key size");
	c = commit_request(w);
	c->encrypted_metadata_encrypted_key = NONE;
	refused(w, commit_as(w, begun->stream_id, c, NULL), 3, "EncryptedMetadataNonce and");
	must(w, commit_as(w, begun->stream_id, commit_request(w), NULL));
	refused(w, commit_as(w, begun->stream_id, commit_request(w), NULL), 5,
		"object not found: ");
}

/* Metadata of before 2020 has its key inside; old clients name the cipher there, too. */
static void test_CommitObject_old_clients(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	AUTO_BUF struct buf last = BUF_INIT(200), meta = BUF_INIT(400);
	Metainfo__BeginObjectRequest *b;
	Metainfo__BeginObjectResponse *begun = NULL;
	Metainfo__CommitObjectRequest c = METAINFO__COMMIT_OBJECT_REQUEST__INIT;

	buf_add_field_bytes(&last, 1, proto_bytes(key48()));
	buf_add_field_bytes(&last, 2, proto_bytes(nonce()));
	buf_add_field_bytes(&meta, 1, bytes_str("info"));
	buf_add_field_varint(&meta, 2, 2);
	buf_add_field_varint(&meta, 3, 7424);
	buf_add_field_bytes(&meta, 4, buf_bytes(&last));
	b = begin_request(w, "bucket", "old");
	b->encryption_parameters = NULL;
	must(w, ask(w, "BeginObject", b, &begun));
	c.encrypted_metadata = proto_view(buf_bytes(&meta));
	must(w, commit_as(w, begun->stream_id, &c, &o));
	assert_int_equal(o->encryption_parameters->block_size, 7424);
	assert_int_equal(o->encrypted_metadata_encrypted_key.len, 48);
}

/* Nobody could read what names no cipher, neither when it begins nor when it is committed. */
static void test_CommitObject_encryption(void **state)
{
	struct world *w = *state;

	for (int in_one = 0; in_one < 2; in_one++) {
		Metainfo__BeginObjectRequest *b = begin_request(w, "bucket", "k");
		Metainfo__BeginObjectResponse *begun = NULL;
		Metainfo__BatchRequestItem *items[] = {
			batch_item(w, I_BEGIN, b), batch_item(w, I_INLINE, inline_request(w, "x")),
			batch_item(w, I_COMMIT, commit_request(w))
		};
		b->encryption_parameters = NULL;
		if (in_one) {
			refused(w, ask_batch(w, FORM_ZSTD, items, 3, NULL), 3,
				"Encryption is missing");
		} else {
			must(w, ask(w, "BeginObject", b, &begun));
			refused(w, commit_as(w, begun->stream_id, commit_request(w), NULL), 3,
				"Encryption is missing");
		}
		b->encryption_parameters = answer_encryption(&w->call.scratch, 2, 0);
		if (in_one) {
			refused(w, ask_batch(w, FORM_ZSTD, items, 3, NULL), 3,
				"Encryption.BlockSize is negative or zero");
		} else {
			must(w, ask(w, "BeginObject", b, &begun));
			refused(w, commit_as(w, begun->stream_id, commit_request(w), NULL), 3,
				"Encryption.BlockSize is negative or zero");
		}
		refused(w, get_object(w, "bucket", "k", NULL), 5, "object not found: ");
	}
}

static void test_ConditionalWrites(void **state)
{
	struct world *w = *state;
	char *star[] = { (char *)(uintptr_t) "*", (char *)(uintptr_t) "*" };
	char *tag[] = { (char *)(uintptr_t) "abc" };
	Metainfo__CommitObjectRequest *c = commit_request(w);

	c->if_none_match = tag;
	c->n_if_none_match = 1;
	refused(w, commit_as(w, begin(w, "k")->stream_id, c, NULL), 12, "not implemented");
	c->if_none_match = star;
	c->n_if_none_match = 2;
	refused(w, commit_as(w, begin(w, "k")->stream_id, c, NULL), 12, "not implemented");
	c->n_if_none_match = 1;
	must(w, commit_as(w, begin(w, "k")->stream_id, c, NULL));
	refused(w, commit_as(w, begin(w, "k")->stream_id, c, NULL), 9, "object already exists");
	/* In one batch, in a versioned bucket, behind a marker. */
	Metainfo__BatchRequestItem *items[] = {
		batch_item(w, I_BEGIN, begin_request(w, "bucket", "k")),
		batch_item(w, I_INLINE, inline_request(w, "x")), batch_item(w, I_COMMIT, c)
	};
	c->stream_id = NONE;
	refused(w, ask_batch(w, FORM_ZSTD, items, 3, NULL), 9, "object already exists");
	set_versioning(w, "bucket", true);
	c->stream_id = NONE;
	refused(w, ask_batch(w, FORM_ZSTD, items, 3, NULL), 9, "object already exists");
	must(w, delete_object(w, "bucket", "k", NULL));
	must(w, ask_batch(w, FORM_ZSTD, items, 3, NULL));
}

/* ---- segments ---- */

static void test_MakeInlineSegment(void **state)
{
	struct world *w = *state;

	Metainfo__BeginObjectResponse *begun = begin(w, "k");
	Metainfo__MakeInlineSegmentRequest *s = inline_request(w, "data");
	s->stream_id = begun->stream_id;
	s->position->index = -1;
	refused(w, ask(w, "MakeInlineSegment", s, NULL), 3, "segment index must be greater then 0");
	s->position->index = 0;
	s->encrypted_inline_data = filled(w, LIMIT_INLINE_CIPHER_BYTES + 1);
	refused(w, ask(w, "MakeInlineSegment", s, NULL), 3, "inline segment size cannot be larger");
	s->encrypted_inline_data = filled(w, LIMIT_INLINE_CIPHER_BYTES);
	s->plain_size = 4096;
	must(w, ask(w, "MakeInlineSegment", s, NULL));
	s->encrypted_key = NONE;
	refused(w, ask(w, "MakeInlineSegment", s, NULL), 3, "EncryptedKey missing");
	s->encrypted_key = key48();
	s->encrypted_key_nonce = NONE;
	refused(w, ask(w, "MakeInlineSegment", s, NULL), 3, "EncryptedKeyNonce missing");
	struct caveat no = { .disallow_writes = true };
	struct macaroon m = restricted(w, &no);
	use_key(w, &m);
	s->encrypted_key_nonce = nonce();
	refused(w, ask(w, "MakeInlineSegment", s, NULL), 7, "Unauthorized API credentials");
}

static void test_BeginSegment(void **state)
{
	struct world *w = *state;
	Metainfo__BeginSegmentRequest *s = MESSAGE(w, BeginSegmentRequest, begin_segment_request);
	Metainfo__BeginSegmentResponse *got = NULL;

	Metainfo__BeginObjectResponse *begun = begin(w, "k");
	s->stream_id = begun->stream_id;
	s->position = answer_position(&w->call.scratch, 0);
	s->max_order_limit = 67254016;
	must(w, ask(w, "BeginSegment", s, &got));
	assert_int_equal(got->n_addressed_limits, 5);
	s->position->index = -1;
	refused(w, ask(w, "BeginSegment", s, &got), 3, "segment index must be greater then 0");
	s->position->index = 0;
	s->stream_id = VIEW("garbage");
	refused(w, ask(w, "BeginSegment", s, &got), 3, "invalid stream ID");
	/* The upload must still be there. */
	s->stream_id = begun->stream_id;
	must(w, abort_upload(w, "k", begun->stream_id));
	refused(w, ask(w, "BeginSegment", s, &got), 5, "pending object missing");
}

/* Which upload is gone is told to whom sees something there. */
static void test_abort(void **state)
{
	struct world *w = *state;
	Metainfo__BeginDeleteObjectRequest req = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	Metainfo__BeginDeleteObjectResponse *gone = NULL;
	struct caveat blind = { .disallow_reads = true, .disallow_lists = true };

	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW("k");
	req.status = 1;
	req.stream_id = begin(w, "k")->stream_id;
	must(w, ask(w, "BeginDeleteObject", &req, &gone));
	assert_int_equal(gone->object->status, METAINFO__OBJECT__STATUS__UPLOADING);
	assert_true(bytes_equal(proto_bytes(gone->object->encrypted_object_key), bytes_str("k")));
	assert_true(object_version_get(proto_bytes(gone->object->object_version)) < 0);
	refused(w, ask(w, "BeginDeleteObject", &req, &gone), 5, "object not found: ");
	req.stream_id = begin(w, "k")->stream_id;
	struct macaroon m = restricted(w, &blind);
	use_key(w, &m);
	for (int i = 0; i < 2; i++) {
		must(w, ask(w, "BeginDeleteObject", &req, &gone));
		assert_null(gone->object);
	}
}

static void test_RetryBeginSegmentPieces_Validation(void **state)
{
	struct world *w = *state;
	Metainfo__RetryBeginSegmentPiecesRequest r =
		METAINFO__RETRY_BEGIN_SEGMENT_PIECES_REQUEST__INIT;
	int32_t numbers[] = { 1, 2 };

	struct remote remote = begin_remote(w, "k");
	refused(w, ask(w, "RetryBeginSegmentPieces", &r, NULL), 3, "segment ID missing");
	r.segment_id = remote.segment->segment_id;
	refused(w, ask(w, "RetryBeginSegmentPieces", &r, NULL), 3,
		"piece numbers to exchange cannot be empty");
	r.retry_piece_numbers = numbers;
	r.n_retry_piece_numbers = 2;
	numbers[1] = -1;
	refused(w, ask(w, "RetryBeginSegmentPieces", &r, NULL), 3,
		"piece number -1 must be within range [0,4]");
	numbers[1] = 5;
	refused(w, ask(w, "RetryBeginSegmentPieces", &r, NULL), 3,
		"piece number 5 must be within range [0,4]");
	numbers[1] = 1;
	refused(w, ask(w, "RetryBeginSegmentPieces", &r, NULL), 3, "piece number 1 is duplicated");
	numbers[1] = 2;
	must(w, ask(w, "RetryBeginSegmentPieces", &r, NULL));
}

/* A piece that was given to another node cannot be committed for the first one. */
static void test_CommitSegment_RejectRetryDuplicate(void **state)
{
	struct world *w = *state;
	Metainfo__RetryBeginSegmentPiecesRequest r =
		METAINFO__RETRY_BEGIN_SEGMENT_PIECES_REQUEST__INIT;
	Metainfo__RetryBeginSegmentPiecesResponse *again = NULL;
	int32_t numbers[] = { 0, 1 };

	struct remote remote = begin_remote(w, "k");
	r.segment_id = remote.segment->segment_id;
	r.retry_piece_numbers = numbers;
	r.n_retry_piece_numbers = 2;
	must(w, ask(w, "RetryBeginSegmentPieces", &r, &again));
	Metainfo__CommitSegmentRequest *c =
		commit_remote(w, again->segment_id, remote.segment->addressed_limits, 5, 20000);
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "Number of valid pieces (3) is less than");
	c = commit_remote(w, again->segment_id, again->addressed_limits, 5, 20000);
	c->upload_result[1] = c->upload_result[0];
	c->n_upload_result = 4;
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "Number of valid pieces (3) is less than");
	c = commit_remote(w, again->segment_id, again->addressed_limits, 5, 20000);
	must(w, ask(w, "CommitSegment", c, NULL));
}

static void test_CommitSegment_Validation(void **state)
{
	struct world *w = *state;
	Metainfo__CommitSegmentResponse *got = NULL;

	struct remote r = begin_remote(w, "k");
	Metainfo__AddressedOrderLimit **limits = r.segment->addressed_limits;
	ProtobufCBinaryData id = r.segment->segment_id;
	Metainfo__CommitSegmentRequest *c = commit_remote(w, id, limits, 3, 20000);
	refused(w, ask(w, "CommitSegment", c, NULL), 3,
		"the number of results of uploaded pieces (3) is below the optimal threshold (4)");
	/* Sizes that are not those of such a segment, or differ. */
	c = commit_remote(w, id, limits, 5, 20000);
	c->size_encrypted_data = 40000;
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "piece sizes are invalid");
	c = commit_remote(w, id, limits, 5, 20000);
	c->upload_result[0]->hash->piece_size++;
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "piece sizes are invalid");
	/* Two of five without a hash are one too many, one is left out. */
	c = commit_remote(w, id, limits, 5, 20000);
	c->upload_result[0]->hash = NULL;
	c->upload_result[4]->hash = NULL;
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "Number of valid pieces (3)");
	c = commit_remote(w, id, limits, 5, 20000);
	c->upload_result[0]->hash = NULL;
	must(w, ask(w, "CommitSegment", c, &got));
	assert_int_equal(got->successful_pieces, 4);
	/* Old hashes, pieces of other segments, numbers out of range, nodes that are another. */
	c = commit_remote(w, id, limits, 5, 20000);
	for (int i = 0; i < 2; i++)
		c->upload_result[i]->hash->timestamp =
			proto_time_new(&w->call.scratch, os_clock_unix_ns() - 25 * HOUR);
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "Number of valid pieces (3)");
	c = commit_remote(w, id, limits, 5, 20000);
	c->upload_result[0]->piece_num = 77;
	c->upload_result[1]->piece_num = -1;
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "Number of valid pieces (3)");
	struct remote other = begin_remote(w, "other");
	c = commit_remote(w, id, other.segment->addressed_limits, 5, 20000);
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "Number of valid pieces (0)");
	c = commit_remote(w, id, limits, 5, 20000);
	c->plain_size = 20001;
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "plain segment size 20001 is out of range");
	c = commit_remote(w, id, limits, 5, 20000);
	c->encrypted_key = NONE;
	refused(w, ask(w, "CommitSegment", c, NULL), 3, "EncryptedKey missing");
	must(w, abort_upload(w, "k", r.object->stream_id));
	refused(w, ask(w, "CommitSegment", commit_remote(w, id, limits, 5, 20000), NULL), 5,
		"pending object missing");
}

static void test_ListSegments(void **state)
{
	struct world *w = *state;
	Metainfo__ListSegmentsRequest req = METAINFO__LIST_SEGMENTS_REQUEST__INIT;
	Metainfo__ListSegmentsResponse *page = NULL;
	struct caveat no = { .disallow_reads = true };
	int seen = 0;

	Metainfo__BeginObjectResponse *begun = begin(w, "k");
	for (int i = 0; i < 5; i++) {
		Metainfo__MakeInlineSegmentRequest *s = inline_request(w, "data");
		s->stream_id = begun->stream_id;
		s->position = answer_position(&w->call.scratch, segment_position(i / 2, i % 2));
		must(w, ask(w, "MakeInlineSegment", s, NULL));
	}
	req.stream_id = begun->stream_id;
	req.limit = 2;
	do {
		must(w, ask(w, "ListSegments", &req, &page));
		for (size_t i = 0; i < page->n_items; i++, seen++) {
			assert_int_equal(page->items[i]->position->part_number, seen / 2);
			assert_int_equal(page->items[i]->position->index, seen % 2);
			assert_int_equal(page->items[i]->plain_size, 4);
		}
		req.cursor_position = page->items[page->n_items - 1]->position;
	} while (page->more);
	assert_int_equal(seen, 5);
	/* Whoever is done with a part says so by an index that no segment has. */
	req.cursor_position = answer_position(&w->call.scratch, segment_position(0, -1));
	req.limit = 1;
	must(w, ask(w, "ListSegments", &req, &page));
	assert_int_equal(page->items[0]->position->part_number, 1);
	req.limit = -1;
	refused(w, ask(w, "ListSegments", &req, &page), 3, "limit is negative");
	req.limit = 0;
	req.stream_id = VIEW("x");
	refused(w, ask(w, "ListSegments", &req, &page), 3, "invalid stream ID");
	struct macaroon m = restricted(w, &no);
	use_key(w, &m);
	req.stream_id = begun->stream_id;
	refused(w, ask(w, "ListSegments", &req, &page), 7, "Unauthorized API credentials");
}

/* ---- reading ---- */

static enum err get_version(struct world *w, const char *key, ProtobufCBinaryData version,
			    Metainfo__Object **ret)
{
	Metainfo__GetObjectRequest req = METAINFO__GET_OBJECT_REQUEST__INIT;
	Metainfo__GetObjectResponse *resp = NULL;

	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW(key);
	req.object_version = version;
	TRY_PLAIN(ask(w, "GetObject", &req, &resp));
	*ret = resp->object;
	return OK;
}

static void test_GetObject(void **state)
{
	struct world *w = *state;
	Metainfo__Object *o = NULL;
	struct caveat only_list = { .disallow_reads = true },
		      nothing = { .disallow_reads = true, .disallow_lists = true };

	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "data", NULL));
	must(w, get_object(w, "bucket", "k", &o));
	must(w, get_version(w, "k", o->object_version, &o));
	ProtobufCBinaryData other = filled(w, 16);
	refused(w, get_version(w, "k", other, &o), 5, "object not found: ");
	refused(w, get_version(w, "k", filled(w, 15), &o), 3, "invalid object version length");
	refused(w, get_object(w, "nowhere", "k", &o), 5, "object not found: ");
	/* The code of the segments is for old clients, which do not ask each segment for it. */
	must(w, get_object(w, "bucket", "k", &o));
	assert_null(o->redundancy_scheme);
	struct remote r = begin_remote(w, "remote");
	must(w, ask(w, "CommitSegment",
		    commit_remote(w, r.segment->segment_id, r.segment->addressed_limits, 5, 20000),
		    NULL));
	must(w, commit_as(w, r.object->stream_id, commit_request(w), NULL));
	must(w, get_version(w, "remote", NONE, &o));
	assert_int_equal(o->redundancy_scheme->min_req, 2);
	assert_int_equal(o->redundancy_scheme->total, 5);
	must(w, get_version(w, "k", NONE, &o));
	assert_int_equal(o->redundancy_scheme->total, 0);
	must(w, commit_as(w, begin(w, "empty")->stream_id, commit_request(w), NULL));
	must(w, get_version(w, "empty", NONE, &o));
	assert_null(o->redundancy_scheme);
	/* List will do for a look. */
	struct macaroon m = restricted(w, &only_list);
	use_key(w, &m);
	must(w, get_object(w, "bucket", "k", &o));
	m = restricted(w, &nothing);
	use_key(w, &m);
	refused(w, get_object(w, "bucket", "k", &o), 7, "Unauthorized API credentials");
}

/* A key of nothing and version 0 are no names of objects, whatever is asked of them. */
static void test_no_such_name(void **state)
{
	struct world *w = *state;
	Metainfo__DownloadObjectRequest down = METAINFO__DOWNLOAD_OBJECT_REQUEST__INIT;
	Metainfo__BeginDeleteObjectRequest delete = METAINFO__BEGIN_DELETE_OBJECT_REQUEST__INIT;
	Metainfo__BeginCopyObjectRequest copy = METAINFO__BEGIN_COPY_OBJECT_REQUEST__INIT;
	Metainfo__ListPendingObjectStreamsRequest pending =
		METAINFO__LIST_PENDING_OBJECT_STREAMS_REQUEST__INIT;
	Metainfo__Object *o = NULL;
	uint8_t zero[16] = { 0 };

	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "data", NULL));
	down.bucket = delete.bucket = copy.bucket = copy.new_bucket = pending.bucket =
		VIEW("bucket");
	copy.new_encrypted_object_key = VIEW("to");
	refused(w, get_object(w, "bucket", "", &o), 3, "ObjectKey missing");
	refused(w, ask(w, "DownloadObject", &down, NULL), 3, "ObjectKey missing");
	refused(w, ask(w, "BeginDeleteObject", &delete, NULL), 3, "ObjectKey missing");
	refused(w, ask(w, "BeginCopyObject", &copy, NULL), 3, "ObjectKey missing");
	refused(w, ask(w, "ListPendingObjectStreams", &pending, NULL), 3, "ObjectKey missing");
	down.encrypted_object_key = delete.encrypted_object_key = VIEW("k");
	down.object_version = delete.object_version = proto_view(BYTES_OF(zero));
	refused(w, get_version(w, "k", proto_view(BYTES_OF(zero)), &o), 3, "Version invalid: 0");
	refused(w, ask(w, "DownloadObject", &down, NULL), 3, "Version invalid: 0");
	refused(w, ask(w, "BeginDeleteObject", &delete, NULL), 3, "Version invalid: 0");
	must(w, get_object(w, "bucket", "k", &o));
}

static void test_DownloadObject(void **state)
{
	struct world *w = *state;
	Metainfo__DownloadObjectRequest req = METAINFO__DOWNLOAD_OBJECT_REQUEST__INIT;
	Metainfo__DownloadObjectResponse *d = NULL;
	Metainfo__Range range = METAINFO__RANGE__INIT;
	Metainfo__RangeStart start = METAINFO__RANGE_START__INIT;
	Metainfo__RangeSuffix suffix = METAINFO__RANGE_SUFFIX__INIT;
	Metainfo__BatchResponse *first = NULL;
	struct caveat only_list = { .disallow_reads = true };

	/* Of three segments of four bytes, two and one part. */
	w->sat.config.min_part_size = 0;
	Metainfo__BeginObjectResponse *begun = begin(w, "parts");
	for (int i = 0; i < 3; i++) {
		Metainfo__MakeInlineSegmentRequest *s = inline_request(w, "data");
		s->stream_id = begun->stream_id;
		s->position = answer_position(&w->call.scratch, segment_position(1 + i / 2, i % 2));
		must(w, ask(w, "MakeInlineSegment", s, NULL));
	}
	must(w, commit_as(w, begun->stream_id, commit_request(w), NULL));
	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW("parts");
	must(w, ask(w, "DownloadObject", &req, &d));
	assert_int_equal(d->segment_list->n_items, 3);
	assert_int_equal(d->segment_list->items[2]->plain_offset, 8);
	req.limit = 1;
	must(w, ask(w, "DownloadObject", &req, &d));
	assert_true(d->segment_list->n_items == 1 && d->segment_list->more);
	req.limit = 0;
	range.range_case = METAINFO__RANGE__RANGE_START;
	range.start = &start;
	start.plain_start = 5;
	req.range = &range;
	must(w, ask(w, "DownloadObject", &req, &d));
	assert_int_equal(d->segment_list->n_items, 2);
	assert_int_equal(d->segment_download[0]->plain_offset, 4);
	range.range_case = METAINFO__RANGE__RANGE_SUFFIX;
	range.suffix = &suffix;
	suffix.plain_suffix = 4;
	must(w, ask(w, "DownloadObject", &req, &d));
	assert_int_equal(d->segment_list->n_items, 1);
	suffix.plain_suffix = 1000;
	must(w, ask(w, "DownloadObject", &req, &d));
	assert_int_equal(d->segment_list->n_items, 3);
	req.range = NULL;
	/* A version, a marker, a copy on the server by who is not trusted. */
	set_versioning(w, "bucket", true);
	must(w, put_object(w, FORM_ZSTD, "bucket", "v", "one", &first));
	must(w, put_object(w, FORM_ZSTD, "bucket", "v", "three", NULL));
	req.encrypted_object_key = VIEW("v");
	req.object_version = first->responses[2]->object_commit->object->object_version;
	must(w, ask(w, "DownloadObject", &req, &d));
	assert_int_equal(d->object->plain_size, 3);
	Metainfo__BeginDeleteObjectResponse *gone = NULL;
	must(w, delete_object(w, "bucket", "v", &gone));
	req.object_version = gone->object->object_version;
	refused(w, ask(w, "DownloadObject", &req, &d), 17, "method not allowed");
	req.object_version = NONE;
	refused(w, ask(w, "DownloadObject", &req, &d), 5, "object not found: ");
	req.encrypted_object_key = VIEW("parts");
	req.server_side_copy = true;
	refused(w, ask(w, "DownloadObject", &req, &d), 3, "ServerSideCopy flag is only allowed");
	req.server_side_copy = false;
	struct macaroon m = restricted(w, &only_list);
	use_key(w, &m);
	refused(w, ask(w, "DownloadObject", &req, &d), 7, "Unauthorized API credentials");
}

static void test_DownloadSegment(void **state)
{
	struct world *w = *state;
	Metainfo__DownloadSegmentRequest req = METAINFO__DOWNLOAD_SEGMENT_REQUEST__INIT;
	Metainfo__DownloadSegmentResponse *got = NULL;
	Metainfo__Object *o = NULL;

	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "data", NULL));
	must(w, get_object(w, "bucket", "k", &o));
	req.stream_id = o->stream_id;
	req.cursor_position = answer_position(&w->call.scratch, 0);
	must(w, ask(w, "DownloadSegment", &req, &got));
	assert_true(bytes_equal(proto_bytes(got->encrypted_inline_data), bytes_str("data")));
	assert_int_equal(got->plain_size, 4);
	req.cursor_position = answer_position(&w->call.scratch, 1);
	refused(w, ask(w, "DownloadSegment", &req, &got), 5, "segment not found: ");
	req.server_side_copy = true;
	refused(w, ask(w, "DownloadSegment", &req, &got), 3, "ServerSideCopy flag is only allowed");
	req.server_side_copy = false;
	/* The last one, as very old clients ask for it; not of what has parts. */
	req.cursor_position = answer_position(&w->call.scratch, segment_position(0, -1));
	must(w, ask(w, "DownloadSegment", &req, &got));
	req.stream_id = begin(w, "multipart")->stream_id;
	refused(w, ask(w, "DownloadSegment", &req, &got), 12,
		"Used uplink version cannot download multipart objects.");
}

static void test_GetObjectIPs(void **state)
{
	struct world *w = *state;
	Metainfo__GetObjectIPsRequest req = METAINFO__GET_OBJECT_IPS_REQUEST__INIT;
	Metainfo__GetObjectIPsResponse *got = NULL;
	struct caveat only_list = { .disallow_reads = true };

	struct remote r = begin_remote(w, "k");
	must(w, ask(w, "CommitSegment",
		    commit_remote(w, r.segment->segment_id, r.segment->addressed_limits, 5, 20000),
		    NULL));
	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW("k");
	/* Not of an upload under way. */
	refused(w, ask(w, "GetObjectIPs", &req, &got), 5, "object not found: ");
	must(w, commit_as(w, r.object->stream_id, commit_request(w), NULL));
	begin_remote(w, "k");
	struct macaroon m = restricted(w, &only_list);
	use_key(w, &m);
	must(w, ask(w, "GetObjectIPs", &req, &got));
	assert_int_equal(got->n_ips, 5);
	assert_int_equal(got->piece_count, 5);
	assert_int_equal(got->reliable_piece_count, 5);
	assert_int_equal(got->segment_count, 1);
	assert_true(bytes_has_prefix(proto_bytes(got->ips[0]), bytes_str("127.0.0.1:2000")));
}

/* ---- listings ---- */

static const char *keys_of(struct world *w, const Metainfo__ListObjectsResponse *page)
{
	AUTO_BUF struct buf b = BUF_INIT(4096);

	for (size_t i = 0; i < page->n_items; i++) {
		buf_add_bytes(&b, proto_bytes(page->items[i]->encrypted_object_key));
		buf_add_byte(&b, '|');
	}
	return arena_str(&w->call.scratch, buf_bytes(&b));
}

#define LISTS(w, req, keys)                                                                        \
	do {                                                                                       \
		Metainfo__ListObjectsResponse *page_ = NULL;                                       \
		must(w, list_objects(w, "bucket", req, &page_));                                   \
		assert_string_equal(keys_of(w, page_), keys);                                      \
	} while (0)

static void test_ListObjects_Delimiter(void **state)
{
	static const char *const keys[] = { "abc",	     "abc##",	  "abc##def", "abc##def##",
					    "abc##def##ghi", "abc#xyz##", "xyz##uvw" };
	struct world *w = *state;
	Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		must(w, put_object(w, FORM_ZSTD, "bucket", keys[i], "x", NULL));
	req.delimiter = VIEW("##");
	LISTS(w, &req, "abc|abc##|abc#xyz##|xyz##|");
	req.encrypted_prefix = VIEW("abc##");
	LISTS(w, &req, "|def|def##|");
	req.encrypted_prefix = VIEW("abc##def##");
	LISTS(w, &req, "|ghi|");
	/* With a part of the delimiter at its end it is no prefix yet. */
	req.encrypted_prefix = VIEW("abc#");
	LISTS(w, &req, "");
	req.arbitrary_prefix = true;
	LISTS(w, &req, "#|#def|#def##|xyz##|");
	req.arbitrary_prefix = false;
	req.encrypted_prefix = NONE;
	req.recursive = true;
	LISTS(w, &req, "abc|abc##|abc##def|abc##def##|abc##def##ghi|abc#xyz##|xyz##uvw|");
	req.recursive = false;
	req.delimiter = NONE;
	LISTS(w, &req, "abc|abc##|abc##def|abc##def##|abc##def##ghi|abc#xyz##|xyz##uvw|");
}

static void test_ListObjects_ArbitraryPrefix(void **state)
{
	static const char *const keys[] = { "a/b", "aa", "ab", "ab/c", "b" };
	struct world *w = *state;
	Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		must(w, put_object(w, FORM_ZSTD, "bucket", keys[i], "x", NULL));
	req.encrypted_prefix = VIEW("a");
	LISTS(w, &req, "b|");
	req.arbitrary_prefix = true;
	LISTS(w, &req, "/|a|b|b/|");
	req.recursive = true;
	LISTS(w, &req, "/b|a|b|b/c|");
	req.encrypted_cursor = VIEW("a");
	LISTS(w, &req, "b|b/c|");
}

static void test_ListObjects_Cursor(void **state)
{
	static const char *const keys[] = { "a", "b/1", "b/2", "c" };
	struct world *w = *state;

	for (int pending = 0; pending < 2; pending++) {
		Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			if (pending)
				begin(w, keys[i]);
			else
				must(w, put_object(w, FORM_ZSTD, "bucket", keys[i], "x", NULL));
		}
		if (pending)
			req.status = METAINFO__OBJECT__STATUS__UPLOADING;
		LISTS(w, &req, "a|b/|c|");
		req.encrypted_cursor = VIEW("a");
		LISTS(w, &req, "b/|c|");
		req.encrypted_cursor = VIEW("b/");
		LISTS(w, &req, "c|");
		req.encrypted_cursor = VIEW("b/1");
		LISTS(w, &req, "c|");
		req.recursive = true;
		LISTS(w, &req, "b/2|c|");
		req.encrypted_cursor = VIEW("c");
		LISTS(w, &req, "");
	}
}

static void test_ListObjectsMetadata(void **state)
{
	struct world *w = *state;
	Metainfo__ListObjectsRequest req = METAINFO__LIST_OBJECTS_REQUEST__INIT;
	Metainfo__ObjectListItemIncludes includes = METAINFO__OBJECT_LIST_ITEM_INCLUDES__INIT;
	Metainfo__ListObjectsResponse *page = NULL;
	Metainfo__CommitObjectRequest *c = commit_request(w);

	must(w, put_object(w, FORM_ZSTD, "bucket", "custom", "x", NULL));
	c->encrypted_etag = VIEW("etag");
	must(w, commit_as(w, begin(w, "etag")->stream_id, c, NULL));
	/* The ETag where there is one, else the metadata. */
	req.use_object_includes = true;
	req.object_includes = &includes;
	includes.include_etag_or_custom_metadata = true;
	must(w, list_objects(w, "bucket", &req, &page));
	struct bytes info = bytes_str("info");
	struct bytes custom = proto_bytes(page->items[0]->encrypted_metadata);
	assert_non_null(memmem(custom.data, custom.len, info.data, info.len));
	assert_int_equal(page->items[0]->encrypted_etag.len, 0);
	struct bytes etag = proto_bytes(page->items[1]->encrypted_metadata);
	assert_null(memmem(etag.data, etag.len, info.data, info.len));
	assert_int_equal(page->items[1]->encrypted_etag.len, 4);
	assert_int_equal(page->items[1]->encrypted_metadata_encrypted_key.len, 48);
	/* Both, for who says nothing. */
	req.use_object_includes = false;
	must(w, list_objects(w, "bucket", &req, &page));
	etag = proto_bytes(page->items[1]->encrypted_metadata);
	assert_non_null(memmem(etag.data, etag.len, info.data, info.len));
	assert_int_equal(page->items[1]->encrypted_etag.len, 4);
}

/* ---- metadata in place ---- */

static void test_UpdateObjectMetadata(void **state)
{
	struct world *w = *state;
	Metainfo__UpdateObjectMetadataRequest u = METAINFO__UPDATE_OBJECT_METADATA_REQUEST__INIT;
	Metainfo__ObjectMetadataIncludes includes = METAINFO__OBJECT_METADATA_INCLUDES__INIT;
	Metainfo__Object *o = NULL;
	Metainfo__CommitObjectRequest *c = commit_request(w);

	c->encrypted_etag = VIEW("etag");
	must(w, commit_as(w, begin(w, "k")->stream_id, c, &o));
	u.bucket = VIEW("bucket");
	u.encrypted_object_key = VIEW("k");
	u.stream_id = o->stream_id;
	u.encrypted_metadata = VIEW("\x0a\x03new");
	u.encrypted_metadata_nonce = nonce();
	u.encrypted_metadata_encrypted_key = key48();
	/* The ETag would be lost: an old client is told that nothing is there, a new one why. */
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), 5, "object not found: ");
	u.includes = &includes;
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), STATUS_METADATA_INCLUDES,
		"Includes must not be empty");
	includes.custom = true;
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), STATUS_METADATA_INCLUDES_FEW, "");
	includes.etag = true;
	u.encrypted_etag = VIEW("newer");
	must(w, ask(w, "UpdateObjectMetadata", &u, NULL));
	must(w, get_object(w, "bucket", "k", &o));
	assert_true(bytes_equal(proto_bytes(o->encrypted_etag), bytes_str("newer")));
	assert_true(bytes_has_prefix(proto_bytes(o->encrypted_metadata), bytes_str("\x0a\x03new")));
	u.encrypted_metadata = filled(w, 2048);
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), 3, "Encrypted metadata is too large");
	u.encrypted_metadata = VIEW("m");
	u.encrypted_metadata_encrypted_key = filled(w, 3);
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), 3, "Encrypted metadata key size");
	u.encrypted_metadata_encrypted_key = key48();
	u.stream_id = VIEW("x");
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), 3, "invalid stream ID");
	/* Another object by now, or a marker. */
	u.stream_id = o->stream_id;
	set_versioning(w, "bucket", true);
	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), 5, "object not found: ");
	must(w, delete_object(w, "bucket", "k", NULL));
	refused(w, ask(w, "UpdateObjectMetadata", &u, NULL), 5, "object not found: ");
}

/* ---- many deletes ---- */

struct many {
	Metainfo__DeleteObjectsRequest req;
	Metainfo__DeleteObjectsRequestItem items[8], *list[8];
};

static void many_add(struct many *m, const char *key, ProtobufCBinaryData version)
{
	size_t n = m->req.n_items++;

	metainfo__delete_objects_request_item__init(&m->items[n]);
	m->items[n].encrypted_object_key = VIEW(key);
	m->items[n].object_version = version;
	m->list[n] = &m->items[n];
	m->req.items = m->list;
}

static struct many many_new(const char *bucket)
{
	struct many m = { .req = METAINFO__DELETE_OBJECTS_REQUEST__INIT };

	m.req.bucket = VIEW(bucket);
	return m;
}

#define IS(item, wanted, removed_status, marker_status)                                            \
	do {                                                                                       \
		const Metainfo__DeleteObjectsResponseItem *i_ = (item);                            \
		assert_int_equal(i_->status,                                                       \
				 METAINFO__DELETE_OBJECTS_RESPONSE_ITEM__STATUS__##wanted);        \
		assert_int_equal(i_->removed ? (int)i_->removed->status : 0, removed_status);      \
		assert_int_equal(i_->marker ? (int)i_->marker->status : 0, marker_status);         \
	} while (0)

static Metainfo__Object *put_and_get(struct world *w, const char *key)
{
	Metainfo__Object *o = NULL;

	must(w, put_object(w, FORM_ZSTD, "bucket", key, "x", NULL));
	must(w, get_object(w, "bucket", key, &o));
	return o;
}

static ProtobufCBinaryData pending_version(struct world *w, const char *key)
{
	Metainfo__ListPendingObjectStreamsRequest req =
		METAINFO__LIST_PENDING_OBJECT_STREAMS_REQUEST__INIT;
	Metainfo__ListPendingObjectStreamsResponse *found = NULL;

	req.bucket = VIEW("bucket");
	req.encrypted_object_key = VIEW(key);
	must(w, ask(w, "ListPendingObjectStreams", &req, &found));
	return found->n_items ? found->items[0]->object_version : NONE;
}

/* Uploads under way: not by their key, but by their version. */
static void delete_pending(struct world *w, bool marks)
{
	Metainfo__DeleteObjectsResponse *resp = NULL;

	begin(w, "pending");
	struct many m = many_new("bucket");
	many_add(&m, "pending", NONE);
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	if (marks)
		IS(resp->items[0], OK, 0, 5);
	else
		IS(resp->items[0], NOT_FOUND, 0, 0);
	m = many_new("bucket");
	many_add(&m, "pending", pending_version(w, "pending"));
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	IS(resp->items[0], OK, 1, 0);
	assert_int_equal(pending_version(w, "pending").len, 0);
}

static void test_DeleteObjects_Unversioned(void **state)
{
	struct world *w = *state;
	Metainfo__DeleteObjectsResponse *resp = NULL;

	Metainfo__Object *a = put_and_get(w, "a");
	put_and_get(w, "b");
	struct many m = many_new("bucket");
	many_add(&m, "a", a->object_version);
	many_add(&m, "b", NONE);
	many_add(&m, "c", filled(w, 16));
	many_add(&m, "d", NONE);
	/* The number alone, without the part of the stream. */
	uint8_t version[16] = { 0 };
	memcpy(version, put_and_get(w, "e")->object_version.data, 8);
	many_add(&m, "e", proto_view(BYTES_OF(version)));
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	assert_int_equal(resp->n_items, 5);
	IS(resp->items[4], OK, 3, 0);
	IS(resp->items[0], OK, 3, 0);
	assert_true(bytes_equal(proto_bytes(resp->items[0]->removed->object_version),
				proto_bytes(a->object_version)));
	IS(resp->items[1], OK, 3, 0);
	IS(resp->items[2], NOT_FOUND, 0, 0);
	IS(resp->items[3], NOT_FOUND, 0, 0);
	/* Twice the same, and once as the latest: each asked is told. */
	a = put_and_get(w, "a");
	m = many_new("bucket");
	many_add(&m, "a", a->object_version);
	many_add(&m, "a", a->object_version);
	many_add(&m, "a", NONE);
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	assert_int_equal(resp->n_items, 2);
	IS(resp->items[0], OK, 3, 0);
	IS(resp->items[1], OK, 3, 0);
	delete_pending(w, false);
}

static void test_DeleteObjects_Versioned(void **state)
{
	struct world *w = *state;
	Metainfo__DeleteObjectsResponse *resp = NULL;

	set_versioning(w, "bucket", true);
	Metainfo__Object *a = put_and_get(w, "a");
	struct many m = many_new("bucket");
	many_add(&m, "a", a->object_version);
	many_add(&m, "b", NONE);
	many_add(&m, "c", filled(w, 16));
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	IS(resp->items[0], OK, 4, 0);
	IS(resp->items[1], OK, 0, 5);
	IS(resp->items[2], NOT_FOUND, 0, 0);
	a = put_and_get(w, "a");
	m = many_new("bucket");
	many_add(&m, "a", a->object_version);
	many_add(&m, "a", NONE);
	many_add(&m, "a", NONE);
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	assert_int_equal(resp->n_items, 2);
	IS(resp->items[0], OK, 0, 5);
	IS(resp->items[1], OK, 4, 0);
	delete_pending(w, true);
}

static void test_DeleteObjects_Suspended(void **state)
{
	struct world *w = *state;
	Metainfo__DeleteObjectsResponse *resp = NULL;

	put_and_get(w, "a");
	set_versioning(w, "bucket", true);
	put_and_get(w, "b");
	set_versioning(w, "bucket", false);
	Metainfo__Object *c = put_and_get(w, "c");
	struct many m = many_new("bucket");
	many_add(&m, "a", NONE);
	many_add(&m, "b", NONE);
	many_add(&m, "c", c->object_version);
	many_add(&m, "d", NONE);
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	IS(resp->items[0], OK, 3, 6);
	IS(resp->items[1], OK, 0, 6);
	IS(resp->items[2], OK, 3, 0);
	IS(resp->items[3], NOT_FOUND, 0, 0);
	c = put_and_get(w, "c");
	m = many_new("bucket");
	many_add(&m, "c", c->object_version);
	many_add(&m, "c", NONE);
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	IS(resp->items[0], OK, 3, 6);
	IS(resp->items[1], OK, 3, 0);
	delete_pending(w, false);
}

static void test_DeleteObjects_Unauthorized(void **state)
{
	struct world *w = *state;
	Metainfo__DeleteObjectsResponse *resp = NULL;
	struct allowed_path path = { bytes_str("bucket"), bytes_str("mine/") },
			    elsewhere = { bytes_str("other"), BYTES_NONE };
	struct caveat prefix = { .paths = &path, .paths_count = 1 },
		      other = { .paths = &elsewhere, .paths_count = 1 },
		      no_delete = { .disallow_deletes = true };

	put_and_get(w, "mine/a");
	put_and_get(w, "theirs");
	struct many m = many_new("bucket");
	many_add(&m, "mine/a", NONE);
	many_add(&m, "theirs", NONE);
	struct macaroon key = restricted(w, &no_delete);
	use_key(w, &key);
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	IS(resp->items[0], UNAUTHORIZED, 0, 0);
	IS(resp->items[1], UNAUTHORIZED, 0, 0);
	key = restricted(w, &other);
	use_key(w, &key);
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	IS(resp->items[0], UNAUTHORIZED, 0, 0);
	/* Quiet: only what did not go. */
	key = restricted(w, &prefix);
	use_key(w, &key);
	m.req.quiet = true;
	must(w, ask(w, "DeleteObjects", &m.req, &resp));
	assert_int_equal(resp->n_items, 1);
	IS(resp->items[0], UNAUTHORIZED, 0, 0);
	use_key(w, &w->key);
	must(w, get_object(w, "bucket", "theirs", NULL));
	refused(w, get_object(w, "bucket", "mine/a", NULL), 5, "object not found: ");
}

/* ---- negative numbers ---- */

/* Only uploads under way have negative versions, whatever is copied, moved or deleted. */
static void test_NegativeVersion(void **state)
{
	struct world *w = *state;
	Metainfo__BeginDeleteObjectResponse *gone = NULL;

	set_versioning(w, "bucket", true);
	begin(w, "k");
	must(w, delete_object(w, "bucket", "k", &gone));
	assert_int_equal(get_be64(gone->object->object_version.data), 1);
	Metainfo__Object *o = put_and_get(w, "k");
	assert_int_equal(get_be64(o->object_version.data), 2);
	assert_true(object_version_get(proto_bytes(pending_version(w, "k"))) < 0);
}

/* ---- keys, projects ---- */

static void test_RevokeAPIKey(void **state)
{
	struct world *w = *state;
	Metainfo__RevokeAPIKeyRequest revoke = METAINFO__REVOKE_APIKEY_REQUEST__INIT;
	struct caveat c = { .disallow_writes = true };
	AUTO_BUF struct buf child = BUF_INIT(MACAROON_BYTES_MAX),
			    own = BUF_INIT(MACAROON_BYTES_MAX);

	must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	struct macaroon m = restricted(w, &c);
	macaroon_add_binary(&child, &m);
	macaroon_add_binary(&own, &w->key);
	revoke.api_key = VIEW("nonsense");
	refused(w, ask(w, "RevokeAPIKey", &revoke, NULL), 3, "API key to revoke is not a macaroon");
	/* Nobody revokes himself, nor his parent. */
	revoke.api_key = proto_view(buf_bytes(&own));
	refused(w, ask(w, "RevokeAPIKey", &revoke, NULL), 7, "Unauthorized attempt to revoke");
	use_key(w, &m);
	refused(w, ask(w, "RevokeAPIKey", &revoke, NULL), 7, "Unauthorized attempt to revoke");
	must(w, get_object(w, "bucket", "k", NULL));
	use_key(w, &w->key);
	revoke.api_key = proto_view(buf_bytes(&child));
	must(w, ask(w, "RevokeAPIKey", &revoke, NULL));
	use_key(w, &m);
	refused(w, get_object(w, "bucket", "k", NULL), 7, "Unauthorized API credentials");
	use_key(w, &w->key);
	must(w, get_object(w, "bucket", "k", NULL));
}

static void test_ProjectInfo(void **state)
{
	struct world *w = *state;
	Metainfo__ProjectInfoRequest req = METAINFO__PROJECT_INFO_REQUEST__INIT;
	Metainfo__ProjectInfoResponse *got = NULL, *again = NULL;
	struct caveat all = { .disallow_reads = true,
			      .disallow_writes = true,
			      .disallow_lists = true,
			      .disallow_deletes = true };

	must(w, ask(w, "ProjectInfo", &req, &got));
	assert_int_equal(got->project_salt.len, 32);
	assert_int_equal(got->project_public_id.len, 16);
	assert_true(proto_time(got->project_created_at) > 0);
	struct macaroon m = restricted(w, &all);
	use_key(w, &m);
	must(w, ask(w, "ProjectInfo", &req, &again));
	assert_true(bytes_equal(proto_bytes(got->project_salt), proto_bytes(again->project_salt)));
	Metainfo__AccountLicensesRequest licenses = METAINFO__ACCOUNT_LICENSES_REQUEST__INIT;
	Metainfo__AccountLicensesResponse *none = NULL;
	must(w, ask(w, "AccountLicenses", &licenses, &none));
	assert_int_equal(none->n_licenses, 0);
}

static void test_TrimUserAgent(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "Zenko", "Zenko" },
		{ "Zenko uplink/v1.0.0", "Zenko" },
		{ "Zenko uplink/v1.0.0 (drpc/v0.10.0 common/v0.0.0-00010101000000-000000000000)",
		  "Zenko" },
		{ "Zenko uplink/v1.0.0 (drpc/v0.10.0) (common/v0.0.0)", "Zenko" },
		{ "uplink/v1.0.0 (drpc/v0.10.0 common/v0.0.0)", "" },
		{ "uplink/v1.0.0 Zenko/v3", "Zenko/v3" },
		{ "rclone/1.0 other/2 (a (b) c) Gateway-ST/v1", "rclone/1.0 other/2" },
		{ "((((", "" },
	};
	struct world *w = *state;
	Metainfo__ListBucketsRequest list = METAINFO__LIST_BUCKETS_REQUEST__INIT;
	Metainfo__ListBucketsResponse *page = NULL;
	char *oversize = arena_alloc(&w->call.scratch, 700);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes out = user_agent_trim(&w->call.scratch, bytes_str(cases[i].in));
		assert_true(bytes_equal(out, bytes_str(cases[i].out)));
	}
	memset(oversize, 'x', 600);
	assert_int_equal(user_agent_trim(&w->call.scratch, bytes_str(oversize)).len, 500);
	memcpy(oversize, "Zenko/v3 ", 9);
	assert_true(bytes_equal(user_agent_trim(&w->call.scratch, bytes_str(oversize)),
				bytes_str("Zenko/v3")));
	/* A bucket belongs to the first tool that had something to say. */
	w->header.user_agent = VIEW("rclone/1.60 uplink/v1.2.3");
	begin(w, "a");
	w->header.user_agent = VIEW("other/1");
	begin(w, "b");
	list.direction = METAINFO__LIST_DIRECTION__FORWARD;
	must(w, ask(w, "ListBuckets", &list, &page));
	assert_true(bytes_equal(proto_bytes(page->items[0]->user_agent), bytes_str("rclone/1.60")));
}

/* Uploads of one key too fast, and looks at it (metainfo.md 3.4). */
static void test_Object_Limit(void **state)
{
	struct world *w = *state;
	int64_t hour = HOUR;

	w->sat.metainfo->upload_rate = object_rate_new(hour, 2);
	w->sat.metainfo->download_rate = object_rate_new(hour, 2);
	for (int i = 0; i < 2; i++)
		must(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL));
	refused(w, put_object(w, FORM_ZSTD, "bucket", "k", "x", NULL), 8, "Too Many Requests");
	must(w, put_object(w, FORM_ZSTD, "bucket", "other", "x", NULL));
	for (int i = 0; i < 2; i++)
		must(w, get_object(w, "bucket", "k", NULL));
	refused(w, get_object(w, "bucket", "k", NULL), 8, "Too Many Requests");
	refused(w, download_object(w, "bucket", "k", NULL), 8, "Too Many Requests");
	must(w, download_object(w, "bucket", "other", NULL));
}

/* All of them play in one bucket. */
static int setup(void **state)
{
	int r = world_setup(state);

	if (!r)
		must(*state, create_bucket(*state, "bucket"));
	return r;
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_BeginObject),
		TEST(test_BeginObject_MaxObjectTTL),
		TEST(test_CommitObject),
		TEST(test_CommitObject_old_clients),
		TEST(test_CommitObject_encryption),
		TEST(test_ConditionalWrites),
		TEST(test_MakeInlineSegment),
		TEST(test_BeginSegment),
		TEST(test_abort),
		TEST(test_RetryBeginSegmentPieces_Validation),
		TEST(test_CommitSegment_RejectRetryDuplicate),
		TEST(test_CommitSegment_Validation),
		TEST(test_ListSegments),
		TEST(test_GetObject),
		TEST(test_no_such_name),
		TEST(test_DownloadObject),
		TEST(test_DownloadSegment),
		TEST(test_GetObjectIPs),
		TEST(test_ListObjects_Delimiter),
		TEST(test_ListObjects_ArbitraryPrefix),
		TEST(test_ListObjects_Cursor),
		TEST(test_ListObjectsMetadata),
		TEST(test_UpdateObjectMetadata),
		TEST(test_DeleteObjects_Unversioned),
		TEST(test_DeleteObjects_Versioned),
		TEST(test_DeleteObjects_Suspended),
		TEST(test_DeleteObjects_Unauthorized),
		TEST(test_NegativeVersion),
		TEST(test_RevokeAPIKey),
		TEST(test_ProjectInfo),
		TEST(test_TrimUserAgent),
		TEST(test_Object_Limit),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
