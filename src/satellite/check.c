/* Invariants as statements, and those that take looking into a row. */
#include "satellite/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "satellite/limit.h"
#include "satellite/object.h"
#include "satellite/piece_list.h"
#include "satellite/placement.h"
#include "satellite/store_metainfo.h"

enum { ALIAS_MAX = 1 << 24, EXAMPLE_BYTES = 24, ROUND_ROWS = 2000 };

/* Each row of an answer is a breach; its first column is named in the report. */
static const struct {
	const char *name, *sql;
} statements[] = {
	{ "every API key has a project",
	  "SELECT head FROM api_keys WHERE project_id NOT IN (SELECT id FROM projects)" },
	{ "every bucket has a project",
	  "SELECT name FROM buckets WHERE project_id NOT IN (SELECT id FROM projects)" },
	{ "every bucket's placement has a rule",
	  "SELECT name FROM buckets WHERE placement <> 0 AND placement NOT IN (SELECT number FROM "
	  "placements)" },
	{ "every project's placement has a rule",
	  "SELECT name FROM projects WHERE placement <> 0 AND placement NOT IN (SELECT number "
	  "FROM placements)" },
	{ "a node's continent is one there is",
	  "SELECT id FROM nodes WHERE continent NOT IN ('', 'AF', 'AN', 'AS', 'EU', 'NA', 'OC', "
	  "'SA')" },
	{ "every object has a bucket",
	  "SELECT object_key FROM objects WHERE bucket_id NOT IN (SELECT id FROM buckets)" },
	{ "every limit has a project",
	  "SELECT id FROM limits WHERE project_id NOT IN (SELECT id FROM projects)" },
	{ "a bucket with limits is known to its project",
	  "SELECT l.id FROM limits l JOIN projects p ON p.id = l.project_id WHERE l.kind = 2 AND "
	  "COALESCE(p.has_bucket_limits, 0) = 0" },
	{ "every segment has an object",
	  "SELECT stream_id FROM segments WHERE stream_id NOT IN (SELECT stream_id FROM objects)" },
	{ "a stream belongs to one object",
	  "SELECT stream_id FROM objects GROUP BY stream_id HAVING COUNT(*) > 1" },
	{ "a state is one there is, and its version has the sign of it",
	  "SELECT object_key FROM objects WHERE NOT ((status = 1 AND age > 0) OR "
	  "(status IN (3, 4, 5, 6) AND age < 0))" },
	{ "one object without a version per key",
	  "SELECT object_key FROM objects WHERE status IN (3, 6) "
	  "GROUP BY bucket_id, object_key HAVING COUNT(*) > 1" },
	{ "a delete marker is empty",
	  "SELECT object_key FROM objects WHERE status IN (5, 6) AND (segment_count <> 0 OR "
	  "encrypted_size <> 0)" },
	{ "a locked object is no delete marker and has no expiry",
	  "SELECT object_key FROM objects WHERE lock_mode <> 0 AND (expires_at IS NOT NULL OR "
	  "status NOT IN (1, 3, 4))" },
	{ "an object's segments are as many and as large as it says",
	  "SELECT o.object_key FROM objects o LEFT JOIN (SELECT stream_id, COUNT(*) AS n, "
	  "SUM(plain_size) AS plain, SUM(encrypted_size) AS encrypted FROM segments "
	  "GROUP BY stream_id) s ON s.stream_id = o.stream_id WHERE o.age < 0 AND "
	  "(o.segment_count <> COALESCE(s.n, 0) OR o.plain_size <> COALESCE(s.plain, 0) OR "
	  "o.encrypted_size <> COALESCE(s.encrypted, 0))" },
	{ "segments of an object lie one behind the other",
	  "SELECT s.stream_id FROM (SELECT stream_id, plain_offset, SUM(plain_size) OVER "
	  "(PARTITION BY stream_id ORDER BY position) - plain_size AS offset_is FROM segments) s "
	  "JOIN objects o ON o.stream_id = s.stream_id WHERE o.age < 0 AND "
	  "s.plain_offset <> s.offset_is" },
	{ "a segment is inline or has pieces",
	  "SELECT stream_id FROM segments WHERE (redundancy = 0 AND (pieces IS NOT NULL OR "
	  "root_piece_id IS NOT NULL)) OR (redundancy <> 0 AND (pieces IS NULL OR root_piece_id IS "
	  "NULL OR inline_data IS NOT NULL))" },
	/* Of hours whose grants are all known (bandwidth.h); summed up by the day, the day's. */
	{ "nodes were paid for no more than was granted",
	  "SELECT r.node_id FROM storagenode_bandwidth_rollups r JOIN (SELECT interval_start, "
	  "action, SUM(settled) AS paid FROM storagenode_bandwidth_rollups GROUP BY "
	  "interval_start, action) n ON n.interval_start = r.interval_start AND n.action = "
	  "r.action "
	  "LEFT JOIN (SELECT interval_start, action, SUM(allocated) AS granted FROM "
	  "bucket_bandwidth_rollups GROUP BY interval_start, action) b ON b.interval_start = "
	  "n.interval_start AND b.action = n.action WHERE n.paid > COALESCE(b.granted, 0) AND "
	  "n.interval_start + 3600000000000 <= COALESCE((SELECT MIN(flushed_at) FROM "
	  "bandwidth_writers), 9223372036854775807) AND NOT EXISTS (SELECT 1 FROM bandwidth_gaps g "
	  "WHERE g.interval_start / 86400000000000 = n.interval_start / 86400000000000)" },
	{ "a bucket's settled and unused orders are no more than its grants",
	  "SELECT b.bucket_name FROM bucket_bandwidth_rollups b WHERE b.settled + b.dead > "
	  "b.allocated AND b.interval_start + 3600000000000 <= COALESCE((SELECT MIN(flushed_at) "
	  "FROM bandwidth_writers), 9223372036854775807) AND NOT EXISTS (SELECT 1 FROM "
	  "bandwidth_gaps g WHERE g.interval_start / 86400000000000 = b.interval_start / "
	  "86400000000000)" },
	{ "a key's settled orders are no more than its grants",
	  "SELECT k.project_id FROM key_bandwidth k WHERE k.settled > k.allocated AND "
	  "k.interval_start + 3600000000000 <= COALESCE((SELECT MIN(flushed_at) FROM "
	  "bandwidth_writers), 9223372036854775807) AND NOT EXISTS (SELECT 1 FROM bandwidth_gaps "
	  "g WHERE g.interval_start / 86400000000000 = k.interval_start / 86400000000000)" },
	{ "a statement's money is what it says",
	  "SELECT node_id FROM storagenode_paystubs WHERE held < 0 OR owed < 0 OR disposed < 0 OR "
	  "owed < disposed" },
	{ "a node is paid what payments say",
	  "SELECT s.node_id FROM storagenode_paystubs s LEFT JOIN (SELECT node_id, period, "
	  "SUM(amount) AS amount FROM storagenode_payments GROUP BY node_id, period) p ON "
	  "p.node_id "
	  "= s.node_id AND p.period = s.period WHERE s.distributed <> COALESCE(p.amount, 0)" },
	{ "a settled hour has a sum",
	  "SELECT node_id FROM storagenode_bandwidth_rollups WHERE settled < 0" },
};

