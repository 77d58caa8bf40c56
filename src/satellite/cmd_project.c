/* acre-satellite project and apikey: also while the satellite runs. */
#include "base/cleanup.h"
#include "base/text.h"
#include "satellite/auth.h"
#include "satellite/command.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)

enum { PROJECT_ID_TEXT_MAX = 37, KEY_TEXT_MAX = 1024 };

/* What was made, and how it is called. */
static void add_made(struct command *c, const char *what, const char *value)
{
	buf_printf(&c->out, "{\"%s\":\"%s\",\"name\":", what, value);
	text_add_json(&c->out, bytes_str(c->o.name));
	buf_add_str(&c->out, "}\n");
}

enum err command_project_create(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	char id[PROJECT_ID_TEXT_MAX];
	struct project p;

	if (!c->o.name || !c->o.name[0])
		return call_fail(c->call, ERR_CONFIG, "say how the project is called: --name NAME");
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(project_create(c->call, db, bytes_str(c->o.name), &p));
	project_id_text(&p.id, id);
	if (c->o.json)
		add_made(c, "id", id);
	else
		buf_printf(&c->out, "%s\n", id);
	return OK;
}

void command_add_number(struct command *c, const char *name, const struct db_rows *rows,
			unsigned column)
{
	bool has = !db_is_null(rows, column);

	if (c->o.json)
		buf_printf(&c->out, ",\"%s\":", name);
	else if (has)
		buf_printf(&c->out, "  %s %lld", name, (long long)db_int(rows, column));
	if (c->o.json && has)
		buf_printf(&c->out, "%lld", (long long)db_int(rows, column));
	else if (c->o.json)
		buf_add_str(&c->out, "null");
}

/* What the project has of its own; the rest is as the satellite's settings say. */
static void add_own(struct command *c, const struct db_rows *rows)
{
	enum { VERSIONING = 4, DISABLED, PLACEMENT, NUMBERS };
#define X(option, column, size) { option, #column },
	static const struct {
		const char *option, *column;
	} numbers[] = { PROJECT_SETTINGS(X) };
#undef X
	bool versioning = db_int(rows, VERSIONING) == PROJECT_VERSIONING_ON;
	bool disabled = !db_is_null(rows, DISABLED);

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		command_add_number(c, c->o.json ? numbers[i].column : numbers[i].option, rows,
				   NUMBERS + (unsigned)i);
	command_add_number(c, "placement", rows, PLACEMENT);
	if (c->o.json)
		buf_printf(&c->out, ",\"versioning\":%s,\"disabled\":%s",
			   versioning ? "true" : "false", disabled ? "true" : "false");
	else
		buf_printf(&c->out, "%s%s", versioning ? "  versioning" : "",
			   disabled ? "  disabled" : "");
}

static void add_project(struct command *c, const struct db_rows *rows, bool first)
{
	struct bytes id_bytes = db_bytes(rows, 0);
	char id[PROJECT_ID_TEXT_MAX] = "?";

	if (id_bytes.len == PROJECT_ID_BYTES) {
		struct project_id p;
		memcpy(p.b, id_bytes.data, PROJECT_ID_BYTES);
		project_id_text(&p, id);
	}
	if (c->o.json) {
		buf_printf(&c->out, "%s{\"id\":\"%s\",\"name\":", first ? "" : ",\n ", id);
		text_add_json(&c->out, db_bytes(rows, 1));
		buf_add_str(&c->out, ",\"created\":\"");
		text_add_time(&c->out, db_int(rows, 2), false);
		buf_printf(&c->out, "\",\"keys\":%lld", (long long)db_int(rows, 3));
		add_own(c, rows);
		buf_add_byte(&c->out, '}');
		return;
	}
	buf_printf(&c->out, "%s  ", id);
	text_add_time(&c->out, db_int(rows, 2), false);
	buf_printf(&c->out, "  %3lld keys  ", (long long)db_int(rows, 3));
	buf_add_bytes(&c->out, db_bytes(rows, 1));
	add_own(c, rows);
	buf_add_byte(&c->out, '\n');
}

static enum err list_projects(struct call *call, struct db_tx *tx, void *arg)
{
	struct command *c = arg;
	struct db_rows *rows = NULL;
	bool first = true;
	enum err e;

	buf_clear(&c->out);
#define X(option, column, size) ", p." #column
	TRY_PLAIN(db_query(
		call, tx,
		"SELECT p.id, p.name, p.created_at,"
		" (SELECT COUNT(*) FROM api_keys k WHERE k.project_id = p.id),"
		" p.default_versioning, p.disabled_at,"
		" p.placement" PROJECT_SETTINGS(X) " FROM projects p ORDER BY p.created_at",
		NULL, 0, &rows));
#undef X
	if (c->o.json)
		buf_add_byte(&c->out, '[');
	for (; (e = db_rows_next(call, rows)) == OK; first = false)
		add_project(c, rows, first);
	db_rows_free(rows);
	if (c->o.json)
		buf_add_str(&c->out, "]\n");
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err command_project_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;

	TRY_PLAIN(command_database(c, &db));
	return db_read(c->call, db, list_projects, c);
}

enum err command_apikey_create(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	AUTO_SECRET_BUF struct buf text = BUF_INIT(KEY_TEXT_MAX);
	struct project p;
	struct macaroon m;
	unsigned version = KEY_VERSION_OBJECT_LOCK | (c->o.auditable ? KEY_VERSION_AUDITABLE : 0u);

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	TRY_PLAIN(api_key_create_version(c->call, db, &c->call->scratch, &p.id,
					 bytes_str(c->o.name), version, &m));
	TRY_PLAIN(macaroon_add_text(&text, &m));
	if (c->o.json)
		add_made(c, "api_key", buf_cstr(&text));
	else
		buf_printf(&c->out, "%s\n", buf_cstr(&text));
	return buf_status(&text);
}
