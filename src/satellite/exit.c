/* Deciding about nodes that leave. */
#include "satellite/exit.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "proto/proto.h"
#include "satellite/calendar.h"
#include "satellite/overlay.h"
#include "satellite/satellite.h"
#include "satellite/standing.h"

enum { MESSAGE_MAX = 512 };
#define ONLINE_SCORE_MIN 0.8

/* ---- deciding ---- */

int64_t exit_allowed_ns(const struct satellite_config *config, const struct exit_node *n)
{
	return calendar_add_months(n->created_ns, (int64_t)config->exit_min_months);
}

struct exit_decision exit_decide(struct call *call, const struct satellite_config *config,
				 const struct exit_node *n, int64_t now_ns)
{
	struct exit_decision d = { .step = EXIT_REFUSED };

	if (n->disqualified_ns) {
		d.fail_now = n->initiated_ns && !n->finished_ns;
		(void)call_fail(call, ERR_PRECONDITION, "node is disqualified");
	} else if (n->finished_ns) {
		d.step = EXIT_FINISHED;
		d.success = n->success;
	} else if (n->initiated_ns) {
		if (now_ns <= n->initiated_ns + config->exit_duration) {
			d.step = EXIT_WAIT;
			return d;
		}
		d.step = EXIT_FINISH;
		d.success = true;
		if (n->online_score < ONLINE_SCORE_MIN) {
			d.success = false;
			d.reason = GRACEFULEXIT__EXIT_FAILED__REASON__INACTIVE_TIMEFRAME_EXCEEDED;
		}
		/* A node that lost its data might answer all audits with errors. */
		if (n->unknown_suspended_ns) {
			d.success = false;
			d.reason =
				GRACEFULEXIT__EXIT_FAILED__REASON__OVERALL_FAILURE_PERCENTAGE_EXCEEDED;
		}
	} else if (n->unknown_suspended_ns || n->offline_suspended_ns) {
		(void)call_fail(call, ERR_PRECONDITION,
				"node is suspended. Please get node unsuspended before initiating "
				"graceful exit");
	} else if (now_ns < exit_allowed_ns(config, n)) {
		(void)call_fail(call, ERR_PRECONDITION,
				"node is not yet %llu months with this satellite, which is how old "
				"it must be to leave with what was held back",
				(unsigned long long)config->exit_min_months);
	} else {
		d.step = EXIT_BEGIN;
	}
	return d;
}

/* ---- rows ---- */

struct read_arg {
	const struct node_id *id;
	struct exit_node node;
};

/* 1 for a node that was never audited. */
static enum err read_online_score(struct call *call, struct db_tx *tx, struct read_arg *r)
{
	static const struct reputation_rules none;
	struct reputation standing;

	TRY_PLAIN(standing_load(call, tx, &none, r->id, &standing));
	r->node.online_score = standing.online_score;
	return OK;
}

static enum err read_node(struct call *call, struct db_tx *tx, void *arg)
{
	struct read_arg *r = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT created_at, disqualified_at, unknown_audit_suspended_at, "
			   "offline_suspended_at, exit_initiated_at, exit_finished_at, "
			   "exit_success FROM nodes WHERE id = $1",
			   &rows, DB_V_BLOB(node_id_bytes(r->id))));
	enum err e = db_rows_next(call, rows);
	if (!e)
		r->node = (struct exit_node){
			.id = *r->id,
			.created_ns = db_int(rows, 0),
			.disqualified_ns = db_int(rows, 1),
			.unknown_suspended_ns = db_int(rows, 2),
			.offline_suspended_ns = db_int(rows, 3),
			.initiated_ns = db_int(rows, 4),
			.finished_ns = db_int(rows, 5),
			.success = db_int(rows, 6) == 1,
		};
	db_rows_free(rows);
	return e ? e : read_online_score(call, tx, r);
}

enum err exit_read(struct call *call, struct db *db, const struct node_id *id,
		   struct exit_node *ret)
{
	struct read_arg r = { .id = id };

	TRY_PLAIN(db_read(call, db, read_node, &r));
	*ret = r.node;
	return OK;
}

struct change_arg {
	const struct node_id *id;
	int64_t now_ns;
	bool begin, success;
	struct exit_node after;
};

/* Whoever came first has decided. */
static enum err change_node(struct call *call, struct db_tx *tx, void *arg)
{
	struct change_arg *c = arg;
	struct read_arg r = { .id = c->id };

	if (c->begin)
		TRY_PLAIN(DB_EXEC(call, tx,
				  "UPDATE nodes SET exit_initiated_at = $2, updated_at = $2 WHERE "
				  "id = $1 AND COALESCE(exit_initiated_at, 0) = 0",
				  NULL, DB_V_BLOB(node_id_bytes(c->id)), DB_V_INT(c->now_ns)));
	else
		TRY_PLAIN(DB_EXEC(call, tx,
				  "UPDATE nodes SET exit_finished_at = $2, exit_success = $3, "
				  "updated_at = $2 WHERE id = $1 AND COALESCE(exit_finished_at, 0) "
				  "= 0",
				  NULL, DB_V_BLOB(node_id_bytes(c->id)), DB_V_INT(c->now_ns),
				  DB_V_INT(c->success)));
	TRY_PLAIN(read_node(call, tx, &r));
	c->after = r.node;
	return OK;
}

