/*
 * All measures are relative: what a piece does is compared with what is usual, that is with the
 * piece in the middle of those that must succeed.  When all are slow alike none is doubted.
 */
#include "transfer/reserve.h"

#include <stdlib.h>

#include "base/num.h"

enum {
	/* The least that is taken for usual while fewer than half have shown it. */
	OPEN_DEFAULT_MS = 1000,
	GAP_DEFAULT_MS = 1000,
	ANSWER_DEFAULT_MS = 3000,
	/* A wait of so many usual ones, and a part of a whole piece's time, is too long. */
	WAIT_FACTOR = 3,
	PART = 4,
	GRACE_MS = 5,	      /* what threads and timers need in any case */
	PAUSE_GRACE_MS = 250, /* and what a disk that is flushed needs now and then */
	/* A rate is measured over one to two of these parts of a whole piece's time. */
	WINDOW_PART = 8,
	WINDOW_MIN_MS = 20,
	HOLD_PART = 4, /* of the time, besides such a pause, a piece may hold up all others */
};

#define WHOLE_MAX_NS (1000000 * NS_PER_SEC)

/* The rest of a piece against a whole new one: at first, and when others wait for it alone. */
#define REST_FACTOR 2.0
#define REST_FACTOR_END 1.25

void reserve_init(struct reserve *r, const struct cohort *cohort, unsigned n, uint64_t size,
		  int64_t now)
{
	*r = (struct reserve){ .cohort = cohort, .n = n, .size = size, .begun_ns = now };
	r->open_ns = OPEN_DEFAULT_MS * NS_PER_MS;
	r->gap_ns = GAP_DEFAULT_MS * NS_PER_MS;
	r->answer_ns = ANSWER_DEFAULT_MS * NS_PER_MS;
}

/* ---- what happens ---- */

static void move_to(struct reserve_piece *p, enum piece_state state, int64_t now)
{
	p->state = state;
	p->since_ns = p->moved_ns = now;
	p->waiting = false;
}

void reserve_offer(struct reserve *r, unsigned i, bool shy)
{
	r->pieces[i] = (struct reserve_piece){ .state = PIECE_RESERVE,
					       .shy = shy,
					       .open_ns = -1,
					       .gap_ns = -1,
					       .answer_ns = -1,
					       .stored_ns = -1 };
}

void reserve_start(struct reserve *r, unsigned i, int64_t now)
{
	move_to(&r->pieces[i], PIECE_OPENING, now);
}

void reserve_opened(struct reserve *r, unsigned i, int64_t now)
{
	struct reserve_piece *p = &r->pieces[i];

	if (p->state != PIECE_OPENING)
		return;
	p->open_ns = now - p->since_ns;
	move_to(p, PIECE_SENDING, now);
}

/* The time since the last step was the node's. */
static void step(struct reserve_piece *p, int64_t now)
{
	int64_t took = now - p->moved_ns;

	p->busy_ns += took;
	p->gap_ns = MAX(p->gap_ns, took);
	p->moved_ns = now;
}

void reserve_sent(struct reserve *r, unsigned i, uint64_t bytes, int64_t now)
{
	struct reserve_piece *p = &r->pieces[i];
	int64_t window = MAX(r->whole_ns / WINDOW_PART, WINDOW_MIN_MS * NS_PER_MS);

	if (p->state != PIECE_SENDING)
		return;
	step(p, now);
	p->sent = bytes;
	if (p->busy_ns - p->mark[1].busy_ns < window)
		return;
	p->mark[0] = p->mark[1];
	p->mark[1].sent = p->sent;
	p->mark[1].busy_ns = p->busy_ns;
}

void reserve_wait(struct reserve *r, unsigned i, int64_t now)
{
	struct reserve_piece *p = &r->pieces[i];

	if (p->state != PIECE_SENDING || p->waiting)
		return;
	p->busy_ns += now - p->moved_ns;
	p->moved_ns = now;
	p->waiting = true;
}

void reserve_go_on(struct reserve *r, unsigned i, int64_t now)
{
	struct reserve_piece *p = &r->pieces[i];

	if (!p->waiting)
		return;
	p->moved_ns = now;
	p->waiting = false;
}

/* Bytes a second of late; 0 = nothing was sent yet. */
static double rate_of(const struct reserve_piece *p, int64_t now)
{
	int64_t busy = p->busy_ns - p->mark[0].busy_ns;

	if (p->state == PIECE_ANSWERING || p->state == PIECE_STORED)
		return p->rate;
	if (p->state != PIECE_SENDING || !p->sent)
		return 0;
	if (!p->waiting)
		busy += now - p->moved_ns;
	return (double)(p->sent - p->mark[0].sent) * (double)NS_PER_SEC / (double)MAX(busy, 1);
}

void reserve_all_sent(struct reserve *r, unsigned i, int64_t now)
{
	struct reserve_piece *p = &r->pieces[i];

	if (p->state != PIECE_SENDING)
		return;
	p->rate = rate_of(p, now);
	move_to(p, PIECE_ANSWERING, now);
}

