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

/* ---- continents ---- */

static const char *const continents[CONTINENTS] = { "AF", "AN", "AS", "EU", "NA", "OC", "SA" };

continent continent_parse(struct bytes text)
{
	for (unsigned i = 0; i < CONTINENTS; i++)
		if (is_word(text, continents[i]))
			return (continent)(i + 1);
	return 0;
}

const char *continent_text(continent c)
{
	return c && c <= CONTINENTS ? continents[c - 1] : "";
}

/* Takes the next item off *rest, which is not empty; whether it was "!" and an item. */
static bool next_item(struct bytes *rest, struct bytes *ret)
{
	const uint8_t *comma = memchr(rest->data, ',', rest->len);
	size_t n = comma ? (size_t)(comma - rest->data) : rest->len;
	struct bytes item = text_trim(BYTES(rest->data, n));
	bool refused = item.len && item.data[0] == '!';

	*rest = bytes_from(*rest, n + 1);
	*ret = bytes_from(item, refused);
	return refused;
}

static bool ends_in_comma(struct bytes text)
{
	return text.len && text.data[text.len - 1] == ',';
}

/* Copies a text that was given, which has no zero byte, into its place. */
static void keep_text(char *to, size_t size, struct bytes text)
{
	memset(to, 0, size);
	if (text.len)
		memcpy(to, text.data, text.len);
}

enum err placement_take_continents(struct call *call, struct bytes text, struct placement *p)
{
	struct bytes rest = text_trim(text), item;
	uint8_t refused = 0;

	if (text.len > PLACEMENT_CONTINENTS_MAX)
		return call_fail(call, ERR_CONFIG, "continents: more than %d bytes",
				 PLACEMENT_CONTINENTS_MAX);
	for (bool first = true; rest.len; first = false) {
		bool comma = ends_in_comma(rest), out = next_item(&rest, &item);
		continent c = continent_parse(item);
		if (!c || (comma && !rest.len))
			return call_fail(call, ERR_CONFIG,
					 "continents: want AF, AN, AS, EU, NA, OC or SA, or such "
					 "with \"!\", separated by commas");
		if (first)
			refused = out ? 1 : 0xff;
		refused = (uint8_t)(out ? refused | 1U << c : refused & ~(1U << c));
	}
	p->continents_refused = refused;
	keep_text(p->continents_text, sizeof(p->continents_text), text);
	return OK;
}

/* ---- operators ---- */

const char *operator_name(const char *wallet, const char *email)
{
	const char *who = wallet && wallet[0] ? wallet : email;

	return who ? who : "";
}

enum err placement_take_operators(struct call *call, struct bytes text, struct placement *p)
{
	struct bytes rest = text_trim(text), item;

	if (text.len > PLACEMENT_OPERATORS_MAX)
		return call_fail(call, ERR_CONFIG, "operators: more than %d bytes",
				 PLACEMENT_OPERATORS_MAX);
	while (rest.len) {
		bool comma = ends_in_comma(rest);
		(void)next_item(&rest, &item);
		bool good = item.len && item.len <= OPERATOR_MAX && (rest.len || !comma);
		for (size_t i = 0; i < item.len; i++)
			good = good && item.data[i] > ' ' && item.data[i] <= '~' &&
			       item.data[i] != '!';
		if (!good)
			return call_fail(call, ERR_CONFIG,
					 "operators: want wallets or addresses of mail, or such "
					 "with \"!\", separated by commas");
	}
	keep_text(p->operators_text, sizeof(p->operators_text), text);
	return OK;
}

/* Wallets and addresses of mail are the same in either case. */
static bool is_operator(struct bytes item, const char *name)
{
	for (size_t i = 0; i < item.len; i++)
		if (text_lower(item.data[i]) != text_lower((uint8_t)name[i]))
			return false;
	return !name[item.len];
}

static bool operator_allowed(struct bytes list, const char *name)
{
	struct bytes rest = text_trim(list), item;
	bool in = false;

	if (!name[0])
		return false;
	for (bool first = true; rest.len; first = false) {
		bool out = next_item(&rest, &item);
		if (first)
			in = out;
		if (is_operator(item, name))
			in = !out;
	}
	return in;
}

/* ---- prices ---- */

enum err placement_take_prices(struct call *call, const struct prices *max, struct placement *p)
{
	if (max->storage < 0 || max->egress < 0)
		return call_fail(call, ERR_CONFIG, "prices: less than nothing");
	p->max_prices = *max;
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
	struct bytes item;

	ret->refused = next_item(rest, &item);
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
	keep_text(p->tags_text, sizeof(p->tags_text), tags);
	return OK;
}

/* ---- conditions ---- */

