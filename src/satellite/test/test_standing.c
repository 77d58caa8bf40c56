/* What audits make of a node's row, what it is told, and the way back: `test_standing
 * sqlite|postgres`. */
#include "os/thread.h"
#include "proto/acre_node.pb-c.h"
#include "satellite/standing.h"
#include "satellite/test/metainfo_world.h"

#define HOUR (3600 * NS_PER_SEC)

static struct reputation_rules *rules_of(struct world *w)
{
	struct reputation_rules *r = &w->sat.config.reputation;

	/* As on the open internet, but that a few failures are enough. */
	r->initial_alpha = 10;
	r->lambda = 0.9;
	r->audit_grace = HOUR;
	r->vet_audits = 3;
	r->vet_age = 2 * HOUR;
	return r;
}

static struct audit_record one(struct world *w, int node, enum audit_outcome outcome)
{
	struct audit_record r = { .node = *identity_node_id(w->nodes[node]),
				  .outcome = outcome,
				  .number = 3,
				  .offset = 256,
				  .size = 256,
				  .detail = outcome == AUDIT_SUCCESS ? "" : "file does not exist" };

	stream_uuid_new(&r.stream);
	os_random(r.piece.b, PIECE_ID_BYTES);
	return r;
}

static void audit(struct world *w, int node, enum audit_outcome outcome, int64_t now_ns)
{
	struct audit_record r = one(w, node, outcome);

	must(w, standing_record(&w->call, &w->sat, &r, 1, now_ns));
}

static struct reputation standing(struct world *w, int node)
{
	struct reputation r;

	must(w, standing_get(&w->call, w->sat.db, &w->sat.config.reputation,
			     identity_node_id(w->nodes[node]), &r));
	return r;
}

static bool has_event(struct world *w, int node, const char *text)
{
	struct node_event *list = NULL;
	size_t count = 0;

	must(w, standing_events(&w->call, w->sat.db, &w->call.scratch,
				identity_node_id(w->nodes[node]), 0, &list, &count));
	for (size_t i = 0; i < count; i++)
		if (strncmp(list[i].text, text, strlen(text)) == 0)
			return true;
	return false;
}

/* How many nodes an upload could get. */
static size_t selectable(struct world *w)
{
	return overlay_count(&w->sat).selectable;
}

static void test_scores_come_back(void **state)
{
	struct world *w = *state;
	int64_t now = os_clock_unix_ns();

	rules_of(w);
	struct reputation r = standing(w, 0);
	assert_int_equal(r.total, 0);
	assert_true(r.alpha == 10 && r.online_score == 1);
	audit(w, 0, AUDIT_SUCCESS, now);
	audit(w, 0, AUDIT_FAILURE, now);
	r = standing(w, 0);
	assert_int_equal(r.total, 2);
	assert_int_equal(r.created_ns, now);
	/* (0.9 * 10 + 1) * 0.9 and 1, to the last bit. */
	assert_true(r.alpha == 0.9 * (0.9 * 10 + 1));
	assert_true(r.beta == 1);
	assert_int_equal(r.windows_count, 1);
	/* Nodes nobody knows are passed over. */
	struct audit_record unknown = one(w, 0, AUDIT_FAILURE);
	unknown.node.b[3] ^= 1;
	must(w, standing_record(&w->call, &w->sat, &unknown, 1, now));
}

enum { AT_ONCE = 2, ROUNDS = 20, NODES_AT_ONCE = 6 };

struct auditor {
	struct world *w;
	int64_t now_ns;
	bool backwards;
};

static void auditor_main(void *arg)
{
	const struct auditor *a = arg;
	struct audit_record list[NODES_AT_ONCE];

	for (int i = 0; i < NODES_AT_ONCE; i++)
		list[i] = one(a->w, a->backwards ? NODES_AT_ONCE - 1 - i : i, AUDIT_SUCCESS);
	for (int i = 0; i < ROUNDS; i++) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		if (standing_record(&call, &a->w->sat, list, NODES_AT_ONCE, a->now_ns))
			fail_msg("%s", call_error(&call, ERR_UNKNOWN));
	}
}

/* Audits that have nodes in common wait for each other, not in a circle; all are counted. */
static void test_at_once(void **state)
{
	struct world *w = *state;
	struct auditor auditors[AT_ONCE] = { { w, os_clock_unix_ns(), false },
					     { w, os_clock_unix_ns(), true } };
	struct os_thread *threads[AT_ONCE];

	for (int i = 0; i < AT_ONCE; i++)
		must(w,
		     os_thread_start(&w->call, "auditor", auditor_main, &auditors[i], &threads[i]));
	for (int i = 0; i < AT_ONCE; i++)
		os_thread_join(threads[i]);
	for (int i = 0; i < NODES_AT_ONCE; i++)
		assert_int_equal(standing(w, i).total, AT_ONCE * ROUNDS);
}

