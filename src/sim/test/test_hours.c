/*
 * A night in the simulated world (docs/design/hours.md): one node declared that it is away then,
 * another is just as silent and declared nothing, the rest stay.  The first is asked for nothing,
 * and nothing is held against it; its pieces stay where they are as long as enough others are
 * there.  In the morning it is a node like every other.  `test_sim_hours [SEED]`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/world.h"
#include "db/test/number.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"
#include "os/random.h"
#include "satellite/audit.h"
#include "satellite/overlay.h"
#include "satellite/segment_loop.h"
#include "sim/network.h"
#include "sim/test/renter.h"
#include "sim/world.h"

enum {
	NODES = 10,
	SLEEPER = 0, /* is away as it declares */
	SILENT = 1,  /* is away, and never comes again */
	OBJECT_BYTES = 30000,
	REPAIR = 3, /* with so few that are there, a segment is repaired */
	SUCCESS = 5,
	EVENING = 60, /* objects, at most */
	PIECES = 4,   /* that both of them have at least */
	NIGHT = 4,
	MORNING = 12,
	OBJECTS_MAX = EVENING + 2 * NIGHT + MORNING,
};
#define CODE "2/3/5/6"
#define HOURS "9-2" /* the world begins at midnight, UTC */
#define MINUTE_NS (60 * NS_PER_SEC)
#define HOUR_NS (60 * MINUTE_NS)

/* A segment is an object here, and these are the nodes of its pieces. */
struct places {
	struct stream_uuid stream;
	bool on[NODES];
	uint32_t numbers[NODES]; /* of the pieces */
	unsigned count;
};

struct night {
	struct call *call;
	struct sim_net *net;
	struct satellite *sat;
	struct renter renter;
	struct places places[OBJECTS_MAX];
	size_t count; /* when they were looked at last */
	unsigned objects;
};

static void must(struct night *n, enum err e)
{
	if (e)
		fail_msg("%s: %s", err_name(e), call_error(n->call, e));
}

static int64_t midnight_ns;

static void sleep_until(struct night *n, int hour, int minute)
{
	int64_t left = midnight_ns + hour * HOUR_NS + minute * MINUTE_NS - os_clock_unix_ns();

	assert_true(left >= 0); /* the steps before have not taken longer than that */
	must(n, os_sleep(n->call, left));
}

/* ---- where the pieces are ---- */

static enum err nothing(struct call *call, void *arg, const struct segment_run *run)
{
	return OK;
}

static enum err look(struct call *call, void *arg, const struct segment_run *run,
		     const struct loop_segment *list, size_t count)
{
	struct night *n = arg;

	for (size_t i = 0; i < count && n->count < OBJECTS_MAX; i++) {
		struct places *p = &n->places[n->count++];
		*p = (struct places){ .stream = list[i].stream, .count = list[i].pieces_count };
		for (uint32_t j = 0; j < list[i].pieces_count; j++)
			for (unsigned k = 0; k < NODES; k++) {
				struct node_id id = sim_net_node_id(n->net, k);
				if (!node_id_equal(&run->nodes[list[i].pieces[j].alias].id, &id))
					continue;
				p->on[k] = true;
				p->numbers[k] = list[i].pieces[j].number;
			}
	}
	return OK;
}

static enum err whole(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	assert_true(complete);
	return OK;
}

static void look_at_places(struct night *n)
{
	const struct segment_observer o = { "places", n, nothing, look, whole };
	struct segment_loop *loop = NULL;

	n->count = 0;
	must(n, segment_loop_new(n->call, n->sat, &loop));
	must(n, segment_loop_add(n->call, loop, &o));
	must(n, segment_loop_run(n->call, loop, 100, NULL));
	segment_loop_free(loop);
	assert_int_equal(n->count, n->objects);
}

static const struct places *find_places(const struct night *n, const struct stream_uuid *stream)
{
	for (size_t i = 0; i < n->count; i++)
		if (memcmp(&n->places[i].stream, stream, sizeof(*stream)) == 0)
			return &n->places[i];
	return NULL;
}

static unsigned pieces_on(const struct night *n, unsigned node)
{
	unsigned count = 0;

	for (size_t i = 0; i < n->count; i++)
		count += n->places[i].on[node];
	return count;
}

static unsigned shared_by(const struct night *n, bool sleeper, bool silent)
{
	unsigned count = 0;

	for (size_t i = 0; i < n->count; i++)
		count += n->places[i].on[SLEEPER] == sleeper && n->places[i].on[SILENT] == silent;
	return count;
}

/* ---- objects ---- */

static void data_of(unsigned number, uint8_t data[OBJECT_BYTES])
{
	for (unsigned i = 0; i < OBJECT_BYTES; i++)
		data[i] = (uint8_t)(number * 31 + i * 7 + i / 251);
}

