/* What the files of the piece store share. */
#ifndef ACRE_NODE_PIECE_STORE_INTERNAL_H
#define ACRE_NODE_PIECE_STORE_INTERNAL_H

#include "node/buffers.h"
#include "node/piece_log.h"
#include "node/piece_store.h"
#include "os/lock.h"
#include "proto/proto.h"

enum { STORE_LARGE_BYTES = PIECE_STREAM_BYTES + PIECE_BULK_SLACK };
_Static_assert((int)STORE_LARGE_BYTES >= (int)LOG_RUN_BYTES, "uploads use them, too");

struct piece_store {
	struct piece_store_config config;
	char *dir, *pieces_dir;
	struct piece_log *log;
	struct piece_index *index;
	_Atomic bool recovered; /* nothing of the log is unknown */
	_Atomic enum store_state state;
	_Atomic int64_t asked_mono_ns; /* the disk was asked then and has not answered; 0 = not */
	_Atomic bool slow;
	_Atomic bool incomplete;       /* pieces are being taken over from elsewhere */
	struct compaction *compaction; /* a round under way */
	struct os_pool *readers;       /* of parts read ahead */
	/* Lock order: this one, then the index's, then the log's. */
	struct os_mutex lock;
	struct os_cond calm; /* tidying ended */
	bool tidying;	     /* somebody removes segments: retire, checkpoint and remove are one */
	uint64_t reserved;
	uint64_t new_bytes;	/* log bytes that the checkpoint on disk does not cover */
	uint64_t found_records; /* by this start */
	int64_t checkpoint_mono_ns, sweep_mono_ns;
	uint32_t scrub_segment; /* goes on there ... */
	uint64_t scrub_offset;	/* ... at this offset */
	bool trouble;
	struct buffers buffers; /* of STORE_BUFFER_BYTES, for small uploads */
	struct buffers large;	/* of STORE_LARGE_BYTES, for what does not fit */
};

/* Unix seconds of a time, rounded up, in the range of the index. */
uint32_t store_seconds(int64_t unix_ns);
uint32_t store_now(void); /* Unix seconds */
static inline uint32_t store_today(void)
{
	return store_now() / (24 * 3600);
}
bool store_long_expired(const struct piece_entry *e, uint32_t now);

/* A piece whose record is durable becomes what is read. */
enum err store_put(struct call *call, struct piece_store *s, const struct piece_entry *e) MUST_USE;
void store_entry_of(const struct piece_record *r, uint16_t satellite, uint32_t segment,
		    uint64_t offset, struct piece_entry *ret);
enum err store_measure(struct call *call, struct piece_store *s, struct piece_space *ret) MUST_USE;
/* Remembers that the disk did not do what it should. */
void store_note_trouble(struct piece_store *s, enum err e);

/* The record in the log of an entry; ret->limit points into buf (RECORD_HEADER_MAX bytes). */
enum err store_read_record(struct call *call, struct piece_store *s, const struct piece_entry *e,
			   uint8_t *buf, struct piece_record *ret) MUST_USE;
/* Writes a note (RECORD_REVIVE ...) to the log and syncs it.  Afterwards the index is changed, then
 * piece_log_append_end(a) is called. */
enum err store_write_note(struct call *call, struct piece_store *s, struct piece_record *r,
			  struct log_append *a) MUST_USE;
/* Out of the trash, durably if the disk allows; *e is the entry afterwards. */
void store_revive(struct call *call, struct piece_store *s, const struct node_id *satellite,
		  struct piece_entry *e);
/* The entry is still this very record, and its bytes are wrong: served to nobody from now on. */
enum err store_mark_damaged(struct call *call, struct piece_store *s,
			    const struct piece_entry *e) MUST_USE;

/* Limits may change at any time (piece_store_set_room). */
static inline uint64_t store_allocated(const struct piece_store *s)
{
	return __atomic_load_n(&s->config.allocated, __ATOMIC_RELAXED);
}

static inline uint64_t store_free_reserve(const struct piece_store *s)
{
	return __atomic_load_n(&s->config.free_reserve, __ATOMIC_RELAXED);
}

/* One pass over the index with a verdict on every piece. */
struct store_sweep {
	uint32_t now;
	/* Garbage: */
	const struct bloom *filter; /* NULL = none */
	uint16_t satellite;
	uint32_t created_before;
	bool forget; /* everything of the satellite */
	const struct log_loss *losses;
	size_t losses_count;
};
enum err store_sweep(struct call *call, struct piece_store *s, struct store_sweep *order,
		     struct index_swept *ret) MUST_USE;

void store_compaction_free(struct compaction *c); /* NULL is fine */
/* Removes segments that hold nothing. */
enum err store_tidy(struct call *call, struct piece_store *s) MUST_USE;

#endif
