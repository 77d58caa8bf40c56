/* Tags of buckets, and notifications, which are not offered (metainfo.md 4). */
#include "base/cleanup.h"
#include "base/text.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/object.h"
#include "satellite/store_metainfo.h"

enum {
	TAGS_MAX = 50,
	TAG_KEY_RUNES_MAX = 128,
	TAG_VALUE_RUNES_MAX = 256,
	TAGS_BYTES_MAX = TAGS_MAX * (4 * (TAG_KEY_RUNES_MAX + TAG_VALUE_RUNES_MAX) + 16),
};

/* ---- what may be in a tag ---- */

/* Signs, punctuation and private use beyond ASCII; what lies between are letters and digits. */
static const struct {
	uint32_t first, last;
} signs[] = {
	{ 0x80, 0x84 },	    { 0x86, 0x9f },	{ 0xa1, 0xa9 },	      { 0xab, 0xb4 },
	{ 0xb6, 0xb9 },	    { 0xbb, 0xbf },	{ 0xd7, 0xd7 },	      { 0xf7, 0xf7 },
	{ 0x300, 0x36f },   { 0x200b, 0x2027 }, { 0x202a, 0x202e },   { 0x2030, 0x205e },
	{ 0x2060, 0x2070 }, { 0x2072, 0x207e }, { 0x2080, 0x208f },   { 0x20a0, 0x20ff },
	{ 0x2190, 0x2bff }, { 0x3001, 0x3004 }, { 0x3008, 0x3030 },   { 0xd800, 0xf8ff },
	{ 0xfe00, 0xfe6f }, { 0xfeff, 0xff0f }, { 0xff1a, 0xff20 },   { 0xff3b, 0xff40 },
	{ 0xff5b, 0xff65 }, { 0xffe0, 0xffff }, { 0x1f000, 0x1faff }, { 0xe0000, 0x10ffff },
};

static bool rune_ok(uint32_t r)
{
	if (r < 0x80)
		return (r >= '0' && r <= '9') || (r >= 'A' && r <= 'Z') || (r >= 'a' && r <= 'z') ||
		       (r >= '\t' && r <= '\r') || (r && strchr(" +-./:=@_", (int)r));
	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (r >= signs[i].first && r <= signs[i].last)
			return false;
	return true;
}

static uint32_t rune_at(const uint8_t *p, size_t len)
{
	static const uint8_t mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t r = p[0] & mask[len];

	for (size_t i = 1; i < len; i++)
		r = r << 6 | (p[i] & 0x3f);
	return r;
}

/* NULL, or what is wrong with it. */
static const char *text_fault(struct bytes v, size_t max)
{
	size_t runes = 0;
	bool ok = true;

	for (size_t i = 0; i < v.len; runes++) {
		size_t n = text_utf8_len(v.data + i, v.len - i);
		if (!n)
			return "is not a valid UTF-8 string";
		ok = ok && rune_ok(rune_at(v.data + i, n));
		i += n;
	}
	if (runes > max)
		return "is too long";
	return ok ? NULL : "contains a disallowed character";
}

static enum err check_tag(struct call *call, Metainfo__BucketTag *const *tags, size_t i)
{
	struct bytes key = proto_bytes(tags[i]->key);
	const char *fault;

	for (size_t k = 0; k < i; k++)
		if (bytes_equal(proto_bytes(tags[k]->key), key))
			return call_fail_status(call, ERR_INVALID, STATUS_TAG_KEY_DUPLICATE,
						"A provided tag key is duplicated");
	if (!key.len)
		return call_fail_status(call, ERR_INVALID, STATUS_TAG_KEY_INVALID,
					"A tag key was not provided");
	fault = text_fault(key, TAG_KEY_RUNES_MAX);
	if (fault)
		return call_fail_status(call, ERR_INVALID, STATUS_TAG_KEY_INVALID,
					"A provided tag key %s", fault);
	fault = text_fault(proto_bytes(tags[i]->value), TAG_VALUE_RUNES_MAX);
	if (fault)
		return call_fail_status(call, ERR_INVALID, STATUS_TAG_VALUE_INVALID,
					"A provided tag value %s", fault);
	return OK;
}

/* ---- calls ---- */

enum err check_bucket_named(struct call *call, struct bytes name)
{
	if (!name.len)
		return call_fail_status(call, ERR_INVALID, STATUS_BUCKET_NAME_MISSING,
					"A bucket name is required");
	enum err e = check_bucket_length(call, name);
	if (e)
		call->status = STATUS_BUCKET_NAME_INVALID;
	return e;
}

