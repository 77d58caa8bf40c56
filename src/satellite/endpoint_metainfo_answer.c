/* Rows into messages (metainfo.md 5.7, 5.12). */
#include "base/cleanup.h"
#include "base/wire.h"
#include "satellite/endpoint_metainfo.h"
#include "satellite/endpoint_metainfo_upload.h"

const struct include include_all = {
	.system = true,
	.custom = true,
	.etag = true,
	.checksum = true,
	.legacy = true,
	.version = true,
};

/* streams.StreamMeta; what the client stored is opaque but for these numbers. */
struct stream_meta {
	struct bytes stream_info; /* 1 */
	uint64_t encryption_type; /* 2 */
	uint64_t block_size;	  /* 3 */
	bool has_last_segment;	  /* 4 */
	struct bytes last_segment;
	uint64_t number_of_segments; /* 5 */
};

/* Bytes that are no such message count as none: one odd object must not spoil a listing. */
static struct stream_meta meta_parse(struct bytes v)
{
	struct wire w = wire_read(v);
	struct wire_field f;
	struct stream_meta m = { 0 };

	while (wire_field(&w, &f)) {
		bool bytes = f.type == WIRE_BYTES;
		if (f.number == 1 && bytes)
			m.stream_info = f.bytes;
		else if (f.number == 2 && f.type == WIRE_VARINT)
			m.encryption_type = f.value;
		else if (f.number == 3 && f.type == WIRE_VARINT)
			m.block_size = f.value;
		else if (f.number == 4 && bytes) {
			m.has_last_segment = true;
			m.last_segment = f.bytes;
		} else if (f.number == 5 && f.type == WIRE_VARINT)
			m.number_of_segments = f.value;
	}
	return wire_ok(&w) ? m : (struct stream_meta){ 0 };
}

void metadata_key(const struct user_data *d, struct bytes *ret_key, struct bytes *ret_nonce)
{
	struct wire w = wire_read(d->metadata);
	struct wire_field f, g;

	*ret_key = d->key;
	*ret_nonce = d->nonce;
	while (!d->key.len && wire_field(&w, &f)) {
		if (f.number != 4 || f.type != WIRE_BYTES)
			continue;
		struct wire inner = wire_read(f.bytes);
		while (wire_field(&inner, &g)) {
			if (g.number == 1 && g.type == WIRE_BYTES)
				*ret_key = g.bytes;
			if (g.number == 2 && g.type == WIRE_BYTES &&
			    g.bytes.len == METAINFO_NONCE_BYTES)
				*ret_nonce = g.bytes;
		}
	}
}

enum { META_EXTRA_MAX = 512 };

static enum err meta_encode(struct call *call, struct arena *a, const struct stream_meta *m,
			    ProtobufCBinaryData *ret)
{
	AUTO_BUF struct buf b = BUF_INIT(m->stream_info.len + m->last_segment.len + META_EXTRA_MAX);

	if (m->stream_info.len)
		buf_add_field_bytes(&b, 1, m->stream_info);
	if (m->encryption_type)
		buf_add_field_varint(&b, 2, m->encryption_type);
	if (m->block_size)
		buf_add_field_varint(&b, 3, m->block_size);
	if (m->has_last_segment)
		buf_add_field_bytes(&b, 4, m->last_segment);
	if (m->number_of_segments)
		buf_add_field_varint(&b, 5, m->number_of_segments);
	*ret = proto_copy(a, buf_bytes(&b));
	if (b.failed || (b.len && !ret->data))
		return call_fail(call, ERR_NO_MEMORY, "no room for metadata");
	return OK;
}

/* streams.SegmentMeta {1 encrypted_key, 2 key_nonce} of the metadata key. */
static void meta_set_last_segment(struct stream_meta *m, const struct user_data *d, struct buf *b)
{
	if (d->key.len)
		buf_add_field_bytes(b, 1, d->key);
	if (d->nonce.len)
		buf_add_field_bytes(b, 2, d->nonce);
	m->has_last_segment = true;
	m->last_segment = buf_bytes(b);
}

static enum err object_metadata(struct call *call, struct arena *a, const struct object *o,
				ProtobufCBinaryData *ret)
{
	AUTO_BUF struct buf last = BUF_INIT(META_EXTRA_MAX);
	struct stream_meta m = meta_parse(o->data.metadata);

	if (!m.block_size)
		m.block_size = (uint64_t)o->block_size;
	if (!m.encryption_type)
		m.encryption_type = (uint64_t)o->cipher;
	if (!m.number_of_segments)
		m.number_of_segments = (uint64_t)o->segment_count;
	if (!m.has_last_segment)
		meta_set_last_segment(&m, &o->data, &last);
	return meta_encode(call, a, &m, ret);
}

