/* The running node's part of leaving: asking satellites, freeing what is theirs. */
#include "node/leave.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "proto/gracefulexit.pb-c.h"

enum {
	LOOK_SECONDS = 60, /* as often as the reference asks */
	LOOK_DEVELOPMENT = 1,
	ASK_SECONDS_MAX = 120,
	RECEIPT_MAX = 4096,
};

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)
DEFINE_AUTO_PTR(struct rpc_stream, stream_auto, rpc_stream_end)

/* ---- receipts ---- */

/* The satellite signs the message without the signature in it (satellite.md 9). */
static enum err check_signature(struct call *call, struct node *n, const struct node_id *satellite,
				ProtobufCMessage *message, ProtobufCBinaryData *signature)
{
	AUTO_BUF struct buf text = BUF_INIT(RECEIPT_MAX);
	ProtobufCBinaryData kept = *signature;

	*signature = (ProtobufCBinaryData){ 0 };
	enum err e = proto_encode(call, message, &text);
	*signature = kept;
	TRY_PLAIN(e);
	return trust_verify(call, n->trust, satellite, buf_bytes(&text), proto_bytes(kept));
}

static enum err check_ids(struct call *call, struct node *n, const struct node_id *satellite,
			  ProtobufCBinaryData about_satellite, ProtobufCBinaryData about_node)
{
	if (bytes_equal(proto_bytes(about_satellite), node_id_bytes(satellite)) &&
	    bytes_equal(proto_bytes(about_node), node_id_bytes(identity_node_id(n->identity))))
		return OK;
	return call_fail(call, ERR_INVALID, "the receipt is about somebody else");
}

/* What proves it, word for word as it came. */
static enum err keep_receipt(struct call *call, struct node *n, const struct node_id *satellite,
			     const ProtobufCMessage *message)
{
	AUTO_BUF struct buf text = BUF_INIT(RECEIPT_MAX);
	char id[NODE_ID_TEXT_MAX];

	TRY_PLAIN(proto_encode(call, message, &text));
	node_id_text(satellite, id);
	const char *name = arena_printf(&call->scratch, "%s.receipt", id);
	if (!name)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return os_file_write_all(call,
				 os_path_join(call, os_path_join(call, n->dir, "leave"), name),
				 buf_bytes(&text), false);
}

static enum err take_answer(struct call *call, struct node *n, struct leave *l,
			    Gracefulexit__SatelliteMessage *m)
{
	Gracefulexit__ExitCompleted *good;
	Gracefulexit__ExitFailed *bad;

	switch (m->message_case) {
	case GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_NOT_READY:
		l->state = LEAVE_EXITING;
		return OK;
	case GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_EXIT_COMPLETED:
		good = m->exit_completed;
		TRY_PLAIN(check_ids(call, n, &l->satellite, good->satellite_id, good->node_id));
		TRY_PLAIN(check_signature(call, n, &l->satellite, &good->base,
					  &good->exit_complete_signature));
		TRY_PLAIN(keep_receipt(call, n, &l->satellite, &m->base));
		l->state = LEAVE_COMPLETED;
		return OK;
	case GRACEFULEXIT__SATELLITE_MESSAGE__MESSAGE_EXIT_FAILED:
		bad = m->exit_failed;
		TRY_PLAIN(check_ids(call, n, &l->satellite, bad->satellite_id, bad->node_id));
		TRY_PLAIN(check_signature(call, n, &l->satellite, &bad->base,
					  &bad->exit_failure_signature));
		TRY_PLAIN(keep_receipt(call, n, &l->satellite, &m->base));
		l->state = LEAVE_FAILED;
		snprintf(l->text, sizeof(l->text), "reason %d", (int)bad->reason);
		return OK;
	default: /* the old protocol, in which nodes moved their pieces themselves */
		return call_fail(call, ERR_UNIMPLEMENTED,
				 "the satellite asks for what nodes do not do any more");
	}
}

/* ---- asking ---- */

static enum err ask(struct call *call, struct node *n, size_t satellite, struct leave *l)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	AUTO(stream_auto) struct rpc_stream *stream = NULL;
	Gracefulexit__SatelliteMessage *m = NULL;

	os_call_limit(call, ASK_SECONDS_MAX * NS_PER_SEC);
	TRY_PLAIN(node_dial_satellite(call, n, satellite, &conn));
	TRY_PLAIN(rpc_open(call, conn, "/gracefulexit.SatelliteGracefulExit/Process", &stream));
	TRY_PLAIN(rpc_recv_message(call, stream, &call->scratch,
				   &gracefulexit__satellite_message__descriptor, &m));
	return take_answer(call, n, l, m);
}

