/* Live accounting of projects that have limits. */
#include "satellite/usage.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/lock.h"
#include "satellite/calendar.h"

enum { USAGE_PROJECTS_MAX = 100000, USAGE_SLOTS = 1024 };
#define USAGE_FRESH_NS (3600 * NS_PER_SEC) /* totals older than that are read again */

struct entry {
	struct entry *next;
	struct project_id project;
	int64_t read_ns; /* 0 = never */
	int64_t month;	 /* of `downloaded` */
	int64_t stored, segments, downloaded;
};

struct usage {
	struct os_mutex lock;
	size_t count;
	struct entry *slots[USAGE_SLOTS];
};

struct usage *usage_new(void)
{
	return calloc(1, sizeof(struct usage));
}

void usage_free(struct usage *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < USAGE_SLOTS; i++) {
		while (u->slots[i]) {
			struct entry *e = u->slots[i];
			u->slots[i] = e->next;
			free(e);
		}
	}
	os_mutex_fini(&u->lock);
	free(u);
}

static bool has_limits(const struct project *p)
{
	return p->max_storage || p->max_bandwidth || p->max_segments;
}

/* With the lock held; NULL without memory: then nothing is counted. */
static struct entry *find(struct usage *u, const struct project *p)
{
	struct entry **slot = &u->slots[get_le32(p->id.b) % USAGE_SLOTS];

	for (struct entry *e = *slot; e; e = e->next) {
		if (!memcmp(e->project.b, p->id.b, PROJECT_ID_BYTES))
			return e;
	}
	struct entry *e = u->count < USAGE_PROJECTS_MAX ? calloc(1, sizeof(*e)) : NULL;
	if (!e)
		return NULL;
	e->project = p->id;
	e->next = *slot;
	*slot = e;
	u->count++;
	return e;
}

struct totals {
	struct project_id project;
	int64_t month_begin_ns;
	int64_t settled_before_ns; /* later limits may still be used */
	int64_t stored, segments, downloaded;
};

static enum err read_totals(struct call *call, struct db_tx *tx, void *arg)
{
	struct totals *t = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT CAST(COALESCE(SUM(encrypted_size), 0) AS INTEGER), "
			   "CAST(COALESCE(SUM(segment_count), 0) AS INTEGER) FROM objects "
			   "WHERE bucket_id IN (SELECT id FROM buckets WHERE project_id = $1)",
			   &rows, DB_V_BLOB(BYTES_OF(t->project.b))));
	enum err e = db_rows_next(call, rows);
	if (e == OK) {
		t->stored = db_int(rows, 0);
		t->segments = db_int(rows, 1);
	}
	db_rows_free(rows);
	TRY_PLAIN(e);
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT CAST(COALESCE(SUM(inline + CASE WHEN interval_start < $3 OR "
			   "allocated - dead < settled THEN settled ELSE allocated - dead END), 0) "
			   "AS INTEGER) FROM bucket_bandwidth_rollups WHERE project_id = $1 AND "
			   "action = 2 AND interval_start >= $2",
			   &rows, DB_V_BLOB(BYTES_OF(t->project.b)), DB_V_INT(t->month_begin_ns),
			   DB_V_INT(t->settled_before_ns)));
	e = db_rows_next(call, rows);
	if (e == OK)
		t->downloaded = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

/* The project's numbers, read from the database when they are not fresh. */
static enum err fresh(struct call *call, struct db *db, struct usage *u, const struct project *p,
		      int64_t now_ns, struct entry *ret)
{
	struct totals t = { .project = p->id, .settled_before_ns = now_ns - 2 * NS_PER_DAY };
	int64_t month = calendar_month(now_ns, &t.month_begin_ns);

	os_mutex_lock(&u->lock);
	struct entry *e = find(u, p);
	struct entry copy = e ? *e : (struct entry){ 0 };
	bool stale = e && (!e->read_ns || now_ns - e->read_ns > USAGE_FRESH_NS);
	if (stale)
		e->read_ns = now_ns; /* one reads, others go on with what they have */
	os_mutex_unlock(&u->lock);
	if (stale) {
		TRY(db_read(call, db, read_totals, &t), "read a project's usage");
		os_mutex_lock(&u->lock);
		e = find(u, p);
		if (e) {
			e->stored = t.stored;
			e->segments = t.segments;
			if (e->month != month)
				e->downloaded = t.downloaded;
			else
				e->downloaded = MAX(e->downloaded, t.downloaded);
			e->month = month;
			copy = *e;
		}
		os_mutex_unlock(&u->lock);
	}
	if (copy.month != month)
		copy.downloaded = 0;
	*ret = copy;
	return OK;
}

enum err usage_check_upload(struct call *call, struct db *db, struct usage *u,
			    const struct project *p, int64_t bytes, int64_t segments,
			    int64_t now_ns)
{
	struct entry e;

	if (!p->max_storage && !p->max_segments)
		return OK;
	TRY_PLAIN(fresh(call, db, u, p, now_ns, &e));
	if (p->max_segments && e.segments + segments > p->max_segments)
		return call_fail(call, ERR_EXHAUSTED, "Exceeded Segments Limit");
	if (p->max_storage && e.stored + bytes > p->max_storage)
		return call_fail(call, ERR_EXHAUSTED, "Exceeded Storage Limit");
	return OK;
}

enum err usage_check_download(struct call *call, struct db *db, struct usage *u,
			      const struct project *p, int64_t now_ns)
{
	struct entry e;

	if (!p->max_bandwidth)
		return OK;
	TRY_PLAIN(fresh(call, db, u, p, now_ns, &e));
	if (e.downloaded >= p->max_bandwidth)
		return call_fail(call, ERR_EXHAUSTED, "Exceeded Usage Limit");
	return OK;
}

void usage_add_stored(struct usage *u, const struct project *p, int64_t bytes, int64_t segments)
{
	if (!has_limits(p))
		return;
	OS_LOCKED(&u->lock);
	struct entry *e = find(u, p);
	if (e) {
		e->stored += bytes;
		e->segments += segments;
	}
}

void usage_add_downloaded(struct usage *u, const struct project *p, int64_t bytes)
{
	if (!has_limits(p))
		return;
	OS_LOCKED(&u->lock);
	struct entry *e = find(u, p);
	if (e)
		e->downloaded += bytes;
}
