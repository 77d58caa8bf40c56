/* /heldamount.HeldAmount, and of /nodestats.NodeStats what is about money and space (satellite.md
 * 11): what a node is owed, was paid, and held. */
#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "proto/heldamount.pb-c.h"
#include "proto/nodestats.pb-c.h"
#include "satellite/calendar.h"
#include "satellite/overlay.h"
#include "satellite/satellite.h"
#include "satellite/statement.h"

enum { MICRO_PER_CENT = 10000, USAGE_DAYS_MAX = 400 };

static enum err peer(struct call *call, struct satellite *sat, struct rpc_stream *stream,
		     struct node_id *ret)
{
	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), ret));
	if (!overlay_is_known(sat, ret))
		return call_fail(call, ERR_INTERNAL, "this satellite does not know the node");
	return OK;
}

/* ---- statements ---- */

static enum err fill_stub(struct call *call, const struct paystub *p,
			  Heldamount__GetHeldAmountResponse *m)
{
	struct month month;

	heldamount__get_held_amount_response__init(m);
	TRY_PLAIN(month_parse(call, p->month, &month));
	m->period = proto_time_new(&call->scratch, month.begin_ns);
	m->created_at = proto_time_new(&call->scratch, p->created_ns);
	m->node_id = proto_copy(&call->scratch, node_id_bytes(&p->node));
	m->codes = arena_str(&call->scratch, bytes_str(p->s.codes));
	if (!m->period || !m->created_at || !m->node_id.len || !m->codes)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	m->usage_at_rest = (double)p->byte_hours;
	m->usage_get = p->usage[ORDERS__PIECE_ACTION__GET];
	m->usage_put = p->usage[ORDERS__PIECE_ACTION__PUT];
	m->usage_get_repair = p->usage[ORDERS__PIECE_ACTION__GET_REPAIR];
	m->usage_put_repair = p->usage[ORDERS__PIECE_ACTION__PUT_REPAIR];
	m->usage_get_audit = p->usage[ORDERS__PIECE_ACTION__GET_AUDIT];
	m->comp_at_rest = p->s.at_rest;
	m->comp_get = p->s.comp[ORDERS__PIECE_ACTION__GET];
	m->comp_put = p->s.comp[ORDERS__PIECE_ACTION__PUT];
	m->comp_get_repair = p->s.comp[ORDERS__PIECE_ACTION__GET_REPAIR];
	m->comp_put_repair = p->s.comp[ORDERS__PIECE_ACTION__PUT_REPAIR];
	m->comp_get_audit = p->s.comp[ORDERS__PIECE_ACTION__GET_AUDIT];
	m->surge_percent = p->surge;
	m->held = p->s.held;
	m->owed = p->s.owed;
	m->disposed = p->s.disposed;
	m->paid = p->paid;
	m->distributed = p->distributed;
	return OK;
}

static enum err get_pay_stub(struct call *call, void *service, struct rpc_stream *stream)
{
	Heldamount__GetHeldAmountRequest *request = NULL;
	Heldamount__GetHeldAmountResponse reply;
	struct satellite *sat = service;
	struct paystub *list = NULL;
	size_t count = 0;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &heldamount__get_held_amount_request__descriptor, &request));
	TRY_PLAIN(peer(call, sat, stream, &id));
	const struct month m = month_of(MAX(proto_time(request->period), INT64_C(0)));
	TRY_PLAIN(paystubs_list(call, sat->db, &call->scratch, m.text, &id, &list, &count));
	/* Nodes look for this very code (satellite.md 11). */
	if (!count)
		return call_fail(call, ERR_OUT_OF_RANGE, "no paystub for period %s", m.text);
	TRY_PLAIN(fill_stub(call, &list[0], &reply));
	return rpc_send_message(call, stream, &reply.base);
}

