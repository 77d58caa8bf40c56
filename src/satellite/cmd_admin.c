/* acre-satellite project set; keys listed, deleted, revoked, registered. */
#include <assert.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "os/clock.h"
#include "satellite/auth.h"
#include "satellite/command.h"
#include "satellite/placement.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)

/* ---- project set ---- */

struct setting {
	const char *option, *sql, *text;
	bool size;
};

static enum err setting_value(struct command *c, const struct setting *s, struct db_value *ret)
{
	uint64_t v = 0;

	if (!strcmp(s->text, "default")) {
		*ret = DB_V_NULL;
		return OK;
	}
	bool none = !strncmp(s->option, "max-", 4) && !strcmp(s->text, "none");
	enum err e = none      ? OK
		     : s->size ? text_size(bytes_str(s->text), &v)
			       : text_u64(bytes_str(s->text), INT64_MAX, &v);
	if (e || v > INT64_MAX)
		return call_fail(c->call, ERR_CONFIG,
				 "--%s: \"%s\" is no %s (\"default\": as the satellite has it%s)",
				 s->option, s->text, s->size ? "size" : "number",
				 strncmp(s->option, "max-", 4) ? "" : ", \"none\": no limit");
	*ret = DB_V_INT((int64_t)v);
	return OK;
}

enum { CHANGES_MAX = 32 };

struct change {
	const char *sql;
	struct db_value value;
};

struct change_arg {
	struct project_id project;
	bool has_placement;
	int64_t placement;
	struct change list[CHANGES_MAX];
	size_t count;
};

static void add_change(struct change_arg *a, const char *sql, struct db_value value)
{
	assert(a->count < CHANGES_MAX);
	a->list[a->count++] = (struct change){ sql, value };
}

/* What is wrong is told before anything changes. */
static enum err read_changes(struct command *c, struct change_arg *a)
{
	const struct project_settings *o = &c->o.set;
#define X(option, column, size)                                                                    \
	{ option, "UPDATE projects SET " #column " = $1 WHERE id = $2", o->column, size },
	const struct setting list[] = { PROJECT_SETTINGS(X) };
#undef X

	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		struct db_value value;
		if (!list[i].text)
			continue;
		TRY_PLAIN(setting_value(c, &list[i], &value));
		add_change(a, list[i].sql, value);
	}
	if (o->versioning)
		add_change(a, "UPDATE projects SET default_versioning = $1 WHERE id = $2",
			   DB_V_INT(o->versioning == PARAM_YES ? PROJECT_VERSIONING_ON : 1));
	if (o->disabled)
		add_change(a, "UPDATE projects SET disabled_at = $1 WHERE id = $2",
			   o->disabled == PARAM_YES ? DB_V_INT(os_clock_unix_ns()) : DB_V_NULL);
	if (c->o.placement) {
		TRY_PLAIN(command_placement_number(c, &a->placement));
		a->has_placement = true;
		add_change(a, "UPDATE projects SET placement = $1 WHERE id = $2",
			   DB_V_INT(a->placement));
	}
	if (!a->count)
		return call_fail(c->call, ERR_CONFIG,
				 "say what to change (see acre-satellite project set --help)");
	return OK;
}

static enum err change_all(struct call *call, struct db_tx *tx, void *arg)
{
	const struct change_arg *a = arg;

	if (a->has_placement)
		TRY_PLAIN(store_placement_check(call, tx, a->placement));
	for (size_t i = 0; i < a->count; i++)
		TRY_PLAIN(DB_EXEC(call, tx, a->list[i].sql, NULL, a->list[i].value,
				  DB_V_BLOB(BYTES_OF(a->project.b))));
	return OK;
}

enum err command_project_set(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct change_arg a = { 0 };
	struct project p;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	a.project = p.id;
	TRY_PLAIN(read_changes(c, &a));
	TRY_PLAIN(db_write(c->call, db, change_all, &a));
	command_say(c, "Changed.  A satellite that runs takes it up within 30 seconds.\n");
	return OK;
}

/* ---- keys ---- */

struct keys_arg {
	struct command *c;
	struct project_id project;
	struct bytes name;
	int64_t changed;
};

