/* The texts of a placement's countries and tags, and of hours: what is taken stays within its
 * bounds, and is taken again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "satellite/node_tags.h"
#include "satellite/placement.h"

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
	assert(set->list[0].tags_wanted == set->list[1].tags_wanted);
	assert(set->list[0].tags_refused == set->list[1].tags_refused);
	assert(placement_allows(&set->list[0], 0, 0) == !set->list[0].tags_wanted);
	assert(!placement_conditions(set, ""));
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
	if (placement_parse(&call, 1, bytes_str("name"), BYTES(data, len), &p))
		return 0;
	assert(strlen(p.countries_text) <= PLACEMENT_COUNTRIES_MAX);
	assert(!placement_allows(&p, 0, 0) == p.limited);
	assert(!placement_parse(&call, 1, bytes_str(p.name), bytes_str(p.countries_text), &again));
	assert(!memcmp(p.countries, again.countries, sizeof(p.countries)));
	return 0;
}
