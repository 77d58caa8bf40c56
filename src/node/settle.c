/* Windows of orders go to their satellites: complete, once, again after failures (orders.md 8,
 * storagenode.md 9). */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/random.h"
#include "proto/orders.pb-c.h"

enum {
	GRACE_SECONDS = 3600,	/* after the end of the hour; limits are used that long */
	INTERVAL_SECONDS = 600, /* between two looks */
	INTERVAL_DEVELOPMENT = 1,
	JITTER_SECONDS = 300, /* all nodes' windows end at the same moment */
	RETRY_SECONDS_FIRST = 60,
	RETRY_SECONDS_MAX = 3600,
	WINDOW_SECONDS_MAX = 3600, /* to send one */
	ANSWER_SECONDS = 600,
	/* Satellites pay until a limit expires, usually a day after its creation. */
	LATE_SECONDS = 25 * 3600,
	GIVE_UP_SECONDS = 7 * 24 * 3600,
	ARCHIVE_SECONDS = 7 * 24 * 3600,
	PRUNE_SECONDS = 3600,
	ACTIONS = 8,
};

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)
DEFINE_AUTO_PTR(struct rpc_stream, stream_auto, rpc_stream_end)

/* ---- one window ---- */

struct sending {
	struct rpc_stream *stream; /* NULL: only counted */
	uint64_t entries, bytes;
};

static enum err send_entry(struct call *call, void *arg, const struct order_window *w,
			   const struct order_entry *entry)
{
	AUTO_BUF struct buf message = BUF_INIT(ORDER_ENTRY_MAX + 64);
	struct sending *s = arg;
	struct order order;

	/* The file is ours, but it lay on a disk. */
	if (order_decode(call, entry->order, &order)) {
		call_clear_error(call);
		return OK;
	}
	s->entries++;
	s->bytes += (uint64_t)MAX(order.amount, 0);
	if (!s->stream)
		return OK;
	/* SettlementRequest { 1 limit, 2 order }, both as they came: the satellite checks its own
	 * signature over fields that we may not know. */
	buf_add_field_bytes(&message, 1, entry->limit);
	buf_add_field_bytes(&message, 2, entry->order);
	TRY_PLAIN(buf_status(&message));
	struct bytes part = buf_bytes(&message);
	return rpc_send(call, s->stream, &part, 1);
}

static uint64_t sum_of(const Orders__SettlementWithWindowResponse *reply)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < reply->n_action_settled; i++)
		sum += (uint64_t)MAX(reply->action_settled[i]->value, 0);
	return sum;
}

struct settled {
	enum order_outcome outcome;
	uint64_t entries, bytes; /* sent */
	uint64_t paid;
};

static enum err send_window(struct call *call, struct node *n, struct rpc_conn *conn,
			    const struct order_window *w, struct settled *ret)
{
	Orders__SettlementWithWindowResponse *reply = NULL;
	AUTO(stream_auto) struct rpc_stream *stream = NULL;
	struct sending s = { 0 };

	os_call_limit(call, WINDOW_SECONDS_MAX * NS_PER_SEC);
	TRY_PLAIN(rpc_open(call, conn, "/orders.Orders/SettlementWithWindow", &stream));
	s.stream = stream;
	TRY_PLAIN(order_log_visit(call, n->orders, w, send_entry, &s));
	TRY_PLAIN(rpc_close_send(call, stream));
	os_call_limit(call, ANSWER_SECONDS * NS_PER_SEC);
	TRY_PLAIN(rpc_recv_message(call, stream, &call->scratch,
				   &orders__settlement_with_window_response__descriptor, &reply));
	*ret = (struct settled){
		.outcome = reply->status ==
					   ORDERS__SETTLEMENT_WITH_WINDOW_RESPONSE__STATUS__ACCEPTED
				   ? ORDERS_ACCEPTED
				   : ORDERS_REJECTED,
		.entries = s.entries,
		.bytes = s.bytes,
		.paid = sum_of(reply),
	};
	return OK;
}

