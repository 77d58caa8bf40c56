/*
 * PostgreSQL connections over libpq in its non-blocking manner.  Values travel in binary;
 * statements are prepared once per connection, for the kinds of values they get.
 */
#include "db/postgres_conn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/socket.h"

enum {
	SLOTS = 2 * DB_STATEMENTS_MAX,
	QUEUE_MAX = 32, /* statements that wait for the next one */
	OID_INT8 = 20,
	OID_TEXT = 25,
	OID_BYTEA = 17,
};
#define CONNECT_NS_MAX (10 * NS_PER_SEC)

struct statement {
	uint64_t hash;
	char *sql;
	size_t count;
	uint8_t kinds[DB_VALUES_MAX];
	char name[PG_NAME_BYTES];
};

struct pg_conn {
	PGconn *pg;
	bool lost;
	const char *begin; /* to be sent with the next statement; NULL: nothing */
	/* Ends of pipelines that the answer to a ROLLBACK has; 0: none is due. */
	unsigned abandoned;
	/* In libpq's buffer, or sent, without a synchronization so far: pipeline mode. */
	const char *queue[QUEUE_MAX];
	unsigned queued;
	unsigned count, named;
	struct statement *slots[SLOTS];
};

/* libpq would print it. */
static void ignore_notice(void *arg, const char *text)
{
}

/* libpq's texts end in newlines and may have several lines. */
static enum err fail_text(struct call *call, enum err e, const char *what, const char *text)
{
	AUTO_BUF struct buf line = BUF_INIT(1024);

	for (; *text && line.len < 400; text++)
		buf_add_byte(&line, *text == '\n' || *text == '\t' ? ' ' : (uint8_t)*text);
	while (line.len && line.data[line.len - 1] == ' ')
		line.len--;
	return call_fail(call, e, "%s%s", what, buf_cstr(&line));
}

static enum err lost(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate)
{
	c->lost = true;
	*ret_fate = PG_LOST;
	return fail_text(call, ERR_UNAVAILABLE, "the database went away: ", PQerrorMessage(c->pg));
}

static bool is_class(const char *state, const char *class)
{
	return strncmp(state, class, strlen(class)) == 0;
}

static enum err result_error(struct call *call, struct pg_conn *c, const PGresult *res,
			     enum pg_fate *ret_fate)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (!state || !text || PQstatus(c->pg) == CONNECTION_BAD)
		return lost(call, c, ret_fate);
	*ret_fate = PG_FINAL;
	if (is_class(state, "40001") || is_class(state, "40P01")) {
		*ret_fate = PG_AGAIN;
		return fail_text(call, ERR_ABORTED, "the database had a conflict: ", text);
	}
	/* Shutting down, starting up, or a plan that another process's migration made stale. */
	if (is_class(state, "57P") || is_class(state, "08") || is_class(state, "0A000") ||
	    is_class(state, "26000"))
		return lost(call, c, ret_fate);
	if (is_class(state, "23505"))
		return fail_text(call, ERR_EXISTS, "", text);
	if (is_class(state, "23"))
		return fail_text(call, ERR_PRECONDITION, "", text);
	if (is_class(state, "42P07"))
		return fail_text(call, ERR_EXISTS, "database: ", text);
	if (is_class(state, "57014"))
		return fail_text(call, ERR_DEADLINE, "database: ", text);
	if (is_class(state, "53100"))
		return fail_text(call, ERR_NO_SPACE, "database: ", text);
	if (is_class(state, "53"))
		return fail_text(call, ERR_UNAVAILABLE, "database: ", text);
	if (is_class(state, "28") || is_class(state, "42501") || is_class(state, "25006"))
		return fail_text(call, ERR_PERMISSION, "database: ", text);
	if (is_class(state, "22"))
		return fail_text(call, ERR_INVALID, "database: ", text);
	return fail_text(call, ERR_INTERNAL, "database: ", text);
}

/* Waits for the descriptor.  A call that ends in between leaves an answer under way, so the
 * connection is of no use any more; that is not a reason to run the transaction again. */
static enum err wait_for(struct call *call, struct pg_conn *c, unsigned want, unsigned *ret_ready)
{
	enum err e = os_fd_wait(call, PQsocket(c->pg), want, ret_ready);

	if (e) {
		c->lost = true;
		return call_wrap(call, e, "waiting for the database");
	}
	return OK;
}