void reserve_end(struct reserve *r, unsigned i, enum piece_state state, int64_t now)
{
	struct reserve_piece *p = &r->pieces[i];

	if (state == PIECE_STORED && p->state == PIECE_ANSWERING)
		p->answer_ns = now - p->since_ns;
	if (state == PIECE_STORED)
		p->stored_ns = now - r->begun_ns;
	move_to(p, state, now);
}

void reserve_fed(struct reserve *r, uint64_t bytes, int64_t source_ns, bool ended)
{
	r->fed = bytes;
	r->source_ns = source_ns;
	r->ended = ended;
	if (ended)
		r->size = bytes;
}

bool reserve_holds_up(struct reserve *r, unsigned i, int64_t ns, int64_t now)
{
	struct reserve_piece *p = &r->pieces[i];

	p->held_ns += ns;
	return p->held_ns > (now - r->begun_ns) / HOLD_PART + PAUSE_GRACE_MS * NS_PER_MS;
}

/* ---- what is usual ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct sample {
	double values[COHORT_PIECES_MAX];
	unsigned count;
};

static void add(struct sample *s, double value)
{
	s->values[s->count++] = value;
}

/* The value in the middle of the best `first`, the least being the best; false when not so many are
 * known. */
static bool middle(const struct reserve *r, struct sample *s, double *ret)
{
	unsigned at = (r->first - (r->first > 0)) / 2;

	qsort(s->values, s->count, sizeof(s->values[0]), compare);
	if (s->count <= at)
		return false;
	*ret = s->values[at];
	return true;
}

/* A usual time; from few that are known not less than otherwise_ms. */
static int64_t usual_ns(const struct reserve *r, struct sample *s, int64_t otherwise_ms)
{
	double value;

	if (middle(r, s, &value))
		return (int64_t)value;
	int64_t most = s->count ? (int64_t)s->values[s->count - 1] : 0;
	return MAX(most, otherwise_ms * NS_PER_MS);
}

/* How long it is silent, for a reason that lies with the node. */
static int64_t silence(const struct reserve_piece *p, int64_t now)
{
	return p->waiting ? 0 : now - p->moved_ns;
}

/* What a new piece would take: its own bytes, or as long as the source still needs. */
static int64_t whole_ns(const struct reserve *r, double seconds_byte, int64_t answer_ns)
{
	double whole = (double)r->open_ns + seconds_byte * (double)r->size * (double)NS_PER_SEC;

	if (r->fed && !r->ended)
		whole = MAX(whole, (double)(r->size - MIN(r->fed, r->size)) * (double)r->source_ns /
					   (double)r->fed);
	return (int64_t)MIN(whole + (double)answer_ns, (double)WHOLE_MAX_NS);
}

static void measure_usual(struct reserve *r, int64_t now)
{
	struct sample open = { .count = 0 }, gap = { .count = 0 }, answer = { .count = 0 };
	struct sample stored = { .count = 0 },
		      slowness = { .count = 0 }; /* seconds a byte: the less the better */
	double value = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const struct reserve_piece *p = &r->pieces[i];
		double rate = rate_of(p, now);
		if (p->state == PIECE_FAILED || p->state == PIECE_DROPPED)
			continue;
		if (p->open_ns >= 0)
			add(&open, (double)p->open_ns);
		/* A silence that goes on counts: all may be in one. */
		if (p->state == PIECE_SENDING && r->first > 1)
			add(&gap, (double)MAX(p->gap_ns, silence(p, now)));
		else if (p->gap_ns >= 0)
			add(&gap, (double)p->gap_ns);
		if (p->answer_ns >= 0)
			add(&answer, (double)p->answer_ns);
		if (p->stored_ns >= 0)
			add(&stored, (double)p->stored_ns);
		if (rate > 0)
			add(&slowness, 1 / rate);
	}
	r->opened = open.count > 0;
	r->answered = answer.count > 0;
	r->open_ns = usual_ns(r, &open, OPEN_DEFAULT_MS);
	r->gap_ns = usual_ns(r, &gap, GAP_DEFAULT_MS);
	r->answer_ns = usual_ns(r, &answer, ANSWER_DEFAULT_MS);
	r->rate = middle(r, &slowness, &value) && value > 0 ? 1 / value : 0;
	double seconds_byte = r->rate > 0 ? value : 0;
	value = 0;
	(void)middle(r, &answer, &value);
	r->whole_ns = whole_ns(r, seconds_byte, (int64_t)value);
	/* Where something else than nodes is the bottleneck, the processor perhaps, all took longer
	 * than that. */
	value = (double)(now - r->begun_ns);
	(void)middle(r, &stored, &value);
	r->whole_ns = MAX(r->whole_ns, (int64_t)value);
	if (r->all_again)
		r->whole_ns = MIN(r->whole_ns * MAX(r->first, 1U), WHOLE_MAX_NS);
}

/* ---- who is doubted ---- */

/* How long a silence of the piece may be; INT64_MAX where it is not the node's, or nobody has done
 * better. */
