/* acre-satellite limit, bucket and usage: what there may be, what there is, what it moved. */
#include "base/cleanup.h"
#include "base/text.h"
#include "os/clock.h"
#include "satellite/auth.h"
#include "satellite/calendar.h"
#include "satellite/command.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)

enum { MICRO_PER_DOLLAR = 1000000, PICO_PER_MICRO = 1000000 };

enum err command_project(struct command *c, struct db *db, struct project *ret)
{
	if (!c->o.project || !c->o.project[0])
		return call_fail(c->call, ERR_CONFIG, "say for which project: --project NAME");
	return project_find(c->call, db, bytes_str(c->o.project), ret);
}

/* ---- limit set ---- */

/* "none", or a size, or a number. */
static enum err read_max(struct command *c, const char *flag, const char *text, bool size,
			 int64_t *ret)
{
	uint64_t v = 0;

	if (!text || !strcmp(text, "none"))
		return OK; /* unlimited, as it is */
	enum err e = size ? text_size(bytes_str(text), &v)
			  : text_u64(bytes_str(text), INT64_MAX, &v);
	if (e || v > INT64_MAX)
		return call_fail(c->call, ERR_CONFIG, "--%s: \"%s\" is no %s (or \"none\")", flag,
				 text, size ? "size" : "number");
	*ret = (int64_t)v;
	return OK;
}

enum err command_money(struct command *c, const char *flag, const char *text, int64_t *ret)
{
	int64_t micro = 0, unit = MICRO_PER_DOLLAR;
	bool point = false, digits = false;

	if (!text || !strcmp(text, "none"))
		return OK;
	for (const char *p = text; *p; p++) {
		if (*p == '.' && !point) {
			point = true;
			continue;
		}
		if (*p < '0' || *p > '9' || micro > INT64_MAX / 20 || (point && unit == 1))
			return call_fail(c->call, ERR_CONFIG,
					 "--%s: \"%s\" are no dollars, such as 2.50 (or "
					 "\"none\")",
					 flag, text);
		digits = true;
		if (point)
			unit /= 10;
		micro = point ? micro + (*p - '0') * unit
			      : micro * 10 + (*p - '0') * (int64_t)MICRO_PER_DOLLAR;
	}
	if (!digits)
		return call_fail(c->call, ERR_CONFIG, "--%s: how many dollars?", flag);
	*ret = micro;
	return OK;
}

enum err command_limit_set(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct caveat_limits max = CAVEAT_LIMITS_NONE;
	struct project p;
	bool key = c->o.apikey && c->o.apikey[0], bucket = c->o.bucket && c->o.bucket[0];

	if (key == bucket)
		return call_fail(c->call, ERR_CONFIG,
				 "say what is limited: --apikey NAME or --bucket NAME (a whole "
				 "project: acre-satellite project set; a grant: acre share)");
	TRY_PLAIN(read_max(c, "storage", c->o.storage, true, &max.storage));
	TRY_PLAIN(read_max(c, "egress", c->o.egress, true, &max.egress));
	TRY_PLAIN(read_max(c, "downloads", c->o.downloads, false, &max.downloads));
	TRY_PLAIN(command_money(c, "spend", c->o.spend, &max.spend));
	max.monthly = c->o.monthly;
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	const struct prices prices = { (int64_t)c->o.config.storage_price,
				       (int64_t)c->o.config.egress_price };
	if (key)
		TRY_PLAIN(limit_set_for_key(c->call, db, &p.id, bytes_str(c->o.apikey), &max,
					    &prices));
	else
		TRY_PLAIN(limit_set_for_bucket(c->call, db, &p.id, bytes_str(c->o.bucket), &max,
					       &prices));
	command_say(c, "Set.  A satellite that runs takes it up within 30 seconds.\n");
	return OK;
}

/* ---- limit list ---- */

struct list_arg {
	struct command *c;
	struct project_id project;
};

/* The name of what a limit is of; grants have none, but a number to tell them apart. */
static enum err subject_name(struct call *call, struct db_tx *tx, const struct limit *l,
			     struct bytes *ret)
{
	struct db_rows *rows = NULL;
	AUTO_BUF struct buf hex = BUF_INIT(2 * LIMIT_ID_BYTES + 1);

