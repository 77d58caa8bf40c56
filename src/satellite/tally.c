/* Counting what nodes, buckets and keys hold. */
#include "satellite/tally.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "satellite/calendar.h"
#include "satellite/orders.h"
#include "satellite/satellite.h"
#include "satellite/segment_loop.h"

#define HOUR_NS (3600 * NS_PER_SEC)
/* A satellite that was off longer does not count that time: it did not look. */
#define GAP_NS_MAX (31 * NS_PER_DAY)

struct held {
	int64_t bytes, pieces;
};

struct tally {
	struct satellite *sat;
	struct held *nodes; /* by alias */
	uint32_t count;
	int64_t now_ns;
	struct chore *chore;
};

/* ---- time ---- */

enum err tally_split(struct call *call, int64_t amount, int64_t from_ns, int64_t to_ns,
		     tally_part *part, void *arg)
{
	int64_t step = to_ns - from_ns > 2 * NS_PER_DAY ? NS_PER_DAY : HOUR_NS;

	while (from_ns < to_ns) {
		int64_t start = from_ns - from_ns % step, end = MIN(start + step, to_ns);
		int64_t hours = (int64_t)((__int128)amount * (end - from_ns) / HOUR_NS);
		if (hours)
			TRY_PLAIN(part(call, arg, start, hours));
		from_ns = end;
	}
	return OK;
}

/* When this was counted last, and sets it to now. */
static enum err since(struct call *call, struct db_tx *tx, const char *name, int64_t now_ns,
		      int64_t *ret)
{
	struct db_rows *rows = NULL;
	int64_t last = now_ns;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT at FROM tally_times WHERE name = $1", &rows,
			   DB_V_TEXT(bytes_str(name))));
	enum err e = db_rows_next(call, rows);
	if (!e)
		last = db_int(rows, 0);
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret = now_ns - last > GAP_NS_MAX ? now_ns : last;
	return DB_EXEC(call, tx,
		       "INSERT INTO tally_times (name, at) VALUES ($1, $2) ON CONFLICT (name) DO "
		       "UPDATE SET at = excluded.at",
		       NULL, DB_V_TEXT(bytes_str(name)), DB_V_INT(now_ns));
}

/* ---- nodes ---- */

static enum err grow(struct call *call, struct tally *t, uint32_t count)
{
	if (count <= t->count)
		return OK;
	struct held *more = realloc(t->nodes, count * sizeof(*more));
	if (!more)
		return call_fail(call, ERR_NO_MEMORY, "no room to count nodes");
	memset(more + t->count, 0, (count - t->count) * sizeof(*more));
	t->nodes = more;
	t->count = count;
	return OK;
}

static enum err begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct tally *t = arg;

	t->now_ns = run->started_ns;
	t->chore = run->chore;
	return grow(call, t, run->nodes_count);
}

/* Every piece that is listed counts, healthy or not; what has expired does not. */
static enum err segments(struct call *call, void *arg, const struct segment_run *run,
			 const struct loop_segment *list, size_t count)
{
	struct tally *t = arg;

	TRY_PLAIN(grow(call, t, run->nodes_count));
	for (size_t i = 0; i < count; i++) {
		const struct loop_segment *s = &list[i];
		if (s->is_inline || (s->expires_ns && s->expires_ns <= t->now_ns))
			continue;
		int64_t size = (int64_t)scheme_piece_size(&s->redundancy,
							  (uint64_t)s->encrypted_size);
		for (uint32_t p = 0; p < s->pieces_count; p++) {
			struct held *h = &t->nodes[s->pieces[p].alias];
			h->bytes += size;
			h->pieces++;
		}
	}
	return OK;
}

struct node_part {
	struct db_tx *tx;
	int64_t alias;
};

static enum err add_node_hours(struct call *call, void *arg, int64_t start_ns, int64_t hours)
{
	const struct node_part *p = arg;

