/* /orders.Orders: nodes settle what they moved (orders.md 8). */
#include "base/cleanup.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/settlement.h"

/* A node that sends nothing must not keep a worker. */
#define ENTRY_NS_MAX (60 * NS_PER_SEC)
#define SETTLEMENT_NS_MAX (3600 * NS_PER_SEC)

DEFINE_AUTO_PTR(struct settlement, settlement_auto, settlement_free)

static enum err receive_all(struct call *call, struct rpc_stream *stream, struct settlement *s)
{
	AUTO(arena_free) struct arena a = { 0 };

	for (;;) {
		Orders__SettlementRequest *entry = NULL;
		int64_t deadline_ns = call->deadline_ns;
		os_call_limit(call, ENTRY_NS_MAX);
		enum err e = rpc_recv_message(call, stream, &a,
					      &orders__settlement_request__descriptor, &entry);
		call->deadline_ns = deadline_ns;
		if (e == ERR_EOF)
			return OK;
		TRY_PLAIN(e);
		TRY_PLAIN(settlement_add(call, s, entry));
		arena_reset(&a);
	}
}

static enum err answer(struct call *call, struct rpc_stream *stream, const struct settlement *s,
		       bool accepted)
{
	Orders__SettlementWithWindowResponse resp = ORDERS__SETTLEMENT_WITH_WINDOW_RESPONSE__INIT;
	Orders__SettlementWithWindowResponse__ActionSettledEntry entries[SETTLEMENT_ACTIONS];
	Orders__SettlementWithWindowResponse__ActionSettledEntry *list[SETTLEMENT_ACTIONS];
	const int64_t *sums = settlement_sums(s);

	resp.status = accepted ? ORDERS__SETTLEMENT_WITH_WINDOW_RESPONSE__STATUS__ACCEPTED
			       : ORDERS__SETTLEMENT_WITH_WINDOW_RESPONSE__STATUS__REJECTED;
	resp.action_settled = list;
	for (int32_t action = 1; accepted && action < SETTLEMENT_ACTIONS; action++) {
		if (!sums[action])
			continue;
		Orders__SettlementWithWindowResponse__ActionSettledEntry *e =
			&entries[resp.n_action_settled];
		orders__settlement_with_window_response__action_settled_entry__init(e);
		e->key = action;
		e->value = sums[action];
		list[resp.n_action_settled++] = e;
	}
	return rpc_send_message(call, stream, &resp.base);
}

static enum err settlement_with_window(struct call *call, void *service, struct rpc_stream *stream)
{
	struct satellite *sat = service;
	AUTO(settlement_auto) struct settlement *s = NULL;
	struct node_id node;
	bool accepted = false;

	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), &node));
	TRY_PLAIN(settlement_new(call, sat, &node, &s));
	os_call_limit(call, SETTLEMENT_NS_MAX);
	TRY_PLAIN(receive_all(call, stream, s));
	enum err e = settlement_finish(call, s, sat->db, &accepted);
	if (e) {
		log_warn("settlement not stored", F_STR("error", call_error(call, e)));
		return call_fail(
			call, ERR_UNAVAILABLE,
			"the satellite could not store the settlement; send it again later");
	}
	return answer(call, stream, s, accepted);
}

const struct rpc_method orders_methods[] = {
	{ "/orders.Orders/SettlementWithWindow", settlement_with_window },
};
const size_t orders_methods_count = ARRAY_LEN(orders_methods);
