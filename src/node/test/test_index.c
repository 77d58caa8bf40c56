/* The piece index against a plain list: random changes, merges, sweeps, checkpoints, new starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "memdisk.h"
#include "node/piece_index_internal.h"
#include "os/clock.h"
#include "os/file.h"

enum { KEYS = 900, STEPS = 40000, SATELLITES = 3, SEGMENTS = 8 };

static uint64_t seed = 12345;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

/* The log, as far as the index knows it. */
static struct {
	int64_t live[SEGMENTS];
	uint64_t seq;
} fake_log;

static void add_live(void *arg, uint32_t segment, int64_t bytes, uint64_t end)
{
	(void)arg;
	(void)end;
	assert_true(segment < SEGMENTS);
	fake_log.live[segment] += bytes;
	assert_true(fake_log.live[segment] >= 0);
}

static enum err snapshot(struct call *call, void *arg, struct arena *a, struct checkpoint *c)
{
	(void)arg;
	(void)call;
	c->segments = arena_array(a, SEGMENTS, sizeof(*c->segments));
	for (uint32_t i = 0; i < SEGMENTS; i++)
		c->segments[i] = (struct checkpoint_segment){ .number = i,
							      .stable = GIB,
							      .live = (uint64_t)fake_log.live[i] };
	c->segments_count = SEGMENTS;
	c->seq = fake_log.seq;
	c->next_segment = SEGMENTS;
	return OK;
}

struct world {
	struct call call;
	struct piece_index *x;
	struct piece_entry list[KEYS]; /* header64 0 = absent */
	uint32_t restored[SATELLITES];
};

static struct piece_entry entry_of(uint32_t key, uint32_t version)
{
	struct piece_entry e = { .segment = version % SEGMENTS,
				 .offset64 = 2 + key + version * 1000,
				 .size = key * 3,
				 .stored_at = 1000 + version,
				 .satellite = (uint16_t)(key % SATELLITES),
				 .header64 = 9 };

	e.id.b[0] = (uint8_t)(key / SATELLITES);
	e.id.b[31] = (uint8_t)(key / SATELLITES >> 8);
	return e;
}

static void open_index(struct world *w)
{
	struct piece_index_config config = { .dir = "/index",
					     .memory = 1, /* the least */
					     .add_live = add_live,
					     .snapshot = snapshot };
	struct checkpoint known;

	call_init(&w->call);
	enum err e = piece_index_open(&w->call, &config, &w->call.scratch, &known, &w->x);
	if (e)
		fail_msg("%s", call_error(&w->call, e));
	for (uint8_t i = 0; i < SATELLITES; i++) {
		struct node_id id = { { (uint8_t)(i + 1) } };
		uint16_t number = 99;
		assert_int_equal(piece_index_satellite(&w->call, w->x, &id, &number), OK);
		assert_int_equal(number, i);
	}
	for (size_t i = 0; i < known.segments_count; i++)
		assert_int_equal(known.segments[i].live, fake_log.live[i]);
}

static void close_index(struct world *w)
{
	piece_index_close(w->x);
	call_fini(&w->call);
}

static struct piece_entry effective(const struct world *w, struct piece_entry e)
{
	uint32_t restored = w->restored[e.satellite];

	if (e.trashed_at && e.trashed_at <= restored) {
		e.trashed_at = 0;
		e.stored_at = MAX(e.stored_at, restored);
	}
	return e;
}

struct counted {
	struct world *world;
	struct piece_figures figures[SATELLITES];
	uint64_t seen;
};

static bool count_one(void *arg, const struct piece_entry *e)
{
	struct counted *c = arg;

	piece_figures_add(&c->figures[e->satellite], e, 1);
	c->seen++;
	return true;
}

