/* What a node does with its disk besides transfers: recovery, upkeep, garbage, a watch on the disk
 * itself. */
#include "base/cleanup.h"
#include "base/day_hours.h"
#include "base/num.h"
#include "node/node_internal.h"
#include "order/bloom.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"

enum {
	READABLE_SECONDS = 60,
	WRITABLE_SECONDS = 5 * 60,
	RETRY_SECONDS = 20,
	RETRY_SECONDS_DEVELOPMENT = 2,
	MAINTAIN_SECONDS = 60,
	HOURS_SECONDS = 20,
	EXPIRE_SECONDS = 3600,
	GARBAGE_RETRY_SECONDS = 600,
	COMPACT_SECONDS = 600,
	SCRUB_SECONDS = 60,    /* between two rounds */
	PART_BYTES = 16 << 20, /* compacted or scrubbed at a time: chores share few threads */
	DEAD_PERCENT = 40,     /* of a segment, before it is rewritten */
};

/* ---- the disk ---- */

/* Until a disk that is not well is looked at again. */
static int64_t retry_ns(const struct node *n)
{
	return (n->config.development ? RETRY_SECONDS_DEVELOPMENT : RETRY_SECONDS) * NS_PER_SEC;
}

/* Satellites learn at once that there is no room, or that there is again. */
static void set_writable(struct node *n, bool writable)
{
	os_mutex_lock(&n->lock);
	bool before = !(n->no_uploads & NODE_DISK_UNWRITABLE);
	os_mutex_unlock(&n->lock);
	if (before == writable)
		return;
	log_warn(writable ? "the disk can be written to again"
			  : "the node takes no pieces until the disk can be written to");
	node_refuse_uploads(n, NODE_DISK_UNWRITABLE, !writable);
}

/* While the disk does not answer this does not come back, and the store counts as offline. */
static int64_t check_readable(struct call *call, void *arg)
{
	struct node *n = arg;

	piece_store_disk_asked(n->store);
	enum err e = storage_dir_check_readable(call, n->storage);
	enum err probe = e ? OK : piece_store_probe(call, n->store);
	piece_store_disk_answered(n->store);
	if (e && e != ERR_CANCELED) {
		node_fail(n, call, e);
		return READABLE_SECONDS * NS_PER_SEC;
	}
	if (probe && probe != ERR_CANCELED)
		log_error("the disk cannot be read", F_STR("why", call_error(call, probe)));
	if (piece_store_index_damaged(n->store))
		node_fail(n, call,
			  call_fail(call, ERR_DATA_LOSS,
				    "the index on disk is damaged or cannot be written: started "
				    "again, the node goes on with what is there or rebuilds it "
				    "from the pieces"));
	bool slow = piece_store_state(n->store) == STORE_OFFLINE;
	if (slow)
		log_error("the disk is too slow: nothing is served until it answers faster");
	return slow ? retry_ns(n) : READABLE_SECONDS * NS_PER_SEC;
}

/* A disk that turned read-only can still be read from. */
static int64_t check_writable(struct call *call, void *arg)
{
	struct node *n = arg;
	enum err e = storage_dir_check_writable(call, n->storage);

	if (e == ERR_CANCELED)
		return WRITABLE_SECONDS * NS_PER_SEC;
	if (e)
		log_error("the disk cannot be written to", F_STR("why", call_error(call, e)));
	set_writable(n, !e);
	return e ? retry_ns(n) : WRITABLE_SECONDS * NS_PER_SEC;
}

/* ---- hours of the day ---- */

static int64_t look_at_clock(struct call *call, void *arg)
{
	struct node *n = arg;
	struct day_hours hours = { 0 };

	if (day_hours_parse(call, node_get(n, upload_hours), &hours)) /* it was checked */
		call_clear_error(call);
	bool wrong = !day_hours_has(&hours, os_clock_day_minute(os_clock_unix_ns()));
	os_mutex_lock(&n->lock);
	bool before = n->no_uploads & NODE_WRONG_HOUR;
	os_mutex_unlock(&n->lock);
	if (wrong != before) {
		log_info(wrong ? "no pieces are taken until the next of upload-hours"
			       : "pieces are taken again");
		node_refuse_uploads(n, NODE_WRONG_HOUR, wrong);
	}
	return hours.always ? CHORE_NEVER : HOURS_SECONDS * NS_PER_SEC;
}

void node_storage_hours(struct node *n)
{
	chores_soon(n->chores, n->look_at_clock, 0);
}

/* ---- upkeep ---- */

/* Beside serving: what the last checkpoint lacks (a node that was killed). */
static int64_t recover(struct call *call, void *arg)
{
	struct node *n = arg;
	enum err e = piece_store_recover(call, n->store);

	if (!e)
		e = order_log_sync(call, n->orders, os_clock_unix_ns());
	if (e && e != ERR_CANCELED)
		node_fail(n, call, e);
	return CHORE_NEVER;
}

static void report(struct call *call, const char *what, enum err e)
{
	if (e && e != ERR_CANCELED)
		log_warn("upkeep of the piece store failed", F_STR("what", what),
			 F_STR("why", call_error(call, e)));
}

static int64_t maintain(struct call *call, void *arg)
{
	struct node *n = arg;

	report(call, "maintenance", piece_store_maintain(call, n->store));
	os_memory_slim();
	return MAINTAIN_SECONDS * NS_PER_SEC;
}

