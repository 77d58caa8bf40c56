/* The texts of a placement's countries, continents, operators and tags, and of a node's hours and
 * prices: what is taken stays within its bounds, and is taken again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "satellite/node_tags.h"
#include "satellite/placement.h"

static const struct geo nowhere;
static const struct node_traits nobody = { .tags = "", .operator_ = "" };

/* Two placements with the same tags have one set of conditions. */
static void try_tags(struct bytes text)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE struct placement_set *set = calloc(1, sizeof(*set) + 2 * sizeof(set->list[0]));

	if (!set || placement_take_tags(&call, text, &set->list[0]))
		return;
	set->count = 2;
	assert(!placement_take_tags(&call, bytes_str(set->list[0].tags_text), &set->list[1]));
	if (placement_set_link(&call, set))
		return;
	assert(set->list[0].wanted == set->list[1].wanted);
	assert(set->list[0].refused == set->list[1].refused);
	assert(placement_allows(&set->list[0], nowhere, 0) == !set->list[0].wanted);
	assert(!placement_conditions(set, &nobody));
}

static void try_continents(struct bytes text)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct placement p = { .number = 1 }, again = p;

	if (placement_take_continents(&call, text, &p))
		return;
	assert(!placement_take_continents(&call, bytes_str(p.continents_text), &again));
	assert(p.continents_refused == again.continents_refused);
	/* Who knows of none is let in by a rule without any only. */
	assert(placement_allows(&p, nowhere, 0) == !p.continents_refused);
}

/* Whoever the list begins with is in it, or out of it, unless it says otherwise later. */
static void try_operators(struct bytes text)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE struct placement_set *set = calloc(1, sizeof(*set) + 2 * sizeof(set->list[0]));

	if (!set || placement_take_operators(&call, text, &set->list[0]))
		return;
	set->count = 2;
	const char *list = set->list[0].operators_text;
	assert(!placement_take_operators(&call, bytes_str(list), &set->list[1]));
	if (placement_set_link(&call, set))
		return;
	assert(set->list[0].wanted == set->list[1].wanted && set->conditions_count <= 1);
	assert(!placement_conditions(set, &nobody));
	const struct node_traits somebody = { .tags = "", .operator_ = "a stranger" };
	assert(!set->conditions_count ||
	       placement_conditions(set, &somebody) == (list[strspn(list, " ")] == '!'));
}

/* No value makes a node cost more than is paid. */
static void try_prices(struct bytes text)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf tags = BUF_INIT(NODE_TAGS_TEXT_MAX);
	const struct prices paid = { 1497600, INT64_MAX };
	struct prices p;

	if (!node_tag_fits(bytes_str("storage_price"), text))
		return;
	buf_add_str(&tags, "@storage_price=");
	buf_add_bytes(&tags, text);
	buf_add_str(&tags, "\n@egress_price=");
	buf_add_bytes(&tags, text);
	buf_add_byte(&tags, '\n');
	const char *lines = arena_str(&call.scratch, buf_bytes(&tags));
	if (!lines)
		return;
	node_tags_prices(lines, &paid, &p);
	assert(p.storage >= 0 && p.storage <= paid.storage);
	assert(p.egress >= 0 && p.storage == (p.egress < paid.storage ? p.egress : paid.storage));
}

/* Hours as a node declares them: what is read can be written, by any clock, and read again. */
static void try_hours(struct bytes text)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf tags = BUF_INIT(NODE_TAGS_TEXT_MAX);
	char shifted[DAY_HOURS_TEXT_MAX];
	struct day_hours h, again;

	if (!node_tag_fits(bytes_str("hours"), text))
		return;
	buf_add_str(&tags, "@hours=");
	buf_add_bytes(&tags, text);
	buf_add_byte(&tags, '\n');
	const char *line = arena_str(&call.scratch, buf_bytes(&tags));
	if (!line)
		return;
	node_tags_hours(line, "hours", &h);
	day_hours_text(&h, text.len ? text.data[0] : 0, shifted);
	assert(!day_hours_parse(&call, shifted, &again) && again.count == (h.always ? 0 : h.count));
	assert(day_hours_total(&h) <= DAY_MINUTES);
	assert(day_hours_total(&h) == day_hours_total(&again));
	for (unsigned m = 0; m < DAY_MINUTES; m += 13) {
		unsigned over = day_hours_over(&h, m);
		assert(over <= DAY_MINUTES && !over == day_hours_has(&h, m));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct placement p, again;

	/* As a number and a name, too. */
	(void)!placement_parse(&call, len ? data[0] : 0, BYTES(data, len), BYTES_NONE, &p);
	call_clear_error(&call);
	try_tags(BYTES(data, len));
	try_hours(BYTES(data, len));
	try_continents(BYTES(data, len));
	try_operators(BYTES(data, len));
	try_prices(BYTES(data, len));
	if (placement_parse(&call, 1, bytes_str("name"), BYTES(data, len), &p))
		return 0;
	assert(strlen(p.countries_text) <= PLACEMENT_COUNTRIES_MAX);
	assert(!placement_allows(&p, nowhere, 0) == p.limited);
	assert(!placement_parse(&call, 1, bytes_str(p.name), bytes_str(p.countries_text), &again));
	assert(!memcmp(p.countries, again.countries, sizeof(p.countries)));
	return 0;
}
