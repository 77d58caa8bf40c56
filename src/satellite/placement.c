/* Rules for places, from text (satellite.md 2).  Computes only. */
#include "satellite/placement.h"

#include "base/cleanup.h"
#include "satellite/node_tags.h"

static const char *const eu[] = { "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES",
				  "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
				  "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK" };
static const char *const eea[] = { "IS", "LI", "NO" }; /* besides the EU */

static int letter(uint8_t c)
{
	if (c >= 'a' && c <= 'z')
		c = (uint8_t)(c - 'a' + 'A');
	return c >= 'A' && c <= 'Z' ? c - 'A' : -1;
}

country country_parse(struct bytes text)
{
	int a = text.len == 2 ? letter(text.data[0]) : -1;
	int b = text.len == 2 ? letter(text.data[1]) : -1;

	return a < 0 || b < 0 ? 0 : (country)(1 + a * 26 + b);
}

void country_text(country c, char out[COUNTRY_TEXT_MAX])
{
	out[0] = '\0';
	if (!c || c > COUNTRIES)
		return;
	out[0] = (char)('A' + (c - 1) / 26);
	out[1] = (char)('A' + (c - 1) % 26);
	out[2] = '\0';
}

static void put(struct placement *p, country c, bool in)
{
	unsigned i = c - 1U;
	uint64_t bit = UINT64_C(1) << (i % 64);

	if (in)
		p->countries[i / 64] |= bit;
	else
		p->countries[i / 64] &= ~bit;
}

static void put_group(struct placement *p, const char *const *list, size_t count, bool in)
{
	for (size_t i = 0; i < count; i++)
		put(p, country_parse(bytes_str(list[i])), in);
}

static bool is_word(struct bytes text, const char *word)
{
	if (text.len != strlen(word))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (letter(text.data[i]) != word[i] - 'A')
			return false;
	return true;
}

/* "EU" and "EEA" are groups; ISO has given neither to a country. */
static enum err take_item(struct call *call, struct placement *p, struct bytes item)
{
	bool in = !item.len || item.data[0] != '!';
	struct bytes name = in ? item : BYTES(item.data + 1, item.len - 1);
	country c = country_parse(name);

	if (!in && !p->limited)
		memset(p->countries, 0xff, sizeof(p->countries));
	p->limited = true;
	if (is_word(name, "EU") || is_word(name, "EEA")) {
		put_group(p, eu, ARRAY_LEN(eu), in);
		if (name.len == 3)
			put_group(p, eea, ARRAY_LEN(eea), in);
		return OK;
	}
	if (!c)
		return call_fail(call, ERR_CONFIG,
				 "countries: \"%.*s\" is no country of two letters, nor EU or EEA "
				 "(such as \"DE,FR\" or \"!US\")",
				 (int)(item.len < 16 ? item.len : 16), (const char *)item.data);
	put(p, c, in);
	return OK;
}

static enum err take_countries(struct call *call, struct placement *p, struct bytes text)
{
	size_t start = 0;

	if (text.len > PLACEMENT_COUNTRIES_MAX)
		return call_fail(call, ERR_CONFIG, "countries: more than %d bytes",
				 PLACEMENT_COUNTRIES_MAX);
	/* Before anything of it is printed. */
	for (size_t i = 0; i < text.len; i++)
		if (letter(text.data[i]) < 0 && !strchr("!, ", text.data[i] ? text.data[i] : 'x'))
			return call_fail(call, ERR_CONFIG,
					 "countries: want letters, \"!\" and commas only");
	if (!text_trim(text).len)
		return OK;
	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.data[i] != ',')
			continue;
		TRY_PLAIN(take_item(call, p, text_trim(BYTES(text.data + start, i - start))));
		start = i + 1;
	}
	memcpy(p->countries_text, text.data, text.len);
	return OK;
}

enum err placement_parse(struct call *call, int64_t number, struct bytes name,
			 struct bytes countries, struct placement *ret)
{
	struct placement p = { .number = (int32_t)number };

	if (number < 1 || number > PLACEMENT_NUMBER_MAX)
		return call_fail(call, ERR_CONFIG,
				 "a placement's number is 1 to %d (0 is everywhere)",
				 PLACEMENT_NUMBER_MAX);
	if (!name.len || name.len > PLACEMENT_NAME_MAX)
		return call_fail(call, ERR_CONFIG, "a placement's name has 1 to %d bytes",
				 PLACEMENT_NAME_MAX);
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] < ' ' || name.data[i] > '~')
			return call_fail(call, ERR_CONFIG,
					 "a placement's name is of printable ASCII");
	memcpy(p.name, name.data, name.len);
	TRY_PLAIN(take_countries(call, &p, countries));
	*ret = p;
	return OK;
}

