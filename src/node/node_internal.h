/* What the files of a running node share. */
#ifndef ACRE_NODE_NODE_INTERNAL_H
#define ACRE_NODE_NODE_INTERNAL_H

#include "net/net.h"
#include "proto/noise.pb-c.h"
#include "node/chores.h"
#include "node/garbage.h"
#include "node/import.h"
#include "node/node.h"
#include "node/order_log.h"
#include "node/piece_store.h"
#include "node/serials.h"
#include "node/storage_dir.h"
#include "node/traffic.h"
#include "node/trust.h"
#include "node/verify.h"
#include "os/cancel.h"
#include "os/lock.h"
#include "rpc/rpc.h"

/* Counted since start. */
struct node_counters {
	_Atomic uint64_t uploads, uploads_failed, upload_bytes;
	_Atomic uint64_t downloads, downloads_failed, download_bytes;
};

/* How the last check-in with one satellite went. */
struct check_in {
	struct node *node;
	size_t satellite; /* number in trust */
	struct chore *chore;
	unsigned failures; /* in a row */
	/* Under the node's lock: */
	enum { CLOCK_UNKNOWN, CLOCK_RIGHT, CLOCK_WRONG } clock; /* ours, as the satellite sees it */
	int64_t last_unix_ns;					/* 0 = never */
	bool ok;
	char error[CALL_ERROR_MAX];
};

/* Settling orders with one satellite. */
struct settler {
	struct node *node;
	size_t satellite; /* number in trust */
	struct chore *chore;
	unsigned failures; /* in a row */
	/* Under the node's lock: */
	struct settler_view {
		uint64_t windows;	    /* waiting, those of running hours included */
		uint64_t paid_bytes;	    /* accepted since the start */
		uint64_t lost_bytes;	    /* rejected or given up since the start */
		int64_t last_unix_ns;	    /* of the last answer; 0 = none */
		char error[CALL_ERROR_MAX]; /* of the last attempt; "" = it went well */
	} view;
};

enum {
	STATS_MONTHS = 12,
	STATS_MONTHS_TEXT = 40 * STATS_MONTHS,
	STATS_RECEIPT_TEXT = 128,
};

/* What a satellite says of the node; times in Unix seconds, money in millionths of a dollar. */
struct satellite_stats {
	uint64_t known_unix; /* 0 = it said nothing yet */
	double audit_score, suspension_score, online_score;
	uint64_t audits, audits_passed;
	uint64_t disqualified, suspended, offline_suspended, under_review, joined, vetted;
	uint64_t paid, held, disposed, paid_last;
	char months[STATS_MONTHS_TEXT];	  /* what was paid for each, newest first: "2026-10 $1.50,
					     ..." */
	uint64_t sent;			  /* in payments */
	char receipt[STATS_RECEIPT_TEXT]; /* of the newest payment: "2026-10 eth:0x..." */
};

struct stats_asker {
	struct node *node;
	size_t satellite; /* number in trust */
	struct chore *chore;
	struct satellite_stats stats; /* under the node's lock */
};

struct node {
	struct arena arena; /* strings of config and paths */
	struct node_config config;
	const char *dir;
	const char *storage_path; /* of config, or ours in it */
	struct identity *identity;
	struct net_tls *tls;
	struct net_noise *noise;		 /* NULL = TLS only */
	Noise__NoiseKeyAttestation *attestation; /* what satellites are told; NULL = nothing */
	struct storage_dir *storage;
	struct piece_store *store;
	struct order_log *orders;
	struct garbage *garbage;
	struct serials *serials;
	struct trust *trust;
	struct rpc_server *server;
	bool fast_open;		      /* of its socket; the server may be gone when asked */
	char address[OS_ADDRESS_MAX]; /* bound; "" before */
	struct os_cancel cancel;      /* of all chores */
	bool cancel_made;
	int64_t started_unix_ns;

	struct chores *chores;	 /* borrowed */
	struct rpc_host *rpc;	 /* borrowed; NULL = none */
	struct traffic *traffic; /* its own, within the host's */
	size_t nodes;		 /* that share the machine's memory, about */
	void (*on_failure)(void *arg);
	void *on_failure_arg;
	struct chore *sync_orders;
	/* Of node_storage.c: */
	struct chore *check_readable, *check_writable, *recover, *maintain, *expire,
		*collect_garbage, *compact, *scrub, *look_at_clock;
	unsigned no_uploads; /* enum node_no_uploads; under the lock */
	struct check_in check_ins[TRUST_SATELLITES_MAX];
	struct settler settlers[TRUST_SATELLITES_MAX];
	struct chore *prune_orders, *leave;

	/* Of node_import.c: */
	struct import_order import; /* done: there is none */
	struct chore *import_chore;
	int64_t import_told_ns;
	struct import_figures imported;	   /* under the lock */
	char import_error[CALL_ERROR_MAX]; /* under the lock; "" = it goes well */

	struct stats_asker *stats_askers; /* by satellite */