static enum err get_all_paystubs(struct call *call, void *service, struct rpc_stream *stream)
{
	Heldamount__GetAllPaystubsResponse reply = HELDAMOUNT__GET_ALL_PAYSTUBS_RESPONSE__INIT;
	Heldamount__GetAllPaystubsRequest *request = NULL;
	struct satellite *sat = service;
	struct paystub *list = NULL;
	size_t count = 0;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &heldamount__get_all_paystubs_request__descriptor, &request));
	TRY_PLAIN(peer(call, sat, stream, &id));
	TRY_PLAIN(paystubs_list(call, sat->db, &call->scratch, "", &id, &list, &count));
	reply.paystub = arena_array(&call->scratch, count + 1,
				    sizeof(Heldamount__GetHeldAmountResponse *));
	for (size_t i = 0; reply.paystub && i < count; i++) {
		reply.paystub[i] = arena_alloc(&call->scratch, sizeof(*reply.paystub[i]));
		if (!reply.paystub[i])
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		TRY_PLAIN(fill_stub(call, &list[i], reply.paystub[i]));
	}
	if (!reply.paystub)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	reply.n_paystub = count;
	return rpc_send_message(call, stream, &reply.base);
}

/* ---- payments ---- */

static enum err fill_payment(struct call *call, const struct payment *p,
			     Heldamount__GetPaymentResponse *m)
{
	struct month month;

	heldamount__get_payment_response__init(m);
	TRY_PLAIN(month_parse(call, p->month, &month));
	m->node_id = proto_copy(&call->scratch, node_id_bytes(&p->node));
	m->created_at = proto_time_new(&call->scratch, p->created_ns);
	m->period = proto_time_new(&call->scratch, month.begin_ns);
	m->receipt = arena_str(&call->scratch, bytes_str(p->receipt));
	m->notes = arena_str(&call->scratch, bytes_str(p->notes));
	if (!m->node_id.len || !m->created_at || !m->period || !m->receipt || !m->notes)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	m->amount = p->amount;
	m->id = p->id;
	return OK;
}

static enum err get_payment(struct call *call, void *service, struct rpc_stream *stream)
{
	Heldamount__GetPaymentRequest *request = NULL;
	Heldamount__GetPaymentResponse reply;
	struct satellite *sat = service;
	struct payment *list = NULL;
	size_t count = 0;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &heldamount__get_payment_request__descriptor, &request));
	TRY_PLAIN(peer(call, sat, stream, &id));
	const struct month m = month_of(MAX(proto_time(request->period), INT64_C(0)));
	TRY_PLAIN(payments_list(call, sat->db, &call->scratch, m.text, &id, &list, &count));
	if (!count)
		return call_fail(call, ERR_OUT_OF_RANGE, "no payments for period %s", m.text);
	TRY_PLAIN(fill_payment(call, &list[count - 1], &reply));
	return rpc_send_message(call, stream, &reply.base);
}

static enum err get_all_payments(struct call *call, void *service, struct rpc_stream *stream)
{
	Heldamount__GetAllPaymentsResponse reply = HELDAMOUNT__GET_ALL_PAYMENTS_RESPONSE__INIT;
	Heldamount__GetAllPaymentsRequest *request = NULL;
	struct satellite *sat = service;
	struct payment *list = NULL;
	size_t count = 0;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &heldamount__get_all_payments_request__descriptor, &request));
	TRY_PLAIN(peer(call, sat, stream, &id));
	TRY_PLAIN(payments_list(call, sat->db, &call->scratch, "", &id, &list, &count));
	reply.payment = arena_array(&call->scratch, count + 1,
				    sizeof(Heldamount__GetPaymentResponse *));
	for (size_t i = 0; reply.payment && i < count; i++) {
		reply.payment[i] = arena_alloc(&call->scratch, sizeof(*reply.payment[i]));
		if (!reply.payment[i])
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		TRY_PLAIN(fill_payment(call, &list[i], reply.payment[i]));
	}
	if (!reply.payment)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	reply.n_payment = count;
	return rpc_send_message(call, stream, &reply.base);
}

/* ---- storage and prices ---- */

struct usage_arg {
	struct node_id id;
	int64_t from_ns, to_ns, now_ns;
	Nodestats__DailyStorageUsageResponse *reply;
};

