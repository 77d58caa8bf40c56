/* Settings from tables: parsing, defaults, help, config files. */
#include "base/param.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"

enum { HELP_COLUMN = 30, LINE_NAME_MAX = 100 };

static void *field(const struct param *p, void *options)
{
	return (uint8_t *)options + p->offset;
}

static bool name_is(const struct param *p, struct bytes name)
{
	return bytes_equal(name, bytes_str(p->name)) ||
	       (p->alias && bytes_equal(name, bytes_str(p->alias)));
}

static const struct param *find(struct param_set set, struct bytes name)
{
	for (size_t i = 0; i < set.count; i++)
		if (name_is(&set.params[i], name))
			return &set.params[i];
	return NULL;
}

/* Levenshtein distance, for "did you mean". */
static size_t distance(struct bytes a, struct bytes b)
{
	size_t row[LINE_NAME_MAX + 1];

	if (a.len > LINE_NAME_MAX || b.len > LINE_NAME_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t change = diagonal + (a.data[i - 1] != b.data[j - 1]);
			diagonal = row[j];
			row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.len];
}

static enum err unknown(struct call *call, struct param_set set, struct bytes name)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (size_t i = 0; i < set.count; i++) {
		size_t d = distance(name, bytes_str(set.params[i].name));
		if (d < best) {
			best = d;
			nearest = set.params[i].name;
		}
	}
	if (nearest)
		return call_fail(call, ERR_CONFIG,
				 "unknown setting \"%.*s\" (did you mean \"%s\"?)",
				 (int)MIN(name.len, (size_t)LINE_NAME_MAX), (const char *)name.data,
				 nearest);
	return call_fail(call, ERR_CONFIG, "unknown setting \"%.*s\" (see --help)",
			 (int)MIN(name.len, (size_t)LINE_NAME_MAX), (const char *)name.data);
}

static bool is_foreign(struct param_set set, struct bytes name)
{
	for (const char *const *p = set.foreign; p && *p; p++)
		if (bytes_has_prefix(name, bytes_str(*p)))
			return true;
	return false;
}

static enum err wrong(struct call *call, const struct param *p, struct bytes value,
		      const char *want)
{
	return call_fail(call, ERR_CONFIG, "%s: \"%.*s\" is not %s", p->name,
			 (int)MIN(value.len, (size_t)LINE_NAME_MAX), (const char *)value.data,
			 want);
}

static void add_number(struct buf *b, const struct param *p, uint64_t v)
{
	if (p->type == PARAM_SIZE)
		text_add_size(b, v);
	else
		buf_printf(b, "%llu", (unsigned long long)v);
}

static enum err check_range(struct call *call, const struct param *p, uint64_t v)
{
	AUTO_BUF struct buf text = BUF_INIT(256);

	if (v >= p->min && (!p->max || v <= p->max))
		return OK;
	add_number(&text, p, v);
	buf_add_str(&text, " is out of range (");
	add_number(&text, p, p->min);
	buf_add_str(&text, " to ");
	add_number(&text, p, p->max ? p->max : UINT64_MAX);
	return call_fail(call, ERR_CONFIG, "%s: %s)", p->name, buf_cstr(&text));
}

static enum err add_item(struct call *call, struct arena *a, struct param_list *list,
			 struct bytes value)
{
	const char **grown = arena_array(a, list->count + 1, sizeof(*grown));
	const char *item = arena_str(a, value);

	if (!grown || !item)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (list->count)
		memcpy(grown, list->items, list->count * sizeof(*grown));
	grown[list->count] = item;
	list->items = grown;
	list->count++;
	return OK;
}

static enum err add_foreign(struct call *call, struct arena *a, struct param_set set, void *options,
			    struct bytes name)
{
	return add_item(call, a, (struct param_list *)((uint8_t *)options + set.foreign_offset),
			name);
}

static enum err parse_bool(struct call *call, const struct param *p, struct bytes value, bool *ret)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (bytes_equal(value, bytes_str(words[i]))) {
			*ret = i % 2;
			return OK;
		}
	return wrong(call, p, value, "true or false");
}

static enum err set_value(struct call *call, struct arena *a, const struct param *p, void *options,
			  struct bytes value)
{
	void *f = field(p, options);
	uint64_t u;
	int64_t ns;

	switch (p->type) {
	case PARAM_STR: {
		const char *s = arena_str(a, value);
		if (!s)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		*(const char **)f = s;
		return OK;
	}
	case PARAM_BOOL:
		return parse_bool(call, p, value, f);
	case PARAM_CHOICE: {
		bool yes = false;
		TRY_PLAIN(parse_bool(call, p, value, &yes));
		*(enum param_choice *)f = yes ? PARAM_YES : PARAM_NO;
		return OK;
	}
	case PARAM_U64:
		if (text_u64(value, UINT64_MAX, &u))
			return wrong(call, p, value, "a whole number");
		TRY_PLAIN(check_range(call, p, u));
		*(uint64_t *)f = u;
		return OK;
	case PARAM_SIZE:
		if (text_size(value, &u))
			return wrong(call, p, value, "a size such as 512MiB or 2TB");
		TRY_PLAIN(check_range(call, p, u));
		*(uint64_t *)f = u;
		return OK;
	case PARAM_REAL:
		if (text_real(value, f))
			return wrong(call, p, value, "a number such as 0.96");
		return OK;
	case PARAM_DURATION:
		if (text_duration(value, &ns))
			return wrong(call, p, value, "a duration such as 30s, 5m or 1h30m");
		TRY_PLAIN(check_range(call, p, (uint64_t)ns));
		*(int64_t *)f = ns;
		return OK;
	case PARAM_LIST:
		return add_item(call, a, f, value);
	}
	return call_fail(call, ERR_INTERNAL, "bad parameter table");
}

