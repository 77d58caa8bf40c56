/* Begin, inline segment, commit; and the work group they and CommitSegment run in. */
#include "base/cleanup.h"
#include "os/random.h"
#include "satellite/bucket.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/endpoint_metainfo_upload.h"
#include "satellite/metainfo_internal.h"
#include "satellite/piece_list.h"

/* ---- the group ---- */

static bool is_small_upload(const struct mcall *mc, size_t i)
{
	const struct work *w = &mc->works[i];

	if (i + 2 >= mc->works_count || w[0].kind != WORK_BEGIN || w[1].kind != WORK_INLINE ||
	    w[2].kind != WORK_COMMIT)
		return false;
	const struct stream *s = &((struct begin_object *)w[0].arg)->stream;
	return ((struct put_segment *)w[1].arg)->stream == s &&
	       ((struct commit_object *)w[2].arg)->stream == s;
}

static enum err run_one(struct call *call, struct db_tx *tx, const struct work *w,
			struct pending *p)
{
	switch (w->kind) {
	case WORK_BEGIN:
		return object_begin(call, tx, w->arg);
	case WORK_INLINE:
	case WORK_SEGMENT:
		return object_put_segment(call, tx, w->arg, p);
	case WORK_COMMIT:
		return object_commit(call, tx, w->arg, p);
	}
	return call_fail(call, ERR_INTERNAL, "unknown work");
}

static enum err run_group(struct call *call, struct db_tx *tx, void *arg)
{
	struct mcall *mc = arg;
	struct pending pending = { 0 };

	for (size_t i = 0; i < mc->works_count; i++) {
		const struct work *w = &mc->works[i];
		if (is_small_upload(mc, i)) {
			TRY_PLAIN(object_put_inline(call, tx, w[0].arg, w[1].arg, w[2].arg));
			i += 2;
		} else {
			TRY_PLAIN(run_one(call, tx, w, &pending));
		}
	}
	return OK;
}

static enum err finish_begin(struct call *call, struct mcall *mc, const struct begin_object *b,
			     Metainfo__BeginObjectResponse *resp)
{
	struct bytes id;

	TRY_PLAIN(stream_id_encode(call, mc->a, &mc->sat->id_key, &b->stream, &id));
	resp->bucket = proto_view(b->stream.bucket);
	resp->encrypted_object_key = proto_view(b->stream.key);
	resp->stream_id = proto_view(id);
	resp->redundancy_scheme = redundancy_message(mc->a, &satellite_live(mc->sat)->redundancy);
	return OK;
}

static enum err finish_segment(struct call *call, struct mcall *mc, const struct put_segment *s,
			       Metainfo__CommitSegmentResponse *resp)
{
	node_aliases_learn(mc->m->aliases, s->nodes, s->aliases_found, s->count);
	usage_add_stored(mc->m->usage, &mc->auth.project, s->segment.encrypted_size, 1);
	resp->successful_pieces = (int32_t)s->count;
	return OK;
}

static enum err finish_commit(struct call *call, struct mcall *mc, const struct commit_object *c,
			      Metainfo__CommitObjectResponse *resp)
{
	const struct stream *s = c->stream;

	usage_add_stored(mc->m->usage, &mc->auth.project, -c->freed.size, -c->freed.segments);
	TRY_PLAIN(answer_object(call, mc, s->bucket, s->placement, &c->result, &resp->object));
	hide_lock(mc, s->bucket, s->key, resp->object);
	return OK;
}

static void finish_inline(struct mcall *mc, const struct put_segment *s)
{
	const struct payer payer = metainfo_payer(mc, s->stream->bucket);

	bandwidth_add(mc->m->bandwidth, &payer, ORDERS__PIECE_ACTION__PUT, 0,
		      s->segment.encrypted_size, mc->now_ns);
	usage_add_stored(mc->m->usage, &mc->auth.project, s->segment.encrypted_size, 1);
}

static enum err finish_one(struct call *call, struct mcall *mc, const struct work *w)
{
	switch (w->kind) {
	case WORK_BEGIN:
		return finish_begin(call, mc, w->arg, (Metainfo__BeginObjectResponse *)w->response);
	case WORK_INLINE:
		finish_inline(mc, w->arg);
		return OK;
	case WORK_SEGMENT:
		return finish_segment(call, mc, w->arg,
				      (Metainfo__CommitSegmentResponse *)w->response);
	case WORK_COMMIT:
		return finish_commit(call, mc, w->arg,
				     (Metainfo__CommitObjectResponse *)w->response);
	}
	return call_fail(call, ERR_INTERNAL, "unknown work");
}

