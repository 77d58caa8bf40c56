/* What uploads and downloads share: authorisation, orders, ends. */
#include "node/endpoint_piecestore.h"

#include "base/num.h"
#include "os/clock.h"

void transfer_limit_time(struct call *call)
{
	call->deadline_ns = os_clock_mono_ns() + NODE_STREAM_SECONDS * NS_PER_SEC;
}

enum err transfer_recv(struct call *call, struct transfer *t, struct bytes *ret)
{
	transfer_limit_time(call);
	return rpc_recv(call, t->stream, ret);
}

enum err transfer_authorize(struct call *call, struct transfer *t)
{
	struct node *n = t->node;
	int64_t now = os_clock_unix_ns();

	if (n->clock_wrong)
		return call_fail(call, ERR_UNAVAILABLE, "the node's clock is wrong");
	TRY_PLAIN(verify_limit(call, &t->terms, identity_node_id(n->identity), now));
	TRY_PLAIN(trust_verify_limit(call, n->trust, &t->terms));
	/* Before the serial is used up: the window must not be settled without this transfer. */
	struct order_window w = node_order_window(&t->terms);
	order_log_enter(n->orders, &t->window, &w);
	TRY_PLAIN(serials_use(call, n->serials, &t->terms.satellite, &t->terms.serial,
			      t->terms.order_creation_unix_ns, now));
	if (ed25519_verifier_new(call, proto_bytes(t->terms.message->uplink_public_key),
				 &t->uplink))
		return call_wrap(call, ERR_UNAUTHENTICATED, "uplink public key");
	return OK;
}

enum err transfer_take_order(struct call *call, struct transfer *t, struct bytes wire)
{
	struct order order;

	TRY_PLAIN(order_decode(call, wire, &order));
	TRY_PLAIN(verify_order(call, &t->terms, &order, t->order.amount, t->uplink));
	t->order = order;
	return OK;
}

void transfer_keep_order(struct transfer *t)
{
	if (t->order.amount > 0 && !t->order_kept)
		node_keep_order(t->node, &t->terms, &t->order);
	t->order_kept = true;
}

void transfer_end(struct transfer *t)
{
	transfer_keep_order(t);
	order_log_leave(t->node->orders, &t->window);
	ed25519_verifier_free(t->uplink);
}

enum err transfer_canceled(struct call *call, const struct transfer *t)
{
	if (os_cancel_is_set(&t->node->cancel))
		return call_fail(call, ERR_UNAVAILABLE, "the node is stopping");
	return ERR_CANCELED;
}