	if (l->kind == LIMIT_OF_KEY) {
		TRY_PLAIN(DB_QUERY(call, tx, "SELECT name FROM api_keys WHERE head = $1", &rows,
				   DB_V_BLOB(l->subject)));
	} else if (l->kind == LIMIT_OF_BUCKET && l->subject.len == 8) {
		TRY_PLAIN(DB_QUERY(call, tx, "SELECT name FROM buckets WHERE id = $1", &rows,
				   DB_V_INT((int64_t)get_be64(l->subject.data))));
	}
	*ret = BYTES_NONE;
	if (rows) {
		enum err e = db_rows_next(call, rows);
		if (!e)
			*ret = arena_bytes(&call->scratch, db_bytes(rows, 0));
		db_rows_free(rows);
		if (e && e != ERR_NOT_FOUND)
			return e;
	}
	if (!ret->len) {
		text_hex(&hex, BYTES(l->id.b, LIMIT_ID_BYTES / 2));
		*ret = arena_bytes(&call->scratch, buf_bytes(&hex));
	}
	return OK;
}

static const char *kind_name(enum limit_kind k)
{
	return k == LIMIT_OF_KEY ? "apikey" : k == LIMIT_OF_BUCKET ? "bucket" : "grant";
}

static void add_json_max(struct buf *out, const char *name, int64_t now, int64_t max)
{
	buf_printf(out, ",\"%s\":%lld,\"max_%s\":", name, (long long)now, name);
	if (max < 0)
		buf_add_str(out, "null");
	else
		buf_printf(out, "%lld", (long long)max);
}

static void add_limit_json(struct buf *out, const struct limit *l, struct bytes name, bool first)
{
	buf_printf(out, "%s{\"kind\":\"%s\",\"name\":", first ? "" : ",\n ", kind_name(l->kind));
	text_add_json(out, name);
	add_json_max(out, "storage", l->stored, l->max.storage);
	add_json_max(out, "egress", l->egress, l->max.egress);
	add_json_max(out, "downloads", l->downloads, l->max.downloads);
	add_json_max(out, "spend_micro_dollars", l->spent / PICO_PER_MICRO, l->max.spend);
	buf_printf(out, ",\"monthly\":%s}", l->max.monthly ? "true" : "false");
}

static void add_of_size(struct buf *out, const char *what, int64_t now, int64_t max)
{
	buf_printf(out, "  %s ", what);
	text_add_size(out, (uint64_t)MAX(now, 0));
	if (max >= 0) {
		buf_add_str(out, " of ");
		text_add_size(out, (uint64_t)max);
	}
}

static void add_limit_line(struct buf *out, const struct limit *l, struct bytes name)
{
	buf_printf(out, "%-6s  ", kind_name(l->kind));
	buf_add_bytes(out, name);
	add_of_size(out, "stored", l->stored, l->max.storage);
	add_of_size(out, "served", l->egress, l->max.egress);
	buf_printf(out, "  downloads %lld", (long long)l->downloads);
	if (l->max.downloads >= 0)
		buf_printf(out, " of %lld", (long long)l->max.downloads);
	buf_printf(out, "  spent %.6f", (double)l->spent / PICO_PER_MICRO / MICRO_PER_DOLLAR);
	if (l->max.spend >= 0)
		buf_printf(out, " of %.6f", (double)l->max.spend / MICRO_PER_DOLLAR);
	buf_printf(out, " dollars%s\n", l->max.monthly ? ", each month" : "");
}

static enum err list_limits(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_arg *a = arg;
	struct buf *out = &a->c->out;
	struct limit *list = NULL;
	size_t n = 0;

	buf_clear(out);
	TRY_PLAIN(limit_list(call, tx, &a->project, &list, &n));
	if (a->c->o.json)
		buf_add_byte(out, '[');
	for (size_t i = 0; i < n; i++) {
		struct bytes name;
		limit_roll(&list[i], os_clock_unix_ns());
		TRY_PLAIN(subject_name(call, tx, &list[i], &name));
		if (a->c->o.json)
			add_limit_json(out, &list[i], name, i == 0);
		else
			add_limit_line(out, &list[i], name);
	}
	if (a->c->o.json)
		buf_add_str(out, "]\n");
	return OK;
}

enum err command_limit_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct list_arg a = { .c = c };
	struct project p;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	a.project = p.id;
	return db_read(c->call, db, list_limits, &a);
}

/* ---- buckets and what they use ---- */

#define USAGE_QUERY                                                                                \
	"SELECT b.name, b.created_at, b.versioning, b.lock_enabled, "                              \
	"(SELECT COUNT(*) FROM objects o WHERE o.bucket_id = b.id AND o.status IN (3, 4)), "       \
	"CAST((SELECT COALESCE(SUM(o.segment_count), 0) FROM objects o WHERE o.bucket_id = b.id) " \
	"AS INTEGER), "                                                                            \
	"CAST((SELECT COALESCE(SUM(o.encrypted_size), 0) FROM objects o WHERE o.bucket_id = "      \
	"b.id) AS INTEGER), "                                                                      \
	"CAST((SELECT COALESCE(SUM(r.allocated), 0) FROM bucket_bandwidth_rollups r WHERE "        \
	"r.project_id = b.project_id AND r.bucket_name = b.name AND r.action = 2 AND "             \
	"r.interval_start >= $2) AS INTEGER), "                                                    \
	"CAST((SELECT COALESCE(SUM(r.settled + r.inline), 0) FROM bucket_bandwidth_rollups r "     \
	"WHERE r.project_id = b.project_id AND r.bucket_name = b.name AND r.action = 2 AND "       \
	"r.interval_start >= $2) AS INTEGER) "                                                     \
	"FROM buckets b WHERE b.project_id = $1 ORDER BY b.name"