enum err metainfo_flush(struct call *call, struct mcall *mc)
{
	if (!mc->works_count)
		return OK;
	TRY_PLAIN(db_write(call, mc->sat->db, run_group, mc));
	for (size_t i = 0; i < mc->works_count; i++)
		TRY_PLAIN(finish_one(call, mc, &mc->works[i]));
	mc->works_count = 0;
	return OK;
}

enum err metainfo_work(struct call *call, struct mcall *mc, enum work_kind kind, void *arg,
		       ProtobufCMessage *response)
{
	if (mc->works_count == WORK_GROUP_MAX)
		TRY_PLAIN(metainfo_flush(call, mc));
	mc->works[mc->works_count++] = (struct work){ kind, arg, response };
	return mc->in_batch ? OK : metainfo_flush(call, mc);
}

enum err metainfo_check_upload(struct call *call, struct mcall *mc, int64_t bytes, int64_t segments)
{
	return usage_check_upload(call, mc->sat->db, mc->m->usage, &mc->auth.project, bytes,
				  segments, mc->now_ns);
}

/* ---- BeginObject ---- */

/* Expiry: not in the past, not beyond what the key allows, which is also the default. */
static enum err read_expiry(struct call *call, struct mcall *mc,
			    const Metainfo__BeginObjectRequest *req, struct begin_object *b)
{
	int64_t asked = proto_time(req->expires_at), ttl = 0, last = INT64_MAX;

	TRY_PLAIN(auth_ttl(call, &mc->auth, &ttl));
	if (ttl && __builtin_add_overflow(mc->now_ns, ttl, &last))
		last = INT64_MAX;
	if (asked && asked < mc->now_ns)
		return call_fail(call, ERR_INVALID,
				 "invalid expiration time, cannot be in the past");
	if (asked > last)
		return call_fail(call, ERR_INVALID,
				 "invalid expiration time, cannot be longer than %lld s from now",
				 (long long)(ttl / NS_PER_SEC));
	if ((b->retention.mode || b->legal_hold) && ttl)
		return call_fail(call, ERR_INVALID,
				 "cannot specify Object Lock settings when using an API key that "
				 "enforces an object expiration time");
	if ((b->retention.mode || b->legal_hold) && asked)
		return call_fail(
			call, ERR_INVALID,
			"cannot specify Object Lock settings and an object expiration time");
	b->expiry_asked = asked != 0;
	b->expiry_forced = ttl != 0;
	b->stream.expires_ns = time_us(asked ? asked : ttl ? last : 0);
	return OK;
}

enum err check_object_key(struct call *call, const struct mcall *mc, struct bytes key)
{
	uint64_t max = satellite_live(mc->sat)->max_key_length;

	if (!key.len)
		return call_fail(call, ERR_INVALID, "ObjectKey missing");
	if (key.len > max)
		return call_fail(call, ERR_INVALID,
				 "key length is too big, got %zu, maximum allowed is %llu", key.len,
				 (unsigned long long)max);
	return OK;
}

static enum err allow_begin(struct call *call, struct mcall *mc,
			    const Metainfo__BeginObjectRequest *req, const struct begin_object *b)
{
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);

	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_WRITE, bucket, key));
	if (b->retention.mode)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_PUT_RETENTION, bucket, key));
	if (b->legal_hold)
		TRY_PLAIN(auth_check(call, &mc->auth, ACTION_PUT_LEGAL_HOLD, bucket, key));
	return OK;
}

static enum err read_begin_data(struct call *call, const struct mcall *mc,
				const Metainfo__BeginObjectRequest *req, struct user_data *ret)
{
	struct user_data d = {
		.metadata = proto_bytes(req->encrypted_metadata),
		.nonce = nonce_or_none(req->encrypted_metadata_nonce),
		.key = proto_bytes(req->encrypted_metadata_encrypted_key),
		.etag = proto_bytes(req->encrypted_etag),
	};

	TRY_PLAIN(read_checksum(call, mc, true, CHECKSUM_OF(req), &d));
	TRY_PLAIN(check_user_data_size(call, &d));
	TRY_PLAIN(user_data_check(call, &d));
	*ret = d;
	return OK;
}

static enum err read_encryption(struct call *call, const Encryption__EncryptionParameters *p,
				struct stream *s)
{
	if (!p)
		return OK;
	if (p->block_size < 0 || p->block_size > INT32_MAX)
		return call_fail(call, ERR_INVALID, "encryption block size is out of range");
	s->cipher = (int32_t)p->cipher_suite;
	s->block_size = p->block_size;
	return OK;
}

