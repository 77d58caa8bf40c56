/* Projects and their API keys: made by hand, by the operator. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/random.h"
#include "satellite/keys.h"

enum { NAME_BYTES_MAX = 200, PROJECT_ID_TEXT_MAX = 37, PROJECT_ID_DIGITS = 2 * PROJECT_ID_BYTES };

void project_id_text(const struct project_id *id, char out[PROJECT_ID_TEXT_MAX])
{
	const uint8_t *b = id->b;

	snprintf(out, PROJECT_ID_TEXT_MAX,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

static bool parse_id(struct bytes text, struct project_id *ret)
{
	AUTO_BUF struct buf hex = BUF_INIT(PROJECT_ID_DIGITS), id = BUF_INIT(PROJECT_ID_BYTES);

	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] != '-')
			buf_add_byte(&hex, text.data[i]);
	if (hex.failed || hex.len != PROJECT_ID_DIGITS || text_unhex(&id, buf_bytes(&hex)) ||
	    id.len != PROJECT_ID_BYTES)
		return false;
	memcpy(ret->b, id.data, PROJECT_ID_BYTES);
	return true;
}

/* Random UUID (version 4). */
static void id_new(struct project_id *id)
{
	os_random(id->b, sizeof(id->b));
	id->b[6] = (uint8_t)((id->b[6] & 0x0f) | 0x40);
	id->b[8] = (uint8_t)((id->b[8] & 0x3f) | 0x80);
}

static enum err check_name(struct call *call, const char *what, struct bytes name)
{
	if (name.len == 0 || name.len > NAME_BYTES_MAX)
		return call_fail(call, ERR_INVALID, "a %s's name has 1 to %d bytes", what,
				 NAME_BYTES_MAX);
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] < ' ' || name.data[i] == 0x7f)
			return call_fail(call, ERR_INVALID, "a %s's name has no control characters",
					 what);
	return OK;
}

struct project_arg {
	struct bytes name;
	struct project project;
};

static enum err insert_project(struct call *call, struct db_tx *tx, void *arg)
{
	const struct project_arg *p = arg;

	return DB_EXEC(call, tx,
		       "INSERT INTO projects (id, public_id, name, salt, created_at)"
		       " VALUES ($1, $2, $3, $4, $5)",
		       NULL, DB_V_BLOB(BYTES_OF(p->project.id.b)),
		       DB_V_BLOB(BYTES_OF(p->project.public_id.b)), DB_V_TEXT(p->name),
		       DB_V_BLOB(BYTES_OF(p->project.salt)), DB_V_INT(p->project.created_unix_ns));
}

enum err project_create(struct call *call, struct db *db, struct bytes name, struct project *ret)
{
	struct project_arg p = { .name = name };

	TRY_PLAIN(check_name(call, "project", name));
	id_new(&p.project.id);
	id_new(&p.project.public_id);
	os_random(p.project.salt, sizeof(p.project.salt));
	p.project.created_unix_ns = os_clock_unix_ns();
	enum err e = db_write(call, db, insert_project, &p);
	if (e == ERR_EXISTS)
		return call_fail(call, ERR_EXISTS, "there is a project \"%.*s\" already",
				 (int)name.len, (const char *)name.data);
	TRY(e, "create the project");
	*ret = p.project;
	return OK;
}

struct project_query {
	struct bytes name;
	struct project_id id;
	struct project project;
};

static enum err select_project(struct call *call, struct db_tx *tx, void *arg)
{
	struct project_query *q = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT id, public_id, salt, created_at FROM projects"
			   " WHERE name = $1 OR id = $2",
			   &rows, DB_V_TEXT(q->name), DB_V_BLOB(BYTES_OF(q->id.b))));
	enum err e = db_rows_next(call, rows);
	if (!e && (db_bytes(rows, 0).len != PROJECT_ID_BYTES ||
		   db_bytes(rows, 1).len != PROJECT_ID_BYTES ||
		   db_bytes(rows, 2).len != PROJECT_SALT_BYTES))
		e = call_fail(call, ERR_DATA_LOSS, "the project's row is damaged");
	if (!e) {
		memcpy(q->project.id.b, db_bytes(rows, 0).data, PROJECT_ID_BYTES);
		memcpy(q->project.public_id.b, db_bytes(rows, 1).data, PROJECT_ID_BYTES);
		memcpy(q->project.salt, db_bytes(rows, 2).data, PROJECT_SALT_BYTES);
		q->project.created_unix_ns = db_int(rows, 3);
	}
	db_rows_free(rows);
	return e;
}

enum err project_find(struct call *call, struct db *db, struct bytes name_or_id,
		      struct project *ret)
{
	struct project_query q = { .name = name_or_id };

	/* The zero ID, that of no project, when it is no ID. */
	if (!parse_id(name_or_id, &q.id))
		q.id = (struct project_id){ 0 };
	enum err e = db_read(call, db, select_project, &q);
	if (e == ERR_NOT_FOUND)
		return call_fail(
			call, ERR_NOT_FOUND,
			"there is no project \"%.*s\" (see \"acre-satellite project list\")",
			(int)name_or_id.len, (const char *)name_or_id.data);
	TRY(e, "find the project");
	*ret = q.project;
	return OK;
}

struct key_arg {
	const struct project_id *project;
	struct bytes name, head;
	struct secret_key secret;
	unsigned version;
	int64_t now_ns, number;
};

static enum err insert_key(struct call *call, struct db_tx *tx, void *arg)
{
	const struct key_arg *k = arg;

	return DB_EXEC(call, tx,
		       "INSERT INTO api_keys (head, secret, project_id, name, version, created_at,"
		       " number) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		       NULL, DB_V_BLOB(k->head), DB_V_BLOB(BYTES_OF(k->secret.b)),
		       DB_V_BLOB(BYTES_OF(k->project->b)), DB_V_TEXT(k->name), DB_V_INT(k->version),
		       DB_V_INT(k->now_ns), DB_V_INT(k->number));
}

enum err api_key_create(struct call *call, struct db *db, struct arena *a,
			const struct project_id *project, struct bytes name, struct macaroon *ret)
{
	return api_key_create_version(call, db, a, project, name, KEY_VERSION_OBJECT_LOCK, ret);
}

enum err api_key_create_version(struct call *call, struct db *db, struct arena *a,
				const struct project_id *project, struct bytes name,
				unsigned version, struct macaroon *ret)
{
	struct key_arg k = {
		.project = project, .name = name, .version = version, .now_ns = os_clock_unix_ns()
	};
	struct macaroon m;

	TRY_PLAIN(check_name(call, "key", name));
	os_random(k.secret.b, sizeof(k.secret.b));
	/* Random, so that no number ever means another key than it did. */
	os_random(&k.number, sizeof(k.number));
	k.number = (k.number & (KEY_NUMBER_MAX - 1)) + 1;
	enum err e = macaroon_new(call, a, &k.secret, &m);
	if (!e) {
		k.head = m.head;
		e = db_write(call, db, insert_key, &k);
		if (e == ERR_EXISTS)
			e = call_fail(
				call, ERR_EXISTS,
				"the project has a key \"%.*s\" already; give it another name",
				(int)name.len, (const char *)name.data);
	}
	secret_key_wipe(&k.secret);
	TRY(e, "create the API key");
	*ret = m;
	return OK;
}
