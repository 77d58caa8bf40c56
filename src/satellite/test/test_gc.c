/* Garbage filters: what is in use is always in them, whatever happens meanwhile; nodes get them, in
 * one message or in many: `test_gc sqlite|postgres`. */
#include "chore_world.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "db/test/number.h"
#include "order/bloom.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/random.h"
#include "proto/piecestore2.pb-c.h"
#include "satellite/chore.h"
#include "satellite/gc.h"
#include "satellite/overlay_internal.h"
#include "satellite/segment_loop.h"
#include "satellite/tally.h"

enum { NODES = 4, SEGMENTS = 300, MANY = SEGMENT_BATCH + 100 };

static const struct scheme code = { 2, 3, 4, 4, 256 };

/* A node that remembers the filter it got. */
struct fake_node {
	struct identity *identity;
	struct net_tls *tls;
	struct rpc_server *server;
	struct node_id id;
	struct os_mutex lock;
	struct buf filter;
	int64_t created_ns;
	unsigned retains, parts;
	bool refuse;
};

static struct fake_node nodes[NODES];

static void keep_filter(struct fake_node *n, const Piecestore__RetainRequest *r, bool first)
{
	OS_LOCKED(&n->lock);
	if (first) {
		buf_clear(&n->filter);
		n->created_ns = proto_time(r->creation_date);
	}
	buf_add_bytes(&n->filter, proto_bytes(r->filter));
}

static enum err handle_retain(struct call *call, void *service, struct rpc_stream *stream)
{
	Piecestore__RetainResponse reply = PIECESTORE__RETAIN_RESPONSE__INIT;
	Piecestore__RetainRequest *r = NULL;
	struct fake_node *n = service;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &piecestore__retain_request__descriptor,
			      &r));
	if (n->refuse)
		return call_fail(call, ERR_UNAVAILABLE, "no");
	keep_filter(n, r, true);
	n->retains++;
	return rpc_send_message(call, stream, &reply.base);
}

/* Ends without a message, as the reference does. */
static enum err handle_retain_big(struct call *call, void *service, struct rpc_stream *stream)
{
	struct fake_node *n = service;
	uint8_t sum[HASH_BYTES];

	for (bool first = true;; first = false) {
		AUTO_CALL struct call own = CALL_INIT;
		Piecestore__RetainRequest *r = NULL;
		call_init_child(&own, call);
		TRY_PLAIN(rpc_recv_message(&own, stream, &own.scratch,
					   &piecestore__retain_request__descriptor, &r));
		keep_filter(n, r, first);
		n->parts++;
		if (!r->hash.len)
			continue;
		hash_blake3(buf_bytes(&n->filter), sum);
		assert_true(bytes_equal(proto_bytes(r->hash), BYTES_OF(sum)));
		n->retains++;
		return OK;
	}
}

static const struct rpc_method node_methods[] = {
	{ "/piecestore.Piecestore/Retain", handle_retain },
	{ "/piecestore.Piecestore/RetainBig", handle_retain_big },
};

static void start_node(struct chore_world *w, struct fake_node *n, const char *net)
{
	struct rpc_server_config config = { .address = "127.0.0.1:0",
					    .methods = node_methods,
					    .methods_count = ARRAY_LEN(node_methods),
					    .service = n };
	struct checkin in = { .version = "v1.2.3", .email = "", .wallet = "", .up = true };

	*n = (struct fake_node){ .filter = BUF_INIT(BLOOM_MAX) };
	must(w, identity_ephemeral(&w->call, &n->identity));
	must(w, net_tls_new(&w->call, n->identity, &n->tls));
	config.tls = n->tls;
	must(w, rpc_server_start(&w->call, &config, &n->server));
	n->id = *identity_node_id(n->identity);
	in.id = n->id;
	in.address = in.last_ip_port = rpc_server_address(n->server);
	in.last_net = net;
	in.free_disk = INT64_MAX;
	in.chain = cert_chain_der(identity_chain(n->identity));
	in.now_unix_ns = os_clock_unix_ns();
	must(w, overlay_checkin(&w->call, &w->sat, &in));
}

static void stop_node(struct fake_node *n)
{
	rpc_server_stop(n->server, 0);
	net_tls_free(n->tls);
	identity_free(n->identity);
	buf_free(&n->filter);
	os_mutex_fini(&n->lock);
}

struct fixture {
	struct chore_world *w;
	struct gc *gc;
	uint32_t aliases[NODES];
};