static enum err change(struct call *call, struct satellite *sat, struct exit_node *n,
		       int64_t now_ns, bool begin, bool success)
{
	struct change_arg c = { &n->id, now_ns, begin, success, { { { 0 } } } };
	char id[NODE_ID_TEXT_MAX];

	TRY(db_write(call, sat->db, change_node, &c), "note a graceful exit");
	*n = c.after;
	node_id_text(&n->id, id);
	log_info(begin	   ? "a node begins to leave"
		 : success ? "a node has left, with success"
			   : "a node has left, without success",
		 F_STR("node", id));
	/* From now on it gets no new pieces. */
	return overlay_refresh(call, sat);
}

/* ---- receipts ---- */

static enum err sign(struct call *call, struct arena *a, const struct satellite *sat,
		     const ProtobufCMessage *message, ProtobufCBinaryData *ret)
{
	AUTO_BUF struct buf text = BUF_INIT(MESSAGE_MAX);
	AUTO_BUF struct buf signature = BUF_INIT(SIGNATURE_MAX);

	TRY_PLAIN(proto_encode(call, message, &text));
	TRY_PLAIN(
		private_key_sign(call, identity_key(sat->identity), buf_bytes(&text), &signature));
	*ret = proto_copy(a, buf_bytes(&signature));
	return ret->len ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static enum err completed(struct call *call, struct arena *a, const struct satellite *sat,
			  const struct exit_node *n, Gracefulexit__SatelliteMessage *ret)
{
	Gracefulexit__ExitCompleted *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	gracefulexit__exit_completed__init(m);
	m->satellite_id = proto_copy(a, node_id_bytes(&sat->id));
	m->node_id = proto_copy(a, node_id_bytes(&n->id));
	m->completed = proto_time_new(a, n->finished_ns);
	if (!m->satellite_id.len || !m->node_id.len || !m->completed)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(sign(call, a, sat, &m->base, &m->exit_complete_signature));
	ret->message_case = GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_EXIT_COMPLETED;
	ret->exit_completed = m;
	return OK;
}

static enum err failed(struct call *call, struct arena *a, const struct satellite *sat,
		       const struct exit_node *n, Gracefulexit__ExitFailed__Reason reason,
		       Gracefulexit__SatelliteMessage *ret)
{
	Gracefulexit__ExitFailed *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	gracefulexit__exit_failed__init(m);
	m->reason = reason;
	m->satellite_id = proto_copy(a, node_id_bytes(&sat->id));
	m->node_id = proto_copy(a, node_id_bytes(&n->id));
	m->failed = proto_time_new(a, n->finished_ns);
	if (!m->satellite_id.len || !m->node_id.len || !m->failed)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(sign(call, a, sat, &m->base, &m->exit_failure_signature));
	ret->message_case = GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_EXIT_FAILED;
	ret->exit_failed = m;
	return OK;
}

static enum err not_ready(struct call *call, struct arena *a, Gracefulexit__SatelliteMessage *ret)
{
	Gracefulexit__NotReady *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	gracefulexit__not_ready__init(m);
	ret->message_case = GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_NOT_READY;
	ret->not_ready = m;
	return OK;
}

enum err exit_process(struct call *call, struct satellite *sat, const struct node_id *id,
		      struct arena *a, Gracefulexit__SatelliteMessage *ret)
{
	struct exit_node n;
	int64_t now_ns = os_clock_unix_ns();
	enum err e = exit_read(call, sat->db, id, &n);

	if (e == ERR_NOT_FOUND)
		return call_fail(call, ERR_INTERNAL, "this satellite does not know the node");
	TRY_PLAIN(e);
	struct exit_decision d = exit_decide(call, &sat->config, &n, now_ns);
	switch (d.step) {
	case EXIT_REFUSED:
		if (d.fail_now) {
			AUTO_CALL struct call own = CALL_INIT;
			call_init_child(&own, call);
			TRY_PLAIN(change(&own, sat, &n, now_ns, false, false));
		}
		return ERR_PRECONDITION;
	case EXIT_BEGIN:
		TRY_PLAIN(change(call, sat, &n, now_ns, true, false));
		return not_ready(call, a, ret);
	case EXIT_WAIT:
		return not_ready(call, a, ret);
	case EXIT_FINISH:
		TRY_PLAIN(change(call, sat, &n, now_ns, false, d.success));
		break;
	case EXIT_FINISHED:
		break;
	}
	return n.success ? completed(call, a, sat, &n, ret)
			 : failed(call, a, sat, &n, d.reason, ret);
}
