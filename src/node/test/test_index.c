/* The piece index against a plain list, under random puts and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "node/piece_index.h"

enum { KEYS = 600, STEPS = 60000 };

static uint64_t seed = 12345;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

static struct piece_entry entry_of(uint32_t key, uint32_t version)
{
	struct piece_entry e = { .segment = version,
				 .offset64 = 2 + key,
				 .size = key * 3,
				 .satellite = (uint16_t)(key % 3),
				 .header64 = 9 };

	e.id.b[0] = (uint8_t)(key / 3);
	e.id.b[31] = (uint8_t)(key / 3 >> 8);
	return e;
}

static void test_against_list(void **state)
{
	struct call call;
	struct piece_index *x = NULL;
	uint32_t versions[KEYS] = { 0 }; /* 0 = absent */
	uint64_t count = 0;

	(void)state;
	call_init(&call);
	assert_int_equal(piece_index_new(&call, &x), OK);
	for (uint32_t step = 1; step <= STEPS; step++) {
		uint32_t key = next_random() % KEYS;
		struct piece_entry e = entry_of(key, step), old, got;
		struct piece_key k = { e.id, e.satellite };
		bool had = false;
		/* Mostly filling, then mostly emptying, in turns. */
		if (next_random() % 10 < (step / 5000 % 2 ? 3 : 7)) {
			assert_int_equal(piece_index_put(&call, x, &e, &had, &old), OK);
			assert_int_equal(had, versions[key] != 0);
			if (had)
				assert_int_equal(old.segment, versions[key]);
			count += !had;
			versions[key] = step;
		} else {
			e = entry_of(key, versions[key]);
			assert_int_equal(piece_index_remove(x, &e), versions[key] != 0);
			count -= versions[key] != 0;
			versions[key] = 0;
			/* A stale entry removes nothing. */
			e.segment++;
			assert_false(piece_index_remove(x, &e));
		}
		key = next_random() % KEYS;
		k = (struct piece_key){ entry_of(key, 0).id, (uint16_t)(key % 3) };
		enum err err = piece_index_find(&call, x, &k, &got);
		assert_int_equal(err, versions[key] ? OK : ERR_NOT_FOUND);
		if (!err)
			assert_int_equal(got.segment, versions[key]);
		assert_int_equal(piece_index_count(x), count);
	}
	AUTO_BUF struct buf all = BUF_INIT(1 << 20);
	for (unsigned i = 0; i < INDEX_SHARDS; i++)
		assert_int_equal(piece_index_shard(&call, x, i, &all), OK);
	assert_int_equal(all.len, count * sizeof(struct piece_entry));
	piece_index_free(x);
	call_fini(&call);
}

/* A million pieces: bytes of memory for each. */
static void test_memory(void **state)
{
	enum { PIECES = 1000000 };
	struct call call;
	struct piece_index *x = NULL;

	(void)state;
	call_init(&call);
	assert_int_equal(piece_index_new(&call, &x), OK);
	for (uint32_t i = 0; i < PIECES; i++) {
		struct piece_entry e = { .offset64 = 2, .header64 = 9 };
		for (int k = 0; k < PIECE_ID_BYTES; k++)
			e.id.b[k] = (uint8_t)next_random();
		assert_int_equal(piece_index_put(&call, x, &e, NULL, NULL), OK);
	}
	double each = (double)piece_index_memory(x) / PIECES;
	print_message("%.1f bytes of memory a piece\n", each);
	assert_true(each < INDEX_ENTRY_BYTES * 1.8);
	piece_index_free(x);
	call_fini(&call);
}

static void test_entry_bytes(void **state)
{
	struct piece_entry e = entry_of(77, 5), back;
	uint8_t wire[INDEX_ENTRY_BYTES];

	(void)state;
	e.stored_at = 1;
	e.expires_at = 2;
	piece_entry_encode(&e, wire);
	assert_int_equal(piece_entry_decode(wire, &back), OK);
	assert_memory_equal(&e, &back, sizeof(e));
	wire[54] = 0; /* no header */
	assert_int_equal(piece_entry_decode(wire, &back), ERR_FORMAT);
	wire[54] = 200;
	assert_int_equal(piece_entry_decode(wire, &back), ERR_FORMAT);
	wire[54] = 9;
	wire[55] = 1; /* a flag nobody knows */
	assert_int_equal(piece_entry_decode(wire, &back), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_list),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_entry_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
