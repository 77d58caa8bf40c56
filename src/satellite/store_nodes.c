/* Rows of nodes and their certificate chains. */
#include "base/cleanup.h"
#include "satellite/overlay_internal.h"

struct since_arg {
	int64_t since_ns;
	node_row_fn *fn;
	void *arg;
};

static const char *text(struct arena *a, const struct db_rows *rows, unsigned column)
{
	const char *s = arena_str(a, db_bytes(rows, column));

	return s ? s : "";
}

/* For whichever reason. */
static int64_t suspended(const struct db_rows *rows)
{
	static const unsigned columns[] = { 15, 16, 22 };

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		if (db_int(rows, columns[i]))
			return db_int(rows, columns[i]);
	return 0;
}

static enum err read_row(struct call *call, struct arena *a, const struct db_rows *rows,
			 const struct since_arg *s)
{
	struct node_row row = {
		.node = {
			.address = text(a, rows, 1), .last_ip_port = text(a, rows, 2),
			.last_net = text(a, rows, 3), .free_disk = db_int(rows, 7),
			.created_ns = db_int(rows, 10), .last_success_ns = db_int(rows, 11),
			.last_failure_ns = db_int(rows, 12), .vetted_ns = db_int(rows, 13),
			.disqualified_ns = db_int(rows, 14), .suspended_ns = suspended(rows),
			.exit_initiated_ns = db_int(rows, 17), .version_ok = true,
			.exit_finished_ns = db_int(rows, 21),
			.geo = { country_parse(db_bytes(rows, 23)),
				 continent_parse(db_bytes(rows, 25)) },
			.tags = text(a, rows, 24),
			.dial = {
				.debounce_limit = (int32_t)db_int(rows, 8),
				.features = (uint64_t)db_int(rows, 9),
				.noise = noise_peer_from(db_int(rows, 19), db_bytes(rows, 20)),
			},
		},
		.email = text(a, rows, 4), .wallet = text(a, rows, 5), .version = text(a, rows, 6),
		.updated_ns = db_int(rows, 18),
	};

	TRY(node_id_from_bytes(db_bytes(rows, 0), &row.node.id), "a node's row is damaged");
	return s->fn(call, s->arg, &row);
}

static enum err select_since(struct call *call, struct db_tx *tx, void *arg)
{
	const struct since_arg *s = arg;
	struct arena a = { 0 };
	struct db_rows *rows = NULL;
	enum err e;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT id, address, last_ip_port, last_net, email, wallet, version,"
			   " free_disk, debounce_limit, features, created_at, last_contact_success,"
			   " last_contact_failure, vetted_at, disqualified_at,"
			   " unknown_audit_suspended_at, offline_suspended_at, exit_initiated_at,"
			   " updated_at, noise_suite, noise_key, exit_finished_at,"
			   " audit_suspended_at, country, tags, continent FROM nodes WHERE"
			   " updated_at >= $1",
			   &rows, DB_V_INT(s->since_ns)));
	while ((e = db_rows_next(call, rows)) == OK) {
		e = read_row(call, &a, rows, s);
		if (e)
			break;
		arena_reset(&a);
	}
	db_rows_free(rows);
	arena_free(&a);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err store_nodes_since(struct call *call, struct db *db, int64_t since_ns, node_row_fn *fn,
			   void *arg)
{
	struct since_arg s = { since_ns, fn, arg };

	return db_read(call, db, select_since, &s);
}

static enum err put_node(struct call *call, struct db_tx *tx, const struct checkin *in)
{
	char where[COUNTRY_TEXT_MAX];

	country_text(in->geo.country, where);
	return DB_EXEC(
		call, tx,
		"INSERT INTO nodes (id, address, last_ip_port, last_net, email, wallet, version,"
		" release, free_disk, debounce_limit, features, created_at,"
		" last_contact_success, last_contact_failure, updated_at, noise_suite, noise_key,"
		" country, tags, continent)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $12, $15,"
		" $16, $17, $18, $19)"
		" ON CONFLICT (id) DO UPDATE SET address = excluded.address,"
		" last_ip_port = excluded.last_ip_port, last_net = excluded.last_net,"
		" email = excluded.email, wallet = excluded.wallet, version = excluded.version,"
		" release = excluded.release, free_disk = excluded.free_disk,"
		" debounce_limit = excluded.debounce_limit, features = excluded.features,"
		" noise_suite = excluded.noise_suite, noise_key = excluded.noise_key,"
		" country = excluded.country, tags = excluded.tags,"
		" continent = excluded.continent,"
		" last_contact_success = CASE WHEN excluded.last_contact_success > 0"
		" THEN excluded.last_contact_success ELSE nodes.last_contact_success END,"
		" last_contact_failure = CASE WHEN excluded.last_contact_failure > 0"
		" THEN excluded.last_contact_failure ELSE nodes.last_contact_failure END,"
		" updated_at = excluded.updated_at",
		NULL, DB_V_BLOB(node_id_bytes(&in->id)), DB_V_TEXT(bytes_str(in->address)),
		DB_V_TEXT(bytes_str(in->last_ip_port)), DB_V_TEXT(bytes_str(in->last_net)),
		DB_V_TEXT(bytes_str(in->email)), DB_V_TEXT(bytes_str(in->wallet)),
		DB_V_TEXT(bytes_str(in->version)), DB_V_INT(in->release), DB_V_INT(in->free_disk),
		DB_V_INT(in->dial.debounce_limit), DB_V_INT((int64_t)in->dial.features),
		DB_V_INT(in->now_unix_ns), DB_V_INT(in->up ? in->now_unix_ns : 0),
		DB_V_INT(in->up ? 0 : in->now_unix_ns), DB_V_INT(in->dial.noise.suite),
		in->dial.noise.suite ? DB_V_BLOB(BYTES_OF(in->dial.noise.key)) : DB_V_NULL,
		DB_V_TEXT(bytes_str(where)), DB_V_TEXT(bytes_str(in->tags ? in->tags : "")),
		DB_V_TEXT(bytes_str(continent_text(in->geo.continent))));
}

static enum err write_checkin(struct call *call, struct db_tx *tx, void *arg)
{
	const struct checkin *in = arg;

	TRY_PLAIN(put_node(call, tx, in));
	return DB_EXEC(
		call, tx,
		"INSERT INTO peer_identities (node_id, chain, updated_at) VALUES ($1, $2, $3)"
		" ON CONFLICT (node_id) DO UPDATE SET chain = excluded.chain,"
		" updated_at = excluded.updated_at WHERE peer_identities.chain <> excluded.chain",
		NULL, DB_V_BLOB(node_id_bytes(&in->id)), DB_V_BLOB(in->chain),
		DB_V_INT(in->now_unix_ns));
}

enum err store_checkin(struct call *call, struct db *db, const struct checkin *in)
{
	return db_write(call, db, write_checkin, (void *)(uintptr_t)in);
}