static struct check_finding *finding(struct check_report *r, const char *name)
{
	struct check_finding *f = &r->findings[r->count++];

	*f = (struct check_finding){ .name = name };
	return f;
}

/* Keys of objects are ciphertext: bytes that tell nothing but where to look. */
static void broken(struct check_report *r, struct check_finding *f, struct bytes what)
{
	AUTO_BUF struct buf hex = BUF_INIT(4 * EXAMPLE_BYTES);

	r->broken++;
	if (f->count++)
		return;
	text_hex(&hex, BYTES(what.data, MIN(what.len, (size_t)EXAMPLE_BYTES)));
	snprintf(f->example, sizeof(f->example), "%s%s", buf_cstr(&hex),
		 what.len > EXAMPLE_BYTES ? "..." : "");
}

static enum err run_statement(struct call *call, struct db_tx *tx, const char *name,
			      const char *sql, struct check_report *r)
{
	struct check_finding *f = finding(r, name);
	struct db_rows *rows = NULL;
	enum err e;

	TRY(db_query(call, tx, sql, NULL, 0, &rows), "check that %s", name);
	while (!(e = db_rows_next(call, rows)))
		broken(r, f, db_bytes(rows, 0));
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err count_rows(struct call *call, struct db_tx *tx, const char *sql, uint64_t *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, sql, NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		*ret = (uint64_t)db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

/* ---- pieces ---- */

/* A bit for every alias that was given. */
static enum err read_aliases(struct call *call, struct db_tx *tx, uint8_t **ret, uint64_t *ret_max)
{
	struct db_rows *rows = NULL;
	uint64_t max = 0;
	enum err e;

	TRY_PLAIN(count_rows(call, tx,
			     "SELECT CAST(COALESCE(MAX(alias), 0) AS INTEGER) FROM "
			     "node_aliases",
			     &max));
	if (max > ALIAS_MAX)
		return call_fail(call, ERR_DATA_LOSS, "node aliases beyond all measure");
	uint8_t *bits = arena_alloc(&call->scratch, max / 8 + 1);
	if (!bits)
		return call_fail(call, ERR_NO_MEMORY, "no room for the nodes");
	TRY_PLAIN(db_query(call, tx, "SELECT alias FROM node_aliases", NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows))) {
		uint64_t alias = (uint64_t)db_int(rows, 0);
		if (alias <= max)
			bits[alias / 8] |= (uint8_t)(1 << alias % 8);
	}
	db_rows_free(rows);
	*ret = bits;
	*ret_max = max;
	return e == ERR_NOT_FOUND ? OK : e;
}

static bool pieces_ok(struct call *call, struct bytes list, uint8_t required, const uint8_t *bits,
		      uint64_t max)
{
	struct piece pieces[PIECE_LIST_MAX];
	size_t count = 0;

	if (piece_list_decode(call, list, pieces, &count)) {
		call_clear_error(call);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		if (pieces[i].alias > max ||
		    !(bits[pieces[i].alias / 8] & 1 << pieces[i].alias % 8))
			return false;
	return count >= required;
}

static enum err check_pieces(struct call *call, struct db_tx *tx, struct check_report *r)
{
	struct check_finding *f = finding(r, "a segment's pieces can give it back, on known nodes");
	struct db_rows *rows = NULL;
	uint8_t *bits = NULL;
	uint64_t max = 0;
	enum err e;

	TRY_PLAIN(read_aliases(call, tx, &bits, &max));
	TRY_PLAIN(db_query(call, tx,
			   "SELECT stream_id, pieces, redundancy FROM segments "
			   "WHERE redundancy <> 0",
			   NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows))) {
		struct scheme s;
		if (redundancy_unpack(db_int(rows, 2), &s) ||
		    !pieces_ok(call, db_bytes(rows, 1), s.required, bits, max))
			broken(r, f, db_bytes(rows, 0));
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- limits ---- */

struct counter {
	struct limit_id id;
	int64_t stored, found;
};

static int compare_counters(const void *a, const void *b)
{
	const struct counter *x = a, *y = b;

	return memcmp(x->id.b, y->id.b, LIMIT_ID_BYTES);
}

static enum err read_counters(struct call *call, struct db_tx *tx, struct counter **ret,
			      size_t *ret_count)
{
	struct db_rows *rows = NULL;
	uint64_t most = 0;
	size_t n = 0;
	enum err e;

	TRY_PLAIN(count_rows(call, tx, "SELECT COUNT(*) FROM limits", &most));
	struct counter *list = arena_array(&call->scratch, most + 1, sizeof(*list));
	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "no room for the limits");
	TRY_PLAIN(db_query(call, tx, "SELECT id, stored FROM limits", NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows)) && n < most) {
		if (db_bytes(rows, 0).len == LIMIT_ID_BYTES)
			memcpy(list[n].id.b, db_bytes(rows, 0).data, LIMIT_ID_BYTES);
		list[n++].stored = db_int(rows, 1);
	}
	db_rows_free(rows);
	if (n)
		qsort(list, n, sizeof(*list), compare_counters);
	*ret = list;
	*ret_count = n;
	return e && e != ERR_NOT_FOUND ? e : OK;
}

static void add_charged(struct counter *list, size_t count, struct bytes charged, int64_t size)
{
	for (size_t at = 0; at + LIMIT_ID_BYTES <= charged.len; at += LIMIT_ID_BYTES) {
		struct counter key, *c;
		memcpy(key.id.b, charged.data + at, LIMIT_ID_BYTES);
		c = count ? bsearch(&key, list, count, sizeof(*list), compare_counters) : NULL;
		if (c)
			c->found += size;
	}
}

static enum err check_limits(struct call *call, struct db_tx *tx, struct check_report *r)
{
	struct check_finding *f = finding(r, "what is counted for a limit is what is stored");
	struct counter *list = NULL;
	struct db_rows *rows = NULL;
	size_t count = 0;
	enum err e;

	TRY_PLAIN(read_counters(call, tx, &list, &count));
	r->limits = count;
	TRY_PLAIN(db_query(call, tx,
			   "SELECT o.charged, CAST(COALESCE((SELECT SUM(s.encrypted_size) FROM "
			   "segments s WHERE s.stream_id = o.stream_id), 0) AS INTEGER) "
			   "FROM objects o WHERE o.charged IS NOT NULL",
			   NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows)))
		add_charged(list, count, db_bytes(rows, 0), db_int(rows, 1));
	db_rows_free(rows);
	for (size_t i = 0; i < count; i++)
		if (list[i].found != list[i].stored)
			broken(r, f, BYTES_OF(list[i].id.b));
	return e == ERR_NOT_FOUND ? OK : e;
}

