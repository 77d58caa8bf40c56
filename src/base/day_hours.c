/* Parsing hours of the day. */
#include "base/day_hours.h"

#include <stdio.h>

#include "base/text.h"

static bool parse_minute(struct bytes text, uint16_t *ret)
{
	const uint8_t *colon = text.len ? memchr(text.data, ':', text.len) : NULL;
	struct bytes hour = BYTES(text.data, colon ? (size_t)(colon - text.data) : text.len);
	uint64_t h = 0, m = 0;

	if (text_u64(hour, 24, &h))
		return false;
	if (colon && text_u64(bytes_from(text, hour.len + 1), 59, &m))
		return false;
	if (h * 60 + m > DAY_MINUTES)
		return false;
	*ret = (uint16_t)((h * 60 + m) % DAY_MINUTES);
	return true;
}

static bool parse_span(struct bytes text, struct day_hours *h)
{
	const uint8_t *dash = text.len ? memchr(text.data, '-', text.len) : NULL;

	if (!dash || h->count == DAY_SPANS_MAX)
		return false;
	size_t n = (size_t)(dash - text.data);
	if (!parse_minute(BYTES(text.data, n), &h->spans[h->count].from) ||
	    !parse_minute(bytes_from(text, n + 1), &h->spans[h->count].to))
		return false;
	h->count++;
	return true;
}

enum err day_hours_parse(struct call *call, const char *text, struct day_hours *ret)
{
	struct bytes rest = bytes_str(text ? text : "");
	struct day_hours h = { .always = !rest.len };

	while (rest.len) {
		const uint8_t *comma = memchr(rest.data, ',', rest.len);
		size_t n = comma ? (size_t)(comma - rest.data) : rest.len;
		if (!parse_span(BYTES(rest.data, n), &h))
			return call_fail(call, ERR_CONFIG,
					 "hours \"%s\": want spans of the day as \"22-6\" or "
					 "\"0:30-5:45,12-13\"",
					 text);
		rest = bytes_from(rest, n + 1);
	}
	*ret = h;
	return OK;
}

bool day_hours_has(const struct day_hours *h, unsigned minute)
{
	if (h->always)
		return true;
	for (size_t i = 0; i < h->count; i++) {
		unsigned from = h->spans[i].from, to = h->spans[i].to;
		if (from < to ? minute >= from && minute < to : minute >= from || minute < to)
			return true;
	}
	return false;
}

void day_hours_text(const struct day_hours *h, unsigned ahead, char out[DAY_HOURS_TEXT_MAX])
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; !h->always && i < h->count; i++) {
		unsigned from = (h->spans[i].from + ahead) % DAY_MINUTES;
		unsigned to = (h->spans[i].to + ahead) % DAY_MINUTES;
		n += (size_t)snprintf(out + n, DAY_HOURS_TEXT_MAX - n, "%s%u:%02u-%u:%02u",
				      n ? "," : "", from / 60, from % 60, to / 60, to % 60);
	}
}

unsigned day_hours_over(const struct day_hours *h, unsigned minute)
{
	unsigned over = DAY_MINUTES;

	if (day_hours_has(h, minute))
		return 0;
	for (size_t i = 0; i < h->count; i++) {
		unsigned ended = (minute + DAY_MINUTES - h->spans[i].to) % DAY_MINUTES;
		over = ended < over ? ended : over;
	}
	/* The minute in which they end is the first without. */
	return over + 1;
}

unsigned day_hours_total(const struct day_hours *h)
{
	unsigned total = 0;

	for (unsigned minute = 0; minute < DAY_MINUTES; minute++)
		total += day_hours_has(h, minute);
	return total;
}
