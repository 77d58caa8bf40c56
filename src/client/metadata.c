/* Metadata: StreamMeta around encrypted StreamInfo around SerializableMeta (encryption.md 4). */
#include "client/metadata.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/random.h"
#include "proto/proto.h"
#include "proto/streams.pb-c.h"

enum { MESSAGE_MAX = 1 << 20 };

static const char content_type_key[] = "content-type";
static const struct content_nonce zero_nonce;
/* The ETag shares the key with the stream info, so it has another nonce. */
static const struct content_nonce etag_nonce = { { 1 } };

/* Length of the UTF-8 sequence at p, 0 if there is none. */
static size_t utf8_len(struct bytes v)
{
	const uint8_t *p = v.data;
	size_t n = p[0] < 0x80			 ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0	 ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	if (!n || n > v.len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond the last code point. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static bool is_text(struct bytes v)
{
	while (v.len) {
		size_t n = utf8_len(v);
		if (!n || v.data[0] == 0)
			return false;
		v = bytes_from(v, n);
	}
	return true;
}

static int compare_entries(const void *a, const void *b)
{
	const struct meta_entry *x = a, *y = b;

	return bytes_compare(x->key, y->key);
}

/* Stable, so that the later of equal keys comes later. */
static void sort_entries(struct meta_entry *e, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct meta_entry x = e[i];
		size_t j = i;
		for (; j && compare_entries(&e[j - 1], &x) > 0; j--)
			e[j] = e[j - 1];
		e[j] = x;
	}
}

enum err metadata_set(struct call *call, struct arena *a, const struct meta_entry *entries,
		      size_t count, struct metadata *ret)
{
	if (count > METADATA_ENTRIES_MAX)
		return call_fail(call, ERR_INVALID,
				 "custom metadata has %zu entries, at most %d fit", count,
				 METADATA_ENTRIES_MAX);
	struct meta_entry *copy = arena_array(a, count + 1, sizeof(*copy));
	if (!copy)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		if (!entries[i].key.len)
			return call_fail(call, ERR_INVALID, "custom metadata has an empty key");
		if (!is_text(entries[i].key) || !is_text(entries[i].value))
			return call_fail(call, ERR_INVALID,
					 "custom metadata must be UTF-8 text without zero bytes");
		copy[i].key = arena_bytes(a, entries[i].key);
		copy[i].value = arena_bytes(a, entries[i].value);
		if (!copy[i].key.data || (entries[i].value.len && !copy[i].value.data))
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	sort_entries(copy, count);
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (kept && bytes_equal(copy[kept - 1].key, copy[i].key))
			kept--;
		copy[kept++] = copy[i];
	}
	ret->entries = copy;
	ret->count = kept;
	return OK;
}

static enum err encode_info(struct call *call, const struct metadata *m, struct buf *out)
{
	Streams__StreamInfo info = STREAMS__STREAM_INFO__INIT;
	struct buf user AUTO_BUF = BUF_INIT(MESSAGE_MAX);
	struct meta meta = { .entries = m->entries, .count = m->count };

	meta_encode(&user, &meta);
	if (buf_status(&user))
		return call_fail(call, ERR_INVALID, "the custom metadata is too long");
	info.segments_size = m->segments_size;
	info.last_segment_size = m->last_segment_size;
	info.metadata = proto_view(buf_bytes(&user));
	return proto_encode(call, &info.base, out);
}