static const char *key_of(unsigned number)
{
	static char key[20];

	snprintf(key, sizeof(key), "object%u", number);
	return key;
}

static void upload(struct night *n, unsigned count)
{
	static uint8_t data[OBJECT_BYTES];

	for (; count; count--) {
		data_of(n->objects, data);
		renter_put(&n->renter, key_of(n->objects), data, sizeof(data));
		n->objects++;
	}
}

static void read_all(struct night *n)
{
	static uint8_t data[OBJECT_BYTES];

	for (unsigned i = 0; i < n->objects; i++) {
		data_of(i, data);
		renter_get(&n->renter, key_of(i), data, sizeof(data));
	}
}

/* Uploads that must leave the sleeper out. */
static void upload_without_sleeper(struct night *n)
{
	static struct night before;
	unsigned fresh = 0;

	look_at_places(n);
	before = *n;
	upload(n, NIGHT);
	look_at_places(n);
	for (size_t i = 0; i < n->count; i++) {
		if (find_places(&before, &n->places[i].stream))
			continue;
		assert_false(n->places[i].on[SLEEPER]);
		fresh++;
	}
	assert_int_equal(fresh, NIGHT);
}

/* ---- standing ---- */

static struct reputation standing(struct night *n, unsigned node)
{
	struct node_id id = sim_net_node_id(n->net, node);
	struct reputation r;

	must(n, standing_get(n->call, n->sat->db, &n->sat->config.reputation, &id, &r));
	return r;
}

/* Audits that did not find it there. */
static unsigned missed(const struct reputation *r)
{
	unsigned count = 0;

	for (size_t i = 0; i < r->windows_count; i++)
		count += r->windows[i].total - r->windows[i].online;
	return count;
}

static int64_t number(struct night *n, const char *sql)
{
	int64_t value = -1;

	must(n, db_test_number(n->call, n->sat->db, sql, &value));
	return value;
}

#define OWED "SELECT COUNT(*) FROM reverification_audits"

/* It owes a piece, which stays where it is; as long as that is so, audits leave it out anyway. */
static void contain_sleeper(struct night *n)
{
	struct reverify_job job = { .node = sim_net_node_id(n->net, SLEEPER) };

	for (size_t i = 0; i < n->count; i++)
		if (n->places[i].on[SLEEPER] && !n->places[i].on[SILENT]) {
			job.ref.stream = n->places[i].stream;
			job.number = n->places[i].numbers[SLEEPER];
		}
	must(n, store_reverify_put(n->call, n->sat->db, &job, 1, os_clock_unix_ns()));
}

static void ask_for(struct night *n, const char *chore)
{
	struct chore_state *list = NULL;
	size_t count = 0, at = 0;
	int64_t request = 0;

	must(n, satellite_chores_request(n->call, n->sat->db, chore, &request));
	do {
		must(n, os_sleep(n->call, 10 * NS_PER_SEC));
		must(n,
		     satellite_chores_list(n->call, n->sat->db, &n->call->scratch, &list, &count));
		for (at = 0; strcmp(list[at].name, chore) != 0; at++)
			assert_true(at + 1 < count);
	} while (list[at].served < request || list[at].running);
}

/* ---- the hours ---- */

static void evening(struct night *n)
{
	struct node_id id = sim_net_node_id(n->net, SLEEPER);
	struct node_place *place = NULL;

	sim_net_node_stop(n->net, SLEEPER);
	must(n, sim_net_node_start(n->call, n->net, SLEEPER, HOURS));
	while (!number(n, "SELECT COUNT(*) FROM nodes WHERE tags LIKE '%@hours=9:00-2:00%'"))
		must(n, os_sleep(n->call, MINUTE_NS));
	must(n, satellite_lookup_nodes(n->call, n->sat, &n->call->scratch, &id, 1, &place));
	assert_true(place->online && !place->away);
	/* Who is chosen, and who is quick enough, is chance. */
	do {
		assert_true(n->objects < EVENING);
		upload(n, NIGHT);
		look_at_places(n);
	} while (shared_by(n, true, true) < 1 || shared_by(n, true, false) < PIECES ||
		 shared_by(n, false, true) < 1);
	/* It is still there, but not for long enough to take a piece. */
	sleep_until(n, 1, 51);
	upload_without_sleeper(n);
	assert_true(standing(n, SLEEPER).total > 0);
	sleep_until(n, 2, 0);
	sim_net_node_stop(n->net, SLEEPER);
	sim_net_node_stop(n->net, SILENT);
}

