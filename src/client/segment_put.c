/* One remote segment: begun at the satellite, sent to nodes, its commit left for the next batch. */
#include "client/upload_internal.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "client/segment_source.h"
#include "os/clock.h"
#include "proto/proto.h"
#include "transfer/segment_upload.h"

enum { TICK_MS = 100 };

struct put {
	struct segment_put *s;
	struct upload *upload;
	struct satellite *satellite;
	struct arena arena; /* the satellite's answers, all of them until the end */
	struct segment_key key;
	struct content_sealer *sealer;
	struct segment_source source;
	Metainfo__BeginSegmentResponse *begun;
	ProtobufCBinaryData segment_id;
	uint64_t told; /* plain bytes reported as progress */
	int64_t begun_ns, fed_ns;
	bool smooth;
	bool again; /* it was sent without a spool, and must start over */
};

/* ---- begin ---- */

/* The first segment of an object asks for the stream ID too; the others wait for it. */
static enum err claim_begin(struct call *call, struct upload *u, bool *ret_mine)
{
	enum err e = OK;

	OS_LOCKED(&u->lock);
	while (!e && u->failed == OK && !u->stream_id.len && u->beginning) {
		struct call tick;
		call_init(&tick);
		os_call_limit(&tick, TICK_MS * NS_PER_MS);
		enum err w = os_cond_wait(&tick, &u->changed, &u->lock);
		(void)w; /* a tick is no failure */
		call_fini(&tick);
		e = os_call_check(call);
	}
	if (u->failed)
		return call_fail(call, ERR_CANCELED, "the upload has failed");
	TRY_PLAIN(e);
	*ret_mine = !u->stream_id.len;
	u->beginning = *ret_mine;
	return OK;
}

static void end_begin(struct upload *u, struct bytes stream_id)
{
	OS_LOCKED(&u->lock);
	u->beginning = false;
	if (stream_id.len)
		u->stream_id = stream_id;
	os_cond_broadcast(&u->changed);
}

static enum err check_begun(struct call *call, struct put *p,
			    const Metainfo__BeginSegmentResponse *b)
{
	const Pointerdb__RedundancyScheme *r = b->redundancy_scheme;

	if (!r || r->total < 1 || b->n_addressed_limits != (size_t)r->total ||
	    b->private_key.len != ED25519_PRIVATE_BYTES || !b->segment_id.len)
		return call_fail(call, ERR_PROTOCOL,
				 "satellite %s began a segment without all that is needed for it",
				 p->satellite->address);
	p->begun = (Metainfo__BeginSegmentResponse *)(uintptr_t)b;
	p->segment_id = b->segment_id;
	return OK;
}

static enum err begin_segment(struct call *call, struct put *p)
{
	struct upload *u = p->upload;
	Metainfo__BeginSegmentRequest begin = METAINFO__BEGIN_SEGMENT_REQUEST__INIT;
	Metainfo__BatchRequestItem item = METAINFO__BATCH_REQUEST_ITEM__INIT;
	Metainfo__BatchRequestItem *items[2];
	Metainfo__BatchResponseItem **answers;
	struct bytes stream_id = BYTES_NONE;
	size_t n = 0;
	bool mine = false;

	TRY_PLAIN(claim_begin(call, u, &mine));
	if (mine)
		TRY_PLAIN(upload_begin_item(call, u, &p->arena, &items[n++]));
	else
		begin.stream_id = proto_view(u->stream_id);
	begin.position = segment_position(u, p->s->index, &p->arena);
	begin.max_order_limit = (int64_t)content_encrypted_size(u->split.segment_size,
								CONTENT_BLOCK_BYTES);
	item.request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN;
	item.segment_begin = &begin;
	items[n++] = &item;
	enum err e = upload_flush(call, u, false, items, n, &p->arena, &answers);
	e = outcome_of_satellite(call, e, u->bucket, u->key);
	TRY_PLAIN(upload_resume_failed(call, u, e));
	if (mine) {
		stream_id = proto_bytes(answers[0]->object_begin->stream_id);
		if (!stream_id.len)
			return call_fail(call, ERR_PROTOCOL, "satellite %s gave no stream ID",
					 p->satellite->address);
		/* The upload's arena belongs to the writer; a thread may not touch it. */
		uint8_t *copy = malloc(stream_id.len);
		if (!copy)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		memcpy(copy, stream_id.data, stream_id.len);
		u->stream_id_owned = copy;
		stream_id.data = copy;
	}
	TRY_PLAIN(check_begun(call, p, answers[n - 1]->segment_begin));
	end_begin(u, stream_id);
	if (mine)
		upload_resume_begun(u);
	return OK;
}

/* ---- what segment_upload asks for ---- */

static enum err put_read(struct call *call, void *arg, uint8_t *buf, size_t cap, size_t *ret_n)
{
	struct put *p = arg;

	TRY_PLAIN(segment_source_read(call, &p->source, buf, cap, ret_n));
	if (*ret_n < cap) {
		p->fed_ns = os_clock_mono_ns();
		upload_fed(p->upload);
	}
	return OK;
}

