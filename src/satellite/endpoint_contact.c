/* /contact.Node: nodes check in, ask for the time and for a ping (satellite.md 1). */
#include <stdio.h>

#include "base/cleanup.h"
#include "identity/noise_attestation.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/socket.h"
#include "proto/contact.pb-c.h"
#include "proto/proto.h"
#include "satellite/amnesty.h"
#include "satellite/contact.h"
#include "satellite/geoip.h"
#include "satellite/ratelimit.h"

enum {
	NODE_ADDRESS_MAX = 255,
	NODE_EMAIL_MAX = 320,
	NODE_WALLET_MAX = 128,
	NODE_VERSION_MAX = 64,
};

/* A copy of a node's text that is fit for logs and databases: printable, of bounded length. */
static const char *clean(struct arena *a, const char *text, size_t max)
{
	char *copy = arena_str(a, BYTES(text, text ? strnlen(text, max) : 0));

	for (char *p = copy; p && *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return copy ? copy : "";
}

static enum err check_address(struct call *call, const char *address)
{
	if (!address || !address[0] || strlen(address) > NODE_ADDRESS_MAX)
		return call_fail(
			call, ERR_INVALID,
			"failed to resolve IP from address: want host:port of at most %d bytes",
			NODE_ADDRESS_MAX);
	return OK;
}

static enum err peer(struct call *call, struct rpc_stream *stream, enum err failure,
		     struct node_id *ret)
{
	AUTO_CALL struct call probe = CALL_INIT;

	call_init(&probe);
	if (net_peer_id(&probe, rpc_stream_net(stream), ret))
		return call_fail(call, failure, "failed to get ID from context: %s", probe.error);
	return OK;
}

static enum err check_difficulty(struct call *call, struct satellite *sat, const struct node_id *id)
{
	unsigned has = node_id_difficulty(id);

	if (has < satellite_live(sat)->min_difficulty && !overlay_is_known(sat, id))
		return call_fail(
			call, ERR_INTERNAL,
			"node id difficulty is %u when %llu is the minimum (make an identity "
			"with at least that difficulty)",
			has, (unsigned long long)satellite_live(sat)->min_difficulty);
	return OK;
}

static void fill_checkin(struct arena *a, const Contact__CheckInRequest *req, struct checkin *in)
{
	in->address = clean(a, req->address, NODE_ADDRESS_MAX);
	in->version = clean(a, req->version ? req->version->version : NULL, NODE_VERSION_MAX);
	in->release = req->version && req->version->release;
	in->email = clean(a, req->operator_ ? req->operator_->email : NULL, NODE_EMAIL_MAX);
	in->wallet = clean(a, req->operator_ ? req->operator_->wallet : NULL, NODE_WALLET_MAX);
	in->free_disk = req->capacity ? req->capacity->free_disk : 0;
	in->dial.debounce_limit = req->debounce_limit;
	in->dial.features = req->features;
}

/* The key is handed to clients, so it is taken only if they can use it (noise.md 6).  One that is
 * not attested leaves the node without: it is called by TLS. */
static void take_noise(struct call *call, const Contact__CheckInRequest *req, struct checkin *in)
{
	const Noise__NoiseKeyAttestation *m = req->noise_key_attestation;
	AUTO_CALL struct call check = CALL_INIT;
	char id_text[NODE_ID_TEXT_MAX];

	if (!m)
		return;
	call_init_child(&check, call);
	enum err e = noise_attestation_verify(&check, m, &in->id);
	if (!e) {
		in->dial.noise = noise_peer_from(m->noise_proto, proto_bytes(m->noise_public_key));
		return;
	}
	node_id_text(&in->id, id_text);
	log_info("Noise key not taken", F_STR("node", id_text),
		 F_STR("reason", call_error(&check, e)));
}

/* Who signs wrongly is heard all the same (satellite.md 1.6). */
static enum err take_tags(struct call *call, struct satellite *sat, struct rpc_stream *stream,
			  const Contact__CheckInRequest *req, struct checkin *in,
			  const char **ret_bad)
{
	char id_text[NODE_ID_TEXT_MAX];

	TRY_PLAIN(node_tags_read(call, sat->authorities, &in->id,
				 net_peer_chain(rpc_stream_net(stream)), req->signed_tags,
				 &in->tags, ret_bad));
	node_id_text(&in->id, id_text);
	if (**ret_bad)
		log_info("tags not taken", F_STR("node", id_text), F_STR("reason", *ret_bad));
	return OK;
}

/* Pings and stores; *ret_ping_error is "" when the node could be reached. */
static enum err do_checkin(struct call *call, struct satellite *sat, struct checkin *in,
			   const char **ret_ping_error)
{
	AUTO_CALL struct call ping = CALL_INIT;

	call_init_child(&ping, call);
	*ret_ping_error = "";
	enum err e = contact_ping(&ping, sat, &in->id, in->address, in->last_ip_port);
	if (e == ERR_BUSY) {
		call_copy_error(call, &ping);
		return e;
	}
	in->up = e == OK;
	if (e) {
		*ret_ping_error = arena_printf(&call->scratch, "%s", call_error(&ping, e));
		/* Somebody that cannot be reached is not worth remembering. */
		if (!overlay_is_known(sat, &in->id))
			return OK;
	}
	in->now_unix_ns = os_clock_unix_ns();
	return overlay_checkin(call, sat, in);
}

static enum err answer_checkin(struct call *call, struct rpc_stream *stream,
			       const struct checkin *in, const char *ping_error,
			       const char *bad_tags)
{
	Contact__CheckInResponse resp = CONTACT__CHECK_IN_RESPONSE__INIT;
	Contact__HashstoreSettings settings = CONTACT__HASHSTORE_SETTINGS__INIT;

	resp.ping_node_success = in->up;
	resp.ping_error_message = (char *)(uintptr_t)ping_error;
	resp.node_tag_success = !bad_tags[0];
	resp.node_tag_error_message = (char *)(uintptr_t)bad_tags;
	resp.hashstore_settings = &settings;
	return rpc_send_message(call, stream, &resp.base);
}

static enum err check_in(struct call *call, void *service, struct rpc_stream *stream)
{
	struct satellite *sat = service;
	Contact__CheckInRequest *req = NULL;
	struct checkin in = { 0 };
	char ip_port[OS_ADDRESS_MAX], net[LAST_NET_MAX], id_text[NODE_ID_TEXT_MAX];
	const char *ping_error = "", *bad_tags = "";

	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &contact__check_in_request__descriptor,
			      &req));
	TRY_PLAIN(peer(call, stream, ERR_UNKNOWN, &in.id));
	if (!rate_limiter_take(sat->checkin_rates, node_id_bytes(&in.id),
			       satellite_live(sat)->checkin_interval,
			       satellite_live(sat)->checkin_burst, os_clock_mono_ns()))
		return call_fail(call, ERR_EXHAUSTED, "node rate limited by id");
	TRY_PLAIN(check_address(call, req->address));
	fill_checkin(&call->scratch, req, &in);
	TRY_PLAIN(contact_resolve(call, sat, in.address, ip_port, net));
	in.last_ip_port = ip_port;
	in.last_net = net;
	in.geo = geoip_look(sat->geoip, ip_port);
	in.chain = cert_chain_der(net_peer_chain(rpc_stream_net(stream)));
	TRY_PLAIN(take_tags(call, sat, stream, req, &in, &bad_tags));
	if (!node_tags_has(in.tags, bytes_str("trusted_node"), bytes_str("true")))
		TRY_PLAIN(check_difficulty(call, sat, &in.id));
	take_noise(call, req, &in);
	bool known = overlay_is_known(sat, &in.id);
	enum err e = do_checkin(call, sat, &in, &ping_error);
	node_id_text(&in.id, id_text);
	if (e) {
		rate_limiter_give_back(sat->checkin_rates, node_id_bytes(&in.id),
				       satellite_live(sat)->checkin_interval);
		return satellite_trouble(
			call, e, "check-in not stored", id_text,
			"the satellite could not store the check-in; try again later");
	}
	if (!in.up)
		log_info("node not reachable", F_STR("node", id_text), F_STR("address", in.address),
			 F_STR("error", ping_error));
	else if (!known)
		log_info("new node", F_STR("node", id_text), F_STR("address", in.address),
			 F_STR("net", net), F_I64("free_disk", in.free_disk));
	return answer_checkin(call, stream, &in, ping_error, bad_tags);
}