/* What the rule says about each segment that was there before. */
static void check_moves(const struct night *n, const struct night *before, bool all_repaired)
{
	unsigned kept = 0, moved = 0;

	for (size_t i = 0; i < before->count; i++) {
		const struct places *old = &before->places[i];
		const struct places *now = find_places(n, &old->stream);
		assert_non_null(now);
		unsigned there = old->count - old->on[SLEEPER] - old->on[SILENT];
		if (there <= REPAIR || (all_repaired && old->on[SILENT])) {
			/* It is repaired for those that are there. */
			assert_false(now->on[SILENT] || now->on[SLEEPER]);
			assert_true(now->count >= SUCCESS);
			moved += old->on[SLEEPER];
			continue;
		}
		assert_memory_equal(now, old, sizeof(*now));
		kept += old->on[SLEEPER];
	}
	print_message("%02d:%02d: of the sleeper's pieces %u have moved, %u stayed\n",
		      (int)((os_clock_unix_ns() - midnight_ns) / HOUR_NS),
		      (int)((os_clock_unix_ns() - midnight_ns) / MINUTE_NS % 60), moved, kept);
	assert_true(kept > 0);
}

/* Audits went on, and found one of the two missing. */
static void check_standing(struct night *n, const struct reputation *asleep,
			   const struct reputation *silent)
{
	struct reputation r = standing(n, SILENT), s = standing(n, SLEEPER);

	assert_true(missed(&r) > missed(silent));
	assert_int_equal(s.total, asleep->total);
	assert_int_equal(missed(&s), 0);
	assert_true(s.online_score == 1 && s.alpha == asleep->alpha && s.beta == asleep->beta);
	assert_true(!s.offline_review_ns && !s.offline_suspended_ns);
}

static void night(struct night *n)
{
	static struct night before;
	struct reputation asleep = standing(n, SLEEPER), silent = standing(n, SILENT);

	before = *n;
	sleep_until(n, 4, 0);
	upload_without_sleeper(n);
	check_moves(n, &before, false);
	/* Eagerly, too: only what is missing for good is made anew. */
	ask_for(n, "repair-all");
	sleep_until(n, 6, 0);
	look_at_places(n);
	check_moves(n, &before, true);
	check_standing(n, &asleep, &silent);
	contain_sleeper(n);
	sleep_until(n, 8, 55);
	look_at_places(n);
	check_moves(n, &before, true);
	read_all(n);
	/* What it owes it has been asked for, and owes still. */
	assert_int_equal(number(n, OWED), 1);
	assert_true(number(n, "SELECT SUM(count) FROM reverification_audits") > 1);
	check_standing(n, &asleep, &silent);
}

static void morning(struct night *n)
{
	struct reputation asleep = standing(n, SLEEPER);

	sleep_until(n, 9, 2);
	must(n, sim_net_node_start(n->call, n->net, SLEEPER, HOURS));
	/* Left alone until it had time to be heard. */
	sleep_until(n, 9, 15);
	look_at_places(n);
	unsigned had = pieces_on(n, SLEEPER);
	assert_true(had > 0);
	upload(n, MORNING);
	look_at_places(n);
	assert_true(pieces_on(n, SLEEPER) > had);
	sleep_until(n, 10, 30);
	struct reputation s = standing(n, SLEEPER);
	assert_true(s.success > asleep.success && s.total > asleep.total);
	assert_int_equal(missed(&s), 0);
	assert_int_equal(number(n, OWED), 0);
	read_all(n);
	/* It goes within its hours: no excuse for that. */
	sim_net_node_stop(n->net, SLEEPER);
	sleep_until(n, 11, 30);
	s = standing(n, SLEEPER);
	assert_true(missed(&s) > 0);
	ask_for(n, "repair-all");
	sleep_until(n, 11, 50);
	look_at_places(n);
	assert_int_equal(pieces_on(n, SLEEPER), 0);
	read_all(n);
}

static void world(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	static struct night n;
	const struct sim_net_config config = { .nodes = NODES, .rs = CODE, .rarely = true };

	call_init(&call);
	n = (struct night){ .call = &call };
	midnight_ns = os_clock_unix_ns();
	must(&n, sim_net_start(&call, &config, &n.net));
	n.sat = sim_net_satellite(n.net);
	n.sat->config.silence_window = 20 * MINUTE_NS;
	/* Among so few nodes, who lost the first race would be chosen for none. */
	n.sat->config.upload_choices = 1;
	n.renter = renter_open(n.net);
	evening(&n);
	night(&n);
	morning(&n);
	must(&n, sim_net_check(&call, n.net));
	renter_close(&n.renter);
	sim_net_stop(n.net);
}

static uint64_t seed = 3;

static void a_night_away_as_declared(void **state)
{
	struct sim_result r = sim_run(seed, world, NULL);

	if (r.failure)
		fail_msg("%s", r.failure);
	print_message("%llu events in %.0f virtual seconds\n", (unsigned long long)r.events,
		      (double)r.virtual_ns / 1e9);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_night_away_as_declared) };

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 10);
	if (crypto_use_os_random())
		return 1;
	log_set_level(LOG_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