	return DB_EXEC(call, p->tx,
		       "INSERT INTO node_storage (node_id, interval_start, byte_hours) SELECT "
		       "node_id, CAST($2 AS INTEGER), CAST($3 AS INTEGER) FROM node_aliases WHERE "
		       "alias = $1 ON CONFLICT (node_id, "
		       "interval_start) DO UPDATE SET byte_hours = node_storage.byte_hours + "
		       "excluded.byte_hours",
		       NULL, DB_V_INT(p->alias), DB_V_INT(start_ns), DB_V_INT(hours));
}

static enum err store_nodes(struct call *call, struct db_tx *tx, void *arg)
{
	struct tally *t = arg;
	int64_t from_ns = 0;

	/* What a process counted that slept through its lease has been counted by another. */
	TRY_PLAIN(chore_fence(call, tx, t->chore));
	TRY_PLAIN(since(call, tx, "nodes", t->now_ns, &from_ns));
	TRY_PLAIN(
		db_exec(call, tx, "UPDATE node_tallies SET pieces = 0, bytes = 0", NULL, 0, NULL));
	for (uint32_t alias = 0; alias < t->count; alias++) {
		const struct held *h = &t->nodes[alias];
		struct node_part part = { tx, alias };
		if (!h->pieces)
			continue;
		TRY_PLAIN(DB_EXEC(
			call, tx,
			"INSERT INTO node_tallies (node_id, pieces, bytes, tallied_at) SELECT "
			"node_id, CAST($2 AS INTEGER), CAST($3 AS INTEGER), CAST($4 AS INTEGER) "
			"FROM node_aliases WHERE alias = $1 ON CONFLICT "
			"(node_id) DO UPDATE SET pieces = excluded.pieces, bytes = "
			"excluded.bytes, tallied_at = excluded.tallied_at",
			NULL, DB_V_INT(alias), DB_V_INT(h->pieces), DB_V_INT(h->bytes),
			DB_V_INT(t->now_ns)));
		TRY_PLAIN(tally_split(call, h->bytes, from_ns, t->now_ns, add_node_hours, &part));
	}
	return OK;
}

static enum err end(struct call *call, void *arg, const struct segment_run *run, bool complete)
{
	struct tally *t = arg;
	enum err e = complete ? db_write(call, t->sat->db, store_nodes, t) : OK;

	free(t->nodes);
	t->nodes = NULL;
	t->count = 0;
	return e;
}

enum err tally_observe(struct call *call, struct tally *t, struct segment_loop *loop)
{
	const struct segment_observer observer = { "tally", t, begin, segments, end };

	return segment_loop_add(call, loop, &observer);
}

enum err tally_new(struct call *call, struct satellite *sat, struct tally **ret)
{
	struct tally *t = calloc(1, sizeof(*t));

	if (!t)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	t->sat = sat;
	*ret = t;
	return OK;
}

void tally_free(struct tally *t)
{
	if (!t)
		return;
	free(t->nodes);
	free(t);
}

/* ---- buckets ---- */

struct bucket_held {
	struct project_id project;
	struct bytes name;
	int64_t objects, segments, bytes;
};

struct bucket_list {
	struct bucket_held *list;
	size_t count;
	int64_t now_ns;
};

static enum err read_buckets(struct call *call, struct db_tx *tx, struct bucket_list *b)
{
	struct db_rows *rows = NULL;
	size_t room = 0;
	enum err e;