static int setup(void **state)
{
	static const char *const nets[NODES] = { "1", "2", "3", "4" };
	struct fixture *f = calloc(1, sizeof(*f));
	struct node_id ids[NODES];

	assert_int_equal(chore_world_setup((void **)&f->w), 0);
	struct chore_world *w = f->w;
	must(w, net_tls_new(&w->call, w->sat.identity, &w->sat.tls));
	w->sat.config.gc_margin = 0;
	for (size_t i = 0; i < NODES; i++) {
		start_node(w, &nodes[i], nets[i]);
		ids[i] = nodes[i].id;
	}
	chore_world_aliases(w, ids, NODES, f->aliases);
	must(w, gc_new(&w->call, &w->sat, &f->gc));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gc_free(f->gc);
	for (size_t i = 0; i < NODES; i++)
		stop_node(&nodes[i]);
	net_tls_free(take(&f->w->sat.tls));
	chore_world_teardown((void **)&f->w);
	free(f);
	return 0;
}

static void tally(struct chore_world *w)
{
	struct segment_loop *loop = NULL;
	struct tally *t = NULL;

	must(w, segment_loop_new(&w->call, &w->sat, &loop));
	must(w, tally_new(&w->call, &w->sat, &t));
	must(w, tally_observe(&w->call, t, loop));
	must(w, segment_loop_run(&w->call, loop, 100, NULL));
	segment_loop_free(loop);
	tally_free(t);
}

/* Every piece that the database names, of the nodes that got a filter, must be in it. */
static enum err look(struct call *call, void *arg, const struct segment_run *run,
		     const struct loop_segment *list, size_t count)
{
	size_t *found = arg;

	for (size_t i = 0; i < count; i++)
		for (uint32_t p = 0; p < list[i].pieces_count; p++)
			for (size_t n = 0; n < NODES; n++) {
				uint32_t alias = list[i].pieces[p].alias;
				struct piece_id id;
				struct bloom f;
				if (!node_id_equal(&run->nodes[alias].id, &nodes[n].id) ||
				    !nodes[n].retains)
					continue;
				piece_id_derive(&list[i].root, &nodes[n].id,
						list[i].pieces[p].number, &id);
				assert_int_equal(bloom_parse(call, buf_bytes(&nodes[n].filter), &f),
						 OK);
				assert_true(bloom_has(&f, &id));
				++*found;
			}
	return OK;
}

static enum err nothing(struct call *call, void *arg, const struct segment_run *run)
{
	return OK;
}

static enum err nothing_more(struct call *call, void *arg, const struct segment_run *run,
			     bool complete)
{
	assert_true(complete);
	return OK;
}

static size_t check_kept(struct chore_world *w)
{
	struct segment_loop *loop = NULL;
	size_t found = 0;
	const struct segment_observer o = { "look", &found, nothing, look, nothing_more };

	must(w, segment_loop_new(&w->call, &w->sat, &loop));
	must(w, segment_loop_add(&w->call, loop, &o));
	must(w, segment_loop_run(&w->call, loop, 100, NULL));
	segment_loop_free(loop);
	return found;
}

static void put_segments(struct fixture *f, unsigned from, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		chore_world_segment(f->w, from + i, code, f->aliases, NODES);
}

/* Of 10,000 other IDs about a tenth passes for one that is kept. */
static double others_kept(struct chore_world *w, const struct fake_node *n)
{
	struct bloom f;
	unsigned kept = 0;

	must(w, bloom_parse(&w->call, buf_bytes(&n->filter), &f));
	for (unsigned i = 0; i < 10000; i++) {
		struct piece_id id;
		os_random(&id, sizeof(id));
		kept += bloom_has(&f, &id);
	}
	return kept / 10000.0;
}

static void all_nodes_get_what_they_keep(void **state)
{
	struct fixture *f = *state;
	int64_t before = os_clock_unix_ns();

	put_segments(f, 1, SEGMENTS);
	tally(f->w);
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	struct gc_report r = gc_last(f->gc);
	assert_int_equal(r.sent, NODES);
	assert_int_equal(r.passes, 1);
	assert_int_equal(r.pieces, SEGMENTS * NODES);
	assert_int_equal(check_kept(f->w), SEGMENTS * NODES);
	for (size_t i = 0; i < NODES; i++) {
		double share = others_kept(f->w, &nodes[i]);
		assert_int_equal(nodes[i].retains, 1);
		assert_true(share > 0.03 && share < 0.2);
		/* Segments of this test were made in 1970. */
		assert_true(nodes[i].created_ns < before);
	}
}

/* Nothing counted, nothing sent: not even an empty filter. */
static void nodes_without_pieces_get_none(void **state)
{
	struct fixture *f = *state;

	tally(f->w);
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_int_equal(gc_last(f->gc).nodes, 0);
	for (size_t i = 0; i < NODES; i++)
		assert_int_equal(nodes[i].retains, 0);
}

