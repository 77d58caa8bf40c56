/* Checker and queue on either database: `test_repair_queue sqlite|postgres`. */
#include "chore_world.h"

#include "base/num.h"
#include "os/clock.h"
#include "satellite/chore.h"
#include "satellite/repair.h"
#include "satellite/segment_loop.h"

enum { HOUR = 3600 };
static const struct scheme code = { 2, 3, 4, 5, 256 };

/* A satellite whose chores are put together but not started: the tests are the clock. */
static void open_repair(struct chore_world *w)
{
	must(w, net_tls_new(&w->call, w->sat.identity, &w->sat.tls));
	must(w, satellite_make_chores(&w->call, &w->sat));
}

static void close_repair(struct chore_world *w)
{
	satellite_stop_chores(&w->sat);
	net_tls_free(w->sat.tls);
}

static struct repair_count count(struct chore_world *w)
{
	struct repair_count c;

	must(w, store_repair_count(&w->call, w->sat.db, &c));
	return c;
}

static enum err claim(struct chore_world *w, struct repair_row *row)
{
	return store_repair_claim(&w->call, w->sat.db, os_clock_unix_ns(), NS_PER_SEC * HOUR, row);
}

/* Eight nodes: 1 and 2 dead, 5 and 6 in one network. */
static void make_nodes(struct chore_world *w, uint32_t aliases[8])
{
	static const char *const nets[] = { "a", "b", "c", "d", "e", "e", "g", "h" };
	struct node_id ids[8];

	for (uint32_t i = 0; i < 8; i++)
		ids[i] = chore_world_node(w, i + 1, nets[i], i < 2 ? 5 * NS_PER_SEC * HOUR : 0);
	chore_world_aliases(w, ids, 8, aliases);
}

static void put(struct chore_world *w, uint64_t stream, const uint32_t *aliases, size_t a, size_t b,
		size_t c, size_t d, size_t e)
{
	const uint32_t list[] = { aliases[a - 1], aliases[b - 1], aliases[c - 1], aliases[d - 1],
				  aliases[e - 1] };

	chore_world_segment(w, stream, code, list, 5);
}

