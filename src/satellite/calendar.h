/* Days and months (UTC, Gregorian without end), for retention in years and limits by month. */
#ifndef ACRE_SATELLITE_CALENDAR_H
#define ACRE_SATELLITE_CALENDAR_H

#include <stdint.h>

#define NS_PER_DAY (24 * 3600 * NS_PER_SEC)

/* The same moment so many years later; 29 February becomes 1 March, as Go's AddDate has it. */
int64_t calendar_add_years(int64_t unix_ns, int64_t years);
/* Months since March of year 0, and when this one began. */
int64_t calendar_month(int64_t unix_ns, int64_t *ret_begin_ns);

#endif
