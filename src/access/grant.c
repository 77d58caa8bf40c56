/* Access grants: text, keys, sharing (access.md 2, 3). */
#include "access/grant.h"

#include "base/cleanup.h"
#include "base/wire.h"
#include "crypto/base58check.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "os/random.h"

enum { NONCE_BYTES = 4, LANES_PROJECT = 8, LANES_APPLICATION = 1, SATELLITE_MAX = 4096 };

#define AUTO_STORE AUTO(store_wipe)

void grant_wipe(struct grant *g)
{
	store_wipe(&g->store);
}

/* --- what the key leaves of the store (access.md 3.3) --- */

/* The allowed paths of one caveat that has any. */
struct group {
	const struct allowed_path *paths;
	size_t count;
};

static bool group_allows(const struct group *g, const struct allowed_path *path)
{
	for (size_t i = 0; i < g->count; i++) {
		if (bytes_equal(path->bucket, g->paths[i].bucket) &&
		    bytes_has_prefix(path->prefix, g->paths[i].prefix))
			return true;
	}
	return false;
}

static bool all_allow(const struct group *groups, size_t count, const struct allowed_path *path)
{
	for (size_t i = 0; i < count; i++) {
		if (!group_allows(&groups[i], path))
			return false;
	}
	return true;
}

static enum err read_groups(struct call *call, struct arena *a, const struct macaroon *key,
			    struct group **ret, size_t *ret_count)
{
	struct group *groups = arena_array(a, key->caveats_count, sizeof(*groups));
	size_t count = 0;

	if (!groups)
		return call_fail(call, ERR_NO_MEMORY, "no memory for an access grant");
	for (size_t i = 0; i < key->caveats_count; i++) {
		struct caveat c;
		TRY_PLAIN(caveat_decode(call, a, key->caveats[i], &c));
		if (c.paths_count)
			groups[count++] = (struct group){ c.paths, c.paths_count };
	}
	*ret = groups;
	*ret_count = count;
	return OK;
}

/* Plain path, key and cipher of one allowed place, as the old store knows them. */
static enum err add_place(struct call *call, struct arena *a, const struct store *old,
			  const struct allowed_path *path, struct store *store)
{
	struct buf plain AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
	struct store_entry entry = { .bucket = path->bucket, .encrypted = path->prefix };

	TRY_PLAIN(path_decrypt(call, old, path->bucket, path->prefix, &plain));
	entry.plain = buf_bytes(&plain);
	enum err e = path_key(call, old, path->bucket, entry.plain, &entry.key);
	if (e == OK)
		e = path_cipher_at(call, old, path->bucket, entry.plain, &entry.path_cipher);
	if (e == OK)
		e = store_add(call, a, store, &entry);
	secret_key_wipe(&entry.key);
	return e;
}

/* A new store for what every group allows; `old` stays as it is.  Places that cannot be decrypted
 * are left out: the grant is valid, and of no use there. */
static enum err limit_places(struct call *call, struct arena *a, const struct store *old,
			     const struct group *groups, size_t count, struct store *ret)
{
	struct store store = { .default_cipher = old->default_cipher };

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < groups[i].count; j++) {
			if (!all_allow(groups, count, &groups[i].paths[j]))
				continue;
			enum err e = add_place(call, a, old, &groups[i].paths[j], &store);
			if (e == ERR_NO_MEMORY) {
				store_wipe(&store);
				return e;
			}
			if (e != OK)
				call_clear_error(call);
		}
	}
	*ret = store;
	return OK;
}

/* Replaces the store by what the key allows of it, wiping the rest. */
static enum err limit_store(struct call *call, struct arena *a, const struct macaroon *key,
			    struct store *s)
{
	struct group *groups = NULL;
	size_t count = 0;
	struct store limited = { 0 };
	enum err e = read_groups(call, a, key, &groups, &count);

	if (e == ERR_NO_MEMORY)
		return e;
	if (e == OK && count == 0)
		return OK;
	if (e == OK)
		TRY_PLAIN(limit_places(call, a, s, groups, count, &limited));
	else
		call_clear_error(call); /* a key nobody will honour: no keys to go with it */
	store_wipe(s);
	*s = limited;
	return OK;
}

/* --- text --- */

static bool take_key(struct bytes v, struct secret_key *ret)
{
	if (v.len != SECRET_KEY_BYTES)
		return false;
	memcpy(ret->b, v.data, SECRET_KEY_BYTES);
	return true;
}