static bool same_condition(const struct placement_condition *a, const struct placement_condition *b)
{
	return a->kind == b->kind && bytes_equal(a->name, b->name) &&
	       bytes_equal(a->value, b->value) && a->max == b->max;
}

/* Its bit goes into *bits. */
static enum err number_condition(struct call *call, struct placement_set *set,
				 const struct placement_condition *c, uint64_t *bits)
{
	size_t i = 0;

	while (i < set->conditions_count && !same_condition(&set->conditions[i], c))
		i++;
	if (i == PLACEMENT_CONDITIONS_MAX)
		return call_fail(call, ERR_EXHAUSTED,
				 "the rules of all placements have more than %d different tags, "
				 "lists of operators and prices",
				 PLACEMENT_CONDITIONS_MAX);
	if (i == set->conditions_count)
		set->conditions[set->conditions_count++] = *c;
	*bits |= UINT64_C(1) << i;
	return OK;
}

static enum err number_price(struct call *call, struct placement_set *set, struct placement *p,
			     int kind, int64_t max)
{
	struct placement_condition c = { .max = max };

	if (!max)
		return OK;
	c.kind = kind;
	return number_condition(call, set, &c, &p->wanted);
}

static enum err link_one(struct call *call, struct placement_set *set, struct placement *p)
{
	struct bytes rest = text_trim(bytes_str(p->tags_text));
	struct bytes operators = text_trim(bytes_str(p->operators_text));
	struct condition tag;

	p->wanted = p->refused = 0;
	while (rest.len && next_condition(&rest, &tag)) {
		struct placement_condition c = { .kind = CONDITION_TAG,
						 .name = tag.name,
						 .value = tag.value };
		TRY_PLAIN(number_condition(call, set, &c, tag.refused ? &p->refused : &p->wanted));
	}
	if (operators.len) {
		struct placement_condition c = { .kind = CONDITION_OPERATORS, .value = operators };
		TRY_PLAIN(number_condition(call, set, &c, &p->wanted));
	}
	TRY_PLAIN(number_price(call, set, p, CONDITION_STORAGE_PRICE, p->max_prices.storage));
	return number_price(call, set, p, CONDITION_EGRESS_PRICE, p->max_prices.egress);
}

enum err placement_set_link(struct call *call, struct placement_set *set)
{
	set->conditions_count = 0;
	for (size_t i = 0; i < set->count; i++)
		TRY_PLAIN(link_one(call, set, &set->list[i]));
	return OK;
}

static bool fulfils(const struct node_traits *node, const struct placement_condition *c)
{
	switch (c->kind) {
	case CONDITION_TAG:
		return node_tags_has(node->tags, c->name, c->value);
	case CONDITION_OPERATORS:
		return operator_allowed(c->value, node->operator_);
	case CONDITION_STORAGE_PRICE:
		return node->prices.storage <= c->max;
	case CONDITION_EGRESS_PRICE:
		return node->prices.egress <= c->max;
	}
	return false;
}

uint64_t placement_conditions(const struct placement_set *set, const struct node_traits *node)
{
	uint64_t bits = 0;

	for (size_t i = 0; set && i < set->conditions_count; i++)
		if (fulfils(node, &set->conditions[i]))
			bits |= UINT64_C(1) << i;
	return bits;
}

static bool rules_equal(const struct placement *a, const struct placement *b)
{
	return a->number == b->number && !strcmp(a->name, b->name) &&
	       !strcmp(a->countries_text, b->countries_text) &&
	       !strcmp(a->continents_text, b->continents_text) &&
	       !strcmp(a->tags_text, b->tags_text) &&
	       !strcmp(a->operators_text, b->operators_text) &&
	       a->max_prices.storage == b->max_prices.storage &&
	       a->max_prices.egress == b->max_prices.egress &&
	       a->shared_networks == b->shared_networks;
}

bool placement_sets_equal(const struct placement_set *a, const struct placement_set *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!rules_equal(&a->list[i], &b->list[i]))
			return false;
	return true;
}

/* ---- asking ---- */

bool placement_allows(const struct placement *p, struct geo where, uint64_t conditions)
{
	country c = where.country;

	if (!p)
		return true;
	if ((p->wanted & ~conditions) || (p->refused & conditions) ||
	    p->continents_refused >> (where.continent <= CONTINENTS ? where.continent : 0) & 1)
		return false;
	return !p->limited ||
	       (c && c <= COUNTRIES && p->countries[(c - 1) / 64] >> ((c - 1) % 64) & 1);
}

const struct placement *placement_find(const struct placement_set *set, int32_t number)
{
	for (size_t i = 0; set && number && i < set->count; i++)
		if (set->list[i].number == number)
			return &set->list[i];
	return NULL;
}
