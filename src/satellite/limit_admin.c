/* Limits given by the operator: to an API key, to a bucket with all that is in it already. */
#include "base/cleanup.h"
#include "os/clock.h"
#include "satellite/calendar.h"
#include "satellite/limit.h"
#include "satellite/object.h"
#include "satellite/store_metainfo.h"

enum { WALK_ROWS = 500, AFTER_BYTES_MAX = 1 << 20 };

struct admin_arg {
	struct project_id project;
	struct bytes name;
	const struct caveat_limits *max;
	const struct prices *prices;
	/* the walk */
	struct bucket bucket;
	struct limit_id id;
	struct bytes after; /* the key behind which it goes on; without data: from the start */
	int64_t after_age;
	/* out; an address in the round's scratch */
	struct bytes last;
	int64_t last_age;
	bool done;
};

static void fill(const struct admin_arg *a, struct limit *l)
{
	int64_t now = os_clock_unix_ns(), begin = 0;

	l->max = *a->max;
	l->prices = *a->prices;
	l->month = calendar_month(now, &begin);
	l->updated_ns = now;
}

static enum err set_key(struct call *call, struct db_tx *tx, void *arg)
{
	const struct admin_arg *a = arg;
	struct db_rows *rows = NULL;
	struct limit l = { .kind = LIMIT_OF_KEY };

	TRY_PLAIN(DB_QUERY(call, tx,
			   "UPDATE api_keys SET has_limit = 1 WHERE project_id = $1 AND name = $2 "
			   "RETURNING head",
			   &rows, DB_V_BLOB(BYTES_OF(a->project.b)), DB_V_TEXT(a->name)));
	enum err e = db_rows_next(call, rows);
	if (!e) {
		l.subject = arena_bytes(&call->scratch, db_bytes(rows, 0));
		if (!l.subject.data)
			e = call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	db_rows_free(rows);
	if (e == ERR_NOT_FOUND)
		return call_fail(call, ERR_NOT_FOUND, "the project has no API key \"%.*s\"",
				 (int)a->name.len, (const char *)a->name.data);
	TRY_PLAIN(e);
	limit_id_of(l.kind, l.subject, &l.id);
	fill(a, &l);
	return limit_put(call, tx, &a->project, &l);
}

enum err limit_set_for_key(struct call *call, struct db *db, const struct project_id *project,
			   struct bytes name, const struct caveat_limits *max,
			   const struct prices *prices)
{
	struct admin_arg a = { *project, name, max, prices };

	return db_write(call, db, set_key, &a);
}

/* The row first: from then on what comes into the bucket is counted as it comes. */
static enum err set_bucket(struct call *call, struct db_tx *tx, void *arg)
{
	struct admin_arg *a = arg;
	struct limit l = { .kind = LIMIT_OF_BUCKET };
	uint8_t number[8];

	TRY_PLAIN(bucket_find(call, tx, &a->project, a->name, &a->bucket));
	put_be64(number, (uint64_t)a->bucket.id);
	l.subject = BYTES_OF(number);
	limit_id_of_bucket(a->bucket.id, &l.id);
	a->id = l.id;
	fill(a, &l);
	TRY_PLAIN(limit_put(call, tx, &a->project, &l));
	return DB_EXEC(call, tx, "UPDATE projects SET has_bucket_limits = 1 WHERE id = $1", NULL,
		       DB_V_BLOB(BYTES_OF(a->project.b)));
}

static bool is_charged(const struct object *o, const struct limit_id *id)
{
	for (size_t i = 0; i + LIMIT_ID_BYTES <= o->charged.len; i += LIMIT_ID_BYTES)
		if (!memcmp(o->charged.data + i, id->b, LIMIT_ID_BYTES))
			return true;
	return false;
}

static enum err mark(struct call *call, struct db_tx *tx, const struct limit_id *id,
		     struct object *o, int64_t *size)
{
	uint8_t *ids = arena_alloc(&call->scratch, o->charged.len + LIMIT_ID_BYTES);

	if (!ids)
		return call_fail(call, ERR_NO_MEMORY, "no room for limits");
	if (o->charged.len)
		memcpy(ids, o->charged.data, o->charged.len);
	memcpy(ids + o->charged.len, id->b, LIMIT_ID_BYTES);
	o->charged = BYTES(ids, o->charged.len + LIMIT_ID_BYTES);
	TRY_PLAIN(store_object_replace(call, tx, o->bucket_id, o->key, o->version, o));
	int64_t stored = 0;
	TRY_PLAIN(store_object_stored(call, tx, o, &stored));
	*size += stored;
	return OK;
}

/* Some objects that were there before, each marked and counted in one. */
static enum err walk_some(struct call *call, struct db_tx *tx, void *arg)
{
	struct admin_arg *a = arg;
	struct object *list = NULL;
	size_t count = 0;
	struct limit l;
	int64_t size = 0;

	TRY_PLAIN(store_object_from(call, tx, a->bucket.id, a->after.data ? &a->after : NULL,
				    a->after_age, WALK_ROWS, &list, &count));
	a->done = count < WALK_ROWS;
	for (size_t i = 0; i < count; i++) {
		if (!is_charged(&list[i], &a->id))
			TRY_PLAIN(mark(call, tx, &a->id, &list[i], &size));
	}
	if (size) {
		TRY_PLAIN(limit_get(call, tx, &a->id, &l));
		limit_roll(&l, os_clock_unix_ns());
		l.stored += size;
		TRY_PLAIN(limit_write_counts(call, tx, &l));
	}
	if (count) {
		a->last = list[count - 1].key;
		a->last_age = store_version_age(list[count - 1].version);
	}
	return OK;
}

enum err limit_set_for_bucket(struct call *call, struct db *db, const struct project_id *project,
			      struct bytes name, const struct caveat_limits *max,
			      const struct prices *prices)
{
	struct admin_arg a = { *project, name, max, prices };
	AUTO_BUF struct buf after = BUF_INIT(AFTER_BYTES_MAX);

	TRY_PLAIN(db_write(call, db, set_bucket, &a));
	while (!a.done) {
		/* Each round has memory of its own. */
		AUTO_CALL struct call round = CALL_INIT;
		call_init_child(&round, call);
		enum err e = db_write(&round, db, walk_some, &a);
		if (e) {
			call_copy_error(call, &round);
			return e;
		}
		buf_clear(&after);
		buf_add_bytes(&after, a.last);
		TRY_PLAIN(buf_status(&after));
		a.after = buf_bytes(&after);
		a.after_age = a.last_age;
	}
	return OK;
}