static void test_checker(void **state)
{
	struct chore_world *w = *state;
	struct repair_row *rows = NULL, row;
	uint32_t aliases[8];
	size_t n = 0;

	make_nodes(w, aliases);
	open_repair(w);
	put(w, 1, aliases, 3, 4, 5, 7, 8); /* well */
	put(w, 2, aliases, 1, 3, 4, 5, 7); /* four healthy: above the repair threshold */
	put(w, 3, aliases, 1, 3, 4, 5, 6); /* three: 5 and 6 are one network */
	put(w, 4, aliases, 1, 2, 3, 5, 6); /* two */
	chore_world_segment(w, 5, code, (uint32_t[]){ aliases[0], aliases[1], aliases[2] }, 3);
	put(w, 6, aliases, 1, 2, 3, 4, 5); /* three, but expired */
	chore_world_sql(w, db_is_sqlite(w->sat.db)
				   ? "UPDATE segments SET expires_at = 5 WHERE "
				     "hex(stream_id) LIKE '0000000000000006%'"
				   : "UPDATE segments SET expires_at = 5 WHERE "
				     "encode(stream_id, 'hex') LIKE '0000000000000006%'");
	must(w, segment_loop_run(&w->call, w->sat.loop, 100, NULL));
	struct repair_count c = count(w);
	assert_int_equal(c.waiting, 2);
	assert_int_equal(c.lost, 1);
	must(w, store_repair_list(&w->call, w->sat.db, &w->call.scratch, 10, &rows, &n));
	assert_int_equal(n, 3);
	assert_true(rows[0].lost);
	assert_int_equal(rows[0].retrievable, 1);
	assert_int_equal(get_be64(rows[1].stream.b), 4);
	assert_int_equal(rows[1].healthy, 2);
	assert_int_equal(rows[1].retrievable, 3);
	assert_int_equal(get_be64(rows[2].stream.b), 3);
	assert_true(rows[1].urgency < rows[2].urgency);
	assert_int_equal(c.urgency, rows[1].urgency);

	/* The worst that can be repaired comes first, each once. */
	must(w, claim(w, &row));
	assert_int_equal(get_be64(row.stream.b), 4);
	must(w, claim(w, &row));
	assert_int_equal(get_be64(row.stream.b), 3);
	assert_int_equal(claim(w, &row), ERR_NOT_FOUND);
	/* A pass meanwhile takes nothing from a worker. */
	must(w, segment_loop_run(&w->call, w->sat.loop, 100, NULL));
	assert_int_equal(claim(w, &row), ERR_NOT_FOUND);

	/* A failed one waits, unless its health changes. */
	row.error = "no";
	row.healthy = 3;
	row.retrievable = 4;
	row.not_before_ns = INT64_MAX;
	must(w, store_repair_failed(&w->call, w->sat.db, &row));
	assert_int_equal(count(w).failing, 1);
	must(w, segment_loop_run(&w->call, w->sat.loop, 100, NULL));
	assert_int_equal(claim(w, &row), ERR_NOT_FOUND);
	chore_world_node(w, 1, "a", 0);
	must(w, segment_loop_run(&w->call, w->sat.loop, 100, NULL));
	/* With node 1 back it has four healthy pieces and is not injured any more; number 5 has
	 * two, number 4 three, which its worker still has. */
	assert_int_equal(count(w).waiting, 2);
	assert_int_equal(count(w).lost, 0);
	must(w, claim(w, &row));
	assert_int_equal(get_be64(row.stream.b), 5);
	must(w, store_repair_done(&w->call, w->sat.db, &row));
	assert_int_equal(count(w).waiting, 1);
	/* A worker that lives renews its claim, one that is dead does not. */
	must(w, store_repair_list(&w->call, w->sat.db, &w->call.scratch, 10, &rows, &n));
	row = rows[0];
	must(w, store_repair_renew(&w->call, w->sat.db, &row, INT64_MAX));
	assert_int_equal(store_repair_claim(&w->call, w->sat.db, INT64_MAX - 1, 1, &row),
			 ERR_NOT_FOUND);
	must(w, store_repair_renew(&w->call, w->sat.db, &row, os_clock_unix_ns()));
	must(w, claim(w, &row));
	assert_int_equal(get_be64(row.stream.b), 4);
	/* The only process starts anew: nobody is at work. */
	must(w, store_repair_reset(&w->call, w->sat.db));
	must(w, claim(w, &row));
	assert_int_equal(get_be64(row.stream.b), 4);
	close_repair(w);
}

/* A segment that is gone, or well again, needs no work; one without places says so. */
static void test_one_segment(void **state)
{
	struct chore_world *w = *state;
	struct repair_row row = { .error = "" };
	uint32_t aliases[8];

	make_nodes(w, aliases);
	open_repair(w);
	put_be64(row.stream.b, 77);
	must(w, repair_segment(&w->call, &w->sat, &row));
	put(w, 77, aliases, 3, 4, 5, 7, 8);
	must(w, repair_segment(&w->call, &w->sat, &row));
	chore_world_sql(w, "DELETE FROM segments");
	put(w, 77, aliases, 1, 3, 4, 5, 7);
	must(w, repair_segment(&w->call, &w->sat, &row));
	/* Four are healthy, as many as a new one has to have. */
	row.eager = true;
	must(w, repair_segment(&w->call, &w->sat, &row));
	chore_world_sql(w, "DELETE FROM segments");
	chore_world_segment(w, 77, code,
			    (uint32_t[]){ aliases[0], aliases[1], aliases[2], aliases[3] }, 4);
	assert_int_equal(repair_segment(&w->call, &w->sat, &row), ERR_UNAVAILABLE);
	assert_non_null(strstr(w->call.error, "2 pieces are needed, 0 came"));
	assert_int_equal(row.healthy, 2);
	chore_world_sql(w, "DELETE FROM segments");
	chore_world_segment(w, 77, code, (uint32_t[]){ aliases[0], aliases[1], aliases[2] }, 3);
	assert_int_equal(repair_segment(&w->call, &w->sat, &row), ERR_DATA_LOSS);
	assert_true(row.lost);
	close_repair(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, chore_world_setup, chore_world_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { TEST(test_checker), TEST(test_one_segment) };

	if (argc > 1)
		chore_world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
