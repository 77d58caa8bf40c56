/*
 * A database of every earlier version comes up to this one with what was in it: `test_migrations
 * sqlite|postgres`.  What a step added to the schema is filled here as a program of that time would
 * have done it; a new step needs a new entry of `filled` only when it makes a table that has rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "os/file.h"
#include "os/process.h"
#include "satellite/amnesty.h"
#include "satellite/audit.h"
#include "satellite/keys.h"
#include "satellite/limit.h"
#include "satellite/overlay_internal.h"
#include "satellite/placement.h"
#include "satellite/store_metainfo.h"

static const char *kind = "sqlite";

/* By the name of the step after which it is valid. */
static const struct {
	const char *step, *sql;
} filled[] = {
	{ "secrets", "INSERT INTO secrets (name, value) VALUES ('old', $1)" },
	{ "nodes", "INSERT INTO peer_identities (node_id, chain, updated_at) VALUES ($1, $1, 5)" },
	{ "nodes",
	  "INSERT INTO nodes (id, address, last_ip_port, last_net, email, wallet, version,"
	  " release, free_disk, debounce_limit, features, created_at, last_contact_success,"
	  " last_contact_failure, updated_at) VALUES ($1, 'a:1', '1.2.3.4:1', '1.2.3.0',"
	  " 'e', 'w', 'v1', 1, 7, 0, 0, 1, 2, 0, 3)" },
	{ "projects", "INSERT INTO projects (id, public_id, name, salt, created_at)"
		      " VALUES ($2, $2, 'p', $1, 5)" },
	{ "projects", "INSERT INTO api_keys (head, secret, project_id, name, version, created_at)"
		      " VALUES ($1, $1, $2, 'k', 1, 5)" },
	{ "settlement", "INSERT INTO storagenode_bandwidth_rollups (node_id, interval_start,"
			" action, settled) VALUES ($1, 1, 2, 3)" },
	{ "metainfo",
	  "INSERT INTO buckets (id, project_id, name, created_at, placement, versioning,"
	  " lock_enabled, lock_mode, lock_days, lock_years)"
	  " VALUES (9, $2, $1, 5, 0, 1, 0, 0, 0, 0)" },
	{ "metainfo", "INSERT INTO objects (bucket_id, object_key, age, stream_id, status, flags,"
		      " created_at, segment_count, plain_size, encrypted_size, fixed_segment_size,"
		      " cipher, block_size, checksum_kind, lock_mode)"
		      " VALUES (9, $1, -1, $2, 3, 0, 5, 1, 6, 7, 6, 2, 7424, 0, 0)" },
	{ "metainfo", "INSERT INTO segments (stream_id, position, created_at, encrypted_key,"
		      " key_nonce, encrypted_size, plain_size, plain_offset, redundancy, placement,"
		      " inline_data) VALUES ($2, 0, 5, $1, $1, 7, 6, 0, 0, 0, $1)" },
	/* 4/6/8/10 with shares of 256 bytes, as the first version packed it: 0x0a08060400000100. */
	{ "metainfo", "INSERT INTO segments (stream_id, position, created_at, encrypted_key,"
		      " key_nonce, encrypted_size, plain_size, plain_offset, redundancy, placement,"
		      " root_piece_id, pieces)"
		      " VALUES ($2, 1, 5, $1, $1, 7, 6, 0, 722834354442600704, 0, $1, $1)" },
	{ "metainfo limits",
	  "INSERT INTO limits (id, project_id, kind, subject, max_storage, monthly, stored, egress,"
	  " downloads, spent, month, updated_at) VALUES ($2, $2, 2, $1, 77, 0, 7, 0, 0, 0, 0, 5)" },
	{ "chores", "INSERT INTO chores (name, holder, lease_until, next_at, requests, served,"
		    " started_at, ended_at, runs, failures, error, note)"
		    " VALUES ('old', $1, 0, 5, 1, 1, 3, 4, 1, 0, '', '')" },
	{ "books", "INSERT INTO node_storage (node_id, interval_start, byte_hours)"
		   " VALUES ($1, 3600000000000, 9)" },
	{ "books", "INSERT INTO storagenode_payments (id, node_id, period, created_at, amount,"
		   " receipt, notes) VALUES (1, $1, '2026-01', 5, 9, 'r', 'n')" },
	{ "repair queue",
	  "INSERT INTO repair_queue (stream_id, position, urgency, healthy, retrievable, required,"
	  " success, eager, lost, added_at, seen_at, claimed_until, not_before, attempts, error)"
	  " VALUES ($2, 1, 3, 5, 5, 4, 8, 0, 0, 5, 5, 0, 0, 0, SUBSTR('x', LENGTH($1)))" },
	{ "audit", "INSERT INTO reverification_audits (node_id, stream_id, position, number,"
		   " inserted_at, attempted_at, count) VALUES ($1, $2, 1, 3, 5, 0, 1)" },
	{ "lost pieces",
	  "INSERT INTO lost_pieces (node_id, piece_id, reported_at) VALUES ($1, $1, 5)" },
	{ "placements", "INSERT INTO placements (number, name, countries)"
			" VALUES (LENGTH($1) - 25, 'old', 'DE,FR')" },
};

