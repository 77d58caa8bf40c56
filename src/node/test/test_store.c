/* The piece store: what is acknowledged survives a cut at every single operation of the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "memdisk.h"
#include "node/piece_index_internal.h"
#include "node/piece_log_internal.h"
#include "node/piece_store_internal.h"
#include "order/bloom.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/thread.h"

enum { IDS = 24, SEGMENT = 256 << 10, SIZE_MAX_TEST = 400 << 10 };

enum where { LIVE, TRASH, EITHER };

/* What must, and what may, be there. */
struct expected {
	bool stored; /* acknowledged */
	unsigned version;
	bool in_flight; /* a commit that was begun and not answered */
	unsigned next_version;
	enum where where;
	bool maybe_gone; /* a deletion was begun and not finished */
	bool may_return; /* it was deleted: a log without its index may show it again */
};

struct world {
	struct call call;
	struct piece_store *store;
	struct expected pieces[IDS];
	uint64_t recovered;
	uint64_t allocated;
	bool accept_loss;
	bool index_lost; /* at some time: what was in the trash is not any more */
	bool no_recovery;
	uint64_t index_memory;
	uint64_t recent_bytes;
	unsigned damaged;
	struct piece_id last_damaged;
};

/* What test_die_everywhere is at, for messages. */
static struct death {
	uint64_t at, seed;
	bool power_cut;
} current;

static const struct node_id node = { { 1, 2, 3 } };
static const struct node_id satellite = { { 7, 7 } };

static struct piece_id id_of(unsigned n)
{
	struct piece_id id = { { (uint8_t)n, 0x55 } };

	return id;
}

/* Sizes around the border between whole and streamed appends, and above a segment. */
static size_t size_of(unsigned n, unsigned version)
{
	static const size_t sizes[] = { 0,
					1,
					63,
					64,
					65,
					1000,
					4096,
					65536,
					100000,
					STORE_BUFFER_BYTES,
					STORE_BUFFER_BYTES + 1,
					200000,
					300000 };

	return sizes[(n * 5 + version * 3) % ARRAY_LEN(sizes)];
}

static void fill(unsigned n, unsigned version, uint8_t *out, size_t len)
{
	uint64_t s = n * 1000003u + version * 7919u + 1;

	for (size_t i = 0; i < len; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		out[i] = (uint8_t)(s >> 56);
	}
}

static enum err count_recovered(struct call *call, void *arg, const struct piece_record *r)
{
	struct world *w = arg;

	assert_int_equal(r->order_amount, (int64_t)r->size);
	w->recovered++;
	return OK;
}

static store_damaged note_damage;

static enum err open_store(struct world *w)
{
	struct piece_store_config config = {
		.dir = "/disk",
		.node = node,
		.allocated = w->allocated ? w->allocated : GIB,
		.segment_bytes = SEGMENT,
		.recovered = count_recovered,
		.damaged = note_damage,
		.index_memory = w->index_memory,
		.recent_bytes = w->recent_bytes,
		.arg = w,
		.accept_loss = w->accept_loss,
	};

	w->recovered = 0;
	call_fini(&w->call);
	call_init(&w->call);
	TRY_PLAIN(piece_store_open(&w->call, &config, &w->store));
	enum err e = w->no_recovery ? OK : piece_store_recover(&w->call, w->store);
	if (e) {
		AUTO_CALL struct call aside = CALL_INIT;
		call_init(&aside);
		piece_store_close(&aside, take(&w->store));
	}
	return e;
}

/* Everything the index has on disk goes; the log remains. */
static void lose_index(struct world *w)
{
	const char **names = NULL;
	size_t count = 0;

	assert_int_equal(os_dir_list(&w->call, &w->call.scratch, "/disk/index", &names, &count),
			 OK);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(
			os_unlink(&w->call, os_path_join(&w->call, "/disk/index", names[i])), OK);
	w->index_lost = true;
}

static void close_store(struct world *w)
{
	piece_store_close(&w->call, w->store);
	w->store = NULL;
}

static void begin_world(struct world *w, uint64_t seed)
{
	memdisk_reset(seed);
	/* Large pieces go both ways to the disk. */
	*w = (struct world){
		.recent_bytes = seed % 2 ? RECENT_SLOTS_MIN * STORE_LARGE_BYTES : 0,
	};
	call_init(&w->call);
	assert_int_equal(os_dir_make(&w->call, "/disk", false), OK);
}

static void end_world(struct world *w)
{
	close_store(w);
	call_fini(&w->call);
	memdisk_reset(0);
}

static struct piece_begin begin_of(unsigned n, size_t size)
{
	static const uint8_t limit[300] = { 0x0a, 0x10, 1, 2, 3 };

	return (struct piece_begin){
		.satellite = satellite,
		.piece = id_of(n),
		.algorithm = n % 2 ? HASH_BLAKE3 : HASH_SHA256,
		.size_max = size,
		.limit = BYTES(limit, 100 + n * 7),
	};
}

/* Uploads; `cancel` gives up before the commit. */
static enum err upload(struct world *w, unsigned n, unsigned version, bool cancel)
{
	struct piece_writer *writer = NULL;
	size_t size = size_of(n, version);
	struct piece_begin b = begin_of(n, size);
	struct piece_commit c = { .created_unix_ns = 1000 + version,
				  .order_amount = (int64_t)size };
	AUTO_FREE uint8_t *data = malloc(SIZE_MAX_TEST);

	memset(c.uplink_signature, (int)n, sizeof(c.uplink_signature));
	fill(n, version, data, size);
	TRY_PLAIN(piece_writer_begin(&w->call, w->store, &b, &writer));
	enum err e = OK;
	for (size_t at = 0; !e && at < size; at += 65536)
		e = piece_writer_add(&w->call, writer,
				     BYTES(data + at, MIN(size - at, (size_t)65536)));
	if (!e && !cancel)
		e = piece_writer_commit(&w->call, writer, &c);
	piece_writer_end(writer);
	return e;
}

static void put(struct world *w, unsigned n, unsigned version)
{
	struct expected *x = &w->pieces[n];

	if (memdisk_dead())
		return;
	x->in_flight = true;
	x->next_version = version;
	if (upload(w, n, version, false) == OK) {
		*x = (struct expected){ .stored = true, .version = version };
	} else {
		assert_true(memdisk_dead());
	}
}

/* Storj's filter with the given pieces in it. */
static void make_filter(uint64_t keep, uint8_t *out, size_t len)
{
	memset(out, 0, len);
	out[0] = 1;
	out[2] = 3;
	for (unsigned n = 0; n < IDS; n++) {
		struct piece_id id = id_of(n);
		uint8_t twice[2 * PIECE_ID_BYTES];
		unsigned offset = 0;
		if (!(keep >> n & 1))
			continue;
		memcpy(twice, id.b, PIECE_ID_BYTES);
		memcpy(twice + PIECE_ID_BYTES, id.b, PIECE_ID_BYTES);
		for (int i = 0; i < out[2]; i++, offset = (offset + 9) % PIECE_ID_BYTES)
			out[3 + get_le64(twice + offset) % (len - 3)] |=
				(uint8_t)(1 << (twice[offset + 8] & 7));
	}
}

/* Garbage collection keeps the pieces of the mask. */
static void collect_garbage(struct world *w, uint64_t keep)
{
	uint8_t wire[300];
	struct bloom filter;
	struct index_swept swept;
	bool goes[IDS] = { 0 };

	if (memdisk_dead())
		return;
	make_filter(keep, wire, sizeof(wire));
	assert_int_equal(bloom_parse(&w->call, BYTES_OF(wire), &filter), OK);
	for (unsigned n = 0; n < IDS; n++) {
		struct expected *x = &w->pieces[n];
		struct piece_id id = id_of(n);
		goes[n] = x->stored && x->where == LIVE && !bloom_has(&filter, &id);
		if (goes[n])
			x->where = EITHER;
	}
	if (piece_store_retain(&w->call, w->store, &satellite,
			       (uint32_t)(os_clock_unix_ns() / NS_PER_SEC) + 1000, &filter,
			       &swept) == OK) {
		for (unsigned n = 0; n < IDS; n++)
			if (goes[n])
				w->pieces[n].where = TRASH;
	} else {
		assert_true(memdisk_dead());
	}
}