/* Unlike what lies elsewhere, which repair moves, a row that is no rule keeps satellites from
 * starting. */
static enum err check_placements(struct call *call, struct db_tx *tx, struct check_report *r)
{
	struct check_finding *f = finding(r, "every placement's row is a rule");
	AUTO_CALL struct call look = CALL_INIT;

	call_init_child(&look, call);
	enum err e = store_placements_check(&look, tx);
	if (e == ERR_CONFIG || e == ERR_EXHAUSTED) {
		r->broken++;
		f->count++;
		snprintf(f->example, sizeof(f->example), "%.150s", look.error);
		return OK;
	}
	if (e)
		call_copy_error(call, &look);
	return e;
}

/* ---- all ---- */

static enum err check_file(struct call *call, struct db_tx *tx, struct check_report *r)
{
	struct check_finding *f = finding(r, "the file is whole");
	struct db_rows *rows = NULL;
	enum err e;

	TRY_PLAIN(db_query(call, tx, "PRAGMA integrity_check(20)", NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows))) {
		struct bytes text = db_bytes(rows, 0);
		if (bytes_equal(text, bytes_str("ok")))
			continue;
		r->broken++;
		if (!f->count++)
			snprintf(f->example, sizeof(f->example), "%.*s", (int)MIN(text.len, 150u),
				 (const char *)text.data);
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

struct check_arg {
	const struct db *db;
	struct check_report report;
};

static enum err check_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct check_arg *c = arg;
	struct check_report *r = &c->report;

	_Static_assert(ARRAY_LEN(statements) + 4 <= CHECK_FINDINGS_MAX, "room for all findings");
	*r = (struct check_report){ 0 };
	if (db_is_sqlite(c->db))
		TRY_PLAIN(check_file(call, tx, r));
	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		TRY_PLAIN(run_statement(call, tx, statements[i].name, statements[i].sql, r));
	TRY_PLAIN(check_pieces(call, tx, r));
	TRY_PLAIN(check_limits(call, tx, r));
	TRY_PLAIN(check_placements(call, tx, r));
	TRY_PLAIN(count_rows(call, tx, "SELECT COUNT(*) FROM buckets", &r->buckets));
	TRY_PLAIN(count_rows(call, tx, "SELECT COUNT(*) FROM objects", &r->objects));
	return count_rows(call, tx, "SELECT COUNT(*) FROM segments", &r->segments);
}

enum err satellite_check(struct call *call, struct db *db, struct check_report *ret)
{
	struct check_arg c = { .db = db };

	TRY_PLAIN(db_read(call, db, check_all, &c));
	*ret = c.report;
	return OK;
}
