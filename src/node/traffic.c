/* Plans of limits, and the limit of this minute. */
#include "node/traffic.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/day_hours.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/pacer.h"

enum {
	SPANS_MAX = 8, /* hours with a limit of their own */
	TEXT_MAX = 256,
	LOOK_SECONDS = 1,      /* between two looks at the clock */
	CONGESTED_SECONDS = 5, /* an uplink has turned to faster nodes by then */
};

struct plan {
	uint64_t rate;
	size_t count;
	struct {
		struct day_hours hours;
		uint64_t rate;
	} spans[SPANS_MAX];
};

struct traffic {
	struct traffic *whole; /* borrowed */
	struct os_mutex lock;
	struct plan plans[TRAFFIC_WAYS];
	int64_t looked_mono_ns;
	struct pacer pacers[TRAFFIC_WAYS];
};

static enum err parse_part(struct call *call, struct bytes part, struct plan *p)
{
	const uint8_t *equals = part.len ? memchr(part.data, '=', part.len) : NULL;
	char hours[TEXT_MAX];

	if (!equals)
		return text_size(part, &p->rate);
	struct bytes left = text_trim(BYTES(part.data, (size_t)(equals - part.data)));
	struct bytes right = text_trim(bytes_from(part, (size_t)(equals - part.data) + 1));
	if (p->count == SPANS_MAX || !left.len || left.len >= sizeof(hours))
		return ERR_FORMAT;
	memcpy(hours, left.data, left.len);
	hours[left.len] = '\0';
	TRY_PLAIN(day_hours_parse(call, hours, &p->spans[p->count].hours));
	return text_size(right, &p->spans[p->count++].rate);
}

static enum err parse(struct call *call, const char *text, struct plan *ret)
{
	struct bytes rest = text_trim(bytes_str(text ? text : ""));
	struct plan p = { 0 };

	while (rest.len) {
		const uint8_t *comma = memchr(rest.data, ',', rest.len);
		size_t n = comma ? (size_t)(comma - rest.data) : rest.len;
		if (parse_part(call, text_trim(BYTES(rest.data, n)), &p))
			return call_fail(
				call, ERR_CONFIG,
				"\"%.100s\": want bytes a second, and other ones for spans "
				"of hours, as \"20MB\" or \"20MB, 8-18=2MB\"",
				text);
		rest = bytes_from(rest, n + 1);
	}
	*ret = p;
	return OK;
}

static uint64_t rate_at(const struct plan *p, unsigned minute)
{
	uint64_t rate = p->rate;

	for (size_t i = 0; i < p->count; i++)
		if (day_hours_has(&p->spans[i].hours, minute))
			rate = p->spans[i].rate;
	return rate;
}

enum err traffic_rate_at(struct call *call, const char *text, unsigned minute, uint64_t *ret)
{
	struct plan p;

	TRY_PLAIN(parse(call, text, &p));
	*ret = rate_at(&p, minute);
	return OK;
}

enum err traffic_new(struct call *call, struct traffic *whole, struct traffic **ret)
{
	struct traffic *t = calloc(1, sizeof(*t));

	if (!t)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	t->whole = whole;
	*ret = t;
	return OK;
}

void traffic_free(struct traffic *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < TRAFFIC_WAYS; i++)
		pacer_fini(&t->pacers[i]);
	os_mutex_fini(&t->lock);
	free(t);
}

/* Lock held. */
static void look_at_clock(struct traffic *t)
{
	unsigned minute = os_clock_day_minute(os_clock_unix_ns());

	t->looked_mono_ns = os_clock_mono_ns();
	for (size_t i = 0; i < TRAFFIC_WAYS; i++)
		pacer_set_rate(&t->pacers[i], rate_at(&t->plans[i], minute));
}

enum err traffic_set(struct call *call, struct traffic *t, const char *receive, const char *send)
{
	struct plan plans[TRAFFIC_WAYS];

	TRY(parse(call, receive, &plans[TRAFFIC_RECEIVE]), "receive-rate");
	TRY(parse(call, send, &plans[TRAFFIC_SEND]), "send-rate");
	OS_LOCKED(&t->lock);
	memcpy(t->plans, plans, sizeof(plans));
	look_at_clock(t);
	return OK;
}

static struct pacer *pacer_of(struct traffic *t, enum traffic_way way)
{
	OS_LOCKED(&t->lock);

	if (t->plans[way].count &&
	    os_clock_mono_ns() - t->looked_mono_ns >= LOOK_SECONDS * NS_PER_SEC)
		look_at_clock(t);
	return &t->pacers[way];
}

enum err traffic_wait(struct call *call, struct traffic *t, enum traffic_way way, uint64_t n)
{
	for (; t; t = t->whole)
		TRY_PLAIN(pacer_wait(call, pacer_of(t, way), n));
	return OK;
}

void traffic_charge(struct traffic *t, enum traffic_way way, uint64_t n)
{
	for (; t; t = t->whole)
		pacer_charge(pacer_of(t, way), n);
}

uint64_t traffic_step(struct traffic *t, enum traffic_way way)
{
	uint64_t step = UINT64_MAX;

	for (; t; t = t->whole)
		step = MIN(step, pacer_step(pacer_of(t, way)));
	return step;
}

bool traffic_congested(struct traffic *t, enum traffic_way way)
{
	for (; t; t = t->whole)
		if (pacer_behind(pacer_of(t, way)) > CONGESTED_SECONDS * NS_PER_SEC)
			return true;
	return false;
}
