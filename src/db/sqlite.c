/*
 * The SQLite driver.  One writer thread runs the changes of all callers, as many as wait at a time
 * in one transaction with one sync, each inside a savepoint of its own.  Readers have connections
 * of their own and see the newest commit; they never wait for the writer.
 *
 * On our own VFS (the simulated world) the database has exactly one connection, so reads go through
 * the writer, too.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "db/sqlite_conn.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/thread.h"

enum { READERS_MAX = 16, GROUP_MAX = 256 };

struct job {
	struct job *next;
	struct call *call;
	db_work *work;
	void *arg;
	enum err result;
	bool read_only, one;
	bool started, done;
};

struct sqlite_db {
	struct db db;
	char *path;
	bool own_vfs;

	struct os_mutex lock; /* over what follows, down to the blank line */
	struct os_cond work_came, job_done, reader_back;
	struct job *first, *last;
	bool stopping;
	unsigned readers; /* open connections */
	unsigned idle;
	struct sqlite_conn *idle_readers[READERS_MAX];

	struct os_thread *writer;
	struct sqlite_conn *conn; /* the writer's */
};

static struct sqlite_db *sqlite_of(struct db *db)
{
	return (struct sqlite_db *)(void *)db;
}

/* ---- the writer thread ---- */

/* Runs one job's work inside the open transaction. */
static enum err run_work(struct sqlite_db *s, struct job *j)
{
	struct sqlite_tx tx = { .tx = { .db = &s->db, .read_only = j->read_only, .one = j->one },
				.conn = s->conn };
	enum err e = j->work(j->call, &tx.tx, j->arg);

	if (e == OK && tx.tx.failed)
		e = call_wrap(j->call, ERR_ABORTED, "a statement of this transaction had failed");
	return e;
}

/* false: the transaction is gone, and with it what was done before this job. */
static bool run_in_group(struct sqlite_db *s, struct job *j)
{
	struct call *call = j->call;

	if (sqlite_conn_control(call, s->conn, "SAVEPOINT job"))
		return false;
	call_clear_error(call);
	j->result = run_work(s, j);
	if (sqlite_conn_lost_tx(s->conn))
		return false;
	/* A failure's text must outlive the cleaning up. */
	AUTO_CALL struct call own = CALL_INIT;
	call_init(&own);
	if (j->result && sqlite_conn_control(&own, s->conn, "ROLLBACK TO job"))
		return false;
	return sqlite_conn_control(&own, s->conn, "RELEASE job") == OK;
}

static void roll_back(struct sqlite_db *s)
{
	AUTO_CALL struct call own = CALL_INIT;

	call_init(&own);
	if (!sqlite_conn_lost_tx(s->conn) && sqlite_conn_control(&own, s->conn, "ROLLBACK"))
		return; /* the next BEGIN says what is wrong */
}

/* All of a group in one durable commit; false when it has to be done one by one. */
static bool run_group(struct sqlite_db *s, struct job *first)
{
	AUTO_CALL struct call own = CALL_INIT;

	call_init(&own);
	enum err e = sqlite_conn_control(&own, s->conn, "BEGIN IMMEDIATE");
	if (e) {
		/* Another process has it, or the disk is gone: one by one would only take longer.
		 */
		for (struct job *j = first; j; j = j->next) {
			call_copy_error(j->call, &own);
			j->result = e;
		}
		return true;
	}
	for (struct job *j = first; j; j = j->next) {
		if (!run_in_group(s, j)) {
			roll_back(s);
			return false;
		}
	}
	if (sqlite_conn_control(&own, s->conn, "COMMIT")) {
		roll_back(s);
		return false;
	}
	return true;
}

/* A failed sync may or may not have reached the disk. */
static enum err commit_result(enum err e)
{
	return e == ERR_IO ? ERR_UNCERTAIN : e;
}

