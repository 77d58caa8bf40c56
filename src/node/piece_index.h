/*
 * Where each piece lies, and in which state: a table on disk (node/piece_table.h) and, in memory,
 * the entries that are newer.  A look-up reads at most one page of the table; a change reads one
 * only when the table may have the piece.  Memory is bounded: when the newer entries are too many
 * they are merged with the table into a new one, and whoever needs more room waits for that.
 * docs/design/piece-store.md has the formulas and the reasons.
 *
 * It also keeps the figures of every satellite, exact at any moment.
 *
 * Thread safe; no lock is held while the disk works.  Lock order: this one, then the log's.
 */
#ifndef ACRE_NODE_PIECE_INDEX_H
#define ACRE_NODE_PIECE_INDEX_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/checkpoint.h"
#include "node/piece_entry.h"

enum {
	INDEX_CHANGES_MIN = 256, /* newer entries kept in memory, whatever the budget */
};
#define INDEX_MEMORY_DEFAULT (UINT64_C(32) << 20)

struct piece_index;

struct piece_index_config {
	const char *dir; /* exists */
	struct node_id node;
	uint64_t memory; /* bytes; 0 = INDEX_MEMORY_DEFAULT */
	/* The index says which bytes of the log its entries take: `bytes` more (or fewer) in the
	 * segment, up to `end`.  Called under the index's lock. */
	void (*add_live)(void *arg, uint32_t segment, int64_t bytes, uint64_t end);
	/* What a checkpoint begun now may claim of the log: fills segments (in a), seq,
	 * next_segment, scrub_segment.  Called under the index's lock. */
	enum err (*snapshot)(struct call *call, void *arg, struct arena *a, struct checkpoint *c);
	/* A merge should be made soon: called under the index's lock; NULL is fine. */
	void (*full_soon)(void *arg);
	void *arg;
};

/* Reads what is on disk; *ret_known (its tables in `a`) says what of the log is taken in: nothing
 * when the index was lost.  The callbacks are not called before the first change. */
enum err piece_index_open(struct call *call, const struct piece_index_config *config,
			  struct arena *a, struct checkpoint *ret_known,
			  struct piece_index **ret) MUST_USE;
/* NULL is fine.  Writes nothing; but an index that is damaged is removed, so that the next start
 * rebuilds it from the log. */
void piece_index_close(struct piece_index *x);

/* The number of a satellite, given when it is new; find: false when it is not known. */
enum err piece_index_satellite(struct call *call, struct piece_index *x, const struct node_id *id,
			       uint16_t *ret) MUST_USE;
bool piece_index_find_satellite(struct piece_index *x, const struct node_id *id, uint16_t *ret);

/* ERR_NOT_FOUND without text.  What is in the trash or damaged is found; see the entry. */
enum err piece_index_find(struct call *call, struct piece_index *x, const struct piece_key *key,
			  struct piece_entry *ret) MUST_USE;
/* The same, but the mark of a deleted piece is found, too. */
enum err piece_index_look(struct call *call, struct piece_index *x, const struct piece_key *key,
			  struct piece_entry *ret) MUST_USE;

/* Decides what becomes of a piece: *e is its entry (zeroed when !have; it may be a mark of
 * deletion), changed in place.  False = nothing.  Called under a lock: it waits for nothing. */
typedef bool index_change(void *arg, bool have, struct piece_entry *e);
enum err piece_index_change(struct call *call, struct piece_index *x, const struct piece_key *key,
			    index_change *change, void *arg) MUST_USE;
/* Adds or replaces. */
enum err piece_index_put(struct call *call, struct piece_index *x,
			 const struct piece_entry *e) MUST_USE;

/* Takes everything of a satellite out of the trash, in two steps, so that it can be made durable
 * between them: the time that covers all of the trash, and the restore up to that time.  False:
 * a sweep put more there meanwhile, or it was done before (when a start reads of it again). */
uint32_t piece_index_restore_time(struct piece_index *x, uint16_t satellite, uint32_t now);
bool piece_index_restore(struct piece_index *x, uint16_t satellite, uint32_t time);

/* Writes the newer entries and what they are newer than: a start then reads the log from here on.
 */
enum err piece_index_checkpoint(struct call *call, struct piece_index *x) MUST_USE;

/* What a sweep makes of an entry; pure, or the figures would be wrong.  It may set trashed_at;
 * false = the piece goes. */
typedef bool index_verdict(const void *arg, struct piece_entry *e);
struct index_swept {
	uint64_t seen;		       /* entries */
	uint64_t trashed, trash_bytes; /* put into the trash */
	uint64_t dropped, drop_bytes;
};
/* Merges everything into a new table, in one pass; with a verdict on every entry it is a sweep.
 * ERR_BUSY: a restore came between; again. */
enum err piece_index_merge(struct call *call, struct piece_index *x, index_verdict *verdict,
			   const void *arg, struct index_swept *ret) MUST_USE;

/* Shows every entry that counts when it begins.  Some may be shown that do not count any more when
 * they are.  The visitor may be called under a lock: it waits for nothing; false = stop. */
typedef bool index_visit(void *arg, const struct piece_entry *e);
enum err piece_index_scan(struct call *call, struct piece_index *x, index_visit *visit,
			  void *arg) MUST_USE;

struct index_satellite {
	struct node_id id;
	struct piece_figures figures;
	uint32_t oldest_trash; /* none in the trash is older; 0 = none */
};
struct index_status {
	struct piece_figures figures; /* of all satellites */
	size_t satellites;
	uint64_t memory;     /* bytes taken */
	uint64_t file_bytes; /* of the table */
	uint32_t changes, changes_max;
	uint32_t oldest_trash;
	uint64_t generation;
	bool damaged; /* a page of the table was not as it was written */
	bool broken;  /* it could not be written: only a new start can go on with it */
};
void piece_index_status(struct piece_index *x, struct index_status *ret);
/* False beyond the last. */
bool piece_index_satellite_status(struct piece_index *x, size_t i, struct index_satellite *ret);

#endif
