/* Tables verification_audits and reverification_audits. */
#include "base/cleanup.h"
#include "base/num.h"
#include "os/random.h"
#include "satellite/audit.h"

enum { PUSH_BATCH = 1000 };

/* ---- segments to audit ---- */

struct push_work {
	const struct audit_ref *list;
	size_t count;
	int64_t now_ns;
};

static enum err push(struct call *call, struct db_tx *tx, void *arg)
{
	const struct push_work *w = arg;

	for (size_t i = 0; i < w->count; i++)
		TRY_PLAIN(DB_EXEC(
			call, tx,
			"INSERT INTO verification_audits (inserted_at, stream_id, position)"
			" VALUES ($1, $2, $3)"
			" ON CONFLICT (inserted_at, stream_id, position) DO NOTHING",
			NULL, DB_V_INT(w->now_ns), DB_V_BLOB(uuid_bytes(&w->list[i].stream)),
			DB_V_INT(w->list[i].position)));
	return OK;
}

enum err store_audit_push(struct call *call, struct db *db, const struct audit_ref *list,
			  size_t count, int64_t now_ns)
{
	for (size_t at = 0; at < count; at += PUSH_BATCH) {
		struct push_work w = { list + at, MIN(count - at, (size_t)PUSH_BATCH), now_ns };
		TRY_PLAIN(db_write(call, db, push, &w));
	}
	return OK;
}

static enum err count_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT COUNT(*) FROM verification_audits", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		*(int64_t *)arg = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

enum err store_audit_count(struct call *call, struct db *db, int64_t *ret)
{
	return db_read_one(call, db, count_all, ret);
}

static enum err read_ref(struct call *call, struct db_rows *rows, struct audit_ref *ret)
{
	enum err e = db_rows_next(call, rows);

	if (!e && db_bytes(rows, 0).len != STREAM_UUID_BYTES)
		e = call_fail(call, ERR_DATA_LOSS, "a damaged row of segments to audit");
	if (!e) {
		memcpy(ret->stream.b, db_bytes(rows, 0).data, STREAM_UUID_BYTES);
		ret->position = db_int(rows, 1);
	}
	db_rows_free(rows);
	return e;
}

static enum err take_one(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(
		db_query(call, tx,
			 "DELETE FROM verification_audits WHERE (inserted_at, stream_id, position)"
			 " = (SELECT inserted_at, stream_id, position FROM verification_audits"
			 " WHERE inserted_at > 0 ORDER BY inserted_at, stream_id, position LIMIT 1)"
			 " RETURNING stream_id, position",
			 NULL, 0, &rows));
	return read_ref(call, rows, arg);
}

enum err store_audit_take(struct call *call, struct db *db, struct audit_ref *ret)
{
	return db_write(call, db, take_one, ret);
}

static enum err find_after(struct call *call, struct db_tx *tx, void *arg)
{
	struct audit_ref *at = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT stream_id, position FROM segments"
			   " WHERE (stream_id, position) > ($1, $2) AND redundancy <> 0"
			   " ORDER BY stream_id, position LIMIT 1",
			   &rows, DB_V_BLOB(uuid_bytes(&at->stream)), DB_V_INT(at->position)));
	return read_ref(call, rows, at);
}

enum err store_audit_after(struct call *call, struct db *db, struct audit_ref *at)
{
	return db_read_one(call, db, find_after, at);
}

enum err store_audit_random(struct call *call, struct db *db, struct audit_ref *ret)
{
	struct audit_ref at = { .position = -1 };

	os_random(at.stream.b, STREAM_UUID_BYTES);
	enum err e = store_audit_after(call, db, &at);
	if (e == ERR_NOT_FOUND) { /* behind the last one the key begins anew */
		at = (struct audit_ref){ .position = -1 };
		e = store_audit_after(call, db, &at);
	}
	if (!e)
		*ret = at;
	return e;
}

/* ---- contained pieces, and suspects ---- */

struct put_work {
	const struct reverify_job *list;
	size_t count;
	int64_t now_ns;
};

static enum err put_all(struct call *call, struct db_tx *tx, void *arg)
{
	const struct put_work *w = arg;

	for (size_t i = 0; i < w->count; i++) {
		const struct reverify_job *j = &w->list[i];
		TRY_PLAIN(DB_EXEC(
			call, tx,
			"INSERT INTO reverification_audits (node_id, stream_id, position, number,"
			" inserted_at, attempted_at, count, share_offset, share_size, share_hash)"
			" VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)"
			" ON CONFLICT (node_id, stream_id, position) DO NOTHING",
			NULL, DB_V_BLOB(node_id_bytes(&j->node)),
			DB_V_BLOB(uuid_bytes(&j->ref.stream)), DB_V_INT(j->ref.position),
			DB_V_INT(j->number), DB_V_INT(w->now_ns),
			DB_V_INT(j->share.size ? 0 : w->now_ns), DB_V_INT(j->share.offset),
			DB_V_INT(j->share.size), DB_V_BLOB(BYTES_OF(j->share.hash))));
	}
	return OK;
}

