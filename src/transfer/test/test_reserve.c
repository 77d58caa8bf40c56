/*
 * The policy of a segment upload in simulated time: nodes with a rate, delays and faults behind a
 * link, a source, a ring.  Counted is what was sent, and when the segment was stored.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "transfer/reserve.h"

enum {
	NODES_MAX = 110,
	STEP = 64 << 10, /* of a piece, at most */
	TICK_MS = 100,	 /* how often the feeder looks without news */
	HOURS_MAX = 10,
};

#define MB 1048576.0
#define NEVER 1e18

struct node {
	double rate; /* bytes a second */
	double open_ms, answer_ms;
	double fails_at, stalls_at; /* bytes */
	/* What happens to its piece: put into the socket, known to the policy, arrived. */
	bool in_ring, waits;
	double put, told, done, at_ms;
};

struct world {
	unsigned n, success;
	uint64_t size;	     /* of a piece */
	double link, source; /* bytes a second, of all pieces; of each piece */
	double ring;	     /* bytes of a piece */
	double buffer;	     /* of a socket: goes at once */
	struct node nodes[NODES_MAX];
	const Metainfo__CohortRequirements *requirements;
	/* What happened. */
	struct cohort *cohort;
	struct reserve r;
	double now_ms, fed, slot_wait_ms, first_ms;
	unsigned first, started, most_running;
	double sent; /* bytes of all pieces */
	double stored_ms;
	bool stored;
};

/* 64 MiB in 4/6/8/10, 8 MiB a second for each node, everything faster than the nodes. */
static struct world even(void)
{
	struct world w = { .n = 10,
			   .success = 8,
			   .size = (uint64_t)(16 * MB),
			   .link = NEVER,
			   .source = NEVER,
			   .ring = 1.5 * MB };

	for (unsigned i = 0; i < NODES_MAX; i++)
		w.nodes[i] = (struct node){ .rate = 8 * MB * (1 + 0.02 * (i % 5)),
					    .open_ms = 20 + i % 7,
					    .answer_ms = 40 + 3 * (i % 4),
					    .fails_at = NEVER,
					    .stalls_at = NEVER };
	return w;
}

static int64_t ns(double ms)
{
	return (int64_t)(ms * (double)NS_PER_MS) + NS_PER_SEC;
}

static enum piece_state state(const struct world *w, unsigned i)
{
	return w->r.pieces[i].state;
}

static bool sends(const struct world *w, unsigned i)
{
	return (state(w, i) == PIECE_SENDING || state(w, i) == PIECE_ANSWERING) &&
	       w->nodes[i].done < MIN(w->fed, w->nodes[i].stalls_at);
}

/* What each piece that sends gets of the link: as much as the others, unless its node is slower. */
static void share_link(const struct world *w, double rates[])
{
	bool settled[NODES_MAX] = { false };
	double left = w->link;
	unsigned open = 0;

	for (unsigned i = 0; i < w->n; i++) {
		rates[i] = 0;
		open += sends(w, i);
	}
	for (bool again = true; again && open;) {
		double each = left / open;
		again = false;
		for (unsigned i = 0; i < w->n; i++) {
			if (!sends(w, i) || settled[i])
				continue;
			rates[i] = MIN(each, w->nodes[i].rate);
			if (w->nodes[i].rate >= each)
				continue;
			settled[i] = again = true;
			left -= w->nodes[i].rate;
			open--;
		}
	}
}

static void start(struct world *w, unsigned i)
{
	struct node *node = &w->nodes[i];

	assert_int_equal(state(w, i), PIECE_RESERVE);
	reserve_start(&w->r, i, ns(w->now_ms));
	node->in_ring = w->now_ms == 0; /* NOLINT: it is set to that */
	node->at_ms = w->now_ms;
	node->put = node->told = node->done = 0;
	node->waits = false;
	w->started++;
}

static void look(struct world *w)
{
	unsigned numbers[COHORT_PIECES_MAX], running = 0;
	unsigned count = reserve_wanted(&w->r, ns(w->now_ms), numbers);

	for (unsigned k = 0; k < count; k++)
		start(w, numbers[k]);
	for (unsigned i = 0; i < w->n; i++)
		running += reserve_runs(&w->r, i);
	w->most_running = MAX(w->most_running, running);
}

