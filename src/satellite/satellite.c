/* Putting a satellite together and taking it apart. */
#include "satellite/satellite.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "os/file.h"
#include "os/log.h"
#include "os/random.h"
#include "satellite/auth.h"
#include "satellite/amnesty.h"
#include "satellite/audit.h"
#include "satellite/chore.h"
#include "satellite/gc.h"
#include "satellite/geoip.h"
#include "satellite/node_tags.h"
#include "satellite/metrics.h"
#include "satellite/overlay.h"
#include "satellite/ratelimit.h"
#include "satellite/reload.h"
#include "satellite/repair.h"
#include "satellite/segment_loop.h"
#include "satellite/tally.h"

enum { CHECKIN_KEYS = 65536, PROJECT_KEYS = 65536 };
#define LOOP_FIRST_NS_MAX (600 * NS_PER_SEC)
#define ROLL_UP_NS (24 * 3600 * NS_PER_SEC)

/* ---- secrets ---- */

/* The stored value, or out as it is, which is stored now. */
static enum err keep_value(struct call *call, struct db_tx *tx, const char *name, uint8_t *out,
			   size_t len)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT value FROM secrets WHERE name = $1", &rows,
			   DB_V_TEXT(bytes_str(name))));
	enum err e = db_rows_next(call, rows);
	if (!e && db_bytes(rows, 0).len == len)
		memcpy(out, db_bytes(rows, 0).data, len);
	else if (!e)
		e = call_fail(call, ERR_DATA_LOSS, "secret \"%s\" is damaged", name);
	db_rows_free(rows);
	if (e != ERR_NOT_FOUND)
		return e;
	return DB_EXEC(call, tx, "INSERT INTO secrets (name, value) VALUES ($1, $2)", NULL,
		       DB_V_TEXT(bytes_str(name)), DB_V_BLOB(BYTES(out, len)));
}

/* The stored value, or a new random one that is stored now. */
static enum err get_secret(struct call *call, struct db_tx *tx, const char *name, uint8_t *out,
			   size_t len)
{
	os_random(out, len);
	return keep_value(call, tx, name, out, len);
}

/* Limits signed by one identity and pieces kept for another would not meet again. */
static enum err check_owner(struct call *call, struct db_tx *tx, const struct satellite *sat)
{
	char owner[NODE_ID_TEXT_MAX], own[NODE_ID_TEXT_MAX];
	struct node_id id = sat->id;

	TRY_PLAIN(keep_value(call, tx, "satellite-id", id.b, NODE_ID_BYTES));
	if (node_id_equal(&id, &sat->id))
		return OK;
	node_id_text(&id, owner);
	node_id_text(&sat->id, own);
	return call_fail(call, ERR_PRECONDITION,
			 "the database is that of satellite %s, not of this one (%s): another "
			 "process of it needs its identity.cert and identity.key",
			 owner, own);
}

static enum err load_secrets(struct call *call, struct db_tx *tx, void *arg)
{
	struct satellite *sat = arg;

	TRY_PLAIN(check_owner(call, tx, sat));
	TRY_PLAIN(get_secret(call, tx, "id-key", sat->id_key.b, SECRET_KEY_BYTES));
	TRY_PLAIN(get_secret(call, tx, "order-key", sat->order_key.b, SECRET_KEY_BYTES));
	return get_secret(call, tx, "order-key-id", sat->order_key_id, sizeof(sat->order_key_id));
}

/* ---- opening ---- */

static enum err open_identity(struct call *call, struct satellite *sat)
{
	const char *dir = sat->config.dir;

	TRY(identity_load(call, os_path_join(call, dir, "identity.cert"),
			  os_path_join(call, dir, "identity.key"), &sat->identity),
	    "load the satellite's identity");
	sat->id = *identity_node_id(sat->identity);
	return net_tls_new(call, sat->identity, &sat->tls);
}

static enum err open_database(struct call *call, struct satellite *sat)
{
	TRY(db_open(call, sat->config.database, &sat->db), "open the database");
	TRY_PLAIN(db_keep_log(call, sat->db));
	TRY_PLAIN(metrics_open(call, sat));
	TRY_PLAIN(db_migrate(call, sat->db, satellite_migrations, satellite_migrations_count));
	enum err e = db_write(call, sat->db, load_secrets, sat);
	if (e == ERR_EXISTS) /* another process made them a moment earlier */
		e = db_write(call, sat->db, load_secrets, sat);
	TRY(e, "load secrets");
	return OK;
}

/* Itself, and those that it is told to trust. */
static enum err open_authorities(struct call *call, struct satellite *sat)
{
	sat->authorities = calloc(1, sizeof(*sat->authorities));
	if (!sat->authorities)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	sat->authorities->own = identity_chain(sat->identity);
	return tag_authorities_load(call, sat->config.tag_authorities, sat->authorities);
}

static enum err open_all(struct call *call, struct satellite *sat)
{
	TRY_PLAIN(open_identity(call, sat));
	TRY_PLAIN(open_database(call, sat));
	sat->keys = key_cache_new();
	sat->checkin_rates = rate_limiter_new(CHECKIN_KEYS);
	sat->project_rates = rate_limiter_new(PROJECT_KEYS);
	if (!sat->keys || !sat->checkin_rates || !sat->project_rates)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (sat->config.geoip_db && sat->config.geoip_db[0])
		TRY_PLAIN(geoip_open(call, sat->config.geoip_db, &sat->geoip));
	TRY_PLAIN(open_authorities(call, sat));
	TRY_PLAIN(overlay_new(call, sat, &sat->overlay));
	return metainfo_open(call, sat);
}

enum err satellite_open(struct call *call, const struct satellite_config *config,
			struct satellite **ret)
{
	struct satellite *sat = calloc(1, sizeof(*sat));

