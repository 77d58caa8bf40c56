/* What the files of the piece log share. */
#ifndef ACRE_NODE_PIECE_LOG_INTERNAL_H
#define ACRE_NODE_PIECE_LOG_INTERNAL_H

#include "node/buffers.h"
#include "node/piece_log.h"
#include "os/lock.h"

struct log_file {
	struct os_file *file;
	uint8_t key[RECORD_KEY_BYTES];
	uint32_t segment;
	bool gone; /* removed: closed as soon as nobody uses it */
	unsigned users;
	uint64_t last_use;
	struct log_file *next;
};

struct log_segment {
	uint32_t number;
	bool sealed; /* its seal record is written: never appended to again */
	bool failed; /* a write or sync failed: not appended to in this run */
	bool sync_failed;
	bool busy;    /* has a writer of its own */
	bool shared;  /* takes whole records of many writers */
	bool retired; /* holds nothing: its file is about to go */
	bool left_alone;
	uint32_t expiry_group;
	bool syncing;  /* a thread syncs it now */
	bool scanned;  /* of known size; false only between open and recover */
	uint64_t tail; /* the next record begins here */
	/* So long is its file at least; what was to be behind that found no room. */
	uint64_t written;
	uint64_t live;
	uint64_t stable;	    /* while not scanned: where the checkpoint's knowledge ends */
	uint64_t end;		    /* entries of the index lie before it */
	uint64_t durable;	    /* everything before it is synced */
	uint64_t writes, synced;    /* writes made, and how many of them a sync covers */
	struct log_append *appends; /* under way, or not yet in the index */
	struct os_cond synced_cond;
};

/* What was stored last and stays in memory: a ring of buffers.  All zero: nothing. */
enum { RECENT_SLOTS_MIN = 8, RECENT_SLOTS_MAX = 4096 };
struct recent_slot {
	uint8_t *buffer; /* of piece_log.large; NULL as long as there was no need for it */
	uint32_t segment;
	uint64_t from,
		to;    /* its bytes of the segment; the buffer begins with the block of `from` */
	unsigned pins; /* readers */
};
struct log_recent {
	struct os_mutex lock; /* guards what follows; only the buffers' is taken with it */
	struct recent_slot *slots;
	size_t count, oldest;
	int64_t kept_mono_ns; /* when something was added last */
};

struct piece_log {
	struct os_mutex lock;
	char *dir;
	struct node_id node;
	uint64_t segment_bytes;
	bool accept_loss;
	bool rebuilding; /* nothing was known when it was opened, and not all is read yet */
	struct log_segment **segments; /* rising numbers */
	size_t count, cap;
	size_t sealed; /* the first of them that may be unsealed */
	uint32_t next_number;
	uint64_t seq;
	struct log_file *files;
	unsigned files_idle;
	uint64_t clock; /* of last_use */
	uint64_t used, live;
	struct buffers *large; /* for large uploads */
	struct log_recent recent;
	struct log_loss *losses;
	size_t losses_count;
};

/* segment.c: with the lock held. */
/* Index of the first segment whose number is not lower. */
size_t log_lower_bound(const struct piece_log *log, uint32_t number);
struct log_segment *log_find_segment(struct piece_log *log, uint32_t number);
enum err log_add_segment(struct call *call, struct piece_log *log, uint32_t number,
			 struct log_segment **ret) MUST_USE;
/* Without the lock: makes a new segment file and adds it, busy. */
enum err log_new_segment(struct call *call, struct piece_log *log, uint32_t expiry_group,
			 bool shared, struct log_segment **ret) MUST_USE;
const char *log_segment_path(struct call *call, const struct piece_log *log, uint32_t number);
/* Closes the file of a removed segment, or has its last user do it. */
void log_forget_file(struct piece_log *log, uint32_t number);
/* Without the lock: makes everything written to the segment so far durable. */
enum err log_sync_segment(struct call *call, struct piece_log *log, struct log_segment *s,
			  struct log_file *f) MUST_USE;
/* Makes the header at offset unreadable: a later record of the segment will claim that everything
 * before it is durable, and an unfinished record must not come under that claim. */
enum err log_wipe_header(struct call *call, struct log_file *f, uint64_t offset) MUST_USE;

/* piece_recent.c, without the lock.  Too few bytes are none. */
enum err log_recent_new(struct call *call, struct piece_log *log, uint64_t bytes) MUST_USE;
void log_recent_fini(struct log_recent *r);
/* Adds to the append's run, and keeps each buffer that was written. */
enum err log_recent_data(struct call *call, struct piece_log *log, struct log_append *a,
			 const struct bytes *parts, size_t count) MUST_USE;
/* The append ends: its last bytes are kept, too, or all are forgotten if it was not written. */
void log_recent_end(struct piece_log *log, struct log_append *a);

#endif