static enum err malformed(struct call *call, const char *what)
{
	return call_fail(call, ERR_FORMAT, "malformed access grant: %s", what);
}

static enum err parse_entry(struct call *call, struct arena *a, struct bytes body, struct store *s)
{
	struct wire w = wire_read(body);
	struct wire_field f;
	struct store_entry entry = { 0 };
	struct bytes key = BYTES_NONE;

	while (wire_field(&w, &f)) {
		if (f.number > 6)
			continue;
		if (f.type != (f.number == 5 ? WIRE_VARINT : WIRE_BYTES))
			return malformed(call, "bad entry");
		switch (f.number) {
		case 1:
			entry.bucket = f.bytes;
			break;
		case 2:
			entry.plain = f.bytes;
			break;
		case 3:
			entry.encrypted = f.bytes;
			break;
		case 4:
			key = f.bytes;
			break;
		case 5:
			entry.path_cipher = (enum cipher)(int32_t)f.value;
			break;
		case 6:
			break; /* encryption parameters, of no use to anybody */
		}
	}
	if (!wire_ok(&w) || !take_key(key, &entry.key))
		return malformed(call, "bad entry");
	enum err e = store_add(call, a, s, &entry);
	secret_key_wipe(&entry.key);
	return e;
}

static enum err parse_encryption(struct call *call, struct arena *a, struct bytes body,
				 struct store *s)
{
	struct wire w = wire_read(body);
	struct wire_field f;

	while (wire_field(&w, &f)) {
		if (f.number > 4)
			continue;
		if (f.type != (f.number == 3 ? WIRE_VARINT : WIRE_BYTES))
			return malformed(call, "bad encryption part");
		if (f.number == 1) {
			s->has_default = f.bytes.len > 0;
			if (s->has_default && !take_key(f.bytes, &s->default_key))
				return malformed(call, "bad default key");
		} else if (f.number == 2) {
			TRY_PLAIN(parse_entry(call, a, f.bytes, s));
		} else if (f.number == 3) {
			s->default_cipher = (enum cipher)(int32_t)f.value;
		}
	}
	return wire_ok(&w) ? OK : malformed(call, "bad encryption part");
}

struct scope {
	struct bytes satellite;
	struct bytes key;
	struct bytes encryption;
	bool has_encryption;
};

static bool parse_scope(struct bytes body, struct scope *s)
{
	struct wire w = wire_read(body);
	struct wire_field f;

	while (wire_field(&w, &f)) {
		if (f.number > 3)
			continue;
		if (f.type != WIRE_BYTES)
			return false;
		if (f.number == 1)
			s->satellite = f.bytes;
		else if (f.number == 2)
			s->key = f.bytes;
		else
			s->encryption = f.bytes;
		s->has_encryption = s->has_encryption || f.number == 3;
	}
	return wire_ok(&w);
}

static enum err parse_binary(struct call *call, struct arena *a, struct bytes binary,
			     struct grant *g)
{
	struct scope scope = { 0 };

	if (macaroon_parse(call, a, binary, &g->key) == OK)
		return call_fail(call, ERR_FORMAT,
				 "this is an API key, not an access grant: a passphrase is needed "
				 "to make one of it");
	call_clear_error(call);
	if (!parse_scope(binary, &scope))
		return call_fail(call, ERR_FORMAT, "this is not an access grant");
	if (!scope.satellite.len || scope.satellite.len > SATELLITE_MAX ||
	    memchr(scope.satellite.data, 0, scope.satellite.len))
		return malformed(call, "no satellite address");
	g->satellite = arena_str(a, scope.satellite);
	if (!g->satellite)
		return call_fail(call, ERR_NO_MEMORY, "no memory for an access grant");
	TRY(macaroon_parse(call, a, scope.key, &g->key), "malformed access grant");
	if (!scope.has_encryption)
		return malformed(call, "no encryption part");
	TRY_PLAIN(parse_encryption(call, a, scope.encryption, &g->store));
	/* Grants older than this field. */
	if (g->store.default_cipher == CIPHER_UNSPECIFIED)
		g->store.default_cipher = CIPHER_AESGCM;
	return limit_store(call, a, &g->key, &g->store);
}

/* Copying from a terminal or a mail brings spaces and newlines along. */
static struct bytes trimmed(struct bytes text)
{
	static const char space[] = " \t\r\n";

