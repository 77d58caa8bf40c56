/*
 * The piece log: append-only segment files of one storage directory.  It knows records and bytes,
 * not which record of a piece counts: that is the store's business (node/piece_store.h).
 *
 * A segment holds pieces without an end, or pieces that have all ended by the same day: its expiry
 * group.  So pieces with an end die together, and their segment goes as a whole.
 *
 * Small pieces are kept in memory by their writer and appended whole to the one segment that all
 * share.  A larger piece has a segment to itself while it is written, so that pieces are never
 * interleaved and what was cancelled is cut off again; the segment then serves the next writer.
 * Either way a record counts once its header is there, and is promised to nobody before a sync.
 * Syncs are shared: one thread syncs a segment for all who wrote to it before.
 *
 * Thread safe.  No lock is held while the disk works.
 */
#ifndef ACRE_NODE_PIECE_LOG_H
#define ACRE_NODE_PIECE_LOG_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/checkpoint.h"
#include "node/piece_record.h"
#include "os/file.h"

struct piece_log;
struct log_segment; /* private */
struct log_file;    /* an open segment file, counted */

enum {
	LOG_SEGMENT_BYTES_DEFAULT = 1 << 30, /* no further record begins beyond it */
	LOG_FILES_IDLE_MAX = 32,	     /* open files kept though nobody uses them */
	LOG_RUN_BYTES = 512 << 10, /* a larger piece goes to the disk in writes of this size */
};

struct piece_log_config {
	const char *dir; /* of the segment files; exists */
	struct node_id node;
	uint64_t segment_bytes; /* 0 = LOG_SEGMENT_BYTES_DEFAULT */
	bool accept_loss;	/* open although segments are missing, short or damaged */
	struct buffers *large;	/* of at least LOG_RUN_BYTES; borrowed */
	uint64_t recent_bytes;	/* of large pieces stored last, so many stay in memory */
};

/* Opens the directory.  `known` is what the index has taken in.  ERR_DATA_LOSS when a segment is
 * missing, shorter than known or damaged, or of another node (ERR_PRECONDITION).  Segments of which
 * not everything is known can be read at once; they are not written to before piece_log_recover. */
enum err piece_log_open(struct call *call, const struct piece_log_config *config,
			const struct checkpoint *known, struct piece_log **ret) MUST_USE;
void piece_log_close(struct piece_log *log); /* NULL is fine; nobody may be using it */

/* Visits every record that is not yet taken in, in each segment from the front.  May run beside
 * everything else.  What a crash left unfinished is skipped and cut off.
 * whole false: the bytes of the piece are not those of its hash.  Either it was never acknowledged,
 * or the disk damaged it: *ret_claimed true says that the index has this very record. */
typedef enum err log_visit(struct call *call, void *arg, const struct piece_record *r,
			   uint32_t segment, uint64_t offset, bool whole, bool *ret_claimed);
enum err piece_log_recover(struct call *call, struct piece_log *log, log_visit *visit,
			   void *arg) MUST_USE;
/* Whether there is anything to recover. */
bool piece_log_recovered(struct piece_log *log);
/* Whether bytes [0, end) of the segment are there. */
bool piece_log_has(struct piece_log *log, uint32_t segment, uint64_t end);
/* Segments that were known and are missing or too short (only with accept_loss): of segment i only
 * the first end bytes are left.  Borrowed. */
struct log_loss {
	uint32_t segment;
	uint64_t end;
};
const struct log_loss *piece_log_losses(const struct piece_log *log, size_t *ret_count);

/* The day (since 1970) by which pieces with this end have ended and are collected; 0 = never.
 * Near days stand for themselves, later ones for a span, so that there are few groups. */
uint32_t piece_log_group(int64_t expiration_unix_ns, int64_t now_unix_ns);

/* A record being appended.  Zeroed before its first use; belongs to one thread. */
struct log_append {
	struct log_segment *segment;
	struct log_file *file;
	uint32_t number; /* of the segment */
	uint64_t offset; /* of the record */
	uint64_t header_len;
	uint64_t size;	   /* piece bytes taken so far */
	struct os_run run; /* an exclusive one's way to the disk past the page cache */
	bool recent;	   /* its bytes stay in memory for a while */
	bool exclusive, written;
	struct log_append *next;
};

/* Either a whole record at once ...  (r->seq is given here, unless it is a copy: moves != 0.) */
enum err piece_log_append_whole(struct call *call, struct piece_log *log, struct log_append *a,
				struct piece_record *r, struct bytes data) MUST_USE;
/* ... or begin, data ..., finish.  limit_len and expiration are those of the record to come;
 * `recent`: somebody may want to read it soon. */
enum err piece_log_append_begin(struct call *call, struct piece_log *log, struct log_append *a,
				size_t limit_len, int64_t expiration_unix_ns, bool recent) MUST_USE;
enum err piece_log_append_data(struct call *call, struct piece_log *log, struct log_append *a,
			       const struct bytes *parts, size_t count) MUST_USE;
