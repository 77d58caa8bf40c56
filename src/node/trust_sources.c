/* Lists of satellites. */
#include "node/trust_sources.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "node/trust.h"
#include "os/file.h"

enum { LIST_BYTES_MAX = 64 << 10, URLS_MAX = TRUST_SATELLITES_MAX };

/* The satellites of Storj Inc., as its node's list has them. */
static const char *const storj[] = {
	"12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S@us1.storj.io:7777",
	"12L9ZFwhzVpuEKMUNUqkaTLGzwY9G24tbiigLiXpmZWKwmcNDDs@eu1.storj.io:7777",
	"121RTSDpyNZVcEU84Ticf2L1ntiuUimbWgfATz21tuvgk3vzoA6@ap1.storj.io:7777",
	"1wFTAgs9DP5RSnCqKV1eLf6N9wtk4EAtmN5DpSxcs8EjT69tGE@saltlake.tardigrade.io:7777",
};

/* What Storj's node calls that list. */
static const char *const storj_names[] = {
	"storj",
	"https://static.storj.io/dcs-satellites",
	"https://www.storj.io/dcs-satellites",
	"https://tardigrade.io/trusted-satellites",
};

static struct bytes trim(struct bytes v)
{
	while (v.len && v.data[0] <= ' ')
		v = bytes_from(v, 1);
	while (v.len && v.data[v.len - 1] <= ' ')
		v.len--;
	return v;
}

/* The part of a node URL before and behind '@', the latter without its port. */
static struct bytes id_of(struct bytes url)
{
	const uint8_t *at = url.len ? memchr(url.data, '@', url.len) : NULL;

	return BYTES(url.data, at ? (size_t)(at - url.data) : 0);
}

static struct bytes host_of(struct bytes url)
{
	struct bytes id = id_of(url), rest = bytes_from(url, id.len ? id.len + 1 : 0);
	size_t n = rest.len;

	while (n && rest.data[n - 1] != ':')
		n--;
	return BYTES(rest.data, n ? n - 1 : rest.len);
}

/* The part up to the next comma, trimmed; moves *text behind it. */
static struct bytes take_part(struct bytes *text)
{
	const uint8_t *comma = text->len ? memchr(text->data, ',', text->len) : NULL;
	size_t n = comma ? (size_t)(comma - text->data) : text->len;
	struct bytes part = trim(BYTES(text->data, n));

	*text = bytes_from(*text, n + 1);
	return part;
}

static bool names(struct bytes exclusion, struct bytes url)
{
	/* Storj's node writes "id@" for an ID alone. */
	if (exclusion.len && exclusion.data[exclusion.len - 1] == '@')
		exclusion.len--;
	return exclusion.len &&
	       (bytes_equal(exclusion, url) || bytes_equal(exclusion, id_of(url)) ||
		bytes_equal(exclusion, host_of(url)));
}

static bool excluded(const struct param_list *exclude, struct bytes url)
{
	for (size_t i = 0; i < exclude->count; i++) {
		struct bytes text = bytes_str(exclude->items[i]);
		while (text.len)
			if (names(take_part(&text), url))
				return true;
	}
	return false;
}

static enum err add_url(struct call *call, struct arena *a, const struct param_list *exclude,
			struct bytes url, struct param_list *list)
{
	if (excluded(exclude, url))
		return OK;
	for (size_t i = 0; i < list->count; i++)
		if (id_of(url).len && bytes_equal(id_of(url), id_of(bytes_str(list->items[i]))))
			return OK;
	if (list->count == URLS_MAX)
		return call_fail(call, ERR_CONFIG, "satellite: more than %d satellites", URLS_MAX);
	const char *item = arena_str(a, url);
	if (!item)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	list->items[list->count++] = item;
	return OK;
}

static enum err add_file(struct call *call, struct arena *a, const struct param_list *exclude,
			 const char *path, struct param_list *list)
{
	AUTO_BUF struct buf text = BUF_INIT(LIST_BYTES_MAX);

	TRY(os_file_read_all(call, path, &text), "list of satellites %s", path);
	struct bytes rest = buf_bytes(&text);
	while (rest.len) {
		const uint8_t *end = memchr(rest.data, '\n', rest.len);
		size_t n = end ? (size_t)(end - rest.data) : rest.len;
		struct bytes line = trim(BYTES(rest.data, n));
		if (line.len && line.data[0] != '#')
			TRY_PLAIN(add_url(call, a, exclude, line, list));
		rest = bytes_from(rest, n + 1);
	}
	return OK;
}

static enum err add_source(struct call *call, struct arena *a, const struct param_list *exclude,
			   struct bytes source, struct param_list *list)
{
	for (size_t i = 0; i < ARRAY_LEN(storj_names); i++)
		if (bytes_equal(source, bytes_str(storj_names[i]))) {
			for (size_t j = 0; j < ARRAY_LEN(storj); j++)
				TRY_PLAIN(add_url(call, a, exclude, bytes_str(storj[j]), list));
			return OK;
		}
	if (bytes_has_prefix(source, bytes_str("https://")) ||
	    bytes_has_prefix(source, bytes_str("http://")))
		return call_fail(
			call, ERR_CONFIG,
			"satellite: \"%.*s\": this node fetches no lists; save it to a file "
			"and name the file",
			(int)MIN(source.len, 200u), (const char *)source.data);
	if (memchr(source.data, '@', source.len))
		return add_url(call, a, exclude, source, list);
	const char *path = arena_str(
		a, bytes_has_prefix(source, bytes_str("file://")) ? bytes_from(source, 7) : source);
	if (!path)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (!strchr(path, '/'))
		return call_fail(call, ERR_CONFIG,
				 "satellite: \"%s\" is no node URL (want id@host:port)", path);
	return add_file(call, a, exclude, path, list);
}

enum err trust_sources_resolve(struct call *call, struct arena *a, const struct param_list *exclude,
			       struct param_list *list)
{
	struct param_list all = *list, found = { 0 };

	if (!all.count)
		return OK;
	found.items = arena_array(a, URLS_MAX, sizeof(*found.items));
	if (!found.items)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < all.count; i++) {
		struct bytes text = bytes_str(all.items[i]);
		while (text.len) {
			struct bytes source = take_part(&text);
			if (source.len)
				TRY_PLAIN(add_source(call, a, exclude, source, &found));
		}
	}
	*list = found;
	return OK;
}
