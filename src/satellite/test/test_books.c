/* The books: tallies, statements, payments, exits: `test_books sqlite|postgres`. */
#include "chore_world.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "db/test/number.h"
#include "os/clock.h"
#include "satellite/auth.h"
#include "satellite/calendar.h"
#include "satellite/exit.h"
#include "satellite/segment_loop.h"
#include "satellite/statement.h"
#include "satellite/tally.h"

#define HOUR_NS (3600 * NS_PER_SEC)
#define DAY 1800000000 / 86400 * 86400 * NS_PER_SEC
#define TB INT64_C(1000000000000)
#define DOLLAR INT64_C(1000000)

/* ---- months ---- */

static void months(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct month m;

	call_init(&call);
	assert_int_equal(month_parse(&call, "2026-02", &m), OK);
	assert_string_equal(m.text, "2026-02");
	assert_int_equal((m.end_ns - m.begin_ns) / NS_PER_DAY, 28);
	assert_int_equal(m.begin_ns / NS_PER_SEC, 1769904000);
	assert_string_equal(month_of(m.end_ns - 1).text, "2026-02");
	assert_string_equal(month_of(m.end_ns).text, "2026-03");
	assert_string_equal(month_before(&m).text, "2026-01");
	assert_int_equal(month_parse(&call, "2026-12", &m), OK);
	assert_string_equal(month_of(m.end_ns).text, "2027-01");
	assert_int_equal(month_parse(&call, "2026-13", &m), ERR_CONFIG);
	assert_int_equal(month_parse(&call, "2026-00", &m), ERR_CONFIG);
	assert_int_equal(month_parse(&call, "26-1", &m), ERR_CONFIG);
	assert_int_equal(month_parse(&call, "", &m), ERR_CONFIG);
	/* As Go's AddDate: 31 January and a month is 3 March. */
	assert_int_equal(calendar_add_months(INT64_C(1769817600) * NS_PER_SEC, 1),
			 INT64_C(1772496000) * NS_PER_SEC);
}

/* ---- statements ---- */

static struct pay_rules default_rules(void)
{
	struct satellite_config config = { .pay_storage = 1497600,
					   .pay_egress = 20 * DOLLAR,
					   .pay_repair = 10 * DOLLAR,
					   .pay_audit = 10 * DOLLAR,
					   .pay_disposed = 50,
					   .pay_held = "75,75,75,50,50,50,25,25,25,0,0,0,0,0,0" };
	AUTO_CALL struct call call = CALL_INIT;
	struct pay_rules r;

	call_init(&call);
	assert_int_equal(pay_rules_read(&call, &config, &r), OK);
	assert_int_equal(r.held_count, 15);
	return r;
}

static struct statement make(const struct node_month *n)
{
	AUTO_CALL struct call call = CALL_INIT;
	const struct pay_rules rules = default_rules();
	struct statement s;
	struct month m;

	call_init(&call);
	assert_int_equal(month_parse(&call, "2026-10", &m), OK);
	assert_int_equal(statement_make(&call, &rules, n, &m, &s), OK);
	return s;
}

/* A node that kept 1 TB all month and served one, and was created that many months before its end.
 */
static struct node_month node_of(int64_t age_months)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct node_month n = { .byte_hours = 720 * TB };
	struct month m;

	call_init(&call);
	assert_int_equal(month_parse(&call, "2026-10", &m), OK);
	n.usage[ORDERS__PIECE_ACTION__GET] = TB;
	n.usage[ORDERS__PIECE_ACTION__PUT] = 5 * TB;
	n.usage[ORDERS__PIECE_ACTION__GET_REPAIR] = TB / 10;
	n.usage[ORDERS__PIECE_ACTION__GET_AUDIT] = TB / 1000;
	n.created_ns = calendar_add_months(m.end_ns, -age_months) + NS_PER_DAY;
	n.last_contact_ns = m.end_ns - HOUR_NS;
	return n;
}
enum { TOTAL = 1497600 + 20 * 1000000 + 1000000 + 10000 };