/* ---- tags ---- */

struct condition {
	bool refused;
	struct bytes name, value;
};

/* Takes the next one off *rest, which is not empty. */
static bool next_condition(struct bytes *rest, struct condition *ret)
{
	const uint8_t *comma = memchr(rest->data, ',', rest->len);
	size_t n = comma ? (size_t)(comma - rest->data) : rest->len;
	struct bytes item = text_trim(BYTES(rest->data, n));

	*rest = bytes_from(*rest, n + 1);
	ret->refused = item.len && item.data[0] == '!';
	item = bytes_from(item, ret->refused);
	const uint8_t *equals = item.len ? memchr(item.data, '=', item.len) : NULL;
	if (!equals)
		return false;
	ret->name = BYTES(item.data, (size_t)(equals - item.data));
	ret->value = bytes_from(item, ret->name.len + 1);
	return node_tag_fits(ret->name, ret->value);
}

enum err placement_take_tags(struct call *call, struct bytes tags, struct placement *p)
{
	struct bytes rest = text_trim(tags);
	struct condition c;

	if (tags.len > PLACEMENT_TAGS_MAX)
		return call_fail(call, ERR_CONFIG, "tags: more than %d bytes", PLACEMENT_TAGS_MAX);
	if (tags.len && memchr(tags.data, 0, tags.len))
		return call_fail(call, ERR_CONFIG, "tags: a zero byte");
	while (rest.len)
		if (!next_condition(&rest, &c))
			return call_fail(call, ERR_CONFIG,
					 "tags: want NAME=VALUE, or !NAME=VALUE for those that are "
					 "refused, separated by commas");
	memset(p->tags_text, 0, sizeof(p->tags_text));
	if (tags.len)
		memcpy(p->tags_text, tags.data, tags.len);
	return OK;
}

/* Its number; the count when there is no room for it. */
static size_t number_condition(struct placement_set *set, const struct condition *c)
{
	size_t i = 0;

	while (i < set->conditions_count && !(bytes_equal(set->conditions[i].name, c->name) &&
					      bytes_equal(set->conditions[i].value, c->value)))
		i++;
	if (i == set->conditions_count && i < PLACEMENT_CONDITIONS_MAX) {
		set->conditions[i].name = c->name;
		set->conditions[i].value = c->value;
		set->conditions_count++;
	}
	return i;
}

enum err placement_set_link(struct call *call, struct placement_set *set)
{
	set->conditions_count = 0;
	for (size_t i = 0; i < set->count; i++) {
		struct placement *p = &set->list[i];
		struct bytes rest = text_trim(bytes_str(p->tags_text));
		struct condition c;
		p->tags_wanted = p->tags_refused = 0;
		while (rest.len && next_condition(&rest, &c)) {
			size_t n = number_condition(set, &c);
			if (n == PLACEMENT_CONDITIONS_MAX)
				return call_fail(call, ERR_EXHAUSTED,
						 "the rules of all placements have more than %d "
						 "different tags",
						 PLACEMENT_CONDITIONS_MAX);
			*(c.refused ? &p->tags_refused : &p->tags_wanted) |= UINT64_C(1) << n;
		}
	}
	return OK;
}

uint64_t placement_conditions(const struct placement_set *set, const char *tags)
{
	uint64_t bits = 0;

	for (size_t i = 0; set && i < set->conditions_count; i++)
		if (node_tags_has(tags, set->conditions[i].name, set->conditions[i].value))
			bits |= UINT64_C(1) << i;
	return bits;
}

/* ---- asking ---- */

bool placement_allows(const struct placement *p, country c, uint64_t tags)
{
	if (p && ((p->tags_wanted & ~tags) || (p->tags_refused & tags)))
		return false;
	if (!p || !p->limited)
		return true;
	return c && c <= COUNTRIES && p->countries[(c - 1) / 64] >> ((c - 1) % 64) & 1;
}

const struct placement *placement_find(const struct placement_set *set, int32_t number)
{
	for (size_t i = 0; set && number && i < set->count; i++)
		if (set->list[i].number == number)
			return &set->list[i];
	return NULL;
}
