/* What satellites say of the node: audits, suspension, time online, payouts.  Only for the
 * operator's eyes; asked rarely, at a time of the node's own (storagenode.md 10, satellite.md 11,
 * 12). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/random.h"
#include "proto/heldamount.pb-c.h"
#include "proto/nodestats.pb-c.h"

enum {
	INTERVAL_SECONDS = 4 * 3600,
	FIRST_SECONDS_MAX = 300,
	INTERVAL_DEVELOPMENT = 5,
	ASK_SECONDS_MAX = 120,
};

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)

/* Unix seconds; 0 for no time. */
static uint64_t seconds_of(const Google__Protobuf__Timestamp *t)
{
	int64_t ns = t ? proto_time(t) : TIME_NONE;

	return ns > 0 ? (uint64_t)(ns / NS_PER_SEC) : 0;
}

static uint64_t positive(int64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

static enum err ask_stats(struct call *call, struct rpc_conn *conn, struct satellite_stats *s)
{
	Nodestats__GetStatsResponse *reply = NULL;

	TRY_PLAIN(rpc_invoke(call, conn, "/nodestats.NodeStats/GetStats", NULL, &call->scratch,
			     &nodestats__get_stats_response__descriptor, &reply));
	const Nodestats__ReputationStats *audit = reply->audit_check;
	if (audit) {
		s->audits = positive(audit->total_count);
		s->audits_passed = positive(audit->success_count);
		s->audit_score = audit->reputation_score;
		s->suspension_score = audit->unknown_reputation_score;
	}
	s->online_score = reply->online_score;
	s->disqualified = seconds_of(reply->disqualified);
	s->suspended = seconds_of(reply->suspended);
	s->offline_suspended = seconds_of(reply->offline_suspended);
	s->under_review = seconds_of(reply->offline_under_review);
	s->joined = seconds_of(reply->joined_at);
	s->vetted = seconds_of(reply->vetted_at);
	return OK;
}

static enum err ask_payouts(struct call *call, struct rpc_conn *conn, struct satellite_stats *s)
{
	Heldamount__GetAllPaystubsResponse *reply = NULL;
	uint64_t newest = 0, held = 0;

	TRY_PLAIN(rpc_invoke(call, conn, "/heldamount.HeldAmount/GetAllPaystubs", NULL,
			     &call->scratch, &heldamount__get_all_paystubs_response__descriptor,
			     &reply));
	for (size_t i = 0; i < reply->n_paystub; i++) {
		const Heldamount__GetHeldAmountResponse *stub = reply->paystub[i];
		uint64_t period = seconds_of(stub->period);
		s->paid += positive(stub->paid);
		held += positive(stub->held);
		s->disposed += positive(stub->disposed);
		if (period >= newest) {
			newest = period;
			s->paid_last = positive(stub->paid);
		}
	}
	s->held = held > s->disposed ? held - s->disposed : 0;
	return OK;
}

static enum err ask(struct call *call, struct node *n, size_t satellite,
		    struct satellite_stats *ret)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	struct satellite_stats s = { 0 };

	os_call_limit(call, ASK_SECONDS_MAX * NS_PER_SEC);
	TRY_PLAIN(node_dial_satellite(call, n, satellite, &conn));
	TRY_PLAIN(ask_stats(call, conn, &s));
	/* A satellite need not pay. */
	if (ask_payouts(call, conn, &s)) {
		log_debug("no payouts from satellite", F_STR("why", call->error));
		call_clear_error(call);
	}
	s.known_unix = (uint64_t)(os_clock_unix_ns() / NS_PER_SEC);
	*ret = s;
	return OK;
}

static int64_t ask_satellite(struct call *call, void *arg)
{
	struct stats_asker *a = arg;
	struct node *n = a->node;
	struct satellite_stats s;
	enum err e = ask(call, n, a->satellite, &s);

	if (e)
		log_debug("a satellite said nothing of this node",
			  F_STR("why", call_error(call, e)));
	os_mutex_lock(&n->lock);
	if (!e)
		a->stats = s;
	os_mutex_unlock(&n->lock);
	return (n->config.development ? INTERVAL_DEVELOPMENT : INTERVAL_SECONDS) * NS_PER_SEC;
}

enum err node_stats_start(struct call *call, struct node *n)
{
	size_t count = trust_count(n->trust);
	uint64_t spread = n->config.development ? 1 : FIRST_SECONDS_MAX;

	n->stats_askers = calloc(count + 1, sizeof(*n->stats_askers));
	if (!n->stats_askers)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct stats_asker *a = &n->stats_askers[i];
		int64_t first = (int64_t)os_random_below(spread * NS_PER_SEC);
		a->node = n;
		a->satellite = i;
		TRY_PLAIN(chores_add_network(call, n->chores, ask_satellite, a, first, &n->cancel,
					     &a->chore));
	}
	return OK;
}

void node_stats_stop(struct node *n)
{
	for (size_t i = 0; n->stats_askers && i < trust_count(n->trust); i++)
		chores_remove(n->chores, take(&n->stats_askers[i].chore));
	free(take(&n->stats_askers));
}

struct satellite_stats node_stats_of(struct node *n, size_t satellite)
{
	OS_LOCKED(&n->lock);
	return n->stats_askers ? n->stats_askers[satellite].stats : (struct satellite_stats){ 0 };
}
