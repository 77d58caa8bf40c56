/*
 * A download: one question brings the object, the list of its segments in the range, and how to get
 * the first; the others are asked for when their turn comes (encryption.md 3.7).  Bytes that do not
 * authenticate are fetched again with more pieces than needed, from all nodes the satellite knows.
 */
#include "client/download.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "client/download_resume.h"
#include "client/metainfo.h"
#include "client/progress.h"
#include "client/segment_get.h"
#include "os/log.h"
#include "proto/proto.h"

enum {
	RETRIES_MAX = 3,
	AVOID_MAX = 64,
	SEGMENTS_MAX = 1 << 20,
	AHEAD_BYTES = 8 << 20, /* the next segment is begun when so much is left of one */
};

/* Where a segment lies in the object. */
struct extent {
	int32_t part, index;
	uint64_t offset, size; /* plain */
};

/* A segment being read, or begun ahead of its turn. */
struct segment {
	size_t extent; /* index; meaningful with get */
	struct arena arena;
	const Metainfo__DownloadSegmentResponse *answer; /* in arena; NULL: to be asked for */
	struct segment_get *get;
};

struct download {
	struct project_child child;
	struct arena arena;
	struct bytes bucket, key;
	struct secret_key object_key;
	struct object *object;
	struct extent *extents; /* of the range, in order, without gaps */
	size_t extents_count;
	size_t at;		/* extent of the position */
	uint64_t position, end; /* plain, of the object */
	struct progress progress;
	struct notices notices;
	struct download_resume *resume; /* NULL = it does not */

	struct segment current, ahead;
	size_t ahead_failed; /* extent that could not be begun ahead; 0 = none */
	bool verify;
	unsigned retries; /* without a byte gained */
	struct node_id avoid[AVOID_MAX];
	size_t avoid_count;
};

DEFINE_AUTO_PTR(struct download, download_auto, download_free)

/* ---- opening ---- */

static enum err range_message(struct call *call, int64_t offset, int64_t length, struct arena *a,
			      Metainfo__Range **ret)
{
	Metainfo__Range *r = arena_alloc(a, sizeof(*r));
	Metainfo__RangeStartLimit *both = arena_alloc(a, sizeof(*both));
	Metainfo__RangeStart *start = arena_alloc(a, sizeof(*start));
	Metainfo__RangeSuffix *suffix = arena_alloc(a, sizeof(*suffix));

	*ret = NULL;
	if (!r || !both || !start || !suffix)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*r = (Metainfo__Range)METAINFO__RANGE__INIT;
	*both = (Metainfo__RangeStartLimit)METAINFO__RANGE_START_LIMIT__INIT;
	*start = (Metainfo__RangeStart)METAINFO__RANGE_START__INIT;
	*suffix = (Metainfo__RangeSuffix)METAINFO__RANGE_SUFFIX__INIT;
	if (offset < 0) {
		if (length >= 0)
			return call_fail(call, ERR_INVALID,
					 "a range from the end has no length of its own; give a "
					 "negative one");
		suffix->plain_suffix = offset == INT64_MIN ? INT64_MAX : -offset;
		r->range_case = METAINFO__RANGE__RANGE_SUFFIX;
		r->suffix = suffix;
	} else if (length >= 0) {
		both->plain_start = offset;
		both->plain_limit = length > INT64_MAX - offset ? INT64_MAX : offset + length;
		r->range_case = METAINFO__RANGE__RANGE_START_LIMIT;
		r->start_limit = both;
	} else if (offset > 0) {
		start->plain_start = offset;
		r->range_case = METAINFO__RANGE__RANGE_START;
		r->start = start;
	} else {
		return OK;
	}
	*ret = r;
	return OK;
}

/* What the range means now that the size is known. */
static void fix_range(struct download *d, int64_t offset, int64_t length)
{
	uint64_t size = (uint64_t)d->object->size;
	uint64_t start, end = size;

	if (offset < 0) {
		uint64_t back = (uint64_t) - (offset + 1) + 1;
		start = back > size ? 0 : size - back;
	} else {
		start = MIN((uint64_t)offset, size);
		if (length >= 0)
			end = MIN(start + (uint64_t)length, size);
	}
	d->position = start;
	d->end = end;
}

/* Sizes and offsets as returned; for objects from before they were, computed (encryption.md 3.6).
 */
