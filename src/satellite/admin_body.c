/* Requests of the API taken apart: the path by a route's pattern, the body by its fields. */
#include <jansson.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "satellite/admin_internal.h"

enum { SEGMENT_BYTES_MAX = 1024, MICRO_PER_DOLLAR = 1000000 };
/* As the commands take money. */
#define MICRO_MAX INT64_C(100000000000000000)

static const char **option_text(struct admin_call *ac, size_t offset)
{
	return (const char **)((char *)&ac->c.o + offset);
}

/* ---- the path ---- */

/* Takes the next segment off the front of *at, which begins with '/'. */
static struct bytes next_segment(const char **at)
{
	const char *start = *at + 1, *end = strchr(start, '/');
	size_t n = end ? (size_t)(end - start) : strlen(start);

	*at = start + n;
	return BYTES(start, n);
}

static enum err set_name(struct admin_call *ac, struct bytes name, struct bytes value)
{
	AUTO_BUF struct buf text = BUF_INIT(SEGMENT_BYTES_MAX);

	if (!value.len || http_unescape(value, &text))
		return call_fail(ac->c.call, ERR_INVALID, "the path is malformed");
	for (size_t i = 0; i < admin_path_names_count; i++) {
		const char *s = arena_str(&ac->c.call->scratch, buf_bytes(&text));
		if (!s)
			return call_fail(ac->c.call, ERR_NO_MEMORY, "out of memory");
		if (bytes_equal(bytes_str(admin_path_names[i].name), name))
			*option_text(ac, admin_path_names[i].offset) = s;
	}
	return OK;
}

bool admin_path_matches(const char *pattern, const char *path)
{
	while (*pattern && *path) {
		struct bytes p = next_segment(&pattern), s = next_segment(&path);
		if (!(p.len && p.data[0] == '{') && !bytes_equal(p, s))
			return false;
	}
	return !*pattern && !*path;
}

enum err admin_read_path(struct admin_call *ac, const char *pattern, const char *path)
{
	while (*pattern && *path) {
		struct bytes p = next_segment(&pattern), s = next_segment(&path);
		if (p.len && p.data[0] == '{')
			TRY_PLAIN(set_name(ac, p, s));
	}
	return OK;
}

/* ---- the body ---- */

/* jansson takes nested values by recursion; all bodies here are flat. */
static bool is_flat(struct bytes text)
{
	bool in_string = false;
	unsigned open = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			open++;
	}
	return open <= 1;
}

static enum err set_text(struct admin_call *ac, const struct admin_field *f, const char *text)
{
	if (!text)
		return call_fail(ac->c.call, ERR_NO_MEMORY, "out of memory");
	*option_text(ac, f->offset) = text;
	return OK;
}

static enum err set_number(struct admin_call *ac, const struct admin_field *f, const json_t *v)
{
	struct arena *a = &ac->c.call->scratch;
	long long n = json_is_integer(v) ? json_integer_value(v) : -1;

	if (n < 0 || (f->kind == FIELD_MICRO && n > MICRO_MAX))
		return call_fail(
			ac->c.call, ERR_INVALID, "\"%s\" is no number from 0 to %lld", f->name,
			f->kind == FIELD_MICRO ? (long long)MICRO_MAX : (long long)INT64_MAX);
	return set_text(
		ac, f,
		f->kind == FIELD_MICRO
			? arena_printf(a, "%lld.%06lld", n / MICRO_PER_DOLLAR, n % MICRO_PER_DOLLAR)
			: arena_printf(a, "%lld", n));
}

static enum err set_field(struct admin_call *ac, const struct admin_field *f, const json_t *v)
{
	struct call *call = ac->c.call;
	void *at = (char *)&ac->c.o + f->offset;

	if (json_is_null(v) && f->null_text)
		return set_text(ac, f, f->null_text);
	switch (f->kind) {
	case FIELD_TEXT:
		if (!json_is_string(v))
			return call_fail(call, ERR_INVALID, "\"%s\" is no text", f->name);
		return set_text(ac, f, arena_str(&call->scratch, bytes_str(json_string_value(v))));
	case FIELD_COUNT:
	case FIELD_MICRO:
		return set_number(ac, f, v);
	case FIELD_NUMBER:
		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    (uint64_t)json_integer_value(v) > f->max)
			return call_fail(call, ERR_INVALID, "\"%s\" is no number from 0 to %llu",
					 f->name, (unsigned long long)f->max);
		*(uint64_t *)at = (uint64_t)json_integer_value(v);
		return OK;
	case FIELD_BOOL:
	case FIELD_CHOICE:
		break;
	}
	if (!json_is_boolean(v))
		return call_fail(call, ERR_INVALID, "\"%s\" is neither true nor false", f->name);
	if (f->kind == FIELD_BOOL)
		*(bool *)at = json_is_true(v);
	else
		*(enum param_choice *)at = json_is_true(v) ? PARAM_YES : PARAM_NO;
	return OK;
}

static const struct admin_field *find_field(const struct admin_route *r, const char *name)
{
	for (size_t i = 0; i < r->fields_count; i++)
		if (!strcmp(r->fields[i].name, name))
			return &r->fields[i];
	return NULL;
}

static enum err set_fields(struct admin_call *ac, const struct admin_route *r, json_t *root)
{
	const char *name;
	json_t *v;

	json_object_foreach(root, name, v)
	{
		const struct admin_field *f = find_field(r, name);
		if (!f)
			return call_fail(ac->c.call, ERR_INVALID, "\"%.64s\" is nothing it knows",
					 name);
		TRY_PLAIN(set_field(ac, f, v));
	}
	for (size_t i = 0; i < r->fields_count; i++)
		if (r->fields[i].required && !json_object_get(root, r->fields[i].name))
			return call_fail(ac->c.call, ERR_INVALID, "\"%s\" is missing",
					 r->fields[i].name);
	return OK;
}

enum err admin_read_body(struct admin_call *ac, const struct admin_route *r, struct bytes body)
{
	json_error_t error;
	json_t *root = is_flat(body) ? json_loadb((const char *)body.data, body.len,
						  JSON_REJECT_DUPLICATES, &error)
				     : NULL;

	if (!json_is_object(root)) {
		json_decref(root);
		return call_fail(ac->c.call, ERR_INVALID,
				 "the body is no JSON object of plain values");
	}
	enum err e = set_fields(ac, r, root);
	json_decref(root);
	return e;
}
