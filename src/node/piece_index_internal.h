/* What the files of the index share. */
#ifndef ACRE_NODE_PIECE_INDEX_INTERNAL_H
#define ACRE_NODE_PIECE_INDEX_INTERNAL_H

#include "node/piece_delta.h"
#include "node/piece_index.h"
#include "node/piece_table.h"
#include "os/lock.h"

/* A table in use: freed when it is neither the index's nor anybody's. */
struct table_ref {
	struct piece_table *table;
	unsigned users;
};

struct piece_index {
	struct os_mutex lock;
	struct os_cond calm; /* busy or committing ended */
	struct piece_index_config config;
	char *dir;
	struct piece_seed seed;
	uint64_t generation;
	/* Newest first: active, frozen (while a merge takes it in), table. */
	struct piece_delta active, frozen;
	uint32_t changes_max;
	struct table_ref *table; /* NULL before the first merge */
	struct checkpoint_satellite *satellites;
	size_t satellites_count, satellites_cap;
	bool busy;	 /* somebody merges or writes a checkpoint */
	bool committing; /* a sweep becomes durable: no restore now */
	bool broken;	 /* the disk failed in a way that only a new start can sort out */
	_Atomic bool damaged;
	uint64_t restores;
	/* While a sweep runs: entries of frozen and table that were replaced since it began. */
	bool sweeping;
	struct piece_entry *replaced;
	size_t replaced_count, replaced_cap;
};

/* With the lock held. */
bool index_find_newer(const struct piece_index *x, uint64_t hash, const struct piece_key *key,
		      struct piece_entry *ret, bool *ret_active);
/* The entry as a restore of its satellite left it. */
void index_effective(const struct checkpoint_satellite *satellites, struct piece_entry *e);
struct table_ref *index_table_use(struct piece_index *x); /* NULL when there is none */
/* Returns a table to be freed without the lock, or NULL. */
struct piece_table *index_table_drop(struct table_ref *t);
void index_set_limit(struct piece_index *x);
/* Waits until nobody is busy, and is it. */
enum err index_begin_busy(struct call *call, struct piece_index *x) MUST_USE;
void index_end_busy(struct piece_index *x);
/* What a checkpoint begun now says. */
enum err index_snapshot(struct call *call, struct piece_index *x, struct arena *a,
			struct checkpoint *ret) MUST_USE;
uint64_t index_sieve_bytes(const struct piece_index *x, uint64_t entries);
/* Takes note when the table turned out damaged; returns e. */
enum err index_note(struct piece_index *x, enum err e);
/* In the call's scratch. */
const char *index_table_path(struct call *call, const struct piece_index *x, uint64_t generation);
const char *index_checkpoint_path(struct call *call, const struct piece_index *x);

#endif
