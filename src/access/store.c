/* The encryption store: which keys a grant holds, for which paths (access.md 2.1). */
#include "access/store.h"

#include "crypto/hash.h"

void derive_key(const struct secret_key *key, struct bytes message, struct secret_key *ret)
{
	uint8_t mac[64];

	hmac_sha512(BYTES_OF(key->b), message, mac);
	memcpy(ret->b, mac, SECRET_KEY_BYTES);
	secret_wipe(mac, sizeof(mac));
}

void derive_component(struct secret_key *key, struct bytes component)
{
	struct bytes parts[] = { bytes_str("path:"), component };
	uint8_t mac[64];

	hmac_sha512_parts(BYTES_OF(key->b), parts, 2, mac);
	memcpy(key->b, mac, SECRET_KEY_BYTES);
	secret_wipe(mac, sizeof(mac));
}

bool path_iter_next(struct path_iter *it, struct bytes *ret_component)
{
	if (!it->more)
		return false;
	const uint8_t *slash = it->rest.len ? memchr(it->rest.data, '/', it->rest.len) : NULL;
	size_t len = slash ? (size_t)(slash - it->rest.data) : it->rest.len;
	*ret_component = BYTES(it->rest.data, len);
	it->more = slash != NULL;
	it->rest = bytes_from(it->rest, slash ? len + 1 : len);
	return true;
}

/* Whether the entry is at the path or above it, component by component. */
static bool covers(struct bytes entry, struct bytes path, struct path_iter *ret_remaining)
{
	if (entry.len == 0) {
		*ret_remaining = path_iter(path);
		return true;
	}
	if (!bytes_has_prefix(path, entry))
		return false;
	if (path.len == entry.len) {
		*ret_remaining = (struct path_iter){ BYTES_NONE, false };
		return true;
	}
	if (path.data[entry.len] != '/')
		return false;
	*ret_remaining = (struct path_iter){ bytes_from(path, entry.len + 1), true };
	return true;
}

static struct bytes entry_side(const struct store_entry *entry, enum side side)
{
	return side == SIDE_PLAIN ? entry->plain : entry->encrypted;
}

enum err store_lookup(struct call *call, const struct store *s, struct bytes bucket,
		      struct bytes path, enum side side, struct store_base *ret)
{
	const struct store_entry *best = NULL;
	struct path_iter remaining, at_best = { BYTES_NONE, false };

	for (size_t i = 0; i < s->count; i++) {
		const struct store_entry *e = &s->entries[i];
		if (!bytes_equal(e->bucket, bucket) ||
		    !covers(entry_side(e, side), path, &remaining))
			continue;
		if (best && entry_side(e, side).len <= entry_side(best, side).len)
			continue;
		best = e;
		at_best = remaining;
	}
	if (best) {
		*ret = (struct store_base){ best->key, best->path_cipher, best->plain,
					    best->encrypted, at_best };
		return OK;
	}
	if (!s->has_default)
		return call_fail(call, ERR_PERMISSION,
				 "this access has no key for that place in bucket \"%.*s\"",
				 (int)(bucket.len < 64 ? bucket.len : 64),
				 bucket.data ? (const char *)bucket.data : "");
	*ret = (struct store_base){ .key = s->default_key,
				    .cipher = s->default_cipher,
				    .remaining = path_iter(path) };
	derive_component(&ret->key, bucket);
	return OK;
}

void store_base_wipe(struct store_base *base)
{
	secret_key_wipe(&base->key);
}

/* Two mappings agree when, from the root on, plain components are equal exactly where encrypted
 * ones are, up to the first that differs. */
static bool conflict(const struct store_entry *a, const struct store_entry *b)
{
	struct path_iter plain[2] = { path_iter(a->plain), path_iter(b->plain) };
	struct path_iter encrypted[2] = { path_iter(a->encrypted), path_iter(b->encrypted) };
	struct bytes p[2], e[2];

	while (path_iter_next(&plain[0], &p[0]) && path_iter_next(&plain[1], &p[1]) &&
	       path_iter_next(&encrypted[0], &e[0]) && path_iter_next(&encrypted[1], &e[1])) {
		bool same = bytes_equal(p[0], p[1]);
		if (same != bytes_equal(e[0], e[1]))
			return true;
		if (!same)
			return false;
	}
	return false;
}

static size_t count_components(struct bytes path)
{
	struct path_iter it = path_iter(path);
	struct bytes component;
	size_t n = 0;

	while (path_iter_next(&it, &component))
		n++;
	return n;
}

static bool copy_bytes(struct arena *a, struct bytes v, struct bytes *ret)
{
	*ret = arena_bytes(a, v);
	return ret->len == v.len;
}

/* Room for one more. */
static bool grow(struct arena *a, struct store *s)
{
	if (s->count < s->cap)
		return true;
	size_t cap = s->count ? s->count * 2 : 1;
	struct store_entry *entries = arena_array(a, cap, sizeof(*entries));
	if (!entries)
		return false;
	if (s->count)
		memcpy(entries, s->entries, s->count * sizeof(*entries));
	if (s->cap)
		secret_wipe(s->entries, s->count * sizeof(*entries));
	s->entries = entries;
	s->cap = cap;
	return true;
}

void store_wipe(struct store *s)
{
	secret_key_wipe(&s->default_key);
	if (s->count)
		secret_wipe(s->entries, s->count * sizeof(*s->entries));
	*s = (struct store){ 0 };
}

enum err store_add(struct call *call, struct arena *a, struct store *s,
		   const struct store_entry *entry)
{
	struct store_entry copy = *entry;

	if (count_components(entry->plain) != count_components(entry->encrypted))
		return call_fail(
			call, ERR_INVALID,
			"a plain and an encrypted path differ in their number of components");
	for (size_t i = 0; i < s->count; i++) {
		struct store_entry *e = &s->entries[i];
		if (!bytes_equal(e->bucket, entry->bucket))
			continue;
		if (conflict(e, entry))
			return call_fail(call, ERR_INVALID, "conflicting keys for one path");
		if (bytes_equal(e->plain, entry->plain)) {
			e->key = entry->key;
			e->path_cipher = entry->path_cipher;
			return OK;
		}
	}
	if (!copy_bytes(a, entry->bucket, &copy.bucket) ||
	    !copy_bytes(a, entry->plain, &copy.plain) ||
	    !copy_bytes(a, entry->encrypted, &copy.encrypted) || !grow(a, s))
		return call_fail(call, ERR_NO_MEMORY, "no memory for the keys of an access grant");
	s->entries[s->count++] = copy;
	return OK;
}