static enum err check_enabled(struct call *call, const struct mcall *mc)
{
	return satellite_live(mc->sat)->bucket_tagging
		       ? OK
		       : call_fail(call, ERR_UNIMPLEMENTED, "Unimplemented");
}

struct tags_query {
	struct project_id project;
	struct bytes name, tags;
};

static enum err write_tags(struct call *call, struct db_tx *tx, void *arg)
{
	const struct tags_query *q = arg;
	enum err e = store_bucket_set_tags(call, tx, &q->project, q->name, q->tags);

	return e == ERR_NOT_FOUND ? fail_bucket_not_found(call, q->name) : e;
}

static enum err read_tags(struct call *call, struct db_tx *tx, void *arg)
{
	struct tags_query *q = arg;
	enum err e = store_bucket_tags(call, tx, &q->project, q->name, &q->tags);

	return e == ERR_NOT_FOUND ? fail_bucket_not_found(call, q->name) : e;
}

METAINFO_METHOD(set_bucket_tagging, SetBucketTagging)
{
	AUTO_BUF struct buf b = BUF_INIT(TAGS_BYTES_MAX);
	Metainfo__GetBucketTaggingResponse stored = METAINFO__GET_BUCKET_TAGGING_RESPONSE__INIT;
	struct tags_query q = { .name = proto_bytes(req->name) };

	TRY_PLAIN(check_enabled(call, mc));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_WRITE, q.name, BYTES_NONE));
	TRY_PLAIN(check_bucket_named(call, q.name));
	if (req->n_tags > TAGS_MAX)
		return call_fail_status(call, ERR_INVALID, STATUS_TAGS_TOO_MANY,
					"The tag set contains too many items");
	for (size_t i = 0; i < req->n_tags; i++)
		TRY_PLAIN(check_tag(call, req->tags, i));
	/* A row keeps them as they are answered. */
	stored.n_tags = req->n_tags;
	stored.tags = req->tags;
	TRY(proto_encode(call, &stored.base, &b), "keep the tags");
	q.project = mc->auth.project.id;
	q.tags = buf_bytes(&b);
	return db_write(call, mc->sat->db, write_tags, &q);
}

METAINFO_METHOD(get_bucket_tagging, GetBucketTagging)
{
	struct tags_query q = { .name = proto_bytes(req->name) };
	Metainfo__GetBucketTaggingResponse *stored = NULL;

	TRY_PLAIN(check_enabled(call, mc));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_HEAD, ACTION_READ, q.name, BYTES_NONE));
	TRY_PLAIN(check_bucket_named(call, q.name));
	q.project = mc->auth.project.id;
	TRY_PLAIN(db_read_one(call, mc->sat->db, read_tags, &q));
	if (!q.tags.len)
		return call_fail_status(call, ERR_NOT_FOUND, STATUS_TAGS_NOT_FOUND,
					"No tags are set on the bucket");
	TRY(proto_decode(call, mc->a, &metainfo__get_bucket_tagging_response__descriptor, q.tags,
			 &stored),
	    "read the tags");
	resp->n_tags = stored->n_tags;
	resp->tags = stored->tags;
	return OK;
}

static enum err find_bucket(struct call *call, struct db_tx *tx, void *arg)
{
	const struct tags_query *q = arg;
	struct bucket b;

	return bucket_find(call, tx, &q->project, q->name, &b);
}

/* Buckets whose keys the satellite cannot read, as all of ours, have no notifications: no bucket
 * has a configuration, and none can be given. */
METAINFO_METHOD(get_bucket_notification, GetBucketNotificationConfiguration)
{
	struct tags_query q = { .name = proto_bytes(req->name) };

	TRY_PLAIN(metainfo_allow(call, mc, RATE_HEAD, ACTION_GET_BUCKET_NOTIFICATION, q.name,
				 BYTES_NONE));
	if (!q.name.len)
		return call_fail(call, ERR_INVALID, "bucket name is required");
	q.project = mc->auth.project.id;
	return db_read_one(call, mc->sat->db, find_bucket, &q);
}

METAINFO_METHOD(set_bucket_notification, SetBucketNotificationConfiguration)
{
	struct bytes name = proto_bytes(req->name);

	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_PUT_BUCKET_NOTIFICATION, name,
				 BYTES_NONE));
	if (!name.len)
		return call_fail(call, ERR_INVALID, "bucket name is required");
	return call_fail(call, ERR_PRECONDITION,
			 "Bucket eventing requires satellite-managed encryption (path encryption "
			 "must be disabled)");
}
