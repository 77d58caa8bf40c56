/* Index, accounts, checkpoints: what the store decides.  Writers and readers are in piece_io.c. */
#include "node/piece_store.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"

enum {
	CHECKPOINT_LOG_BYTES = 256 << 20, /* new log bytes that a start may have to read */
	CHECKPOINT_SECONDS = 3600,
	EXPIRY_GRACE_SECONDS = 3600,
};

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

/* Unix seconds of a time, rounded up, in the range of the index. */
static uint32_t seconds_up(int64_t unix_ns)
{
	int64_t s = unix_ns / NS_PER_SEC + (unix_ns % NS_PER_SEC > 0);

	return s < 1 ? 1 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static bool long_expired(uint32_t expires_at)
{
	return expires_at &&
	       os_clock_unix_ns() / NS_PER_SEC > (int64_t)expires_at + EXPIRY_GRACE_SECONDS;
}

enum err store_satellite(struct call *call, struct piece_store *s, const struct node_id *id,
			 uint16_t *ret)
{
	for (size_t i = 0; i < s->satellites_count; i++)
		if (node_id_equal(&s->satellites[i], id)) {
			*ret = (uint16_t)i;
			return OK;
		}
	if (s->satellites_count == INDEX_SATELLITES_MAX)
		return call_fail(call, ERR_EXHAUSTED, "pieces of too many satellites");
	s->satellites[s->satellites_count] = *id;
	*ret = (uint16_t)s->satellites_count++;
	return OK;
}

bool store_find_satellite(const struct piece_store *s, const struct node_id *id, uint16_t *ret)
{
	for (size_t i = 0; i < s->satellites_count; i++)
		if (node_id_equal(&s->satellites[i], id)) {
			*ret = (uint16_t)i;
			return true;
		}
	return false;
}

static void account(struct piece_store *s, const struct piece_entry *e, int sign)
{
	piece_log_add_live(s->log, e->segment, sign * (int64_t)piece_entry_len(e));
	if (e->expires_at)
		s->expiring += (uint64_t)(int64_t)sign;
}

enum err store_put(struct call *call, struct piece_store *s, const struct piece_entry *e)
{
	struct piece_entry old;
	bool had = false;

	TRY_PLAIN(piece_index_put(call, s->index, e, &had, &old));
	if (had)
		account(s, &old, -1);
	account(s, e, 1);
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
		.stored_at = seconds_up(r->stored_unix_ns),
		.expires_at =
			r->expiration_unix_ns == TIME_NONE ? 0 : seconds_up(r->expiration_unix_ns),
		.satellite = satellite,
		.header64 = (uint8_t)(record_header_len(r->limit.len) / RECORD_ALIGN),
	};
}

/* ---- opening ---- */

/* While loading: entries are put into the index at once, accounts follow when the log is open. */
static enum err load_entry(struct call *call, void *arg, const struct piece_entry *e)
{
	struct piece_store *s = arg;

	if (long_expired(e->expires_at))
		return OK;
	return piece_index_put(call, s->index, e, NULL, NULL);
}

/* A checkpoint that cannot be used is only a slower start: the log says it all. */
static enum err load_checkpoint(struct call *call, struct piece_store *s, struct arena *a,
				struct checkpoint *c)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	uint64_t size = 0;
	enum err e = os_file_open(call, s->checkpoint_path, OS_FILE_READ, &f);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	TRY_PLAIN(os_file_size(call, f, &size));
	struct checkpoint_source source = checkpoint_source_file(f, size);
	e = checkpoint_load(call, a, &source, c, load_entry, s);
	if (!e && !node_id_equal(&c->node, &s->config.node))
		return call_fail(call, ERR_PRECONDITION, "%s belongs to another node",
				 s->checkpoint_path);
	if (e == ERR_FORMAT) {
		log_warn("reading the whole piece log instead", F_STR("why", call_error(call, e)));
		call_clear_error(call);
		piece_index_free(take(&s->index));
		*c = (struct checkpoint){ 0 };
		return piece_index_new(call, &s->index);
	}
	TRY(e, "%s", s->checkpoint_path);
	for (size_t i = 0; i < c->satellites_count; i++)
		s->satellites[i] = c->satellites[i];
	s->satellites_count = c->satellites_count;
	return OK;
}

/* Accounts for what the checkpoint brought; drops what lies in segments that are gone, which only
 * happens when the operator said so. */
static enum err account_loaded(struct call *call, struct piece_store *s)
{
	AUTO_BUF struct buf some = BUF_INIT(STORE_SHARD_BYTES_MAX);
	uint64_t lost = 0;