static bool find_satellite(const struct node *n, const struct node_id *id, size_t *ret)
{
	for (size_t i = 0; i < trust_count(n->trust); i++)
		if (node_id_equal(trust_id(n->trust, i), id)) {
			*ret = i;
			return true;
		}
	return false;
}

static enum err free_data(struct call *call, struct node *n, const struct node_id *satellite)
{
	struct index_swept swept = { 0 };
	char id[NODE_ID_TEXT_MAX];

	TRY_PLAIN(piece_store_forget(call, n->store, satellite, &swept));
	node_id_text(satellite, id);
	log_info("all data of a satellite is freed", F_STR("satellite", id),
		 F_U64("pieces", swept.seen));
	return OK;
}

static enum err leave_exit(struct call *call, struct node *n, struct leave *l)
{
	size_t i = 0;

	if (!find_satellite(n, &l->satellite, &i)) {
		l->state = LEAVE_REFUSED;
		snprintf(l->text, sizeof(l->text), "this node does not work for that satellite");
		return OK;
	}
	enum err e = ask(call, n, i, l);
	if (e == ERR_PRECONDITION) {
		l->state = LEAVE_REFUSED;
		snprintf(l->text, sizeof(l->text), "%s", call_error(call, e));
		call_clear_error(call);
		return OK;
	}
	return e;
}

static enum err forget(struct call *call, struct node *n, struct leave *l)
{
	size_t i = 0;

	if (find_satellite(n, &l->satellite, &i)) {
		l->state = LEAVE_REFUSED;
		snprintf(
			l->text, sizeof(l->text),
			"this node still works for that satellite: take it off the settings first");
		return OK;
	}
	TRY_PLAIN(free_data(call, n, &l->satellite));
	l->state = LEAVE_FORGOTTEN;
	return OK;
}

/* Again after a kill in between: nothing new comes any more. */
static enum err finish_exit(struct call *call, struct node *n, struct leave *l)
{
	TRY_PLAIN(free_data(call, n, &l->satellite));
	snprintf(l->text, sizeof(l->text), "its data is freed");
	return leave_write(call, n->dir, l);
}

/* A step of one of them.  The new state is on disk before anything follows from it. */
static enum err step(struct call *call, struct node *n, const struct leave *before)
{
	struct leave l = *before;
	char id[NODE_ID_TEXT_MAX];

	switch (l.state) {
	case LEAVE_EXIT:
	case LEAVE_EXITING:
		TRY_PLAIN(leave_exit(call, n, &l));
		break;
	case LEAVE_FORGET:
		TRY_PLAIN(forget(call, n, &l));
		break;
	case LEAVE_COMPLETED:
		return l.text[0] ? OK : finish_exit(call, n, &l);
	case LEAVE_FAILED:
	case LEAVE_REFUSED:
	case LEAVE_FORGOTTEN:
		return OK;
	}
	if (l.state == before->state)
		return OK;
	l.since_unix_ns = os_clock_unix_ns();
	TRY_PLAIN(leave_write(call, n->dir, &l));
	node_id_text(&l.satellite, id);
	log_info("leaving a satellite", F_STR("satellite", id),
		 F_STR("state", leave_state_name(l.state)), F_STR("text", l.text));
	return l.state == LEAVE_COMPLETED ? finish_exit(call, n, &l) : OK;
}

static int64_t look(struct call *call, void *arg)
{
	struct node *n = arg;
	struct leave *list = NULL;
	size_t count = 0;
	int64_t next = (n->config.development ? LOOK_DEVELOPMENT : LOOK_SECONDS) * NS_PER_SEC;

	if (!piece_store_recovered(n->store))
		return next;
	enum err e = leave_list(call, n->dir, &call->scratch, &list, &count);
	for (size_t i = 0; !e && i < count; i++) {
		AUTO_CALL struct call own = CALL_INIT;
		call_init_child(&own, call);
		enum err one = step(&own, n, &list[i]);
		if (one && one != ERR_CANCELED)
			log_debug("leaving a satellite: tried again later",
				  F_STR("why", call_error(&own, one)));
	}
	if (e && e != ERR_CANCELED)
		log_warn("the directory leave cannot be read", F_STR("why", call_error(call, e)));
	return next;
}

enum err node_leave_start(struct call *call, struct node *n)
{
	return chores_add_network(call, n->chores, look, n, 0, &n->cancel, &n->leave);
}

void node_leave_stop(struct node *n)
{
	chores_remove(n->chores, take(&n->leave));
}
