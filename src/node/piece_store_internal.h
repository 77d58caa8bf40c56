/* What the files of the piece store share. */
#ifndef ACRE_NODE_PIECE_STORE_INTERNAL_H
#define ACRE_NODE_PIECE_STORE_INTERNAL_H

#include "node/piece_log.h"
#include "node/piece_store.h"
#include "os/lock.h"
#include "proto/proto.h"

enum { STORE_SHARD_BYTES_MAX = 1 << 30 };

struct piece_store {
	struct piece_store_config config;
	char *dir, *pieces_dir, *checkpoint_path;
	struct piece_log *log;
	/* Lock order: this one, then the log's. */
	struct os_mutex lock;
	struct piece_index *index;
	struct node_id satellites[INDEX_SATELLITES_MAX];
	size_t satellites_count;
	uint64_t reserved;
	uint64_t expiring;  /* pieces that have an end */
	uint64_t new_bytes; /* log bytes that the checkpoint on disk does not cover */
	uint64_t recovered; /* records found by this start */
	int64_t checkpoint_mono_ns;
	bool trouble;
	uint8_t *buffers[STORE_BUFFERS_IDLE_MAX];
	unsigned buffers_idle;
};

/* With the lock held. */
enum err store_satellite(struct call *call, struct piece_store *s, const struct node_id *id,
			 uint16_t *ret) MUST_USE;
bool store_find_satellite(const struct piece_store *s, const struct node_id *id, uint16_t *ret);
enum err store_put(struct call *call, struct piece_store *s, const struct piece_entry *e) MUST_USE;

void store_entry_of(const struct piece_record *r, uint16_t satellite, uint32_t segment,
		    uint64_t offset, struct piece_entry *ret);
enum err store_measure(struct call *call, struct piece_store *s, struct piece_space *ret) MUST_USE;
/* Remembers that the disk did not do what it should. */
void store_note_trouble(struct piece_store *s, enum err e);

#endif
