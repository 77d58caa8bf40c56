/* Access grants as JSON. */
#include "client/access_inspect.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "crypto/hash.h"

enum { TEXT_MAX = 64 << 10 };

static void add_name(struct buf *out, const char *name)
{
	text_add_json(out, bytes_str(name));
	buf_add_str(out, ": ");
}

static void add_encoded(struct buf *out, const char *name, struct bytes v,
			void (*encode)(struct buf *, struct bytes))
{
	struct buf text AUTO_BUF = BUF_INIT(TEXT_MAX);

	encode(&text, v);
	add_name(out, name);
	text_add_json(out, buf_bytes(&text));
}

static void add_flag(struct buf *out, const char *name, bool set)
{
	if (!set)
		return;
	buf_add_str(out, ", ");
	add_name(out, name);
	buf_add_str(out, "true");
}

static void add_time(struct buf *out, const char *name, bool has, int64_t ns)
{
	if (!has)
		return;
	buf_add_str(out, ", ");
	add_name(out, name);
	buf_add_str(out, "\"");
	text_add_time(out, ns, false);
	buf_add_str(out, "\"");
}

static void add_paths(struct buf *out, const struct caveat *c)
{
	if (!c->paths_count)
		return;
	buf_add_str(out, ", \"allowed_paths\": [");
	for (size_t i = 0; i < c->paths_count; i++) {
		buf_add_str(out, i ? ", {\"bucket\": " : "{\"bucket\": ");
		text_add_json(out, c->paths[i].bucket);
		buf_add_str(out, ", ");
		add_encoded(out, "encrypted_prefix", c->paths[i].prefix, text_base64url);
		buf_add_str(out, "}");
	}
	buf_add_str(out, "]");
}

static void add_limits(struct buf *out, const struct caveat_limits *l)
{
	const struct {
		const char *name;
		int64_t value;
	} numbers[] = { { "storage_bytes", l->storage },
			{ "egress_bytes", l->egress },
			{ "downloads", l->downloads },
			{ "spend_micro_dollars", l->spend } };

	buf_printf(out, ", \"limits\": {\"monthly\": %s", l->monthly ? "true" : "false");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i].value >= 0)
			buf_printf(out, ", \"%s\": %lld", numbers[i].name,
				   (long long)numbers[i].value);
	buf_add_str(out, "}");
}

static void add_caveat(struct buf *out, const struct caveat *c)
{
	buf_add_str(out, "{");
	add_encoded(out, "nonce", c->nonce, text_hex);
	add_flag(out, "disallow_reads", c->disallow_reads);
	add_flag(out, "disallow_writes", c->disallow_writes);
	add_flag(out, "disallow_lists", c->disallow_lists);
	add_flag(out, "disallow_deletes", c->disallow_deletes);
	add_flag(out, "disallow_locks", c->disallow_locks);
	add_flag(out, "disallow_put_retention", c->disallow_put_retention);
	add_flag(out, "disallow_get_retention", c->disallow_get_retention);
	add_flag(out, "disallow_put_legal_hold", c->disallow_put_legal_hold);
	add_flag(out, "disallow_get_legal_hold", c->disallow_get_legal_hold);
	add_flag(out, "disallow_bypass_governance_retention", c->disallow_bypass_governance);
	add_flag(out, "disallow_put_bucket_object_lock_configuration",
		 c->disallow_put_bucket_lock_config);
	add_flag(out, "disallow_get_bucket_object_lock_configuration",
		 c->disallow_get_bucket_lock_config);
	add_flag(out, "disallow_put_bucket_notification_configuration",
		 c->disallow_put_bucket_notification);
	add_flag(out, "disallow_get_bucket_notification_configuration",
		 c->disallow_get_bucket_notification);
	add_time(out, "not_before", c->has_not_before, c->not_before_ns);
	add_time(out, "not_after", c->has_not_after, c->not_after_ns);
	if (c->has_ttl)
		buf_printf(out, ", \"max_object_ttl_seconds\": %lld",
			   (long long)(c->ttl_ns / NS_PER_SEC));
	add_paths(out, c);
	if (c->has_limits)
		add_limits(out, &c->limits);
	buf_add_str(out, "}");
}

static enum err add_key(struct call *call, struct buf *out, const struct macaroon *m)
{
	struct arena a AUTO(arena_free) = { 0 };
	uint8_t hash[HASH_BYTES];

	buf_add_str(out, ", \"api_key\": {");
	add_encoded(out, "head", m->head, text_hex);
	/* The tail is what makes a key valid; its hash tells two keys apart. */
	hash_sha256(BYTES_OF(m->tail), hash);
	buf_add_str(out, ", ");
	add_encoded(out, "tail_sha256", BYTES_OF(hash), text_hex);
	buf_add_str(out, ", \"caveats\": [");
	for (size_t i = 0; i < m->caveats_count; i++) {
		struct caveat c;
		TRY(caveat_decode(call, &a, m->caveats[i], &c), "caveat %zu", i);
		if (i)
			buf_add_str(out, ", ");
		add_caveat(out, &c);
	}
	buf_add_str(out, "]}");
	return OK;
}

static const char *cipher_name(enum cipher c)
{
	switch (c) {
	case CIPHER_NULL:
		return "none";
	case CIPHER_AESGCM:
		return "aes-gcm";
	case CIPHER_SECRETBOX:
		return "secretbox";
	case CIPHER_NULL_BASE64URL:
		return "none-base64url";
	case CIPHER_UNSPECIFIED:
		break;
	}
	return "unspecified";
}

static void add_store(struct buf *out, const struct store *s)
{
	buf_printf(out,
		   ", \"encryption\": {\"default_key\": %s, \"default_path_cipher\": \"%s\", "
		   "\"prefixes\": [",
		   s->has_default ? "true" : "false", cipher_name(s->default_cipher));
	for (size_t i = 0; i < s->count; i++) {
		const struct store_entry *e = &s->entries[i];
		buf_add_str(out, i ? ", {\"bucket\": " : "{\"bucket\": ");
		text_add_json(out, e->bucket);
		buf_add_str(out, ", \"prefix\": ");
		text_add_json(out, e->plain);
		buf_add_str(out, ", ");
		add_encoded(out, "encrypted_prefix", e->encrypted, text_base64url);
		buf_printf(out, ", \"path_cipher\": \"%s\"}", cipher_name(e->path_cipher));
	}
	buf_add_str(out, "]}");
}

enum err access_inspect(struct call *call, struct buf *out, const struct grant *g)
{
	buf_add_str(out, "{\"satellite\": ");
	text_add_json(out, bytes_str(g->satellite));
	TRY_PLAIN(add_key(call, out, &g->key));
	add_store(out, &g->store);
	buf_add_str(out, "}");
	return OK;
}