	while (text.len && memchr(space, text.data[0], sizeof(space) - 1))
		text = bytes_from(text, 1);
	while (text.len && memchr(space, text.data[text.len - 1], sizeof(space) - 1))
		text.len--;
	return text;
}

enum err grant_parse(struct call *call, struct arena *a, struct bytes text, struct grant *ret)
{
	struct buf binary AUTO_SECRET_BUF = BUF_INIT(GRANT_TEXT_MAX);
	struct grant g = { 0 };
	uint8_t version;

	text = trimmed(text);
	if (!text.len)
		return call_fail(call, ERR_FORMAT, "the access grant is empty");
	if (text.len > GRANT_TEXT_MAX)
		return call_fail(call, ERR_FORMAT,
				 "this access grant of %zu characters is too long", text.len);
	enum err e = base58check_decode(text, &version, &binary);
	if (e == ERR_NO_MEMORY)
		return call_fail(call, e, "no memory for an access grant");
	if (e != OK)
		return call_fail(call, ERR_FORMAT,
				 "this access grant is incomplete: it was cut short or mistyped");
	if (version != 0)
		return call_fail(call, ERR_FORMAT, "this is not an access grant");
	e = parse_binary(call, a, buf_bytes(&binary), &g);
	if (e != OK) {
		grant_wipe(&g);
		return e;
	}
	*ret = g;
	return OK;
}

static void add_nonempty(struct buf *out, uint32_t number, struct bytes v)
{
	if (v.len)
		buf_add_field_bytes(out, number, v);
}

static void add_cipher(struct buf *out, uint32_t number, enum cipher cipher)
{
	if (cipher)
		buf_add_field_varint(out, number, (uint64_t)(int64_t)cipher);
}

static void add_entry(struct buf *out, const struct store_entry *e)
{
	struct buf body AUTO_SECRET_BUF = BUF_INIT(GRANT_TEXT_MAX);

	add_nonempty(&body, 1, e->bucket);
	add_nonempty(&body, 2, e->plain);
	add_nonempty(&body, 3, e->encrypted);
	buf_add_field_bytes(&body, 4, BYTES_OF(e->key.b));
	add_cipher(&body, 5, e->path_cipher);
	out->failed = out->failed || body.failed;
	buf_add_field_bytes(out, 2, buf_bytes(&body));
}

enum err grant_add_text(struct call *call, struct buf *out, const struct grant *g)
{
	struct buf encryption AUTO_SECRET_BUF = BUF_INIT(GRANT_TEXT_MAX);
	struct buf key AUTO_SECRET_BUF = BUF_INIT(MACAROON_BYTES_MAX);
	struct buf scope AUTO_SECRET_BUF = BUF_INIT(GRANT_TEXT_MAX);
	const struct store *s = &g->store;

	if (!g->satellite || !g->satellite[0])
		return call_fail(call, ERR_INVALID, "the access grant has no satellite address");
	if (s->has_default)
		buf_add_field_bytes(&encryption, 1, BYTES_OF(s->default_key.b));
	for (size_t i = 0; i < s->count; i++)
		add_entry(&encryption, &s->entries[i]);
	add_cipher(&encryption, 3, s->default_cipher);
	macaroon_add_binary(&key, &g->key);
	buf_add_field_bytes(&scope, 1, bytes_str(g->satellite));
	buf_add_field_bytes(&scope, 2, buf_bytes(&key));
	buf_add_field_bytes(&scope, 3, buf_bytes(&encryption));
	size_t start = out->len;
	bool ok = !encryption.failed && !key.failed && !scope.failed &&
		  base58check_add(out, 0, buf_bytes(&scope)) == OK;
	/* Not what grant_parse would refuse. */
	if (ok && out->len - start > GRANT_TEXT_MAX) {
		out->len = start;
		ok = false;
	}
	if (!ok)
		return call_fail(call, ERR_INVALID,
				 "the access grant is too large to be written: it names too many "
				 "prefixes or has been restricted too often");
	return OK;
}

/* --- making grants --- */