static const uint8_t value[32] = { 1, 2, 3 };

struct fill_arg {
	const char *step;
};

static enum err fill(struct call *call, struct db_tx *tx, void *arg)
{
	const struct fill_arg *f = arg;

	for (size_t i = 0; i < ARRAY_LEN(filled); i++) {
		const char *sql = filled[i].sql;
		if (strcmp(filled[i].step, f->step) != 0)
			continue;
		/* PostgreSQL wants the type of every parameter known, so of none unused. */
		struct db_value v[] = { DB_V_BLOB(BYTES_OF(value)), DB_V_BLOB(BYTES(value, 16)) };
		if (strstr(sql, "$2") && !strstr(sql, "$1")) {
			fail_msg("%s: $1 is not used", f->step);
		}
		TRY_PLAIN(db_exec(call, tx, sql, v, strstr(sql, "$2") ? 2 : 1, NULL));
	}
	return OK;
}

static enum err drop_all(struct call *call, struct db_tx *tx, void *arg)
{
	TRY_PLAIN(db_exec(call, tx, "DROP SCHEMA public CASCADE", NULL, 0, NULL));
	return db_exec(call, tx, "CREATE SCHEMA public", NULL, 0, NULL);
}

static void must(struct call *call, enum err e)
{
	if (e)
		fail_msg("%s", call_error(call, e));
}

static struct db *open_fresh(struct call *call, const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct db *db = NULL;

	if (strcmp(kind, "postgres") == 0) {
		must(call, db_open(call, os_getenv("ACRE_TEST_POSTGRES"), &db));
		must(call, db_write(call, db, drop_all, NULL));
		/* Statements of this connection know tables that are gone. */
		db_close(db);
		must(call, db_open(call, os_getenv("ACRE_TEST_POSTGRES"), &db));
		return db;
	}
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (os_unlink(call, arena_printf(&call->scratch, "%s%s", path, ends[i])))
			call_clear_error(call);
	must(call, db_open(call, path, &db));
	return db;
}

static bool has_step(size_t steps, const char *name)
{
	for (size_t i = 0; i < steps; i++)
		if (!strcmp(satellite_migrations[i].name, name))
			return true;
	return false;
}

