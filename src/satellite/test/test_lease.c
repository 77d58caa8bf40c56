/*
 * Two satellites on one database, and the one that leads is frozen for longer than its lease, in
 * the middle of its work: nothing is counted or repaired twice, and it notices when it wakes:
 * `test_lease sqlite|postgres`.  SQLite has no second satellite; there a lease that is held is
 * taken over at once, which is the harder case.
 */
#include "chore_world.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "db/test/number.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/thread.h"
#include "satellite/calendar.h"
#include "satellite/chore.h"
#include "satellite/repair.h"
#include "satellite/segment_loop.h"
#include "satellite/tally.h"

#define HOUR_NS (3600 * NS_PER_SEC)

static int64_t number(struct chore_world *w, const char *sql)
{
	int64_t value = -1;

	must(w, db_test_number(&w->call, w->sat.db, sql, &value));
	return value;
}

/* ---- a satellite that can be frozen ---- */

struct process {
	struct satellite *sat, own; /* own: of the second one */
	struct chores *chores;
	struct segment_loop *loop;
	struct tally *tally;
	_Atomic bool frozen; /* in the middle of a pass, once it gets there */
	_Atomic int passes;  /* begun */
	_Atomic int ended;
	_Atomic enum err outcome; /* of the last one */
};

static enum err gate_begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct process *p = arg;

	p->passes++;
	return OK;
}

/* Whoever is frozen is not told that it should end. */
static enum err gate_segments(struct call *call, void *arg, const struct segment_run *run,
			      const struct loop_segment *list, size_t count)
{
	struct process *p = arg;
	AUTO_CALL struct call own = CALL_INIT;

	call_init(&own);
	while (p->frozen)
		TRY_PLAIN(os_sleep(&own, 2 * NS_PER_MS));
	return OK;
}

static enum err gate_end(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	return OK;
}

static enum err run_pass(struct call *call, struct chore *chore, void *arg)
{
	struct process *p = arg;

	p->outcome = segment_loop_run(call, p->loop, 100, chore);
	p->ended++;
	return p->outcome;
}

static void make(struct chore_world *w, struct process *p)
{
	const struct segment_observer gate = { "gate", p, gate_begin, gate_segments, gate_end };
	const struct chore_spec pass = { .name = "pass", .run = run_pass, .arg = p };

	must(w, segment_loop_new(&w->call, p->sat, &p->loop));
	must(w, tally_new(&w->call, p->sat, &p->tally));
	must(w, tally_observe(&w->call, p->tally, p->loop));
	must(w, segment_loop_add(&w->call, p->loop, &gate));
	must(w, satellite_chores_new(&w->call, p->sat->db, &p->chores));
	must(w, satellite_chores_add(&w->call, p->chores, &pass));
}

/* The second one, with everything of its own but the database. */
static void make_other(struct chore_world *w, struct process *p)
{
	const char *postgres = os_getenv("ACRE_TEST_POSTGRES");

	p->own = (struct satellite){ .config = w->sat.config,
				     .identity = w->sat.identity,
				     .id = w->sat.id };
	p->sat = &p->own;
	must(w, db_open(&w->call, db_is_sqlite(w->sat.db) ? w->path : postgres, &p->own.db));
	must(w, overlay_new(&w->call, &p->own, &p->own.overlay));
	must(w, metainfo_open(&w->call, &p->own));
	make(w, p);
}

static void end(struct process *p)
{
	satellite_chores_free(p->chores);
	segment_loop_free(p->loop);
	tally_free(p->tally);
	if (p->sat != &p->own)
		return;
	metainfo_close(&p->own);
	overlay_free(p->own.overlay);
	db_close(p->own.db);
}

static int64_t runs(struct chore_world *w)
{
	return number(w, "SELECT runs FROM chores WHERE name = 'pass'");
}

/* ---- books ---- */

enum { SEGMENTS = 3, PIECES = 3 };
static const struct scheme code = {
	.required = 2, .repair = 2, .success = 3, .total = 4, .share_size = 256
};

static void put_segments(struct chore_world *w)
{
	struct node_id ids[PIECES];
	uint32_t aliases[PIECES];

	for (uint32_t i = 0; i < PIECES; i++)
		ids[i] = chore_world_node(w, i + 1, "net", 0);
	chore_world_aliases(w, ids, PIECES, aliases);
	for (uint64_t i = 0; i < SEGMENTS; i++)
		chore_world_segment(w, i + 1, code, aliases, PIECES);
}

