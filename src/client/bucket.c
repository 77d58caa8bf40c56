/* Buckets: created, looked at, deleted, listed (metainfo.md 4). */
#include "client/bucket.h"

#include "base/cleanup.h"
#include "client/metainfo.h"
#include "proto/proto.h"

enum { LIST_DEFAULT = 1000 };

static enum err take_bucket(struct call *call, struct arena *a, const Metainfo__Bucket *from,
			    struct bytes name, struct bucket *ret)
{
	ret->name = arena_bytes(a, from && from->name.len ? proto_bytes(from->name) : name);
	if (!ret->name.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	ret->created_ns = from ? proto_time(from->created_at) : 0;
	return OK;
}

enum err bucket_stat(struct call *call, struct project *p, struct arena *a, struct bytes name,
		     struct bucket *ret)
{
	Metainfo__GetBucketRequest get = METAINFO__GET_BUCKET_REQUEST__INIT;
	Metainfo__BatchRequestItem item = METAINFO__BATCH_REQUEST_ITEM__INIT, *items[] = { &item };
	Metainfo__BatchResponseItem **answers;

	TRY_PLAIN(check_bucket(call, name));
	get.name = proto_view(name);
	item.request_case = METAINFO__BATCH_REQUEST_ITEM__REQUEST_BUCKET_GET;
	item.bucket_get = &get;
	enum err e = metainfo_send_batch(call, &p->satellite, items, 1, METAINFO_IDEMPOTENT, a,
					 &answers);
	e = outcome_of_satellite(call, e, name, BYTES_NONE);
	/* Any NotFound here means the bucket (metainfo.md 3.3). */
	if (e == ERR_NOT_FOUND && call->status == err_status(ERR_NOT_FOUND))
		return outcome_fail(call, e, UPLINK_ERROR_BUCKET_NOT_FOUND,
				    "bucket not found: \"%.*s\"", (int)name.len,
				    (const char *)name.data);
	TRY_PLAIN(e);
	return take_bucket(call, a, answers[0]->bucket_get->bucket, name, ret);
}

enum err bucket_create(struct call *call, struct project *p, struct arena *a, struct bytes name,
		       struct bucket *ret)
{
	Metainfo__CreateBucketRequest request = METAINFO__CREATE_BUCKET_REQUEST__INIT;
	Metainfo__CreateBucketResponse *answer;

	TRY_PLAIN(check_bucket(call, name));
	request.name = proto_view(name);
	enum err e = metainfo_ask(call, &p->satellite, "CreateBucket", &request.base,
				  &request.header, METAINFO_ONCE, a,
				  &metainfo__create_bucket_response__descriptor, &answer);
	if (e == ERR_EXISTS) {
		TRY(bucket_stat(call, p, a, name, ret), "bucket \"%.*s\" already exists",
		    (int)name.len, (const char *)name.data);
		return outcome_fail(call, ERR_EXISTS, UPLINK_ERROR_BUCKET_ALREADY_EXISTS,
				    "bucket already exists: \"%.*s\"", (int)name.len,
				    (const char *)name.data);
	}
	if (e == ERR_INVALID && call->status == err_status(ERR_INVALID)) {
		struct call said = *call;
		return outcome_fail(
			call, e, UPLINK_ERROR_BUCKET_NAME_INVALID,
			"bucket name invalid: \"%.*s\" (%.200s); 3 to 63 of a-z, 0-9 and -, "
			"in parts separated by dots",
			(int)name.len, (const char *)name.data, said.error);
	}
	TRY_PLAIN(outcome_of_satellite(call, e, name, BYTES_NONE));
	return take_bucket(call, a, answer->bucket, name, ret);
}

enum err bucket_delete(struct call *call, struct project *p, struct arena *a, struct bytes name,
		       bool with_objects, struct bucket *ret)
{
	Metainfo__DeleteBucketRequest request = METAINFO__DELETE_BUCKET_REQUEST__INIT;
	Metainfo__DeleteBucketResponse *answer;

	TRY_PLAIN(check_bucket(call, name));
	request.name = proto_view(name);
	request.delete_all = with_objects;
	enum err e = metainfo_ask(call, &p->satellite, "DeleteBucket", &request.base,
				  &request.header, METAINFO_ONCE, a,
				  &metainfo__delete_bucket_response__descriptor, &answer);
	if (e == ERR_PRECONDITION)
		return outcome_fail(call, e, UPLINK_ERROR_BUCKET_NOT_EMPTY,
				    "bucket not empty: \"%.*s\"; delete its objects and pending "
				    "uploads first",
				    (int)name.len, (const char *)name.data);
	TRY_PLAIN(outcome_of_satellite(call, e, name, BYTES_NONE));
	return take_bucket(call, a, answer->bucket, name, ret);
}

enum err bucket_list(struct call *call, struct project *p, struct arena *a, struct bytes cursor,
		     struct bucket **ret, size_t *ret_count, bool *ret_more)
{
	Metainfo__ListBucketsRequest request = METAINFO__LIST_BUCKETS_REQUEST__INIT;
	Metainfo__ListBucketsResponse *answer;

	request.cursor = proto_view(cursor);
	request.limit = LIST_DEFAULT;
	request.direction = METAINFO__LIST_DIRECTION__AFTER;
	enum err e = metainfo_ask(call, &p->satellite, "ListBuckets", &request.base,
				  &request.header, METAINFO_IDEMPOTENT, a,
				  &metainfo__list_buckets_response__descriptor, &answer);
	TRY_PLAIN(outcome_of_satellite(call, e, BYTES_NONE, BYTES_NONE));
	struct bucket *list = arena_array(a, answer->n_items + 1, sizeof(*list));
	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < answer->n_items; i++) {
		list[i].name = proto_bytes(answer->items[i]->name);
		list[i].created_ns = proto_time(answer->items[i]->created_at);
	}
	*ret = list;
	*ret_count = answer->n_items;
	/* A page that is empty and claims more would loop for ever. */
	*ret_more = answer->more && answer->n_items;
	return OK;
}