static void check_all(struct world *w)
{
	struct counted c = { .world = w };
	struct piece_figures want[SATELLITES] = { 0 };
	struct index_satellite s;
	uint64_t count = 0;

	for (uint32_t k = 0; k < KEYS; k++) {
		struct piece_entry e;
		struct piece_entry probe = entry_of(k, 0);
		struct piece_key key = piece_entry_key(&probe);
		enum err err = piece_index_find(&w->call, w->x, &key, &e);
		if (!w->list[k].header64) {
			assert_int_equal(err, ERR_NOT_FOUND);
			continue;
		}
		assert_int_equal(err, OK);
		struct piece_entry is = effective(w, w->list[k]);
		assert_memory_equal(&e, &is, sizeof(e));
		piece_figures_add(&want[is.satellite], &is, 1);
		count++;
	}
	assert_int_equal(piece_index_scan(&w->call, w->x, count_one, &c), OK);
	assert_int_equal(c.seen, count);
	for (size_t i = 0; i < SATELLITES; i++) {
		assert_true(piece_index_satellite_status(w->x, i, &s));
		assert_memory_equal(&s.figures, &want[i], sizeof(want[i]));
		assert_memory_equal(&c.figures[i], &want[i], sizeof(want[i]));
	}
	uint64_t bytes = 0, live = 0;
	for (size_t i = 0; i < SATELLITES; i++)
		bytes += want[i].bytes + want[i].trash_bytes;
	for (size_t i = 0; i < SEGMENTS; i++)
		live += (uint64_t)fake_log.live[i];
	assert_int_equal(bytes, live);
}

static bool remove_it(void *arg, bool have, struct piece_entry *e)
{
	uint32_t now = *(uint32_t *)arg;

	if (!have)
		return false;
	e->flags = PIECE_DELETED;
	e->trashed_at = now;
	return true;
}

struct sweep_order {
	uint32_t now, satellite, one_in;
};

static bool verdict(const void *arg, struct piece_entry *e)
{
	const struct sweep_order *o = arg;

	if (e->trashed_at && e->trashed_at + 50 < o->now)
		return false;
	if (e->satellite == o->satellite && !e->trashed_at && e->id.b[0] % o->one_in == 0)
		e->trashed_at = o->now;
	return true;
}

static void sweep(struct world *w, uint32_t now, uint32_t satellite)
{
	struct sweep_order o = { .now = now, .satellite = satellite, .one_in = 3 };
	struct index_swept swept;

	assert_int_equal(piece_index_merge(&w->call, w->x, verdict, &o, &swept), OK);
	for (uint32_t k = 0; k < KEYS; k++) {
		struct piece_entry *e = &w->list[k];
		if (!e->header64)
			continue;
		*e = effective(w, *e);
		bool was_trash = e->trashed_at != 0;
		if (!verdict(&o, e))
			*e = (struct piece_entry){ 0 };
		else if (e->trashed_at && !was_trash)
			e->trashed_at = MAX(now, w->restored[e->satellite] + 1);
	}
}

static void restore(struct world *w, uint32_t now)
{
	uint16_t satellite = (uint16_t)(next_random() % SATELLITES);
	uint32_t time = piece_index_restore_time(w->x, satellite, now);

	assert_true(time >= now);
	assert_true(piece_index_restore(w->x, satellite, time));
	w->restored[satellite] = time;
	/* What a start reads of it again does nothing. */
	assert_false(piece_index_restore(w->x, satellite, time));
}

static void step(struct world *w, uint32_t i)
{
	uint32_t k = next_random() % KEYS, now = 2000 + i / 50;
	struct piece_entry e = entry_of(k, i);
	struct piece_key key = piece_entry_key(&e);
	struct index_swept swept;

	switch (next_random() % 500) {
	case 0:
		sweep(w, now, next_random() % SATELLITES);
		break;
	case 1:
		restore(w, now);
		break;
	case 2:
		assert_int_equal(piece_index_merge(&w->call, w->x, NULL, NULL, &swept), OK);
		break;
	case 3:
	case 4:
		assert_int_equal(piece_index_checkpoint(&w->call, w->x), OK);
		close_index(w);
		open_index(w);
		break;
	default:
		if (next_random() % 3 == 0) {
			uint32_t unix_now = (uint32_t)(os_clock_unix_ns() / NS_PER_SEC);
			assert_int_equal(
				piece_index_change(&w->call, w->x, &key, remove_it, &unix_now), OK);
			w->list[k] = (struct piece_entry){ 0 };
		} else {
			assert_int_equal(piece_index_put(&w->call, w->x, &e), OK);
			w->list[k] = e;
		}
	}
}

