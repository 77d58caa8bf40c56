/*
 * The key cache.  Entries live for a while only, since other processes may change what they say; a
 * head that is not known is never remembered, so a new key works at once.
 */
#include "satellite/keys.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"

#define KEY_NS_MAX (30 * NS_PER_SEC)
#define TAIL_NS_MAX (30 * NS_PER_SEC)

enum {
	HEAD_SLOTS = 2 * KEY_HEADS_MAX,
	TAIL_SLOTS = 2 * KEY_TAILS_MAX,
};

struct head_entry {
	uint8_t head[MACAROON_HEAD_BYTES];
	int64_t loaded_ns;
	struct key_info info;
};

struct tail_entry {
	uint8_t tail[MACAROON_TAIL_BYTES];
	int64_t checked_ns; /* 0 = free */
};

struct key_cache {
	struct os_mutex lock;
	size_t heads_count, tails_count;
	struct head_entry *heads[HEAD_SLOTS];
	struct tail_entry tails[TAIL_SLOTS]; /* not revoked when they were checked */
};

struct key_cache *key_cache_new(void)
{
	return calloc(1, sizeof(struct key_cache));
}

static void heads_clear(struct key_cache *c)
{
	for (size_t i = 0; i < HEAD_SLOTS; i++) {
		if (!c->heads[i])
			continue;
		secret_wipe(c->heads[i], sizeof(*c->heads[i]));
		free(c->heads[i]);
		c->heads[i] = NULL;
	}
	c->heads_count = 0;
}

static void tails_clear(struct key_cache *c)
{
	memset(c->tails, 0, sizeof(c->tails));
	c->tails_count = 0;
}

void key_cache_free(struct key_cache *c)
{
	if (!c)
		return;
	heads_clear(c);
	os_mutex_fini(&c->lock);
	free(c);
}

void key_cache_clear(struct key_cache *c)
{
	OS_LOCKED(&c->lock);
	heads_clear(c);
	tails_clear(c);
}

/* Heads and tails are random bytes or HMACs, so any eight of them spread well. */
static size_t slot_of(const uint8_t *b, size_t slots)
{
	return (size_t)(get_le64(b) % slots);
}

static bool cached_head(struct key_cache *c, struct bytes head, struct key_info *ret)
{
	OS_LOCKED(&c->lock);
	for (size_t at = slot_of(head.data, HEAD_SLOTS); c->heads[at]; at = (at + 1) % HEAD_SLOTS) {
		const struct head_entry *e = c->heads[at];
		if (!bytes_equal(BYTES_OF(e->head), head))
			continue;
		if (os_clock_mono_ns() - e->loaded_ns > KEY_NS_MAX)
			return false;
		*ret = e->info;
		return true;
	}
	return false;
}

static void remember_head(struct key_cache *c, struct bytes head, const struct key_info *info)
{
	OS_LOCKED(&c->lock);
	size_t at = slot_of(head.data, HEAD_SLOTS);
	while (c->heads[at] && !bytes_equal(BYTES_OF(c->heads[at]->head), head))
		at = (at + 1) % HEAD_SLOTS;
	if (!c->heads[at]) {
		if (c->heads_count >= KEY_HEADS_MAX) {
			heads_clear(c);
			at = slot_of(head.data, HEAD_SLOTS);
		}
		c->heads[at] = malloc(sizeof(*c->heads[at]));
		if (!c->heads[at])
			return; /* a cache may forget */
		memcpy(c->heads[at]->head, head.data, head.len);
		c->heads_count++;
	}
	c->heads[at]->info = *info;
	c->heads[at]->loaded_ns = os_clock_mono_ns();
}

static bool cached_tail(struct key_cache *c, const uint8_t *tail)
{
	OS_LOCKED(&c->lock);
	for (size_t at = slot_of(tail, TAIL_SLOTS); c->tails[at].checked_ns;
	     at = (at + 1) % TAIL_SLOTS)
		if (memcmp(c->tails[at].tail, tail, MACAROON_TAIL_BYTES) == 0)
			return os_clock_mono_ns() - c->tails[at].checked_ns <= TAIL_NS_MAX;
	return false;
}