static const char *versioning_name(int64_t v)
{
	return v == 2 ? "on" : v == 3 ? "suspended" : "off";
}

static void add_bucket_json(struct buf *out, const struct db_rows *rows, bool first)
{
	static const char *const numbers[] = { "objects", "segments", "stored", "egress_allocated",
					       "egress" };

	buf_printf(out, "%s{\"name\":", first ? "" : ",\n ");
	text_add_json(out, db_bytes(rows, 0));
	buf_add_str(out, ",\"created\":\"");
	text_add_time(out, db_int(rows, 1), false);
	buf_printf(out, "\",\"versioning\":\"%s\",\"lock\":%s", versioning_name(db_int(rows, 2)),
		   db_int(rows, 3) ? "true" : "false");
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
		buf_printf(out, ",\"%s\":%lld", numbers[i], (long long)db_int(rows, 4 + i));
	buf_add_byte(out, '}');
}

static void add_bucket_line(struct buf *out, const struct db_rows *rows)
{
	text_add_time(out, db_int(rows, 1), false);
	buf_printf(out, "  versions %-9s  %s  %8lld objects  %8lld segments",
		   versioning_name(db_int(rows, 2)), db_int(rows, 3) ? "lock" : "    ",
		   (long long)db_int(rows, 4), (long long)db_int(rows, 5));
	add_of_size(out, "stored", db_int(rows, 6), -1);
	add_of_size(out, "served this month", db_int(rows, 8), -1);
	buf_add_str(out, "  ");
	buf_add_bytes(out, db_bytes(rows, 0));
	buf_add_byte(out, '\n');
}

static enum err list_buckets(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_arg *a = arg;
	struct buf *out = &a->c->out;
	struct db_rows *rows = NULL;
	int64_t month = 0;
	bool first = true;
	enum err e;

	buf_clear(out);
	calendar_month(os_clock_unix_ns(), &month);
	TRY_PLAIN(DB_QUERY(call, tx, USAGE_QUERY, &rows, DB_V_BLOB(BYTES_OF(a->project.b)),
			   DB_V_INT(month)));
	if (a->c->o.json)
		buf_add_byte(out, '[');
	for (; !(e = db_rows_next(call, rows)); first = false) {
		if (a->c->o.json)
			add_bucket_json(out, rows, first);
		else
			add_bucket_line(out, rows);
	}
	db_rows_free(rows);
	if (a->c->o.json)
		buf_add_str(out, "]\n");
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err command_bucket_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct list_arg a = { .c = c };
	struct project p;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	a.project = p.id;
	return db_read(c->call, db, list_buckets, &a);
}

struct usage_arg {
	struct command *c;
	int64_t month;
};

static enum err list_usage(struct call *call, struct db_tx *tx, void *arg)
{
	static const char *const numbers[] = { "buckets", "objects", "segments", "stored",
					       "egress" };
	struct usage_arg *a = arg;
	struct buf *out = &a->c->out;
	struct db_rows *rows = NULL;
	bool json = a->c->o.json;
	size_t n = 0;
	enum err e;