static enum err put_renew(struct call *call, void *arg, const unsigned numbers[], size_t count,
			  const Metainfo__AddressedOrderLimit *const **ret_limits)
{
	struct put *p = arg;
	Metainfo__RetryBeginSegmentPiecesRequest retry =
		METAINFO__RETRY_BEGIN_SEGMENT_PIECES_REQUEST__INIT;
	Metainfo__BatchRequestItem item = METAINFO__BATCH_REQUEST_ITEM__INIT, *items[] = { &item };
	Metainfo__BatchResponseItem **answers;
	int32_t *list = arena_array(&p->arena, count, sizeof(*list));

	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		list[i] = (int32_t)numbers[i];
	retry.segment_id = p->segment_id;
	retry.n_retry_piece_numbers = count;
	retry.retry_piece_numbers = list;
	item.request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_BEGIN_RETRY_PIECES;
	item.segment_begin_retry_pieces = &retry;
	TRY_PLAIN(metainfo_send_batch(call, p->satellite, items, 1, METAINFO_ONCE, &p->arena,
				      &answers));
	const Metainfo__RetryBeginSegmentPiecesResponse *r = answers[0]->segment_begin_retry_pieces;
	if (r->n_addressed_limits != p->begun->n_addressed_limits || !r->segment_id.len)
		return call_fail(call, ERR_PROTOCOL, "satellite %s gave %zu order limits of %zu",
				 p->satellite->address, r->n_addressed_limits,
				 p->begun->n_addressed_limits);
	p->segment_id = r->segment_id;
	*ret_limits = (const Metainfo__AddressedOrderLimit *const *)r->addressed_limits;
	return OK;
}

/* Plain bytes in so many encrypted ones, at most what the source has taken. */
static void put_progress(void *arg, uint64_t encrypted)
{
	struct put *p = arg;
	uint64_t plain = encrypted / CONTENT_BLOCK_BYTES * (CONTENT_BLOCK_BYTES - AEAD_TAG_BYTES);

	plain = MIN(plain, p->source.plain);
	if (plain <= p->told)
		return;
	p->upload->progress.done += plain - p->told;
	p->told = plain;
	progress_tell(&p->upload->progress);
}

/* ---- commit ---- */