static enum err derive(struct call *call, struct bytes passphrase, struct bytes salt,
		       uint32_t lanes, struct secret_key *ret)
{
	uint8_t mixed[32], salt_of_path[32];

	hmac_sha256(passphrase, salt, mixed);
	/* The path is empty: these are keys of a whole project. */
	hmac_sha256(BYTES_OF(mixed), BYTES_NONE, salt_of_path);
	enum err e = kdf_argon2id(call, passphrase, BYTES_OF(salt_of_path), lanes, ret);
	secret_wipe(mixed, sizeof(mixed));
	secret_wipe(salt_of_path, sizeof(salt_of_path));
	return e;
}

enum err grant_root_key(struct call *call, struct bytes passphrase, struct bytes project_salt,
			struct secret_key *ret)
{
	return derive(call, passphrase, project_salt, LANES_PROJECT, ret);
}

enum err grant_encryption_key(struct call *call, struct bytes passphrase, struct bytes salt,
			      struct secret_key *ret)
{
	return derive(call, passphrase, salt, LANES_APPLICATION, ret);
}

/* A deep copy, so that the new grant outlives the old one. */
static enum err copy_grant(struct call *call, struct arena *a, const char *satellite,
			   const struct macaroon *key, const struct store *s, struct grant *g)
{
	struct buf binary AUTO_SECRET_BUF = BUF_INIT(MACAROON_BYTES_MAX);

	g->satellite = arena_str(a, bytes_str(satellite));
	if (!g->satellite)
		return call_fail(call, ERR_NO_MEMORY, "no memory for an access grant");
	macaroon_add_binary(&binary, key);
	TRY(buf_status(&binary), "the API key is too large");
	TRY_PLAIN(macaroon_parse(call, a, buf_bytes(&binary), &g->key));
	g->store = (struct store){ .has_default = s->has_default,
				   .default_key = s->default_key,
				   .default_cipher = s->default_cipher };
	for (size_t i = 0; i < s->count; i++)
		TRY_PLAIN(store_add(call, a, &g->store, &s->entries[i]));
	return OK;
}

enum err grant_new(struct call *call, struct arena *a, const char *satellite,
		   const struct macaroon *key, const struct secret_key *root, bool encrypt_paths,
		   struct grant *ret)
{
	struct store s AUTO_STORE = {
		.has_default = true,
		.default_key = *root,
		.default_cipher = encrypt_paths ? CIPHER_AESGCM : CIPHER_NULL,
	};
	struct grant g = { 0 };

	if (!satellite || !satellite[0])
		return call_fail(call, ERR_INVALID, "an access grant needs a satellite address");
	enum err e = copy_grant(call, a, satellite, key, &s, &g);
	if (e == OK)
		e = limit_store(call, a, &g.key, &g.store);
	if (e != OK) {
		grant_wipe(&g);
		return e;
	}
	*ret = g;
	return OK;
}

static enum err check_permission(struct call *call, const struct grant_permission *p)
{
	bool any = p->download || p->upload || p->list || p->remove || p->lock ||
		   p->put_retention || p->get_retention || p->put_legal_hold || p->get_legal_hold ||
		   p->bypass_governance || p->put_bucket_lock_config || p->get_bucket_lock_config;

	if (!any && !p->not_before_ns && !p->not_after_ns && !p->ttl_ns)
		return call_fail(call, ERR_INVALID, "the permission is empty: nothing is allowed");
	if (p->not_before_ns && p->not_after_ns && p->not_after_ns < p->not_before_ns)
		return call_fail(call, ERR_INVALID, "the permission ends before it begins");
	if (p->ttl_ns < 0)
		return call_fail(call, ERR_INVALID, "the life of objects has to be positive");
	return OK;
}

static struct caveat caveat_of(const struct grant_permission *p, struct bytes nonce)
{
	return (struct caveat){
		.disallow_reads = !p->download,
		.disallow_writes = !p->upload,
		.disallow_lists = !p->list,
		.disallow_deletes = !p->remove,
		.disallow_locks = !p->lock,
		.disallow_put_retention = !p->lock && !p->put_retention,
		.disallow_get_retention = !p->lock && !p->get_retention,
		.disallow_put_legal_hold = !p->lock && !p->put_legal_hold,
		.disallow_get_legal_hold = !p->lock && !p->get_legal_hold,
		.disallow_bypass_governance = !p->lock && !p->bypass_governance,
		.disallow_put_bucket_lock_config = !p->lock && !p->put_bucket_lock_config,
		.disallow_get_bucket_lock_config = !p->lock && !p->get_bucket_lock_config,
		.disallow_put_bucket_notification = true,
		.disallow_get_bucket_notification = true,
		.has_not_before = p->not_before_ns != 0,
		.has_not_after = p->not_after_ns != 0,
		.has_ttl = p->ttl_ns != 0,
		.not_before_ns = p->not_before_ns,
		.not_after_ns = p->not_after_ns,
		.ttl_ns = p->ttl_ns,
		.nonce = nonce,
	};
}