static enum err add_day(struct call *call, const struct usage_arg *u, int64_t day, int64_t hours)
{
	Nodestats__DailyStorageUsageResponse__StorageUsage *m = arena_alloc(&call->scratch,
									    sizeof(*m));

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	nodestats__daily_storage_usage_response__storage_usage__init(m);
	m->at_rest_total = (double)hours;
	m->timestamp = proto_time_new(&call->scratch, day * NS_PER_DAY);
	m->interval_end_time = proto_time_new(&call->scratch,
					      MIN((day + 1) * NS_PER_DAY, u->now_ns));
	if (!m->timestamp || !m->interval_end_time)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	u->reply->daily_storage_usage[u->reply->n_daily_storage_usage++] = m;
	return OK;
}

static enum err read_days(struct call *call, struct db_tx *tx, void *arg)
{
	struct usage_arg *u = arg;
	struct db_rows *rows = NULL;
	enum err e;

	u->reply->n_daily_storage_usage = 0;
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT interval_start / 86400000000000 AS day, CAST(SUM(byte_hours) AS "
			   "INTEGER) FROM node_storage WHERE node_id = $1 AND interval_start >= $2 "
			   "AND interval_start < $3 GROUP BY interval_start / 86400000000000 ORDER "
			   "BY 1",
			   &rows, DB_V_BLOB(node_id_bytes(&u->id)), DB_V_INT(u->from_ns),
			   DB_V_INT(u->to_ns)));
	while (!(e = db_rows_next(call, rows)) &&
	       u->reply->n_daily_storage_usage < USAGE_DAYS_MAX) {
		e = add_day(call, u, db_int(rows, 0), db_int(rows, 1));
		if (e)
			break;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err daily_storage_usage(struct call *call, void *service, struct rpc_stream *stream)
{
	Nodestats__DailyStorageUsageResponse reply = NODESTATS__DAILY_STORAGE_USAGE_RESPONSE__INIT;
	Nodestats__DailyStorageUsageRequest *request = NULL;
	struct satellite *sat = service;
	struct usage_arg u = { .now_ns = os_clock_unix_ns(), .reply = &reply };

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &nodestats__daily_storage_usage_request__descriptor, &request));
	TRY_PLAIN(peer(call, sat, stream, &u.id));
	u.from_ns = proto_time(request->from);
	u.to_ns = proto_time(request->to);
	/* Whole days: the first one begins before the moment asked for. */
	if (u.from_ns > 0)
		u.from_ns -= u.from_ns % NS_PER_DAY;
	reply.node_id = proto_copy(&call->scratch, node_id_bytes(&u.id));
	reply.daily_storage_usage =
		arena_array(&call->scratch, USAGE_DAYS_MAX,
			    sizeof(Nodestats__DailyStorageUsageResponse__StorageUsage *));
	if (!reply.node_id.len || !reply.daily_storage_usage)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(db_read_one(call, sat->db, read_days, &u));
	return rpc_send_message(call, stream, &reply.base);
}

static enum err pricing_model(struct call *call, void *service, struct rpc_stream *stream)
{
	Nodestats__PricingModelResponse reply = NODESTATS__PRICING_MODEL_RESPONSE__INIT;
	Nodestats__PricingModelRequest *request = NULL;
	const struct satellite *sat = service;
	const struct satellite_config *c = &sat->config;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &nodestats__pricing_model_request__descriptor, &request));
	/* Whole cents, cut. */
	reply.egress_bandwidth_price = (int64_t)(c->pay_egress / MICRO_PER_CENT);
	reply.repair_bandwidth_price = (int64_t)(c->pay_repair / MICRO_PER_CENT);
	reply.disk_space_price = (int64_t)(c->pay_storage / MICRO_PER_CENT);
	reply.audit_bandwidth_price = (int64_t)(c->pay_audit / MICRO_PER_CENT);
	return rpc_send_message(call, stream, &reply.base);
}

const struct rpc_method payout_methods[] = {
	{ "/nodestats.NodeStats/DailyStorageUsage", daily_storage_usage },
	{ "/nodestats.NodeStats/PricingModel", pricing_model },
	{ "/heldamount.HeldAmount/GetPayStub", get_pay_stub },
	{ "/heldamount.HeldAmount/GetAllPaystubs", get_all_paystubs },
	{ "/heldamount.HeldAmount/GetPayment", get_payment },
	{ "/heldamount.HeldAmount/GetAllPayments", get_all_payments },
};
const size_t payout_methods_count = ARRAY_LEN(payout_methods);