static void restore(struct world *w)
{
	if (memdisk_dead())
		return;
	for (unsigned n = 0; n < IDS; n++)
		if (w->pieces[n].where == TRASH)
			w->pieces[n].where = EITHER;
	if (piece_store_restore_trash(&w->call, w->store, &satellite) == OK) {
		for (unsigned n = 0; n < IDS; n++)
			w->pieces[n].where = LIVE;
	} else {
		assert_true(memdisk_dead());
	}
}

/* A read takes it out of the trash. */
static void revive(struct world *w, unsigned n)
{
	struct piece_reader r = { 0 };
	struct piece_id id = id_of(n);
	struct expected *x = &w->pieces[n];

	if (memdisk_dead())
		return;
	bool trash = x->where == TRASH;
	if (trash)
		x->where = EITHER;
	if (piece_reader_open(&w->call, w->store, &satellite, &id, &r) == OK)
		assert_int_equal(r.restored, trash);
	else
		assert_true(memdisk_dead());
	piece_reader_close(&r);
	if (!memdisk_dead())
		x->where = LIVE;
}

static void delete_piece(struct world *w, unsigned n)
{
	struct expected *x = &w->pieces[n];
	struct piece_id id = id_of(n);

	if (memdisk_dead())
		return;
	x->maybe_gone = true;
	if (piece_store_delete(&w->call, w->store, &satellite, &id) == OK)
		*x = (struct expected){ .may_return = true, .version = x->version };
	else
		assert_true(memdisk_dead());
}

/* Eight days later. */
static void empty_trash(struct world *w)
{
	struct store_sweep order = { .now = (uint32_t)(os_clock_unix_ns() / NS_PER_SEC) +
					    8 * 24 * 3600 };
	struct index_swept swept;

	if (memdisk_dead())
		return;
	for (unsigned n = 0; n < IDS; n++)
		w->pieces[n].maybe_gone = w->pieces[n].where == TRASH;
	if (store_sweep(&w->call, w->store, &order, &swept) == OK) {
		for (unsigned n = 0; n < IDS; n++)
			if (w->pieces[n].maybe_gone)
				w->pieces[n] = (struct expected){ .may_return = true,
								  .version = w->pieces[n].version };
	} else {
		assert_true(memdisk_dead());
	}
}

static void maintain(struct world *w)
{
	if (!memdisk_dead())
		assert_true(piece_store_maintain(&w->call, w->store) == OK || memdisk_dead());
}

static void checkpoint(struct world *w)
{
	if (!memdisk_dead())
		assert_true(piece_store_checkpoint(&w->call, w->store) == OK || memdisk_dead());
}

static uint64_t compact(struct world *w)
{
	const struct store_compaction how = { .bytes_max = 150000, .dead_percent = 1 };
	struct store_compacted done = { .more = true };
	uint64_t freed = 0;

	while (done.more && !memdisk_dead()) {
		assert_true(piece_store_compact(&w->call, w->store, &how, &done) == OK ||
			    memdisk_dead());
		freed += done.freed;
	}
	return freed;
}

static void cancel(struct world *w, unsigned n, unsigned version)
{
	if (!memdisk_dead())
		assert_true(upload(w, n, version, true) == OK || memdisk_dead());
}

static void uploads(struct world *w)
{
	for (unsigned n = 0; n < 14; n++)
		put(w, n, 0);
	cancel(w, 20, 1);
	cancel(w, 21, 3);
	put(w, 3, 1);
	put(w, 10, 1);
	maintain(w);
	checkpoint(w);
	for (unsigned n = 14; n < 18; n++)
		put(w, n, 2);
	put(w, 3, 2);
	cancel(w, 22, 2);
	put(w, 18, 4);
	maintain(w);
	put(w, 5, 5);
	put(w, 19, 1);
}

/* A life of a store, ended wherever the disk dies. */
static void scenario(struct world *w)
{
	uploads(w);
	delete_piece(w, 7);
	collect_garbage(w, 0xf7f00);
	revive(w, 2);
	put(w, 4, 6);
	restore(w);
	compact(w);
	collect_garbage(w, 0xfffc0);
	delete_piece(w, 12);
	put(w, 20, 3);
	empty_trash(w);
	maintain(w);
	compact(w);
	put(w, 21, 4);
	checkpoint(w);
	put(w, 12, 9);
}

/* What the index says, without a read that would take it out of the trash. */
static bool find_entry(struct world *w, unsigned n, struct piece_entry *ret)
{
	struct piece_key key = { .id = id_of(n) };

	if (!piece_index_find_satellite(w->store->index, &satellite, &key.satellite))
		return false;
	enum err e = piece_index_find(&w->call, w->store->index, &key, ret);
	assert_true(e == OK || e == ERR_NOT_FOUND);
	return e == OK;
}

static bool holds(struct world *w, unsigned n, unsigned version)
{
	struct piece_reader r = { .store = w->store };
	size_t size = size_of(n, version);
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record record;
	bool same = false;

	if (!find_entry(w, n, &r.entry))
		return false;
	assert_int_equal(piece_log_pin(&w->call, w->store->log, r.entry.segment, &r.file), OK);
	if (piece_reader_size(&r) == size) {
		AUTO_FREE uint8_t *want = malloc(SIZE_MAX_TEST), *got = malloc(SIZE_MAX_TEST);
		fill(n, version, want, size);
		assert_int_equal(piece_reader_read(&w->call, &r, got, size, 0), OK);
		same = memcmp(want, got, size) == 0;
	}
	if (same) {
		struct piece_begin b = begin_of(n, size);
		assert_int_equal(piece_reader_record(&w->call, &r, head, &record), OK);
		assert_true(bytes_equal(record.limit, b.limit));
		assert_int_equal(record.algorithm, b.algorithm);
		assert_int_equal(record.created_unix_ns, 1000 + version);
		assert_int_equal(record.uplink_signature[63], n);
	}
	piece_reader_close(&r);
	return same;
}

static bool absent(struct world *w, unsigned n)
{
	struct piece_entry e;

	return !find_entry(w, n, &e);
}

struct counted {
	struct world *world;
	struct piece_figures figures;
	uint64_t segment_live[64];
};

static bool count_one(void *arg, const struct piece_entry *e)
{
	struct counted *c = arg;

	piece_figures_add(&c->figures, e, 1);
	if (e->segment < ARRAY_LEN(c->segment_live))
		c->segment_live[e->segment] += piece_entry_len(e);
	return true;
}

/* Every figure against a full count. */
static void check_accounts(struct world *w)
{
	struct counted c = { .world = w };
	struct piece_space space;
	uint64_t used = 0;

	assert_int_equal(piece_store_space(&w->call, w->store, &space), OK);
	assert_int_equal(piece_index_scan(&w->call, w->store->index, count_one, &c), OK);
	struct piece_log *log = w->store->log;
	for (size_t i = 0; i < log->count; i++) {
		struct os_stat st;
		const struct log_segment *s = log->segments[i];
		const char *path = log_segment_path(&w->call, log, s->number);
		assert_int_equal(os_stat(&w->call, path, &st), OK);
		assert_int_equal(st.size, s->tail);
		assert_null(s->appends);
		if (s->number < ARRAY_LEN(c.segment_live))
			assert_int_equal(s->live, c.segment_live[s->number]);
		used += st.size;
	}
	assert_int_equal(space.live, c.figures.bytes);
	assert_int_equal(space.trash, c.figures.trash_bytes);
	assert_int_equal(space.used, used);
	assert_int_equal(space.dead, used - c.figures.bytes - c.figures.trash_bytes);
	assert_int_equal(space.reserved, 0);
	assert_int_equal(space.pieces, c.figures.pieces);
	assert_int_equal(space.trash_pieces, c.figures.trash_pieces);
	assert_int_equal(space.damaged, c.figures.damaged);
}

