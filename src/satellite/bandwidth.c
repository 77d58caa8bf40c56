/* Bandwidth of buckets and keys: counted here, written now and then. */
#include "satellite/bandwidth.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/random.h"
#include "satellite/config.h"

/* Beyond ENTRIES_MAX nothing new is counted until the next flush. */
enum { SLOTS = 1024, ENTRIES_MAX = 50000, FLUSH_ROWS = 500, WRITER_BYTES = 16 };
#define HOUR_NS (3600 * NS_PER_SEC)
#define DEAD_NS (600 * NS_PER_SEC)

struct entry {
	struct entry *next;
	struct project_id project;
	int64_t key; /* 0: of a bucket */
	int64_t hour_ns;
	int action;
	int64_t allocated, inline_bytes;
	uint8_t bucket_len;
	uint8_t bucket[LIMIT_BUCKET_NAME_MAX];
};

struct bandwidth {
	struct os_mutex lock;
	size_t count;
	bool lost; /* something was not counted since the last flush */
	uint8_t writer[WRITER_BYTES];
	struct entry *slots[SLOTS];
};

struct bandwidth *bandwidth_new(void)
{
	struct bandwidth *b = calloc(1, sizeof(*b));

	if (b)
		os_random(b->writer, sizeof(b->writer));
	return b;
}

static void free_list(struct entry *e)
{
	while (e) {
		struct entry *next = e->next;
		free(e);
		e = next;
	}
}

void bandwidth_free(struct bandwidth *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		free_list(b->slots[i]);
	os_mutex_fini(&b->lock);
	free(b);
}

static size_t slot_of(const struct entry *e)
{
	uint64_t h = get_le64(e->project.b) + (uint64_t)e->action + (uint64_t)e->key;

	for (size_t i = 0; i < e->bucket_len; i++)
		h = (h ^ e->bucket[i]) * UINT64_C(1099511628211);
	return (size_t)((h ^ h >> 32) % SLOTS);
}

static bool same(const struct entry *x, const struct entry *y)
{
	return x->hour_ns == y->hour_ns && x->action == y->action && x->key == y->key &&
	       x->bucket_len == y->bucket_len && !memcmp(x->bucket, y->bucket, x->bucket_len) &&
	       !memcmp(x->project.b, y->project.b, PROJECT_ID_BYTES);
}

/* With the lock held. */
static void add(struct bandwidth *b, const struct entry *what)
{
	struct entry **slot = &b->slots[slot_of(what)];
	struct entry *e = *slot;

	while (e && !same(e, what))
		e = e->next;
	if (!e) {
		e = b->count < ENTRIES_MAX ? malloc(sizeof(*e)) : NULL;
		if (!e) {
			b->lost = true;
			return;
		}
		*e = *what;
		e->next = *slot;
		*slot = e;
		b->count++;
		return;
	}
	e->allocated += what->allocated;
	e->inline_bytes += what->inline_bytes;
}

void bandwidth_add(struct bandwidth *b, const struct payer *payer, int action, int64_t allocated,
		   int64_t inline_bytes, int64_t now_ns)
{
	struct entry e = {
		.project = payer->project,
		.hour_ns = now_ns - now_ns % HOUR_NS,
		.action = action,
		.allocated = allocated,
		.inline_bytes = inline_bytes,
		.bucket_len = (uint8_t)MIN(payer->bucket.len, (size_t)LIMIT_BUCKET_NAME_MAX),
	};

	/* Audits and repairs are of no bucket. */
	if (e.bucket_len)
		memcpy(e.bucket, payer->bucket.data, e.bucket_len);
	OS_LOCKED(&b->lock);
	add(b, &e);
	if (!payer->key)
		return;
	e.key = payer->key;
	e.bucket_len = 0;
	add(b, &e);
}

/* Up to FLUSH_ROWS of them, off the table. */
static struct entry *take_some(struct bandwidth *b)
{
	struct entry *list = NULL;
	size_t n = 0;

	OS_LOCKED(&b->lock);
	for (size_t i = 0; i < SLOTS && n < FLUSH_ROWS; i++) {
		while (b->slots[i] && n < FLUSH_ROWS) {
			struct entry *e = b->slots[i];
			b->slots[i] = e->next;
			e->next = list;
			list = e;
			n++;
		}
	}
	b->count -= n;
	return list;
}

static void set_lost(struct bandwidth *b)
{
	OS_LOCKED(&b->lock);

	b->lost = true;
}

static void put_back(struct bandwidth *b, const struct entry *list)
{
	OS_LOCKED(&b->lock);
	for (; list; list = list->next)
		add(b, list);
}

