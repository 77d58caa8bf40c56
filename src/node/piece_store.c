/* Opening, space, checkpoints: what the store decides.  Writers and readers are in piece_io.c. */
#include "node/piece_store.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/pool.h"
#include "os/random.h"

enum {
	CHECKPOINT_LOG_BYTES = 64 << 20, /* new log bytes that a start may have to read */
	CHECKPOINT_SECONDS = 300,
	PROBE_BYTES = 4096,
	READERS_MAX = 4, /* threads that read ahead, and parts that wait for them */
};

uint32_t store_seconds(int64_t unix_ns)
{
	int64_t s = unix_ns / NS_PER_SEC + (unix_ns % NS_PER_SEC > 0);

	return s < 1 ? 1 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

uint32_t store_now(void)
{
	return store_seconds(os_clock_unix_ns());
}

bool store_long_expired(const struct piece_entry *e, uint32_t now)
{
	return e->expires_at && now > (uint64_t)e->expires_at + STORE_EXPIRY_GRACE_SECONDS;
}

enum err store_put(struct call *call, struct piece_store *s, const struct piece_entry *e)
{
	TRY_PLAIN(piece_index_put(call, s->index, e));
	OS_LOCKED(&s->lock);
	s->new_bytes += piece_entry_len(e);
	return OK;
}

void store_entry_of(const struct piece_record *r, uint16_t satellite, uint32_t segment,
		    uint64_t offset, struct piece_entry *ret)
{
	*ret = (struct piece_entry){
		.id = r->piece,
		.segment = segment,
		.offset64 = (uint32_t)(offset / RECORD_ALIGN),
		.size = (uint32_t)r->size,
		.stored_at = store_seconds(r->stored_unix_ns),
		.expires_at = r->expiration_unix_ns == TIME_NONE
				      ? 0
				      : store_seconds(r->expiration_unix_ns),
		.satellite = satellite,
		.header64 = (uint8_t)(record_header_len(r->limit.len) / RECORD_ALIGN),
	};
}

enum err store_read_record(struct call *call, struct piece_store *s, const struct piece_entry *e,
			   uint8_t *buf, struct piece_record *ret)
{
	struct log_file *f = NULL;

	TRY_PLAIN(piece_log_pin(call, s->log, e->segment, &f));
	enum err err = piece_log_read_record(call, f, piece_entry_offset(e), buf, ret);
	piece_log_unpin(s->log, f);
	return err;
}

enum err store_write_note(struct call *call, struct piece_store *s, struct piece_record *r,
			  struct log_append *a)
{
	r->algorithm = HASH_BLAKE3;
	r->expiration_unix_ns = TIME_NONE;
	if (!r->stored_unix_ns)
		r->stored_unix_ns = os_clock_unix_ns();
	TRY_PLAIN(piece_log_append_whole(call, s->log, a, r, BYTES_NONE));
	TRY_PLAIN(piece_log_sync(call, s->log, a));
	OS_LOCKED(&s->lock);
	s->new_bytes += RECORD_FIXED_BYTES;
	return OK;
}

/* ---- opening ---- */

static void add_live(void *arg, uint32_t segment, int64_t bytes, uint64_t end)
{
	struct piece_store *s = arg;

	piece_log_add_live(s->log, segment, bytes, end);
}

static enum err snapshot(struct call *call, void *arg, struct arena *a, struct checkpoint *c)
{
	struct piece_store *s = arg;

	TRY_PLAIN(piece_log_stable(call, s->log, a, c));
	c->scrub_segment = __atomic_load_n(&s->scrub_segment, __ATOMIC_RELAXED);
	return OK;
}

static void full_soon(void *arg)
{
	struct piece_store *s = arg;

	if (s->config.wake)
		s->config.wake(s->config.arg);
}

static enum err make_dirs(struct call *call, struct piece_store *s)
{
	const char *index = os_path_join(call, s->config.dir, "index");
	const char *pieces = os_path_join(call, s->config.dir, "pieces");

	TRY_PLAIN(os_dir_make(call, index, false));
	TRY_PLAIN(os_dir_make(call, pieces, false));
	TRY_PLAIN(os_dir_sync(call, s->config.dir));
	s->dir = strdup(s->config.dir);
	s->pieces_dir = strdup(pieces);
	if (!s->dir || !s->pieces_dir)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

/* Forgets pieces in segments that are gone or cut short: only when the operator said so. */
static enum err drop_lost(struct call *call, struct piece_store *s)
{
	struct store_sweep order = { .now = store_now() };
	struct index_swept swept;

	order.losses = piece_log_losses(s->log, &order.losses_count);
	if (!order.losses_count)
		return OK;
	TRY_PLAIN(store_sweep(call, s, &order, &swept));
	log_error("pieces are lost with their segments", F_U64("pieces", swept.dropped));
	return OK;
}

static enum err open_parts(struct call *call, struct piece_store *s)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct checkpoint known = { 0 };

	call_init(&own);
	TRY_PLAIN(make_dirs(call, s));
	TRY_PLAIN(os_pool_new(call, "read", READERS_MAX, READERS_MAX, &s->readers));
	struct piece_index_config index_config = {
		.dir = os_path_join(call, s->dir, "index"),
		.node = s->config.node,
		.memory = s->config.index_memory,
		.add_live = add_live,
		.snapshot = snapshot,
		.full_soon = full_soon,
		.arg = s,
	};
	TRY_PLAIN(piece_index_open(call, &index_config, &own.scratch, &known, &s->index));
	struct piece_log_config log_config = {
		.dir = s->pieces_dir,
		.node = s->config.node,
		.segment_bytes = s->config.segment_bytes,
		.accept_loss = s->config.accept_loss,
		.large = &s->large,
		.recent_bytes = s->config.recent_bytes,
	};
	TRY_PLAIN(piece_log_open(call, &log_config, &known, &s->log));
	s->scrub_segment = known.scrub_segment;
	s->checkpoint_mono_ns = os_clock_mono_ns();
	s->recovered = piece_log_recovered(s->log);
	return drop_lost(call, s);
}

static void free_store(struct piece_store *s)
{
	os_pool_free(s->readers);
	store_compaction_free(s->compaction);
	piece_log_close(s->log);
	piece_index_close(s->index);
	buffers_fini(&s->buffers);
	buffers_fini(&s->large);
	os_cond_fini(&s->calm);
	os_mutex_fini(&s->lock);
	free(s->dir);
	free(s->pieces_dir);
	free(s);
}

enum err piece_store_open(struct call *call, const struct piece_store_config *config,
			  struct piece_store **ret)
{
	struct piece_store *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	s->config = *config;
	buffers_init(&s->buffers, STORE_BUFFER_BYTES);
	buffers_init(&s->large, STORE_LARGE_BYTES);
	enum err e = open_parts(call, s);
	if (e) {
		free_store(s);
		return e;
	}
	s->config.dir = s->dir;
	*ret = s;
	return OK;
}

void piece_store_close(struct call *call, struct piece_store *s)
{
	if (!s)
		return;
	if (s->new_bytes || s->found_records) {
		enum err e = piece_store_checkpoint(call, s);
		if (e)
			log_warn("no checkpoint at the end; the next start reads the log",
				 F_STR("why", call_error(call, e)));
	}
	free_store(s);
}

bool piece_store_recovered(const struct piece_store *s)
{
	return s->recovered;
}

/* ---- space ---- */

enum err store_measure(struct call *call, struct piece_store *s, struct piece_space *ret)
{
	struct piece_log_space log;
	struct index_status index;
	uint64_t disk_free = 0, total = 0;

	TRY_PLAIN(os_space(call, s->dir, &disk_free, &total));
	piece_log_space(s->log, store_today(), &log);
	piece_index_status(s->index, &index);

	OS_LOCKED(&s->lock);
	uint64_t taken = log.used + s->reserved;
	uint64_t allocated = store_allocated(s);
	uint64_t of_allocated = allocated > taken ? allocated - taken : 0;
	/* A merge needs room for the next index table beside this one. */
	uint64_t kept = store_free_reserve(s) + s->reserved + index.file_bytes;
	uint64_t of_disk = disk_free > kept ? disk_free - kept : 0;
	/* The two are not read at one moment. */
	uint64_t taken_by_pieces = index.figures.bytes + index.figures.trash_bytes;
	*ret = (struct piece_space){
		.pieces = index.figures.pieces,
		.used = log.used,
		.live = index.figures.bytes,
		.trash = index.figures.trash_bytes,
		.dead = log.used > taken_by_pieces ? log.used - taken_by_pieces : 0,
		.trash_pieces = index.figures.trash_pieces,
		.damaged = index.figures.damaged,
		.index = index.file_bytes,
		.reserved = s->reserved,
		.disk_free = disk_free,
		.available = piece_store_state(s) == STORE_READY ? MIN(of_allocated, of_disk) : 0,
	};
	return OK;
}

enum err piece_store_space(struct call *call, struct piece_store *s, struct piece_space *ret)
{
	return store_measure(call, s, ret);
}

void piece_store_set_state(struct piece_store *s, enum store_state state)
{
	s->state = state;
}

void piece_store_set_incomplete(struct piece_store *s, bool incomplete)
{
	s->incomplete = incomplete;
}

void piece_store_set_room(struct piece_store *s, uint64_t allocated, uint64_t free_reserve)
{
	__atomic_store_n(&s->config.allocated, allocated, __ATOMIC_RELAXED);
	__atomic_store_n(&s->config.free_reserve, free_reserve, __ATOMIC_RELAXED);
}

enum store_state piece_store_state(const struct piece_store *s)
{
	int64_t since = s->asked_mono_ns;

	if (s->slow || (since && os_clock_mono_ns() - since > STORE_SLOW_SECONDS * NS_PER_SEC))
		return STORE_OFFLINE;
	return s->state;
}

void piece_store_disk_asked(struct piece_store *s)
{
	s->asked_mono_ns = os_clock_mono_ns();
}

void piece_store_disk_answered(struct piece_store *s)
{
	s->slow = os_clock_mono_ns() - s->asked_mono_ns > STORE_SLOW_SECONDS * NS_PER_SEC;
	s->asked_mono_ns = 0;
}

/* Any segment, any block: what the page cache has says nothing about the disk. */
enum err piece_store_probe(struct call *call, struct piece_store *s)
{
	struct log_segment_info info = { 0 };
	struct log_file *f = NULL;
	struct bytes got;

	uint32_t end = piece_log_next_number(s->log);
	if (!piece_log_segment(s->log, (uint32_t)os_random_below(end), &info) &&
	    !piece_log_segment(s->log, 0, &info))
		return OK;
	AUTO_FREE uint8_t *buffer = os_file_buffer(PROBE_BYTES + PIECE_BULK_SLACK);
	if (!buffer)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(piece_log_pin(call, s->log, info.number, &f));
	uint64_t blocks = info.bytes / PROBE_BYTES;
	enum err e = blocks ? piece_log_read_bulk(call, f, buffer, PROBE_BYTES + PIECE_BULK_SLACK,
						  PROBE_BYTES,
						  os_random_below(blocks) * PROBE_BYTES, &got)
			    : OK;
	piece_log_unpin(s->log, f);
	return e;
}

bool piece_store_index_damaged(struct piece_store *s)
{
	struct index_status index;

	piece_index_status(s->index, &index);
	return index.damaged || index.broken;
}

bool piece_store_satellite(struct piece_store *s, size_t i, struct index_satellite *ret)
{
	return piece_index_satellite_status(s->index, i, ret);
}

bool piece_store_take_trouble(struct piece_store *s)
{
	OS_LOCKED(&s->lock);
	bool trouble = s->trouble;

	s->trouble = false;
	return trouble;
}

void store_note_trouble(struct piece_store *s, enum err e)
{
	if (e != ERR_IO && e != ERR_DATA_LOSS && e != ERR_NOT_FOUND && e != ERR_PERMISSION)
		return;
	OS_LOCKED(&s->lock);

	s->trouble = true;
}

/* ---- chores ---- */

/* What was new when a checkpoint began is covered by it when it succeeds. */
static void note_checkpoint(struct piece_store *s, uint64_t covered, uint64_t found)
{
	OS_LOCKED(&s->lock);

	s->new_bytes -= MIN(covered, s->new_bytes);
	s->found_records -= MIN(found, s->found_records);
	s->checkpoint_mono_ns = os_clock_mono_ns();
}

enum err piece_store_checkpoint(struct call *call, struct piece_store *s)
{
	os_mutex_lock(&s->lock);
	uint64_t covered = s->new_bytes, found = s->found_records;
	os_mutex_unlock(&s->lock);
	TRY_PLAIN(piece_index_checkpoint(call, s->index));
	note_checkpoint(s, covered, found);
	return OK;
}

static enum err merge(struct call *call, struct piece_store *s)
{
	struct index_swept swept;

	os_mutex_lock(&s->lock);
	uint64_t covered = s->new_bytes, found = s->found_records;
	os_mutex_unlock(&s->lock);
	TRY_PLAIN(piece_index_merge(call, s->index, NULL, NULL, &swept));
	note_checkpoint(s, covered, found);
	return OK;
}

static enum err begin_tidy(struct call *call, struct piece_store *s)
{
	OS_LOCKED(&s->lock);

	while (s->tidying)
		TRY_PLAIN(os_cond_wait(call, &s->calm, &s->lock));
	s->tidying = true;
	return OK;
}

static void end_tidy(struct piece_store *s, enum err e)
{
	OS_LOCKED(&s->lock);

	s->tidying = false;
	os_cond_broadcast(&s->calm);
}

enum err store_tidy(struct call *call, struct piece_store *s)
{
	enum err e = OK;

	TRY_PLAIN(begin_tidy(call, s));
	if (piece_log_retire(s->log, store_today())) {
		e = piece_store_checkpoint(call, s);
		if (!e)
			e = piece_log_remove_retired(call, s->log);
	}
	end_tidy(s, e);
	return e;
}

enum err piece_store_maintain(struct call *call, struct piece_store *s)
{
	struct index_status index;

	buffers_slim(&s->buffers);
	buffers_slim(&s->large);
	piece_log_recent_slim(s->log);
	TRY_PLAIN(piece_log_seal_full(call, s->log));
	TRY_PLAIN(store_tidy(call, s));
	piece_index_status(s->index, &index);
	if (index.changes >= index.changes_max / 4 * 3)
		return merge(call, s);
	os_mutex_lock(&s->lock);
	int64_t age = os_clock_mono_ns() - s->checkpoint_mono_ns;
	/* So that checkpoints stay a small part of what is written. */
	uint64_t enough = MAX((uint64_t)CHECKPOINT_LOG_BYTES,
			      (uint64_t)index.changes * PIECE_ENTRY_BYTES * 16);
	bool due = s->new_bytes >= enough ||
		   (s->new_bytes && age >= CHECKPOINT_SECONDS * NS_PER_SEC);
	os_mutex_unlock(&s->lock);
	return due ? piece_store_checkpoint(call, s) : OK;
}