static void run_alone(struct sqlite_db *s, struct job *j)
{
	enum err e = sqlite_conn_control(j->call, s->conn, "BEGIN IMMEDIATE");

	if (!e) {
		call_clear_error(j->call);
		e = run_work(s, j);
		if (!e && sqlite_conn_lost_tx(s->conn))
			e = call_fail(j->call, ERR_ABORTED, "the database rolled back");
		if (!e)
			e = commit_result(sqlite_conn_control(j->call, s->conn, "COMMIT"));
		roll_back(s);
	}
	j->result = e;
}

static void run_jobs(struct sqlite_db *s, struct job *first)
{
	if (first->next && run_group(s, first))
		return;
	for (struct job *j = first; j; j = j->next)
		run_alone(s, j);
}

/* Takes up to GROUP_MAX jobs off the queue; NULL when stopping and nothing is left. */
static struct job *take_group(struct sqlite_db *s)
{
	OS_LOCKED(&s->lock);
	while (!s->first && !s->stopping)
		os_cond_wait_forever(&s->work_came, &s->lock);
	struct job *first = s->first, *last = first;
	if (!first)
		return NULL;
	for (unsigned n = 1; last->next && n < GROUP_MAX; n++)
		last = last->next;
	s->first = last->next;
	if (!s->first)
		s->last = NULL;
	last->next = NULL;
	for (struct job *j = first; j; j = j->next)
		j->started = true;
	return first;
}

static void finish_group(struct sqlite_db *s, struct job *first)
{
	OS_LOCKED(&s->lock);
	/* A job is its caller's memory again as soon as the lock is gone. */
	for (struct job *j = first; j; j = j->next)
		j->done = true;
	os_cond_broadcast(&s->job_done);
}

static void writer(void *arg)
{
	struct sqlite_db *s = arg;

	for (struct job *first; (first = take_group(s));) {
		run_jobs(s, first);
		finish_group(s, first);
	}
}

static void unqueue(struct sqlite_db *s, struct job *job)
{
	struct job *before = NULL;

	for (struct job *j = s->first; j; before = j, j = j->next) {
		if (j != job)
			continue;
		if (before)
			before->next = j->next;
		else
			s->first = j->next;
		if (s->last == j)
			s->last = before;
		return;
	}
}

static enum err submit(struct call *call, struct sqlite_db *s, struct job *job)
{
	OS_LOCKED(&s->lock);
	if (s->stopping)
		return call_fail(call, ERR_CLOSED, "the database is closed");
	if (s->last)
		s->last->next = job;
	else
		s->first = job;
	s->last = job;
	os_cond_signal(&s->work_came);
	while (!job->started) {
		enum err e = os_cond_wait(call, &s->job_done, &s->lock);
		if (e && !job->started) {
			unqueue(s, job);
			return call_fail(call, e, "timed out waiting for the database");
		}
		if (e)
			break;
	}
	/* What has begun ends soon, and its memory is ours. */
	while (!job->done)
		os_cond_wait_forever(&s->job_done, &s->lock);
	return job->result;
}

static enum err sqlite_write(struct call *call, struct db *db, db_work *work, void *arg)
{
	struct job job = { .call = call, .work = work, .arg = arg };

	return submit(call, sqlite_of(db), &job);
}

/* ---- readers ---- */

/* An idle connection, or leave to open one (*ret NULL). */
static enum err reader_get(struct call *call, struct sqlite_db *s, struct sqlite_conn **ret)
{
	OS_LOCKED(&s->lock);
	while (s->idle == 0 && s->readers >= READERS_MAX) {
		enum err e = os_cond_wait(call, &s->reader_back, &s->lock);
		if (e && s->idle == 0 && s->readers >= READERS_MAX)
			return call_fail(call, e, "timed out waiting for the database");
	}
	if (s->idle) {
		*ret = s->idle_readers[--s->idle];
		return OK;
	}
	s->readers++;
	*ret = NULL;
	return OK;
}

/* NULL gives back the leave to have one. */
static void reader_put(struct sqlite_db *s, struct sqlite_conn *c)
{
	os_mutex_lock(&s->lock);
	if (c)
		s->idle_readers[s->idle++] = c;
	else
		s->readers--;
	os_mutex_unlock(&s->lock);
	/* Who wakes up wants the lock. */
	os_cond_signal(&s->reader_back);
}