/* One slash at the end is dropped, or the shared place would be below an empty component. */
static struct bytes without_slash(struct bytes path)
{
	if (path.len && path.data[path.len - 1] == '/')
		path.len--;
	return path;
}

static enum err encrypt_prefixes(struct call *call, struct arena *a, const struct store *s,
				 const struct grant_prefix *prefixes, size_t count,
				 struct caveat *c)
{
	struct allowed_path *paths = arena_array(a, count, sizeof(*paths));

	if (!paths)
		return call_fail(call, ERR_NO_MEMORY, "no memory for the shared prefixes");
	for (size_t i = 0; i < count; i++) {
		struct buf encrypted AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
		TRY(path_encrypt(call, s, prefixes[i].bucket, without_slash(prefixes[i].prefix),
				 &encrypted),
		    "sharing a prefix");
		paths[i].bucket = prefixes[i].bucket;
		paths[i].prefix = arena_bytes(a, buf_bytes(&encrypted));
		if (paths[i].prefix.len != encrypted.len)
			return call_fail(call, ERR_NO_MEMORY, "no memory for the shared prefixes");
	}
	c->paths = paths;
	c->paths_count = count;
	return OK;
}

static enum err restrict_copy(struct call *call, struct arena *a, struct grant *g,
			      const struct caveat *c)
{
	struct buf wire AUTO_BUF = BUF_INIT(MACAROON_BYTES_MAX);

	caveat_encode(&wire, c);
	if (wire.failed)
		return call_fail(call, ERR_INVALID, "too many prefixes to share at once");
	TRY_PLAIN(macaroon_restrict(call, a, &g->key, buf_bytes(&wire)));
	return limit_store(call, a, &g->key, &g->store);
}

enum err grant_restrict(struct call *call, struct arena *a, const struct grant *g,
			const struct grant_permission *permission,
			const struct grant_prefix *prefixes, size_t count, struct grant *ret)
{
	uint8_t nonce[NONCE_BYTES];
	struct grant r = { 0 };

	TRY_PLAIN(check_permission(call, permission));
	os_random(nonce, sizeof(nonce));
	struct caveat c = caveat_of(permission, BYTES_OF(nonce));
	TRY_PLAIN(encrypt_prefixes(call, a, &g->store, prefixes, count, &c));
	enum err e = copy_grant(call, a, g->satellite, &g->key, &g->store, &r);
	if (e == OK)
		e = restrict_copy(call, a, &r, &c);
	if (e != OK) {
		grant_wipe(&r);
		return e;
	}
	*ret = r;
	return OK;
}

enum err grant_limit(struct call *call, struct arena *a, const struct grant *g,
		     const struct caveat_limits *limits, struct grant *ret)
{
	uint8_t nonce[NONCE_BYTES];
	struct caveat c = { .has_limits = true, .limits = *limits, .nonce = BYTES_OF(nonce) };
	struct grant r = { 0 };

	/* Two grants with the same limits are two: each is counted for itself. */
	os_random(nonce, sizeof(nonce));
	enum err e = copy_grant(call, a, g->satellite, &g->key, &g->store, &r);
	if (e == OK)
		e = restrict_copy(call, a, &r, &c);
	if (e != OK) {
		grant_wipe(&r);
		return e;
	}
	*ret = r;
	return OK;
}

enum err grant_override_key(struct call *call, struct arena *a, struct grant *g,
			    struct bytes bucket, struct bytes prefix, const struct secret_key *key)
{
	struct buf encrypted AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);

	if (!prefix.len || prefix.data[prefix.len - 1] != '/')
		return call_fail(call, ERR_INVALID, "a prefix with a key of its own ends with '/'");
	prefix = without_slash(prefix);
	TRY_PLAIN(path_encrypt(call, &g->store, bucket, prefix, &encrypted));
	struct store_entry entry = { bucket, prefix, buf_bytes(&encrypted), *key,
				     g->store.default_cipher };
	enum err e = store_add(call, a, &g->store, &entry);
	secret_key_wipe(&entry.key);
	return e;
}
