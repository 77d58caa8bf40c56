/* What satellites say of the node: audits, suspension, time online, payouts.  Only for the
 * operator's eyes; asked rarely, at a time of the node's own (storagenode.md 10, satellite.md 11,
 * 12). */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/random.h"
#include "proto/heldamount.pb-c.h"
#include "proto/nodestats.pb-c.h"

enum {
	INTERVAL_SECONDS = 4 * 3600,
	FIRST_SECONDS_MAX = 300,
	INTERVAL_DEVELOPMENT = 5,
	ASK_SECONDS_MAX = 120,
	KEPT_MAX = 4096,
};

/* Of the year 9999. */
#define MONTH_MAX UINT64_C(253402300799)

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

static int newer(const void *a, const void *b)
{
	const Heldamount__GetHeldAmountResponse *const *x = a, *const *y = b;
	uint64_t m = seconds_of((*x)->period), n = seconds_of((*y)->period);

	return (m < n) - (m > n);
}

/* Statements come in any order. */
static void tell_months(struct satellite_stats *s, Heldamount__GetHeldAmountResponse **stubs,
			size_t count)
{
	AUTO_BUF struct buf text = BUF_INIT(sizeof(s->months) - 1);

	for (size_t i = 0; i < count && i < STATS_MONTHS; i++) {
		AUTO_BUF struct buf day = BUF_INIT(64);
		uint64_t paid = positive(stubs[i]->paid);
		text_add_time(&day,
			      (int64_t)MIN(seconds_of(stubs[i]->period), MONTH_MAX) * NS_PER_SEC,
			      false);
		buf_printf(&text, "%s%.7s $%llu.%02llu", i ? ", " : "", buf_cstr(&day),
			   (unsigned long long)(paid / 1000000),
			   (unsigned long long)(paid % 1000000 / 10000));
	}
	snprintf(s->months, sizeof(s->months), "%s", buf_cstr(&text));
}

static enum err ask_payouts(struct call *call, struct rpc_conn *conn, struct satellite_stats *s)
{
	Heldamount__GetAllPaystubsResponse *reply = NULL;
	uint64_t held = 0;

	TRY_PLAIN(rpc_invoke(call, conn, "/heldamount.HeldAmount/GetAllPaystubs", NULL,
			     &call->scratch, &heldamount__get_all_paystubs_response__descriptor,
			     &reply));
	for (size_t i = 0; i < reply->n_paystub; i++) {
		s->paid += positive(reply->paystub[i]->paid);
		held += positive(reply->paystub[i]->held);
		s->disposed += positive(reply->paystub[i]->disposed);
	}
	s->held = held > s->disposed ? held - s->disposed : 0;
	if (reply->n_paystub) {
		qsort(reply->paystub, reply->n_paystub, sizeof(*reply->paystub), newer);
		s->paid_last = positive(reply->paystub[0]->paid);
		tell_months(s, reply->paystub, reply->n_paystub);
	}
	return OK;
}

/* The receipt is the satellite's text, and is kept as a line. */
static void tell_receipt(struct satellite_stats *s, const Heldamount__GetPaymentResponse *p)
{
	AUTO_BUF struct buf month = BUF_INIT(64);

	text_add_time(&month, (int64_t)MIN(seconds_of(p->period), MONTH_MAX) * NS_PER_SEC, false);
	snprintf(s->receipt, sizeof(s->receipt), "%.7s %s", buf_cstr(&month), p->receipt);
	for (char *c = s->receipt; *c; c++)
		if ((uint8_t)*c < ' ' || (uint8_t)*c >= 0x7f)
			*c = ' ';
}

/* What of it was sent, with which receipts: a satellite may say that later than the statements. */
static enum err ask_payments(struct call *call, struct rpc_conn *conn, struct satellite_stats *s)
{
	Heldamount__GetAllPaymentsResponse *reply = NULL;
	const Heldamount__GetPaymentResponse *last = NULL;

	TRY_PLAIN(rpc_invoke(call, conn, "/heldamount.HeldAmount/GetAllPayments", NULL,
			     &call->scratch, &heldamount__get_all_payments_response__descriptor,
			     &reply));
	for (size_t i = 0; i < reply->n_payment; i++) {
		const Heldamount__GetPaymentResponse *p = reply->payment[i];
		s->sent += positive(p->amount);
		if (!last || seconds_of(p->created_at) >= seconds_of(last->created_at))
			last = p;
	}
	if (last)
		tell_receipt(s, last);
	return OK;
}

/* ---- kept, so that a start shows what was known ---- */

#define KEPT_HEAD "acre-node satellite 1\n"