/* The piece's thread: into the socket, as much as fits. */
static void put_piece(struct world *w, unsigned i)
{
	struct node *node = &w->nodes[i];
	int64_t now = ns(w->now_ms);

	node->put = MAX(node->put, MIN(w->fed, node->done + w->buffer));
	if (node->put - node->told >= STEP || (node->put >= w->fed && node->told < w->fed)) {
		node->told = node->put;
		reserve_sent(&w->r, i, (uint64_t)node->put, now);
	}
	if (node->put >= (double)w->size) {
		reserve_all_sent(&w->r, i, now);
	} else if (node->put >= w->fed && !node->waits) {
		node->waits = true;
		reserve_wait(&w->r, i, now);
	} else if (node->put < w->fed && node->waits) {
		node->waits = false;
		reserve_go_on(&w->r, i, now);
	}
}

/* True when something happened that wakes the feeder. */
static bool move_piece(struct world *w, unsigned i, double rate, double ms)
{
	struct node *node = &w->nodes[i];
	int64_t now = ns(w->now_ms);

	if (state(w, i) == PIECE_OPENING && w->now_ms - node->at_ms >= node->open_ms)
		reserve_opened(&w->r, i, now);
	if (sends(w, i)) {
		double more = MIN(rate * ms / 1000, w->fed - node->done);
		node->done += more;
		w->sent += more;
	}
	if (reserve_runs(&w->r, i) && node->done >= node->fails_at) {
		reserve_end(&w->r, i, PIECE_FAILED, now);
		return true;
	}
	if (state(w, i) == PIECE_SENDING)
		put_piece(w, i);
	if (node->done < (double)w->size)
		node->at_ms = state(w, i) == PIECE_OPENING ? node->at_ms : w->now_ms;
	if (state(w, i) == PIECE_ANSWERING && w->now_ms - node->at_ms >= node->answer_ms) {
		reserve_end(&w->r, i, PIECE_STORED, now);
		return true;
	}
	return false;
}

/* The source goes on as far as the ring allows; who holds it up may leave. */
static void feed(struct world *w, double ms)
{
	double slowest = NEVER;
	bool ended = w->fed >= (double)w->size;

	for (unsigned i = 0; i < w->n; i++)
		if (w->nodes[i].in_ring && reserve_runs(&w->r, i))
			slowest = MIN(slowest, w->nodes[i].put);
	double room = slowest + w->ring - w->fed, more = w->source * ms / 1000;
	if (room < STEP && !ended) {
		unsigned waiting = 0, running = 0;
		w->slot_wait_ms += ms;
		for (unsigned i = 0; i < w->n; i++) {
			waiting += reserve_runs(&w->r, i) && w->nodes[i].waits;
			running += reserve_runs(&w->r, i);
		}
		for (unsigned i = 0; i < w->n && 2 * waiting >= running; i++)
			if (w->nodes[i].in_ring && w->nodes[i].put <= slowest + STEP &&
			    reserve_runs(&w->r, i) &&
			    reserve_holds_up(&w->r, i, ns(ms) - ns(0), ns(w->now_ms)))
				w->nodes[i].in_ring = false;
		return;
	}
	w->fed = MIN(w->fed + MIN(more, MAX(room, 0.0)), (double)w->size);
	if (!ended)
		reserve_fed(&w->r, (uint64_t)w->fed, ns(w->now_ms - w->slot_wait_ms) - ns(0),
			    w->fed >= (double)w->size);
}

static void run(struct world *w)
{
	struct call call AUTO_CALL = CALL_INIT;
	double looked_ms = 0, ms = MIN(1.0, (double)w->size / w->nodes[0].rate * 20);

	assert_int_equal(cohort_new(&call, w->requirements, w->success, &w->cohort), OK);
	reserve_init(&w->r, w->cohort, w->n, w->size, ns(0));
	for (unsigned i = 0; i < w->n; i++)
		reserve_offer(&w->r, i, false);
	look(w);
	w->first = w->started;
	while (!reserve_done(&w->r)) {
		double rates[NODES_MAX];
		bool news = false;
		w->now_ms += ms;
		feed(w, ms);
		share_link(w, rates);
		for (unsigned i = 0; i < w->n; i++)
			news |= move_piece(w, i, rates[i], ms);
		bool due = w->now_ms - looked_ms >= TICK_MS || ns(w->now_ms) >= reserve_due(&w->r);
		if (news || due) {
			looked_ms = w->now_ms;
			look(w);
		}
		assert_true(w->now_ms < HOURS_MAX * 3600e3);
		if (!reserve_possible(&w->r))
			break;
	}
	w->stored_ms = w->now_ms;
	w->stored = reserve_done(&w->r);
	cohort_free(w->cohort);
}