Encryption__EncryptionParameters *answer_encryption(struct arena *a, int32_t cipher,
						    int64_t block_size)
{
	Encryption__EncryptionParameters *p =
		message_new(a, &encryption__encryption_parameters__descriptor);

	if (p) {
		p->cipher_suite = (Encryption__CipherSuite)cipher;
		p->block_size = block_size;
	}
	return p;
}

Metainfo__SegmentPosition *answer_position(struct arena *a, int64_t position)
{
	Metainfo__SegmentPosition *p = message_new(a, &metainfo__segment_position__descriptor);

	if (p) {
		p->part_number = position_part(position);
		p->index = position_index(position);
	}
	return p;
}

void object_stream(const struct project_id *project, struct bytes bucket, int32_t placement,
		   const struct object *o, struct stream *ret)
{
	bool pending = o->status == OBJECT_PENDING;

	*ret = (struct stream){
		.project = *project,
		.bucket = bucket,
		.bucket_id = o->bucket_id,
		.key = o->key,
		.version = o->version,
		.uuid = o->stream,
		.created_ns = o->created_ns,
		.expires_ns = o->expires_ns,
		.multipart = pending ? o->multipart
				     : o->plain_size != 0 && o->fixed_segment_size <= 0,
		.versioned = o->versioned,
		.cipher = o->cipher,
		.block_size = o->block_size,
		.placement = placement,
	};
}

static enum err object_version(struct call *call, const struct mcall *mc, const struct object *o,
			       ProtobufCBinaryData *ret)
{
	/* There a nonce of something given up has this number, which must have 24 bytes. */
	if (mc->uplink_minor == 8)
		return OK;
	uint8_t *v = arena_alloc(mc->a, OBJECT_VERSION_BYTES);
	if (!v)
		return call_fail(call, ERR_NO_MEMORY, "no room for an object version");
	object_version_put(o, v);
	*ret = proto_view(BYTES(v, OBJECT_VERSION_BYTES));
	return OK;
}

static enum err object_lock(struct call *call, struct arena *a, const struct object *o,
			    Metainfo__Object *m)
{
	m->legal_hold = message_new(a, &google__protobuf__bool_value__descriptor);
	if (!m->legal_hold)
		return call_fail(call, ERR_NO_MEMORY, "no room for an object");
	m->legal_hold->value = o->legal_hold;
	if (!o->retention.mode)
		return OK;
	m->retention = message_new(a, &metainfo__retention__descriptor);
	if (!m->retention)
		return call_fail(call, ERR_NO_MEMORY, "no room for an object");
	m->retention->mode = (Metainfo__Retention__Mode)o->retention.mode;
	m->retention->retain_until = proto_time_new(a, o->retention.until_ns);
	return OK;
}

enum err answer_object(struct call *call, struct mcall *mc, struct bytes bucket, int32_t placement,
		       const struct object *o, Metainfo__Object **ret)
{
	struct arena *a = mc->a;
	Metainfo__Object *m = message_new(a, &metainfo__object__descriptor);
	struct stream s;
	struct bytes id;

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "no room for an object");
	object_stream(&mc->auth.project.id, bucket, placement, o, &s);
	TRY_PLAIN(stream_id_encode(call, a, &mc->sat->id_key, &s, &id));
	TRY_PLAIN(object_metadata(call, a, o, &m->encrypted_metadata));
	TRY_PLAIN(object_version(call, mc, o, &m->object_version));
	TRY_PLAIN(object_lock(call, a, o, m));
	m->bucket = proto_view(bucket);
	m->encrypted_object_key = proto_view(o->key);
	m->status = (Metainfo__Object__Status)o->status;
	m->stream_id = proto_view(id);
	m->created_at = proto_time_new(a, o->created_ns);
	m->expires_at = proto_time_new(a, o->expires_ns);
	m->total_size = o->encrypted_size;
	m->plain_size = o->plain_size;
	m->encrypted_metadata_nonce = proto_view(o->data.nonce);
	m->encrypted_metadata_encrypted_key = proto_view(o->data.key);
	m->encrypted_etag = proto_view(o->data.etag);
	m->checksum_algorithm = (Metainfo__ObjectChecksumAlgorithm)o->data.checksum_algorithm;
	m->is_checksum_composite = o->data.checksum_composite;
	m->encrypted_checksum = proto_view(o->data.checksum);
	m->encryption_parameters = answer_encryption(a, o->cipher, o->block_size);
	*ret = m;
	return OK;
}