static const struct {
	const char *name;
	size_t offset;
	enum { COUNT, REAL, MONTHS, RECEIPT } kind;
} kept[] = {
#define KEPT(name, field, kind)                                                                    \
	{                                                                                          \
		name, offsetof(struct satellite_stats, field), kind                                \
	}
	KEPT("known ", known_unix, COUNT),
	KEPT("audit-score ", audit_score, REAL),
	KEPT("suspension-score ", suspension_score, REAL),
	KEPT("online-score ", online_score, REAL),
	KEPT("audits ", audits, COUNT),
	KEPT("audits-passed ", audits_passed, COUNT),
	KEPT("disqualified ", disqualified, COUNT),
	KEPT("suspended ", suspended, COUNT),
	KEPT("offline-suspended ", offline_suspended, COUNT),
	KEPT("under-review ", under_review, COUNT),
	KEPT("joined ", joined, COUNT),
	KEPT("vetted ", vetted, COUNT),
	KEPT("paid ", paid, COUNT),
	KEPT("held ", held, COUNT),
	KEPT("disposed ", disposed, COUNT),
	KEPT("paid-last ", paid_last, COUNT),
	KEPT("months ", months, MONTHS),
	KEPT("sent ", sent, COUNT),
	KEPT("receipt ", receipt, RECEIPT),
#undef KEPT
};

static const char *kept_path(struct call *call, struct node *n, size_t satellite)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(trust_id(n->trust, satellite), id);
	return os_path_join(call, os_path_join(call, n->dir, "satellites"), id);
}

static enum err keep(struct call *call, struct node *n, size_t satellite,
		     const struct satellite_stats *s)
{
	AUTO_BUF struct buf text = BUF_INIT(KEPT_MAX);

	buf_add_str(&text, KEPT_HEAD);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const uint8_t *field = (const uint8_t *)s + kept[i].offset;
		uint64_t count;
		double real;
		buf_add_str(&text, kept[i].name);
		switch (kept[i].kind) {
		case COUNT:
			memcpy(&count, field, sizeof(count));
			buf_printf(&text, "%llu\n", (unsigned long long)count);
			break;
		case REAL: /* a satellite's number may be none */
			memcpy(&real, field, sizeof(real));
			buf_printf(&text, "%.9f\n", real >= 0 && real <= 1000 ? real : 0);
			break;
		case MONTHS:
		case RECEIPT:
			buf_printf(&text, "%s\n", (const char *)field);
		}
	}
	TRY(buf_status(&text), "what a satellite said");
	TRY_PLAIN(os_dir_make(call, os_path_join(call, n->dir, "satellites"), false));
	return os_file_write_all(call, kept_path(call, n, satellite), buf_bytes(&text), false);
}

static bool read_kept(struct bytes line, size_t i, struct satellite_stats *s)
{
	uint8_t *field = (uint8_t *)s + kept[i].offset;
	uint64_t count = 0;
	double real = 0;

	switch (kept[i].kind) {
	case COUNT:
		if (text_u64(line, UINT64_MAX, &count))
			return false;
		memcpy(field, &count, sizeof(count));
		return true;
	case REAL:
		if (text_real(line, &real))
			return false;
		memcpy(field, &real, sizeof(real));
		return true;
	case MONTHS:
	case RECEIPT:
		snprintf((char *)field,
			 kept[i].kind == MONTHS ? STATS_MONTHS_TEXT : STATS_RECEIPT_TEXT, "%.*s",
			 (int)line.len, line.len ? (const char *)line.data : "");
		return true;
	}
	return false;
}

/* One that is damaged, or of a later version, is none: the satellite will say it again. */
static void recall(struct call *call, struct node *n, size_t satellite, struct satellite_stats *ret)
{
	AUTO_BUF struct buf text = BUF_INIT(KEPT_MAX);
	struct satellite_stats s = { 0 };

	if (os_file_read_all(call, kept_path(call, n, satellite), &text)) {
		call_clear_error(call);
		return;
	}
	struct bytes rest = buf_bytes(&text);
	if (!bytes_has_prefix(rest, bytes_str(KEPT_HEAD)))
		return;
	rest = bytes_from(rest, strlen(KEPT_HEAD));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const uint8_t *end = rest.len ? memchr(rest.data, '\n', rest.len) : NULL;
		struct bytes line = BYTES(rest.data, end ? (size_t)(end - rest.data) : 0);
		if (!end || !bytes_has_prefix(line, bytes_str(kept[i].name)) ||
		    !read_kept(bytes_from(line, strlen(kept[i].name)), i, &s))
			return;
		rest = bytes_from(rest, line.len + 1);
	}
	*ret = s;
}

/* ---- asking ---- */

static enum err ask(struct call *call, struct node *n, size_t satellite,
		    struct satellite_stats *ret)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	struct satellite_stats s = { 0 };

	os_call_limit(call, ASK_SECONDS_MAX * NS_PER_SEC);
	TRY_PLAIN(node_dial_satellite(call, n, satellite, &conn));
	TRY_PLAIN(ask_stats(call, conn, &s));
	/* A satellite need not pay. */
	if (ask_payouts(call, conn, &s) || ask_payments(call, conn, &s)) {
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
	if (!e && keep(call, n, a->satellite, &s))
		log_warn("what a satellite said could not be kept", F_STR("why", call->error));
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
		recall(call, n, i, &a->stats);
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