static void disqualified_and_leaving_nodes_get_none(void **state)
{
	struct fixture *f = *state;

	put_segments(f, 1, SEGMENTS);
	tally(f->w);
	chore_world_sql(f->w, "UPDATE nodes SET disqualified_at = 5 WHERE last_net = '1'");
	chore_world_sql(f->w, "UPDATE nodes SET exit_initiated_at = 5 WHERE last_net = '2'");
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_int_equal(gc_last(f->gc).sent, 2);
	assert_int_equal(nodes[0].retains + nodes[1].retains, 0);
	assert_int_equal(nodes[2].retains + nodes[3].retains, 2);
}

/* With memory for one filter at a time there are as many passes as nodes. */
static void memory_is_bounded(void **state)
{
	struct fixture *f = *state;

	put_segments(f, 1, SEGMENTS);
	tally(f->w);
	f->w->sat.config.gc_memory = bloom_size(SEGMENTS, 0.1, SIZE_MAX).table_bytes + 300;
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_int_equal(gc_last(f->gc).passes, NODES);
	assert_int_equal(gc_last(f->gc).sent, NODES);
	assert_int_equal(check_kept(f->w), SEGMENTS * NODES);
}

static void large_filters_go_in_parts(void **state)
{
	struct fixture *f = *state;

	put_segments(f, 1, 10);
	tally(f->w);
	f->w->sat.config.gc_filter_max = f->w->sat.config.gc_memory = 64 << 20;
	f->w->sat.config.gc_drop_max = 100;
	chore_world_sql(f->w, "UPDATE node_tallies SET pieces = 10000000");
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	for (size_t i = 0; i < NODES; i++) {
		assert_int_equal(nodes[i].parts, 2);
		assert_int_equal(nodes[i].filter.len,
				 BLOOM_HEAD_BYTES +
					 bloom_size(10000000, 0.1, SIZE_MAX).table_bytes);
	}
	assert_int_equal(check_kept(f->w), 10 * NODES);
}

/* Half of what was counted before is not there: it may have been missed. */
static void implausible_passes_are_held_back(void **state)
{
	struct fixture *f = *state;

	put_segments(f, 1, SEGMENTS);
	tally(f->w);
	chore_world_sql(f->w, "UPDATE node_tallies SET pieces = pieces * 3");
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_int_equal(gc_last(f->gc).held_back, NODES);
	assert_int_equal(gc_last(f->gc).sent, 0);
	tally(f->w);
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_int_equal(gc_last(f->gc).sent, NODES);
}

static void a_damaged_list_stops_everything(void **state)
{
	struct fixture *f = *state;

	put_segments(f, 1, SEGMENTS);
	tally(f->w);
	chore_world_segment(f->w, 10000, code, f->aliases, 1);
	chore_world_sql(f->w, chore_world_kind[0] == 's'
				      ? "UPDATE segments SET pieces = X'ff0102' WHERE stream_id = "
					"X'00000000000027100000000000000000'"
				      : "UPDATE segments SET pieces = '\\xff0102'::bytea WHERE "
					"stream_id = '\\x00000000000027100000000000000000'::bytea");
	assert_int_equal(gc_run(&f->w->call, NULL, f->gc), ERR_DATA_LOSS);
	for (size_t i = 0; i < NODES; i++)
		assert_int_equal(nodes[i].retains, 0);
}

static void a_node_that_does_not_answer_waits(void **state)
{
	struct fixture *f = *state;

	put_segments(f, 1, SEGMENTS);
	tally(f->w);
	nodes[1].refuse = true;
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_int_equal(gc_last(f->gc).sent, NODES - 1);
	assert_int_equal(gc_last(f->gc).failed, 1);
	nodes[1].refuse = false;
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_int_equal(nodes[1].retains, 1);
}

/* A copy made while the pass runs lies where it has been, and its original is gone before the pass
 * gets there: its pieces are in the journal. */
struct copier {
	struct fixture *f;
	bool done;
};

static enum err copy_in_tx(struct call *call, struct db_tx *tx, void *arg)
{
	const struct segment *s = arg;
	struct segment copy = *s;

	put_be64(copy.stream.b, 1); /* before all others */
	TRY_PLAIN(gc_note_copy(call, tx, BYTES_OF(copy.stream.b), os_clock_unix_ns()));
	TRY_PLAIN(store_segment_put(call, tx, &copy));
	return store_segment_delete_all(call, tx, &s->stream);
}

static struct segment moved;

static enum err find_last(struct call *call, struct db_tx *tx, void *arg)
{
	struct stream_uuid last = { { 0 } };

	put_be64(last.b, MANY + 1);
	return store_segment_get(call, tx, &last, 0, &moved);
}

