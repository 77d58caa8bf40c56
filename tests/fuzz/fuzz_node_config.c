/* A node's config file, also one of Storj's node, and what is read out of its texts. */
#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/day_hours.h"
#include "node/settings.h"
#include "node/trust_sources.h"

enum { ARENA = 4 << 20 };

/* Files of satellites are not looked for. */
static bool names_a_file(const struct param_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (strchr(list->items[i], '/'))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO(arena_free) struct arena a = { .max = ARENA };
	AUTO_BUF struct buf text = BUF_INIT(8 << 20);
	struct settings s = { 0 }, again = { 0 };
	struct day_hours hours;

	if (param_defaults(&call, &a, settings_all(), &s) ||
	    param_read_config(&call, &a, settings_file(), &s, BYTES(data, len)))
		return 0;
	if (day_hours_parse(&call, s.node.upload_hours, &hours) == OK)
		for (unsigned m = 0; m < DAY_MINUTES; m += 7)
			(void)day_hours_has(&hours, m);
	/* What was read can be written, and read again. */
	param_add_config(&text, settings_file(), &s);
	assert(!text.failed);
	if (!memchr(data, 0, len)) {
		enum err e = param_defaults(&call, &a, settings_all(), &again);
		if (!e)
			e = param_read_config(&call, &a, settings_file(), &again, buf_bytes(&text));
		assert(e == ERR_NO_MEMORY || (!e && again.node.space == s.node.space));
	}
	if (!names_a_file(&s.node.satellites) &&
	    trust_sources_resolve(&call, &a, &s.exclude, &s.node.satellites))
		return 0;
	return 0;
}