	b->count = 0;
	TRY_PLAIN(db_query(call, tx, "SELECT COUNT(*) FROM buckets", NULL, 0, &rows));
	e = db_rows_next(call, rows);
	if (!e)
		room = (size_t)db_int(rows, 0);
	db_rows_free(rows);
	TRY_PLAIN(e);
	b->list = arena_array(&call->scratch, room + 1, sizeof(*b->list));
	if (!b->list)
		return call_fail(call, ERR_NO_MEMORY, "no room for the buckets");
	TRY_PLAIN(DB_QUERY(
		call, tx,
		"SELECT b.project_id, b.name, o.objects, CAST(o.segments AS INTEGER), CAST(o.bytes "
		"AS INTEGER) FROM (SELECT bucket_id, COUNT(*) AS objects, SUM(segment_count) AS "
		"segments, SUM(encrypted_size) AS bytes FROM objects WHERE status IN (3, 4) AND "
		"(expires_at IS NULL OR expires_at > $1) GROUP BY bucket_id) o JOIN buckets b ON "
		"b.id = o.bucket_id",
		&rows, DB_V_INT(b->now_ns)));
	while (!(e = db_rows_next(call, rows)) && b->count < room) {
		struct bucket_held *h = &b->list[b->count++];
		*h = (struct bucket_held){ .name = arena_bytes(&call->scratch, db_bytes(rows, 1)),
					   .objects = db_int(rows, 2),
					   .segments = db_int(rows, 3),
					   .bytes = db_int(rows, 4) };
		if (db_bytes(rows, 0).len == PROJECT_ID_BYTES)
			memcpy(h->project.b, db_bytes(rows, 0).data, PROJECT_ID_BYTES);
	}
	db_rows_free(rows);
	return e && e != ERR_NOT_FOUND ? e : OK;
}

struct bucket_part {
	struct db_tx *tx;
	const struct bucket_held *held;
	const char *sql;
};

static enum err add_bucket_hours(struct call *call, void *arg, int64_t start_ns, int64_t hours)
{
	const struct bucket_part *p = arg;

	return DB_EXEC(call, p->tx, p->sql, NULL, DB_V_BLOB(BYTES_OF(p->held->project.b)),
		       DB_V_BLOB(p->held->name), DB_V_INT(start_ns), DB_V_INT(hours));
}

#define BUCKET_HOURS(column, a, b, c)                                                              \
	"INSERT INTO bucket_storage (project_id, bucket_name, interval_start, byte_hours, "        \
	"segment_hours, object_hours) VALUES ($1, $2, $3, " a ", " b ", " c ") ON CONFLICT "       \
	"(project_id, bucket_name, interval_start) DO UPDATE SET " column                          \
	" = bucket_storage." column " + excluded." column

static enum err store_bucket(struct call *call, struct db_tx *tx, const struct bucket_held *h,
			     int64_t from_ns, int64_t to_ns)
{
	const struct {
		int64_t amount;
		const char *sql;
	} parts[] = {
		{ h->bytes, BUCKET_HOURS("byte_hours", "$4", "0", "0") },
		{ h->segments, BUCKET_HOURS("segment_hours", "0", "$4", "0") },
		{ h->objects, BUCKET_HOURS("object_hours", "0", "0", "$4") },
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct bucket_part part = { tx, h, parts[i].sql };
		TRY_PLAIN(tally_split(call, parts[i].amount, from_ns, to_ns, add_bucket_hours,
				      &part));
	}
	return OK;
}

/* What keys hold is known of those that have limits, or are counted without any (limit.h): objects
 * of others do not say whose they are. */
struct key_held {
	struct project_id project;
	int64_t number, bytes;
};

struct key_list {
	struct key_held *list;
	size_t count, cap;
};

struct key_part {
	struct db_tx *tx;
	const struct key_held *held;
};

static enum err read_keys(struct call *call, struct db_tx *tx, struct key_list *k)
{
	const uint8_t first = LIMIT_OF_KEY, behind = LIMIT_OF_KEY + 1;
	struct db_rows *rows = NULL;
	enum err e;