static enum err send_all(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate)
{
	int r;

	while ((r = PQflush(c->pg)) > 0) {
		unsigned ready = 0;
		TRY_PLAIN(wait_for(call, c, OS_WANT_READ | OS_WANT_WRITE, &ready));
		if ((ready & OS_WANT_READ) && !PQconsumeInput(c->pg))
			return lost(call, c, ret_fate);
	}
	return r < 0 ? lost(call, c, ret_fate) : OK;
}

/* The next result of the command under way; NULL after the last. */
static enum err next_result(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate,
			    PGresult **ret)
{
	while (PQisBusy(c->pg)) {
		unsigned ready = 0;
		TRY_PLAIN(wait_for(call, c, OS_WANT_READ, &ready));
		if (!PQconsumeInput(c->pg))
			return lost(call, c, ret_fate);
	}
	*ret = PQgetResult(c->pg);
	return OK;
}

/* Keeps a good result, the last one, and turns the first bad one into e. */
static enum err keep_result(struct call *call, struct pg_conn *c, PGresult *res, enum err e,
			    PGresult **last, enum pg_fate *ret_fate)
{
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
		PQclear(*last);
		*last = res;
		return e;
	}
	if (!e && status != PGRES_PIPELINE_SYNC && status != PGRES_PIPELINE_ABORTED)
		e = result_error(call, c, res, ret_fate);
	PQclear(res);
	return e;
}

/* All results of what was sent; the first failure counts, the last success is returned. */
static enum err collect(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate,
			PGresult **ret)
{
	AUTO(result_auto) PGresult *last = NULL;
	enum err e = OK;

	*ret_fate = PG_FINAL;
	TRY_PLAIN(send_all(call, c, ret_fate));
	for (;;) {
		PGresult *res = NULL;
		TRY_PLAIN(next_result(call, c, ret_fate, &res));
		if (!res)
			break;
		e = keep_result(call, c, res, e, &last, ret_fate);
	}
	if (!e && PQstatus(c->pg) == CONNECTION_BAD)
		e = lost(call, c, ret_fate);
	if (!e && ret)
		*ret = take(&last);
	return e;
}

/* ---- pipelines ---- */

/* What became of a pipeline: the first failure that the server told, and whose it was. */
struct outcome {
	enum err e;
	unsigned done; /* commands before it, or before the connection broke */
};

/* What libpq says by itself (no memory, an answer that makes no sense) does not tell whether the
 * server did what came behind. */
static bool is_of_server(const PGresult *res)
{
	switch (PQresultStatus(res)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_PIPELINE_SYNC:
	case PGRES_PIPELINE_ABORTED:
		return true;
	default:
		return PQresultErrorField(res, PG_DIAG_SQLSTATE) != NULL;
	}
}

/* As collect, for a pipeline: an end follows each command's results, a synchronization all. */
static enum err collect_pipeline(struct call *call, struct pg_conn *c, unsigned syncs,
				 enum pg_fate *ret_fate, struct outcome *out, PGresult **ret)
{
	AUTO(result_auto) PGresult *last = NULL;

	*out = (struct outcome){ 0 };
	*ret_fate = PG_FINAL;
	TRY_PLAIN(send_all(call, c, ret_fate));
	while (syncs) {
		PGresult *res = NULL;
		TRY_PLAIN(next_result(call, c, ret_fate, &res));
		if (!res && PQstatus(c->pg) == CONNECTION_BAD)
			return lost(call, c, ret_fate);
		if (!res) {
			out->done += !out->e;
			continue;
		}
		if (!is_of_server(res)) {
			PQclear(res);
			return lost(call, c, ret_fate);
		}
		syncs -= PQresultStatus(res) == PGRES_PIPELINE_SYNC;
		out->e = keep_result(call, c, res, out->e, &last, ret_fate);
	}
	if (!PQexitPipelineMode(c->pg))
		return lost(call, c, ret_fate);
	if (!out->e && ret)
		*ret = take(&last);
	return out->e;
}

/* Into the pipeline, which there is from then on; the caller sends it. */
static bool add_to_queue(struct pg_conn *c, const char *sql)
{
	if (!c->queued && !PQenterPipelineMode(c->pg))
		return false;
	c->queue[c->queued++] = sql;
	return true;
}