static void note(struct node *n, const struct order_window *w, const struct settled *s)
{
	char id[NODE_ID_TEXT_MAX];
	uint64_t lost = s->bytes - MIN(s->paid, s->bytes);

	node_id_text(&w->satellite, id);
	if (s->outcome == ORDERS_ACCEPTED)
		log_info("orders settled", F_STR("satellite", id), F_I64("hour", w->hour_unix),
			 F_U64("orders", s->entries), F_U64("bytes", s->paid));
	if (s->outcome != ORDERS_ACCEPTED || lost)
		log_warn(s->outcome == ORDERS_UNSENT
				 ? "orders given up: they could not be sent while they were valid"
				 : "the satellite does not pay for orders",
			 F_STR("satellite", id), F_I64("hour", w->hour_unix),
			 F_STR("answer", order_outcome_name(s->outcome)),
			 F_U64("orders", s->entries), F_U64("bytes", lost));
}

static enum err archive(struct call *call, struct node *n, const struct order_window *w,
			const struct settled *s)
{
	TRY_PLAIN(order_log_archive(call, n->orders, w, os_clock_unix_ns(), s->outcome));
	note(n, w, s);
	return OK;
}

static enum err give_up(struct call *call, struct node *n, const struct order_window *w,
			struct settled *ret)
{
	struct sending s = { 0 };

	TRY_PLAIN(order_log_visit(call, n->orders, w, send_entry, &s));
	*ret = (struct settled){ ORDERS_UNSENT, s.entries, s.bytes, 0 };
	return archive(call, n, w, ret);
}

/* ---- the windows of one satellite ---- */

/* Seconds since the hour's end and the grace after it; negative: it is not yet complete. */
static int64_t overdue(const struct node *n, const struct order_window *w)
{
	return (os_clock_unix_ns() + n->config.settle_early_ns) / NS_PER_SEC - w->hour_unix -
	       ORDER_WINDOW_SECONDS - GRACE_SECONDS;
}

static void count_settled(struct settler *t, const struct settled *s)
{
	OS_LOCKED(&t->node->lock);
	t->view.paid_bytes += s->paid;
	t->view.lost_bytes += s->bytes - MIN(s->paid, s->bytes);
	t->view.last_unix_ns = os_clock_unix_ns();
}

static enum err settle_window(struct call *call, struct settler *t, const struct order_window *w,
			      struct rpc_conn **conn)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct node *n = t->node;
	struct settled s = { 0 };
	enum err e = OK;

	call_init_child(&own, call);
	if (*conn && !rpc_conn_reusable(*conn))
		rpc_conn_close(take(conn));
	if (!*conn)
		e = node_dial_satellite(&own, n, t->satellite, conn);
	if (!e)
		e = send_window(&own, n, *conn, w, &s);
	if (!e)
		e = archive(&own, n, w, &s);
	else if (e != ERR_CANCELED && overdue(n, w) > GIVE_UP_SECONDS)
		e = give_up(&own, n, w, &s);
	if (e)
		call_copy_error(call, &own);
	else
		count_settled(t, &s);
	return e;
}

/* All that are due, oldest first; one that fails does not hold up the others. */
static enum err settle_due(struct call *call, struct settler *t, uint64_t *ret_waiting)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	struct node *n = t->node;
	struct order_window *list = NULL;
	size_t count = 0;
	enum err first = OK;
	bool checkpointed = false;

	TRY_PLAIN(order_log_list(call, n->orders, &call->scratch, &list, &count));
	for (size_t i = 0; i < count && first != ERR_CANCELED; i++) {
		const struct order_window *w = &list[i];
		if (!node_id_equal(&w->satellite, trust_id(n->trust, t->satellite)))
			continue;
		++*ret_waiting;
		if (overdue(n, w) <= 0 || order_log_in_use(n->orders, w))
			continue;
		/* Records beyond the last checkpoint may put orders back (README, invariants). */
		if (!checkpointed)
			TRY_PLAIN(piece_store_checkpoint(call, n->store));
		checkpointed = true;
		AUTO_CALL struct call own = CALL_INIT;
		call_init_child(&own, call);
		enum err e = settle_window(&own, t, w, &conn);
		*ret_waiting -= !e;
		if (e && !first) {
			call_copy_error(call, &own);
			first = e;
		}
	}
	return first;
}

static int64_t jitter(int64_t seconds)
{
	return (int64_t)os_random_below((uint64_t)(seconds * NS_PER_SEC));
}

