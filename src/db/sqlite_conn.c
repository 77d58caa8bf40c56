/*
 * SQLite connections.  Each is used by one thread at a time, so SQLite's own locks per connection
 * are off.  Statements are prepared once and found again by their text.
 */
#include "db/sqlite_conn.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"

enum {
	BUSY_MS = 10000, /* how long another process may keep us waiting */
	STEPS_BETWEEN_LOOKS = 10000,
	SLOTS = 2 * DB_STATEMENTS_MAX,
};

struct statement {
	uint64_t hash;
	sqlite3_stmt *stmt;
	unsigned params;
	uint8_t value_of[DB_VALUES_MAX]; /* SQLite numbers "$2 ... $1" by appearance, we by name */
	bool busy;
};

struct sqlite_conn {
	sqlite3 *handle;
	struct call *watched;
	unsigned count;
	struct statement *slots[SLOTS];
};

struct sqlite_rows {
	struct db_rows rows;
	struct statement *statement;
	bool borrowed; /* from the cache; else ours alone */
	bool ended;    /* another step would start it again */
	sqlite3_stmt *stmt;
};

static struct sqlite_conn *conn_of(const struct db_tx *tx)
{
	return ((const struct sqlite_tx *)(const void *)tx)->conn;
}

static struct sqlite_rows *rows_of(const struct db_rows *rows)
{
	return (struct sqlite_rows *)(uintptr_t)rows;
}

static enum err constraint(int extended)
{
	switch (extended) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return ERR_EXISTS;
	default:
		return ERR_PRECONDITION;
	}
}

static enum err no_space(struct call *call)
{
	return call_fail(call, ERR_NO_SPACE,
			 "the disk of the database is full, or its quota or limit of file sizes "
			 "reached; make room");
}

static bool means_full(int why)
{
	return why == ENOSPC || why == EDQUOT || why == EFBIG;
}

/* What the last write to the database or its log failed with: the file remembers it, where
 * sqlite3_system_errno tells of what was done since. */
static bool write_was_full(sqlite3 *handle)
{
	static const int files[] = { SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		sqlite3_file *file = NULL;
		int why = 0;
		if (sqlite3_file_control(handle, "main", files[i], &file) == SQLITE_OK && file &&
		    file->pMethods &&
		    file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &why) ==
			    SQLITE_OK &&
		    means_full(why))
			return true;
	}
	return false;
}

/* What SQLite calls full by itself is ENOSPC of a write: not the log's index, a quota (EDQUOT), or
 * the size a process may give a file (EFBIG). */
static bool is_no_space(sqlite3 *handle, int code)
{
	switch (code) {
	case SQLITE_IOERR_SHMSIZE:
	case SQLITE_IOERR_SHMOPEN:
	case SQLITE_IOERR_SHMMAP:
	case SQLITE_CANTOPEN:
		return handle && means_full(sqlite3_system_errno(handle));
	case SQLITE_IOERR_WRITE:
		return handle && write_was_full(handle);
	default:
		return false;
	}
}

enum err(sqlite_error)(struct call *call, sqlite3 *handle, int code)
{
	const char *text = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
	enum err e;

	if (is_no_space(handle, code))
		return no_space(call);
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		return call_fail(call, constraint(code), "%s", text);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return call_fail(call, ERR_BUSY,
				 "the database is held by another process (%s); try again", text);
	case SQLITE_FULL:
		return no_space(call);
	case SQLITE_INTERRUPT:
		e = os_call_check(call);
		return e ? e : call_fail(call, ERR_CANCELED, "canceled");
	case SQLITE_NOMEM:
		e = ERR_NO_MEMORY;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		e = ERR_DATA_LOSS;
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		e = ERR_PERMISSION;
		break;
	case SQLITE_TOOBIG:
		e = ERR_OUT_OF_RANGE;
		break;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
		e = ERR_IO;
		break;
	default:
		e = ERR_INTERNAL;
	}
	return call_fail(call, e, "database: %s", text);
}

static int look(void *arg)
{
	struct sqlite_conn *c = arg;

	if (!c->watched)
		return 0;
	/* The text is set by sqlite_error when the statement comes back interrupted. */
	AUTO_CALL struct call probe = CALL_INIT;
	call_init_child(&probe, c->watched);
	return os_call_check(&probe) != OK;
}