	k->count = 0;
	/* An ID begins with its kind (limit.h): grants are not looked at. */
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT k.project_id, k.number, l.stored FROM limits l JOIN api_keys k "
			   "ON k.head = l.subject WHERE l.id >= $1 AND l.id < $2 AND l.stored > 0",
			   &rows, DB_V_BLOB(BYTES(&first, 1)), DB_V_BLOB(BYTES(&behind, 1))));
	while (!(e = db_rows_next(call, rows))) {
		k->list = arena_grow(&call->scratch, k->list, &k->cap, k->count, sizeof(*k->list));
		if (!k->list) {
			e = call_fail(call, ERR_NO_MEMORY, "no room for the keys");
			break;
		}
		struct key_held *h = &k->list[k->count++];
		*h = (struct key_held){ .number = db_int(rows, 1), .bytes = db_int(rows, 2) };
		if (db_bytes(rows, 0).len == PROJECT_ID_BYTES)
			memcpy(h->project.b, db_bytes(rows, 0).data, PROJECT_ID_BYTES);
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err add_key_hours(struct call *call, void *arg, int64_t start_ns, int64_t hours)
{
	const struct key_part *p = arg;

	return DB_EXEC(call, p->tx,
		       "INSERT INTO key_storage (project_id, key_number, interval_start, "
		       "byte_hours) VALUES ($1, $2, $3, $4) ON CONFLICT (project_id, key_number, "
		       "interval_start) DO UPDATE SET byte_hours = key_storage.byte_hours + "
		       "excluded.byte_hours",
		       NULL, DB_V_BLOB(BYTES_OF(p->held->project.b)), DB_V_INT(p->held->number),
		       DB_V_INT(start_ns), DB_V_INT(hours));
}

/* ---- both, by the hour ---- */

struct hourly {
	struct bucket_list buckets;
	struct key_list keys;
	struct chore *chore;
};

static enum err read_held(struct call *call, struct db_tx *tx, void *arg)
{
	struct hourly *t = arg;

	TRY_PLAIN(read_buckets(call, tx, &t->buckets));
	return read_keys(call, tx, &t->keys);
}

static enum err store_held(struct call *call, struct db_tx *tx, void *arg)
{
	const struct hourly *t = arg;
	int64_t from_ns = 0, now_ns = t->buckets.now_ns;

	TRY_PLAIN(chore_fence(call, tx, t->chore));
	TRY_PLAIN(since(call, tx, "buckets", now_ns, &from_ns));
	for (size_t i = 0; i < t->buckets.count; i++)
		TRY_PLAIN(store_bucket(call, tx, &t->buckets.list[i], from_ns, now_ns));
	for (size_t i = 0; i < t->keys.count; i++) {
		struct key_part part = { tx, &t->keys.list[i] };
		TRY_PLAIN(
			tally_split(call, part.held->bytes, from_ns, now_ns, add_key_hours, &part));
	}
	return OK;
}

enum err tally_buckets(struct call *call, struct chore *chore, void *arg)
{
	struct satellite *sat = arg;
	struct hourly t = { .buckets.now_ns = os_clock_unix_ns(), .chore = chore };

	TRY(db_read(call, sat->db, read_held, &t), "count the buckets");
	TRY(db_write(call, sat->db, store_held, &t), "store the buckets' tally");
	if (chore)
		chore_note(chore, "%zu buckets, %zu keys", t.buckets.count, t.keys.count);
	return OK;
}

/* ---- old hours ---- */

static const struct rollup {
	const char *oldest, *merge, *drop;
} rollups[] = {
#define ROLLUP(table, keys, sums, selected, updates)                                               \
	{                                                                                          \
		"SELECT CAST(COALESCE(MIN(interval_start), -1) AS INTEGER) FROM " table            \
		" WHERE interval_start < $1 AND interval_start % 86400000000000 <> 0",             \
			"INSERT INTO " table " (" keys ", interval_start, " sums ") SELECT " keys  \
			", CAST($1 AS INTEGER), " selected " FROM " table                          \
			" WHERE interval_start > $1 AND interval_start < $2 GROUP BY " keys        \
			" ON CONFLICT (" keys ", interval_start) DO UPDATE SET " updates,          \
			"DELETE FROM " table " WHERE interval_start > $1 AND interval_start < $2"  \
	}
#define SUM(column) "CAST(SUM(" column ") AS INTEGER)"
#define ADD(table, column) column " = " table "." column " + excluded." column
	ROLLUP("node_storage", "node_id", "byte_hours", SUM("byte_hours"),
	       ADD("node_storage", "byte_hours")),
	ROLLUP("bucket_storage", "project_id, bucket_name",
	       "byte_hours, segment_hours, object_hours",
	       SUM("byte_hours") ", " SUM("segment_hours") ", " SUM("object_hours"),
	       ADD("bucket_storage", "byte_hours") ", " ADD(
		       "bucket_storage", "segment_hours") ", " ADD("bucket_storage",
								   "object_hours")),
	ROLLUP("storagenode_bandwidth_rollups", "node_id, action", "settled", SUM("settled"),
	       ADD("storagenode_bandwidth_rollups", "settled")),
	ROLLUP("bucket_bandwidth_rollups", "project_id, bucket_name, action",
	       "allocated, settled, inline, dead",
	       SUM("allocated") ", " SUM("settled") ", " SUM("inline") ", " SUM("dead"),
	       ADD("bucket_bandwidth_rollups", "allocated") ", " ADD(
		       "bucket_bandwidth_rollups",
		       "settled") ", " ADD("bucket_bandwidth_rollups",
					   "inline") ", " ADD("bucket_bandwidth_rollups", "dead")),
	ROLLUP("key_storage", "project_id, key_number", "byte_hours", SUM("byte_hours"),
	       ADD("key_storage", "byte_hours")),
	ROLLUP("key_bandwidth", "project_id, key_number, action", "allocated, settled, inline",
	       SUM("allocated") ", " SUM("settled") ", " SUM("inline"),
	       ADD("key_bandwidth", "allocated") ", " ADD("key_bandwidth", "settled") ", " ADD(
		       "key_bandwidth", "inline")),
};

struct day_arg {
	const struct rollup *r;
	int64_t before_ns;
	bool found;
};

/* The oldest day that still has hours, if it is old enough. */
static enum err roll_day(struct call *call, struct db_tx *tx, void *arg)
{
	struct day_arg *d = arg;
	struct db_rows *rows = NULL;
	int64_t oldest = -1;

	TRY_PLAIN(DB_QUERY(call, tx, d->r->oldest, &rows, DB_V_INT(d->before_ns)));
	enum err e = db_rows_next(call, rows);
	if (!e)
		oldest = db_int(rows, 0);
	db_rows_free(rows);
	TRY_PLAIN(e);
	d->found = oldest >= 0;
	if (!d->found)
		return OK;
	int64_t day = oldest - oldest % NS_PER_DAY;
	TRY_PLAIN(DB_EXEC(call, tx, d->r->merge, NULL, DB_V_INT(day), DB_V_INT(day + NS_PER_DAY)));
	return DB_EXEC(call, tx, d->r->drop, NULL, DB_V_INT(day), DB_V_INT(day + NS_PER_DAY));
}

enum err tally_roll_up(struct call *call, struct chore *chore, void *arg)
{
	struct satellite *sat = arg;
	int64_t today = os_clock_unix_ns() / NS_PER_DAY * NS_PER_DAY;
	unsigned days = 0;

	for (size_t i = 0; i < ARRAY_LEN(rollups); i++) {
		struct day_arg d = { &rollups[i], today - ROLLUP_DAYS * NS_PER_DAY, true };
		while (d.found) {
			AUTO_CALL struct call own = CALL_INIT;
			TRY_PLAIN(os_call_check(call));
			call_init_child(&own, call);
			enum err e = db_write(&own, sat->db, roll_day, &d);
			if (e) {
				call_copy_error(call, &own);
				return call_wrap(call, e, "sum up a day");
			}
			days += d.found;
		}
	}
	if (chore && days)
		chore_note(chore, "%u days summed up", days);
	return OK;
}