/* Whether piece n is as it must be; says what it is. */
static bool is_as_expected(struct world *w, unsigned n)
{
	const struct expected *x = &w->pieces[n];
	struct piece_entry e;

	if (!find_entry(w, n, &e))
		return !x->stored || x->maybe_gone;
	bool trash = e.trashed_at != 0;
	if (x->in_flight && !trash && holds(w, n, x->next_version))
		return true;
	if (!x->stored)
		return x->may_return && w->index_lost && holds(w, n, x->version);
	if (x->where == LIVE && trash)
		return false;
	if (x->where == TRASH && !trash && !w->index_lost)
		return false;
	return holds(w, n, x->version);
}

static void check_pieces(struct world *w)
{
	for (unsigned n = 0; n < IDS; n++)
		if (!is_as_expected(w, n))
			fail_msg("piece %u is neither as acknowledged nor as in flight (death at "
				 "%llu, seed %llu%s)",
				 n, (unsigned long long)current.at,
				 (unsigned long long)current.seed,
				 current.power_cut ? ", power cut" : "");
}

/* Fixes what was in flight to what it became, so that it may not change any more. */
static void settle_flights(struct world *w)
{
	for (unsigned n = 0; n < IDS; n++) {
		struct expected *x = &w->pieces[n];
		struct piece_entry e;
		if (!find_entry(w, n, &e)) {
			*x = (struct expected){ .version = x->version,
						.may_return = x->stored || x->may_return };
			continue;
		}
		bool next = x->in_flight && holds(w, n, x->next_version);
		*x = (struct expected){ .stored = true,
					.version = next ? x->next_version : x->version,
					.where = e.trashed_at ? TRASH : LIVE };
	}
}

static void reopen(struct world *w)
{
	enum err e = open_store(w);

	if (e)
		fail_msg("cannot open: %s", call_error(&w->call, e));
	check_pieces(w);
	check_accounts(w);
}

static void test_store_and_reopen(void **state)
{
	struct world w;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	uploads(&w);
	check_pieces(&w);
	check_accounts(&w);
	close_store(&w);
	/* After a clean end nothing is read from the log. */
	reopen(&w);
	assert_int_equal(w.recovered, 0);
	close_store(&w);
	/* The log alone says the same. */
	lose_index(&w);
	reopen(&w);
	assert_true(w.recovered > 20);
	settle_flights(&w);
	put(&w, 1, 9);
	close_store(&w);
	reopen(&w);
	end_world(&w);
}

/* The disk dies at operation n; then it comes back, and maybe dies in the middle of coming back. */
static void die_at(uint64_t n, bool power_cut, uint64_t seed)
{
	struct world w;

	current = (struct death){ n, seed, power_cut };
	begin_world(&w, seed);
	memdisk_die_after(n);
	if (open_store(&w) == OK) {
		scenario(&w);
		close_store(&w);
	}
	memdisk_restart(power_cut);
	if (seed % 2) {
		memdisk_die_after(1 + seed % 5);
		if (open_store(&w) == OK)
			close_store(&w);
		memdisk_restart(power_cut);
	}
	reopen(&w);
	settle_flights(&w);
	if (seed % 3 == 0) {
		/* What is handed out now must survive the next power cut, too. */
		close_store(&w);
		memdisk_restart(true);
		reopen(&w);
	}
	/* Life goes on, on top of what was left. */
	put(&w, 2, 7);
	put(&w, 11, 7);
	cancel(&w, 23, 0);
	check_pieces(&w);
	check_accounts(&w);
	close_store(&w);
	reopen(&w);
	close_store(&w);
	lose_index(&w);
	reopen(&w);
	end_world(&w);
}

/* It has one thread: ThreadSanitizer only makes it twenty times slower. */
#ifdef __SANITIZE_THREAD__
enum { DEATHS_STEP = 17 };
#else
enum { DEATHS_STEP = 1 };
#endif

static void test_die_everywhere(void **state)
{
	struct world w;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	scenario(&w);
	close_store(&w);
	uint64_t operations = memdisk_operations();
	end_world(&w);
	assert_true(operations > 100);
	for (uint64_t n = 1; n <= operations + 1; n += DEATHS_STEP) {
		die_at(n, false, n * 2);
		for (uint64_t seed = 0; seed < 4; seed++)
			die_at(n, true, n * 4 + seed);
	}
}

static void test_reserve_and_full_disk(void **state)
{
	struct world w;
	struct piece_writer *a = NULL, *b = NULL;
	struct piece_begin begin = begin_of(1, 200000);
	struct piece_space space;
	uint8_t data[65536] = { 1 };

	(void)state;
	begin_world(&w, 1);
	w.allocated = 500000;
	assert_int_equal(open_store(&w), OK);
	assert_int_equal(piece_writer_begin(&w.call, w.store, &begin, &a), OK);
	assert_int_equal(piece_writer_begin(&w.call, w.store, &begin, &b), OK);
	struct piece_writer *c = NULL;
	assert_int_equal(piece_writer_begin(&w.call, w.store, &begin, &c), ERR_ABORTED);
	assert_non_null(strstr(w.call.error, "space"));
	assert_int_equal(piece_store_space(&w.call, w.store, &space), OK);
	assert_true(space.reserved > 400000);
	piece_writer_end(b);
	assert_int_equal(piece_writer_begin(&w.call, w.store, &begin, &c), OK);
	piece_writer_end(c);
	/* More than was promised is refused. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(piece_writer_add(&w.call, a, BYTES_OF(data)), OK);
	assert_int_equal(piece_writer_add(&w.call, a, BYTES_OF(data)), ERR_OUT_OF_RANGE);
	piece_writer_end(a);
	check_accounts(&w);

	/* The disk fills up in the middle; nothing is broken by it. */
	w.allocated = GIB;
	close_store(&w);
	assert_int_equal(open_store(&w), OK);
	put(&w, 1, 0);
	put(&w, 2, 0);
	for (uint64_t left = 0; left < 200000; left += 7001) {
		memdisk_set_free(UINT64_MAX);
		begin = begin_of(9, 150000);
		assert_int_equal(piece_writer_begin(&w.call, w.store, &begin, &a), OK);
		memdisk_set_free(left);
		enum err e = OK;
		for (int i = 0; !e && i < 2; i++)
			e = piece_writer_add(&w.call, a, BYTES_OF(data));
		struct piece_commit commit = { .order_amount = 2 * 65536 };
		if (!e)
			e = piece_writer_commit(&w.call, a, &commit);
		if (left < 2 * 65536)
			assert_int_equal(e, ERR_NO_SPACE);
		piece_writer_end(a);
		if (!e)
			break;
		check_pieces(&w);
	}
	memdisk_set_free(UINT64_MAX);
	put(&w, 3, 0);
	close_store(&w);
	lose_index(&w);
	assert_int_equal(open_store(&w), OK);
	assert_true(holds(&w, 1, 0) && holds(&w, 2, 0) && holds(&w, 3, 0));
	check_accounts(&w);
	end_world(&w);
}

/* A piece for which there was no room left a hole behind the end of its file, where no checkpoint
 * may say that something is. */
static void test_full_disk_and_kill(void **state)
{
	struct world w;
	struct piece_writer *a[3];
	uint8_t data[65536] = { 1 };
	const struct piece_begin begin = begin_of(9, sizeof(data));
	const struct piece_commit commit = { .order_amount = sizeof(data) };

	(void)state;
	for (uint64_t left = 0; left < 3 * sizeof(data); left += 9001) {
		begin_world(&w, 1);
		assert_int_equal(open_store(&w), OK);
		put(&w, 1, 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(piece_writer_begin(&w.call, w.store, &begin, &a[i]), OK);
		memdisk_set_free(left);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(piece_writer_add(&w.call, a[i], BYTES_OF(data)), OK);
			enum err e = piece_writer_commit(&w.call, a[i], &commit);
			assert_true(e == OK || e == ERR_NO_SPACE);
			piece_writer_end(a[i]);
		}
		memdisk_set_free(UINT64_MAX);
		assert_int_equal(piece_store_checkpoint(&w.call, w.store), OK);
		memdisk_die_after(1);
		close_store(&w);
		memdisk_restart(false);
		assert_int_equal(open_store(&w), OK);
		assert_true(holds(&w, 1, 0));
		put(&w, 2, 0);
		close_store(&w);
		assert_int_equal(open_store(&w), OK);
		assert_true(holds(&w, 1, 0) && holds(&w, 2, 0));
		check_accounts(&w);
		end_world(&w);
	}
}

