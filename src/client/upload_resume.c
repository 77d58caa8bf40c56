/*
 * The state holds the stream ID of the pending object; which segments are stored the satellite
 * knows.  Segments get random keys when they begin (upload.c segment_key_new), also those that are
 * begun again: nothing that is read twice is encrypted under one key (docs/design/transfers.md).
 */
#include "client/upload_resume.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "client/resume_file.h"
#include "client/upload_internal.h"
#include "os/clock.h"
#include "proto/proto.h"

enum { ABORT_MS = 5000, BEYOND_MAX = 64 };

struct upload_resume {
	struct resume_file *file;
	struct resume_state state; /* its bytes are in the arena, stream_id is the upload's */
	struct arena arena;
	struct notices notices;
	uint32_t resumed; /* segments of an earlier try */

	struct os_mutex lock; /* guards all below and state.segments */
	uint64_t beyond;      /* bit i: segment state.segments + 1 + i is committed */
	bool writing, dirty;
	bool broken;  /* the state cannot be written */
	bool refused; /* the satellite does not know the pending object */
};

DEFINE_AUTO_PTR(struct resume_file, resume_file_auto, resume_file_close)

static void resume_free(struct upload_resume *r)
{
	resume_file_close(r->file);
	arena_free(&r->arena);
	os_mutex_fini(&r->lock);
	free(r);
}
DEFINE_AUTO_PTR(struct upload_resume, upload_resume_auto, resume_free)

/* ---- what the satellite has of an earlier try ---- */

/* Segments of the page that continue the unbroken row of full ones. */
static void count_page(const Metainfo__ListSegmentsResponse *page, uint64_t segment_size,
		       uint32_t *n)
{
	for (size_t i = 0; i < page->n_items; i++) {
		const Metainfo__SegmentListItem *item = page->items[i];
		const Metainfo__SegmentPosition *at = item->position;
		if (at && !at->part_number && (uint32_t)at->index == *n &&
		    *n < RESUME_SEGMENTS_MAX && (uint64_t)item->plain_size == segment_size)
			++*n;
	}
}

static enum err count_stored(struct call *call, struct upload *u, struct bytes stream_id,
			     uint64_t segment_size, uint32_t *ret)
{
	Metainfo__ListSegmentsResponse *answer;
	uint32_t n = 0, before;

	do {
		struct arena a AUTO(arena_free) = { 0 };
		Metainfo__ListSegmentsRequest request = METAINFO__LIST_SEGMENTS_REQUEST__INIT;
		Metainfo__SegmentPosition cursor = METAINFO__SEGMENT_POSITION__INIT;
		before = n;
		cursor.index = n ? (int32_t)n - 1 : 0;
		request.stream_id = proto_view(stream_id);
		request.cursor_position = &cursor;
		enum err e = metainfo_ask(call, &u->child.project->satellite, "ListSegments",
					  &request.base, &request.header, METAINFO_IDEMPOTENT, &a,
					  &metainfo__list_segments_response__descriptor, &answer);
		TRY_PLAIN(outcome_of_satellite(call, e, u->bucket, u->key));
		count_page(answer, segment_size, &n);
		if (!answer->more)
			break;
	} while (n > before);
	*ret = n;
	return OK;
}

/* The pending object of a try that is not continued would stay until the satellite cleans up. */
static void abort_old(struct upload *u, struct bytes stream_id)
{
	struct call call AUTO_CALL = CALL_INIT;

	call.cancel = &u->child.cancel;
	os_call_limit(&call, ABORT_MS * NS_PER_MS);
	if (multipart_abort(&call, u->child.project, u->bucket, u->key, stream_id))
		call_clear_error(&call);
}

static void start_over(struct upload_resume *r, const char *why)
{
	notice_tell(&r->notices, ACRE_NOTICE_STARTED_OVER,
		    "the earlier upload cannot be continued: %s; it starts from the beginning",
		    why);
}

static enum err take_over(struct call *call, struct upload *u, struct upload_resume *r,
			  const struct resume_state *old)
{
	uint32_t n = 0;
	enum err e = count_stored(call, u, old->stream_id, old->segment_size, &n);

	switch ((int)e) {
	case OK:
		break;
	case ERR_PERMISSION: /* the grant may only write: what was acknowledged counts */
		n = old->segments;
		break;
	case ERR_NOT_FOUND:
	case ERR_INVALID:
		break;
	default:
		return e;
	}
	call_clear_error(call);
	if (!n || n < old->segments) {
		if (old->segments)
			start_over(r, "the satellite has not kept it");
		abort_old(u, old->stream_id);
		return OK;
	}
	u->stream_id_owned = malloc(old->stream_id.len);
	if (!u->stream_id_owned)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	memcpy(u->stream_id_owned, old->stream_id.data, old->stream_id.len);
	u->stream_id = BYTES(u->stream_id_owned, old->stream_id.len);
	r->state.stream_id = u->stream_id;
	r->state.segments = r->resumed = n;
	notice_tell(&r->notices, ACRE_NOTICE_RESUMED, "continuing at byte %llu",
		    (unsigned long long)n * u->split.segment_size);
	return OK;
}

