/* Days and months (UTC, Gregorian without end), for retention in years and limits by month. */
#ifndef ACRE_SATELLITE_CALENDAR_H
#define ACRE_SATELLITE_CALENDAR_H

#include <stdint.h>

#define NS_PER_DAY (24 * 3600 * NS_PER_SEC)

/* The same moment so many years later; 29 February becomes 1 March, as Go's AddDate has it. */
int64_t calendar_add_years(int64_t unix_ns, int64_t years);
/* The same day so many months later (or before); a day the month does not have becomes one of the
 * next, as Go's AddDate has it. */
int64_t calendar_add_months(int64_t unix_ns, int64_t months);
/* Year and month (1 to 12) of a moment. */
void calendar_date(int64_t unix_ns, int64_t *ret_year, int64_t *ret_month);
/* Months since March of year 0, and when this one began. */
int64_t calendar_month(int64_t unix_ns, int64_t *ret_begin_ns);

#endif
