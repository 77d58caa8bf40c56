/* Finer limits: what is counted, and when it is too much. */
#include "satellite/limit.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "crypto/hash.h"
#include "satellite/calendar.h"
#include "satellite/metainfo.h"

/* 10^-12 dollars in a micro-dollar; bytes that prices are for; how long storage is paid for. */
#define PICO_PER_MICRO INT64_C(1000000)
#define PRICE_BYTES INT64_C(1000000000000)
#define PRICE_NS (720 * 3600 * NS_PER_SEC)

void limit_id_of(enum limit_kind kind, struct bytes subject, struct limit_id *ret)
{
	uint8_t hash[HASH_BYTES];

	hash_sha256(subject, hash);
	memcpy(ret->b, hash, LIMIT_ID_BYTES);
	ret->b[0] = (uint8_t)kind;
}

void limit_id_of_bucket(int64_t bucket_id, struct limit_id *ret)
{
	uint8_t number[8];

	put_be64(number, (uint64_t)bucket_id);
	limit_id_of(LIMIT_OF_BUCKET, BYTES_OF(number), ret);
}

static enum err add(struct call *call, struct limit_set *set, enum limit_kind kind,
		    struct bytes subject, const struct caveat_limits *max)
{
	if (set->count == LIMITS_MAX - 1)
		return call_fail(call, ERR_PERMISSION, "too many limits in one API key");
	limit_id_of(kind, subject, &set->ids[set->count]);
	set->grants[set->count++] = *max;
	return OK;
}

enum err limit_set_read(struct call *call, const struct macaroon *m,
			const uint8_t (*tails)[MACAROON_TAIL_BYTES], bool key_has,
			struct limit_set *ret)
{
	const struct caveat_limits none = CAVEAT_LIMITS_NONE;
	struct caveat_limits max;

	ret->count = 0;
	if (key_has)
		TRY_PLAIN(add(call, ret, LIMIT_OF_KEY, m->head, &none));
	for (size_t i = 0; i < m->caveats_count; i++) {
		if (caveat_limits_find(m->caveats[i], &max))
			TRY_PLAIN(add(call, ret, LIMIT_OF_GRANT,
				      BYTES(tails[i + 1], MACAROON_TAIL_BYTES), &max));
	}
	return OK;
}

/* ---- rows ---- */

#define LIMIT_COLUMNS                                                                              \
	"id, kind, subject, max_storage, max_egress, max_downloads, max_spend, monthly, "          \
	"storage_price, egress_price, stored, egress, downloads, spent, month, updated_at"

static int64_t maximum(const struct db_rows *rows, unsigned column)
{
	return db_is_null(rows, column) ? CAVEAT_UNLIMITED : db_int(rows, column);
}

static enum err read_limit(struct call *call, const struct db_rows *rows, struct limit *ret)
{
	struct bytes id = db_bytes(rows, 0);
	struct limit l = {
		.kind = (enum limit_kind)db_int(rows, 1),
		.subject = arena_bytes(&call->scratch, db_bytes(rows, 2)),
		.max = { maximum(rows, 3), maximum(rows, 4), maximum(rows, 5), maximum(rows, 6),
			 db_int(rows, 7) != 0 },
		.prices = { db_int(rows, 8), db_int(rows, 9) },
		.stored = db_int(rows, 10),
		.egress = db_int(rows, 11),
		.downloads = db_int(rows, 12),
		.spent = db_int(rows, 13),
		.month = db_int(rows, 14),
		.updated_ns = db_int(rows, 15),
	};

	if (id.len != LIMIT_ID_BYTES || l.kind < LIMIT_OF_KEY || l.kind > LIMIT_OF_GRANT)
		return call_fail(call, ERR_DATA_LOSS, "a damaged limit");
	if (!l.subject.data)
		return call_fail(call, ERR_NO_MEMORY, "no room for a limit");
	memcpy(l.id.b, id.data, LIMIT_ID_BYTES);
	*ret = l;
	return OK;
}

enum err limit_get(struct call *call, struct db_tx *tx, const struct limit_id *id,
		   struct limit *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT " LIMIT_COLUMNS " FROM limits WHERE id = $1", &rows,
			   DB_V_BLOB(BYTES_OF(id->b))));
	enum err e = db_rows_next(call, rows);
	if (e == OK)
		e = read_limit(call, rows, ret);
	db_rows_free(rows);
	return e;
}

#define DB_V_MAX(v) ((v) < 0 ? DB_V_NULL : DB_V_INT(v))
#define LIMIT_VALUES(l, project)                                                                   \
	DB_V_BLOB(BYTES_OF((l)->id.b)), DB_V_INT((l)->kind), DB_V_BLOB((l)->subject),              \
		DB_V_MAX((l)->max.storage), DB_V_MAX((l)->max.egress),                             \
		DB_V_MAX((l)->max.downloads), DB_V_MAX((l)->max.spend),                            \
		DB_V_INT((l)->max.monthly), DB_V_INT((l)->prices.storage),                         \
		DB_V_INT((l)->prices.egress), DB_V_INT((l)->stored), DB_V_INT((l)->egress),        \
		DB_V_INT((l)->downloads), DB_V_INT((l)->spent), DB_V_INT((l)->month),              \
		DB_V_INT((l)->updated_ns), DB_V_BLOB(BYTES_OF((project)->b))