	for (unsigned shard = 0; shard < INDEX_SHARDS; shard++) {
		buf_clear(&some);
		TRY_PLAIN(piece_index_shard(call, s->index, shard, &some));
		for (size_t at = 0; at < some.len; at += sizeof(struct piece_entry)) {
			struct piece_entry e;
			memcpy(&e, some.data + at, sizeof(e));
			if (piece_log_has(s->log, e.segment,
					  piece_entry_offset(&e) + piece_entry_len(&e)))
				account(s, &e, 1);
			else
				lost += piece_index_remove(s->index, &e);
		}
	}
	if (lost)
		log_error("pieces are lost with their segments", F_U64("pieces", lost));
	return OK;
}

/* Of two records of one piece the one written later counts. */
static enum err is_newer(struct call *call, struct piece_store *s, const struct piece_record *r,
			 const struct piece_entry *have, bool *ret)
{
	struct log_file *f = NULL;
	uint8_t head[RECORD_HEADER_MAX];
	struct piece_record other;

	TRY_PLAIN(piece_log_pin(call, s->log, have->segment, &f));
	enum err e = piece_log_read_record(call, f, piece_entry_offset(have), head, &other);
	piece_log_unpin(s->log, f);
	TRY_PLAIN(e);
	*ret = r->seq > other.seq;
	return OK;
}

static enum err visit_record(struct call *call, void *arg, const struct piece_record *r,
			     uint32_t segment, uint64_t offset)
{
	struct piece_store *s = arg;
	struct piece_entry e, have;
	struct piece_key key = { .id = r->piece };
	bool newer = true;

	TRY_PLAIN(store_satellite(call, s, &r->satellite, &key.satellite));
	store_entry_of(r, key.satellite, segment, offset, &e);
	s->recovered++;
	if (piece_index_find(call, s->index, &key, &have) == OK) {
		if (memcmp(&have, &e, sizeof(e)) == 0)
			newer = false;
		else
			TRY_PLAIN(is_newer(call, s, r, &have, &newer));
	}
	if (newer && !long_expired(e.expires_at))
		TRY_PLAIN(store_put(call, s, &e));
	if (s->config.recovered)
		TRY_PLAIN(s->config.recovered(call, s->config.recovered_arg, r));
	return OK;
}

static enum err make_dirs(struct call *call, struct piece_store *s)
{
	const char *index = os_path_join(call, s->config.dir, "index");
	const char *pieces = os_path_join(call, s->config.dir, "pieces");
	const char *path = os_path_join(call, index, "checkpoint");

	TRY_PLAIN(os_dir_make(call, index, false));
	TRY_PLAIN(os_dir_make(call, pieces, false));
	TRY_PLAIN(os_dir_sync(call, s->config.dir));
	s->dir = strdup(s->config.dir);
	s->pieces_dir = strdup(pieces);
	s->checkpoint_path = strdup(path);
	if (!s->dir || !s->pieces_dir || !s->checkpoint_path)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

static enum err open_parts(struct call *call, struct piece_store *s)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct checkpoint c = { 0 };

	call_init(&own);
	TRY_PLAIN(make_dirs(call, s));
	TRY_PLAIN(piece_index_new(call, &s->index));
	TRY_PLAIN(load_checkpoint(call, s, &own.scratch, &c));
	struct piece_log_config log_config = {
		.dir = s->pieces_dir,
		.node = s->config.node,
		.segment_bytes = s->config.segment_bytes,
		.accept_loss = s->config.accept_loss,
	};
	TRY_PLAIN(piece_log_open(call, &log_config, &c, &s->log));
	TRY_PLAIN(account_loaded(call, s));
	TRY_PLAIN(piece_log_recover(call, s->log, visit_record, s));
	s->checkpoint_mono_ns = os_clock_mono_ns();
	if (s->recovered)
		log_info("pieces found beyond the last checkpoint", F_U64("records", s->recovered));
	return OK;
}

static void free_store(struct piece_store *s)
{
	piece_log_close(s->log);
	piece_index_free(s->index);
	for (unsigned i = 0; i < s->buffers_idle; i++)
		free(s->buffers[i]);
	os_mutex_fini(&s->lock);
	free(s->dir);
	free(s->pieces_dir);
	free(s->checkpoint_path);
	free(s);
}

enum err piece_store_open(struct call *call, const struct piece_store_config *config,
			  struct piece_store **ret)
{
	struct piece_store *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	s->config = *config;
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
	if (s->new_bytes || s->recovered) {
		enum err e = piece_store_checkpoint(call, s);
		if (e)
			log_warn("no checkpoint at the end; the next start reads the log",
				 F_STR("why", call_error(call, e)));
	}
	free_store(s);
}

/* ---- space ---- */

enum err store_measure(struct call *call, struct piece_store *s, struct piece_space *ret)
{
	struct piece_log_space log;
	uint64_t disk_free = 0, total = 0;

	TRY_PLAIN(os_space(call, s->dir, &disk_free, &total));
	piece_log_space(s->log, &log);