/* satellite.md 11; from GenerateStatements of storj satellite/compensation/statement.go. */
static void what_is_held_falls_with_age(void **state)
{
	static const struct {
		int64_t age;
		int64_t percent;
	} list[] = { { 1, 75 }, { 3, 75 }, { 4, 50 }, { 6, 50 }, { 7, 25 }, { 9, 25 }, { 10, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		struct node_month n = node_of(list[i].age);
		struct statement s = make(&n);
		assert_int_equal(s.at_rest, 1497600);
		assert_int_equal(s.comp[ORDERS__PIECE_ACTION__GET], 20 * DOLLAR);
		assert_int_equal(s.comp[ORDERS__PIECE_ACTION__PUT], 0);
		assert_int_equal(s.held, TOTAL * list[i].percent / 100);
		assert_int_equal(s.owed, TOTAL - TOTAL * list[i].percent / 100);
		assert_int_equal(s.disposed, 0);
		assert_string_equal(s.codes, "E");
	}
}

/* From TestEffectiveRates of storj satellite/compensation: the lower of each, nothing is a price.
 */
static void a_node_may_ask_for_less(void **state)
{
	struct node_month n = node_of(20);

	n.tags = "storage_price=0\n@storage_price=1.2\n@egress_price=30\n@repair_price=0\n"
		 "@audit_price=-1\n";
	struct statement s = make(&n);
	assert_int_equal(s.at_rest, 1200000);
	assert_int_equal(s.comp[ORDERS__PIECE_ACTION__GET], 20 * DOLLAR);
	assert_int_equal(s.comp[ORDERS__PIECE_ACTION__GET_REPAIR], 0);
	assert_int_equal(s.comp[ORDERS__PIECE_ACTION__GET_AUDIT], 10000);
	assert_int_equal(s.owed, 1200000 + 20 * DOLLAR + 10000);
	n.tags = "";
	assert_int_equal(make(&n).owed, TOTAL);
}

static void half_comes_back_after_fifteen_months(void **state)
{
	struct node_month n = node_of(16);

	n.held_before = 1000;
	struct statement s = make(&n);
	assert_string_equal(s.codes, "");
	assert_int_equal(s.disposed, 500);
	assert_int_equal(s.owed, TOTAL + 500);
	n.disposed_before = 500;
	s = make(&n);
	assert_int_equal(s.disposed, 0);
	n.disposed_before = 900;
	s = make(&n);
	assert_int_equal(s.disposed, 0);
}

static void the_rest_comes_with_a_graceful_exit(void **state)
{
	struct node_month n = node_of(2);

	n.held_before = 1000;
	n.disposed_before = 200;
	n.exit_initiated_ns = n.last_contact_ns - 40 * NS_PER_DAY;
	struct statement s = make(&n);
	assert_string_equal(s.codes, "I:E");
	n.exited_ns = n.last_contact_ns;
	s = make(&n);
	assert_string_equal(s.codes, "X:E");
	assert_int_equal(s.held, 0);
	assert_int_equal(s.disposed, 800);
	assert_int_equal(s.owed, TOTAL + 800);
	/* Having left in peace counts more than what came after. */
	n.disqualified_ns = n.last_contact_ns;
	s = make(&n);
	assert_int_equal(s.owed, TOTAL + 800);
}

static void liars_and_the_absent_get_nothing(void **state)
{
	struct node_month n = node_of(16);

	n.held_before = 1000;
	n.disqualified_ns = n.last_contact_ns;
	struct statement s = make(&n);
	assert_string_equal(s.codes, "D");
	assert_int_equal(s.owed + s.held + s.disposed, 0);
	assert_int_equal(s.at_rest, 1497600);
	n.disqualified_ns = 0;
	n.last_contact_ns -= 40 * NS_PER_DAY;
	s = make(&n);
	assert_string_equal(s.codes, "O");
	assert_int_equal(s.owed, 0);
}

static void surge_and_exactness(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct pay_rules rules = default_rules();
	struct node_month n = node_of(1);
	struct statement s;
	struct month m;

	call_init(&call);
	assert_int_equal(month_parse(&call, "2026-10", &m), OK);
	rules.surge = 150;
	assert_int_equal(statement_make(&call, &rules, &n, &m, &s), OK);
	assert_int_equal(s.at_rest, 1497600);
	assert_int_equal(s.held + s.owed, TOTAL * 3 / 2);
	/* Less than a millionth is nothing. */
	n = (struct node_month){ .byte_hours = 240 * TB / 1497600,
				 .created_ns = n.created_ns,
				 .last_contact_ns = n.last_contact_ns };
	rules.surge = 0;
	assert_int_equal(statement_make(&call, &rules, &n, &m, &s), OK);
	assert_int_equal(s.at_rest, 0);
	n.byte_hours = INT64_MAX;
	rules.at_rest = PAY_RATE_MAX;
	assert_int_equal(statement_make(&call, &rules, &n, &m, &s), OK);
	assert_int_equal(s.at_rest, (int64_t)((double)INT64_MAX / 720 / 1000));
	n.exited_ns = n.last_contact_ns;
	n.held_before = INT64_MAX;
	assert_int_equal(statement_make(&call, &rules, &n, &m, &s), ERR_OUT_OF_RANGE);
}

/* ---- stored ---- */

static void run_sqlf(struct chore_world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void run_sqlf(struct chore_world *w, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	chore_world_sql(w, text);
}

static int64_t number(struct chore_world *w, const char *sql)
{
	int64_t value = -1;

	must(w, db_test_number(&w->call, w->sat.db, sql, &value));
	return value;
}

static void put_node(struct chore_world *w, uint8_t number_of)
{
	struct checkin in = { .version = "v1.2.3",
			      .email = "",
			      .wallet = "",
			      .up = true,
			      .address = "127.0.0.1:1",
			      .last_ip_port = "127.0.0.1:1",
			      .last_net = "n",
			      .free_disk = INT64_MAX,
			      .chain = bytes_str("chain") };

	in.id.b[0] = number_of;
	in.now_unix_ns = os_clock_unix_ns();
	must(w, overlay_checkin(&w->call, &w->sat, &in));
}

static void statements_are_made_once(void **state)
{
	struct chore_world *w = *state;
	const struct pay_rules rules = default_rules();
	const struct month now = month_of(os_clock_unix_ns());
	struct month m = month_before(&now);
	struct paystub *list = NULL;
	struct payment *paid = NULL;
	size_t count = 0;
	struct node_id id = { { 7 } };

	m = month_before(&m);
	put_node(w, 7);
	run_sqlf(w, "UPDATE nodes SET created_at = %lld", (long long)m.begin_ns);
	const char *blob = chore_world_kind[0] == 's' ? "(SELECT id FROM nodes)"
						      : "(SELECT id FROM nodes)";
	run_sqlf(w,
		 "INSERT INTO node_storage (node_id, interval_start, byte_hours) VALUES (%s, %lld, "
		 "%lld)",
		 blob, (long long)m.begin_ns, (long long)(720 * TB));
	run_sqlf(w,
		 "INSERT INTO node_storage (node_id, interval_start, byte_hours) VALUES (%s, %lld, "
		 "%lld)",
		 blob, (long long)m.end_ns, (long long)(720 * TB));
	run_sqlf(w,
		 "INSERT INTO storagenode_bandwidth_rollups (node_id, interval_start, action, "
		 "settled) "
		 "VALUES (%s, %lld, 2, %lld)",
		 blob, (long long)(m.end_ns - HOUR_NS), (long long)TB);
	assert_int_equal(statements_store(&w->call, w->sat.db, &rules, &now, false, &count),
			 ERR_PRECONDITION);
	must(w, statements_store(&w->call, w->sat.db, &rules, &m, false, &count));
	assert_int_equal(count, 1);
	assert_int_equal(statements_store(&w->call, w->sat.db, &rules, &m, false, &count),
			 ERR_EXISTS);
	must(w, statements_store(&w->call, w->sat.db, &rules, &m, true, &count));
	must(w, paystubs_list(&w->call, w->sat.db, &w->call.scratch, m.text, &id, &list, &count));
	assert_int_equal(count, 1);
	assert_int_equal(list[0].byte_hours, 720 * TB);
	assert_int_equal(list[0].usage[ORDERS__PIECE_ACTION__GET], TB);
	assert_int_equal(list[0].s.held, (1497600 + 20 * DOLLAR) * 75 / 100);
	/* The next one knows what was held. */
	struct month next = month_of(m.end_ns);
	must(w, statements_store(&w->call, w->sat.db, &rules, &next, false, &count));
	struct payment p = {
		.node = id, .month = m.text, .amount = 12345, .receipt = "0xabc", .notes = ""
	};
	must(w, payment_store(&w->call, w->sat.db, &p));
	must(w, payments_list(&w->call, w->sat.db, &w->call.scratch, "", &id, &paid, &count));
	assert_int_equal(count, 1);
	assert_int_equal(paid[0].amount, 12345);
	assert_string_equal(paid[0].receipt, "0xabc");
	must(w, paystubs_list(&w->call, w->sat.db, &w->call.scratch, "", NULL, &list, &count));
	assert_int_equal(count, 2);
	assert_int_equal(list[0].paid, 12345);
	assert_int_equal(list[0].distributed, 12345);
	assert_int_equal(statements_store(&w->call, w->sat.db, &rules, &m, true, &count),
			 ERR_EXISTS);
	id.b[0] = 9;
	p.node = id;
	assert_int_equal(payment_store(&w->call, w->sat.db, &p), ERR_NOT_FOUND);
}

/* ---- tallies ---- */

struct parts {
	int64_t sum, first, last;
	unsigned count;
};

static enum err add_part(struct call *call, void *arg, int64_t start, int64_t hours)
{
	struct parts *p = arg;

	if (!p->count++)
		p->first = start;
	p->last = start;
	p->sum += hours;
	return OK;
}

static void time_is_split_by_the_hour(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct parts p = { 0 };
	const int64_t day = DAY;

	call_init(&call);
	assert_int_equal(tally_split(&call, 1000, day + HOUR_NS / 2,
				     day + 2 * HOUR_NS + HOUR_NS / 4, add_part, &p),
			 OK);
	assert_int_equal(p.count, 3);
	assert_int_equal(p.first, day);
	assert_int_equal(p.last, day + 2 * HOUR_NS);
	assert_int_equal(p.sum, 500 + 1000 + 250);
	p = (struct parts){ 0 };
	assert_int_equal(
		tally_split(&call, INT64_C(1) << 53, day, day + 10 * NS_PER_DAY, add_part, &p), OK);
	assert_int_equal(p.count, 10);
	assert_int_equal(p.sum, (INT64_C(1) << 53) * 240);
	p = (struct parts){ 0 };
	assert_int_equal(tally_split(&call, 5, day, day, add_part, &p), OK);
	assert_int_equal(p.count, 0);
}

static void nodes_are_tallied(void **state)
{
	struct chore_world *w = *state;
	struct node_id ids[4];
	uint32_t aliases[4];
	struct segment_loop *loop = NULL;
	struct tally *t = NULL;
	const struct scheme code = { 2, 3, 4, 4, 256 };

	for (unsigned i = 0; i < 4; i++)
		ids[i] = chore_world_node(w, i + 1, "net", 0);
	chore_world_aliases(w, ids, 4, aliases);
	chore_world_segment(w, 1, code, aliases, 4);
	chore_world_segment(w, 2, code, aliases, 3);
	must(w, segment_loop_new(&w->call, &w->sat, &loop));
	must(w, tally_new(&w->call, &w->sat, &t));
	must(w, tally_observe(&w->call, t, loop));
	must(w, segment_loop_run(&w->call, loop, 100, NULL));
	/* (100000 + 4) / 512 up, 256 bytes each */
	assert_int_equal(number(w, "SELECT CAST(MAX(bytes) AS INTEGER) FROM node_tallies"),
			 2 * 196 * 256);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM node_tallies WHERE pieces = 2"), 3);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM node_storage"), 0);
	/* An hour later. */
	run_sqlf(w, "UPDATE tally_times SET at = at - %lld", (long long)HOUR_NS);
	must(w, segment_loop_run(&w->call, loop, 100, NULL));
	int64_t sum = number(w, "SELECT CAST(SUM(byte_hours) AS INTEGER) FROM node_storage");
	assert_in_range(sum, 7 * 196 * 256 - 16, 7 * 196 * 256 + 7 * 196 * 256 / 50);
	/* What is gone counts no more. */
	chore_world_sql(w, "DELETE FROM segments");
	must(w, segment_loop_run(&w->call, loop, 100, NULL));
	assert_int_equal(number(w, "SELECT CAST(SUM(pieces) AS INTEGER) FROM node_tallies"), 0);
	segment_loop_free(loop);
	tally_free(t);
}