enum err piece_log_append_finish(struct call *call, struct piece_log *log, struct log_append *a,
				 struct piece_record *r) MUST_USE;
/* Waits until what was appended would survive a power cut.  After a failure the segment takes no
 * more records (what the kernel lost it may report only once). */
enum err piece_log_sync(struct call *call, struct piece_log *log, struct log_append *a) MUST_USE;
/* Ends the append in whatever state it is; not finished means cancelled.  After success it is
 * called when the record is in the index: until then a checkpoint does not count it as covered. */
void piece_log_append_end(struct call *call, struct piece_log *log, struct log_append *a);

/* Reading.  A pinned file stays readable whatever happens to the segment. */
enum err piece_log_pin(struct call *call, struct piece_log *log, uint32_t segment,
		       struct log_file **ret) MUST_USE;
void piece_log_unpin(struct piece_log *log, struct log_file *f); /* NULL is fine */
/* Exactly n bytes, or ERR_DATA_LOSS. */
enum err piece_log_read(struct call *call, struct log_file *f, void *out, size_t n,
			uint64_t offset) MUST_USE;
/* At least n bytes from offset on, in `buffer` of cap bytes from os_file_buffer: read in whole
 * blocks. n is at most cap - 2 * OS_FILE_BLOCK. */
enum err piece_log_read_bulk(struct call *call, struct log_file *f, uint8_t *buffer, size_t cap,
			     size_t n, uint64_t offset, struct bytes *ret) MUST_USE;
/* Bytes of the segment from offset on that are still in memory since they were written, at most n:
 * a view until piece_log_recent_done(slot).  *slot says where to look first.  False: none. */
bool piece_log_recent(struct piece_log *log, uint32_t segment, uint64_t offset, size_t n,
		      size_t *slot, struct bytes *ret);
void piece_log_recent_done(struct piece_log *log, size_t slot);
/* Gives that memory back when nothing has come for long; called from time to time. */
void piece_log_recent_slim(struct piece_log *log);
/* The record header at offset; ret->limit points into buf (RECORD_HEADER_MAX bytes). */
enum err piece_log_read_record(struct call *call, struct log_file *f, uint64_t offset, uint8_t *buf,
			       struct piece_record *ret) MUST_USE;

/* Accounting: bytes of a segment that belong to pieces in the index, which lie before `end`. */
void piece_log_add_live(struct piece_log *log, uint32_t segment, int64_t bytes, uint64_t end);
struct piece_log_space {
	uint64_t segments; /* files */
	uint64_t used;	   /* bytes of all segments, headers included */
	uint64_t live;	   /* of pieces in the index, also those in the trash */
	uint64_t ended;	   /* of live: in segments whose pieces have all ended (before `today`) */
};
void piece_log_space(struct piece_log *log, uint32_t today, struct piece_log_space *ret);

/* Marks full segments as complete; called from time to time. */
enum err piece_log_seal_full(struct call *call, struct piece_log *log) MUST_USE;
/* What a checkpoint begun now may claim: fills c->segments (in `a`), c->seq, c->next_segment.
 * Waits for nothing. */
enum err piece_log_stable(struct call *call, struct piece_log *log, struct arena *a,
			  struct checkpoint *c) MUST_USE;

/* Segments in order, for compaction and scrubbing: the first whose number is not below `from`.
 * False when there is none. */
struct log_segment_info {
	uint32_t number, expiry_group;
	bool complete; /* nobody writes to it, and nothing of it is unknown */
	bool sealed;
	bool left_alone; /* holds what cannot be copied */
	uint64_t bytes, live;
};
bool piece_log_segment(struct piece_log *log, uint32_t from, struct log_segment_info *ret);
uint32_t piece_log_next_number(struct piece_log *log); /* of the next new one */

void piece_log_leave_alone(struct piece_log *log, uint32_t segment);

/* Removal, in three steps, so that a start never misses a segment or takes a dead one in again:
 * retire what holds nothing (false = there is nothing of the kind); write a checkpoint, which says
 * so; remove the files.  One thread at a time does all three. */
bool piece_log_retire(struct piece_log *log, uint32_t today);
enum err piece_log_remove_retired(struct call *call, struct piece_log *log) MUST_USE;

/* Reads the records of one segment from the front: *pos is where to look, and afterwards behind
 * what was found.  Bytes that are no record are passed over; *ret_gap says how many were. */
struct log_scan;
enum err piece_log_scan_begin(struct call *call, struct piece_log *log, uint32_t segment,
			      struct log_scan **ret) MUST_USE;
void piece_log_scan_end(struct log_scan *s); /* NULL is fine */
enum err piece_log_scan_next(struct call *call, struct log_scan *s, uint64_t *pos,
			     struct piece_record *ret, uint64_t *ret_offset,
			     bool *ret_found) MUST_USE;
/* Whether the bytes of a piece are those of its record; ret_record's limit is void afterwards. */
enum err piece_log_scan_check(struct call *call, struct log_scan *s, const struct piece_record *r,
			      uint64_t offset, bool *ret_whole) MUST_USE;

#endif
