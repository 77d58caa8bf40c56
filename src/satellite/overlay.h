/*
 * The nodes (satellite.md 2), in memory: changed in place at a check-in, refreshed from the
 * database every few seconds for what other processes wrote.  Nothing here waits but what says so.
 */
#ifndef ACRE_SATELLITE_OVERLAY_H
#define ACRE_SATELLITE_OVERLAY_H

#include "base/arena.h"
#include "net/net.h"
#include "proto/orders.pb-c.h"
#include "satellite/node_tags.h"
#include "satellite/placement.h"
#include "satellite/satellite.h"

enum { OVERLAY_NODES_MAX = 1000000, LAST_NET_MAX = OS_ADDRESS_MAX };

/* How clients may call a node (noise.md 6). */
struct node_dial {
	struct noise_peer noise; /* attested */
	int32_t debounce_limit;
	uint64_t features;
};

struct overlay_node {
	struct node_id id;
	const char *address;	  /* as the node claims it: "host:port" */
	const char *last_ip_port; /* as resolved at its last check-in */
	const char *last_net;	  /* what makes nodes distinct (satellite.md 1.3) */
	int64_t free_disk;
	int64_t created_ns, last_success_ns, last_failure_ns; /* Unix */
	int64_t vetted_ns, disqualified_ns, suspended_ns;     /* 0 = not */
	int64_t exit_initiated_ns, exit_finished_ns;	      /* the same */
	bool version_ok;
	struct geo geo;
	const char *tags; /* node_tags.h */
	struct node_dial dial;
};

enum err overlay_new(struct call *call, struct satellite *sat, struct overlay **ret) MUST_USE;
/* Ends its refreshing thread. */
void overlay_free(struct overlay *o);
/* Reads the nodes anew.  Waits for the database. */
enum err overlay_refresh(struct call *call, struct satellite *sat) MUST_USE;

/* A node chosen or looked up; the address is a copy in the caller's arena. */
struct node_place {
	struct node_id id;
	const char *address; /* last ip:port; "" when the node is not known */
	bool known;
	struct node_dial dial;
	bool online; /* contact within the online window, not disqualified, not exited */
	bool gone;   /* disqualified or exited: its pieces are lost */
	bool away;   /* outside the hours that it declared */
};

/* Chooses exactly `count` nodes for an upload (satellite.md 2, metainfo.md 7): distinct nodes, one
 * per network (and per operator, where that is set), none of `used` nor of their networks, all
 * where that placement allows (placement.h).  ERR_PRECONDITION "not enough nodes", or no such
 * placement. */
enum err satellite_select_nodes(struct call *call, struct satellite *sat, struct arena *a,
				int32_t placement, size_t count, const struct node_id *used,
				size_t used_count, struct node_place **ret) MUST_USE;
/* An upload ended: nodes that were chosen for it, and which of them have their piece, in the same
 * order. */
void satellite_count_upload(struct satellite *sat, const struct node_id *ids, size_t count,
			    const struct node_id *good, size_t good_count);
/* Looks nodes up, in order, for downloads; unknown ones come back so. */
enum err satellite_lookup_nodes(struct call *call, struct satellite *sat, struct arena *a,
				const struct node_id *ids, size_t count,
				struct node_place **ret) MUST_USE;
/* What the overlay knows of every node that a piece list may name (segment_loop.h):
 * nodes[alias]; network numbers are below nets_count. */
struct loop_node;
struct overlay_nodes {
	struct loop_node *nodes;	  /* freed with free() */
	struct placement_set *placements; /* those that the nodes' tags go by; the same */
	uint32_t count, nets_count, known;
};
/* Waits. */
enum err overlay_by_alias(struct call *call, struct satellite *sat,
			  struct overlay_nodes *ret) MUST_USE;
/* The same for some nodes: nodes[1] to nodes[count - 1] have their IDs; network numbers are below
 * count.  And the rule of a placement; *ret_ruled is false for 0 and for a number without one. */
enum err overlay_states(struct call *call, struct satellite *sat, struct loop_node *nodes,
			uint32_t count, int32_t placement, struct placement *ret_rule,
			bool *ret_ruled) MUST_USE;
/* Nodes that uploads may still choose while repair holds them for dead (silence-window). */
enum err overlay_silent(struct call *call, struct satellite *sat, struct arena *a,
			struct node_id **ret, size_t *ret_count) MUST_USE;
struct overlay_count {
	size_t known, online, selectable, networks;
};
struct overlay_count overlay_count(struct satellite *sat);
/* When a node's row was changed last, Unix; 0 without nodes. */
int64_t overlay_newest_ns(struct satellite *sat);

/* Checks node signatures of piece hashes against the chains known from check-ins.  load reads the
 * chains that are not cached in one go and may wait; verify never waits.
 * ERR_UNAUTHENTICATED: bad signature, or no chain known. */
enum err satellite_load_node_keys(struct call *call, struct satellite *sat,
				  const struct node_id *ids, size_t count) MUST_USE;
enum err satellite_verify_piece_hash(struct call *call, struct satellite *sat,
				     const struct node_id *id,
				     const Orders__PieceHash *hash) MUST_USE;

/* What a check-in learnt. */
struct checkin {
	struct node_id id;
	const char *address, *last_ip_port, *last_net;
	struct geo geo;	  /* of last_ip_port */
	const char *tags; /* node_tags.h */
	const char *version;
	bool release;
	struct bytes chain; /* DER */
	const char *email, *wallet;
	int64_t free_disk;
	struct node_dial dial;
	bool up; /* the ping back succeeded */
	int64_t now_unix_ns;
};
/* Stores it (satellite.md 1.7, 1.8): the database only when something changed.  Waits. */
enum err overlay_checkin(struct call *call, struct satellite *sat,
			 const struct checkin *in) MUST_USE;
bool overlay_is_known(struct satellite *sat, const struct node_id *id);

#endif
