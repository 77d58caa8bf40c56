/* Scores by hand-computed values; what follows from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "satellite/config.h"

#define HOUR (3600 * NS_PER_SEC)
/* The beginning of a 12 h window. */
#define START (INT64_C(1700006400) * NS_PER_SEC)

static struct reputation_rules rules(void)
{
	const struct param_set set = { satellite_params, satellite_params_count };
	AUTO_CALL struct call call = CALL_INIT;
	struct satellite_config c = { 0 };

	call_init(&call);
	assert_int_equal(param_defaults(&call, &call.scratch, set, &c), OK);
	assert_int_equal(reputation_rules_check(&call, &c.reputation), OK);
	return c.reputation;
}

static struct reputation fresh(const struct reputation_rules *r)
{
	struct reputation rep;

	reputation_init(r, &rep);
	return rep;
}

static void many(const struct reputation_rules *rules, struct reputation *r, enum audit_outcome o,
		 int count, int64_t now_ns)
{
	for (int i = 0; i < count; i++)
		reputation_apply(rules, r, o, now_ns);
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9)

static void test_one_step(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);

	NEAR(reputation_score(&rep), 1);
	/* 0.999 * 1000 + 1 */
	reputation_apply(&r, &rep, AUDIT_SUCCESS, START);
	NEAR(rep.alpha, 1000);
	NEAR(rep.beta, 0);
	/* 0.95 * 1 + 1 */
	NEAR(rep.unknown_alpha, 1.95);
	reputation_apply(&r, &rep, AUDIT_FAILURE, START);
	NEAR(rep.alpha, 999);
	NEAR(rep.beta, 1);
	NEAR(reputation_score(&rep), 0.999);
	NEAR(rep.unknown_alpha, 1.95); /* a failure is no unknown error */
	reputation_apply(&r, &rep, AUDIT_UNKNOWN, START);
	NEAR(rep.alpha, 999);
	NEAR(rep.unknown_alpha, 1.8525);
	NEAR(rep.unknown_beta, 1);
	reputation_apply(&r, &rep, AUDIT_OFFLINE, START);
	NEAR(rep.alpha, 999);
	NEAR(rep.unknown_beta, 1);
	reputation_apply(&r, &rep, AUDIT_CONTAINED, START);
	assert_int_equal(rep.total, 4);
	/* Who says it himself pays as for an error that says nothing. */
	struct reputation said = rep, failed = rep;
	reputation_apply(&r, &said, AUDIT_DAMAGED, START);
	reputation_apply(&r, &failed, AUDIT_UNKNOWN, START);
	assert_memory_equal(&said, &failed, sizeof(said));
	NEAR(said.alpha, 999);
	assert_int_equal(rep.success, 1);
	assert_int_equal(rep.created_ns, START);
}

/* n equal events at once: the closed form that Storj's batches use. */
static void test_closed_form(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);
	double part = pow(0.999, 17);

	r.dq_score = 0;
	many(&r, &rep, AUDIT_FAILURE, 17, START);
	NEAR(rep.alpha, part * 1000);
	NEAR(rep.beta, (1 - part) / (1 - 0.999));
	many(&r, &rep, AUDIT_SUCCESS, 17, START);
	NEAR(rep.alpha, part * part * 1000 + (1 - part) / (1 - 0.999));
}

/* 0.999^40 = 0.96077, 0.999^41 = 0.95981 */
static void test_disqualified_by_41_failures(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);

	r.audit_grace = 0;
	many(&r, &rep, AUDIT_FAILURE, 40, START);
	assert_int_equal(rep.disqualified_ns, 0);
	many(&r, &rep, AUDIT_FAILURE, 1, START + 5);
	assert_int_equal(rep.disqualified_ns, START + 5);
	assert_int_equal(rep.disqualified_reason, DISQUALIFIED_AUDIT);
	/* Final. */
	many(&r, &rep, AUDIT_SUCCESS, 1000, START + 6);
	assert_int_equal(rep.disqualified_ns, START + 5);
	assert_int_equal(rep.total, 41);
	reputation_reinstate(&r, &rep);
	assert_int_equal(rep.disqualified_ns, 0);
	NEAR(reputation_score(&rep), 1);
}

