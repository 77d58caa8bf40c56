/*
 * Checkpoints: the piece index written to one file, so that a start reads the log only from where
 * the checkpoint ends.  Layout (little endian):
 *
 *	header 128 | satellites 32 each | segments 32 each | entries 56 each | trailer 64
 *
 * The trailer holds the number of entries and the BLAKE3 of everything before it: a file that is
 * not whole is not used at all, and the log is read instead.
 */
#ifndef ACRE_NODE_CHECKPOINT_H
#define ACRE_NODE_CHECKPOINT_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/call.h"
#include "identity/identity.h"
#include "node/piece_index.h"

enum {
	CHECKPOINT_VERSION = 1,
	CHECKPOINT_HEADER_BYTES = 128,
	CHECKPOINT_SEGMENT_BYTES = 32,
	CHECKPOINT_TRAILER_BYTES = 64,
	CHECKPOINT_SEGMENTS_MAX = 1 << 20,
};

struct checkpoint_segment {
	uint32_t number;
	bool sealed;
	uint64_t stable; /* every record before it is in the checkpoint (if it still counts) */
};

struct checkpoint {
	struct node_id node;
	int64_t created_unix_ns;
	uint64_t seq; /* records written later have this sequence number or a higher one */
	const struct node_id *satellites;
	size_t satellites_count;
	const struct checkpoint_segment *segments; /* rising numbers */
	size_t segments_count;
};

/* Whether a record that ends at `end` of a segment may be in the checkpoint. */
bool checkpoint_covers(const struct checkpoint *c, uint32_t segment, uint64_t end);

/* Appends the next entries (an array of struct piece_entry) to out; called until it adds none. */
typedef enum err checkpoint_next(struct call *call, void *arg, struct buf *out);
/* Writes it to path: temporary name, sync, rename, sync of the directory. */
enum err checkpoint_save(struct call *call, const char *path, const struct checkpoint *c,
			 checkpoint_next *next, void *arg) MUST_USE;

/* Where bytes are read from: a file, or memory in tests. */
struct checkpoint_source {
	enum err (*read_at)(struct call *call, void *arg, void *out, size_t cap, uint64_t offset,
			    size_t *ret_n);
	void *arg;
	uint64_t size;
};
struct os_file;
struct checkpoint_source checkpoint_source_file(struct os_file *f, uint64_t size);

/* Takes one entry of a checkpoint that is known to be whole. */
typedef enum err checkpoint_entry(struct call *call, void *arg, const struct piece_entry *e);
/* Reads the tables into `a`, then hands out every entry.  ERR_FORMAT when it is not a whole
 * checkpoint (no entry is handed out then), or when an entry names a satellite or segment that the
 * tables do not have. */
enum err checkpoint_load(struct call *call, struct arena *a, const struct checkpoint_source *source,
			 struct checkpoint *ret, checkpoint_entry *entry, void *arg) MUST_USE;

#endif