static enum err keep(struct call *call, struct arena *a, struct buf *from, struct bytes *ret)
{
	TRY_PLAIN(buf_status(from));
	*ret = arena_bytes(a, buf_bytes(from));
	if (from->len && !ret->data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

enum err metadata_seal(struct call *call, struct arena *a, enum cipher cipher,
		       const struct secret_key *object_key, const struct metadata *m,
		       struct sealed_metadata *ret)
{
	struct secret_key key AUTO(secret_key_wipe);
	struct sealed_metadata s = { 0 };
	Streams__StreamMeta outer = STREAMS__STREAM_META__INIT;
	struct buf info AUTO_BUF = BUF_INIT(MESSAGE_MAX), sealed AUTO_BUF = BUF_INIT(MESSAGE_MAX);
	struct buf wrapped AUTO_BUF = BUF_INIT(CONTENT_WRAPPED_KEY_BYTES);
	struct buf message AUTO_BUF = BUF_INIT(MESSAGE_MAX), etag AUTO_BUF = BUF_INIT(MESSAGE_MAX);

	os_random(key.b, sizeof(key.b));
	os_random(s.nonce.b, sizeof(s.nonce.b));
	TRY_PLAIN(content_wrap_key(call, cipher, object_key, &s.nonce, &key, &wrapped));
	TRY_PLAIN(encode_info(call, m, &info));
	TRY_PLAIN(content_seal(call, cipher, &key, &zero_nonce, buf_bytes(&info), &sealed));
	outer.encrypted_stream_info = proto_view(buf_bytes(&sealed));
	TRY_PLAIN(proto_encode(call, &outer.base, &message));
	TRY_PLAIN(content_seal(call, cipher, &key, &etag_nonce, m->etag, &etag));
	TRY_PLAIN(keep(call, a, &wrapped, &s.wrapped_key));
	TRY_PLAIN(keep(call, a, &message, &s.metadata));
	TRY_PLAIN(keep(call, a, &etag, &s.etag));
	*ret = s;
	return OK;
}

/* The top-level key and nonce, else those old satellites and objects have inside (encryption.md 4).
 */
static enum err find_key(struct call *call, enum cipher cipher, const struct secret_key *object_key,
			 const struct sealed_metadata *sealed, const Streams__StreamMeta *outer,
			 struct secret_key *ret)
{
	struct bytes wrapped = sealed->wrapped_key;
	struct content_nonce nonce = sealed->nonce;

	if (!wrapped.len && outer->last_segment_meta) {
		const Streams__SegmentMeta *last = outer->last_segment_meta;
		wrapped = proto_bytes(last->encrypted_key);
		if (!proto_fixed(last->key_nonce, sizeof(nonce.b), nonce.b))
			return call_fail(call, ERR_FORMAT, "nonce of a wrong length");
	}
	if (!wrapped.len)
		return call_fail(call, ERR_CRYPTO, "the object's metadata has no key");
	return content_unwrap_key(call, cipher, object_key, &nonce, wrapped, ret);
}

static enum err decode_user(struct call *call, struct arena *a, struct bytes wire,
			    struct metadata *ret)
{
	struct meta m;
	bool has_type = false;

	TRY_PLAIN(meta_decode(call, a, wire, &m));
	struct meta_entry *e = arena_array(a, m.count + 1, sizeof(*e));
	if (!e)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < m.count; i++) {
		e[i] = m.entries[i];
		has_type |= bytes_equal(e[i].key, bytes_str(content_type_key));
	}
	/* The field of old clients counts when there is no entry of that name. */
	if (!has_type && m.content_type.len)
		e[m.count++] = (struct meta_entry){ bytes_str(content_type_key), m.content_type };
	qsort(e, m.count, sizeof(*e), compare_entries);
	ret->entries = e;
	ret->count = m.count;
	return OK;
}

static enum err decode_info(struct call *call, struct arena *a, struct bytes wire,
			    struct metadata *m)
{
	Streams__StreamInfo *info;

	TRY_PLAIN(proto_decode(call, a, &streams__stream_info__descriptor, wire, &info));
	m->segments_size = MAX(info->segments_size, 0);
	m->last_segment_size = MAX(info->last_segment_size, 0);
	return decode_user(call, a, proto_bytes(info->metadata), m);
}

static enum err open_parts(struct call *call, struct arena *a, const struct secret_key *object_key,
			   const struct sealed_metadata *sealed, const Streams__StreamMeta *outer,
			   struct metadata *m)
{
	struct secret_key key AUTO(secret_key_wipe);
	struct buf plain AUTO_BUF = BUF_INIT(MESSAGE_MAX);
	enum cipher cipher = (enum cipher)outer->encryption_type;

	if (!outer->encrypted_stream_info.len && !sealed->etag.len)
		return OK;
	TRY_PLAIN(find_key(call, cipher, object_key, sealed, outer, &key));
	TRY_PLAIN(content_open(call, cipher, &key, &zero_nonce,
			       proto_bytes(outer->encrypted_stream_info), &plain));
	TRY_PLAIN(decode_info(call, a, buf_bytes(&plain), m));
	buf_clear(&plain);
	TRY_PLAIN(content_open(call, cipher, &key, &etag_nonce, sealed->etag, &plain));
	return keep(call, a, &plain, &m->etag);
}

enum err metadata_open(struct call *call, struct arena *a, const struct secret_key *object_key,
		       const struct sealed_metadata *sealed, struct metadata *ret,
		       enum cipher *ret_cipher, int32_t *ret_block)
{
	struct metadata m = { 0 };
	Streams__StreamMeta *outer;

	TRY(proto_decode(call, a, &streams__stream_meta__descriptor, sealed->metadata, &outer),
	    "object metadata");
	TRY(open_parts(call, a, object_key, sealed, outer, &m), "object metadata");
	m.segments = MAX(outer->number_of_segments, 0);
	*ret = m;
	*ret_cipher = (enum cipher)outer->encryption_type;
	*ret_block = outer->encryption_block_size;
	return OK;
}