static enum err commit_request(struct call *call, struct put *p,
			       const struct segment_upload_result *r, struct arena *a,
			       Metainfo__CommitSegmentRequest *commit)
{
	Metainfo__SegmentPieceUploadResult *results = arena_array(a, r->count, sizeof(*results));
	Metainfo__SegmentPieceUploadResult **list = arena_array(a, r->count, sizeof(*list));

	if (!results || !list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < r->count; i++) {
		results[i] = (Metainfo__SegmentPieceUploadResult)
			METAINFO__SEGMENT_PIECE_UPLOAD_RESULT__INIT;
		results[i].piece_num = (int32_t)r->pieces[i].number;
		results[i].node_id = proto_view(node_id_bytes(&r->pieces[i].node));
		results[i].hash = r->pieces[i].hash;
		list[i] = &results[i];
	}
	*commit = (Metainfo__CommitSegmentRequest)METAINFO__COMMIT_SEGMENT_REQUEST__INIT;
	commit->segment_id = proto_copy(a, proto_bytes(p->segment_id));
	commit->encrypted_key_nonce = proto_copy(a, BYTES_OF(p->key.wrap_nonce.b));
	commit->encrypted_key = proto_copy(a, p->key.wrapped);
	commit->size_encrypted_data = (int64_t)r->encrypted_size;
	commit->plain_size = (int64_t)p->source.plain;
	commit->n_upload_result = r->count;
	commit->upload_result = list;
	if (!commit->segment_id.data || !commit->encrypted_key_nonce.data ||
	    !commit->encrypted_key.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

static void free_commit(struct pending_commit *c)
{
	secret_key_wipe(&c->key);
	arena_free(&c->arena);
	free(c);
}

DEFINE_AUTO_PTR(struct pending_commit, commit_auto, free_commit)

static enum err send_segment(struct call *call, struct put *p, bool keep)
{
	struct upload *u = p->upload;
	struct pending_commit *c AUTO(commit_auto) = calloc(1, sizeof(*c));
	const Pointerdb__RedundancyScheme *r = p->begun->redundancy_scheme;
	struct segment_upload params = {
		.scheme = { (uint16_t)r->min_req, (uint16_t)r->repair_threshold,
			    (uint16_t)r->success_threshold, (uint16_t)r->total,
			    (uint32_t)r->erasure_share_size },
		.limits = (const Metainfo__AddressedOrderLimit *const *)p->begun->addressed_limits,
		.algorithm = HASH_BLAKE3,
		.requirements = p->begun->cohort_requirements,
		.size_max = content_encrypted_size(u->split.segment_size, CONTENT_BLOCK_BYTES),
		.block_bytes = CONTENT_BLOCK_BYTES,
		.read = put_read,
		.renew = put_renew,
		.progress = put_progress,
		.arg = p,
		.again = keep ? NULL : &p->again,
		.temp_dir = u->child.project->temp_dir,
		.memory_max = SEGMENT_UPLOAD_MEMORY_DEFAULT,
		.stall_ns = u->child.project->stall_ns,
	};
	struct segment_upload_result result;

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (r->min_req > UINT8_MAX + 1 || r->repair_threshold > UINT8_MAX + 1 ||
	    r->success_threshold > UINT8_MAX + 1 || r->total > UINT8_MAX + 1 || r->min_req < 1 ||
	    r->repair_threshold < 0 || r->success_threshold < 0 || r->erasure_share_size < 1)
		return call_fail(call, ERR_PROTOCOL, "satellite %s wants an impossible redundancy",
				 p->satellite->address);
	memcpy(params.piece_key.b, p->begun->private_key.data, ED25519_PRIVATE_BYTES);
	enum err e = segment_upload(call, p->satellite->fanout, &params, &c->arena, &result);
	secret_wipe(&params.piece_key, sizeof(params.piece_key));
	TRY_PLAIN(e);
	p->smooth = result.smooth;
	c->index = p->s->index;
	c->key = p->key.key;
	c->item = arena_alloc(&c->arena, sizeof(*c->item));
	Metainfo__CommitSegmentRequest *commit = arena_alloc(&c->arena, sizeof(*commit));
	if (!c->item || !commit)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(commit_request(call, p, &result, &c->arena, commit));
	*c->item = (Metainfo__BatchRequestItem)METAINFO__BATCH_REQUEST_ITEM__INIT;
	c->item->request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_COMMIT;
	c->item->segment_commit = commit;
	OS_LOCKED(&u->lock);
	c->next = u->pending;
	u->pending = take(&c);
	return OK;
}

/* ---- the thread ---- */

/* What could be continued later must not wait for the next question to the satellite. */
static enum err commit_now(struct call *call, struct upload *u)
{
	struct arena a AUTO(arena_free) = { 0 };
	Metainfo__BatchResponseItem **answers;

	enum err e = upload_flush(call, u, true, NULL, 0, &a, &answers);
	e = outcome_of_satellite(call, e, u->bucket, u->key);
	return upload_resume_failed(call, u, e);
}

/* What belongs to one try. */
static void end_try(struct put *p)
{
	segment_source_fini(&p->source);
	content_sealer_free(take(&p->sealer));
	secret_key_wipe(&p->key.key);
}

/* From the first byte, under a key of its own. */
static enum err try_segment(struct call *call, struct put *p, bool keep)
{
	struct upload *u = p->upload;
	struct plain_source from = p->s->range ? source_range_plain(p->s->range)
					       : pipe_plain(p->s->pipe);

	TRY_PLAIN(segment_key_new(call, u, p->s->index, &p->arena, &p->key));
	TRY_PLAIN(content_sealer_new(call, CIPHER_AESGCM, &p->key.key, &p->key.start_nonce,
				     CONTENT_BLOCK_BYTES, &p->sealer));
	TRY_PLAIN(segment_source_init(call, &p->source, from, p->sealer, CONTENT_BLOCK_BYTES));
	p->begun_ns = os_clock_mono_ns();
	TRY_PLAIN(begin_segment(call, p));
	TRY_PLAIN(send_segment(call, p, keep));
	upload_measured(u, p->fed_ns - p->begun_ns, os_clock_mono_ns() - p->fed_ns, p->smooth);
	return OK;
}

static enum err put_segment(struct call *call, struct put *p)
{
	struct upload *u = p->upload;
	enum err e = try_segment(call, p, !p->s->range || !upload_is_calm(u));

	if (e && p->again) {
		call_clear_error(call);
		upload_is_not_calm(u);
		end_try(p);
		source_range_rewind(p->s->range);
		e = try_segment(call, p, true);
	}
	TRY_PLAIN(e);
	return u->resume ? commit_now(call, u) : OK;
}

static void put_fini(struct put *p)
{
	end_try(p);
	arena_free(&p->arena);
	segment_put_free(p->s);
}

/* The writer may still hold the pipe: it must have finished it, or be told that nobody reads. */
static void wait_writer(struct put *p, enum err e)
{
	struct bytes rest;
	bool last = false;
	struct call call AUTO_CALL = CALL_INIT;

	if (!p->s->pipe)
		return;
	if (e)
		pipe_break(p->s->pipe);
	while (!last && pipe_peek(&call, p->s->pipe, &rest, &last) == OK)
		pipe_drop(p->s->pipe, rest.len);
}

void segment_put_main(void *arg)
{
	struct segment_put *s = arg;
	struct upload *u = s->upload;
	struct put p = { .s = s, .upload = u, .satellite = &u->child.project->satellite };
	struct call call AUTO_CALL = CALL_INIT;

	upload_call(u, &call);
	enum err e = put_segment(&call, &p);
	if (e) {
		/* What the satellite says is about the object. */
		if (!call.status)
			(void)call_wrap(&call, e, "segment %u", s->index);
		upload_fail(u, &call, e);
	}
	wait_writer(&p, e);
	put_fini(&p);
	if (!e) {
		u->progress.segments++;
		progress_tell(&u->progress);
	}
	OS_LOCKED(&u->lock);
	u->in_flight--;
	os_cond_broadcast(&u->changed);
}