METAINFO_METHOD(begin_object, BeginObject)
{
	struct begin_object *b = arena_alloc(mc->a, sizeof(*b));
	struct bytes bucket = proto_bytes(req->bucket),
		     key = proto_bytes(req->encrypted_object_key);

	if (!b)
		return call_fail(call, ERR_NO_MEMORY, "no room for an upload");
	TRY_PLAIN(check_bucket_length(call, bucket));
	TRY_PLAIN(read_retention(call, req->retention, mc->now_ns, &b->retention));
	b->legal_hold = req->legal_hold;
	b->now_ns = mc->now_ns;
	TRY_PLAIN(allow_begin(call, mc, req, b));
	TRY_PLAIN(read_expiry(call, mc, req, b));
	TRY_PLAIN(check_object_key(call, mc, key));
	TRY_PLAIN(read_begin_data(call, mc, req, &b->data));
	TRY_PLAIN(metainfo_check_upload(call, mc, 1, 1));
	b->charge = metainfo_charge(mc);
	b->user_agent = user_agent_trim(mc->a, mc->user_agent);
	TRY_PLAIN(object_rate_check(call, mc->m->upload_rate, &mc->auth.project.id, bucket, key,
				    mc->now_ns));
	struct stream *s = &b->stream;
	s->project = mc->auth.project.id;
	s->bucket = bucket;
	s->key = key;
	s->created_ns = time_us(mc->now_ns);
	s->multipart = !mc->begins_upload;
	TRY_PLAIN(read_encryption(call, req->encryption_parameters, s));
	stream_uuid_new(&s->uuid);
	/* Random and negative: pending uploads of a key never meet, nor compete with versions. */
	s->version = -1 - (int64_t)os_random_below(INT64_MAX);
	mc->last_stream = s;
	return metainfo_work(call, mc, WORK_BEGIN, b, &resp->base);
}

/* ---- MakeInlineSegment ---- */

enum err check_segment_key(struct call *call, ProtobufCBinaryData key, ProtobufCBinaryData nonce,
			   ProtobufCBinaryData etag)
{
	if (!key.len)
		return call_fail(call, ERR_INVALID, "EncryptedKey missing");
	if (key.len > LIMIT_SEGMENT_KEY_BYTES)
		return call_fail(call, ERR_INVALID, "EncryptedKey is too large");
	if (nonce.len != METAINFO_NONCE_BYTES)
		return call_fail(call, ERR_INVALID, "EncryptedKeyNonce missing");
	if (etag.len > LIMIT_METADATA_BYTES)
		return call_fail(call, ERR_INVALID, "EncryptedETag is too large");
	return OK;
}

/* Where the segment will lie if all before it are full, as they are in uploads that begin at the
 * first; CommitObject corrects it otherwise. */
int64_t likely_offset(const struct mcall *mc, int64_t position)
{
	if (position_part(position))
		return 0;
	return position * (int64_t)mc->sat->config.max_segment_size;
}

METAINFO_METHOD(make_inline_segment, MakeInlineSegment)
{
	struct put_segment *s = arena_alloc(mc->a, sizeof(*s));
	struct bytes data = proto_bytes(req->encrypted_inline_data);

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "no room for a segment");
	TRY_PLAIN(metainfo_stream(call, mc, RATE_PUT, req->stream_id, &s->stream));
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT, ACTION_WRITE, s->stream->bucket,
				 s->stream->key));
	TRY_PLAIN(check_segment_checksum(call, mc, req->encrypted_checksum));
	int32_t part = req->position ? req->position->part_number : 0;
	int32_t index = req->position ? req->position->index : 0;
	if (index < 0 || part < 0)
		return call_fail(call, ERR_INVALID, "segment index must be greater then 0");
	if (data.len > LIMIT_INLINE_CIPHER_BYTES)
		return call_fail(call, ERR_INVALID,
				 "inline segment size cannot be larger than %llu B",
				 (unsigned long long)satellite_live(mc->sat)->max_inline_size);
	TRY_PLAIN(check_segment_key(call, req->encrypted_key, req->encrypted_key_nonce,
				    req->encrypted_e_tag));
	if (req->plain_size < 0 || req->plain_size > (int64_t)mc->sat->config.max_segment_size)
		return call_fail(call, ERR_INVALID, "PlainSize is out of range");
	TRY_PLAIN(metainfo_check_upload(call, mc, 1, 1));
	s->segment = (struct segment){
		.position = segment_position(part, index),
		.created_ns = time_us(mc->now_ns),
		.key = proto_bytes(req->encrypted_key),
		.nonce = proto_bytes(req->encrypted_key_nonce),
		.encrypted_size = (int64_t)data.len,
		.plain_size = req->plain_size,
		.plain_offset = likely_offset(mc, segment_position(part, index)),
		.etag = proto_bytes(req->encrypted_e_tag),
		.checksum = proto_bytes(req->encrypted_checksum),
		.is_inline = true,
		.inline_data = data,
	};
	s->prices = metainfo_charge(mc).prices;
	s->now_ns = mc->now_ns;
	return metainfo_work(call, mc, WORK_INLINE, s, &resp->base);
}