static void add_key(struct command *c, const struct db_rows *rows, bool first)
{
	int64_t version = db_int(rows, 2);
	bool auditable = version & KEY_VERSION_AUDITABLE;

	if (c->o.json) {
		buf_add_str(&c->out, first ? "{\"name\":" : ",\n {\"name\":");
		text_add_json(&c->out, db_bytes(rows, 0));
		buf_add_str(&c->out, ",\"created\":\"");
		text_add_time(&c->out, db_int(rows, 1), false);
		buf_printf(&c->out, "\",\"version\":%lld,\"auditable\":%s,\"revoked\":%lld",
			   (long long)version, auditable ? "true" : "false",
			   (long long)db_int(rows, 3));
		command_add_number(c, "rate", rows, 4);
		command_add_number(c, "rate_burst", rows, 5);
		buf_add_byte(&c->out, '}');
		return;
	}
	text_add_time(&c->out, db_int(rows, 1), false);
	buf_printf(&c->out, "  %-9s  %3lld revoked  ", auditable ? "auditable" : "",
		   (long long)db_int(rows, 3));
	buf_add_bytes(&c->out, db_bytes(rows, 0));
	command_add_number(c, "rate", rows, 4);
	command_add_number(c, "rate-burst", rows, 5);
	buf_add_byte(&c->out, '\n');
}

static enum err list_keys(struct call *call, struct db_tx *tx, void *arg)
{
	struct keys_arg *a = arg;
	struct db_rows *rows = NULL;
	bool first = true;
	enum err e;

	buf_clear(&a->c->out);
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT k.name, k.created_at, k.version, (SELECT COUNT(*) FROM "
			   "revocations r WHERE r.head = k.head), k.rate, k.rate_burst FROM "
			   "api_keys k "
			   "WHERE k.project_id = $1 ORDER BY k.created_at",
			   &rows, DB_V_BLOB(BYTES_OF(a->project.b))));
	if (a->c->o.json)
		buf_add_byte(&a->c->out, '[');
	for (; !(e = db_rows_next(call, rows)); first = false)
		add_key(a->c, rows, first);
	db_rows_free(rows);
	if (a->c->o.json)
		buf_add_str(&a->c->out, "]\n");
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err command_apikey_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct keys_arg a = { .c = c };
	struct project p;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	a.project = p.id;
	return db_read(c->call, db, list_keys, &a);
}

static enum err delete_key(struct call *call, struct db_tx *tx, void *arg)
{
	struct keys_arg *a = arg;

	return DB_EXEC(call, tx, "DELETE FROM api_keys WHERE project_id = $1 AND name = $2",
		       &a->changed, DB_V_BLOB(BYTES_OF(a->project.b)), DB_V_TEXT(a->name));
}

enum err command_apikey_delete(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct keys_arg a = { .c = c };
	struct project p;

	if (!c->o.name || !c->o.name[0])
		return call_fail(c->call, ERR_CONFIG, "say which key: --name NAME");
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	a.project = p.id;
	a.name = bytes_str(c->o.name);
	TRY_PLAIN(db_write(c->call, db, delete_key, &a));
	if (!a.changed)
		return call_fail(c->call, ERR_NOT_FOUND, "the project has no key \"%s\"",
				 c->o.name);
	command_say(c, "Deleted, and with it every key made from it.  A satellite that runs "
		       "refuses them within 30 seconds.\n");
	return OK;
}

struct key_rate_arg {
	struct project_id project;
	struct bytes name;
	struct db_value rate, burst;
	int64_t changed;
};

static enum err set_key_rate(struct call *call, struct db_tx *tx, void *arg)
{
	struct key_rate_arg *a = arg;

	return DB_EXEC(call, tx,
		       "UPDATE api_keys SET rate = $3, rate_burst = $4 WHERE project_id = $1 AND "
		       "name = $2",
		       &a->changed, DB_V_BLOB(BYTES_OF(a->project.b)), DB_V_TEXT(a->name), a->rate,
		       a->burst);
}

enum err command_apikey_set(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	const struct setting rate = { "rate", NULL, c->o.set.rate, false };
	const struct setting burst = { "rate-burst", NULL, c->o.set.rate_burst, false };
	struct key_rate_arg a = { .rate = DB_V_NULL, .burst = DB_V_NULL };
	struct project p;

	if (!c->o.name || !c->o.name[0])
		return call_fail(c->call, ERR_CONFIG, "say which key: --name NAME");
	if (!rate.text)
		return call_fail(c->call, ERR_CONFIG,
				 "say how many requests a second: --rate N, or --rate default");
	TRY_PLAIN(setting_value(c, &rate, &a.rate));
	if (burst.text)
		TRY_PLAIN(setting_value(c, &burst, &a.burst));
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	a.project = p.id;
	a.name = bytes_str(c->o.name);
	TRY_PLAIN(db_write(c->call, db, set_key_rate, &a));
	if (!a.changed)
		return call_fail(c->call, ERR_NOT_FOUND, "the project has no key \"%s\"",
				 c->o.name);
	command_say(c, "Changed.  A satellite that runs takes it up within 30 seconds.\n");
	return OK;
}

