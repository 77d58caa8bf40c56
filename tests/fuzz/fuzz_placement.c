/* The text of a placement's countries: what is taken stays within its bounds, and is taken again.
 */
#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "satellite/placement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct placement p, again;

	/* As a number and a name, too. */
	(void)!placement_parse(&call, len ? data[0] : 0, BYTES(data, len), BYTES_NONE, &p);
	call_clear_error(&call);
	if (placement_parse(&call, 1, bytes_str("name"), BYTES(data, len), &p))
		return 0;
	assert(strlen(p.countries_text) <= PLACEMENT_COUNTRIES_MAX);
	assert(!placement_allows(&p, 0) == p.limited);
	assert(!placement_parse(&call, 1, bytes_str(p.name), bytes_str(p.countries_text), &again));
	assert(!memcmp(p.countries, again.countries, sizeof(p.countries)));
	return 0;
}