	OS_LOCKED(&s->lock);
	uint64_t taken = log.used + s->reserved;
	uint64_t of_allocated = s->config.allocated > taken ? s->config.allocated - taken : 0;
	uint64_t kept = s->config.free_reserve + s->reserved;
	uint64_t of_disk = disk_free > kept ? disk_free - kept : 0;
	*ret = (struct piece_space){
		.pieces = piece_index_count(s->index),
		.used = log.used,
		.live = log.live,
		.dead = log.used - log.live,
		.reserved = s->reserved,
		.disk_free = disk_free,
		.available = MIN(of_allocated, of_disk),
	};
	return OK;
}

enum err piece_store_space(struct call *call, struct piece_store *s, struct piece_space *ret)
{
	return store_measure(call, s, ret);
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

struct walk {
	struct piece_store *store;
	const struct checkpoint *checkpoint;
	unsigned shard;
};

/* Leaves only entries that the tables of the checkpoint know.  The others came while it was being
 * written, and will be read from the log once more. */
static void keep_known(const struct checkpoint *c, struct buf *entries)
{
	size_t kept = 0;

	for (size_t at = 0; at < entries->len; at += sizeof(struct piece_entry)) {
		struct piece_entry e;
		memcpy(&e, entries->data + at, sizeof(e));
		if (e.satellite >= c->satellites_count ||
		    !checkpoint_covers(c, e.segment, piece_entry_offset(&e) + piece_entry_len(&e)))
			continue;
		memcpy(entries->data + kept, &e, sizeof(e));
		kept += sizeof(e);
	}
	entries->len = kept;
}

static enum err next_entries(struct call *call, void *arg, struct buf *out)
{
	struct walk *w = arg;

	while (!out->len && w->shard < INDEX_SHARDS) {
		os_mutex_lock(&w->store->lock);
		enum err e = piece_index_shard(call, w->store->index, w->shard++, out);
		os_mutex_unlock(&w->store->lock);
		TRY_PLAIN(e);
		keep_known(w->checkpoint, out);
	}
	return OK;
}

enum err piece_store_checkpoint(struct call *call, struct piece_store *s)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct checkpoint c = { .node = s->config.node, .created_unix_ns = os_clock_unix_ns() };
	struct walk w = { .store = s, .checkpoint = &c };

	call_init_child(&own, call);
	/* First what the checkpoint will claim, then the entries. */
	os_mutex_lock(&s->lock);
	uint64_t covered = s->new_bytes;
	c.satellites = s->satellites;
	c.satellites_count = s->satellites_count;
	os_mutex_unlock(&s->lock);
	enum err e = piece_log_stable(&own, s->log, &own.scratch, &c);
	if (!e)
		e = checkpoint_save(&own, s->checkpoint_path, &c, next_entries, &w);
	if (e) {
		call_copy_error(call, &own);
		return call_wrap(call, e, "checkpoint");
	}
	os_mutex_lock(&s->lock);
	s->new_bytes -= covered;
	s->recovered = 0;
	s->checkpoint_mono_ns = os_clock_mono_ns();
	os_mutex_unlock(&s->lock);
	return OK;
}

enum err piece_store_maintain(struct call *call, struct piece_store *s)
{
	TRY_PLAIN(piece_log_seal_full(call, s->log));
	os_mutex_lock(&s->lock);
	int64_t age = os_clock_mono_ns() - s->checkpoint_mono_ns;
	/* A large index is written less often, so that checkpoints stay a small part of writing. */
	uint64_t enough = MAX((uint64_t)CHECKPOINT_LOG_BYTES,
			      piece_index_count(s->index) * INDEX_ENTRY_BYTES * 8);
	bool due = s->new_bytes >= enough ||
		   (s->new_bytes && age >= CHECKPOINT_SECONDS * NS_PER_SEC);
	os_mutex_unlock(&s->lock);
	return due ? piece_store_checkpoint(call, s) : OK;
}

enum err piece_store_expire(struct call *call, struct piece_store *s, uint64_t *ret_count)
{
	AUTO_BUF struct buf some = BUF_INIT(STORE_SHARD_BYTES_MAX);
	uint64_t count = 0;

	os_mutex_lock(&s->lock);
	bool any = s->expiring != 0;
	os_mutex_unlock(&s->lock);
	for (unsigned shard = 0; any && shard < INDEX_SHARDS; shard++) {
		OS_LOCKED(&s->lock);
		buf_clear(&some);
		TRY_PLAIN(piece_index_shard(call, s->index, shard, &some));
		for (size_t at = 0; at < some.len; at += sizeof(struct piece_entry)) {
			struct piece_entry e;
			memcpy(&e, some.data + at, sizeof(e));
			if (!long_expired(e.expires_at) || !piece_index_remove(s->index, &e))
				continue;
			account(s, &e, -1);
			count++;
		}
	}
	*ret_count = count;
	return OK;
}