/* What an uplink stores can look like a record; it never becomes one. */
static void test_forged_record(void **state)
{
	struct world w;
	struct piece_writer *a = NULL;
	struct piece_begin begin = begin_of(1, 300000);

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	put(&w, 2, 0);
	/* A true copy of a whole segment, headers and all, as data of a cancelled upload. */
	put(&w, 6, 0);
	struct log_file *f = NULL;
	assert_int_equal(piece_log_pin(&w.call, w.store->log, 1, &f), OK);
	uint64_t size = 0;
	assert_int_equal(os_file_size(&w.call, f->file, &size), OK);
	AUTO_FREE uint8_t *copy = malloc(size);
	assert_int_equal(piece_log_read(&w.call, f, copy, size, 0), OK);
	piece_log_unpin(w.store->log, f);
	assert_int_equal(piece_writer_begin(&w.call, w.store, &begin, &a), OK);
	for (int i = 0; i < 8 && piece_writer_size(a) + size < 300000; i++)
		assert_int_equal(piece_writer_add(&w.call, a, BYTES(copy, size)), OK);
	memdisk_die_after(1);
	piece_writer_end(a); /* the cut cannot be made any more */
	close_store(&w);
	memdisk_restart(false);
	assert_int_equal(open_store(&w), OK);
	assert_true(holds(&w, 2, 0) && holds(&w, 6, 0));
	struct piece_space space;
	assert_int_equal(piece_store_space(&w.call, w.store, &space), OK);
	assert_int_equal(space.pieces, 2);
	check_accounts(&w);
	end_world(&w);
}

static void test_missing_segment(void **state)
{
	struct world w;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	uploads(&w);
	close_store(&w);
	assert_int_equal(os_unlink(&w.call, "/disk/pieces/00000002.log"), OK);
	assert_int_equal(open_store(&w), ERR_DATA_LOSS);
	assert_non_null(strstr(w.call.error, "00000002.log"));
	assert_non_null(strstr(w.call.error, "--accept-loss"));
	w.accept_loss = true;
	assert_int_equal(open_store(&w), OK);
	check_accounts(&w);
	unsigned kept = 0;
	for (unsigned n = 0; n < IDS; n++) {
		struct expected *x = &w.pieces[n];
		if (x->stored && holds(&w, n, x->version))
			kept++;
		else
			x->stored = false;
	}
	assert_true(kept > 3 && kept < 20);
	put(&w, 4, 1);
	close_store(&w);
	w.accept_loss = false;
	reopen(&w);
	end_world(&w);
}

static void test_damage(void **state)
{
	struct world w;
	struct piece_id id = id_of(2);
	struct piece_reader r = { 0 };
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record record;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	for (unsigned n = 0; n < 6; n++)
		put(&w, n, 0);
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &id, &r), OK);
	uint64_t at = piece_entry_offset(&r.entry);
	const char *path = log_segment_path(&w.call, w.store->log, r.entry.segment);
	assert_true(memdisk_damage(path, at + 200));
	assert_int_equal(piece_reader_record(&w.call, &r, head, &record), ERR_DATA_LOSS);
	assert_true(piece_store_take_trouble(w.store));
	assert_false(piece_store_take_trouble(w.store));
	piece_reader_close(&r);
	close_store(&w);
	/* Without its index, the others are found behind the damaged record. */
	lose_index(&w);
	assert_int_equal(open_store(&w), OK);
	assert_true(absent(&w, 2));
	for (unsigned n = 0; n < 6; n++)
		assert_true(n == 2 || holds(&w, n, 0));
	check_accounts(&w);
	/* A damaged checkpoint is not believed. */
	close_store(&w);
	assert_true(memdisk_damage("/disk/index/checkpoint", 150));
	assert_int_equal(open_store(&w), OK);
	assert_int_equal(w.recovered, 5);
	/* A damaged segment header means that the disk is not what it was. */
	close_store(&w);
	assert_true(memdisk_damage("/disk/index/checkpoint", 150));
	assert_true(memdisk_damage("/disk/pieces/00000001.log", 40));
	assert_int_equal(open_store(&w), ERR_DATA_LOSS);
	end_world(&w);
}

static void test_expire(void **state)
{
	struct world w;
	uint64_t count = 0;
	int64_t now = os_clock_unix_ns(), hour = 3600 * NS_PER_SEC;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	const int64_t ends[] = { TIME_NONE, now - 2 * hour, now - hour / 2, now + hour };
	for (unsigned n = 0; n < 4; n++) {
		struct piece_writer *writer = NULL;
		struct piece_begin b = begin_of(n, 10);
		struct piece_commit c = { .order_amount = 10 };
		b.expiration_unix_ns = ends[n];
		assert_int_equal(piece_writer_begin(&w.call, w.store, &b, &writer), OK);
		assert_int_equal(piece_writer_add(&w.call, writer, BYTES("0123456789", 10)), OK);
		assert_int_equal(piece_writer_commit(&w.call, writer, &c), OK);
		piece_writer_end(writer);
	}
	/* Expiry is not looked at when reading.  Pieces that end on one day share segments, and
	 * are dropped when all of them have ended. */
	assert_false(absent(&w, 1));
	assert_int_equal(piece_store_expire(&w.call, w.store, &count), OK);
	assert_int_equal(count, 0);
	struct piece_log *log = w.store->log;
	size_t segments = log->count;
	assert_true(segments >= 2);
	struct piece_entry e;
	assert_true(find_entry(&w, 1, &e));
	struct log_segment *s = log_find_segment(log, e.segment);
	assert_true(s->expiry_group > (uint32_t)(now / NS_PER_SEC / 86400));
	s->expiry_group = 1;
	assert_int_equal(piece_store_expire(&w.call, w.store, &count), OK);
	assert_int_equal(count, 1);
	assert_true(absent(&w, 1));
	assert_false(absent(&w, 0) || absent(&w, 2) || absent(&w, 3));
	check_accounts(&w);
	/* When the last one goes, so does the file. */
	struct store_sweep order = { .now = (uint32_t)((now + 3 * hour) / NS_PER_SEC) };
	struct index_swept swept;
	assert_int_equal(store_sweep(&w.call, w.store, &order, &swept), OK);
	assert_int_equal(swept.dropped, 2);
	for (size_t i = 0; i < log->count; i++)
		if (log->segments[i]->expiry_group)
			log->segments[i]->expiry_group = 1;
	assert_int_equal(piece_store_maintain(&w.call, w.store), OK);
	assert_int_equal(log->count, 1);
	check_accounts(&w);
	close_store(&w);
	assert_int_equal(open_store(&w), OK);
	assert_true(absent(&w, 1) && !absent(&w, 0));
	check_accounts(&w);
	end_world(&w);
}

static void note_damage(void *arg, const struct node_id *of, const struct piece_id *piece)
{
	struct world *w = arg;

	assert_memory_equal(of, &satellite, sizeof(*of));
	w->damaged++;
	w->last_damaged = *piece;
}

/* One round over all segments. */
static uint64_t scrub_all(struct world *w)
{
	uint64_t damaged = 0, records = 0;
	struct store_scrubbed done;

	do {
		assert_int_equal(piece_store_scrub(&w->call, w->store, 100000, &done), OK);
		damaged += done.damaged;
		records += done.records;
	} while (done.records);
	assert_true(records > 10);
	return damaged;
}

/* Bit rot in a piece, and in the header of another: both are found, told of once, served to
 * nobody, and never "not found". */
