/* The pass over all segments: every one once, in order, to every observer: `test_segment_loop
 * sqlite|postgres`. */
#include "chore_world.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/cancel.h"
#include "satellite/segment_loop.h"

DEFINE_AUTO_PTR(struct segment_loop, loop_auto, segment_loop_free)

enum { NODES = 6, SEGMENTS = 2 * SEGMENT_BATCH + 7 };
static const struct scheme code = { 2, 3, 4, 5, 256 };

/* An observer that checks what it is shown. */
struct seen {
	unsigned begun, ended;
	bool complete;
	uint64_t segments, pieces, inlines, damaged;
	uint64_t last;
	bool any_code;
	uint64_t fail_at; /* segments; 0: never */
	struct os_cancel *cancel_at_first;
	uint32_t flags[NODES + 2], net[NODES + 2];
	struct node_id id[NODES + 2];
};

static enum err begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct seen *s = arg;

	s->begun++;
	assert_true(run->started_ns > 0);
	return OK;
}

static void look(struct seen *s, const struct segment_run *run, const struct loop_segment *g)
{
	uint64_t stream = get_be64(g->stream.b);

	assert_true(!s->segments || stream > s->last);
	s->last = stream;
	s->segments++;
	s->inlines += g->is_inline;
	s->damaged += g->damaged;
	assert_true(g->is_inline || s->any_code || g->redundancy.total == code.total);
	for (uint32_t i = 0; i < g->pieces_count; i++) {
		uint32_t alias = g->pieces[i].alias;
		assert_true(alias < run->nodes_count);
		assert_true(run->nodes[alias].net < run->nets_count);
		if (alias < NODES + 2) {
			s->flags[alias] = run->nodes[alias].flags;
			s->net[alias] = run->nodes[alias].net;
			s->id[alias] = run->nodes[alias].id;
		}
		s->pieces++;
	}
}

static enum err segments(struct call *call, void *arg, const struct segment_run *run,
			 const struct loop_segment *list, size_t count)
{
	struct seen *s = arg;

	assert_in_range(count, 1, SEGMENT_BATCH);
	if (s->cancel_at_first)
		os_cancel_set(s->cancel_at_first);
	for (size_t i = 0; i < count; i++)
		look(s, run, &list[i]);
	if (s->fail_at && s->segments >= s->fail_at)
		return call_fail(call, ERR_UNKNOWN, "seen enough");
	return OK;
}

static enum err end(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	struct seen *s = arg;

	s->ended++;
	s->complete = complete;
	return OK;
}

static void add(struct chore_world *w, struct segment_loop *l, struct seen *s)
{
	const struct segment_observer o = { "probe", s, begin, segments, end };

	must(w, segment_loop_add(&w->call, l, &o));
}

/* Many rows in few transactions. */
struct many {
	struct chore_world *w;
	const uint32_t *aliases;
};

static enum err put_many(struct call *call, struct db_tx *tx, void *arg)
{
	const struct many *m = arg;

	for (uint64_t i = 0; i < SEGMENTS; i++) {
		struct piece pieces[5];
		AUTO_BUF struct buf list = BUF_INIT(256);
		struct segment s = { .created_ns = 1,
				     .key = bytes_str("k"),
				     .nonce = bytes_str("n"),
				     .encrypted_size = 1000,
				     .redundancy = code,
				     .is_inline = i % 10 == 9,
				     .inline_data = i % 10 == 9 ? bytes_str("x") : BYTES_NONE };
		/* Not in the order they are inserted. */
		put_be64(s.stream.b, i * UINT64_C(0x9e3779b97f4a7c15));
		for (uint32_t j = 0; j < 5; j++)
			pieces[j] = (struct piece){ j, m->aliases[(i + j) % NODES] };
		piece_list_encode(&list, pieces, 5);
		s.pieces = buf_bytes(&list);
		TRY_PLAIN(store_segment_put(call, tx, &s));
	}
	return OK;
}

static void fill(struct chore_world *w, struct node_id *ids, uint32_t *aliases)
{
	struct many m = { w, aliases };

	ids[0] = chore_world_node(w, 1, "10.0.0.0", 0);
	ids[1] = chore_world_node(w, 2, "10.0.1.0", 0);
	ids[2] = chore_world_node(w, 3, "10.0.0.0", 0);
	ids[3] = chore_world_node(w, 4, "10.0.2.0", 5 * 3600 * NS_PER_SEC);
	ids[4] = chore_world_node(w, 5, "10.0.3.0", 0);
	/* One that the overlay never heard of. */
	ids[5] = ids[4];
	ids[5].b[0] = 99;
	chore_world_aliases(w, ids, NODES, aliases);
	must(w, db_write(&w->call, w->sat.db, put_many, &m));
}

