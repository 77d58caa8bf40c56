/* Node URLs: "[storj://]id@host:port?params" (transport.md 6). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "crypto/base58check.h"
#include "identity/identity.h"

enum { NOISE_PUB_MAX = 256 };

static bool find(struct bytes v, const char *what, size_t *ret_at)
{
	const void *p = v.data ? memmem(v.data, v.len, what, strlen(what)) : NULL;

	if (!p)
		return false;
	*ret_at = (size_t)((const uint8_t *)p - v.data);
	return true;
}

/* Letters, digits and what host names and bracketed IPv6 addresses are made of. */
static bool host_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~[]:%", c));
}

static enum err check_address(struct call *call, struct bytes address)
{
	const uint8_t *colon = address.data ? memrchr(address.data, ':', address.len) : NULL;

	for (size_t i = 0; i < address.len; i++)
		if (!host_char(address.data[i]))
			return call_fail(call, ERR_FORMAT, "bad character in address \"%.*s\"",
					 (int)address.len, (const char *)address.data);
	if (!colon)
		return OK;
	for (size_t i = (size_t)(colon - address.data) + 1; i < address.len; i++)
		if ((address.data[i] < '0' || address.data[i] > '9') && address.data[i] != ']')
			return call_fail(call, ERR_FORMAT, "bad port in address \"%.*s\"",
					 (int)address.len, (const char *)address.data);
	return OK;
}

static enum err parse_hex_u64(struct bytes text, uint64_t *ret)
{
	uint64_t v = 0;

	if (!text.len || text.len > 16)
		return ERR_FORMAT;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		unsigned d = c >= '0' && c <= '9'   ? c - '0' + 0u
			     : c >= 'a' && c <= 'f' ? c - 'a' + 10u
			     : c >= 'A' && c <= 'F' ? c - 'A' + 10u
						    : 16;
		if (d == 16)
			return ERR_FORMAT;
		v = v << 4 | d;
	}
	*ret = v;
	return OK;
}

static enum err parse_int(struct bytes text, int64_t *ret)
{
	bool minus = text.len && text.data[0] == '-';
	uint64_t v;

	TRY_PLAIN(text_u64(bytes_from(text, minus ? 1 : 0), INT64_MAX, &v));
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return OK;
}

static enum err set_param(struct arena *a, struct bytes key, struct bytes value,
			  struct node_url *url)
{
	if (!value.len)
		return OK;
	if (bytes_equal(key, bytes_str("debounce")))
		return parse_int(value, &url->debounce);
	if (bytes_equal(key, bytes_str("noise_proto")))
		return parse_int(value, &url->noise_proto);
	if (bytes_equal(key, bytes_str("f")))
		return parse_hex_u64(value, &url->features);
	if (bytes_equal(key, bytes_str("noise_pub"))) {
		AUTO_BUF struct buf pub = BUF_INIT(NOISE_PUB_MAX);
		uint8_t version;
		TRY_PLAIN(base58check_decode(value, &version, &pub));
		url->noise_pub = arena_bytes(a, buf_bytes(&pub));
		return pub.len && !url->noise_pub.data ? ERR_NO_MEMORY : OK;
	}
	return OK; /* parameters we do not know are a newer peer's */
}

static enum err parse_params(struct call *call, struct arena *a, struct bytes query,
			     struct node_url *url)
{
	while (query.len) {
		size_t end = query.len, eq;
		find(query, "&", &end);
		struct bytes pair = BYTES(query.data, end);
		query = bytes_from(query, end + 1);
		eq = pair.len;
		find(pair, "=", &eq);
		struct bytes key = BYTES(pair.data, eq);
		if (set_param(a, key, bytes_from(pair, eq + 1), url))
			return call_fail(call, ERR_FORMAT, "bad value of \"%.*s\" in node URL",
					 (int)key.len, (const char *)key.data);
	}
	return OK;
}

enum err node_url_parse(struct call *call, struct arena *a, struct bytes text, struct node_url *ret)
{
	struct node_url url = { .address = "" };
	size_t at;

	if (text.len > NODE_URL_MAX)
		return call_fail(call, ERR_FORMAT, "node URL too long (%zu bytes)", text.len);
	if (find(text, "://", &at)) {
		if (!bytes_has_prefix(text, bytes_str("storj://")))
			return call_fail(call, ERR_FORMAT,
					 "node URL \"%.*s\": unknown scheme (want storj://)",
					 (int)text.len, (const char *)text.data);
		text = bytes_from(text, at + 3);
	}
	struct bytes query = BYTES_NONE, address = text;
	if (find(address, "#", &at))
		address.len = at;
	if (find(address, "?", &at)) {
		query = bytes_from(address, at + 1);
		address.len = at;
	}
	if (find(address, "/", &at))
		address.len = at;
	const uint8_t *sign = address.data ? memrchr(address.data, '@', address.len) : NULL;
	if (sign) {
		struct bytes id = BYTES(address.data, (size_t)(sign - address.data));
		if (node_id_parse(id, &url.id))
			return call_fail(call, ERR_FORMAT, "bad node ID \"%.*s\" in node URL",
					 (int)MIN(id.len, (size_t)80), (const char *)id.data);
		url.has_id = true;
		address = bytes_from(address, id.len + 1);
	}
	TRY_PLAIN(check_address(call, address));
	if (address.len && !(url.address = arena_str(a, address)))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(parse_params(call, a, query, &url));
	*ret = url;
	return OK;
}

void node_url_add(struct buf *out, const struct node_url *url)
{
	const char *delim = "?";
	char id[NODE_ID_TEXT_MAX];

	if (!node_id_is_zero(&url->id)) {
		node_id_text(&url->id, id);
		buf_printf(out, "%s@", id);
	}
	buf_add_str(out, url->address);
	if (url->debounce > 0) {
		buf_printf(out, "%sdebounce=%lld", delim, (long long)url->debounce);
		delim = "&";
	}
	if (url->features) {
		buf_printf(out, "%sf=%llx", delim, (unsigned long long)url->features);
		delim = "&";
	}
	if (url->noise_proto) {
		buf_printf(out, "%snoise_proto=%lld", delim, (long long)url->noise_proto);
		delim = "&";
	}
	if (url->noise_pub.len) {
		buf_printf(out, "%snoise_pub=", delim);
		if (base58check_add(out, 0, url->noise_pub))
			out->failed = true;
	}
}