/* How long one whole piece takes when nothing goes wrong. */
static double whole_ms(const struct world *w)
{
	return 20 + (double)w->size / (8 * MB) * 1000 + 50;
}

static void expect(struct world *w, unsigned started, double ms_max)
{
	run(w);
	if (w->started != started || w->stored_ms > ms_max)
		fail_msg("%u pieces started (want %u), stored after %.0f ms (at most %.0f)",
			 w->started, started, w->stored_ms, ms_max);
	assert_true(w->stored);
}

/* ---- */

static void all_equal(void **state)
{
	struct world w = even();

	(void)state;
	expect(&w, 8, 1.05 * whole_ms(&w));
	assert_int_equal(w.first, 8);
	assert_true(w.sent < 8.01 * (double)w.size);
	/* Somewhat unequal ones, too: nobody is asked for more than is needed. */
	w = even();
	for (unsigned i = 0; i < w.n; i++)
		w.nodes[i].rate *= 0.7 + 0.1 * (i % 6);
	expect(&w, 8, 1.5 * whole_ms(&w));
	w = even();
	w.n = 80;
	w.success = 65;
	w.size = (uint64_t)(2.3 * MB);
	expect(&w, 65, 1.3 * whole_ms(&w));
}

static void one_slow(void **state)
{
	static const double factors[] = { 0.3, 0.1, 0.02 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(factors); k++) {
		struct world w = even();
		w.nodes[3].rate *= factors[k];
		expect(&w, 9, 1.7 * whole_ms(&w));
		/* The others were not held up by it. */
		assert_true(w.sent < 9.01 * (double)w.size);
	}
	struct world w = even();
	w.nodes[3].rate *= 0.1;
	w.buffer = 2.5 * MB;
	expect(&w, 9, 1.7 * whole_ms(&w));
	/* Not so slow that a new piece would be faster. */
	w = even();
	w.nodes[3].rate *= 0.6;
	expect(&w, 8, 1.8 * whole_ms(&w));
}

static void one_stalled(void **state)
{
	static const double at[] = { 0, 1, 8, 15.9 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(at); k++) {
		struct world w = even();
		w.nodes[5].stalls_at = at[k] * MB;
		expect(&w, 9, 2.4 * whole_ms(&w));
	}
	struct world w = even();
	w.nodes[5].stalls_at = 4 * MB;
	w.buffer = 2.5 * MB;
	expect(&w, 9, 2.4 * whole_ms(&w));
	/* A node that does not even open. */
	w = even();
	w.nodes[0].open_ms = NEVER;
	expect(&w, 9, 1.7 * whole_ms(&w));
}

/* A link of 10 Mbit/s, and one of 1, for all nodes together: no piece is a laggard. */
static void slow_link(void **state)
{
	static const double links[] = { 1.25e6, 125e3 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(links); k++) {
		struct world w = even();
		w.link = links[k];
		double all = 8 * (double)w.size / w.link * 1000;
		expect(&w, 8, 1.01 * all + 500);
		/* Nodes that are near and far on the same link. */
		w = even();
		w.link = links[k];
		for (unsigned i = 0; i < w.n; i++) {
			w.nodes[i].open_ms = 20 + 60.0 * i;
			w.nodes[i].answer_ms = 30 + 60.0 * i;
		}
		expect(&w, 8, 1.01 * all + 2000);
		/* Sockets that take much at once; pieces that fit into them. */
		w = even();
		w.link = links[k];
		w.buffer = 2.5 * MB;
		expect(&w, 8, 1.01 * all + 500);
		w = even();
		w.link = links[k];
		w.buffer = 2.5 * MB;
		w.size = 1 << 20;
		expect(&w, 8, 1.01 * all / 16 + 500);
		/* A stalled one among them is replaced all the same. */
		w = even();
		w.link = links[k];
		w.nodes[2].stalls_at = 4 * MB;
		expect(&w, 9, 2.0 * all);
	}
}

/* A source of 1 MiB a second (of each piece's data): nodes wait for it, which is not their fault.
 */
static void slow_source(void **state)
{
	struct world w = even();

	(void)state;
	w.source = 0.5 * MB;
	expect(&w, 8, 33e3);
	w = even();
	w.source = 0.5 * MB;
	w.nodes[4].stalls_at = 2 * MB;
	/* There is time enough until the source ends. */
	expect(&w, 9, 36e3);
}

