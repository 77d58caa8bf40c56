/* Cohort requirements and the spool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "proto/proto.h"
#include "transfer/cohort.h"
#include "os/file.h"
#include "transfer/spool.h"

typedef Metainfo__CohortRequirements requirement;

static requirement literal(Metainfo__CohortRequirements__Literal *l, int value)
{
	requirement r = METAINFO__COHORT_REQUIREMENTS__INIT;

	metainfo__cohort_requirements__literal__init(l);
	l->value = value;
	r.requirement_case = METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_LITERAL;
	r.literal = l;
	return r;
}

static requirement withhold(Metainfo__CohortRequirements__Withhold *w, char *key, int amount,
			    requirement *child)
{
	requirement r = METAINFO__COHORT_REQUIREMENTS__INIT;

	metainfo__cohort_requirements__withhold__init(w);
	w->tag_key = key;
	w->amount = amount;
	w->child = child;
	r.requirement_case = METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_WITHHOLD;
	r.withhold = w;
	return r;
}

static requirement both(Metainfo__CohortRequirements__And *a, requirement **list, size_t count)
{
	requirement r = METAINFO__COHORT_REQUIREMENTS__INIT;

	metainfo__cohort_requirements__and__init(a);
	a->requirements = list;
	a->n_requirements = count;
	r.requirement_case = METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_AND;
	r.and_ = a;
	return r;
}

/* Pieces 0..n-1 are stored; piece i has tag "dc" = values[i] ('-' = none). */
static bool enough(const requirement *r, const char *values)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct arena *a = &call.scratch;
	bool have[COHORT_PIECES_MAX] = { false };
	struct cohort *c;

	assert_int_equal(cohort_new(&call, r, 2, &c), OK);
	for (unsigned i = 0; values[i]; i++) {
		Metainfo__AddressedOrderLimit *node = arena_alloc(a, sizeof(*node));
		Metainfo__AddressedOrderLimit__TagsEntry *tag = arena_alloc(a, sizeof(*tag));
		metainfo__addressed_order_limit__init(node);
		metainfo__addressed_order_limit__tags_entry__init(tag);
		tag->key = arena_str(a, bytes_str("dc"));
		tag->value = proto_copy(a, BYTES(&values[i], 1));
		node->tags = arena_alloc(a, sizeof(*node->tags));
		node->tags[0] = tag;
		node->n_tags = values[i] != '-';
		cohort_set_tags(c, i, node);
		have[i] = true;
	}
	bool r1 = cohort_enough(c, have);
	cohort_free(c);
	return r1;
}

static void cohorts(void **state)
{
	Metainfo__CohortRequirements__Literal l3, l2;
	Metainfo__CohortRequirements__Withhold w1, w2;
	Metainfo__CohortRequirements__And a;
	requirement three = literal(&l3, 3), two = literal(&l2, 2);
	requirement without = withhold(&w1, (char[]){ "dc" }, 1, &two);
	requirement without_two = withhold(&w2, (char[]){ "dc" }, 2, &two);
	requirement *list[] = { &three, &without };
	requirement all = both(&a, list, 2);

	assert_false(enough(NULL, "-"));
	assert_true(enough(NULL, "--"));
	assert_false(enough(&three, "--"));
	assert_true(enough(&three, "---"));
	/* The largest data centre may go away. */
	assert_false(enough(&without, "aab"));
	assert_true(enough(&without, "aabb"));
	assert_true(enough(&without, "aab-"));
	assert_true(enough(&without, "----"));
	assert_false(enough(&without_two, "aabbc"));
	assert_true(enough(&without_two, "aabbcc"));
	assert_false(enough(&all, "ab"));
	assert_false(enough(&all, "aaab"));
	assert_true(enough(&all, "abc"));
}

static void too_many_requirements(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	Metainfo__CohortRequirements__Literal l;
	Metainfo__CohortRequirements__And a;
	requirement one = literal(&l, 1), *list[COHORT_RULES_MAX + 1];
	struct cohort *c;

	for (size_t i = 0; i <= COHORT_RULES_MAX; i++)
		list[i] = &one;
	requirement many = both(&a, list, COHORT_RULES_MAX + 1);
	assert_int_equal(cohort_new(&call, &many, 2, &c), ERR_PROTOCOL);
}

/* Returns the spool's file; takes the one of another spool. */
static struct os_file *check_spool(const char *dir, uint64_t memory_max, struct os_file *file,
				   unsigned seed)
{
	enum { SIZE = 1200000 };
	struct call call AUTO_CALL = CALL_INIT;
	AUTO_FREE uint8_t *in = malloc(SIZE);
	AUTO_FREE uint8_t *out = malloc(SIZE);
	struct spool *s;

	for (size_t i = 0; i < SIZE; i++)
		in[i] = (uint8_t)(i * 7 + i / 251 + seed);
	assert_int_equal(spool_new(&call, dir, memory_max, SIZE, file, &s), OK);
	for (size_t at = 0; at < SIZE; at += 40000)
		assert_int_equal(spool_append(&call, s, BYTES(in + at, 40000)), OK);
	assert_int_equal(spool_append(&call, s, BYTES(in, 1)), ERR_OUT_OF_RANGE);
	for (size_t at = 0; at < SIZE; at += 99999) {
		size_t n = SIZE - at < 300000 ? SIZE - at : 300000;
		assert_int_equal(spool_read(&call, s, at, out, n), OK);
		assert_memory_equal(out, in + at, n);
	}
	assert_int_not_equal(spool_read(&call, s, SIZE - 1, out, 2), OK);
	file = spool_take_file(s);
	spool_free(s);
	return file;
}

static void spools(void **state)
{
	struct os_file *file = check_spool(NULL, 1 << 20, NULL, 0);

	assert_non_null(file);
	/* What the file held before is not seen. */
	file = check_spool(NULL, 0, file, 1);
	file = check_spool(NULL, 300000, file, 2);
	file = check_spool("inmemory", 0, file, 3);
	assert_non_null(file);
	os_file_close(file);
	assert_null(check_spool("inmemory", 0, NULL, 4));
	/* A place that is not there: memory instead. */
	assert_null(check_spool("/nonexistent/place", 1000, NULL, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cohorts),
		cmocka_unit_test(too_many_requirements),
		cmocka_unit_test(spools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
