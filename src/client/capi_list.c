/* C API: iterators over buckets, objects, uploads and parts. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "client/capi.h"
#include "client/listing.h"
#include "client/upload_id.h"

/* Buckets a page at a time. */
struct bucket_pages {
	struct arena page;
	struct bucket *items;
	size_t count, at;
	bool more;
	struct buf cursor;
};

/* Behind all four handles: one of the sources, the current item, the failure that ended it. */
struct iterator {
	struct handled handled;
	struct project *project; /* a reference; NULL when it failed from the start */
	struct bucket_pages buckets;
	struct listing *listing;
	struct part_listing *parts;
	const struct bucket *bucket;
	const struct object *object;
	const struct part *part;
	enum err err;
	struct call call;     /* error text and status of err */
	UplinkError *refused; /* a wrong argument: what err gives */
};

static void iterator_release(struct handled *h)
{
	struct iterator *i = (struct iterator *)(void *)h;

	listing_free(i->listing);
	part_listing_free(i->parts);
	arena_free(&i->buckets.page);
	buf_free(&i->buckets.cursor);
	if (i->project)
		handle_put(&i->project->handled);
	uplink_free_error(i->refused);
	call_fini(&i->call);
	free(i);
}

/* A new iterator of that type in the project; with a wrong argument one that only has the error.
 * NULL without memory. */
static struct iterator *iterator_new(enum handle_type type, const void *project)
{
	struct iterator *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->handled = (struct handled){ type, 1, iterator_release };
	call_init(&i->call);
	i->buckets.cursor = BUF_INIT(1 << 16);
	i->project = capi_use(project, HANDLE_PROJECT, "project", &i->refused);
	if (i->project)
		project_call(i->project, &i->call);
	return i;
}

static bool usable(const struct iterator *i)
{
	return !i->refused && i->err == OK;
}

/* Keeps the end or failure of a step; true when there is an item. */
static bool stepped(struct iterator *i, enum err e)
{
	i->err = e;
	if (e == OK)
		return true;
	i->bucket = NULL;
	i->object = NULL;
	i->part = NULL;
	return false;
}

static UplinkError *iterator_err(const void *handle, enum handle_type type)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(handle, type, "iterator", &error);
	struct call copy;

	if (!i)
		return error;
	if (i->refused) {
		call_init(&copy);
		return outcome_error(&copy, call_fail_status(&copy, ERR_INVALID,
							     OUTCOME_STATUS(i->refused->code), "%s",
							     i->refused->message));
	}
	return outcome_error(&i->call, i->err == ERR_EOF ? OK : i->err);
}

static void iterator_free(void *handle, enum handle_type type)
{
	if (handle)
		handle_put(handle_end(handle, type));
}

/* ---- buckets ---- */

UplinkBucketIterator *uplink_list_buckets(UplinkProject *project, UplinkListBucketsOptions *options)
{
	struct iterator *i = iterator_new(HANDLE_BUCKETS, project);

	if (!i)
		return NULL;
	i->buckets.more = true;
	if (options && options->cursor)
		buf_add_str(&i->buckets.cursor, options->cursor);
	return handle_new(&i->handled);
}

static enum err next_bucket(struct iterator *i)
{
	struct bucket_pages *b = &i->buckets;

	while (b->at == b->count) {
		if (!b->more)
			return ERR_EOF;
		arena_reset(&b->page);
		b->at = b->count = 0;
		TRY_PLAIN(bucket_list(&i->call, i->project, &b->page, buf_bytes(&b->cursor),
				      &b->items, &b->count, &b->more));
		if (!b->count)
			continue;
		buf_clear(&b->cursor);
		buf_add_bytes(&b->cursor, b->items[b->count - 1].name);
		TRY_PLAIN(buf_status(&b->cursor));
	}
	i->bucket = &b->items[b->at++];
	return OK;
}

bool uplink_bucket_iterator_next(UplinkBucketIterator *iterator)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(iterator, HANDLE_BUCKETS, "iterator", &error);

	uplink_free_error(error);
	return i && usable(i) && stepped(i, next_bucket(i));
}

UplinkError *uplink_bucket_iterator_err(UplinkBucketIterator *iterator)
{
	return iterator_err(iterator, HANDLE_BUCKETS);
}

UplinkBucket *uplink_bucket_iterator_item(UplinkBucketIterator *iterator)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(iterator, HANDLE_BUCKETS, "iterator", &error);

	uplink_free_error(error);
	return i && i->bucket ? capi_bucket(i->bucket) : NULL;
}

void uplink_free_bucket_iterator(UplinkBucketIterator *iterator)
{
	iterator_free(iterator, HANDLE_BUCKETS);
}

/* ---- objects and uploads ---- */

static struct iterator *listing_iterator(enum handle_type type, UplinkProject *project,
					 const char *bucket, const struct listing_options *o)
{
	struct iterator *i = iterator_new(type, project);

	if (!i || i->refused || !capi_given(&i->refused, "bucket_name", bucket, NULL))
		return i;
	i->err = listing_new(&i->call, i->project, bytes_str(bucket), o, &i->listing);
	return i;
}

