/* The satellite of chore_world.h. */
#include "chore_world.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/random.h"
#include "satellite/auth.h"
#include "satellite/metainfo_internal.h"
#include "satellite/overlay_internal.h"

const char *chore_world_kind = "sqlite";

static bool is_postgres(void)
{
	return strcmp(chore_world_kind, "postgres") == 0;
}

static void remove_files(struct chore_world *w)
{
	static const char *const ends[] = { "", "-wal", "-shm" };

	for (size_t i = 0; !is_postgres() && i < ARRAY_LEN(ends); i++)
		if (os_unlink(&w->call, arena_printf(&w->call.scratch, "%s%s", w->path, ends[i])))
			call_clear_error(&w->call);
}

static enum err wipe(struct call *call, struct db_tx *tx, void *arg)
{
	TRY_PLAIN(db_exec(call, tx, "DROP SCHEMA public CASCADE", NULL, 0, NULL));
	return db_exec(call, tx, "CREATE SCHEMA public", NULL, 0, NULL);
}

static void open_database(struct chore_world *w)
{
	const char *url = is_postgres() ? os_getenv("ACRE_TEST_POSTGRES") : w->path;

	remove_files(w);
	must(w, db_open(&w->call, url, &w->sat.db));
	if (is_postgres()) {
		must(w, db_write(&w->call, w->sat.db, wipe, NULL));
		/* Statements of this connection know tables that are gone. */
		db_close(w->sat.db);
		must(w, db_open(&w->call, url, &w->sat.db));
	}
	must(w, db_migrate(&w->call, w->sat.db, satellite_migrations, satellite_migrations_count));
}

int chore_world_setup(void **state)
{
	struct chore_world *w = calloc(1, sizeof(*w));
	const struct param_set set = { satellite_params, satellite_params_count };
	struct call *call = &w->call;

	call_init(call);
	*state = w;
	must(w, param_defaults(call, &call->scratch, set, &w->sat.config));
	must(w, satellite_config_check(call, &w->sat.config));
	w->path = arena_printf(&call->scratch, "/tmp/acre-test-chores-%d", os_pid());
	open_database(w);
	must(w, identity_ephemeral(call, &w->sat.identity));
	w->sat.id = *identity_node_id(w->sat.identity);
	must(w, overlay_new(call, &w->sat, &w->sat.overlay));
	must(w, metainfo_open(call, &w->sat));
	return 0;
}

int chore_world_teardown(void **state)
{
	struct chore_world *w = *state;

	metainfo_close(&w->sat);
	overlay_free(w->sat.overlay);
	db_close(w->sat.db);
	identity_free(w->sat.identity);
	remove_files(w);
	call_fini(&w->call);
	free(w);
	return 0;
}

struct node_id chore_world_node(struct chore_world *w, uint32_t number, const char *net,
				int64_t age_ns)
{
	struct node_row row = { .version = "v", .email = "", .wallet = "" };

	put_le32(row.node.id.b, number);
	row.node.id.b[31] = 1;
	row.node.address = row.node.last_ip_port = "127.0.0.1:1";
	row.node.last_net = net;
	row.node.free_disk = INT64_MAX;
	row.node.version_ok = true;
	row.node.last_success_ns = os_clock_unix_ns() - age_ns;
	row.updated_ns = os_clock_unix_ns();
	must(w, overlay_put(&w->call, w->sat.overlay, &row, false));
	return row.node.id;
}

/* ---- rows ---- */

struct aliases_arg {
	struct chore_world *w;
	const struct node_id *ids;
	size_t count;
	uint32_t *out;
};

static enum err assign(struct call *call, struct db_tx *tx, void *arg)
{
	struct aliases_arg *a = arg;

	return node_aliases_assign(call, tx, a->w->sat.metainfo->aliases, a->ids, a->count, a->out);
}

void chore_world_aliases(struct chore_world *w, const struct node_id *ids, size_t count,
			 uint32_t *ret)
{
	struct aliases_arg a = { w, ids, count, ret };

	must(w, db_write(&w->call, w->sat.db, assign, &a));
	node_aliases_learn(w->sat.metainfo->aliases, ids, ret, count);
}

static enum err put_segment(struct call *call, struct db_tx *tx, void *arg)
{
	return store_segment_put(call, tx, arg);
}

void chore_world_segment(struct chore_world *w, uint64_t stream, struct scheme r,
			 const uint32_t *aliases, size_t count)
{
	AUTO_BUF struct buf list = BUF_INIT(4096);
	struct piece pieces[PIECE_LIST_MAX];
	struct segment s = { .created_ns = 1,
			     .key = bytes_str("key"),
			     .nonce = bytes_str("nonce"),
			     .encrypted_size = 100000,
			     .plain_size = 100000,
			     .redundancy = r };

	put_be64(s.stream.b, stream);
	os_random(s.root.b, sizeof(s.root.b));
	for (size_t i = 0; i < count; i++)
		pieces[i] = (struct piece){ (uint32_t)i, aliases[i] };
	piece_list_encode(&list, pieces, count);
	s.pieces = buf_bytes(&list);
	must(w, db_write(&w->call, w->sat.db, put_segment, &s));
}

static enum err run_sql(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, arg, NULL, 0, NULL);
}

void chore_world_sql(struct chore_world *w, const char *sql)
{
	must(w, db_write(&w->call, w->sat.db, run_sql, (void *)(uintptr_t)sql));
}