static bool queue_plain(struct pg_conn *c, const char *sql)
{
	return add_to_queue(c, sql) && PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0);
}

/* Sends what is queued and takes all answers. */
static enum err run_queue(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate,
			  struct outcome *out, PGresult **ret)
{
	unsigned queued = c->queued;

	c->queued = 0;
	*out = (struct outcome){ 0 };
	if (c->lost || !PQpipelineSync(c->pg))
		return lost(call, c, ret_fate);
	enum err e = collect_pipeline(call, c, 1, ret_fate, out, ret);
	return e == ERR_INTERNAL && out->done < queued
		       ? call_wrap(call, e, "statement \"%.60s\"", c->queue[out->done])
		       : e;
}

/* ---- how transactions begin and end ---- */

void pg_conn_begin(struct pg_conn *c, const char *sql)
{
	c->begin = sql;
}

bool pg_conn_has_begun(const struct pg_conn *c)
{
	return !c->begin;
}

/* A failure of what was queued makes the server skip all up to the next synchronization, so that
 * ROLLBACK comes behind one. */
static bool send_rollback(struct pg_conn *c)
{
	if (c->lost)
		return false;
	if (!c->queued) {
		c->abandoned = 1;
		return PQsendQuery(c->pg, "ROLLBACK") && !PQflush(c->pg);
	}
	c->queued = 0;
	c->abandoned = 2;
	return PQpipelineSync(c->pg) &&
	       PQsendQueryParams(c->pg, "ROLLBACK", 0, NULL, NULL, NULL, NULL, 0) &&
	       PQpipelineSync(c->pg) && !PQflush(c->pg);
}

void pg_conn_abandon(struct pg_conn *c)
{
	c->begin = NULL;
	if (!send_rollback(c))
		c->lost = true;
}

/* The answer to a ROLLBACK of before; it has come, most likely. */
static enum err take_rollback(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate)
{
	unsigned ends = c->abandoned;
	struct outcome out;

	if (!ends)
		return OK;
	c->abandoned = 0;
	if (c->lost || !PQconsumeInput(c->pg))
		return lost(call, c, ret_fate);
	if (ends == 1)
		return collect(call, c, ret_fate, NULL);
	enum err e = collect_pipeline(call, c, ends, ret_fate, &out, NULL);
	/* What it rolled back may have failed before. */
	if (!e || c->lost || PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		return e;
	*ret_fate = PG_FINAL;
	call_clear_error(call);
	return OK;
}

/* What is to be done before a statement that cannot go with others. */
static enum err begin_now(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate)
{
	const char *begin = c->begin;
	struct outcome out;

	TRY_PLAIN(take_rollback(call, c, ret_fate));
	if (c->queued)
		return run_queue(call, c, ret_fate, &out, NULL);
	c->begin = NULL;
	if (!begin)
		return OK;
	if (c->lost || !PQsendQuery(c->pg, begin))
		return lost(call, c, ret_fate);
	return collect(call, c, ret_fate, NULL);
}

/* Whether COMMIT may have been done though it failed: its answer did not come, or was that the
 * server ends. */
static bool is_unsure(const struct pg_conn *c, const struct outcome *out, unsigned before)
{
	return c->lost && (!out->e || out->done == before);
}

enum err pg_conn_commit(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate)
{
	AUTO(result_auto) PGresult *res = NULL;
	unsigned before = c->queued;
	struct outcome out;

	*ret_fate = PG_FINAL;
	if (c->lost || !queue_plain(c, "COMMIT"))
		return lost(call, c, ret_fate);
	enum err e = run_queue(call, c, ret_fate, &out, &res);
	if (!e && strcmp(PQcmdStatus(res), "COMMIT") == 0)
		return OK;
	if (!e)
		return call_fail(call, ERR_ABORTED, "the database rolled the transaction back");
	if (is_unsure(c, &out, before))
		*ret_fate = PG_UNSURE;
	else if (!c->lost && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		pg_conn_abandon(c);
	return e;
}

enum err pg_conn_run(struct call *call, struct pg_conn *c, const char *sql, enum pg_fate *ret_fate,
		     PGresult **ret)
{
	AUTO_BUF struct buf text = BUF_INIT((size_t)4 * DB_SQL_MAX);

	TRY_PLAIN(begin_now(call, c, ret_fate));
	db_rewrite_postgres(&text, sql);
	TRY_PLAIN(buf_status(&text));
	if (c->lost || !PQsendQuery(c->pg, buf_cstr(&text)))
		return lost(call, c, ret_fate);
	return collect(call, c, ret_fate, ret);
}

/* ---- prepared statements ---- */

static void statement_free(struct statement *s)
{
	free(s->sql);
	free(s);
}
DEFINE_AUTO_PTR(struct statement, statement_auto, statement_free)

static void statements_clear(struct pg_conn *c)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (c->slots[i])
			statement_free(c->slots[i]);
		c->slots[i] = NULL;
	}
	c->count = 0;
}

