/*
 * Listings of objects and pending uploads.  Keys come back encrypted and relative to the prefix, in
 * the order of their encrypted bytes; what does not decrypt belongs to another passphrase and is
 * skipped.
 */
#include "client/listing.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "client/metainfo.h"
#include "proto/proto.h"

enum { PENDING = METAINFO__OBJECT__STATUS__UPLOADING, PREFIX = METAINFO__OBJECT__STATUS__PREFIX };

struct listing {
	struct project *project;
	struct arena arena; /* of the listing */
	struct listing_options o;
	struct bytes bucket;
	struct path_listing paths;
	bool streams; /* all pending uploads of exactly one key: o.prefix */
	struct bytes encrypted_prefix;
	struct buf cursor; /* encrypted key, or stream ID */
	bool more;
	struct arena page;
	struct object *items;
	size_t count, at;
	uint64_t skipped;
};

DEFINE_AUTO_PTR(struct listing, listing_auto, listing_free)

static bool ends_with_slash(struct bytes v)
{
	return v.len && v.data[v.len - 1] == '/';
}

static enum err init_paths(struct call *call, struct listing *l)
{
	struct buf out AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
	const struct store *store = &l->project->grant.store;

	if (l->streams)
		return encrypt_key(call, l->project, l->bucket, l->o.prefix, &l->arena,
				   &l->encrypted_prefix);
	enum err e = path_listing_init(call, store, l->bucket, l->o.prefix, &l->paths, &out);
	if (e == ERR_PERMISSION)
		return outcome_fail(call, e, UPLINK_ERROR_PERMISSION_DENIED,
				    "permission denied: the access grant has no encryption key for "
				    "prefix \"%.*s\" in bucket \"%.*s\"; it was shared for another "
				    "one",
				    (int)MIN(l->o.prefix.len, (size_t)200),
				    (const char *)l->o.prefix.data, (int)l->bucket.len,
				    (const char *)l->bucket.data);
	TRY_PLAIN(e);
	l->encrypted_prefix = arena_bytes(&l->arena, buf_bytes(&out));
	if (out.len && !l->encrypted_prefix.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (!l->o.cursor.len)
		return OK;
	return path_listing_encrypt(call, &l->paths, l->o.cursor, &l->cursor);
}

enum err listing_new(struct call *call, struct project *p, struct bytes bucket,
		     const struct listing_options *options, struct listing **ret)
{
	struct listing *l AUTO(listing_auto) = calloc(1, sizeof(*l));

	TRY_PLAIN(check_bucket(call, bucket));
	if (!l)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	l->cursor = BUF_INIT(PATH_ENCRYPTED_MAX);
	l->project = handle_ref(&p->handled);
	l->o = *options;
	l->o.prefix = arena_bytes(&l->arena, options->prefix);
	l->o.cursor = arena_bytes(&l->arena, options->cursor);
	l->bucket = arena_bytes(&l->arena, bucket);
	if (!l->bucket.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	l->more = true;
	l->streams = options->pending && options->prefix.len && !ends_with_slash(options->prefix);
	TRY_PLAIN(init_paths(call, l));
	*ret = take(&l);
	return OK;
}

void listing_free(struct listing *l)
{
	if (!l)
		return;
	path_listing_fini(&l->paths);
	buf_free(&l->cursor);
	arena_free(&l->page);
	arena_free(&l->arena);
	if (l->project)
		handle_put(&l->project->handled);
	free(l);
}

static enum err ask_objects(struct call *call, struct listing *l, Metainfo__ObjectListItem ***ret,
			    size_t *ret_count)
{
	Metainfo__ListObjectsRequest list = METAINFO__LIST_OBJECTS_REQUEST__INIT;
	Metainfo__ObjectListItemIncludes includes = METAINFO__OBJECT_LIST_ITEM_INCLUDES__INIT;
	Metainfo__BatchRequestItem item = METAINFO__BATCH_REQUEST_ITEM__INIT, *items[] = { &item };
	Metainfo__BatchResponseItem **answers;

	includes.metadata = l->o.custom;
	includes.exclude_system_metadata = !l->o.system;
	list.bucket = proto_view(l->bucket);
	list.encrypted_prefix = proto_view(l->encrypted_prefix);
	list.encrypted_cursor = proto_view(buf_bytes(&l->cursor));
	list.recursive = l->o.recursive;
	if (!l->o.recursive)
		list.delimiter = proto_view(bytes_str("/"));
	list.object_includes = &includes;
	list.use_object_includes = true;
	list.arbitrary_prefix = l->paths.arbitrary_prefix;
	if (l->o.pending)
		list.status = METAINFO__OBJECT__STATUS__UPLOADING;
	item.request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_OBJECT_LIST;
	item.object_list = &list;
	TRY_PLAIN(metainfo_send_batch(call, &l->project->satellite, items, 1, METAINFO_IDEMPOTENT,
				      &l->page, &answers));
	*ret = answers[0]->object_list->items;
	*ret_count = answers[0]->object_list->n_items;
	l->more = answers[0]->object_list->more;
	return OK;
}

static enum err ask_streams(struct call *call, struct listing *l, Metainfo__ObjectListItem ***ret,
			    size_t *ret_count)
{
	Metainfo__ListPendingObjectStreamsRequest list =
		METAINFO__LIST_PENDING_OBJECT_STREAMS_REQUEST__INIT;
	Metainfo__ListPendingObjectStreamsResponse *answer;

	list.bucket = proto_view(l->bucket);
	list.encrypted_object_key = proto_view(l->encrypted_prefix);
	list.stream_id_cursor = proto_view(buf_bytes(&l->cursor));
	TRY_PLAIN(metainfo_ask(call, &l->project->satellite, "ListPendingObjectStreams", &list.base,
			       &list.header, METAINFO_IDEMPOTENT, &l->page,
			       &metainfo__list_pending_object_streams_response__descriptor,
			       &answer));
	*ret = answer->items;
	*ret_count = answer->n_items;
	l->more = answer->more;
	return OK;
}

/* prefix + what the item's key decrypts to. */
static enum err item_key(struct call *call, struct listing *l, const Metainfo__ObjectListItem *item,
			 struct bytes *ret)
{
	struct buf key AUTO_BUF = BUF_INIT(2 * PATH_BYTES_MAX);

	buf_add_bytes(&key, l->o.prefix);
	if (!l->streams)
		TRY_PLAIN(path_listing_decrypt(call, &l->paths,
					       proto_bytes(item->encrypted_object_key), &key));
	TRY_PLAIN(buf_status(&key));
	*ret = arena_bytes(&l->page, buf_bytes(&key));
	return ret->data ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static enum err item_object(struct call *call, struct listing *l,
			    const Metainfo__ObjectListItem *item, struct object *o)
{
	struct secret_key object_key AUTO(secret_key_wipe);
	struct sealed_metadata sealed = { { { 0 } } };
	int32_t block;

	*o = (struct object){ .is_prefix = (int)item->status == PREFIX };
	TRY_PLAIN(item_key(call, l, item, &o->key));
	o->stream_id = proto_bytes(item->stream_id);
	if (o->is_prefix)
		return OK;
	if (l->o.system) {
		o->created_ns = proto_time(item->created_at);
		o->expires_ns = proto_time(item->expires_at);
		o->size = MAX(item->plain_size, 0);
	}
	if (!l->o.custom)
		return OK;
	if (!proto_fixed(item->encrypted_metadata_nonce, CONTENT_NONCE_BYTES, sealed.nonce.b))
		return call_fail(call, ERR_FORMAT, "nonce of a wrong length");
	sealed.wrapped_key = proto_bytes(item->encrypted_metadata_encrypted_key);
	sealed.metadata = proto_bytes(item->encrypted_metadata);
	TRY_PLAIN(content_key(call, &l->project->grant.store, l->bucket, o->key, &object_key));
	return metadata_open(call, &l->page, &object_key, &sealed, &o->metadata, &o->cipher,
			     &block);
}

static enum err load_page(struct call *call, struct listing *l)
{
	Metainfo__ObjectListItem **items;
	size_t count;

	arena_reset(&l->page);
	l->count = l->at = 0;
	enum err e = l->streams ? ask_streams(call, l, &items, &count)
				: ask_objects(call, l, &items, &count);
	TRY_PLAIN(outcome_of_satellite(call, e, l->bucket, l->o.prefix));
	/* A page that is empty and claims more would loop for ever (metainfo.md 5.12). */
	l->more = l->more && count;
	l->items = arena_array(&l->page, count + 1, sizeof(*l->items));
	if (!l->items)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		e = item_object(call, l, items[i], &l->items[l->count]);
		if (e == ERR_NO_MEMORY)
			return e;
		if (e) {
			call_clear_error(call);
			l->skipped++;
		} else {
			l->count++;
		}
	}
	if (!l->more)
		return OK;
	buf_clear(&l->cursor);
	buf_add_bytes(&l->cursor, proto_bytes(l->streams ? items[count - 1]->stream_id
							 : items[count - 1]->encrypted_object_key));
	return buf_status(&l->cursor);
}

enum err listing_next(struct call *call, struct listing *l, const struct object **ret)
{
	while (l->at == l->count) {
		if (!l->more)
			return ERR_EOF;
		TRY_PLAIN(load_page(call, l));
	}
	*ret = &l->items[l->at++];
	return OK;
}

uint64_t listing_skipped(const struct listing *l)
{
	return l->skipped;
}