enum err param_defaults(struct call *call, struct arena *a, struct param_set set, void *options)
{
	for (size_t i = 0; i < set.count; i++)
		if (set.params[i].default_text)
			TRY(set_value(call, a, &set.params[i], options,
				      bytes_str(set.params[i].default_text)),
			    "default");
	return OK;
}

enum err param_set_one(struct call *call, struct arena *a, struct param_set set, void *options,
		       struct bytes name, struct bytes value)
{
	const struct param *p = find(set, name);

	if (!p)
		return unknown(call, set, name);
	return set_value(call, a, p, options, value);
}

static struct bytes trim(struct bytes v)
{
	while (v.len && (v.data[0] == ' ' || v.data[0] == '\t'))
		v = bytes_from(v, 1);
	while (v.len &&
	       (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\t' || v.data[v.len - 1] == '\r'))
		v.len--;
	return v;
}

static enum err read_line(struct call *call, struct arena *a, struct param_set set, void *options,
			  struct bytes line)
{
	line = trim(line);
	if (line.len == 0 || line.data[0] == '#')
		return OK;
	size_t at = 0;
	while (at < line.len && line.data[at] != '=' && line.data[at] != ':')
		at++;
	if (at == line.len)
		return call_fail(call, ERR_CONFIG, "want \"name = value\"");
	struct bytes name = trim(BYTES(line.data, at)), value = trim(bytes_from(line, at + 1));
	if (value.len >= 2 && (value.data[0] == '"' || value.data[0] == '\'') &&
	    value.data[value.len - 1] == value.data[0])
		value = BYTES(value.data + 1, value.len - 2);
	const struct param *p = find(set, name);
	if (!p && is_foreign(set, name))
		return add_foreign(call, a, set, options, name);
	if (!p)
		return unknown(call, set, name);
	if (p->type != PARAM_LIST)
		return set_value(call, a, p, options, value);
	*(struct param_list *)field(p, options) = (struct param_list){ 0 };
	while (value.len) {
		const uint8_t *comma = memchr(value.data, ',', value.len);
		size_t n = comma ? (size_t)(comma - value.data) : value.len;
		struct bytes item = trim(BYTES(value.data, n));
		if (item.len)
			TRY_PLAIN(set_value(call, a, p, options, item));
		value = bytes_from(value, n + 1);
	}
	return OK;
}

enum err param_read_config(struct call *call, struct arena *a, struct param_set set, void *options,
			   struct bytes text)
{
	unsigned number = 0;

	while (text.len) {
		const uint8_t *end = memchr(text.data, '\n', text.len);
		size_t n = end ? (size_t)(end - text.data) : text.len;
		number++;
		TRY(read_line(call, a, set, options, BYTES(text.data, n)), "line %u", number);
		text = bytes_from(text, n + 1);
	}
	return OK;
}

static const struct param *find_letter(struct param_set set, char letter)
{
	for (size_t i = 0; i < set.count; i++)
		if (set.params[i].letter == letter)
			return &set.params[i];
	return NULL;
}

/* One flag at argv[*i]; moves *i when it takes the next argument as value. */
static enum err read_flag(struct call *call, struct arena *a, struct param_set set, void *options,
			  int argc, const char *const argv[], int *i)
{
	const char *arg = argv[*i];
	const struct param *p;
	struct bytes value = BYTES_NONE;
	bool has_value = false;

	if (arg[1] == '-') {
		const char *equals = strchr(arg, '=');
		struct bytes name = BYTES(arg + 2,
					  equals ? (size_t)(equals - arg - 2) : strlen(arg + 2));
		p = find(set, name);
		if (!p && is_foreign(set, name)) {
			/* Whether it takes a value is not known: what is no flag is one. */
			if (!equals && *i + 1 < argc && argv[*i + 1][0] != '-')
				++*i;
			return add_foreign(call, a, set, options, name);
		}
		if (!p)
			return unknown(call, set, name);
		if (equals) {
			value = bytes_str(equals + 1);
			has_value = true;
		}
	} else {
		p = find_letter(set, arg[1]);
		if (!p)
			return call_fail(call, ERR_CONFIG, "unknown flag \"%s\" (see --help)", arg);
		if (arg[2]) {
			value = bytes_str(arg[2] == '=' ? arg + 3 : arg + 2);
			has_value = true;
		}
	}
	if (!has_value && (p->type == PARAM_BOOL || p->type == PARAM_CHOICE)) {
		value = bytes_str("true");
	} else if (!has_value) {
		if (*i + 1 >= argc)
			return call_fail(call, ERR_CONFIG, "%s needs a value", arg);
		value = bytes_str(argv[++*i]);
	}
	return set_value(call, a, p, options, value);
}

enum err param_read_args(struct call *call, struct arena *a, struct param_set set, void *options,
			 int argc, const char *const argv[], const char ***ret_rest,
			 size_t *ret_rest_count)
{
	const char **rest = arena_array(a, (size_t)argc + 1, sizeof(*rest));
	size_t count = 0;
	bool flags = true;

	if (!rest)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (int i = 0; i < argc; i++) {
		if (flags && strcmp(argv[i], "--") == 0)
			flags = false;
		else if (flags && argv[i][0] == '-' && argv[i][1])
			TRY_PLAIN(read_flag(call, a, set, options, argc, argv, &i));
		else
			rest[count++] = argv[i];
	}
	*ret_rest = rest;
	*ret_rest_count = count;
	return OK;
}

void param_add_help(struct buf *out, struct param_set set)
{
	static const char *const values[] = {
		[PARAM_STR] = " TEXT",	[PARAM_BOOL] = "",	  [PARAM_CHOICE] = "",
		[PARAM_U64] = " N",	[PARAM_SIZE] = " SIZE",	  [PARAM_DURATION] = " DURATION",
		[PARAM_LIST] = " TEXT", [PARAM_REAL] = " NUMBER",
	};

	for (size_t i = 0; i < set.count; i++) {
		const struct param *p = &set.params[i];
		size_t start = out->len;
		if (p->letter)
			buf_printf(out, "  -%c, ", p->letter);
		else
			buf_add_str(out, "      ");
		buf_printf(out, "--%s%s", p->name, values[p->type]);
		while (out->len - start < HELP_COLUMN && !out->failed)
			buf_add_byte(out, ' ');
		buf_add_str(out, "  ");
		for (const char *c = p->doc; *c; c++) {
			buf_add_byte(out, (uint8_t)*c);
			if (*c == '\n')
				buf_printf(out, "%*s", HELP_COLUMN + 2, "");
		}
		if (p->default_text && p->default_text[0] && p->type != PARAM_BOOL)
			buf_printf(out, " (default %s)", p->default_text);
		buf_add_byte(out, '\n');
	}
}

static void add_value(struct buf *out, const struct param *p, const void *options)
{
	const void *f = (const uint8_t *)options + p->offset;

	switch (p->type) {
	case PARAM_STR: {
		const char *s = *(const char *const *)f;
		buf_add_str(out, s ? s : "");
		break;
	}
	case PARAM_BOOL:
		buf_add_str(out, *(const bool *)f ? "true" : "false");
		break;
	case PARAM_CHOICE: {
		enum param_choice c = *(const enum param_choice *)f;
		buf_add_str(out, c == PARAM_OPEN ? "" : c == PARAM_YES ? "true" : "false");
		break;
	}
	case PARAM_U64:
	case PARAM_SIZE:
		buf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)f);
		break;
	case PARAM_REAL:
		buf_printf(out, "%.15g", *(const double *)f);
		break;
	case PARAM_DURATION: {
		int64_t ns = *(const int64_t *)f;
		if (ns % NS_PER_SEC == 0)
			buf_printf(out, "%llds", (long long)(ns / NS_PER_SEC));
		else
			buf_printf(out, "%lldns", (long long)ns);
		break;
	}
	case PARAM_LIST: {
		const struct param_list *list = f;
		for (size_t i = 0; i < list->count; i++)
			buf_printf(out, "%s%s", i ? ", " : "", list->items[i]);
		break;
	}
	}
}

