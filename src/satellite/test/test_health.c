/* What counts as healthy, what is repaired, how urgently; no database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "satellite/health.h"

enum { UP = NODE_KNOWN | NODE_ONLINE };

static const struct scheme code = { 29, 35, 80, 110, 256 };

static void test_classes(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO(health_marks_free) struct health_marks marks = { 0 };
	/* By alias; two in network 1, one of those dead; two alive in network 2. */
	const struct loop_node nodes[] = {
		{ .flags = 0 },
		{ .flags = NODE_KNOWN, .net = 1 },
		{ .flags = UP, .net = 1 },
		{ .flags = UP, .net = 2 },
		{ .flags = UP | NODE_VETTED, .net = 2 },
		{ .flags = UP | NODE_SUSPENDED, .net = 3 },
		{ .flags = UP | NODE_EXITING, .net = 4 },
		{ .flags = UP | NODE_DISQUALIFIED, .net = 5 },
		{ .flags = UP | NODE_EXITING | NODE_SUSPENDED, .net = 4 },
	};
	const uint8_t want[] = { PIECE_MISSING,
				 PIECE_MISSING,
				 0,
				 0,
				 PIECE_CLUMPED,
				 PIECE_SUSPENDED,
				 PIECE_EXITING,
				 PIECE_MISSING,
				 PIECE_EXITING | PIECE_SUSPENDED | PIECE_CLUMPED };
	struct piece pieces[ARRAY_LEN(nodes)];
	uint8_t states[ARRAY_LEN(nodes)];
	struct segment_health h;

	assert_int_equal(health_marks_size(&call, &marks, 6), OK);
	for (uint32_t i = 0; i < ARRAY_LEN(nodes); i++)
		pieces[i] = (struct piece){ i, i };
	/* Marks of one segment mean nothing to the next. */
	for (unsigned round = 0; round < 3; round++) {
		segment_health(&marks, pieces, ARRAY_LEN(pieces), nodes, NULL, states, &h);
		assert_memory_equal(states, want, sizeof(want));
		assert_int_equal(h.pieces, 9);
		assert_int_equal(h.missing, 3);
		assert_int_equal(h.retrievable, 6);
		assert_int_equal(h.healthy, 2);
		assert_int_equal(h.clumped, 2);
		assert_int_equal(h.suspended, 2);
		assert_int_equal(h.exiting, 2);
		marks.round = round ? marks.round : UINT32_MAX; /* it wraps */
	}
}

/* Who is away as declared counts while enough others are there. */
static void test_away(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO(health_marks_free) struct health_marks marks = { 0 };
	const struct scheme few = { 2, 3, 5, 6, 256 };
	struct loop_node nodes[6];
	struct piece pieces[ARRAY_LEN(nodes)];
	struct segment_health h;

	assert_int_equal(health_marks_size(&call, &marks, 6), OK);
	for (uint32_t i = 0; i < ARRAY_LEN(nodes); i++) {
		nodes[i] = (struct loop_node){ .flags = UP, .net = i };
		pieces[i] = (struct piece){ i, i };
	}
	for (unsigned away = 1; away <= 5; away++) {
		nodes[away].flags = NODE_KNOWN | NODE_AWAY;
		segment_health(&marks, pieces, ARRAY_LEN(pieces), nodes, NULL, NULL, &h);
		assert_int_equal(h.healthy, 6);
		assert_int_equal(h.away, away);
		assert_int_equal(h.retrievable, 6 - away);
		/* 6 - away above the threshold of 3 without them. */
		assert_int_equal(segment_is_injured(&few, &h, false), away >= 3);
		assert_false(segment_is_injured(&few, &h, true) != (away >= 3));
		assert_int_equal(segment_pieces_wanted(&few, &h), away);
		assert_int_equal(segment_is_lost(&few, &h), away == 5);
	}
	/* Gone for good, or suspended besides: no excuse. */
	nodes[1].flags |= NODE_DISQUALIFIED;
	nodes[2].flags |= NODE_SUSPENDED;
	segment_health(&marks, pieces, ARRAY_LEN(pieces), nodes, NULL, NULL, &h);
	assert_int_equal(h.healthy, 4);
	assert_int_equal(h.away, 3);
	assert_int_equal(h.missing, 1);
}

/* Several pieces in one network are no fault where the rule lets them. */
static void test_shared_networks(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO(health_marks_free) struct health_marks marks = { 0 };
	const struct loop_node nodes[] = { { .flags = UP, .net = 1 }, { .flags = UP, .net = 1 } };
	const struct piece pieces[] = { { 0, 0 }, { 1, 1 } };
	struct placement rule = { .number = 1 };
	struct segment_health h;

	assert_int_equal(health_marks_size(&call, &marks, 2), OK);
	segment_health(&marks, pieces, 2, nodes, &rule, NULL, &h);
	assert_int_equal(h.healthy, 1);
	rule.shared_networks = true;
	segment_health(&marks, pieces, 2, nodes, &rule, NULL, &h);
	assert_int_equal(h.healthy, 2);
	assert_int_equal(h.clumped, 0);
}