/* One statement is a snapshot by itself. */
static enum err read_on(struct call *call, struct sqlite_db *s, struct sqlite_conn *c, bool one,
			db_work *work, void *arg)
{
	struct sqlite_tx tx = { .tx = { .db = &s->db, .read_only = true, .one = one }, .conn = c };

	if (!one)
		TRY_PLAIN(sqlite_conn_control(call, c, "BEGIN"));
	sqlite_conn_watch(c, call);
	enum err e = work(call, &tx.tx, arg);
	sqlite_conn_watch(c, NULL);
	if (!e && tx.tx.failed)
		e = call_wrap(call, ERR_ABORTED, "a statement of this transaction had failed");
	AUTO_CALL struct call own = CALL_INIT;
	call_init(&own);
	if (!sqlite_conn_lost_tx(c) && sqlite_conn_control(&own, c, "ROLLBACK") && !e)
		e = call_fail(call, ERR_INTERNAL, "cannot end a read: %s", own.error);
	return e;
}

/* A reader's own cache is forgotten whenever the writer commits, and the kernel has the pages. */
static enum err open_reader(struct call *call, struct sqlite_db *s, struct sqlite_conn **ret)
{
	struct sqlite_conn *c = NULL;

	TRY_PLAIN(sqlite_conn_open(call, s->path, false, &c));
	enum err e = sqlite_conn_run(call, c, "PRAGMA cache_size=-1024");
	if (e)
		sqlite_conn_close(c);
	else
		*ret = c;
	return e;
}

static enum err sqlite_read(struct call *call, struct db *db, enum db_reading how, db_work *work,
			    void *arg)
{
	struct sqlite_db *s = sqlite_of(db);
	struct sqlite_conn *c = NULL;

	if (s->own_vfs) {
		struct job job = { .call = call,
				   .work = work,
				   .arg = arg,
				   .read_only = true,
				   .one = how != DB_READ };
		return submit(call, s, &job);
	}
	TRY_PLAIN(reader_get(call, s, &c));
	enum err e = c ? OK : open_reader(call, s, &c);
	if (!e)
		e = read_on(call, s, c, how != DB_READ, work, arg);
	if (c && !sqlite_conn_lost_tx(c)) {
		sqlite_conn_close(c);
		c = NULL;
	}
	reader_put(s, c);
	return e;
}

/* ---- backup ---- */

static enum err copy_pages(struct call *call, sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");

	if (!b)
		return sqlite_error(call, to, sqlite3_extended_errcode(to));
	/* In one step: one snapshot; in WAL mode nobody waits for it. */
	int r = sqlite3_backup_step(b, -1);
	int end = sqlite3_backup_finish(b);
	if (r != SQLITE_DONE)
		return sqlite_error(call, to, end == SQLITE_OK ? r : end);
	return OK;
}

static int first_text(void *arg, int columns, char **values, char **names)
{
	struct buf *b = arg;

	if (columns > 0 && values[0] && b->len == 0)
		buf_add_str(b, values[0]);
	return 0;
}

/* The copy is one file, without a log beside it, and whole. */
static enum err finish_copy(struct call *call, sqlite3 *to)
{
	AUTO_BUF struct buf verdict = BUF_INIT(4096);

	if (sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(to, "PRAGMA quick_check(1)", first_text, &verdict, NULL) != SQLITE_OK)
		return sqlite_error(call, to, sqlite3_extended_errcode(to));
	if (strcmp(buf_cstr(&verdict), "ok") != 0)
		return call_fail(call, ERR_DATA_LOSS, "the database is damaged: %s",
				 buf_cstr(&verdict));
	return OK;
}

static enum err copy_to(struct call *call, sqlite3 *from, const char *path)
{
	struct os_file *f = NULL;
	sqlite3 *to = NULL;