static void test_suspended_disqualified_reinstated(void **state)
{
	struct world *w = *state;
	struct reputation_rules *rules = rules_of(w);
	int64_t now = os_clock_unix_ns();
	size_t changed = 0;

	assert_int_equal(selectable(w), NODES);
	audit(w, 1, AUDIT_FAILURE, now); /* 0.9 */
	struct reputation r = standing(w, 1);
	assert_int_equal(r.audit_suspended_ns, now);
	assert_true(has_event(w, 1, "suspended: failed audits (score 0.9000)"));
	/* At once, and for whoever reads the nodes anew. */
	assert_int_equal(selectable(w), NODES - 1);
	must(w, standing_age_all(&w->call, &w->sat, now + HOUR, &changed));
	assert_int_equal(changed, 0);
	must(w, standing_age_all(&w->call, &w->sat, now + HOUR + 1, &changed));
	assert_int_equal(changed, 1);
	r = standing(w, 1);
	assert_int_equal(r.disqualified_ns, now + HOUR + 1);
	assert_int_equal(r.audit_suspended_ns, 0);
	assert_true(has_event(w, 1, "disqualified: failed audits"));
	/* Nothing counts any more. */
	audit(w, 1, AUDIT_SUCCESS, now + 2 * HOUR);
	assert_int_equal(standing(w, 1).total, 1);
	must(w, standing_reinstate(&w->call, w->sat.db, rules, identity_node_id(w->nodes[1]),
				   now + 3 * HOUR));
	must(w, overlay_refresh(&w->call, &w->sat));
	assert_int_equal(selectable(w), NODES);
	assert_true(has_event(w, 1, "reinstated"));
	must(w, standing_disqualify(&w->call, w->sat.db, rules, identity_node_id(w->nodes[1]),
				    now + 4 * HOUR));
	assert_int_equal(standing(w, 1).disqualified_ns, now + 4 * HOUR);
	struct node_id nobody = { { 1 } };
	assert_int_equal(standing_reinstate(&w->call, w->sat.db, rules, &nobody, now),
			 ERR_NOT_FOUND);
}

static void test_vetted_and_stray(void **state)
{
	struct world *w = *state;
	struct reputation_rules *rules = rules_of(w);
	int64_t now = os_clock_unix_ns();
	size_t changed = 0;

	for (int i = 0; i < 3; i++)
		audit(w, 2, AUDIT_SUCCESS, now + i * HOUR);
	assert_int_equal(standing(w, 2).vetted_ns, now + 2 * HOUR);
	assert_true(has_event(w, 2, "vetted"));
	must(w, standing_age_all(&w->call, &w->sat, now + rules->stray - HOUR, &changed));
	assert_int_equal(changed, 0);
	must(w, standing_age_all(&w->call, &w->sat, now + rules->stray + HOUR, &changed));
	assert_int_equal(changed, NODES);
	assert_int_equal(standing(w, 2).disqualified_reason, DISQUALIFIED_OFFLINE);
	assert_int_equal(selectable(w), 0);
}

static void test_results_are_signed(void **state)
{
	struct world *w = *state;
	const struct public_key *key = cert_chain_leaf_key(identity_chain(w->sat.identity));
	struct audit_result *list = NULL;
	Acre__AuditResult *m = NULL;
	struct audit_record r = one(w, 4, AUDIT_FAILURE);
	int64_t now = os_clock_unix_ns();
	size_t count = 0;

	rules_of(w);
	audit(w, 4, AUDIT_SUCCESS, now);
	must(w, standing_record(&w->call, &w->sat, &r, 1, now));
	must(w, standing_results(&w->call, w->sat.db, &w->call.scratch, &r.node, 0, &list, &count));
	assert_int_equal(count, 1);
	must(w, public_key_verify(&w->call, key, list[0].result, list[0].signature));
	must(w, proto_decode(&w->call, &w->call.scratch, &acre__audit_result__descriptor,
			     list[0].result, &m));
	assert_memory_equal(m->piece_id.data, r.piece.b, PIECE_ID_BYTES);
	assert_string_equal(m->detail, "file does not exist");
	assert_int_equal(m->outcome, ACRE__AUDIT_RESULT__OUTCOME__FAILURE);
	/* The oldest go. */
	for (int i = 1; i <= AUDIT_RESULTS_KEPT + 5; i++)
		audit(w, 4, AUDIT_OFFLINE, now + i);
	must(w, standing_results(&w->call, w->sat.db, &w->call.scratch, NULL, 0, &list, &count));
	assert_int_equal(count, AUDIT_RESULTS_KEPT);
	assert_int_equal(list[count - 1].at_ns, now + AUDIT_RESULTS_KEPT + 5);
	must(w, standing_results(&w->call, w->sat.db, &w->call.scratch, &r.node,
				 now + AUDIT_RESULTS_KEPT + 3, &list, &count));
	assert_int_equal(count, 2);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_scores_come_back),
		TEST(test_at_once),
		TEST(test_suspended_disqualified_reinstated),
		TEST(test_vetted_and_stray),
		TEST(test_results_are_signed),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