static void days_are_summed_up(void **state)
{
	struct chore_world *w = *state;
	int64_t today = os_clock_unix_ns() / NS_PER_DAY * NS_PER_DAY, old = today - 5 * NS_PER_DAY;

	put_node(w, 7);
	for (int64_t h = 0; h < 24; h++)
		for (int64_t d = 0; d < 2; d++)
			run_sqlf(w,
				 "INSERT INTO storagenode_bandwidth_rollups (node_id, "
				 "interval_start, action, settled) VALUES ((SELECT id FROM nodes), "
				 "%lld, %d, 10)",
				 (long long)((d ? old : today - NS_PER_DAY) + h * HOUR_NS),
				 h % 2 ? 1 : 2);
	run_sqlf(
		w,
		"INSERT INTO node_storage (node_id, interval_start, byte_hours) VALUES ((SELECT id "
		"FROM nodes), %lld, 3), ((SELECT id FROM nodes), %lld, 4)",
		(long long)(old + HOUR_NS), (long long)(old - NS_PER_DAY + HOUR_NS));
	run_sqlf(w,
		 "INSERT INTO bucket_bandwidth_rollups (project_id, bucket_name, interval_start, "
		 "action, allocated, settled, inline, dead) VALUES ((SELECT id FROM nodes), "
		 "(SELECT id FROM nodes), %lld, 2, 9, 5, 1, 4), ((SELECT id FROM nodes), "
		 "(SELECT id FROM nodes), %lld, 2, 9, 5, 1, 4)",
		 (long long)old, (long long)(old + HOUR_NS));
	run_sqlf(w,
		 "INSERT INTO key_bandwidth (project_id, key_number, interval_start, action, "
		 "allocated, settled, inline) VALUES ((SELECT id FROM nodes), 7, %lld, 2, 9, 5, "
		 "1), ((SELECT id FROM nodes), 7, %lld, 2, 9, 5, 1), ((SELECT id FROM nodes), 8, "
		 "%lld, 2, 9, 5, 1)",
		 (long long)old, (long long)(old + HOUR_NS), (long long)(old + HOUR_NS));
	run_sqlf(
		w,
		"INSERT INTO key_storage (project_id, key_number, interval_start, byte_hours) "
		"VALUES ((SELECT id FROM nodes), 7, %lld, 3), ((SELECT id FROM nodes), 7, %lld, 4)",
		(long long)(old + HOUR_NS), (long long)(old + 2 * HOUR_NS));
	must(w, tally_roll_up(&w->call, NULL, &w->sat));
	must(w, tally_roll_up(&w->call, NULL, &w->sat));
	assert_int_equal(number(w, "SELECT COUNT(*) FROM storagenode_bandwidth_rollups"), 24 + 2);
	assert_int_equal(number(w, "SELECT CAST(SUM(settled) AS INTEGER) FROM "
				   "storagenode_bandwidth_rollups"),
			 480);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM node_storage"), 2);
	assert_int_equal(number(w, "SELECT CAST(SUM(interval_start % 86400000000000) AS INTEGER) "
				   "FROM node_storage"),
			 0);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM bucket_bandwidth_rollups"), 1);
	assert_int_equal(number(w, "SELECT CAST(SUM(allocated + settled + inline + dead) AS "
				   "INTEGER) FROM bucket_bandwidth_rollups"),
			 38);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM key_bandwidth"), 2);
	assert_int_equal(number(w, "SELECT allocated * 10000 + settled * 100 + inline FROM "
				   "key_bandwidth WHERE key_number = 7"),
			 181002);
	assert_int_equal(number(w, "SELECT COUNT(*) FROM key_storage"), 1);
	assert_int_equal(number(w, "SELECT byte_hours FROM key_storage"), 7);
}