static int64_t next_look(struct settler *t, bool failed)
{
	int64_t wait = INTERVAL_SECONDS, spread = JITTER_SECONDS;

	if (t->node->config.development)
		return INTERVAL_DEVELOPMENT * NS_PER_SEC;
	t->failures = failed ? t->failures + 1 : 0;
	if (failed) {
		wait = RETRY_SECONDS_FIRST;
		for (unsigned i = 1; i < t->failures && wait < RETRY_SECONDS_MAX; i++)
			wait *= 2;
		wait = MIN(wait, (int64_t)RETRY_SECONDS_MAX);
		spread = wait / 2;
	}
	return wait * NS_PER_SEC + jitter(spread);
}

static int64_t settle(struct call *call, void *arg)
{
	struct settler *t = arg;
	struct node *n = t->node;
	uint64_t waiting = 0;

	/* Until the log is read a window may lack orders of uploads that were acknowledged; by a
	 * wrong clock its hour may not be over. */
	if (!piece_store_recovered(n->store) || n->clock_wrong)
		return (n->config.development ? INTERVAL_DEVELOPMENT : RETRY_SECONDS_FIRST) *
		       NS_PER_SEC;
	enum err e = settle_due(call, t, &waiting);
	if (node_stops(n, e))
		return CHORE_NEVER;
	os_mutex_lock(&n->lock);
	bool changed = !e != !t->view.error[0];
	t->view.windows = waiting;
	t->view.error[0] = 0;
	if (e)
		memcpy(t->view.error, call_error(call, e),
		       strnlen(call_error(call, e), CALL_ERROR_MAX - 1) + 1);
	os_mutex_unlock(&n->lock);
	if (e && changed)
		log_warn("orders not settled, will be tried again",
			 F_STR("satellite", trust_address(n->trust, t->satellite)),
			 F_STR("why", call_error(call, e)));
	return next_look(t, e != OK);
}

struct settler_view node_settle_view(struct node *n, size_t satellite)
{
	OS_LOCKED(&n->lock);

	return n->settlers[satellite].view;
}

/* ---- the archive, and what nobody pays for ---- */

/* Windows of satellites that are not trusted any more. */
static enum err give_up_untrusted(struct call *call, struct node *n)
{
	struct order_window *list = NULL;
	size_t count = 0;

	TRY_PLAIN(order_log_list(call, n->orders, &call->scratch, &list, &count));
	for (size_t i = 0; i < count; i++) {
		struct settled s;
		if (!trust_has(n->trust, &list[i].satellite) && overdue(n, &list[i]) > LATE_SECONDS)
			TRY_PLAIN(give_up(call, n, &list[i], &s));
	}
	return OK;
}

static int64_t prune_orders(struct call *call, void *arg)
{
	struct node *n = arg;
	size_t removed = 0;
	enum err e = order_log_prune(call, n->orders,
				     os_clock_unix_ns() - ARCHIVE_SECONDS * NS_PER_SEC, &removed);

	if (!e)
		e = give_up_untrusted(call, n);
	if (e && e != ERR_CANCELED)
		log_warn("old orders not cleared away", F_STR("why", call_error(call, e)));
	return PRUNE_SECONDS * NS_PER_SEC;
}

enum err node_settle_start(struct call *call, struct node *n)
{
	int64_t spread = n->config.development ? INTERVAL_DEVELOPMENT : JITTER_SECONDS;

	for (size_t i = 0; i < trust_count(n->trust); i++) {
		struct settler *t = &n->settlers[i];
		*t = (struct settler){ .node = n, .satellite = i };
		TRY_PLAIN(chores_add_network(call, n->chores, settle, t, jitter(spread), &n->cancel,
					     &t->chore));
	}
	return chores_add(call, n->chores, prune_orders, n, PRUNE_SECONDS * NS_PER_SEC, &n->cancel,
			  &n->prune_orders);
}

void node_settle_stop(struct node *n)
{
	for (size_t i = 0; n->trust && i < trust_count(n->trust); i++)
		chores_remove(n->chores, take(&n->settlers[i].chore));
	chores_remove(n->chores, take(&n->prune_orders));
}
