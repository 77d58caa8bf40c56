/*
 * Who holds the pieces of a segment, in one small column: piece numbers rising, each with the
 * number (alias) that stands for a node ID in table node_aliases.  The same list always gives the
 * same bytes, so a repair can compare and swap it.
 */
#ifndef ACRE_SATELLITE_PIECE_LIST_H
#define ACRE_SATELLITE_PIECE_LIST_H

#include "base/arena.h"
#include "base/call.h"
#include "db/db.h"
#include "identity/identity.h"

enum { PIECE_LIST_MAX = 256, PIECE_LIST_BYTES_MAX = 4096 };

struct piece {
	uint32_t number;
	uint32_t alias; /* > 0 */
};

/* Numbers must rise.  Appends a version byte, then per piece: gap to the number before, alias. */
void piece_list_encode(struct buf *out, const struct piece *pieces, size_t count);
/* ERR_FORMAT when the column is damaged.  pieces has room for PIECE_LIST_MAX. */
enum err piece_list_decode(struct call *call, struct bytes v, struct piece *pieces,
			   size_t *ret_count) MUST_USE;

/* Aliases known to this process; they never change once committed. */
struct node_aliases;
struct node_aliases *node_aliases_new(void);
void node_aliases_free(struct node_aliases *n);
/* Before a writing transaction: nodes without an alias get one, each in a transaction of its own,
 * so that uploads which meet new nodes in different order do not wait for each other in a circle.
 */
enum err node_aliases_ensure(struct call *call, struct db *db, struct node_aliases *n,
			     const struct node_id *ids, size_t count) MUST_USE;
/* Inside a writing transaction: aliases for all ids, new rows for nodes without one. */
enum err node_aliases_assign(struct call *call, struct db_tx *tx, struct node_aliases *n,
			     const struct node_id *ids, size_t count, uint32_t *ret) MUST_USE;
/* After that transaction committed: remembers them. */
void node_aliases_learn(struct node_aliases *n, const struct node_id *ids, const uint32_t *aliases,
			size_t count);
/* IDs of aliases, from memory, else from the database.  ERR_DATA_LOSS for one nobody gave. */
enum err node_aliases_find(struct call *call, struct db *db, struct node_aliases *n,
			   const struct piece *pieces, size_t count, struct node_id *ret) MUST_USE;
/* The IDs of all aliases given so far: ret_ids[alias], zeros where there is none; one more than the
 * highest in *ret_count, at least 1.  Freed with free(). */
enum err node_aliases_all(struct call *call, struct db *db, struct node_aliases *n,
			  struct node_id **ret_ids, uint32_t *ret_count) MUST_USE;

#endif