enum err store_reverify_put(struct call *call, struct db *db, const struct reverify_job *list,
			    size_t count, int64_t now_ns)
{
	struct put_work w = { list, count, now_ns };

	return db_write(call, db, put_all, &w);
}

static enum err read_job(struct call *call, const struct db_rows *rows, struct reverify_job *ret)
{
	struct reverify_job j = {
		.ref.position = db_int(rows, 2),
		.number = (uint32_t)db_int(rows, 3),
		.inserted_ns = db_int(rows, 4),
		.attempted_ns = db_int(rows, 5),
		.count = db_int(rows, 6),
		.share = { db_int(rows, 7), db_int(rows, 8), { 0 } },
	};
	struct bytes hash = db_bytes(rows, 9);

	if (node_id_from_bytes(db_bytes(rows, 0), &j.node) ||
	    db_bytes(rows, 1).len != STREAM_UUID_BYTES ||
	    (j.share.size && hash.len != sizeof(j.share.hash)))
		return call_fail(call, ERR_DATA_LOSS, "a damaged row of contained pieces");
	memcpy(j.ref.stream.b, db_bytes(rows, 1).data, STREAM_UUID_BYTES);
	if (j.share.size)
		memcpy(j.share.hash, hash.data, sizeof(j.share.hash));
	*ret = j;
	return OK;
}

#define JOB_COLUMNS                                                                                \
	"node_id, stream_id, position, number, inserted_at, attempted_at, count, share_offset, "   \
	"share_size, share_hash"

struct take_work {
	int64_t now_ns, due_ns;
	struct reverify_job *ret;
};

static enum err take_job(struct call *call, struct db_tx *tx, void *arg)
{
	const struct take_work *w = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "UPDATE reverification_audits SET attempted_at = $1, count = count + 1"
			   " WHERE (node_id, stream_id, position) = (SELECT node_id, stream_id,"
			   " position FROM reverification_audits WHERE attempted_at <= $2"
			   " ORDER BY attempted_at LIMIT 1) RETURNING " JOB_COLUMNS,
			   &rows, DB_V_INT(w->now_ns), DB_V_INT(w->due_ns)));
	enum err e = db_rows_next(call, rows);
	if (!e)
		e = read_job(call, rows, w->ret);
	db_rows_free(rows);
	return e;
}

enum err store_reverify_take(struct call *call, struct db *db, int64_t now_ns, int64_t due_ns,
			     struct reverify_job *ret)
{
	struct take_work w = { now_ns, due_ns, ret };

	return db_write(call, db, take_job, &w);
}

static enum err drop_job(struct call *call, struct db_tx *tx, void *arg)
{
	const struct reverify_job *j = arg;

	return DB_EXEC(call, tx,
		       "DELETE FROM reverification_audits WHERE node_id = $1 AND stream_id = $2"
		       " AND position = $3",
		       NULL, DB_V_BLOB(node_id_bytes(&j->node)),
		       DB_V_BLOB(uuid_bytes(&j->ref.stream)), DB_V_INT(j->ref.position));
}

enum err store_reverify_drop(struct call *call, struct db *db, const struct reverify_job *job)
{
	struct reverify_job copy = *job;

	return db_write(call, db, drop_job, &copy);
}

struct jobs_query {
	struct arena *a;
	const struct node_id *node;
	struct reverify_job *list;
	size_t count;
};

static enum err select_jobs(struct call *call, struct db_tx *tx, void *arg)
{
	struct jobs_query *q = arg;
	struct db_rows *rows = NULL;
	size_t cap = 0;
	enum err e;

	q->count = 0;
	q->list = NULL;
	if (q->node)
		e = DB_QUERY(call, tx,
			     "SELECT " JOB_COLUMNS " FROM reverification_audits WHERE node_id = $1"
			     " ORDER BY stream_id, position",
			     &rows, DB_V_BLOB(node_id_bytes(q->node)));
	else
		e = db_query(call, tx,
			     "SELECT " JOB_COLUMNS
			     " FROM reverification_audits ORDER BY node_id, stream_id, position",
			     NULL, 0, &rows);
	TRY_PLAIN(e);
	while (!(e = db_rows_next(call, rows))) {
		q->list = arena_grow(q->a, q->list, &cap, q->count, sizeof(*q->list));
		e = q->list ? read_job(call, rows, &q->list[q->count])
			    : call_fail(call, ERR_NO_MEMORY, "no room for contained pieces");
		if (e)
			break;
		q->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err store_reverify_list(struct call *call, struct db *db, struct arena *a,
			     const struct node_id *node, struct reverify_job **ret,
			     size_t *ret_count)
{
	struct jobs_query q = { .a = a, .node = node };

	TRY_PLAIN(db_read_one(call, db, select_jobs, &q));
	*ret = q.list;
	*ret_count = q.count;
	return OK;
}
