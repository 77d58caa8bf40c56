/*
 * What the index on disk knows: the satellites with their figures, and how far each segment of the
 * log has been taken in.  This block is at the end of every index table (node/piece_table.h) and at
 * the front of the checkpoint file, which holds the entries that are newer than the table.
 *
 * The checkpoint file (little endian):
 *
 *	head 16 (magic, length of the block) | block | entries 60 each | count 8 | BLAKE3 32
 *
 * The hash covers everything before it: a file that is not whole is not used at all.
 */
#ifndef ACRE_NODE_CHECKPOINT_H
#define ACRE_NODE_CHECKPOINT_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/call.h"
#include "identity/identity.h"
#include "node/piece_entry.h"

enum {
	CHECKPOINT_VERSION = 2,
	CHECKPOINT_BLOCK_HEAD_BYTES = 128,
	CHECKPOINT_SATELLITE_BYTES = 104,
	CHECKPOINT_SEGMENT_BYTES = 40,
	CHECKPOINT_HEAD_BYTES = 16,
	CHECKPOINT_TRAILER_BYTES = 40,
	CHECKPOINT_SEGMENTS_MAX = 1 << 20,
};

struct checkpoint_satellite {
	struct node_id id;
	struct piece_figures figures;
	uint32_t oldest_trash; /* none in the trash is older (Unix seconds); 0 = none there */
	uint32_t newest_trash; /* no trash was ever newer */
	uint32_t restored_at;  /* what was in the trash up to then is not any more */
};

struct checkpoint_segment {
	uint32_t number;
	bool sealed;
	bool removed;	       /* no entry is in it; its file goes, or has gone */
	uint32_t expiry_group; /* day its pieces have ended, 0 = pieces without an end */
	uint64_t stable;       /* every record before it is taken in */
	uint64_t end;	       /* entries may lie up to here, behind stable as well */
	uint64_t live;	       /* bytes of entries in it */
};

struct checkpoint {
	struct node_id node;
	int64_t created_unix_ns;
	uint64_t generation; /* of the table it is part of, or that its entries are newer than */
	uint64_t seq;	     /* records written later have this sequence number or a higher one */
	bool rebuilding;     /* the index was lost, and not all of the log is read again: seq says
				nothing */
	uint32_t next_segment;
	uint32_t scrub_segment; /* the scrub goes on there */
	struct piece_seed seed;
	struct checkpoint_satellite *satellites;
	size_t satellites_count;
	struct checkpoint_segment *segments; /* rising numbers */
	size_t segments_count;
};

/* NULL when it is not known. */
const struct checkpoint_segment *checkpoint_find(const struct checkpoint *c, uint32_t segment);

/* The block alone.  decode: tables are made in `a`; ERR_FORMAT. */
void checkpoint_encode(const struct checkpoint *c, struct buf *out);
enum err checkpoint_decode(struct call *call, struct arena *a, struct bytes wire,
			   struct checkpoint *ret) MUST_USE;
static inline uint64_t checkpoint_block_len(size_t satellites, size_t segments)
{
	return CHECKPOINT_BLOCK_HEAD_BYTES + (uint64_t)satellites * CHECKPOINT_SATELLITE_BYTES +
	       (uint64_t)segments * CHECKPOINT_SEGMENT_BYTES;
}

/* Writes the checkpoint file: temporary name, sync, rename, sync of the directory. */
enum err checkpoint_save(struct call *call, const char *path, const struct checkpoint *c,
			 const struct piece_entry *entries, size_t count) MUST_USE;

/* Where bytes are read from: a file, or memory in tests. */
struct byte_source {
	enum err (*read_at)(struct call *call, void *arg, void *out, size_t cap, uint64_t offset,
			    size_t *ret_n);
	void *arg;
	uint64_t size;
};
struct os_file;
struct byte_source byte_source_file(struct os_file *f, uint64_t size);
/* Exactly len bytes, or ERR_FORMAT. */
enum err byte_source_read(struct call *call, const struct byte_source *s, void *out, size_t len,
			  uint64_t offset) MUST_USE;

/* Takes one entry of a checkpoint that is known to be whole. */
typedef enum err checkpoint_entry(struct call *call, void *arg, const struct piece_entry *e);
/* Reads the block into `a`, then hands out every entry.  ERR_FORMAT when it is not a whole
 * checkpoint: then the entries handed out so far mean nothing. */
enum err checkpoint_load(struct call *call, struct arena *a, const struct byte_source *source,
			 struct checkpoint *ret, checkpoint_entry *entry, void *arg) MUST_USE;

#endif