static void test_scrub(void **state)
{
	struct world w;
	struct piece_entry e;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	uploads(&w);
	assert_int_equal(scrub_all(&w), 0);
	for (unsigned n = 6; n <= 8; n += 2) {
		assert_true(find_entry(&w, n, &e));
		uint64_t at = n == 6 ? piece_entry_data(&e) + e.size / 2
				     : piece_entry_offset(&e) + 100;
		assert_true(memdisk_damage(log_segment_path(&w.call, w.store->log, e.segment), at));
	}
	assert_int_equal(scrub_all(&w), 2);
	assert_int_equal(w.damaged, 2);
	assert_int_equal(w.last_damaged.b[0], 8);
	assert_int_equal(scrub_all(&w), 1); /* what can be read is judged again, not told again */
	assert_int_equal(w.damaged, 2);
	for (int round = 0; round < 2; round++) {
		for (unsigned n = 6; n <= 8; n += 2) {
			struct piece_reader r = { 0 };
			struct piece_id id = id_of(n);
			assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &id, &r),
					 ERR_DATA_LOSS);
		}
		check_accounts(&w);
		close_store(&w);
		assert_int_equal(open_store(&w), OK);
	}
	/* Uploaded again it is good again; compaction leaves what it cannot read where it is. */
	put(&w, 6, 3);
	collect_garbage(&w, 1 << 6 | 1 << 8);
	empty_trash(&w);
	compact(&w);
	assert_true(holds(&w, 6, 3));
	assert_true(find_entry(&w, 8, &e) && (e.flags & PIECE_DAMAGED));
	check_accounts(&w);
	end_world(&w);
}

/* After a kill the pieces of the last checkpoint are served at once; of the others nobody hears
 * "not found"; new ones are taken; and what the checkpoint covers is not read again. */
static void test_serve_while_recovering(void **state)
{
	struct world w;
	struct piece_reader r = { 0 };
	struct piece_id known = id_of(3), unknown = id_of(16), never = id_of(23);

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	for (unsigned n = 0; n < 14; n++)
		put(&w, n, 0);
	checkpoint(&w);
	for (unsigned n = 14; n < 18; n++)
		put(&w, n, 2);
	memdisk_die_after(1);
	close_store(&w);
	memdisk_restart(false);
	w.no_recovery = true;
	assert_int_equal(open_store(&w), OK);
	assert_false(piece_store_recovered(w.store));
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &known, &r), OK);
	piece_reader_close(&r);
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &unknown, &r),
			 ERR_UNAVAILABLE);
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &never, &r),
			 ERR_UNAVAILABLE);
	put(&w, 20, 1);
	put(&w, 15, 3); /* newer than what is still in the log */
	assert_true(holds(&w, 20, 1));
	assert_int_equal(piece_store_recover(&w.call, w.store), OK);
	assert_true(piece_store_recovered(w.store));
	assert_int_equal(w.recovered, 4);
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &never, &r),
			 ERR_NOT_FOUND);
	check_pieces(&w);
	check_accounts(&w);
	/* Without an index nothing can be written before all has been read. */
	close_store(&w);
	lose_index(&w);
	assert_int_equal(open_store(&w), OK);
	assert_int_equal(upload(&w, 21, 1, false), ERR_UNAVAILABLE);
	assert_int_equal(piece_store_recover(&w.call, w.store), OK);
	put(&w, 21, 1);
	check_pieces(&w);
	check_accounts(&w);
	end_world(&w);
}

/* A page of the index table that is damaged is noticed, and the log makes a new index. */
static void test_damaged_index(void **state)
{
	struct world w;
	struct index_swept swept;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	uploads(&w);
	assert_int_equal(piece_index_merge(&w.call, w.store->index, NULL, NULL, &swept), OK);
	assert_false(piece_store_index_damaged(w.store));
	const char *path = index_table_path(&w.call, w.store->index, w.store->index->generation);
	assert_true(memdisk_damage(path, 300));
	struct piece_reader r = { 0 };
	struct piece_id id = id_of(3);
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &id, &r), ERR_DATA_LOSS);
	assert_true(piece_store_index_damaged(w.store));
	close_store(&w);
	w.index_lost = true;
	reopen(&w);
	assert_false(piece_store_index_damaged(w.store));
	/* A rebuild that is interrupted goes on as one: what it has not read may be newer. */
	close_store(&w);
	lose_index(&w);
	w.no_recovery = true;
	assert_int_equal(open_store(&w), OK);
	assert_int_equal(piece_store_checkpoint(&w.call, w.store), OK);
	close_store(&w);
	assert_int_equal(open_store(&w), OK);
	assert_int_equal(upload(&w, 3, 9, false), ERR_UNAVAILABLE);
	assert_int_equal(piece_store_recover(&w.call, w.store), OK);
	w.no_recovery = false;
	put(&w, 3, 9);
	close_store(&w);
	/* One that is not what it says is not tried again at every start. */
	struct os_stat st;
	assert_int_equal(os_stat(&w.call, "/disk/index/checkpoint", &st), OK);
	assert_true(memdisk_damage("/disk/index/checkpoint", st.size - 1));
	reopen(&w);
	assert_true(w.recovered > 10);
	close_store(&w);
	reopen(&w);
	assert_int_equal(w.recovered, 0);
	end_world(&w);
}

/* Compaction: what lives is copied, the rest is freed, in parts, and never more than a segment is
 * there twice.  A segment that ends by itself soon is left alone. */
static void test_compaction(void **state)
{
	struct world w;
	struct piece_space before, after;
	const struct store_compaction how = { .bytes_max = 1, .dead_percent = 40 };
	struct store_compacted done = { .more = true };
	unsigned parts = 0;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	for (unsigned n = 0; n < IDS; n++)
		put(&w, n, 0);
	maintain(&w);
	for (unsigned n = 0; n < IDS; n += 3)
		delete_piece(&w, n);
	for (unsigned n = 1; n < IDS; n += 3)
		delete_piece(&w, n);
	assert_int_equal(piece_store_space(&w.call, w.store, &before), OK);
	uint64_t live = before.live, most = before.used;
	struct log_segment *s = w.store->log->segments[0];
	assert_true(s->sealed && s->live);
	s->expiry_group = store_today() + 1;
	while (done.more) {
		assert_int_equal(piece_store_compact(&w.call, w.store, &how, &done), OK);
		assert_int_equal(piece_store_space(&w.call, w.store, &after), OK);
		most = MAX(most, after.used);
		parts += done.more;
		check_pieces(&w);
		check_accounts(&w);
	}
	assert_true(parts >= 2);
	assert_true(most <= before.used + SEGMENT + SIZE_MAX_TEST);
	assert_true(after.used < before.used);
	assert_true(log_find_segment(w.store->log, 1) == s);
	s->expiry_group = 0;
	assert_true(compact(&w) > 0);
	assert_int_equal(piece_store_space(&w.call, w.store, &after), OK);
	assert_null(log_find_segment(w.store->log, 1));
	assert_int_equal(after.live, live);
	assert_true(after.dead < before.dead);
	check_pieces(&w);
	check_accounts(&w);
	close_store(&w);
	reopen(&w);
	end_world(&w);
}

/* A piece of `size` bytes; the end of its upload as told. */
static void pass_through(struct world *w, uint8_t n, size_t size, bool import, bool cancel)
{
	AUTO_FREE uint8_t *data = malloc(size);
	struct piece_writer *writer = NULL;
	struct piece_begin b = begin_of(n, size);
	struct piece_commit c = { .order_amount = 10 };

	b.import = import;
	fill(n, cancel, data, size);
	assert_int_equal(piece_writer_begin(&w->call, w->store, &b, &writer), OK);
	for (size_t at = 0; at < size; at += 65536)
		assert_int_equal(
			piece_writer_add(&w->call, writer, BYTES(data + at, MIN(65536, size - at))),
			OK);
	if (!cancel)
		assert_int_equal(piece_writer_commit(&w->call, writer, &c), OK);
	piece_writer_end(writer);
}