/* The kinder way: suspended for a week, and only then out. */
static void test_suspended_before(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);
	const int64_t week = 168 * HOUR;

	many(&r, &rep, AUDIT_FAILURE, 41, START);
	assert_int_equal(rep.disqualified_ns, 0);
	assert_int_equal(rep.audit_suspended_ns, START);
	assert_int_equal(reputation_suspended_ns(&rep), START);
	/* One success lifts it: 0.95981 -> 0.95981 * 0.999 + 0.001 = 0.95985; another five do. */
	many(&r, &rep, AUDIT_SUCCESS, 4, START + HOUR);
	assert_int_equal(rep.audit_suspended_ns, START);
	many(&r, &rep, AUDIT_SUCCESS, 2, START + HOUR);
	assert_int_equal(rep.audit_suspended_ns, 0);
	/* Falling again within the review does not begin another one. */
	many(&r, &rep, AUDIT_FAILURE, 2, START + 2 * HOUR);
	assert_int_equal(rep.audit_suspended_ns, START + 2 * HOUR);
	assert_int_equal(rep.audit_review_ns, START);
	reputation_age(&r, &rep, START + week);
	assert_int_equal(rep.disqualified_ns, 0);
	reputation_age(&r, &rep, START + week + 1);
	assert_int_equal(rep.disqualified_ns, START + week + 1);
	assert_int_equal(rep.audit_suspended_ns, 0);
}

static void test_review_ends_well(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);

	many(&r, &rep, AUDIT_FAILURE, 41, START);
	many(&r, &rep, AUDIT_SUCCESS, 50, START + HOUR);
	reputation_age(&r, &rep, START + 169 * HOUR);
	assert_int_equal(rep.audit_review_ns, 0);
	assert_int_equal(rep.disqualified_ns, 0);
}

/* From 1/0 one unknown error gives 0.95 / 1.95 = 0.487; from the steady state 20/0 ten give
 * 0.95^10 = 0.599, nine 0.630. */
static void test_unknown(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);

	many(&r, &rep, AUDIT_UNKNOWN, 1, START);
	NEAR(reputation_unknown_score(&rep), 0.95 / 1.95);
	assert_int_equal(rep.unknown_suspended_ns, START);
	/* 1.9025 / 2.8525 = 0.667 */
	many(&r, &rep, AUDIT_SUCCESS, 1, START + 1);
	NEAR(reputation_unknown_score(&rep), 1.9025 / 2.8525);
	assert_int_equal(rep.unknown_suspended_ns, 0);
	many(&r, &rep, AUDIT_SUCCESS, 600, START + 1);
	NEAR(rep.unknown_alpha, 20);
	many(&r, &rep, AUDIT_UNKNOWN, 9, START + 2);
	assert_int_equal(rep.unknown_suspended_ns, 0);
	many(&r, &rep, AUDIT_UNKNOWN, 1, START + 2);
	assert_int_equal(rep.unknown_suspended_ns, START + 2);
	NEAR(reputation_score(&rep), 1);
	/* Never disqualified by default, and after the grace where that is set. */
	reputation_age(&r, &rep, START + 400 * HOUR);
	assert_int_equal(rep.disqualified_ns, 0);
	r.suspension_dq = true;
	reputation_age(&r, &rep, START + 168 * HOUR + 2);
	assert_int_equal(rep.disqualified_ns, 0);
	reputation_age(&r, &rep, START + 168 * HOUR + 3);
	assert_int_equal(rep.disqualified_reason, DISQUALIFIED_SUSPENSION);
}

/* Storj's own example of the online score: windows of one hour, two of them tracked. */
static void test_online_score(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);

	r.window = HOUR;
	r.tracking = 2 * HOUR;
	reputation_apply(&r, &rep, AUDIT_OFFLINE, START + HOUR / 30);
	NEAR(rep.online_score, 1);
	reputation_apply(&r, &rep, AUDIT_SUCCESS, START + HOUR / 3);
	NEAR(rep.online_score, 1);
	/* The first window is over: one of two. */
	reputation_apply(&r, &rep, AUDIT_OFFLINE, START + HOUR + HOUR / 30);
	NEAR(rep.online_score, 0.5);
	reputation_apply(&r, &rep, AUDIT_SUCCESS, START + HOUR + HOUR / 3);
	reputation_apply(&r, &rep, AUDIT_FAILURE, START + 2 * HOUR);
	NEAR(rep.online_score, 0.5);
	reputation_apply(&r, &rep, AUDIT_UNKNOWN, START + 2 * HOUR + HOUR / 2);
	NEAR(rep.online_score, 0.5);
	/* (0.5 + 1) / 2 */
	reputation_apply(&r, &rep, AUDIT_SUCCESS, START + 3 * HOUR);
	NEAR(rep.online_score, 0.75);
	assert_int_equal(rep.windows_count, 3);
	/* A clock that was set back spoils nothing. */
	reputation_apply(&r, &rep, AUDIT_SUCCESS, START);
	assert_int_equal(rep.windows_count, 3);
	assert_int_equal(rep.windows[2].total, 2);
}