/* ---- CommitObject ---- */

/* ["*"] or nothing (metainfo.md 5.6). */
enum err read_if_none_match(struct call *call, char *const *list, size_t count, bool *ret)
{
	if (count > 1 || (count == 1 && strcmp(list[0], "*") != 0))
		return call_fail(
			call, ERR_UNIMPLEMENTED,
			"not implemented: IfNoneMatch only supports a single value of '*'");
	*ret = count == 1;
	return OK;
}

/* Old clients put the encryption parameters into the metadata instead of BeginObject. */
static enum err read_old_encryption(struct call *call, const struct commit_object *c,
				    int32_t *ret_cipher, int32_t *ret_block_size)
{
	int32_t cipher = 0, block_size = 0;
	struct wire w = wire_read(c->data.metadata);
	struct wire_field f;

	while (wire_field(&w, &f)) {
		if (f.number == 2 && f.type == WIRE_VARINT && f.value <= INT32_MAX)
			cipher = (int32_t)f.value;
		if (f.number == 3 && f.type == WIRE_VARINT && f.value <= INT32_MAX)
			block_size = (int32_t)f.value;
	}
	if (!wire_ok(&w)) /* opaque bytes */
		cipher = block_size = 0;
	bool old = cipher || block_size;
	if (old ? cipher && !block_size : c->stream->cipher && c->stream->block_size <= 0)
		return call_fail(call, ERR_INVALID, "Encryption.BlockSize is negative or zero");
	*ret_cipher = cipher;
	*ret_block_size = block_size;
	return OK;
}

/* What the commit says about the object's data.  Nonce and key without data are what old clients
 * send for no metadata: dropped.  Still older ones keep both inside the metadata. */
static enum err read_commit_data(struct call *call, const struct mcall *mc,
				 const Metainfo__CommitObjectRequest *req, struct commit_object *c)
{
	struct user_data d = {
		.metadata = proto_bytes(req->encrypted_metadata),
		.etag = proto_bytes(req->encrypted_etag),
	};

	TRY_PLAIN(read_checksum(call, mc, false, CHECKSUM_OF(req), &d));
	c->set_data = d.metadata.len || d.etag.len || d.checksum.len;
	if (c->set_data) {
		d.nonce = nonce_or_none(req->encrypted_metadata_nonce);
		d.key = proto_bytes(req->encrypted_metadata_encrypted_key);
		if (!d.nonce.len && !d.key.len)
			metadata_key(&d, &d.key, &d.nonce);
		TRY_PLAIN(check_user_data_size(call, &d));
		TRY_PLAIN(user_data_check(call, &d));
	}
	c->data = d;
	return OK;
}

METAINFO_METHOD(commit_object, CommitObject)
{
	struct commit_object *c = arena_alloc(mc->a, sizeof(*c));

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "no room for an upload");
	TRY_PLAIN(metainfo_stream(call, mc, RATE_PUT_NO_ERROR, req->stream_id, &c->stream));
	struct bytes bucket = c->stream->bucket, key = c->stream->key;
	TRY_PLAIN(metainfo_allow(call, mc, RATE_PUT_NO_ERROR, ACTION_WRITE, bucket, key));
	TRY_PLAIN(read_commit_data(call, mc, req, c));
	TRY_PLAIN(read_if_none_match(call, req->if_none_match, req->n_if_none_match,
				     &c->if_none_match));
	TRY_PLAIN(read_old_encryption(call, c, &c->cipher, &c->block_size));
	c->may_delete = auth_allows(&mc->auth, ACTION_DELETE, bucket, key);
	c->min_part_size = mc->sat->config.min_part_size;
	c->now_ns = mc->now_ns;
	return metainfo_work(call, mc, WORK_COMMIT, c, &resp->base);
}