static enum err get_time(struct call *call, void *service, struct rpc_stream *stream)
{
	Contact__GetTimeRequest *req = NULL;
	Contact__GetTimeResponse resp = CONTACT__GET_TIME_RESPONSE__INIT;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &contact__get_time_request__descriptor,
			      &req));
	TRY_PLAIN(peer(call, stream, ERR_UNAUTHENTICATED, &id));
	resp.timestamp = proto_time_new(&call->scratch, os_clock_unix_ns());
	return rpc_send_message(call, stream, &resp.base);
}

static enum err ping_me(struct call *call, void *service, struct rpc_stream *stream)
{
	struct satellite *sat = service;
	Contact__PingMeRequest *req = NULL;
	Contact__PingMeResponse resp = CONTACT__PING_ME_RESPONSE__INIT;
	char ip_port[OS_ADDRESS_MAX], net[LAST_NET_MAX];
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &contact__ping_me_request__descriptor,
			      &req));
	TRY_PLAIN(peer(call, stream, ERR_UNKNOWN, &id));
	TRY_PLAIN(check_address(call, req->address));
	const char *address = clean(&call->scratch, req->address, NODE_ADDRESS_MAX);
	TRY_PLAIN(contact_resolve(call, sat, address, ip_port, net));
	if (req->transport == NODE__NODE_TRANSPORT__QUIC_RPC)
		return call_fail(call, ERR_UNIMPLEMENTED, "this satellite does not speak QUIC");
	if (req->transport != NODE__NODE_TRANSPORT__TCP_TLS_RPC)
		return call_fail(call, ERR_INVALID, "invalid transport: %d", (int)req->transport);
	enum err e = contact_ping(call, sat, &id, address, ip_port);
	if (e == ERR_BUSY)
		return e;
	if (e) {
		/* Whatever the reason, the status says that the node was not found there. */
		call->status = err_status(ERR_NOT_FOUND);
		return ERR_NOT_FOUND;
	}
	return rpc_send_message(call, stream, &resp.base);
}