	TRY_PLAIN(os_file_open(call, path,
			       OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE | OS_FILE_SECRET,
			       &f));
	os_file_close(f);
	int r = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
	enum err e = r == SQLITE_OK ? copy_pages(call, from, to) : sqlite_error(call, to, r);
	if (!e)
		e = finish_copy(call, to);
	sqlite3_close_v2(to);
	if (!e) {
		TRY_PLAIN(os_file_open(call, path, OS_FILE_WRITE, &f));
		e = os_file_sync(call, f);
		os_file_close(f);
	}
	return e;
}

static enum err sqlite_backup(struct call *call, struct db *db, const char *path)
{
	struct sqlite_db *s = sqlite_of(db);
	struct sqlite_conn *c = NULL;
	struct os_stat st;

	if (s->own_vfs)
		return call_fail(call, ERR_UNIMPLEMENTED, "no backup in the simulated world");
	if (os_stat(call, path, &st) == OK)
		return call_fail(call, ERR_EXISTS, "%s exists; a backup overwrites nothing", path);
	const char *part = arena_printf(&call->scratch, "%s.part", path);
	if (!part)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(sqlite_conn_open(call, s->path, false, &c));
	enum err e = copy_to(call, sqlite_conn_handle(c), part);
	sqlite_conn_close(c);
	if (!e)
		e = os_rename(call, part, path);
	if (!e)
		return os_dir_sync(call, os_path_dir(call, path));
	AUTO_CALL struct call own = CALL_INIT;
	call_init(&own);
	enum err ignored = os_unlink(&own, part);
	(void)ignored; /* what went wrong first is what counts */
	return call_wrap(call, e, "back up to %s", path);
}

/* ---- opening and closing ---- */

/* The writer's connection is the last to close, and that is the one that removes them. */
static enum err sqlite_keep_log(struct call *call, struct db *db)
{
	struct sqlite_db *s = sqlite_of(db);

	return s->own_vfs ? OK : sqlite_conn_keep_log(call, s->conn);
}

/* BEGIN IMMEDIATE, taken by every write, already locks the file. */
static enum err sqlite_lock_schema(struct call *call, struct db_tx *tx)
{
	return OK;
}

static void sqlite_close(struct db *db)
{
	struct sqlite_db *s = sqlite_of(db);

	os_mutex_lock(&s->lock);
	s->stopping = true;
	os_cond_broadcast(&s->work_came);
	os_mutex_unlock(&s->lock);
	os_thread_join(s->writer);
	for (unsigned i = 0; i < s->idle; i++)
		sqlite_conn_close(s->idle_readers[i]);
	/* Last, so that it is the one that folds the log into the database. */
	sqlite_conn_close(s->conn);
	os_mutex_fini(&s->lock);
	os_cond_fini(&s->work_came);
	os_cond_fini(&s->job_done);
	os_cond_fini(&s->reader_back);
	free(s->path);
	free(s);
}

static const struct db_driver sqlite_driver = {
	.is_sqlite = true,
	.close = sqlite_close,
	.write = sqlite_write,
	.read = sqlite_read,
	.exec = sqlite_exec,
	.query = sqlite_query,
	.next = sqlite_next,
	.rows_free = sqlite_rows_free,
	.is_null = sqlite_is_null,
	.integer = sqlite_integer,
	.bytes = sqlite_bytes,
	.script = sqlite_script,
	.lock_schema = sqlite_lock_schema,
	.backup = sqlite_backup,
	.keep_log = sqlite_keep_log,
};

enum err sqlite_open(struct call *call, const char *path, bool own_vfs, struct db **ret)
{
	struct sqlite_db *s = calloc(1, sizeof(*s));

	if (!s || !(s->path = strdup(path))) {
		free(s);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	s->db.driver = &sqlite_driver;
	s->own_vfs = own_vfs;
	enum err e = sqlite_conn_open(call, path, own_vfs, &s->conn);
	if (!e)
		e = os_thread_start(call, "db-writer", writer, s, &s->writer);
	if (e) {
		sqlite_close(&s->db);
		return e;
	}
	*ret = &s->db;
	return OK;
}
