/*
 * An upload as its writer sees it.  Bytes are cut into segments; each remote one gets a pipe and a
 * thread (segment_put.c); a small tail goes inline with the commit.  What must be told to the
 * satellite is gathered and sent with the next question (metainfo.md 2).
 */
#include "client/upload_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/secret.h"
#include "os/clock.h"
#include "os/random.h"
#include "proto/proto.h"
#include "transfer/segment_upload.h"

enum {
	TICK_MS = 100,
	IN_FLIGHT_MEMORY = 20 << 20, /* rings of an upload's segments, unless told otherwise */
	RING_EXPANSION = 3,	     /* pieces of a segment are about so many times its size */
	CALM_MS = 3000,		     /* a segment that takes longer costs too much to start over */
	CALM_AGAIN = 8,		     /* smooth segments wanted after one that had to */
	PLAIN_BLOCK_BYTES = CONTENT_BLOCK_BYTES - AEAD_TAG_BYTES,
	CLEANUP_MS = 5000, /* for telling the satellite that an upload is given up */
};

DEFINE_AUTO_PTR(struct upload, upload_auto, upload_free)

static enum err fill_names(struct call *call, struct project *p, struct upload *u,
			   struct bytes bucket, struct bytes key,
			   const struct upload_options *options)
{
	TRY_PLAIN(check_key(call, bucket, key));
	u->bucket = arena_bytes(&u->arena, bucket);
	u->key = arena_bytes(&u->arena, key);
	if (!u->bucket.data || !u->key.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(encrypt_key(call, p, bucket, key, &u->arena, &u->encrypted_key));
	TRY_PLAIN(object_content_key(call, p, bucket, key, &u->object_key));
	u->o = *options;
	u->o.transfer = NULL;
	u->is_part = options->stream_id.len > 0;
	if (!u->is_part)
		return OK;
	u->stream_id = arena_bytes(&u->arena, options->stream_id);
	return u->stream_id.data ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

/* What an earlier try has stored counts as written. */
static void skip_resumed(struct upload *u)
{
	u->size = upload_resume_offset(u);
	if (!u->size)
		return;
	u->split.segments = u->started = (uint32_t)(u->size / u->split.segment_size);
	u->last_segment_size = (uint32_t)u->split.segment_size;
	u->progress.done = u->size;
}

enum err upload_new(struct call *call, struct project *p, struct bytes bucket, struct bytes key,
		    const struct upload_options *options, struct upload **ret)
{
	struct upload *u AUTO(upload_auto) = calloc(1, sizeof(*u));
	const AcreTransferOptions *t = options->transfer;

	if (!u)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	u->aborted = true; /* until it is complete there is nothing to abort */
	TRY_PLAIN(fill_names(call, p, u, bucket, key, options));
	u->split.segment_size = p->segment_size;
	u->parallelism = t && t->parallelism
				 ? MIN(t->parallelism, (unsigned)PROJECT_PARALLELISM_MAX)
				 : p->parallelism;
	progress_init(&u->progress, t, -1);
	TRY_PLAIN(project_adopt(call, p, t ? t->cancel : NULL, &u->child));
	struct os_cancel *cancel = call->cancel;
	call->cancel = &u->child.cancel;
	enum err e = upload_resume_open(call, u, t, &u->resume);
	call->cancel = cancel;
	TRY_PLAIN(e);
	skip_resumed(u);
	u->aborted = false;
	*ret = take(&u);
	return OK;
}

uint64_t upload_resumed(const struct upload *u)
{
	return upload_resume_offset(u);
}

void upload_call(struct upload *u, struct call *call)
{
	call_init(call);
	project_child_call(&u->child, call);
}

/* ---- failure ---- */

void upload_fail(struct upload *u, const struct call *call, enum err e)
{
	OS_LOCKED(&u->lock);
	if (u->failed == OK) {
		u->failed = e;
		u->failed_status = call->status;
		snprintf(u->failed_text, sizeof(u->failed_text), "%s", call_error(call, e));
	}
	os_cancel_set(&u->child.cancel);
	os_cond_broadcast(&u->changed);
}

/* The first failure of any thread, for the caller's call. */
static enum err first_failure(struct call *call, struct upload *u, enum err e)
{
	OS_LOCKED(&u->lock);
	if (u->failed == OK)
		return e;
	snprintf(call->error, sizeof(call->error), "%s", u->failed_text);
	call->status = u->failed_status;
	return u->failed;
}

/* Lock held, also on return. */
static enum err wait_changed(struct call *call, struct upload *u)
{
	struct call tick;

	call_init(&tick);
	os_call_limit(&tick, TICK_MS * NS_PER_MS);
	enum err e = os_cond_wait(&tick, &u->changed, &u->lock);
	(void)e; /* a tick is no failure */
	call_fini(&tick);
	return os_call_check(call);
}

/* ---- segments ---- */

enum err segment_key_new(struct call *call, struct upload *u, uint32_t index, struct arena *a,
			 struct segment_key *ret)
{
	struct buf wrapped AUTO_BUF = BUF_INIT(CONTENT_WRAPPED_KEY_BYTES);
	struct segment_key k;

	os_random(k.key.b, sizeof(k.key.b));
	os_random(k.wrap_nonce.b, sizeof(k.wrap_nonce.b));
	k.start_nonce = content_start_nonce(u->o.part_number, index);
	TRY_PLAIN(content_wrap_key(call, CIPHER_AESGCM, &u->object_key, &k.wrap_nonce, &k.key,
				   &wrapped));
	k.wrapped = arena_bytes(a, buf_bytes(&wrapped));
	if (!k.wrapped.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = k;
	return OK;
}

Metainfo__SegmentPosition *segment_position(struct upload *u, uint32_t index, struct arena *a)
{
	Metainfo__SegmentPosition *p = arena_alloc(a, sizeof(*p));

	if (p) {
		*p = (Metainfo__SegmentPosition)METAINFO__SEGMENT_POSITION__INIT;
		p->part_number = (int32_t)u->o.part_number;
		p->index = (int32_t)index;
	}
	return p;
}

void upload_measured(struct upload *u, int64_t feed_ns, int64_t settle_ns, bool smooth)
{
	OS_LOCKED(&u->lock);
	u->feed_ns = u->feed_ns ? (u->feed_ns + feed_ns) / 2 : feed_ns;
	u->settle_ns = u->settle_ns ? (u->settle_ns + settle_ns) / 2 : settle_ns;
	if (smooth && feed_ns + settle_ns < CALM_MS * NS_PER_MS)
		u->calm = MIN(u->calm + 1, 1);
	else
		u->calm = MIN(u->calm, 0);
}

bool upload_is_calm(struct upload *u)
{
	OS_LOCKED(&u->lock);
	return u->calm > 0;
}

void upload_is_not_calm(struct upload *u)
{
	OS_LOCKED(&u->lock);
	u->calm = -CALM_AGAIN;
}

/* One segment is fed at a time; behind it others settle (the long tail, the last answers).  So many
 * are let into flight that the feeding never waits, as far as memory for their rings goes: on a
 * slow link two, on a fast one with far nodes, or with small segments, more. */
static unsigned in_flight_max(struct upload *u)
{
	uint64_t ring = MIN((uint64_t)SEGMENT_UPLOAD_MEMORY_DEFAULT,
			    RING_EXPANSION * u->split.segment_size);
	uint64_t most = MIN(MAX(IN_FLIGHT_MEMORY / ring, (uint64_t)2),
			    (uint64_t)PROJECT_PARALLELISM_MAX);

	if (u->parallelism)
		return u->parallelism;
	OS_LOCKED(&u->lock);
	int64_t settling = u->feed_ns > 0 ? u->settle_ns / u->feed_ns : 0;
	return (unsigned)MIN((uint64_t)settling + 2, most);
}

void upload_fed(struct upload *u)
{
	OS_LOCKED(&u->lock);
	u->feeding = false;
	os_cond_broadcast(&u->changed);
}

/* Waits until fewer than `max` segments are in flight, and none is fed. */
static enum err wait_in_flight(struct call *call, struct upload *u, unsigned max)
{
	enum err e = OK;

	OS_LOCKED(&u->lock);
	while (!e && u->failed == OK && (u->in_flight >= max || u->feeding))
		e = wait_changed(call, u);
	return e;
}

void segment_put_free(struct segment_put *s)
{
	if (!s)
		return;
	pipe_free(s->pipe);
	source_range_free(s->range);
	free(s);
}

DEFINE_AUTO_PTR(struct segment_put, segment_auto, segment_put_free)

static enum err new_segment(struct call *call, struct upload *u, struct segment_put **ret)
{
	TRY_PLAIN(wait_in_flight(call, u, in_flight_max(u)));
	TRY_PLAIN(first_failure(call, u, OK));
	struct segment_put *s = calloc(1, sizeof(*s));
	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	s->upload = u;
	s->index = u->split.segments;
	*ret = s;
	return OK;
}

/* The thread owns the segment then. */
static enum err launch_segment(struct call *call, struct upload *u, struct segment_put *s)
{
	os_mutex_lock(&u->lock);
	u->in_flight++;
	u->feeding = s->range != NULL;
	u->started = s->index + 1;
	os_mutex_unlock(&u->lock);
	enum err e = fanout_start(call, u->child.project->satellite.fanout, segment_put_main, s);
	if (e) {
		OS_LOCKED(&u->lock);
		u->in_flight--;
		u->feeding = false;
	}
	return e;
}

/* The current segment turned out to be remote: a pipe, a thread, and what was held back. */
static enum err start_segment(struct call *call, struct upload *u)
{
	struct segment_put *s AUTO(segment_auto) = NULL;

	TRY_PLAIN(new_segment(call, u, &s));
	assert(s);
	TRY_PLAIN(pipe_new(call, PLAIN_BLOCK_BYTES, PIPE_BYTES_DEFAULT, &s->pipe));
	TRY_PLAIN(pipe_write(call, s->pipe, BYTES_OF(u->head)));
	TRY_PLAIN(launch_segment(call, u, s));
	u->current = take(&s);
	return OK;
}

/* The next `size` bytes of a source are a segment. */
static enum err start_range(struct call *call, struct upload *u, const struct source_reader *reader,
			    uint64_t size)
{
	struct segment_put *s AUTO(segment_auto) = NULL;

	TRY_PLAIN(new_segment(call, u, &s));
	assert(s);
	TRY_PLAIN(source_range_new(call, reader, u->size, size, PLAIN_BLOCK_BYTES,
				   SOURCE_RANGE_BYTES, &s->range));
	TRY_PLAIN(launch_segment(call, u, s));
	(void)take(&s);
	u->size += size;
	u->split.segments++;
	u->last_segment_size = (uint32_t)size;
	return OK;
}

/* The thread frees the segment once the pipe is finished. */
static void end_segment(struct upload *u)
{
	struct segment_put *s = take(&u->current);

	if (s)
		pipe_finish(s->pipe);
}

/* n bytes were put where the current segment wants them. */
static enum err added(struct call *call, struct upload *u, size_t n)
{
	u->size += n;
	switch (splitter_add(&u->split, n)) {
	case SPLITTER_GO_ON:
		return OK;
	case SPLITTER_REMOTE:
		return start_segment(call, u);
	case SPLITTER_FULL:
		u->last_segment_size = (uint32_t)u->split.segment_size;
		end_segment(u);
		return OK;
	}
	return OK;
}

/* Where the next bytes go: the pipe, or what is held back until it is known to be too much for an
 * inline segment. */
static enum err room(struct call *call, struct upload *u, uint8_t **ret, size_t *ret_n)
{
	size_t most = (size_t)splitter_take(&u->split, SIZE_MAX);

	if (u->sourced)
		return call_fail(call, ERR_PRECONDITION, "all of the object was given already");
	*ret = u->head + u->split.in_segment;
	*ret_n = most;
	if (u->split.remote)
		TRY_PLAIN(pipe_room(call, u->current->pipe, ret, ret_n));
	*ret_n = MIN(*ret_n, most);
	return OK;
}

static enum err filled(struct call *call, struct upload *u, size_t n)
{
	if (u->split.remote)
		pipe_filled(u->current->pipe, n);
	return added(call, u, n);
}

static enum err done_already(struct call *call, const struct upload *u)
{
	if (u->aborted)
		return outcome_fail(call, ERR_PRECONDITION, UPLINK_ERROR_UPLOAD_DONE,
				    "upload done: already aborted");
	if (u->committed)
		return outcome_fail(call, ERR_PRECONDITION, UPLINK_ERROR_UPLOAD_DONE,
				    "upload done: already committed");
	return OK;
}

/* What was half written cannot be gone back over. */
static enum err write_failed(struct call *call, struct upload *u, enum err e)
{
	upload_fail(u, call, e);
	return first_failure(call, u, e);
}

enum err upload_room(struct call *call, struct upload *u, uint8_t **ret, size_t *ret_n)
{
	u->room = 0;
	TRY_PLAIN(done_already(call, u));
	enum err e = room(call, u, ret, ret_n);
	if (e)
		return write_failed(call, u, e);
	u->room = *ret_n;
	return OK;
}

enum err upload_filled(struct call *call, struct upload *u, size_t n)
{
	TRY_PLAIN(done_already(call, u));
	if (n > u->room)
		return call_fail(call, ERR_INVALID, "%zu bytes were put where %zu had room", n,
				 u->room);
	u->room = 0;
	enum err e = n ? filled(call, u, n) : OK;
	return e ? write_failed(call, u, e) : OK;
}

enum err upload_write(struct call *call, struct upload *u, struct bytes data, size_t *ret_n)
{
	size_t all = data.len;

	*ret_n = 0;
	u->room = 0;
	TRY_PLAIN(done_already(call, u));
	while (data.len) {
		uint8_t *to = NULL;
		size_t n = 0;
		enum err e = room(call, u, &to, &n);
		n = MIN(n, data.len);
		if (!e) {
			memcpy(to, data.data, n);
			e = filled(call, u, n);
		}
		if (e)
			return write_failed(call, u, e);
		data = bytes_from(data, n);
		*ret_n = all - data.len;
	}
	return OK;
}

static enum err take_source(struct call *call, struct upload *u, const struct source_reader *reader,
			    uint64_t size)
{
	uint8_t tail[CONTENT_INLINE_MAX];

	while (size - u->size > CONTENT_INLINE_MAX)
		TRY_PLAIN(start_range(call, u, reader, MIN(size - u->size, u->split.segment_size)));
	size_t n = (size_t)(size - u->size);
	enum err e = source_read(call, reader, u->size, tail, n);
	if (!e)
		e = upload_write(call, u, BYTES(tail, n), &n);
	secret_wipe(tail, sizeof(tail));
	return e;
}

enum err upload_from(struct call *call, struct upload *u, const struct source_reader *reader,
		     uint64_t size)
{
	TRY_PLAIN(done_already(call, u));
	if (u->split.in_segment || u->sourced || size < u->size)
		return call_fail(call, ERR_PRECONDITION,
				 "a source continues behind whole segments, and is the rest");
	enum err e = take_source(call, u, reader, size);
	u->sourced = true;
	return e ? write_failed(call, u, e) : OK;
}

/* ---- what the satellite is told ---- */

enum err upload_begin_item(struct call *call, struct upload *u, struct arena *a,
			   Metainfo__BatchRequestItem **ret)
{
	Metainfo__BeginObjectRequest *begin = arena_alloc(a, sizeof(*begin));
	Encryption__EncryptionParameters *encryption = arena_alloc(a, sizeof(*encryption));
	Metainfo__BatchRequestItem *item = arena_alloc(a, sizeof(*item));

	if (!begin || !encryption || !item)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*begin = (Metainfo__BeginObjectRequest)METAINFO__BEGIN_OBJECT_REQUEST__INIT;
	*encryption = (Encryption__EncryptionParameters)ENCRYPTION__ENCRYPTION_PARAMETERS__INIT;
	*item = (Metainfo__BatchRequestItem)METAINFO__BATCH_REQUEST_ITEM__INIT;
	encryption->cipher_suite = ENCRYPTION__CIPHER_SUITE__ENC_AESGCM;
	encryption->block_size = CONTENT_BLOCK_BYTES;
	begin->bucket = proto_view(u->bucket);
	begin->encrypted_object_key = proto_view(u->encrypted_key);
	begin->encryption_parameters = encryption;
	if (u->o.expires_ns) {
		begin->expires_at = proto_time_new(a, u->o.expires_ns);
		if (!begin->expires_at)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	item->request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_BEGIN;
	item->object_begin = begin;
	*ret = item;
	return OK;
}

static void free_pending(struct pending_commit *c)
{
	while (c) {
		struct pending_commit *next = c->next;
		secret_key_wipe(&c->key);
		arena_free(&c->arena);
		free(c);
		c = next;
	}
}

/* Takes the commits that may go: of a part all but the one that may be its last, which will carry
 * the ETag (encryption.md 3.5). */
static struct pending_commit *take_pending(struct upload *u, bool all)
{
	struct pending_commit *taken = NULL, **from = &u->pending;

	OS_LOCKED(&u->lock);
	while (*from) {
		struct pending_commit *c = *from;
		if (!all && u->is_part && c->index + 1 == u->started) {
			from = &c->next;
			continue;
		}
		*from = c->next;
		c->next = taken;
		taken = c;
	}
	return taken;
}

DEFINE_AUTO_PTR(struct pending_commit, pending_auto, free_pending)

enum err upload_flush(struct call *call, struct upload *u, bool all,
		      Metainfo__BatchRequestItem *const items[], size_t count, struct arena *a,
		      Metainfo__BatchResponseItem ***ret_answers)
{
	struct pending_commit *taken AUTO(pending_auto) = take_pending(u, all);
	Metainfo__BatchRequestItem *batch[METAINFO_BATCH_MAX];
	Metainfo__BatchResponseItem **answers = NULL;
	size_t n = 0;

	for (struct pending_commit *c = taken; c; c = c->next) {
		if (n + count == METAINFO_BATCH_MAX)
			return call_fail(call, ERR_INTERNAL,
					 "too many segments wait for their commit");
		batch[n++] = c->item;
	}
	for (size_t i = 0; i < count; i++)
		batch[n++] = items[i];
	if (n)
		TRY_PLAIN(metainfo_send_batch(call, &u->child.project->satellite, batch, n,
					      METAINFO_ONCE, a, &answers));
	for (struct pending_commit *c = taken; c; c = c->next)
		upload_resume_committed(u, c->index);
	*ret_answers = answers + (n - count);
	return OK;
}

/* ---- the end ---- */

/* For a part with an ETag: encrypted under the key of the last segment (encryption.md 3.5). */
static enum err seal_etag(struct call *call, struct upload *u, const struct secret_key *segment_key,
			  struct arena *a, ProtobufCBinaryData *ret)
{
	static const struct content_nonce zero;
	struct secret_key key AUTO(secret_key_wipe);
	struct buf out AUTO_BUF = BUF_INIT(CONTENT_METADATA_MAX);

	if (!u->is_part || !u->metadata.etag.len)
		return OK;
	content_etag_key(segment_key, &key);
	TRY(content_seal(call, CIPHER_AESGCM, &key, &zero, u->metadata.etag, &out), "ETag");
	TRY_PLAIN(buf_status(&out));
	*ret = proto_copy(a, buf_bytes(&out));
	return ret->data ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static enum err etag_on_last_commit(struct call *call, struct upload *u)
{
	struct pending_commit *last = NULL;

	/* No thread is left that could change the list. */
	for (struct pending_commit *c = u->pending; c; c = c->next)
		if (!last || c->index > last->index)
			last = c;
	if (!last)
		return OK;
	return seal_etag(call, u, &last->key, &last->arena,
			 &last->item->segment_commit->encrypted_e_tag);
}

/* The tail as an inline segment: one sealed message (encryption.md 3.4). */
static enum err inline_item(struct call *call, struct upload *u, struct arena *a,
			    Metainfo__BatchRequestItem **ret)
{
	Metainfo__MakeInlineSegmentRequest *make = arena_alloc(a, sizeof(*make));
	Metainfo__BatchRequestItem *item = arena_alloc(a, sizeof(*item));
	struct segment_key *k = arena_alloc(a, sizeof(*k));
	struct buf sealed AUTO_BUF = BUF_INIT(CONTENT_INLINE_MAX + AEAD_TAG_BYTES);
	size_t size = (size_t)u->split.in_segment;
	uint32_t index = u->split.segments;

	if (!make || !item || !k)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(segment_key_new(call, u, index, a, k));
	TRY_PLAIN(content_seal(call, CIPHER_AESGCM, &k->key, &k->start_nonce, BYTES(u->head, size),
			       &sealed));
	*make = (Metainfo__MakeInlineSegmentRequest)METAINFO__MAKE_INLINE_SEGMENT_REQUEST__INIT;
	*item = (Metainfo__BatchRequestItem)METAINFO__BATCH_REQUEST_ITEM__INIT;
	make->stream_id = proto_view(u->stream_id);
	make->position = segment_position(u, index, a);
	make->encrypted_key_nonce = proto_view(BYTES_OF(k->wrap_nonce.b));
	make->encrypted_key = proto_view(k->wrapped);
	make->encrypted_inline_data = proto_copy(a, buf_bytes(&sealed));
	make->plain_size = (int64_t)size;
	enum err e = seal_etag(call, u, &k->key, a, &make->encrypted_e_tag);
	secret_key_wipe(&k->key);
	TRY_PLAIN(e);
	if (!make->position || (sealed.len && !make->encrypted_inline_data.data))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	item->request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_MAKE_INLINE;
	item->segment_make_inline = make;
	u->last_segment_size = (uint32_t)size;
	*ret = item;
	return OK;
}

static enum err commit_item(struct call *call, struct upload *u, struct arena *a,
			    Metainfo__BatchRequestItem **ret)
{
	Metainfo__CommitObjectRequest *commit = arena_alloc(a, sizeof(*commit));
	Metainfo__BatchRequestItem *item = arena_alloc(a, sizeof(*item));
	struct sealed_metadata *sealed = arena_alloc(a, sizeof(*sealed));

	if (!commit || !item || !sealed)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	u->metadata.segments_size = (int64_t)u->split.segment_size;
	u->metadata.last_segment_size = u->last_segment_size;
	TRY_PLAIN(metadata_seal(call, a, CIPHER_AESGCM, &u->object_key, &u->metadata, sealed));
	*commit = (Metainfo__CommitObjectRequest)METAINFO__COMMIT_OBJECT_REQUEST__INIT;
	*item = (Metainfo__BatchRequestItem)METAINFO__BATCH_REQUEST_ITEM__INIT;
	commit->stream_id = proto_view(u->stream_id);
	commit->encrypted_metadata_nonce = proto_view(BYTES_OF(sealed->nonce.b));
	commit->encrypted_metadata_encrypted_key = proto_view(sealed->wrapped_key);
	commit->encrypted_metadata = proto_view(sealed->metadata);
	commit->encrypted_etag = proto_view(sealed->etag);
	item->request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_COMMIT;
	item->object_commit = commit;
	*ret = item;
	return OK;
}

static void keep_committed(struct upload *u, const Metainfo__Object *object)
{
	u->created_ns = object ? proto_time(object->created_at) : 0;
	if (object)
		u->version = arena_bytes(&u->arena, proto_bytes(object->object_version));
}

/* The question may have arrived although there was no answer. */
static bool outcome_unknown(const struct call *call, enum err e)
{
	if (call->status)
		return false;
	switch ((int)e) {
	case ERR_EOF:
	case ERR_CLOSED:
	case ERR_DEADLINE:
	case ERR_IO:
		return true;
	default:
		return false;
	}
}

/* Everything the satellite does not know yet, in one batch. */
static enum err commit_rest(struct call *call, struct upload *u)
{
	struct arena a AUTO(arena_free) = { 0 };
	Metainfo__BatchRequestItem *items[3];
	Metainfo__BatchResponseItem **answers;
	const bool is_part = u->is_part;
	size_t n = 0;

	if (!u->stream_id.len)
		TRY_PLAIN(upload_begin_item(call, u, &a, &items[n++]));
	if (splitter_inline_tail(&u->split)) {
		TRY_PLAIN(inline_item(call, u, &a, &items[n++]));
	} else {
		TRY_PLAIN(etag_on_last_commit(call, u));
	}
	if (!is_part)
		TRY_PLAIN(commit_item(call, u, &a, &items[n++]));
	enum err e = upload_flush(call, u, true, items, n, &a, &answers);
	if (e && outcome_unknown(call, e))
		return call_wrap(call, e,
				 "whether the upload is committed is not known, look before "
				 "you repeat it");
	if (is_part && e == ERR_NOT_FOUND)
		return call_fail(call, e,
				 "upload ID invalid: there is no such pending upload of "
				 "\"%.*s\"",
				 (int)u->key.len, (const char *)u->key.data);
	e = outcome_of_satellite(call, e, u->bucket, u->key);
	if (e)
		return upload_resume_failed(call, u, e);
	if (is_part)
		u->created_ns = os_clock_unix_ns();
	else
		keep_committed(u, answers[n - 1]->object_commit->object);
	return OK;
}

static enum err commit_all(struct call *call, struct upload *u)
{
	if (u->current) {
		u->last_segment_size = (uint32_t)u->split.in_segment;
		end_segment(u);
	}
	enum err e = wait_in_flight(call, u, 1);
	TRY_PLAIN(first_failure(call, u, e));
	return commit_rest(call, u);
}

/* Waits for the segments' threads; they were cancelled or are done. */
static void join_segments(struct upload *u)
{
	if (u->current) {
		pipe_finish(u->current->pipe);
		u->current = NULL;
	}
	OS_LOCKED(&u->lock);
	while (u->in_flight)
		os_cond_wait_forever(&u->changed, &u->lock);
}

/* Ends all that runs and lets the satellite forget the pending object, if it can be told soon and
 * no later try shall find it. */
static enum err give_up(struct upload *u, struct call *call, bool for_good)
{
	os_cancel_set(&u->child.cancel);
	join_segments(u);
	bool keep = !for_good && upload_resume_keep(u);
	upload_resume_close(take(&u->resume), keep);
	if (keep || u->is_part || !u->stream_id.len)
		return OK;
	os_call_limit(call, CLEANUP_MS * NS_PER_MS);
	return multipart_abort(call, u->child.project, u->bucket, u->key, u->stream_id);
}

enum err upload_commit(struct call *call, struct upload *u)
{
	TRY_PLAIN(done_already(call, u));
	u->committed = true;
	enum err e = commit_all(call, u);
	if (!e) {
		u->progress.total = (int64_t)u->size;
		u->progress.done = u->size;
		progress_tell(&u->progress);
		upload_resume_close(take(&u->resume), false);
		return OK;
	}
	struct call cleanup AUTO_CALL = CALL_INIT;
	/* The failure that is told is the one that came first. */
	if (give_up(u, &cleanup, false))
		call_clear_error(&cleanup);
	return e;
}

enum err upload_abort(struct call *call, struct upload *u)
{
	struct call cleanup AUTO_CALL = CALL_INIT;

	TRY_PLAIN(done_already(call, u));
	u->aborted = true;
	enum err e = give_up(u, &cleanup, true);
	if (e == ERR_NOT_FOUND)
		return OK;
	call_copy_error(call, &cleanup);
	return e;
}

enum err upload_set_metadata(struct call *call, struct upload *u, const struct meta_entry *entries,
			     size_t count)
{
	TRY_PLAIN(done_already(call, u));
	return metadata_set(call, &u->arena, entries, count, &u->metadata);
}

enum err upload_set_etag(struct call *call, struct upload *u, struct bytes etag)
{
	if (u->etag_set)
		return call_fail(call, ERR_PRECONDITION, "the ETag is set already");
	TRY_PLAIN(done_already(call, u));
	u->metadata.etag = arena_bytes(&u->arena, etag);
	if (etag.len && !u->metadata.etag.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	u->etag_set = true;
	return OK;
}

enum err upload_info(struct call *call, struct upload *u, struct arena *a, struct object *ret)
{
	struct object o = {
		.key = arena_bytes(a, u->key),
		.created_ns = u->created_ns,
		.expires_ns = u->o.expires_ns,
		.size = u->created_ns ? (int64_t)u->size : 0,
		.version = arena_bytes(a, u->version),
	};

	TRY_PLAIN(metadata_set(call, a, u->metadata.entries, u->metadata.count, &o.metadata));
	o.metadata.etag = arena_bytes(a, u->metadata.etag);
	*ret = o;
	return OK;
}

void upload_free(struct upload *u)
{
	struct call cleanup AUTO_CALL = CALL_INIT;

	if (!u)
		return;
	if (!u->committed && !u->aborted && give_up(u, &cleanup, false))
		call_clear_error(&cleanup);   /* the satellite forgets it by itself after a day */
	upload_resume_close(u->resume, true); /* there only if it was never begun */
	free_pending(u->pending);
	secret_key_wipe(&u->object_key);
	secret_wipe(u->head, sizeof(u->head));
	if (u->child.project)
		project_disown(&u->child);
	arena_free(&u->arena);
	free(u->stream_id_owned);
	os_mutex_fini(&u->lock);
	os_cond_fini(&u->changed);
	free(u);
}