static void buckets_are_tallied(void **state)
{
	struct chore_world *w = *state;
	struct project p;

	must(w, project_create(&w->call, w->sat.db, bytes_str("project"), &p));
	chore_world_sql(w, "INSERT INTO buckets (id, project_id, name, created_at, placement, "
			   "versioning, lock_enabled, lock_mode, lock_days, lock_years) VALUES (1, "
			   "(SELECT id FROM projects), (SELECT id FROM projects), 1, 0, 0, 0, 0, "
			   "0, 0)");
	/* A committed one, a version, one that is under way. */
	for (int i = 0; i < 3; i++)
		run_sqlf(w,
			 "INSERT INTO objects (bucket_id, object_key, age, stream_id, status, "
			 "flags, created_at, segment_count, plain_size, encrypted_size, "
			 "fixed_segment_size, cipher, block_size, checksum_kind, lock_mode) VALUES "
			 "(1, (SELECT id FROM projects), %d, (SELECT id FROM projects), %d, 0, 1, "
			 "3, 900, 1000, 900, 2, 7424, 0, 0)",
			 i < 2 ? -1 - i : 5,
			 i == 0	  ? 3
			 : i == 1 ? 4
				  : 1);
	must(w, tally_buckets(&w->call, NULL, &w->sat));
	assert_int_equal(number(w, "SELECT COUNT(*) FROM bucket_storage"), 0);
	run_sqlf(w, "UPDATE tally_times SET at = at - %lld", (long long)(10 * HOUR_NS));
	must(w, tally_buckets(&w->call, NULL, &w->sat));
	int64_t bytes = number(w, "SELECT CAST(SUM(byte_hours) AS INTEGER) FROM bucket_storage");
	int64_t rest = number(w, "SELECT CAST(SUM(segment_hours * 100 + object_hours) AS INTEGER) "
				 "FROM bucket_storage");
	/* Of each hour and part of one the fraction is cut. */
	assert_in_range(bytes, 2 * 1000 * 10 - 11, 2 * 1000 * 10 + 20);
	assert_in_range(rest, 100 * (60 - 11) + 20 - 11, 100 * 60 + 20);
}