static int64_t patience(const struct reserve *r, const struct reserve_piece *p)
{
	int64_t part = r->whole_ns / PART + GRACE_MS * NS_PER_MS;

	switch (p->state) {
	case PIECE_OPENING:
		return r->opened ? WAIT_FACTOR * r->open_ns + part : INT64_MAX;
	case PIECE_SENDING:
		/* The first message does not wait for a disk. */
		part += p->sent ? PAUSE_GRACE_MS * NS_PER_MS : 0;
		return p->waiting ? INT64_MAX : WAIT_FACTOR * r->gap_ns + part;
	case PIECE_ANSWERING:
		return r->answered ? WAIT_FACTOR * r->answer_ns + 2 * part : INT64_MAX;
	case PIECE_NONE:
	case PIECE_RESERVE:
	case PIECE_STORED:
	case PIECE_FAILED:
	case PIECE_DROPPED:
		break;
	}
	return INT64_MAX;
}

/* Half of the pieces that must succeed have been sent. */
static bool near_end(const struct reserve *r)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < r->n; i++)
		sent += r->pieces[i].state == PIECE_ANSWERING || r->pieces[i].state == PIECE_STORED;
	return r->ended && 2 * sent >= r->first;
}

/* Whether the rest of it takes so long that a whole new piece were faster. */
static bool too_slow(const struct reserve *r, const struct reserve_piece *p, double factor,
		     int64_t now)
{
	double rate = rate_of(p, now);

	if (p->state != PIECE_SENDING || p->waiting || !r->rate || rate <= 0 ||
	    p->busy_ns + now - p->moved_ns <= r->whole_ns / PART + PAUSE_GRACE_MS * NS_PER_MS)
		return false;
	double rest = (double)(r->size - MIN(p->sent, r->size)) / rate * (double)NS_PER_SEC;
	return rest > factor * (double)r->whole_ns;
}

static void measure_doubts(struct reserve *r, int64_t now)
{
	double factor = near_end(r) ? REST_FACTOR_END : REST_FACTOR;

	for (unsigned i = 0; i < r->n; i++) {
		struct reserve_piece *p = &r->pieces[i];
		p->doubted = reserve_runs(r, i) &&
			     (silence(p, now) > patience(r, p) || too_slow(r, p, factor, now));
	}
}

int64_t reserve_due(const struct reserve *r)
{
	int64_t due = INT64_MAX;

	for (unsigned i = 0; i < r->n; i++) {
		const struct reserve_piece *p = &r->pieces[i];
		int64_t most = patience(r, p);
		if (!p->doubted && most != INT64_MAX)
			due = MIN(due, p->moved_ns + most + 1);
	}
	return due;
}

/* ---- who is started ---- */

/* Takes pieces out of have[] again that are not needed, from the end of the row. */
static void thin(const struct reserve *r, bool have[COHORT_PIECES_MAX], const unsigned row[],
		 unsigned count)
{
	while (count--) {
		have[row[count]] = false;
		if (!cohort_enough(r->cohort, have))
			have[row[count]] = true;
	}
}

unsigned reserve_wanted(struct reserve *r, int64_t now, unsigned numbers[COHORT_PIECES_MAX])
{
	bool have[COHORT_PIECES_MAX] = { false };
	static const bool nothing[COHORT_PIECES_MAX];
	unsigned row[COHORT_PIECES_MAX], count = 0, wanted = 0;

	measure_usual(r, now);
	measure_doubts(r, now);
	for (unsigned i = 0; i < r->n; i++)
		have[i] = r->pieces[i].state == PIECE_STORED ||
			  (reserve_runs(r, i) && !r->pieces[i].doubted);
	if (r->first && cohort_enough(r->cohort, have))
		return 0;
	for (unsigned shy = 0; shy < 2; shy++)
		for (unsigned i = 0; i < r->n; i++)
			if (r->pieces[i].state == PIECE_RESERVE && r->pieces[i].shy == shy)
				have[row[count++] = i] = true;
	/* When they cannot be enough, or none is needed, all are started: every one may help. */
	bool sure = cohort_enough(r->cohort, have) && !cohort_enough(r->cohort, nothing);
	if (sure)
		thin(r, have, row, count);
	for (unsigned k = 0; k < count; k++)
		if (have[row[k]])
			numbers[wanted++] = row[k];
	if (!r->first)
		r->first = wanted;
	return wanted;
}

bool reserve_done(const struct reserve *r)
{
	bool have[COHORT_PIECES_MAX] = { false };

	for (unsigned i = 0; i < r->n; i++)
		have[i] = r->pieces[i].state == PIECE_STORED;
	return cohort_enough(r->cohort, have);
}

bool reserve_possible(const struct reserve *r)
{
	bool have[COHORT_PIECES_MAX] = { false };

	for (unsigned i = 0; i < r->n; i++)
		have[i] = r->pieces[i].state == PIECE_STORED ||
			  r->pieces[i].state == PIECE_RESERVE || reserve_runs(r, i);
	return cohort_enough(r->cohort, have);
}