static enum err write_row(struct call *call, struct db_tx *tx, const struct entry *e)
{
	if (e->key)
		return DB_EXEC(call, tx,
			       "INSERT INTO key_bandwidth (project_id, key_number, interval_start, "
			       "action, allocated, settled, inline) VALUES ($1, $2, $3, $4, $5, 0, "
			       "$6) ON CONFLICT (project_id, key_number, interval_start, action) "
			       "DO UPDATE SET allocated = key_bandwidth.allocated + "
			       "excluded.allocated, inline = key_bandwidth.inline + "
			       "excluded.inline",
			       NULL, DB_V_BLOB(BYTES_OF(e->project.b)), DB_V_INT(e->key),
			       DB_V_INT(e->hour_ns), DB_V_INT(e->action), DB_V_INT(e->allocated),
			       DB_V_INT(e->inline_bytes));
	return DB_EXEC(call, tx,
		       "INSERT INTO bucket_bandwidth_rollups (project_id, bucket_name, "
		       "interval_start, action, allocated, settled, inline, dead) "
		       "VALUES ($1, $2, $3, $4, $5, 0, $6, 0) "
		       "ON CONFLICT (project_id, bucket_name, interval_start, action) "
		       "DO UPDATE SET allocated = bucket_bandwidth_rollups.allocated + "
		       "excluded.allocated, "
		       "inline = bucket_bandwidth_rollups.inline + excluded.inline",
		       NULL, DB_V_BLOB(BYTES_OF(e->project.b)),
		       DB_V_BLOB(BYTES(e->bucket, e->bucket_len)), DB_V_INT(e->hour_ns),
		       DB_V_INT(e->action), DB_V_INT(e->allocated), DB_V_INT(e->inline_bytes));
}

static enum err write_rows(struct call *call, struct db_tx *tx, void *arg)
{
	for (const struct entry *e = arg; e; e = e->next)
		TRY_PLAIN(write_row(call, tx, e));
	return OK;
}

static enum err note_gap(struct call *call, struct db_tx *tx, int64_t from_ns, int64_t to_ns)
{
	for (int64_t hour = from_ns - from_ns % HOUR_NS; hour <= to_ns; hour += HOUR_NS)
		TRY_PLAIN(DB_EXEC(call, tx,
				  "INSERT INTO bandwidth_gaps (interval_start) VALUES ($1) ON "
				  "CONFLICT (interval_start) DO NOTHING",
				  NULL, DB_V_INT(hour)));
	return OK;
}

/* Those that died after they had written last. */
static enum err bury(struct call *call, struct db_tx *tx, int64_t now_ns)
{
	enum { AT_ONCE = 64 };
	int64_t silent[AT_ONCE];
	struct db_rows *rows = NULL;
	size_t n = 0;
	enum err e;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT flushed_at FROM bandwidth_writers WHERE flushed_at < $1 ORDER "
			   "BY flushed_at LIMIT 64",
			   &rows, DB_V_INT(now_ns - DEAD_NS)));
	while (!(e = db_rows_next(call, rows)) && n < AT_ONCE)
		silent[n++] = db_int(rows, 0);
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	for (size_t i = 0; i < n; i++) {
		TRY_PLAIN(note_gap(call, tx, silent[i], silent[i] + DEAD_NS));
		TRY_PLAIN(DB_EXEC(call, tx, "DELETE FROM bandwidth_writers WHERE flushed_at = $1",
				  NULL, DB_V_INT(silent[i])));
	}
	return OK;
}

struct mark {
	struct bytes writer;
	int64_t now_ns;
	bool lost, ends;
};

/* All that this process granted until now is written, but for what was lost. */
static enum err write_mark(struct call *call, struct db_tx *tx, void *arg)
{
	const struct mark *m = arg;

	TRY_PLAIN(bury(call, tx, m->now_ns));
	if (m->lost)
		TRY_PLAIN(note_gap(call, tx, m->now_ns - HOUR_NS, m->now_ns));
	if (m->ends)
		return DB_EXEC(call, tx, "DELETE FROM bandwidth_writers WHERE id = $1", NULL,
			       DB_V_BLOB(m->writer));
	return DB_EXEC(call, tx,
		       "INSERT INTO bandwidth_writers (id, flushed_at) VALUES ($1, $2) ON CONFLICT "
		       "(id) DO UPDATE SET flushed_at = excluded.flushed_at",
		       NULL, DB_V_BLOB(m->writer), DB_V_INT(m->now_ns));
}

enum err bandwidth_mark(struct call *call, struct bandwidth *b, struct db *db, bool ends)
{
	/* Before the flush: what comes while it is written counts as not yet written. */
	struct mark m = { .writer = BYTES_OF(b->writer),
			  .now_ns = os_clock_unix_ns(),
			  .ends = ends };

	TRY_PLAIN(bandwidth_flush(call, b, db));
	os_mutex_lock(&b->lock);
	m.lost = b->lost;
	b->lost = false;
	os_mutex_unlock(&b->lock);
	return db_write(call, db, write_mark, &m);
}

enum err bandwidth_flush(struct call *call, struct bandwidth *b, struct db *db)
{
	struct entry *list;

	while ((list = take_some(b))) {
		/* Each round has memory of its own. */
		AUTO_CALL struct call round = CALL_INIT;
		call_init_child(&round, call);
		enum err e = db_write(&round, db, write_rows, list);
		/* A commit that may have come through is not repeated: nobody pays twice. */
		if (e && e != ERR_UNCERTAIN)
			put_back(b, list);
		else if (e)
			set_lost(b);
		free_list(list);
		if (e) {
			call_copy_error(call, &round);
			return e;
		}
	}
	return OK;
}
