/* Hours of the day in which something is allowed: "22-6", "0:30-5:45,12-13"; empty = always. */
#ifndef ACRE_BASE_DAY_HOURS_H
#define ACRE_BASE_DAY_HOURS_H

#include "base/call.h"

enum { DAY_MINUTES = 24 * 60, DAY_SPANS_MAX = 8, DAY_HOURS_TEXT_MAX = DAY_SPANS_MAX * 12 };

struct day_hours {
	bool always;
	size_t count;
	struct {
		uint16_t from, to; /* minutes of the day; to <= from goes over midnight */
	} spans[DAY_SPANS_MAX];
};

/* ERR_CONFIG says what would be right.  NULL is empty. */
enum err day_hours_parse(struct call *call, const char *text, struct day_hours *ret) MUST_USE;
/* As it is parsed; the same hours by a clock that is so many minutes ahead. */
void day_hours_text(const struct day_hours *h, unsigned ahead, char out[DAY_HOURS_TEXT_MAX]);
bool day_hours_has(const struct day_hours *h, unsigned minute);
/* How long they have been over, in minutes; 0 within them. */
unsigned day_hours_over(const struct day_hours *h, unsigned minute);
/* How many minutes of a day they are. */
unsigned day_hours_total(const struct day_hours *h);

#endif