/* Reads such a piece, which must be as it was put; whether the disk was not asked. */
static bool reads_none(struct world *w, uint8_t n, size_t size, bool disk)
{
	AUTO_FREE uint8_t *data = malloc(size);
	struct piece_begin b = begin_of(n, size);
	struct piece_stream *stream = NULL;
	struct piece_reader r;
	struct bytes part;

	fill(n, false, data, size);
	assert_int_equal(piece_reader_open(&w->call, w->store, &satellite, &b.piece, &r), OK);
	uint64_t reads = memdisk_reads();
	assert_int_equal(piece_stream_open(&w->call, &r, 0, size, disk, &stream), OK);
	for (size_t at = 0; at < size; at += part.len) {
		assert_int_equal(piece_stream_next(&w->call, stream, &part), OK);
		assert_memory_equal(part.data, data + at, part.len);
	}
	piece_stream_close(stream);
	piece_reader_close(&r);
	return memdisk_reads() == reads;
}

static bool from_memory(struct world *w, uint8_t n, size_t size)
{
	return reads_none(w, n, size, false);
}

/* What was uploaded last is served from memory: not what was only taken over, nor what another
 * piece's place in the log had before; not when others have come since, unless it is being read;
 * nor to who asks what is on the disk. */
static void test_recent(void **state)
{
	enum { SIZE = 2 * LOG_RUN_BYTES + 54321, SLOTS = 3 };
	struct piece_stream *stream = NULL;
	struct piece_reader r;
	struct bytes part;
	struct world w;

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	struct log_recent *recent = &w.store->log->recent;
	assert_int_equal(recent->count, RECENT_SLOTS_MIN);
	pass_through(&w, 0, SIZE, false, false);
	pass_through(&w, 1, SIZE, true, false);
	pass_through(&w, 2, SIZE, false, true);
	pass_through(&w, 3, SIZE, false, false);
	assert_true(from_memory(&w, 0, SIZE));
	assert_false(reads_none(&w, 0, SIZE, true));
	assert_false(from_memory(&w, 1, SIZE));
	assert_true(from_memory(&w, 3, SIZE));

	AUTO_FREE uint8_t *data = malloc(SIZE);
	struct piece_begin b = begin_of(3, SIZE);
	fill(3, false, data, SIZE);
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &b.piece, &r), OK);
	assert_int_equal(piece_stream_open(&w.call, &r, 0, SIZE, false, &stream), OK);
	assert_int_equal(piece_stream_next(&w.call, stream, &part), OK);
	for (uint8_t n = 4; n < 4 + 3 * RECENT_SLOTS_MIN / SLOTS; n++)
		pass_through(&w, n, SIZE, false, false);
	assert_memory_equal(part.data, data, part.len);
	for (size_t at = part.len; at < SIZE; at += part.len) {
		assert_int_equal(piece_stream_next(&w.call, stream, &part), OK);
		assert_memory_equal(part.data, data + at, part.len);
	}
	piece_stream_close(stream);
	piece_reader_close(&r);
	assert_false(from_memory(&w, 0, SIZE));
	assert_true(from_memory(&w, 3 + 3 * RECENT_SLOTS_MIN / SLOTS, SIZE));

	/* Nobody stores anything any more. */
	assert_int_equal(piece_store_maintain(&w.call, w.store), OK);
	assert_non_null(recent->slots[0].buffer);
	recent->kept_mono_ns -= 3601 * NS_PER_SEC;
	assert_int_equal(piece_store_maintain(&w.call, w.store), OK);
	for (size_t i = 0; i < recent->count; i++)
		assert_null(recent->slots[i].buffer);
	assert_false(from_memory(&w, 3, SIZE));
	end_world(&w);

	/* Without the setting nothing is kept. */
	begin_world(&w, 2);
	assert_int_equal(open_store(&w), OK);
	pass_through(&w, 0, SIZE, false, false);
	assert_false(from_memory(&w, 0, SIZE));
	end_world(&w);
}

/* More than the index may keep in memory: it is merged by whoever needs the room, and a look-up
 * costs one read besides the data. */
static void test_many(void **state)
{
	enum { MANY = 3000 };
	struct world w;
	struct index_status status;

	(void)state;
	begin_world(&w, 1);
	w.index_memory = 1;
	assert_int_equal(open_store(&w), OK);
	for (unsigned i = 0; i < MANY; i++) {
		struct piece_writer *writer = NULL;
		struct piece_begin b = begin_of(1, 10);
		struct piece_commit c = { .order_amount = 10 };
		b.piece.b[1] = (uint8_t)i;
		b.piece.b[2] = (uint8_t)(i >> 8);
		uint64_t reads = memdisk_reads();
		assert_int_equal(piece_writer_begin(&w.call, w.store, &b, &writer), OK);
		assert_int_equal(piece_writer_add(&w.call, writer, BYTES("0123456789", 10)), OK);
		piece_index_status(w.store->index, &status);
		bool merges = status.changes + 1 > status.changes_max;
		assert_int_equal(piece_writer_commit(&w.call, writer, &c), OK);
		piece_writer_end(writer);
		/* A new piece is mostly put without reading the index. */
		if (!merges)
			assert_true(memdisk_reads() - reads <= 2);
	}
	piece_index_status(w.store->index, &status);
	assert_true(status.generation >= MANY / INDEX_CHANGES_MIN - 1);
	assert_true(status.memory < 200 << 10);
	for (unsigned i = 0; i < MANY; i++) {
		struct piece_id id = id_of(1);
		struct piece_reader r = { 0 };
		id.b[1] = (uint8_t)i;
		id.b[2] = (uint8_t)(i >> 8);
		uint64_t reads = memdisk_reads();
		assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &id, &r), OK);
		assert_true(memdisk_reads() - reads <= 1 + (i == 0));
		piece_reader_close(&r);
	}
	check_accounts(&w);
	close_store(&w);
	assert_int_equal(open_store(&w), OK);
	assert_int_equal(w.recovered, 0);
	check_accounts(&w);
	end_world(&w);
}

/* Pieces that end on one day are in segments of their own, spans for far days. */
/* Any range of a large piece, in order, while others read theirs; from memory (odd seeds) or disk.
 */
static void streams_read_all(unsigned seed)
{
	enum { SIZE = 3 * PIECE_STREAM_BYTES + 4321, STREAMS = 12 };
	static const size_t from[] = { 0, 1, 4095, PIECE_STREAM_BYTES, SIZE - 70000, SIZE };
	struct piece_stream *streams[STREAMS];
	struct piece_reader readers[STREAMS];
	struct piece_begin b = begin_of(1, SIZE);
	struct piece_commit c = { .order_amount = SIZE };
	AUTO_FREE uint8_t *data = malloc(SIZE);
	struct piece_writer *writer = NULL;
	size_t done[STREAMS], running = STREAMS;
	struct world w;

	begin_world(&w, seed);
	assert_int_equal(open_store(&w), OK);
	fill(1, 1, data, SIZE);
	assert_int_equal(piece_writer_begin(&w.call, w.store, &b, &writer), OK);
	assert_int_equal(piece_writer_add(&w.call, writer, BYTES(data, SIZE)), OK);
	assert_int_equal(piece_writer_commit(&w.call, writer, &c), OK);
	piece_writer_end(writer);
	for (unsigned i = 0; i < STREAMS; i++) {
		size_t at = from[i % ARRAY_LEN(from)];
		size_t size = i % 2 ? SIZE - at : (SIZE - at) / 2;
		assert_int_equal(
			piece_reader_open(&w.call, w.store, &satellite, &b.piece, &readers[i]), OK);
		assert_int_equal(
			piece_stream_open(&w.call, &readers[i], at, size, false, &streams[i]), OK);
		done[i] = 0;
	}
	/* In turns, so that more want to read ahead than there are threads. */
	while (running) {
		running = 0;
		for (unsigned i = 0; i < STREAMS; i++) {
			size_t at = from[i % ARRAY_LEN(from)];
			size_t size = i % 2 ? SIZE - at : (SIZE - at) / 2;
			struct bytes part;
			if (done[i] == size || (i == 3 && done[i]))
				continue; /* one is left in the middle */
			assert_int_equal(piece_stream_next(&w.call, streams[i], &part), OK);
			assert_true(part.len && part.len <= PIECE_STREAM_BYTES &&
				    part.len <= size - done[i]);
			assert_memory_equal(part.data, data + at + done[i], part.len);
			done[i] += part.len;
			running++;
		}
	}
	for (unsigned i = 0; i < STREAMS; i++) {
		piece_stream_close(streams[i]);
		piece_reader_close(&readers[i]);
	}

	/* A disk that fails while it reads ahead: told at the part's turn.  What is in memory is
	 * not its business. */
	struct bytes part;
	assert_int_equal(piece_reader_open(&w.call, w.store, &satellite, &b.piece, &readers[0]),
			 OK);
	assert_int_equal(piece_stream_open(&w.call, &readers[0], 0, SIZE, false, &streams[0]), OK);
	memdisk_die_after(1);
	put(&w, 2, 1);
	assert_true(memdisk_dead());
	enum err e = OK;
	for (unsigned i = 0; i < 4 && !e; i++)
		e = piece_stream_next(&w.call, streams[0], &part);
	assert_int_equal(e, seed % 2 ? OK : ERR_IO);
	piece_stream_close(streams[0]);
	piece_reader_close(&readers[0]);
	memdisk_restart(false);
	end_world(&w);
}

