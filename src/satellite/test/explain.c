/* Plans of statements, asked of the database. */
#include "satellite/test/explain.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

enum { PARAMS_MAX = 64 };

void sql_trace_add(void *arg, const char *sql)
{
	struct sql_trace *t = arg;

	OS_LOCKED(&t->lock);
	t->count++;
	for (size_t i = 0; i < t->distinct; i++)
		if (!strcmp(t->sql[i], sql))
			return;
	if (t->distinct < SQL_STATEMENTS_MAX)
		t->sql[t->distinct++] = strdup(sql);
}

void sql_trace_free(struct sql_trace *t)
{
	for (size_t i = 0; i < t->distinct; i++)
		free(t->sql[i]);
	os_mutex_fini(&t->lock);
}

static size_t params_of(const char *sql)
{
	size_t most = 0;

	for (const char *p = sql; *p; p++)
		if (*p == '$')
			most = MAX(most, (size_t)strtoul(p + 1, NULL, 10));
	return most;
}

struct explain_arg {
	const struct sql_trace *t;
	struct arena *keep;
	bool sqlite;
	const char *fault;
};

static enum err plan_of(struct call *call, struct db_tx *tx, const char *sql, bool sqlite,
			struct db_rows **ret)
{
	struct db_value nulls[PARAMS_MAX];
	AUTO_BUF struct buf text = BUF_INIT(64 << 10);
	size_t n = params_of(sql);

	for (size_t i = 0; i < n; i++)
		nulls[i] = DB_V_NULL;
	if (sqlite) {
		buf_printf(&text, "EXPLAIN QUERY PLAN %s", sql);
		return db_query(call, tx, buf_cstr(&text), nulls, n, ret);
	}
	/* Without values: the plan that holds for all of them. */
	buf_printf(&text, "PREPARE explained AS %s", sql);
	TRY_PLAIN(db_exec(call, tx, buf_cstr(&text), NULL, 0, NULL));
	buf_clear(&text);
	buf_add_str(&text, "EXPLAIN EXECUTE explained");
	for (size_t i = 0; i < n; i++)
		buf_add_str(&text, i ? ", NULL" : "(NULL");
	buf_add_str(&text, n ? ")" : "");
	return db_query(call, tx, buf_cstr(&text), NULL, 0, ret);
}

/* Lines that read a table from end to end. */
static bool scans(struct bytes line, bool sqlite)
{
	static const char *const words[] = { "Seq Scan", "SCAN " };
	static const char *const fine[] = { "SCAN CONSTANT ROW", "SCAN (subquery", "SCAN counted" };
	const char *word = words[sqlite];

	for (size_t i = 0; i < ARRAY_LEN(fine); i++)
		if (memmem(line.data, line.len, fine[i], strlen(fine[i])))
			return false;
	return memmem(line.data, line.len, word, strlen(word)) != NULL;
}

/* What a pass, or a tally once an hour, reads from end to end because that is what it is for; of
 * numbers of nodes, and queues that are short. */
static bool reads_all(const char *sql)
{
	static const char *const whole[] = {
		"SELECT alias, node_id FROM node_aliases",
		"UPDATE node_tallies SET pieces = 0, bytes = 0",
		"SELECT COUNT(*) FROM verification_audits",
		"DELETE FROM repair_queue WHERE seen_at < $1",
		"SELECT COUNT(*) FROM buckets",
		"SELECT b.project_id, b.name, o.objects, ",
	};

	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (!strncmp(sql, whole[i], strlen(whole[i])))
			return true;
	return false;
}

static enum err explain_one(struct call *call, struct db_tx *tx, struct explain_arg *a,
			    const char *sql)
{
	struct db_rows *rows = NULL;
	enum err e;

	TRY(plan_of(call, tx, sql, a->sqlite, &rows), "explain \"%s\"", sql);
	while (!(e = db_rows_next(call, rows))) {
		struct bytes line = db_bytes(rows, a->sqlite ? 3 : 0);
		if (scans(line, a->sqlite) && !reads_all(sql))
			a->fault = arena_printf(a->keep, "%.*s: %s", (int)line.len,
						(const char *)line.data, sql);
	}
	db_rows_free(rows);
	if (e != ERR_NOT_FOUND)
		return e;
	/* It would outlive the transaction. */
	return a->sqlite ? OK : db_exec(call, tx, "DEALLOCATE explained", NULL, 0, NULL);
}

static enum err explain_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct explain_arg *a = arg;

	if (!a->sqlite) {
		/* Small tables are read whole by choice; here only where there is none. */
		TRY_PLAIN(db_exec(call, tx, "SET LOCAL enable_seqscan = off", NULL, 0, NULL));
		TRY_PLAIN(db_exec(call, tx, "SET LOCAL plan_cache_mode = force_generic_plan", NULL,
				  0, NULL));
	}
	for (size_t i = 0; i < a->t->distinct && !a->fault; i++)
		TRY_PLAIN(explain_one(call, tx, a, a->t->sql[i]));
	return OK;
}

enum err sql_explain(struct call *call, struct db *db, const struct sql_trace *t,
		     const char **ret_fault)
{
	struct explain_arg a = { .t = t, .keep = &call->scratch, .sqlite = db_is_sqlite(db) };

	TRY_PLAIN(db_write(call, db, explain_all, &a));
	*ret_fault = a.fault;
	return OK;
}
