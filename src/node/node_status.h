/*
 * What nodes say of themselves: figures and states gathered into views, and the views written for
 * people, as JSON and as Prometheus metrics.  The tables in node_status.c name every figure.
 */
#ifndef ACRE_NODE_NODE_STATUS_H
#define ACRE_NODE_NODE_STATUS_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/node.h"

enum status_format { STATUS_TEXT, STATUS_JSON, STATUS_METRICS };

enum { STATUS_VERSION = 1, STATUS_WORRIES_MAX = 16 };

/* One satellite, as a node sees it.  Strings live in the arena of the view. */
struct satellite_view {
	const char *id, *address, *state, *error;
	uint64_t checked_in; /* Unix seconds of the last attempt; 0 = never */
	uint64_t orders_waiting, orders_paid, orders_lost;
	const char *settle_error;
	/* What it said of the node (nodestats, heldamount); known: Unix seconds, 0 = never. */
	uint64_t stats_known;
	double audit_score, suspension_score, online_score;
	uint64_t audits, audits_passed;
	uint64_t disqualified, suspended, offline_suspended, under_review, joined, vetted;
	uint64_t paid, held, disposed, paid_last; /* millionths of a dollar */
	const char *months;			  /* what was paid for each */
	uint64_t sent;				  /* in payments, likewise */
	const char *receipt;			  /* of the newest */
};

struct worry {
	const char *what, *advice;
};

struct node_view {
	const char *name, *dir, *state, *why;
	const char *id, *address, *external_address, *storage, *store;
	uint64_t started; /* Unix seconds */
	uint64_t pieces, allocated, used, live, trash, dead, reserved, available, disk_free;
	uint64_t damaged;
	uint64_t uploads, uploads_failed, upload_bytes, downloads, downloads_failed, download_bytes;
	uint64_t transfers;
	struct satellite_view *satellites;
	size_t satellites_count;
	struct worry worries[STATUS_WORRIES_MAX];
	size_t worries_count;
};

struct process_view {
	const char *dir;
	uint64_t pid, started;
	const struct node_view *nodes;
	size_t count;
};

/* Fills what the node knows; name, dir and state are the caller's. */
enum err node_view_fill(struct call *call, struct arena *a, struct node *n,
			struct node_view *v) MUST_USE;
void node_view_worry(struct node_view *v, const char *what, const char *advice);
enum err node_status_write(const struct process_view *p, enum status_format format,
			   struct buf *out) MUST_USE;

#endif