static enum err read_extent(struct call *call, const struct object *o,
			    const Metainfo__SegmentListItem *item, struct extent *ret)
{
	const struct metadata *m = &o->metadata;

	if (!item->position || item->position->index < 0 || item->position->part_number < 0 ||
	    item->plain_size < 0 || item->plain_offset < 0 ||
	    item->plain_offset > INT64_MAX - item->plain_size)
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite lists a segment with impossible "
				 "numbers");
	struct extent x = { item->position->part_number, item->position->index,
			    (uint64_t)item->plain_offset, (uint64_t)item->plain_size };
	if (!x.size && m->segments_size > 0 && m->segments_size <= CONTENT_SEGMENT_BYTES &&
	    !x.part && x.index < m->segments) {
		x.offset = (uint64_t)x.index * (uint64_t)m->segments_size;
		x.size = (uint64_t)(x.index + 1 == m->segments ? m->last_segment_size
							       : m->segments_size);
	}
	*ret = x;
	return OK;
}

static enum err add_extents(struct call *call, struct download *d, struct buf *list,
			    const Metainfo__ListSegmentsResponse *page)
{
	for (size_t i = 0; i < page->n_items; i++) {
		struct extent x;
		TRY_PLAIN(read_extent(call, d->object, page->items[i], &x));
		buf_add(list, &x, sizeof(x));
	}
	if (buf_status(list))
		return call_fail(call, ERR_EXHAUSTED, "the object has too many segments");
	return OK;
}

/* The rest of a list that did not fit into the first answer. */
static enum err list_more(struct call *call, struct download *d, struct buf *list)
{
	bool more = true;

	while (more) {
		struct arena a AUTO(arena_free) = { 0 };
		Metainfo__ListSegmentsRequest request = METAINFO__LIST_SEGMENTS_REQUEST__INIT;
		Metainfo__SegmentPosition cursor = METAINFO__SEGMENT_POSITION__INIT;
		Metainfo__ListSegmentsResponse *answer;
		struct extent last;
		if (list->len < sizeof(last))
			return OK;
		memcpy(&last, list->data + list->len - sizeof(last), sizeof(last));
		if (last.offset + last.size >= d->end)
			return OK;
		cursor.part_number = last.part;
		cursor.index = last.index;
		request.stream_id = proto_view(d->object->stream_id);
		request.cursor_position = &cursor;
		enum err e = metainfo_ask(call, &d->child.project->satellite, "ListSegments",
					  &request.base, &request.header, METAINFO_IDEMPOTENT, &a,
					  &metainfo__list_segments_response__descriptor, &answer);
		TRY_PLAIN(outcome_of_satellite(call, e, d->bucket, d->key));
		TRY_PLAIN(add_extents(call, d, list, answer));
		more = answer->more && answer->n_items;
	}
	return OK;
}

/* The range must be covered without a gap. */
static enum err check_extents(struct call *call, struct download *d)
{
	uint64_t at = d->position;

	for (size_t i = 0; i < d->extents_count && at < d->end; i++) {
		const struct extent *x = &d->extents[i];
		if (x->offset > at)
			break;
		at = MAX(at, x->offset + x->size);
	}
	if (at < d->end)
		return call_fail(call, ERR_DATA_LOSS,
				 "the satellite does not know the segment at byte %llu of \"%.*s\"",
				 (unsigned long long)at, (int)d->key.len,
				 (const char *)d->key.data);
	return OK;
}

static enum err take_extents(struct call *call, struct download *d,
			     const Metainfo__ListSegmentsResponse *first)
{
	struct buf list AUTO_BUF = BUF_INIT((size_t)SEGMENTS_MAX * sizeof(struct extent));

	if (!first)
		return d->position == d->end ? OK : check_extents(call, d);
	TRY_PLAIN(add_extents(call, d, &list, first));
	if (first->more)
		TRY_PLAIN(list_more(call, d, &list));
	d->extents_count = list.len / sizeof(struct extent);
	d->extents = arena_array(&d->arena, d->extents_count + 1, sizeof(struct extent));
	if (!d->extents)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (list.len)
		memcpy(d->extents, list.data, list.len);
	return check_extents(call, d);
}

