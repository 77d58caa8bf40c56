/* Dates from days since 1970 and back. */
#include "satellite/calendar.h"

#include "base/num.h"

/* Days from 1 January 1970 to a date; the month may be 13 and the day beyond its month, as Go's
 * AddDate normalizes them. */
static int64_t days_from_date(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = y / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

/* Year from March on, month since March, day from 1. */
static void date_from_days(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
	int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);

	*m = (5 * doy + 2) / 153;
	*d = doy - (153 * *m + 2) / 5 + 1;
	*y = yoe + era * 400;
}

/* Year and month from January. */
static void civil_from_days(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
	date_from_days(days, y, m, d);
	*y += *m >= 10;
	*m = *m < 10 ? *m + 3 : *m - 9;
}

int64_t calendar_add_years(int64_t unix_ns, int64_t years)
{
	return calendar_add_months(unix_ns, 12 * years);
}

int64_t calendar_add_months(int64_t unix_ns, int64_t months)
{
	int64_t y, m, d;

	civil_from_days(unix_ns / NS_PER_DAY, &y, &m, &d);
	months += 12 * y + m - 1;
	return days_from_date(months / 12, months % 12 + 1, d) * NS_PER_DAY + unix_ns % NS_PER_DAY;
}

void calendar_date(int64_t unix_ns, int64_t *ret_year, int64_t *ret_month)
{
	int64_t d;

	civil_from_days(unix_ns / NS_PER_DAY, ret_year, ret_month, &d);
}

int64_t calendar_month(int64_t unix_ns, int64_t *ret_begin_ns)
{
	int64_t y, m, d, days = unix_ns / NS_PER_DAY;

	date_from_days(days, &y, &m, &d);
	*ret_begin_ns = (days - d + 1) * NS_PER_DAY;
	return y * 12 + m;
}