static bool listing_step(const void *handle, enum handle_type type)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(handle, type, "iterator", &error);

	uplink_free_error(error);
	return i && usable(i) && stepped(i, listing_next(&i->call, i->listing, &i->object));
}

UplinkObjectIterator *uplink_list_objects(UplinkProject *project, uplink_const_char *bucket_name,
					  UplinkListObjectsOptions *options)
{
	struct listing_options o = { 0 };

	if (options)
		o = (struct listing_options){
			.prefix = bytes_str(options->prefix),
			.cursor = bytes_str(options->cursor),
			.recursive = options->recursive,
			.system = options->system,
			.custom = options->custom,
		};
	struct iterator *i = listing_iterator(HANDLE_OBJECTS, project, bucket_name, &o);
	return i ? handle_new(&i->handled) : NULL;
}

bool uplink_object_iterator_next(UplinkObjectIterator *iterator)
{
	return listing_step(iterator, HANDLE_OBJECTS);
}

UplinkError *uplink_object_iterator_err(UplinkObjectIterator *iterator)
{
	return iterator_err(iterator, HANDLE_OBJECTS);
}

UplinkObject *uplink_object_iterator_item(UplinkObjectIterator *iterator)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(iterator, HANDLE_OBJECTS, "iterator", &error);

	uplink_free_error(error);
	return i && i->object ? capi_object(i->object) : NULL;
}

uint64_t acre_object_iterator_skipped(UplinkObjectIterator *iterator)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(iterator, HANDLE_OBJECTS, "iterator", &error);

	uplink_free_error(error);
	return i && i->listing ? listing_skipped(i->listing) : 0;
}

void uplink_free_object_iterator(UplinkObjectIterator *iterator)
{
	iterator_free(iterator, HANDLE_OBJECTS);
}

UplinkUploadIterator *uplink_list_uploads(UplinkProject *project, uplink_const_char *bucket_name,
					  UplinkListUploadsOptions *options)
{
	struct listing_options o = { .pending = true };

	if (options)
		o = (struct listing_options){
			.prefix = bytes_str(options->prefix),
			.cursor = bytes_str(options->cursor),
			.recursive = options->recursive,
			.system = options->system,
			.custom = options->custom,
			.pending = true,
		};
	struct iterator *i = listing_iterator(HANDLE_UPLOADS, project, bucket_name, &o);
	return i ? handle_new(&i->handled) : NULL;
}

bool uplink_upload_iterator_next(UplinkUploadIterator *iterator)
{
	return listing_step(iterator, HANDLE_UPLOADS);
}

UplinkError *uplink_upload_iterator_err(UplinkUploadIterator *iterator)
{
	return iterator_err(iterator, HANDLE_UPLOADS);
}

UplinkUploadInfo *uplink_upload_iterator_item(UplinkUploadIterator *iterator)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(iterator, HANDLE_UPLOADS, "iterator", &error);

	uplink_free_error(error);
	return i && i->object ? capi_upload_info(i->object) : NULL;
}

void uplink_free_upload_iterator(UplinkUploadIterator *iterator)
{
	iterator_free(iterator, HANDLE_UPLOADS);
}

/* ---- parts ---- */

static enum err new_parts(struct iterator *i, const char *bucket, const char *key,
			  const char *upload_id, uint32_t cursor)
{
	struct call *call = &i->call;
	struct bytes stream_id;

	TRY_PLAIN(check_key(call, bytes_str(bucket), bytes_str(key)));
	TRY_PLAIN(upload_id_parse(call, &call->scratch, bytes_str(upload_id), &stream_id));
	return part_listing_new(call, i->project, bytes_str(bucket), bytes_str(key), stream_id,
				cursor, &i->parts);
}

UplinkPartIterator *uplink_list_upload_parts(UplinkProject *project, uplink_const_char *bucket_name,
					     uplink_const_char *object_key,
					     uplink_const_char *upload_id,
					     UplinkListUploadPartsOptions *options)
{
	struct iterator *i = iterator_new(HANDLE_PARTS, project);

	if (!i)
		return NULL;
	if (!i->refused && capi_given(&i->refused, "bucket_name", bucket_name, "object_key",
				      object_key, "upload_id", upload_id, NULL))
		i->err = new_parts(i, bucket_name, object_key, upload_id,
				   options ? options->cursor : 0);
	return handle_new(&i->handled);
}

bool uplink_part_iterator_next(UplinkPartIterator *iterator)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(iterator, HANDLE_PARTS, "iterator", &error);

	uplink_free_error(error);
	return i && usable(i) && stepped(i, part_listing_next(&i->call, i->parts, &i->part));
}

UplinkError *uplink_part_iterator_err(UplinkPartIterator *iterator)
{
	return iterator_err(iterator, HANDLE_PARTS);
}

UplinkPart *uplink_part_iterator_item(UplinkPartIterator *iterator)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(iterator, HANDLE_PARTS, "iterator", &error);

	uplink_free_error(error);
	if (!i || !i->part)
		return NULL;
	return capi_part(i->part->number, i->part->size, i->part->modified_ns, i->part->etag);
}

void uplink_free_part_iterator(UplinkPartIterator *iterator)
{
	iterator_free(iterator, HANDLE_PARTS);
}