static void remember_tail(struct key_cache *c, const uint8_t *tail, int64_t checked_ns)
{
	OS_LOCKED(&c->lock);
	if (c->tails_count >= KEY_TAILS_MAX)
		tails_clear(c);
	size_t at = slot_of(tail, TAIL_SLOTS);
	while (c->tails[at].checked_ns && memcmp(c->tails[at].tail, tail, MACAROON_TAIL_BYTES) != 0)
		at = (at + 1) % TAIL_SLOTS;
	if (!c->tails[at].checked_ns)
		c->tails_count++;
	memcpy(c->tails[at].tail, tail, MACAROON_TAIL_BYTES);
	c->tails[at].checked_ns = checked_ns;
}

/* ---- database ---- */

struct find_arg {
	const struct satellite *sat;
	struct bytes head;
	struct key_info info;
};

static int64_t limit_or(const struct db_rows *rows, unsigned column, uint64_t setting)
{
	return db_is_null(rows, column) ? (int64_t)MIN(setting, (uint64_t)INT64_MAX)
					: db_int(rows, column);
}

static bool copy_fixed(void *out, size_t len, struct bytes v)
{
	if (v.len != len)
		return false;
	memcpy(out, v.data, len);
	return true;
}

/* A rate of a row over the one that holds otherwise; a rate alone is its burst, too. */
static void read_rate(const struct db_rows *rows, unsigned at, bool own, struct rate *r)
{
	bool rate = !db_is_null(rows, at), burst = !db_is_null(rows, at + 1);

	if (rate)
		r->rate = r->burst = db_int(rows, at);
	if (burst)
		r->burst = db_int(rows, at + 1);
	if (rate || burst) {
		r->limited = true;
		r->own = own;
	}
}

#define PROJECT_COLUMNS                                                                            \
	"p.id, p.public_id, p.salt, p.created_at, p.max_buckets, p.max_storage, p.max_bandwidth, " \
	"p.max_segments, p.disabled_at, p.default_versioning, p.has_bucket_limits, p.rate, "       \
	"p.rate_burst, p.rate_head, p.rate_head_burst, p.rate_get, p.rate_get_burst, p.rate_put, " \
	"p.rate_put_burst, p.rate_list, p.rate_list_burst, p.rate_delete, p.rate_delete_burst, "   \
	"p.placement"

/* PROJECT_COLUMNS from column `at` on. */
static enum err read_project(struct call *call, const struct satellite_config *config,
			     const struct db_rows *rows, unsigned at, struct project *p)
{
	if (!copy_fixed(p->id.b, PROJECT_ID_BYTES, db_bytes(rows, at)) ||
	    !copy_fixed(p->public_id.b, PROJECT_ID_BYTES, db_bytes(rows, at + 1)) ||
	    !copy_fixed(p->salt, PROJECT_SALT_BYTES, db_bytes(rows, at + 2)))
		return call_fail(call, ERR_DATA_LOSS, "a project's row is damaged");
	p->created_unix_ns = db_int(rows, at + 3);
	p->max_buckets = limit_or(rows, at + 4, config->max_buckets);
	p->max_storage = limit_or(rows, at + 5, config->max_storage);
	p->max_bandwidth = limit_or(rows, at + 6, config->max_bandwidth);
	p->max_segments = limit_or(rows, at + 7, config->max_segments);
	p->disabled = !db_is_null(rows, at + 8);
	p->versioned_buckets = db_int(rows, at + 9) == PROJECT_VERSIONING_ON;
	p->has_bucket_limits = db_int(rows, at + 10) != 0;
	struct rate all = {
		.limited = config->rate != 0,
		.rate = (int64_t)MIN(config->rate, (uint64_t)INT64_MAX),
		.burst = (int64_t)MIN(MAX(config->rate_burst, 1u), (uint64_t)INT64_MAX),
	};
	read_rate(rows, at + 11, false, &all);
	for (unsigned kind = 0; kind < RATE_KINDS; kind++) {
		p->rates[kind] = all;
		read_rate(rows, at + 13 + 2 * kind, true, &p->rates[kind]);
	}
	p->placement = (int32_t)db_int(rows, at + 13 + 2 * RATE_KINDS);
	return OK;
}

