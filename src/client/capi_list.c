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

struct iterator;

/* What differs between the four kinds: the step to the next item, and a copy of it. */
struct iterator_kind {
	enum handle_type type;
	enum err (*next)(struct iterator *i);
	void *(*item)(const struct iterator *i);
};

struct iterator {
	struct handled handled;
	const struct iterator_kind *kind;
	struct project *project; /* a reference; NULL when it failed from the start */
	struct bucket_pages buckets;
	struct listing *listing;
	struct part_listing *parts;
	const struct bucket *bucket;
	const struct object *object;
	const struct part *part;
	bool has_item;
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

/* A new iterator in the project; with a wrong argument one that only has the error.  NULL without
 * memory. */
static struct iterator *iterator_new(const struct iterator_kind *kind, const void *project)
{
	struct iterator *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->handled = (struct handled){ kind->type, 1, iterator_release };
	i->kind = kind;
	call_init(&i->call);
	i->buckets.cursor = BUF_INIT(1 << 16);
	i->project = capi_project(project, &i->call, &i->refused);
	return i;
}

static void *iterator_handle(struct iterator *i)
{
	return i ? handle_new(&i->handled) : NULL;
}

static bool iterator_next(const void *handle, enum handle_type type)
{
	struct iterator *i AUTO(capi_put) = capi_peek(handle, type);

	if (!i || i->refused || i->err)
		return false;
	i->err = i->kind->next(i);
	i->has_item = i->err == OK;
	return i->has_item;
}

static UplinkError *iterator_err(const void *handle, enum handle_type type)
{
	UplinkError *error = NULL;
	struct iterator *i AUTO(capi_put) = capi_use(handle, type, "iterator", &error);

	if (!i)
		return error;
	if (i->refused)
		return outcome_copy(i->refused);
	return outcome_error(&i->call, i->err == ERR_EOF ? OK : i->err);
}

static void *iterator_item(const void *handle, enum handle_type type)
{
	struct iterator *i AUTO(capi_put) = capi_peek(handle, type);

	return i && i->has_item ? i->kind->item(i) : NULL;
}

static void iterator_free(void *handle, enum handle_type type)
{
	if (handle)
		handle_put(handle_end(handle, type));
}

/* The four functions of uplink_NAME_iterator. */
#define DEFINE_ITERATOR(name, type, handle_struct, item_struct)                                    \
	bool uplink_##name##_iterator_next(handle_struct *iterator)                                \
	{                                                                                          \
		return iterator_next(iterator, type);                                              \
	}                                                                                          \
	UplinkError *uplink_##name##_iterator_err(handle_struct *iterator)                         \
	{                                                                                          \
		return iterator_err(iterator, type);                                               \
	}                                                                                          \
	item_struct *uplink_##name##_iterator_item(handle_struct *iterator)                        \
	{                                                                                          \
		return iterator_item(iterator, type);                                              \
	}                                                                                          \
	void uplink_free_##name##_iterator(handle_struct *iterator)                                \
	{                                                                                          \
		iterator_free(iterator, type);                                                     \
	}

DEFINE_ITERATOR(bucket, HANDLE_BUCKETS, UplinkBucketIterator, UplinkBucket)
DEFINE_ITERATOR(object, HANDLE_OBJECTS, UplinkObjectIterator, UplinkObject)
DEFINE_ITERATOR(upload, HANDLE_UPLOADS, UplinkUploadIterator, UplinkUploadInfo)
DEFINE_ITERATOR(part, HANDLE_PARTS, UplinkPartIterator, UplinkPart)

/* ---- buckets ---- */

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

static void *bucket_item(const struct iterator *i)
{
	return capi_bucket(i->bucket);
}

UplinkBucketIterator *uplink_list_buckets(UplinkProject *project, UplinkListBucketsOptions *options)
{
	static const struct iterator_kind kind = { HANDLE_BUCKETS, next_bucket, bucket_item };
	struct iterator *i = iterator_new(&kind, project);

	if (!i)
		return NULL;
	i->buckets.more = true;
	if (options && options->cursor)
		buf_add_str(&i->buckets.cursor, options->cursor);
	return iterator_handle(i);
}

/* ---- objects and uploads ---- */

static enum err next_object(struct iterator *i)
{
	return listing_next(&i->call, i->listing, &i->object);
}

static void *object_item(const struct iterator *i)
{
	return capi_object(i->object);
}

static void *upload_item(const struct iterator *i)
{
	return capi_upload_info(i->object);
}

static void *list(const struct iterator_kind *kind, UplinkProject *project, const char *bucket,
		  const struct listing_options *o)
{
	struct iterator *i = iterator_new(kind, project);

	if (i && !i->refused && capi_given(&i->refused, "bucket_name", bucket, NULL))
		i->err = listing_new(&i->call, i->project, bytes_str(bucket), o, &i->listing);
	return iterator_handle(i);
}

UplinkObjectIterator *uplink_list_objects(UplinkProject *project, uplink_const_char *bucket_name,
					  UplinkListObjectsOptions *options)
{
	static const struct iterator_kind kind = { HANDLE_OBJECTS, next_object, object_item };
	struct listing_options o = { 0 };

	if (options)
		o = (struct listing_options){
			.prefix = bytes_str(options->prefix),
			.cursor = bytes_str(options->cursor),
			.recursive = options->recursive,
			.system = options->system,
			.custom = options->custom,
		};
	return list(&kind, project, bucket_name, &o);
}

uint64_t acre_object_iterator_skipped(UplinkObjectIterator *iterator)
{
	struct iterator *i AUTO(capi_put) = capi_peek(iterator, HANDLE_OBJECTS);

	return i && i->listing ? listing_skipped(i->listing) : 0;
}

UplinkUploadIterator *uplink_list_uploads(UplinkProject *project, uplink_const_char *bucket_name,
					  UplinkListUploadsOptions *options)
{
	static const struct iterator_kind kind = { HANDLE_UPLOADS, next_object, upload_item };
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
	return list(&kind, project, bucket_name, &o);
}

/* ---- parts ---- */

static enum err next_part(struct iterator *i)
{
	return part_listing_next(&i->call, i->parts, &i->part);
}

static void *part_item(const struct iterator *i)
{
	return capi_part(i->part->number, i->part->size, i->part->modified_ns, i->part->etag);
}

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
	static const struct iterator_kind kind = { HANDLE_PARTS, next_part, part_item };
	struct iterator *i = iterator_new(&kind, project);

	if (i && !i->refused &&
	    capi_given(&i->refused, "bucket_name", bucket_name, "object_key", object_key,
		       "upload_id", upload_id, NULL))
		i->err = new_parts(i, bucket_name, object_key, upload_id,
				   options ? options->cursor : 0);
	return iterator_handle(i);
}