/* When the first batch is there, the copy's place lies behind the pass and the original before. */
static enum err copy_meanwhile(struct call *call, void *arg, const struct segment_run *run,
			       const struct loop_segment *list, size_t count)
{
	struct copier *c = arg;
	struct chore_world *w = c->f->w;

	if (c->done)
		return OK;
	c->done = true;
	must(w, db_read(&w->call, w->sat.db, find_last, NULL));
	must(w, db_write(&w->call, w->sat.db, copy_in_tx, &moved));
	return OK;
}

static void copies_made_meanwhile_are_kept(void **state)
{
	struct fixture *f = *state;
	struct copier c = { .f = f };
	const struct segment_observer o = { "copier", &c, nothing, copy_meanwhile, nothing_more };

	put_segments(f, 2, MANY);
	tally(f->w);
	must(f->w, segment_loop_add(&f->w->call, gc_loop(f->gc), &o));
	must(f->w, gc_run(&f->w->call, NULL, f->gc));
	assert_true(c.done);
	assert_int_equal(gc_last(f->gc).sent, NODES);
	/* One was not seen, yet it is there. */
	assert_int_equal(gc_last(f->gc).pieces, (MANY - 1) * NODES);
	assert_int_equal(check_kept(f->w), MANY * NODES);
	must(f->w, gc_forget_copies(&f->w->call, &f->w->sat));
}

/* ---- a lease that is lost ---- */

/* While the pass looks at the segments, another process takes the chore over. */
struct thief {
	struct fixture *f;
	_Atomic bool steals;
	_Atomic int passes, ended;
	_Atomic enum err outcome; /* of the last run */
};

static enum err take_lease(struct call *call, struct db_tx *tx, void *arg)
{
	static const uint8_t other[16] = "another process";

	return DB_EXEC(call, tx, "UPDATE chores SET holder = $1, lease_until = $2", NULL,
		       DB_V_BLOB(BYTES_OF(other)), DB_V_INT(os_clock_unix_ns() + 60 * NS_PER_SEC));
}

static enum err steal(struct call *call, void *arg, const struct segment_run *run,
		      const struct loop_segment *list, size_t count)
{
	struct thief *t = arg;

	t->passes++;
	return t->steals ? db_write(call, t->f->w->sat.db, take_lease, NULL) : OK;
}

static enum err run_gc(struct call *call, struct chore *chore, void *arg)
{
	struct thief *t = arg;

	t->outcome = gc_run(call, chore, t->f->gc);
	t->ended++;
	return t->outcome;
}

static unsigned filters_sent(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < NODES; i++) {
		OS_LOCKED(&nodes[i].lock);
		n += nodes[i].retains + nodes[i].parts;
	}
	return n;
}

static void a_lost_lease_sends_nothing(void **state)
{
	struct fixture *f = *state;
	struct chore_world *w = f->w;
	struct thief t = { .f = f, .steals = true };
	const struct segment_observer o = { "thief", &t, nothing, steal, nothing_more };
	const struct chore_spec spec = { .name = "gc", .run = run_gc, .arg = &t };
	struct chores *chores = NULL;
	int64_t rows = -1;

	put_segments(f, 1, SEGMENTS);
	tally(w);
	must(w, segment_loop_add(&w->call, gc_loop(f->gc), &o));
	must(w, satellite_chores_new(&w->call, w->sat.db, &chores));
	must(w, satellite_chores_add(&w->call, chores, &spec));
	must(w, satellite_chores_start(&w->call, chores));
	must(w, satellite_chores_request(&w->call, w->sat.db, "gc", NULL));
	EVENTUALLY(t.ended == 1);
	/* The pass was whole; what came of it goes nowhere, and is not written down. */
	assert_true(t.passes >= 1);
	assert_int_equal(t.outcome, ERR_ABORTED);
	assert_int_equal(filters_sent(), 0);
	must(w, db_test_number(&w->call, w->sat.db, "SELECT COUNT(*) FROM node_filters", &rows));
	assert_int_equal(rows, 0);
	must(w, db_test_number(&w->call, w->sat.db, "SELECT runs FROM chores", &rows));
	assert_int_equal(rows, 0);
	/* With a lease that stays they are sent. */
	t.steals = false;
	chore_world_sql(w, "UPDATE chores SET lease_until = 1");
	EVENTUALLY(t.ended > 1 && t.outcome == OK);
	assert_int_equal(filters_sent(), NODES);
	satellite_chores_free(chores);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(all_nodes_get_what_they_keep),
		T(nodes_without_pieces_get_none),
		T(disqualified_and_leaving_nodes_get_none),
		T(memory_is_bounded),
		T(large_filters_go_in_parts),
		T(implausible_passes_are_held_back),
		T(a_damaged_list_stops_everything),
		T(a_node_that_does_not_answer_waits),
		T(copies_made_meanwhile_are_kept),
		T(a_lost_lease_sends_nothing),
	};

	if (argc != 2)
		return 2;
	chore_world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
