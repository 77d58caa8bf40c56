/*
 * Takes over the pieces of Storj's node (storagenode.md 6): from its blobs, its hashstores, its
 * trash.  Each is compared with its hash on the way, and is ours only once it is durable here; what
 * is here already is passed over, so an import that was interrupted goes on when it is run again.
 *
 * The source stays as it is, or ("move") goes piece by piece, log by log, as soon as what it held
 * is safe here: so a disk has room for both.  What is damaged there is never removed.
 */
#ifndef ACRE_NODE_IMPORT_H
#define ACRE_NODE_IMPORT_H

#include "base/call.h"
#include "node/piece_store.h"

/* What is to be taken over, kept as the file "import" in our storage directory. */
struct import_order {
	const char *from;	   /* the storage directory of Storj's node */
	const char *logs, *tables; /* of its hashstores; below it if they do not begin with / */
	bool move;
	bool done;
};
/* Strings live in `a`.  ERR_NOT_FOUND: nothing is, or was. */
enum err import_order_read(struct call *call, struct arena *a, const char *storage,
			   struct import_order *ret) MUST_USE;
enum err import_order_write(struct call *call, const char *storage,
			    const struct import_order *order) MUST_USE;

/* Whether `dir` is the storage directory of Storj's node with this ID.  ERR_PRECONDITION: it is
 * another node's. */
enum err import_is_source(struct call *call, const char *dir, const struct node_id *node,
			  bool *ret) MUST_USE;

/* Pieces. */
struct import_figures {
	uint64_t taken, bytes;
	uint64_t present; /* were here before */
	uint64_t expired; /* or long in the trash */
	uint64_t partial; /* uploads that never ended */
	uint64_t damaged; /* not what they were, or not there: left where they are */
	/* Of before 2019, without a header, so without hash and signature: left, too. */
	uint64_t headless, headless_bytes;
};

struct import_config {
	const char *from, *logs, *tables; /* as in the order */
	bool move;
	struct node_id node;
	struct piece_store *store; /* recovered */
	/* After every batch; NULL is fine. */
	void (*progress)(void *arg, const struct import_figures *f, const char *where);
	store_damaged *damaged; /* NULL = nobody is told */
	void *arg;
};
/* ERR_PRECONDITION: no source, or Storj's node still runs; ERR_ABORTED: no room. */
enum err import_run(struct call *call, const struct import_config *config,
		    struct import_figures *ret) MUST_USE;
/* Takes over one piece that somebody asks for before its turn.  ERR_NOT_FOUND: it was not found,
 * which does not mean that it is not there (Storj's newer kind of table cannot be asked). */
enum err import_one(struct call *call, const struct import_config *config,
		    const struct node_id *satellite, const struct piece_id *piece) MUST_USE;

/* Takes over the orders that Storj's node did not settle, from its orders directory into ours (need
 * not be there); *ret_orders of them.  A window that is there already is left as it is. */
enum err import_unsettled(struct call *call, const char *from, const char *to,
			  uint64_t *ret_orders) MUST_USE;

#endif