static enum err look(struct call *call, struct upload *u, struct upload_resume *r)
{
	struct resume_state old;
	const char *why = NULL;
	enum err e = resume_file_look(call, r->file, RESUME_UPLOAD, &r->state.satellite, &old,
				      &why);

	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	if (why) {
		start_over(r, why);
		return OK;
	}
	if (!bytes_equal(old.source, r->state.source))
		why = "the source or the options have changed since";
	else if (old.segment_size != u->split.segment_size)
		why = "its segments have another size";
	else
		return take_over(call, u, r, &old);
	start_over(r, why);
	abort_old(u, old.stream_id);
	return OK;
}

/* ---- opening ---- */

static enum err fill(struct call *call, struct upload *u, struct upload_resume *r,
		     const AcreTransferOptions *o)
{
	struct secret_key key AUTO(secret_key_wipe);

	r->notices = (struct notices){ o->notice, o->notice_arg };
	r->state.kind = RESUME_UPLOAD;
	r->state.satellite = u->child.project->satellite.id;
	r->state.segment_size = u->split.segment_size;
	r->state.source = arena_bytes(&r->arena, BYTES(o->resume_source, o->resume_source_length));
	if (o->resume_source_length && !r->state.source.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	resume_key(&u->object_key, &key);
	return resume_file_open(call, o->resume_file, &key, &r->file);
}

enum err upload_resume_open(struct call *call, struct upload *u, const AcreTransferOptions *o,
			    struct upload_resume **ret)
{
	struct upload_resume *r AUTO(upload_resume_auto) = NULL;

	*ret = NULL;
	if (!o || !o->resume_file || !o->resume_file[0] || u->is_part)
		return OK;
	if (o->resume_source_length > ACRE_RESUME_SOURCE_MAX)
		return call_fail(call, ERR_INVALID, "resume_source is longer than %d bytes",
				 ACRE_RESUME_SOURCE_MAX);
	r = calloc(1, sizeof(*r));
	if (!r)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	enum err e = fill(call, u, r, o);
	if (e == ERR_BUSY)
		return call_wrap(call, e, "the same upload is under way");
	if (e && e != ERR_NO_MEMORY) {
		notice_tell(&r->notices, ACRE_NOTICE_NO_RESUME, "%s", call_error(call, e));
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	TRY_PLAIN(look(call, u, r));
	*ret = take(&r);
	return OK;
}

uint64_t upload_resume_offset(const struct upload *u)
{
	return u->resume ? (uint64_t)u->resume->resumed * u->split.segment_size : 0;
}

/* ---- on the way ---- */

/* Writes until what is written is what is known; one thread does it for all, without the lock. */
static void write_state(struct upload_resume *r)
{
	struct call call AUTO_CALL = CALL_INIT;
	enum err e = OK;

	os_mutex_lock(&r->lock);
	r->dirty = true;
	while (!r->writing && r->dirty && !r->broken) {
		struct resume_state now = r->state;
		r->dirty = false;
		r->writing = true;
		os_mutex_unlock(&r->lock);
		e = resume_file_write(&call, r->file, &now);
		os_mutex_lock(&r->lock);
		r->writing = false;
		r->broken = e != OK;
	}
	os_mutex_unlock(&r->lock);
	if (e)
		notice_tell(&r->notices, ACRE_NOTICE_NO_RESUME, "%s", call_error(&call, e));
}

void upload_resume_begun(struct upload *u)
{
	struct upload_resume *r = u->resume;

	if (!r)
		return;
	os_mutex_lock(&r->lock);
	r->state.stream_id = u->stream_id;
	os_mutex_unlock(&r->lock);
	write_state(r);
}

void upload_resume_committed(struct upload *u, uint32_t index)
{
	struct upload_resume *r = u->resume;

	if (!r)
		return;
	os_mutex_lock(&r->lock);
	uint32_t first = r->state.segments;
	/* One that is too far ahead is found at the satellite all the same. */
	if (index > first && index - first <= BEYOND_MAX)
		r->beyond |= UINT64_C(1) << (index - first - 1);
	bool next = index == first;
	while (next) {
		r->state.segments++;
		next = r->beyond & 1;
		r->beyond >>= 1;
	}
	bool write = r->state.segments != first && r->state.stream_id.len;
	os_mutex_unlock(&r->lock);
	if (write)
		write_state(r);
}

/* ---- the end ---- */

bool upload_resume_keep(struct upload *u)
{
	struct upload_resume *r = u->resume;

	if (!r)
		return false;
	OS_LOCKED(&r->lock);
	return r->state.segments && !r->refused && !r->broken;
}

enum err upload_resume_failed(struct call *call, struct upload *u, enum err e)
{
	struct upload_resume *r = u->resume;
	char why[CALL_ERROR_MAX];

	/* Only an answer of the satellite says anything about what it knows. */
	if (!r || !r->resumed || !call->status || (e != ERR_NOT_FOUND && e != ERR_INVALID))
		return e;
	{
		OS_LOCKED(&r->lock);
		r->refused = true;
	}
	snprintf(why, sizeof(why), "%s", call_error(call, e));
	return outcome_fail(call, e, ACRE_ERROR_RESUME_REFUSED,
			    "the interrupted upload cannot be continued, the satellite has not "
			    "kept it (%.300s)",
			    why);
}

void upload_resume_close(struct upload_resume *r, bool keep)
{
	if (!r)
		return;
	if (!keep)
		resume_file_remove(r->file);
	resume_free(r);
}