/* What is there is read as this program reads it. */
static enum err read_back(struct call *call, struct db_tx *tx, void *arg)
{
	size_t steps = *(size_t *)arg;
	struct project_id project;
	struct bucket b;
	struct object o;
	struct segment s;
	if (!has_step(steps, "metainfo"))
		return OK;
	memcpy(project.b, value, sizeof(project.b));
	TRY(store_bucket_get(call, tx, &project, BYTES_OF(value), &b), "the bucket");
	assert_int_equal(b.id, 9);
	struct bytes tags = BYTES_OF(value);
	TRY(store_bucket_tags(call, tx, &project, BYTES_OF(value), &tags), "its tags");
	assert_int_equal(tags.len, 0);
	TRY(store_object_latest(call, tx, 9, BYTES_OF(value), 10, &o), "the object");
	assert_int_equal(o.encrypted_size, 7);
	TRY(store_segment_get(call, tx, &o.stream, 0, &s), "the segment");
	assert_int_equal(s.plain_size, 6);
	assert_true(s.is_inline);
	TRY(store_segment_get(call, tx, &o.stream, 1, &s), "the one with pieces");
	AUTO_BUF struct buf code = BUF_INIT(100);
	scheme_add_text(&code, &s.redundancy);
	assert_string_equal(buf_cstr(&code), "4/6/8/10-256B");
	if (!has_step(steps, "metainfo limits"))
		return OK;
	struct limit_id id;
	struct limit l;
	memcpy(id.b, value, sizeof(id.b));
	TRY(limit_get(call, tx, &id, &l), "the limit");
	assert_true(l.max.storage == 77 && l.stored == 7 && l.prices.storage == 0);
	return OK;
}

static enum err see_node(struct call *call, void *arg, const struct node_row *row)
{
	bool *seen = arg;

	assert_memory_equal(row->node.id.b, value, NODE_ID_BYTES);
	assert_string_equal(row->node.address, "a:1");
	*seen = true;
	return OK;
}

static void check_nodes(struct call *call, struct db *db, size_t steps)
{
	struct reverify_job job;
	struct lost_piece *lost = NULL;
	size_t count = 0;
	bool seen = false;

	must(call, store_nodes_since(call, db, 0, see_node, &seen));
	assert_int_equal(seen, has_step(steps, "nodes"));
	enum err e = store_reverify_take(call, db, 9, 9, &job);
	assert_int_equal(e, has_step(steps, "audit") ? OK : ERR_NOT_FOUND);
	if (!e)
		assert_true(job.number == 3 && job.share.size == 0);
	call_clear_error(call);
	must(call, store_lost_list(call, db, &call->scratch, 10, &lost, &count));
	assert_int_equal(count, has_step(steps, "lost pieces"));
}

static void check_rules(struct call *call, struct db *db, size_t steps)
{
	struct placement_set *set = NULL;

	must(call, store_placements(call, db, &set));
	const struct placement *p = placement_find(set, 7);
	assert_int_equal(p != NULL, has_step(steps, "placements"));
	if (p) {
		assert_string_equal(p->countries_text, "DE,FR");
		assert_true(!p->shared_networks && !p->continents_text[0] &&
			    p->max_prices.storage == 0);
	}
	free(set);
}

static void check_key(struct call *call, struct db *db, size_t steps)
{
	struct satellite *sat = calloc(1, sizeof(*sat));
	struct key_info info = { 0 };
	sat->db = db;
	sat->keys = key_cache_new();
	sat->config.rate = 7;
	sat->config.rate_burst = 8;
	if (has_step(steps, "projects")) {
		must(call, key_find(call, sat, BYTES_OF(value), &info));
		assert_int_equal(info.project.created_unix_ns, 5);
		assert_int_equal(info.project.rates[RATE_GET].burst, 8);
		assert_int_equal(info.number, 1);
		assert_false(info.has_limit || info.project.disabled || info.rate.limited);
	}
	key_cache_free(sat->keys);
	free(sat);
}