static void test_stream(void **state)
{
	(void)state;
	streams_read_all(1);
	streams_read_all(2);
}

static void test_groups(void **state)
{
	const int64_t day = 24 * 3600 * NS_PER_SEC, now = 20000 * day + 5;

	(void)state;
	assert_int_equal(piece_log_group(TIME_NONE, now), 0);
	assert_int_equal(piece_log_group(now + day, now), 20002);
	/* Whatever ended is collected an hour later, on the day after at the latest. */
	assert_int_equal(piece_log_group(20001 * day - 1, now), 20002);
	assert_int_equal(piece_log_group(20001 * day - 2 * 3600 * NS_PER_SEC, now), 20001);
	assert_int_equal(piece_log_group(now - day, now), 20001);
	uint32_t last = 0, groups = 0;
	for (int64_t d = 1; d < 4500; d++) {
		uint32_t g = piece_log_group(now + d * day, now);
		assert_true(g == 0 || g > (uint32_t)(20000 + d));
		groups += g != last;
		last = g;
	}
	assert_true(groups < 150);
}

struct uploader {
	struct world *world;
	struct os_mutex *lock;
	unsigned first, failed;
	size_t size;
};

static void upload_many(void *arg)
{
	struct uploader *u = arg;

	for (unsigned i = 0; i < 8; i++) {
		struct call call;
		struct piece_writer *writer = NULL;
		struct piece_begin b = begin_of(1, u->size);
		struct piece_commit c = { .order_amount = (int64_t)u->size };
		AUTO_FREE uint8_t *data = calloc(1, u->size);
		call_init(&call);
		b.piece.b[1] = (uint8_t)(u->first);
		b.piece.b[2] = (uint8_t)(i + 1);
		data[0] = (uint8_t)(u->first + i);
		enum err e = piece_writer_begin(&call, u->world->store, &b, &writer);
		if (!e)
			e = piece_writer_add(&call, writer, BYTES(data, u->size));
		if (!e)
			e = piece_writer_commit(&call, writer, &c);
		piece_writer_end(writer);
		u->failed += e != OK;
		call_fini(&call);
	}
}

/* Sixteen uploaders on a disk whose sync takes 10 ms share their syncs. */
static void test_shared_sync(void **state)
{
	enum { THREADS = 16 };
	struct world w;
	struct os_thread *threads[THREADS];
	struct uploader u[THREADS];

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	put(&w, 0, 1);
	memdisk_slow_sync(10 * NS_PER_MS);
	uint64_t syncs = memdisk_syncs();
	int64_t start = os_clock_mono_ns();
	for (unsigned i = 0; i < THREADS; i++) {
		u[i] = (struct uploader){ .world = &w, .first = 100 + i, .size = 4096 };
		assert_int_equal(
			os_thread_start(&w.call, "uploader", upload_many, &u[i], &threads[i]), OK);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		os_thread_join(threads[i]);
		assert_int_equal(u[i].failed, 0);
	}
	double seconds = (double)(os_clock_mono_ns() - start) / NS_PER_SEC;
	syncs = memdisk_syncs() - syncs;
	print_message("%d uploads: %.0f a second, %llu syncs\n", THREADS * 8, THREADS * 8 / seconds,
		      (unsigned long long)syncs);
	assert_true(syncs < THREADS * 8 / 3);
	memdisk_slow_sync(0);
	check_accounts(&w);
	close_store(&w);
	lose_index(&w);
	assert_int_equal(open_store(&w), OK);
	struct piece_space space;
	assert_int_equal(piece_store_space(&w.call, w.store, &space), OK);
	assert_int_equal(space.pieces, THREADS * 8 + 1);
	check_accounts(&w);
	end_world(&w);
}

/* Many uploaders, checkpoints beside them, and a power cut anywhere. */
struct racer {
	struct world *world;
	unsigned number;
	uint64_t seed;
	unsigned acknowledged; /* versions [0, acknowledged) of its own pieces */
	bool in_flight;
};

enum { RACERS = 6, RACES = 12, RACE_SIZES = 5 };
static const size_t race_sizes[RACE_SIZES] = { 100, 5000, 70000, 140000, 1 };

static struct piece_begin race_begin(const struct racer *r, unsigned version)
{
	struct piece_begin b = begin_of(r->number, race_sizes[(version + r->number) % RACE_SIZES]);

	b.piece.b[1] = (uint8_t)version;
	return b;
}

static void race(void *arg)
{
	struct racer *r = arg;

	for (unsigned v = 0; v < RACES; v++) {
		struct call call;
		struct piece_writer *writer = NULL;
		struct piece_begin b = race_begin(r, v);
		struct piece_commit c = { .order_amount = (int64_t)b.size_max };
		AUTO_FREE uint8_t *data = malloc(b.size_max);
		call_init(&call);
		fill(r->number, v, data, b.size_max);
		r->in_flight = true;
		enum err e = piece_writer_begin(&call, r->world->store, &b, &writer);
		if (!e)
			e = piece_writer_add(&call, writer, BYTES(data, b.size_max));
		if (!e && v % 4 == 3) {
			piece_writer_end(writer); /* cancelled */
			writer = NULL;
			r->acknowledged = v + 1;
			r->in_flight = false;
		} else if (!e) {
			e = piece_writer_commit(&call, writer, &c);
		}
		piece_writer_end(writer);
		call_fini(&call);
		if (e)
			return;
		r->acknowledged = v + 1;
		r->in_flight = false;
	}
}

/* What a node does beside serving. */
static enum err upkeep(struct call *call, struct piece_store *s, unsigned i)
{
	static const uint8_t everything[] = { 1, 0, 4, 0xff };
	const struct store_compaction how = { .bytes_max = GIB, .dead_percent = 1 };
	struct bloom filter;
	struct store_compacted compacted;
	struct store_scrubbed scrubbed;
	struct index_swept swept;

	TRY_PLAIN(piece_store_maintain(call, s));
	switch (i % 3) {
	case 0:
		TRY_PLAIN(bloom_parse(call, BYTES_OF(everything), &filter));
		return piece_store_retain(call, s, &satellite, UINT32_MAX, &filter, &swept);
	case 1:
		return piece_store_compact(call, s, &how, &compacted);
	default:
		TRY_PLAIN(piece_store_scrub(call, s, GIB, &scrubbed));
		return piece_store_restore_trash(call, s, &satellite);
	}
}

static void checkpoints(void *arg)
{
	struct racer *r = arg;

	for (int i = 0; i < 6 && !memdisk_dead(); i++) {
		struct call call;
		call_init(&call);
		enum err e = piece_store_checkpoint(&call, r->world->store);
		if (!e && r->seed % 2)
			e = upkeep(&call, r->world->store, (unsigned)i);
		assert_true(e == OK || memdisk_dead());
		call_fini(&call);
	}
}