/* A statement prepared for a value of some type takes NULL as well, so that the many statements
 * with some values missing are a few prepared ones.  (What was prepared for NULL has the type the
 * server inferred, which need not be that of the value.) */
static bool same(const struct statement *s, uint64_t hash, const char *sql,
		 const struct db_value *values, size_t count)
{
	if (s->hash != hash || s->count != count || strcmp(s->sql, sql) != 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (values[i].kind != DB_NULL && s->kinds[i] != (uint8_t)values[i].kind)
			return false;
	return true;
}

static Oid type_of(const struct db_value *v)
{
	switch (v->kind) {
	case DB_NULL:
		return 0; /* the server infers it */
	case DB_INT:
		return OID_INT8;
	case DB_TEXT:
		return OID_TEXT;
	case DB_BLOB:
		return OID_BYTEA;
	}
	return 0;
}

static enum err prepare(struct call *call, struct pg_conn *c, struct statement *s,
			const struct db_value *values, enum pg_fate *ret_fate)
{
	AUTO_BUF struct buf text = BUF_INIT((size_t)2 * DB_SQL_MAX);
	Oid types[DB_VALUES_MAX];

	for (size_t i = 0; i < s->count; i++)
		types[i] = type_of(&values[i]);
	db_rewrite_postgres(&text, s->sql);
	TRY_PLAIN(buf_status(&text));
	if (!PQsendPrepare(c->pg, s->name, buf_cstr(&text), (int)s->count, types))
		return lost(call, c, ret_fate);
	return collect(call, c, ret_fate, NULL);
}

static enum err find_statement(struct call *call, struct pg_conn *c, const char *sql,
			       const struct db_value *values, size_t count, enum pg_fate *ret_fate,
			       const struct statement **ret)
{
	uint64_t hash = db_sql_hash(sql);
	unsigned at = (unsigned)(hash % SLOTS);

	for (; c->slots[at]; at = (at + 1) % SLOTS) {
		if (same(c->slots[at], hash, sql, values, count)) {
			*ret = c->slots[at];
			return OK;
		}
	}
	TRY_PLAIN(begin_now(call, c, ret_fate)); /* the queue has texts of statements, too */
	if (c->count >= DB_STATEMENTS_MAX) {
		statements_clear(c);
		at = (unsigned)(hash % SLOTS);
		TRY_PLAIN(pg_conn_run(call, c, "DEALLOCATE ALL", ret_fate, NULL));
	}
	AUTO(statement_auto) struct statement *s = calloc(1, sizeof(*s));
	if (!s || !(s->sql = strdup(sql)))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	s->hash = hash;
	s->count = count;
	for (size_t i = 0; i < count; i++)
		s->kinds[i] = (uint8_t)values[i].kind;
	snprintf(s->name, sizeof(s->name), "s%u", c->named++);
	TRY_PLAIN(prepare(call, c, s, values, ret_fate));
	*ret = s;
	c->slots[at] = take(&s);
	c->count++;
	return OK;
}

/* Values as libpq wants them: pointers into what the caller has, numbers here. */
struct encoded {
	const char *data[DB_VALUES_MAX];
	int lengths[DB_VALUES_MAX], formats[DB_VALUES_MAX];
	uint8_t numbers[DB_VALUES_MAX][8];
};

static enum err encode(struct call *call, const struct db_value *values, size_t count,
		       struct encoded *ret)
{
	for (size_t i = 0; i < count; i++) {
		const struct db_value *v = &values[i];
		ret->formats[i] = 1;
		if (v->kind == DB_INT) {
			put_be64(ret->numbers[i], (uint64_t)v->i);
			ret->data[i] = (const char *)ret->numbers[i];
			ret->lengths[i] = 8;
			continue;
		}
		if (v->bytes.len > INT32_MAX)
			return call_fail(call, ERR_OUT_OF_RANGE, "value too large");
		/* A NULL pointer is NULL, an empty value is not. */
		ret->data[i] = v->kind == DB_NULL ? NULL
			       : v->bytes.len	  ? (const char *)v->bytes.data
						  : "";
		ret->lengths[i] = (int)v->bytes.len;
	}
	return OK;
}

static bool send_prepared(struct pg_conn *c, const char *name, const struct encoded *v,
			  size_t count)
{
	return PQsendQueryPrepared(c->pg, name, (int)count, v->data, v->lengths, v->formats, 1) !=
	       0;
}

/* A server that crashed leaves its idle connections without a word.  Found before the first
 * statement that costs a connection; found with COMMIT, nobody would know what was done.  (What it
 * may have said is read first, the end behind that.) */
static bool has_left(struct pg_conn *c)
{
	return !PQconsumeInput(c->pg) || !PQconsumeInput(c->pg);
}

enum err pg_conn_queue(struct call *call, struct pg_conn *c, const char *sql,
		       const struct db_value *values, size_t count, enum pg_fate *ret_fate)
{
	struct encoded v;
	const struct statement *s = NULL;

	*ret_fate = PG_FINAL;
	if (c->lost)
		return lost(call, c, ret_fate);
	TRY_PLAIN(encode(call, values, count, &v));
	TRY_PLAIN(take_rollback(call, c, ret_fate));
	/* Room for this one, a BEGIN and a COMMIT. */
	if (c->queued > QUEUE_MAX - 3)
		TRY_PLAIN(begin_now(call, c, ret_fate));
	TRY_PLAIN(find_statement(call, c, sql, values, count, ret_fate, &s));
	const char *begin = c->begin;
	c->begin = NULL;
	if ((begin && (has_left(c) || !queue_plain(c, begin))) || !add_to_queue(c, s->sql) ||
	    !send_prepared(c, s->name, &v, count))
		return lost(call, c, ret_fate);
	return OK;
}

enum err pg_conn_exec(struct call *call, struct pg_conn *c, const char *sql,
		      const struct db_value *values, size_t count, enum pg_fate *ret_fate,
		      PGresult **ret)
{
	struct outcome out;

	TRY_PLAIN(pg_conn_queue(call, c, sql, values, count, ret_fate));
	return run_queue(call, c, ret_fate, &out, ret);
}

/* ---- several at a time ---- */

static enum err send_look_up(struct call *call, struct pg_conn *c, const struct pg_look_up *l,
			     enum pg_fate *ret_fate)
{
	struct encoded v;

	TRY_PLAIN(encode(call, l->values, l->count, &v));
	return send_prepared(c, l->name, &v, l->count) ? OK : lost(call, c, ret_fate);
}

/* The results of one statement of a pipeline: one, and a NULL behind it. */
static enum err take_look_up(struct call *call, struct pg_conn *c, struct pg_look_up *l,
			     enum pg_fate *ret_fate)
{
	for (;;) {
		PGresult *res = NULL;
		TRY_PLAIN(next_result(call, c, ret_fate, &res));
		if (!res)
			return PQstatus(c->pg) == CONNECTION_BAD ? lost(call, c, ret_fate) : OK;
		if (PQresultStatus(res) == PGRES_TUPLES_OK && !l->result)
			l->result = res;
		else
			PQclear(res);
	}
}

static enum err take_sync(struct call *call, struct pg_conn *c, enum pg_fate *ret_fate)
{
	PGresult *res = NULL;

	TRY_PLAIN(next_result(call, c, ret_fate, &res));
	bool sync = PQresultStatus(res) == PGRES_PIPELINE_SYNC;
	PQclear(res);
	return sync && PQexitPipelineMode(c->pg) ? OK : lost(call, c, ret_fate);
}

static enum err run_look_ups(struct call *call, struct pg_conn *c, struct pg_look_up *const *list,
			     size_t n, enum pg_fate *ret_fate)
{
	if (c->lost)
		return lost(call, c, ret_fate);
	TRY_PLAIN(take_rollback(call, c, ret_fate));
	/* Preparing has its own to and fro, so before the pipeline.  (A full list of statements
	 * forgets all, those that were found included: they fail then.) */
	for (size_t i = 0; i < n; i++) {
		const struct statement *s = NULL;
		TRY_PLAIN(find_statement(call, c, list[i]->sql, list[i]->values, list[i]->count,
					 ret_fate, &s));
		snprintf(list[i]->name, sizeof(list[i]->name), "%s", s->name);
	}
	if (!PQenterPipelineMode(c->pg))
		return lost(call, c, ret_fate);
	for (size_t i = 0; i < n; i++)
		TRY_PLAIN(send_look_up(call, c, list[i], ret_fate));
	if (!PQpipelineSync(c->pg))
		return lost(call, c, ret_fate);
	TRY_PLAIN(send_all(call, c, ret_fate));
	for (size_t i = 0; i < n; i++)
		TRY_PLAIN(take_look_up(call, c, list[i], ret_fate));
	return take_sync(call, c, ret_fate);
}

enum err pg_conn_look_up(struct call *call, struct pg_conn *c, struct pg_look_up *const *list,
			 size_t n)
{
	enum pg_fate fate = PG_FINAL;
	enum err e = run_look_ups(call, c, list, n, &fate);

	if (e)
		c->lost = true; /* it may be in the middle of anything */
	return e;
}

/* ---- connecting ---- */

static enum err connect_error(struct call *call, PGconn *pg)
{
	const char *text = pg ? PQerrorMessage(pg) : "out of memory";
	/* A wrong password or name stays wrong; the rest may pass. */
	enum err e = strstr(text, "authentication failed") || strstr(text, "does not exist")
			     ? ERR_PERMISSION
			     : ERR_UNAVAILABLE;

	return fail_text(call, e,
			 "cannot reach the database (does it run, is the URL right?): ", text);
}

static enum err poll_connect(struct call *call, PGconn *pg)
{
	PostgresPollingStatusType s = PGRES_POLLING_WRITING;

	while (s != PGRES_POLLING_OK) {
		unsigned ready = 0;
		if (s == PGRES_POLLING_FAILED || PQstatus(pg) == CONNECTION_BAD)
			return connect_error(call, pg);
		enum err e = os_fd_wait(call, PQsocket(pg),
					s == PGRES_POLLING_READING ? OS_WANT_READ : OS_WANT_WRITE,
					&ready);
		if (e)
			return call_wrap(call, e == ERR_DEADLINE ? ERR_UNAVAILABLE : e,
					 "connecting to the database");
		s = PQconnectPoll(pg);
	}
	return OK;
}

enum err pg_conn_open(struct call *call, const char *url, struct pg_conn **ret)
{
	/* What stands before dbname, the URL may overrule. */
	static const char *const keys[] = {
		"fallback_application_name", "client_encoding", "keepalives_idle",
		"tcp_user_timeout",	     "dbname",		NULL
	};
	const char *const values[] = { "acre", "UTF8", "30", "30000", url, NULL };
	AUTO_FREE struct pg_conn *c = calloc(1, sizeof(*c));
	AUTO_CALL struct call own = CALL_INIT;
	enum pg_fate fate;

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	call_init_child(&own, call);
	os_call_limit(&own, CONNECT_NS_MAX);
	c->pg = PQconnectStartParams(keys, values, 1);
	enum err e = c->pg ? poll_connect(&own, c->pg) : connect_error(&own, NULL);
	if (!e) {
		PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
		if (PQsetnonblocking(c->pg, 1))
			e = connect_error(&own, c->pg);
	}
	if (!e)
		e = pg_conn_run(&own, c,
				"SET statement_timeout = '120s';"
				"SET idle_in_transaction_session_timeout = '120s';"
				"SELECT set_config('synchronous_commit', 'on', false)"
				" WHERE current_setting('synchronous_commit') = 'off'",
				&fate, NULL);
	if (e) {
		PQfinish(c->pg);
		call_copy_error(call, &own);
		return e;
	}
	*ret = take(&c);
	return OK;
}

void pg_conn_close(struct pg_conn *c)
{
	if (!c)
		return;
	statements_clear(c);
	PQfinish(c->pg);
	free(c);
}

bool pg_conn_good(const struct pg_conn *c)
{
	return !c->lost && PQstatus(c->pg) == CONNECTION_OK &&
	       (c->abandoned || PQtransactionStatus(c->pg) == PQTRANS_IDLE);
}