static enum err ask_object(struct call *call, struct download *d, int64_t offset, int64_t length,
			   const Metainfo__DownloadObjectResponse **ret)
{
	struct project *p = d->child.project;
	Metainfo__DownloadObjectRequest request = METAINFO__DOWNLOAD_OBJECT_REQUEST__INIT;
	Metainfo__BatchRequestItem item = METAINFO__BATCH_REQUEST_ITEM__INIT, *items[] = { &item };
	Metainfo__BatchResponseItem **answers;
	struct bytes encrypted;

	TRY_PLAIN(encrypt_key(call, p, d->bucket, d->key, &d->arena, &encrypted));
	TRY_PLAIN(range_message(call, offset, length, &d->arena, &request.range));
	request.bucket = proto_view(d->bucket);
	request.encrypted_object_key = proto_view(encrypted);
	item.request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_DOWNLOAD;
	item.object_download = &request;
	enum err e = metainfo_send_batch(call, &p->satellite, items, 1, METAINFO_IDEMPOTENT,
					 &d->current.arena, &answers);
	e = outcome_of_satellite(call, e, d->bucket, d->key);
	if (e == ERR_NOT_FOUND && call->status == err_status(ERR_NOT_FOUND))
		return outcome_no_object(call, d->bucket, d->key);
	TRY_PLAIN(e);
	*ret = answers[0]->object_download;
	return OK;
}

static enum err start(struct call *call, struct download *d, int64_t offset, int64_t length)
{
	const Metainfo__DownloadObjectResponse *answer = NULL;
	struct project *p = d->child.project;

	TRY_PLAIN(ask_object(call, d, offset, length, &answer));
	TRY_PLAIN(object_from_answer(call, p, &d->arena, d->bucket, d->key, answer->object,
				     &d->object));
	if (!d->object)
		return outcome_no_object(call, d->bucket, d->key);
	fix_range(d, offset, length);
	TRY_PLAIN(take_extents(call, d, answer->segment_list));
	if (answer->n_segment_download)
		d->current.answer = answer->segment_download[0];
	return OK;
}

/* From where an earlier try was, if the object is still that one, else from the beginning. */
static enum err start_resumed(struct call *call, struct download *d,
			      const AcreTransferOptions *transfer)
{
	TRY_PLAIN(
		download_resume_open(call, d->child.project, &d->object_key, transfer, &d->resume));
	if (!d->resume)
		return start(call, d, 0, -1);
	enum err e = start(call, d, (int64_t)d->resume->offset, -1);
	/* A range behind the end of what is now a shorter object. */
	if (d->resume->offset && (e == ERR_OUT_OF_RANGE || e == ERR_INVALID)) {
		download_resume_start_over(d->resume, "the object has changed since");
		call_clear_error(call);
	} else {
		TRY_PLAIN(e);
		if (download_resume_check(d->resume, d->object))
			return OK;
	}
	d->current.answer = NULL;
	arena_reset(&d->current.arena);
	TRY_PLAIN(start(call, d, 0, -1));
	(void)download_resume_check(d->resume, d->object);
	return OK;
}

enum err download_new(struct call *call, struct project *p, struct bytes bucket, struct bytes key,
		      int64_t offset, int64_t length, const AcreTransferOptions *transfer,
		      struct download **ret)
{
	struct download *d AUTO(download_auto) = calloc(1, sizeof(*d));
	bool resumable = transfer && transfer->resume_file;

