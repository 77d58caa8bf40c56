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
#include "os/file.h"
#include "os/process.h"
#include "satellite/keys.h"
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

/* What is there is read as this program reads it. */
static enum err read_back(struct call *call, struct db_tx *tx, void *arg)
{
	size_t steps = *(size_t *)arg;
	struct project_id project;
	struct bucket b;
	struct object o;
	struct segment s;
	bool has = false;

	for (size_t i = 0; i < steps; i++)
		has = has || strcmp(satellite_migrations[i].name, "metainfo") == 0;
	if (!has)
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
	return OK;
}

static void check_key(struct call *call, struct db *db, size_t steps)
{
	struct satellite *sat = calloc(1, sizeof(*sat));
	struct key_info info = { 0 };
	bool has = false;

	for (size_t i = 0; i < steps; i++)
		has = has || strcmp(satellite_migrations[i].name, "projects") == 0;
	sat->db = db;
	sat->keys = key_cache_new();
	sat->config.rate = 7;
	sat->config.rate_burst = 8;
	if (has) {
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_version) };

	if (argc > 1)
		kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