static void test_against_list(void **state)
{
	static struct world w;
	struct index_status status;

	(void)state;
	memdisk_reset(1);
	assert_int_equal(os_dir_make(&w.call, "/index", false), OK);
	memset(&fake_log, 0, sizeof(fake_log));
	open_index(&w);
	for (uint32_t i = 0; i < STEPS; i++) {
		step(&w, i);
		if (i % 400 == 0)
			check_all(&w);
	}
	check_all(&w);
	piece_index_status(w.x, &status);
	assert_true(status.generation > 20);
	assert_int_equal(status.changes_max, INDEX_CHANGES_MIN);
	close_index(&w);
	memdisk_reset(0);
}

/* ---- changes and restores while a sweep runs ---- */

struct meddling {
	struct world *world;
	uint32_t what;
	uint64_t seen;
	bool done;
};
static struct meddling meddling;

/* A verdict that lets the world change in the middle of the sweep. */
static bool meddle(const void *arg, struct piece_entry *e)
{
	struct meddling *m = &meddling;

	if (!m->done && ++m->seen == 200) {
		m->done = true;
		if (m->what == 0)
			restore(m->world, 5000);
		for (uint32_t k = 0; k < 200 && m->what == 1; k++) {
			struct piece_entry now = entry_of(k, 77);
			struct call call;
			call_init(&call);
			assert_int_equal(piece_index_put(&call, m->world->x, &now), OK);
			call_fini(&call);
			m->world->list[k] = now;
		}
	}
	return verdict(arg, e);
}

static void test_meddling(void **state)
{
	static struct world w;
	struct index_swept swept;

	(void)state;
	memdisk_reset(2);
	assert_int_equal(os_dir_make(&w.call, "/index", false), OK);
	memset(&fake_log, 0, sizeof(fake_log));
	open_index(&w);
	for (uint32_t k = 0; k < KEYS; k++) {
		w.list[k] = entry_of(k, k);
		assert_int_equal(piece_index_put(&w.call, w.x, &w.list[k]), OK);
	}
	for (uint32_t i = 0; i < SATELLITES; i++)
		sweep(&w, 4000, i);
	check_all(&w);
	/* What was restored meanwhile must not be dropped: the sweep gives up. */
	struct sweep_order o = { .now = 9000, .satellite = 0, .one_in = 2 };
	meddling = (struct meddling){ .world = &w, .what = 0 };
	assert_int_equal(piece_index_merge(&w.call, w.x, meddle, &o, &swept), ERR_BUSY);
	call_clear_error(&w.call);
	check_all(&w);
	/* What was replaced meanwhile is counted as what it became. */
	for (uint32_t k = 0; k < KEYS; k++) {
		struct piece_entry e = effective(&w, w.list[k]);
		if (!verdict(&o, &e))
			e = (struct piece_entry){ 0 };
		w.list[k] = e;
	}
	meddling = (struct meddling){ .world = &w, .what = 1 };
	assert_int_equal(piece_index_merge(&w.call, w.x, meddle, &o, &swept), OK);
	assert_true(swept.dropped > 0);
	check_all(&w);
	assert_int_equal(piece_index_checkpoint(&w.call, w.x), OK);
	close_index(&w);
	open_index(&w);
	check_all(&w);
	close_index(&w);
	memdisk_reset(0);
}

/* ---- tables ---- */

