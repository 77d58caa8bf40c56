/* Hours of the day in which something is allowed: "22-6", "0:30-5:45,12-13"; empty = always. */
#ifndef ACRE_NODE_DAY_HOURS_H
#define ACRE_NODE_DAY_HOURS_H

#include "base/call.h"

enum { DAY_MINUTES = 24 * 60, DAY_SPANS_MAX = 8 };

struct day_hours {
	bool always;
	size_t count;
	struct {
		uint16_t from, to; /* minutes of the day; to <= from goes over midnight */
	} spans[DAY_SPANS_MAX];
};

/* ERR_CONFIG says what would be right.  NULL is empty. */
enum err day_hours_parse(struct call *call, const char *text, struct day_hours *ret) MUST_USE;
bool day_hours_has(const struct day_hours *h, unsigned minute);

#endif