	if (!sat)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	sat->config = *config;
	enum err e = open_all(call, sat);
	if (e) {
		satellite_close(sat);
		return e;
	}
	*ret = sat;
	return OK;
}

void satellite_close(struct satellite *sat)
{
	if (!sat)
		return;
	satellite_stop_chores(sat);
	metainfo_close(sat);
	overlay_free(sat->overlay);
	geoip_free(sat->geoip);
	if (sat->authorities)
		tag_authorities_fini(sat->authorities);
	free(sat->authorities);
	key_cache_free(sat->keys);
	rate_limiter_free(sat->checkin_rates);
	rate_limiter_free(sat->project_rates);
	db_close(sat->db);
	metrics_free(sat->metrics);
	net_tls_free(sat->tls);
	identity_free(sat->identity);
	satellite_reload_free(sat);
	secret_wipe(sat, sizeof(*sat));
	free(sat);
}

enum err satellite_trouble(struct call *call, enum err e, const char *message, const char *of,
			   const char *text)
{
	char request[CALL_REQUEST_TEXT];

	call_request_text(call, request);
	log_error(message, F_STR("of", of), F_STR("request", request),
		  F_STR("error", call_error(call, e)));
	if (e == ERR_NO_SPACE)
		text = "the satellite has no room for changes in its database: nothing was "
		       "changed, reading works, try again later";
	else if (e == ERR_UNCERTAIN)
		text = "the satellite's database went away before it said whether the change was "
		       "made, look before you repeat it";
	return call_fail(call,
			 err_retryable(e) || e == ERR_NO_SPACE ? ERR_UNAVAILABLE : ERR_INTERNAL,
			 request[0] ? "%s (request %s)" : "%s", text, request);
}

/* ---- chores ---- */

static enum err run_loop(struct call *call, struct chore *chore, void *arg)
{
	struct satellite *sat = arg;

	return segment_loop_run(call, sat->loop, (unsigned)satellite_live(sat)->segment_loop_share,
				chore);
}

/* The books: what is kept and where garbage lies. */
static enum err add_books(struct call *call, struct satellite *sat, int64_t first_ns)
{
	const struct chore_spec list[] = {
		{ .name = "gc",
		  .interval_ns = sat->config.gc_interval,
		  .first_ns = first_ns,
		  .run = gc_run },
		{ .name = "bucket-tally",
		  .interval_ns = sat->config.bucket_tally_interval,
		  .run = tally_buckets,
		  .arg = sat },
		{ .name = "roll-up",
		  .interval_ns = ROLL_UP_NS,
		  .first_ns = ROLL_UP_NS / 24,
		  .run = tally_roll_up,
		  .arg = sat },
	};

	TRY_PLAIN(tally_new(call, sat, &sat->tally));
	TRY_PLAIN(tally_observe(call, sat->tally, sat->loop));
	TRY_PLAIN(gc_new(call, sat, &sat->gc));
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		struct chore_spec spec = list[i];
		spec.arg = spec.arg ? spec.arg : sat->gc;
		TRY_PLAIN(satellite_chores_add(call, sat->chores, &spec));
	}
	return OK;
}

/* Of each service: its observers and its chores. */
static enum err add_chores(struct call *call, struct satellite *sat)
{
	const struct chore_spec loop = {
		.name = "segment-loop",
		.interval_ns = sat->config.segment_loop_interval,
		/* Nodes need time to be heard before they are missed. */
		.first_ns = MIN(sat->config.silence_window, LOOP_FIRST_NS_MAX),
		.run = run_loop,
		.arg = sat,
	};

	TRY_PLAIN(segment_loop_new(call, sat, &sat->loop));
	TRY_PLAIN(repair_open(call, sat));
	TRY_PLAIN(audit_add_chores(call, sat));
	TRY_PLAIN(amnesty_open(call, sat));
	TRY_PLAIN(metrics_watch_segments(call, sat, sat->loop));
	TRY_PLAIN(satellite_chores_add(call, sat->chores, &loop));
	return add_books(call, sat, loop.first_ns);
}

enum err satellite_make_chores(struct call *call, struct satellite *sat)
{
	TRY_PLAIN(satellite_chores_new(call, sat->db, &sat->chores));
	return add_chores(call, sat);
}

enum err satellite_start_chores(struct call *call, struct satellite *sat)
{
	TRY_PLAIN(satellite_make_chores(call, sat));
	return satellite_chores_start(call, sat->chores);
}

void satellite_stop_chores(struct satellite *sat)
{
	satellite_chores_free(sat->chores);
	repair_close(sat);
	gc_free(sat->gc);
	audit_close(sat);
	amnesty_close(sat);
	segment_loop_free(sat->loop);
	tally_free(sat->tally);
	sat->chores = NULL;
	sat->gc = NULL;
	sat->loop = NULL;
	sat->tally = NULL;
}

enum err satellite_methods(struct call *call, struct rpc_method **ret, size_t *ret_count)
{
	const struct {
		const struct rpc_method *methods;
		size_t count;
	} tables[] = {
		{ contact_methods, contact_methods_count },
		{ orders_methods, orders_methods_count },
		{ node_service_methods, node_service_methods_count },
		{ payout_methods, payout_methods_count },
		{ exit_methods, exit_methods_count },
		{ metainfo_methods, metainfo_methods_count },
	};
	size_t count = 0, at = 0;

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		count += tables[i].count;
	struct rpc_method *all = calloc(count, sizeof(*all));
	if (!all)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		memcpy(&all[at], tables[i].methods, tables[i].count * sizeof(*all));
		at += tables[i].count;
	}
	*ret = all;
	*ret_count = count;
	return OK;
}