/* On a node where the rule allows none, or whose country is not known. */
static void test_misplaced(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO(health_marks_free) struct health_marks marks = { 0 };
	const country de = country_parse(bytes_str("DE")), fr = country_parse(bytes_str("FR"));
	const struct loop_node nodes[] = {
		{ .flags = UP, .net = 1, .geo = { de, 0 } },
		{ .flags = UP, .net = 2, .geo = { fr, 0 } },
		{ .flags = UP, .net = 3 },
		{ .flags = UP, .net = 3, .geo = { fr, 0 } },
		{ .flags = NODE_KNOWN, .net = 4, .geo = { fr, 0 } },
	};
	const uint8_t want[] = { 0, PIECE_MISPLACED, PIECE_MISPLACED,
				 PIECE_MISPLACED | PIECE_CLUMPED, PIECE_MISSING };
	struct piece pieces[ARRAY_LEN(nodes)];
	uint8_t states[ARRAY_LEN(nodes)];
	struct segment_health h = { .healthy = 80 };
	struct placement rule;

	assert_int_equal(placement_parse(&call, 1, bytes_str("de"), bytes_str("DE"), &rule), OK);
	assert_int_equal(health_marks_size(&call, &marks, 5), OK);
	assert_false(segment_is_injured(&code, &h, false));
	for (uint32_t i = 0; i < ARRAY_LEN(nodes); i++)
		pieces[i] = (struct piece){ i, i };
	segment_health(&marks, pieces, ARRAY_LEN(pieces), nodes, &rule, states, &h);
	assert_memory_equal(states, want, sizeof(want));
	assert_int_equal(h.misplaced, 3);
	assert_int_equal(h.healthy, 1);
	assert_int_equal(h.retrievable, 4);
	/* One is enough, however many healthy ones there are. */
	h = (struct segment_health){ .healthy = 110, .misplaced = 1 };
	assert_true(segment_is_injured(&code, &h, false));
	/* Without a rule they are everywhere at home. */
	segment_health(&marks, pieces, ARRAY_LEN(pieces), nodes, NULL, states, &h);
	assert_int_equal(h.misplaced, 0);
}

static void test_thresholds(void **state)
{
	struct segment_health h = { .healthy = 35 };
	const struct scheme flat = { 4, 8, 8, 8, 256 };

	assert_true(segment_is_injured(&code, &h, false));
	h.healthy = 36;
	assert_false(segment_is_injured(&code, &h, false));
	assert_true(segment_is_injured(&code, &h, true));
	h.healthy = 80;
	assert_false(segment_is_injured(&code, &h, true));
	/* Success is above the repair threshold, whatever was configured. */
	assert_int_equal(health_thresholds(&flat).success, 9);
	assert_int_equal(health_thresholds(&flat).total, 9);
	h.healthy = 8;
	assert_true(segment_is_injured(&flat, &h, false));
	h.retrievable = 28;
	assert_true(segment_is_lost(&code, &h));
	h.retrievable = 29;
	assert_false(segment_is_lost(&code, &h));
}

/* The example of satellite.md 6, and that fewer pieces and more nodes that fail are worse. */
static void test_urgency(void **state)
{
	struct segment_health h = { .healthy = 34 };
	int64_t last = 0;

	assert_int_equal(segment_urgency(&code, &h, 24000) / 1000, 3154);
	for (h.healthy = 29; h.healthy <= 110; h.healthy++) {
		int64_t now = segment_urgency(&code, &h, 24000);
		assert_true(now > last);
		last = now;
	}
	h.healthy = 28;
	assert_int_equal(segment_urgency(&code, &h, 24000), 0);
	h.healthy = 40;
	assert_int_equal(segment_urgency(&code, &h, 0), segment_urgency(&code, &h, 10000));
	/* Fewer nodes than pieces: a number all the same. */
	assert_true(segment_urgency(&code, &h, 3) > 0);
}

static void test_wanted(void **state)
{
	const struct scheme small = { 4, 6, 8, 10, 256 }, tight = { 4, 6, 8, 8, 256 };
	struct segment_health h = { .healthy = 35 };

	assert_int_equal(segment_pieces_wanted(&code, &h), 84 - 35);
	h.healthy = 6;
	assert_int_equal(segment_pieces_wanted(&small, &h), 3);
	assert_int_equal(segment_pieces_wanted(&tight, &h), 2);
	h.healthy = 9;
	assert_int_equal(segment_pieces_wanted(&small, &h), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),	   cmocka_unit_test(test_misplaced),
		cmocka_unit_test(test_away),	   cmocka_unit_test(test_shared_networks),
		cmocka_unit_test(test_thresholds), cmocka_unit_test(test_urgency),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