/* What a key that is counted holds; of the other nothing is known. */
static void keys_are_tallied(void **state)
{
	struct chore_world *w = *state;
	const struct caveat_limits none = CAVEAT_LIMITS_NONE;
	const struct prices prices = { 0 };
	struct macaroon key;
	struct project p;

	must(w, project_create(&w->call, w->sat.db, bytes_str("project"), &p));
	must(w, api_key_create(&w->call, w->sat.db, &w->call.scratch, &p.id, bytes_str("counted"),
			       &key));
	must(w, api_key_create(&w->call, w->sat.db, &w->call.scratch, &p.id, bytes_str("other"),
			       &key));
	must(w,
	     limit_set_for_key(&w->call, w->sat.db, &p.id, bytes_str("counted"), &none, &prices));
	assert_int_equal(number(w, "SELECT COUNT(DISTINCT number) FROM api_keys WHERE number > 0"),
			 2);
	chore_world_sql(w, "UPDATE limits SET stored = 1000");
	must(w, tally_buckets(&w->call, NULL, &w->sat));
	run_sqlf(w, "UPDATE tally_times SET at = at - %lld", (long long)(10 * HOUR_NS));
	must(w, tally_buckets(&w->call, NULL, &w->sat));
	assert_in_range(number(w, "SELECT CAST(SUM(s.byte_hours) AS INTEGER) FROM key_storage s "
				  "JOIN api_keys k ON k.number = s.key_number WHERE k.name = "
				  "'counted'"),
			10000 - 11, 10000 + 10);
	assert_int_equal(number(w, "SELECT COUNT(DISTINCT key_number) FROM key_storage"), 1);
}