#define LIMIT_INSERT                                                                               \
	"INSERT INTO limits (" LIMIT_COLUMNS ", project_id) VALUES ($1, $2, $3, $4, $5, $6, $7, "  \
	"$8, $9, $10, $11, $12, $13, $14, $15, $16, $17) "

enum err limit_put(struct call *call, struct db_tx *tx, const struct project_id *project,
		   const struct limit *l)
{
	return DB_EXEC(call, tx,
		       LIMIT_INSERT
		       "ON CONFLICT (id) DO UPDATE SET max_storage = excluded.max_storage, "
		       "max_egress = excluded.max_egress, max_downloads = excluded.max_downloads, "
		       "max_spend = excluded.max_spend, monthly = excluded.monthly, "
		       "storage_price = excluded.storage_price, "
		       "egress_price = excluded.egress_price",
		       NULL, LIMIT_VALUES(l, project));
}

enum err limit_write_counts(struct call *call, struct db_tx *tx, const struct limit *l)
{
	return DB_EXEC(call, tx,
		       "UPDATE limits SET stored = $2, egress = $3, downloads = $4, spent = $5, "
		       "month = $6, updated_at = $7, storage_price = $8, egress_price = $9 "
		       "WHERE id = $1",
		       NULL, DB_V_BLOB(BYTES_OF(l->id.b)), DB_V_INT(l->stored), DB_V_INT(l->egress),
		       DB_V_INT(l->downloads), DB_V_INT(l->spent), DB_V_INT(l->month),
		       DB_V_INT(l->updated_ns), DB_V_INT(l->prices.storage),
		       DB_V_INT(l->prices.egress));
}

enum err limit_list(struct call *call, struct db_tx *tx, const struct project_id *project,
		    struct limit **ret, size_t *ret_count)
{
	enum { LIST_MAX = 100000 };
	struct db_rows *rows = NULL;
	struct limit *list = NULL;
	size_t n = 0, cap = 0;
	enum err e;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " LIMIT_COLUMNS " FROM limits WHERE project_id = $1 "
			   "ORDER BY kind, id LIMIT $2",
			   &rows, DB_V_BLOB(BYTES_OF(project->b)), DB_V_INT(LIST_MAX)));
	while (!(e = db_rows_next(call, rows))) {
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			struct limit *more = arena_array(&call->scratch, cap, sizeof(*more));
			if (!more) {
				e = call_fail(call, ERR_NO_MEMORY, "no room for limits");
				break;
			}
			if (n)
				memcpy(more, list, n * sizeof(*list));
			list = more;
		}
		e = read_limit(call, rows, &list[n]);
		if (e)
			break;
		n++;
	}
	db_rows_free(rows);
	if (e != ERR_NOT_FOUND)
		return e;
	*ret = list;
	*ret_count = n;
	return OK;
}

static enum err check_grants(struct call *call, struct db_tx *tx, const struct project_id *project,
			     int64_t max)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT COUNT(*) FROM (SELECT 1 FROM limits WHERE project_id = $1 AND "
			   "kind = 3 LIMIT $2) counted",
			   &rows, DB_V_BLOB(BYTES_OF(project->b)), DB_V_INT(max + 1)));
	enum err e = db_rows_next(call, rows);
	if (!e && db_int(rows, 0) > max)
		e = call_fail(call, ERR_EXHAUSTED,
			      "the project has too many grants with limits (%lld)", (long long)max);
	db_rows_free(rows);
	return e;
}

enum err limit_ensure(struct call *call, struct db_tx *tx, const struct project_id *project,
		      const struct prices *prices, int64_t grants_max, const struct limit_set *set,
		      int64_t now_ns)
{
	int64_t begin = 0, made = 0, changed = 0;

	for (size_t i = 0; i < set->count; i++) {
		struct limit l = {
			.id = set->ids[i],
			.kind = (enum limit_kind)set->ids[i].b[0],
			.subject = BYTES_OF(set->ids[i].b),
			.max = set->grants[i],
			.prices = *prices,
			.month = calendar_month(now_ns, &begin),
			.updated_ns = now_ns,
		};
		if (l.kind != LIMIT_OF_GRANT)
			continue;
		TRY(DB_EXEC(call, tx, LIMIT_INSERT "ON CONFLICT (id) DO NOTHING", &changed,
			    LIMIT_VALUES(&l, project)),
		    "keep a grant's limits");
		made += changed;
	}
	return made && grants_max ? check_grants(call, tx, project, grants_max) : OK;
}

enum err limit_of_bucket_exists(struct call *call, struct db_tx *tx, int64_t bucket_id, bool *ret)
{
	struct limit_id id;
	struct db_rows *rows = NULL;