static void failures(void **state)
{
	static const double at[] = { 0, 1, 8, 15.9 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(at); k++) {
		struct world w = even();
		w.nodes[1].fails_at = at[k] * MB;
		expect(&w, 9, (1.1 + at[k] / 16) * whole_ms(&w));
		w = even();
		w.nodes[1].fails_at = at[k] * MB;
		w.nodes[7].fails_at = at[ARRAY_LEN(at) - 1 - k] * MB;
		expect(&w, 10, 2.1 * whole_ms(&w));
	}
	/* The reserve is used up: new nodes are needed. */
	struct world w = even();
	w.nodes[1].fails_at = w.nodes[2].fails_at = w.nodes[3].fails_at = 0;
	run(&w);
	assert_false(w.stored);
	assert_int_equal(w.started, 10);
}

/* Nodes answer when the piece is on disk: all late is how it is, one late is a laggard. */
static void late_answers(void **state)
{
	struct world w = even();

	(void)state;
	for (unsigned i = 0; i < w.n; i++)
		w.nodes[i].answer_ms = 400 + 50 * (i % 8);
	expect(&w, 8, 1.5 * whole_ms(&w));
	w = even();
	w.nodes[6].answer_ms = 60000;
	expect(&w, 9, 2.6 * whole_ms(&w));
	/* One that is somewhat late costs less than a new piece. */
	w = even();
	w.nodes[6].answer_ms = 500;
	expect(&w, 8, 1.5 * whole_ms(&w));
}

/* 16 KiB pieces: nothing but answers counts. */
static void small(void **state)
{
	struct world w = even();

	(void)state;
	w.size = 16 << 10;
	for (unsigned i = 0; i < w.n; i++) {
		w.nodes[i].open_ms = 0.2;
		w.nodes[i].answer_ms = 6 + 0.5 * (i % 4);
	}
	struct world late = w, dead = w, deaf = w;
	expect(&w, 8, 20);
	/* Replaced after a few times the usual time. */
	late.nodes[2].answer_ms = 5000;
	expect(&late, 9, 60);
	dead.nodes[2].open_ms = NEVER;
	expect(&dead, 9, 60);
	deaf.nodes[2].stalls_at = 0;
	expect(&deaf, 9, 60);
}

static void no_reserve(void **state)
{
	struct world w = even();

	(void)state;
	w.n = w.success = 8;
	w.nodes[3].rate *= 0.1;
	expect(&w, 8, 11 * whole_ms(&w));
	assert_int_equal(w.first, 8);
	/* One piece alone has nobody to be compared with. */
	w = even();
	w.n = 3;
	w.success = 1;
	w.nodes[0].stalls_at = 0;
	expect(&w, 2, 4 * whole_ms(&w));
}

/* Half of the nodes hang: there is no usual to compare with but what is usual anywhere. */
static void many_stalled(void **state)
{
	struct world w = even();

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		w.nodes[i].open_ms = NEVER;
	w.n = 14;
	expect(&w, 13, 8 * whole_ms(&w));
}

static void shy_nodes_last(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct reserve r;
	struct cohort *c;
	unsigned numbers[COHORT_PIECES_MAX];

	(void)state;
	assert_int_equal(cohort_new(&call, NULL, 8, &c), OK);
	reserve_init(&r, c, 10, 1000, 1);
	for (unsigned i = 0; i < 10; i++)
		reserve_offer(&r, i, i == 2 || i == 4 || i == 9);
	assert_int_equal(reserve_wanted(&r, 1, numbers), 8);
	for (unsigned k = 0; k < 7; k++)
		assert_true(numbers[k] != 2 && numbers[k] != 4 && numbers[k] != 9);
	assert_int_equal(numbers[7], 2);
	for (unsigned k = 0; k < 8; k++)
		reserve_start(&r, numbers[k], 1);
	assert_int_equal(reserve_wanted(&r, 2, numbers), 0);
	/* A failed piece gets another node: in reserve again, and started when it is wanted. */
	reserve_end(&r, 0, PIECE_FAILED, 3);
	assert_int_equal(reserve_wanted(&r, 3, numbers), 1);
	assert_int_equal(numbers[0], 4);
	reserve_start(&r, 4, 3);
	reserve_offer(&r, 0, false);
	assert_int_equal(reserve_wanted(&r, 4, numbers), 0);
	reserve_end(&r, 1, PIECE_FAILED, 5);
	assert_int_equal(reserve_wanted(&r, 5, numbers), 1);
	assert_int_equal(numbers[0], 0);
	cohort_free(c);
}