/* ---- keys given as text ---- */

struct tails_arg {
	const struct macaroon *key;
	const uint8_t (*tails)[MACAROON_TAIL_BYTES];
	bool revoke;
};

static enum err write_tails(struct call *call, struct db_tx *tx, void *arg)
{
	const struct tails_arg *t = arg;
	int64_t now = os_clock_unix_ns();

	if (t->revoke)
		return DB_EXEC(call, tx,
			       "INSERT INTO revocations (tail, head, revoked_at) VALUES ($1, $2, "
			       "$3) ON CONFLICT (tail) DO NOTHING",
			       NULL, DB_V_BLOB(BYTES_OF(t->key->tail)), DB_V_BLOB(t->key->head),
			       DB_V_INT(now));
	for (size_t i = 0; i < t->key->caveats_count; i++)
		TRY_PLAIN(DB_EXEC(call, tx,
				  "INSERT INTO api_key_tails (tail, head, caveat, registered_at) "
				  "VALUES ($1, $2, $3, $4) ON CONFLICT (tail) DO NOTHING",
				  NULL, DB_V_BLOB(BYTES(t->tails[i + 1], MACAROON_TAIL_BYTES)),
				  DB_V_BLOB(t->key->head), DB_V_BLOB(t->key->caveats[i]),
				  DB_V_INT(now)));
	return OK;
}

struct secret_arg {
	struct bytes head;
	struct secret_key secret;
};

static enum err read_secret(struct call *call, struct db_tx *tx, void *arg)
{
	struct secret_arg *s = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT secret FROM api_keys WHERE head = $1", &rows,
			   DB_V_BLOB(s->head)));
	enum err e = db_rows_next(call, rows);
	if (!e && db_bytes(rows, 0).len == SECRET_KEY_BYTES)
		memcpy(s->secret.b, db_bytes(rows, 0).data, SECRET_KEY_BYTES);
	else if (!e)
		e = call_fail(call, ERR_DATA_LOSS, "the key's row is damaged");
	db_rows_free(rows);
	return e;
}

static enum err change_tails(struct command *c, bool revoke)
{
	AUTO(db_auto) struct db *db = NULL;
	struct arena *a = &c->call->scratch;
	struct secret_arg s = { 0 };
	struct macaroon m;

	if (c->args_count != 1)
		return call_fail(c->call, ERR_CONFIG, "say which key: the text of it");
	if (macaroon_parse_text(c->call, a, bytes_str(c->args[0]), &m))
		return call_fail(c->call, ERR_CONFIG, "that is no API key");
	TRY_PLAIN(command_database(c, &db));
	s.head = m.head;
	enum err e = db_read(c->call, db, read_secret, &s);
	if (e == ERR_NOT_FOUND || (!e && !macaroon_valid(&m, &s.secret)))
		e = call_fail(c->call, ERR_NOT_FOUND, "the key is not one of this satellite's");
	uint8_t(*tails)[MACAROON_TAIL_BYTES] = arena_array(a, m.caveats_count + 1,
							   MACAROON_TAIL_BYTES);
	if (!e && !tails)
		e = call_fail(c->call, ERR_NO_MEMORY, "out of memory");
	if (!e) {
		macaroon_tails(&m, &s.secret, tails);
		struct tails_arg t = { &m, (const uint8_t(*)[MACAROON_TAIL_BYTES])tails, revoke };
		e = db_write(c->call, db, write_tails, &t);
	}
	secret_key_wipe(&s.secret);
	return e;
}

enum err command_apikey_revoke(struct command *c)
{
	TRY_PLAIN(change_tails(c, true));
	command_say(c, "Revoked, and with it every key made from it.  A satellite that runs "
		       "refuses them within 30 seconds.\n");
	return OK;
}

enum err command_apikey_register(struct command *c)
{
	TRY_PLAIN(change_tails(c, false));
	command_say(c, "Registered: an auditable key may be used as it is restricted here.\n");
	return OK;
}