	buf_clear(out);
	TRY_PLAIN(DB_QUERY(
		call, tx,
		"SELECT p.name, (SELECT COUNT(*) FROM buckets b WHERE b.project_id = p.id), "
		"CAST(COALESCE(s.objects, 0) AS INTEGER), CAST(COALESCE(s.segments, 0) AS "
		"INTEGER), CAST(COALESCE(s.stored, 0) AS INTEGER), "
		"CAST((SELECT COALESCE(SUM(r.settled + r.inline), 0) FROM "
		"bucket_bandwidth_rollups r WHERE r.project_id = p.id AND r.action = 2 AND "
		"r.interval_start >= $1) AS INTEGER) FROM projects p LEFT JOIN "
		"(SELECT b.project_id, SUM(CASE WHEN o.status IN (3, 4) THEN 1 ELSE 0 END) AS "
		"objects, SUM(o.segment_count) AS segments, SUM(o.encrypted_size) AS stored FROM "
		"buckets b JOIN objects o ON o.bucket_id = b.id GROUP BY b.project_id) s "
		"ON s.project_id = p.id ORDER BY p.name",
		&rows, DB_V_INT(a->month)));
	if (json)
		buf_add_byte(out, '[');
	for (; !(e = db_rows_next(call, rows)); n++) {
		if (json) {
			buf_add_str(out, n ? ",\n {\"project\":" : "{\"project\":");
			text_add_json(out, db_bytes(rows, 0));
			for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
				buf_printf(out, ",\"%s\":%lld", numbers[i],
					   (long long)db_int(rows, 1 + i));
			buf_add_byte(out, '}');
			continue;
		}
		buf_printf(out, "%6lld buckets  %8lld objects  %8lld segments",
			   (long long)db_int(rows, 1), (long long)db_int(rows, 2),
			   (long long)db_int(rows, 3));
		add_of_size(out, "stored", db_int(rows, 4), -1);
		add_of_size(out, "served this month", db_int(rows, 5), -1);
		buf_add_str(out, "  ");
		buf_add_bytes(out, db_bytes(rows, 0));
		buf_add_byte(out, '\n');
	}
	db_rows_free(rows);
	if (json)
		buf_add_str(out, "]\n");
	return e == ERR_NOT_FOUND ? OK : e;
}

/* Stored is known of keys that have a row of limits (tally.h). */
#define KEY_USAGE_QUERY                                                                            \
	"SELECT p.name, k.name, l.stored, CAST(COALESCE(b.egress, 0) AS INTEGER), "                \
	"CAST(COALESCE(b.ingress, 0) AS INTEGER) FROM api_keys k JOIN projects p ON p.id = "       \
	"k.project_id LEFT JOIN limits l ON l.project_id = k.project_id AND l.kind = 1 AND "       \
	"l.subject = k.head LEFT JOIN (SELECT "                                                    \
	"key_number, SUM(CASE WHEN action = 2 THEN settled + inline ELSE 0 END) AS egress, "       \
	"SUM(CASE WHEN action = 1 THEN settled + inline ELSE 0 END) AS ingress FROM "              \
	"key_bandwidth WHERE interval_start >= $1 GROUP BY key_number) b ON b.key_number = "       \
	"k.number ORDER BY p.name, k.name"

static void add_key_usage_json(struct buf *out, const struct db_rows *rows, bool first)
{
	buf_add_str(out, first ? "{\"project\":" : ",\n {\"project\":");
	text_add_json(out, db_bytes(rows, 0));
	buf_add_str(out, ",\"apikey\":");
	text_add_json(out, db_bytes(rows, 1));
	if (db_is_null(rows, 2))
		buf_add_str(out, ",\"stored\":null");
	else
		buf_printf(out, ",\"stored\":%lld", (long long)db_int(rows, 2));
	buf_printf(out, ",\"egress\":%lld,\"ingress\":%lld}", (long long)db_int(rows, 3),
		   (long long)db_int(rows, 4));
}

static void add_key_usage_line(struct buf *out, const struct db_rows *rows)
{
	if (db_is_null(rows, 2))
		buf_add_str(out, "  stored not counted");
	else
		add_of_size(out, "stored", db_int(rows, 2), -1);
	add_of_size(out, "served this month", db_int(rows, 3), -1);
	add_of_size(out, "uploaded this month", db_int(rows, 4), -1);
	buf_add_str(out, "  ");
	buf_add_bytes(out, db_bytes(rows, 0));
	buf_add_str(out, "  ");
	buf_add_bytes(out, db_bytes(rows, 1));
	buf_add_byte(out, '\n');
}

static enum err list_key_usage(struct call *call, struct db_tx *tx, void *arg)
{
	struct usage_arg *a = arg;
	struct buf *out = &a->c->out;
	struct db_rows *rows = NULL;
	bool first = true;
	enum err e;

	buf_clear(out);
	TRY_PLAIN(DB_QUERY(call, tx, KEY_USAGE_QUERY, &rows, DB_V_INT(a->month)));
	if (a->c->o.json)
		buf_add_byte(out, '[');
	for (; !(e = db_rows_next(call, rows)); first = false) {
		if (a->c->o.json)
			add_key_usage_json(out, rows, first);
		else
			add_key_usage_line(out, rows);
	}
	db_rows_free(rows);
	if (a->c->o.json)
		buf_add_str(out, "]\n");
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err command_usage(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct usage_arg a = { .c = c };

	calendar_month(os_clock_unix_ns(), &a.month);
	TRY_PLAIN(command_database(c, &db));
	return db_read(c->call, db, c->o.by_key ? list_key_usage : list_usage, &a);
}