static void frozen_leader_counts_nothing(void **state)
{
	struct chore_world *w = *state;
	struct process a = { .sat = &w->sat, .frozen = true }, b = { 0 };
	const char *kept = "SELECT CAST(COALESCE(SUM(byte_hours), 0) AS INTEGER) FROM node_storage";
	const char *counted = "SELECT CAST(SUM(pieces) AS INTEGER) FROM node_tallies";

	put_segments(w);
	make(w, &a);
	make_other(w, &b);
	b.frozen = false;
	/* What was there ten hours ago is counted by the next pass. */
	must(w, segment_loop_run(&w->call, b.loop, 100, NULL));
	assert_int_equal(number(w, counted), SEGMENTS * PIECES);
	chore_world_sql(w, "UPDATE tally_times SET at = at - 36000000000000");
	must(w, satellite_chores_start(&w->call, a.chores));
	must(w, satellite_chores_request(&w->call, w->sat.db, "pass", NULL));
	EVENTUALLY(a.passes == 1);
	/* Longer than its lease; the other one leads, and a segment is gone when it looks. */
	chore_world_sql(w, "UPDATE chores SET lease_until = 1");
	chore_world_sql(w, "DELETE FROM segments WHERE stream_id = (SELECT stream_id FROM segments "
			   "ORDER BY stream_id DESC LIMIT 1)");
	must(w, satellite_chores_start(&w->call, b.chores));
	EVENTUALLY(runs(w) == 1);
	int64_t byte_hours = number(w, kept), at = number(w, "SELECT at FROM tally_times");
	int64_t piece = (int64_t)scheme_piece_size(&code, 100000);
	assert_in_range(byte_hours, (SEGMENTS - 1) * PIECES * piece * 10 - 40,
			(SEGMENTS - 1) * PIECES * (piece * 10 + piece / 10));
	assert_int_equal(number(w, counted), (SEGMENTS - 1) * PIECES);
	/* It wakes with what it saw before. */
	a.frozen = false;
	EVENTUALLY(a.ended == 1);
	assert_int_not_equal(a.outcome, OK);
	assert_int_equal(number(w, kept), byte_hours);
	assert_int_equal(number(w, counted), (SEGMENTS - 1) * PIECES);
	assert_int_equal(number(w, "SELECT at FROM tally_times"), at);
	/* The run that it lost is not written down, and it may lead again. */
	assert_int_equal(runs(w), 1);
	assert_int_equal(number(w, "SELECT failures FROM chores WHERE name = 'pass'"), 0);
	satellite_chores_free(b.chores);
	b.chores = NULL;
	must(w, satellite_chores_request(&w->call, w->sat.db, "pass", NULL));
	EVENTUALLY(runs(w) == 2);
	assert_int_equal(a.outcome, OK);
	assert_int_equal(a.passes, 2);
	end(&a);
	end(&b);
}

/* ---- both at once ---- */

struct doing {
	struct satellite *sat;
	enum err (*what)(struct call *call, struct chore *chore, void *sat);
	enum err result;
	char error[CALL_ERROR_MAX];
};

static void do_it(void *arg)
{
	struct doing *d = arg;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	d->result = d->what(&call, NULL, d->sat);
	snprintf(d->error, sizeof(d->error), "%s", d->result ? call_error(&call, d->result) : "");
}

static void at_once(struct chore_world *w, struct process *b,
		    enum err (*what)(struct call *call, struct chore *chore, void *sat))
{
	struct doing d[] = { { .sat = &w->sat, .what = what }, { .sat = b->sat, .what = what } };
	struct os_thread *threads[2] = { NULL };

	for (size_t i = 0; i < 2; i++)
		must(w, os_thread_start(&w->call, "doing", do_it, &d[i], &threads[i]));
	for (size_t i = 0; i < 2; i++)
		os_thread_join(threads[i]);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(d[i].error, "");
}