/* ---- leaving ---- */

static void exits_are_decided(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	const struct satellite_config config = { .exit_min_months = 6,
						 .exit_duration = 30 * NS_PER_DAY };
	const int64_t now = DAY;
	struct exit_node n = { .created_ns = calendar_add_months(now, -7), .online_score = 1 };

	call_init(&call);
	assert_int_equal(exit_decide(&call, &config, &n, now).step, EXIT_BEGIN);
	n.created_ns = calendar_add_months(now, -5);
	assert_int_equal(exit_decide(&call, &config, &n, now).step, EXIT_REFUSED);
	n.created_ns = 1;
	n.offline_suspended_ns = 5;
	assert_int_equal(exit_decide(&call, &config, &n, now).step, EXIT_REFUSED);
	/* Once it has begun suspension does not matter, until the end. */
	n.initiated_ns = now;
	assert_int_equal(exit_decide(&call, &config, &n, now + 29 * NS_PER_DAY).step, EXIT_WAIT);
	struct exit_decision d = exit_decide(&call, &config, &n, now + 31 * NS_PER_DAY);
	assert_int_equal(d.step, EXIT_FINISH);
	assert_true(d.success);
	n.online_score = 0.79;
	d = exit_decide(&call, &config, &n, now + 31 * NS_PER_DAY);
	assert_false(d.success);
	assert_int_equal(d.reason, 1);
	n.unknown_suspended_ns = 5;
	d = exit_decide(&call, &config, &n, now + 31 * NS_PER_DAY);
	assert_false(d.success);
	assert_int_equal(d.reason, 2);
	n.disqualified_ns = 6;
	d = exit_decide(&call, &config, &n, now + 31 * NS_PER_DAY);
	assert_int_equal(d.step, EXIT_REFUSED);
	assert_true(d.fail_now);
	n.disqualified_ns = 0;
	n.finished_ns = 7;
	n.success = true;
	d = exit_decide(&call, &config, &n, now);
	assert_int_equal(d.step, EXIT_FINISHED);
	assert_true(d.success);
}