static enum err lost_pieces(struct call *call, const Contact__AmnestyReportRequest *req,
			    struct piece_id **ret)
{
	if (req->n_lost_pieces > AMNESTY_REPORT_MAX)
		return call_fail(call, ERR_INVALID, "more than %d lost pieces in one report",
				 AMNESTY_REPORT_MAX);
	struct piece_id *list = arena_array(&call->scratch, req->n_lost_pieces + 1, sizeof(*list));
	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < req->n_lost_pieces; i++) {
		struct bytes id = proto_bytes(req->lost_pieces[i]->piece_id);
		if (id.len != PIECE_ID_BYTES)
			return call_fail(call, ERR_INVALID, "a piece ID has %d bytes, not %zu",
					 PIECE_ID_BYTES, id.len);
		memcpy(list[i].b, id.data, PIECE_ID_BYTES);
	}
	*ret = list;
	return OK;
}

/* Their repair begins with the next pass over the segments (amnesty.h). */
static enum err amnesty_report(struct call *call, void *service, struct rpc_stream *stream)
{
	Contact__AmnestyReportRequest *req = NULL;
	Contact__AmnestyReportResponse resp = CONTACT__AMNESTY_REPORT_RESPONSE__INIT;
	struct satellite *sat = service;
	char id_text[NODE_ID_TEXT_MAX];
	struct piece_id *list = NULL;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &contact__amnesty_report_request__descriptor, &req));
	TRY_PLAIN(peer(call, stream, ERR_UNAUTHENTICATED, &id));
	node_id_text(&id, id_text);
	log_info("amnesty report", F_STR("node", id_text),
		 F_U64("lost_pieces", req->n_lost_pieces));
	TRY_PLAIN(lost_pieces(call, req, &list));
	/* Whoever never checked in has no pieces. */
	enum err e = overlay_is_known(sat, &id)
			     ? amnesty_take(call, sat, &id, list, req->n_lost_pieces)
			     : OK;
	if (e && e != ERR_EXHAUSTED)
		return satellite_trouble(call, e, "amnesty report not stored", id_text,
					 "the satellite could not store the report; try again "
					 "later");
	TRY_PLAIN(e);
	return rpc_send_message(call, stream, &resp.base);
}

const struct rpc_method contact_methods[] = {
	{ "/contact.Node/CheckIn", check_in },
	{ "/contact.Node/GetTime", get_time },
	{ "/contact.Node/PingMe", ping_me },
	{ "/contact.Node/AmnestyReport", amnesty_report },
};
const size_t contact_methods_count = ARRAY_LEN(contact_methods);
