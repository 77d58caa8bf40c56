/*
 * A storage node: one identity, one storage directory, one listening address.  A process may have
 * many; everything of a node is in its struct, and the chores of all share one scheduler.
 */
#ifndef ACRE_NODE_NODE_H
#define ACRE_NODE_NODE_H

#include "base/call.h"
#include "base/param.h"
#include "identity/identity.h"
#include "node/chores.h"
#include "rpc/rpc.h"

struct node_config {
	const char *storage;	      /* directory; NULL or "" = <dir>/storage */
	const char *address;	      /* listens here */
	const char *external_address; /* what satellites are told; "" = the address bound */
	const char *identity;	      /* directory of identity.cert and .key; "" = <dir>/identity */
	struct param_list satellites; /* node URLs; only these are trusted */
	uint64_t space;		      /* bytes of the disk for pieces */
	uint64_t free_reserve;	      /* bytes of the disk never touched */
	uint64_t max_requests;	      /* uploads are refused above; 0 = no limit */
	uint64_t segment_size;
	uint64_t index_memory;	 /* 0 = default */
	uint64_t recent_memory;	 /* for what was stored last; 0 = none */
	uint64_t compact_rate;	 /* bytes a second that compaction copies; 0 = none */
	uint64_t scrub_rate;	 /* bytes a second that are compared with their hashes; 0 = none */
	int64_t retain_skew_ns;	 /* garbage must be older than its filter by that */
	int64_t settle_early_ns; /* for tests: windows are settled so much too early */
	const char *email, *wallet;
	const char *receive_rate, *send_rate; /* as traffic_set has them; NULL: no limit */
	const char *upload_hours;	      /* "22-6": pieces are taken then only; "" = always */
	const char *online_hours; /* the machine is on then only; satellites are told; the same */
	const char *own_tags;	  /* what it says of itself, "NAME=VALUE,..." */
	const char *signed_tags;  /* what authorities say of the node (identity/signed_tags.h) */
	const char *log_level;
	bool development;    /* checks in often, retries quickly */
	int64_t check_in_ns; /* between check-ins; 0 = as usual. No setting: long simulations */
	bool noise;	     /* offer the Noise transport (noise.md) beside TLS */
	bool accept_loss;    /* start though segments are missing or damaged */
};

/* What the nodes of a process share; borrowed. */
struct node_host {
	struct chores *chores;
	struct rpc_host *rpc;	 /* NULL: the node's server has threads of its own */
	struct traffic *traffic; /* NULL: no limits */
	size_t nodes;		 /* about so many share the machine's memory; 0 = one */
};

/* "acre/0.1.0": what satellites are told, too. */
const char *node_software(void);

struct node;

/* Loads identity and storage of directory `dir`: ERR_PRECONDITION and others with what to do.  The
 * strings of the config are copied; its list of satellites is not.  The call's cancel object, which
 * must live longer, ends the node's chores and node_wait. */
enum err node_open(struct call *call, const char *dir, const struct node_config *config,
		   const struct node_host *host, struct node **ret) MUST_USE;
/* Called once, from any thread, when the node cannot go on; to be set before node_start. */
void node_on_failure(struct node *n, void (*failed)(void *arg), void *arg);
/* Why it cannot; OK while it can. */
enum err node_failure(struct call *call, struct node *n) MUST_USE;
/* Listens and begins to check in; afterwards <dir>/address holds the address bound. */
enum err node_start(struct call *call, struct node *n) MUST_USE;
/* Waits until the node must stop: OK when the call is cancelled, else why it cannot go on (the disk
 * is gone, the clock is wrong). */
enum err node_wait(struct call *call, struct node *n) MUST_USE;
/* Ends transfers (at most about 4 s), writes a checkpoint, frees.  NULL is fine. */
void node_stop(struct node *n);
/* The same with so much time for transfers to end. */
void node_stop_within(struct node *n, int64_t grace_ns);
/* Takes over the settings that may change while it runs; a line in notes, beginning with `name`,
 * for each that differs and needs a restart. */
enum err node_apply(struct call *call, struct node *n, const struct node_config *config,
		    const char *name, struct buf *notes) MUST_USE;

const char *node_address(const struct node *n); /* after node_start */
const struct node_id *node_id_of(const struct node *n);

/* What `setup` does: identity in <dir>/identity, CA in <dir>/ca, <dir>/config, storage. */
struct node_setup {
	unsigned difficulty;
	void (*progress)(void *arg, uint64_t tried, uint64_t expected);
	void *progress_arg;
};
enum err node_create(struct call *call, const char *dir, const struct node_config *config,
		     const struct node_setup *setup, struct node_id *ret_id) MUST_USE;

/* Takes over the pieces of Storj's node with the same identity, while neither node runs.  With
 * `later` it only says so, and the node does it while it serves.  Can be interrupted and repeated.
 */
struct import_figures;
struct node_import {
	const char *from; /* its storage directory; "" = the one that config says, ours is then in
			   * it */
	const char *logs, *tables; /* of its hashstores, whole paths or below it */
	const char
		*orders; /* its orders directory; "" = beside its storage directory, or in ours */
	uint64_t *orders_taken;
	bool move, later;
	void (*progress)(void *arg, const struct import_figures *f, const char *where);
	void *progress_arg;
};
enum err node_import(struct call *call, const char *dir, const struct node_config *config,
		     const struct node_import *how, struct import_figures *ret) MUST_USE;

#endif