static void test_table(void **state)
{
	enum { COUNT = 5000 };
	static struct piece_entry entries[COUNT];
	struct call call;
	struct piece_seed s = { { 11, 12 } };
	struct piece_delta d = { 0 };
	struct delta_item *items = NULL;
	struct table_writer *writer = NULL;
	struct piece_table *t = NULL;
	struct checkpoint_satellite satellites[SATELLITES] = { 0 };
	struct checkpoint c = { .satellites = satellites, .satellites_count = SATELLITES }, back;

	(void)state;
	memdisk_reset(3);
	call_init(&call);
	for (uint32_t i = 0; i < COUNT; i++) {
		entries[i] = entry_of(i, i);
		assert_int_equal(piece_delta_reserve(&call, &d, &s, 1), OK);
		piece_delta_put(&d, piece_hash(&s, entries[i].id.b, entries[i].satellite),
				&entries[i]);
	}
	assert_int_equal(piece_delta_sorted(&call, &d, &s, &items), OK);
	assert_int_equal(table_writer_new(&call, "/t", COUNT, &writer), OK);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(table_writer_add(&call, writer, items[i].hash, items[i].entry),
				 OK);
	assert_int_equal(table_writer_end(&call, writer, &c), OK);
	table_writer_free(writer);
	assert_int_equal(piece_table_open(&call, &call.scratch, "/t", &back, &t), OK);
	assert_int_equal(piece_table_count(t), COUNT);
	unsigned passed = 0;
	for (uint32_t i = 0; i < 2 * COUNT; i++) {
		struct piece_entry want = entry_of(i, i), got;
		struct piece_key key = piece_entry_key(&want);
		uint64_t hash = piece_hash(&s, want.id.b, want.satellite);
		bool may = piece_table_may_have(t, hash);
		passed += i >= COUNT && may;
		assert_true(i >= COUNT || may);
		uint64_t reads = memdisk_reads();
		enum err e = piece_table_find(&call, t, hash, &key, &got);
		assert_int_equal(e, i < COUNT ? OK : ERR_NOT_FOUND);
		assert_true(memdisk_reads() - reads <= 1);
		if (!e)
			assert_memory_equal(&got, &want, sizeof(got));
	}
	/* One byte of sieve for an entry lets few through that are not there. */
	assert_true(passed < COUNT / 20);
	/* A damaged page is noticed, in look-ups and in passes. */
	piece_table_free(t);
	assert_true(memdisk_damage("/t", 2 * TABLE_PAGE_BYTES + 1000));
	assert_int_equal(piece_table_open(&call, &call.scratch, "/t", &back, &t), OK);
	unsigned lost = 0;
	for (uint32_t i = 0; i < COUNT; i++) {
		struct piece_key key = piece_entry_key(&entries[i]);
		uint64_t hash = piece_hash(&s, entries[i].id.b, entries[i].satellite);
		struct piece_entry got;
		lost += piece_table_find(&call, t, hash, &key, &got) == ERR_DATA_LOSS;
	}
	assert_int_equal(lost, TABLE_PAGE_ENTRIES);
	struct table_cursor cursor;
	bool found = true;
	struct piece_entry e;
	assert_int_equal(table_cursor_begin(&call, &cursor, t), OK);
	assert_int_equal(table_cursor_next(&call, &cursor, &e, &found), ERR_DATA_LOSS);
	table_cursor_end(&cursor);
	piece_table_free(t);
	/* Behind the pages everything is hashed. */
	uint64_t size = 0;
	struct os_stat st;
	assert_int_equal(os_stat(&call, "/t", &st), OK);
	size = st.size;
	assert_true(memdisk_damage("/t", size - 5000));
	assert_int_equal(piece_table_open(&call, &call.scratch, "/t", &back, &t), ERR_FORMAT);
	free(items);
	piece_delta_free(&d);
	call_fini(&call);
	memdisk_reset(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_meddling),
		cmocka_unit_test(test_against_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