	_Atomic unsigned live; /* transfers */
	_Atomic bool serving;  /* it has an address, and all chores are there */
	struct node_counters counters;
	_Atomic int64_t low_space_mono_ns; /* when satellites were last told of it */

	struct os_mutex lock;
	enum err failure; /* why the node cannot go on */
	char failure_text[CALL_ERROR_MAX];
	struct chore *amnesty;
	struct lost *lost; /* pieces to confess (amnesty.c) */
	size_t lost_count;
	bool lost_changed; /* since they were written */
	_Atomic bool
		clock_wrong; /* by all that satellites said: nothing is served, dropped, settled */
};

/* A setting that may change while the node runs; strings live as long as the node. */
#define node_get(n, field) __atomic_load_n(&(n)->config.field, __ATOMIC_ACQUIRE)

enum { NODE_STREAM_SECONDS = 30 * 60, NODE_LOW_SPACE_SECONDS = 10 * 60 };

/* The node cannot go on: node_wait returns this. */
void node_fail(struct node *n, const struct call *call, enum err e);
/* The window that a limit's orders are settled in. */
struct order_window node_order_window(const struct limit_terms *t);
/* Keeps an order until settlement; the failure to do so is logged. */
void node_keep_order(struct node *n, const struct limit_terms *t, const struct order *order);

/* node_storage.c */
enum err node_storage_start(struct call *call, struct node *n) MUST_USE;
void node_storage_stop(struct node *n);
void node_storage_maintain(struct node *n); /* soon */
void node_storage_hours(struct node *n);    /* may have changed */
void node_storage_garbage(struct node *n);  /* a filter is waiting */
/* After a failed request: looks at the disk soon if the disk may be why. */
void node_look_at_disk(struct node *n);

/* noise.c: makes the key; proves that it works at our own address and attests it then. */
enum err node_noise_new(struct call *call, struct node *n) MUST_USE;
void node_noise_test(struct node *n);

/* contact.c: start makes the chores, all lets them check in now. */
enum err node_contact_start(struct call *call, struct node *n) MUST_USE;
void node_contact_all(struct node *n);
void node_contact_stop(struct node *n);
/* "NAME=VALUE,..." that a node may say of itself.  ERR_CONFIG. */
enum err node_own_tags_check(struct call *call, const char *text) MUST_USE;
/* A connection to satellite i of trust, whose chain is learnt.  The text of a failure begins with
 * NODE_DIAL_FAILED. */
#define NODE_DIAL_FAILED "dial satellite"
enum err node_dial_satellite(struct call *call, struct node *n, size_t i,
			     struct rpc_conn **ret) MUST_USE;
/* Tells all satellites the space that is left, unless that was done a short while ago. */
void node_contact_low_space(struct node *n);

/* settle.c: windows of orders go to their satellites. */
enum err node_settle_start(struct call *call, struct node *n) MUST_USE;
void node_settle_stop(struct node *n);
struct settler_view node_settle_view(struct node *n, size_t satellite);

/* leave.c: what the operator asked for by leave.h. */
enum err node_leave_start(struct call *call, struct node *n) MUST_USE;
void node_leave_stop(struct node *n);

/* amnesty.c: told of damaged pieces (store_damaged), tells their satellites.  Stopped when nobody
 * can find any more. */
void node_piece_damaged(void *node, const struct node_id *satellite, const struct piece_id *piece);
enum err node_amnesty_start(struct call *call, struct node *n) MUST_USE;
void node_amnesty_stop(struct node *n);

/* node_import.c: pieces of Storj's node.  resolve: *storage becomes ours if it is that node's. */
enum err node_import_resolve(struct call *call, struct arena *a, const struct node_id *id,
			     const char **storage, bool *ret_foreign) MUST_USE;
enum err node_import_open(struct call *call, struct node *n) MUST_USE;
enum err node_import_start(struct call *call, struct node *n) MUST_USE;
store_missing node_import_missing;

/* stats.c: what satellites say of the node. */
enum err node_stats_start(struct call *call, struct node *n) MUST_USE;
void node_stats_stop(struct node *n);
struct satellite_stats node_stats_of(struct node *n, size_t satellite);

/* Handlers of the node's server; service is the node. */
extern const struct rpc_method node_methods[];
extern const size_t node_methods_count;
rpc_handler endpoint_upload, endpoint_download, endpoint_ping_node, endpoint_unimplemented,
	endpoint_retain, endpoint_retain_big, endpoint_restore_trash;

/* Whether a chore that failed so is to end: a peer may say "canceled", too, and means itself. */
static inline bool node_stops(const struct node *n, enum err e)
{
	return e == ERR_CANCELED && os_cancel_is_set(&n->cancel);
}

/* Why a node takes no pieces for the time being. */
enum node_no_uploads {
	NODE_DISK_UNWRITABLE = 1,
	NODE_WRONG_HOUR = 2,
	NODE_IMPORTING = 4,
};
/* Sets or ends a reason; satellites are told at once when that changes something. */
void node_refuse_uploads(struct node *n, enum node_no_uploads why, bool on);

#endif
