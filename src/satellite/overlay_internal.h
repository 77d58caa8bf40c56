/* The node table behind overlay.h; store_nodes.c fills it, selection.c chooses from it. */
#ifndef ACRE_SATELLITE_OVERLAY_INTERNAL_H
#define ACRE_SATELLITE_OVERLAY_INTERNAL_H

#include "os/lock.h"
#include "os/thread.h"
#include "satellite/overlay.h"

/* Uploads of the last hour and a bit: how often a node that was chosen kept the piece.  A ring of
 * intervals, as Storj's success tracker has it (satellite.md 2). */
enum { UPLOAD_INTERVALS = 8 };
struct upload_counts {
	uint32_t good[UPLOAD_INTERVALS], bad[UPLOAD_INTERVALS];
	int64_t interval; /* the newest one */
};

struct node_entry {
	struct overlay_node node; /* its strings are the entry's own */
	char *address, *last_ip_port, *last_net, *version, *email, *wallet, *tags;
	uint64_t conditions;		      /* of the placements, which it fulfils */
	struct day_hours hours, upload_hours; /* as it declares them, UTC */
	bool hours_suffice;		      /* to be excused outside of them */
	int64_t updated_ns;		      /* of its row */
	uint64_t operator_;		      /* equal for nodes of one operator; 0 = not told */
	size_t net;			      /* in the index, when it is in there */
	struct upload_counts uploads;
};

/* Nodes that may get new pieces, network by network; vetted and new ones apart. */
struct index_net {
	const char *name;
	size_t first, count; /* in the group's nodes */
	size_t number;	     /* the same for one name in both groups */
};
struct index_group {
	struct node_entry **nodes; /* sorted by network */
	size_t nodes_count;
	struct index_net *nets; /* in an order that picking stirs */
	size_t nets_count;
};

struct node_key;

struct overlay {
	struct satellite *sat;

	struct os_mutex lock;	   /* over what follows, down to the blank line */
	struct node_entry **slots; /* open addressing by the ID's first bytes; a power of two */
	size_t slots_count, count;
	bool index_stale;
	int64_t index_built_ns;
	struct index_group vetted, fresh;
	struct os_cond stop_asked;
	bool stopping;
	int64_t seen_ns; /* newest updated_ns read from the database */
	struct placement_set *placements;
	struct node_key **key_slots;
	size_t key_slots_count, keys_count;

	struct os_thread *refresher;
};

/* ---- selection.c ---- */

/* Whose node it is, by wallet, else by email; 0 when it says neither. */
uint64_t operator_of(const char *wallet, const char *email);
/* Counts an upload that ended at that time. */
void upload_counts_add(struct upload_counts *u, bool good, int64_t now_ns);
/* Share of uploads that ended well; above 1 for a node that had none lately, which is worth a try.
 */
double upload_counts_share(const struct upload_counts *u, int64_t now_ns);

/* With the lock held. */
struct node_entry *overlay_find(const struct overlay *o, const struct node_id *id);
bool overlay_online(const struct overlay *o, const struct node_entry *e, int64_t now_ns);
/* Online, and heard of within the silence window: not dead to repair. */
bool overlay_heard(const struct overlay *o, const struct node_entry *e, int64_t now_ns);
/* Outside of the hours that it declared, which are kind enough to be believed. */
bool overlay_away(const struct node_entry *e, int64_t now_ns);
/* Silent, as it was to be: away, and heard of until then. */
bool overlay_excused(const struct overlay *o, const struct node_entry *e, int64_t now_ns);
/* It takes pieces at this hour, and a while longer. */
bool overlay_takes(const struct node_entry *e, int64_t now_ns);
void index_free(struct overlay *o);

/* What is known of a node, to be put into the table; strings are copied. */
struct node_row {
	struct overlay_node node;
	const char *version, *email, *wallet;
	int64_t updated_ns;
};
/* Puts or replaces; a newer contact in memory stays.  stored: it was read from the database, so an
 * entry that is newer than it stays as it is. */
enum err overlay_put(struct call *call, struct overlay *o, const struct node_row *row,
		     bool stored) MUST_USE;

/* Rows changed since then, each handed to fn. */
typedef enum err node_row_fn(struct call *call, void *arg, const struct node_row *row);
enum err store_nodes_since(struct call *call, struct db *db, int64_t since_ns, node_row_fn *fn,
			   void *arg) MUST_USE;
enum err store_checkin(struct call *call, struct db *db, const struct checkin *in) MUST_USE;

/* ---- node_keys.c ---- */

enum err node_keys_init(struct call *call, struct overlay *o) MUST_USE;
void node_keys_free(struct overlay *o);
/* Whether the chain remembered for a node is this one. */
bool node_keys_has(struct overlay *o, const struct node_id *id, struct bytes chain);
/* A node came with this chain. */
void node_keys_put(struct overlay *o, const struct node_id *id, struct bytes chain);

#endif