static void check_race(struct world *w, const struct racer *r)
{
	for (unsigned v = 0; v < RACES; v++) {
		struct piece_begin b = race_begin(r, v);
		struct piece_reader reader = { 0 };
		AUTO_FREE uint8_t *want = malloc(b.size_max), *got = malloc(b.size_max);
		enum err e = piece_reader_open(&w->call, w->store, &satellite, &b.piece, &reader);
		if (e) {
			assert_int_equal(e, ERR_NOT_FOUND);
			assert_true(v >= r->acknowledged || v % 4 == 3);
			continue;
		}
		assert_true(v < r->acknowledged || (v == r->acknowledged && r->in_flight));
		assert_int_not_equal(v % 4, 3);
		fill(r->number, v, want, b.size_max);
		assert_int_equal(piece_reader_size(&reader), b.size_max);
		assert_int_equal(piece_reader_read(&w->call, &reader, got, b.size_max, 0), OK);
		assert_memory_equal(got, want, b.size_max);
		piece_reader_close(&reader);
	}
}

static void race_once(uint64_t seed)
{
	struct world w;
	struct racer racers[RACERS + 1];
	struct os_thread *threads[RACERS + 1];

	begin_world(&w, seed);
	assert_int_equal(open_store(&w), OK);
	memdisk_die_after(20 + seed * 7 % 400);
	for (unsigned i = 0; i <= RACERS; i++) {
		racers[i] = (struct racer){ .world = &w, .number = i, .seed = seed };
		assert_int_equal(os_thread_start(&w.call, "racer", i < RACERS ? race : checkpoints,
						 &racers[i], &threads[i]),
				 OK);
	}
	for (unsigned i = 0; i <= RACERS; i++)
		os_thread_join(threads[i]);
	close_store(&w);
	memdisk_restart(seed % 4 != 0);
	for (int round = 0; round < 3; round++) {
		enum err e = open_store(&w);
		if (e)
			fail_msg("seed %llu: cannot open: %s", (unsigned long long)seed,
				 call_error(&w.call, e));
		for (unsigned i = 0; i < RACERS; i++)
			check_race(&w, &racers[i]);
		check_accounts(&w);
		/* On top of what was left, and then without the checkpoint. */
		if (round == 0)
			put(&w, 1, 5);
		close_store(&w);
		if (round == 1)
			lose_index(&w);
	}
	end_world(&w);
}

static void test_race_and_die(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++)
		race_once(seed);
}

/* Of two records that were never synced the first is torn and the second is whole: the first stays
 * unseen even when later records of the segment say that all before them is durable. */
static void test_torn_in_the_middle(void **state)
{
	(void)state;
	unsigned torn = 0;
	for (uint64_t seed = 1; seed < 200; seed++) {
		struct world w;
		struct piece_writer *a = NULL, *b = NULL;
		uint8_t data[3000] = { 9 };
		begin_world(&w, seed);
		assert_int_equal(open_store(&w), OK);
		struct piece_begin begin[2] = { begin_of(1, 3000), begin_of(2, 3000) };
		assert_int_equal(piece_writer_begin(&w.call, w.store, &begin[0], &a), OK);
		assert_int_equal(piece_writer_begin(&w.call, w.store, &begin[1], &b), OK);
		struct log_append one = { 0 }, two = { 0 };
		struct piece_record r = { .type = RECORD_PIECE,
					  .algorithm = HASH_BLAKE3,
					  .piece = id_of(1),
					  .satellite = satellite,
					  .order_amount = sizeof(data) };
		hash_blake3(BYTES_OF(data), r.hash);
		struct piece_record r2 = r;
		r2.piece = id_of(2);
		assert_int_equal(
			piece_log_append_whole(&w.call, w.store->log, &one, &r, BYTES_OF(data)),
			OK);
		assert_int_equal(
			piece_log_append_whole(&w.call, w.store->log, &two, &r2, BYTES_OF(data)),
			OK);
		piece_log_append_end(&w.call, w.store->log, &one);
		piece_log_append_end(&w.call, w.store->log, &two);
		piece_writer_end(a);
		piece_writer_end(b);
		memdisk_die_after(1);
		close_store(&w);
		memdisk_restart(true);
		assert_int_equal(open_store(&w), OK);
		bool first = !absent(&w, 1), second = !absent(&w, 2);
		torn += second && !first;
		put(&w, 3, 0);
		put(&w, 4, 0);
		close_store(&w);
		lose_index(&w);
		assert_int_equal(open_store(&w), OK);
		assert_int_equal(!absent(&w, 1), first);
		assert_int_equal(!absent(&w, 2), second);
		end_world(&w);
	}
	assert_true(torn > 5);
}

/* What is reserved and not yet written is never claimed to be durable. */
static void test_durable_claim(void **state)
{
	struct world w;
	struct log_append slow = { 0 }, quick = { 0 };
	struct piece_record r = { .type = RECORD_PIECE, .algorithm = HASH_BLAKE3 };

	(void)state;
	begin_world(&w, 1);
	assert_int_equal(open_store(&w), OK);
	put(&w, 1, 4);
	struct log_segment *s = w.store->log->segments[0];
	uint64_t before = s->tail;
	assert_int_equal(s->durable, before);
	/* As a writer that was given its place and has not come further. */
	slow = (struct log_append){ .segment = s, .number = s->number, .offset = s->tail };
	s->appends = &slow;
	s->tail += 4096;
	w.store->log->used += 4096;
	assert_int_equal(piece_log_append_whole(&w.call, w.store->log, &quick, &r, BYTES("x", 1)),
			 OK);
	assert_int_equal(piece_log_sync(&w.call, w.store->log, &quick), OK);
	piece_log_append_end(&w.call, w.store->log, &quick);
	assert_int_equal(s->durable, before);
	piece_log_append_end(&w.call, w.store->log, &slow);
	assert_int_equal(piece_log_append_whole(&w.call, w.store->log, &quick, &r, BYTES("x", 1)),
			 OK);
	assert_int_equal(piece_log_sync(&w.call, w.store->log, &quick), OK);
	assert_int_equal(s->durable, s->tail);
	piece_log_append_end(&w.call, w.store->log, &quick);
	end_world(&w);
}

/* What transfers needed at once is kept for the next ones, until nobody has needed it for a while.
 */
static void test_buffers(void **state)
{
	enum { N = BUFFERS_IDLE_MAX + 1 };
	struct buffers b;
	uint8_t *taken[N];

	(void)state;
	buffers_init(&b, 1 << 16);
	for (unsigned i = 0; i < N; i++)
		assert_non_null(taken[i] = buffers_take(&b));
	for (unsigned i = 0; i < N; i++)
		buffers_put(&b, taken[i]);
	assert_int_equal(b.count, BUFFERS_IDLE_MAX);
	buffers_slim(&b);
	taken[0] = buffers_take(&b);
	taken[1] = buffers_take(&b);
	buffers_put(&b, taken[0]);
	buffers_put(&b, taken[1]);
	assert_int_equal(b.count, BUFFERS_IDLE_MAX);
	buffers_slim(&b);
	assert_int_equal(b.count, 2);
	buffers_slim(&b);
	assert_int_equal(b.count, 0);
	buffers_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_store_and_reopen),
		cmocka_unit_test(test_reserve_and_full_disk),
		cmocka_unit_test(test_full_disk_and_kill),
		cmocka_unit_test(test_forged_record),
		cmocka_unit_test(test_missing_segment),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_expire),
		cmocka_unit_test(test_scrub),
		cmocka_unit_test(test_serve_while_recovering),
		cmocka_unit_test(test_damaged_index),
		cmocka_unit_test(test_compaction),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_recent),
		cmocka_unit_test(test_shared_sync),
		cmocka_unit_test(test_durable_claim),
		cmocka_unit_test(test_torn_in_the_middle),
		cmocka_unit_test(test_race_and_die),
		cmocka_unit_test(test_die_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