void hide_lock(const struct mcall *mc, struct bytes bucket, struct bytes key, Metainfo__Object *o)
{
	if (!auth_allows(&mc->auth, ACTION_GET_RETENTION, bucket, key))
		o->retention = NULL;
	if (!auth_allows(&mc->auth, ACTION_GET_LEGAL_HOLD, bucket, key))
		o->legal_hold = NULL;
}

/* What of the client's data an item shows. */
struct shown {
	bool custom, etag, key;
};

static struct shown what_to_show(const struct include *include, const struct object *o)
{
	bool etag = o->data.etag.len > 0;
	struct shown s = {
		/* "ETag or metadata": the metadata only where no ETag is stored. */
		.custom = o->data.metadata.len > 0 &&
			  (include->custom || (include->etag_or_custom && !etag)),
		.etag = etag && (include->etag || include->etag_or_custom),
	};

	s.key = include->custom || s.custom || s.etag || include->checksum;
	return s;
}

static enum err item_metadata(struct call *call, struct arena *a, const struct include *include,
			      const struct object *o, bool custom, ProtobufCBinaryData *ret)
{
	AUTO_BUF struct buf last = BUF_INIT(META_EXTRA_MAX);
	struct stream_meta m = meta_parse(custom ? o->data.metadata : BYTES_NONE);

	if (o->cipher || o->block_size) {
		m.encryption_type = (uint64_t)o->cipher;
		m.block_size = (uint64_t)o->block_size;
	}
	if (o->segment_count)
		m.number_of_segments = (uint64_t)o->segment_count;
	if (include->legacy && o->data.key.len)
		meta_set_last_segment(&m, &o->data, &last);
	return meta_encode(call, a, &m, ret);
}

/* A client that goes on with an upload needs its id; the key in it is the whole one. */
static enum err item_stream(struct call *call, struct mcall *mc, struct bytes bucket,
			    int32_t placement, struct bytes prefix, const struct object *o,
			    ProtobufCBinaryData *ret)
{
	uint8_t *key = arena_alloc(mc->a, prefix.len + o->key.len + 1);
	struct stream s;
	struct bytes id;

	if (!key)
		return call_fail(call, ERR_NO_MEMORY, "no room for an object");
	if (prefix.len)
		memcpy(key, prefix.data, prefix.len);
	if (o->key.len)
		memcpy(key + prefix.len, o->key.data, o->key.len);
	object_stream(&mc->auth.project.id, bucket, placement, o, &s);
	s.key = BYTES(key, prefix.len + o->key.len);
	TRY_PLAIN(stream_id_encode(call, mc->a, &mc->sat->id_key, &s, &id));
	*ret = proto_view(id);
	return OK;
}

enum err answer_list_item(struct call *call, struct mcall *mc, struct bytes bucket,
			  int32_t placement, struct bytes prefix, const struct include *include,
			  const struct object *o, bool is_latest, Metainfo__ObjectListItem *ret)
{
	struct arena *a = mc->a;
	struct shown shown = what_to_show(include, o);

	ret->encrypted_object_key = proto_view(o->key);
	ret->status = (Metainfo__Object__Status)o->status;
	if (o->status == OBJECT_PREFIX)
		return OK;
	if (include->version) {
		TRY_PLAIN(object_version(call, mc, o, &ret->object_version));
		ret->is_latest = is_latest;
	}
	if (include->system) {
		ret->created_at = proto_time_new(a, o->created_ns);
		ret->expires_at = proto_time_new(a, o->expires_ns);
		ret->plain_size = o->plain_size;
	}
	if (shown.key) {
		ret->encrypted_metadata_nonce = proto_view(o->data.nonce);
		ret->encrypted_metadata_encrypted_key = proto_view(o->data.key);
		TRY_PLAIN(
			item_metadata(call, a, include, o, shown.custom, &ret->encrypted_metadata));
	}
	if (shown.etag)
		ret->encrypted_etag = proto_view(o->data.etag);
	if (include->checksum) {
		ret->checksum_algorithm =
			(Metainfo__ObjectChecksumAlgorithm)o->data.checksum_algorithm;
		ret->is_checksum_composite = o->data.checksum_composite;
		ret->encrypted_checksum = proto_view(o->data.checksum);
	}
	if (o->status == OBJECT_PENDING)
		return item_stream(call, mc, bucket, placement, prefix, o, &ret->stream_id);
	return OK;
}