	limit_id_of_bucket(bucket_id, &id);
	TRY_PLAIN(DB_QUERY(call, tx, "SELECT 1 FROM limits WHERE id = $1", &rows,
			   DB_V_BLOB(BYTES_OF(id.b))));
	enum err e = db_rows_next(call, rows);
	db_rows_free(rows);
	*ret = e == OK;
	return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- counting ---- */

static int64_t clamp(__int128 v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

static int64_t cost_of_egress(const struct limit *l, int64_t bytes)
{
	return clamp((__int128)l->prices.egress * PICO_PER_MICRO * bytes / PRICE_BYTES);
}

static int64_t cost_of_storage(const struct limit *l, int64_t ns)
{
	/* In two steps: bytes times price times time does not fit into 128 bits for all of them. */
	__int128 per_period = (__int128)l->prices.storage * PICO_PER_MICRO * MAX(l->stored, 0) /
			      PRICE_BYTES;

	return clamp(MIN(per_period, (__int128)INT64_MAX) * ns / PRICE_NS);
}

void limit_roll(struct limit *l, int64_t now_ns)
{
	int64_t begin = 0, month = calendar_month(now_ns, &begin), from = l->updated_ns;

	if (l->max.monthly && month != l->month) {
		l->egress = l->downloads = l->spent = 0;
		from = MAX(from, begin);
	}
	l->month = month;
	if (now_ns <= from)
		return;
	int64_t cost = cost_of_storage(l, now_ns - from);
	/* Less than the smallest coin is a coin: rounding must not make storage free. */
	if (!cost && l->stored > 0 && l->prices.storage > 0)
		cost = 1;
	l->spent = clamp((__int128)l->spent + cost);
	l->updated_ns = now_ns;
}

static enum err exceeded(struct call *call, const struct limit *l, bool storing, bool money)
{
	static const char *const who[] = {
		[LIMIT_OF_KEY] = "API key", [LIMIT_OF_BUCKET] = "bucket", [LIMIT_OF_GRANT] = "grant"
	};

	/* The clients look for these words, in a text or at its end (metainfo.md 3.3). */
	return call_fail(call, ERR_EXHAUSTED, "%s%s: %s", who[l->kind],
			 money ? " has spent what it may" : "",
			 storing ? "Exceeded Storage Limit" : "Exceeded Usage Limit");
}

static bool passes(int64_t now, int64_t more, int64_t max)
{
	int64_t sum;

	return max >= 0 && more > 0 && (__builtin_add_overflow(now, more, &sum) || sum > max);
}

static enum err count(struct call *call, struct limit *l, const struct limit_use *use)
{
	int64_t cost = cost_of_egress(l, use->egress);
	bool spends = use->stored > 0 || use->egress > 0 || use->downloads > 0;

	if (passes(l->stored, use->stored, l->max.storage))
		return exceeded(call, l, true, false);
	if (passes(l->egress, use->egress, l->max.egress) ||
	    passes(l->downloads, use->downloads, l->max.downloads))
		return exceeded(call, l, false, false);
	if (l->max.spend >= 0 && spends &&
	    (l->spent >= clamp((__int128)l->max.spend * PICO_PER_MICRO) ||
	     passes(l->spent, cost, clamp((__int128)l->max.spend * PICO_PER_MICRO))))
		return exceeded(call, l, use->stored > 0, true);
	l->stored = MAX(l->stored + use->stored, 0);
	/* What is given back may be of the month before. */
	l->egress = MAX(clamp((__int128)l->egress + use->egress), 0);
	l->downloads = MAX(clamp((__int128)l->downloads + use->downloads), 0);
	l->spent = MAX(clamp((__int128)l->spent + cost), 0);
	return OK;
}

static enum err for_each(struct call *call, struct db_tx *tx, const struct prices *prices,
			 struct bytes ids, const struct limit_use *use, int64_t now_ns, bool write)
{
	for (size_t at = 0; at + LIMIT_ID_BYTES <= ids.len; at += LIMIT_ID_BYTES) {
		struct limit_id id;
		struct limit l;
		memcpy(id.b, ids.data + at, LIMIT_ID_BYTES);
		enum err e = limit_get(call, tx, &id, &l);
		if (e == ERR_NOT_FOUND)
			continue; /* taken away meanwhile */
		TRY(e, "read a limit");
		limit_roll(&l, now_ns);
		if (prices)
			l.prices = *prices;
		TRY_PLAIN(count(call, &l, use));
		if (write)
			TRY(limit_write_counts(call, tx, &l), "count for a limit");
	}
	return OK;
}

enum err limit_charge(struct call *call, struct db_tx *tx, const struct prices *prices,
		      struct bytes ids, const struct limit_use *use, int64_t now_ns)
{
	return for_each(call, tx, prices, ids, use, now_ns, true);
}

enum err limit_check(struct call *call, struct db_tx *tx, struct bytes ids,
		     const struct limit_use *use, int64_t now_ns)
{
	return for_each(call, tx, NULL, ids, use, now_ns, false);
}