/* Whether the field holds what its default text says. */
static bool is_default(const struct param *p, const void *options)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf now = BUF_INIT(4096), then = BUF_INIT(4096);
	union {
		const char *s;
		bool b;
		enum param_choice c;
		uint64_t u;
		int64_t i;
		double d;
		struct param_list l;
	} fresh = { 0 };
	struct param at_zero = *p;

	call_init(&call);
	at_zero.offset = 0;
	if (p->default_text &&
	    set_value(&call, &call.scratch, &at_zero, &fresh, bytes_str(p->default_text)))
		return false;
	add_value(&now, p, options);
	add_value(&then, &at_zero, &fresh);
	return bytes_equal(buf_bytes(&now), buf_bytes(&then));
}

void param_add_config(struct buf *out, struct param_set set, const void *options)
{
	for (size_t i = 0; i < set.count; i++) {
		const struct param *p = &set.params[i];
		buf_add_str(out, "# ");
		for (const char *c = p->doc; *c; c++) {
			buf_add_byte(out, (uint8_t)*c);
			if (*c == '\n')
				buf_add_str(out, "# ");
		}
		buf_printf(out, "\n%s%s = ", is_default(p, options) ? "# " : "", p->name);
		add_value(out, p, options);
		buf_add_str(out, "\n\n");
	}
}