static int64_t expire(struct call *call, void *arg)
{
	struct node *n = arg;
	uint64_t count = 0;

	if (n->clock_wrong)
		return MAINTAIN_SECONDS * NS_PER_SEC;
	report(call, "expiry", piece_store_expire(call, n->store, &count));
	if (count)
		log_info("expired pieces and old trash dropped", F_U64("pieces", count));
	return EXPIRE_SECONDS * NS_PER_SEC;
}

static enum err apply_filter(struct call *call, struct node *n, const struct garbage_filter *f)
{
	/* Never more than what the clock of this node allows. */
	int64_t before = MIN(f->creation_unix_ns, os_clock_unix_ns()) - node_get(n, retain_skew_ns);
	struct bloom filter;
	struct index_swept swept = { 0 };
	char id[NODE_ID_TEXT_MAX];

	if (before > 0) {
		TRY_PLAIN(bloom_parse(call, f->filter, &filter));
		TRY_PLAIN(piece_store_retain(
			call, n->store, &f->satellite,
			(uint32_t)MIN(before / NS_PER_SEC, (int64_t)UINT32_MAX), &filter, &swept));
	}
	node_id_text(&f->satellite, id);
	log_info("garbage collected", F_STR("satellite", id), F_U64("pieces", swept.seen),
		 F_U64("trashed", swept.trashed), F_U64("trashed-bytes", swept.trash_bytes));
	return garbage_done(call, n->garbage, f);
}

static int64_t collect_garbage(struct call *call, void *arg)
{
	struct node *n = arg;
	bool found = true;

	if (!piece_store_recovered(n->store) || n->clock_wrong)
		return MAINTAIN_SECONDS * NS_PER_SEC;
	while (found) {
		struct garbage_filter f = { 0 };
		enum err e = garbage_next(call, n->garbage, &f, &found);
		if (!e && found)
			e = apply_filter(call, n, &f);
		garbage_filter_free(&f);
		report(call, "garbage collection", e);
		if (e)
			return GARBAGE_RETRY_SECONDS * NS_PER_SEC;
	}
	return CHORE_NEVER;
}

/* How long `bytes` take at a rate. */
static int64_t time_of(uint64_t bytes, uint64_t bytes_per_second)
{
	return (int64_t)((double)bytes * (double)NS_PER_SEC / (double)bytes_per_second);
}

static int64_t compact(struct call *call, void *arg)
{
	struct node *n = arg;
	const struct store_compaction how = { .bytes_max = PART_BYTES,
					      .dead_percent = DEAD_PERCENT };
	struct store_compacted done = { 0 };

	uint64_t rate = node_get(n, compact_rate);

	if (!rate || piece_store_state(n->store) != STORE_READY)
		return COMPACT_SECONDS * NS_PER_SEC;
	report(call, "compaction", piece_store_compact(call, n->store, &how, &done));
	if (done.freed)
		log_info("space freed by compaction", F_U64("bytes", done.freed));
	return done.more ? time_of(done.copied, rate) : COMPACT_SECONDS * NS_PER_SEC;
}

static int64_t scrub(struct call *call, void *arg)
{
	struct node *n = arg;
	struct store_scrubbed done = { 0 };

	uint64_t rate = node_get(n, scrub_rate);

	if (!rate || piece_store_state(n->store) == STORE_OFFLINE)
		return SCRUB_SECONDS * NS_PER_SEC;
	report(call, "scrubbing", piece_store_scrub(call, n->store, PART_BYTES, &done));
	return done.bytes ? time_of(done.bytes, rate) : SCRUB_SECONDS * NS_PER_SEC;
}

/* ---- starting and stopping ---- */

enum err node_storage_start(struct call *call, struct node *n)
{
	const struct {
		chore_fn *fn;
		int64_t first_seconds;
		struct chore **ret;
	} list[] = {
		{ check_readable, READABLE_SECONDS, &n->check_readable },
		{ check_writable, WRITABLE_SECONDS, &n->check_writable },
		{ maintain, MAINTAIN_SECONDS, &n->maintain },
		{ expire, MAINTAIN_SECONDS, &n->expire },
		{ collect_garbage, 0, &n->collect_garbage },
		{ look_at_clock, 0, &n->look_at_clock },
		{ compact, COMPACT_SECONDS, &n->compact },
		{ scrub, COMPACT_SECONDS, &n->scrub },
		/* The last: it calls on the others. */
		{ recover, 0, &n->recover },
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		TRY_PLAIN(chores_add(call, n->chores, list[i].fn, n,
				     list[i].first_seconds * NS_PER_SEC, &n->cancel, list[i].ret));
	return OK;
}

void node_storage_stop(struct node *n)
{
	/* Maintenance last: the others ask for it. */
	struct chore **list[] = { &n->recover,	      &n->check_readable,  &n->expire,
				  &n->check_writable, &n->collect_garbage, &n->compact,
				  &n->scrub,	      &n->look_at_clock,   &n->maintain };

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		chores_remove(n->chores, take(list[i]));
}

void node_storage_maintain(struct node *n)
{
	if (n->maintain)
		chores_soon(n->chores, n->maintain, 0);
}

void node_storage_garbage(struct node *n)
{
	chores_soon(n->chores, n->collect_garbage, 0);
}

void node_look_at_disk(struct node *n)
{
	if (!piece_store_take_trouble(n->store))
		return;
	log_warn("the disk failed a request: checking it");
	chores_soon(n->chores, n->check_readable, 0);
	chores_soon(n->chores, n->check_writable, 0);
}