static void test_offline_suspension(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);
	const int64_t window = 12 * HOUR;

	/* 59 windows that are over say nothing, 60 do. */
	for (int i = 0; i < 60; i++)
		many(&r, &rep, AUDIT_OFFLINE, 2, START + i * window);
	NEAR(rep.online_score, 0);
	assert_int_equal(rep.offline_suspended_ns, 0);
	int64_t at = START + 60 * window;
	many(&r, &rep, AUDIT_OFFLINE, 1, at);
	assert_int_equal(rep.offline_suspended_ns, at);
	assert_int_equal(rep.offline_review_ns, at);
	/* Back for 37 windows: 37 of 60 are above 0.6. */
	for (int i = 1; i <= 36; i++)
		many(&r, &rep, AUDIT_SUCCESS, 1, at + i * window);
	assert_int_equal(rep.offline_suspended_ns, at);
	many(&r, &rep, AUDIT_SUCCESS, 1, at + 37 * window);
	assert_int_equal(rep.offline_suspended_ns, 0);
	assert_int_equal(rep.offline_review_ns, at);
	/* Seven days and sixty windows later the review ends. */
	for (int i = 38; i <= 75; i++)
		many(&r, &rep, AUDIT_SUCCESS, 1, at + i * window);
	assert_int_equal(rep.offline_review_ns, 0);
}

static void test_vetting(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r);

	many(&r, &rep, AUDIT_OFFLINE, 99, START);
	many(&r, &rep, AUDIT_SUCCESS, 1, START + 504 * HOUR - 1);
	assert_int_equal(rep.vetted_ns, 0);
	many(&r, &rep, AUDIT_SUCCESS, 1, START + 504 * HOUR);
	assert_int_equal(rep.vetted_ns, START + 504 * HOUR);
	rep = fresh(&r);
	many(&r, &rep, AUDIT_SUCCESS, 1, START);
	many(&r, &rep, AUDIT_SUCCESS, 98, START + 600 * HOUR);
	assert_int_equal(rep.vetted_ns, 0);
	many(&r, &rep, AUDIT_SUCCESS, 1, START + 601 * HOUR);
	assert_int_equal(rep.vetted_ns, START + 601 * HOUR);
}

static void test_column(void **state)
{
	struct reputation_rules r = rules();
	struct reputation rep = fresh(&r), back = fresh(&r);
	AUTO_BUF struct buf b = BUF_INIT(8192);

	for (int i = 0; i < 70; i++)
		many(&r, &rep, i % 3 ? AUDIT_SUCCESS : AUDIT_OFFLINE, i + 1, START + i * 12 * HOUR);
	audit_windows_encode(&b, &rep);
	assert_int_equal(audit_windows_decode(buf_bytes(&b), &back), OK);
	assert_int_equal(back.windows_count, 61);
	assert_memory_equal(back.windows, rep.windows, 61 * sizeof(rep.windows[0]));
	/* Every shortening is refused or has fewer windows. */
	for (size_t n = 0; n < b.len; n++) {
		enum err e = audit_windows_decode(BYTES(b.data, n), &back);
		assert_true(e == ERR_FORMAT || back.windows_count < 61);
	}
	static const uint8_t more_online_than_all[] = { 1, 5, 3, 2 };
	static const uint8_t none[] = { 1, 5, 0, 0 };
	assert_int_equal(audit_windows_decode(BYTES_OF(more_online_than_all), &back), ERR_FORMAT);
	assert_int_equal(audit_windows_decode(BYTES_OF(none), &back), ERR_FORMAT);
}

static void test_rules(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct reputation_rules r = rules();

	call_init(&call);
	r.lambda = 1.1;
	assert_int_equal(reputation_rules_check(&call, &r), ERR_CONFIG);
	r = rules();
	r.window = 0;
	assert_int_equal(reputation_rules_check(&call, &r), ERR_CONFIG);
	r = rules();
	r.tracking = 300 * r.window;
	assert_int_equal(reputation_rules_check(&call, &r), ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_step),
		cmocka_unit_test(test_closed_form),
		cmocka_unit_test(test_disqualified_by_41_failures),
		cmocka_unit_test(test_suspended_before),
		cmocka_unit_test(test_review_ends_well),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_online_score),
		cmocka_unit_test(test_offline_suspension),
		cmocka_unit_test(test_vetting),
		cmocka_unit_test(test_column),
		cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