void sqlite_conn_watch(struct sqlite_conn *c, struct call *call)
{
	c->watched = call;
}

enum err sqlite_conn_run(struct call *call, struct sqlite_conn *c, const char *sql)
{
	int r = sqlite3_exec(c->handle, sql, NULL, NULL, NULL);

	return r == SQLITE_OK ? OK
			      : sqlite_error(call, c->handle, sqlite3_extended_errcode(c->handle));
}

bool sqlite_conn_lost_tx(const struct sqlite_conn *c)
{
	return sqlite3_get_autocommit(c->handle) != 0;
}

sqlite3 *sqlite_conn_handle(struct sqlite_conn *c)
{
	return c->handle;
}

/* API keys are in it: nobody else may read the file. */
static enum err make_private(struct call *call, const char *path)
{
	struct os_file *f = NULL;
	struct os_stat there;

	/* Never touch the file once SQLite has it open: closing any descriptor of it would drop the
	 * locks of every connection of this process (POSIX), and another process could then take
	 * the log away. */
	enum err e = os_stat(call, path, &there);
	if (e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	TRY_PLAIN(os_file_open(call, path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_SECRET, &f));
	os_file_close(f);
	return OK;
}

enum err sqlite_conn_keep_log(struct call *call, struct sqlite_conn *c)
{
	int on = 1;

	if (sqlite3_file_control(c->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &on) != SQLITE_OK)
		return call_fail(call, ERR_INTERNAL, "the database's log cannot be kept");
	/* With a limit, any limit, it is emptied when the last connection closes. */
	return sqlite_conn_run(call, c, "PRAGMA journal_size_limit=67108864");
}

static enum err configure(struct call *call, struct sqlite_conn *c, bool own_vfs)
{
	sqlite3_busy_timeout(c->handle, own_vfs ? 0 : BUSY_MS);
	sqlite3_extended_result_codes(c->handle, 1);
	sqlite3_limit(c->handle, SQLITE_LIMIT_SQL_LENGTH, DB_SQL_MAX);
	sqlite3_progress_handler(c->handle, STEPS_BETWEEN_LOOKS, look, c);
	/* Without shared memory the log can be used by one connection alone. */
	if (own_vfs)
		TRY_PLAIN(sqlite_conn_run(call, c, "PRAGMA locking_mode=EXCLUSIVE"));
	return sqlite_conn_run(call, c,
			       "PRAGMA journal_mode=WAL;"
			       "PRAGMA synchronous=FULL;"
			       "PRAGMA foreign_keys=ON;"
			       "PRAGMA temp_store=MEMORY;"
			       "PRAGMA cache_size=-16384;"
			       "PRAGMA wal_autocheckpoint=4000");
}

enum err sqlite_conn_open(struct call *call, const char *path, bool own_vfs,
			  struct sqlite_conn **ret)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE;
	AUTO_FREE struct sqlite_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (own_vfs)
		TRY_PLAIN(db_vfs_register(call));
	else
		TRY(make_private(call, path), "open database");
	int r = sqlite3_open_v2(path, &c->handle, flags, own_vfs ? DB_VFS_NAME : NULL);
	enum err e = r == SQLITE_OK ? configure(call, c, own_vfs)
				    : sqlite_error(call, c->handle, r);
	if (e) {
		sqlite3_close_v2(c->handle);
		return call_wrap(call, e, "open database %s", path);
	}
	*ret = take(&c);
	return OK;
}

static void statements_clear(struct sqlite_conn *c)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!c->slots[i])
			continue;
		sqlite3_finalize(c->slots[i]->stmt);
		free(c->slots[i]);
		c->slots[i] = NULL;
	}
	c->count = 0;
}

void sqlite_conn_close(struct sqlite_conn *c)
{
	if (!c)
		return;
	statements_clear(c);
	sqlite3_close_v2(c->handle);
	free(c);
}

static enum err map_values(struct call *call, struct statement *s)
{
	int n = sqlite3_bind_parameter_count(s->stmt);