static void test_every_segment_once(void **state)
{
	struct chore_world *w = *state;
	struct segment_loop *l AUTO(loop_auto) = NULL;
	struct seen a = { 0 }, b = { .fail_at = SEGMENT_BATCH + 1 };
	struct node_id ids[NODES];
	uint32_t aliases[NODES];

	must(w, segment_loop_new(&w->call, &w->sat, &l));
	add(w, l, &b);
	add(w, l, &a);
	/* Nothing there: begun and ended all the same. */
	must(w, segment_loop_run(&w->call, l, 100, NULL));
	assert_int_equal(a.begun, 1);
	assert_true(a.complete);
	fill(w, ids, aliases);
	assert_int_equal(segment_loop_run(&w->call, l, 100, NULL), ERR_UNKNOWN);
	assert_string_equal(w->call.error, "probe: seen enough");
	/* The one that failed hears no more; the other hears all. */
	assert_false(b.complete);
	assert_int_equal(b.ended, 2);
	assert_int_equal(b.segments, 2 * SEGMENT_BATCH);
	assert_true(a.complete);
	assert_int_equal(a.ended, 2);
	assert_int_equal(a.segments, SEGMENTS);
	assert_int_equal(a.inlines, SEGMENTS / 10);
	assert_int_equal(a.damaged, 0);
	assert_int_equal(a.pieces, (SEGMENTS - SEGMENTS / 10) * 5);
	for (size_t i = 0; i < NODES; i++) {
		uint32_t alias = aliases[i];
		assert_memory_equal(&a.id[alias], &ids[i], sizeof(ids[i]));
		uint32_t flags = i == 5 ? 0 : i == 3 ? NODE_KNOWN : NODE_KNOWN | NODE_ONLINE;
		assert_int_equal(a.flags[alias], flags);
	}
	assert_int_equal(a.net[aliases[0]], a.net[aliases[2]]);
	assert_int_not_equal(a.net[aliases[0]], a.net[aliases[1]]);
	assert_int_not_equal(a.net[aliases[4]], a.net[aliases[1]]);
	assert_int_equal(a.net[aliases[5]], 0);
}

/* Segments so wide that a batch has no room for as many; a list that cannot be read. */
static void test_damage_and_wide_segments(void **state)
{
	struct chore_world *w = *state;
	struct segment_loop *l AUTO(loop_auto) = NULL;
	struct seen a = { 0 };
	const struct scheme wide = { 29, 35, 80, 250, 256 };
	struct node_id ids[250];
	uint32_t aliases[250];

	for (uint32_t i = 0; i < 250; i++)
		ids[i] = chore_world_node(w, i + 1, "net", 0);
	chore_world_aliases(w, ids, 250, aliases);
	for (uint64_t i = 1; i <= 300; i++)
		chore_world_segment(w, i, wide, aliases, 250);
	chore_world_segment(w, 301, wide, aliases, 3);
	chore_world_sql(w, db_is_sqlite(w->sat.db)
				   ? "UPDATE segments SET pieces = x'09' WHERE LENGTH(pieces) < 20"
				   : "UPDATE segments SET pieces = '\\x09' WHERE "
				     "LENGTH(pieces) < 20");
	must(w, segment_loop_new(&w->call, &w->sat, &l));
	add(w, l, &a);
	a.any_code = true;
	must(w, segment_loop_run(&w->call, l, 100, NULL));
	assert_int_equal(a.segments, 301);
	assert_int_equal(a.damaged, 1);
	assert_int_equal(a.pieces, 300 * 250);
}

static void test_canceled(void **state)
{
	struct chore_world *w = *state;
	struct segment_loop *l AUTO(loop_auto) = NULL;
	struct os_cancel cancel;
	struct seen a = { .cancel_at_first = &cancel };
	struct node_id ids[NODES];
	uint32_t aliases[NODES];

	fill(w, ids, aliases);
	must(w, os_cancel_init(&w->call, &cancel, NULL));
	must(w, segment_loop_new(&w->call, &w->sat, &l));
	add(w, l, &a);
	w->call.cancel = &cancel;
	assert_int_equal(segment_loop_run(&w->call, l, 100, NULL), ERR_CANCELED);
	w->call.cancel = NULL;
	call_clear_error(&w->call);
	os_cancel_fini(&cancel);
	assert_int_equal(a.segments, SEGMENT_BATCH);
	assert_int_equal(a.ended, 1);
	assert_false(a.complete);
	/* The next pass begins from the start. */
	a.cancel_at_first = NULL;
	a.segments = 0;
	must(w, segment_loop_run(&w->call, l, 100, NULL));
	assert_int_equal(a.segments, SEGMENTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, chore_world_setup, chore_world_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_segment_once),
		TEST(test_damage_and_wide_segments),
		TEST(test_canceled),
	};

	if (argc > 1)
		chore_world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