	TRY_PLAIN(check_key(call, bucket, key));
	if (!d)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (resumable && (offset || length >= 0))
		return call_fail(call, ERR_INVALID, "only downloads of whole objects resume");
	d->bucket = arena_bytes(&d->arena, bucket);
	d->key = arena_bytes(&d->arena, key);
	if (!d->bucket.data || !d->key.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (transfer)
		d->notices = (struct notices){ transfer->notice, transfer->notice_arg };
	TRY_PLAIN(object_content_key(call, p, bucket, key, &d->object_key));
	TRY_PLAIN(project_adopt(call, p, transfer ? transfer->cancel : NULL, &d->child));
	struct os_cancel *cancel = call->cancel;
	call->cancel = &d->child.cancel;
	enum err e = resumable ? start_resumed(call, d, transfer) : start(call, d, offset, length);
	call->cancel = cancel;
	TRY_PLAIN(e);
	uint64_t done = download_resumed(d).offset;
	progress_init(&d->progress, transfer, (int64_t)(d->end - d->position + done));
	d->progress.done = done;
	*ret = take(&d);
	return OK;
}

struct download_resumed download_resumed(const struct download *d)
{
	if (!d->resume)
		return (struct download_resumed){ 0 };
	return (struct download_resumed){ d->resume->offset, d->resume->guard };
}

enum err download_checkpoint(struct call *call, struct download *d, uint64_t offset,
			     struct bytes guard)
{
	if (!d->resume)
		return call_fail(call, ERR_PRECONDITION, "the download has no resume file");
	return download_resume_checkpoint(call, d->resume, offset, guard);
}

void download_done(struct download *d)
{
	if (d->resume)
		download_resume_done(d->resume);
}

void download_call(struct download *d, struct call *call)
{
	call_init(call);
	project_child_call(&d->child, call);
}

/* ---- reading ---- */

/* Asks how to get the extent; with `all` for every node that has a piece. */
static enum err ask_segment(struct call *call, struct download *d, struct segment *s,
			    const struct extent *x, bool all)
{
	Metainfo__DownloadSegmentRequest request = METAINFO__DOWNLOAD_SEGMENT_REQUEST__INIT;
	Metainfo__SegmentPosition position = METAINFO__SEGMENT_POSITION__INIT;
	Metainfo__BatchRequestItem item = METAINFO__BATCH_REQUEST_ITEM__INIT, *items[] = { &item };
	Metainfo__BatchResponseItem **answers;

	s->answer = NULL;
	arena_reset(&s->arena);
	position.part_number = x->part;
	position.index = x->index;
	request.stream_id = proto_view(d->object->stream_id);
	request.cursor_position = &position;
	request.desired_nodes = all ? INT32_MAX : 0;
	item.request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_SEGMENT_DOWNLOAD;
	item.segment_download = &request;
	enum err e = metainfo_send_batch(call, &d->child.project->satellite, items, 1,
					 METAINFO_IDEMPOTENT, &s->arena, &answers);
	TRY_PLAIN(outcome_of_satellite(call, e, d->bucket, d->key));
	s->answer = answers[0]->segment_download;
	return OK;
}

/* A node that was found to lie is asked last from now on, and the user hears of it once. */
static void avoid_liars(struct download *d, struct segment_get *g)
{
	struct node_id liars[AVOID_MAX];
	size_t count = segment_get_liars(g, liars, AVOID_MAX);

	for (size_t i = 0; i < count && d->avoid_count < AVOID_MAX; i++) {
		char id[NODE_ID_TEXT_MAX];
		bool known = false;
		for (size_t k = 0; k < d->avoid_count && !known; k++)
			known = node_id_equal(&d->avoid[k], &liars[i]);
		if (known)
			continue;
		d->avoid[d->avoid_count++] = liars[i];
		node_id_text(&liars[i], id);
		log_warn("a node sent wrong data", F_STR("node", id));
		notice_tell(&d->notices, ACRE_NOTICE_WRONG_DATA,
			    "node %s sent wrong data, it is worked around", id);
	}
}

static void close_segment(struct download *d, struct segment *s)
{
	if (s->get) {
		avoid_liars(d, s->get);
		segment_get_close(s->get);
	}
	s->get = NULL;
	s->answer = NULL; /* its order limits are used */
}

static bool answer_is_for(const struct segment *s, const struct extent *x)
{
	const Metainfo__SegmentPosition *p = s->answer ? s->answer->position : NULL;

	return p && p->part_number == x->part && p->index == x->index;
}

/* Begins to fetch extent `at` from position `from` of the object. */
static enum err open_extent(struct call *call, struct download *d, struct segment *s, size_t at,
			    uint64_t from, bool verify)
{
	const struct extent *x = &d->extents[at];

	if (!answer_is_for(s, x))
		TRY_PLAIN(ask_segment(call, d, s, x, d->retries > 0));
	if (!answer_is_for(s, x))
		return call_fail(call, ERR_PROTOCOL, "the satellite answered for another segment");
	struct segment_get_params params = {
		.answer = s->answer,
		.object_key = &d->object_key,
		.cipher = d->object->cipher,
		.block = d->object->block,
		.offset = from - x->offset,
		.length = MIN(x->offset + x->size, d->end) - from,
		.verify = verify,
		.ahead = s == &d->ahead,
		.avoid = d->avoid,
		.avoid_count = d->avoid_count,
	};
	s->extent = at;
	return segment_get_open(call, d->child.project, &params, &s->get);
}

/* The segment of the position, perhaps begun already. */
static enum err open_segment(struct call *call, struct download *d)
{
	while (d->at < d->extents_count &&
	       d->extents[d->at].offset + d->extents[d->at].size <= d->position)
		d->at++;
	if (d->at == d->extents_count)
		return call_fail(call, ERR_DATA_LOSS, "the object ended early");
	if (d->ahead.get && d->ahead.extent == d->at && !d->verify) {
		struct segment done = d->current;
		d->current = d->ahead;
		d->ahead = done;
		return OK;
	}
	return open_extent(call, d, &d->current, d->at, d->position, d->verify);
}

/* Near the end of a segment the next one is begun, so that its nodes send while this one is read.
 */
static void open_ahead(struct call *call, struct download *d)
{
	size_t next = d->at + 1;

	if (d->ahead.get || !d->current.get || next >= d->extents_count || d->verify ||
	    d->ahead_failed == next)
		return;
	const struct extent *x = &d->extents[d->at], *n = &d->extents[next];
	if (n->offset >= d->end || !n->size || x->offset + x->size != n->offset ||
	    d->position >= n->offset || n->offset - d->position > AHEAD_BYTES)
		return;
	/* What fails now is tried in its turn, and told then. */
	if (open_extent(call, d, &d->ahead, next, n->offset, false)) {
		call_clear_error(call);
		close_segment(d, &d->ahead);
		d->ahead_failed = next;
	}
}

/* Whether the same bytes may be had in another way. */
static bool may_retry(const struct download *d, enum err e)
{
	if (d->retries >= RETRIES_MAX)
		return false;
	switch ((int)e) {
	case ERR_CRYPTO:
	case ERR_DATA_LOSS:
	case ERR_UNAVAILABLE:
	case ERR_DEADLINE:
		return true;
	default:
		return false;
	}
}

static enum err read_once(struct call *call, struct download *d, uint8_t *buf, size_t cap,
			  size_t *ret_n)
{
	if (!d->current.get)
		TRY_PLAIN(open_segment(call, d));
	enum err e = segment_get_read(call, d->current.get, buf, cap, ret_n);
	if (e != ERR_EOF)
		return e;
	close_segment(d, &d->current);
	d->verify = false;
	TRY_PLAIN(open_segment(call, d));
	return segment_get_read(call, d->current.get, buf, cap, ret_n);
}

/* Gets ready to fetch the same bytes in another way. */
static void start_over(struct download *d, enum err e)
{
	close_segment(d, &d->current);
	close_segment(d, &d->ahead);
	d->verify = d->verify || e == ERR_CRYPTO;
	d->retries++;
}

enum err download_read(struct call *call, struct download *d, uint8_t *buf, size_t cap,
		       size_t *ret_n)
{
	size_t n = 0;
	enum err e;

	if (d->position == d->end) {
		close_segment(d, &d->current);
		return ERR_EOF;
	}
	cap = (size_t)MIN((uint64_t)cap, d->end - d->position);
	while ((e = read_once(call, d, buf, cap, &n)) != OK) {
		if (!may_retry(d, e) || call->status)
			return call_wrap(call, e, "object \"%.*s\" at byte %llu", (int)d->key.len,
					 (const char *)d->key.data,
					 (unsigned long long)d->position);
		log_debug("download tried again", F_STR("why", call_error(call, e)));
		call_clear_error(call);
		start_over(d, e);
	}
	d->retries = 0;
	d->position += n;
	open_ahead(call, d);
	d->progress.done += n;
	progress_tell(&d->progress);
	*ret_n = n;
	return OK;
}

const struct object *download_info(const struct download *d)
{
	return d->object;
}

void download_stop(struct download *d)
{
	if (d->child.project)
		os_cancel_set(&d->child.cancel);
	close_segment(d, &d->current);
	close_segment(d, &d->ahead);
}

void download_free(struct download *d)
{
	if (!d)
		return;
	download_stop(d);
	download_resume_close(d->resume);
	secret_key_wipe(&d->object_key);
	if (d->child.project)
		project_disown(&d->child);
	arena_free(&d->current.arena);
	arena_free(&d->ahead.arena);
	arena_free(&d->arena);
	free(d);
}