	if (n > DB_VALUES_MAX)
		return call_fail(call, ERR_INTERNAL, "more than %d parameters", DB_VALUES_MAX);
	for (int i = 1; i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(s->stmt, i);
		uint64_t number = 0;
		if (!name || name[0] != '$' ||
		    text_u64(bytes_str(name + 1), DB_VALUES_MAX, &number) || number == 0)
			return call_fail(call, ERR_INTERNAL, "parameters are written $1 to $%d",
					 DB_VALUES_MAX);
		s->value_of[i - 1] = (uint8_t)(number - 1);
	}
	s->params = (unsigned)n;
	return OK;
}

static void statement_free(struct statement *s)
{
	sqlite3_finalize(s->stmt);
	free(s);
}
DEFINE_AUTO_PTR(struct statement, statement_auto, statement_free)

static enum err prepare(struct call *call, struct sqlite_conn *c, const char *sql, uint64_t hash,
			struct statement **ret)
{
	AUTO(statement_auto) struct statement *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	s->hash = hash;
	int r = sqlite3_prepare_v3(c->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
	if (r != SQLITE_OK)
		return sqlite_error(call, c->handle, r);
	if (!s->stmt)
		return call_fail(call, ERR_INTERNAL, "empty statement");
	TRY_PLAIN(map_values(call, s));
	*ret = take(&s);
	return OK;
}

static bool any_busy(const struct sqlite_conn *c)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (c->slots[i] && c->slots[i]->busy)
			return true;
	return false;
}

/* Finds or prepares; *ret_cached false: the caller finalizes it. */
static enum err find_statement(struct call *call, struct sqlite_conn *c, const char *sql,
			       struct statement **ret, bool *ret_cached)
{
	uint64_t hash = db_sql_hash(sql);
	unsigned at = (unsigned)(hash % SLOTS);

	for (; c->slots[at]; at = (at + 1) % SLOTS) {
		struct statement *s = c->slots[at];
		if (s->hash != hash || strcmp(sqlite3_sql(s->stmt), sql) != 0)
			continue;
		if (s->busy) {
			*ret_cached = false;
			return prepare(call, c, sql, hash, ret);
		}
		*ret = s;
		*ret_cached = true;
		return OK;
	}
	TRY_PLAIN(prepare(call, c, sql, hash, ret));
	*ret_cached = false;
	if (c->count >= DB_STATEMENTS_MAX) {
		if (any_busy(c))
			return OK;
		statements_clear(c);
		at = (unsigned)(hash % SLOTS);
	}
	c->slots[at] = *ret;
	c->count++;
	*ret_cached = true;
	return OK;
}

enum err sqlite_conn_control(struct call *call, struct sqlite_conn *c, const char *sql)
{
	struct statement *s = NULL;
	bool cached = false;

	TRY_PLAIN(find_statement(call, c, sql, &s, &cached));
	int r = sqlite3_step(s->stmt);
	enum err e = r == SQLITE_DONE
			     ? OK
			     : sqlite_error(call, c->handle, sqlite3_extended_errcode(c->handle));
	sqlite3_reset(s->stmt);
	if (!cached)
		statement_free(s);
	return e;
}

static int bind_one(sqlite3_stmt *stmt, int at, const struct db_value *v, bool copy)
{
	sqlite3_destructor_type life = copy ? SQLITE_TRANSIENT : SQLITE_STATIC;

	switch (v->kind) {
	case DB_NULL:
		return sqlite3_bind_null(stmt, at);
	case DB_INT:
		return sqlite3_bind_int64(stmt, at, v->i);
	case DB_TEXT:
		return sqlite3_bind_text64(stmt, at,
					   v->bytes.len ? (const char *)v->bytes.data : "",
					   v->bytes.len, life, SQLITE_UTF8);
	case DB_BLOB:
		/* A NULL pointer would bind NULL. */
		if (v->bytes.len == 0)
			return sqlite3_bind_zeroblob(stmt, at, 0);
		return sqlite3_bind_blob64(stmt, at, v->bytes.data, v->bytes.len, life);
	}
	return SQLITE_MISUSE;
}

static enum err bind_values(struct call *call, struct sqlite_conn *c, const struct statement *s,
			    const struct db_value *values, size_t count, bool copy)
{
	for (unsigned i = 0; i < s->params; i++) {
		if (s->value_of[i] >= count)
			return call_fail(call, ERR_INTERNAL, "no value for $%u",
					 s->value_of[i] + 1U);
		int r = bind_one(s->stmt, (int)i + 1, &values[s->value_of[i]], copy);
		if (r != SQLITE_OK)
			return sqlite_error(call, c->handle, r);
	}
	return OK;
}