static enum err find_key(struct call *call, struct db_tx *tx, void *arg)
{
	struct find_arg *f = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT k.secret, k.version, k.rate, k.rate_burst, "
			   "k.has_limit, k.number, " PROJECT_COLUMNS
			   " FROM api_keys k JOIN projects p ON p.id = k.project_id"
			   " WHERE k.head = $1",
			   &rows, DB_V_BLOB(f->head)));
	enum err e = db_rows_next(call, rows);
	if (!e && !copy_fixed(f->info.secret.b, SECRET_KEY_BYTES, db_bytes(rows, 0)))
		e = call_fail(call, ERR_DATA_LOSS, "an API key's row is damaged");
	if (!e) {
		f->info.version = (unsigned)db_int(rows, 1);
		f->info.rate = (struct rate){ 0 };
		read_rate(rows, 2, true, &f->info.rate);
		f->info.has_limit = db_int(rows, 4) != 0;
		f->info.number = db_int(rows, 5);
		e = read_project(call, satellite_live(f->sat), rows, 6, &f->info.project);
	}
	db_rows_free(rows);
	return e;
}

enum err key_find(struct call *call, struct satellite *sat, struct bytes head, struct key_info *ret)
{
	struct find_arg f = { .sat = sat, .head = head };

	/* All heads of ours have this length, and the slots count on it. */
	if (head.len != MACAROON_HEAD_BYTES)
		return call_fail(call, ERR_NOT_FOUND, "no such API key");
	if (cached_head(sat->keys, head, ret))
		return OK;
	enum err e = db_look_up(call, sat->db, find_key, &f);
	if (!e) {
		remember_head(sat->keys, head, &f.info);
		*ret = f.info;
	}
	secret_key_wipe(&f.info.secret);
	return e;
}

struct tails_arg {
	const uint8_t (*tails)[MACAROON_TAIL_BYTES];
	size_t count;
	bool auditable;
	enum tails_state state;
};

static enum err has_tail(struct call *call, struct db_tx *tx, const char *sql, const uint8_t *tail,
			 bool *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, sql, &rows, DB_V_BLOB(BYTES(tail, MACAROON_TAIL_BYTES))));
	enum err e = db_rows_next(call, rows);
	db_rows_free(rows);
	*ret = e == OK;
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err look_up_tails(struct call *call, struct db_tx *tx, void *arg)
{
	struct tails_arg *t = arg;
	bool there = false;

	t->state = TAILS_GOOD;
	for (size_t i = 1; i < t->count && t->auditable; i++) {
		TRY_PLAIN(has_tail(call, tx, "SELECT 1 FROM api_key_tails WHERE tail = $1",
				   t->tails[i], &there));
		if (!there) {
			t->state = TAILS_UNREGISTERED;
			return OK;
		}
	}
	for (size_t i = 0; i < t->count; i++) {
		TRY_PLAIN(has_tail(call, tx, "SELECT 1 FROM revocations WHERE tail = $1",
				   t->tails[i], &there));
		if (there) {
			t->state = TAILS_REVOKED;
			return OK;
		}
	}
	return OK;
}

enum err key_check_tails(struct call *call, struct satellite *sat,
			 const uint8_t (*tails)[MACAROON_TAIL_BYTES], size_t count, bool auditable,
			 enum tails_state *ret)
{
	struct tails_arg t = { .tails = tails, .count = count, .auditable = auditable };
	const uint8_t *last = tails[count - 1];
	/* Before the look, so that a revocation in between is not overlooked for longer. */
	int64_t now = os_clock_mono_ns();

	if (cached_tail(sat->keys, last)) {
		*ret = TAILS_GOOD;
		return OK;
	}
	TRY_PLAIN(db_read(call, sat->db, look_up_tails, &t));
	if (t.state == TAILS_GOOD)
		remember_tail(sat->keys, last, MAX(now, 1));
	*ret = t.state;
	return OK;
}

struct revoke_arg {
	struct bytes head, tail;
	int64_t now_ns;
};

static enum err insert_revoked(struct call *call, struct db_tx *tx, void *arg)
{
	const struct revoke_arg *r = arg;

	return DB_EXEC(call, tx,
		       "INSERT INTO revocations (tail, head, revoked_at) VALUES ($1, $2, $3)"
		       " ON CONFLICT (tail) DO NOTHING",
		       NULL, DB_V_BLOB(r->tail), DB_V_BLOB(r->head), DB_V_INT(r->now_ns));
}

enum err key_revoke(struct call *call, struct satellite *sat, struct bytes head,
		    const uint8_t tail[MACAROON_TAIL_BYTES])
{
	struct revoke_arg r = { head, BYTES(tail, MACAROON_TAIL_BYTES), os_clock_unix_ns() };
	enum err e = db_write(call, sat->db, insert_revoked, &r);

	key_cache_clear(sat->keys);
	return e;
}