static void a_node_leaves(void **state)
{
	struct chore_world *w = *state;
	Gracefulexit__SatelliteMessage m = GRACEFULEXIT__SATELLITE_MESSAGE__INIT;
	struct node_id id = { { 7 } }, stranger = { { 8 } };
	struct exit_node n;

	put_node(w, 7);
	w->sat.config.exit_min_months = 0;
	assert_int_equal(exit_process(&w->call, &w->sat, &stranger, &w->call.scratch, &m),
			 ERR_INTERNAL);
	w->sat.config.exit_min_months = 6;
	assert_int_equal(exit_process(&w->call, &w->sat, &id, &w->call.scratch, &m),
			 ERR_PRECONDITION);
	w->sat.config.exit_min_months = 0;
	assert_true(overlay_count(&w->sat).selectable == 1);
	must(w, exit_process(&w->call, &w->sat, &id, &w->call.scratch, &m));
	assert_int_equal(m.message_case, GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_NOT_READY);
	assert_true(overlay_count(&w->sat).selectable == 0);
	run_sqlf(w, "UPDATE nodes SET exit_initiated_at = exit_initiated_at - %lld",
		 (long long)(w->sat.config.exit_duration + NS_PER_SEC));
	must(w, exit_process(&w->call, &w->sat, &id, &w->call.scratch, &m));
	assert_int_equal(m.message_case, GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_EXIT_COMPLETED);
	assert_int_equal(m.exit_completed->node_id.len, NODE_ID_BYTES);
	int64_t completed = proto_time(m.exit_completed->completed);
	/* The same answer whenever it asks again. */
	must(w, exit_process(&w->call, &w->sat, &id, &w->call.scratch, &m));
	assert_int_equal(proto_time(m.exit_completed->completed), completed);
	must(w, exit_read(&w->call, w->sat.db, &id, &n));
	assert_true(n.success && n.finished_ns == completed);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(months),
		cmocka_unit_test(what_is_held_falls_with_age),
		cmocka_unit_test(a_node_may_ask_for_less),
		cmocka_unit_test(half_comes_back_after_fifteen_months),
		cmocka_unit_test(the_rest_comes_with_a_graceful_exit),
		cmocka_unit_test(liars_and_the_absent_get_nothing),
		cmocka_unit_test(surge_and_exactness),
		cmocka_unit_test(time_is_split_by_the_hour),
		cmocka_unit_test(exits_are_decided),
#define T(name) cmocka_unit_test_setup_teardown(name, chore_world_setup, chore_world_teardown)
		T(statements_are_made_once),
		T(nodes_are_tallied),
		T(buckets_are_tallied),
		T(keys_are_tallied),
		T(days_are_summed_up),
		T(a_node_leaves),
	};

	if (argc != 2)
		return 2;
	chore_world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
