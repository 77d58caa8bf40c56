/* /gracefulexit.SatelliteGracefulExit: nodes that want to leave ask how it stands. */
#include "base/cleanup.h"
#include "os/clock.h"
#include "satellite/exit.h"
#include "satellite/satellite.h"

/* The node sends nothing; one message answers it. */
static enum err process(struct call *call, void *service, struct rpc_stream *stream)
{
	Gracefulexit__SatelliteMessage message = GRACEFULEXIT__SATELLITE_MESSAGE__INIT;
	struct node_id id;

	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), &id));
	TRY_PLAIN(exit_process(call, service, &id, &call->scratch, &message));
	return rpc_send_message(call, stream, &message.base);
}

static enum err feasibility(struct call *call, void *service, struct rpc_stream *stream)
{
	Gracefulexit__GracefulExitFeasibilityRequest *request = NULL;
	Gracefulexit__GracefulExitFeasibilityResponse reply =
		GRACEFULEXIT__GRACEFUL_EXIT_FEASIBILITY_RESPONSE__INIT;
	struct satellite *sat = service;
	struct exit_node n;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &gracefulexit__graceful_exit_feasibility_request__descriptor,
			      &request));
	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), &id));
	enum err e = exit_read(call, sat->db, &id, &n);
	if (e == ERR_NOT_FOUND)
		return call_fail(call, ERR_INTERNAL, "this satellite does not know the node");
	TRY_PLAIN(e);
	reply.joined_at = proto_time_new(&call->scratch, n.created_ns);
	if (!reply.joined_at)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	reply.months_required = (int32_t)sat->config.exit_min_months;
	reply.is_allowed = os_clock_unix_ns() >= exit_allowed_ns(&sat->config, &n);
	return rpc_send_message(call, stream, &reply.base);
}

const struct rpc_method exit_methods[] = {
	{ "/gracefulexit.SatelliteGracefulExit/Process", process },
	{ "/gracefulexit.SatelliteGracefulExit/GracefulExitFeasibility", feasibility },
};
const size_t exit_methods_count = ARRAY_LEN(exit_methods);