/* Even without a lease: what the books add up is one transaction each. */
static void hours_are_summed_up_once(void **state)
{
	struct chore_world *w = *state;
	struct process b = { 0 };
	int64_t old = (os_clock_unix_ns() / NS_PER_DAY - 9) * NS_PER_DAY;

	make_other(w, &b);
	for (int64_t h = 0; h < 4 * 24; h++) {
		AUTO_BUF struct buf sql = BUF_INIT(1024);
		buf_printf(&sql,
			   "INSERT INTO storagenode_bandwidth_rollups (node_id, interval_start, "
			   "action, settled) SELECT value, %lld, 2, 10 FROM secrets WHERE name = "
			   "'node'",
			   (long long)(old + h * HOUR_NS));
		if (!h)
			chore_world_sql(w, db_is_sqlite(w->sat.db)
						   ? "INSERT INTO secrets VALUES ('node', x'0102')"
						   : "INSERT INTO secrets VALUES ('node', "
						     "'\\x0102')");
		chore_world_sql(w, buf_cstr(&sql));
	}
	at_once(w, &b, tally_roll_up);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM storagenode_bandwidth_rollups"), 4);
	assert_int_equal(number(w, "SELECT CAST(SUM(settled) AS INTEGER) FROM "
				   "storagenode_bandwidth_rollups"),
			 4 * 24 * 10);
	end(&b);
}

/* ---- repair ---- */

struct swap {
	struct bytes old, now;
};

static enum err swap(struct call *call, struct db_tx *tx, void *arg)
{
	const struct swap *s = arg;
	struct stream_uuid stream = { { 0 } };

	put_be64(stream.b, 1);
	return store_segment_swap_pieces(call, tx, &stream, 0, s->old, s->now, 1);
}

static struct bytes list_of(struct buf *out, uint32_t alias)
{
	struct piece pieces[] = { { 0, alias }, { 1, alias + 1 } };

	piece_list_encode(out, pieces, ARRAY_LEN(pieces));
	return buf_bytes(out);
}

/* A worker was frozen for longer than its claim of a segment, and wakes while another has it, or
 * after that one is done. */
static void frozen_repairer_changes_nothing(void **state)
{
	struct chore_world *w = *state;
	struct repair_row put = { .urgency = 5, .error = "", .required = 2, .success = 3 };
	struct repair_row a = { .error = "" }, b = { .error = "" }, none;
	AUTO_BUF struct buf old = BUF_INIT(100);
	AUTO_BUF struct buf of_a = BUF_INIT(100);
	AUTO_BUF struct buf of_b = BUF_INIT(100);
	struct swap by_a = { list_of(&old, 1), list_of(&of_a, 3) };
	struct swap by_b = { by_a.old, list_of(&of_b, 5) };
	const int64_t now_ns = os_clock_unix_ns();
	struct stream_uuid stream = { { 0 } };

	put_be64(stream.b, 1);
	put.stream = stream;
	chore_world_segment(w, 1, code, (uint32_t[]){ 1, 2 }, 2);
	must(w, store_repair_put(&w->call, w->sat.db, &put, 1));
	must(w, store_repair_claim(&w->call, w->sat.db, now_ns, 1, &a));
	must(w, store_repair_claim(&w->call, w->sat.db, now_ns + 1, HOUR_NS, &b));
	assert_int_equal(store_repair_renew(&w->call, w->sat.db, &a, now_ns + 2), ERR_NOT_FOUND);
	a.error = "it slept";
	must(w, store_repair_failed(&w->call, w->sat.db, &a));
	must(w, store_repair_done(&w->call, w->sat.db, &a));
	/* It is still the other's, and nobody else's. */
	assert_int_equal(store_repair_claim(&w->call, w->sat.db, now_ns + 2, 1, &none),
			 ERR_NOT_FOUND);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM repair_queue WHERE error = ''"), 1);
	must(w, store_repair_renew(&w->call, w->sat.db, &b, now_ns + HOUR_NS));
	/* Both have made their pieces; the list is that of the first, whole. */
	must(w, db_write(&w->call, w->sat.db, swap, &by_b));
	assert_int_equal(db_write(&w->call, w->sat.db, swap, &by_a), ERR_ABORTED);
	call_clear_error(&w->call);
	by_a.old = by_b.now;
	must(w, db_write(&w->call, w->sat.db, swap, &by_a));
	must(w, store_repair_done(&w->call, w->sat.db, &b));
	assert_int_equal(number(w, "SELECT COUNT(*) FROM repair_queue"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, chore_world_setup, chore_world_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(frozen_leader_counts_nothing),
		TEST(hours_are_summed_up_once),
		TEST(frozen_repairer_changes_nothing),
	};

	if (argc > 1)
		chore_world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