/* ---- cohorts: 10 nodes, the largest data centre may go away and 6 must remain ---- */

static char dc[] = "dc";

struct places {
	Metainfo__AddressedOrderLimit nodes[10];
	Metainfo__AddressedOrderLimit__TagsEntry tags[10], *lists[10];
};

static void place(struct places *p, struct cohort *c, const char *values)
{
	for (unsigned i = 0; i < 10; i++) {
		metainfo__addressed_order_limit__init(&p->nodes[i]);
		metainfo__addressed_order_limit__tags_entry__init(&p->tags[i]);
		p->tags[i].key = dc;
		p->tags[i].value.data = (uint8_t *)(uintptr_t)&values[i];
		p->tags[i].value.len = 1;
		p->lists[i] = &p->tags[i];
		p->nodes[i].n_tags = 1;
		p->nodes[i].tags = &p->lists[i];
		cohort_set_tags(c, i, &p->nodes[i]);
	}
}

static void cohorts(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	Metainfo__CohortRequirements__Literal six = METAINFO__COHORT_REQUIREMENTS__LITERAL__INIT;
	Metainfo__CohortRequirements__Withhold largest =
		METAINFO__COHORT_REQUIREMENTS__WITHHOLD__INIT;
	Metainfo__CohortRequirements inner = METAINFO__COHORT_REQUIREMENTS__INIT, outer = inner,
				     none = inner;
	struct places places;
	struct reserve r;
	struct cohort *c;
	unsigned numbers[COHORT_PIECES_MAX];

	(void)state;
	six.value = 6;
	inner.requirement_case = METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_LITERAL;
	inner.literal = &six;
	largest.tag_key = dc;
	largest.amount = 1;
	largest.child = &inner;
	outer.requirement_case = METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_WITHHOLD;
	outer.withhold = &largest;

	/* Four at a, others alone: any one of b to g with the a's adds one that counts. */
	assert_int_equal(cohort_new(&call, &outer, 8, &c), OK);
	reserve_init(&r, c, 10, 1000, 1);
	place(&places, c, "aaaabcdefg");
	for (unsigned i = 0; i < 10; i++)
		reserve_offer(&r, i, false);
	unsigned count = reserve_wanted(&r, 1, numbers);
	assert_in_range(count, 7, 9);
	bool have[COHORT_PIECES_MAX] = { false };
	for (unsigned k = 0; k < count; k++) {
		have[numbers[k]] = true;
		reserve_start(&r, numbers[k], 1);
	}
	assert_true(cohort_enough(c, have));
	assert_int_equal(reserve_wanted(&r, 2, numbers), 0);
	/* When a piece fails that no other can stand for, the rules cannot be fulfilled: all that
	 * is left is started, and new nodes are needed. */
	reserve_end(&r, 5, PIECE_FAILED, 3);
	assert_false(reserve_possible(&r) && !reserve_wanted(&r, 3, numbers));
	cohort_free(c);

	/* Rules that ask for nothing: nothing is sure, all are started. */
	assert_int_equal(cohort_new(&call, &none, 8, &c), OK);
	reserve_init(&r, c, 10, 1000, 1);
	for (unsigned i = 0; i < 10; i++)
		reserve_offer(&r, i, false);
	assert_int_equal(reserve_wanted(&r, 1, numbers), 10);
	cohort_free(c);

	/* Rules that cannot be fulfilled: the same. */
	six.value = 11;
	assert_int_equal(cohort_new(&call, &outer, 8, &c), OK);
	reserve_init(&r, c, 10, 1000, 1);
	for (unsigned i = 0; i < 10; i++)
		reserve_offer(&r, i, false);
	assert_int_equal(reserve_wanted(&r, 1, numbers), 10);
	cohort_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_equal),	  cmocka_unit_test(one_slow),
		cmocka_unit_test(one_stalled),	  cmocka_unit_test(slow_link),
		cmocka_unit_test(slow_source),	  cmocka_unit_test(failures),
		cmocka_unit_test(late_answers),	  cmocka_unit_test(small),
		cmocka_unit_test(no_reserve),	  cmocka_unit_test(many_stalled),
		cmocka_unit_test(shy_nodes_last), cmocka_unit_test(cohorts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