static void test_every_version(void **state)
{
	for (size_t from = 0; from < satellite_migrations_count; from++) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		const char *path = arena_printf(&call.scratch, "/tmp/acre-test-migrations-%d",
						os_pid());
		struct db *db = open_fresh(&call, path);
		for (size_t i = 0; i <= from; i++) {
			struct fill_arg f = { satellite_migrations[i].name };
			must(&call, db_migrate(&call, db, satellite_migrations, i + 1));
			must(&call, db_write(&call, db, fill, &f));
		}
		must(&call,
		     db_migrate(&call, db, satellite_migrations, satellite_migrations_count));
		size_t steps = from + 1;
		must(&call, db_read(&call, db, read_back, &steps));
		check_key(&call, db, steps);
		check_nodes(&call, db, steps);
		check_rules(&call, db, steps);
		/* Once is enough, and an older program keeps away. */
		must(&call,
		     db_migrate(&call, db, satellite_migrations, satellite_migrations_count));
		assert_int_equal(
			db_migrate(&call, db, satellite_migrations, satellite_migrations_count - 1),
			ERR_PRECONDITION);
		db_close(db);
		if (strcmp(kind, "postgres") != 0)
			db_close(open_fresh(&call, path));
		if (strcmp(kind, "postgres") != 0 && os_unlink(&call, path))
			call_clear_error(&call);
	}
}

/* Databases were made with these texts.  A new step gets a line here when it is released; a line
 * that is here never changes. */
static const struct {
	const char *name, *sha256; /* the first half of it */
} released[] = {
	{ "secrets", "38e0303c5dbf7b8637b099bc66d4f239" },
	{ "nodes", "00ec256dd2becd4166d85c7447d450da" },
	{ "projects", "97b2ee8b46ad4565aec3502f195b5906" },
	{ "settlement", "bb52ef8bb3da6c5aa9608341c42306a7" },
	{ "metainfo", "94228d1769c7afca63ca2df20522d8ac" },
	{ "metainfo limits", "7eed5cbb5a638474c5fc2d4c076fd5b0" },
	{ "prices of limits", "edfd08e850c60d5d67e7187ea296358f" },
	{ "noise keys", "18f84be6543ab62e4a31fe0060408cfd" },
	{ "segments in key order", "251c7cee173d21bf28f422207b1cd2fb" },
	{ "chores", "c5a21b6536f5f467187651fd2274a683" },
	{ "packed schemes", "3e86cb627bc924daa6b75191662777de" },
	{ "books", "20b9f4192d6b758d6808c8f81ed1f9a7" },
	{ "repair queue", "2c58459e8ce6044eb5e6f398ba9e82a1" },
	{ "audit", "77a371bc27f4233cd53919707c09df72" },
	{ "audit suspects", "679aea4a92485e2ddef497a897296333" },
	{ "lost pieces", "dbfe4ea106f80c66817ce37bf4e0a1cd" },
	{ "placements", "8871f1ccf302bc54abec468eef4dd225" },
	{ "books of keys", "d0e6c73f9167c389e2872cd883929a9b" },
	{ "tags of nodes", "4ee79679327228d56c51a1c85a5d0d0e" },
	{ "continents, operators and prices of placements", "791d7499cc0e938faf5ccd2bd7098b3b" },
};

static void test_released_steps_never_change(void **state)
{
	for (size_t i = 0; i < satellite_migrations_count; i++) {
		const struct db_migration *m = &satellite_migrations[i];
		AUTO_BUF struct buf hex = BUF_INIT(64);
		uint8_t hash[HASH_BYTES];
		hash_sha256(bytes_str(m->sql), hash);
		text_hex(&hex, BYTES(hash, HASH_BYTES / 2));
		if (i >= ARRAY_LEN(released) || strcmp(released[i].name, m->name) != 0 ||
		    strcmp(released[i].sha256, buf_cstr(&hex)) != 0)
			fail_msg("step %zu changed, or is new and not listed: { \"%s\", \"%s\" },",
				 i + 1, m->name, buf_cstr(&hex));
	}
	assert_int_equal(satellite_migrations_count, ARRAY_LEN(released));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version),
		cmocka_unit_test(test_released_steps_never_change),
	};

	if (argc > 1)
		kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