/* Marks the transaction failed and says in which statement. */
static enum err failed(struct call *call, struct db_tx *tx, enum err e, const char *sql)
{
	tx->failed = true;
	return e == ERR_INTERNAL ? call_wrap(call, e, "statement \"%.60s\"", sql) : e;
}

enum err sqlite_exec(struct call *call, struct db_tx *tx, const char *sql,
		     const struct db_value *values, size_t count, int64_t *ret_changed)
{
	struct sqlite_conn *c = conn_of(tx);
	struct statement *s = NULL;
	bool cached = false;
	enum err e = find_statement(call, c, sql, &s, &cached);
	int r = SQLITE_DONE;

	if (e)
		return failed(call, tx, e, sql);
	e = bind_values(call, c, s, values, count, false);
	while (!e && (r = sqlite3_step(s->stmt)) == SQLITE_ROW)
		;
	if (!e && r != SQLITE_DONE)
		e = sqlite_error(call, c->handle, sqlite3_extended_errcode(c->handle));
	else if (!e && ret_changed)
		*ret_changed = sqlite3_changes64(c->handle);
	sqlite3_reset(s->stmt);
	sqlite3_clear_bindings(s->stmt);
	if (!cached)
		statement_free(s);
	return e ? failed(call, tx, e, sql) : OK;
}

enum err sqlite_query(struct call *call, struct db_tx *tx, const char *sql,
		      const struct db_value *values, size_t count, struct db_rows **ret)
{
	struct sqlite_conn *c = conn_of(tx);
	AUTO_FREE struct sqlite_rows *rows = calloc(1, sizeof(*rows));
	bool cached = false;

	if (!rows)
		return failed(call, tx, call_fail(call, ERR_NO_MEMORY, "out of memory"), sql);
	struct statement *s = NULL;
	enum err e = find_statement(call, c, sql, &s, &cached);
	if (e)
		return failed(call, tx, e, sql);
	*rows = (struct sqlite_rows){
		.rows.tx = tx, .statement = s, .borrowed = cached, .stmt = s->stmt
	};
	s->busy = true;
	e = bind_values(call, c, s, values, count, true);
	struct db_rows *out = &take(&rows)->rows;
	if (e) {
		sqlite_rows_free(out);
		return failed(call, tx, e, sql);
	}
	*ret = out;
	return OK;
}

enum err sqlite_next(struct call *call, struct db_rows *rows)
{
	struct sqlite_rows *r = rows_of(rows);
	struct sqlite_conn *c = conn_of(rows->tx);

	if (r->ended)
		return ERR_NOT_FOUND;
	switch (sqlite3_step(r->stmt)) {
	case SQLITE_ROW:
		return OK;
	case SQLITE_DONE:
		r->ended = true;
		return ERR_NOT_FOUND;
	default:
		r->ended = true;
		return failed(call, rows->tx,
			      sqlite_error(call, c->handle, sqlite3_extended_errcode(c->handle)),
			      sqlite3_sql(r->stmt));
	}
}

void sqlite_rows_free(struct db_rows *rows)
{
	struct sqlite_rows *r = rows_of(rows);

	sqlite3_reset(r->stmt);
	sqlite3_clear_bindings(r->stmt);
	r->statement->busy = false;
	if (!r->borrowed)
		statement_free(r->statement);
	free(r);
}

bool sqlite_is_null(const struct db_rows *rows, unsigned column)
{
	return sqlite3_column_type(rows_of(rows)->stmt, (int)column) == SQLITE_NULL;
}

int64_t sqlite_integer(const struct db_rows *rows, unsigned column)
{
	return sqlite3_column_int64(rows_of(rows)->stmt, (int)column);
}

struct bytes sqlite_bytes(const struct db_rows *rows, unsigned column)
{
	sqlite3_stmt *stmt = rows_of(rows)->stmt;
	const void *data = sqlite3_column_blob(stmt, (int)column);

	return BYTES(data, (size_t)sqlite3_column_bytes(stmt, (int)column));
}

enum err sqlite_script(struct call *call, struct db_tx *tx, const char *sql)
{
	enum err e = sqlite_conn_run(call, conn_of(tx), sql);

	return e ? failed(call, tx, e, sql) : OK;
}
